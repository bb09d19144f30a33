"""dnsd's metrics of its upstreams: their replies, their health."""

import time

import dns.rcode
import pytest
import dnsd
from dnsd import HOST, metrics, query, reply, texts, udp
from harness import free_port, wait_until

offline_daemon = dnsd.offline_daemon
upstream = dnsd.upstream


def serve(daemon, *upstreams, forward=None, **config):
    p = free_port()
    to = {"to": [u.address for u in upstreams], "find_loops": False, **(forward or {})}
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "workers": 1, "forward": to, **config})
    return d, p


def malformed(q, proto):
    """The counts promise more than there is."""
    wire = bytearray(reply(q, "www.example.org. 60 IN A 10.0.0.1").to_wire())
    wire[7] = 9
    return bytes(wire)


RCODES = {"no": dns.rcode.NXDOMAIN, "bad": dns.rcode.SERVFAIL, "mine": dns.rcode.REFUSED,
          "odd": dns.rcode.NOTIMP}


def by_name(q, proto):
    first = str(q.question[0].name).lower().split(".")[0]
    lines = [] if first in RCODES else [f"{q.question[0].name} 300 IN A 10.0.0.1"]
    return reply(q, *lines, rcode=RCODES.get(first, dns.rcode.NOERROR))


@pytest.mark.parametrize("twice", [False, True], ids=["one", "twice the same"])
def test_metrics_of_upstreams_replies(daemon, upstream, twice):
    u = upstream(by_name)
    begin = time.monotonic()
    d, p = serve(daemon, u, *([u] if twice else []), old_metrics=True)
    for name in ("www", "www", "other", "no", "bad", "mine", "odd"):
        udp(p, query(f"{name}.example.org"))
    m = metrics(d)
    took = time.monotonic() - begin
    name = "coredns_proxy_request_duration_seconds"
    # Who answers with an error is not the last to be asked when there is another.
    counts = {"NOERROR": 2, "NXDOMAIN": 1, "SERVFAIL": 1 + twice, "other": 2 + 2 * twice}
    for code, n in counts.items():
        labels = f'proxy_name="forward",to="{u.address}",rcode="{code}"'
        assert m[f"{name}_count{{{labels}}}"] == n
        assert m[f'{name}_bucket{{{labels},le="+Inf"}}'] == n
        assert 0 < m[f"{name}_sum{{{labels}}}"] < took
        assert m[f'coredns_forward_response_rcode_count_total{{rcode="{code}",'
                 f'to="{u.address}"}}'] == n
    name, labels = "coredns_forward_request_duration_seconds", f'to="{u.address}"'
    assert m[f"{name}_count{{{labels}}}"] == sum(counts.values())
    assert 0 < m[f"{name}_sum{{{labels}}}"] < took
    assert m[f'coredns_proxy_requests_total{{proxy_name="forward",{labels}}}'] == len(u.seen)
    assert m[f'coredns_proxy_healthcheck_failures_total{{proxy_name="forward",{labels}}}'] == 0
    assert m["coredns_forward_healthcheck_broken_total"] == 0


def test_what_is_no_usable_reply_has_no_duration(daemon, upstream):
    bad, good = upstream(malformed), upstream()
    d, p = serve(daemon, bad, good, forward={"policy": "sequential"})
    assert texts(udp(p, query("www.example.org"))) == ["10.0.0.1"]
    names = [k for k in metrics(d) if k.startswith("coredns_proxy_request_duration_seconds_count")]
    assert len(names) == 1 and good.address in names[0]


def test_metrics_of_upstreams_that_are_down(daemon, upstream):
    u = upstream(lambda q, proto: None)
    d, p = serve(daemon, u, old_metrics=True,
                 forward={"timeout": "1s", "attempt": "100ms", "max_fails": 1})
    # It is found to be down by this one.
    udp(p, query("n0.example.org"))
    d.log_contains("it is avoided until it does")
    assert metrics(d)["coredns_forward_healthcheck_broken_total"] == 0
    for i in (1, 2):
        udp(p, query(f"n{i}.example.org"))
    m = metrics(d)
    assert m["coredns_forward_healthcheck_broken_total"] == 2
    assert m["coredns_forward_healthcheck_broken_count_total"] == 2
    failures = 'coredns_proxy_healthcheck_failures_total{proxy_name="forward",to="%s"}' % u.address
    wait_until(lambda: metrics(d)[failures] >= 2, what="the probes")
    assert metrics(d)['coredns_forward_healthcheck_failure_count_total{to="%s"}' % u.address] >= 2
    u.behave = lambda q, proto: reply(q, f"{q.question[0].name} 300 IN A 10.0.0.1")
    d.log_contains("answers again")
    assert texts(udp(p, query("n3.example.org"))) == ["10.0.0.1"]
    m = metrics(d)
    assert m["coredns_forward_healthcheck_broken_total"] == 2
    # A probe is not a question of somebody's.
    assert m["coredns_proxy_request_duration_seconds_count"
             '{proxy_name="forward",to="%s",rcode="NOERROR"}' % u.address] == 1


def test_one_upstream_that_is_down_is_not_all(daemon, upstream):
    silent, good = upstream(lambda q, proto: None), upstream()
    d, p = serve(daemon, silent, good,
                 forward={"policy": "sequential", "attempt": "100ms", "max_fails": 0})
    for i in range(3):
        assert texts(udp(p, query(f"n{i}.example.org"))) == ["10.0.0.1"]
    m = metrics(d)
    assert m['okd_dnsd_upstream_down{proxy_name="forward",to="%s"}' % silent.address] == 1
    assert m["coredns_forward_healthcheck_broken_total"] == 0
