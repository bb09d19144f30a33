#!/usr/bin/python3
"""okdctl's start beside other command lines, and its status of a cluster of 500 nodes.

Wall time from fork to exit, the programs in turns; each line has the median, the fastest and
the ratio of the medians to okdctl's.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from bench import BUILD, okd

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                "integration"))
from harness import example_cluster, free_port, to_yaml  # noqa: E402

OKDCTL = os.path.join(BUILD, "okdctl")


def big_cluster(n):
    cluster = example_cluster()
    cluster.update(machine_network=["10.0.0.0/16"], gateway="10.0.0.1",
                   bastion={"name": "bastion", "addresses": ["10.0.0.1"]})
    cluster["nodes"] = [
        {"name": f"w{i}", "role": "worker", "address": f"10.0.{i // 200 + 1}.{i % 200 + 1}"}
        for i in range(n - 1)] + [{"name": "m", "role": "master", "address": "10.0.9.1"}]
    return cluster


def once(command):
    begin = time.perf_counter()
    subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL, check=False)
    return 1000 * (time.perf_counter() - begin)


def measure(title, commands, rounds):
    times = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            times[name].append(once(command))
    first = statistics.median(next(iter(times.values())))
    print(f"\n{title} ({rounds} rounds)")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"  {name:28} {median:8.1f} ms   fastest {min(values):7.1f} ms   "
              f"{median / first:6.2f}")


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--rounds", type=int, default=30)
    p.add_argument("--nodes", type=int, default=500)
    options, _ = p.parse_known_args()
    peers = {"kubectl version --client": ["kubectl", "version", "--client"],
             "haproxy -v": ["haproxy", "-v"], "python3 -c pass": [sys.executable, "-c", "pass"]}
    peers = {k: v for k, v in peers.items() if shutil.which(v[0])}
    measure("start", {"okdctl --help": [OKDCTL, "--help"], **peers}, options.rounds)
    cluster = big_cluster(options.nodes)
    listen = [f"127.0.0.1:{free_port()}"]
    servers = [okd("dnsd", {"listen": listen}, cluster),
               okd("ignd", {"listen": [f"127.0.0.1:{free_port()}"]}, cluster),
               okd("csrd", {"kubeconfig": "/nonexistent"}, cluster),
               okd("lbd", {"stats": {"listen": []}, "frontends": [
                   {"name": n, "backend": n, "listen": [f"127.0.0.1:{free_port()}"]}
                   for n in ("openshift-api-server", "machine-config-server")],
                   "backends": [{"name": n, "servers": [{"name": "m", "address": "127.0.0.1:1"}]}
                                for n in ("openshift-api-server", "machine-config-server")]},
                   cluster)]
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "cluster.yaml"), "w", encoding="utf-8") as f:
            f.write(to_yaml(cluster))
        try:
            for s in servers:
                s.start()
                os.symlink(s.dir, os.path.join(folder, s.name))
            ask = [OKDCTL, "--etc", folder, "--run-dir", folder]
            measure(f"status of {options.nodes} nodes", {
                "okdctl status": [*ask, "status"],
                "okdctl status --json": [*ask, "status", "--json"],
                "okdctl dns get": [*ask, "dns", "get", "w1.okd.example.com"],
            }, options.rounds)
        finally:
            for s in servers:
                s.stop()


if __name__ == "__main__":
    main()
