"""Several hosts on one machine: network namespaces on a bridge.

The fixture netns gives the guide's topology: bastion 192.168.120.101, bootstrap .102,
master .103 and worker .104, each a namespace with eth0 and lo, joined by a bridge in a
namespace of its own, so that nothing of the machine's own network is touched.
"""

import itertools
import os
import shutil
import signal
import subprocess

import pytest

HOSTS = {
    "bastion": "192.168.120.101",
    "bootstrap": "192.168.120.102",
    "master": "192.168.120.103",
    "worker": "192.168.120.104",
}
PREFIX = 24
_serial = itertools.count()


def ip(*args, check=True):
    p = subprocess.run(
        ["ip", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if check and p.returncode:
        raise RuntimeError(f"ip {' '.join(args)}: {p.stderr.strip()}")
    return p


class Host:
    """One namespace."""

    def __init__(self, name, netns, address):
        self.name = name
        self.netns = netns
        self.address = address
        self.children = []

    def wrap(self, *args):
        """The command line that runs args in here; also Daemon's wrapper=."""
        return ["ip", "netns", "exec", self.netns, *args]

    def run(self, args, timeout=30, check=True, **kwargs):
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(
            self.wrap(*args), timeout=timeout, check=check, capture_output=True, text=True,
            **kwargs,
        )

    def popen(self, args, **kwargs):
        """A process that is ended with the namespace at the latest."""
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        p = subprocess.Popen(self.wrap(*args), start_new_session=True, **kwargs)
        self.children.append(p)
        return p

    def stop_children(self):
        for p in self.children:
            if p.poll() is None:
                os.killpg(p.pid, signal.SIGKILL)
            p.wait(10)
            for stream in (p.stdout, p.stderr):
                if stream:
                    stream.close()
        self.children = []


class Network:
    """Hosts on one bridge.  net["bastion"].run(["ip", "addr"])"""

    def __init__(self, hosts=None):
        # Unique per process; interface names may have 15 bytes.
        self.tag = f"okd{os.getpid()}-{next(_serial)}"
        self.bridge = f"{self.tag}-br"
        self.made = []
        self.hosts = {}
        try:
            self._namespace(self.bridge)
            ip("-n", self.bridge, "link", "add", "br0", "type", "bridge")
            ip("-n", self.bridge, "link", "set", "br0", "up")
            for name, address in (hosts or HOSTS).items():
                self._host(name, address)
        except BaseException:
            self.close()
            raise

    def _namespace(self, name):
        ip("netns", "add", name)
        self.made.append(name)
        ip("-n", name, "link", "set", "lo", "up")

    def _host(self, name, address):
        netns = f"{self.tag}-{name}"
        self._namespace(netns)
        port = f"p{len(self.hosts)}"
        ip("-n", netns, "link", "add", "eth0", "type", "veth", "peer", "name", port,
           "netns", self.bridge)
        ip("-n", self.bridge, "link", "set", port, "master", "br0")
        ip("-n", self.bridge, "link", "set", port, "up")
        ip("-n", netns, "addr", "add", f"{address}/{PREFIX}", "dev", "eth0")
        ip("-n", netns, "link", "set", "eth0", "up")
        self.hosts[name] = Host(name, netns, address)

    def __getitem__(self, name):
        return self.hosts[name]

    def link(self, name, up):
        """Takes a host's cable out, or puts it back."""
        ip("-n", self.hosts[name].netns, "link", "set", "eth0", "up" if up else "down")

    def close(self):
        for host in self.hosts.values():
            host.stop_children()
        for name in reversed(self.made):
            ip("netns", "del", name, check=False)
        self.made, self.hosts = [], {}


def why_not():
    """Why this machine cannot make namespaces, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "there is no ip command (package iproute2)"
    name = f"okd{os.getpid()}-probe"
    made = ip("netns", "add", name, check=False)
    if made.returncode:
        return f"ip netns add: {made.stderr.strip()}"
    try:
        link = ip("-n", name, "link", "add", "br0", "type", "bridge", check=False)
        return f"no bridge: {link.stderr.strip()}" if link.returncode else None
    finally:
        ip("netns", "del", name, check=False)


@pytest.fixture(scope="session")
def netns_supported():
    reason = why_not()
    if reason:
        pytest.skip(reason)


@pytest.fixture
def netns(netns_supported):
    net = Network()
    yield net
    net.close()
