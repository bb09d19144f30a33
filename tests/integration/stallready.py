"""An upgrade in place that stands still where the successor has read all that it starts from,
and the predecessor still works: see stallready.c."""

import concurrent.futures
import contextlib
import os

import pytest

from harness import wait_until
from jumpclock import build


class Stall:
    def __init__(self, folder):
        self.path = str(folder / "stall")
        self.env = {"LD_PRELOAD": build(folder, "stallready"), "STALL_READY": self.path}

    @contextlib.contextmanager
    def upgrade(self, d):
        """Inside, both processes are there, and the old one is in charge."""
        with open(self.path, "w", encoding="utf-8"):
            pass
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            done = pool.submit(d.upgrade)
            try:
                wait_until(lambda: os.path.exists(self.path + ".reached"), 20, "the successor")
                yield
            finally:
                os.unlink(self.path)
            done.result()


@pytest.fixture
def stall(tmp_path):
    return Stall(tmp_path)
