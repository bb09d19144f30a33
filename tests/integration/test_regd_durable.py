"""okd-regd: what was acknowledged survives, what was not leaves nothing half-made."""

import contextlib
import ctypes
import fcntl
import http.client
import os
import random
import shutil
import socket
import sqlite3
import struct
import subprocess
import tempfile
import threading

import pytest

from harness import wait_until
from regd import Client, Image, Registry, chunks, digest

# A thousand in the long run; OKD_CUTS=250 OKD_SEED=1 for a piece of it.
CUTS = int(os.environ.get("OKD_CUTS") or (1000 if os.environ.get("OKD_LONG") else 20))
SEED = 1000 * int(os.environ.get("OKD_SEED", "0"))


def cut_image(number, serial):
    """The same for the same numbers, so that nobody need keep it.  Some are large enough
    for their digests to follow behind them."""
    rng = random.Random(f"{SEED}.{number}.{serial}")
    size = rng.randint(1, 200_000) if rng.random() < 0.9 else rng.randint(2, 4) << 20
    return Image({"f": rng.randbytes(size), "n": f"{number}.{serial}".encode()})


def expect_images(c, pushed):
    for number, serial in pushed:
        c.expect_whole(f"repo{number}", f"t{number}-{serial}", cut_image(number, serial))


def push_until_cut(port, number, acknowledged, stop):
    """Pushes images until the connection breaks; what got its 201 is noted."""
    serial = 0
    try:
        with Client(port, timeout=10) as c:
            while not stop.is_set():
                c.push(f"repo{number}", f"t{number}-{serial}", cut_image(number, serial))
                acknowledged.append((number, serial))
                serial += 1
    except Exception:  # the cut, wherever it came
        return


@pytest.mark.timeout(60 + CUTS * 3)
def test_kill_9_at_random_points_loses_nothing_acknowledged(daemon):
    reg = Registry(daemon, check_fds=False)
    rng = random.Random(SEED + 5)
    acknowledged = []
    for cut in range(CUTS):
        stop = threading.Event()
        before = len(acknowledged)
        threads = [threading.Thread(target=push_until_cut,
                                    args=(reg.port, cut * 10 + i, acknowledged, stop))
                   for i in range(3)]
        for t in threads:
            t.start()
        # Cut after a random number of acknowledged pushes, in the midst of others.
        want = before + rng.randint(0, 6)
        wait_until(lambda: len(acknowledged) >= want, timeout=20)
        reg.d.kill9()
        stop.set()
        for t in threads:
            t.join()
        reg.d.start()
    assert len(acknowledged) > CUTS
    with reg.client() as c:
        expect_images(c, acknowledged[-400:])
    # Every row has its file; whatever else lies there is no blob that anybody was told of.
    rows = sqlite3.connect(f"file:{reg.root}/regd.db?mode=ro", uri=True).execute(
        "SELECT digest, size FROM blobs").fetchall()
    for d, size in rows:
        assert os.path.getsize(reg.blob_path(d)) == size


# --- power cuts ------------------------------------------------------------------------

EXT4_SHUTDOWN, NOLOGFLUSH = 0x8004587D, 2  # as fstests cut the power
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x00020000, 0x4000, 1 << 18


@contextlib.contextmanager
def own_mounts():
    """This thread, and what it starts, in a mount namespace that nobody else can copy: a
    container that another test starts meanwhile would else hold a copy of the mount, keep
    the file system alive beyond its umount, and mounting its image again beside that
    damages both."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(function, *args):
        if function(*args) != 0:
            raise OSError(ctypes.get_errno(), function.__name__)

    folder = os.getcwd()
    before = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        call(libc.unshare, CLONE_NEWNS)
        try:
            call(libc.mount, None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
            yield
        finally:
            call(libc.setns, before, CLONE_NEWNS)
            os.chdir(folder)
    finally:
        os.close(before)


class Disk:
    """An ext4 of its own on a loop device, whose power can be cut: what was not durable
    at that moment is gone when it is mounted again."""

    def __init__(self, path):
        self.image, self.path = f"{path}.img", path
        with open(self.image, "wb") as f:
            f.truncate(6 << 30)  # for a thousand cuts; none of it is written yet
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)
        self.mount()

    def mount(self):
        p = subprocess.run(["mount", "-o", "loop", self.image, self.path],
                           capture_output=True, text=True, check=False)
        if p.returncode != 0:
            pytest.skip(f"cannot mount a loop device: {p.stderr.strip()}")

    def umount(self):
        """Ends when the file system is gone: mounting beside it damages both."""
        subprocess.run(["umount", self.path], check=True)
        wait_until(lambda: not subprocess.run(["losetup", "-n", "-j", self.image], check=True,
                                              capture_output=True).stdout,
                   timeout=30, what=f"the end of every mount of {self.image}")

    def cut(self):
        fd = os.open(self.path, os.O_RDONLY)
        fcntl.ioctl(fd, EXT4_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        os.close(fd)


@pytest.fixture
def disk():
    if not shutil.which("mkfs.ext4") or os.geteuid() != 0:
        pytest.skip("needs mkfs.ext4 and root")
    path = tempfile.mkdtemp(prefix="okd-disk-")
    try:
        with own_mounts():
            try:
                yield Disk(path)
            finally:
                if os.path.ismount(path):  # lazily: after a failure the daemon still runs
                    subprocess.run(["umount", "-l", path], check=True)
    finally:
        os.rmdir(path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}.img")


def test_the_disk_forgets_what_was_not_synced(disk):
    """The test below is worth something: the cut does lose data."""
    for name, sync in (("synced", True), ("late", False)):
        fd = os.open(f"{disk.path}/{name}", os.O_WRONLY | os.O_CREAT)
        os.write(fd, b"data")
        if sync:
            os.fsync(fd)
        os.close(fd)
    folder = os.open(disk.path, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    with open(f"{disk.path}/later", "wb") as f:
        f.write(b"data")
    disk.cut()
    disk.umount()
    disk.mount()
    assert not os.path.exists(f"{disk.path}/later")
    assert os.path.getsize(f"{disk.path}/synced") == 4
    assert os.path.getsize(f"{disk.path}/late") == 0


@pytest.mark.timeout(120 + CUTS * 3)
def test_power_cuts_lose_nothing_acknowledged(daemon, disk):
    reg = Registry(daemon, storage={"root": disk.path, "reserve": 0}, check_fds=False)
    rng = random.Random(SEED + 7)
    acknowledged = []
    for cut in range(CUTS):
        stop = threading.Event()
        before = len(acknowledged)
        threads = [threading.Thread(target=push_until_cut,
                                    args=(reg.port, 100000 + cut * 10 + i, acknowledged, stop))
                   for i in range(3)]
        for t in threads:
            t.start()
        want = before + rng.randint(0, 8)
        wait_until(lambda: len(acknowledged) >= want, timeout=20)
        disk.cut()
        reg.d.kill9()
        stop.set()
        for t in threads:
            t.join()
        disk.umount()
        disk.mount()
        reg.d.start()
        with reg.client() as c:
            expect_images(c, acknowledged[before:])
    with reg.client() as c:
        expect_images(c, acknowledged)
    assert len(acknowledged) > CUTS
    reg.d.stop()


# --- sessions --------------------------------------------------------------------------


def test_an_upload_goes_on_after_kill_9(daemon):
    reg = Registry(daemon)
    data = os.urandom(3_000_000)
    with reg.client() as c:
        where = c.start("a")
        a = c("PATCH", where, data[:1_000_000])
        assert a.status == 202
        # And half of a second request.
        head = (f"PATCH {where} HTTP/1.1\r\nHost: x\r\nAuthorization: "
                f"{c.headers['Authorization']}\r\nContent-Length: 2000000\r\n\r\n").encode()
        with socket.create_connection(("127.0.0.1", reg.port)) as s:
            s.sendall(head + data[1_000_000:1_500_000])
            wait_until(lambda: c("GET", where).headers["Range"] == "0-1499999")
            reg.d.kill9()
    reg.d.start()
    with reg.client() as c:
        a = c("GET", where)
        assert a.status == 204 and a.headers["Range"] == "0-1499999"
        a = c("PATCH", where, chunks(data[1_500_000:]), Content_Range="1500000-2999999")
        assert a.status == 202
        a = c("PUT", f"{where}?digest={digest(data)}", b"")
        assert a.status == 201
        assert c("GET", f"/v2/a/blobs/{digest(data)}").body == data
    assert reg.d.metrics()["okd_regd_uploads_resumed_total"] == 1


def test_a_client_that_dies_leaves_its_session(daemon):
    reg = Registry(daemon)
    with reg.client() as c:
        where = c.start("a")
        head = (f"PATCH {where} HTTP/1.1\r\nHost: x\r\nAuthorization: "
                f"{c.headers['Authorization']}\r\nContent-Length: 100\r\n\r\n").encode()
        with socket.create_connection(("127.0.0.1", reg.port)) as s:
            s.sendall(head + b"0123456789")
            wait_until(lambda: c("GET", where).headers["Range"] == "0-9")
        rest = b"abcdefghij"
        wait_until(lambda: c("GET", where).status == 204)
        a = c("PUT", f"{where}?digest={digest(b'0123456789' + rest)}", rest,
              Content_Range="10-19")
        assert a.status == 201


def tmpfs(size):
    """A mounted tmpfs of that size, or a skip that says why not."""
    path = tempfile.mkdtemp(prefix="okd-full-")
    p = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "okd-test", path],
                       capture_output=True, text=True, check=False)
    if p.returncode != 0:
        os.rmdir(path)
        pytest.skip(f"cannot mount a tmpfs: {p.stderr.strip() or 'not allowed'}")
    return path


@pytest.fixture
def small_disk():
    path = tmpfs("48m")
    yield path
    subprocess.run(["umount", "-l", path], check=True)
    os.rmdir(path)


def test_a_full_disk(daemon, small_disk):
    reg = Registry(daemon, storage={"root": small_disk, "reserve": "12MiB"}, check_fds=False)
    image = Image({"f": b"small"})
    with reg.client() as c:
        c.push("a", "x", image)
        big = os.urandom(34_000_000)
        # Announced: refused before a byte is taken.
        where = c.start("a")
        try:
            a = c("PATCH", where, big)
            assert a.status == 507 and a.code == "DENIED"
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert os.listdir(f"{small_disk}/uploads") == []
    with reg.client() as c:
        # Unannounced: when it would eat into the reserve, and the space is free again.
        where = c.start("a")
        try:
            a = c("PATCH", where, chunks(big))
            assert a.status == 507 and small_disk not in a.body.decode()
        except (BrokenPipeError, ConnectionResetError):
            pass
    wait_until(lambda: os.listdir(f"{small_disk}/uploads") == [])
    assert reg.d.metrics()["okd_regd_refused_full_total"] == 2
    # Fill what is left behind its back: pulls and deletes go on.
    with open(f"{small_disk}/filler", "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"\0" * 4096)
        except OSError:
            pass
    with reg.client() as c:
        c.expect_whole("a", "x", image)
        wait_until(lambda: c("POST", "/v2/a/blobs/uploads/", Content_Length="0").status == 507)
        # What frees space can still be written, though nothing is left for it.
        assert os.path.exists(f"{small_disk}/regd.db-reserve")
        assert c("DELETE", "/v2/a/manifests/x").status == 202
        assert c("DELETE", f"/v2/a/manifests/{image.digest}").status == 202
        assert c("GET", f"/v2/a/manifests/{image.digest}").status == 404
        assert reg.d.admin("/readyz").status == 503
        assert "the disk is full" in reg.d.admin("/readyz").text
    os.truncate(f"{small_disk}/filler", 0)
    with reg.client() as c:
        wait_until(lambda: reg.d.admin("/readyz").status == 200)
        c.push("a", "y", Image({"f": b"other"}))


def test_a_collection_frees_a_full_disk_at_once(daemon, small_disk):
    """Its rows can be written with the reserve alone, which costs it no blob."""
    reg = Registry(daemon, storage={"root": small_disk, "reserve": 0}, check_fds=False)
    data = [os.urandom(100_000 + i) for i in range(5)]
    with reg.client() as c:
        for d in data:
            c.push_blob("a", d)
    db = sqlite3.connect(f"{small_disk}/regd.db", isolation_level=None)
    db.execute("UPDATE blobs SET touched = 1000")
    db.execute("BEGIN")  # a reader, so that the log grows and does not begin anew
    assert db.execute("SELECT count(*) FROM blobs").fetchone() == (5,)
    with open(f"{small_disk}/filler", "wb", buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(b"\0" * 4096)
    assert os.path.exists(f"{small_disk}/regd.db-reserve")
    a = reg.d.admin("/v1/gc", "POST", timeout=30)
    db.close()
    assert a.status == 200 and a.json()["blobs"] == 5, a.text
    assert not any(os.path.exists(reg.blob_path(digest(d))) for d in data)


def test_a_stalled_request_writes_into_no_blob_that_a_successor_made(daemon):
    """The process that is replaced still waits for the rest of a PATCH whose client has
    long come again, to the new one."""
    reg = Registry(daemon)
    data = os.urandom(100000)
    path = f"/v2/a/blobs/{digest(data)}"
    with reg.client() as stalled, reg.client() as idle:
        where = stalled.start("a")
        stalled.c.putrequest("PATCH", where)
        stalled.c.putheader("Authorization", stalled.headers["Authorization"])
        stalled.c.putheader("Content-Length", str(len(data)))
        stalled.c.endheaders(data[:10])
        wait_until(lambda: idle("GET", where).headers["Range"] == "0-9")
        reg.d.upgrade()
        with reg.client() as c:
            refused = []

            def taken():
                """What is in the way tells where the upload stands, and goes away."""
                a = c("PATCH", where, data[10:], Content_Range=f"10-{len(data) - 1}")
                if a.status == 416:
                    refused.append((a.headers["Location"], a.headers["Range"]))
                else:
                    assert a.status == 202, a
                return a.status == 202

            wait_until(taken, timeout=60)
            a = c("PUT", f"{where}?digest={digest(data)}", b"")
            assert a.status == 201, a
            with contextlib.suppress(OSError):
                stalled.c.send(bytes(len(data) - 10))
            with contextlib.suppress(OSError, http.client.HTTPException):
                stalled.c.getresponse()
            a = c("GET", path)
            assert a.status == 200 and a.body == data
    reg.d.wait_old()
    with open(reg.blob_path(digest(data)), "rb") as f:
        assert f.read() == data
    assert set(refused) == {(where, "0-9")}


def test_an_upload_goes_on_in_either_process(daemon):
    """Each learns of what the other wrote."""
    reg = Registry(daemon)
    parts = [os.urandom(5000) for _ in range(3)]
    whole = b"".join(parts)
    with reg.client() as old, reg.client() as stalled:
        where = old.start("a")
        assert old("PATCH", where, parts[0]).status == 202
        other = stalled.start("a")
        stalled.c.putrequest("PATCH", other)  # keeps the old process from ending
        stalled.c.putheader("Authorization", stalled.headers["Authorization"])
        stalled.c.putheader("Content-Length", "2")
        stalled.c.endheaders(b"1")
        wait_until(lambda: old("GET", other).headers["Range"] == "0-0")
        old.c.putrequest("PATCH", where)  # begun before, and the rest comes after
        old.c.putheader("Authorization", old.headers["Authorization"])
        old.c.putheader("Content-Length", "5000")
        old.c.endheaders(parts[1][:1])
        with reg.client() as c:
            wait_until(lambda: c("GET", where).headers["Range"] == "0-5000")
        reg.d.upgrade()
        with reg.client() as c:
            assert c("GET", where).headers["Range"] == "0-5000"
            old.c.send(parts[1][1:])
            assert old.c.getresponse().status == 202
            assert c("GET", where).headers["Range"] == "0-9999"
            a = c("PATCH", where, parts[2], Content_Range="5001-10000")
            assert a.status == 416 and a.headers["Range"] == "0-9999", a
            assert c("PATCH", where, parts[2], Content_Range="10000-14999").status == 202
            assert c("PUT", f"{where}?digest={digest(whole)}", b"").status == 201
            assert c("GET", f"/v2/a/blobs/{digest(whole)}").body == whole
        stalled.c.send(b"2")
        assert stalled.c.getresponse().status == 202
    reg.d.wait_old()
