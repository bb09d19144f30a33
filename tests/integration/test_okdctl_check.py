"""okdctl check: each thing that keeps an install from going on, broken on its own, is named
by one line with its remedy, and that line is gone once it is mended."""

import base64
import datetime
import email.utils
import http.server
import json
import os
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest
import yaml
from admin_stand_in import stand_in
from csrd_kit import client_csr, serving_csr
from harness import example_cluster, free_port, wait_until
from ignd_fixtures import bootstrap_ign, certificate
from kubeapi import KubeApi
from lbd_peers import make_certificate
from regd import SCHEMA2, Client, Image, digest
from test_okdctl import OKDCTL, fake_programs, line, reload_with
import test_okdctl_install
from test_okdctl_install import installer_output
import variant

# An OpenPGP packet of the kind "signature", as Fedora's .sig files begin.
SIGNATURE = b"\x89\x02\x33\x04\x00" + bytes(500)
XZ = b"\xfd7zXZ\0" + bytes(1000) + b"YZ"
ctl, daemon = test_okdctl_install.ctl, test_okdctl_install.daemon
root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for mounts of its own")


def absent(lines, text):
    return not [x for x in lines if text in x["text"]]


# --- .ign files and images -------------------------------------------------------------


@pytest.fixture
def ignd(daemon):
    return daemon("ignd", {"listen": [f"127.0.0.1:{free_port()}"], "log": "none",
                           "unknown_nodes": "all", "window": {"initial": "open"}})


def write(folder, name, data):
    """As one step, so that nobody sees half of it."""
    os.makedirs(folder, exist_ok=True)
    tmp = os.path.join(folder, f".{name}")
    with open(tmp, "wb") as f:
        f.write(data)
    os.chmod(tmp, 0o644)
    os.rename(tmp, os.path.join(folder, name))


def until(ctl, group, text, expect):
    """The check's line, once the daemon has noticed."""
    def find():
        found = [x for x in ctl.check(group, expect=expect) if text in x["text"]]
        return found and found[0]

    # The daemon looks at its files every few seconds: until then the exit status differs.
    def calm():
        try:
            return find()
        except AssertionError:
            return None

    return wait_until(calm, timeout=20, what=f"a line with {text!r}")


@pytest.mark.parametrize("begin,end,text,remedy", [
    (-7200, -60, "the certificates in bootstrap.ign have expired",
     "openshift-install create ignition-configs"),
    (3600, 7200, "the certificates in bootstrap.ign are not valid yet", "chronyc makestep"),
])
def test_certificates_in_an_ign_file(ctl, ignd, tmp_path, begin, end, text, remedy):
    folder = os.path.join(ignd.state_dir, "ignition")
    write(folder, "bootstrap.ign", bootstrap_ign(certificate(tmp_path, begin, end)))
    found = until(ctl, "files", text, 1)
    assert found["level"] == "FAIL" and remedy in found["remedy"]
    write(folder, "bootstrap.ign", bootstrap_ign(certificate(tmp_path, -60, 86400)))
    assert until(ctl, "files", "bootstrap.ign is published", 0)["level"] == "OK"


def test_certificates_that_end_soon_are_a_warning(ctl, ignd, tmp_path):
    write(os.path.join(ignd.state_dir, "ignition"), "bootstrap.ign",
          bootstrap_ign(certificate(tmp_path, -60, 3600)))
    assert until(ctl, "files", "bootstrap.ign: its certificates", 0)["level"] == "WARN"


@pytest.mark.parametrize("text,why", [
    (b"{", "worker.ign"), (b"{}", 'no "ignition" object'),
    (b'{"ignition": {"version": "9.0.0"}}', "9.0.0"),
])
def test_an_ign_file_that_a_node_would_refuse(ctl, ignd, text, why):
    write(os.path.join(ignd.state_dir, "ignition"), "worker.ign", text)
    found = until(ctl, "files", "worker.ign would be refused by the node", 1)
    assert why in found["text"] and "okdctl publish" in found["remedy"]


def test_an_image_without_its_signature(ctl, ignd):
    folder = os.path.join(ignd.state_dir, "install")
    write(folder, "coreos.raw.xz", XZ)
    found = until(ctl, "files", "coreos.raw.xz has no coreos.raw.xz.sig", 1)
    assert "FILE.sig beside it" in found["remedy"]
    write(folder, "coreos.raw.xz.sig", SIGNATURE)
    assert until(ctl, "files", "is published with its signature", 0)["level"] == "OK"


def test_an_image_that_was_cut_off(ctl, ignd):
    folder = os.path.join(ignd.state_dir, "install")
    write(folder, "coreos.raw.xz.sig", SIGNATURE)
    write(folder, "coreos.raw.xz", XZ[:-2])
    assert "fresh download" in until(ctl, "files", "coreos.raw.xz is damaged", 1)["remedy"]


def test_a_node_whose_installation_failed(ctl, daemon):
    cluster = example_cluster()
    cluster["nodes"][2]["address"] = "127.0.0.104"
    cluster["machine_network"].append("127.0.0.0/24")
    (ctl.etc / "cluster.yaml").write_text(yaml.safe_dump(cluster))
    port = free_port()
    d = daemon("ignd", {"listen": [f"127.0.0.1:{port}"], "log": "none"})
    with open(d.cluster_path, "w", encoding="utf-8") as f:
        yaml.safe_dump(cluster, f)
    d.reload(None)
    folder = os.path.join(d.state_dir, "install")
    write(folder, "coreos.raw.xz.sig", SIGNATURE)
    write(folder, "coreos.raw.xz", XZ[:8] + bytes(32 << 20) + b"YZ")
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.bind(("127.0.0.104", 0))
        s.connect(("127.0.0.1", port))
        s.sendall(b"GET /install/coreos.raw.xz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert s.recv(1000)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    found = until(ctl, "files", "the installation of worker failed", 1)
    assert "okdctl logs --node" in found["remedy"]


# --- names -----------------------------------------------------------------------------


class NameServer:
    """Answers every question with one response code, until it is closed."""

    def __init__(self, rcode):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.rcode = rcode
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.socket.getsockname()[1]}"

    def serve(self):
        while True:
            query, peer = self.socket.recvfrom(4096)
            if not query:
                return
            self.socket.sendto(query[:2] + bytes([0x81, 0x80 | self.rcode]) + query[4:6]
                               + bytes(6) + query[12:query.index(b"\0", 12) + 5], peer)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"", self.socket.getsockname())
        self.thread.join()
        self.socket.close()


@pytest.mark.parametrize("rcode,name", [(5, "REFUSED"), (2, "SERVFAIL"), (3, "NXDOMAIN")])
def test_an_upstream_that_does_not_resolve(ctl, daemon, rcode, name):
    with NameServer(rcode) as upstream:
        daemon("dnsd", {"listen": [f"127.0.0.1:{free_port()}"],
                        "forward": {"to": [upstream.address]}})
        found = line(ctl.check("dns", expect=1), "quay.io does not resolve")
    assert found["level"] == "WARN" and "server misbehaving" in found["text"]
    assert "upstream_dns" in found["remedy"]
    # What okd-dnsd makes of REFUSED is its business; the others come through.
    assert name in found["text"] or rcode == 5


def test_a_name_server_that_does_not_answer(ctl):
    """The daemon says that it runs, and the port is closed, as behind a firewall."""
    with stand_in(ctl.run_dir, "dnsd", config=f'listen: ["127.0.0.1:{free_port()}"]\n'):
        found = line(ctl.check("dns", expect=1), "nobody answers for names on 127.0.0.1")
    assert "firewall" in found["remedy"]


# --- daemons ---------------------------------------------------------------------------


def test_a_daemon_of_another_version(ctl):
    with stand_in(ctl.run_dir, "lbd", version="0.0.9"):
        found = line(ctl.check("daemons", expect=1), "okd-lbd 0.0.9 runs, but this okdctl is")
    assert found["remedy"] == "okdctl upgrade"


def test_a_daemon_that_is_not_ready_says_why(ctl):
    with stand_in(ctl.run_dir, "csrd", ready=False, reasons=["it counts sheep"]):
        found = line(ctl.check("daemons", expect=1), "okd-csrd is not ready: it counts sheep")
    assert found["remedy"] == "journalctl -u okd-csrd -n 50"


def test_a_daemon_among_others_that_does_not_run(ctl):
    with stand_in(ctl.run_dir, "dnsd"):
        found = line(ctl.check("daemons", expect=1), "okd-regd does not run")
    assert found["level"] == "FAIL" and "systemctl enable --now okd-regd" in found["remedy"]


def test_an_audit_that_cannot_be_written(ctl):
    with stand_in(ctl.run_dir, "csrd", csrd={"audit_error": "No space left on device"}):
        found = line(ctl.check("csr", expect=1), "cannot write its audit: No space left")
    assert "disk full" in found["remedy"]


def test_a_udp_port_that_somebody_has(ctl):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        (ctl.etc / "dnsd.yaml").write_text(f'listen: ["127.0.0.1:{s.getsockname()[1]}"]\n')
        found = line(ctl.check("ports", expect=1), "UDP port 127.0.0.1")
        assert f"process {os.getpid()}" in found["text"]


# --- the host --------------------------------------------------------------------------


def in_mounts_of_its_own(ctl, script, *groups):
    """okdctl check where script has mounted things, and nowhere else."""
    env = {**os.environ, **variant.sanitizer_environment(), "PATH": ctl.path}
    p = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-ec", script + '\nexec "$@"', "sh",
         OKDCTL, "--etc", ctl.etc, "--run-dir", ctl.run_dir, "check", "--json", *groups],
        capture_output=True, text=True, env=env)
    assert p.returncode in (0, 1), p.stderr
    return json.loads(p.stdout)


@root
def test_a_disk_that_is_too_small(ctl, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    (ctl.etc / "regd.yaml").write_text(f"storage: {{root: {disk}/not/yet}}\n")
    lines = in_mounts_of_its_own(ctl, f"mount -t tmpfs -o size=1m tmpfs {disk}", "host")
    found = line(lines, f"is free below {disk}")
    assert found["level"] == "FAIL" and "storage.root" in found["remedy"]
    lines = in_mounts_of_its_own(ctl, f"mount -t tmpfs -o size=10g tmpfs {disk}", "host")
    assert line(lines, f"is free below {disk}")["level"] == "WARN"
    lines = in_mounts_of_its_own(ctl, f"mount -t tmpfs -o size=30g tmpfs {disk}", "host")
    assert line(lines, f"is free below {disk}")["level"] == "OK"


SELINUX = "mount -t tmpfs tmpfs /sys/fs; mkdir /sys/fs/selinux; echo {} > /sys/fs/selinux/enforce"


@root
def test_selinux_that_only_warns(ctl):
    found = line(in_mounts_of_its_own(ctl, SELINUX.format(0), "host"), "SELinux is permissive")
    assert found["level"] == "WARN" and "setenforce 1" in found["remedy"]
    lines = in_mounts_of_its_own(ctl, SELINUX.format(1), "host")
    assert line(lines, "SELinux is enforcing")["level"] == "OK"


@root
def test_labels_of_another_place(ctl, tmp_path):
    folder = tmp_path / "fake"
    folder.mkdir()
    (folder / "restorecon").write_text(
        "#!/bin/sh\necho \"Would relabel $3/cluster.yaml from user_home_t to etc_t\"\n")
    os.chmod(folder / "restorecon", 0o755)
    ctl.path = f"{folder}:{os.environ['PATH']}"
    made = SELINUX.format(1) + "; mount -t tmpfs tmpfs /etc; mkdir /etc/okd-bastion"
    found = line(in_mounts_of_its_own(ctl, made, "host"), "labels of another place")
    assert found["level"] == "FAIL" and "user_home_t" in found["text"]
    assert found["remedy"] == "restorecon -RF /etc/okd-bastion"
    (folder / "restorecon").write_text("#!/bin/sh\n")
    assert absent(in_mounts_of_its_own(ctl, made, "host"), "labels of another place")


@root
def test_selinux_that_is_switched_off(ctl):
    made = "mount -t tmpfs tmpfs /sys/fs; mount -t tmpfs tmpfs /etc; mkdir /etc/selinux; " \
        "printf 'x\\nSELINUX=disabled\\n' > /etc/selinux/config"
    found = line(in_mounts_of_its_own(ctl, made, "host"), "SELinux is switched off")
    assert "SELINUX=enforcing" in found["remedy"]


def test_the_zone_of_the_bastions_address_is_asked(ctl, tmp_path):
    cluster = example_cluster()
    cluster["bastion"]["addresses"] = ["127.0.0.1"]
    (ctl.etc / "cluster.yaml").write_text(yaml.safe_dump(cluster))
    fake_programs(ctl, tmp_path, """
        case "$1" in
        --get-zone-of-interface=lo) echo internal;;
        --query-service=dns) [ "$2" = --zone=internal ] && exit 1;;
        esac
        exit 0
        """)
    found = line(ctl.check("host", expect=1), "firewalld keeps the nodes out")
    assert found["text"].endswith("in the zone of the bastion's address: internal")
    assert found["remedy"] == ("firewall-cmd --permanent --zone=internal --add-service=dns; "
                               "firewall-cmd --reload")


@pytest.fixture(scope="module")
def clock_library(tmp_path_factory):
    """An adjtimex() that says what CLOCK_STATUS and CLOCK_STATE do."""
    if os.path.basename(variant.BUILD) != "release":
        pytest.skip("a sanitizer wants to be the first library")
    folder = tmp_path_factory.mktemp("clock")
    (folder / "clock.c").write_text(
        "#include <stdlib.h>\n#include <sys/timex.h>\n"
        "int adjtimex(struct timex *t)\n{\n"
        "\tt->status = atoi(getenv(\"CLOCK_STATUS\"));\n\tt->maxerror = 5000;\n"
        "\treturn atoi(getenv(\"CLOCK_STATE\"));\n}\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "clock.so", folder / "clock.c"],
                   check=True)
    return str(folder / "clock.so")


def test_a_clock_that_nobody_sets(ctl, clock_library, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", clock_library)
    for status, state, level in ((0x40, 0, "WARN"), (0, 5, "WARN"), (1, 0, "OK")):
        monkeypatch.setenv("CLOCK_STATUS", str(status))
        monkeypatch.setenv("CLOCK_STATE", str(state))
        found = line(ctl.check("host", expect=1), "the clock is ")
        assert found["level"] == level, (status, state)
        assert level == "OK" or "chronyd" in found["remedy"]


# --- the balancer ----------------------------------------------------------------------


class Node(http.server.ThreadingHTTPServer):
    """The API server, or the machine config server, of a node with a clock of its own."""

    daemon_threads = True

    def __init__(self, folder, skew=0, chain=None):
        ahead = skew

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response_only(200)
                self.send_header("Date", email.utils.formatdate(time.time() + ahead, usegmt=True))
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *args):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*(chain or make_certificate(folder)))
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,))
        self.thread.start()

    def handle_error(self, request, client_address):
        pass

    def close(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


@pytest.fixture
def nodes(tmp_path):
    made = []

    def start(skew=0, chain=None):
        made.append(Node(str(tmp_path), skew, chain))
        return made[-1]

    yield start
    for n in made:
        n.close()


def balance(daemon, names, **backends):
    """An okd-lbd with these backends: {"api": {"master": port}}."""
    return daemon("lbd", {
        "stats": {"listen": []},
        "frontends": [{"name": names[b], "backend": names[b],
                       "listen": [f"127.0.0.1:{free_port()}"]} for b in backends],
        "backends": [{"name": names[b], "check": {"type": "https", "path": "/healthz",
                                                  "interval": "200ms", "timeout": "20s",
                                                  "rise": 1, "fall": 1},
                      "servers": [{"name": n, "address": f"127.0.0.1:{port}"}
                                  for n, port in servers.items()]}
                     for b, servers in backends.items()]})


NAMES = {"api": "openshift-api-server", "mcs": "machine-config-server"}


def up(ctl, n):
    def enough():
        states = [s["status"] for b in json.loads(ctl("lb", "show", "--json").stdout)
                  for s in b["servers"]]
        return states.count("UP") == n

    wait_until(enough, what=f"{n} servers that are up")


def test_a_bootstrap_that_is_still_in_the_pool(ctl, daemon, nodes):
    bootstrap, master = nodes(), nodes()
    ports = {"bootstrap": bootstrap.server_port, "master": master.server_port}
    balance(daemon, NAMES, api=ports, mcs=ports)
    up(ctl, 4)
    found = line(ctl.check("lb"), "the bootstrap bootstrap still answers beside a master")
    assert found["level"] == "WARN" and "wait-for bootstrap-complete" in found["remedy"]


def test_a_bootstrap_alone_is_no_fault(ctl, daemon, nodes):
    ports = {"bootstrap": nodes().server_port, "master": free_port()}
    balance(daemon, NAMES, api=ports, mcs=ports)
    up(ctl, 2)
    lines = ctl.check("lb")
    assert absent(lines, "still answers beside")
    assert "not by master" in line(lines, "openshift-api-server is served by bootstrap")["text"]


def test_a_balancer_without_machine_configs(ctl, daemon, nodes):
    balance(daemon, NAMES, api={"master": nodes().server_port})
    found = line(ctl.check("lb"), "no backend machine-config-server (port 22623)")
    assert found["level"] == "WARN" and "lbd.yaml" in found["remedy"]


@pytest.mark.parametrize("skew,text", [(3600, "60 min ahead"), (-300, "5 min behind")])
def test_a_node_whose_clock_is_off(ctl, daemon, nodes, skew, text):
    ports = {"master": nodes(skew).server_port}
    balance(daemon, NAMES, api=ports, mcs=ports)
    up(ctl, 2)
    found = line(ctl.check("host", expect=1), "the clock of master is")
    assert found["level"] == "FAIL" and text in found["text"]
    assert "chronyc makestep" in found["remedy"]


def test_nodes_whose_clocks_agree(ctl, daemon, nodes):
    ports = {"master": nodes().server_port}
    balance(daemon, NAMES, api=ports, mcs=ports)
    up(ctl, 2)
    assert line(ctl.check("host", expect=1), "the clocks of the nodes agree")["level"] == "OK"


def named_certificate(folder, *names):
    """A self-signed certificate that is its own authority: (certificate, key)."""
    folder.mkdir()
    chain = str(folder / "a.crt"), str(folder / "a.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=kube-apiserver", "-addext",
         "subjectAltName=" + ",".join(f"DNS:{n}" for n in names),
         "-keyout", chain[1], "-out", chain[0]], check=True, capture_output=True)
    return chain


def kubeconfig(ctl, certificate):
    with open(certificate, "rb") as f:
        data = base64.b64encode(f.read()).decode()
    (ctl.etc / "kubeconfig").write_text(yaml.safe_dump({"clusters": [{"name": "okd", "cluster": {
        "server": "https://api.okd.example.com:6443", "certificate-authority-data": data}}]}))


API = ["api.okd.example.com", "api-int.okd.example.com"]


@pytest.mark.parametrize("names,text", [
    (API, None),
    (API[:1], "no certificate for api-int.okd.example.com"),
    (API[1:], "no certificate for api.okd.example.com"),
    (["api.other.example.com", "api-int.other.example.com"],
     "no certificate for api.okd.example.com"),
])
def test_the_names_in_the_certificate_of_the_api(ctl, daemon, nodes, tmp_path, names, text):
    chain = named_certificate(tmp_path / "api", *names)
    balance(daemon, NAMES, api={"master": nodes(chain=chain).server_port})
    up(ctl, 1)
    assert absent(ctl.check("lb"), "certificate")  # without a kubeconfig, nothing is known
    kubeconfig(ctl, chain[0])
    lines = ctl.check("lb", expect=1 if text else 0)
    if text:
        found = line(lines, text)
        assert "x509" in found["text"] and "baseDomain" in found["remedy"]
    else:
        assert line(lines, "are for api.okd.example.com and api-int")["level"] == "OK"


def test_an_api_of_another_cluster(ctl, daemon, nodes, tmp_path):
    chain = named_certificate(tmp_path / "api", *API)
    balance(daemon, NAMES, api={"master": nodes(chain=chain).server_port})
    up(ctl, 1)
    kubeconfig(ctl, named_certificate(tmp_path / "other", *API)[0])
    found = line(ctl.check("lb", expect=1), "no certificate for api.okd.example.com")
    assert "signed by unknown authority" in found["text"]
    assert "okdctl publish DIR" in found["remedy"]
    (ctl.etc / "kubeconfig").write_text("clusters: []\n")
    assert line(ctl.check("lb"), "names no certificate authority")["level"] == "WARN"


# --- the registry ----------------------------------------------------------------------


@pytest.fixture
def regd(ctl, daemon):
    port = free_port()
    d = daemon("regd", {"listen": [f"127.0.0.1:{port}"], "storage": {"reserve": 0},
                        "tls": {"certificate": str(ctl.etc / "registry.crt"),
                                "key": str(ctl.etc / "registry.key")},
                        "auth": {"htpasswd": str(ctl.etc / "registry.htpasswd")}})
    d.port = port
    return d


def client(ctl, regd):
    auth = json.loads(ctl.file("pull-secret.json"))["auths"]["registry.okd.example.com:5000"]
    c = Client(regd.port, None, ca=str(ctl.etc / "registry-ca.crt"))
    c.headers["Authorization"] = f"Basic {auth['auth']}"
    c.c._context.check_hostname = False
    return c


def push_release(ctl, regd):
    """A release of two images, as "oc adm release mirror" leaves it."""
    images = {f"part{i}": Image({f"part{i}": os.urandom(500)}, SCHEMA2) for i in range(2)}
    stream = {"kind": "ImageStream", "metadata": {"name": "4.5.0"}, "spec": {"tags": [
        {"name": name, "from": {"kind": "DockerImage",
                                "name": f"quay.io/openshift/okd-content@{image.digest}"}}
        for name, image in images.items()]}}
    payload = Image({"release-manifests/image-references": json.dumps(stream).encode()}, SCHEMA2)
    with client(ctl, regd) as c:
        for name, image in images.items():
            c.push("openshift/okd", f"4.5.0-{name}", image)
        c.push("openshift/okd", "4.5.0", payload)
    return images


def test_a_release_that_is_not_complete(ctl, regd):
    images = push_release(ctl, regd)
    assert line(ctl.check("registry"), "the release 4.5.0 is whole (2 images)")["level"] == "OK"
    with client(ctl, regd) as c:
        gone = digest(images["part1"].layers[0])
        assert c("DELETE", f"/v2/openshift/okd/blobs/{gone}").status == 202
    found = line(ctl.check("registry", expect=1), "the release 4.5.0 is not complete")
    assert "1 of 2 images" in found["text"] and "part1" in found["text"]
    assert found["remedy"].startswith("okdctl mirror 4.5.0")
    assert "repair" in ctl("registry", "verify-release", "4.5.0", "--json", expect=1).stdout


def test_pruning_by_release(ctl, regd):
    push_release(ctl, regd)
    old = Image({"f": b"old"}, SCHEMA2)
    stream = {"metadata": {"name": "4.4.0"}, "spec": {"tags": [
        {"name": "old", "from": {"kind": "DockerImage", "name": f"quay.io/x@{old.digest}"}}]}}
    payload = Image({"release-manifests/image-references": json.dumps(stream).encode()}, SCHEMA2)
    with client(ctl, regd) as c:
        c.push("openshift/okd", "4.4.0-old", old)
        c.push("openshift/okd", "4.4.0", payload)
        said = ctl("registry", "prune", "--dry-run", "4.5.0").stdout
        assert "would go: 4.4.0\n2 manifests and 2 tags would go; 4 blobs of" in said, said
        c.expect_whole("openshift/okd", "4.4.0", payload)
        kept = json.loads(ctl("registry", "prune", "4.5.0", "4.4.0", "--json").stdout)
        assert kept["keep"] == ["4.5.0", "4.4.0"] and kept["manifests"] == 0, kept
        assert "went: 4.4.0\n2 manifests and 2 tags are gone;" in ctl(
            "registry", "prune", "4.5.0").stdout
        assert c("GET", "/v2/openshift/okd/manifests/4.4.0").status == 404
    assert line(ctl.check("registry"), "the release 4.5.0 is whole (2 images)")["level"] == "OK"
    assert "4.9.9" in ctl("registry", "prune", "4.9.9", expect=1).stderr


def test_images_of_which_none_is_a_release(ctl, regd):
    with client(ctl, regd) as c:
        c.push("openshift/okd", "tool", Image())
    found = line(ctl.check("registry"), "openshift/okd holds tags (1), and none is a release")
    assert found["level"] == "NOT YET"


def test_a_registry_that_cannot_be_reached(ctl):
    with stand_in(ctl.run_dir, "regd", config=f'listen: ["127.0.0.1:{free_port()}"]\n'):
        found = line(ctl.check("registry", expect=1), "the registry cannot be reached")
    assert "journalctl -u okd-regd" in found["remedy"]


def test_blobs_that_rotted(ctl):
    with stand_in(ctl.run_dir, "regd", regd={"bad_blobs": 3}, config='listen: ["127.0.0.1:1"]\n'):
        found = line(ctl.check("registry", expect=1), "the registry holds 3 damaged blobs")
    assert found["level"] == "FAIL" and "okdctl mirror" in found["remedy"]


def test_a_certificate_that_has_expired(ctl):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    ca = x509.load_pem_x509_certificate((ctl.etc / "registry-ca.crt").read_bytes())
    key = serialization.load_pem_private_key(
        (ctl.etc / "private/registry-ca.key").read_bytes(), None)
    old = x509.load_pem_x509_certificate((ctl.etc / "registry.crt").read_bytes())
    now = datetime.datetime.utcnow()
    b = x509.CertificateBuilder().subject_name(old.subject).issuer_name(ca.subject) \
        .public_key(old.public_key()).serial_number(7) \
        .not_valid_before(now - datetime.timedelta(days=9)) \
        .not_valid_after(now - datetime.timedelta(days=1))
    for e in old.extensions:
        b = b.add_extension(e.value, e.critical)
    (ctl.etc / "registry.crt").write_bytes(
        b.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    found = line(ctl.check("registry", expect=1), "certificate expired")
    assert "okdctl init, which renews it" in found["remedy"]
    ctl("init")
    assert absent(ctl.check("registry"), "certificate expired")


# --- certificate requests --------------------------------------------------------------


@pytest.fixture
def api(tmp_path):
    with KubeApi(str(tmp_path)) as server:
        yield server


@pytest.fixture
def csrd(ctl, api, daemon):
    def start(rights=None, **config):
        path = api.kubeconfig(str(ctl.etc / "kubeconfig"), rights=rights)
        os.chmod(path, 0o640)
        d = daemon("csrd", {"kubeconfig": path, "require_ticket": "no", **config})
        wait_until(lambda: d.status()["csrd"]["api"]["following"] or rights is not None,
                   what="the watches")
        return d

    return start


def pending(d, name):
    def found():
        return [r for r in d.admin("/v1/requests").json()["requests"]
                if r["name"] == name and "reason" in r]

    wait_until(found, what=f"a decision over {name}")


def test_requests_that_wait_for_a_person(ctl, api, csrd):
    d = csrd(mode="ask")
    assert line(ctl.check("csr"), "no certificate request waits")["level"] == "OK"
    client_csr(api, "csr-1", "worker.okd.example.com")
    pending(d, "csr-1")
    found = line(ctl.check("csr"), "certificate request csr-1")
    assert found["level"] == "WARN" and "okdctl csr approve" in found["remedy"]
    ctl("csr", "approve", "csr-1")
    api.wait_approved("csr-1")


def test_a_node_under_another_name_than_its_record(ctl, api, csrd):
    """The worker's kernel arguments say worker1, its DNS record worker."""
    d = csrd()
    client_csr(api, "csr-1", "worker1.okd.example.com")
    pending(d, "csr-1")
    found = line(ctl.check("csr"), "csr-1 of worker1.okd.example.com waits")
    assert "no node of cluster.yaml is called that" in found["remedy"]
    assert not api.is_approved("csr-1")


def test_a_node_with_another_address(ctl, api, csrd):
    d = csrd()
    api.put_node("worker.okd.example.com", ["192.168.120.104"])
    serving_csr(api, "csr-1", "worker.okd.example.com", "192.168.120.77")
    pending(d, "csr-1")
    assert "address" in line(ctl.check("csr"), "certificate request csr-1")["remedy"]


def test_a_node_that_did_not_fetch_its_file(ctl, api, csrd, ignd):
    d = csrd(require_ticket="yes", ignd_socket=os.path.join(ignd.runtime_dir, "admin.sock"))
    client_csr(api, "csr-1", "worker.okd.example.com")
    pending(d, "csr-1")
    found = line(ctl.check("csr"), "certificate request csr-1")
    assert "did not fetch its .ign file" in found["remedy"]


def test_a_kubeconfig_without_rights(ctl, api, csrd):
    csrd(rights=[("get", "", "nodes", None), ("list", "", "nodes", None)])
    found = until(ctl, "csr", "the kubeconfig of okd-csrd may not", 1)
    assert "okdctl publish DIR" in found["remedy"]


def test_an_api_server_that_is_gone(ctl, api, csrd):
    csrd()
    api.stop()
    found = until(ctl, "csr", "okd-csrd does not follow the API server", 0)
    assert found["level"] == "WARN"


# --- all of it -------------------------------------------------------------------------


def test_a_published_install_has_no_fault(ctl, daemon, tmp_path):
    """What is not broken is not complained about."""
    daemon("ignd", {"listen": [f"127.0.0.1:{free_port()}"], "log": "none"})
    image = tmp_path / "coreos.raw.xz"
    image.write_bytes(XZ)
    (tmp_path / "coreos.raw.xz.sig").write_bytes(SIGNATURE)
    ctl("publish", installer_output(tmp_path / "install"))
    ctl("image", "add", image)
    until(ctl, "files", "worker.ign is published", 0)
    until(ctl, "files", "coreos.raw.xz is published with its signature", 0)
    lines = ctl.check("cluster", "secrets", "files")
    assert {x["level"] for x in lines} == {"OK"}, lines


def test_a_reload_mends_what_check_found(ctl, daemon):
    d = daemon("dnsd", {"listen": [f"127.0.0.1:{free_port()}"]})
    reload_with(d, records=["api IN A 192.168.120.99"])
    assert not absent(ctl.check("dns", expect=1), "points to 192.168.120.99")
    reload_with(d, records=[])
    assert absent(ctl.check("dns", expect=1), "points to 192.168.120.99")
