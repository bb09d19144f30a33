"""okd-regd: what is collected and what never is, while pushes go on; the scrubber."""

import json
import os
import sqlite3
import threading

import pytest

from harness import wait_until
from regd import INDEX, MANIFEST, Image, Registry, descriptor, digest

pytestmark = pytest.mark.threads


def age(reg, seconds=100000):
    """Makes everything in the database look that much older."""
    with sqlite3.connect(f"{reg.root}/regd.db") as db:
        db.execute("UPDATE blobs SET touched = touched - ?, scrubbed = scrubbed - ?",
                   (seconds, seconds))
    db.close()


def collect(reg, dry_run=False):
    a = reg.d.admin(f"/v1/gc{'?dry_run=1' if dry_run else ''}", "POST", timeout=30)
    assert a.status == 200, a
    return a.json()


def test_what_goes_and_what_stays(daemon):
    reg = Registry(daemon)
    image, child, gone = Image({"f": b"1"}), Image({"f": b"2"}), Image({"f": b"3"})
    with reg.client() as c:
        c.push("a", "x", image)
        c.push("a", child.digest, child)  # by digest alone: untagged is no garbage
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            descriptor(child.manifest, MANIFEST)]}).encode()
        c.push_manifest("a", digest(index), index, INDEX)
        c.push("a", "gone", gone)
        loose = c.push_blob("b", b"nobody refers to me")
        assert c("DELETE", f"/v2/a/manifests/{gone.digest}").status == 202
    expected = sum(map(len, gone.blobs)) + len(b"nobody refers to me")
    assert collect(reg)["blobs"] == 0  # all within the grace
    age(reg)
    dry = collect(reg, dry_run=True)
    assert dry == {"blobs": 3, "bytes": expected, "strays": 0, "dry_run": True}, dry
    assert os.path.exists(reg.blob_path(loose))
    done = collect(reg)
    assert done["blobs"] == 3 and done["bytes"] == expected
    assert not os.path.exists(reg.blob_path(loose))
    with reg.client() as c:
        c.expect_whole("a", "x", image)
        c.expect_whole("a", child.digest, child)
        assert c("GET", f"/v2/a/manifests/{digest(index)}").status == 200
        assert c("HEAD", f"/v2/b/blobs/{loose}").status == 404
        # What is gone can come again.
        c.push("a", "gone", gone)
        c.expect_whole("a", "gone", gone)
    assert reg.d.status()["regd"]["gc"]["blobs"] == 3


def test_a_client_that_was_told_yes_can_count_on_it(daemon):
    reg = Registry(daemon)
    image = Image()
    with reg.client() as c:
        for blob in image.blobs:
            c.push_blob("a", blob)
        age(reg)
        for blob in image.blobs:  # it asks, and need not push
            assert c("HEAD", f"/v2/a/blobs/{digest(blob)}").status == 200
        assert collect(reg)["blobs"] == 0
        c.push_manifest("a", "x", image.manifest)
        c.expect_whole("a", "x", image)


def test_strays_of_a_crash(daemon):
    reg = Registry(daemon, gc={"grace": "1s"})
    with reg.client() as c:
        d = c.push_blob("a", b"kept")
        c.push_manifest("a", "x", json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": [
                {"mediaType": "x/y", "digest": d, "size": 4}]}).encode())
    stray = reg.blob_path(digest(b"stray"))
    os.makedirs(os.path.dirname(stray), exist_ok=True)
    with open(stray, "wb") as f:
        f.write(b"stray")
    with open(os.path.dirname(stray) + "/README", "wb") as f:
        f.write(b"no blob")
    wait_until(lambda: collect(reg)["strays"] == 1)
    assert not os.path.exists(stray) and os.path.exists(os.path.dirname(stray) + "/README")
    assert os.path.exists(reg.blob_path(d))


@pytest.mark.timeout(120)
def test_collecting_all_the_time_loses_no_reference(daemon):
    """Pushes, deletes and the same blobs again, under collections with no grace to speak
    of: whatever was acknowledged is whole."""
    reg = Registry(daemon, gc={"grace": "1s"})
    stop = threading.Event()
    failures = []
    images = [Image({"f": bytes([i])}) for i in range(6)]

    def work(number):
        try:
            with reg.client() as c:
                for i in range(25):
                    image = images[(number + i) % len(images)]
                    repo = f"r{number}"
                    c.push(repo, "x", image)
                    c.expect_whole(repo, "x", image)
                    if i % 3 == 0:
                        assert c("DELETE", f"/v2/{repo}/manifests/{image.digest}").status == 202
        except BaseException as e:
            failures.append(e)

    def garbage():
        while not stop.is_set():
            age(reg)
            collect(reg)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    collector = threading.Thread(target=garbage)
    collector.start()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    stop.set()
    collector.join()
    # A push in progress may lose a blob whose grace was taken from it; it is told so.
    for e in failures:
        assert "MANIFEST_BLOB_UNKNOWN" in str(e) or "404" in str(e), e
    with reg.client() as c:
        rows = sqlite3.connect(f"file:{reg.root}/regd.db?mode=ro", uri=True)
        for repo, d in rows.execute("SELECT r.name, f.digest FROM refs f JOIN manifests m"
                                    " ON m.id = f.manifest JOIN repos r ON r.id = m.repo"):
            assert c("GET", f"/v2/{repo}/blobs/{d}").status == 200, (repo, d)
        rows.close()


def test_the_scrubber_finds_what_rots_and_a_push_heals_it(daemon):
    reg = Registry(daemon, scrub={"interval": "1d"})
    image = Image({"f": os.urandom(300000)})
    with reg.client() as c:
        c.push("a", "x", image)
        path = reg.blob_path(digest(image.layers[0]))
        with open(path, "r+b") as f:
            f.seek(1000)
            f.write(b"rot!")
        age(reg)
        wait_until(lambda: reg.d.status()["regd"]["bad_blobs"] == 1, timeout=15)
        reg.d.log_contains(f"blob {digest(image.layers[0])} is damaged")
        assert c("GET", f"/v2/a/blobs/{digest(image.layers[0])}").status == 404
        assert c("GET", f"/v2/a/blobs/{digest(image.config)}").status == 200
        c.push_blob("a", image.layers[0])
        c.expect_whole("a", "x", image)
    assert reg.d.status()["regd"]["bad_blobs"] == 0
    assert reg.d.metrics()["okd_regd_scrub_bad_total"] == 1


def test_a_blob_that_cannot_be_opened_holds_up_no_others(daemon):
    reg = Registry(daemon, scrub={"interval": "1d"})
    odd, rotten = os.urandom(1000), os.urandom(1001)
    with reg.client() as c:
        for data in (odd, rotten):
            c.push_blob("a", data)
        os.unlink(reg.blob_path(digest(odd)))
        os.mkdir(reg.blob_path(digest(odd)))
        with open(reg.blob_path(digest(rotten)), "r+b") as f:
            f.write(b"rot!")
        age(reg)
        wait_until(lambda: reg.d.status()["regd"]["bad_blobs"] == 2, timeout=20)
        os.rmdir(reg.blob_path(digest(odd)))
        for data in (odd, rotten):
            assert c("GET", f"/v2/a/blobs/{digest(data)}").status == 404
            c.push_blob("a", data)
            assert c("GET", f"/v2/a/blobs/{digest(data)}").body == data
    assert reg.d.status()["regd"]["bad_blobs"] == 0


def test_a_push_while_the_scrubber_reads_the_damaged_bytes_counts(daemon):
    """The verdict is about bytes that are not there any more."""
    reg = Registry(daemon, scrub={"interval": "1d", "rate": 65536})
    data = os.urandom(200000)
    path = reg.blob_path(digest(data))
    with reg.client() as c:
        assert c("POST", f"/v2/a/blobs/uploads/?digest={digest(data)}", data).status == 201
        with open(path, "r+b") as f:
            f.seek(1000)
            f.write(b"rot!")
        age(reg)
        wait_until(lambda: any(os.path.realpath(f"/proc/{reg.d.pid}/fd/{fd}") == path
                               for fd in os.listdir(f"/proc/{reg.d.pid}/fd")), timeout=15)
        assert c("POST", f"/v2/a/blobs/uploads/?digest={digest(data)}", data).status == 201
        wait_until(lambda: reg.d.metrics()["okd_regd_scrub_bad_total"] == 1, timeout=30)
        # The writer is through with the verdict once a later change is.
        assert c("POST", f"/v2/b/blobs/uploads/?digest={digest(b'x')}", b"x").status == 201
        assert reg.d.status()["regd"]["bad_blobs"] == 0
        assert c("GET", f"/v2/a/blobs/{digest(data)}").body == data


def test_read_only_by_verb(daemon):
    reg = Registry(daemon)
    assert reg.d.admin("/v1/read-only", "POST").json() == {"read_only": True}
    assert reg.d.admin("/v1/import?dir=/nowhere", "POST").status == 409
    with reg.client() as c:
        assert c("POST", "/v2/a/blobs/uploads/", b"").status == 405
        assert reg.d.admin("/v1/read-only?on=0", "POST").status == 200
        assert c("POST", f"/v2/a/blobs/uploads/?digest={digest(b'x')}", b"x").status == 201


def test_no_collection_while_a_replaced_process_finishes(daemon):
    reg = Registry(daemon)
    with reg.client() as c:
        where = c.start("a")
        c.c.putrequest("PATCH", where)
        c.c.putheader("Authorization", c.headers["Authorization"])
        c.c.putheader("Content-Length", "10")
        c.c.endheaders(b"01234")  # and the rest later
        with reg.client() as other:
            wait_until(lambda: other("GET", where).headers["Range"] == "0-4")
        reg.d.upgrade()
        assert reg.d.admin("/v1/gc", "POST").status == 409
        c.c.send(b"56789")
        assert c.c.getresponse().status == 202
    reg.d.wait_old()
    assert reg.d.admin("/v1/gc", "POST").status == 200
    with reg.client() as c:  # the session goes on in the successor
        a = c("PUT", f"{where}?digest={digest(b'0123456789')}", b"")
        assert a.status == 201
