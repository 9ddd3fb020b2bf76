"""The advisor: chooses on validation images, reports the test images, and names what was not measured."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from browser_fixtures import ROOT
from streamlit.testing.v1 import AppTest

from distill_core import advisor
from distill_core.__main__ import main
from distill_core.advisor import BYTES, advise, title_of
from distill_core.experiment import Experiment
from distill_core.statistics import format_points, mean_interval, paired_difference
from distill_core.studies import advice
from pages.sections.controls import link_to

CELLS = list(advice.CELLS)


def row_of(student, parameters, settings, images=100):
    """A row of the digits with these `(temperature, alpha, validation, test)`."""
    experiment = json.loads(Experiment(dataset="digits", images=images, validation=300, student=student).to_json())
    names = ("temperature", "alpha", "validation", "test")
    return {
        "experiment": experiment,
        "parameters": parameters,
        "test_images": 359,
        "date": "2026-11-27",
        "settings": [dict(zip(names, one, strict=True)) for one in settings],
    }


@pytest.fixture
def rows(monkeypatch):
    """`rows(...)`: what was measured, in place of the shipped grid."""
    return lambda *found: monkeypatch.setattr(advice, "kept", lambda: list(found))


SMALL = row_of("mlp-5x2", 500, [(2.0, 0.1, [80, 81], [70, 71]), (4.0, 0.5, [85, 86], [60, 61]), (4.0, 1.0, [75, 75], [59, 58])])
LARGE = row_of("mlp-30x2", 3000, [(2.0, 0.1, [90, 91], [91, 90]), (4.0, 0.5, [89, 88], [95, 96]), (4.0, 1.0, [88, 88], [89, 90])])


def test_student_t_and_alpha_are_chosen_on_the_validation_images_and_the_test_images_only_report(rows):
    rows(SMALL, LARGE)
    found = advise("digits", labels=100)
    best = found.candidates[0]
    assert (best.experiment.student, best.experiment.temperature, best.experiment.alpha) == ("mlp-30x2", 2.0, 0.1)
    assert best.accuracy == mean_interval([91, 90])
    assert best.gain == pytest.approx(paired_difference(np.array([91, 90]), np.array([89, 90]), test_images=359))


def test_a_student_above_the_budget_is_not_advised(rows):
    rows(SMALL, LARGE)
    assert [one.experiment.student for one in advise("digits", labels=100, max_bytes=2000).candidates] == ["mlp-5x2"]


def test_a_budget_below_every_measured_student_is_refused_with_the_smallest(rows, refused):
    rows(SMALL, LARGE)
    with refused("1,999", "mlp-5x2", "2,000"):
        advise("digits", labels=100, max_bytes=1999)


def test_labels_alone_are_advised_where_no_temperature_was_better(rows):
    rows(row_of("mlp-5x2", 500, [(2.0, 0.1, [80, 81], [90, 91]), (4.0, 1.0, [85, 85], [70, 71])]))
    found = advise("digits", labels=100)
    assert found.experiment.alpha == 1 and "labels alone" in found.headline and not found.candidates[0].distils


def test_a_number_of_labels_that_was_not_measured_gets_the_nearest_and_says_so(rows):
    rows(SMALL, row_of("mlp-30x2", 3000, [tuple(one.values()) for one in LARGE["settings"]], images=1000))
    found = advise("digits", labels=900)
    assert found.candidates[0].experiment.images == 1000 and found.experiment.images == 900
    assert any("not with 900" in gap and "advice for 1,000" in gap for gap in found.gaps)
    assert not any("not with" in gap for gap in advise("digits", labels=1000).gaps)
    assert any("outside" in gap for gap in advise("digits", labels=5).gaps)


def test_a_data_set_that_was_not_measured_gets_no_candidate_and_says_so():
    found = advise("fashion-mnist", labels=1000, max_bytes=10_000)
    assert found.candidates == () and "Not measured" in found.headline
    assert any("Fashion-MNIST was not measured" in gap for gap in found.gaps)


def test_an_interval_that_contains_zero_is_called_so(rows):
    rows(row_of("mlp-5x2", 500, [(2.0, 0.1, [80, 81], [70, 75]), (4.0, 1.0, [75, 75], [74, 71])]))
    assert "cannot tell it from none" in advise("digits", labels=100).reasons[0]


@pytest.mark.parametrize(
    ("dataset", "labels", "size", "words"),
    [("cats", 10, 10, ("cats", "mnist")), ("digits", 0, 10, ("labels 0", "1,438")), ("digits", 10, 0, ("0 bytes", "20000"))],
)
def test_what_cannot_be_advised_is_refused_in_one_sentence(refused, dataset, labels, size, words):
    with refused(*words):
        advise(dataset, labels=labels, max_bytes=size)


@pytest.mark.parametrize("cell", CELLS)
def test_the_shipped_advice_rests_on_ten_seeds_and_fits_its_budget(cell):
    dataset, labels = cell
    found = advise(dataset, labels=labels, max_bytes=40_000)
    assert found.seeds == 10 and f"{labels:,} labels over 10 seeds" in found.reasons[0]
    assert all(BYTES * one.parameters <= 40_000 for one in found.candidates)
    assert all(one.gain[1] <= one.gain[0] <= one.gain[2] and not math.isnan(one.gain[1]) for one in found.candidates)


def line_of(dataset, labels, kilobytes):
    """A line of the table in README."""
    best = advise(dataset, labels=labels, max_bytes=1000 * kilobytes).candidates[0]
    chosen = f"T = {best.experiment.temperature:g}, alpha = {best.experiment.alpha:g}" if best.distils else "labels alone"
    gain = f"{format_points(best.gain[0])} ({format_points(best.gain[1])} to {format_points(best.gain[2])})"
    numbers = f"{best.accuracy[0]:.1f} % | {best.labels_alone[0]:.1f} % | {gain}"
    return f"| {title_of(dataset)} | {labels:,} | {kilobytes} kB | `{best.experiment.student}`, {chosen} | {numbers} |"


@pytest.mark.parametrize("cell", CELLS)
def test_the_readme_has_the_advice_of_every_cell_for_two_budgets(cell):
    readme = (ROOT / "README.md").read_text()
    for kilobytes in (20, 100):
        assert line_of(*cell, kilobytes) in readme


def test_it_quotes_the_comparison_of_methods_where_there_is_one_and_says_where_there_is_none():
    assert any("Comparison of methods, MNIST, 1,000 images" in reason for reason in advise("mnist", labels=1000).reasons)
    assert any("was not measured on" in reason for reason in advise("digits", labels=100).reasons)
    assert any("Lesson Temperature:" in reason for reason in advise("digits", labels=100).reasons)


def test_the_command_prints_the_advice_of_a_budget(capsys):
    assert main(["advise", "--dataset", "mnist", "--labels", "2000", "--bytes", "20000", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    found = advise("mnist", labels=2000, max_bytes=20_000)
    assert printed["headline"] == found.headline and Experiment.from_fields(printed["experiment"]) == found.experiment
    assert main(["advise", "--dataset", "mnist", "--labels", "2000", "--parameters", "5000"]) == 0
    assert capsys.readouterr().out.startswith(found.headline)
    assert main(["advise", "--bytes", "1", "--parameters", "1"]) == 2


# --- the page -------------------------------------------------------------------------------------------------------


def opened(**query):
    app = AppTest.from_file(str(ROOT / "pages" / "advisor.py"), default_timeout=60)
    app.query_params.update(query)
    return app.run()


def test_the_page_shows_the_advice_what_it_rests_on_and_what_was_not_measured(home):
    app = opened(dataset="mnist", labels="700", kilobytes="20")
    found = advise("mnist", labels=700, max_bytes=20_000)
    assert not app.exception and found.experiment.student in app.success[0].value.replace("\\", "")
    text = " ".join(one.value for one in app.markdown)
    assert "It rests on" in text and "Not measured" in text and "not with 700" in text
    assert len(app.dataframe[0].value) == len(found.candidates)


def test_the_page_warns_where_nothing_was_measured_and_refuses_a_budget_that_nothing_fits(home):
    app = opened(dataset="cifar10", labels="1000", kilobytes="20")
    assert "Not measured" in app.warning[0].value and not app.dataframe
    app = opened(dataset="mnist", labels="1000", kilobytes="0.5")
    assert "no measured student" in app.error[0].value and not app.exception


def test_the_press_opens_a_race_with_the_advised_settings(home):
    found = advise("mnist", labels=1000, max_bytes=100_000)
    app = AppTest.from_file(str(ROOT / "pages" / "race.py"), default_timeout=60)
    app.query_params.update(link_to(advisor.races(found)))
    app.run()
    fields = asdict(found.experiment)
    assert not app.exception and {name: app.session_state[name] for name in ("dataset", "images", "student", "temperature")} == {
        name: fields[name] for name in ("dataset", "images", "student", "temperature")
    }
    assert app.session_state["alpha"] == found.experiment.alpha and app.session_state["seeds"] == found.seeds
    assert app.session_state["validation"] == found.experiment.validation
