"""okd-regd under those who may do less than they would like: other spellings of a path, other
methods, tokens for something else, mounts of what they cannot read."""

import base64
import json
import re
import socket

import pytest

from regd import INDEX, MANIFEST, Image, Registry, descriptor, digest

NOWHERE = "sha256:" + "0" * 64
SECRET = Image({"f": b"nobody but admin may see this"}, annotations={"mark": "S3CRET"})
RULES = [{"users": ["admin"], "allow": ["pull", "push", "delete"]},
         {"users": ["ci"], "repositories": ["open/**"], "allow": ["pull", "push"]},
         {"users": ["blind"], "repositories": ["open/**"], "allow": ["push"]},
         {"users": ["node"], "repositories": ["open/*"], "allow": ["pull"]}]
USERS = {"admin": "a", "ci": "c", "blind": "b", "node": "n"}


@pytest.fixture
def reg(daemon):
    r = Registry(daemon, users=USERS, auth={"rules": RULES, "challenge": "bearer"})
    with r.client("admin", "a") as c:
        c.push("secret", "x", SECRET)
        c.push("open/one", "x", Image())
        sign = Image({"s": b"1"}, subject=descriptor(SECRET.manifest, MANIFEST))
        c.push("secret", sign.digest, sign)
    return r


def user(reg, name):
    return reg.client(name, USERS.get(name)) if name else reg.client(user=None)


# --- spellings -------------------------------------------------------------------------

SPELLINGS = [
    "/v2/open/one/../../secret/manifests/x", "/v2/open/../secret/manifests/x",
    "/v2/open/%2e%2e/secret/manifests/x", "/v2/open/.%2E/secret/manifests/x",
    "/v2/open%2f..%2fsecret/manifests/x", "/v2/open/..%2fsecret/manifests/x",
    "/v2/./secret/manifests/x", "/v2//secret/manifests/x", "//v2/secret/manifests/x",
    "/v2/secret%2Fmanifests/x", "/v2/secret/manifests%2fx", "/v2/secret/%6danifests/x",
    "/%762/secret/manifests/x", "/v2/%73ecret/manifests/x", "/v2/Secret/manifests/x",
    "/v2/secret/manifests/x?/open/one", "/v2/open/one/manifests/../../../secret/manifests/x",
    "/v2/secret/manifests/./x", "/v2/secret/blobs/../manifests/x", "/V2/secret/manifests/x",
    "/v2/secret/manifests/x/", "/v2/secret/manifests//x", "/v2/open/one%00/../secret/manifests/x",
    "/v2/open\\one/../secret/manifests/x", "/v2/secret;open/one/manifests/x",
    "/v2/secret/manifests/%78", "/v2/secret/manifests/x#/open/one",
    "http://registry/v2/secret/manifests/x", "http://open/v2/open/../secret/manifests/x",
    f"/v2/secret/manifests/{SECRET.digest}", f"/v2/secret/manifests/{SECRET.digest.upper()}",
    f"/v2/open/one/manifests/{SECRET.digest}",
    f"/v2/secret/blobs/{digest(SECRET.layers[0])}", f"/v2/open/one/blobs/{digest(SECRET.config)}",
    f"/v2/open/one/blobs/{digest(SECRET.config).upper()}", f"/v2/secret/referrers/{SECRET.digest}",
    f"/v2/open/one/referrers/{SECRET.digest}", "/v2/secret/tags/list",
    "/v2/open/../secret/tags/list", "/?repository=secret", "/?repository=open%2F..%2Fsecret"]


def raw(reg, method, target, auth, *lines):
    """One request as it stands, and all that comes back."""
    head = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", *lines]
    if auth:
        head.append(f"Authorization: {auth}")
    with socket.create_connection(("127.0.0.1", reg.port), timeout=30) as s:
        s.sendall("\r\n".join((*head, "", "")).encode())
        data = b""
        while more := s.recv(65536):
            data += more
    return int(data.split()[1]), data


@pytest.mark.parametrize("name", [None, "node", "ci", "blind"])
def test_no_spelling_of_a_path_shows_more(reg, name):
    """Neither bytes, nor digests, nor that there is something."""
    with user(reg, name) as c:
        auth = c.headers.get("Authorization")
    marks = [b"S3CRET", SECRET.layers[0], SECRET.config]
    for target in SPELLINGS:
        for method in ("GET", "HEAD"):
            status, data = raw(reg, method, target, auth)
            empty = status == 200 and b'"manifests":[]' in data
            assert status in (400, 401, 403, 404) or empty or method == "HEAD" and \
                "open/one/referrers" in target, (method, target, status)
            assert not any(mark in data for mark in marks), (method, target)
            for line in data.split(b"\r\n\r\n")[0].split(b"\r\n"):
                assert not line.lower().startswith((b"docker-content-digest", b"etag")), target
        for method in ("PUT", "DELETE", "POST", "PATCH"):
            status, data = raw(reg, method, target, auth, "Content-Length: 0")
            assert 400 <= status < 500, (method, target, status)
    with user(reg, "admin") as c:
        c.expect_whole("secret", "x", SECRET)


def test_what_is_there_looks_like_what_is_not(reg):
    """To those who may not read it, whatever they ask."""
    def strip(data):
        data = re.sub(rb"Date: [^\r]*\r\n", b"", data)
        return data.replace(b"absent", b"secret").replace(NOWHERE.encode(),
                                                          SECRET.digest.encode())

    for name in (None, "node", "blind"):
        with user(reg, name) as c:
            auth = c.headers.get("Authorization")
        for method in ("GET", "HEAD", "DELETE"):
            for path in ("manifests/x", f"manifests/{SECRET.digest}", "tags/list",
                         f"referrers/{SECRET.digest}", f"blobs/{digest(SECRET.config)}"):
                there = raw(reg, method, f"/v2/secret/{path}", auth)
                absent = raw(reg, method, f"/v2/absent/{path}", auth)
                assert strip(there[1]) == strip(absent[1]), (name, method, path)


def test_headers_do_not_change_what_is_asked(reg):
    with user(reg, "node") as c:
        auth = c.headers["Authorization"]
    for line in ("X-HTTP-Method-Override: DELETE", "X-Original-URL: /v2/secret/manifests/x",
                 "X-Rewrite-URL: /v2/secret/manifests/x", "X-Forwarded-User: admin",
                 "X-Forwarded-For: 127.0.0.1", "Remote-User: admin"):
        status, data = raw(reg, "GET", "/v2/open/one/manifests/x", auth, line)
        assert status == 200 and b"S3CRET" not in data
        assert raw(reg, "GET", "/v2/secret/manifests/x", auth, line)[0] == 403
    with user(reg, "admin") as c:
        c.expect_whole("open/one", "x", Image())
        admin = c.headers["Authorization"]
    # Two of what must be one: a proxy in front may have judged the other.
    for both in ((auth, admin), (admin, auth)):
        status, data = raw(reg, "GET", "/v2/secret/manifests/x", both[0],
                           f"Authorization: {both[1]}")
        assert status == 400 and b"S3CRET" not in data


# --- rights ----------------------------------------------------------------------------


@pytest.mark.parametrize("name, rights", [
    (None, ()), ("node", ("pull",)), ("ci", ("pull", "push")), ("blind", ("push",)),
    ("admin", ("pull", "push", "delete"))])
def test_every_method_of_every_endpoint_asks_for_its_right(reg, name, rights):
    image = Image({"f": b"more"})
    repo = "open/one"
    refused = 403 if name else 401
    with user(reg, "admin") as root, user(reg, name) as c:
        where = root.start(repo)
        cases = [("GET", "tags/list", "pull"), ("HEAD", "tags/list", "pull"),
                 ("GET", "manifests/x", "pull"), ("HEAD", "manifests/x", "pull"),
                 ("GET", f"blobs/{digest(Image().config)}", "pull"),
                 ("HEAD", f"blobs/{digest(Image().config)}", "pull"),
                 ("GET", f"referrers/{Image().digest}", "pull"),
                 ("POST", "blobs/uploads/", "push"),
                 ("GET", where.split("one/")[1], "push"),
                 ("HEAD", where.split("one/")[1], "push"),
                 ("PATCH", where.split("one/")[1], "push"),
                 ("PUT", where.split("one/")[1] + f"?digest={digest(b'')}", "push"),
                 ("DELETE", "blobs/uploads/00000000-0000-0000-0000-000000000000", "push"),
                 ("PUT", "manifests/y", "push"), ("DELETE", "manifests/none", "delete"),
                 ("DELETE", f"blobs/{NOWHERE}", "delete")]
        for method, path, need in cases:
            body = [image.manifest] if path == "manifests/y" else (
                [b""] if method in ("POST", "PATCH", "PUT") else [])
            a = c(method, f"/v2/{repo}/{path}", *body)
            assert (a.status == refused) == (need not in rights), (method, path, a)
            if method == "POST" and a.status == 202:
                assert c("DELETE", a.headers["Location"]).status == 204
        root("DELETE", where)


def test_a_mount_tells_nothing_of_what_may_not_be_read(reg):
    """The same answer whether the blob is there or not; and nothing arrives."""
    there, absent = digest(SECRET.layers[0]), NOWHERE
    for name in ("ci", "blind"):
        with user(reg, name) as c:
            for query in ("?mount={}&from=secret", "?mount={}", "?mount={}&from=secret&from=open/one",
                          "?mount={}&from=open/../secret", "?from=secret&mount={}"):
                answers = []
                for d in (there, absent):
                    a = c("POST", f"/v2/open/mine/blobs/uploads/{query.format(d)}", b"")
                    assert a.status == 202, (name, query, a)
                    session = a.headers["Location"].rsplit("/", 1)[1]
                    answers.append([(k, v.replace(session, "S")) for k, v in a.headers.items()
                                    if k != "Date"])
                    assert c("DELETE", a.headers["Location"]).status == 204
                assert answers[0] == answers[1]
            # Nor does a manifest that names it make it readable.
            body = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST,
                               "config": descriptor(SECRET.config, "x/y"),
                               "layers": [descriptor(SECRET.layers[0])]}).encode()
            a = c("PUT", "/v2/open/mine/manifests/x", body, Content_Type=MANIFEST)
            assert a.status == 400 and a.code == "MANIFEST_BLOB_UNKNOWN"
            index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
                descriptor(SECRET.manifest, MANIFEST)]}).encode()
            a = c("PUT", "/v2/open/mine/manifests/y", index, Content_Type=INDEX)
            assert a.status == 400 and a.code == "MANIFEST_BLOB_UNKNOWN"
            # A PUT that asks for what another repository has committed.
            a = c("PUT", "/v2/open/mine/blobs/uploads/00000000-0000-0000-0000-000000000000"
                  f"?digest={there}", b"")
            assert a.status == 404
    with user(reg, "ci") as c:
        assert c("GET", f"/v2/open/mine/blobs/{there}").status == 404
        assert c("GET", "/v2/_catalog").json()["repositories"] == ["open/one"]


def test_who_may_not_pull_cannot_mount_what_it_pushed(reg):
    """blind may push, and its mounts come from what it may read: nothing."""
    with user(reg, "blind") as c:
        a = c("POST", f"/v2/open/two/blobs/uploads/?mount={digest(Image().config)}&from=open/one",
              b"")
        assert a.status == 202
        assert c("DELETE", a.headers["Location"]).status == 204
        assert c("GET", "/v2/_catalog").json()["repositories"] == []


def test_anonymous_pull_opens_nothing_else(daemon):
    reg = Registry(daemon, users=USERS, auth={"anonymous_pull": True})
    image = Image()
    with user(reg, "admin") as c:
        c.push("a", "x", image)
    with user(reg, None) as c:
        for path in ("/v2/", "/v2/_catalog", "/"):
            for method in ("GET", "HEAD"):
                a = c(method, path)
                assert a.status == 401 and a.headers["WWW-Authenticate"], (method, path)
        c.expect_whole("a", "x", image)
        for method, path in (("POST", "/v2/a/blobs/uploads/"), ("PUT", "/v2/a/manifests/x"),
                             ("POST", f"/v2/b/blobs/uploads/?mount={image.digest}&from=a"),
                             ("DELETE", "/v2/a/manifests/x"),
                             ("DELETE", f"/v2/a/blobs/{digest(image.config)}")):
            a = c(method, path, b"")
            assert a.status == 401 and a.headers["WWW-Authenticate"], (method, path)


# --- tokens ----------------------------------------------------------------------------


def token_for(c, *scopes):
    a = c("GET", "/token?service=okd-regd&" + "&".join(f"scope={s}" for s in scopes))
    return a.json()["token"] if a.status == 200 else None


@pytest.mark.parametrize("scope", [
    "repository:secret:pull", "repository:open/../secret:pull", "repository:open/**:pull",
    "repository:*:pull", "repository::pull", "repository:secret:*", "repository:SECRET:pull",
    "repository:secret:pull repository:open/one:pull", "registry:catalog:*", "repository:secret",
    "repository:open/one:pull,push,delete,*", "repository(plugin):secret:pull",
    "repository:open/one:pull%00repository:secret:pull", "repository:open/one%2F..%2F..%2Fsecret:pull"])
def test_a_scope_is_what_the_user_may_and_no_more(reg, scope):
    with user(reg, "node") as c:
        token = token_for(c, scope.replace(" ", "+"))
    if not token:
        return
    with user(reg, None) as c:
        c.headers["Authorization"] = f"Bearer {token}"
        a = c("GET", "/v2/secret/manifests/x")
        assert a.status in (401, 403) and b"S3CRET" not in a.body
        assert c("PUT", "/v2/open/one/manifests/x", b"{}").status in (401, 403)
        assert c("DELETE", "/v2/open/one/manifests/x").status in (401, 403)
        a = c("GET", "/v2/_catalog")
        assert a.status == 200 and "secret" not in a.json()["repositories"]
        assert c("GET", "/?repository=secret").status in (401, 403, 404)


def test_a_token_is_taken_where_it_belongs_alone(reg):
    with user(reg, "ci") as c:
        token = token_for(c, "repository:open/one:pull,push")
    basic = base64.b64encode(f"{token}:".encode()).decode()
    other = base64.b64encode(f"ci:{token}".encode()).decode()
    for auth in (f"Basic {basic}", f"Basic {other}", f"Bearer  {token}.x", f"Bearer {token},",
                 f"Token {token}", f"{token}", "Bearer", "Bearer null", f"Bearer {token[:-1]}",
                 f"Bearer {token.upper()}"):
        assert raw(reg, "GET", "/v2/open/one/manifests/x", auth)[0] in (401, 429), auth
    for query in (f"access_token={token}", f"token={token}"):
        assert raw(reg, "GET", f"/v2/open/one/manifests/x?{query}", None)[0] == 401


def test_rights_that_are_taken_away_end_in_tokens_too(reg):
    with user(reg, "ci") as c:
        token = token_for(c, "repository:open/one:pull,push")
    fewer = [dict(r, allow=["pull"]) if r["users"] == ["ci"] else r for r in RULES]
    with user(reg, None) as c:
        c.headers["Authorization"] = f"Bearer {token}"
        assert c("DELETE", c.start("open/one")).status == 204
        reg.d.reload({**reg.config, "auth": {**reg.config["auth"], "rules": fewer}})
        assert c("GET", "/v2/open/one/manifests/x").status == 200
        assert c("POST", "/v2/open/one/blobs/uploads/", b"").status == 403


# --- weights ---------------------------------------------------------------------------


@pytest.mark.parametrize("value", [
    ",".join(["0-"] * 1300), ",".join(f"{i}-" for i in range(900)), "," * 8000,
    ",".join(["18446744073709551615-"] * 300), ",".join(f"{2 * i}-{2 * i}" for i in range(900)),
    "-" + "9" * 4000, ",".join(f"{i}-0" for i in range(900))], ids=range(7))
def test_range_bombs_weigh_no_more_than_the_blob(reg, value):
    data = bytes(1 << 20)
    with user(reg, "admin") as c:
        d = c.push_blob("a", data)
        auth = c.headers["Authorization"]
    status, answer = raw(reg, "GET", f"/v2/a/blobs/{d}", auth, f"Range: bytes={value}")
    assert status in (200, 206, 416) and len(answer) < len(data) + 32 * 300 + 2000


def test_a_pushed_page_is_no_page(reg):
    """Whatever is sent back is of a type that no browser runs."""
    with user(reg, "ci") as c:
        d = c.push_blob("open/one", b"<script>alert(1)</script>")
        a = c("GET", f"/v2/open/one/blobs/{d}")
        assert a.headers["Content-Type"] == "application/octet-stream"
        for kind in ("text/html", "image/svg+xml", "application/x\\y", 'application/"x"',
                     "Application/x", "text/html;application/x"):
            a = c("PUT", "/v2/open/one/manifests/y", b"{}", Content_Type=kind)
            assert a.status == 400 and a.code == "MANIFEST_INVALID", kind
