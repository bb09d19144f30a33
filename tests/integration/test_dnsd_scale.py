"""dnsd by numbers: memory at rest, many records, changes cut off at any point, a long run."""

import concurrent.futures
import contextlib
import http.client
import os
import random
import re
import signal
import threading
import time

import dns.exception
import dns.rcode
import pytest
import dnsd
import variant
from dnsd import HOST, query, rcode, tcp, texts, udp
from harness import free_port, wait_until

offline_daemon = dnsd.offline_daemon

MIB = 1 << 20
LONG_SECONDS = int(os.environ.get("SOAK_SECONDS", "600"))
RELEASE = variant.NAME == "release"


def dirty(pid):
    """Bytes that are this process's alone."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        return int(re.search(r"Private_Dirty:\s+(\d+)", f.read()).group(1)) * 1024


def test_memory_at_rest(daemon):
    p = free_port()
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "workers": 1})
    assert texts(udp(p, query("api.okd.example.com"))) == ["192.168.120.101"]
    assert not RELEASE or dirty(d.pid) <= 4 * MIB


def address(i):
    return f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}"


def zone_lines(n, changed=None):
    for i in range(n):
        yield f"h{i} 60 A {address(i) if i != changed else '192.0.2.1'}\n"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("n", [100_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_many_records(daemon, tmp_path, n):
    """All are answered, they cost little memory, and a reload changes the one that changed
    without a query lost meanwhile.  The start's duration is `make bench-dnsd`'s."""
    path, p, rng = tmp_path / "many.zone", free_port(), random.Random(3)
    path.write_text("".join(zone_lines(n)))
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "workers": 1, "record_files": [str(path)]},
               timeout=120)
    assert d.status()["dnsd"]["records"] >= n
    assert not RELEASE or dirty(d.pid) <= 4 * MIB + 200 * n
    for i in [0, n - 1] + rng.sample(range(n), 500):
        assert texts(udp(p, query(f"h{i}.okd.example.com"))) == [address(i)]
    assert rcode(udp(p, query(f"h{n}.okd.example.com"))) == "NXDOMAIN"
    path.write_text("".join(zone_lines(n, changed=n // 2)))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        reload = pool.submit(d.reload)
        while not reload.done():
            assert texts(udp(p, query("h7.okd.example.com"))) == [address(7)]
        reload.result()
    assert texts(udp(p, query(f"h{n // 2}.okd.example.com"))) == ["192.0.2.1"]
    wait_until(lambda: not RELEASE or dirty(d.pid) <= 8 * MIB + 400 * n, what="memory again")


CUTS = [10, pytest.param(300, marks=pytest.mark.long)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("cuts", CUTS)
def test_what_the_store_acknowledged_survives_any_cut(daemon, cuts):
    """KILL at a random moment amid changes: each that got its 204 is there afterwards, and
    a batch is there as a whole or not at all."""
    p, rng = free_port(), random.Random(11)
    d = daemon("dnsd", {"listen": [f"{HOST}:{p}"], "workers": 1}, check_fds=False)
    acknowledged, asked = {}, {}

    def change(cut, begun):
        serial = 0
        with contextlib.suppress(OSError, http.client.HTTPException):
            while True:
                batch = [(f"/skydns/com/example/okd/b{cut}-{serial}/x{k}",
                          {"host": address(rng.randrange(1 << 24))}) for k in range(3)]
                asked[cut, serial] = batch
                answer = d.admin("/v1/records", "POST", {"changes": [
                    {"key": key, "value": value} for key, value in batch]})
                assert answer.status == 204, answer.text
                acknowledged[cut, serial] = batch
                begun.set()
                serial += 1

    for cut in range(cuts):
        begun = threading.Event()
        thread = threading.Thread(target=change, args=(cut, begun))
        thread.start()
        assert begun.wait(30 * variant.SLOW)
        end = time.monotonic() + rng.random() * 0.02
        while time.monotonic() < end:  # anywhere within some changes
            pass
        d.kill9()
        thread.join()
        d.start()
    there = {r["key"]: r["value"] for r in d.admin("/v1/records/").json()["records"]}
    for which, batch in asked.items():
        found = [there.get(key) == value for key, value in batch]
        assert all(found) or (not any(found) and which not in acknowledged), (which, found)
    assert len(acknowledged) >= cuts
    cut, serial = max(acknowledged)
    want = sorted(value["host"] for _, value in acknowledged[cut, serial])
    assert texts(udp(p, query(f"b{cut}-{serial}.okd.example.com"))) == want


@pytest.mark.long
@pytest.mark.timeout(LONG_SECONDS + 120)
def test_soak(daemon):
    """Queries of all kinds, changes, reloads and upgrades for a long time: each query is
    answered right, and neither memory nor descriptors grow."""
    p, rng, stop = free_port(), random.Random(5), threading.Event()
    config = {"listen": [f"{HOST}:{p}"], "workers": 2, "tcp": {"clients_per_address": 1000}}
    d = daemon("dnsd", config, check_fds=False)
    counts, wrong = {"queries": 0}, []

    def client(seed):
        mine = random.Random(seed)
        while not stop.is_set():
            send = mine.choice([udp, udp, udp, tcp])
            name, want = mine.choice([
                ("api.okd.example.com", "NOERROR"), ("x.apps.okd.example.com", "NOERROR"),
                (f"n{mine.random()}.okd.example.com", "NXDOMAIN"),
                ("www.example.org", "REFUSED")])
            try:
                got = rcode(send(p, query(name, mine.choice(["A", "AAAA", "TXT", "ANY"]))))
            except (OSError, EOFError, dns.exception.DNSException) as e:
                got = repr(e)
            counts["queries"] += 1
            if got != want:
                wrong.append((name, got))

    def disturb(i):
        key = f"/v1/records/skydns/com/example/okd/soak{i % 50}"
        assert d.admin(key, "PUT", {"host": address(i)}).status == 204
        if i % 10 == 3:
            d.reload()
        if i % 100 == 50:
            d.upgrade()
            d.wait_old()
        if i % 7 == 0:
            d.signal(signal.SIGHUP)

    threads = [threading.Thread(target=client, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    try:
        end, i, settled = time.monotonic() + LONG_SECONDS, 0, None
        while time.monotonic() < end and not wrong:
            disturb(i)
            i += 1
            if i == 250:
                settled = dirty(d.pid), len(os.listdir(f"/proc/{d.pid}/fd"))
            stop.wait(rng.random() / 10)
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert not wrong and counts["queries"] > 10 * LONG_SECONDS
    assert settled, f"only {i} disturbances"
    assert not RELEASE or dirty(d.pid) < settled[0] + 2 * MIB
    wait_until(lambda: len(os.listdir(f"/proc/{d.pid}/fd")) <= settled[1] + 2, what="descriptors")
