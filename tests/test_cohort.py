"""A cohort gives each of its members the numbers that it would have had alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load
from torch import nn

from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.objectives import METHODS
from distill_core.training import loop
from distill_core.training.cohort import Cohort, cohorts, train_cohort
from distill_core.training.initial import MEMBERS, initial_student
from distill_core.training.loop import train
from distill_core.training.schedule import make_optimizer
from distill_core.training.stacked import StackedOptimizer, wide_stem

ON_MAPS = (
    "decoupled",
    "hints",
    "hints-two-stage",
    "attention",
    "similarity",
    "distances",
    "angles",
    "contrastive",
    "permuted-classes",
    "mutual-3",
    "teacher-in-train-mode",
)
SMALL = {"images": 150, "student": "mlp-12x2", "epochs": 1, "batch_size": 64}  # three steps an epoch, the last of 22 images

# What float64 members may differ by after an epoch, and float32 members after ten steps: rounding. Where relations of
# examples are compared, nearly equal vectors are subtracted, and rounding counts for more.
DOUBLE, RELATIONS, SINGLE = 1e-10, 1e-8, 1e-5


def sweep(**choices):
    """Four experiments of two seeds, which need six members: alpha 1 at T = 1 is its own baseline."""
    least = 0.05 if METHODS[choices.get("method", Experiment.method)].needs_hard_loss else 0.0
    points = [(0.1, 4.0), (least, 20.0)]
    return [Experiment(**{**SMALL, **choices}, alpha=a, temperature=t, seed=seed) for a, t in points for seed in (3, 0)]


def alone(experiment, dtype, monkeypatch):
    """Records and trained weights of student and baseline, from the plain loop."""
    kept = []

    class Kept(loop.Learner):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            kept.append(self)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "Learner", Kept)
        records = list(train(experiment, device="cpu", dtype=dtype))
    return records, [learner.network.state_dict() for learner in kept if learner.member in MEMBERS]


def together(experiments, dtype):
    """The same from a cohort, experiment by experiment."""
    found = {}
    for places in cohorts(experiments):
        cohort = Cohort([experiments[place] for place in places], device="cpu", dtype=dtype)
        records = [record for step in cohort.steps() for record in step]
        own = {name: value.detach() for name, value in cohort.weights.items() if not name.startswith("regressor.")}
        for i, place in enumerate(places):
            weights = [{name: value[k] for name, value in own.items()} for k in cohort.pair(experiments[place])]
            found[place] = ([r for r in records if r["experiment"] == i], weights)
    return [found[place] for place in range(len(experiments))]


def assert_same(found, expected, tolerance):
    """Weights relative to the largest of their tensor, losses relative to themselves; predictions exactly."""
    for ours, theirs in zip(found[1], expected[1], strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            off = ((ours[name] - value).abs().max() / value.abs().max()).item()
            assert off <= tolerance, f"{name} is off by {off:.1e}"
    assert len(found[0]) == len(expected[0])
    exact = ("event", "member", "epoch", "step", "key")
    for ours, theirs in zip(found[0], expected[0], strict=True):
        assert ours.keys() == {*theirs, "experiment"}
        assert [ours.get(name) for name in exact] == [theirs.get(name) for name in exact]
        for name in ("hard_loss", "soft_loss"):
            shared = ours.get("member") == "baseline" and name == "soft_loss"  # at the temperature of another student
            if theirs.get(name) is None or (shared and ours[name] is None):
                assert ours.get(name) is None
            else:
                assert ours[name] == pytest.approx(theirs[name], rel=tolerance)
        if tolerance < SINGLE:
            for name in ("test_accuracy", "validation_accuracy", "agreement"):
                assert ours.get(name) == theirs.get(name)
            for member in ("student", "baseline", "teacher"):
                if member in theirs:
                    rounded = {name: pytest.approx(value, rel=1e-8) for name, value in theirs[member].items() if isinstance(value, float)}
                    assert ours[member] == {**theirs[member], **rounded}
            measured = ("test_errors", "validation_accuracy")
            errors = [[[scores[name] for name in measured] for scores in one.get("assistants", ())] for one in (ours, theirs)]
            assert errors[0] == errors[1]


@pytest.mark.parametrize("optimizer", ("adam", "sgd"))
@pytest.mark.parametrize("student", ("mlp-12x2", "cnn-2", "linear", "resnet-8"))
def test_a_cohort_equals_alone_in_double_precision(student, optimizer, monkeypatch):
    experiments = sweep(student=student, optimizer=optimizer)
    for experiment, found in zip(experiments, together(experiments, torch.float64), strict=True):
        assert_same(found, alone(experiment, torch.float64, monkeypatch), DOUBLE)


@pytest.mark.parametrize(
    "choices",
    [
        {"hide_classes": (3, 7)},
        {"label_noise": 0.3},
        {"label_noise": 0.3, "validation": 90, "hide_classes": (3,)},
        {"validation": 90, "student": "cnn-2"},
        {"validation": 1000, "images": 0, "assistants": ("mlp-20x2",)},
        {"augmentation": "fixed"},
        {"augmentation": "consistent", "teacher": "cnn-32"},
        {"schedule": "constant", "epochs": 3},
        {"batch_size": 1, "images": 20},
        {"batch_size": 8192},
        {"teacher": "cnn-32", "images": 0, "batch_size": 500},
        *({"method": name} for name, method in METHODS.items() if method.compares != "maps"),
        *({"method": name, "student": "cnn-2", "teacher": "cnn-32", "images": 80} for name in ON_MAPS),
        {"method": "hints", "teacher": "cnn-32"},
        {"method": "permuted-classes", "augmentation": "consistent", "teacher": "cnn-32"},
        {"method": "permuted-classes", "assistants": ("mlp-20x2",)},
        {"method": "hints", "assistants": ("mlp-20x2",)},
        {"method": "decoupled", "epochs": 5, "images": 320, "batch_size": 32},  # its warm-up ends within the training
        {"method": "similarity", "teacher": "cnn-32", "augmentation": "consistent"},
        {"teacher": "2*cnn-32+mlp-1200x2", "combine": "logits"},
        {"assistants": ("mlp-20x2", "mlp-12x1")},
        {"assistants": ("cnn-4",), "student": "cnn-2", "teacher": "cnn-32", "images": 80, "method": "attention"},
        {"assistants": ("mlp-20x2",), "augmentation": "consistent"},
        {"augmentation": "fixed", "method": "hints"},
        {"assistants": ("mlp-20x2",), "method": "hints"},
        {"unlabelled": 70},
        {"unlabelled": 70, "unlabelled_from": "noise", "method": "correlation"},
        {"unlabelled": 2, "student": "cnn-2", "images": 80, "batch_size": 20},  # not one for each step
        {"unlabelled": 40, "unlabelled_from": "noise", "augmentation": "fixed", "method": "hints", "hide_classes": (3,)},
        {"unlabelled": 40, "augmentation": "consistent", "assistants": ("mlp-20x2",), "label_noise": 0.3},
        {"unlabelled": 40, "unlabelled_from": "noise", "teacher": "self"},
        {"teacher": "self"},
        {"teacher": "self", "assistants": ("mlp-12x2", "mlp-12x2"), "label_noise": 0.3},
        {"teacher": "self", "augmentation": "consistent", "method": "hints"},
        {"teacher": "self", "student": "cnn-2", "images": 80, "method": "attention"},
        *(
            {"precision": "bfloat16-emulated", **more}
            for more in (
                {"optimizer": "sgd"},
                {"student": "cnn-2", "augmentation": "fixed"},
                {"method": "hints", "augmentation": "consistent", "unlabelled": 40, "hide_classes": (3,)},
                {"teacher": "self", "assistants": ("mlp-12x2",), "label_noise": 0.3},
                {"assistants": ("cnn-2",), "images": 80},
                {"compression": "rank-50+prune-50+int4"},
            )
        ),
    ],
    ids=str,
)
def test_a_cohort_equals_alone_whatever_is_chosen(choices, monkeypatch):
    experiments = sweep(**choices)
    tolerance = RELATIONS if METHODS[experiments[0].method].kind == "relation-based" else DOUBLE
    for experiment, found in zip(experiments, together(experiments, torch.float64), strict=True):
        assert_same(found, alone(experiment, torch.float64, monkeypatch), tolerance)


@pytest.mark.parametrize("optimizer", ("adam", "sgd"))
@pytest.mark.parametrize("student", ("mlp-12x2", "cnn-2", "linear"))
def test_a_cohort_equals_alone_over_ten_steps_in_single_precision(student, optimizer, monkeypatch):
    experiments = sweep(student=student, optimizer=optimizer, images=320, batch_size=32)
    for experiment, found in zip(experiments, together(experiments, torch.float32), strict=True):
        assert_same(found, alone(experiment, torch.float32, monkeypatch), SINGLE)


@pytest.mark.parametrize(("student", "dtype", "tolerance"), [("mlp-12x2", torch.float64, DOUBLE), ("cnn-2", torch.float32, SINGLE)])
def test_a_cohort_equals_alone_on_larger_images(mnist, student, dtype, tolerance, monkeypatch):
    experiments = sweep(dataset=mnist, student=student, images=100)[:2]  # one of each seed
    for experiment, found in zip(experiments, together(experiments, dtype), strict=True):
        assert_same(found, alone(experiment, dtype, monkeypatch), tolerance)


def test_members_of_a_seed_start_from_identical_weights():
    cohort = Cohort(sweep(), device="cpu")
    for experiment in cohort.experiments:
        initial = initial_student(experiment, datasets.load("digits")).state_dict()
        student, baseline = cohort.pair(experiment)
        for name, value in cohort.weights.items():
            assert torch.equal(value[student], value[baseline]) and torch.equal(value[student], initial[name])
    assert not torch.equal(cohort.weights["stem.weight"][0], cohort.weights["stem.weight"][-1])  # another seed's


def test_a_student_with_alpha_one_is_exactly_its_baseline():
    experiments = [Experiment(**{**SMALL, "epochs": 2}, alpha=1.0, temperature=4.0, seed=seed) for seed in (0, 1)]
    cohort = Cohort(experiments, device="cpu")
    records = [record for step in cohort.steps() for record in step]
    for experiment in experiments:
        student, baseline = cohort.pair(experiment)
        assert student == baseline  # one member, trained once
    for result in records[-2:]:
        assert result["student"] == result["baseline"]


def test_a_baseline_is_trained_once_for_all_students_of_its_seed():
    assert len(Cohort(sweep(), device="cpu").members) == 6  # of each seed two students and one baseline
    own = [Experiment(**SMALL, alpha=1.0, temperature=1.0), Experiment(**SMALL, alpha=0.5)]
    assert len(Cohort(own, device="cpu").members) == 2


def test_a_shared_baseline_has_no_soft_loss_at_a_temperature_it_was_not_measured_at():
    records = [r for r in train_cohort([Experiment(**SMALL, temperature=t) for t in (2.0, 8.0)], device="cpu") if r["event"] == "record"]
    own, other = ([r["soft_loss"] for r in records if r["member"] == "baseline" and r["experiment"] == i and r["step"]] for i in (0, 1))
    alone = [
        r["soft_loss"] for r in train(Experiment(**SMALL, temperature=2.0), device="cpu") if r.get("member") == "baseline" and r["step"]
    ]
    assert own == pytest.approx(alone, rel=1e-5) and set(other) == {None}


def test_members_do_not_touch_each_other():
    """Each student gets bit by bit the same whatever the alpha of its neighbour."""
    first = [{**SMALL, "alpha": 0.1, "seed": 0}, {**SMALL, "alpha": 0.2, "seed": 0}]
    second = [first[0], {**SMALL, "alpha": 0.9, "temperature": 50.0, "seed": 0}]
    found = [together([Experiment(**e) for e in choice], torch.float32)[0][1][0] for choice in (first, second)]
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_the_same_cohort_twice_gives_the_same_records_but_for_seconds():
    runs = [[{**one, "seconds": 0} for one in train_cohort(sweep(), device="cpu")] for _ in range(2)]
    assert runs[0] == runs[1]


# --- keeping and going on -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("optimizer", "student"), [("adam", "mlp-12x2"), ("sgd", "cnn-2")])
def test_a_restored_cohort_goes_on_with_exactly_the_same_numbers(optimizer, student):
    experiments = sweep(optimizer=optimizer, student=student, epochs=3)
    undisturbed = Cohort(experiments, device="cpu")
    all_records, kept, rest = [], None, []
    for records in undisturbed.steps():
        all_records += records
        if kept is not None:
            rest += records
        elif undisturbed.epoch == 1 and undisturbed.at_epoch_end:
            kept = undisturbed.state()
    revived = Cohort(experiments, device="cpu")
    revived.restore(kept)
    assert revived.epoch == 1 and revived.seconds > 0
    again = [record for records in revived.steps() for record in records]
    assert [{**r, "seconds": 0} for r in again] == [{**r, "seconds": 0} for r in rest] and 0 < len(rest) < len(all_records)
    assert all(torch.equal(revived.weights[name], value) for name, value in undisturbed.weights.items())
    assert undisturbed.artefacts() == revived.artefacts()


def test_a_cohort_restored_before_its_first_step_or_after_its_last_goes_on_too():
    experiments = sweep()
    cohort = Cohort(experiments, device="cpu")
    start = cohort.state()
    records = [{**r, "seconds": 0} for records in cohort.steps() for r in records]
    end = cohort.state()
    for state, expected in ((start, records), (end, records[-len(experiments) :])):
        revived = Cohort(experiments, device="cpu")
        revived.restore(state)
        assert [{**r, "seconds": 0} for records in revived.steps() for r in records] == expected


def test_the_state_cannot_be_kept_in_the_middle_of_an_epoch(refused):
    cohort = Cohort(sweep(), device="cpu")
    steps = cohort.steps()
    next(steps), next(steps)
    with refused("step 1", "epoch"):
        cohort.state()


def test_artefacts_hold_the_trained_weights_and_every_prediction():
    experiments = sweep(epochs=2)
    cohort = Cohort(experiments, device="cpu")
    records = [record for step in cohort.steps() for record in step]
    artefacts = cohort.artefacts()
    predictions, weights = load(artefacts["predictions.safetensors"]), load(artefacts["weights.safetensors"])
    digits = datasets.load("digits")
    assert predictions["by_epoch"].shape == (3, 2, 359) and torch.equal(predictions["labels"].long(), digits.test_labels)
    accuracies = [r["test_accuracy"] for r in records if r["event"] == "record" and r["experiment"] == 0]
    found = (predictions["by_epoch"] == predictions["labels"]).double().mean(dim=2).flatten().tolist()
    assert found == pytest.approx(accuracies, abs=1e-12)
    for member, final in zip(("student", "baseline"), predictions["by_epoch"][-1], strict=True):
        network = initial_student(experiments[0], digits)
        network.load_state_dict({name.removeprefix(f"{member}."): w for name, w in weights.items() if name.startswith(member)})
        assert torch.equal(network(digits.pixels(digits.test_images)).argmax(dim=1), final.long())


# --- which experiments can be one tensor ----------------------------------------------------------------------------


def test_different_shapes_are_different_cohorts():
    mixed = [Experiment(**SMALL), Experiment(**{**SMALL, "student": "linear"}), Experiment(**SMALL, alpha=0.5)]
    assert cohorts(mixed) == [[0, 2], [1]]
    records = list(train_cohort(mixed, device="cpu"))
    results = {r["experiment"]: r["key"] for r in records if r["event"] == "result"}
    assert results == {i: experiment.key for i, experiment in enumerate(mixed)}


@pytest.mark.parametrize(
    "choice", [{"images": 100}, {"epochs": 2}, {"batch_size": 50}, {"optimizer": "sgd"}, {"teacher": "cnn-32"}, {"label_noise": 0.1}]
)
def test_experiments_that_differ_in_more_train_apart(choice):
    assert len(cohorts([Experiment(**SMALL), replace(Experiment(**SMALL), **choice)])) == 2


points = st.builds(
    Experiment,
    alpha=st.sampled_from([0.0, 0.5, 1.0]),
    temperature=st.sampled_from([1.0, 4.0]),
    seed=st.integers(0, 2),
    student=st.sampled_from(["linear", "mlp-12x2"]),
)


@given(st.lists(points, min_size=1, max_size=12))
def test_cohorts_hold_every_experiment_once_and_can_be_stacked(experiments):
    split = cohorts(experiments)
    assert sorted(place for group in split for place in group) == list(range(len(experiments)))
    for group in split:
        both = [e for i in group for e in (experiments[i], experiments[i].baseline)]
        members = {replace(e, temperature=1.0).key if e.alpha == 1 else e.key: e.seed for e in both}  # labels alone know no temperature
        counts = {list(members.values()).count(seed) for seed in members.values()}
        assert len(counts) == 1 and len({experiments[i].student for i in group}) == 1


def test_experiments_that_cannot_be_stacked_are_refused(refused):
    uneven = [Experiment(**SMALL), Experiment(**SMALL, alpha=0.5), Experiment(**SMALL, seed=1)]
    with refused("as many members", "cohorts()"):
        Cohort(uneven, device="cpu")


def test_one_experiment_given_twice_has_two_results():
    records = list(train_cohort([Experiment(**SMALL)] * 2, device="cpu"))
    results = [{**r, "seconds": 0} for r in records if r["event"] == "result"]
    assert [r.pop("experiment") is not None for r in results] == [True, True] and results[0] == results[1]


# --- the wide product -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seeds", "shared"), [(1, False), (3, False), (3, True)])
@pytest.mark.parametrize("kind", ("linear", "conv"))
def test_the_wide_stem_is_each_members_stem(kind, seeds, shared):
    """`shared`: the test images, which are the same for all seeds."""
    torch.manual_seed(0)
    made = torch.nn.Linear(3 * 6 * 5, 4) if kind == "linear" else torch.nn.Conv2d(3, 4, 3, padding=1)
    stems = [
        type(made)(*((90, 4) if kind == "linear" else (3, 4, 3)), **({} if kind == "linear" else {"padding": 1})) for _ in range(2 * seeds)
    ]
    stems = [stem.double() for stem in stems]
    weight, bias = torch.stack([s.weight for s in stems]), torch.stack([s.bias for s in stems])
    images = torch.randn(1 if shared else seeds, 7, 3, 6, 5, dtype=torch.float64)
    found = wide_stem(stems[0], weight, bias, images)
    for k, stem in enumerate(stems):
        own = images[0 if shared else k // 2]
        torch.testing.assert_close(found[k], stem(own.flatten(1) if kind == "linear" else own), rtol=1e-12, atol=1e-12)


# --- the optimizer --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ("adam", "sgd"))
def test_the_optimizer_steps_exactly_as_pytorchs(name):
    torch.manual_seed(0)
    experiment = Experiment(optimizer=name)
    ours, theirs = StackedOptimizer(experiment, torch.randn(50)), nn.Parameter(torch.empty(50))
    theirs.data.copy_(ours.weights)
    reference = make_optimizer(experiment, [theirs])
    for step in range(1, 20):
        ours.gradient.normal_()
        theirs.grad = ours.gradient.clone()
        reference.param_groups[0]["lr"] = 0.1 / step
        ours.step(0.1 / step)
        reference.step()
        assert torch.equal(ours.weights, theirs.data)


# --- assistants -----------------------------------------------------------------------------------------------------


def test_an_assistant_with_alpha_one_is_the_one_that_it_would_be_alone(monkeypatch):
    experiments = [Experiment(**SMALL, assistants=("mlp-20x2",), alpha=1.0, seed=seed) for seed in (3, 0)]
    for experiment, found in zip(experiments, together(experiments, torch.float64), strict=True):
        assert_same(found, alone(experiment, torch.float64, monkeypatch), DOUBLE)


def test_students_of_a_seed_share_the_teacher_that_their_run_trains():
    cohort = Cohort(sweep(teacher="self"), device="cpu")
    assert len(cohort.before.members) == 2 and len(cohort.members) == 6


def test_a_chain_restored_after_any_epoch_goes_on_with_the_same_numbers():
    experiments = [Experiment(**SMALL, teacher="self", assistants=("mlp-12x2",), seed=seed) for seed in (3, 0)]
    whole, states = Cohort(experiments, device="cpu"), []
    results = None
    for records in whole.steps():
        results = [{**one, "seconds": 0} for one in records]
        if whole.at_epoch_end:
            states.append(whole.state())
    for state in states:
        revived = Cohort(experiments, device="cpu")
        revived.restore(state)
        *_, last = revived.steps()
        assert [{**one, "seconds": 0} for one in last] == results
        assert revived.artefacts() == whole.artefacts()
    assert {name.split(".")[0] for name in load(whole.artefacts()["weights.safetensors"])} == {"student", "baseline", "teacher"}


def test_seconds_go_on_where_a_chain_was_interrupted_at_the_hand_over():
    experiments = [Experiment(**SMALL, assistants=("mlp-20x2",))]
    cohort = Cohort(experiments, device="cpu")
    for _ in cohort.steps():
        if cohort.done == 1 and cohort.at_epoch_end:
            break
    revived = Cohort(experiments, device="cpu")
    revived.restore(cohort.state())
    assert revived.seconds == cohort.seconds > 0
    later = [one["seconds"] for records in revived.steps() for one in records]
    assert later and min(later) >= cohort.seconds
