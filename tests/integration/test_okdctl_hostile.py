"""okdctl against what others put before it: texts that command a terminal, daemons that hang,
trickle or talk nonsense, files that are none."""

import base64
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading

import pytest
from admin_stand_in import StandIn
from harness import wait_until
from test_okdctl import OKDCTL, on_terminal
import test_okdctl_install
from test_okdctl_install import fake, installer_output
import variant

ctl = test_okdctl_install.ctl
DAEMONS = ("dnsd", "lbd", "regd", "ignd", "csrd")
# A colour, a window title, a C1 control, DEL, a line turned around, and a line of its own.
EVIL = "x\033[31m\033]0;owned\007\x9b31m\x7f\u202e\rroot: all is well\n  OK  all"


@pytest.fixture
def answers(ctl):
    made = []

    def start(name, table, default=None):
        made.append(StandIn(ctl.run_dir, name, table, default))

    yield start
    for a in made:
        a.close()


def status(name, **own):
    return {"name": f"okd-{name}", "version": EVIL, "pid": 1, "ready": False,
            "reasons": [EVIL], "config": {"error": EVIL}, name: own}


def evil_bastion(answers):
    server = {"name": EVIL, "address": EVIL, "status": EVIL, "weight": 1, "sessions": 1,
              "check": {"info": EVIL}}
    answers("dnsd", {"/status": status("dnsd"), "/config": b"",
                     "/v1/records/": {"records": [{"key": EVIL, "value": EVIL}]}})
    answers("lbd", {"/status": status("lbd", install={"state": EVIL, "since": 0},
                                      backends=[{"name": EVIL, "servers": [server]}])})
    answers("regd", {
        "/status": status("regd"),
        "/v1/pulls": {"pulls": [{"client": EVIL, "node": EVIL, "digest": EVIL, "pulls": 1}],
                      "lacking": [EVIL]},
        "/v1/prune": {"drop": [EVIL], "unreadable": [EVIL]},
        "/v1/verify-release": {"version": EVIL, "missing": [
            {"image": EVIL, "reason": EVIL, "repair": EVIL}]}})
    node = {"name": EVIL, "address": EVIL, "stage": EVIL, "why": EVIL}
    config = {"name": EVIL, "state": "bad", "error": EVIL, "warnings": EVIL}
    answers("ignd", {"/status": status("ignd", nodes=[node], configs=[config], images=[
        {"name": EVIL, "state": "bad", "why": EVIL}]), "/v1/nodes": {"nodes": [node]}})
    request = {"name": EVIL, "created": 0, "state": "pending", "node": EVIL, "reason": EVIL}
    answers("csrd", {"/status": status("csrd", api={"trouble": EVIL}, nodes=[node], recent=[
        {"name": EVIL, "reason": EVIL, "node": EVIL, "at": 1, "time": 1}]),
        "/v1/requests": {"requests": [request]}, "/v1/request": request})


COMMANDS = [
    (["status"], 0), (["check"], 1), (["dns", "ls"], 0), (["lb", "show"], 0),
    (["registry", "ledger"], 0), (["registry", "ledger", "sha256:x"], 0),
    (["registry", "prune", "x"], 0), (["registry", "verify-release", "x"], 1),
    (["ign", "nodes"], 0), (["ign", "validate"], 1), (["csr", "ls"], 0), (["csr", "ls", "-a"], 0),
    (["csr", "show", "x"], 0)]


def test_no_text_of_others_commands_a_terminal(ctl, answers):
    evil_bastion(answers)
    for args, expect in COMMANDS:
        p = ctl(*args, expect=expect)
        text = (p.stdout + p.stderr).replace("\n", "")
        if args[:2] != ["csr", "show"]:  # JSON on a pipe: below it is on a terminal
            assert [c for c in text if ord(c) < 32 or 0x7f <= ord(c) < 0xa0 or c == "\u202e"] \
                == [], args
        assert "\n  OK  all" not in p.stdout, args


@pytest.mark.parametrize("args", [["csr", "show", "x"], ["ign", "nodes", "--json"],
                                  ["status", "--json"]])
def test_nor_does_json_on_a_terminal(ctl, answers, args):
    evil_bastion(answers)
    out = on_terminal(["--etc", ctl.etc, "--run-dir", ctl.run_dir, *args],
                      stderr=subprocess.DEVNULL)
    text = out.decode().replace("\r\n", "")
    assert "owned" in text
    assert [c for c in text if ord(c) < 32 or 0x80 <= ord(c) < 0xa0 or c == "\u202e"] == []


def test_nor_do_file_names_and_other_programs(ctl, tmp_path):
    folder = tmp_path / "a\033[31m\nb"
    for args in (["publish", folder], ["ign", "validate", folder], ["dns", "import", folder],
                 ["init", "--topology", folder], ["kargs", "\033[1m"], ["\033[1m"],
                 ["--\033[1m"], ["check", "\033[1m"], ["image", "add", folder],
                 ["import", "corefile", folder], ["registry", "import", folder]):
        p = subprocess.run([OKDCTL, "--etc", ctl.etc, "--run-dir", ctl.run_dir, *args],
                           capture_output=True, text=True,
                           env={**os.environ, **variant.sanitizer_environment()})
        assert p.returncode in (1, 2, 69), args
        assert "\033" not in p.stdout + p.stderr, args
    fake(ctl, tmp_path, "oc", "printf 'error: \\033[31m\\033]0;x\\007\\n'; exit 1\n")
    p = ctl("mirror", "x", "--attempts", "1", expect=1)
    assert "oc: error: ?[31m?]0;x?\n" in p.stderr


def test_nor_do_the_keys_of_etcd(ctl, tmp_path):
    """What cannot be carried over is told, line by line, also where nothing was."""
    good, bad = b"/skydns/com/example/okd/x", b"/x\033]0;owned\007"
    value = base64.b64encode(b'{"host":"10.1.1.1"}').decode()
    dump = tmp_path / "dump"
    for keys, expect in (([bad, good], 0), ([bad, bad], 1)):
        dump.write_text(json.dumps({"kvs": [
            {"key": base64.b64encode(k).decode(), "value": value} for k in keys]}))
        p = ctl("import", "etcd", dump, expect=expect)
        assert f'{dump}:1: the key "/x?]0;owned?" is no name' in p.stderr
        assert "\033" not in p.stderr
    assert p.stderr.splitlines()[-1].startswith("okdctl: ") and len(p.stderr.splitlines()) == 3


# --- daemons ---------------------------------------------------------------------------


def listen(ctl, name, on_client):
    folder = ctl.run_dir / f"okd-{name}"
    folder.mkdir()
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(folder / "admin.sock"))
    s.listen()

    def serve():
        while True:
            try:
                c = s.accept()[0]
            except OSError:
                return
            try:
                on_client(c)
            except OSError:
                c.close()  # it hung up

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return s, thread


@pytest.fixture
def broken(ctl):
    made = []
    yield lambda name, on_client: made.append(listen(ctl, name, on_client))
    for s, thread in made:
        s.shutdown(socket.SHUT_RDWR)
        s.close()
        thread.join()


def endless(c):
    c.recv(65536)
    c.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    while True:
        c.sendall(b" " * 65536)


@pytest.mark.timeout(120)
def test_daemons_that_are_half_dead_are_named_in_time(ctl, broken):
    kept = []
    broken("dnsd", kept.append)  # accepts, and never answers
    broken("lbd", lambda c: (c.recv(65536), c.sendall(b"HTTP/1.0 200 OK\r\n"), kept.append(c)))
    broken("regd", endless)
    broken("ignd", lambda c: (c.recv(65536), c.sendall(b"\0" * 500), c.close()))
    broken("csrd", lambda c: c.close())
    p = ctl("status", expect=69)
    for name in DAEMONS:
        assert f"okd-{name}" in p.stdout
    p = ctl("check", "daemons", expect=1)
    for name in DAEMONS:
        assert f"okd-{name} does not answer: " in p.stdout
    assert "does not answer on" in ctl("lb", "show", expect=69).stderr
    assert "cannot ask okd-regd" in ctl("registry", "ledger", expect=69).stderr
    assert ctl("ign", "nodes", expect=69).stderr.startswith("okdctl: cannot ask okd-ignd")
    p = ctl("csr", "ls", expect=69)
    assert "cannot ask okd-csrd" in p.stderr
    for c in kept:
        c.close()


def test_a_daemon_that_takes_nobody_in_is_named(ctl):
    """Its queue is full: the next one is turned away at once."""
    folder = ctl.run_dir / "okd-lbd"
    folder.mkdir()
    with contextlib.ExitStack() as open_sockets:
        s = open_sockets.enter_context(socket.socket(socket.AF_UNIX))
        s.bind(str(folder / "admin.sock"))
        s.listen(0)
        waiting = open_sockets.enter_context(socket.socket(socket.AF_UNIX))
        waiting.connect(str(folder / "admin.sock"))
        assert "okd-lbd does not answer on" in ctl("lb", "show", expect=69).stderr


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"{", b"\xff\xfe", b"[" * 100000,
                                  b'{"dnsd": [], "lbd": 7, "config": "x", "reasons": {}}',
                                  b'{"ready": true, "lbd": {"backends": {"x": 1}}}'])
def test_nonsense_is_told_and_kills_nobody(ctl, answers, body):
    for name in DAEMONS:
        answers(name, {}, body)
    for args in (["status"], ["check"], ["lb", "show"], ["ign", "nodes"], ["ign", "validate"],
                 ["csr", "ls"], ["dns", "ls"], ["registry", "ledger"], ["reload"],
                 ["registry", "verify-release", "x"], ["registry", "mirror-config"]):
        for json_too in ([], ["--json"]):
            p = subprocess.run(
                [OKDCTL, "--etc", ctl.etc, "--run-dir", ctl.run_dir, *args, *json_too],
                capture_output=True, text=True,
                env={**os.environ, **variant.sanitizer_environment()})
            assert p.returncode in (0, 1, 69), (args, p)
            assert not variant.SANITIZER.search(p.stderr), (args, p.stderr)
            if json_too and p.stdout:
                json.loads(p.stdout)


def test_a_huge_status_is_shown(ctl, answers):
    nodes = [{"name": f"n{i}", "address": "10.0.0.1", "stage": "Done", "why": "x" * 2000}
             for i in range(5000)]
    answers("ignd", {"/status": {"name": "okd-ignd", "ready": True, "ignd": {"nodes": nodes}},
                     "/v1/nodes": {"nodes": nodes}})
    assert len(ctl("ign", "nodes").stdout.splitlines()) == 5000
    ctl("status")
    assert len(json.loads(ctl("ign", "nodes", "--json").stdout)) == 5000


# --- files -----------------------------------------------------------------------------


def test_what_is_published_replaces_a_link_and_follows_none(ctl, tmp_path):
    folder = installer_output(tmp_path / "install")
    target = tmp_path / "state"
    target.mkdir()
    (ctl.etc / "ignd.yaml").write_text(f"ignition: {target}\n")
    victim = tmp_path / "victim"
    victim.write_text("mine")
    os.symlink(victim, target / "worker.ign")
    os.symlink(victim, ctl.etc / "kubeconfig")
    ctl("publish", folder)
    assert victim.read_text() == "mine"
    assert not (target / "worker.ign").is_symlink()
    assert not (ctl.etc / "kubeconfig").is_symlink()


def test_a_folder_that_cannot_be_written_keeps_the_old_set(ctl, tmp_path):
    folder = installer_output(tmp_path / "install")
    target = tmp_path / "state"
    (ctl.etc / "ignd.yaml").write_text(f"ignition: {target}\n")
    ctl("publish", folder)
    before = {p.name: p.read_bytes() for p in target.iterdir()}
    (folder / "master.ign").write_text("{")
    ctl("publish", folder, expect=1)
    assert {p.name: p.read_bytes() for p in target.iterdir()} == before
    (ctl.etc / "ignd.yaml").write_text(f"ignition: {tmp_path}/install/worker.ign\n")
    (folder / "master.ign").write_text((folder / "worker.ign").read_text())
    p = ctl("publish", folder, expect=1)
    assert p.stderr.startswith("okdctl: cannot ") and p.stdout == ""


def test_a_full_disk_on_standard_output_is_told(ctl):
    with open("/dev/full", "w", encoding="utf-8") as full:
        p = subprocess.run([OKDCTL, "--etc", ctl.etc, "kargs", "master"], stdout=full,
                           stderr=subprocess.PIPE, text=True,
                           env={**os.environ, **variant.sanitizer_environment()})
    assert p.returncode == 1 and "cannot write" in p.stderr


# --- in the middle ---------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A folder with little room."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount")
    made = []

    def mount(path, size):
        os.makedirs(path, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], check=True)
        made.append(path)

    yield mount
    for path in made:
        subprocess.run(["umount", "-l", path], check=True)


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def test_a_full_disk_leaves_the_published_set_as_it_was(ctl, tmp_path, small_disk):
    """The first file would still have had room."""
    folder, target = installer_output(tmp_path / "install"), tmp_path / "state"
    (ctl.etc / "ignd.yaml").write_text(f"ignition: {target}\n")
    small_disk(target, "64k")
    ctl("publish", folder)
    before = contents(target)
    for role in ("bootstrap", "master", "worker"):
        (folder / f"{role}.ign").write_text(
            json.dumps({"ignition": {"version": "3.1.0"}, "x": "y" * 20000}))
    p = ctl("publish", folder, expect=1)
    assert "No space left on device; nothing was replaced" in p.stderr
    assert contents(target) == before
    assert contents(ctl.etc)["kubeconfig"] == (folder / "auth/kubeconfig").read_bytes()


def test_a_full_disk_leaves_no_half_of_an_image(ctl, tmp_path, small_disk):
    target = tmp_path / "images"
    (ctl.etc / "ignd.yaml").write_text(f"install: {target}\n")
    small_disk(target, "64k")
    image = tmp_path / "a.raw"
    image.write_bytes(b"x" * 200000)
    (tmp_path / "a.raw.sig").write_bytes(b"x")
    p = ctl("image", "add", image, expect=1)
    assert "No space left on device" in p.stderr and p.stdout == ""
    assert os.listdir(target) == []
    image.write_bytes(b"x" * 1000)
    ctl("image", "add", image)
    assert sorted(os.listdir(target)) == ["coreos.raw.xz", "coreos.raw.xz.sig"]


def heed_ctrl_c():
    """What a shell runs in the background ignores it, and so do the tests' children then."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("signo", [signal.SIGINT, signal.SIGKILL])
def test_a_download_that_is_ended_leaves_nothing(ctl, tmp_path, signo):
    target = tmp_path / "images"
    (ctl.etc / "ignd.yaml").write_text(f"install: {target}\n")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        p = subprocess.Popen(
            [OKDCTL, "--etc", ctl.etc, "--run-dir", ctl.run_dir, "image", "add",
             f"http://127.0.0.1:{s.getsockname()[1]}/a.raw.xz"], preexec_fn=heed_ctrl_c,
            env={**os.environ, **variant.sanitizer_environment()}, stderr=subprocess.PIPE)
        c = s.accept()[0]
        c.recv(65536)
        c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(500000))
        p.send_signal(signo)
        p.communicate()
        c.close()
    assert p.returncode == -signo
    assert os.listdir(target) == []


def test_a_mirror_ends_with_ctrl_c_and_so_does_oc(ctl, tmp_path, answers):
    started = tmp_path / "started"
    fake(ctl, tmp_path, "oc", f"echo $$ > {started}.new; mv {started}.new {started}; "
                              "exec sleep 1000\n")
    answers("regd", {}, {})
    p = subprocess.Popen([OKDCTL, "--etc", ctl.etc, "--run-dir", ctl.run_dir, "mirror", "4.5.0"],
                         env={**os.environ, **variant.sanitizer_environment(), "PATH": ctl.path},
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                         preexec_fn=heed_ctrl_c)
    wait_until(started.exists, what="oc")
    os.killpg(p.pid, signal.SIGINT)  # as a terminal does it
    out, err = p.communicate(timeout=20)
    assert p.returncode not in (0, None) and out == b"", err
    oc = pathlib.Path("/proc", started.read_text().strip(), "cmdline")
    wait_until(lambda: not oc.exists() or not oc.read_bytes(), what="the end of oc")
