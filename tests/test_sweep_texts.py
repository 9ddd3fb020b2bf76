"""A sweep over a text: its numbers in bits a character, of which fewer are better, in figures and words; and its page."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_figures_sweep import history
from test_sweep_page import open_sweep  # noqa: F401 (a fixture)

from distill_core.__main__ import main
from distill_core.experiment import Experiment
from distill_core.figures import sweep
from distill_core.runs.keys import run_key
from distill_core.statistics import BITS, paired_bits
from distill_core.studies.sweep import Grid
from distill_core.training.cohort import train_cohort
from pages.sections import sweep_results
from pages.sections.sweep_values import axes_of, possible_values
from pages.server.lab import store

AXES = {"x": "temperature", "xs": [1.0, 2.0, 4.0], "y": "images", "ys": [100, 300]}
MINUS = "\u2212"


def of_text(*, seeds=4, gain=0.05, validated=True):
    """Two rows of three cells: by the held-out stretch the middle cell of the first row is best, by the test text its right one."""
    draw = np.random.default_rng(0)
    baselines = 1.5 + 0.02 * draw.standard_normal((6 * seeds, 2))
    students = baselines - gain + 0.004 * draw.standard_normal(baselines.shape)
    held_out = students.copy()
    students[2 * seeds : 3 * seeds] -= 0.1
    held_out[seeds : 2 * seeds] -= 0.2
    validation = history(held_out, baselines) if validated else None
    shape = {"rows": 2, "columns": 3, "seeds": seeds, "test_images": 300}
    cells = sweep.cells(history(students, baselines), validation=validation, **shape, score=BITS, window="64 characters")
    return cells, students, baselines


def test_a_cell_of_a_text_has_the_paired_gain_in_bits_and_more_is_better():
    cells, students, baselines = of_text()
    for row in range(2):
        for column in range(3):
            races = slice((row * 3 + column) * 4, (row * 3 + column + 1) * 4)
            mean, low, high = paired_bits(students[races, 1], baselines[races, 1])  # student minus baseline
            found = [part[row, column] for part in (cells.difference, cells.low, cells.high)]
            assert found == pytest.approx([-mean, -high, -low]) and cells.student[row, column] == pytest.approx(students[races, 1].mean())
    assert (cells.difference > 0).all() and cells.clear.all()


def test_the_best_cell_of_a_text_has_the_largest_gain_on_the_held_out_stretch():
    cells, *_ = of_text()
    assert sweep.best_cell(cells) == (0, 1) and int(np.argmax(cells.difference)) == 2
    text = sweep.summary(cells, **AXES, validation=300)
    gain = f"a gain of +{cells.difference[0, 1]:.3f} bits a character over its baseline on the test text"
    assert f"**Best cell, chosen on 300 validation windows: T 2, images 100**: {gain} (95 % interval" in text
    assert "The test text had no part" in text and "points" not in text and "test images" not in text
    rows = sweep.best_by_row(cells, **AXES, validation=300)
    assert "The best T by the bits a character of the student on 300 validation windows is 2 at images 100 (2), " in rows
    chosen = sweep.best_along(cells, 1)
    assert chosen["student"][0] == cells.student[0, 1] > cells.student[0].min()
    on_test = of_text(validated=False)[0]
    assert sweep.best_cell(on_test) == (0, 2) and "chosen on the test text" in sweep.summary(on_test, **AXES)


def test_a_student_that_needs_more_bits_has_a_gain_below_zero_and_is_called_worse():
    cells, *_ = of_text(gain=-0.3, validated=False)
    assert (cells.difference < 0).all()
    assert "in 6 of them the student is worse than its baseline" in sweep.summary(cells, **AXES)
    values = sweep.sweep_figure(cells, **AXES).to_dict()["data"][2]
    assert all(text.startswith(f"{MINUS}0.") for text in values["text"])


def test_one_seed_of_a_text_has_no_interval_and_the_words_say_so():
    cells, *_ = of_text(seeds=1)
    assert np.isnan(cells.low).all() and not cells.clear.any()
    assert "With one seed, a cell has no interval" in sweep.summary(cells, **AXES, validation=300)
    figure = sweep.sweep_figure(cells, **AXES).to_dict()
    assert "no interval with one seed" in figure["data"][0]["text"][0][0] and figure["data"][1]["x"]  # hatched
    slices = sweep.slice_figure(cells, axis="temperature", values=AXES["xs"], row=0).to_dict()
    assert slices["data"][0]["error_y"]["array"] == [0, 0, 0]


def test_every_figure_of_a_text_names_its_unit():
    cells, *_ = of_text()
    figure = sweep.sweep_figure(cells, **AXES).to_dict()
    heat, _, values, _ = figure["data"]
    assert heat["name"] == "gain (bits a character)" and heat["zmax"] == 0.2
    assert figure["layout"]["yaxis"]["title"]["text"] == "training windows of 64 characters"
    assert [float(text.replace(MINUS, "-")) for text in values["text"][:3]] == pytest.approx(cells.difference[0], abs=6e-4)
    hover = heat["text"][0][1]
    assert f"student {cells.student[0, 1]:.3f} bits, baseline {cells.baseline[0, 1]:.3f} bits<br>gain +" in hover
    assert "bits a character (95 % interval +" in hover and "on validation windows +0.2" in hover and "%," not in hover
    slices = sweep.slice_figure(cells, axis="temperature", values=AXES["xs"], row=0).to_dict()
    assert slices["layout"]["yaxis"]["title"]["text"] == "gain (bits a character)"
    assert "bits a character" in slices["data"][0]["hovertemplate"]
    curves = sweep.cell_figure(epochs=10, between=(1.0, 3.0), score=BITS).to_dict()
    assert curves["layout"]["yaxis"]["title"]["text"] == "bits a character (lower is better)"
    assert list(curves["layout"]["yaxis"]["range"]) == [1.0, 3.0]
    lines = sweep.cell_lines(history([[1.5, 1.25]], [[1.5, 1.4]]), (0, 0), columns=1, seeds=1, score=BITS)
    assert lines["student"] == [[1.0, 2.0], [1.5, 1.25]]
    assert "fewer bits" in sweep.legend(BITS)


def test_the_front_of_a_text_holds_the_students_with_the_fewest_bits():
    sizes, bits = [100, 200, 300], {"student": [2.0, 2.1, 1.5], "baseline": [2.2, 2.0, 1.9]}
    figure = sweep.front_figure(sizes, bits, ["a", "b", "c"], size="parameters", score=BITS).to_dict()
    fronts = {trace["name"]: list(trace["x"]) for trace in figure["data"] if trace["mode"] == "lines"}
    assert fronts == {"student": [100, 300], "baseline": [100, 200, 300]}
    assert figure["layout"]["yaxis"]["title"]["text"] == "bits a character (lower is better)"
    assert "bits" in figure["data"][1]["hovertemplate"]


# --- the page -------------------------------------------------------------------------------------------------------


def test_the_axes_and_values_of_a_text_are_those_that_it_can_have():
    assert "label_noise" not in axes_of("little-language") and {"beta", "top_k", "on_policy_share"} <= set(axes_of("little-language"))
    assert "beta" in axes_of("digits") and "top_k" not in axes_of("digits")  # Jensen-Shannon is a method of images too
    assert all(name.startswith(("gpt-", "gru-")) for name in possible_values("student", "little-language", ()))
    assert possible_values("method", "little-language", ("beta", "alpha")) == ["jensen-shannon"]
    assert max(possible_values("top_k", "little-language", ())) == 40


def test_a_link_to_a_text_opens_a_sweep_with_the_usual_settings_of_texts(open_sweep):  # noqa: F811
    app = open_sweep(dataset="little-language")
    assert not app.exception and not app.error and not app.toast
    state = app.session_state
    assert (state["sweep_teacher"], state["sweep_student"], state["sweep_images"]) == ("gpt-64x2", "gpt-32x1", 300)
    assert not app.button(key="sweep_train").disabled and app.selectbox(key="sweep_validation").value == 300
    said = " ".join(one.value for one in app.markdown)
    assert "bits a character that the student needs less than its baseline" in said and "fewer bits are better" in said
    assert "Images only" not in " ".join(one.value for one in app.caption)
    app.selectbox(key="sweep_dataset").set_value("digits").run()
    assert not app.exception and not app.error and state["sweep_student"] == "mlp-30x2" and not app.button(key="sweep_train").disabled


def test_choosing_a_setting_as_an_axis_chooses_the_method_that_has_it(open_sweep):  # noqa: F811
    app = open_sweep(dataset="little-language", x="beta", xs="0,0.3,1", y="alpha", ys="0.3", seeds="2")
    assert not app.exception and not app.error and not app.toast
    assert app.session_state["sweep_values_beta"] == [0.0, 0.3, 1.0] and app.selectbox(key="sweep_method").value == "jensen-shannon"
    assert any("3 cells x 2 seeds = 6 students" in text.value for text in app.markdown)
    assert app.query_params["method"] == "jensen-shannon" and "beta" not in app.query_params
    other = open_sweep(dataset="little-language", method="top-k", top_k="3", rest="left-out")
    assert not other.exception and other.number_input(key="sweep_top_k").value == 3 and other.query_params["rest"] == "left-out"


@pytest.mark.parametrize(
    ("link", "named"),
    [
        ({"x": "label_noise"}, "x 'label_noise' is not offered here"),
        ({"x": "beta", "xs": "0,2"}, "beta 2.0 cannot be run; give a number from 0 to 1"),
        ({"x": "top_k", "xs": "3,90"}, "top_k 90 cannot be run; give a number from 1 to 40"),
        ({"method": "hints"}, "method 'hints' is not offered here"),
        ({"method": "top-k", "top_k": "900"}, "top_k 900 is out of range; give a number from 1 to 40"),
        ({"student": "mlp-30x2"}, "student 'mlp-30x2' is not offered here"),
    ],
    ids=str,
)
def test_a_bad_value_of_a_texts_sweep_gives_one_sentence_and_the_page_works(open_sweep, link, named):  # noqa: F811
    app = open_sweep(**{"dataset": "little-language"} | link)
    assert not app.exception and not app.error
    (message,) = [toast.value.replace("\\", "").replace("\u2060", "") for toast in app.toast]
    assert named in message and not app.button(key="sweep_train").disabled


def test_a_finished_sweep_of_a_text_is_shown_and_downloaded_in_bits(open_sweep, home):  # noqa: F811
    run_id = finished_sweep()
    app = open_sweep(run=run_id)
    assert not app.exception and not app.error
    said = " ".join(one.value for one in app.markdown)
    assert "Best cell, chosen on 10 validation windows" in said and "bits a character over its baseline on the test text" in said
    table = sweep_results.table(store().get(run_id))
    assert list(table["temperature"]) == [1.0, 4.0] and "student bits a character on validation windows" in table
    gains = table["baseline bits a character"] - table["student bits a character"]
    assert list(table["gain in bits a character"]) == pytest.approx(list(gains))


def finished_sweep():
    """The id of a finished sweep of two temperatures and two seeds, in the store of the page."""
    usual = Experiment(dataset="little-language", student="gpt-16x1", images=16, epochs=2, batch_size=8, validation=10)
    experiments = Grid("temperature", (1.0, 4.0), "alpha", (usual.alpha,), 2).experiments(usual)
    run_id = store().create([one.to_json() for one in experiments], key=run_key(experiments), kind="sweep", status="running")
    store().append(run_id, list(train_cohort(experiments, device="cpu")), status="finished")
    return run_id


# --- the command line -----------------------------------------------------------------------------------------------


def test_the_command_line_sweeps_methods_and_their_settings_on_a_text(capsys, home):
    flags = ["--dataset", "little-language", "--student", "gpt-16x1", "--images", "16", "--epochs", "1"]
    assert main(["sweep", *flags, "--method", "jensen-shannon", "--beta", "0", "1", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["beta"] for one in lines] == [0.0, 1.0] and all(one["student"][BITS.field] > 0 for one in lines)
    assert len({one["baseline"][BITS.field] for one in lines}) == 1 and len({one["student"][BITS.field] for one in lines}) == 2
    assert main(["sweep", *flags, "--method", "soft-targets", "reverse-kl"]) == 0
    said = capsys.readouterr().out
    assert "soft-targets" in said and "best: " in said and "bits a character fewer than its baseline" in said
    assert main(["sweep", *flags, "--method", "soft-targets", "jensen-shannon", "--beta", "0.3"]) == 2
    assert "beta 0.3 has no effect on method 'soft-targets'" in capsys.readouterr().err
