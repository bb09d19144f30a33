"""What goes wrong during an install, beyond the three faults of test_install.py: unsynced
writes that are lost with the power, a full disk, a master's cable, a clock that jumps.
Afterwards the install completes, and nothing acknowledged is lost."""

import contextlib
import json
import os
import subprocess
import tempfile
import threading

import pytest

import bastion as bastions
import conftest
import harness
import worlds
from test_regd_durable import Disk
from worlds import BASTION, DOMAIN

pytestmark = [pytest.mark.system, pytest.mark.long]
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


@pytest.fixture
def disk(needs_container):
    """A file system of the bastion's own, whose power can be cut."""
    worlds.need("mkfs.ext4")
    path = tempfile.mkdtemp(prefix="okd-disk-")
    try:
        yield Disk(path)
    finally:
        while os.path.ismount(path):
            subprocess.run(["umount", "-l", path], check=True)
        os.rmdir(path)
        os.unlink(f"{path}.img")


@pytest.fixture
def machine(net, built, disk):
    """A bastion that runs, with its root on that disk."""
    worlds.need("etcd", "etcdctl", "skopeo", "kubectl", "curl", "dig", "openssl")
    here = bastions.Bastion(net["bastion"], disk.path)
    world = worlds.World(net, here)
    try:
        here.boot()
        here.run(["rpm", "--install", "--nodeps", *here.put(built("rpm", conftest.version()))])
        world.init()
        # The disk of these tests is smaller than what okd-regd leaves free by default.
        settings = here.read("/etc/okd-bastion/regd.yaml")
        here.write("/etc/okd-bastion/regd.yaml", settings + "storage: {reserve: 16MiB}\n")
        world.etcd_up()
        here.systemctl("enable", "--now", "okd-bastion.target")
        all_ready(here)
        yield world
    finally:
        if here.init:
            here.power_cut()
        net["bastion"].stop_children()
        world.close()


def all_ready(bastion):
    for d in conftest.daemons():
        bastion.wait_main(f"okd-{d}.service", seconds=30)


def install_to_the_end(world, folder):
    """Whatever happened: bootstrap, handover, certificates, progress complete."""
    bastion = world.bastion
    world.cluster.up("bootstrap")
    bastion.run(["okdctl", "wait", "mcs", "--timeout", "30s"])
    world.cluster.up("master")
    bastion.run(["okdctl", "wait", "handover", "--timeout", "30s"])
    world.cluster.down("bootstrap")
    bastion.run(["okdctl", "wait", "complete", "--timeout", "60s"])
    if not os.path.exists(bastion.path("/root/install")):
        world.installer(folder)
    bastion.run(["okdctl", "publish", "/root/install"])
    for host in ("master", "worker"):
        world.curl(host, f"http://{BASTION}:8080/ignition/{host}.ign")
    harness.wait_until(lambda: bastion.admin("csrd", "/status")["csrd"]["api"]["following"], 20,
                       "csrd's watches")
    for host in ("master", "worker"):
        world.join(host)
        bastion.run(["okdctl", "wait", "node", host, "--timeout", "20s"])
    status = json.loads(bastion.run(["okdctl", "status", "--json"]).stdout)
    assert status["lbd"]["lbd"]["install"]["state"] == "complete"


def push_until(world, stop, done):
    """Pushes small images until stop is set or a push fails; done gets what was said to be
    pushed."""
    serial = 0
    while not stop.is_set():
        tag = f"t{serial}"
        folder = world.path("many", tag)
        manifest = worlds.write_big(folder, 200_000)
        try:
            world.push(folder, tag)
        except AssertionError:
            return
        done.append((tag, manifest))
        serial += 1


def test_unsynced_writes_are_lost(machine, disk, story, tmp_path):
    """The power goes, and with it all that was not written through."""
    story.chapter("The power fails, and what was not synced is gone")
    bastion, done, stop = machine.bastion, [], threading.Event()
    bastion.run(["sync"])  # the fixture wrote settings without one
    machine.put("ntp", host="192.168.120.205", ttl=60)
    thread = threading.Thread(target=push_until, args=(machine, stop, done))
    thread.start()
    harness.wait_until(lambda: len(done) >= 4, 60, "some pushes")
    disk.cut()
    bastion.power_cut()
    machine.etcd_down()  # it ran on that machine
    stop.set()
    thread.join()
    disk.umount()
    disk.mount()
    bastion.boot()
    all_ready(bastion)
    for tag, manifest in done:
        assert json.loads(worlds.raw(machine, tag)) == manifest
    story(f"{len(done)} pushes were acknowledged; after the cut all of them are there")
    machine.etcd_up()
    harness.wait_until(
        lambda: machine.dig("worker", f"ntp.{DOMAIN}") == ["192.168.120.205"], 30,
        "the record in etcd")
    install_to_the_end(machine, tmp_path)
    story("and the install completes")


def test_the_disk_is_full(machine, disk, story, tmp_path):
    story.chapter("The bastion's disk is full")
    bastion = machine.bastion
    first = machine.path("images", "first")
    manifest = worlds.write_big(first, 1 << 20)
    machine.push(first, "first")
    filler = os.path.join(disk.path, "filler")
    with open(filler, "wb", buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(b"\0" * (1 << 16))
    worlds.write_big(machine.path("images", "second"), 1 << 20)
    with pytest.raises(AssertionError) as said:
        machine.push(machine.path("images", "second"), "second")
    assert "507" in str(said.value) or "full" in str(said.value).lower(), said.value
    for host in worlds.NODES:
        assert machine.dig(host, f"api.{DOMAIN}") == [BASTION]
    assert json.loads(worlds.raw(machine, "first")) == manifest
    before = {d: bastion.main_pid(f"okd-{d}.service") for d in conftest.daemons()}
    assert bastion.admin("regd", "/status")["reasons"]
    story("names are answered, images are pulled, a push is refused: " +
          bastion.admin("regd", "/status")["reasons"][0])
    os.unlink(filler)
    harness.wait_until(lambda: not bastion.admin("regd", "/status")["reasons"], 20, "room")
    machine.push(machine.path("images", "second"), "second")
    assert before == {d: bastion.main_pid(f"okd-{d}.service") for d in conftest.daemons()}
    install_to_the_end(machine, tmp_path)
    story("there is room again: the push goes through, nobody was restarted, and the install "
          "completes")


def test_a_master_loses_its_network(machine, net, story, tmp_path):
    story.chapter("A master's cable is taken out")
    bastion, ca = machine.bastion, machine.cluster.api.pki.ca
    install_to_the_end(machine, tmp_path)
    url = f"https://api.{DOMAIN}:6443/readyz"
    machine.curl("worker", url, "--cacert", ca)

    def answers():
        return net["worker"].run(
            ["curl", "-sf", "-m", "2", "--cacert", ca, "--resolve",
             f"api.{DOMAIN}:6443:{BASTION}", url], check=False).returncode == 0

    net.link("master", False)
    harness.wait_until(lambda: "DOWN" in bastion.run(["okdctl", "lb", "show"]).stdout, 60,
                       "the balancer's word")
    assert not answers()
    assert bastion.admin("lbd", "/status")["lbd"]["install"]["state"] == "complete"
    machine.curl("worker", f"http://{BASTION}:8080/", code=200)
    net.link("master", True)
    harness.wait_until(answers, 60, "the API")
    harness.wait_until(lambda: bastion.admin("csrd", "/status")["csrd"]["api"]["following"], 90,
                       "csrd's watches")
    machine.approved("worker", "serving", serial=2)
    story("okd-lbd says that the master is down, the install stays complete; with the cable "
          "back the API answers and okd-csrd approves again")


def test_the_clock_jumps(machine, story, tmp_path):
    """A day ahead and back, for the daemons alone: no namespace has a clock of its own."""
    if not os.path.exists(FAKETIME):
        pytest.skip(f"there is no {FAKETIME} (package libfaketime)")
    story.chapter("The clock jumps")
    bastion = machine.bastion
    install_to_the_end(machine, tmp_path)
    with open(FAKETIME, "rb") as f, open(bastion.path("/usr/lib/libfaketime.so"), "wb") as to:
        to.write(f.read())
    bastion.write("/etc/faketimerc", "+0\n")
    for d in conftest.daemons():
        folder = f"/etc/systemd/system/okd-{d}.service.d"
        os.makedirs(bastion.path(folder))
        bastion.write(f"{folder}/clock.conf", "[Service]\nEnvironment=" + " ".join((
            "LD_PRELOAD=/usr/lib/libfaketime.so", "FAKETIME_TIMESTAMP_FILE=/etc/faketimerc",
            "FAKETIME_NO_CACHE=1", "DONT_FAKE_MONOTONIC=1")) + "\n")
    bastion.systemctl("daemon-reload")
    bastion.systemctl("restart", "okd-*.service")
    all_ready(bastion)
    before = {d: bastion.main_pid(f"okd-{d}.service") for d in conftest.daemons()}

    def well():
        for host in worlds.NODES:
            assert machine.dig(host, f"api.{DOMAIN}") == [BASTION]
        folder = tempfile.mkdtemp(dir=machine.dir)
        manifest = worlds.write_big(os.path.join(folder, "i"), 100_000)
        machine.push(os.path.join(folder, "i"), "clock")
        assert json.loads(worlds.raw(machine, "clock")) == manifest
        assert bastion.admin("lbd", "/status")["lbd"]["install"]["state"] == "complete"
        machine.curl("worker", f"https://api.{DOMAIN}:6443/readyz", "--cacert",
                     machine.cluster.api.pki.ca)

    well()
    bastion.write("/etc/faketimerc", "+2d\n")
    harness.wait_until(
        lambda: "expired" in bastion.journal("-u", "okd-ignd", "-o", "cat"), 90,
        "okd-ignd's word on its certificates")
    well()
    bastion.write("/etc/faketimerc", "-2d\n")
    well()
    bastion.write("/etc/faketimerc", "+0\n")
    well()
    assert before == {d: bastion.main_pid(f"okd-{d}.service") for d in conftest.daemons()}
    story("two days ahead, two days back: names, pushes, pulls and the API go on, nobody is "
          "restarted, and okd-ignd says that the certificates in its files have expired")
