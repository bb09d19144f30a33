"""Measures our servers beside the programs they replace, in turns, in one run.

A benchmark is tests/bench/bench_<name>.py, run by `make bench-<name>`:

    from bench import Server, compare, options

    opts = options(__doc__)
    servers = [Server("okd-dnsd", [...], ready=...), Server("knot", [...], ready=...)]
    compare("dnsd-udp", servers, load, opts, unit="query")

load(server, opts) drives one server for one turn and returns how many operations it
answered.  What counts is the server's own CPU time for them, which the kernel keeps per
thread: machine load and the load generator's speed hardly move it.  Each round gives
every server one turn, in an order that rotates, so that a drift of the machine meets all
of them.  Results are medians, ratios of medians, and the range of the ratios of the
single rounds.  A benchmark never passes or fails on time.

The servers run on one core and the load on the others; on a machine with one core both
share it, and the report says so.
"""

import argparse
import contextlib
import glob
import json
import os
import platform
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                "integration"))
from variant import BUILD, TOP  # noqa: E402

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORES = {CORES[0]}
LOAD_CORES = set(CORES[1:]) or {CORES[0]}


# --- what the kernel says --------------------------------------------------------------


def process_tree(pid):
    """pid and all of its descendants that live."""
    out = [pid]
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        with contextlib.suppress(OSError), open(path, encoding="ascii") as f:
            for child in f.read().split():
                out += process_tree(int(child))
    return out


def thread_cpu(pid):
    """{tid: nanoseconds on a CPU} of every live thread of pid and its descendants.

    The process's own schedstat holds its main thread alone, hence task/*.  A thread that
    ends takes its time along: take the difference per thread with cpu_between().
    """
    out = {}
    for p in process_tree(pid):
        for path in glob.glob(f"/proc/{p}/task/*/schedstat"):
            with contextlib.suppress(OSError), open(path, encoding="ascii") as f:
                out[int(path.split("/")[4])] = int(f.read().split()[0])
    return out


def cpu_between(before, after):
    """Nanoseconds spent between two thread_cpu(); a thread that began in between counts."""
    return sum(ns - before.get(tid, 0) for tid, ns in after.items())


def memory(pid):
    """{"rss": bytes, "private_dirty": bytes} summed over pid and its descendants."""
    total = {"rss": 0, "private_dirty": 0}
    for p in process_tree(pid):
        path = f"/proc/{p}/smaps_rollup"
        with contextlib.suppress(OSError), open(path, encoding="ascii") as f:
            text = f.read()
            for key, field in (("rss", "Rss"), ("private_dirty", "Private_Dirty")):
                match = re.search(rf"^{field}:\s+(\d+) kB", text, re.M)
                total[key] += int(match.group(1)) * 1024 if match else 0
    return total


# --- servers ---------------------------------------------------------------------------


def tcp_ready(port, host="127.0.0.1"):
    """A ready= for Server: something accepts there."""

    def probe(server):
        with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
            return True
        return False

    return probe


def udp_ready(port, request, host="127.0.0.1"):
    """A ready= for Server: a datagram is answered."""

    def probe(server):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.2)
            with contextlib.suppress(OSError):
                s.connect((host, port))
                s.send(request)
                return bool(s.recv(65535))
        return False

    return probe


class Server:
    """A server under measurement, in the foreground and on its own core.

    args is its command line; ready(server) says whether it answers.  files are written
    to its folder ({name: text}), and {dir} in args and files stands for that folder.
    version is a command that prints one; data is for load().  A server that has NOTIFY
    (notify=True) is ready when it says so.
    """

    def __init__(self, name, args, ready=None, *, files=None, env=None, version=None,
                 notify=False, cores=None, data=None, timeout=60):
        self.name = name
        self.cores = cores or SERVER_CORES
        self.ready = ready
        self.data = data or {}
        self.timeout = timeout
        self.dir = tempfile.mkdtemp(prefix="okd-bench-")
        os.chmod(self.dir, 0o755)
        self.args = [a.replace("{dir}", self.dir) for a in args]
        self.env = {**os.environ, "STATE_DIRECTORY": self.dir, "RUNTIME_DIRECTORY": self.dir}
        self.env.update(env or {})
        self.env.pop("NOTIFY_SOCKET", None)
        for file, text in (files or {}).items():
            self.write(file, text)
        self.version = self._version(version)
        self.notify = None
        if notify:
            self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.notify.bind(os.path.join(self.dir, "notify"))
            self.env["NOTIFY_SOCKET"] = os.path.join(self.dir, "notify")
        self.process = None

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace("{dir}", self.dir))
        return path

    def _version(self, command):
        if not command:
            return ""
        p = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        lines = (p.stdout + p.stderr).strip().splitlines()
        return lines[0] if lines else ""

    @property
    def log_path(self):
        return os.path.join(self.dir, "output")

    def start(self):
        cores = self.cores
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.args, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env,
                cwd=self.dir, start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
        began = time.monotonic()
        while not self._is_ready():
            if self.process.poll() is not None:
                self.fail(f"ended with {self.process.returncode}")
            if time.monotonic() - began > self.timeout:
                self.fail(f"is not ready after {self.timeout} s")
        self.start_seconds = time.monotonic() - began
        self.at_rest = memory(self.process.pid)
        return self

    def _is_ready(self):
        if self.notify:
            poll = select.poll()
            poll.register(self.notify, select.POLLIN)
            if not poll.poll(50) or b"READY=1" not in self.notify.recv(65536).split(b"\n"):
                return False
            self.notify.close()
            self.notify = None
        if self.ready and not self.ready(self):
            time.sleep(0.02)
            return False
        return True

    def fail(self, what):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            raise RuntimeError(f"{self.name} {what}\n{f.read()[-4000:]}")

    def cpu(self):
        if self.process.poll() is not None:
            self.fail(f"ended with {self.process.returncode} under load")
        return thread_cpu(self.process.pid)

    def memory(self):
        return memory(self.process.pid)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                pass
        if self.process:
            # What is left of its session; not every server ends its children.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.notify:
            self.notify.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def okd(part, config, cluster=None, **kwargs):
    """okd-<part> of the release build as a Server; config and cluster are dicts or text."""
    import harness

    program = os.path.join(BUILD, f"okd-{part}")
    cluster = harness.example_cluster() if cluster is None else cluster
    files = {f"{part}.yaml": harness.to_yaml(config), "cluster.yaml": harness.to_yaml(cluster)}
    files.update(kwargs.pop("files", {}))
    return Server(
        f"okd-{part}",
        [program, "-c", f"{{dir}}/{part}.yaml", "-C", "{dir}/cluster.yaml"],
        files=files, notify=True, version=[program, "-V"], **kwargs,
    )


def run_load(args, timeout=600, **kwargs):
    """Runs a load generator on the cores that servers do not use; returns its stdout."""
    p = subprocess.run(
        args, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout,
        preexec_fn=lambda: os.sched_setaffinity(0, LOAD_CORES), check=False, **kwargs,
    )
    if p.returncode:
        raise RuntimeError(f"{args[0]} ended with {p.returncode}\n{p.stdout}{p.stderr}")
    return p.stdout


# --- comparing -------------------------------------------------------------------------


def options(doc, argv=None):
    """The arguments that every benchmark takes (BENCH_ARGS="--rounds 5")."""
    p = argparse.ArgumentParser(description=(doc or "").strip().split("\n")[0])
    p.add_argument("--rounds", type=int, default=15, help="turns of each server (15)")
    p.add_argument("--seconds", type=float, default=3.0, help="length of a turn (3)")
    p.add_argument("--only", action="append", help="measure these servers only")
    p.add_argument("--quick", action="store_true", help="two short rounds: does it work?")
    opts = p.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # through what stops the servers
    if opts.quick:
        opts.rounds, opts.seconds = 2, min(opts.seconds, 0.5)
    return opts


def turn(server, load, opts):
    """One server under load once: what it cost."""
    before, began = server.cpu(), time.monotonic()
    operations = load(server, opts)
    seconds = time.monotonic() - began
    cpu = cpu_between(before, server.cpu())
    if not operations:
        raise RuntimeError(f"{server.name}: the load counted no operation")
    return {
        "operations": operations,
        "seconds": seconds,
        "cpu_ns": cpu,
        "cpu_per_op": cpu / operations,
        "rate": operations / seconds,
    }


def summarise(name, unit, servers, samples, notes=()):
    """The report of a run as a dict.  The first server is ours, the ratios are to it."""
    report = {
        "name": name,
        "unit": unit,
        "machine": {
            "kernel": platform.release(),
            "cpu": cpu_model(),
            "server_cores": sorted(SERVER_CORES),
            "load_cores": sorted(LOAD_CORES),
        },
        "notes": list(notes),
        "servers": {},
    }
    ours = samples[servers[0].name]
    for server in servers:
        mine = samples[server.name]
        costs = [s["cpu_per_op"] for s in mine]
        entry = {
            "version": server.version,
            "rounds": mine,
            "cpu_per_op_ns": statistics.median(costs),
            "cpu_per_op_range": [min(costs), max(costs)],
            "rate": statistics.median(s["rate"] for s in mine),
            "at_rest": server.at_rest,
            "after": server.after,
        }
        if server is not servers[0]:
            each = [a["cpu_per_op"] / b["cpu_per_op"] for a, b in zip(ours, mine)]
            median = report["servers"][servers[0].name]["cpu_per_op_ns"]
            entry["ratio"] = median / entry["cpu_per_op_ns"]
            entry["ratio_range"] = [min(each), max(each)]
        report["servers"][server.name] = entry
    return report


def cpu_model():
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as f:
        match = re.search(r"^model name\s*:\s*(.*)$", f.read(), re.M)
        return match.group(1) if match else platform.machine()
    return platform.machine()


def table(report):
    """The report as text."""
    mib = 1024 * 1024
    lines = [
        f"{report['name']}: CPU time of the server per {report['unit']}, "
        f"{max(len(s['rounds']) for s in report['servers'].values())} rounds",
        f"  {'server':14} {'ns/' + report['unit']:>12} {'min..max':>19} {'per s':>11}"
        f" {'RSS MiB':>8} {'dirty MiB':>9}   ours/peer (min..max)",
    ]
    for name, s in report["servers"].items():
        low, high = s["cpu_per_op_range"]
        ratio = ""
        if "ratio" in s:
            ratio = "{:.3f} ({:.3f}..{:.3f})".format(s["ratio"], *s["ratio_range"])
        lines.append(
            f"  {name:14} {s['cpu_per_op_ns']:12.0f} {f'{low:.0f}..{high:.0f}':>19}"
            f" {s['rate']:11.0f} {s['after']['rss'] / mib:8.1f}"
            f" {s['at_rest']['private_dirty'] / mib:9.1f}   {ratio}"
        )
    for name, s in report["servers"].items():
        if s["version"]:
            lines.append(f"  {name}: {s['version']}")
    machine = report["machine"]
    lines.append(
        f"  {machine['cpu']}, Linux {machine['kernel']}, servers on core"
        f" {machine['server_cores']}, load on {machine['load_cores']}"
    )
    lines += [f"  note: {n}" for n in report["notes"]]
    return "\n".join(lines)


def save(report):
    folder = os.path.join(TOP, "build", "bench")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{report['name']}.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(report, f, indent=1)
    return path


def compare(name, servers, load, opts, unit="operation", notes=()):
    """Runs the rounds, prints the table, writes build/bench/<name>.json, returns the
    report.  The first server is ours."""
    if opts.only:
        servers = [s for s in servers if s is servers[0] or s.name in opts.only]
    notes = list(notes)
    if SERVER_CORES & LOAD_CORES:
        notes.append("servers and load shared a core: rates mean little here")
    samples = {s.name: [] for s in servers}
    try:
        for server in servers:
            server.start()
        for server in servers:  # caches and branch predictors
            load(server, opts)
        for i in range(opts.rounds):
            shift = i % len(servers)
            for server in servers[shift:] + servers[:shift]:
                sample = turn(server, load, opts)
                samples[server.name].append(sample)
                print(
                    f"  round {i + 1:2}/{opts.rounds} {server.name:14}"
                    f" {sample['cpu_per_op']:10.0f} ns/{unit} {sample['rate']:11.0f}/s",
                    file=sys.stderr, flush=True,
                )
        for server in servers:
            server.after = server.memory()
    finally:
        for server in servers:
            server.stop()
    report = summarise(name, unit, servers, samples, notes)
    print(table(report))
    print(f"  written to {os.path.relpath(save(report), TOP)}", flush=True)
    return report
