"""The test server over common/http (tests/tools/common/httpd.c), and ways to talk to it."""

import http.client
import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import time

import pytest
import variant

BUILD = pathlib.Path(variant.BUILD)
HTTPD = BUILD / "tests/tools/common/httpd"
TIMEOUT = 20 * variant.SLOW  # seconds for anything that must happen


class Httpd:
    """The test server; stop() checks its exit code and that no sanitizer spoke."""

    def __init__(self, root, *args):
        self.stderr = open(root.parent / "httpd.err", "w+b")
        self.proc = subprocess.Popen(
            [HTTPD, "--root", root, *map(str, args)],
            stdout=subprocess.PIPE,
            stderr=self.stderr,
        )
        self.draining = False
        self.lines = []
        self.buffer = b""
        first = self.line()
        self.port = int(first) if first.isdigit() else None
        self.pid = self.proc.pid

    def line(self, timeout=TIMEOUT):
        deadline = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.proc.stdout], [], [], left)[0], (
                f"no output in time; so far {self.lines}"
            )
            data = os.read(self.proc.stdout.fileno(), 65536)
            assert data, f"the server ended; so far {self.lines}"
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        self.lines.append(line.decode())
        return self.lines[-1]

    def wait_line(self, pattern):
        while True:
            line = self.line()
            if re.search(pattern, line):
                return line

    def connect(self, rcvbuf=0):
        s = socket.socket()
        if rcvbuf:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        s.settimeout(TIMEOUT)
        s.connect(("127.0.0.1", self.port))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def send(self, data, shut=False):
        """One connection, everything it answers until it closes."""
        with self.connect() as s:
            s.sendall(data)
            if shut:
                s.shutdown(socket.SHUT_WR)
            return read_all(s)

    def get(self, path, method="GET", body=None, **headers):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        c.request(
            method, path, body, {k.replace("_", "-"): v for k, v in headers.items()}
        )
        r = c.getresponse()
        r.body = r.read()
        c.close()
        return r

    def stats(self):
        return json.loads(self.get("/stats").body)

    def wait_stats(self, **want):
        deadline = time.monotonic() + TIMEOUT
        while True:
            stats = self.stats()
            if all(stats[k] == v for k, v in want.items()):
                return stats
            assert time.monotonic() < deadline, f"{stats} is not {want}"

    def drain(self):
        if not self.draining and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        self.draining = True

    def stop(self):
        self.drain()
        out, _ = self.proc.communicate(timeout=TIMEOUT)
        self.stderr.seek(0)
        err = self.stderr.read().decode()
        self.stderr.close()
        assert self.proc.returncode == 0, err
        assert err == ""
        return (self.buffer + out).decode()


def read_all(s):
    data = bytearray()
    while chunk := s.recv(1 << 20):
        data += chunk
    return bytes(data)


def read_reply(s, buffer=b""):
    """One reply with a Content-Length: status, headers, body, and what lies behind."""
    while b"\r\n\r\n" not in buffer:
        chunk = s.recv(65536)
        assert chunk, f"closed after {buffer!r}"
        buffer += chunk
    head, buffer = buffer.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    headers = {k.lower(): v for k, v in (x.split(": ", 1) for x in lines[1:])}
    n = int(headers.get("content-length", 0))
    while len(buffer) < n:
        chunk = s.recv(65536)
        assert chunk
        buffer += chunk
    return int(lines[0].split()[1]), headers, buffer[:n], buffer[n:]


def status(reply):
    return int(reply.split(b" ", 2)[1])


def checksum(data):
    n = 0
    for b in data:
        n = (n * 31 + b) & 0xFFFFFFFF
    return n


@pytest.fixture(scope="module", name="root")
def make_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("http") / "root"
    (root / "dir").mkdir(parents=True)
    (root / "hello.txt").write_bytes(b"hello world\n")
    (root / "empty").write_bytes(b"")
    (root / "master.ign").write_bytes(b"{}")
    (root / "big").write_bytes(os.urandom(1 << 20) * 8)
    os.utime(root / "hello.txt", (1600000000, 1600000000))
    return root


@pytest.fixture(name="start")
def make_start(root):
    servers = []

    def starter(*args):
        servers.append(Httpd(root, *args))
        return servers[-1]

    yield starter
    for s in servers:
        s.stop()


@pytest.fixture(name="httpd")
def make_httpd(start):
    return start()
