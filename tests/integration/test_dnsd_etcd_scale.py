"""dnsd beside an etcd that holds very much."""

import random

import pytest
import variant
import etcd as server
import test_dnsd_etcd as common
from harness import free_port, wait_until
from dnsd import HOST
from test_dnsd_scale import MIB, RELEASE, address, dirty

etcd = server.etcd
BATCH = 100  # etcd takes 128 changes in one transaction


def fill(e, n):
    for first in range(0, n, BATCH):
        e.txn({f"{common.D}/h{i}": f'{{"host":"{address(i)}"}}'
               for i in range(first, min(n, first + BATCH))})


@pytest.mark.timeout(900)
@pytest.mark.parametrize("n", [20_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_many_keys(daemon, etcd, n):
    """All are answered, they cost little memory, and one that changes is followed."""
    e, rng = etcd(), random.Random(3)
    fill(e, n)
    p = free_port()
    config = {"listen": [f"{HOST}:{p}"], "workers": 1, "etcd": {"endpoints": e.urls}}
    d = daemon("dnsd", config, check_fds=False)
    wait_until(lambda: d.status()["dnsd"]["etcd"]["keys"] == n and common.following(d),
               timeout=120 * variant.SLOW, what="all keys")
    for i in [0, n - 1] + rng.sample(range(n), 500):
        assert common.ask(p, f"h{i}.okd.example.com") == [address(i)]
    assert not RELEASE or dirty(d.pid) <= 8 * MIB + 400 * n
    e.put(f"{common.D}/h{n // 2}", '{"host":"192.0.2.1"}')
    common.comes(p, f"h{n // 2}.okd.example.com", ["192.0.2.1"])
