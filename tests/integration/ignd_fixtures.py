"""What the tests of okd-ignd share: a started one with files, and configs with real
certificates in them."""

import base64
import datetime
import gzip
import http.client
import json
import pathlib
import socket
import subprocess

import harness

# Loopback addresses stand for the nodes: a client binds to one of them.
CLUSTER = {
    "name": "okd",
    "base_domain": "example.com",
    "bastion": {"name": "bastion", "addresses": ["127.0.0.1"]},
    "machine_network": ["127.0.0.0/8"],
    "gateway": "127.0.0.1",
    "nodes": [
        {"name": "bootstrap", "role": "bootstrap", "address": "127.0.0.2", "disk": "sda"},
        {"name": "master", "role": "master", "address": "127.0.0.3",
         "mac": "52:54:00:00:00:03", "interface": "ens787f0", "disk": "sda"},
        {"name": "worker", "role": "worker", "address": "127.0.0.4",
         "mac": "52:54:00:00:00:04", "interface": "ens786f1", "disk": "/dev/vda"},
    ],
}


def data_url(data, how="base64"):
    if how == "base64":
        return "data:text/plain;charset=utf-8;base64," + base64.b64encode(data).decode()
    return "data:," + "".join(f"%{b:02x}" for b in data)


def pointer_ign(role, version="3.1.0", pad=0):
    """What master.ign and worker.ign are: a pointer to the machine config server."""
    config = {"ignition": {"config": {"merge": [
        {"source": f"https://api-int.okd.example.com:22623/config/{role}"}]},
        "version": version}}
    if pad:
        config["storage"] = {"files": [{"path": "/pad", "contents": {
            "source": "data:," + "x" * pad}}]}
    return json.dumps(config).encode()


def bootstrap_ign(pem, version="3.1.0"):
    """The three ways in which a bootstrap.ign carries certificates."""
    kubeconfig = ("clusters:\n- cluster:\n    certificate-authority-data: "
                  + base64.b64encode(pem).decode() + "\n").encode()
    files = [
        {"path": "/opt/openshift/tls/root-ca.crt", "contents": {"source": data_url(pem)}},
        {"path": "/opt/openshift/auth/kubeconfig", "contents": {
            "source": data_url(gzip.compress(kubeconfig)), "compression": "gzip"}},
        {"path": "/etc/motd", "contents": {"source": data_url(b"hello", "percent")}},
    ]
    return json.dumps({"ignition": {"version": version}, "storage": {"files": files}}).encode()


def certificate(folder, begin, end, subject="/OU=openshift/CN=root-ca"):
    """A self-signed certificate, by openssl; begin and end are seconds from this moment."""
    now = datetime.datetime.now(datetime.timezone.utc)
    stamp = lambda s: (now + datetime.timedelta(seconds=s)).strftime("%Y%m%d%H%M%SZ")  # noqa: E731
    folder = pathlib.Path(folder)
    run = lambda *a: subprocess.run(a, cwd=folder, check=True, capture_output=True)  # noqa: E731
    run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-keyout", "key.pem", "-out", "req.pem", "-subj", subject)
    (folder / "ca.cnf").write_text(
        "[ca]\ndefault_ca=x\n[x]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\n"
        "default_md=sha256\npolicy=any\nunique_subject=no\n[any]\n"
        "organizationalUnitName=optional\ncommonName=supplied\n")
    (folder / "index.txt").write_text("")
    run("openssl", "ca", "-batch", "-notext", "-config", "ca.cnf", "-selfsign", "-keyfile",
        "key.pem", "-in", "req.pem", "-startdate", stamp(begin), "-enddate", stamp(end),
        "-out", "cert.pem")
    return (folder / "cert.pem").read_bytes()


class SlowGet:
    """A download that reads only when it is told to."""

    def __init__(self, port, path, source, rcvbuf=4096):
        self.s = socket.socket()
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.s.settimeout(20 * harness.SLOW)
        self.s.bind((source, 0))
        self.s.connect(("127.0.0.1", port))
        self.s.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        self.got = b""

    def read_some(self, n=20000):
        while len(self.got) < n:
            chunk = self.s.recv(n - len(self.got))
            assert chunk
            self.got += chunk

    def read_all(self):
        out = bytearray(self.got)
        try:
            while chunk := self.s.recv(1 << 20):
                out += chunk
        except ConnectionResetError:
            pass
        return bytes(out.split(b"\r\n\r\n", 1)[1])

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.s.close()


class Ignd:
    """A running okd-ignd and its two folders."""

    def __init__(self, daemon, port, config):
        self.d = daemon
        self.port = port
        self.config = config

    def path(self, name):
        return pathlib.Path(self.d.state_dir) / name

    def write(self, name, data):
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def replace(self, name, data):
        new = self.write(name + ".new", data)
        new.rename(self.path(name))

    def read(self, name):
        return self.path(name).read_bytes()

    def get(self, path, method="GET", source="127.0.0.1", **headers):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20 * harness.SLOW,
                                       source_address=(source, 0))
        c.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        r = c.getresponse()
        r.body = r.read()
        c.close()
        return r

    def slow_get(self, path, source="127.0.0.1"):
        return SlowGet(self.port, path, source)

    def node(self, name):
        nodes = self.d.status()["ignd"]["nodes"]
        return next(n for n in nodes if n["name"] == name)


def raw(ignd, request, source):
    """Sends bytes, returns the head and the body of the one answer."""
    with socket.socket() as s:
        s.settimeout(20 * harness.SLOW)
        s.bind((source, 0))
        s.connect(("127.0.0.1", ignd.port))
        s.sendall(request)
        got = b""
        while b"\r\n\r\n" not in got:
            chunk = s.recv(65536)
            assert chunk, got
            got += chunk
        head, body = got.split(b"\r\n\r\n", 1)
        length = [int(x.split(b":")[1]) for x in head.lower().split(b"\r\n")
                  if x.startswith(b"content-length:")]
        while len(body) < length[0]:
            chunk = s.recv(1 << 20)
            assert chunk, (head, len(body))
            body += chunk
        return head + b"\r\n", body


def start_ignd(daemon, config=None, cluster=None, files=None, **kwargs):
    """Starts one with a .ign for each role; files replaces some of them (None: absent)."""
    port = harness.free_port()
    config = {"listen": [f"127.0.0.1:{port}"], **(config or {})}
    inside = {f"state/ignition/{role}.ign": pointer_ign(role)
              for role in ("bootstrap", "master", "worker")}
    for role, body in (files or {}).items():
        inside.pop(f"state/ignition/{role}.ign", None)
        if body is not None:
            inside[f"state/ignition/{role}.ign"] = body
    inside["state/nodes/README"] = b"one config per node goes here\n"
    inside["state/install/README"] = b"images go here\n"
    d = daemon("ignd", config, cluster or CLUSTER, files=inside, **kwargs)
    return Ignd(d, port, config)
