"""The pages Dark knowledge and Calibration in a browser, on the digits."""

import re

import pytest
from browser_fixtures import ROOT, settled
from playwright.sync_api import expect
from test_race_browser import STILL, until

from distill_core.experiment import Experiment
from distill_core.runs.store import Store
from distill_core.training.cohort import Cohort

SLOW = 60_000


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A DISTILL_HOME with one finished race: its folder and the run's id."""
    folder = tmp_path_factory.mktemp("home")
    race = Experiment(images=100, epochs=5, batch_size=16, teacher="cnn-32")
    store = Store(folder / "lab.sqlite")
    run_id = store.create([race.to_json()], key="a race", title="a race", epochs=5)
    cohort = Cohort([race])
    store.append(run_id, [record for step in cohort.steps() for record in step])
    for name, blob in cohort.artefacts().items():
        store.write_artefact(run_id, name, blob)
    store.set_status(run_id, "finished")
    store.close()
    return folder, run_id


@pytest.fixture(scope="module")
def lab(serve, home):
    return serve(ROOT / "app.py", DISTILL_HOME=str(home[0]))


def check_text_and_width(page):
    settled(page)
    text = page.locator("[data-testid='stMain']").inner_text()
    assert not re.search(r"\b(None|nan|NaN|undefined|Traceback)\b", text), text
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    return text


def cells(page, key="means_0"):
    return page.evaluate(f"document.querySelector('.st-key-{key} .paper')._fullData[0].z.map((row) => [...row])")


def painted(page, key, timeout=SLOW):
    page.wait_for_function(f"document.querySelector('.st-key-{key} .live-chart')?.dataset.painted > 0", timeout=timeout)


def wait_for_address(page, part):
    page.wait_for_function("(part) => location.search.includes(part)", arg=part, timeout=SLOW)


def wrong_probability(page):
    sentence = page.get_by_text("the wrong classes have a mean probability of").first
    expect(sentence).to_be_visible(timeout=SLOW)
    return float(re.search(r"probability of ([\d.]+) %", sentence.inner_text())[1])


def test_the_numbers_follow_the_temperature_and_the_link_restores_them(lab, new_page):
    page = new_page(f"{lab}/dark_knowledge?dataset=digits&teacher=cnn-32&T=1")
    painted(page, "means_0")
    cold, at_one = wrong_probability(page), cells(page)
    assert len(at_one) == 10 and all(row[i] is None or row[i] != row[i] for i, row in enumerate(at_one)), "the diagonal is hidden"
    page.wait_for_function(STILL, timeout=SLOW)  # Streamlit replaces the slider while the page is still loading
    thumb = page.locator(".st-key-dark_T input[type=range]")
    thumb.focus()
    for _ in range(6):
        thumb.press("ArrowRight")
    expect(page.get_by_text("At T = 5")).to_be_visible(timeout=SLOW)
    hot = wrong_probability(page)
    page.wait_for_function("(z) => document.querySelector('.st-key-means_0 .paper')._fullData[0].z[1][8] > 3 * z", arg=at_one[1][8])
    assert hot > 5 * cold
    page.get_by_text("log", exact=True).click()
    wait_for_address(page, "scale=log")
    assert "T=5" in page.url and "dataset=digits" in page.url
    check_text_and_width(page)

    other = new_page(page.url)
    expect(other.get_by_text("At T = 5")).to_be_visible(timeout=SLOW)
    painted(other, "means_0")
    assert wrong_probability(other) == hot
    until(lambda: cells(other) == cells(page))


def test_two_teachers_are_compared_in_every_view(lab, new_page):
    page = new_page(f"{lab}/dark_knowledge?dataset=digits&teacher=cnn-32&compare=mlp-1200x2&T=8")
    painted(page, "means_0")
    painted(page, "means_1")
    assert cells(page, "means_0") != cells(page, "means_1")
    expect(page.get_by_text(re.compile("Class spread.*cnn-32.*mlp-1200x2.*difference"))).to_be_visible(timeout=SLOW)
    page.get_by_text("Similarity graph", exact=True).click()
    painted(page, "graph_1")
    check_text_and_width(page)
    page.get_by_text("Logit projection", exact=True).click()
    plots = page.locator(".cloud .plot")
    expect(plots).to_have_count(2, timeout=SLOW)
    settled(page)
    plots.first.focus()
    page.keyboard.press("ArrowRight")
    selected = page.locator(".cloud .selected p")
    expect(selected).to_contain_text(re.compile(r"True class \d; cnn-32 predicts \d, mlp-1200x2 predicts \d\."))
    box = plots.last.bounding_box()
    before = selected.inner_text()
    for across in range(10, 95, 3):  # until the pointer is over another image; needs no rerun
        page.mouse.move(box["x"] + box["width"] * across / 100, box["y"] + box["height"] / 2)
        if selected.inner_text() != before:
            break
    assert selected.inner_text() != before
    assert page.locator(".cloud .selected canvas").evaluate("(canvas) => canvas.width") == 8
    page.get_by_text("Images between two classes", exact=True).click()
    expect(page.locator(".gallery figure")).to_have_count(8, timeout=SLOW)
    assert page.locator(".gallery figure").first.locator(".member").count() == 2
    wait_for_address(page, "first=")
    check_text_and_width(page)


def test_a_link_with_invalid_settings_opens_with_the_defaults(lab, new_page):
    page = new_page(f"{lab}/dark_knowledge?dataset=moon&teacher=nobody&T=nan&view=9&part=x")
    painted(page, "means_0")
    check_text_and_width(page)
    page = new_page(f"{lab}/calibration?run=none&view=Reliability")
    expect(page.get_by_text("This run does not exist")).to_be_visible(timeout=SLOW)
    check_text_and_width(page)


def test_calibration_shows_teacher_baseline_and_student_of_a_run_and_its_link_restores_the_view(lab, home, new_page):
    page = new_page(f"{lab}/calibration?run={home[1]}")
    painted(page, "reliability_2")
    text = check_text_and_width(page)
    errors = {name: float(points) for name, points in re.findall(r"(teacher|baseline|student): ECE ([\d.]+) points", text)}
    assert set(errors) == {"teacher", "baseline", "student"}
    page.get_by_text("Temperature scaling", exact=True).click()
    painted(page, "scaling")
    expect(page.get_by_text(re.compile("fitted on 179 test images.*the other 180"))).to_be_visible(timeout=SLOW)
    page.get_by_text("Disagreements", exact=True).click()
    expect(page.locator(".gallery figure")).to_have_count(12, timeout=SLOW)
    assert page.locator(".gallery figure").first.locator(".who").all_inner_texts() == ["◆ teacher", "■ baseline", "● student"]
    wait_for_address(page, "view=Disagreements")

    other = new_page(page.url, viewport={"width": 390, "height": 844})
    expect(other.locator(".gallery figure")).to_have_count(12, timeout=SLOW)
    assert other.locator(".gallery").inner_text() == page.locator(".gallery").inner_text()
    check_text_and_width(other)


def test_calibration_compares_two_teachers_without_a_run(lab, new_page):
    page = new_page(f"{lab}/calibration?dataset=digits&teacher=cnn-32&compare=mlp-1200x2&view=Accuracy+vs.+coverage")
    painted(page, "coverage")
    expect(page.get_by_text(re.compile("Accuracy: cnn-32 .* on its most confident half"))).to_be_visible(timeout=SLOW)
    check_text_and_width(page)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("dark_knowledge?dataset=digits&teacher=cnn-32&beside=mlp-1200x2&view=Looks+like&doubts=3", ["compare=mlp-1200x2", "edges=3"]),
        ("dark_knowledge?dataset=digits&teacher=cnn-32&beside=nobody&view=Map+of+images&map=PCA", ["compare=none", "projection=PCA"]),
        ("dark_knowledge?dataset=digits&view=What+two+share&first=3&second=5", ["view=Images+between+two+classes", "first=3"]),
        ("calibration?dataset=digits&teacher=cnn-32&beside=mlp-1200x2&view=When+silent", ["compare=mlp-1200x2", "coverage"]),
        ("calibration?dataset=digits&teacher=cnn-32&beside=mlp-1200x2&view=Disputed&by=names", ["view=Disagreements", "sort=classes"]),
    ],
)
def test_a_link_with_old_names_opens_the_same_view(lab, new_page, old, new):
    page = new_page(f"{lab}/{old}")
    for part in new:
        wait_for_address(page, part)
    check_text_and_width(page)
