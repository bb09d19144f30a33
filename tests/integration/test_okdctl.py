"""okdctl: init, kargs, import, its sentences and exit codes, and the daemons it asks."""

import fcntl
import json
import os
import pty
import select
import shutil
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest
import yaml
from admin_stand_in import stand_in
from harness import BUILD, SLOW, TOP, Daemon, example_cluster, free_port
import variant

OKDCTL = os.path.join(BUILD, "okdctl")
CORPUS = os.path.join(TOP, "tests", "fuzz", "corpus")
NODES = [
    "name=bootstrap,role=bootstrap,address=192.168.120.102,interface=ens787f0,disk=sda",
    "name=master,role=master,address=192.168.120.103,interface=ens787f0,disk=sda",
    "name=worker,role=worker,address=192.168.120.104,interface=ens786f1,disk=sda",
]
TOPOLOGY = ["--name", "okd", "--base-domain", "example.com", "--bastion", "192.168.120.101",
            "--gateway", "192.168.120.101", "--machine-network", "192.168.120.0/24",
            "--upstream-dns", "114.114.114.114", *[w for n in NODES for w in ("--node", n)]]


def on_terminal(args, size=(0, 0), until=None, typed=b"", env=None, program=OKDCTL, **streams):
    """What okdctl writes to a terminal of so many rows and columns (0: it does not say), which
    is its input too and stands for each of its outputs that streams does not send elsewhere.
    Once it has written until, Ctrl-C is pressed; it must end well."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    os.write(master, typed)
    p = subprocess.Popen([program, *args],
                         env={**os.environ, **variant.sanitizer_environment(), **(env or {})},
                         **{"stdin": slave, "stdout": slave, "stderr": slave, **streams})
    os.close(slave)
    out = b""
    while True:
        try:
            out += os.read(master, 65536)
        except OSError:
            break  # the other end is closed
        if until and until in out:
            until = p.send_signal(signal.SIGINT)
    assert p.wait() == 0, out
    os.close(master)
    return out


class Ctl:
    """okdctl with folders of its own."""

    def __init__(self, tmp):
        self.etc = tmp / "etc"
        self.run_dir = tmp / "run"
        self.home = tmp / "home"
        self.run_dir.mkdir()
        self.home.mkdir()
        self.path = os.environ["PATH"]

    def __call__(self, *args, expect=0, stdin=""):
        env = {**os.environ, **variant.sanitizer_environment(), "HOME": str(self.home),
               "PATH": self.path}
        env.pop("SUDO_USER", None)
        p = subprocess.run([OKDCTL, "--etc", self.etc, "--run-dir", self.run_dir, *args],
                           input=stdin, capture_output=True, text=True, env=env,
                           timeout=30 * SLOW)
        assert not variant.SANITIZER.search(p.stderr), p.stderr
        assert p.returncode == expect, f"{args}: {p.returncode}\n{p.stdout}\n{p.stderr}"
        return p

    def init(self, *args, **kwargs):
        return self("init", *TOPOLOGY, *args, **kwargs)

    def file(self, name):
        return (self.etc / name).read_text()

    def join(self, daemon):
        """Has okdctl find a running daemon."""
        os.symlink(daemon.runtime_dir, self.run_dir / f"okd-{daemon.name}")

    def check(self, *groups, expect=0):
        return json.loads(self("check", "--json", *groups, expect=expect).stdout)


@pytest.fixture
def ctl(tmp_path):
    return Ctl(tmp_path)


def line(lines, text):
    """The check's line that holds text."""
    found = [x for x in lines if text in x["text"]]
    assert found, f"no line with {text!r} in {json.dumps(lines, indent=1)}"
    return found[0]


def no_fail(lines):
    return [x for x in lines if x["level"] == "FAIL"] == []


# --- the command line ------------------------------------------------------------------


@pytest.mark.parametrize("args,sentence", [
    (["inti"], 'did you mean "init"?'),
    (["init", "--nam", "x"], "did you mean --name?"),
    (["init", "--force=1"], "--force takes no value"),
    (["init", "--name"], "--name needs a value"),
    (["kargs"], "write: okdctl kargs NODE"),
    (["kargs", "a", "--ipxe", "--raw"], "exclude each other"),
    (["import", "bind", "x"], "corefile, haproxy, nginx and etcd can"),
    (["reload", "sshd"], 'there is no daemon "sshd"'),
    (["check", "nothing"], 'there is no group "nothing"'),
    (["status", "--color", "blue"], "auto, always or never"),
    (["init", "-C", "x"], "give --topology FILE"),
])
def test_bad_usage_says_what_to_write(ctl, args, sentence):
    p = ctl(*args, expect=2)
    assert sentence in p.stderr
    assert p.stdout == ""


def test_every_command_has_help_with_examples(ctl):
    overview = ctl("--help").stdout
    commands = [x[2:26].strip() for x in overview.splitlines() if x.startswith("  ")]
    assert "init" in commands and "check" in commands
    for command in commands:
        text = ctl(*command.split(), "--help").stdout
        assert "Examples:" in text
        assert f"okdctl {command}" in text.split("Examples:")[1]
        assert max(map(len, text.splitlines())) <= 110


def test_the_version_is_told_wherever_it_is_asked_for(ctl):
    for args in (["--version"], ["-V"]):
        assert ctl(*args).stdout.startswith("okdctl ")
    ctl("--verson", expect=2)


def test_completion_offers_what_can_come(ctl):
    ctl.init()
    assert ctl("__complete", "--", "ini").stdout == "init\n"
    assert "--bastion-name\n" in ctl("__complete", "--", "init", "--bast").stdout
    assert ctl("__complete", "--", "kargs", "ma").stdout == "master\n"
    assert ctl("__complete", "--", "reload", "dn").stdout == "dnsd\n"


def complete_in_bash(ctl, text):
    """What bash offers for a line, through the shipped file."""
    script = os.path.join(TOP, "okdctl", "completion", "okdctl.bash")
    words = text.split(" ")
    quoted = " ".join(f"'{w}'" for w in words)
    done = subprocess.run(
        ["bash", "--norc", "-c", f"""
            okdctl() {{ {OKDCTL} "$@"; }}
            . {script}
            COMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1}
            _okdctl
            printf '%s\\n' "${{COMPREPLY[@]}}"
            complete -p okdctl"""],
        capture_output=True, text=True, check=True, cwd=ctl.home,
        env={**os.environ, **variant.sanitizer_environment()})
    *words, how = done.stdout.splitlines()
    assert "-F _okdctl okdctl" in how
    return words


def test_bash_completes_commands_options_nodes_and_files(ctl):
    ctl.init()
    (ctl.home / "install-config.yaml").write_text("")
    assert complete_in_bash(ctl, "okdctl ini") == ["init"]
    assert complete_in_bash(ctl, "okdctl registry verify") == ["verify-release"]
    assert "--machine-network" in complete_in_bash(ctl, "okdctl init --mach")
    assert complete_in_bash(ctl, "okdctl upgrade lb") == ["lbd"]
    assert complete_in_bash(ctl, "okdctl publish inst") == ["install-config.yaml"]


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_completes_as_well(ctl):
    """A real zsh on a terminal: Tab is pressed, and the line is completed."""
    folder = os.path.join(TOP, "okdctl", "completion")
    (ctl.home / "bin").mkdir()
    os.symlink(OKDCTL, ctl.home / "bin" / "okdctl")
    master, slave = pty.openpty()
    env = {**os.environ, **variant.sanitizer_environment(), "HOME": str(ctl.home),
           "TERM": "dumb", "PATH": f"{ctl.home}/bin:{os.environ['PATH']}"}
    p = subprocess.Popen(["zsh", "-f", "-i"], stdin=slave, stdout=slave, stderr=slave, env=env,
                         start_new_session=True, cwd=ctl.home)
    os.close(slave)
    out = b""

    def until(text):
        nonlocal out
        end = time.monotonic() + 20 * SLOW
        while text not in out and time.monotonic() < end:
            if select.select([master], [], [], 0.2)[0]:
                out += os.read(master, 65536)
        assert text in out, out

    os.write(master, f"PS1='ready> '; unsetopt zle_bracketed_paste; fpath=({folder} $fpath); "
             "autoload -U compinit; compinit -u -D; print be''gin\n".encode())
    until(b"begin")
    os.write(master, b"\x15okdctl upg\t")
    until(b"okdctl upgrade")
    os.write(master, b"\x15okdctl registry verify-r\t")
    until(b"verify-release")
    os.write(master, b"\x15exit\n")
    assert p.wait(20 * SLOW) == 0
    os.close(master)


# --- kargs -----------------------------------------------------------------------------


def test_kargs_is_the_line_of_the_guide(ctl):
    ctl.init()
    assert ctl("kargs", "bootstrap").stdout == (
        "ip=192.168.120.102::192.168.120.101:255.255.255.0:bootstrap.okd.example.com:"
        "ens787f0:none nameserver=192.168.120.101 coreos.inst.install_dev=sda "
        "coreos.inst.image_url=http://192.168.120.101:8080/install/coreos.raw.xz "
        "coreos.inst.ignition_url=http://192.168.120.101:8080/ignition/bootstrap.ign\n")
    script = ctl("kargs", "worker", "--ipxe").stdout
    assert script.startswith("#!ipxe\n") and "ignition/worker.ign" in script
    assert json.loads(ctl("kargs", "master", "--json").stdout)["node"] == "master"


def test_kargs_of_an_unknown_node_names_those_there_are(ctl):
    ctl.init()
    p = ctl("kargs", "worker1", expect=1)
    assert "bootstrap, master, worker" in p.stderr


def test_kargs_has_what_ignd_yaml_adds(ctl):
    """Of the daemon that runs, else of the file; the same as in its own scripts."""
    ctl.init()
    port = free_port()
    settings = {"boot": {"image": "fcos.raw.xz", "args": ["console=ttyS0", "a=b"]},
                "nodes": [{"name": "worker", "token": "a&b"}]}
    (ctl.etc / "ignd.yaml").write_text(yaml.safe_dump(settings))
    end = "ignition/worker.ign?t=a%26b console=ttyS0 a=b"
    assert ctl("kargs", "worker").stdout.endswith(f"/install/fcos.raw.xz coreos.inst."
                                                  f"ignition_url=http://192.168.120.101:8080/{end}\n")
    assert ctl("kargs", "master").stdout.endswith("ignition/master.ign console=ttyS0 a=b\n")
    assert f"{end}\ninitrd" in ctl("kargs", "worker", "--ipxe").stdout
    (ctl.etc / "ignd.yaml").write_text('boot: {args: ["a\\nshell"]}\n')
    assert "control character" in ctl("kargs", "worker", "--ipxe", expect=1).stderr
    settings["listen"] = [f"127.0.0.1:{port}"]
    with Daemon("ignd", settings, {**example_cluster(), "upstream_dns": []}) as d:
        ctl.join(d)
        assert ctl("kargs", "worker").stdout.endswith(end + "\n")


# --- import ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind,file,key", [
    ("corefile", "guide", "template"), ("haproxy", "guide", "backends"),
    ("nginx", "guide", "ignition"), ("etcd", "lines", "records"),
])
def test_import_prints_yaml_and_says_what_is_lost(ctl, kind, file, key):
    path = os.path.join(CORPUS, f"import_{kind}", file)
    p = ctl("import", kind, path)
    assert key in yaml.safe_load(p.stdout)
    assert f"{path}:" in p.stderr
    with open(path, encoding="utf-8") as f:
        assert yaml.safe_load(ctl("import", kind, "-", stdin=f.read()).stdout) == \
            yaml.safe_load(p.stdout)


@pytest.mark.parametrize("kind,file,daemon", [
    ("corefile", "guide", "dnsd"), ("haproxy", "guide", "lbd"), ("nginx", "guide", "ignd"),
    ("etcd", "lines", "dnsd"),
])
def test_what_is_imported_passes_the_daemon(ctl, tmp_path, kind, file, daemon):
    program = os.path.join(BUILD, f"okd-{daemon}")
    if not os.path.exists(program):
        pytest.skip(f"okd-{daemon} is not built")
    ctl.init()
    path = tmp_path / f"{daemon}.yaml"
    path.write_text(ctl("import", kind, os.path.join(CORPUS, f"import_{kind}", file)).stdout)
    p = subprocess.run([program, "-n", "-c", path, "-C", ctl.etc / "cluster.yaml"],
                       capture_output=True, text=True)
    if "unknown key" in p.stderr and kind == "corefile":
        pytest.skip(f"this okd-dnsd does not know all of it: {p.stderr.strip()}")
    assert p.returncode == 0, p.stderr


# --- the daemons -----------------------------------------------------------------------


@pytest.fixture
def dnsd(ctl):
    cluster = {**example_cluster(), "upstream_dns": []}
    with Daemon("dnsd", {"listen": [f"127.0.0.1:{free_port()}"]}, cluster) as d:
        ctl("init", "--topology", d.cluster_path)
        ctl.join(d)
        yield d


def reload_with(daemon, **settings):
    with open(daemon.config_path, encoding="utf-8") as f:
        daemon.reload({**yaml.safe_load(f), **settings})


def test_status_shows_who_runs_and_who_does_not(ctl, dnsd):
    out = ctl("status").stdout
    assert "okd-dnsd  ready" in out and "okd-lbd   not running" in out
    assert "192.168.120.103" in out
    assert "\033[" not in out
    assert "\033[32mready" in ctl("status", "--color", "always").stdout
    data = json.loads(ctl("status", "--json").stdout)
    assert data["dnsd"]["ready"] is True and data["lbd"]["running"] is False


def test_without_daemons_the_exit_code_says_so(ctl):
    ctl.init()
    assert "not running" in ctl("status", expect=69).stdout
    assert json.loads(ctl("status", "--json", expect=69).stdout)["dnsd"]["running"] is False
    p = ctl("reload", "dnsd", expect=69)
    assert "systemctl start okd-dnsd" in p.stderr
    assert "okd-bastion.target" in ctl("reload", expect=69).stderr


def test_a_daemon_that_hangs_is_named(ctl):
    folder = ctl.run_dir / "okd-dnsd"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(folder / "admin.sock"))
        s.listen()
        p = ctl("check", "daemons", expect=1)
    assert "okd-dnsd does not answer" in p.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_no_permission_is_said_with_its_remedy(ctl, dnsd):
    # It may look into every folder, a home of mode 0700 among them, and write nowhere.
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
              "--inh-caps", "-all,+dac_read_search", "--ambient-caps", "+dac_read_search"]
    p = subprocess.run(nobody + [OKDCTL, "--run-dir", ctl.run_dir, "reload", "dnsd"],
                       capture_output=True, text=True)
    assert p.returncode == 77, p.stderr
    assert "okd-admin" in p.stderr


def test_reload_tells_what_the_daemon_found(ctl, dnsd):
    assert "okd-dnsd  reloaded" in ctl("reload", "dnsd").stdout
    dnsd.write_config({"listen": ["127.0.0.1:99999"]})
    p = ctl("reload", "dnsd", expect=1)
    assert "dnsd.yaml:" in p.stderr


@pytest.mark.parametrize("as_json", [False, True])
def test_upgrade_hands_over_and_says_so(ctl, dnsd, as_json):
    old = dnsd.pid
    said = []
    args = ["upgrade", "dnsd"] + ["--json"] * as_json
    dnsd.signal = lambda signo: said.append(ctl(*args).stdout)
    new = dnsd.upgrade()
    del dnsd.signal
    if as_json:
        (one,) = json.loads(said[0])
        assert (one["daemon"], one["was"], one["is"]) == ("dnsd", old, new)
    else:
        assert f"(process {old} -> {new})" in said[0]
    dnsd.wait_old()
    assert json.loads(ctl("status", "--json").stdout)["dnsd"]["pid"] == new


def test_an_upgrade_that_fails_leaves_the_daemon_as_it_is(ctl, dnsd):
    dnsd.write_config({"listen": ["127.0.0.1:99999"]})
    p = ctl("upgrade", "dnsd", expect=1)
    assert "the upgrade failed" in p.stderr and f"process {dnsd.pid} goes on" in p.stderr
    assert json.loads(ctl("status", "--json").stdout)["dnsd"]["pid"] == dnsd.pid


def test_upgrade_signals_no_process_that_only_claims_to_be_the_daemon(ctl):
    with stand_in(ctl.run_dir, "dnsd", version="9"):
        p = ctl("upgrade", "dnsd", expect=1)  # USR2 would end this very process
    assert "which it is not; nothing was sent" in p.stderr
    assert "okd-lbd does not run" in ctl("upgrade", "lbd", expect=69).stderr


# --- check: each diagnosis by breaking that thing --------------------------------------


def test_check_names_a_missing_cluster_file(ctl):
    found = line(ctl.check("cluster", expect=1), "does not exist")
    assert found["remedy"] == "okdctl init"


def test_check_before_the_daemons_run_has_no_fault_of_theirs(ctl):
    ctl.init()
    lines = ctl.check("cluster", "secrets", "daemons", "dns", "lb", "registry", "files", "csr")
    assert no_fail(lines)
    assert line(lines, "okd-dnsd does not run")["level"] == "NOT YET"


def test_check_finds_every_name(ctl, dnsd):
    lines = ctl.check("dns", expect=1)  # this host's resolver is another one
    assert line(lines, "answers for every name")["level"] == "OK"
    assert line(lines, "this host's resolver")["remedy"].startswith("okdctl init --apply")


@pytest.mark.parametrize("records,text", [
    (["api IN A 192.168.120.99"], "api.okd.example.com points to 192.168.120.99"),
    (["104.120.168.192.in-addr.arpa. IN PTR worker1.okd.example.com."],
     "the PTR record of 192.168.120.104 says worker1.okd.example.com, not "
     "worker.okd.example.com"),
    (["103.120.168.192.in-addr.arpa. IN PTR master.okd.example.com.",
      "103.120.168.192.in-addr.arpa. IN PTR etcd-0.okd.example.com."],
     "192.168.120.103 has several PTR records"),
    (["_etcd-server-ssl._tcp IN SRV 0 10 2380 etcd-0",
      "_etcd-server-ssl._tcp IN SRV 0 10 2380 etcd-1"], "2 SRV records for 1 masters"),
])
def test_check_names_a_wrong_record(ctl, dnsd, records, text):
    reload_with(dnsd, records=records)
    assert line(ctl.check("dns", expect=1), text)["level"] == "FAIL"


def test_check_names_wrong_addresses_of_both_families(ctl):
    port = free_port()
    cluster = {**example_cluster(), "upstream_dns": [],
               "machine_network": ["192.168.120.0/24", "fd00::/64"]}
    cluster["nodes"][1].pop("address")
    cluster["nodes"][1]["addresses"] = ["192.168.120.103", "fd00::3"]
    records = [f"{cluster['nodes'][1]['name']}.okd.example.com. 60 IN {record}"
               for record in ("A 10.9.9.9", "AAAA fd00::9")]
    with Daemon("dnsd", {"listen": [f"127.0.0.1:{port}"], "records": records}, cluster) as d:
        ctl("init", "--topology", d.cluster_path)
        ctl.join(d)
        line(ctl.check("dns", expect=1),
             "points to 10.9.9.9, fd00::9, not to 192.168.120.103, fd00::3")


def test_check_names_a_missing_ptr_and_node(ctl, dnsd):
    cluster = yaml.safe_load(ctl.file("cluster.yaml"))
    cluster["nodes"].append({"name": "late", "role": "worker", "address": "192.168.120.110"})
    (ctl.etc / "cluster.yaml").write_text(yaml.safe_dump(cluster))
    lines = ctl.check("dns", expect=1)
    assert line(lines, "192.168.120.110 has no PTR record")["level"] == "FAIL"
    assert line(lines, "late.okd.example.com does not exist")["level"] == "FAIL"


def test_check_names_a_refusal_as_nodes_would(ctl, dnsd):
    reload_with(dnsd, allow=["10.0.0.0/8"])
    found = line(ctl.check("dns", expect=1), "server misbehaving")
    assert "allow" in found["remedy"] and "REFUSED" in found["text"]


def test_check_names_a_reload_that_failed(ctl, dnsd):
    dnsd.write_config({"listen": ["127.0.0.1:99999"]})
    ctl("reload", "dnsd", expect=1)
    assert line(ctl.check("daemons", expect=1), "keeps an older configuration")


def test_check_names_who_holds_a_port(ctl):
    ctl.init()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        (ctl.etc / "ignd.yaml").write_text(f'listen: ["127.0.0.1:{s.getsockname()[1]}"]\n')
        found = line(ctl.check("ports", expect=1), "okd-ignd's, is taken by")
        assert f"process {os.getpid()}" in found["text"]
    assert line(ctl.check("ports"), "free for okd-ignd")["level"] == "OK"


def test_check_names_a_secret_that_is_open(ctl):
    ctl.init()
    for name in ("private/registry-ca.key", "pull-secret.json", "install-config.yaml"):
        os.chmod(ctl.etc / name, 0o644)
        found = line(ctl.check("secrets", expect=1), name)
        assert found["level"] == "FAIL" and "chmod" in found["remedy"]
        os.chmod(ctl.etc / name, 0o600)
    (ctl.etc / "kubeconfig").write_text("x")
    os.chmod(ctl.etc / "kubeconfig", 0o755)
    assert line(ctl.check("secrets", expect=1), "kubeconfig can be read by everybody")


def without(path, start, end):
    text = path.read_text()
    head, rest = text.split(start, 1)
    path.write_text(head + rest.split(end, 1)[1])


def test_check_names_a_trust_bundle_without_the_ca(ctl):
    ctl.init()
    path = ctl.etc / "install-config.yaml"
    without(path, "additionalTrustBundle", "END CERTIFICATE-----\n")
    found = line(ctl.check("registry", expect=1), "x509: certificate signed by unknown")
    assert "additionalTrustBundle" in found["text"]


def test_check_names_a_pull_secret_without_the_registry(ctl):
    ctl.init()
    (ctl.etc / "pull-secret.json").write_text('{"auths": {}}\n')
    assert line(ctl.check("registry", expect=1), "has no entry for registry.okd")
    (ctl.etc / "pull-secret.json").write_text("{")
    assert line(ctl.check("registry", expect=1), "is no pull secret")


def test_check_names_replicas_that_do_not_fit(ctl):
    ctl.init()
    path = ctl.etc / "install-config.yaml"
    path.write_text(path.read_text().replace("replicas: 1", "replicas: 3"))
    assert line(ctl.check("registry", expect=1), "would wait for ever")


def make_certificate(ctl, *args):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout",
                    ctl.etc / "registry.key", "-out", ctl.etc / "registry.crt",
                    "-subj", "/CN=registry.okd.example.com", *args], check=True,
                   capture_output=True)
    (ctl.etc / "registry-ca.crt").write_text(ctl.file("registry.crt"))


def test_check_names_the_certificate_of_the_guide(ctl):
    ctl.init()
    make_certificate(ctl, "-days", "365")
    found = line(ctl.check("registry", expect=1), "lacks the name registry.okd.example.com")
    assert "it has none" in found["text"]


def test_check_names_a_certificate_that_ends_soon(ctl):
    ctl.init()
    make_certificate(ctl, "-days", "7", "-addext", "subjectAltName=DNS:registry.okd.example.com,"
                     "DNS:bastion.okd.example.com,IP:192.168.120.101")
    assert line(ctl.check("registry", expect=1), "certificate expires in")


def test_check_names_a_certificate_of_another_ca(ctl):
    ctl.init()
    ca = ctl.file("registry-ca.crt")
    make_certificate(ctl, "-days", "365")
    (ctl.etc / "registry-ca.crt").write_text(ca)
    assert line(ctl.check("registry", expect=1), "not by this CA")


def test_check_names_an_address_that_is_not_here(ctl):
    ctl.init()
    found = line(ctl.check("host", expect=1), "this host has no address 192.168.120.101")
    assert "bastion.addresses" in found["remedy"]


def fake_programs(ctl, tmp_path, body):
    folder = tmp_path / "fake"
    folder.mkdir(exist_ok=True)
    (folder / "firewall-cmd").write_text("#!/bin/sh\n" + body)
    os.chmod(folder / "firewall-cmd", 0o755)
    ctl.path = f"{folder}:{os.environ['PATH']}"


def test_check_names_ports_that_the_firewall_closes(ctl, tmp_path):
    ctl.init()
    fake_programs(ctl, tmp_path, 'case "$1" in --query-port=5000/tcp) exit 1;; esac\n')
    found = line(ctl.check("host", expect=1), "firewalld keeps the nodes out")
    assert found["remedy"] == \
        "firewall-cmd --permanent --add-port=5000/tcp; firewall-cmd --reload"
    fake_programs(ctl, tmp_path, "exit 0\n")
    assert line(ctl.check("host", expect=1), "lets the nodes in")["level"] == "OK"
    fake_programs(ctl, tmp_path, "exit 252\n")
    assert line(ctl.check("host", expect=1), "does not run")["level"] == "WARN"
