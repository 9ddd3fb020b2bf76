"""The pages Soft targets and Draw in a browser."""

import base64
import math
import re
import statistics

import numpy as np
import pytest
import torch
from browser_fixtures import ROOT, open_page_from_menu, settled
from playwright.sync_api import expect
from test_race_browser import until

from distill_core import paths, teachers
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.losses import soft_loss
from distill_core.runs.store import Store
from distill_core.training.cohort import Cohort
from pages.components.draw_pad import GRID, read_drawing
from pages.sections.networks import WEIGHTS

BARS = ".st-key-soft_targets_bars"
COLUMNS = 6  # of the grid of images


@pytest.fixture(scope="module")
def run_id(tmp_path_factory):
    """A finished run in its own DISTILL_HOME, as the engine stores it."""
    patch = pytest.MonkeyPatch()
    patch.setenv("DISTILL_HOME", str(tmp_path_factory.mktemp("home")))
    experiment = Experiment(dataset="digits", images=200, epochs=30, student="mlp-30x2", teacher="cnn-32")
    cohort, store = Cohort([experiment]), Store(paths.home() / "lab.sqlite")
    found = store.create([experiment.to_json()], key=experiment.key)
    store.append(found, [record for step in cohort.steps() for record in step])
    for name, blob in cohort.artefacts().items():
        store.write_artefact(found, name, blob)
    store.set_status(found, "finished")
    assert WEIGHTS in store.artefacts(found)
    yield found
    patch.undo()


@pytest.fixture(scope="module")
def app(serve, run_id):
    return serve(ROOT / "app.py", DISTILL_HOME=str(paths.home()))


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


def logits_of(digits, image, name="cnn-32"):
    teacher = teachers.load_teacher(digits, name)
    return teachers.logits(teacher.network, digits, digits.test_images[[image]])[0]


def open_at(new_page, app, *, run="", image=17, t=4, context=None):
    more = f"&run={run}" if run else ""
    page = new_page(f"{app}/soft_targets?dataset=digits&teacher=cnn-32&image={image}&T={t}{more}", context=context)
    page.locator(f"{BARS} .percent").first.wait_for(timeout=60_000)
    settled(page)
    return page


def percents(page, side=":not(.left)"):
    return page.locator(f"{BARS} .rows .bar{side} .percent").all_text_contents()


def softmax(logits, t, hidden=None):
    z = np.array(logits, dtype=float) / t
    if hidden is not None:
        z[hidden] = -math.inf
    return np.exp(z - z.max()) / np.exp(z - z.max()).sum()


def written(p):
    value = 100 * p
    if value >= 99.95:
        return "> 99.9 %"
    if value >= 0.1:
        return f"{value:.1f} %"
    one = float(f"{value:.0e}")
    return f"{one:.{-math.floor(math.log10(one))}f} %" if value >= 0.0001 else "< 0.0001 %"


def close(shown, expected):
    """Equal as displayed, or apart by one rounding step: the browser may round a borderline digit the other way."""
    number = [float(re.sub("[^0-9.e-]", "", text)) for text in (shown, expected)]
    return shown == expected or abs(number[0] - number[1]) <= 0.1001


def drag(page, t):
    page.locator(f"{BARS} input[type=range]").evaluate(
        "(slider, t) => { slider.value = Math.log(t / 0.5) / Math.log(60); slider.dispatchEvent(new Event('input', {bubbles: true})) }", t
    )


def test_bars_and_numbers_follow_t_as_python_computes_them(app, new_page, digits):
    page = open_at(new_page, app)
    logits = logits_of(digits, 17).tolist()
    for t in (0.5, 1, 2.5, 4, 12, 30):
        drag(page, t)
        shares = softmax(logits, t)
        assert all(close(a, written(b)) for a, b in zip(percents(page), shares, strict=True))
        nats, bits = (float(page.locator(f"{BARS} .numbers tr").nth(n).locator("td").text_content()) for n in (1, 2)) if t > 1 else (0, 0)
        if t > 1:
            expected = -(shares * np.log(shares)).sum()
            np.testing.assert_allclose([nats, bits], [expected, expected / math.log(2)], rtol=0.01)
            ratio = float(page.locator(f"{BARS} .numbers tr").nth(4).locator("td").text_content())
            second, first = np.sort(shares)[-2:]
            np.testing.assert_allclose(ratio, second / first, rtol=0.01)


def test_the_softmax_of_the_class_under_the_pointer_is_written_out(app, new_page, digits):
    page = open_at(new_page, app)
    logits = logits_of(digits, 17).tolist()
    settled(page)  # a later layout change could move another class under the pointer
    page.locator(f"{BARS} .class").nth(3).hover()
    expect(page.locator(f"{BARS} .equation .exponent")).to_have_text(f"{logits[3]:.2f} / 4.0".replace("-", "−"))
    assert "teacher, 3" in page.locator(f"{BARS} .equation").inner_text()
    above, below = (page.locator(f"{BARS} .equation .{part}").text_content() for part in ("above", "below"))
    if "10" not in above + below:
        assert abs(float(above) / float(below) - softmax(logits, 4)[3]) < 1e-3
    assert close(page.locator(f"{BARS} .equation .probability").text_content(), written(softmax(logits, 4)[3]))


def test_hiding_the_top_class_rescales_the_others_to_one(app, new_page, digits):
    page = open_at(new_page, app)
    logits = logits_of(digits, 17).tolist()
    top = int(np.argmax(logits))
    page.locator(f"{BARS} [name=hide]").check()
    shown, shares = percents(page), softmax(logits, 4, hidden=top)
    assert shown[top] == "hidden"
    assert all(close(a, written(b)) for c, (a, b) in enumerate(zip(shown, shares, strict=True)) if c != top)
    drag(page, 0.5)  # here the top class has nearly all probability; the others still sum to 1
    shares = softmax(logits, 0.5, hidden=top)
    assert all(close(a, written(b)) for c, (a, b) in enumerate(zip(percents(page), shares, strict=True)) if c != top)
    page.locator(f"{BARS} [name=hide]").uncheck()
    assert "hidden" not in percents(page)


def test_bar_lengths_on_the_log_scale_are_logarithms(app, new_page, digits):
    page = open_at(new_page, app)
    page.locator(f"{BARS} [name=log]").check()
    lengths = page.locator(f"{BARS} .rows .bar").evaluate_all("bars => bars.map((b) => Number(b.style.getPropertyValue('--p')))")
    shares = softmax(logits_of(digits, 17).tolist(), 4)
    np.testing.assert_allclose(lengths, np.clip(1 + np.log10(shares) / 6, 0, 1), atol=2e-3)


@pytest.mark.parametrize("t", [0.5, 1, 4, 30])
def test_the_gradient_meter_is_autograds_gradient_of_the_soft_loss(app, new_page, run_id, digits, t):
    page = open_at(new_page, app, run=run_id, t=t)
    sent = page.evaluate(
        "() => [...document.querySelectorAll('.st-key-soft_targets_bars *')].map((e) => e.shadowRoot?.querySelector('.soft-targets'))"
        ".find(Boolean).view.data.members.map((member) => member.logits)"
    )
    teacher, student = (torch.tensor([z], dtype=torch.float64) for z in sent)
    torch.testing.assert_close(teacher[0].float(), logits_of(digits, 17), rtol=1e-4, atol=1e-4)
    student.requires_grad_()
    soft_loss(student, teacher, temperature=t).backward()
    with_square = student.grad.norm().item()
    bars = page.locator(f"{BARS} .meter .bar")
    measured = [float(bars.nth(n).get_attribute("data-value")) for n in (0, 1)]
    np.testing.assert_allclose(measured, [with_square / t**2, with_square], rtol=1e-6)
    shown = [float(text) for text in page.locator(f"{BARS} .meter .value").all_text_contents() if "10" not in text]
    assert all(any(abs(value - m) <= 0.006 * m for m in measured) for value in shown)


def test_the_gradient_meter_is_closed_until_its_summary_is_pressed_by_key(app, new_page):
    page = open_at(new_page, app)
    bar = page.locator(f"{BARS} .meter .bar").first
    expect(bar).to_be_hidden()
    page.locator(f"{BARS} .meter summary").press("Enter")
    expect(bar).to_be_visible()
    drag(page, 12)
    expect(bar).to_be_visible()


def test_student_or_baseline_of_a_run_is_compared_with_the_teacher(app, new_page, run_id, digits):
    page = open_at(new_page, app, run=run_id)
    members = page.locator(f"{BARS} .member").all_text_contents()
    assert [text.split(":")[0] for text in members] == ["teacher", "student"]
    student = percents(page)
    page.get_by_role("radio", name="baseline").or_(page.get_by_test_id("stButtonGroup").get_by_text("baseline")).first.click()
    page.locator(f"{BARS} .member", has_text="baseline").wait_for()
    assert percents(page) != student
    assert f"run={run_id}" in page.url
    assert "network=baseline" in page.url


@pytest.mark.alone
def test_dragging_sends_nothing_and_drops_no_frame(app, new_page, browser, run_id):
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    sent = []
    context.on("page", lambda page: page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame))))
    page = open_at(new_page, app, run=run_id, context=context)
    page.wait_for_timeout(1000)
    slider = page.locator(f"{BARS} input[type=range]")
    slider.hover()  # waits until it no longer moves
    box = slider.bounding_box()
    at = lambda share: (box["x"] + box["width"] * share, box["y"] + box["height"] / 2)  # noqa: E731
    page.mouse.move(*at(0.3))
    page.evaluate("""() => {
        window.gaps = [];
        let last;
        const frame = (now) => { if (last) window.gaps.push(now - last); last = now; window.following = requestAnimationFrame(frame); };
        requestAnimationFrame(frame);
    }""")
    page.wait_for_timeout(1000)
    rest = page.evaluate("() => window.gaps.splice(0)")  # frame intervals of this browser without dragging
    sent.clear()
    page.mouse.down()
    seen = set()
    for step in range(60):
        page.mouse.move(*at(0.3 + 0.01 * step))
        seen.add(page.locator(f"{BARS} .shown").text_content())
    gaps = page.evaluate("() => { cancelAnimationFrame(window.following); return window.gaps }")
    assert sent == []
    assert len(seen) > 40
    page.mouse.up()
    page.wait_for_function("t => new URL(location).searchParams.get('T') === t", arg=page.locator(f"{BARS} .shown").text_content()[4:])
    assert len(sent) == 1
    assert statistics.median(gaps) < 1.2 * statistics.median(rest)
    context.close()


def test_a_link_opens_the_same_image_at_the_same_t_in_another_browser(app, new_page, run_id):
    first = open_at(new_page, app, run=run_id, image=42, t=4)
    first.locator(f"{BARS} input[type=range]").focus()
    for _ in range(3):
        first.keyboard.press("ArrowRight")
    first.wait_for_function("() => new URL(location).searchParams.get('T') === '4.3'")
    second = new_page(first.url)
    second.locator(f"{BARS} .shown", has_text="T = 4.3").wait_for(timeout=90_000)
    second.locator(f"{BARS} .member", has_text="student").wait_for()
    expect(second.locator(".st-key-soft_targets_index input")).to_have_value("42")
    assert percents(second) == percents(first)
    assert percents(second, ".left") == percents(first, ".left")


def in_address(page, *parts):
    page.wait_for_function("parts => parts.every((part) => location.search.includes(part))", arg=list(parts))
    settled(page)


def choose(page, key, name):
    page.locator(f".st-key-{key}").get_by_role("combobox").click()
    page.get_by_role("option", name=name, exact=True).click()


def caption(page, column=0):
    """The caption of an image in the first row of the grid, to which the pointer is moved from elsewhere."""
    grid = page.locator(".st-key-grid canvas")
    page.mouse.move(0, 0)
    grid.hover(position={"x": 5 + column * grid.bounding_box()["width"] / COLUMNS, "y": 5})
    return page.locator(".st-key-grid .caption").text_content()


def visible_state(page):
    """Everything a link must restore: bars and scale, numbers, formulas, and the list of images."""
    settled(page)
    lengths = page.locator(f"{BARS} .rows .bar").evaluate_all("bars => bars.map((b) => b.style.getPropertyValue('--p'))")
    texts = [page.locator(f"{BARS} {part}").all_text_contents() for part in (".percent", ".numbers", ".equation", ".meter .value")]
    return lengths, texts, caption(page)


def test_a_link_restores_every_choice(app, new_page):
    page = open_at(new_page, app, image=42)
    assert not re.search("scale=|top=|formula=|order=|class=|page=", page.url), "defaults are left out"
    page.locator(f"{BARS} [name=log]").check()
    in_address(page, "scale=log")
    page.locator(f"{BARS} [name=hide]").check()
    in_address(page, "scale=log", "top=hidden")
    page.locator(f"{BARS} .class").nth(3).click()
    in_address(page, "scale=log", "top=hidden", "formula=3")
    choose(page, "soft_targets_order", "in order")
    in_address(page, "order=in+order")
    choose(page, "soft_targets_class", "8")
    in_address(page, "class=8")
    page.get_by_role("button", name="More images").click()
    in_address(page, "page=1")
    other = new_page(page.url)
    other.locator(f"{BARS} .rows.log").wait_for(timeout=90_000)
    in_address(other, "scale=log", "top=hidden", "formula=3", "order=in+order", "class=8", "page=1", "image=42")
    expect(other.locator(f"{BARS} .equation")).to_contain_text("teacher, 3")
    until(lambda: visible_state(other) == visible_state(page))

    other.locator(f"{BARS} [name=log]").uncheck()
    other.locator(f"{BARS} .class").nth(3).click()  # a second click releases the class
    other.wait_for_function("() => !/scale=|formula=/.test(location.search) && location.search.includes('top=hidden')")


@pytest.mark.parametrize("query", ["scale=x&top=5&formula=none&order=z&class=11&page=-7", "page=999999999&written=9&class=&scale="])
def test_invalid_choices_in_a_link_become_the_defaults(app, new_page, query):
    page = open_at(new_page, f"{app}", image=f"3&{query}")
    assert page.get_by_test_id("stException").count() == 0
    expect(page.locator(".st-key-grid canvas")).to_be_visible()
    expect(page.locator(f"{BARS} [name=log]")).not_to_be_checked()


def test_options_are_kept_on_another_page_and_for_another_image(app, new_page):
    page = open_at(new_page, app)
    page.locator(f"{BARS} [name=log]").check()
    in_address(page, "scale=log")
    open_page_from_menu(page, "Learn", "Start")
    page.get_by_role("button", name="Start the race").wait_for()
    open_page_from_menu(page, "Look inside", "Soft targets")
    page.locator(f"{BARS} .rows.log").wait_for(timeout=60_000)
    settled(page)
    page.locator(".st-key-soft_targets_index input").fill("3")
    page.locator(".st-key-soft_targets_index input").press("Enter")
    in_address(page, "image=3", "scale=log")
    expect(page.locator(f"{BARS} [name=log]")).to_be_checked()


def test_t_and_image_are_kept_while_another_page_is_open(app, new_page):
    page = open_at(new_page, app, image=33, t=7)
    page.locator(f"{BARS} input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("() => new URL(location).searchParams.get('T') === '7.1'")
    settled(page)
    open_page_from_menu(page, "Learn", "Start")
    page.get_by_role("button", name="Start the race").wait_for()
    open_page_from_menu(page, "Look inside", "Soft targets")
    page.locator(f"{BARS} .shown", has_text="T = 7.1").wait_for(timeout=60_000)
    expect(page.locator(".st-key-soft_targets_index input")).to_have_value("33")


def test_an_image_is_chosen_by_click_by_keys_and_by_number(app, new_page):
    page = open_at(new_page, app)
    index, grid = page.locator(".st-key-soft_targets_index input"), page.locator(".st-key-grid canvas")
    expect(index).to_have_value("17")
    box = grid.bounding_box()
    grid.click(position={"x": box["width"] / 12, "y": box["height"] / 8})
    page.wait_for_function("() => !/image=17(&|$)/.test(location.search)")
    clicked = re.search(r"image=(\d+)", page.url)[1]
    settled(page)
    expect(index).to_have_value(clicked)
    expect(page.locator(".st-key-grid .caption")).to_have_text(re.compile(f"^Image {clicked}: "))
    grid.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_function("image => !location.search.includes(`image=${image}&`)", arg=clicked)
    settled(page)
    index.fill("100")
    index.press("Enter")
    page.wait_for_function("() => location.search.includes('image=100&')")


def test_more_images_shows_the_next_page_and_teacher_wrong_lists_wrong_predictions(app, new_page, digits):
    page = open_at(new_page, app)
    first = until(lambda: caption(page))
    page.get_by_role("button", name="More images").click()
    in_address(page, "page=1")
    until(lambda: caption(page) != first)
    predictions = teachers.logits(teachers.load_teacher(digits, "cnn-32").network, digits, digits.test_images).argmax(dim=1)
    wrong = min(COLUMNS, int((predictions != digits.test_labels).sum()))
    assert wrong > 1
    choose(page, "soft_targets_order", "teacher wrong")
    in_address(page, "order=teacher+wrong")

    def shown():
        """True class and prediction of the images that are listed first."""
        found = [re.search(r"Image \d+: class (\d), teacher predicts (\d)", caption(page, column)) for column in range(wrong)]
        return all(found) and [match.groups() for match in found]

    until(lambda: (pairs := shown()) and all(label != prediction for label, prediction in pairs))


@pytest.mark.parametrize(
    "query", ["dataset=nothing&teacher=x&run=../x&image=-5&T=nan", "dataset=digits&image=99999&T=1e9", "image=drawing&T=x"]
)
def test_a_link_with_invalid_settings_opens_the_page(app, new_page, query):
    page = new_page(f"{app}/soft_targets?{query}")
    page.locator(f"{BARS} .percent").first.wait_for(timeout=60_000)
    settled(page)
    assert page.get_by_test_id("stException").count() == 0
    assert 0.5 <= float(page.locator(f"{BARS} .shown").text_content().removeprefix("T = ")) <= 30


def test_a_page_that_is_opened_by_a_click_runs_once(app, new_page, browser):
    """The browser sent its token on the first page already; sending it again would rerun every page."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    sent = []
    context.on("page", lambda page: page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame))))
    page = new_page(app, context=context)
    page.get_by_role("button", name="Start the race").wait_for()
    page.wait_for_timeout(1000)
    sent.clear()
    open_page_from_menu(page, "Look inside", "Soft targets")
    page.locator(f"{BARS} .percent").first.wait_for(timeout=60_000)
    settled(page)
    page.wait_for_timeout(1000)
    assert len(sent) == 1
    context.close()


def test_source_code_is_shown_when_its_expander_is_opened(app, new_page):
    page = open_at(new_page, app)
    assert page.get_by_text("distill_core.losses.soft_loss").count() == 0
    page.locator(".st-key-source summary").click()
    page.get_by_text("distill_core.losses.soft_loss").wait_for()
    expect(page.locator("[data-testid=stCode]", has_text="def soft_loss")).to_be_visible()
    expect(page.locator("[data-testid=stExpander] .katex").first).to_be_attached()


# --- Draw --------------------------------------------------------------------------------------------------------


def open_pad(new_page, app, query="", **options):
    page = new_page(f"{app}/draw{query}", **options)
    page.locator(".st-key-draw_bars .member").first.wait_for(timeout=60_000)
    settled(page)
    return page


def draw(page, *points):
    page.locator(".draw-pad canvas").hover(position={"x": 5, "y": 5})  # waits until it no longer moves
    box = page.locator(".draw-pad canvas").bounding_box()
    place = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*place[0])
    page.mouse.down()
    for x, y in place[1:]:
        page.mouse.move(x, y, steps=8)
    page.mouse.up()


SEVEN = ((0.27, 0.2), (0.73, 0.2), (0.45, 0.85))


def test_a_seven_drawn_with_the_mouse_is_classified_as_seven(app, new_page):
    page = open_pad(new_page, app, "?dataset=mnist" if datasets.DATASETS["mnist"].is_here() else "")
    assert page.locator(".st-key-draw_bars .percent").all_text_contents() == [""] * len(page.locator(".st-key-draw_bars .percent").all())
    draw(page, *SEVEN)
    page.locator(".st-key-draw_bars .member", has_text="teacher: 7").wait_for(timeout=60_000)
    page.get_by_role("button", name="Undo").click()
    page.wait_for_function("() => document.querySelector('.st-key-draw_save') === null")
    until(lambda: not any(page.locator(".st-key-draw_bars .percent").all_text_contents()))


def test_teacher_baseline_and_student_of_a_run_classify_the_drawing(app, new_page, run_id):
    page = open_pad(new_page, app, f"?run={run_id}")
    draw(page, *SEVEN)
    page.locator(".st-key-draw_bars .member", has_text="teacher: ").wait_for(timeout=60_000)
    assert [text.split(":")[0] for text in page.locator(".st-key-draw_bars .member").all_text_contents()] == [
        "teacher",
        "baseline",
        "student",
    ]


def test_a_link_without_a_run_shows_only_the_teacher(app, new_page):
    page = open_pad(new_page, app, "?dataset=digits&teacher=mlp-1200x2&T=2")
    expect(page.locator(".st-key-draw_bars .member")).to_have_text(["teacher"])
    in_address(page, "teacher=mlp-1200x2")
    assert "run=" not in page.url


def test_every_stroke_changes_the_bars(app, new_page, run_id):
    page = open_pad(new_page, app, f"?run={run_id}")
    draw(page, *SEVEN)
    page.locator(".st-key-draw_bars .member", has_text="teacher: ").wait_for(timeout=60_000)
    for n in range(4):
        before = page.locator(".st-key-draw_bars .percent").all_text_contents()
        draw(page, (0.2 + 0.15 * n, 0.4), (0.25 + 0.15 * n, 0.7))
        page.wait_for_function(
            """before => {
                const rows = [...document.querySelectorAll('.st-key-draw_bars *')].map((e) => e.shadowRoot).find(Boolean);
                return String([...rows.querySelectorAll('.percent')].map((e) => e.textContent)) !== before;
            }""",
            arg=",".join(before),
            timeout=60_000,
        )


def test_a_finger_draws_on_a_phone_and_the_page_fits(app, new_page, run_id):
    page = open_pad(new_page, app, f"?run={run_id}", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.wait_for_timeout(1000)
    box = page.locator(".draw-pad canvas").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator(".st-key-draw_bars .member", has_text="teacher: ").wait_for(timeout=60_000)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth + 1")


def test_a_saved_drawing_opens_in_soft_targets(app, new_page):
    page = open_pad(new_page, app)
    draw(page, *SEVEN)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save drawing").click()
    assert download.value.path().read_bytes().startswith(b"\x89PNG")
    page.get_by_role("link", name="Open in Soft targets").click()
    page.locator(f"{BARS} .percent").first.wait_for(timeout=90_000)
    in_address(page, "image=drawing")
    expect(page.locator(f"{BARS} .diamond")).to_have_count(0)
    page.locator(".st-key-soft_targets_index input").fill("3")
    page.locator(".st-key-soft_targets_index input").press("Enter")
    page.wait_for_function("() => location.search.includes('image=3&')")
    page.get_by_role("button", name="My drawing").click()
    page.wait_for_function("() => location.search.includes('image=drawing&')")


@pytest.mark.parametrize(
    "state", [None, 3, "x", [], {}, {"pixels": 5}, {"pixels": "no base64!"}, {"pixels": "ä"}, {"pixels": base64.b64encode(b"abc").decode()}]
)
def test_a_malformed_message_of_the_pad_is_an_empty_drawing(state):
    assert read_drawing(state).shape == (GRID, GRID)
    assert not read_drawing(state).any()


@pytest.mark.parametrize("name", ["soft_targets", "draw"])
def test_no_text_is_smaller_than_sixteen_pixels(app, new_page, run_id, name):
    page = open_at(new_page, app, run=run_id) if name == "soft_targets" else open_pad(new_page, app, f"?run={run_id}")
    small = page.evaluate("""() => {
        const found = [];
        const walk = (root) => root.querySelectorAll('*').forEach((element) => {
            if (element.shadowRoot) walk(element.shadowRoot);
            const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
            const style = getComputedStyle(element);
            const parts = '.soft-targets, .image-grid, .draw-pad';
            if (own && element.closest(parts) && element.offsetParent && parseFloat(style.fontSize) < 16) found.push(element.className);
        });
        walk(document);
        return found;
    }""")
    assert small == []


def test_a_link_with_old_names_opens_the_same_view(app, new_page, run_id):
    page = open_at(new_page, app, run=f"{run_id}&beside=baseline&written=3&scale=log")
    page.locator(f"{BARS} .member", has_text="baseline").wait_for()
    in_address(page, "network=baseline", "formula=3", "scale=log")
    expect(page.locator(f"{BARS} .equation").first).to_contain_text("teacher, 3")
