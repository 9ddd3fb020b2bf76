"""The stretch of a text that is held out: nobody trains on it, everybody is measured on it, and settings are chosen on it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_cohort import DOUBLE, alone, assert_same, together
from test_language_models import LITTLE, SMALL, small
from test_sweep_page import open_sweep  # noqa: F401 (a fixture)
from test_texts_page import labels

from distill_core import analysis, teachers
from distill_core.__main__ import main
from distill_core.data import datasets, texts
from distill_core.data.dataset import choose_images, choose_validation_images
from distill_core.experiment import Experiment
from distill_core.losses import hard_loss
from distill_core.statistics import BITS
from distill_core.studies import text_methods, tuning
from distill_core.studies.sweep import best_settings
from distill_core.training.run_data import load_run_data

HELD_OUT = BITS.validation


@given(st.integers(3, 40), st.data(), st.integers(0, 5))
def test_a_stretch_is_held_out_with_a_window_on_each_side_that_is_not_trained_on(windows, data, seed):
    validation = data.draw(st.integers(1, windows - 3)) if windows > 3 else 0
    classes, choice = torch.zeros(windows, dtype=torch.int64), {"validation": validation, "seed": seed, "in_order": True}
    held_out = choose_validation_images(classes, **choice).tolist()
    trained = choose_images(classes, images=0, hide_classes=(), **choice).tolist()
    assert len(held_out) == validation and len(trained) == windows - validation - 2 * (validation > 0)
    if validation:
        assert held_out == list(range(held_out[0], held_out[0] + validation))
        assert set(range(windows)) - set(trained) == set(range(held_out[0] - 1, held_out[-1] + 2))


def test_no_token_of_the_stretch_is_read_or_predicted_in_training():
    text = texts.by_characters("".join(chr(97 + n % 26) for n in range(40 * 64 * 26)), name="x", title="x")
    numbered = replace(text, train_images=torch.arange(text.train_images.numel()).view(text.train_images.shape))
    following = numbered.train_images + 1  # the number of the token after each
    choice = {"validation": 50, "seed": 3, "in_order": True}
    held_out = choose_validation_images(text.example_labels, **choice)
    trained = choose_images(text.example_labels, images=0, hide_classes=(), **choice)
    used = torch.cat([numbered.train_images[trained].flatten(), following[trained].flatten()])
    kept_back = torch.cat([numbered.train_images[held_out].flatten(), following[held_out].flatten()])
    assert len(kept_back) == 2 * 50 * 64 and not torch.isin(kept_back, used).any()


def test_the_windows_of_a_run_without_a_stretch_are_those_of_before():
    classes = LITTLE.example_labels
    usual = {"images": 30, "hide_classes": (), "seed": 4}
    assert torch.equal(choose_images(classes, **usual, in_order=True), choose_images(classes, **usual))


@pytest.mark.parametrize("method", ("soft-targets", "on-policy", "sequence-level"))
def test_a_cohort_is_measured_on_the_stretch_as_alone(method, monkeypatch):
    experiments = [small(method, seed=seed, validation=12) for seed in (1, 0)]
    for experiment, found in zip(experiments, together(experiments, torch.float64), strict=True):
        expected = alone(experiment, torch.float64, monkeypatch)
        assert_same(found, expected, DOUBLE)
        tested = [one for one in expected[0][:-1] if one[BITS.field] is not None]
        assert len(tested) >= 4 and all(one[HELD_OUT] > 0 for one in tested) and "validation_accuracy" not in tested[0]
        for ours, theirs in zip(found[0][:-1], expected[0][:-1], strict=True):
            assert ours[HELD_OUT] == pytest.approx(theirs[HELD_OUT], rel=1e-6)
        assert expected[0][-1]["student"][HELD_OUT] == [one[HELD_OUT] for one in tested if one["member"] == "student"][-1]


def test_the_bits_on_the_stretch_are_the_hard_loss_of_its_tokens_over_their_characters():
    data = load_run_data([small("soft-targets", validation=9, seed=seed) for seed in (0, 1)], device="cpu")
    assert data.validation_images.shape == data.validation_labels.shape == (2, 9, 32) and len(data.images) <= 32
    network = teachers.load_teacher(LITTLE, "gpt-64x2").network
    logits = teachers.logits(network, LITTLE, data.validation_images[1])
    words = [LITTLE.class_names[token] for token in data.validation_labels[1].flatten()]
    nats = hard_loss(logits.flatten(0, 1).double(), data.validation_labels[1].flatten()).item()
    bits = nats / torch.log(torch.tensor(2.0)).item() / (sum(len(word) + 1 for word in words) / len(words))
    assert analysis.score_on(logits, data.validation_labels[1], LITTLE) == pytest.approx(bits, rel=1e-5)
    assert torch.equal(data.validation_images[..., 1:].long(), data.validation_labels[..., :-1])


def test_the_setting_of_a_text_is_chosen_on_the_stretch_and_the_test_text_is_not_read(monkeypatch):
    usual = Experiment(**SMALL | {"teacher": "gpt-64x2", "epochs": 1}, student="gpt-16x1", validation=20)
    monkeypatch.setattr(analysis, "score", lambda *_: pytest.fail("the test text was read"))
    chosen, tried = tuning.tune(usual)
    assert len(tried) == 9 and {one["temperature"] for one in tried} == {1.0, 2.0, 4.0}
    least = min(tried, key=lambda one: one[HELD_OUT])
    assert (chosen.temperature, chosen.alpha) == (least["temperature"], least["alpha"]) and chosen.validation == 20
    written = tuning.settings(replace(usual, method="sequence-level"))  # in which T has no effect
    assert {one.temperature for one in written} == {usual.temperature} and len(written) == 9


def test_the_comparison_of_texts_tunes_by_the_same_function(monkeypatch):
    title, usual = text_methods.SETTINGS["little-language-tuned"]
    assert usual.validation and title.endswith("tuned") and not text_methods.SETTINGS["little-language"][1].validation
    quick = replace(usual, images=16, epochs=1, student="gpt-16x1", validation=10)
    monkeypatch.setitem(text_methods.SETTINGS, "little-language-tuned", (title, quick))
    asked = []
    monkeypatch.setattr(text_methods, "tune", lambda one, *, device: asked.append(one) or (replace(one, alpha=0.9), [{"alpha": 0.9}]))
    (row,) = text_methods.compare("little-language-tuned", seeds=2, only=["reverse-kl"], device="cpu")
    assert asked == [replace(quick, method="reverse-kl")] and (row["alpha"], row["tried"]) == (0.9, [{"alpha": 0.9}])
    assert "T 2, alpha 0.9" in text_methods.in_words(text_methods.differences([row], "little-language-tuned")[0])


def test_a_comparison_trains_the_baselines_of_a_student_once_and_they_are_those_of_each_method_alone(monkeypatch):
    title, usual = text_methods.SETTINGS["little-language"]
    monkeypatch.setitem(text_methods.SETTINGS, "little-language", (title, replace(usual, images=16, epochs=1, student="gpt-16x1")))
    roles, cohort = [], text_methods.Cohort
    monkeypatch.setattr(text_methods, "Cohort", lambda *given, **choices: roles.append(choices["roles"]) or cohort(*given, **choices))

    def measure(*only, before=()):
        return list(text_methods.compare("little-language", seeds=2, only=only, before=before, device="cpu"))

    first, second = measure("reverse-kl", "mutual-2")
    (alone,), (later,) = measure("mutual-2"), measure("mutual-2", before=[first])
    assert [len(one) for one in roles] == [2, 1, 2, 1]
    for row in (second, later):
        assert {name: row[name] for name in ("students", "baselines", "teacher_kl")} == {
            name: alone[name] for name in ("students", "baselines", "teacher_kl")
        }


def test_the_best_setting_of_a_text_needs_the_fewest_bits_on_the_stretch():
    def result(test, validation):
        of_student = {BITS.field: test, HELD_OUT: validation}
        return {"student": of_student, "baseline": {BITS.field: 2.0, HELD_OUT: 2.0}}

    experiments = [Experiment(dataset="little-language", temperature=t, validation=100) for t in (1.0, 4.0)]
    results = [result(1.0, 1.9), result(1.5, 1.5)]
    chosen, gain = best_settings(experiments, results)[0]
    assert chosen.temperature == 4.0 and gain == pytest.approx(0.5)
    on_test, gain = best_settings([replace(one, validation=0) for one in experiments], results)[0]
    assert on_test.temperature == 1.0 and gain == pytest.approx(1.0)


def test_the_command_line_chooses_on_the_stretch(capsys, home):
    flags = ["--dataset", "little-language", "--student", "gpt-16x1", "--images", "20", "--epochs", "1", "--validation", "10"]
    assert main(["sweep", *flags, "--temperature", "1", "4"]) == 0
    text = capsys.readouterr().out
    assert "chosen on 10 validation windows" in text and "validation 1." in text and "bits a character fewer" in text
    assert main(["train", *flags, "--json"]) == 0
    *records, result = map(json.loads, capsys.readouterr().out.splitlines())
    assert records[-1][HELD_OUT] > 0 and result["student"][HELD_OUT] > 0


def test_a_text_too_short_for_the_stretch_is_refused(refused, tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("To be, or not to be. " * 300)
    windows = len(datasets.load(str(path)).train_labels)
    with refused(f"validation {windows}", f"give {windows - 3} or fewer"):
        load_run_data([Experiment(dataset=str(path), validation=windows, teacher="self")], device="cpu")


def test_the_race_page_holds_out_windows_of_a_text(open_sweep):  # noqa: F811
    app = open_sweep("race.py", dataset="little-language", validation="300")
    assert not app.exception and not app.error and app.selectbox(key="validation").value == 300
    assert "Validation windows" in labels(app) and app.query_params["validation"] == "300"
    app.selectbox(key="dataset").set_value("digits").run()
    assert not app.exception and not app.error and app.selectbox(key="validation").value == 0
    assert "Validation images" in labels(app)


def test_all_windows_can_be_trained_on_where_none_is_held_out():
    assert Experiment(dataset="little-language", images=10_000).validation == 0
    with pytest.raises(ValueError, match="validation 1 is too many"):
        Experiment(dataset="little-language", images=10_000, validation=1)
