"""okd-lbd: balancing, checks, closes, limits, reload and the pages."""

import hashlib
import os
import re
import select
import socket
import threading
import time
import urllib.request

import pytest

from harness import free_port, wait_until
from lbd_peers import (Load, Server, ask, config, connect, http, read_all, reset,
                       server_context, server_status, wait_status)
from test_faults import bound_to, shut_down
from variant import SLOW


@pytest.fixture
def pair():
    with Server("a") as a, Server("b") as b:
        yield a, b


def get(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as r:
        return r.status, r.read().decode()


def is_reset(port, source):
    """Whether a connection is reset before a byte was sent; a FIN is none."""
    with socket.socket() as s:
        s.settimeout(5)
        s.bind((source, 0))
        try:
            s.connect(("127.0.0.1", port))
            assert s.recv(1) == b""
        except ConnectionResetError:
            return True
    return False


# --- balancing ---------------------------------------------------------------------------


def test_the_guides_two_servers_by_the_last_octet(daemon, pair):
    port = free_port()
    daemon("lbd", config(pair, port, balance="source"))
    for i in range(10, 22):
        assert ask(port, f"127.0.0.{i}") == "ab"[i % 2]


def test_roundrobin_by_weight(daemon, pair):
    port = free_port()
    servers = [{"name": s.name, "address": s.address, "weight": w} for s, w in zip(pair, (1, 3))]
    daemon("lbd", config(servers, port, balance="roundrobin"))
    assert "".join(ask(port) for _ in range(8)) == "bbbabbba"


def test_a_backup_serves_when_nobody_else_does(daemon, pair):
    a, b = pair
    port = free_port()
    servers = [{"name": "a", "address": a.address},
               {"name": "b", "address": b.address, "backup": True}]
    d = daemon("lbd", config(servers, port))
    assert {ask(port) for _ in range(4)} == {"a"}
    a.stop()
    wait_status(d, "a", "DOWN")
    assert ask(port) == "b"
    d.log_contains("0 active and 1 backup servers left. Running on backup.")


def test_all_backups_serve_where_the_file_says_so(daemon):
    port = free_port()
    with Server("a") as a, Server("b") as b, Server("c") as c:
        servers = [{"name": s.name, "address": s.address, "backup": s is not a}
                   for s in (a, b, c)]
        d = daemon("lbd", config(servers, port, balance="roundrobin", all_backups=True))
        assert {ask(port) for _ in range(6)} == {"a"}
        a.stop()
        wait_status(d, "a", "DOWN")
        assert "".join(ask(port) for _ in range(4)) in ("bcbc", "cbcb")
        d.log_contains("0 active and 2 backup servers left. Running on backup.")
        d.reload(config(servers, port, balance="roundrobin"))
        assert {ask(port) for _ in range(6)} == {"b"}
        b.stop()
        wait_status(d, "b", "DOWN")
        assert ask(port) == "c"


# Of 400 draws with 3/4 each, 6.2 standard deviations to either side.
THREE_QUARTERS = range(246, 355)


def draws(d, port, open_sessions=0):
    """400 connections, one after the other, so that they do not weigh on each other."""
    out = ""
    for _ in range(400):
        wait_until(lambda: d.status()["lbd"]["sessions"] == open_sessions, 20, "the last's end")
        out += ask(port)
    return out


def test_random_goes_by_weight(daemon, pair):
    port = free_port()
    servers = [{"name": s.name, "address": s.address, "weight": w} for s, w in zip(pair, (1, 3))]
    d = daemon("lbd", config(servers, port, balance="random"))
    drawn = draws(d, port)
    assert drawn.count("b") in THREE_QUARTERS and drawn.count("a") == 400 - drawn.count("b"), drawn
    # As improbable not to have been drawn (5e-10); with shares by turns it never is.
    assert "aa" in drawn


def test_random_takes_the_lighter_of_two(daemon, pair):
    """One with a connection is served only when it is drawn twice."""
    port = free_port()
    d = daemon("lbd", config(pair, port, balance="random"))
    with connect(port) as s:
        s.sendall(b"x")
        light = {"a": "b", "b": "a"}[s.recv(1).decode()]
        drawn = draws(d, port, 1)
        assert drawn.count(light) in THREE_QUARTERS, drawn


# --- failover ------------------------------------------------------------------------------


def test_a_refusing_server_fails_no_client(daemon, pair):
    """R1: the hashed server dies; checks are too slow to tell."""
    a, b = pair
    port = free_port()
    d = daemon("lbd", config(pair, port, balance="source",
                             check={"type": "tcp", "interval": "1h"}))
    assert ask(port, "127.0.0.10") == "a"
    a.stop()
    begin = time.monotonic()
    for _ in range(50):
        assert ask(port, "127.0.0.10") == "b"
    # One that waited for HAProxy's pause between attempts would take 150 s.
    assert time.monotonic() - begin < 75 * SLOW
    line = d.log_contains(re.compile(r"fe be/b .*/\+1 0/0"))
    assert " -- " in line
    assert server_status(d, "a")["status"] == "UP"


def test_a_silent_server_costs_the_connect_time_out_once(daemon, pair):
    """R2: SYNs are dropped because the listen queue is full."""
    _, b = pair
    mute = socket.socket()
    mute.bind(("127.0.0.1", 0))
    mute.listen(0)
    address = mute.getsockname()
    fill = []
    for _ in range(4):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(address)
        fill.append(s)
    port = free_port()
    servers = [{"name": "mute", "address": "127.0.0.1:%d" % address[1], "check": False},
               {"name": "b", "address": b.address}]
    d = daemon("lbd", config(servers, port, balance="first",
                             top={"timeouts": {"connect": "300ms"}}))
    begin = time.monotonic()
    assert ask(port) == "b"
    assert time.monotonic() - begin >= 0.3
    d.log_contains(re.compile(r"be/b .*/\+1 0/0"))
    for s in fill + [mute]:
        s.close()


def test_without_any_server_the_client_gets_fin(daemon, pair):
    port = free_port()
    for s in pair:
        s.stop()
    d = daemon("lbd", config(pair, port))
    with connect(port) as s:
        assert s.recv(1) == b""
    line = d.log_contains("<NOSRV>")
    assert re.search(r" fe be/<NOSRV> -1/-1/\d+ 0 SC 1/1/0/0/0 0/0$", line)


def test_the_only_server_is_tried_again(daemon):
    """A restart of the only API server: three further attempts, a second apart."""
    port, target = free_port(), free_port()
    servers = [{"name": "a", "address": f"127.0.0.1:{target}", "check": False}]
    d = daemon("lbd", config(servers, port))
    with connect(port) as s:
        wait_until(lambda: server_status(d, "a")["retries"] == 1, what="a refusal")
        with Server("a", port=target):
            s.sendall(b"x")
            assert s.recv(10).startswith(b"a:")


# --- checks ----------------------------------------------------------------------------------


def test_going_down_and_up_as_haproxy_logs_it(daemon, pair):
    a, _ = pair
    port = free_port()
    d = daemon("lbd", config(pair, port))
    a.stop()
    line = d.log_contains("Server be/a is DOWN")
    assert ('reason: Layer4 connection problem, info: "Connection refused", check duration: '
            in line)
    assert line.endswith("1 active and 0 backup servers left. 0 sessions active, "
                         "0 requeued, 0 remaining in queue.")
    with Server("a", port=a.port):
        line = d.log_contains("Server be/a is UP")
        assert line.endswith("2 active and 0 backup servers online. "
                             "0 sessions requeued, 0 total in queue.")
    d.log_contains("Server be/a is DOWN", since=d.log_position())


def test_a_tcp_check_is_not_seen_by_accept(daemon, pair):
    """R11."""
    a, _ = pair
    d = daemon("lbd", config(pair, free_port(), check={"type": "tcp", "interval": "20ms"}))
    wait_until(lambda: server_status(d, "a")["check"]["count"] >= 50, 20, "fifty checks")
    assert server_status(d, "a")["check"]["status"] == "L4OK"
    assert a.accepted == 0


def test_no_connection_goes_to_a_dead_server_at_the_start(daemon, pair):
    """R12: the first check comes before the first client."""
    a, _ = pair
    a.stop()
    port = free_port()
    d = daemon("lbd", config(pair, port, balance="source", failover=False))
    assert ask(port, "127.0.0.10") == "b"
    assert server_status(d, "a")["retries"] == 0


@pytest.mark.parametrize("kind", ["http", "https"])
def test_readyz(daemon, tmp_path, kind):
    """R3: red /readyz takes the server out of the pool; its connections live on."""
    replies = {"/readyz": 200}
    tls = server_context(str(tmp_path)) if kind == "https" else None
    with Server("a") as a, Server("b") as b, Server(handler=http(replies), tls=tls) as probe:
        port = free_port()
        check = {"type": kind, "path": "/readyz", "expect": [200], "interval": "100ms",
                 "timeout": "5s", "fall": 2, "port": probe.port}
        servers = [{"name": "a", "address": a.address},
                   {"name": "b", "address": b.address, "check": False, "backup": True}]
        d = daemon("lbd", config(servers, port, check=check))
        assert ask(port) == "a"
        assert server_status(d, "a")["check"]["code"] == 200
        open_one = connect(port)
        open_one.sendall(b"1")
        assert open_one.recv(10) == b"a:1"
        replies["/readyz"] = 500
        line = d.log_contains("Server be/a is DOWN")
        assert 'reason: Layer7 wrong status, code: 500, info: "HTTP status 500"' in line
        wait_until(lambda: ask(port) == "b")
        open_one.sendall(b"2")
        assert open_one.recv(10) == b"2"
        open_one.close()
        replies["/readyz"] = 200
        wait_status(d, "a", "UP")
        assert ask(port) == "a"
        if kind == "https":
            left = server_status(d, "a")["certificate_not_after"] - time.time()
            assert 86400 < left <= 2 * 86400 + 60


def test_a_tls_check_with_a_ca(daemon, tmp_path):
    tls = server_context(str(tmp_path))
    with Server("a", tls=tls) as a:
        check = {"type": "tls", "interval": "100ms", "sni": "localhost",
                 "ca": str(tmp_path / "t.crt")}
        d = daemon("lbd", config([a], free_port(), check=check))
        wait_until(lambda: server_status(d, "a")["check"]["status"] == "L6OK")
        check["sni"] = "other"
        d.reload(config([a], free_port(), check=check))
        d.log_contains("Server be/a is DOWN, reason: Layer6 invalid response")


# --- closes ------------------------------------------------------------------------------------


def test_half_close_both_ways(daemon):
    """R7."""

    def late(conn, server):
        data = read_all(conn)
        conn.sendall(b"after your end: " + data)

    def early(conn, server):
        conn.sendall(b"mine")
        conn.shutdown(socket.SHUT_WR)
        server.got = read_all(conn)
        server.done.set()

    port, second = free_port(), free_port()
    with Server("late", late) as one, Server("early", early) as two:
        two.done = threading.Event()
        conf = config([one], port)
        conf["frontends"].append({"name": "f2", "listen": [f"127.0.0.1:{second}"],
                                  "backend": "b2"})
        conf["backends"].append({"name": "b2", "servers": [
            {"name": "early", "address": two.address, "check": False}]})
        daemon("lbd", conf)
        with connect(port) as s:
            s.sendall(b"question")
            s.shutdown(socket.SHUT_WR)
            assert read_all(s) == b"after your end: question"
        with connect(second) as s:
            assert read_all(s) == b"mine"
            s.sendall(b"still here")
            s.shutdown(socket.SHUT_WR)
            assert two.done.wait(5) and two.got == b"still here"


def test_a_servers_reset_reaches_the_client_as_one(daemon):
    def handler(conn, server):
        conn.recv(10)
        conn.sendall(b"part")
        reset(conn)

    port = free_port()
    with Server("a", handler) as a:
        d = daemon("lbd", config([a], port))
        with connect(port) as s:
            s.sendall(b"x")
            got = b""
            with pytest.raises(ConnectionResetError):
                for _ in range(2):
                    got += s.recv(10)
        d.log_contains(" SD ")


def test_a_clients_reset_reaches_the_server_as_one(daemon):
    seen = threading.Event()

    def handler(conn, server):
        conn.recv(10)
        conn.sendall(b"hello")
        try:
            conn.recv(10)
        except ConnectionResetError:
            seen.set()

    port = free_port()
    with Server("a", handler) as a:
        d = daemon("lbd", config([a], port))
        s = connect(port)
        s.sendall(b"x")
        assert s.recv(10) == b"hello"
        reset(s)
        assert seen.wait(5 * SLOW)
        d.log_contains(" CD ")


def test_a_reset_after_a_half_close_is_noticed(daemon):
    """The client ends and goes; what the server says then meets a closed socket, and the
    server, which does not look, is reset."""
    seen, go = threading.Event(), threading.Event()

    def handler(conn, server):
        conn.recv(10)
        go.wait(10)
        conn.sendall(b"to nobody")
        poll = select.poll()
        poll.register(conn, 0)  # errors alone
        if poll.poll(5000 * SLOW):
            seen.set()

    port = free_port()
    with Server("a", handler) as a:
        d = daemon("lbd", config([a], port))
        with connect(port) as s:
            s.sendall(b"x")
        wait_until(lambda: d.status()["lbd"]["sessions"] == 1)
        go.set()
        wait_until(lambda: d.status()["lbd"]["sessions"] == 0, 5, "the end of the session")
        assert seen.wait(5 * SLOW)


@pytest.mark.parametrize("n", [1000, pytest.param(10_000, marks=[
    pytest.mark.long, pytest.mark.timeout(300)])])
def test_a_storm_of_aborts_leaves_nothing(daemon, pair, n):
    """R7: no session, and no socket that could be in CLOSE_WAIT."""
    port = free_port()
    d = daemon("lbd", config(pair, port, frontend={"log": "none"}))
    for i in range(n):
        s = connect(port)
        if i % 3:
            s.sendall(b"x" * (i % 100 + 1))
        if i % 2:
            s.shutdown(socket.SHUT_WR)
        reset(s) if i % 5 else s.close()
    wait_until(lambda: d.status()["lbd"]["sessions"] == 0, 10, "the end of all sessions")
    d.expect_no_leak()


def test_idle_time_outs(daemon, pair):
    port = free_port()
    d = daemon("lbd", config(pair, port, top={"timeouts": {"client": "300ms", "server": "1h"}}))
    with connect(port) as s:
        s.sendall(b"x")
        s.recv(10)
        begin = time.monotonic()
        assert s.recv(1) == b""
        assert time.monotonic() - begin >= 0.25
    d.log_contains(" cD ")


# --- bytes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("total", [
    48 << 20, pytest.param(1 << 30, marks=[pytest.mark.long, pytest.mark.timeout(300)])])
def test_much_data_both_ways_with_odd_pieces(daemon, total):
    """R9: hashes are equal, whatever the pieces."""

    def handler(conn, server):
        got = hashlib.sha256()

        def reader():
            while True:
                data = conn.recv(300000)
                if not data:
                    break
                got.update(data)

        t = threading.Thread(target=reader)
        t.start()
        sent = hashlib.sha256()
        left, size = total, 1
        while left:
            piece = os.urandom(min(left, size))
            size = size * 7 % 400009 + 1
            conn.sendall(piece)
            sent.update(piece)
            left -= len(piece)
        conn.shutdown(socket.SHUT_WR)
        t.join()
        server.result = got.hexdigest(), sent.hexdigest()
        server.done.set()

    port = free_port()
    with Server("a", handler) as a:
        a.done = threading.Event()
        daemon("lbd", config([a], port))
        s = connect(port, timeout=100)
        got, sent = hashlib.sha256(), hashlib.sha256()

        def writer():
            left, size = total, 3
            while left:
                piece = os.urandom(min(left, size))
                size = size * 11 % 300007 + 1
                s.sendall(piece)
                sent.update(piece)
                left -= len(piece)
            s.shutdown(socket.SHUT_WR)

        t = threading.Thread(target=writer)
        t.start()
        while True:
            data = s.recv(100000)
            if not data:
                break
            got.update(data)
        t.join()
        s.close()
        assert a.done.wait(100 * SLOW)
        assert a.result == (sent.hexdigest(), got.hexdigest())


def test_a_slow_reader_costs_no_memory(daemon):
    def handler(conn, server):
        chunk = b"z" * (1 << 20)
        try:
            for _ in range(512):
                conn.sendall(chunk)
        except OSError:
            pass

    port = free_port()
    with Server("a", handler) as a:
        d = daemon("lbd", config([a], port))
        s = connect(port)
        s.recv(1024)

        def moved():
            return d.admin("/v1/sessions").json()[0]["bytes_out"]

        def is_stuck():
            """Nothing moves while the daemon answers ten questions."""
            return len({moved() for _ in range(10)}) == 1

        wait_until(is_stuck, 20, "a full path")
        before = d.metrics()["process_resident_memory_bytes"]
        for _ in range(20):
            s.recv(1024)
            wait_until(is_stuck, 20, "a full path")
        grown = d.metrics()["process_resident_memory_bytes"] - before
        assert grown < 2 << 20
        reset(s)


# --- limits --------------------------------------------------------------------------------------


def test_only_those_on_the_list_get_in(daemon, pair):
    a, b = pair
    port = free_port()
    d = daemon("lbd", config(pair, port, frontend={"allow": ["127.0.0.16/28"]}))
    assert ask(port, "127.0.0.17") in "ab"
    before = a.accepted + b.accepted
    assert is_reset(port, "127.0.0.40")
    assert a.accepted + b.accepted == before
    assert d.status()["lbd"]["frontends"][0]["denied"] == 1


def test_one_address_gets_its_share_of_connections(daemon, pair):
    port = free_port()
    d = daemon("lbd", config(pair, port, frontend={"source_connections": 2}))
    held = [connect(port, "127.0.0.9") for _ in range(2)]
    for s in held:
        s.sendall(b"x")
        assert s.recv(10)
    assert is_reset(port, "127.0.0.9")
    assert ask(port, "127.0.0.8") in "ab"
    held.pop().close()
    wait_until(lambda: d.status()["lbd"]["sessions"] == 1)
    assert ask(port, "127.0.0.9") in "ab"
    held.pop().close()


def test_one_address_gets_its_share_of_attempts(daemon, pair):
    port = free_port()
    d = daemon("lbd", config(pair, port, frontend={"source_rate": 3}))
    assert [is_fast for is_fast in (ask(port, "127.0.0.9") for _ in range(3)) if is_fast]
    assert is_reset(port, "127.0.0.9")
    assert ask(port, "127.0.0.8") in "ab"
    assert d.status()["lbd"]["frontends"][0]["denied"] == 1


def test_a_frontends_maxconn_lets_the_rest_wait(daemon, pair):
    port = free_port()
    daemon("lbd", config(pair, port, frontend={"maxconn": 2}))
    first, second = connect(port), connect(port)
    for s in (first, second):
        s.sendall(b"x")
        assert s.recv(10)
    third = connect(port)
    third.sendall(b"x")
    assert not select.select([third], [], [], 0.3)[0]
    first.close()
    assert third.recv(10)
    second.close()
    third.close()


def test_a_servers_maxconn_queues(daemon, pair):
    a, _ = pair
    port = free_port()
    servers = [{"name": "a", "address": a.address, "maxconn": 1}]
    d = daemon("lbd", config(servers, port, top={"timeouts": {"queue": "400ms"}}))
    first = connect(port)
    first.sendall(b"x")
    first.recv(10)
    second = connect(port)
    second.sendall(b"x")
    assert not select.select([second], [], [], 0.1)[0]
    first.close()
    assert second.recv(10) == b"a:x"
    with connect(port) as third:
        begin = time.monotonic()
        assert third.recv(1) == b""
        assert time.monotonic() - begin > 0.35
    d.log_contains(re.compile(r"be/<NOSRV> \d+/-1/\d+ 0 sQ .* 0/1"))
    second.close()


def test_out_of_descriptors(daemon, pair):
    """R6: with 300 descriptors 137 are served, the rest wait, nothing spins, the page
    answers, and all are served once there is room."""
    port, stats = free_port(), free_port()
    wrapper = ["prlimit", "--nofile=300:300", "--"]
    d = daemon("lbd", config(pair, port, stats, frontend={"log": "none"}), wrapper=wrapper)
    clients = [connect(port) for _ in range(160)]
    for s in clients:
        s.sendall(b"x")
    wait_until(lambda: d.status()["lbd"]["sessions"] == 137, 10, "137 sessions")
    assert get(stats, "/healthz")[0] == 200

    def awake():
        """Seconds that the main thread ran or waited for a core: one that spins never sleeps."""
        with open(f"/proc/{d.pid}/schedstat", encoding="ascii") as f:
            ran, waited, _ = f.read().split()
        return (int(ran) + int(waited)) / 1e9

    def checks():
        return server_status(d, "a")["check"]["count"]

    # A second by the daemon's own clock: ten checks, and what asking for them costs.
    begin, before, until = time.monotonic(), awake(), checks() + 10
    wait_until(lambda: checks() >= until, 20, "ten checks")
    assert awake() - before < 0.9 * (time.monotonic() - begin)
    for s in clients[:40]:
        s.close()
    for s in clients[40:]:
        assert s.recv(10)
    for s in clients[40:]:
        s.close()


# --- reload and upgrade ------------------------------------------------------------------------------


@pytest.mark.threads
def test_reload_loses_nothing(daemon, pair):
    """R4: connections, counters and states are kept."""
    a, b = pair
    port = free_port()
    conf = config(pair, port, frontend={"log": "none"})
    d = daemon("lbd", conf)
    b.stop()
    wait_status(d, "b", "DOWN")
    kept = connect(port)
    kept.sendall(b"1")
    kept.recv(10)
    loads = [Load(port) for _ in range(4)]
    for load in loads:
        load.start()
    try:
        for i in range(10):
            conf["backends"][0]["balance"] = ("source", "roundrobin", "leastconn")[i % 3]
            d.reload(conf)
            assert server_status(d, "b")["status"] == "DOWN"
            reached = loads[0].n + 20
            wait_until(lambda: loads[0].n >= reached, 10)
    finally:
        for load in loads:
            load.stop()
    assert [load.failures for load in loads] == [[]] * 4
    kept.sendall(b"2")
    assert kept.recv(10) == b"2"
    kept.close()
    total = sum(load.n for load in loads) + 1
    wait_until(lambda: d.status()["lbd"]["sessions"] == 0)
    assert d.status()["lbd"]["frontends"][0]["sessions_total"] == total


@pytest.mark.threads
def test_upgrade_refuses_and_cuts_nobody(daemon, pair):
    port = free_port()
    d = daemon("lbd", config(pair, port, frontend={"log": "none"}, top={"workers": 2}))
    kept = connect(port)
    kept.sendall(b"1")
    kept.recv(10)
    load = Load(port)
    load.start()
    try:
        for _ in range(2):
            d.upgrade()
            reached = load.n + 50
            wait_until(lambda: load.n >= reached, 10)
    finally:
        load.stop()
    assert load.failures == []
    kept.sendall(b"2")
    assert kept.recv(10) == b"2"
    kept.close()
    d.wait_old()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to take another's descriptor")
def test_a_listener_that_was_shut_down_is_revived(daemon, pair):
    """Somebody has called shutdown() on the listening socket: the process neither spins nor
    stays deaf."""
    port = free_port()
    d = daemon("lbd", config(pair, port))
    assert ask(port) in "ab"
    wait_until(lambda: d.status()["lbd"]["sessions"] == 0)
    assert shut_down(d.pid, bound_to(port, socket.SOCK_STREAM)) == 1
    assert "a listener was shut down" in d.log_contains("accepting again in a second")

    def answers():
        try:
            return ask(port) in "ab"
        except OSError:
            return False

    wait_until(answers, 10, "an answer")
    assert d.log.count("accepting again in a second") == 1


def test_a_reload_with_a_bad_ca_keeps_everything(daemon, pair):
    port = free_port()
    d = daemon("lbd", config(pair, port))
    d.reload(config(pair, free_port(), check={"type": "https", "ca": "/nonexistent"}))
    assert "/nonexistent" in d.status()["config"]["error"]
    assert ask(port) in "ab"


# --- pages ----------------------------------------------------------------------------------------------


def test_pages(daemon, pair):
    a, b = pair
    port, stats = free_port(), free_port()
    d = daemon("lbd", config(pair, port, stats))
    assert ask(port)
    assert get(stats, "/healthz") == (
        200, "<html><body><h1>200 OK</h1>\nService ready.\n</body></html>\n")
    assert get(stats, "/readyz") == (200, "ok\n")
    page = get(stats, "/")[1]
    assert "<h2>be</h2>" in page and "UP" in page
    assert 'haproxy_server_status{proxy="be",server="a",state="UP"} 1' in get(
        stats, "/metrics")[1]
    rows = [line.split(",") for line in get(stats, "/;csv;norefresh")[1].splitlines()]
    assert [r[:2] for r in rows[1:]] == [
        ["fe", "FRONTEND"], ["be", "a"], ["be", "b"], ["be", "BACKEND"]]
    assert {len(r) for r in rows} == {len(rows[0])}
    a.stop()
    b.stop()
    wait_status(d, "a", "DOWN")
    wait_status(d, "b", "DOWN")
    assert get(stats, "/healthz")[0] == 200
    with pytest.raises(urllib.error.HTTPError) as e:
        get(stats, "/readyz")
    assert e.value.code == 503 and b"frontend fe has no usable server" in e.value.read()
    e.value.close()


def test_nothing_can_be_changed_over_tcp(daemon, pair):
    stats = free_port()
    daemon("lbd", config(pair, free_port(), stats))
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        request = urllib.request.Request(
            f"http://127.0.0.1:{stats}/v1/servers/be/a", method=method, data=b"{}")
        with pytest.raises(urllib.error.HTTPError) as e:
            urllib.request.urlopen(request, timeout=5)
        assert e.value.code in (404, 405)
        e.value.close()


# --- the page's limits -----------------------------------------------------------------------------------


def test_the_pages_limits(daemon, pair):
    """R14: 64 connections, 8 KiB of head, 5 s for it."""
    stats = free_port()
    daemon("lbd", config(pair, free_port(), stats))
    with connect(stats) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 9000)
        assert s.recv(100).startswith(b"HTTP/1.1 431 ")
    silent = [connect(stats, timeout=20) for _ in range(64)]
    # One more is served only once the silent ones have been cut.
    with connect(stats, timeout=20) as s:
        s.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert not select.select([s], [], [], 0.2)[0]
        assert b"Service ready." in read_all(s)
    for s in silent:
        read_all(s)
        s.close()


# --- detection ----------------------------------------------------------------------------------------------


def checks_until(daemon, status):
    """How many checks of a server it takes from now on; they come at their intervals."""
    count = server_status(daemon, "a")["check"]["count"]
    wait_status(daemon, "a", status, timeout=30)
    return server_status(daemon, "a")["check"]["count"] - count


def test_a_dead_server_is_found_in_time_by_the_guides_checks(daemon, pair):
    """R3: DOWN within 6 s, UP within 4 s, which is three checks and two at 2 s; one may have
    been under way."""
    a, _ = pair
    d = daemon("lbd", config(pair, free_port(), check={"type": "tcp", "interval": "2s",
                                                      "rise": 2, "fall": 3}))
    a.stop()
    assert checks_until(d, "DOWN") <= 4
    with Server("a", port=a.port):
        assert checks_until(d, "UP") <= 3


def test_a_red_readyz_is_found_in_time(daemon, tmp_path):
    """R3: out of the pool within 10 s by the checks that follow from the cluster file: two,
    each 3 s after the one before and of 2 s at most."""
    replies = {"/readyz": 200}
    with Server("a", handler=http(replies), tls=server_context(str(tmp_path))) as a:
        check = {"type": "https", "path": "/readyz", "expect": [200], "interval": "3s",
                 "timeout": "2s", "rise": 2, "fall": 2}
        d = daemon("lbd", config([a], free_port(), check=check))
        assert server_status(d, "a")["status"] == "UP"
        replies["/readyz"] = 500
        assert checks_until(d, "DOWN") <= 3
