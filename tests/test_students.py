"""A student that starts from trained weights and is compressed: its zeros stay, its bits are kept, and cohort and loop agree."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import load

from distill_core import analysis, models, students, teachers
from distill_core.compression import nonzero, quantise
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.starts import keep_start, load_start
from distill_core.training.cohort import Cohort
from distill_core.training.loop import make_learners, train
from distill_core.training.run_data import load_run_data

SMALL = Experiment(images=200, epochs=2, student="mlp-12x2", learning_rate=0.003)
TEXTS = ("prune-80", "neurons-50", "rank-30", "int3", "neurons-50+rank-50+prune-50+int4")


@pytest.fixture
def start(home):
    """The name of a kept network of these layers."""
    network = models.build("mlp-12x2", image_shape=(1, 8, 8), classes=10, seed=5)
    return keep_start(network)


@pytest.fixture
def digits():
    return datasets.load("digits")


def test_a_kept_network_comes_back(start, digits):
    network = models.build("mlp-12x2", image_shape=(1, 8, 8), classes=10, seed=5)
    found = load_start(start, "mlp-12x2", digits)
    assert all(torch.equal(a, b) for a, b in zip(found.state_dict().values(), network.state_dict().values(), strict=True))
    assert keep_start(network) == start


@pytest.mark.parametrize("harm", ["cut", "other", "missing", "layers"])
def test_a_start_that_is_cut_foreign_or_missing_is_refused(start, home, digits, refused, harm):
    path = home / "starts" / f"{start}.safetensors"
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif harm == "other":
        path.write_bytes(b"not a file of weights")
    elif harm == "missing":
        path.unlink()
    with refused(start, "Recover"):
        load_start(start, "mlp-13x2" if harm == "layers" else "mlp-12x2", digits)


@pytest.mark.parametrize("text", TEXTS)
def test_loop_and_cohort_train_the_compressed_student_alike(start, text):
    experiment = replace(SMALL, start_from=start, compression=text)
    *records, alone = train(experiment, device="cpu")
    together = [one for records in Cohort([experiment], device="cpu").steps() for one in records]
    assert together[0]["test_accuracy"] == records[0]["test_accuracy"]
    assert alone["student"]["parameters"] == together[-1]["student"]["parameters"]
    for role in ("student", "baseline"):
        assert together[-1][role]["test_accuracy"] == pytest.approx(alone[role]["test_accuracy"], abs=2 / 359)


@pytest.mark.parametrize("text", TEXTS)
def test_zeros_stay_bits_are_kept_and_the_weights_of_the_run_give_its_number(start, digits, text):
    experiments = [replace(SMALL, start_from=start, compression=text, seed=seed) for seed in (0, 1)]
    cohort = Cohort(experiments, device="cpu")
    results = [one for records in cohort.steps() for one in records if one["event"] == "result"]
    weights = load(cohort.artefacts()["weights.safetensors"])
    network = students.empty(experiments[0], digits)
    network.load_state_dict({name.removeprefix("student."): value for name, value in weights.items() if name.startswith("student.")})
    accuracy = analysis.accuracy(teachers.logits(network.eval(), digits, digits.test_images), digits.test_labels)
    assert accuracy == pytest.approx(results[0]["student"]["test_accuracy"], abs=1 / 359)
    if "prune" in text:
        assert nonzero(network) <= results[0]["student"]["parameters"] < models.parameters(network)
    if "int" in text:
        again = quantise(network, bits=int(text[-1]))
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(again.parameters(), network.parameters(), strict=True))


def test_training_moves_the_weights_that_are_not_pruned_and_no_other(start):
    experiment = replace(SMALL, start_from=start, compression="prune-80")
    data = load_run_data([experiment], device="cpu")
    learner = make_learners(experiment, data, ["student"])["student"]
    before = {name: value.detach().clone() for name, value in learner.network.named_parameters()}
    inputs = data.get_batch(data.indices[:, :32], 0)
    learner.forward(inputs.images[0])
    learner.update(inputs, [], learning_rate=0.01, progress=0.0)
    for name, value in learner.network.named_parameters():
        zero = before[name] == 0
        assert value.ndim == 1 or ((value[zero] == 0).all() and (value[~zero] != before[name][~zero]).any())


def test_recovery_is_above_the_start_that_it_begins_with(home, digits):
    trained = Cohort([replace(SMALL, images=0, epochs=5)], device="cpu")
    list(trained.steps())
    experiment = replace(SMALL, images=0, start_from=keep_start(trained.member(0)), compression="prune-80", alpha=0.5)
    records = [one for one in train(experiment, device="cpu") if one["event"] == "record" and one["test_accuracy"] is not None]
    student = [one["test_accuracy"] for one in records if one["member"] == "student"]
    baseline = [one["test_accuracy"] for one in records if one["member"] == "baseline"]
    assert student[0] == baseline[0] < student[-1]


def test_an_experiment_without_compression_and_in_float32_has_the_key_that_it_had_before():
    assert (
        Experiment().key
        == Experiment.from_fields(
            {name: value for name, value in asdict(Experiment()).items() if name not in ("start_from", "compression", "precision")}
        ).key
    )
    assert Experiment(compression="int4").key != Experiment().key
    assert "compression" in json.loads(Experiment().to_json())


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"start_from": "../etc"}, "start_from"),
        ({"compression": "int99"}, "int99"),
        ({"compression": "int4", "teacher": "self"}, "self"),
        ({"compression": "int4", "assistants": ("mlp-30x2",)}, "assistants"),
        ({"compression": "int4", "method": "mutual-2"}, "mutual"),
    ],
)
def test_what_cannot_be_compressed_is_refused(fields, named, refused):
    with refused(named):
        Experiment(**fields)
