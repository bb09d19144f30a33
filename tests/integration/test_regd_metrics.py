"""okd-regd: the replaced registry's metrics, beside those that it really prints."""

import contextlib
import re
import shutil
import subprocess
import urllib.request

import pytest

from harness import Response, free_port, wait_until
from regd import SCHEMA2, Client, Image, Registry, digest, htpasswd

HTTP = "registry_http_"


@pytest.fixture
def peer(tmp_path):
    """Debian's docker-registry 2.8: its port, and what its metrics say."""
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is not installed")
    port, debug = free_port(hold=False), free_port(hold=False)
    (tmp_path / "users").write_text(htpasswd(admin="admin"))
    config = tmp_path / "config.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {tmp_path}/data}},"
        " delete: {enabled: true}}\n"
        f"auth: {{htpasswd: {{realm: x, path: {tmp_path}/users}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}', debug: {{addr: '127.0.0.1:{debug}',"
        " prometheus: {enabled: true, path: /metrics}}}\n")

    def scrape():
        with urllib.request.urlopen(f"http://127.0.0.1:{debug}/metrics", timeout=10) as a:
            return Response(a.status, a.headers, a.read())

    def answers():
        try:
            scrape()
            with Client(port) as c:
                return c("GET", "/").status == 200  # which none of the metrics counts
        except OSError:
            return False

    with open(tmp_path / "log", "wb") as log, subprocess.Popen(
            ["docker-registry", "serve", str(config)], stdout=log, stderr=log,
            stdin=subprocess.DEVNULL) as p:
        try:
            wait_until(answers)
            yield port, scrape
        finally:
            p.terminate()


def place(answer):
    """An upload's path; one registry has a query in it, and the other none."""
    path = re.sub(r"^https?://[^/]*", "", answer.headers["Location"])
    return path + ("&" if "?" in path else "?")


def traffic(port):
    """Requests that both registries answer with the same statuses."""
    image = Image({"f": b"f" * 100}, SCHEMA2)
    statuses = []

    def ask(c, method, path, body=None, **headers):
        a = c(method, path, body, **headers)
        statuses.append((method, re.sub("uploads/.*", "uploads/...", path), a.status))
        return a

    with Client(port, user=None) as c:
        ask(c, "GET", "/v2/")
        ask(c, "GET", "/v2/a/b/tags/list")
    with Client(port) as c:
        ask(c, "GET", "/v2/")
        ask(c, "HEAD", "/v2/")
        for blob in image.blobs:
            ask(c, "HEAD", f"/v2/a/b/blobs/{digest(blob)}")
            a = ask(c, "POST", "/v2/a/b/blobs/uploads/", Content_Length="0")
            a = ask(c, "PATCH", place(a), blob, Content_Type="application/octet-stream")
            ask(c, "PUT", f"{place(a)}digest={digest(blob)}", Content_Length="0")
            ask(c, "GET", f"/v2/a/b/blobs/{digest(blob)}")
            ask(c, "GET", f"/v2/a/b/blobs/{digest(blob)}", Range="bytes=1-3")
        large = b"0123456789abcdef" * 10000
        a = ask(c, "POST", "/v2/a/b/blobs/uploads/", Content_Length="0")
        ask(c, "PUT", f"{place(a)}digest={digest(large)}", large)
        ask(c, "GET", f"/v2/a/b/blobs/{digest(large)}")
        a = ask(c, "POST", "/v2/a/b/blobs/uploads/", Content_Length="0")
        ask(c, "GET", place(a))
        ask(c, "DELETE", place(a))
        ask(c, "PUT", "/v2/a/b/manifests/v1", image.manifest, Content_Type=SCHEMA2)
        for ref in ("v1", image.digest, "none"):
            for method in ("GET", "HEAD"):
                ask(c, method, f"/v2/a/b/manifests/{ref}", Accept=SCHEMA2)
        ask(c, "PATCH", "/v2/a/b/manifests/v1")
        ask(c, "GET", "/v2/a/b/tags/list")
        ask(c, "GET", "/v2/none/tags/list")
        ask(c, "BREW", "/v2/a/b/tags/list")
        ask(c, "GET", "/v2/_catalog")
        ask(c, "GET", "/v2/nothing/here")
        ask(c, "DELETE", f"/v2/a/b/manifests/{image.digest}")
        ask(c, "DELETE", f"/v2/a/b/blobs/{digest(large)}")
    return statuses


def types(response):
    return set(re.findall(rf"^# TYPE {HTTP}.*", response.text, re.M))


def alike(response):
    """The series that are to be alike, with their values; of times and of sums, the
    series alone."""
    out = {}
    for name, value in response.metrics().items():
        if not name.startswith(HTTP):
            continue
        timed = "_seconds_bucket" in name and "+Inf" not in name
        out[name] = None if timed or "_sum{" in name else value
    return out


def test_beside_the_replaced_registry(daemon, peer):
    port, scrape = peer
    reg = Registry(daemon)
    assert traffic(reg.port) == traffic(port)

    def differences():
        ours, theirs = reg.d.admin("/metrics"), scrape()
        assert types(ours) == types(theirs)
        mine = {k: v for k, v in alike(ours).items() if 'handler="referrers"' not in k}
        return sorted(set(mine.items()) ^ set(alike(theirs).items()), key=str)

    # Both count a request when its answer is out.
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not differences())
    assert differences() == []


def test_sizes_and_what_has_no_series(daemon):
    reg = Registry(daemon)
    a = reg.d.admin("/metrics").metrics()
    assert [k for k in a if k.startswith(HTTP) and "in_flight" not in k] == []
    with reg.client() as c:
        blob = b"x" * 5000
        where = c.start("a/b")
        assert c("PUT", f"{where}?digest={digest(blob)}", blob).status == 201
        assert c("GET", f"/v2/a/b/blobs/{digest(blob)}").status == 200
        assert c("GET", f"/v2/a/b/referrers/{digest(blob)}").status == 200
        for path in ("/", "/nothing", "/v2/UPPER/tags/list"):
            c("GET", path)
    m = reg.d.metrics()
    assert m[HTTP + 'response_size_bytes_sum{handler="blob"}'] == 5000
    assert 5000 < m[HTTP + 'request_size_bytes_sum{handler="blob_upload_chunk"}'] < 6024
    assert m[HTTP + 'request_size_bytes_bucket{handler="blob_upload_chunk",le="4096"}'] == 0
    assert m[HTTP + 'request_size_bytes_bucket{handler="blob_upload_chunk",le="8192"}'] == 1
    assert {k: v for k, v in m.items() if k.startswith(HTTP + "requests_total")} == {
        HTTP + f'requests_total{{code="{code}",handler="{handler}",method="{method}"}}': 1
        for code, handler, method in (
            (202, "blob_upload", "post"), (201, "blob_upload_chunk", "put"),
            (200, "blob", "get"), (200, "referrers", "get"))}


def test_in_flight_and_no_answer(daemon):
    """An upload that is under way, and whose client goes away."""
    reg = Registry(daemon)
    gauge = HTTP + 'in_flight_requests{handler="blob_upload_chunk"}'
    with reg.client() as c:
        where = c.start("a/b")
        c.c.putrequest("PATCH", where)
        for name, value in {**c.headers, "Content-Length": "1000"}.items():
            c.c.putheader(name, value)
        c.c.endheaders(b"begun")
        wait_until(lambda: reg.d.metrics()[gauge] == 1)
    wait_until(lambda: reg.d.metrics()[gauge] == 0)
    assert reg.d.metrics()[HTTP + 'requests_total{code="other",'
                           'handler="blob_upload_chunk",method="patch"}'] == 1
    with reg.client() as c:
        assert c("DELETE", where).status == 204
