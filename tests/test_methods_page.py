"""The page Methods without a browser: the comparison as far as it is measured, and what is ranked in it."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from browser_fixtures import ROOT
from streamlit.testing.v1 import AppTest
from test_comparison import rows_over_ten_seeds

from distill_core.figures.methods import points
from distill_core.glossary import SYMBOLS, explained
from distill_core.objectives import METHODS
from distill_core.runs.engine import Engine
from distill_core.studies import comparison, text_methods
from distill_core.text_objectives import TEXT_METHODS
from pages.sections import methods, text_comparison
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
    formulas = [methods.formula_of(method) for method in (METHODS | TEXT_METHODS).values()]
    assert all(any(f"${symbol}$: " in explained(formula) for formula in formulas) for symbol in SYMBOLS)


# --- methods of texts -----------------------------------------------------------------------------------------------

ROW = {
    **{"setting": "little-language", "title": "Top-5 probabilities", "kind": "response-based", "student": "gpt-48x2", "teacher": 0.4},
    **{"teacher_kl": 0.02, "cpu_seconds": 60.0, "grammatical": 0.9, "kinds": 0.75},
}
BASE = [0.60, 0.61, 0.62, 0.60, 0.61]


def text_rows(*names):
    """Rows as the command keeps them: of the first, students that need 0.05 bits fewer than their baselines; of the others, as many."""
    gains = [(0.05, 0.051, 0.049, 0.05, 0.05), *[(0.01, -0.01, 0.0, 0.01, -0.01)] * (len(names) - 1)]
    return [
        {**ROW, "name": name, "students": [b - g for b, g in zip(BASE, gain, strict=True)], "baselines": BASE}
        for name, gain in zip(names, gains, strict=True)
    ]


@pytest.fixture
def text_file(monkeypatch, tmp_path):
    monkeypatch.setattr(text_methods, "SHIPPED", tmp_path / "text_methods.json")
    return text_methods.SHIPPED


def test_methods_of_texts_have_a_group_of_their_own_with_formula_code_and_a_race(open_methods, text_file):
    app = open_methods([], group="Texts", method="top-5")
    text = words(app)
    assert list(app.selectbox(key="methods_method").options) == [method.title for method in TEXT_METHODS.values()]
    assert r"\log p_{c_1}" in app.latex[0].value and "Peng et al. 2024" in text
    assert (
        text.count("**not measured yet**") == len(text_methods.SETTINGS) and "python -m distill_core compare little-language --keep" in text
    )
    assert not any("Images only" in caption.value for caption in app.caption)
    assert methods._race("top-5")["method"] == "top-5" and methods._race("top-5")["dataset"] == "little-language"
    app.selectbox(key="methods_method").set_value("distilbert").run()
    assert "Sanh et al. 2019" in words(app) and methods._race("distilbert")["student"] == "gpt-64x1"


@pytest.mark.parametrize("name", TEXT_METHODS)
def test_every_method_of_texts_has_a_formula(name):
    assert methods.formula_of(TEXT_METHODS[name])


@pytest.mark.parametrize("setting", text_methods.kept()["measured"])
def test_a_shipped_comparison_of_texts_is_a_table_with_the_processor_time_that_it_took(open_methods, setting):
    app = open_methods([], group="Texts", method="top-5", text=setting)
    assert re.search(rf"by `python -m distill_core compare {setting} .*` in \d+ minutes of processor time on", words(app))
    assert any("minus its baseline" in one.value for one in app.dataframe)


def test_the_measured_methods_of_texts_are_a_table_with_the_command_that_measured_them(open_methods, text_file):
    for row in text_rows("top-5", "on-policy"):
        text_methods.keep(row, file=text_file, command="the command", date="2026-01-01")
    app = open_methods([], group="Texts", method="top-5")
    text = words(app)
    assert "Little language, 300 windows: **\u22120.0500 (\u22120.05" in text and "Shakespeare, 100,000 characters" in text
    assert "Of 2 methods and controls **1** need clearly fewer" in text and "**0** clearly more" in text
    assert "by `the command` in 2 minutes" in text and "Not measured yet: Soft targets" in text
    (found,) = [one.value for one in app.dataframe if "minus its baseline" in one.value]
    assert list(found["clear"]) == ["better", ""] and list(found["bits a character"]) == ["0.5580", "0.6080"]
    assert text_comparison.table(text_methods.differences(text_rows("top-5"), "little-language"))["grammatical"][0].startswith("90")


def test_the_ablation_of_distilbert_is_paired_with_the_whole_method_and_stands_beside_the_papers(open_methods, text_file):
    names = ["distilbert", *text_methods.ABLATION]
    for place, name in enumerate(names):
        row = {**ROW, "name": name, "students": [base + 0.01 * place for base in BASE], "baselines": BASE}
        text_methods.keep(row, file=text_file, command="the command", date="2026-01-01")
    rows = text_methods.kept(text_file)["rows"]
    assert [round(part["more_bits"], 6) for part in text_methods.ablation(rows, "little-language")] == [0.01, 0.02, 0.03, 0.04]
    assert text_methods.ablation(rows[:-1], "little-language") == text_methods.ablation(rows, "shakespeare-100k") == []
    app = open_methods([], group="Texts", method="distilbert")
    (found,) = [one.value for one in app.dataframe if "removed" in one.value]
    assert list(found["paper: points of GLUE"]) == ["\u22123.69", "\u22122.96", "\u22121.46", "\u22120.31"]
    assert found["here: bits more"][0].startswith("+0.0100 (") and "figures are from memory" in words(app)


def test_the_row_without_labels_is_distilbert_with_alpha_0():
    found = text_methods.entries("little-language")
    assert found[text_methods.WITHOUT_LABELS] == replace(found["distilbert"], alpha=0.0)
    assert text_methods.WITHOUT_LABELS not in text_methods.entries("little-language-tuned")  # where alpha is chosen
