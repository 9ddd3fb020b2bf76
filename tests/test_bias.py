"""The correction of a bias, by closed form and by brute force."""

import math

import pytest
import torch

from distill_core.bias import add_bias, prior_matching_bias, tuned_bias


@pytest.fixture
def student():
    """Logits `(N, 4)` and labels `(N,)` of a student whose class 2 has a bias that is 3 too low."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(2000) % 4
    logits = torch.randn(2000, 4, generator=generator, dtype=torch.float64)
    logits[torch.arange(2000), labels] += 4
    return add_bias(logits, (2,), -3.0), labels


def test_add_bias_changes_only_the_chosen_classes_and_not_its_input():
    logits = torch.zeros(2, 4)
    assert add_bias(logits, (1, 3), 2.5).tolist() == [[0, 2.5, 0, 2.5]] * 2
    assert not logits.any()


@pytest.mark.parametrize("share", [0.01, 0.3, 0.99])
@pytest.mark.parametrize("classes", [(2,), (0, 3)])
def test_prior_matching_is_a_difference_of_log_odds_where_all_images_are_alike(share, classes):
    logits = torch.tensor([[0.5, -1.0, 2.0, 0.0]]).repeat(5, 1)
    p = torch.softmax(logits[0].double(), dim=0)[list(classes)].sum().item()
    log_odds = math.log(share / (1 - share)) - math.log(p / (1 - p))
    assert prior_matching_bias(logits, classes, share=share) == pytest.approx(log_odds, abs=1e-5)


def test_after_prior_matching_the_mean_probability_is_the_share(student):
    logits, _ = student
    bias = prior_matching_bias(logits, (2,), share=0.25)
    assert torch.softmax(add_bias(logits, (2,), bias), dim=1)[:, 2].mean().item() == pytest.approx(0.25, abs=1e-6)
    assert 2 < bias < 4  # 3 was taken away


def test_no_other_bias_in_the_grid_has_fewer_errors_than_the_tuned_one(student):
    logits, labels = student
    bias = tuned_bias(logits, labels, (2,))

    def errors(b):
        return int((add_bias(logits, (2,), b).argmax(dim=1) != labels).sum())

    assert errors(bias) == min(errors(k / 10) for k in range(-150, 151)) < errors(0.0)
    assert 2 < bias < 4


def test_a_tuned_bias_in_the_middle_of_a_plateau():
    logits, labels = torch.tensor([[0.0, -4.0], [0.0, -1.0]]), torch.tensor([0, 1])  # right for a bias from 1 to 4
    assert tuned_bias(logits, labels, (1,)) == pytest.approx(2.5, abs=0.2)


@pytest.mark.parametrize(("classes", "share"), [((1,), 0.0), ((1,), 1.0), ((), 0.5), ((0, 1, 2, 3), 0.5)])
def test_a_share_that_no_bias_can_reach_is_refused(classes, share, refused):
    with refused(f"share of {share}"):
        prior_matching_bias(torch.zeros(3, 4), classes, share=share)
