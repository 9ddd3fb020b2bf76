"""The check with a budget and the advisor's press, in a browser: both train for real."""

import re

import pytest
from browser_fixtures import ROOT
from playwright.sync_api import expect
from test_race_browser import BUSY

from distill_core.advisor import advise


@pytest.fixture(scope="module")
def lab(serve, tmp_path_factory):
    """The address of a server with its own DISTILL_HOME."""
    return serve(ROOT / "app.py", DISTILL_HOME=str(tmp_path_factory.mktemp("home")))


def test_a_choice_above_the_budget_is_refused_and_one_that_fits_is_trained_against_the_labs_and_judged(lab, watched):
    page = watched(f"{lab}/checks?kind=Choose+for+a+budget&number=2")
    expect(page.get_by_role("heading", name=re.compile("labelled images of Digits", re.IGNORECASE))).to_be_visible(timeout=BUSY)
    student = page.locator("[class*='st-key-budget_student'] input")
    student.click()
    page.get_by_role("option", name=re.compile("mlp-100x2")).click()
    expect(page.get_by_text("and the budget is")).to_be_visible(timeout=BUSY)
    expect(page.locator(".st-key-budget_run button:visible")).to_be_disabled()
    student.click()
    page.get_by_role("option", name=re.compile("mlp-3x2")).click()
    page.locator(".st-key-budget_run button:enabled:visible").click(timeout=BUSY)
    expect(page.get_by_text(re.compile(r"Over 5 seeds your student has a test accuracy of .*95 % interval"))).to_be_visible(timeout=BUSY)
    expect(page.get_by_text("The lab's choice:")).to_be_visible()
    expect(page.get_by_text("of 1 right at the first answer.")).to_be_visible()
    assert page.evaluate("document.querySelector(\"[class*='st-key-budget_curves'] .js-plotly-plot\")?.data.length") == 4
    page.get_by_text("Ask the advisor").click()
    expect(page.get_by_text("It rests on")).to_be_visible(timeout=BUSY)


def test_the_advisors_press_opens_a_race_that_trains_its_settings(lab, watched):
    page = watched(f"{lab}/advisor?dataset=digits&labels=100&kilobytes=4")
    found = advise("digits", labels=100, max_bytes=4000)
    expect(page.get_by_text(found.headline)).to_be_visible(timeout=BUSY)
    page.get_by_text("Try it: a race with these settings").click()
    expect(page.get_by_role("heading", name="Race: with and without a teacher")).to_be_visible(timeout=BUSY)
    page.locator(".st-key-train button:enabled:visible").click(timeout=BUSY)
    expect(page.get_by_text(re.compile("finished: .* 10 seeds"))).to_be_visible(timeout=BUSY)
    expect(
        page.get_by_text(
            re.compile(f"Over 10 seeds, 359 test images: the student has a test accuracy of {found.candidates[0].accuracy[0]:.1f}")
        )
    ).to_be_visible(timeout=BUSY)
