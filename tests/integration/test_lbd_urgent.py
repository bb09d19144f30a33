"""okd-lbd and urgent data: a read ends before it, whatever comes behind."""

import contextlib
import hashlib
import os
import signal
import socket
import threading

import pytest

from harness import free_port
from lbd_peers import Server, config, connect, read_all


def read_exactly(sock, n):
    out = b""
    while len(out) < n:
        piece = sock.recv(n - len(out))
        assert piece, out
        out += piece
    return out


@pytest.fixture
def stopped():
    """A daemon that finds all at once what came in meanwhile."""

    @contextlib.contextmanager
    def stop(d):
        os.kill(d.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(d.pid, signal.SIGCONT)

    return stop


def test_urgent_data_is_passed_on_in_its_place(daemon, stopped):
    """A read ends before it, whatever comes behind."""
    ready, go = threading.Event(), threading.Event()

    def handler(conn, server):
        conn.sendall(conn.recv(10))
        conn.sendall(read_exactly(conn, 4))
        go.wait(20)
        conn.sendall(b"vw")
        conn.send(b"x", socket.MSG_OOB)
        conn.sendall(b"yz")
        ready.set()
        server.rest = read_all(conn)
        conn.sendall(b"!")

    port = free_port()
    with Server("a", handler) as a:
        d = daemon("lbd", config([a], port))
        with connect(port) as s:
            s.sendall(b"1")
            assert s.recv(10) == b"1"
            with stopped(d):
                s.sendall(b"abc")
                s.send(b"d", socket.MSG_OOB)
            assert read_exactly(s, 4) == b"abcd"
            with stopped(d):
                go.set()
                assert ready.wait(20)
            assert read_exactly(s, 5) == b"vwxyz"
            with stopped(d):
                s.sendall(b"e")
                s.send(b"f", socket.MSG_OOB)
                s.shutdown(socket.SHUT_WR)
            assert read_all(s) == b"!"
            assert a.rest == b"ef"


def test_urgent_data_amid_much_other(daemon):
    """Where bytes go through pipes."""
    piece, n = os.urandom(1 << 20), 8

    def handler(conn, server):
        conn.sendall(hashlib.sha256(read_all(conn)).hexdigest().encode())

    port = free_port()
    with Server("a", handler) as a:
        daemon("lbd", config([a], port))
        with connect(port, timeout=20) as s:
            for _ in range(n):
                s.sendall(piece)
                s.send(b"u", socket.MSG_OOB)
            s.shutdown(socket.SHUT_WR)
            assert read_all(s).decode() == hashlib.sha256((piece + b"u") * n).hexdigest()
