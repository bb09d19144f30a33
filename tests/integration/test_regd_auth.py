"""okd-regd: who may do what, how passwords are verified, and TLS."""

import base64
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

import test_clock
from harness import example_cluster, free_port, wait_until
from regd import Client, Image, Registry, digest, htpasswd

pytestmark = pytest.mark.threads
clock = test_clock.clock  # a fixture


def test_everything_asks_for_a_password(daemon):
    reg = Registry(daemon)
    with reg.client(user=None) as c:
        for path in ("/v2/", "/v2/_catalog", "/v2/a/manifests/x", "/v2/a/tags/list"):
            a = c("GET", path)
            assert a.status == 401 and a.code == "UNAUTHORIZED"
            assert a.headers["WWW-Authenticate"] == 'Basic realm="okd-regd"'
        assert c("POST", "/v2/a/blobs/uploads/", b"").status == 401
    for user, password in (("admin", "wrong"), ("nobody", "admin"), ("admin", "")):
        with reg.client(user, password) as c:
            assert c("GET", "/v2/").status == 401
    with reg.client() as c:
        assert c("GET", "/v2/").status == 200


@pytest.mark.parametrize("header", ["Basic", "Basic !", "Basic YWRtaW4=", "Bearer x",
                                    "Digest x", "Basic " + "A" * 3000])
def test_credentials_that_are_none(daemon, header):
    reg = Registry(daemon)
    with Client(reg.port, user=None) as c:
        assert c("GET", "/v2/", Authorization=header).status == 401


def test_anonymous_pull_still_challenges_at_the_base(daemon):
    reg = Registry(daemon, auth={"anonymous_pull": True})
    image = Image()
    with reg.client() as c:
        c.push("a", "x", image)
    with reg.client(user=None) as c:
        assert c("GET", "/v2/").status == 401
        c.expect_whole("a", "x", image)
        assert c("POST", "/v2/a/blobs/uploads/", b"").status == 401
        assert c("DELETE", "/v2/a/manifests/x").status == 401
    with reg.client(password="wrong") as c:
        assert c("GET", "/v2/a/manifests/x").status == 401


def test_an_empty_user_is_nobody(daemon):
    """Who has no password and was asked for one sends two empty words (containers/image)."""
    reg = Registry(daemon, auth={"anonymous_pull": True})
    image = Image()
    with reg.client() as c:
        c.push("a", "x", image)
    with reg.client("", "") as c:
        a = c("GET", "/v2/")
        assert a.status == 401 and "authentication is required" in a.json()["errors"][0]["message"]
        c.expect_whole("a", "x", image)
        assert c("POST", "/v2/a/blobs/uploads/", b"").status == 401
    for user, password in (("", "x"), ("x", "")):
        with reg.client(user, password) as c:
            assert c("GET", "/v2/a/manifests/x").status == 401
    assert reg.d.metrics()["okd_regd_auth_hashes_total"] == 2  # admin's, and x's


def test_without_auth(daemon):
    reg = Registry(daemon, auth=False)
    with reg.client(user=None) as c:
        assert c("GET", "/v2/").status == 200
        c.push("a", "x", Image())


def test_rights_by_repository(daemon):
    rules = [
        {"users": ["admin"], "allow": ["pull", "push", "delete"]},
        {"users": ["ci"], "repositories": ["openshift/**"], "allow": ["pull", "push"]},
        {"users": ["node"], "repositories": ["openshift/*"], "allow": ["pull"]},
    ]
    reg = Registry(daemon, users={"admin": "a", "ci": "c", "node": "n"},
                   auth={"rules": rules})
    image = Image()
    with reg.client("admin", "a") as c:
        c.push("secret", "x", image)
        assert c("GET", "/v2/_catalog").json()["repositories"] == ["secret"]
    with reg.client("ci", "c") as c:
        c.push("openshift/okd", "x", image)
        for method, path in (("GET", "/v2/secret/manifests/x"),
                             ("DELETE", "/v2/openshift/okd/manifests/x"),
                             ("POST", "/v2/secret/blobs/uploads/")):
            a = c(method, path)
            assert a.status == 403 and a.code == "DENIED"
        assert c("GET", "/v2/_catalog").json()["repositories"] == ["openshift/okd"]
        # What one may not pull one may not mount.
        d = digest(image.config)
        with reg.client("admin", "a") as root:
            only = root.push_blob("secret", b"only here")
        a = c("POST", f"/v2/openshift/x/blobs/uploads/?mount={only}&from=secret", b"")
        assert a.status == 202
        assert c("DELETE", a.headers["Location"]).status == 204
        a = c("POST", f"/v2/openshift/x/blobs/uploads/?mount={only}", b"")
        assert a.status == 202
        assert c("DELETE", a.headers["Location"]).status == 204
        assert c("POST", f"/v2/openshift/x/blobs/uploads/?mount={d}", b"").status == 201
    with reg.client("node", "n") as c:
        c.expect_whole("openshift/okd", "x", image)
        assert c("PUT", "/v2/openshift/okd/manifests/y", image.manifest).status == 403


def test_a_password_is_hashed_once(daemon):
    reg = Registry(daemon)

    def ask():
        with reg.client() as c:
            for _ in range(20):
                assert c("GET", "/v2/").status == 200

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert reg.d.metrics()["okd_regd_auth_hashes_total"] == 1


def test_a_changed_file_ends_old_passwords(daemon):
    reg = Registry(daemon)
    with reg.client() as c:
        assert c("GET", "/v2/").status == 200
        reg.d.write_file("users", htpasswd(admin="other"))
        wait_until(lambda: c("GET", "/v2/").status == 401)
    with reg.client(password="other") as c:
        assert c("GET", "/v2/").status == 200
        reg.d.write_file("users", "garbage\n")
        reg.d.log_contains("users kept as they were")
        assert c("GET", "/v2/").status == 200


def test_bodies_wait_for_the_password(daemon):
    """The first request of a connection carries a body and credentials nobody has seen."""
    reg = Registry(daemon, users={"admin": "admin", "other": "other"})
    with reg.client() as c:
        where = c.start("a")
    data = b"x" * 200000
    with reg.client("other", "other") as c:
        assert c("PATCH", where, data).status == 202
        assert c("PUT", f"{where}?digest={digest(data)}", b"").status == 201
    reg.d.reload({**reg.config})  # what was verified is forgotten
    with reg.client() as c:
        assert c("POST", f"/v2/a/blobs/uploads/?digest={digest(b'y')}", b"y").status == 201
    reg.d.reload({**reg.config})
    with reg.client(password="wrong") as c:
        assert c("PUT", "/v2/a/manifests/x", Image().manifest).status == 401
    reg.d.reload({**reg.config})
    with reg.client() as c:  # no body at all
        assert c("POST", "/v2/a/blobs/uploads/", Content_Length="0").status == 202
        session = os.listdir(f"{reg.root}/uploads")[0]
        assert c("DELETE", f"/v2/a/blobs/uploads/{session}").status == 204


def test_too_many_failures_are_refused_without_hashing(daemon):
    reg = Registry(daemon)
    statuses = []
    for i in range(40):
        with reg.client(password=f"guess{i}") as c:
            a = c("GET", "/v2/")
            statuses.append(a.status)
            if a.status == 429:
                assert a.code == "TOOMANYREQUESTS" and a.headers["Retry-After"]
    assert statuses[:15] == [401] * 15 and 429 in statuses
    hashes = reg.d.metrics()["okd_regd_auth_hashes_total"]
    assert hashes == statuses.count(401)


def test_guesses_at_once_are_counted_before_they_are_hashed(daemon):
    """Those that are under way are not yet wrong, and must not be free for that."""
    line = subprocess.run(["htpasswd", "-nbB", "-C", "10", "admin", "admin"],
                          capture_output=True, text=True, check=True).stdout
    reg = Registry(daemon, files={"users": line})
    begin = time.monotonic()
    guesses = [socket.create_connection(("127.0.0.1", reg.port), 60) for _ in range(60)]
    for i, s in enumerate(guesses):
        both = base64.b64encode(f"admin:guess{i}".encode()).decode()
        s.sendall(f"GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {both}"
                  "\r\nConnection: close\r\n\r\n".encode())
    statuses = [s.makefile("rb").read().split()[1] for s in guesses]
    for s in guesses:
        s.close()
    hashed = reg.d.metrics()["okd_regd_auth_hashes_total"]
    assert 20 <= hashed <= 20 + (time.monotonic() - begin) / 6 + 1
    assert statuses.count(b"401") == hashed and statuses.count(b"429") == 60 - hashed
    # A good one, once there is a turn for it, gives the address its turns back.
    def good():
        with reg.client() as c:
            return c("GET", "/v2/").status == 200

    wait_until(good, 30)
    with reg.client(password="once more") as c:
        assert c("GET", "/v2/").status == 401


def test_a_slow_hash_holds_nobody_up(daemon):
    """While a password takes its time, those that were verified are served."""
    reg = Registry(daemon)
    slow = reg.d.write_file("slow", "")
    line = subprocess.run(["htpasswd", "-nbB", "-C", "13", "slow", "slow"],
                          capture_output=True, text=True, check=True).stdout
    reg.d.write_file("users", htpasswd(admin="admin") + line)
    os.unlink(slow)
    reg.d.log_contains("read 2 users")
    with reg.client() as c, reg.client("slow", "slow") as s:
        assert c("GET", "/v2/").status == 200
        times = {}

        def ask():
            begin = time.monotonic()
            times["status"] = s("GET", "/v2/").status
            times["slow"] = time.monotonic() - begin

        t = threading.Thread(target=ask)
        t.start()
        worst = 0
        while t.is_alive():
            begin = time.monotonic()
            assert c("GET", "/v2/").status == 200
            worst = max(worst, time.monotonic() - begin)
        t.join()
        assert times["status"] == 200 and worst < times["slow"] / 2, (worst, times)


def test_own_certificate_and_own_user(daemon):
    """Nothing is configured: the registry makes what it needs and says where."""
    port = free_port()
    d = daemon("regd", {"listen": [f"127.0.0.1:{port}"]})
    d.log_contains("made a certificate for registry.okd.example.com")
    d.log_contains("made the user okd")
    with open(f"{d.state_dir}/password", encoding="utf-8") as f:
        password = f.read()
    assert len(password) == 24
    assert os.stat(f"{d.state_dir}/password").st_mode & 0o777 == 0o600
    assert os.stat(f"{d.state_dir}/tls/ca.key").st_mode & 0o777 == 0o600
    ca = f"{d.state_dir}/tls/ca.crt"
    with Client(port, "okd", password, ca=ca) as c:
        assert c("GET", "/v2/").status == 200
        cert = c.c.sock.getpeercert()
    names = {v for _, v in cert["subjectAltName"]}
    assert {"registry.okd.example.com", "bastion.okd.example.com", "192.168.120.101",
            "127.0.0.1", "localhost"} <= names
    with open(ca, encoding="utf-8") as f:
        before = f.read()
    # Kept over a restart; made anew under the same CA when the cluster's names change.
    serial = cert["serialNumber"]
    d.stop()
    d.start()
    with Client(port, "okd", password, ca=ca) as c:
        assert c("GET", "/v2/").status == 200
        assert c.c.sock.getpeercert()["serialNumber"] == serial
    cluster = example_cluster()
    cluster["name"] = "other"
    d.reload(cluster=cluster)
    with Client(port, "okd", password, ca=ca) as c:
        assert c("GET", "/v2/").status == 200
        cert = c.c.sock.getpeercert()
    assert ("DNS", "registry.other.example.com") in cert["subjectAltName"]
    with open(ca, encoding="utf-8") as f:
        assert f.read() == before


def test_a_domain_may_be_longer_than_a_common_name(daemon):
    cluster = example_cluster()
    cluster["base_domain"] = ".".join(["department"] * 8) + ".example.com"
    reg = Registry(daemon, tls=True, cluster=cluster)
    with reg.client() as c:
        assert c("GET", "/v2/").status == 200
        names = c.c.sock.getpeercert()["subjectAltName"]
    assert ("DNS", f"registry.{cluster['name']}.{cluster['base_domain']}") in names


def test_tls_1_1_is_refused(daemon):
    reg = Registry(daemon, tls=True)
    context = ssl.create_default_context(cafile=reg.ca)
    with pytest.warns(DeprecationWarning):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", reg.port)) as s:
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(s, server_hostname="localhost")


def test_who_does_not_trust_the_ca_is_told_of(daemon, tmp_path):
    """Nothing else on the registry's side would say why a node pulls nothing."""
    cluster = example_cluster()
    cluster["machine_network"] = ["127.0.0.0/8", "192.168.120.0/24"]
    name = cluster["nodes"][1]["name"]
    cluster["nodes"][1]["address"] = "127.0.0.7"
    reg = Registry(daemon, tls=True, cluster=cluster)
    remedy = f"it has to trust {reg.ca}, and to use a name that is in the certificate"
    for source, who in (("127.0.0.7", f"node {name}: 127.0.0.7"), ("127.0.0.8", "127.0.0.8")):
        assert subprocess.run(["curl", "-s", "--interface", source,
                               f"https://127.0.0.1:{reg.port}/v2/"], check=False).returncode == 60
        reg.d.log_contains(f"{who} does not accept the certificate (tlsv1 alert unknown ca): "
                           f"{remedy}")
    if shutil.which("skopeo"):  # Go's words for it
        subprocess.run(["skopeo", "inspect", f"docker://127.0.0.1:{reg.port}/a:x"], check=False,
                       capture_output=True, env={**os.environ, "HOME": str(tmp_path)})
        reg.d.log_contains(f"127.0.0.1 does not accept the certificate (sslv3 alert bad "
                           f"certificate): {remedy}")


def test_push_over_tls(daemon):
    reg = Registry(daemon, tls=True)
    image = Image({"f": os.urandom(300000)})
    with reg.client() as c:
        c.push("a", "x", image)
        c.expect_whole("a", "x", image)


def test_a_certificate_that_ends_soon_is_made_anew(daemon):
    reg = Registry(daemon, tls=True)
    folder = f"{reg.d.state_dir}/tls"
    reg.d.stop()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=x", "-days", "10", "-keyout", f"{folder}/registry.key",
         "-out", f"{folder}/registry.crt"], check=True, capture_output=True)
    reg.d.start()
    reg.d.log_contains("as the one there was ends soon")
    with reg.client() as c:
        assert c("GET", "/v2/").status == 200
    assert reg.d.status()["regd"]["certificate_ends"] > time.time() + 800 * 86400


@test_clock.pytestmark
def test_a_clock_that_is_slow_stops_no_registry(daemon, clock):
    """A bastion without a battery starts in another year, and its own certificate is what
    the nodes trust, whatever it thinks of that."""
    reg = Registry(daemon, tls=True, env=clock.env)
    with reg.client() as c:
        assert c("GET", "/v2/").status == 200
        before = c.c.sock.getpeercert()
    reg.d.stop()
    clock.wall(-5 * 365 * 86400)
    reg.d.start()
    reg.d.log_contains(re.compile(r"begins at 20\d\d-\S+ only: set this host's clock"))
    with reg.client() as c:
        assert c("GET", "/v2/").status == 200
        assert c.c.sock.getpeercert()["serialNumber"] == before["serialNumber"]


def test_no_manifest_is_a_page(daemon):
    """What is pushed is sent back with its type: never one that a browser would run."""
    reg = Registry(daemon)
    with reg.client() as c:
        a = c("PUT", "/v2/a/manifests/x", b'{"a":"<script>alert(1)</script>"}',
              Content_Type="text/html")
        assert a.status == 400 and a.code == "MANIFEST_INVALID"
