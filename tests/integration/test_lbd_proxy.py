"""okd-lbd and the PROXY protocol: headers from who is before it, and for who is behind it."""

import socket
import struct

import pytest

from harness import free_port
from lbd_peers import Server, config, connect


def test_proxy_headers_in_and_out(daemon):
    def handler(conn, server):
        server.got = conn.recv(1000)
        conn.sendall(b"ok")

    port = free_port()
    with Server("a", handler) as a:
        servers = [{"name": "a", "address": a.address, "send_proxy": "v1"}]
        d = daemon("lbd", config(servers, port, frontend={"accept_proxy": True}))
        with connect(port) as s:
            s.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\nhello")
            assert s.recv(10) == b"ok"
        assert a.got.startswith(f"PROXY TCP4 192.0.2.7 127.0.0.1 5000 {port}\r\n".encode())
        d.log_contains("192.0.2.7:5000 [")
        with connect(port) as s:
            header = (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + socket.inet_aton("192.0.2.8")
                      + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 77, 443))
            for i in range(len(header)):
                s.sendall(header[i:i + 1])
            s.sendall(b"x")
            assert s.recv(10) == b"ok"
        assert a.got.startswith(b"PROXY TCP4 192.0.2.8 ")
        s = connect(port)
        s.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            s.recv(1)
        s.close()


@pytest.mark.parametrize("version,begin", [
    ("v1", b"PROXY TCP4 127.0.0.5 127.0.0.1 "), ("v2", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c")])
def test_a_server_hears_who_the_client_is(daemon, version, begin):
    def handler(conn, server):
        server.got = conn.recv(1000)
        conn.sendall(b"ok")

    port = free_port()
    with Server("a", handler) as a:
        servers = [{"name": "a", "address": a.address, "send_proxy": version}]
        daemon("lbd", config(servers, port))
        with connect(port, "127.0.0.5") as s:
            s.sendall(b"hello")
            assert s.recv(10) == b"ok"
            tail = struct.pack("!4s4sHH", socket.inet_aton("127.0.0.5"),
                               socket.inet_aton("127.0.0.1"), s.getsockname()[1], port)
        assert a.got.startswith(begin)
        assert version == "v1" or a.got[len(begin):].startswith(tail)


def test_who_sends_no_proxy_header_is_not_waited_for(daemon):
    """R8: what precedes a connection to a server is bounded in time."""
    port = free_port()
    with Server("a") as a:
        d = daemon("lbd", config([a], port, frontend={"accept_proxy": True},
                                 top={"timeouts": {"proxy_header": "200ms"}}))
    with connect(port) as s:
        assert s.recv(1) == b""
    assert " fe be/<NOSRV> -1/-1/" in d.log_contains(" PR ")
