"""A stand-in for kube-apiserver as far as okd-csrd, kubectl and the tests need it.

certificates.k8s.io in v1 and v1beta1, nodes, SelfSubjectAccessReview and discovery, over
TLS with client certificates or tokens: what is answered, and with which code, follows
what kube-apiserver 1.20 was observed to do.  Lists come in pages, watches in chunks with
bookmarks, an old resourceVersion gives 410 in the stream.  On top of that, faults on
demand: answers by rule, connections cut after so many bytes, stop and start.

    with KubeApi(folder) as api:
        api.kubeconfig(path)
        api.create_csr("csr-1", pem, SERVING, [...], "system:node:worker", [...])
        api.wait_approved("csr-1")
"""

import base64
import bisect
import http.client
import http.server
import json
import os
import random
import re
import ssl
import threading
import time
import urllib.parse
import uuid

from kubewire import (Cutter, Fault, Pki, Refused, protobuf_csr, protobuf_review, reset,
                      rfc3339)

CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING = "kubernetes.io/kubelet-serving"
LEGACY = "kubernetes.io/legacy-unknown"
GROUP = "certificates.k8s.io"
BOOTSTRAPPER = "system:serviceaccount:openshift-machine-config-operator:node-bootstrapper"
BOOTSTRAPPER_GROUPS = [
    "system:serviceaccounts",
    "system:serviceaccounts:openshift-machine-config-operator",
    "system:authenticated",
]
NODE_GROUPS = ["system:nodes", "system:authenticated"]
TERMINAL = ("Approved", "Denied", "Failed")
RFC3339 = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")

# What the shipped role allows, as (verb, group, resource, name or None for any).
CSRD_RIGHTS = [
    *[(verb, GROUP, "certificatesigningrequests", None) for verb in ("get", "list", "watch")],
    ("update", GROUP, "certificatesigningrequests/approval", None),
    ("approve", GROUP, "signers", CLIENT),
    ("approve", GROUP, "signers", SERVING),
    *[(verb, "", "nodes", None) for verb in ("get", "list", "watch")],
]
ADMIN = [("*", "*", "*", None)]


class Collection:
    """Objects of one kind with their history; the lock is the server's."""

    def __init__(self, kind):
        self.kind = kind
        self.objects = {}
        self.events = []  # (resourceVersion, type, object)
        self.compacted = 0
        self.texts = {}  # of objects, by name: (resourceVersion, JSON)

    def text(self, obj):
        """An object's JSON, which is made once for each of its versions."""
        name, version = obj["metadata"]["name"], obj["metadata"]["resourceVersion"]
        if self.texts.get(name, ("",))[0] != version:
            self.texts[name] = (version, json.dumps(obj).encode())
        return self.texts[name][1]

    def since(self, version):
        """The events after version, looked for from the end."""
        i = len(self.events)
        while i and self.events[i - 1][0] > version:
            i -= 1
        return self.events[i:]


class KubeApi:
    def __init__(self, folder, versions=("v1beta1", "v1"), issue=True):
        self.pki = Pki(os.path.join(folder, "pki"))
        self.folder = folder
        self.versions = list(versions)
        self.issue = issue  # whether approved requests get their certificate
        self.bookmark_seconds = 60
        self.lock = threading.Condition()
        self.version = 1000
        self.csrs = Collection("CertificateSigningRequest")
        self.nodes = Collection("Node")
        self.users = {"system:admin": ADMIN}  # rights by user name
        self.tokens = {}  # token -> (user, groups)
        self.faults = []
        self.cut = None  # callable: bytes until the connection is cut, or None
        self.approvals = []  # (name, uid, user, again) of each accepted approval
        self.requests = []  # (method, path, status)
        self.turned_away = {}  # what a real one does not let anybody create: see kubereal
        self.server = self.port = None
        self.connections = set()

    # -- life

    def context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pki.path("server.crt"), self.pki.path("server.key"))
        context.load_verify_locations(self.pki.ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def start(self):
        self.server = Server(self, self.context(), self.port or 0)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever,
                                       kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()
        return self

    def stop(self):
        """As kill -9 would: every connection is reset."""
        if not self.server:
            return
        server, self.server = self.server, None
        server.stopping = True
        server.shutdown()
        server.server_close()
        self.thread.join()
        for sock in list(self.connections):
            reset(sock)
        with self.lock:
            self.lock.notify_all()

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    # -- for tests

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}"

    def kubeconfig(self, path, user="okd-csrd", rights=None, token=False, embed=True):
        """Writes a kubeconfig for user, who gets these rights."""
        self.users[user] = CSRD_RIGHTS if rights is None else rights
        cluster = {"server": self.url}
        if token:
            secret = f"token-{user}"
            self.tokens[secret] = (user, ["system:authenticated"])
            auth = {"token": secret}
        else:
            crt, key = self.pki.issue(user.replace(":", "-"), f"/O=okd/CN={user}")
            auth = {"client-certificate": crt, "client-key": key}
        if embed:
            cluster["certificate-authority-data"] = b64file(self.pki.ca)
            for k in ("client-certificate", "client-key"):
                if k in auth:
                    auth[f"{k}-data"] = b64file(auth.pop(k))
        else:
            cluster["certificate-authority"] = self.pki.ca
        doc = {"apiVersion": "v1", "kind": "Config", "current-context": "okd",
               "clusters": [{"name": "okd", "cluster": cluster}],
               "users": [{"name": user, "user": auth}],
               "contexts": [{"name": "okd", "context": {"cluster": "okd", "user": user}}]}
        tmp = f"{path}.tmp"
        with open(tmp, "w", encoding="utf-8") as f:
            json.dump(doc, f)
        os.rename(tmp, path)
        return path

    def create_csr(self, name, pem, signer, usages, username, groups, created=None, **spec):
        if isinstance(pem, str):
            pem = pem.encode()
        obj = {"metadata": {"name": name, "creationTimestamp": rfc3339(created),
                            "managedFields": [{"manager": "kubelet", "operation": "Update"}]},
               "spec": {"request": base64.b64encode(pem).decode(), "signerName": signer,
                        "usages": list(usages), "username": username, "uid": "",
                        "groups": list(groups), **spec},
               "status": {}}
        with self.lock:
            self._add(self.csrs, obj)
        return name

    def post_csr(self, text, username, groups):
        """Makes an object of any text by way of the API, as that user."""
        self.tokens["poster"] = (username, list(groups))
        self.users.setdefault(username, [("create", GROUP, "certificatesigningrequests", None)])
        c = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30,
                                        context=ssl.create_default_context(cafile=self.pki.ca))
        c.request("POST", f"/apis/{GROUP}/{self.versions[-1]}/certificatesigningrequests", text,
                  {"Authorization": "Bearer poster", "Content-Type": "application/json"})
        r = c.getresponse()
        assert r.status == 201, r.read()
        c.close()

    def put_node(self, name, addresses=(), ready=False):
        condition = {"type": "Ready", "status": "True" if ready else "False",
                     "lastTransitionTime": rfc3339()}
        obj = {"metadata": {"name": name, "creationTimestamp": rfc3339()},
               "spec": {},
               "status": {"addresses": [{"type": "InternalIP", "address": a} for a in addresses]
                          + [{"type": "Hostname", "address": name}],
                          "conditions": [condition]}}
        with self.lock:
            if name in self.nodes.objects:
                old = self.nodes.objects[name]
                obj["metadata"] = {k: old["metadata"][k]
                                   for k in ("name", "uid", "creationTimestamp")}
                before = old["status"]["conditions"][0]
                if before["status"] == condition["status"]:
                    condition["lastTransitionTime"] = before["lastTransitionTime"]
                self._change(self.nodes, obj)
            else:
                self._add(self.nodes, obj)

    def delete(self, collection, name):
        with self.lock:
            obj = collection.objects.pop(name)
            self.version += 1
            obj = json.loads(json.dumps(obj))
            obj["metadata"]["resourceVersion"] = str(self.version)
            collection.events.append((self.version, "DELETED", obj))
            self.lock.notify_all()

    def compact(self):
        """Forgets the history: every watch from before gets 410."""
        with self.lock:
            self.version += 1
            for c in (self.csrs, self.nodes):
                c.events.clear()
                c.compacted = self.version

    def fault(self, method="", path="", code=None, cut=None, times=1, before=None, **headers):
        def fits(m, p):
            return m.startswith(method) and path in p

        with self.lock:
            self.faults.append(Fault(fits, code, cut, times, before,
                                     {k.replace("_", "-"): v for k, v in headers.items()}))

    def clear_faults(self):
        with self.lock:
            self.faults.clear()
            self.cut = None

    def conditions(self, name):
        with self.lock:
            obj = self.csrs.objects.get(name)
            return [c["type"] for c in (obj or {}).get("status", {}).get("conditions", [])]

    def is_approved(self, name):
        return "Approved" in self.conditions(name)

    def wait(self, predicate, timeout=5.0):
        """predicate(self), again after each change."""
        with self.lock:
            return self.lock.wait_for(lambda: predicate(self), timeout)

    def wait_approved(self, *names, timeout=5.0):
        def all_approved(api):
            return all("Approved" in api.conditions(n) for n in names)

        assert self.wait(all_approved, timeout), \
            f"not approved: {[n for n in names if not self.is_approved(n)]}"

    def approved_by(self, user="okd-csrd"):
        with self.lock:
            return [a[0] for a in self.approvals if a[2] == user]

    def seen(self, method, path):
        """How many requests of that method had path in theirs."""
        with self.lock:
            return sum(1 for m, p, _ in self.requests if m == method and path in p)

    # -- objects, with the lock held

    def _add(self, collection, obj):
        name = obj["metadata"]["name"]
        if not name or "/" in name or "%" in name or name in (".", ".."):
            raise Refused(422, "Invalid", f'metadata.name: Invalid value: "{name}"')
        if name in collection.objects:
            raise Refused(409, "AlreadyExists", f'"{name}" already exists')
        self.version += 1
        obj["metadata"].setdefault("uid", str(uuid.uuid4()))
        obj["metadata"]["resourceVersion"] = str(self.version)
        collection.objects[name] = obj
        collection.events.append((self.version, "ADDED", obj))
        self.lock.notify_all()
        return obj

    def _change(self, collection, obj):
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        collection.objects[obj["metadata"]["name"]] = obj
        collection.events.append((self.version, "MODIFIED", obj))
        self.lock.notify_all()
        return obj

    def sign(self, name, fail=None):
        """What kube-controller-manager does with an approved request."""
        with self.lock:
            obj = json.loads(json.dumps(self.csrs.objects[name]))
            if fail:
                obj["status"].setdefault("conditions", []).append(
                    {"type": "Failed", "status": "True", "reason": "SignerValidationFailure",
                     "message": fail, "lastUpdateTime": rfc3339()})
            else:
                obj["status"]["certificate"] = base64.b64encode(b"CERTIFICATE").decode()
            self._change(self.csrs, obj)

    # -- who may do what

    def allows(self, user, verb, group, resource, name=""):
        for v, g, r, n in self.users.get(user, []):
            if v in ("*", verb) and g in ("*", group) and r in ("*", resource) \
                    and n in (None, name):
                return True
        return False

    def check(self, user, verb, group, resource, name=""):
        if not self.allows(user, verb, group, resource, name):
            raise Refused(403, "Forbidden",
                          f'{resource}.{group} "{name}" is forbidden: User "{user}" cannot '
                          f'{verb} resource "{resource}" in API group "{group}" at the '
                          "cluster scope")

    # -- approval

    def approve(self, user, version, name, body):
        with self.lock:
            if body.get("metadata", {}).get("name") != name:
                raise Refused(400, "BadRequest",
                              "the name of the object does not match the name on the URL")
            old = self.csrs.objects.get(name)
            if not old:
                raise Refused(404, "NotFound",
                              f'certificatesigningrequests.{GROUP} "{name}" not found')
            meta = body["metadata"]
            if meta.get("uid") and meta["uid"] != old["metadata"]["uid"]:
                raise Refused(409, "Conflict", "Precondition failed: UID in precondition: "
                              f'{meta["uid"]}, UID in object meta: {old["metadata"]["uid"]}')
            if meta.get("resourceVersion") and \
                    meta["resourceVersion"] != old["metadata"]["resourceVersion"]:
                raise Refused(409, "Conflict",
                              f'Operation cannot be fulfilled on "{name}": the object has '
                              "been modified; please apply your changes to the latest version")
            before = old["status"].get("conditions") or []
            after = self._check_conditions(version, before,
                                           (body.get("status") or {}).get("conditions") or [])
            signer = old["spec"]["signerName"]
            domain = signer.split("/")[0] + "/*"
            if not (self.allows(user, "approve", GROUP, "signers", signer)
                    or self.allows(user, "approve", GROUP, "signers", domain)):
                raise Refused(403, "Forbidden",
                              f'certificatesigningrequests.{GROUP} "{name}" is forbidden: user '
                              f'not permitted to approve requests with signerName "{signer}"')
            new = json.loads(json.dumps(old))
            new["status"]["conditions"] = after
            types = [c["type"] for c in after]
            if "Approved" in types:
                again = "Approved" in [c["type"] for c in before]
                self.approvals.append((name, old["metadata"]["uid"], user, again))
            out = json.loads(json.dumps(self._change(self.csrs, new)))
            if self.issue and "Approved" in types and not new["status"].get("certificate"):
                self.sign(name)
            return out

    @staticmethod
    def _check_conditions(version, before, after):
        out = []
        for c in after:
            c = dict(c)
            if not c.get("type"):
                raise Refused(422, "Invalid", "status.conditions[0].type: Required value")
            if version == "v1" and c.get("status") not in ("True", "False", "Unknown"):
                raise Refused(422, "Invalid", "status.conditions[0].status: Required value")
            if version == "v1" and c["type"] in TERMINAL and c["status"] != "True":
                raise Refused(422, "Invalid", "status.conditions[0].status: Invalid value: "
                              f'"{c["status"]}": Approved, Denied and Failed must be True')
            c.setdefault("status", "True")
            for key in ("lastUpdateTime", "lastTransitionTime"):
                if c.get(key) is None:
                    c[key] = rfc3339()
                elif not RFC3339.match(c[key]):
                    raise Refused(400, "BadRequest", f'parsing time "{c[key]}"')
                c[key] = re.sub(r"\.\d+", "", c[key])
            out.append(c)
        types = [c["type"] for c in out]
        if "Approved" in types and "Denied" in types:
            raise Refused(422, "Invalid", "status.conditions: Invalid value: Approved and "
                          "Denied conditions are mutually exclusive")
        for c in before:
            if c["type"] in TERMINAL and c["type"] not in types:
                raise Refused(422, "Invalid",
                              f'status.conditions: Forbidden: updates may not remove a '
                              f'condition of type "{c["type"]}"')
        return out


def b64file(path):
    with open(path, "rb") as f:
        return base64.b64encode(f.read()).decode()


# --- HTTP ------------------------------------------------------------------------------


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, api, context, port, host="127.0.0.1", handler=None):
        self.api, self.context, self.stopping = api, context, False
        super().__init__((host, port), handler or Handler)

    def finish_request(self, request, client_address):
        """On the connection's own thread, the handshake with it."""
        request.settimeout(30)
        try:
            tls = self.context.wrap_socket(request, server_side=True)
        except (OSError, ssl.SSLError):
            return
        tls.settimeout(None)
        self.api.connections.add(tls)
        try:
            if not self.stopping:
                self.RequestHandlerClass(tls, client_address, self)
        except (OSError, ssl.SSLError, ValueError):
            pass
        finally:
            self.api.connections.discard(tls)
            try:
                tls.close()
            except OSError:
                pass

    def handle_error(self, request, client_address):
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "kubeapi"

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.serve()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    @property
    def api(self):
        return self.server.api

    # -- one request

    def serve(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length) if length else b""
        url = urllib.parse.urlsplit(self.path)
        self.query = {k: v[0] for k, v in
                      urllib.parse.parse_qs(url.query, keep_blank_values=True).items()}
        self.parts = [urllib.parse.unquote(p) for p in url.path.strip("/").split("/")]
        self.sent_status = 0
        try:
            if not self.apply_fault():
                self.route()
        except Refused as e:
            self.answer(e.code, e.status())
        finally:
            with self.api.lock:
                self.api.requests.append((self.command, self.path, self.sent_status))

    def apply_fault(self):
        """True when a fault has answered already."""
        with self.api.lock:
            budget = self.api.cut() if self.api.cut else None
            fault = next((f for f in self.api.faults
                          if f.times and f.fits(self.command, self.path)), None)
            if fault:
                fault.times -= 1
        if fault and fault.before:
            fault.before()
        if fault and fault.cut is not None:
            budget = fault.cut
        if budget is not None:
            self.wfile = Cutter(self.wfile, self.connection, budget)
        if fault and fault.code:
            self.answer(fault.code, Refused(fault.code, "Injected", "injected").status(),
                        fault.headers)
            return True
        return False

    def answer(self, code, doc, headers=None):
        self.answer_text(code, json.dumps(doc).encode() + b"\n", headers)

    def answer_text(self, code, body, headers=None):
        self.sent_status = code
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for k, v in (headers or {}).items():
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def authenticate(self):
        """(user, groups); 401 for a token that nobody knows."""
        auth = self.headers.get("Authorization", "")
        if auth.startswith("Bearer "):
            if auth[7:] not in self.api.tokens:
                raise Refused(401, "Unauthorized", "Unauthorized")
            user, groups = self.api.tokens[auth[7:]]
        else:
            cert = self.connection.getpeercert()
            subject = [kv for rdn in (cert or {}).get("subject", ()) for kv in rdn]
            names = [v for k, v in subject if k == "commonName"]
            user = names[0] if names else "system:anonymous"
            groups = [v for k, v in subject if k == "organizationName"]
        if self.headers.get("Impersonate-User"):
            self.api.check(user, "impersonate", "", "users")
            user = self.headers["Impersonate-User"]
            groups = self.headers.get_all("Impersonate-Group") or []
        return user, groups + ["system:authenticated"]

    def route(self):
        self.user, self.groups = self.authenticate()
        parts = self.parts
        if parts[:2] == ["apis", GROUP]:
            self.certificates(parts[2:])
        elif parts[:3] == ["api", "v1", "nodes"]:
            self.collection("v1", self.api.nodes, "", "nodes", parts[3:])
        elif parts == ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"]:
            self.review()
        elif parts in (["version"], ["healthz"], ["readyz"]):
            self.answer(200, {"major": "1", "minor": "20", "gitVersion": "v1.20.2"})
        else:
            self.discovery(parts)

    def discovery(self, parts):
        csr = {"name": "certificatesigningrequests", "singularName": "",
               "namespaced": False, "kind": "CertificateSigningRequest",
               "shortNames": ["csr"],
               "verbs": ["create", "get", "list", "update", "watch", "delete"]}
        if parts == ["api"]:
            self.answer(200, {"kind": "APIVersions", "versions": ["v1"]})
        elif parts == ["apis"]:
            self.answer(200, {"kind": "APIGroupList", "apiVersion": "v1",
                              "groups": [self.group()]})
        elif parts == ["api", "v1"]:
            self.answer(200, {"kind": "APIResourceList", "groupVersion": "v1", "resources": [
                {"name": "nodes", "singularName": "", "namespaced": False, "kind": "Node",
                 "verbs": ["get", "list", "watch"]}]})
        elif parts[:2] == ["apis", GROUP] and len(parts) == 3:
            self.answer(200, {"kind": "APIResourceList", "apiVersion": "v1",
                              "groupVersion": f"{GROUP}/{parts[2]}", "resources": [
                                  csr, {**csr, "name": csr["name"] + "/approval",
                                        "verbs": ["get", "patch", "update"]}]})
        else:
            raise Refused(404, "NotFound", "the server could not find the requested resource")

    def group(self):
        versions = [{"groupVersion": f"{GROUP}/{v}", "version": v} for v in self.api.versions]
        return {"name": GROUP, "versions": versions, "preferredVersion": versions[0]}

    def certificates(self, parts):
        if not parts:
            self.answer(200, {"kind": "APIGroup", "apiVersion": "v1", **self.group()})
            return
        version = parts[0]
        if version not in self.api.versions:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        if len(parts) == 1:
            self.discovery(self.parts)
        elif parts[1] != "certificatesigningrequests":
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        elif len(parts) == 4 and parts[3] == "approval":
            self.approval(version, parts[2])
        else:
            self.collection(version, self.api.csrs, GROUP, "certificatesigningrequests",
                            parts[2:])

    def read_json(self):
        kind = self.headers.get("Content-Type", "").split(";")[0]
        if kind == "application/vnd.kubernetes.protobuf":
            csr = "certificatesigningrequests" in self.parts
            return (protobuf_csr if csr else protobuf_review)(self.body)
        if kind != "application/json":
            raise Refused(415, "UnsupportedMediaType",
                          f'the body of the request was in an unknown format - {kind}')
        try:
            return json.loads(self.body)
        except ValueError as e:
            raise Refused(400, "BadRequest", f"couldn't decode: {e}") from e

    def approval(self, version, name):
        if self.command == "GET":
            self.one(version, self.api.csrs, GROUP, "certificatesigningrequests", name)
            return
        if self.command != "PUT":
            raise Refused(405, "MethodNotAllowed", "the server does not allow this method")
        self.api.check(self.user, "update", GROUP, "certificatesigningrequests/approval", name)
        out = self.api.approve(self.user, version, name, self.read_json())
        self.answer(200, self.typed(version, self.api.csrs, GROUP, out))

    def review(self):
        doc = self.read_json()
        a = doc.get("spec", {}).get("resourceAttributes", {})
        resource = a.get("resource", "")
        if a.get("subresource"):
            resource += "/" + a["subresource"]
        allowed = self.api.allows(self.user, a.get("verb"), a.get("group", ""), resource,
                                  a.get("name", ""))
        self.answer(201, {**doc, "status": {"allowed": allowed}})

    @staticmethod
    def typed(version, collection, group, obj):
        api = f"{group}/{version}" if group else version
        return {"kind": collection.kind, "apiVersion": api, **obj}

    # -- collections

    def collection(self, version, collection, group, resource, rest):
        if len(rest) > 1:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        if rest and self.command == "GET":
            self.one(version, collection, group, resource, rest[0])
        elif rest and self.command == "DELETE":
            self.api.check(self.user, "delete", group, resource, rest[0])
            with self.api.lock:
                if rest[0] not in collection.objects:
                    raise Refused(404, "NotFound", f'"{rest[0]}" not found')
                self.api.delete(collection, rest[0])
            self.answer(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})
        elif self.command == "POST" and collection is self.api.csrs:
            self.create(version)
        elif self.command != "GET":
            raise Refused(405, "MethodNotAllowed", "the server does not allow this method")
        elif self.query.get("watch") in ("1", "true"):
            self.api.check(self.user, "watch", group, resource)
            self.watch(version, collection, group)
        else:
            self.api.check(self.user, "list", group, resource)
            self.list(version, collection, group)

    def one(self, version, collection, group, resource, name):
        self.api.check(self.user, "get", group, resource, name)
        with self.api.lock:
            obj = collection.objects.get(name)
        if not obj:
            raise Refused(404, "NotFound", f'{resource}.{group} "{name}" not found')
        self.answer(200, self.typed(version, collection, group, obj))

    def create(self, version):
        self.api.check(self.user, "create", GROUP, "certificatesigningrequests")
        doc = self.read_json()
        spec = dict(doc.get("spec") or {})
        if not spec.get("signerName"):
            if version == "v1":
                raise Refused(422, "Invalid", "spec.signerName: Required value")
            spec["signerName"] = LEGACY
        if version == "v1" and len(set(spec.get("usages", []))) != len(spec.get("usages", [])):
            raise Refused(422, "Invalid", "spec.usages: Duplicate value")
        # Who asks is what the server says, whatever the object claims.
        spec.update(username=self.user, groups=self.groups, uid="")
        meta = {"name": doc.get("metadata", {}).get("name", ""),
                "creationTimestamp": rfc3339()}
        with self.api.lock:
            obj = self.api._add(self.api.csrs,
                                {"metadata": meta, "spec": spec, "status": {}})
        self.answer(201, self.typed(version, self.api.csrs, GROUP, obj))

    def selector(self):
        out = []
        for term in filter(None, self.query.get("fieldSelector", "").split(",")):
            key, _, value = term.partition("=")
            value = value.lstrip("=")
            if key == "metadata.name":
                out.append(lambda o, v=value: o["metadata"]["name"] == v)
            elif key == "spec.signerName":
                out.append(lambda o, v=value: o["spec"].get("signerName") == v)
            else:
                raise Refused(400, "BadRequest", f'field label not supported: {key}')
        return (lambda o: all(f(o) for f in out)) if out else None

    def list(self, version, collection, group):
        fits = self.selector()
        limit = int(self.query.get("limit") or 0)
        with self.api.lock:
            at, start = self.api.version, ""
            if self.query.get("continue"):
                try:
                    token = json.loads(base64.urlsafe_b64decode(self.query["continue"]))
                except ValueError as e:
                    raise Refused(400, "BadRequest", "continue key is not valid") from e
                at, start = token["rv"], token["start"]
                if at < collection.compacted:
                    raise Refused(410, "Expired", "The provided continue parameter is too old")
            elif int(self.query.get("resourceVersion") or 0) > at:
                raise Refused(504, "Timeout", "Too large resource version",
                              {"causes": [{"reason": "ResourceVersionTooLarge"}],
                               "retryAfterSeconds": 1})
            names = sorted(collection.objects)
            names = names[bisect.bisect_right(names, start):]
            if fits:
                names = [n for n in names if fits(collection.objects[n])]
            page = names[:limit] if limit else names
            meta = {"resourceVersion": str(at)}
            if len(page) < len(names):
                meta["continue"] = base64.urlsafe_b64encode(
                    json.dumps({"rv": at, "start": page[-1]}).encode()).decode()
                meta["remainingItemCount"] = len(names) - len(page)
            items = b",".join(collection.text(collection.objects[n]) for n in page)
        api = f"{group}/{version}" if group else version
        head = json.dumps({"kind": collection.kind + "List", "apiVersion": api, "metadata": meta})
        self.answer_text(200, head[:-1].encode() + b', "items": [' + items + b"]}\n")

    def watch(self, version, collection, group):
        fits = self.selector()
        seconds = float(self.query.get("timeoutSeconds") or random.uniform(1800, 3600))
        since = int(self.query.get("resourceVersion") or 0)
        self.sent_status = 200
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        if since and since < collection.compacted:
            self.event("ERROR", Refused(410, "Expired",
                                        f"too old resource version: {since} "
                                        f"({collection.compacted})").status())
        else:
            self.stream(version, collection, group, fits, since, seconds)
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def stream(self, version, collection, group, fits, since, seconds):
        deadline = time.monotonic() + seconds
        bookmark = time.monotonic() + self.api.bookmark_seconds
        if not since:
            with self.api.lock:
                first = list(collection.objects.values())
                since = self.api.version
            for obj in first:
                if not fits or fits(obj):
                    self.event("ADDED", self.typed(version, collection, group, obj))
        while not self.server.stopping:
            with self.api.lock:
                until = min(deadline, bookmark) if "allowWatchBookmarks" in self.query \
                    else deadline
                self.api.lock.wait_for(
                    lambda: self.server.stopping or
                    (collection.events and collection.events[-1][0] > since),
                    max(0, until - time.monotonic()))
                events = collection.since(since)
                current = self.api.version
            for at, kind, obj in events:
                if not fits or fits(obj):
                    self.event(kind, self.typed(version, collection, group, obj))
                since = at
            now = time.monotonic()
            if now >= deadline:
                return
            if now >= bookmark and "allowWatchBookmarks" in self.query and since <= current:
                bookmark = now + self.api.bookmark_seconds
                since = max(since, current)
                self.event("BOOKMARK", self.typed(version, collection, group, {
                    "metadata": {"resourceVersion": str(since), "creationTimestamp": None},
                    "spec": {"request": None}, "status": {}}))

    def event(self, kind, obj):
        line = json.dumps({"type": kind, "object": obj}).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.flush()
