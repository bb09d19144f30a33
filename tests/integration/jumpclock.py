"""A clock that a test moves while a daemon runs: see jumpclock.c."""

import mmap
import os
import struct
import subprocess

import pytest


def build(folder, name):
    """The library to preload that NAME.c beside this file makes, in the folder."""
    library = str(folder / f"{name}.so")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.c")
    subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-O1", "-o", library, source],
                   check=True)
    return library


class Clock:
    """The two numbers in the file that jumpclock.c reads, as seconds."""

    def __init__(self, folder):
        self.path = str(folder / "ahead")
        with open(self.path, "wb") as f:
            f.write(bytes(16))
        self.file = open(self.path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 16)
        self.env = {"LD_PRELOAD": build(folder, "jumpclock"), "JUMPCLOCK": self.path}

    def _set(self, at, seconds):
        struct.pack_into("q", self.map, at, int(seconds * 1e9))

    def wall(self, seconds):
        self._set(0, seconds)

    def boot(self, seconds):
        self._set(8, seconds)

    def close(self):
        self.map.close()
        self.file.close()


@pytest.fixture
def clock(tmp_path):
    c = Clock(tmp_path)
    yield c
    c.close()
