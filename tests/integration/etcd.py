"""etcd-server of the distribution on loopback: one member or several, stopped, paused,
compacted, replaced."""

import base64
import contextlib
import os
import shutil
import signal
import subprocess

import pytest
import requests
from harness import free_port, wait_until

HOST = "127.0.0.1"


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Member:
    """host: a netns.Host to run on; without one it is loopback."""

    def __init__(self, name, folder, tls=None, host=None, args=()):
        self.name = name
        self.tls = tls
        self.args = list(args)
        self.host = host
        self.dir = os.path.join(str(folder), name)
        self.client, self.peer = free_port(), free_port()
        address = host.address if host else HOST
        self.url = f"{'https' if tls else 'http'}://{address}:{self.client}"
        self.peer_url = f"http://{address}:{self.peer}"
        self.process = None

    def start(self, cluster):
        args = [
            "etcd", "--name", self.name, "--data-dir", self.dir, "--listen-client-urls",
            self.url, "--advertise-client-urls", self.url, "--listen-peer-urls",
            self.peer_url, "--initial-advertise-peer-urls", self.peer_url,
            "--initial-cluster", ",".join(f"{m.name}={m.peer_url}" for m in cluster),
            "--log-level", "error", "--logger", "zap", "--heartbeat-interval", "50",
            "--election-timeout", "500", *self.args,
        ]
        if self.tls:
            args += ["--trusted-ca-file", self.tls.ca, "--cert-file", self.tls.server[0],
                     "--key-file", self.tls.server[1], "--client-cert-auth"]
        if self.host:
            args = self.host.wrap(*args)
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def signal(self, signo):
        self.process.send_signal(signo)

    def stop(self):
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
                self.process.kill()
            self.process.wait(10)
            self.process = None


class Etcd:
    """tls: ca, server and client as paths, and pairs of certificate and key."""

    def __init__(self, folder, members=1, tls=None, args=()):
        self.folder = folder
        self.how = {"verify": tls.ca, "cert": tls.client} if tls else {}
        self.members = [Member(f"m{i}", folder, tls, args=args) for i in range(members)]
        self.start()

    @property
    def urls(self):
        return [m.url for m in self.members]

    def start(self):
        for m in self.members:
            if not m.process:
                m.start(self.members)
        wait_until(self.healthy, timeout=20, what="etcd")

    def healthy(self):
        with contextlib.suppress(requests.RequestException):
            return all(
                requests.get(m.url + "/health", timeout=1, **self.how).json()["health"] == "true"
                for m in self.members)
        return False

    def stop(self):
        for m in self.members:
            m.stop()

    def wipe(self):
        """Starts anew without data: another cluster."""
        self.stop()
        for m in self.members:
            shutil.rmtree(m.dir)
        self.start()

    def post(self, path, body, member=0):
        r = requests.post(f"{self.members[member].url}/v3{path}", json=body, timeout=10,
                          **self.how)
        assert r.status_code == 200, r.text
        return r.json()

    def log_in(self, name, password):
        """Further requests are this user's."""
        self.how.pop("headers", None)
        token = self.post("/auth/authenticate", {"name": name, "password": password})["token"]
        self.how["headers"] = {"Authorization": token}

    def put(self, key, value):
        return self.post("/kv/put", {"key": b64(key), "value": b64(value)})

    def delete(self, key):
        return self.post("/kv/deleterange", {"key": b64(key)})

    def delete_below(self, key):
        end = key[:-1] + chr(ord(key[-1]) + 1)
        return self.post("/kv/deleterange", {"key": b64(key), "range_end": b64(end)})

    def compact(self, revision):
        return self.post("/kv/compaction", {"revision": str(revision)})

    def txn(self, changes):
        """{key: value or None} as one transaction."""
        ops = [{"requestPut": {"key": b64(k), "value": b64(v)}} if v is not None
               else {"requestDeleteRange": {"key": b64(k)}} for k, v in changes.items()]
        return self.post("/kv/txn", {"success": ops})


@pytest.fixture
def etcd(tmp_path):
    """etcd(members, tls, args) -> Etcd"""
    if not shutil.which("etcd"):
        pytest.skip("etcd-server is not installed")
    running = []

    def start(members=1, tls=None, args=()):
        running.append(Etcd(tmp_path / f"etcd{len(running)}", members, tls, args))
        return running[-1]

    yield start
    for e in running:
        e.stop()
