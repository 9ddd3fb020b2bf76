"""The losses, compared with their formulas in numpy and scipy, with limits, and with other libraries."""

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
from torch.func import vmap
from torch.utils._python_dispatch import TorchDispatchMode

from distill_core import losses
from distill_core.losses import (
    angle_relation_loss,
    attention_loss,
    contrastive_loss,
    correlation_loss,
    decoupled_loss,
    distance_relation_loss,
    hard_loss,
    hint_loss,
    jensen_shannon_loss,
    logit_loss,
    mutual_loss,
    reverse_soft_loss,
    similarity_loss,
    smoothing_loss,
    soft_loss,
    soften,
    standardize,
    total_loss,
)

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


def test_hard_loss_is_the_cross_entropy_of_torch(logits):
    student, _, labels = logits
    assert hard_loss(student, labels).item() == pytest.approx(F.cross_entropy(student, labels).item(), rel=1e-12)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_soft_loss_is_temperature_squared_times_the_mean_relative_entropy(logits, temperature):
    student, teacher, _ = logits
    p, q = (special.softmax(z.numpy() / temperature, axis=1) for z in (teacher, student))
    expected = temperature**2 * np.mean([stats.entropy(p[n], q[n]) for n in range(N)])
    assert soft_loss(student, teacher, temperature=temperature).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_soft_loss_is_kl_div_of_torch_averaged_over_examples_not_over_classes(logits, temperature):
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
    soft = temperature * (q - p) / N  # the chain rule cancels one T of T^2
    ours = gradient(lambda z: total_loss(z, teacher, labels, alpha=alpha, temperature=temperature), student)
    np.testing.assert_allclose(ours, alpha * hard + (1 - alpha) * soft, atol=1e-12)


def test_the_gradient_agrees_with_finite_differences(logits):
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
    without_factor = {t: size / t**2 for t, size in sizes.items()}
    assert without_factor[2.0] / without_factor[50.0] > 300  # without the factor the gradient almost vanishes


# --- limits ---------------------------------------------------------------------------------------------------------


def test_a_high_temperature_makes_all_classes_equally_likely(logits):
    np.testing.assert_allclose(soften(logits[1], temperature=1e9), 1 / C, atol=1e-7)


def test_a_low_temperature_moves_all_probability_to_the_top_class(logits):
    np.testing.assert_allclose(soften(logits[1], temperature=1e-3), np.eye(C)[logits[1].argmax(dim=1)], atol=1e-12)


def test_at_a_high_temperature_the_soft_loss_matches_centred_logits(logits):
    """Hinton et al. 2015, equations 3 and 4: T^2 KL tends to the squared difference of centred logits over 2 C."""
    student, teacher, _ = logits
    centred = [z - z.mean(dim=1, keepdim=True) for z in (student, teacher)]
    limit = ((centred[0] - centred[1]) ** 2).sum(dim=1).mean().item() / (2 * C)
    of_gradient = (centred[0] - centred[1]) / (N * C)
    errors = []
    for temperature in (1e2, 1e3, 1e4):
        errors.append(abs(soft_loss(student, teacher, temperature=temperature).item() / limit - 1))
        off = (gradient(lambda z, t=temperature: soft_loss(z, teacher, temperature=t), student) - of_gradient).abs().max()
        assert off < 30 / temperature
    assert errors[2] < 1e-3 and errors[0] > 5 * errors[1] > 25 * errors[2]  # the error falls as 1 / T


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
def test_soft_loss_does_not_depend_on_the_order_of_examples_or_classes(data, shape, temperature):
    student, teacher = (torch.from_numpy(data.draw(hnp.arrays(np.float64, shape, elements=st.floats(-20, 20)))) for _ in range(2))
    rows, columns = (torch.tensor(data.draw(st.permutations(range(size)))) for size in shape)
    moved = soft_loss(student[rows][:, columns], teacher[rows][:, columns], temperature=temperature)
    assert moved.item() == pytest.approx(soft_loss(student, teacher, temperature=temperature).item(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("temperature", (0, -1.0, math.nan, math.inf))
def test_a_temperature_that_is_not_above_zero_is_refused(logits, refused, temperature):
    with refused(f"temperature {temperature}", "above 0"):
        soft_loss(logits[0], logits[1], temperature=temperature)
    with refused(f"temperature {temperature}"):
        soften(logits[0], temperature=temperature)


# --- all other losses, compared with the formulas of their papers in loops ------------------------------------------


def probabilities(logits, temperature):
    """Softmax of the logits of one example, class by class."""
    powers = [(z / temperature).exp() for z in logits]
    return [power / sum(powers) for power in powers]


def divergence(p, q):
    return sum(a * (a / b).log() for a, b in zip(p, q, strict=True))


def pearson(one, other):
    means = [sum(values) / len(values) for values in (one, other)]
    products = sum((a - means[0]) * (b - means[1]) for a, b in zip(one, other, strict=True))
    squares = [sum((v - mean) ** 2 for v in values) for values, mean in zip((one, other), means, strict=True)]
    return products / (squares[0] * squares[1]).sqrt()


def length(vector):
    return sum(v**2 for v in vector).sqrt()


def huber(difference):
    size = difference.abs()
    return size**2 / 2 if size <= 1 else size - 0.5


def written_smoothing(student, labels, smoothing):
    total = 0
    for n, z in enumerate(student):
        for c, p in enumerate(probabilities(z, 1)):
            target = smoothing / len(z) + (1 - smoothing if c == labels[n] else 0)
            total -= target * p.log()
    return total / len(student)


def written_logits(student, teacher):
    return sum((a - b) ** 2 for z, t in zip(student, teacher, strict=True) for a, b in zip(z, t, strict=True)) / (2 * len(student))


def written_standardize(logits):
    rows = []
    for z in logits:
        mean = sum(z) / len(z)
        deviation = (sum((a - mean) ** 2 for a in z) / (len(z) - 1)).sqrt()
        rows.append(torch.stack([(a - mean) / deviation for a in z]))
    return torch.stack(rows)


def written_decoupled(student, teacher, labels, temperature, target_weight, nontarget_weight):
    total = 0
    for z, t, y in zip(student, teacher, labels.tolist(), strict=True):
        q, p = probabilities(z, temperature), probabilities(t, temperature)
        q_others, p_others = (probabilities([v for c, v in enumerate(row) if c != y], temperature) for row in (z, t))
        q_rest, p_rest = (sum(v for c, v in enumerate(row) if c != y) for row in (q, p))  # 1 - p of the label, without rounding
        total += target_weight * divergence([p[y], p_rest], [q[y], q_rest]) + nontarget_weight * divergence(p_others, q_others)
    return temperature**2 * total / len(student)


def written_correlation(student, teacher, temperature, inter_weight, intra_weight):
    q, p = ([probabilities(z, temperature) for z in logits] for logits in (student, teacher))
    rows, columns = len(student), student.shape[1]
    inter = 1 - sum(pearson(q[n], p[n]) for n in range(rows)) / rows
    intra = 1 - sum(pearson([row[c] for row in q], [row[c] for row in p]) for c in range(columns)) / columns
    return temperature**2 * (inter_weight * inter + intra_weight * intra)


def written_hint(student, teacher):
    ours, theirs = student.reshape(-1), teacher.reshape(-1)
    return sum((a - b) ** 2 for a, b in zip(ours, theirs, strict=True)) / len(ours)


def written_map(features):
    """The attention map of one example's features `(D, H, W)`, pixel by pixel, of norm 1."""
    channels, height, width = features.shape
    places = [sum(features[d, h, w] ** 2 for d in range(channels)) / channels for h in range(height) for w in range(width)]
    return [a / length(places) for a in places]


def written_attention(student, teacher):
    maps = [(written_map(s), written_map(t)) for s, t in zip(student, teacher, strict=True)]
    squares = [(a - b) ** 2 for ours, theirs in maps for a, b in zip(ours, theirs, strict=True)]
    return sum(squares) / len(squares)


def written_similarity(student, teacher):
    rows = len(student)
    grams = []
    for features in (student.reshape(rows, -1), teacher.reshape(rows, -1)):
        gram = [[sum(a * b for a, b in zip(features[i], features[j], strict=True)) for j in range(rows)] for i in range(rows)]
        grams.append([[g / length(row) for g in row] for row in gram])
    return sum((grams[0][i][j] - grams[1][i][j]) ** 2 for i in range(rows) for j in range(rows)) / rows**2


def written_distances(embeddings):
    rows, zero = len(embeddings), embeddings.new_zeros(())
    same = [[torch.equal(embeddings[i], embeddings[j]) for j in range(rows)] for i in range(rows)]
    d = [[zero if same[i][j] else length(embeddings[i] - embeddings[j]) for j in range(rows)] for i in range(rows)]
    apart = [d[i][j] for i in range(rows) for j in range(rows) if d[i][j] > 0]
    return [[d[i][j] / (sum(apart) / len(apart)) for j in range(rows)] for i in range(rows)]


def written_distance_relation(student, teacher):
    rows = len(student)
    ours, theirs = written_distances(student), written_distances(teacher)
    return sum(huber(ours[i][j] - theirs[i][j]) for i in range(rows) for j in range(rows)) / rows**2


def written_cosine(embeddings, i, j, k):
    one, other = embeddings[j] - embeddings[i], embeddings[k] - embeddings[i]
    if not one.any() or not other.any():
        return embeddings.new_zeros(())
    return sum(a * b for a, b in zip(one, other, strict=True)) / (length(one) * length(other))


def written_angle_relation(student, teacher):
    rows = range(len(student))
    differences = [written_cosine(student, i, j, k) - written_cosine(teacher, i, j, k) for i in rows for j in rows for k in rows]
    return sum(huber(difference) for difference in differences) / len(student) ** 3


def written_mutual(logits, peers, labels):
    total = 0
    for n, z in enumerate(logits):
        q = probabilities(z, 1)
        total -= q[labels[n]].log()
        total += sum(divergence(probabilities(peer[n], 1), q) for peer in peers) / len(peers)
    return total / len(logits)


def some(*shape, size=1.0, seed=0):
    return torch.as_tensor(size * np.random.default_rng([seed, *shape]).normal(size=shape))


def agree(ours, written, student):
    """Values and gradients of two computations agree to nine digits."""
    weights = some(*ours(student).shape, seed=9)  # a table is weighted into one number
    values, gradients = [], []
    for function in (ours, written):
        values.append(function(student).detach())
        gradients.append(gradient(lambda z, f=function: (weights * f(z)).sum(), student))
    for one, other in (values, gradients):
        assert other.abs().max() > 1e-6, "nothing is compared"
        assert (one - other).abs().max() <= 1e-9 * other.abs().max()


LABELS = torch.tensor([0, 3, 4, 1, 1, 2, 0])
STUDENT, TEACHER, PEERS = some(N, C, size=2, seed=1), some(N, C, size=3, seed=2), some(3, N, C, size=3, seed=3)
NARROW, WIDE, MAPS, MORE_MAPS = some(6, 3, seed=4), some(6, 5, seed=5), some(4, 2, 3, 3, seed=6), some(4, 3, 3, 3, seed=7)
TWICE, ALSO_TWICE = NARROW[[0, 1, 2, 3, 1, 4]], WIDE[[0, 0, 2, 3, 4, 5]]  # an example that comes twice


@pytest.mark.parametrize("smoothing", (0.0, 0.1, 1.0))
def test_smoothing_loss_is_the_formula(smoothing):
    agree(lambda z: smoothing_loss(z, LABELS, smoothing=smoothing), lambda z: written_smoothing(z, LABELS, smoothing), STUDENT)


def test_logit_loss_is_the_formula():
    agree(lambda z: logit_loss(z, TEACHER), lambda z: written_logits(z, TEACHER), STUDENT)


def test_standardize_is_the_formula():
    agree(standardize, written_standardize, STUDENT)


@pytest.mark.parametrize("weights", ((1.0, 8.0), (1.0, 0.0), (0.0, 1.0), (0.3, 2.0)))
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_decoupled_loss_is_the_formula(temperature, weights):
    choices = {"temperature": temperature, "target_weight": weights[0], "nontarget_weight": weights[1]}
    agree(lambda z: decoupled_loss(z, TEACHER, LABELS, **choices), lambda z: written_decoupled(z, TEACHER, LABELS, **choices), STUDENT)


def test_decoupled_loss_has_the_weights_of_the_paper():
    ours = decoupled_loss(STUDENT, TEACHER, LABELS, temperature=4.0)
    assert ours == decoupled_loss(STUDENT, TEACHER, LABELS, temperature=4.0, target_weight=1.0, nontarget_weight=8.0)


@pytest.mark.parametrize("weights", ((1.0, 1.0), (1.0, 0.0), (0.0, 1.0), (0.3, 2.0)))
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_correlation_loss_is_the_formula(temperature, weights):
    choices = {"temperature": temperature, "inter_weight": weights[0], "intra_weight": weights[1]}
    agree(lambda z: correlation_loss(z, TEACHER, **choices), lambda z: written_correlation(z, TEACHER, **choices), STUDENT)


def test_correlation_loss_has_equal_weights_and_temperature_one_by_default():
    ours = correlation_loss(STUDENT, TEACHER)
    assert ours == correlation_loss(STUDENT, TEACHER, temperature=1.0, inter_weight=1.0, intra_weight=1.0)


def test_hint_loss_is_the_formula():
    agree(lambda f: hint_loss(f, some(4, 2, 3, 3, seed=8)), lambda f: written_hint(f, some(4, 2, 3, 3, seed=8)), MAPS)
    assert hint_loss(MAPS, MAPS + 3).item() == pytest.approx(9, rel=1e-12)


def test_attention_loss_is_the_formula():
    agree(lambda f: attention_loss(f, MORE_MAPS), lambda f: written_attention(f, MORE_MAPS), MAPS)


def test_attention_loss_pools_the_features_of_the_larger_map_before_the_squares():
    larger = some(4, 3, 6, 9, seed=8)
    blocks = torch.stack([larger[..., h : h + 2, w : w + 3].mean(dim=(-1, -2)) for h in (0, 2, 4) for w in (0, 3, 6)], dim=-1)
    small = blocks.reshape(4, 3, 3, 3)
    agree(lambda f: attention_loss(f, larger), lambda f: written_attention(f, small), MAPS)
    assert attention_loss(larger, MAPS).item() == pytest.approx(written_attention(small, MAPS).item(), rel=1e-9)


def test_similarity_loss_is_the_formula():
    agree(lambda f: similarity_loss(f, MORE_MAPS), lambda f: written_similarity(f, MORE_MAPS), MAPS)
    agree(lambda f: similarity_loss(f, WIDE), lambda f: written_similarity(f, WIDE), NARROW)


@pytest.mark.parametrize(("student", "teacher"), [(NARROW, WIDE), (TWICE, WIDE), (NARROW, ALSO_TWICE), (100 * TWICE, ALSO_TWICE)])
def test_relation_losses_are_the_formulas_also_for_equal_examples(student, teacher):
    agree(lambda x: distance_relation_loss(x, teacher), lambda x: written_distance_relation(x, teacher), student)
    agree(lambda x: angle_relation_loss(x, teacher), lambda x: written_angle_relation(x, teacher), student)


def test_relation_losses_grow_linearly_for_large_differences():
    line = torch.tensor([[0.0], [0.0], [0.0], [0.0], [0.0], [1.0]], dtype=torch.float64)  # of 36 distances ten, all of them their mean
    far = torch.tensor([[0.0], [1e-3], [2e-3], [3e-3], [4e-3], [9.0]], dtype=torch.float64)  # relative distances near 3
    agree(lambda x: distance_relation_loss(x, line), lambda x: written_distance_relation(x, line), far)
    back = torch.tensor([[0.0, 0.0], [1.0, 0.1], [-1.0, 0.0]], dtype=torch.float64)
    ahead = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.1]], dtype=torch.float64)  # cosine 1 in place of -1
    agree(lambda x: angle_relation_loss(x, ahead), lambda x: written_angle_relation(x, ahead), back)


@pytest.mark.parametrize("peers", (1, 3))
def test_mutual_loss_is_the_formula(peers):
    agree(lambda z: mutual_loss(z, PEERS[:peers], LABELS), lambda z: written_mutual(z, PEERS[:peers], LABELS), STUDENT)


# --- special cases that equal simpler losses -----------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", (0.0, 0.1, 0.7, 1.0))
def test_smoothing_loss_is_the_cross_entropy_of_torch_with_label_smoothing(smoothing):
    expected = F.cross_entropy(STUDENT, LABELS, label_smoothing=smoothing)
    assert smoothing_loss(STUDENT, LABELS, smoothing=smoothing).item() == pytest.approx(expected.item(), rel=1e-12)


def test_smoothing_loss_of_zero_smoothing_is_the_hard_loss():
    assert smoothing_loss(STUDENT, LABELS, smoothing=0.0) == hard_loss(STUDENT, LABELS)


def test_smoothed_labels_are_the_soft_targets_of_a_teacher_with_equal_wrong_classes():
    targets = 0.9 * F.one_hot(LABELS, C).double() + 0.1 / C
    soft = gradient(lambda z: soft_loss(z, targets.log(), temperature=1.0), STUDENT)
    torch.testing.assert_close(gradient(lambda z: smoothing_loss(z, LABELS, smoothing=0.1), STUDENT), soft, rtol=1e-12, atol=1e-14)


def test_the_soft_loss_at_a_high_temperature_is_the_logit_loss_of_centred_logits_over_c():
    student, teacher = (z - z.mean(dim=1, keepdim=True) for z in (STUDENT, TEACHER))
    soft, limit = soft_loss(student, teacher, temperature=1e5), logit_loss(student, teacher) / C
    assert soft.item() == pytest.approx(limit.item(), rel=1e-3)
    ours, theirs = (gradient(f, student) for f in (lambda z: soft_loss(z, teacher, temperature=1e5), lambda z: logit_loss(z, teacher) / C))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3 * theirs.abs().max().item())


def test_the_gradient_of_the_logit_loss_is_the_difference_over_n():
    torch.testing.assert_close(gradient(lambda z: logit_loss(z, TEACHER), STUDENT), (STUDENT - TEACHER) / N, rtol=1e-12, atol=0)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_soft_loss_is_the_decoupled_loss_with_the_weights_of_its_docstring(temperature):
    p = soften(TEACHER, temperature=temperature)
    for n in range(N):
        student, teacher, label = STUDENT[n : n + 1], TEACHER[n : n + 1], LABELS[n : n + 1]
        weight = 1 - p[n, label].item()
        ours = decoupled_loss(student, teacher, label, temperature=temperature, target_weight=1.0, nontarget_weight=weight)
        assert ours.item() == pytest.approx(soft_loss(student, teacher, temperature=temperature).item(), rel=1e-9)


def test_the_nontarget_part_ignores_the_label_and_the_target_part_the_order_of_the_other_classes():
    moved = STUDENT.scatter_add(1, LABELS.unsqueeze(1), some(N, 1, seed=8))
    parts = {"temperature": 4.0, "target_weight": 0.0, "nontarget_weight": 1.0}
    assert decoupled_loss(moved, TEACHER, LABELS, **parts).item() == pytest.approx(
        decoupled_loss(STUDENT, TEACHER, LABELS, **parts).item(), rel=1e-9
    )
    parts = {"temperature": 4.0, "target_weight": 1.0, "nontarget_weight": 0.0}
    swapped = STUDENT.clone()
    for n, y in enumerate(LABELS.tolist()):
        others = [c for c in range(C) if c != y]
        swapped[n, others] = STUDENT[n, others[::-1]]
    assert decoupled_loss(swapped, TEACHER, LABELS, **parts).item() == pytest.approx(
        decoupled_loss(STUDENT, TEACHER, LABELS, **parts).item(), rel=1e-9
    )


def test_a_peer_is_a_teacher_at_temperature_one_and_peers_are_averaged():
    alone = [mutual_loss(STUDENT, PEERS[k : k + 1], LABELS) for k in range(3)]
    assert alone[0].item() == pytest.approx((hard_loss(STUDENT, LABELS) + soft_loss(STUDENT, PEERS[0], temperature=1.0)).item(), rel=1e-12)
    assert mutual_loss(STUDENT, PEERS, LABELS).item() == pytest.approx(torch.stack(alone).mean().item(), rel=1e-12)


def test_mutual_loss_with_equal_peers_is_the_hard_loss():
    same = STUDENT.expand(3, N, C)
    assert mutual_loss(STUDENT, same, LABELS).item() == hard_loss(STUDENT, LABELS).item()
    ours, hard = (gradient(f, STUDENT) for f in (lambda z: mutual_loss(z, same, LABELS), lambda z: hard_loss(z, LABELS)))
    torch.testing.assert_close(ours, hard, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_reverse_soft_loss_is_the_soft_loss_with_student_and_teacher_exchanged(temperature):
    expected = soft_loss(TEACHER, STUDENT, temperature=temperature).item()
    assert reverse_soft_loss(STUDENT, TEACHER, temperature=temperature).item() == pytest.approx(expected, rel=1e-12)
    p, q = (special.softmax(z.numpy() / temperature, axis=1) for z in (STUDENT, TEACHER))
    assert expected == pytest.approx(temperature**2 * special.rel_entr(p, q).sum(axis=1).mean(), rel=1e-9)


@pytest.mark.parametrize("beta", (0.1, 0.5, 0.9))
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_jensen_shannon_loss_is_the_formula(temperature, beta):
    student, teacher = (special.softmax(z.numpy() / temperature, axis=1) for z in (STUDENT, TEACHER))
    mixture = beta * teacher + (1 - beta) * student
    parts = beta * special.rel_entr(teacher, mixture) + (1 - beta) * special.rel_entr(student, mixture)
    ours = jensen_shannon_loss(STUDENT, TEACHER, temperature=temperature, beta=beta)
    assert ours.item() == pytest.approx(temperature**2 * parts.sum(axis=1).mean(), rel=1e-9)
    assert ours / temperature**2 <= math.log(2)


def test_the_jensen_shannon_loss_over_beta_is_the_soft_loss_and_over_one_minus_beta_its_reverse_in_the_limits():
    for temperature in (1.0, 4.0, 20.0):
        near = {"temperature": temperature, "beta": 1e-9}
        forward, reverse = (loss(STUDENT, TEACHER, temperature=temperature).item() for loss in (soft_loss, reverse_soft_loss))
        assert jensen_shannon_loss(STUDENT, TEACHER, **near).item() / 1e-9 == pytest.approx(forward, rel=1e-4)
        assert jensen_shannon_loss(STUDENT, TEACHER, **near | {"beta": 1 - 1e-9}).item() / 1e-9 == pytest.approx(reverse, rel=1e-4)
        assert temperature > 4 or abs(forward - reverse) > 1e-3 * forward  # two limits, not one


@pytest.mark.parametrize("beta", (0.2, 0.5))
def test_at_a_high_temperature_all_divergences_have_the_gradient_of_the_soft_loss_up_to_a_factor(beta):
    hot = {"temperature": 1e4}
    expected = gradient(lambda z: soft_loss(z, TEACHER, **hot), STUDENT)
    torch.testing.assert_close(gradient(lambda z: reverse_soft_loss(z, TEACHER, **hot), STUDENT), expected, rtol=0.01, atol=1e-5)
    between = gradient(lambda z: jensen_shannon_loss(z, TEACHER, beta=beta, **hot), STUDENT)
    torch.testing.assert_close(between, beta * (1 - beta) * expected, rtol=0.01, atol=1e-5)


@pytest.mark.parametrize("beta", (0.0, 1.0, -0.1, math.nan))
def test_a_beta_that_gives_one_side_no_weight_is_refused(refused, beta):
    with refused(f"beta {beta}", "above 0 and below 1"):
        jensen_shannon_loss(STUDENT, TEACHER, temperature=4.0, beta=beta)


EMBEDDED = some(N, 4, seed=11), some(N, 4, seed=12)


def test_the_contrastive_loss_is_the_formula_and_has_no_negative_of_the_same_label():
    student, teacher = (x / x.norm(dim=1, keepdim=True) for x in EMBEDDED)
    expected = 0.0
    for n in range(N):
        negatives = [m for m in range(N) if LABELS[m] != LABELS[n]]
        assert len(negatives) < N - 1 or LABELS.eq(LABELS[n]).sum() == 1
        s = (student @ teacher.T / 0.5).exp()
        for others in (s[n, negatives], s[negatives, n]):
            expected -= (s[n, n] / (s[n, n] + others.sum())).log().item() / N
    assert contrastive_loss(*EMBEDDED, LABELS, temperature=0.5).item() == pytest.approx(expected, rel=1e-12)


def test_the_contrastive_loss_is_small_only_where_each_image_is_found_among_the_others():
    apart = torch.eye(5, dtype=torch.float64)[LABELS]
    assert contrastive_loss(apart, apart, LABELS) < 1e-5 < 1 < contrastive_loss(apart, apart.roll(1, dims=0), LABELS)
    assert finite(lambda x: contrastive_loss(x, EMBEDDED[1], torch.zeros_like(LABELS)), EMBEDDED[0]) == 0  # no negatives
    assert finite(lambda x: contrastive_loss(x, EMBEDDED[1][:1], LABELS[:1]), EMBEDDED[0][:1]) == 0


# --- all losses that compare a student with a teacher ---------------------------------------------------------------

COMPARE = {  # student's tensor, teacher's tensor, and the loss
    "logit": (STUDENT, TEACHER, logit_loss),
    "standardized": (STUDENT, TEACHER, lambda s, t: soft_loss(standardize(s), standardize(t), temperature=2.0)),
    "reverse": (STUDENT, TEACHER, lambda s, t: reverse_soft_loss(s, t, temperature=4.0)),
    "Jensen-Shannon": (STUDENT, TEACHER, lambda s, t: jensen_shannon_loss(s, t, temperature=4.0, beta=0.3)),
    "decoupled": (STUDENT, TEACHER, lambda s, t: decoupled_loss(s, t, LABELS, temperature=4.0)),
    "correlation": (STUDENT, TEACHER, lambda s, t: correlation_loss(s, t, temperature=4.0)),
    "hint": (MAPS, some(4, 2, 3, 3, seed=8), hint_loss),
    "attention": (MAPS, some(4, 3, 6, 6, seed=8), attention_loss),
    "similarity": (MAPS, MORE_MAPS, similarity_loss),
    "distance relation": (NARROW, WIDE, distance_relation_loss),
    "angle relation": (NARROW, WIDE, angle_relation_loss),
}
compared = pytest.mark.parametrize(("student", "teacher", "loss"), COMPARE.values(), ids=COMPARE)


@compared
def test_a_loss_is_zero_when_student_equals_teacher(student, teacher, loss):
    assert loss(student, teacher) > 1e-3
    assert loss(teacher, teacher).item() == pytest.approx(0, abs=1e-14)
    assert gradient(lambda s: loss(s, teacher), teacher).abs().max() < 1e-14


@compared
def test_no_gradient_of_any_loss_reaches_the_teacher(student, teacher, loss):
    student, teacher = student.clone().requires_grad_(), teacher.clone().requires_grad_()
    loss(student, teacher).backward()
    assert teacher.grad is None and student.grad.abs().sum() > 0


def test_no_gradient_reaches_the_peers():
    student, peers = STUDENT.clone().requires_grad_(), PEERS.clone().requires_grad_()
    mutual_loss(student, peers, LABELS).backward()
    assert peers.grad is None and student.grad.abs().sum() > 0


@pytest.mark.parametrize("name", sorted(set(COMPARE) - {"decoupled"}))
def test_a_loss_does_not_depend_on_the_order_of_the_examples(name):
    student, teacher, loss = COMPARE[name]
    order = torch.randperm(len(student), generator=torch.Generator().manual_seed(0))
    assert loss(student[order], teacher[order]).item() == pytest.approx(loss(student, teacher).item(), rel=1e-12)
    moved = gradient(lambda s: loss(s, teacher[order]), student[order])[order.argsort()]
    torch.testing.assert_close(moved, gradient(lambda s: loss(s, teacher), student), rtol=1e-9, atol=1e-14)


def test_losses_with_labels_do_not_depend_on_the_order_of_the_examples():
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    student, teacher, labels, peers = STUDENT[order], TEACHER[order], LABELS[order], PEERS[:, order]
    pairs = [
        (decoupled_loss(student, teacher, labels, temperature=4.0), decoupled_loss(STUDENT, TEACHER, LABELS, temperature=4.0)),
        (smoothing_loss(student, labels, smoothing=0.1), smoothing_loss(STUDENT, LABELS, smoothing=0.1)),
        (mutual_loss(student, peers, labels), mutual_loss(STUDENT, PEERS, LABELS)),
    ]
    for moved, before in pairs:
        assert moved.item() == pytest.approx(before.item(), rel=1e-12)


BATCHED = {
    **{name: (student, lambda s, t, loss=loss, teacher=teacher: loss(s, teacher)) for name, (student, teacher, loss) in COMPARE.items()},
    "decoupled, a temperature for each": (STUDENT, lambda s, t: decoupled_loss(s, TEACHER, LABELS, temperature=t, nontarget_weight=t)),
    "correlation, a temperature for each": (STUDENT, lambda s, t: correlation_loss(s, TEACHER, temperature=t, intra_weight=t)),
    "smoothing, a value for each": (STUDENT, lambda s, t: smoothing_loss(s, LABELS, smoothing=t / 10)),
    "mutual": (STUDENT, lambda s, t: mutual_loss(s, PEERS, LABELS)),
    "Jensen-Shannon, a beta for each": (STUDENT, lambda s, t: jensen_shannon_loss(s, TEACHER, temperature=t, beta=t / 10)),
    "contrastive": (EMBEDDED[0], lambda s, t: contrastive_loss(s, EMBEDDED[1], LABELS)),
}


@pytest.mark.parametrize(("student", "loss"), BATCHED.values(), ids=BATCHED)
def test_losses_of_many_students_under_vmap_are_those_of_each_student_alone(student, loss):
    students = torch.stack([student, 0.5 * student, -student, torch.zeros_like(student)]).requires_grad_()
    temperatures = torch.tensor([0.5, 1.0, 4.0, 8.0], dtype=torch.float64)
    together = vmap(loss)(students, temperatures)
    alone = torch.stack([loss(s, t) for s, t in zip(students, temperatures, strict=True)])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-15)
    of_together, of_alone = (torch.autograd.grad(values.sum(), students)[0] for values in (together, alone))
    assert of_alone.isfinite().all()
    torch.testing.assert_close(of_together, of_alone, rtol=1e-9, atol=1e-14)


def test_mutual_losses_of_all_networks_can_be_batched():
    everyone = PEERS
    peers = torch.stack([everyone[[k for k in range(3) if k != network]] for network in range(3)])  # (K, K - 1, N, C)
    together = vmap(lambda z, p: mutual_loss(z, p, LABELS))(everyone, peers)
    alone = torch.stack([mutual_loss(everyone[k], peers[k], LABELS) for k in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=0)


# --- invariances ----------------------------------------------------------------------------------------------------

sizes = st.floats(0.01, 100)
moves = st.floats(-100, 100)


@given(sizes, moves)
def test_standardize_removes_offset_and_scale(size, move):
    torch.testing.assert_close(standardize(size * STUDENT + move), standardize(STUDENT), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(standardize(-STUDENT), -standardize(STUDENT), rtol=1e-12, atol=1e-12)


def test_standardized_logits_have_mean_zero_and_deviation_one():
    rows = standardize(STUDENT)
    np.testing.assert_allclose(rows.mean(dim=1), 0, atol=1e-12)
    np.testing.assert_allclose(rows.numpy().std(axis=1, ddof=1), 1, rtol=1e-12)
    torch.testing.assert_close(standardize(1e-10 * STUDENT), rows, rtol=1e-9, atol=1e-12)  # small differences are not equal logits


@given(st.floats(0.05, 1), st.floats(-10, 10))
def test_correlation_loss_ignores_offset_and_scale_of_the_probabilities(share, move):
    p = soften(TEACHER, temperature=1.0)
    unsure = (share * p + (1 - share) / C).log() + move  # lower confidence, and another constant in the logits
    assert correlation_loss(unsure, TEACHER).item() == pytest.approx(0, abs=1e-12)
    assert correlation_loss(unsure, STUDENT).item() == pytest.approx(correlation_loss(TEACHER, STUDENT).item(), rel=1e-9)


def test_correlation_loss_is_largest_for_the_opposite_order():
    one = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]], dtype=torch.float64)
    assert correlation_loss(one.flip(1), one).item() == pytest.approx(4, rel=1e-12)  # 2 for the rows, 2 for the columns
    assert correlation_loss(one.flip(1), one, intra_weight=0.0, temperature=3.0).item() == pytest.approx(18, rel=1e-12)


@given(sizes, st.integers(1, 4))
def test_attention_loss_ignores_the_number_order_sign_and_scale_of_channels(size, copies):
    other = -size * MAPS.repeat(1, copies, 1, 1).flip(1)
    assert attention_loss(other, MAPS).item() == pytest.approx(0, abs=1e-14)
    assert attention_loss(other, MORE_MAPS).item() == pytest.approx(attention_loss(MAPS, MORE_MAPS).item(), rel=1e-9)


def test_attention_loss_is_largest_for_maps_without_overlap():
    left, right = torch.zeros(2, 1, 3, 3), torch.zeros(2, 1, 3, 3)
    left[..., 0], right[..., 2] = 5, 7
    assert attention_loss(left, right).item() == pytest.approx(2 / 9, rel=1e-6)


def rotated(points, width):
    """The same points in a space of `width` dimensions, rotated."""
    q, _ = torch.linalg.qr(some(width, width, seed=11))
    return F.pad(points, (0, width - points.shape[1])) @ q


@given(sizes, moves, st.integers(3, 8))
def test_relation_losses_ignore_translation_rotation_and_scale(size, move, width):
    other = size * rotated(NARROW, width) + move
    for loss in (distance_relation_loss, angle_relation_loss):
        assert loss(other, NARROW).item() == pytest.approx(0, abs=1e-12)
        assert loss(other, WIDE).item() == pytest.approx(loss(NARROW, WIDE).item(), rel=1e-6)


@given(sizes, st.integers(3, 8), st.integers(1, 3))
def test_similarity_loss_ignores_rotation_scale_and_copies_of_features(size, width, copies):
    other = -size * rotated(NARROW, width).repeat(1, copies)
    assert similarity_loss(other, NARROW).item() == pytest.approx(0, abs=1e-12)
    assert similarity_loss(other, WIDE).item() == pytest.approx(similarity_loss(NARROW, WIDE).item(), rel=1e-9)
    assert similarity_loss(other + 1, NARROW) > 1e-9  # but not translation


# --- extreme inputs -------------------------------------------------------------------------------------------------


def finite(loss, student):
    """The value of the loss; its value and gradient are finite."""
    student = student.clone().requires_grad_()
    value = loss(student)
    (derivative,) = torch.autograd.grad(value.sum(), student)
    assert value.isfinite().all() and derivative.isfinite().all()
    return value.detach()


@given(st.data(), shapes, st.floats(0.05, 1000), st.floats(0, 1))
def test_other_losses_are_finite_for_extreme_logits_one_example_and_two_classes(data, shape, temperature, smoothing):
    student, teacher, peer = (torch.from_numpy(data.draw(hnp.arrays(np.float32, shape, elements=extreme))) for _ in range(3))
    labels = torch.tensor(data.draw(st.lists(st.integers(0, shape[1] - 1), min_size=shape[0], max_size=shape[0])))
    finite(lambda z: smoothing_loss(z, labels, smoothing=smoothing), student)
    finite(standardize, student)
    assert finite(lambda z: logit_loss(z, teacher), student) >= 0
    assert finite(lambda z: soft_loss(standardize(z), standardize(teacher), temperature=temperature), student) >= -1e-6 * temperature**2
    assert finite(lambda z: mutual_loss(z, torch.stack([teacher, peer]), labels), student) >= -1e-6
    assert -1e-5 <= finite(lambda z: correlation_loss(z, teacher, temperature=temperature), student) / temperature**2 <= 4 + 1e-5
    if shape[1] > 2:
        assert finite(lambda z: decoupled_loss(z, teacher, labels, temperature=temperature), student) >= -1e-5 * temperature**2


@given(st.data(), st.integers(1, 4), st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)))
def test_losses_of_features_are_finite_from_zero_to_a_thousand(data, examples, shape):
    large_and_small = st.one_of(extreme, st.sampled_from([1e-3, 1e-6, 1e-12, 1e-19, 1e-38]).map(np.float32))
    student = torch.from_numpy(data.draw(hnp.arrays(np.float32, (examples, *shape), elements=large_and_small)))
    same, other = (
        torch.from_numpy(data.draw(hnp.arrays(np.float32, (examples, *form), elements=large_and_small))) for form in (shape, (2, 2, 3))
    )
    assert finite(lambda f: hint_loss(f, same), student) >= 0
    assert 0 <= finite(lambda f: attention_loss(f, other), student) <= 2 + 1e-5
    assert 0 <= finite(lambda f: similarity_loss(f, other), student) <= 4 / examples + 1e-5
    for loss in (distance_relation_loss, angle_relation_loss):
        value = finite(lambda x, loss=loss: loss(x, other.flatten(1)), student.flatten(1))
        assert value >= 0 and (examples > 1 or value == 0)


@given(st.floats(-1000, 1000, width=32), st.integers(2, 12))
def test_equal_logits_are_standardized_to_zeros_with_zero_gradient(value, classes):
    logits = torch.full((2, classes), value, dtype=torch.float32, requires_grad=True)
    rows = standardize(logits)
    (derivative,) = torch.autograd.grad((rows * some(2, classes).float()).sum(), logits)
    assert not rows.any() and not derivative.any()


@pytest.mark.parametrize("size", (1e-11, 1e-13, 1e-19, 1e-20, 1e-22, 1e-30, 1e-40))
def test_gradients_are_finite_for_differences_whose_squares_underflow(size):
    tiny = size * torch.tensor([[0.0, 1.0, -1.0], [0.0, 2.0, 1.0], [1.0, 0.0, 1.0]])
    weights = some(3, 3).float()
    finite(lambda z: weights * standardize(z), tiny)
    for loss in (distance_relation_loss, angle_relation_loss, similarity_loss):
        finite(lambda x, loss=loss: loss(x, weights), tiny)
    finite(lambda f: attention_loss(f, weights.reshape(1, 1, 3, 3)), tiny.reshape(1, 1, 3, 3))


def test_the_correlation_with_equal_probabilities_is_zero():
    equal = torch.full((N, C), 0.1, dtype=torch.float64)
    assert finite(lambda z: correlation_loss(z, TEACHER), equal).item() == 2
    assert finite(lambda z: correlation_loss(z, equal), TEACHER).item() == 2
    one = finite(lambda z: correlation_loss(z, TEACHER[:1]), STUDENT[:1])  # a column of one value has no correlation
    assert one.item() == pytest.approx(correlation_loss(STUDENT[:1], TEACHER[:1], intra_weight=0.0).item() + 1, rel=1e-12)


@pytest.mark.parametrize("loss", (distance_relation_loss, angle_relation_loss))
def test_relation_losses_of_fewer_than_three_examples_are_zero(loss):
    for examples in (1, 2):
        assert finite(lambda x, n=examples: loss(x, WIDE[:n]), NARROW[:examples]).item() == pytest.approx(0, abs=1e-15)
        assert gradient(lambda x, n=examples: loss(x, WIDE[:n]), NARROW[:examples]).abs().max() < 1e-15
    assert loss(NARROW[:3], WIDE[:3]) > 1e-6


@pytest.mark.parametrize("loss", (distance_relation_loss, angle_relation_loss))
@pytest.mark.parametrize(("dtype", "tolerance"), ((torch.float64, 1e-10), (torch.float32, 1e-6)))
def test_relation_losses_have_the_values_of_explicit_differences(loss, dtype, tolerance):
    """Also for embeddings far from 0, whose inner products cancel, and for equal and nearly equal examples."""
    student, teacher = some(12, 20, seed=1) + 30, 5 * some(12, 40, seed=2)
    student[1], student[2], teacher[3] = student[0], student[0] + 1e-3, teacher[4]

    def relation(x):
        differences = x.unsqueeze(-3) - x.unsqueeze(-2)  # (N, N, D)
        distances = differences.norm(dim=-1)
        if loss is distance_relation_loss:
            return distances / distances[distances > 0].mean()
        unit = differences / distances.masked_fill(distances == 0, math.inf).unsqueeze(-1)
        return unit @ unit.mT

    student, teacher = student.to(dtype), teacher.to(dtype)
    expected = F.huber_loss(relation(student.double()), relation(teacher.double()))
    assert finite(lambda x: loss(x, teacher), student).item() == pytest.approx(expected.item(), abs=tolerance)


@pytest.mark.parametrize("loss", (distance_relation_loss, angle_relation_loss))
def test_relation_losses_hold_no_tensor_of_all_pairs_and_all_features(loss):
    """(N, N, D) is 6 GB for ten seeds, batches of 256 and 1,200 features."""
    n, width, students = 10, 500, 3
    largest = 0

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            for tensor in result if isinstance(result, tuple | list) else [result]:
                if isinstance(tensor, torch.Tensor):
                    largest = max(largest, tensor.numel())
            return result

    student = some(students, n, width).requires_grad_()
    with Sizes():
        vmap(loss, in_dims=(0, None))(student, some(n, 2 * width)).sum().backward()
    assert 0 < largest <= students * max(2 * n * width, n**3) < students * n * n * width


@pytest.mark.parametrize("loss", (distance_relation_loss, angle_relation_loss))
def test_gradients_of_relation_losses_under_vmap_are_finite_for_equal_examples_and_agree_with_finite_differences(loss):
    students = torch.stack([NARROW, 2 * NARROW.flip(0)])
    assert torch.autograd.gradcheck(lambda x: vmap(loss, in_dims=(0, None))(x, WIDE), students.clone().requires_grad_())
    students[:, 1] = students[:, 0]
    assert vmap(torch.func.grad(loss), in_dims=(0, None))(students, WIDE).isfinite().all()


@pytest.mark.parametrize("loss", (distance_relation_loss, angle_relation_loss, similarity_loss))
def test_relation_losses_of_equal_embeddings_are_finite(loss):
    assert finite(lambda x: loss(x, WIDE), torch.zeros(6, 3, dtype=torch.float64)) > 0
    assert finite(lambda x: loss(x, WIDE), torch.full((6, 3), 0.1, dtype=torch.float64)) > 0
    assert finite(lambda x: loss(x, torch.zeros_like(WIDE)), NARROW) > 0


def test_an_attention_map_of_zeros_stays_zero():
    assert finite(lambda f: attention_loss(f, MORE_MAPS), torch.zeros_like(MAPS)).item() == pytest.approx(1 / 9, rel=1e-12)


@pytest.mark.parametrize("smoothing", (-0.1, 1.5, math.nan))
def test_a_smoothing_outside_zero_to_one_is_refused(refused, smoothing):
    with refused(f"smoothing {smoothing}", "from 0 to 1"):
        smoothing_loss(STUDENT, LABELS, smoothing=smoothing)


def test_two_classes_cannot_be_decoupled(refused):
    with refused("2 classes", "at least 3", "soft_loss"):
        decoupled_loss(STUDENT[:, :2], TEACHER[:, :2], LABELS % 2, temperature=4.0)


def test_a_hint_of_another_shape_is_refused(refused):
    with refused((4, 2, 3, 3), (4, 3, 3, 3), "regressor"):
        hint_loss(MAPS, MORE_MAPS)


def test_features_that_are_not_maps_have_no_attention_loss(refused):
    with refused((6, 3), "(N, D, H, W)"):
        attention_loss(NARROW, MAPS)
    with refused((6, 5), "(N, D, H, W)"):
        attention_loss(MAPS, WIDE)


def test_a_network_without_peers_is_refused(refused):
    with refused("without peers", "at least one"):
        mutual_loss(STUDENT, PEERS[:0], LABELS)


@pytest.mark.parametrize("temperature", (0, -1.0, math.nan, math.inf))
def test_other_losses_refuse_a_temperature_that_is_not_above_zero(refused, temperature):
    with refused(f"temperature {temperature}", "above 0"):
        decoupled_loss(STUDENT, TEACHER, LABELS, temperature=temperature)
    with refused(f"temperature {temperature}", "above 0"):
        correlation_loss(STUDENT, TEACHER, temperature=temperature)


def test_the_cosine_loss_is_that_of_its_formula_and_sends_no_gradient_to_the_teacher():
    student, teacher = (torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) for seed in (0, 1))
    rows, others = student.view(12, 5).numpy(), teacher.view(12, 5).numpy()
    cosines = [a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) for a, b in zip(rows, others, strict=True)]
    assert losses.cosine_loss(student, teacher).item() == pytest.approx(1 - np.mean(cosines), rel=1e-12)
    assert losses.cosine_loss(student, 3 * student).item() == pytest.approx(0, abs=1e-12)
    assert losses.cosine_loss(student, -student).item() == pytest.approx(2)
    teacher.requires_grad_()
    losses.cosine_loss(student.clone().requires_grad_(), teacher).backward()
    assert teacher.grad is None


def test_every_loss_documents_its_formula_its_shapes_and_its_unit():
    functions = {name: f for name, f in inspect.getmembers(losses, inspect.isfunction) if f.__module__ == losses.__name__}
    others = {"mixed_loss", "bits_per_character"}  # a mixture of two losses, and a loss in another unit
    public = {name: f for name, f in functions.items() if not name.startswith("_") and name not in others}
    assert len(public) == 25
    for name, function in public.items():
        text = inspect.getdoc(function)
        assert text.count("$$") == 2 and "(N, " in text and "Returns" in text, name
        assert any(unit in text for unit in ("nats", "without a unit", "squared logits", "squared activations")) or function is soften, name
        assert "Source: " in text or function is hard_loss, name
