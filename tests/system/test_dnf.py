"""The RPMs as dnf sees them on a host whose repositories have EL9's names: what they need is
there, the documented commands install, upgrade and remove them, nothing stays behind.  Each
function is a step, and counts on the ones before it."""

import os
import re

import pytest

import conftest
import el9
import harness
import loads
from variant import TOP
from worlds import BASTION

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("in_order")]
API = "api.okd.example.com"
ADDRESS = "/srv"
# /etc/dnf/dnf.conf as EL9 has it, but for gpgcheck: the stand-ins bear no signature.
DNF_CONF = """[main]
installonly_limit=3
clean_requirements_on_remove=True
best=True
skip_if_unavailable=False
"""
REPOSITORY = """[{name}]
name={name}
baseurl=file://{address}/{name}
gpgcheck=0
enabled={enabled}
"""


def units():
    return [f"okd-{d}.service" for d in conftest.daemons()]


def dnf(bastion, *args, fails=False):
    p = bastion.run(["dnf", "-y", "--releasever=9", *args], check=False, timeout=120)
    assert (p.returncode != 0) == fails, f"dnf {' '.join(args)}\n{p.stdout}{p.stderr}"
    return p.stdout + p.stderr


def installed(bastion):
    return set(bastion.run(["rpm", "-qa", "--qf", "%{NAME}\n"]).stdout.split())


def ours(bastion):
    return {x for x in installed(bastion) if x.startswith("okd")}


def names(rpms):
    return {os.path.basename(f).rsplit("-", 2)[0] for f in rpms}


def repository(bastion, name, files, enabled=1):
    bastion.put(files, f"{ADDRESS}/{name}")
    bastion.run(["createrepo_c", "-q", f"{ADDRESS}/{name}"])
    bastion.write(f"/etc/yum.repos.d/{name}.repo",
                  REPOSITORY.format(name=name, address=ADDRESS, enabled=enabled))


@pytest.fixture(scope="module")
def rpms(built):
    return built("rpm", conftest.version())


def test_host(bastion, rpms, story, tmp_path):
    story.chapter("The RPMs and dnf, where everything is called as on EL9")
    stand_ins = el9.build(tmp_path, rpms)
    bastion.boot()
    os.makedirs(bastion.path("/etc/yum.repos.d"), exist_ok=True)
    os.makedirs(bastion.path("/etc/dnf"), exist_ok=True)
    bastion.write("/etc/dnf/dnf.conf", DNF_CONF)
    for name, files in stand_ins.items():
        repository(bastion, name, files, enabled=int(name != "crb"))
    dnf(bastion, "install", *el9.BASE, *el9.SELINUX)
    story(f"a host has {len(el9.BASE) + len(el9.SELINUX)} packages of EL9, and its repositories "
          f"{', '.join(stand_ins)}")


def test_closure(bastion, rpms, story):
    """Each package for itself finds what it needs in what is enabled on a fresh EL9."""
    repository(bastion, "okd", rpms)
    out = dnf(bastion, "repoclosure", "--check", "okd")
    assert "unresolved" not in out, out
    story("BaseOS and AppStream have all that the packages need: no CRB, no EPEL")


def test_sources(bastion, rpms, story):
    """What builds them needs CRB as well, and says so otherwise."""
    source = os.path.join(os.path.dirname(rpms[0]), "source")
    path, = bastion.put([os.path.join(source, f) for f in os.listdir(source)
                         if f.endswith(".rpm")], "/root/source")
    out = dnf(bastion, "builddep", "--assumeno", path, fails=True)
    lacking = set(re.findall(r"No matching package to install: '(\S+?)[' ]", out))
    crb = {name for name, (_, where) in el9.ALL.items() if where == "crb"}
    assert lacking == crb, out
    dnf(bastion, "--enablerepo=crb", "builddep", path)
    assert set(el9.DEVEL) <= installed(bastion)
    dnf(bastion, "remove", *el9.DEVEL)
    assert not set(el9.DEVEL) & installed(bastion)
    story(f"dnf builddep works with CRB, which has {', '.join(sorted(crb))}")


def test_quickstart(bastion, story):
    """It switches CRB on by itself, and goes on without what only the tests would like."""
    bastion.write("/etc/os-release", 'ID="almalinux"\nID_LIKE="rhel centos fedora"\n')
    bastion.run(["rm", "/usr/bin/apt-get"])
    path, = bastion.put([os.path.join(TOP, "quickstart")], "/root/clone")
    p = bastion.run([path, "install", "build"], check=False)
    assert p.returncode == 0, p.stdout + p.stderr
    assert {*el9.DEVEL, *el9.BESIDES} - el9.PACKAGING <= installed(bastion)
    p = bastion.run([path, "install", "test"], check=False)
    assert p.returncode == 0, p.stdout + p.stderr
    assert re.search(r"no repository here has .*\betcd\b", p.stdout), p.stdout
    dnf(bastion, "remove", *el9.DEVEL, *el9.BESIDES)
    story("quickstart install build finds all that it wants, with CRB")


def test_install(bastion, rpms, story):
    """As the documents have it: the files of the folder."""
    bastion.run(["rm", "/etc/yum.repos.d/okd.repo"])
    dnf(bastion, "install", *bastion.put(rpms))
    assert ours(bastion) == names(rpms)
    assert set(el9.ADDED) <= installed(bastion)
    for d in conftest.daemons():
        assert bastion.run(["id", f"okd-{d}"]).returncode == 0
        state = bastion.systemctl("is-enabled", f"okd-{d}", check=False).stdout.strip()
        assert state == "disabled", f"okd-{d} is {state} right after its installation"
    assert bastion.run(["rpm", "--verify", *ours(bastion)]).stdout == ""
    assert dnf(bastion, "-q", "check") == ""
    story(f"dnf installs {', '.join(sorted(ours(bastion)))}, and brings "
          f"{', '.join(el9.ADDED)} along")


def test_upgrade(bastion, net, built, story):
    with open(harness.EXAMPLE, encoding="utf-8") as f:
        bastion.write("/etc/okd-bastion/cluster.yaml", f.read())
    bastion.systemctl("enable", "--now", "okd-bastion.target")
    before = {u: bastion.wait_main(u) for u in units()}
    files = bastion.put(built("rpm", conftest.next_version()))
    with loads.dns(net["master"], BASTION, API) as dns:
        out = dnf(bastion, "install", *files)
        for u, pid in before.items():
            bastion.wait_main(u, pid)
    assert "not upgraded" not in out and "scriptlet failed" not in out, out
    assert bastion.run(["okdctl", "-V"]).stdout.split()[1] == conftest.next_version()
    assert {bastion.show(u, "NRestarts") for u in units()} == {"0"}
    assert dns.count["answered"] > 100 and dns.count["lost"] == dns.count["wrong"] == 0
    story(f"dnf upgrades to {conftest.next_version()}: every daemon hands over in place, of "
          f"{dns.count['sent']} queries 0 are lost")


def test_remove(bastion, story):
    dnf(bastion, "remove", "okd*")
    for u in units():
        assert bastion.show(u, "LoadState", "ActiveState") == {
            "LoadState": "not-found", "ActiveState": "inactive"}
    assert ours(bastion) == set() and not set(el9.ADDED) & installed(bastion)
    assert set(el9.BASE) <= installed(bastion)
    assert os.path.exists(bastion.path("/etc/okd-bastion/cluster.yaml"))
    for d in conftest.daemons():
        assert os.path.isdir(bastion.path(f"/var/lib/okd-{d}"))
    assert bastion.systemctl("--failed", "--plain", "--no-legend").stdout == ""
    story("dnf remove: the daemons end, what came along goes, settings and state stay")


def test_one_daemon(bastion, built, story):
    """From a repository of one's own, where dnf chooses."""
    repository(bastion, "okd", built("rpm", conftest.next_version()))
    shared = {"okd-dnsd", "okd-bastion-common", "okd-bastion-selinux"}
    dnf(bastion, "install", "okd-dnsd")
    assert ours(bastion) == shared | {"okdctl"}
    dnf(bastion, "remove", "okd-dnsd")
    assert ours(bastion) == set()
    dnf(bastion, "install", "--setopt=install_weak_deps=False", "okd-dnsd")
    assert ours(bastion) == shared
    dnf(bastion, "remove", "okd-dnsd")
    story("one daemon alone: dnf install okd-dnsd brings what is shared, and okdctl unless weak "
          "dependencies are switched off")


def test_metapackage(bastion, built, story):
    everything = names(built("rpm", conftest.next_version()))
    dnf(bastion, "install", "okd-bastion")
    assert ours(bastion) == everything
    dnf(bastion, "remove", "okd-bastion")
    assert ours(bastion) == set() and not set(el9.ADDED) & installed(bastion)
    assert "Nothing to do" in dnf(bastion, "autoremove")
    story("the metapackage brings all, and its removal takes all along")


def test_without_selinux(bastion, built, story):
    """The policy module follows the policy of the host."""
    everything = names(built("rpm", conftest.next_version()))
    dnf(bastion, "remove", *el9.SELINUX)
    dnf(bastion, "install", "okd-bastion")
    assert ours(bastion) == everything - {"okd-bastion-selinux"}
    assert not set(el9.SELINUX) & installed(bastion)
    dnf(bastion, "install", "selinux-policy-targeted")
    assert ours(bastion) == everything
    story("a host without SELinux gets no policy module, and gets it with selinux-policy-targeted")
