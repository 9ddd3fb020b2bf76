"""What a learner waits for: a real server and a real browser on a home of its own."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser_fixtures import FLAGS, chromium_path

ROOT = Path(__file__).resolve().parents[2]
PORT = 8789


def measure(repeats: int = 5) -> dict:
    """Seconds from a start of the server to a usable page, and from a press to what it shows."""
    home = tempfile.mkdtemp(prefix="distill-bench-")
    started = time.perf_counter()
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true", "--server.port", str(PORT)]
    server = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "DISTILL_HOME": home}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for_health()
        with sync_playwright() as playwright:
            page = playwright.chromium.launch(executable_path=chromium_path(), args=FLAGS).new_page(viewport={"width": 1280, "height": 720})
            page.goto(f"http://127.0.0.1:{PORT}")
            page.get_by_role("button", name=re.compile("Start the race")).wait_for(timeout=60_000)
            usable = time.perf_counter() - started
            page.wait_for_timeout(15_000)  # the workers are warm
            races = [_one_race(page, 100 + number) for number in range(repeats)]
            told = [_record_to_paint(page, Path(home), 200 + number) for number in range(repeats)]
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
    paints = sorted(delay for delays in told for delay in delays)
    return {
        "start_to_usable_page_seconds": round(usable, 2),
        "train_to_first_point_seconds": round(statistics.median(first for first, _ in races), 2),
        "stop_shown_seconds": round(statistics.median(stop for _, stop in races), 2),
        "record_to_paint_p50_seconds": round(statistics.median(paints), 3),
        "record_to_paint_p95_seconds": round(paints[int(0.95 * len(paints))], 3),
        "records": len(paints),
        "repeats": repeats,
    }


def _wait_for_health() -> None:
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/_stcore/health", timeout=1).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
        else:
            return


POINTS = """() => { const plot = document.querySelector('.st-key-race_test_accuracy .js-plotly-plot');
    return plot?.data?.find(trace => trace.uid === 'student test_accuracy')?.x?.length ?? 0; }"""


def _open(page: Page, epochs: int) -> None:
    page.goto(f"http://127.0.0.1:{PORT}/race?epochs={epochs}&images=500&batch_size=8&seeds=1")
    page.locator(".st-key-train button:enabled").first.wait_for(timeout=60_000)


def _one_race(page: Page, epochs: int) -> tuple[float, float]:
    """From Train to the first painted point; from Stop to the word."""
    _open(page, epochs)
    pressed = time.perf_counter()
    page.locator(".st-key-train button").first.click()
    page.wait_for_function(POINTS, polling="raf", timeout=60_000)
    first = time.perf_counter() - pressed
    page.locator(".st-key-stop button:enabled").first.wait_for()
    pressed = time.perf_counter()
    page.locator(".st-key-stop button").first.click()
    page.get_by_text("stopped").first.wait_for(timeout=60_000)
    return first, time.perf_counter() - pressed


def _record_to_paint(page: Page, home: Path, epochs: int, points: int = 12) -> list[float]:
    """From a test's record in the store to its point on the screen, for the next points."""
    _open(page, epochs)
    page.locator(".st-key-train button").first.click()
    page.wait_for_function(POINTS, polling="raf", timeout=60_000)
    delays = []
    with sqlite3.connect(home / "lab.sqlite") as database:
        query = (
            "select count(*) from records where member = 'student' and test_accuracy is not null "
            "and run = (select id from runs order by created desc limit 1)"
        )
        for _ in range(points):
            known = database.execute(query).fetchone()[0]
            while (now := database.execute(query).fetchone()[0]) == known:
                time.sleep(0.001)
            recorded = time.perf_counter()
            page.wait_for_function(f"({POINTS})() >= {now}", polling="raf", timeout=60_000)
            delays.append(time.perf_counter() - recorded)
    page.locator(".st-key-stop button").first.click()
    page.get_by_text("stopped").first.wait_for(timeout=60_000)
    return delays
