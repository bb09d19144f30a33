"""From the sources to a running bastion, by the commands of README.md."""

import os
import re

import pytest

import conftest
from variant import TOP
from worlds import BASTION, NODES

pytestmark = pytest.mark.system


def documented():
    """What README.md has a person run after make install."""
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as f:
        text = re.search(r"install`, then `(sudo [^`]*daemon-reload)`", f.read()).group(1)
    return [x.split() for x in " ".join(text.split()).replace("sudo ", "").split(" && ")]


def test_make_install(bastion, net, story):
    story.chapter("From the sources")
    bastion.boot()
    conftest.make("-j2")
    conftest.make("install", f"DESTDIR={bastion.path('/')}")
    for command in documented():
        # A container may not set what belongs to the machine.
        bastion.run(command, check=command[0] != "sysctl")
    nodes = [x for name, address in NODES.items()
             for x in ("--node", f"name={name},role={name},address={address}")]
    bastion.run(["okdctl", "init", "--apply", "--yes", "--name", "okd", "--base-domain",
                 "example.com", "--bastion", BASTION, "--gateway", BASTION,
                 "--machine-network", "192.168.120.0/24", *nodes])
    bastion.systemctl("enable", "--now", "okd-bastion.target")
    for d in conftest.daemons():
        bastion.wait_main(f"okd-{d}.service")
        assert bastion.admin(d, "/status")["name"] == f"okd-{d}"
    assert net["worker"].run(["dig", "+short", f"@{BASTION}", "api.okd.example.com"]
                             ).stdout.split() == [BASTION]
    p = bastion.run(["systemd-analyze", "verify", "--man=no", "okd-bastion.target"])
    assert p.stdout + p.stderr == ""
    story("make install, and what README.md names after it: all five run")
