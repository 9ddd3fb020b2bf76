"""Methods: the total is what the losses say, the terms are raw."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch.func import vmap

from distill_core import losses, objectives
from distill_core.losses import hard_loss, soft_loss, total_loss
from distill_core.objectives import METHODS, alongside, beside_baseline, guided, make_regressor, permute_wrong_classes, soft_targets


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64), torch.randint(4, (6,))


class Seen(dict):
    """All that a method may look at beside logits, for a batch of six images; `student` needs a gradient."""

    def __init__(self):
        shapes = {"student": [(2, 8, 8), (3, 4, 4), (5, 2, 2)], "teacher": [(4, 8, 8), (6, 4, 4), (7, 2, 2)]}
        student, teacher = ([torch.randn(6, *shape, dtype=torch.float64) for shape in shapes[who]] for who in ("student", "teacher"))
        super().__init__(
            student_features=student,
            teacher_features=teacher,
            regressor=make_regressor(student, teacher).double(),
            peer_logits=torch.randn(2, 6, 4, dtype=torch.float64),
            progress=0.5,
        )


@pytest.fixture
def seen():
    torch.manual_seed(1)
    return Seen()


def test_soft_targets_trains_the_total_loss_of_the_formula(batch):
    total, _ = soft_targets(*batch, alpha=0.1, temperature=4.0)
    assert torch.equal(total, total_loss(*batch, alpha=0.1, temperature=4.0))


@pytest.mark.parametrize("method", METHODS)
def test_terms_are_raw_so_alpha_does_not_change_them(batch, seen, method):
    terms = [METHODS[method](*batch, alpha=alpha, temperature=4.0, **seen)[1] for alpha in (0.0, 0.1, 1.0)]
    for other in terms[1:]:
        assert other.keys() == terms[0].keys() and all(torch.equal(other[name], terms[0][name]) for name in other)
    assert torch.equal(terms[0]["hard_loss"], hard_loss(batch[0], batch[2]))


def test_soft_targets_tells_the_soft_loss(batch):
    _, terms = METHODS["soft-targets"](*batch, alpha=0.5, temperature=4.0)
    assert torch.equal(terms["soft_loss"], soft_loss(batch[0], batch[1], temperature=4.0))


WORTH = [name for name, method in METHODS.items() if method.kind != "mistake" or method.teacher_in_train_mode]


@pytest.mark.parametrize("method", WORTH)
def test_alpha_one_listens_to_the_labels_only(batch, seen, method):
    total, terms = METHODS[method](*batch, alpha=1.0, temperature=4.0, **seen)
    assert total == terms["hard_loss"]


@pytest.mark.parametrize("method", METHODS)
def test_a_baseline_learns_from_labels_whatever_the_method(batch, seen, method):
    student, teacher, labels = batch
    student = student.clone().requires_grad_()
    both = beside_baseline(METHODS[method])
    for labels_only, alpha in ((True, 0.3), (False, 0.3)):
        total, terms = both(student, teacher, labels, alpha=alpha, temperature=4.0, labels_only=torch.tensor(labels_only), **seen)
        (gradient,) = torch.autograd.grad(total, student)
        (of_labels,) = torch.autograd.grad(hard_loss(student, labels), student)
        assert torch.equal(total, terms["hard_loss"]) == labels_only
        assert torch.allclose(gradient, of_labels) == labels_only


@pytest.mark.parametrize("method", METHODS)
def test_no_gradient_reaches_the_teacher_or_the_peers(batch, seen, method):
    student, teacher, labels = batch
    others = [value.requires_grad_() for value in (teacher.clone(), seen["peer_logits"], *seen["teacher_features"])]
    seen["peer_logits"] = seen["peer_logits"].detach()  # as the trainer gives them
    total, _ = METHODS[method](student.clone().requires_grad_(), others[0], labels, alpha=0.3, temperature=4.0, **seen)
    assert all(gradient is None for gradient in torch.autograd.grad(total, others, allow_unused=True))


def test_permuting_changes_every_wrong_class_and_keeps_the_label_and_the_sum(batch):
    _, teacher, labels = batch
    permuted = permute_wrong_classes(teacher, labels)
    own = torch.arange(4) == labels.unsqueeze(-1)
    assert torch.equal(permuted[own], teacher[own]) and (permuted[~own] != teacher[~own]).all()
    assert torch.equal(permuted.sort(dim=-1).values, teacher.sort(dim=-1).values)


def test_equal_wrong_classes_keep_the_probability_of_the_label(batch):
    student, teacher, labels = batch
    seen = []
    spy = lambda z, t, y, **_: (seen.append(t), (z.sum(), {}))[1]  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objectives, "soft_targets", spy)
        objectives.uniform_classes(student, teacher, labels, alpha=0.1, temperature=3.0)
    own = torch.arange(4) == labels.unsqueeze(-1)
    made, before = torch.softmax(seen[0] / 3, dim=-1), torch.softmax(teacher / 3, dim=-1)
    torch.testing.assert_close(made[own], before[own])
    wrong = made[~own].view(6, 3)
    torch.testing.assert_close(wrong, wrong[:, :1].expand(-1, 3))


def test_standardised_soft_targets_do_not_ask_for_the_size_of_the_teachers_logits(batch):
    student, teacher, labels = batch
    method = METHODS["soft-targets-standardized"]
    one, _ = method(student, teacher, labels, alpha=0.0, temperature=2.0)
    other, _ = method(student, 5 * teacher + 3, labels, alpha=0.0, temperature=2.0)
    assert one.item() == pytest.approx(other.item(), rel=1e-12)


def test_each_mistake_changes_the_gradient_by_what_it_says(batch):
    student, teacher, labels = batch
    student = student.clone().requires_grad_()

    def gradient(name, alpha):
        return torch.autograd.grad(METHODS[name](student, teacher, labels, alpha=alpha, temperature=4.0)[0], student)[0]

    soft, hard = gradient("soft-targets", 0.0), gradient("soft-targets", 1.0)
    torch.testing.assert_close(gradient("soft-targets-without-t2", 0.0), soft / 16)
    torch.testing.assert_close(gradient("mean-over-classes", 0.0), soft / 4)
    torch.testing.assert_close(gradient("alpha-swapped", 0.1), 0.9 * hard + 0.1 * soft)
    torch.testing.assert_close(gradient("doubled-hard-loss", 0.1), 1.1 * hard + 0.9 * soft)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_gives_many_members_at_once_what_it_gives_each(batch, seen, method):
    student, teacher, labels = batch
    students = torch.stack([student, -student, 2 * student])
    alpha, temperature = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), torch.tensor([1.0, 4.0, 20.0], dtype=torch.float64)
    totals, _ = vmap(lambda z, a, t: METHODS[method](z, teacher, labels, alpha=a, temperature=t, **seen))(students, alpha, temperature)
    for k in range(3):
        alone, _ = METHODS[method](students[k], teacher, labels, alpha=alpha[k].item(), temperature=temperature[k].item(), **seen)
        assert totals[k].item() == pytest.approx(alone.item(), rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_names_its_source(method):
    assert "Source:" in inspect.getdoc(METHODS[method].loss)


# --- features, relations, peers -------------------------------------------------------------------------------------


def own(name, batch, seen, **choices):
    return METHODS[name](*batch, alpha=0.0, temperature=4.0, **{**seen, **choices})[1]["soft_loss"]


def test_a_hint_compares_the_layer_in_the_middle_through_the_regressor(batch, seen):
    middle = seen["regressor"](seen["student_features"][1])  # (6, 6, 4, 4)
    expected = ((middle - seen["teacher_features"][1]) ** 2).mean()
    assert own("hints", batch, seen).item() == pytest.approx(expected.item(), rel=1e-12)


def test_a_hint_from_maps_to_units_takes_all_places_in_a_line(batch, seen):
    flat = [feature.flatten(1)[:, :5] for feature in seen["student_features"]]
    regressor = make_regressor(flat, seen["teacher_features"]).double()
    assert (regressor.in_features, regressor.out_features) == (5, 6 * 4 * 4)
    expected = ((regressor(flat[1]) - seen["teacher_features"][1].flatten(1)) ** 2).mean()
    assert own("hints", batch, seen, student_features=flat, regressor=regressor).item() == pytest.approx(expected.item(), rel=1e-12)


def test_the_first_stage_of_hints_moves_nothing_after_the_guided_layer_and_the_second_forgets_the_hint(batch, seen):
    student, teacher, labels = batch
    student, middle = student.clone().requires_grad_(), seen["student_features"][1].requires_grad_()
    for progress, reached in ((0.0, middle), (0.33, middle), (0.34, student), (1.0, student)):
        total, _ = METHODS["hints-two-stage"](student, teacher, labels, alpha=0.3, temperature=4.0, **{**seen, "progress": progress})
        gradients = dict(zip(("student", "middle"), torch.autograd.grad(total, (student, middle)), strict=True))
        assert gradients["middle"].any() == (reached is middle) and gradients["student"].any() == (reached is student)


def test_attention_adds_the_losses_of_blocks_at_the_same_depth(batch, seen):
    pairs = zip(seen["student_features"], seen["teacher_features"], strict=True)
    expected = sum(losses.attention_loss(student, teacher) for student, teacher in pairs)
    assert own("attention", batch, seen).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize(
    ("student", "teacher", "expected"), [(3, 3, [0, 1, 2]), (2, 4, [0, 3]), (4, 2, [0, 0, 1, 1]), (1, 3, [0]), (3, 1, [0] * 3)]
)
def test_blocks_are_compared_first_with_first_and_last_with_last(student, teacher, expected):
    assert alongside([None] * student, list(range(teacher))) == expected


def test_the_guided_layer_is_in_the_middle():
    assert [guided(list(range(blocks))) for blocks in (1, 2, 3, 4, 5)] == [0, 1, 1, 2, 2]


@pytest.mark.parametrize("name", ("similarity", "distances", "angles"))
def test_relations_compare_the_last_features_of_the_batch(batch, seen, name):
    loss = {"similarity": losses.similarity_loss, "distances": losses.distance_relation_loss, "angles": losses.angle_relation_loss}[name]
    expected = loss(seen["student_features"][-1].flatten(1), seen["teacher_features"][-1].flatten(1))
    assert own(name, batch, seen).item() == pytest.approx(expected.item(), rel=1e-12)


def test_mutual_learning_at_the_defaults_is_the_papers_loss_up_to_a_factor(batch, seen):
    student, _, labels = batch
    total, _ = METHODS["mutual-3"](*batch, alpha=0.1, temperature=4.0, **seen)
    assert total.item() == pytest.approx(0.1 * losses.mutual_loss(student, seen["peer_logits"], labels).item(), rel=1e-12)
