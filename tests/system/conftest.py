"""Fixtures of the tests with a booted systemd, and the story that they tell."""

import glob
import os
import subprocess
import sys
import time

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.dirname(HERE))
import bastion as bastions  # noqa: E402
import netns as networks  # noqa: E402
from variant import TOP  # noqa: E402

# Apart from a person's own, in whose folder each version would count.
PACKAGES = os.path.join(TOP, "build", "system", "packages")
_story = []


class Story:
    """story("the bastion boots") adds a line; the end of the run shows all of them."""

    def __init__(self):
        self.began = time.monotonic()

    def __call__(self, text):
        _story.append(f"{time.monotonic() - self.began:7.2f} s  {text}")

    def chapter(self, title):
        self.began = time.monotonic()
        _story.append(f"\n  {title}")


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also the tests marked long")


def pytest_configure(config):
    config.addinivalue_line("markers", "system: boots a container; needs root and nspawn")
    config.addinivalue_line("markers", "timeout(seconds): of tests that are imported")
    config.addinivalue_line("markers", "long: longer than a landing may take; needs --long")
    config.addinivalue_line("filterwarnings", "error")
    config.addinivalue_line("filterwarnings", "ignore::DeprecationWarning")


def pytest_collection_modifyitems(config, items):
    """Leaves out what is long: it is named in docs/operations.md and run by check-long."""
    if not config.getoption("--long"):
        long = [i for i in items if i.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [i for i in items if i not in long]


def pytest_terminal_summary(terminalreporter):
    if _story:
        terminalreporter.section("the story")
        for line in _story:
            terminalreporter.write_line(line)
    os.makedirs(bastions.CACHE, exist_ok=True)
    with open(os.path.join(bastions.CACHE, "story.txt"), "w", encoding="utf-8") as f:
        f.write("\n".join(_story) + "\n")


@pytest.fixture(scope="session")
def story():
    return Story()


def make(*args):
    p = subprocess.run(
        ["make", "-s", *args], cwd=TOP, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, errors="replace", timeout=900, check=False,
    )
    if p.returncode:
        pytest.fail(f"make {' '.join(args)} failed:\n{p.stdout[-4000:]}{p.stderr[-8000:]}")
    return p.stdout


def version():
    return make("print-VERSION").strip()


def daemons():
    return make("print-DAEMONS").split()


def next_version():
    return version().rsplit(".", 1)[0] + ".999"


def packages(kind, of_version):
    """The packages of one version as make rpm or make deb leave them, sources and symbols
    aside."""
    return sorted(glob.glob(f"{PACKAGES}/{of_version}/{kind}/*.{kind}"))


def all_packages(kind, of_version):
    """Those of packages() and the ones with sources and symbols."""
    return sorted(glob.glob(f"{PACKAGES}/{of_version}/{kind}/**/*.{kind}", recursive=True))


@pytest.fixture(scope="session")
def built():
    """built("rpm", version): builds once a run, and names the files.  With SYSTEM_REUSE
    set, what an earlier run built is taken as it is."""
    done = {}

    def build(kind, of_version):
        if (kind, of_version) not in done:
            args = "--nocheck" if kind == "rpm" else ""
            if not (os.environ.get("SYSTEM_REUSE") and packages(kind, of_version)):
                make(kind, f"VERSION={of_version}", f"PACKAGE_ARGS={args}",
                     f"PACKAGEDIR={PACKAGES}")
            done[kind, of_version] = packages(kind, of_version)
        assert done[kind, of_version], f"make {kind} left no package"
        return done[kind, of_version]

    return build


@pytest.fixture(scope="session")
def needs_container():
    reason = bastions.why_not() or networks.why_not()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def net(needs_container):
    network = networks.Network()
    yield network
    network.close()


@pytest.fixture(scope="module")
def bastion(net, request):
    """A container that is not booted yet, with the packages that the module names as BASE."""
    machine = bastions.Bastion(net["bastion"],
                               packages=getattr(request.module, "BASE", bastions.PACKAGES))
    yield machine
    try:
        if machine.init:
            machine.power_off()
    finally:
        machine.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, f"report_{call.when}", outcome.get_result())


@pytest.fixture
def in_order(request):
    """The tests of a module are steps: one after a step that failed is not worth its
    time."""
    module = request.module
    if getattr(module, "failed_step", None):
        pytest.skip(f"{module.failed_step} failed")
    yield
    report = getattr(request.node, "report_call", None)
    if report is None or report.failed or (report.skipped and not hasattr(report, "wasxfail")):
        module.failed_step = request.node.name
        machine = request.node.funcargs.get("bastion")
        if report is not None and report.failed and machine is not None and machine.init:
            print(machine.run(["journalctl", "-q", "-u", "okd-*", "-n", "40", "-o",
                               "short-monotonic"], check=False).stdout)
