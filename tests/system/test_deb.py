"""The Debian packages in a booted system that has nothing of what they need: installed by apt,
which fetches the rest from Debian, upgraded in place under load, removed, purged.  Each
function is a step, and counts on the ones before it."""

import glob
import os

import pytest

import bastion as bastions
import conftest
import loads
from worlds import BASTION, NODES

pytestmark = [pytest.mark.system, pytest.mark.long, pytest.mark.usefixtures("in_order")]
API = "api.okd.example.com"
BASE = bastions.BARE
OURS = ["okd*"]  # as the documents have it


def units():
    return [f"okd-{d}.service" for d in conftest.daemons()]


def names(debs):
    return [os.path.basename(f).split("_", maxsplit=1)[0] for f in debs]


def installed(bastion):
    out = bastion.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n"]).stdout
    return {x.split()[1] for x in out.splitlines() if x.startswith("installed ")}


def left(bastion):
    """The suite's files outside of settings, state, and what init did to the host."""
    found = bastion.run(["find", "/usr", "/etc", "/lib", "-xdev", "(", "-name", "okd*", "-o",
                         "-name", "_okd*", ")", "!", "-type", "l"]).stdout.split()
    return sorted(x for x in found
                  if x != "/etc/okd-bastion" and not x.endswith("/okd-bastion-registry.crt"))


def test_install(bastion, built, story):
    story.chapter("The same from Debian packages")
    bastion.boot()
    before = installed(bastion)
    debs = bastion.put(built("deb", conftest.version()))
    bastion.apt("update")
    out = bastion.apt("install", *debs)
    for d in conftest.daemons():
        assert bastion.run(["id", f"okd-{d}"]).returncode == 0
        state = bastion.systemctl("is-enabled", f"okd-{d}", check=False).stdout.strip()
        assert state == "disabled", f"okd-{d} is {state} right after its installation\n{out}"
    assert bastion.run(["dpkg", "--verify", *names(debs)]).stdout == ""
    assert bastion.run(["okdctl", "-V"]).stdout.split()[1] == conftest.version()
    brought = installed(bastion) - before - set(names(debs))
    assert {"libldns3", "libyaml-0-2", "libevent-core-2.1-7"} <= brought
    story(f"apt installs {', '.join(names(debs))} on a bare host, and fetches {len(brought)} "
          "packages of Debian that they need")


def test_run(bastion, net, story):
    world = ["--name", "okd", "--base-domain", "example.com", "--bastion", BASTION, "--gateway",
             BASTION, "--machine-network", "192.168.120.0/24"]
    nodes = [x for name, address in NODES.items()
             for x in ("--node", f"name={name},role={name},address={address}")]
    bastion.run(["okdctl", "init", "--apply", "--yes", *world, *nodes])
    bastion.systemctl("enable", "--now", "okd-bastion.target")
    for u in units():
        bastion.wait_main(u)
    assert net["worker"].run(["dig", "+short", f"@{BASTION}", API]).stdout.split() == [BASTION]
    story("okdctl init --apply and the target: all five run")


def test_upgrade(bastion, net, built, story):
    before = {u: bastion.main_pid(u) for u in units()}
    debs = bastion.put(built("deb", conftest.next_version()))
    with loads.dns(net["master"], BASTION, API) as dns:
        out = bastion.apt("install", *debs)
        after = {u: bastion.wait_main(u, pid) for u, pid in before.items()}
    assert "not upgraded in place" not in out, out
    assert bastion.run(["okdctl", "-V"]).stdout.split()[1] == conftest.next_version()
    assert set(after.values()).isdisjoint(before.values())
    assert {bastion.show(u, "NRestarts") for u in units()} == {"0"}
    assert dns.count["answered"] > 100 and dns.count["lost"] == dns.count["wrong"] == 0
    story(f"apt upgrades to {conftest.next_version()}: every daemon hands over in place, of "
          f"{dns.count['sent']} queries 0 are lost")


def test_remove(bastion, story):
    bastion.apt("remove", *OURS)
    assert not [x for x in installed(bastion) if x.startswith("okd")]
    for u in units():
        assert bastion.show(u, "ActiveState") == "inactive"
    assert os.path.exists(bastion.path("/etc/okd-bastion/cluster.yaml"))
    for d in conftest.daemons():
        assert os.path.isdir(bastion.path(f"/var/lib/okd-{d}"))
    state = bastion.path("/var/lib/okd-regd/regd.db")
    assert os.path.exists(state)
    story("apt remove: the daemons end, settings and state stay")


def test_install_again_and_purge(bastion, built, story):
    bastion.apt("install", *bastion.put(built("deb", conftest.version())))
    bastion.systemctl("start", "okd-bastion.target")
    for u in units():
        bastion.wait_main(u)
    bastion.apt("purge", *OURS)
    bastion.apt("autoremove")
    assert "libldns3" not in installed(bastion)
    assert glob.glob(bastion.path("/var/lib/okd-*")) == []
    assert os.path.exists(bastion.path("/etc/okd-bastion/cluster.yaml"))
    assert left(bastion) == []
    assert bastion.systemctl("--failed", "--plain", "--no-legend").stdout == ""
    story("installed again it goes on with its state; apt purge takes the state along and "
          "leaves cluster.yaml, which a person wrote")
