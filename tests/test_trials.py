"""The trials: networks that train together, and the parts of each experiment whose result is known beforehand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from distill_core.data import datasets
from distill_core.lessons import LESSONS
from distill_core.lessons import lesson as lessons
from distill_core.losses import soft_loss
from distill_core.statistics import mean_interval
from distill_core.together import Together, one_hot
from distill_core.trainer import train
from distill_core.trials import choice_of_images, federated, private, robust, subliminal, transfer


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


# --- networks that train together -----------------------------------------------------------------------------------


def test_a_network_gets_the_numbers_that_it_would_have_had_alone(digits):
    own = torch.arange(120).view(3, 40)
    images, targets = digits.train_images[own], one_hot(digits.train_labels[own], digits)
    together = Together("mlp-30x2", digits, [0, 1, 2]).fit(images, targets, epochs=4, batch_size=16)
    for k in range(3):
        alone = Together("mlp-30x2", digits, [k]).fit(images[k], targets[k], epochs=4, batch_size=16)
        torch.testing.assert_close(together.logits(digits.test_images)[k], alone.logits(digits.test_images)[0], atol=1e-4, rtol=1e-4)


def test_equal_seeds_give_equal_weights_and_others_give_others(digits):
    first, second, third = Together("mlp-30x2", digits, [5, 5, 6]).logits(digits.test_images)
    torch.testing.assert_close(first, second)
    assert not torch.allclose(first, third, atol=0.1)


def test_the_loss_of_a_soft_target_has_the_gradient_of_the_soft_loss(digits):
    """The cross-entropy with soft targets and the divergence from them differ by a constant."""
    images, temperature = digits.train_images[:32], 3.0
    teacher = torch.randn(32, digits.classes, generator=torch.Generator().manual_seed(0))
    student = Together("mlp-30x2", digits, [0])
    weight = student.weights["head.weight"]
    weight.requires_grad_(True)
    (expected,) = torch.autograd.grad(soft_loss(functional_logits(student, images), teacher, temperature=temperature), weight)
    before = weight.detach().clone()
    student.fit(images, (teacher / temperature).softmax(dim=-1), epochs=1, batch_size=32, learning_rate=1e-3, temperature=temperature)
    moved = student.weights["head.weight"].detach() - before
    clear = expected.abs() > 1e-6  # Adam's first step has the learning rate's size, against the gradient
    assert torch.equal(moved[clear].sign(), -expected[clear].sign()) and moved[clear].abs().mean() == pytest.approx(1e-3, rel=0.01)


def functional_logits(together, images):
    weights = {name: weight[0] for name, weight in together.weights.items()}
    return torch.func.functional_call(together.network, weights, (together.dataset.pixels(images),))


# --- private --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lead", [0, 1, 4, 12])
def test_the_second_of_two_classes_wins_as_often_as_the_bound_of_the_paper_states(lead):
    """For two classes the bound on q is the exact probability that Laplace noise turns the vote round."""
    counts, gamma = torch.tensor([[lead, 0]]).repeat(40_000, 1), 0.25
    turned = float((private.noisy_winners(counts, gamma=gamma, seed=0) == 1).float().mean())
    exact = (2 + gamma * lead) / (4 * math.exp(gamma * lead))
    assert turned == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 40_000))


def test_without_a_lead_epsilon_is_that_of_the_noise_alone():
    """The bound that does not depend on the votes, with its best real order."""
    answers, gamma, delta = 50, 0.05, 1e-5
    counts = torch.full((answers, 10), 10)
    least = min((answers * 2 * gamma**2 * x * (x + 1) + math.log(1 / delta)) / x for x in range(1, 65))
    assert private.epsilon(counts, gamma=gamma, delta=delta) == pytest.approx(least)


def test_clear_votes_more_noise_and_fewer_answers_are_more_private():
    clear, split = torch.tensor([[90, 10, 0]] * 20), torch.tensor([[52, 48, 0]] * 20)
    assert private.epsilon(clear, gamma=0.2, delta=1e-5) < private.epsilon(split, gamma=0.2, delta=1e-5)
    assert private.epsilon(split, gamma=0.05, delta=1e-5) < private.epsilon(split, gamma=0.1, delta=1e-5)
    assert private.epsilon(split[:5], gamma=0.1, delta=1e-5) < private.epsilon(split, gamma=0.1, delta=1e-5)


def test_without_noise_the_class_with_most_votes_wins():
    counts = torch.tensor([[3, 9, 1], [8, 0, 7]])
    assert private.noisy_winners(counts, gamma=1e9, seed=0).tolist() == [1, 0]


# --- federated, choice of images, transfer --------------------------------------------------------------------------


def test_a_client_has_four_classes_no_public_image_and_every_class_has_a_client(digits):
    public, own = federated.divide(digits, seed=3)
    assert not set(public.tolist()) & set(own.flatten().tolist())
    classes = [set(digits.train_labels[one].tolist()) for one in own]
    assert all(len(found) == federated.OWN_CLASSES for found in classes) and set.union(*classes) == set(range(10))


def test_what_a_client_sends_is_counted_in_bytes_of_float32(digits):
    parameters = 64 * 30 + 30 + 30 * 30 + 30 + 30 * 10 + 10
    assert federated.exchanged(rounds=2) == {"logits": 2 * 400 * 10 * 4, "weights": 2 * parameters * 4}


def test_no_other_image_is_farther_from_those_before_it_than_the_next_one(digits):
    chosen = choice_of_images.far_apart(digits, 12, seed=0).tolist()
    pixels = digits.train_images.flatten(1).double()
    for place in range(1, len(chosen)):
        nearest = torch.cdist(pixels, pixels[chosen[:place]]).min(dim=1).values
        assert nearest[chosen[place]] == pytest.approx(float(nearest.max()))


def test_the_image_nearest_to_the_mean_of_a_line_is_its_middle(digits):
    line = torch.arange(9, dtype=torch.uint8).mul(20).view(9, 1, 1, 1)
    one_class = replace(digits, train_images=line, train_labels=torch.zeros(9, dtype=torch.int64), class_names=("line",))
    assert choice_of_images.nearest_to_means(one_class, 1).tolist() == [4]


def test_blends_turns_and_noise_have_the_form_of_the_digits(digits):
    kinds = transfer.kinds(digits)
    assert {tuple(images.shape) for images in kinds.values()} == {tuple(digits.train_images.shape)}
    assert torch.equal(torch.rot90(kinds[transfer.TURNED], -1, dims=(-2, -1)), digits.train_images)
    assert abs(float(kinds[transfer.NOISE].float().mean()) - 127.5) < 1


# --- the results ----------------------------------------------------------------------------------------------------


def test_what_passes_by_meaningless_outputs_needs_the_teachers_own_initial_weights():
    found = lessons.gains(subliminal.run(3))
    by_arm = {one.arm: one.difference for one in found}
    assert by_arm[subliminal.SAME] > 20 and abs(by_arm[subliminal.OTHER]) < 15


def test_the_race_of_the_robust_trial_has_the_numbers_of_the_training_loop():
    found = robust.run(2)[robust.CLEAN]
    for seed, one in enumerate(found):
        *_, result = train(replace(robust.EXPERIMENT, seed=seed))
        for role in ("student", "baseline"):
            assert one[role]["test_accuracy"] == pytest.approx(result[role]["test_accuracy"], abs=2 / 359)


def test_more_noise_on_the_votes_costs_the_student_more():
    found = private.run(3)
    mean = [np.mean(lessons.accuracies(one)) for one in found.values()]
    epsilons = [mean_interval([seed["epsilon"] for seed in one])[0] for one in found.values()]
    assert mean == sorted(mean, reverse=True) and epsilons == sorted(epsilons, reverse=True)


@pytest.mark.parametrize("name", [name for name, lesson in LESSONS.items() if lesson.trial and name not in ("subliminal", "private")])
def test_the_trial_of_a_lesson_is_judged_by_its_results(name):
    lesson = LESSONS[name]
    results = lesson.trial(2)
    finding = lesson.find(results)
    if isinstance(lesson.guess, lessons.Choice):
        assert set(lesson.guess.options) == set(results) and finding.answer in (None, *results)
    else:
        assert finding.low <= finding.answer <= finding.high
