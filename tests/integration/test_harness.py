"""The harness itself: what it waits for, and each fault that it must not let pass."""

import os
import socket
import subprocess
import sys

import pytest

import harness

FAKE = [sys.executable, os.path.join(os.path.dirname(__file__), "fake_daemon.py")]


@pytest.fixture
def fake():
    made = []

    def make(fault="", config=None, **kwargs):
        d = harness.Daemon("fake", config, program=FAKE, env={"FAKE": fault}, **kwargs)
        made.append(d)
        return d

    yield make
    for d in made:
        d.close()


def test_start_reload_stop(fake):
    d = fake().start()
    assert d.notify.messages[0].fields == {"READY": "1", "STATUS": "up"}
    assert d.log_contains("started") == "fake: started"
    mark = d.log_position()
    d.reload()
    d.log_contains("reloaded", since=mark)
    assert d.running
    assert "started" in d.stop()
    assert not d.running


def test_folders_vanish(fake):
    d = fake().start()
    assert os.path.exists(d.admin_socket)
    d.stop()
    d.close()
    assert not os.path.exists(d.dir)


def test_second_start_uses_same_folders(fake):
    d = fake().start()
    d.stop()
    d.start()
    d.stop()
    assert d.log.count("fake: started") == 2


def test_admin_and_metrics(fake):
    d = fake().start()
    assert d.admin("/metrics").status == 200
    assert d.metrics() == {"okd_fake_up": 1.0}
    d.stop()


def test_early_exit_shows_stderr(fake):
    with pytest.raises(harness.DaemonError, match="exit status 78.*\n.*\n.*1:1: bad"):
        fake("early").start()


def test_never_ready(fake):
    d = fake("mute", timeout=0.3)
    with pytest.raises(harness.DaemonError, match="no READY=1"):
        d.start()


def test_run_with_config():
    text = harness.run_with_config("fake", "bad: 1", program=FAKE)
    assert text == "fake.yaml:1:1: bad\n"
    with pytest.raises(harness.DaemonError, match="still runs"):
        harness.run_with_config("fake", "good: 1", program=FAKE, timeout=0.3)


def test_leaked_descriptor_fails(fake):
    d = fake("leak").start()
    d.reload()
    with pytest.raises(harness.DaemonError, match="more descriptors"):
        d.expect_no_leak(timeout=0.1)


def test_dirty_exit_fails(fake):
    d = fake("dirty").start()
    with pytest.raises(harness.DaemonError, match="exit status 3"):
        d.stop()


def test_sanitizer_output_fails(fake):
    d = fake("sanitizer").start()
    with pytest.raises(harness.DaemonError, match="sanitizer"):
        d.stop()


def test_hanging_stop_fails_and_is_ended(fake):
    d = fake("hang").start()
    with pytest.raises(harness.DaemonError, match="still runs"):
        d.stop(timeout=0.3)
    pid = d.pid
    d.close()
    assert not os.path.exists(f"/proc/{pid}")


def test_kill9(fake):
    d = fake().start()
    d.kill9()
    assert not d.running


def test_upgrade_follows_the_successor(fake):
    d = fake(check_fds=False).start()
    first = d.pid
    second = d.upgrade()
    assert second == d.pid != first
    d.wait_old()
    d.log_contains("fake: started", since=0)
    d.stop()


def test_log_contains_fails(fake):
    d = fake().start()
    with pytest.raises(harness.DaemonError, match="does not show"):
        d.log_contains("never said", timeout=0.1)
    d.stop()


def test_free_port_is_bindable_and_unique():
    ports = [harness.free_port() for _ in range(20)]
    assert len(set(ports)) == 20
    for port in ports[:3]:
        with socket.socket() as s, socket.socket(type=socket.SOCK_DGRAM) as u:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("127.0.0.1", port))
            s.listen()
            u.bind(("127.0.0.1", port))


def test_fixture_stops_it(daemon):
    d = daemon("fake", program=FAKE)
    assert d.running


def pytest_in(tmp_path, text, *args):
    """Runs pytest over one test file under the rules of our conftest."""
    here = os.path.dirname(os.path.abspath(__file__))
    (tmp_path / "test_it.py").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:timeout",
         "-p", "conftest", *args, str(tmp_path)],
        capture_output=True, text=True, timeout=60 * harness.SLOW, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": here},
    )


def test_time_out_ends_a_test(tmp_path):
    p = pytest_in(
        tmp_path,
        "import pytest, threading\n"
        f"@pytest.mark.timeout({0.5 / harness.SLOW})\n"
        "def test_hangs():\n    threading.Event().wait()\n"
        "def test_next():\n    pass\n",
    )
    assert "took longer than" in p.stdout, p.stdout + p.stderr
    assert "1 failed, 1 passed" in p.stdout


def test_long_tests_wait_for_long(tmp_path):
    text = "import pytest\n@pytest.mark.long\ndef test_it():\n    pass\n"
    assert "1 deselected" in pytest_in(tmp_path, text).stdout
    assert "1 passed" in pytest_in(tmp_path, text, "--long").stdout


def test_network(netns):
    p = netns["worker"].run(
        [sys.executable, "-c",
         "import socket\n"
         "s = socket.socket(); s.settimeout(5)\n"
         "try:\n    s.connect(('192.168.120.101', 9))\n"
         "except ConnectionRefusedError:\n    print('reached')\n"]
    )
    assert p.stdout == "reached\n"
    assert netns["bastion"].run(["ip", "-br", "addr"]).stdout.count("192.168.120.101/24") == 1
