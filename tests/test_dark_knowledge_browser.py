"""The pages Dark knowledge and Trust in a browser, on the digits."""

import re

import pytest
from browser_fixtures import ROOT
from playwright.sync_api import expect
from test_race_browser import STILL

from distill_core.experiment import Experiment
from distill_core.runs.store import Store
from distill_core.training.cohort import Cohort

SLOW = 60_000


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A DISTILL_HOME that holds one finished race; gives its folder and the run's id."""
    folder = tmp_path_factory.mktemp("home")
    race = Experiment(images=100, epochs=5, batch_size=16, teacher="cnn-32")
    store = Store(folder / "lab.sqlite")
    run_id = store.create([race.to_json()], key="a race", title="a race", epochs=5)
    cohort = Cohort([race])
    told = [one for step in cohort.steps() for one in step]
    store.append(run_id, told)
    for name, blob in cohort.artefacts().items():
        store.write_artefact(run_id, name, blob)
    store.set_status(run_id, "finished")
    store.close()
    return folder, run_id


@pytest.fixture(scope="module")
def lab(serve, home):
    return serve(ROOT / "app.py", DISTILL_HOME=str(home[0]))


def settled(page):
    page.locator("[data-testid='stApp'][data-test-script-state='notRunning']").wait_for(state="attached", timeout=SLOW)


def nothing_amiss(page):
    settled(page)
    words = page.locator("[data-testid='stMain']").inner_text()
    assert not re.search(r"\b(None|nan|NaN|undefined|Traceback)\b", words), words
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    return words


def cells(page, key="means_0"):
    return page.evaluate(f"document.querySelector('.st-key-{key} .paper')._fullData[0].z.map((row) => [...row])")


def painted(page, key, timeout=SLOW):
    page.wait_for_function(f"document.querySelector('.st-key-{key} .live-chart')?.dataset.painted > 0", timeout=timeout)


def said_in_address(page, part):
    page.wait_for_function("(part) => location.search.includes(part)", arg=part, timeout=SLOW)


def wrong_share(page):
    words = page.get_by_text("the wrong classes hold").first
    expect(words).to_be_visible(timeout=SLOW)
    return float(re.search(r"hold ([\d.]+) %", words.inner_text())[1])


def test_the_numbers_follow_the_temperature_and_the_link_restores_them(lab, new_page):
    page = new_page(f"{lab}/dark_knowledge?dataset=digits&teacher=cnn-32&T=1")
    painted(page, "means_0")
    cold, at_one = wrong_share(page), cells(page)
    assert len(at_one) == 10 and all(row[i] is None or row[i] != row[i] for i, row in enumerate(at_one)), "the right class is hidden"
    page.wait_for_function(STILL, timeout=SLOW)  # a page that is still coming draws its slider anew
    thumb = page.locator(".st-key-dark_T input[type=range]")
    thumb.focus()
    for _ in range(6):
        thumb.press("ArrowRight")
    expect(page.get_by_text("At T = 5")).to_be_visible(timeout=SLOW)
    hot = wrong_share(page)
    page.wait_for_function("(z) => document.querySelector('.st-key-means_0 .paper')._fullData[0].z[1][8] > 3 * z", arg=at_one[1][8])
    assert hot > 5 * cold
    page.get_by_text("log", exact=True).click()
    said_in_address(page, "scale=log")
    assert "T=5" in page.url and "dataset=digits" in page.url
    nothing_amiss(page)

    other = new_page(page.url)
    expect(other.get_by_text("At T = 5")).to_be_visible(timeout=SLOW)
    painted(other, "means_0")
    assert wrong_share(other) == hot and cells(other) == cells(page)


def test_two_teachers_stand_side_by_side_in_every_view(lab, new_page):
    page = new_page(f"{lab}/dark_knowledge?dataset=digits&teacher=cnn-32&beside=mlp-1200x2&T=8")
    painted(page, "means_1")
    assert cells(page, "means_0") != cells(page, "means_1")
    expect(page.get_by_text(re.compile("Spread within classes.*cnn-32.*mlp-1200x2.*difference"))).to_be_visible(timeout=SLOW)
    page.get_by_text("Looks like", exact=True).click()
    painted(page, "graph_1")
    nothing_amiss(page)
    page.get_by_text("Map of images", exact=True).click()
    maps = page.locator(".cloud .map")
    expect(maps).to_have_count(2, timeout=SLOW)
    settled(page)
    maps.first.focus()
    page.keyboard.press("ArrowRight")
    said = page.locator(".cloud .shown p")
    expect(said).to_contain_text(re.compile(r"This is \d; cnn-32 says \d, mlp-1200x2 says \d\."))
    box = maps.last.bounding_box()
    before = said.inner_text()
    for across in range(10, 95, 3):  # until the pointer meets another image; no server is asked
        page.mouse.move(box["x"] + box["width"] * across / 100, box["y"] + box["height"] / 2)
        if said.inner_text() != before:
            break
    assert said.inner_text() != before
    assert page.locator(".cloud .shown canvas").evaluate("(canvas) => canvas.width") == 8
    page.get_by_text("What two share", exact=True).click()
    expect(page.locator(".gallery figure")).to_have_count(8, timeout=SLOW)
    assert page.locator(".gallery figure").first.locator(".member").count() == 2
    said_in_address(page, "first=")
    nothing_amiss(page)


def test_a_link_that_says_what_cannot_be_is_mended(lab, new_page):
    page = new_page(f"{lab}/dark_knowledge?dataset=moon&teacher=nobody&T=nan&view=9&part=x")
    painted(page, "means_0")
    nothing_amiss(page)
    page = new_page(f"{lab}/calibration?run=none&view=Reliability")
    expect(page.get_by_text("That run is not here")).to_be_visible(timeout=SLOW)
    nothing_amiss(page)


def test_trust_shows_teacher_baseline_and_student_of_a_run_and_its_link_restores_the_view(lab, home, new_page):
    page = new_page(f"{lab}/calibration?run={home[1]}")
    painted(page, "reliability_2")
    words = nothing_amiss(page)
    errors = {name: float(points) for name, points in re.findall(r"(teacher|baseline|student): ECE ([\d.]+) points", words)}
    assert set(errors) == {"teacher", "baseline", "student"}
    page.get_by_text("Temperature scaling", exact=True).click()
    painted(page, "scaling")
    expect(page.get_by_text(re.compile("fitted on 179 test images.*the other 180"))).to_be_visible(timeout=SLOW)
    page.get_by_text("Disputed", exact=True).click()
    expect(page.locator(".gallery figure")).to_have_count(12, timeout=SLOW)
    assert page.locator(".gallery figure").first.locator(".who").all_inner_texts() == ["◆ teacher", "■ baseline", "● student"]
    said_in_address(page, "view=Disputed")

    other = new_page(page.url, viewport={"width": 390, "height": 844})
    expect(other.locator(".gallery figure")).to_have_count(12, timeout=SLOW)
    assert other.locator(".gallery").inner_text() == page.locator(".gallery").inner_text()
    nothing_amiss(other)


def test_trust_shows_teachers_alone(lab, new_page):
    page = new_page(f"{lab}/calibration?dataset=digits&teacher=cnn-32&beside=mlp-1200x2&view=When+silent")
    painted(page, "coverage")
    expect(page.get_by_text(re.compile("Right are: cnn-32 .* of its surest half"))).to_be_visible(timeout=SLOW)
    nothing_amiss(page)
