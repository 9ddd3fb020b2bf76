"""The comparison of methods: what is compared, what is kept, and that the kept figures are what they say."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from distill_core import losses
from distill_core.__main__ import main
from distill_core.batch import Batch
from distill_core.data.datasets import seeded
from distill_core.experiment import Experiment
from distill_core.figures.methods import (
    Pairs,
    chain,
    circle,
    comparison_figure,
    pairs_figure,
    panels_figure,
    points,
    ranked,
    who_teaches_whom,
)
from distill_core.objectives import METHODS
from distill_core.statistics import holm
from distill_core.studies import comparison, tuning
from distill_core.studies.comparison import SET_UPS, SETTINGS, compare, cost, entries
from distill_core.training import loop
from distill_core.training.cohort import Cohort
from distill_core.training.run_data import load_run_data
from pages.sections import method_inputs

SMALL = Experiment(images=80, epochs=2, validation=200)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setitem(SETTINGS, "small", comparison.Setting("digits", SMALL))


def test_everything_but_the_mistakes_is_compared():
    assert set(entries(SMALL)) == {name for name, method in METHODS.items() if method.kind != "mistake"} | set(SET_UPS)


def test_a_row_has_the_best_setting_by_validation_images_and_the_test_accuracies_of_other_seeds(small):
    rows = {row["name"]: row for row in compare("small", seeds=3, only=["correlation"])}
    assert list(rows) == ["soft-targets", "baseline", "correlation"]  # what it is compared with, first
    row = rows["correlation"]
    assert not set(tuning.SEEDS) & set(range(3)) and len(row["tried"]) == 9
    best = max(row["tried"], key=lambda one: one["validation_accuracy"])
    assert (row["experiment"]["temperature"], row["experiment"]["alpha"]) == (best["temperature"], best["alpha"])
    of_best = [replace(Experiment.from_fields(row["experiment"]), seed=seed) for seed in tuning.SEEDS]
    *_, result = loop.train(of_best[0])
    *_, other = loop.train(of_best[1])
    expected = 50 * (result["student"]["validation_accuracy"] + other["student"]["validation_accuracy"])
    assert best["validation_accuracy"] == pytest.approx(expected, abs=0.51)  # an image on the border
    for seed in range(3):
        *_, result = loop.train(replace(of_best[0], seed=seed))
        assert row["students"][seed] == pytest.approx(100 * result["student"]["test_accuracy"], abs=0.3)
        assert rows["baseline"]["students"][seed] == pytest.approx(100 * result["baseline"]["test_accuracy"], abs=0.3)
    assert json.loads(json.dumps(row)) == row and row["step_ms"] > 0 and rows["baseline"]["tried"] == []


def test_tuning_never_reads_the_test_images(monkeypatch):
    def refuse(*_):
        raise AssertionError("the test images were read")

    monkeypatch.setattr(Cohort, "test", refuse)
    chosen, tried = tuning.tune(replace(SMALL, student="mlp-8x1"))
    assert len(tried) == 9 and chosen.seed == SMALL.seed


@pytest.mark.parametrize("method", ["soft-targets", "logits", "hints", "mutual-2", "hints-two-stage"])
def test_every_method_has_as_many_settings_to_choose_from(method):
    found = tuning.settings(replace(SMALL, method=method))
    assert len(set(found)) == 9 and all(0 < one.alpha < 1 for one in found)
    temperatures = {one.temperature for one in found}
    assert temperatures == ({SMALL.temperature} if method in ("logits", "hints", "mutual-2") else set(tuning.TEMPERATURES))


def test_a_ratio_of_one_is_the_default_alpha_and_alpha_sets_the_ratio_of_both_losses():
    assert tuning.alpha_of(1) == pytest.approx(SMALL.alpha)
    for ratio in tuning.MORE_RATIOS:
        alpha = tuning.alpha_of(ratio)
        assert (1 - alpha) / alpha == pytest.approx(9 * ratio)


def test_a_choice_without_an_effect_is_found_out():
    data = load_run_data([SMALL], device="cpu")
    assert tuning.has_effect(SMALL, {"temperature": 8.0}, data) and tuning.has_effect(SMALL, {"alpha": 0.5}, data)
    assert not tuning.has_effect(replace(SMALL, alpha=1.0), {"temperature": 8.0}, data)  # labels only
    assert not tuning.has_effect(replace(SMALL, method="logits"), {"temperature": 8.0}, data)


def test_an_assistant_has_the_settings_of_soft_targets(small):
    rows = {row["name"]: row for row in compare("small", seeds=2, only=["assistant"])}
    own, lender = (rows[name]["experiment"] for name in ("assistant", "soft-targets"))
    assert rows["assistant"]["tried"] == [] and own["assistants"]
    assert (own["temperature"], own["alpha"]) == (lender["temperature"], lender["alpha"])


def test_what_does_not_go_together_is_told_in_a_sentence_and_does_not_end_the_comparison(small, monkeypatch):
    monkeypatch.setitem(SETTINGS, "small", replace(SETTINGS["small"], left_out={"angles": "too slow here"}))
    rows = {row["name"]: row for row in compare("small", seeds=2, only=["attention", "angles", "similarity"])}
    assert "feature maps" in rows["attention"]["refused"] and rows["angles"]["refused"] == "too slow here"
    assert "refused" not in rows["similarity"]


def test_no_teacher_is_trained_for_the_comparison(small):
    rows = {row["name"]: row for row in compare("small", seeds=2, only=["ensemble", "strong-teacher"])}
    assert rows["ensemble"]["refused"].startswith("teacher 'ensemble-5' is not shipped for Digits")
    assert "refused" in rows["strong-teacher"]
    for setting in ("mnist-1000", "mnist-60000"):
        with pytest.raises(ValueError, match="airbench-256"):
            comparison.experiment_of(setting, "strong-teacher")
        assert comparison.experiment_of(setting, "ensemble").teacher == "ensemble-5"
    assert comparison.experiment_of("cifar10-2000", "strong-teacher").teacher == "airbench-256"


def test_rows_that_are_measured_are_not_measured_again(small, monkeypatch):
    first = list(compare("small", seeds=2, only=["logits"]))
    assert list(compare("small", seeds=2, only=["logits"], before=first)) == []
    half = list(compare("small", seeds=2, only=["logits"], before=first[:1]))
    assert [row["name"] for row in half] == ["baseline", "logits"]
    assert [row["students"] for row in half] == [row["students"] for row in first[1:]]
    assert len(list(compare("small", seeds=3, only=["logits"], before=first))) == 3  # other seeds
    monkeypatch.setitem(SETTINGS, "small", replace(SETTINGS["small"], experiment=replace(SMALL, epochs=1)))
    assert len(list(compare("small", seeds=2, only=["logits"], before=first))) == 3  # another experiment
    monkeypatch.undo()


def test_each_row_is_written_at_once_and_a_stopped_comparison_goes_on(small, home, monkeypatch, capsys):
    measured = comparison.measure

    def stops_at_the_second(experiment, *arguments, **options):
        if experiment.alpha == 1:
            raise KeyboardInterrupt
        return measured(experiment, *arguments, **options)

    arguments = ["compare", "small", "--seeds", "2", "--method", "logits"]
    with monkeypatch.context() as patch:
        patch.setattr(comparison, "measure", stops_at_the_second)
        assert main(arguments) == 130
    assert [row["name"] for row in comparison.kept(comparison.unfinished())["rows"]] == ["soft-targets"]
    capsys.readouterr()
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "Soft targets    " not in said.split("method    ")[0] and "Matching logits" in said
    found = comparison.kept(comparison.unfinished())
    assert [row["name"] for row in found["rows"]] == ["soft-targets", "baseline", "logits"]
    assert found["measured"]["small"]["seconds"] == round(sum(row["seconds"] for row in found["rows"]))
    assert main([*arguments, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["name"]: set(row["against"]) for row in rows} == {
        "soft-targets": {"baseline"}, "baseline": set(), "logits": {"baseline", "soft-targets"}
    }  # fmt: skip


def test_rows_of_the_first_form_which_were_not_tuned_are_not_shown(tmp_path):
    file = tmp_path / "comparison.json"
    row = {"setting": "mnist-1000", "name": "logits", "title": "L", "students": [90.0], "difference": 1.0, "low": 0.5, "high": 1.5}
    file.write_text(json.dumps({"rows": [row], "measured": {"mnist-1000": {"command": "x"}}}))
    assert comparison.kept(file)["rows"] == [] and comparison.kept(tmp_path / "none.json")["rows"] == []
    comparison.keep({**row, "kind": "method", "seconds": 1.0}, file=file, command="y", date="2026-01-01")
    assert [one["kind"] for one in comparison.kept(file)["rows"]] == ["method"]


def test_peers_and_a_regressor_cost_memory_and_soft_targets_the_least():
    costs = {name: cost(replace(SMALL, method=name), steps=2)["step_mb"] for name in ("soft-targets", "mutual-2", "mutual-4", "hints")}
    assert costs["soft-targets"] < costs["mutual-2"] < costs["mutual-4"] and costs["soft-targets"] < costs["hints"]


def test_a_quiet_cohort_of_students_alone_has_the_students_of_a_race():
    experiments = [replace(SMALL, seed=seed) for seed in (0, 1)]
    loud, quiet = Cohort(experiments, device="cpu"), Cohort(experiments, device="cpu", roles=("student",), quiet=True)
    told = {name: [r for records in cohort.steps() for r in records] for name, cohort in (("loud", loud), ("quiet", quiet))}
    results = {name: [r["student"]["test_errors"] for r in records if r["event"] == "result"] for name, records in told.items()}
    assert results["loud"] == results["quiet"] and "baseline" not in told["quiet"][-1]
    assert {r["event"] for r in told["quiet"]} == {"result"}


def test_a_comparison_with_tuned_methods_is_shipped():
    assert "mnist-1000" in comparison.kept()["measured"]


@pytest.mark.parametrize("setting", comparison.kept()["measured"])
def test_the_shipped_comparison_has_every_method_of_a_measured_setting_over_ten_seeds_made_with_the_experiments_of_today(setting):
    kept, usual = comparison.kept(), SETTINGS[setting].experiment
    rows = {row["name"]: row for row in kept["rows"] if row["setting"] == setting}
    everything = comparison.references(usual) | entries(usual)
    assert set(rows) == set(everything)
    for name, row in rows.items():
        assert row["kind"] == comparison.kind_of(name)
        if "refused" not in row:
            assert len(row["students"]) == 10 and row["step_ms"] > 0 and row["step_mb"] > 0
            assert comparison.is_current(row, replace(usual, **everything[name][1]), 10, lender=rows["soft-targets"])
    assert kept["measured"][setting]["command"].startswith("python -m distill_core compare") and kept["measured"][setting]["seconds"] > 0


# --- the differences ------------------------------------------------------------------------------------------------


def row_of(name, kind, accuracies, **more):
    experiment = {"dataset": "mnist", "temperature": 4.0, "alpha": 0.1}
    common = {"setting": "a", "title": name.upper(), "experiment": experiment, "tried": [], "step_ms": 1.0, "step_mb": 2.0}
    return {"name": name, "kind": kind, "students": list(accuracies), **common, **more}


def rows_over_ten_seeds():
    draw = np.random.default_rng(0)
    baseline = 90 + draw.normal(size=10)
    own = lambda mean: baseline + mean + 0.3 * draw.normal(size=10)  # noqa: E731
    return [
        row_of("baseline", "reference", baseline),
        row_of("baseline-longer", "reference", own(0.5)),
        row_of("soft-targets", "method", own(1.0)),
        row_of("x", "method", own(2.0)),
        row_of("y", "method", own(-3.0)),
        row_of("z", "method", own(0.0)),
        row_of("c", "control", own(0.1)),
        row_of("s", "set-up", own(1.5)),
        {"setting": "a", "name": "w", "title": "W", "kind": "method", "refused": "no"},
        row_of("x", "method", own(5.0), setting="b"),
    ]


def test_differences_are_paired_and_their_p_values_corrected_among_the_methods_alone():
    rows = {row["name"]: row for row in comparison.differences(rows_over_ten_seeds(), "a")}
    accuracies = {name: row["students"] for name, row in rows.items()}
    for reference, others in (("baseline", ["soft-targets", "x", "y", "z"]), ("soft-targets", ["x", "y", "z"])):
        p_values = [stats.ttest_rel(accuracies[name], accuracies[reference]).pvalue for name in others]
        for name, expected in zip(others, holm(p_values), strict=True):
            found = rows[name]["against"][reference]
            assert found["p_value"] == pytest.approx(expected, rel=1e-6)
            assert found["difference"] == pytest.approx(np.subtract(accuracies[name], accuracies[reference]).mean())
            assert found["low"] < found["difference"] < found["high"]
            assert found["sign"] == (0 if expected >= 0.05 else np.sign(found["difference"]))
    assert set(rows["soft-targets"]["against"]) == {"baseline"} and set(rows["s"]["against"]) == {"baseline", "soft-targets"}
    alone = stats.ttest_rel(accuracies["s"], accuracies["baseline"]).pvalue
    assert rows["s"]["against"]["baseline"]["p_value"] == pytest.approx(alone, rel=1e-6)  # the only set-up: nothing to correct for
    assert rows["baseline-longer"]["against"]["baseline"]["difference"] == pytest.approx(0.5, abs=0.3)
    assert "w" not in rows and "refused" not in rows["x"]


def test_a_row_whose_reference_is_not_measured_yet_has_no_difference():
    rows = [row for row in rows_over_ten_seeds() if row["name"] != "baseline"]
    found = {row["name"]: set(row["against"]) for row in comparison.differences(rows, "a")}
    assert found["x"] == {"soft-targets"} and found["soft-targets"] == set() and found["baseline-longer"] == set()
    assert comparison.differences([], "a") == []


# --- the picture ----------------------------------------------------------------------------------------------------


def test_methods_are_ranked_by_kind_and_coloured_by_their_corrected_difference():
    rows = comparison.differences(rows_over_ten_seeds(), "a")
    shown = ranked(rows, "baseline")
    assert [row["name"] for row in shown] == ["x", "soft-targets", "z", "y"]
    assert [row["name"] for row in ranked(rows, "soft-targets")] == ["x", "z", "y"]
    assert [row["name"] for row in ranked(rows, "baseline", "set-up")] == ["s"]
    figure = comparison_figure(shown, "baseline", marked="z")
    told = {trace.name: list(trace.y) for trace in figure.data}
    assert told == {"clearly above": ["SOFT-TARGETS", "X"], "not clear": ["<b>Z</b>"], "clearly below": ["Y"]}
    found = shown[0]["against"]["baseline"]
    above = figure.data[0]
    assert above.x[1] == found["difference"] and above.error_x.array[1] == pytest.approx(found["high"] - found["difference"])
    assert list(figure.layout.yaxis.categoryarray) == ["Y", "<b>Z</b>", "SOFT-TARGETS", "X"]  # the best on top
    assert "baseline" in figure.layout.xaxis.title.text
    assert points({"difference": -2.0, "low": -3.0, "high": -1.0}) == "\u22122.00 points (\u22123.00 to \u22121.00)"


def test_panels_hold_their_arrays_and_do_not_overlap():
    panels = [[("one", np.eye(2)), ("two", np.ones((3, 2)))], [("three", np.zeros((2, 2)))]]
    figure = panels_figure(panels)
    assert [trace.z.shape for trace in figure.data] == [(2, 2), (3, 2), (2, 2)]
    assert [a.text for a in figure.layout.annotations] == ["one", "two", "three"]
    first, second = figure.layout.xaxis.domain, figure.layout.xaxis2.domain
    assert first[1] < second[0] and figure.layout.yaxis.domain[0] >= figure.layout.yaxis3.domain[1]


def test_a_row_that_is_measured_later_joins_the_others_and_its_time_theirs(tmp_path):
    file, row = tmp_path / "comparison.json", {"setting": "mnist-1000", "seconds": 10.0}
    for name, seconds in (("one", 10.0), ("two", 10.0), ("three", 12.0), ("one", 11.0)):
        comparison.keep({**row, "name": name, "seconds": seconds}, file=file, command="all", date="2026-01-01")
    told = comparison.kept(file)
    assert [row["name"] for row in told["rows"]] == ["two", "three", "one"]
    assert told["measured"]["mnist-1000"]["seconds"] == 10 + 12 + 11


# --- what is compared, and who teaches whom -------------------------------------------------------------------------


def arrows(figure, name):
    """From where to where each arrow of this kind goes."""
    return [tuple(zip(trace.x, trace.y, strict=True)) for trace in figure.data if trace.name == name]


@pytest.mark.parametrize("peers", [1, 2, 3])
def test_every_peer_teaches_every_other_and_all_hear_labels(peers):
    figure = who_teaches_whom(*circle(peers))
    taught, labelled = arrows(figure, "soft targets"), arrows(figure, "labels")
    learners = {end for _, end in taught}
    assert len(learners) == peers + 1 and len(set(taught)) == len(taught) == peers * (peers + 1)
    assert {end for _, end in labelled} == learners and not learners & {start for start, _ in labelled}


def test_a_chain_goes_from_the_teacher_to_the_student_and_all_but_the_teacher_hear_labels():
    networks, teaches = chain(["teacher"], ["assistant", "earlier student"])
    assert [(networks[a].text, networks[b].text) for a, b in teaches] == [
        ("teacher", "assistant"), ("assistant", "earlier student"), ("earlier student", "student")
    ]  # fmt: skip
    assert [network.text for network in networks if network.labels] == ["assistant", "earlier student", "student"]


def test_several_teachers_meet_in_their_mean():
    networks, teaches = chain(["cnn-16"] * 5, mean_of="logits")
    assert [networks[a].text for a, b in teaches if networks[b].role == "mean"] == ["cnn-16"] * 5
    assert [networks[a].text for a, b in teaches if networks[b].text == "student"] == ["mean of<br>logits"]
    assert len({(network.x, network.y) for network in networks}) == len(networks)


def test_pairs_are_drawn_as_they_were_said_filled_and_hatched():
    panels = [
        Pairs("one", ["a", "b"], {"teacher": [0.1, 0.9], "student": [0.4, 0.6]}),
        Pairs("two", ["a"], {"teacher": [2], "student": [3]}),
    ]
    figure = pairs_figure(panels)
    assert [(bars.name, list(bars.y)) for bars in figure.data] == [
        ("teacher", [0.1, 0.9]), ("student", [0.4, 0.6]), ("teacher", [2]), ("student", [3])
    ]  # fmt: skip
    assert [bool(bars.marker.pattern.shape) for bars in figure.data] == [False, True] * 2
    assert [annotation.text for annotation in figure.layout.annotations] == ["one", "two"]


CONTROLS = [name for name, method in METHODS.items() if method.kind == "control"]


@pytest.mark.parametrize("name", CONTROLS)
def test_the_displayed_targets_of_a_control_are_those_of_its_training(name):
    """A student whose soft targets equal the displayed ones, at the same temperature, has a gradient of zero."""
    torch.manual_seed(0)
    teacher_logits, labels = 3 * torch.randn(6, 10, dtype=torch.float64), torch.randint(0, 10, (6,))
    targets = method_inputs.control_targets(name, teacher_logits, labels)[method_inputs.TARGETS]
    assert torch.allclose(targets.sum(dim=1), torch.ones(6, dtype=torch.float64))
    temperature = 1.0 if name == "label-smoothing" else method_inputs.T
    student_logits = (temperature * targets.log()).requires_grad_()
    change = METHODS[name].change_targets
    trained = change(teacher_logits, seeded(0, "targets", 0)) if change else teacher_logits
    batch = Batch(student_logits, trained, labels, alpha=0.0, temperature=temperature)
    (gradient,) = torch.autograd.grad(METHODS[name].loss(batch), student_logits)
    assert gradient.abs().max() < 1e-12
    plain = losses.soft_loss(student_logits, teacher_logits, temperature=method_inputs.T)
    (gradient,) = torch.autograd.grad(plain, student_logits)
    assert gradient.abs().max() > 1e-3  # the teacher's own soft targets differ


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.kind == "response-based" and not method.peers])
def test_every_panel_of_a_logit_method_has_a_value_per_class_and_network(name):
    torch.manual_seed(0)
    logits = {role: 3 * torch.randn(20, 10) for role in ("teacher", "student")}
    panels = method_inputs.of_logits(name, logits, torch.full((20,), 3), [f"class {n}" for n in range(10)])
    for panel in panels:
        assert set(panel.values) == {"teacher", "student"}
        assert all(len(values) == len(panel.names) for values in panel.values.values())
        if "among" in panel.title or "against" in panel.title or "softmax" in panel.title:
            assert sum(panel.values["teacher"]) == pytest.approx(1, abs=1e-6)
    if name == "decoupled":
        assert panels[0].names == ["class 3", "all others"] and "class 3" not in panels[1].names
    if name == "correlation":
        assert len(panels[1].names) == 20
    if name.endswith("-standardized") and panels[0].title == "standardised logits":
        assert np.std(panels[0].values["teacher"], ddof=1) == pytest.approx(1, abs=1e-5)


def test_the_two_panels_of_decoupling_are_what_its_loss_compares():
    torch.manual_seed(0)
    logits = {role: 3 * torch.randn(1, 10, dtype=torch.float64) for role in ("teacher", "student")}
    label = torch.tensor([3])
    pair, among = method_inputs.of_logits("decoupled", logits, label, [str(n) for n in range(10)])
    target, nontarget = (
        sum(p * np.log(p / q) for p, q in zip(panel.values["teacher"], panel.values["student"], strict=True)) for panel in (pair, among)
    )
    expected = losses.decoupled_loss(logits["student"], logits["teacher"], label, temperature=method_inputs.T)
    assert method_inputs.T**2 * (target + 8 * nontarget) == pytest.approx(float(expected), rel=1e-9)


def test_the_displayed_correlation_is_that_of_the_loss():
    torch.manual_seed(0)
    logits = {role: 3 * torch.randn(20, 10, dtype=torch.float64) for role in ("teacher", "student")}
    of_image, _ = method_inputs.of_logits("correlation", logits, torch.full((20,), 3), [str(n) for n in range(10)])
    one = {role: z[:1] for role, z in logits.items()}
    loss = losses.correlation_loss(one["student"], one["teacher"], temperature=method_inputs.T, intra_weight=0.0)
    assert float(of_image.title.split("correlation ")[1]) == pytest.approx(1 - float(loss) / method_inputs.T**2, abs=0.005)
