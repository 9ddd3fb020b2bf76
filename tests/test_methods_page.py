"""The page Methods without a browser: the comparison as far as it is measured, and what is ranked in it."""

from __future__ import annotations

import json

import pytest
from browser_fixtures import ROOT
from streamlit.testing.v1 import AppTest
from test_comparison import rows_over_ten_seeds

from distill_core.figures.methods import points
from distill_core.glossary import SYMBOLS, explained
from distill_core.objectives import METHODS
from distill_core.runs.engine import Engine
from distill_core.studies import comparison
from pages.sections import methods
from pages.server import lab


@pytest.fixture
def open_methods(home, monkeypatch, tmp_path):
    """`open_methods(rows, **state)`: the page where these rows are measured, in a lab whose engine does not start."""
    monkeypatch.setattr(Engine, "start", lambda engine: engine)
    monkeypatch.setattr(comparison, "SHIPPED", tmp_path / "comparison.json")
    caches = (lab.store, lab.engine)
    for cache in caches:
        cache.clear()

    def page(rows, **state):
        for row in rows:
            comparison.keep(row, file=comparison.SHIPPED, command="the command", date="2026-01-01")
        app = AppTest.from_file(str(ROOT / "pages" / "methods.py"), default_timeout=90)
        app.query_params["dataset"] = "digits"
        for name, value in state.items():
            app.session_state[f"methods_{name}"] = value
        return app.run()

    yield page
    for cache in caches:
        cache.clear()


def words(app):
    assert not app.exception
    return "\n".join(element.value for element in (*app.markdown, *app.info))


MEASURED = [{**row, "setting": "mnist-1000"} for row in rows_over_ten_seeds() if row["setting"] == "a"]


def test_a_setting_that_is_not_measured_names_the_command_that_measures_it(open_methods):
    text = words(open_methods([]))
    assert "Not measured yet. This command measures it: `python -m distill_core compare mnist-1000 --keep`" in text
    assert "not measured yet" in text and "Measured earlier" not in text


def test_rows_of_the_first_form_are_not_shown_as_if_they_had_been_tuned(open_methods):
    row = {"setting": "mnist-1000", "name": "soft-targets", "title": "S", "students": [90.0], "difference": 1.0, "low": 0.5, "high": 1.5}
    comparison.SHIPPED.write_text(json.dumps({"rows": [row], "measured": {"mnist-1000": {"command": "c", "seconds": 1}}}))
    text = words(open_methods([]))
    assert "Not measured yet" in text and "+1.00" not in text


def test_a_comparison_that_was_stopped_shows_the_rows_that_are_measured(open_methods):
    for count in range(1, len(MEASURED) + 1):
        rows = comparison.differences(MEASURED[:count], "mnist-1000")
        assert len(rows) <= count
    text = words(open_methods([row for row in MEASURED if row["name"] in ("soft-targets", "baseline")]))
    assert "Not measured yet: Matching logits" in text
    assert "Of 1 methods" in text and "Control experiments**, tuned" not in text
    assert "Soft targets are not measured yet" in words(open_methods([], reference="soft-targets")) or "Of" in text


def test_controls_and_set_ups_are_shown_apart_and_not_counted_among_the_methods(open_methods):
    text = words(open_methods(MEASURED))
    assert "Of 4 methods **2** are clearly above the baseline and **1** clearly below" in text
    assert "Holm's correction for 4 comparisons" in text
    assert "**Control experiments**, tuned in the same way." in text and "**Other teachers and assistants.**" in text
    longer = next(row for row in comparison.differences(MEASURED, "mnist-1000") if row["name"] == "baseline-longer")
    assert f"With 80 epochs in place of 40: the baseline {points(longer['against']['baseline'])}" in text
    text = words(open_methods([], reference="soft-targets"))
    assert "Of 3 methods **1** are clearly above soft targets and **2** clearly below" in text


def test_the_symbols_of_the_formula_are_explained_below_it(open_methods):
    app = open_methods(MEASURED)
    assert r"p = \mathrm{softmax}(z / T)" in app.latex[0].value
    (explained,) = [one.value for one in app.caption if "$T$: temperature" in one.value]
    assert all(f"${symbol}$: " in explained for symbol in "pzN") and "hard loss" not in explained


def test_every_symbol_is_one_of_a_formula():
    formulas = [methods.formula_of(method) for method in METHODS.values()]
    assert all(any(f"${symbol}$: " in explained(formula) for formula in formulas) for symbol in SYMBOLS)
