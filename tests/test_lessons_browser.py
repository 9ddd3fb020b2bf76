"""Three lessons in a browser, from the guess to the explanation, and a check of each kind."""

import re

import pytest
from browser_fixtures import ROOT
from playwright.sync_api import expect
from test_race_browser import BUSY

from pages.sections.checks import KINDS


@pytest.fixture(scope="module")
def lab(serve, tmp_path_factory):
    """The address of a server with its own DISTILL_HOME."""
    return serve(ROOT / "app.py", DISTILL_HOME=str(tmp_path_factory.mktemp("home")))


def run(page):
    page.locator(".st-key-lesson_run button:enabled:visible").click(timeout=BUSY)


def open_lesson(page, group, name):
    """Open a lesson from the list, in which the group of the open lesson is unfolded."""
    if not page.locator(f".st-key-lesson_{name}").is_visible():
        page.get_by_test_id("stExpander").get_by_text(group, exact=True).click()
    page.locator(f".st-key-lesson_{name} button:visible").click()
    page.mouse.move(1200, 60)  # away from the list, whose help would stay open


def test_a_learner_goes_through_a_number_a_choice_and_a_fact(lab, watched):
    page = watched(lab)
    page.get_by_role("link", name="Take the first lesson").click(timeout=BUSY)
    expect(page.get_by_role("heading", name="What is knowledge distillation?")).to_be_visible(timeout=BUSY)
    run(page)
    expect(page.get_by_text(re.compile(r"You guessed 0.0|You guessed \+?0"))).to_be_visible(timeout=BUSY)
    expect(page.get_by_role("link", name="soft targets").first).to_be_visible(timeout=BUSY)

    open_lesson(page, "When and why", "when_it_fails")
    expect(page.get_by_role("heading", name="When it does not help")).to_be_visible(timeout=BUSY)
    run(page)
    expect(page.get_by_text("You guessed").first).to_be_visible(timeout=BUSY)

    open_lesson(page, "Concepts", "hard_and_soft_targets")
    expect(page.get_by_role("heading", name="Hard and soft targets")).to_be_visible(timeout=BUSY)
    page.get_by_text("soft targets of a teacher", exact=True).first.click()
    run(page)
    expect(page.get_by_text(re.compile("You guessed soft targets of a teacher"))).to_be_visible(timeout=BUSY)
    dots = "document.querySelector(\"[class*='st-key-lesson_chart'] .js-plotly-plot\")?.data[0].y.length"
    assert page.evaluate(dots) == 2

    page.reload()  # the guesses are in the browser
    expect(page.get_by_text("3 of", exact=False).filter(has_text="lessons done")).to_be_visible(timeout=BUSY)


def test_a_learner_answers_a_question_of_each_kind_reads_the_reason_and_gets_the_next_one(lab, watched):
    page = watched(f"{lab}/checks")
    reason = page.get_by_text(re.compile(r"^(Right\.|The answer is )"))
    for kind in KINDS:
        page.get_by_text(kind, exact=True).click(timeout=BUSY)
        page.locator(f"[class*='st-key-checks_answer_{kind.split()[0]}'] label:visible").filter(has=page.locator("input")).first.click()
        page.locator(".st-key-checks_check button:enabled:visible").click(timeout=BUSY)
        expect(reason).to_be_visible(timeout=BUSY)
        page.locator(".st-key-checks_next button:visible").click()
        expect(reason).to_be_hidden(timeout=BUSY)


def test_a_trial_is_run_by_a_worker_and_kept_for_the_next_learner(lab, watched):
    for visit in (1, 2):
        page = watched(f"{lab}/lessons?lesson=robustness")
        page.get_by_text("blur", exact=True).click(timeout=BUSY)
        run(page)
        expect(page.get_by_text("You guessed blur: right.")).to_be_visible(timeout=BUSY if visit == 1 else 20_000)
        expect(page.get_by_text("Measured for this lab over 10 seeds")).to_be_visible()
