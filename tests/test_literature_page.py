"""The page Experiments from papers: every study opens, its replay is labelled, and its links restore a smaller version."""

from dataclasses import replace

import pytest
from browser_fixtures import ROOT
from playwright.sync_api import expect
from test_pages import alone, shown_text  # noqa: F401 (a fixture)
from test_race_browser import BUSY

from distill_core.studies import study as studies
from distill_core.studies.literature import STUDIES
from pages.sections import controls, sweep

PAGE = "experiments_from_papers"


@pytest.mark.parametrize("name", STUDIES)
def test_a_link_opens_a_study_with_its_question_its_source_and_its_labelled_replay(alone, name):  # noqa: F811
    app = alone(PAGE, link={"study": name}).run()
    assert not app.exception and not app.error
    text = " ".join(shown_text(app))
    entry = STUDIES[name]
    assert entry.question in text and entry.paper in text and entry.source.replace("*", "") in text and entry.notes in text
    if kept := studies.kept().get(name):
        assert "Replay" in text and kept["date"] in text and kept["command"] in text
        table = app.dataframe[0].value
        assert table["paper"].tolist() == [claim.paper for claim in entry.judge(kept["runs"])]
    else:
        assert "Not measured for this lab yet" in text and not app.dataframe


def test_a_study_that_does_not_exist_opens_the_first(alone):  # noqa: F811
    app = alone(PAGE, link={"study": "nope"}).run()
    assert not app.exception and app.session_state["literature_study"] == next(iter(STUDIES))


@pytest.mark.parametrize("name", STUDIES)
def test_the_links_of_a_study_restore_its_smaller_version_on_the_race_page(alone, name):  # noqa: F811
    entry = STUDIES[name]
    assert entry.live
    experiment = next(iter(entry.live.values()))
    app = alone("race", link=controls.link_to([replace(experiment, seed=seed) for seed in range(5)])).run()
    assert not app.exception and not app.error and not app.toast
    restored = {field: app.session_state[field] for field in ("dataset", "images", "student", "temperature", "alpha", "epochs")}
    assert restored == {field: getattr(experiment, field) for field in restored}


def test_the_link_to_a_sweep_restores_its_axes(alone):  # noqa: F811
    grid, usual = STUDIES["best-temperature"].sweep
    app = alone("sweep", link=sweep.link_to(grid, usual)).run()
    assert not app.exception and not app.error and not app.toast
    state = app.session_state
    assert (state["sweep_x"], state["sweep_y"], state["sweep_seeds"]) == (grid.x, grid.y, grid.seeds)
    assert tuple(state["sweep_values_temperature"]) == grid.xs and set(state["sweep_values_student"]) == set(grid.ys)
    assert (state["sweep_images"], state["sweep_learning_rate"]) == (usual.images, usual.learning_rate)


def test_a_learner_reads_a_replay_and_opens_its_race(serve, watched, tmp_path):
    page = watched(f"{serve(ROOT / 'app.py', DISTILL_HOME=str(tmp_path / 'home'))}/{PAGE}?study=missing-3-bias")
    expect(page.get_by_text("Replay", exact=True)).to_be_visible(timeout=BUSY)
    chart = page.locator("[class*='st-key-literature_figure'] .js-plotly-plot")
    expect(chart).to_be_visible(timeout=BUSY)
    names = chart.evaluate("(chart) => chart.data.map((trace) => trace.name)")
    assert "all errors, this lab" in names and "all errors, paper" in names
    page.get_by_role("link", name="Race: No 3").click()
    expect(page).to_have_title("Race \u00b7 Distill Lab", timeout=BUSY)
    expect(page.locator(".st-key-train button").first).to_be_enabled(timeout=BUSY)
    assert "hide_classes=3" in page.url and "student=mlp-256x2" in page.url
