"""Starts the suite's daemons for tests, and is their service manager.

    with Daemon("dnsd", {"listen": ["127.0.0.1:%d" % free_port()]}) as d:
        ...
        d.reload()

A Daemon has folders of its own for configuration, state and run-time files, is the
NOTIFY_SOCKET, and follows stderr.  It is ready when start() returns.  stop() insists on a
clean end: STOPPING=1, exit status 0, nothing from a sanitizer, no descriptor more than
after the start.  Nothing here sleeps for readiness: every wait has a condition and a
deadline, and deadlines stretch with the build variant.
"""

import array
import atexit
import collections
import contextlib
import ctypes
import fcntl
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time

import yaml

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import variant  # noqa: E402
from variant import BUILD, SLOW, TOP  # noqa: E402

EXAMPLE = os.path.join(TOP, "examples", "okd.example.com", "cluster.yaml")
STDERR_MAX = 1 << 26
PR_SET_CHILD_SUBREAPER = 36
SYS_PIDFD_GETFD = 438


class DaemonError(AssertionError):
    """The daemon did not do what was expected; the message shows its stderr."""


def example_cluster():
    """The shipped example's cluster.yaml as a dict of the caller's own."""
    with open(EXAMPLE, encoding="utf-8") as f:
        return yaml.safe_load(f)


# --- ports -----------------------------------------------------------------------------

_reserved = {}


def free_port(host="127.0.0.1", hold=True):
    """A port that is free for TCP and UDP on host, and stays free for this process.

    A TCP socket that is bound but does not listen keeps the kernel from giving the port
    away; SO_REUSEADDR lets the daemon bind it all the same.  hold=False is for programs
    that bind without SO_REUSEADDR.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(100):
        tcp = socket.socket(family, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((host, 0))
        port = tcp.getsockname()[1]
        with socket.socket(family, socket.SOCK_DGRAM) as udp:
            try:
                udp.bind((host, port))
            except OSError:
                tcp.close()
                continue
        if port in _reserved:
            tcp.close()
            continue
        if hold:
            _reserved[port] = tcp
        else:
            tcp.close()
            _reserved[port] = None
        return port
    raise RuntimeError("no port is free for both TCP and UDP")


@atexit.register
def _release_ports():
    for sock in _reserved.values():
        if sock:
            sock.close()
    _reserved.clear()


# --- waiting ---------------------------------------------------------------------------


def wait_until(condition, timeout=5.0, what="the condition"):
    """Polls until condition() is true and returns its value; the deadline stretches with
    the variant.  For what has no event to wait for, such as /proc."""
    deadline = time.monotonic() + timeout * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {timeout * SLOW} s")
        time.sleep(0.01)


class Follower:
    """What came in so far from a thread's source, and waiting for more of it."""

    def __init__(self):
        self.cond = threading.Condition()
        self.closed = False

    def wait(self, predicate, timeout):
        """predicate() under the lock, again after each arrival; its value or None."""
        with self.cond:
            self.cond.wait_for(lambda: predicate() or self.closed, timeout)
            return predicate()

    def arrived(self):
        with self.cond:
            self.cond.notify_all()

    def close(self):
        with self.cond:
            self.closed = True
            self.cond.notify_all()


class Stderr(Follower):
    """Everything that came through a pipe, read by a thread until its last writer ends."""

    def __init__(self, fd):
        super().__init__()
        self.fd = fd
        self.data = bytearray()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            chunk = os.read(self.fd, 65536)
            if not chunk:
                break
            with self.cond:
                if len(self.data) < STDERR_MAX:
                    self.data += chunk
                self.cond.notify_all()
        os.close(self.fd)
        self.close()

    def text(self, since=0):
        with self.cond:
            return self.data[since:].decode("utf-8", "replace")


Message = collections.namedtuple("Message", "pid fields fds")


class NotifySocket(Follower):
    """The service manager's end of sd_notify: datagrams with their sender."""

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.messages = []
        self.fdstore = {}  # FDNAME -> descriptors
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.sock.bind(path)
        self.wake_r, self.wake_w = os.pipe2(os.O_CLOEXEC)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        poll.register(self.wake_r, select.POLLIN)
        while True:
            ready = dict(poll.poll())
            if self.sock.fileno() in ready:
                self._receive()
            elif self.wake_r in ready:
                return

    def _receive(self):
        space = socket.CMSG_SPACE(12) + socket.CMSG_SPACE(253 * 4)
        data, control, _, _ = self.sock.recvmsg(65536, space, socket.MSG_CMSG_CLOEXEC)
        pid, fds = 0, array.array("i")
        for level, kind, body in control:
            if level != socket.SOL_SOCKET:
                continue
            if kind == socket.SCM_CREDENTIALS:
                pid = struct.unpack("3i", body[:12])[0]
            elif kind == socket.SCM_RIGHTS:
                fds.frombytes(body[: len(body) // 4 * 4])
        fields = {}
        for line in data.decode("utf-8", "replace").splitlines():
            key, _, value = line.partition("=")
            fields[key] = value
        if fields.get("FDSTORE") == "1":
            self._store(fields.get("FDNAME", "stored"), fds)
        else:  # a barrier ends when its descriptor is closed
            for fd in fds:
                os.close(fd)
        if fields.get("FDSTOREREMOVE") == "1":
            for fd in self.fdstore.pop(fields.get("FDNAME", "stored"), []):
                os.close(fd)
        with self.cond:
            self.messages.append(Message(pid, fields, len(fds)))
            self.cond.notify_all()

    def _store(self, name, fds):
        """Keeps what it does not have yet, as the service manager does."""
        kept = self.fdstore.setdefault(name, [])
        known = {os.fstat(fd).st_ino for fd in kept}
        for fd in fds:
            if os.fstat(fd).st_ino in known:
                os.close(fd)
            else:
                kept.append(fd)

    def find(self, since, fields, pid=None):
        """The first message from index since on that has these fields, or None."""
        for m in self.messages[since:]:
            if pid is not None and m.pid != pid:
                continue
            if all(m.fields.get(k) == v for k, v in fields.items()):
                return m
        return None

    def shut(self):
        os.write(self.wake_w, b"x")
        self.thread.join()
        self.sock.close()
        os.close(self.wake_r)
        os.close(self.wake_w)
        for fds in self.fdstore.values():
            for fd in fds:
                os.close(fd)
        self.fdstore.clear()


class UnixHTTPConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.socket_path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        try:
            self.sock.connect(self.socket_path)
        except OSError:
            self.sock.close()
            self.sock = None
            raise


class Response:
    """An answer of the admin socket."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.body)

    def metrics(self):
        """Prometheus text as {'name{labels}': value}."""
        out = {}
        for line in self.text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                out[name] = float(value)
        return out

    def __repr__(self):
        return f"<Response {self.status} {self.body[:200]!r}>"


# --- processes -------------------------------------------------------------------------


def _become_subreaper():
    """A process that replaced its parent in place becomes our child when that ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class Process:
    """A process of which we may be the parent or not: waiting goes by pidfd."""

    def __init__(self, pid):
        self.pid = pid
        self.status = None  # exit status, -signal, or None when somebody else reaped it
        self.ended = False
        self.pidfd = os.pidfd_open(pid)

    def wait(self, timeout):
        """True when it has ended within timeout seconds."""
        if self.ended:
            return True
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if not poll.poll(max(timeout, 0) * 1000):
            return False
        with contextlib.suppress(ChildProcessError):
            _, status = os.waitpid(self.pid, 0)
            self.status = os.waitstatus_to_exitcode(status)
        self.ended = True
        os.close(self.pidfd)
        return True

    def kill(self, signo):
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signo)


def sockets_of(pid):
    """The sockets of a process, one after the other, as duplicates that are closed after their
    turn."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = os.pidfd_open(pid)
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            fd = libc.syscall(SYS_PIDFD_GETFD, pidfd, int(name), 0)
            if fd < 0:
                continue
            if not stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.close(fd)
                continue
            with socket.socket(fileno=fd) as s:
                yield s
    finally:
        os.close(pidfd)


def to_yaml(config):
    """A dict or text as YAML text; None is an empty file."""
    if config is None:
        return ""
    if isinstance(config, str):
        return config
    return yaml.safe_dump(config, sort_keys=False)


def describe_fd(path):
    """What a /proc/PID/fd entry is, without the numbers that differ each time."""
    target = os.readlink(path)
    match = re.match(r"(socket|pipe):\[", target)
    return match.group(1) if match else target


class Daemon:
    """okd-<name> with its folders, its service manager and its log.

    config and cluster are dicts or YAML text; None for config is an empty file, None for
    cluster is the shipped example, False is no cluster file at all.  files are further
    files to write beside them ({name: text or bytes}).  program replaces the binary (a path, or a
    command line as a list), wrapper stands before it.  pass_fds stay open in it.
    """

    def __init__(self, name, config=None, cluster=None, *, args=(), env=None, files=None,
                 program=None, wrapper=(), pass_fds=(), check_fds=True, timeout=20.0):
        self.name = name
        program = program or os.path.join(BUILD, f"okd-{name}")
        self.program = [program] if isinstance(program, str) else list(program)
        self.wrapper = list(wrapper)
        self.pass_fds = tuple(pass_fds)
        self.args = list(args)
        self.extra_env = dict(env or {})
        self.check_fds = check_fds
        self.timeout = timeout * SLOW
        self.dir = tempfile.mkdtemp(prefix=f"okd-{name}-")  # short: sockets go in there
        self.state_dir = os.path.join(self.dir, "state")
        self.runtime_dir = os.path.join(self.dir, "run")
        self.config_path = os.path.join(self.dir, f"{name}.yaml")
        self.cluster_path = os.path.join(self.dir, "cluster.yaml")
        os.mkdir(self.state_dir, 0o700)
        os.mkdir(self.runtime_dir, 0o755)
        self.cluster = cluster is not False
        self.write_config(config)
        if self.cluster:
            self.write_cluster(example_cluster() if cluster is None else cluster)
        for file, body in (files or {}).items():
            self.write_file(file, body)
        self.main = None  # Process
        self.old = []  # Processes that an upgrade in place left draining
        self.notify = None
        self.stderr = None
        self.baseline = None
        self.log_before = ""  # stderr of earlier runs

    # -- files

    def write_file(self, name, body):
        """Writes a file beside the configuration and returns its path."""
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(body.encode() if isinstance(body, str) else body)
        return path

    def write_config(self, config):
        return self.write_file(f"{self.name}.yaml", to_yaml(config))

    def write_cluster(self, cluster):
        return self.write_file("cluster.yaml", to_yaml(cluster))

    # -- life

    @property
    def pid(self):
        return self.main.pid if self.main else None

    @property
    def running(self):
        return self.main is not None and not self.main.wait(0)

    def command(self, *args):
        out = self.wrapper + self.program + ["-c", self.config_path]
        if self.cluster:
            out += ["-C", self.cluster_path]
        return out + self.args + list(args)

    def environment(self):
        env = {**os.environ, **variant.sanitizer_environment(), **self.extra_env}
        env.update(STATE_DIRECTORY=self.state_dir, RUNTIME_DIRECTORY=self.runtime_dir)
        env.pop("NOTIFY_SOCKET", None)
        env.pop("JOURNAL_STREAM", None)
        if self.notify:
            env["NOTIFY_SOCKET"] = self.notify.path
        return env

    def spawn(self):
        """Starts the process without waiting for anything."""
        assert self.main is None, "it runs already"
        _become_subreaper()
        self.notify = NotifySocket(os.path.join(self.dir, "notify"))
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 1 << 20)
        try:
            popen = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=write_end,
                stderr=write_end, env=self.environment(), cwd=self.dir,
                start_new_session=True, pass_fds=self.pass_fds,
            )
        except OSError:
            os.close(read_end)
            self.notify.shut()
            raise
        finally:
            os.close(write_end)
        self.main = Process(popen.pid)
        popen.returncode = 0  # we wait by pidfd; Popen must not
        self.stderr = Stderr(read_end)
        return self

    def start(self):
        """Starts it and waits for READY=1; an early end shows its stderr."""
        self.spawn()
        self._wait_notify(0, {"READY": "1"}, "READY=1")
        self.baseline = self.fds() if self.check_fds else None
        return self

    def settle(self, timeout=20.0):
        """Waits until /readyz says 200 and counts descriptors again: for what a daemon
        opens after READY=1."""
        wait_until(lambda: self.admin("/readyz").status == 200, timeout, "/readyz")
        self.baseline = self.fds() if self.check_fds else None

    def _wait_notify(self, since, fields, what, pid=None, timeout=None):
        """The message, or DaemonError when the process ends or time is up first."""
        deadline = time.monotonic() + (timeout or self.timeout)
        while True:
            message = self.notify.wait(lambda: self.notify.find(since, fields, pid), 0.05)
            if message:
                return message
            if self.main.wait(0) and not self.notify.find(since, fields, pid):
                self.fail(f"ended ({self._ending(self.main)}) before {what}")
            if time.monotonic() > deadline:
                self.fail(f"no {what} within {timeout or self.timeout} s")

    def wait_notify(self, timeout=None, since=0, **fields):
        """Waits for a message with these fields: wait_notify(STATUS="...")."""
        return self._wait_notify(since, fields, str(fields), timeout=timeout)

    def reload(self, config=None, cluster=None):
        """Writes what is given, sends HUP, waits for RELOADING=1 and then READY=1."""
        if config is not None:
            self.write_config(config)
        if cluster is not None:
            self.write_cluster(cluster)
        since = len(self.notify.messages)
        self.signal(signal.SIGHUP)
        first = self._wait_notify(since, {"RELOADING": "1"}, "RELOADING=1")
        if not first.fields.get("MONOTONIC_USEC", "").isdigit():
            self.fail("RELOADING=1 came without MONOTONIC_USEC")
        since = self.notify.messages.index(first, since) + 1
        self._wait_notify(since, {"READY": "1"}, "READY=1 after RELOADING=1")
        if (config is not None or cluster is not None) and self.baseline is not None:
            self.baseline = self.fds()  # listeners may have come or gone

    def upgrade(self):
        """Sends USR2 and waits for MAINPID= and READY=1 of the process that takes over;
        the old one is in self.old until it has drained."""
        since = len(self.notify.messages)
        self.signal(signal.SIGUSR2)
        deadline = time.monotonic() + self.timeout

        def mainpid():
            # NotifyAccess=main: who is not the main process is not heard.
            for i, m in enumerate(self.notify.messages[since:]):
                if "MAINPID" in m.fields and m.pid == self.pid:
                    pid = int(m.fields["MAINPID"])
                    for early in self.notify.messages[since : since + i]:
                        if early.pid == pid and any(k.startswith("FD") for k in early.fields):
                            self.fail(f"{early.fields} of {pid} is lost: it is not yet main")
                    return pid
            return None

        pid = self.notify.wait(mainpid, self.timeout)
        if not pid or pid == self.pid:
            self.fail(f"no MAINPID= of another process within {self.timeout} s")
        successor = Process(pid)
        left = deadline - time.monotonic()
        ready = lambda: self.notify.find(since, {"READY": "1"}, pid)  # noqa: E731
        if not self.notify.wait(ready, max(left, 0)):
            self.fail(f"no READY=1 from process {pid}, which took over")
        self.old.append(self.main)
        self.main = successor
        if self.baseline is not None:
            self.baseline = self.fds()
        return pid

    def wait_old(self, timeout=10.0):
        """Waits until every process that was replaced has ended well."""
        for process in self.old:
            if not process.wait(timeout * SLOW):
                self.fail(f"process {process.pid} still drains after {timeout * SLOW} s")
            if process.status not in (0, None):
                self.fail(f"the replaced process ended: {self._ending(process)}")
        self.old = []

    def stop(self, check_fds=True, timeout=None):
        """TERM, then everything that a clean end consists of.  Returns stderr."""
        assert self.main, "it does not run"
        timeout = timeout * SLOW if timeout else self.timeout
        if self.main.wait(0):
            self.fail(f"ended by itself: {self._ending(self.main)}")
        self.wait_old()
        if check_fds and self.baseline is not None:
            self.expect_no_leak()
        since = len(self.notify.messages)
        self.signal(signal.SIGTERM)
        if not self.main.wait(timeout):
            self.fail(f"still runs {timeout} s after TERM")
        stopping = self.notify.wait(
            lambda: self.notify.find(since, {"STOPPING": "1"}), 1.0 * SLOW)
        if not stopping:
            self.fail("ended without STOPPING=1")
        if self.main.status not in (0, None):
            self.fail(f"did not end with 0: {self._ending(self.main)}")
        return self._finish()

    def wait_exit(self, expect=0, timeout=None):
        """Waits for an end that somebody else caused.  Returns stderr."""
        if not self.main.wait(timeout * SLOW if timeout else self.timeout):
            self.fail("still runs")
        if expect is not None and self.main.status != expect:
            self.fail(f"ended otherwise than with {expect}: {self._ending(self.main)}")
        return self._finish()

    def kill9(self):
        """The power cut: KILL to it and to what it replaced.  Returns stderr."""
        for process in self.old + [self.main]:
            process.kill(signal.SIGKILL)
        for process in self.old + [self.main]:
            if not process.wait(10 * SLOW):
                self.fail(f"process {process.pid} survives KILL")
        self.old = []
        return self._finish()

    def _finish(self):
        """After the end: reads the rest of stderr and looks for sanitizers."""
        if not self.stderr.wait(lambda: self.stderr.closed, 5 * SLOW):
            self.fail("ended, but somebody still holds its stderr")
        text = self.stderr.text()
        self._release()
        if variant.SANITIZER.search(text):
            raise DaemonError(f"okd-{self.name}: a sanitizer complained:\n{text}")
        return text

    def _release(self):
        self.log_before += self.stderr.text()
        self.notify.shut()
        os.unlink(self.notify.path)
        self.main = self.notify = self.stderr = self.baseline = None

    def close(self):
        """Ends what still runs, by pid and without questions, and removes the folders."""
        for process in self.old + ([self.main] if self.main else []):
            process.kill(signal.SIGKILL)
            process.wait(10)
        self.old = []
        if self.main:
            self.stderr.wait(lambda: self.stderr.closed, 2)
            self._release()
        shutil.rmtree(self.dir, ignore_errors=True)

    def signal(self, signo):
        self.main.kill(signo)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind, value, trace):
        try:
            if kind is None and self.main:
                self.stop()
            elif kind and self.log:
                print(f"--- stderr of okd-{self.name}\n{self.log}")
        finally:
            self.close()

    # -- what it says

    @property
    def log(self):
        """All of stderr so far, earlier runs included."""
        return self.log_before + (self.stderr.text() if self.stderr else "")

    def log_position(self):
        """Where stderr stands, for log_contains(since=)."""
        return len(self.stderr.data)

    def log_contains(self, text, timeout=5.0, since=0):
        """Waits until stderr contains text, or matches it when it is a compiled pattern.
        Returns the line; fails after timeout."""

        pattern = text if hasattr(text, "search") else re.compile(re.escape(text))

        def found():
            got = self.stderr.text(since)
            match = pattern.search(got)
            if not match:
                return None
            begin = got.rfind("\n", 0, match.start()) + 1
            end = got.find("\n", match.end())
            return got[begin : end if end >= 0 else len(got)]

        line = self.stderr.wait(found, timeout * SLOW)
        if line is None:
            self.fail(f"stderr does not show {text!r} within {timeout * SLOW} s")
        return line

    def _ending(self, process):
        if process.status is None:
            return "reaped by its parent"
        if process.status < 0:
            return f"killed by {signal.Signals(-process.status).name}"
        return f"exit status {process.status}"

    def fail(self, what):
        if self.main and self.main.ended and self.stderr:
            self.stderr.wait(lambda: self.stderr.closed, 2)
        raise DaemonError(f"okd-{self.name}: {what}\n--- stderr\n{self.log}")

    # -- looking inside

    def fds(self):
        """Its descriptors: Counter of what they are."""
        folder = f"/proc/{self.pid}/fd"
        counter = collections.Counter()
        for fd in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):
                counter[describe_fd(f"{folder}/{fd}")] += 1
        return counter

    def expect_no_leak(self, baseline=None, timeout=5.0):
        """Fails when it keeps more descriptors of a kind than in baseline (after start)."""
        baseline = self.baseline if baseline is None else baseline
        deadline = time.monotonic() + timeout * SLOW
        while True:
            more = self.fds() - baseline
            if not more:
                return
            if time.monotonic() > deadline:
                self.fail(f"it holds more descriptors than after its start: {dict(more)}")
            time.sleep(0.02)

    def threads(self):
        """{tid: name}"""
        out = {}
        for tid in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{tid}/comm", encoding="utf-8") as f:
                out[int(tid)] = f.read().strip()
        return out

    @property
    def admin_socket(self):
        return os.path.join(self.runtime_dir, "admin.sock")

    def admin(self, path, method="GET", body=None, headers=None, timeout=10.0):
        """One request over the admin socket; a dict as body goes as JSON."""
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        connection = UnixHTTPConnection(self.admin_socket, timeout * SLOW)
        try:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def status(self):
        return self.admin("/status").json()

    def metrics(self):
        return self.admin("/metrics").metrics()


# --- runs that are to end by themselves -----------------------------------------------


def run_with_config(name, config=None, cluster=None, expect_exit=78, timeout=20.0, **kwargs):
    """Starts a daemon that must refuse its configuration; returns its stderr, in which
    its folder's path is cut off the file names."""
    daemon = Daemon(name, config, cluster, check_fds=False, **kwargs)
    try:
        daemon.spawn()
        text = daemon.wait_exit(expect_exit, timeout)
        return text.replace(daemon.dir + "/", "")
    finally:
        daemon.close()


Finished = collections.namedtuple("Finished", "status out err")


def run_daemon(name, *args, config=None, cluster=None, timeout=20.0, **kwargs):
    """okd-<name> with its files and further arguments (-n, -V): status, stdout, stderr."""
    daemon = Daemon(name, config, cluster, check_fds=False, **kwargs)
    try:
        p = subprocess.run(
            daemon.command(*args), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            env=daemon.environment(), cwd=daemon.dir, timeout=timeout * SLOW, check=False,
        )
        if variant.SANITIZER.search(p.stderr):
            raise DaemonError(f"okd-{name}: a sanitizer complained:\n{p.stderr}")
        return Finished(p.returncode, p.stdout, p.stderr.replace(daemon.dir + "/", ""))
    finally:
        daemon.close()
