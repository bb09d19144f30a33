"""What every daemon shares: command line, signals, reload, upgrade in place, the admin
socket, bad configuration.  dnsd is the tenant, because it needs the least."""

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import dns.message
import dns.query
import pytest

from harness import Daemon, free_port, run_daemon, run_with_config, wait_until
from variant import BUILD


def dnsd_config(port=None, **more):
    return {"listen": [f"127.0.0.1:{port or free_port()}"], **more}


def ask(port, name="api.okd.example.com", tcp=False):
    query = dns.message.make_query(name, "A")
    send = dns.query.tcp if tcp else dns.query.udp
    answer = send(query, "127.0.0.1", port=port, timeout=5)
    return [r.address for rrset in answer.answer for r in rrset]


# --- command line ----------------------------------------------------------------------


def test_version_and_help():
    version = run_daemon("dnsd", "-V")
    assert version.status == 0 and version.out.startswith("okd-dnsd ")
    usage = run_daemon("dnsd", "-h")
    assert usage.status == 0 and "okd-dnsd.yaml(5)" in usage.out


@pytest.mark.parametrize("args", [["-x"], ["now"]])
def test_unknown_arguments_get_the_usage(args):
    p = subprocess.run([f"{BUILD}/okd-dnsd", *args], capture_output=True, text=True)
    assert p.returncode == 64 and p.stderr


def test_check_prints_what_is_in_force():
    once = run_daemon("dnsd", "-n", "-v", config=dnsd_config(5353))
    assert once.status == 0
    again = run_daemon("dnsd", "-n", "-v", config=once.out)
    assert again.status == 0 and again.out == once.out
    silent = run_daemon("dnsd", "-n", config=dnsd_config(5353))
    assert silent.status == 0 and silent.out == ""


# --- bad input at the start ------------------------------------------------------------


def test_without_any_file_it_says_what_to_do(tmp_path):
    p = subprocess.run(
        [f"{BUILD}/okd-dnsd", "-C", f"{tmp_path}/cluster.yaml"],
        capture_output=True, text=True,
    )
    assert p.returncode == 78
    assert "okdctl init" in p.stderr


def test_bad_settings_exit_78_with_the_place():
    text = "listen: ['127.0.0.1:5353']\nlisden: 1\n"
    said = run_with_config("dnsd", text)
    assert 'dnsd.yaml:2:1: unknown key "lisden"; did you mean "listen"?' in said
    checked = run_daemon("dnsd", "-n", config=text)
    assert checked.status == 1 and "dnsd.yaml:2:1" in checked.err


@pytest.mark.parametrize("text", ["name: okd\nbase_domain: [\n", "nam: okd\n"])
def test_bad_cluster_exits_78_with_the_place(text):
    said = run_with_config("dnsd", dnsd_config(), cluster=text)
    assert re.search(r"cluster\.yaml:\d+:\d+: \w", said)
    checked = run_daemon("dnsd", "-n", config=dnsd_config(), cluster=text)
    assert checked.status == 1 and re.search(r"cluster\.yaml:\d+:\d+: \w", checked.err)


@pytest.mark.parametrize("args,status", [(["-n"], 1), ([], 78)])
def test_last_words_go_to_the_journal_as_a_stream(tmp_path, args, status):
    """A datagram would be looked up by the PID of a process that has ended by then, and
    journalctl -u would not show it."""
    with open(tmp_path / "stream", "w+", encoding="utf-8") as stream:
        st = os.fstat(stream.fileno())
        p = subprocess.run(
            [f"{BUILD}/okd-dnsd", *args, "-C", f"{tmp_path}/none.yaml"], stderr=stream,
            env={**os.environ, "JOURNAL_STREAM": f"{st.st_dev}:{st.st_ino}",
                 "STATE_DIRECTORY": str(tmp_path), "RUNTIME_DIRECTORY": str(tmp_path)},
            timeout=60, check=False)
        stream.seek(0)
        said = stream.read()
    assert p.returncode == status
    assert said.startswith("<3>") and "none.yaml" in said and said.count("\n") == 1


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_port_in_use_names_the_port(kind):
    port = free_port(hold=False)
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            other.listen()
        said = run_with_config("dnsd", dnsd_config(port), expect_exit=1)
    name, letter = ("UDP", "u") if kind == socket.SOCK_DGRAM else ("TCP", "t")
    assert f"{name} port {port} on 127.0.0.1 is held by another program" in said
    assert f"`ss -{letter}lnp 'sport = :{port}'` names it" in said


def test_a_second_instance_on_the_same_port_is_refused(daemon):
    port = free_port()
    daemon("dnsd", dnsd_config(port))
    said = run_with_config("dnsd", dnsd_config(port), expect_exit=1)
    assert "held by another program" in said


# --- signals and reload ----------------------------------------------------------------


def test_reload_takes_a_good_file_and_keeps_the_old_one_for_a_bad(daemon):
    first, second = free_port(), free_port()
    d = daemon("dnsd", dnsd_config(first))
    assert d.status()["config"] == {
        "generation": 1, "loaded_at": d.status()["config"]["loaded_at"], "error": None}

    d.reload(dnsd_config(second))
    assert ask(second) == ["192.168.120.101"]
    assert d.status()["config"]["generation"] == 2
    with pytest.raises(OSError):
        ask(first, tcp=True)

    d.reload("listen: nowhere\n")
    assert ask(second) == ["192.168.120.101"]
    assert "dnsd.yaml:1:" in d.status()["config"]["error"]
    d.log_contains("configuration kept as it was")
    assert d.metrics()["okd_dnsd_config_last_reload_successful"] == 0

    d.reload(dnsd_config(second))
    assert d.status()["config"]["error"] is None


def test_reload_of_a_bad_cluster_keeps_the_old_one(daemon):
    port = free_port()
    d = daemon("dnsd", dnsd_config(port))
    d.reload(cluster="name: okd\nnodes: 3\n")
    assert ask(port) == ["192.168.120.101"]
    assert re.search(r"cluster\.yaml:\d+:\d+: \w", d.status()["config"]["error"])
    assert d.status()["config"]["generation"] == 1


def test_reload_onto_a_held_port_keeps_the_old_one(daemon):
    first, held = free_port(), free_port(hold=False)
    d = daemon("dnsd", dnsd_config(first))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", held))
        d.reload(dnsd_config(held))
    assert "held by another program" in d.status()["config"]["error"]
    assert ask(first) == ["192.168.120.101"]
    d.reload(dnsd_config(first))
    assert d.status()["config"]["generation"] == 2


def test_no_address_is_both_the_admin_pages_and_a_listener(daemon):
    port, admin = free_port(), free_port()
    both = dnsd_config(port, admin=[f"127.0.0.1:{port}"])
    said = run_with_config("dnsd", both, expect_exit=1)
    assert f"127.0.0.1:{port} is among the addresses of admin:" in said
    d = daemon("dnsd", dnsd_config(port, admin=[f"127.0.0.1:{admin}"]))
    d.reload(both)
    assert "among the addresses of admin:" in d.status()["config"]["error"]
    assert ask(port, tcp=True) == ["192.168.120.101"]
    d.reload(dnsd_config(admin, admin=[f"127.0.0.1:{port}"]))
    assert ask(admin, tcp=True) == ["192.168.120.101"]


def test_int_stops_as_term_does(daemon):
    d = daemon("dnsd", dnsd_config())
    d.signal(signal.SIGINT)
    d.wait_exit(0)


def test_the_watchdog_is_fed(daemon):
    d = daemon("dnsd", dnsd_config(), env={"WATCHDOG_USEC": "200000"})
    d.wait_notify(WATCHDOG="1")
    seen = len(d.notify.messages)
    d.wait_notify(since=seen, WATCHDOG="1")


# --- upgrade in place ------------------------------------------------------------------


class Asker(threading.Thread):
    """Asks in turn over UDP and TCP until told to stop; every failure is kept."""

    def __init__(self, port):
        super().__init__()
        self.port, self.asked, self.failures = port, 0, []
        self.enough = threading.Event()

    def run(self):
        while not self.enough.is_set():
            try:
                assert ask(self.port, tcp=self.asked % 2 == 1) == ["192.168.120.101"]
            except Exception as e:  # every kind of failure counts
                self.failures.append(repr(e))
            self.asked += 1

    def stop(self):
        self.enough.set()
        self.join()


@pytest.mark.threads
def test_upgrade_loses_no_query(daemon):
    port = free_port()
    d = daemon("dnsd", dnsd_config(port, workers=2))
    asker = Asker(port)
    asker.start()
    try:
        for _ in range(3):
            before = d.pid
            assert d.upgrade() != before
            d.wait_old()
            reached = asker.asked + 20
            wait_until(lambda: asker.asked >= reached, what="20 further answers")
    finally:
        asker.stop()
    assert asker.failures == []
    assert d.status()["pid"] == d.pid


def test_an_upgrade_that_fails_changes_nothing(daemon):
    port = free_port()
    d = daemon("dnsd", dnsd_config(port))
    before = d.pid
    with open(os.path.join(d.dir, "dnsd.yaml"), "w", encoding="utf-8") as f:
        f.write("lisden: 1\n")
    d.signal(signal.SIGUSR2)
    d.log_contains("this process goes on")
    assert d.pid == before and ask(port) == ["192.168.120.101"]
    assert "did not become ready" in d.status()["config"]["error"]


def test_upgrade_starts_the_program_that_is_on_disk(daemon, tmp_path):
    """What a package does: the file is replaced while the old one runs."""
    program = str(tmp_path / "okd-dnsd")
    shutil.copy(f"{BUILD}/okd-dnsd", program)
    env = {"LD_LIBRARY_PATH": os.path.abspath(BUILD)}
    port = free_port()
    d = daemon("dnsd", dnsd_config(port), program=program, env=env)
    shutil.copy(f"{BUILD}/okd-dnsd", program + ".next")
    os.rename(program + ".next", program)
    pid = d.upgrade()
    d.wait_old()
    assert os.readlink(f"/proc/{pid}/exe") == program
    assert ask(port) == ["192.168.120.101"]


def test_listeners_are_kept_in_the_service_managers_store(daemon):
    port = free_port()
    d = daemon("dnsd", dnsd_config(port, workers=1))
    names = sorted(d.notify.fdstore)
    assert names == [f"tcp-127.0.0.1.{port}-0", f"udp-127.0.0.1.{port}-0"]
    d.reload(dnsd_config(free_port()))
    assert not set(names) & set(d.notify.fdstore)


def test_a_restart_finds_its_listeners_in_the_store(tmp_path):
    """What the service manager does after a crash: the sockets from descriptor 3 on, while
    it holds copies of them, so that nobody could bind the port anew."""
    port = free_port(hold=False)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    udp = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for s in udp:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    for s in (tcp, *udp):
        s.bind(("127.0.0.1", port))
    tcp.listen()
    wrapper = tmp_path / "manager"
    wrapper.write_text(
        "#!/bin/bash\nexec 3<&%d 4<&%d 5<&%d\nLISTEN_FDS=3 LISTEN_PID=$$ exec \"$@\"\n"
        % tuple(s.fileno() for s in (tcp, *udp)))
    wrapper.chmod(0o755)
    for s in (tcp, *udp):
        s.set_inheritable(True)
    d = Daemon("dnsd", dnsd_config(port, workers=1), wrapper=[str(wrapper)], pass_fds=[
        s.fileno() for s in (tcp, *udp)])
    with d:
        for _ in range(20):  # the kernel spreads them over both sockets
            assert ask(port) == ["192.168.120.101"]
        assert ask(port, tcp=True) == ["192.168.120.101"]
    for s in (tcp, *udp):
        s.close()


# --- the admin socket ------------------------------------------------------------------


def test_admin_pages(daemon):
    d = daemon("dnsd", dnsd_config())
    assert d.admin("/healthz").text == "ok\n"
    assert d.admin("/readyz").status == 200
    status = d.status()
    assert status["name"] == "okd-dnsd" and status["pid"] == d.pid and status["ready"]
    metrics = d.metrics()
    assert any(k.startswith("okd_dnsd_build_info{version=") for k in metrics)
    assert metrics["process_open_fds"] > 3
    assert "listen:" in d.admin("/config").text
    assert d.admin("/nothing").status == 404
    refused = d.admin("/status", "DELETE")
    assert refused.status == 405 and "GET" in refused.headers["Allow"]


def test_reload_by_verb(daemon):
    d = daemon("dnsd", dnsd_config())
    assert d.admin("/v1/reload", "POST").status == 204
    d.write_config("listen: [1:2:3:4\n")
    refused = d.admin("/v1/reload", "POST")
    assert refused.status == 422
    error = refused.json()["error"]
    assert error["file"].endswith("dnsd.yaml") and error["line"] >= 1 and error["message"]


def test_the_socket_is_closed_to_others(daemon):
    d = daemon("dnsd", dnsd_config())
    assert os.stat(d.admin_socket).st_mode & 0o777 == 0o660


def test_others_may_read_but_not_change(daemon):
    """Somebody whom the mode lets in (here: opened by the test) still may not change."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    d = daemon("dnsd", dnsd_config())
    for path in (d.dir, d.runtime_dir):
        os.chmod(path, 0o755)
    os.chmod(d.admin_socket, 0o666)

    def as_nobody(*curl):
        p = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-sS",
             "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", d.admin_socket, *curl],
            capture_output=True, text=True,
        )
        assert p.returncode == 0, p.stderr
        return p.stdout

    assert as_nobody("http://localhost/healthz") == "200"
    assert as_nobody("-X", "POST", "http://localhost/v1/reload") == "403"


def test_tcp_serves_metrics_and_health_alone(daemon):
    import requests

    port = free_port()
    daemon("dnsd", dnsd_config(admin=[f"127.0.0.1:{port}"]))
    base = f"http://127.0.0.1:{port}"
    assert requests.get(f"{base}/healthz", timeout=5).text == "ok\n"
    assert "okd_dnsd_build_info" in requests.get(f"{base}/metrics", timeout=5).text
    assert requests.get(f"{base}/readyz", timeout=5).status_code == 200
    for path in ("/config", "/status"):
        assert requests.get(f"{base}{path}", timeout=5).status_code == 404
    assert requests.post(f"{base}/v1/reload", timeout=5).status_code == 404


def test_kill_leaves_nothing_that_stops_the_next(daemon):
    port = free_port()
    d = daemon("dnsd", dnsd_config(port))
    d.kill9()
    d.start()
    assert ask(port) == ["192.168.120.101"]


# --- at rest ---------------------------------------------------------------------------


def wakes(pid):
    """How often threads went to sleep of their own accord."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as f:
            total += sum(int(line.split()[1]) for line in f
                         if line.startswith("voluntary_ctxt_switches"))
    return total


def test_nobody_wakes_up_for_a_connection_that_rests(daemon):
    d = daemon("dnsd", dnsd_config(forward={"to": []}), check_fds=False)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(d.admin_socket)
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert s.recv(4096).startswith(b"HTTP/1.1 200")
        before, began = wakes(d.pid), time.monotonic()
        wait_until(lambda: time.monotonic() - began > 5, timeout=10,
                   what="the end of the rest")
        assert wakes(d.pid) - before <= 1
