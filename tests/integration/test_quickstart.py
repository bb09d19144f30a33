"""quickstart: what it installs and what it says when it cannot; its runner starts, tells,
stops, and names who has a port."""

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

import pytest

from harness import free_port, wait_until
from variant import BUILD, SLOW, TOP

RUNNER = os.path.join(TOP, "packaging", "quickstart", "runner.py")
HERE = os.path.dirname(os.path.abspath(__file__))
FAKE = f'#!/bin/sh\nexec {sys.executable} {HERE}/fake_daemon.py "$@"\n'


@pytest.fixture
def fake_build(tmp_path):
    """A build folder in which the fake daemon passes for dnsd."""
    program = tmp_path / "okd-dnsd"
    program.write_text(FAKE)
    program.chmod(0o755)
    return str(tmp_path)


class Run:
    def __init__(self, build, *args, state, env=None):
        self.ports = {name: free_port() for name in (
            "dns", "dns-metrics", "api", "mcs", "stats", "registry", "images", "node-api",
            "node-mcs")}
        more = [f"--port={k}={v}" for k, v in self.ports.items()]
        self.process = subprocess.Popen(
            [sys.executable, RUNNER, "--build", build, "--state", state, *more, *args],
            text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})}, start_new_session=True,
        )
        self.out = ""
        self.state = state

    def until(self, text):
        """Reads lines until one contains text."""
        while text not in self.out:
            line = self.process.stdout.readline()
            assert line, f"it ended before {text!r}:\n{self.out}"
            self.out += line

    def end(self, signo=None):
        if signo:
            self.process.send_signal(signo)
        # communicate() would lose what readline() has taken from the pipe already.
        self.out += self.process.stdout.read()
        return self.process.wait(30 * SLOW)


@pytest.fixture
def run():
    made = []
    state = tempfile.mkdtemp(prefix="okd-run-")

    def start(*args, **kwargs):
        made.append(Run(*args, state=state, **kwargs))
        return made[-1]

    yield start
    for r in made:
        if r.process.poll() is None:
            r.process.kill()
        r.process.wait()
        r.process.stdout.close()
    shutil.rmtree(state)


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGTERM])
def test_runs_until_ctrl_c(run, fake_build, signo):
    r = run(fake_build)
    r.until("Ctrl-C stops it")
    assert f"dig @127.0.0.1 -p {r.ports['dns']} api.okd.example.com" in r.out
    assert r.end(signo) == 0
    assert "dnsd  | fake: started" in r.out
    assert "all stopped" in r.out


def test_taken_port_names_its_holder(run, fake_build):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        r = run(fake_build, f"--port=dns={port}")
        assert r.end() == 1
    assert f"tcp port {port}, which is taken by" in r.out
    assert f"process {os.getpid()}" in r.out


def test_daemon_that_fails_is_reported(run, fake_build):
    r = run(fake_build, env={"FAKE": "early"})
    assert r.end() == 1
    assert "bad" in r.out and "okd-dnsd ended with 78" in r.out


def test_dirty_stop_is_no_success(run, fake_build):
    r = run(fake_build, env={"FAKE": "dirty"})
    r.until("Ctrl-C stops it")
    assert r.end(signal.SIGINT) == 1


def test_killed_runner_leaves_nobody(run, fake_build):
    r = run(fake_build, env={"FAKE_SAYS_PID": "1"})
    r.until("Ctrl-C stops it")
    r.until("fake: pid")
    pid = int(re.search(r"fake: pid (\d+)", r.out).group(1))
    r.process.kill()
    r.process.wait()

    def gone():
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as f:
                return f.read().rsplit(")", 1)[1].split()[0] == "Z"
        except FileNotFoundError:
            return True

    wait_until(gone, what="the daemon's end")


@pytest.mark.parametrize("port,said", [
    ("dns", "'' is no port"), ("dns=", "'' is no port"), ("dns=abc", "'abc' is no port"),
    ("dns=0", "'0' is no port"), ("dns=65536", "'65536' is no port"),
    ("dns=-1", "'-1' is no port"), ("dns=\u00b2", "is no port"), ("dns=53 ", "is no port"),
    ("dsn=53", "there is no port 'dsn'; NAME is one of dns, dns-metrics"),
    ("", "there is no port ''"), ("api=9000", "api and stats both want tcp port 9000"),
])
def test_a_bad_port_is_told_at_once(port, said, tmp_path):
    p = subprocess.run([sys.executable, RUNNER, "--build", str(tmp_path), "--port", port],
                       capture_output=True, text=True, timeout=30, check=False,
                       env={**os.environ, "PYTHONIOENCODING": "utf-8"})
    assert p.returncode == 2 and said in p.stderr and "Traceback" not in p.stderr


def test_a_second_instance_in_the_same_folder_changes_nothing(run, fake_build):
    first = run(fake_build)
    first.until("Ctrl-C stops it")
    second = run(fake_build)
    assert second.end() == 1
    assert f"process {first.process.pid} runs a bastion with its state in" in second.out
    assert first.process.poll() is None and first.end(signal.SIGINT) == 0
    third = run(fake_build)
    third.until("Ctrl-C stops it")
    assert third.end(signal.SIGINT) == 0


def test_ctrl_c_while_it_starts_is_a_clean_stop(run, fake_build):
    r = run(fake_build, env={"FAKE": "mute"})
    r.until("fake: started")
    assert r.end(signal.SIGINT) == 0 and "Traceback" not in r.out


# --- the script around it ----------------------------------------------------------------


class Machine:
    """A folder of programs that stands for a machine's PATH: what the script calls, and
    fakes that write down how they were called."""

    def __init__(self, folder):
        self.folder, self.log = folder, folder / "calls"
        self.log.write_text("")
        for name in ("bash", "awk", "sed", "grep", "dirname", "env", "tee", "uname"):
            (folder / name).symlink_to(shutil.which(name))
        self.fake("id", "echo 1000")

    def fake(self, name, body):
        path = self.folder / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >>"{self.log}"\n{body}\n')
        path.chmod(0o755)

    def calls(self):
        return self.log.read_text()

    def quickstart(self, *args):
        return subprocess.run(
            [os.path.join(TOP, "quickstart"), *args], capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=60, check=False,
            env={"PATH": str(self.folder), "LC_ALL": "C.UTF-8"})


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_debian_gets_what_is_missing(machine):
    machine.fake("apt-get", "")
    machine.fake("sudo", "cat >/dev/null 2>&1; true")
    machine.fake("dpkg-query", '[ "${@: -1}" = gcc ] && echo installed')
    p = machine.quickstart("install", "build")
    assert p.returncode == 0, p.stderr
    (command,) = [c for c in machine.calls().splitlines() if " install " in c]
    assert command.startswith("sudo env DEBIAN_FRONTEND=noninteractive apt-get")
    assert " libevent-dev " in command and " gcc" not in command
    assert "missing for build (a compiler and the libraries" in p.stdout


def test_el_gets_its_own_names(machine):
    machine.fake("dnf", "")
    machine.fake("rpm", f'grep -q " install " {machine.log}')
    machine.fake("sudo", "")
    p = machine.quickstart("install", "build")
    assert p.returncode == 0, p.stderr
    assert " libevent-devel " in machine.calls() and "sudo dnf -y" in machine.calls()


def test_el_may_lack_what_only_tests_want(machine):
    machine.fake("dnf", "")
    machine.fake("rpm", f'grep -q " install " {machine.log} && [ "${{@: -1}}" != etcd ]')
    machine.fake("sudo", "")
    p = machine.quickstart("install", "build", "test")
    assert p.returncode == 0, p.stderr
    assert "no repository here has etcd: " in p.stdout
    machine.fake("rpm", f'grep -q " install " {machine.log} && [ "${{@: -1}}" != ldns-devel ]')
    machine.log.write_text("")
    p = machine.quickstart("install", "build", "test")
    assert p.returncode == 1 and "no repository here has ldns-devel, and nothing" in p.stderr


def test_without_root_and_sudo_it_says_what_root_has_to_run(machine):
    machine.fake("apt-get", "")
    machine.fake("dpkg-query", "false")
    p = machine.quickstart("install", "build")
    assert p.returncode == 1 and "as root, run: apt-get install gcc " in p.stderr
    assert "apt-get" not in machine.calls()


def test_without_a_network_it_says_so_and_leaves_nothing(machine):
    machine.fake("apt-get", "")
    machine.fake("dpkg-query", "false")
    machine.fake("sudo", 'case "$*" in *apt-get*) echo "E: Failed to fetch" >&2; exit 100 ;; esac')
    p = machine.quickstart("install", "build")
    assert p.returncode == 1
    assert "is there a network?" in p.stdout and "E: Failed to fetch" in p.stderr
    assert "apt-get could not install them" in p.stderr
    calls = machine.calls()
    if "sudo tee /usr/sbin/policy-rc.d" in calls:
        assert calls.rstrip().endswith("sudo rm -f /usr/sbin/policy-rc.d")


def test_a_foreign_system_is_told(machine):
    p = machine.quickstart("install", "build")
    assert p.returncode == 1 and "neither apt-get nor dnf" in p.stderr


def test_a_slip_is_told_before_anything_is_installed(machine):
    for name in ("apt-get", "sudo"):
        machine.fake(name, "")
    machine.fake("dpkg-query", "false")
    machine.fake("python3", f'exec {sys.executable} "$@"')
    p = machine.quickstart("run", "--port", "dsn=53")
    assert p.returncode == 2 and "there is no port 'dsn'" in p.stderr
    assert "apt-get" not in machine.calls()
    assert machine.quickstart("install", "biuld").returncode == 1
    assert machine.quickstart("instal").returncode == 2
    assert machine.quickstart().returncode == 2
    p = machine.quickstart("run", "--help")
    assert p.returncode == 0 and "--port NAME=NUMBER" in p.stdout


def is_built():
    names = ("okd-dnsd", "okd-lbd", "okd-regd", "okd-ignd", "okd-csrd", "okdctl")
    return all(os.access(os.path.join(BUILD, name), os.X_OK) for name in names)


real = pytest.mark.skipif(not is_built(), reason="the suite is not built")


def dig(r, *question):
    args = ["dig", "@127.0.0.1", "-p", str(r.ports["dns"]), "+short", *question]
    return subprocess.check_output(args, text=True)


@real
def test_the_real_one(run):
    r = run(BUILD, "--no-demo")
    r.until("Ctrl-C stops it")
    assert dig(r, "api.okd.example.com") == "127.0.0.101\n"
    assert dig(r, "-x", "127.0.0.103") == "master.okd.example.com.\n"
    assert r.end(signal.SIGINT) == 0
    assert "mock" not in r.out


@real
@pytest.mark.timeout(150)
def test_the_scripted_install_goes_through_the_whole_life(run):
    r = run(BUILD)
    r.until("the install is complete")
    r.until("the bastion goes on")
    screen = r.out.split("Daemons\n")[-1]
    for node in ("master", "worker"):
        row = re.search(rf"^  {node} .*$", screen, re.M).group(0)
        assert row.count("done") + row.count("serves") == 6 and "Ready" in row, row
    assert re.search(r"^  complete for .*machine configs are closed$", screen, re.M)
    assert screen.count("MAINT (retired)") >= 2
    for line in ("csr-worker-client: approved the client certificate",
                 "csr-worker-serving: approved the serving certificate",
                 "install: handover", "master has its configuration",
                 '127.0.0.104 admin "GET /v2/openshift/okd/manifests/demo" 200'):
        assert line in r.out, line
    p = subprocess.run(
        [os.path.join(BUILD, "okdctl"), "--etc", f"{r.state}/etc", "--run-dir", f"{r.state}/run",
         "check", "cluster", "daemons", "ports", "lb", "registry", "files", "csr"],
        capture_output=True, text=True)
    assert p.returncode == 0, p.stdout
    assert "certificates that the nodes' .ign files trust" in p.stdout
    assert r.end(signal.SIGINT) == 0


@real
def test_the_scripted_install_stops_where_it_is(run):
    r = run(BUILD)
    r.until("bootstrap: starts from the stick")
    assert r.end(signal.SIGINT) == 0
    assert "all stopped" in r.out


def test_the_machines_read_what_a_name_server_says():
    """The stand-ins insist on an answer: a name that is missing ends the script."""
    spec = importlib.util.spec_from_file_location(
        "mock_install", os.path.join(os.path.dirname(RUNNER), "mock.py"))
    mock = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mock)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((mock.BASTION, 0))

        class Nothing:
            ports = {"dns": s.getsockname()[1]}

        def answer():
            query, peer = s.recvfrom(512)
            s.sendto(query[:2] + b"\x81\x83" + query[4:], peer)

        t = threading.Thread(target=answer)
        t.start()
        machine = mock.Machine(Nothing(), "worker", "worker", mock.WORKER)
        with pytest.raises(RuntimeError, match="does not know x.okd.example.com"):
            machine.resolve("x.okd.example.com")
        t.join()
