"""okd-regd: receiving, hashing and writing overlap; whatever one of them waits for or fails
at, what was acknowledged is right and durable, and what was not leaves nothing."""

import contextlib
import fcntl
import http.client
import os
import signal
import subprocess
import termios
import threading

import pytest

import jumpclock
import test_regd_durable
import variant
from harness import wait_until
from regd import Image, Registry, chunks, digest

small_disk = test_regd_durable.small_disk
pytestmark = pytest.mark.threads

MIB = 1 << 20
LAG = 32 * MIB  # what a request may be ahead of its digest


def noise(n):
    """Bytes of which no two pieces are alike."""
    return b"".join(i.to_bytes(4, "big") * 16384 for i in range(n // 65536 + 1))[:n]


def preload(folder):
    """A sanitizer must be loaded first; what it passes on comes to holdio.c."""
    libraries = [jumpclock.build(folder, "holdio")]
    if variant.NAME in ("asan", "tsan"):
        libraries.insert(0, subprocess.run(["cc", f"-print-file-name=lib{variant.NAME}.so"],
                                           capture_output=True, text=True,
                                           check=True).stdout.strip())
    return ":".join(libraries)


class Disk:
    """The registry's disk: see holdio.c."""

    def __init__(self, folder):
        self.folder = folder / "hold"
        self.folder.mkdir()
        self.env = {"LD_PRELOAD": preload(folder), "HOLDIO": str(self.folder)}

    @contextlib.contextmanager
    def holds(self, *calls):
        for call in calls:
            (self.folder / call).touch()
        try:
            yield
        finally:
            self.release()

    def release(self):
        for path in self.folder.iterdir():
            path.unlink()


@pytest.fixture
def disk(tmp_path):
    d = Disk(tmp_path)
    yield d
    d.release()


class Sending:
    """A request whose body a thread of its own sends, for as long as that takes."""

    def __init__(self, reg, method, where, data, **headers):
        self.client = reg.client(timeout=120)
        self.answer = None
        self.thread = threading.Thread(target=self._run, args=(method, where, data, headers))
        self.thread.start()

    def _run(self, method, where, data, headers):
        with contextlib.suppress(OSError, http.client.HTTPException):
            self.answer = self.client(method, where, data, **headers)

    def cut(self):
        """The client is gone."""
        with contextlib.suppress(OSError):
            self.client.c.sock.shutdown(2)
        self.done()

    def done(self):
        self.thread.join()
        self.client.c.close()
        return self.answer


def size(c, where):
    """Where the session stands."""
    a = c("GET", where)
    assert a.status == 204, a
    last = int(a.headers["Range"].split("-")[1])
    return last + 1 if last else 0


def ahead(c, where):
    """Once the request is as far ahead of its digest as it may be: where."""
    wait_until(lambda: size(c, where) > LAG, 60)
    at = size(c, where)
    for _ in range(20):
        assert c("GET", "/v2/").status == 200
        at = max(at, size(c, where))
    return at


def test_a_request_does_not_run_away_from_its_digest(daemon, disk):
    reg = Registry(daemon, env=disk.env)
    data = noise(60 * MIB)
    with reg.client() as c:
        where = c.start("a")
        with disk.holds("pread"):
            sending = Sending(reg, "PATCH", where, data)
            # Others are served, and it stands still with the rest of its body unread.
            assert LAG < ahead(c, where) < LAG + 12 * MIB
        a = sending.done()
        assert a.status == 202 and a.headers["Range"] == f"0-{len(data) - 1}"
        assert c("PUT", f"{where}?digest={digest(data)}", b"").status == 201
        assert c("GET", f"/v2/a/blobs/{digest(data)}").body == data
    assert reg.uploads() == []


@pytest.mark.parametrize("chunked", [False, True])
def test_a_wrong_digest_is_found_wherever_the_hash_stands(daemon, disk, chunked):
    reg = Registry(daemon, env=disk.env)
    data = noise(20 * MIB)
    wrong = digest(data[:-1])
    with reg.client() as c:
        where = c.start("a")
        with disk.holds("pread"):
            a = c("PATCH", where, chunks(data) if chunked else data)
            assert a.status == 202
            put = Sending(reg, "PUT", f"{where}?digest={wrong}", b"")
            # A commit under way: others are told where it stands.
            wait_until(lambda: c("PATCH", where, b"").status == 416)
        a = put.done()
        assert a.status == 400 and a.code == "DIGEST_INVALID"
        assert c("HEAD", f"/v2/a/blobs/{wrong}").status == 404
    assert reg.uploads() == []
    assert reg.d.metrics()["okd_regd_digest_mismatches_total"] == 1


def test_a_client_that_goes_while_the_hash_lags_comes_back(daemon, disk):
    reg = Registry(daemon, env=disk.env)
    data = noise(60 * MIB)
    with reg.client() as c:
        where = c.start("a")

        def go_on():
            at = size(c, where)
            return Sending(reg, "PATCH", where, data[at:],
                           Content_Range=f"{at}-{len(data) - 1}")

        def complete():
            """Bytes of the first that the kernel held may come before a second's: that is
            told where the upload stands then, or cut off while it still sends."""
            if size(c, where) < len(data):
                go_on().done()
            return size(c, where) == len(data)

        with disk.holds("pread"):
            sending = Sending(reg, "PATCH", where, data)
            ahead(c, where)
            sending.cut()
            again = go_on()
        again.done()
        wait_until(complete, 60)
        assert c("PUT", f"{where}?digest={digest(data)}", b"").status == 201
        assert c("GET", f"/v2/a/blobs/{digest(data)}").body == data


def followed(reg, c, where):
    """Whether the digest has come to the end of what was written: no stretch of the file is
    on its way.  Between two of them there is none for a moment, but there are two at most."""
    path = f"{reg.root}/uploads/{where.rsplit('/', 1)[1]}"
    for _ in range(4):
        names = [f"/proc/{reg.d.pid}/fd/{fd}" for fd in os.listdir(f"/proc/{reg.d.pid}/fd")]
        if sum(os.path.exists(n) and os.path.realpath(n) == path for n in names) != 1:
            return False
        assert c("GET", "/v2/").status == 200
    return True


def in_one_piece(reg, c, where, data):
    """A PATCH of a few KiB that is all there when it is looked at."""
    os.kill(reg.d.pid, signal.SIGSTOP)
    try:
        c.c.putrequest("PATCH", where)
        c.c.putheader("Authorization", c.headers["Authorization"])
        c.c.putheader("Content-Length", str(len(data)))
        c.c.endheaders(data)
        wait_until(lambda: fcntl.ioctl(c.c.sock, termios.TIOCOUTQ, bytes(4)) == bytes(4))
    finally:
        os.kill(reg.d.pid, signal.SIGCONT)
    response = c.c.getresponse()
    assert response.status == 202, response.read()
    response.read()


def test_what_is_taken_back_counts_for_nothing(daemon):
    """More came than Content-Range said, and was followed by the digest already; what comes
    instead is there at once as far as that got, so that it has no reason to look back."""
    reg = Registry(daemon)
    data = noise(4 * MIB)
    edge = MIB - 4096  # too little to be followed
    with reg.client() as c, reg.client() as other:
        where = c.start("a")
        assert c("PATCH", where, data[:edge]).status == 202

        def too_much():
            yield bytes(8192)
            wait_until(lambda: size(other, where) == edge + 8192)
            wait_until(lambda: followed(reg, other, where))
            yield b"and a byte"

        a = c("PATCH", where, too_much(), Content_Range=f"{edge}-{edge + 9}")
        assert a.status == 400 and a.code == "SIZE_INVALID", a
        assert size(c, where) == edge
        in_one_piece(reg, c, where, data[edge:edge + 32768])
        assert c("PATCH", where, data[edge + 32768:]).status == 202
        assert c("PUT", f"{where}?digest={digest(data)}", b"").status == 201
        assert c("GET", f"/v2/a/blobs/{digest(data)}").body == data


def test_an_upload_is_cancelled_while_the_hash_lags(daemon, disk):
    reg = Registry(daemon, env=disk.env)
    with reg.client() as c:
        where = c.start("a")
        with disk.holds("pread"):
            sending = Sending(reg, "PATCH", where, noise(60 * MIB))
            ahead(c, where)
            assert c("DELETE", where).status == 204
            sending.done()
            assert reg.uploads() == []
            assert c("GET", where).status == 404
        data = noise(2 * MIB)
        c.push_blob("a", data)
        assert c("GET", f"/v2/a/blobs/{digest(data)}").body == data


def test_a_commit_goes_on_without_its_client(daemon, disk):
    reg = Registry(daemon, env=disk.env)
    data = noise(20 * MIB)
    path = f"/v2/a/blobs/{digest(data)}"
    with reg.client() as c:
        where = c.start("a")
        with disk.holds("pread"):
            assert c("PATCH", where, data).status == 202
            put = Sending(reg, "PUT", f"{where}?digest={digest(data)}", b"")
            wait_until(lambda: c("PATCH", where, b"").status == 416)
            put.cut()
            assert c("HEAD", path).status == 404
        wait_until(lambda: c("HEAD", path).status == 200, 30)
        assert c("GET", path).body == data


def test_kill_9_while_the_hash_lags(daemon, disk):
    reg = Registry(daemon, env=disk.env, check_fds=False)
    data = noise(60 * MIB)
    with reg.client() as c:
        where = c.start("a")
        with disk.holds("pread"):
            sending = Sending(reg, "PATCH", where, data)
            at = ahead(c, where)
            reg.d.kill9()
            sending.done()
    reg.d.start()
    with reg.client() as c:
        at, before = size(c, where), at
        assert at >= before
        a = c("PATCH", where, data[at:], Content_Range=f"{at}-{len(data) - 1}")
        assert a.status == 202, a
        assert c("PUT", f"{where}?digest={digest(data)}", b"").status == 201
        assert c("GET", f"/v2/a/blobs/{digest(data)}").body == data


def test_a_file_that_cannot_be_read_behind_is_read_at_the_commit(daemon, disk):
    reg = Registry(daemon, env=disk.env)
    data = noise(60 * MIB)
    with reg.client() as c:
        with disk.holds("pread.fail"):
            where = c.start("a")
            assert c("PATCH", where, data).status == 202
            a = c("PUT", f"{where}?digest={digest(data)}", b"")
            assert a.status == 201, a
        assert c("GET", f"/v2/a/blobs/{digest(data)}").body == data


@pytest.mark.parametrize("calls", [("fdatasync",), ("sync_file_range", "fdatasync")])
def test_a_disk_that_is_slow(daemon, disk, calls):
    """Nothing is told, or to be seen, of what is not durable; and nobody else waits."""
    reg = Registry(daemon, env=disk.env)
    data = noise(60 * MIB)
    path = f"/v2/a/blobs/{digest(data)}"
    with reg.client() as c:
        where = c.start("a")
        with disk.holds(*calls):
            assert c("PATCH", where, data).status == 202
            put = Sending(reg, "PUT", f"{where}?digest={digest(data)}", b"")
            wait_until(lambda: c("PATCH", where, b"").status == 416)
            for _ in range(20):
                assert c("HEAD", path).status == 404
            assert put.answer is None
            assert not os.path.exists(reg.blob_path(digest(data)))
        assert put.done().status == 201
        assert c("GET", path).body == data


def test_a_disk_that_fails_to_sync(daemon, disk):
    reg = Registry(daemon, env=disk.env)
    data = noise(20 * MIB)
    with reg.client() as c:
        where = c.start("a")
        assert c("PATCH", where, data).status == 202
        with disk.holds("fdatasync.fail"):
            assert c("PUT", f"{where}?digest={digest(data)}", b"").status == 500
        assert c("HEAD", f"/v2/a/blobs/{digest(data)}").status == 404
        assert reg.uploads() == []
        c.push_blob("a", data)


def room(path):
    st = os.statvfs(path)
    return st.f_bavail * st.f_frsize


def test_a_disk_that_fills_up_in_the_middle(daemon, disk, small_disk):
    """What was written goes at once, though its first bytes are still being hashed."""
    reg = Registry(daemon, env=disk.env, storage={"root": small_disk, "reserve": 0},
                   check_fds=False)
    small = noise(2 * MIB)
    with reg.client() as c:
        c.push_blob("a", small)
        with open(f"{small_disk}/filler", "wb", buffering=0) as f:
            while room(small_disk) > 20 * MIB:
                f.write(bytes(65536))
        where = c.start("a")
        with disk.holds("pread"):
            a = Sending(reg, "PATCH", where, chunks(noise(30 * MIB))).done()
            assert a is None or a.status == 507, a
            assert c("GET", where).status == 404
            assert os.listdir(f"{small_disk}/uploads") == []
            assert room(small_disk) > 18 * MIB
        assert c("GET", f"/v2/a/blobs/{digest(small)}").body == small
        c.push_blob("a", noise(3 * MIB))


def test_a_file_system_that_copies_no_ranges(daemon, disk, tmp_path):
    """What is mounted from an overlay is copied another way then."""
    image = Image({"f": noise(MIB)})
    image.write_layout(tmp_path / "in")
    reg = Registry(daemon, env=disk.env,
                   overlays=[{"path": str(tmp_path / "in"), "repository": "old"}])
    with reg.client() as c, disk.holds("copy_file_range.fail"):
        for blob in image.blobs:
            a = c("POST", f"/v2/new/blobs/uploads/?mount={digest(blob)}&from=old", b"")
            assert a.status == 201, a
        c.push_manifest("new", "v1", image.manifest)
        c.expect_whole("new", "v1", image)
    assert reg.uploads() == []


def test_the_disks_own_quota_is_the_disks(daemon, disk):
    """Nothing of the registry's quotas would help, and there are none."""
    reg = Registry(daemon, env=disk.env)
    with reg.client() as c:
        where = c.start("a")
        with disk.holds("pwrite.fail"):
            a = c("PATCH", where, b"x")
        assert a.status == 507 and "disk has no room" in a.body.decode(), a
        assert reg.uploads() == []
        c.push_blob("a", b"x")


def test_many_at_once(daemon):
    """More uploads than threads that follow them, under both algorithms."""
    reg = Registry(daemon)
    failed = []

    def push(i):
        try:
            data = i.to_bytes(4, "big") + noise(12 * MIB)
            with reg.client(timeout=120) as c:
                d = c.push_blob(f"r{i}", data, "sha512" if i % 3 == 0 else "sha256")
                assert c("GET", f"/v2/r{i}/blobs/{d}").body == data
        except Exception as e:
            failed.append(e)

    threads = [threading.Thread(target=push, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failed
    assert reg.uploads() == []
