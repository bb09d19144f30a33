"""okd-csrd and an API server that fails: no request missed, none approved twice, no
approval without its row in the audit."""

import json
import os
import random
import shutil
import signal
import sqlite3
import threading
import time

import pytest

import csrd_kit
import stallready
import variant
from csrd_kit import (MASTER, MASTER_IP, WORKER, WORKER_IP, accounted, audit, client_csr,
                      cluster_of, follows, join, make_requests, reason, serving_csr)
from harness import wait_until
from kubeapi import CSRD_RIGHTS
from test_faults import small_disk
from variant import SLOW

api, csrd, stall = csrd_kit.api, csrd_kit.csrd, stallready.stall  # fixtures


# --- answers ---------------------------------------------------------------------------


@pytest.mark.parametrize("code", [429, 500, 503, 504])
def test_passing_errors_are_tried_again(api, csrd, code):
    d = csrd()
    api.fault("PUT", "/approval", code=code, times=2, Retry_After="0")
    client_csr(api, "c", WORKER)
    api.wait_approved("c", timeout=10 * SLOW)
    assert d.metrics()["okd_csrd_failed_total"] == 2
    accounted(api, d)


@pytest.mark.parametrize("cut", [0, 1, 40, 200])
def test_a_lost_answer_is_looked_up(api, csrd, cut):
    """The approval arrived and its answer did not: read again, not approved again."""
    d = csrd()
    api.fault("PUT", "/approval", cut=cut)
    client_csr(api, "c", WORKER)
    api.wait_approved("c")
    wait_until(lambda: [r for r in audit(d) if r["outcome"] == "approved"],
               what="the outcome in the audit")
    assert len(api.approvals) == 1
    accounted(api, d)


def test_conflict_decides_anew(api, csrd):
    """Somebody touches the request while it is being approved."""
    d = csrd()

    def touch():
        with api.lock:
            obj = json.loads(json.dumps(api.csrs.objects["c"]))
            obj["metadata"]["labels"] = {"a": "b"}
            obj["status"]["conditions"] = [{"type": "Odd", "status": "True"}]
            api._change(api.csrs, obj)

    api.fault("PUT", "/approval", before=touch)
    client_csr(api, "c", WORKER)
    api.wait_approved("c")
    assert api.conditions("c") == ["Odd", "Approved"]
    assert d.metrics()["okd_csrd_conflicts_total"] == 1
    assert [r["outcome"] for r in audit(d)][0] == "conflict"
    accounted(api, d)


def test_a_conflict_leaves_the_name_to_its_key(api, csrd):
    """Somebody else approves the same request, and then it cannot be read: a second key
    does not slip in meanwhile."""
    d = csrd()

    def approve():
        api.approve("system:admin", "v1", "first", {
            "metadata": {"name": "first"},
            "status": {"conditions": [{"type": "Approved", "status": "True"}]}})
        # The watch says so before the PUT is answered.
        time.sleep(0.3)

    api.fault("PUT", "/first/approval", before=approve)
    api.fault("GET", "/certificatesigningrequests/first", code=503, times=1000)
    client_csr(api, "first", WORKER)
    wait_until(lambda: api.seen("GET", "/certificatesigningrequests/first"),
               what="a look at the request")
    client_csr(api, "second", WORKER)
    assert reason(d, "second") == "second-key"
    api.clear_faults()
    wait_until(lambda: not [r for r in d.admin("/v1/requests").json()["requests"]
                            if r["name"] == "first"], what="the end of the first")
    assert reason(d, "second") == "second-key"
    assert api.conditions("second") == []


def test_an_answer_that_is_none(api, csrd):
    """200 with an error inside, as some proxies have it: no approval, and no request."""
    d = csrd()
    api.fault("PUT", "/c/approval", code=200)
    api.fault("GET", "/certificatesigningrequests/c", code=200, times=2)
    client_csr(api, "c", WORKER)
    api.wait_approved("c", timeout=10 * SLOW)
    wait_until(lambda: d.metrics()["okd_csrd_approved_total"] == 1, what="the approval")
    accounted(api, d)


def test_a_list_of_something_else(api, csrd):
    """An empty list of another kind does not mean that there are no Nodes."""
    api.put_node(WORKER, [WORKER_IP])
    with api.lock:
        kind, api.nodes.kind = api.nodes.kind, "Pod"
    d = csrd(wait=False)
    d.log_contains("the answer is no NodeList")
    client_csr(api, "c", WORKER)
    assert not d.status()["csrd"]["api"]["following"]
    api.nodes.kind = kind
    assert reason(d, "c") == "node-exists"


def test_a_request_that_turns_hostile_is_not_approved(api, csrd):
    """Deleted and made again under the same name while the approval is on its way."""
    d = csrd()

    def swap():
        api.delete(api.csrs, "c")
        client_csr(api, "c", WORKER, o2="system:masters")

    api.fault("PUT", "/approval", before=swap)
    client_csr(api, "c", WORKER)
    wait_until(lambda: reason(d, "c") == "organization", what="the second decision")
    assert api.approvals == []
    # The name is free for the honest one.
    client_csr(api, "d", WORKER)
    api.wait_approved("d")


def test_a_request_that_vanishes(api, csrd):
    d = csrd()
    api.fault("PUT", "/approval", before=lambda: api.delete(api.csrs, "c"))
    client_csr(api, "c", WORKER)
    wait_until(lambda: [r for r in audit(d) if r["outcome"] == "gone"], what="the outcome")
    wait_until(lambda: d.status()["csrd"]["requests"] == 0)
    client_csr(api, "c2", WORKER)
    api.wait_approved("c2")


def test_denied_by_a_person_stays_denied(api, csrd):
    d = csrd()

    def deny():
        with api.lock:
            obj = json.loads(json.dumps(api.csrs.objects["c"]))
            obj["status"]["conditions"] = [{"type": "Denied", "status": "True"}]
            api._change(api.csrs, obj)

    api.fault("PUT", "/approval", before=deny)
    client_csr(api, "c", WORKER)
    wait_until(lambda: d.admin("/v1/requests").json()["requests"] == []
               and api.seen("PUT", "/approval"))
    assert api.conditions("c") == ["Denied"] and api.approvals == []


def test_refused_for_good_is_not_repeated(api, csrd):
    d = csrd()
    api.fault("PUT", "/approval", code=422, times=1000)
    client_csr(api, "c", WORKER)
    d.log_contains("the API server says 422")
    client_csr(api, "d", MASTER)
    wait_until(lambda: d.metrics()["okd_csrd_refused_total"] == 2)
    assert api.seen("PUT", "/c/approval") == 1


def test_missing_rights_are_named(api, csrd):
    rights = [r for r in CSRD_RIGHTS if r[0] != "approve"]
    d = csrd(rights=rights)
    d.log_contains("may not: approve signers kubernetes.io/kube-apiserver-client-kubelet, "
                   "approve signers kubernetes.io/kubelet-serving; `okd-csrd --print-rbac`")
    assert len(d.status()["csrd"]["api"]["rights"]["missing"]) == 2
    client_csr(api, "c", WORKER)
    d.log_contains("user not permitted to approve requests with signerName")
    wait_until(lambda: audit(d)[0]["outcome"] == "forbidden")
    assert api.approvals == []


def test_no_right_to_list(api, csrd):
    d = csrd(rights=[r for r in CSRD_RIGHTS if r[2] != "nodes"], wait=False)
    d.log_contains("cannot follow nodes: the API server says 403")
    client_csr(api, "c", WORKER)
    api.users["okd-csrd"] = CSRD_RIGHTS
    api.wait_approved("c", timeout=20 * SLOW)


def test_credentials_that_are_refused(api, csrd, tmp_path):
    path = api.kubeconfig(str(tmp_path / "token-config"), token=True)
    api.tokens.clear()
    d = csrd(kubeconfig=path, wait=False)
    d.log_contains("the API server says 401")
    client_csr(api, "c", WORKER)
    api.kubeconfig(path, token=True)  # the file is new, and so is what it says
    api.wait_approved("c", timeout=15 * SLOW)
    accounted(api, d)


# --- kubeconfig ------------------------------------------------------------------------


def test_the_kubeconfig_comes_later(api, daemon, tmp_path):
    path = str(tmp_path / "later")
    d = daemon("csrd", {"kubeconfig": path, "require_ticket": "no"}, check_fds=False)
    assert d.admin("/readyz").status == 200
    assert d.status()["csrd"]["api"]["server"] == ""
    d.log_contains("there is no kubeconfig")
    client_csr(api, "c", WORKER)
    api.kubeconfig(path)
    api.wait_approved("c", timeout=10 * SLOW)


@pytest.mark.parametrize("form", ["embedded", "files", "token"])
def test_forms_of_credentials(api, csrd, tmp_path, form):
    path = api.kubeconfig(str(tmp_path / form), embed=form == "embedded",
                          token=form == "token")
    csrd(kubeconfig=path)
    join(api, WORKER, WORKER_IP)


def edit(path, change):
    """change(doc) upon a kubeconfig that the stand-in wrote."""
    with open(path, encoding="utf-8") as f:
        doc = json.load(f)
    change(doc)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(doc, f)
    return str(path)


def test_a_token_in_a_file_that_is_rotated(api, csrd, tmp_path):
    """The file's path is relative to the kubeconfig's folder."""
    path, tokens = tmp_path / "kubeconfig", api.tokens
    api.kubeconfig(str(path), token=True)
    (tmp_path / "token").write_text("token-okd-csrd\n")
    edit(path, lambda doc: doc["users"][0].update(user={"tokenFile": "token"}))
    d = csrd(kubeconfig=str(path))
    client_csr(api, "one", WORKER)
    api.wait_approved("one")
    tokens["other"] = tokens.pop("token-okd-csrd")
    (tmp_path / "token.new").write_text("other\n")
    (tmp_path / "token.new").rename(tmp_path / "token")
    client_csr(api, "two", MASTER)
    api.wait_approved("two", timeout=20 * SLOW)
    d.stop(check_fds=False)
    assert "token-okd-csrd" not in d.log


def test_a_list_of_files_is_merged(api, csrd, tmp_path):
    """As KUBECONFIG's list: the first that says something wins; paths are relative to the
    file that names them."""
    whole = tmp_path / "whole"
    api.kubeconfig(str(whole), embed=False)
    doc = json.loads(whole.read_text())
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    user = doc["users"][0]["user"]
    for key in user:
        shutil.copy(user[key], tmp_path / "b" / f"{key}.pem")
        user[key] = f"{key}.pem"
    (tmp_path / "a" / "config").write_text(json.dumps({
        "current-context": "okd", "clusters": doc["clusters"], "users": [], "contexts": None}))
    (tmp_path / "b" / "config").write_text(json.dumps({
        "current-context": "nothing", "users": doc["users"], "contexts": doc["contexts"],
        "clusters": [{"name": "okd", "cluster": {"server": "https://127.0.0.1:1"}}]}))
    csrd(kubeconfig=[str(tmp_path / "a" / "config"), str(tmp_path / "none"),
                     str(tmp_path / "b" / "config")])
    join(api, WORKER, WORKER_IP)


@pytest.mark.parametrize("name, good", [("api.okd.example.com", True),
                                        ("api.example.net", False)])
def test_tls_server_name(api, csrd, tmp_path, name, good):
    path = tmp_path / "kubeconfig"
    api.kubeconfig(str(path))
    edit(path, lambda doc: doc["clusters"][0]["cluster"].update({"tls-server-name": name}))
    d = csrd(kubeconfig=str(path), wait=good)
    if good:
        join(api, WORKER, WORKER_IP)
    else:
        d.log_contains("certificate")
        assert api.requests == []


@pytest.mark.parametrize("user, words", [
    ({"exec": {"command": "aws"}}, "exec"), ({"auth-provider": {"name": "gcp"}}, "auth-provider"),
])
def test_programs_are_not_run(api, csrd, tmp_path, user, words):
    path = tmp_path / "kubeconfig"
    api.kubeconfig(str(path))
    edit(path, lambda doc: doc["users"][0].update(user=user))
    d = csrd(kubeconfig=str(path), wait=False)
    d.log_contains(words)
    assert api.requests == []


def test_rotated_credentials_are_taken(api, csrd, tmp_path):
    path = str(tmp_path / "kubeconfig")
    d = csrd(kubeconfig=api.kubeconfig(path))
    api.kubeconfig(path, user="csrd-2")
    d.log_contains("has certificates.k8s.io", since=d.log_position(), timeout=10)
    follows(d)
    client_csr(api, "c", WORKER)
    api.wait_approved("c")
    assert api.approved_by("csrd-2") == ["c"]


def test_a_broken_kubeconfig_leaves_the_old_one(api, csrd, tmp_path):
    path = str(tmp_path / "kubeconfig")
    d = csrd(kubeconfig=api.kubeconfig(path))
    with open(path, "w", encoding="utf-8") as f:
        f.write("clusters: [\n")
    d.log_contains("kubeconfig:", timeout=10)
    client_csr(api, "c", WORKER)
    api.wait_approved("c")


def test_another_ca_is_refused(api, csrd, tmp_path):
    path = api.kubeconfig(str(tmp_path / "kubeconfig"))
    edit(path, lambda doc: doc["clusters"][0]["cluster"].pop("certificate-authority-data"))
    d = csrd(kubeconfig=path, wait=False)
    d.log_contains("certificate")
    assert api.requests == []


# --- the watch -------------------------------------------------------------------------


def test_history_that_is_gone(api, csrd):
    """410 in the stream: the list is read again, nothing is missed or done twice."""
    d = csrd()
    client_csr(api, "one", WORKER)
    api.wait_approved("one")
    api.stop()
    client_csr(api, "two", MASTER)
    api.compact()
    api.start()
    api.wait_approved("two", timeout=15 * SLOW)
    assert d.metrics()['okd_csrd_lists_total{resource="certificatesigningrequests"}'] >= 2
    accounted(api, d)


def test_a_list_that_expires_between_pages(api, csrd, tmp_path):
    for i, pem in enumerate(make_requests(count=450, cn="system:node:no-%d")):
        client_csr(api, f"junk-{i}", "", pem=pem)
    client_csr(api, "zz-last", WORKER)
    api.fault("GET", "continue=", code=410)
    csrd()
    api.wait_approved("zz-last", timeout=10 * SLOW)


def test_bookmarks_and_quiet_ends(api, csrd):
    """The watch's normal end leads to the next one from the last bookmark."""
    api.bookmark_seconds = 0.2
    d = csrd()
    api.put_node(MASTER, [MASTER_IP])
    wait_until(lambda: d.metrics()["okd_csrd_watch_age_seconds"
                                   '{resource="certificatesigningrequests"}'] < 0.5)
    api.compact()  # the watch itself goes on
    client_csr(api, "c", WORKER)
    api.wait_approved("c")


def test_large_objects(api, csrd):
    """Junk of a megabyte each makes the pages smaller, and starves nobody."""
    for i in range(12):
        client_csr(api, f"aa-{i}", WORKER, pem="x" * 900_000)
    if api.turned_away:
        pytest.skip("a real API server reads a request before it takes it")
    client_csr(api, "zz", WORKER)
    d = csrd()
    api.wait_approved("zz", timeout=20 * SLOW)
    client_csr(api, "large", MASTER, pem="x" * 4_000_000)
    client_csr(api, "after", MASTER)
    api.wait_approved("after", timeout=10 * SLOW)
    d.log_contains("is too large and is left alone")


def annotate(api, collection, name, text):
    with api.lock:
        obj = json.loads(json.dumps(collection.objects[name]))
        obj["metadata"]["annotations"] = {"note": text}
        api._change(collection, obj)


def test_a_zero_in_an_annotation_starves_nobody(api, csrd):
    """The API server takes any text there from whoever makes the object, and hands it out
    as \\u0000."""
    client_csr(api, "aa", "no.okd.example.com")
    annotate(api, api.csrs, "aa", "a\0b")
    api.put_node(MASTER, [MASTER_IP])
    annotate(api, api.nodes, MASTER, "a\0b")
    d = csrd()
    assert reason(d, "aa") == "unknown-node"
    client_csr(api, "bb", "no.okd.example.com")
    annotate(api, api.csrs, "bb", "\0")
    annotate(api, api.nodes, MASTER, "\0")
    client_csr(api, "zz", WORKER)
    api.wait_approved("zz", timeout=10 * SLOW)
    annotate(api, api.csrs, "zz", "\0")
    serving_csr(api, "zz-serving", MASTER, MASTER_IP)
    api.wait_approved("zz-serving", timeout=10 * SLOW)


def test_odd_names(api, csrd):
    csrd()
    names = ['q"uote', "a space", "question?mark", "hash#", "colon:plus+", "ümläut", "-v"]
    for name in names:
        client_csr(api, name, WORKER, pem=None if name != names[0] else "junk")
        if name == names[0] and name not in api.turned_away:
            api.delete(api.csrs, name)
    serving = [n + ".s" for n in names]
    api.put_node(MASTER, [MASTER_IP])
    for name in serving:
        serving_csr(api, name, MASTER, MASTER_IP)
    api.wait_approved(*serving, timeout=10 * SLOW)


# --- an upgrade in place ---------------------------------------------------------------


@pytest.mark.skipif(variant.NAME != "release", reason="a sanitizer wants to be loaded first")
def test_a_successor_knows_all_that_was_approved(api, csrd, stall):
    """It has read the audit, and then its predecessor approves a key: what the API server
    does not show yet keeps a second one out all the same."""
    d = csrd(env=stall.env)
    asked, answer = threading.Event(), threading.Event()

    def hold():
        asked.set()
        answer.wait(60)

    api.fault("PUT", "/zz-first/approval", before=hold)
    with stall.upgrade(d):
        client_csr(api, "zz-first", WORKER)
        assert asked.wait(10 * SLOW)
        client_csr(api, "aa-second", WORKER)
        assert reason(d, "aa-second") == "second-key"
    d.log_contains("waits until the process before it has carried out what it decided")
    assert "before it" in d.status()["csrd"]["api"]["trouble"]
    answer.set()
    api.wait_approved("zz-first")
    d.wait_old()
    follows(d)
    assert reason(d, "aa-second") == "second-key"
    client_csr(api, "third", MASTER)
    api.wait_approved("third")
    assert api.approved_by() == ["zz-first", "third"]
    accounted(api, d)


# --- for long --------------------------------------------------------------------------


def chaos(api, d, rounds, rng):
    """Kills and restarts the API server in a quarter of the rounds, cuts connections at
    random bytes, and makes requests all the while, good ones and bad ones."""
    nodes = cluster_of(3, 5)[1]
    good, bad = [], []
    deck = list(range(4)) * (rounds // 4)
    rng.shuffle(deck)
    for i, what in enumerate(deck):
        node, address = nodes[i % len(nodes)]
        if i == len(nodes):
            api.clear_faults()
            api.wait_approved(*good, timeout=60 * SLOW)
            for n, a in nodes:
                api.put_node(n, [a])
        if i < len(nodes):
            good.append(client_csr(api, f"good-{i}", node))
        else:
            good.append(serving_csr(api, f"good-{i}", node, address))
        bad.append(client_csr(api, f"bad-{i}", node, o2="system:masters"))
        if what == 0:
            api.stop()
            if rng.random() < 0.3:
                api.compact()
            api.start()
        elif what == 1:
            api.cut = lambda: rng.choice([None, None, rng.randrange(3000)])
        elif what == 2:
            api.cut = None
            api.fault("", "", code=rng.choice([409, 429, 500, 503]), times=rng.randrange(4))
        else:
            wait_until(lambda: api.is_approved(good[0]), timeout=30)
    api.clear_faults()
    return good, bad


@pytest.mark.threads
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed,rounds", [(1, 40), pytest.param(2, 400, marks=pytest.mark.long)])
def test_chaos(api, csrd, seed, rounds):
    cluster, _ = cluster_of(3, 5)
    d = csrd(cluster=cluster, approvals_per_hour=64)
    good, bad = chaos(api, d, rounds, random.Random(seed))
    api.wait_approved(*good, timeout=60 * SLOW)
    accounted(api, d)
    assert not [b for b in bad if api.conditions(b)]

    def all_settled():
        return {r["outcome"] for r in audit(d) if r["decision"] == "approve"} - {None}

    wait_until(lambda: sum(r["outcome"] == "approved" for r in audit(d)) == len(good),
               what="an outcome of each approval")
    assert all_settled() <= {"approved", "conflict", "failed", "refused", "withdrawn"}


@pytest.mark.timeout(120)
def test_killed_in_the_middle(api, csrd):
    """kill -9 at any time: after the restart each request is approved exactly once, and
    each approval has its row."""
    cluster, nodes = cluster_of(3, 5)
    d = csrd(cluster=cluster, approvals_per_hour=64)
    names = []
    for i, (node, _) in enumerate(nodes):
        api.fault("PUT", "/approval", times=1, before=lambda: d.main.kill(signal.SIGKILL), cut=i * 7 % 50)
        names.append(client_csr(api, f"c-{i}", node))
        d.main.wait(10 * SLOW)
        d.kill9()
        api.clear_faults()
        d.start()
    api.wait_approved(*names, timeout=10 * SLOW)
    follows(d)
    accounted(api, d)
    wait_until(lambda: not [r for r in audit(d)
                            if r["decision"] == "approve" and r["outcome"] is None],
               what="an outcome of each row")


def test_without_audit_nothing_is_approved(api, csrd):
    """A full or broken disk: requests wait, and the state says why."""
    d = csrd()
    with sqlite3.connect(f"{d.state_dir}/audit.db", isolation_level=None, timeout=10) as db:
        db.execute("ALTER TABLE decision RENAME TO elsewhere")
        client_csr(api, "c", WORKER)
        d.log_contains("the audit cannot be written")
        ready = d.admin("/readyz")
        assert ready.status == 503 and "audit" in ready.text
        assert api.approvals == []
        db.execute("ALTER TABLE elsewhere RENAME TO decision")
    api.wait_approved("c", timeout=15 * SLOW)
    accounted(api, d)


def test_a_mode_that_changes_while_the_disk_is_slow(api, csrd, tmp_path):
    """What is not sent yet is decided anew under the mode in force."""
    d = csrd()
    with sqlite3.connect(f"{d.state_dir}/audit.db", isolation_level=None, timeout=10) as db:
        db.execute("BEGIN IMMEDIATE")
        client_csr(api, "c", WORKER)
        wait_until(lambda: [r for r in d.admin("/v1/requests").json()["requests"]
                            if r["state"] == "approving"], what="a decision on its way to disk")
        d.reload({"kubeconfig": str(tmp_path / "kubeconfig"), "require_ticket": "no",
                  "mode": "dry-run"})
        db.execute("COMMIT")
    d.log_contains("c: would be approved")
    wait_until(lambda: [r["outcome"] for r in audit(d) if r["decision"] == "approve"]
               == ["withdrawn"], what="the outcome")
    assert api.seen("PUT", "/approval") == 0 and api.conditions("c") == []


def test_a_damaged_audit_is_named_and_nothing_is_approved(api, csrd):
    """What is held by which key stands there: without it nobody is let in."""
    d = csrd()
    d.stop(check_fds=False)
    with open(f"{d.state_dir}/audit.db", "r+b") as f:
        f.write(b"no database" * 1000)
    client_csr(api, "c", WORKER)
    d.spawn()
    assert "no usable database" in d.wait_exit(1)
    assert api.approvals == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a file system")
def test_on_a_full_disk_nothing_is_approved(api, csrd):
    d = csrd()
    d.stop(check_fds=False)
    with small_disk(d.state_dir, "2m") as fill:
        d.start()
        follows(d)
        # The audit's log of writes has some room of its own.
        fill()
        n = 0
        while d.admin("/readyz").status == 200:
            client_csr(api, f"fill-{n}", f"w{n}.okd.example.com")
            reason(d, f"fill-{n}")
            n += 1
            assert n < 2000
        client_csr(api, "c", WORKER)
        d.log_contains("the audit cannot be written")
        assert api.approvals == []
        fill.empty()
        api.wait_approved("c", timeout=20 * SLOW)
        accounted(api, d)
        d.stop(check_fds=False)


def test_descriptors_do_not_grow(api, csrd):
    d = csrd()
    client_csr(api, "first", WORKER)
    api.wait_approved("first")
    before = len(os.listdir(f"/proc/{d.pid}/fd"))
    for _ in range(15):
        api.stop()
        api.start()
        follows(d)
    assert len(os.listdir(f"/proc/{d.pid}/fd")) <= before + 14
    time_to_stop = time.monotonic()
    d.stop(check_fds=False)
    assert time.monotonic() - time_to_stop < 5 * SLOW
