"""Fixtures for tests of pages in a browser: a Chromium, a Firefox, and Streamlit servers."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from firefox import open_firefox
from playwright.sync_api import Error, expect, sync_playwright

ROOT = Path(__file__).parents[1]
MOVED = {"map": "sweep", "microscope": "soft_targets", "trust": "calibration"}  # former addresses
PAGES = sorted({path.stem for path in (ROOT / "pages").glob("*.py")} - set(MOVED))
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


expect.set_options(timeout=60_000)  # a shared machine may be slow; what never comes still fails


def chromium_path():
    """A browser that is installed, or None for Playwright's own."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        except Error as error:
            pytest.fail(
                f"no Chromium could be started ({str(error).splitlines()[0]}); install one: apt-get install chromium, "
                "or .venv/bin/python -m playwright install --with-deps chromium",
                pytrace=False,
            )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def firefox(tmp_path_factory):
    path = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
    if path is None:
        pytest.fail("no Firefox was found; install one: apt-get install firefox-esr", pytrace=False)
    with open_firefox(path, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def new_page(browser):
    """Opens pages, each in a context of its own (another person's browser) unless one is given."""
    contexts = []

    def open_page(address, *, context=None, **options):
        if context is None:
            context = browser.new_context(**{"viewport": {"width": 1280, "height": 720}, **options})
            contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(90_000)
        page.goto(address)
        page.locator("[data-testid='stApp'][data-test-connection-state='CONNECTED']").wait_for(state="attached", timeout=90_000)
        return page

    yield open_page
    for context in contexts:
        context.close()


def settled(page):
    """Wait until the script of the page has ended, and its style sheet, which Streamlit fetches the code for, is there."""
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_be_attached(timeout=90_000)
    page.wait_for_function("[...document.querySelectorAll('style')].some((style) => style.textContent.includes('stCaptionContainer'))")


def open_page_from_menu(page, group, name):
    """Open a page by the drop-down menu of its group, at the top of a wide window."""
    page.get_by_test_id("stTopNavSection").get_by_text(group, exact=True).click()
    page.get_by_role("menuitem", name=name, exact=True).click()


@pytest.fixture
def watched(browser, new_page):
    """Opens pages as `new_page` does; at the end none of them may have logged an error or requested anything elsewhere."""
    contexts, errors, elsewhere = [], [], set()

    def on_console(message):
        place = message.location.get("url", "")
        if message.type == "error" and "/_stcore/" not in place:  # under a deep link Streamlit looks for its server in two places
            errors.append(f"{message.text} ({place})")

    def on_request(request):
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            elsewhere.add(request.url)

    def open_page(address, *, context=None, **options):
        if context is None:
            context = browser.new_context(**{"viewport": {"width": 1280, "height": 720}, **options})
            contexts.append(context)
            context.on("console", on_console)
            context.on("weberror", lambda error: errors.append(str(error.error)))
            context.on("request", on_request)
        return new_page(address, context=context)

    yield open_page
    for context in contexts:
        context.close()
    assert errors == [] and elsewhere == set()


class Server:
    """A Streamlit server with the repository's settings, in a session of its own; `script` is a script's path."""

    def __init__(self, script, log, *, port=None, **environment):
        self.port = port or free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.log = log
        if "DISTILL_HOME" in environment:
            share_cache(Path(environment["DISTILL_HOME"]))
        command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless", "true", "--server.port", str(self.port)]
        with log.open("a") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT if script.is_relative_to(ROOT) else script.parent,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self):
        """Until it answers."""
        until = time.monotonic() + 60
        while time.monotonic() < until and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=1).close()
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
            else:
                return self
        return pytest.fail(f"the server did not come up:\n{self.log.read_text()}", pytrace=False)

    def stop(self, sign=signal.SIGTERM):
        """End it, and after ten seconds by force."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, sign)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def share_cache(home):
    """Give a DISTILL_HOME the cache of this process: what can be computed again is computed once for all its servers."""
    cache = Path(os.environ["DISTILL_HOME"]) / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "cache").exists():
        (home / "cache").symlink_to(cache)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """Serves a Streamlit script (its text, or the path of one) with the repository's settings; gives its address."""
    servers = []

    def start(script, **environment):
        if not isinstance(script, Path):
            folder = tmp_path_factory.mktemp("app")
            shutil.copytree(ROOT / ".streamlit", folder / ".streamlit")
            (folder / "app.py").write_text(script)
            script = folder / "app.py"
        servers.append(Server(script, tmp_path_factory.mktemp("log") / "server.txt", **environment))
        return servers[-1].wait().address

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def lab_server(tmp_path):
    """`lab_server()` starts the lab on a fresh server with this test's own DISTILL_HOME; `script` and `port` may be chosen."""
    servers = []

    def start(*, port=None, script="app.py"):
        servers.append(Server(ROOT / script, tmp_path / "server.txt", port=port, DISTILL_HOME=str(tmp_path / "home")))
        return servers[-1].wait()

    yield start
    for server in servers:
        server.stop()


class OpenLab:
    """The lab on a server that is open to the network; its processes record to whom they connect."""

    def __init__(self, folder):
        self.folder = folder
        environment = {
            "DISTILL_HOME": str(folder / "home"),
            "DISTILL_HOSTS": "lab.example, Other.Example",
            "PYTHONPATH": os.pathsep.join((str(ROOT / "tests" / "recorder"), str(ROOT))),
            "RECORD_CONNECTIONS": str(folder / "connections.txt"),
            "STREAMLIT_SERVER_ADDRESS": "0.0.0.0",
        }
        self.server = Server(ROOT / "pages" / "server" / "serve.py", folder / "server.txt", **environment).wait()
        self.address, self.port = self.server.address, self.server.port

    def printed(self):
        """What the server has printed."""
        return self.server.log.read_text()

    def connections(self):
        """`(process, event, kind, address)` of every connection and of every name that was looked up, so far."""
        return [json.loads(line) for line in (self.folder / "connections.txt").read_text().splitlines()]


@pytest.fixture(scope="session")
def open_lab(tmp_path_factory):
    """One lab for the tests of other browsers, of the network and of accessibility: they start no server of their own."""
    lab = OpenLab(tmp_path_factory.mktemp("open_lab"))
    yield lab
    lab.server.stop()
