"""The HTTP server under attack: in each case an honest client is served while it lasts,
memory stays bounded, and nothing is left of it afterwards."""

import contextlib
import os
import pathlib
import random
import re
import select
import socket
import ssl
import struct

import pytest
from httpd import BUILD, TIMEOUT, Httpd, read_all, read_reply, status
from httpd import make_root
from test_http_tls import certificate, tls_get

FIXTURES = (make_root,)  # pytest finds it in this module

HELLO = b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD_MAX = 16 * 1024


@pytest.fixture(name="start")
def make_quiet_start(root):
    """Without a line for each request, which nobody would read here."""
    servers = []

    def starter(*args):
        servers.append(Httpd(root, "--quiet", *args))
        return servers[-1]

    yield starter
    for s in servers:
        s.stop()


@pytest.fixture(name="httpd")
def make_httpd(start):
    return start()


def dirty_kib(httpd):
    text = pathlib.Path(f"/proc/{httpd.pid}/smaps_rollup").read_text(encoding="ascii")
    return int(re.search(r"Private_Dirty:\s+(\d+)", text)[1])


@contextlib.contextmanager
def bounded(httpd, kib):
    """At its end no more than so much memory is used beyond what was at the beginning;
    sanitizers keep books of their own."""
    assert httpd.get("/hello.txt").status == 200
    before = dirty_kib(httpd)
    yield
    used = dirty_kib(httpd) - before
    assert BUILD.name != "release" or used <= kib, f"{used} KiB"


@contextlib.contextmanager
def attackers(httpd, n, hello=b""):
    """n connections that have sent hello."""
    with contextlib.ExitStack() as stack:
        made = []
        for _ in range(n):
            made.append(stack.enter_context(httpd.connect()))
            with contextlib.suppress(OSError):
                made[-1].sendall(hello)
        yield made


def from_elsewhere(httpd):
    """A connection of another client address."""
    s = socket.socket()
    s.settimeout(TIMEOUT)
    s.bind(("127.0.0.9", 0))
    s.connect(("127.0.0.1", httpd.port))
    return s


def honest(httpd):
    with from_elsewhere(httpd) as s:
        s.sendall(HELLO)
        assert read_reply(s)[0] == 200


def is_cut(s):
    """The server ends the connection, and says at most that it took too long."""
    try:
        data = read_all(s)
    except ConnectionResetError:
        return True
    return data == b"" or status(data) == 408


# --- connections -------------------------------------------------------------------------


def test_silent_connections_of_one_address_leave_room(start):
    httpd = start("--connections", 100, "--per-address", 50, "--head-ms", 500 * 1000)
    with bounded(httpd, 2000), attackers(httpd, 300) as made:
        honest(httpd)
        turned_away = [s for s in made if select.select([s], [], [], 0)[0]]
        for s in turned_away:
            assert status(read_all(s)) == 503
        honest(httpd)
    httpd.wait_stats(connections=1)


def test_silent_connections_of_everybody_are_cut(start):
    """All places are taken: whoever waits gets one when the silent ones are cut."""
    httpd = start("--connections", 40, "--head-ms", 400)
    with attackers(httpd, 40) as made:
        honest(httpd)
        assert all(is_cut(s) for s in made)


def test_slowloris(start):
    """A byte of the head now and then puts nothing off."""
    httpd = start("--head-ms", 600)
    with bounded(httpd, 3000), attackers(httpd, 200, b"GET / HTTP/1.1\r\nX-A: ") as made:
        waiting = set(made)
        while waiting:
            honest(httpd)
            for s in list(waiting):
                if select.select([s], [], [], 0)[0]:
                    assert is_cut(s)
                    waiting.discard(s)
                else:
                    with contextlib.suppress(OSError):
                        s.send(b"a")
    httpd.wait_stats(connections=1)
    assert httpd.stats()["timeouts"] >= 200


def test_slow_bodies(start):
    httpd = start("--progress-ms", 400)
    head = b"PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
    with bounded(httpd, 3000), attackers(httpd, 100, head) as made:
        honest(httpd)
        assert all(is_cut(s) for s in made)
    httpd.wait_stats(connections=1, active=1)


def test_readers_that_stop(start):
    """Large replies that nobody takes hold next to nothing, and end."""
    httpd = start("--progress-ms", 1500)
    with bounded(httpd, 4000):
        with contextlib.ExitStack() as stack:
            for _ in range(60):
                s = stack.enter_context(httpd.connect(rcvbuf=4096))
                s.sendall(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
            honest(httpd)
            httpd.wait_stats(connections=1)


def test_a_flood_of_resets(httpd):
    fds = len(os.listdir(f"/proc/{httpd.pid}/fd"))
    for i in range(1500):
        with httpd.connect() as s:
            if i % 3:
                s.sendall(HELLO[: 7 * (i % 6)] or HELLO)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    honest(httpd)
    httpd.wait_stats(connections=1)
    assert len(os.listdir(f"/proc/{httpd.pid}/fd")) <= fds + 1


def test_garbage(httpd):
    rng = random.Random(1)
    for i in range(300):
        junk = rng.randbytes(rng.randrange(1, 4000))
        if i % 2:
            junk = b"GET /" + junk
        with httpd.connect() as s, contextlib.suppress(OSError):
            s.sendall(junk + b"\r\n\r\n")
            s.shutdown(socket.SHUT_WR)
            reply = read_all(s)
            assert not reply or 400 <= status(reply) < 600
    honest(httpd)
    httpd.wait_stats(connections=1)


# --- heads -------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [b"a:b\r\n", b"Cookie: " + b"x" * 4000 + b"\r\n", b"X:\r\n",
                                  b"Range: bytes=0-\r\n", b"Host: a\r\n"], ids=range(5))
def test_header_bombs(httpd, line):
    """Beyond the limit: 431 (or 400, where a repetition is wrong), before the rest."""
    with bounded(httpd, 1000):
        for _ in range(20):
            bomb = b"GET /hello.txt HTTP/1.1\r\n" + line * (4 * HEAD_MAX // len(line))
            with httpd.connect() as s, contextlib.suppress(ConnectionError):
                s.sendall(bomb)
                assert status(read_all(s)) in (400, 431)
        honest(httpd)


def test_many_short_headers(httpd):
    """As many as a head has room for: read or refused, and no work for long."""
    lines = b"".join(b"%x:\r\n" % i for i in range(2000))
    bomb = (b"GET /hello.txt HTTP/1.1\r\nHost: a\r\n" + lines)[: HEAD_MAX - 100]
    bomb = bomb[: bomb.rfind(b"\r\n") + 2] + b"Connection: close\r\n\r\n"
    for _ in range(50):
        assert status(httpd.send(bomb)) in (200, 431)
    honest(httpd)


def test_unfinished_heads_hold_no_more_than_a_head(start):
    httpd = start("--head-ms", 300 * 1000)
    hello = b"GET / HTTP/1.1\r\nX-A: " + b"a" * (HEAD_MAX - 100)
    with bounded(httpd, 100 * 32 + 2000), attackers(httpd, 100, hello):
        honest(httpd)
        httpd.wait_stats(connections=101)
        # While they are held.
        assert BUILD.name != "release" or dirty_kib(httpd) < 12000


@pytest.mark.parametrize("target", [b"/" + b"a" * 9000, b"/" + b"../" * 2000,
                                    b"/" + b"%2e%2e%2f" * 800, b"/?" + b"&" * 8000],
                         ids=range(4))
def test_target_bombs(httpd, target):
    reply = httpd.send(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert 400 <= status(reply) < 500
    honest(httpd)


# --- ranges ------------------------------------------------------------------------------


def ranges_reply(httpd, value):
    reply = httpd.send(b"GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\nRange: bytes="
                       + value + b"\r\n\r\n")
    return status(reply), len(reply)


@pytest.mark.parametrize("value", [
    ",".join(["0-"] * 1300), ",".join(f"{i}-" for i in range(900)),
    ",".join(["0-8388607"] * 30), ",".join(["-8388608"] * 30),
    ",".join(f"{2 * i}-{2 * i}" for i in range(900)), "," * 8000, "0-0" + "," * 8000,
    ",".join(["18446744073709551615-"] * 300), ",".join(f"{i}-0" for i in range(900)),
], ids=range(9))
def test_range_bombs(httpd, root, value):
    """Never more than the file and one head for each of a few parts."""
    size = (root / "big").stat().st_size
    with bounded(httpd, 1500):
        code, n = ranges_reply(httpd, value.encode())
        assert code in (200, 206, 400, 416)
        assert n < size + 32 * 300 + 1000
        honest(httpd)


def test_ranges_asked_for_at_once_by_many(httpd, root):
    value = ",".join(f"{i * 1000}-{i * 1000 + 9}" for i in range(32)).encode()
    one = b"GET /big HTTP/1.1\r\nHost: a\r\nRange: bytes=" + value + b"\r\n\r\n"
    with bounded(httpd, 4000), attackers(httpd, 100, one) as made:
        honest(httpd)
        data = (root / "big").read_bytes()
        for s in made:
            code, _, body, _ = read_reply(s)
            assert code == 206 and data[5000:5010] in body
    httpd.wait_stats(connections=1)


# --- pipelining and bodies ---------------------------------------------------------------


def test_a_pipelining_flood_is_not_gathered(httpd):
    """Requests without end from one who reads nothing: the server stops reading, serves
    others, and answers all that it took once he reads."""
    with bounded(httpd, 4000):
        with httpd.connect(rcvbuf=4096) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
            s.setblocking(False)
            sent = 0
            while select.select([], [s], [], 0.3)[1]:
                with contextlib.suppress(BlockingIOError):
                    sent += s.send(HELLO * 500)
            assert 0 < sent < 64 << 20
            honest(httpd)
            s.settimeout(TIMEOUT)
            whole, buffer = sent // len(HELLO), b""
            for _ in range(whole):
                code, _, body, buffer = read_reply(s, buffer)
                assert code == 200 and body == b"hello world\n"
    httpd.wait_stats(connections=1)


def test_pipelining_on_many_connections_shares_the_loop(httpd):
    with attackers(httpd, 30, HELLO * 300) as made:
        honest(httpd)
        for s in made:
            buffer = b""
            for _ in range(300):
                code, _, _, buffer = read_reply(s, buffer)
                assert code == 200
    httpd.wait_stats(connections=1)


def put_chunked(httpd, body, n=1):
    """What a chunked upload of n times body comes to."""
    with httpd.connect() as s:
        s.sendall(b"PUT /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(n):
                s.sendall(body)
        with contextlib.suppress(ConnectionError):
            return read_all(s)
    return b""


@pytest.mark.parametrize("body", [
    b"1;" + b"x" * 60000, b"1;a=b" * 20000, b"0" * 70000, b"0\r\n" + b"T: x\r\n" * 20000,
    b"0\r\nT: " + b"x" * 70000, b"FFFFFFFFFFFFFFFFF\r\n", b"ffffffffffffffff\r\n",
], ids=range(7))
def test_chunk_bombs_are_refused(httpd, body):
    with bounded(httpd, 1500):
        reply = put_chunked(httpd, body, 20)
        assert not reply or 400 <= status(reply) < 500
        honest(httpd)


def test_chunks_of_one_byte_are_just_slow(httpd):
    with bounded(httpd, 1500), httpd.connect() as s:
        s.sendall(b"PUT /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                  + b"1\r\nx\r\n" * 50000 + b"0\r\n\r\n")
        code, _, body, _ = read_reply(s)
        assert code == 200 and body.startswith(b"50000 ")


@pytest.mark.parametrize("length", [b"18446744073709551616", b"-1", b"+1", b"1,1", b"0x10",
                                    b"99999999999999999999999", b"1 1", b""])
def test_lengths_that_are_none(httpd, length):
    reply = httpd.send(b"PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: " + length
                       + b"\r\n\r\n")
    assert status(reply) == 400
    honest(httpd)


def test_bodies_that_are_announced_and_never_come(start):
    httpd = start("--progress-ms", 600)
    head = (b"PUT /count HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n"
            b"Expect: 100-continue\r\n\r\n")
    with bounded(httpd, 3000), attackers(httpd, 100, head) as made:
        for s in made:
            assert s.recv(25).startswith(b"HTTP/1.1 100 Continue")
        honest(httpd)
        assert all(is_cut(s) for s in made)
    httpd.wait_stats(connections=1, active=1)


# --- TLS ---------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="pair")
def make_pair(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("tls"), "attacked")


def client_hello(ca):
    """The bytes with which a client opens."""
    context = ssl.create_default_context(cafile=ca)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("part", [0, 1, 5, 100, None])
def test_handshakes_that_stall(start, pair, part):
    """Silent, in mid-record, or after the whole ClientHello."""
    httpd = start("--cert", pair[0], "--key", pair[1], "--head-ms", 700)
    hello = client_hello(pair[0])
    with attackers(httpd, 60, hello[:part] if part is not None else hello) as made:
        assert tls_get(httpd, pair[0]).status == 200
        for s in made:
            with contextlib.suppress(ConnectionResetError):
                while s.recv(65536):
                    pass
    assert tls_get(httpd, pair[0]).status == 200


def test_handshakes_of_garbage(start, pair):
    httpd = start("--cert", pair[0], "--key", pair[1])
    rng, hello = random.Random(2), client_hello(pair[0])
    for i in range(200):
        broken = bytearray(hello)
        for _ in range(1 + i % 8):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        with httpd.connect() as s, contextlib.suppress(OSError):
            s.sendall(broken)
            s.shutdown(socket.SHUT_WR)
            read_all(s)
    assert tls_get(httpd, pair[0]).status == 200


def test_a_flood_of_hellos(start, pair):
    """Each costs a signature: honest clients come in between."""
    httpd = start("--cert", pair[0], "--key", pair[1])
    hello = client_hello(pair[0])
    fds = len(os.listdir(f"/proc/{httpd.pid}/fd"))
    for _ in range(20):
        with attackers(httpd, 15, hello):
            pass
        assert tls_get(httpd, pair[0]).status == 200
    while len(os.listdir(f"/proc/{httpd.pid}/fd")) > fds + 1:
        assert tls_get(httpd, pair[0]).status == 200
