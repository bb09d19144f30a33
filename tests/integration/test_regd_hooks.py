"""okd-regd: notifications by webhook, in the envelope that registry:2 sends."""

import contextlib
import http.server
import json
import re
import threading

import pytest

from harness import wait_until
from regd import MANIFEST, Image, Registry, digest

pytestmark = pytest.mark.threads


class Receiver:
    """An endpoint that takes events, or does not."""

    def __init__(self, port=0):
        receiver = self
        self.events, self.requests = [], []
        self.status = 200

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append((self.headers, body))
                if receiver.status == 200:
                    receiver.events += json.loads(body)["events"]
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/events"

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def actions(self):
        return [(e["action"], e["target"]["repository"]) for e in self.events]


@pytest.fixture
def receiver():
    with contextlib.closing(Receiver()) as r:
        yield r


def registry(daemon, receiver, **more):
    return Registry(daemon, notifications=[{"name": "ci", "url": receiver.url, **more}])


def test_the_envelope_is_registry_2s(daemon, receiver):
    reg = registry(daemon, receiver, headers=["Authorization: Bearer s3cret"],
                   events=["pull", "push", "mount", "delete"])
    image = Image()
    with reg.client() as c:
        c.headers["User-Agent"] = "tester/1"
        c.push("openshift/okd", "v1", image)
        assert c("POST", "/v2/other/blobs/uploads/?mount="
                 f"{digest(image.config)}&from=openshift/okd", b"").status == 201
        assert c("GET", "/v2/openshift/okd/manifests/v1").status == 200
        assert c("GET", f"/v2/openshift/okd/blobs/{digest(image.config)}").status == 200
        assert c("DELETE", "/v2/openshift/okd/manifests/v1").status == 202
        assert c("DELETE", f"/v2/openshift/okd/manifests/{image.digest}").status == 202
        assert c("DELETE", f"/v2/other/blobs/{digest(image.config)}").status == 202
    expect = [("push", "openshift/okd")] * 3 + [
        ("mount", "other"), ("pull", "openshift/okd"), ("pull", "openshift/okd"),
        ("delete", "openshift/okd"), ("delete", "openshift/okd"), ("delete", "other")]
    wait_until(lambda: len(receiver.events) >= len(expect))
    assert receiver.actions() == expect
    headers = receiver.requests[0][0]
    assert headers["Content-Type"] == "application/vnd.docker.distribution.events.v1+json"
    assert headers["Authorization"] == "Bearer s3cret"
    blob, manifest, mount = receiver.events[0], receiver.events[2], receiver.events[3]
    assert blob["target"] == {
        "mediaType": "application/octet-stream", "digest": digest(image.config),
        "size": len(image.config), "length": len(image.config),
        "repository": "openshift/okd"}
    assert manifest["target"]["tag"] == "v1"
    assert manifest["target"]["mediaType"] == MANIFEST
    assert manifest["target"]["digest"] == image.digest
    assert manifest["actor"] == {"name": "admin"}
    assert manifest["request"]["method"] == "PUT"
    assert manifest["request"]["useragent"] == "tester/1"
    assert manifest["request"]["addr"] == "127.0.0.1"
    assert manifest["source"]["instanceID"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", manifest["timestamp"])
    assert mount["target"]["fromRepository"] == "openshift/okd"
    assert receiver.events[6]["target"]["tag"] == "v1"
    assert len({e["id"] for e in receiver.events}) == len(expect)
    wait_until(lambda: reg.d.status()["regd"]["events_waiting"] == 0)


def test_only_what_is_asked_for(daemon, receiver):
    reg = registry(daemon, receiver, events=["delete"])
    image = Image()
    with reg.client() as c:
        c.push("a", "v1", image)
        assert c("GET", "/v2/a/manifests/v1").status == 200
        assert c("DELETE", "/v2/a/manifests/v1").status == 202
        # What did not happen is no event.
        assert c("DELETE", "/v2/a/manifests/v1").status == 404
        assert c("DELETE", f"/v2/a/manifests/{image.digest}").status == 202
    wait_until(lambda: len(receiver.events) >= 2)
    assert receiver.actions() == [("delete", "a"), ("delete", "a")]


def test_what_is_not_taken_is_tried_again_in_order(daemon, receiver):
    receiver.status = 500
    reg = registry(daemon, receiver)
    with reg.client() as c:
        for i in range(4):
            c.push_manifest("a", f"t{i}", b'{"schemaVersion":2,"n":%d}' % i)
    wait_until(lambda: len(receiver.requests) >= 2, 20)
    assert reg.d.metrics()["okd_regd_event_failures_total"] >= 1
    assert reg.d.status()["regd"]["events_waiting"] == 4
    reg.d.log_contains("ci does not take events, trying on: it answers with status 500")
    receiver.status = 200
    wait_until(lambda: len(receiver.events) >= 4, 20)
    assert [e["target"]["tag"] for e in receiver.events] == ["t0", "t1", "t2", "t3"]
    reg.d.log_contains("takes events again")


def test_the_queue_outlives_a_kill(daemon):
    """Nobody listens; the registry is killed; then somebody does."""
    receiver = Receiver()
    port = receiver.server.server_address[1]
    receiver.close()
    reg = registry(daemon, receiver)
    image = Image()
    with reg.client() as c:
        c.push("a", "v1", image)
    reg.d.kill9()
    reg.d.start()
    with contextlib.closing(Receiver(port)) as again:
        wait_until(lambda: len(again.events) >= 3, 30)
        assert [e["target"]["digest"] for e in again.events] == [
            digest(image.config), digest(image.layers[0]), image.digest]
        # And once they were taken, they are not sent again.
        wait_until(lambda: reg.d.status()["regd"]["events_waiting"] == 0)
        reg.d.stop()
        reg.d.start()
        with reg.client() as c:
            c.push_manifest("a", "v2", image.manifest)
        wait_until(lambda: len(again.events) >= 4, 20)
        assert len(again.events) == 4 and again.events[3]["target"]["tag"] == "v2"


def test_a_queue_that_is_full_loses_the_oldest_and_says_so(daemon, receiver):
    receiver.status = 503
    reg = registry(daemon, receiver, queue=5)
    with reg.client() as c:
        for i in range(12):
            c.push_manifest("a", f"t{i}", b'{"schemaVersion":2,"n":%d}' % i)
    receiver.status = 200
    wait_until(lambda: receiver.events and receiver.events[-1]["target"]["tag"] == "t11", 30)
    tags = [e["target"]["tag"] for e in receiver.events]
    assert tags == [f"t{i}" for i in range(12 - len(tags), 12)] and len(tags) <= 6
    assert reg.d.metrics()["okd_regd_events_lost_total"] == 12 - len(tags)


def test_a_queue_is_bounded_on_disk_too(daemon):
    """Nobody takes any, also after a restart: the database keeps no more than the queue."""
    gone = Receiver()
    gone.close()
    reg = registry(daemon, gone, queue=5)

    def push(first):
        with reg.client() as c:
            for i in range(first, first + 20):
                c.push_manifest("a", f"t{i}", b'{"schemaVersion":2,"n":%d}' % i)

    def waiting():
        return reg.d.status()["regd"]["events_waiting"]

    push(0)
    wait_until(lambda: waiting() == 5, 20)
    assert reg.d.metrics()["okd_regd_events_lost_total"] == 15
    reg.d.stop()
    reg.d.start()
    push(20)
    wait_until(lambda: waiting() == 5, 20)
    # Those of before are not lost once more.
    assert reg.d.metrics()["okd_regd_events_lost_total"] == 20


def test_an_endpoint_that_is_new_has_lost_nothing(daemon, receiver):
    reg = registry(daemon, receiver)
    with reg.client() as c:
        for i in range(12):
            c.push_manifest("a", f"t{i}", b'{"schemaVersion":2,"n":%d}' % i)
        wait_until(lambda: reg.d.status()["regd"]["events_waiting"] == 0)
        reg.d.reload({**reg.config, "notifications": [
            {"name": "other", "url": receiver.url, "queue": 5}]})
        c.push_manifest("a", "last", b'{"schemaVersion":2}')
    wait_until(lambda: receiver.events[-1]["target"]["tag"] == "last")
    assert reg.d.metrics()["okd_regd_events_lost_total"] == 0


def test_two_endpoints_do_not_wait_for_each_other(daemon, receiver):
    with contextlib.closing(Receiver()) as slow:
        slow.status = 500
        reg = Registry(daemon, notifications=[
            {"name": "slow", "url": slow.url}, {"name": "fast", "url": receiver.url}])
        with reg.client() as c:
            c.push("a", "v1", Image())
        wait_until(lambda: len(receiver.events) == 3)
        assert reg.d.status()["regd"]["events_waiting"] == 3
        slow.status = 200
        wait_until(lambda: len(slow.events) == 3, 20)
        assert slow.events == receiver.events
        wait_until(lambda: reg.d.status()["regd"]["events_waiting"] == 0)


def test_a_reload_takes_other_endpoints(daemon, receiver):
    reg = Registry(daemon)
    with reg.client() as c:
        c.push("a", "v1", Image())
        reg.d.reload({**reg.config, "notifications": [{"name": "x", "url": receiver.url}]})
        c.push_manifest("a", "v2", b'{"schemaVersion":2}')
        wait_until(lambda: receiver.events)
        assert [e["target"]["tag"] for e in receiver.events] == ["v2"]
        reg.d.reload({**reg.config})
        c.push_manifest("a", "v3", b'{"schemaVersion":2,"b":1}')
    assert reg.d.status()["regd"]["events_waiting"] == 0
    assert len(receiver.events) == 1
