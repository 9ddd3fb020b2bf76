"""The ladder: each rung is measured in the same way, smaller rungs are smaller, and a study goes on where it was stopped."""

import json
from dataclasses import replace

import pytest
import torch

from distill_core.__main__ import main
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.figures.ladder import _ticks, ladder_figure
from distill_core.studies import ladder
from distill_core.training import loop
from distill_core.training.run_data import load_run_data

FIELDS = {"rung", "parameters", "bytes", "flops", "latency_ms", "test_accuracy", "low", "high"}
SMALL = ladder.Setting(
    "small",
    Experiment(epochs=2, student="mlp-12x2"),
    rungs=("neurons-50", "int8"),
    recover=("neurons-50", "teacher, neurons-50"),
    of_teacher=("neurons-50",),
    recovery_epochs=1,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch, home):
    """Few calls where latency is measured."""
    usual = ladder.latency
    monkeypatch.setattr(ladder, "latency", lambda run: usual(run, times=20, warm_up=1))
    monkeypatch.setattr(ladder, "LOSSY", ("neurons-50",))  # of one network
    monkeypatch.setitem(ladder.SETTINGS, "small", SMALL)


def test_a_study_has_every_rung_over_its_seeds_and_goes_on_where_it_was_stopped(tmp_path):
    file, rows = tmp_path / "ladder.json", []
    for row in ladder.measure("small", seeds=2):
        ladder.keep(row, file=file, command="test")
        rows.append(row)
    named = {row["rung"]: row for row in rows}
    recovered = {f"{name}, recovered {how}" for name in SMALL.recover for how in ladder.HOW.values()}
    aware = {f"int{bits}, quantisation-aware" for bits in (4, 2)}
    assert set(named) == {"teacher", "teacher, neurons-50", "student", "neurons-50", "int8", "int4", "int2"} | recovered | aware
    assert all(
        set(row) > FIELDS and len(row["accuracies"]) == (1 if row["rung"] in ("teacher", "teacher, neurons-50") else 2) for row in rows
    )
    assert all(set(row["latency_ms"]) == {"torch", "onnx"} and set(row["latency_ms"]["onnx"]) == {"1", "64"} for row in rows)
    student = named["student"]
    assert named["neurons-50"]["flops"] < 0.6 * student["flops"] and named["neurons-50"]["bytes"] < student["bytes"]
    assert named["int8"]["bytes"] < 0.6 * student["bytes"]
    assert named["teacher"]["agreement"] == 1.0 and student["low"] < student["test_accuracy"] < student["high"]
    assert list(ladder.measure("small", seeds=2, before=ladder.kept(file)["rows"])) == []
    left = [row for row in ladder.kept(file)["rows"] if row["rung"] != "int8"]
    (again,) = ladder.measure("small", seeds=2, before=left)
    assert again["rung"] == "int8" and again["accuracies"] == named["int8"]["accuracies"]


def test_recovery_starts_from_the_compressed_student_and_not_from_new_weights():
    """After no more than one epoch it is above the student that was trained as long from random weights."""
    rows = {row["rung"]: row for row in ladder.measure("small", seeds=2)}
    experiments = [replace(SMALL.experiment, epochs=1, student="mlp-6x2", seed=seed) for seed in range(2)]
    fresh = ladder.train(experiments, datasets.load("digits"), device="cpu")[0]["student"]
    accuracy = (
        sum((one.logits(one.dataset.test_images).argmax(dim=1) == one.dataset.test_labels).double().mean().item() for one in fresh) / 2
    )
    assert rows["neurons-50, recovered with the teacher"]["test_accuracy"] > accuracy


def test_an_interrupted_study_trains_no_student_twice_and_a_student_of_a_start_is_the_one_that_trains_alone(monkeypatch):
    """Recoveries start from ten different networks and train as one cohort."""
    networks = ladder.Networks(SMALL, seeds=2)
    together, _ = networks.of("neurons-50, recovered with the teacher")
    monkeypatch.setattr(ladder, "Shards", None)
    again, _ = ladder.Networks(SMALL, seeds=2).of("neurons-50, recovered with the teacher")
    alone = trained_alone(together[1].experiment)
    for name, value in together[1].network.state_dict().items():
        assert torch.equal(value, again[1].network.state_dict()[name])
        torch.testing.assert_close(value, alone[name], rtol=1e-3, atol=1e-4)
    assert together[0].experiment.start_from != together[1].experiment.start_from


def trained_alone(experiment):
    """The student of a race, trained by the loop."""
    steps = loop.train_members(experiment, load_run_data([experiment], device="cpu"), ["student"], 0.0)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value[0].network.state_dict()


def test_latencies_are_measured_again_without_anything_else():
    rows = list(ladder.measure("small", seeds=2))[:3]
    again = list(ladder.measure("small", seeds=2, before=rows, latency_only=True))
    assert [row["rung"] for row in again] == [row["rung"] for row in rows]
    for row, before in zip(again, rows, strict=True):
        assert {name for name in row if row[name] != before[name]} <= {"latency_ms", "load"}


def test_changed_images_are_changed_as_their_names_say():
    dataset = datasets.load("digits")
    images = dataset.test_images[:20]
    changed = {name: change(images, dataset) for name, change in ladder.CHANGES.items()}
    assert all(one.dtype == torch.uint8 and one.shape == images.shape and not torch.equal(one, images) for one in changed.values())
    assert torch.equal(changed["shift"][..., 2:, 2:], images[..., :-2, :-2])
    spread, halved = (one.float().std(dim=(1, 2, 3)).mean().item() for one in (images, changed["contrast"]))
    assert halved == pytest.approx(spread / 2, rel=0.05)
    assert torch.equal(changed["noise"], ladder.noise(images, dataset))


def test_compress_prints_a_line_for_each_rung_and_the_reason_where_one_cannot_be(capsys):
    assert main(["compress", "digits/cnn-32", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["rung"] for row in rows] == ["as trained", *ladder.RUNGS]
    assert all(set(row) >= FIELDS for row in rows)


def test_compress_refuses_what_it_cannot_do_with_one_line(capsys):
    for arguments in (
        ["nothing"],
        ["digits/cnn-32", "--seeds", "101"],
        ["digits/cnn-32", "--keep"],
        ["digits/cnn-32", "--latency"],
        ["mnist", "--latency"],
    ):
        assert main(["compress", *arguments]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def rung(name, size, accuracy):
    return {"rung": name, "bytes": size, "test_accuracy": accuracy, "low": accuracy - 0.01, "high": accuracy + 0.01}


ROWS = [rung("teacher", 8000, 0.98), rung("student", 1000, 0.97), rung("int8", 300, 0.968), rung("int2", 100, 0.5)]


def test_latencies_of_a_loaded_machine_are_known_as_such():
    quiet, busy, unknown = {"load": 0.9}, {"load": 7.0}, {}
    assert not ladder.was_busy([quiet]) and ladder.was_busy([quiet, busy]) and ladder.was_busy([unknown])


def test_findings_name_the_smallest_close_to_the_teacher_or_the_one_that_is_closest():
    assert ladder.findings(ROWS, allowed=2)[0] == (
        "Within 2 points of the teacher (98.00 %, 8.0 kB), the smallest rung is int8: 0.3 kB, 26.7 times smaller, 1.20 points lost."
    )
    assert ladder.findings(ROWS, allowed=0.5)[0].startswith(
        "None is within 0.5 points of the teacher (98.00 %, 8.0 kB), the closest rung is student"
    )
    assert (
        ladder.findings(ROWS, allowed=2)[1] == "Of 3 rungs that are at least 4 times smaller than the teacher, 2 lose less than 5 points."
    )
    assert "the closest rung is student" in ladder.findings(ROWS, allowed=1)[0]  # exactly one point is not under one point


def test_the_chart_has_every_rung_by_its_number_and_a_front_without_what_is_larger_and_worse():
    rows = [*ROWS, rung("neurons-50, recovered with labels only", 600, 0.9)]
    front, *markers = ladder_figure(rows).data
    assert sorted(number.strip() for trace in markers for number in trace.text) == ["1", "2", "3", "4", "5"]
    assert {trace.name: [number.strip() for number in trace.text] for trace in markers} == {
        "teacher, compressed too": ["1"],
        "recovered with labels only": ["5"],
        "student, compressed too": ["2", "3", "4"],
    }
    assert list(front.x) == [0.1, 0.3, 1.0, 8.0] and list(front.y) == pytest.approx([50, 3.2, 3, 2])
    (student,) = [trace for trace in markers if trace.name.startswith("student")]
    assert list(student.y) == pytest.approx([3, 3.2, 50]) and list(student.error_y.array) == pytest.approx([1, 1, 1])


def test_rungs_whose_points_nearly_coincide_share_one_label():
    rows = [*ROWS, rung("int8, recovered with the teacher", 301, 0.9681)]
    (student,) = [trace for trace in ladder_figure(rows).data if trace.name and trace.name.startswith("student")]
    assert [text.strip() for text in student.text] == ["2", "3, 5", "4", ""]


@pytest.mark.parametrize(("values", "shown"), [
    ([23, 80], ["20", "30", "40", "50", "70", "100"]),
    ([6.3, 456], ["5", "10", "20", "50", "100", "200", "500"]),
    ([0.7, 65], ["0.5", "1", "2", "5", "10", "20", "50", "100"]),
    ([5.6, 9581], ["1", "10", "100", "1,000", "10,000"]),
])  # fmt: skip
def test_an_axis_has_as_many_ticks_as_it_has_room_for(values, shown):
    assert _ticks(values)["ticktext"] == shown
