"""okd-ignd's nodes: windows, their own configs, boot scripts, checksums, the page, what
outlives a restart, and real nodes in network namespaces."""

import base64
import contextlib
import hashlib
import json
import lzma
import os
import pathlib
import re
import resource
import socket
import sqlite3
import threading
import time
import urllib.parse

import pytest

import harness
from ignd_fixtures import CLUSTER, bootstrap_ign, certificate, pointer_ign, start_ignd

XZ = lzma.compress(os.urandom(1 << 20))


@pytest.fixture
def ignd(daemon):
    return start_ignd(daemon, {"window": {"retry_after": "3s"}})


def worker(ignd, path="/ignition/worker.ign", **kwargs):
    return ignd.get(path, source="127.0.0.4", **kwargs)


# --- windows ---------------------------------------------------------------------------


def test_window_verbs(ignd):
    assert worker(ignd).status == 200
    r = ignd.d.admin("/v1/close?node=worker", "POST")
    assert [n["name"] for n in r.json()["nodes"]] == ["worker"]
    r = worker(ignd)
    assert (r.status, r.headers["Retry-After"]) == (503, "3")
    assert ignd.node("worker")["stage"] == "Waiting for ignition"
    assert ignd.get("/ignition/master.ign", source="127.0.0.3").status == 200
    assert ignd.d.admin("/v1/open?node=worker&for=30m", "POST").status == 200
    assert worker(ignd).status == 200
    until = ignd.node("worker")["window"]["until"]
    assert abs(until - time.time() - 1800) < 60
    assert len(ignd.d.admin("/v1/close", "POST").json()["nodes"]) == 3
    assert ignd.get("/ignition/master.ign", source="127.0.0.3").status == 503


def test_window_closes_by_itself(daemon):
    ignd = start_ignd(daemon, {"window": {"initial": "closed"}})
    assert worker(ignd).status == 503
    ignd.d.admin("/v1/open?node=worker&for=1s", "POST")
    assert worker(ignd).status == 200
    harness.wait_until(lambda: worker(ignd).status == 503)


def test_close_ends_what_is_on_its_way(daemon):
    """Whoever holds a transfer open gets neither the rest of the config nor a ticket once
    the window is closed; images go on."""
    ignd = start_ignd(daemon, files={"worker": pointer_ign("worker", pad=3 << 20)})
    image = ignd.write("install/coreos.raw", b"x" * (3 << 20)).read_bytes()
    with ignd.slow_get("/ignition/worker.ign", "127.0.0.4") as config, \
            ignd.slow_get("/install/coreos.raw", "127.0.0.4") as other:
        config.read_some()
        other.read_some()
        ignd.d.admin("/v1/close?node=master", "POST")
        assert ignd.node("worker")["ignition"]["active"]
        ignd.d.admin("/v1/close?node=worker", "POST")
        assert len(config.read_all()) < 3 << 20
        assert other.read_all() == image
    assert ignd.d.admin("/v1/tickets").json()["tickets"] == []


def test_window_that_forbids(daemon):
    ignd = start_ignd(daemon, {"window": {"initial": "closed", "refuse": "forbid"}})
    assert worker(ignd).status == 403
    assert ignd.get("/install/README", source="127.0.0.4").status == 200


def test_once(daemon):
    """Only complete answers to GET use it up; within grace it may be fetched again."""
    ignd = start_ignd(daemon, {"window": {"once": True, "grace": "0s"}})
    assert worker(ignd, method="HEAD").status == 200
    assert worker(ignd, Range="bytes=0-1").status == 206
    etag = worker(ignd, method="HEAD").headers["ETag"]
    assert worker(ignd, If_None_Match=etag).status == 304
    assert worker(ignd).status == 200
    harness.wait_until(lambda: worker(ignd, method="HEAD").status == 503)
    ignd.d.admin("/v1/open?node=worker", "POST")
    assert worker(ignd).status == 200
    ignd.d.admin("/v1/open?node=worker&once=true", "POST")
    assert worker(ignd).status == 200
    harness.wait_until(lambda: worker(ignd, method="HEAD").status == 503)
    assert ignd.get("/ignition/master.ign", source="127.0.0.3").status == 200


@pytest.mark.parametrize("query, status", [
    ("node=nobody", 404), ("node=", 404), ("for=1w", 400), ("for=", 400), ("for=-1s", 400),
    ("for=0s", 400), ("for=99999d", 400), ("for=99999999999999999999s", 400),
])
def test_bad_verbs(ignd, query, status):
    assert ignd.d.admin("/v1/open?" + query, "POST").status == status
    assert ignd.d.admin("/v1/open", "GET").status == 405


def test_reset(daemon):
    """A node that is installed again begins as one that nobody has seen, also after a
    restart; a file that was on its way counts for nothing."""
    ignd = start_ignd(daemon, {"window": {"once": True, "grace": "0s"}})
    ignd.write("install/coreos.raw.xz", XZ * 8)
    before = ignd.node("worker")
    assert worker(ignd).status == 200
    ignd.d.admin("/v1/close?node=master", "POST")
    with ignd.slow_get("/install/coreos.raw.xz", source="127.0.0.4") as t:
        t.read_some()
        harness.wait_until(lambda: ignd.node("worker")["stage"] == "Writing image to disk")
        r = ignd.d.admin("/v1/reset?node=worker", "POST")
        assert [n["name"] for n in r.json()["nodes"]] == ["worker"]
        assert ignd.node("worker") == before
        t.read_all()
    ignd.d.log_contains("worker: begins again")
    assert ignd.d.admin("/v1/tickets").json() == {"tickets": []}
    ignd.d.stop()
    ignd.d.start()
    assert ignd.node("worker") == before
    assert ignd.d.admin("/v1/tickets").json() == {"tickets": []}
    assert not ignd.node("master")["window"]["open"]
    assert worker(ignd).status == 200  # once more
    harness.wait_until(lambda: ignd.d.admin("/v1/tickets").json()["tickets"])
    assert ignd.d.admin("/v1/reset?node=nobody", "POST").status == 404
    assert len(ignd.d.admin("/v1/reset", "POST").json()["nodes"]) == 3
    assert ignd.d.admin("/v1/tickets").json() == {"tickets": []}
    assert ignd.node("master")["window"]["open"]


def test_reset_after_an_upgrade(ignd):
    """What the predecessor finishes for an installation that is over counts for nothing."""
    ignd.write("ignition/worker.ign", pointer_ign("worker", pad=4 << 20))
    with ignd.slow_get("/ignition/worker.ign", source="127.0.0.4") as t:
        t.read_some()
        ignd.d.upgrade()
        ignd.d.admin("/v1/reset?node=worker", "POST")
        t.read_all()
    ignd.d.wait_old()
    assert worker(ignd, method="HEAD").status == 200
    ignd.d.stop()  # it writes down what it knows
    ignd.d.start()
    assert ignd.d.admin("/v1/tickets").json()["tickets"] == []
    assert ignd.node("worker")["stage"] == ""


def test_close_after_an_upgrade(daemon):
    """It ends what the predecessor still sends, too."""
    ignd = start_ignd(daemon, files={"worker": pointer_ign("worker", pad=3 << 20)})
    with ignd.slow_get("/ignition/worker.ign", "127.0.0.4") as config:
        config.read_some()
        ignd.d.upgrade()
        ignd.d.admin("/v1/close?node=worker", "POST")
        ignd.d.wait_old(20)
        assert len(config.read_all()) < 3 << 20
    assert ignd.d.admin("/v1/tickets").json()["tickets"] == []


# --- what outlives a restart -----------------------------------------------------------


def test_restart_forgets_nothing(ignd):
    ignd.write("install/coreos.raw.xz", XZ)
    worker(ignd)
    worker(ignd, "/install/coreos.raw.xz")
    harness.wait_until(lambda: ignd.node("worker")["stage"] == "Rebooting")
    ignd.d.admin("/v1/close?node=master", "POST")
    ignd.d.admin("/v1/open?node=worker&for=1h", "POST")
    before, tickets = ignd.d.status()["ignd"]["nodes"], ignd.d.admin("/v1/tickets").json()
    assert len(tickets["tickets"]) == 1
    ignd.d.stop()
    ignd.d.start()
    assert ignd.d.status()["ignd"]["nodes"] == before
    assert ignd.d.admin("/v1/tickets").json() == tickets
    assert ignd.get("/ignition/master.ign", source="127.0.0.3").status == 503


def test_a_node_that_comes_back_into_the_cluster_is_known(ignd):
    """Whoever mends a name in cluster.yaml opens no window by that, and costs no ticket."""
    without = {**CLUSTER, "nodes": [n for n in CLUSTER["nodes"] if n["name"] != "worker"]}
    assert worker(ignd).status == 200
    ignd.d.admin("/v1/close?node=worker", "POST")
    tickets = ignd.d.admin("/v1/tickets").json()
    for start in (lambda: ignd.d.reload(cluster=without),
                  lambda: (ignd.d.stop(), ignd.d.write_cluster(without), ignd.d.start())):
        start()
        assert worker(ignd).status == 403
        assert ignd.d.admin("/v1/tickets").json()["tickets"] == []
        assert len(ignd.d.status()["ignd"]["nodes"]) == 2
        ignd.d.reload(cluster=CLUSTER)
        assert not ignd.node("worker")["window"]["open"]
        assert ignd.d.admin("/v1/tickets").json() == tickets
        assert worker(ignd, method="HEAD").status == 503


def test_power_cut(ignd):
    worker(ignd)
    tickets = ignd.d.admin("/v1/tickets").json()

    def kept():
        db = sqlite3.connect(f"file:{ignd.path('ignd.db')}?mode=ro", uri=True)
        try:
            row = db.execute("SELECT value FROM row WHERE name = 'worker'").fetchone()
            return row and json.loads(row[0])["ticket_at"]
        finally:
            db.close()

    harness.wait_until(kept)
    ignd.d.kill9()
    ignd.d.start()
    assert ignd.d.admin("/v1/tickets").json() == tickets


def test_transfer_that_outlives_an_upgrade(ignd):
    """The predecessor finishes a .ign; the successor comes to know of it."""
    ignd.write("ignition/worker.ign", pointer_ign("worker", pad=4 << 20))
    with ignd.slow_get("/ignition/worker.ign", source="127.0.0.4") as t:
        t.read_some()
        ignd.d.upgrade()
        assert ignd.d.admin("/v1/tickets").json()["tickets"] == []
        t.read_all()
    ignd.d.wait_old()
    harness.wait_until(lambda: ignd.d.admin("/v1/tickets").json()["tickets"], 10)


# --- configs of their own --------------------------------------------------------------


def merged(ignd, source="127.0.0.4", name="worker"):
    r = ignd.get(f"/ignition/{name}.ign", source=source)
    assert r.status == 200, r.body
    config = json.loads(r.body)
    entries = [json.loads(base64.b64decode(e["source"].removeprefix("data:;base64,")))
               for e in config["ignition"]["config"]["merge"]]
    return config["ignition"]["version"], entries


def test_hostname(daemon):
    ignd = start_ignd(daemon, {"hostname": True})
    version, entries = merged(ignd)
    assert version == "3.1.0"
    assert entries[0] == json.loads(ignd.read("ignition/worker.ign"))
    assert entries[1]["storage"]["files"] == [{
        "path": "/etc/hostname", "mode": 0o644, "overwrite": True,
        "contents": {"source": "data:,worker.okd.example.com%0A"}}]
    r = worker(ignd)
    assert worker(ignd, If_None_Match=r.headers["ETag"]).status == 304
    assert worker(ignd, Range="bytes=0-0").body == b"{"
    assert len(ignd.d.admin("/v1/tickets").json()["tickets"]) == 1


def test_fragments(ignd):
    ignd.write("nodes/worker.yaml", b"""
storage:
  files:
    - path: /etc/motd
      mode: 0644
      overwrite: true
      contents: {source: "data:,hello"}
passwd:
  users: [{name: core, sshAuthorizedKeys: ["ssh-ed25519 AAAA"]}]
""")
    version, entries = merged(ignd)
    assert len(entries) == 2
    assert entries[1]["ignition"]["version"] == "3.1.0"
    assert entries[1]["storage"]["files"][0]["mode"] == 420
    assert entries[1]["passwd"]["users"][0]["name"] == "core"
    ignd.write("nodes/worker.ign", b'{"ignition":{"version":"3.0.0"}}')
    assert [e["ignition"]["version"] for e in merged(ignd)[1]] == ["3.1.0", "3.0.0", "3.1.0"]
    r = ignd.get("/ignition/master.ign", source="127.0.0.3")
    assert r.body == ignd.read("ignition/master.ign")


@pytest.mark.parametrize("text, why", [
    (b"storage:\n  files: [{path: a}]", "worker.yaml:2:12: storage.files[0]: the path a is not"),
    (b"a: [", "worker.yaml:2"),
    (b"ignition: {version: 3.2.0}", "worker.yaml:1:12: ignition.version is 3.2.0, but the role's"),
])
def test_bad_fragment(ignd, text, why):
    ignd.write("nodes/worker.yaml", text)
    assert worker(ignd).status == 503
    ignd.d.log_contains(why)


def test_fragments_are_checked_before_a_node_asks(ignd):
    ignd.write("nodes/worker.yaml", b"storage:\n  files: [{path: a}]\n")
    ignd.write("nodes/master.yaml", b"storge: {}\n")
    ignd.d.reload()
    ignd.d.log_contains("nodes/worker.yaml:2:12: storage.files[0]: the path a is not absolute; "
                        "worker gets no config until that is mended")
    ignd.d.log_contains('nodes/master.yaml:1:1: unknown key "storge" is passed over; did you '
                        'mean "storage"?')
    assert ignd.get("/ignition/master.ign", source="127.0.0.3").status == 200


# --- boot scripts ----------------------------------------------------------------------

KARGS = ("ip=127.0.0.3::127.0.0.1:255.0.0.0:master.okd.example.com:ens787f0:none "
         "nameserver=127.0.0.1 coreos.inst.install_dev=sda "
         "coreos.inst.image_url=http://127.0.0.1:{port}/install/coreos.raw.xz "
         "coreos.inst.ignition_url=http://127.0.0.1:{port}/ignition/master.ign")


def test_boot_scripts(ignd):
    r = ignd.get("/boot.ipxe")
    assert r.body.startswith(b"#!ipxe\nchain ipxe/${mac:hexhyp}.ipxe")
    assert ignd.get("/ipxe/52-54-00-00-00-03.ipxe").status == 404  # no kernel there
    ignd.d.log_contains("there is no live kernel")
    for what in ("kernel-x86_64", "initramfs.x86_64.img", "rootfs.x86_64.img"):
        for version in ("32.1", "33.2"):
            ignd.write(f"install/fedora-coreos-{version}-live-{what}", b"x")
            ignd.write(f"install/fedora-coreos-{version}-live-{what}.sig", b"x")
    script = ignd.get("/ipxe/52-54-00-00-00-03.ipxe").body.decode().splitlines()
    base = f"http://127.0.0.1:{ignd.port}/install/fedora-coreos-33.2-live-"
    assert script[0] == "#!ipxe"
    assert script[2] == (f"kernel {base}kernel-x86_64 initrd=main coreos.live.rootfs_url="
                         f"{base}rootfs.x86_64.img " + KARGS.format(port=ignd.port))
    assert script[3:] == [f"initrd --name main {base}initramfs.x86_64.img", "boot"]
    assert ignd.get("/ipxe/52:54:00:00:00:03.ipxe").status == 200
    for name in ("52-54-00-00-00-99", "52-54-00-00-00", "x", "52-54-00-00-00-03-04", ""):
        assert ignd.get(f"/ipxe/{name}.ipxe").status == 404
    r = ignd.get("/install/fedora-coreos-33.2-live-rootfs.x86_64.img", "HEAD")
    assert (r.status, r.headers["Content-Length"]) == (200, "1")


# --- checksums -------------------------------------------------------------------------


def image(ignd, name):
    images = ignd.d.status()["ignd"]["images"]
    return next((i for i in images if i["name"] == name), {"state": "absent"})


def test_checksums(ignd):
    ignd.write("install/coreos.raw.xz", XZ)
    harness.wait_until(lambda: image(ignd, "coreos.raw.xz")["state"] == "good", 15)
    assert image(ignd, "coreos.raw.xz")["sha256"] == hashlib.sha256(XZ).hexdigest()
    assert "there is no .sig" in harness.wait_until(lambda: image(ignd, "coreos.raw.xz")["why"], 15)
    for alg in ("sha256", "sha512"):
        r = ignd.get(f"/install/coreos.raw.xz.{alg}")
        want = f"{hashlib.new(alg, XZ).hexdigest()}  coreos.raw.xz\n"
        assert (r.status, r.body.decode()) == (200, want)
    assert ignd.get("/install/nothing.sha256").status == 404
    ignd.write("install/coreos.raw.xz.sha256", b"0" * 64 + b"  coreos.raw.xz\n")
    harness.wait_until(lambda: ignd.get("/install/coreos.raw.xz").status == 503, 15)
    ignd.d.log_contains("coreos.raw.xz is not served: its .sha256 is of other bytes")
    # By no other name either.
    os.symlink("coreos.raw.xz", ignd.path("install/latest"))
    assert ignd.get("/install/latest").status == 503
    ignd.write("install/coreos.raw.xz.sha256",
               hashlib.sha256(XZ).hexdigest().encode() + b" *coreos.raw.xz\n")
    harness.wait_until(lambda: ignd.get("/install/coreos.raw.xz").status == 200, 15)


def test_checksums_in_folders(ignd):
    ignd.write("install/fcos/33/x.raw.xz", XZ)
    ignd.write("install/fcos/33/x.raw.xz.sha256", b"0" * 64 + b"  x.raw.xz\n")
    ignd.write("install/fcos/y.raw.xz", XZ)
    harness.wait_until(lambda: image(ignd, "fcos/33/x.raw.xz")["state"] == "bad", 15)
    assert ignd.get("/install/fcos/33/x.raw.xz").status == 503
    ignd.d.log_contains("fcos/33/x.raw.xz is not served: its .sha256 is of other bytes")
    assert ignd.d.metrics()["okd_ignd_images_bad"] == 1
    assert "fcos/33/x.raw.xz: bad" in ignd.get("/").body.decode()
    harness.wait_until(lambda: image(ignd, "fcos/y.raw.xz")["state"] == "good", 15)
    assert ignd.get("/install/fcos/y.raw.xz").status == 200
    # As sha256sum in that folder has it.
    r = ignd.get("/install/fcos/y.raw.xz.sha256")
    assert r.body.decode() == f"{hashlib.sha256(XZ).hexdigest()}  y.raw.xz\n"
    ignd.write("install/fcos/33/x.raw.xz.sha256", hashlib.sha256(XZ).hexdigest().encode())
    harness.wait_until(lambda: ignd.get("/install/fcos/33/x.raw.xz").status == 200, 15)


def test_what_is_too_much_to_check_is_told_once(ignd):
    deep = "/".join("d" * 9)
    ignd.write(f"install/{deep}/x.raw", b"x")
    ignd.write("install/y.raw", b"x")
    ignd.d.log_contains("holds more files or deeper folders than are checked", 15)
    harness.wait_until(lambda: image(ignd, "y.raw")["state"] == "good", 15)
    ignd.write("install/z.raw", b"x")
    harness.wait_until(lambda: image(ignd, "z.raw")["state"] == "good", 15)
    assert image(ignd, f"{deep}/x.raw")["state"] == "absent"
    assert ignd.d.log.count("than are checked") == 1


@pytest.mark.parametrize("data, why", [(b"<html>not found</html>", "it is no xz file"),
                                       (XZ[:-100], "its end is missing")],
                         ids=["html", "cut"])
def test_no_image(ignd, data, why):
    ignd.write("install/coreos.raw.xz", data)
    harness.wait_until(lambda: image(ignd, "coreos.raw.xz")["state"] == "bad", 15)
    assert image(ignd, "coreos.raw.xz")["why"] == why
    assert ignd.get("/install/coreos.raw.xz").status == 503
    assert ignd.d.metrics()["okd_ignd_images_bad"] == 1


def test_a_digest_that_cannot_be_read_vouches_for_nothing(ignd, tmp_path):
    (tmp_path / "digest").write_text(hashlib.sha256(XZ).hexdigest())
    ignd.write("install/coreos.raw.xz", XZ)
    os.symlink(tmp_path / "digest", ignd.path("install/coreos.raw.xz.sha256"))
    harness.wait_until(lambda: image(ignd, "coreos.raw.xz")["state"] == "bad", 15)
    assert image(ignd, "coreos.raw.xz")["why"] == "its .sha256 cannot be read"
    assert ignd.get("/install/coreos.raw.xz").status == 503


def test_without_descriptors_a_bad_image_stays_bad(daemon):
    ignd = start_ignd(daemon, check_fds=False)
    ignd.write("install/coreos.raw.xz", b"<html>not found</html>")
    ignd.write("install/x.raw", b"x")
    ignd.write("install/x.raw.sha256", b"0" * 64)
    bad = lambda images: sorted(i["name"] for i in images if i["state"] == "bad")  # noqa: E731
    want = ["coreos.raw.xz", "x.raw"]
    harness.wait_until(lambda: bad(ignd.d.status()["ignd"]["images"]) == want, 15)
    s, status = open_stream(ignd, "127.0.0.9")
    assert status == 200
    stream, limits = events(s), resource.prlimit(ignd.d.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(ignd.d.pid, resource.RLIMIT_NOFILE, (1, limits[1]))
    # Each of them after a look at the files.
    seen = [next(stream) for _ in range(4)][1:]
    resource.prlimit(ignd.d.pid, resource.RLIMIT_NOFILE, limits)
    assert {c["state"] for e in seen for c in e["configs"]} == {"unreadable"}
    for e in seen:
        assert bad(e["images"]) == want
    s.close()
    assert ignd.get("/install/coreos.raw.xz").status == 503
    assert ignd.get("/install/x.raw").status == 503
    assert ignd.d.log.count("is not served") == 2


@pytest.mark.parametrize("name", [b"\xff.raw", b"aa" + "ü".encode() * 100 + b".raw"],
                         ids=["no-utf8", "long"])
def test_odd_names_cost_no_ticket(ignd, name):
    """A row that holds the name of the file is kept all the same."""
    (pathlib.Path(os.fsdecode(os.fsencode(ignd.path("install")) + b"/" + name))).write_bytes(b"x")
    assert worker(ignd).status == 200
    assert worker(ignd, "/install/" + urllib.parse.quote_from_bytes(name)).status == 200
    harness.wait_until(lambda: ignd.node("worker")["stage"] == "Rebooting")
    before = ignd.node("worker")
    assert before["image"]["total"] == 1
    tickets = ignd.d.admin("/v1/tickets").json()
    assert tickets["tickets"]
    ignd.d.stop()
    ignd.d.start()
    assert ignd.d.admin("/v1/tickets").json() == tickets
    assert ignd.node("worker") == before


def test_digests_outlive_a_restart(ignd):
    ignd.write("install/coreos.raw.xz", XZ)
    harness.wait_until(lambda: image(ignd, "coreos.raw.xz")["state"] == "good", 15)
    ignd.d.stop()
    ignd.d.start()
    assert harness.wait_until(lambda: image(ignd, "coreos.raw.xz").get("sha256"), 15)


# --- the page --------------------------------------------------------------------------


def test_page(ignd):
    ignd.write("ignition/master.ign", b'{"ignition": "S3CRET"')
    ignd.write("install/<b>.raw", b"x")
    r = ignd.get("/")
    assert r.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in r.headers["Content-Security-Policy"]
    text = r.body.decode()
    for word in ("okd.example.com", "worker", "127.0.0.4", "bootstrap.ign"):
        assert word in text
    everything = text + ignd.get("/progress.json").body.decode()
    assert "S3CRET" not in everything and "ignition.version" not in everything
    assert "<b>" not in text
    assert b"EventSource" in ignd.get("/page.js").body
    assert json.loads(ignd.get("/progress.json").body)["nodes"][2]["name"] == "worker"


def events(s):
    """The events of a stream, as they come."""
    got = b""
    while True:
        match = re.search(rb"data: (.*)\n\n", got)
        if match:
            # An event is one piece here, hence one chunk or several without text between.
            got = got[match.end():]
            yield json.loads(match.group(1))
            continue
        chunk = s.recv(65536)
        assert chunk, "the stream ended"
        got += chunk


def test_events(ignd):
    """The stream tells of a node within a second or so, and does not hold up the drain."""
    with socket.create_connection(("127.0.0.1", ignd.port)) as s:
        s.settimeout(20 * harness.SLOW)
        s.sendall(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        stream = events(s)
        assert next(stream)["nodes"][2]["stage"] == ""
        for verb, is_open in (("close", False), ("open", True)):  # while nothing is fetched
            ignd.d.admin(f"/v1/{verb}?node=worker", "POST")
            while next(stream)["nodes"][2]["window"]["open"] != is_open:
                pass
        worker(ignd)
        while next(stream)["nodes"][2]["stage"] != "Starting installation":
            pass
        ignd.d.stop(check_fds=False)


def open_stream(ignd, source):
    """The socket and the status of a request for the stream."""
    s = socket.create_connection(("127.0.0.1", ignd.port), source_address=(source, 0))
    s.settimeout(20 * harness.SLOW)
    s.sendall(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
    got = b""
    while b"\r\n\r\n" not in got:
        got += s.recv(65536)
    return s, int(got.split()[1])


def test_streams_are_bounded(ignd):
    """By address too, so that nobody takes them all from everybody else; and they come back."""
    flood = [open_stream(ignd, "127.0.0.9") for _ in range(40)]
    assert [status for _, status in flood] == [200] * 16 + [503] * 24
    other, status = open_stream(ignd, "127.0.0.10")
    assert status == 200
    rest = [open_stream(ignd, f"127.0.1.{i}") for i in range(60)]
    assert [status for _, status in rest] == [200] * 47 + [503] * 13
    assert worker(ignd).status == 200
    for s in [other] + [s for s, _ in flood + rest]:
        s.close()
    again = harness.wait_until(lambda: (lambda s: s if s[1] == 200 else s[0].close())(
        open_stream(ignd, "127.0.0.9")), what="a free place")
    again[0].close()
    ignd.d.stop(check_fds=False)


def test_nothing_secret_is_shown(daemon):
    """The page and what it reads are for anybody on the network."""
    secret = json.dumps({"ignition": {"version": "3.1.0"}, "storage": {"files": [
        {"path": "/root/SECRET-name", "contents": {"source": "data:,SECRET-content"}},
        {"path": "/SECRET-twice"}, {"path": "/SECRET-twice"}]}}).encode()
    ignd = start_ignd(daemon, {"nodes": [{"name": "worker", "token": "SECRET-token"}]},
                      files={"worker": secret})
    ignd.write("nodes/master.yaml", b"storage: {files: [{path: SECRET-relative}]}\n")
    ignd.get("/ignition/worker.ign?t=SECRET-token", source="127.0.0.4")
    ignd.get("/ignition/worker.ign?t=SECRET-wrong", source="127.0.0.4")
    ignd.get("/ignition/master.ign?t=SECRET-token", source="127.0.0.3")
    ignd.get("/ignition/SECRET-path.ign", source="127.0.0.4")
    for wrong in ("SECRET-twice", "SECRET-relative"):
        ignd.d.log_contains(wrong)
    for path in ("/", "/page.js", "/progress.json", "/boot.ipxe",
                 "/ipxe/52-54-00-00-00-04.ipxe"):
        assert b"SECRET" not in ignd.get(path).body, path
    s, status = open_stream(ignd, "127.0.0.9")
    assert status == 200
    s.sendall(b"")
    assert "SECRET" not in json.dumps(next(events(s)))
    s.close()
    ignd.d.stop(check_fds=False)


def test_no_page(daemon):
    ignd = start_ignd(daemon, {"page": False})
    for path in ("/", "/page.js", "/events", "/progress.json"):
        assert ignd.get(path).status == 404


# --- what others see -------------------------------------------------------------------


class ConfigServer:
    """The machine config server as a balancer of connections sees it: so many bytes for each
    client."""

    def __init__(self, size):
        self.size = size
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                c, _ = self.sock.accept()
                with c:
                    c.recv(1000)
                    c.sendall(b"x" * self.size)


def start_lbd(daemon, server):
    """One whose port of the machine config server leads to that one; that port."""
    port = harness.free_port()
    name = "machine-config-server"
    lbd = daemon("lbd", {
        "stats": {"listen": []},
        "frontends": [{"name": name, "listen": [f"127.0.0.1:{port}"], "backend": name}],
        "backends": [{"name": name, "servers": [
            {"name": "master", "address": f"127.0.0.1:{server.port}"}]}]}, CLUSTER)
    return lbd, port


def fetch(port, source):
    with socket.create_connection(("127.0.0.1", port), source_address=(source, 0)) as s:
        s.sendall(b"GET /config/worker HTTP/1.0\r\n\r\n")
        while s.recv(65536):
            pass


def test_lbd_sees_a_node_configured(daemon):
    """After the reboot a node asks the machine config server, which okd-lbd sees."""
    server = ConfigServer(400)
    lbd, port = start_lbd(daemon, server)
    ignd = start_ignd(daemon, {"lbd_socket": "/nothing/yet"}, check_fds=False)
    ignd.write("install/coreos.raw", b"x" * 100000)
    worker(ignd)
    worker(ignd, "/install/coreos.raw")
    harness.wait_until(lambda: ignd.node("worker")["stage"] == "Rebooting")
    ignd.d.reload(config={**ignd.config, "lbd_socket": lbd.admin_socket})
    fetch(port, "127.0.0.4")
    harness.wait_until(lambda: ignd.node("worker")["stage"] == "Waiting for ignition", 30)
    assert "machine config server" in ignd.node("worker")["why"]
    server.size = 40000
    fetch(port, "127.0.0.4")
    harness.wait_until(lambda: ignd.node("worker")["stage"] == "Configuring", 30)
    assert ignd.node("master")["stage"] == ""
    # It is known after a restart, and without okd-lbd.
    lbd.stop(check_fds=False)  # okd-ignd keeps its connection
    ignd.d.stop(check_fds=False)
    ignd.d.start()
    assert ignd.node("worker")["stage"] == "Configuring"


# --- the clock in the status -----------------------------------------------------------


def test_clock_is_shown(ignd, tmp_path):
    ignd.write("ignition/bootstrap.ign", bootstrap_ign(certificate(tmp_path, -3600, 4 * 3600)))
    config = ignd.d.status()["ignd"]["configs"][0]
    assert config["name"] == "bootstrap.ign" and config["version"] == "3.1.0"
    clock = config["certificates"]
    assert clock["state"] == "expires soon" and clock["count"] == 2
    assert abs(clock["not_after"] - time.time() - 4 * 3600) < 60
    assert "/opt/openshift/tls/root-ca.crt (CN=root-ca" in clock["text"]
    name = 'okd_ignd_certificates_not_after_seconds{file="bootstrap.ign"}'
    assert ignd.d.metrics()[name] == clock["not_after"]
    ignd.d.log_contains("bootstrap.ign: its certificates hold until", timeout=15)
    assert "hold until" in ignd.get("/").body.decode()


# --- real nodes ------------------------------------------------------------------------


def mac_of(host):
    text = host.run(["ip", "-o", "link", "show", "eth0"]).stdout
    return re.search(r"link/ether (\S+)", text).group(1)


@pytest.mark.timeout(120)
def test_nodes_on_a_link(netns, daemon):
    """The guide's addresses, each in a namespace; the master's card is the one that
    cluster.yaml names, the worker's is not."""
    cluster = harness.example_cluster()
    cluster["nodes"][1]["mac"] = mac_of(netns["master"])
    cluster["nodes"][2]["mac"] = "52:54:00:00:00:04"
    files = {f"state/ignition/{r}.ign": pointer_ign(r) for r in ("bootstrap", "master", "worker")}
    files["state/install/coreos.raw.xz"] = XZ
    d = daemon("ignd", {"listen": [":8080"]}, cluster, files=files,
               wrapper=netns["bastion"].wrap())
    url = "http://192.168.120.101:8080"

    def curl(host, path):
        p = netns[host].run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--retry", "0",
                             url + path])
        return int(p.stdout)

    want = {("bootstrap", "bootstrap"): 200, ("master", "master"): 200}
    for host in ("bootstrap", "master", "worker", "bastion"):
        for role in ("bootstrap", "master", "worker"):
            assert curl(host, f"/ignition/{role}.ign") == want.get((host, role), 403), (host, role)
        assert curl(host, "/install/coreos.raw.xz") == 200
        assert curl(host, "/install/coreos.raw.xz.sig") == 404
    d.log_contains("another network card")
    tickets = d.admin("/v1/tickets").json()["tickets"]
    assert {t["node"]: t["address"] for t in tickets} == {
        "bootstrap": "192.168.120.102", "master": "192.168.120.103"}
    script = netns["master"].run(["curl", "-s", f"{url}/boot.ipxe"]).stdout
    assert script.startswith("#!ipxe")
