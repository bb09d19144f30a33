"""okd-ignd: images for all, each .ign for its own node, as the real clients ask for them."""

import os
import random
import re
import signal
import socket
import subprocess
import time

import pytest

import harness
from ignd_fixtures import CLUSTER, bootstrap_ign, certificate, pointer_ign, raw, start_ignd

IMAGE = os.urandom(1 << 16) * 32  # 2 MiB


@pytest.fixture
def ignd(daemon):
    return start_ignd(daemon)


def request_of_ignition(path, spec="3.1.0", version="2.6.0"):
    """Byte by byte what Ignition 2.6.0 sends."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
        f"User-Agent: Ignition/{version}\r\n"
        f"Accept: application/vnd.coreos.ignition+json;version={spec}, */*;q=0.1\r\n"
        "Accept-Encoding: identity\r\n\r\n"
    ).encode()


def request_of_installer(path):
    """What coreos-installer 0.1.3 sends through hyper."""
    return f"GET {path} HTTP/1.1\r\naccept: */*\r\nhost: 127.0.0.1:8080\r\n\r\n".encode()


# --- files -----------------------------------------------------------------------------


def test_image_and_signature(ignd):
    ignd.write("install/coreos.raw.xz", IMAGE)
    ignd.write("install/coreos.raw.xz.sig", b"signature")
    r = ignd.get("/install/coreos.raw.xz")
    assert (r.status, r.body) == (200, IMAGE)
    assert r.headers["Content-Length"] == str(len(IMAGE))
    assert r.headers["Content-Type"] == "application/octet-stream"
    assert r.headers["Content-Encoding"] is None
    assert ignd.get("/install/coreos.raw.xz.sig").body == b"signature"
    r = ignd.get("/install/coreos.raw.xz", "HEAD")
    assert (r.status, r.body, r.headers["Content-Length"]) == (200, b"", str(len(IMAGE)))


def test_missing_signature_is_404(ignd):
    ignd.write("install/coreos.raw.xz", IMAGE)
    for source in ("127.0.0.1", "127.0.0.4"):
        assert ignd.get("/install/coreos.raw.xz.sig", source=source).status == 404


def test_ranges_and_conditions(ignd):
    ignd.write("install/f.raw", b"0123456789")
    r = ignd.get("/install/f.raw")
    etag, modified = r.headers["ETag"], r.headers["Last-Modified"]
    assert ignd.get("/install/f.raw", Range="bytes=2-4").body == b"234"
    r = ignd.get("/install/f.raw", Range="bytes=0-0,8-9")
    assert r.status == 206
    assert r.headers["Content-Type"].startswith("multipart/byteranges; boundary=")
    assert ignd.get("/install/f.raw", Range="bytes=20-").status == 416
    assert ignd.get("/install/f.raw", If_None_Match=etag).status == 304
    assert ignd.get("/install/f.raw", If_Modified_Since=modified).status == 304
    assert ignd.get("/install/f.raw", If_Match='"x"').status == 412
    r = ignd.get("/install/f.raw", If_Range='"x"', Range="bytes=2-4")
    assert (r.status, r.body) == (200, b"0123456789")


def test_methods(ignd):
    ignd.write("install/f", b"x")
    for method in ("POST", "PUT", "DELETE"):
        r = ignd.get("/install/f", method)
        assert (r.status, r.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")


def test_nothing_but_regular_files(ignd):
    ignd.write("install/dir/f", b"x")
    os.mkfifo(ignd.path("install/pipe"))
    s = socket.socket(socket.AF_UNIX)
    s.bind(str(ignd.path("install/sock")))
    s.close()
    r = ignd.get("/install/dir")
    assert (r.status, r.body) == (301, b"") and r.headers["Location"].endswith("/install/dir/")
    for path in ("dir/", "", "pipe", "sock", "nothing", "dir/f/", "f%00"):
        assert ignd.get("/install/" + path).status in (400, 404), path
    assert ignd.get("/install/dir/f").body == b"x"
    assert ignd.get("/install//dir///f").body == b"x"


def test_links_lead_nowhere_else(ignd):
    ignd.write("secret", b"secret")
    ignd.write("install/real", b"real")
    for name, target in (("out", "../secret"), ("abs", str(ignd.path("secret"))),
                         ("proc", "/proc/self/environ"), ("loop", "loop")):
        os.symlink(target, ignd.path("install/" + name))
    os.symlink("real", ignd.path("install/in"))
    for name in ("out", "abs", "proc", "loop"):
        assert ignd.get("/install/" + name).status == 404, name
    assert ignd.get("/install/in").body == b"real"


def test_fuzzed_paths_stay_inside(daemon):
    """10,000 paths out of what traversals are made of: none finds a file outside."""
    ignd = start_ignd(daemon, {"page": False})
    ignd.write("secret", b"SECRET")
    ignd.write("ignition/auth/kubeadmin-password", b"SECRET")
    ignd.write("install/dir/f", b"inside")
    os.symlink("..", ignd.path("install/dir/up"))
    os.symlink("../..", ignd.path("install/dir/upup"))
    rng = random.Random(6)
    parts = ["..", ".", "%2e%2e", "%2E.", ".%2e", "/", "//", "%2f", "%5c", "\\", "dir", "f", "dir/f", "dir/../dir/f", "dir/f",
             "up", "upup", "secret", "ignition", "auth", "kubeadmin-password", "%00", "%",
             "%c0%ae%c0%ae", "..;", "etc", "passwd", "install", "proc", "self", "root", "?",
             "%252e%252e", "\xff"]
    with socket.create_connection(("127.0.0.1", ignd.port)) as s:
        s.settimeout(20 * harness.SLOW)
        seen = 0
        for i in range(10000):
            path = rng.choice(["/install/", "/ignition/", "/"]) + "/".join(
                rng.choice(parts) for _ in range(rng.randint(1, 6)))
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode("latin-1"))
            head = b""
            while b"\r\n\r\n" not in head:
                chunk = s.recv(65536)
                if not chunk:
                    break
                head += chunk
            if not head:
                s = socket.create_connection(("127.0.0.1", ignd.port))
                continue
            head, _, body = head.partition(b"\r\n\r\n")
            match = re.search(rb"(?i)content-length: (\d+)", head)
            while len(body) < int(match.group(1)):
                body += s.recv(65536)
            assert b"SECRET" not in body, path
            assert b"root:" not in body, path
            status = int(head.split()[1])
            assert status in (200, 301, 400, 403, 404), (path, head)
            if status == 301:  # a folder that is there
                assert b"Location: http://a/install/dir" in head and not body, path
            if status == 200 and path.startswith("/install"):
                assert body == b"inside", path
                seen += 1
            if b"connection: close" in head.lower():
                s.close()
                s = socket.create_connection(("127.0.0.1", ignd.port))
                s.settimeout(20 * harness.SLOW)
        assert seen > 10  # some of them are good ones
        s.close()


def test_replaced_file(ignd):
    """A transfer goes on with the old file when a new one takes its name."""
    ignd.write("install/big.raw", IMAGE * 8)
    with ignd.slow_get("/install/big.raw") as t:
        t.read_some()
        ignd.replace("install/big.raw", b"new" * 1000)
        assert t.read_all() == IMAGE * 8
    assert ignd.get("/install/big.raw").body == b"new" * 1000


def test_changed_in_place(ignd):
    """A file that is written to while it is sent ends the connection."""
    path = ignd.write("install/big.raw", IMAGE * 8)
    with ignd.slow_get("/install/big.raw") as t:
        t.read_some()
        with open(path, "r+b") as f:
            f.write(b"changed")
        assert len(t.read_all()) < len(IMAGE) * 8


# --- who may have what -----------------------------------------------------------------


def test_own_ignition_only(ignd):
    roles = {"127.0.0.2": "bootstrap", "127.0.0.3": "master", "127.0.0.4": "worker"}
    for address, own in roles.items():
        for role in roles.values():
            r = ignd.get(f"/ignition/{role}.ign", source=address)
            if role == own:
                assert (r.status, r.body) == (200, ignd.read(f"ignition/{role}.ign"))
                assert r.headers["Content-Type"] == "application/vnd.coreos.ignition+json"
            else:
                assert r.status == 403, (address, role)
    ignd.d.log_contains(re.compile("node worker .*may not have /ignition/master.ign"))
    for role in roles.values():
        assert ignd.get(f"/ignition/{role}.ign", source="127.0.0.1").status == 403
    assert ignd.d.metrics()['okd_ignd_refused_total{reason="other_node"}'] == 6
    assert ignd.d.metrics()['okd_ignd_refused_total{reason="unknown_address"}'] == 3


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Client-IP",
                                  "True-Client-IP", "Host", "X-Forwarded-Host"])
def test_an_address_is_not_claimed(ignd, name):
    """Who asks is whose address the connection has, whatever a header says."""
    value = "for=127.0.0.4" if name == "Forwarded" else "127.0.0.4"
    request = f"GET /ignition/worker.ign HTTP/1.1\r\nConnection: close\r\n{name}: {value}\r\n"
    request += "" if name == "Host" else "Host: a\r\n"
    head, body = raw(ignd, request.encode() + b"\r\n", "127.0.0.9")
    assert b" 403 " in head and b"merge" not in body


def test_no_proxy_speaks_for_a_client(ignd):
    proxied = b"PROXY TCP4 127.0.0.4 127.0.0.1 5000 8080\r\n"
    head, body = raw(ignd, proxied + b"GET /ignition/worker.ign HTTP/1.1\r\nHost: a\r\n\r\n",
                     "127.0.0.9")
    assert b" 400 " in head and b"merge" not in body


def test_secrets_beside(ignd):
    """Whatever openshift-install left there besides, nobody gets it."""
    ignd.write("ignition/auth/kubeconfig", b"secret")
    ignd.write("ignition/auth/kubeadmin-password", b"secret")
    ignd.write("ignition/metadata.json", b"{}")
    for source in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
        for path in ("auth/kubeconfig", "auth/kubeadmin-password", "metadata.json", ""):
            assert ignd.get("/ignition/" + path, source=source).status == 403
    ignd.write("install/bootstrap.ign", b"{}")
    assert ignd.get("/install/bootstrap.ign").status == 403


@pytest.mark.parametrize("unknown, image, ign", [("images", 200, 403), ("all", 200, 200),
                                                 ("none", 403, 403)])
def test_unknown_addresses(daemon, unknown, image, ign):
    ignd = start_ignd(daemon, {"unknown_nodes": unknown})
    ignd.write("install/f", b"x")
    assert ignd.get("/install/f", source="127.0.0.9").status == image
    assert ignd.get("/ignition/worker.ign", source="127.0.0.9").status == ign
    assert ignd.get("/ignition/worker.ign", source="127.0.0.4").status == 200
    assert ignd.get("/ignition/master.ign", source="127.0.0.4").status == 403


def test_token(daemon):
    ignd = start_ignd(daemon, {"nodes": [{"name": "worker", "token": "s3cret"}]})
    get = lambda q: ignd.get("/ignition/worker.ign" + q, source="127.0.0.4").status  # noqa: E731
    assert get("") == 403
    assert get("?t=s3cre") == 403
    assert get("?t=s3cret") == 200
    assert get("?a=b&t=s3cret") == 200
    assert ignd.get("/ignition/master.ign?t=s3cret", source="127.0.0.4").status == 403
    ignd.d.stop()
    assert "s3cret" not in ignd.d.log


@pytest.mark.parametrize("text, why", [
    (b"", "is empty"),
    (b" \n", "is empty"),
    (b'{"ignition":{"version":"3.1.0"}', ":1:"),
    (b'{\n "ignition": {"version": "3.1.0"},\n "storage": [}\n', ":3:"),
    (b"[]", "must be a JSON object"),
    (b"{}", 'no "ignition" object'),
    (b'{"ignition":{"version":"9.0.0"}}', "worker.ign:1:14: ignition.version is 9.0.0"),
    (b'{"ignition":{"version":"3.1.0"},"storage":{"files":[{"path":"/a"},{"path":"/a"}]}}',
     "worker.ign:1:68: storage.files: /a is there twice"),
])
def test_invalid_ignition_waits(ignd, text, why):
    ignd.write("ignition/worker.ign", text)
    r = ignd.get("/ignition/worker.ign", source="127.0.0.4")
    assert r.status == 503
    assert r.headers["Retry-After"].isdigit()
    ignd.d.log_contains(re.compile("does not get .*worker.ign.*" + re.escape(why)))
    assert ignd.node("worker")["stage"] == "Waiting for ignition"
    ignd.write("ignition/worker.ign", pointer_ign("worker"))
    assert ignd.get("/ignition/worker.ign", source="127.0.0.4").status == 200


def test_missing_ignition(ignd):
    os.unlink(ignd.path("ignition/worker.ign"))
    assert ignd.get("/ignition/worker.ign", source="127.0.0.4").status == 404


def test_an_unreadable_ignition_file_is_told_with_the_reason(ignd):
    """Here a link out of the folder, which root cannot read either."""
    config = lambda: [c for c in ignd.d.status()["ignd"]["configs"]  # noqa: E731
                      if c["name"] == "worker.ign"][0]
    os.unlink(ignd.path("ignition/worker.ign"))
    assert config() == {"name": "worker.ign", "state": "missing"}
    os.symlink("/etc/passwd", ignd.path("ignition/worker.ign"))
    assert config() == {"name": "worker.ign", "state": "unreadable", "error":
                        "it cannot be read: it is a link that leads out of its folder"}
    ignd.d.log_contains("worker.ign cannot be read: it is a link")
    assert ignd.get("/ignition/worker.ign", source="127.0.0.4").status == 404
    assert "worker.ign: it cannot be read" in ignd.get("/").body.decode()


def test_bad_ignition_stops_nothing(daemon):
    ignd = start_ignd(daemon, files={"worker": b"{"})
    ignd.d.log_contains("worker.ign")
    assert ignd.get("/ignition/master.ign", source="127.0.0.3").status == 200


# --- the real clients ------------------------------------------------------------------


@pytest.mark.parametrize("role, address", [("bootstrap", "127.0.0.2"), ("worker", "127.0.0.4")])
def test_ignition_2_6(ignd, role, address):
    head, body = raw(ignd, request_of_ignition(f"/ignition/{role}.ign"), address)
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == ignd.read(f"ignition/{role}.ign")
    assert b"transfer-encoding" not in head.lower()
    assert b"content-encoding" not in head.lower()


def test_version_the_node_does_not_read(ignd):
    ignd.write("ignition/worker.ign", pointer_ign("worker", "3.2.0"))
    head, _ = raw(ignd, request_of_ignition("/ignition/worker.ign"), "127.0.0.4")
    assert head.startswith(b"HTTP/1.1 503")
    ignd.d.log_contains("reads up to spec version 3.1, the file is of 3.2")
    head, _ = raw(ignd, request_of_ignition("/ignition/worker.ign", "3.2.0", "2.7.0"),
                  "127.0.0.4")
    assert head.startswith(b"HTTP/1.1 200")


def test_coreos_installer(ignd):
    ignd.write("install/coreos.raw.xz", IMAGE)
    head, _ = raw(ignd, request_of_installer("/install/coreos.raw.xz.sig?x=1"), "127.0.0.4")
    assert head.startswith(b"HTTP/1.1 404")
    head, body = raw(ignd, request_of_installer("/install/coreos.raw.xz?x=1"), "127.0.0.4")
    assert head.startswith(b"HTTP/1.1 200") and body == IMAGE
    assert f"content-length: {len(IMAGE)}".encode() in head.lower()


def test_curl_of_2020(ignd, tmp_path):
    out = tmp_path / "config.ign"
    curl = ["curl", "--interface", "127.0.0.4", "--progress-bar", "--retry", "5", "--fail",
            "-o", str(out)]
    url = f"http://127.0.0.1:{ignd.port}/ignition/"
    p = subprocess.run(curl + [url + "worker.ign"], timeout=30, capture_output=True, check=False)
    assert p.returncode == 0, p.stderr
    assert out.read_bytes() == ignd.read("ignition/worker.ign")
    p = subprocess.run(curl + [url + "master.ign"], timeout=30, capture_output=True, check=False)
    assert p.returncode == 22  # final, at once


def test_curl_waits_out_a_bad_file(daemon, tmp_path):
    """--retry takes the 503 for what it is: later it has the file."""
    ignd = start_ignd(daemon, {"window": {"retry_after": "1s"}})
    ignd.write("ignition/worker.ign", b"")
    out = tmp_path / "config.ign"
    url = f"http://127.0.0.1:{ignd.port}/ignition/worker.ign"
    p = subprocess.Popen(["curl", "--interface", "127.0.0.4", "-sS", "--retry", "5",
                          "--retry-delay", "1", "--fail", "-o", str(out), url])
    ignd.d.log_contains("is empty")
    ignd.replace("ignition/worker.ign", pointer_ign("worker"))
    assert p.wait(60) == 0
    assert out.read_bytes() == pointer_ign("worker")


# --- tickets and progress --------------------------------------------------------------


def test_ticket(ignd):
    assert ignd.d.admin("/v1/tickets").json() == {"tickets": []}
    before = int(time.time())
    ignd.get("/ignition/worker.ign", "HEAD", source="127.0.0.4")
    ignd.get("/ignition/worker.ign", source="127.0.0.4", Range="bytes=0-3")
    ignd.get("/ignition/master.ign", source="127.0.0.4")
    assert ignd.d.admin("/v1/tickets").json() == {"tickets": []}
    ignd.get("/ignition/worker.ign", source="127.0.0.4")
    tickets = harness.wait_until(lambda: ignd.d.admin("/v1/tickets").json()["tickets"])
    assert before <= tickets[0].pop("fetched_at") <= time.time()
    assert tickets == [{"node": "worker", "address": "127.0.0.4"}]


def test_no_ticket_for_half_a_file(ignd):
    """What only fills the socket's buffers was not fetched."""
    ignd.write("ignition/worker.ign", pointer_ign("worker", pad=300000))
    with ignd.slow_get("/ignition/worker.ign", source="127.0.0.4") as t:
        t.read_some(1000)
        harness.wait_until(lambda: ignd.node("worker")["ignition"])
    harness.wait_until(lambda: not ignd.node("worker")["ignition"]["active"])
    assert ignd.node("worker")["ignition"]["acked"] < 300000
    assert ignd.d.admin("/v1/tickets").json() == {"tickets": []}


def test_stages(ignd):
    ignd.write("install/coreos.raw.xz", IMAGE * 8)
    assert ignd.node("worker")["stage"] == ""
    ignd.get("/ignition/worker.ign", source="127.0.0.4")
    assert ignd.node("worker")["stage"] == "Starting installation"
    with ignd.slow_get("/install/coreos.raw.xz", source="127.0.0.4") as t:
        t.read_some()
        harness.wait_until(lambda: ignd.node("worker")["image"]["acked"] > 0)
        node = ignd.node("worker")
        assert node["stage"] == "Writing image to disk"
        assert node["image"]["total"] == len(IMAGE) * 8
        assert 0 < node["image"]["acked"] < len(IMAGE) * 8
        t.read_all()
    harness.wait_until(lambda: ignd.node("worker")["stage"] == "Rebooting")
    image = ignd.node("worker")["image"]
    assert image["acked"] == image["total"] and image["done_at"]
    with ignd.slow_get("/install/coreos.raw.xz", source="127.0.0.4") as t:
        t.read_some()
    harness.wait_until(lambda: ignd.node("worker")["stage"] == "Failed")
    assert "stopped after" in ignd.node("worker")["why"]
    raw(ignd, request_of_ignition("/ignition/master.ign"), "127.0.0.3")
    harness.wait_until(lambda: ignd.node("master")["stage"] == "Configuring")
    assert ignd.node("bootstrap")["stage"] == ""


# --- certificates ----------------------------------------------------------------------


@pytest.mark.parametrize("begin, end, status, words", [
    (-3600, 20 * 3600, 200, None),
    (-48 * 3600, -24 * 3600, 503, "have expired at"),
    (24 * 3600, 48 * 3600, 503, "the clock here is slow"),
])
def test_certificate_clock(ignd, tmp_path, begin, end, status, words):
    pem = certificate(tmp_path, begin, end)
    ignd.write("ignition/bootstrap.ign", bootstrap_ign(pem))
    assert ignd.get("/ignition/bootstrap.ign", source="127.0.0.2").status == status
    if words:
        ignd.d.log_contains(words)


# --- limits and life -------------------------------------------------------------------


def test_bandwidth(daemon):
    ignd = start_ignd(daemon, {"limits": {"client_rate": "2MiB"}})
    ignd.write("install/big.raw", IMAGE * 2)
    begin = time.monotonic()
    assert ignd.get("/install/big.raw").body == IMAGE * 2
    took = time.monotonic() - begin
    assert took > (4 - 0.5 - 0.1) / 2  # 4 MiB, less the burst, at 2 MiB/s


def test_drain_and_reload(ignd):
    ignd.write("install/big.raw", IMAGE * 8)
    with ignd.slow_get("/install/big.raw") as t:
        t.read_some()
        ignd.d.reload(cluster={**CLUSTER, "nodes": CLUSTER["nodes"][:2]})
        assert ignd.get("/ignition/worker.ign", source="127.0.0.4").status == 403
        ignd.d.signal(signal.SIGTERM)
        ignd.d.log_contains("stopping")
        assert t.read_all() == IMAGE * 8
    ignd.d.wait_exit()


def test_bad_reload_changes_nothing(ignd):
    ignd.d.reload(config={**ignd.config, "unknown_nodes": "some"})
    ignd.d.log_contains("configuration kept as it was")
    assert ignd.get("/ignition/worker.ign", source="127.0.0.4").status == 200
    assert ignd.get("/ignition/worker.ign").status == 403


def test_folders_that_lie_in_each_other():
    text = harness.run_with_config("ignd", {"install": "/srv", "ignition": "/srv/ign"})
    assert "must not be in it" in text


def test_upgrade_keeps_transfers(ignd):
    ignd.write("install/big.raw", IMAGE * 8)
    with ignd.slow_get("/install/big.raw") as t:
        t.read_some()
        ignd.d.upgrade()
        assert ignd.get("/ignition/worker.ign", source="127.0.0.4").status == 200
        assert t.read_all() == IMAGE * 8
    ignd.d.wait_old()
