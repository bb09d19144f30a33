"""okd-csrd behind a real proxy (tinyproxy), as a kubeconfig's proxy-url asks for."""

import json
import shutil
import socket
import subprocess

import pytest

import csrd_kit
from csrd_kit import MASTER, WORKER, WORKER_IP, client_csr, follows, join
from harness import free_port, wait_until
from variant import SLOW

api, csrd = csrd_kit.api, csrd_kit.csrd  # fixtures

CONF = """
Port {port}
Listen 127.0.0.1
Allow 127.0.0.1
ConnectPort {target}
BasicAuth okd s3cret
Timeout 600
MaxClients 20
LogLevel Connect
"""


class Proxy:
    """A tinyproxy that lets through to one port, with a password."""

    def __init__(self, folder, target):
        self.port, self.log = free_port(hold=False), str(folder / "proxy.log")
        self.conf = folder / "proxy.conf"
        self.conf.write_text(CONF.format(port=self.port, target=target))
        self.process = None

    def start(self):
        with open(self.log, "ab") as out:
            # pylint: disable=consider-using-with
            self.process = subprocess.Popen(["tinyproxy", "-d", "-c", str(self.conf)],
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        wait_until(self.accepts, what="tinyproxy")

    def accepts(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def tunnels(self):
        with open(self.log, encoding="utf-8") as f:
            return sum("CONNECT 127.0.0.1:" in line for line in f)


@pytest.fixture
def proxy(api, tmp_path):
    if not shutil.which("tinyproxy"):
        pytest.skip("tinyproxy is not installed")
    p = Proxy(tmp_path, api.port)
    p.start()
    yield p
    p.stop()


def kubeconfig(api, path, url):
    api.kubeconfig(str(path))
    doc = json.loads(path.read_text())
    doc["clusters"][0]["cluster"]["proxy-url"] = url
    path.write_text(json.dumps(doc))
    return str(path)


def test_a_node_joins_through_a_proxy(api, csrd, proxy, tmp_path):
    d = csrd(kubeconfig=kubeconfig(api, tmp_path / "k",
                                   f"http://okd:s3cret@127.0.0.1:{proxy.port}"))
    join(api, WORKER, WORKER_IP)
    assert proxy.tunnels() >= 2  # a watch keeps its own
    # Nothing goes by another way, and nothing is lost while the proxy is away.
    proxy.stop()
    wait_until(lambda: not d.status()["csrd"]["api"]["following"])
    client_csr(api, "later", MASTER)
    before = len(api.requests)
    d.log_contains("cannot follow")
    assert len(api.requests) == before and not api.is_approved("later")
    proxy.start()
    api.wait_approved("later", timeout=20 * SLOW)
    d.stop(check_fds=False)
    assert "s3cret" not in d.log


def test_a_proxy_that_refuses(api, csrd, proxy, tmp_path):
    """The wrong password: the sentence says that it was the proxy, and a good file helps."""
    path = tmp_path / "k"
    d = csrd(kubeconfig=kubeconfig(api, path, f"http://okd:wrong@127.0.0.1:{proxy.port}"),
             wait=False)
    d.log_contains("CONNECT tunnel failed")
    assert api.requests == [] and "wrong@" not in d.log
    kubeconfig(api, path, f"http://okd:s3cret@127.0.0.1:{proxy.port}")
    follows(d)
    client_csr(api, "c", WORKER)
    api.wait_approved("c", timeout=10 * SLOW)
