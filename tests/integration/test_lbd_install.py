"""okd-lbd and the life of an install: loopback addresses stand for the nodes."""

import json
import os
import socket
import threading

import pytest

from harness import free_port, wait_until
from lbd_peers import http, read_all, server_context

ADDRESSES = {"bootstrap": "127.0.120.102", "master": "127.0.120.103", "worker": "127.0.120.104"}
CLUSTER = {
    "name": "okd", "base_domain": "example.com",
    "bastion": {"name": "bastion", "addresses": ["127.0.120.101"]},
    "machine_network": ["127.0.120.0/24"],
    "nodes": [{"name": n, "role": n, "address": a} for n, a in ADDRESSES.items()],
}


class Listener:
    """A TLS server at an address and port that can be switched on and off."""

    def __init__(self, address, port, tls, name, replies=None):
        self.address, self.port, self.tls, self.name = address, port, tls, name
        self.replies = {"/readyz": 200, "/healthz": 200} if replies is None else replies
        self.sock = None
        self.clients = []

    def on(self):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind((self.address, self.port))
        self.sock.listen(64)
        threading.Thread(target=self._run, args=(self.sock,), daemon=True).start()
        return self

    def off(self):
        if self.sock:
            self.sock.shutdown(socket.SHUT_RDWR)
            self.sock.close()
            self.sock = None

    def _run(self, sock):
        while True:
            try:
                conn, peer = sock.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(conn, peer), daemon=True).start()

    def _serve(self, conn, peer):
        """TLS for the checks; plain text that begins with "x" for the clients of the test,
        who get the name and as many bytes as they ask for."""
        try:
            if conn.recv(1, socket.MSG_PEEK) == b"x":
                self.clients.append(peer[0])
                n = int(conn.recv(20)[1:])
                conn.sendall(self.name.encode().ljust(n, b"."))
            else:
                conn = self.tls.wrap_socket(conn, server_side=True)
                http(self.replies)(conn, self)
        except (OSError, ValueError):
            pass
        finally:
            conn.close()


class Install:
    """The four parties, and okd-lbd between them with the derived configuration on other
    ports."""

    def __init__(self, daemon, tmp_path):
        self.tls = server_context(str(tmp_path))
        self.api, self.mcs = free_port("127.0.120.101"), free_port("127.0.120.101")
        self.peers = {}
        for node in ("bootstrap", "master"):
            for kind in ("api", "mcs"):
                port = free_port(ADDRESSES[node])
                self.peers[node, kind] = Listener(ADDRESSES[node], port, self.tls, node)
        self.daemon = daemon("lbd", self.config(), CLUSTER)

    def config(self):
        def backend(name, kind, path):
            servers = []
            for node in ("bootstrap", "master"):
                peer = self.peers[node, kind]
                servers.append({
                    "name": node, "address": f"{peer.address}:{peer.port}",
                    "backup": node == "bootstrap",
                    "serve": "masters" if (node, kind) == ("bootstrap", "mcs") else "all"})
            return {"name": name, "servers": servers, "check": {
                "type": "https", "path": path, "expect": [200], "interval": "100ms", "timeout": "5s",
                "rise": 2, "fall": 2}}

        return {
            "stats": {"listen": []},
            "lifecycle": {"retire_after": "1s"},
            "frontends": [
                {"name": "openshift-api-server", "listen": [f"127.0.120.101:{self.api}"],
                 "backend": "openshift-api-server"},
                {"name": "machine-config-server", "listen": [f"127.0.120.101:{self.mcs}"],
                 "backend": "machine-config-server", "admit": "install"}],
            "backends": [backend("openshift-api-server", "api", "/readyz"),
                         backend("machine-config-server", "mcs", "/healthz")],
        }

    def state(self):
        return self.daemon.status()["lbd"]["install"]["state"]

    def reach(self, state, timeout=8):
        wait_until(lambda: self.state() == state, timeout, f"state {state}")

    def connect(self, s, kind, source):
        s.settimeout(5)
        s.bind((source, 0))
        s.connect(("127.0.120.101", getattr(self, kind)))

    def ask(self, kind, source, size=10):
        """The name of the server that serves, "" when there is none."""
        with socket.socket() as s:
            self.connect(s, kind, source)
            try:
                s.sendall(b"x%d" % size)
                return read_all(s).decode().rstrip(".")
            except OSError:  # what was sent met a closed socket
                return ""

    def refuses(self, kind, source):
        """A rule resets; without a server there is a FIN."""
        try:
            with socket.socket() as s:
                self.connect(s, kind, source)
                assert s.recv(1) == b""
                return False
        except ConnectionResetError:
            return True

    def switch(self, node, on):
        for kind in ("api", "mcs"):
            self.peers[node, kind].on() if on else self.peers[node, kind].off()

    def close(self):
        for peer in self.peers.values():
            peer.off()


@pytest.fixture
def install(daemon, tmp_path):
    out = Install(daemon, tmp_path)
    yield out
    out.close()


def wait_verb(install, what):
    answer = {}

    def run():
        r = install.daemon.admin(f"/wait?for={what}", timeout=30)
        answer["status"], answer["body"] = r.status, r.json()

    t = threading.Thread(target=run)
    t.start()
    return t, answer


def test_an_install_from_begin_to_end(install):
    d, nodes = install.daemon, ADDRESSES
    assert install.state() == "waiting"
    waits = {w: wait_verb(install, w) for w in ("api", "mcs", "handover", "complete")}
    install.switch("bootstrap", True)
    install.reach("bootstrap")
    for what in ("api", "mcs"):
        waits[what][0].join(10)
        assert waits[what][1]["status"] == 200
    assert install.ask("api", nodes["worker"]) == "bootstrap"
    assert install.ask("mcs", nodes["master"], 40000) == "bootstrap"
    # Never a worker to the bootstrap's machine config server, which answers it 500.
    assert install.ask("mcs", nodes["worker"]) == ""
    # Nor anybody who is no node.
    assert install.refuses("mcs", "127.0.120.77")
    assert len(install.peers["bootstrap", "mcs"].clients) == 1

    kept = socket.create_connection(("127.0.120.101", install.api))
    wait_until(lambda: d.status()["lbd"]["sessions"] == 1)
    install.switch("master", True)
    install.reach("handover")
    waits["handover"][0].join(10)
    assert install.ask("api", nodes["worker"]) == "master"
    assert install.ask("mcs", nodes["master"]) == "master"
    kept.sendall(b"x10")  # opened while the bootstrap served: drained, not cut
    assert read_all(kept).decode().rstrip(".") == "bootstrap"
    kept.close()

    install.switch("bootstrap", False)
    install.reach("complete")
    waits["complete"][0].join(10)
    assert waits["complete"][1]["body"] == {"for": "complete", "install": "complete"}
    assert os.path.exists(os.path.join(d.runtime_dir, "install-complete"))
    d.log_contains("install: complete")
    d.wait_notify(STATUS="install complete: the bootstrap has gone and has retired")

    # Nobody gets a configuration any more, whether it had one or not, until a verb says so.
    for node in nodes.values():
        assert install.refuses("mcs", node)
    d.log_contains("install: worker came for its configuration, but port 22623 is closed")
    assert d.admin("/v1/mcs/open?for=1h", "POST").status == 204
    assert install.ask("mcs", nodes["worker"], 40000) == "master"
    assert install.refuses("mcs", "127.0.120.77")
    d.log_contains("install: worker has fetched its configuration")
    d.upgrade()
    d.wait_old()
    assert install.ask("mcs", nodes["worker"]) == "master"
    assert d.admin("/v1/mcs/close", "POST").status == 204
    assert install.refuses("mcs", nodes["worker"])

    table = {n["name"]: n for n in d.status()["lbd"]["install"]["nodes"]}
    assert table["worker"]["fetched"] and table["worker"]["mcs_bytes"] == 40000
    assert table["worker"]["api_first"] and not table["bootstrap"]["mcs_attempts"]


def test_a_node_that_is_installed_again(install):
    """The first time it fetched stays; the last one, which a page or a report goes by, is
    told and kept too."""
    d, story = install.daemon, "install: worker has fetched its configuration"
    path = os.path.join(d.state_dir, "install.json")

    def kept():
        with open(path, encoding="utf-8") as f:
            return json.load(f)

    install.switch("master", True)
    install.reach("complete")
    assert d.admin("/v1/mcs/open?for=1h", "POST").status == 204
    assert install.ask("mcs", ADDRESSES["worker"], 40000) == "master"
    d.log_contains(story)
    d.stop()
    state = kept()
    worker = state["nodes"][ADDRESSES["worker"]]
    assert worker["fetched"] == worker["fetched_last"] > 0
    first = worker["fetched"] = worker["fetched_last"] = worker["fetched"] - 100000
    d.write_file("state/install.json", json.dumps(state))
    d.start()
    assert install.ask("mcs", ADDRESSES["worker"]) == "master"  # too short for one
    assert install.ask("mcs", ADDRESSES["worker"], 40000) == "master"
    wait_until(lambda: d.log.count(story) == 2, 10, "the second story")
    table = {n["name"]: n for n in d.status()["lbd"]["install"]["nodes"]}
    assert table["worker"]["fetched"] == first
    assert table["worker"]["fetched_last"] >= first + 100000
    wait_until(lambda: kept()["nodes"][ADDRESSES["worker"]]["fetched_last"] > first, 10,
               "the state on disk")


def test_the_first_contact_is_the_begin_of_a_connection(install):
    """A node may stay with its first one for hours."""
    install.switch("master", True)
    install.reach("handover")
    with socket.socket() as s:
        install.connect(s, "api", ADDRESSES["worker"])
        install.daemon.log_contains("install: worker has reached the API")
        assert install.daemon.status()["lbd"]["sessions"] == 1


def test_a_bootstrap_that_comes_back_gets_nothing(install):
    d = install.daemon
    install.switch("master", True)
    install.reach("complete")
    install.switch("bootstrap", True)
    d.log_contains("the bootstrap's API answers again although the install is complete")
    d.wait_notify(STATUS="install complete: but the bootstrap answers again")
    install.switch("master", False)
    wait_until(lambda: install.ask("api", ADDRESSES["worker"]) == "", what="no server")
    assert d.metrics()["okd_lbd_install_bootstrap_returned"] == 1
    # Kept over a restart and an upgrade; a verb begins anew.
    d.upgrade()
    d.wait_old()
    assert install.state() == "complete"
    assert d.admin("/v1/install/restart", "POST").status == 204
    install.reach("bootstrap")
    assert install.ask("api", ADDRESSES["worker"]) == "bootstrap"


def test_the_state_is_kept_and_a_broken_file_is_named(install):
    d = install.daemon
    install.switch("master", True)
    install.reach("handover")
    with open(os.path.join(d.state_dir, "install.json"), encoding="utf-8") as f:
        assert json.load(f)["state"] == "handover"
    d.stop()
    path = d.write_file("state/install.json", "{")
    d.spawn()
    assert f"{path}: this is no state of okd-lbd" in d.wait_exit(1)


def test_bad_waits(install):
    assert install.daemon.admin("/wait?for=godot").status == 400
    assert install.daemon.admin("/v1/mcs/open?for=1y", "POST").status == 400
