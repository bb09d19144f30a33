"""What the registry's tests share: a client that sends exactly what is asked of it, and
images made of a few bytes."""

import base64
import gzip
import hashlib
import http.client
import io
import json
import os
import ssl
import subprocess
import tarfile

from harness import free_port

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"
LIST2 = "application/vnd.docker.distribution.manifest.list.v2+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

USERS = {}


def htpasswd(**users):
    """Lines as htpasswd -B makes them, at its lowest cost."""
    lines = []
    for user, password in users.items():
        if (user, password) not in USERS:
            USERS[user, password] = subprocess.run(
                ["htpasswd", "-nbB", "-C", "4", user, password],
                capture_output=True, text=True, check=True).stdout.strip()
        lines.append(USERS[user, password])
    return "\n".join(lines) + "\n"


def digest(data, alg="sha256"):
    return f"{alg}:{hashlib.new(alg, data).hexdigest()}"


def descriptor(data, media_type=LAYER, **more):
    return {"mediaType": media_type, "digest": digest(data), "size": len(data), **more}


def layer(files):
    """A gzipped tar of {name: bytes}, the same each time."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, body in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return gzip.compress(out.getvalue(), mtime=0), out.getvalue()


class Image:
    """A config, layers, and the manifest over them."""

    def __init__(self, files=None, manifest_type=MANIFEST, **more):
        packed, plain = layer(files or {"hello": b"hello"})
        self.layers = [packed]
        self.config = json.dumps({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(plain)]},
        }).encode()
        docker = manifest_type == SCHEMA2
        config_type = "application/vnd.docker.container.image.v1+json" if docker else CONFIG
        layer_type = ("application/vnd.docker.image.rootfs.diff.tar.gzip" if docker
                      else LAYER)
        self.type = manifest_type
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": manifest_type,
            "config": descriptor(self.config, config_type),
            "layers": [descriptor(packed, layer_type)], **more,
        }).encode()
        self.digest = digest(self.manifest)

    @property
    def blobs(self):
        return [self.config, *self.layers]

    def write_layout(self, path, tag="v1"):
        """As an OCI layout, for skopeo."""
        os.makedirs(f"{path}/blobs/sha256")
        for blob in (*self.blobs, self.manifest):
            with open(f"{path}/blobs/sha256/{digest(blob)[7:]}", "wb") as f:
                f.write(blob)
        with open(f"{path}/oci-layout", "w", encoding="utf-8") as f:
            f.write('{"imageLayoutVersion":"1.0.0"}')
        entry = descriptor(self.manifest, self.type, annotations={
            "org.opencontainers.image.ref.name": tag})
        with open(f"{path}/index.json", "w", encoding="utf-8") as f:
            json.dump({"schemaVersion": 2, "manifests": [entry]}, f)


class Answer:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = response.headers
        self.body = body

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The error code of the distribution spec."""
        assert self.headers["Content-Type"] == "application/json", self
        return self.json()["errors"][0]["code"]

    def __repr__(self):
        return f"<{self.status} {dict(self.headers)} {self.body[:300]!r}>"


def chunks(data, size=65536):
    """An iterable body: http.client sends it with Transfer-Encoding: chunked."""
    return (data[i:i + size] for i in range(0, len(data), size))


class Client:
    """One keep-alive connection."""

    def __init__(self, port, user="admin", password="admin", ca=None, timeout=30):
        self.headers = {}
        if user is not None:
            both = base64.b64encode(f"{user}:{password}".encode()).decode()
            self.headers["Authorization"] = f"Basic {both}"
        if ca:
            context = ssl.create_default_context(cafile=ca)
            self.c = http.client.HTTPSConnection("localhost", port, timeout=timeout,
                                                 context=context)
        else:
            self.c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.c.close()

    def __call__(self, method, path, body=None, **headers):
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        self.c.request(method, path, body=body, headers={**self.headers, **named})
        response = self.c.getresponse()
        return Answer(response, response.read())

    # -- pushes, the way clients do it

    def start(self, repo, query=""):
        a = self("POST", f"/v2/{repo}/blobs/uploads/{query}", Content_Length="0")
        assert a.status == 202, a
        return a.headers["Location"]

    def push_blob(self, repo, data, alg="sha256"):
        """As oc does: HEAD, POST, one chunked PATCH without Content-Range, PUT, HEAD,
        and a DELETE of the finished session."""
        d = digest(data, alg)
        if self("HEAD", f"/v2/{repo}/blobs/{d}").status == 200:
            return d
        where = self.start(repo)
        a = self("PATCH", where, chunks(data))
        assert a.status == 202, a
        where = a.headers["Location"]
        a = self("PUT", f"{where}?digest={d}", Content_Length="0")
        assert a.status == 201, a
        assert a.headers["Docker-Content-Digest"] == d
        a = self("HEAD", f"/v2/{repo}/blobs/{d}")
        assert a.status == 200 and int(a.headers["Content-Length"]) == len(data), a
        assert self("DELETE", where).status == 404
        return d

    def push_manifest(self, repo, ref, body, media_type=MANIFEST):
        a = self("PUT", f"/v2/{repo}/manifests/{ref}", body, Content_Type=media_type)
        assert a.status == 201, a
        assert a.headers["Docker-Content-Digest"], a
        return a

    def push(self, repo, tag, image):
        for blob in image.blobs:
            self.push_blob(repo, blob)
        return self.push_manifest(repo, tag, image.manifest, image.type)

    def expect_whole(self, repo, ref, image):
        """The image is there under ref, bytes and all."""
        a = self("GET", f"/v2/{repo}/manifests/{ref}")
        assert a.status == 200 and a.body == image.manifest, a
        assert a.headers["Content-Type"] == image.type
        for blob in image.blobs:
            a = self("GET", f"/v2/{repo}/blobs/{digest(blob)}")
            assert a.status == 200 and a.body == blob, a


class Registry:
    """A running okd-regd; by default without TLS, with the user admin:admin."""

    def __init__(self, daemon, users=None, tls=False, cluster=None, **config):
        self.port = free_port()
        auth = config.pop("auth", {})
        files = config.pop("files", {})
        kwargs = {k: config.pop(k) for k in ("env", "wrapper", "check_fds", "timeout")
                  if k in config}
        if auth is not False:
            auth = {"htpasswd": "users", **auth}  # in the folder it is started in
        self.config = {"listen": [f"127.0.0.1:{self.port}"], "auth": auth,
                       "storage": {"reserve": 0}, **config}
        if not tls:
            self.config["tls"] = False
        elif tls is not True:
            self.config["tls"] = tls
        self.d = daemon("regd", self.config, cluster,
                        files={"users": htpasswd(**(users or {"admin": "admin"})), **files},
                        **kwargs)
        if "overlays" in config:
            self.d.settle()

    @property
    def root(self):
        return self.config.get("storage", {}).get("root") or self.d.state_dir

    @property
    def ca(self):
        return f"{self.d.state_dir}/tls/ca.crt" if "tls" not in self.config else None

    def client(self, user="admin", password="admin", **kwargs):
        return Client(self.port, user, password, ca=self.ca, **kwargs)

    def blob_path(self, d):
        alg, hexa = d.split(":")
        return f"{self.root}/blobs/{alg}/{hexa[:2]}/{hexa}"

    def uploads(self):
        return os.listdir(f"{self.root}/uploads")
