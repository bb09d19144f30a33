"""dnsd's query log: CoreDNS's format and classes."""

import re

import dns.name
import pytest
import dnsd
from dnsd import HOST, query, tcp, udp
from harness import free_port

offline_daemon = dnsd.offline_daemon

LINE = re.compile(
    r'\[INFO\] (127\.0\.0\.1:\d+) - (\d+) "(\S+) IN (\S+) (udp|tcp) (\d+) (true|false) '
    r'(\d+)" (\w+) (\S+) (\d+) (\d+\.\d{9}s)$', re.M)


def logged(d):
    """What was logged, as (type, name, proto, do, bufsize, rcode, flags)."""
    return [(m[3], m[4], m[5], m[7], m[8], m[9], m[10]) for m in LINE.finditer(d.log)]


def ask_all(port):
    udp(port, query("API.okd.example.com", use_edns=0, payload=4096, want_dnssec=True))
    udp(port, query("api.okd.example.com", "TXT"))
    udp(port, query("nobody.okd.example.com"))
    tcp(port, query("www.example.org"))


SUCCESS = [("A", "api.okd.example.com.", "udp", "true", "4096", "NOERROR", "qr,aa,rd")]
DENIAL = [("TXT", "api.okd.example.com.", "udp", "false", "512", "NOERROR", "qr,aa,rd"),
          ("A", "nobody.okd.example.com.", "udp", "false", "512", "NXDOMAIN", "qr,aa,rd")]
ERROR = [("A", "www.example.org.", "tcp", "false", "65535", "REFUSED", "qr,rd")]


@pytest.mark.parametrize("classes,want", [
    ("all", SUCCESS + DENIAL + ERROR), ("success", SUCCESS), ("denial", DENIAL),
    (["denial", "error"], DENIAL + ERROR), ("error", ERROR), ("none", [])])
def test_classes(daemon, classes, want):
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "log": classes, "workers": 1})
    ask_all(p)
    if want:
        d.log_contains(re.compile(re.escape(f"IN {want[-1][1]} {want[-1][2]}")))
    d.stop()
    assert logged(d) == want


def test_a_name_cannot_write_what_it_likes(daemon):
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "log": "all", "workers": 1})
    udp(p, query(dns.name.Name([b'x" NOERROR qr,aa 64 0.1s\n[INFO] 10.0.0.1:1 - 1 "A', b"okd",
                                b"example", b"com", b""])))
    udp(p, query("last.okd.example.com"))
    d.log_contains("IN last.okd.example.com.")
    (line,) = [x for x in d.log.splitlines() if "noerror" in x]
    assert LINE.match(line) and LINE.match(line)[4] == (
        r'x\"\032noerror\032qr,aa\03264\0320\.1s\010[info]\03210\.0\.0\.1:1\032-\0321\032'
        r'\"a.okd.example.com.')


def test_duration_metric(daemon):
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"]})
    ask_all(p)
    m = d.metrics()
    name = "coredns_dns_request_duration_seconds"
    labels = '{server="dns://:53",zone=".",view=""}'
    assert m[f"{name}_count{labels}"] == 4 and m[f"{name}_sum{labels}"] > 0
