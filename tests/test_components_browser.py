"""What the shared components do in a real browser."""

import itertools
import json
import math
import re
import statistics
import tomllib
import urllib.request

import numpy as np
import pytest
from browser_fixtures import ROOT
from playwright.sync_api import expect
from streamlit import config

from pages.components.live_chart import PLOTLY_NAME
from pages.components.soft_targets import Details, read_details, read_temperature
from pages.server.identity import valid_token

LOGITS = {"teacher": [0.3, -6.0, 2.1, 9.8, -4.0, 5.2], "student": [1.3, -2.0, 3.1, 6.8, -2.0, 4.2]}

TICKING = """
import math, time
import numpy as np
import plotly.graph_objects as go
import streamlit as st
from distill_core.figures.curves import bands, race_figure
from pages.components.live_chart import live_chart

st.set_page_config(layout="wide")
revision = st.selectbox("revision", ["one", "two"])

@st.fragment(run_every=0.2)
def live():
    tick = st.session_state.tick = st.session_state.get("tick", 0) + 1
    fields = dict.fromkeys(("hard_loss", "soft_loss", "agreement"))
    records = [
        dict(experiment=s, member=m, epoch=e / 10, step=e, test_accuracy=g * (1 - math.exp(-e / 40)) + 0.01 * s, **fields)
        for s in range(3) for m, g in (("student", 0.9), ("baseline", 0.8)) for e in range(min(tick, 250) + 1)
    ]
    live_chart(race_figure(bands(records), teacher_accuracy=0.97, epochs=25), key="race", revision=revision)

live()
# numpy arrays reach the browser as base64, one value is not a number
live_chart(go.Figure(go.Scatter(x=np.arange(4.0), y=np.array([1.0, np.nan, 2.0, 3.0]))), key="arrays", height=200)
with st.expander("hidden at first"):
    live_chart(go.Figure(go.Scatter(x=[1, 2], y=[3, 4])), key="hidden", height=200)
"""

FED = """
import plotly.graph_objects as go
import streamlit as st
from pages.components.live_chart import live_chart

@st.fragment
def live():
    runs = st.session_state.runs = st.session_state.get("runs", 0) + 1
    st.write(f"runs {runs}.")
    first = go.Figure(go.Scatter(x=[0, 1], y=[0, 1]))
    live_chart(first, key="fed", version=1, updates="live/a", panel="b", status=("sprint", "epoch 1 of 6"))
    live_chart(first, key="second", version=1, updates="live/a", panel="c")

live()
"""

SOFT = f"""
import streamlit as st
from pages.components.soft_targets import soft_targets

st.set_page_config(layout="wide")
given = st.radio("given", [4.0, 8.0])
logits = {LOGITS!r}
chosen = soft_targets(pixels=list(range(0, 256, 16)), image_shape=(1, 4, 4), logits=logits, class_names=list("abcdef"), label=3,
                      temperature=given, key="two")
st.write(f"python has {{chosen.temperature}}")
colours = [[[250, 0], [0, 0]], [[0, 200], [0, 0]], [[0, 0], [150, 0]]]
soft_targets(pixels=colours, image_shape=(3, 2, 2), logits={{"teacher": logits["teacher"]}},
             class_names=list("abcdef"), label=3, temperature=4.0, key="moving", moving=True)
"""

TOKEN = """
import streamlit as st
from pages.server.identity import owner_token
st.session_state.runs = st.session_state.get("runs", 0) + 1
st.button("again")
st.write(f"token {owner_token()} runs {st.session_state.runs}")
"""


@pytest.fixture(scope="module")
def scripts(serve, tmp_path_factory):
    """The address of each script, by name; one server runs them all."""
    texts = {"ticking": TICKING, "soft": SOFT, "who": TOKEN, "fed": FED, "patient": PATIENT, "ready": READY}
    address = serve(f"import streamlit as st\nexec(compile({texts!r}[st.query_params['script']], 'script', 'exec'), globals())")
    return {name: f"{address}/?script={name}" for name in texts}


@pytest.fixture
def ticking(scripts):
    return scripts["ticking"]


@pytest.fixture
def soft(scripts):
    return scripts["soft"]


@pytest.fixture
def who(scripts):
    return scripts["who"]


def server_of(address):
    return address.partition("/?")[0]


def wait_for(page, condition, *arguments, timeout=60_000):
    page.wait_for_function(condition, arg=list(arguments), timeout=timeout)


def painted(page, key, times):
    wait_for(page, "([key, n]) => document.querySelector(`.st-key-${key} .live-chart`)?.dataset.painted >= n", key, times)


# --- the live chart -------------------------------------------------------------------------------------------------


def drag_zoom(page):
    box = page.locator(".st-key-race .nsewdrag").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.6, steps=5)
    page.wait_for_timeout(700)  # a slow hand: several ticks pass in mid-drag
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.7, steps=5)
    page.mouse.up()


def ranges(page):
    layout = "document.querySelector('.st-key-race .paper')._fullLayout"
    return page.evaluate(f"[...{layout}.xaxis.range, ...{layout}.yaxis.range]")


def test_twenty_ticks_have_one_mount_and_no_blank_frame(ticking, new_page):
    page = new_page(ticking)
    painted(page, "race", 1)
    page.evaluate("""() => {
        window.frames_ = [];
        window.first = document.querySelector('.st-key-race .live-chart');
        const record = () => {
            window.frames_.push(document.querySelectorAll('.st-key-race .scatterlayer .trace').length);
            requestAnimationFrame(record);
        };
        record();
    }""")
    painted(page, "race", 21)
    frames = page.evaluate("window.frames_")
    assert len(frames) > 20
    assert min(frames) > 0
    assert page.locator(".st-key-race .live-chart").get_attribute("data-mounts") == "1"
    assert page.evaluate("document.querySelector('.st-key-race .live-chart') === window.first")
    assert page.evaluate("performance.getEntriesByName('chart-painted').length") >= 20


def test_a_zoom_and_a_hidden_line_survive_ticks_until_the_revision_changes(ticking, new_page):
    page = new_page(ticking)
    painted(page, "race", 3)
    assert ranges(page) == [0, 25, 0, 100]
    drag_zoom(page)
    wait_for(page, "() => document.querySelector('.st-key-race .paper')._fullLayout.xaxis.range[0] > 0")
    zoomed = ranges(page)
    np.testing.assert_allclose(zoomed, [5, 12.5, 30, 80], atol=0.2)
    page.locator(".st-key-race .legendtoggle").nth(1).click()
    wait_for(page, "() => document.querySelector('.st-key-race .paper')._fullData.some((t) => t.visible === 'legendonly')")
    before = int(page.locator(".st-key-race .live-chart").get_attribute("data-painted"))
    painted(page, "race", before + 8)
    assert ranges(page) == zoomed
    hidden = page.evaluate(
        "document.querySelector('.st-key-race .paper')._fullData.filter((t) => t.visible === 'legendonly').map((t) => t.name)"
    )
    assert set(hidden) == {"baseline"}

    page.get_by_test_id("stSelectbox").get_by_role("combobox").click()
    page.get_by_role("option", name="two").click()
    wait_for(page, "() => document.querySelector('.st-key-race .paper')?._fullLayout?.xaxis.range[1] === 25")
    assert ranges(page) == [0, 25, 0, 100]


def test_arrays_and_missing_numbers_are_drawn(ticking, new_page):
    page = new_page(ticking)
    painted(page, "arrays", 1)
    assert page.locator(".st-key-arrays .scatterlayer .point").count() == 3
    shown = page.locator(".st-key-race").inner_text() + page.locator(".st-key-arrays").inner_text()
    assert not re.search("undefined|null|None|NaN", shown)


def test_hovering_shows_means_and_intervals(ticking, new_page):
    page = new_page(ticking)
    painted(page, "race", 10)
    box = page.locator(".st-key-race .nsewdrag").bounding_box()
    page.mouse.move(box["x"] + 12, box["y"] + box["height"] / 2)
    hover = page.locator(".st-key-race .hoverlayer")
    wait_for(page, "() => /student/.test(document.querySelector('.st-key-race .hoverlayer').textContent)")
    assert re.search(r"epoch \d", hover.text_content())
    assert re.search(r"student \d+\.\d\d % \(\d+\.\d\d to \d+\.\d\d\)", hover.text_content())
    assert not re.search("undefined|null|None|NaN", hover.text_content())


def test_a_chart_fits_its_container_and_follows_it(ticking, new_page):
    page = new_page(ticking)
    painted(page, "race", 1)
    for width in (390, 1000):
        page.set_viewport_size({"width": width, "height": 800})
        wait_for(
            page,
            "() => { const c = document.querySelector('.st-key-race .live-chart');"
            " return Math.abs(c.clientWidth - c.querySelector('.main-svg').clientWidth) < 2 }",
        )
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth + 1")


def test_a_chart_that_was_hidden_fits_once_it_is_shown(ticking, new_page):
    page = new_page(ticking)
    page.get_by_text("hidden at first").click()
    wait_for(
        page,
        "() => { const c = document.querySelector('.st-key-hidden .live-chart');"
        " return c?.clientWidth > 0 && Math.abs(c.clientWidth - c.querySelector('.main-svg')?.clientWidth) < 2 }",
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_chart_is_drawn_in_the_colours_of_the_page(ticking, new_page, scheme):
    page = new_page(ticking, color_scheme=scheme)
    painted(page, "race", 1)
    line = (
        "document.querySelector('.st-key-race .paper')._fullData.find((t) => t.name === 'student' && t.mode === 'lines+markers').line.color"
    )
    assert page.evaluate(line) == {"light": "#0072B2", "dark": "#56B4E9"}[scheme]
    text, background = page.evaluate(
        "(() => { const l = document.querySelector('.st-key-race .paper')._fullLayout; return [l.font.color, l.paper_bgcolor] })()"
    )
    assert text.lower() == {"light": "#1b1d21", "dark": "#f2f3f5"}[scheme]
    assert background.replace(" ", "") == "rgba(0,0,0,0)"


def test_plotly_is_loaded_once_and_from_this_server(ticking, new_page, browser):
    context = browser.new_context()
    asked = []
    context.on("request", lambda request: asked.append(request.url))
    page = new_page(ticking, context=context)
    painted(page, "race", 2)
    painted(page, "arrays", 1)
    assert [url for url in asked if "plotly" in url and "app/static" in url] == [f"{server_of(ticking)}/app/static/{PLOTLY_NAME}"]
    assert all(url.startswith((server_of(ticking), "blob:", "data:")) for url in asked), asked
    context.close()


def test_a_missing_plotly_gives_one_sentence_until_it_can_be_loaded(ticking, new_page, browser):
    context = browser.new_context()
    context.route("**/app/static/*", lambda route: route.fulfill(status=404))
    page = new_page(ticking, context=context)
    error_text = page.locator(".st-key-race .error-text")
    wait_for(page, "() => document.querySelector('.st-key-race .error-text')?.textContent")
    assert error_text.text_content().startswith("The chart cannot be drawn because the browser could not load app/static/plotly-")
    context.unroute("**/app/static/*")
    painted(page, "race", 1)  # it is asked for again at the next tick
    assert error_text.text_content() == ""
    context.close()


def fed(browser, scripts, answer, *, script=""):
    """A page that never ticks, with two charts whose requests for updates are answered by `answer(after)`: `(status, update)`."""
    asked = []

    def reply(route):
        assert re.search("panels=(b,c|c,b)&", route.request.url)
        asked.append(int(route.request.url.split("after=")[1]))
        status, update = answer(asked[-1])
        route.fulfill(status=status, body=json.dumps(update))

    page = browser.new_context().new_page()
    page.add_init_script(script)
    page.route("**/live/a?**", reply)
    page.goto(scripts["fed"])
    return page, asked


POINTS = "['fed', 'second'].map((key) => document.querySelector(`.st-key-${key} .js-plotly-plot`).data[0].x.length).join()"


def test_charts_with_updates_grow_together_without_a_tick_and_their_fragment_runs_once_at_the_end(browser, scripts):
    def more(after):
        line = {"type": "scatter", "x": list(range(after + 2)), "y": list(range(after + 2))}
        figures = {"b": {"data": [line], "layout": {}}, "c": {"data": [{**line, "x": line["x"][1:]}], "layout": {}}}
        return 200, {"version": after + 1, "active": after < 5, "status": ("sprint", f"epoch {after + 1} of 6"), "figures": figures}

    page, asked = fed(browser, scripts, more)
    page.get_by_text("runs 2.").wait_for()
    wait_for(page, f"() => {POINTS} === '7,6'")
    page.wait_for_timeout(500)
    assert page.evaluate(POINTS) == "7,6"  # the figures of the second run are the older ones
    assert asked[:5] == [1, 2, 3, 4, 5]  # one request for both
    assert page.locator(".st-key-fed .live-chart").get_attribute("data-mounts") == "1"
    expect(page.locator(".st-key-fed .status")).to_contain_text("epoch 5 of 6")  # the page itself shows the end
    assert page.locator(".st-key-second .status").is_hidden()
    page.context.close()


FIRST = """
window.first = {};
const mark = performance.mark.bind(performance);
performance.mark = (name, options) => {
  const { key, painted } = options?.detail ?? {};
  if (name === "chart-painted" && painted === 1) first[key] = document.querySelector(`.st-key-${key} .js-plotly-plot`).data[0].x.length;
  return mark(name, options);
};"""


def test_charts_are_first_drawn_with_the_points_of_the_first_answer(browser, scripts):
    figure = {"data": [{"type": "scatter", "x": [0, 1, 2, 3, 4], "y": [0, 1, 2, 3, 4]}], "layout": {}}
    update = {"version": 2, "status": ("sprint", "epoch 2 of 6"), "figures": {"b": figure, "c": figure}}
    page, _ = fed(browser, scripts, lambda after: (200, {**update, "active": after < 2}), script=FIRST)
    wait_for(page, "() => Object.keys(first).length === 2")
    assert page.evaluate("first") == {"fed": 5, "second": 5}
    page.context.close()


def test_charts_whose_updates_fail_keep_their_figures_and_ask_again_until_their_run_is_gone(browser, scripts):
    statuses = itertools.chain((500, 429), itertools.repeat(404))
    page, asked = fed(browser, scripts, lambda after: (next(statuses), {}))
    page.get_by_text(re.compile("runs [2-9]")).wait_for()
    assert asked[:3] == [1, 1, 1] and page.evaluate(POINTS) == "2,2"
    page.context.close()


PATIENT = """
import plotly.graph_objects as go
from pages.components.live_chart import live_chart

live_chart(go.Figure(go.Scatter(x=[0, 1], y=[0, 1])), key="patient", patient=True)
"""


READY = """
from pages.components.live_chart import have_charts_ready

have_charts_ready()
"""
COUNT_DRAWINGS = """
let plotly;
window.drawn = 0;
Object.defineProperty(window, "Plotly", { get: () => plotly, set: (library) => {
  const draw = library.newPlot;
  plotly = Object.assign(library, { newPlot: (...given) => draw(...given).then((paper) => { window.drawn += 1; return paper; }) });
} });"""


def test_before_the_first_chart_an_invisible_one_is_drawn_and_removed(browser, scripts):
    page = browser.new_page()
    page.add_init_script(COUNT_DRAWINGS)
    page.goto(scripts["ready"])
    wait_for(page, "() => drawn === 1 && !document.querySelector('.js-plotly-plot')")
    page.close()


def test_a_patient_chart_is_drawn_where_the_browser_has_no_idle_callback(browser, scripts):
    page = browser.new_page()
    page.add_init_script("window.requestIdleCallback = undefined")  # as in Safari
    page.goto(scripts["patient"])
    painted(page, "patient", 1)
    page.close()


# --- soft targets ---------------------------------------------------------------------------------------------------


def bars(page, key):
    """The displayed percents, by member from left to right."""
    part = page.locator(f".st-key-{key} .soft-targets")
    left, right = part.locator(".left .percent").all_text_contents(), part.locator(".bar:not(.left) .percent").all_text_contents()
    return [column for column in (left, right) if column]


def written(logits, temperature):
    z = np.array(logits) / temperature
    shares = 100 * np.exp(z - z.max()) / np.exp(z - z.max()).sum()
    return [percent(value) for value in shares]


def percent(value):
    if value >= 99.95:
        return "> 99.9 %"
    if value >= 0.1:
        return f"{value:.1f} %"
    return f"{float(f'{value:.0e}'):.{-math.floor(math.log10(float(f'{value:.0e}')))}f} %" if value >= 0.0001 else "< 0.0001 %"


def temperature(page, key):
    return float(page.locator(f".st-key-{key} .shown").text_content().removeprefix("T = "))


def set_slider(page, key, t):
    """The input event alone, as during a drag."""
    page.locator(f".st-key-{key} input").evaluate(
        "(slider, t) => { slider.value = Math.log(t / 0.5) / Math.log(60); slider.dispatchEvent(new Event('input', {bubbles: true})) }", t
    )


def test_bars_are_the_softmax_at_every_temperature(soft, new_page):
    page = new_page(soft)
    page.locator(".st-key-two .percent").first.wait_for()
    for t in (0.5, 0.55, 1, 2, 4, 11.3, 30):
        set_slider(page, "two", t)
        assert temperature(page, "two") == t
        assert bars(page, "two") == [written(LOGITS["teacher"], t), written(LOGITS["student"], t)]
        lengths = page.locator(".st-key-two .bar.left").evaluate_all("bars => bars.map((b) => Number(b.style.getPropertyValue('--p')))")
        z = np.exp(np.array(LOGITS["teacher"]) / t)
        np.testing.assert_allclose(lengths, z / z.sum(), atol=1e-5)


def test_dragging_calls_the_server_only_on_release(soft, new_page, browser):
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    sent = []
    context.on("page", lambda page: page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame))))
    page = new_page(soft, context=context)
    page.get_by_text("python has 4.0").wait_for()
    page.wait_for_timeout(500)
    slider = page.locator(".st-key-two input").bounding_box()
    y = slider["y"] + slider["height"] / 2
    page.mouse.move(slider["x"] + slider["width"] * 0.5, y)
    sent.clear()
    page.mouse.down()
    seen = set()
    for i in range(40):
        page.mouse.move(slider["x"] + slider["width"] * (0.5 + 0.01 * i), y)
        seen.add(temperature(page, "two"))
    page.wait_for_timeout(500)
    assert sent == []
    assert len(seen) > 30
    page.mouse.up()
    page.get_by_text(f"python has {temperature(page, 'two')}").wait_for()
    assert len(sent) == 1
    context.close()


@pytest.mark.alone
def test_dragging_drops_no_frame(soft, new_page):
    page = new_page(soft)
    page.locator(".st-key-two .percent").first.wait_for()
    measure = """async (dragging) => {
        const slider = [...document.querySelectorAll('.st-key-two *')].map((e) => e.shadowRoot?.querySelector('input')).find(Boolean);
        const gaps = [];
        let last;
        await new Promise((done) => {
            const frame = (now) => {
                if (last) gaps.push(now - last);
                last = now;
                if (dragging) {
                    slider.value = 0.5 + 0.4 * Math.sin(gaps.length / 10);
                    slider.dispatchEvent(new Event('input', {bubbles: true}));
                    slider.getBoundingClientRect();
                }
                gaps.length < 120 ? requestAnimationFrame(frame) : done();
            };
            requestAnimationFrame(frame);
        });
        return gaps;
    }"""
    rest, drag = (min(statistics.median(page.evaluate(measure, dragging)) for _ in range(3)) for dragging in (False, True))
    assert drag < 1.2 * rest  # nearly the frame rate of this browser without dragging


def test_an_arrow_key_changes_the_last_displayed_digit_of_t(soft, new_page):
    page = new_page(soft)
    page.get_by_text("python has 4.0").wait_for()
    slider = page.locator(".st-key-two input")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert temperature(page, "two") == 4.1
    assert slider.get_attribute("aria-valuetext") == "T = 4.1"
    page.get_by_text("python has 4.1").wait_for()
    for _ in range(3):
        page.keyboard.press("PageDown")
    assert temperature(page, "two") == 1.1
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert temperature(page, "two") == 0.99
    page.keyboard.press("End")
    assert temperature(page, "two") == 30
    page.get_by_text("python has 30").wait_for()


def test_a_new_temperature_from_the_page_moves_the_slider(soft, new_page):
    page = new_page(soft)
    page.get_by_text("python has 4.0").wait_for()
    page.locator(".st-key-two input").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text("python has 4.1").wait_for()
    page.get_by_text("8.0", exact=True).click()
    page.get_by_text("python has 8.0").wait_for()
    page.locator(".st-key-two .shown", has_text="T = 8").wait_for()
    assert temperature(page, "two") == 8


def test_t_moves_until_the_component_is_touched(soft, new_page):
    page = new_page(soft, reduced_motion="no-preference")
    page.locator(".st-key-moving .percent").first.wait_for()
    seen = set()
    for _ in range(10):
        page.wait_for_timeout(100)
        seen.add(temperature(page, "moving"))
    assert len(seen) > 2
    assert all(1 <= t <= 12 for t in seen - {4.0})
    page.locator(".st-key-moving canvas").click()
    page.wait_for_timeout(100)
    rests = temperature(page, "moving")
    page.wait_for_timeout(500)
    assert temperature(page, "moving") == rests


def test_t_does_not_move_with_reduced_motion(soft, new_page):
    page = new_page(soft, reduced_motion="reduce")
    page.locator(".st-key-moving .percent").first.wait_for()
    page.wait_for_timeout(700)
    assert temperature(page, "moving") == 4


def test_the_image_has_its_pixels_and_the_true_class_is_marked(soft, new_page):
    page = new_page(soft)
    page.locator(".st-key-moving .percent").first.wait_for()
    pixels = page.locator(".st-key-moving canvas").evaluate("c => [...c.getContext('2d').getImageData(0, 0, 2, 2).data]")
    assert np.reshape(pixels, (4, 4)).tolist() == [[250, 0, 0, 255], [0, 200, 0, 255], [0, 0, 150, 255], [0, 0, 0, 255]]
    assert page.locator(".st-key-moving .class:has(.diamond)").all_text_contents() == ["d"]


@pytest.mark.parametrize(
    "state", [None, 3, "x", [], {}, {"value": 9}, {"value": math.nan, "page_value": 4.0}, {"value": "9", "page_value": 4.0}]
)
def test_a_malformed_temperature_is_ignored(state):
    assert read_temperature(state, page_value=4.0) == 4.0


def test_a_temperature_is_clamped_to_the_slider():
    assert read_temperature({"value": 1e9, "page_value": 4.0}, page_value=4.0) == 30
    assert read_temperature({"value": -1, "page_value": 4.0}, page_value=4.0) == 0.5


CHOSEN = {
    "hide_top": True, "log_scale": False, "formula_class": 2,
    "page_value": {"hide_top": False, "log_scale": False, "formula_class": None},
}  # fmt: skip


@pytest.mark.parametrize(
    "state",
    [
        *(None, 3, "x", [], {}),
        CHOSEN | {"hide_top": 1},
        CHOSEN | {"log_scale": None},
        CHOSEN | {"page_value": None},
        {"page_value": CHOSEN["page_value"]},
    ],
)
def test_malformed_details_are_ignored(state):
    assert read_details(state, page_value=Details(), classes=10) == Details()


@pytest.mark.parametrize("formula", [-1, 10, True, "2", 2.0, None, [2]])
def test_the_formula_of_a_class_that_does_not_exist_is_ignored(formula):
    assert read_details(CHOSEN, page_value=Details(), classes=10) == Details(hide_top=True, formula_class=2)
    assert read_details(CHOSEN | {"formula_class": formula}, page_value=Details(), classes=10) == Details(hide_top=True)


# --- the owner token ------------------------------------------------------------------------------------------------


def token(page):
    page.get_by_text(re.compile(r"token [0-9a-f]{32} runs")).wait_for()
    return page.get_by_text(re.compile("token")).inner_text().split()[1]


def test_a_token_outlives_a_reload_and_is_not_another_persons(who, new_page):
    page = new_page(who)
    mine = token(page)
    assert valid_token(mine)
    page.wait_for_timeout(500)
    assert page.get_by_text("runs 2").count() == 1  # sent once: the first run without it, the second with it
    page.get_by_role("button", name="again").click()
    page.get_by_text("runs 3").wait_for()
    page.wait_for_timeout(500)
    assert page.get_by_text("runs 3").count() == 1
    page.reload()
    assert token(page) == mine
    assert mine not in page.url
    assert page.locator(".st-key-identity").evaluate("element => getComputedStyle(element).position") == "absolute"  # takes no room
    assert token(new_page(who)) != mine
    assert token(new_page(who, context=page.context)) == mine


def test_a_damaged_token_is_replaced_by_that_of_the_cookie_or_by_a_new_one(who, new_page):
    page = new_page(who)
    mine = token(page)

    def damage():
        page.goto(f"{server_of(who)}/_stcore/health")  # where no script of the page writes it meanwhile
        page.evaluate("localStorage.setItem('distill-lab-owner', 'not a token')")

    damage()
    page.goto(who)
    assert token(page) == mine
    damage()
    page.context.clear_cookies()
    page.goto(who)
    assert valid_token(token(page))
    assert token(page) != mine


@pytest.mark.parametrize("token", [None, 7, "", "g" * 32, "0" * 31, "0" * 33, "A" * 32, "0" * 32 + "\n", ["0" * 32], {"token": "0" * 32}])
def test_what_is_no_token_counts_as_none(token):
    assert valid_token(token) is None


# --- settings -------------------------------------------------------------------------------------------------------


def test_every_setting_has_a_name_that_streamlit_knows():
    def names(table, prefix=""):
        for name, value in table.items():
            yield from names(value, f"{prefix}{name}.") if isinstance(value, dict) else [f"{prefix}{name}"]

    settings = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    known = config._config_options_template
    assert [name for name in names(settings) if name not in known] == []
    assert settings["runner"]["postScriptGC"] is False
    assert settings["server"]["address"] == "127.0.0.1"


def test_the_server_serves_the_plotly_of_the_python_package(ticking, new_page):
    painted(new_page(ticking), "race", 1)
    with urllib.request.urlopen(f"{server_of(ticking)}/app/static/{PLOTLY_NAME}", timeout=5) as answer:
        assert "javascript" in answer.headers["Content-Type"]
        assert json.loads(answer.headers["Content-Length"]) > 3_000_000
