"""okd-lbd: health checks that are under way when something else happens."""

import re
import select
import signal
import threading

import pytest

from harness import Daemon, free_port, wait_until
from lbd_peers import (Server, ask, config, connect, http, server_context, server_status,
                       wait_status)
from variant import SLOW


class Probe:
    """What is checked: answers at once, but holds one request of path back where it is told
    to, and sees whether the other side waits for the answer."""

    def __init__(self, tls=None):
        self.held, self.go, self.over = threading.Event(), threading.Event(), threading.Event()
        self.hold = self.cut = None
        self.paths = []
        self.status = 200
        self.server = Server("probe", handler=self._serve, tls=tls)

    @property
    def port(self):
        return self.server.port

    def _serve(self, conn, server):
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = conn.recv(4096)
            if not chunk:
                return
            data += chunk
        path = data.split()[1].decode()
        self.paths.append(path)
        status = self.status
        held = self.hold == path
        if held:
            self.hold = None
            self.held.set()
            self.go.wait(60 * SLOW)
            # Nothing comes before the answer but the end of who does not wait for it.
            self.cut = bool(select.select([conn], [], [], 0)[0])
        conn.sendall(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
        if held:
            self.over.set()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.go.set()
        self.server.stop()

    def hold_next(self, path, status):
        """Returns once the request is there and waits."""
        self.status, self.hold = status, path
        assert self.held.wait(20 * SLOW), "no check came"

    def release(self):
        self.go.set()
        assert self.over.wait(20 * SLOW)
        return self.cut


def check(port, path="/readyz", kind="http", **more):
    return {"type": kind, "path": path, "expect": [200], "interval": "50ms", "timeout": "1m",
            "rise": 1, "fall": 1, "port": port, **more}


@pytest.fixture(params=["http", "https"])
def probe(request, tmp_path):
    tls = server_context(str(tmp_path)) if request.param == "https" else None
    with Server("a") as a, Probe(tls) as p:
        p.kind = request.param
        p.servers = [{"name": "a", "address": a.address}]
        yield p


def test_a_check_outlives_reloads_and_its_result_counts(daemon, probe):
    port = free_port()
    d = daemon("lbd", config(probe.servers, port, check=check(probe.port, kind=probe.kind)))
    probe.hold_next("/readyz", 503)
    asked = len(probe.paths)
    probe.status = 200  # what any other check would be told
    for balance in ("source", "leastconn", "first"):
        d.reload(config(probe.servers, port, balance=balance,
                        check=check(probe.port, kind=probe.kind)))
    assert server_status(d, "a")["status"] == "UP"
    # It is still the one check of this server.
    assert len(probe.paths) == asked
    assert not probe.release()
    d.log_contains('Server be/a is DOWN, reason: Layer7 wrong status, code: 503')


def test_a_check_that_asks_something_else_ends_unheard(daemon, probe):
    """The file says another path by now: the old one's answer says nothing."""
    port = free_port()
    d = daemon("lbd", config(probe.servers, port, check=check(probe.port, kind=probe.kind)))
    probe.hold_next("/readyz", 503)
    probe.status = 200
    d.reload(config(probe.servers, port, check=check(probe.port, "/livez", probe.kind)))
    wait_until(lambda: probe.paths.count("/livez") >= 3, 20, "checks of the new path")
    assert not probe.release()
    checks = server_status(d, "a")["check"]["count"] + 3
    wait_until(lambda: server_status(d, "a")["check"]["count"] >= checks, 20, "more checks")
    assert server_status(d, "a")["status"] == "UP" and "is DOWN" not in d.log


def test_a_server_that_left_the_file_is_not_cut_off(daemon, probe):
    port = free_port()
    d = daemon("lbd", config(probe.servers, port, check=check(probe.port, kind=probe.kind)))
    probe.hold_next("/readyz", 503)
    other = [{**probe.servers[0], "name": "b"}]
    probe.status = 200
    d.reload(config(other, port, check=check(probe.port, kind=probe.kind)))
    d.reload(config(other, port, check=check(probe.port, kind=probe.kind)))
    assert not probe.release()
    assert server_status(d, "b")["status"] == "UP" and "is DOWN" not in d.log


def test_an_upgrade_cuts_no_check(daemon, probe):
    port = free_port()
    d = daemon("lbd", config(probe.servers, port, check=check(probe.port, kind=probe.kind)))
    probe.hold_next("/readyz", 503)
    probe.status = 200
    d.upgrade()
    assert d.old and d.old[0].wait(0) is False
    assert not probe.release()
    d.wait_old()
    assert "is DOWN" not in d.log


def test_a_stop_cuts_no_check(daemon, probe):
    d = daemon("lbd", config(probe.servers, free_port(),
                             check=check(probe.port, kind=probe.kind)))
    probe.hold_next("/readyz", 503)
    d.signal(signal.SIGTERM)
    d.wait_notify(STOPPING="1")
    assert not probe.release()
    assert "is DOWN" not in d.wait_exit()


def test_a_handshake_goes_on_over_a_reload(daemon, tmp_path):
    """The server has accepted and says nothing yet."""
    begun, go = threading.Event(), threading.Event()
    context = server_context(str(tmp_path))
    failures = []

    def handler(conn, server):
        begun.set()
        go.wait(60 * SLOW)
        try:
            context.wrap_socket(conn, server_side=True).close()
        except OSError as e:
            failures.append(e)

    port = free_port()
    with Server("a", handler) as a:
        conf = config([a], port, check={"type": "tls", "interval": "1h", "timeout": "1m"})
        d = daemon("lbd", conf)
        assert begun.wait(20 * SLOW)
        for balance in ("source", "first"):
            conf["backends"][0]["balance"] = balance
            d.reload(conf)
        go.set()
        wait_until(lambda: server_status(d, "a")["check"]["status"] == "L6OK", 20, "the result")
        assert failures == [] and a.accepted == 1


def test_reloads_in_a_row_do_not_put_checks_off(daemon):
    """Each check keeps its turn; else the second of two would wait half an interval anew
    after each reload."""
    port = free_port()
    with Server("a") as a, Server("b") as b:
        conf = config([a, b], port, check={"type": "tcp", "interval": "2s"})
        d = daemon("lbd", conf)
        first = server_status(d, "b")["check"]["count"]

        def again():
            d.reload(conf)
            return server_status(d, "b")["check"]["count"] >= first + 2

        wait_until(again, 30, "two more checks")


def test_a_reload_that_fails_changes_nothing(daemon):
    """Neither weights nor limits nor checks of what is in force."""
    port = free_port()
    with Server("a") as a:
        d = daemon("lbd", config([a], port))
        servers = [{"name": "a", "address": a.address, "weight": 7, "maxconn": 1}]
        d.reload(config(servers, port, frontend={"maxconn": 1},
                        check={"type": "https", "ca": "/nonexistent", "rise": 9}))
        assert "/nonexistent" in d.status()["config"]["error"]
        assert server_status(d, "a")["weight"] == 1
        with connect(port) as one, connect(port) as two:
            for s in (one, two):
                s.sendall(b"x")
                assert s.recv(10) == b"a:x"
        a.stop()
        d.log_contains("Server be/a is DOWN, reason: Layer4 connection problem")


def test_a_reload_while_the_first_checks_are_awaited():
    """What was to come into force after them never does, and nothing of it is left."""
    port, probe = free_port(), Probe()

    def conf(server):
        return config([server], port, check=check(probe.port, interval="1h", timeout="1h"))

    with probe, Server("a") as a, Server("b") as b, Daemon("lbd", conf(a)) as d:
        d.stop()
        probe.hold = "/readyz"
        d.spawn()
        assert probe.held.wait(20)
        d.write_config(conf(b))
        d.signal(signal.SIGHUP)
        d.wait_notify(READY="1")
        d.log_contains("configuration reloaded (generation 2)")
        assert ask(port) == "b"
        probe.go.set()
        d.stop()


def test_the_issuer_of_a_servers_certificate(daemon, tmp_path):
    port, stats = free_port(), free_port()
    with Server("a", tls=server_context(str(tmp_path))) as a:
        d = daemon("lbd", config([a], port, stats, check={"type": "tls", "interval": "100ms",
                                                          "timeout": "5s"}))
        wait_until(lambda: server_status(d, "a")["check"]["status"] == "L6OK", 20, "a check")
        status = server_status(d, "a")
        assert status["certificate_issuer"] == "CN = localhost"
        assert status["certificate_misnamed"] is False
        line = ('okd_lbd_server_certificate_info{proxy="be",server="a",'
                'issuer="CN = localhost"} 1')
        assert line in d.admin("/metrics").text
        with connect(stats) as s:
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            page = b""
            while data := s.recv(65536):
                page += data
        assert re.search(rb'<span title="CN = localhost">[12]d\d+h left<', page)


def test_a_certificate_for_another_name_is_told_once(daemon, tmp_path):
    with Server("a", tls=server_context(str(tmp_path))) as a:
        check = {"type": "tls", "interval": "50ms", "timeout": "5s", "sni": "api-int.example.com"}
        d = daemon("lbd", config([a], free_port(), check=check))
        d.log_contains("the certificate of be/a is not for api-int.example.com, by which nodes "
                       'will call it; its issuer is "CN = localhost"')
        count = server_status(d, "a")["check"]["count"]
        wait_until(lambda: server_status(d, "a")["check"]["count"] > count + 3, 20, "checks")
        assert d.log.count("is not for api-int") == 1
        status = server_status(d, "a")
        assert status["status"] == "UP" and status["certificate_misnamed"] is True
        d.reload(config([a], free_port(), check={**check, "sni": "localhost"}))
        wait_until(lambda: server_status(d, "a")["certificate_misnamed"] is False, 20)


def test_a_flapping_server_logs_once_a_change(daemon):
    """R10: rise and fall hold; what is in between neither says nor moves anything."""
    flaps = [200, 503, 503, 200, 503] * 12
    script = [200, *flaps, 503, 503, 503, *flaps[1:], 200, 200, 200, *flaps]
    done = threading.Event()

    def handler(conn, server):
        replies = {"/": script.pop(0) if script else 200}
        if not script:
            done.set()
        http(replies)(conn, server)

    port = free_port()
    with Server("a") as a, Server("b") as b, Server(handler=handler) as probe:
        conf = config([a, b], port, balance="source", failover=False,
                      check={"type": "http", "interval": "20ms", "timeout": "1m",
                             "port": probe.port, "rise": 3, "fall": 3})
        conf["backends"][0]["servers"][1]["check"] = False
        d = daemon("lbd", conf)
        moved = []
        while not done.is_set():
            up = server_status(d, "a")["status"].startswith("UP")
            picks = [ask(port, f"127.0.0.{i}") for i in range(10, 14)]
            if up == server_status(d, "a")["status"].startswith("UP"):
                moved.append((up, picks))
        assert {(up, *picks) for up, picks in moved} == {
            (True, "a", "b", "a", "b"), (False, "b", "b", "b", "b")}
        d.log_contains("Server be/a is UP")
        assert d.log.count("Server be/a is DOWN") == d.log.count("Server be/a is UP") == 1


def test_intervals_by_state(daemon):
    """A server that is down is asked at the down interval, one that changes at the fast one,
    one that is well at neither."""
    port, target = free_port(), free_port()
    servers = [{"name": "a", "address": f"127.0.0.1:{target}"}]
    d = daemon("lbd", config(servers, port, check={
        "type": "tcp", "interval": "1h", "down_interval": "50ms", "fast_interval": "60ms",
        "rise": 4}))
    wait_until(lambda: server_status(d, "a")["check"]["count"] > 5, 20, "checks while down")
    with Server("a", port=target):
        wait_status(d, "a", "UP", timeout=20)
        count = server_status(d, "a")["check"]["count"]
        for _ in range(20):
            assert server_status(d, "a")["check"]["count"] == count
    assert server_status(d, "a")["status"] == "UP"


def test_a_check_goes_where_it_is_told(daemon):
    """Another address and port than the server's: who answers there speaks for it."""
    port = free_port()
    with Server("b") as b:
        servers = [{"name": "a", "address": f"127.0.0.9:{free_port()}"}]
        check = {"type": "tcp", "interval": "50ms", "address": "127.0.0.1", "port": b.port}
        d = daemon("lbd", config(servers, port, check=check))
        assert server_status(d, "a")["status"] == "UP"
        b.stop()
        wait_status(d, "a", "DOWN", timeout=20)


# --- checks that share a connection ---------------------------------------------------


class Keeper:
    """What is checked over connections that are kept.  served[i] are the requests of the
    connection that was accepted as the i-th; reply(path) makes the bytes of an answer, in
    pieces."""

    def __init__(self, tls=None):
        self.served, self.ended = [], []
        self.status = 200
        self.silent = False  # new connections get no answer
        self.patience = 10**6  # requests of a connection that are answered
        self.reply = self.plain
        self.after = lambda conn: True  # whether another request is read
        self.server = Server("keeper", handler=self._serve, tls=tls)

    def plain(self):
        return [b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\nok" % self.status]

    def _serve(self, conn, server):
        mine, silent = [], self.silent
        self.served.append(mine)
        try:
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    chunk = conn.recv(4096)
                    if not chunk:
                        self.ended.append("eof")
                        return
                    data += chunk
                head, _, data = data.partition(b"\r\n\r\n")
                mine.append(head.decode())
                if len(mine) > self.patience:
                    return
                if silent:
                    conn.recv(1)
                    return
                for piece in self.reply():
                    conn.sendall(piece)
                if not self.after(conn):
                    return
        except OSError as e:
            self.ended.append(repr(e))

    @property
    def asked(self):
        return sum(map(len, self.served))

    def wait(self, n):
        """Until so many more requests have come."""
        n += self.asked
        wait_until(lambda: self.asked >= n, 20, "requests")

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.server.stop()


@pytest.fixture(params=["http", "https"])
def keeper(request, tmp_path):
    tls = server_context(str(tmp_path)) if request.param == "https" else None
    with Server("a") as a, Keeper(tls) as k:
        k.servers, k.kind = [{"name": "a", "address": a.address}], request.param
        k.check = lambda **more: check(k.server.port, kind=k.kind, interval="20ms", **more)
        yield k


def test_checks_share_a_connection(daemon, keeper):
    port = free_port()
    daemon("lbd", config(keeper.servers, port, check=keeper.check(reuse=4)))
    wait_until(lambda: len(keeper.served) >= 4, 20, "connections")
    for requests in keeper.served[:3]:
        assert [("Connection: close" in r) for r in requests] == [False] * 3 + [True]
    # What each check begins with is not seen by accept().
    assert keeper.server.accepted == len(keeper.served)
    wait_until(lambda: len(keeper.ended) >= 3, 20, "ends")
    assert set(keeper.ended) == {"eof"}


def test_each_check_has_a_connection_unless_told_otherwise(daemon, keeper):
    daemon("lbd", config(keeper.servers, free_port(), check=keeper.check()))
    wait_until(lambda: len(keeper.served) >= 4, 20, "connections")
    assert all(len(r) == 1 and "Connection: close" in r[0] for r in keeper.served[:3])


def test_an_answer_over_a_kept_connection_counts(daemon, keeper):
    d = daemon("lbd", config(keeper.servers, free_port(), check=keeper.check(reuse=1000)))
    keeper.wait(3)
    assert len(keeper.served) == 1
    keeper.status = 503
    d.log_contains("Server be/a is DOWN, reason: Layer7 wrong status, code: 503")
    keeper.status = 200
    d.log_contains("Server be/a is UP")


def test_a_kept_connection_that_was_closed_says_nothing(daemon, keeper):
    """The server closes each connection after two answers, without a word."""
    keeper.after = lambda conn: len(keeper.served[-1]) < 2
    d = daemon("lbd", config(keeper.servers, free_port(), check=keeper.check(reuse=1000)))
    keeper.wait(20)
    assert {len(r) for r in keeper.served[:-2]} == {2}
    assert server_status(d, "a")["status"] == "UP" and "is DOWN" not in d.log


def test_a_kept_connection_that_ends_instead_of_an_answer_says_nothing(daemon, keeper):
    """The server ends it when it reads the third request: that is asked anew."""
    keeper.patience = 2
    d = daemon("lbd", config(keeper.servers, free_port(), check=keeper.check(reuse=1000)))
    keeper.wait(20)
    assert {len(r) for r in keeper.served[:-1]} == {3}
    assert server_status(d, "a")["status"] == "UP" and "is DOWN" not in d.log


def test_a_closed_port_is_noticed_while_the_old_connection_answers(daemon, keeper):
    d = daemon("lbd", config(keeper.servers, free_port(), check=keeper.check(reuse=1000)))
    keeper.wait(3)
    keeper.server.stop()
    d.log_contains("Server be/a is DOWN, reason: Layer4 connection problem, "
                   'info: "Connection refused"')
    assert len(keeper.served) == 1


def test_a_server_that_accepts_no_more_is_noticed_by_the_next_connection(daemon, keeper):
    """It goes on answering over the old one; its port looks open."""
    d = daemon("lbd", config(keeper.servers, free_port(),
                             check={**keeper.check(reuse=5), "timeout": "500ms"}))
    keeper.wait(1)
    keeper.silent = True
    d.log_contains(re.compile("Server be/a is DOWN, reason: Layer[67] timeout"))
    answered = [r for r in keeper.served if len(r) > 1 or r is keeper.served[0]]
    assert max(map(len, answered)) <= 5


def odd_replies():
    body = b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n"
    return {
        "http/1.0": [b"HTTP/1.0 200 X\r\nContent-Length: 2\r\n\r\nok"],
        "close": [body + b"Connection: close\r\n\r\nok"],
        "chunked": [b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        "no length": [b"HTTP/1.1 200 X\r\n\r\nok"],
        "too much": [body + b"\r\nok and more"],
        "too little": [body + b"\r\no"],
        "long": [b"HTTP/1.1 200 X\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000],
    }


@pytest.mark.parametrize("reply", odd_replies().values(), ids=odd_replies())
def test_a_reply_of_another_shape_ends_its_connection(daemon, keeper, reply):
    keeper.reply = lambda: reply
    d = daemon("lbd", config(keeper.servers, free_port(), check=keeper.check(reuse=1000)))
    wait_until(lambda: len(keeper.served) >= 4, 20, "connections")
    assert {len(r) for r in keeper.served[:-1]} == {1}
    assert server_status(d, "a")["status"] == "UP" and "is DOWN" not in d.log


def test_a_reply_in_pieces(daemon, keeper):
    """The head decides; the rest is there when the connection is used again."""
    keeper.reply = lambda: [b"HTTP/1.1 200 X\r\nConnection: keep-alive\r\n",
                            b"Content-Length: 2\r\n\r\n", b"o", b"k"]
    d = daemon("lbd", config(keeper.servers, free_port(),
                             check={**keeper.check(reuse=1000), "interval": "300ms"}))
    keeper.wait(6)
    assert len(keeper.served) < 6
    assert server_status(d, "a")["status"] == "UP" and "is DOWN" not in d.log


def test_a_reload_and_a_stop_let_go_of_kept_connections(daemon, keeper):
    port = free_port()
    check = {**keeper.check(reuse=1000), "interval": "30s"}
    d = daemon("lbd", config(keeper.servers, port, check=check))
    wait_until(lambda: keeper.asked == 1, 20, "the first check")
    d.reload(config(keeper.servers, port, check=check))
    wait_until(lambda: keeper.ended == ["eof"], 20, "the end of the first connection")
    d.reload(config(keeper.servers, port, check={**check, "interval": "20ms"}))
    keeper.wait(2)
    d.signal(signal.SIGTERM)
    d.wait_exit()
    wait_until(lambda: len(keeper.ended) == len(keeper.served), 20, "the end of the last")
    assert set(keeper.ended) == {"eof"}


def test_kept_connections_have_descriptors_of_their_own(daemon):
    """Every place for clients is taken, and twenty servers are checked all the same."""
    with Server("a") as a, Keeper() as k:
        port = free_port()
        servers = [{"name": f"a{i}", "address": a.address} for i in range(20)]
        d = daemon("lbd", config(servers, port, check=check(k.server.port, reuse=1000)),
                   wrapper=["prlimit", "--nofile=160:160", "--"])
        status = d.status()["lbd"]
        assert status["max_sessions"] == (160 - 26 - 2 * 20) // 2
        clients = [connect(port) for _ in range(status["max_sessions"])]
        wait_until(lambda: d.status()["lbd"]["sessions"] == len(clients), 20, "all sessions")
        k.wait(100)
        assert "is DOWN" not in d.log and "no descriptor is left" not in d.log
        for s in clients:
            s.close()
