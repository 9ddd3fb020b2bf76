"""A Firefox of the distribution, driven over WebDriver BiDi: Playwright drives only its own build of Firefox."""

import contextlib
import itertools
import json
import subprocess
import time
from urllib.parse import urlsplit

from websockets.sync.client import connect

PREFERENCES = {  # nothing but the pages under test: no updates, no reports, no settings from elsewhere
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "datareporting.policy.dataSubmissionEnabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.enabled": False,
}
REQUESTS = ("network.beforeRequestSent", "network.responseCompleted", "network.fetchError")
SLOW = 300  # seconds that anything may take on a busy machine


@contextlib.contextmanager
def open_firefox(path, profile):
    """`with open_firefox(path, profile) as firefox:` a browser without a window, with an empty profile."""
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("".join(lines))
    command = [path, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with connect(f"{_address(process, profile)}/session", max_size=None, open_timeout=SLOW) as socket:
            yield Firefox(socket)
    finally:
        process.kill()
        process.wait()


def _address(process, profile):
    """Firefox writes the port that it has chosen into its profile."""
    until = time.monotonic() + SLOW
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            found = json.loads((profile / "WebDriverBiDiServer.json").read_text())
            return f"ws://{found['ws_host']}:{found['ws_port']}"
        time.sleep(0.1)
    raise AssertionError(f"Firefox did not start (exit status {process.poll()}); start it by hand: firefox-esr --headless")


class Firefox:
    """One tab. `errors`: what pages logged as an error or raised; `requests`: the servers that they asked; `loading`: parts of the app
    that have been requested and have not arrived."""

    def __init__(self, socket):
        self.socket, self.numbers = socket, itertools.count()
        self.errors, self.requests, self.loading = [], set(), set()
        self.call("session.new", capabilities={})
        self.call("session.subscribe", events=["log.entryAdded", *REQUESTS])
        self.tab = self.call("browsingContext.getTree")["contexts"][0]["context"]
        self.call("browsingContext.setViewport", context=self.tab, viewport={"width": 1280, "height": 720})

    def call(self, method, **params):
        """Send a command, and return its result; events that arrive before it are kept."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while (message := json.loads(self.socket.recv(timeout=SLOW))).get("id") != number:
            self._keep(message)
        assert message["type"] == "success", message
        return message["result"]

    def _keep(self, message):
        if message.get("method") == "log.entryAdded" and message["params"]["level"] == "error":
            self.errors.append(message["params"]["text"])
        elif message.get("method") in REQUESTS:
            request = message["params"]["request"]
            url = urlsplit(request["url"])
            if message["method"] != "network.beforeRequestSent":
                self.loading.discard(request["request"])
            elif url.scheme not in ("data", "blob"):
                self.requests.add(url.netloc)
                if url.path.startswith("/static/"):
                    self.loading.add(request["request"])

    def goto(self, address):
        self.call("browsingContext.navigate", context=self.tab, url=address, wait="interactive")

    def wait_for_parts(self):
        """Until every part of the app that the page asked for has arrived, for a second: one that is left before logs an error."""
        arrived = time.monotonic()
        until = arrived + SLOW
        while time.monotonic() < arrived + 1:
            self.evaluate("1")  # with which the events arrive
            if self.loading:
                arrived = time.monotonic()
                assert arrived < until, "a part of the app did not arrive"
            time.sleep(0.1)

    def evaluate(self, expression):
        """The value of a JavaScript expression, by way of JSON."""
        expression = f"JSON.stringify({expression})"
        result = self.call("script.evaluate", expression=expression, target={"context": self.tab}, awaitPromise=False)
        assert result["type"] == "success", result
        return json.loads(result["result"].get("value", "null"))

    def until(self, expression):
        """Wait until the expression is true; returns its value."""
        until = time.monotonic() + SLOW
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < until, f"never true: {expression}; the page shows: {self.evaluate('document.body.innerText')[:1000]}"
            time.sleep(0.1)
        return value

    def press(self, selector):
        """Press an element with the mouse, once it has stopped moving; again if it was moved away under the press and got none."""
        place = f"document.querySelector({json.dumps(selector)})"
        self.until(f"{place} && !{place}.disabled")
        noted = f"({{target}}) => document.pressed ||= !!{place}?.contains(target)"
        self.evaluate(f"document.pressed = false, document.addEventListener('click', {noted}, true)")
        until = time.monotonic() + SLOW
        while not self.evaluate("document.pressed"):
            assert time.monotonic() < until, f"{selector} gets no press"
            box = f"({place}.scrollIntoView({{block: 'center'}}), {place}.getBoundingClientRect())"
            still, before = self.evaluate(box), None
            while still != before:
                time.sleep(0.2)
                still, before = self.evaluate(box), still
            x, y = (round(still[side] + still[size] / 2) for side, size in (("x", "width"), ("y", "height")))
            move, down, up = (
                {"type": "pointerMove", "x": x, "y": y},
                {"type": "pointerDown", "button": 0},
                {"type": "pointerUp", "button": 0},
            )
            self.call("input.performActions", context=self.tab, actions=[{"type": "pointer", "id": "mouse", "actions": [move, down, up]}])
