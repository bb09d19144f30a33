#!/usr/bin/python3
"""load_http.py URL [AUTHORIZATION]: asks for URL until TERM, on connections of one request
each and on some that are kept; then prints a count of what happened as JSON.  Prints
"asking" once the first answer is there.

refused: nobody accepted.  cut: a connection ended within an answer, or before one that was
asked for on a connection of its own.  closed: a kept connection was ended between two
requests, as HTTP allows; the request is asked again."""

import http.client
import json
import signal
import ssl
import sys
import threading
import time
import urllib.parse

FRESH, KEPT = 3, 3
PATIENCE = 15.0


class Load:
    def __init__(self, url, authorization=None):
        self.url = urllib.parse.urlsplit(url)
        self.headers = {"Authorization": authorization} if authorization else {}
        self.context = ssl.create_default_context()
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.count = {"answered": 0, "refused": 0, "cut": 0, "closed": 0, "wrong": 0,
                      "slowest_ms": 0.0, "why": []}

    def add(self, what, why=None):
        with self.lock:
            self.count[what] += 1
            if why and len(self.count["why"]) < 5:
                self.count["why"].append(why)
            if what == "answered" and self.count["answered"] == 1:
                print("asking", flush=True)

    def connect(self):
        host, port = self.url.hostname, self.url.port
        if self.url.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=PATIENCE,
                                               context=self.context)
        return http.client.HTTPConnection(host, port, timeout=PATIENCE)

    def ask(self, connection):
        """True when the connection may be used again."""
        begin = time.monotonic()
        connection.request("GET", self.url.path, headers=self.headers)
        reply = connection.getresponse()
        body = reply.read()
        waited = 1000 * (time.monotonic() - begin)
        with self.lock:
            self.count["slowest_ms"] = round(max(self.count["slowest_ms"], waited), 1)
        if reply.status == 200 and len(body) == int(reply.headers.get("Content-Length", len(body))):
            self.add("answered")
        else:
            self.add("wrong", f"status {reply.status}")
        return not reply.will_close

    def work(self, kept):
        connection, used = None, False
        while not self.stop.is_set():
            try:
                if connection is None:
                    connection, used = self.connect(), False
                    connection.connect()
                again = self.ask(connection)
                used = True
                if not (kept and again):
                    connection.close()
                    connection = None
            except ConnectionRefusedError:
                self.add("refused")
                connection = None
            except (OSError, http.client.HTTPException) as e:
                gone = isinstance(e, (http.client.RemoteDisconnected, BrokenPipeError,
                                      ConnectionResetError, ssl.SSLEOFError))
                self.add("closed" if used and gone else "cut", f"{type(e).__name__}: {e}")
                connection = None

    def run(self):
        signal.signal(signal.SIGTERM, lambda *_: self.stop.set())
        threads = [threading.Thread(target=self.work, args=(i >= FRESH,))
                   for i in range(FRESH + KEPT)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        print(json.dumps(self.count), flush=True)


Load(*sys.argv[1:]).run()
