"""For the tests of okd-csrd: requests as kubelets make them, the fixtures api and csrd, and
what the daemon and its audit say.  Test files take the fixtures over by assignment."""

import json
import os
import sqlite3
import subprocess

import pytest

import kubereal
from harness import example_cluster, wait_until
from kubeapi import BOOTSTRAPPER, BOOTSTRAPPER_GROUPS, CLIENT, NODE_GROUPS, SERVING, KubeApi
from variant import BUILD, SLOW

CSRGEN = os.path.join(BUILD, "tests", "tools", "csrd", "csrgen")
CLIENT_USAGES = ["digital signature", "key encipherment", "client auth"]
SERVING_USAGES = ["digital signature", "key encipherment", "server auth"]
WORKER, WORKER_IP = "worker.okd.example.com", "192.168.120.104"
MASTER, MASTER_IP = "master.okd.example.com", "192.168.120.103"


def make_requests(**form):
    """PEM texts of certificate requests; see tests/tools/csrd/csrgen.c."""
    args = [f"{k}={v}" for k, v in form.items()]
    out = subprocess.run([CSRGEN, *args], check=True, capture_output=True).stdout
    return json.loads(out)


def request(**form):
    return make_requests(**form)[0]


def client_csr(api, name, node, created=None, pem=None, username=BOOTSTRAPPER,
               groups=BOOTSTRAPPER_GROUPS, usages=CLIENT_USAGES, signer=CLIENT, spec=None,
               **form):
    pem = pem or request(**{"cn": f"system:node:{node}", **form})
    return api.create_csr(name, pem, signer, usages, username, groups, created, **(spec or {}))


def serving_csr(api, name, node, address, pem=None, username=None, groups=NODE_GROUPS,
                usages=SERVING_USAGES, signer=SERVING, spec=None, **form):
    form = {"cn": f"system:node:{node}", "names": f"DNS:{node},IP:{address}", **form}
    return api.create_csr(name, pem or request(**form), signer, usages,
                          username or f"system:node:{node}", groups, **(spec or {}))


def join(api, node, address, tag=""):
    """What a kubelet does: two certificates, a Node in between."""
    client_csr(api, f"csr-client-{node}{tag}", node)
    api.wait_approved(f"csr-client-{node}{tag}", timeout=5 * SLOW)
    api.put_node(node, [address])
    serving_csr(api, f"csr-serving-{node}{tag}", node, address)
    api.wait_approved(f"csr-serving-{node}{tag}", timeout=5 * SLOW)
    api.put_node(node, [address], ready=True)


@pytest.fixture
def api(tmp_path):
    """The stand-in; in `make check-kube` the real one."""
    with (kubereal.RealKube if kubereal.FOLDER else KubeApi)(str(tmp_path)) as server:
        yield server


@pytest.fixture
def csrd(api, daemon, tmp_path):
    """csrd(mode="ask", ...) starts one with a kubeconfig of the shipped role."""

    def start(cluster=None, rights=None, kubeconfig=None, wait=True, wrapper=(), env=None,
              **config):
        path = kubeconfig or api.kubeconfig(str(tmp_path / "kubeconfig"), rights=rights)
        # Connections to the API server are kept: test_restarts counts descriptors.
        d = daemon("csrd", {"kubeconfig": path, "require_ticket": "no", **config}, cluster,
                   check_fds=False, wrapper=wrapper, env=env)
        if wait:
            follows(d)
        return d

    return start


def follows(d):
    wait_until(lambda: d.status()["csrd"]["api"]["following"], what="the watches")


def reason(d, name):
    """Why a request was left pending, once the daemon has said so."""

    def find():
        for r in d.admin("/v1/requests?all=1").json()["requests"]:
            if r["name"] == name and "reason" in r:
                return r["reason"]
        return None

    return wait_until(find, what=f"a decision over {name}")


def cluster_of(masters, workers, v6=False):
    """An example cluster of that size, and its nodes as (name, address)."""
    c = example_cluster()
    nodes = [(f"master-{i}", "master", f"192.168.120.{110 + i}") for i in range(masters)]
    nodes += [(f"worker-{i}", "worker", f"192.168.120.{120 + i}") for i in range(workers)]
    c["nodes"] = [{"name": "bootstrap", "role": "bootstrap", "address": "192.168.120.102"}]
    c["nodes"] += [{"name": n, "role": r, "address": a} for n, r, a in nodes]
    return c, [(f"{n}.okd.example.com", a) for n, _, a in nodes]


def audit(d):
    """The rows of the audit, read from its file."""
    with sqlite3.connect(f"file:{d.state_dir}/audit.db?mode=ro", uri=True) as db:
        db.row_factory = sqlite3.Row
        return [dict(r) for r in db.execute("SELECT * FROM decision ORDER BY id")]


def accounted(api, d):
    """Every approval by the daemon has one approve row of the same request, and nothing
    was approved twice."""
    mine = [(name, uid) for name, uid, user, _ in api.approvals if user == "okd-csrd"]
    assert not [a for a in api.approvals if a[3]], "approved what was approved"
    assert len(set(mine)) == len(mine), "approved twice"
    rows = {(r["csr"], r["uid"]) for r in audit(d) if r["decision"] == "approve"}
    assert set(mine) <= rows, f"without a row: {set(mine) - rows}"
