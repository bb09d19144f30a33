"""Static files beside nginx: the same requests to both, the same answers."""

import os
import pwd
import socket
import subprocess
import time

import pytest
from httpd import TIMEOUT, read_all
from httpd import make_httpd, make_root, make_start

FIXTURES = (make_httpd, make_root, make_start)  # pytest finds them in this module

NGINX = """
daemon off; pid {d}/pid; error_log {d}/error.log; worker_processes 1;
events {{ worker_connections 100; }}
http {{
    access_log off; client_body_temp_path {d}/1; proxy_temp_path {d}/2;
    fastcgi_temp_path {d}/3; uwsgi_temp_path {d}/4; scgi_temp_path {d}/5;
    server {{ listen unix:{d}/sock; root {root}; }}
}}
"""


@pytest.fixture(scope="module")
def nginx(root, tmp_path_factory):
    d = tmp_path_factory.mktemp("nginx")
    # Its workers read folders that only their owner may look into.
    user = f"user {pwd.getpwuid(os.getuid()).pw_name};" if os.getuid() == 0 else ""
    (d / "conf").write_text(user + NGINX.format(d=d, root=root))
    proc = subprocess.Popen(["/usr/sbin/nginx", "-c", d / "conf", "-p", d, "-e", d / "error.log"])
    deadline = time.monotonic() + TIMEOUT
    while True:
        s = socket.socket(socket.AF_UNIX)
        try:
            s.connect(str(d / "sock"))
            s.close()
            break
        except OSError:
            s.close()
            assert proc.poll() is None and time.monotonic() < deadline
    yield str(d / "sock")
    proc.terminate()
    proc.wait(timeout=TIMEOUT)


def exchange(s, method, target, lines):
    with s:
        s.settimeout(TIMEOUT)
        head = f"{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n"
        s.sendall(head.encode())
        s.shutdown(socket.SHUT_WR)  # ends nginx's lingering after a refusal
        data = read_all(s)
    head, body = data.split(b"\r\n\r\n", 1)
    rows = head.decode().split("\r\n")
    headers = {k.lower(): v for k, v in (x.split(": ", 1) for x in rows[1:])}
    return int(rows[0].split()[1]), headers, body


COMPARED = ["content-range", "accept-ranges", "etag", "last-modified", "content-length"]
DATE = "Sun, 13 Sep 2020 12:26:40 GMT"
ETAG = '"5f5e1000-c"'


@pytest.mark.parametrize(
    "method,target,lines",
    [
        ("GET", "/hello.txt", ""),
        ("HEAD", "/hello.txt", ""),
        ("GET", "/empty", ""),
        ("GET", "//hello.txt", ""),
        ("GET", "/dir/../hello.txt", ""),
        ("GET", "/./%68ello.txt", ""),
        ("GET", "/hello.txt?x=/../..", ""),
        ("GET", "/nothing", ""),
        ("GET", "/hello.txt/", ""),
        ("GET", "/../..", ""),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", ""),
        ("GET", "/%00", ""),
        ("GET", "/%zz", ""),
        ("POST", "/hello.txt", ""),
        ("DELETE", "/hello.txt", ""),
        ("FOO", "/hello.txt", ""),
        ("GET", "/hello.txt", f"If-None-Match: {ETAG}\r\n"),
        ("GET", "/hello.txt", f"If-None-Match: W/{ETAG}\r\n"),
        ("GET", "/hello.txt", "If-None-Match: *\r\n"),
        ("GET", "/hello.txt", 'If-None-Match: "a", "b"\r\n'),
        ("GET", "/hello.txt", f'If-None-Match: "a"\r\nIf-Modified-Since: {DATE}\r\n'),
        ("GET", "/hello.txt", f"If-Modified-Since: {DATE}\r\n"),
        ("GET", "/hello.txt", "If-Modified-Since: Sun, 13 Sep 2020 12:26:39 GMT\r\n"),
        ("GET", "/hello.txt", 'If-Match: "a"\r\n'),
        ("GET", "/hello.txt", f"If-Match: {ETAG}\r\n"),
        ("GET", "/hello.txt", f"If-Unmodified-Since: {DATE}\r\n"),
        ("GET", "/hello.txt", "If-Unmodified-Since: Sun, 13 Sep 2020 12:26:39 GMT\r\n"),
        ("GET", "/hello.txt", "Range: bytes=0-0\r\n"),
        ("GET", "/hello.txt", "Range: bytes=3-\r\n"),
        ("GET", "/hello.txt", "Range: bytes=-3\r\n"),
        ("GET", "/hello.txt", "Range: bytes=-300\r\n"),
        ("GET", "/hello.txt", "Range: bytes=0-0,9999999-\r\n"),
        ("GET", "/hello.txt", "Range: bytes=0-1,3-4,-1\r\n"),
        ("GET", "/hello.txt", "Range: bytes=0-11,0-11\r\n"),
        ("GET", "/hello.txt", "Range: items=0-1\r\n"),
        ("GET", "/hello.txt", "Range: bytes=5-1\r\n"),
        ("GET", "/hello.txt", "Range: bytes=abc\r\n"),
        ("GET", "/hello.txt", "Range: bytes=-0\r\n"),
        ("GET", "/hello.txt", "Range: bytes=12-\r\n"),
        ("GET", "/hello.txt", "Range: bytes=0-1,\r\n"),
        ("GET", "/hello.txt", "Range: bytes= 0 - 1\r\n"),
        ("GET", "/empty", "Range: bytes=0-\r\n"),
        ("GET", "/empty", "Range: bytes=5-\r\n"),
        ("GET", "/hello.txt", f"Range: bytes=0-0\r\nIf-Range: {ETAG}\r\n"),
        ("GET", "/hello.txt", f"Range: bytes=0-0\r\nIf-Range: {DATE}\r\n"),
        ("GET", "/hello.txt", 'Range: bytes=0-0\r\nIf-Range: "a"\r\n'),
        ("GET", "/hello.txt", "Range: bytes=0-0\r\nIf-Range: Sun, 13 Sep 2020 12:26:39 GMT\r\n"),
        ("GET", "/hello.txt", f"Range: bytes=0-0\r\nIf-None-Match: {ETAG}\r\n"),
        ("POST", "/hello.txt", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
        ("GET", "/hello.txt", "Content-Length: 1\r\nContent-Length: 2\r\n"),
        ("GET", "/hello.txt", "Host: b\r\n"),
    ],
)
def test_as_nginx(httpd, nginx, method, target, lines):
    s = socket.socket(socket.AF_UNIX)
    s.connect(nginx)
    theirs = exchange(s, method, target, lines)
    ours = exchange(httpd.connect(), method, target, lines)
    assert ours[0] == theirs[0]
    if ours[0] in (200, 206, 304):
        names = [n for n in COMPARED if n in theirs[1] or n in ours[1]]
        if "multipart" in ours[1].get("content-type", ""):
            assert "multipart" in theirs[1]["content-type"]
            names.remove("content-length")  # the parts' types differ
        assert {n: ours[1].get(n) for n in names} == {n: theirs[1].get(n) for n in names}
        if "multipart" not in ours[1].get("content-type", ""):
            assert ours[2] == theirs[2]
    if ours[0] == 416:
        assert ours[1]["content-range"] == theirs[1]["content-range"]
