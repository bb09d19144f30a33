#!/usr/bin/python3
"""ignd beside nginx: an unknown client's 1 GiB image, a node's, and a small file.

A node's image is accounted for (bytes acknowledged, progress); to an unknown client it goes
as any file.  Both write a line per request to their logs.  Besides: two hundred nodes at
once, and how long a bootstrap.ign takes to be read.  BENCH_ARGS="--part big --rounds 5"
measures one part alone: parse, crowd, small, big.
"""

import argparse
import base64
import gzip
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time

from bench import BUILD, Server, compare, okd, options, run_load, tcp_ready

LOAD = os.path.join(BUILD, "tests/tools/common/httpload")
GIB = 1 << 30
CROWD = 200
PARTS = ("parse", "crowd", "small", "big")
IMAGE = 800 << 20
WINDOW = 256 << 10
CLUSTER = {
    "name": "okd", "base_domain": "example.com",
    "bastion": {"name": "bastion", "addresses": ["127.0.0.1"]},
    "machine_network": ["127.0.0.0/8"],
    "nodes": [{"name": "master", "role": "master", "address": "127.0.0.3"}],
}
NGINX = """
daemon off; pid {dir}/pid; error_log {dir}/error.log; worker_processes 1;
events { worker_connections 1000; }
http {
    access_log {dir}/access.log; sendfile on; keepalive_requests 100000000;
    client_body_temp_path {dir}/1; proxy_temp_path {dir}/2; fastcgi_temp_path {dir}/3;
    uwsgi_temp_path {dir}/4; scgi_temp_path {dir}/5;
    server { listen 127.0.0.1:PORT; root {dir}/root; }
}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def add_images(folder):
    for name, size in (("big.raw", GIB), ("image.raw", IMAGE)):
        with open(os.path.join(folder, name), "wb") as f:
            f.truncate(size)


def ours(name="okd-ignd", node=False, crowd=0):
    """node: the load's own address is the master's.  crowd: so many workers besides."""
    port = free_port()
    cluster = {**CLUSTER}
    cluster["nodes"] = cluster["nodes"] + [
        {"name": f"worker-{i}", "role": "worker", "address": f"127.0.1.{i + 1}"}
        for i in range(crowd)]
    if node:
        cluster["bastion"] = {"name": "bastion", "addresses": ["127.0.0.9"]}
        cluster["nodes"] = [{**CLUSTER["nodes"][0], "address": "127.0.0.1"}]
    s = okd("ignd", {"listen": [f"127.0.0.1:{port}"], "checksums": False,
                     "limits": {"per_address": 1000}},
            cluster, files={"install/small": "x" * 300}, data={"port": port})
    s.name = name
    add_images(os.path.join(s.dir, "install"))
    return s


def nginx():
    port = free_port()
    s = Server(
        "nginx",
        ["/usr/sbin/nginx", "-c", "{dir}/nginx.conf", "-p", "{dir}", "-e", "{dir}/error.log"],
        ready=tcp_ready(port), data={"port": port}, version=["/usr/sbin/nginx", "-v"],
        files={"nginx.conf": NGINX.replace("PORT", str(port)),
               "root/install/small": "x" * 300},
    )
    add_images(os.path.join(s.dir, "root/install"))
    return s


def small(server, opts):
    out = run_load([LOAD, str(server.data["port"]), "/install/small", "16", str(opts.seconds)])
    return int(out.split()[0])


def big(server, opts):
    times = str(max(2, int(opts.seconds * 4)))  # some seconds: a single GiB takes 0.15
    out = run_load([LOAD, str(server.data["port"]), "/install/big.raw", "1", "60", times])
    return int(out.split()[1]) / GIB


def crowd(server, seconds, window=None):
    """Nodes that fetch an image at once: what each got, and the server's memory.

    With a window every node has a receive buffer of that size, as equal machines have.
    Without, the kernel sizes them as it goes, and on loopback it leaves a few at a sixth of
    the others': these get as much less, from whichever server.
    """
    server.start()
    socks = []
    try:
        for i in range(CROWD):
            s = socket.socket()
            if window:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            s.bind((f"127.0.1.{i + 1}", 0))
            s.connect(("127.0.0.1", server.data["port"]))
            socks.append(s)
        for s in socks:
            s.sendall(b"GET /install/image.raw HTTP/1.1\r\nHost: a\r\n\r\n")
            s.setblocking(False)
        got = dict.fromkeys(socks, 0)
        poll = select.epoll()
        by_fd = {s.fileno(): s for s in socks}
        for fd in by_fd:
            poll.register(fd, select.EPOLLIN)
        buffer = bytearray(1 << 18)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for fd, _ in poll.poll(1):
                got[by_fd[fd]] += by_fd[fd].recv_into(buffer)
        mib = sorted(n / 2**20 for n in got.values())
        mean = sum(mib) / len(mib)
        sizes = f"windows of {window >> 10} KiB" if window else "windows of the kernel's"
        print(f"{server.name}: {CROWD} nodes at once for {seconds} s, {sizes}: "
              f"{mib[0]:.1f}..{mib[-1]:.1f} MiB each, mean {mean:.1f} "
              f"({mib[0] / mean - 1:+.1%}..{mib[-1] / mean - 1:+.1%}), RSS "
              f"{server.memory()['rss'] / 2**20:.1f} MiB", flush=True)
        poll.close()
    finally:
        for s in socks:
            s.close()
        server.stop()


def bootstrap_ign(folder):
    """A bootstrap.ign as openshift-install makes it: 300 KB, some 35 certificates in PEM
    files, kubeconfigs and manifests."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k",
                    "-out", "c", "-days", "1", "-subj", "/CN=root-ca"], cwd=folder, check=True,
                   capture_output=True)
    with open(os.path.join(folder, "c"), "rb") as f:
        pem = f.read()
    url = lambda b: "data:text/plain;charset=utf-8;base64," + base64.b64encode(b).decode()  # noqa: E731
    kubeconfig = b"users:\n- user:\n    client-certificate-data: " + base64.b64encode(pem)
    files = [{"path": f"/opt/openshift/tls/{i}.crt", "contents": {"source": url(pem * 2)}}
             for i in range(15)]
    files += [{"path": f"/opt/openshift/auth/kubeconfig-{i}", "contents": {
        "source": url(gzip.compress(kubeconfig)), "compression": "gzip"}} for i in range(5)]
    text = b"#!/bin/bash\n" + b"echo the bootstrap's own script\n" * 100
    while len(json.dumps(files)) < 300000:
        files.append({"path": f"/usr/local/bin/{len(files)}.sh",
                      "contents": {"source": url(text)}})
    path = os.path.join(folder, "bootstrap.ign")
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"ignition": {"version": "3.1.0"}, "storage": {"files": files}}, f)
    return path


def parse():
    with tempfile.TemporaryDirectory() as folder:
        path = bootstrap_ign(folder)
        out = run_load([os.path.join(BUILD, "tests/tools/ignd/ignparse"), path, "100"])
        ms, certificates = out.split()
        print(f"ignd-parse: {os.path.getsize(path)} bytes with {certificates} certificates in "
              f"{ms} ms", flush=True)


def choose(argv):
    """The parts to measure, and the other arguments."""
    p = argparse.ArgumentParser(add_help=False)
    p.add_argument("--part", action="append", choices=PARTS)
    mine, rest = p.parse_known_args(argv)
    return mine.part or PARTS, options(__doc__, rest)


def main():
    parts, opts = choose(sys.argv[1:])
    if "parse" in parts:
        parse()
    for window in (WINDOW, None) if "crowd" in parts else ():
        for server in (ours(crowd=CROWD), nginx()):
            crowd(server, 2 if opts.quick else 15, window)
    if "small" in parts:
        compare("ignd-small", [ours(), nginx()], small, opts, unit="request")
    if "big" in parts:
        compare("ignd-big", [ours(), nginx(), ours("okd-ignd, node", True)], big, opts,
                unit="GiB")


if __name__ == "__main__":
    sys.exit(main())
