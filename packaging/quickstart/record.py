#!/usr/bin/python3
"""Records the demonstration: record.py [--port NAME=NUMBER]... FOLDER

Runs runner.py on a terminal, as a person would, and writes into FOLDER what there was to
see: status-watch.txt, some screens of "okdctl status --watch"; status-watch.svg, the same as
moving pictures; page-ignd.png, page-lbd.png and page-regd.png, what a browser shows after
the install (with chromium).
"""

import argparse
import base64
import fcntl
import html
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import tempfile
import termios

import mock
import runner

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS, COLUMNS = 60, 132
SECONDS = 2.5  # a picture
COLORS = {"32": "#3fb950", "33": "#d29922", "31;1": "#f85149", "1": "#ffffff", "2": "#8b949e"}
DONE = "The scripted install is complete"


def run_on_terminal(argv):
    """Everything that comes out, until the install is complete; the process goes on."""
    pid, master = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, os.path.join(HERE, "runner.py"), *argv])
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", ROWS, COLUMNS, 0, 0))
    out = ""
    while DONE not in out:
        try:
            out += os.read(master, 65536).decode(errors="replace")
        except OSError:
            sys.exit(f"the demonstration ended early:\n{out[-3000:]}")
    return pid, master, out


def screens(out):
    """The screens that status --watch drew, each a list of lines, without repetition."""
    frames = []
    for piece in out.split("\033[H")[1:]:
        if "\033[J" not in piece:
            continue
        lines = piece.split("\033[J")[0].replace("\033[K", "").replace("\r", "").split("\n")
        frames.append([x.rstrip() for x in lines])
    return frames


def plain(line):
    return re.sub(r"\033\[[\d;]*m", "", line)


def nodes(frame):
    """What tells two screens apart for a reader: the install's state and the nodes."""
    text = "\n".join(plain(x) for x in frame)
    kept = re.search(r"^Nodes\n(.*?)\n\n", text, re.M | re.S)
    state = re.search(r"^Install\n  (\w+)", text, re.M)
    rows = re.sub(r"\d+ %|[\d.]+ .iB/s", "some %", kept.group(1)) if kept else ""
    return (state.group(1) if state else "", rows)


def chosen(frames):
    """The last screen of each step."""
    out = []
    for frame in frames:
        if out and nodes(out[-1]) == nodes(frame):
            out[-1] = frame
        else:
            out.append(frame)
    return out


def spans(line):
    """A line as SVG text with its colours."""
    out, color = [], None
    for piece in re.split(r"(\033\[[\d;]*m)", line):
        if piece.startswith("\033["):
            color = COLORS.get(piece[2:-1])
        elif piece:
            fill = f' fill="{color}"' if color else ""
            out.append(f"<tspan{fill}>{html.escape(piece)}</tspan>")
    return "".join(out)


def svg(frames):
    width = 8.4 * max(len(plain(x)) for f in frames for x in f) + 24
    height = 17 * max(len(f) for f in frames) + 24
    total = SECONDS * len(frames)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}">',
           "<style>text{font:14px monospace;white-space:pre;fill:#c9d1d9}",
           f".f{{visibility:hidden;animation:s {total}s linear infinite}}",
           f"@keyframes s{{0%{{visibility:visible}}{100 / len(frames):.3f}%"
           "{visibility:hidden}}</style>",
           '<rect width="100%" height="100%" rx="8" fill="#0d1117"/>']
    for i, frame in enumerate(frames):
        out.append(f'<g class="f" style="animation-delay:{i * SECONDS:.1f}s">')
        for y, line in enumerate(frame):
            if line:
                out.append(f'<text xml:space="preserve" x="12" y="{28 + 17 * y}">'
                           f"{spans(line)}</text>")
        out.append("</g>")
    out.append("</svg>\n")
    return "\n".join(out)


def photograph(url, path):
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             "--ignore-certificate-errors", f"--user-data-dir={profile}",
             "--window-size=1700,720", "--timeout=3000", f"--screenshot={path}", url],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)


def main():
    p = argparse.ArgumentParser(description="Records the demonstration.")
    p.add_argument("--port", action="append", default=[])
    p.add_argument("--state", default=os.path.join(mock.TOP, "build", "record"))
    p.add_argument("folder")
    options = p.parse_args()
    more = [f"--port={x}" for x in options.port] + [f"--state={options.state}"]
    runner.arguments(more)  # the ports, as the runner takes them
    pid, master, out = run_on_terminal(more)
    frames = chosen(screens(out))
    with open(os.path.join(options.folder, "status-watch.txt"), "w", encoding="utf-8") as f:
        for i, frame in enumerate(frames):
            f.write(f"----- screen {i + 1} of {len(frames)}\n\n")
            f.write("\n".join(plain(x).rstrip() for x in frame).strip("\n") + "\n\n")
    with open(os.path.join(options.folder, "status-watch.svg"), "w", encoding="utf-8") as f:
        f.write(svg(frames))
    with open(os.path.join(options.state, "etc", "pull-secret.json"), encoding="utf-8") as f:
        auth = next(iter(json.load(f)["auths"].values()))["auth"]
    user = base64.b64decode(auth).decode()
    ports = runner.PORTS
    for name, url in (("ignd", f"http://127.0.0.1:{ports['images']}/"),
                      ("lbd", f"http://127.0.0.1:{ports['stats']}/"),
                      ("regd", f"https://{user}@127.0.0.1:{ports['registry']}/")):
        photograph(url, os.path.join(os.path.abspath(options.folder), f"page-{name}.png"))
    os.kill(pid, signal.SIGINT)
    while True:
        try:
            if not os.read(master, 65536):
                break
        except OSError:
            break
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
