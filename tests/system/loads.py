"""Traffic from a node for as long as a block lasts, and what became of it."""

import contextlib
import json
import os
import signal
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))


class Load:
    """A program that prints "asking", goes on until TERM, and then prints a count."""

    def __init__(self, host, program, *args):
        self.p = host.popen(["/usr/bin/python3", os.path.join(HERE, program), *args],
                            stdout=subprocess.PIPE, text=True)
        self.count = None

    def __enter__(self):
        assert self.p.stdout.readline() == "asking\n"
        return self

    def __exit__(self, *exc):
        # The process group: ip netns exec is between us and the program.
        os.killpg(self.p.pid, signal.SIGTERM)
        self.count = json.loads(self.p.communicate(timeout=30)[0].splitlines()[-1])


def dns(host, server, name):
    return Load(host, "load_dns.py", server, name)


def http(host, *args):
    return Load(host, "load_http.py", *args)


@contextlib.contextmanager
def paused(*processes):
    """Clients that rest in the middle of what they do, whatever the block takes."""
    for p in processes:
        os.killpg(p.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for p in processes:
            os.killpg(p.pid, signal.SIGCONT)
