"""A bastion with a real systemd: a Debian container booted by systemd-nspawn.

The base system is made once by debootstrap and kept in build/system/; each bastion is an
overlay on it, whose upper layer survives a power cut.  The container lives in the
namespace "bastion" of a netns.Network, so that nodes reach it over the bridge.
"""

import contextlib
import hashlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

from variant import TOP

import harness

CACHE = os.path.join(TOP, "build", "system")
SUITE = "bookworm"
# A host that knows nothing of the suite.
BARE = ["systemd", "systemd-sysv", "dbus", "iproute2"]
# What the daemons need at run time; rpm and dnf install their packages beside dpkg.
PACKAGES = [
    *BARE, "rpm", "dnf", "dnf-plugins-core", "createrepo-c", "ca-certificates", "libcrypt1",
    "libcurl4", "libevent-core-2.1-7", "libjansson4", "libldns3", "libpcre2-8-0",
    "libsqlite3-0", "libssl3", "libyaml-0-2", "procps",
]
# The namespaces of a container but for its network's: what runs there fetches as the machine.
FETCHING = ["--mount", "--uts", "--ipc", "--pid", "--cgroup"]
# nspawn looks for a system bus and a run-time folder on the machine when there is a
# /run/systemd: in a mount namespace of its own it finds neither.
BOOT = """
set -e
touch "$HERE/netns"
mount --bind "/run/netns/$NETNS" "$HERE/netns"
mount -t overlay overlay -o "lowerdir=$BASE,upperdir=$HERE/upper,workdir=$HERE/work" "$HERE/root"
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd
exec systemd-nspawn --quiet -D "$HERE/root" --boot --register=no --keep-unit --console=pipe \
    --resolv-conf=off --hostname=bastion --network-namespace-path="$HERE/netns"
"""


def why_not():
    """Why this machine cannot boot a container, or None."""
    if os.geteuid() != 0:
        return "booting a container needs root"
    for program, package in (
        ("debootstrap", "debootstrap"), ("systemd-nspawn", "systemd-container"),
        ("unshare", "util-linux"), ("nsenter", "util-linux"),
    ):
        if not shutil.which(program):
            return f"there is no {program} (package {package})"
    with open("/proc/filesystems", encoding="ascii") as f:
        if "overlay" not in f.read().split():
            return "the kernel has no overlay file system"
    return None


def proc_status(pid):
    """/proc/PID/status as a dict."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
        pairs = (line.rstrip("\n").partition(":\t") for line in f)
        return {name: value for name, _, value in pairs}


def mirror():
    """Where this machine's own apt fetches SUITE from, as debootstrap's last argument;
    debootstrap's default where apt does not say."""
    if os.environ.get("DEBIAN_MIRROR"):
        return [os.environ["DEBIAN_MIRROR"]]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        lines = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(CODENAME) $(SUITE) $(REPO_URI)",
             "Created-By: Packages"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True,
        ).stdout.splitlines()
        for codename, suite, uri in (line.split() for line in lines if line.count(" ") == 2):
            if SUITE in (codename, suite):
                return [uri]
    return []


def base_system(packages):
    """The folder with the base system, made when it is not there yet."""
    key = hashlib.sha256(" ".join([SUITE, *packages]).encode()).hexdigest()[:12]
    path = os.path.join(CACHE, f"base-{key}")
    if os.path.isdir(path):
        return path
    os.makedirs(CACHE, exist_ok=True)
    part = path + ".part"
    shutil.rmtree(part, ignore_errors=True)
    log = os.path.join(CACHE, "debootstrap.log")
    with open(log, "w", encoding="utf-8") as f:
        status = subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={','.join(packages)}", SUITE,
             part, *mirror()],
            stdin=subprocess.DEVNULL, stdout=f, stderr=f, timeout=600, check=False,
        ).returncode
    if status:
        with open(log, encoding="utf-8", errors="replace") as f:
            raise RuntimeError("debootstrap failed:\n" + "".join(f.readlines()[-20:]))
    shutil.rmtree(os.path.join(part, "var/cache/apt/archives"), ignore_errors=True)
    # EL and Fedora enable nothing that their presets do not name; Debian enables all.
    preset = os.path.join(part, "etc/systemd/system-preset")
    os.makedirs(preset, exist_ok=True)
    with open(os.path.join(preset, "99-default-disable.preset"), "w", encoding="ascii") as f:
        f.write("disable *\n")
    os.rename(part, path)
    return path


class Bastion:
    """One container: boot(), run(), power_cut(), close()."""

    def __init__(self, host, here=None, packages=tuple(PACKAGES)):
        """here is the folder of its disk, on a file system that overlays can lie on;
        packages are those of its base system."""
        self.host = host  # the netns.Host it lives in
        self.packages = packages
        os.makedirs(CACHE, exist_ok=True)
        self.here = here or tempfile.mkdtemp(prefix="bastion-", dir=CACHE)
        for name in ("upper", "work", "root"):
            os.mkdir(os.path.join(self.here, name))
        self.console = os.path.join(self.here, "console")
        self.nspawn = None
        self.init = None

    def boot(self):
        """Starts it, and returns when systemd says "running"; how long that took."""
        env = {**os.environ, "HERE": self.here, "BASE": base_system(self.packages),
               "NETNS": self.host.netns, "LC_ALL": "C.UTF-8"}
        begin = time.monotonic()
        with open(self.console, "ab") as console:
            # Its own process group: a signal to the tests is none to the container.
            self.nspawn = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "bash", "-c", BOOT],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=env,
                start_new_session=True,
            )
        self.init = harness.wait_until(self._find_init, 30, "the container's init")
        state = harness.wait_until(self._state, 60, "the end of the boot")
        took = time.monotonic() - begin
        if state != "running":
            raise AssertionError(
                f"systemd is {state}:\n{self.systemctl('--failed', check=False).stdout}")
        return took

    def _find_init(self):
        if self.nspawn.poll() is not None:
            with open(self.console, encoding="utf-8", errors="replace") as f:
                raise RuntimeError(f"nspawn ended with {self.nspawn.returncode}:\n{f.read()}")
        children = f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children"
        try:
            with open(children, encoding="ascii") as f:
                pid = int(f.read().split()[0])
            status = proc_status(pid)
        except (OSError, IndexError):
            return None
        # Before that, the children are mount and its like.
        is_init = status["Name"] == "systemd" and status["NSpid"].split()[1:] == ["1"]
        return pid if is_init else None

    def _state(self):
        state = self.run(["systemctl", "is-system-running", "--wait"], check=False).stdout
        return state.strip() if state.strip() in ("running", "degraded") else None

    def run(self, args, check=True, timeout=60, namespaces=("--all",), **kwargs):
        """A command inside, as root."""
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        p = subprocess.run(
            ["nsenter", "-t", str(self.init), *namespaces, *args], timeout=timeout,
            check=False, capture_output=True, text=True, errors="replace", **kwargs,
        )
        if check and p.returncode:
            raise AssertionError(
                f"{' '.join(args)} exited with {p.returncode}:\n{p.stdout}{p.stderr}")
        return p

    def apt(self, *args, timeout=300):
        """apt as a person has it, with the machine's way to the registry; what it said."""
        resolver = 'mount --bind "$0" /etc/resolv.conf && exec apt -y "$@"'
        shutil.copy("/etc/resolv.conf", self.path("/run/resolv.conf"))
        p = self.run(["unshare", "--mount", "sh", "-c", resolver, "/run/resolv.conf", *args],
                     timeout=timeout, namespaces=FETCHING,
                     env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"})
        return p.stdout + p.stderr

    def systemctl(self, *args, **kwargs):
        return self.run(["systemctl", "--no-pager", *args], **kwargs)

    def show(self, unit, *properties):
        """Properties of a unit; one as a string, several as a dict."""
        out = self.systemctl("show", unit, *[f"--property={p}" for p in properties]).stdout
        found = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        return found[properties[0]] if len(properties) == 1 else found

    def main_pid(self, unit):
        return int(self.show(unit, "MainPID"))

    def wait_main(self, unit, other_than=0, seconds=10):
        """The unit's main process once it is active with another one than before."""
        def look():
            state = self.show(unit, "MainPID", "ActiveState")
            pid = int(state["MainPID"])
            return pid if state["ActiveState"] == "active" and pid not in (0, other_than) \
                else None
        try:
            return harness.wait_until(look, seconds, f"a new main process of {unit}")
        except AssertionError as e:
            status = self.systemctl("status", "--lines=0", unit, check=False).stdout
            status += f"stored: {self.show(unit, 'NFileDescriptorStore')}\n"
            status += self.journal("-u", unit, "-n", "20", "-o", "short-monotonic")
            raise AssertionError(f"{e}\n{status}") from None

    def milliseconds(self, unit):
        """From the start of the unit's process to READY."""
        times = self.show(unit, "ExecMainStartTimestampMonotonic",
                          "ActiveEnterTimestampMonotonic")
        return (int(times["ActiveEnterTimestampMonotonic"])
                - int(times["ExecMainStartTimestampMonotonic"])) / 1000

    def admin(self, daemon, path, method="GET"):
        """What a daemon says on its admin socket, as JSON."""
        out = self.host.run(["curl", "-sS", "-X", method, "--unix-socket",
                            self.path(f"/run/okd-{daemon}/admin.sock"),
                            f"http://localhost{path}"]).stdout
        return json.loads(out) if out else None

    def pss(self, unit):
        """Proportional set size of the unit's main process, in kB."""
        with open(f"/proc/{self.outside(self.main_pid(unit))}/smaps_rollup",
                  encoding="ascii") as f:
            return int(re.search(r"^Pss:\s+(\d+) kB", f.read(), re.M).group(1))

    def outside(self, pid):
        """A process of the container by its number outside."""
        ours = os.readlink(f"/proc/{self.init}/ns/pid")
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                if (os.readlink(f"/proc/{name}/ns/pid") == ours
                        and proc_status(name)["NSpid"].split()[-1] == str(pid)):
                    return int(name)
            except OSError:
                continue  # it has ended
        raise AssertionError(f"process {pid} of the container is not there")

    def journal(self, *args):
        return self.run(["journalctl", "--no-pager", "-q", *args]).stdout

    def path(self, inside):
        """Where a file of the container lies outside of it, while it is up."""
        return f"/proc/{self.init}/root{inside}"

    def write(self, inside, text):
        with open(self.path(inside), "w", encoding="utf-8") as f:
            f.write(text)

    def read(self, inside):
        with open(self.path(inside), encoding="utf-8") as f:
            return f.read()

    def put(self, files, inside="/root/packages"):
        """Copies files into a folder inside that holds nothing else, and names them."""
        folder = self.path(inside)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        return [os.path.join(inside, os.path.basename(shutil.copy(f, folder))) for f in files]

    def power_off(self):
        if self.init:
            # systemd's signal for an orderly poweroff
            os.kill(self.init, signal.SIGRTMIN + 4)
            self.nspawn.wait(90)
        self.init = self.nspawn = None

    def power_cut(self):
        """Nothing gets the chance to end; what was written stays in the overlay."""
        pidfd = os.pidfd_open(self.init)
        os.kill(self.init, signal.SIGKILL)
        os.kill(self.nspawn.pid, signal.SIGKILL)
        self.nspawn.wait(30)
        # The namespace's first process has ended once all the others have.
        select.select([pidfd], [], [], 30)
        os.close(pidfd)
        self.init = self.nspawn = None

    def close(self):
        if self.nspawn and self.nspawn.poll() is None:
            os.kill(self.nspawn.pid, signal.SIGKILL)
            self.nspawn.wait(30)
        shutil.rmtree(self.here, ignore_errors=True)
