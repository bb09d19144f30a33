"""The parts of bench_dnsd.py that need more than zones: templates, the cache, the query log,
upstreams, etcd.  Each prints its own figures; bench_dnsd.py runs them."""

import base64
import contextlib
import glob
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request

from bench import (LOAD_CORES, TOP, Server, compare, cpu_between, okd, run_load, udp_ready)

HOST = "127.0.0.1"
ZONE = "okd.example.com"
GUIDE = {"zones": [f"apps.{ZONE}"], "type": "A", "match": [r".*apps\.okd\.example\.com\.$"],
         "answer": ["{{ .Name }} 60 IN A 192.168.120.101"], "fallthrough": True}


def port():
    """One that is free for UDP and TCP."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram, \
                socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
            datagram.bind((HOST, 0))
            with contextlib.suppress(OSError):
                stream.bind(datagram.getsockname())
                return datagram.getsockname()[1]


def question(name, rdtype=1, number=1):
    wire = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
    return number.to_bytes(2, "big") + b"\1\0\0\1\0\0\0\0\0\0" + wire + b"\0" + \
        rdtype.to_bytes(2, "big") + b"\0\1"


def ours(name="okd-dnsd", **config):
    p = port()
    server = okd("dnsd", {"listen": [f"{HOST}:{p}"], "workers": 1, **config},
                 ready=udp_ready(p, question(f"api.{ZONE}")), data={"port": p})
    server.name = name
    return server


def knot_server(zone, text, asked, **kwargs):
    """Knot with one worker and one zone of that text; asked is a name in it."""
    p = port()
    conf = f"""
server:
    rundir: "{{dir}}"
    listen: {HOST}@{p}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: "{{dir}}"
zone:
  - domain: {zone}
    storage: "{{dir}}"
    file: zone
    journal-content: none
    zonefile-sync: -1
"""
    return Server("knot", ["knotd", "-c", "{dir}/knot.conf"], udp_ready(p, question(asked)),
                  files={"knot.conf": conf, "zone": text}, data={"port": p},
                  version=["knotd", "-V"], **kwargs)


@contextlib.contextmanager
def questions(names):
    """A file of questions for dnsperf."""
    with tempfile.NamedTemporaryFile("w", encoding="ascii", suffix=".questions") as f:
        f.writelines(f"{n} A\n" for n in names)
        f.flush()
        yield f.name


def dnsperf(server, path, seconds, *args):
    """dnsperf's output; every question must have been answered without an error."""
    out = run_load(["dnsperf", "-s", HOST, "-p", str(server.data["port"]), "-d", path, "-T", "1",
                    "-c", "4", "-q", "200", "-l", str(seconds), *args])
    if not re.search(r"Response codes:\s+NOERROR \d+ \(100\.00%\)", out):
        raise RuntimeError(f"{server.name} answered something else:\n{out[-2000:]}")
    return out


def completed(out):
    return int(re.search(r"Queries completed:\s+(\d+)", out).group(1))


def lost(out):
    return int(re.search(r"Queries lost:\s+(\d+)", out).group(1))


def threads(pid, name):
    """Nanoseconds of the threads of that name."""
    total = 0
    for task in glob.glob(f"/proc/{pid}/task/*"):
        with contextlib.suppress(OSError):
            with open(f"{task}/comm", encoding="ascii") as f:
                if f.read().strip() != name:
                    continue
            with open(f"{task}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
    return total


def save(name, report):
    folder = os.path.join(TOP, "build", "bench")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, f"{name}.json"), "w", encoding="utf-8") as f:
        json.dump(report, f, indent=1)


# --- one worker's CPU ------------------------------------------------------------------


def template(opts, peer):
    """Names that a template answers, beside Knot's wildcard."""
    names = [f"{n}.apps.{ZONE}" for n in ("console", "oauth", "grafana", "x")]
    with questions(names) as path:
        def load(server, o):
            return completed(dnsperf(server, path, o.seconds))

        compare("dnsd-template", [ours(template=[GUIDE]), peer(0)], load, opts, unit="query")


def cached(opts, peer):
    """An upstream's answer from the cache, beside a record of ours."""
    upstream = peer(0)
    upstream.cores = LOAD_CORES
    upstream.start()
    to = f"{HOST}:{upstream.data['port']}"
    try:
        cluster = other_cluster()
        first = okd("dnsd", {}, cluster)  # for its port: the file is written again below
        p = port()
        first.write("dnsd.yaml", json.dumps({
            "listen": [f"{HOST}:{p}"], "workers": 1, "forward": {"to": [to]}}))
        first.data, first.name = {"port": p}, "cached"
        record = ours("record")
        with questions([f"api.{ZONE}"]) as path:
            def load(server, o):
                return completed(dnsperf(server, path, o.seconds))

            compare("dnsd-cached", [first, record], load, opts, unit="query")
    finally:
        upstream.stop()


def other_cluster():
    """The example's cluster under another name, so that its own is for upstreams."""
    import harness

    cluster = harness.example_cluster()
    return {**cluster, "base_domain": "example.net", "upstream_dns": []}


def log(opts, peer):
    """With the query log on, into a pipe that somebody reads, and without."""
    plain, logging = ours("no-log", log="none"), ours("log-all", log="all")
    fifo = os.path.join(logging.dir, "log")
    os.mkfifo(fifo)
    logging.args = ["sh", "-c", f'exec "$@" 2>{fifo}', "sh", *logging.args]
    # pylint: disable=consider-using-with
    reader = subprocess.Popen(["sh", "-c", f"exec cat <{fifo} >/dev/null"],
                              preexec_fn=lambda: os.sched_setaffinity(0, LOAD_CORES))
    serving, total, dropped = {plain.name: [], logging.name: []}, {}, {}
    with questions([f"{n}.{ZONE}" for n in ("api", "api-int", "master", "worker")]) as path:
        def load(server, o):
            before = threads(server.process.pid, "dnsd-worker")
            n = completed(dnsperf(server, path, o.seconds))
            serving[server.name].append(
                (threads(server.process.pid, "dnsd-worker") - before) / n)
            total[server.name] = total.get(server.name, 0) + n
            dropped[server.name] = metric(server, "okd_dnsd_log_dropped_total")
            return n

        try:
            compare("dnsd-log", [logging, plain], load, opts, unit="query",
                    notes=["ours/peer is of all threads"])
        finally:
            reader.terminate()
            reader.wait()
    medians = {k: statistics.median(v[1:] or v) for k, v in serving.items()}
    print(f"  serving thread: {medians['log-all']:.0f} ns/query with the log, "
          f"{medians['no-log']:.0f} without: {medians['log-all'] / medians['no-log']:.3f}; "
          f"{dropped['log-all']:.0f} of {total['log-all']} lines were dropped")


# --- upstreams -------------------------------------------------------------------------


def knot_wildcard():
    """An upstream that knows every name below miss.example.org."""
    return knot_server(
        "example.org", "$ORIGIN example.org.\n$TTL 3600\n@ SOA ns h 1 7200 1800 86400 30\n"
        "@ NS ns\nns A 10.0.0.1\n*.miss A 10.0.0.2\n", "ns.example.org", cores=LOAD_CORES)


def unbound_forwarder(to):
    p = port()
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
  do-not-query-localhost: no
  module-config: "iterator"
  outgoing-range: 4096
  num-queries-per-thread: 2048
  msg-cache-size: 64m
  rrset-cache-size: 128m
  local-zone: okd.example.com. static
  local-data: "api.okd.example.com. 60 IN A 10.0.0.1"
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: {HOST}@{to}
"""
    return Server("unbound", ["unbound", "-d", "-p", "-c", "{dir}/unbound.conf"],
                  udp_ready(p, question(f"api.{ZONE}")), files={"unbound.conf": conf},
                  data={"port": p}, version=["unbound", "-V"])


def miss(opts, peer):
    """Questions that no cache knows, beside Unbound as a forwarder to the same upstream."""
    upstream = knot_wildcard().start()
    to = upstream.data["port"]
    turn, rates = [0], {}

    def load(server, o):
        turn[0] += 1
        names = (f"n{i}.t{turn[0]}.miss.example.org" for i in range(int(60000 * o.seconds)))
        with questions(names) as path:
            out = dnsperf(server, path, o.seconds, "-n", "1")
        # By dnsperf's own clock, which does not count the writing of the questions.
        rates.setdefault(server.name, []).append(
            float(re.search(r"Queries per second:\s+([\d.]+)", out).group(1)))
        return completed(out)

    try:
        report = compare(
            "dnsd-miss", [ours(forward={"to": [f"{HOST}:{to}"]}), unbound_forwarder(to)],
            load, opts, unit="query",
            notes=["the upstream and the load share a core, which bounds the rate"])
    finally:
        upstream.stop()
    rate = {k: statistics.median(v[1:] or v) for k, v in rates.items()}
    for name, r in rate.items():
        print(f"  {name:14} {r:8.0f} misses a second, {min(rates[name][1:]):.0f} to "
              f"{max(rates[name][1:]):.0f}")
    if "unbound" in rate:
        print(f"  goal: 15,000 misses a second ({rate['okd-dnsd']:.0f}), at most 1.2 of "
              f"Unbound's CPU ({report['servers']['unbound']['ratio']:.3f})", flush=True)


# --- latency ---------------------------------------------------------------------------


def latencies(server, path, rate, seconds, before=()):
    """Microseconds of each reply, sorted, and how many questions had none.  before goes before
    dnsperf's command line; what it says goes to a file, so that it waits for no reader."""
    with tempfile.NamedTemporaryFile("r", encoding="ascii", suffix=".replies") as f:
        run_load([*before, "sh", "-c", f'exec "$@" >{f.name}', "sh", "dnsperf", "-s", HOST,
                  "-p", str(server.data["port"]), "-d", path, "-T", "1", "-c", "4",
                  "-q", "1000", "-Q", str(rate), "-l", str(seconds), "-t", "2", "-v"],
                 timeout=seconds + 30)
        out = f.read()
    found = re.findall(r"^> NOERROR .* ([\d.]+)$", out, re.M)
    return sorted(float(x) * 1e6 for x in found), completed(out) - len(found) + lost(out)


def quantile(values, q):
    return values[min(len(values) - 1, int(q * len(values)))]


def latency(opts, peer):
    """How long a reply takes at 20,000 queries a second, as dnsperf sees it."""
    print("dnsd-latency: microseconds from query to reply at 20,000 qps (median of rounds)")
    servers = [ours(), ours("okd-dnsd-log", log="all"), peer(0)]
    rounds = max(2, min(opts.rounds, 5))
    report = {}
    with questions([f"api.{ZONE}", f"x.apps.{ZONE}", f"master.{ZONE}"]) as path:
        try:
            for s in servers:
                s.start()
            for _ in range(rounds):
                for s in servers:
                    got, failed = latencies(s, path, 20000, opts.seconds)
                    report.setdefault(s.name, []).append({
                        "p50": quantile(got, 0.5), "p99": quantile(got, 0.99),
                        "p999": quantile(got, 0.999), "max": got[-1], "failed": failed,
                        "rate": len(got) / opts.seconds})
        finally:
            for s in servers:
                s.stop()
    for name, r in report.items():
        m = {k: statistics.median(x[k] for x in r) for k in r[0]}
        print(f"  {name:14} p50 {m['p50']:6.0f}  p99 {m['p99']:6.0f}  p99.9 {m['p999']:6.0f}"
              f"  max {m['max']:6.0f}  failed {sum(x['failed'] for x in r)}"
              f"  at {m['rate']:.0f} qps", flush=True)
    p99 = statistics.median(x["p99"] for x in report["okd-dnsd"])
    print(f"  goal: p99 under 1000 us at 20,000 qps ({p99:.0f})", flush=True)
    save("dnsd-latency", report)


# --- etcd ------------------------------------------------------------------------------


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Etcd:
    """One member on the load's cores, its data in memory."""

    def __init__(self):
        shm = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self.dir = tempfile.mkdtemp(prefix="okd-bench-etcd-", dir=shm)
        with socket.socket() as a, socket.socket() as b:
            a.bind((HOST, 0))
            b.bind((HOST, 0))
            self.url = f"http://{HOST}:{a.getsockname()[1]}"
            self.peer = f"http://{HOST}:{b.getsockname()[1]}"
        self.folder = "data"
        self.process = None

    def start(self, folder=None):
        self.folder = folder or self.folder
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(
            ["etcd", "--data-dir", f"{self.dir}/{self.folder}", "--listen-client-urls", self.url,
             "--advertise-client-urls", self.url, "--listen-peer-urls", self.peer,
             "--initial-advertise-peer-urls", self.peer, "--initial-cluster",
             f"default={self.peer}", "--max-txn-ops", "10000", "--max-request-bytes",
             "20000000", "--quota-backend-bytes", "4000000000", "--log-level", "error",
             "--logger", "zap"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=lambda: os.sched_setaffinity(0, LOAD_CORES))
        for _ in range(400):
            with contextlib.suppress(OSError, ValueError):
                with urllib.request.urlopen(f"{self.url}/health", timeout=1) as r:
                    if json.load(r)["health"] == "true":
                        return self
            time.sleep(0.05)
        raise RuntimeError("etcd does not start")

    def post(self, path, body, timeout=60):
        request = urllib.request.Request(f"{self.url}/v3{path}", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=timeout) as r:
            return json.load(r)

    def put(self, key, value):
        return self.post("/kv/put", {"key": b64(key), "value": b64(value)})

    def txn(self, changes):
        """[(key, value or None)]"""
        return self.post("/kv/txn", {"success": [
            {"requestPut": {"key": b64(k), "value": b64(v)}} if v is not None
            else {"requestDeleteRange": {"key": b64(k)}} for k, v in changes]})

    def values(self, prefix):
        out, key = {}, b64(prefix)
        while True:
            r = self.post("/kv/range", {"key": key, "limit": "20000",
                                        "range_end": b64(prefix[:-1] + chr(ord(prefix[-1]) + 1))})
            for kv in r.get("kvs", []):
                out[base64.b64decode(kv["key"]).decode()] = base64.b64decode(
                    kv.get("value", "")).decode()
            if not r.get("more"):
                return out
            key = base64.b64encode(base64.b64decode(r["kvs"][-1]["key"]) + b"\0").decode()

    def signal(self, signo):
        self.process.send_signal(signo)

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


def admin(server, path):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(os.path.join(server.dir, "admin.sock"))
        s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while piece := s.recv(65536):
            data += piece
    return data.split(b"\r\n\r\n", 1)[1]


def etcd_state(server):
    return json.loads(admin(server, "/status"))["dnsd"]["etcd"]


def until(condition, what, timeout=60, pause=0.005):
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout:
            raise RuntimeError(f"{what} does not come within {timeout} s")
        time.sleep(pause)
    return time.monotonic() - began


class Asker:
    """Questions for A one after the other."""

    def __init__(self, server):
        self.s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.s.settimeout(2)
        self.s.connect((HOST, server.data["port"]))
        self.number = 0

    def ask(self, name):
        """The addresses, or None for NXDOMAIN."""
        self.number = (self.number + 1) % 65536
        self.s.send(question(name, number=self.number))
        reply = self.s.recv(65535)
        if reply[3] & 15 == 3:
            return None
        n = int.from_bytes(reply[6:8], "big")
        return sorted(socket.inet_ntoa(reply[len(reply) - 16 * i - 4:len(reply) - 16 * i]
                                       if i else reply[-4:]) for i in range(n))


def peak(pid):
    """The most that was resident, in bytes."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return 1024 * int(re.search(r"^VmHWM:\s+(\d+)", f.read(), re.M).group(1))


D = "/skydns/com/example/okd"


def keys(opts, peer):
    """A million keys: CPU for each at load, memory of each, a change among them."""
    n = 1000000 if not opts.quick else 20000
    e = Etcd().start()
    server = None
    try:
        began = time.monotonic()
        for base in range(0, n, 5000):
            e.txn([(f"{D}/h{i}", json.dumps({"host": f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}"}))
                   for i in range(base, base + 5000)])
        print(f"dnsd-keys: {n} keys put in {time.monotonic() - began:.0f} s", flush=True)
        empty = ours()
        empty.start()
        rest_cpu, rest = sum(empty.cpu().values()), empty.memory()["rss"]
        empty.stop()
        server = ours(etcd={"endpoints": [e.url]})
        server.start()
        took = until(lambda: etcd_state(server)["state"] == "watching" and
                     etcd_state(server)["keys"] == n, "the list", 300, 0.05)
        cpu = sum(server.cpu().values()) - rest_cpu
        rss = server.memory()["rss"] - rest
        asker = Asker(server)
        assert asker.ask(f"h{n - 1}.{ZONE}")
        # What the thread that keeps the last good state has still to write counts too.
        until(lambda: settled(server), "the last good state", 120, 0.5)
        all_cpu = sum(server.cpu().values()) - rest_cpu
        print(f"  listed after {took:.1f} s: {cpu / n / 1000:.2f} us of CPU a key until then, "
              f"{all_cpu / n / 1000:.2f} with the state on disk; {rss / n:.0f} bytes a record "
              f"at that moment, {(server.memory()['rss'] - rest) / n:.0f} at rest, "
              f"{(peak(server.process.pid) - rest) / n:.0f} at the most")
        visible = []
        for i in range(40):
            e.put(f"{D}/h{i * 7919 % n}", json.dumps({"host": f"172.16.0.{i}"}))
            visible.append(1000 * until(
                lambda i=i: asker.ask(f"h{i * 7919 % n}.{ZONE}") == [f"172.16.0.{i}"],
                "a change", 10, 0.0005))
        visible.sort()
        print(f"  a change is answered {statistics.median(visible):.1f} ms after etcd's reply "
              f"to the put (median), at most {visible[-1]:.1f} ms")
        print("  goal: 8 us a key, 400 bytes a record, 50 ms", flush=True)
        save("dnsd-keys", {"n": n, "cpu_us": cpu / n / 1000, "all_cpu_us": all_cpu / n / 1000,
                           "bytes": rss / n, "visible_ms": visible})
    finally:
        e.stop()
        if server:
            server.stop()


def settled(server, seconds=1.0):
    before = server.cpu()
    time.sleep(seconds)
    return cpu_between(before, server.cpu()) < 0.02 * seconds * 1e9


def storm(opts, peer):
    """5,000 changes a second, then every key compared with etcd."""
    rate, step, names, seconds = 5000, 100, 3000, 10 if not opts.quick else 2
    e = Etcd().start()
    server = ours(etcd={"endpoints": [e.url]})
    try:
        e.put(f"{D}/h0", '{"host":"10.0.0.1"}')
        server.start()
        until(lambda: etcd_state(server)["state"] == "watching", "the watch")
        before, began, made = server.cpu(), time.monotonic(), 0
        while made < rate * seconds:
            e.txn([(f"{D}/h{(made + k) * 7919 % names}",
                    None if (made + k) % 11 == 0 else
                    json.dumps({"host": f"10.{(made + k) >> 16}.{(made + k) >> 8 & 255}."
                                        f"{(made + k) & 255}"})) for k in range(step)])
            made += step
            time.sleep(max(0, began + made / rate - time.monotonic()))
        took = time.monotonic() - began
        revision = int(e.post("/kv/range", {"key": b64("x")})["header"]["revision"])
        behind = until(lambda: etcd_state(server)["revision"] >= revision, "the end", 30)
        cpu = cpu_between(before, server.cpu())
        time.sleep(0.05)  # the last batch is on its way to the workers
        asker, want, wrong = Asker(server), e.values(D + "/"), []
        for i in range(names):
            value = want.get(f"{D}/h{i}")
            expect = [json.loads(value)["host"]] if value else None
            if asker.ask(f"h{i}.{ZONE}") != expect:
                wrong.append(i)
        print(f"dnsd-storm: {made} changes at {made / took:.0f} a second, "
              f"{cpu / made / 1000:.1f} us of CPU each; the last was known {1000 * behind:.0f} ms "
              f"after it; {len(want)} keys and {names - len(want)} absent ones compared with "
              f"etcd, {len(wrong)} differ; lists made: "
              f"{metric(server, 'okd_dnsd_etcd_lists_total'):.0f}", flush=True)
        save("dnsd-storm", {"made": made, "seconds": took, "wrong": wrong})
    finally:
        e.stop()
        server.stop()


def metric(server, name):
    return float(re.search(rf"^{name} (\S+)", admin(server, "/metrics").decode(),
                           re.M).group(1))


def first():
    """Where it is allowed, the load generator goes before all else on its core: what etcd takes
    there would count as the server's time otherwise."""
    before = ["chrt", "--fifo", "1"]
    allowed = shutil.which("chrt") and subprocess.run(
        [*before, "true"], capture_output=True, check=False).returncode == 0
    return before if allowed else []


class Under:
    """One server under 10,000 qps: calm, and while something is wrong with etcd."""

    def __init__(self, server, path):
        self.server, self.path, self.calm = server, path, None

    def measure(self, seconds):
        """The p99 and the longest in microseconds, how many failed, and how long its worker
        waited for a CPU, in microseconds a query."""
        before = waited(self.server.process.pid)
        got, failed = latencies(self.server, self.path, 10000, seconds, first())
        delay = (waited(self.server.process.pid) - before) / len(got) / 1000
        return {"p99": quantile(got, 0.99), "max": got[-1], "failed": failed, "delay": delay}

    def during(self, harm):
        """harm() while it is asked; what measure() says, and what harm() returns."""
        result = []
        load = threading.Thread(target=lambda: result.append(self.measure(8)))
        load.start()
        returned = harm()
        load.join()
        return result[0], returned


def waited(pid):
    """Nanoseconds that the workers could have run and did not."""
    total = 0
    for task in glob.glob(f"/proc/{pid}/task/*"):
        with open(f"{task}/comm", encoding="ascii") as f:
            if f.read().strip() != "dnsd-worker":
                continue
        with open(f"{task}/schedstat", encoding="ascii") as f:
            total += int(f.read().split()[1])
    return total


def faults(opts, peer):
    """etcd stopped, paused, out of reach, compacted, restored from a backup, under 10,000 qps.
    A server that knows nothing of etcd shows what the faults do to the load generator, which
    shares its core with etcd and goes before it."""
    from stalling_proxy import StallingProxy

    os.sched_setaffinity(0, LOAD_CORES)
    e = Etcd().start()
    way = StallingProxy(int(e.url.rsplit(":", 1)[1]))
    names = [f"h{i}" for i in range(500)]
    follower = ours(etcd={"endpoints": [way.url]})
    other = ours("no-etcd", records=[f"{n} A 10.0.0.1" for n in names])
    report = {}
    try:
        e.txn([(f"{D}/{n}", '{"host":"10.0.0.1"}') for n in names])
        for s in (follower, other):
            s.start()
        until(lambda: etcd_state(follower)["state"] == "watching", "the watch")
        asker = Asker(follower)
        with questions([f"{n}.{ZONE}" for n in names]) as path:
            servers = [Under(s, path) for s in (follower, other)]
            print("dnsd-faults: at 10,000 qps, p99 and its ratio to that of calm; the load"
                  f" generator {'goes before' if first() else 'shares its core with'} etcd")
            for u in servers:
                u.calm = u.measure(4)
                show_fault("calm", u, u.calm, "")
            for name, harm in FAULTS.items():
                report[name] = fault(name, harm, servers, e, way, asker)
        save("dnsd-faults", report)
    finally:
        way.close()
        e.stop()
        for s in (follower, other):
            s.stop()


def fault(name, harm, servers, e, way, asker):
    def wait_for_it():
        value = harm(e, way)
        began = time.monotonic()
        until(lambda: asker.ask(f"mark.{ZONE}") == [value], f"what is {name}", 30)
        return time.monotonic() - began

    entry = {}
    for u in servers:
        entry[u.server.name], back = u.during(wait_for_it)
        show_fault(name, u, entry[u.server.name], f", known {back:.2f} s after its return")
        if u is servers[0]:
            entry["back"] = back
    return entry


def show_fault(name, u, r, more):
    print(f"  {name:12} {u.server.name:9} p99 {r['p99']:6.0f} us "
          f"({r['p99'] / u.calm['p99']:.2f}), max {r['max']:6.0f}, failed {r['failed']}, worker "
          f"waits {r['delay']:.2f} us a query{more if u.server.name == 'okd-dnsd' else ''}",
          flush=True)


def mark(e):
    """A change that must be answered; the address."""
    e.marks = getattr(e, "marks", 0) + 1
    e.put(f"{D}/mark", json.dumps({"host": f"10.9.0.{e.marks}"}))
    return f"10.9.0.{e.marks}"


def stop_etcd(e, way):
    e.kill()
    time.sleep(3)
    e.start()
    return mark(e)


def pause_etcd(e, way):
    e.signal(signal.SIGSTOP)
    time.sleep(4)
    e.signal(signal.SIGCONT)
    return mark(e)


def part_etcd(e, way):
    """Nothing is closed, and what happens meanwhile is not told."""
    way.stall()
    value = mark(e)
    time.sleep(4)
    way.go_on()
    return value


def compact_etcd(e, way):
    """Changes and a compaction behind our back: the watch is cut by a restart."""
    way.stall()
    for i in range(200):
        last = e.put(f"{D}/many", f'{{"host":"10.8.0.{i}"}}')
    e.post("/kv/compaction", {"revision": last["header"]["revision"], "physical": True})
    e.kill()
    way.go_on()
    time.sleep(1)
    e.start()
    return mark(e)


def restore_etcd(e, way):
    """A backup from before, as etcd keeps it on disk, in the place of what is."""
    mark(e)
    e.kill()
    shutil.copytree(f"{e.dir}/{e.folder}", f"{e.dir}/backup{e.marks}")
    backup = f"backup{e.marks}"
    e.start(e.folder)
    for i in range(100):
        e.put(f"{D}/lost", f'{{"host":"10.8.1.{i}"}}')
    e.kill()
    e.start(backup)
    return mark(e)


FAULTS = {"stopped": stop_etcd, "paused": pause_etcd, "partitioned": part_etcd,
          "compacted": compact_etcd, "restored": restore_etcd}
PARTS = {"template": template, "cached": cached, "log": log, "miss": miss, "latency": latency,
         "keys": keys, "storm": storm, "faults": faults}
