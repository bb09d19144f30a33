"""okd-regd: what has to hold under load, attack and failure, each with its figure.  Cuts of
power are in test_regd_durable.py, collection in test_regd_gc.py, sizes of manifests in
test_regd.py, memory in test_regd_clients.py."""

import base64
import contextlib
import itertools
import json
import os
import random
import re
import resource
import shutil
import socket
import sqlite3
import ssl
import subprocess
import threading
import types

import pytest

import test_clock
import test_regd_durable
from harness import wait_until
from regd import INDEX, MANIFEST, Client, Image, Registry, chunks, descriptor, digest, htpasswd
from test_http_tls import certificate
from variant import NAME, SLOW

clock = test_clock.clock  # the fixtures
disk = test_regd_durable.disk
LONG = os.environ.get("OKD_LONG")
NOWHERE = "sha256:" + "0" * 64


def head(c, method, path, *lines):
    """The head of a request, for a connection that is written by hand."""
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: x",
                        f"Authorization: {c.headers['Authorization']}", *lines,
                        "", "")).encode()


# --- 1. A start does not depend on how much there is ------------------------------------


def test_a_start_with_100000_blobs_looks_at_none_of_them(daemon):
    """The rows are there and the files are not: nobody asks for them.  What the start
    reads stays far below a read for each."""
    reg = Registry(daemon)
    reg.d.stop()
    with sqlite3.connect(f"{reg.root}/regd.db") as db:
        db.execute("INSERT INTO repos(name, created) VALUES('many', 0)")
        db.executemany(
            "INSERT INTO blobs(digest, size, created, touched, scrubbed)"
            " VALUES(?, 1000, 0, 2000000000, 2000000000)",
            ((f"sha256:{i:064x}",) for i in range(100000)))
        db.execute("INSERT INTO repo_blobs(repo, blob) SELECT 1, id FROM blobs")
    db.close()
    since = len(reg.d.log)
    reg.d.start()
    with open(f"/proc/{reg.d.pid}/io", encoding="ascii") as f:
        reads = int(re.search(r"^syscr: (\d+)$", f.read(), re.M)[1])
    assert reads < 10000
    with reg.client() as c:
        c.push("a", "x", Image())
        c.expect_whole("a", "x", Image())
    assert reg.d.status()["regd"]["blobs"] == 100002
    assert "damaged" not in reg.d.log[since:]


# --- 2. Order: never half of anything ------------------------------------------------------


def test_a_tag_that_moves_is_the_old_or_the_new(daemon):
    """Whoever reads it meanwhile gets one of the two, whole, with its blobs."""
    reg = Registry(daemon)
    images = [Image({"f": b"%d" % i}) for i in range(2)]
    bodies = {i.manifest for i in images}
    stop, failures, seen = threading.Event(), [], set()

    def read():
        try:
            with reg.client() as c:
                while not stop.is_set():
                    a = c("GET", "/v2/a/manifests/latest")
                    assert a.status == 200 and a.body in bodies, a
                    seen.add(a.body)
                    (layer,) = a.json()["layers"]
                    assert c("HEAD", f"/v2/a/blobs/{layer['digest']}").status == 200
        except BaseException as e:
            failures.append(e)

    with reg.client() as c:
        for image in images:
            c.push("a", "latest", image)
        readers = [threading.Thread(target=read) for _ in range(3)]
        for t in readers:
            t.start()
        moves = 0
        while not failures and (moves < 200 or seen != bodies):
            c.push_manifest("a", "latest", images[moves % 2].manifest)
            moves += 1
        stop.set()
        for t in readers:
            t.join()
    assert not failures and seen == bodies


def test_a_manifest_comes_after_its_blobs_or_not_at_all(daemon):
    reg = Registry(daemon)
    image = Image()
    with reg.client() as c:
        where = c.start("a")
        c.push_blob("a", image.config)
        assert c("PATCH", where, image.layers[0]).status == 202  # there, and not committed
        for ref in ("x", image.digest):
            a = c("PUT", f"/v2/a/manifests/{ref}", image.manifest, Content_Type=MANIFEST)
            assert a.status == 400 and a.code == "MANIFEST_BLOB_UNKNOWN"
            assert c("GET", f"/v2/a/manifests/{ref}").status == 404
        a = c("PUT", f"{where}?digest={digest(image.layers[0])}", b"")
        assert a.status == 201
        c.push_manifest("a", "x", image.manifest)


# --- 3. One blob pushed by many ------------------------------------------------------------


def test_many_pushes_of_one_blob_leave_one_file(daemon):
    reg = Registry(daemon)
    data = os.urandom(400000)
    barrier, statuses = threading.Barrier(8), []

    def push(repo):
        with reg.client() as c:
            where = c.start(repo)
            assert c("PATCH", where, chunks(data)).status == 202
            barrier.wait(30)
            statuses.append(c("PUT", f"{where}?digest={digest(data)}", b"").status)

    threads = [threading.Thread(target=push, args=(f"r{i % 2}",)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert statuses == [201] * 8
    files = [f for _, _, names in os.walk(f"{reg.root}/blobs") for f in names]
    assert files == [digest(data)[7:]] and reg.uploads() == []
    # And one that is wrong leaves none.
    with reg.client() as c:
        where = c.start("r0")
        a = c("PUT", f"{where}?digest={NOWHERE}", chunks(data))
        assert a.status == 400 and a.code == "DIGEST_INVALID"
    assert reg.uploads() == []
    assert [f for _, _, names in os.walk(f"{reg.root}/blobs") for f in names] == files


# --- 5. An upload goes on where it was durable ---------------------------------------------


@pytest.mark.timeout(600 if LONG else 60)
def test_kill_9_in_the_middle_of_a_large_patch(daemon):
    """1 GiB in the long run; the status after the restart is what the file holds."""
    size = (1024 if LONG else 48) << 20
    piece = os.urandom(1 << 20)
    data = piece * (size >> 20)
    reg = Registry(daemon, check_fds=False)
    with reg.client() as c:
        where = c.start("a")
        session = where.rsplit("/", 1)[1]
        path = f"{reg.root}/uploads/{session}"
        with socket.create_connection(("127.0.0.1", reg.port)) as s:
            s.sendall(head(c, "PATCH", where, f"Content-Length: {size}"))
            s.sendall(data[:size * 2 // 3])
            wait_until(lambda: os.path.getsize(path) > size // 2, timeout=60)
            reg.d.kill9()
    reg.d.start()
    there = os.path.getsize(path)
    with reg.client(timeout=120) as c:
        a = c("GET", where)
        assert a.status == 204 and a.headers["Range"] == f"0-{there - 1}"
        a = c("PATCH", where, chunks(data[there:], 1 << 20),
              Content_Range=f"{there}-{size - 1}")
        assert a.status == 202 and a.headers["Range"] == f"0-{size - 1}"
        a = c("PUT", f"{where}?digest={digest(data)}", b"")
        assert a.status == 201
        a = c("HEAD", f"/v2/a/blobs/{digest(data)}")
        assert int(a.headers["Content-Length"]) == size


# --- 6. Names and digests lead nowhere else ------------------------------------------------

PIECES = ["..", "%2e%2e", "%2E.", ".", "%00", "//", "\\", "%5c", "%2f", "a" * 300, "_catalog",
          "blobs", "uploads", "manifests", "tags", "list", "referrers", "a", "A", "openshift",
          "sha256:", "sha256:" + "a" * 64, "sha512:" + "b" * 128, "sha256:../../../etc/passwd",
          "SHA256:" + "A" * 64, "etc", "passwd", "regd.db", "password", "token.key", "%ff", "é",
          "%", "%4", "?", "#", ";", "~", "\t", "%0d%0a", "-", "__", "a..b", "a.b-c__d", "*"]


def fuzzed_paths(n, seed, valid):
    """Paths of odd pieces; one in ten is a valid one, with an odd piece in it or without."""
    rng = random.Random(seed)
    kinds = ["manifests", "blobs", "blobs/uploads", "referrers", "tags", ""]
    for i in range(n):
        if i % 10 == 0:
            path = rng.choice(valid)
            at = rng.randrange(len(path)) if i % 20 else len(path)
            yield path[:at] + (rng.choice(PIECES) if i % 20 else "") + path[at:]
            continue
        name = "/".join(rng.choice(PIECES) for _ in range(rng.randint(1, 5)))
        path = f"/v2/{name}/{rng.choice(kinds)}/{rng.choice(PIECES)}{rng.choice(PIECES)}"
        yield path if rng.random() < 0.9 else path.replace("/v2", rng.choice(PIECES), 1)


def opened(trace):
    """The names of files that were opened, or tried to, from a trace of the system calls."""
    out = set()
    with open(trace, encoding="utf-8", errors="replace") as f:
        for line in f:
            found = re.search(r'open(?:at2?)?\((?:[^"]*, )?"((?:[^"\\]|\\.)*)"', line)
            if found:
                out.add(found[1])
    return out


def is_traced(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return "TracerPid:\t0\n" not in f.read()


def trace(pid, path):
    """strace on the opening of files, or None where it is not to be had."""
    if NAME != "release" or not shutil.which("strace"):
        return None
    p = subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=openat,openat2,open", "-o", path,
                          "-p", str(pid)], stderr=subprocess.DEVNULL)
    wait_until(lambda: is_traced(pid) or p.poll() is not None)
    return p if p.poll() is None else None


@pytest.mark.timeout(180)
def test_10000_odd_paths_open_no_file(daemon, tmp_path):
    """Nothing but refusals, no file is made, and whatever is opened has a place of ours."""
    reg = Registry(daemon, check_fds=False)
    before = {os.path.join(p, f) for p, _, names in os.walk(reg.root) for f in names}
    with reg.client() as c:
        auth = c.headers["Authorization"]
        c.push("a", "x", Image())
    tracer = trace(reg.d.pid, tmp_path / "trace")
    statuses = {}
    rng = random.Random(11)
    raw = None
    valid = ["/v2/a/blobs/uploads/", "/v2/a/manifests/x", "/v2/openshift/okd/tags/list",
             f"/v2/a/blobs/{digest(Image().config)}"]
    for path in fuzzed_paths(10000, 6, valid):
        method = rng.choice(["GET", "HEAD", "DELETE", "PUT", "POST"])
        raw = raw or socket.create_connection(("127.0.0.1", reg.port), timeout=30)
        raw.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {auth}\r\n"
                    "Content-Length: 0\r\n\r\n".encode("utf-8"))
        status, closed, body = read_reply(raw, method)
        statuses[status] = statuses.get(status, 0) + 1
        assert status < 500, (method, path, status)
        if status == 200 and method == "GET":  # a list, or what was pushed
            assert body.startswith((b"{", b"<!doctype html>")), (path, body)
        if closed:
            raw.close()
            raw = None
    if raw:
        raw.close()
    session = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    if tracer:
        tracer.terminate()
        tracer.wait(10)
        names = opened(tmp_path / "trace")
        assert any(re.fullmatch(session, name) for name in names), names
        ours = re.compile(rf"{re.escape(reg.root)}(/regd\.db[a-z-]*)?|\.|{session}"
                          r"|blobs/sha(256|512)/[0-9a-f]{2}(/[0-9a-f]+)?"
                          r"|/proc/[a-z0-9/]+|/sys/devices/system/cpu/[a-z]+|/etc/localtime")
        assert [name for name in names if not ours.fullmatch(name)] == []
    made = {os.path.join(p, f) for p, _, names in os.walk(reg.root) for f in names} - before
    ours = re.compile(rf"{re.escape(reg.root)}/(regd\.db.*|blobs/sha256/[0-9a-f]{{2}}/[0-9a-f]+"
                      rf"|uploads/{session})")
    assert all(ours.fullmatch(f) for f in made), made
    assert sum(n for s, n in statuses.items() if s in (400, 404, 405)) > 8000, statuses


def read_reply(s, method):
    """The status of a reply, whether the connection ends with it, and its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = s.recv(65536)
        if not more:
            assert data == b"", data
            return 400, True, b""
        data += more
    lines, body = data.split(b"\r\n\r\n", 1)
    status = int(lines.split()[1])
    length = re.search(rb"\r\nContent-Length: (\d+)", lines, re.I)
    want = int(length[1]) if length and method != "HEAD" and status != 204 else 0
    while len(body) < want:
        more = s.recv(65536)
        if not more:
            return status, True, body
        body += more
    return status, b"connection: close" in lines.lower(), body


# --- 7. Limits -------------------------------------------------------------------------------


def nested(levels):
    """A manifest of so many levels in all."""
    deep = "[" * (levels - 2) + "]" * (levels - 2)
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
                       "annotations": {"x": "@"}}).replace('"@"', deep).encode()


def test_limits_of_heads_targets_and_manifests(daemon):
    reg = Registry(daemon)
    with reg.client() as c:
        assert c("GET", "/v2/", X_Long="x" * 30000).status == 200
        assert c("GET", "/v2/", X_Long="x" * 33000).status == 431
    with reg.client() as c:
        assert c("GET", "/v2/?" + "a" * 8000).status == 200
        assert c("GET", "/v2/?" + "a" * 8300).status == 414
    with reg.client() as c:
        c.push_manifest("a", "deep", nested(64))
        a = c("PUT", "/v2/a/manifests/deeper", nested(65), Content_Type=MANIFEST)
        assert a.status == 400 and a.code == "MANIFEST_INVALID" and "64 levels" in a.body.decode()
        a = c("PUT", "/v2/a/manifests/deepest", b"[" * (1 << 20), Content_Type=MANIFEST)
        assert a.status == 400 and a.code == "MANIFEST_INVALID"
        blob = c.push_blob("a", b"{}")
        for n, status in ((4096, 201), (4097, 400)):
            body = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [
                {"mediaType": "x/y", "digest": blob, "size": 2}] * n}).encode()
            assert c("PUT", "/v2/a/manifests/wide", body).status == status
        # Config and layers are never looked into.
        odd = c.push_blob("a", b"\xff{[not json")
        c.push_manifest("a", "odd", json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": MANIFEST, "digest": odd, "size": 13},
            "layers": []}).encode())


# --- 9. Slow clients -------------------------------------------------------------------------


def test_a_thousand_slow_heads_of_one_address_leave_room(daemon):
    """They get their share of the places and no more; who comes from elsewhere is served."""
    reg = Registry(daemon, per_address=500, connections=1200)
    with reg.client() as c:
        c.push("a", "x", Image())
        auth = c.headers["Authorization"]
    with contextlib.ExitStack() as stack:
        slow = []
        for _ in range(1000):
            s = stack.enter_context(socket.create_connection(("127.0.0.1", reg.port)))
            with contextlib.suppress(OSError):  # the later ones are turned away
                s.sendall(b"GET /v2/ HTTP/1.1\r\nX-A: ")
            slow.append(s)
        wait_until(lambda: reg.d.metrics()["okd_regd_http_connections"] == 500)
        for _ in range(100):
            with socket.socket() as s:
                s.bind(("127.0.0.9", 0))
                s.settimeout(30)
                s.connect(("127.0.0.1", reg.port))
                s.sendall(f"GET /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\nAuthorization: {auth}"
                          "\r\nConnection: close\r\n\r\n".encode())
                assert s.recv(100).startswith(b"HTTP/1.1 200 ")


# --- 10. Passwords ---------------------------------------------------------------------------


def test_unknown_users_cost_what_known_ones_do(daemon):
    reg = Registry(daemon)
    for user in ("admin", "nobody"):
        before = reg.d.metrics()["okd_regd_auth_hashes_total"]
        with reg.client(user, "wrong") as c:
            assert c("GET", "/v2/").status == 401
        assert reg.d.metrics()["okd_regd_auth_hashes_total"] == before + 1


def test_guesses_do_not_lock_out_who_was_let_in(daemon):
    """A node with an old password, or worse, behind the same address as oc."""
    reg = Registry(daemon)
    with reg.client() as good:
        assert good("GET", "/v2/").status == 200
        statuses = []
        for i in range(40):
            with reg.client(password=f"guess{i}") as c:
                statuses.append(c("GET", "/v2/").status)
            assert good("DELETE", good.start("a")).status == 204
        assert statuses.count(429) > 5
        with reg.client() as another:
            assert another("GET", "/v2/").status == 200
    with reg.client(password="guess0") as c:  # the same one again costs nothing
        hashes = reg.d.metrics()["okd_regd_auth_hashes_total"]
        assert c("GET", "/v2/").status in (401, 429)
        assert reg.d.metrics()["okd_regd_auth_hashes_total"] == hashes


@pytest.mark.timeout(120)
def test_a_flood_of_guesses_hashes_on_one_thread_and_forgets_no_good_one(daemon):
    """More guesses than are remembered, from more addresses than the budget counts."""
    reg = Registry(daemon)
    with reg.client() as good:
        assert good("GET", "/v2/").status == 200
        hashed = reg.d.metrics()["okd_regd_auth_hashes_total"]
        sent = 0
        for address in range(256):
            source = f"127.1.{address}.1"
            with socket.socket() as s:
                s.bind((source, 0))
                s.settimeout(60)
                s.connect(("127.0.0.1", reg.port))
                for i in range(17):
                    both = f"x:{address}.{i}".encode().hex().encode()
                    s.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: Basic "
                              + base64.b64encode(b"x:" + both) + b"\r\n\r\n")
                    status, closed, _ = read_reply(s, "GET")
                    assert status in (401, 429, 503)
                    sent += status == 401
                    if closed:
                        break
        guesses = reg.d.metrics()["okd_regd_auth_hashes_total"] - hashed
        assert sent > 4096 and guesses == sent
        assert good("GET", "/v2/").status == 200
        assert reg.d.metrics()["okd_regd_auth_hashes_total"] == hashed + guesses
    assert [name for name in reg.d.threads().values() if "hash" in name] == ["regd-hash"]


@test_clock.pytestmark
def test_a_password_in_use_is_not_hashed_again(daemon, clock):
    """A mirror takes hours, and a refusal in its midst ends it."""
    reg = Registry(daemon, env=clock.env)
    for minutes, hashes in ((0, 1), (50, 1), (100, 1), (150, 1), (215, 2)):
        clock.boot(minutes * 60)
        with reg.client() as c:
            assert c("GET", "/v2/").status == 200
        assert reg.d.metrics()["okd_regd_auth_hashes_total"] == hashes, minutes


def test_no_password_is_written_anywhere(daemon):
    word, wrong = "Zirkel-und-Lineal", "Hammer-und-Amboss"
    reg = Registry(daemon, users={"admin": word}, auth={"challenge": "bearer"})
    with reg.client(password=word) as c:
        c.push("a", "x", Image())
        token = c("GET", "/token?scope=repository:a:pull").json()["token"]
        auth = c.headers["Authorization"].split()[1]
    with reg.client(password=wrong) as c:
        assert c("GET", "/v2/").status == 401
        other = c.headers["Authorization"].split()[1]
    with reg.client(user=None) as c:
        assert c("GET", "/v2/", Authorization=f"Bearer {token}").status == 200
        assert c("GET", "/v2/", Authorization=f"Bearer {token}x").status == 401
    reg.d.stop()
    places = {"the log": reg.d.log.encode()}
    for folder, _, names in os.walk(reg.d.state_dir):
        for name in names:
            with open(os.path.join(folder, name), "rb") as f:
                places[name] = f.read()
    for name, text in places.items():
        for secret in (word, wrong, auth, other, token):
            assert secret.encode() not in text, name


# --- 11. A disk that fails -------------------------------------------------------------------


def test_a_disk_that_fails_is_told_and_not_served(daemon, disk):
    """Every read and write is EIO: 500 without a path of ours, and nothing half-made."""
    reg = Registry(daemon, storage={"root": disk.path, "reserve": 0}, check_fds=False)
    image = Image({"f": os.urandom(300000)})
    with reg.client() as c:
        c.push("a", "x", image)
        where = c.start("a")
        assert c("PATCH", where, b"x").status == 202
        disk.cut()
        answers = [c("PUT", f"{where}?digest={digest(b'x')}", b""),
                   c("POST", "/v2/a/blobs/uploads/", b""),
                   c("PUT", "/v2/a/manifests/y", image.manifest, Content_Type=MANIFEST)]
        for a in answers:
            assert a.status in (500, 507) and a.code in ("UNKNOWN", "DENIED"), a
            assert disk.path not in a.body.decode()
    reg.d.kill9()
    disk.umount()
    disk.mount()
    reg.d.start()
    with reg.client() as c:
        c.expect_whole("a", "x", image)
        assert c("GET", "/v2/a/manifests/y").status == 404
        c.push("a", "y", image)
    reg.d.stop()


def test_no_descriptors_is_not_no_blob(daemon, tmp_path):
    """A node that hears 404 goes elsewhere, and a push sends it all again."""
    image, other = Image({"f": b"1"}), Image({"f": b"2"})
    other.write_layout(tmp_path / "in")
    reg = Registry(daemon, overlays=[{"path": str(tmp_path / "in"), "repository": "b"}])
    with reg.client() as c:
        c.push("a", "x", image)
        since = len(reg.d.log)
        limits = resource.prlimit(reg.d.pid, resource.RLIMIT_NOFILE)
        used = {int(fd) for fd in os.listdir(f"/proc/{reg.d.pid}/fd")}
        free = next(fd for fd in itertools.count() if fd not in used)
        resource.prlimit(reg.d.pid, resource.RLIMIT_NOFILE, (free, limits[1]))
        for repo, blob in (("a", image.layers[0]), ("b", other.layers[0])):
            a = c("GET", f"/v2/{repo}/blobs/{digest(blob)}")
            assert a.status == 500 and a.code == "UNKNOWN", a
        resource.prlimit(reg.d.pid, resource.RLIMIT_NOFILE, limits)
        c.expect_whole("a", "x", image)
        c.expect_whole("b", "v1", other)
    assert "damaged" not in reg.d.log[since:]


@pytest.fixture
def loop_disk(tmp_path):
    """An ext4 of its own on a loop device: what its kernel does when it finds damage."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a file system")
    image, path = tmp_path / "disk", tmp_path / "mounted"
    with open(image, "wb") as f:
        f.truncate(64 << 20)
    path.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)
    disk = types.SimpleNamespace(path=str(path))

    def run(*args):
        return subprocess.run(args, capture_output=True, text=True, check=False)

    def mount():
        p = run("mount", "-o", "loop,errors=remount-ro", image, path)
        if p.returncode != 0:
            pytest.skip(f"cannot mount a loop device: {p.stderr.strip()}")

    def fail():
        """The kernel finds damage, and makes it read-only under whoever has it open."""
        device = run("losetup", "-n", "-O", "NAME", "-j", image).stdout.strip()
        with open(f"/sys/fs/ext4/{os.path.basename(device)}/trigger_fs_error", "w",
                  encoding="ascii") as f:
            f.write("1")

    def umount():
        subprocess.run(["umount", path], check=True)

    disk.mount, disk.umount, disk.fail = mount, umount, fail
    mount()
    yield disk
    run("umount", "-l", path)


def test_storage_that_turns_read_only(daemon, loop_disk):
    """What a kernel does to a file system that it finds damaged: pulls go on, and nothing
    is acknowledged until it can be written to again."""
    reg = Registry(daemon, storage={"root": loop_disk.path, "reserve": 0}, check_fds=False)
    image, late = Image({"f": os.urandom(300000)}), Image({"f": b"late"})
    def writes(c):
        return [c("POST", "/v2/a/blobs/uploads/", b""),
                c("POST", f"/v2/a/blobs/uploads/?digest={digest(b'y')}", b"y"),
                c("POST", f"/v2/b/blobs/uploads/?mount={digest(late.config)}&from=a", b""),
                c("PUT", "/v2/a/manifests/y", late.manifest, Content_Type=MANIFEST),
                c("DELETE", "/v2/a/manifests/x"),
                c("PATCH", where, b"z")]

    with reg.client() as c:
        c.push("a", "x", image)
        for blob in late.blobs:
            c.push_blob("a", blob)
        where = c.start("a")
        assert c("PATCH", where, b"x").status == 202
        loop_disk.fail()
        # Nobody knows of it yet, and still nothing is acknowledged.
        for a in writes(c):
            assert (a.status, a.code) in ((500, "UNKNOWN"), (503, "UNAVAILABLE")), a
            assert loop_disk.path not in a.body.decode()
        wait_until(lambda: reg.d.status()["regd"]["storage_read_only"])
        assert [(a.status, a.code) for a in writes(c)] == [(503, "UNAVAILABLE")] * 6
        ready = reg.d.admin("/readyz")
        assert ready.status == 503 and "read-only" in ready.text
        c.expect_whole("a", "x", image)
        assert c("GET", "/v2/a/tags/list").json()["tags"] == ["x"]
    with reg.client() as c:  # a connection of its own
        c.expect_whole("a", image.digest, image)
        assert c("GET", "/v2/_catalog").json()["repositories"] == ["a"]
    assert reg.d.log.count("file system that is read-only") == 1
    reg.d.stop()
    loop_disk.umount()
    loop_disk.mount()
    reg.d.start()
    with reg.client() as c:
        c.expect_whole("a", "x", image)
        assert c("GET", "/v2/a/manifests/y").status == 404
        c.push("a", "y", late)
        c.expect_whole("a", "y", late)
    assert reg.d.admin("/readyz").status == 200
    reg.d.stop()


# --- 12. TLS ---------------------------------------------------------------------------------


def test_a_certificate_changes_under_a_transfer(daemon, tmp_path):
    first, second = (certificate(tmp_path, name) for name in ("first", "second"))
    reg = Registry(daemon, tls=True)
    reg.d.reload({**reg.config, "tls": {"certificate": str(first[0]), "key": str(first[1])}})
    data = os.urandom(8 << 20)
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(pair[0].read_bytes() for pair in (first, second)))

    def connect():
        context = ssl.create_default_context(cafile=str(both))
        context.check_hostname = False
        s = socket.create_connection(("localhost", reg.port))
        return context.wrap_socket(s, server_hostname="localhost")

    with Client(reg.port, ca=None) as c:
        auth = c.headers["Authorization"]
    with connect() as s, connect() as old:
        serial = old.getpeercert()["serialNumber"]
        s.sendall(f"POST /v2/a/blobs/uploads/?digest={digest(data)} HTTP/1.1\r\nHost: x\r\n"
                  f"Authorization: {auth}\r\nContent-Length: {len(data)}\r\n\r\n".encode()
                  + data[:1 << 20])
        reg.d.reload({**reg.config, "tls": {"certificate": str(second[0]),
                                            "key": str(second[1])}})
        with connect() as fresh:
            assert fresh.getpeercert()["serialNumber"] != serial
        s.sendall(data[1 << 20:])
        assert s.recv(100).startswith(b"HTTP/1.1 201 ")
        old.sendall(f"GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: {auth}\r\n\r\n".encode())
        assert old.recv(100).startswith(b"HTTP/1.1 200 ")


# --- 13. Smuggling ---------------------------------------------------------------------------


@pytest.mark.parametrize("lines", [
    ("Content-Length: 5", "Transfer-Encoding: chunked"), ("Content-Length: 5", "Content-Length: 6"),
    ("Transfer-Encoding: chunked, identity",), ("Transfer-Encoding: xchunked",),
    ("Transfer-Encoding : chunked",), ("X: a\r\n b", "Content-Length: 5"),
    ("Content-Length: 5, 5", "Transfer-Encoding: gzip, chunked")])
def test_bodies_of_two_lengths_are_refused(daemon, lines):
    """And what follows is not read as a request."""
    reg = Registry(daemon)
    with reg.client() as c:
        where = c.start("a")
        with socket.create_connection(("127.0.0.1", reg.port), timeout=30) as s:
            s.sendall(head(c, "PATCH", where, *lines) + b"0\r\n\r\n"
                      + head(c, "DELETE", where))
            data = b""
            while more := s.recv(65536):
                data += more
        assert re.match(rb"HTTP/1.1 (400|501) ", data) and data.count(b"HTTP/1.1 ") == 1, data
        a = c("GET", where)  # nothing was taken or cancelled
        assert a.status == 204 and a.headers["Range"] == "0-0"
        assert c("DELETE", where).status == 204


# --- 14. Collection under pushes -------------------------------------------------------------


@pytest.mark.timeout(3600 if LONG else 120)
def test_pushes_under_collections_all_the_time_lose_nothing(daemon):
    """10,000 pushes in the long run, over blobs that come, go and come again; every one of
    them within its grace, so that every one is acknowledged and whole."""
    total = 10000 if LONG else 240
    reg = Registry(daemon, gc={"grace": "10m"})
    stop, failures = threading.Event(), []
    child = Image({"f": b"child"})
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        descriptor(child.manifest, MANIFEST)]}).encode()
    runs = [0]

    def work(number):
        try:
            with reg.client() as c:
                for i in range(total // 4):
                    image = Image({"f": b"%d" % (i % 7), "n": b"%d" % (i % 50)})
                    repo = f"r{number}"
                    c.push(repo, f"t{i % 5}", image)
                    if i % 10 == 0:
                        c.push(repo, child.digest, child)
                        c.push_manifest(repo, digest(index), index, INDEX)
                    c.expect_whole(repo, image.digest, image)
                    if i % 4 == 0:
                        a = c("DELETE", f"/v2/{repo}/manifests/{image.digest}")
                        assert a.status == 202
                    if failures:
                        return
        except BaseException as e:
            failures.append(e)

    def garbage():
        while not stop.is_set():
            assert reg.d.admin("/v1/gc", "POST", timeout=60).status == 200
            runs[0] += 1

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    collector = threading.Thread(target=garbage)
    collector.start()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    stop.set()
    collector.join()
    assert not failures and runs[0] > 0
    rows = sqlite3.connect(f"file:{reg.root}/regd.db?mode=ro", uri=True)
    with reg.client() as c:
        for repo, d, kind in rows.execute(
                "SELECT r.name, f.digest, f.kind FROM refs f JOIN manifests m"
                " ON m.id = f.manifest JOIN repos r ON r.id = m.repo"):
            where = "blobs" if kind == 0 else "manifests"
            assert c("GET", f"/v2/{repo}/{where}/{d}").status == 200, (repo, d)
        for n in range(4):
            c.expect_whole(f"r{n}", child.digest, child)
    rows.close()


def test_a_user_that_is_taken_out_is_out(daemon):
    reg = Registry(daemon, users={"admin": "admin", "old": "old"})
    with reg.client("old", "old") as c:
        assert c("GET", "/v2/").status == 200
        reg.d.write_file("users", htpasswd(admin="admin"))
        wait_until(lambda: c("GET", "/v2/").status == 401)


# --- the access log --------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a mount of its own")
def test_requests_carry_fields_in_the_journal(daemon, tmp_path):
    """stderr is taken for the journal, whose socket is the test's."""
    journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    journal.settimeout(10 * SLOW)
    (tmp_path / "journal").mkdir()
    journal.bind(str(tmp_path / "journal" / "socket"))
    script = ("mount -t tmpfs none /run && mkdir -p /run/systemd/journal && "
              f"mount --bind {tmp_path}/journal /run/systemd/journal && "
              "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$@\"")
    reg = Registry(daemon, wrapper=["unshare", "-m", "sh", "-c", script, "sh"])
    with reg.client() as c:
        a = c("GET", "/v2/openshift/okd/manifests/x?a=%0AOKD_USER=root", User_Agent="oc/4.5\t1")
        assert a.status == 404
    entry = b""
    while b"OKD_METHOD=" not in entry:
        entry = journal.recv(65536)
    journal.close()
    lines = entry.decode().strip().splitlines()
    fields = dict(line.split("=", 1) for line in lines)
    assert len(fields) == len(lines)
    assert re.fullmatch(r'127\.0\.0\.1 admin "GET /v2/openshift/okd/manifests/x\?a=%0AOKD_USER=root"'
                        r' 404 0 \d+ \d+us "oc/4.5.1"', fields["MESSAGE"])
    assert int(fields.pop("OKD_DURATION_US")) >= 0 and int(fields.pop("OKD_SENT")) > 0
    del fields["MESSAGE"]
    assert fields == {
        "SYSLOG_IDENTIFIER": "okd-regd", "PRIORITY": "6", "OKD_CLIENT": "127.0.0.1",
        "OKD_STATUS": "404", "OKD_USER": "admin", "OKD_METHOD": "GET",
        "OKD_TARGET": "/v2/openshift/okd/manifests/x?a=%0AOKD_USER=root",
        "OKD_REPOSITORY": "openshift/okd", "OKD_AGENT": "oc/4.5.1", "OKD_RECEIVED": "0"}
