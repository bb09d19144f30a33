"""What keeps dnsd from being used against others: cookies, limits on alike replies."""

import os
import socket
import subprocess
import sys

import dns.edns
import dns.flags
import dns.message
import pytest
import dnsd
import netns
from dnsd import HOST, query, rcode, tcp, texts, udp
from harness import example_cluster, free_port

offline_daemon = dnsd.offline_daemon
upstream = dnsd.upstream

COOKIE = 10
NAME = "api.okd.example.com"


def serve(daemon, **config):
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "workers": 1, **config})
    return d, p


def with_cookie(cookie, name=NAME):
    return query(name, use_edns=0, options=[dns.edns.GenericOption(COOKIE, cookie)])


def cookie_of(answer):
    return [o.to_wire() for o in answer.options if o.otype == COOKIE]


@pytest.mark.parametrize("send", [udp, tcp])
def test_a_client_that_sends_a_cookie_gets_one(daemon, send):
    _, p = serve(daemon)
    client = os.urandom(8)
    (first,) = cookie_of(send(p, with_cookie(client)))
    assert len(first) == 24 and first[:8] == client and first[8:12] == b"\1\0\0\0"
    # It is kept while it is young, for this client alone.
    assert cookie_of(send(p, with_cookie(first))) == [first]
    other = os.urandom(8)
    (second,) = cookie_of(send(p, with_cookie(other + first[8:])))
    assert second[:8] == other and second[16:] != first[16:]
    # Without one there is none, and other servers' are replaced.
    assert not cookie_of(send(p, query(NAME, use_edns=0)))
    (fresh,) = cookie_of(send(p, with_cookie(client + os.urandom(32))))
    assert len(fresh) == 24


@pytest.mark.parametrize("cookie", [b"", b"1234567", b"123456789", b"x" * 15, b"x" * 41])
def test_a_cookie_of_a_wrong_length_is_an_error(daemon, cookie):
    _, p = serve(daemon)
    assert rcode(udp(p, with_cookie(cookie))) == "FORMERR"


def without_question(message):
    """The same without its question, which is all of it but the header and OPT."""
    wire = message.to_wire()
    question = sum(len(label) + 1 for label in message.question[0].name.labels) + 4
    return wire[:4] + b"\0\0" + wire[6:12] + wire[12 + question:]


@pytest.mark.parametrize("send", [udp, tcp])
def test_a_cookie_alone_can_be_asked_for(daemon, send):
    """RFC 7873, 5.4: no question, and an OPT with a cookie."""
    d, p = serve(daemon)
    client = os.urandom(8)

    def ask(cookie):
        q = with_cookie(cookie)
        wire = without_question(q)
        if send is udp:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.settimeout(10)
                s.sendto(wire, (HOST, p))
                return dns.message.from_wire(s.recv(4096))
        with socket.create_connection((HOST, p), timeout=10) as s:
            s.sendall(len(wire).to_bytes(2, "big") + wire)
            n = int.from_bytes(s.recv(2, socket.MSG_WAITALL), "big")
            return dns.message.from_wire(s.recv(n, socket.MSG_WAITALL))

    answer = ask(client)
    (cookie,) = cookie_of(answer)
    assert rcode(answer) == "NOERROR" and not answer.question and cookie[:8] == client
    assert cookie_of(ask(cookie)) == [cookie]
    assert cookie_of(send(p, with_cookie(cookie))) == [cookie]
    d.reload({"listen": [f"{HOST}:{p}"], "workers": 1, "cookies": False})
    answer = ask(client)
    assert rcode(answer) == "FORMERR" and not cookie_of(answer)


def test_cookies_can_be_switched_off(daemon):
    _, p = serve(daemon, cookies=False)
    answer = udp(p, with_cookie(os.urandom(8)))
    assert texts(answer) == ["192.168.120.101"] and not cookie_of(answer)


def test_every_kind_of_reply_has_the_cookie(daemon, upstream):
    u = upstream()
    _, p = serve(daemon, forward={"to": [u.address]},
                 template=[{"zones": ["t.example.net"], "ederror": "15 no",
                            "answer": ["{{ .Name }} A 10.0.0.1"], "fallthrough": True}])
    for name in ("api.okd.example.com", "nobody.okd.example.com", "www.example.org",
                 "www.example.org", "x.t.example.net"):
        client = os.urandom(8)
        (cookie,) = cookie_of(udp(p, with_cookie(client, name)))
        assert cookie[:8] == client


# --- limits, from an address that is not loopback's, as that is never limited -----------

FAR = "10.253.7.1"
SEND = """
import socket, sys
port, silent, want, *messages = sys.stdin.read().split()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s, \\
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
    upstream.bind((sys.argv[1], int(silent)))
    s.bind((sys.argv[1], 0))
    s.settimeout(20 if int(want) else 0.5)
    for m in messages:
        s.sendto(bytes.fromhex(m), (sys.argv[1], int(port)))
    try:
        for i in range(int(want) or 1000000):
            print(s.recv(65535).hex())
    except TimeoutError:
        pass
"""


@pytest.fixture(name="far")
def far_fixture():
    """The command that runs things in a namespace which has that address."""
    name = f"okd{os.getpid()}-far"
    made = netns.ip("netns", "add", name, check=False)
    if made.returncode:
        pytest.skip(f"ip netns add: {made.stderr.strip()}")
    try:
        netns.ip("-n", name, "addr", "add", f"{FAR}/32", "dev", "lo")
        netns.ip("-n", name, "link", "set", "lo", "up")
        yield ["ip", "netns", "exec", name]
    finally:
        netns.ip("netns", "del", name)


def replies(far, port, messages, silent=0, want=0):
    """The replies that come to messages sent at once: as many as are wanted, or until none
    comes any more.  Meanwhile an upstream at the port silent says nothing."""
    lines = [str(port), str(silent), str(want), *(m.to_wire().hex() for m in messages)]
    done = subprocess.run([*far, sys.executable, "-c", SEND, FAR], text=True, check=True,
                          input="\n".join(lines), capture_output=True, timeout=30)
    return [dns.message.from_wire(bytes.fromhex(x)) for x in done.stdout.split()]


def limited(daemon, far, config=None, **rrl):
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{FAR}:{p}"], "workers": 1, "rrl": {"rate": 5, **rrl},
                        **(config or {})}, wrapper=far)
    return d, p


def test_alike_replies_to_a_network_are_limited(daemon, far):
    d, p = limited(daemon, far, slip=2)
    # Thirty within one second or two: at most two budgets of five whole replies.
    got = replies(far, p, [query(NAME) for _ in range(30)])
    whole = [r for r in got if r.answer]
    cut = [r for r in got if not r.answer]
    assert 5 <= len(whole) <= 10
    assert all(r.flags & dns.flags.TC for r in cut) and len(cut) == (30 - len(whole)) // 2
    m = d.metrics()
    assert m["okd_dnsd_rrl_slipped_total"] == len(cut)
    assert m["okd_dnsd_rrl_dropped_total"] == 30 - len(got)
    # Another question has a budget of its own.
    assert [texts(r) for r in replies(far, p, [query("registry.okd.example.com")])] == [
        ["192.168.120.101"]]


@pytest.mark.parametrize("rdtype", ["A", "AAAA"])
@pytest.mark.parametrize("name,code", [
    ("n{}.okd.example.com", "NXDOMAIN"), ("a.n{}.okd.example.com", "NXDOMAIN"),
    ("n{}.apps.okd.example.com", "NOERROR"), ("a.n{}.apps.okd.example.com", "NOERROR"),
    ("a.n{}.t.example.net", "NOERROR")])
def test_random_names_are_alike(daemon, far, name, code, rdtype):
    """Those that do not exist, and those of a wildcard or a template, with one random label
    or with more."""
    d, p = limited(daemon, far, slip=0, config={"template": [{
        "zones": ["t.example.net"], "type": "A", "answer": ["{{ .Name }} A 10.0.0.1"]}]})
    got = replies(far, p, [query(name.format(i), rdtype) for i in range(30)])
    assert 5 <= len(got) <= 10 and all(rcode(r) == code for r in got)
    assert d.metrics()["okd_dnsd_rrl_dropped_total"] == 30 - len(got)
    # A name with records of its own is not one of them.
    assert len(replies(far, p, [query(NAME)])) == 1


def test_a_reply_that_is_as_long_cut_short_is_cut_too(daemon, far):
    """An upstream's failure has no records; all of them come at the same time."""
    silent = free_port()
    d, p = limited(daemon, far, slip=1, config={"forward": {
        "to": [f"{FAR}:{silent}"], "find_loops": False, "timeout": "300ms",
        "attempt": "300ms"}})
    asked = [query("www.example.org") for _ in range(30)]
    got = replies(far, p, asked, silent=silent, want=len(asked))
    whole = [r for r in got if rcode(r) == "SERVFAIL"]
    cut = [r for r in got if r.flags & dns.flags.TC]
    assert 5 <= len(whole) <= 10 and len(whole) + len(cut) == len(asked)
    assert d.metrics()["okd_dnsd_rrl_slipped_total"] == len(cut)


def test_who_has_a_valid_cookie_is_not_limited(daemon, far):
    _, p = limited(daemon, far, slip=1)
    client = os.urandom(8)
    got = replies(far, p, [with_cookie(client) for _ in range(30)])
    assert len(got) == 30
    bad = [r for r in got if rcode(r) == "BADCOOKIE"]
    assert 20 <= len(bad) <= 25 and not any(r.answer for r in bad)
    (cookie,) = cookie_of(bad[-1])
    got = replies(far, p, [with_cookie(cookie) for _ in range(30)])
    assert [texts(r) for r in got] == [["192.168.120.101"]] * 30


def test_the_machine_network_and_loopback_are_never_limited(daemon, far):
    p = free_port()
    cluster = {**example_cluster(), "machine_network": ["192.168.120.0/24", "10.253.7.0/24"]}
    daemon("dnsd", {"listen": [f"{FAR}:{p}"], "rrl": {"rate": 1, "slip": 0}}, cluster,
           wrapper=far)
    assert len(replies(far, p, [query(NAME) for _ in range(30)])) == 30
    _, p = serve(daemon, rrl={"rate": 1, "slip": 0})
    for _ in range(30):
        assert texts(udp(p, query(NAME))) == ["192.168.120.101"]


def test_without_a_rate_nothing_is_limited(daemon, far):
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{FAR}:{p}"], "workers": 1}, wrapper=far)
    assert len(replies(far, p, [query(NAME) for _ in range(100)])) == 100
    assert d.metrics()["okd_dnsd_rrl_dropped_total"] == 0
