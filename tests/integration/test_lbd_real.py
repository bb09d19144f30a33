"""okd-lbd with real programs around it: kubectl, curl and Chromium before it; nginx, openssl
and a server in Go behind it."""

import os
import shutil
import signal
import subprocess
import threading
import urllib.request

import pytest

from harness import free_port, wait_until
from kubeapi import ADMIN, KubeApi
from lbd_peers import Server, config, make_certificate, server_status, wait_status
from variant import SLOW


def need(program):
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if not path:
        pytest.skip(f"{program} is not installed")
    return path


class Program:
    """A program that runs for the length of a with block; its output is kept."""

    def __init__(self, *args):
        self.p = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
        self.output = []
        self.reader = threading.Thread(target=lambda: self.output.extend(self.p.stdout))
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.p.send_signal(signal.SIGTERM)
        try:
            self.p.wait(10)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
        self.reader.join()
        self.p.stdin.close()
        self.p.stdout.close()


# --- kubectl ---------------------------------------------------------------------------------


def test_kubectl_works_and_watches_through_a_reload(daemon, tmp_path):
    kubectl = need("kubectl")
    port = free_port()
    with KubeApi(str(tmp_path)) as api:
        servers = [{"name": "master", "address": f"127.0.0.1:{api.port}"}]
        check = {"type": "https", "path": "/readyz", "expect": [200], "interval": "100ms",
                 "timeout": "5s"}
        d = daemon("lbd", config(servers, port, check=check))
        assert server_status(d, "master")["check"]["status"] == "L7OK"
        path = str(tmp_path / "kubeconfig")
        api.kubeconfig(path, user="admin", rights=ADMIN)
        with open(path, encoding="utf-8") as f:
            text = f.read().replace(f"127.0.0.1:{api.port}", f"127.0.0.1:{port}")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        command = [kubectl, "--kubeconfig", path, f"--cache-dir={tmp_path}/cache"]
        api.put_node("worker")
        p = subprocess.run([*command, "get", "nodes", "-o", "name"], capture_output=True,
                           text=True, timeout=30 * SLOW, check=False)
        assert p.stdout == "node/worker\n", p.stderr
        with Program(*command, "get", "nodes", "-w", "-o", "name") as watch:
            wait_until(lambda: watch.output == ["node/worker\n"], 20, "the list")
            d.reload(config(servers, port, check=check, balance="leastconn"))
            api.put_node("master")
            wait_until(lambda: "node/master\n" in watch.output, 20, "the news of the watch")
        assert d.status()["lbd"]["frontends"][0]["errors"] == 0


# --- servers ---------------------------------------------------------------------------------


def test_curl_fetches_from_nginx_through_it(daemon, tmp_path):
    curl, nginx = need("curl"), need("nginx")
    crt, key = make_certificate(str(tmp_path))
    port, target = free_port(), free_port()
    body = os.urandom(9 << 20)
    (tmp_path / "worker.ign").write_bytes(body)
    # pytest's folder is open to its owner alone.
    user = "user root;\n" if os.geteuid() == 0 else ""
    (tmp_path / "nginx.conf").write_text(
        f"{user}daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log;\n"
        "events {}\nhttp { access_log off;\n"
        f"server {{ listen 127.0.0.1:{target} ssl; ssl_certificate {crt};\n"
        f"ssl_certificate_key {key}; root {tmp_path};\n"
        "location = /healthz { return 200; } } }\n")
    check = {"type": "https", "path": "/healthz", "expect": [200], "interval": "50ms",
             "timeout": "5s", "ca": crt, "sni": "localhost"}
    servers = [{"name": "a", "address": f"127.0.0.1:{target}"}]
    with Program(nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")):
        d = daemon("lbd", config(servers, port, check=check))
        wait_status(d, "a", "UP", timeout=10)
        out = tmp_path / "got"
        subprocess.run([curl, "-sSf", "--cacert", crt, "-o", str(out),
                        f"https://localhost:{port}/worker.ign"], check=True,
                       timeout=30 * SLOW)
        assert out.read_bytes() == body
        # The checks have ended as TLS asks for, so that nothing is written about them.
        wait_until(lambda: server_status(d, "a")["check"]["count"] >= 10, 20)
        assert (tmp_path / "error.log").read_text() == ""


def test_a_tls_check_against_openssl(daemon, tmp_path):
    openssl = need("openssl")
    crt, key = make_certificate(str(tmp_path))
    target = free_port()
    servers = [{"name": "a", "address": f"127.0.0.1:{target}"}]
    with Program(openssl, "s_server", "-accept", f"127.0.0.1:{target}", "-cert", crt, "-key",
                 key, "-quiet"):
        d = daemon("lbd", config(servers, free_port(),
                                 check={"type": "tls", "interval": "50ms", "timeout": "5s"}))
        wait_status(d, "a", "UP", timeout=10)
        status = server_status(d, "a")
        assert status["check"]["status"] == "L6OK" and status["certificate_not_after"]
        # It ends in two days, which is no reason yet to warn.
        assert "the certificate of" not in d.log


def test_checks_leave_no_line_in_the_log_of_a_go_server(daemon, tmp_path):
    """R11: etcd is such a server; what it writes about a connection that just ends is what
    an API server would write."""
    etcd = need("etcd")
    crt, key = make_certificate(str(tmp_path))
    port, peer = free_port(), free_port()
    servers = [{"name": "a", "address": f"127.0.0.1:{port}"}]
    with Program(etcd, "--data-dir", str(tmp_path / "etcd"), "--listen-client-urls",
                 f"https://127.0.0.1:{port}", "--advertise-client-urls",
                 f"https://127.0.0.1:{port}", "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                 "--cert-file", crt, "--key-file", key) as server:
        check = {"type": "https", "path": "/health", "expect": [200], "interval": "50ms",
                 "timeout": "5s"}
        d = daemon("lbd", config(servers, free_port(), check=check))
        wait_status(d, "a", "UP", timeout=30)

        def complaints():
            return [line for line in server.output if "rejected connection" in line
                    or "TLS handshake error" in line]

        def checks(n):
            n += server_status(d, "a")["check"]["count"]
            wait_until(lambda: server_status(d, "a")["check"]["count"] >= n, 20)

        # Nor do reloads and upgrades, in whatever moment of a check they come.
        for kind in ("https", "tls", "tcp", "https"):
            for balance in ("source", "first") * 5:
                d.reload(config(servers, free_port(), check={**check, "type": kind},
                                balance=balance))
            d.upgrade()
            checks(20)
            assert server_status(d, "a")["status"] == "UP" and complaints() == []
        # The test can fail: a connection that ends without a word is written about.
        subprocess.run(["socat", "-u", "/dev/null", f"TCP:127.0.0.1:{port}"], check=False,
                       timeout=10)
        wait_until(complaints, 10, "a line about a bad connection")


# --- the page --------------------------------------------------------------------------------


def browse(tmp_path, url):
    """The page as Chromium has it after a while of its own time."""
    p = subprocess.run(
        [need("chromium"), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         f"--user-data-dir={tmp_path}/chromium", "--virtual-time-budget=6000",
         "--dump-dom", url],
        capture_output=True, text=True, timeout=100 * SLOW, check=False)
    assert p.returncode == 0, p.stderr[-2000:]
    return p.stdout


@pytest.mark.timeout(150)
def test_the_page_in_a_browser(daemon, tmp_path):
    """It shows the state with and without scripts, and a script brings it up to date."""
    need("chromium")
    port, stats = free_port(), free_port()
    with Server("a") as a:
        daemon("lbd", config([a], port, stats))
        url = f"http://127.0.0.1:{stats}/"
        with urllib.request.urlopen(url, timeout=10) as r:
            plain = r.read().decode()
        assert "<h2>be</h2>" in plain and 'class="up' in plain
        assert "data-fresh" not in plain
        # The script counts how often it has brought the tables up to date.
        live = browse(tmp_path, url)
        assert int(live.split('data-fresh="')[1].split('"')[0]) >= 1
        assert "<h2>be</h2>" in live and "opacity: 0.5" not in live
