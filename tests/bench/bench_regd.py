"""The registry beside Debian's docker-registry and, as the floor of a file server, nginx:
manifests and blobs by GET, plain and over TLS with a password; pushes beside the least
that receiving, hashing and writing can cost.

CPU per request and per GiB is what counts.  okd-regd runs as shipped, with its access log
on; docker-registry logs too.  BENCH_ARGS="--part mib --rounds 3" measures one part: each
fits into a few minutes.
"""

import argparse
import hashlib
import os
import re
import socket
import sqlite3
import ssl
import subprocess
import sys
import time

from bench import BUILD, CORES, Server, compare, okd, options, run_load, tcp_ready
from regd import MANIFEST as MANIFEST_TYPE
from regd import Client, Image, chunks, digest, htpasswd

LOAD = os.path.join(BUILD, "tests/tools/common/httpload")
LOOP = os.path.join(BUILD, "tests/tools/regd/recvloop")
SENDLOOP = os.path.join(BUILD, "tests/tools/regd/sendloop")
MIB, GIB = 1 << 20, 1 << 30

PEER = """
version: 0.1
log: {{accesslog: {{disabled: false}}, level: warn}}
storage: {{filesystem: {{rootdirectory: {{dir}}/data}}, delete: {{enabled: true}}}}
http:
  addr: 127.0.0.1:{port}
  secret: x
{tls}
{auth}
"""

NGINX = """
daemon off; pid {dir}/pid; error_log {dir}/error.log; worker_processes 1; user root;
events { worker_connections 1000; }
http {
    access_log {dir}/access.log; sendfile on; keepalive_requests 100000000;
    client_body_temp_path {dir}/1; proxy_temp_path {dir}/2; fastcgi_temp_path {dir}/3;
    uwsgi_temp_path {dir}/4; scgi_temp_path {dir}/5;
    server { listen 127.0.0.1:PORT SSL; root {dir}/root; }
}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def blob(size):
    """The same bytes for every server; nothing that compresses."""
    return b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(MIB // 32)) * (size // MIB)


class Content:
    def __init__(self):
        self.image = Image({"f": b"x" * 400})
        self.mib = blob(MIB)
        self.big = blob(256 * MIB)


def fill(server, content, big):
    """Pushes what is to be pulled."""
    with Filler(server.data["port"], server.data["tls"]) as c:
        c.push("a/b", "v1", content.image)
        c.push_blob("a/b", content.mib)
        if big:
            c.push_blob("a/b", content.big)


class Filler(Client):
    def __init__(self, port, tls):
        super().__init__(port, timeout=120)
        if tls:
            import http.client
            context = ssl._create_unverified_context()
            self.c = http.client.HTTPSConnection("127.0.0.1", port, timeout=120,
                                                 context=context)

    def start(self, repo, query=""):
        """Where to send the blob, as a path to which "digest=" can be added."""
        where = super().start(repo, query)
        return self.path(where)

    @staticmethod
    def path(where):
        where = re.sub(r"^https?://[^/]+", "", where)
        return where + ("&" if "?" in where else "?")

    def push_blob(self, repo, data, alg="sha256"):
        a = self("PUT", f"{self.start(repo)}digest={digest(data, alg)}", data)
        assert a.status == 201, a


def filled(content, big, then):
    """A ready= that fills the registry once it answers."""

    def probe(server):
        if not server.data.get("filled"):
            if then and not then(server):
                return False
            fill(server, content, big)
            server.data["filled"] = True
        return True

    return probe


def certificate(folder):
    os.makedirs(folder, exist_ok=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-subj", "/CN=localhost", "-days", "2", "-keyout", f"{folder}/key",
         "-out", f"{folder}/crt"], check=True, capture_output=True)
    return f"{folder}/crt", f"{folder}/key"


def registries(content, certs=None, password=False, big=False):
    """okd-regd and docker-registry, set up alike and filled alike."""
    crt, key = certs or (None, None)
    port = free_port()
    ours = okd("regd", {
        "listen": [f"127.0.0.1:{port}"],
        "tls": {"certificate": crt, "key": key} if certs else False,
        "auth": {"htpasswd": "users"} if password else False,
    }, ready=filled(content, big, None), files={"users": htpasswd(admin="admin")},
        data={"port": port, "tls": bool(certs)})
    port = free_port()
    peer = Server(
        "docker-registry", ["docker-registry", "serve", "{dir}/config.yml"],
        ready=filled(content, big, tcp_ready(port)),
        files={"users": htpasswd(admin="admin"), "config.yml": PEER.format(
            port=port, dir="{dir}",
            tls=f"  tls: {{certificate: {crt}, key: {key}}}" if certs else "",
            auth="auth: {htpasswd: {realm: x, path: {dir}/users}}" if password else "",
        )},
        version=["docker-registry", "--version"], data={"port": port, "tls": bool(certs)})
    return [ours, peer]


def nginx(content, certs=None):
    """The same bytes as plain files under the same paths."""
    port = free_port()
    tls = f"ssl; ssl_certificate {certs[0]}; ssl_certificate_key {certs[1]}" if certs else ""
    s = Server("nginx", ["/usr/sbin/nginx", "-c", "{dir}/nginx.conf", "-p", "{dir}", "-e",
                         "{dir}/error.log"], ready=tcp_ready(port),
               files={"nginx.conf": NGINX.replace("PORT", str(port)).replace("SSL", tls)},
               version=["/usr/sbin/nginx", "-v"], data={"port": port, "tls": bool(certs)})
    for path, body in ((MANIFEST, content.image.manifest), (blob_path(content.mib), content.mib),
                       (blob_path(content.big), content.big)):
        os.makedirs(os.path.dirname(f"{s.dir}/root{path}"), exist_ok=True)
        with open(f"{s.dir}/root{path}", "wb") as f:
            f.write(body)
    return s


MANIFEST = "/v2/a/b/manifests/v1"


def blob_path(data):
    return f"/v2/a/b/blobs/{digest(data)}"


def get(path, connections, scale=1):
    """Plain GETs over keep-alive; operations are replies, or GiB with a scale."""

    def load(server, opts):
        out = run_load([LOAD, str(server.data["port"]), path, str(connections),
                        str(opts.seconds)])
        return int(out.split()[0]) * scale

    return load


def get_ab(path, connections, scale=1):
    """The same through ab(1), which can say what it accepts and speak TLS; over TLS with
    a password.  docker-registry gives out no manifest without that Accept."""

    def load(server, opts):
        tls = server.data["tls"]
        out = run_load(["ab", "-q", "-k", "-H", f"Accept: {MANIFEST_TYPE}",
                        *(["-A", "admin:admin"] if tls else []), "-c", str(connections),
                        "-t", str(max(1, round(opts.seconds))), "-n", "100000000",
                        f"http{'s' if tls else ''}://127.0.0.1:{server.data['port']}{path}"])
        assert not re.search(r"Non-2xx responses:", out), out
        return int(re.search(r"Complete requests:\s+(\d+)", out)[1]) * scale

    return load


def warm_memory(folder):
    """The page cache of a virtual machine may cost more than the disk where its host has
    to find the memory first: what is written next takes what this has just given back."""
    with open(f"{folder}/warm", "wb", buffering=0) as f:
        for _ in range(700):
            f.write(bytes(MIB))
    os.unlink(f"{folder}/warm")


def push(content, chunked=False):
    """256 MiB in one request, each time as another blob; in chunks as Go's clients send a
    stream."""
    state = {"n": 0}

    def load(server, opts):
        state["n"] += 1
        data = b"%016d" % state["n"] + content.big[16:]
        warm_memory(server.dir)
        with Filler(server.data["port"], server.data["tls"]) as c:
            if server.name == "recvloop":
                a = c("POST", "/", data)
                assert a.status == 201
            else:
                a = c("PATCH", c.start("push/it"), chunks(data, 32768) if chunked else data)
                a = c("PUT", f"{c.path(a.headers['Location'])}digest={digest(data)}", b"")
                assert a.status == 201, a
        return len(data) / GIB

    return load


def printed_port(server):
    with open(server.log_path, encoding="ascii") as f:
        found = re.match(r"(\d+)\n", f.read())
    if found:
        server.data["port"] = int(found[1])
    return bool(found)


def sendloop(data):
    """A bare loop around sendfile() over the same bytes."""
    s = Server("sendloop", [SENDLOOP, "{dir}/file"], ready=printed_port)
    with open(f"{s.dir}/file", "wb") as f:
        f.write(data)
    s.data["tls"] = False
    return s


# -- what is no ratio of CPU time: walls and memory


def push_wall(content, opts):
    """A push from its first byte to its 201, beside dd to the same disk, in turns.  Both
    have all cores, write a file that was not there, and find the same memory."""
    ours = registries(content)[0]
    ours.cores = set(CORES)
    ours.start()
    data, walls = bytearray(content.big), {"okd-regd": [], "dd": []}
    try:
        for i in range(opts.rounds):
            data[:16] = b"%016d" % i
            with Filler(ours.data["port"], False) as c:
                d, where = digest(data), c.start("push/it")
                warm_memory(ours.dir)
                began = time.monotonic()
                a = c("PATCH", where, data)
                a = c("PUT", f"{c.path(a.headers['Location'])}digest={d}", b"")
                walls["okd-regd"].append(time.monotonic() - began)
                assert a.status == 201, a
            warm_memory(ours.dir)
            began = time.monotonic()
            subprocess.run(["dd", f"of={ours.dir}/dd{i}", "bs=1M", "conv=fsync", "status=none"],
                           input=data, check=True)
            walls["dd"].append(time.monotonic() - began)
    finally:
        ours.stop()
    best = {name: sorted(w)[len(w) // 2] for name, w in walls.items()}
    print(f"regd-push-wall: 256 MiB, okd-regd {best['okd-regd']:.3f} s, dd conv=fsync "
          f"{best['dd']:.3f} s: {best['dd'] / best['okd-regd']:.2f} of dd's speed "
          f"({opts.rounds} rounds, median)")


def catalog(opts, n=100000):
    """A catalog of n repositories: whole, and by pages of 100."""
    ours = registries(Content())[0].start()
    try:
        ours.process.terminate()
        ours.process.wait()
        ours.ready = tcp_ready(ours.data["port"])  # nobody hears a second READY=1
        with sqlite3.connect(f"{ours.dir}/regd.db") as db:
            db.executemany("INSERT INTO repos(name, created) VALUES(?, 0)",
                           ((f"org{i % 100}/repository{i:06}",) for i in range(n)))
        ours.start()
        whole, pages = [], []
        with Filler(ours.data["port"], False) as c:
            for _ in range(opts.rounds):
                began = time.monotonic()
                a = c("GET", "/v2/_catalog")
                whole.append(time.monotonic() - began)
                assert len(a.json()["repositories"]) >= n
            where = "/v2/_catalog?n=100"
            while where:
                began = time.monotonic()
                a = c("GET", where)
                pages.append(time.monotonic() - began)
                link = re.match("<(.*)>", a.headers["Link"] or "")
                where = link[1] if link else None
        pages.sort()
        print(f"regd-catalog: {n} repositories in {min(whole) * 1e3:.0f}.."
              f"{max(whole) * 1e3:.0f} ms; {len(pages)} pages of 100: median "
              f"{pages[len(pages) // 2] * 1e3:.2f} ms, 99 % "
              f"{pages[len(pages) * 99 // 100] * 1e3:.2f} ms, worst {pages[-1] * 1e3:.2f} ms")
    finally:
        ours.stop()


def slow_transfers(content, certs, opts):
    """Memory with 200 pulls over TLS that stand still and 100 pushes that do."""
    report = {}
    for kind, tls, pulls, pushes in (("plain", None, 200, 0), ("tls", certs, 200, 0),
                                     ("tls, and 100 pushes", certs, 200, 100)):
        ours = registries(content, tls, big=True)[0].start()
        rest, held = ours.memory(), []
        try:
            for _ in range(pulls):
                c = Filler(ours.data["port"], bool(tls))
                c.c.connect()
                c.c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
                c.c.request("GET", blob_path(content.big), headers=c.headers)
                r = c.c.getresponse()
                assert r.status == 200 and r.read(1000)
                held.append((c, r))
            for _ in range(pushes):
                c = Filler(ours.data["port"], bool(tls))
                where = c.start("slow/push")
                c.c.putrequest("PATCH", where)
                for name, value in {**c.headers, "Content-Length": 1 << 30}.items():
                    c.c.putheader(name, value)
                c.c.endheaders()
                c.c.send(content.mib)
                held.append((c, None))
            after = ours.memory()
            n = pulls + pushes
            report[kind] = ((after["rss"] - rest["rss"]) / n / 1024, after["rss"] / MIB,
                            rest["private_dirty"] / MIB)
        finally:
            for c, _ in held:
                c.c.close()
            ours.stop()
    for kind, (each, rss, dirty) in report.items():
        print(f"regd-memory {kind}: {each:.1f} KiB for each transfer, RSS {rss:.1f} MiB, "
              f"{dirty:.1f} MiB private dirty before")


def parts(content, certs, opts):
    """Name: what measures it."""

    def tls_set(big=False):
        return registries(content, certs, password=True, big=big)

    def push_cpu():
        loop = Server("recvloop", [LOOP, "{dir}/file"], ready=printed_port)
        loop.data["tls"] = False
        compare("regd-push", registries(content) + [loop], push(content), opts, unit="GiB")

    return {
        "manifest": lambda: compare(
            "regd-manifest", registries(content) + [nginx(content)],
            get_ab(MANIFEST, 32), opts, unit="request"),
        "manifest-tls": lambda: compare(
            "regd-manifest-tls-password", tls_set(), get_ab(MANIFEST, 16), opts,
            unit="request"),
        "mib": lambda: compare(
            "regd-blob-1MiB", registries(content) + [nginx(content), sendloop(content.mib)],
            get(blob_path(content.mib), 8), opts, unit="request"),
        "mib-tls": lambda: compare(
            "regd-blob-1MiB-tls", tls_set() + [nginx(content, certs)],
            get_ab(blob_path(content.mib), 4), opts, unit="request"),
        "big": lambda: compare(
            "regd-blob-256MiB", registries(content, big=True) + [nginx(content)],
            get(blob_path(content.big), 1, 0.25), opts, unit="GiB"),
        "big-tls": lambda: compare(
            "regd-blob-256MiB-tls", tls_set(big=True) + [nginx(content, certs)],
            get_ab(blob_path(content.big), 1, 0.25), opts, unit="GiB"),
        "push": push_cpu,
        "push-chunked": lambda: compare(
            "regd-push-chunked", registries(content), push(content, chunked=True), opts,
            unit="GiB"),
        "push-tls": lambda: compare(
            "regd-push-tls-password", tls_set(), push(content), opts, unit="GiB"),
        "push-wall": lambda: push_wall(content, opts),
        "catalog": lambda: catalog(opts),
        "memory": lambda: slow_transfers(content, certs, opts),
    }


def main():
    p = argparse.ArgumentParser(add_help=False)
    p.add_argument("--part", action="append")
    mine, rest = p.parse_known_args()
    opts = options(__doc__, rest)
    content = Content()
    all_ = parts(content, certificate(f"{BUILD}/bench-certs"), opts)
    unknown = set(mine.part or ()) - set(all_)
    if unknown:
        sys.exit(f"--part is one of {', '.join(all_)}")
    for name in mine.part or all_:
        all_[name]()


if __name__ == "__main__":
    sys.exit(main())
