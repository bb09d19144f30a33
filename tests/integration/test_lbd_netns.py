"""okd-lbd from cluster.yaml alone, at the guide's addresses and ports, between namespaces."""

import os
import sys

import pytest

from harness import wait_until
from lbd_peers import make_certificate
from variant import SLOW

STAND_IN = """
import http.server, ssl, sys, threading
name, crt, key = sys.argv[1:4]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (name + " " + self.path).encode().ljust(30000 if "config" in self.path else 0)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
for port in (6443, 22623):
    server = http.server.ThreadingHTTPServer(("", port), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    server.socket = context.wrap_socket(server.socket, server_side=True,
                                        do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever).start()
"""


@pytest.fixture
def net(netns, tmp_path):
    crt, key = make_certificate(str(tmp_path))
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)

    def start(host):
        return netns[host].popen([sys.executable, str(script), host, crt, key])

    netns.start = start
    return netns


def fetch(net, host, port, path):
    """What curl says on a host, or its exit status."""
    p = net[host].run(["curl", "-sk", "--max-time", "5",
                       f"https://192.168.120.101:{port}{path}"], check=False)
    return p.stdout.strip() if p.returncode == 0 else p.returncode


@pytest.mark.timeout(90)
def test_the_control_plane_from_the_cluster_file_alone(net, daemon):
    d = daemon("lbd", "", wrapper=net["bastion"].wrap(), check_fds=False)

    def state():
        return d.status()["lbd"]["install"]["state"]

    assert state() == "waiting"
    bootstrap = net.start("bootstrap")
    wait_until(lambda: state() == "bootstrap", 15, "the bootstrap")
    wait_until(lambda: fetch(net, "worker", 6443, "/version") == "bootstrap /version", 15)
    wait_until(lambda: str(fetch(net, "master", 22623, "/config/master")).startswith(
        "bootstrap "), 15, "the configuration of the master")
    # The worker is not sent to the bootstrap's machine config server.
    assert isinstance(fetch(net, "worker", 22623, "/config/worker"), int)

    net.start("master")
    wait_until(lambda: state() == "handover", 20, "the handover")
    assert fetch(net, "worker", 6443, "/version") == "master /version"
    bootstrap.kill()
    bootstrap.wait(10)
    assert fetch(net, "worker", 22623, "/config/worker").startswith("master ")
    wait_until(lambda: {n["name"]: bool(n["fetched"]) for n in
                        d.status()["lbd"]["install"]["nodes"]}
               == {"bootstrap": False, "master": True, "worker": True}, 10 * SLOW)
    page = net["worker"].run(["curl", "-s", "http://192.168.120.101:9000/"]).stdout
    assert "machine-config-server" in page and "install handover" in page
    assert os.path.exists(os.path.join(d.runtime_dir, "install-handover"))
