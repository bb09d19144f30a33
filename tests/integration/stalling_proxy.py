"""A TCP proxy that can stop forwarding without closing anything, as a network that has lost
its way does; what was sent meanwhile arrives once it goes on."""

import contextlib
import socket
import threading

HOST = "127.0.0.1"


class StallingProxy:
    """url leads to the port of this host that it stands before."""

    def __init__(self, port):
        self.target = port
        self.flowing = threading.Event()
        self.flowing.set()
        self.open = True
        self.sockets = []
        self.server = socket.create_server((HOST, 0))
        self.url = f"http://{HOST}:{self.server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def stall(self):
        self.flowing.clear()

    def go_on(self):
        self.flowing.set()

    def _accept(self):
        with contextlib.suppress(OSError):
            while self.open:
                client, _ = self.server.accept()
                self.sockets.append(client)
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client):
        self.flowing.wait()
        try:
            server = socket.create_connection((HOST, self.target))
        except OSError:
            client.close()
            return
        self.sockets.append(server)
        threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
        self._pump(server, client)

    def _pump(self, source, to):
        """What is read while it stalls is held back."""
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.flowing.wait()
                to.sendall(data)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR)

    def close(self):
        self.open = False
        self.flowing.set()
        for s in (self.server, *self.sockets):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()
