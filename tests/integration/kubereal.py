"""The real kube-apiserver and kube-controller-manager in the place of kubeapi's stand-in.

`make check-kube` builds them from the distribution's source package and names their folder
in OKD_KUBE; the fixture api of csrd_kit is a RealKube then, and the tests of okd-csrd run
against it.  A test that uses what only the stand-in has (faults on demand, forged times) is
skipped with that reason.  One API server, one etcd for all tests of a run; what a test
made is deleted before the next.

Requests are created by the API server itself on behalf of whomever a test names
(impersonation), so what it refuses, or will not let anybody claim, cannot be an attack
upon okd-csrd: turned_away says which and why.
"""

import atexit
import base64
import contextlib
import http.client
import json
import os
import ssl
import subprocess
import tempfile
import urllib.parse

import pytest
import yaml

from etcd import Etcd
from harness import free_port, wait_until
from kubeapi import CSRD_RIGHTS, b64file
from kubewire import Pki, Refused, rfc3339
from variant import BUILD, SLOW

FOLDER = os.environ.get("OKD_KUBE", "")
CERTIFICATES = "/apis/certificates.k8s.io/{}/certificatesigningrequests"
NODES = "/api/v1/nodes"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
SERVICE_ACCOUNT = "system:serviceaccount:okd-bastion:okd-csrd"
AUDIT = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: RequestResponse
  verbs: [update]
  resources: [{group: certificates.k8s.io, resources: [certificatesigningrequests/approval]}]
- level: None
"""


def stop(process):
    if process.poll() is None:
        process.kill()
    process.wait(20)


class Cluster:
    """The processes, started once."""

    def __init__(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="okd-kube-")
        self.dir = self.temporary.name
        self.pki = Pki(self.path("pki"))
        self.pki.issue("admin", "/O=system:masters/CN=system:admin")
        subprocess.run(["openssl", "genrsa", "-out", self.path("sa.key"), "2048"], check=True,
                       capture_output=True)
        with open(self.path("audit.yaml"), "w", encoding="utf-8") as f:
            f.write(AUDIT)
        self.context = ssl.create_default_context(cafile=self.pki.ca)
        self.context.load_cert_chain(self.pki.path("admin.crt"), self.pki.path("admin.key"))
        self.port = free_port(hold=False)
        self.etcd = Etcd(self.path("etcd"))
        atexit.register(self.end)
        self.server = self.controllers = None
        self.start()
        self.write_kubeconfig()
        self.controllers = self.run(
            "kube-controller-manager", "--kubeconfig", self.path("admin.kubeconfig"),
            "--controllers=csrsigning,serviceaccount-token", "--leader-elect=false",
            "--cluster-signing-cert-file", self.pki.ca, "--cluster-signing-key-file",
            self.pki.ca_key, "--service-account-private-key-file", self.path("sa.key"),
            "--root-ca-file", self.pki.ca, "--port=0", "--secure-port=0")
        self.grant()

    def path(self, name):
        return os.path.join(self.dir, name)

    def run(self, program, *args):
        with open(self.path(program + ".log"), "ab") as log:
            # pylint: disable=consider-using-with
            return subprocess.Popen([os.path.join(FOLDER, program), *args], stdout=log,
                                    stderr=log, stdin=subprocess.DEVNULL)

    def start(self):
        self.server = self.run(
            "kube-apiserver", "--etcd-servers", self.etcd.urls[0], "--bind-address=127.0.0.1",
            f"--secure-port={self.port}", "--tls-cert-file", self.pki.path("server.crt"),
            "--tls-private-key-file", self.pki.path("server.key"), "--client-ca-file",
            self.pki.ca, "--service-account-key-file", self.path("sa.key"),
            "--service-account-signing-key-file", self.path("sa.key"),
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/16", "--authorization-mode=Node,RBAC",
            "--disable-admission-plugins=ServiceAccount", "--audit-policy-file",
            self.path("audit.yaml"), "--audit-log-path", self.path("audit.log"),
            "--audit-log-mode=blocking", "--cert-dir", self.path("run"))
        wait_until(self.ready, timeout=120, what="kube-apiserver")

    def ready(self):
        if self.server.poll() is not None:
            with open(self.path("kube-apiserver.log"), encoding="utf-8") as f:
                raise RuntimeError("kube-apiserver ended: " + f.read()[-4000:])
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.ask("GET", "/readyz", expect=(200, 401, 403, 500)) == "ok"
        return False

    def end(self):
        for p in (self.controllers, self.server):
            if p:
                stop(p)
        self.etcd.stop()
        self.temporary.cleanup()

    def ask(self, method, path, body=None, user=None, groups=(), expect=()):
        """The answer, parsed where it is JSON; Refused for a status from 400 on that is
        not expected."""
        headers = {"Content-Type": "application/json"}
        c = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30,
                                        context=self.context)
        try:
            c.putrequest(method, path)
            for k, v in headers.items():
                c.putheader(k, v)
            if user:
                c.putheader("Impersonate-User", user)
                for g in groups:
                    c.putheader("Impersonate-Group", g)
            text = body if isinstance(body, str) else json.dumps(body)
            data = b"" if body is None else text.encode()
            c.putheader("Content-Length", str(len(data)))
            c.endheaders(data)
            r = c.getresponse()
            text = r.read().decode()
        finally:
            c.close()
        if r.status >= 400 and r.status not in expect:
            with contextlib.suppress(ValueError):
                text = json.loads(text).get("message", text)
            raise Refused(r.status, "Refused", text)
        return json.loads(text) if text.startswith("{") else text

    def put(self, path, doc):
        """Creates, or replaces what is there."""
        try:
            return self.ask("POST", path, doc)
        except Refused as e:
            if e.code != 409:
                raise
        return self.ask("PUT", f"{path}/{doc['metadata']['name']}", doc)

    def write_kubeconfig(self):
        doc = kubeconfig(f"https://127.0.0.1:{self.port}", self.pki, "system:admin", {
            "client-certificate": self.pki.path("admin.crt"),
            "client-key": self.pki.path("admin.key")})
        with open(self.path("admin.kubeconfig"), "w", encoding="utf-8") as f:
            json.dump(doc, f)

    def grant(self):
        """The shipped manifest as it is; and anybody may ask for anything, as the worst of
        clusters would let them."""
        out = subprocess.run([os.path.join(BUILD, "okd-csrd"), "--print-rbac"], check=True,
                             capture_output=True).stdout
        where = {"Namespace": "/api/v1/namespaces",
                 "ServiceAccount": "/api/v1/namespaces/okd-bastion/serviceaccounts",
                 "Secret": "/api/v1/namespaces/okd-bastion/secrets",
                 "ClusterRole": RBAC + "/clusterroles",
                 "ClusterRoleBinding": RBAC + "/clusterrolebindings"}
        for doc in yaml.safe_load_all(out):
            self.put(where[doc["kind"]], doc)
        self.allow("anybody", [("create", "certificates.k8s.io", "certificatesigningrequests",
                                None)], {"kind": "Group", "name": "system:authenticated"})

    def allow(self, name, rights, subject):
        rules = [{"verbs": [v], "apiGroups": [g], "resources": [r],
                  **({"resourceNames": [n]} if n else {})} for v, g, r, n in rights]
        group = "rbac.authorization.k8s.io"
        self.put(RBAC + "/clusterroles", {
            "apiVersion": group + "/v1", "kind": "ClusterRole", "metadata": {"name": name},
            "rules": rules})
        self.put(RBAC + "/clusterrolebindings", {
            "apiVersion": group + "/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": group, **subject}]})

    def token(self):
        """What the manifest's comment reads from the secret."""

        def secret():
            doc = self.ask("GET", "/api/v1/namespaces/okd-bastion/secrets/okd-csrd")
            return doc.get("data", {}).get("token")

        return base64.b64decode(wait_until(secret, timeout=60, what="the token")).decode()

    def approvals(self, since):
        """(name, uid, user, again) of the audit log's accepted approvals."""
        out, uids = [], set()
        if not os.path.exists(self.path("audit.log")):
            return out
        with open(self.path("audit.log"), encoding="utf-8") as f:
            f.seek(since)
            for line in f:
                e = json.loads(line)
                if e["stage"] != "ResponseComplete" or e["responseStatus"]["code"] != 200:
                    continue
                obj = e["responseObject"]
                types = [c["type"] for c in obj["status"].get("conditions", [])]
                if "Approved" not in types:
                    continue
                user = e.get("impersonatedUser", e["user"])["username"]
                user = "okd-csrd" if user == SERVICE_ACCOUNT else user
                uid = obj["metadata"]["uid"]
                out.append((obj["metadata"]["name"], uid, user, uid in uids))
                uids.add(uid)
        return out


def kubeconfig(server, pki, user, auth):
    return {"apiVersion": "v1", "kind": "Config", "current-context": "okd",
            "clusters": [{"name": "okd", "cluster": {
                "server": server, "certificate-authority-data": b64file(pki.ca)}}],
            "users": [{"name": user, "user": auth}],
            "contexts": [{"name": "okd", "context": {"cluster": "okd", "user": user}}]}


cluster = None


class RealKube:
    """As much of KubeApi as a real API server can be."""

    def __init__(self, folder):
        global cluster
        if not os.access(os.path.join(FOLDER, "kube-apiserver"), os.X_OK):
            pytest.skip(f"kube-apiserver could not be built: see {FOLDER}/../why")
        cluster = cluster or Cluster()
        self.folder, self.cluster = folder, cluster
        self.pki = cluster.pki
        self.csrs, self.nodes = CERTIFICATES.format("v1"), NODES
        self.turned_away = {}
        self.stopped = False
        self.since = 0
        for path in (self.csrs, self.nodes):
            cluster.ask("DELETE", path)
        with contextlib.suppress(FileNotFoundError):
            self.since = os.path.getsize(cluster.path("audit.log"))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.stopped:
            self.start()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        pytest.skip(f"a real API server has no {name} on demand")

    def __setattr__(self, name, value):
        if name == "versions" and "v1" in value:
            return  # both are served, and okd-csrd takes the newer one
        if name in ("versions", "issue", "bookmark_seconds", "cut"):
            pytest.skip(f"a real API server has no {name} on demand")
        object.__setattr__(self, name, value)

    @property
    def url(self):
        return f"https://127.0.0.1:{self.cluster.port}"

    @property
    def port(self):
        return self.cluster.port

    @property
    def approvals(self):
        return self.cluster.approvals(self.since)

    def approved_by(self, user="okd-csrd"):
        return [a[0] for a in self.approvals if a[2] == user]

    def stop(self):
        stop(self.cluster.server)
        self.stopped = True

    def start(self):
        self.cluster.start()
        self.stopped = False

    def kubeconfig(self, path, user="okd-csrd", rights=None, token=False, embed=True):
        if rights is None and user == "okd-csrd" and embed:
            auth = {"token": self.cluster.token()}
        elif token or not embed:
            pytest.skip("that form of credentials is the stand-in's")
        else:
            crt, key = self.pki.issue(user.replace(":", "-"), f"/O=okd/CN={user}")
            auth = {"client-certificate-data": b64file(crt), "client-key-data": b64file(key)}
            self.cluster.allow(f"test-{user.replace(':', '-')}", rights or CSRD_RIGHTS,
                               {"kind": "User", "name": user})
        with open(path + ".tmp", "w", encoding="utf-8") as f:
            json.dump(kubeconfig(self.url, self.pki, user, auth), f)
        os.rename(path + ".tmp", path)
        return path

    def create_csr(self, name, pem, signer, usages, username, groups, created=None, **spec):
        if created or self.stopped:
            pytest.skip("a real API server sets the time, and is asked when it runs")
        why = None
        if "system:authenticated" not in groups or len(set(groups)) != len(groups):
            why = "the API server itself makes the groups of whoever asks"
        elif "expirationSeconds" in spec:
            why = "1.20 drops expirationSeconds"
        pem = pem.encode() if isinstance(pem, str) else pem
        doc = {"apiVersion": "certificates.k8s.io/v1beta1", "kind": "CertificateSigningRequest",
               "metadata": {"name": name},
               "spec": {"request": base64.b64encode(pem).decode(), "signerName": signer,
                        "usages": list(usages), **spec}}
        try:
            if not why:
                self.cluster.ask("POST", CERTIFICATES.format("v1beta1"), doc, username, groups)
        except Refused as e:
            why = f"{e.code} {e.message}"
        if why:
            self.turned_away[name] = why
        return name

    def post_csr(self, text, username, groups):
        self.cluster.ask("POST", self.csrs, text, username, groups)

    def put_node(self, name, addresses=(), ready=False):
        doc = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
        with contextlib.suppress(Refused):  # it is there already
            self.cluster.ask("POST", NODES, doc)
        doc["status"] = {
            "addresses": [{"type": "InternalIP", "address": a} for a in addresses]
            + [{"type": "Hostname", "address": name}],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False",
                            "reason": "Test", "lastTransitionTime": rfc3339()}]}
        self.cluster.ask("PUT", f"{NODES}/{name}/status", doc)

    def delete(self, path, name):
        self.cluster.ask("DELETE", f"{path}/{urllib.parse.quote(name, safe='')}")

    def conditions(self, name):
        doc = self.cluster.ask("GET", f"{self.csrs}/{urllib.parse.quote(name, safe='')}",
                               expect=(404,))
        # 404 comes with an object whose status is a word.
        status = doc["status"] if doc["kind"] != "Status" else {}
        return [c["type"] for c in status.get("conditions", [])]

    def is_approved(self, name):
        return "Approved" in self.conditions(name)

    def wait(self, predicate, timeout=5.0):
        return wait_until(lambda: predicate(self), max(timeout, 20) * SLOW)

    def wait_approved(self, *names, timeout=5.0):
        assert self.wait(lambda api: all(api.is_approved(n) for n in names), timeout), \
            f"not approved: {[n for n in names if not self.is_approved(n)]}"

    def approve(self, user, version, name, body):
        path = f"{CERTIFICATES.format(version)}/{urllib.parse.quote(name, safe='')}"
        doc = self.cluster.ask("GET", path)
        doc["status"]["conditions"] = [{"reason": "Test", **c}
                                       for c in body["status"]["conditions"]]
        return self.cluster.ask("PUT", path + "/approval", doc, user,
                                ["system:masters", "system:authenticated"])
