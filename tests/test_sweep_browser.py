"""The page Sweep in a browser: the heat map while it trains, the curves of a cell, a cell as a race, downloads."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from browser_fixtures import ROOT
from PIL import Image
from playwright.sync_api import expect
from test_race_browser import BUSY, until

SMALL = "dataset=digits&images=250&epochs=30&batch_size=32&seeds=2&xs=1,4,20&ys=0.1,0.5"
LONG = "dataset=digits&images=0&epochs=100&batch_size=16&seeds=5&xs=1,2,4,20&ys=0.1,0.5"
CHART = "[class*='st-key-sweep_heatmap_'] .live-chart.with-detail"


@pytest.fixture(scope="module")
def lab(serve, tmp_path_factory):
    """The address of a server with its own DISTILL_HOME."""
    return serve(ROOT / "app.py", DISTILL_HOME=str(tmp_path_factory.mktemp("home")))


def train(page):
    page.locator(".st-key-sweep_train button:enabled:visible").click(timeout=BUSY)


def values(page):
    """The numbers in the cells, row by row from below; empty strings before the first measurement."""
    return page.evaluate(
        """chart => document.querySelector(chart)?.querySelector('.js-plotly-plot')?.data?.find((t) => t.uid === 'values')?.text ?? []""",
        CHART,
    )


def cell(page, row, column):
    """The centre of a cell in screen coordinates, after its heat map was scrolled to the middle of the window."""
    page.locator(CHART).evaluate("(chart) => chart.scrollIntoView({ block: 'center' })")
    return page.evaluate(
        """([chart, row, column]) => {
          const paper = document.querySelector(chart).querySelector('.js-plotly-plot');
          const { xaxis, yaxis } = paper._fullLayout, box = paper.getBoundingClientRect();
          return [box.left + xaxis._offset + xaxis.d2p(column), box.top + yaxis._offset + yaxis.d2p(row)];
        }""",
        [CHART, row, column],
    )


def detail(page):
    """The title of the chart with the curves of one cell."""
    return page.evaluate("chart => document.querySelector(chart).querySelector('.detail').layout?.title?.text", CHART)


def test_every_cell_gets_a_number_and_a_click_opens_it_as_a_race(lab, watched):
    page = watched(f"{lab}/sweep?{SMALL}")
    expect(page.get_by_text("6 cells x 2 seeds = 12 students")).to_be_visible(timeout=BUSY)
    train(page)
    until(lambda: len(values(page)) == 6 and all(values(page)))
    expect(page.get_by_text("finished:").first).to_be_visible(timeout=BUSY)
    expect(page.get_by_text(re.compile("Best cell, chosen on"))).to_be_visible(timeout=BUSY)
    expect(page.get_by_text("Each cell: test accuracy of the student minus that of its baseline, in percentage points.")).to_be_visible()
    assert all(re.fullmatch("[+\u2212]\\d+\\.\\d", value) for value in values(page))

    page.mouse.move(*cell(page, 1, 2))
    until(lambda: detail(page) == "T 20, alpha 0.5")
    page.mouse.move(*cell(page, 0, 0))
    until(lambda: detail(page) == "T 1, alpha 0.1")
    lines = page.evaluate("chart => document.querySelector(chart).querySelector('.detail').data.map((t) => t.x.length)", CHART)
    assert lines[0] == lines[1] > 5

    page.mouse.move(*cell(page, 1, 1))
    until(lambda: detail(page) == "T 4, alpha 0.5")
    page.mouse.click(*cell(page, 1, 1))
    page.wait_for_url(re.compile("/race"), timeout=BUSY)
    expect(page).to_have_url(re.compile("images=250"))
    expect(page).to_have_url(re.compile("alpha=0.5"))
    expect(page.locator(".st-key-temperature")).to_contain_text("4")
    page.locator(".st-key-train button:enabled:visible").click(timeout=BUSY)
    expect(page.get_by_text(re.compile("finished: 30 epochs"))).to_be_visible(timeout=BUSY)


def test_a_sweep_of_a_text_counts_its_cells_in_bits_and_a_click_opens_a_race_on_it(lab, watched):
    text = "dataset=little-language&student=gpt-16x1&images=50&epochs=4&seeds=2&x=temperature&xs=1,4&y=alpha&ys=0.1,0.5"
    page = watched(f"{lab}/sweep?{text}")
    expect(page.get_by_text("4 cells x 2 seeds = 8 students")).to_be_visible(timeout=BUSY)
    train(page)
    until(lambda: len(values(page)) == 4 and all(values(page)))
    expect(page.get_by_text("finished:").first).to_be_visible(timeout=BUSY)
    expect(page.get_by_text("Each cell: bits a character that the student needs less than its baseline")).to_be_visible(timeout=BUSY)
    assert all(re.fullmatch("[+\u2212]\\d\\.\\d+", value) for value in values(page))
    page.mouse.move(*cell(page, 1, 0))
    until(lambda: detail(page) == "T 1, alpha 0.5")
    page.mouse.click(*cell(page, 1, 0))
    page.wait_for_url(re.compile("/race.*dataset=little-language"), timeout=BUSY)
    train_race = page.locator(".st-key-train button:enabled:visible")
    train_race.click(timeout=BUSY)
    expect(page.locator("[data-testid='stAlert']").first).to_contain_text("bits a character", timeout=BUSY)


def test_a_sweep_that_is_reloaded_while_it_trains_continues_and_can_be_stopped(lab, watched):
    page = watched(f"{lab}/sweep?{LONG}")
    train(page)
    until(lambda: any(values(page)))
    page.reload()
    until(lambda: any(values(page)))
    before = values(page)
    until(lambda: values(page) != before)
    painted = page.evaluate("chart => Number(document.querySelector(chart).dataset.mounts)", CHART)
    page.locator(".st-key-sweep_stop button:enabled:visible").click(timeout=BUSY)
    expect(page.get_by_text("stopped").first).to_be_visible(timeout=BUSY)
    assert painted == 1


def test_the_sweep_without_t_squared_is_trained_too_if_chosen(lab, watched):
    page = watched(f"{lab}/sweep?{SMALL.replace('images=250', 'images=150')}")
    page.get_by_text("Add a heat map without").click(timeout=BUSY)
    train(page)
    until(lambda: page.locator(CHART).count() == 2)
    expect(page.get_by_text("finished:")).to_have_count(2, timeout=BUSY)
    expect(page.get_by_text("without T\u00b2", exact=False).first).to_be_visible()


def test_methods_are_an_axis_or_a_choice_for_all_cells_and_their_losses_are_named(lab, watched):
    page = watched(f"{lab}/sweep?{SMALL}&x=temperature&xs=1,4&y=method&ys=soft-targets,correlation,mutual-2")
    expect(page.get_by_text("depend on temperature and the method?")).to_be_visible(timeout=BUSY)
    expect(page.get_by_text("Loss: hard loss and soft loss (nats), correlation loss, divergence from peers (nats).")).to_be_visible()
    expect(page.get_by_role("switch", name=re.compile("without T"))).to_be_disabled()
    train(page)
    expect(page.get_by_text("finished:").first).to_be_visible(timeout=BUSY)
    until(lambda: detail(page))
    page.mouse.move(*cell(page, 2, 0))
    until(lambda: detail(page) == "T 1, method mutual-2")
    page.mouse.click(*cell(page, 2, 0))
    page.wait_for_url(re.compile("/race.*method=mutual-2"), timeout=BUSY)
    single = watched(f"{lab}/sweep?{SMALL}&method=logits")
    expect(single.get_by_text("Loss: hard loss and logit loss (squared logits).")).to_be_visible(timeout=BUSY)
    train(single)
    expect(single.get_by_text(re.compile("Matching logits, finished:"))).to_be_visible(timeout=BUSY)


def test_a_sweep_of_students_shows_accuracy_against_parameters(lab, watched):
    page = watched(f"{lab}/sweep?dataset=digits&images=250&epochs=10&seeds=2&x=student&xs=linear,mlp-5x2,mlp-30x2&y=alpha&ys=0.1")
    train(page)
    expect(page.get_by_text("Accuracy vs. size")).to_be_visible(timeout=BUSY)
    front = "document.querySelector('[class*=st-key-front_] .js-plotly-plot')?.data?.find((t) => t.uid === 'student')?.x"
    assert until(lambda: page.evaluate(front)) == [650, 415, 3190]


def test_a_sweep_is_downloaded_as_a_picture_with_its_captions_and_as_csv(lab, watched, tmp_path):
    page = watched(f"{lab}/sweep?{SMALL}", color_scheme="dark")
    train(page)
    kept = page.locator(".picture-button")
    kept.wait_for(timeout=BUSY)
    page.locator(f"{CHART} .js-plotly-plot").first.wait_for(timeout=BUSY)
    with page.expect_download(timeout=BUSY) as download:
        kept.click()
    assert download.value.suggested_filename == "sweep of temperature and alpha.png"
    download.value.save_as(tmp_path / "sweep.png")
    picture = Image.open(tmp_path / "sweep.png").convert("RGB")
    assert picture.size == (1920, 1080)
    assert picture.getpixel((5, 5)) == (0x14, 0x16, 0x1A)  # the page's own dark, for light text
    light = np.asarray(picture.convert("L")) > 180
    places = {"title": np.s_[20:90, 30:1200], "numbers": np.s_[150:800, 150:1900], "legend": np.s_[970:1070, 100:1200]}
    assert all(light[place].mean() > 0.005 for place in places.values()), {name: light[place].mean() for name, place in places.items()}
    with page.expect_download(timeout=BUSY) as download:
        page.get_by_role("button", name="Download CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0].startswith("alpha,temperature,student,baseline,difference") and len(lines) == 1 + 6


def test_on_a_phone_a_cell_shows_its_curve_first_and_is_a_race_at_the_second_touch(lab, watched):
    page = watched(f"{lab}/sweep?{SMALL}", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    train(page)
    until(lambda: len(values(page)) == 6 and all(values(page)))
    expect(page.get_by_text(re.compile("Best cell, chosen on"))).to_be_visible(timeout=BUSY)
    bar, cells = (page.locator(f"{CHART} .paper {part}") for part in (".modebar", ".nsewdrag"))
    above, below = until(lambda: all(boxes := (bar.bounding_box(), cells.bounding_box())) and boxes)  # none while it is drawn again
    assert above["y"] + above["height"] <= below["y"] + 1  # above the cells, not on them
    page.touchscreen.tap(*cell(page, 1, 0))
    until(lambda: detail(page) == "T 1, alpha 0.5")
    page.wait_for_timeout(700)  # two touches, not a double click
    assert "/sweep" in page.url
    page.touchscreen.tap(*cell(page, 1, 0))
    page.wait_for_url(re.compile("/race"), timeout=BUSY)
    expect(page).to_have_url(re.compile("temperature=1.0"))


def test_an_axis_without_values_is_explained_and_cannot_be_trained(lab, watched):
    page = watched(f"{lab}/sweep?dataset=digits&xs=&ys=0.1")
    page.locator(".st-key-sweep_values_temperature").get_by_role("button", name="1", exact=True).wait_for(timeout=BUSY)
    for name in ("1", "2", "3", "4", "6", "8", "12", "20"):
        page.locator(".st-key-sweep_values_temperature").get_by_role("button", name=name, exact=True).click()
    expect(page.get_by_text("temperature has no value; choose one or more")).to_be_visible(timeout=BUSY)
    expect(page.locator(".st-key-sweep_train button:visible")).to_be_disabled()


def test_values_that_are_clicked_in_quick_succession_are_all_used(lab, watched):
    page = watched(f"{lab}/sweep?dataset=digits&xs=&ys=0.1")
    page.locator(".st-key-sweep_train button:enabled:visible").wait_for(timeout=BUSY)
    page.evaluate(
        """async () => {
          const pills = document.querySelector(".st-key-sweep_values_temperature");
          for (const value of ["1", "2", "3", "6", "8", "12"]) {
            [...pills.querySelectorAll("button")].find((pill) => pill.textContent.trim() === value).click();
            await new Promise((go) => setTimeout(go, 60));
          }
        }"""
    )
    expect(page.get_by_text("2 cells x 5 seeds = 10 students")).to_be_visible(timeout=BUSY)
    page.wait_for_timeout(500)
    expect(page).to_have_url(re.compile("xs=4.0%2C20.0"), timeout=BUSY)
