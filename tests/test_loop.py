"""Training: the same choices give the same numbers, the records say what INTERFACE.md promises, the teacher counts where it should."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from distill_core import teachers
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.losses import hard_loss, soft_loss
from distill_core.training import loop
from distill_core.training.initial import initial_student
from distill_core.training.loop import train
from distill_core.training.run_data import RunData, augment, load_run_data, order_of_images, pick_device, prepare
from distill_core.training.schedule import MOST_RECORDS, Schedule

SMALL = {"images": 150, "student": "mlp-12x2", "epochs": 2, "batch_size": 64}  # three steps an epoch, the last of 22 images
SCORES = ["test_accuracy", "low", "high", "test_errors", "errors_by_class", "agreement", "ece", "parameters"]


@pytest.fixture
def learners(monkeypatch):
    """The learners of each race that is trained, student first."""
    kept = []

    class Kept(loop.Learner):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            kept.append(self)

    monkeypatch.setattr(loop, "Learner", Kept)
    return kept


def without_seconds(records):
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


def run(**choices):
    return list(train(Experiment(**{**SMALL, **choices}), device="cpu"))


def data_of(dtype=torch.float32, **choices):
    """The data of one experiment."""
    return load_run_data([Experiment(**{**SMALL, **choices})], device="cpu", dtype=dtype)


# --- records --------------------------------------------------------------------------------------------------------


def test_a_record_has_the_fields_of_the_interface():
    *records, result = run()
    for one in records:
        measured = ["hard_loss", "soft_loss", "test_accuracy", "validation_accuracy", "agreement"]
        assert list(one) == ["event", "member", "epoch", "step", "seconds", *measured] and one["event"] == "record"
    assert list(result) == ["event", "key", "experiment", "seconds", "student", "baseline", "teacher"]
    assert result["event"] == "result" and result["key"] == Experiment(**SMALL).key
    assert all(result[member].keys() >= set(SCORES) for member in ("student", "baseline", "teacher"))
    assert Experiment.from_fields(json.loads(json.dumps(result["experiment"]))) == Experiment(**SMALL)


def test_a_result_counts_the_test_images_that_only_one_of_the_two_classifies_correctly(learners):
    *_, result = run(epochs=1)
    labels = datasets.load("digits").test_labels
    student, baseline = (learner.test_logits.argmax(dim=-1) == labels for learner in learners)
    assert result["student"]["discordant"] == (student & ~baseline).sum()
    assert result["baseline"]["discordant"] == (baseline & ~student).sum()
    gained = result["baseline"]["test_errors"] - result["student"]["test_errors"]
    assert result["student"]["discordant"] - result["baseline"]["discordant"] == gained != 0


def test_records_are_plain_values():
    for one in run():
        assert json.loads(json.dumps(one, allow_nan=False)) == json.loads(json.dumps(one))


def test_the_first_record_is_before_any_step(learners):
    records = train(Experiment(**SMALL), device="cpu")
    first = [next(records), next(records)]
    initial = initial_student(Experiment(**SMALL), datasets.load("digits")).state_dict()
    for learner in learners:
        assert all(torch.equal(learner.network.state_dict()[name], value) for name, value in initial.items())
    assert [(r["member"], r["step"], r["epoch"], r["hard_loss"], r["soft_loss"]) for r in first] == [
        ("student", 0, 0.0, None, None),
        ("baseline", 0, 0.0, None, None),
    ]
    assert first[0]["test_accuracy"] == first[1]["test_accuracy"] is not None


def test_student_and_baseline_are_told_side_by_side_and_tested_after_each_epoch():
    *records, _ = run(epochs=3)
    assert [(r["member"], r["step"], r["epoch"]) for r in records] == [
        (member, 3 * epoch, epoch) for epoch in range(4) for member in ("student", "baseline")
    ]
    assert all(r["test_accuracy"] is not None and r["agreement"] is not None for r in records)


def test_a_long_epoch_is_told_in_eighths_and_tested_early():
    *records, _ = run(images=640, batch_size=10, epochs=2, student="linear")
    steps = [r["step"] for r in records[::2]]
    assert steps == list(range(0, 129, 8))
    assert [r["step"] for r in records[::2] if r["test_accuracy"] is not None] == [0, 8, 16, 32, 64, 128]
    assert all(r["hard_loss"] is not None for r in records[2:])


@pytest.mark.parametrize("epochs", [1, 20, 50, 51, 100, 500])
@pytest.mark.parametrize(("images", "batch_size"), [(1438, 8), (1438, 256), (60_000, 256)])
def test_a_run_of_many_epochs_has_a_record_after_each_and_no_more_than_a_chart_can_show(images, batch_size, epochs):
    """A race of 500 epochs would otherwise have 4,000 of each network, which its live charts draw again and again."""
    schedule = Schedule(Experiment(epochs=epochs, batch_size=batch_size), images, 359)
    assert set(schedule.log_steps) >= {schedule.steps_per_epoch * epoch for epoch in range(epochs + 1)}
    assert len(schedule.log_steps) <= max(epochs, MOST_RECORDS) + 4
    if epochs <= MOST_RECORDS / 8 and schedule.steps_per_epoch >= 64:
        assert set(schedule.log_steps) >= {round(schedule.steps_per_epoch * part / 8) for part in range(8 * epochs + 1)}


def test_losses_are_raw_averages_over_the_examples_since_the_last_record(learners):
    """At a learning rate of nearly nothing the network stays as it is: the mean over all its images is known."""
    choices = {**SMALL, "learning_rate": 1e-30, "epochs": 1, "temperature": 4.0, "alpha": 0.1}
    *records, _ = run(**choices)
    data = data_of(**choices)
    (indices,), (labels,), (teacher_logits,) = data.indices, data.labels, data.teacher_logits
    with torch.no_grad():
        logits = learners[0].network(data.pixels(indices)).double()
    log_q, p = torch.log_softmax(logits / 4, dim=1), torch.softmax(teacher_logits[indices].double() / 4, dim=1)
    assert records[-2]["hard_loss"] == pytest.approx(F.cross_entropy(logits, labels[indices]).item(), rel=1e-5)
    assert records[-2]["soft_loss"] == pytest.approx(16 * F.kl_div(log_q, p, reduction="batchmean").item(), rel=1e-5)
    assert records[-1]["hard_loss"] == pytest.approx(records[-2]["hard_loss"], rel=1e-6)


def test_losses_of_one_record_hold_no_image_of_the_record_before():
    """Seen in a network that stays as it is: the images between two records, and no others."""
    experiment = Experiment(**{**SMALL, "images": 256, "batch_size": 4, "epochs": 1, "learning_rate": 1e-30, "student": "linear"})
    *records, _ = train(experiment, device="cpu")
    data = load_run_data([experiment], device="cpu")
    order = order_of_images(experiment, data.indices[0], 0).split(4 * 8)  # 64 steps have a record after each eighth
    network = initial_student(experiment, data.dataset)
    expected = [F.cross_entropy(network(data.pixels(part)), data.labels[0][part]).item() for part in order]
    assert [r["hard_loss"] for r in records[2::2]] == pytest.approx(expected, rel=1e-5)
    assert len({round(loss, 3) for loss in expected}) == 8


def test_the_result_is_the_last_record():
    *records, result = run()
    for member, last in zip(("student", "baseline"), records[-2:], strict=True):
        assert last["test_accuracy"] == pytest.approx(result[member]["test_accuracy"], abs=1e-12)
        assert last["agreement"] == pytest.approx(result[member]["agreement"], abs=1e-12)


def test_validation_accuracy_is_that_of_the_trained_network_on_the_held_out_images_with_their_noisy_labels(learners):
    choices = {"validation": 300, "label_noise": 0.2, "hide_classes": (3,)}
    *records, result = run(**choices)
    data = data_of(**choices)
    (held_out,), (labels,) = data.validation, data.labels
    assert len(held_out) == 300 and not set(held_out.tolist()) & set(data.indices[0].tolist())
    for learner in learners:
        predictions = teachers.logits(learner.network, data.dataset, data.dataset.train_images[held_out]).argmax(dim=1)
        expected = (predictions == labels[held_out]).double().mean().item()
        assert result[learner.member]["validation_accuracy"] == expected
        assert [r["validation_accuracy"] for r in records if r["member"] == learner.member][-1] == expected
    assert all((r["validation_accuracy"] is None) == (r["test_accuracy"] is None) for r in records)


def test_validation_images_change_nothing_else_of_a_run_and_without_them_nothing_is_measured():
    plain, validated = run(), run(validation=300)
    assert all(r["validation_accuracy"] is None for r in plain[:-1]) and plain[-1]["student"]["validation_accuracy"] is None
    for one in (*plain, *validated):
        for part in (one, one.get("student"), one.get("baseline")):
            (part or {}).pop("validation_accuracy", None)
    assert without_seconds(validated[:-1]) == without_seconds(plain[:-1])
    assert all(validated[-1][member] == plain[-1][member] for member in ("student", "baseline", "teacher"))


def test_the_result_tells_the_teacher_as_its_card_does():
    result = run()[-1]
    card = teachers.load_teacher(datasets.load("digits"), "mlp-1200x2").card
    assert (result["teacher"]["test_errors"], result["teacher"]["parameters"]) == (card.test_errors, card.parameters)
    assert result["teacher"]["agreement"] == 1


# --- the same again -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", (1, 2))
@pytest.mark.parametrize("choices", [{}, {"student": "cnn-2"}, {"optimizer": "sgd", "label_noise": 0.2, "hide_classes": (3,)}])
def test_the_same_experiment_twice_gives_the_same_records_but_for_seconds(choices, threads):
    torch.set_num_threads(threads)
    first = run(**choices)
    torch.manual_seed(99)
    torch.rand(5)
    assert without_seconds(first) == without_seconds(run(**choices))


@pytest.mark.parametrize("choice", [{"seed": 1}, {"temperature": 1.0}, {"alpha": 0.9}, {"label_noise": 0.3}, {"learning_rate": 0.001}])
def test_another_choice_gives_other_numbers(choice):
    assert run(**choice)[-3]["hard_loss"] != run()[-3]["hard_loss"]


def test_training_draws_nothing_from_the_global_generator():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    run()
    assert torch.equal(torch.rand(3), expected)


def test_stopping_early_leaves_nothing_behind(home):
    run(epochs=1)  # what may be kept is kept now
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*")}
    state = torch.get_rng_state()
    records = train(Experiment(**SMALL, temperature=7.0), device="cpu")
    next(records)
    next(records)
    records.close()
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*")} == before
    assert torch.equal(torch.get_rng_state(), state)
    assert without_seconds(run()) == without_seconds(run())


# --- student and baseline -------------------------------------------------------------------------------------------


def test_with_alpha_one_the_student_is_its_baseline():
    *records, result = run(alpha=1.0, temperature=1.0)
    for student, baseline in zip(records[::2], records[1::2], strict=True):
        assert {**student, "member": 0, "seconds": 0} == {**baseline, "member": 0, "seconds": 0}
    assert result["student"] == result["baseline"]


@pytest.mark.parametrize("temperature", (0.001, 1.0, 4.0, 1000.0))
@pytest.mark.parametrize(("student", "optimizer"), [("mlp-12x2", "adam"), ("cnn-2", "sgd")])
def test_alpha_one_trains_the_weights_of_plain_cross_entropy_bit_by_bit(learners, student, optimizer, temperature):
    choices = {**SMALL, "alpha": 1.0, "temperature": temperature, "student": student, "optimizer": optimizer}
    run(**choices)
    for learner in learners:
        plain = by_labels_alone(Experiment(**choices), hard_loss)
        assert all(torch.equal(a, b) for a, b in zip(learner.network.parameters(), plain.parameters(), strict=True))


def test_the_baseline_is_torchs_own_training_whatever_the_teacher(learners):
    run(alpha=0.1, teacher="cnn-32")
    plain = by_labels_alone(Experiment(**SMALL), F.cross_entropy)
    for ours, theirs in zip(learners[1].network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def by_labels_alone(experiment, loss_of):
    """The usual loop, without a teacher; only initial weights, order of images and learning rate are the lab's."""
    data = load_run_data([experiment], device="cpu")
    network = initial_student(experiment, data.dataset).to(memory_format=torch.channels_last)
    kinds = {"adam": torch.optim.Adam, "sgd": lambda p, **k: torch.optim.SGD(p, momentum=0.9, **k)}
    optimizer = kinds[experiment.optimizer](network.parameters(), lr=experiment.learning_rate, fused=True)
    step, schedule = 0, Schedule(experiment, experiment.images, 359)
    for epoch in range(experiment.epochs):
        for batch in order_of_images(experiment, data.indices[0], epoch).split(experiment.batch_size):
            loss = loss_of(network(data.pixels(batch).contiguous(memory_format=torch.channels_last)), data.labels[0][batch])
            optimizer.param_groups[0]["lr"] = schedule.learning_rate(step)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    return network


def test_a_student_learns_from_the_teacher_what_its_images_do_not_show():
    """Hinton et al. 2015, section 3: a class of which the student saw no image, at alpha 0; the baseline cannot know it."""
    choices = {"images": 0, "hide_classes": (3,), "alpha": 0.0, "temperature": 8.0, "epochs": 8, "student": "mlp-128x2"}
    result = run(**choices, learning_rate=0.01)[-1]
    of_class = int((datasets.load("digits").test_labels == 3).sum())
    assert result["baseline"]["errors_by_class"][3] == of_class
    assert result["student"]["errors_by_class"][3] < of_class


# --- the images -----------------------------------------------------------------------------------------------------


def test_hidden_classes_never_appear(monkeypatch, mnist):
    used, raw = [], RunData._raw
    monkeypatch.setattr(RunData, "_raw", lambda data, indices: (used.append(indices.flatten()), raw(data, indices))[1])
    run(dataset=mnist, hide_classes=(3, 7), images=500)
    labels = datasets.load(mnist).train_labels[torch.cat(used)]
    assert set(labels.tolist()) == set(range(10)) - {3, 7}


def test_each_image_is_seen_once_in_an_epoch_in_an_order_of_its_own():
    experiment, indices = Experiment(**SMALL), torch.arange(1000, 1150)
    orders = [order_of_images(experiment, indices, epoch) for epoch in range(3)]
    assert all(torch.equal(order.sort().values, indices) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 3
    assert torch.equal(orders[1], order_of_images(experiment.baseline, indices, 1))


def test_label_noise_disturbs_training_labels_only():
    data, dataset = data_of(label_noise=0.5), datasets.load("digits")
    assert 0.4 < (data.labels[0] != dataset.train_labels).double().mean() < 0.6
    assert torch.equal(data.dataset.test_labels, dataset.test_labels)


def test_soft_targets_are_those_of_the_run_s_own_images():
    data = data_of(label_noise=0.2)
    expected = teachers.logits(data.teachers[0].network, data.dataset, data.dataset.train_images[data.indices[0]])
    torch.testing.assert_close(data.teacher_logits[0][data.indices[0]], expected, rtol=1e-4, atol=1e-4)


def test_the_learners_own_pictures_can_be_raced_on(small_zip, home, monkeypatch):
    monkeypatch.setattr(teachers.making, "recipe_for", lambda dataset, name: replace(teachers.TEACHERS[name], epochs=1, batch_size=8))
    choices = {**SMALL, "dataset": str(small_zip), "images": 0, "teacher": "cnn-32"}
    result = list(train(Experiment(**choices), device="cpu"))[-1]
    assert len(result["student"]["errors_by_class"]) == 2 and result["student"]["test_images"] == 4


def test_hiding_every_class_of_a_zip_is_refused(small_zip, home, refused):
    with refused("hide_classes [0, 1]"):
        datasets.choose_images(datasets.load(str(small_zip)).train_labels, images=0, hide_classes=(0, 1), seed=0)


# --- the pace -------------------------------------------------------------------------------------------------------


def test_one_cycle_rises_linearly_over_the_first_thirty_percent_and_falls_to_zero():
    experiment = Experiment(learning_rate=0.01)
    schedule = Schedule(replace(experiment, epochs=1, batch_size=1), 999, 359)
    rates = np.array([schedule.learning_rate(step) for step in range(999)])
    assert rates.argmax() == 299 and rates.max() == pytest.approx(0.01)
    np.testing.assert_allclose(np.diff(rates[:300]), 0.01 / 300, rtol=1e-9)
    np.testing.assert_allclose(np.diff(rates[299:]), -0.01 / 700, rtol=1e-9)
    assert 0 < rates[0] < 1e-4 and 0 < rates[-1] < 1e-4


def test_a_constant_rate_stays():
    schedule = Schedule(Experiment(schedule="constant", learning_rate=0.007), 50, 359)
    assert {schedule.learning_rate(step) for step in range(schedule.steps)} == {0.007}


@pytest.mark.parametrize("optimizer", ("adam", "sgd"))
def test_the_first_step_has_the_size_of_the_optimizers_formula(learners, optimizer):
    experiment = Experiment(
        **{**SMALL, "batch_size": 150, "epochs": 1}, optimizer=optimizer, schedule="constant", learning_rate=0.003, alpha=1.0
    )
    list(train(experiment, device="cpu", dtype=torch.float64))
    data = load_run_data([experiment], device="cpu", dtype=torch.float64)
    before = initial_student(experiment, data.dataset).double()
    order = order_of_images(experiment, data.indices[0], 0)
    hard_loss(before(data.pixels(order)), data.labels[0][order]).backward()
    for old, new in zip(before.parameters(), learners[0].network.parameters(), strict=True):
        g = old.grad
        step = g if optimizer == "sgd" else g / (g.abs() + 1e-8)  # Adam's first step has both moments corrected
        torch.testing.assert_close(new, old - 0.003 * step, rtol=1e-9, atol=1e-11)


# --- bad luck -------------------------------------------------------------------------------------------------------


def test_a_device_that_is_not_here_or_not_known_is_refused(refused, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with refused("device 'cuda'", "cpu"):
        next(train(Experiment(**SMALL), device="cuda"))
    with refused("device 'tpu'", "auto, cpu, cuda"):
        next(train(Experiment(**SMALL), device="tpu"))
    assert pick_device("auto") == torch.device("cpu")


def test_more_images_than_remain_is_refused(refused):
    with refused("images 1400", "1126 available"):
        next(train(Experiment(images=1400, hide_classes=(0, 1)), device="cpu"))


def test_a_run_that_diverges_ends_with_records_that_are_json():
    *records, result = run(student="mlp-30x6", optimizer="sgd", learning_rate=10.0, schedule="constant", batch_size=8)
    for one in (*records, result):
        json.dumps(one, allow_nan=False)
    assert records[-1]["hard_loss"] is None and result["baseline"]["ece"] == pytest.approx(1 - result["baseline"]["test_accuracy"])


def test_preparing_a_run_that_lacks_nothing_yields_nothing():
    list(prepare(Experiment(**SMALL)))
    assert list(prepare(Experiment(**SMALL))) == []


# --- augmentation ---------------------------------------------------------------------------------------------------


def batch_of(step=3, images=7, **choices):
    """One batch of the first images of the transfer set, with the seeds' dimension left out."""
    data = data_of(**choices)
    images, labels, logits, features, _ = data.get_batch(data.indices[:, :images], step)
    return images[0], labels[0], logits[0], [feature[0] for feature in features]


def test_a_consistent_teacher_has_the_view_of_the_student_and_a_fixed_one_the_plain_image():
    data = data_of()
    plain, plain_logits = data.pixels(data.indices[0, :7]), data.teacher_logits[0][data.indices[0, :7]]
    none, fixed, consistent = (batch_of(augmentation=kind) for kind in ("none", "fixed", "consistent"))
    assert torch.equal(none[0], plain) and torch.equal(none[2], plain_logits)
    assert torch.equal(fixed[0], consistent[0]) and not torch.equal(fixed[0], plain)
    assert torch.equal(fixed[2], plain_logits)
    with torch.no_grad():
        expected = data.teachers[0].network(consistent[0].contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(consistent[2], expected)


@pytest.mark.parametrize("method", ("hints", "similarity"))
def test_fixed_teacher_features_are_those_of_the_plain_image_and_consistent_ones_of_the_view(method):
    none, fixed, consistent = (batch_of(augmentation=kind, method=method) for kind in ("none", "fixed", "consistent"))
    for plain, of_fixed, of_view in zip(none[3], fixed[3], consistent[3], strict=True):
        torch.testing.assert_close(of_fixed, plain)
        assert not torch.allclose(of_view, plain)
    assert run(augmentation="fixed", method=method)[-1]["student"] != run(augmentation="consistent", method=method)[-1]["student"]


def test_each_step_draws_its_own_view_and_the_same_step_the_same():
    first, again, next_step = (batch_of(step, 20, augmentation="fixed")[0] for step in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, next_step)


def test_digits_are_never_flipped_and_coloured_images_are():
    generator = torch.Generator().manual_seed(0)
    left = torch.zeros(200, 1, 8, 8, dtype=torch.uint8)
    left[:, :, :, 1] = 255
    shifted = augment(left, generator=generator)
    assert not shifted[..., 3:].any()
    coloured = torch.zeros(200, 3, 32, 32, dtype=torch.uint8)
    coloured[..., 3] = 255
    views = augment(coloured, generator=generator)
    right = views[..., 16:].flatten(1).any(dim=1)
    assert 60 < int(right.sum()) < 140


def test_several_seeds_share_one_data_set_and_one_teacher():
    experiments = [Experiment(**SMALL, seed=seed) for seed in range(3)]
    data = load_run_data(experiments, device="cpu")
    assert data.indices.shape == (3, 150) and len(data.teachers) == len(data.teacher_logits) == 1
    for own, experiment in zip(data.indices, experiments, strict=True):
        alone = load_run_data([experiment], device="cpu")
        assert torch.equal(own, alone.indices[0])
        assert torch.equal(data.teacher_logits[0][own], alone.teacher_logits[0][own])


# --- assistants, peers, a teacher in training mode ------------------------------------------------------------------


def test_each_assistant_is_distilled_from_the_one_before_it_and_agreement_is_always_with_the_teacher(learners):
    *records, result = run(assistants=("mlp-20x2", "mlp-9x1"), epochs=3)
    assert list(dict.fromkeys(record["member"] for record in records)) == ["assistant-1", "assistant-2", "student", "baseline"]
    dataset = datasets.load("digits")
    first, second, student, _ = (teachers.logits(learner.network, dataset, dataset.test_images) for learner in learners)
    teacher = teachers.load_teacher(dataset, "mlp-1200x2")
    by_teacher = teachers.logits(teacher.network, dataset, dataset.test_images).argmax(1)
    agreements = [(one.argmax(1) == by_teacher).double().mean().item() for one in (first, second, student)]
    assert [*(one["agreement"] for one in result["assistants"]), result["student"]["agreement"]] == agreements
    assert [one["name"] for one in result["assistants"]] == ["mlp-20x2", "mlp-9x1"]
    assert result["teacher"]["parameters"] == teacher.card.parameters  # the one that was named
    assert records[-2]["agreement"] == result["student"]["agreement"]


def test_the_teacher_self_is_trained_first_with_labels_only_and_agreement_is_with_it(learners):
    *records, result = run(teacher="self", epochs=3)
    assert list(dict.fromkeys(record["member"] for record in records)) == ["teacher", "student", "baseline"]
    own = [record for record in records if record["member"] == "teacher"]
    assert all(record["soft_loss"] is None and record["agreement"] is None for record in own)
    assert own[-1]["test_accuracy"] == result["teacher"]["test_accuracy"] and own[-1]["hard_loss"] < own[1]["hard_loss"]
    dataset = datasets.load("digits")
    teacher, student, _ = (teachers.logits(learner.network, dataset, dataset.test_images) for learner in learners)
    assert result["student"]["agreement"] == (student.argmax(1) == teacher.argmax(1)).double().mean().item() < 1
    assert result["teacher"]["parameters"] == result["student"]["parameters"] and result["teacher"]["agreement"] == 1


def test_the_teacher_self_depends_on_nothing_that_only_distillation_uses():
    ours, theirs = (run(teacher="self", **choices)[-1] for choices in ({}, {"alpha": 0.9, "temperature": 20.0, "method": "hints"}))
    assert ours["teacher"] == theirs["teacher"] and ours["student"] != theirs["student"]
    assert ours["baseline"]["errors_by_class"] == run()[-1]["baseline"]["errors_by_class"]  # that of any race


def test_a_generation_learns_from_the_one_before_it(learners):
    run(teacher="self", assistants=("mlp-12x2",), epochs=60, alpha=0.0, images=300)
    dataset = datasets.load("digits")
    images = dataset.train_images[datasets.choose_images(dataset.train_labels, images=300, hide_classes=(), seed=0)]
    zero, first, student, baseline = (teachers.logits(learner.network, dataset, images) for learner in learners)
    assert soft_loss(first, zero, temperature=4.0) < soft_loss(baseline, zero, temperature=4.0) / 2
    assert soft_loss(student, first, temperature=4.0) < soft_loss(baseline, first, temperature=4.0) / 2


def test_the_student_minimises_the_distance_from_its_assistant(learners):
    result = run(assistants=("mlp-20x2",), epochs=60, alpha=0.0, images=300)[-1]
    dataset = datasets.load("digits")
    images = dataset.train_images[datasets.choose_images(dataset.train_labels, images=300, hide_classes=(), seed=0)]
    assistant, student, _ = (teachers.logits(learner.network, dataset, images) for learner in learners)
    teacher = teachers.logits(teachers.load_teacher(dataset, "mlp-1200x2").network, dataset, images)
    near, far = (soft_loss(student, other, temperature=4.0) for other in (assistant, teacher))
    assert near < far / 2 and result["student"]["agreement"] > 0.8


def test_assistants_peers_and_generation_0_start_from_other_weights_but_student_and_baseline_from_the_same():
    experiment, dataset = Experiment(**SMALL), datasets.load("digits")
    members = ("student", "baseline", "assistant-1", "assistant-2", "peer-1", "teacher")
    weights = {member: initial_student(experiment, dataset, member=member).stem.weight for member in members}
    assert torch.equal(weights["student"], weights["baseline"])
    assert len({tuple(weight.flatten().tolist()) for weight in weights.values()}) == 5


def test_peers_match_the_logits_of_the_others_from_before_any_of_them_changed(learners):
    experiment = Experiment(**{**SMALL, "epochs": 1, "batch_size": 150, "optimizer": "sgd", "schedule": "constant"}, method="mutual-3")
    data = load_run_data([experiment], device="cpu", dtype=torch.float64)
    members = ("student", "peer-1", "peer-2")
    networks = [initial_student(experiment, data.dataset, member=member).double() for member in members]
    (indices,) = data.batches(0)
    inputs = data.get_batch(indices, 0)
    logits, labels = [network(inputs.images[0]) for network in networks], inputs.labels[0]
    for k, network in enumerate(networks):
        log_p, hard = F.log_softmax(logits[k], dim=1), F.cross_entropy(logits[k], labels)
        others = [F.softmax(other.detach(), dim=1) for i, other in enumerate(logits) if i != k]
        divergence = sum((p * (p.log() - log_p)).sum(dim=1).mean() for p in others) / 2
        (experiment.alpha * hard + (1 - experiment.alpha) / 9 * divergence).backward()
        torch.optim.SGD(network.parameters(), lr=experiment.learning_rate).step()
    list(train(experiment, device="cpu", dtype=torch.float64))
    trained = {learner.member: learner.network for learner in learners}
    for member, network in zip(members, networks, strict=True):
        for ours, theirs in zip(trained[member].parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_a_teacher_in_training_mode_has_other_logits_at_each_step_and_is_scored_in_evaluation_mode():
    method = "teacher-in-train-mode"
    first, again, later = (batch_of(step, 20, method=method)[2] for step in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, later)
    data = data_of(method=method)
    indices = data.indices[:, :20]
    many = torch.stack([torch.softmax(data.get_batch(indices, step).teacher_logits[0], dim=1) for step in range(40)]).mean(dim=0)
    assert (many.argmax(dim=1) == data.teacher_logits[0][indices[0]].argmax(dim=1)).double().mean() > 0.9  # the same teacher still
    assert run(method=method)[-1]["teacher"] == run()[-1]["teacher"]


def test_a_baseline_without_regressor_or_peers_of_its_own_has_no_loss_of_the_method():
    for method, measured in (("hints", False), ("mutual-2", False), ("similarity", True), ("soft-targets", True)):
        losses = [one["soft_loss"] for one in run(method=method)[:-1] if one["member"] == "baseline" and one["hard_loss"] is not None]
        assert losses and all((value is not None) == measured for value in losses)


# --- images without labels ------------------------------------------------------------------------------------------

UNLABELLED = [{"unlabelled": 70}, {"unlabelled": 70, "unlabelled_from": "noise"}]


@pytest.mark.parametrize("more", UNLABELLED, ids=str)
@pytest.mark.parametrize("augmentation", ("none", "fixed"))
def test_images_without_labels_change_the_student_and_never_its_baseline(more, augmentation):
    plain, ours = (
        list(train(Experiment(**SMALL, augmentation=augmentation, **choices), device="cpu", dtype=torch.float64)) for choices in ({}, more)
    )
    assert [one["errors_by_class"] for one in (plain[-1]["baseline"], plain[-1]["teacher"])] == [
        one["errors_by_class"] for one in (ours[-1]["baseline"], ours[-1]["teacher"])
    ]
    for before, after in zip(plain[2:-1], ours[2:-1], strict=True):
        same = after["hard_loss"] == pytest.approx(before["hard_loss"], rel=1e-10)
        assert same == (after["member"] == "baseline")


@pytest.mark.parametrize("more", UNLABELLED, ids=str)
def test_the_hard_loss_is_over_images_with_a_label_and_the_soft_loss_over_all(more, learners):
    """At a learning rate of nearly nothing the network stays as it is."""
    experiment = Experiment(**{**SMALL, "epochs": 1, "learning_rate": 1e-30}, **more)
    *records, _ = train(experiment, device="cpu")
    data = load_run_data([experiment], device="cpu")
    teacher = teachers.load_teacher(data.dataset, "mlp-1200x2").network
    with torch.no_grad():
        hard = hard_loss(learners[0].network(data.pixels(data.indices[0])), data.dataset.train_labels[data.indices[0]])
        pixels = data.pixels(torch.cat([data.indices[0], data.unlabelled[0]]))
        soft = soft_loss(learners[0].network(pixels), teacher(pixels), temperature=4.0)
    for one in records[2:]:
        assert one["hard_loss"] == pytest.approx(hard.item(), rel=1e-5)
        assert one["soft_loss"] == pytest.approx(soft.item(), rel=1e-5)


@pytest.mark.parametrize("unlabelled", (70, 2))
def test_an_epoch_uses_each_image_once_with_labels_first_in_every_batch(unlabelled):
    data = data_of(unlabelled=unlabelled)
    plain, batches = list(data_of().batches(1)), list(data.batches(1))
    assert [batch.shape[1] for batch in batches] == ([88, 87, 45] if unlabelled == 70 else [65, 65, 22])
    for before, after in zip(plain, batches, strict=True):
        assert torch.equal(before, after[:, : before.shape[1]])
        assert (data.labels[0][after[0, before.shape[1] :]] == -1).all() and (data.labels[0][before[0]] >= 0).all()
    assert torch.cat(batches, dim=1).unique().numel() == 150 + unlabelled


def test_labels_of_images_without_labels_are_nowhere_in_a_run():
    data = data_of(unlabelled=70)
    for indices in data.batches(0):
        _, labels, _, _, unlabelled = data.get_batch(indices, 0)
        assert int((labels == -1).sum()) == unlabelled and (labels[0, -unlabelled:] == -1).all()
