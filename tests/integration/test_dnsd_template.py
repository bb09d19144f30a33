"""dnsd's templates: the guide's, groups and expressions, fallthrough, other types."""

import ctypes
import os
import platform
import sys

import dns.name
import dns.rcode
import pytest
import dnsd
from dnsd import HOST, metrics, query, tcp, texts, udp
from harness import free_port, run_daemon, wait_until

offline_daemon = dnsd.offline_daemon
upstream = dnsd.upstream

GUIDE = {
    "zones": ["apps.okd.example.com"], "type": "A",
    "match": [r".*apps\.okd\.example\.com\.$"],
    "answer": ["{{ .Name }} 60 IN A 172.18.22.243"], "fallthrough": True,
}


def serve(daemon, *templates, **config):
    p = free_port()
    daemon("dnsd", {"listen": [f"{HOST}:{p}"], "template": list(templates), **config})
    return p


def rcode(answer):
    return dns.rcode.to_text(answer.rcode())


@pytest.mark.parametrize("send", [udp, tcp])
@pytest.mark.parametrize("name", [
    "apps.okd.example.com", "console.apps.okd.example.com", "A.B.Apps.OKD.example.com"])
def test_the_guides_template(daemon, send, name):
    p = serve(daemon, GUIDE)
    answer = send(p, query(name))
    assert texts(answer) == ["172.18.22.243"] and answer.answer[0].ttl == 60
    assert str(answer.answer[0].name) == name + "."
    assert texts(send(p, query("api.okd.example.com"))) == ["192.168.120.101"]


@pytest.mark.parametrize("rdtype", ["AAAA", "TXT", "HTTPS"])
def test_other_types_of_a_matching_name_are_nodata(daemon, rdtype):
    elsewhere = {**GUIDE, "zones": ["apps.example.net"],
                 "match": [r"^[a-z]+\.apps\.example\.net\.$"]}
    p = serve(daemon, elsewhere)
    answer = udp(p, query("x.apps.example.net", rdtype))
    assert rcode(answer) == "NOERROR" and not answer.answer
    (soa,) = answer.authority
    assert str(soa.name) == "apps.example.net."
    assert rcode(udp(p, query("1.apps.example.net", rdtype))) == "REFUSED"


WITHOUT_MADE_CODE = [sys.executable,
                     os.path.join(os.path.dirname(__file__), "no_made_code.py")]


@pytest.mark.parametrize("wrapper", [[], WITHOUT_MADE_CODE], ids=["allowed", "forbidden"])
def test_patterns_are_machine_code_where_that_is_allowed(daemon, wrapper):
    """Else they are interpreted, as below the unit's MemoryDenyWriteExecute=."""
    if wrapper and platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("the filter does not know this machine")
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "template": [{
        "zones": ["ip.example.net"], "type": "A", "fallthrough": True,
        "match": [r"^ip-(?P<a>[0-9]+)\.", r"^((x+)+)+y\."],
        "answer": ["{{ .Name }} 5 IN A 10.0.0.{{ .Group.a }}"]}]}, wrapper=wrapper)
    for _ in range(20):
        assert texts(udp(p, query("ip-7.ip.example.net"))) == ["10.0.0.7"]
    assert rcode(udp(p, query("x" * 63 + ".ip.example.net"))) == "REFUSED"
    with open(f"/proc/{d.pid}/maps", encoding="ascii") as f:
        made = [line for line in f if line.split()[1].startswith("rwx")]
    assert bool(made) == (not wrapper and has_jit())


def has_jit():
    pcre2 = ctypes.CDLL("libpcre2-8.so.0")
    has = ctypes.c_uint32()
    pcre2.pcre2_config_8(1, ctypes.byref(has))  # PCRE2_CONFIG_JIT
    return has.value == 1


def test_groups_and_expressions(daemon):
    p = serve(daemon, {
        "zones": ["ip.example.net"], "type": "A",
        "match": [r"^ip-(?P<a>[0-9]+)-(?P<b>[0-9]+)\.", r"^hex-([0-9a-f]{2})\."],
        "answer": ['{{ .Name }} 5 IN A 10.0.{{ .Group.a }}.{{ index .Group "b" }}'],
        "fallthrough": True,
    }, {
        "zones": ["ip.example.net"], "type": "TXT", "match": [r"^hex-([0-9a-f]{2})\."],
        "answer": ['{{ .Name }} IN TXT "{{ parseInt (index .Match 1) 16 32 }} '
                   '{{ .Type }} {{ .Class }} {{ .Zone }} {{ .Remote }} {{ .Question.Qtype }}"'],
        "additional": ["extra.{{ .Zone }} 7 IN TXT more"],
    })
    assert texts(udp(p, query("ip-3-4.ip.example.net"))) == ["10.0.3.4"]
    answer = udp(p, query("HEX-ff.ip.example.net", "TXT"))
    assert texts(answer) == ['"255 TXT IN ip.example.net. 127.0.0.1 16"']
    assert answer.answer[0].ttl == 3600
    assert str(answer.additional[0].name) == "extra.ip.example.net."
    # The lines make no record of it.
    assert rcode(udp(p, query("hex-ff.ip.example.net"))) == "SERVFAIL"
    assert rcode(udp(p, query("ip-3-999.ip.example.net"))) == "SERVFAIL"


@pytest.mark.parametrize("pattern,whole", [
    (r"t\.example\.net\.$", "t.example.net."), (r"le\.net\.$", "le.net."),
    (r".*t\.example\.net\.$", "x.t.example.net."), (r"^.*\.net\.$", "x.t.example.net."),
    (r"t\.example", "t.example")])
def test_what_matched(daemon, pattern, whole):
    p = serve(daemon, {"zones": ["t.example.net"], "type": "TXT", "match": [pattern],
                       "answer": ['{{ .Name }} IN TXT "{{ index .Match 0 }}" '
                                  '"{{ index .Group "0" }}"']})
    assert texts(udp(p, query("x.t.example.net", "TXT"))) == [f'"{whole}" "{whole}"']


@pytest.mark.parametrize("label", [
    b'a"b', b"a;b", b"a(b", b"a)b", b"a b", b"a@b", b"@", b"a'b", b"a\\b", b"a.b", b"a\nb",
    b'" "', b"$ORIGIN", b"\0\xff"], ids=repr)
def test_a_name_is_nothing_but_a_name(daemon, label):
    """What means something in a zone file is part of the name that was asked for."""
    p = serve(daemon, {"zones": ["t.example.net"], "type": "A",
                       "answer": ["{{ .Name }} 60 IN A 10.0.0.1"]},
              {"zones": ["t.example.net"], "type": "TXT", "match": [r"^(.*)\.t\.example\.net"],
               "answer": ['{{ .Name }} 60 IN TXT "{{ index .Match 1 }}"']})
    name = dns.name.Name([label, b"t", b"example", b"net", b""])
    answer = udp(p, query(name))
    assert texts(answer) == ["10.0.0.1"] and answer.answer[0].name == name
    answer = udp(p, query(name, "TXT"))
    assert len(answer.answer) == 1 and len(answer.answer[0][0].strings) == 1
    assert answer.answer[0].name == name


def test_a_pattern_that_runs_away_costs_little_and_matches_nothing(daemon):
    p = serve(daemon, {"zones": ["t.example.net"], "match": [r"^(a+)+\.t\.example\.net\.$"],
                       "answer": ["{{ .Name }} A 10.0.0.1"], "fallthrough": True})
    bomb = ".".join(["a" * 60 + "!"] * 3)
    for _ in range(20):
        assert rcode(udp(p, query(f"{bomb}.t.example.net"))) == "REFUSED"
    assert texts(udp(p, query("aaa.t.example.net"))) == ["10.0.0.1"]


def test_without_fallthrough_a_mismatch_ends_in_servfail(daemon):
    p = serve(daemon, {"zones": ["a.example.net", "b.example.net"], "match": ["^yes"],
                       "answer": ["{{ .Name }} A 10.0.0.1"], "fallthrough": ["b.example.net"]})
    assert texts(udp(p, query("yes.a.example.net"))) == ["10.0.0.1"]
    assert rcode(udp(p, query("no.a.example.net"))) == "SERVFAIL"
    assert rcode(udp(p, query("no.b.example.net"))) == "REFUSED"
    assert texts(udp(p, query("api.okd.example.com"))) == ["192.168.120.101"]


def test_rcode_authority_and_order(daemon):
    soa = "{{ .Zone }} 60 IN SOA ns.{{ .Zone }} h.{{ .Zone }} 1 60 60 60 60"
    p = serve(daemon,
              {"zones": ["gone.example.net"], "rcode": "NXDOMAIN", "authority": [soa]},
              {"zones": ["gone.example.net"], "answer": ["{{ .Name }} A 10.0.0.9"]})
    answer = udp(p, query("x.gone.example.net"))
    assert rcode(answer) == "NXDOMAIN" and not answer.answer
    assert str(answer.authority[0].name) == "gone.example.net."


def test_a_cname_is_followed(daemon):
    p = serve(daemon, {"zones": ["alias.example.net"],
                       "answer": ["{{ .Name }} 60 IN CNAME api.okd.example.com."]})
    answer = udp(p, query("x.alias.example.net"))
    assert texts(answer) == ["192.168.120.101", "api.okd.example.com."]
    assert texts(udp(p, query("x.alias.example.net", "CNAME"))) == ["api.okd.example.com."]


def test_aliases_lead_to_templates(daemon, upstream):
    """A chain passes through templates, records and upstreams alike, and comes to an end."""
    u = upstream()
    p = serve(
        daemon, GUIDE,
        {"zones": ["t.example.net"], "type": "A", "match": [r"^end\."],
         "answer": ["{{ .Name }} 60 IN A 10.0.0.9"], "fallthrough": True},
        {"zones": ["t.example.net"], "match": [r"^on\."], "fallthrough": True,
         "answer": ["{{ .Name }} 60 IN CNAME end.{{ .Zone }}"],
         "authority": ["{{ .Zone }} 60 IN NS ns.{{ .Zone }}"]},
        {"zones": ["t.example.net"], "match": [r"^back\."], "fallthrough": True,
         "answer": ["{{ .Name }} 60 IN CNAME loop.okd.example.com."]},
        {"zones": ["t.example.net"], "match": [r"^out\."], "fallthrough": True,
         "answer": ["{{ .Name }} 60 IN CNAME www.example.org."]},
        {"zones": ["t.example.net"], "type": "A", "match": [r"^bad\."], "fallthrough": True,
         "answer": ["{{ .Name }} 60 IN A {{ .Name }}"]},
        records=["one CNAME x.apps", "two CNAME on.t.example.net.", "loop CNAME round",
                 "round CNAME loop", "three CNAME back.t.example.net.",
                 "four CNAME out.t.example.net.", "five CNAME bad.t.example.net.",
                 "six CNAME nobody", "srv SRV 0 0 1 y.apps"],
        forward={"to": [u.address], "find_loops": False})
    assert texts(udp(p, query("one.okd.example.com"))) == [
        "172.18.22.243", "x.apps.okd.example.com."]
    # Other types of a template's name are not asked for outside.
    answer = udp(p, query("two.okd.example.com", "TXT"))
    assert texts(answer) == ["end.t.example.net.", "on.t.example.net."]
    assert str(answer.authority[0].name) == "t.example.net." and len(answer.authority) == 1
    for send in (udp, tcp):
        assert texts(send(p, query("two.okd.example.com"))) == [
            "10.0.0.9", "end.t.example.net.", "on.t.example.net."]
    for name in ("loop.okd.example.com", "three.okd.example.com"):
        answer = udp(p, query(name))
        owners = [s.name for s in answer.answer]
        assert len(owners) == len(set(owners)) > 1 and rcode(answer) == "NOERROR"
        assert all(len(s) == 1 for s in answer.answer)
    assert not u.seen
    assert texts(udp(p, query("four.okd.example.com"))) == [
        "10.0.0.1", "out.t.example.net.", "www.example.org."]
    # A line that makes no record ends the chain, not the answer.
    assert texts(udp(p, query("five.okd.example.com"))) == ["bad.t.example.net."]
    answer = udp(p, query("six.okd.example.com"))
    assert rcode(answer) == "NXDOMAIN" and len(answer.answer) == len(answer.authority) == 1
    srv = udp(p, query("srv.okd.example.com", "SRV"))
    assert [r.to_text() for s in srv.additional for r in s] == ["172.18.22.243"]
    assert set(u.names()) == {"www.example.org."}


def test_an_aliases_rcode_is_its_targets(daemon):
    """RFC 6604: what a chain leads to does or does not exist."""
    soa = "{{ .Zone }} 60 IN SOA ns.{{ .Zone }} h.{{ .Zone }} 1 60 60 60 60"
    p = serve(daemon,
              {"zones": ["gone.example.net"], "rcode": "NXDOMAIN", "authority": [soa]},
              {"zones": ["on.example.net"],
               "answer": ["{{ .Name }} 60 IN CNAME x.gone.example.net."]},
              records=["one CNAME x.gone.example.net.", "two CNAME x.on.example.net."])
    for name, chain in (("one.okd", 1), ("two.okd", 2)):
        answer = udp(p, query(f"{name}.example.com"))
        assert rcode(answer) == "NXDOMAIN" and len(answer.answer) == chain
        assert str(answer.authority[0].name) == "gone.example.net."
    assert rcode(udp(p, query("x.on.example.net"))) == "NXDOMAIN"
    assert rcode(udp(p, query("one.okd.example.com", "CNAME"))) == "NOERROR"


def test_the_caches_bounds_hold_for_templates(daemon):
    p = serve(daemon, GUIDE, {"zones": ["t.example.net"], "type": "A",
                              "match": [r"^(?P<n>[0-9]+)\."],
                              "answer": ["{{ .Name }} 300 IN A 10.0.0.{{ .Group.n }}"]},
              {**GUIDE, "zones": ["c.example.net"], "match": [".*"],
               "answer": ["{{ .Name }} 300 IN A 10.0.0.1"]},
              cache={"positive": "160s", "negative": "20s"})
    for name in ("7.t.example.net", "x.c.example.net"):
        assert udp(p, query(name)).answer[0].ttl == 160
    assert udp(p, query("apps.okd.example.com")).answer[0].ttl == 60
    (soa,) = udp(p, query("x.c.example.net", "TXT")).authority
    assert soa.ttl == 20 and soa[0].minimum == 20


def extended_errors(answer):
    return [o.to_wire() for o in answer.options if o.otype == 15]


def test_extended_errors(daemon):
    p = serve(daemon, {"zones": ["a.example.net"], "rcode": "NXDOMAIN",
                       "ederror": "15 blocked here"},
              {"zones": ["b.example.net"], "rcode": "SERVFAIL", "ederror": "0"},
              {"zones": ["c.example.net"], "ederror": "22",
               "answer": ["{{ .Name }} 60 IN CNAME api.okd.example.com."]})
    answer = udp(p, query("x.a.example.net", use_edns=0))
    assert rcode(answer) == "NXDOMAIN" and extended_errors(answer) == [b"\0\x0fblocked here"]
    answer = udp(p, query("x.b.example.net", use_edns=0))
    assert rcode(answer) == "SERVFAIL" and extended_errors(answer) == [b"\0\0"]
    answer = udp(p, query("x.c.example.net", use_edns=0))
    assert len(answer.answer) == 2 and extended_errors(answer) == [b"\0\x16"]
    # Without EDNS there is no place for one.
    assert udp(p, query("x.a.example.net")).edns == -1


def counted(d, name, zone, rdtype, rest=""):
    return metrics(d).get(f'coredns_template_{name}_total{{server="dns://:53",zone="{zone}",'
                          f'view="",class="IN",type="{rdtype}"{rest}}}', 0)


def test_metrics(daemon):
    octet = "{{ .Name }} 60 IN A 10.0.0.{{ .Group.n }}"
    number = "{{ .Name }} 60 IN A 10.0.0.{{ parseInt .Group.n 10 8 }}"
    extra = "x.{{ .Zone }} 60 IN A 10.0.0.{{ .Group.n }}0"
    templates = [
        GUIDE,
        # Of the same zone and line: one series, not two.
        {"zones": ["ip.example.net"], "type": "A", "match": ["^ip-(?P<n>[0-9]+)[.]"],
         "answer": [octet], "fallthrough": True},
        {"zones": ["ip.example.net"], "type": "A", "match": ["^v4-(?P<n>[0-9]+)[.]"],
         "answer": [octet], "fallthrough": True},
        {"zones": ["example.net"], "match": ["^int-(?P<n>[0-9]+)[.]"],
         "answer": [number], "additional": [extra], "fallthrough": True},
        {"zones": ["fail.example.net"], "rcode": "SERVFAIL", "fallthrough": True}]
    p = free_port()
    config = {"listen": [f"{HOST}:{p}"], "workers": 2}
    d = daemon("dnsd", {**config, "template": templates})
    assert not [k for k in metrics(d) if k.startswith("coredns_template_")]
    for send in (udp, tcp):
        assert texts(send(p, query("x.apps.okd.example.com"))) == ["172.18.22.243"]
    assert counted(d, "matches", "apps.okd.example.com.", "A") == 2
    # Another type of such a name is no match.
    assert not udp(p, query("x.apps.okd.example.com", "AAAA")).answer
    assert counted(d, "matches", "apps.okd.example.com.", "AAAA") == 0

    for name in ("ip-1", "v4-2", "ip-300", "v4-400"):
        udp(p, query(f"{name}.ip.example.net"))
    answer = f',section="answer",template="{octet}"'
    assert counted(d, "matches", "ip.example.net.", "A") == 4
    assert counted(d, "rr_failures", "ip.example.net.", "A", answer) == 2
    assert counted(d, "template_failures", "ip.example.net.", "A", answer) == 0

    assert rcode(udp(p, query("int-300.example.net"))) == "SERVFAIL"
    answer = f',section="answer",template="{number}"'
    assert counted(d, "template_failures", "example.net.", "A", answer) == 1
    assert counted(d, "rr_failures", "example.net.", "A", answer) == 0
    assert rcode(udp(p, query("int-100.example.net"))) == "SERVFAIL"
    answer = f',section="additional",template="{extra}"'
    assert counted(d, "rr_failures", "example.net.", "A", answer) == 1
    assert counted(d, "matches", "example.net.", "A") == 2

    assert rcode(udp(p, query("fail.example.net", "HTTPS"))) == "SERVFAIL"
    assert counted(d, "matches", "fail.example.net.", "HTTPS") == 1

    # What was counted is not another zone's; with the same ones it stays.
    d.reload({**config, "template": templates, "log": "all"})
    assert counted(d, "matches", "apps.okd.example.com.", "A") == 2
    d.reload({**config, "template": templates[1:]})
    wait_until(lambda: counted(d, "matches", "ip.example.net.", "A") == 0, what="the change")
    udp(p, query("ip-1.ip.example.net"))
    assert counted(d, "matches", "ip.example.net.", "A") == 1
    d.reload(config)
    assert not [k for k in metrics(d) if k.startswith("coredns_template_")]


def test_metrics_of_many_zones_are_bounded(daemon):
    zones = [f"z{i}.example.net" for i in range(20)]
    p = free_port()
    lines = [f"l{i}.{{{{ .Zone }}}} 60 IN A 10.0.{{{{ .Group.n }}}}.{i}" for i in range(3)]
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "template": [
        {"zones": zones, "match": ["^x(?P<n>[0-9]+)[.]"], "answer": lines}]})
    for zone in zones:
        assert texts(udp(p, query(f"x1.{zone}"))) == ["10.0.1.0", "10.0.1.1", "10.0.1.2"]
        assert rcode(udp(p, query(f"x300.{zone}"))) == "SERVFAIL"
    for zone in zones[:15]:
        assert counted(d, "matches", zone + ".", "A") == 2
    for zone in zones[:11]:
        assert counted(d, "rr_failures", zone + ".", "A",
                       f',section="answer",template="{lines[0]}"') == 1
    assert counted(d, "matches", "other", "A") == 10
    assert counted(d, "rr_failures", "other", "A",
                   ',section="other",template="other"') == 9


@pytest.mark.parametrize("change,why", [
    ({"match": ["(["]}, "is no pattern"), ({"type": "NOSUCH"}, "is no record type"),
    ({"answer": ["{{ .Nam }} A 1.1.1.1"]}, "not known"),
    ({"answer": ["{{ .Name }} A nonsense"]}, "makes no record"),
    ({"answer": ["{{ .Name A 1.1.1.1"]}, "missing"), ({"rcode": "MAYBE"}, "is none of"),
    ({"class": "CH"}, "neither IN nor ANY"), ({"ederror": "blocked"}, "is not a number"),
    ({"ederror": "65536"}, "is not a number"), ({"ederror": "15x"}, "is not a number")])
def test_what_is_wrong_is_said_with_its_place(change, why):
    done = run_daemon("dnsd", "-n", config={"template": [{**GUIDE, **change}]})
    assert done.status == 1 and why in done.err and "dnsd.yaml:" in done.err
