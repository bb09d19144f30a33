"""A daemon's admin socket that says what it is told to, for tests of okdctl."""

import http.server
import json
import os
import socket
import threading


class StandIn:
    """Answers a path (without its query) from a table, other paths with default, or 404.
    Bytes and texts go out as they are, the rest as JSON; asked are the requests that came."""

    def __init__(self, run_dir, name, answers, default=None):
        folder = run_dir / f"okd-{name}"
        folder.mkdir()
        asked = self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(f"{self.command} {self.path}")
                body = answers.get(self.path.split("?")[0], default)
                if isinstance(body, str):
                    body = body.encode()
                elif body is not None and not isinstance(body, bytes):
                    body = json.dumps(body).encode()
                self.send_response(200 if body is not None else 404)
                self.end_headers()
                self.wfile.write(body or b"")

            do_POST = do_GET

            def address_string(self):
                return "unix"

            def log_message(self, *args):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler, False)
        self.server.socket.close()
        self.server.socket = socket.socket(socket.AF_UNIX)
        self.server.socket.bind(str(folder / "admin.sock"))
        self.server.socket.listen()
        self.server.handle_error = lambda *args: None  # the client has seen enough
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()


def stand_in(run_dir, name, config="", **status):
    """A daemon that is well but for what status says."""
    return StandIn(run_dir, name, {
        "/config": config,
        "/status": {"name": f"okd-{name}", "version": "0.1.0", "pid": os.getpid(), "ready": True,
                    "reasons": [], "config": {"error": None}, name: {}, **status}})
