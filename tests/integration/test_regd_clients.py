"""okd-regd under the clients that people use: skopeo, podman, buildah, curl, and the
requests of `oc adm release mirror`."""

import json
import os
import queue
import signal
import socket
import ssl
import subprocess
import threading

import pytest

from harness import wait_until
from regd import (INDEX, MANIFEST, SCHEMA2, Image, Registry, chunks, descriptor, digest,
                  layer)
from regd_tools import make_short_path, make_tool, need, podman, skopeo
from variant import NAME

FIXTURES = (make_tool, make_short_path)  # pytest finds them in this module


@pytest.fixture
def reg(daemon, request):
    return Registry(daemon, tls=True, auth=getattr(request, "param", {}))


def test_skopeo_copies_there_and_back(reg, tool):
    image = Image({"bin/app": os.urandom(100000)})
    image.write_layout(tool.dir / "in")
    where = f"docker://localhost:{reg.port}/openshift/okd"
    skopeo(tool, "copy", "--dest-cert-dir", tool.certs, f"oci:{tool.dir}/in:v1", f"{where}:v1")
    with reg.client() as c:
        c.expect_whole("openshift/okd", "v1", image)
    seen = json.loads(skopeo(tool, "inspect", "--cert-dir", tool.certs, f"{where}:v1"))
    assert seen["Digest"] == image.digest and seen["RepoTags"] == ["v1"]
    skopeo(tool, "copy", "--src-cert-dir", tool.certs, f"{where}@{image.digest}",
           f"oci:{tool.dir}/out:v1")
    with open(tool.dir / "out" / "index.json", encoding="utf-8") as f:
        assert json.load(f)["manifests"][0]["digest"] == image.digest
    # Between two repositories of one registry the layers are mounted.
    skopeo(tool, "copy", "--src-cert-dir", tool.certs, "--dest-cert-dir", tool.certs,
           f"{where}:v1", f"docker://localhost:{reg.port}/other/okd:v1")
    tags = json.loads(skopeo(tool, "list-tags", "--cert-dir", tool.certs, where))
    assert tags["Tags"] == ["v1"]
    skopeo(tool, "delete", "--cert-dir", tool.certs, f"{where}:v1")
    said = skopeo(tool, "inspect", "--cert-dir", tool.certs, f"{where}:v1", fails=True)
    assert "manifest unknown" in said


def test_skopeo_copies_schema_2_and_every_architecture(reg, tool):
    children = [Image({"arch": name.encode()}) for name in ("amd64", "arm64")]
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        descriptor(i.manifest, MANIFEST, platform={"os": "linux", "architecture": a})
        for i, a in zip(children, ("amd64", "arm64"))]}).encode()
    with reg.client() as c:
        for child in children:
            c.push("multi", child.digest, child)
        c.push_manifest("multi", "v1", index, INDEX)
    base = f"docker://localhost:{reg.port}"
    skopeo(tool, "copy", "--all", "--src-cert-dir", tool.certs, "--dest-cert-dir", tool.certs,
           f"{base}/multi:v1", f"{base}/copy:v1")
    with reg.client() as c:
        a = c("GET", "/v2/copy/manifests/v1")
        assert a.body == index and a.headers["Content-Type"] == INDEX
        for child in children:
            c.expect_whole("copy", child.digest, child)
    skopeo(tool, "copy", "--format", "v2s2", "--src-cert-dir", tool.certs, "--dest-cert-dir",
           tool.certs, f"{base}/multi@{children[0].digest}", f"{base}/docker:v1")
    with reg.client() as c:
        assert c("HEAD", "/v2/docker/manifests/v1").headers["Content-Type"] == SCHEMA2


def test_wrong_credentials_are_understood(reg, tool):
    said = skopeo(tool, "inspect", "--creds", "admin:wrong", "--cert-dir", tool.certs,
                  f"docker://localhost:{reg.port}/a:x", fails=True)
    assert "unauthorized" in said or "authentication required" in said


@pytest.mark.parametrize("reg", [{"anonymous_pull": True, "challenge": challenge}
                                 for challenge in ("basic", "bearer")],
                         indirect=True, ids=("basic", "bearer"))
def test_what_is_free_needs_no_password(reg, tool):
    """And yet the registry has asked for one, at /v2/, where all of them begin."""
    image = Image({"bin/app": b"app" * 1000})
    with reg.client() as c:
        c.push("okd", "v1", image)
    image.write_layout(tool.dir / "in")
    (tool.dir / "auth.json").write_text("{}")
    where = f"docker://localhost:{reg.port}/okd"
    seen = json.loads(skopeo(tool, "inspect", "--cert-dir", tool.certs, f"{where}:v1"))
    assert seen["Digest"] == image.digest
    podman(tool, "pull", "-q", "--cert-dir", tool.certs, "--signature-policy", tool.policy,
           f"localhost:{reg.port}/okd@{image.digest}")
    said = skopeo(tool, "copy", "--dest-cert-dir", tool.certs, f"oci:{tool.dir}/in:v1",
                  f"{where}:v2", fails=True)
    assert "authentication is required" in said or "authentication required" in said
    with reg.client() as c:
        assert c("GET", "/v2/okd/tags/list").json()["tags"] == ["v1"]


def test_podman_pulls_by_digest_through_a_mirror(reg, tool):
    image = Image({"bin/app": b"app" * 1000})
    with reg.client() as c:
        c.push("openshift/okd", "v1", image)
    tool.registries.write_text(
        '[[registry]]\nprefix = "quay.invalid/openshift/okd"\n'
        'location = "quay.invalid/openshift/okd"\nmirror-by-digest-only = true\n'
        f'[[registry.mirror]]\nlocation = "localhost:{reg.port}/openshift/okd"\n')
    pull = ("pull", "-q", "--cert-dir", tool.certs, "--signature-policy", tool.policy)
    podman(tool, *pull, f"quay.invalid/openshift/okd@{image.digest}")
    podman(tool, *pull, f"localhost:{reg.port}/openshift/okd:v1")
    podman(tool, "push", "-q", "--cert-dir", tool.certs,
           f"localhost:{reg.port}/openshift/okd:v1", f"localhost:{reg.port}/pushed/okd:v2")
    with reg.client() as c:
        assert c("GET", "/v2/pushed/okd/tags/list").json()["tags"] == ["v2"]


def test_buildah_builds_and_pushes(reg, tool):
    need("buildah")
    buildah = ("buildah", "--storage-driver", "vfs", "--root", tool.dir / "root", "--runroot",
               tool.dir / "runroot")
    name = tool(*buildah, "from", "scratch").strip()
    (tool.dir / "file").write_text("content")
    tool(*buildah, "copy", name, tool.dir / "file", "/file")
    tool(*buildah, "commit", "-q", "--signature-policy", tool.policy, name, "built")
    tool(*buildah, "push", "-q", "--cert-dir", tool.certs, "--signature-policy", tool.policy,
         "built", f"docker://localhost:{reg.port}/built/by:buildah")
    with reg.client() as c:
        assert c("GET", "/v2/built/by/tags/list").json()["tags"] == ["buildah"]


def test_the_check_of_the_guide(reg):
    out = subprocess.run(
        ["curl", "-s", "-u", "admin:admin", "-k", f"https://localhost:{reg.port}/v2/_catalog"],
        capture_output=True, text=True, check=True).stdout
    assert json.loads(out) == {"repositories": []}


# --- oc adm release mirror -------------------------------------------------------------


class Release:
    """A release of n images in one repository, each on a shared base layer."""

    def __init__(self, n):
        self.base = layer({"base": b"base" * 50000})[0]
        self.images = {}
        for i in range(n):
            image = Image({f"component{i}": os.urandom(2000 + i * 100)}, SCHEMA2)
            body = json.loads(image.manifest)
            body["layers"].insert(0, descriptor(self.base))
            image.layers.insert(0, self.base)
            image.manifest = json.dumps(body).encode()
            image.digest = digest(image.manifest)
            self.images[f"4.5.0-component{i}"] = image


def mirror(reg, release, repo):
    """Six connections at once, every blob by HEAD, POST, chunked PATCH, PUT, HEAD,
    DELETE; not one answer but the expected ones."""
    jobs = queue.Queue()
    for item in release.images.items():
        jobs.put(item)
    failures = []

    def work():
        try:
            with reg.client() as c:
                assert c("GET", "/v2/").status == 200
                while True:
                    tag, image = jobs.get_nowait()
                    a = c("GET", f"/v2/{repo}/manifests/{image.digest}")
                    assert a.status == 404 and a.code == "MANIFEST_UNKNOWN"
                    c.push(repo, tag, image)
        except queue.Empty:
            pass
        except BaseException as e:
            failures.append(e)
            raise

    threads = [threading.Thread(target=work) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


def test_a_release_of_110_images_is_mirrored(daemon):
    reg = Registry(daemon, tls=True)
    release = Release(110)
    mirror(reg, release, "openshift/okd")
    with reg.client() as c:
        tags = c("GET", "/v2/openshift/okd/tags/list").json()["tags"]
        assert tags == sorted(release.images)
        for tag, image in release.images.items():
            c.expect_whole("openshift/okd", tag, image)
    assert reg.uploads() == []
    metrics = reg.d.metrics()
    assert metrics['okd_regd_http_replies_total{class="5xx"}'] == 0
    assert metrics["okd_regd_auth_hashes_total"] == 1


def test_pushes_end_before_term_does(daemon):
    """oc does not retry: TERM waits for what is under way."""
    reg = Registry(daemon)
    data = os.urandom(2_000_000)
    going, finish = threading.Event(), threading.Event()
    result = []

    def slow_body():
        for part in chunks(data, 100_000):
            yield part
            going.set()
            finish.wait(10)

    def push():
        with reg.client() as c:
            where = c.start("a")
            result.append(c("PUT", f"{where}?digest={digest(data)}", slow_body()).status)

    t = threading.Thread(target=push)
    t.start()
    assert going.wait(10)
    reg.d.signal(signal.SIGTERM)
    reg.d.log_contains("stopping")
    finish.set()
    t.join()
    assert result == [201]
    reg.d.wait_exit(0)


# --- many slow ones --------------------------------------------------------------------


def rss(pid):
    """Resident memory that is the process's own, in MiB."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        found = dict(line.split(":", 1) for line in f if ":" in line)
    return int(found["Rss"].split()[0]) / 1024


def test_slow_clients_cost_little_memory_and_nobody_waits_for_them(daemon):
    """200 pulls over TLS that stall and 100 pushes that stall: 64 MiB, and the next
    client is served at once."""
    reg = Registry(daemon, tls=True)
    big = os.urandom(1 << 20) * 32
    auth = None
    with reg.client() as c:
        d = c.push_blob("a", big)
        auth = c.headers["Authorization"]
        sessions = [c.start("a") for _ in range(100)]
    context = ssl.create_default_context(cafile=reg.ca)
    stalled = []

    def open_one(head, body=b""):
        s = context.wrap_socket(socket.create_connection(("localhost", reg.port)),
                                server_hostname="localhost")
        s.sendall(f"{head} HTTP/1.1\r\nHost: x\r\nAuthorization: {auth}\r\n".encode() + body)
        stalled.append(s)
        return s

    for _ in range(200):
        s = open_one(f"GET /v2/a/blobs/{d}", b"\r\n")
        assert s.recv(20).startswith(b"HTTP/1.1 200 ")  # and no more
    for where in sessions:
        open_one(f"PATCH {where}", b"Content-Length: 1000000\r\n\r\n" + b"x" * 5000)
    with reg.client() as c:
        wait_until(lambda: c("GET", sessions[-1]).headers["Range"] == "0-4999")
        assert c("HEAD", f"/v2/a/blobs/{d}").status == 200
    assert reg.d.status()["regd"]["uploads"] == 100
    used = rss(reg.d.pid)
    for s in stalled:
        s.close()
    if NAME == "release":
        assert used <= 64, f"{used} MiB"
    with reg.client() as c:
        for where in sessions:
            wait_until(lambda w=where: c("DELETE", w).status == 204)
