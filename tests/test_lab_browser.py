"""Several browsers and one lab: who sees a race, who may control it, what is stored."""

import contextlib
import re
import sqlite3
from urllib.parse import quote

import numpy as np
import pytest
from browser_fixtures import ROOT, settled
from playwright.sync_api import expect
from test_race_browser import BUSY, epoch, finished, points, press, until

SHORT = "images=100&epochs=3&seeds=2"
LONG = "epochs=500&batch_size=8&images=0&seeds=10"  # it is stopped long before its end


@pytest.fixture(scope="module")
def lab(serve, tmp_path_factory):
    """A server on a home of its own; gives its address and that home."""
    home = tmp_path_factory.mktemp("home")
    return serve(ROOT / "app.py", DISTILL_HOME=str(home)), home


def running(page):
    """Wait until the race has advanced; returns its epoch."""
    seen = epoch(page)
    return until(lambda: (now := epoch(page)) > seen and now)


def run_of(page):
    return re.search("run=([0-9a-f]+)", page.url).group(1)


def tick_first_row(page):
    """Choose the first run in the list: the box at the left of its row."""
    box = page.locator("[data-testid=stDataFrame] canvas").first.bounding_box(timeout=BUSY)
    page.mouse.click(box["x"] + 18, box["y"] + 55)


def test_a_race_pauses_continues_and_steps_by_one_epoch(lab, watched):
    page = watched(f"{lab[0]}/race?temperature=3&{LONG}")
    press(page, "Train")
    running(page)
    press(page, "Pause")
    expect(page.get_by_text(re.compile("paused, epoch"))).to_be_visible(timeout=BUSY)
    rests = until(lambda: (now := epoch(page)) == (page.wait_for_timeout(1000) or epoch(page)) and now)  # its last records may come late
    page.reload()
    expect(page.get_by_text(f"paused, epoch {rests:.3g} of 500")).to_be_visible(timeout=BUSY)
    press(page, "Step")
    expect(page.get_by_text(f"paused, epoch {rests + 1:.3g} of 500")).to_be_visible(timeout=BUSY)
    press(page, "Resume")
    until(lambda: epoch(page) > rests + 1)
    press(page, "Stop")
    expect(page.get_by_text("stopped").first).to_be_visible(timeout=BUSY)


IMAGE = "![x](https://stranger.invalid/x.png)<img src=https://stranger.invalid/y.png>"


def test_no_image_of_a_strangers_host_in_a_link_is_requested(lab, watched):
    page = watched(lab[0])  # which fails for a request to another host
    for link in ("race?dataset=", "race?run=", "compress?network=", "experiments_from_papers?study=", "lessons?lesson="):
        page.goto(f"{lab[0]}/{link}{quote(IMAGE)}")
        settled(page)
        assert page.locator("img[src*=stranger]").count() == 0, link


def test_another_browser_sees_a_race_cannot_control_it_and_can_start_its_own(lab, watched):
    mine = watched(f"{lab[0]}/race?temperature=2&{LONG}")
    press(mine, "Train")
    running(mine)
    theirs = watched(mine.url)
    running(theirs)
    for name in ("pause", "stop", "reset"):
        expect(theirs.locator(f".st-key-{name} button").first).to_be_disabled(timeout=BUSY)
    theirs.goto(f"{lab[0]}/race?temperature=2&alpha=0.6&{SHORT}")
    press(theirs, "Train")
    finished(theirs)
    assert run_of(theirs) != run_of(mine)
    expect(theirs.locator(".st-key-reset button").first).to_be_enabled(timeout=BUSY)
    running(mine)

    tab = watched(mine.url, context=mine.context)  # another tab of the same browser has the same rights
    press(tab, "Stop")
    expect(mine.get_by_text("stopped").first).to_be_visible(timeout=BUSY)


def test_only_the_browser_that_started_a_run_can_delete_it(lab, watched):
    address, home = lab
    mine = watched(f"{address}/race?temperature=6.5&alpha=0.1&{SHORT}")
    press(mine, "Train")
    finished(mine)
    kept = run_of(mine)
    mine.goto(f"{address}/race?temperature=6.5&alpha=0.9&{SHORT}")
    press(mine, "Train")
    finished(mine)
    run_id = run_of(mine)  # the newest is the first in the list
    theirs = watched(f"{address}/runs?find=6.5")
    tick_first_row(theirs)
    expect(theirs.locator(".st-key-delete button").first).to_be_disabled(timeout=BUSY)

    mine.goto(f"{address}/runs?find=6.5")
    tick_first_row(mine)
    mine.locator(".st-key-delete button:visible").filter(has_text="Delete 1").first.click(timeout=BUSY)  # a popover, which asks
    press(mine, "Delete 1 run for good")
    expect(mine.get_by_text("Tick one run")).to_be_visible(timeout=BUSY)  # and no other is chosen in its place
    with contextlib.closing(sqlite3.connect(home / "lab.sqlite")) as database:
        for table, column in (("runs", "id"), ("records", "run"), ("results", "run")):
            assert database.execute(f"select count(*) from {table} where {column} = ?", (run_id,)).fetchone() == (0,)
        assert database.execute("select count(*) from runs where id = ?", (kept,)).fetchone() == (1,)
    mine.goto(f"{address}/race?run={run_id}")
    expect(mine.locator(".st-key-train button").first).to_be_enabled(timeout=BUSY)


def test_uploaded_images_get_a_teacher_and_a_race(lab, watched, zipped, picture):
    page = watched(f"{lab[0]}/race?epochs=5&seeds=2")
    draw = np.random.default_rng(0)
    patterns = {"bars": np.tile([0, 200], (8, 4)), "lines": np.tile([[0], [200]], (4, 8)), "blank": np.zeros((8, 8))}
    files = {
        f"{name}/{i}.png": picture(mode="L", pixels=(pattern + draw.integers(0, 50, (8, 8))).astype(np.uint8))
        for name, pattern in patterns.items()
        for i in range(20)
    }
    page.get_by_text("Use your own images").click(timeout=BUSY)
    zip_file = {"name": "patterns.zip", "mimeType": "application/zip", "buffer": zipped(files).getvalue()}
    page.locator("input[type=file]").set_input_files(zip_file)
    expect(page.locator(".st-key-dataset input")).to_have_value(re.compile("^patterns"), timeout=BUSY)
    press(page, "Train")
    finished(page)
    expect(page.get_by_text(re.compile("Over 2 seeds, 12 test images"))).to_be_visible(timeout=BUSY)
    until(lambda: points(page) == 6)
