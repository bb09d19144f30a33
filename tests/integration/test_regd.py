"""okd-regd: push and pull, every endpoint with its statuses and headers, and what real
clients send."""

import json
import os
import re
import socket
import threading

import pytest

from harness import free_port, run_daemon, wait_until
from regd import (EMPTY, INDEX, LIST2, MANIFEST, SCHEMA2, Client, Image, Registry, chunks,
                  descriptor, digest)

UUID = re.compile(r"^/v2/[a-z/]+/blobs/uploads/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
NOWHERE = "sha256:" + "0" * 64


@pytest.fixture
def reg(daemon):
    return Registry(daemon)


@pytest.fixture
def c(reg):
    with reg.client() as client:
        yield client


# --- the base --------------------------------------------------------------------------


def test_base_and_headers(c):
    a = c("GET", "/v2/")
    assert a.status == 200 and a.body == b"{}"
    assert a.headers["Docker-Distribution-API-Version"] == "registry/2.0"
    assert a.headers["Content-Type"] == "application/json"
    assert c("GET", "/v2").status == 200
    assert "X-Registry-Supports-Signatures" not in a.headers


def test_unknown_paths_and_methods(c):
    for path in ("/v3/", "/v2/a", "/v2/a/tags/other", "/v2/a/manifests/"):
        a = c("GET", path)
        assert a.status == 404 and a.code, path
    a = c("POST", "/v2/a/manifests/x", b"")
    assert a.status == 405 and a.code == "UNSUPPORTED"
    assert {"GET", "PUT", "DELETE"} <= set(a.headers["Allow"].split(", "))


@pytest.mark.parametrize("name", ["A", "a..b", "_catalog", "-a", "a/..", "%00",
                                  "%2e%2e/%2e%2e/etc", "a%5cb", "a" * 256])
def test_names_that_cannot_be(c, name):
    for method in ("GET", "PUT"):
        a = c(method, f"/v2/{name}/manifests/x", *([b""] if method == "PUT" else []))
        assert a.status in (400, 404), (method, name, a)


# --- blobs -----------------------------------------------------------------------------


def test_a_blob_as_oc_pushes_it(c, reg):
    data = b"layer" * 20000
    d = c.push_blob("openshift/okd", data)
    a = c("GET", f"/v2/openshift/okd/blobs/{d}")
    assert a.status == 200 and a.body == data
    assert a.headers["Docker-Content-Digest"] == d
    assert a.headers["Content-Type"] == "application/octet-stream"
    assert "Content-Encoding" not in a.headers
    assert reg.uploads() == []
    # %3A in the path is the colon.
    assert c("HEAD", f"/v2/openshift/okd/blobs/{d.replace(':', '%3A')}").status == 200
    # The blob belongs to its repository alone.
    a = c("GET", f"/v2/other/blobs/{d}")
    assert a.status == 404 and a.code == "BLOB_UNKNOWN"


def test_single_post_and_post_with_put(c):
    data = b"x" * 1000
    a = c("POST", f"/v2/a/blobs/uploads/?digest={digest(data)}", data)
    assert a.status == 201 and a.headers["Location"] == f"/v2/a/blobs/{digest(data)}"
    more = data + b"y"
    where = c.start("a")
    assert UUID.match(where), where
    a = c("PUT", f"{where}?digest={digest(more)}", more,
          Content_Type="application/octet-stream")
    assert a.status == 201
    assert c("GET", f"/v2/a/blobs/{digest(more)}").body == more


def test_chunks_with_content_range(c):
    data = bytes(range(256)) * 40
    where = c.start("a")
    a = c("GET", where)
    assert a.status == 204 and a.headers["Range"] == "0-0" and a.headers["Location"]
    for first in range(0, len(data), 4096):
        part = data[first:first + 4096]
        a = c("PATCH", where, part, Content_Range=f"{first}-{first + len(part) - 1}",
              Content_Type="application/octet-stream")
        assert a.status == 202 and a.headers["Range"] == f"0-{first + len(part) - 1}"
        assert a.headers["Docker-Upload-UUID"] in a.headers["Location"]
    a = c("PUT", f"{where}?digest={digest(data)}", Content_Length="0")
    assert a.status == 201
    assert c("GET", f"/v2/a/blobs/{digest(data)}").body == data


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_out_of_order_is_416_and_the_session_lives(c, method):
    data = b"0123456789" * 10
    where = c.start("a")
    assert c("PATCH", where, data[:50], Content_Range="0-49").status == 202
    query = f"?digest={digest(data)}" if method == "PUT" else ""
    for bad in ("60-99", "0-49", "49-99"):
        n = int(bad.split("-")[1]) - int(bad.split("-")[0]) + 1
        a = c(method, where + query, b"x" * n, Content_Range=bad)
        assert a.status == 416 and a.code == "RANGE_INVALID"
        assert a.headers["Range"] == "0-49" and a.headers["Location"] == where
    a = c("GET", where)
    assert a.status == 204 and a.headers["Range"] == "0-49"
    a = c("PUT", f"{where}?digest={digest(data)}", data[50:], Content_Range="50-99")
    assert a.status == 201


def test_content_range_that_lies_is_undone(c):
    where = c.start("a")
    assert c("PATCH", where, b"0123456789").status == 202
    a = c("PATCH", where, b"abc", Content_Range="10-19")
    assert a.status == 400 and a.code == "SIZE_INVALID"
    a = c("PATCH", where, chunks(b"abc"), Content_Range="10-19")
    assert a.status == 400 and a.code == "SIZE_INVALID"
    assert c("GET", where).headers["Range"] == "0-9"
    data = b"0123456789abcdefghij"
    assert c("PATCH", where, data[10:], Content_Range="10-19").status == 202
    assert c("PUT", f"{where}?digest={digest(data)}", b"").status == 201


def test_wrong_digest_is_refused_and_leaves_nothing(c, reg):
    where = c.start("a")
    assert c("PATCH", where, b"data").status == 202
    a = c("PUT", f"{where}?digest={digest(b'other')}", b"")
    assert a.status == 400 and a.code == "DIGEST_INVALID"
    assert reg.uploads() == []
    assert c("GET", where).status == 404
    assert c("HEAD", f"/v2/a/blobs/{digest(b'data')}").status == 404
    for bad in ("", "?digest=", "?digest=sha256:abc", "?digest=md5:" + "0" * 32,
                "?digest=" + "x" * 500):
        where = c.start("a")
        a = c("PUT", where + bad, b"data")
        assert a.status == 400 and a.code == "DIGEST_INVALID", bad
        assert c("DELETE", where).status == 204
    assert reg.uploads() == []


def test_sha512(c):
    data = b"s" * 5000
    d = digest(data, "sha512")
    where = c.start("a")  # unannounced: hashed again at the end
    assert c("PATCH", where, data).status == 202
    a = c("PUT", f"{where}?digest={d}", b"")
    assert a.status == 201 and a.headers["Docker-Content-Digest"] == d
    assert c("GET", f"/v2/a/blobs/{d}").body == data
    more = data + b"t"
    d = digest(more, "sha512")
    where = c.start("a", "?digest-algorithm=sha512")
    assert c("PUT", f"{where}?digest={d}", more).status == 201
    bad = c("POST", "/v2/a/blobs/uploads/?digest-algorithm=md5", b"")
    assert bad.status == 400
    where = c.start("a", "?digest-algorithm=sha512")
    assert c("PUT", f"{where}?digest={digest(data, 'sha512')}", more).status == 400


def test_cancel_and_stale_sessions(c, reg):
    where = c.start("a")
    a = c("DELETE", where)
    assert a.status == 204
    for method in ("GET", "DELETE", "PATCH", "PUT"):
        body = [b"x"] if method in ("PATCH", "PUT") else []
        query = f"?digest={digest(b'x')}" if method == "PUT" else ""
        a = c(method, where + query, *body)
        assert a.status == 404 and a.code == "BLOB_UPLOAD_UNKNOWN"
    assert reg.uploads() == []
    # A session belongs to its repository.
    where = c.start("a")
    assert c("GET", where.replace("/v2/a/", "/v2/b/")).status == 404
    assert c("GET", where).status == 204
    assert c("GET", "/v2/a/blobs/uploads/../../../etc/passwd").status == 404
    assert c("GET", "/v2/a/blobs/uploads/not-a-session").status == 404
    assert c("DELETE", where).status == 204


def test_put_that_is_repeated_after_a_lost_answer(c):
    where = c.start("a")
    assert c("PATCH", where, b"data").status == 202
    for _ in range(2):
        a = c("PUT", f"{where}?digest={digest(b'data')}", b"")
        assert a.status == 201 and a.headers["Docker-Content-Digest"] == digest(b"data")


def test_a_single_post_that_breaks_off_leaves_nothing(reg, c):
    """Its client was never told how the session is called, and cannot come back to it."""
    with socket.create_connection(("127.0.0.1", reg.port)) as s:
        s.sendall(f"POST /v2/a/blobs/uploads/?digest={digest(b'x')} HTTP/1.1\r\nHost: x\r\n"
                  f"Authorization: {c.headers['Authorization']}\r\nContent-Length: 1000\r\n"
                  "\r\nxxxxx".encode())
        wait_until(lambda: [os.path.getsize(f"{reg.root}/uploads/{u}")
                            for u in reg.uploads()] == [5])
    wait_until(lambda: reg.uploads() == [])


def test_the_empty_blob(c):
    assert c.push_blob("a", b"") == EMPTY
    a = c("GET", f"/v2/a/blobs/{EMPTY}")
    assert a.status == 200 and a.body == b"" and a.headers["Content-Length"] == "0"


def test_zero_length_patch_and_queries_on_patch(c):
    where = c.start("a")
    a = c("PATCH", where, b"")
    assert a.status == 202 and a.headers["Range"] == "0-0"
    a = c("PATCH", where + "?digest=whatever&_state=x", b"data")
    assert a.status == 202 and a.headers["Range"] == "0-3"
    assert c("DELETE", where).status == 204


def test_expect_continue(reg, c):
    where = c.start("a")
    head = (f"PATCH {where} HTTP/1.1\r\nHost: x\r\nAuthorization: "
            f"{c.headers['Authorization']}\r\nContent-Length: 4\r\n"
            "Expect: 100-continue\r\n\r\n").encode()
    with socket.create_connection(("127.0.0.1", reg.port), timeout=10) as s:
        s.sendall(head)
        assert s.recv(100).startswith(b"HTTP/1.1 100 ")
        s.sendall(b"data")
        assert s.recv(100).startswith(b"HTTP/1.1 202 ")
    assert c("DELETE", where).status == 204


def test_a_client_that_comes_back_takes_the_session_over(reg, c):
    where = c.start("a")
    head = (f"PATCH {where} HTTP/1.1\r\nHost: x\r\nAuthorization: "
            f"{c.headers['Authorization']}\r\nContent-Length: 100\r\n\r\n").encode()
    with socket.create_connection(("127.0.0.1", reg.port), timeout=10) as s:
        s.sendall(head + b"0123456789")
        # Half a request hangs there; the client has long started another.
        while c("GET", where).headers["Range"] != "0-9":
            pass
        a = c("PATCH", where, b"abc", Content_Range="10-12")
        assert a.status == 202 and a.headers["Range"] == "0-12"
        assert s.recv(10) == b""
    a = c("PUT", f"{where}?digest={digest(b'0123456789abc')}", b"")
    assert a.status == 201


def test_ranges(c):
    data = bytes(range(256)) * 8
    url = f"/v2/a/blobs/{c.push_blob('a', data)}"
    a = c("GET", url, Range="bytes=0-99")
    assert a.status == 206 and a.body == data[:100]
    assert a.headers["Content-Range"] == f"bytes 0-99/{len(data)}"
    assert c("GET", url, Range="bytes=2000-5000").body == data[2000:]
    assert c("GET", url, Range="bytes=-10").body == data[-10:]
    assert c("GET", url, Range="bytes=100-").headers["Content-Range"] == "bytes 100-2047/2048"
    for bad in ("bytes=500-0", "bytes=5000-10000"):
        assert c("GET", url, Range=bad).status == 416, bad
    a = c("GET", url, Range="bytes=0-9,100-109")
    assert a.status == 206
    assert a.headers["Content-Type"].startswith("multipart/byteranges; boundary=")
    assert data[:10] in a.body and data[100:110] in a.body
    a = c("HEAD", url)
    assert a.headers["Content-Length"] == "2048" and a.headers["Accept-Ranges"] == "bytes"


def test_mount(c):
    data = b"shared"
    d = c.push_blob("one", data)
    for repo, query in (("two", f"?mount={d}&from=one"), ("three", f"?mount={d}")):
        a = c("POST", f"/v2/{repo}/blobs/uploads/{query}", b"")
        assert a.status == 201 and a.headers["Location"] == f"/v2/{repo}/blobs/{d}"
        assert a.headers["Docker-Content-Digest"] == d
        assert c("GET", f"/v2/{repo}/blobs/{d}").body == data
    for query in (f"?mount={NOWHERE}&from=one", f"?mount={d}&from=none", "?mount=x",
                  f"?mount={d}&from=../x", f"?mount={NOWHERE}"):
        a = c("POST", f"/v2/four/blobs/uploads/{query}", b"")
        assert a.status == 202, (query, a)
        assert c("DELETE", a.headers["Location"]).status == 204


def test_delete_of_a_blob(c):
    d = c.push_blob("a", b"gone soon")
    assert c("DELETE", f"/v2/a/blobs/{d}").status == 202
    assert c("GET", f"/v2/a/blobs/{d}").status == 404
    a = c("DELETE", f"/v2/a/blobs/{d}")
    assert a.status == 404 and a.code == "BLOB_UNKNOWN"
    assert c("DELETE", "/v2/a/blobs/sha256:x").code == "DIGEST_INVALID"


def test_two_pushes_of_one_blob_at_once(reg):
    data = b"z" * 300000
    answers = []

    def push():
        with reg.client() as c:
            where = c.start("a")
            c("PATCH", where, chunks(data, 1000))
            answers.append(c("PUT", f"{where}?digest={digest(data)}", b"").status)

    threads = [threading.Thread(target=push) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert answers == [201] * 6
    with reg.client() as c:
        assert c("GET", f"/v2/a/blobs/{digest(data)}").body == data
    assert reg.d.status()["regd"]["blobs"] == 1


def test_a_damaged_blob_is_healed_by_a_second_push(reg, c):
    data = b"precious" * 100
    d = c.push_blob("a", data)
    with open(reg.blob_path(d), "r+b") as f:
        f.truncate(10)
    assert c("GET", f"/v2/a/blobs/{d}").status == 404  # never what is known to be wrong
    assert c.push_blob("a", data) == d
    assert c("GET", f"/v2/a/blobs/{d}").body == data


# --- manifests -------------------------------------------------------------------------


@pytest.mark.parametrize("media_type", [MANIFEST, SCHEMA2])
def test_an_image(c, media_type):
    image = Image(manifest_type=media_type)
    a = c.push("openshift/okd", "4.5.0", image)
    assert a.headers["Location"] == f"/v2/openshift/okd/manifests/{image.digest}"
    c.expect_whole("openshift/okd", "4.5.0", image)
    c.expect_whole("openshift/okd", image.digest, image)
    a = c("HEAD", "/v2/openshift/okd/manifests/4.5.0")
    assert a.status == 200 and a.body == b""
    assert a.headers["Content-Length"] == str(len(image.manifest))
    assert a.headers["Content-Type"] == media_type
    assert a.headers["Docker-Content-Digest"] == image.digest
    # Whatever is accepted, what is stored is sent.
    a = c("GET", "/v2/openshift/okd/manifests/4.5.0", Accept="text/plain")
    assert a.status == 200 and a.body == image.manifest


def test_content_type_is_kept_without_parameters(c):
    image = Image()
    for blob in image.blobs:
        c.push_blob("a", blob)
    c.push_manifest("a", "x", image.manifest, MANIFEST + "; charset=utf-8")
    assert c("GET", "/v2/a/manifests/x").headers["Content-Type"] == MANIFEST


def test_a_manifest_in_chunks_of_one_byte(c):
    image = Image()
    for blob in image.blobs:
        c.push_blob("a", blob)
    a = c("PUT", "/v2/a/manifests/x", chunks(image.manifest, 1), Content_Type=MANIFEST)
    assert a.status == 201


def test_manifest_unknown(c):
    c.push("a", "x", Image())
    for ref in ("none", NOWHERE, ".INVALID_MANIFEST_NAME"):
        a = c("GET", f"/v2/a/manifests/{ref}")
        assert a.status == 404 and a.code == "MANIFEST_UNKNOWN", ref
        assert c("HEAD", f"/v2/a/manifests/{ref}").status == 404
    assert c("GET", "/v2/none/manifests/x").status == 404


def test_what_a_manifest_refers_to_must_be_there(c):
    image = Image()
    c.push_blob("a", image.config)
    a = c("PUT", "/v2/a/manifests/x", image.manifest, Content_Type=MANIFEST)
    assert a.status == 400 and a.code == "MANIFEST_BLOB_UNKNOWN"
    assert digest(image.layers[0]) in a.json()["errors"][0]["message"]
    assert c("GET", "/v2/a/tags/list").json()["tags"] == []
    # Foreign layers are somebody else's; a subject may come later.
    foreign = Image(subject=descriptor(b"later", MANIFEST))
    body = json.loads(foreign.manifest)
    body["layers"].append(descriptor(b"elsewhere", urls=["http://example.com/x"]))
    for blob in foreign.blobs:
        c.push_blob("a", blob)
    a = c.push_manifest("a", "y", json.dumps(body).encode())
    assert a.headers["OCI-Subject"] == digest(b"later")


def test_manifests_that_are_none(c):
    for body in (b"", b"{", b"{}", b"[]", b"null", b'{"layers": 1}',
                 b'{"schemaVersion":1}', b'{"schemaVersion":2,"layers":1}', b"\xff\xfe",
                 b'{"schemaVersion":2,"layers":[{"digest":"sha256:x"}]}', b"[" * 100000):
        a = c("PUT", "/v2/a/manifests/x", body, Content_Type=MANIFEST)
        assert a.status == 400 and a.code == "MANIFEST_INVALID", body[:20]
    a = c("PUT", f"/v2/a/manifests/{NOWHERE}", Image().manifest, Content_Type=MANIFEST)
    assert a.status == 400 and a.code == "DIGEST_INVALID"
    assert c("PUT", "/v2/a/manifests/.x", Image().manifest).code == "TAG_INVALID"
    # What the sentence quotes is cut somewhere.
    for odd in ("\u00e4" * 200, "x" + "\u00e4" * 200, "\u20ac" * 200):
        a = c("PUT", "/v2/a/manifests/x", json.dumps(
            {"schemaVersion": 2, "mediaType": odd}, ensure_ascii=False).encode(),
            Content_Type=MANIFEST)
        assert a.status == 400 and a.code == "MANIFEST_INVALID", odd[:2]


def check_large_manifests(c):
    config = c.push_blob("a", b"{}")
    head = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "config": {
        "mediaType": "x/y", "digest": config, "size": 2}, "annotations": {"x": "@"}})
    body = head.replace("@", "a" * (4 * 1024 * 1024 - len(head) + 1)).encode()
    assert len(body) == 4 * 1024 * 1024
    c.push_manifest("a", "big", body)
    assert c("GET", "/v2/a/manifests/big").body == body
    too_big = body.replace(b"aa", b"aaa", 1)
    for form in (too_big, chunks(too_big)):
        a = c("PUT", "/v2/a/manifests/big", form, Content_Type=MANIFEST)
        assert a.status == 413 and a.code == "SIZE_INVALID"
    assert c("GET", "/v2/a/manifests/big").body == body


@pytest.mark.parametrize("tls", [False, True])
def test_a_manifest_of_4_mib_and_one_byte_more(daemon, tls):
    """A client that reads once it has sent it all is told, and not cut off."""
    with Registry(daemon, tls=tls).client() as c:
        check_large_manifests(c)


def test_index_and_its_children(c):
    child = Image()
    c.push("a", child.digest, child)
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        descriptor(child.manifest, MANIFEST, platform={"os": "linux"})]}).encode()
    c.push_manifest("a", "multi", index, INDEX)
    assert c("GET", "/v2/a/manifests/multi").body == index
    docker = json.dumps({"schemaVersion": 2, "mediaType": LIST2, "manifests": []}).encode()
    c.push_manifest("a", "list", docker, LIST2)
    absent = json.dumps({"schemaVersion": 2, "manifests": [
        descriptor(b"absent", MANIFEST)]}).encode()
    a = c("PUT", "/v2/a/manifests/z", absent, Content_Type=INDEX)
    assert a.status == 400 and a.code == "MANIFEST_BLOB_UNKNOWN"


def test_tags_as_parameters(c):
    image = Image()
    for blob in image.blobs:
        c.push_blob("a", blob)
    names = [f"t{i}" for i in range(12)]
    query = "&".join(f"tag={n}" for n in names)
    a = c("PUT", f"/v2/a/manifests/{image.digest}?{query}", image.manifest,
          Content_Type=MANIFEST)
    assert a.status == 201 and a.headers.get_all("OCI-Tag") == names
    assert c("GET", "/v2/a/tags/list").json()["tags"] == sorted(names)
    many = "&".join(f"tag=t{i}" for i in range(65))
    a = c("PUT", f"/v2/a/manifests/{image.digest}?{many}", image.manifest)
    assert a.status == 414


def test_delete_of_tags_and_manifests(c):
    image = Image()
    for tag in ("one", "two"):
        c.push("a", tag, image)
    assert c("DELETE", "/v2/a/manifests/one").status == 202
    assert c("GET", "/v2/a/manifests/one").status == 404
    c.expect_whole("a", "two", image)
    assert c("DELETE", "/v2/a/manifests/one").status == 404
    assert c("DELETE", f"/v2/a/manifests/{image.digest}").status == 202
    assert c("GET", "/v2/a/manifests/two").status == 404
    assert c("GET", "/v2/a/tags/list").json() == {"name": "a", "tags": []}


def test_a_tag_moves(c):
    first, second = Image({"f": b"1"}), Image({"f": b"2"})
    c.push("a", "latest", first)
    c.push("a", "latest", second)
    c.expect_whole("a", "latest", second)
    c.expect_whole("a", first.digest, first)  # untagged is no garbage


# --- lists -----------------------------------------------------------------------------


def pages(c, path, key):
    """Follows Link headers; every page's list."""
    out = []
    while path:
        a = c("GET", path)
        assert a.status == 200, a
        out.append(a.json()[key])
        link = a.headers["Link"]
        path = re.match(r'<([^>]+)>; rel="next"$', link).group(1) if link else None
    return out


def test_tags_by_pages(c):
    image = Image()
    for tag in ("b", "a", "C", "_", "10", "9"):
        c.push("a", tag, image)
    sorted_tags = sorted(["b", "a", "C", "_", "10", "9"])
    assert pages(c, "/v2/a/tags/list", "tags") == [sorted_tags]
    assert pages(c, "/v2/a/tags/list?n=4", "tags") == [sorted_tags[:4], sorted_tags[4:]]
    assert pages(c, "/v2/a/tags/list?n=6", "tags") == [sorted_tags]
    assert pages(c, "/v2/a/tags/list?n=0", "tags") == [[]]
    assert pages(c, "/v2/a/tags/list?last=C", "tags") == [["_", "a", "b"]]
    for bad in ("n=x", "n=-1", "n=", "n=99999999999999999999"):
        a = c("GET", f"/v2/a/tags/list?{bad}")
        assert a.status == 400 and a.code == "PAGINATION_NUMBER_INVALID", bad
    a = c("GET", "/v2/none/tags/list")
    assert a.status == 404 and a.code == "NAME_UNKNOWN"


def test_catalog_by_pages(c):
    names = ["openshift/okd", "a/b", "a-b", "z"]
    for name in names:
        c.push_blob(name, b"x")
    assert pages(c, "/v2/_catalog", "repositories") == [sorted(names)]
    assert pages(c, "/v2/_catalog?n=1", "repositories") == [[n] for n in sorted(names)]
    assert pages(c, "/v2/_catalog?n=3&last=a-b", "repositories") == [
        ["a/b", "openshift/okd", "z"]]


def test_referrers(c):
    assert c("GET", f"/v2/none/referrers/{NOWHERE}").json()["manifests"] == []
    assert c("GET", "/v2/a/referrers/x").status == 400
    base = Image()
    c.push("a", "x", base)
    subject = descriptor(base.manifest, MANIFEST)
    sign = Image({"s": b"1"}, subject=subject, artifactType="application/sig",
                 annotations={"who": "me \"q\" \u00e4"})
    plain = Image({"s": b"2"}, subject=subject)
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [],
                        "subject": subject}).encode()
    c.push("a", sign.digest, sign)
    a = c.push("a", plain.digest, plain)
    assert a.headers["OCI-Subject"] == base.digest
    c.push_manifest("a", digest(index), index, INDEX)
    a = c("GET", f"/v2/a/referrers/{base.digest}")
    assert a.status == 200 and a.headers["Content-Type"] == INDEX
    by_digest = {d["digest"]: d for d in a.json()["manifests"]}
    assert set(by_digest) == {sign.digest, plain.digest, digest(index)}
    assert by_digest[sign.digest] == {
        "mediaType": MANIFEST, "digest": sign.digest, "size": len(sign.manifest),
        "artifactType": "application/sig", "annotations": {"who": "me \"q\" \u00e4"}}
    assert by_digest[plain.digest]["artifactType"] == json.loads(
        plain.manifest)["config"]["mediaType"]
    assert "artifactType" not in by_digest[digest(index)]
    a = c("GET", f"/v2/a/referrers/{base.digest}?artifactType=application%2Fsig")
    assert a.headers["OCI-Filters-Applied"] == "artifactType"
    assert [d["digest"] for d in a.json()["manifests"]] == [sign.digest]
    c("DELETE", f"/v2/a/manifests/{sign.digest}")
    assert len(c("GET", f"/v2/a/referrers/{base.digest}").json()["manifests"]) == 2


# --- configuration ---------------------------------------------------------------------


def test_check_prints_what_is_in_force():
    config = {"listen": ["127.0.0.1:5000"], "tls": False,
              "auth": {"rules": [{"users": ["ci"], "allow": ["push", "pull"]}]}}
    once = run_daemon("regd", "-n", "-v", config=config)
    assert once.status == 0, once.err
    again = run_daemon("regd", "-n", "-v", config=once.out)
    assert again.status == 0 and again.out == once.out
    derived = run_daemon("regd", "-n", "-v", config=None)
    assert "192.168.120.101:5000" in derived.out and "127.0.0.1:5000" in derived.out


@pytest.mark.parametrize("config, says", [
    ({"tls": {"certificate": "/x"}}, "belong together"),
    ({"auth": {"rules": [{"users": ["a"], "allow": ["fly"]}]}}, "pull, push, delete"),
    ({"tls": "maybe"}, "neither a table"),
    ({"storage": {"rot": "/x"}}, 'did you mean "root"'),
])
def test_bad_settings(config, says):
    got = run_daemon("regd", "-n", config=config)
    assert got.status == 1 and says in got.err


def test_reload_binds_and_lets_go(daemon):
    reg = Registry(daemon)
    with reg.client() as c:
        d = c.push_blob("a", b"x")
    other = free_port()
    before = reg.port
    reg.d.reload({**reg.config, "listen": [f"127.0.0.1:{other}"]})
    with Client(other) as c:
        assert c("HEAD", f"/v2/a/blobs/{d}").status == 200
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", before))
    reg.d.reload({**reg.config, "auth": {"htpasswd": "/none"}})
    reg.d.log_contains("configuration kept as it was")
    with Client(other) as c:
        assert c("HEAD", f"/v2/a/blobs/{d}").status == 200


def test_read_only(daemon):
    reg = Registry(daemon, read_only=True)
    with reg.client() as c:
        a = c("POST", "/v2/a/blobs/uploads/", b"")
        assert a.status == 405 and a.code == "UNSUPPORTED"
        assert c("GET", "/v2/_catalog").status == 200


def test_status_and_metrics(reg, c):
    c.push("a", "x", Image())
    status = reg.d.status()["regd"]
    assert status["repositories"] == 1 and status["tags"] == 1 and status["blobs"] == 2
    metrics = reg.d.metrics()
    assert metrics["okd_regd_blob_pushes_total"] == 2
    assert metrics["okd_regd_manifest_pushes_total"] == 1
    assert metrics["okd_regd_db_commits_total"] >= 3
