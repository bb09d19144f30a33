"""A scripted install for the demonstration: three machines that do, from loopback addresses
of their own, what machines do towards a bastion, in the right order.

The API server and the machine config server of the bootstrap and the master are stand-ins
(tests/integration/kubeapi.py); everything that they talk to is the real suite: names come
from okd-dnsd, images and .ign files from okd-ignd, connections go through okd-lbd, images
through okd-regd, and okd-csrd approves what the kubelets ask for.
"""

import base64
import contextlib
import hashlib
import http.client
import http.server
import io
import json
import lzma
import os
import random
import socket
import ssl
import struct
import subprocess
import sys
import tarfile
import threading

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "integration"))

import kubeapi  # noqa: E402
from kubewire import openssl  # noqa: E402

DOMAIN = "okd.example.com"
BASTION = "127.0.0.101"
BOOTSTRAP, MASTER, WORKER = "127.0.0.102", "127.0.0.103", "127.0.0.104"
INIT = [
    "init", "--name", "okd", "--base-domain", "example.com", "--bastion", BASTION,
    "--gateway", BASTION, "--machine-network", "127.0.0.0/24",
    "--node", f"name=bootstrap,role=bootstrap,address={BOOTSTRAP},interface=ens787f0,disk=sda",
    "--node", f"name=master,role=master,address={MASTER},interface=ens787f0,disk=sda",
    "--node", f"name=worker,role=worker,address={WORKER},interface=ens786f1,disk=sda",
]
IMAGE_BYTES = 16 << 20
IMAGE_SECONDS = 4.0
IGNITION, INSTALLER = "Ignition/2.6.0", "coreos-installer/0.6.0"


def layer_of(name, data):
    """A layer with one file."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return packed.getvalue()


class Stopped(Exception):
    """The demonstration ends before the install does."""


class MachineConfigs(http.server.BaseHTTPRequestHandler):
    """The machine config server: a configuration for each role, as long as a real one."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        found = self.path in ("/healthz", "/config/master", "/config/worker")
        text = "ok" if self.path == "/healthz" else "x" * 20000
        body = json.dumps({"ignition": {"version": "3.1.0"}, "text": text}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class ControlPlane:
    """What a bootstrap or a master serves, on its own address."""

    def __init__(self, api, address, ports):
        self.servers = [
            kubeapi.Server(api, api.context(), ports["node-api"], address),
            kubeapi.Server(api, api.context(), ports["node-mcs"], address, MachineConfigs),
        ]
        for s in self.servers:
            threading.Thread(target=s.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self, api):
        """As a machine that is switched off."""
        for s in self.servers:
            s.stopping = True
            s.shutdown()
            s.server_close()
        host = self.servers[0].server_address[0]
        for sock in list(api.connections):
            with contextlib.suppress(OSError):
                if sock.getsockname()[0] == host:
                    kubeapi.reset(sock)
        with api.lock:
            api.lock.notify_all()


class Machine:
    """One node: its requests come from its own address."""

    def __init__(self, install, name, role, address):
        self.install, self.name, self.role, self.address = install, name, role, address
        self.fqdn = f"{name}.{DOMAIN}"

    def say(self, text):
        self.install.tell(f"{self.name}: {text}")

    def resolve(self, name):
        """Asks okd-dnsd as a resolver does; the first address."""
        question = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
        query = struct.pack(">6H", random.randrange(65536), 0x100, 1, 0, 0, 0) \
            + question + b"\0" + struct.pack(">2H", 1, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((self.address, 0))
            s.settimeout(5)
            s.sendto(query, (BASTION, self.install.ports["dns"]))
            reply = s.recv(4096)
        if reply[:2] != query[:2] or reply[6:8] == b"\0\0":
            raise RuntimeError(f"okd-dnsd does not know {name}")
        return socket.inet_ntoa(reply[len(query) + 12:len(query) + 16])

    def connect(self, host, port, tls=None):
        c = http.client.HTTPConnection(self.resolve(host), port, 10, (self.address, 0))
        if tls:
            c.connect()
            c.sock = tls.wrap_socket(c.sock, server_hostname=host)
        return c

    def get(self, path, agent, seconds=0.0):
        """A file of okd-ignd, over so many seconds."""
        c = self.connect(f"bastion.{DOMAIN}", self.install.ports["images"])
        with contextlib.closing(c):
            c.request("GET", path, headers={"User-Agent": agent, "Accept":
                                            "application/vnd.coreos.ignition+json;version=3.1.0"})
            reply = c.getresponse()
            if reply.status != 200:
                raise RuntimeError(f"{self.name} gets {reply.status} for {path}")
            total = int(reply.headers["Content-Length"])
            while True:
                piece = reply.read(max(total // 100, 1))
                if not piece:
                    return
                if seconds:
                    self.install.wait(seconds / 100)

    def boot(self):
        """The live system: .ign file, signature, image; then from the disk."""
        self.say("starts from the stick, with what \"okdctl kargs\" printed")
        self.get(f"/ignition/{self.role}.ign", INSTALLER)
        self.get("/install/coreos.raw.xz.sig", INSTALLER)
        self.get("/install/coreos.raw.xz", INSTALLER, IMAGE_SECONDS)
        self.say("has written the image and starts from its disk")
        self.install.wait(1)

    def fetch_machine_config(self):
        """Again and again, as Ignition does, until somebody serves it."""
        tls = ssl._create_unverified_context()
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                c = self.connect(f"api-int.{DOMAIN}", self.install.ports["mcs"], tls)
                with contextlib.closing(c):
                    c.request("GET", f"/config/{self.role}", headers={"User-Agent": IGNITION})
                    if len(c.getresponse().read()) > 16384:
                        self.say("has its machine config")
                        return
            self.install.wait(0.5)

    def pull(self):
        """The image that the demonstration pushed, as CRI-O would."""
        status, body = self.install.registry("GET", "/v2/openshift/okd/manifests/demo", self)
        for layer in json.loads(body)["layers"]:
            self.install.registry("GET", f"/v2/openshift/okd/blobs/{layer['digest']}", self)
        self.say(f"has pulled its image ({status})")

    def request(self, kind, token, signer, usages, san=None):
        """Posts a certificate request through the balancer and waits for okd-csrd."""
        name = f"csr-{self.name}-{kind}"
        pem = self.install.csr(self.fqdn, san)
        doc = {"metadata": {"name": name}, "spec": {
            "request": base64.b64encode(pem).decode(), "signerName": signer, "usages": usages}}
        tls = ssl.create_default_context(cafile=self.install.api.pki.ca)
        c = self.connect(f"api.{DOMAIN}", self.install.ports["api"], tls)
        with contextlib.closing(c):
            c.request("POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests",
                      json.dumps(doc), {"Authorization": f"Bearer {token}",
                                        "Content-Type": "application/json"})
            reply = c.getresponse()
            if reply.status != 201:
                raise RuntimeError(f"{name}: {reply.status} {reply.read().decode()}")
        self.say(f"asks for its {kind} certificate ({name})")
        while not self.install.api.is_approved(name):
            self.install.wait(0.2)
        self.say(f"{name} is approved")

    def join(self):
        api = self.install.api
        usages = ["digital signature", "key encipherment"]
        self.request("client", "bootstrapper", kubeapi.CLIENT, usages + ["client auth"])
        api.put_node(self.fqdn, [self.address])
        api.users[f"system:node:{self.fqdn}"] = kubeapi.ADMIN
        api.tokens[self.name] = (f"system:node:{self.fqdn}", ["system:nodes"])
        self.request("serving", self.name, kubeapi.SERVING, usages + ["server auth"],
                     f"DNS:{self.fqdn},IP:{self.address}")
        self.install.wait(2)
        api.put_node(self.fqdn, [self.address], ready=True)
        self.say("is Ready")


class Install:
    """The whole of it; run() returns when it is complete, or raises Stopped."""

    def __init__(self, okdctl, etc, folder, ports, tell, stop):
        self.okdctl, self.etc, self.folder, self.ports = okdctl, etc, folder, ports
        self.tell, self.stop = tell, stop
        self.planes = []
        self.api = None

    def wait(self, seconds):
        if self.stop.wait(seconds):
            raise Stopped

    def ctl(self, *args):
        self.tell("$ okdctl " + " ".join(args))
        p = subprocess.run([*self.okdctl, *args], capture_output=True, text=True,
                           stdin=subprocess.DEVNULL)
        if p.returncode:
            raise RuntimeError(f"okdctl {args[0]}: {p.stderr.strip()}")

    def csr(self, fqdn, san):
        """A certificate request; a machine keeps its key over several runs."""
        key = os.path.join(self.folder, f"{fqdn}.key")
        if not os.path.exists(key):
            openssl("genpkey", "-algorithm", "EC", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-out", key)
        more = ["-addext", f"subjectAltName={san}"] if san else []
        return openssl("req", "-new", "-key", key, "-subj",
                               f"/O=system:nodes/CN=system:node:{fqdn}", *more).encode()

    # -- the registry

    def registry(self, method, path, machine, body=None, headers=None):
        tls = ssl.create_default_context(cafile=os.path.join(self.etc, "registry-ca.crt"))
        with open(os.path.join(self.etc, "pull-secret.json"), encoding="utf-8") as f:
            auth = next(iter(json.load(f)["auths"].values()))["auth"]
        c = machine.connect(f"registry.{DOMAIN}", self.ports["registry"], tls)
        with contextlib.closing(c):
            c.request(method, path, body, {"Authorization": f"Basic {auth}", **(headers or {})})
            reply = c.getresponse()
            data = reply.read()
            if reply.status >= 300:
                raise RuntimeError(f"{method} {path}: {reply.status} {data.decode()}")
            self.location = reply.headers.get("Location")
            return reply.status, data

    def push(self, data, machine):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.registry("POST", "/v2/openshift/okd/blobs/uploads/", machine)
        path = self.location[self.location.index("/v2/"):]
        self.registry("PUT", f"{path}{'&' if '?' in path else '?'}digest={digest}", machine, data,
                      {"Content-Type": "application/octet-stream"})
        return {"digest": digest, "size": len(data)}

    def push_image(self, machine):
        kind = "application/vnd.oci.image."
        config = self.push(b"{}", machine)
        layer = self.push(layer_of("demo", os.urandom(1 << 20)), machine)
        manifest = {"schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
                    "config": {"mediaType": kind + "config.v1+json", **config},
                    "layers": [{"mediaType": kind + "layer.v1.tar+gzip", **layer}]}
        self.registry("PUT", "/v2/openshift/okd/manifests/demo", machine, json.dumps(manifest),
                      {"Content-Type": manifest["mediaType"]})

    # -- the parts of the install

    def publish(self):
        """What openshift-install and a download would have left."""
        folder = os.path.join(self.folder, "install")
        os.makedirs(os.path.join(folder, "auth"), exist_ok=True)
        with open(self.api.pki.ca, encoding="ascii") as f:
            pem = base64.b64encode(f.read().encode()).decode()
        files = [{"path": "/opt/openshift/tls/kube-ca.crt", "mode": 420,
                  "contents": {"source": "data:text/plain;base64," + pem}}]
        trust = {"tls": {"certificateAuthorities": [{"source": files[0]["contents"]["source"]}]}}
        for role in ("bootstrap", "master", "worker"):
            doc = {"ignition": {"version": "3.1.0"}, "storage": {"files": files}}
            if role != "bootstrap":
                source = f"https://api-int.{DOMAIN}:22623/config/{role}"
                doc["ignition"] |= {"config": {"merge": [{"source": source}]}, "security": trust}
            with open(os.path.join(folder, f"{role}.ign"), "w", encoding="utf-8") as f:
                json.dump(doc, f)
        self.api.kubeconfig(os.path.join(folder, "auth", "kubeconfig"))
        image = os.path.join(self.folder, "fedora-coreos.raw.xz")
        with open(image, "wb") as f:
            # Streams one after the other are an .xz file as well, and soon made.
            piece = lzma.compress(os.urandom(IMAGE_BYTES // 256), preset=0)
            for _ in range(256):
                f.write(piece)
        with open(image + ".sig", "wb") as f:
            f.write(b"\x89\x02\x33" + os.urandom(0x233))  # an OpenPGP signature's head
        self.ctl("reset", "--yes")
        self.ctl("image", "add", image)
        self.ctl("publish", folder)

    def prepare(self):
        os.makedirs(self.folder, exist_ok=True)
        self.api = kubeapi.KubeApi(self.folder)
        self.api.port = self.ports["api"]
        self.api.users[kubeapi.BOOTSTRAPPER] = kubeapi.ADMIN
        self.api.tokens["bootstrapper"] = (kubeapi.BOOTSTRAPPER, kubeapi.BOOTSTRAPPER_GROUPS[:2])
        self.publish()

    def power_on(self, address):
        self.planes.append(ControlPlane(self.api, address, self.ports))

    def run(self):
        bootstrap = Machine(self, "bootstrap", "bootstrap", BOOTSTRAP)
        master = Machine(self, "master", "master", MASTER)
        worker = Machine(self, "worker", "worker", WORKER)
        try:
            self.prepare()
            bootstrap.boot()
            self.power_on(BOOTSTRAP)
            bootstrap.say("serves the API and the machine configs")
            self.push_image(bootstrap)
            master.boot()
            master.fetch_machine_config()
            master.pull()
            master.join()
            self.power_on(MASTER)
            master.say("serves the API and the machine configs")
            self.ctl("wait", "handover", "--timeout", "60s")
            self.wait(2)
            bootstrap.say("has done its work and is switched off")
            self.planes.pop(0).stop(self.api)
            worker.boot()
            worker.fetch_machine_config()
            worker.pull()
            worker.join()
            self.ctl("wait", "complete", "--timeout", "60s")
            self.ctl("wait", "node", "worker", "--timeout", "60s")
            self.tell("the install is complete")
        except (OSError, http.client.HTTPException, subprocess.CalledProcessError) as e:
            raise RuntimeError(str(e)) from e

    def close(self):
        for plane in self.planes:
            plane.stop(self.api)
