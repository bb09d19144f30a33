"""The HTTP server beside nginx: a small file over keep-alive, a 1 GiB file, idle clients.

Our side is tests/tools/common/httpd.c, which opens a file per request as nginx does; both
write no access log.  CPU per request and per GiB is what counts.
"""

import os
import re
import resource
import socket
import subprocess
import sys

from bench import BUILD, LOAD_CORES, Server, compare, options, run_load, tcp_ready

HTTPD = os.path.join(BUILD, "tests/tools/common/httpd")
LOAD = os.path.join(BUILD, "tests/tools/common/httpload")
GIB = 1 << 30

NGINX = """
daemon off; pid {dir}/pid; error_log {dir}/error.log; worker_processes 1;
worker_rlimit_nofile 20000;
events { worker_connections 12000; }
http {
    access_log off; sendfile on; keepalive_requests 100000000; keepalive_timeout 600s;
    client_body_temp_path {dir}/1; proxy_temp_path {dir}/2; fastcgi_temp_path {dir}/3;
    uwsgi_temp_path {dir}/4; scgi_temp_path {dir}/5;
    server { listen 127.0.0.1:PORT; root {dir}/root; }
}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def printed_port(server):
    """A ready= for httpd, which prints the port that the kernel chose."""
    with open(server.log_path, encoding="ascii") as f:
        found = re.match(r"(\d+)\n", f.read())
    if found:
        server.data["port"] = int(found[1])
    return bool(found)


def servers():
    port = free_port()
    ours = Server(
        "httpd",
        [HTTPD, "--root", "{dir}/root", "--quiet", "--connections", "12000",
         "--idle-ms", "600000"],
        ready=printed_port,
        files={"root/small": "x" * 300},
    )
    nginx = Server(
        "nginx",
        ["/usr/sbin/nginx", "-c", "{dir}/nginx.conf", "-p", "{dir}", "-e", "{dir}/error.log"],
        ready=tcp_ready(port),
        files={"nginx.conf": NGINX.replace("PORT", str(port)), "root/small": "x" * 300},
        version=["/usr/sbin/nginx", "-v"],
        data={"port": port},
    )
    for s in (ours, nginx):
        with open(os.path.join(s.dir, "root/big"), "wb") as f:
            f.truncate(GIB)
    return [ours, nginx]


def small(server, opts):
    out = run_load([LOAD, str(server.data["port"]), "/small", "16", str(opts.seconds)])
    return int(out.split()[0])


def big(server, opts):
    out = run_load([LOAD, str(server.data["port"]), "/big", "1", "60", "2"])
    return int(out.split()[1]) / GIB


def idle(server, n):
    """Private dirty memory with n idle connections, in KiB, and before."""
    server.start()
    before = server.memory()
    load = subprocess.Popen(
        [LOAD, str(server.data["port"]), "/small", str(n), "0"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, LOAD_CORES),
    )
    line = load.stdout.readline()
    after = server.memory()
    load.communicate()
    server.stop()
    if line != b"ready\n":
        raise RuntimeError("the idle connections could not be made")
    return before, after


def main():
    opts = options(__doc__)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))
    compare("http-small", servers(), small, opts, unit="request")
    compare("http-big", servers(), big, opts, unit="GiB")
    n = 1000 if opts.quick else 10000
    for server in servers():
        if not opts.only or server.name in opts.only:
            before, after = idle(server, n)
            print(f"{server.name}: {n} idle connections: {before} -> {after}")


if __name__ == "__main__":
    sys.exit(main())
