"""The SELinux module: it compiles against the reference policy, and what it says is what the
units say.  No kernel with SELinux runs it here."""

import glob
import os
import re
import shutil
import subprocess

import pytest

import conftest
from variant import TOP

pytestmark = pytest.mark.system
MAKEFILE = "/usr/share/selinux/devel/Makefile"
CONVERTER = "/usr/libexec/selinux/hll/pp"
FOLDER = os.path.join(TOP, "packaging", "selinux")
DAEMONS = conftest.daemons()


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    """The compiled module in CIL, which is text."""
    for path, package in ((MAKEFILE, "selinux-policy-dev"), (CONVERTER, "policycoreutils")):
        if not os.path.exists(path):
            pytest.skip(f"there is no {path} (package {package})")
    folder = tmp_path_factory.mktemp("selinux")
    for f in glob.glob(f"{FOLDER}/okd-bastion.*"):
        shutil.copy(f, folder)
    p = subprocess.run(["make", "-f", MAKEFILE, "NAME=targeted", "okd-bastion.pp"], cwd=folder,
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                       check=False, env={k: v for k, v in os.environ.items() if k != "MAKEFLAGS"})
    assert p.returncode == 0, p.stdout + p.stderr
    assert "warning" not in (p.stdout + p.stderr).lower(), p.stdout + p.stderr
    return subprocess.run([CONVERTER, folder / "okd-bastion.pp"], capture_output=True,
                          text=True, check=True, timeout=60).stdout


# What a path is taken for before it is looked up.
EQUIVALENT = {
    "Debian": {}, "EL9": {"/run": "/var/run"},
    "Fedora, EL10": {"/var/run": "/run", "/usr/sbin": "/usr/bin"},
}


def contexts(policy):
    """[(regular expression, kind, type)], the last that fits counts."""
    return re.findall(r'\(filecon "([^"]+)" (\w+) \(\w+ \w+ (\w+) ', policy)


def label(policy, path, kind="file", where="Debian"):
    for prefix, other in EQUIVALENT[where].items():
        if path.startswith(f"{prefix}/"):
            path = other + path.removeprefix(prefix)
    found = [t for pattern, k, t in contexts(policy)
             if k in ("any", kind) and re.fullmatch(pattern.replace(r"\\", "\\"), path)]
    return found[-1] if found else None


@pytest.mark.parametrize("where", EQUIVALENT)
@pytest.mark.parametrize("daemon", DAEMONS)
def test_a_domain_of_its_own(policy, daemon, where):
    """The program that systemd starts leaves init_t for a domain, also under
    NoNewPrivileges, and never ends as unconfined_service_t."""
    with open(f"{TOP}/systemd/okd-{daemon}.service", encoding="utf-8") as f:
        program = re.search(r"^ExecStart=(\S+)", f.read(), re.M).group(1)
    assert label(policy, program, where=where) == f"okd_{daemon}_exec_t"
    assert f"(typetransition init_t okd_{daemon}_exec_t process okd_{daemon}_t)" in policy
    assert re.search(rf"\(allow init_t okd_{daemon}_t \(process2 \(.*nnp_transition", policy)
    assert "unconfined" not in "".join(
        line for line in policy.splitlines() if "typetransition" in line)


@pytest.mark.parametrize("where", EQUIVALENT)
@pytest.mark.parametrize("daemon", DAEMONS)
def test_files_are_labelled(policy, daemon, where):
    assert label(policy, f"/var/lib/okd-{daemon}/records.db") == f"okd_{daemon}_var_lib_t"
    assert label(policy, f"/run/okd-{daemon}/admin.sock", "socket",
                 where) == f"okd_{daemon}_runtime_t"
    assert label(policy, f"/etc/okd-bastion/{daemon}.yaml") == "okd_etc_t"
    others = [d for d in DAEMONS if d != daemon]
    for other in others:
        assert not re.search(rf"\(allow okd_{daemon}_t okd_{other}_var_lib_t ", policy)


def test_secrets(policy):
    for name in ("private/registry-ca.key", "registry.key", "registry.htpasswd",
                 "pull-secret.json", "kubeconfig"):
        assert label(policy, f"/etc/okd-bastion/{name}") == "okd_secret_t"
    readers = set(re.findall(r"\(allow (\w+) okd_secret_t \(file \([^)]*\bread\b", policy))
    assert readers == {"okd_regd_t", "okd_csrd_t"}


def test_capabilities_are_those_of_the_units(policy):
    for daemon in DAEMONS:
        with open(f"{TOP}/systemd/okd-{daemon}.service", encoding="utf-8") as f:
            unit = re.search(r"^CapabilityBoundingSet=(.*)$", f.read(), re.M).group(1)
        found = set(" ".join(re.findall(
            rf"\(allow okd_{daemon}_t self \(capability2? \(([^)]*)\)", policy)).split())
        assert found == {x.removeprefix("CAP_").lower() for x in unit.split()}
    assert not re.search(r"\(allow okd_daemon_domain self \(capability", policy)
