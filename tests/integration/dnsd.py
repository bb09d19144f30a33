"""What the tests of dnsd share: a daemon that asks nobody outside, and an upstream that
misbehaves as told."""

import contextlib
import select
import socket
import struct
import threading

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rrset
import pytest

HOST = "127.0.0.1"


@pytest.fixture(name="daemon")
def offline_daemon(daemon):
    """As daemon, but without the example's upstreams, which are real addresses."""

    def start(name, config=None, *args, **kwargs):
        return daemon(name, {"forward": {"to": []}, **(config or {})}, *args, **kwargs)

    return start


def query(name, rdtype="A", **kwargs):
    return dns.message.make_query(name, rdtype, **kwargs)


def udp(port, q, timeout=10):
    return dns.query.udp(q, HOST, port=port, timeout=timeout)


def tcp(port, q, timeout=10):
    return dns.query.tcp(q, HOST, port=port, timeout=timeout)


def texts(answer):
    return sorted(r.to_text() for rrset in answer.answer for r in rrset)


def rcode(answer):
    return dns.rcode.to_text(answer.rcode())


def reply(q, *lines, rcode=dns.rcode.NOERROR, authority=(), additional=(), flags=0):
    """A reply with records as lines of a zone file."""
    r = dns.message.make_response(q, recursion_available=True)
    r.set_rcode(rcode)
    r.flags |= flags
    for section, texts_ in ((r.answer, lines), (r.authority, authority),
                            (r.additional, additional)):
        for line in texts_:
            name, ttl, _, rdtype, rdata = line.split(None, 4)
            section.append(dns.rrset.from_text(name, int(ttl), "IN", rdtype, rdata))
    return r


def metrics(d):
    """As d.metrics(): a series that is there twice spoils the whole scrape."""
    samples = [line.rsplit(" ", 1)[0] for line in d.admin("/metrics").text.splitlines()
               if line and not line.startswith("#")]
    assert len(samples) == len(set(samples))
    return d.metrics()


class Upstream:
    """Answers on one port over UDP and TCP by behave(query, proto), which returns a
    message, bytes, a list of these, or None for silence.  seen holds what was asked."""

    def __init__(self, behave=None):
        self.behave = behave or (lambda q, proto: reply(
            q, f"{q.question[0].name} 300 IN A 10.0.0.1"))
        self.seen = []
        self.port, self.udp, self.tcp = self._sockets()
        self.tcp.listen(64)
        self.wake, self.stop_end = socket.socketpair()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @staticmethod
    def _sockets():
        """One port for both protocols."""
        while True:
            stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            stream.bind((HOST, 0))
            port = stream.getsockname()[1]
            datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with contextlib.suppress(OSError):
                datagram.bind((HOST, port))
                return port, datagram, stream
            stream.close()
            datagram.close()

    @property
    def address(self):
        return f"{HOST}:{self.port}"

    def names(self):
        return [str(q.question[0].name).lower() for q, _ in list(self.seen)]

    def _answers(self, wire, proto):
        q = dns.message.from_wire(wire)
        self.seen.append((q, proto))
        said = self.behave(q, proto)
        for r in said if isinstance(said, list) else [said]:
            if r is not None:
                yield r if isinstance(r, bytes) else r.to_wire(max_size=65535)

    def _serve_tcp(self, conns, c):
        data = b""
        with contextlib.suppress(OSError):
            data = c.recv(65536)
        if not data:
            del conns[c]
            c.close()
            return
        conns[c] += data
        while len(conns[c]) >= 2:
            n = struct.unpack("!H", conns[c][:2])[0]
            if len(conns[c]) < 2 + n:
                break
            message, conns[c] = conns[c][2:2 + n], conns[c][2 + n:]
            for r in self._answers(message, "tcp"):
                c.sendall(struct.pack("!H", len(r)) + r)

    def _run(self):
        conns = {}
        while True:
            ready, _, _ = select.select([self.udp, self.tcp, self.stop_end, *conns], [], [])
            if self.stop_end in ready:
                break
            for s in ready:
                if s is self.udp:
                    wire, peer = s.recvfrom(65535)
                    for r in self._answers(wire, "udp"):
                        s.sendto(r, peer)
                elif s is self.tcp:
                    conns[s.accept()[0]] = b""
                else:
                    self._serve_tcp(conns, s)
        for c in conns:
            c.close()

    def close(self):
        self.wake.send(b"x")
        self.thread.join(10)
        for s in (self.udp, self.tcp, self.wake, self.stop_end):
            s.close()


@pytest.fixture
def upstream():
    """upstream(behave) -> Upstream"""
    made = []

    def start(behave=None):
        made.append(Upstream(behave))
        return made[-1]

    yield start
    for u in made:
        u.close()
