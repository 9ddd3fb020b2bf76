"""A WebKit of the distribution (WebKitGTK, the engine of Safari), driven over WebDriver: Playwright drives only its own build."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

NEEDS = "no WebKit was found; on Debian: apt-get install webkit2gtk-driver xvfb"
SLOW = 300  # seconds that anything may take on a busy machine


def find_webkit():
    """The paths of the driver, the browser and the virtual display; None if one of them is missing."""
    browser = next(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"), None)
    found = shutil.which("WebKitWebDriver"), browser, shutil.which("Xvfb")
    return found if all(found) else None


@contextlib.contextmanager
def open_webkit(driver, browser, display):
    """`with open_webkit(*find_webkit()) as webkit:` a browser on a display of its own, which nobody sees."""
    reading, writing = os.pipe()
    screen = subprocess.Popen(
        [display, "-displayfd", str(writing), "-screen", "0", "1280x720x24"], pass_fds=[writing], stderr=subprocess.DEVNULL
    )
    number = os.read(reading, 16).decode().strip()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Neither graphics hardware nor the rights for its sandbox are there in a container.
    usual = {"WEBKIT_DISABLE_COMPOSITING_MODE": "1", "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1", "LIBGL_ALWAYS_SOFTWARE": "1"}
    process = subprocess.Popen([driver, f"--port={port}"], env={**os.environ, **usual, "DISPLAY": f":{number}"}, stderr=subprocess.DEVNULL)
    try:
        webkit = WebKit(f"http://127.0.0.1:{port}", browser)
        try:
            yield webkit
        finally:
            webkit.call("DELETE", "")
    finally:
        for one in (process, screen):
            one.terminate()
            one.wait()
        os.close(reading)
        os.close(writing)


class WebKit:
    """One tab."""

    def __init__(self, address, browser):
        self.address = f"{address}/session"
        options = {"webkitgtk:browserOptions": {"binary": str(browser), "args": ["--automation"]}}
        until = time.monotonic() + SLOW
        while True:
            try:
                session = self.call("POST", "", {"capabilities": {"alwaysMatch": options}})
                break
            except OSError:  # the driver does not listen yet
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
        self.address += f"/{session['sessionId']}"

    def call(self, method, path, body=None):
        """The value that the driver answers with."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=SLOW) as reply:
            return json.load(reply)["value"]

    def goto(self, address):
        self.call("POST", "/url", {"url": address})

    def evaluate(self, expression):
        return self.call("POST", "/execute/sync", {"script": f"return {expression}", "args": []})

    def press(self, selector):
        """Press a button once it can be pressed."""
        place = f"document.querySelector({json.dumps(selector)})"
        self.until(f"{place} && !{place}.disabled")
        self.evaluate(f"{place}.click()")

    def until(self, expression):
        """Wait until an expression is true; its value."""
        end = time.monotonic() + SLOW
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < end, f"{expression} did not become true"
            time.sleep(0.2)
        return value
