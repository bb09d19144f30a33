"""Chromium of the distribution, without a window, steered over a pipe (the DevTools
protocol): what a page looks like, and what its scripts make of it.

    with Chromium(folder) as c:
        c.open(url)
        c.until("document.title === 'x'")
        c.screenshot("page.png", width=1280, height=800, dark=True)
"""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time

import pytest

from harness import wait_until
from variant import SLOW

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")


class Refused(AssertionError):
    """The browser did not do what it was told, which a page that is just being loaded
    again may be the reason of."""


class Chromium:
    def __init__(self, folder):
        if not PROGRAM:
            pytest.skip("chromium is not installed")
        to_read, self.to = os.pipe()
        self.back, back_write = os.pipe()
        self.buffer, self.last = b"", 0

        def place():
            # The browser reads commands from 3 and answers on 4.
            os.dup2(to_read, 103)
            os.dup2(back_write, 104)
            os.dup2(103, 3)
            os.dup2(104, 4)

        # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
        self.process = subprocess.Popen(
            [PROGRAM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-dev-shm-usage", f"--user-data-dir={folder}/chromium",
             "--remote-debugging-pipe", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            close_fds=False, preexec_fn=place, env={**os.environ, "HOME": str(folder)})
        os.close(to_read)
        os.close(back_write)
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target,
                                 flatten=True)["sessionId"]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait(20)
        os.close(self.to)
        os.close(self.back)

    def receive(self, deadline):
        while b"\0" not in self.buffer:
            left = deadline - time.monotonic()
            assert left > 0 and select.select([self.back], [], [], left)[0], "chromium is silent"
            chunk = os.read(self.back, 1 << 20)
            assert chunk, "chromium has ended"
            self.buffer += chunk
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **params):
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 40 * SLOW
        while (answer := self.receive(deadline)).get("id") != self.last:
            pass  # an event
        if "error" in answer:
            raise Refused(answer)
        return answer["result"]

    def open(self, url):
        assert "errorText" not in self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def value(self, expression):
        r = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in r:
            raise Refused(r)
        return r["result"].get("value")

    def until(self, expression, timeout=20):
        def holds():
            with contextlib.suppress(Refused):
                return self.value(expression)
            return None

        return wait_until(holds, timeout * SLOW, expression)

    def look(self, width, height=800, dark=False):
        """The window's size, and what the reader likes."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def without_scripts(self):
        self.call("Emulation.setScriptExecutionDisabled", value=True)

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as f:
            f.write(base64.b64decode(data))
        return path
