"""okd-csrd's modes, verbs, tickets, keys, reload and command line."""

import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest
import yaml

import csrd_kit
from csrd_kit import (MASTER, MASTER_IP, WORKER, WORKER_IP, accounted, audit, client_csr, follows,
                      join, make_requests, reason, request, serving_csr)
from harness import example_cluster, run_daemon, wait_until
from ignd_fixtures import start_ignd
from kubeapi import ADMIN, BOOTSTRAPPER, CLIENT, LEGACY, KubeApi
from variant import BUILD, SLOW, TOP

api, csrd = csrd_kit.api, csrd_kit.csrd  # fixtures


class Journal:
    """A daemon started in wrapper takes its stderr for the journal, whose socket is here."""

    def __init__(self, folder):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.settimeout(10 * SLOW)
        self.sock.bind(f"{folder}/socket")
        script = ("mount -t tmpfs none /run && mkdir -p /run/systemd/journal && "
                  f"mount --bind {folder} /run/systemd/journal && "
                  "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$@\"")
        self.wrapper = ["unshare", "-m", "sh", "-c", script, "sh"]

    def entry(self):
        text = self.sock.recv(65536).decode()
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


@pytest.fixture
def journal(tmp_path):
    (tmp_path / "journal").mkdir()
    j = Journal(str(tmp_path / "journal"))
    yield j
    j.sock.close()


def order(d, verb, name):
    return d.admin(f"/v1/request/{verb}?name={urllib.parse.quote(name)}", "POST")


# --- modes -----------------------------------------------------------------------------


def test_dry_run_changes_nothing(api, csrd):
    d = csrd(mode="dry-run")
    client_csr(api, "good", WORKER)
    client_csr(api, "bad", WORKER, o2="system:masters")
    assert reason(d, "good") == "client" and reason(d, "bad") == "organization"
    d.log_contains("good: would be approved: first client certificate of " + WORKER)
    assert api.seen("PUT", "/approval") == 0
    metrics = d.metrics()
    assert metrics['okd_csrd_decisions_total{decision="would-approve",reason="client"}'] == 1
    assert metrics['okd_csrd_decisions_total{decision="pending",reason="organization"}'] == 1
    assert metrics['okd_csrd_pending{age="under-1m"}'] == 2


def test_ask_waits_for_a_person(api, csrd):
    d = csrd(mode="ask")
    client_csr(api, "good", WORKER)
    d.log_contains("good: waits for a person")
    shown = d.admin("/v1/request?name=good").json()
    assert shown["request"]["subject"] and shown["verdict"].endswith("of " + WORKER)
    assert shown["groups"][0] == "system:serviceaccounts" and not shown["approved"]
    assert api.seen("PUT", "/approval") == 0
    answer = order(d, "approve", "good")
    assert answer.status == 200 and answer.json() == {"result": "approved"}
    assert api.is_approved("good")
    row = d.admin("/v1/audit?csr=good&decision=approve").json()["decisions"][0]
    assert row["by"] == f"uid {os.getuid()}" and row["reason"] == "client"
    again = order(d, "approve", "good")
    assert again.status == 409 and "already" in again.json()["error"]["message"]


def test_a_person_may_approve_what_the_policy_leaves_to_him(api, csrd):
    d = csrd()
    client_csr(api, "stranger", "worker1.okd.example.com")
    assert reason(d, "stranger") == "unknown-node"
    d.log_contains("cluster.yaml has no node called worker1.okd.example.com; expected and "
                   f"not there yet: {MASTER} ({MASTER_IP}), {WORKER} ({WORKER_IP})")
    assert order(d, "approve", "stranger").status == 200
    rows = d.admin("/v1/audit?csr=stranger").json()["decisions"]
    assert [(r["decision"], r["reason"]) for r in rows] == [
        ("approve", "by-person"), ("pending", "unknown-node")]


def test_no_person_approves_the_hostile(api, csrd):
    d = csrd()
    client_csr(api, "bad", WORKER, o2="system:masters")
    client_csr(api, "legacy", WORKER, signer=LEGACY, o="system:masters", cn="admin")
    # What speaks against it first is for a person, but its signature is none.
    client_csr(api, "forged", "worker1.okd.example.com", tamper=1)
    names = [n for n in ("bad", "legacy", "forged") if n not in api.turned_away]
    for name in names:
        assert reason(d, name) != "unknown-node" or name == "forged"
        refused = order(d, "approve", name)
        assert refused.status == 409 and refused.json()["error"]["message"]
    assert api.approvals == []
    if "forged" in names:
        shown = d.admin("/v1/request?name=forged").json()
        assert shown["reason"] == "signature" and not shown["request"]["signature_ok"]
    assert order(d, "deny", "bad").status == 200
    assert api.conditions("bad") == ["Denied"]
    assert order(d, "approve", "no such").status == 404
    assert d.admin("/v1/request/approve", "POST").status == 400
    assert d.admin("/v1/request?name=nothing").status == 404
    assert d.admin("/v1/request/approve?name=x").status == 405


def test_hostile_requests_are_denied_if_told_so(api, csrd):
    d = csrd(hostile="deny")
    client_csr(api, "bad", WORKER, o2="system:masters")
    client_csr(api, "stranger", "worker1.okd.example.com")
    client_csr(api, "foreign", WORKER, signer="example.com/other")
    client_csr(api, "legacy", WORKER, signer=LEGACY, o="system:masters", cn="admin")
    assert api.wait(lambda a: a.conditions("bad") == ["Denied"])
    for name in ("stranger", "foreign", "legacy"):
        reason(d, name)
        assert api.conditions(name) == []

    def denied():
        rows = d.admin("/v1/audit?decision=deny").json()["decisions"]
        return [(r["csr"], r.get("outcome")) for r in rows] == [("bad", "denied")]

    wait_until(denied, what="the outcome")


def test_orders_with_the_api_down(api, csrd):
    d = csrd(mode="ask")
    client_csr(api, "good", WORKER)
    reason(d, "good")
    api.stop()
    assert order(d, "approve", "good").status == 502
    assert d.admin("/v1/request?name=good").status == 502
    api.start()
    wait_until(lambda: order(d, "approve", "good").status == 200, timeout=15)


def test_others_read_and_do_not_order(api, csrd):
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    d = csrd(mode="ask")
    client_csr(api, "good", WORKER)
    reason(d, "good")
    for path in (d.dir, d.runtime_dir):
        os.chmod(path, 0o755)
    os.chmod(d.admin_socket, 0o666)

    def as_nobody(*curl):
        return subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-sS",
             "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", d.admin_socket, *curl],
            capture_output=True, text=True, check=True).stdout

    assert as_nobody("http://localhost/v1/requests") == "200"
    assert as_nobody("-X", "POST", "http://localhost/v1/request/approve?name=good") == "403"
    assert api.approvals == []


# --- one key for each name -------------------------------------------------------------


def test_a_second_key_waits_for_a_person(api, csrd):
    d = csrd()
    client_csr(api, "first", WORKER)
    api.wait_approved("first")
    client_csr(api, "second", WORKER)
    client_csr(api, "short", "worker")
    assert reason(d, "second") == "second-key"
    assert reason(d, "short") == "second-key"
    # The restart knows it too, from the audit; so does it after the request is gone.
    api.delete(api.csrs, "first")
    d.stop(check_fds=False)
    d.start()
    follows(d)
    assert reason(d, "second") == "second-key"
    # It joined, and was taken away: the next installation has a key of its own.  A Node
    # comes later than its key's approval, and the audit counts whole seconds.
    approved = audit(d)[0]["at"]
    wait_until(lambda: time.time() >= approved + 2)
    api.put_node(WORKER, [WORKER_IP])
    wait_until(lambda: reason(d, "second") == "node-exists")
    api.delete(api.nodes, WORKER)
    api.wait_approved("second", timeout=10 * SLOW)


def test_of_two_at_once_one_is_approved(api, csrd):
    d = csrd()
    api.stop()
    names = [client_csr(api, f"c{i}", WORKER) for i in range(10)]
    api.start()
    assert api.wait(lambda a: any(a.is_approved(n) for n in names), 15 * SLOW)
    others = [n for n in names if not api.is_approved(n)]
    assert len(others) == 9 and {reason(d, n) for n in others} == {"second-key"}


def test_the_same_key_again_is_no_second(api, csrd):
    csrd()
    pem = request(cn=f"system:node:{WORKER}")
    client_csr(api, "first", WORKER, pem=pem)
    client_csr(api, "again", WORKER, pem=pem)
    api.wait_approved("first", "again")


def test_a_key_that_somebody_else_approved_counts(api, csrd):
    """The bootstrap's own script approves whatever comes."""
    client_csr(api, "theirs", WORKER)
    api.approve("system:admin", "v1", "theirs", {
        "metadata": {"name": "theirs"},
        "status": {"conditions": [{"type": "Approved", "status": "True"}]}})
    d = csrd()
    client_csr(api, "second", WORKER)
    assert reason(d, "second") == "second-key"
    # Also when that request has been cleaned up since.
    api.delete(api.csrs, "theirs")
    d.stop(check_fds=False)
    d.start()
    follows(d)
    assert reason(d, "second") == "second-key"
    rows = d.admin("/v1/audit?decision=elsewhere").json()["decisions"]
    assert [r["csr"] for r in rows] == ["theirs"]


def test_a_flood_stops_nobody(api, csrd):
    """Junk by the hundred with a stolen token: honest nodes join all the same."""
    d = csrd(max_pending=100)
    for i, pem in enumerate(make_requests(count=300, cn=f"system:node:{MASTER}", o2="x")):
        client_csr(api, f"junk-{i}", MASTER, pem=pem)
    client_csr(api, "honest", WORKER)
    api.wait_approved("honest", timeout=10 * SLOW)
    wait_until(lambda: d.status()["csrd"]["requests"] <= 102)
    assert d.metrics()["okd_csrd_untracked_total"] >= 190


def test_a_flood_hides_nothing_from_a_person(api, csrd):
    """What is beyond max_pending is not kept, and can be approved and denied by name."""
    d = csrd(mode="ask", max_pending=100)
    for i, pem in enumerate(make_requests(count=120, cn=f"system:node:{MASTER}", o2="x")):
        client_csr(api, f"junk-{i}", MASTER, pem=pem)
    client_csr(api, "honest", WORKER)
    client_csr(api, "other", MASTER)
    wait_until(lambda: d.metrics()["okd_csrd_untracked_total"] >= 22)
    assert order(d, "approve", "honest").status == 200
    assert api.is_approved("honest")
    assert order(d, "deny", "other").status == 200
    assert api.conditions("other") == ["Denied"]
    assert order(d, "approve", "junk-119").status == 409
    assert order(d, "approve", "nobody").status == 404
    wait_until(lambda: d.status()["csrd"]["requests"] <= 102)
    assert [a[0] for a in api.approvals if a[2] == "okd-csrd"] == ["honest"]


def test_a_node_that_asks_for_ever_waits_alone(api, csrd):
    d = csrd(approvals_per_hour=3)
    api.put_node(WORKER, [WORKER_IP])
    for i in range(5):
        serving_csr(api, f"s{i}", WORKER, WORKER_IP)
    assert api.wait(lambda a: len(a.approvals) == 3)
    assert reason(d, "s4") == "too-many"
    join(api, MASTER, MASTER_IP)


def test_a_token_holder_uses_up_nobodys_turn(api, csrd):
    """Whoever has the bootstrapper's token can read a node's request and make it again and
    again: that is no second key, and no reason to let the node wait."""
    d = csrd(approvals_per_hour=3)
    pem = request(cn=f"system:node:{WORKER}")
    for i in range(6):
        client_csr(api, f"again-{i}", WORKER, pem=pem)
    assert api.wait(lambda a: len(a.approvals) == 3)
    assert reason(d, "again-5") == "too-many"
    api.put_node(WORKER, [WORKER_IP])
    for i in range(3):
        serving_csr(api, f"serving-{i}", WORKER, WORKER_IP)
    api.wait_approved("serving-0", "serving-1", "serving-2")


def test_a_repetition_that_fails_frees_no_name(api, csrd):
    """The node's request is made again by somebody, and that one vanishes on its way: the
    name stays with the key that was approved."""
    d = csrd()
    pem = request(cn=f"system:node:{WORKER}")
    client_csr(api, "first", WORKER, pem=pem)
    api.wait_approved("first")
    wait_until(lambda: [r for r in audit(d) if r["outcome"] == "approved"], what="the outcome")
    api.fault("PUT", "/approval", before=lambda: api.delete(api.csrs, "again"))
    client_csr(api, "again", WORKER, pem=pem)
    wait_until(lambda: [r for r in audit(d) if r["outcome"] == "gone"], what="the outcome")
    client_csr(api, "second", WORKER)
    assert reason(d, "second") == "second-key"


# --- the journal -----------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount of its own")
def test_decisions_carry_fields_in_the_journal(api, csrd, journal):
    csrd(wrapper=journal.wrapper)
    client_csr(api, "good", WORKER)
    client_csr(api, "bad", MASTER, names="DNS:api.okd.example.com", o2="system:masters")
    seen = {}
    while len(seen) < 2:
        fields = journal.entry()
        if "OKD_CSR" in fields:
            seen.setdefault(fields["OKD_CSR"], fields)
    good, bad = seen["good"], seen["bad"]
    assert (good["OKD_NODE"], good["OKD_USER"], good["OKD_SIGNER"], good["OKD_REASON"]) == (
        WORKER, BOOTSTRAPPER, CLIENT, "client")
    assert bad["OKD_REASON"] == "organization"
    assert bad["OKD_NAMES"] == "DNS:api.okd.example.com"
    assert good["MESSAGE_ID"] != bad["MESSAGE_ID"]
    for fields in (good, bad):
        assert re.fullmatch("[0-9a-f]{64}", fields["OKD_KEY_SHA256"])
        with open(f"{TOP}/systemd/okd-csrd.catalog", encoding="utf-8") as f:
            assert f"-- {fields['MESSAGE_ID']}" in f.read()


# --- tickets ---------------------------------------------------------------------------


class Ignd:
    """okd-ignd's admin socket as far as tickets go."""

    def __init__(self, path):
        self.tickets, self.asked, self.broken = [], 0, False
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.bind(path)
        self.sock.listen()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                c, _ = self.sock.accept()
            except OSError:
                return
            with c:
                head = c.recv(4096)
                self.asked += 1
                assert head.startswith(b"GET /v1/tickets HTTP/1.1\r\n")
                body = b"{" if self.broken else json.dumps({"tickets": self.tickets}).encode()
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                          b"Connection: close\r\nContent-Length: %d\r\n\r\n%s"
                          % (len(body), body))

    def give(self, node, at):
        self.tickets.append({"node": node, "fetched_at": at, "address": WORKER_IP})

    def close(self):
        self.sock.close()


@pytest.fixture
def ignd(tmp_path):
    server = Ignd(str(tmp_path / "ignd.sock"))
    yield server
    server.close()


def test_a_node_needs_its_ticket(api, csrd, ignd, tmp_path):
    d = csrd(require_ticket="auto", ignd_socket=str(tmp_path / "ignd.sock"))
    client_csr(api, "worker", WORKER)
    assert reason(d, "worker") == "no-ticket"
    d.log_contains(f"{WORKER} has not fetched its ignition from this bastion")
    ignd.give("worker", int(time.time()))
    api.wait_approved("worker", timeout=15 * SLOW)  # it is asked again every few seconds
    ignd.give("master", int(time.time()))
    client_csr(api, "master", MASTER)
    api.wait_approved("master")
    assert f"{MASTER} has not fetched" not in d.log  # it had not to be asked twice
    assert d.status()["csrd"]["tickets_required"]


def test_a_ticket_that_ignd_forgot_is_none(api, csrd, ignd, tmp_path):
    """A node that is to be installed again: what ignd said before does not let anybody in."""
    d = csrd(require_ticket="auto", ignd_socket=str(tmp_path / "ignd.sock"))
    ignd.give("worker", int(time.time()))
    ignd.give("master", int(time.time()))
    client_csr(api, "master", MASTER)
    api.wait_approved("master")
    ignd.tickets.clear()
    client_csr(api, "worker", WORKER)
    assert reason(d, "worker") == "no-ticket"
    ignd.give("worker", int(time.time()))
    api.wait_approved("worker", timeout=15 * SLOW)


def test_tickets_have_a_window(api, csrd, ignd, tmp_path):
    d = csrd(require_ticket="auto", ignd_socket=str(tmp_path / "ignd.sock"),
             ticket_window="1h")
    now = int(time.time())
    ignd.give("worker", now - 3700)
    ignd.give("master", now)
    client_csr(api, "late", WORKER)
    client_csr(api, "early", MASTER, created=now - 600)
    assert reason(d, "late") == "no-ticket" and reason(d, "early") == "no-ticket"
    d.log_contains("after worker.okd.example.com fetched its ignition, and ticket_window")
    d.log_contains("before master.okd.example.com fetched its ignition")


def test_an_ignd_that_does_not_answer_gives_no_tickets(api, csrd, ignd, tmp_path):
    ignd.broken = True
    d = csrd(require_ticket="auto", ignd_socket=str(tmp_path / "ignd.sock"))
    client_csr(api, "worker", WORKER)
    assert reason(d, "worker") == "no-ticket"
    d.log_contains("no install tickets: what okd-ignd says is no list of tickets")
    ignd.give("worker", int(time.time()))
    ignd.broken = False
    api.wait_approved("worker", timeout=15 * SLOW)


def test_an_ignd_that_stops_is_no_reason_to_ask_for_less(api, csrd, ignd, tmp_path):
    """systemd removes its socket; it was here, so tickets are asked for."""
    d = csrd(require_ticket="auto", ignd_socket=str(tmp_path / "ignd.sock"))
    ignd.close()
    os.unlink(tmp_path / "ignd.sock")
    client_csr(api, "worker", WORKER)
    assert reason(d, "worker") == "no-ticket"
    d.reload()
    follows(d)
    client_csr(api, "master", MASTER)
    assert reason(d, "master") == "no-ticket"
    assert api.approvals == []


def test_without_ignd_no_ticket_is_needed(api, csrd, tmp_path):
    csrd(require_ticket="auto", ignd_socket=str(tmp_path / "nothing.sock"))
    client_csr(api, "worker", WORKER)
    api.wait_approved("worker")


def test_a_ticket_can_be_demanded(api, csrd, tmp_path):
    d = csrd(require_ticket="yes", ignd_socket=str(tmp_path / "nothing.sock"))
    client_csr(api, "worker", WORKER)
    assert reason(d, "worker") == "no-ticket"


def test_the_real_ignd_gives_tickets(api, csrd, daemon):
    """Both daemons: the node asks in vain, fetches its ignition, and is approved."""
    ignd = start_ignd(daemon, {})
    with open(ignd.d.cluster_path, encoding="utf-8") as f:
        cluster = yaml.safe_load(f)
    node = f"worker.{cluster['name']}.{cluster['base_domain']}"
    d = csrd(cluster=cluster, require_ticket="auto", ignd_socket=ignd.d.admin_socket)
    client_csr(api, "c", node)
    assert reason(d, "c") == "no-ticket"
    assert ignd.get("/ignition/worker.ign", source="127.0.0.4").status == 200
    api.wait_approved("c", timeout=15 * SLOW)
    client_csr(api, "other", node.replace("worker", "master"))
    assert reason(d, "other") == "no-ticket"


def test_the_last_stages_are_shown_by_ignd(api, csrd, daemon):
    """From the first request to a Ready node: ignd's stages end with what csrd sees."""
    # It keeps its connection to csrd.
    ignd = start_ignd(daemon, {"csrd_socket": "/nothing/yet"}, check_fds=False)
    ignd.write("install/coreos.raw", b"x" * 100000)
    with open(ignd.d.cluster_path, encoding="utf-8") as f:
        cluster = yaml.safe_load(f)
    node = f"worker.{cluster['name']}.{cluster['base_domain']}"
    d = csrd(cluster=cluster, require_ticket="auto", ignd_socket=ignd.d.admin_socket)
    ignd.d.reload(config={**ignd.config, "csrd_socket": d.admin_socket})

    def stage(name, timeout=15):
        wait_until(lambda: ignd.node("worker")["stage"] == name, timeout * SLOW, name)

    ignd.get("/ignition/worker.ign", source="127.0.0.4")
    stage("Starting installation")
    ignd.get("/install/coreos.raw", source="127.0.0.4")
    stage("Rebooting")
    client_csr(api, "c", node)
    api.wait_approved("c", timeout=15 * SLOW)
    api.put_node(node, ["127.0.0.4"])
    stage("Joined")
    api.put_node(node, ["127.0.0.4"], ready=True)
    stage("Done")
    assert ignd.node("master")["stage"] == ""
    shown = {n["name"]: n for n in d.status()["csrd"]["nodes"]}[node]
    assert shown["stage"] == "ready" and abs(shown["since"] - time.time()) < 60 * SLOW
    # Installed again: what csrd still says of the old Node is no news of the new one.
    ignd.d.admin("/v1/reset?node=worker", "POST")
    ignd.get("/ignition/worker.ign", source="127.0.0.4")
    stage("Starting installation")


# --- what comes after ------------------------------------------------------------------


def test_certificates_that_do_not_come(api, csrd):
    api.issue = False
    d = csrd(issue_timeout="1s")
    client_csr(api, "slow", WORKER)
    client_csr(api, "fails", MASTER)
    api.wait_approved("slow", "fails")
    api.sign("fails", fail="the signer says no")
    d.log_contains("fails: the signer refused what was approved: the signer says no")
    d.log_contains("slow: approved, and still there is no certificate")
    assert d.metrics()["okd_csrd_not_issued_total"] == 1
    api.sign("slow")
    d.log_contains("slow: its certificate is issued")


def test_a_node_that_does_not_turn_ready(api, csrd):
    d = csrd(ready_timeout="1s")
    client_csr(api, "c", WORKER)
    d.log_contains(f"the node {WORKER} is not Ready 1 s after its approval")
    api.put_node(WORKER, [WORKER_IP], ready=True)
    d.log_contains(f"the node {WORKER} is Ready")


# --- configuration ---------------------------------------------------------------------


def test_reload_changes_mode_and_cluster(api, csrd, tmp_path):
    d = csrd(mode="dry-run")
    client_csr(api, "c", "worker1.okd.example.com")
    assert reason(d, "c") == "unknown-node"
    config = {"kubeconfig": str(tmp_path / "kubeconfig"), "require_ticket": "no"}
    cluster = example_cluster()
    cluster["nodes"].append({"name": "worker1", "role": "worker", "address": "192.168.120.105"})
    d.reload(config, cluster)
    api.wait_approved("c", timeout=10 * SLOW)
    d.reload("mode: sometimes\n")
    assert 'csrd.yaml:1:7' in d.status()["config"]["error"]
    client_csr(api, "w", WORKER)
    api.wait_approved("w")


def test_extra_nodes(api, csrd):
    d = csrd(extra_nodes=[{"name": "pool-*.okd.example.com", "addresses": ["192.168.120.0/24"]}])
    join(api, "pool-1.okd.example.com", "192.168.120.201")
    serving_csr(api, "thief", "pool-1.okd.example.com", WORKER_IP)
    assert reason(d, "thief") == "foreign-address"


def test_upgrade_in_place(api, csrd):
    d = csrd()
    client_csr(api, "before", WORKER)
    api.wait_approved("before")
    d.upgrade()
    d.wait_old()
    client_csr(api, "after", MASTER)
    api.wait_approved("after", timeout=10 * SLOW)
    accounted(api, d)


def test_print_rbac():
    program = os.path.join(BUILD, "okd-csrd")
    out = subprocess.run([program, "--print-rbac"], check=True, capture_output=True).stdout
    docs = list(yaml.safe_load_all(out))
    role = next(x for x in docs if x["kind"] == "ClusterRole")
    verbs = {(r["resources"][0], v) for r in role["rules"] for v in r["verbs"]}
    assert verbs == {
        ("certificatesigningrequests", "get"), ("certificatesigningrequests", "list"),
        ("certificatesigningrequests", "watch"),
        ("certificatesigningrequests/approval", "update"), ("signers", "approve"),
        ("nodes", "get"), ("nodes", "list"), ("nodes", "watch")}


def test_the_example_is_good():
    path = os.path.join(TOP, "examples", "okd.example.com", "csrd.yaml")
    with open(path, encoding="utf-8") as f:
        shown = run_daemon("csrd", "-n", "-v", config=f.read())
    assert shown.status == 0 and "mode: auto" in shown.out, shown.err


# --- the stand-in is a fair one --------------------------------------------------------


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_kubectl_finds_the_stand_in_fair(api, tmp_path, version):
    kubectl = shutil.which("kubectl")
    if not isinstance(api, KubeApi):
        pytest.skip("this is about the stand-in")
    if not kubectl:
        pytest.skip("kubectl is not installed (Debian: kubernetes-client)")
    api.versions = [version]
    config = api.kubeconfig(str(tmp_path / "admin"), user="system:admin", rights=ADMIN)

    def run(*args, stdin=None):
        p = subprocess.run([kubectl, "--kubeconfig", config, "--cache-dir",
                            str(tmp_path / "cache"), *args], input=stdin,
                           capture_output=True, text=True)
        return p.returncode, p.stdout + p.stderr

    client_csr(api, "one", WORKER)
    client_csr(api, "two", MASTER)
    code, out = run("get", "csr", "-o", "name")
    if version == "v1beta1" and code != 0:
        pytest.skip("this kubectl is too new for v1beta1")
    assert code == 0 and "certificatesigningrequest.certificates.k8s.io/one" in out
    code, out = run("certificate", "approve", "one")
    if version == "v1beta1" and code != 0:
        pytest.skip("this kubectl is too new for v1beta1")
    assert code == 0, out
    assert api.conditions("one") == ["Approved"]
    assert run("certificate", "approve", "one")[0] == 0  # a second time is no error
    assert run("certificate", "deny", "two")[0] == 0
    assert run("certificate", "approve", "two")[0] != 0
    assert api.conditions("two") == ["Denied"]
    assert "NotFound" in run("certificate", "approve", "three")[1]
    api.put_node(WORKER, [WORKER_IP], ready=True)
    assert WORKER in run("get", "nodes", "-o", "name")[1]
    body = json.dumps({
        "apiVersion": f"certificates.k8s.io/{version}", "kind": "CertificateSigningRequest",
        "metadata": {"name": "made"},
        "spec": {"request": "eA==", "signerName": CLIENT, "usages": ["client auth"],
                 "username": "forged"}})
    code, out = run("create", "--validate=false", "-f", "-", stdin=body)
    assert code == 0, out
    assert api.csrs.objects["made"]["spec"]["username"] == "system:admin"
    code, out = run("auth", "can-i", "approve", "signers.certificates.k8s.io")
    assert code == 0 and "yes" in out
    watched = run("get", "csr", "--watch", "--request-timeout=1s", "-o", "name")[1]
    assert "/one" in watched
