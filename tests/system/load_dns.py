#!/usr/bin/python3
"""load_dns.py SERVER NAME: asks for NAME from many sockets, one query in flight on each, until
TERM; then prints {"sent", "answered", "lost", "wrong", "slowest_ms"} as JSON.  Prints
"asking" once the first answer is there.  A query without an answer for five seconds is
lost."""

import json
import select
import signal
import socket
import struct
import sys
import time

SOCKETS, PATIENCE = 32, 5.0


def question(qid, name):
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
    return struct.pack(">6H", qid, 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


def main(server, name):
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    count = {"sent": 0, "answered": 0, "lost": 0, "wrong": 0, "slowest_ms": 0.0}
    asked, poll = {}, select.poll()
    socks = {}

    def ask(s, qid):
        s.send(question(qid, name))
        asked[s.fileno()] = (qid, time.monotonic())
        count["sent"] += 1

    for i in range(SOCKETS):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.connect((server, 53))
        socks[s.fileno()] = s
        poll.register(s, select.POLLIN)
        ask(s, i)
    while asked:
        for fd, _ in poll.poll(100):
            s = socks[fd]
            try:
                reply = s.recv(4096)
            except OSError:
                # Refused: nobody listened.  The query is gone.
                reply = None
            qid, when = asked.pop(fd)
            if reply is None:
                count["lost"] += 1
            else:
                good = reply[:2] == struct.pack(">H", qid) and reply[3] & 15 == 0
                count["answered" if good else "wrong"] += 1
                waited = 1000 * (time.monotonic() - when)
                count["slowest_ms"] = round(max(count["slowest_ms"], waited), 1)
            if count["answered"] == 1:
                print("asking", flush=True)
            if not stop:
                ask(s, (qid + SOCKETS) & 0xFFFF)
        late = time.monotonic() - PATIENCE
        for fd in [fd for fd, (_, when) in asked.items() if when < late]:
            qid, _ = asked.pop(fd)
            count["lost"] += 1
            if not stop:
                ask(socks[fd], (qid + SOCKETS) & 0xFFFF)
    print(json.dumps(count), flush=True)


main(*sys.argv[1:])
