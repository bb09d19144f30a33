"""What stands around a bastion: etcd, the nodes' API and machine config servers, and the
programs that people and nodes use (dig, curl, etcdctl, skopeo, podman, kubectl), each in
the namespace of the host it belongs to."""

import ctypes
import glob
import hashlib
import http.server
import json
import os
import shutil
import ssl
import subprocess
import tempfile
import threading
import time

import pytest

import harness
import ignd_fixtures
import kubeapi
import regd

BASTION = "192.168.120.101"
DOMAIN = "okd.example.com"
NODES = {"bootstrap": "192.168.120.102", "master": "192.168.120.103",
         "worker": "192.168.120.104"}
RELEASE = "4.5.0-0.okd-2020-07-14-153706-ga"
REPOSITORY = f"registry.{DOMAIN}:5000/openshift/okd"
CLONE_NEWNET = 0x40000000
POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'
# ip netns exec has a mount namespace of its own: the resolver's file is only this host's.
AS_HOST = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")


def inside(host, function):
    """Calls function on a thread in a host's namespace: sockets and threads that it makes
    stay there."""
    out = {}

    def run():
        try:
            with open(f"/run/netns/{host.netns}", "rb") as ns:
                if ctypes.CDLL(None, use_errno=True).setns(ns.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"setns to {host.netns}")
            out["value"] = function()
        except BaseException as e:
            out["error"] = e

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if "error" in out:
        raise out["error"]
    return out["value"]


# --- servers ---------------------------------------------------------------------------


class Front(kubeapi.Server):
    """One node's API server; all of them show the same cluster."""

    def __init__(self, api, context, address):
        self.api, self.context, self.stopping = api, context, False
        # pylint: disable=non-parent-init-called,super-init-not-called
        http.server.ThreadingHTTPServer.__init__(self, address, self.handler)
        self.thread = threading.Thread(target=self.serve_forever,
                                       kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    handler = kubeapi.Handler

    def stop(self):
        self.stopping = True
        self.shutdown()
        self.server_close()
        self.thread.join()
        for sock in list(self.api.connections):
            try:
                ours = sock.getsockname() == self.server_address
            except OSError:
                continue
            if ours:
                kubeapi.reset(sock)


class MachineConfig(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        role = self.path.rpartition("/")[2]
        known = self.path == "/healthz" or self.path in ("/config/master", "/config/worker")
        body = b"" if role == "healthz" else json.dumps(
            {"ignition": {"version": "3.1.0"}, "role": role}).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class McsFront(Front):
    """One node's machine config server."""

    handler = MachineConfig

    def finish_request(self, request, client_address):
        request.settimeout(30)
        try:
            with self.context.wrap_socket(request, server_side=True) as tls:
                MachineConfig(tls, client_address, self)
        except (OSError, ssl.SSLError):
            pass


class Cluster:
    """The cluster that is installed: its API servers come and go node by node."""

    def __init__(self, net, folder):
        self.net = net
        self.api = kubeapi.KubeApi(str(folder))
        names = [f"DNS:{n}.{DOMAIN}" for n in ("api", "api-int")]
        names += [f"IP:{a}" for a in NODES.values()]
        crt, key = self.api.pki.issue("front", "/CN=kube-apiserver",
                                      f"subjectAltName={','.join(names)}\n"
                                      "extendedKeyUsage=serverAuth\n")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(crt, key)
        self.context.load_verify_locations(self.api.pki.ca)
        self.context.verify_mode = ssl.CERT_OPTIONAL
        self.fronts = {}

    def up(self, node):
        for port, kind in ((6443, Front), (22623, McsFront)):
            address = (NODES[node], port)
            self.fronts[address] = inside(
                self.net[node], lambda a=address, k=kind: k(self.api, self.context, a))

    def down(self, node):
        for address in [a for a in self.fronts if a[0] == NODES[node]]:
            self.fronts.pop(address).stop()

    def close(self):
        for node in NODES:
            self.down(node)

    def kubeconfig(self, path, user, groups=None, rights=None, host="api"):
        """A kubeconfig by token (with groups) or by certificate, as the installer's."""
        self.api.port = 6443
        self.api.kubeconfig(path, user=user, rights=rights, token=groups is not None)
        if groups is not None:
            self.api.tokens[f"token-{user}"] = (user, groups)
        with open(path, encoding="utf-8") as f:
            doc = json.load(f)
        doc["clusters"][0]["cluster"]["server"] = f"https://{host}.{DOMAIN}:6443"
        with open(path, "w", encoding="utf-8") as f:
            json.dump(doc, f)
        return path


# --- files -----------------------------------------------------------------------------


def release_images(count):
    """A release: its components on a shared base, and the payload that names them by
    digest, as {tag: Image}."""
    base = regd.layer({"base": os.urandom(300000)})
    images, tags = {}, []
    for i in range(count):
        image = regd.Image({f"component{i}": os.urandom(20000 + i * 1000)}, regd.SCHEMA2)
        config, body = json.loads(image.config), json.loads(image.manifest)
        config["rootfs"]["diff_ids"].insert(0, regd.digest(base[1]))
        image.config = json.dumps(config).encode()
        image.layers.insert(0, base[0])
        kind = body["layers"][0]["mediaType"]
        body["layers"].insert(0, regd.descriptor(base[0], kind))
        body["config"] = regd.descriptor(image.config, body["config"]["mediaType"])
        image.manifest = json.dumps(body).encode()
        image.digest = regd.digest(image.manifest)
        name = f"component-{i}"
        images[f"{RELEASE}-{name}"] = image
        tags.append({"name": name, "from": {
            "kind": "DockerImage", "name": f"quay.io/openshift/okd-content@{image.digest}"}})
    stream = {"kind": "ImageStream", "metadata": {"name": RELEASE}, "spec": {"tags": tags}}
    images[RELEASE] = regd.Image(
        {"release-manifests/image-references": json.dumps(stream).encode()}, regd.SCHEMA2)
    return images


def write_layout(image, path):
    """A Docker image for skopeo: its dir: transport keeps schema 2 as it is."""
    os.makedirs(path)
    with open(f"{path}/version", "w", encoding="ascii") as f:
        f.write("Directory Transport Version: 1.1\n")
    with open(f"{path}/manifest.json", "wb") as f:
        f.write(image.manifest)
    for blob in image.blobs:
        with open(f"{path}/{regd.digest(blob)[7:]}", "wb") as f:
            f.write(blob)


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


# --- the world -------------------------------------------------------------------------


class World:
    def __init__(self, net, bastion):
        self.net, self.bastion = net, bastion
        # podman takes no long path for its run-time files.
        self.dir = tempfile.mkdtemp(prefix="okd-w-")
        self.cluster = Cluster(net, os.path.join(self.dir, "api"))
        self.etcd = None
        for name in net.hosts:
            server = "127.0.0.1" if name == "bastion" else BASTION
            with open(self.path(f"resolv-{name}"), "w", encoding="ascii") as f:
                f.write(f"search {DOMAIN}\nnameserver {server}\noptions timeout:2\n")

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def close(self):
        self.cluster.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    # -- a bastion

    def init(self):
        """What a person does on a host that has the packages, up to the target."""
        nodes = [word for name, address in NODES.items() for word in
                 ("--node", f"name={name},role={name},address={address},disk=sda,"
                            f"interface={'ens786f1' if name == 'worker' else 'ens787f0'}")]
        self.bastion.run([
            "okdctl", "init", "--apply", "--yes", "--name", "okd", "--base-domain",
            "example.com", "--bastion", BASTION, "--gateway", BASTION, "--machine-network",
            "192.168.120.0/24", "--upstream-dns", "114.114.114.114", *nodes])
        self.trust()
        # What does not follow from the cluster: records in etcd, and a test that ends today.
        self.bastion.write("/etc/okd-bastion/dnsd.yaml", "etcd: {path: /skydns, "
                           'endpoints: ["http://localhost:2379"]}\n')
        self.bastion.write("/etc/okd-bastion/lbd.yaml", "lifecycle: {retire_after: 3s}\n")

    def installer(self, folder):
        """openshift-install's folder inside the bastion, as {name: bytes}."""
        pem = ignd_fixtures.certificate(folder, -60, 86400)
        files = {"bootstrap.ign": ignd_fixtures.bootstrap_ign(pem),
                 "master.ign": ignd_fixtures.pointer_ign("master"),
                 "worker.ign": ignd_fixtures.pointer_ign("worker"),
                 "auth/kubeadmin-password": b"secret"}
        inside_folder = self.bastion.path("/root/install")
        os.makedirs(f"{inside_folder}/auth")
        for name, data in files.items():
            with open(f"{inside_folder}/{name}", "wb") as f:
                f.write(data)
        self.cluster.kubeconfig(f"{inside_folder}/auth/kubeconfig", "okd-csrd")
        return files

    # -- commands on a host

    def command(self, name, args):
        return ["sh", "-c", AS_HOST, "sh", self.path(f"resolv-{name}"), *map(str, args)]

    def env(self, more):
        home = self.path("home")
        os.makedirs(home, exist_ok=True)
        return {**os.environ, "HOME": home, "XDG_RUNTIME_DIR": home, "LC_ALL": "C.UTF-8",
                "no_proxy": "*", **more}

    def on(self, name, *args, fails=False, timeout=60, env=None, **kwargs):
        """A program on a host, which knows names by the bastion alone; its output."""
        p = self.net[name].run(self.command(name, args), check=False, timeout=timeout,
                               env=self.env(env or {}), **kwargs)
        assert (p.returncode != 0) == fails, \
            f"{name}: {' '.join(map(str, args))}: {p.returncode}\n{p.stdout}\n{p.stderr}"
        return p.stdout + (p.stderr if fails else "")

    def start(self, name, *args, env=None, **kwargs):
        return self.net[name].popen(self.command(name, args), env=self.env(env or {}), **kwargs)

    def dig(self, name, *args):
        out = self.on(name, "dig", "+time=2", "+tries=2", "+short", *args)
        return sorted(out.split("\n")[:-1])

    def curl(self, name, url, *args, code=200, **kwargs):
        """The file that a download left; the status must be the expected one."""
        out = self.path(f"curl-{name}")
        got = self.on(name, "curl", "-sS", "-o", out, "-w", "%{http_code}", *args, url, **kwargs)
        codes = code if isinstance(code, tuple) else (code,)
        assert int(got) in codes, f"{name}: {url} answers {got}, not {code}"
        return out

    # -- etcd

    def etcd_up(self):
        url = "http://127.0.0.1:2379"
        with open(self.path("etcd.log"), "ab") as log:
            self.etcd = self.net["bastion"].popen(
                ["etcd", "--data-dir", self.path("etcd"), "--listen-client-urls", url,
                 "--advertise-client-urls", url, "--logger", "zap", "--log-level", "error",
                 "--listen-peer-urls", "http://127.0.0.1:2380"], stdout=log, stderr=log)
        harness.wait_until(lambda: self.net["bastion"].run(
            ["curl", "-sf", f"{url}/health"], check=False).returncode == 0, 20, "etcd")

    def etcd_down(self):
        os.killpg(self.etcd.pid, 9)
        self.etcd.wait(10)

    def etcdctl(self, *args):
        return self.on("bastion", "etcdctl", *args, env={"ETCDCTL_API": "3"})

    def put(self, name, **value):
        """A record in the guide's notation."""
        return self.etcdctl("put", f"/skydns/com/example/okd/{name}", json.dumps(value))

    # -- images

    def trust(self):
        """What init left for the clients: the CA and the pull secret."""
        os.makedirs(self.path("certs"), exist_ok=True)
        shutil.copy(self.bastion.path("/etc/okd-bastion/registry-ca.crt"),
                    self.path("certs", "ca.crt"))
        shutil.copy(self.bastion.path("/etc/okd-bastion/pull-secret.json"),
                    self.path("auth.json"))
        with open(self.path("policy.json"), "w", encoding="ascii") as f:
            f.write(POLICY)

    def skopeo(self, *args, **kwargs):
        return self.on("bastion", "skopeo", "--policy", self.path("policy.json"), *args,
                       env={"REGISTRY_AUTH_FILE": self.path("auth.json")}, **kwargs)

    def push_command(self, folder, tag):
        return ["skopeo", "--policy", self.path("policy.json"), "copy", "-q", "--authfile",
                self.path("auth.json"), "--dest-cert-dir", self.path("certs"),
                f"dir:{folder}", f"docker://{REPOSITORY}:{tag}"]

    def push(self, folder, tag):
        self.on("bastion", *self.push_command(folder, tag), timeout=120)

    def podman(self, name, *args, trusted=True, **kwargs):
        """podman of a node, which finds quay.io's images on the mirror."""
        registries = self.path("registries.conf")
        with open(registries, "w", encoding="ascii") as f:
            for source in ("quay.io/openshift/okd", "quay.io/openshift/okd-content"):
                f.write(f'[[registry]]\nprefix = "{source}"\nlocation = "{source}"\n'
                        "mirror-by-digest-only = true\n"
                        f'[[registry.mirror]]\nlocation = "{REPOSITORY}"\n')
        env = {"CONTAINERS_REGISTRIES_CONF": registries,
               "REGISTRY_AUTH_FILE": self.path("auth.json")}
        if trusted:  # as additionalTrustBundle does
            env["SSL_CERT_FILE"] = self.path("certs", "ca.crt")
        return self.on(name, "podman", "--storage-driver", "vfs", "--root",
                       self.path(f"storage-{name}", "root"), "--runroot",
                       self.path(f"storage-{name}", "run"), "--cgroup-manager", "cgroupfs",
                       "--events-backend", "none", *args, env=env, timeout=120, **kwargs)

    def pull(self, name, reference, **kwargs):
        return self.podman(name, "pull", "-q", "--signature-policy", self.path("policy.json"),
                           reference, **kwargs)

    # -- kubelets

    def request_certificate(self, name, kind, serial, called=None):
        """A kubelet's certificate request, made on the node and sent through the balancer;
        its name.  called is the node's name where it is not the host's."""
        node = f"{called or name}.{DOMAIN}"
        key, csr = self.path(f"{name}.key"), self.path(f"{name}-{kind}.csr")
        names = [] if kind == "client" else [
            "-addext", f"subjectAltName=DNS:{node},IP:{NODES[name]}"]
        self.on(name, "openssl", "req", "-new", "-newkey", "ec", "-pkeyopt",
                "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", csr,
                "-subj", f"/O=system:nodes/CN=system:node:{node}", *names)
        if kind == "client":
            signer, user, groups = kubeapi.CLIENT, kubeapi.BOOTSTRAPPER, \
                kubeapi.BOOTSTRAPPER_GROUPS
        else:
            signer, user, groups = kubeapi.SERVING, f"system:node:{node}", kubeapi.NODE_GROUPS
        rights = [(verb, kubeapi.GROUP, "certificatesigningrequests", None)
                  for verb in ("create", "get", "list", "watch")]
        config = self.cluster.kubeconfig(
            self.path(f"{name}-{kind}.kubeconfig"), user,
            [g for g in groups if g != "system:authenticated"], rights, "api-int")
        request = f"csr-{called or name}-{kind}-{serial}"
        usage = "client auth" if kind == "client" else "server auth"
        doc = {"apiVersion": f"{kubeapi.GROUP}/v1", "kind": "CertificateSigningRequest",
               "metadata": {"name": request},
               "spec": {"signerName": signer, "request": kubeapi.b64file(csr),
                        "usages": ["digital signature", "key encipherment", usage]}}
        self.on(name, "kubectl", "--kubeconfig", config, "create", "--validate=false", "-f",
                "-", input=json.dumps(doc), stdin=None)
        return request

    def approved(self, name, kind, serial=1):
        """A certificate request that okd-csrd approves; after how many seconds."""
        request = self.request_certificate(name, kind, serial)
        begin = time.monotonic()
        self.cluster.api.wait_approved(request, timeout=20)
        return time.monotonic() - begin

    def join(self, name):
        """What a kubelet does on its node: two certificates, a Node in between; how long the
        approvals took, in seconds."""
        api, node = self.cluster.api, f"{name}.{DOMAIN}"
        first = self.approved(name, "client")
        api.put_node(node, [NODES[name]])
        second = self.approved(name, "serving")
        api.put_node(node, [NODES[name]], ready=True)
        return first, second


def raw(world, tag):
    """A manifest's bytes, by skopeo."""
    out = world.skopeo("inspect", "--raw", "--cert-dir", world.path("certs"),
                       f"docker://{REPOSITORY}:{tag}")
    return out.encode()


def write_big(folder, size):
    """An image with one large layer that does not compress; its manifest."""
    image = regd.Image({"big": os.urandom(size)}, regd.SCHEMA2)
    write_layout(image, folder)
    return json.loads(image.manifest)


class SlowUpload:
    """A push whose one layer takes its time, by curl."""

    def __init__(self, world, authorization):
        self.world = world
        self.body = os.urandom(20 << 20)
        path = world.path("layer")
        with open(path, "wb") as f:
            f.write(self.body)
        self.common = ["--cacert", world.path("certs", "ca.crt"), "-H",
                       f"Authorization: {authorization}"]
        head = world.on("worker", "curl", "-sS", "-D", "-", "-d", "", *self.common,
                        f"https://registry.{DOMAIN}:5000/v2/slow/blobs/uploads/")
        where = [x for x in head.splitlines() if x.lower().startswith("location:")][0]
        where = where.split(None, 1)[1].strip()
        if where.startswith("/"):
            where = f"https://registry.{DOMAIN}:5000{where}"
        where += ("&" if "?" in where else "?") + f"digest={regd.digest(self.body)}"
        self.p = world.start("worker", "curl", "-sS", "--limit-rate", "3M", "-o", "/dev/null",
                             "-w", "%{http_code}", *self.common, "-H",
                             "Content-Type: application/octet-stream", "-T", path, where,
                             stdout=subprocess.PIPE, text=True)

    def running(self):
        return self.p.poll() is None

    def arrived(self):
        """How many bytes the registry has on its disk."""
        folder = self.world.bastion.path("/var/lib/okd-regd")
        return max((os.path.getsize(f) for f in glob.glob(f"{folder}/**/uploads/*",
                                                          recursive=True)), default=0)

    def finish(self):
        out = self.p.communicate(timeout=60)[0]
        assert out == "201", f"the push answered {out}"
        got = self.world.curl("worker", f"https://registry.{DOMAIN}:5000/v2/slow/blobs/"
                              f"{regd.digest(self.body)}", *self.common)
        with open(got, "rb") as f:
            assert f.read() == self.body
