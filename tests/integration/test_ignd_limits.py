"""okd-ignd under TLS, over IPv6, at its limits, and among clients that mean it ill."""

import contextlib
import os
import re
import resource
import socket
import ssl
import subprocess
import threading
import time

import pytest

import harness
from ignd_fixtures import CLUSTER, pointer_ign, start_ignd

IMAGE = os.urandom(1 << 16) * 64  # 4 MiB


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=bastion",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=folder, check=True, capture_output=True)
    return folder


def test_tls(daemon, keys):
    port = harness.free_port()
    ignd = start_ignd(daemon, {"tls": {
        "listen": [f"127.0.0.1:{port}"], "certificate": str(keys / "cert.pem"),
        "key": str(keys / "key.pem")}})
    ignd.write("install/coreos.raw", IMAGE)
    context = ssl.create_default_context(cafile=keys / "cert.pem")

    def get(path, source):
        with socket.socket() as plain:
            plain.settimeout(20 * harness.SLOW)
            plain.bind((source, 0))
            plain.connect(("127.0.0.1", port))
            with context.wrap_socket(plain, server_hostname="127.0.0.1") as s:
                s.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
                got = bytearray()
                while chunk := s.recv(1 << 20):
                    got += chunk
        head, body = bytes(got).split(b"\r\n\r\n", 1)
        return int(head.split()[1]), body

    assert get("/install/coreos.raw", "127.0.0.4") == (200, IMAGE)
    assert get("/ignition/worker.ign", "127.0.0.4") == (200, ignd.read("ignition/worker.ign"))
    assert get("/ignition/master.ign", "127.0.0.4")[0] == 403
    tickets = harness.wait_until(lambda: ignd.d.admin("/v1/tickets").json()["tickets"])
    assert [t["node"] for t in tickets] == ["worker"]
    assert ignd.node("worker")["stage"] == "Starting installation"
    image = ignd.node("worker")["image"]
    assert image["acked"] == image["total"] == len(IMAGE)
    ignd.d.reload()
    assert get("/install/coreos.raw", "127.0.0.1") == (200, IMAGE)


def test_a_node_that_does_not_trust_is_told_of(daemon, keys):
    port = harness.free_port()
    ignd = start_ignd(daemon, {"tls": {
        "listen": [f"127.0.0.1:{port}"], "certificate": str(keys / "cert.pem"),
        "key": str(keys / "key.pem")}})
    for source, who in (("127.0.0.4", "node worker: 127.0.0.4 does"), ("127.0.0.9", "127.0.0.9 does")):
        subprocess.run(["curl", "-s", "--interface", source, f"https://127.0.0.1:{port}/"],
                       check=False)
        ignd.d.log_contains(f"{who} not accept the certificate (tlsv1 alert unknown ca): "
                            f"it has to trust the authority of {keys / 'cert.pem'}")


def test_bad_certificate_is_refused(daemon, keys):
    ignd = start_ignd(daemon)
    ignd.d.reload(config={**ignd.config, "tls": {
        "listen": ["127.0.0.1:1"], "certificate": str(keys / "key.pem"),
        "key": str(keys / "key.pem")}})
    ignd.d.log_contains("configuration kept as it was")
    assert ignd.get("/ignition/worker.ign", source="127.0.0.4").status == 200


def test_ipv6_nodes(daemon):
    cluster = {**CLUSTER, "machine_network": ["127.0.0.0/8", "::1/128"],
               "nodes": CLUSTER["nodes"][:2] + [
                   {"name": "worker", "role": "worker", "addresses": ["127.0.0.4", "::1"]}]}
    port = harness.free_port("::1")
    ignd = start_ignd(daemon, {"listen": [f"[::1]:{port}"]}, cluster)
    out = subprocess.run(["curl", "-sf", f"http://[::1]:{port}/ignition/worker.ign"],
                         capture_output=True, check=True, timeout=20).stdout
    assert out == ignd.read("ignition/worker.ign")
    tickets = harness.wait_until(lambda: ignd.d.admin("/v1/tickets").json()["tickets"])
    assert tickets[0]["address"] == "::1"


def test_mapped_addresses_are_ipv4(daemon):
    """A dual-stack listener sees IPv4 clients as ::ffff:a.b.c.d; they are nodes all the same."""
    port = harness.free_port("::")
    ignd = start_ignd(daemon, {"listen": [f"*:{port}"]})
    ignd.port = port
    assert ignd.get("/ignition/worker.ign", source="127.0.0.4").status == 200
    assert ignd.get("/ignition/master.ign", source="127.0.0.4").status == 403


def test_total_rate_is_shared(daemon):
    ignd = start_ignd(daemon, {"limits": {"total_rate": "4MiB"}})
    ignd.write("install/big.raw", IMAGE)
    begin = time.monotonic()
    threads = [threading.Thread(target=ignd.get, args=("/install/big.raw",),
                                kwargs={"source": f"127.0.1.{i}"}) for i in range(1, 3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert time.monotonic() - begin > (8 - 1 - 0.3) / 4  # 8 MiB, less the burst


def test_rate_changes_while_it_runs(daemon):
    ignd = start_ignd(daemon, {"limits": {"client_rate": "64KiB"}})
    ignd.write("install/big.raw", IMAGE)
    with ignd.slow_get("/install/big.raw", source="127.0.0.4") as t:
        t.read_some()
        ignd.d.reload(config=ignd.config | {"limits": {}})
        assert t.read_all() == IMAGE


def test_connections_of_one_address(daemon):
    ignd = start_ignd(daemon, {"limits": {"per_address": 3}})
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            s = stack.enter_context(socket.create_connection(("127.0.0.1", ignd.port)))
            s.sendall(b"GET /install/README HTTP/1.1\r\nHost: a\r\n\r\n")
            assert s.recv(4096).startswith(b"HTTP/1.1 200")
        with socket.create_connection(("127.0.0.1", ignd.port)) as s:
            s.settimeout(20 * harness.SLOW)
            assert s.recv(4096).startswith(b"HTTP/1.1 503")
        assert ignd.get("/install/README", source="127.0.0.4").status == 200


@pytest.mark.timeout(120)
def test_slow_heads(daemon):
    """A thousand clients that never finish their request hold up nobody."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    try:
        ignd = start_ignd(daemon, {"limits": {"per_address": 64}}, check_fds=False)
        with contextlib.ExitStack() as stack:
            for i in range(1000):
                s = stack.enter_context(socket.socket())
                s.bind((f"127.0.2.{i // 50 + 1}", 0))
                s.connect(("127.0.0.1", ignd.port))
                s.sendall(b"GET /install/README HTTP/1.1\r\nHost: ")
            assert ignd.get("/ignition/worker.ign", source="127.0.0.4").status == 200
            assert ignd.d.metrics()["okd_ignd_http_connections"] >= 1000
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_log_line_is_one_line(daemon):
    ignd = start_ignd(daemon)
    for path in ("/ignition/a%0aokd-ignd:%20error:%20x.ign", "/install/%1b[31m", "/%22%0d"):
        assert ignd.get(path).status in (403, 404)
    ignd.d.stop()
    for line in ignd.d.log.splitlines():
        assert re.match(r"okd-ignd: |127\.0\.0\.1 ", line), line
    assert "\x1b" not in ignd.d.log


def test_refusals_do_not_fill_the_journal(daemon):
    ignd = start_ignd(daemon, {"log": "none"})
    for _ in range(200):
        assert ignd.get("/ignition/worker.ign").status == 403
    ignd.d.stop()
    assert 20 <= ignd.d.log.count("may not have") < 40


def test_progress_of_many_ranges(daemon):
    """Ranges and conditions move nothing of a node's progress."""
    ignd = start_ignd(daemon)
    ignd.write("install/coreos.raw", IMAGE)
    for i in range(20):
        assert ignd.get("/install/coreos.raw", source="127.0.0.4",
                        Range=f"bytes={i}-{i + 100}").status == 206
    assert ignd.node("worker")["image"] is None
    ignd.get("/install/coreos.raw", source="127.0.0.4")
    harness.wait_until(lambda: ignd.node("worker")["stage"] == "Rebooting")


@pytest.mark.threads
def test_everything_at_once(daemon):
    """Files come and go, windows open and close, reloads happen; every answer is one of
    those that may be."""
    ignd = start_ignd(daemon, {"window": {"retry_after": "1s"}, "log": "none",
                               "hostname": True})
    stop = threading.Event()
    bad = []

    def client(source, path, allowed):
        while not stop.is_set():
            status = ignd.get(path, source=source).status
            if status not in allowed:
                bad.append((source, path, status))

    threads = [threading.Thread(target=client, args=a) for a in (
        ("127.0.0.4", "/ignition/worker.ign", (200, 503)),
        ("127.0.0.3", "/ignition/worker.ign", (403,)),
        ("127.0.0.2", "/ignition/bootstrap.ign", (200, 503)),
        ("127.0.0.4", "/install/a.raw", (200, 404)),
        ("127.0.0.1", "/", (200,)),
        ("127.0.0.1", "/install/a.raw.sha256", (200, 404)),
    )]
    for t in threads:
        t.start()
    for i in range(12):
        ignd.replace("install/a.raw", os.urandom(100000))
        ignd.replace("ignition/worker.ign", [b"", pointer_ign("worker")][i % 2])
        ignd.d.admin(["/v1/close?node=worker", "/v1/open?node=worker"][i % 2], "POST")
        ignd.d.reload()
    stop.set()
    for t in threads:
        t.join()
    assert not bad
