"""okd-regd: pulling through to Debian's docker-registry, to another okd-regd, and to a
stand-in for what a healthy registry does not do."""

import base64
import contextlib
import http.client
import http.server
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading

import pytest

import test_clock
from harness import free_port, wait_until
from regd import INDEX, MANIFEST, Image, Registry, descriptor, digest, htpasswd
from test_regd_import import import_folder

pytestmark = pytest.mark.threads
clock = test_clock.clock  # a fixture


def pull_secret(**hosts):
    return json.dumps({"auths": {host: {"auth": base64.b64encode(both.encode()).decode()}
                                 for host, both in hosts.items()}})


RUNNING = []


def kept(reg):
    """Connections between registries are kept for later; whatever else is open is not."""
    RUNNING.append((reg, reg.d.fds()))
    return reg


@pytest.fixture(autouse=True)
def nothing_else_stays_open(daemon):
    RUNNING.clear()
    yield
    for reg, before in RUNNING:
        if reg.d.running:
            wait_until(lambda d=reg.d, b=before: set(d.fds() - b) <= {"socket"}, 10,
                       "the files of fetches to be closed")


def through(daemon, url, prefix="quay.io", secret=None, files=None, **more):
    """A registry that pulls from url what lies below the prefix."""
    entry = {"prefix": prefix, "upstream": url, **more.pop("entry", {})}
    files = dict(files or {})
    if secret:
        files["pull-secret.json"] = pull_secret(**secret)
        entry["authfile"] = "pull-secret.json"
    return kept(Registry(daemon, pull_through=[entry], files=files, check_fds=False, **more))


@pytest.fixture
def upstream(daemon):
    """Another okd-regd that hands out tokens."""
    return kept(Registry(daemon, users={"pull": "secret"}, auth={"challenge": "bearer"},
                         check_fds=False))


def url_of(reg):
    return f"http://127.0.0.1:{reg.port}"


def secret_of(reg):
    return {f"127.0.0.1:{reg.port}": "pull:secret"}


@pytest.fixture
def docker_registry(tmp_path):
    """Debian's docker-registry behind a password; its port, and a way to stop it."""
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is not installed")
    port = free_port()
    (tmp_path / "users").write_text(htpasswd(pull="secret"))
    config = tmp_path / "config.yml"
    config.write_text(json.dumps({
        "version": "0.1", "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(tmp_path / "data")}},
        "auth": {"htpasswd": {"realm": "x", "path": str(tmp_path / "users")}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": "x"}}))
    with open(tmp_path / "log", "wb") as log, subprocess.Popen(
            ["docker-registry", "serve", str(config)], stdout=log, stderr=log) as p:
        try:
            def answers():
                c = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                with contextlib.closing(c), contextlib.suppress(OSError):
                    c.request("GET", "/v2/")
                    return c.getresponse().status == 401
                return False

            wait_until(answers, 20)
            yield port, p
        finally:
            p.kill()


def push_to(port, repo, tag, image):
    """With skopeo, since docker-registry's answers to our own client's requests differ."""
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is not installed")
    with tempfile.TemporaryDirectory() as folder:
        image.write_layout(f"{folder}/in")
        with open(f"{folder}/policy.json", "w", encoding="utf-8") as f:
            f.write('{"default": [{"type": "insecureAcceptAnything"}]}')
        subprocess.run(
            ["skopeo", "--policy", f"{folder}/policy.json", "copy",
             "--dest-tls-verify=false", "--dest-creds", "pull:secret",
             f"oci:{folder}/in:v1", f"docker://127.0.0.1:{port}/{repo}:{tag}"],
            check=True, capture_output=True, stdin=subprocess.DEVNULL,
            env={**os.environ, "HOME": folder, "XDG_RUNTIME_DIR": folder})


def test_from_docker_registry_behind_a_password(daemon, docker_registry):
    port, process = docker_registry
    image = Image({"f": os.urandom(300000)})
    push_to(port, "openshift/okd", "v1", image)
    reg = through(daemon, f"http://127.0.0.1:{port}", secret={
        f"127.0.0.1:{port}": "pull:secret"})
    with reg.client() as c:
        c.expect_whole("quay.io/openshift/okd", "v1", image)
        c.expect_whole("quay.io/openshift/okd", image.digest, image)
        assert c("GET", "/v2/quay.io/openshift/okd/tags/list").json()["tags"] == ["v1"]
        a = c("GET", "/v2/quay.io/openshift/okd/manifests/none")
        assert a.status == 404 and a.code == "MANIFEST_UNKNOWN"
        a = c("GET", f"/v2/quay.io/openshift/okd/blobs/{digest(b'none')}")
        assert a.status == 404 and a.code == "BLOB_UNKNOWN"
        # What was fetched lies here now, as if it had been pushed.
        process.kill()
        process.wait()
        c.expect_whole("quay.io/openshift/okd", "v1", image)
        wait_until(lambda: reg.uploads() == [])
        for blob in image.blobs:
            with open(reg.blob_path(digest(blob)), "rb") as f:
                assert f.read() == blob
    metrics = reg.d.metrics()
    assert metrics["okd_regd_upstream_blobs_total"] == len(image.blobs)


def test_from_a_registry_that_wants_tokens(daemon, upstream):
    image = Image({"f": os.urandom(300000)})
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        descriptor(image.manifest, MANIFEST)]}).encode()
    with upstream.client("pull", "secret") as c:
        c.push("a/b", image.digest, image)
        c.push_manifest("a/b", "multi", index, INDEX)
    reg = through(daemon, url_of(upstream), secret=secret_of(upstream))
    with reg.client() as c:
        a = c("GET", "/v2/quay.io/a/b/manifests/multi")
        assert a.status == 200 and a.body == index
        assert a.headers["Content-Type"] == INDEX
        c.expect_whole("quay.io/a/b", image.digest, image)
    # One token was enough for all of it.
    assert upstream.d.metrics()["okd_regd_tokens_issued_total"] == 1


def test_without_credentials_the_upstream_shows_nothing(daemon, upstream):
    with upstream.client("pull", "secret") as c:
        c.push("a", "v1", Image())
    reg = through(daemon, url_of(upstream))
    with reg.client() as c:
        a = c("GET", "/v2/quay.io/a/manifests/v1")
        assert a.status == 404 and b"no token" in a.body
    with reg.client(user=None) as c:
        assert c("GET", "/v2/quay.io/a/manifests/v1").status == 401


def test_many_wait_for_one_fetch(daemon, upstream):
    image = Image({"f": os.urandom(4 << 20)})
    with upstream.client("pull", "secret") as c:
        c.push("a", "v1", image)
    before = upstream.d.metrics()
    reg = through(daemon, url_of(upstream), secret=secret_of(upstream))
    failures = []

    def pull():
        try:
            with reg.client() as c:
                c.expect_whole("quay.io/a", "v1", image)
        except AssertionError as e:
            failures.append(e)

    threads = [threading.Thread(target=pull) for _ in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
    after = upstream.d.metrics()
    name = "okd_regd_blob_pulls_total"
    assert after[name] - before[name] == len(image.blobs)
    assert after["okd_regd_manifest_pulls_total"] == 1


def test_tags_are_asked_for_anew_and_stale_ones_serve(daemon, upstream):
    old, new = Image({"f": b"old"}), Image({"f": b"new"})
    with upstream.client("pull", "secret") as c:
        c.push("a", "v1", old)
    reg = through(daemon, url_of(upstream), secret=secret_of(upstream),
                  entry={"tag_ttl": "0s"})
    with reg.client() as c:
        c.expect_whole("quay.io/a", "v1", old)
        with upstream.client("pull", "secret") as u:
            u.push("a", "v1", new)
        a = c("GET", "/v2/quay.io/a/manifests/v1")
        assert a.body == new.manifest and not a.headers["Warning"]
        upstream.d.stop(check_fds=False)
        for _ in range(2):
            a = c("GET", "/v2/quay.io/a/manifests/v1")
            assert a.status == 200 and a.body == new.manifest
            assert a.headers["Warning"].startswith('299 - "')
        # What is not here cannot be had, and the client hears why.
        a = c("GET", "/v2/quay.io/a/manifests/v2")
        assert a.status == 502 and b"upstream failed" in a.body
        a = c("GET", f"/v2/quay.io/a/blobs/{digest(new.layers[0])}")
        assert a.status == 502
        c.expect_whole("quay.io/a", old.digest, old)
        upstream.d.start()
        wait_until(lambda: c(
            "GET", f"/v2/quay.io/a/blobs/{digest(new.layers[0])}").status == 200, 20)


def test_a_tag_that_is_fresh_is_not_asked_for(daemon, upstream):
    with upstream.client("pull", "secret") as c:
        c.push("a", "v1", Image())
    reg = through(daemon, url_of(upstream), secret=secret_of(upstream))
    with reg.client() as c:
        for _ in range(5):
            assert c("GET", "/v2/quay.io/a/manifests/v1").status == 200
    assert upstream.d.metrics()["okd_regd_manifest_pulls_total"] == 1


def test_what_was_pushed_here_stays(daemon, upstream):
    theirs, ours = Image({"f": b"theirs"}), Image({"f": b"ours"})
    with upstream.client("pull", "secret") as c:
        c.push("a", "v1", theirs)
        c.push("a", "v2", theirs)
    reg = through(daemon, url_of(upstream), secret=secret_of(upstream),
                  entry={"tag_ttl": "0s"})
    with reg.client() as c:
        c.push("quay.io/a", "v1", ours)
        c.expect_whole("quay.io/a", "v1", ours)
        c.expect_whole("quay.io/a", "v2", theirs)
        c.push("quay.io/a", "v2", ours)  # over one that came from there
        c.expect_whole("quay.io/a", "v2", ours)
        assert c("GET", "/v2/other/manifests/v1").status == 404


def test_what_was_imported_stays(daemon, upstream, tmp_path):
    theirs, ours = Image({"f": b"theirs"}), Image({"f": b"ours"})
    with upstream.client("pull", "secret") as c:
        c.push("a", "v1", theirs)
    reg = through(daemon, url_of(upstream), secret=secret_of(upstream),
                  entry={"tag_ttl": "0s"})
    ours.write_layout(tmp_path / "layout")
    with reg.client() as c:
        c.expect_whole("quay.io/a", "v1", theirs)
        import_folder(reg, tmp_path / "layout", "quay.io/a")
        c.expect_whole("quay.io/a", "v1", ours)


def test_a_push_while_the_upstream_is_asked_stays(daemon, liar):
    """Who pulls has the registry ask; who pushes meanwhile was told 201."""
    theirs, ours, asked = Image({"f": b"theirs"}), Image({"f": b"ours"}), threading.Event()

    def answers_of(path):
        if "/blobs/" in path:
            return 404, {"Content-Length": 0}, []
        return 200, {"Content-Length": len(theirs.manifest), "Content-Type": theirs.type}, [
            asked, theirs.manifest]

    up = liar(answers_of)
    reg = through(daemon, up.url, entry={"tag_ttl": "0s"})
    answers = []

    def pull(tag):
        with reg.client() as c:
            answers.append(c("GET", f"/v2/quay.io/a/manifests/{tag}"))

    with reg.client() as c:  # v2 has come from there before
        asked.set()
        assert c("GET", "/v2/quay.io/a/manifests/v2").body == theirs.manifest
    for tag in ("v1", "v2"):
        asked.clear()
        before = len(up.requests)
        puller = threading.Thread(target=pull, args=(tag,))
        puller.start()
        wait_until(lambda n=before: len(up.requests) > n)
        with reg.client() as c:
            c.push("quay.io/a", tag, ours)
            asked.set()
            puller.join()
            assert answers.pop().body == ours.manifest
            c.expect_whole("quay.io/a", tag, ours)
            # What was fetched is kept under its digest.
            assert c("HEAD", f"/v2/quay.io/a/manifests/{theirs.digest}").status == 200


@test_clock.pytestmark
def test_a_clock_that_was_fast_keeps_no_tag_for_good(daemon, upstream, clock):
    image = Image()
    with upstream.client("pull", "secret") as c:
        c.push("a", "v1", image)
    clock.wall(10 * 365 * 86400)
    reg = through(daemon, url_of(upstream), secret=secret_of(upstream), env=clock.env)
    with reg.client() as c:
        c.expect_whole("quay.io/a", "v1", image)
        clock.wall(0)
        for _ in range(3):
            assert c("GET", "/v2/quay.io/a/manifests/v1").status == 200
    # Once at first, once with the clock set right, and then it is fresh.
    assert upstream.d.metrics()["okd_regd_manifest_pulls_total"] == 2


def test_ns_names_the_upstream(daemon, upstream):
    image, local = Image({"f": b"x"}), Image({"f": b"local"})
    with upstream.client("pull", "secret") as c:
        c.push("a/b", "v1", image)
    reg = through(daemon, url_of(upstream), prefix="mirror/quay", secret=secret_of(upstream),
                  entry={"ns": "quay.io"})
    with reg.client() as c:
        a = c("GET", "/v2/a/b/manifests/v1?ns=quay.io")
        assert a.status == 200 and a.body == image.manifest
        assert a.headers["OCI-Namespace"] == "quay.io"
        d = digest(image.layers[0])
        assert c("GET", f"/v2/a/b/blobs/{d}?ns=quay.io").body == image.layers[0]
        assert c("GET", "/v2/_catalog").json()["repositories"] == ["mirror/quay/a/b"]
        assert c("GET", "/v2/a/b/manifests/v1?ns=docker.io").status == 404
        # A mirror that holds it under its own name is asked first.
        c.push("a/b", "v1", local)
        a = c("GET", "/v2/a/b/manifests/v1?ns=quay.io")
        assert a.body == local.manifest and not a.headers["OCI-Namespace"]


def test_rights_count_for_what_is_fetched_too(daemon, upstream):
    with upstream.client("pull", "secret") as c:
        c.push("a", "v1", Image())
    reg = through(daemon, url_of(upstream), secret=secret_of(upstream),
                  users={"admin": "admin", "other": "o"}, auth={"rules": [
                      {"users": ["admin"], "allow": ["pull"]}]})
    with reg.client("other", "o") as c:
        assert c("GET", "/v2/quay.io/a/manifests/v1").status == 403
        assert c("GET", "/v2/a/manifests/v1?ns=quay.io").status == 403
    assert upstream.d.metrics()["okd_regd_manifest_pulls_total"] == 0


def test_over_tls_with_the_upstreams_authority(daemon):
    other = kept(Registry(daemon, users={"pull": "secret"}, tls=True, check_fds=False))
    image = Image({"f": os.urandom(100000)})
    with other.client("pull", "secret") as c:
        c.push("a", "v1", image)
    secret = {f"localhost:{other.port}": "pull:secret"}
    url = f"https://localhost:{other.port}"
    reg = through(daemon, url, secret=secret, entry={"ca": other.ca})
    with reg.client() as c:
        c.expect_whole("quay.io/a", "v1", image)
    stranger = through(daemon, url, secret=secret)
    with stranger.client() as c:
        assert c("GET", "/v2/quay.io/a/manifests/v1").status == 502


def test_a_reload_takes_other_upstreams(daemon, upstream):
    image = Image()
    with upstream.client("pull", "secret") as c:
        c.push("a", "v1", image)
    reg = kept(Registry(daemon, check_fds=False, files={
        "pull-secret.json": pull_secret(**secret_of(upstream))}))
    entry = {"prefix": "quay.io", "upstream": url_of(upstream),
             "authfile": "pull-secret.json"}
    with reg.client() as c:
        assert c("GET", "/v2/quay.io/a/manifests/v1").status == 404
        reg.d.reload({**reg.config, "pull_through": [entry]})
        c.expect_whole("quay.io/a", "v1", image)
        reg.d.write_file("pull-secret.json", "[]")
        reg.d.reload({**reg.config, "pull_through": [entry]})
        reg.d.log_contains("a pull secret is")
        c.expect_whole("quay.io/a", "v1", image)


def test_skopeo_pulls_through(daemon, upstream, tmp_path):
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is not installed")
    image = Image({"f": os.urandom(200000)})
    with upstream.client("pull", "secret") as c:
        c.push("a", "v1", image)
    reg = through(daemon, url_of(upstream), secret=secret_of(upstream))
    (tmp_path / "policy.json").write_text(
        '{"default": [{"type": "insecureAcceptAnything"}]}')
    subprocess.run(
        ["skopeo", "--policy", tmp_path / "policy.json", "copy", "--src-tls-verify=false",
         "--src-creds", "admin:admin", f"docker://127.0.0.1:{reg.port}/quay.io/a:v1",
         f"oci:{tmp_path}/out:v1"], check=True, capture_output=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)})
    with open(tmp_path / "out" / "index.json", encoding="utf-8") as f:
        assert json.load(f)["manifests"][0]["digest"] == image.digest


# -- what a healthy registry does not do


class Liar:
    """A stand-in for an upstream: answers(path) gives (status, headers, pieces), where a
    piece may be an event to wait for."""

    def __init__(self, answers):
        liar = self
        self.requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                liar.requests.append((self.path, self.headers["Authorization"]))
                status, headers, pieces = answers(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                for piece in pieces:
                    if isinstance(piece, threading.Event):
                        piece.wait(20)
                    else:
                        self.wfile.write(piece)
                        self.wfile.flush()
                self.close_connection = True

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def liar():
    made = []

    def make(answers):
        made.append(Liar(answers))
        return made[-1]

    yield make
    for one in made:
        one.close()


def get(reg, path, **headers):
    """An open connection and the response's head."""
    c = http.client.HTTPConnection("127.0.0.1", reg.port, timeout=20)
    c.request("GET", path, headers={**reg.client().headers, **headers})
    return c, c.getresponse()


def get_blob(reg, data, **headers):
    return get(reg, f"/v2/quay.io/a/blobs/{digest(data)}", **headers)


def test_clients_read_while_the_blob_comes_in(daemon, liar):
    data, go = os.urandom(300000), threading.Event()
    up = liar(lambda path: (200, {"Content-Length": len(data)},
                            [data[:200000], go, data[200000:]]))
    reg = through(daemon, up.url)
    c, r = get_blob(reg, data)
    late, lr = get_blob(reg, data)
    with contextlib.closing(c), contextlib.closing(late):
        assert r.status == 200 and int(r.headers["Content-Length"]) == len(data)
        assert r.read(150000) == data[:150000]  # the rest has not been sent
        assert lr.read(150000) == data[:150000]
        go.set()
        assert r.read() == data[150000:] and lr.read() == data[150000:]
    part, pr = get_blob(reg, data, Range="bytes=10-19")
    with contextlib.closing(part):
        assert pr.status == 206 and pr.read() == data[10:20]
    assert len(up.requests) == 1


def test_a_part_waits_for_the_whole(daemon, liar):
    data, go = os.urandom(100000), threading.Event()
    up = liar(lambda path: (200, {}, [data[:50000], go, data[50000:]]))
    reg = through(daemon, up.url)
    answers = []

    def ask():
        c, r = get_blob(reg, data, Range="bytes=5-9")
        with contextlib.closing(c):
            answers.append((r.status, r.read()))

    t = threading.Thread(target=ask)
    t.start()
    wait_until(lambda: up.requests)
    go.set()
    t.join()
    assert answers == [(206, data[5:10])]
    assert len(up.requests) == 1


def test_who_may_push_hears_of_what_is_here(daemon, liar):
    """A manifest is refused while a blob of it is on its way, so "it is here" waits for it;
    and an upstream that fails is no reason not to push."""
    image, go = Image({"f": os.urandom(300000)}), threading.Event()
    blobs = {digest(b): b for b in image.blobs}

    def answers(path):
        body = blobs[path.rsplit("/", 1)[1]]
        return 200, {"Content-Length": len(body)}, [body[:100], go, body[100:]]

    up = liar(answers)
    reg = through(daemon, up.url, users={"admin": "admin", "node": "n"}, auth={"rules": [
        {"users": ["admin"], "allow": ["pull", "push"]}, {"users": ["node"], "allow": ["pull"]}]})
    pushed = []

    def push():
        with reg.client() as c:
            pushed.append(c.push("quay.io/a", "v1", image).status)

    t = threading.Thread(target=push)
    t.start()
    wait_until(lambda: up.requests)
    with reg.client("node", "n") as c:  # who may not is told at once
        a = c("HEAD", f"/v2/quay.io/a/blobs/{digest(image.layers[0])}")
        assert a.status == 200 and int(a.headers["Content-Length"]) == len(image.layers[0])
    assert not pushed
    go.set()
    t.join()
    assert pushed == [201] and len(up.requests) == len(blobs)  # nothing was sent twice
    gone = through(daemon, f"http://127.0.0.1:{free_port()}")
    with gone.client() as c:
        for _ in range(2):
            assert c("HEAD", f"/v2/quay.io/a/blobs/{digest(image.config)}").status == 404
        assert c("GET", f"/v2/quay.io/a/blobs/{digest(image.config)}").status == 502
        c.push("quay.io/a", "v1", image)
        c.expect_whole("quay.io/a", "v1", image)


def test_a_head_says_how_long_a_blob_is_whose_length_comes_last(daemon, liar):
    data, go = os.urandom(300000), threading.Event()
    up = liar(lambda path: (200, {}, [data[:200000], go, data[200000:]]))
    reg = through(daemon, up.url, users={"admin": "admin", "node": "n"}, auth={"rules": [
        {"users": ["admin"], "allow": ["pull", "push"]}, {"users": ["node"], "allow": ["pull"]}]})
    with reg.client("node", "n") as head:
        head.c.request("HEAD", f"/v2/quay.io/a/blobs/{digest(data)}", headers=head.headers)
        wait_until(lambda: up.requests)
        c, r = get_blob(reg, data)
        with contextlib.closing(c):
            assert r.read(100000) == data[:100000] and not r.headers["Content-Length"]
            go.set()
            a = head.c.getresponse()
            assert a.status == 200 and int(a.headers["Content-Length"]) == len(data)
            assert r.read() == data[100000:]
    assert len(up.requests) == 1


@pytest.mark.parametrize("length", [True, False])
def test_wrong_bytes_never_arrive_whole(daemon, liar, length):
    data = os.urandom(200000)
    wrong = data[:-1] + bytes([data[-1] ^ 1])
    up = liar(lambda path: (200, {"Content-Length": len(wrong)} if length else {}, [wrong]))
    reg = through(daemon, up.url)
    c, r = get_blob(reg, data)
    with contextlib.closing(c):
        with pytest.raises(http.client.IncompleteRead):
            r.read()
    assert not os.path.exists(reg.blob_path(digest(data)))
    wait_until(lambda: reg.uploads() == [])
    assert reg.d.metrics()["okd_regd_digest_mismatches_total"] == 1


def test_an_upstream_that_breaks_off(daemon, liar):
    data = os.urandom(200000)
    whole = []

    def answers(path):
        return (200, {"Content-Length": len(data)}, [data if whole else data[:100000]])

    reg = through(daemon, liar(answers).url)
    c, r = get_blob(reg, data)
    with contextlib.closing(c):
        with pytest.raises(http.client.IncompleteRead):
            r.read()
    wait_until(lambda: reg.uploads() == [])
    whole.append(True)
    c, r = get_blob(reg, data)
    with contextlib.closing(c):
        assert r.read() == data


def test_a_manifest_that_is_another_is_not_kept(daemon, liar):
    image, other = Image({"f": b"1"}), Image({"f": b"2"})
    up = liar(lambda path: (200, {"Content-Type": MANIFEST,
                                  "Docker-Content-Digest": image.digest,
                                  "Content-Length": len(other.manifest)},
                            [other.manifest]))
    reg = through(daemon, up.url)
    with reg.client() as c:
        for ref in ("v1", image.digest):
            a = c("GET", f"/v2/quay.io/a/manifests/{ref}")
            assert a.status == 502 and b"another digest" in a.body
        assert c("GET", "/v2/_catalog").json()["repositories"] == []


def test_a_password_goes_to_nobody_in_the_clear_or_elsewhere(daemon, liar):
    """Redirects to another host carry no credentials."""
    image = Image()
    data = image.layers[0]
    store = liar(lambda path: (200, {"Content-Length": len(data)}, [data]))

    def answers(path):
        return (307, {"Location": f"{store.url}/there", "Content-Length": 0}, [])

    front = liar(lambda path: (401, {"WWW-Authenticate": 'Basic realm="x"',
                                     "Content-Length": 0}, [])
                 if len(front.requests) == 1 else answers(path))
    host = front.url[7:]
    reg = through(daemon, front.url, secret={host: "pull:secret"})
    c, r = get_blob(reg, data)
    with contextlib.closing(c):
        assert r.read() == data
    assert front.requests[0][1] is None
    assert front.requests[1][1] == "Basic " + base64.b64encode(b"pull:secret").decode()
    assert store.requests == [("/there", None)]


def test_a_client_that_leaves_does_not_end_the_fetch(daemon, liar):
    data, go = os.urandom(300000), threading.Event()
    up = liar(lambda path: (200, {"Content-Length": len(data)},
                            [data[:100000], go, data[100000:]]))
    reg = through(daemon, up.url)
    c, r = get_blob(reg, data)
    assert r.read(1000)
    c.close()
    go.set()
    wait_until(lambda: os.path.exists(reg.blob_path(digest(data))))
    with reg.client() as c:
        assert c("GET", f"/v2/quay.io/a/blobs/{digest(data)}").body == data


@pytest.mark.parametrize("what", ["blobs", "manifests"])
def test_fetches_are_bounded_though_their_clients_leave(daemon, liar, what):
    go = threading.Event()

    def answers(path):
        go.wait(20)
        return 404, {"Content-Length": 0}, []

    reg = through(daemon, liar(answers).url)
    token = reg.client().headers["Authorization"]
    with reg.client() as c:
        assert c("GET", "/v2/").status == 200
    for i in range(520):
        with socket.create_connection(("127.0.0.1", reg.port), 20) as s:
            s.sendall(f"GET /v2/quay.io/a/{what}/{digest(b'%d' % i)} HTTP/1.1\r\nHost: x\r\n"
                      f"Authorization: {token}\r\n\r\n".encode())

    def ask():
        c, r = get(reg, f"/v2/quay.io/a/{what}/{digest(os.urandom(8))}")
        with contextlib.closing(c):
            return r.status, r.headers["Retry-After"]

    wait_until(lambda: '" 429 ' in reg.d.log, 20)
    assert ask() == (429, "5")
    go.set()
    wait_until(lambda: ask()[0] == 404, 30)


def test_a_stop_in_the_middle(daemon, liar):
    data, go = os.urandom(300000), threading.Event()
    up = liar(lambda path: (200, {"Content-Length": len(data)},
                            [data[:100000], go, data[100000:]]))
    reg = through(daemon, up.url, drain_timeout="0s")
    c, r = get_blob(reg, data)
    assert r.read(1000)
    reg.d.stop(check_fds=False)
    c.close()
    go.set()


def test_a_full_disk_is_said_before_a_byte_is_sent(daemon, liar):
    data = b"x" * 1000
    up = liar(lambda path: (200, {"Content-Length": 1 << 40}, [data]))
    reg = through(daemon, up.url)
    c, r = get_blob(reg, data)
    with contextlib.closing(c):
        assert r.status == 507
    assert reg.uploads() == []
