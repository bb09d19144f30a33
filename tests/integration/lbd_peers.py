"""Servers, clients and a real HAProxy for the tests of okd-lbd."""

import contextlib
import os
import resource
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading

from harness import wait_until
from variant import BUILD, SLOW


class Server:
    """A TCP server that says its name and then echoes.  handler(conn, server) replaces
    that; accepted counts what accept() has returned."""

    def __init__(self, name="", handler=None, tls=None, port=0, backlog=512):
        self.name, self.handler, self.tls = name, handler or echo, tls
        self.accepted = 0
        self.peers = []
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(("127.0.0.1", port))
        self.sock.listen(backlog)
        self.port = self.sock.getsockname()[1]
        self.closed = False
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def _run(self):
        while True:
            try:
                conn, peer = self.sock.accept()
            except OSError:
                return
            if self.closed:
                reset(conn)
                return
            self.accepted += 1
            self.peers.append(peer)
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        with contextlib.suppress(OSError):
            if self.tls:
                conn = self.tls.wrap_socket(conn, server_side=True)
            self.handler(conn, self)
        with contextlib.suppress(OSError):
            conn.close()

    def stop(self):
        """From here on connections are refused; those that are open live on."""
        if not self.closed:
            self.closed = True
            self.sock.shutdown(socket.SHUT_RDWR)
            self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.stop()


def echo(conn, server):
    """Name, then whatever comes."""
    data = conn.recv(65536)
    if not data:
        return
    conn.sendall(server.name.encode() + b":" + data)
    while True:
        data = conn.recv(65536)
        if not data:
            return
        conn.sendall(data)


def greeting(conn, server):
    conn.sendall(server.name.encode() + b"\n")


def http(replies):
    """A handler that answers requests by path: replies[path] is a status, changeable."""

    def handler(conn, server):
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = conn.recv(4096)
            if not chunk:
                return
            data += chunk
        path = data.split()[1].decode()
        status = replies.get(path, 404)
        body = b"ok"
        conn.sendall(
            b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
            % (status, len(body), body))
        if isinstance(conn, ssl.SSLSocket):
            with contextlib.suppress(OSError):
                conn.unwrap()

    return handler


def make_certificate(folder):
    """A self-signed certificate for localhost: (certificate, key)."""
    crt, key = os.path.join(folder, "t.crt"), os.path.join(folder, "t.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", key, "-out", crt],
        check=True, capture_output=True)
    return crt, key


def server_context(folder):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(folder))
    return context


def connect(port, source=None, timeout=5):
    s = socket.socket()
    s.settimeout(timeout * SLOW)
    try:
        if source:
            s.bind((source, 0))
        s.connect(("127.0.0.1", port))
    except OSError:
        s.close()
        raise
    return s


def reset(sock):
    """Closes with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def read_all(sock):
    out = b""
    while True:
        data = sock.recv(65536)
        if not data:
            return out
        out += data


def ask(port, source=None, timeout=5):
    """The name of the server that serves, or "" when the connection just ends."""
    with connect(port, source, timeout) as s:
        s.sendall(b"x")
        return s.recv(100).split(b":")[0].decode()


def config(servers, port, stats=None, frontend=None, **backend):
    """One frontend and one backend in lbd.yaml's terms; servers are Servers or dicts."""
    entries = []
    for s in servers:
        entries.append(s if isinstance(s, dict) else {"name": s.name, "address": s.address})
    check = backend.pop("check", {"type": "tcp", "interval": "100ms"})
    more = backend.pop("top", {})
    return {
        "stats": {"listen": [f"127.0.0.1:{stats}"] if stats else []},
        "frontends": [{"name": "fe", "listen": [f"127.0.0.1:{port}"], "backend": "be",
                       **(frontend or {})}],
        "backends": [{"name": "be", "check": check, "servers": entries, **backend}],
        **more,
    }


def server_status(daemon, name, backend="be"):
    for b in daemon.status()["lbd"]["backends"]:
        for s in b["servers"]:
            if b["name"] == backend and s["name"] == name:
                return s
    raise AssertionError(f"no server {name}")


def wait_status(daemon, name, status, backend="be", timeout=5):
    wait_until(lambda: server_status(daemon, name, backend)["status"] == status, timeout,
               f"status {status} of {name}")


class Load(threading.Thread):
    """Connections one after the other; failures are kept.  Servers a and b say their name,
    others what they were sent."""

    def __init__(self, port, echoed=False):
        super().__init__()
        self.port, self.n, self.failures, self.end = port, 0, [], threading.Event()
        self.answers = ("x",) if echoed else ("a", "b")

    def run(self):
        while not self.end.is_set():
            try:
                if ask(self.port) not in self.answers:
                    self.failures.append("ended early")
            except OSError as e:
                self.failures.append(repr(e))
            self.n += 1

    def stop(self):
        self.end.set()
        self.join()


def spawn_load(*args):
    """tests/tools/lbd/lbdload with as many descriptors as there may be."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return subprocess.Popen(
        [os.path.join(BUILD, "tests/tools/lbd/lbdload"), *map(str, args)], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard)))


def cli(daemon, line):
    """The answer of okd-lbd's socket for HAProxy's commands."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10 * SLOW)
        s.connect(os.path.join(daemon.runtime_dir, "haproxy.sock"))
        s.sendall(line.encode() + b"\n")
        return read_all(s).decode()


class HAProxy:
    """The real one, with a configuration of the caller's; {sock} is its CLI socket."""

    def __init__(self, text):
        self.dir = tempfile.mkdtemp(prefix="okd-haproxy-")
        self.sock = os.path.join(self.dir, "s")
        path = os.path.join(self.dir, "haproxy.cfg")
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"global\n  stats socket {self.sock} mode 600 level admin\n"
                    "  nbthread 1\ndefaults\n  mode tcp\n  timeout connect 5s\n"
                    "  timeout client 1m\n  timeout server 1m\n" + text)
        self.proc = subprocess.Popen(
            ["/usr/sbin/haproxy", "-db", "-f", path], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def cli(self, command):
        s = socket.socket(socket.AF_UNIX)
        s.connect(self.sock)
        s.sendall(command.encode() + b"\n")
        out = read_all(s).decode()
        s.close()
        return out

    def __enter__(self):
        wait_until(lambda: os.path.exists(self.sock) or self.proc.poll() is not None, 10,
                   "haproxy's start")
        if self.proc.poll() is not None:
            raise AssertionError(self.proc.stderr.read())
        return self

    def __exit__(self, *args):
        self.proc.send_signal(signal.SIGTERM)
        self.proc.wait(10)
        self.proc.stderr.close()
        for f in os.listdir(self.dir):
            os.unlink(os.path.join(self.dir, f))
        os.rmdir(self.dir)
