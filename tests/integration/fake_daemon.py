"""A daemon as the harness expects one, for the harness's own tests.  FAKE names a fault:
early exits at start, mute never gets ready, leak keeps a descriptor per HUP, dirty ends
with 3, sanitizer writes what ASan would, hang ignores TERM."""

import array
import http.server
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading

FAULT = os.environ.get("FAKE", "")
RUNTIME = os.environ["RUNTIME_DIRECTORY"]
kept = []
wake_r, wake_w = os.pipe()


def notify(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        address = os.environ["NOTIFY_SOCKET"]
        s.connect("\0" + address[1:] if address.startswith("@") else address)
        r, w = os.pipe()  # with a descriptor, as sd_notify_barrier() does
        fds = array.array("i", [w])
        s.sendmsg([text.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        os.close(r)
        os.close(w)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"okd_fake_up 1\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "unix"

    def log_message(self, fmt, *args):
        print(fmt % args, file=sys.stderr, flush=True)


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def serve():
    path = os.path.join(RUNTIME, "admin.sock")
    if os.path.exists(path):
        os.unlink(path)
    threading.Thread(target=Server(path, Handler).serve_forever, daemon=True).start()


def on_term():
    if FAULT == "hang":
        return True
    if FAULT == "sanitizer":
        print("==1==ERROR: LeakSanitizer: detected memory leaks", file=sys.stderr, flush=True)
    notify("STOPPING=1")
    sys.stderr.flush()
    os._exit(3 if FAULT == "dirty" else 0)


def on_hup():
    notify("RELOADING=1\nMONOTONIC_USEC=1")
    if FAULT == "leak":
        kept.append(os.dup(0))
    print("fake: reloaded", file=sys.stderr, flush=True)
    notify("READY=1")


def on_usr2():
    child = subprocess.Popen([sys.executable] + sys.argv)
    notify(f"MAINPID={child.pid}")
    os._exit(0)


def main():
    with open(sys.argv[sys.argv.index("-c") + 1], encoding="utf-8") as f:
        config = f.read()
    if FAULT == "early" or "bad" in config:
        path = sys.argv[sys.argv.index("-c") + 1]
        print(f"{path}:1:1: bad", file=sys.stderr)
        return 78
    for signo in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(signo, lambda signo, frame: None)
    os.set_blocking(wake_w, False)
    signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
    serve()
    print("fake: started", file=sys.stderr, flush=True)
    if "FAKE_SAYS_PID" in os.environ:
        print(f"fake: pid {os.getpid()}", file=sys.stderr, flush=True)
    if FAULT != "mute":
        notify("READY=1\nSTATUS=up")
    actions = {signal.SIGTERM: on_term, signal.SIGHUP: on_hup, signal.SIGUSR2: on_usr2}
    while True:
        for signo in os.read(wake_r, 64):
            actions[signo]()


sys.exit(main())
