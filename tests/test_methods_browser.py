"""The pages Methods and Find the bug in a browser: cards, inputs of a method, diagrams, guesses; and a race with assistants."""

from __future__ import annotations

import re

import pytest
from browser_fixtures import ROOT
from playwright.sync_api import expect
from test_race_browser import BUSY, until

from distill_core.figures.bugs import BUGS


@pytest.fixture(scope="module")
def lab(serve, tmp_path_factory):
    """The address of a server with its own DISTILL_HOME."""
    return serve(ROOT / "app.py", DISTILL_HOME=str(tmp_path_factory.mktemp("home")))


def panels(page):
    """Titles and heights of the panels. Charts are drawn only when they are scrolled into view."""
    chart = page.locator("[class*='st-key-methods_panels'] .live-chart")
    chart.scroll_into_view_if_needed(timeout=BUSY)
    return chart.evaluate(
        """(chart) => (chart.querySelector(".js-plotly-plot")?.layout?.annotations ?? []).map(({ text }, i) => {
          const { z } = chart.querySelector(".js-plotly-plot").data[i];
          return [text, parseInt(z.shape ?? z.length)];
        })"""
    )


def test_features_and_relations_of_both_networks_are_drawn_from_real_images(lab, watched):
    page = watched(f"{lab}/methods?dataset=digits&group=Features&method=attention")
    expect(page.get_by_text("What the method compares")).to_be_visible(timeout=BUSY)
    maps = [f"block {number}" for number in (1, 2, 3)]
    until(lambda: [title for title, _ in panels(page)] == ["teacher", *maps, "student", *maps])
    until(lambda: [size for _, size in panels(page)] == [8, 4, 2, 1] * 2)  # the image, then the attention map of each block
    page.get_by_text("Relation-based", exact=True).click()
    until(lambda: [size for _, size in panels(page)] == [20, 20])
    expect(page).to_have_url(re.compile("group=Relations"), timeout=BUSY)
    again = watched(page.url)
    until(lambda: [size for _, size in panels(again)] == [20, 20])


def bars(page):
    """Names and lengths of the bar traces, panel by panel."""
    chart = page.locator("[class*='st-key-methods_pairs'] .live-chart")
    chart.scroll_into_view_if_needed(timeout=BUSY)
    return chart.evaluate("(chart) => (chart.querySelector('.js-plotly-plot')?.data ?? []).map((t) => [t.name, t.x.length])")


def test_a_control_shows_the_teachers_soft_targets_and_those_of_its_student(lab, watched):
    page = watched(f"{lab}/methods?dataset=digits&group=Controls&method=permuted-classes")
    targets = "targets of the student"
    until(lambda: bars(page) == [["teacher", 10], [targets, 10], ["teacher", 9], [targets, 9]])
    page.get_by_text("Response-based", exact=True).click()
    expect(page.get_by_text("What the method compares")).to_be_visible(timeout=BUSY)
    expect(page.locator("[class*='st-key-methods_soft_targets']")).to_be_visible(timeout=BUSY)


def test_the_networks_of_mutual_learning_and_of_an_ensemble_are_drawn(lab, watched):
    page = watched(f"{lab}/methods?group=Online&method=mutual-3")
    expect(page.get_by_text("Which network teaches which")).to_be_visible(timeout=BUSY)
    chart = page.locator("[class*='st-key-methods_networks'] .js-plotly-plot")
    words = "(chart) => chart.data.filter((t) => t.mode === 'markers+text').flatMap((t) => [...t.text])"
    until(lambda: chart.count() and chart.evaluate(words) == ["student", "peer 1", "peer 2"])
    page.get_by_text("Ensembles and chains", exact=True).click()
    expect(page.get_by_text("The soft targets are the mean probabilities of five networks").first).to_be_visible(timeout=BUSY)
    page.locator("[class*='st-key-methods_networks'] .live-chart").scroll_into_view_if_needed()  # it is drawn where it is seen
    until(lambda: chart.count() and chart.evaluate(words) == [*["cnn-16"] * 5, "mean of<br>probabilities", "student"])


def test_a_method_is_raced_from_its_card(lab, watched):
    page = watched(f"{lab}/methods")
    page.get_by_text("Online", exact=True).click(timeout=BUSY)
    expect(page.get_by_text("Zhang et al. 2018").first).to_be_visible(timeout=BUSY)
    page.get_by_role("link", name="Race this method").click()
    page.locator(".st-key-train button:enabled:visible").click(timeout=BUSY)
    expect(page).to_have_url(re.compile("method=mutual-2"), timeout=BUSY)
    expect(page.get_by_text("finished:").first).to_be_visible(timeout=BUSY)


def test_a_bug_is_trained_guessed_and_replaced_by_a_new_one(lab, watched):
    page = watched(f"{lab}/find_the_bug")
    page.locator(".st-key-bug_train button:enabled:visible").click(timeout=BUSY)
    drawn = """() => document.querySelector("[class*='st-key-bug_soft_loss'] .js-plotly-plot")?.data
      ?.filter((t) => t.mode === 'lines+markers').map((t) => t.x.length) ?? []"""
    until(lambda: page.evaluate(drawn)[:2] and min(page.evaluate(drawn)[:2]) > 10)
    page.locator(".st-key-bug_train button:enabled:visible").wait_for(timeout=BUSY)
    guesses = page.locator("[class*='st-key-bug_is_'] button:visible")
    expect(guesses).to_have_count(len(BUGS))
    wrong = 0
    for number in range(len(BUGS)):
        guesses.nth(number).click()
        warnings = page.locator("[data-testid='stAlertContentWarning']")
        page.get_by_text("Fix:").or_(warnings.nth(wrong)).first.wait_for(timeout=BUSY)
        if page.get_by_text("Fix:").count():
            break
        wrong += 1
    expect(page.get_by_text("Fix:")).to_be_visible(timeout=BUSY)
    expect(page.locator("[data-testid='stAlertContentWarning']")).to_have_count(wrong)
    page.get_by_role("button", name="New bug").click()
    expect(page.get_by_text(re.compile("Press Train both first"))).to_be_visible(timeout=BUSY)


def test_a_race_with_assistants_draws_one_curve_per_assistant(lab, watched):
    page = watched(f"{lab}/race?images=150&epochs=20&assistants=mlp-128x2&assistants=mlp-30x2&seeds=2")
    page.locator(".st-key-train button:enabled:visible").click(timeout=BUSY)
    expect(page.get_by_text("finished: 60 epochs").first).to_be_visible(timeout=BUSY)
    names = """() => document.querySelector("[class*='st-key-race_test_accuracy'] .js-plotly-plot").data
      .filter((t) => t.mode === 'lines+markers' && t.x.length).map((t) => t.name)"""
    until(lambda: page.evaluate(names) == ["student", "baseline", "assistant-1", "assistant-2"])
    assert "assistants=mlp-128x2&assistants=mlp-30x2" in page.url  # an assistant and an earlier generation


def test_every_formula_above_the_source_code_is_drawn(lab, watched):
    page = watched(f"{lab}/soft_targets")
    page.get_by_text("Source code that this app runs").click(timeout=BUSY)
    expect(page.locator(".katex-display")).to_have_count(2, timeout=BUSY)  # of soften and of soft_loss
    assert not page.locator(".katex-error").count()
