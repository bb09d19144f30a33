"""Wildcards in questions, as SkyDNS and CoreDNS have them: * or any for a label."""

import contextlib
import socket

import dns.exception
import pytest
import dnsd
from dnsd import HOST, query, rcode, reply, tcp, texts, udp
from harness import free_port, wait_until

offline_daemon = dnsd.offline_daemon
upstream = dnsd.upstream

SERVICES = {  # of CoreDNS's own tests, below okd.example.com
    "region1/prod/svc/a": {"host": "10.0.0.1", "port": 80, "weight": 100},
    "region1/prod/svc/b": {"host": "10.0.0.2", "port": 80, "weight": 700},
    "region1/test/svc/a": {"host": "10.0.1.1", "port": 81},
    "region2/prod/svc/a": {"host": "10.0.2.1", "port": 82},
    "region2/prod/web": {"host": "api.okd.example.com"},
    "region2/prod/away": {"host": "www.example.org"},
}
BASE = "/v1/records/skydns/com/example/okd"


@pytest.fixture(name="served")
def served_fixture(daemon, upstream):
    u = upstream(lambda q, proto: reply(q, f"{q.question[0].name} 60 IN A 10.9.9.9"))
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "forward": {
        "to": [u.address], "find_loops": False}})
    for key, value in SERVICES.items():
        assert d.admin(f"{BASE}/{key}", "PUT", value).status == 204
    return d, p, u


def ask(p, name, rdtype="A", send=udp):
    return texts(send(p, query(f"{name}.okd.example.com", rdtype)))


@pytest.mark.parametrize("send", [udp, tcp])
@pytest.mark.parametrize("wild", ["*", "any", "ANY"])
def test_a_label_for_any(served, send, wild):
    _, p, u = served
    assert ask(p, f"svc.{wild}.region1", send=send) == ["10.0.0.1", "10.0.0.2", "10.0.1.1"]
    assert ask(p, f"a.svc.{wild}.{wild}", send=send) == ["10.0.0.1", "10.0.1.1", "10.0.2.1"]
    assert ask(p, f"svc.prod.{wild}", send=send) == ["10.0.0.1", "10.0.0.2", "10.0.2.1"]
    assert ask(p, f"{wild}.svc.prod.region1", send=send) == ["10.0.0.1", "10.0.0.2"]
    assert not u.seen


def test_weights_are_shares_of_all_that_is_found(served):
    _, p, _ = served
    answer = udp(p, query("svc.prod.*.okd.example.com", "SRV"))
    assert texts(answer) == [
        "10 11 80 a.svc.prod.region1.okd.example.com.",
        "10 11 82 a.svc.prod.region2.okd.example.com.",
        "10 77 80 b.svc.prod.region1.okd.example.com."]
    assert sorted(r.to_text() for s in answer.additional for r in s) == [
        "10.0.0.1", "10.0.0.2", "10.0.2.1"]


def test_aliases_are_followed_out_of_our_data_too(served):
    _, p, u = served
    assert ask(p, "web.*.region2") == ["192.168.120.101", "api.okd.example.com."]
    assert ask(p, "away.any.region2") == ["10.9.9.9", "www.example.org."]
    assert u.names() == ["www.example.org."]


def test_nobody_gets_the_whole_tree(served):
    _, p, _ = served
    for name in ("*", "any", "*.any", "*.*.*"):
        answer = udp(p, query(f"{name}.okd.example.com"))
        assert rcode(answer) == "NXDOMAIN" and answer.authority


def test_nothing_found(served):
    _, p, u = served
    answer = udp(p, query("nobody.*.region1.okd.example.com"))
    assert rcode(answer) == "NXDOMAIN" and answer.authority
    answer = udp(p, query("svc.*.region1.okd.example.com", "MX"))
    assert rcode(answer) == "NOERROR" and not answer.answer and answer.authority
    # Other people's names are theirs.
    assert texts(udp(p, query("www.any.example.org"))) == ["10.9.9.9"]
    assert texts(udp(p, query("*.example.org"))) == ["10.9.9.9"]
    assert u.names() == ["www.any.example.org.", "*.example.org."]


def test_a_wildcard_in_the_data_is_one_of_dns(served):
    _, p, _ = served
    assert ask(p, "any.apps") == ["192.168.120.101"]
    assert ask(p, "*.apps") == ["192.168.120.101"]


def test_many_at_once_and_clients_that_leave(served):
    d, p, _ = served
    q = query("svc.*.region1.okd.example.com")
    for _ in range(20):
        with socket.create_connection((HOST, p), timeout=10) as s:
            wire = q.to_wire()
            with contextlib.suppress(OSError):
                s.sendall((len(wire).to_bytes(2, "big") + wire) * 90)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(300):
            s.sendto(q.to_wire(), (HOST, p))
    d.reload()

    def answered():
        """What is too much at once gets SERVFAIL, and is asked again."""
        with contextlib.suppress(dns.exception.Timeout):
            return texts(udp(p, q, timeout=1)) == ["10.0.0.1", "10.0.0.2", "10.0.1.1"]
        return False

    wait_until(answered, timeout=20, what="the answer")
