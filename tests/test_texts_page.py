"""The race page with a text: its controls, links, and what a change between images and texts sets."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from distill_core import analysis
from distill_core.figures.curves import bands, race_drawing
from distill_core.figures.difference import difference_band, difference_drawing
from distill_core.figures.texts import kinds_figure
from distill_core.statistics import BITS, paired_bits

ROOT = Path(__file__).resolve().parent.parent


def open_race(**query):
    app = AppTest.from_file(str(ROOT / "pages" / "race.py"), default_timeout=90)
    app.query_params.update(query)
    return app.run()


def labels(app):
    return {one.label for one in (*app.selectbox, *app.slider, *app.select_slider, *app.multiselect, *app.number_input)}


def test_choosing_a_text_sets_a_good_run_and_choosing_images_again_sets_that_of_images(home):
    app = open_race()
    app.selectbox(key="dataset").set_value("little-language").run()
    assert not app.exception and not app.error
    state = app.session_state
    assert (state["student"], state["teacher"], state["temperature"], state["images"]) == ("gpt-32x1", "gpt-64x2", 2.0, 300)
    assert "Training windows of 32 words" in labels(app) and not {"Label noise", "Hidden classes", "Validation images"} & labels(app)
    app.selectbox(key="method").set_value("on-policy").run()
    assert not app.exception and not app.error
    app.selectbox(key="dataset").set_value("digits").run()
    assert not app.exception and not app.error
    assert (state["student"], state["method"], state["images"]) == ("mlp-30x2", "soft-targets", 200) and "Label noise" in labels(app)


def test_a_link_to_a_text_restores_its_settings(home):
    app = open_race(dataset="little-language", student="gru-64", method="top-5", seeds="2")
    assert not app.exception and not app.error
    assert (app.session_state["student"], app.session_state["method"], app.session_state["epochs"]) == ("gru-64", "top-5", 20)
    assert app.query_params["student"] == "gru-64" and "epochs" not in app.query_params
    refused = open_race(dataset="little-language", label_noise="0.5")
    assert not refused.exception and refused.session_state["dataset"] == "digits"


# --- numbers and words ----------------------------------------------------------------------------------------------


def results(students, baselines, error=0.001):
    return [
        {
            "student": {"test_bits_per_character": s, "test_images": 400, "difference_error": error},
            "baseline": {"test_bits_per_character": b, "test_images": 400},
            "experiment": {"method": "soft-targets"},
        }
        for s, b in zip(students, baselines, strict=True)
    ]


def test_fewer_bits_are_better_in_the_conclusion():
    better = analysis.verdict(results([0.50, 0.51, 0.505], [0.55, 0.56, 0.557]))
    assert better.sign == 1 and better.difference == pytest.approx(-0.0507, abs=1e-4) and better.score is BITS
    assert "The teacher helped" in better.sentence and "bits a character" in better.sentence and "points" not in better.sentence
    worse = analysis.verdict(results([0.55, 0.56, 0.557], [0.50, 0.51, 0.505]))
    assert worse.sign == -1 and "hurt" in worse.sentence
    unclear = analysis.verdict(results([0.50, 0.60], [0.55, 0.55]))
    assert unclear.sign == 0 and "One cannot tell" in unclear.sentence
    same = analysis.verdict(results([0.500, 0.501, 0.5], [0.5, 0.5005, 0.5002]))
    assert same.sign == 0 and "no difference larger than 0.005 bits" in same.sentence


def test_one_seed_is_judged_by_the_test_windows():
    found = analysis.verdict(results([0.50], [0.51], error=0.002))
    assert (found.low, found.high) == pytest.approx((-0.01 - 1.96 * 0.002, -0.01 + 1.96 * 0.002), abs=1e-5)
    assert found.sign == 1 and "This student is better than this baseline" in found.sentence and "train more seeds" in found.sentence
    assert analysis.verdict(results([float("nan")], [0.5])).sign == 0


def test_a_curve_of_bits_has_its_teacher_and_its_floor():
    records = [
        {"member": member, "experiment": seed, "epoch": epoch, "step": epoch, "test_bits_per_character": 1 - 0.1 * epoch + shift}
        for member, shift in (("student", 0.0), ("baseline", 0.05))
        for seed in (0, 1, 2)
        for epoch in (0, 1, 2)
    ]
    drawing = race_drawing(
        bands(records), fields=(BITS.field,), teacher_bits=0.6, entropy_rate=0.45, bits_between=(0.4, 1.1), epochs=2, height=380
    )
    lines = {trace["uid"]: trace for trace in drawing["data"]}
    assert lines["student test_bits_per_character"]["y"] == [1, 0.9, 0.8] and lines["teacher"]["y"] == [0.6, 0.6]
    assert lines["entropy rate"]["y"] == [0.45, 0.45] and drawing["layout"]["yaxis"]["range"] == [0.4, 1.1]
    band = difference_band(records, test_images=400)
    assert band["mean"] == pytest.approx([-0.05] * 3)
    assert "below 0 is better" in difference_drawing(band, epochs=2, score=BITS)["layout"]["annotations"][0]["text"]


def test_the_interval_of_bits_is_students_t_interval():
    mean, low, high = paired_bits([1.0, 1.2, 1.1], [1.3, 1.4, 1.5])
    assert (mean, low, high) == pytest.approx((-0.3, -0.3 - 4.3027 * 0.1 / 3**0.5, -0.3 + 4.3027 * 0.1 / 3**0.5), abs=1e-4)


def test_kinds_of_sentences_are_drawn_from_the_most_frequent_on():
    figure = kinds_figure([0.1, 0.6, 0.3], {"teacher": [0.2, 0.5, 0.3]})
    assert list(figure.data[0].y) == pytest.approx([60, 30, 10]) and list(figure.data[1].y) == pytest.approx([50, 30, 20])
