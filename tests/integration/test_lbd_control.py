"""okd-lbd: verbs, HAProxy's commands, names of servers, options of a backend."""

import contextlib
import os
import re
import select
import shutil
import socket
import subprocess
import threading
import time

import pytest

from harness import Daemon, free_port, sockets_of, wait_until
from lbd_peers import (Server, ask, cli, config, connect, http, server_status,
                       wait_status)
from variant import SLOW


# Often, and yet without failing on a machine that is busy.
PATIENT = {"type": "http", "interval": "50ms", "timeout": "5s"}


@pytest.fixture
def pair():
    with Server("a") as a, Server("b") as b:
        yield a, b


# --- verbs and the CLI -------------------------------------------------------------------------------------


def test_verbs(daemon, pair):
    port = free_port()
    d = daemon("lbd", config(pair, port))
    kept = connect(port)
    kept.sendall(b"x")
    on_a = kept.recv(10) == b"a:x"
    first, second = ("a", "b") if on_a else ("b", "a")
    assert d.admin(f"/v1/servers/be/{first}", "POST", {"state": "drain"}).status == 204
    assert {ask(port) for _ in range(4)} == {second}
    assert server_status(d, first)["status"] == "DRAIN"
    kept.sendall(b"y")
    assert kept.recv(10) == b"y"
    assert d.admin(f"/v1/servers/be/{first}", "DELETE").json() == {"sessions": 1}
    assert kept.recv(10) == b""
    kept.close()
    d.log_contains(" KD ")
    assert d.admin(f"/v1/servers/be/{first}", "POST", {"state": "ready"}).status == 204
    assert {ask(port) for _ in range(4)} == {"a", "b"}
    assert d.admin("/v1/servers/be/nobody", "POST", {"state": "ready"}).status == 404
    assert d.admin("/v1/servers/be/a", "POST", {"state": "asleep"}).status == 400
    assert d.admin("/v1/servers/be/a", "POST", {"weight": 257}).status == 400
    assert d.admin("/v1/servers/be/a", "POST", b"nonsense").status == 400


def test_haproxys_commands(daemon, pair):
    port = free_port()
    servers = [{"name": s.name, "address": s.address, "weight": 2} for s in pair]
    d = daemon("lbd", config(servers, port))
    path = os.path.join(d.runtime_dir, "haproxy.sock")
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert cli(d, "disable server be/a") == "\n"
    assert server_status(d, "a")["status"] == "MAINT"
    d.log_contains("Server be/a is going DOWN for maintenance. 1 active and 0 backup "
                   "servers left.")
    assert {ask(port) for _ in range(3)} == {"b"}
    assert cli(d, "enable server be/a; get weight be/a") == "\n2 (initial 2)\n\n"
    assert {ask(port) for _ in range(4)} == {"a", "b"}
    assert cli(d, "set server be/a weight 3") == "\n"
    assert "".join(sorted(ask(port) for _ in range(10))) == "aaaaaabbbb"
    assert cli(d, "set server be/nope state drain") == "No such server.\n\n"
    assert cli(d, "set server nope/a state drain") == "No such backend.\n\n"
    assert "UP,3,1,0," in cli(d, "show stat -1 4 1")
    assert cli(d, "show stat -1 2 -1").count("\n") == 3
    state = cli(d, "show servers state").splitlines()
    assert state[0] == "1" and len(state[2].split()) == len(state[1].split()) - 1
    assert f"Pid: {d.pid}" in cli(d, "show info")
    # As much as a number may say less than nothing.
    assert cli(d, f"set weight be/a {-2**63}%") == "Relative weight must be positive.\n\n"
    assert cli(d, "get weight be/a") == "3 (initial 2)\n\n"
    assert cli(d, "bogus").startswith("Unknown command")
    assert cli(d, "set server be/a health down") == "\n"
    d.log_contains("Server be/a is DOWN")


def test_what_was_set_by_hand_passes_to_the_successor(daemon, pair):
    port = free_port()
    d = daemon("lbd", config(pair, port))
    assert d.admin("/v1/servers/be/a", "POST", {"state": "drain", "weight": 7}).status == 204
    d.reload()
    assert server_status(d, "a")["status"] == "DRAIN"
    d.upgrade()
    d.wait_old()
    status = server_status(d, "a")
    assert status["status"] == "DRAIN" and status["weight"] == 7
    assert {ask(port) for _ in range(4)} == {"b"}
    assert d.admin("/v1/servers/be/a", "POST", {"state": "ready", "weight": 1}).status == 204
    d.upgrade()
    d.wait_old()
    assert server_status(d, "a")["status"] == "UP"


def test_limits_change_while_it_runs(daemon, pair):
    """Of a frontend, a server, the process; kept over a reload and by a successor."""
    port = free_port()
    conf = config(pair[:1], port)
    d = daemon("lbd", conf)

    def one_waits(command, undo, *changes):
        first = connect(port)
        first.sendall(b"1")
        assert first.recv(10) == b"a:1"
        assert cli(d, command) == "\n"
        second = connect(port)
        second.sendall(b"2")
        for change in (lambda: None, d.reload, *changes):
            change()
            assert not select.select([second], [], [], 0.1)[0]
        # What was lifted serves who waits; what was there goes on.
        assert cli(d, undo) == "\n"
        assert second.recv(10) == b"a:2"
        first.sendall(b"3")
        assert first.recv(10) == b"3"
        first.close()
        second.close()
        d.wait_old()

    one_waits("set maxconn frontend fe 0", "set maxconn frontend fe 5", d.upgrade)
    # A successor has its own connections to count.
    one_waits("set maxconn global 1", "set maxconn global 0")
    cli(d, "set maxconn global 7")
    d.upgrade()
    d.wait_old()
    assert "\nMaxconn: 7\n" in cli(d, "show info")
    # A file that says something else is heard, and by a successor.
    for maxconn, hear in ((100, lambda: d.reload(conf)), (101, lambda: d.write_config(conf))):
        assert cli(d, "set maxconn frontend fe 0") == "\n"
        conf["frontends"][0]["maxconn"] = maxconn
        hear()
        d.upgrade()
        d.wait_old()
        assert ask(port) == "a"


def test_what_the_file_says_anew_counts_in_a_successor(daemon, pair):
    a, b = pair
    port = free_port()

    def conf(server, weight, maxconn):
        return config([{"name": "s", "address": server.address, "weight": weight,
                        "maxconn": maxconn}], port)

    d = daemon("lbd", conf(a, 1, 10))
    for change in ("weight 7", f"addr 127.0.0.1 port {b.port}"):
        assert "error" not in cli(d, f"set server be/s {change}")
    assert cli(d, "set maxconn server be/s 3") == "\n"
    d.upgrade()
    d.wait_old()

    def shown():
        csv = cli(d, "show stat -1 4 -1").splitlines()
        names, row = csv[0][2:].split(","), csv[1].split(",")
        return [row[names.index(x)] for x in ("addr", "weight", "slim")]

    assert shown() == [b.address, "7", "3"]
    d.reload(conf(a, 2, 11))
    assert shown() == [b.address, "2", "11"]
    d.upgrade()
    d.wait_old()
    assert shown() == [b.address, "2", "11"]
    assert cli(d, "set server be/s weight 9") == "\n"
    with Server("c") as c:
        d.write_config(conf(c, 4, 12))
        d.upgrade()
        d.wait_old()
        assert shown() == [c.address, "4", "12"] and ask(port) == "c"


def test_a_servers_limit_changes_while_it_runs(daemon, pair):
    port = free_port()
    d = daemon("lbd", config(pair[:1], port))
    first = connect(port)
    first.sendall(b"1")
    assert first.recv(10) == b"a:1"
    assert cli(d, "set maxconn server be/a 1") == "\n"
    second = connect(port)
    second.sendall(b"2")
    wait_until(lambda: d.status()["lbd"]["backends"][0]["queued"] == 1)
    assert cli(d, "set maxconn server be/a 0") == "\n"
    assert second.recv(10) == b"a:2"
    first.close()
    second.close()


def test_a_frontend_is_disabled_and_enabled(daemon, pair):
    """Its port refuses, its connections live on; so after a reload and an upgrade."""
    port, stats = free_port(), free_port()
    conf = config(pair, port, stats, top={"workers": 2})
    d = daemon("lbd", conf)
    kept = connect(port)
    kept.sendall(b"1")
    assert kept.recv(10)[1:] == b":1"

    def refuses():
        with pytest.raises(ConnectionRefusedError):
            connect(port)
        assert d.status()["lbd"]["frontends"][0]["status"] == "PAUSED"

    assert cli(d, "disable frontend fe") == "\n"
    d.log_contains("frontend fe is disabled")
    refuses()
    assert d.admin("/readyz").status == 503
    assert "frontend fe is disabled" in d.admin("/readyz").text
    conf["backends"][0]["balance"] = "first"
    d.reload(conf)
    refuses()
    d.upgrade()
    refuses()
    kept.sendall(b"2")
    assert kept.recv(10) == b"2"
    kept.close()
    d.wait_old()
    assert cli(d, "enable frontend fe") == "\n"
    assert {ask(port) for _ in range(20)} == {"a"}
    assert d.admin("/readyz").status == 200
    # Shut down it stays so until a reload.
    assert cli(d, "shutdown frontend fe") == "\n"
    with pytest.raises(ConnectionRefusedError):
        connect(port)
    assert d.status()["lbd"]["frontends"][0]["status"] == "STOP"
    assert 'haproxy_frontend_status{proxy="fe",state="DOWN"} 1' in d.admin("/metrics").text
    d.reload()
    assert ask(port) == "a"


def test_a_disabled_frontend_is_taken_back_by_the_service_manager(pair):
    """The listener is in its store; a process that is killed meanwhile, and the next one,
    which knows of no verbs, serve as the file says."""
    port = free_port()
    with Daemon("lbd", config(pair, port)) as d:
        cli(d, "disable frontend fe")
        d.kill9()
        os.unlink(os.path.join(d.runtime_dir, "servers.json"))
        d.start()
        assert ask(port) in "ab"


def test_a_server_moves_to_another_address(daemon, pair):
    """Connections from then on, and its checks; kept over a reload and by a successor."""
    a, b = pair
    port = free_port()
    conf = config(pair[:1], port)
    d = daemon("lbd", conf)
    kept = connect(port)
    kept.sendall(b"1")
    assert kept.recv(10) == b"a:1"
    answer = cli(d, f"set server be/a addr 127.0.0.1 port {b.port}")
    assert answer == (f"no need to change the addr, port changed from '{a.port}' to "
                      f"'{b.port}' by 'stats socket command'\n\n")
    d.log_contains(f"server be/a has the address 127.0.0.1:{b.port}, by hand")
    assert ask(port) == "b" and server_status(d, "a")["address"] == b.address
    kept.sendall(b"2")
    assert kept.recv(10) == b"2"
    kept.close()
    conf["backends"][0]["balance"] = "first"
    d.reload(conf)
    assert ask(port) == "b"
    d.upgrade()
    d.wait_old()
    assert ask(port) == "b" and server_status(d, "a")["address"] == b.address
    b.stop()
    wait_status(d, "a", "DOWN", timeout=20)
    cli(d, f"set server be/a addr 127.0.0.1 port {a.port}")
    wait_status(d, "a", "UP", timeout=20)
    assert ask(port) == "a"


def test_a_server_without_an_address_gets_one_by_hand(daemon, pair):
    port = free_port()
    servers = [{"name": "a", "address": "no-such-host.invalid:1"}]
    d = daemon("lbd", config(servers, port))
    assert server_status(d, "a")["status"] == "MAINT (resolution)"
    cli(d, f"set server be/a addr 127.0.0.1 port {pair[0].port}")
    wait_status(d, "a", "UP", timeout=20)
    assert ask(port) == "a"
    d.upgrade()
    d.wait_old()
    assert ask(port) == "a"
    count = server_status(d, "a")["check"]["count"]
    wait_until(lambda: server_status(d, "a")["check"]["count"] > count, 20, "a check")


def test_addresses_are_counted_over_all_workers(daemon, pair):
    port = free_port()
    conf = config(pair, port, frontend={"source_connections": 50, "source_rate": 1000},
                  top={"workers": 2})
    d = daemon("lbd", conf)
    clients = [connect(port, f"127.0.0.{i}") for i in (5, 5, 5, 6)]
    for s in clients:
        s.sendall(b"x")
        assert s.recv(10)
    lines = cli(d, "show table fe").splitlines()
    assert re.fullmatch(r"# table: fe, type: ip, size:\d+, used:2", lines[0])
    rows = [re.search(r"key=(\S+) use=(\d+) exp=0 conn_rate\(1000\)=\d+ conn_cur=(\d+)$",
                      line).groups() for line in lines[1:3]]
    assert rows == [("127.0.0.5", "3", "3"), ("127.0.0.6", "1", "1")]
    for s in clients:
        s.close()
    wait_until(lambda: "used:0\n" in cli(d, "show table fe"), 20, "an empty table")


def test_one_session_is_ended_and_counters_are_cleared(daemon, pair):
    port = free_port()
    d = daemon("lbd", config(pair[:1], port))
    with connect(port, "127.0.0.5") as s, connect(port, "127.0.0.6") as other:
        for c in (s, other):
            c.sendall(b"x")
            assert c.recv(10)
        line = next(x for x in cli(d, "show sess").splitlines() if " src=127.0.0.5:" in x)
        assert cli(d, f"shutdown session {line.split(':')[0]}") == "\n"
        assert s.recv(1) == b""
        other.sendall(b"y")
        assert other.recv(1) == b"y"
        d.log_contains(" KD ")
        assert d.status()["lbd"]["frontends"][0]["sessions_total"] == 2
        assert cli(d, "clear counters all") == "\n"
        frontend = d.status()["lbd"]["frontends"][0]
        assert frontend["sessions_total"] == frontend["bytes_in"] == 0
        assert frontend["sessions"] == 1
        assert ask(port) == "a"

        def fastest():
            head, *rows = (line.split(",") for line in cli(d, "show stat").splitlines()[:2])
            return int(rows[0][head.index("rate_max")])

        # The rate goes on from 0: it is looked at once a second.
        wait_until(lambda: fastest() > 0, 20, "a rate")
        assert fastest() == 1


def test_the_cli_passes_to_the_successor(daemon, pair):
    d = daemon("lbd", config(pair, free_port()))
    d.upgrade()
    d.wait_old()
    assert f"Pid: {d.pid}" in cli(d, "show info")


def test_open_sessions_are_listed(daemon, pair):
    """Bytes and ages of connections that are still open."""
    port = free_port()
    d = daemon("lbd", config(pair, port))
    with connect(port, "127.0.0.5") as s, connect(port, "127.0.0.6") as other:
        for c in (s, other):
            c.sendall(b"12345")
            assert c.recv(10)[1:] == b":12345"
        rows = {r["client"]: r for r in d.admin("/v1/sessions").json()}
        row = rows["127.0.0.5"]
        assert row["port"] == s.getsockname()[1] and row["state"] == "open"
        assert (row["bytes_in"], row["bytes_out"]) == (5, 7)
        assert {r["server"] for r in rows.values()} == {"a", "b"}
        assert len(d.admin("/v1/sessions?max=1").json()) == 1
        assert d.admin("/v1/sessions?max=many").status == 400
        lines = cli(d, "show sess").splitlines()
        assert len(lines) == 3 and any(" src=127.0.0.6:" in line and " in=5 out=7" in line
                                       for line in lines)


def test_a_drain_with_a_deadline(daemon, pair):
    a, _ = pair
    port = free_port()
    d = daemon("lbd", config(pair[:1], port))
    s = connect(port)
    s.sendall(b"x")
    assert s.recv(10)
    where = "/v1/servers/be/a"
    assert d.admin(where, "POST", {"state": "drain", "deadline": "soon"}).status == 400
    assert d.admin(where, "POST", {"weight": 1, "deadline": "1s"}).status == 400
    assert d.admin(where, "POST", {"state": "drain", "deadline": "1s"}).status == 204
    assert s.recv(1) == b""
    s.close()
    d.log_contains(" KD ")
    # Back in time: nothing is cut.
    assert d.admin(where, "POST", {"state": "ready"}).status == 204
    assert a.accepted == 1 and ask(port) == "a"
    # A successor leaves the connection to its predecessor, which keeps to the deadline.
    with connect(port) as s:
        s.sendall(b"x")
        assert s.recv(10)
        assert d.admin(where, "POST", {"state": "drain", "deadline": "1s"}).status == 204
        d.upgrade()
        assert s.recv(1) == b""
    d.wait_old()


def test_idle_connections_move_to_a_server_that_came_back(daemon, pair):
    a, b = pair
    port = free_port()
    d = daemon("lbd", config(pair, port, rebalance=5, rebalance_idle="0s"))
    a.stop()
    wait_status(d, "a", "DOWN")
    held = [connect(port) for _ in range(20)]
    for s in held:
        s.sendall(b"x")
        assert s.recv(10) == b"b:x"
    with Server("a", port=a.port):
        wait_status(d, "a", "UP")

        def tend():
            """Clients that were cut connect anew, as theirs do."""
            for i, s in enumerate(held):
                if select.select([s], [], [], 0)[0]:
                    assert s.recv(1) == b""
                    s.close()
                    held[i] = connect(port)
                    held[i].sendall(b"x")
                    assert held[i].recv(10)[1:] == b":x"
            return server_status(d, "a")["sessions"] >= 8

        wait_until(tend, 30, "a's share of the connections")
        d.log_contains(" UD ")
        # Near enough: then nobody is cut any more.
        seen = server_status(d, "b")["check"]["count"]
        wait_until(lambda: tend() and server_status(d, "b")["check"]["count"] >= seen + 25, 20)
        assert d.log.count(" UD ") < 40
    for s in held:
        s.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount of its own")
def test_sessions_carry_fields_in_the_journal(daemon, pair, tmp_path):
    """stderr is taken for the journal, whose socket is the test's."""
    journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    journal.settimeout(10 * SLOW)
    (tmp_path / "journal").mkdir()
    journal.bind(str(tmp_path / "journal" / "socket"))
    script = ("mount -t tmpfs none /run && mkdir -p /run/systemd/journal && "
              f"mount --bind {tmp_path}/journal /run/systemd/journal && "
              "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$@\"")
    port = free_port()
    daemon("lbd", config(pair[:1], port), wrapper=["unshare", "-m", "sh", "-c", script, "sh"])
    with connect(port, "127.0.0.9") as s:
        client = s.getsockname()[1]
        s.sendall(b"x")
        assert s.recv(10) == b"a:x"
    entry = b""
    while b"OKD_CLIENT=" not in entry:
        entry = journal.recv(65536)
    fields = dict(line.split("=", 1) for line in entry.decode().strip().splitlines())
    assert re.match(rf"127\.0\.0\.9:{client} \[.*\] fe be/a \d+/\d+/\d+ 3 -- ",
                    fields["MESSAGE"])
    assert {k: fields[k] for k in ("OKD_CLIENT", "OKD_FRONTEND", "OKD_SERVER", "OKD_BYTES",
                                   "OKD_TERMINATION", "SYSLOG_IDENTIFIER")} == {
        "OKD_CLIENT": "127.0.0.9", "OKD_FRONTEND": "fe", "OKD_SERVER": "a", "OKD_BYTES": "3",
        "OKD_TERMINATION": "--", "SYSLOG_IDENTIFIER": "okd-lbd"}
    journal.close()


# --- names ------------------------------------------------------------------------------------------------


def test_names_are_resolved_and_an_unknown_one_stops_nothing(daemon, pair):
    """R13."""
    a, b = pair
    port = free_port()
    servers = [{"name": "a", "address": f"localhost:{a.port}"},
               {"name": "lost", "address": f"name.invalid:{b.port}"}]
    d = daemon("lbd", config(servers, port))
    wait_status(d, "a", "UP")
    assert {ask(port) for _ in range(4)} == {"a"}
    assert server_status(d, "lost")["status"] == "MAINT (resolution)"
    wait_until(lambda: server_status(d, "a")["check"]["status"] == "L4OK")
    d.reload(config(servers, port, balance="first"))
    assert server_status(d, "a")["status"] == "UP"
    assert ask(port) == "a"


def test_a_name_or_its_port_changes_with_the_file(daemon, pair):
    a, b = pair
    port = free_port()

    def conf(address):
        return config([{"name": "s", "address": address}], port)

    d = daemon("lbd", conf(f"localhost:{a.port}"))
    wait_status(d, "s", "UP", timeout=20)
    assert ask(port) == "a"
    d.reload(conf(f"localhost:{b.port}"))
    wait_status(d, "s", "UP", timeout=20)
    assert ask(port) == "b"
    d.reload(conf(f"no-such-host.invalid:{b.port}"))
    assert server_status(d, "s")["status"] == "MAINT (resolution)"
    with connect(port) as s:
        assert s.recv(1) == b""


# --- what else a backend may ask for ----------------------------------------------------------------------


def test_connections_end_with_their_server_where_that_is_wanted(daemon, tmp_path):
    replies = {"/": 200}
    with Server("a") as a, Server(handler=http(replies)) as probe:
        port = free_port()
        check = {"type": "http", "interval": "50ms", "port": probe.port}
        d = daemon("lbd", config([a], port, check=check, close_on_down=True))
        s = connect(port)
        s.sendall(b"x")
        assert s.recv(10)
        replies["/"] = 503
        assert s.recv(1) == b""
        s.close()
        d.log_contains(" DD ")


@pytest.mark.skipif(not shutil.which("ss"), reason="ss is not installed")
def test_keep_alive_and_user_time_out(daemon, pair):
    """Who has gone without a word is found, on either side; nobody is cut for silence."""
    port = free_port()
    a = pair[0]
    daemon("lbd", config(pair[:1], port, top={"timeouts": {"keepalive": "1s",
                                                         "user_timeout": "100s"}}))

    def timers(where):
        p = subprocess.run(["ss", "-tnoH", "state", "established", where], check=True,
                           capture_output=True, text=True)
        return re.findall(r"timer:\((\w+),", p.stdout)

    with connect(port) as s:
        s.sendall(b"x")
        assert s.recv(10)
        assert timers(f"sport = :{port}") == ["keepalive"]
        # The server's side gets it once the connection has lived for so long.
        wait_until(lambda: "keepalive" in timers(f"dport = :{a.port}"), 20, "keep-alive")
        s.sendall(b"y")
        assert s.recv(1) == b"y"


def test_both_sides_have_the_user_time_out_of_the_file(daemon, pair):
    port = free_port()
    a = pair[0]

    def of(wanted):
        """(keep-alive, its idle seconds, the user time-out in ms) of that socket of lbd's."""
        def names(s):
            with contextlib.suppress(OSError):
                return s.family == socket.AF_INET and wanted(s.getsockname(), s.getpeername())

        return [(s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                 s.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
                 s.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
                for s in sockets_of(d.pid) if names(s)]

    def sides(user_timeout, ms):
        conf = config(pair[:1], port, check={"type": "none"},
                      top={"timeouts": {"keepalive": "1s", "user_timeout": user_timeout}})
        d.reload(conf)
        with connect(port) as s:
            s.sendall(b"x")
            assert s.recv(10)
            assert of(lambda own, peer: peer == s.getsockname()) == [(1, 1, ms)]
            # The server's side gets it once the connection has lived for so long.
            wait_until(lambda: of(lambda own, peer: peer[1] == a.port) == [(1, 1, ms)], 20,
                       "the server's side")
        wait_until(lambda: d.status()["lbd"]["sessions"] == 0, 20, "the end")

    d = daemon("lbd", config(pair[:1], port))
    sides("77s", 77000)
    sides("0s", 0)


def test_a_half_open_connection_has_limits_of_its_own(daemon):
    """server_fin: the client has ended, the server stays silent."""
    end = threading.Event()

    def silent(conn, server):
        end.wait(20)

    port = free_port()
    with Server("a", silent) as a:
        d = daemon("lbd", config([a], port, top={"timeouts": {"server_fin": "300ms"}}))
        with connect(port) as s:
            s.sendall(b"x")
            s.shutdown(socket.SHUT_WR)
            begin = time.monotonic()
            assert s.recv(1) == b""
            assert time.monotonic() - begin > 0.25
        d.log_contains(" sD ")
    end.set()


def test_a_server_starts_slowly(daemon):
    """slowstart: just after its return a server of weight 100 gets the smallest share."""
    with Server("a") as a, Server("b") as b:
        port = free_port()
        servers = [{"name": s.name, "address": s.address, "weight": 100, "slowstart": "1h"}
                   for s in (a, b)]
        d = daemon("lbd", config(servers, port))
        assert sorted(ask(port) for _ in range(10)) == ["a"] * 5 + ["b"] * 5
        a.stop()
        wait_status(d, "a", "DOWN")
        with Server("a", port=a.port):
            wait_status(d, "a", "UP")
            # Its first share may come at once; the next is due after a hundred of the other's.
            assert [ask(port) for _ in range(20)].count("a") <= 1


def test_connections_and_checks_come_from_the_source_address(daemon):
    def handler(conn, server):
        data = conn.recv(1000)
        if data.startswith(b"GET"):
            conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            conn.sendall(b"a:" + data)

    with Server("a", handler) as a:
        port = free_port()
        servers = [{"name": "a", "address": a.address, "source": "127.0.0.66"}]
        daemon("lbd", config(servers, port, check=PATIENT))
        assert ask(port) == "a"
        assert {peer[0] for peer in a.peers} == {"127.0.0.66"}


@pytest.mark.parametrize("version, begin", [
    ("v1", b"PROXY UNKNOWN\r\n"), ("v2", b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0")])
def test_a_server_behind_the_proxy_protocol_is_checked_with_it(daemon, version, begin):
    """Checks name nobody; connections name the client."""
    seen = []

    def handler(conn, server):
        data = b""
        while not data.endswith((b"\r\n\r\n", b"x")):
            data += conn.recv(1000)
        seen.append(data)
        is_check = data.startswith(begin + b"GET / ")
        conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n" if is_check else b"a:")

    with Server("a", handler) as a:
        port = free_port()
        servers = [{"name": "a", "address": a.address, "send_proxy": version}]
        d = daemon("lbd", config(servers, port, check=PATIENT))
        assert server_status(d, "a")["check"]["status"] == "L7OK"
        assert ask(port, "127.0.0.77") == "a"
        client = next(data for data in seen if data.endswith(b"x"))
        assert socket.inet_aton("127.0.0.77") in client or b"TCP4 127.0.0.77 " in client
        assert seen[0].startswith(begin + b"GET / ")
