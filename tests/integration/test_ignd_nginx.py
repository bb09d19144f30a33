"""okd-ignd beside the nginx that it replaces: the same requests, the same answers."""

import http.client
import os
import shutil
import socket
import subprocess

import pytest

import harness
from ignd_fixtures import start_ignd

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
pytestmark = pytest.mark.skipif(not os.access(NGINX, os.X_OK), reason="nginx is not installed")

CONF = """
daemon off; master_process off; worker_processes 1; pid {dir}/pid; error_log {dir}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off; default_type application/octet-stream; sendfile on;
  client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
  uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  server {{ listen 127.0.0.1:{port}; location / {{ root {root}; }} }}
}}
"""
TIME = 1600000000  # Sun, 13 Sep 2020 12:26:40 GMT
FILES = {"f.raw": bytes(range(256)) * 8, "empty": b"", "dir/g": b"g" * 10, "a b%c": b"x",
         "a folder/g": b"g"}
DATE, LATER = "Sun, 13 Sep 2020 12:26:40 GMT", "Sun, 13 Sep 2020 12:26:41 GMT"
EARLIER = "Sun, 13 Sep 2020 12:26:39 GMT"
ETAG = f'"{TIME:x}-{2048:x}"'
COMPARED = ["content-length", "content-type", "last-modified", "etag", "accept-ranges",
            "content-range", "content-encoding", "transfer-encoding"]

# Each a path and headers.
CASES = [
    ("f.raw", {}), ("empty", {}), ("dir/g", {}), ("a%20b%25c", {}), ("nothing", {}),
    ("/f.raw", {}), ("dir//g", {}), ("./f.raw", {}), ("dir/../f.raw", {}),
    ("dir/%2e%2e/f.raw", {}), ("f.raw/", {}), ("f.raw?x=y", {}),
] + [("f.raw", {"Range": "bytes=" + r}) for r in (
    "0-0", "0-", "-1", "-5000", "100-199", "2047-", "2047-9999", "2048-", "5-1", "abc", "-0",
    "0-0,9999999-", "9999-,9998-", "0-2047,0-2047", "0-99999999999999999999")
] + [
    ("f.raw", {"Range": "items=0-1"}),
    ("empty", {"Range": "bytes=0-"}),
    ("f.raw", {"If-None-Match": ETAG}), ("f.raw", {"If-None-Match": "W/" + ETAG}),
    ("f.raw", {"If-None-Match": "*"}), ("f.raw", {"If-None-Match": '"x"'}),
    ("f.raw", {"If-None-Match": '"x", ' + ETAG}),
    ("f.raw", {"If-None-Match": '"x"', "If-Modified-Since": DATE}),
    ("f.raw", {"If-Modified-Since": DATE}), ("f.raw", {"If-Modified-Since": EARLIER}),
    ("f.raw", {"If-Modified-Since": "yesterday"}),
    ("f.raw", {"If-Match": ETAG}), ("f.raw", {"If-Match": '"x"'}), ("f.raw", {"If-Match": "*"}),
    ("f.raw", {"If-Unmodified-Since": DATE}), ("f.raw", {"If-Unmodified-Since": EARLIER}),
    ("f.raw", {"If-Unmodified-Since": LATER}),
    ("f.raw", {"Range": "bytes=0-1", "If-Range": ETAG}),
    ("f.raw", {"Range": "bytes=0-1", "If-Range": '"x"'}),
    ("f.raw", {"Range": "bytes=0-1", "If-Range": DATE}),
    ("f.raw", {"Range": "bytes=0-1", "If-Range": EARLIER}),
    ("f.raw", {"Range": "bytes=0-1", "If-None-Match": ETAG}),
    ("f.raw", {"Range": "bytes=9999-", "If-Match": '"x"'}),
    ("f.raw", {"Accept-Encoding": "gzip, br"}),
]


def fill(root):
    for name, data in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (TIME, TIME))


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nginx")
    fill(folder / "root" / "install")
    os.chmod(folder, 0o755)
    port = harness.free_port(hold=False)
    conf = folder / "nginx.conf"
    conf.write_text(CONF.format(dir=folder, port=port, root=folder / "root"))
    with open(folder / "stderr", "wb") as err:
        p = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(conf)], stderr=err)

    def up():
        assert p.poll() is None, (folder / "stderr").read_text()
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    harness.wait_until(up, 10)
    yield port
    p.terminate()
    p.wait(10)


def ask(port, method, path, headers):
    lines = [f"{method} /install/{path} HTTP/1.1", "Host: a", "Connection: close"]
    lines += [f"{k}: {v}" for k, v in headers.items()]
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.settimeout(20 * harness.SLOW)
        s.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        got = b""
        while chunk := s.recv(65536):
            got += chunk
    head, body = got.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    fields = {k.lower(): v for k, v in (x.split(": ", 1) for x in lines[1:])}
    status = int(lines[0].split()[1])
    compared = {k: fields.get(k) for k in COMPARED}
    if status >= 400:  # an error's own page
        compared = {"content-range": fields.get("content-range")}
        body = b""
    return status, compared, body


def test_same_answers(nginx, daemon):
    ignd = start_ignd(daemon, {"checksums": False})
    fill(ignd.path("install"))
    differ = []
    for method in ("GET", "HEAD"):
        for path, headers in CASES:
            if method == "HEAD" and "Range" in headers:
                continue  # nginx answers 206 there; RFC 9110 section 14.2: GET alone
            theirs = ask(nginx, method, path, headers)
            ours = ask(ignd.port, method, path, headers)
            if ours != theirs:
                differ.append((method, path, headers, ours[:2], theirs[:2]))
    assert not differ, "\n".join(map(str, differ))


def test_same_multipart(nginx, daemon):
    """The same parts; the boundary is anybody's."""
    ignd = start_ignd(daemon, {"checksums": False})
    fill(ignd.path("install"))
    for ranges in ("0-0,5-9", "0-99,-1", "10-19,0-9,5-14"):
        answers = []
        for port in (nginx, ignd.port):
            status, fields, body = ask(port, "GET", "f.raw", {"Range": "bytes=" + ranges})
            boundary = fields["content-type"].split("boundary=")[1]
            assert len(boundary) == 20
            fields["content-type"] = fields["content-type"].replace(boundary, "B")
            answers.append((status, fields, body.replace(boundary.encode(), b"B")))
        assert answers[0] == answers[1], ranges


def test_same_redirect_to_a_folder(nginx, daemon):
    """The slash that is missing; what is behind it nobody lists."""
    ignd = start_ignd(daemon, {"checksums": False})
    fill(ignd.path("install"))
    answers = []
    for port in (nginx, ignd.port):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=20 * harness.SLOW)
        c.request("GET", "/install/a%20folder")
        r = c.getresponse()
        r.read()
        answers.append((r.status, r.headers["Location"].replace(str(port), "PORT")))
        c.close()
    assert answers[0] == answers[1] == (301, "http://127.0.0.1:PORT/install/a%20folder/")
    assert [ask(p, "GET", "a%20folder/", {})[0] for p in (nginx, ignd.port)] == [403, 404]


def test_other_on_purpose(nginx, daemon):
    """Where RFC 9110 and the secrets ask for another answer than nginx's."""
    ignd = start_ignd(daemon, {"checksums": False})
    fill(ignd.path("install"))
    later = {"If-Modified-Since": LATER}
    assert [ask(p, "GET", "f.raw", later)[0] for p in (nginx, ignd.port)] == [200, 304]
    allow = []
    for port in (nginx, ignd.port):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=20 * harness.SLOW)
        c.request("DELETE", "/install/f.raw")
        allow.append(c.getresponse().headers["Allow"])
        c.close()
    assert allow == [None, "GET, HEAD, OPTIONS"]
    os.symlink("/etc/hostname", ignd.path("install/link"))
    assert ask(ignd.port, "GET", "link", {})[0] == 404
    many = ",".join(f"{i}-{i}" for i in range(0, 200, 2))
    assert ask(nginx, "GET", "f.raw", {"Range": "bytes=" + many})[0] == 206
    assert ask(ignd.port, "GET", "f.raw", {"Range": "bytes=" + many})[0] == 200


def test_bad_paths_end_the_connection(nginx, daemon):
    ignd = start_ignd(daemon, {"checksums": False})
    for port in (nginx, ignd.port):
        with socket.create_connection(("127.0.0.1", port)) as s:
            s.settimeout(20 * harness.SLOW)
            s.sendall(b"GET /install/%00 HTTP/1.1\r\nHost: a\r\n\r\n")
            got = b""
            while chunk := s.recv(65536):
                got += chunk
            assert got.startswith(b"HTTP/1.1 400 ") and b"connection: close" in got.lower()


def test_same_refusals(nginx, daemon):
    ignd = start_ignd(daemon, {"checksums": False})
    fill(ignd.path("install"))
    for path in ("../../x", "%2e%2e/%2e%2e/x", "%00", "%zz", "../../../../../../etc/passwd"):
        theirs, ours = (ask(p, "GET", path, {})[0] for p in (nginx, ignd.port))
        assert ours == theirs == 400, path
    for method in ("POST", "PUT", "DELETE", "FOO", "PATCH"):
        theirs, ours = (ask(p, method, "f.raw", {"Content-Length": "0"})[0]
                        for p in (nginx, ignd.port))
        assert ours == theirs == 405, method
