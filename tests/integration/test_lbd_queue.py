"""okd-lbd: who waits for a server, where a connection goes that one has not taken, and what
becomes of sessions that have ended."""

import concurrent.futures
import os
import re
import threading

import pytest

import variant
from harness import free_port, wait_until
from jumpclock import build
from lbd_peers import (Server, ask, cli, config, connect, http, read_all, reset,
                       server_status, spawn_load)


@pytest.fixture
def pair():
    with Server("a") as a, Server("b") as b:
        yield a, b


def queued(d):
    return d.status()["lbd"]["backends"][0]["queued"]


def refusing(name, port):
    return {"name": name, "address": f"127.0.0.1:{port}", "check": False}


def answer(port):
    """As ask(), "" too when what was sent met a closed socket."""
    try:
        return ask(port, timeout=20)
    except ConnectionResetError:
        return ""


def test_a_long_queue_ends_with_the_last_server(daemon):
    """All who wait are told, by threads whose stack is a fraction of what there are of them."""
    n, port, replies = 4000, free_port(), {"/": 200}
    with Server("a") as a, Server(handler=http(replies)) as probe:
        check = {"type": "http", "interval": "50ms", "timeout": "5s", "port": probe.port}
        servers = [{"name": "a", "address": a.address, "maxconn": 1}]
        d = daemon("lbd", config(servers, port, check=check, top={"timeouts": {"queue": "10m"}}),
                   wrapper=["prlimit", "--stack=1048576", "--"])
        clients = spawn_load("idle", port, n + 1)
        assert clients.stdout.readline() == "ready\n"
        wait_until(lambda: queued(d) == n, 30, "the queue")
        replies["/"] = 503
        wait_until(lambda: d.status()["lbd"]["sessions"] == 1, 30, "the end of all who wait")
        assert queued(d) == 0
        wait_until(lambda: d.log.count("be/<NOSRV> -1/-1/") == n, 20, "as many lines")
        clients.communicate("x")


def test_who_is_tried_again_does_not_wait_for_itself(daemon):
    """The pause after a refusal is spent in one of the server's places."""
    port, target = free_port(), free_port()
    servers = [{**refusing("a", target), "maxconn": 2}]
    d = daemon("lbd", config(servers, port, top={"timeouts": {"queue": "10m"}}))
    clients = [connect(port) for _ in range(2)]
    wait_until(lambda: server_status(d, "a")["retries"] == 2, what="two refusals")
    with Server("a", port=target):
        for s in clients:
            s.sendall(b"x")
        for s in clients:
            assert s.recv(10) == b"a:x"
            s.close()


def test_who_is_refused_waits_for_a_place_on_the_next(daemon, pair):
    """A server's maxconn holds for connections too that another has not taken."""
    _, b = pair
    port, target = free_port(), free_port()
    servers = [refusing("a", target), {"name": "b", "address": b.address, "maxconn": 1}]
    d = daemon("lbd", config(servers, port, balance="first",
                             top={"timeouts": {"queue": "10m"}}))
    first = connect(port)
    first.sendall(b"1")
    assert first.recv(10) == b"b:1"
    second, third = connect(port), connect(port)
    for s in (second, third):
        s.sendall(b"x")
    wait_until(lambda: queued(d) == 2, what="two who wait")
    assert server_status(d, "b")["sessions"] == 1
    first.close()
    assert second.recv(10) == b"b:x"
    second.close()
    assert third.recv(10) == b"b:x"
    # When nobody is left, whoever failed before is tried anew.
    with connect(port) as fourth:
        fourth.sendall(b"x")
        wait_until(lambda: queued(d) == 1, what="one who waits")
        with Server("a", port=target):
            assert cli(d, "disable server be/b") == "\n"
            assert fourth.recv(10) == b"a:x"
    third.close()


def test_a_backup_takes_what_the_others_refuse(daemon, pair):
    """R1 for a bootstrap and one master: checks are too slow to tell that it is dead."""
    a, b = pair
    port = free_port()
    servers = [{"name": "b", "address": b.address, "backup": True},
               {"name": "a", "address": a.address}]
    d = daemon("lbd", config(servers, port, check={"type": "tcp", "interval": "1h"}))
    assert {ask(port) for _ in range(4)} == {"a"}
    a.stop()
    assert {ask(port) for _ in range(4)} == {"b"}
    assert " -- " in d.log_contains(re.compile(r"fe be/b .*/\+1 0/0"))
    assert server_status(d, "a")["status"] == "UP"
    # Not one that is out of use, as the bootstrap is after the install.
    assert cli(d, "disable server be/b") == "\n"
    assert answer(port) == ""
    assert b.accepted == 4


def test_without_failover_it_is_the_same_server_again(daemon, pair):
    _, b = pair
    port, target = free_port(), free_port()
    servers = [refusing("a", target), {"name": "b", "address": b.address}]
    d = daemon("lbd", config(servers, port, balance="roundrobin", failover=False))
    assert answer(port) == ""
    d.log_contains(re.compile(r"fe be/a \d+/-1/\d+ 0 SC .*/3 0/0"))
    assert b.accepted == 0
    assert ask(port) == "b"
    # It is another one when that has gone down meanwhile.
    with connect(port) as s:
        s.sendall(b"x")
        wait_until(lambda: server_status(d, "a")["retries"] > 3, what="a refusal")
        assert cli(d, "disable server be/a") == "\n"
        assert s.recv(10) == b"b:x"


@pytest.mark.skipif(variant.NAME != "release", reason="a sanitizer wants to be loaded first")
def test_a_socket_that_a_fork_keeps_open_tells_nothing(daemon, tmp_path):
    """Between fork() and exec() of an upgrade another process has every socket of this one:
    one that was closed goes on having events, which are nobody else's."""
    path, ends, go = str(tmp_path / "stall"), [], threading.Event()

    def handler(conn, server):
        ends.append(conn)
        conn.sendall(conn.recv(10))
        go.wait(30)

    port = free_port()
    with Server("a", handler) as a:
        d = daemon("lbd", config([a], port, check={"type": "none"}),
                   env={"LD_PRELOAD": build(tmp_path, "stallfork"), "STALL_FORK": path})

        def begin():
            s = connect(port)
            s.sendall(b"1")
            assert s.recv(10) == b"1"
            return s

        one = begin()
        with open(path, "w", encoding="utf-8"):
            pass
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            done = pool.submit(d.upgrade)
            try:
                wait_until(lambda: os.path.exists(path + ".reached"), 20, "the fork")
                reset(one)
                d.log_contains(" CD ")
                two = begin()
                # The server of the first, which was not told yet, ends on its own.
                ends[0].shutdown(1)
                three = begin()
                ends[1].sendall(b"2")
                assert two.recv(10) == b"2"
                ends[1].sendall(b"3")
                assert two.recv(10) == b"3"
            finally:
                os.unlink(path)
            done.result()
        go.set()
        for s in (two, three):
            assert read_all(s) == b""
            s.close()
        d.wait_old()
