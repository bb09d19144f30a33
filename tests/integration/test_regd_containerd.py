"""okd-regd under containerd, the client of nodes that do not run CRI-O."""

import json
import os
import subprocess
import types

import pytest

from harness import wait_until
from regd import INDEX, MANIFEST, Image, Registry, descriptor, digest
from regd_tools import make_short_path, need

FIXTURES = (make_short_path,)  # pytest finds it in this module

CONFIG = """\
version = 2
root = "{dir}/root"
state = "{dir}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "{dir}/sock"
"""


@pytest.fixture
def reg(daemon):
    return Registry(daemon, tls=True)


@pytest.fixture
def ctr(short_path):
    """A containerd of its own, which runs nothing, and ctr to it."""
    need("containerd")
    if os.geteuid() != 0:
        pytest.skip("containerd runs as root alone")
    config = short_path / "config.toml"
    config.write_text(CONFIG.format(dir=short_path))
    hosts = short_path / "hosts"

    def run(*args, fails=False):
        p = subprocess.run(["ctr", "-a", short_path / "sock", *args], capture_output=True,
                           text=True, check=False, stdin=subprocess.DEVNULL)
        assert (p.returncode != 0) == fails, f"{args}\n{p.stdout}\n{p.stderr}\n{log()}"
        return p.stdout + p.stderr

    def images(verb, *args, **kwargs):
        more = ["--snapshotter", "native"] if verb == "pull" else []
        return run("images", verb, *more, "--user", "admin:admin", "--hosts-dir", hosts,
                   *args, **kwargs)

    def host(name, text):
        (hosts / name).mkdir(parents=True)
        (hosts / name / "hosts.toml").write_text(text)

    def content(d):
        return subprocess.run(["ctr", "-a", short_path / "sock", "content", "get", d],
                              capture_output=True, check=True).stdout

    def log():
        return (short_path / "log").read_text()

    with open(short_path / "log", "w", encoding="utf-8") as out, subprocess.Popen(
            ["containerd", "-c", config], stdout=out, stderr=out) as p:
        try:
            wait_until(lambda: "successfully booted" in log() or p.poll() is not None,
                       timeout=30)
            assert p.poll() is None, log()
            yield types.SimpleNamespace(run=run, images=images, host=host, content=content)
        finally:
            p.terminate()


def expect_pulled(ctr, image):
    for blob in (image.manifest, *image.blobs):
        assert ctr.content(digest(blob)) == blob


def test_containerd_pulls_and_pushes(reg, ctr):
    """By tag and by digest, over TLS with the registry's own authority."""
    image, other = (Image({"bin/app": os.urandom(200000)}) for _ in range(2))
    here = f"localhost:{reg.port}"
    ctr.host(here.replace(":", "_") + "_", f"""\
server = "https://{here}"
ca = "{reg.ca}"
[host]
""")
    with reg.client() as c:
        c.push("openshift/okd", "v1", image)
        c.push("openshift/okd", other.digest, other)
    ctr.images("pull", f"{here}/openshift/okd:v1")
    ctr.images("pull", f"{here}/openshift/okd@{other.digest}")
    expect_pulled(ctr, image)
    expect_pulled(ctr, other)
    ctr.images("push", f"{here}/pushed/by-tag:v2", f"{here}/openshift/okd:v1")
    with reg.client() as c:
        c.expect_whole("pushed/by-tag", "v2", image)
    said = ctr.images("pull", f"{here}/openshift/okd:none", fails=True)
    assert "not found" in said


def test_containerd_takes_it_for_a_mirror(reg, ctr):
    """As a mirror of quay.io it is asked with ns=, and nobody else is."""
    children = [Image({"arch": name.encode()}) for name in ("amd64", "arm64")]
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        descriptor(i.manifest, MANIFEST, platform={"os": "linux", "architecture": a})
        for i, a in zip(children, ("amd64", "arm64"))]}).encode()
    with reg.client() as c:
        for child in children:
            c.push("openshift/okd", child.digest, child)
        c.push_manifest("openshift/okd", "v1", index, INDEX)
    ctr.host("quay.io", f"""\
server = "https://127.0.0.1:9"
[host."https://localhost:{reg.port}"]
capabilities = ["pull", "resolve"]
ca = "{reg.ca}"
""")
    for reference in (":v1", f"@{digest(index)}"):
        since = reg.d.log_position()
        ctr.images("pull", "--all-platforms", f"quay.io/openshift/okd{reference}")
        reg.d.log_contains("ns=quay.io", since=since)
    assert ctr.content(digest(index)) == index
    for child in children:
        expect_pulled(ctr, child)
