"""okd-regd: signatures that lie beside an image, under a tag made of its digest as cosign,
skopeo and podman have it, or as referrers: they travel, verify, and outlive collection."""

import base64
import json
import os

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from regd import INDEX, MANIFEST, Image, Registry, descriptor, digest
from regd_tools import make_short_path, make_tool, skopeo
from test_regd_gc import age, collect

FIXTURES = (make_tool, make_short_path)  # pytest finds them in this module


@pytest.fixture
def reg(daemon):
    return Registry(daemon, tls=True)


def tag_of(image):
    """Where a signature of the image lies."""
    return f"{image.digest.replace(':', '-')}.sig"


class Key:
    """A pair of keys; its signatures are those that `cosign sign --key` makes."""

    def __init__(self):
        self.private = ec.generate_private_key(ec.SECP256R1())

    def sign(self, image, name):
        """The manifest of a signature and its blobs."""
        payload = json.dumps({"critical": {
            "identity": {"docker-reference": name},
            "image": {"docker-manifest-digest": image.digest},
            "type": "cosign container image signature"}, "optional": {}}).encode()
        signature = base64.b64encode(self.private.sign(payload, ec.ECDSA(hashes.SHA256())))
        return signature_of(payload, signature.decode())

    def expect_signed(self, c, repo, image):
        """What lies beside the image is a signature of it by this key."""
        (layer,) = c("GET", f"/v2/{repo}/manifests/{tag_of(image)}").json()["layers"]
        payload = c("GET", f"/v2/{repo}/blobs/{layer['digest']}").body
        assert json.loads(payload)["critical"]["image"]["docker-manifest-digest"] == image.digest
        signature = layer["annotations"]["dev.cosignproject.cosign/signature"]
        self.private.public_key().verify(base64.b64decode(signature), payload,
                                         ec.ECDSA(hashes.SHA256()))


def signature_of(payload, signature="x", **more):
    """As cosign writes it; with a subject it is a referrer."""
    config = json.dumps({"architecture": "", "os": "", "config": {}, "rootfs": {
        "type": "layers", "diff_ids": [digest(payload)]}}).encode()
    body = json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [descriptor(payload, "application/vnd.dev.cosign.simplesigning.v1+json",
                              annotations={"dev.cosignproject.cosign/signature": signature})],
        **more}).encode()
    return config, payload, body


def push_signature(c, repo, ref, signature):
    config, payload, body = signature
    for blob in (config, payload):
        c.push_blob(repo, blob)
    c.push_manifest(repo, ref, body)


@pytest.fixture(name="attached")
def make_attached(reg, tool):
    """skopeo copy, told to take along what lies beside an image.  Debian's has no verifying
    of such signatures, so that the tests do that themselves."""
    folder = tool.dir / "registries.d"
    folder.mkdir()
    (folder / "regd.yaml").write_text(json.dumps(
        {"docker": {f"localhost:{reg.port}": {"use-sigstore-attachments": True}}}))

    def copy(*args):
        return skopeo(tool, "--registries.d", folder, "copy", "--src-cert-dir", tool.certs,
                      *args)

    return copy


def test_skopeo_copies_what_is_signed(reg, tool, attached):
    """Signed once more, there and back over a folder: every signature is still good."""
    image = Image({"bin/app": os.urandom(50000)})
    key, host = Key(), f"docker://localhost:{reg.port}"
    to = ("--dest-cert-dir", tool.certs)
    with reg.client() as c:
        c.push("one", "v1", image)
        push_signature(c, "one", tag_of(image), key.sign(image, f"localhost:{reg.port}/one"))
        attached(*to, f"{host}/one:v1", f"{host}/two:v1")
        c.expect_whole("two", "v1", image)
        key.expect_signed(c, "two", image)
        attached(f"{host}/two@{image.digest}", f"dir:{tool.dir}/out")
        assert "signature-1" in os.listdir(tool.dir / "out")
        attached(*to, "--preserve-digests", f"dir:{tool.dir}/out", f"{host}/three:v1")
        c.expect_whole("three", "v1", image)
        key.expect_signed(c, "three", image)
        assert c("GET", "/v2/three/tags/list").json()["tags"] == [tag_of(image), "v1"]
        # Copied again, there is still one signature: it is the same.
        attached(*to, f"{host}/one:v1", f"{host}/three:v1")
        key.expect_signed(c, "three", image)


def test_an_index_and_its_images_are_signed(reg, tool, attached):
    children = [Image({"arch": name.encode()}) for name in ("amd64", "arm64")]
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        descriptor(i.manifest, MANIFEST, platform={"os": "linux", "architecture": a})
        for i, a in zip(children, ("amd64", "arm64"))]}).encode()
    key, host = Key(), f"docker://localhost:{reg.port}"
    with reg.client() as c:
        for child in children:
            c.push("multi", child.digest, child)
            push_signature(c, "multi", tag_of(child), key.sign(child, "x"))
        c.push_manifest("multi", "v1", index, INDEX)
        attached("--all", "--dest-cert-dir", tool.certs, f"{host}/multi:v1", f"{host}/copy:v1")
        assert c("GET", "/v2/copy/manifests/v1").body == index
        for child in children:
            c.expect_whole("copy", child.digest, child)
            key.expect_signed(c, "copy", child)


# --- collection ---------------------------------------------------------------------------


def test_collection_keeps_the_signatures_of_what_is_kept(daemon):
    """By tag, as referrer by digest alone, and as referrer of a referrer."""
    reg = Registry(daemon)
    image = Image({"f": b"signed"})
    tagged = signature_of(b"by tag")
    referring = signature_of(b"by subject", subject=descriptor(image.manifest, MANIFEST))
    nested = signature_of(b"of that", subject=descriptor(referring[2], MANIFEST))
    listed = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [],
                         "subject": descriptor(image.manifest, MANIFEST)}).encode()
    with reg.client() as c:
        c.push("a", "v1", image)
        for ref, signature in ((tag_of(image), tagged), (digest(referring[2]), referring),
                               (digest(nested[2]), nested)):
            push_signature(c, "a", ref, signature)
        c.push_manifest("a", digest(listed), listed, INDEX)
        age(reg)
        assert collect(reg)["blobs"] == 0
        # A tag that moves on leaves an image that is pulled by digest.
        c.push("a", "v1", Image({"f": b"next"}))
        age(reg)
        assert collect(reg)["blobs"] == 0
        c.expect_whole("a", image.digest, image)
        for config, payload, body in (tagged, referring, nested):
            assert c("GET", f"/v2/a/manifests/{digest(body)}").body == body
            for blob in (config, payload):
                assert c("GET", f"/v2/a/blobs/{digest(blob)}").body == blob
        found = c("GET", f"/v2/a/referrers/{image.digest}").json()["manifests"]
        assert {m["digest"] for m in found} == {digest(referring[2]), digest(listed)}
        # Only what is deleted goes, with what nobody else refers to.
        for _, _, body in (tagged, referring):
            assert c("DELETE", f"/v2/a/manifests/{digest(body)}").status == 202
        assert c("GET", f"/v2/a/manifests/{tag_of(image)}").status == 404
        age(reg)
        assert collect(reg)["blobs"] == 4  # two payloads and their configs
        assert c("GET", f"/v2/a/blobs/{digest(nested[1])}").status == 200


def test_pruning_by_release_keeps_the_signatures_of_what_is_kept(daemon):
    reg = Registry(daemon)
    repo = "openshift/okd"

    def release(version, **images):
        tags = [{"name": n, "from": {"kind": "DockerImage",
                                     "name": f"quay.io/openshift/okd-content@{i.digest}"}}
                for n, i in images.items()]
        return Image({"release-manifests/image-references": json.dumps(
            {"metadata": {"name": version}, "spec": {"tags": tags}}).encode()})

    shared, old = Image({"f": b"both"}), Image({"f": b"old"})
    releases = {"4.4.0": release("4.4.0", shared=shared, old=old),
                "4.5.0": release("4.5.0", shared=shared)}
    with reg.client() as c:
        for version, image in releases.items():
            c.push(repo, f"{version}-shared", shared)
            c.push(repo, version, image)
        c.push(repo, "4.4.0-old", old)
        for image in (shared, *releases.values()):
            push_signature(c, repo, tag_of(image), signature_of(image.digest.encode()))
        a = reg.d.admin(f"/v1/prune?repository={repo}&keep=4.5.0", "POST")
        assert a.status == 200 and a.json()["drop"] == ["4.4.0"], a
        age(reg)
        collect(reg)
        c.expect_whole(repo, "4.5.0", releases["4.5.0"])
        for image in (shared, releases["4.5.0"]):
            signature = c("GET", f"/v2/{repo}/manifests/{tag_of(image)}").json()
            assert c("GET", f"/v2/{repo}/blobs/{signature['layers'][0]['digest']}").body == \
                image.digest.encode()
