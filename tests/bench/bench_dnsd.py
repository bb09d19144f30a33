#!/usr/bin/python3
"""dnsd beside Knot, NSD (rate limiting off) and Unbound (local-data), one worker each.

dnsperf asks over UDP for one name, then in a second run for all names of a cluster in
turns; --names N asks for N names of a zone of that size instead.  The server is on one
core, dnsperf on the other.  Then come how long a start with 100,000 records takes, the memory
of that and of a start with the cluster alone, and the parts of dnsd_parts.py.  --part NAME
runs one part alone (BENCH_ARGS="--part miss --rounds 5"): one, cluster, starts, template,
cached, log, miss, latency, keys, storm, faults.
"""

import re
import shutil
import statistics
import sys
import tempfile

from bench import Server, compare, okd, options, run_load, udp_ready
from dnsd_parts import HOST, PARTS, ZONE, knot_server, port, question

CLUSTER_NAMES = ["api", "api-int", "bastion", "bootstrap", "etcd-0", "master", "registry",
                 "worker", "apps", "console-openshift-console.apps"]


def addresses(names):
    """Name and address of everything in the zone."""
    known = [(n, "192.168.120.101") for n in CLUSTER_NAMES if not n.endswith(".apps")]
    return known + [(f"host-{i}", f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}")
                    for i in range(names)]


def zone_file(names):
    lines = [f"$ORIGIN {ZONE}.", "$TTL 60",
             "@ SOA bastion hostmaster 1 7200 1800 86400 30", "@ NS bastion",
             "*.apps A 192.168.120.101"]
    return "\n".join(lines + [f"{n} A {a}" for n, a in addresses(names)]) + "\n"


def ours(names):
    p = port()
    config = {"listen": [f"{HOST}:{p}"], "workers": 1}
    server = okd("dnsd", config, ready=udp_ready(p, question(f"api.{ZONE}")), data={"port": p})
    if names:
        path = server.write("more.zone", "".join(
            f"{n}.{ZONE}. 60 IN A {a}\n" for n, a in addresses(names)[-names:]))
        server.write("dnsd.yaml", f"listen: ['{HOST}:{p}']\nworkers: 1\n"
                                  f"record_files: [{path}]\n")
    return server


def knot(names):
    return knot_server(ZONE, zone_file(names), f"api.{ZONE}")


def nsd(names):
    p = port()
    conf = f"""
server:
  ip-address: {HOST}@{p}
  server-count: 1
  username: ""
  zonesdir: "{{dir}}"
  database: ""
  pidfile: "{{dir}}/pid"
  xfrdfile: "{{dir}}/xfrd"
  zonelistfile: "{{dir}}/zones"
  xfrdir: "{{dir}}"
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: {ZONE}
  zonefile: zone
"""
    return Server("nsd", ["nsd", "-d", "-c", "{dir}/nsd.conf"], udp_ready(p, question(f"api.{ZONE}")),
                  files={"nsd.conf": conf, "zone": zone_file(names)}, data={"port": p},
                  version=["nsd", "-v"])


def unbound(names):
    p = port()
    data = "\n".join(f'  local-data: "{n}.{ZONE}. 60 IN A {a}"' for n, a in addresses(names))
    conf = f"""
server:
  interface: {HOST}@{p}
  num-threads: 1
  username: ""
  chroot: ""
  directory: "{{dir}}"
  pidfile: ""
  use-syslog: no
  do-ip6: no
  module-config: "iterator"
  local-zone: {ZONE}. static
  local-zone: apps.{ZONE}. redirect
  local-data: "apps.{ZONE}. 60 IN A 192.168.120.101"
{data}
remote-control:
  control-enable: no
"""
    return Server("unbound", ["unbound", "-d", "-p", "-c", "{dir}/unbound.conf"],
                  udp_ready(p, question(f"api.{ZONE}")), files={"unbound.conf": conf}, data={"port": p},
                  version=["unbound", "-V"])


def run(title, names, asked, opts):
    folder = tempfile.mkdtemp(prefix="okd-bench-dnsd-")
    path = f"{folder}/questions"
    with open(path, "w", encoding="ascii") as f:
        f.writelines(f"{n}.{ZONE} A\n" for n in asked)

    def load(server, opts):
        out = run_load(["dnsperf", "-s", HOST, "-p", str(server.data["port"]), "-d", path,
                        "-T", "1", "-c", "4", "-q", "200", "-l", str(opts.seconds)])
        lost = re.search(r"Queries lost:\s+(\d+) \(([\d.]+)%\)", out)
        if float(lost.group(2)) > 1:
            print(f"  {server.name} lost {lost.group(1)} queries", file=sys.stderr)
        if not re.search(r"Response codes:\s+NOERROR \d+ \(100\.00%\)", out):
            raise RuntimeError(f"{server.name} answered something else:\n{out}")
        return int(re.search(r"Queries completed:\s+(\d+)", out).group(1))

    servers = [ours(names), knot(names), nsd(names), unbound(names)]
    try:
        compare(title, servers, load, opts,
                unit="query", notes=[f"{len(set(asked))} names asked for"])
        for s in servers:
            if hasattr(s, "start_seconds"):
                print(f"  {s.name}: ready after {s.start_seconds:.2f} s")
    finally:
        shutil.rmtree(folder)


def starts(names, opts):
    """From exec to the first answer, the median of some, and what it then takes."""
    mib = 1 << 20
    for make in (ours, knot, nsd, unbound):
        seconds = []
        for _ in range(2 if opts.quick else 5):
            server = make(names)
            if opts.only and server.name not in (*opts.only, "okd-dnsd"):
                break
            try:
                server.start()
                seconds.append(server.start_seconds)
            finally:
                server.stop()
        if seconds:
            print(f"  {server.name:14} {names:7} records: answers after"
                  f" {statistics.median(seconds):.2f} s; RSS {server.at_rest['rss'] / mib:.1f},"
                  f" private dirty {server.at_rest['private_dirty'] / mib:.1f} MiB")


def main():
    names = 0
    if "--names" in sys.argv:
        at = sys.argv.index("--names")
        names = int(sys.argv[at + 1])
        del sys.argv[at:at + 2]
    parts = []
    while "--part" in sys.argv:
        at = sys.argv.index("--part")
        parts.append(sys.argv[at + 1])
        del sys.argv[at:at + 2]
    unknown = set(parts) - {"one", "cluster", "starts", *PARTS}
    if unknown:
        sys.exit(f"no part {', '.join(sorted(unknown))}")
    opts = options(__doc__)
    if names:
        asked = [f"host-{i * 7919 % names}" for i in range(min(names, 100000))]
        run(f"dnsd-udp-{names}", names, asked, opts)
        return
    if not parts or "one" in parts:
        run("dnsd-udp-one", 0, ["api"], opts)
    if not parts or "cluster" in parts:
        run("dnsd-udp-cluster", 0, CLUSTER_NAMES, opts)
    if not parts or "starts" in parts:
        starts(0, opts)
        starts(100000, opts)
    for name, part in PARTS.items():
        if not parts or name in parts:
            part(opts, knot)


main()
