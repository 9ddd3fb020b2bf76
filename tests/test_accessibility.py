"""The lab without a mouse, without sight of the charts, and without moving things."""

import re
from pathlib import Path

import axe_playwright_python
import numpy as np
import pytest
from browser_fixtures import PAGES, settled
from playwright.sync_api import expect
from test_race_browser import BUSY, finished, press, until
from test_sweep_browser import CHART, cell, detail, train, values

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
CURVE = """paper => {
  const { x, y } = paper._fullData.find(({ uid }) => uid === 'student test_accuracy');
  return [...x].map((place, i) => [place, y[i]]);
}"""
TOO_SMALL = """() => {
    const found = [];
    const walk = (root) => {
        for (const element of root.querySelectorAll('*')) {
            if (element.shadowRoot) walk(element.shadowRoot);
            const text = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join('');
            const aside = element.closest('[data-testid=stIconMaterial], style, script, .katex-mathml');
            if (!text || aside || !element.checkVisibility()) continue;
            const size = parseFloat(getComputedStyle(element).fontSize);
            if (size < 16 && !element.closest('.katex')) found.push(`${size} px: ${element.tagName} ${text.slice(0, 40)}`);
        }
    };
    walk(document.querySelector('[data-testid=stApp]'));
    return found;
}"""
SIDEWAYS = "document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"
INSIDE = """() => {
    const main = document.querySelector('[data-testid=stMain]');
    return main.scrollWidth - main.clientWidth;
}"""
NOT_FOR_PEOPLE = re.compile(r"\b(None|nan|NaN|undefined|NaT)\b|Traceback")
SWEEP = "sweep?dataset=digits&images=150&epochs=20&batch_size=32&seeds=2&xs=1,4,20&ys=0.1,0.5"


def axe_findings(page, **options):
    """What axe-core finds on the page, of serious or critical impact: the rule, and the elements."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    options["rules"] = {"scrollable-region-focusable": {"enabled": False}}  # browsers let the Tab key reach a region that scrolls
    found = page.evaluate(
        "options => axe.run(document, {resultTypes: ['violations'], ...options}).then(({ violations }) => violations)", options
    )
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {node['html'][:200]} {node['failureSummary'][:300]}" for one in serious for node in one["nodes"]]


@pytest.fixture(scope="module")
def addresses(open_lab, browser):
    """The addresses of a finished race and of a finished sweep, by page."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{open_lab.address}/race?images=100&epochs=3&seeds=2")
    press(page, "Train")
    finished(page)
    race = page.url
    page.goto(f"{open_lab.address}/{SWEEP}")
    train(page)
    expect(page.get_by_text("finished:").first).to_be_visible(timeout=BUSY)
    yield {"race": race, "sweep": page.url}
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_readable_from_afar_and_on_a_phone_and_axe_finds_nothing_serious(open_lab, addresses, watched, name):
    page = watched(addresses.get(name, f"{open_lab.address}/{'' if name == 'start' else name}"))
    expect(page).to_have_title(f"{name.replace('_', ' ').capitalize()} · Distill Lab", timeout=BUSY)
    expect(page.locator("[data-testid=stMain] [data-testid=stElementContainer]").nth(2)).to_be_attached(timeout=BUSY)
    expect(page.get_by_role("dialog")).to_have_count(0)  # Streamlit's "page not found"
    settled(page)
    shown = page.locator("[data-testid=stMain]").inner_text()
    assert not NOT_FOR_PEOPLE.search(shown) and page.locator("[data-testid=stException], [data-testid=stAlertContentError]").count() == 0
    assert page.evaluate(TOO_SMALL) == []
    assert axe_findings(page) == []
    page.emulate_media(color_scheme="dark")
    until(lambda: page.locator("[data-testid=stApp]").evaluate("app => getComputedStyle(app).colorScheme") == "dark")
    page.wait_for_function("!document.getAnimations().some((one) => one instanceof CSSTransition)")  # colours between light and dark
    assert axe_findings(page, runOnly=["color-contrast"]) == []
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function(f"() => {SIDEWAYS} <= 1 && ({INSIDE})() <= 1", timeout=60_000)


def test_axe_finds_what_is_wrong_on_a_page(open_lab, watched):
    page = watched(f"{open_lab.address}/runs")
    settled(page)
    page.evaluate(
        "document.querySelector('[data-testid=stMain]').insertAdjacentHTML('beforeend', '<button></button><p style=color:#eee>pale</p>')"
    )
    assert {one.partition(":")[0] for one in axe_findings(page)} == {"button-name", "color-contrast"}


def test_the_cells_of_a_sweep_are_read_and_opened_by_keyboard(addresses, watched):
    page = watched(addresses["sweep"])
    heat_map = page.locator(f"{CHART} .paper")
    spoken = page.locator(f"{CHART} .spoken")
    expect(heat_map).to_have_attribute("aria-label", re.compile("6 cells, from .* at .*, to .* at "), timeout=BUSY)
    heat_map.focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowDown"):
        heat_map.press(key)
    expect(spoken).to_have_text(re.compile(r"^T 1, alpha 0\.1: student [\d.]+ %, baseline [\d.]+ %, .* points"))
    assert detail(page) == "T 1, alpha 0.1"
    (x, y), frame = cell(page, 0, 0), page.locator(f"{CHART} .frame").bounding_box()  # in this order: the first one scrolls
    assert abs(frame["x"] + frame["width"] / 2 - x) < 2 and abs(frame["y"] + frame["height"] / 2 - y) < 2
    heat_map.press("ArrowRight")
    heat_map.press("ArrowUp")
    expect(spoken).to_have_text(re.compile(r"^T 4, alpha 0\.5: "))
    heat_map.press("Enter")
    page.wait_for_url(re.compile("/race.*alpha=0.5"), timeout=BUSY)
    expect(page.locator(".st-key-temperature")).to_contain_text("4")


def test_every_chart_has_its_numbers_in_words_and_in_a_table(addresses, watched):
    page = watched(addresses["sweep"])
    until(lambda: len(values(page)) == 6)
    assert table_of(page, CHART)[0][1:] == ["1", "4", "20"]
    shown = [float(text.replace("\u2212", "-")) for row in table_of(page, CHART)[1:] for text in row[1:]]
    assert [round(value, 1) for value in shown] == pytest.approx([float(value.replace("\u2212", "-")) for value in values(page)], abs=0.051)

    page.goto(addresses["race"])
    chart = ".st-key-race_test_accuracy .live-chart"
    expect(page.locator(f"{chart} .paper")).to_have_attribute("aria-label", re.compile("student: .*baseline: "), timeout=BUSY)
    head, *rows = table_of(page, chart)
    curve = page.locator(f"{chart} .paper").evaluate(CURVE)
    column = head.index("student")
    found = [[float(row[0]), float(row[column].split(" ")[0])] for row in rows if row[column]]
    assert len(found) == len(curve) > 1 and np.allclose(found, curve, rtol=1e-3, atol=0.051)
    assert all(re.fullmatch(r"[\d.]+ % \([\d.]+ to [\d.]+\)", row[column]) for row in rows[1:] if row[column])
    labels = page.locator(".live-chart .paper.js-plotly-plot").evaluate_all(
        "papers => papers.map((paper) => paper.getAttribute('aria-label'))"
    )
    assert labels and all(re.fullmatch(r"Chart: \S.*\. The data table has all numbers\.", label) for label in labels)


def table_of(page, chart):
    """Open a chart's data table by keyboard; its cells, row by row."""
    summary = page.locator(f"{chart} summary").first
    summary.scroll_into_view_if_needed()
    if not page.locator(f"{chart} details[open]").count():
        summary.press("Enter")
    table = page.locator(f"{chart} .data-table table").first
    expect(table).to_be_visible()
    return table.evaluate("table => [...table.rows].map((row) => [...row.cells].map((cell) => cell.textContent))")


PARTS = """
import numpy as np
import streamlit as st
from pages.components.cloud import cloud
from pages.components.draw_pad import draw_pad
from pages.components.image_grid import image_grid
from pages.components.soft_targets import soft_targets

drawing = draw_pad(key="pad")
ink = np.argwhere(drawing > 0)
st.write(f"ink from {ink.min(axis=0).tolist()} to {ink.max(axis=0).tolist()}." if len(ink) else "no ink.")
images = np.random.default_rng(0).integers(0, 255, (14, 1, 8, 8), dtype=np.uint8)
st.session_state.setdefault("chosen", 103)
image_grid(images, ids=range(100, 114), captions=[f"image {n}" for n in range(14)], chosen=st.session_state.chosen,
           on_pick=lambda picked: st.session_state.update(chosen=picked), key="grid")
st.write(f"chosen {st.session_state.chosen}.")
points = {"a": np.array([[0.0, 3], [2, 2], [1, 0], [3, 1]])}
cloud(points, predictions={"a": [0, 1, 0, 1]}, labels=np.array([0, 0, 1, 1]), images=images[:4], class_names=["nought", "one"], key="cloud")
soft_targets(pixels=list(range(0, 256, 16)), image_shape=(1, 4, 4), logits={"teacher": [1.0, 3.0]}, class_names=["no", "yes"], label=1,
             temperature=4.0, key="moving", moving=True)
"""


@pytest.fixture(scope="module")
def parts(serve):
    return serve(PARTS)


def test_a_stroke_is_drawn_by_keyboard(parts, watched):
    page = watched(parts)
    pad = page.locator(".draw-pad canvas")
    pad.focus()
    pad.press("Space")
    for _ in range(8):
        pad.press("ArrowDown")
    expect(page.locator(".draw-pad .state")).to_have_text("Pen down")
    pad.press("Space")
    expect(page.locator(".draw-pad .state")).to_have_text("Pen up")

    def is_stroke():  # vertical, 8 steps of 4 pixels long, as thick as the pen
        top, left, bottom, right = map(int, re.findall(r"\d+", page.get_by_text(re.compile("^ink from")).inner_text()))
        return 35 <= bottom - top <= 48 and right - left <= 12

    until(is_stroke)  # the first part of it arrives before the rest
    pad.press("Backspace")
    expect(page.get_by_text("no ink.")).to_be_visible()


def test_an_image_of_a_grid_is_chosen_by_keyboard_and_read_out(parts, watched):
    page = watched(parts)
    grid = page.get_by_role("listbox", name=re.compile("14 images"))
    grid.focus()
    active = "grid => grid.getRootNode().getElementById(grid.getAttribute('aria-activedescendant')).textContent"
    assert grid.evaluate(active) == "image 3"
    grid.press("ArrowDown")
    grid.press("ArrowRight")
    assert grid.evaluate(active) == "image 10"
    grid.press("Enter")
    expect(page.get_by_text("chosen 110.")).to_be_visible()
    assert grid.locator("[role=option][aria-selected=true]").all_text_contents() == ["image 10"]


def test_the_arrow_keys_reach_every_point_of_a_cloud_in_their_direction(parts, watched):
    page = watched(parts)
    plot, text = page.locator(".cloud .plot"), page.locator(".cloud .selected p")
    plot.focus()
    order = "plot => plot.getRootNode().querySelector('.cloud').view.selected"
    seen = {"ArrowRight": [], "ArrowDown": []}
    for key, numbers in seen.items():
        for _ in range(4):
            plot.press(key)
            numbers.append(plot.evaluate(order))
    assert seen == {"ArrowRight": [0, 2, 1, 3], "ArrowDown": [2, 2, 2, 2]}  # from the rightmost point, whose only lower one is 2
    expect(text).to_have_text("True class one; a predicts nought.")


def test_moving_bars_stop_at_pause_and_do_not_start_where_reduced_motion_is_asked_for(parts, watched):
    page = watched(parts)
    shown, pause = page.locator(".soft-targets .shown"), page.get_by_role("button", name="Pause")
    before = shown.inner_text()
    expect(shown).not_to_have_text(before)
    pause.press("Enter")
    rests = shown.inner_text()
    page.wait_for_timeout(300)
    assert shown.inner_text() == rests
    page.get_by_role("button", name="Play").press("Enter")
    expect(shown).not_to_have_text(rests)

    still = watched(parts, reduced_motion="reduce")
    expect(still.get_by_role("button", name="Play")).to_be_visible()
    assert still.locator(".soft-targets .shown").inner_text() == "T = 4.0"
