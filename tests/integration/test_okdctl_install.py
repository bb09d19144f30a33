"""okdctl around an install: publishing, nodes, the daemons' verbs, other programs."""

import base64
import hashlib
import http.server
import json
import os
import stat
import subprocess
import textwrap
import threading

import pytest
import requests
import yaml
from harness import Daemon, example_cluster, free_port, wait_until
from ignd_fixtures import bootstrap_ign, certificate
from regd import Client, Image
from test_okdctl import TOPOLOGY, Ctl, line, reload_with

IGN = {"ignition": {"version": "3.1.0"}}


@pytest.fixture
def ctl(tmp_path):
    c = Ctl(tmp_path)
    c.init()
    return c


def run(ctl, name, config):
    # The folders that ignd opens once they are there are no leak.
    d = Daemon(name, config, {**example_cluster(), "upstream_dns": []}, check_fds=False)
    d.start()
    ctl.join(d)
    return d


@pytest.fixture
def daemon(ctl):
    """Starts daemons that okdctl finds."""
    started = []

    def start(name, config):
        started.append(run(ctl, name, config))
        return started[-1]

    yield start
    for d in started:
        try:
            d.stop()
        finally:
            d.close()


@pytest.fixture
def ignd(daemon):
    d = daemon("ignd", {"listen": [f"127.0.0.1:{free_port()}"], "log": "none",
                        "unknown_nodes": "all"})
    d.port = yaml.safe_load(open_text(d.config_path))["listen"][0].split(":")[1]
    return d


@pytest.fixture
def regd(ctl, daemon):
    port = free_port()
    d = daemon("regd", {"listen": [f"127.0.0.1:{port}"],
                        "tls": {"certificate": str(ctl.etc / "registry.crt"),
                                "key": str(ctl.etc / "registry.key")},
                        "auth": {"htpasswd": str(ctl.etc / "registry.htpasswd")}})
    d.port = port
    return d


@pytest.fixture
def lbd(daemon):
    backend = {"name": "openshift-api-server", "servers": [
        {"name": "bootstrap", "address": "127.0.0.1:1"},
        {"name": "master", "address": "127.0.0.1:2"}]}
    return daemon("lbd", {
        "stats": {"listen": []}, "backends": [backend],
        "frontends": [{"name": "openshift-api-server", "backend": "openshift-api-server",
                       "listen": [f"127.0.0.1:{free_port()}"]}]})


def open_text(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def installer_output(folder):
    (folder / "auth").mkdir(parents=True)
    for role in ("bootstrap", "master", "worker"):
        (folder / f"{role}.ign").write_text(json.dumps(IGN))
    (folder / "auth/kubeconfig").write_text("apiVersion: v1\nkind: Config\n")
    (folder / "auth/kubeadmin-password").write_text("secret")
    return folder


def fake(ctl, tmp_path, name, body):
    folder = tmp_path / "fake"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n" + body)
    os.chmod(folder / name, 0o755)
    ctl.path = f"{folder}:{os.environ['PATH']}"


# --- publish and image add -------------------------------------------------------------


def test_publish_hands_each_file_to_its_daemon_alone(ctl, ignd, tmp_path):
    folder = installer_output(tmp_path / "install")
    before = ctl.check("files")
    assert line(before, "bootstrap.ign is not published")["level"] == "NOT YET"
    ctl("publish", folder)
    served = os.path.join(ignd.state_dir, "ignition")
    assert sorted(os.listdir(served)) == ["bootstrap.ign", "master.ign", "worker.ign"]
    assert stat.S_IMODE(os.stat(os.path.join(served, "master.ign")).st_mode) == 0o640
    assert stat.S_IMODE((ctl.etc / "kubeconfig").stat().st_mode) == 0o640
    assert line(ctl.check("files"), "bootstrap.ign is published")["level"] == "OK"
    for path in ("auth/kubeconfig", "auth/kubeadmin-password", "ignition/auth/kubeconfig"):
        assert requests.get(f"http://127.0.0.1:{ignd.port}/{path}", timeout=10).status_code \
            in (403, 404)


def test_publish_refuses_what_is_broken_and_writes_nothing(ctl, ignd, tmp_path):
    folder = installer_output(tmp_path / "install")
    (folder / "worker.ign").write_text("{")
    assert "worker.ign:" in ctl("publish", folder, expect=1).stderr
    (folder / "worker.ign").write_text("{}")
    assert 'no "ignition" object' in ctl("publish", folder, expect=1).stderr
    assert "openshift-install" in ctl("publish", tmp_path, expect=1).stderr
    assert not os.path.exists(os.path.join(ignd.state_dir, "ignition", "master.ign"))
    assert not (ctl.etc / "kubeconfig").exists()


def test_image_add_takes_the_signature_along(ctl, ignd, tmp_path):
    image = tmp_path / "fedora-coreos-32.raw.xz"
    image.write_bytes(b"\xfd7zXZ\0" + bytes(100000))
    p = ctl("image", "add", image, expect=1)
    assert f"there is no {image}.sig" in p.stderr
    folder = os.path.join(ignd.state_dir, "install")
    assert os.listdir(folder) == []
    (tmp_path / "fedora-coreos-32.raw.xz.sig").write_bytes(b"signature")
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    assert f"not {'0' * 64}" in ctl("image", "add", image, "--sha256", "0" * 64,
                                    expect=1).stderr
    assert digest in ctl("image", "add", image, "--sha256", digest).stdout
    assert sorted(os.listdir(folder)) == ["coreos.raw.xz", "coreos.raw.xz.sig"]
    got = requests.get(f"http://127.0.0.1:{ignd.port}/install/coreos.raw.xz", timeout=10)
    assert got.content == image.read_bytes()


def test_image_add_from_a_url_and_without_signature(ctl, ignd, tmp_path):
    image = tmp_path / "a.raw.xz"
    image.write_bytes(b"\xfd7zXZ\0" + bytes(5000))
    (tmp_path / "a.raw.xz.sig").write_bytes(b"signature")
    ctl("image", "add", image)
    base = f"http://127.0.0.1:{ignd.port}/install/coreos.raw.xz"
    ctl("image", "add", base, "--name", "again.raw.xz")
    folder = os.path.join(ignd.state_dir, "install")
    with open(os.path.join(folder, "again.raw.xz"), "rb") as f:
        assert f.read() == image.read_bytes()
    assert os.path.exists(os.path.join(folder, "again.raw.xz.sig"))
    os.unlink(tmp_path / "a.raw.xz.sig")
    ctl("image", "add", image, "--name", "again.raw.xz", "--unsigned")
    assert not os.path.exists(os.path.join(folder, "again.raw.xz.sig"))
    assert "404" in ctl("image", "add", base + "x", expect=1).stderr
    digest = hashlib.sha256(image.read_bytes()).hexdigest().upper()
    ctl("image", "add", base, "--name", "again.raw.xz", "--sha256", digest)
    assert not [f for f in os.listdir(folder) if f.startswith(".")]


@pytest.mark.parametrize("args", [[], ["--unsigned"]])
def test_a_signature_that_a_server_does_not_hand_out_is_not_taken_for_none(
        ctl, ignd, tmp_path, args):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(503 if self.path.endswith(".sig") else 200)
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"abc")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/image"
        p = ctl("image", "add", url, *args, expect=1)
        assert f"{url}.sig: the server says 503" in p.stderr
        server.shutdown()
    assert os.listdir(os.path.join(ignd.state_dir, "install")) == []


# --- nodes -----------------------------------------------------------------------------


def test_node_add_and_remove_leave_the_rest_as_it_is(ctl):
    path = ctl.etc / "cluster.yaml"
    text = path.read_text() + "# the end\n"
    path.write_text(text)
    ctl("node", "add", "name=late,role=worker,address=192.168.120.110,disk=vda")
    lines = path.read_text().splitlines()
    assert "  - {name: late, role: worker, address: 192.168.120.110, disk: vda}" in lines
    assert [x for x in lines if "late" not in x] == text.splitlines()
    assert "disk is" not in ctl("kargs", "late").stderr
    ctl("node", "remove", "late")
    assert path.read_text() == text
    ctl("node", "remove", "bootstrap")
    assert path.read_text() == "".join(
        x + "\n" for x in text.splitlines() if "name: bootstrap" not in x)


@pytest.mark.parametrize("args,sentence", [
    (["add", "name=master,role=master,address=192.168.120.110"], "is taken"),
    (["add", "name=x,role=worker,address=10.0.0.1"], "lies outside machine_network"),
    (["add", "name=x"], "lacks its role"),
    (["remove", "nobody"], 'has no node "nobody"'),
])
def test_node_changes_that_make_no_sense_change_nothing(ctl, args, sentence):
    before = ctl.file("cluster.yaml")
    assert sentence in ctl("node", *args, expect=1).stderr
    assert ctl.file("cluster.yaml") == before


def test_node_in_block_style_and_in_one_line(ctl):
    path = ctl.etc / "cluster.yaml"
    cluster = yaml.safe_load(path.read_text())
    cluster = {"nodes": cluster.pop("nodes"), **cluster}
    path.write_text(yaml.safe_dump(cluster, sort_keys=False))
    ctl("node", "remove", "bootstrap")
    ctl("node", "add", "name=late,role=worker,address=192.168.120.110")
    names = [n["name"] for n in yaml.safe_load(path.read_text())["nodes"]]
    assert names == ["master", "worker", "late"]
    path.write_text(yaml.safe_dump(cluster, default_flow_style=True, width=10000))
    assert "by hand" in ctl("node", "remove", "worker", expect=1).stderr


def test_remarks_and_blanks_inside_of_a_node_go_with_it(ctl):
    """Else its disk would become another node's."""
    path = ctl.etc / "cluster.yaml"
    head, _, _ = path.read_text().partition("nodes:")
    path.write_text(head + textwrap.dedent("""\
        nodes:
          - name: master
            role: master
            address: 192.168.120.103
            disk: sda
          # this one is old
          - name: worker
            role: worker
            address: 192.168.120.104

            # the small disk
            disk: sdb

          # the end
        """))
    before = path.read_text()
    ctl("node", "add", "name=late,role=worker,address=192.168.120.110")
    nodes = yaml.safe_load(path.read_text())["nodes"]
    assert [n["name"] for n in nodes] == ["master", "worker", "late"]
    assert nodes[1]["disk"] == "sdb" and "disk" not in nodes[2]
    ctl("node", "remove", "late")
    assert path.read_text() == before
    ctl("node", "remove", "worker")
    nodes = yaml.safe_load(path.read_text())["nodes"]
    assert [(n["name"], n["disk"]) for n in nodes] == [("master", "sda")]
    assert path.read_text() == before[:before.index("  - name: worker")] + "\n  # the end\n"


def test_a_change_that_would_reach_another_node_is_left_to_a_person(ctl):
    """The second node's dash stands alone: without its lines, it would be the third's."""
    path = ctl.etc / "cluster.yaml"
    head, _, _ = path.read_text().partition("nodes:")
    path.write_text(head + textwrap.dedent("""\
        nodes:
          - {name: master, role: master, address: 192.168.120.103}
          -
            name: worker
            role: worker
            address: 192.168.120.104
            disk: sdb
          - {name: late, role: worker, address: 192.168.120.105}
        """))
    before = path.read_text()
    ctl("node", "remove", "worker", expect=1)
    assert path.read_text() == before


def test_each_change_leaves_a_copy_of_its_own(ctl):
    """Within one second as well."""
    before = ctl.file("cluster.yaml")
    for i in range(3):
        ctl("node", "add", f"name=w{i},role=worker,address=192.168.120.{110 + i}")
    copies = [p.read_text() for p in ctl.etc.glob("cluster.yaml.bak-*")]
    assert len(copies) == 3 and before in copies


# --- records ---------------------------------------------------------------------------


def test_dns_records_come_and_go(ctl, daemon, tmp_path):
    daemon("dnsd", {"listen": [f"127.0.0.1:{free_port()}"]})
    assert ctl("dns", "get", "api.okd.example.com").stdout == "192.168.120.101\n"
    assert ctl("dns", "get", "192.168.120.103").stdout == "master.okd.example.com\n"
    assert json.loads(ctl("dns", "get", "api.okd.example.com", "--json").stdout) == \
        ["192.168.120.101"]
    assert "NXDOMAIN" in ctl("dns", "get", "ntp.okd.example.com", expect=1).stderr
    ctl("dns", "put", "ntp", "A", "192.168.120.5")
    assert ctl("dns", "get", "ntp.okd.example.com").stdout == "192.168.120.5\n"
    assert ctl("dns", "get", "ntp").stdout == "192.168.120.5\n"
    assert "the answer is REFUSED" in ctl("dns", "get", "a.example.org", expect=1).stderr
    assert "/skydns/com/example/okd/ntp" in ctl("dns", "ls").stdout
    ctl("dns", "del", "ntp", "A", "192.168.120.5")
    assert "ntp" not in ctl("dns", "ls", "/skydns").stdout
    assert ctl("dns", "put", "ntp", "A", "nonsense", expect=1).stderr
    dump = tmp_path / "dump"
    dump.write_text('/skydns/com/example/okd/x\n{"host":"10.1.1.1","ttl":60}\n'
                    '/skydns/com/example/okd/_tcp/_s/x1\n'
                    '{"host":"x.okd.example.com","port":2380,"weight":10}\n')
    assert ctl("dns", "import", dump).stdout == "2 records\n"
    assert ctl("dns", "get", "x.okd.example.com").stdout == "10.1.1.1\n"
    assert ctl("dns", "get", "_s._tcp.okd.example.com", "srv").stdout == \
        "10 100 2380 x.okd.example.com\n"
    assert len(json.loads(ctl("dns", "ls", "--json").stdout)) == 2
    ctl("dns", "del", "/skydns/com/example/okd/x")
    ctl("dns", "get", "x.okd.example.com", expect=1)


@pytest.mark.parametrize("value", ["not JSON", "7", '"text"', "", "{", b"\xff\xfe"])
def test_an_import_takes_no_record_away(ctl, daemon, tmp_path, value):
    """A change without a value would."""
    daemon("dnsd", {"listen": [f"127.0.0.1:{free_port()}"]})
    key = "/skydns/com/example/okd/x"
    value = value if isinstance(value, bytes) else value.encode()
    dump = tmp_path / "dump"
    dump.write_bytes(key.encode() + b'\n{"host":"10.1.1.1"}\n')
    ctl("dns", "import", dump)
    dump.write_text(json.dumps({"kvs": [{
        "key": base64.b64encode(key.encode()).decode(),
        "value": base64.b64encode(value).decode()}]}))
    ctl("dns", "import", dump, expect=1)
    assert ctl("dns", "get", "x.okd.example.com").stdout == "10.1.1.1\n"


def test_keys_of_any_letters_are_listed(ctl, daemon, tmp_path):
    daemon("dnsd", {"listen": [f"127.0.0.1:{free_port()}"]})
    dump = tmp_path / "dump"
    dump.write_text('/skydns/com/example/okd/a b?c#d/x1\n{"host":"10.1.1.1"}\n'
                    '/skydns/com/example/okd/a\n{"host":"10.1.1.2"}\n')
    ctl("dns", "import", dump)
    found = json.loads(ctl("dns", "ls", "/skydns/com/example/okd/a b?c#d", "--json").stdout)
    assert [r["value"]["host"] for r in found] == ["10.1.1.1"]


# --- the balancer ----------------------------------------------------------------------


def states(ctl):
    return {s["name"]: s["status"]
            for b in json.loads(ctl("lb", "show", "--json").stdout) for s in b["servers"]}


def test_lb_verbs(ctl, lbd):
    assert "openshift-api-server" in ctl("lb", "show").stdout
    ctl("lb", "maint", "openshift-api-server", "bootstrap")
    assert states(ctl)["bootstrap"] == "MAINT"
    ctl("lb", "ready", "openshift-api-server", "bootstrap")
    assert states(ctl)["bootstrap"] != "MAINT"
    ctl("lb", "weight", "openshift-api-server", "master", "7")
    assert "weight 7" in ctl("lb", "show").stdout
    assert "no server" in ctl("lb", "drain", "openshift-api-server", "x", expect=1).stderr
    assert "is no weight" in ctl("lb", "weight", "a", "b", "999", expect=2).stderr
    assert line(ctl.check("lb"), "has no server that answers")["level"] == "NOT YET"
    assert "waiting for" in ctl("status").stdout


def test_wait_says_when_time_is_up(ctl, lbd):
    assert "in time" in ctl("wait", "api", "--timeout", "200ms", expect=1).stderr
    assert "cannot be waited for" in ctl("wait", "godot", expect=2).stderr
    assert "is no time" in ctl("wait", "api", "--timeout", "soon", expect=2).stderr
    assert 'has no node "x"' in ctl("wait", "node", "x", expect=1).stderr
    assert "okdctl wait handover" in ctl("wait", "node", "bootstrap", expect=2).stderr
    assert "okd-csrd does not run" in ctl("wait", "node", "worker", expect=69).stderr


# --- ignition windows and requests -----------------------------------------------------


def windows(ctl):
    return {n["name"]: n["window"]["open"]
            for n in json.loads(ctl("ign", "nodes", "--json").stdout)}


def test_ign_verbs(ctl, ignd):
    assert windows(ctl) == {"bootstrap": True, "master": True, "worker": True}
    ctl("ign", "close")
    assert not any(windows(ctl).values())
    ctl("ign", "open", "worker", "--for", "2h")
    assert windows(ctl) == {"bootstrap": False, "master": False, "worker": True}
    assert "no such node" in ctl("ign", "open", "nobody", expect=1).stderr


def test_ign_validate_says_what_a_node_would(ctl, ignd, tmp_path):
    assert "missing" in ctl("ign", "validate", expect=1).stdout
    ctl("publish", installer_output(tmp_path / "install"))

    def states():
        try:
            return [v["state"] for v in json.loads(ctl("ign", "validate", "--json").stdout)]
        except AssertionError:
            return []

    wait_until(lambda: states() == ["good"] * 3, timeout=20, what="three files that are good")
    path = os.path.join(ignd.state_dir, "ignition", "worker.ign")
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write('{"ignition": {"version": "3.1.0"},\n "storage": {"files": 7}}')
    os.chmod(path + ".new", 0o640)
    os.rename(path + ".new", path)

    def refused():
        p = subprocess_ok(ctl, "ign", "validate")
        return p if "worker.ign     bad" in p else None

    assert "2:" in wait_until(refused, timeout=20, what="the bad file")


@pytest.mark.parametrize("text,said", [
    ('{"ignition": {"version": "3.1.0"}, "a": }', "1:41"),
    ('{"ignition": {"version": "9.9.0"}}', "version"),
    ('{"ignition": {"version": "3.1.0"},\n "storage": {"files": [{"path": "/a"}, {"path": "/a"}]}}',
     "2:"),
])
def test_a_file_is_validated_before_it_is_published(ctl, tmp_path, text, said):
    """No daemon runs."""
    folder = installer_output(tmp_path / "install")
    bad = folder / "worker.ign"
    bad.write_text(text)
    p = ctl("ign", "validate", folder / "master.ign", bad, expect=1)
    assert said in p.stdout and "good" in p.stdout
    assert [v["state"] for v in json.loads(ctl(
        "ign", "validate", "--json", folder / "master.ign", bad, expect=1).stdout)] == \
        ["good", "bad"]
    ctl("ign", "validate", folder / "master.ign")
    p = ctl("publish", folder, expect=1)
    assert said in p.stderr and "nothing was published" in p.stderr
    assert not (ctl.etc / "kubeconfig").exists()


def test_files_that_are_none_are_told(ctl, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    p = ctl("ign", "validate", tmp_path / "none", tmp_path / "pipe", tmp_path, expect=1)
    assert "missing" in p.stdout and p.stdout.count("it is no plain file") == 2
    folder = installer_output(tmp_path / "install")
    (folder / "worker.ign").unlink()
    os.mkfifo(folder / "worker.ign")
    assert "it is no plain file" in ctl("publish", folder, expect=1).stderr
    assert "no plain file" in ctl("image", "add", folder / "worker.ign", expect=1).stderr


def test_expired_certificates_are_told_before_they_are_published(ctl, ignd, tmp_path):
    folder = installer_output(tmp_path / "install")
    pem = certificate(tmp_path, -7200, -3600)
    (folder / "bootstrap.ign").write_bytes(bootstrap_ign(pem))
    assert "expired" in ctl("ign", "validate", folder / "bootstrap.ign", expect=1).stdout
    p = ctl("publish", folder)
    assert "expired" in p.stderr and "wrote" in p.stdout


def subprocess_ok(ctl, *args):
    """The output, whatever the exit status."""
    for status in (0, 1):
        try:
            return ctl(*args, expect=status).stdout
        except AssertionError:
            continue
    return ""


def test_the_ledger_counts(ctl, regd):
    auth = json.loads(ctl.file("pull-secret.json"))["auths"]["registry.okd.example.com:5000"]
    c = Client(regd.port, None, ca=str(ctl.etc / "registry-ca.crt"))
    c.headers["Authorization"] = f"Basic {auth['auth']}"
    c.c._context.check_hostname = False
    with c:
        c.push("openshift/okd", "one", Image())
        for _ in range(3):
            assert c("GET", "/v2/openshift/okd/manifests/one").status == 200
    assert "3 times" in ctl("registry", "ledger").stdout


def test_csr_verbs(ctl, daemon):
    daemon("csrd", {"kubeconfig": str(ctl.etc / "kubeconfig")})
    assert ctl("csr", "ls").stdout == ""
    assert json.loads(ctl("csr", "ls", "--json").stdout) == []
    assert ctl("csr", "show", "x", expect=1).stderr.startswith("okdctl: okd-csrd: ")
    assert ctl("csr", "approve", "x", "y", expect=1).stdout == ""
    assert line(ctl.check("csr"), "no kubeconfig")["level"] == "NOT YET"


def test_reset_says_and_does(ctl, lbd, ignd):
    (ctl.etc / "kubeconfig").write_text("x")
    ctl("ign", "close")
    p = ctl("reset", expect=1)
    assert "For a reinstall:" in p.stdout and "nothing was done" in p.stderr
    ctl("reset", "--dry-run")
    assert (ctl.etc / "kubeconfig").exists()
    ctl("reset", "--yes")
    assert (ctl.etc / "kubeconfig.old").exists() and not (ctl.etc / "kubeconfig").exists()
    assert all(windows(ctl).values())


# --- the registry ----------------------------------------------------------------------


def test_check_speaks_to_the_registry_as_a_node_would(ctl, regd):
    lines = ctl.check("registry")
    assert line(lines, "over TLS as registry.okd.example.com")["level"] == "OK"
    assert line(lines, "accepts the pull secret")["level"] == "OK"
    assert line(lines, "this host does not trust")["level"] == "WARN"
    assert line(lines, "no release is mirrored")["level"] == "NOT YET"


def test_check_names_a_pull_secret_that_is_refused(ctl, regd):
    secret = ctl.etc / "pull-secret.json"
    wrong = base64.b64encode(b"admin:wrong").decode()
    secret.write_text(json.dumps(
        {"auths": {"registry.okd.example.com:5000": {"auth": wrong}}}))
    assert line(ctl.check("registry", expect=1), "refuses the pull secret of user admin")


def test_check_names_a_registry_with_another_certificate(ctl, regd):
    own = ctl.file("registry.crt")
    other = Ctl(ctl.etc.parent / "home")
    other.init()
    reload_with(regd, tls={"certificate": str(other.etc / "registry.crt"),
                           "key": str(other.etc / "registry.key")})
    found = line(ctl.check("registry", expect=1), "shows a certificate that is not of its CA")
    assert "x509: certificate signed by unknown authority" in found["text"]
    assert ctl.file("registry.crt") == own


def test_registry_users(ctl, regd):
    def login(user, password):
        return requests.get(f"https://127.0.0.1:{regd.port}/v2/", auth=(user, password),
                            verify=str(ctl.etc / "registry-ca.crt"), timeout=10).status_code

    assert ctl("registry", "user", "ls").stdout == "admin\n"
    password = ctl("registry", "user", "set", "ci").stdout.strip()
    ctl("reload", "regd")
    assert login("ci", password) == 200 and login("ci", "x") == 401
    ctl("registry", "user", "set", "ci", "--password-file", "-", stdin="other\n")
    ctl("reload", "regd")
    assert login("ci", "other") == 200
    ctl("registry", "user", "del", "ci")
    assert ctl("registry", "user", "ls").stdout == "admin\n"
    assert "there is no user" in ctl("registry", "user", "del", "ci", expect=1).stderr


def test_registry_verbs(ctl, regd, tmp_path):
    assert "0 blobs" in ctl("registry", "gc", "--dry-run").stdout
    assert ctl("registry", "ledger").stdout == ""
    assert json.loads(ctl("registry", "user", "ls", "--json").stdout) == ["admin"]
    assert "registry.okd.example.com" in ctl("registry", "mirror-config").stdout
    assert ctl("registry", "verify-release", "4.5.0", expect=1).stderr
    assert "No such file" in ctl("registry", "import", tmp_path / "none", expect=1).stderr


def test_an_import_is_over_when_the_command_ends(ctl, regd, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "holds no images that are known" in ctl(
        "registry", "import", tmp_path / "empty", expect=1).stderr
    good, bad = Image({"f": os.urandom(1 << 20)}), Image({"f": b"x"})
    good.write_layout(tmp_path / "good", tag="v1")
    bad.write_layout(tmp_path / "bad", tag="v1")
    assert "say which repository" in ctl(
        "registry", "import", tmp_path / "good", expect=1).stderr
    out = ctl("registry", "import", tmp_path / "good", "--repository", "a/b").stdout
    assert "1 manifests and 1 tags are taken over" in out
    auth = json.loads(ctl.file("pull-secret.json"))["auths"]["registry.okd.example.com:5000"]
    assert requests.get(f"https://127.0.0.1:{regd.port}/v2/a/b/manifests/v1", timeout=10,
                        headers={"Authorization": f"Basic {auth['auth']}"},
                        verify=str(ctl.etc / "registry-ca.crt")).status_code == 200
    layer = bad.layers[0]
    name = tmp_path / "bad" / "blobs" / "sha256" / hashlib.sha256(layer).hexdigest()
    name.write_bytes(b"rot")
    out = ctl("registry", "import", tmp_path / "bad", "--repository", "a/c", expect=1).stdout
    assert f"failed: a/c@sha256:{hashlib.sha256(layer).hexdigest()}: its bytes have" in out
    assert json.loads(ctl("registry", "import", tmp_path / "bad", "--repository", "a/c",
                          "--json", expect=1).stdout)["running"] is False


# --- other programs --------------------------------------------------------------------


def test_tune_prints_and_applies(ctl, tmp_path):
    text = ctl("tune", "single-worker").stdout
    assert "oc scale --replicas=1 ingresscontroller/default -n openshift-ingress-operator" in text
    assert len(text.splitlines()) == 9
    assert "etcd-quorum-guard" in ctl("tune", "single-master").stdout
    log = tmp_path / "log"
    fake(ctl, tmp_path, "oc", f'echo "$KUBECONFIG $@" >> {log}\n')
    ctl("tune", "no-workers", "--apply")
    assert log.read_text().startswith(f"{ctl.etc}/kubeconfig patch schedulers")
    assert "is not tuned" in ctl("tune", "big", expect=2).stderr
    said = json.loads(ctl("tune", "no-workers", "--json").stdout)
    (command,) = said["commands"]
    assert said["applied"] is False
    assert command[:3] == ["oc", "patch", "schedulers.config.openshift.io/cluster"]


def test_logs_asks_the_journal(ctl, tmp_path):
    fake(ctl, tmp_path, "journalctl", 'echo "$@"\n')
    assert ctl("logs", "ignd", "--node", "worker", "-f").stdout == \
        "-u okd-ignd.service -f -n 200 OKD_NODE=worker OKD_NODE=worker.okd.example.com\n"
    assert ctl("logs", "--node", "worker.okd.example.com").stdout.endswith(
        " OKD_NODE=worker OKD_NODE=worker.okd.example.com\n")
    assert ctl("logs", "--node", "x").stdout.endswith(" 200 OKD_NODE=x\n")
    assert ctl("logs").stdout.count("-u") == 5
    assert "there is no daemon" in ctl("logs", "x", expect=2).stderr


def test_a_cluster_of_500_nodes_is_shown_at_once(ctl, tmp_path):
    cluster = example_cluster()
    cluster["machine_network"] = ["10.0.0.0/16"]
    cluster["bastion"]["addresses"] = ["10.0.0.1"]
    cluster["gateway"] = "10.0.0.1"
    cluster["nodes"] = [
        {"name": f"w{i}", "role": "worker", "address": f"10.0.{i // 200 + 1}.{i % 200 + 1}"}
        for i in range(500)] + [{"name": "m", "role": "master", "address": "10.0.9.1"}]
    path = tmp_path / "big.yaml"
    path.write_text(yaml.safe_dump(cluster))
    with Daemon("ignd", {"listen": [f"127.0.0.1:{free_port()}"]}, cluster) as d:
        ctl.join(d)
        p = ctl("status", "-C", path)
    assert len([x for x in p.stdout.splitlines() if "  worker  10.0." in x]) == 500


def test_helpers_of_shells_are_sound():
    top = os.path.join(os.path.dirname(__file__), "..", "..", "okdctl", "completion")
    subprocess.run(["bash", "-n", os.path.join(top, "okdctl.bash")], check=True)
    assert TOPOLOGY
