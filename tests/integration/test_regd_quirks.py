"""okd-regd: what each client sends and relies on, as exact requests; one test for each
habit.  The clients that Debian has are in test_regd_clients.py."""

import email.parser
import email.policy
import json
import os
import re
import socket
import ssl
import subprocess

import pytest

import test_regd_import
from harness import wait_until
from regd import (EMPTY, INDEX, LIST2, MANIFEST, SCHEMA2, Client, Image, Registry, chunks,
                  descriptor, digest)
from regd_tools import make_short_path, make_tool, need, podman, skopeo
from test_regd_import import import_folder, push_to_peer

FIXTURES = (make_tool, make_short_path)  # pytest finds them in this module
peer = test_regd_import.peer  # the fixture

SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
# What the Go clients accept of a manifest, in their order.
ACCEPT = ", ".join((SCHEMA2, LIST2, MANIFEST, INDEX, SCHEMA1, "*/*"))
NOWHERE = "sha256:" + "0" * 64


@pytest.fixture
def reg(daemon):
    return Registry(daemon, tls=True)


@pytest.fixture
def c(reg):
    with reg.client() as client:
        yield client


@pytest.fixture
def plain(daemon):
    return Registry(daemon)


# --- oc --------------------------------------------------------------------------------


def test_oc_a_schema_1_manifest_is_kept_as_it_was_pushed(c):
    d = c.push_blob("openshift/okd", b"layer")
    body = json.dumps({"schemaVersion": 1, "name": "openshift/okd", "tag": "old",
                       "fsLayers": [{"blobSum": d}], "history": [{"v1Compatibility": "{}"}],
                       "signatures": [{"header": {}, "signature": "x", "protected": "y"}]},
                      indent=3).encode()
    a = c.push_manifest("openshift/okd", "old", body, SCHEMA1)
    assert a.headers["Docker-Content-Digest"] == digest(body)
    a = c("GET", "/v2/openshift/okd/manifests/old", Accept=ACCEPT)
    assert a.body == body and a.headers["Content-Type"] == SCHEMA1
    c.push_manifest("openshift/okd", "list", json.dumps(
        {"schemaVersion": 2, "mediaType": LIST2, "manifests": [
            descriptor(body, SCHEMA1)]}).encode(), LIST2)
    assert c("HEAD", "/v2/openshift/okd/manifests/list").headers["Content-Type"] == LIST2


def test_oc_converts_to_schema_1_on_one_code_alone(daemon):
    """At MANIFEST_INVALID oc pushes schema 1 instead, so nothing else may say so."""
    reg = Registry(daemon, users={"admin": "admin", "few": "few"}, auth={"rules": [
        {"users": ["admin"], "allow": ["pull", "push", "delete"]},
        {"users": ["few"], "allow": ["pull"]}]})
    image = Image(manifest_type=SCHEMA2)

    def put(c, ref, body):
        a = c("PUT", f"/v2/a/manifests/{ref}", body, Content_Type=SCHEMA2)
        return a.status, a.code

    with reg.client() as c, reg.client("few", "few") as few:
        assert put(c, "x", image.manifest) == (400, "MANIFEST_BLOB_UNKNOWN")
        c.push("a", "x", image)
        assert put(c, NOWHERE, image.manifest) == (400, "DIGEST_INVALID")
        assert put(c, "-x", image.manifest) == (400, "TAG_INVALID")
        assert put(few, "x", image.manifest) == (403, "DENIED")
        reg.d.admin("/v1/read-only", "POST")
        assert put(c, "x", image.manifest) == (405, "UNSUPPORTED")
        reg.d.admin("/v1/read-only?on=0", "POST")
        assert put(c, "x", b"{") == (400, "MANIFEST_INVALID")


def test_oc_cancels_what_is_finished_and_nobody_is_alarmed(c, reg):
    c.push("openshift/okd", "x", Image(manifest_type=SCHEMA2))  # three DELETEs that get 404
    assert c("GET", "/v2/").status == 200
    metrics = reg.d.metrics()
    assert metrics['okd_regd_http_replies_total{class="4xx"}'] >= 2
    assert metrics['okd_regd_http_replies_total{class="5xx"}'] == 0
    assert not re.search(r"<[0-4]>|error|warning", reg.d.log, re.I), reg.d.log


def test_oc_twelve_connections_that_stay_open(plain):
    """A connection is kept through pushes, refusals and pulls alike."""
    clients = [plain.client() for _ in range(12)]
    for i, c in enumerate(clients):
        assert c("GET", "/v2/").status == 200
        c.socket = c.c.sock
        c.push("a", f"t{i}", Image({"f": b"%d" % i}))
        assert c("GET", f"/v2/a/manifests/{NOWHERE}", Accept=ACCEPT).status == 404
        assert c("POST", "/v2/A/blobs/uploads/", b"").status == 400
    for i, c in enumerate(clients):
        c.expect_whole("a", f"t{i}", Image({"f": b"%d" % i}))
        assert c.c.sock is c.socket
        c.c.close()


# --- containers/image: skopeo, podman, buildah, CRI-O -----------------------------------


def parts_of(answer):
    """The bodies of a multipart reply by their Content-Range, as Go's reader takes it."""
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode("ascii")
    whole = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + answer.body)
    assert whole.is_multipart() and not whole.defects, whole.defects
    return {p["Content-Range"]: p.get_payload(decode=True) for p in whole.iter_parts()}


def test_containers_image_fetches_chunks_of_zstd(c):
    """Partial pulls ask for many ranges at once: all of them, or the whole blob."""
    data = bytes(os.urandom(1 << 16))
    url = f"/v2/a/blobs/{c.push_blob('a', data)}"

    def ask(n):
        """With numbers as long as those of a layer of gigabytes."""
        ranges = [(i * 60, i * 60 + 9) for i in range(n)]
        a = c("GET", url, Range="bytes=" + ",".join(f"{f:010}-{t:010}" for f, t in ranges))
        return a, {f"bytes {f}-{t}/{len(data)}": data[f:t + 1] for f, t in ranges}

    for n in (2, 30, 1024):
        a, parts = ask(n)
        assert a.status == 206 and list(parts_of(a).items()) == list(parts.items())
    a, _ = ask(1025)
    assert a.status == 200 and a.body == data
    # Never more than the blob.
    a = c("GET", url, Range="bytes=" + ",".join(["0-65"] * 1024))
    assert a.status == 200 and a.body == data


def test_containers_image_goes_on_after_a_broken_body(c):
    data = os.urandom(5000)
    url = f"/v2/a/blobs/{c.push_blob('a', data)}"
    for first in (0, 1, 4999):
        a = c("GET", url, Range=f"bytes={first}-", Docker_Distribution_Api_Version="x")
        assert a.status == 206 and a.body == data[first:]
        assert a.headers["Content-Range"] == f"bytes {first}-4999/5000"
        assert a.headers["Content-Length"] == str(5000 - first)


def test_containers_image_cancels_a_mount_that_did_not_work(c, reg):
    """Exactly 201 or 202, and the session of the latter is cancelled."""
    d = c.push_blob("one", b"shared")
    a = c("POST", f"/v2/two/blobs/uploads/?from=one&mount={d.replace(':', '%3A')}", b"")
    assert a.status == 201
    a = c("POST", f"/v2/two/blobs/uploads/?from=one&mount={NOWHERE}", b"")
    assert a.status == 202 and len(reg.uploads()) == 1
    assert c("DELETE", a.headers["Location"]).status == 204
    assert reg.uploads() == []


def test_containers_image_is_told_of_no_signature_extension(daemon, peer):
    """What an OpenShift registry offers at /extensions/v2 is announced by a header, and is
    not here: the same answers as the registry:2 that is replaced."""
    port, _ = peer
    reg = Registry(daemon)
    with reg.client() as c, Client(port, user=None) as old:
        c.push("a", "x", Image())
        for method in ("GET", "PUT"):
            path = f"/extensions/v2/a/signatures/{Image().digest}"
            body = [b"{}"] if method == "PUT" else []
            a = c(method, path, *body)
            assert a.status == old(method, path, *body).status == 404 and a.code
        for path in ("/v1/_ping", "/v1/search?q=a", "/v2/_oci/ext/discover"):
            assert c("GET", path).status == 404
        assert "X-Registry-Supports-Signatures" not in c("GET", "/v2/").headers


def test_skopeo_compresses_as_it_pushes(reg, tool):
    """The length is unknown then: chunked bodies."""
    image = Image({"bin/app": os.urandom(300000)})
    image.write_layout(tool.dir / "in")
    where = f"docker://localhost:{reg.port}/a"
    for form in ("gzip", "zstd"):
        skopeo(tool, "copy", "--dest-compress-format", form, "--dest-cert-dir", tool.certs,
               f"oci:{tool.dir}/in:v1", f"{where}:{form}")
    skopeo(tool, "sync", "--src", "docker", "--dest", "dir", "--src-cert-dir", tool.certs,
           f"localhost:{reg.port}/a", tool.dir)
    assert sorted(os.listdir(tool.dir / "a:gzip")) == sorted(os.listdir(tool.dir / "a:zstd"))


def test_skopeo_writes_every_architecture_to_a_layout(daemon, reg, tool):
    """The images of an index lie among the blobs there, and index.json names it alone."""
    children = [Image({"arch": name.encode()}) for name in ("amd64", "arm64")]
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        descriptor(children[0].manifest, MANIFEST,
                   platform={"os": "linux", "architecture": "amd64"}),
        descriptor(children[1].manifest, MANIFEST,
                   platform={"os": "linux", "architecture": "arm64"})]}).encode()
    with reg.client() as c:
        for child in children:
            c.push("multi", child.digest, child)
        c.push_manifest("multi", "v1", index, INDEX)
    skopeo(tool, "copy", "--all", "--src-cert-dir", tool.certs,
           f"docker://localhost:{reg.port}/multi:v1", f"oci:{tool.dir}/out:v1")
    imported = Registry(daemon)
    assert import_folder(imported, tool.dir / "out", "a/b")["failed"] == []
    # Its folder is gone before the end, and looks like another descriptor then.
    overlaid = Registry(daemon, check_fds=False, overlays=[
        {"path": str(tool.dir / "out"), "repository": "a/b"}])
    for other in (imported, overlaid):
        with other.client() as c:
            assert c("GET", "/v2/a/b/manifests/v1").body == index
            for child in children:
                c.expect_whole("a/b", child.digest, child)


def test_podman_pushes_lists_and_searches(reg, tool):
    image = Image({"bin/app": b"app" * 1000})
    host = f"localhost:{reg.port}"
    with reg.client() as c:
        c.push("many/one", "v1", image)
    certs = ("--cert-dir", tool.certs)
    pull = ("pull", "-q", *certs, "--signature-policy", tool.policy)
    podman(tool, *pull, f"{host}/many/one:v1")
    podman(tool, "manifest", "create", "list", f"containers-storage:{host}/many/one:v1")
    podman(tool, "manifest", "push", "--all", *certs, "list", f"docker://{host}/many/all:v1")
    podman(tool, "push", "-q", *certs, "--compression-format", "zstd:chunked",
           f"{host}/many/one:v1", f"{host}/many/zstd:v1")
    podman(tool, "rmi", "-a", "-f")
    podman(tool, *pull, f"{host}/many/zstd:v1")
    with reg.client() as c:
        index = c("GET", "/v2/many/all/manifests/v1", Accept=ACCEPT).json()
        assert len(index["manifests"]) == 1
    found = podman(tool, "search", "--tls-verify=false", f"{host}/many")
    assert f"{host}/many/one" in found and f"{host}/many/all" in found


# --- containerd ------------------------------------------------------------------------


def test_containerd_pushes_in_one_piece_and_pulls_by_ranges(c):
    data = os.urandom(200000)
    d = digest(data)
    a = c("HEAD", f"/v2/a/blobs/{d}", Accept="application/vnd.oci.image.layer.v1.tar+gzip, */*")
    assert a.status == 404 and a.body == b""
    a = c("POST", "/v2/a/blobs/uploads/?ns=registry.example.com", b"")
    assert a.status == 202
    a = c("PUT", f"{a.headers['Location']}?digest={d.replace(':', '%3A')}", data,
          Content_Type="application/octet-stream")
    assert a.status == 201 and a.headers["Docker-Content-Digest"] == d
    url = f"/v2/a/blobs/{d}?ns=registry.example.com"
    a = c("GET", url, Accept_Encoding="zstd;q=1.0, gzip;q=0.8, deflate;q=0.5")
    assert a.body == data and "Content-Encoding" not in a.headers
    parts = [c("GET", url, Range=f"bytes={i}-{i + 49999}") for i in range(0, 200000, 50000)]
    assert [p.status for p in parts] == [206] * 4
    assert b"".join(p.body for p in parts) == data
    image = Image()
    for blob in image.blobs:
        c.push_blob("a", blob)
    for ref in ("v1", image.digest):
        a = c("PUT", f"/v2/a/manifests/{ref}?ns=registry.example.com", image.manifest,
              Content_Type=image.type)
        assert a.status == 201 and a.headers["Docker-Content-Digest"] == image.digest
        a = c("HEAD", f"/v2/a/manifests/{ref}?ns=registry.example.com",
              Accept=f"{image.type}, */*")
        assert a.status == 200 and a.headers["Content-Type"] == image.type
        assert int(a.headers["Content-Length"]) == len(image.manifest)


def test_containerd_asks_for_tokens_by_post_first(daemon):
    """OAuth's form; at 404, 405 or 401 it asks by GET, as docker always does."""
    reg = Registry(daemon, auth={"challenge": "bearer"})
    form = ("grant_type=password&service=okd-regd&client_id=containerd-client"
            "&scope=repository%3Aa%3Apull&username=admin&password=admin")
    with reg.client(user=None) as c:
        a = c("POST", "/token", form.encode(),
              Content_Type="application/x-www-form-urlencoded; charset=utf-8")
        assert a.status == 405 and "GET" in a.headers["Allow"]
    with reg.client() as c:
        a = c("GET", "/token?account=admin&client_id=docker&offline_token=true"
              "&service=okd-regd&scope=repository%3Aa%3Apull%2Cpush")
        assert a.status == 200 and a.json()["token"]
    assert "password=admin" not in reg.d.log


# --- docker ----------------------------------------------------------------------------


def test_docker_mounts_and_learns_the_scheme_from_the_base(c, reg):
    with reg.client(user=None) as nobody:
        a = nobody("GET", "/v2/")
        assert a.status == 401 and a.headers["WWW-Authenticate"] == 'Basic realm="okd-regd"'
        assert a.headers["Docker-Distribution-API-Version"] == "registry/2.0"
    image = Image(manifest_type=SCHEMA2)
    c.push("one", "v1", image)
    for blob in image.blobs:
        d = digest(blob).replace(":", "%3A")
        a = c("POST", f"/v2/two/blobs/uploads/?from=one&mount={d}", b"")
        assert a.status == 201 and a.headers["Location"] == f"/v2/two/blobs/{digest(blob)}"
    c.push_manifest("two", "v1", image.manifest, SCHEMA2)
    a = c("HEAD", "/v2/two/manifests/v1", Accept=ACCEPT)
    assert a.headers["Docker-Content-Digest"] == image.digest


# --- crane, oras, regctl ---------------------------------------------------------------


def test_crane_pushes_with_types_of_its_own(c):
    data = os.urandom(70000)
    assert c("HEAD", f"/v2/a/blobs/{digest(data)}").status == 404
    a = c("POST", f"/v2/a/blobs/uploads/?mount={digest(data)}&from=b&origin=r.example.com", b"",
          Content_Type="application/json")
    assert a.status == 202 and a.headers["Location"].startswith("/v2/a/")
    assert "OCI-Chunk-Min-Length" not in a.headers
    a = c("PATCH", a.headers["Location"], data)  # with Content-Length, without a type
    assert a.status == 202 and a.headers["Range"] == f"0-{len(data) - 1}"
    a = c("PUT", f"{a.headers['Location']}?digest={digest(data)}")
    assert a.status == 201


def test_oras_pushes_whole_and_asks_for_referrers(c):
    base = Image()
    c.push("a", "v1", base)
    blob = b"{}"
    where = c.start("a")
    a = c("PUT", f"{where}?digest={digest(blob).replace(':', '%3A')}", blob,
          Content_Type="application/octet-stream")
    assert a.status == 201
    artifact = json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x",
        "config": descriptor(blob, "application/vnd.oci.empty.v1+json"),
        "layers": [descriptor(blob, "application/vnd.oci.empty.v1+json")],
        "subject": descriptor(base.manifest, MANIFEST)}).encode()
    a = c.push_manifest("a", digest(artifact), artifact)
    assert a.headers["OCI-Subject"] == base.digest  # else it writes the fallback tag
    a = c("GET", f"/v2/a/referrers/{base.digest.replace(':', '%3A')}?artifactType=application%2Fx",
          Accept=INDEX)
    assert a.headers["Content-Type"] == INDEX
    assert a.headers["OCI-Filters-Applied"] == "artifactType"
    assert [m["digest"] for m in a.json()["manifests"]] == [digest(artifact)]
    # Its probe whether the API is there at all.
    assert c("GET", f"/v2/none/referrers/{NOWHERE}").status == 200


def test_regctl_goes_from_one_piece_to_chunks_on_the_same_url(plain):
    data = os.urandom(30000)
    d = digest(data)
    with plain.client() as c:
        a = c("POST", f"/v2/a/blobs/uploads/?mount={d}", b"")  # from nowhere in particular
        assert a.status == 202
        where = f"{a.headers['Location']}?digest={d.replace(':', '%3A')}"
        head = (f"PUT {where} HTTP/1.1\r\nHost: x\r\nAuthorization: "
                f"{c.headers['Authorization']}\r\nContent-Length: 30000\r\n\r\n").encode()
        with socket.create_connection(("127.0.0.1", plain.port)) as s:  # it breaks off
            s.sendall(head + data[:10000])
            wait_until(lambda: c("GET", where).headers["Range"] == "0-9999")
        # From the start: no, but from here.
        a = c("PATCH", where, data[:5000], Content_Range="0-4999")
        assert a.status == 416 and a.headers["Range"] == "0-9999"
        a = c("PATCH", f"{a.headers['Location']}?digest={d}", data[10000:20000],
              Content_Range="10000-19999", Content_Type="application/octet-stream")
        assert a.status == 202 and a.headers["Range"] == "0-19999"
        a = c("PUT", where, data[20000:], Content_Range="20000-29999")
        assert a.status == 201
        assert c("GET", f"/v2/a/blobs/{d}").body == data
        more = digest(data, "sha512")
        where = c.start("a", "?digest-algorithm=sha512")
        assert c("PUT", f"{where}?digest={more}", data).status == 201


# --- all of them -----------------------------------------------------------------------


def test_every_body_in_chunks_and_without_a_type(c):
    image = Image({"f": os.urandom(100000)})
    packed, config = image.layers[0], image.config
    a = c("POST", f"/v2/a/blobs/uploads/?digest={digest(config)}", chunks(config, 100))
    assert a.status == 201
    where = c.start("a")
    a = c("PATCH", where, chunks(packed[:50000], 999))
    assert a.status == 202 and a.headers["Range"] == "0-49999"
    a = c("PUT", f"{where}?digest={digest(packed)}", chunks(packed[50000:], 999))
    assert a.status == 201
    a = c("PUT", "/v2/a/manifests/v1", chunks(image.manifest, 50))
    assert a.status == 201
    c.expect_whole("a", "v1", image)  # the type is the one that the manifest names
    assert c.push_blob("a", b"") == EMPTY


def test_percent_signs_wherever_a_digest_stands(c):
    image = Image()
    c.push("a/b", "v1", image)
    coded = image.digest.replace(":", "%3a")
    for path in (f"/v2/a/b/manifests/{coded}", f"/v2/a%2Fb/manifests/{coded}",
                 f"/v2/a/b/blobs/{digest(image.config).replace(':', '%3A')}",
                 f"/v2/a/b/referrers/{coded}"):
        assert c("GET", path).status == 200, path
    a = c("PUT", f"/v2/a/b/manifests/{coded}", image.manifest, Content_Type=image.type)
    assert a.status == 201 and a.headers["Location"].endswith(image.digest)
    assert c("DELETE", f"/v2/a/b/manifests/{coded}").status == 202


def test_locations_are_relative_and_every_answer_names_the_version(c, reg):
    """Whatever TLS proxy or port stands before it; also where it refuses."""
    image = Image()
    c.push("a", "v1", image)
    where = c.start("a")
    answers = [c("GET", where), c("PATCH", where, b"x"),
               c("PATCH", where, b"x", Content_Range="9-9"),
               c("POST", f"/v2/b/blobs/uploads/?mount={digest(image.config)}&from=a", b""),
               c("PUT", "/v2/a/manifests/v2", image.manifest, Content_Type=image.type),
               c("PUT", f"{where}?digest={digest(b'x')}", b"")]
    assert [a.status for a in answers] == [204, 202, 416, 201, 201, 201]
    for a in answers:
        assert a.headers["Location"].startswith("/v2/"), a
    answers += [c("GET", p) for p in ("/v2/", "/v2/none/manifests/x", "/v2/a/tags/list",
                                      "/v2/_catalog", "/nothing", f"/v2/a/blobs/{NOWHERE}")]
    answers.append(c("POST", "/v2/a/manifests/v1", b""))
    with reg.client(password="wrong") as nobody:
        answers.append(nobody("GET", "/v2/"))
    assert {a.status for a in answers} >= {200, 401, 404, 405}
    for a in answers:
        assert a.headers["Docker-Distribution-API-Version"] == "registry/2.0", a


def test_head_says_what_get_would(c):
    image = Image()
    c.push("a", "v1", image)
    for path in ("/v2/", "/v2/_catalog", "/v2/a/tags/list", "/v2/a/manifests/v1",
                 f"/v2/a/manifests/{image.digest}", f"/v2/a/blobs/{digest(image.config)}",
                 f"/v2/a/referrers/{image.digest}", "/v2/a/manifests/none",
                 f"/v2/a/blobs/{NOWHERE}", "/v2/A/manifests/v1"):
        get, head = c("GET", path), c("HEAD", path)
        assert head.status == get.status and head.body == b"", path
        for name in ("Content-Length", "Content-Type", "Docker-Content-Digest", "ETag"):
            assert head.headers[name] == get.headers[name], (path, name)
        assert get.headers["Content-Length"] == str(len(get.body))


@pytest.mark.parametrize("repo", ["blobs", "manifests/tags", "a/blobs/uploads", "uploads/blobs",
                                  "tags/list", "referrers/x", "v2", "a/manifests/b",
                                  "token", "a" * 255])
def test_names_made_of_the_words_of_the_api(c, repo):
    image = Image()
    c.push(repo, "list", image)
    c.expect_whole(repo, "list", image)
    assert c("GET", f"/v2/{repo}/tags/list").json() == {"name": repo, "tags": ["list"]}
    assert c("GET", f"/v2/{repo}/referrers/{image.digest}").json()["manifests"] == []
    assert c("DELETE", f"/v2/{repo}/manifests/list").status == 202


def test_go_falls_back_from_http_2(c, reg):
    context = ssl.create_default_context(cafile=reg.ca)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with context.wrap_socket(socket.create_connection(("localhost", reg.port)),
                             server_hostname="localhost") as s:
        assert s.selected_alpn_protocol() in (None, "http/1.1")
        s.sendall(f"GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: "
                  f"{c.headers['Authorization']}\r\n\r\n".encode())
        assert s.recv(100).startswith(b"HTTP/1.1 200 ")


def test_curl_waits_for_100_continue_and_pushes(c, reg, tmp_path):
    need("curl")
    data = os.urandom(3_000_000)
    (tmp_path / "blob").write_bytes(data)
    where = c.start("a")
    p = subprocess.run(
        ["curl", "-sS", "-v", "--fail", "--cacert", reg.ca, "-u", "admin:admin", "-T",
         tmp_path / "blob", "-H", "Expect: 100-continue",
         f"https://localhost:{reg.port}{where}?digest={digest(data)}"],
        capture_output=True, text=True, check=False)
    assert p.returncode == 0, p.stderr
    assert "HTTP/1.1 100 Continue" in p.stderr and "HTTP/1.1 201 " in p.stderr
    assert c("HEAD", f"/v2/a/blobs/{digest(data)}").status == 200


# --- referrers -------------------------------------------------------------------------


def test_referrers_by_pages(c):
    """As many as fit into 3 MiB or so, then a Link that keeps the filter."""
    base = Image()
    c.push("a", "v1", base)
    blob = c.push_blob("a", b"{}")
    pushed = set()
    for i in range(12):
        body = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/x+y",
            "config": {"mediaType": "x/y", "digest": blob, "size": 2}, "layers": [],
            "annotations": {"n": str(i), "long": "x" * 600_000},
            "subject": descriptor(base.manifest, MANIFEST)}).encode()
        c.push_manifest("a", digest(body), body)
        pushed.add(digest(body))
    path = f"/v2/a/referrers/{base.digest}?artifactType=application%2Fx%2By"
    found, pages = [], 0
    while path:
        a = c("GET", path)
        assert a.status == 200 and len(a.body) < 4 << 20
        assert a.headers["OCI-Filters-Applied"] == "artifactType"
        found += [m["digest"] for m in a.json()["manifests"]]
        pages += 1
        link = a.headers["Link"]
        path = re.match(r'<([^>]+)>; rel="next"$', link).group(1) if link else None
    assert pages > 1 and found == sorted(pushed)


def test_annotations_that_are_no_texts_spoil_no_list(c):
    """Clients read the list as one: an odd one in it would hide all the others."""
    base = Image()
    c.push("a", "v1", base)
    odd = Image({"f": b"odd"}, subject=descriptor(base.manifest, MANIFEST),
                annotations={"good": "yes", "bad": {"x": 1}, "n": 3, "null": None})
    all_odd = Image({"f": b"all"}, subject=descriptor(base.manifest, MANIFEST),
                    annotations={"bad": []})
    for image in (odd, all_odd):
        c.push("a", image.digest, image)
        c.expect_whole("a", image.digest, image)
    found = {m["digest"]: m.get("annotations")
             for m in c("GET", f"/v2/a/referrers/{base.digest}").json()["manifests"]}
    assert found == {odd.digest: {"good": "yes"}, all_odd.digest: None}


def test_referrers_of_a_registry_that_had_none(daemon, peer):
    """registry:2 has no such API, so that clients kept lists under fallback tags: what they
    name is in the list after an import, and the tag is there as well."""
    port, data = peer
    base = Image({"f": b"base"})
    sign = Image({"f": b"sig"}, subject=descriptor(base.manifest, MANIFEST),
                 artifactType="application/sig", annotations={"who": "me"})
    fallback = base.digest.replace(":", "-")
    entry = descriptor(sign.manifest, MANIFEST, artifactType="application/sig",
                       annotations={"who": "me"})
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()
    push_to_peer(port, "a", "v1", base)
    push_to_peer(port, "a", sign.digest, sign)
    with Client(port, user=None) as c:
        c.push_manifest("a", fallback, index, INDEX)
    imported = Registry(daemon)
    assert import_folder(imported, data)["failed"] == []
    overlaid = Registry(daemon, overlays=[{"path": str(data)}])
    for reg in (imported, overlaid):
        with reg.client() as c:
            a = c("GET", f"/v2/a/referrers/{base.digest}")
            assert a.json()["manifests"] == [entry], a
            assert c("GET", f"/v2/a/manifests/{fallback}").body == index
