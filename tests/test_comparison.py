"""The comparison of methods: what is compared, what is kept, and that the kept figures are what they say."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from distill_core import analysis, losses
from distill_core.batch import Batch
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
    sign,
    who_teaches_whom,
)
from distill_core.objectives import METHODS
from distill_core.studies import comparison
from distill_core.studies.comparison import SET_UPS, SETTINGS, compare, cost, entries
from distill_core.training import loop
from distill_core.training.cohort import Cohort
from pages.sections import method_inputs

SMALL = Experiment(images=80, epochs=2)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setitem(SETTINGS, "small", comparison.Setting("digits", SMALL))


def test_everything_but_the_mistakes_is_compared():
    assert set(entries(SMALL)) == {name for name, method in METHODS.items() if method.kind != "mistake"} | set(SET_UPS)


def test_a_row_is_the_paired_difference_of_the_same_races(small):
    (row,) = compare("small", seeds=3, only=["correlation"])
    for seed in range(3):
        *_, result = loop.train(replace(SMALL, method="correlation", seed=seed))
        assert row["students"][seed] == pytest.approx(100 * result["student"]["test_accuracy"], abs=0.3)  # an image on the border
        assert row["baselines"][seed] == pytest.approx(100 * result["baseline"]["test_accuracy"], abs=0.3)
    assert (row["difference"], row["low"], row["high"]) == analysis.paired_difference(row["students"], row["baselines"])
    assert json.loads(json.dumps(row)) == row and row["step_ms"] > 0


def test_what_does_not_go_together_is_told_in_a_sentence_and_does_not_end_the_comparison(small):
    rows = list(compare("small", seeds=2, only=["attention", "born-again"]))
    assert [row["name"] for row in rows] == ["attention", "born-again"]
    assert "feature maps" in rows[0]["refused"]
    assert (rows[1]["experiment"]["teacher"], rows[1]["experiment"]["assistants"]) == ("self", [])


def test_peers_and_a_regressor_cost_memory_and_soft_targets_the_least():
    costs = {name: cost(replace(SMALL, method=name), steps=2)["step_mb"] for name in ("soft-targets", "mutual-2", "mutual-4", "hints")}
    assert costs["soft-targets"] < costs["mutual-2"] < costs["mutual-4"] and costs["soft-targets"] < costs["hints"]


def test_a_quiet_cohort_of_students_alone_has_the_students_of_a_race():
    experiments = [replace(SMALL, seed=seed) for seed in (0, 1)]
    loud, quiet = Cohort(experiments, device="cpu"), Cohort(experiments, device="cpu", roles=("student",), quiet=True)
    told = {name: [r for records in cohort.steps() for r in records] for name, cohort in (("loud", loud), ("quiet", quiet))}
    results = {name: [r["student"]["test_errors"] for r in records if r["event"] == "result"] for name, records in told.items()}
    assert results["loud"] == results["quiet"] and "baseline" not in told["quiet"][-1]
    assert {r["step"] for r in told["quiet"] if r["event"] == "record"} == {max(r["step"] for r in told["loud"] if r["event"] == "record")}


@pytest.fixture(scope="module")
def kept():
    return comparison.kept()


def test_the_shipped_comparison_has_every_method_on_each_setting_that_was_measured_over_ten_seeds(kept):
    assert {"mnist-1000", "mnist-60000"} <= set(kept["measured"]) <= set(SETTINGS)
    for setting in kept["measured"]:
        entry = SETTINGS[setting]
        rows = {row["name"]: row for row in kept["rows"] if row["setting"] == setting}
        assert set(rows) == set(entries(entry.experiment))
        for row in rows.values():
            if "refused" not in row:
                assert len(row["students"]) == len(row["baselines"]) == 10 and row["step_ms"] > 0 and row["step_mb"] > 0
                assert (row["difference"], row["low"], row["high"]) == pytest.approx(
                    analysis.paired_difference(row["students"], row["baselines"])
                )
        measured = [row for row in rows.values() if "refused" not in row]
        assert len({tuple(row["baselines"]) for row in measured}) == 1  # one baseline for all
        assert (
            kept["measured"][setting]["command"].startswith("python -m distill_core compare") and kept["measured"][setting]["seconds"] > 0
        )


def test_the_shipped_comparison_was_made_with_the_experiments_of_today(kept):
    for row in kept["rows"]:
        if "refused" not in row:
            usual = SETTINGS[row["setting"]].experiment
            assert Experiment.from_fields(row["experiment"]) == replace(usual, **entries(usual)[row["name"]][1])


def test_soft_targets_help_where_images_are_few(kept):
    (row,) = (row for row in kept["rows"] if (row["setting"], row["name"]) == ("mnist-1000", "soft-targets"))
    assert sign(row) == 1


# --- the picture ----------------------------------------------------------------------------------------------------

COST = {"step_ms": 1.0, "step_mb": 2.0}
ROWS = [
    {"setting": "a", "name": n, "title": n.upper(), "difference": d, "low": low, "high": high, "students": [90.0 + d] * 2, **COST}
    for n, d, low, high in (("x", 1.0, 0.5, 1.5), ("y", -2.0, -3.0, -1.0), ("z", 0.1, -0.2, 0.4))
]


def test_methods_are_ranked_and_coloured_by_their_interval():
    rows = [*ROWS, {"setting": "a", "name": "w", "title": "W", "refused": "no"}, {**ROWS[0], "setting": "b"}]
    assert [row["name"] for row in ranked(rows, "a")] == ["x", "z", "y"]
    assert [sign(row) for row in ROWS] == [1, -1, 0]
    figure = comparison_figure(rows, "a", marked="z")
    told = {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data}
    assert told == {"helps": ([1.0], ["X"]), "interval includes zero": ([0.1], ["<b>Z</b>"]), "hurts": ([-2.0], ["Y"])}
    helps = figure.data[0]
    assert helps.error_x.array[0] == pytest.approx(0.5) and helps.error_x.arrayminus[0] == pytest.approx(0.5)
    assert list(figure.layout.yaxis.categoryarray) == ["Y", "<b>Z</b>", "X"]  # the best on top
    assert points(ROWS[1]) == "\u22122.00 points (\u22123.00 to \u22121.00)"


def test_panels_hold_their_arrays_and_do_not_overlap():
    panels = [[("one", np.eye(2)), ("two", np.ones((3, 2)))], [("three", np.zeros((2, 2)))]]
    figure = panels_figure(panels)
    assert [trace.z.shape for trace in figure.data] == [(2, 2), (3, 2), (2, 2)]
    assert [a.text for a in figure.layout.annotations] == ["one", "two", "three"]
    first, second = figure.layout.xaxis.domain, figure.layout.xaxis2.domain
    assert first[1] < second[0] and figure.layout.yaxis.domain[0] >= figure.layout.yaxis3.domain[1]


def test_a_method_that_is_measured_later_joins_the_others_and_its_time_theirs(monkeypatch, tmp_path):
    monkeypatch.setattr(comparison, "FILE", tmp_path / "comparison.json")
    row = {"setting": "mnist-1000", "seconds": 10.0}
    comparison.keep("mnist-1000", [{**row, "name": "one"}, {**row, "name": "two"}], command="all", seconds=25, date="2026-01-01")
    comparison.keep("mnist-1000", [{**row, "name": "three"}], command="all", seconds=12, date="2026-01-02")
    comparison.keep("mnist-1000", [{**row, "name": "one", "seconds": 11.0}], command="all", seconds=13, date="2026-01-03")
    told = comparison.kept()
    assert [row["name"] for row in told["rows"]] == ["two", "three", "one"]
    assert told["measured"]["mnist-1000"]["seconds"] == 25 + 12 + 13 - 10
    comparison.keep("mnist-1000", [{**row, "name": name} for name in ("one", "two", "three")], command="all", seconds=30, date="2026-01-04")
    assert comparison.kept()["measured"]["mnist-1000"]["seconds"] == 30


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
    batch = Batch(student_logits, teacher_logits, labels, alpha=0.0, temperature=temperature)
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
