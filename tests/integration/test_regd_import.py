"""okd-regd: taking over what other registries left in a folder."""

import os
import shutil
import sqlite3
import subprocess

import pytest

import test_clock
import test_regd_durable
import test_regd_pipeline
from harness import free_port, wait_until
from regd import EMPTY, MANIFEST, SCHEMA2, Client, Image, Registry, digest

clock = test_clock.clock  # the fixtures
small_disk = test_regd_durable.small_disk
pytestmark = pytest.mark.threads


def import_folder(reg, path, repository=None):
    more = f"&repository={repository}" if repository else ""
    a = reg.d.admin(f"/v1/import?dir={path}{more}", "POST")
    assert a.status == 202, a
    return imported(reg)


def imported(reg):
    """What came of an import, once it is over."""
    return wait_until(lambda: (lambda s: not s["running"] and s)(
        reg.d.admin("/v1/import").json()), timeout=20)


@pytest.fixture
def peer(tmp_path):
    """Debian's docker-registry 2.8, running on a folder of its own."""
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is not installed")
    port = free_port(hold=False)
    data = tmp_path / "data"
    config = tmp_path / "config.yml"
    config.write_text(f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: "
                      f"{{rootdirectory: {data}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n")
    with open(tmp_path / "log", "wb") as log:
        p = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log,
                             stdin=subprocess.DEVNULL)

    def answers():
        try:
            with Client(port, user=None) as c:
                return c("GET", "/v2/").status == 200
        except OSError:
            return False

    wait_until(answers)
    yield port, data
    p.terminate()
    p.wait(10)


def push_to_peer(port, repo, tag, image):
    with Client(port, user=None) as c:
        for blob in image.blobs:
            where = c.start(repo).split(f":{port}", 1)[-1]
            a = c("PUT", f"{where}&digest={digest(blob)}", blob)
            assert a.status == 201, a
        c.push_manifest(repo, tag, image.manifest, image.type)


def test_the_folder_of_registry_2(daemon, peer):
    port, data = peer
    images = {("openshift/okd", f"v{i}"): Image({"f": os.urandom(20000)}, SCHEMA2)
              for i in range(40)}
    images[("other", "x")] = Image({"f": b"x"})
    for (repo, tag), image in images.items():
        push_to_peer(port, repo, tag, image)
    # What its crashes leave: an empty link; and what bad disks leave: wrong bytes.
    broken = images[("openshift/okd", "v7")]
    link = f"{data}/docker/registry/v2/repositories/openshift/okd/_manifests/tags/v9"
    os.truncate(f"{link}/current/link", 0)
    hexa = digest(broken.layers[0])[7:]
    rotten = f"{data}/docker/registry/v2/blobs/sha256/{hexa[:2]}/{hexa}/data"
    with open(rotten, "r+b") as f:
        f.write(b"rot")
    reg = Registry(daemon)
    found = import_folder(reg, data)
    assert found["kind"] == "registry:2" and found["error"] is None
    assert found["manifests"] == 41 and found["tags"] == 40
    (failed,) = found["failed"]
    assert failed["digest"] == digest(broken.layers[0])
    assert failed["reason"] == "its bytes have another digest"
    with reg.client() as c:
        for (repo, tag), image in images.items():
            if tag == "v7":
                assert c("GET", f"/v2/{repo}/blobs/{digest(image.layers[0])}").status == 404
            elif tag == "v9":
                c.expect_whole(repo, image.digest, image)
                assert c("GET", f"/v2/{repo}/manifests/v9").status == 404
            else:
                c.expect_whole(repo, tag, image)
    # Not a byte was copied.
    whole = digest(images[("other", "x")].layers[0])
    source = f"{data}/docker/registry/v2/blobs/sha256/{whole[7:9]}/{whole[7:]}/data"
    assert os.stat(source).st_ino == os.stat(reg.blob_path(whole)).st_ino
    assert reg.uploads() == []
    # A second time there is nothing left to do but what failed.
    again = import_folder(reg, data)
    assert again["blobs"] == 0 and again["skipped"] == found["blobs"]
    assert len(again["failed"]) == 1


def test_the_folder_of_oc(daemon, tmp_path):
    image = Image({"f": b"1"}, SCHEMA2)
    base = tmp_path / "v2" / "openshift" / "okd"
    os.makedirs(base / "blobs")
    os.makedirs(base / "manifests")
    for blob in image.blobs:
        (base / "blobs" / digest(blob)).write_bytes(blob)
    (base / "manifests" / image.digest).write_bytes(image.manifest)
    os.symlink(image.digest, base / "manifests" / "4.5.0")
    os.symlink("/etc/passwd", base / "manifests" / "evil")
    os.symlink("/etc/passwd", base / "blobs" / EMPTY)
    reg = Registry(daemon)
    found = import_folder(reg, tmp_path)
    assert found["kind"] == "oc" and found["tags"] == 1 and found["blobs"] == 2
    assert [f["digest"] for f in found["failed"]] == [EMPTY]
    with reg.client() as c:
        c.expect_whole("openshift/okd", "4.5.0", image)


def test_an_oci_layout(daemon, tmp_path):
    image = Image({"f": b"1"})
    image.write_layout(tmp_path / "in", tag="v1")
    reg = Registry(daemon)
    without = import_folder(reg, tmp_path / "in")
    assert "say which repository" in without["error"]
    found = import_folder(reg, tmp_path / "in", "a/b")
    assert found["kind"] == "OCI layout" and found["error"] is None
    with reg.client() as c:
        c.expect_whole("a/b", "v1", image)
        assert c("GET", "/v2/a/b/manifests/v1").headers["Content-Type"] == MANIFEST


def test_folders_that_are_none(daemon, tmp_path):
    reg = Registry(daemon)
    found = import_folder(reg, tmp_path)
    assert "holds no images that are known" in found["error"]
    assert reg.d.admin("/v1/import?dir=relative", "POST").status == 400
    assert reg.d.admin("/v1/import", "POST").status == 400
    assert reg.d.admin("/v1/import?dir=/x&repository=UPPER", "POST").status == 400


def test_what_is_there_already_counts_anew_and_is_whole(daemon, tmp_path):
    """The manifest that comes with the import may be all that refers to it: a collection
    in between must not take it."""
    image = Image({"f": os.urandom(5000)})
    image.write_layout(tmp_path / "in", tag="v1")
    reg = Registry(daemon)
    with reg.client() as c:
        for blob in image.blobs:
            c.push_blob("a/b", blob)
        with sqlite3.connect(f"{reg.root}/regd.db") as db:
            db.execute("UPDATE blobs SET touched = 1000")
        db.close()
        os.unlink(reg.blob_path(digest(image.layers[0])))
        found = import_folder(reg, tmp_path / "in", "a/b")
        assert found["skipped"] == 1 and not found["failed"], found
        with sqlite3.connect(f"file:{reg.root}/regd.db?mode=ro", uri=True) as db:
            assert db.execute("SELECT count(*) FROM blobs WHERE touched < 2000").fetchone() == (0,)
        db.close()
        c.expect_whole("a/b", "v1", image)


@test_clock.pytestmark
def test_files_of_long_ago_are_no_idle_uploads(daemon, clock, tmp_path):
    """A hard link keeps its file's time; what is idle is looked for while one is verified."""
    disk = test_regd_pipeline.Disk(tmp_path)
    image = Image({"f": os.urandom(5000)})
    image.write_layout(tmp_path / "in", tag="v1")
    for folder, _, names in os.walk(tmp_path / "in"):
        for name in names:
            os.utime(os.path.join(folder, name), (1000, 1000))
    reg = Registry(daemon, env={**clock.env, **disk.env, "LD_PRELOAD": ":".join(
        (clock.env["LD_PRELOAD"], disk.env["LD_PRELOAD"]))})
    idle = f"{reg.root}/uploads/00000000-0000-0000-0000-000000000000"
    with disk.holds("pread.import"):
        assert reg.d.admin(f"/v1/import?dir={tmp_path}/in&repository=a/b", "POST").status == 202
        wait_until(lambda: len(reg.uploads()) == 1)
        (adopted,) = reg.uploads()
        with open(idle, "wb") as f:
            os.utime(f.fileno(), (1000, 1000))
        clock.boot(11 * 60)
        reg.d.log_contains("upload 00000000-0000-0000-0000-000000000000 expired")
        with reg.client() as c:
            assert c("GET", "/v2/").status == 200
        assert reg.uploads() == [adopted]
    found = imported(reg)
    assert not found["failed"] and not found["error"], found
    with reg.client() as c:
        c.expect_whole("a/b", "v1", image)
    assert reg.uploads() == []


def test_what_is_no_file_is_not_waited_for(daemon, tmp_path):
    image, odd = Image({"f": b"1"}), Image({"f": b"2"})
    image.write_layout(tmp_path / "in", tag="v1")
    sha256 = tmp_path / "in" / "blobs" / "sha256"
    os.mkfifo(sha256 / digest(odd.layers[0])[7:])
    base = tmp_path / "oc" / "v2" / "a"
    os.makedirs(base / "blobs")
    os.makedirs(base / "manifests")
    os.mkfifo(base / "manifests" / odd.digest)
    os.mkfifo(tmp_path / "mirror_000001.tar")
    reg = Registry(daemon)
    found = import_folder(reg, tmp_path / "in", "a/b")
    assert [f["digest"] for f in found["failed"]] == [digest(odd.layers[0])], found
    with reg.client() as c:
        c.expect_whole("a/b", "v1", image)
    found = import_folder(reg, tmp_path / "oc")
    assert [f["digest"] for f in found["failed"]] == [odd.digest], found
    assert import_folder(reg, tmp_path)["error"]


def test_an_import_counts_against_quotas(daemon, tmp_path):
    image = Image({"f": os.urandom(5000)})
    image.write_layout(tmp_path / "in", tag="v1")
    reg = Registry(daemon, quotas=[{"repositories": ["a/*"], "size": 1000}])
    found = import_folder(reg, tmp_path / "in", "a/b")
    assert [f["digest"] for f in found["failed"]] == [digest(image.layers[0])], found
    assert "quota" in found["failed"][0]["reason"].lower()
    # Where it had to be copied that would be space that nobody has a use for.
    assert not os.path.exists(reg.blob_path(digest(image.layers[0])))
    assert os.path.exists(reg.blob_path(digest(image.config)))


def test_a_copy_leaves_the_reserve(daemon, small_disk, tmp_path):
    """Nothing can be linked there, so that the disk would be full."""
    images = [Image({"f": os.urandom(12_000_000)}) for _ in range(3)]
    for i, image in enumerate(images):
        image.write_layout(tmp_path / f"in{i}", tag="v1")
    reg = Registry(daemon, storage={"root": small_disk, "reserve": "20MiB"}, check_fds=False)
    failed = [f for i in range(3)
              for f in import_folder(reg, tmp_path / f"in{i}", f"a/r{i}")["failed"]]
    assert [f["digest"] for f in failed] == [digest(i.layers[0]) for i in images[1:]], failed
    st = os.statvfs(small_disk)
    assert st.f_bavail * st.f_frsize >= 20 << 20
    with reg.client() as c:
        c.expect_whole("a/r0", "v1", images[0])
    assert os.listdir(f"{small_disk}/uploads") == []
