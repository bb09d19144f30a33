"""okd-ignd on a machine whose clock jumps and whose disk fails."""

import os
import struct

import pytest

import harness
import jumpclock
import stallready
import variant
from ignd_fixtures import start_ignd

clock, stall = jumpclock.clock, stallready.stall
DAY = 86400
LONG = 3650 * DAY
pytestmark = pytest.mark.skipif(variant.NAME != "release",
                                reason="a sanitizer wants to be loaded first")


# --- windows ---------------------------------------------------------------------------

def open_window(daemon, clock):
    """An okd-ignd, and a function that says what its worker gets, which has half an hour."""
    ignd = start_ignd(daemon, {"window": {"initial": "closed"}}, env=clock.env)
    assert ignd.d.admin("/v1/open?node=worker&for=30m", "POST").status == 200
    return ignd, lambda: ignd.get("/ignition/worker.ign", source="127.0.0.4").status


@pytest.mark.parametrize("jump", [LONG, -LONG, 3600, -3600])
def test_a_wall_clock_that_jumps_moves_no_windows_end(daemon, clock, jump):
    ignd, ask = open_window(daemon, clock)
    assert ask() == 200
    until = ignd.node("worker")["window"]["until"]
    clock.wall(jump)
    assert ask() == 200
    assert abs(ignd.node("worker")["window"]["until"] - until - jump) < 600
    clock.boot(1801)
    assert ask() == 503 and not ignd.node("worker")["window"]["open"]


def test_a_window_goes_on_over_a_restart_for_no_longer_than_it_was_to_be(daemon, clock):
    ignd, ask = open_window(daemon, clock)
    clock.wall(-DAY)
    ignd.d.stop()
    ignd.d.start()
    assert ask() == 200
    clock.boot(1801)
    assert ask() == 503


def use(daemon, clock):
    """The same for one that fetches its config once, with five minutes of grace, and has."""
    ignd = start_ignd(daemon, {"window": {"once": True}}, env=clock.env)
    ask = lambda **kwargs: ignd.get("/ignition/worker.ign", source="127.0.0.4", **kwargs).status
    assert ask() == 200
    harness.wait_until(lambda: ignd.d.admin("/v1/tickets").json()["tickets"])
    return ignd, lambda: ask(method="HEAD")


@pytest.mark.parametrize("jump", [LONG, -LONG, 3600, -3600])
def test_a_wall_clock_that_jumps_moves_no_end_of_grace(daemon, clock, jump):
    ignd, ask = use(daemon, clock)
    clock.wall(jump)
    assert ask() == 200
    clock.boot(301)
    assert ask() == 503 and not ignd.node("worker")["window"]["open"]
    clock.wall(0)
    assert ask() == 503


@pytest.mark.parametrize("boot, wall, status", [
    (60, 60, 200), (301, 301, 503), (60, 0, 503), (0, -3600, 503), (301, 0, 503)])
def test_grace_goes_on_over_a_restart_where_the_clocks_agree(daemon, clock, boot, wall, status):
    ignd, ask = use(daemon, clock)
    ignd.d.stop()
    clock.boot(boot)
    clock.wall(wall)
    ignd.d.start()
    assert ask() == status
    assert ignd.d.admin("/v1/tickets").json()["tickets"]


# --- an upgrade in place ---------------------------------------------------------------


def test_a_window_that_is_closed_meanwhile_stays_closed(daemon, stall):
    """The successor has read what was kept, and then somebody closes a window, and opens
    another; it holds over a restart as well."""
    ignd = start_ignd(daemon, {"window": {"initial": "closed"}}, env=stall.env)
    gets = lambda name, last: ignd.get(f"/ignition/{name}.ign",  # noqa: E731
                                       source=f"127.0.0.{last}").status
    ignd.d.admin("/v1/open?node=worker", "POST")
    assert gets("worker", 4) == 200
    with stall.upgrade(ignd.d):
        ignd.d.admin("/v1/close?node=worker", "POST")
        ignd.d.admin("/v1/open?node=master", "POST")
        assert (gets("worker", 4), gets("master", 3)) == (503, 200)
    harness.wait_until(lambda: (gets("worker", 4), gets("master", 3)) == (503, 200), 15)
    ignd.d.wait_old()
    ignd.d.stop()
    ignd.d.start()
    assert (gets("worker", 4), gets("master", 3)) == (503, 200)


def test_a_fetch_meanwhile_uses_the_window_up(daemon, stall):
    ignd = start_ignd(daemon, {"window": {"once": True, "grace": "0s"}}, env=stall.env)
    gets = lambda **kwargs: ignd.get("/ignition/worker.ign",  # noqa: E731
                                     source="127.0.0.4", **kwargs).status
    ignd.d.admin("/v1/open?node=worker&once=true", "POST")
    with stall.upgrade(ignd.d):
        assert gets() == 200
    harness.wait_until(lambda: gets(method="HEAD") == 503, 15)
    assert ignd.d.admin("/v1/tickets").json()["tickets"]


# --- a disk that fails -----------------------------------------------------------------


def image(ignd, name):
    images = ignd.d.status()["ignd"]["images"]
    return next((i for i in images if i["name"] == name), {"state": "absent"})


def look_twice(ignd):
    """Waits for a look at the files that begins after this moment."""
    for _ in range(2):
        name = f"look{len(os.listdir(ignd.path('install')))}.raw"
        ignd.write(f"install/{name}", b"x")
        harness.wait_until(lambda n=name: image(ignd, n)["state"] == "good", 15)


def test_a_file_that_cannot_be_read_is_left_alone_for_a_while(daemon, clock, tmp_path):
    counter = tmp_path / "count"
    counter.write_bytes(bytes(8))
    env = {**clock.env, "FAILREAD": str(counter)}
    env["LD_PRELOAD"] += ":" + jumpclock.build(tmp_path, "failread")
    ignd = start_ignd(daemon, env=env)
    reads = lambda: struct.unpack("q", counter.read_bytes())[0]  # noqa: E731

    def waits_until(seconds, seen):
        """Nothing is read until the boot clock has come that far."""
        clock.boot(seconds - 60)
        look_twice(ignd)
        assert reads() == seen
        clock.boot(seconds + 60)
        harness.wait_until(lambda: reads() > seen, 15)
        look_twice(ignd)
        return reads()

    ignd.write("install/sub/image.eio", b"x")
    ignd.d.log_contains("sub/image.eio cannot be hashed, and is served unchecked: Input/output",
                        15)
    look_twice(ignd)
    state = image(ignd, "sub/image.eio")
    assert (state["state"], state["why"]) == ("unchecked",
                                              "it cannot be hashed: Input/output error")
    seen = waits_until(600, reads())
    seen = waits_until(660 + 1200, seen)
    assert ignd.d.log.count("cannot be hashed") == 1
    os.utime(ignd.path("install/sub/image.eio"))
    harness.wait_until(lambda: reads() > seen, 15)
    os.rename(ignd.path("install/sub/image.eio"), ignd.path("install/sub/image"))
    harness.wait_until(lambda: image(ignd, "sub/image")["state"] == "good", 15)
