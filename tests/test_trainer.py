"""Training: the same choices give the same numbers, the records say what INTERFACE.md promises, the teacher counts where it should."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from distill_core import teachers
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.losses import hard_loss, soft_loss
from distill_core.training import trainer
from distill_core.training.trainer import train

SMALL = {"images": 150, "student": "mlp-12x2", "epochs": 2, "batch_size": 64}  # three steps an epoch, the last of 22 images
SCORES = ["test_accuracy", "low", "high", "test_errors", "errors_by_class", "agreement", "ece", "parameters"]


@pytest.fixture
def runners(monkeypatch):
    """The runners of each race that is trained, student first."""
    kept = []

    class Kept(trainer.Runner):
        def __init__(self, *given):
            super().__init__(*given)
            kept.append(self)

    monkeypatch.setattr(trainer, "Runner", Kept)
    return kept


def without_seconds(records):
    return [{name: value for name, value in told.items() if name != "seconds"} for told in records]


def run(**choices):
    return list(train(Experiment(**{**SMALL, **choices}), device="cpu"))


# --- records --------------------------------------------------------------------------------------------------------


def test_a_record_has_the_fields_of_the_interface():
    *records, result = run()
    for told in records:
        expected = ["event", "member", "epoch", "step", "seconds", "hard_loss", "soft_loss", "test_accuracy", "agreement"]
        assert list(told) == expected and told["event"] == "record"
    assert list(result) == ["event", "key", "experiment", "seconds", "student", "baseline", "teacher"]
    assert result["event"] == "result" and result["key"] == Experiment(**SMALL).key
    assert all(result[member].keys() >= set(SCORES) for member in ("student", "baseline", "teacher"))
    assert Experiment.from_fields(json.loads(json.dumps(result["experiment"]))) == Experiment(**SMALL)


def test_records_are_plain_values():
    for told in run():
        assert json.loads(json.dumps(told, allow_nan=False)) == json.loads(json.dumps(told))


def test_the_first_record_is_before_any_step(runners):
    told = train(Experiment(**SMALL), device="cpu")
    first = [next(told), next(told)]
    initial = trainer.initial_student(Experiment(**SMALL), datasets.load("digits")).state_dict()
    for runner in runners:
        assert all(torch.equal(runner.network.state_dict()[name], value) for name, value in initial.items())
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


def test_losses_are_raw_averages_over_the_examples_since_the_last_record(runners):
    """At a learning rate of nearly nothing the network stays as it is: the mean over all its images is known."""
    choices = {**SMALL, "learning_rate": 1e-30, "epochs": 1, "temperature": 4.0, "alpha": 0.1}
    *records, _ = run(**choices)
    given = trainer.material(Experiment(**choices), device="cpu")
    with torch.no_grad():
        logits = runners[0].network(given.pixels(given.indices)).double()
    log_q, p = torch.log_softmax(logits / 4, dim=1), torch.softmax(given.teacher_logits[given.indices].double() / 4, dim=1)
    assert records[-2]["hard_loss"] == pytest.approx(F.cross_entropy(logits, given.labels[given.indices]).item(), rel=1e-5)
    assert records[-2]["soft_loss"] == pytest.approx(16 * F.kl_div(log_q, p, reduction="batchmean").item(), rel=1e-5)
    assert records[-1]["hard_loss"] == pytest.approx(records[-2]["hard_loss"], rel=1e-6)


def test_losses_of_one_record_hold_no_image_of_the_record_before():
    """Seen in a network that stays as it is: the images between two records, and no others."""
    experiment = Experiment(**{**SMALL, "images": 256, "batch_size": 4, "epochs": 1, "learning_rate": 1e-30, "student": "linear"})
    *records, _ = train(experiment, device="cpu")
    given = trainer.material(experiment, device="cpu")
    order = trainer.order_of_images(experiment, given.indices, 0).split(4 * 8)  # 64 steps are told in eighths
    network = trainer.initial_student(experiment, given.dataset)
    expected = [F.cross_entropy(network(given.pixels(part)), given.labels[part]).item() for part in order]
    assert [r["hard_loss"] for r in records[2::2]] == pytest.approx(expected, rel=1e-5)
    assert len({round(loss, 3) for loss in expected}) == 8


def test_the_result_is_the_last_record():
    *records, result = run()
    for member, last in zip(("student", "baseline"), records[-2:], strict=True):
        assert last["test_accuracy"] == pytest.approx(result[member]["test_accuracy"], abs=1e-12)
        assert last["agreement"] == pytest.approx(result[member]["agreement"], abs=1e-12)


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
    told = train(Experiment(**SMALL, temperature=7.0), device="cpu")
    next(told)
    next(told)
    told.close()
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
def test_alpha_one_trains_the_weights_of_plain_cross_entropy_bit_by_bit(runners, student, optimizer, temperature):
    choices = {**SMALL, "alpha": 1.0, "temperature": temperature, "student": student, "optimizer": optimizer}
    run(**choices)
    for runner in runners:
        plain = by_labels_alone(Experiment(**choices), hard_loss)
        assert all(torch.equal(a, b) for a, b in zip(runner.network.parameters(), plain.parameters(), strict=True))


def test_the_baseline_is_torchs_own_training_whatever_the_teacher(runners):
    run(alpha=0.1, teacher="cnn-32")
    plain = by_labels_alone(Experiment(**SMALL), F.cross_entropy)
    for ours, theirs in zip(runners[1].network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def by_labels_alone(experiment, loss_of):
    """The usual loop, without a teacher; only initial weights, order of images and pace are the lab's."""
    given = trainer.material(experiment, device="cpu")
    network = trainer.initial_student(experiment, given.dataset).to(memory_format=torch.channels_last)
    kinds = {"adam": torch.optim.Adam, "sgd": lambda p, **k: torch.optim.SGD(p, momentum=0.9, **k)}
    optimizer = kinds[experiment.optimizer](network.parameters(), lr=experiment.learning_rate, fused=True)
    step, steps = 0, math.ceil(experiment.images / experiment.batch_size) * experiment.epochs
    for epoch in range(experiment.epochs):
        for batch in trainer.order_of_images(experiment, given.indices, epoch).split(experiment.batch_size):
            loss = loss_of(network(given.pixels(batch).contiguous(memory_format=torch.channels_last)), given.labels[batch])
            optimizer.param_groups[0]["lr"] = trainer.learning_rate(experiment, step, steps)
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
    seen, plain = [], trainer.Material.pixels
    monkeypatch.setattr(trainer.Material, "pixels", lambda given, indices: (seen.append(indices), plain(given, indices))[1])
    run(dataset=mnist, hide_classes=(3, 7), images=500)
    labels = datasets.load(mnist).train_labels[torch.cat(seen)]
    assert set(labels.tolist()) == set(range(10)) - {3, 7}


def test_each_image_is_seen_once_in_an_epoch_in_an_order_of_its_own():
    experiment, indices = Experiment(**SMALL), torch.arange(1000, 1150)
    orders = [trainer.order_of_images(experiment, indices, epoch) for epoch in range(3)]
    assert all(torch.equal(order.sort().values, indices) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 3
    assert torch.equal(orders[1], trainer.order_of_images(experiment.baseline, indices, 1))


def test_label_noise_disturbs_training_labels_only():
    given = trainer.material(Experiment(**SMALL, label_noise=0.5), device="cpu")
    dataset = datasets.load("digits")
    assert 0.4 < (given.labels != dataset.train_labels).double().mean() < 0.6
    assert torch.equal(given.dataset.test_labels, dataset.test_labels)


def test_soft_targets_are_those_of_the_run_s_own_images():
    given = trainer.material(Experiment(**SMALL, label_noise=0.2), device="cpu")
    expected = teachers.logits(given.teacher.network, given.dataset, given.dataset.train_images[given.indices])
    torch.testing.assert_close(given.teacher_logits[given.indices], expected, rtol=1e-4, atol=1e-4)


def test_the_learners_own_pictures_can_be_raced_on(small_zip, home, monkeypatch):
    monkeypatch.setattr(teachers.making, "recipe_for", lambda dataset, name: replace(teachers.TEACHERS[name], epochs=1, batch_size=8))
    choices = {**SMALL, "dataset": str(small_zip), "images": 0, "teacher": "cnn-32"}
    result = list(train(Experiment(**choices), device="cpu"))[-1]
    assert len(result["student"]["errors_by_class"]) == 2 and result["student"]["test_images"] == 4


def test_hiding_every_class_of_a_zip_is_refused(small_zip, home, refused):
    with refused("hide_classes [0, 1]"):
        trainer.datasets.choose_images(datasets.load(str(small_zip)).train_labels, images=0, hide_classes=(0, 1), seed=0)


# --- the pace -------------------------------------------------------------------------------------------------------


def test_one_cycle_rises_in_a_line_over_the_first_third_and_falls_to_nothing():
    experiment = Experiment(learning_rate=0.01)
    rates = np.array([trainer.learning_rate(experiment, step, 999) for step in range(999)])
    assert rates.argmax() == 299 and rates.max() == pytest.approx(0.01)
    np.testing.assert_allclose(np.diff(rates[:300]), 0.01 / 300, rtol=1e-9)
    np.testing.assert_allclose(np.diff(rates[299:]), -0.01 / 700, rtol=1e-9)
    assert 0 < rates[0] < 1e-4 and 0 < rates[-1] < 1e-4


def test_a_constant_rate_stays():
    assert {trainer.learning_rate(Experiment(schedule="constant", learning_rate=0.007), step, 50) for step in range(50)} == {0.007}


@pytest.mark.parametrize("optimizer", ("adam", "sgd"))
def test_the_first_step_has_the_size_of_the_optimizers_formula(runners, optimizer):
    experiment = Experiment(
        **{**SMALL, "batch_size": 150, "epochs": 1}, optimizer=optimizer, schedule="constant", learning_rate=0.003, alpha=1.0
    )
    list(train(experiment, device="cpu", dtype=torch.float64))
    given = trainer.material(experiment, device="cpu", dtype=torch.float64)
    before = trainer.initial_student(experiment, given.dataset).double()
    order = trainer.order_of_images(experiment, given.indices, 0)
    hard_loss(before(given.pixels(order)), given.labels[order]).backward()
    for old, new in zip(before.parameters(), runners[0].network.parameters(), strict=True):
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
    assert trainer.pick_device("auto") == torch.device("cpu")


def test_more_images_than_remain_is_refused(refused):
    with refused("images 1400", "remain"):
        next(train(Experiment(images=1400, hide_classes=(0, 1)), device="cpu"))


def test_a_run_that_diverges_ends_with_records_that_are_json():
    *records, result = run(student="mlp-30x6", optimizer="sgd", learning_rate=10.0, schedule="constant", batch_size=8)
    for told in (*records, result):
        json.dumps(told, allow_nan=False)
    assert records[-1]["hard_loss"] is None and result["baseline"]["ece"] == pytest.approx(1 - result["baseline"]["test_accuracy"])


def test_preparing_a_run_that_lacks_nothing_tells_nothing():
    assert list(trainer.prepare(Experiment(**SMALL))) == []


# --- augmentation ---------------------------------------------------------------------------------------------------


def test_a_consistent_teacher_sees_what_the_student_sees_and_a_fixed_one_the_plain_image():
    given = trainer.material(Experiment(**SMALL), device="cpu")
    batch = given.indices[:7]
    views = {kind: given.look(Experiment(**SMALL, augmentation=kind), batch, 3) for kind in ("none", "fixed", "consistent")}
    assert torch.equal(views["none"][0], given.pixels(batch)) and torch.equal(views["none"][2], given.teacher_logits[batch])
    assert torch.equal(views["fixed"][0], views["consistent"][0]) and not torch.equal(views["fixed"][0], views["none"][0])
    assert torch.equal(views["fixed"][2], given.teacher_logits[batch])
    with torch.no_grad():
        seen = given.teacher.network(views["consistent"][0].contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(views["consistent"][2], seen)


def test_each_step_draws_its_own_view_and_the_same_step_the_same():
    given = trainer.material(Experiment(**SMALL), device="cpu")
    choices = Experiment(**SMALL, augmentation="fixed")
    first, again, next_step = (given.look(choices, given.indices[:20], step)[0] for step in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, next_step)


def test_digits_are_never_mirrored_and_pictures_are():
    generator = torch.Generator().manual_seed(0)
    left = torch.zeros(200, 1, 8, 8, dtype=torch.uint8)
    left[:, :, :, 1] = 255
    moved = trainer.augment(left, generator=generator)
    assert not moved[..., 3:].any()
    coloured = torch.zeros(200, 3, 32, 32, dtype=torch.uint8)
    coloured[..., 3] = 255
    seen = trainer.augment(coloured, generator=generator)
    right = seen[..., 16:].flatten(1).any(dim=1)
    assert 60 < int(right.sum()) < 140


# --- assistants, peers, a teacher_in_train_mode teacher --------------------------------------------------------------------------


def test_each_assistant_is_taught_by_the_one_before_it_and_the_last_teaches_the_student(runners):
    *records, result = run(assistants=("mlp-20x2", "mlp-9x1"), epochs=3)
    assert list(dict.fromkeys(told["member"] for told in records)) == ["assistant-1", "assistant-2", "student", "baseline"]
    dataset = datasets.load("digits")
    first, second, student, _ = (teachers.logits(runner.network, dataset, dataset.test_images) for runner in runners)
    teacher = teachers.load_teacher(dataset, "mlp-1200x2")
    by = [teachers.logits(teacher.network, dataset, dataset.test_images), first, second]
    pairs = zip((first, second, student), by, strict=True)
    agreements = [(one.argmax(1) == other.argmax(1)).double().mean().item() for one, other in pairs]
    assert [*(told["agreement"] for told in result["assistants"]), result["student"]["agreement"]] == agreements
    assert [told["name"] for told in result["assistants"]] == ["mlp-20x2", "mlp-9x1"]
    assert result["teacher"]["parameters"] == teacher.card.parameters  # the one that was named
    assert records[-1]["agreement"] != result["baseline"]["test_accuracy"]


def test_the_student_minimises_the_distance_from_its_assistant(runners):
    told = run(assistants=("mlp-20x2",), epochs=60, alpha=0.0, images=300)[-1]
    dataset = datasets.load("digits")
    images = dataset.train_images[datasets.choose_images(dataset.train_labels, images=300, hide_classes=(), seed=0)]
    assistant, student, _ = (teachers.logits(runner.network, dataset, images) for runner in runners)
    teacher = teachers.logits(teachers.load_teacher(dataset, "mlp-1200x2").network, dataset, images)
    near, far = (soft_loss(student, other, temperature=4.0) for other in (assistant, teacher))
    assert near < far / 2 and told["student"]["agreement"] > 0.8


def test_generations_begin_with_other_weights_but_student_and_baseline_with_the_same():
    experiment, dataset = Experiment(**SMALL), datasets.load("digits")
    members = ("student", "baseline", "assistant-1", "assistant-2", "peer-1")
    weights = {member: trainer.initial_student(experiment, dataset, member=member).stem.weight for member in members}
    assert torch.equal(weights["student"], weights["baseline"])
    assert len({tuple(weight.flatten().tolist()) for weight in weights.values()}) == 4


def test_peers_hear_what_the_others_said_before_any_of_them_changed(monkeypatch):
    experiment = Experiment(**{**SMALL, "epochs": 1, "batch_size": 150, "optimizer": "sgd", "schedule": "constant"}, method="mutual-3")
    given = trainer.material(experiment, device="cpu", dtype=torch.float64)
    networks = [trainer.initial_student(experiment, given.dataset, member=member).double() for member in ("student", "peer-1", "peer-2")]
    images, labels, *_ = given.look(experiment, trainer.order_of_images(experiment, given.indices, 0), 0)
    said = [network(images) for network in networks]
    for k, network in enumerate(networks):
        log_p, hard = F.log_softmax(said[k], dim=1), F.cross_entropy(said[k], labels)
        others = [F.softmax(other.detach(), dim=1) for i, other in enumerate(said) if i != k]
        apart = sum((p * (p.log() - log_p)).sum(dim=1).mean() for p in others) / 2
        (experiment.alpha * hard + (1 - experiment.alpha) / 9 * apart).backward()
        torch.optim.SGD(network.parameters(), lr=experiment.learning_rate).step()

    trained = {}
    made = trainer.Runner.__init__

    def keep(self, experiment, given, member):
        made(self, experiment, given, member)
        trained[member] = self.network

    monkeypatch.setattr(trainer.Runner, "__init__", keep)
    list(train(experiment, device="cpu", dtype=torch.float64))
    for member, network in zip(("student", "peer-1", "peer-2"), networks, strict=True):
        for ours, theirs in zip(trained[member].parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_a_restless_teacher_answers_differently_at_each_step_and_is_scored_at_rest():
    experiment = Experiment(**SMALL, method="teacher-in-train-mode")
    given = trainer.material(experiment, device="cpu")
    batch = given.indices[:20]
    first, again, later = (given.look(experiment, batch, step)[2] for step in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, later)
    rest = given.look(replace(experiment, method="soft-targets"), batch, 3)
    many = torch.stack([torch.softmax(given.look(experiment, batch, step)[2], dim=1) for step in range(40)]).mean(dim=0)
    assert (many.argmax(dim=1) == given.teacher_logits[batch].argmax(dim=1)).double().mean() > 0.9  # the same teacher all the same
    assert run(method="teacher-in-train-mode")[-1]["teacher"] == run()[-1]["teacher"]
    assert torch.equal(rest[0], given.pixels(batch))


def test_a_baseline_without_regressor_or_peers_of_its_own_tells_no_loss_of_the_method():
    for method, measured in (("hints", False), ("mutual-2", False), ("similarity", True), ("soft-targets", True)):
        told = [one["soft_loss"] for one in run(method=method)[:-1] if one["member"] == "baseline" and one["hard_loss"] is not None]
        assert told and all((value is not None) == measured for value in told)
