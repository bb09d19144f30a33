"""Aliases of ours that lead to names which upstreams know."""

import dns.flags
import dns.rdatatype
import dnsd
from dnsd import HOST, query, rcode, reply, tcp, texts, udp
from harness import free_port

offline_daemon = dnsd.offline_daemon
upstream = dnsd.upstream


def serve(daemon, u, **config):
    p = free_port()
    forward = {"to": [u.address], "find_loops": False, **config.pop("forward", {})}
    daemon("dnsd", {"listen": [f"{HOST}:{p}"], "workers": 1, "forward": forward, **config})
    return p


def test_a_local_alias_leads_outside(daemon, upstream):
    def behave(q, proto):
        return reply(q, "www.example.org. 60 IN CNAME web.example.org.",
                     "web.example.org. 60 IN A 10.0.0.7")

    u = upstream(behave)
    p = serve(daemon, u, records=["alias CNAME helpdesk", "helpdesk CNAME www.example.org."],
              template=[{"zones": ["t.example.net"],
                         "answer": ["{{ .Name }} 60 IN CNAME www.example.org."]}])
    for send in (udp, tcp, udp):
        answer = send(p, query("alias.okd.example.com"))
        assert [str(s.name) for s in answer.answer] == [
            "alias.okd.example.com.", "helpdesk.okd.example.com.", "www.example.org.",
            "web.example.org."]
        assert answer.answer[-1][0].to_text() == "10.0.0.7"
    assert "10.0.0.7" in texts(udp(p, query("x.t.example.net")))
    assert set(u.names()) == {"www.example.org."} and len(u.seen) == 1


def test_an_alias_of_what_is_large(daemon, upstream):
    """Pointers reach 16 KiB far, which is enough when all of them point to the start."""
    many = [f"10.0.{i // 256}.{i % 256}" for i in range(2000)]

    def behave(q, proto):
        if proto == "udp":
            return reply(q, flags=dns.flags.TC)
        return reply(q, "www.example.org. 60 IN CNAME web.example.net.",
                     *[f"web.example.net. 60 IN A {a}" for a in many])

    p = serve(daemon, upstream(behave), records=["alias CNAME www.example.org."])
    for _ in range(3):
        answer = tcp(p, query("alias.okd.example.com"))
        assert not answer.flags & dns.flags.TC and len(answer.answer) == 3
        assert sorted(r.to_text() for r in answer.answer[-1]) == sorted(many)
    assert udp(p, query("alias.okd.example.com")).flags & dns.flags.TC


def test_the_flags_of_a_chain_that_leads_outside(daemon, upstream):
    """AA is about the name that was asked for, AD about every record."""
    u = upstream(lambda q, proto: reply(q, f"{q.question[0].name} 60 IN A 10.0.0.7",
                                        flags=dns.flags.AD))
    p = serve(daemon, u, records=["alias CNAME www.example.org."])
    for send in (udp, tcp, udp):  # by the upstream, then from the cache
        answer = send(p, query("alias.okd.example.com", want_dnssec=True))
        assert len(answer.answer) == 2
        assert answer.flags & dns.flags.AA and not answer.flags & dns.flags.AD
    answer = udp(p, query("www.example.org", want_dnssec=True))
    assert answer.flags & dns.flags.AD and not answer.flags & dns.flags.AA


def test_an_alias_into_an_excepted_zone_is_told_itself(daemon, upstream):
    u = upstream()
    p = serve(daemon, u, forward={"except": ["corp.example"]},
              records=["alias CNAME x.corp.example.", "mail MX 5 x.corp.example."])
    for send in (udp, tcp):
        answer = send(p, query("alias.okd.example.com"))
        assert rcode(answer) == "NOERROR" and texts(answer) == ["x.corp.example."]
        assert answer.flags & dns.flags.AA
        assert texts(send(p, query("mail.okd.example.com", "MX"))) == ["5 x.corp.example."]
    assert not u.seen


def test_targets_that_are_aliases_of_ours(daemon, upstream):
    """Their own chain goes along, its end too if that is outside."""
    addresses = {dns.rdatatype.A: "A 10.0.0.1", dns.rdatatype.AAAA: "AAAA fd00::1"}
    u = upstream(lambda q, proto: reply(
        q, f"{q.question[0].name} 60 IN {addresses[q.question[0].rdtype]}"))
    p = serve(daemon, u, records=[
        "_s._tcp SRV 0 0 1 away", "_s._tcp SRV 0 0 2 near", "away CNAME one.example.org.",
        "near CNAME api"])
    for send in (udp, tcp, udp):
        answer = send(p, query("_s._tcp.okd.example.com", "SRV"))
        assert sorted(f"{s.name} {r}" for s in answer.additional for r in s) == sorted([
            "away.okd.example.com. one.example.org.",
            "one.example.org. 10.0.0.1", "one.example.org. fd00::1",
            "near.okd.example.com. api.okd.example.com.",
            "api.okd.example.com. 192.168.120.101"])
    assert set(u.names()) == {"one.example.org."}
