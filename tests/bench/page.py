"""The delays that a learner notices: the first page, the first point of a curve, each new point, Stop. A real server and Chromium."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from browser_fixtures import FLAGS, chromium_path, free_port, open_page_from_menu
from playwright.sync_api import Browser, Page, sync_playwright

from distill_core.experiment import Experiment
from distill_core.runs.engine import Engine
from distill_core.runs.store import Store
from tests.bench.measure import Figure

ROOT = Path(__file__).resolve().parents[2]

STARTS, SUBMITS, RACES, SWEEPS, OPENINGS, STROKES, FRAMES = 3, 20, 10, 3, 10, 30, 300
WAIT = 120_000  # ms, the limit of every wait; not part of a measurement

# Records, in the page, the time of each click and the time at which a chart with a given epoch was painted (after its frame).
WATCH = """
window.presses = []; window.paints = [];
const now = () => (performance.timeOrigin + performance.now()) / 1000;
document.addEventListener("click", () => window.presses.push(now()), true);
const mark = performance.mark.bind(performance);
performance.mark = (name, options) => {
  const made = mark(name, options);
  if (name === "chart-painted" && options.detail.key.endsWith("test_accuracy")) {
    const line = document.querySelector(`.st-key-${options.detail.key} .js-plotly-plot`)
      .data.find((trace) => trace.uid === "student test_accuracy");
    const epoch = line?.x?.length ? line.x[line.x.length - 1] : -1;
    requestAnimationFrame(() => setTimeout(() => window.paints.push([now(), epoch])));
  }
  return made;
};
window.barsSince = (began) => new Promise((done) => {
  const inside = () => [...document.querySelectorAll(".st-key-soft_targets_bars *")].find((e) => e.shadowRoot)?.shadowRoot;
  const check = () => inside()?.querySelector(".percent")?.textContent
    ? requestAnimationFrame(() => setTimeout(() => done(performance.now() - began))) : requestAnimationFrame(check);
  check();
});
window.shows = (word) => new Promise((done) => {
  const check = () => [...document.querySelectorAll("[data-testid=stMarkdownContainer]")].some((e) => e.textContent.includes(word))
    ? setTimeout(() => done(now())) : requestAnimationFrame(check);
  check();
});
"""

# Records the time of each message of the server (one for all messages of a tick), and the time and epoch of each paint of
# the sweep.
WATCH_SWEEP = """
window.ticks = []; window.paints = [];
const now = () => (performance.timeOrigin + performance.now()) / 1000;
const mark = performance.mark.bind(performance);
performance.mark = (name, options) => {
  const made = mark(name, options);
  if (name === "chart-painted" && options.detail.key.startsWith("sweep_heatmap_")) {
    const { cells } = document.querySelector(".live-chart.with-detail").chart.details.details;
    const epoch = Math.min(...cells.map(({ lines }) => lines.student[0].at(-1) ?? -1));
    requestAnimationFrame(() => setTimeout(() => window.paints.push([now(), epoch])));
  }
  return made;
};
let last = 0;
window.WebSocket = class extends window.WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", () => { if (now() - last > 0.15) window.ticks.push(now()); last = now(); });
  }
};
"""


# Milliseconds from frame to frame, while T is dragged in each of them or in none.
DRAG = """async ([dragging, frames]) => {
  const inside = [...document.querySelectorAll(".st-key-soft_targets_bars *")];
  const slider = inside.map((e) => e.shadowRoot?.querySelector("input")).find(Boolean);
  const gaps = [], middle = (Number(slider.min) + Number(slider.max)) / 2, reach = (slider.max - slider.min) / 3;
  let last;
  await new Promise((done) => {
    const frame = (now) => {
      if (last) gaps.push(now - last);
      last = now;
      if (dragging) {
        slider.value = middle + reach * Math.sin(gaps.length / 10);
        slider.dispatchEvent(new Event("input", { bubbles: true }));
      }
      gaps.length < frames ? requestAnimationFrame(frame) : done();
    };
    requestAnimationFrame(frame);
  });
  return gaps;
}"""

# Records the time from each pen-up until the changed bars were painted.
PREDICTIONS = """() => {
  const inside = (key, kind) => [...document.querySelectorAll(`.st-key-${key} *`)]
    .map((e) => e.shadowRoot?.querySelector(kind)).find(Boolean);
  window.took = [];
  let up;
  inside("draw_pad", "canvas").addEventListener("pointerup", () => { up = performance.now(); }, { capture: true });
  new MutationObserver(() => {
    if (up === undefined) return;
    const began = up;
    up = undefined;
    requestAnimationFrame(() => requestAnimationFrame(() => window.took.push(performance.now() - began)));
  }).observe(inside("draw_bars", ".rows"), { subtree: true, childList: true, attributes: true, characterData: true });
}"""


def run() -> Iterator[Figure]:
    """All delays, with their goals."""
    yield first_record()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS)
        yield start_of_the_lab(browser)
        yield from races(browser)
        yield from sweeps(browser)
        yield from openings(browser)
        yield from gestures(browser)
        browser.close()


def first_record() -> Figure:
    """From `submit` to the first record in the store, on warm workers."""
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(Store(Path(folder) / "lab.sqlite")).start()
        try:
            until(lambda: engine.state().name == "ready")
            waits = []
            for seed in range(SUBMITS):
                started = time.perf_counter()
                run_id, _ = engine.submit([Experiment(images=200, epochs=5, seed=seed)])
                until(lambda run_id=run_id: engine.store.records(run_id), pause=0.002)
                waits.append(time.perf_counter() - started)
                until(lambda run_id=run_id: not engine.store.get(run_id).active)
        finally:
            engine.shutdown()
    return Figure("from submit to the first record in the store", [1000 * wait for wait in waits], "ms", "at most 1000")


def start_of_the_lab(browser: Browser) -> Figure:
    """From `make run` on an installed environment to a first page that moves and whose button is enabled."""
    waits = []
    for _ in range(STARTS):
        started = time.perf_counter()
        with served() as (address, _):
            page = browser.new_page()
            page.goto(address)
            page.locator(".soft-targets .percent").first.wait_for(timeout=WAIT)
            page.get_by_role("button", name="Start the race").wait_for(timeout=WAIT)
            waits.append(time.perf_counter() - started)
            page.close()
    return Figure("from `make run` to a usable first page", waits, "s", "at most 8")


def races(browser: Browser) -> Iterator[Figure]:
    """Races on the race page, each in a new browser with an empty cache."""
    first, paints, stops = [], [], []
    with served() as (address, home):
        with raced(browser, f"{address}/race?epochs=3&images=100") as page:  # warms up the workers
            page.evaluate("shows('finished:')")
        for number in range(RACES):
            choices = f"epochs=400&images=500&batch_size=16&temperature={4 + (number + 1) / 100}"
            with arrivals(home / "lab.sqlite") as stored, raced(browser, f"{address}/race?{choices}") as page:
                time.sleep(3)
                press(page, "stop")
                stopped = page.evaluate("shows('stopped')")
                train, stop = page.evaluate("presses")
                painted = [tuple(paint) for paint in page.evaluate("paints")]
            first.append(next(moment for moment, epoch in painted if moment > train and epoch >= 0) - train)
            paints += delays([arrival for arrival in stored if train < arrival[0] < stop], painted)
            stops.append(stopped - stop)
    yield Figure("from Train to the first painted point", first, "s", "at most 1")
    yield Figure("from a new record in the store to its paint", [1000 * wait for wait in paints], "ms", "at most 100")
    yield Figure("from Stop to its being shown", stops, "s", "at most 0.5")


def sweeps(browser: Browser) -> Iterator[Figure]:
    """A sweep of 40 cells and three seeds on MNIST, on all cores, while its page updates twice a second."""
    ticks, waits = [], []
    with served() as (address, home):
        for number in range(SWEEPS):
            context = browser.new_context(viewport={"width": 1280, "height": 720})
            page = context.new_page()
            page.add_init_script(WATCH_SWEEP)
            page.goto(f"{address}/sweep?dataset=mnist&images=1000&epochs=100&seeds=3&learning_rate={0.01 + (number + 1) / 10_000:g}")
            press(page, "sweep_train")
            page.locator(".live-chart.with-detail .js-plotly-plot").first.wait_for(timeout=WAIT)
            with arrivals(home / "lab.sqlite") as stored:
                page.wait_for_timeout(2000)  # until the first steps are done
                started = time.time()
                page.wait_for_timeout(20_000)
                ended = time.time()
                page.wait_for_timeout(2000)  # for what was stored at the end
            tick_times = [moment for moment in page.evaluate("ticks") if started < moment < ended]
            ticks += [after - before for before, after in itertools.pairwise(tick_times)]
            painted = [tuple(paint) for paint in page.evaluate("paints")]
            waits += delays([arrival for arrival in stored if started < arrival[0] < ended], painted)
            press(page, "sweep_stop")
            page.wait_for_timeout(1000)
            context.close()
    yield Figure("sweep of 40 cells x 3 seeds: from update to update", ticks, "s", "at most 0.55")
    yield Figure(f"the same: updates missed, of {len(ticks)}", [sum(max(0, round(2 * tick) - 1) for tick in ticks)], "", "at most 0")
    yield Figure("the same: from new cells in the store to their paint", [1000 * wait for wait in waits], "ms", "at most 600")


def openings(browser: Browser) -> Iterator[Figure]:
    """The page Soft targets on MNIST, with its data loaded: by a click in an open page, and by a link in a new browser."""
    clicked, loaded = [], []
    with served() as (address, _):
        for number in range(OPENINGS + 1):
            with opened(browser, f"{address}/soft_targets") as page:
                loaded.append(page.evaluate("barsSince(0)"))
            with opened(browser, address) as page:
                page.get_by_role("button", name="Start the race").wait_for(timeout=WAIT)
                page.wait_for_timeout(2000)  # as a person, who does not press at once
                page.evaluate("addEventListener('click', () => { window.shown = barsSince(performance.now()) }, { capture: true })")
                open_page_from_menu(page, "Look inside", "Soft targets")
                page.wait_for_function("window.shown", timeout=WAIT)
                clicked.append(page.evaluate("window.shown"))
            if not number:  # the data are loaded now
                clicked, loaded = [], []
    yield Figure("from a click on Soft targets to its painted bars", [wait / 1000 for wait in clicked], "s", "at most 1")
    yield Figure("from a link to Soft targets, in a new browser, to its painted bars", [wait / 1000 for wait in loaded], "s")


def gestures(browser: Browser) -> Iterator[Figure]:
    """T dragged on the page Soft targets, frame by frame; and strokes on the drawing pad, each until its prediction is painted."""
    with served() as (address, _):
        with opened(browser, f"{address}/soft_targets") as page:
            page.evaluate("barsSince(0)")
            page.wait_for_timeout(3000)
            rest, drag = (page.evaluate(DRAG, [frames, FRAMES]) for frames in (False, True))
        with opened(browser, f"{address}/draw") as page:
            page.locator(".st-key-draw_bars .member").first.wait_for(timeout=WAIT)
            page.wait_for_timeout(3000)
            box = page.locator(".draw-pad canvas").bounding_box()
            page.evaluate(PREDICTIONS)
            for number in range(STROKES):
                for name, y in (("down", 0.3), ("up", 0.6)):
                    page.mouse.move(box["x"] + box["width"] * (0.2 + 0.6 * number / STROKES), box["y"] + box["height"] * y)
                    getattr(page.mouse, name)()
                page.wait_for_function("count => window.took.length > count", arg=number, timeout=WAIT)
                page.wait_for_timeout(200)
            took = page.evaluate("took")
    yield Figure("from frame to frame, without dragging", rest, "ms")
    yield Figure("from frame to frame, T dragged in every frame", drag, "ms", "at most 17")
    yield Figure("the same: frames dropped", [sum(round(gap / statistics.median(rest)) - 1 for gap in drag)], "", "at most 0")
    yield Figure("from pen-up to the painted prediction", took[1:], "ms", "at most 250")  # the first loads the teacher


@contextlib.contextmanager
def opened(browser: Browser, address: str) -> Iterator[Page]:
    """A page of a new browser."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    page = context.new_page()
    page.set_default_timeout(WAIT)
    page.add_init_script(WATCH)
    page.goto(address)
    yield page
    context.close()


def delays(stored: list[tuple[float, float]], painted: list[tuple[float, float]]) -> list[float]:
    """For each `(moment, epoch)` stored, the seconds until a chart with this epoch was painted; epochs never painted are left out."""
    waits = []
    for moment, epoch in stored:
        shown = [at for at, reached in painted if reached >= epoch]
        waits += [shown[0] - moment] if shown else []
    return waits


# --- a server, a page and its store ---------------------------------------------------------------------------------


@contextlib.contextmanager
def served() -> Iterator[tuple[str, Path]]:
    """The lab started by `make run` with a home of its own; yields its address, once it answers, and that home."""
    port = free_port()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        environment = {**os.environ, "DISTILL_HOME": home, "STREAMLIT_SERVER_HEADLESS": "true"}
        server = subprocess.Popen(
            ["make", "run", f"PORT={port}"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            until(lambda: answers(f"http://127.0.0.1:{port}/_stcore/health"), pause=0.02)
            yield f"http://127.0.0.1:{port}", Path(home)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()
            until(lambda: not listens(port))


def answers(address: str) -> bool:
    """Whether a server answers at this address."""
    try:
        urllib.request.urlopen(address, timeout=1).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


def listens(port: int) -> bool:
    """Whether the port is in use."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def raced(browser: Browser, address: str) -> Iterator[Page]:
    """A page of a new browser on which Train has just been pressed."""
    with opened(browser, address) as page:
        page.locator(".st-key-train button:enabled:visible").wait_for(timeout=WAIT)
        page.wait_for_timeout(2000)  # as a person, who does not press at once
        press(page, "train")
        yield page


def press(page: Page, key: str) -> None:
    """Press a button once it is enabled."""
    page.locator(f".st-key-{key} button:enabled:visible").click(timeout=WAIT)


@contextlib.contextmanager
def arrivals(path: Path) -> Iterator[list[tuple[float, float]]]:
    """`(moment, epoch)` whenever the store has test accuracies of a later epoch, to within 5 ms."""
    seen: list[tuple[float, float]] = []
    ended = threading.Event()
    query = "SELECT max(row), max(epoch) FROM records WHERE row > ? AND test_accuracy IS NOT NULL"

    def poll() -> None:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
            last = store.execute(query, (0,)).fetchone()[0] or 0
            while not ended.wait(0.005):
                row, epoch = store.execute(query, (last,)).fetchone()
                if row:
                    seen.append((time.time(), epoch))
                    last = row

    poller = threading.Thread(target=poll)
    poller.start()
    yield seen
    ended.set()
    poller.join()


def until(condition, *, pause: float = 0.02, seconds: float = WAIT / 1000) -> None:
    """Wait until the condition holds. Raises `TimeoutError` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"a condition of the benchmark did not hold within {seconds:g} s")
        time.sleep(pause)
