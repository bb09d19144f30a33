"""Stand-ins for etcd: one whose check and watch come in the order that a test wants, and one
whose pages may be too large."""

import base64
import contextlib
import http.server
import json
import socket
import threading
import time

from etcd import b64

HOST = "127.0.0.1"
TOO_LARGE = 80 << 20  # more than dnsd takes as one page


class Stub:
    """An etcd that answers ranges by range(handler, request), and any number of watches."""

    cluster, term = 7, 2

    def __init__(self):
        self.watching = threading.Event()
        self.over = threading.Event()
        self.watches = []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/v3/watch":
                    owner.follow(self)
                elif self.path == "/v3/kv/lease/timetolive":
                    owner.lease(self)
                else:
                    owner.range(self, request)

            def log_message(self, format, *args):  # pylint: disable=redefined-builtin
                pass

        self.server = http.server.ThreadingHTTPServer((HOST, 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.urls = [f"http://{HOST}:{self.server.server_port}"]

    def header(self, revision):
        return {"cluster_id": str(self.cluster), "revision": str(revision),
                "raft_term": str(self.term)}

    def range(self, handler, request):
        raise NotImplementedError

    def lease(self, handler):
        raise NotImplementedError

    def reply(self, handler, revision, status=200, **more):
        body = json.dumps({"header": self.header(revision), **more}).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def follow(self, handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        self.watches.append(handler)
        self.say(1, created=True)
        self.watching.set()
        self.over.wait()

    def say(self, revision, **more):
        """To the latest watch."""
        line = json.dumps({"result": {"header": self.header(revision), **more}}) + "\n"
        to = self.watches[-1].wfile
        to.write(f"{len(line):x}\r\n{line}\r\n".encode())
        to.flush()

    def stop(self):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


class ScriptedEtcd(Stub):
    """Has no keys at revision 1.  The first range beside a watch is answered when it may be,
    with what was true when it was asked."""

    def __init__(self):
        self.revision, self.keys = 1, set()
        self.asked, self.may_answer = threading.Event(), threading.Event()
        super().__init__()

    def range(self, handler, request):
        revision, count = self.revision, len(self.keys)
        if self.watching.is_set() and not self.asked.is_set():
            self.asked.set()
            self.may_answer.wait()
        self.reply(handler, revision, count=str(count))

    def put(self, revision, key, value):
        self.revision = revision
        self.keys.add(key)
        self.say(revision, events=[{"kv": {
            "key": b64(key), "value": b64(value), "mod_revision": str(revision)}}])

    def stop(self):
        self.may_answer.set()
        super().stop()


class CountingEtcd(Stub):
    """Has one key from the beginning; knows when it was asked how far it is."""

    lease_id = "0"

    def __init__(self, key, value):
        self.key, self.value, self.revision, self.times = key, value, 1, []
        super().__init__()

    def range(self, handler, request):
        if "range_end" not in request:
            self.times.append(time.monotonic())
            self.reply(handler, self.revision)
            return
        kv = {"key": b64(self.key), "value": b64(self.value), "mod_revision": "1",
              "lease": self.lease_id}
        known = int(request.get("min_mod_revision", "0")) > 1 or request.get("count_only")
        self.reply(handler, self.revision, kvs=[] if known else [kv], count="1")

    def put(self, value):
        self.revision += 1
        self.value = value
        self.say(self.revision, events=[{"kv": {
            "key": b64(self.key), "value": b64(value), "mod_revision": str(self.revision)}}])

    def gaps(self, since):
        """Seconds between the checks from number since on."""
        t = self.times[since:]
        return [b - a for a, b in zip(t, t[1:])]


class PagedEtcd(Stub):
    """Has some keys; a page of more than most is larger than anybody takes."""

    def __init__(self, keys, most):
        self.keys, self.most, self.limits = sorted(keys.items()), most, []
        super().__init__()

    def forget(self):
        """From here on it is another cluster with the same keys."""
        self.cluster += 1

    def range(self, handler, request):
        if "range_end" not in request:
            self.reply(handler, 1)
            return
        start = base64.b64decode(request["key"]).decode()
        found = [kv for kv in self.keys if kv[0] >= start]
        if "min_mod_revision" in request or request.get("count_only"):
            self.reply(handler, 1, count=str(len(found)))
            return
        limit = int(request["limit"])
        self.limits.append(limit)
        if limit > self.most:
            handler.send_response(200)
            handler.send_header("Content-Length", str(TOO_LARGE))
            handler.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    handler.wfile.write(b" " * 65536)
            handler.close_connection = True
            return
        page = [{"key": b64(k), "value": b64(v), "mod_revision": "1"} for k, v in found[:limit]]
        self.reply(handler, 1, kvs=page, more=len(found) > limit, count=str(len(found)))


class SilentEtcd(Stub):
    """Takes requests and never answers: knows which ones."""

    def __init__(self):
        self.requests = []
        super().__init__()

    def range(self, handler, request):
        self.requests.append(request)
        self.over.wait()
        handler.close_connection = True


class StallingList(CountingEtcd):
    """Holds a list back until it may go on."""

    def __init__(self, key, value):
        self.listing, self.may_list = threading.Event(), threading.Event()
        super().__init__(key, value)

    def range(self, handler, request):
        if "limit" in request and "min_mod_revision" not in request:
            self.listing.set()
            self.may_list.wait()
        super().range(handler, request)

    def stop(self):
        self.may_list.set()
        super().stop()


class LeasingEtcd(CountingEtcd):
    """Its key has a lease of which it cannot tell at first."""

    able = False
    lease_id = "77"

    def __init__(self, key, value):
        self.asked = threading.Event()
        super().__init__(key, value)

    def lease(self, handler):
        self.asked.set()
        if self.able:
            self.reply(handler, self.revision, ID=self.lease_id, grantedTTL="100")
        else:
            self.reply(handler, self.revision, status=503, message="etcdserver: no leader")

    def end_watch(self):
        """The next one begins a moment later."""
        self.watches[-1].connection.shutdown(socket.SHUT_RDWR)
