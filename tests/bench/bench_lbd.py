"""The TCP balancer beside HAProxy: connections, round trips, bulk, idle memory.

One thread each.  HAProxy has the guide's options; "haproxy-splice" has splicing switched
on as well.  Neither logs.  CPU per operation is what counts.

BENCH_ARGS="--part conn --part bulk --rounds 5" chooses: conn, rr, bulk, latency, workers,
reload, idle, calls.
"""

import argparse
import os
import re
import resource
import signal
import socket
import statistics
import subprocess
import sys
import time

from bench import (BUILD, CORES, LOAD_CORES, Server, compare, okd, options, run_load,
                   tcp_ready)

LOAD = os.path.join(BUILD, "tests/tools/lbd/lbdload")
HAPROXY = "/usr/sbin/haproxy"
PARTS = ["conn", "rr", "bulk", "latency", "workers", "reload", "idle", "calls"]
RELOADS = 10  # in each turn
PACE = 5000  # round trips a second: a fraction of what one core can do

CONFIG = """
global
  nbthread 1
  maxconn 6000
  stats socket {dir}/socket level admin expose-fd listeners
defaults
  mode tcp
  timeout connect 10s
  timeout client 1m
  timeout server 1m
  SPLICE
frontend fe
  bind 127.0.0.1:PORT
  default_backend be
backend be
  balance source
  server a 127.0.0.1:TARGET check
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def ours(target, workers=1, **kwargs):
    port = free_port()
    config = {
        "workers": workers,
        "stats": {"listen": []},
        "frontends": [{"name": "fe", "listen": [f"127.0.0.1:{port}"], "backend": "be",
                       "log": "none"}],
        "backends": [{"name": "be", "balance": "source", "check": {"type": "tcp"},
                      "servers": [{"name": "a", "address": f"127.0.0.1:{target}"}]}],
    }
    return okd("lbd", config, ready=tcp_ready(port), data={"port": port}, **kwargs)


def haproxy(name, target, splice="", args=("-db",), **kwargs):
    port = free_port()
    text = CONFIG.replace("PORT", str(port)).replace("TARGET", str(target))
    return Server(name, [HAPROXY, *args, "-f", "{dir}/haproxy.cfg"], ready=tcp_ready(port),
                  files={"haproxy.cfg": text.replace("SPLICE", splice)},
                  version=[HAPROXY, "-v"], data={"port": port}, **kwargs)


def servers(target):
    return [ours(target), haproxy("haproxy", target),
            haproxy("haproxy-splice", target,
                    "option splice-request\n  option splice-response")]


def run(mode, server, n, last):
    return int(run_load([LOAD, mode, str(server.data["port"]), str(n), str(last)]))


def conn(server, opts):
    return run("conn", server, 64, opts.seconds)


def rr(server, opts):
    return run("rr", server, 64, opts.seconds)


def bulk(server, opts):
    return run("bulk", server, 4, 32 if opts.quick else 128) / (1 << 20)


def idle(server, n):
    """Private dirty memory before and with n idle connections."""
    server.start()
    before = server.memory()["private_dirty"]
    load = subprocess.Popen(
        [LOAD, "idle", str(server.data["port"]), str(n)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, LOAD_CORES),
    )
    line = load.stdout.readline()
    # The last ones may still be on their way from the listen queue.
    with socket.create_connection(("127.0.0.1", server.data["port"])) as s:
        s.sendall(b"x")
        s.recv(1)
    after = server.memory()["private_dirty"]
    load.communicate(b"x")
    server.stop()
    if line != b"ready\n":
        raise RuntimeError("the idle connections could not be made")
    return before, after


def syscalls(server, n, target):
    """System calls of a short connection, epoll_wait left out; None without strace."""
    try:
        subprocess.run(["strace", "-V"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    server.start()
    trace = subprocess.Popen(
        ["strace", "-f", "-c", "-p", str(server.process.pid)], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while "attached" not in trace.stderr.readline():
        pass
    count = run("conn", server, 1, 2)
    trace.terminate()
    out = trace.stderr.read()
    trace.wait()
    server.stop()
    calls = {}
    for line in out.splitlines():
        match = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
        if match and match[2] != "total":
            calls[match[2]] = int(match[1])
    total = sum(v for k, v in calls.items() if k not in ("epoll_wait", "epoll_pwait"))
    detail = ", ".join(f"{k} {v / count:.2f}" for k, v in sorted(calls.items()) if v > count / 20)
    return f"{total / count:.1f} without epoll_wait ({detail})"


def latency(peers, target, opts):
    """Percentiles of paced round trips, beside those without a balancer, in turns."""
    names = ["direct"] + [server.name for server in peers]
    ports = {server.name: server.data["port"] for server in peers}
    ports["direct"] = target
    samples = {name: [] for name in names}
    for server in peers:
        server.start()
    try:
        for i in range(opts.rounds):
            for name in names[i % len(names):] + names[:i % len(names)]:
                out = run_load([LOAD, "paced", str(ports[name]), "64", str(opts.seconds),
                                str(PACE)])
                samples[name].append([int(v) / 1000 for v in out.split()])
    finally:
        for server in peers:
            server.stop()
    print(f"lbd-latency: microseconds of a 64-byte round trip, 64 connections, {PACE}/s, "
          f"{opts.rounds} rounds: medians of the percentiles")
    for name in names:
        p50, p99, p999 = (statistics.median(v) for v in zip(*samples[name]))
        print(f"  {name:14} p50 {p50:8.1f}  p99 {p99:8.1f}  p99.9 {p999:8.1f}")
    added = {name: statistics.median(a[1] - b[1] for a, b in
                                     zip(samples[name], samples["direct"])) for name in names}
    print("  added at the 99th percentile: " + ", ".join(
        f"{name} {added[name]:.1f}" for name in names[1:]))


def workers(target, opts):
    """What a second worker costs.  Two workers that are bound by the CPU, on cores of
    their own, serve as many connections as their CPU time allows."""
    both = set(CORES)
    peers = [ours(target, 2, cores=both), ours(target, 1, cores=both)]
    peers[0].name, peers[1].name = "two-workers", "one-worker"
    report = compare("lbd-workers", peers, conn, opts, unit="connection", notes=[
        "the load needs a core itself: rates say nothing here about two workers"])
    ratio = report["servers"]["one-worker"]["ratio"]
    print(f"  by CPU time two workers on cores of their own serve {2 / ratio:.2f} times what "
          "one serves")


def reloads(target, opts):
    """Connections a second while the balancer is reloaded, and without a balancer: it, the
    clients and the server behind it share all cores, and a connection that fails ends the
    load."""
    every = opts.seconds / (RELOADS + 1)
    peers = [(ours(target, cores=set(CORES)), signal.SIGHUP),
             (haproxy("haproxy", target, args=("-W", "-S", "{dir}/master"), cores=set(CORES)),
              signal.SIGUSR2)]
    rates = {name: [] for name in ("direct", *(server.name for server, _ in peers))}
    for server, _ in peers:
        server.start()
    try:
        for i in range(opts.rounds):
            out = subprocess.check_output([LOAD, "conn", str(target), "64", str(opts.seconds)])
            rates["direct"].append(int(out) / opts.seconds)
            for server, sig in peers[i % 2:] + peers[:i % 2]:
                with subprocess.Popen([LOAD, "conn", str(server.data["port"]), "64",
                                       str(opts.seconds)], stdout=subprocess.PIPE) as load:
                    for _ in range(RELOADS):
                        time.sleep(every)
                        os.kill(server.process.pid, sig)
                    out = load.communicate()[0]
                if load.returncode:
                    raise RuntimeError(f"{server.name}: a connection failed over a reload")
                rates[server.name].append(int(out) / opts.seconds)
    finally:
        for server, _ in peers:
            server.stop()
    print(f"lbd-reload: connections a second, {RELOADS} reloads in {opts.seconds} s, "
          f"{opts.rounds} rounds, none failed of {sum(map(sum, rates.values())) * opts.seconds:.0f}")
    for name, each in rates.items():
        print(f"  {name:14} {statistics.median(each):8.0f} ({min(each):.0f}..{max(each):.0f})")


def choose(argv):
    """The parts to measure, and the other arguments."""
    p = argparse.ArgumentParser(add_help=False)
    p.add_argument("--part", action="append", choices=PARTS)
    mine, rest = p.parse_known_args(argv)
    return mine.part or PARTS, options(__doc__, rest)


def main():
    parts, opts = choose(sys.argv[1:])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    backend = subprocess.Popen([LOAD, "serve"], stdout=subprocess.PIPE, text=True,
                               preexec_fn=lambda: os.sched_setaffinity(0, LOAD_CORES))
    try:
        target = int(backend.stdout.readline())
        if "conn" in parts:
            compare("lbd-conn", servers(target)[:2], conn, opts, unit="connection")
        if "rr" in parts:
            compare("lbd-rr", servers(target)[:2], rr, opts, unit="round trip")
        if "bulk" in parts:
            compare("lbd-bulk", servers(target), bulk, opts, unit="MiB")
        if "latency" in parts:
            latency(servers(target)[:2], target, opts)
        if "workers" in parts:
            workers(target, opts)
        if "reload" in parts:
            os.sched_setaffinity(backend.pid, CORES)
            reloads(target, opts)
        n = 1000 if opts.quick else 4000
        for server in servers(target)[:2] if "idle" in parts else []:
            before, after = idle(server, n)
            print(f"{server.name}: private dirty {before / 1048576:.1f} MiB at rest, "
                  f"{(after - before) / n:.0f} bytes for each of {n} idle connections")
        for server in servers(target)[:2] if "calls" in parts else []:
            print(f"{server.name}: system calls of a short connection: "
                  f"{syscalls(server, n, target)}")
    finally:
        backend.kill()
        backend.wait()


if __name__ == "__main__":
    sys.exit(main())
