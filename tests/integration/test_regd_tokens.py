"""okd-regd: Bearer tokens, its own and those of an issuer whose public keys it is given."""

import base64
import json
import os
import re
import shutil
import subprocess
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from harness import free_port, run_with_config, wait_until
from regd import Image, Registry, digest, htpasswd

pytestmark = pytest.mark.threads

ISSUER = "https://sso.example.com"


def challenge(answer):
    """The parameters of a Bearer challenge."""
    header = answer.headers["WWW-Authenticate"]
    assert answer.status == 401 and header.startswith("Bearer "), answer
    return dict(re.findall(r'(\w+)="([^"]*)"', header))


def fetch(c, *scopes):
    """What /token gives out, the way docker and containers/image ask for it."""
    query = "&".join(["service=okd-regd", *(f"scope={s}" for s in scopes)])
    return c("GET", f"/token?{query}")


def bearer(answer):
    return {"Authorization": f"Bearer {answer.json()['token']}"}


def with_token(reg, answer):
    c = reg.client(user=None)
    c.headers.update(bearer(answer))
    return c


@pytest.fixture
def reg(daemon):
    return Registry(daemon, users={"admin": "a", "ci": "c", "node": "n"}, auth={
        "challenge": "bearer", "rules": [
            {"users": ["admin"], "allow": ["pull", "push", "delete"]},
            {"users": ["ci"], "repositories": ["openshift/**"], "allow": ["pull", "push"]},
            {"users": ["anonymous"], "repositories": ["public/**"], "allow": ["pull"]}]})


def test_the_challenge_names_the_endpoint_and_the_scope(reg):
    with reg.client(user=None) as c:
        p = challenge(c("GET", "/v2/"))
        assert p == {"realm": f"http://127.0.0.1:{reg.port}/token", "service": "okd-regd"}
        p = challenge(c("GET", "/v2/openshift/okd/manifests/x"))
        assert p["scope"] == "repository:openshift/okd:pull"
        p = challenge(c("POST", "/v2/openshift/okd/blobs/uploads/", b""))
        assert p["scope"] == "repository:openshift/okd:pull,push"
        p = challenge(c("DELETE", "/v2/openshift/okd/manifests/x"))
        assert p["scope"] == "repository:openshift/okd:delete"
        assert challenge(c("GET", "/v2/_catalog"))["scope"] == "registry:catalog:*"
        p = challenge(c("GET", "/v2/", Host="registry.example.com"))
        assert p["realm"] == "http://registry.example.com/token"
        a = c("GET", "/token", Authorization="Basic eDp5")
        assert a.status == 401 and a.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_token_bounds_what_its_user_may(reg):
    image = Image()
    with reg.client("ci", "c") as c:
        a = fetch(c, "repository:openshift/okd:pull,push", "repository:secret:pull,push")
        assert a.status == 200 and a.json()["access_token"] == a.json()["token"]
        assert a.json()["expires_in"] == 300
        assert time.strptime(a.json()["issued_at"], "%Y-%m-%dT%H:%M:%SZ")
    claims = jwt.decode(a.json()["token"], options={"verify_signature": False})
    assert claims["sub"] == "ci" and claims["aud"] == "okd-regd"
    assert claims["access"] == [{"type": "repository", "name": "openshift/okd",
                                 "actions": ["pull", "push"]}]
    with with_token(reg, a) as c:
        assert c("GET", "/v2/").status == 200
        c.push("openshift/okd", "x", image)
        c.expect_whole("openshift/okd", "x", image)
        # Another repository that the user may use: another token, not a refusal.
        p = challenge(c("GET", "/v2/openshift/other/manifests/x"))
        assert p["error"] == "insufficient_scope"
        # One that the user may not.
        assert c("GET", "/v2/secret/manifests/x").status == 403
        # A token is no password.
        assert fetch(c, "repository:openshift/okd:pull").status == 401
    with reg.client("ci", "c") as c:  # the password works as before
        c.expect_whole("openshift/okd", "x", image)
        pull = fetch(c, "repository:openshift/okd:pull")
    with with_token(reg, pull) as c:
        c.expect_whole("openshift/okd", "x", image)
        p = challenge(c("POST", "/v2/openshift/okd/blobs/uploads/", b""))
        assert p["error"] == "insufficient_scope"


def test_nobody_gets_a_token_for_what_is_free(reg):
    image = Image()
    with reg.client("admin", "a") as c:
        c.push("public/x", "v", image)
        c.push("secret", "v", image)
    with reg.client(user=None) as c:
        assert fetch(c).status == 401
        assert fetch(c, "repository:secret:pull").status == 401
        a = fetch(c, "repository:public/x:pull,push", "repository:secret:pull")
        assert a.status == 200
    with with_token(reg, a) as c:
        c.expect_whole("public/x", "v", image)
        assert challenge(c("GET", "/v2/secret/manifests/v"))
        assert c("POST", "/v2/public/x/blobs/uploads/", b"").status == 401


def test_lists_show_what_the_token_is_for(reg):
    with reg.client("admin", "a") as c:
        for name in ("openshift/a", "openshift/b", "secret"):
            c.push(name, "v", Image())
    with reg.client("ci", "c") as c:
        one = fetch(c, "repository:openshift/a:pull")
        all_ = fetch(c, "registry:catalog:*")
    with with_token(reg, one) as c:
        assert c("GET", "/v2/_catalog").json()["repositories"] == ["openshift/a"]
    with with_token(reg, all_) as c:
        assert c("GET", "/v2/_catalog").json()["repositories"] == [
            "openshift/a", "openshift/b"]
        assert b"openshift/b" in c("GET", "/").body


def test_a_mount_needs_the_right_to_the_source(reg):
    image = Image()
    d = digest(image.layers[0])
    with reg.client("admin", "a") as c:
        c.push("openshift/a", "v", image)
    with reg.client("ci", "c") as c:
        narrow = fetch(c, "repository:openshift/b:pull,push")
        wide = fetch(c, "repository:openshift/b:pull,push", "repository:openshift/a:pull")
    path = f"/v2/openshift/b/blobs/uploads/?mount={d}&from=openshift/a"
    with with_token(reg, narrow) as c:
        a = c("POST", path, b"")
        assert a.status == 202
        assert c("DELETE", a.headers["Location"]).status == 204
    with with_token(reg, wide) as c:
        assert c("POST", path, b"").status == 201


def test_an_own_token_outlives_a_restart_and_dies_with_the_password(reg):
    with reg.client("ci", "c") as c:
        a = fetch(c, "repository:openshift/okd:pull,push")
    with with_token(reg, a) as c:
        c.push("openshift/okd", "x", Image())
    reg.d.stop()
    assert os.stat(f"{reg.d.state_dir}/token.key").st_mode & 0o777 == 0o600
    reg.d.start()
    with with_token(reg, a) as c:
        assert c("GET", "/v2/openshift/okd/manifests/x").status == 200
        reg.d.write_file("users", htpasswd(admin="a", ci="other", node="n"))
        wait_until(lambda: c("GET", "/v2/openshift/okd/manifests/x").status == 401)
        p = challenge(c("GET", "/v2/openshift/okd/manifests/x"))
        assert p["error"] == "invalid_token"


def test_forged_tokens_are_refused_and_counted(reg):
    with reg.client("ci", "c") as c:
        good = fetch(c, "repository:openshift/okd:pull").json()["token"]
    claims = jwt.decode(good, options={"verify_signature": False})
    forged = [jwt.encode(claims, "x" * 32, "HS256"), jwt.encode(claims, None, "none"),
              jwt.encode({**claims, "iss": "other"}, "x" * 32, "HS256"),
              good[:-3] + ("AAA" if good[-3:] != "AAA" else "BBB"), "x"]
    with reg.client(user=None) as c:
        for token in forged:
            a = c("GET", "/v2/", Authorization=f"Bearer {token}")
            assert challenge(a)["error"] == "invalid_token"
        statuses = [c("GET", "/v2/", Authorization=f"Bearer {i}").status
                    for i in range(40)]
        assert 429 in statuses
    assert reg.d.metrics()["okd_regd_tokens_refused_total"] >= len(forged)


def test_expired_tokens_are_nobodys_guess(daemon):
    reg = Registry(daemon, auth={"challenge": "bearer", "tokens": {"lifetime": "1m"}})
    with reg.client() as c:
        good = fetch(c, "repository:a:pull").json()["token"]
    reg.d.stop()
    with open(f"{reg.d.state_dir}/token.key", "rb") as f:
        key = f.read()
    reg.d.start()
    claims = jwt.decode(good, options={"verify_signature": False})
    old = jwt.encode({**claims, "exp": int(time.time()) - 1}, key, "HS256")
    with reg.client(user=None) as c:
        for _ in range(40):
            a = c("GET", "/v2/", Authorization=f"Bearer {old}")
            assert challenge(a)["error"] == "invalid_token"
        assert c("GET", "/v2/", Authorization=f"Bearer {good}").status == 200


@pytest.mark.parametrize("client", ["skopeo", "podman"])
def test_clients_fetch_tokens_by_themselves(daemon, tmp_path, client):
    if not shutil.which(client):
        pytest.skip(f"{client} is not installed")
    reg = Registry(daemon, auth={"challenge": "bearer"})
    image = Image()
    image.write_layout(tmp_path / "in")
    where = f"docker://127.0.0.1:{reg.port}/openshift/okd:v1"
    env = {**os.environ, "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    (tmp_path / "policy.json").write_text(
        '{"default": [{"type": "insecureAcceptAnything"}]}')
    if client == "skopeo":
        commands = [["skopeo", "--policy", tmp_path / "policy.json", "copy",
                     "--dest-tls-verify=false", "--dest-creds", "admin:admin",
                     f"oci:{tmp_path}/in:v1", where]]
    else:
        commands = [["podman", "login", "--tls-verify=false", "-u", "admin", "-p", "admin",
                     "--authfile", tmp_path / "auth.json", f"127.0.0.1:{reg.port}"],
                    ["podman", "search", "--tls-verify=false", "--list-tags",
                     "--authfile", tmp_path / "auth.json",
                     f"127.0.0.1:{reg.port}/openshift/okd"]]
        with reg.client() as c:
            c.push("openshift/okd", "v1", image)
    for command in commands:
        p = subprocess.run([str(a) for a in command], env=env, capture_output=True,
                           text=True, stdin=subprocess.DEVNULL, check=False)
        assert p.returncode == 0, p.stderr
    with reg.client() as c:
        c.expect_whole("openshift/okd", "v1", image)
    assert reg.d.metrics()["okd_regd_tokens_issued_total"] >= 1


# -- another issuer's


def number(n, size=None):
    size = size or (n.bit_length() + 7) // 8
    return base64.urlsafe_b64encode(n.to_bytes(size, "big")).rstrip(b"=").decode()


def jwk(private, kid):
    p = private.public_key().public_numbers()
    if isinstance(private, rsa.RSAPrivateKey):
        return {"kty": "RSA", "kid": kid, "use": "sig", "n": number(p.n), "e": number(p.e)}
    return {"kty": "EC", "crv": "P-256", "kid": kid, "x": number(p.x, 32),
            "y": number(p.y, 32)}


def token(key, alg, kid, **claims):
    now = int(time.time())
    access = [{"type": "repository", "name": "openshift/okd", "actions": ["pull", "push"]}]
    return jwt.encode({"iss": ISSUER, "aud": "okd-regd", "sub": "robot", "iat": now,
                       "exp": now + 300, "access": access, **claims}, key, alg,
                      headers={"kid": kid})


@pytest.fixture(name="keys", scope="module")
def make_keys():
    return {"RS256": rsa.generate_private_key(65537, 2048),
            "ES256": ec.generate_private_key(ec.SECP256R1())}


def jwks(keys):
    return json.dumps({"keys": [jwk(k, f"k-{a}") for a, k in keys.items()]})


@pytest.fixture
def foreign(daemon, keys):
    reg = Registry(daemon, auth={"challenge": "bearer", "tokens": {
        "realm": f"{ISSUER}/token"}, "issuers": [{"issuer": ISSUER, "jwks": "keys.json"}]},
        files={"keys.json": jwks(keys)})
    return reg


def test_tokens_of_a_configured_issuer(foreign, keys):
    image = Image()
    for alg, key in keys.items():
        with foreign.client(user=None) as c:
            p = challenge(c("GET", "/v2/"))
            assert p["realm"] == f"{ISSUER}/token"
            c.headers["Authorization"] = f"Bearer {token(key, alg, f'k-{alg}')}"
            assert c("GET", "/v2/").status == 200
            c.push("openshift/okd", alg.lower(), image)
            c.expect_whole("openshift/okd", alg.lower(), image)
            p = challenge(c("GET", "/v2/other/manifests/x"))
            assert p["error"] == "insufficient_scope"
            assert c("GET", "/v2/_catalog").json()["repositories"] == ["openshift/okd"]
    foreign.d.log_contains("robot")  # the access log names who it was


def test_tokens_that_the_issuer_did_not_mean(foreign, keys):
    other = ec.generate_private_key(ec.SECP256R1())
    es = keys["ES256"]
    now = int(time.time())
    bad = [token(other, "ES256", "k-ES256"), token(es, "ES256", "k-RS256"),
           token(es, "ES256", "k-ES256", aud="other"),
           token(es, "ES256", "k-ES256", exp=now - 120),
           token(es, "ES256", "k-ES256", nbf=now + 120),
           token(es, "ES256", "k-ES256", iss="okd-regd"),
           token(es, "ES256", "k-ES256", access="all")]
    with foreign.client(user=None) as c:
        for t in bad:
            a = c("GET", "/v2/", Authorization=f"Bearer {t}")
            assert challenge(a)["error"] == "invalid_token", t
        good = token(es, "ES256", "k-ES256", aud=["x", "okd-regd"], exp=now - 20)
        assert c("GET", "/v2/", Authorization=f"Bearer {good}").status == 200


def test_keys_that_change_are_read_again(foreign, keys):
    fresh = {"ES256": ec.generate_private_key(ec.SECP256R1())}
    t = token(keys["ES256"], "ES256", "k-ES256")
    with foreign.client(user=None) as c:
        c.headers["Authorization"] = f"Bearer {t}"
        assert c("GET", "/v2/").status == 200
        foreign.d.write_file("keys.json", "{}")
        foreign.d.log_contains("kept as they were")
        assert c("GET", "/v2/").status == 200
        foreign.d.write_file("keys.json", jwks(fresh))
        wait_until(lambda: c("GET", "/v2/").status == 401)
        t = token(fresh["ES256"], "ES256", "k-ES256")
        assert c("GET", "/v2/", Authorization=f"Bearer {t}").status == 200


def test_a_file_of_keys_that_is_none_is_an_error():
    said = run_with_config("regd", {"listen": [f"127.0.0.1:{free_port()}"], "tls": False,
                                    "auth": {"issuers": [{"issuer": ISSUER,
                                                          "jwks": "/nonexistent"}]}},
                           expect_exit=1)
    assert "cannot read /nonexistent" in said
