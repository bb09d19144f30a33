"""okd-regd: a reload takes over all of a configuration or nothing of it."""

import contextlib
import subprocess

import pytest

from harness import free_port, wait_until
from regd import Client, Image, Registry, htpasswd
from test_regd_hooks import Receiver

pytestmark = pytest.mark.threads


@pytest.fixture
def receivers():
    with contextlib.closing(Receiver()) as old, contextlib.closing(Receiver()) as new:
        yield old, new


def make_certificate(path, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", f"{path}/{name}.key",
                    "-out", f"{path}/{name}.crt"], check=True, capture_output=True)
    return {"certificate": f"{path}/{name}.crt", "key": f"{path}/{name}.key"}


BAD = {
    "users": ({"auth": {"htpasswd": "/nonexistent/users"}}, "/nonexistent/users"),
    "issuer": ({"auth": {"htpasswd": "new-users", "issuers": [
        {"issuer": "x", "jwks": "/nonexistent/keys"}]}}, "/nonexistent/keys"),
    "webhook's authorities": ({"notifications": [
        {"name": "new", "url": "https://localhost/", "ca": "/nonexistent/ca"}]},
        "notifications: cannot read ca /nonexistent/ca"),
    "upstream": ({"pull_through": [{"prefix": "new", "upstream": "https:///"}]},
                 "is not of the form"),
    "upstream's password": ({"pull_through": [{
        "prefix": "new", "upstream": "https://localhost", "authfile": "/nonexistent/pull"}]},
        "/nonexistent/pull"),
    "upstream's authorities": ({"pull_through": [{
        "prefix": "new", "upstream": "https://localhost", "ca": "junk"}]},
        "holds no certificates"),
    "certificate": ({"tls": {"certificate": "junk", "key": "junk"}}, "junk"),
    "address": ({"listen": ["127.0.0.1:BUSY"]}, "BUSY"),
    "quota": ({"quotas": [{"repositories": ["CI/*"], "size": 1}]}, "fits no repository"),
}


@pytest.mark.parametrize("part", BAD)
def test_one_bad_part_changes_nothing(daemon, receivers, tmp_path, part):
    old, new = receivers
    certificates = {n: make_certificate(tmp_path, n) for n in ("old", "new")}
    upstream = Registry(daemon, auth=False, check_fds=False)
    image = Image({"f": b"upstream's"})
    with upstream.client() as c:
        c.push("app", "v1", image)

    def through(prefix):
        return [{"prefix": prefix, "upstream": f"http://127.0.0.1:{upstream.port}"}]

    reg = Registry(daemon, tls=certificates["old"], auth={"htpasswd": "users"},
                   files={"new-users": htpasswd(other="other"), "junk": "junk\n"},
                   notifications=[{"name": "old", "url": old.url}],
                   pull_through=through("old"), check_fds=False)

    def client(user):
        return Client(reg.port, user, user, ca=certificates["old"]["certificate"])

    # Everything changes, and one part of it is bad.
    fresh, sentence = BAD[part]
    busy = str(upstream.port)
    fresh = {**reg.config, "tls": certificates["new"], "auth": {"htpasswd": "new-users"},
             "notifications": [{"name": "new", "url": new.url}],
             "pull_through": through("new"), "listen": [f"127.0.0.1:{free_port()}"],
             "read_only": True, **fresh}
    fresh["listen"] = [a.replace("BUSY", busy) for a in fresh["listen"]]
    reg.d.reload(fresh)
    reg.d.log_contains("configuration kept as it was")
    config = reg.d.status()["config"]
    assert sentence.replace("BUSY", busy) in config["error"], config
    with client("admin") as c:  # the old certificate, address, user, right to push
        c.push("here", "v1", Image())
        c.expect_whole("old/app", "v1", image)
        assert c("GET", "/v2/new/app/manifests/v1").status == 404
    with client("other") as c:
        assert c("GET", "/v2/").status == 401
    wait_until(lambda: ("push", "here") in old.actions())
    assert new.requests == []
    # And with that part mended all of it is taken over.
    good = {**fresh, "tls": certificates["new"], "auth": {"htpasswd": "new-users"},
            "notifications": [{"name": "new", "url": new.url}], "pull_through": [],
            "listen": [f"127.0.0.1:{reg.port}"], "quotas": []}
    reg.d.reload(good)
    assert not reg.d.status()["config"]["error"]
    with Client(reg.port, "other", "other", ca=certificates["new"]["certificate"]) as c:
        assert c("GET", "/v2/here/tags/list").json()["tags"] == ["v1"]
        assert c("POST", "/v2/here/blobs/uploads/", b"").status == 405


def test_an_address_that_is_named_twice_has_one_certificate(daemon, tmp_path):
    """As it is where cluster.yaml gives the bastion an address that is always listened on."""
    certificates = {n: make_certificate(tmp_path, n) for n in ("old", "new")}
    reg = Registry(daemon, tls=certificates["old"])
    twice = {**reg.config, "listen": 2 * reg.config["listen"]}
    for name in ("old", "new", "old"):
        reg.d.reload({**twice, "tls": certificates[name]})
        for _ in range(5):
            with Client(reg.port, "admin", "admin", ca=certificates[name]["certificate"]) as c:
                assert c("GET", "/v2/").status == 200
    reg.d.stop()
    reg.d.write_config(twice)
    reg.d.start()
    reg.d.reload({**twice, "tls": certificates["new"]})
    with Client(reg.port, "admin", "admin", ca=certificates["new"]["certificate"]) as c:
        assert c("GET", "/v2/").status == 200
