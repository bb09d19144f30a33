"""The life of one daemon as a package and a unit, step by step: installed, started,
reloaded, upgraded, killed, removed.  Each function is a step, and counts on the ones before
it.  okd-dnsd stands for all; test_install.py has every daemon at its work."""

import json
import os
import re
import time

import pytest

import bastion as bastions
import conftest
import harness
import loads

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("in_order")]
DNSD = "okd-dnsd.service"
BASTION = "192.168.120.101"
CAP_NET_BIND_SERVICE = 1 << 10


def example():
    with open(harness.EXAMPLE, encoding="utf-8") as f:
        return f.read()


def dig(host, *args):
    """What dig +short says in a node's namespace."""
    p = host.run(["dig", "+time=2", "+tries=1", "+short", f"@{BASTION}", *args])
    return p.stdout.split("\n")[:-1]


def rcode(host, *args):
    p = host.run(["dig", "+time=2", "+tries=1", f"@{BASTION}", *args])
    return re.search(r"status: (\w+)", p.stdout).group(1)


# --- the machine and its packages ------------------------------------------------------


def test_boot(bastion, net, story):
    story.chapter("A daemon, from its package to its removal")
    took = bastion.boot()
    story(f"a host without the suite boots; systemd is running after {took:.1f} s")


def test_install(bastion, built, story):
    rpms = bastion.put(built("rpm", conftest.version()))
    bastion.run(["rpm", "--install", "--nodeps", *rpms])
    names = [os.path.basename(f).rsplit("-", 2)[0] for f in rpms]
    story(f"rpm installs {', '.join(names)}")
    for d in conftest.daemons():
        assert bastion.run(["id", f"okd-{d}"]).returncode == 0
        state = bastion.systemctl("is-enabled", f"okd-{d}", check=False).stdout.strip()
        assert state == "disabled", f"okd-{d} is {state} right after its installation"
    assert bastion.run(["rpm", "--verify", "--all", "--nodeps"], check=False).stdout == ""


def test_nothing_is_known_of_the_cluster(bastion, story):
    """Exit 78 with a sentence, and no restart."""
    p = bastion.systemctl("start", DNSD, check=False)
    assert p.returncode != 0
    state = bastion.show(DNSD, "ActiveState", "ExecMainStatus", "NRestarts")
    assert state == {"ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}
    last = harness.wait_until(
        lambda: bastion.journal("-u", DNSD, "-t", "okd-dnsd", "-o", "cat"), 5, "a sentence")
    assert "okdctl init" in last
    story(f"without a cluster file okd-dnsd does not start, and says: {last.splitlines()[-1]}")
    bastion.systemctl("reset-failed", DNSD)


# --- names -----------------------------------------------------------------------------


def test_dnsd_starts(bastion, story):
    bastion.write("/etc/okd-bastion/cluster.yaml", example())
    bastion.systemctl("enable", "--now", "okd-dnsd")
    assert bastion.show(DNSD, "ActiveState") == "active"
    took = bastion.milliseconds(DNSD)
    story(f"the cluster is described; systemctl enable --now okd-dnsd: ready after {took:.0f} ms")
    assert took < 1000


def test_confined(bastion, story):
    status = bastions.proc_status(bastion.outside(bastion.main_pid(DNSD)))
    user = bastion.run(["id", "-u", "okd-dnsd"]).stdout.strip()
    assert status["Uid"].split()[1] == user != "0"
    for kind in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == CAP_NET_BIND_SERVICE
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    story(f"okd-dnsd runs as user {user} with CAP_NET_BIND_SERVICE and nothing else")


def test_names(net, story):
    nodes = {"bootstrap": "192.168.120.102", "master": "192.168.120.103",
             "worker": "192.168.120.104"}
    for asking in nodes:
        host = net[asking]
        for name in ("api", "api-int", "registry", "bastion", "x.apps"):
            assert dig(host, f"{name}.okd.example.com") == [BASTION]
        for name, address in nodes.items():
            assert dig(host, f"{name}.okd.example.com") == [address]
            assert dig(host, "-x", address) == [f"{name}.okd.example.com."]
        assert dig(host, "etcd-0.okd.example.com") == ["192.168.120.103"]
        assert dig(host, "SRV", "_etcd-server-ssl._tcp.okd.example.com") == [
            "0 10 2380 etcd-0.okd.example.com."]
        assert dig(host, "+tcp", "api.okd.example.com") == [BASTION]
        assert rcode(host, "nobody.okd.example.com") == "NXDOMAIN"
    story("bootstrap, master and worker find api, registry, *.apps, each other, the reverse "
          "names and etcd's SRV record")


def test_journal(bastion, story):
    lines = [json.loads(x) for x in bastion.journal("-u", DNSD, "-o", "json").splitlines()]
    ours = [x for x in lines if x.get("SYSLOG_IDENTIFIER") == "okd-dnsd"]
    assert ours
    for x in ours:
        assert x["_SYSTEMD_UNIT"] == DNSD
        assert x["PRIORITY"] in "34567"
        # By the journal's own socket, but for the last words of a process, which are by
        # stderr: the journal knows its unit whether or not the process is still there.
        last = "okdctl init" in x["MESSAGE"]
        assert x["_TRANSPORT"] == ("stdout" if last else "journal")
    story(f"the journal holds {len(ours)} entries of okd-dnsd, each with its fields")


def test_reload(bastion, net, story):
    pid = bastion.main_pid(DNSD)
    with loads.dns(net["master"], BASTION, "api.okd.example.com") as load:
        bastion.write("/etc/okd-bastion/cluster.yaml", example() +
                      "  - {name: worker2, role: worker, address: 192.168.120.105}\n")
        bastion.systemctl("reload", DNSD)
        harness.wait_until(
            lambda: dig(net["worker"], "worker2.okd.example.com") == ["192.168.120.105"],
            5, "the new node's name")
    assert bastion.main_pid(DNSD) == pid
    assert load.count["lost"] == load.count["wrong"] == 0
    story(f"a second worker is written down; after systemctl reload it has a name "
          f"({load.count['answered']} queries meanwhile, none lost)")


def test_reload_of_nonsense(bastion, net, story):
    good = bastion.read("/etc/okd-bastion/cluster.yaml")
    pid = bastion.main_pid(DNSD)
    bastion.write("/etc/okd-bastion/cluster.yaml", good.replace("base_domain", "base_domian"))
    assert bastion.systemctl("reload", DNSD, check=False).returncode != 0
    harness.wait_until(
        lambda: "base_domian" in bastion.journal("-u", DNSD, "-o", "cat"), 5, "the error")
    assert bastion.main_pid(DNSD) == pid
    assert dig(net["worker"], "worker2.okd.example.com") == ["192.168.120.105"]
    bastion.write("/etc/okd-bastion/cluster.yaml", good)
    said = [x for x in bastion.journal("-u", DNSD, "-o", "cat").splitlines() if "domian" in x][-1]
    story(f"a spelling mistake changes nothing (systemctl reload says so): {said}")


# --- upgrade, faults, restart ----------------------------------------------------------


def test_upgrade_in_place(bastion, net, built, story):
    before = bastion.main_pid(DNSD)
    version = conftest.next_version()
    rpms = bastion.put(built("rpm", version))
    with loads.dns(net["master"], BASTION, "api.okd.example.com") as load:
        p = bastion.run(["rpm", "--upgrade", "--nodeps", *rpms])
        after = bastion.wait_main(DNSD, before)
    assert "not upgraded" not in p.stderr and "warning" not in p.stderr
    assert bastion.run(["okd-dnsd", "-V"]).stdout.split()[1] == version
    exe = os.readlink(f"/proc/{bastion.outside(after)}/exe")
    assert not exe.endswith("(deleted)")
    with open(f"/proc/{bastion.outside(after)}/maps", encoding="utf-8") as f:
        assert f"libokdcommon.so.{version}" in f.read()
    state = bastion.show(DNSD, "ActiveState", "SubState", "NRestarts")
    assert state == {"ActiveState": "active", "SubState": "running", "NRestarts": "0"}
    assert load.count["answered"] > 1000
    assert load.count["lost"] == load.count["wrong"] == 0
    story(f"rpm --upgrade to {version}: process {before} hands over to {after}; of "
          f"{load.count['sent']} queries 0 lost, the slowest answered after "
          f"{load.count['slowest_ms']} ms")


def test_restart(bastion, net, story):
    """A plain restart: the manager's store keeps the sockets, so nothing is refused."""
    before = bastion.main_pid(DNSD)
    with loads.dns(net["master"], BASTION, "api.okd.example.com") as load:
        bastion.systemctl("restart", DNSD)
    bastion.wait_main(DNSD, before)
    assert load.count["answered"] > 100
    assert load.count["wrong"] == 0
    story(f"systemctl restart: of {load.count['sent']} queries {load.count['lost']} lost, the "
          f"slowest answered after {load.count['slowest_ms']} ms")
    assert load.count["lost"] == 0


def test_kill(bastion, net, story):
    before = bastion.main_pid(DNSD)
    begin = time.monotonic()
    bastion.systemctl("kill", "--kill-whom=main", "--signal=KILL", DNSD)
    bastion.wait_main(DNSD, before)
    assert dig(net["worker"], "api.okd.example.com") == [BASTION]
    took = time.monotonic() - begin
    story(f"kill -9: systemd starts it again, and it answers after {took:.1f} s")


def test_kill_leaves_the_queue(bastion, net, story):
    """Between death and restart the manager keeps the sockets: a query waits in there."""
    before = bastion.main_pid(DNSD)
    bastion.systemctl("kill", "--kill-whom=main", "--signal=KILL", DNSD)
    p = net["worker"].run(["dig", "+time=5", "+tries=1", "+short", f"@{BASTION}",
                           "api.okd.example.com"])
    assert p.stdout.split() == [BASTION]
    bastion.wait_main(DNSD, before)
    story("a query that comes while okd-dnsd is dead waits in the socket and is answered")


def test_power_cut(bastion, net, story):
    bastion.power_cut()
    assert net["worker"].run(
        ["dig", "+time=1", "+tries=1", f"@{BASTION}", "api.okd.example.com"], check=False
    ).returncode != 0
    story("the power fails")
    took = bastion.boot()
    basic = int(bastion.show("basic.target", "ActiveEnterTimestampMonotonic"))
    ready = int(bastion.show(DNSD, "ActiveEnterTimestampMonotonic"))
    assert dig(net["worker"], "api.okd.example.com") == [BASTION]
    story(f"and comes back: booted after {took:.1f} s, okd-dnsd is ready "
          f"{(ready - basic) / 1e6:.2f} s after basic.target")
    assert (ready - basic) / 1e6 < 3


def test_stop(bastion, net, story):
    begin = time.monotonic()
    bastion.systemctl("stop", DNSD)
    took = time.monotonic() - begin
    assert bastion.show(DNSD, "Result", "ActiveState") == {
        "Result": "success", "ActiveState": "inactive"}
    assert not os.path.exists(bastion.path("/run/okd-dnsd"))
    assert net["worker"].run(
        ["dig", "+time=1", "+tries=1", f"@{BASTION}", "api.okd.example.com"], check=False
    ).returncode != 0
    story(f"systemctl stop: ended cleanly after {took:.2f} s, and nobody listens")
    assert took < 5


def test_remove(bastion, story):
    bastion.systemctl("start", DNSD)
    names = [x for x in bastion.run(["rpm", "--query", "--all"]).stdout.split()
             if x.startswith("okd")]
    bastion.run(["rpm", "--erase", "--nodeps", *names])
    assert bastion.show(DNSD, "LoadState", "ActiveState") == {
        "LoadState": "not-found", "ActiveState": "inactive"}
    for left in ("/etc/okd-bastion/cluster.yaml", "/var/lib/okd-dnsd"):
        assert os.path.exists(bastion.path(left)), f"{left} is gone"
    left = bastion.run(["find", "/usr", "/etc", "-name", "okd*"]).stdout.split()
    assert left == ["/etc/okd-bastion"]
    story("the packages are removed: the daemons end, configuration and state stay")
