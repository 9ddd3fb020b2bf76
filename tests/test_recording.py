"""A step that is recorded once and replayed trains as the step itself does."""

from __future__ import annotations

import pytest
import torch

from distill_core.experiment import Experiment
from distill_core.training import recording
from distill_core.training.cohort import train_cohort
from distill_core.training.recording import Recording

FIELDS = {"images": 50, "batch_size": 20, "student": "mlp-12x2", "epochs": 4}


@pytest.fixture
def recorded(monkeypatch):
    """The steps that are recorded. Without a GPU the step itself stands for its graph, and reads the same tensors at each replay."""
    found, real = [], recording.record

    def record(step):
        found.append(step)
        if torch.cuda.is_available():
            return real(step)
        returned = step()  # unlike a recording this computes, so the first replay does not
        rest = iter([lambda: None])
        return (lambda: next(rest, step)()), returned

    monkeypatch.setattr(recording, "record", record)
    return found


def train_without(experiments, monkeypatch):
    """The records of the same experiments, each step computed as it is."""
    with monkeypatch.context() as patch:
        patch.setattr(recording, "is_recorded", lambda device: False)
        return numbers(train_cohort(experiments))


def numbers(records):
    """What a record contains, without its time."""
    return [{name: value for name, value in one.items() if name != "seconds"} for one in records]


CHOICES = [
    {},
    {"method": "decoupled"},
    {"method": "hints-two-stage"},
    {"method": "permuted-classes", "unlabelled": 30, "augmentation": "fixed"},
    {"method": "mutual-3", "optimizer": "sgd"},
    {"student": "cnn-2", "augmentation": "consistent", "teacher": "cnn-32", "method": "attention"},
    {"compression": "prune-50+int4", "method": "jensen-shannon"},
    {"teacher": "self", "schedule": "one-cycle"},
    {"dataset": "little-language", "teacher": "gpt-64x2", "student": "gpt-16x1", "images": 20, "batch_size": 8, "method": "on-policy"},
]


@pytest.mark.parametrize("choices", CHOICES, ids=str)
def test_a_replayed_step_trains_as_the_step_itself_does(choices, recorded, monkeypatch):
    experiments = [Experiment(**{**FIELDS, **choices}, seed=seed) for seed in (0, 1)]
    alone = train_without(experiments, monkeypatch)
    monkeypatch.setattr(recording, "is_recorded", lambda device: True)
    replayed = numbers(train_cohort(experiments))
    assert recorded and [one["event"] for one in replayed] == [one["event"] for one in alone]
    for ours, theirs in zip(replayed, alone, strict=True):
        for name, value in theirs.items():
            wanted = pytest.approx(value, rel=2e-3, abs=2e-4) if isinstance(value, float) else value
            assert name in ("student", "baseline", "teacher", "assistants", "experiment") or ours[name] == wanted, name


def test_each_shape_of_a_batch_is_recorded_once(recorded, monkeypatch):
    monkeypatch.setattr(recording, "is_recorded", lambda device: True)
    list(train_cohort([Experiment(**FIELDS)]))
    assert len(recorded) == 2  # batches of 20, and the last of each epoch of 10


def test_a_recording_reads_the_inputs_of_each_call_and_not_those_of_its_first(recorded, monkeypatch):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    monkeypatch.setattr(recording, "is_recorded", lambda device: True)
    total, run = torch.zeros(3, device=device), Recording(device)

    def add(values):
        total.add_(values)
        return len(values)

    assert [run(add, torch.full((3,), float(number), device=device)) for number in range(6)] == [3] * 6
    assert total.tolist() == [15.0] * 3 and len(recorded) == 1


def test_a_step_that_cannot_be_recorded_is_computed_at_each_call(monkeypatch):
    def refuse(step):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(recording, "record", refuse)
    monkeypatch.setattr(recording, "is_recorded", lambda device: True)
    total, run = torch.zeros(3), Recording(torch.device("cpu"))

    def add(values):
        total.add_(values)
        return len(values)

    assert [run(add, torch.full((3,), float(number))) for number in range(6)] == [3] * 6
    assert total.tolist() == [15.0] * 3


def test_steps_on_a_cpu_are_not_recorded(recorded):
    total, run = torch.zeros(3), Recording(torch.device("cpu"))

    def add(values):
        total.add_(values)

    for _ in range(6):
        run(add, torch.ones(3))
    assert not recorded and total.tolist() == [6.0] * 3 and run.numbers(0.1, 0.5) == (0.1, 0.5)
