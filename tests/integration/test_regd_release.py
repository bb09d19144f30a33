"""okd-regd: is a mirrored release whole, and what repairs it if not."""

import concurrent.futures
import contextlib
import json
import os
import sqlite3
import threading
import tomllib

import pytest
import yaml

from harness import example_cluster, wait_until
from regd import INDEX, SCHEMA2, Image, Registry, descriptor, digest
from test_regd_gc import age

REPO = "openshift/okd"


@pytest.fixture
def release(daemon):
    """A registry with a release of four images, as `oc adm release mirror` leaves it."""
    reg = Registry(daemon)
    images = {f"part{i}": Image({f"part{i}": os.urandom(5000)}, SCHEMA2) for i in range(4)}
    stream = {"kind": "ImageStream", "metadata": {"name": "4.5.0"}, "spec": {"tags": [
        {"name": name, "from": {"kind": "DockerImage",
                                "name": f"quay.io/openshift/okd-content@{image.digest}"}}
        for name, image in images.items()]}}
    payload = Image({"release-manifests/0000_50": b"other",
                     "./release-manifests/image-references": json.dumps(stream).encode(),
                     "z": b"behind it"}, SCHEMA2)
    with reg.client() as c:
        for name, image in images.items():
            c.push(REPO, f"4.5.0-{name}", image)
        c.push(REPO, "4.5.0", payload)
    reg.images, reg.payload = images, payload
    return reg


def verify(reg, reference="4.5.0", repo=REPO, more=""):
    return reg.d.admin(f"/v1/verify-release?repository={repo}&reference={reference}{more}")


def test_a_whole_release(release):
    a = verify(release)
    assert a.status == 200, a
    found = a.json()
    assert found["complete"] is True and found["missing"] == []
    assert found["version"] == "4.5.0" and found["release"] == release.payload.digest
    assert found["images"] == found["present"] == 4 and found["blobs"] == 10
    assert verify(release, release.payload.digest).json()["complete"] is True
    assert verify(release, more="&rehash=1").json()["complete"] is True


def test_the_layer_that_is_missing_is_named(release):
    image = release.images["part2"]
    with release.client() as c:
        assert c("DELETE", f"/v2/{REPO}/blobs/{digest(image.layers[0])}").status == 202
    found = verify(release).json()
    assert found["complete"] is False and found["present"] == 3
    (missing,) = found["missing"]
    assert missing["image"] == "part2" and missing["digest"] == image.digest
    assert missing["blob"] == digest(image.layers[0])
    assert missing["repair"] == (
        f"skopeo copy --all docker://quay.io/openshift/okd-content@{image.digest} "
        f"docker://registry.okd.example.com:{release.port}/{REPO}:4.5.0-part2")


def test_an_image_that_is_missing(release):
    image = release.images["part0"]
    with release.client() as c:
        assert c("DELETE", f"/v2/{REPO}/manifests/{image.digest}").status == 202
    (missing,) = verify(release).json()["missing"]
    assert missing["image"] == "part0" and missing["blob"] is None
    assert missing["reason"] == "the image is not in the repository"


def test_files_that_rot(release):
    layers = [release.images[f"part{i}"].layers[0] for i in range(3)]
    os.unlink(release.blob_path(digest(layers[0])))
    os.truncate(release.blob_path(digest(layers[1])), 10)
    with open(release.blob_path(digest(layers[2])), "r+b") as f:
        f.write(b"rot")
    reasons = [m["reason"] for m in verify(release).json()["missing"]]
    assert reasons == ["the blob's file is missing", "the blob's file is of another size"]
    reasons = [m["reason"] for m in verify(release, more="&rehash=1").json()["missing"]]
    assert reasons[2:] == ["the blob's file has another digest"]


def own_repair(reg):
    return (f"skopeo copy --all docker://quay.io/openshift/okd@{reg.payload.digest} "
            f"docker://registry.okd.example.com:{reg.port}/{REPO}:4.5.0")


def test_what_is_found_damaged_is_pushed_again(release):
    """Size and row are right, so that a client would be told that the blob is there."""
    layer = release.images["part1"].layers[0]
    with open(release.blob_path(digest(layer)), "r+b") as f:
        f.write(b"rot")
    with release.client() as c:
        assert verify(release).json()["complete"] is True
        assert c("HEAD", f"/v2/{REPO}/blobs/{digest(layer)}").status == 200
        found = verify(release, more="&rehash=1").json()
        assert found["complete"] is False and found["missing"][0]["blob"] == digest(layer)
        assert c("HEAD", f"/v2/{REPO}/blobs/{digest(layer)}").status == 404
        assert release.d.status()["regd"]["bad_blobs"] == 1
        c.push(REPO, "4.5.0-part1", release.images["part1"])
        assert verify(release, more="&rehash=1").json()["complete"] is True


@pytest.mark.parametrize("how", ["first bytes", "last bytes", "cut", "empty", "known"])
def test_a_damaged_layer_of_the_release_image_is_named(release, how):
    layer = release.payload.layers[0]
    path = release.blob_path(digest(layer))
    if how == "known":
        with sqlite3.connect(f"{release.root}/regd.db") as db:
            db.execute("UPDATE blobs SET bad = 1 WHERE digest = ?", (digest(layer),))
        db.close()
    elif how.endswith("bytes"):
        at = 0 if how == "first bytes" else len(layer) - 4
        with open(path, "r+b") as f:
            f.seek(at)
            f.write(bytes(b ^ 0xFF for b in layer[at:at + 4]))
    else:
        os.truncate(path, 0 if how == "empty" else len(layer) // 2)
    a = verify(release)
    assert a.status == 422 and a.json()["error"]["code"] == "DAMAGED", a
    assert f"layer {digest(layer)} of the release image itself" in a.text
    assert own_repair(release) in a.text
    with release.client() as c:  # what the command does
        assert c("HEAD", f"/v2/{REPO}/blobs/{digest(layer)}").status == 404
        c.push(REPO, "4.5.0", release.payload)
    assert verify(release).json()["complete"] is True


@pytest.mark.parametrize("cut", [12, 100])
def test_a_layer_that_was_pushed_broken_is_named(release, cut):
    """Its digest is right: somebody else broke it."""
    layer = release.payload.layers[0][:cut]
    manifest = json.loads(release.payload.manifest)
    manifest["layers"] = [descriptor(layer)]
    with release.client() as c:
        c.push_blob(REPO, layer)
        c.push_manifest(REPO, "4.5.0", json.dumps(manifest).encode(), SCHEMA2)
    a = verify(release)
    assert a.status == 422 and a.json()["error"]["code"] == "DAMAGED", a
    assert digest(layer) in a.text and "it cannot be unpacked" in a.text


def test_a_layer_of_the_release_image_that_is_missing_is_named(release):
    layer, config = release.payload.layers[0], release.payload.config
    with release.client() as c:
        assert c("DELETE", f"/v2/{REPO}/blobs/{digest(layer)}").status == 202
        a = verify(release)
        assert a.status == 404 and own_repair(release) in a.text
        assert (f"layer {digest(layer)} of the release image itself: the blob is not in the "
                "repository") in a.text
        c.push(REPO, "4.5.0", release.payload)
        # One that nobody has to read in order to know what the release names.
        assert c("DELETE", f"/v2/{REPO}/blobs/{digest(config)}").status == 202
    found = verify(release).json()
    assert found["complete"] is False and found["images"] == found["present"] == 4
    (missing,) = found["missing"]
    assert missing == {"image": "release", "digest": release.payload.digest,
                       "blob": digest(config), "reason": "the blob is not in the repository",
                       "repair": own_repair(release)}
    a = verify(release, release.payload.digest).json()
    assert a["missing"][0]["repair"].endswith(f"/{REPO}@{release.payload.digest}")


def test_more_is_missing_than_is_listed(release):
    many = Image({"f": b"many"}, SCHEMA2)
    body = json.loads(many.manifest)
    body["layers"] *= 1500
    many.manifest = json.dumps(body).encode()
    many.digest = digest(many.manifest)
    images = {"many": many, **release.images}
    with release.client() as c:
        c.push(REPO, "4.5.1-many", many)
        c.push(REPO, "4.5.1", release_of("4.5.1", **images))
        for image in images.values():
            assert c("DELETE", f"/v2/{REPO}/blobs/{digest(image.layers[0])}").status == 202
    found = verify(release, "4.5.1").json()
    assert len(found["missing"]) == 1000
    assert (found["complete"], found["images"], found["present"]) == (False, 5, 0)


def test_what_is_no_release(release):
    a = verify(release, "none")
    assert a.status == 404 and "there is no openshift/okd:none here" in a.text
    a = verify(release, "4.5.0-part0")
    assert a.status == 422 and "no release image" in a.text
    assert release.d.admin("/v1/verify-release").status == 400


@pytest.mark.parametrize("version, name, source", [
    ("4.5.1", "$(reboot)", "quay.io/x"), ("4.5.1", "part0", "quay.io/x;reboot;"),
    ("4.5.1\nreboot", "part0", "quay.io/x"), ("4.5.1", "part0", "\u001b[2Jquay.io/x")])
def test_no_command_is_made_of_what_is_no_reference(release, version, name, source):
    """Somebody is to paste it."""
    stream = {"kind": "ImageStream", "metadata": {"name": version}, "spec": {"tags": [
        {"name": name, "from": {"kind": "DockerImage", "name": f"{source}@sha256:{'0' * 64}"}}]}}
    with release.client() as c:
        c.push(REPO, "4.5.1", Image(
            {"release-manifests/image-references": json.dumps(stream).encode()}, SCHEMA2))
    a = verify(release, "4.5.1")
    assert a.status == 422 and "reboot" not in a.text and "quay.io/x" not in a.text, a.text


# --- what an install needs ---------------------------------------------------------------


def test_pieces_for_an_install(daemon):
    reg = Registry(daemon, tls=True)
    a = reg.d.admin("/v1/install-pieces?repository=mirror/okd&user=admin&password=admin")
    pieces = a.json()
    host = f"registry.okd.example.com:{reg.port}"
    config = yaml.safe_load(pieces["imageContentSources"] + pieces["additionalTrustBundle"])
    assert {s["source"] for s in config["imageContentSources"]} == {
        "quay.io/openshift/okd", "quay.io/openshift/okd-content"}
    assert all(s["mirrors"] == [f"{host}/mirror/okd"] for s in config["imageContentSources"])
    with open(reg.ca, encoding="ascii") as f:
        assert config["additionalTrustBundle"].strip() == f.read().strip()
    assert json.loads(pieces["pullSecret"]) == {"auths": {host: {"auth": "YWRtaW46YWRtaW4="}}}
    policy = yaml.safe_load(pieces["imageContentSourcePolicy"])
    assert policy["kind"] == "ImageContentSourcePolicy"
    assert policy["spec"]["repositoryDigestMirrors"] == config["imageContentSources"]
    mirrors = yaml.safe_load(pieces["imageDigestMirrorSet"])
    assert mirrors["spec"]["imageDigestMirrors"] == config["imageContentSources"]
    conf = tomllib.loads(pieces["registriesConf"])
    assert [r["mirror"][0]["location"] for r in conf["registry"]] == [f"{host}/mirror/okd"] * 2
    assert "pullSecret" not in reg.d.admin("/v1/install-pieces").json()
    assert reg.d.admin("/v1/install-pieces?repository=A").status == 400


def test_who_pulled_what(daemon):
    cluster = example_cluster()
    cluster["nodes"][1]["address"] = "127.0.0.1"  # the master is here
    cluster["machine_network"].append("127.0.0.0/8")
    reg = Registry(daemon, cluster=cluster)
    one, two = Image({"f": b"1"}), Image({"f": b"2"})
    with reg.client() as c:
        c.push(REPO, "one", one)
        c.push(REPO, "two", two)
        for _ in range(3):
            assert c("GET", f"/v2/{REPO}/manifests/one").status == 200
        assert c("GET", f"/v2/{REPO}/manifests/{two.digest}").status == 200
        assert c("HEAD", f"/v2/{REPO}/manifests/two").status == 200
    pulls = reg.d.admin("/v1/pulls").json()["pulls"]
    assert [(p["client"], p["node"], p["digest"], p["pulls"]) for p in pulls] == [
        ("127.0.0.1", "master", one.digest, 3), ("127.0.0.1", "master", two.digest, 1)]
    found = reg.d.admin(f"/v1/pulls?digest={one.digest}").json()
    assert len(found["pulls"]) == 1 and found["lacking"] == ["bootstrap", "worker"]
    none = reg.d.admin(f"/v1/pulls?digest={digest(b'x')}").json()
    assert none["lacking"] == ["bootstrap", "master", "worker"]


def test_the_ledger_outlives_a_restart(daemon):
    reg = Registry(daemon)
    image = Image()

    def pulls():
        return [(p["digest"], p["pulls"]) for p in reg.d.admin("/v1/pulls").json()["pulls"]]

    with reg.client() as c:
        c.push(REPO, "one", image)
        assert c("GET", f"/v2/{REPO}/manifests/one").status == 200
    reg.d.stop()
    reg.d.start()
    assert pulls() == [(image.digest, 1)]
    with reg.client() as c:
        assert c("GET", f"/v2/{REPO}/manifests/one").status == 200
    assert pulls() == [(image.digest, 2)]


def prune(reg, query):
    return reg.d.admin(f"/v1/prune?repository={REPO}&{query}", "POST")


def test_pruning_by_release(release):
    """An older release goes, but for what a newer one or another tag holds."""
    shared, own = release.images["part0"], Image({"f": os.urandom(3000)}, SCHEMA2)
    kept = Image({"f": b"tagged otherwise"}, SCHEMA2)
    tags = [{"name": n, "from": {"kind": "DockerImage",
                                 "name": f"quay.io/openshift/okd-content@{i.digest}"}}
            for n, i in (("part0", shared), ("own", own), ("kept", kept))]
    old = Image({"release-manifests/image-references": json.dumps(
        {"metadata": {"name": "4.4.0"}, "spec": {"tags": tags}}).encode()}, SCHEMA2)
    untagged = Image({"f": b"nobody's"}, SCHEMA2)
    with release.client() as c:
        c.push(REPO, "4.4.0-part0", shared)
        c.push(REPO, "4.4.0-own", own)
        c.push(REPO, "4.4.0-kept", kept)
        c.push(REPO, "precious", kept)
        c.push(REPO, "4.4.0", old)
        c.push(REPO, untagged.digest, untagged)
        a = prune(release, "keep=4.5.0&dry_run=1")
        assert a.status == 200, a
        found = a.json()
        assert found["drop"] == ["4.4.0"] and found["keep"] == ["4.5.0"]
        assert found["manifests"] == 2 and found["tags"] == 2, found
        c.expect_whole(REPO, "4.4.0", old)
        assert prune(release, "keep=4.5.0").json() == {**found, "dry_run": False}
        for image in (old, own):
            assert c("GET", f"/v2/{REPO}/manifests/{image.digest}").status == 404
        c.expect_whole(REPO, "precious", kept)
        c.expect_whole(REPO, untagged.digest, untagged)
        for name, image in release.images.items():
            c.expect_whole(REPO, f"4.5.0-{name}", image)
    assert verify(release).json()["complete"] is True
    assert prune(release, "keep=4.9.9").status == 404
    assert prune(release, "").status == 400


def release_of(version, **images):
    """The release image that names these."""
    tags = [{"name": n, "from": {"kind": "DockerImage",
                                 "name": f"quay.io/openshift/okd-content@{i.digest}"}}
            for n, i in images.items()]
    return Image({"release-manifests/image-references": json.dumps(
        {"metadata": {"name": version}, "spec": {"tags": tags}}).encode()}, SCHEMA2)


@pytest.mark.parametrize("how", ["deleted", "damaged"])
def test_a_release_that_cannot_be_read_is_left_alone(release, how):
    """Nobody knows what it names, so what is tagged after it stays, also where another
    one that goes names it too."""
    shared = Image({"f": os.urandom(3000)}, SCHEMA2)
    blind, old = release_of("4.3.0", shared=shared), release_of("4.4.0", shared=shared)
    layer = blind.layers[0]
    with release.client() as c:
        for version, payload in (("4.3.0", blind), ("4.4.0", old)):
            c.push(REPO, f"{version}-shared", shared)
            c.push(REPO, version, payload)
        if how == "deleted":
            assert c("DELETE", f"/v2/{REPO}/blobs/{digest(layer)}").status == 202
        else:
            with open(release.blob_path(digest(layer)), "r+b") as f:
                f.write(layer[:20] + bytes(len(layer) - 20))
        found = prune(release, "keep=4.5.0").json()
        assert found["drop"] == ["4.4.0"] and found["unreadable"] == ["4.3.0"], found
        assert found["manifests"] == found["tags"] == 1, found
        c.expect_whole(REPO, "4.3.0-shared", shared)
        c.expect_whole(REPO, "4.4.0-shared", shared)
        assert c("GET", f"/v2/{REPO}/manifests/4.3.0").status == 200
        assert c("GET", f"/v2/{REPO}/manifests/{old.digest}").status == 404
        a = prune(release, "keep=4.3.0")
        assert a.status == (404 if how == "deleted" else 422), a


def test_an_index_without_a_tag_holds_its_images(release):
    child, other = (Image({"f": os.urandom(3000)}, SCHEMA2) for _ in range(2))
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX,
                        "manifests": [descriptor(child.manifest, SCHEMA2)]}).encode()
    with release.client() as c:
        c.push(REPO, "4.4.0-child", child)
        c.push(REPO, "4.4.0-other", other)
        c.push(REPO, "4.4.0", release_of("4.4.0", child=child, other=other))
        c.push_manifest(REPO, digest(index), index, INDEX)
        found = prune(release, "keep=4.5.0").json()
        assert found["drop"] == ["4.4.0"] and found["manifests"] == 2, found
        c.expect_whole(REPO, "4.4.0-child", child)
        assert c("GET", f"/v2/{REPO}/manifests/{other.digest}").status == 404


def beside(image, kind="sig"):
    """The tag under which cosign lays something beside an image."""
    return f"{image.digest.replace(':', '-')}.{kind}"


def test_signatures_go_with_their_images(release):
    gone, held = (Image({"f": os.urandom(3000)}, SCHEMA2) for _ in range(2))
    old = release_of("4.4.0", gone=gone, held=held)
    laid = {}
    with release.client() as c:
        for name, image in (("gone", gone), ("held", held)):
            c.push(REPO, f"4.4.0-{name}", image)
        c.push(REPO, "4.4.0", old)
        c.push(REPO, "precious", held)

        def lay(image, kind="sig"):
            laid[beside(image, kind)] = i = Image({"s": os.urandom(100)})
            c.push(REPO, beside(image, kind), i)
            return i

        going = [lay(gone), lay(gone, "att"), lay(gone, "sbom"), lay(old)]
        going.append(lay(going[0]))  # signed itself
        staying = [lay(held), lay(release.payload), lay(release.images["part0"]),
                   lay(gone, "other")]
        nobody = Image({"f": b"not here"})
        staying.append(lay(nobody))
        twice = lay(release.images["part1"])  # one for two
        c.push(REPO, beside(old, "sbom"), twice)
        laid[beside(old, "sbom")] = twice
        named = Image({"s": os.urandom(100)})  # it has a name of its own, too
        c.push(REPO, "named", named)
        c.push(REPO, beside(old, "att"), named)
        laid[beside(old, "att")] = named
        staying += [twice, named]
        found = prune(release, "keep=4.5.0&dry_run=1").json()
        want = sorted(n for n, i in laid.items() if i in going)
        assert found["beside"] == want and found["manifests"] == 2 + len(going), found
        assert found["tags"] == 2 + len(going), found
        for tag, image in laid.items():
            c.expect_whole(REPO, tag, image)
        assert prune(release, "keep=4.5.0").json() == {**found, "dry_run": False}
        for image in (gone, old, *going):
            assert c("GET", f"/v2/{REPO}/manifests/{image.digest}").status == 404
        for tag, image in laid.items():
            if image in staying:
                c.expect_whole(REPO, tag, image)
            else:
                assert c("GET", f"/v2/{REPO}/manifests/{tag}").status == 404
        c.expect_whole(REPO, "precious", held)
        again = prune(release, "keep=4.5.0").json()
        assert again["beside"] == [] and again["manifests"] == 0, again


@pytest.mark.parametrize("how", ["pushed", "tagged", "named by an index"])
def test_what_comes_while_a_prune_is_under_way_stays(release, how):
    """The prune has looked, and what is acknowledged before it deletes was not there yet."""
    image, other = (Image({"f": os.urandom(3000)}, SCHEMA2) for _ in range(2))
    signature = Image({"s": os.urandom(100)})
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX,
                        "manifests": [descriptor(image.manifest, SCHEMA2)]}).encode()
    push = {"pushed": (image.digest, image.manifest, SCHEMA2),
            "tagged": ("precious", image.manifest, SCHEMA2),
            "named by an index": (digest(index), index, INDEX)}[how]

    def waiting(n):
        wait_until(lambda: release.d.metrics()["okd_regd_db_waiting"] == n, timeout=20)

    with (release.client() as c, release.client() as pusher,
          concurrent.futures.ThreadPoolExecutor(2) as pool,
          contextlib.closing(sqlite3.connect(f"{release.root}/regd.db",
                                             isolation_level=None)) as db):
        for name, i in (("image", image), ("other", other)):
            c.push(REPO, f"4.4.0-{name}", i)
            c.push(REPO, beside(i), signature if i is image else Image({"s": b"other's"}))
        c.push(REPO, "4.4.0", release_of("4.4.0", image=image, other=other))
        waiting(0)
        db.execute("BEGIN IMMEDIATE")  # nothing is written as long as this lasts
        pushed = pool.submit(pusher.push_manifest, REPO, *push)
        waiting(1)
        pruned = pool.submit(prune, release, "keep=4.5.0")
        waiting(2)
        db.execute("ROLLBACK")
        pushed.result()
        found = pruned.result().json()
        assert found["manifests"] == 3 and found["beside"] == [beside(other)], found
        c.expect_whole(REPO, image.digest, image)
        c.expect_whole(REPO, beside(image), signature)
        for gone in ("4.4.0", other.digest, beside(other)):
            assert c("GET", f"/v2/{REPO}/manifests/{gone}").status == 404


@pytest.mark.timeout(180)
def test_pushes_and_pulls_while_their_release_is_pruned(release):
    """Whoever got a manifest gets its blobs, though they are collected as soon as they may
    be; whoever was told that a manifest is stored finds it whole, or finds a manifest
    gone that a later prune took, and never one without its blobs."""
    images = {f"part{i}": Image({f"x{i}": os.urandom(2000)}, SCHEMA2) for i in range(3)}
    payload = release_of("4.4.0", **images)
    stop, failures, pulled = threading.Event(), [], []

    def push(c):
        for name, image in images.items():
            c.push(REPO, f"4.4.0-{name}", image)
        c.push(REPO, "4.4.0", payload)

    def pull_all():
        with release.client() as c:
            while not stop.is_set():
                for name in images:
                    a = c("GET", f"/v2/{REPO}/manifests/4.4.0-{name}")
                    if a.status == 404:
                        continue
                    for blob in images[name].blobs:
                        assert c("GET", f"/v2/{REPO}/blobs/{digest(blob)}").status == 200
                    pulled.append(name)

    def push_all():
        """By digest alone, so that no tag speaks for it."""
        with release.client() as c:
            while not stop.is_set():
                for image in images.values():
                    c.push(REPO, image.digest, image)

    def watched(work):
        try:
            work()
        except BaseException as e:
            failures.append(e)

    with release.client() as c:
        for turn in range(6):
            push(c)
            age(release)
            stop.clear()
            before = len(pulled)
            threads = [threading.Thread(target=watched, args=(work,))
                       for work in (pull_all, pull_all, push_all)[:2 + turn % 2]]
            for t in threads:
                t.start()
            wait_until(lambda n=before: len(pulled) > n or failures)
            found = prune(release, "keep=4.5.0").json()
            assert found["drop"] == ["4.4.0"], found
            assert release.d.admin("/v1/gc", "POST").status == 200
            stop.set()
            for t in threads:
                t.join()
            assert not failures, failures
            for image in images.values():
                a = c("GET", f"/v2/{REPO}/manifests/{image.digest}")
                if a.status == 200:  # it was pushed again
                    assert turn % 2
                    c.expect_whole(REPO, image.digest, image)
                # Who got the manifest before may still be about to ask for its blobs.
                for blob in image.blobs:
                    assert c("GET", f"/v2/{REPO}/blobs/{digest(blob)}").status == 200
    rows = sqlite3.connect(f"file:{release.root}/regd.db?mode=ro", uri=True)
    with release.client() as c:
        for repo, d in rows.execute("SELECT r.name, f.digest FROM refs f JOIN manifests m"
                                    " ON m.id = f.manifest JOIN repos r ON r.id = m.repo"):
            assert c("GET", f"/v2/{repo}/blobs/{d}").status == 200, (repo, d)
    rows.close()


def test_the_page_for_people(daemon):
    reg = Registry(daemon, users={"admin": "admin", "few": "few"}, auth={"rules": [
        {"users": ["admin"], "allow": ["pull", "push"]},
        {"users": ["few"], "repositories": ["open/*"], "allow": ["pull"]}]})
    image = Image()
    with reg.client(user=None) as c:
        assert c("GET", "/").status == 401
    with reg.client() as c:
        c.push("open/one", "v1", image)
        c.push("closed", "v2", image)
        page = c("GET", "/")
        assert page.status == 200
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        text = page.body.decode()
        assert 'href="/?repository=open/one"' in text and 'repository=closed"' in text
        tags = c("GET", "/?repository=open/one").body.decode()
        assert "<td>v1<" in tags and image.digest[:19] in tags
        for bad in ("none<script>", "A", "../x"):
            assert c("GET", f"/?repository={bad}").status == 404
    with reg.client("few", "few") as c:
        text = c("GET", "/").body.decode()
        assert "open/one" in text and "closed" not in text
        assert c("GET", "/?repository=closed").status == 404
