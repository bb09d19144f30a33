"""A failing machine and careless or hostile hands: upgrades that are interrupted, sockets
that something shuts down, strangers on the admin page, a full disk, no memory.  dnsd is the
tenant, as in test_daemon.py."""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import time

import dns.exception
import dns.message
import dns.query
import pytest

import lbd_peers
from httpd import read_reply
from harness import Daemon, Process, free_port, run_daemon, sockets_of, wait_until
import variant
from variant import BUILD, SLOW

SERVED = ["192.168.120.101"]


def dnsd_config(port=None, **more):
    return {"listen": [f"127.0.0.1:{port or free_port()}"], **more}


def ask(port, tcp=False, timeout=5, name="api"):
    query = dns.message.make_query(f"{name}.okd.example.com", "A")
    send = dns.query.tcp if tcp else dns.query.udp
    answer = send(query, "127.0.0.1", port=port, timeout=timeout * SLOW)
    return [r.address for rrset in answer.answer for r in rrset]


def answers(port, tcp=False):
    with contextlib.suppress(OSError, EOFError, dns.exception.Timeout):
        return ask(port, tcp, timeout=1) == SERVED
    return False


def cpu_seconds(pid):
    """What all threads of a process have used so far."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total / 1e9


def expect_no_spin(pid, seconds=2.0):
    """A loop that spins takes a whole processor, one that waits next to nothing."""
    before, end = cpu_seconds(pid), time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end, seconds + 1, "the time to measure")
    used = cpu_seconds(pid) - before
    assert used < 0.25 * seconds, f"{used:.2f} CPU seconds within {seconds} s"


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
        return f.read().rsplit(")", 1)[1].split()[0]


def children(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
            found += [int(x) for x in f.read().split()]
    return found


def successors(d):
    """Processes of the daemon beside its main one.  They are children of the service
    manager, which we are: systemd would not wait for a main process of another's."""
    found = []
    for pid in children(os.getpid()):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as f:
            if pid != d.pid and d.config_path.encode() in f.read().split(b"\0"):
                found.append(pid)
    return found


# --- upgrade in place ------------------------------------------------------------------


@contextlib.contextmanager
def stuck_successor(daemon, tmp_path, **more):
    """dnsd whose program on disk was replaced by one that waits in a FIFO for ever, then
    becomes dnsd: yields the daemon, its port, and the function that lets go."""
    program, gate = str(tmp_path / "okd-dnsd"), str(tmp_path / "gate")
    real = str(tmp_path / "real-dnsd")
    shutil.copy(f"{BUILD}/okd-dnsd", program)
    shutil.copy(f"{BUILD}/okd-dnsd", real)
    os.mkfifo(gate)
    port = free_port()
    d = daemon("dnsd", dnsd_config(port, **more), program=program,
               env={"LD_LIBRARY_PATH": os.path.abspath(BUILD)})
    script = tmp_path / "script"
    script.write_text(f'#!/bin/bash\nread -r x <"{gate}"\nexec "{real}" "$@"\n')
    script.chmod(0o755)
    os.rename(script, program)

    def let_go():
        with open(gate, "w", encoding="ascii") as f:
            f.write("go\n")

    yield d, port, let_go


def test_a_second_usr2_does_not_start_a_second_successor(daemon, tmp_path):
    with stuck_successor(daemon, tmp_path) as (d, port, let_go):
        since = len(d.notify.messages)
        d.signal(signal.SIGUSR2)
        wait_until(lambda: successors(d), what="the successor")
        first = successors(d)
        d.signal(signal.SIGUSR2)
        d.log_contains("an upgrade is under way already")
        assert successors(d) == first
        let_go()
        message = d._wait_notify(since, {"MAINPID": str(first[0])}, "MAINPID=")
        # NotifyAccess=main: the service manager listens to nobody else.
        assert message.pid == d.pid
        d._wait_notify(since, {"READY": "1"}, "READY=1", pid=first[0])
        d.old.append(d.main)
        d.main = Process(first[0])
        d.wait_old()
        d.baseline = None
        assert ask(port) == SERVED


def test_term_during_an_upgrade_ends_both(daemon, tmp_path):
    with stuck_successor(daemon, tmp_path) as (d, port, let_go):
        d.signal(signal.SIGUSR2)
        wait_until(lambda: successors(d), what="the successor")
        successor = Process(successors(d)[0])
        d.signal(signal.SIGTERM)
        assert d.main.wait(20 * SLOW) and d.main.status == 0
        assert successor.wait(20 * SLOW), "the successor outlives its predecessor's TERM"
        d.wait_exit(0)
        with pytest.raises(OSError):
            ask(port, tcp=True)


def test_a_successor_whose_predecessor_died_gives_up(daemon, tmp_path):
    with stuck_successor(daemon, tmp_path) as (d, port, let_go):
        d.signal(signal.SIGUSR2)
        wait_until(lambda: successors(d), what="the successor")
        successor = Process(successors(d)[0])
        d.signal(signal.SIGKILL)
        assert d.main.wait(10 * SLOW)
        let_go()
        assert successor.wait(20 * SLOW), "it serves although nobody waits for it"
        assert successor.status == 1
        assert "giving up" in d.wait_exit(-signal.SIGKILL)


def test_a_successor_that_is_killed_changes_nothing(daemon, tmp_path):
    with stuck_successor(daemon, tmp_path) as (d, port, let_go):
        for _ in range(2):
            seen = d.log_position()
            d.signal(signal.SIGUSR2)
            wait_until(lambda: successors(d), what="the successor")
            os.kill(successors(d)[0], signal.SIGKILL)
            d.log_contains("this process goes on", since=seen)
            assert ask(port) == SERVED and not successors(d)


@pytest.mark.parametrize("verb", [False, True])
def test_a_reload_during_an_upgrade_reaches_the_successor(daemon, tmp_path, verb):
    with stuck_successor(daemon, tmp_path) as (d, port, let_go):
        since = len(d.notify.messages)
        d.signal(signal.SIGUSR2)
        wait_until(lambda: successors(d), what="the successor")
        pid = successors(d)[0]
        if verb:
            assert d.admin("/v1/reload", "POST").status == 204
        else:
            d.reload()
        let_go()
        d._wait_notify(since, {"RELOADING": "1"}, "RELOADING=1 of the successor", pid=pid)
        d.old.append(d.main)
        d.main = Process(pid)
        d.wait_old()
        d.baseline = None
        wait_until(lambda: d.status()["config"]["generation"] == 2, what="the reload")


def test_a_scraper_is_let_go_by_the_process_that_drains(daemon):
    """Its connection is kept, and the old process may live as long as a tunnel does."""
    port, admin, stats = free_port(), free_port(), free_port()
    scrape = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    with lbd_peers.Server("a") as server, contextlib.ExitStack() as stack:
        d = daemon("lbd", {**lbd_peers.config([server], port, stats=stats),
                           "admin": f"127.0.0.1:{admin}"})
        tunnel = stack.enter_context(lbd_peers.connect(port))
        tunnel.sendall(b"1")
        assert tunnel.recv(10) == b"a:1"
        scrapers = [stack.enter_context(socket.create_connection(("127.0.0.1", p), 5 * SLOW))
                    for p in (admin, stats)]
        for s in scrapers:
            s.sendall(scrape)
            assert read_reply(s)[0] == 200
        d.upgrade()
        for s in scrapers:
            assert s.recv(1000) == b""
        tunnel.sendall(b"2")
        assert tunnel.recv(10) == b"2"
        stack.close()
        d.wait_old()


def test_a_successor_killed_after_the_handover_leaves_a_clean_place(daemon):
    port = free_port()
    d = daemon("dnsd", dnsd_config(port))
    d.upgrade()
    d.wait_old()
    d.kill9()
    d.start()
    assert ask(port) == SERVED


def test_a_program_that_lets_go_of_the_pipe_and_stays_does_not_hang_us(daemon, tmp_path):
    program = str(tmp_path / "okd-dnsd")
    shutil.copy(f"{BUILD}/okd-dnsd", program)
    port = free_port()
    d = daemon("dnsd", dnsd_config(port), program=program,
               env={"LD_LIBRARY_PATH": os.path.abspath(BUILD)})
    script = tmp_path / "script"
    script.write_text("#!/bin/bash\nfor f in /proc/self/fd/*; do f=${f##*/}\n"
                      "[ $f -gt 2 ] && eval \"exec $f>&-\"; done 2>/dev/null\n"
                      "exec sleep 1000\n")
    script.chmod(0o755)
    os.rename(script, program)
    d.signal(signal.SIGUSR2)
    d.log_contains("this process goes on", timeout=10)
    assert d.status()["ready"] and ask(port) == SERVED and not successors(d)


@pytest.mark.parametrize("value", [
    "", "x", "-1 2", "0 3", "2 5", "2147483647 -2147483646", "1000000000 1000000003"])
def test_a_foreign_upgrade_variable_is_ignored(daemon, value):
    port = free_port()
    d = daemon("dnsd", dnsd_config(port), env={"OKD_UPGRADE": value})
    assert ask(port) == SERVED
    assert not any("MAINPID" in m.fields for m in d.notify.messages)


@pytest.mark.parametrize("value", ["", "x", "-1", "0", "1000000000", "99999999999999999999"])
def test_foreign_listen_fds_are_ignored(daemon, value):
    port = free_port()
    daemon("dnsd", dnsd_config(port), env={"LISTEN_FDS": value, "LISTEN_PID": "1"})
    assert ask(port) == SERVED


# --- sockets that something shuts down -------------------------------------------------


def shut_down(pid, wanted):
    """Shuts down the sockets of a process that wanted(socket) names, from outside."""
    n = 0
    for s in sockets_of(pid):
        if wanted(s):
            # An unconnected UDP socket is shut down, and says that it is none.
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            n += 1
    return n


def bound_to(port, kind):
    def wanted(s):
        name = s.getsockname()
        return s.type == kind and isinstance(name, tuple) and name[1] == port

    return wanted


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to take another's descriptor")
def test_a_shut_down_udp_socket_neither_kills_nor_spins(daemon):
    port = free_port()
    d = daemon("dnsd", dnsd_config(port, workers=2))
    assert shut_down(d.pid, bound_to(port, socket.SOCK_DGRAM)) == 2
    d.log_contains("a UDP socket brings no messages any more")
    expect_no_spin(d.pid)
    assert ask(port, tcp=True) == SERVED and d.status()["ready"]
    d.reload()
    wait_until(lambda: answers(port), what="an answer over UDP after a reload")
    assert sorted(d.notify.fdstore) == sorted(
        [f"tcp-127.0.0.1.{port}-0"] + [k for k in d.notify.fdstore if "udp" in k])
    assert sum("udp" in k for k in d.notify.fdstore) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to take another's descriptor")
def test_a_shut_down_tcp_listener_comes_back(daemon):
    port = free_port()
    d = daemon("dnsd", dnsd_config(port))
    assert shut_down(d.pid, bound_to(port, socket.SOCK_STREAM)) == 1
    expect_no_spin(d.pid)
    wait_until(lambda: answers(port, tcp=True), what="an answer over TCP")
    assert ask(port) == SERVED


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to take another's descriptor")
def test_a_shut_down_admin_listener_comes_back(daemon):
    d = daemon("dnsd", dnsd_config())
    assert shut_down(d.pid, lambda s: s.getsockname() == d.admin_socket) >= 1
    expect_no_spin(d.pid)
    d.reload()
    assert d.status()["ready"]


# --- strangers on the admin page -------------------------------------------------------


def test_strangers_on_tcp_do_not_take_the_admin_sockets_places(daemon):
    port = free_port()
    d = daemon("dnsd", dnsd_config(admin=[f"127.0.0.1:{port}"]))
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            s = stack.enter_context(socket.socket())
            s.settimeout(5 * SLOW)
            s.connect(("127.0.0.1", port))
            s.sendall(b"GET /healthz HTTP/1.1\r\n")
        assert d.status()["ready"]
        expect_no_spin(d.pid, 1)


def test_a_reload_onto_a_held_admin_port_changes_nothing(daemon):
    first, second = free_port(), free_port()
    admin, held = free_port(), free_port(hold=False)
    d = daemon("dnsd", dnsd_config(first, admin=[f"127.0.0.1:{admin}"]))
    with socket.socket() as other:
        other.bind(("127.0.0.1", held))
        other.listen()
        d.reload(dnsd_config(second, admin=[f"127.0.0.1:{held}"]))
        assert "held by another program" in d.status()["config"]["error"]
    assert ask(first) == SERVED and not answers(second)
    for _ in range(20):  # whoever gets the descriptor's number next is served
        with socket.create_connection(("127.0.0.1", admin), 5 * SLOW) as s:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert s.recv(100).startswith(b"HTTP/1.1 200")
        assert d.status()["ready"]


# --- folders ---------------------------------------------------------------------------


def test_two_instances_in_one_folder(daemon):
    port = free_port()
    d = daemon("dnsd", dnsd_config(port))
    p = subprocess.run(
        d.program + ["-c", d.write_file("other.yaml", f"listen: ['127.0.0.1:{free_port()}']"),
                     "-C", d.cluster_path],
        capture_output=True, text=True, env=d.environment(), timeout=20 * SLOW, check=False)
    assert p.returncode == 1 and "another instance is running" in p.stderr
    assert d.status()["pid"] == d.pid and ask(port) == SERVED


def test_a_runtime_folder_with_too_long_a_name():
    d = Daemon("dnsd", dnsd_config())
    try:
        for n in (1, 20):
            path = d.dir + ("/" + "x" * 200) * n
            p = subprocess.run(
                d.command(), env={**d.environment(), "RUNTIME_DIRECTORY": path},
                capture_output=True, text=True, timeout=20 * SLOW, check=False)
            assert p.returncode == 1 and "cannot start:" in p.stderr
        assert "RUNTIME_DIRECTORY" in p.stderr
    finally:
        d.close()


@contextlib.contextmanager
def small_disk(path, size="256k"):
    """A small file system at path; yields what fills it to the last byte and inode, and
    has empty() for the way back."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes=32", "tmpfs",
                    path], check=True)

    def fill():
        with contextlib.suppress(OSError), open(f"{path}/filler", "wb", 0) as f:
            while f.write(bytes(4096)):
                pass
        with contextlib.suppress(OSError):
            for i in range(4096):
                os.mkdir(f"{path}/{i}")

    def empty():
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}/filler")
        for name in os.listdir(path):
            if name.isdigit():
                os.rmdir(f"{path}/{name}")

    fill.empty = empty
    try:
        yield fill
    finally:
        subprocess.run(["umount", "-l", path], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a file system")
def test_a_full_disk_at_the_start_is_said():
    d = Daemon("dnsd", dnsd_config(), check_fds=False)
    try:
        with small_disk(d.runtime_dir) as fill:
            fill()
            d.spawn()
            assert "No space left on device" in d.wait_exit(1)
    finally:
        d.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a file system")
def test_a_full_state_disk_stops_no_answers():
    d, port = Daemon("dnsd", check_fds=False), free_port()
    d.write_config(dnsd_config(port))
    try:
        with small_disk(d.state_dir) as fill:
            d.start()
            fill()
            assert ask(port) == SERVED
            d.reload()
            assert ask(port) == SERVED
            d.stop()
    finally:
        d.close()


def put(d, key, body):
    return d.admin(f"/v1/records/skydns/{key}", "PUT", body)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a file system")
@pytest.mark.parametrize("killed", [False, True])
def test_a_state_disk_that_is_full_at_the_start_stops_no_answers(killed):
    """What the cluster file and the store hold is answered, a change is refused, and taken
    as soon as there is room."""
    d, port = Daemon("dnsd", check_fds=False), free_port()
    d.write_config(dnsd_config(port))
    try:
        with small_disk(d.state_dir) as fill:
            d.start()
            assert put(d, "com/example/okd/kept", '{"host":"10.1.1.1"}').status == 204
            if killed:
                d.kill9()
            else:
                d.stop()
            fill()
            d.start()
            assert ask(port) == SERVED and ask(port, name="kept") == ["10.1.1.1"]
            refused = put(d, "com/example/okd/more", '{"host":"10.1.1.2"}')
            assert refused.status == 507 and "space" in refused.text
            assert ask(port, name="kept") == ["10.1.1.1"]
            fill.empty()
            assert put(d, "com/example/okd/more", '{"host":"10.1.1.2"}').status == 204
            assert ask(port, name="more") == ["10.1.1.2"]
            d.stop()
            d.start()
            assert ask(port, name="kept") == ["10.1.1.1"]
            assert ask(port, name="more") == ["10.1.1.2"]
            d.stop()
    finally:
        d.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a file system")
def test_a_state_disk_that_is_full_at_the_first_start():
    d, port = Daemon("dnsd", check_fds=False), free_port()
    d.write_config(dnsd_config(port))
    try:
        with small_disk(d.state_dir) as fill:
            fill()
            d.start()
            d.log_contains("until there is room")
            assert ask(port) == SERVED
            assert put(d, "com/example/okd/more", '{"host":"10.1.1.2"}').status == 507
            d.stop()
    finally:
        d.close()


# --- stopped, short of descriptors and memory ------------------------------------------


def test_stopped_and_continued(daemon):
    port = free_port()
    d = daemon("dnsd", dnsd_config(port))
    d.signal(signal.SIGSTOP)
    wait_until(lambda: state_of(d.pid) == "T", what="the stop")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5 * SLOW)
        s.connect(("127.0.0.1", port))
        s.send(dns.message.make_query("api.okd.example.com", "A").to_wire())
        d.signal(signal.SIGCONT)
        assert dns.message.from_wire(s.recv(2000)).answer
    expect_no_spin(d.pid, 1)


def test_hardly_any_descriptors_at_the_start_end_with_a_sentence():
    for limit in (4, 6, 8, 10, 12, 14, 16, 18):
        # The leak check itself wants descriptors.
        got = run_daemon("dnsd", config=dnsd_config(workers=4, drain_timeout="1s"),
                         env={"ASAN_OPTIONS": "exitcode=99:detect_leaks=0"},
                         wrapper=["timeout", "-s", "TERM", "2", "prlimit", f"--nofile={limit}"])
        assert got.status in (1, 78, 124, 127), f"{limit}: {got}"
        if got.status in (1, 78):
            assert "okd-dnsd: " in got.err


@pytest.fixture(scope="module", name="failmalloc")
def make_failmalloc(tmp_path_factory):
    """The environment in which the n-th allocation fails, and each `every` later."""
    if variant.NAME != "release":
        pytest.skip("a sanitizer has an allocator of its own")
    library = str(tmp_path_factory.mktemp("malloc") / "failmalloc.so")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "failmalloc.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return lambda n=-1, every=0, file="": {
        "LD_PRELOAD": library, "FAIL_AT": str(n), "FAIL_EVERY": str(every),
        "FAIL_WHILE": file}


def test_no_memory_while_the_configuration_is_read(failmalloc):
    """Each allocation in turn: the same output, or a sentence and a status."""
    whole = run_daemon("dnsd", "-n", "-v", config=dnsd_config(5353))
    failed = 0
    for n in range(1, 1200, 5):
        got = run_daemon("dnsd", "-n", "-v", config=dnsd_config(5353), env=failmalloc(n))
        if got.status == 0:
            assert got.out == whole.out, f"allocation {n}"
        else:
            assert got.status in (1, 71) and "memory" in got.err, f"allocation {n}: {got}"
            failed += 1
    assert failed > 20


@pytest.mark.parametrize("every", [0, 97])
def test_no_memory_while_it_serves(failmalloc, every):
    """It ends with a sentence before it is ready, or lives until TERM and answers UDP."""
    port, served = free_port(), 0
    for n in range(600, 6000, 180):
        d = Daemon("dnsd", dnsd_config(port, workers=1), check_fds=False,
                   env=failmalloc(n, every))
        try:
            d.spawn()
            d.notify.wait(lambda: d.notify.find(0, {"READY": "1"}) or d.main.wait(0.01), 0.01)
            wait_until(lambda: d.notify.find(0, {"READY": "1"}) or d.main.wait(0), 10,
                       "the start or its end")
            if d.main.ended:
                assert "error: " in d.wait_exit(None), f"allocation {n}"
                continue
            for path in ("/metrics", "/status", "/config", "/readyz"):
                with contextlib.suppress(OSError, http.client.HTTPException):
                    d.admin(path)
            with contextlib.suppress(OSError, http.client.HTTPException):
                d.admin("/v1/reload", "POST")
            assert answers(port), f"allocation {n}"
            served += 1
            d.stop()
        finally:
            d.close()
    assert served > 5 or every


def test_no_memory_at_all_for_a_while(failmalloc, daemon, tmp_path):
    port, none = free_port(), tmp_path / "none"
    d = daemon("dnsd", dnsd_config(port, workers=1), env=failmalloc(file=str(none)))
    with contextlib.ExitStack() as stack:
        asked = [b"GET /status", b"GET /metrics", b"GET /config", b"GET /nothing",
                 b"DELETE /status", b"GET /%zz", b"POST /v1/reload"]
        conns = []
        for _ in asked:
            s = stack.enter_context(socket.socket(socket.AF_UNIX))
            s.settimeout(5 * SLOW)
            s.connect(d.admin_socket)
            # A first answer, so that it is accepted and has a request's memory to use.
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b" 200 OK" in s.recv(1000)
            conns.append(s)
        none.touch()
        for s, line in zip(conns, asked):
            s.sendall(line + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            assert s.recv(1000)[9:12] in (b"", b"400", b"500", b"503"), line
        assert ask(port) == SERVED
        none.unlink()
    assert d.status()["ready"]


def test_what_cannot_be_printed_is_no_success():
    p = run_daemon("dnsd", "-n", "-v", config=dnsd_config(5353), wrapper=[
        "sh", "-c", 'exec "$@" >/dev/full', "sh"])
    assert p.status == 1 and "No space left on device" in p.err
