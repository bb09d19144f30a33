"""Clocks that jump: the wall clock, which somebody sets, moves no TTL and cuts nobody off;
the boot clock, which goes on while a machine sleeps, lets TTLs run out."""

import dns.message
import pytest
import dnsd
import jumpclock
import variant
from dnsd import HOST, query, texts, udp
from harness import free_port, wait_until
from test_dnsd import connect, framed, read_message

offline_daemon = dnsd.offline_daemon
upstream = dnsd.upstream
clock = jumpclock.clock

DAY = 86400
LONG = 3650 * DAY
pytestmark = pytest.mark.skipif(variant.NAME != "release",
                                reason="a sanitizer wants to be loaded first")


def serve(daemon, clock, u, **config):
    p = free_port()
    forward = {"to": [u.address], "find_loops": False}
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "workers": 1, "forward": forward,
                        "cache": {"serve_stale": "0s"}, **config}, env=clock.env)
    return d, p


def ttl(port):
    return udp(port, query("www.example.org")).answer[0].ttl


def test_the_preloaded_clock_is_the_daemons(daemon, clock, upstream):
    """Else the tests below could not fail."""
    d, _ = serve(daemon, clock, upstream())
    before = d.admin("/status").headers["Date"]
    clock.wall(LONG)
    wait_until(lambda: int(d.admin("/status").headers["Date"].split()[3])
               >= int(before.split()[3]) + 9, what="the date to jump")


@pytest.mark.parametrize("jump", [LONG, -LONG, 3600, -3600])
def test_a_wall_clock_that_jumps_moves_no_ttl(daemon, clock, upstream, jump):
    u = upstream()
    d, p = serve(daemon, clock, u)
    assert ttl(p) == 300
    with connect(p) as s:
        clock.wall(jump)
        assert 240 <= ttl(p) <= 300 and len(u.seen) == 1
        s.sendall(framed(query("api.okd.example.com")))
        assert texts(read_message(s)) == ["192.168.120.101"]
    assert d.status()["ready"]
    d.reload()
    assert 240 <= ttl(p) <= 300 and len(u.seen) == 1


def test_ttls_run_out_while_the_machine_sleeps(daemon, clock, upstream):
    u = upstream()
    _, p = serve(daemon, clock, u)
    assert ttl(p) == 300 and len(u.seen) == 1
    clock.boot(100)
    assert 140 <= ttl(p) <= 200 and len(u.seen) == 1
    clock.boot(301)
    assert ttl(p) == 300 and len(u.seen) == 2


def test_after_a_sleep_idle_clients_are_let_go_and_new_ones_served(daemon, clock, upstream):
    d, p = serve(daemon, clock, upstream(), tcp={"idle": "30s"})
    with connect(p) as s:
        s.sendall(framed(query("api.okd.example.com")))
        read_message(s)
        clock.boot(DAY)
        assert s.recv(1) == b""
    with connect(p) as s:
        s.sendall(framed(query("api.okd.example.com")))
        assert texts(read_message(s)) == ["192.168.120.101"]
    assert texts(udp(p, query("api.okd.example.com"))) == ["192.168.120.101"]
    assert d.status()["ready"]


def test_a_wall_clock_that_jumps_leaves_admin_connections_alone(daemon, clock, upstream):
    d, p = serve(daemon, clock, upstream())
    for jump in (LONG, -LONG, 0):
        clock.wall(jump)
        assert d.status()["ready"] and d.admin("/healthz").status == 200
    assert dns.message.from_wire(udp(p, query("api.okd.example.com")).to_wire()).answer
