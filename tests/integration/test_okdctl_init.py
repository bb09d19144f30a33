"""okdctl init: what it writes, again and over what is there, and what it does to the host."""

import base64
import ctypes
import json
import os
import pty
import stat
import subprocess

import pytest
import yaml
from harness import SLOW, TOP, example_cluster
import test_okdctl
from test_okdctl import NODES, OKDCTL, TOPOLOGY, line, on_terminal
import variant

ctl = test_okdctl.ctl


def test_init_writes_what_is_needed(ctl):
    ctl.init()
    cluster = yaml.safe_load(ctl.file("cluster.yaml"))
    want = example_cluster()
    for node in want["nodes"]:
        node.pop("mac", None)
    assert {k: v for k, v in cluster.items() if v != []} == want
    config = yaml.safe_load(ctl.file("install-config.yaml"))
    assert config["controlPlane"]["replicas"] == 1
    assert config["compute"][0]["replicas"] == 0
    assert config["platform"] == {"none": {}}
    assert config["additionalTrustBundle"] == ctl.file("registry-ca.crt")
    assert json.loads(config["pullSecret"]) == json.loads(ctl.file("pull-secret.json"))
    auth = json.loads(ctl.file("pull-secret.json"))["auths"]["registry.okd.example.com:5000"]
    user, _, password = base64.b64decode(auth["auth"]).decode().partition(":")
    assert user == "admin" and len(password) == 24
    assert ctl.file("registry.htpasswd").startswith("admin:$2y$10$")


def test_init_keeps_secrets_from_others(ctl):
    ctl.init()
    modes = {"private/registry-ca.key": 0o600, "registry.key": 0o640, "cluster.yaml": 0o644,
             "pull-secret.json": 0o640, "registry.htpasswd": 0o640,
             "install-config.yaml": 0o600, "private": 0o700}
    for name, mode in modes.items():
        assert stat.S_IMODE((ctl.etc / name).stat().st_mode) == mode, name


def test_certificate_is_what_clients_verify(ctl):
    ctl.init()
    ca, cert = ctl.etc / "registry-ca.crt", ctl.etc / "registry.crt"
    for option, name in [("-verify_hostname", "registry.okd.example.com"),
                         ("-verify_ip", "192.168.120.101"),
                         ("-verify_hostname", "bastion.okd.example.com")]:
        subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", "sslserver", option,
                        name, "-CAfile", ca, cert], check=True, capture_output=True)


def snapshot(folder):
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else None)
            for p in folder.rglob("*")}


def bcrypt_fits(password, hashed):
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    return crypt(password.encode(), hashed.encode()) == hashed.encode()


def lets_in(ctl):
    """Whom the pull secret names, if registry.htpasswd lets that user in."""
    auths = json.loads(ctl.file("pull-secret.json"))["auths"]
    user, _, password = base64.b64decode(
        auths["registry.okd.example.com:5000"]["auth"]).decode().partition(":")
    for name, _, hashed in (x.partition(":") for x in
                            ctl.file("registry.htpasswd").splitlines()):
        if name == user and bcrypt_fits(password, hashed):
            return user, password
    return None


@pytest.mark.parametrize("args,stdin,user", [
    (["--registry-password-file", "-"], "geheim\n", "admin"),
    (["--registry-user", "ops"], "", "ops"),
    (["--registry-user", "ops", "--registry-password-file", "-"], "geheim\n", "ops"),
    ([], "", "admin"),  # the pull secret knows the registry no more
])
def test_the_pull_secret_names_whom_the_registry_lets_in(ctl, args, stdin, user):
    ctl.init()
    ctl("registry", "user", "set", "ci")
    if not args:
        (ctl.etc / "pull-secret.json").write_text('{"auths": {"quay.io": {"auth": "eDp5"}}}')
    before = ctl.file("pull-secret.json"), ctl.file("registry.htpasswd")
    p = ctl("init", *args, stdin=stdin, expect=1)
    assert "registry.htpasswd" in p.stdout and "does not let the user in" in p.stdout
    assert (ctl.file("pull-secret.json"), ctl.file("registry.htpasswd")) == before
    ctl("init", *args, "--force", stdin=stdin)
    assert lets_in(ctl) and lets_in(ctl)[0] == user
    assert not stdin or lets_in(ctl)[1] == "geheim"
    assert "ci:$2y$" in ctl.file("registry.htpasswd")
    assert ctl.file("registry.htpasswd").count("\nadmin:") + \
        ctl.file("registry.htpasswd").startswith("admin:") == 1
    after = snapshot(ctl.etc)
    ctl("init", *args, stdin=stdin)
    ctl("init")
    assert snapshot(ctl.etc) == after


def test_a_certificate_of_a_ca_that_is_gone_is_made_anew(ctl):
    """The next one has the same name and another key: clients would refuse the old chain."""
    ctl.init()
    (ctl.etc / "registry-ca.crt").unlink()
    (ctl.etc / "private/registry-ca.key").unlink()
    assert "was issued by another CA of the same name" in ctl("init", expect=1).stdout
    ctl("init", "--force")
    subprocess.run(["openssl", "verify", "-CAfile", ctl.etc / "registry-ca.crt",
                    ctl.etc / "registry.crt"], check=True, capture_output=True)


def test_the_settings_may_be_in_a_folder_of_any_name(ctl, tmp_path):
    ctl.etc = tmp_path / "a: 'b' #c"
    ctl.init()
    regd = yaml.safe_load(ctl.file("regd.yaml"))
    assert regd["tls"]["key"] == f"{ctl.etc}/registry.key"
    assert regd["auth"] == {"htpasswd": f"{ctl.etc}/registry.htpasswd"}


@pytest.mark.parametrize("text,key", [
    ("\n# mine\nssh-ed25519 AAAAC3 me@here\r\n", "ssh-ed25519 AAAAC3 me@here"),
    ("root:x:0:0:root:/root:/bin/sh\n", "holds no public key of SSH"),
    ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", "is the private key"),
])
def test_the_ssh_key_is_one(ctl, text, key):
    path = ctl.home / "key"
    path.write_text(text)
    if key.startswith("ssh-"):
        ctl.init("--ssh-key", path)
        assert yaml.safe_load(ctl.file("install-config.yaml"))["sshKey"] == key
    else:
        assert key in ctl.init("--ssh-key", path, expect=1).stderr


def test_init_again_changes_nothing(ctl):
    ctl.init()
    before = snapshot(ctl.etc)
    ctl.init()
    ctl("init")
    out = json.loads(ctl("init", "--json").stdout)
    assert {f["state"] for f in out["files"]} == {"same"}
    assert snapshot(ctl.etc) == before


def test_init_overwrites_only_with_force_and_leaves_a_copy(ctl):
    ctl.init()
    before = snapshot(ctl.etc)
    p = ctl("init", "--gateway", "192.168.120.1", expect=1)
    assert "--force" in p.stderr and "nothing was written" in p.stderr
    assert snapshot(ctl.etc) == before
    old = ctl.file("cluster.yaml")
    ctl("init", "--gateway", "192.168.120.1", "--force")
    assert yaml.safe_load(ctl.file("cluster.yaml"))["gateway"] == "192.168.120.1"
    copies = list(ctl.etc.glob("cluster.yaml.bak-*"))
    assert [c.read_text() for c in copies] == [old]


def test_init_renews_a_certificate_that_lacks_an_address(ctl):
    ctl.init()
    ca = ctl.file("registry-ca.crt")
    args = ["--bastion", "192.168.120.105", "--gateway", "192.168.120.1"]
    ctl("init", *args, "--force")
    assert ctl.file("registry-ca.crt") == ca
    text = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in",
                           ctl.etc / "registry.crt"], check=True, capture_output=True,
                          text=True).stdout
    assert "IP Address:192.168.120.105" in text


@pytest.mark.parametrize("args,sentence", [
    ([], "--name okd"),
    (["--name", "okd", "--base-domain", "example.com", "--bastion", "10.0.0.1",
      "--machine-network", "10.0.0.0/8", "--node", "name=a,rol=master"],
     'did you mean "role"?'),
    (["--name", "okd", "--base-domain", "example.com", "--bastion", "10.0.0.1",
      "--machine-network", "10.0.0.0/8", "--node", "name=a,role=master"], "lacks its address"),
    (["--name", "okd", "--base-domain", "example.com", "--bastion", "10.0.0.1",
      "--machine-network", "10.0.0.0/8", "--node", "name=a,role=master,address=11.0.0.1"],
     "lies outside machine_network"),
    (["--topology", "/does/not/exist"], "/does/not/exist does not exist"),
    (["--topology", "x", "--name", "okd"], "edit that file instead"),
    (TOPOLOGY + ["--release", "abc"], '"abc" is no release of OKD'),
    (TOPOLOGY + ["--cluster-network", "10.0.0.0/33"], "10.0.0.0/33"),
    (TOPOLOGY + ["--service-network", "192.168.0.0/16"], "192.168.0.0/16"),
    (TOPOLOGY + ["--service-network", "10.128.0.0/16"], "overlaps the service network"),
])
def test_init_says_what_is_wrong_and_writes_nothing(ctl, args, sentence):
    p = ctl("init", *args, expect=1)
    assert sentence in p.stderr
    assert not ctl.etc.exists()


def test_init_from_topology_and_password(ctl, tmp_path):
    source = os.path.join(TOP, "examples", "okd.example.com", "cluster.yaml")
    key = ctl.home / ".ssh"
    key.mkdir()
    (key / "id_ed25519.pub").write_text("ssh-ed25519 AAAAC3 me@here\n")
    secret = tmp_path / "quay.json"
    secret.write_text('{"auths": {"quay.io": {"auth": "eDp5"}}}')
    ctl("init", "--topology", source, "--registry-password-file", "-", "--pull-secret",
        secret, "--registry-user", "ops", stdin="geheim\n")
    with open(source, encoding="utf-8") as f:
        assert ctl.file("cluster.yaml") == f.read()
    auths = json.loads(ctl.file("pull-secret.json"))["auths"]
    assert base64.b64decode(auths["registry.okd.example.com:5000"]["auth"]) == b"ops:geheim"
    assert "quay.io" in auths
    assert yaml.safe_load(ctl.file("install-config.yaml"))["sshKey"] == \
        "ssh-ed25519 AAAAC3 me@here"


def test_init_completes_an_install_config(ctl, tmp_path):
    source = tmp_path / "install-config.yaml"
    source.write_text("apiVersion: v1\nbaseDomain: example.com # mine\nmetadata:\n"
                      "  name: okd\nnetworking:\n  machineNetwork:\n"
                      "  - cidr: 192.168.120.0/24\nfips: true\n")
    before = source.read_text()
    args = ["--from", source, "--bastion", "192.168.120.101"]
    for n in NODES:
        args += ["--node", n]
    ctl("init", *args)
    text = ctl.file("install-config.yaml")
    assert "baseDomain: example.com # mine\n" in text
    config = yaml.safe_load(text)
    assert config["fips"] is True
    assert config["additionalTrustBundle"] == ctl.file("registry-ca.crt")
    assert source.read_text() == before
    assert yaml.safe_load(ctl.file("cluster.yaml"))["machine_network"] == ["192.168.120.0/24"]


@pytest.mark.parametrize("args,key,value", [
    (["--cluster-network", "10.200.0.0/14"], "clusterNetwork", "10.200.0.0/14"),
    (["--service-network", "172.31.0.0/16"], "serviceNetwork", "172.31.0.0/16"),
    (["--release", "4.17"], "imageDigestSources", "quay.io/okd/scos-content"),
    (["--ssh-key", "second.pub"], "sshKey", "ssh-ed25519 AAAABBBB"),
])
def test_init_again_with_what_install_config_has_otherwise(ctl, args, key, value):
    for name, text in (("first.pub", "ssh-ed25519 AAAACCCC"), ("second.pub", "ssh-ed25519 AAAABBBB")):
        (ctl.home / name).write_text(text + "\n")
    args = [ctl.home / a if a.endswith(".pub") else a for a in args]
    ctl.init("--ssh-key", ctl.home / "first.pub")
    before = ctl.file("install-config.yaml")
    assert "--force" in ctl("init", *args, expect=1).stderr
    assert ctl.file("install-config.yaml") == before
    if "--ssh-key" not in args:
        args += ["--ssh-key", ctl.home / "first.pub"]
    ctl("init", *args, "--force")
    after = ctl.file("install-config.yaml")
    assert f"{key}:" in after and value in after and value not in before
    (copy,) = ctl.etc.glob("install-config.yaml.bak-*")
    assert copy.read_text() == before
    ctl("init", *args)  # nothing is left to do
    assert "There is no SSH key" not in ctl("init").stdout
    assert ctl.file("install-config.yaml") == after


def test_networks_of_a_given_file_are_written_there(ctl, tmp_path):
    ctl.init()
    source = tmp_path / "mine.yaml"
    source.write_text(ctl.file("install-config.yaml"))
    p = ctl("init", "--from", source, "--cluster-network", "10.200.0.0/14", expect=1)
    assert f"--from keeps the networks of {source}" in p.stderr


def test_half_written_cluster_file_gets_a_sentence_with_its_line(ctl):
    ctl.init()
    (ctl.etc / "cluster.yaml").write_text("name: okd\nbase_domain: exam")
    p = ctl("init", expect=1)
    assert "cluster.yaml:" in p.stderr
    assert "cluster.yaml:" in ctl("kargs", "master", expect=1).stderr
    assert line(ctl.check("cluster", expect=1), "cluster.yaml:")["level"] == "FAIL"


def test_half_written_files_of_init_are_named_with_the_way_out(ctl):
    ctl.init()
    path = ctl.etc / "install-config.yaml"
    whole = path.read_text()
    path.write_text(whole[:whole.index("baseDomain") + 6])
    found = line(ctl.check("registry", expect=1), f"{path}:")
    assert "okdctl init --force" in found["remedy"]
    p = ctl("init", expect=1)
    assert f"{path}:" in p.stderr and "move it away and run this again" in p.stderr
    ctl("init", "--force")
    assert path.read_text() == whole
    (ctl.etc / "pull-secret.json").write_text("")
    p = ctl("init", expect=1)
    assert f"{ctl.etc}/pull-secret.json:" in p.stderr and "move it away" in p.stderr
    (ctl.etc / "pull-secret.json").unlink()
    assert "--registry-password-file FILE" in ctl("init", expect=1).stderr
    (ctl.etc / "registry.key").write_text("x")
    ctl("init", "--registry-password-file", "-", "--force", stdin="geheim\n")
    assert "BEGIN" in ctl.file("registry.key")


def test_init_asks_on_a_terminal(ctl):
    master, slave = pty.openpty()
    env = {**os.environ, **variant.sanitizer_environment(), "HOME": str(ctl.home)}
    p = subprocess.Popen([OKDCTL, "--etc", ctl.etc, "init"], stdin=slave, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    os.close(slave)
    answers = ["lab", "example.org", "10.0.0.1", "10.0.0.0/24", "10.0.0.254",
               "name=m,role=master,address=10.0.0.3", "nonsense",
               "name=w,role=worker,address=10.0.0.4", ""]
    os.write(master, "".join(a + "\n" for a in answers).encode())
    _, err = p.communicate(timeout=30 * SLOW)
    os.close(master)
    assert p.returncode == 0, err
    cluster = yaml.safe_load(ctl.file("cluster.yaml"))
    assert cluster["name"] == "lab" and cluster["gateway"] == "10.0.0.254"
    assert [n["name"] for n in cluster["nodes"]] == ["m", "w"]
    assert "is no key=value" in err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a network of its own")
def test_init_offers_an_address_that_nodes_can_reach(ctl):
    script = ("ip link add name v0 type veth peer name v1; ip address add 169.254.7.7/16 dev v0; "
              'ip address add 10.1.2.3/24 dev v0; "$0" --etc "$1" init; true')
    out = on_terminal(["-n", "sh", "-c", script, OKDCTL, str(ctl.etc)], program="unshare",
                      typed=b"\n\n\n\n\n\n")
    assert b"for the nodes [10.1.2.3]" in out and b"of the nodes [10.1.2.0/24]" in out


def test_apply_lists_first_and_works_below_a_root(ctl, tmp_path):
    root = tmp_path / "root"
    anchors = root / "etc/pki/ca-trust/source/anchors"
    anchors.mkdir(parents=True)
    (anchors / "okd-bastion-registry.crt").write_text("an older one\n")
    (root / "etc/resolv.conf").write_text("nameserver 9.9.9.9\n")
    p = ctl.init("--apply", "--root", root, expect=1)
    assert "write /etc/resolv.conf" in p.stdout and "nobody can be asked" in p.stderr
    assert (root / "etc/resolv.conf").read_text() == "nameserver 9.9.9.9\n"
    ctl("init", "--apply", "--root", root, "--yes")
    assert (root / "etc/resolv.conf").read_text() == \
        "search okd.example.com\nnameserver 192.168.120.101\n"
    # Every file of that folder would be trusted.
    assert {p.name: p.read_text() for p in anchors.iterdir()} == \
        {"okd-bastion-registry.crt": ctl.file("registry-ca.crt")}
    assert len(list((root / "etc").glob("resolv.conf.bak-*"))) == 1
    assert "nothing is to be done" in ctl("init", "--apply", "--root", root, "--yes").stdout


@pytest.mark.parametrize("folder,file,text", [
    ("run/NetworkManager", "etc/NetworkManager/conf.d/90-okd-bastion.conf",
     "servers=192.168.120.101"),
    ("run/systemd/resolve", "etc/systemd/resolved.conf.d/okd-bastion.conf",
     "DNS=192.168.120.101"),
])
def test_apply_knows_who_writes_resolv_conf(ctl, tmp_path, folder, file, text):
    root = tmp_path / "root"
    (root / folder).mkdir(parents=True)
    (root / folder / "stub-resolv.conf").write_text("")
    ctl.init("--apply", "--root", root, "--yes")
    assert text in (root / file).read_text()
    assert not (root / "etc/resolv.conf").exists()
