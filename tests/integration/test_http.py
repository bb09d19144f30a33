"""The HTTP server against a small program over it: what clients see, and what it survives."""

import concurrent.futures
import email.utils
import http.client
import json
import os
import pathlib
import re
import select
import socket
import struct
import subprocess
import time

import pytest
from httpd import BUILD, TIMEOUT, Httpd, checksum, read_all, read_reply, status
from httpd import make_httpd, make_root, make_start

FIXTURES = (make_httpd, make_root, make_start)  # pytest finds them in this module

# Requests and connections


def test_get(httpd):
    r = httpd.get("/hello.txt")
    assert (r.status, r.body) == (200, b"hello world\n")
    assert r.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert r.headers["Last-Modified"] == "Sun, 13 Sep 2020 12:26:40 GMT"
    assert r.headers["ETag"] == '"5f5e1000-c"'
    assert r.headers["Accept-Ranges"] == "bytes"
    assert r.headers["Server"] is None
    date = email.utils.parsedate_to_datetime(r.headers["Date"]).timestamp()
    assert abs(date - time.time()) < 5


def test_big_file(httpd, root):
    assert httpd.get("/big").body == (root / "big").read_bytes()


def test_keep_alive(httpd):
    with httpd.connect() as s:
        for _ in range(5):
            s.sendall(b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
            code, headers, body, rest = read_reply(s)
            assert (code, body, rest) == (200, b"hello world\n", b"")
            assert "connection" not in headers
    httpd.wait_stats(connections=1)


def test_pipelining_in_one_segment(httpd):
    data = httpd.send(
        b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n"
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
        b"GET /status?s=404 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    assert re.findall(rb"HTTP/1.1 (\d+)", data) == [b"200", b"200", b"404"]
    assert b"\r\n\r\nabcHTTP/1.1 404" in data


def test_pipelining_byte_by_byte(httpd):
    requests = (
        b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n"
        b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: x\r\n\r\n"
        b"GET /delay HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    with httpd.connect() as s:
        for i in range(len(requests)):
            s.sendall(requests[i : i + 1])
        data = read_all(s)
    assert re.findall(rb"HTTP/1.1 (\d+)", data) == [b"200", b"200", b"200"]
    assert b"\r\n\r\nabcdeHTTP" in data and data.endswith(b"later\n")


def test_pipelining_behind_pending_requests(httpd):
    one = b"GET /delay?ms=30 HTTP/1.1\r\nHost: a\r\n\r\n"
    last = b"GET /hello.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    data = httpd.send(one * 3 + last)
    assert data.count(b"later\n") == 3 and data.endswith(b"hello world\n")
    with httpd.connect() as s:
        s.sendall(one)
        # These arrive while the first is pending, and mute the connection.
        s.sendall(one)
        s.sendall(last)
        data = read_all(s)
    assert data.count(b"later\n") == 2 and data.endswith(b"hello world\n")


def test_http_1_0(httpd):
    data = httpd.send(b"GET /hello.txt HTTP/1.0\r\n\r\n")
    assert data.startswith(b"HTTP/1.1 200") and b"Connection: close" in data
    with httpd.connect() as s:
        s.sendall(b"GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert read_reply(s)[1]["connection"] == "keep-alive"
        s.sendall(b"GET /stream?n=3000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        data = read_all(s)
    head, body = data.split(b"\r\n\r\n", 1)
    assert b"Transfer-Encoding" not in head and b"Connection: close" in head
    assert body == b"x" * 3000


def test_half_closed_client_gets_its_reply(httpd, root):
    data = httpd.send(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n", shut=True)
    assert data.endswith((root / "big").read_bytes())


@pytest.mark.parametrize(
    "request_bytes,code",
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET /../.. HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
         b"Transfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 400),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET /" + b"a" * 20000, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 417),
    ],
)  # fmt: skip
def test_bad_request_is_refused_and_closed(httpd, request_bytes, code):
    # What follows must not be taken for a request.
    data = httpd.send(request_bytes + b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status(data) == code
    assert b"Connection: close" in data and data.count(b"HTTP/1.1") == 1
    assert json.loads(data.split(b"\r\n\r\n", 1)[1])["error"]["code"]


def test_methods(httpd):
    for method in ("POST", "PUT", "DELETE", "FOO"):
        r = httpd.get("/hello.txt", method)
        assert (r.status, r.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    r = httpd.get("/echo", "OPTIONS")
    assert (r.status, r.headers["Allow"]) == (204, "GET, HEAD, POST, PUT, OPTIONS")
    data = httpd.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert status(data) == 204 and b"Allow: GET, HEAD, POST, PUT, PATCH, OPTIONS" in data
    assert r.headers["Content-Length"] is None
    assert httpd.get("/nothing").status == 404


def test_header_values_cannot_split(httpd):
    r = httpd.get("/header?v=a%0d%0aSet-Cookie:%20b")
    assert r.headers["X-Value"] == "a  Set-Cookie: b"
    assert r.headers["Set-Cookie"] is None


def test_log_line(httpd):
    httpd.get("/echo?x=%20", "POST", body=b"abc")
    assert httpd.wait_line("POST") == "POST /echo?x=%20 200 3 3 done"
    httpd.send(b"GET / HTTP/1.1\r\n\r\n")
    assert httpd.wait_line("^- -").startswith("- - 400 0 ")


# Bodies


def test_chunked_upload(httpd):
    data = os.urandom(300000)
    c = http.client.HTTPConnection("127.0.0.1", httpd.port, timeout=TIMEOUT)
    pieces = (data[i : i + 7001] for i in range(0, len(data), 7001))
    c.request("PUT", "/count", body=pieces, encode_chunked=True,
              headers={"Transfer-Encoding": "chunked"})  # fmt: skip
    assert c.getresponse().read() == b"%d %d\n" % (len(data), checksum(data))
    c.close()


@pytest.mark.parametrize("size", [1, 5, 100000])
def test_a_body_refused_at_its_last_byte(httpd, size):
    """The next request on the connection is answered, whether it came along or comes later."""
    put = (f"PUT /count?refuse={size} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
           .encode() + bytes(size))
    get = b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n"
    with httpd.connect() as s:
        s.sendall(put)
        code, _, _, rest = read_reply(s)
        assert code == 403
        s.sendall(get + put + get)
        for want in (200, 403, 200):
            code, _, _, rest = read_reply(s, rest)
            assert code == want


def test_upload_with_back_pressure(httpd):
    data = os.urandom(400000)
    r = httpd.get("/count?pause=5", "PUT", body=data)
    assert r.body == b"%d %d\n" % (len(data), checksum(data))


def test_a_request_behind_a_body_that_was_held_back(httpd):
    """The handler pauses after the last piece, with the next request there already."""
    put = b"PUT /count?pause=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    last = b"GET /hello.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    data = httpd.send(put * 2 + last)
    assert data.count(b"\r\n\r\n3 %d\n" % checksum(b"abc")) == 2
    assert data.endswith(b"hello world\n")


def test_continue(httpd):
    head = b"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    with httpd.connect() as s:
        s.sendall(head)
        assert s.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(b"hello")
        assert read_reply(s)[2] == b"hello"
        # Sent along with the head, the body needs no invitation.
        s.sendall(head + b"HELLO")
        code, _, body, _ = read_reply(s)
        assert (code, body) == (200, b"HELLO")


def test_body_accepted_late(httpd):
    for headers in ({}, {"Expect": "100-continue"}):
        assert httpd.get("/late", "PUT", body=b"abc", **headers).body == b"abc"
        assert httpd.get("/late?max=2", "PUT", body=b"abc", **headers).status == 413
    assert httpd.get("/late", "PUT").body == b""
    with httpd.connect() as s:
        s.sendall(b"PUT /late HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                  b"Expect: 100-continue\r\n\r\n")  # fmt: skip
        assert s.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        s.sendall(b"abcGET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        code, _, body, rest = read_reply(s)
        assert (code, body) == (200, b"abc")
        assert read_reply(s, rest)[2] == b"hello world\n"


@pytest.mark.parametrize("target,code", [("/status?s=403", 403), ("/count?max=4", 413)])
def test_no_continue_for_refused_body(httpd, target, code):
    data = httpd.send(
        f"PUT {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
        "Expect: 100-continue\r\n\r\n".encode()
    )
    assert status(data) == code and b"100 Continue" not in data
    assert b"Connection: close" in data


def test_unread_body_is_dropped(httpd):
    for framing in (b"Content-Length: 5\r\n\r\nhello",
                    b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"):  # fmt: skip
        data = httpd.send(
            b"PUT /status?s=403 HTTP/1.1\r\nHost: a\r\n" + framing +
            b"GET /hello.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )  # fmt: skip
        assert re.findall(rb"HTTP/1.1 (\d+)", data) == [b"403", b"200"]


def test_long_unread_body_closes_but_the_reply_arrives(start):
    httpd = start("--drop-bytes", 2000000)
    body = b"x" * 1500000
    for head in (b"Content-Length: 9999999999\r\n\r\n",
                 b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n"):  # fmt: skip
        with httpd.connect() as s:
            s.sendall(b"PUT /status?s=403 HTTP/1.1\r\nHost: a\r\n" + head + body)
            code, headers, _, _ = read_reply(s)
            assert code == 403
            with pytest.raises(ConnectionError):
                while True:
                    s.sendall(body)


def test_refusal_in_mid_body(httpd):
    with httpd.connect() as s:
        s.sendall(b"PUT /count?refuse=10 HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n")
        s.sendall(b"x" * 20)
        assert read_reply(s)[0] == 403
        s.sendall(b"x" * 299980 + b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_reply(s)[2] == b"hello world\n"


def test_body_limit_while_it_streams(httpd):
    with httpd.connect() as s:
        s.sendall(b"PUT /count?max=10 HTTP/1.1\r\nHost: a\r\n"
                  b"Transfer-Encoding: chunked\r\n\r\n8\r\n12345678\r\n8\r\n12345678\r\n0\r\n\r\n")  # fmt: skip
        assert read_reply(s)[0] == 413


def test_truncated_upload_is_aborted(httpd):
    with httpd.connect() as s:
        s.sendall(b"PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
    httpd.wait_line("body aborted")
    assert httpd.line() == "end client went away"
    assert httpd.line() == "PUT /count 0 5 0 client went away: client closed"


def test_bad_chunk_in_mid_body(httpd):
    data = httpd.send(b"PUT /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                      b"3\r\nabc\r\nZZ\r\n")  # fmt: skip
    assert status(data) == 400
    httpd.wait_line("body aborted")


# Replies


def test_generated_reply(httpd):
    for query in ("n=100000", "n=5000&ms=5", "n=5000&length=1", "n=5000&ms=5&length=1", "n=0"):
        r = httpd.get("/stream?" + query)
        n = int(re.match(r"n=(\d+)", query)[1])
        assert r.body == b"x" * n
        chunked = "length" not in query
        assert (r.headers["Transfer-Encoding"] == "chunked") == chunked
        assert (r.headers["Content-Length"] is None) == chunked


def test_reply_from_memory(httpd):
    for n in (0, 1, 100000, 20000000):
        assert httpd.get(f"/memory?n={n}").body == b"m" * n


def test_paced_file(httpd, root):
    begin = time.monotonic()
    assert httpd.get("/paced/big?rate=1000000").body == (root / "big").read_bytes()
    assert time.monotonic() - begin > 0.07


def test_abort_closes(httpd):
    with pytest.raises(http.client.RemoteDisconnected):
        httpd.get("/abort")
    assert httpd.wait_line("GET") == "GET /abort 0 0 0 aborted: as asked"


def test_head(httpd):
    for path in ("/hello.txt", "/big", "/memory?n=77", "/nothing", "/stream?n=5"):
        get, head = httpd.get(path), httpd.get(path, "HEAD")
        assert (head.status, head.body) == (get.status, b"")
        for name in ("Content-Length", "Content-Type", "ETag", "Transfer-Encoding"):
            assert head.headers[name] == get.headers[name]
    r = httpd.get("/hello.txt", "HEAD", Range="bytes=0-1")
    assert (r.status, r.headers["Content-Length"]) == (200, "12")


def test_single_ranges(httpd):
    r = httpd.get("/hello.txt", Range="bytes=6-100")
    assert (r.status, r.body) == (206, b"world\n")
    assert r.headers["Content-Range"] == "bytes 6-11/12"
    r = httpd.get("/hello.txt", Range="bytes=99-")
    assert (r.status, r.headers["Content-Range"]) == (416, "bytes */12")
    assert httpd.get("/hello.txt", Range="items=0-1").status == 200
    assert httpd.get("/empty", Range="bytes=0-").status == 200


def parts(r):
    boundary = re.match(r"multipart/byteranges; boundary=(\w+)$", r.headers["Content-Type"])[1]
    pieces = r.body.split(f"\r\n--{boundary}".encode())
    assert pieces[0] == b"" and pieces[-1] == b"--\r\n"
    return [piece.split(b"\r\n\r\n", 1) for piece in pieces[1:-1]]


def test_multiple_ranges(httpd, root):
    r = httpd.get("/hello.txt", Range="bytes=0-0,4-5,-1")
    assert r.status == 206 and int(r.headers["Content-Length"]) == len(r.body)
    got = parts(r)
    assert [p[1] for p in got] == [b"h", b"o ", b"\n"]
    assert b"Content-Range: bytes 4-5/12" in got[1][0]
    assert b"Content-Type: text/plain" in got[1][0]
    big = (root / "big").read_bytes()
    got = parts(httpd.get("/big", Range="bytes=5-4000000,5000000-6000000"))
    assert [p[1] for p in got] == [big[5:4000001], big[5000000:6000001]]
    many = ",".join(f"{i}-{i}" for i in range(0, 400, 2))
    assert httpd.get("/big", Range="bytes=" + many).status == 200
    assert httpd.get("/hello.txt", Range="bytes=0-,0-").status == 200


def test_conditionals(httpd):
    r = httpd.get("/hello.txt")
    etag, date = r.headers["ETag"], r.headers["Last-Modified"]
    later = "Sun, 13 Sep 2020 12:26:41 GMT"
    earlier = "Sun, 13 Sep 2020 12:26:39 GMT"
    for headers, code in [
        ({"If_None_Match": etag}, 304),
        ({"If_None_Match": '"x"', "If_Modified_Since": date}, 200),
        ({"If_Modified_Since": date}, 304),
        ({"If_Modified_Since": later}, 304),
        ({"If_Modified_Since": earlier}, 200),
        ({"If_Match": '"x"'}, 412),
        ({"If_Unmodified_Since": earlier}, 412),
        ({"If_Range": etag, "Range": "bytes=0-0"}, 206),
        ({"If_Range": '"x"', "Range": "bytes=0-0"}, 200),
        ({"If_Range": date, "Range": "bytes=0-0"}, 206),
        ({"If_Range": later, "Range": "bytes=0-0"}, 200),
    ]:
        r = httpd.get("/hello.txt", **headers)
        assert r.status == code, headers
        if code == 304:
            assert r.headers["ETag"] == etag and r.headers["Content-Length"] is None
            assert r.body == b""


def test_file_that_changes_in_mid_transfer(httpd, root):
    path = root / "changing"
    path.write_bytes(b"a" * (64 << 20))
    with httpd.connect() as s:
        s.sendall(b"GET /changing HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"Content-Length: 67108864" in s.recv(1000)
        path.write_bytes(b"b" * (64 << 20))
        assert len(read_all(s)) < 64 << 20
    assert "file changed" in httpd.wait_line("GET /changing")
    path.unlink()


def test_file_that_is_replaced_in_mid_transfer(httpd, root):
    path = root / "replaced"
    path.write_bytes(b"a" * (64 << 20))
    with httpd.connect() as s:
        s.sendall(b"GET /replaced HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        head = s.recv(1000)
        (root / "fresh").write_bytes(b"b" * (64 << 20))
        (root / "fresh").rename(path)
        body = (head + read_all(s)).split(b"\r\n\r\n", 1)[1]
    assert body == b"a" * (64 << 20)
    assert httpd.get("/replaced", Range="bytes=0-0").body == b"b"
    path.unlink()


# Limits and time-outs


def test_slow_head(start):
    httpd = start("--head-ms", 300)
    with httpd.connect() as s:
        s.sendall(b"GET / HT")
        assert status(read_all(s)) == 408
    with httpd.connect() as s:
        assert read_all(s) == b""
    # Bytes that trickle do not put the end off.
    with httpd.connect() as s:
        begin = time.monotonic()
        while not select.select([s], [], [], 0.05)[0]:
            s.sendall(b"x")
        assert status(s.recv(1000)) == 408
        assert time.monotonic() - begin < 5


def test_idle(start):
    httpd = start("--idle-ms", 200)
    with httpd.connect() as s:
        s.sendall(b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_all(s).endswith(b"hello world\n")
    httpd.wait_line("GET /hello.txt 200")


def test_slow_reader(start):
    httpd = start("--progress-ms", 300)
    with httpd.connect(rcvbuf=4096) as s:
        s.sendall(b"GET /memory?n=50000000 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert "time-out" in httpd.wait_line("^GET /memory")


def test_a_reply_that_the_handler_holds_back_is_no_slow_client(start):
    httpd = start("--head-ms", 200, "--idle-ms", 200)
    with httpd.connect() as s:
        s.sendall(b"GET /stream?n=1000&ms=700&length=1 HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        _, _, body, rest = read_reply(s)
        assert body == b"x" * 1000
        assert read_reply(s, rest)[2] == b"x" * 1000
    assert len(httpd.get("/paced/big?rate=100000").body) == 8 << 20


def test_slow_upload(start):
    httpd = start("--progress-ms", 300)
    with httpd.connect() as s:
        s.sendall(b"PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        assert "time-out" in httpd.wait_line("^PUT /count")
    # A handler that pauses is no slow client.
    r = httpd.get("/count?pause=900", "PUT", body=b"abc")
    assert r.status == 200


def test_connections_wait_for_room(start):
    httpd = start("--connections", 2)
    with httpd.connect() as a, httpd.connect() as b, httpd.connect() as c:
        for s in (a, b, c):
            s.sendall(b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_reply(a)[0] == read_reply(b)[0] == 200
        assert not select.select([c], [], [], 0.2)[0]
        a.close()
        assert read_reply(c)[0] == 200


def test_connections_per_address(start):
    httpd = start("--per-address", 2)
    with httpd.connect() as a, httpd.connect() as b:
        a.sendall(b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_reply(a)[0] == 200
        with httpd.connect() as c:
            assert read_reply(c)[0] == 503
        b.close()
        while (r := httpd.get("/stats")).status == 503:
            assert r.headers["Retry-After"]
        assert json.loads(r.body)["refused"] >= 1


def test_out_of_descriptors(start):
    httpd = start("--nofile", 24)
    connections = [httpd.connect() for _ in range(30)]
    first = connections[0]
    first.sendall(b"GET /stats HTTP/1.1\r\nHost: a\r\n\r\n")
    _, _, body, _ = read_reply(first)
    while not json.loads(body)["accept_pauses"]:
        first.sendall(b"GET /stats HTTP/1.1\r\nHost: a\r\n\r\n")
        _, _, body, _ = read_reply(first)
    first.sendall(b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
    assert read_reply(first)[0] == 503
    for s in connections[1:]:
        s.close()
    first.close()
    assert httpd.get("/hello.txt").status == 200


def test_client_that_leaves_cancels_a_pending_request(httpd):
    with httpd.connect() as s:
        s.sendall(b"GET /delay?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n")
        httpd.wait_stats(active=2)
    assert httpd.wait_line("^end") == "end client went away"
    # Also where more requests were waiting behind it.
    with httpd.connect() as s:
        s.sendall(b"GET /delay?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n")
        httpd.wait_stats(active=2)
        s.sendall(b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        httpd.wait_stats(active=2)
    assert httpd.wait_line("^end") == "end client went away"
    # And where a generator waits.
    with httpd.connect() as s:
        s.sendall(b"GET /stream?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n")
        httpd.wait_stats(active=2)
    assert httpd.wait_line("^end") == "end client went away"
    httpd.wait_stats(active=1, connections=1)


def test_reset_in_mid_download(httpd):
    s = httpd.connect(rcvbuf=4096)
    s.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
    s.recv(100)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
    assert "client went away" in httpd.wait_line("GET /big")


# Drain


def drain_in_the_middle(httpd, s, idle):
    """Drains while s is being sent 50 MB and idle has its reply; what of s has come."""
    idle.sendall(b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
    read_reply(idle)
    s.sendall(b"GET /memory?n=50000000 HTTP/1.1\r\nHost: a\r\n\r\n")
    data = s.recv(100000)
    httpd.drain()
    return data


def test_drain_lets_a_transfer_finish(root):
    httpd = Httpd(root)
    with httpd.connect() as s, httpd.connect() as idle:
        data = drain_in_the_middle(httpd, s, idle)
        assert idle.recv(1) == b""
        with pytest.raises(OSError):
            while True:
                # The listening socket is open, but nobody accepts.
                with httpd.connect() as refused:
                    refused.settimeout(0.2)
                    refused.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    refused.recv(1)
        _, body = (data + read_all(s)).split(b"\r\n\r\n", 1)
        assert len(body) == 50000000
    assert "drained" in httpd.stop()


def test_drain_does_not_wait_for_who_has_got_its_reply(root):
    """Its head had gone out before the drain, and said that the connection would stay."""
    httpd = Httpd(root, "--drain-ms", 600000)
    with httpd.connect() as s, httpd.connect() as idle:
        data = drain_in_the_middle(httpd, s, idle)
        assert idle.recv(1) == b""  # so the drain has begun
        assert len((data + read_all(s)).split(b"\r\n\r\n", 1)[1]) == 50000000
    assert "drained" in httpd.stop()


def test_drain_has_an_end(root):
    httpd = Httpd(root, "--drain-ms", 300)
    with httpd.connect() as s:
        s.sendall(b"GET /delay?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n")
        httpd.wait_stats(active=2)
        httpd.drain()
        assert httpd.wait_line("^end") == "end server stopped"
        assert s.recv(1) == b""
    assert "drained" in httpd.stop()


def test_drain_says_close(root):
    httpd = Httpd(root)
    with httpd.connect() as s:
        s.sendall(b"GET /delay?ms=300 HTTP/1.1\r\nHost: a\r\n\r\n")
        httpd.wait_stats(active=2)
        httpd.drain()
        assert read_reply(s)[1]["connection"] == "close"
        assert s.recv(1) == b""
    assert "drained" in httpd.stop()


def test_drain_waits_a_little_for_first_requests(root):
    httpd = Httpd(root)
    with httpd.connect() as idle, httpd.connect() as late, httpd.connect() as silent:
        idle.sendall(b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        read_reply(idle)
        httpd.wait_stats(connections=4)
        httpd.drain()
        assert idle.recv(1) == b""  # so the drain has begun
        late.sendall(b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        code, headers, body, _ = read_reply(late)
        assert (code, headers["connection"], body) == (200, "close", b"hello world\n")
        assert late.recv(1) == silent.recv(1) == b""
    assert "drained" in httpd.stop()


# Unix sockets


def test_unix_socket(start, tmp_path):
    path = tmp_path / "admin.sock"
    httpd = start("--unix", path)
    assert httpd.lines == [str(path)]
    out = subprocess.run(
        ["curl", "-s", "--unix-socket", path, "http://x/who"],
        capture_output=True,
        timeout=TIMEOUT,
        check=True,
    )
    assert out.stdout == f"uid {os.getuid()}\n".encode()


# Many at once


def test_many_clients(httpd):
    def one(i):
        return httpd.get(("/hello.txt", "/delay?ms=5", "/stream?n=20000", "/big")[i % 4]).status

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert list(pool.map(one, range(200))) == [200] * 200
    httpd.wait_stats(connections=1, active=1)


def test_idle_connections_hold_little(start):
    httpd = start("--quiet", "--idle-ms", 60000, "--connections", 1200)

    def rss():
        text = pathlib.Path(f"/proc/{httpd.pid}/smaps_rollup").read_text()
        return int(re.search(r"Private_Dirty:\s+(\d+)", text)[1])

    httpd.get("/hello.txt")
    before = rss()
    connections = []
    for _ in range(1000):
        s = httpd.connect()
        s.sendall(b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read_reply(s)[0] == 200
        connections.append(s)
    used = rss() - before
    for s in connections:
        s.close()
    if BUILD.name == "release":
        assert used < 1000, f"{used} KiB for 1000 connections"
