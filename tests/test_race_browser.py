"""A race in a real browser, with a real server and real workers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import expect

from distill_core.data.datasets import DATASETS
from distill_core.studies.presets import PRESETS

ROOT = Path(__file__).resolve().parent.parent
BUSY = 120_000  # ms: a machine that runs other things, too
FIRST = "document.querySelector('.st-key-race_test_accuracy .js-plotly-plot').data.find(t => t.uid === 'student test_accuracy').y[0]"
LONG = "epochs=400&batch_size=16&images=500&seeds=5"  # a race of many seconds on any machine


@pytest.fixture(scope="module")
def lab(serve, tmp_path_factory):
    """A server on a home of its own; gives its address and that home."""
    home = tmp_path_factory.mktemp("home")
    return serve(ROOT / "pages" / "server" / "serve.py", DISTILL_HOME=str(home)), home


STILL = """() => {
  const still = document.querySelector("[data-testid=stApp][data-test-script-state=notRunning]");
  window.stillSince = still ? window.stillSince ?? performance.now() : undefined;
  return still && performance.now() - window.stillSince > 500;
}"""


def button(page, label):
    """The button with exactly this label: a preset that mentions "Training" is not the button *Train*."""
    return page.locator(".stButton, .stDownloadButton").get_by_role("button").filter(has=page.get_by_text(label, exact=True))


def press(page, label):
    button(page, label).click(timeout=BUSY)


def points(page, key="race_test_accuracy", line="student test_accuracy"):
    """How many points a painted curve has, by default the student's."""
    return page.evaluate(
        """([key, uid]) => { const plot = document.querySelector(`.st-key-${key} .js-plotly-plot`);
        const line = plot?.data?.find(trace => trace.uid === uid); return line?.x?.length ?? 0; }""",
        [key, line],
    )


def until(condition, seconds=BUSY / 1000):
    """Wait until `condition()` holds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.05)
    return found


def finished(page):
    expect(page.get_by_text("finished:").first).to_be_visible(timeout=BUSY)


def epoch(page):
    """The epoch in the status line of the race."""
    status = page.get_by_text(re.compile(r"epoch [\d.]+ of")).first.inner_text(timeout=BUSY)
    return float(re.search(r"epoch ([\d.]+) of", status).group(1))


def test_one_click_on_the_first_page_gives_a_race_and_its_result_in_words(lab, new_page):
    page = new_page(lab[0])
    shown = page.locator(".soft-targets .shown")
    first = shown.inner_text()
    until(lambda: shown.inner_text() != first)  # it moves by itself
    press(page, "Start the race")
    grown = until(lambda: points(page, "first_test_accuracy"))
    finished(page)
    assert grown <= 101
    until(lambda: points(page, "first_test_accuracy") == 101)
    sentence = page.locator("[data-testid='stAlert']").first
    expect(sentence).to_contain_text("Over 10 seeds, 359 test images")
    expect(sentence).to_contain_text(re.compile(r"95 % interval \+\d\.\d to \+\d\.\d"))
    page.get_by_role("link", name=re.compile("Change the settings")).click()
    finished(page)
    expect(page).to_have_url(re.compile("run="))
    shown_by_tab = {"Confusion matrix": "confusion", "Per-class accuracy": "classes"}
    for tab, key in shown_by_tab.items():  # only the open tab is drawn
        expect(page.locator(f"[class*='st-key-{key}_']")).to_have_count(0, timeout=BUSY)
        page.get_by_role("tab", name=tab).click(timeout=BUSY)
        page.locator(f"[class*='st-key-{key}_']").first.scroll_into_view_if_needed(timeout=BUSY)  # a chart out of view is not drawn
        expect(page.locator(f"[class*='st-key-{key}_'] .js-plotly-plot")).to_be_visible(timeout=BUSY)


def test_the_list_of_presets_closes_when_one_is_chosen(lab, new_page):
    page, preset = new_page(f"{lab[0]}/race"), PRESETS["impatient"]  # the quickest
    page.locator(".st-key-presets").get_by_role("button").click(timeout=BUSY)
    chosen = page.get_by_role("button", name=preset.title)
    expect(chosen).to_be_visible(timeout=BUSY)
    expect(button(page, "Train")).to_have_count(1)  # though presets in the open list mention training
    chosen.click(timeout=BUSY)
    expect(page.get_by_text(preset.question)).to_have_count(1, timeout=BUSY)  # on the page, and no longer in the list
    press(page, "Train")
    finished(page)


def test_a_race_keeps_its_zoom_and_survives_a_reload_a_stop_and_a_reset(lab, new_page):
    data = "mnist" if DATASETS["mnist"].is_here() else "digits"
    page = new_page(f"{lab[0]}/race?dataset={data}&{LONG}")
    page.locator(".st-key-train button:enabled:visible").click(timeout=BUSY)
    few = until(lambda: points(page))
    until(lambda: points(page) > few)

    box = page.locator(".st-key-race_test_accuracy .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 260, box["y"] + 160, steps=6)
    page.mouse.up()
    axis = "() => document.querySelector('.st-key-race_test_accuracy .js-plotly-plot').layout.xaxis.range.map(Number)"
    zoomed = page.evaluate(axis)
    assert zoomed[1] - zoomed[0] < 390
    before = points(page)
    until(lambda: points(page) > before)
    assert page.evaluate(axis) == zoomed
    assert page.locator(".st-key-race_test_accuracy .live-chart").get_attribute("data-mounts") == "1"

    page.locator(".st-key-race_difference .live-chart").scroll_into_view_if_needed()  # it is drawn where it is seen
    differences = until(lambda: points(page, "race_difference", "difference points"))
    until(lambda: points(page, "race_difference", "difference points") > differences)

    page.reload()
    reached = epoch(page)
    until(lambda: epoch(page) > reached)  # it went on without the page

    pressed = time.monotonic()
    press(page, "Stop")
    expect(page.get_by_text("stopped").first).to_be_visible(timeout=BUSY)
    print(f"Stop shown after {time.monotonic() - pressed:.2f} s")
    start = page.evaluate(FIRST)

    press(page, "Reset")
    expect(page.get_by_text(re.compile("paused"))).to_be_visible(timeout=BUSY)
    press(page, "Step")
    until(lambda: epoch(page) == 1.0)
    expect(page.get_by_text(re.compile("paused, epoch 1 of 400"))).to_be_visible(timeout=BUSY)
    until(lambda: points(page) and page.evaluate(FIRST) == start)  # the same initial weights, painted too
    press(page, "Resume")
    until(lambda: epoch(page) > 2)
    press(page, "Pause")
    expect(page.get_by_text(re.compile("paused, epoch"))).to_be_visible(timeout=BUSY)
    press(page, "Stop")
    expect(page.get_by_text("stopped").first).to_be_visible(timeout=BUSY)


RUNS = """() => {
  window.runs = 0;
  const app = document.querySelector("[data-testid=stApp]");
  new MutationObserver(() => { window.runs += 1; }).observe(app, { attributes: true, attributeFilter: ["data-test-script-state"] });
}"""


def test_curve_and_status_line_grow_several_times_while_the_page_does_not_run(lab, new_page):
    page = new_page(f"{lab[0]}/race?{LONG}&temperature=7.5")
    press(page, "Train")
    until(lambda: points(page) > 1)
    page.evaluate(RUNS)
    seen = {}  # by how often the page has run: the points of the curve and the epochs of the status line

    def grown():
        seen.setdefault(page.evaluate("window.runs"), set()).add((points(page), epoch(page)))
        return any(min(len(set(values)) for values in zip(*both, strict=True)) > 3 for both in seen.values())

    until(grown)
    press(page, "Stop")
    expect(page.get_by_text("stopped").first).to_be_visible(timeout=BUSY)


def test_live_updates_wait_for_a_new_version_and_are_refused_for_an_unknown_run_or_panel(lab, new_page):
    page = new_page(f"{lab[0]}/race?epochs=3&images=100&seeds=1&temperature=7.75")
    press(page, "Train")
    finished(page)
    run_id = re.search("run=([0-9a-f]+)", page.url).group(1)

    def update(run_id, after=0, panel="test_accuracy"):
        asked = time.monotonic()
        with urllib.request.urlopen(f"{lab[0]}/live/{run_id}?panels={panel}&after={after}", timeout=30) as answer:
            return json.load(answer), time.monotonic() - asked

    first, _ = update(run_id)
    assert not first["active"] and "student test_accuracy" in {line["uid"] for line in first["figures"]["test_accuracy"]["data"]}
    again, waited = update(run_id, after=first["version"])
    assert again == first and waited > 1.5
    for unknown in ({"run_id": "0" * 12}, {"run_id": run_id, "panel": "owner_hash"}):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            update(**unknown)


def test_a_shared_link_shows_the_finished_run_with_every_choice_and_no_right_to_stop_it(lab, new_page):
    page = new_page(f"{lab[0]}/race?temperature=2.5&alpha=0.3&student=linear&epochs=5&seeds=2&images=300")
    press(page, "Train")
    finished(page)
    other = new_page(page.url)
    finished(other)
    expect(other.get_by_text("Over 2 seeds").first).to_be_visible(timeout=BUSY)
    for field, value in {"temperature": "2.5", "alpha": "0.30", "seeds": "2"}.items():
        expect(other.locator(f".st-key-{field} input")).to_have_attribute("aria-valuetext", value, timeout=BUSY)
    expect(other.locator(".st-key-student input")).to_have_value("linear (no hidden layer)", timeout=BUSY)
    expect(other.locator(".st-key-reset button").first).to_be_disabled()
    press(other, "Train")
    expect(other.get_by_text("cached result")).to_be_visible(timeout=BUSY)


def test_runs_are_listed_compared_and_downloaded(lab, new_page):
    address, home = lab
    for temperature in (1.5, 6.0):
        page = new_page(f"{address}/race?temperature={temperature}&epochs=3&seeds=1&images=100")
        press(page, "Train")
        finished(page)
    page = new_page(f"{address}/runs")
    expect(page.get_by_text("Tick one run")).to_be_visible(timeout=BUSY)
    with contextlib.closing(sqlite3.connect(home / "lab.sqlite")) as database:
        runs = database.execute("select id from runs order by created desc").fetchall()
        recorded = sum(database.execute("select count(*) from records where run = ?", run).fetchone()[0] for run in runs[:2])
    assert len(runs) >= 2
    canvas = page.locator("[data-testid='stDataFrame'] canvas").first
    box = canvas.bounding_box()
    for row in (0, 1):
        page.mouse.click(box["x"] + 18, box["y"] + 55 + 37 * row)
        expect(page.locator(".stDownloadButton button:visible")).to_be_visible(timeout=BUSY)
    expect(page.locator(".st-key-compare .js-plotly-plot")).to_be_visible(timeout=BUSY)
    expect(page.locator("[data-testid='stDataFrame']")).to_have_count(2, timeout=BUSY)
    with page.expect_download() as download:
        page.locator(".stDownloadButton button:visible").click()
    assert len(Path(download.value.path()).read_text().splitlines()) == recorded + 1


@pytest.mark.parametrize("path", ["", "race", "runs"])
def test_a_phone_needs_no_sideways_scrolling_and_no_other_server_is_requested(lab, new_page, path):
    asked = []
    page = new_page(f"{lab[0]}/{path}", viewport={"width": 390, "height": 844})
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    expect(page).to_have_title(re.compile("Distill Lab"), timeout=BUSY)
    expect(page.locator("[data-testid='stMarkdown']").first).to_be_visible(timeout=BUSY)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth + 1")
    sizes = page.evaluate(
        "[...document.querySelectorAll('[data-testid=stMarkdown] p, button p, label p')].map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert sizes and min(sizes) >= 16
    assert asked and all(url.startswith((lab[0], "data:", "blob:")) for url in asked)


def test_after_the_server_was_killed_the_next_one_continues_the_race(serve, new_page, tmp_path):
    address = serve(ROOT / "pages" / "server" / "serve.py", DISTILL_HOME=str(tmp_path))
    page = new_page(f"{address}/race?epochs=80&batch_size=8&images=300&seeds=3")
    press(page, "Train")
    until(lambda: points(page) > 5)
    link = page.url
    port = int(address.rsplit(":", 1)[1])
    os.kill(_server_on(port), signal.SIGKILL)
    again = serve(ROOT / "pages" / "server" / "serve.py", DISTILL_HOME=str(tmp_path))
    page = new_page(link.replace(address, again))
    assert until(lambda: points(page)) > 5  # what was recorded is shown at once
    finished(page)
    until(lambda: points(page) == 81)


def _server_on(port):
    import psutil

    return next(c.pid for c in psutil.net_connections("tcp4") if c.laddr.port == port and c.status == psutil.CONN_LISTEN)


def test_a_zip_of_images_becomes_a_data_set_and_a_bad_one_gives_one_sentence(lab, new_page, zipped, picture):
    page = new_page(f"{lab[0]}/race")
    page.get_by_text("Use your own images").click()
    expect(page.get_by_text("50MB per file")).to_be_visible()
    page.wait_for_function(STILL)  # nobody has a file at hand while the page is still coming
    chooser = page.locator("input[type=file]")
    bad = zipped({"cats/a.txt": b"words", "dogs/b.png": picture()}).getvalue()
    chooser.set_input_files({"name": "bad.zip", "mimeType": "application/zip", "buffer": bad})
    expect(page.get_by_text("which is not an image").first).to_be_visible(timeout=BUSY)
    files = {
        f"{name}/{i}.png": picture((16, 16), mode="L", seed=13 * i + len(name)) for name in ("ant", "bear", "camel") for i in range(20)
    }
    chooser.set_input_files({"name": "animals.zip", "mimeType": "application/zip", "buffer": zipped(files).getvalue()})
    expect(page.locator(".st-key-dataset input")).to_have_value(re.compile("^animals"), timeout=BUSY)
    expect(page.locator(".st-key-train button:visible")).to_be_enabled(timeout=BUSY)


def test_before_the_first_run_the_race_shows_its_images_and_afterwards_the_earlier_result(lab, new_page):
    address = f"{lab[0]}/race?images=100&epochs=2&seeds=2&temperature=3"
    page = new_page(address)
    expect(page.get_by_text("From the 100 training images:")).to_be_visible(timeout=BUSY)
    labels = page.locator(".st-key-transfer_set figcaption")
    expect(labels).to_have_count(4, timeout=BUSY)
    assert len(set(labels.all_inner_texts())) == 4  # of different classes
    press(page, "Train")
    finished(page)
    again = new_page(address)
    expect(again.get_by_text("These settings were trained before:")).to_be_visible(timeout=BUSY)
    again.get_by_role("link", name="Open this finished race").click()
    finished(again)
