"""okd-ignd's page as a browser shows it: in light and dark, on a phone, with and without
scripts, and while a node installs.  The pictures are kept in build/page/."""

import os

import pytest

from chromium import Chromium
from ignd_fixtures import CLUSTER, bootstrap_ign, certificate, start_ignd
from variant import TOP

IMAGE = os.urandom(1 << 16) * 256  # 16 MiB
WIDTHS = {"desk": 1280, "tablet": 820, "phone": 375}


@pytest.fixture
def ignd(daemon, tmp_path):
    """A cluster in the middle of its installation, and something to warn of."""
    cluster = {**CLUSTER, "nodes": CLUSTER["nodes"] + [
        {"name": f"worker-{i}", "role": "worker", "address": f"127.0.0.{i}"}
        for i in (11, 12)]}
    ignd = start_ignd(daemon, cluster=cluster, files={
        "bootstrap": bootstrap_ign(certificate(tmp_path, -20 * 3600, 4 * 3600)),
        "worker": b'{"ignition":{"version":"3.1.0"},"storge":{}}'})
    ignd.write("install/coreos.raw", IMAGE)
    ignd.get("/ignition/bootstrap.ign", source="127.0.0.2")
    ignd.get("/install/coreos.raw", source="127.0.0.2")
    with ignd.slow_get("/install/coreos.raw", source="127.0.0.11") as t:
        t.read_some()
    ignd.d.admin("/v1/close?node=worker-12", "POST")
    ignd.get("/ignition/worker.ign", source="127.0.0.12")
    return ignd


@pytest.fixture
def browser(tmp_path):
    with Chromium(tmp_path) as c:
        yield c


def row(name, column):
    return (f"[...document.querySelectorAll('#nodes tr')].find(r => r.cells[0].textContent === "
            f"'{name}').cells[{column}].textContent")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_looks(ignd, browser, width, dark):
    """Nothing sticks out to the side, nothing is empty, and letters can be told from what
    is behind them."""
    browser.look(WIDTHS[width], dark=dark)
    with ignd.slow_get("/install/coreos.raw", source="127.0.0.4") as t:
        t.read_some(4 << 20)
        browser.open(f"http://127.0.0.1:{ignd.port}/")
        browser.until("document.querySelectorAll('#nodes progress').length >= 3")
        folder = os.path.join(TOP, "build", "page")
        os.makedirs(folder, exist_ok=True)
        path = browser.screenshot(
            os.path.join(folder, f"{width}-{'dark' if dark else 'light'}.png"))
    assert os.path.getsize(path) > 5000
    assert browser.value("document.documentElement.scrollWidth <= window.innerWidth")
    light = browser.value(
        "(() => { const p = document.createElement('p'); document.body.append(p);"
        "const c = getComputedStyle(p).color.match(/\\d+/g).map(Number);"
        "return c[0] + c[1] + c[2]; })()")
    assert (light > 600) == dark  # the letters' own brightness
    assert browser.value(row("worker-12", 3)).startswith("Waiting for ignition")
    assert browser.value(row("worker-11", 3)).startswith("Failed")
    text = browser.value("document.body.innerText")
    assert "did you mean" in text and "root-ca" in text


@pytest.mark.timeout(120)
def test_updates_by_itself(ignd, browser):
    browser.open(f"http://127.0.0.1:{ignd.port}/")
    browser.until(row("worker", 3) + " === ''")
    ignd.get("/ignition/worker.ign", source="127.0.0.4")
    browser.until(row("worker", 3) + " === 'Starting installation'")
    with ignd.slow_get("/install/coreos.raw", source="127.0.0.4") as t:
        t.read_some(1 << 20)
        browser.until(row("worker", 3) + " === 'Writing image to disk'")
        browser.until(row("worker", 5) + ".includes('of 16 MiB')")
        t.read_all()
    browser.until(row("worker", 3) + " === 'Rebooting'")
    ignd.d.admin("/v1/reset?node=worker", "POST")
    browser.until(row("worker", 3) + " === ''")


@pytest.mark.timeout(120)
def test_without_scripts(ignd, browser):
    """The same page, which loads itself again."""
    browser.without_scripts()
    browser.open(f"http://127.0.0.1:{ignd.port}/")
    browser.until(row("worker", 3) + " === ''")
    ignd.get("/ignition/worker.ign", source="127.0.0.4")
    browser.until(row("worker", 3) + " === 'Starting installation'")
