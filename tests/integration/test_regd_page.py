"""okd-regd: the page for people at /."""

import html.parser
import re

import pytest

from harness import wait_until
from regd import Image, Registry


class Page(html.parser.HTMLParser):
    """Links, table cells by row, and the names of all elements."""

    def __init__(self, text):
        super().__init__()
        self.links, self.rows, self.elements, self.cell = [], [], set(), False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        if tag == "a":
            self.links.append(dict(attrs)["href"])
        if tag == "tr":
            self.rows.append([])
        self.cell = tag in ("td", "th", "a", "code") and bool(self.rows)
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.cell and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


@pytest.fixture
def reg(daemon):
    return Registry(daemon, users={"admin": "admin", "ci": "c"}, auth={"rules": [
        {"users": ["admin"], "allow": ["pull", "push", "delete"]},
        {"users": ["ci"], "repositories": ["openshift/**"], "allow": ["pull"]}]})


def test_repositories_tags_sizes_and_last_pulls(reg):
    image = Image({"f": b"x" * 5000})
    with reg.client() as c:
        c.push("openshift/okd", "4.5.0", image)
        c.push("openshift/okd", "4.6.0", image)
        c.push("other", "v1", image)
        a = c("GET", "/")
        assert a.status == 200 and a.headers["Content-Type"].startswith("text/html")
        page = Page(a.body.decode())
        assert page.rows[0] == ["Repository", "Tags", "Size", "Last push"]
        assert [r[:2] for r in page.rows[1:]] == [["openshift/okd", "2"], ["other", "1"]]
        assert page.rows[1][2] == f"{sum(map(len, image.blobs))} B"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", page.rows[1][3])
        a = c("GET", page.links[0])
        tags = Page(a.body.decode())
        assert [r[0] for r in tags.rows[1:]] == ["4.5.0", "4.6.0"]
        assert image.digest.startswith(tags.rows[1][1]) and tags.rows[1][-1] == "-"
        c("GET", "/v2/openshift/okd/manifests/4.5.0")
        tags = Page(c("GET", page.links[0]).body.decode())
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", tags.rows[1][-1])
        # Nothing that runs, and nothing that would let something run.
        assert "script" not in page.elements | tags.elements
        assert "default-src 'none'" in a.headers["Content-Security-Policy"]
        assert a.headers["X-Content-Type-Options"] == "nosniff"


def test_the_caller_sees_what_it_may_pull(reg):
    with reg.client() as c:
        c.push("openshift/okd", "v1", Image())
        c.push("secret", "v1", Image())
    with reg.client("ci", "c") as c:
        body = c("GET", "/").body
        assert b"openshift/okd" in body and b"secret" not in body
        assert c("GET", "/?repository=secret").status == 404
        assert c("GET", "/?repository=openshift/okd").status == 200
    with reg.client(user=None) as c:
        a = c("GET", "/")
        assert a.status == 401 and a.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_browser_is_asked_for_a_password_where_others_fetch_tokens(daemon):
    reg = Registry(daemon, auth={"challenge": "bearer"})
    with reg.client(user=None) as c:
        a = c("GET", "/")
        assert a.status == 401 and a.headers["WWW-Authenticate"] == 'Basic realm="okd-regd"'
        assert c("GET", "/v2/").headers["WWW-Authenticate"].startswith("Bearer ")
    with reg.client() as c:
        assert c("GET", "/").status == 200


def test_more_than_a_page(reg):
    with reg.client() as c:
        for i in range(1001):
            c.push_manifest("many", f"t{i:04}", b'{"schemaVersion":2}')
        page = Page(c("GET", "/?repository=many").body.decode())
        assert len(page.rows) == 1001 and page.links[-1] == "/?repository=many&last=t0999"
        page = Page(c("GET", page.links[-1]).body.decode())
        assert [r[0] for r in page.rows[1:]] == ["t1000"] and len(page.links) == 1


def test_what_overlays_hold_is_shown_under_their_paths(daemon, tmp_path):
    ours, theirs = Image({"f": b"ours"}), Image({"f": b"theirs"})
    folder = tmp_path / "old & <older>"
    theirs.write_layout(folder, tag="v1")
    reg = Registry(daemon, users={"admin": "admin", "few": "few"}, auth={"rules": [
        {"users": ["admin"], "allow": ["pull", "push"]},
        {"users": ["few"], "repositories": ["x"], "allow": ["pull"]}]},
        overlays=[{"path": str(folder), "repository": "openshift/okd"}])
    wait_until(lambda: reg.d.admin("/readyz").status == 200)
    with reg.client() as c:
        c.push("mine", "v2", ours)
        body = c("GET", "/").body.decode()
        assert "In overlay " in body and "<older>" not in body and "&#60;older&#62;" in body
        page = Page(body)
        assert [r[0] for r in page.rows] == ["Repository", "mine", "Repository",
                                             "openshift/okd"]
        assert page.links == ["/?repository=mine", "/?overlay=0&repository=openshift/okd"]
        tags = Page(c("GET", page.links[1]).body.decode())
        assert [r[0] for r in tags.rows] == ["Tag", "v1"]
        # Under its name alone there is both what is ours and what is theirs.
        c.push("openshift/okd", "v3", ours)
        tags = Page(c("GET", "/?repository=openshift/okd").body.decode())
        assert [r[0] for r in tags.rows] == ["Tag", "v3", "Tag", "v1"]
        for odd in ("/?overlay=1", "/?overlay=-1", "/?overlay=x", "/?overlay=99"):
            assert c("GET", odd).status == 200
    with reg.client("few", "few") as c:
        assert b"openshift/okd" not in c("GET", "/").body
        assert c("GET", "/?overlay=0&repository=openshift/okd").status == 404


@pytest.mark.parametrize("query", ["repository=%3Cscript%3E", "repository=../x",
                                   "repository=none", "repository=a&last=%22%3E%3Cscript%3E"])
def test_what_a_query_says_is_not_shown(reg, query):
    with reg.client() as c:
        a = c("GET", f"/?{query}")
        assert b"<script>" not in a.body
