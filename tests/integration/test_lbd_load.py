"""okd-lbd under load: reloads, a kill, thousands of silent connections."""

import hashlib
import os
import re
import resource
import socket

import pytest

from harness import Daemon, free_port, wait_until
from lbd_peers import Load, Server, ask, config, connect, server_status, spawn_load, wait_status
from variant import SLOW


@pytest.fixture
def pair():
    with Server("a") as a, Server("b") as b:
        yield a, b


@pytest.fixture
def echo_port():
    server = spawn_load("serve")
    yield int(server.stdout.readline())
    server.kill()
    server.communicate()


class Stream:
    """A connection that stays, and what went each way."""

    def __init__(self, port):
        self.sock = connect(port, timeout=20)
        self.sent, self.got = hashlib.sha256(), hashlib.sha256()

    def exchange(self):
        data = b"E" + os.urandom(999).replace(b"G", b"g")  # G asks for a stream
        self.sock.sendall(data)
        self.sent.update(data)
        left = len(data)
        while left:
            piece = self.sock.recv(left)
            assert piece, "the connection was cut"
            self.got.update(piece)
            left -= len(piece)


@pytest.mark.threads
@pytest.mark.timeout(180)
@pytest.mark.parametrize("n,least", [
    (200, 1000), pytest.param(1000, 100_000, marks=pytest.mark.long)])
def test_reloads_under_load_lose_nothing(daemon, echo_port, n, least):
    """R4: ten reloads and more under as many connections as can be made, 100,000 of them;
    those that stay carry their bytes on; states and counters are kept, by one and the same
    process."""
    port, dead = free_port(), free_port()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    servers = [{"name": "a", "address": f"127.0.0.1:{echo_port}"},
               {"name": "b", "address": f"127.0.0.1:{dead}"}]
    conf = config(servers, port, frontend={"log": "none"})
    d = daemon("lbd", conf)
    wait_status(d, "b", "DOWN")
    pid = d.pid
    streams = [Stream(port) for _ in range(n)]
    made = loads = 0
    while made < least / SLOW:
        load = spawn_load("conn", port, 64, 8)
        for i in range(10):
            conf["backends"][0]["balance"] = ("source", "roundrobin", "leastconn")[i % 3]
            d.reload(conf)
            assert server_status(d, "b")["status"] == "DOWN"
            for s in streams:
                s.exchange()
        made += int(load.communicate(timeout=100 * SLOW)[0])
        loads += 1
        assert load.returncode == 0
    for s in streams:
        assert s.sent.digest() == s.got.digest()
        s.sock.close()
    wait_until(lambda: d.status()["lbd"]["sessions"] == 0, 20, "the end of all sessions")
    frontend = d.status()["lbd"]["frontends"][0]
    # Those of a load's last moment may have been begun and not counted by it.
    assert made + n <= frontend["sessions_total"] <= made + n + 64 * loads
    assert d.pid == pid and not d.old


@pytest.mark.timeout(180)
def test_a_server_that_is_killed_fails_nobody(daemon):
    """R1: the server of all clients is killed under load, and its checks are too slow to
    tell.  Who was connected to it ends with it; everybody else is served by the other."""
    a, b = spawn_load("serve"), spawn_load("serve")
    port = free_port()
    # 127.0.0.1 is odd: the second server's.
    servers = [{"name": name, "address": f"127.0.0.1:{int(p.stdout.readline())}"}
               for name, p in (("b", b), ("a", a))]
    d = daemon("lbd", config(servers, port, balance="source", frontend={"log": "none"},
                             check={"type": "tcp", "interval": "1h"}))
    loads = [Load(port, echoed=True) for _ in range(8)]
    for load in loads:
        load.start()
    try:
        wait_until(lambda: sum(load.n for load in loads) > 500, 30, "the load")
        assert server_status(d, "b")["sessions_total"] == 0
        a.kill()
        reached = sum(load.n for load in loads) + 2000 / SLOW
        wait_until(lambda: sum(load.n for load in loads) > reached, 60, "load after the kill")
    finally:
        for load in loads:
            load.stop()
        for p in (a, b):
            p.kill()
            p.communicate()
    failures = [f for load in loads for f in load.failures]
    wait_until(lambda: d.status()["lbd"]["sessions"] == 0, 20, "the end of all sessions")
    metrics = d.admin("/metrics").text

    def value(name, *labels):
        line = re.search(rf"^haproxy_{name}{{{','.join(labels)}}} (\d+)$", metrics, re.M)
        return int(line.group(1))

    on_a = ('proxy="be"', 'server="a"')
    assert value("backend_connection_errors_total", 'proxy="be"') == 0
    assert value("server_redispatch_warnings_total", *on_a) >= 2000 / SLOW - 16
    # Who had sent what nobody read is reset; the others see an end in order.  The connection
    # before, which a client has done with, may be on its way to the end yet.
    resets = [f for f in failures if f != "ended early"]
    assert (len(resets) <= value("server_server_aborts_total", *on_a)
            <= 2 * len(loads)), failures
    assert len(failures) <= len(loads), failures
    assert server_status(d, "a")["status"] == "UP"


def test_a_killed_daemon_refuses_nobody(pair, tmp_path):
    """R5: the service manager holds the listener and starts the next process; who comes in
    between waits in the queue.  Only what was open at the kill is cut."""
    port = free_port(hold=False)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(4096)
    listener.set_inheritable(True)
    manager = tmp_path / "manager"
    manager.write_text('#!/bin/bash\nexec 3<&%d\nLISTEN_FDS=1 LISTEN_PID=$$ exec "$@"\n'
                       % listener.fileno())
    manager.chmod(0o755)
    d = Daemon("lbd", config(pair, port, frontend={"log": "none"}), wrapper=[str(manager)],
               pass_fds=[listener.fileno()])
    with d:
        loads = [Load(port) for _ in range(4)]
        for load in loads:
            load.start()
        try:
            for _ in range(3):
                reached = loads[0].n + 20
                wait_until(lambda: loads[0].n >= reached, 20)
                d.kill9()
                d.start()
        finally:
            for load in loads:
                load.stop()
        failures = [f for load in loads for f in load.failures]
        assert not [f for f in failures if "Refused" in f]
        assert len(failures) <= 3 * len(loads)
        assert ask(port) in "ab"
    listener.close()


def test_idle_connections_cost_little(daemon, echo_port):
    """R8: 8,000 silent connections in 9 MB; most of it is what the process has anyway."""
    n = 8000
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2 * n + 100:
        pytest.skip("the hard limit on descriptors is too low for 8,000 connections")
    port = free_port()
    servers = [{"name": "a", "address": f"127.0.0.1:{echo_port}"}]
    d = daemon("lbd", config(servers, port, frontend={"log": "none"}))

    def private():
        with open(f"/proc/{d.pid}/smaps_rollup", encoding="ascii") as f:
            return int(re.search(r"Private_Dirty: +(\d+)", f.read()).group(1)) * 1024

    before = private()
    clients = spawn_load("idle", port, n)
    assert clients.stdout.readline() == "ready\n"
    wait_until(lambda: d.status()["lbd"]["sessions"] == n, 30, "all sessions")
    after = private()
    clients.communicate("x")
    wait_until(lambda: d.status()["lbd"]["sessions"] == 0, 30, "the end of all")
    if SLOW == 1:
        assert (after - before) / n < 512
        assert after < 9_000_000
