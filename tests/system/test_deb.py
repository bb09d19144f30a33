"""The Debian packages in a booted system: installed, upgraded in place under load, removed,
purged.  Each function is a step, and counts on the ones before it."""

import glob
import os

import pytest

import conftest
import harness
import loads
from worlds import BASTION

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.usefixtures("in_order")]
API = "api.okd.example.com"


def units():
    return [f"okd-{d}.service" for d in conftest.daemons()]


def names(debs):
    return [os.path.basename(f).split("_", maxsplit=1)[0] for f in debs]


def left(bastion):
    """The suite's files outside of settings and state."""
    found = bastion.run(["find", "/usr", "/etc", "/lib", "-xdev", "(", "-name", "okd*", "-o",
                         "-name", "_okd*", ")", "!", "-type", "l"]).stdout.split()
    return sorted(set(found) - {"/etc/okd-bastion"})


def test_install(bastion, built, story):
    story.chapter("The same from Debian packages")
    bastion.boot()
    debs = bastion.put(built("deb", conftest.version()))
    bastion.run(["dpkg", "--install", *debs])
    for d in conftest.daemons():
        assert bastion.run(["id", f"okd-{d}"]).returncode == 0
        state = bastion.systemctl("is-enabled", f"okd-{d}", check=False).stdout.strip()
        assert state == "disabled", f"okd-{d} is {state} right after its installation"
    assert bastion.run(["dpkg", "--verify", *names(debs)]).stdout == ""
    assert bastion.run(["okdctl", "-V"]).stdout.split()[1] == conftest.version()
    story(f"dpkg installs {', '.join(names(debs))}; whatever they depend on is Debian's")


def test_run(bastion, net, story):
    with open(harness.EXAMPLE, encoding="utf-8") as f:
        bastion.write("/etc/okd-bastion/cluster.yaml", f.read())
    bastion.systemctl("enable", "--now", "okd-bastion.target")
    for u in units():
        bastion.wait_main(u)
    assert net["worker"].run(["dig", "+short", f"@{BASTION}", API]).stdout.split() == [BASTION]
    story("cluster.yaml and the target: all five run")


def test_upgrade(bastion, net, built, story):
    before = {u: bastion.main_pid(u) for u in units()}
    debs = bastion.put(built("deb", conftest.version()))
    with loads.dns(net["master"], BASTION, API) as dns:
        p = bastion.run(["dpkg", "--install", *debs], timeout=120)
        after = {u: bastion.wait_main(u, pid) for u, pid in before.items()}
    assert "not upgraded" not in p.stderr
    assert set(after.values()).isdisjoint(before.values())
    assert {bastion.show(u, "NRestarts") for u in units()} == {"0"}
    assert dns.count["answered"] > 100 and dns.count["lost"] == dns.count["wrong"] == 0
    story(f"dpkg over the installed ones: every daemon hands over in place, of "
          f"{dns.count['sent']} queries 0 are lost")


def test_remove(bastion, built, story):
    debs = names(built("deb", conftest.version()))
    bastion.run(["dpkg", "--remove", *debs])
    for u in units():
        assert bastion.show(u, "ActiveState") == "inactive"
    assert os.path.exists(bastion.path("/etc/okd-bastion/cluster.yaml"))
    for d in conftest.daemons():
        assert os.path.isdir(bastion.path(f"/var/lib/okd-{d}"))
    state = bastion.path("/var/lib/okd-regd/regd.db")
    assert os.path.exists(state)
    story("dpkg --remove: the daemons end, settings and state stay")


def test_install_again_and_purge(bastion, built, story):
    files = built("deb", conftest.version())
    bastion.run(["dpkg", "--install", *bastion.put(files)])
    bastion.systemctl("start", "okd-bastion.target")
    for u in units():
        bastion.wait_main(u)
    bastion.run(["dpkg", "--purge", *names(files)])
    assert glob.glob(bastion.path("/var/lib/okd-*")) == []
    assert os.path.exists(bastion.path("/etc/okd-bastion/cluster.yaml"))
    assert left(bastion) == []
    assert bastion.systemctl("--failed", "--plain", "--no-legend").stdout == ""
    story("installed again it goes on with its state; dpkg --purge takes the state along and "
          "leaves cluster.yaml, which a person wrote")
