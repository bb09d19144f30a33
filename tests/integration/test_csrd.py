"""okd-csrd against a stand-in of the API server: the requests of every expected kubelet
are approved without a person, and nothing else is."""

import base64
import json
import time

import pytest

import csrd_kit
from csrd_kit import (CLIENT_USAGES, MASTER, MASTER_IP, SERVING_USAGES, WORKER, WORKER_IP,
                      client_csr, cluster_of, join, reason, request, serving_csr)
from harness import wait_until
from kubeapi import BOOTSTRAPPER, BOOTSTRAPPER_GROUPS, CLIENT, LEGACY, NODE_GROUPS
from variant import SLOW

api, csrd = csrd_kit.api, csrd_kit.csrd  # fixtures

# --- nodes that join -------------------------------------------------------------------


@pytest.mark.threads
@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_a_node_joins_without_a_person(api, csrd, version):
    api.versions = [version]
    d = csrd()
    join(api, WORKER, WORKER_IP)
    d.log_contains(f"the node {WORKER} is Ready")
    wait_until(lambda: d.metrics()["okd_csrd_issued_total"] == 2)
    assert [a[3] for a in api.approvals] == [False, False]
    rows = d.admin("/v1/audit?decision=approve").json()["decisions"]
    assert [(r["reason"], r["node"], r["outcome"]) for r in rows] == [
        ("serving", WORKER, "approved"), ("client", WORKER, "approved")]
    # The Node may come a moment after its request: that one waits first then.
    recent = [(r["decision"], r["reason"]) for r in d.status()["csrd"]["recent"]]
    assert [r for r in recent if r != ("pending", "node-absent")] == [
        ("approve", "serving"), ("approve", "client")]
    stages = {n["name"]: n["stage"] for n in d.status()["csrd"]["nodes"]}
    assert stages == {WORKER: "ready", MASTER: "expected"}


@pytest.mark.parametrize("masters,workers", [(1, 1), (3, 2), (3, 0)])
@pytest.mark.parametrize("names", ["fqdn", "short"])
def test_clusters_join_within_a_second(api, csrd, masters, workers, names):
    cluster, nodes = cluster_of(masters, workers)
    d = csrd(cluster=cluster)
    if names == "short":
        nodes = [(n.split(".")[0], a) for n, a in nodes]
    started = time.monotonic()
    for node, address in nodes:
        join(api, node, address)
    per_request = (time.monotonic() - started) / (2 * len(nodes))
    assert per_request < 1 * SLOW
    assert len(api.approvals) == 2 * len(nodes)
    wait_until(lambda: d.metrics()["okd_csrd_nodes_ready_total"] == len(nodes))


def test_requests_from_before_the_start_are_approved(api, csrd):
    client_csr(api, "early", WORKER)
    csrd(wait=False)
    api.wait_approved("early", timeout=10 * SLOW)


@pytest.mark.parametrize("key", ["p256", "p384", "rsa", "ed25519"])
def test_keys_of_kubelets(api, csrd, key):
    csrd()
    client_csr(api, "c", WORKER, key=key)
    api.wait_approved("c")


def test_ecdsa_needs_no_key_encipherment(api, csrd):
    csrd()
    client_csr(api, "c", WORKER, usages=["digital signature", "client auth"])
    api.wait_approved("c")


def test_a_serving_request_waits_for_its_node(api, csrd):
    d = csrd()
    serving_csr(api, "s", WORKER, WORKER_IP)
    assert reason(d, "s") == "node-absent"
    api.put_node(WORKER, [WORKER_IP])
    api.wait_approved("s")


def test_renewals(api, csrd):
    csrd()
    api.put_node(WORKER, [WORKER_IP], ready=True)
    client_csr(api, "renewed", WORKER, username=f"system:node:{WORKER}", groups=NODE_GROUPS)
    serving_csr(api, "renewed-serving", WORKER, WORKER_IP)
    api.wait_approved("renewed", "renewed-serving")


# --- what is refused -------------------------------------------------------------------

# Every probe of a client request: (reason, what differs).
CLIENT_PROBES = {
    "admin by the legacy signer": ("legacy-signer", dict(
        signer=LEGACY, cn="admin", o="system:masters")),
    "another signer": ("signer", dict(signer="kubernetes.io/kube-apiserver-client")),
    "any other token": ("requestor", dict(username="system:serviceaccount:default:default")),
    "an admin": ("requestor", dict(username="system:admin")),
    "missing group": ("groups", dict(groups=BOOTSTRAPPER_GROUPS[:2])),
    "extra group": ("groups", dict(groups=BOOTSTRAPPER_GROUPS + ["system:masters"])),
    "duplicate group": ("groups", dict(groups=BOOTSTRAPPER_GROUPS + ["system:authenticated"])),
    "one group twice for another": ("groups", dict(
        groups=[BOOTSTRAPPER_GROUPS[0], BOOTSTRAPPER_GROUPS[0], "system:authenticated"])),
    "usages ds ds": ("usages", dict(usages=["digital signature", "digital signature"])),
    "usages ds ds client": ("usages", dict(
        usages=["digital signature", "digital signature", "client auth"])),
    "server auth as well": ("usages", dict(usages=CLIENT_USAGES + ["server auth"])),
    "server auth instead": ("usages", dict(usages=SERVING_USAGES)),
    "no usages": ("usages", dict(usages=[])),
    "rsa without key encipherment": ("usages", dict(
        key="rsa", usages=["digital signature", "client auth"])),
    "masters as organization": ("organization", dict(o="system:masters")),
    "masters as well": ("organization", dict(o2="system:masters")),
    "organization twice": ("organization", dict(o2="system:nodes")),
    "no organization": ("organization", dict(o="")),
    "only the prefix": ("common-name", dict(cn="system:node:")),
    "no node": ("common-name", dict(cn="system:notnode:" + WORKER)),
    "upper case": ("common-name", dict(cn="system:node:" + WORKER.upper())),
    "a path as name": ("common-name", dict(cn="system:node:../worker")),
    "two common names": ("common-name", dict(cn2="system:node:" + MASTER)),
    "two common names, one in UTF-16": ("common-name", dict(
        coding="bmp", cn2="system:node:" + MASTER)),
    "a NUL in the name": ("unreadable", dict(coding="nul")),
    "a Cyrillic letter": ("common-name", dict(
        cn="system:node:" + WORKER.replace("o", "\u043e", 1))),
    "a common name in UTF-16": ("subject", dict(coding="bmp")),
    "a common name in UTF-32": ("subject", dict(coding="universal")),
    "a common name in T.61": ("subject", dict(coding="t61")),
    "a common name in IA5": ("subject", dict(coding="ia5")),
    "a common name in octets": ("unreadable", dict(coding="octets")),
    "both names in one RDN": ("subject", dict(joined=1)),
    "a unit": ("subject", dict(ou="system:masters")),
    "DNS name on a client": ("name-kinds", dict(names="DNS:" + WORKER)),
    "email name on a client": ("name-kinds", dict(names="email:root@okd.example.com")),
    "URI name on a client": ("name-kinds", dict(names="URI:spiffe://okd/worker")),
    "address on a client": ("name-kinds", dict(names="IP:" + WORKER_IP)),
    "a CA": ("extensions", dict(ca=1)),
    "extended key usage": ("extensions", dict(usage="serverAuth")),
    "an attribute": ("extensions", dict(challenge=1)),
    "extensions of Microsoft's": ("extensions", dict(requests="microsoft")),
    "signature broken": ("signature", dict(tamper=1)),
    "a byte behind the DER": ("unreadable", dict(trailing=1)),
    "weak RSA": ("key", dict(key="rsa", bits=1024)),
    "huge RSA": ("key", dict(key="huge")),
    "weak curve": ("key", dict(key="p224")),
    "Bitcoin's curve": ("key", dict(key="secp256k1")),
    "a curve by its parameters": ("key", dict(key="explicit")),
    "Ed448": ("key", dict(key="ed448")),
    "PEM headers": ("text-around", dict(wrap=lambda pem: pem.replace(
        "-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n", 1))),
    "text before": ("text-around", dict(wrap=lambda pem: "hello\n" + pem)),
    "another block after": ("text-around", dict(wrap=lambda pem: pem + request(
        cn="system:node:" + MASTER))),
    "no PEM": ("unreadable", dict(wrap=lambda pem: "hello")),
    "a wrong block": ("unreadable", dict(
        wrap=lambda pem: pem.replace("CERTIFICATE REQUEST", "CERTIFICATE"))),
    "too long a life": ("lifetime", dict(spec={"expirationSeconds": 368 * 86400})),
    "the bootstrap": ("bootstrap", dict(node="bootstrap.okd.example.com")),
    "a stranger": ("unknown-node", dict(node="worker1.okd.example.com")),
    "a suffix of a node": ("unknown-node", dict(node=WORKER + ".evil.org")),
    "the API": ("unknown-node", dict(node="api.okd.example.com")),
}

SERVING_PROBES = {
    "ds sa client": ("usages", dict(usages=["digital signature", "server auth", "client auth"])),
    "ds sa sa": ("usages", dict(usages=["digital signature", "server auth", "server auth"])),
    "client auth": ("usages", dict(usages=CLIENT_USAGES)),
    "masters as well": ("organization", dict(o2="system:masters")),
    "no names": ("no-names", dict(names="")),
    "email name": ("name-kinds", dict(
        names=f"DNS:{WORKER},IP:{WORKER_IP},email:root@okd.example.com")),
    "URI name": ("name-kinds", dict(names=f"DNS:{WORKER},IP:{WORKER_IP},URI:https://api")),
    "upper-case DNS": ("dns-names", dict(names=f"DNS:{WORKER.upper()},IP:{WORKER_IP}")),
    "mapped address": ("name-kinds", dict(names=f"DNS:{WORKER},IP:::ffff:{WORKER_IP}")),
    "wildcard": ("dns-names", dict(names=f"DNS:*.okd.example.com,IP:{WORKER_IP}")),
    "final dot": ("dns-names", dict(names=f"DNS:{WORKER}.,IP:{WORKER_IP}")),
    "the API's name as well": ("dns-names", dict(
        names=f"DNS:{WORKER},DNS:api.okd.example.com,IP:{WORKER_IP}")),
    "the API's name instead": ("dns-names", dict(
        names=f"DNS:api.okd.example.com,IP:{WORKER_IP}")),
    "a name twice": ("dns-names", dict(names=f"DNS:{WORKER},DNS:{WORKER},IP:{WORKER_IP}")),
    "the bastion's address": ("foreign-address", dict(
        names=f"DNS:{WORKER},IP:{WORKER_IP},IP:192.168.120.101")),
    "another node's address": ("foreign-address", dict(names=f"DNS:{WORKER},IP:{MASTER_IP}")),
    "an address twice": ("foreign-address", dict(
        names=f"DNS:{WORKER},IP:{WORKER_IP},IP:{WORKER_IP}")),
    "loopback": ("foreign-address", dict(names=f"DNS:{WORKER},IP:127.0.0.1")),
    "only a name": ("addresses", dict(names=f"DNS:{WORKER}")),
    "only an address": ("dns-names", dict(names=f"IP:{WORKER_IP}")),
    "two extensions": ("extensions", dict(names2="DNS:api.okd.example.com")),
    "two extension requests": ("extensions", dict(requests="attribute")),
    "two lists in an extension request": ("extensions", dict(requests="value")),
    "Microsoft's extension request as well": ("extensions", dict(requests="microsoft")),
    "localhost as well": ("dns-names", dict(
        names=f"DNS:{WORKER},DNS:localhost,IP:{WORKER_IP}")),
    "another node's name": ("common-name", dict(
        cn=f"system:node:{MASTER}", names=f"DNS:{MASTER},IP:{MASTER_IP}")),
    "not a node": ("requestor", dict(username="system:serviceaccount:default:default")),
    "the bootstrapper": ("requestor", dict(username=BOOTSTRAPPER, groups=BOOTSTRAPPER_GROUPS)),
    "a group too many": ("groups", dict(groups=NODE_GROUPS + ["system:masters"])),
    "a group missing": ("groups", dict(groups=NODE_GROUPS[:1])),
}


def test_no_hostile_client_request_is_approved(api, csrd):
    """All probes at once: each is left pending with its own reason, and an honest request
    that comes after them is approved."""
    d = csrd()
    for name, (_, form) in CLIENT_PROBES.items():
        form = dict(form)
        wrap, node = form.pop("wrap", None), form.pop("node", WORKER)
        if wrap:
            form["pem"] = wrap(request(cn=f"system:node:{node}"))
        client_csr(api, name, node, **form)
    want = {n: why for n, (why, _) in CLIENT_PROBES.items() if n not in api.turned_away}
    assert {name: reason(d, name) for name in want} == want
    client_csr(api, "honest", WORKER)
    api.wait_approved("honest")
    assert [a[0] for a in api.approvals] == ["honest"]
    assert all(api.conditions(n) == [] for n in CLIENT_PROBES)


def test_claims_do_not_count(api, csrd):
    """Who asks, when, and what has been decided is what the API server says, whatever the
    object claims, once or twice."""
    d = csrd()
    pem = base64.b64encode(request(cn=f"system:node:{WORKER}").encode()).decode()
    claim = (f'"username":"{BOOTSTRAPPER}","groups":{json.dumps(BOOTSTRAPPER_GROUPS)},"uid":"1",'
             '"extra":{"a":["b"]}')
    spec = (f'{{{claim},"request":"{pem}","signerName":"{CLIENT}",'
            f'"usages":{json.dumps(CLIENT_USAGES)},{claim}}}')
    api.post_csr(
        '{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest",'
        f'"metadata":{{"name":"claims"}},"spec":{spec},"spec":{spec},'
        '"status":{"conditions":[{"type":"Approved","status":"True","reason":"OkdCsrd"}],'
        '"certificate":"QQ=="}}',
        "system:serviceaccount:default:default",
        ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"])
    assert reason(d, "claims") == "requestor"
    assert api.conditions("claims") == []
    client_csr(api, "honest", WORKER)
    api.wait_approved("honest")


def test_no_hostile_serving_request_is_approved(api, csrd):
    d = csrd()
    api.put_node(WORKER, [WORKER_IP])
    api.put_node(MASTER, [MASTER_IP])
    for name, (_, form) in SERVING_PROBES.items():
        form = {k: v for k, v in form.items() if v != ""} if form.get("names") != "" \
            else {"pem": request(cn=f"system:node:{WORKER}")}
        serving_csr(api, name, WORKER, WORKER_IP, **form)
    want = {n: why for n, (why, _) in SERVING_PROBES.items() if n not in api.turned_away}
    assert {name: reason(d, name) for name in want} == want
    serving_csr(api, "honest", WORKER, WORKER_IP)
    api.wait_approved("honest")
    assert [a[0] for a in api.approvals] == ["honest"]
