"""What RFC 8906 (section 8) and the DNS flag days ask of a server, over UDP and TCP, byte by
byte, and messages that no client should send."""

import socket
import struct
import threading

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest
import dnsd
from dnsd import HOST, Upstream, query, tcp, texts, udp
from harness import Daemon, free_port
from test_dnsd import closed, connect, framed, read_exactly, read_message

offline_daemon = dnsd.offline_daemon

NAME = b"\3api\3okd\7example\3com\0"
A = b"\0\1\0\1"
ADDRESS = ["192.168.120.101"]
RD, AD, CD, Z, TC, AA = 0x0100, 0x0020, 0x0010, 0x0040, 0x0200, 0x0400
DO = 0x8000
COOKIE = struct.pack("!HH8s", 10, 8, b"clientck")
UNKNOWN = struct.pack("!HH2s", 100, 2, b"xy")
NSID = struct.pack("!HH", 3, 0)


def header(flags=0, qd=1, an=0, ns=0, ar=0, ident=0x1234):
    return struct.pack("!6H", ident, flags, qd, an, ns, ar)


def opt(size=1232, version=0, flags=0, options=b"", owner=b"\0", rcode=0):
    return owner + struct.pack("!HHBBHH", 41, size, rcode, version, flags,
                               len(options)) + options


def plain(flags=0, qtype=1, name=NAME):
    return header(flags) + name + struct.pack("!HH", qtype, 1)


def edns(head=0, qtype=1, name=NAME, **kwargs):
    return header(head, ar=1) + name + struct.pack("!HH", qtype, 1) + opt(**kwargs)


def ask_udp(port, wire):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.connect((HOST, port))
        s.send(wire)
        return s.recv(65535)


def ask_tcp(port, wire):
    with connect(port) as s:
        s.sendall(framed(wire))
        return read_exactly(s, struct.unpack("!H", read_exactly(s, 2))[0])


@pytest.fixture(scope="module", name="port")
def make_port():
    """The port of one daemon with what these tests ask about."""
    port = free_port()
    d = Daemon("dnsd", {
        "listen": [f"{HOST}:{port}"], "forward": {"to": []},
        "records": [f"big A 10.0.{i // 256}.{i % 256}" for i in range(200)]
        + [f"fits A 10.1.0.{i}" for i in range(25)]})
    d.start()
    yield port
    d.stop()
    d.close()


@pytest.fixture(params=[ask_udp, ask_tcp], ids=["udp", "tcp"], name="ask_raw")
def make_ask_raw(request, port):
    """ask_raw(wire) -> the reply's bytes"""
    return lambda wire: request.param(port, wire)


@pytest.fixture(name="ask")
def make_ask(ask_raw):
    """ask(wire) -> (the reply's bytes, parsed)"""

    def ask(wire):
        raw = ask_raw(wire)
        return raw, dns.message.from_wire(raw)

    return ask


def flags_of(raw):
    return struct.unpack("!H", raw[2:4])[0]


# --- section 8.1: without EDNS -----------------------------------------------------------


@pytest.mark.parametrize("flags,kept", [
    (0, 0), (RD, RD), (CD, CD), (AD, 0), (Z, 0), (TC, 0), (AA, 0), (RD | CD | AD | Z, RD | CD)],
    ids=lambda v: hex(v))
def test_plain(ask, flags, kept):
    raw, answer = ask(plain(flags))
    assert texts(answer) == ADDRESS and answer.rcode() == dns.rcode.NOERROR
    assert flags_of(raw) == 0x8000 | AA | kept
    assert answer.edns == -1 and answer.id == 0x1234


@pytest.mark.parametrize("qtype", [2, 6, 10, 28, 65, 99, 257, 1000, 65280, 65534])
def test_other_types_are_nodata(ask, qtype):
    _, answer = ask(plain(qtype=qtype))
    assert answer.rcode() == dns.rcode.NOERROR and not answer.answer
    assert answer.authority[0].rdtype == 6 and answer.flags & dns.flags.AA


@pytest.mark.parametrize("opcode", [1, 2, 3, 4, 5, 6, 7, 15])
@pytest.mark.parametrize("whole", [True, False])
def test_other_opcodes_are_notimp_with_a_header_alone(ask_raw, opcode, whole):
    raw = ask_raw(plain(opcode << 11) if whole else header(opcode << 11, qd=0))
    assert raw == header(0x8000 | opcode << 11 | dns.rcode.NOTIMP, qd=0)


# --- what is told to nobody, and asked of nobody -----------------------------------------

CH, HS, NO_CLASS, ANY_CLASS = 3, 4, 254, 255
SOA_RDATA = b"\0\0" + struct.pack("!5I", 1, 2, 3, 4, 5)
SOA_RECORD = NAME[4:] + struct.pack("!HHIH", 6, 1, 60, len(SOA_RDATA)) + SOA_RDATA


def wire_name(text):
    return b"".join(bytes([len(x)]) + x.encode() for x in text.split(".") if x) + b"\0"


@pytest.fixture(scope="module", name="forwarding")
def make_forwarding():
    """The port of a daemon with an upstream, and that upstream."""
    u, port = Upstream(), free_port()
    d = Daemon("dnsd", {"listen": [f"{HOST}:{port}"],
                        "forward": {"to": [u.address], "find_loops": False}})
    d.start()
    yield port, u
    d.stop()
    d.close()
    u.close()


@pytest.mark.parametrize("send", [ask_udp, ask_tcp], ids=["udp", "tcp"])
class TestNobody:
    @pytest.mark.parametrize("name", [
        "version.bind", "VERSION.bind", "version.server", "hostname.bind", "id.server",
        "authors.bind", "api.okd.example.com", ""])
    @pytest.mark.parametrize("qclass", [CH, HS, NO_CLASS, ANY_CLASS, 0, 2])
    def test_other_classes_are_refused(self, forwarding, send, name, qclass):
        port, u = forwarding
        for qtype in (16, 1, 255):
            wire = header(RD) + wire_name(name) + struct.pack("!HH", qtype, qclass)
            raw = send(port, wire)
            assert flags_of(raw) & 15 == dns.rcode.REFUSED
            assert raw[4:12] == header(qd=1)[4:] and raw[12:] == wire[12:]
        assert not u.seen

    @pytest.mark.parametrize("qtype", [251, 252])
    @pytest.mark.parametrize("name", ["okd.example.com", "120.168.192.in-addr.arpa",
                                      "example.org", ""])
    def test_transfers_are_refused(self, forwarding, send, qtype, name):
        port, u = forwarding
        whole = wire_name(name) + struct.pack("!HH", qtype, 1)
        for wire in (header(0) + whole, header(RD) + whole,
                     header(0, ns=1) + whole + SOA_RECORD):
            raw = send(port, wire)
            assert flags_of(raw) & 15 == dns.rcode.REFUSED and raw[6:12] == bytes(6)
        assert not u.seen

    @pytest.mark.parametrize("opcode", [4, 5], ids=["notify", "update"])
    def test_notify_and_update_are_notimp(self, forwarding, send, opcode):
        """Whole messages as a primary and a DHCP server send them."""
        port, u = forwarding
        zone = NAME[4:] + struct.pack("!HH", 6, 1)
        for wire in (header(opcode << 11) + zone,
                     header(opcode << 11 | AA, an=1) + zone + SOA_RECORD,
                     header(opcode << 11, ns=1) + zone + NAME +
                     struct.pack("!HHIH", 1, 1, 60, 4) + b"\x0a\0\0\1"):
            assert send(port, wire) == header(0x8080 | opcode << 11 | dns.rcode.NOTIMP, qd=0)
        assert not u.seen and texts(udp(port, query("api.okd.example.com"))) == ADDRESS


# --- section 8.2: with EDNS --------------------------------------------------------------


@pytest.mark.parametrize("options", [b"", UNKNOWN, UNKNOWN * 20, NSID, NSID + UNKNOWN],
                         ids=["none", "unknown", "many", "nsid", "two"])
@pytest.mark.parametrize("flags", [0, DO, 0x7FFF, 0xFFFF], ids=hex)
def test_edns(ask, options, flags):
    _, answer = ask(edns(options=options, flags=flags))
    assert texts(answer) == ADDRESS and answer.edns == 0 and answer.payload == 1232
    assert answer.ednsflags & 0xFFFF == flags & DO
    assert not {o.otype for o in answer.options} & {3, 100}


def test_a_cookie_is_answered_right_or_not_at_all(ask):
    _, answer = ask(edns(options=COOKIE))
    assert texts(answer) == ADDRESS
    for o in answer.options:
        data = o.to_wire() or b""
        # RFC 7873: the client's eight bytes, then eight to thirty-two of the server's.
        assert o.otype == 10 and data[:8] == b"clientck" and 16 <= len(data) <= 40


@pytest.mark.parametrize("version", [1, 2, 255])
@pytest.mark.parametrize("flags", [0, DO, 0x4000], ids=hex)
@pytest.mark.parametrize("options", [b"", UNKNOWN, COOKIE], ids=["none", "unknown", "cookie"])
def test_other_versions_are_badvers(ask, version, flags, options):
    _, answer = ask(edns(version=version, flags=flags, options=options))
    assert answer.rcode() == dns.rcode.BADVERS and answer.edns == 0
    assert not answer.answer and not answer.authority
    assert answer.ednsflags & 0xFFFF == flags & DO
    assert 100 not in [o.otype for o in answer.options]


@pytest.mark.parametrize("name,code", [
    (b"\6nobody" + NAME[4:], "NXDOMAIN"), (b"\3www\7example\3org\0", "REFUSED"),
    (b"\0", "REFUSED")], ids=["nxdomain", "refused", "root"])
def test_edns_in_every_kind_of_answer(ask, name, code):
    _, answer = ask(edns(name=name))
    assert dns.rcode.to_text(answer.rcode()) == code and answer.edns == 0
    _, answer = ask(plain(name=name))
    assert dns.rcode.to_text(answer.rcode()) == code and answer.edns == -1


# --- sizes -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 100, 511, 512])
def test_small_sizes_count_as_512(port, size):
    name = b"\4fits" + NAME[4:]  # 25 addresses: 438 bytes with OPT
    raw = ask_udp(port, edns(name=name, size=size))
    assert len(raw) <= 512 and not flags_of(raw) & TC
    assert len(texts(dns.message.from_wire(raw))) == 25


@pytest.mark.parametrize("size", [512, 1231, 1232, 4096, 65535])
def test_a_big_answer_is_cut_and_keeps_its_opt(port, size):
    name = b"\3big" + NAME[4:]
    raw = ask_udp(port, edns(name=name, size=size, flags=DO))
    answer = dns.message.from_wire(raw)
    assert flags_of(raw) & TC and not answer.answer and answer.edns == 0
    assert answer.ednsflags & DO and answer.payload == 1232
    whole = ask_tcp(port, edns(name=name, size=size))
    assert not flags_of(whole) & TC and len(texts(dns.message.from_wire(whole))) == 200


def test_without_edns_512_are_the_limit(port):
    raw = ask_udp(port, plain(name=b"\3big" + NAME[4:]))
    assert flags_of(raw) & TC and dns.message.from_wire(raw).edns == -1


def test_no_datagram_is_larger_than_1232(port):
    for n in (60, 74, 75, 76, 77):
        wanted = edns(name=b"\3big" + NAME[4:], size=65535)
        assert len(ask_udp(port, wanted)) <= 1232, n


# --- messages that are none --------------------------------------------------------------


def label(n):
    return bytes([n]) + b"a" * n


POINTERS = {
    "to itself": b"\xc0\x0c", "forward": b"\xc0\x40", "into the header": b"\xc0\x00",
    "after a label": b"\1a\xc0\x0c", "loop of two": b"\1a\xc0\x10\xc0\x0c",
    "type 01": b"\x41" + b"a" * 65 + b"\0", "type 10": b"\x81" + b"a" * 65 + b"\0",
    "64 bytes": b"\x40" + b"a" * 64 + b"\0", "256 bytes": label(63) * 3 + label(62) + b"\0",
    "beyond the end": b"\x3fabc", "no end": b"\3abc",
}


@pytest.mark.parametrize("name", POINTERS.values(), ids=POINTERS.keys())
def test_names_that_are_none_are_formerr(ask, name):
    _, answer = ask(header(RD) + name + A)
    assert answer.rcode() == dns.rcode.FORMERR and not answer.answer


def test_the_longest_name_and_odd_labels_are_names(ask):
    for name in (label(63) * 3 + label(61) + b"\0", b"\7api\0okd\7example\3com\0",
                 b"\7api.okd\7example\3com\0"):
        _, answer = ask(header(RD) + name + A)
        assert answer.rcode() == dns.rcode.REFUSED
    _, answer = ask(header(RD) + b"\3a\0b" + NAME[4:] + A)
    assert answer.rcode() == dns.rcode.NXDOMAIN


BROKEN = {
    "no question": header(qd=0),
    "two questions": header(qd=2) + NAME + A + NAME + A,
    "65535 questions": header(qd=65535) + NAME + A,
    "an answer that is not there": header(an=1) + NAME + A,
    "an authority that is not there": header(ns=1) + NAME + A,
    "more than there is": header(ar=2) + NAME + A + opt(),
    "65535 of each": header(an=65535, ns=65535, ar=65535) + NAME + A,
    "two OPTs": header(ar=2) + NAME + A + opt() + opt(),
    "OPT with an owner": header(ar=1) + NAME + A + opt(owner=b"\1x\0"),
    "OPT as answer": header(an=1) + NAME + A + opt(),
    "OPT as authority": header(ns=1) + NAME + A + opt(),
    "rdlength beyond the end": header(ar=1) + NAME + A + opt()[:-2] + b"\0\5",
    "option beyond the OPT": header(ar=1) + NAME + A + opt(options=b"\0\x0a\0\x09abc"),
    "half an option": header(ar=1) + NAME + A + opt(options=b"\0\x0a\0"),
}


@pytest.mark.parametrize("wire", BROKEN.values(), ids=BROKEN.keys())
def test_broken_messages_are_formerr(ask, wire):
    _, answer = ask(wire)
    assert answer.rcode() == dns.rcode.FORMERR and not answer.answer and not answer.authority
    _, answer = ask(plain())
    assert texts(answer) == ADDRESS


def is_silent(port, wires):
    """None of them gets a reply: that to a good query is the first to come."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.connect((HOST, port))
        for wire in wires:
            s.send(wire)
        s.send(plain()[:2].replace(b"\x12\x34", b"\xab\xcd") + plain()[2:])
        return s.recv(4096)[:2] == b"\xab\xcd"


def test_responses_and_runts_get_silence(port):
    assert is_silent(port, [plain(0x8000), edns(0x8000 | RD), header(0x8000, qd=0),
                            plain(0xF800), header(0x8583, an=1) + NAME + A])
    assert is_silent(port, [plain()[:n] for n in range(12)])


@pytest.mark.parametrize("whole", [
    plain(RD), edns(RD, flags=DO, options=COOKIE),
    header(RD, ns=1, ar=1) + NAME + A + b"\0\0\6\0\1\0\0\0\0\0\2hi" + opt(size=512)],
    ids=["plain", "edns", "authority"])
def test_every_length(port, whole):
    """A message cut at each byte is silence below a header and FORMERR above."""
    assert is_silent(port, [whole[:n] for n in range(12)])
    with connect(port) as s:
        for n in range(12, len(whole)):
            assert dns.message.from_wire(ask_udp(port, whole[:n])).rcode() == dns.rcode.FORMERR
            s.sendall(framed(whole[:n]))
            assert read_message(s).rcode() == dns.rcode.FORMERR
        s.sendall(framed(whole))
        assert texts(read_message(s)) == ADDRESS


# --- streams -----------------------------------------------------------------------------


def test_replies_over_tcp_may_overtake_each_other(daemon):
    """What an upstream is slow with does not hold up what is known here."""
    go = threading.Event()

    def slow(q, proto):
        go.wait(10)
        return dnsd.reply(q, f"{q.question[0].name} 60 IN A 10.0.0.9")

    u, p = Upstream(slow), free_port()
    try:
        daemon("dnsd", {"listen": [f"{HOST}:{p}"], "forward": {"to": [u.address],
                                                               "attempt": "8s",
                                                               "timeout": "9s"}})
        first, second = query("www.example.org"), query("api.okd.example.com")
        with connect(p) as s:
            s.sendall(framed(first) + framed(second))
            assert second.is_response(read_message(s))
            go.set()
            late = read_message(s)
            assert first.is_response(late) and texts(late) == ["10.0.0.9"]
    finally:
        go.set()
        u.close()


@pytest.mark.parametrize("length,sent", [(0, 0), (1, 1), (11, 11)])
def test_streams_of_no_messages_end(port, length, sent):
    with connect(port) as s:
        s.sendall(struct.pack("!H", length) + b"x" * sent)
        assert closed(s)


def test_a_length_beyond_what_comes_ends_with_the_client(port):
    with connect(port) as s:
        s.sendall(struct.pack("!H", 5000) + plain())
        s.shutdown(socket.SHUT_WR)
        assert closed(s)
    assert texts(tcp(port, query("api.okd.example.com"))) == ADDRESS
    assert texts(udp(port, query("api.okd.example.com"))) == ADDRESS
