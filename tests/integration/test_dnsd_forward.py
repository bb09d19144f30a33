"""dnsd's forwarding and cache beside upstreams that behave, and that do not."""

import concurrent.futures
import socket
import struct
import threading
import time

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest
import dnsd
from dnsd import HOST, metrics, query, rcode, reply, tcp, texts, udp
from harness import free_port, wait_until

offline_daemon = dnsd.offline_daemon
upstream = dnsd.upstream

SOA = "example.org. 900 IN SOA ns.example.org. h.example.org. 1 7200 1800 86400 120"


def serve(daemon, *upstreams, **config):
    p = free_port()
    # What an upstream has seen is counted.
    forward = {"to": [u.address for u in upstreams], "find_loops": False,
               **config.pop("forward", {})}
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "workers": 1, "forward": forward, **config})
    return d, p


def ttl_of(answer):
    return answer.answer[0].ttl


@pytest.mark.parametrize("send", [udp, tcp])
def test_forwarded_and_cached(daemon, upstream, send):
    u = upstream()
    d, p = serve(daemon, u)
    answer = send(p, query("WwW.example.org"))
    assert texts(answer) == ["10.0.0.1"] and ttl_of(answer) == 300
    assert answer.flags & dns.flags.RA and not answer.flags & dns.flags.AA
    assert str(answer.answer[0].name) == "WwW.example.org."
    again = send(p, query("www.EXAMPLE.org"))
    assert texts(again) == ["10.0.0.1"] and len(u.seen) == 1
    m = d.metrics()
    assert m["coredns_cache_misses_total"] == 1
    assert m['coredns_proxy_requests_total{proxy_name="forward",to="%s"}' % u.address] == 1
    assert texts(send(p, query("api.okd.example.com"))) == ["192.168.120.101"]
    # The cluster's domain is ours: nothing below it is asked of others.
    assert rcode(send(p, query("nobody.okd.example.com"))) == "NXDOMAIN"
    assert len(u.seen) == 1


def test_ttls_count_down(daemon, upstream):
    u = upstream(lambda q, proto: reply(q, f"{q.question[0].name} 2 IN A 10.0.0.1"))
    _, p = serve(daemon, u, cache={"serve_stale": "0s"})
    seen = []
    wait_until(lambda: seen.append(ttl_of(udp(p, query("www.example.org")))) or seen[-1] == 1,
               what="a smaller TTL")
    wait_until(lambda: udp(p, query("www.example.org")) and len(u.seen) > 1, what="the end")


def test_what_is_popular_is_asked_for_before_its_end(daemon, upstream):
    u = upstream(lambda q, proto: reply(q, f"{q.question[0].name} 3 IN A 10.0.0.1"))
    d, p = serve(daemon, u, cache={
        "serve_stale": "0s", "prefetch": {"often": 3, "percent": 90}})
    for name in ("rare.example.org", "often.example.org"):
        udp(p, query(name))
    # Nobody waits: what is answered is what is there.
    wait_until(lambda: udp(p, query("often.example.org")) and
               u.names().count("often.example.org.") >= 2, what="the prefetch")
    m = d.metrics()
    assert m["coredns_cache_prefetch_total"] >= 1 and m["coredns_cache_misses_total"] == 2
    assert u.names().count("rare.example.org.") == 1


def test_a_failing_prefetch_leaves_what_is_there(daemon, upstream):
    well = [True]
    u = upstream(lambda q, proto: reply(q, f"{q.question[0].name} 30 IN A 10.0.0.1")
                 if well[0] else reply(q, rcode=dns.rcode.SERVFAIL))
    d, p = serve(daemon, u, cache={"prefetch": {"often": 2, "percent": 90}})
    udp(p, query("www.example.org"))
    well[0] = False
    wait_until(lambda: texts(udp(p, query("www.example.org"))) == ["10.0.0.1"] and
               d.metrics()["coredns_cache_prefetch_total"] == 1, timeout=10, what="the prefetch")
    wait_until(lambda: len(u.seen) > 1, what="the failure")
    for _ in range(5):
        assert texts(udp(p, query("www.example.org"))) == ["10.0.0.1"]
    assert d.metrics()["coredns_cache_served_stale_total"] == 0


@pytest.mark.parametrize("code", [dns.rcode.NXDOMAIN, dns.rcode.NOERROR])
def test_negative_answers_are_cached(daemon, upstream, code):
    u = upstream(lambda q, proto: reply(q, rcode=code, authority=[SOA]))
    _, p = serve(daemon, u)
    for _ in range(2):
        answer = udp(p, query("nobody.example.org"))
        assert answer.rcode() == code and answer.authority[0].ttl <= 120
    assert len(u.seen) == 1
    udp(p, query("nobody.example.org", "TXT"))
    assert len(u.seen) == 2


def test_caps(daemon, upstream):
    u = upstream()
    _, p = serve(daemon, u, cache={"positive": "160s"}, ttl="600s")
    assert ttl_of(udp(p, query("www.example.org"))) == 160
    assert ttl_of(udp(p, query("api.okd.example.com"))) == 160


def test_do_and_cd_are_kept_apart(daemon, upstream):
    u = upstream()
    _, p = serve(daemon, u)
    plain = query("www.example.org")
    udp(p, plain)
    udp(p, query("www.example.org", want_dnssec=True))
    cd = query("www.example.org")
    cd.flags |= dns.flags.CD
    answer = udp(p, cd)
    assert answer.flags & dns.flags.CD and len(u.seen) == 3
    assert [bool(q.ednsflags & dns.flags.DO) for q, _ in u.seen] == [False, True, False]
    assert [bool(q.flags & dns.flags.CD) for q, _ in u.seen] == [False, False, True]
    assert all(q.payload == 1232 for q, _ in u.seen)


def test_ids_ports_and_case_are_drawn_anew(daemon, upstream):
    u = upstream()
    _, p = serve(daemon, u)
    for i in range(50):
        udp(p, query(f"a-rather-long-name-{i}.example.org"))
    assert len({q.id for q, _ in u.seen}) > 45
    names = [str(q.question[0].name) for q, _ in u.seen]
    assert all(n != n.lower() for n in names)


def test_truncated_replies_are_asked_for_over_tcp(daemon, upstream):
    lines = [f"big.example.org. 60 IN A 10.1.{i >> 8}.{i & 255}" for i in range(1000)]

    def behave(q, proto):
        return reply(q, *lines) if proto == "tcp" else reply(q, flags=dns.flags.TC)

    u = upstream(behave)
    _, p = serve(daemon, u)
    assert len(texts(tcp(p, query("big.example.org")))) == 1000
    assert [proto for _, proto in u.seen] == ["udp", "tcp"]
    short = udp(p, query("big.example.org"))
    assert short.flags & dns.flags.TC and not short.answer and len(u.seen) == 2


def wrong_id(q, proto):
    r = reply(q, "www.example.org. 60 IN A 6.6.6.6")
    r.id ^= 1
    return r


def wrong_question(q, proto):
    r = reply(query("other.example.org"), "other.example.org. 60 IN A 6.6.6.6")
    r.id = q.id
    return r


def wrong_type(q, proto):
    r = reply(query("www.example.org", "AAAA"))
    r.id = q.id
    return r


def no_response_bit(q, proto):
    return q


def garbage(q, proto):
    return b"\xff" * 40


def runt(q, proto):
    return b"\0"


@pytest.mark.parametrize(
    "fault", [wrong_id, wrong_question, wrong_type, no_response_bit, garbage, runt])
def test_replies_that_do_not_fit_are_ignored(daemon, upstream, fault):
    u = upstream(lambda q, proto: [fault(q, proto), fault(q, proto), reply(
        q, f"{q.question[0].name} 60 IN A 10.0.0.1")])
    d, p = serve(daemon, u)
    assert texts(udp(p, query("www.example.org"))) == ["10.0.0.1"]
    assert d.metrics()["okd_dnsd_forward_wrong_total"] == 2


def test_replies_from_elsewhere_are_not_seen(daemon):
    """A reply that is right in all but the port, or the address, that it comes from."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as address:
        s.bind((HOST, 0))
        port.bind((HOST, 0))
        address.bind(("127.0.0.2", s.getsockname()[1]))
        s.settimeout(10)
        p = free_port()
        d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "workers": 1, "forward": {
            "to": [f"{HOST}:{s.getsockname()[1]}"], "find_loops": False}})
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asked = pool.submit(udp, p, query("www.example.org"))
            wire, peer = s.recvfrom(4096)
            q = dns.message.from_wire(wire)
            for forger in (port, address):
                forger.sendto(reply(q, "www.example.org. 60 IN A 6.6.6.6").to_wire(), peer)
            s.sendto(reply(q, "www.example.org. 60 IN A 10.0.0.1").to_wire(), peer)
            assert texts(asked.result()) == ["10.0.0.1"]
        assert d.metrics()["okd_dnsd_forward_wrong_total"] == 0


@pytest.mark.parametrize("policy", ["random", "round_robin", "sequential"])
def test_policies(daemon, upstream, policy):
    us = [upstream() for _ in range(3)]
    _, p = serve(daemon, *us, forward={"policy": policy})
    for i in range(60):
        udp(p, query(f"n{i}.example.org"))
    asked = [len(u.seen) for u in us]
    assert sum(asked) == 60
    if policy == "round_robin":
        assert asked == [20, 20, 20]
    elif policy == "sequential":
        assert asked == [60, 0, 0]
    else:
        assert all(asked)


def test_more_than_may_be_asked_at_once_is_refused(daemon, upstream):
    u = upstream(lambda q, proto: None)
    d, p = serve(daemon, u, forward={"max_concurrent": 2})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(10)
        s.connect((HOST, p))
        for i in range(3):
            s.send(query(f"n{i}.example.org").to_wire())
        answer = dns.message.from_wire(s.recv(4096))
        assert answer.rcode() == dns.rcode.REFUSED
        assert str(answer.question[0].name) == "n2.example.org."
    assert d.metrics()["coredns_forward_max_concurrent_rejects_total"] == 1


def test_many_wrong_replies_lead_to_tcp(daemon, upstream):
    def behave(q, proto):
        return ([wrong_id(q, proto)] * 20 if proto == "udp"
                else reply(q, "www.example.org. 60 IN A 10.0.0.1"))

    u = upstream(behave)
    _, p = serve(daemon, u)
    assert texts(udp(p, query("www.example.org"))) == ["10.0.0.1"]
    assert [proto for _, proto in u.seen] == ["udp", "tcp"]


def test_an_upstream_that_does_not_echo_the_case(daemon, upstream):
    def behave(q, proto):
        wire = bytearray(reply(q, "www.example.org. 60 IN A 10.0.0.1").to_wire())
        length = len(str(q.question[0].name)) + 1
        wire[12:12 + length] = bytes(wire[12:12 + length]).lower()
        return bytes(wire)

    u = upstream(behave)
    _, p = serve(daemon, u)
    for i in range(6):
        assert rcode(udp(p, query(f"long-name-with-letters-{i}.example.org"))) == "NOERROR"
    protos = [proto for _, proto in u.seen]
    assert protos[:2] == ["udp", "tcp"] and protos[-2:] == ["udp", "udp"]


def test_an_upstream_that_does_not_echo_the_case_and_has_no_tcp(daemon, upstream):
    def behave(q, proto):
        if proto == "tcp":
            return None
        wire = bytearray(reply(q, "www.example.org. 60 IN A 10.0.0.1").to_wire())
        length = len(str(q.question[0].name)) + 1
        wire[12:12 + length] = bytes(wire[12:12 + length]).lower()
        return bytes(wire)

    u = upstream(behave)
    _, p = serve(daemon, u, forward={"attempt": "200ms"})
    for i in range(6):
        assert rcode(udp(p, query(f"long-name-with-letters-{i}.example.org"))) == "NOERROR"
    assert [proto for _, proto in u.seen][-4:] == 4 * ["udp"]


def malformed(q):
    """The counts promise more than there is."""
    wire = bytearray(reply(q, "www.example.org. 60 IN A 10.0.0.1").to_wire())
    wire[7] = 9
    return bytes(wire)


def looping(q):
    plain = reply(q)
    plain.use_edns(False)
    head = plain.to_wire()
    pointer = len(head)
    return (head[:7] + b"\1" + head[8:10] + b"\0\0" + head[12:pointer] +
            bytes([0xc0 | pointer >> 8, pointer & 255]) + b"\0\1\0\1\0\0\0\1\0\4\1\1\1\1")


@pytest.mark.parametrize("fault", [malformed, looping])
def test_malformed_replies_lead_to_the_next_upstream(daemon, upstream, fault):
    bad, good = upstream(lambda q, proto: fault(q)), upstream()
    _, p = serve(daemon, bad, good, forward={"policy": "sequential"})
    assert texts(udp(p, query("www.example.org"))) == ["10.0.0.1"]
    assert len(bad.seen) == len(good.seen) == 1


def without_opt(q, code):
    r = reply(q, rcode=code)
    r.use_edns(False)
    return r


@pytest.mark.parametrize("code", [dns.rcode.FORMERR, dns.rcode.NOTIMP])
def test_an_upstream_that_knows_no_edns(daemon, upstream, code):
    u = upstream(lambda q, proto: reply(q, f"{q.question[0].name} 60 IN A 10.0.0.1")
                 if q.edns < 0 else without_opt(q, code))
    _, p = serve(daemon, u)
    for i in range(3):
        assert texts(udp(p, query(f"n{i}.example.org"))) == ["10.0.0.1"]
    assert [q.edns for q, _ in u.seen] == [0, -1, -1, -1]


@pytest.mark.parametrize("code", [dns.rcode.FORMERR, dns.rcode.NOTIMP])
def test_a_question_that_an_upstream_does_not_take_harms_no_other(daemon, upstream, code):
    """Without EDNS, nobody would get signatures from it any more."""
    u = upstream(lambda q, proto: without_opt(q, code) if "odd" in str(q.question[0].name).lower()
                 else reply(q, f"{q.question[0].name} 60 IN A 10.0.0.1"))
    _, p = serve(daemon, u)
    for i in range(3):
        assert udp(p, query(f"odd{i}.example.org")).rcode() == code
        assert texts(udp(p, query(f"n{i}.example.org", want_dnssec=True))) == ["10.0.0.1"]
    assert [q.edns for q, _ in u.seen] == [0, -1, 0] * 3
    assert all(q.ednsflags & dns.flags.DO for q, _ in u.seen[2::3])


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
def test_errors_lead_to_the_next_upstream(daemon, upstream, code):
    bad, good = upstream(lambda q, proto: reply(q, rcode=code)), upstream()
    _, p = serve(daemon, bad, good, forward={"policy": "sequential"})
    assert texts(udp(p, query("www.example.org"))) == ["10.0.0.1"]
    _, alone = serve(daemon, bad)
    for _ in range(3):
        assert udp(alone, query("alone.example.org")).rcode() == code
    assert bad.names().count("alone.example.org.") == 1


def test_a_silent_upstream_is_passed_over_and_then_avoided(daemon, upstream):
    silent, good = upstream(lambda q, proto: None), upstream()
    d, p = serve(daemon, silent, good, forward={"policy": "sequential", "attempt": "100ms"})
    for i in range(4):
        assert texts(udp(p, query(f"n{i}.example.org"))) == ["10.0.0.1"]
    d.log_contains("does not answer: it is avoided")
    asked = len([n for n in silent.names() if n != "."])
    for i in range(4):
        assert texts(udp(p, query(f"m{i}.example.org"))) == ["10.0.0.1"]
    assert len([n for n in silent.names() if n != "."]) == asked
    silent.behave = good.behave
    d.log_contains("answers again")
    assert texts(udp(p, query("again.example.org"))) == ["10.0.0.1"]
    assert "again.example.org." in silent.names()


def test_all_silent_is_servfail_in_time_and_not_asked_again_at_once(daemon, upstream):
    u = upstream(lambda q, proto: None)
    _, p = serve(daemon, u, forward={"timeout": "400ms", "attempt": "150ms"})
    begin = time.monotonic()
    assert rcode(udp(p, query("www.example.org"))) == "SERVFAIL"
    assert time.monotonic() - begin < 5
    asked = len(u.seen)
    assert rcode(udp(p, query("www.example.org"))) == "SERVFAIL" and len(u.seen) == asked


def test_nobody_listens_there(daemon):
    p = free_port()
    daemon("dnsd", {"listen": [f"{HOST}:{p}"], "forward": {"to": [f"{HOST}:{free_port()}"]}})
    begin = time.monotonic()
    assert rcode(udp(p, query("www.example.org"))) == "SERVFAIL"
    assert time.monotonic() - begin < 4


def test_stale_answers_when_the_upstream_is_gone(daemon, upstream):
    u = upstream(lambda q, proto: reply(q, f"{q.question[0].name} 1 IN A 10.0.0.1"))
    d, p = serve(daemon, u, forward={"timeout": "500ms", "attempt": "200ms"})
    assert texts(udp(p, query("www.example.org"))) == ["10.0.0.1"]
    u.behave = lambda q, proto: None

    def stale():
        answer = udp(p, query("www.example.org"))
        assert texts(answer) == ["10.0.0.1"]
        return ttl_of(answer) == 30

    wait_until(stale, what="a stale answer")
    asked = len(u.seen)
    assert stale() and len(u.seen) == asked
    assert d.metrics()["coredns_cache_served_stale_total"] >= 2


def test_what_was_not_asked_for_is_dropped(daemon, upstream):
    u = upstream(lambda q, proto: reply(
        q, "www.example.org. 60 IN CNAME web.example.net.", "web.example.net. 60 IN A 10.0.0.1",
        "bank.example.com. 60 IN A 6.6.6.6", "www.example.org. 60 IN TXT evil",
        authority=["example.com. 60 IN NS ns.evil.example."],
        additional=["ns.evil.example. 60 IN A 6.6.6.6"]))
    _, p = serve(daemon, u)
    for _ in range(2):
        answer = udp(p, query("www.example.org"))
        assert texts(answer) == ["10.0.0.1", "web.example.net."]
        assert not answer.authority and not answer.additional


def test_the_same_question_is_asked_once(daemon, upstream):
    u = upstream(lambda q, proto: None)
    d, p = serve(daemon, u)
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
    for s in socks:
        s.settimeout(10)
        s.sendto(query("www.example.org").to_wire(), (HOST, p))
    wait_until(lambda: d.metrics()["okd_dnsd_forward_merged_total"] == 19, what="the merge")
    u.behave = lambda q, proto: reply(q, "www.example.org. 60 IN A 10.0.0.1")
    for s in socks:
        assert texts(dns.message.from_wire(s.recv(4096))) == ["10.0.0.1"]
        s.close()
    assert len(u.seen) <= 3


def test_excepted_zones_and_queries_without_rd(daemon, upstream):
    u = upstream()
    _, p = serve(daemon, u, forward={"except": ["corp.example"]})
    assert rcode(udp(p, query("x.corp.example"))) == "REFUSED"
    norec = query("www.example.org")
    norec.flags &= ~dns.flags.RD
    assert rcode(udp(p, norec)) == "REFUSED" and not u.seen
    udp(p, query("www.example.org"))
    assert texts(udp(p, norec)) == ["10.0.0.1"]


def test_reload_to_another_upstream(daemon, upstream):
    a = upstream(lambda q, proto: reply(q, f"{q.question[0].name} 300 IN A 10.0.0.1"))
    b = upstream(lambda q, proto: reply(q, f"{q.question[0].name} 300 IN A 10.0.0.2"))
    d, p = serve(daemon, a)
    assert texts(udp(p, query("www.example.org"))) == ["10.0.0.1"]
    d.reload({"listen": [f"{HOST}:{p}"], "forward": {"to": [b.address]}})
    assert texts(udp(p, query("www.example.org"))) == ["10.0.0.2"]
    # What one was asked is not counted as the other's.
    name = "coredns_proxy_request_duration_seconds_count"
    assert {k: v for k, v in metrics(d).items()
            if k.startswith(("coredns_proxy_requests", name))} == {
        'coredns_proxy_requests_total{proxy_name="forward",to="%s"}' % b.address: 1,
        name + '{proxy_name="forward",to="%s",rcode="NOERROR"}' % b.address: 1}


@pytest.mark.parametrize("rotate", [True, False])
def test_addresses_take_turns(daemon, upstream, rotate):
    u = upstream(lambda q, proto: reply(
        q, "www.example.org. 60 IN CNAME web.example.org.",
        *[f"web.example.org. 60 IN A 10.0.0.{i}" for i in range(1, 5)]))
    _, p = serve(daemon, u, loadbalance=rotate,
                 records=[f"many A 10.0.0.{i}" for i in range(1, 5)])
    for name in ("many.okd.example.com", "www.example.org"):
        answers = [udp(p, query(name)).answer[-1] for _ in range(60)]
        assert all(len(a) == 4 for a in answers)
        firsts = {a[0].to_text() for a in answers}
        assert len(firsts) == (4 if rotate else 1)


@pytest.mark.parametrize("rotate", [True, False])
def test_mail_servers_take_turns(daemon, upstream, rotate):
    servers = [f"{i} {'x' * i}.example.net." for i in range(1, 5)]
    u = upstream(lambda q, proto: reply(
        q, "mail.example.org. 60 IN CNAME org.example.org.",
        *[f"org.example.org. {60 + i} IN MX {s}" for i, s in enumerate(servers)])
        if kind(q) == "MX" else reply(q, authority=[SOA]))
    _, p = serve(daemon, u, loadbalance=rotate, records=[f"many MX {s}" for s in servers])
    for name in ("many.okd.example.com", "mail.example.org"):
        answers = [udp(p, query(name, "MX")).answer[-1] for _ in range(60)]
        assert all(sorted(r.to_text() for r in a) == servers for a in answers)
        firsts = {a[0].to_text() for a in answers}
        assert len(firsts) == (4 if rotate else 1)


def test_metrics_by_the_names_of_coredns_1_6(daemon, upstream):
    u = upstream()
    d, p = serve(daemon, u, old_metrics=True)
    for _ in range(3):
        udp(p, query("www.example.org"))
    tcp(p, query("api.okd.example.com", "AAAA", want_dnssec=True))
    udp(p, query("nobody.okd.example.com"))
    m = d.metrics()
    server = 'server="dns://:53",zone="."'
    assert m['coredns_dns_request_count_total{%s,proto="udp",family="1"}' % server] == 4
    assert m['coredns_dns_request_count_total{%s,proto="tcp",family="1"}' % server] == 1
    assert m['coredns_dns_request_type_count_total{%s,type="A"}' % server] == 4
    assert m['coredns_dns_request_type_count_total{%s,type="AAAA"}' % server] == 1
    assert m['coredns_dns_request_do_count_total{%s}' % server] == 1
    assert m['coredns_dns_response_rcode_count_total{%s,rcode="NOERROR"}' % server] == 4
    assert m['coredns_dns_response_rcode_count_total{%s,rcode="NXDOMAIN"}' % server] == 1
    assert m['coredns_cache_size{server="dns://:53",type="success"}'] == 1
    assert m['coredns_forward_request_count_total{to="%s"}' % u.address] == 1
    assert m["coredns_forward_max_concurrent_reject_count_total"] == 0
    d.reload({"listen": [f"{HOST}:{p}"], "forward": {"to": [u.address]}})
    assert not any(x.startswith("coredns_dns_request_count_total") for x in d.metrics())


def test_an_upstream_that_asks_us_in_turn(daemon, upstream):
    port = []

    def relay(q, proto):
        try:
            return dns.query.udp(q, HOST, port=port[0], timeout=1).to_wire()
        except (OSError, IndexError, dns.exception.Timeout):
            return None

    loop, well = upstream(relay), upstream()
    p = free_port()
    port.append(p)
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "workers": 1, "forward": {
        "to": [loop.address, well.address], "policy": "sequential"}})
    d.log_contains(f"upstream {loop.address} asks this server in turn: a forwarding loop")
    asked = len(loop.seen)
    for i in range(5):
        assert texts(udp(p, query(f"n{i}.example.org"))) == ["10.0.0.1"]
    assert len(loop.seen) == asked
    # Nobody else to ask: it fails at once.
    since = d.log_position()
    d.reload({"listen": [f"{HOST}:{p}"], "workers": 1, "forward": {"to": [loop.address]}})
    d.log_contains("asks this server in turn", since=since)
    assert rcode(udp(p, query("www.example.org"))) == "SERVFAIL"
    # ... whoever comes with the same question at the same time.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.connect((HOST, p))
        sent = [query("same.example.org") for _ in range(8)]
        for q in sent:
            s.send(q.to_wire())
        got = [dns.message.from_wire(s.recv(4096)) for _ in sent]
    assert sorted(r.id for r in got) == sorted(q.id for q in sent)
    assert {rcode(r) for r in got} == {"SERVFAIL"}


def test_a_loop_that_was_not_there_at_the_start(daemon, upstream):
    port, up = [], threading.Event()

    def relay(q, proto):
        if not up.is_set():
            return None
        try:
            return dns.query.udp(q, HOST, port=port[0], timeout=1).to_wire()
        except (OSError, dns.exception.Timeout):
            return None

    loop, p = upstream(relay), free_port()
    port.append(p)
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "workers": 1, "forward": {
        "to": [loop.address], "attempt": "200ms", "timeout": "400ms", "max_fails": 0}})
    assert rcode(udp(p, query("www.example.org"))) == "SERVFAIL"
    up.set()
    d.log_contains(f"upstream {loop.address} asks this server in turn: a forwarding loop")


def test_so_many_may_wait(daemon, upstream):
    """max_concurrent bounds questions; who waits for the same one takes memory too."""
    u = upstream(lambda q, proto: None)
    d, p = serve(daemon, u, forward={"max_concurrent": 2, "attempt": "2s", "timeout": "2s"})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(20)
        s.connect((HOST, p))
        for _ in range(30):
            s.send(query("www.example.org").to_wire())
        got = [rcode(dns.message.from_wire(s.recv(4096))) for _ in range(30)]
    assert got == 10 * ["REFUSED"] + 20 * ["SERVFAIL"]
    assert d.metrics()["coredns_forward_max_concurrent_rejects_total"] == 10
    # They have gone, and others may come.
    assert rcode(udp(p, query("other.example.org"))) == "SERVFAIL"


ADDRESSES = {"A": "10.0.0.1", "AAAA": "fd00::1"}


def kind(q):
    return dns.rdatatype.to_text(q.question[0].rdtype)


def both(q, proto):
    return reply(q, f"{q.question[0].name} 60 IN {kind(q)} {ADDRESSES[kind(q)]}")


def extras(answer):
    return sorted(f"{s.name} {r.to_text()}".lower() for s in answer.additional for r in s)


def of(*names):
    return sorted(f"{n}. {a}" for n in names for a in ADDRESSES.values())


SRVS = [f"_s._tcp SRV 0 10 {80 + i} {name}" for i, name in enumerate(
    ("one.example.org.", "two.example.net.", "ONE.example.org.", "api"))]


@pytest.mark.parametrize("send", [udp, tcp])
def test_addresses_of_targets_outside_go_along(daemon, upstream, send):
    u = upstream(both)
    _, p = serve(daemon, u, records=[*SRVS, "mail MX 5 one.example.org.", "mail MX 6 .",
                                     "_none._tcp SRV 0 0 0 .", "ns.sub NS one.example.org."])
    want = sorted(of("one.example.org", "two.example.net") +
                  ["api.okd.example.com. 192.168.120.101"])
    for edns in (0, -1, 0):
        answer = send(p, query("_s._tcp.okd.example.com", "SRV", use_edns=edns))
        assert len(texts(answer)) == 4 and extras(answer) == want
        assert answer.edns == edns and answer.flags & dns.flags.AA
    assert len(u.seen) == 4  # what was asked for is in the cache
    assert extras(send(p, query("mail.okd.example.com", "MX"))) == of("one.example.org")
    # No target, or not one whose addresses anybody needs.
    assert not extras(send(p, query("_none._tcp.okd.example.com", "SRV")))
    assert not extras(send(p, query("ns.sub.okd.example.com", "NS")))
    assert len(u.seen) == 4


def test_targets_that_are_aliases(daemon, upstream):
    def behave(q, proto):
        own = f"{q.question[0].name} 60 IN CNAME"
        if q.question[0].name.to_text().lower() == "split.example.org." and kind(q) == "A":
            return reply(q, f"{own} other.example.net.", "other.example.net. 60 IN A 10.0.0.3")
        return reply(q, f"{own} a.example.net.", "a.example.net. 60 IN CNAME b.example.net.",
                     *[f"b.example.net. 60 IN {kind(q)} {ADDRESSES[kind(q)]}{i}"
                       for i in range(3)])

    u = upstream(behave)
    _, p = serve(daemon, u, records=["_s._tcp SRV 0 0 1 one.example.org.",
                                     "split MX 0 split.example.org."])
    want = sorted(["one.example.org. a.example.net.", "a.example.net. b.example.net."] +
                  [f"b.example.net. {a}{i}" for a in ADDRESSES.values() for i in range(3)])
    for _ in range(3):
        assert extras(udp(p, query("_s._tcp.okd.example.com", "SRV"))) == want
        # One alias for one name, whatever the upstream says.
        assert extras(udp(p, query("split.okd.example.com", "MX"))) == [
            "other.example.net. 10.0.0.3", "split.example.org. other.example.net."]


@pytest.mark.parametrize("fault", ["SERVFAIL", "NXDOMAIN", "NODATA", "silence"])
def test_targets_without_addresses_fail_nobody(daemon, upstream, fault):
    def behave(q, proto):
        if q.question[0].name.to_text().lower() == "two.example.net.":
            return both(q, proto)
        if fault == "silence":
            return None
        code = dns.rcode.NOERROR if fault == "NODATA" else dns.rcode.from_text(fault)
        return reply(q, rcode=code, authority=[SOA])

    u = upstream(behave)
    d, p = serve(daemon, u, records=SRVS[:2], cache={"failure": "5m"},
                 forward={"timeout": "2s", "attempt": "500ms", "max_fails": 1000})

    def got():
        answer = udp(p, query("_s._tcp.okd.example.com", "SRV"))
        assert rcode(answer) == "NOERROR" and len(texts(answer)) == 2
        return extras(answer) == of("two.example.net")

    wait_until(got, what="the addresses that there are")
    # That there are no others is known as well.
    wait_until(lambda: d.metrics()["okd_dnsd_forward_waiting"] == 0, what="the end")
    asked = len(u.seen)
    assert got() and len(u.seen) == asked


def test_addresses_that_come_late_are_there_for_the_next(daemon, upstream):
    u = upstream(lambda q, proto: None)
    d, p = serve(daemon, u, records=SRVS[:1],
                 forward={"timeout": "60s", "attempt": "1s", "max_fails": 1000})
    answer = udp(p, query("_s._tcp.okd.example.com", "SRV"))
    assert len(texts(answer)) == 1 and not extras(answer)
    u.behave = both
    wait_until(lambda: d.metrics()["okd_dnsd_forward_waiting"] == 0, what="the answers")
    answer = udp(p, query("_s._tcp.okd.example.com", "SRV"))
    assert extras(answer) == of("one.example.org")
    assert d.metrics()["coredns_cache_misses_total"] == 2


def test_a_silent_upstream_holds_up_the_first_replies_alone(daemon, upstream):
    u = upstream(lambda q, proto: None)
    d, p = serve(daemon, u, records=SRVS[:1],
                 forward={"timeout": "60s", "attempt": "1s", "max_fails": 1000})
    ask = query("_s._tcp.okd.example.com", "SRV")
    for _ in range(3):
        assert not extras(udp(p, ask))
    # The second and third did not wait for the questions that the first has asked.
    assert d.metrics()["okd_dnsd_forward_merged_total"] == 0


def test_upstreams_that_are_down_are_not_asked_for_addresses(daemon, upstream):
    u = upstream(lambda q, proto: None)
    d, p = serve(daemon, u, records=[f"_{i}._tcp SRV 0 0 {i} n{i}.example.org."
                                     for i in range(10)],
                 forward={"timeout": "1s", "attempt": "100ms", "max_fails": 1})
    assert not extras(udp(p, query("_0._tcp.okd.example.com", "SRV")))
    d.log_contains("it is avoided until it does")
    for i in range(1, 9):
        assert not extras(udp(p, query(f"_{i}._tcp.okd.example.com", "SRV")))
    assert set(u.names()) == {"n0.example.org.", "."}  # the other is the probe
    u.behave = lambda q, proto: both(q, proto) if kind(q) in ADDRESSES else reply(q)
    d.log_contains("answers again")
    wait_until(lambda: extras(udp(p, query("_9._tcp.okd.example.com", "SRV"))) ==
               of("n9.example.org"), what="the addresses")


def test_addresses_leave_room_for_what_clients_ask_for(daemon, upstream):
    """Ten targets make twenty questions, of which half of the room takes four."""
    u = upstream(lambda q, proto: None if q.question[0].name.to_text().lower().startswith("n")
                 else both(q, proto))
    _, p = serve(daemon, u, workers=1,
                 records=[f"_{i}._tcp SRV 0 0 {i} n{i}.example.org." for i in range(10)],
                 forward={"timeout": "60s", "attempt": "1s", "max_fails": 1000,
                          "max_concurrent": 8})
    for i in range(10):
        assert not extras(udp(p, query(f"_{i}._tcp.okd.example.com", "SRV")))
    assert len(set(u.names())) == 2
    assert texts(udp(p, query("one.example.org"))) == [ADDRESSES["A"]]


def test_answers_that_may_not_be_kept_go_along(daemon, upstream):
    u = upstream(lambda q, proto: reply(
        q, f"{q.question[0].name} 0 IN {kind(q)} {ADDRESSES[kind(q)]}"))
    _, p = serve(daemon, u, records=SRVS[:1])
    for i in range(1, 4):
        answer = udp(p, query("_s._tcp.okd.example.com", "SRV"))
        assert extras(answer) == of("one.example.org") and len(u.seen) == 2 * i


def test_what_does_not_fit_is_left_out_without_truncation(daemon, upstream):
    def behave(q, proto):
        n = 60 if q.question[0].name.to_text().lower() == "one.example.org." else 1
        return reply(q, *[f"{q.question[0].name} 60 IN {kind(q)} {ADDRESSES[kind(q)]}{i:02}"
                          for i in range(n)])

    u = upstream(behave)
    _, p = serve(daemon, u, records=SRVS[:2])
    for _ in range(2):
        answer = udp(p, query("_s._tcp.okd.example.com", "SRV", use_edns=-1))
        assert not answer.flags & dns.flags.TC and len(texts(answer)) == 2
        assert extras(answer) == ["two.example.net. 10.0.0.100", "two.example.net. fd00::100"]
    assert len(extras(tcp(p, query("_s._tcp.okd.example.com", "SRV")))) == 122


def test_of_many_targets_the_first_are_asked_for(daemon, upstream):
    u = upstream(both)
    _, p = serve(daemon, u, records=[f"_s._tcp SRV 0 0 {i} n{i}.example.org." for i in range(20)])
    answer = tcp(p, query("_s._tcp.okd.example.com", "SRV"))
    assert len(texts(answer)) == 20 and len(extras(answer)) == 16
    assert len(set(u.names())) == 8 and len(u.seen) == 16


def test_targets_that_nobody_is_asked_for(daemon, upstream):
    u = upstream(both)
    d, p = serve(daemon, u, forward={"except": ["example.org"]},
                 records=[*SRVS[:2], "_s._tcp SRV 0 0 1 x.t.example.net."],
                 template=[{"zones": ["t.example.net"], "type": "TXT",
                            "answer": ["{{ .Name }} 60 IN TXT x"]}])
    norec = query("_s._tcp.okd.example.com", "SRV")
    norec.flags &= ~dns.flags.RD
    assert len(texts(udp(p, norec))) == 3 and not u.seen
    answer = udp(p, query("_s._tcp.okd.example.com", "SRV"))
    assert extras(answer) == of("two.example.net")
    assert set(u.names()) == {"two.example.net."}
    d.reload({"listen": [f"{HOST}:{p}"], "forward": {"to": []}, "records": SRVS[:2]})
    answer = udp(p, query("_s._tcp.okd.example.com", "SRV"))
    assert len(texts(answer)) == 2 and not extras(answer)


def test_targets_are_asked_for_once_and_clients_may_leave(daemon, upstream):
    u = upstream(lambda q, proto: None)
    d, p = serve(daemon, u, records=SRVS[:1], forward={"timeout": "60s", "attempt": "20s"})
    gone = socket.create_connection((HOST, p))
    wire = query("_s._tcp.okd.example.com", "SRV").to_wire()
    gone.sendall(len(wire).to_bytes(2, "big") + wire)
    socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(10)]
    wait_until(lambda: len(u.seen) == 2, what="the questions")
    for s in socks:
        s.settimeout(10)
        s.sendto(wire, (HOST, p))
    wait_until(lambda: d.metrics()["okd_dnsd_forward_merged_total"] == 20, what="the merge")
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    gone.close()
    wait_until(lambda: d.metrics()["okd_dnsd_tcp_connections"] == 0, what="the end")
    # Other upstreams are asked anew.
    b = upstream(both)
    d.reload({"listen": [f"{HOST}:{p}"], "records": SRVS[:1], "forward": {
        "to": [b.address], "find_loops": False}})
    for s in socks:
        answer = dns.message.from_wire(s.recv(4096))
        assert extras(answer) == of("one.example.org")
        s.close()
    assert len(b.seen) == 2
