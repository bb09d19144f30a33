#!/usr/bin/python3
"""Runs the suite in the foreground on loopback: runner.py [--port NAME=NUMBER]... [--state FOLDER]

Every daemon of the table that is built starts with the cluster.yaml that "okdctl init" made
for machines on loopback addresses, a small configuration of its own and state under
build/quickstart/<daemon>/.  Then the machines of mock.py are installed: a terminal shows
that as "okdctl status --watch" and the daemons' logs go to files; elsewhere the logs come
out with the daemon's name in front.  Ctrl-C stops all of them.  A daemon joins the suite
with one entry in SUITE.
"""

import argparse
import collections
import contextlib
import ctypes
import fcntl
import glob
import os
import queue
import re
import signal
import socket
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import mock

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLUSTER = os.path.join(TOP, "examples", "okd.example.com", "cluster.yaml")
READY_SECONDS, STOP_SECONDS = 30, 15

# The ports that the suite uses here, by name; --port changes one.
PORTS = {
    "dns": 5300, "dns-metrics": 9153, "api": 6443, "mcs": 22623, "stats": 9000,
    "registry": 5000, "images": 8080, "node-api": 16443, "node-mcs": 12623,
}

# The balancer's servers are loopback addresses here: nothing leaves this machine.
LBD = """
stats: {listen: ["127.0.0.1:{stats}"]}
lifecycle: {retire_after: 4s}
frontends:
  - {name: openshift-api-server, listen: ["127.0.0.1:{api}", "127.0.0.101:{api}"],
     backend: openshift-api-server}
  - {name: machine-config-server, listen: ["127.0.0.1:{mcs}", "127.0.0.101:{mcs}"],
     backend: machine-config-server, admit: install}
backends:
  - name: openshift-api-server
    check: {type: https, path: /readyz, interval: 1s, rise: 2, fall: 2}
    servers:
      - {name: bootstrap, address: "127.0.0.102:{node-api}", backup: true}
      - {name: master, address: "127.0.0.103:{node-api}"}
  - name: machine-config-server
    check: {type: https, path: /healthz, interval: 1s, rise: 2, fall: 2}
    servers:
      - {name: bootstrap, address: "127.0.0.102:{node-mcs}", backup: true}
      - {name: master, address: "127.0.0.103:{node-mcs}"}
"""

# One daemon: the ports that it takes (and the protocols), its configuration, what to try.
# {name} stands for a port, {run} for the folder of its admin socket, {home} for its own,
# {etc} for okdctl's, {runs} for the one with a link to every admin socket's.
Entry = collections.namedtuple("Entry", "name ports config try_")
SUITE = [
    Entry(
        "dnsd",
        {"dns": ("udp", "tcp"), "dns-metrics": ("tcp",)},
        'listen: ["127.0.0.1:{dns}", "127.0.0.101:{dns}"]\nadmin: 127.0.0.1:{dns-metrics}\n',
        [
            "dig @127.0.0.1 -p {dns} api.okd.example.com",
            "dig @127.0.0.1 -p {dns} +short console.apps.okd.example.com",
            "dig @127.0.0.1 -p {dns} +short -x 127.0.0.103",
            "dig @127.0.0.1 -p {dns} +short SRV _etcd-server-ssl._tcp.okd.example.com",
            "curl -s http://127.0.0.1:{dns-metrics}/metrics",
            "curl -s --unix-socket {run}/admin.sock http://localhost/status",
        ],
    ),
    Entry(
        "lbd",
        {"api": ("tcp",), "mcs": ("tcp",), "stats": ("tcp",)},
        LBD,
        [
            "xdg-open http://127.0.0.1:{stats}/     # or any browser",
            "curl -s 'http://127.0.0.1:{stats}/;csv'",
        ],
    ),
    Entry(
        "regd",
        {"registry": ("tcp",)},
        'listen: ["127.0.0.1:{registry}", "127.0.0.101:{registry}"]\n'
        "storage: {reserve: 64MiB}\n"
        "tls: {certificate: {etc}/registry.crt, key: {etc}/registry.key}\n"
        "auth: {htpasswd: {etc}/registry.htpasswd}\n",
        [
            "curl -s --cacert {etc}/registry-ca.crt --resolve registry.okd.example.com:{registry}:127.0.0.1 \\\n"
            "        -H \"Authorization: Basic $(sed -n 's/.*\"auth\": *\"\\(.*\\)\".*/\\1/p' {etc}/pull-secret.json)\" \\\n"
            "        https://registry.okd.example.com:{registry}/v2/_catalog",
        ],
    ),
    Entry(
        "ignd",
        {"images": ("tcp",)},
        'listen: ["127.0.0.1:{images}", "127.0.0.101:{images}"]\n'
        "lbd_socket: {runs}/okd-lbd/admin.sock\n"
        "csrd_socket: {runs}/okd-csrd/admin.sock\n",
        ["xdg-open http://127.0.0.1:{images}/     # or any browser"],
    ),
    Entry(
        "csrd",
        {},
        'kubeconfig: ["{etc}/kubeconfig"]\nignd_socket: {runs}/okd-ignd/admin.sock\n',
        [
            "curl -s --unix-socket {run}/admin.sock http://localhost/status",
        ],
    ),
]


def say(text):
    print(text, flush=True)


def fill(text, values):
    return re.sub(r"\{([\w-]+)\}", lambda m: str(values.get(m.group(1), m.group(0))), text)


# --- ports -----------------------------------------------------------------------------


def is_free(protocol, port):
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as s:
        if protocol == "tcp":  # connections that just ended do not count
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            if protocol == "tcp":
                s.listen()
        except OSError:
            return False
    return True


def socket_inodes(protocol, port):
    """The inodes of sockets bound to a port (TCP: listening), from /proc/net."""
    out = set()
    for path in (f"/proc/net/{protocol}", f"/proc/net/{protocol}6"):
        with contextlib.suppress(OSError), open(path, encoding="ascii") as f:
            for line in list(f)[1:]:
                field = line.split()
                listening = protocol == "udp" or field[3] == "0A"
                if listening and int(field[1].split(":")[1], 16) == port:
                    out.add(field[9])
    return out


def holder(protocol, port):
    """Who has a port, as far as we may see it."""
    inodes = {f"socket:[{i}]" for i in socket_inodes(protocol, port)}
    for path in glob.glob("/proc/[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.readlink(path) in inodes:
                pid = path.split("/")[2]
                with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
                    return f"{f.read().strip()}, process {pid}"
    return f"a process of another user (try: sudo ss -lnp 'sport = {port}')"


def check_ports(entries):
    taken = []
    for entry in entries:
        for name, protocols in entry.ports.items():
            for protocol in protocols:
                if not is_free(protocol, PORTS[name]):
                    who = holder(protocol, PORTS[name])
                    taken.append(
                        f"okd-{entry.name} needs {protocol} port {PORTS[name]}, which is "
                        f"taken by {who}; end that, or choose another: "
                        f"./quickstart run --port {name}=NUMBER"
                    )
    return taken


def check_same_port():
    """One port for two things, as far as their protocols meet."""
    given = {}
    for entry in SUITE:
        for name, protocols in entry.ports.items():
            for protocol in protocols:
                other = given.setdefault((protocol, PORTS[name]), name)
                if other != name:
                    return (f"{other} and {name} both want {protocol} port {PORTS[name]}; "
                            f"choose another: --port {name}=NUMBER")
    return None


def lock_state(folder):
    """The lock on the state folder, or None when another run has it; its process's
    number is in there."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "lock")
    lock = open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+",
                encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"quickstart: process {lock.read().strip() or '?'} runs a bastion with its state"
            f" in {os.path.relpath(folder)} already; stop that one, or choose another"
            f" folder: ./quickstart run --state FOLDER --port NAME=NUMBER...")
        lock.close()
        return None
    lock.truncate()
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


# --- daemons ---------------------------------------------------------------------------


class Service:
    """One running daemon: its folders, its log, its notifications."""

    def __init__(self, entry, options, events):
        self.entry = entry
        self.program = os.path.join(options.build, f"okd-{entry.name}")
        self.events = events
        self.ready = False
        home = os.path.join(options.state, entry.name)
        self.state = os.path.join(home, "state")
        self.run = os.path.join(home, "run")
        self.temporary = None
        if len(self.run) > 90:  # a Unix socket's path has at most 107 bytes
            self.temporary = tempfile.TemporaryDirectory(prefix=f"okd-{entry.name}-")
            self.run = self.temporary.name
        for folder in (home, self.state, self.run, os.path.join(options.state, "run")):
            os.makedirs(folder, mode=0o755, exist_ok=True)
        link = os.path.join(options.state, "run", f"okd-{entry.name}")  # for okdctl --run-dir
        with contextlib.suppress(FileNotFoundError):
            os.unlink(link)
        os.symlink(os.path.abspath(self.run), link)
        self.values = {**PORTS, "run": os.path.relpath(self.run), "home": os.path.abspath(home),
                       "state": os.path.relpath(self.state), "etc": options.etc,
                       "runs": os.path.relpath(os.path.join(options.state, "run"))}
        self.cluster = options.cluster
        self.log = os.path.join(home, "log") if options.screen else None
        self.config = os.path.join(home, f"{entry.name}.yaml")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write("# Written by ./quickstart run; every run writes it anew.\n")
            f.write(fill(entry.config, self.values))

    def start(self):
        address = f"okd-quickstart-{os.getpid()}-{self.entry.name}"
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.notify.bind("\0" + address)
        env = {**os.environ, "NOTIFY_SOCKET": "@" + address,
               "STATE_DIRECTORY": self.state, "RUNTIME_DIRECTORY": self.run}
        env.pop("JOURNAL_STREAM", None)
        libc, parent = ctypes.CDLL(None), os.getpid()

        def child():
            libc.prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG: never left behind
            if os.getppid() != parent:
                os._exit(1)

        self.process = subprocess.Popen(
            [self.program, "-c", self.config, "-C", self.cluster], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, text=True,
            errors="replace", start_new_session=True, preexec_fn=child,
        )
        self.reader = threading.Thread(target=self._read_log, daemon=True)
        self.reader.start()
        threading.Thread(target=self._read_notify, daemon=True).start()

    def _read_log(self):
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(open(self.log, "w", encoding="utf-8")) if self.log else None
            for line in self.process.stdout:
                if log:
                    print(line.rstrip(), file=log, flush=True)
                else:
                    say(f"{self.entry.name:5} | {line.rstrip()}")
        self.process.wait()
        self.events.put(("ended", self))

    def _read_notify(self):
        with contextlib.suppress(OSError):
            while True:
                data, _, _, _ = self.notify.recvmsg(65536, 4096, socket.MSG_CMSG_CLOEXEC)
                if not data:
                    return
                if b"READY=1" in data.split(b"\n") and not self.ready:
                    self.ready = True
                    self.events.put(("ready", self))

    def stop(self):
        """True when it ended by itself after TERM, with status 0."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            say(f"quickstart: okd-{self.entry.name} does not end; it is killed")
            self.process.kill()
            status = self.process.wait()
        self.reader.join(5)
        if self.temporary:
            self.temporary.cleanup()
        return status == 0


def start_all(services, events):
    """Starts them and waits for READY=1 of each; the first trouble as text, or None."""
    for service in services:
        service.start()
    deadline = time.monotonic() + READY_SECONDS
    waiting = set(services)
    while waiting:
        try:
            what, service = events.get(timeout=max(deadline - time.monotonic(), 0.01))
        except queue.Empty:
            names = " ".join(f"okd-{s.entry.name}" for s in waiting)
            return f"{names} not ready after {READY_SECONDS} s"
        if what == "stop":
            return ""
        if what == "ended":
            return f"okd-{service.entry.name} ended with {service.process.returncode}"
        waiting.discard(service)
    return None


# --- okdctl and the scripted install ---------------------------------------------------


def okdctl(options):
    """okdctl's command line for the folders of this run; None when it is not built."""
    program = os.path.join(options.build, "okdctl")
    return [program, "--etc", options.etc, "--run-dir",
            os.path.join(options.state, "run")] if os.access(program, os.X_OK) else None


def make_cluster(options):
    """Has okdctl describe the cluster; what is wrong as text, or None."""
    program = okdctl(options)
    if not program:
        return None
    p = subprocess.run([*program, *mock.INIT], stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if p.returncode:
        return f"{p.stderr.strip()}\n(its files are in {os.path.relpath(options.etc)})"
    options.cluster = os.path.join(options.etc, "cluster.yaml")
    return None


class Demonstration:
    """The scripted install on a thread of its own, and the screen that shows it."""

    def __init__(self, options, events):
        self.options, self.events = options, events
        self.stopping = threading.Event()
        self.watch = None
        self.install = mock.Install(okdctl(options), options.etc,
                                    os.path.join(options.state, "mock"), PORTS, self.tell,
                                    self.stopping)
        self.thread = threading.Thread(target=self._run, daemon=True)

    def tell(self, text):
        if not self.options.screen:
            say(f"{'mock':5} | {text}")

    def start(self):
        if self.options.screen:
            self.watch = subprocess.Popen([*okdctl(self.options), "status", "--watch"],
                                          stdin=subprocess.DEVNULL)
        self.thread.start()

    def _run(self):
        result = None
        try:
            self.install.run()
        except mock.Stopped:
            return
        except RuntimeError as e:
            result = str(e)
        self.events.put(("installed", result))

    def end_screen(self):
        if self.watch:
            self.watch.terminate()
            self.watch.wait()
            self.watch = None

    def show_status(self):
        subprocess.run([*okdctl(self.options), "status"], stdin=subprocess.DEVNULL)

    def stop(self):
        self.stopping.set()
        self.end_screen()
        if self.thread.ident:
            self.thread.join(STOP_SECONDS)
        self.install.close()


def tell_what_to_try(services, options):
    say("\nThe bastion of okd.example.com runs.  Try, in another terminal in this folder:\n")
    for service in services:
        for line in service.entry.try_:
            say("    " + fill(line, service.values))
    if okdctl(options):
        say(f"    {os.path.relpath(options.build)}/okdctl --etc {os.path.relpath(options.etc)}"
            f" --run-dir {os.path.relpath(options.state)}/run status --watch")
    if options.screen:
        say(f"\nThe daemons' logs are {os.path.relpath(options.state)}/*/log.")
    say("\nCtrl-C stops it.\n")


def serve(services, events, options):
    """Until Ctrl-C (None) or until a daemon ends (why)."""
    demonstration = Demonstration(options, events) if options.demo else None
    tell_what_to_try(services, options)
    try:
        if demonstration:
            demonstration.start()
        while True:
            what, value = events.get()
            if what == "stop":
                return None
            if what == "ended":
                return f"okd-{value.entry.name} ended with {value.process.returncode}"
            if what == "installed":
                demonstration.end_screen()
                demonstration.show_status()
                if value:
                    return f"the scripted install came to a halt: {value}"
                say("\nThe scripted install is complete, and the bastion goes on.")
                tell_what_to_try(services, options)
    finally:
        if demonstration:
            demonstration.stop()


def arguments(argv):
    p = argparse.ArgumentParser(description="Runs the suite on loopback ports.")
    p.add_argument("--port", action="append", default=[], metavar="NAME=NUMBER",
                   help="another port: " + ", ".join(f"{k}={v}" for k, v in PORTS.items()))
    p.add_argument("--no-demo", dest="demo", action="store_false",
                   help="without the scripted install")
    p.add_argument("--build", default=os.path.join(TOP, "build", "release"))
    p.add_argument("--state", default=os.path.join(TOP, "build", "quickstart"))
    p.add_argument("--only-check", action="store_true", help="look at the arguments, start nothing")
    options = p.parse_args(argv)
    for text in options.port:
        name, _, number = text.partition("=")
        if name not in PORTS:
            p.error(f"--port {text}: there is no port {name!r}; NAME is one of "
                    f"{', '.join(PORTS)}")
        if not re.fullmatch("[0-9]{1,5}", number) or not 0 < int(number) < 65536:
            p.error(f"--port {text}: {number!r} is no port; write {name}= and a number from "
                    f"1 to 65535")
        PORTS[name] = int(number)
    twice = check_same_port()
    if twice:
        p.error(twice)
    options.etc = os.path.join(os.path.abspath(options.state), "etc")
    options.cluster = CLUSTER
    return options


def main(argv):
    options = arguments(argv)
    if options.only_check:
        return 0
    events = queue.SimpleQueue()  # its put() may interrupt its get()
    for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signo, lambda signo, frame: events.put(("stop", None)))
    entries = [e for e in SUITE if os.access(f"{options.build}/okd-{e.name}", os.X_OK)]
    if not entries:
        say(f"quickstart: no daemon is built in {options.build}")
        return 1
    lock = lock_state(options.state)
    if not lock:
        return 1
    taken = check_ports(entries)
    if taken:
        say("\n".join(f"quickstart: {line}" for line in taken))
        return 1
    options.demo = bool(options.demo and len(entries) == len(SUITE) and okdctl(options)
                        and shutil.which("openssl"))
    options.screen = options.demo and sys.stdout.isatty()
    trouble = make_cluster(options)
    if trouble:
        say(f"quickstart: {trouble}")
        return 1
    services = [Service(e, options, events) for e in entries]
    trouble = start_all(services, events)
    if trouble is None:
        trouble = serve(services, events, options)
    say("quickstart: stopping")
    clean = [s.stop() for s in services]
    if trouble:
        say(f"quickstart: {trouble}")
        return 1
    say("quickstart: all stopped" + ("" if all(clean) else ", not all of them cleanly"))
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
