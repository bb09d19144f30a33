"""What can be said of the packages and units without booting anything."""

import filecmp
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest

import conftest
from variant import TOP

pytestmark = pytest.mark.system
EXPOSURE = 1.5
UNITS = sorted(glob.glob(f"{TOP}/systemd/*.service"))


def run(*args, **kwargs):
    return subprocess.run(
        args, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400,
        check=False, **kwargs,
    )


def need(program):
    if not shutil.which(program):
        pytest.skip(f"there is no {program}")


@pytest.mark.parametrize("unit", UNITS, ids=os.path.basename)
def test_exposure(unit):
    need("systemd-analyze")
    p = run("systemd-analyze", "security", "--offline=true", unit)
    level = float(re.search(r"exposure level for \S+: (\d+\.\d)", p.stdout).group(1))
    assert level <= EXPOSURE, p.stdout


@pytest.mark.parametrize("unit", UNITS, ids=os.path.basename)
def test_unit_house_rules(unit):
    with open(unit, encoding="utf-8") as f:
        lines = f.read().splitlines()
    daemon = os.path.basename(unit)[: -len(".service")]
    for wanted in (
        "Type=notify", "NotifyAccess=main", "KillMode=mixed", "Restart=on-failure",
        "RestartPreventExitStatus=78", "WatchdogSec=30s", "LogRateLimitIntervalSec=1s",
        f"ExecStartPre=-/usr/sbin/{daemon} -n", f"ExecStart=/usr/sbin/{daemon}",
        "SystemCallErrorNumber=EPERM", "NoNewPrivileges=yes", "MemoryDenyWriteExecute=yes",
        f"User={daemon}", "Group=okd-admin", f"SupplementaryGroups={daemon}",
        f"StateDirectory={daemon}", f"RuntimeDirectory={daemon}",
        f"ExecReload=/usr/sbin/{daemon} -n", "ExecReload=/bin/kill -HUP $MAINPID",
        "PartOf=okd-bastion.target",
    ):
        assert wanted in lines
    # Restarts, memory and tasks have limits; what is handed over has room.
    for key in ("StartLimitBurst", "StartLimitIntervalSec", "MemoryMax", "TasksMax",
                "LimitNOFILE", "FileDescriptorStoreMax"):
        assert [x for x in lines if re.fullmatch(rf"{key}=[1-9]\w*", x)], key
    # Nothing waits for the network: listeners bind addresses that are not there yet.
    assert not [x for x in lines if "network-online" in x]


def test_sysctl():
    """The kernel knows each setting, and grants okd-dnsd the buffer that it asks for."""
    with open(f"{TOP}/systemd/okd-bastion.sysctl", encoding="utf-8") as f:
        settings = dict(re.findall(r"^([\w.]+) = (\d+)$", f.read(), re.M))
    for name in settings:
        assert os.path.exists("/proc/sys/" + name.replace(".", "/")), name
    with open(f"{TOP}/dnsd/conf.c", encoding="utf-8") as f:
        asked = re.search(r'"receive_buffer".*?"(\d+)MiB"', f.read())
    assert int(settings["net.core.rmem_max"]) >= int(asked.group(1)) << 20


@pytest.mark.parametrize("daemon", conftest.daemons())
def test_events_are_explained(daemon):
    """journalctl -x has a text for each MESSAGE_ID of a daemon, and for nothing else."""
    source = ""
    for path in glob.glob(f"{TOP}/{daemon}/*.[ch]"):
        with open(path, encoding="utf-8") as f:
            source += f.read()
    with open(f"{TOP}/systemd/okd-{daemon}.catalog", encoding="utf-8") as f:
        catalog = f.read()
    used = set(re.findall(r'"([0-9a-f]{32})"', source))
    explained = re.findall(r"^-- ([0-9a-f]{32})$", catalog, re.M)
    assert used and used == set(explained) and len(explained) == len(used)
    for entry in catalog.split("\n-- ")[1:]:
        head, _, text = entry.partition("\n\n")
        assert "\nSubject: " in head and "\nDefined-By: okd-bastion" in head
        assert len(text.strip()) > 40, head
        for field in re.findall(r"@(\w+)@", entry):
            assert f'"{field}"' in source, f"nobody sets {field}"


def test_rpmlint(built):
    need("rpmlint")
    version = conftest.version()
    built("rpm", version)
    p = run("rpmlint", "-c", f"{TOP}/packaging/rpmlint.toml",
            *conftest.all_packages("rpm", version))
    assert re.search(r" 0 errors", p.stdout), p.stdout


def test_rpm_requires(built):
    """The library is nobody else's: not offered, not asked for by its soname."""
    for rpm in built("rpm", conftest.version()):
        provides = run("rpm", "-qp", "--provides", rpm).stdout
        requires = run("rpm", "-qp", "--requires", rpm).stdout
        assert "libokdcommon" not in provides + requires
        if re.search(r"/(okd-[a-z]+d|okdctl)-\d", rpm):
            assert re.search(r"okd-bastion-common\(\S+\) = \S+-\S+", requires)


def test_build_dependencies():
    """Both name what quickstart installs to build; a machine that has it already would not
    miss what is left out."""
    p = run("bash", "-c", "source <(sed -n '/^packages()/,/^}/p' quickstart); packages build 2; "
            "echo; packages build 3", cwd=TOP)
    debian, fedora = (set(x.split()) for x in p.stdout.split("\n\n"))
    # The compiler and its like come with build-essential.
    debian -= {"gcc", "libc6-dev", "make", "python3"}
    fedora -= {"glibc-devel"}
    assert "zlib1g-dev" in debian and "zlib-devel" in fedora
    with open(f"{TOP}/packaging/debian/control.in", encoding="utf-8") as f:
        wanted = re.search(r"^Build-Depends:(.*?)^\S", f.read(), re.M | re.S).group(1)
    assert debian <= set(re.findall(r"[a-z][\w.+-]*", wanted)), wanted
    with open(f"{TOP}/packaging/okd-bastion.spec", encoding="utf-8") as f:
        assert fedora <= set(re.findall(r"^BuildRequires:\s+(\S+)", f.read(), re.M))


def test_settings_are_kept(built):
    """What lies below /etc is the person's: nothing is brought there that an upgrade might
    put another file in the place of."""
    form = "[%{FILEFLAGS:fflags}\t%{FILEMODES:perms}\t%{FILENAMES}\n]"
    for rpm in built("rpm", conftest.version()):
        for line in run("rpm", "-qp", "--qf", form, rpm).stdout.splitlines():
            flags, mode, path = line.split("\t")
            if path.startswith("/etc/") and not mode.startswith("d"):
                assert "c" in flags and "n" in flags, line
    for deb in built("deb", conftest.version()):
        listed = {x.split(None, 5)[5][1:] for x in run("dpkg-deb", "-c", deb).stdout.splitlines()
                  if x.startswith("-")}
        kept = run("dpkg-deb", "-I", deb, "conffiles").stdout.split()
        assert {x for x in listed if x.startswith("/etc/")} <= set(kept)


@pytest.mark.parametrize("kind", ["rpm", "deb"])
def test_documented_names(built, kind):
    """What README.md and docs/operations.md have a person install is every package, without
    sources and symbols."""
    for document in ("README.md", "docs/operations.md"):
        with open(f"{TOP}/{document}", encoding="utf-8") as f:
            pattern = re.search(rf"install (?:\./)?build/packages/\*/({kind}/[\w.*{{}},]+)",
                                f.read()).group(1)
        where = f"{conftest.PACKAGES}/{conftest.version()}"
        found = run("bash", "-c", f"printf '%s\n' {where}/{pattern}").stdout.split()
        assert found == built(kind, conftest.version())
        about = {"rpm": ["rpm", "-qp", "--qf", "%{NAME} %{SOURCERPM}\n"],
                 "deb": ["dpkg-deb", "-W", "--showformat", "${Package}\n"]}[kind]
        for path in found:
            assert not re.search("debug|dbgsym|none", run(*about, path).stdout)


@pytest.mark.parametrize("kind", ["rpm", pytest.param("deb", marks=pytest.mark.long)])
def test_same_bytes(built, kind, tmp_path):
    """Built twice, the second time from nothing; a source RPM knows its folder's name, so that
    the folder is the same."""
    version = conftest.version()
    built(kind, version)
    first = str(tmp_path / "first")
    shutil.copytree(f"{conftest.PACKAGES}/{version}/{kind}", first)
    args = "--nocheck" if kind == "rpm" else ""
    conftest.make(kind, f"VERSION={version}", f"PACKAGE_ARGS={args}",
                  f"PACKAGEDIR={conftest.PACKAGES}")
    again = conftest.all_packages(kind, version)
    assert [f for f in again if "debug" in f]
    for path in [*again, *(f"{f}.spdx.json" for f in again)]:
        name = os.path.relpath(path, f"{conftest.PACKAGES}/{version}/{kind}")
        assert filecmp.cmp(f"{first}/{name}", path, shallow=False), f"{name} differs"


def digests_in(package):
    """{path: sha256} of the regular files, as the package itself has them."""
    if package.endswith(".rpm"):
        form = "[%{FILEMODES:perms}\t%{FILENAMES}\t%{FILEDIGESTS}\t%{FILEFLAGS:fflags}\n]"
        lines = run("rpm", "-qp", "--qf", form, package).stdout.splitlines()
        # A ghost is listed, and not in the package.
        rows = [x.split("\t") for x in lines if x.startswith("-")]
        return {f"/{path.lstrip('/')}": digest for _, path, digest, flags in rows
                if "g" not in flags}
    listed = run("dpkg-deb", "-c", package).stdout.splitlines()
    return {x.split(None, 5)[5][1:]: None for x in listed if x.startswith("-")}


def content(packages):
    """What packages bring, with the distributions' differences taken out."""
    found = set()
    for package in packages:
        for path in digests_in(package):
            if re.search(r"/(licenses|selinux|\.build-id|lintian)/|"
                         r"/doc/[^/]+/(copyright|changelog.*)$", path):
                continue
            path = re.sub(r"^/usr/lib(64|/x86_64-linux-gnu)/okd-bastion/", "LIB/", path)
            path = re.sub(r"^/lib/systemd/", "/usr/lib/systemd/", path)
            found.add(re.sub(r"(/man/.*|/doc/.*)\.gz$", r"\1", path))
    return found


def test_rpm_and_deb_bring_the_same(built):
    version = conftest.version()
    rpm, deb = content(built("rpm", version)), content(built("deb", version))
    assert rpm == deb
    for path in ("/usr/share/okd-bastion/monitoring/okd-bastion.rules.yaml",
                 "/usr/lib/systemd/catalog/okd-regd.catalog", "/usr/bin/okdctl",
                 "/usr/share/man/man5/okd-cluster.yaml.5",
                 "/usr/share/bash-completion/completions/okdctl"):
        assert path in rpm, path


@pytest.mark.parametrize("kind", ["rpm", "deb"])
def test_sbom(built, kind):
    """Beside each package: every file with the package's own digest, everything needed, and
    nothing that refers to nothing."""
    version = conftest.version()
    for package in built(kind, version):
        with open(f"{package}.spdx.json", encoding="utf-8") as f:
            doc = json.load(f)
        assert doc["spdxVersion"] == "SPDX-2.3" and doc["dataLicense"] == "CC0-1.0"
        about, *needs = doc["packages"]
        assert about["packageFileName"] == os.path.basename(package)
        assert about["licenseDeclared"] == "Apache-2.0"
        with open(package, "rb") as f:
            whole = hashlib.file_digest(f, "sha256").hexdigest()
        assert {"algorithm": "SHA256", "checksumValue": whole} in about["checksums"]
        said = {f["fileName"][1:]: {c["algorithm"]: c["checksumValue"] for c in f["checksums"]}
                for f in doc["files"]}
        have = digests_in(package)
        assert set(said) == set(have)
        for path, digest in have.items():
            assert digest is None or said[path]["SHA256"] == digest, path
        ids = [x["SPDXID"] for x in [doc, *doc["packages"], *doc["files"]]]
        assert len(ids) == len(set(ids))
        for r in doc["relationships"]:
            assert r["spdxElementId"] in ids and r["relatedSpdxElement"] in ids
        if "okd-dnsd" in about["name"]:
            assert [n for n in needs if "ldns" in n["name"]], needs
            assert [n for n in needs if n["name"].startswith("okd-bastion-common")]


@pytest.mark.parametrize("daemon", [d for d in conftest.daemons() if d != "csrd"])
def test_firewalld_service(daemon):
    """As firewalld reads it; test_install.py compares the ports with those listened on."""
    root = ET.parse(f"{TOP}/packaging/firewalld/okd-{daemon}.xml").getroot()
    assert root.tag == "service" and root.findtext("short") and root.findtext("description")
    assert {p.get("protocol") for p in root.iter("port")} <= {"tcp", "udp"}


def test_lintian(built):
    need("lintian")
    version = conftest.version()
    built("deb", version)
    # There is no address to write to.
    p = run("lintian", "--suppress-tags", "bogus-mail-host,bogus-mail-host-in-debian-changelog",
            "--fail-on", "error", *conftest.all_packages("deb", version))
    assert p.returncode == 0, p.stdout
