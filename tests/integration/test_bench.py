"""The benchmark library counts the CPU time of all threads and children, and nobody
else's."""

import json
import os
import socket
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(__file__)), "bench"))
import bench  # noqa: E402

# Answers each datagram after burning the asked microseconds, in a thread or in a child.
SERVER = r"""
import os, socket, sys, threading, time
port, factor, where = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
s = socket.socket(type=socket.SOCK_DGRAM)
s.bind(("127.0.0.1", port))
def serve():
    while True:
        data, peer = s.recvfrom(100)
        end = time.thread_time_ns() + int(data) * 1000 * factor
        while time.thread_time_ns() < end:
            pass
        s.sendto(data, peer)
if where == "child":
    if os.fork() == 0:
        serve()
    os.wait()
t = threading.Thread(target=serve)
t.start()
t.join()
"""


def server(free_port, name, factor, where):
    port = free_port()
    return bench.Server(
        name, [sys.executable, "{dir}/server.py", str(port), str(factor), where],
        files={"server.py": SERVER}, ready=bench.udp_ready(port, b"0"), data={"port": port},
    )


def load(server, opts):
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.settimeout(20)
        s.connect(("127.0.0.1", server.data["port"]))
        for _ in range(20):
            s.send(b"2000")
            s.recv(100)
    return 20


@pytest.mark.parametrize("where", ["thread", "child"])
def test_ratio_follows_the_work(free_port, where, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "TOP", str(tmp_path))
    servers = [server(free_port, "ours", 1, where), server(free_port, "peer", 3, where)]
    report = bench.compare("self", servers, load, bench.options("", ["--rounds", "2"]))
    ours, peer = report["servers"]["ours"], report["servers"]["peer"]
    assert 1.9e6 < ours["cpu_per_op_ns"] < 4e6
    assert 0.25 < peer["ratio"] < 0.5
    assert ours["at_rest"]["private_dirty"] > 100000
    with open(tmp_path / "build" / "bench" / "self.json", encoding="utf-8") as f:
        assert json.load(f)["servers"]["peer"]["ratio"] == peer["ratio"]
    assert "ours/peer" in capsys.readouterr().out


def test_dead_server_is_no_result(free_port):
    s = bench.Server("dead", [sys.executable, "-c", "import sys; sys.exit('why')"])
    s.ready = lambda server: False
    with pytest.raises(RuntimeError, match="ended with 1\nwhy"):
        s.start()
    s.stop()
