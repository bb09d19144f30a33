"""okdctl's commands and options as four places have them (the program, its help, its manual,
its completion), and what every command prints with --json."""

import glob
import json
import os
import re
import subprocess

import pytest
import yaml
from csrd_kit import client_csr
from harness import TOP, free_port
from test_okdctl import OKDCTL, complete_in_bash, on_terminal
import test_okdctl_check
import test_okdctl_install
from test_okdctl_check import pending, push_release
from test_okdctl_install import fake, installer_output
import variant

ctl, daemon = test_okdctl_install.ctl, test_okdctl_install.daemon
api, csrd = test_okdctl_check.api, test_okdctl_check.csrd
regd, lbd = test_okdctl_check.regd, test_okdctl_install.lbd
EVERYWHERE = {"cluster", "etc", "run-dir", "json", "color", "yes", "help"}
# Where a first argument is one of a few words, or something that okdctl knows.
ARGUMENTS = {
    "check": ["cluster", "csr", "daemons", "dns", "files", "host", "lb", "ports", "registry",
              "secrets"],
    "kargs": ["bootstrap", "master", "worker"],
    "node remove": ["bootstrap", "master", "worker"],
    "ign open": ["bootstrap", "master", "worker"],
    "ign close": ["bootstrap", "master", "worker"],
    "import": ["corefile", "etcd", "haproxy", "nginx"],
    "wait": ["api", "complete", "handover", "mcs", "node"],
    "wait node": ["bootstrap", "master", "worker"],
    "tune": ["no-workers", "single-master", "single-worker"],
    "registry user": ["del", "ls", "set"],
    "reload": ["csrd", "dnsd", "ignd", "lbd", "regd"],
    "upgrade": ["csrd", "dnsd", "ignd", "lbd", "regd"],
    "logs": ["csrd", "dnsd", "ignd", "lbd", "regd"],
}


def commands(ctl):
    overview = ctl("--help").stdout
    return [x[2:26].strip() for x in overview.splitlines() if x.startswith("  ")]


def options(ctl, command):
    """Its own options, with their short letters, as the help lists them."""
    text = ctl(*command.split(), "--help").stdout
    text = text.split("Options of every command:")[0]
    return dict(reversed(m) for m in re.findall(r"^  (?:-(\w), )?--([\w-]+)", text, re.M))


# --- the manual and the completion -----------------------------------------------------


def entries():
    """{command: its text} of the manual, as a person sees it."""
    page = os.path.join(TOP, "okdctl", "okdctl.1")
    text = subprocess.run(["man", "-l", page], capture_output=True, text=True, check=True,
                          env={**os.environ, "MANPAGER": "cat", "MANWIDTH": "100",
                               "MAN_KEEP_FORMATTING": ""}).stdout
    return re.sub("[\u2010\u2011\u2212]", "-", re.sub(".\b", "", text))


def entry(page, command):
    """From the command's line to that of the next one at the same depth."""
    found = re.search(rf"^( +){re.escape(command)}(?= |$).*$", page, re.M)
    assert found, f"the manual has no {command}"
    depth = len(found.group(1))
    rest = page[found.end():]
    end = re.search(rf"^ {{0,{depth}}}\S", rest, re.M)
    return rest[:end.start()] if end else rest


def test_the_manual_has_every_command_and_option(ctl):
    page = entries()
    for command in commands(ctl):
        text = entry(page, command)
        for option, letter in options(ctl, command).items():
            assert re.search(rf"^ +(-{letter}, )?--{option}\b", text, re.M), \
                f"{command} --{option}\n{text}"
    for option in EVERYWHERE:
        assert f"--{option}" in page
    for status in ("0", "1", "2", "69", "77"):
        assert re.search(rf"^ +{status}\b", page.split("EXIT STATUS")[1], re.M)


def test_the_manual_has_nothing_else(ctl):
    have = {o for c in commands(ctl) for o in options(ctl, c)} | EVERYWHERE | {"version"}
    words = set(re.findall(r"(?<![\w-])--([a-z][\w-]+)", entries()))
    assert not words - have - {"now", "prefix", "to-dir"}  # of others


def test_completion_has_every_command_and_option(ctl):
    groups = {}
    for command in commands(ctl):
        first, *second = command.split()
        groups.setdefault(first, []).extend(second)
    assert sorted(ctl("__complete", "--", "").stdout.split()) == sorted(groups)
    for first, seconds in groups.items():
        if seconds:
            assert ctl("__complete", "--", first, "").stdout.split() == seconds
    for command in commands(ctl):
        offered = {x.removeprefix("--")
                   for x in ctl("__complete", "--", *command.split(), "--").stdout.split()}
        assert offered == set(options(ctl, command)) | EVERYWHERE, command


@pytest.mark.parametrize("line,words", ARGUMENTS.items())
def test_completion_knows_the_arguments(ctl, line, words):
    assert sorted(ctl("__complete", "--", *line.split(), "").stdout.split()) == words


def test_completion_sees_options_before_and_between(ctl, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "cluster.yaml").write_text(ctl.file("cluster.yaml").replace("name: worker", "name: hand"))
    assert complete_in_bash(ctl, f"okdctl --etc {other} kargs ha") == ["hand"]
    assert complete_in_bash(ctl, f"okdctl kargs -C {other}/cluster.yaml ha") == ["hand"]
    assert ctl("__complete", "--", "--json", "wai").stdout == "wait\n"
    assert ctl("__complete", "--", "logs", "--since", "").stdout == ""
    assert ctl("__complete", "--", "nothing", "").stdout == ""
    ctl("__complete")


def test_help_says_how_to_write_it(ctl):
    for command in commands(ctl):
        text = ctl(*command.split(), "--help").stdout
        assert text.startswith(f"okdctl {command}")
        assert ctl(*command.split(), "-h").stdout == text
        examples = text.split("Examples:")[1]
        for option in re.findall(r"(?<=okdctl ).*", examples):
            for word in re.findall(r" --([\w-]+)", option):
                assert word in set(options(ctl, command)) | EVERYWHERE | {"now"}, option


# --- --json ----------------------------------------------------------------------------


class Everything:
    """A bastion with all of it, and for every command one line that does something."""

    def __init__(self, ctl, tmp_path):
        self.install = installer_output(tmp_path / "install")
        self.image = tmp_path / "a.raw.xz"
        self.image.write_bytes(b"\xfd7zXZ\0" + bytes(5000) + b"YZ")
        (tmp_path / "a.raw.xz.sig").write_bytes(b"signature")
        self.corefile = tmp_path / "Corefile"
        self.corefile.write_text("okd.example.com:53 {\n  etcd {\n    path /skydns\n  }\n}\n")
        self.dump = tmp_path / "dump"
        self.dump.write_text('/skydns/com/example/okd/x\n{"host":"10.1.1.1","ttl":60}\n')
        self.layout = tmp_path / "layout"
        (self.layout / "blobs/sha256").mkdir(parents=True)
        (self.layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (self.layout / "index.json").write_text('{"schemaVersion":2,"manifests":[]}')
        fake(ctl, tmp_path, "journalctl", """echo '{"MESSAGE":"x"}'\n""")
        fake(ctl, tmp_path, "oc", "echo patched\n")
        self.lines = [
            ("init", []), ("check", [], {0, 1}), ("status", []), ("kargs", ["master"]),
            ("import", ["corefile", self.corefile]), ("reload", ["dnsd"]),
            ("upgrade", ["dnsd"]), ("wait", ["api", "--timeout", "50ms"], {1}),
            ("publish", [self.install]), ("image add", [self.image]), ("mirror", ["4.5.0"]),
            ("node add", ["name=late,role=worker,address=192.168.120.110"]),
            ("node remove", ["late"]), ("reset", ["--yes"]), ("reset", ["--dry-run"]),
            ("tune", ["no-workers"]), ("tune", ["single-master", "--apply"]),
            ("dns get", ["api.okd.example.com"]),
            ("dns put", ["ntp", "A", "192.168.120.5"]), ("dns ls", []),
            ("dns del", ["ntp", "A", "192.168.120.5"]), ("dns import", [self.dump]),
            ("lb show", []), ("lb drain", ["openshift-api-server", "master"]),
            ("lb maint", ["openshift-api-server", "master"]),
            ("lb ready", ["openshift-api-server", "master"]),
            ("lb weight", ["openshift-api-server", "master", "7"]),
            ("lb open", ["--for", "1h"]),
            ("registry verify-release", ["4.5.0"]), ("registry user", ["ls"]),
            ("registry user", ["set", "ci"]), ("registry user", ["del", "ci"]),
            ("registry gc", ["--dry-run"]), ("registry gc", []),
            ("registry prune", ["4.5.0"]), ("registry import", [self.layout], {0, 1}),
            ("registry mirror-config", []), ("registry ledger", []),
            ("ign nodes", []), ("ign open", ["worker"]), ("ign close", []),
            ("ign validate", [], {0, 1}),
            ("ign validate", [self.install / "worker.ign"]),
            ("csr ls", []), ("csr show", ["csr-1"]), ("csr approve", ["csr-1"]),
            ("csr deny", ["csr-2"]), ("logs", ["dnsd"])]


@pytest.fixture
def everything(ctl, tmp_path, daemon, regd, lbd, api, csrd):
    daemon("dnsd", {"listen": [f"127.0.0.1:{free_port()}"]})
    daemon("ignd", {"listen": [f"127.0.0.1:{free_port()}"], "log": "none"})
    d = csrd(mode="ask")
    for name in ("csr-1", "csr-2"):
        client_csr(api, name, "worker.okd.example.com")
        pending(d, name)
    push_release(ctl, regd)
    return Everything(ctl, tmp_path)


@pytest.mark.timeout(150)
def test_every_command_prints_one_document_with_json(ctl, everything):
    # Requests are looked at while there is a kubeconfig, which publish and reset change.
    lines = sorted(everything.lines, key=lambda x: not x[0].startswith("csr"))
    assert {x[0] for x in lines} == set(commands(ctl))
    for command, args, *expect in lines:
        if command == "upgrade":
            continue  # the harness has to follow it: test_upgrade_hands_over_and_says_so
        said = run(ctl, command, args, *expect)
        value = json.loads(said.stdout) if said.stdout else None
        if said.returncode == 0 or command in ("check", "ign validate"):
            assert isinstance(value, (dict, list)), command


def run(ctl, command, args, expect=frozenset([0])):
    """Whatever of these it ends with."""
    for status in sorted(expect):
        try:
            return ctl(*command.split(), "--json", *args, expect=status)
        except AssertionError:
            if status == max(expect):
                raise
    raise AssertionError("no status is expected")


def test_init_prints_one_document_with_all_that_it_does(ctl, tmp_path):
    (tmp_path / "root/etc").mkdir(parents=True)
    said = json.loads(ctl("init", "--apply", "--root", tmp_path / "root", "--yes",
                          "--json").stdout)
    assert said["written"] and said["applied"]
    assert {"resolver", "trust"} <= {x["action"] for x in said["host"]}
    assert {x["state"] for x in said["files"]} == {"same"}
    (tmp_path / "root/etc/resolv.conf").unlink()
    p = ctl("init", "--apply", "--root", tmp_path / "root", "--json", expect=2)
    assert "--yes" in p.stderr and json.loads(p.stdout)["applied"] is False


def test_what_json_says_was_done(ctl, daemon, tmp_path):
    daemon("ignd", {"listen": [f"127.0.0.1:{free_port()}"], "log": "none"})
    install = installer_output(tmp_path / "install")
    said = json.loads(ctl("publish", install, "--json").stdout)
    assert [os.path.basename(x["path"]) for x in said["files"]] == [
        "bootstrap.ign", "master.ign", "worker.ign", "kubeconfig"]
    assert {x["state"] for x in said["ignition"]} == {"good"}
    image = tmp_path / "a.raw.xz"
    image.write_bytes(bytes(1000))
    said = json.loads(ctl("image", "add", image, "--unsigned", "--json").stdout)
    assert said["bytes"] == 1000 and said["signed"] is False and len(said["sha256"]) == 64
    p = ctl("reset", "--json", expect=1)
    assert "--json asks nothing" in p.stderr and p.stdout == ""
    said = json.loads(ctl("reset", "--yes", "--json").stdout)
    assert said["done"] and said["reset"]["ignd"] == "starts over"
    assert said["reset"]["kubeconfig"].endswith("kubeconfig.old")
    said = json.loads(ctl("node", "remove", "worker", "--json").stdout)
    assert said["removed"] == "worker"


# --- terminals -------------------------------------------------------------------------


def plain(text):
    return re.sub(r"\033\[[0-9;]*[A-Za-z]", "", text).replace("\r", "")


def test_a_terminal_of_unknown_size_is_drawn_upon_as_well(ctl):
    out = on_terminal(["--etc", ctl.etc, "--run-dir", ctl.run_dir, "status", "--watch"],
                      until=b"\033[J").decode()
    assert out.split("\033[H")[1].startswith("\033[1mDaemons\033[0m\033[K\r\n")
    assert "192.168.120.104" in out and "more lines" not in out


@pytest.mark.parametrize("rows,columns", [(24, 80), (10, 40), (50, 200)])
def test_the_screen_that_is_watched_fits_the_terminal(ctl, rows, columns):
    cluster = yaml.safe_load(ctl.file("cluster.yaml"))
    cluster["nodes"] += [{"name": f"w{i}", "role": "worker", "address": f"192.168.120.{120 + i}"}
                         for i in range(20)]
    (ctl.etc / "cluster.yaml").write_text(yaml.safe_dump(cluster))
    out = on_terminal(["--etc", ctl.etc, "--run-dir", ctl.run_dir, "status", "--watch"],
                      (rows, columns), until=b"\033[J").decode()
    first = out.split("\033[H")[1].split("\033[J")[0]
    lines = plain(first).split("\n")
    assert len(lines) <= rows and max(map(len, lines)) <= columns, lines
    if rows == 50:
        assert "w19" in first and "192.168.120.139" in first
    else:
        assert "more lines: make the window" in lines[-1]
    assert ("ADDRESS" in first) == (columns >= 100)
    assert "NODE" in first or columns < 80
    assert out.endswith("\n")


@pytest.mark.parametrize("columns", [40, 80])
def test_checks_and_help_are_broken_at_words(ctl, columns):
    out = plain(on_terminal(["--etc", ctl.etc, "--run-dir", ctl.run_dir, "check", "registry"],
                            (24, columns)).decode())
    assert max(map(len, out.split("\n"))) <= columns
    whole = " ".join(ctl("check", "registry").stdout.split())
    assert " ".join(out.split()) == whole
    out = on_terminal(["init", "--help"], (24, 80)).decode()
    rows = out.replace("\r", "").split("Options:\n")[1].split("\n")
    assert max(len(x) for x in rows if "name=...,role=" not in x) <= 80  # one long word


def test_help_by_that_word(ctl):
    assert ctl("help", "kargs").stdout == ctl("kargs", "--help").stdout
    assert ctl("help").stdout == ctl("--help").stdout
    assert ctl("help", "dns").stdout == ctl("dns", "--help").stdout
    assert "there is no command" in ctl("help", "x", expect=2).stderr


def test_a_terminal_without_utf8_gets_ascii(ctl):
    """0x9b, the second byte of this letter, begins a command on an eight-bit terminal."""
    for locale, name in (("C", "x??y"), ("C.UTF-8", "x\u00dby")):
        p = subprocess.run([OKDCTL, "--etc", ctl.etc, "kargs", "x\u00dby"], capture_output=True,
                           text=True, env={**os.environ, **variant.sanitizer_environment(),
                                           "LC_ALL": locale})
        assert p.returncode == 1 and f'no node "{name}"' in p.stderr


# --- the page of symptoms --------------------------------------------------------------

PAGE = os.path.join(TOP, "docs", "troubleshooting.md")


def spoken():
    """All string literals of the checks, each run of them joined."""
    text = ""
    for path in sorted(glob.glob(os.path.join(TOP, "okdctl", "*.c"))) + [
            os.path.join(TOP, "regd", "regd.c")]:
        with open(path, encoding="utf-8") as f:
            source = f.read().replace('\\"', "\0")
        for name, value in re.findall(r'^#define ([A-Z]+) (".*")$', source, re.M):
            source = re.sub(rf"\b{name}\b", value, source)
        text += "\n" + re.sub(r'"\s*"', "", source)
    return re.sub(r"%[-*.0-9]*(?:ll|z)?[sudX]", "...", text).replace("\0", '"')


def rows():
    with open(PAGE, encoding="utf-8") as f:
        for text in f:
            if text.startswith("| ") and not text.startswith("| symptom"):
                yield text, [x.strip() for x in text.strip("|\n ").split(" | ")]


def test_the_page_of_symptoms_quotes_what_check_says():
    source, missing = spoken(), []
    quotes = 0
    for text, cells in rows():
        if len(cells) == 3:
            continue
        assert len(cells) == 4, text
        for quote in re.findall(r"(?<!\()`([^`]+)`(?!\))", cells[1]):
            if quote in ARGUMENTS["check"]:
                continue
            for piece in re.split(r"\.\.\.+", quote):
                missing += [piece] * (piece.strip(" :;") not in source)
                quotes += len(piece) > 8
        assert "`" in cells[1] or cells[1].startswith("nothing: "), text
        assert cells[3] == "none" or "journalctl" in cells[3] or "none: " in cells[3], text
    assert missing == [] and quotes > 60


def test_the_page_of_symptoms_names_commands_that_there_are(ctl):
    known = commands(ctl)
    for text, cells in rows():
        for word in re.findall(r"`okdctl ([a-z][a-z -]*)", " ".join(cells)):
            first = " ".join(word.split()[:2])
            assert first in known or word.split()[0] in known, (word, text)
