"""An install in the guide's order, with all five daemons on a booted bastion and real
clients around it.  Each function is a step, and counts on the ones before it; three faults
come in between, as they would in life."""

import contextlib
import glob
import json
import lzma
import os
import re
import shutil
import sqlite3
import subprocess
import time
import xml.etree.ElementTree as ET

import pytest

import bastion as bastions
import conftest
import harness
import loads
import monitoring
import worlds
from variant import TOP
from worlds import BASTION, DOMAIN, NODES, RELEASE

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("in_order")]
CAP_NET_BIND_SERVICE = 1 << 10
COMPONENTS = 12
EXPOSURE = 1.5
YOUNGER = 9999  # a database's version that nothing has yet
IMAGE = "fedora-coreos-32.20200907.3.0-metal.x86_64.raw.xz"


@pytest.fixture(scope="module")
def world(net, bastion):
    worlds.need("etcd", "etcdctl", "skopeo", "podman", "kubectl", "curl", "dig", "openssl")
    w = worlds.World(net, bastion)
    yield w
    w.close()


@pytest.fixture(scope="module")
def release():
    return worlds.release_images(COMPONENTS)


def units():
    return [f"okd-{d}.service" for d in conftest.daemons()]


def expect_all_ready(bastion):
    for unit in units():
        bastion.wait_main(unit)


# --- a bare host becomes a bastion -----------------------------------------------------


def test_the_host(bastion, built, story):
    story.chapter("An install, in the guide's order")
    bastion.boot()
    bastion.run(["rpm", "--install", "--nodeps", *bastion.put(built("rpm", conftest.version()))])
    story("a bare host boots, and rpm installs the suite")


def test_init(bastion, world, story):
    world.init()
    assert bastion.read("/etc/resolv.conf").split() == ["search", DOMAIN, "nameserver", BASTION]
    story("okdctl init --apply writes the cluster, the registry's CA, its user, the resolver")


def test_the_target(bastion, world, story):
    world.etcd_up()
    bastion.systemctl("enable", "--now", "okd-bastion.target")
    expect_all_ready(bastion)
    took = {d: bastion.milliseconds(f"okd-{d}.service") for d in conftest.daemons()}
    for d in conftest.daemons():
        assert bastion.admin(d, "/status")["name"] == f"okd-{d}"
    story("systemctl enable --now okd-bastion.target; from start to READY: " +
          ", ".join(f"okd-{d} {ms:.0f} ms" for d, ms in took.items()))


def test_start_times(bastion, story):
    """Each on its own, with an empty state."""
    took = {}
    for d in conftest.daemons():
        times = []
        for _ in range(3):
            bastion.systemctl("stop", f"okd-{d}.service")
            bastion.run(["find", f"/var/lib/okd-{d}", "-mindepth", "1", "-delete"])
            bastion.systemctl("start", f"okd-{d}.service")
            times.append(bastion.milliseconds(f"okd-{d}.service"))
        took[d] = sorted(times)[1]
    story("one at a time with an empty state, the median of three: " +
          ", ".join(f"okd-{d} {ms:.0f} ms" for d, ms in took.items()))


def test_confined(bastion, story):
    for d in conftest.daemons():
        unit = f"okd-{d}.service"
        status = bastions.proc_status(bastion.outside(bastion.main_pid(unit)))
        user = bastion.run(["id", "-u", f"okd-{d}"]).stdout.strip()
        assert status["Uid"].split() == [user] * 4 and user != "0"
        want = CAP_NET_BIND_SERVICE if d in ("dnsd", "lbd") else 0
        for kind in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
            assert int(status[kind], 16) == want, f"okd-{d}: {kind} {status[kind]}"
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        sock = bastion.run(["stat", "-c", "%U:%G %a", f"/run/okd-{d}/admin.sock"]).stdout
        assert sock.strip() == f"okd-{d}:okd-admin 660"
    story("each runs as a user of its own; dnsd and lbd have CAP_NET_BIND_SERVICE, the "
          "others nothing; the admin sockets are group okd-admin's")


def test_group(bastion, story):
    """A member of okd-admin may change a running daemon, anybody else may not."""
    for user, groups in (("anna", ["--groups", "okd-admin"]), ("otto", [])):
        bastion.run(["useradd", "--no-create-home", *groups, user])
    as_user = ["runuser", "-u"]
    server = ["openshift-api-server", "master"]
    for args in (["reload"], ["lb", "drain", *server], ["lb", "ready", *server]):
        bastion.run([*as_user, "anna", "--", "okdctl", *args])
        p = bastion.run([*as_user, "otto", "--", "okdctl", *args], check=False)
        assert p.returncode == 77 and "okd-admin" in p.stderr, p.stdout + p.stderr
    for secret in ("registry.key", "pull-secret.json"):
        for user in ("anna", "otto"):
            assert bastion.run([*as_user, user, "--", "cat", f"/etc/okd-bastion/{secret}"],
                               check=False).returncode != 0
    story("who is in okd-admin changes running daemons with okdctl, who is not is told of the "
          "group, and neither reads the secrets")


def test_units(bastion, story):
    """In the booted system: nothing that systemd finds odd, and the sandbox by its own
    measure."""
    p = bastion.run(["systemd-analyze", "verify", "--man=no", "okd-bastion.target", *units()])
    assert p.stdout + p.stderr == ""
    exposed = {}
    for u in units():
        out = bastion.run(["systemd-analyze", "security", "--no-pager", u]).stdout
        exposed[u] = float(re.search(r"exposure level for \S+: (\d+\.\d)", out).group(1))
        wanted = bastion.show(u, "After", "Wants", "Requires")
        assert "network-online.target" not in " ".join(wanted.values())
    story("systemd-analyze verify is silent; exposure: " +
          ", ".join(f"{u.split('.')[0]} {level}" for u, level in exposed.items()))
    assert max(exposed.values()) <= EXPOSURE
    bastion.run(["systemd-tmpfiles", "--create", "okd-bastion.conf"])
    bastion.run(["systemd-sysusers", "okd-bastion.conf"])


def test_catalog(bastion, story):
    """The scriptlets have told journald of every explanation."""
    ids = []
    for path in glob.glob(f"{TOP}/systemd/*.catalog"):
        with open(path, encoding="utf-8") as f:
            ids += re.findall(r"^-- ([0-9a-f]{32})$", f.read(), re.M)
    known = bastion.run(["journalctl", "--dump-catalog", *ids]).stdout
    assert set(re.findall(r"^-- ([0-9a-f]{32})$", known, re.M)) == set(ids)
    story(f"journalctl -x has an explanation for each of the {len(ids)} kinds of events")


def test_ports(bastion, story):
    """On the bastion's address the daemons listen on what the firewalld services open, and
    on the statistics page."""
    opened = set()
    for path in glob.glob(f"{TOP}/packaging/firewalld/*.xml"):
        for port in ET.parse(path).getroot().iter("port"):
            opened.add((port.get("protocol"), int(port.get("port"))))
    listening = set()
    for line in bastion.host.run(["ss", "-Hlntu"]).stdout.splitlines():
        protocol, _, _, _, local, *_ = line.split()
        address, _, port = local.rpartition(":")
        if not address.startswith(("127.", "[::1]")) and int(port) not in (2379, 2380):
            assert address == BASTION, line
            listening.add((protocol, int(port)))
    assert listening == opened | {("tcp", 9000)}
    story("they listen on " + ", ".join(f"{n}/{p}" for p, n in sorted(
        listening, key=lambda x: x[1])) + " of the bastion's address, never on the wildcard")


def test_csrd_waits_for_its_kubeconfig(bastion, story):
    status = bastion.show("okd-csrd.service", "StatusText", "ActiveState", "NRestarts")
    assert status["ActiveState"] == "active" and status["NRestarts"] == "0"
    assert "kubeconfig" in status["StatusText"]
    story(f"okd-csrd is up before there is a cluster: \"{status['StatusText']}\"")


# --- names -----------------------------------------------------------------------------


def test_names(world, story):
    for host in NODES:
        for name in ("api", "api-int", "registry", "bastion", "console.apps"):
            assert world.dig(host, f"{name}.{DOMAIN}") == [BASTION]
        for name, address in NODES.items():
            assert world.dig(host, f"{name}.{DOMAIN}") == [address]
            assert world.dig(host, "-x", address) == [f"{name}.{DOMAIN}."]
        assert world.dig(host, "SRV", f"_etcd-server-ssl._tcp.{DOMAIN}") == [
            f"0 10 2380 etcd-0.{DOMAIN}."]
        assert world.dig(host, "+search", "api-int") == [BASTION]
    story("each node finds names, reverse names, *.apps and etcd's SRV record, which nobody "
          "wrote down one by one")


def test_records_in_etcd(world, story):
    """The guide's keys, with values that cluster.yaml does not give: what a person wrote
    comes first."""
    world.put("registry", host="192.168.120.201", ttl=60)
    world.put("etcd-0", host="192.168.120.203", ttl=30)
    world.put("ntp", host="192.168.120.205", ttl=60)
    world.put("_tcp/_etcd-server-ssl/x1", host=f"etcd-0.{DOMAIN}", ttl=60, priority=1,
              weight=20, port=2381)
    harness.wait_until(lambda: world.dig("master", f"ntp.{DOMAIN}") == ["192.168.120.205"], 10,
                       "a record from etcd")
    for host in NODES:
        assert world.dig(host, f"registry.{DOMAIN}") == ["192.168.120.201"]
        assert world.dig(host, f"etcd-0.{DOMAIN}") == ["192.168.120.203"]
        assert world.dig(host, "SRV", f"_etcd-server-ssl._tcp.{DOMAIN}") == [
            f"1 100 2381 etcd-0.{DOMAIN}."]  # the share of 20 in the sum of 20, as CoreDNS
        assert world.dig(host, f"api.{DOMAIN}") == [BASTION]
    story("etcdctl put in the guide's notation: answers follow, before what cluster.yaml says")


def test_etcd_stops(world, bastion, story):
    """The first fault."""
    world.etcd_down()
    for host in NODES:
        assert world.dig(host, f"ntp.{DOMAIN}") == ["192.168.120.205"]
        assert world.dig(host, f"api.{DOMAIN}") == [BASTION]
    before = bastion.main_pid("okd-dnsd.service")
    bastion.systemctl("restart", "okd-dnsd.service")
    bastion.wait_main("okd-dnsd.service", before)
    assert world.dig("worker", f"ntp.{DOMAIN}") == ["192.168.120.205"]
    assert world.dig("worker", f"api.{DOMAIN}") == [BASTION]
    world.etcd_up()
    world.put("ntp", host="192.168.120.206", ttl=60)
    harness.wait_until(lambda: world.dig("worker", f"ntp.{DOMAIN}") == ["192.168.120.206"], 30,
                       "etcd's new value")
    for name in ("registry", "etcd-0", "_tcp/_etcd-server-ssl/x1"):
        world.etcdctl("del", f"/skydns/com/example/okd/{name}")
    harness.wait_until(lambda: world.dig("worker", f"registry.{DOMAIN}") == [BASTION], 10,
                       "the derived record")
    story("FAULT etcd is killed: its names are answered as before, over a restart of okd-dnsd "
          "too; it comes back, and answers follow it again")


# --- the mirror ------------------------------------------------------------------------


def test_mirror_and_power_cut(world, bastion, release, story):
    """The second fault: the whole container goes in mid-push."""
    done = []
    for tag, image in release.items():
        folder = world.path("images", tag)
        worlds.write_layout(image, folder)
        if len(done) < COMPONENTS // 2:
            world.push(folder, tag)
            done.append(tag)
    big = worlds.write_big(world.path("images", "big"), 48 << 20)
    push = world.start("bastion", *world.push_command(world.path("images", "big"), "big"),
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    uploads = bastion.path("/var/lib/okd-regd/uploads")
    harness.wait_until(lambda: any(os.path.getsize(os.path.join(d, f)) > 1 << 20
                                   for d, _, names in os.walk(uploads) for f in names),
                       20, "a part of the big layer")
    bastion.power_cut()
    assert push.wait(60) != 0, "the push was over before the power was"
    story(f"FAULT {len(done)} images are pushed by skopeo, and the power fails in the middle "
          "of a large one")
    bastion.boot()
    expect_all_ready(bastion)
    basic = int(bastion.show("basic.target", "ActiveEnterTimestampMonotonic"))
    ready = {d: (int(bastion.show(f"okd-{d}.service", "ActiveEnterTimestampMonotonic")) - basic)
             / 1e6 for d in conftest.daemons()}
    story(f"the power is back: all five are ready {max(ready.values()):.2f} s after "
          f"basic.target")
    assert max(ready.values()) < 3
    for tag in done:
        assert worlds.raw(world, tag) == release[tag].manifest
    for tag in release:
        if tag not in done:
            world.push(world.path("images", tag), tag)
    world.push(world.path("images", "big"), "big")
    assert json.loads(worlds.raw(world, "big")) == big
    out = bastion.run(["okdctl", "registry", "verify-release", RELEASE, "--rehash"]).stdout
    story(f"nothing that was acknowledged is lost, the rest is pushed, and okdctl registry "
          f"verify-release says: {out.splitlines()[-1].strip()}")


def test_nodes_pull(world, release, story):
    tag = f"{RELEASE}-component-3"
    digest = release[tag].digest
    source = f"quay.io/openshift/okd-content@{digest}"
    said = world.pull("worker", source, trusted=False, fails=True)
    assert "x509: certificate signed by unknown authority" in said
    for host in ("bootstrap", "worker"):
        world.pull(host, source)
    story("podman on the nodes pulls quay.io's image by digest from the mirror; without the "
          "CA it says x509: certificate signed by unknown authority")
    said = world.on("worker", "curl", "-sS", "--cacert", world.path("certs", "ca.crt"), "-o",
                    "/dev/null", "-w", "%{http_code}", f"https://registry.{DOMAIN}:5000/v2/")
    assert said == "401"


# --- the first boot --------------------------------------------------------------------


def test_publish(world, bastion, story, tmp_path):
    """The image with its signature, and what openshift-install made."""
    world.ignition = world.installer(tmp_path)
    with open(bastion.path(f"/root/{IMAGE}"), "wb") as f:
        f.write(lzma.compress(os.urandom(20 << 20), preset=0))
    with open(bastion.path(f"/root/{IMAGE}.sig"), "wb") as f:
        f.write(os.urandom(566))
    bastion.run(["okdctl", "image", "add", f"/root/{IMAGE}"])
    bastion.run(["okdctl", "publish", "/root/install"])
    story("okdctl publishes the image with its signature and the three .ign files")


def test_fetches_and_refusals(world, bastion, story):
    at = f"http://{BASTION}:8080"
    for host in NODES:
        args = bastion.run(["okdctl", "kargs", host, "--raw"]).stdout.split()
        urls = dict(x.split("=", 1) for x in args)
        image, ign = urls["coreos.inst.image_url"], urls["coreos.inst.ignition_url"]
        assert ign == f"{at}/ignition/{host}.ign"
        got = world.curl(host, image)
        assert worlds.sha256(got) == worlds.sha256(bastion.path(f"/root/{IMAGE}"))
        got = world.curl(host, image + ".sig")
        assert worlds.sha256(got) == worlds.sha256(bastion.path(f"/root/{IMAGE}.sig"))
        for other in NODES:
            if other != host:
                world.curl(host, f"{at}/ignition/{other}.ign", code=403)
        with open(world.curl(host, ign), "rb") as f:
            assert json.loads(f.read()) == json.loads(world.ignition[f"{host}.ign"])
        for path in ("auth/kubeconfig", "ignition/auth/kubeadmin-password"):
            world.curl(host, f"{at}/{path}", code=(403, 404))
    story("each node fetches image, signature and its own .ign by its kernel arguments, and "
          "is refused those of the others")


# --- bootstrap, handover ---------------------------------------------------------------


def state(bastion):
    return bastion.admin("lbd", "/status")["lbd"]["install"]["state"]


def test_bootstrap(world, bastion, story):
    assert state(bastion) == "waiting"
    world.on("master", "curl", "-sSk", f"https://api-int.{DOMAIN}:22623/config/master",
             fails=True)
    world.cluster.up("bootstrap")
    bastion.run(["okdctl", "wait", "api", "--timeout", "30s"])
    bastion.run(["okdctl", "wait", "mcs", "--timeout", "30s"])
    assert state(bastion) == "bootstrap"
    got = world.curl("master", f"https://api-int.{DOMAIN}:22623/config/master", "-k")
    with open(got, encoding="utf-8") as f:
        assert json.load(f)["role"] == "master"
    ca = world.cluster.api.pki.ca
    world.curl("worker", f"https://api.{DOMAIN}:6443/readyz", "--cacert", ca)
    story("the bootstrap comes up: the API answers through okd-lbd, and the master fetches its "
          "configuration from port 22623")


HOOK = """[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
[Install]
WantedBy=okd-lbd@complete.target
"""


@contextlib.contextmanager
def at_the_end(bastion, unit):
    """A unit of the administrator's that starts with the end of the install."""
    path = f"/etc/systemd/system/{unit}"
    bastion.write(path, HOOK)
    bastion.systemctl("daemon-reload")
    bastion.systemctl("enable", unit)
    bastion.systemctl("enable", "--now", "okd-lbd@complete.path")
    assert bastion.show(unit, "ActiveState") == "inactive"
    yield
    harness.wait_until(lambda: bastion.show(unit, "ActiveState") == "active", 10, unit)
    bastion.systemctl("disable", "--now", "okd-lbd@complete.path", unit)
    bastion.systemctl("stop", "okd-lbd@complete.target")
    os.unlink(bastion.path(path))
    bastion.systemctl("daemon-reload")


def test_handover(world, bastion, story):
    with at_the_end(bastion, "bootstrap-gone.service"):
        hand_over(world, bastion, story)
    story("okd-lbd@complete.path has started the unit that waited for this")


def hand_over(world, bastion, story):
    world.cluster.up("master")
    bastion.run(["okdctl", "wait", "handover", "--timeout", "30s"])
    story("the master's API answers: okd-lbd hands over")
    world.cluster.down("bootstrap")
    begin = time.monotonic()
    bastion.run(["okdctl", "wait", "complete", "--timeout", "60s"])
    assert state(bastion) == "complete"
    story(f"the bootstrap is switched off; {time.monotonic() - begin:.1f} s later (retire_after "
          "is 3 s here) it has retired, and no line was commented out by hand")
    ca = world.cluster.api.pki.ca
    for _ in range(5):
        world.curl("worker", f"https://api.{DOMAIN}:6443/readyz", "--cacert", ca)


def test_kill_each(world, bastion, story):
    """The third fault."""
    before = {u: bastion.main_pid(u) for u in units()}
    begin = time.monotonic()
    for unit, pid in before.items():
        bastion.systemctl("kill", "--kill-whom=main", "--signal=KILL", unit)
        bastion.wait_main(unit, pid)
    took = time.monotonic() - begin
    ca = world.cluster.api.pki.ca
    assert world.dig("worker", f"api.{DOMAIN}") == [BASTION]
    harness.wait_until(lambda: world.net["worker"].run(
        ["curl", "-sf", "--cacert", ca, "--resolve", f"api.{DOMAIN}:6443:{BASTION}",
         f"https://api.{DOMAIN}:6443/readyz"], check=False).returncode == 0, 10, "the API")
    assert state(bastion) == "complete"
    assert worlds.raw(world, RELEASE)
    world.curl("worker", f"http://{BASTION}:8080/install/coreos.raw.xz.sig")
    story(f"FAULT kill -9 of each daemon in turn: systemd has all five back after {took:.1f} s, "
          "what they knew is still known")


def test_the_balancer_killed_under_load(bastion, net, story):
    """The listeners are in systemd's store: who comes in between waits there."""
    with loads.http(net["worker"], f"https://{BASTION}:6443/readyz") as load:
        for _ in range(3):
            pid = bastion.main_pid("okd-lbd.service")
            bastion.systemctl("kill", "--kill-whom=main", "--signal=KILL", "okd-lbd.service")
            bastion.wait_main("okd-lbd.service", pid)
            bastion.run(["okdctl", "wait", "api", "--timeout", "30s"])
    c = load.count
    story(f"FAULT kill -9 of okd-lbd three times under load: {c['answered']} requests answered, "
          f"{c['refused']} refused, {c['cut'] + c['closed']} ended with their process, the "
          f"slowest answered after {c['slowest_ms']} ms")
    assert c["refused"] == c["wrong"] == 0 and c["answered"] > 10, c


# --- certificates ----------------------------------------------------------------------


def test_certificates(world, bastion, story):
    harness.wait_until(
        lambda: bastion.admin("csrd", "/status")["csrd"]["api"]["following"], 15, "csrd's watches")
    for host in ("master", "worker"):
        first, second = world.join(host)
        story(f"{host}: kubectl sends its two requests through okd-lbd, okd-csrd approves them "
              f"after {first:.2f} s and {second:.2f} s")
        bastion.run(["okdctl", "wait", "node", host, "--timeout", "20s"])
    approved = world.cluster.api.approved_by("okd-csrd")
    assert len(approved) == 4 == len(set(approved))


def test_a_stranger_is_not_approved(world, bastion, story):
    """A node that cluster.yaml does not know, with the right token all the same."""
    world.request_certificate("worker", "client", 1, called="worker1")
    pending = harness.wait_until(
        lambda: [r for r in bastion.admin("csrd", "/v1/requests?all=1")["requests"]
                 if "worker1" in json.dumps(r) and r.get("reason")], 10, "a decision")
    assert not world.cluster.api.is_approved(pending[0]["name"])
    out = bastion.run(["okdctl", "csr", "ls"]).stdout
    assert "worker1" in out
    story(f"a request for worker1.{DOMAIN}, which nobody described, stays pending: "
          f"{pending[0]['reason']}")


def test_status(world, bastion, story):
    status = json.loads(bastion.run(["okdctl", "status", "--json"]).stdout)
    assert status["lbd"]["lbd"]["install"]["state"] == "complete"
    nodes = {n["name"]: n for n in status["ignd"]["ignd"]["nodes"]}
    assert set(nodes) == set(NODES)
    for line in bastion.run(["okdctl", "status", "--color", "never"]).stdout.splitlines():
        story("okdctl status | " + line)


def test_metrics(bastion, story):
    """Whatever alerts and dashboard ask for is there, with the labels that they go by."""
    have, labels = set(), {}
    for d in conftest.daemons():
        text = bastion.host.run(["curl", "-sS", "--unix-socket",
                                 bastion.path(f"/run/okd-{d}/admin.sock"),
                                 "http://localhost/metrics"]).stdout
        mine = set(re.findall(r"^# TYPE (\S+)", text, re.M))
        for pattern in monitoring.patterns_asked_for():
            assert [m for m in mine if re.fullmatch(pattern, m)], f"okd-{d} has no {pattern}"
        have |= mine
        for metric, names in monitoring.labels_of(text).items():
            labels.setdefault(metric, set()).update(names)
    assert monitoring.metrics_asked_for() <= have, monitoring.metrics_asked_for() - have
    for query, wanted in monitoring.labels_asked_for():
        known = [labels[m] for m in monitoring.metrics_in(query) if m in labels]
        assert not known or wanted <= set().union(*known), f"{query} goes by {wanted}"
    story(f"the daemons have {len(have)} metrics, among them all that the alerts and the "
          "dashboard ask for")


# --- what it costs ---------------------------------------------------------------------


def cpu_ns(processes):
    """The CPU time of each so far, {unit: nanoseconds}."""
    used = {}
    for unit, pid in processes.items():
        used[unit] = 0
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            with open(path, encoding="ascii") as f:
                used[unit] += int(f.read().split()[0])
    return used


def cpu_share(processes, seconds):
    """Percent of one CPU that each takes for so long, {unit: percent}.  The seconds are what
    is measured, not waited for."""
    before, begin = cpu_ns(processes), time.monotonic()
    time.sleep(seconds)
    after, took = cpu_ns(processes), time.monotonic() - begin
    return {u: (after[u] - before[u]) / 1e7 / took for u in processes}


def age(pid):
    """Seconds since a process began."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        begin = int(f.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - begin


def test_at_rest(bastion, story):
    processes = {u: bastion.outside(bastion.main_pid(u)) for u in units()}
    # Quiet times begin twenty seconds after the last change; what the steps before have left
    # to be done is over once nobody does anything much.
    harness.wait_until(lambda: min(map(age, processes.values())) > 25, 60, "some age")
    harness.wait_until(lambda: sum(cpu_share(processes, 1).values()) < 0.5, 60, "a quiet second")
    pss = {u: bastion.pss(u) for u in units()}
    story("at rest: " + ", ".join(f"{u.split('.')[0]} {kb / 1024:.1f} MB"
                                  for u, kb in pss.items()) +
          f"; together {sum(pss.values()) / 1024:.1f} MB PSS")
    assert sum(pss.values()) < 32 * 1024
    share = cpu_share(processes, 30)
    story("and of one CPU: " + ", ".join(f"{u.split('.')[0]} {x:.3f} %"
                                         for u, x in share.items()) +
          f"; together {sum(share.values()):.3f} %")
    assert sum(share.values()) < 1


def test_a_port_below_1024(bastion, world, story):
    """With the drop-in of docs/operations.md, and not without."""
    with open(os.path.join(TOP, "docs", "operations.md"), encoding="utf-8") as f:
        drop_in = re.search(r"^```ini\n(.*?)^```", f.read(), re.M | re.S).group(1)
    folder, unit = "/etc/systemd/system/okd-ignd.service.d", "okd-ignd.service"
    bastion.write("/etc/okd-bastion/ignd.yaml", f'listen: ["{BASTION}:88"]\n')
    bastion.systemctl("restart", unit, check=False)
    assert bastion.show(unit, "SubState") != "running"
    bastion.systemctl("stop", unit)
    os.makedirs(bastion.path(folder))
    bastion.write(f"{folder}/port.conf", drop_in)
    bastion.systemctl("daemon-reload")
    bastion.systemctl("reset-failed", unit)
    bastion.systemctl("start", unit)
    world.curl("worker", f"http://{BASTION}:88/install/coreos.raw.xz.sig")
    for path in (f"{folder}/port.conf", "/etc/okd-bastion/ignd.yaml"):
        os.unlink(bastion.path(path))
    bastion.systemctl("daemon-reload")
    bastion.systemctl("restart", unit)
    world.curl("worker", f"http://{BASTION}:8080/install/coreos.raw.xz.sig")
    story("okd-ignd on port 88 is refused by its unit, and runs with the documented drop-in")


# --- upgrade ---------------------------------------------------------------------------


def tree(folder):
    """{path: (owner, group, mode, digest)} of the files below a folder."""
    found = {}
    for path in glob.glob(f"{folder}/**", recursive=True):
        st = os.stat(path)
        found[path] = (st.st_uid, st.st_gid, st.st_mode,
                       worlds.sha256(path) if os.path.isfile(path) else None)
    assert len(found) > 5
    return found


def test_upgrade_under_load(bastion, world, net, built, story):
    """All five at once, by the package manager, while each is at work."""
    version = conftest.next_version()
    rpms = bastion.put(built("rpm", version))
    before = {u: bastion.main_pid(u) for u in units()}
    restarts = {u: bastion.show(u, "NRestarts") for u in units()}  # of the kills above
    authorization = "Basic " + json.loads(
        bastion.read("/etc/okd-bastion/pull-secret.json"))["auths"][
            f"registry.{DOMAIN}:5000"]["auth"]
    image = world.path("download")
    settings = tree(bastion.path("/etc/okd-bastion"))
    with loads.dns(net["master"], BASTION, f"api.{DOMAIN}") as dns, \
            loads.http(net["worker"], f"https://{BASTION}:6443/readyz") as api, \
            loads.http(net["worker"], f"https://{BASTION}:5000/v2/", authorization) as registry, \
            loads.http(net["worker"], f"http://{BASTION}:8080/install/coreos.raw.xz.sig") as files:
        download = world.start("bootstrap", "curl", "-sS", "--limit-rate", "3M", "-o", image,
                               f"http://{BASTION}:8080/install/coreos.raw.xz")
        upload = worlds.SlowUpload(world, authorization)
        harness.wait_until(lambda: os.path.exists(image) and os.path.getsize(image) > 1 << 20,
                           10, "the download's begin")
        harness.wait_until(lambda: upload.arrived() > 1 << 20, 10, "the upload's begin")
        with loads.paused(download, upload.p):
            assert download.poll() is None and upload.running(), "the load was over too early"
            p = bastion.run(["rpm", "--upgrade", "--nodeps", *rpms], timeout=120)
            after = {u: bastion.wait_main(u, pid) for u, pid in before.items()}
        assert bastion.admin("csrd", "/status")["version"] == version
        world.approved("worker", "serving", serial=2)
    assert "not upgraded" not in p.stderr and "warning" not in p.stderr
    assert tree(bastion.path("/etc/okd-bastion")) == settings
    for unit, pid in after.items():
        daemon = unit.split(".", maxsplit=1)[0]
        assert bastion.run([daemon, "-V"]).stdout.split()[1] == version
        with open(f"/proc/{bastion.outside(pid)}/maps", encoding="utf-8") as f:
            assert f"libokdcommon.so.{version}" in f.read()
        assert bastion.show(unit, "ActiveState", "NRestarts") == {
            "ActiveState": "active", "NRestarts": restarts[unit]}
    story(f"rpm --upgrade to {version} under load, all five hand over in place:")
    story(f"  okd-dnsd: of {dns.count['sent']} queries {dns.count['lost']} lost, the slowest "
          f"answered after {dns.count['slowest_ms']} ms")
    for name, load in (("okd-lbd", api), ("okd-regd", registry), ("okd-ignd", files)):
        c = load.count
        story(f"  {name}: {c['answered']} requests answered, {c['refused']} refused, {c['cut']} "
              f"cut, {c['closed']} kept connections closed between requests, the slowest "
              f"{c['slowest_ms']} ms")
    assert dns.count["lost"] == dns.count["wrong"] == 0
    for load in (api, registry, files):
        assert load.count["answered"] > 100
        assert load.count["refused"] == load.count["cut"] == load.count["wrong"] == 0, load.count
    assert api.count["closed"] == 0, api.count
    assert download.wait(60) == 0
    assert worlds.sha256(image) == worlds.sha256(bastion.path(f"/root/{IMAGE}"))
    upload.finish()
    story("  a slow download and a slow push that began before it end whole in the old "
          "processes; okd-csrd approves the same node's next requests")


def test_a_stop_waits(world, bastion, story):
    """Of a daemon that was upgraded in place, as of any other."""
    image, unit = world.path("last-download"), "okd-ignd.service"
    download = world.start("worker", "curl", "-sS", "--limit-rate", "8M", "-o", image,
                           f"http://{BASTION}:8080/install/coreos.raw.xz")
    harness.wait_until(lambda: os.path.exists(image) and os.path.getsize(image) > 1 << 20, 10,
                       "the download's begin")
    bastion.systemctl("stop", unit)
    assert bastion.show(unit, "Result", "ActiveState") == {
        "Result": "success", "ActiveState": "inactive"}
    assert download.wait(30) == 0
    assert worlds.sha256(image) == worlds.sha256(bastion.path(f"/root/{IMAGE}"))
    bastion.systemctl("start", unit)
    story("systemctl stop of the upgraded okd-ignd waits for a download, which ends whole")


def documented_queries():
    """The journalctl lines of docs/operations.md, each with the comment above it."""
    with open(os.path.join(TOP, "docs", "operations.md"), encoding="utf-8") as f:
        blocks = re.findall(r"^```sh\n(.*?)^```", f.read(), re.M | re.S)
    return re.findall(r"^# (.*)\n(journalctl .*)$", "".join(blocks), re.M)


def test_journal(bastion, story):
    """Each query of the documents finds what it says that it finds."""
    queries = documented_queries()
    assert len(queries) >= 10
    for what, query in queries:
        found = bastion.run(["sh", "-c", query + " --no-pager -q"], check=False)
        assert found.returncode == 0 and found.stdout.strip(), f"{query}: {found.stderr}"
        story(f"{query.split(' ', 1)[1][:60]}: {len(found.stdout.splitlines())} lines "
              f"({what[0].lower() + what[1:]})")
    explaining = next(query for _, query in queries if " -x " in query)
    explained = bastion.run(["sh", "-c", explaining + " --no-pager -q"]).stdout
    assert "Subject: A certificate request was left pending" in explained
    for d in conftest.daemons():
        lines = [json.loads(x) for x in
                 bastion.journal("-t", f"okd-{d}", "-o", "json").splitlines()]
        assert lines and {x["_SYSTEMD_UNIT"] for x in lines} == {f"okd-{d}.service"}
    assert "Suppressed" not in bastion.journal("-u", "systemd-journald", "-o", "cat")


def test_nothing_is_lost(world, bastion, release, story, tmp_path):
    for tag, image in release.items():
        assert worlds.raw(world, tag) == image.manifest
    assert state(bastion) == "complete"
    bastion.systemctl("stop", "okd-bastion.target")
    for u in units():
        assert bastion.show(u, "Result", "ActiveState") == {
            "Result": "success", "ActiveState": "inactive"}
    # The file alone, as a backup takes it along.
    copy = shutil.copyfile(bastion.path("/var/lib/okd-regd/regd.db"), tmp_path / "regd.db")
    with contextlib.closing(sqlite3.connect(copy)) as db:
        assert {row[0] for row in db.execute("SELECT name FROM tags")} >= set(release)
    story("every image of the release is there; systemctl stop okd-bastion.target ends all "
          "five, and their databases are whole")


def set_user_version(path, version, tmp_path):
    """Writes a version into a database at rest, and says which was there.  sqlite follows
    the link of a process's root to this machine's own, hence the copy."""
    copy = tmp_path / "copy.db"
    for end in ("", "-wal"):
        if os.path.exists(path + end):
            shutil.copyfile(path + end, f"{copy}{end}")
    with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as db:
        before = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute(f"PRAGMA user_version = {version}")
    for end in ("-wal", "-shm"):  # what they held is in the copy
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + end)
    shutil.copyfile(copy, path)  # into the file that is there: owner and mode stay
    return before


def test_younger_databases(bastion, story, tmp_path):
    """A downgrade: what a younger version wrote is refused with a sentence and left alone."""
    found = sorted(glob.glob(bastion.path("/var/lib/okd-*/*.db")))
    assert len(found) >= 3
    for path in found:
        name = os.path.relpath(path, bastion.path("/var/lib"))
        unit = f"{name.split('/', maxsplit=1)[0]}.service"
        version = set_user_version(path, YOUNGER, tmp_path)
        before = worlds.sha256(path)
        bastion.systemctl("start", unit, check=False)
        assert bastion.show(unit, "ExecMainStatus", "NRestarts", "ActiveState") == {
            "ExecMainStatus": "78", "NRestarts": "0", "ActiveState": "failed"}
        said = bastion.journal("-u", unit, "-t", unit.removesuffix(".service"), "-p", "err",
                               "-n", "1", "-o", "cat")
        assert f"schema {YOUNGER}" in said and "newer version" in said, f"{name}: {said}"
        assert worlds.sha256(path) == before, f"{name} was written to"
        story(f"{name} of a younger version: {said.strip()}")
        assert set_user_version(path, version, tmp_path) == YOUNGER
        bastion.systemctl("reset-failed", unit)
        bastion.systemctl("start", unit)
        bastion.systemctl("stop", unit)
