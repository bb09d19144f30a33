"""The TCP balancer under a steady load for a long time: does anything grow?

2,000 connections a second, bulk in between, a reload every ten seconds, and a server that
is drained and brought back.  Memory is taken once a second after a warm-up of a tenth of
the time; at the end it may be 1 % above what it was, descriptors and sessions must be
where they began, and no connection may have failed.  Exits with 1 when that is not so.
"""

import argparse
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import time

from bench import BUILD, okd, tcp_ready

LOAD = os.path.join(BUILD, "tests/tools/lbd/lbdload")
RATE = 2000


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def admin(server, method, path, body=b""):
    """The body of a reply of the admin socket."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(os.path.join(server.dir, "admin.sock"))
        s.sendall(b"%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
                  % (method.encode(), path.encode(), len(body)) + body)
        reply = b""
        while chunk := s.recv(65536):
            reply += chunk
    head, body = reply.split(b"\r\n\r\n", 1)
    if not head.startswith(b"HTTP/1.1 20"):
        raise RuntimeError(f"{method} {path}: {head.decode()}")
    return body


def status(server):
    return json.loads(admin(server, "GET", "/status"))["lbd"]


def state(server):
    pid = server.process.pid
    return {"rss": server.memory()["rss"], "fds": len(os.listdir(f"/proc/{pid}/fd"))}


def settle(server):
    """Every session has ended."""
    for _ in range(300):
        if status(server)["sessions"] == 0:
            return True
        time.sleep(0.1)
    return False


def disturb(server, second):
    """What an administrator does meanwhile."""
    if second % 10 == 0:
        admin(server, "POST", "/v1/reload")
    if second % 10 in (3, 6):
        body = {"state": "drain" if second % 10 == 3 else "ready"}
        admin(server, "POST", "/v1/servers/be/a", json.dumps(body).encode())


def run(server, port, seconds):
    load = subprocess.Popen([LOAD, "conn", str(port), "32", str(seconds), str(RATE)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    began, second, rss = time.monotonic(), 0, []
    while load.poll() is None:
        disturb(server, second)
        if second % 20 == 15:
            subprocess.run([LOAD, "bulk", str(port), "4", "32"], check=True,
                           stdout=subprocess.DEVNULL)
        if second >= seconds / 10:
            rss.append(state(server)["rss"])
        second += 1
        time.sleep(max(0, began + second - time.monotonic()))
    out, errors = load.communicate()
    if load.returncode:
        raise RuntimeError(f"a connection failed: {errors}")
    return int(out), rss


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--seconds", type=float, default=300)
    opts = p.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    backends = [subprocess.Popen([LOAD, "serve"], stdout=subprocess.PIPE, text=True)
                for _ in range(2)]
    port = free_port()
    config = {
        "stats": {"listen": []},
        "frontends": [{"name": "fe", "listen": [f"127.0.0.1:{port}"], "backend": "be",
                       "log": "none"}],
        "backends": [{"name": "be", "check": {"type": "tcp", "interval": "200ms"}, "servers": [
            {"name": name, "address": f"127.0.0.1:{int(b.stdout.readline())}"}
            for name, b in zip("ab", backends)]}],
    }
    server = okd("lbd", config, ready=tcp_ready(port))
    faults = []
    try:
        server.start()
        base = state(server)
        n, rss = run(server, port, opts.seconds)
        if not settle(server):
            faults.append(f"{status(server)['sessions']} sessions do not end")
        end = state(server)
        few = max(1, len(rss) // 10)
        first, last = statistics.median(rss[:few]), statistics.median(rss[-few:])
        print(f"{n} connections in {opts.seconds:.0f} s; RSS {first / 1048576:.2f} MiB after "
              f"the warm-up, {last / 1048576:.2f} MiB at the end ({last / first - 1:+.2%}); "
              f"descriptors {base['fds']} before, {end['fds']} after")
        if last > first * 1.01:
            faults.append("memory grows")
        # Idle pipes are kept for use until the last session has ended.
        if end["fds"] > base["fds"]:
            faults.append("descriptors are left")
        if n < RATE * opts.seconds / 4:
            faults.append("the load was far below what was wanted")
    finally:
        server.stop()
        for b in backends:
            b.kill()
            b.wait()
    for fault in faults:
        print(f"soak: {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
