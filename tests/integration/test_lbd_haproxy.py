"""okd-lbd beside the real HAProxy: the same picks, the same columns, the same bytes."""

import re
import socket
import urllib.request

import pytest

from harness import free_port, wait_until
from lbd_peers import HAProxy, Server, cli, config, connect, greeting, read_all
from variant import SLOW

SOURCES = [f"127.0.{i}.{i * 37 % 251 + 1}" for i in range(60)]
WEIGHTS = [(1, 1), (1, 3), (2, 3, 5), (10, 20, 30, 40), (1, 1, 1, 7, 100)]


def who(port, source=None):
    with connect(port, source) as s:
        return read_all(s).decode().strip()


def haproxy_config(port, servers, weights, lines):
    return "\n".join(
        [f"frontend fe\n  bind 127.0.0.1:{port}\n  default_backend be\nbackend be"]
        + [f"  {line}" for line in lines]
        + [f"  server {s.name} {s.address} weight {w}" for s, w in zip(servers, weights)]
    ) + "\n"


def ours(servers, weights, port, **backend):
    entries = [{"name": s.name, "address": s.address, "weight": w, "check": False}
               for s, w in zip(servers, weights)]
    return config(entries, port, **backend)


@pytest.fixture
def servers():
    out = [Server(f"s{i}", greeting) for i in range(5)]
    yield out
    for s in out:
        s.stop()


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
@pytest.mark.parametrize("kind", ["map-based", "consistent"])
def test_source_hashes_pick_the_same_server(daemon, servers, weights, kind):
    port, peer = free_port(), free_port()
    daemon("lbd", ours(servers, weights, port, balance="source", hash_type=kind))
    with HAProxy(haproxy_config(peer, servers, weights,
                                ["balance source", f"hash-type {kind}"])):
        for source in SOURCES:
            assert who(port, source) == who(peer, source), source


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
@pytest.mark.parametrize("algorithm", ["roundrobin", "static-rr"])
def test_turns_come_in_the_same_order(daemon, servers, weights, algorithm):
    port, peer = free_port(), free_port()
    daemon("lbd", ours(servers, weights, port, balance=algorithm))
    with HAProxy(haproxy_config(peer, servers, weights, [f"balance {algorithm}"])):
        n = min(4 * sum(weights), 150)
        assert [who(port) for _ in range(n)] == [who(peer) for _ in range(n)]


def haproxy_stats(port):
    return (f"listen stats\n  bind 127.0.0.1:{port}\n  mode http\n  stats enable\n"
            "  stats uri /\n  monitor-uri /healthz\n")


def exchange(port, request):
    with connect(port) as s:
        s.sendall(request)
        s.shutdown(socket.SHUT_WR)
        return read_all(s)


@pytest.mark.parametrize("request_text", [
    b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.0\r\n\r\n",
    b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    b"OPTIONS /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
], ids=lambda r: r.split(b"\r\n")[0].decode())
def test_the_monitor_replies_with_the_same_bytes(daemon, servers, request_text):
    stats, peer = free_port(), free_port()
    daemon("lbd", config(servers[:1], free_port(), stats))
    with HAProxy(haproxy_stats(peer)):
        assert exchange(stats, request_text) == exchange(peer, request_text)


def parse_csv(text):
    lines = [line for line in text.splitlines() if line]
    names = lines[0][2:].split(",")
    return names, [dict(zip(names, line.split(","))) for line in lines[1:]]


def test_the_csv_has_the_same_columns_and_the_same_cells(daemon, servers):
    """R17.  Cells that are figures of time or of the process are left out; so is what
    HAProxy hides from the page's CSV and shows on its socket."""
    port, stats, peer = free_port(), free_port(), free_port()
    weights = (1, 3)
    d = daemon("lbd", ours(servers, weights, port, stats=stats, balance="source"))
    text = haproxy_config(peer, servers, weights, ["balance source"])
    with HAProxy(haproxy_stats(free_port()) + text) as h:
        for source in SOURCES[:8]:
            assert who(port, source) == who(peer, source)

        def settled(text):
            """The sessions have ended on the balancer's side as well."""
            names, rows = parse_csv(text)
            rows = [r for r in rows if r["pxname"] != "stats"]
            return all(r["scur"] == "0" for r in rows) and (names, rows)

        theirs, their_rows = wait_until(lambda: settled(h.cli("show stat")))

    def page():
        with urllib.request.urlopen(f"http://127.0.0.1:{stats}/;csv", timeout=5) as r:
            return settled(r.read().decode())

    names, rows = wait_until(page)
    end = theirs.index("-") + 1
    assert names[:end] == theirs[:end]
    changing = {"slim", "rate", "rate_max", "lastchg", "lastsess", "qtime", "ctime", "rtime",
                "ttime", "qtime_max", "ctime_max", "rtime_max", "ttime_max", "conn_rate",
                "conn_rate_max", "pid", "need_conn_est", "used_conn_cur", "smax", "downtime"}
    their_rows = {(r["pxname"], r["svname"]): r for r in their_rows if r["pxname"] != "stats"}
    assert [(r["pxname"], r["svname"]) for r in rows] == list(their_rows)
    for row in rows:
        other = their_rows[row["pxname"], row["svname"]]
        differs = {k: (row[k], other[k]) for k in names[:end - 1]
                   if k not in changing and row[k] != other[k]}
        assert differs == {}, (row["pxname"], row["svname"])
    assert d.status()["lbd"]["frontends"][0]["sessions_total"] == 8


LINE = re.compile(r"127\.\d+\.\d+\.\d+:\d+ \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\.\d{3}\] (.*)")


def finish(line):
    """Without the client and the times."""
    rest = LINE.search(line).group(1)
    return re.sub(r" (-1|\d+)/(-1|\d+)/\d+ ",
                  lambda m: " %s/%s/T " % tuple("-1" if g == "-1" else "T"
                                                for g in m.groups()), rest)


def test_log_lines_read_the_same(daemon, servers, tmp_path):
    """The same sessions through both; times are masked."""
    port, peer = free_port(), free_port()
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.settimeout(5)
    receiver.bind(str(tmp_path / "log"))
    d = daemon("lbd", ours(servers, (1,), port))
    dead = servers[1]
    text = (f"frontend fe\n  bind 127.0.0.1:{peer}\n  option tcplog\n"
            f"  log {tmp_path}/log local0\n  default_backend be\n"
            f"backend be\n  server s0 {servers[0].address}\n")
    with HAProxy(text):
        for p in (port, peer):
            assert who(p) == "s0"
        theirs = finish(receiver.recv(4096).decode())
        mine = finish(d.log_contains(LINE))
        assert mine == theirs
    receiver.close()
    dead.stop()


@pytest.mark.parametrize("algorithm", ["roundrobin", "source"])
def test_lines_of_those_who_have_waited_read_the_same(daemon, server, tmp_path, algorithm):
    """Where they stood in the queue: of the backend, or of the one server of their hash."""
    port, peer = free_port(), free_port()
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.settimeout(20)
    receiver.bind(str(tmp_path / "log"))
    entries = [{"name": "s0", "address": server.address, "maxconn": 1, "check": False}]
    d = daemon("lbd", config(entries, port, balance=algorithm,
                             top={"timeouts": {"queue": f"{3 * SLOW}s"}}))
    text = (f"frontend fe\n  bind 127.0.0.1:{peer}\n  option tcplog\n"
            f"  log {tmp_path}/log local0\n  default_backend be\nbackend be\n"
            f"  balance {algorithm}\n  timeout queue {3 * SLOW}s\n"
            f"  server s0 {server.address} maxconn 1\n")

    def queued(csv):
        header, *rows = (line.split(",") for line in csv.splitlines() if line)
        return sum(int(row[header.index("qcur")] or 0) for row in rows)

    def run(p, ask):
        """One is served; two wait, of whom one is served and one is not."""
        kept = []
        for n in range(3):
            s = connect(p, timeout=20)
            s.sendall(b"x")
            kept.append(s)
            wait_until(lambda: queued(ask("show stat")) == n, 20, f"{n} who wait")
        assert kept[0].recv(10) == b"s0:x"
        kept[0].close()
        assert kept[1].recv(10) == b"s0:x"
        with pytest.raises(ConnectionResetError):  # it ends, and its "x" was not read
            if kept[2].recv(10) == b"":
                raise ConnectionResetError
        kept[1].close()
        kept[2].close()
        return cells(ask("show stat"), "svname", "econ")[-1]

    with HAProxy(text) as h:
        theirs = run(peer, h.cli), [finish(receiver.recv(4096).decode()) for _ in range(3)]
        end = run(port, lambda command: cli(d, command))
        wait_until(lambda: len(LINE.findall(d.log)) == 3, 20, "three lines")
        mine = end, [finish(m.group(0)) for m in LINE.finditer(d.log)]
        assert mine == theirs and theirs[0] == ["BACKEND", "1"]
    receiver.close()


# --- commands ------------------------------------------------------------------------------

# Those that both know, in an order in which each finds what those before it have left.
COMMANDS = """
set maxconn frontend fe 10|set maxconn frontend fe|set maxconn frontend|set maxconn frontend no 1
set maxconn frontend fe -5|set maxconn frontend be 5|set maxconn frontend fe 12
set maxconn server be/s0 7|set maxconn server be/s0|set maxconn server be/s0 x
set maxconn server be|set maxconn server no/s0 3|set maxconn server be/no 3
set maxconn global 100|set maxconn global|set maxconn global 99999999|set maxconn global 0
enable frontend fe|disable frontend fe|disable frontend fe|enable frontend fe
disable frontend no|disable frontend|enable frontend|enable frontend be
show table|show table no
set server be/s0 addr 127.0.0.2|set server be/s0 addr 127.0.0.2
set server be/s0 addr 127.0.0.2 port 80|set server be/s0 addr 127.0.0.2 port 80
set server be/s0 addr 127.0.0.3 port 81|set server be/s0 addr ::1
set server be/s0 addr ::1 port abc|set server be/s0 addr ::1 port|set server be/s0 addr bogus
set server be/s0 addr|show backend
set server|set server be|set server no/s0 state ready|set server be/no state ready
set server be/s0 state|set server be/s0 state bogus|set server be/s0 state drain
set server be/s0 state ready|set server be/s0 state maint|set server be/s0 state ready
set server be/s0 weight|set server be/s0 weight 300|set server be/s0 weight -3
set server be/s0 weight 3x|set server be/s0 weight 200%|set server be/s0 weight -200%
set server be/s0 weight 99999%|set server be/s0 weight 50%
get weight be/s0|set server be/s0 weight 2|get weight be/s0|get weight be|get weight
get weight be/no|get weight no/s0|set weight be/s0 4|set weight be/s0|set weight be/s0 abc
set weight|get weight be/s0|set weight be/s0 1
set server be/s0 health|set server be/s0 health bogus
disable server|disable server be|disable server be/s0|enable server be/s0|enable server be/no
show servers state no|clear counters|clear counters all
shutdown sessions server|shutdown sessions server be/s0|shutdown sessions server be/no
shutdown session|shutdown session 0x1234
shutdown frontend no|shutdown frontend|shutdown frontend fe|enable frontend fe
disable frontend fe|shutdown frontend fe
show backend; get weight be/s1
"""


@pytest.fixture
def server():
    """One that keeps connections."""
    with Server("s0") as s:
        yield s


def cells(csv, *wanted):
    header, *rows = csv.splitlines()
    names = header[2:].split(",")
    return [[row.split(",")[names.index(w)] for w in wanted] for row in rows if row]


def test_commands_are_answered_the_same(daemon, servers):
    """Replies byte by byte, and the states and limits that the commands leave."""
    port, peer = free_port(), free_port()
    conf = ours(servers[:2], (1, 1), port, balance="roundrobin")
    conf["maxconn"] = 500
    d = daemon("lbd", conf)
    text = (f"frontend fe\n  bind 127.0.0.1:{peer}\n  maxconn 500\n  default_backend be\n"
            "backend be\n  balance roundrobin\n"
            + "".join(f"  server s{i} {s.address}\n" for i, s in enumerate(servers[:2])))
    shown = ("pxname", "svname", "slim", "status", "weight", "act", "addr")
    with HAProxy(text) as h:
        for command in re.split(r"[|\n]", COMMANDS.strip()):
            want = h.cli(command)
            assert cli(d, command) == want, command
            if command.startswith(("set", "disable", "enable", "shutdown")):
                mine, theirs = (cells(f("show stat"), *shown)
                                for f in (lambda c: cli(d, c), h.cli))
                # A backend's limit follows from fullconn there; there is none here.
                for row in mine + theirs:
                    if row[1] == "BACKEND" or row[2] == "4294967295":
                        row[2] = ""
                assert mine == theirs, command


def test_tables_of_addresses_read_the_same(daemon, server):
    port, peer = free_port(), free_port()
    conf = ours([server], (1,), port)
    conf["frontends"][0]["source_connections"] = 10
    conf["maxconn"] = 1024
    d = daemon("lbd", conf)
    text = (f"frontend fe\n  bind 127.0.0.1:{peer}\n"
            "  stick-table type ip size 1024 expire 10s store conn_cur\n"
            "  tcp-request connection track-sc0 src\n  default_backend be\n"
            f"backend be\n  server s0 {server.address}\n")
    mask = re.compile(r"^0x[0-9a-f]+|exp=\d+", re.M)
    with HAProxy(text) as h:
        open_ones = [connect(p, f"127.0.0.{i}") for p in (port, peer) for i in (7, 7, 8)]
        for s in open_ones:
            s.sendall(b"x")
            assert s.recv(10)
        assert cli(d, "show table") == h.cli("show table")
        mine, theirs = (sorted(mask.sub("*", text).splitlines())
                        for text in (cli(d, "show table fe"), h.cli("show table fe")))
        assert mine == theirs and len(mine) == 4
        for s in open_ones:
            s.close()
