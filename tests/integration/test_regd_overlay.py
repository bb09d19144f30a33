"""okd-regd: images of other registries, served where they lie."""

import io
import json
import os
import subprocess
import sys
import tarfile

import pytest

import test_regd_import
from harness import wait_until
from regd import (EMPTY, INDEX, MANIFEST, SCHEMA2, Image, Registry, descriptor,
                  digest)
from test_regd_import import import_folder, push_to_peer

pytestmark = pytest.mark.threads
peer = test_regd_import.peer  # the fixture


def served(reg, n=1):
    """The overlays' status, once all are indexed."""
    return wait_until(lambda: (lambda o: len(o) == n and all(
        x["state"] != "indexing" for x in o) and o)(reg.d.status()["regd"]["overlays"]), timeout=20)


def distribution_files(images):
    """{path: bytes} of registry:2's storage."""
    files = {}

    def blob(data):
        hexa = digest(data)[7:]
        files[f"docker/registry/v2/blobs/sha256/{hexa[:2]}/{hexa}/data"] = data
        return hexa

    for (repo, tag), image in images.items():
        base = f"docker/registry/v2/repositories/{repo}"
        for data in image.blobs:
            files[f"{base}/_layers/sha256/{blob(data)}/link"] = digest(data).encode()
        hexa = blob(image.manifest)
        files[f"{base}/_manifests/revisions/sha256/{hexa}/link"] = image.digest.encode()
        files[f"{base}/_manifests/tags/{tag}/current/link"] = image.digest.encode()
    return files


def write_archive(path, files, fmt=tarfile.PAX_FORMAT):
    with tarfile.open(path, "w", format=fmt) as tar:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))


def listing(path):
    """Everything below a folder: its name, size and times."""
    found = {}
    for base, _, names in os.walk(path):
        for name in names:
            st = os.lstat(os.path.join(base, name))
            found[os.path.join(base, name)] = (st.st_size, st.st_mtime_ns, st.st_nlink)
    return found


def test_registry_2s_folder_in_place(daemon, peer):
    port, data = peer
    images = {("openshift/okd", f"v{i}"): Image({"f": os.urandom(20000)}, SCHEMA2)
              for i in range(12)}
    for (repo, tag), image in images.items():
        push_to_peer(port, repo, tag, image)
    before = listing(data)
    reg = Registry(daemon, overlays=[{"type": "distribution", "path": str(data)}])
    (status,) = served(reg)
    assert status["state"] == "served" and status["kind"] == "registry:2", status
    assert status["manifests"] == 12 and status["tags"] == 12 and status["blobs"] >= 13
    assert reg.d.admin("/readyz").status == 200
    with reg.client() as c:
        for (repo, tag), image in images.items():
            c.expect_whole(repo, tag, image)
            c.expect_whole(repo, image.digest, image)
        assert c("GET", "/v2/_catalog").json() == {"repositories": ["openshift/okd"]}
        tags = c("GET", "/v2/openshift/okd/tags/list").json()["tags"]
        assert tags == sorted(tag for _, tag in images)
    assert listing(data) == before
    assert not os.path.exists(f"{reg.root}/blobs")


def test_what_is_ours_beats_an_overlay_and_lists_are_merged(daemon, tmp_path):
    old, new, other = Image({"f": b"old"}), Image({"f": b"new"}), Image({"f": b"other"})
    old.write_layout(tmp_path / "in", tag="v1")
    other.write_layout(tmp_path / "too", tag="v2")
    reg = Registry(daemon, overlays=[
        {"type": "oci", "path": str(tmp_path / "in"), "repository": "b/x"},
        {"path": str(tmp_path / "too"), "repository": "b/x"}])
    served(reg, 2)
    with reg.client() as c:
        c.expect_whole("b/x", "v1", old)
        c.expect_whole("b/x", "v2", other)
        c.push("b/x", "v1", new)
        c.push("b/x", "v0", new)
        c.push("a", "t", new)
        c.push("c", "t", new)
        c.expect_whole("b/x", "v1", new)
        c.expect_whole("b/x", old.digest, old)
        assert c("GET", "/v2/b/x/tags/list").json()["tags"] == ["v0", "v1", "v2"]
        a = c("GET", "/v2/b/x/tags/list?n=2")
        assert a.json()["tags"] == ["v0", "v1"] and "last=v1" in a.headers["Link"]
        a = c("GET", "/v2/b/x/tags/list?n=2&last=v1")
        assert a.json()["tags"] == ["v2"] and "Link" not in a.headers
        assert c("GET", "/v2/_catalog").json()["repositories"] == ["a", "b/x", "c"]
        a = c("GET", "/v2/_catalog?n=1&last=a")
        assert a.json()["repositories"] == ["b/x"] and "Link" in a.headers
        # What lies below comes to light again, and cannot be deleted.
        assert c("DELETE", "/v2/b/x/manifests/v1").status == 202
        c.expect_whole("b/x", "v1", old)
        a = c("DELETE", "/v2/b/x/manifests/v1")
        assert a.status == 405 and a.code == "UNSUPPORTED"
        assert c("DELETE", "/v2/b/x/manifests/v9").status == 404


def test_a_push_counts_on_what_an_overlay_holds(daemon, tmp_path):
    base = Image({"f": b"base"})
    base.write_layout(tmp_path / "in")
    reg = Registry(daemon, overlays=[{"path": str(tmp_path / "in"), "repository": "a/b"}])
    served(reg)
    with reg.client() as c:
        for blob in base.blobs:
            assert c("HEAD", f"/v2/a/b/blobs/{digest(blob)}").status == 200
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX,
                            "manifests": [descriptor(base.manifest, MANIFEST)]}).encode()
        c.push_manifest("a/b", "list", index, INDEX)
        c.push_manifest("a/b", "mine", base.manifest)
        c.expect_whole("a/b", "mine", base)
        # Elsewhere nothing of it is there.
        a = c("PUT", "/v2/other/manifests/x", base.manifest, Content_Type=MANIFEST)
        assert a.status == 400 and a.code == "MANIFEST_BLOB_UNKNOWN"
        missing = Image({"f": b"never pushed"})
        a = c("PUT", "/v2/a/b/manifests/x", missing.manifest, Content_Type=MANIFEST)
        assert a.status == 400 and a.code == "MANIFEST_BLOB_UNKNOWN"


def test_what_we_hold_and_what_an_overlay_holds_make_one_manifest(daemon, tmp_path):
    """What neither holds is missed, though an overlay holds the rest."""
    base, own = Image({"f": b"base"}), Image({"f": b"own"})
    base.write_layout(tmp_path / "in")
    reg = Registry(daemon, overlays=[{"path": str(tmp_path / "in"), "repository": "a/b"}])
    served(reg)
    mixed = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST,
                        "config": descriptor(base.config),
                        "layers": [descriptor(own.layers[0])]}).encode()
    with reg.client() as c:
        a = c("PUT", "/v2/a/b/manifests/x", mixed, Content_Type=MANIFEST)
        assert a.status == 400 and digest(own.layers[0]) in a.body.decode()
        c.push_blob("a/b", own.layers[0])
        c.push_manifest("a/b", "x", mixed)
        assert c("GET", "/v2/a/b/manifests/x").body == mixed


def test_a_mount_from_an_overlay(daemon, tmp_path):
    image = Image({"f": os.urandom(100000)})
    write_archive(tmp_path / "mirror_000001.tar", distribution_files({("old/app", "v1"): image}))
    reg = Registry(daemon, overlays=[{"path": str(tmp_path)}],
                   quotas=[{"repositories": ["small"], "size": 1000}])
    served(reg)
    with reg.client() as c:
        for blob in image.blobs:
            a = c("POST", f"/v2/new/blobs/uploads/?mount={digest(blob)}&from=old/app", b"")
            assert a.status == 201 and a.headers["Docker-Content-Digest"] == digest(blob)
        c.push_manifest("new", "v1", image.manifest)
        c.expect_whole("new", "v1", image)
        a = c("POST", f"/v2/new/blobs/uploads/?mount={digest(b'x')}&from=old/app", b"")
        assert a.status == 202
        assert c("DELETE", a.headers["Location"]).status == 204
        a = c("POST", f"/v2/small/blobs/uploads/?mount={digest(image.layers[0])}&from=old/app",
              b"")
        assert a.status == 507
    assert os.path.getsize(reg.blob_path(digest(image.layers[0]))) == len(image.layers[0])
    assert reg.uploads() == []
    # It is our own, whatever becomes of the overlay.
    reg.d.stop()
    os.unlink(tmp_path / "mirror_000001.tar")
    reg.d.start()
    with reg.client() as c:
        c.expect_whole("new", "v1", image)


def test_the_scrubber_reads_overlays_too(daemon, tmp_path):
    good, bad = Image({"f": b"good"}), Image({"f": os.urandom(9000)})
    good.write_layout(tmp_path / "good")
    bad.write_layout(tmp_path / "bad")
    layer = bad.layers[0]
    with open(tmp_path / "bad" / "blobs" / "sha256" / digest(layer)[7:], "r+b") as f:
        f.write(bytes(b ^ 1 for b in layer[:100]))
    reg = Registry(daemon, overlays=[
        {"path": str(tmp_path / "good"), "repository": "good"},
        {"path": str(tmp_path / "bad"), "repository": "bad"}])
    served(reg, 2)
    wait_until(lambda: reg.d.metrics()["okd_regd_scrubbed_total"] == 6, timeout=20)
    assert [o["bad_blobs"] for o in reg.d.status()["regd"]["overlays"]] == [0, 1]
    reg.d.log_contains(f"blob {digest(layer)} of overlay {tmp_path}/bad is damaged")
    with reg.client() as c:
        c.expect_whole("good", "v1", good)
        assert c("GET", f"/v2/bad/blobs/{digest(layer)}").status == 404
        assert c("GET", f"/v2/bad/blobs/{digest(bad.config)}").status == 200
        a = c("POST", f"/v2/x/blobs/uploads/?mount={digest(layer)}&from=bad", b"")
        assert a.status == 202
        assert c("DELETE", a.headers["Location"]).status == 204
        c.push_blob("bad", layer)
        c.expect_whole("bad", "v1", bad)


def test_ocs_folder_in_place_and_links_that_lead_out(daemon, tmp_path):
    image = Image({"f": b"1"}, SCHEMA2)
    base = tmp_path / "mirror" / "v2" / "openshift" / "okd"
    os.makedirs(base / "blobs")
    os.makedirs(base / "manifests")
    for blob in image.blobs:
        (base / "blobs" / digest(blob)).write_bytes(blob)
    (base / "manifests" / image.digest).write_bytes(image.manifest)
    os.symlink(image.digest, base / "manifests" / "4.5.0")
    secret = tmp_path / "secret"
    secret.write_bytes(b"")
    os.symlink(secret, base / "blobs" / EMPTY)
    os.symlink("/", base / "blobs" / digest(b"x"))
    reg = Registry(daemon, overlays=[{"type": "oc", "path": str(tmp_path / "mirror")}])
    (status,) = served(reg)
    assert status["kind"] == "oc" and status["skipped"] == 2, status
    with reg.client() as c:
        c.expect_whole("openshift/okd", "4.5.0", image)
        assert c("GET", f"/v2/openshift/okd/blobs/{EMPTY}").status == 404
        # A file that is exchanged for a link after it was indexed leads nowhere either.
        blob = base / "blobs" / digest(image.layers[0])
        os.unlink(blob)
        os.symlink("/etc/passwd", blob)
        assert c("GET", f"/v2/openshift/okd/blobs/{blob.name}").status == 404


@pytest.mark.parametrize("fmt", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT,
                                 tarfile.PAX_FORMAT])
def test_an_archive_of_oc_mirror_in_place(daemon, tmp_path, fmt):
    big = Image({"f": os.urandom(300000)})
    small = Image({"f": b"1"}, SCHEMA2)
    images = {("openshift/release", "4.5.0"): big, ("ubi8/ubi", "latest"): small}
    path = tmp_path / "mirror_000001.tar"
    write_archive(path, {"imageset-config.yaml": b"kind: ImageSetConfiguration\n",
                         **distribution_files(images),
                         "working-dir/x": b"x" * 1000}, fmt)
    reg = Registry(daemon, overlays=[{"type": "archive", "path": str(path)}])
    (status,) = served(reg)
    assert status["kind"] == "oc-mirror" and status["tags"] == 2, status
    with reg.client() as c:
        for (repo, tag), image in images.items():
            c.expect_whole(repo, tag, image)
        # Ranges count from the blob's start, not the archive's.
        layer = big.layers[0]
        where = f"/v2/openshift/release/blobs/{digest(layer)}"
        a = c("GET", where, Range="bytes=1000-1999")
        assert a.status == 206 and a.body == layer[1000:2000]
        assert a.headers["Content-Range"] == f"bytes 1000-1999/{len(layer)}"
        a = c("GET", where, Range="bytes=-5")
        assert a.status == 206 and a.body == layer[-5:]
        a = c("GET", where, Range=f"bytes={len(layer)}-")
        assert a.status == 416
        a = c("GET", where, Range="bytes=0-9,20-29")
        assert a.status == 206 and layer[:10] in a.body and layer[20:30] in a.body
        assert c("HEAD", where).headers["Content-Length"] == str(len(layer))


def test_an_archive_by_a_link_of_the_admin(daemon, tmp_path):
    image = Image({"f": os.urandom(3000)})
    write_archive(tmp_path / "mirror_000001.tar", distribution_files({("a/b", "v1"): image}))
    os.symlink("mirror_000001.tar", tmp_path / "latest")
    reg = Registry(daemon, overlays=[{"type": "archive", "path": str(tmp_path / "latest")}])
    (status,) = served(reg)
    assert status["state"] == "served", status
    with reg.client() as c:
        c.expect_whole("a/b", "v1", image)


def test_an_archive_in_several_files_is_imported(daemon, tmp_path):
    images = {("a/b", f"v{i}"): Image({"f": os.urandom(1000 + i)}) for i in range(40)}
    files = list(distribution_files(images).items())
    os.makedirs(tmp_path / "in")
    half = len(files) // 2
    write_archive(tmp_path / "in" / "mirror_000001.tar", dict(files[:half]))
    write_archive(tmp_path / "in" / "mirror_000002.tar", dict(files[half:]))
    reg = Registry(daemon)
    found = import_folder(reg, tmp_path / "in")
    assert found["kind"] == "oc-mirror" and found["error"] is None, found
    assert found["tags"] == 40 and found["manifests"] == 40 and not found["failed"]
    with reg.client() as c:
        for (repo, tag), image in images.items():
            c.expect_whole(repo, tag, image)
    for name in os.listdir(tmp_path / "in"):
        os.unlink(tmp_path / "in" / name)
    with reg.client() as c:
        c.expect_whole("a/b", "v7", images["a/b", "v7"])


def test_an_archive_that_ends_early(daemon, tmp_path):
    """What lies before the cut is served; what is cut is passed over or 404."""
    images = {("a", "v1"): Image({"f": b"1"}), ("b", "v1"): Image({"f": os.urandom(90000)})}
    path = tmp_path / "mirror_000001.tar"
    write_archive(path, distribution_files(images))
    reg = Registry(daemon, overlays=[{"path": str(path)}])
    served(reg)
    os.truncate(path, os.path.getsize(path) // 2)
    layer = images["b", "v1"].layers[0]
    with reg.client() as c:
        c.expect_whole("a", "v1", images["a", "v1"])
        assert c("GET", f"/v2/b/blobs/{digest(layer)}").status == 404
    reg.d.stop()
    junk = tmp_path / "junk"
    junk.write_bytes(b"no tar at all" * 100)
    reg = Registry(daemon, overlays=[{"path": str(junk)}])
    (status,) = served(reg)
    assert status["state"] == "failed" and "no tar archive" in status["error"], status
    with reg.client() as c:
        assert c("GET", "/v2/_catalog").json() == {"repositories": []}


def test_a_folder_that_is_none_stops_nothing(daemon, tmp_path):
    reg = Registry(daemon, overlays=[{"path": str(tmp_path / "gone")},
                                     {"path": str(tmp_path), "type": "oc"}])
    for status in served(reg, 2):
        assert status["state"] == "failed" and "holds no images" in status["error"]
    image = Image()
    with reg.client() as c:
        c.push("a", "v1", image)
        c.expect_whole("a", "v1", image)


def test_served_where_openat2_is_forbidden(daemon, tmp_path):
    """As below RestrictSUIDSGID= of its own unit."""
    image = Image({"f": b"1"}, SCHEMA2)
    image.write_layout(tmp_path / "in")
    os.symlink("/etc/passwd", tmp_path / "in" / "blobs" / "sha256" / EMPTY[7:])
    wrapper = [sys.executable, os.path.join(os.path.dirname(__file__), "no_openat2.py")]
    reg = Registry(daemon, wrapper=wrapper,
                   overlays=[{"path": str(tmp_path / "in"), "repository": "a/b"}])
    (status,) = served(reg)
    assert status["state"] == "served", status
    with open(f"/proc/{reg.d.pid}/status", encoding="ascii") as f:
        assert "Seccomp:\t2" in f.read()
    with reg.client() as c:
        c.expect_whole("a/b", "v1", image)
        assert c("GET", f"/v2/a/b/blobs/{EMPTY}").status == 404


def test_skopeo_pulls_from_an_overlay(daemon, tmp_path):
    image = Image({"f": b"1"})
    write_archive(tmp_path / "mirror_000001.tar", distribution_files({("a/b", "v1"): image}))
    reg = Registry(daemon, overlays=[{"path": str(tmp_path)}])
    served(reg)
    subprocess.run(["skopeo", "copy", "--src-tls-verify=false", "--src-creds", "admin:admin",
                    f"docker://127.0.0.1:{reg.port}/a/b:v1", f"dir:{tmp_path}/out"],
                   check=True, capture_output=True)
    assert (tmp_path / "out" / "manifest.json").read_bytes() == image.manifest
    assert (tmp_path / "out" / digest(image.layers[0])[7:]).read_bytes() == image.layers[0]
