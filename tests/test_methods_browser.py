"""What a learner sees of the methods: cards, what is compared, a bug to be named, a chain of assistants; in a real browser."""

from __future__ import annotations

import pytest
from browser_fixtures import ROOT
from playwright.sync_api import expect
from test_race_browser import BUSY, until


@pytest.fixture(scope="module")
def lab(serve, tmp_path_factory):
    """A server on a home of its own; gives its address."""
    return serve(ROOT / "app.py", DISTILL_HOME=str(tmp_path_factory.mktemp("home")))


def panels(page):
    """Titles and heights of the small pictures, once they are seen: a chart out of sight waits."""
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
    expect(page.get_by_text("What is compared")).to_be_visible(timeout=BUSY)
    maps = [f"block {number}" for number in (1, 2, 3)]
    until(lambda: [title for title, _ in panels(page)] == ["teacher", *maps, "student", *maps])
    until(lambda: [size for _, size in panels(page)] == [8, 4, 2, 1] * 2)  # the digit itself, and what each block makes of it
    page.get_by_text("Relations", exact=True).click()
    until(lambda: [size for _, size in panels(page)] == [20, 20])
    until(lambda: "group=Relations" in page.url)
    again = watched(page.url)
    until(lambda: [size for _, size in panels(again)] == [20, 20])


def bars(page):
    """Who says what, panel by panel."""
    chart = page.locator("[class*='st-key-methods_pairs'] .live-chart")
    chart.scroll_into_view_if_needed(timeout=BUSY)
    return chart.evaluate("(chart) => (chart.querySelector('.js-plotly-plot')?.data ?? []).map((t) => [t.name, t.x.length])")


def test_a_control_shows_what_the_teacher_says_and_what_the_student_hears(lab, watched):
    page = watched(f"{lab}/methods?dataset=digits&group=Controls&method=permuted-classes")
    heard = "heard by the student"
    until(lambda: bars(page) == [["teacher", 10], [heard, 10], ["teacher", 9], [heard, 9]])
    page.get_by_text("Logits", exact=True).click()
    expect(page.get_by_text("What is compared")).to_be_visible(timeout=BUSY)
    expect(page.locator("[class*='st-key-methods_soft_targets']")).to_be_visible(timeout=BUSY)


def test_who_teaches_whom_is_drawn_for_peers_and_for_chains(lab, watched):
    page = watched(f"{lab}/methods?group=Online&method=mutual-3")
    expect(page.get_by_text("Who teaches whom")).to_be_visible(timeout=BUSY)
    chart = page.locator("[class*='st-key-methods_networks'] .js-plotly-plot")
    words = "(chart) => chart.data.filter((t) => t.mode === 'markers+text').flatMap((t) => [...t.text])"
    until(lambda: chart.count() and chart.evaluate(words) == ["student", "peer 1", "peer 2"])
    page.get_by_text("Self and chains", exact=True).click()
    until(lambda: chart.count() and chart.evaluate(words) == [*["cnn-16"] * 5, "mean of<br>probabilities", "student"])


def test_a_card_leads_to_its_race_which_runs(lab, watched):
    page = watched(f"{lab}/methods")
    page.get_by_text("Online", exact=True).click(timeout=BUSY)
    expect(page.get_by_text("Zhang et al. 2018").first).to_be_visible(timeout=BUSY)
    page.get_by_role("link", name="Race it").click()
    page.locator(".st-key-train button:enabled").click(timeout=BUSY)
    until(lambda: "method=mutual-2" in page.url)
    expect(page.get_by_text("finished:").first).to_be_visible(timeout=BUSY)


def test_a_bug_is_hidden_run_and_named(lab, watched):
    page = watched(f"{lab}/find_the_bug")
    page.locator(".st-key-bug_run button:enabled").click(timeout=BUSY)
    drawn = """() => document.querySelector("[class*='st-key-bug_soft_loss'] .js-plotly-plot")?.data
      ?.filter((t) => t.mode === 'lines+markers').map((t) => t.x.length) ?? []"""
    until(lambda: page.evaluate(drawn)[:2] and min(page.evaluate(drawn)[:2]) > 10)
    page.locator(".st-key-bug_run button:enabled").wait_for(timeout=BUSY)
    guesses = page.locator("[class*='st-key-bug_is_'] button")
    expect(guesses).to_have_count(6)
    wrong = 0
    for number in range(6):
        guesses.nth(number).click()
        warnings = page.locator("[data-testid='stAlertContentWarning']")
        page.get_by_text("The repair:").or_(warnings.nth(wrong)).first.wait_for(timeout=BUSY)
        if page.get_by_text("The repair:").count():
            break
        wrong += 1
    expect(page.get_by_text("The repair:")).to_be_visible(timeout=BUSY)
    expect(page.locator("[data-testid='stAlertContentWarning']")).to_have_count(wrong)
    page.locator(".st-key-bug_another button").click()
    expect(page.get_by_text("First let both run.")).to_be_visible(timeout=BUSY)


def test_a_chain_of_assistants_is_drawn_while_it_trains_and_told_at_its_end(lab, watched):
    page = watched(f"{lab}/race?images=150&epochs=20&assistants=mlp-128x2&assistants=mlp-30x2&seeds=2")
    page.locator(".st-key-train button:enabled").click(timeout=BUSY)
    expect(page.get_by_text("finished: 60 epochs").first).to_be_visible(timeout=BUSY)
    names = """() => document.querySelector("[class*='st-key-race_test_accuracy'] .js-plotly-plot").data
      .filter((t) => t.mode === 'lines+markers' && t.x.length).map((t) => t.name)"""
    until(lambda: page.evaluate(names) == ["student", "baseline", "assistant-1", "assistant-2"])
    assert "assistants=mlp-128x2&assistants=mlp-30x2" in page.url  # one assistant, and one earlier generation
