"""Studies of the literature: how claims are judged, which images are held out, and one study from training to figure."""

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from distill_core.__main__ import main
from distill_core.data import datasets
from distill_core.data.datasets import DATASETS
from distill_core.experiment import Experiment
from distill_core.figures.literature import study_figure
from distill_core.statistics import paired_difference
from distill_core.studies import hinton, literature, study
from distill_core.studies.literature import STUDIES
from distill_core.studies.presets import PRESETS
from distill_core.studies.study import Claim, Study, bootstrap_choice, held_out_images
from distill_core.training.loop import train
from distill_core.training.run_data import load_run_data

KEPT = study.kept()


def scores(errors, **more):
    """The scores of one student."""
    return {"test_errors": errors, "test_images": 10_000, "teacher_errors": 72, **more}


def made_up(name, errors, *, seeds=5, **more):
    """Runs of a study in which every student of an arm has `errors(arm)` test errors, give or take one, by seed."""
    arms = STUDIES[name].arms
    return {
        arm: [scores(errors(arm) + seed % 2, **{k: v(arm) + seed / 1000 for k, v in more.items()}) for seed in range(seeds)] for arm in arms
    }


def conclusions(name, runs):
    return {claim.text: claim.appears for claim in STUDIES[name].judge(runs)}


# --- a claim --------------------------------------------------------------------------------------------------------


def test_an_effect_appears_from_three_standard_errors_on():
    spread = np.linspace(-1, 1, 20)
    error = spread.std(ddof=1) / math.sqrt(20)
    for mean, sign, expected in [(3.01, 1, 1), (2.99, 1, 0), (-3.01, 1, -1), (-3.01, -1, 1), (3.01, -1, -1), (3.01, 0, None)]:
        claim = Claim("x", "", tuple(mean * error + spread), "points", sign, "too few seeds")
        assert claim.appears == expected, (mean, sign)
    assert Claim("x", "", tuple(spread), "", 1, "too few seeds").conclusion == "does not appear here (possible reason: too few seeds)"


def test_three_standard_errors_of_three_seeds_are_no_effect_where_the_interval_includes_zero():
    claim = Claim("x", "", (0.3, 0.5, 0.9), "points", 1)
    assert np.mean(claim.values) > 3 * np.std(claim.values, ddof=1) / math.sqrt(3) and claim.interval[1] < 0.0
    assert claim.appears == 0


@pytest.mark.parametrize("values", [(5.0,), (5.0, 5.0, 5.0)])
def test_one_seed_and_equal_seeds_are_never_an_effect(values):
    claim = Claim("x", "", values, "", 1)
    assert claim.appears == 0 and "appears here" not in claim.conclusion.replace("does not appear here", "")


def test_a_claim_as_text_has_its_interval_and_a_sign_only_for_an_effect():
    assert Claim("x", "", (1.0, 2.0), "nats", 1).as_text() == "+1.50 nats (\u22124.85 to +7.85)"
    assert Claim("x", "", (146.0,), "errors").as_text() == "146.0 errors"
    assert Claim("x", "", (3.0,), "", bounds=(2.0, 4.0)).as_text() == "3.00 (2.00 to 4.00)"


def test_a_difference_of_accuracies_has_the_interval_of_a_race():
    runs = {"a": [scores(100), scores(110), scores(95)], "b": [scores(130), scores(120), scores(131)]}
    claim = study.difference(runs, "a", "b", "x", paper="")
    expected = paired_difference([99.0, 98.9, 99.05], [98.7, 98.8, 98.69], test_images=10_000)
    assert claim.interval == pytest.approx(tuple(map(float, expected)))


def test_the_best_choice_is_certain_where_every_seed_prefers_it_and_open_where_they_differ():
    clear = np.array([[1.0, 1, 1, 1], [2, 2, 2, 2], [0, 0, 0, 0]])
    assert bootstrap_choice(clear, [1, 4, 20]) == (4, 4, 4)
    torn = np.array([[3.0, 0, 3, 0], [0, 2.9, 0, 2.9]])
    assert bootstrap_choice(torn, [1, 20]) == (1, 1, 20)


# --- images that a student has not seen ------------------------------------------------------------------------------


@pytest.mark.parametrize("hide", [(), (3,)])
def test_held_out_images_are_unseen_and_have_the_shares_of_all_classes(hide):
    dataset = datasets.load("digits")
    experiment = Experiment(images=700, hide_classes=hide, seed=2)
    held_out = held_out_images(dataset, experiment, images=300)
    choice = {"images": 700, "hide_classes": hide, "seed": 2}
    assert not torch.isin(held_out, datasets.choose_images(dataset.train_labels, **choice)).any()
    assert len(held_out.unique()) == len(held_out)
    counts, of_all = (torch.bincount(labels, minlength=10) for labels in (dataset.train_labels[held_out], dataset.train_labels))
    assert (counts - 300 * of_all / len(dataset.train_labels)).abs().max() <= 0.5
    again, other = (held_out_images(dataset, replace(experiment, seed=seed), images=300) for seed in (2, 3))
    assert held_out.tolist() == again.tolist() != other.tolist()


@pytest.mark.parametrize("hide", [(), (3,)])
def test_held_out_images_are_none_of_the_labelled_the_unlabelled_and_the_validation_images_of_a_run(hide):
    experiment = Experiment(images=200, unlabelled=300, validation=200, hide_classes=hide, seed=1)
    data = load_run_data([experiment])
    own = torch.cat([data.indices, data.unlabelled, data.validation], dim=1).flatten()
    assert len(own.unique()) == 700  # nor do these overlap
    assert not torch.isin(held_out_images(data.dataset, experiment, images=300), own.cpu()).any()


def test_held_out_images_of_a_student_that_saw_all_are_refused(refused):
    with refused("unseen", "fewer images"):
        held_out_images(datasets.load("digits"), Experiment(images=0), images=100)


# --- how each study is judged ----------------------------------------------------------------------------------------


def test_the_headline_is_judged_by_the_errors_that_soft_targets_save():
    runs = made_up("hinton-mnist", {study.ALONE: 146, hinton.DISTILLED: 74}.get)
    runs[hinton.DISTILLED][0]["test_errors"] = 75
    teacher, alone, distilled, saved = STUDIES["hinton-mnist"].judge(runs)
    assert (teacher.interval[0], teacher.paper) == (72, "67 errors") and "146" in alone.paper and "74" in distilled.paper
    assert alone.interval[0] == pytest.approx(146.4) and 71 < saved.interval[0] < 73 and saved.appears == 1
    worse = made_up("hinton-mnist", {study.ALONE: 100, hinton.DISTILLED: 160}.get)
    worse[study.ALONE][0]["test_errors"] = 99
    assert STUDIES["hinton-mnist"].judge(worse)[-1].conclusion == "the opposite appears here"


def test_the_best_temperature_is_chosen_on_held_out_images_and_reported_with_its_interval():
    best = {"30": 3.0, "300": 20.0}  # on held-out images; on test images 1 and 2 would be chosen

    def held_out(arm):
        width, t = arm.replace(" units, T =", "").split()
        return 90 - abs(float(t) - best[width])

    runs = made_up("best-temperature", lambda arm: 500 if arm.endswith("T = 3") else 600, held_out_accuracy=held_out)
    for number, arm in enumerate(runs):
        runs[arm][number % 5]["test_errors"] += 2
    claims = {claim.text: claim for claim in STUDIES["best-temperature"].judge(runs)}
    for width, t in best.items():
        assert claims[f"{width} units: best T, chosen on unseen training images"].interval == (t, t, t)
    assert claims["30 units: T = 3 is better than T = 20"].appears == claims["30 units: T = 3 is better than T = 1"].appears == 1


def test_a_missing_class_is_judged_by_errors_recall_and_bias_under_each_correction():
    def of(name, kind):
        table = {"none": (0, 300, 190), "tuned": (3.0, 200, 40), "matched": (2.7, 210, 45)}
        return lambda arm: table[name][kind] * (1 if arm == hinton.MISSING or kind == 0 else 10)

    kinds = ("bias", "errors", "errors_of_corrected")
    more = {f"{kind}_{name}": of(name, number) for name in hinton.CORRECTIONS for number, kind in enumerate(kinds)}
    runs = made_up("missing-3-bias", lambda arm: 300, **more)
    for arm in runs:
        runs[arm][0]["errors_none"] += 1
    claims = {claim.text: claim for claim in STUDIES["missing-3-bias"].judge(runs)}
    assert claims["No 3, no correction: all errors"].paper == "206"
    assert claims["No 3, bias tuned on unseen images: threes classified correctly"].interval[0] == pytest.approx(
        100 * (1 - 40 / 1010), abs=0.01
    )
    assert claims["No 3, bias by prior matching: errors saved"].appears == 1
    assert claims["Only 7 and 8, bias tuned on unseen images: error"].interval[0] == pytest.approx(20, abs=0.01)


def test_fidelity_is_judged_beyond_the_top_class():
    agreement = {study.ALONE: 0.970, "T = 1": 0.975, "T = 4": 0.980}
    kl = {study.ALONE: 0.09, "T = 1": 0.05, "T = 4": 0.02}
    runs = made_up("fidelity", lambda arm: 300, agreement=agreement.get, teacher_kl=kl.get, nll=kl.get)
    for arm in runs:
        runs[arm][0] |= {"agreement": agreement[arm] - 1e-3 * kl[arm], "teacher_kl": kl[arm] * 1.001, "nll": kl[arm] * 1.001}
    found = conclusions("fidelity", runs)
    assert found["Top classes that differ from the teacher's, T = 4"] == found["Soft targets (T = 4) reduce the KL"] == 1
    assert found["KL from teacher to student, T = 4"] is None


def test_the_capacity_gap_appears_only_where_the_largest_teacher_is_the_worse_one():
    errors = {study.ALONE: 900, "mlp-30x2": 800, "mlp-100x2": 700, "mlp-300x2": 720, "mlp-1200x2": 780, literature.EARLY: 740}
    for large, expected in ((780, 1), (600, -1)):
        runs = made_up("capacity-gap", (errors | {"mlp-1200x2": large, literature.ASSISTED: 730}).get)
        runs["mlp-1200x2"][0]["test_errors"] += 3
        found = conclusions("capacity-gap", runs)
        assert found["A larger teacher is a worse teacher: 1,200 against 100 units"] == expected
        assert found["A teacher stopped early is a better one"] == found["An assistant of middle size helps"] == expected


def test_patience_is_the_growth_of_the_consistent_teachers_lead():
    def errors(arm):
        teaching, epochs = arm.rsplit(", ", 1)
        lead = {"10 epochs": 5, "40 epochs": 60, "160 epochs": 200}[epochs]
        return 900 - {"consistent": 2 * lead, "fixed": lead, "labels only": 0}[teaching]

    runs = made_up("patience", errors)
    runs["consistent, 160 epochs"][0]["test_errors"] += 2
    assert set(conclusions("patience", runs).values()) == {1}
    level = {arm: [scores(900 + (len(arm) + seed) % 3) for seed in range(5)] for arm in runs}
    assert 1 not in conclusions("patience", level).values()


def test_a_generation_is_judged_against_the_one_that_taught_it():
    gains = {"0": 0, "1": 80, "2": 81, "3": 82}
    runs = made_up("generations", lambda arm: 900 - gains[arm[-1]])
    for number, arm in enumerate(runs):
        runs[arm][number % 5]["test_errors"] += 3
    found = conclusions("generations", runs)
    for setting in literature.SETTINGS:
        assert [found[f"{setting}: generation {one}"] for one in ("1 against 0", "2 against 1", "3 against 1")] == [1, 0, 0]


def test_every_generation_has_the_images_of_generation_0_and_the_one_before_it_as_teacher():
    for setting in literature.SETTINGS:
        first, *later = (STUDIES["generations"].arms[f"{setting}, generation {g}"] for g in literature.GENERATIONS)
        assert first.alpha == 1 and [len(one.assistants) for one in later] == [0, 1, 2]
        for one in later:
            assert one.teacher == "self" and set(one.assistants) <= {one.student}
            assert replace(one.baseline, teacher=first.teacher) == first


# --- what is shipped ------------------------------------------------------------------------------------------------


def test_no_study_has_the_name_of_a_preset():
    assert not set(STUDIES) & set(PRESETS) and set(KEPT) <= set(STUDIES)


@pytest.mark.parametrize("name", KEPT)
def test_the_shipped_numbers_of_a_study_are_those_of_its_arms_and_can_be_judged_and_drawn(name):
    entry, kept = STUDIES[name], KEPT[name]
    assert set(kept["runs"]) == set(entry.arms)
    assert all(len(of_seeds) == kept["seeds"] for of_seeds in kept["runs"].values())
    assert name in kept["command"] and kept["date"] and kept["machine"] and kept["cpu_seconds"] > 0
    claims = entry.judge(kept["runs"])
    assert len({claim.text for claim in claims}) == len(claims) and all(claim.paper and claim.conclusion for claim in claims)
    figure = study_figure([asdict(point) for point in entry.points(kept["runs"])], x_title=entry.axes[0], y_title=entry.axes[1])
    assert len(figure.data) == len({point.series for point in entry.points(kept["runs"])}) and "NaN" not in figure.to_json()


# --- from training to the claim --------------------------------------------------------------------------------------


@pytest.fixture
def small():
    """A study on digits that trains in seconds."""
    usual = Experiment(images=100, epochs=3, student="mlp-8x1")
    arms = {"labels only": replace(usual, alpha=1.0), "soft targets": usual}

    def judge(runs):
        return [study.difference(runs, "soft targets", "labels only", "helps", paper="yes")]

    def after(network, experiment, dataset):
        return {"outputs": network.head.out_features, "seed": experiment.seed}

    return Study("t", "q?", "s", "p", arms, judge, lambda runs: [], ("x", "y"), seeds=2, after=after)


def finish(steps):
    fractions = []
    while True:
        try:
            fractions.append(next(steps)[1])
        except StopIteration as ended:
            return fractions, ended.value


def test_a_study_trains_every_arm_with_the_numbers_of_a_race(small):
    fractions, runs = finish(study.run(small, seeds=(0, 1), device="cpu"))
    assert fractions[-1] == 1 and sorted(fractions) == fractions
    for seed in (0, 1):
        *_, result = train(replace(small.arms["soft targets"], seed=seed), device="cpu")
        for arm, member in (("labels only", "baseline"), ("soft targets", "student")):
            found = runs[arm][seed]
            assert found["test_errors"] == result[member]["test_errors"]
            assert found["teacher_kl"] == pytest.approx(result[member]["teacher_kl"], rel=1e-3)
            assert (found["outputs"], found["seed"]) == (10, seed)
    (claim,) = small.judge(runs)
    assert len(claim.values) == 2


def test_a_study_by_command_prints_a_line_a_claim_and_keeps_its_numbers(small, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(STUDIES, "small", small)
    monkeypatch.setattr(study, "FILE", tmp_path / "kept.json")
    assert main(["preset", "small", "--seeds", "2", "--keep", "--device", "cpu"]) == 0
    first = capsys.readouterr().out
    assert "helps: paper yes; here not measured yet; this run" in first
    kept = study.kept()["small"]
    assert kept["seeds"] == 2 and set(kept["runs"]["soft targets"][0]) >= {"test_errors", "teacher_kl", "nll", "agreement"}
    assert main(["preset", "small", "--seeds", "2", "--device", "cpu", "--json"]) == 0
    line = capsys.readouterr().out
    assert '"expected": "' in line and "not measured yet" not in line and '"conclusion"' in line


@pytest.mark.skipif(not DATASETS["mnist"].is_here(), reason="MNIST is not on this machine")
def test_a_bias_correction_repairs_the_recall_of_a_hidden_class():
    tiny = replace(STUDIES["missing-3-bias"].arms[hinton.MISSING], images=2000, student="mlp-64x2", epochs=8)
    one = Study("t", "q?", "s", "p", {"no 3": tiny}, lambda runs: [], lambda runs: [], ("x", "y"), after=hinton.correct_bias)
    _, runs = finish(study.run(one, seeds=(0,), device="cpu"))
    (found,) = runs["no 3"]
    assert found["bias_tuned"] > 0 and found["bias_matched"] > 0
    assert found["errors_of_corrected_matched"] < found["errors_of_corrected_none"]
    assert found["errors_none"] == found["test_errors"] > found["errors_matched"]
