"""A real iPXE in a machine of QEMU's boots from okd-ignd alone: boot.ipxe, the script of
its MAC address, the kernel, the initramfs."""

import contextlib
import os
import shutil
import struct
import subprocess

import pytest

from ignd_fixtures import start_ignd

QEMU = shutil.which("qemu-system-x86_64")
ROM = "/usr/lib/ipxe/qemu/pxe-e1000.rom"
pytestmark = pytest.mark.skipif(not QEMU or not os.path.exists(ROM),
                                reason="QEMU or iPXE's ROM is not installed")


def kernel():
    """A bzImage that iPXE takes for a kernel, and that does nothing once it runs."""
    setup = bytearray(1024)
    setup[0x1F1] = 1  # sectors of setup behind the first
    struct.pack_into("<I", setup, 0x1F4, 1)  # the rest, in units of 16 bytes
    struct.pack_into("<H", setup, 0x1FE, 0xAA55)
    setup[0x200:0x202] = b"\xeb\xfe"  # jump to itself
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, 0x0203)
    setup[0x211] = 1  # loaded high
    struct.pack_into("<I", setup, 0x214, 0x100000)
    struct.pack_into("<I", setup, 0x22C, 0x37FFFFFF)  # the initramfs may lie up to there
    return bytes(setup) + b"\xf4" * 4096


@contextlib.contextmanager
def machine(url, mac):
    p = subprocess.Popen(
        [QEMU, "-M", "pc,accel=tcg", "-m", "256", "-display", "none", "-serial", "none",
         "-monitor", "none", "-no-reboot",
         "-netdev", f"user,id=n,restrict=off,bootfile={url}",
         "-device", f"e1000,netdev=n,mac={mac},romfile={ROM},bootindex=1"],
        stdin=subprocess.DEVNULL)
    try:
        yield p
    finally:
        p.kill()
        p.wait(10)


@pytest.mark.timeout(120)
def test_ipxe(daemon):
    ignd = start_ignd(daemon)
    live = "fedora-coreos-32.20200907.3.0-live-"
    ignd.write(f"install/{live}kernel-x86_64", kernel())
    ignd.write(f"install/{live}initramfs.x86_64.img", os.urandom(3 << 20))
    # 10.0.2.2 is this host, as the machine sees it; we see the machine as 127.0.0.1.
    with machine(f"http://10.0.2.2:{ignd.port}/boot.ipxe", "52:54:00:00:00:03"):
        for path in ("/boot.ipxe", "/ipxe/52-54-00-00-00-03.ipxe", f"/install/{live}kernel-x86_64",
                     f"/install/{live}initramfs.x86_64.img"):
            ignd.d.log_contains(f'"GET {path}" 200', timeout=60)


@pytest.mark.timeout(120)
def test_machine_that_is_no_node(daemon):
    ignd = start_ignd(daemon)
    with machine(f"http://10.0.2.2:{ignd.port}/boot.ipxe", "52:54:00:00:00:99"):
        ignd.d.log_contains('"GET /ipxe/52-54-00-00-00-99.ipxe" 404', timeout=60)
