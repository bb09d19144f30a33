"""okd-regd: quotas of repositories and of all of them together."""

import contextlib
import os
import threading

import pytest

from harness import wait_until
from regd import Image, Registry, chunks, digest

pytestmark = pytest.mark.threads

LIMIT = 100_000
QUOTAS = [{"repositories": ["ci/**"], "size": LIMIT}]


def files(reg):
    return sorted(name for base, _, names in os.walk(f"{reg.root}/blobs") for name in names)


def refused(a):
    assert a.status == 507 and a.code == "DENIED" and "quota" in a.json()["errors"][0]["message"]


def post(c, repo, data):
    """A push in one request, or None when the connection ended under it."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        return c("POST", f"/v2/{repo}/blobs/uploads/?digest={digest(data)}", data)
    c.c.close()
    return None


def test_a_repository_takes_so_much_and_no_more(daemon):
    reg = Registry(daemon, quotas=QUOTAS)
    first, second = os.urandom(60_000), os.urandom(60_000)
    with reg.client() as c:
        assert c("POST", f"/v2/ci/a/blobs/uploads/?digest={digest(first)}", first).status == 201
        # Announced: before a byte is taken.
        where = c.start("ci/a")
        c.c.putrequest("PATCH", where)
        c.c.putheader("Authorization", c.headers["Authorization"])
        c.c.putheader("Content-Length", len(second))
        c.c.endheaders()
        with c.c.sock.makefile("rb") as f:
            assert f.readline().split()[1] == b"507"
        c.c.close()
        # Unannounced: with the byte that is too much, and the space is free again.
        where = c.start("ci/a")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            refused(c("PATCH", where, chunks(second)))
        c.c.close()
        wait_until(lambda: reg.uploads() == [])
        # Others are others; what is there can be pushed again.
        assert c("POST", f"/v2/ci/b/blobs/uploads/?digest={digest(second)}",
                 second).status == 201
        assert c("POST", f"/v2/ci/a/blobs/uploads/?digest={digest(second[:40_000])}",
                 second[:40_000]).status == 201
        assert c("GET", f"/v2/ci/a/blobs/{digest(first)}").body == first
        refused(c("POST", "/v2/ci/a/blobs/uploads/", b""))
        # Sharing what another holds counts as well.
        refused(c("POST", f"/v2/ci/a/blobs/uploads/?mount={digest(second)}&from=ci/b", b""))
        assert c("POST", f"/v2/free/blobs/uploads/?mount={digest(second)}&from=ci/b",
                 b"").status == 201
        # What is deleted makes room.
        assert c("DELETE", f"/v2/ci/a/blobs/{digest(first)}").status == 202
        assert c("POST", f"/v2/ci/a/blobs/uploads/?mount={digest(second)}&from=ci/b",
                 b"").status == 201
    (status,) = reg.d.status()["regd"]["quotas"]
    assert status == {"repositories": ["ci/**"], "limit": LIMIT,
                      "fullest": {"repository": "ci/a", "bytes": 100_000}}
    assert "quota" not in reg.d.status()["regd"]
    assert reg.d.metrics()["okd_regd_refused_quota_total"] >= 4


def test_all_together(daemon):
    reg = Registry(daemon, storage={"quota": LIMIT, "reserve": 0}, gc={"grace": "1s"})
    data, more = os.urandom(80_000), os.urandom(30_000)
    with reg.client() as c:
        for repo in ("a", "b"):  # the same blob in two counts once
            assert c("POST", f"/v2/{repo}/blobs/uploads/?digest={digest(data)}",
                     data).status in (201, 507)
        assert c("POST", f"/v2/b/blobs/uploads/?mount={digest(data)}&from=a",
                 b"").status == 201
        assert reg.d.status()["regd"]["quota"] == {"limit": LIMIT, "used": 80_000}
        a = post(c, "c", more)
        if a is not None:
            refused(a)
        # Deleting and collecting, not deleting alone, gives the disk back.
        for repo in ("a", "b"):
            assert c("DELETE", f"/v2/{repo}/blobs/{digest(data)}").status == 202
        assert reg.d.status()["regd"]["quota"]["used"] == 80_000
        wait_until(lambda: reg.d.admin("/v1/gc", "POST").json()["blobs"] == 1)
        assert post(c, "c", more).status == 201
    metrics = reg.d.metrics()
    assert metrics["okd_regd_storage_quota_bytes"] == LIMIT
    assert metrics["okd_regd_storage_blob_bytes"] == len(more)


def test_pushes_at_once_do_not_go_over_it_together(daemon):
    """Each fits alone; what does not fit in the end is told so, and leaves no file."""
    reg = Registry(daemon, quotas=QUOTAS)
    blobs = [os.urandom(30_000) for _ in range(8)]
    clients = [reg.client() for _ in blobs]
    sessions = []
    for c, data in zip(clients, blobs):  # all are told to go on
        where = c.start("ci/a")
        assert c("PATCH", where, data).status == 202
        sessions.append(where)
    answers = [None] * len(blobs)

    def finish(i):
        answers[i] = clients[i]("PUT", f"{sessions[i]}?digest={digest(blobs[i])}", b"")

    threads = [threading.Thread(target=finish, args=(i,)) for i in range(len(blobs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    taken = [digest(b) for a, b in zip(answers, blobs) if a.status == 201]
    assert len(taken) == 3, answers
    for a in answers:
        if a.status != 201:
            refused(a)
    assert files(reg) == sorted(d[7:] for d in taken) and reg.uploads() == []
    for c in clients:
        c.c.close()


def test_a_damaged_blob_can_be_pushed_again_though_nothing_more_fits(daemon):
    reg = Registry(daemon, quotas=QUOTAS, scrub={"interval": "1s"})
    data = os.urandom(LIMIT)
    with reg.client() as c:
        assert post(c, "ci/a", data).status == 201
        with open(reg.blob_path(digest(data)), "r+b") as f:
            f.write(b"rot!" if data[:4] != b"rot!" else b"ROT!")
        wait_until(lambda: reg.d.status()["regd"]["bad_blobs"] == 1, timeout=20)
        c.push_blob("ci/a", data)
        assert c("GET", f"/v2/ci/a/blobs/{digest(data)}").body == data


def test_a_reload_changes_them_and_sums_outlive_a_restart(daemon):
    reg = Registry(daemon)
    image = Image({"f": os.urandom(50_000)})
    with reg.client() as c:
        c.push("ci/a", "v1", image)
        reg.d.reload({**reg.config, "quotas": [{"repositories": ["ci/a"], "size": 1000}]})
        refused(c("POST", "/v2/ci/a/blobs/uploads/", b""))
        c.expect_whole("ci/a", "v1", image)
        c.push("ci/a", "v2", image)  # nothing of it is new
    reg.d.stop()
    reg.d.start()
    (status,) = reg.d.status()["regd"]["quotas"]
    assert status["fullest"] == {"repository": "ci/a", "bytes": sum(map(len, image.blobs))}
