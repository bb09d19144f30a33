"""okd-lbd under load: reloads, a kill, thousands of silent connections."""

import glob
import hashlib
import os
import re
import resource
import socket
import threading

import pytest

from harness import Daemon, free_port, wait_until
from lbd_peers import Load, Server, ask, config, connect, server_status, spawn_load, wait_status
from variant import SLOW, TOP


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
    # Who had sent what nobody read is reset; the others see an end in order.  The kernel may
    # close the connections of a process that ends before its port, so that who comes again at
    # once meets the same end.
    resets = [f for f in failures if f != "ended early"]
    assert len(resets) <= value("server_server_aborts_total", *on_a) <= 2 * len(loads), failures
    assert len(failures) <= 2 * len(loads), failures
    assert server_status(d, "a")["status"] == "UP"


@pytest.fixture
def manager(tmp_path):
    """(arguments of a Daemon, port): started as by a service manager that holds its
    listener."""
    port = free_port(hold=False)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(4096)
    listener.set_inheritable(True)
    script = tmp_path / "manager"
    script.write_text('#!/bin/bash\nexec 3<&%d\nLISTEN_FDS=1 LISTEN_PID=$$ exec "$@"\n'
                      % listener.fileno())
    script.chmod(0o755)
    yield {"wrapper": [str(script)], "pass_fds": [listener.fileno()]}, port
    listener.close()


def test_a_killed_daemon_refuses_nobody(pair, manager):
    """R5: the service manager holds the listener and starts the next process; who comes in
    between waits in the queue.  Only what was open at the kill is cut."""
    how, port = manager
    d = Daemon("lbd", config(pair, port, frontend={"log": "none"}), **how)
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


def cpu_seconds(pid):
    """What the threads of a process have used so far."""
    used = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        with open(path, encoding="ascii") as f:
            used += int(f.read().split()[0])
    return used / 1e9


def test_a_killed_daemon_is_back_at_once(manager):
    """R5's gap, of at most a second, as far as it does not depend on who else uses the
    machine: what the unit waits before the start, what the start takes of a CPU, and that it
    waits for nobody, not even a server that has nothing to say to its first check.  Clients
    that came in between are all served, in this one process."""
    unit = os.path.join(TOP, "systemd", "okd-lbd.service")
    with open(unit, encoding="ascii") as f:
        assert re.search(r"^RestartSec=100ms$", f.read(), re.M)
    how, port = manager
    mute = threading.Event()
    with Server("a") as a, Server(handler=lambda conn, server: mute.wait()) as checked:
        check = {"type": "http", "interval": "1h", "timeout": "1h", "port": checked.port}
        d = Daemon("lbd", config([a], port, frontend={"log": "none"}, check=check), **how)
        with d:
            for _ in range(3):
                d.kill9()
                waiting = [connect(port, timeout=60) for _ in range(100)]
                for s in waiting:
                    s.sendall(b"x")
                d.start()
                for s in waiting:
                    assert s.recv(10) == b"a:x"
                    s.close()
                assert cpu_seconds(d.pid) < 0.5 * SLOW
            mute.set()  # a stop does not cut the check


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
