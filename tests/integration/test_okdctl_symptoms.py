"""okdctl check: what people met in installs by hand, each broken on its own in what the
daemons say, in the files and on the wire, and named by one line with its remedy."""

import base64
import json
import os
import shutil
import socket
import subprocess
import threading
import time

import pytest
import yaml
from admin_stand_in import StandIn, stand_in
from harness import example_cluster, free_port
from ignd_fixtures import certificate
from test_okdctl import line, reload_with
import test_okdctl_check
import test_okdctl_install
from test_okdctl_check import (NAMES, SIGNATURE, XZ, absent, balance, in_mounts_of_its_own,
                               named_certificate, until, up, write)


ctl, daemon = test_okdctl_install.ctl, test_okdctl_install.daemon
ignd, nodes = test_okdctl_check.ignd, test_okdctl_check.nodes
regd = test_okdctl_check.regd
API, MCS = NAMES["api"], NAMES["mcs"]


# --- the balancer ----------------------------------------------------------------------


def server(name, status="UP", **more):
    return {"name": name, "status": status, "address": "127.0.0.1:1", "check": {"info": ""},
            "certificate_not_after": None, "certificate_misnamed": None, **more}


def balancer(ctl, config="", install=None, api=(), mcs=()):
    """An okd-lbd that says this of itself."""
    return stand_in(ctl.run_dir, "lbd", config=config, lbd={
        "install": {"state": "handover", "mcs_open": True, "nodes": [], **(install or {})},
        "backends": [{"name": API, "servers": list(api)}, {"name": MCS, "servers": list(mcs)}]})


def test_why_a_server_does_not_answer(ctl):
    down = server("master", "DOWN", check={"info": "Connection refused"})
    with balancer(ctl, api=[down]):
        found = line(ctl.check("lb"), f"{API} has no server that answers")
    assert "master (Connection refused)" in found["text"] and found["level"] == "NOT YET"


def test_a_bootstrap_that_has_come_back(ctl):
    with balancer(ctl, install={"bootstrap_returned": True}):
        assert "node remove" in line(ctl.check("lb"), "bootstrap answers again")["remedy"]


@pytest.mark.parametrize("more,level,text", [
    ({"certificate_misnamed": True}, "FAIL", "not for api-int.okd.example.com"),
    ({"certificate_not_after": -9000}, "FAIL", "expired 2 h 30 min ago"),
    ({"certificate_not_after": 1800}, "WARN", "ends in"),
])
def test_a_certificate_that_a_server_shows(ctl, more, level, text):
    shown = {"certificate_not_after": 86400, "certificate_misnamed": False, **more}
    shown["certificate_not_after"] += int(time.time())
    with balancer(ctl, mcs=[server("master", **shown)]):
        found = line(ctl.check("lb", expect=int(level == "FAIL")), text)
    assert found["level"] == level and MCS in found["text"] and found["remedy"]


def test_a_certificate_that_is_well_is_not_spoken_of(ctl):
    well = server("master", certificate_not_after=int(time.time()) + 86400,
                  certificate_misnamed=False)
    with balancer(ctl, mcs=[well], api=[well]):
        assert absent(ctl.check("lb"), "certificate")


def test_a_worker_that_waits_for_its_machine_config(ctl):
    waits = {"name": "worker", "mcs_attempts": 7, "fetched_last": 0, "refused": 0}
    with balancer(ctl, install={"nodes": [waits]}):
        found = line(ctl.check("lb"), "worker asks for its machine config")
        assert found["level"] == "NOT YET" and "until a master serves" in found["remedy"]
        waits["fetched_last"] = 1
    shutil.rmtree(ctl.run_dir / "okd-lbd")
    with balancer(ctl, install={"nodes": [waits]}):
        assert absent(ctl.check("lb"), "machine config")


def test_a_worker_that_comes_when_the_port_is_closed(ctl):
    late = {"name": "worker", "mcs_attempts": 0, "fetched_last": 0, "refused": 5}
    with balancer(ctl, install={"state": "complete", "mcs_open": False, "nodes": [late]}):
        found = line(ctl.check("lb"), "port 22623 is closed since the install is complete")
    assert found["remedy"] == "okdctl lb open --for 2h"


def test_the_port_is_opened_by_that_remedy(ctl, daemon):
    daemon("lbd", {"stats": {"listen": []}, "frontends": [], "backends": []})
    assert "for 2h" in ctl("lb", "open").stdout
    assert json.loads(ctl("lb", "open", "--for", "30m", "--json").stdout) == {"open_for": "30m"}
    assert "okd-lbd:" in ctl("lb", "open", "--for", "soon", expect=1).stderr


GUIDE = {
    "frontends": [{"name": n, "listen": ["127.0.0.1:1"], "backend": n} for n in (API, MCS)],
    "backends": [{"name": n, "check": {"type": "tcp"}, "servers": [
        {"name": "bootstrap", "address": "192.168.120.102:1"},
        {"name": "master", "address": "192.168.120.103:1"}]} for n in (API, MCS)]}


@pytest.mark.parametrize("text,remedy,mend", [
    ("the bootstrap is a master's equal", "backup: true",
     lambda c: c["backends"][1]["servers"][0].update(backup=True)),
    ("the bootstrap is a master's equal", "backup: true",
     lambda c: c["backends"][1]["servers"][0].update(serve="masters")),
    ("checked by connecting alone", "/readyz",
     lambda c: c["backends"][0].update(check={"type": "https"})),
    ("port 22623 is open to everybody", "admit: install",
     lambda c: c["frontends"][1].update(admit="install")),
    ("port 22623 is open to everybody", "admit: install",
     lambda c: c["frontends"][1].update(allow=["192.168.120.0/24"])),
])
def test_what_a_guides_haproxy_does_wrong(ctl, text, remedy, mend):
    config = json.loads(json.dumps(GUIDE))
    with balancer(ctl, config=yaml.safe_dump(config)):
        found = line(ctl.check("lb"), text)
        assert found["level"] == "WARN" and remedy in found["remedy"]
    shutil.rmtree(ctl.run_dir / "okd-lbd")
    mend(config)
    with balancer(ctl, config=yaml.safe_dump(config)):
        assert absent(ctl.check("lb"), text)


@pytest.mark.parametrize("timeouts,cut", [
    ({"client": "1m", "server": "1m"}, "1m"), ({"server": "30s"}, "30s"),
    ({"client": "4h", "server": "4h"}, None), ({"client": "1m", "tunnel": "4h"}, None),
    ({"client": "0s"}, None), ({"tunnel": "5m"}, "5m")])
def test_silent_connections_that_are_cut(ctl, timeouts, cut):
    with balancer(ctl, config=yaml.safe_dump({"timeouts": timeouts})):
        lines = ctl.check("lb")
    if cut:
        assert f"silent for {cut} are cut" in line(lines, "oc logs -f")["text"]
    else:
        assert absent(lines, "oc logs -f")


def test_our_own_balancer_has_none_of_these(ctl, daemon):
    cluster = example_cluster()
    cluster["bastion"]["addresses"] = ["127.0.0.1"]
    cluster["machine_network"].append("127.0.0.0/8")
    config = yaml.safe_load(subprocess.run(
        [os.path.join(test_okdctl_check.variant.BUILD, "okd-lbd"), "-n", "-v", "-C",
         ctl.etc / "cluster.yaml"], capture_output=True, text=True, check=True).stdout)
    for f in config["frontends"]:
        f["listen"] = [f"127.0.0.1:{free_port()}"]
    config["stats"]["listen"] = []
    daemon("lbd", config)
    assert {x["level"] for x in ctl.check("lb")} == {"NOT YET"}


# --- machine configs -------------------------------------------------------------------


def pointer(chain, host="api-int.okd.example.com", role="worker"):
    """A role's file as openshift-install makes it."""
    with open(chain, "rb") as f:
        ca = "data:text/plain;charset=utf-8;base64," + base64.b64encode(f.read()).decode()
    return json.dumps({"ignition": {
        "version": "3.1.0",
        "config": {"merge": [{"source": f"https://{host}:22623/config/{role}"}]},
        "security": {"tls": {"certificateAuthorities": [{"source": ca}]}}}}).encode()


@pytest.fixture
def folder(ctl, tmp_path):
    (ctl.etc / "ignd.yaml").write_text(f"ignition: {tmp_path}/ignition\n")
    return str(tmp_path / "ignition")


def test_machine_config_servers_that_nodes_believe(ctl, daemon, nodes, folder, tmp_path):
    chain = named_certificate(tmp_path / "mcs", "api-int.okd.example.com")
    balance(daemon, NAMES, mcs={"master": nodes(chain=chain).server_port})
    up(ctl, 1)
    assert absent(ctl.check("lb"), ".ign")  # nothing is published
    write(folder, "worker.ign", pointer(chain[0]))
    assert line(ctl.check("lb"), "certificates that the nodes' .ign files trust")["level"] == "OK"


@pytest.mark.parametrize("name,own_ca,why", [
    ("api-int.okd.example.com", False, "certificate"),
    ("api-int.other.example.com", True, "api-int.okd.example.com"),
])
def test_machine_config_servers_that_nodes_do_not_believe(
        ctl, daemon, nodes, folder, tmp_path, name, own_ca, why):
    chain = named_certificate(tmp_path / "mcs", name)
    other = named_certificate(tmp_path / "other", name)
    balance(daemon, NAMES, mcs={"master": nodes(chain=chain).server_port})
    up(ctl, 1)
    write(folder, "worker.ign", pointer(chain[0] if own_ca else other[0]))
    found = line(ctl.check("lb", expect=1), "worker.ign does not believe the machine config")
    assert why in found["text"] and "okdctl publish DIR" in found["remedy"]


def test_a_machine_config_server_whose_certificate_has_expired(
        ctl, daemon, nodes, folder, tmp_path):
    certificate(tmp_path, -7200, -3600, subject="/CN=api-int.okd.example.com")
    chain = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    balance(daemon, NAMES, mcs={"master": nodes(chain=chain).server_port})
    up(ctl, 1)
    write(folder, "master.ign", pointer(chain[0], role="master"))
    lines = ctl.check("lb", expect=1)
    assert "expired" in line(lines, "a node with master.ign does not believe")["text"]
    assert line(lines, "the certificate of master of machine-config-server expired")


def test_a_file_that_sends_its_node_to_another_cluster(ctl, daemon, folder, tmp_path):
    chain = named_certificate(tmp_path / "mcs", "api-int.okd.example.com")
    with balancer(ctl):
        write(folder, "worker.ign", pointer(chain[0], "api-int.okd.example"))
        found = line(ctl.check("lb", expect=1), "worker.ign sends its node to")
        assert "https://api-int.okd.example.com:22623/" in found["text"]
        assert "baseDomain" in found["remedy"]
        write(folder, "worker.ign", pointer(chain[0]))
        assert absent(ctl.check("lb"), "sends its node")


# --- names -----------------------------------------------------------------------------


def test_an_srv_record_whose_target_has_no_address(ctl, daemon):
    """The guide's own: .com was lost on the way."""
    d = daemon("dnsd", {"listen": [f"127.0.0.1:{free_port()}"]})
    reload_with(d, records=["_etcd-server-ssl._tcp IN SRV 0 10 2380 etcd-7"])
    found = line(ctl.check("dns", expect=1), "names etcd-7.okd.example.com, which has no address")
    assert "okdctl dns get" in found["remedy"]


class UdpOnly:
    """A name server behind a firewall that lets datagrams alone through."""

    def __init__(self, behind):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.behind = behind
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect(self.behind)
            while True:
                query, peer = self.socket.recvfrom(4096)
                if not query:
                    return
                s.send(query)
                self.socket.sendto(s.recv(4096), peer)

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(b"", self.socket.getsockname())
        self.thread.join()
        self.socket.close()


def test_names_that_do_not_come_over_tcp(ctl, daemon, tmp_path):
    port = free_port()
    daemon("dnsd", {"listen": [f"127.0.0.1:{port}"]})
    assert absent(ctl.check("dns", expect=1), "not over TCP")
    os.unlink(ctl.run_dir / "okd-dnsd")
    behind = UdpOnly(("127.0.0.1", port))
    try:
        with stand_in(ctl.run_dir, "dnsd", config=f'listen: ["{behind.address}"]\n'):
            found = line(ctl.check("dns", expect=1), "answers over UDP, but not over TCP")
    finally:
        behind.close()
    assert "firewall" in found["remedy"]


@pytest.mark.parametrize("etcd,text", [
    ({"bad_values": 2, "age_seconds": 1}, "2 keys in etcd are no records"),
    ({"error": "timed out", "age_seconds": 90}, "served as they were, before 90 s"),
    ({"error": "timed out", "age_seconds": -1}, "its records are not served"),
])
def test_trouble_with_etcd(ctl, etcd, text):
    with stand_in(ctl.run_dir, "dnsd", config=f'listen: ["127.0.0.1:{free_port()}"]\n',
                  dnsd={"etcd": {"endpoint": "http://localhost:2379", "bad_values": 0, **etcd}}):
        found = line(ctl.check("dns", expect=1), text)
    assert found["level"] == "WARN" and "etcd" in found["remedy"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for mounts of its own")
def test_a_name_that_the_hosts_file_sends_elsewhere(ctl, daemon, tmp_path):
    daemon("dnsd", {"listen": [f"127.0.0.1:{free_port()}"]})
    (tmp_path / "hosts").write_text("192.168.120.99 api.okd.example.com\n")
    (tmp_path / "nsswitch").write_text("hosts: files\n")
    lines = in_mounts_of_its_own(ctl, f"mount --bind {tmp_path}/hosts /etc/hosts; "
                                 f"mount --bind {tmp_path}/nsswitch /etc/nsswitch.conf", "dns")
    found = line(lines, "this host's resolver says that api.okd.example.com is 192.168.120.99")
    assert found["level"] == "FAIL" and "/etc/hosts" in found["remedy"]
    (tmp_path / "hosts").write_text("192.168.120.101 api.okd.example.com\n")
    lines = in_mounts_of_its_own(ctl, f"mount --bind {tmp_path}/hosts /etc/hosts; "
                                 f"mount --bind {tmp_path}/nsswitch /etc/nsswitch.conf", "dns")
    assert line(lines, "finds api.okd.example.com here")["level"] == "OK"


# --- what is served --------------------------------------------------------------------


def test_no_signature_where_nobody_asks_for_one(ctl, ignd):
    """A live system that iPXE boots, in a folder of its own."""
    folder = os.path.join(ignd.state_dir, "install")
    for part in ("kernel-x86_64", "initramfs.x86_64.img", "rootfs.x86_64.img"):
        write(os.path.join(folder, "fcos"), f"fedora-coreos-34-live-{part}", b"x")
    write(folder, "coreos.raw.xz", XZ)
    write(folder, "coreos.raw.xz.sig", SIGNATURE)
    until(ctl, "files", "coreos.raw.xz is published with its signature", 0)
    lines = ctl.check("files")
    name = "fcos/fedora-coreos-34-live-rootfs.x86_64.img is published"
    assert line(lines, name)["level"] == "OK"
    assert absent(lines, ".sig") and absent(lines, "live system")
    states = {x["name"]: x["signature"]
              for x in json.loads(ctl("status", "--json").stdout)["ignd"]["ignd"]["images"]}
    assert states == {"coreos.raw.xz": True, **{
        f"fcos/fedora-coreos-34-live-{p}": None
        for p in ("kernel-x86_64", "initramfs.x86_64.img", "rootfs.x86_64.img")}}
    assert "without its .sig" not in ctl("status").stdout


def test_a_signature_that_is_an_error_page(ctl, ignd):
    folder = os.path.join(ignd.state_dir, "install")
    write(folder, "coreos.raw.xz", XZ)
    for text in (b"<html>404</html>", b"", b"\xff\xd8\xff"):
        write(folder, "coreos.raw.xz.sig", text)
        found = until(ctl, "files", "coreos.raw.xz.sig is no OpenPGP signature", 1)
        assert "okdctl image add" in found["remedy"]
    for text in (SIGNATURE, b"\xc2\x10", b"-----BEGIN PGP SIGNATURE-----\n"):
        write(folder, "coreos.raw.xz.sig", text)
        assert until(ctl, "files", "published with its signature", 0)["level"] == "OK"


def test_nodes_that_do_not_look_at_signatures(ctl, ignd):
    write(os.path.join(ignd.state_dir, "install"), "coreos.raw.xz", XZ)
    until(ctl, "files", "has no coreos.raw.xz.sig", 1)
    cluster = yaml.safe_load(ctl.file("cluster.yaml"))
    for n in cluster["nodes"]:
        n["kargs"] = ["coreos.inst.insecure=yes"]
    (ctl.etc / "cluster.yaml").write_text(yaml.safe_dump(cluster))
    assert line(ctl.check("files"), "installs it unverified")["level"] == "WARN"
    del cluster["nodes"][0]["kargs"]
    (ctl.etc / "cluster.yaml").write_text(yaml.safe_dump(cluster))
    assert line(ctl.check("files", expect=1), "has no coreos.raw.xz.sig")["level"] == "FAIL"


@pytest.mark.parametrize("name", ["kubeadmin-password", "install/auth/kubeconfig", "worker.ign",
                                  "pull-secret.json"])
def test_secrets_that_everybody_may_fetch(ctl, ignd, name):
    """The installer's folder, copied to where the images are."""
    path = os.path.join(ignd.state_dir, "install", name)
    write(os.path.dirname(path), os.path.basename(path), b"secret")
    found = line(ctl.check("files", expect=1), f"everybody may fetch {name}")
    assert found["remedy"].startswith(f"rm {path}")
    os.unlink(path)
    assert absent(ctl.check("files"), "everybody may fetch")


def test_ignition_files_for_everybody(ctl, daemon):
    d = daemon("ignd", {"listen": [f"127.0.0.1:{free_port()}"], "unknown_nodes": "all"})
    assert "unknown_nodes" in line(ctl.check("files"), "every address gets every .ign")["remedy"]
    reload_with(d, unknown_nodes="images")
    assert absent(ctl.check("files"), "every address")


def images(ctl, *names):
    return stand_in(ctl.run_dir, "ignd", ignd={"configs": [], "nodes": [], "images": [
        {"name": n, "state": "good", "why": "", "signature": None} for n in names]})


KERNEL, INITRAMFS, ROOTFS = ("fcos-34-live-kernel-x86_64", "fcos-34-live-initramfs.img",
                             "fcos-34-live-rootfs.img")


@pytest.mark.parametrize("names,level,text", [
    ([KERNEL, INITRAMFS], "FAIL", "without its live-rootfs"),
    ([INITRAMFS, ROOTFS], "FAIL", "without its live-kernel"),
    ([KERNEL, INITRAMFS, ROOTFS, ROOTFS.replace("34", "35")], "WARN",
     "fcos-35-live-rootfs.img is of another release than fcos-34-live-kernel-x86_64"),
    ([KERNEL, INITRAMFS, ROOTFS], None, "live system"),
    ([x.replace("34", y) for x in (KERNEL, INITRAMFS, ROOTFS) for y in ("34", "35")], None,
     "another release"),
    (["fcos/" + KERNEL], None, "live system"),
    ([], None, "live system"),
])
def test_a_live_system_whose_parts_do_not_fit(ctl, names, level, text):
    with images(ctl, *names):
        lines = ctl.check("files", expect=int(level == "FAIL"))
    if level:
        assert line(lines, text)["level"] == level
    else:
        assert absent(lines, text)


def test_an_image_under_another_name_than_the_kernel_arguments(ctl):
    with images(ctl, "fedora-coreos-32.raw.xz"):
        found = line(ctl.check("files"), "as coreos.raw.xz, which okdctl kargs names")
    assert found["level"] == "NOT YET" and "image add" in found["remedy"]


def test_an_image_that_the_daemon_has_not_seen_so_far(ctl, tmp_path):
    """It looks every few seconds; or it may not read the file."""
    (ctl.etc / "ignd.yaml").write_text(f"install: {tmp_path}/install\n")
    write(str(tmp_path / "install"), "coreos.raw.xz", XZ)
    with images(ctl):
        found = line(ctl.check("files"), f"{tmp_path}/install/coreos.raw.xz is there, and")
    assert found["level"] == "NOT YET" and "chmod 0644" in found["remedy"]


def waiting(ctl, is_open, why):
    return stand_in(ctl.run_dir, "ignd", ignd={"configs": [], "images": [], "nodes": [
        {"name": "worker", "stage": "Waiting for ignition", "why": why,
         "window": {"open": is_open}}]})


@pytest.mark.parametrize("is_open,remedy", [
    (False, "okdctl ign open worker"), (True, "okdctl ign validate; okdctl logs --node worker")])
def test_a_node_that_waits_for_its_file(ctl, is_open, remedy):
    with waiting(ctl, is_open, "the reason"):
        found = line(ctl.check("files"), "worker waits, and Ignition asks again and again")
    assert found["remedy"] == remedy and "the reason" in found["text"]


def test_an_ignition_file_that_the_daemon_cannot_read(ctl, folder):
    """As "cp" by root leaves it, with a umask of 077: okd-ignd says that there is none."""
    write(folder, "worker.ign", b"{}")
    with stand_in(ctl.run_dir, "ignd", ignd={"images": [], "nodes": [], "configs": [
            {"name": n, "state": "missing"} for n in ("master.ign", "worker.ign")]}):
        lines = ctl.check("files", expect=1)
    found = line(lines, f"okd-ignd cannot read {folder}/worker.ign, which is there")
    assert found["level"] == "FAIL"
    assert f"chmod 0640 {folder}/worker.ign" in found["remedy"]
    assert "restorecon" in found["remedy"]
    assert line(lines, "master.ign is not published")["level"] == "NOT YET"


def test_an_ignition_file_of_which_the_daemon_says_why(ctl, folder):
    """As it does where it may enter the folder."""
    configs = [{"name": "worker.ign", "state": "unreadable",
                "error": "it cannot be read: Permission denied"}]
    with stand_in(ctl.run_dir, "ignd", ignd={"images": [], "nodes": [], "configs": configs}):
        found = line(ctl.check("files", expect=1),
                     f"okd-ignd cannot read {folder}/worker.ign, which is there: it cannot be "
                     "read: Permission denied")
        p = ctl("ign", "validate", expect=1)
        assert "unreadable" in p.stdout and "Permission denied" in p.stdout
        assert "\033[31;1munreadable" in ctl("status", "--color", "always").stdout
    assert found["level"] == "FAIL" and "chmod 0640" in found["remedy"]


# --- the registry ----------------------------------------------------------------------


def test_a_registry_that_asks_for_no_password(ctl, daemon):
    tls = {"certificate": str(ctl.etc / "registry.crt"), "key": str(ctl.etc / "registry.key")}
    d = daemon("regd", {"listen": [f"127.0.0.1:{free_port()}"], "storage": {"reserve": 0},
                        "tls": tls, "auth": {"htpasswd": str(ctl.etc / "registry.htpasswd")}})
    assert absent(ctl.check("registry"), "asks nobody for a password")
    reload_with(d, auth="off")
    found = line(ctl.check("registry"), "asks nobody for a password")
    assert found["level"] == "WARN" and "htpasswd" in found["remedy"]


def test_a_registry_whose_certificate_has_expired(ctl, nodes, tmp_path):
    """The one that is served, whatever the file says by now."""
    certificate(tmp_path, -7200, -3600, subject="/CN=registry.okd.example.com")
    served = nodes(chain=(str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")))
    (ctl.etc / "registry-ca.crt").write_bytes((tmp_path / "cert.pem").read_bytes())
    with stand_in(ctl.run_dir, "regd", config=f'listen: ["127.0.0.1:{served.server_port}"]\n'):
        found = line(ctl.check("registry", expect=1), "shows a certificate that has expired")
    assert found["remedy"] == "okdctl init, which renews it; okdctl reload regd"


def test_a_registry_that_takes_no_pushes(ctl, regd):
    assert absent(ctl.check("registry"), "read-only")
    reload_with(regd, read_only=True)
    assert "read_only: false" in line(ctl.check("registry"), "is read-only")["remedy"]


def change(ctl, **keys):
    path = ctl.etc / "install-config.yaml"
    config = yaml.safe_load(path.read_text())
    for key, value in keys.items():
        config[key] = value
        if value is None:
            del config[key]
    path.write_text(yaml.safe_dump(config))


OTHER = json.dumps({"auths": {"registry.okd.example.com:5000": {
    "auth": base64.b64encode(b"admin:older").decode()}}})


@pytest.mark.parametrize("keys,level,text,mended", [
    ({"metadata": {"name": "lab"}}, "FAIL", "is for lab.example.com", None),
    ({"baseDomain": "example"}, "FAIL", "is for okd.example, and cluster.yaml for", None),
    ({"imageContentSources": None}, "WARN", "names no mirror at registry.okd", []),
    ({"pullSecret": OTHER}, "FAIL", "another password for registry.okd", []),
    ({"pullSecret": '{"auths":{}}'}, "FAIL", "lacks registry.okd.example.com:5000", []),
    ({"additionalTrustBundle": None}, "FAIL", "signed by unknown authority", []),
])
def test_an_install_config_that_does_not_fit(ctl, keys, level, text, mended):
    change(ctl, **keys)
    found = line(ctl.check("registry", expect=int(level == "FAIL")), text)
    assert found["level"] == level and found["remedy"]
    if mended is not None:  # the remedy as it is written
        assert found["remedy"].startswith("okdctl init --force")
        ctl("init", "--force")
        assert absent(ctl.check("registry"), text)


def test_an_install_config_without_a_key_for_people(ctl, tmp_path):
    found = line(ctl.check("registry"), "no sshKey")
    assert found["remedy"] == "okdctl init --ssh-key FILE --force"
    key = tmp_path / "id.pub"
    key.write_text("ssh-ed25519 AAAAC3 me@here\n")
    ctl("init", "--ssh-key", key, "--force")
    assert absent(ctl.check("registry"), "no sshKey")


# --- certificate requests --------------------------------------------------------------


def approver(ctl, requests=(), **own):
    return StandIn(ctl.run_dir, "csrd", {
        "/status": {"name": "okd-csrd", "version": "0.1.0", "ready": True, "csrd": own},
        "/v1/requests": {"requests": list(requests)}})


@pytest.mark.parametrize("reason,name,remedy", [
    ("node-exists", "csr-7j2xq", "was off for longer than its certificate held, okdctl csr "
                                 "approve csr-7j2xq"),
    ("second-key", "csr-1", "okdctl csr approve csr-1"),
    ("usages", "csr-1", "okdctl csr show csr-1; okdctl csr approve csr-1 if it is yours"),
    ("usages", "$(reboot)", "okdctl csr show NAME; okdctl csr approve NAME if it is yours"),
])
def test_what_to_do_about_a_request(ctl, reason, name, remedy):
    request = {"name": name, "state": "pending", "node": "worker", "reason": reason}
    with approver(ctl, [request]):
        assert remedy in line(ctl.check("csr"), "waits for a person")["remedy"]


def test_a_node_that_has_joined_and_is_not_ready(ctl):
    stages = [{"name": "worker.okd.example.com", "stage": "joined"},
              {"name": "master.okd.example.com", "stage": "ready"}]
    with approver(ctl, nodes=stages):
        lines = ctl.check("csr")
    found = line(lines, "worker.okd.example.com has joined the cluster, but is not Ready")
    assert found["level"] == "NOT YET"
    assert "oc describe node worker.okd.example.com" in found["remedy"]
    assert absent(lines, "master.okd")


@pytest.mark.parametrize("group,daemon_name,text", [
    ("dns", "dnsd", "names cannot be asked for"), ("lb", "lbd", "the balancer does not run"),
    ("registry", "regd", "the registry does not run"), ("files", "ignd", "files are not served"),
    ("csr", "csrd", "certificate requests are not approved")])
def test_what_a_daemon_that_does_not_run_means(ctl, group, daemon_name, text):
    found = line(ctl.check(group), text)
    assert found["level"] == "NOT YET"
    assert found["remedy"] == f"systemctl enable --now okd-{daemon_name}"


def test_an_approver_that_approves_nothing(ctl):
    with approver(ctl, mode="dry-run"):
        assert "mode: auto" in line(ctl.check("csr"), "approves nothing")["remedy"]


# --- status ----------------------------------------------------------------------------


def test_an_event_has_the_time_of_the_last_fetch(ctl):
    now = int(time.time())
    node = {"name": "worker", "fetched": now - 90000, "fetched_last": now - 300}
    with balancer(ctl, install={"nodes": [node]}):
        shown = [x for x in ctl("status").stdout.splitlines() if "has fetched its machine" in x]
    assert len(shown) == 1 and "5 min ago" in shown[0]


# --- kernel arguments ------------------------------------------------------------------


def test_kernel_arguments_name_the_port_that_is_listened_on(ctl):
    """It is changed in ignd.yaml alone, whether okd-ignd runs or not."""
    said = ctl("kargs", "master").stdout
    assert "http://192.168.120.101:8080/install/coreos.raw.xz" in said
    (ctl.etc / "ignd.yaml").write_text(
        'listen: ["127.0.0.1:8081", "192.168.120.101:8082"]\nboot: {image: fcos.raw.gz}\n')
    said = ctl("kargs", "master").stdout
    assert "http://192.168.120.101:8082/install/fcos.raw.gz" in said
    assert "http://192.168.120.101:8082/ignition/master.ign" in said
    (ctl.etc / "ignd.yaml").unlink()
    with stand_in(ctl.run_dir, "ignd", config='listen: [":8083"]\n'):
        assert "http://192.168.120.101:8083/ignition" in ctl("kargs", "master").stdout
        assert "http://x/ignition" in ctl("kargs", "master", "--url", "http://x/").stdout


def test_a_script_for_ipxe_names_the_files_that_are_there(ctl, tmp_path):
    (ctl.etc / "ignd.yaml").write_text(f"install: {tmp_path}/install\n")
    p = ctl("kargs", "worker", "--ipxe")
    assert "there is no live kernel in" in p.stderr and "/install/vmlinuz" in p.stdout
    for name in (KERNEL, INITRAMFS, ROOTFS):
        write(str(tmp_path / "install"), name, b"x")
    p = ctl("kargs", "worker", "--ipxe")
    assert p.stderr == ""
    assert f"kernel http://192.168.120.101:8080/install/{KERNEL} initrd=main" in p.stdout
    assert f"rootfs_url=http://192.168.120.101:8080/install/{ROOTFS} ip=" in p.stdout
    assert f"initrd --name main http://192.168.120.101:8080/install/{INITRAMFS}\n" in p.stdout
