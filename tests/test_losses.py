"""The mathematics, against the formulas written out with numpy and scipy, against limits and against other libraries."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special, stats

from distill_core.losses import hard_loss, soft_loss, soften, total_loss

TEMPERATURES = (0.5, 1.0, 4.0, 20.0)
N, C = 7, 5


@pytest.fixture
def logits():
    """Student logits, teacher logits `(N, C)` and labels `(N,)`, in float64."""
    rng = np.random.default_rng(0)
    return (
        torch.from_numpy(3 * rng.normal(size=(N, C))),
        torch.from_numpy(5 * rng.normal(size=(N, C))),
        torch.from_numpy(rng.integers(C, size=N)),
    )


def gradient(loss, student_logits):
    z = student_logits.clone().requires_grad_()
    return torch.autograd.grad(loss(z), z)[0]


# --- closed forms ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_soften_is_the_softmax_of_logits_over_temperature(logits, temperature):
    ours = soften(logits[1], temperature=temperature)
    np.testing.assert_allclose(ours, special.softmax(logits[1].numpy() / temperature, axis=1), rtol=1e-12)
    np.testing.assert_allclose(ours.sum(dim=1), 1, rtol=1e-12)


def test_hard_loss_is_the_mean_log_probability_of_the_labels(logits):
    student, _, labels = logits
    p = special.softmax(student.numpy(), axis=1)
    expected = -sum(math.log(p[n, labels[n]]) for n in range(N)) / N
    assert hard_loss(student, labels).item() == pytest.approx(expected, rel=1e-12)


def test_hard_loss_is_torchs_cross_entropy(logits):
    student, _, labels = logits
    assert hard_loss(student, labels).item() == pytest.approx(F.cross_entropy(student, labels).item(), rel=1e-12)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_soft_loss_is_temperature_squared_times_the_mean_relative_entropy(logits, temperature):
    student, teacher, _ = logits
    p, q = (special.softmax(z.numpy() / temperature, axis=1) for z in (teacher, student))
    expected = temperature**2 * np.mean([stats.entropy(p[n], q[n]) for n in range(N)])
    assert soft_loss(student, teacher, temperature=temperature).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_soft_loss_is_torchs_kl_div_averaged_over_examples_not_over_classes(logits, temperature):
    student, teacher, _ = logits
    log_q, p = torch.log_softmax(student / temperature, dim=1), torch.softmax(teacher / temperature, dim=1)
    ours = soft_loss(student, teacher, temperature=temperature).item()
    assert ours == pytest.approx(temperature**2 * F.kl_div(log_q, p, reduction="batchmean").item(), rel=1e-12)
    assert ours == pytest.approx(C * temperature**2 * F.kl_div(log_q, p, reduction="none").mean().item(), rel=1e-12)  # its default's mean


@pytest.mark.parametrize("alpha", (0.0, 0.1, 0.7, 1.0))
def test_alpha_is_the_weight_of_the_hard_loss(logits, alpha):
    student, teacher, labels = logits
    expected = alpha * hard_loss(student, labels) + (1 - alpha) * soft_loss(student, teacher, temperature=4.0)
    assert total_loss(student, teacher, labels, alpha=alpha, temperature=4.0).item() == pytest.approx(expected.item(), rel=1e-12)


def test_soft_loss_is_zero_when_student_equals_teacher(logits):
    _, teacher, _ = logits
    for temperature in TEMPERATURES:
        assert soft_loss(teacher, teacher, temperature=temperature).item() == 0
        shifted = teacher + torch.arange(N).unsqueeze(1)  # another constant for each example: the same probabilities
        assert soft_loss(shifted, teacher, temperature=temperature).item() == pytest.approx(0, abs=1e-12)


def test_soft_loss_is_not_symmetric(logits):
    student, teacher, _ = logits
    one, other = soft_loss(student, teacher, temperature=1.0), soft_loss(teacher, student, temperature=1.0)
    assert abs(one - other) > 0.1


def test_a_batch_is_the_mean_of_its_examples(logits):
    student, teacher, labels = logits
    choices = {"alpha": 0.3, "temperature": 4.0}
    alone = [total_loss(student[n : n + 1], teacher[n : n + 1], labels[n : n + 1], **choices) for n in range(N)]
    assert total_loss(student, teacher, labels, **choices).item() == pytest.approx(torch.stack(alone).mean().item(), rel=1e-12)


# --- gradients ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("alpha", (0.0, 0.1, 1.0))
def test_the_gradient_is_probabilities_minus_targets_over_n(logits, alpha, temperature):
    student, teacher, labels = logits
    p, q = (special.softmax(z.numpy() / temperature, axis=1) for z in (teacher, student))
    hard = (special.softmax(student.numpy(), axis=1) - np.eye(C)[labels]) / N
    soft = temperature * (q - p) / N  # one of the two T of T^2 is spent by the chain rule
    ours = gradient(lambda z: total_loss(z, teacher, labels, alpha=alpha, temperature=temperature), student)
    np.testing.assert_allclose(ours, alpha * hard + (1 - alpha) * soft, atol=1e-12)


def test_the_gradient_is_what_finite_differences_give(logits):
    student, teacher, labels = logits
    for temperature in TEMPERATURES:
        torch.autograd.gradcheck(
            lambda z, t=temperature: total_loss(z, teacher, labels, alpha=0.3, temperature=t), student.clone().requires_grad_()
        )


def test_no_gradient_reaches_the_teacher(logits):
    student, teacher, labels = logits
    student, teacher = student.clone().requires_grad_(), teacher.clone().requires_grad_()
    total_loss(student, teacher, labels, alpha=0.1, temperature=4.0).backward()
    assert teacher.grad is None and student.grad.abs().sum() > 0


def test_alpha_one_ignores_the_teacher(logits):
    student, teacher, labels = logits
    expected = gradient(lambda z: hard_loss(z, labels), student)
    for others in (teacher, -teacher, 100 * teacher):
        assert torch.equal(gradient(lambda z, t=others: total_loss(z, t, labels, alpha=1.0, temperature=4.0), student), expected)


def test_alpha_zero_ignores_the_labels(logits):
    student, teacher, labels = logits
    one, other = (
        gradient(lambda z, y=y: total_loss(z, teacher, y, alpha=0.0, temperature=4.0), student) for y in (labels, (labels + 1) % C)
    )
    assert torch.equal(one, other)


def test_temperature_squared_keeps_the_gradient_size(logits):
    student, teacher = logits[0] / 3, logits[1] / 5
    sizes = {t: gradient(lambda z, t=t: soft_loss(z, teacher, temperature=t), student).norm().item() for t in (2.0, 8.0, 50.0)}
    assert max(sizes.values()) / min(sizes.values()) < 1.5
    bare = {t: size / t**2 for t, size in sizes.items()}
    assert bare[2.0] / bare[50.0] > 300  # without the factor hardly anything is left


# --- limits ---------------------------------------------------------------------------------------------------------


def test_a_high_temperature_makes_all_classes_equally_likely(logits):
    np.testing.assert_allclose(soften(logits[1], temperature=1e9), 1 / C, atol=1e-7)


def test_a_low_temperature_leaves_only_the_top_class(logits):
    np.testing.assert_allclose(soften(logits[1], temperature=1e-3), np.eye(C)[logits[1].argmax(dim=1)], atol=1e-12)


def test_at_a_high_temperature_the_soft_loss_matches_centred_logits(logits):
    """Hinton et al. 2015, equations 3 and 4: T^2 KL tends to the squared difference of centred logits over 2 C."""
    student, teacher, _ = logits
    centred = [z - z.mean(dim=1, keepdim=True) for z in (student, teacher)]
    limit = ((centred[0] - centred[1]) ** 2).sum(dim=1).mean().item() / (2 * C)
    of_gradient = (centred[0] - centred[1]) / (N * C)
    misses = []
    for temperature in (1e2, 1e3, 1e4):
        misses.append(abs(soft_loss(student, teacher, temperature=temperature).item() / limit - 1))
        off = (gradient(lambda z, t=temperature: soft_loss(z, teacher, temperature=t), student) - of_gradient).abs().max()
        assert off < 30 / temperature
    assert misses[2] < 1e-3 and misses[0] > 5 * misses[1] > 25 * misses[2]  # it comes closer as 1 / T


# --- inputs of every shape ------------------------------------------------------------------------------------------

shapes = st.tuples(st.integers(1, 4), st.integers(2, 5))
extreme = st.one_of(st.floats(-1000, 1000, width=32), st.sampled_from([-1000.0, 0.0, 1000.0]))


@given(st.data(), shapes, st.floats(0.05, 1000), st.floats(0, 1))
def test_losses_are_finite_for_extreme_logits_one_example_and_two_classes(data, shape, temperature, alpha):
    student, teacher = (torch.from_numpy(data.draw(hnp.arrays(np.float32, shape, elements=extreme))) for _ in range(2))
    labels = torch.tensor(data.draw(st.lists(st.integers(0, shape[1] - 1), min_size=shape[0], max_size=shape[0])))
    student.requires_grad_()
    loss = total_loss(student, teacher, labels, alpha=alpha, temperature=temperature)
    loss.backward()
    assert loss.isfinite() and student.grad.isfinite().all()
    soft = soft_loss(student, teacher, temperature=temperature)
    assert soft >= -1e-6 * temperature**2  # a divergence; rounding only


@given(st.data(), shapes, st.floats(0.5, 50))
def test_soft_loss_does_not_change_when_examples_or_classes_change_places(data, shape, temperature):
    student, teacher = (torch.from_numpy(data.draw(hnp.arrays(np.float64, shape, elements=st.floats(-20, 20)))) for _ in range(2))
    rows, columns = (torch.tensor(data.draw(st.permutations(range(size)))) for size in shape)
    moved = soft_loss(student[rows][:, columns], teacher[rows][:, columns], temperature=temperature)
    assert moved.item() == pytest.approx(soft_loss(student, teacher, temperature=temperature).item(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("temperature", (0, -1.0, math.nan, math.inf))
def test_a_temperature_without_meaning_is_refused(logits, refused, temperature):
    with refused(f"temperature {temperature}", "above 0"):
        soft_loss(logits[0], logits[1], temperature=temperature)
    with refused(f"temperature {temperature}"):
        soften(logits[0], temperature=temperature)


def test_every_loss_tells_its_formula_its_shapes_and_its_unit():
    for function in (soften, hard_loss, soft_loss, total_loss):
        told = inspect.getdoc(function)
        assert told.count("$$") == 2 and "(N, C)" in told
        assert "nats" in told or function is soften
