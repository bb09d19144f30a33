"""Fixtures and rules of the integration tests: time-outs, tiers, daemons that must end."""

import faulthandler
import os
import signal
import sys
import threading

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402
from variant import BUILD, SLOW  # noqa: E402

pytest_plugins = ["netns"]

# Seconds for one test with its fixtures, times the variant's slowness.  A real API server
# takes its time to start.
TIMEOUT = 300 if os.environ.get("OKD_KUBE") else 60


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="with the tests marked long")


def pytest_configure(config):
    for line in (
        "timeout(seconds): the test may take so long instead of %d s" % TIMEOUT,
        "long: takes longer than a landing may; runs with --long",
        "threads: exercises several threads of a daemon; the TSan stage runs these",
    ):
        config.addinivalue_line("markers", line)
    config.addinivalue_line("filterwarnings", "error")
    # What the distribution's Python packages deprecate among themselves is not ours.
    config.addinivalue_line("filterwarnings", "ignore::DeprecationWarning")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--long"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


class TestTimeout(BaseException):
    """Not an Exception, so that no handler of a test swallows it."""

    __test__ = False


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """Ends a test that hangs: first by an exception, then with the whole run."""
    marker = item.get_closest_marker("timeout")
    seconds = (marker.args[0] if marker else TIMEOUT) * SLOW

    def on_alarm(signo, frame):
        # Once more later, should the clean-up hang as well.
        signal.setitimer(signal.ITIMER_REAL, 30 * SLOW)
        for thread in threading.enumerate():
            if thread is not threading.main_thread():
                sys.stderr.write(f"thread {thread.name} is alive\n")
        raise TestTimeout(f"{item.nodeid} took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(seconds + 90 * SLOW, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, f"report_{call.when}", outcome.get_result())


@pytest.fixture
def daemon(request):
    """daemon("dnsd", config, ...) starts one; the end of the test stops it, and insists
    on a clean end where the test itself passed."""
    running = []

    def start(name, config=None, cluster=None, **kwargs):
        program = os.path.join(BUILD, f"okd-{name}")
        if "program" not in kwargs and not os.access(program, os.X_OK):
            pytest.fail(f"{program} is not built")
        d = harness.Daemon(name, config, cluster, **kwargs)
        running.append(d)
        return d.start()

    yield start
    report = getattr(request.node, "report_call", None)
    passed = report is not None and report.passed
    problems = []
    for d in reversed(running):
        try:
            if passed and d.main:
                d.stop()
            elif d.log:
                print(f"--- stderr of okd-{d.name}\n{d.log}")
        except harness.DaemonError as e:
            problems.append(str(e))
        finally:
            d.close()
    if problems:
        pytest.fail("\n".join(problems))


@pytest.fixture
def free_port():
    return harness.free_port
