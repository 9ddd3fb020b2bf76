"""Methods: the total is the mixture of the hard loss and the method's own loss, and both are recorded before their weights."""

from __future__ import annotations

import inspect
from dataclasses import fields, replace

import pytest
import torch
from torch.func import vmap

from distill_core import controls, losses
from distill_core.batch import Batch, mixed_after_warm_up
from distill_core.data.datasets import seeded
from distill_core.features import Projections, make_projections, make_regressor, match_blocks_by_depth, middle_block
from distill_core.losses import hard_loss, soft_loss, total_loss
from distill_core.objectives import METHODS, objective, peers_of


class Between(torch.nn.Module):
    """The trained layers of every method that has some: a regressor of one input, projections of two."""

    def __init__(self, of_student, of_teacher):
        super().__init__()
        self.regressor, self.projections = make_regressor(of_student, of_teacher), make_projections(of_student, of_teacher)

    def forward(self, *features):
        return self.projections(*features) if len(features) == 2 else self.regressor(*features)


@pytest.fixture
def batch():
    """All that a method may need, for six examples of four classes; `student` needs a gradient."""
    torch.manual_seed(0)
    student, teacher, labels = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64), torch.randint(4, (6,))
    torch.manual_seed(1)
    shapes = {"student": [(2, 8, 8), (3, 4, 4), (5, 2, 2)], "teacher": [(4, 8, 8), (6, 4, 4), (7, 2, 2)]}
    of_student, of_teacher = ([torch.randn(6, *shape, dtype=torch.float64) for shape in shapes[who]] for who in ("student", "teacher"))
    return Batch(
        student_logits=student,
        teacher_logits=teacher,
        labels=labels,
        alpha=0.1,
        temperature=4.0,
        progress=0.5,
        student_features=of_student,
        teacher_features=of_teacher,
        regressor=Between(of_student, of_teacher).double(),
        peer_logits=torch.randn(2, 6, 4, dtype=torch.float64),
    )


def total_of(name, batch, **changes):
    return objective(METHODS[name], replace(batch, **changes))[0]


def loss_of(name, batch, **changes):
    return METHODS[name].loss(replace(batch, **changes))


def test_soft_targets_trains_the_total_loss_of_the_formula(batch):
    expected = total_loss(batch.student_logits, batch.teacher_logits, batch.labels, alpha=0.1, temperature=4.0)
    assert torch.equal(total_of("soft-targets", batch), expected)


@pytest.mark.parametrize("method", METHODS)
def test_recorded_losses_are_raw_so_alpha_does_not_change_them(batch, method):
    terms = [objective(METHODS[method], replace(batch, alpha=alpha))[1] for alpha in (0.0, 0.1, 1.0)]
    for other in terms[1:]:
        assert other.keys() == terms[0].keys() and all(torch.equal(other[name], terms[0][name]) for name in other)
    assert torch.equal(terms[0]["hard_loss"], hard_loss(batch.student_logits, batch.labels))
    assert torch.equal(terms[0]["soft_loss"], METHODS[method].loss(batch))


def test_the_loss_of_soft_targets_is_the_soft_loss(batch):
    expected = soft_loss(batch.student_logits, batch.teacher_logits, temperature=4.0)
    assert torch.equal(loss_of("soft-targets", batch), expected)


WITH_HARD_LOSS = [
    name for name, method in METHODS.items() if name != "label-smoothing" and (method.kind != "mistake" or method.teacher_in_train_mode)
]


@pytest.mark.parametrize("method", WITH_HARD_LOSS)
def test_alpha_one_ignores_the_teacher(batch, method):
    assert total_of(method, batch, alpha=1.0) == hard_loss(batch.student_logits, batch.labels)


@pytest.mark.parametrize("method", METHODS)
def test_a_method_needs_the_hard_loss_exactly_where_nothing_else_trains_the_output_layer(batch, method):
    """Peers train each other's outputs, but nothing in their divergence tells which output belongs to which class."""
    student = batch.student_logits.clone().requires_grad_()
    total = total_of(method, batch, student_logits=student, alpha=0.0)
    (gradient,) = torch.autograd.grad(total, student, materialize_grads=True)
    assert METHODS[method].needs_hard_loss == (not gradient.any() or METHODS[method].peers > 0)


@pytest.mark.parametrize("as_tensor", (False, True), ids=("alone", "in a cohort"))
@pytest.mark.parametrize("method", METHODS)
def test_a_baseline_is_trained_on_labels_whatever_the_method(batch, method, as_tensor):
    student = batch.student_logits.clone().requires_grad_()
    batch = replace(batch, student_logits=student, alpha=0.3)
    (of_labels,) = torch.autograd.grad(hard_loss(student, batch.labels), student)
    for labels_only in (True, False):
        total = total_of(method, batch, labels_only=torch.tensor(labels_only) if as_tensor else labels_only)
        (gradient,) = torch.autograd.grad(total, student)
        assert torch.equal(total, hard_loss(student, batch.labels)) == labels_only
        assert torch.allclose(gradient, of_labels) == labels_only


@pytest.mark.parametrize("method", METHODS)
def test_no_gradient_reaches_the_teacher_or_the_peers(batch, method):
    others = [batch.teacher_logits.clone().requires_grad_(), *(feature.requires_grad_() for feature in batch.teacher_features)]
    peers = batch.peer_logits.requires_grad_()
    student = batch.student_logits.clone().requires_grad_()
    total = total_of(method, batch, student_logits=student, teacher_logits=others[0], peer_logits=peers.detach(), alpha=0.3)
    assert all(gradient is None for gradient in torch.autograd.grad(total, [*others, peers], allow_unused=True))


def test_a_choice_that_is_misspelt_is_an_error(batch):
    with pytest.raises(TypeError, match="temprature"):
        replace(batch, temprature=2.0)
    assert {field.name for field in fields(Batch)} >= {"alpha", "temperature", "progress", "peer_logits"}


def test_permuting_keeps_the_teachers_top_class_and_the_set_of_logits():
    logits = torch.randn(200, 10, generator=torch.Generator().manual_seed(0))
    permuted = controls.permute_other_classes(logits, seeded(0, "targets", 0))
    top = torch.arange(10) == logits.argmax(dim=1, keepdim=True)
    assert torch.equal(permuted[top], logits[top])
    assert torch.equal(permuted.sort(dim=1).values, logits.sort(dim=1).values)


def test_each_image_and_each_step_has_a_permutation_of_its_own():
    """A shift that is the same for all images can be learned: a student has only to relabel the classes."""
    logits = torch.arange(5.0).expand(4000, 5).contiguous()  # the top class is 4
    first, second = (controls.permute_other_classes(logits, seeded(0, "targets", step)) for step in (0, 1))
    assert torch.equal(first, controls.permute_other_classes(logits, seeded(0, "targets", 0)))  # the seed sets it
    orders = {tuple(row) for row in first.tolist()}
    assert len(orders) == 24 and (first != second).any(dim=1).float().mean() > 0.9
    each = torch.stack([(first == value).float().mean(dim=0) for value in range(4)])  # how often a logit comes to a class
    torch.testing.assert_close(each[:, :4], torch.full((4, 4), 0.25), atol=0.03, rtol=0)


@pytest.mark.parametrize("alpha", (0.0, 0.1, 1.0))
def test_label_smoothing_acts_with_the_epsilon_that_is_shown_whatever_alpha(batch, alpha):
    expected = torch.nn.functional.cross_entropy(batch.student_logits, batch.labels, label_smoothing=controls.SMOOTHING)
    assert total_of("label-smoothing", batch, alpha=alpha).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("progress", (0.0, 1 / 24, 1 / 12, 1.0))
def test_decoupled_distillation_at_the_default_alpha_is_the_authors_loss_up_to_a_factor(batch, progress):
    """Their code: 1.0 * cross-entropy + min(epoch / 20, 1) * (1.0 * target part + 8.0 * non-target part), in 240 epochs."""
    own = losses.decoupled_loss(batch.student_logits, batch.teacher_logits, batch.labels, temperature=4.0)
    authors = hard_loss(batch.student_logits, batch.labels) + min(240 * progress / 20, 1.0) * own
    assert METHODS["decoupled"].mixture is mixed_after_warm_up
    assert total_of("decoupled", batch, progress=progress).item() == pytest.approx(0.1 * authors.item(), rel=1e-12)


def test_equal_wrong_classes_keep_the_probability_of_the_label(batch):
    targets = controls.equalise_wrong_classes(batch.teacher_logits, batch.labels, temperature=3.0)
    own = torch.arange(4) == batch.labels.unsqueeze(-1)
    after, before = torch.softmax(targets / 3, dim=-1), torch.softmax(batch.teacher_logits / 3, dim=-1)
    torch.testing.assert_close(after[own], before[own])
    wrong = after[~own].view(6, 3)
    torch.testing.assert_close(wrong, wrong[:, :1].expand(-1, 3))
    expected = soft_loss(batch.student_logits, targets, temperature=3.0)
    assert torch.equal(loss_of("uniform-classes", batch, temperature=3.0), expected)


def test_standardised_soft_targets_do_not_depend_on_the_size_of_the_teachers_logits(batch):
    one = loss_of("soft-targets-standardized", batch)
    other = loss_of("soft-targets-standardized", batch, teacher_logits=5 * batch.teacher_logits + 3)
    assert one.item() == pytest.approx(other.item(), rel=1e-12)


def test_each_mistake_changes_the_gradient_by_what_its_formula_states(batch):
    student = batch.student_logits.clone().requires_grad_()

    def gradient(name, alpha):
        return torch.autograd.grad(total_of(name, batch, student_logits=student, alpha=alpha), student)[0]

    soft, hard = gradient("soft-targets", 0.0), gradient("soft-targets", 1.0)
    torch.testing.assert_close(gradient("soft-targets-without-t2", 0.0), soft / 16)
    torch.testing.assert_close(gradient("mean-over-classes", 0.0), soft / 4)
    torch.testing.assert_close(gradient("alpha-swapped", 0.1), 0.9 * hard + 0.1 * soft)
    torch.testing.assert_close(gradient("doubled-hard-loss", 0.1), 1.1 * hard + 0.9 * soft)


def test_the_mistakes_with_kl_div_are_what_pytorch_computes_of_these_arguments(batch):
    hard, q = hard_loss(batch.student_logits, batch.labels), torch.softmax(batch.teacher_logits / 4, dim=1)
    given = {"probabilities-in-kl-div": torch.softmax(batch.student_logits / 4, dim=1), "logits-in-kl-div": batch.student_logits / 4}
    for name, student in given.items():
        wrong = 16 * torch.nn.functional.kl_div(student, q, reduction="batchmean")
        assert total_of(name, batch).item() == pytest.approx((0.1 * hard + 0.9 * wrong).item(), rel=1e-12)
    shifted = total_of("logits-in-kl-div", batch, student_logits=batch.student_logits + 100)
    assert shifted < total_of("logits-in-kl-div", batch) - 100  # no minimum
    assert total_of("divergence-reversed", batch) == total_of("reverse-kl", batch)


def test_without_detach_a_network_is_also_trained_by_its_peers_loss(batch):
    own, peer = (logits.clone().requires_grad_() for logits in (batch.student_logits, batch.peer_logits[0]))
    both = losses.peer_loss(own, peer[None]) + losses.soft_loss(peer, own, temperature=1.0)
    both_ways = [(z.log_softmax(dim=-1), w.log_softmax(dim=-1)) for z, w in ((own, peer), (peer, own))]
    kept = sum(torch.nn.functional.kl_div(p, q, reduction="batchmean", log_target=True) for p, q in both_ways)
    torch.testing.assert_close(both, kept)  # the values are equal, the gradients are not
    wrong = total_of("detach-forgotten", batch, student_logits=own, peer_logits=peer.detach()[None], alpha=0.1)
    labels = 0.1 * hard_loss(own, batch.labels)
    gradient = torch.autograd.grad(wrong - labels, own)[0] / (0.9 * METHODS["detach-forgotten"].weight)
    torch.testing.assert_close(gradient, torch.autograd.grad(kept, own)[0])


def test_a_second_softmax_keeps_the_cross_entropy_of_ten_classes_above_1_46():
    logits, labels = 50 * torch.eye(10, dtype=torch.float64), torch.arange(10)
    batch = Batch(logits, logits, labels, alpha=1.0, temperature=4.0)
    assert total_of("softmax-twice", batch).item() == pytest.approx(1.4612, abs=1e-4)
    assert hard_loss(logits, labels) < 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_a_method_gives_many_members_at_once_what_it_gives_each(batch, method):
    students = torch.stack([batch.student_logits, -batch.student_logits, 2 * batch.student_logits])
    alpha, temperature = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), torch.tensor([1.0, 4.0, 20.0], dtype=torch.float64)
    member = lambda z, a, t: total_of(method, batch, student_logits=z, alpha=a, temperature=t)  # noqa: E731
    totals = vmap(member)(students, alpha, temperature)
    for k in range(3):
        alone = member(students[k], alpha[k].item(), temperature[k].item())
        assert totals[k].item() == pytest.approx(alone.item(), rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_names_its_source_its_loss_and_its_unit(method):
    entry = METHODS[method]
    assert "Source:" in inspect.getdoc(entry.definition) and inspect.getdoc(entry.loss)
    assert entry.loss_name and entry.unit in ("", "nats", "squared logits", "squared activations")


# --- features, relations, peers -------------------------------------------------------------------------------------


def test_a_hint_compares_the_layer_in_the_middle_through_the_regressor(batch):
    middle = batch.regressor(batch.student_features[1])  # (6, 6, 4, 4)
    expected = ((middle - batch.teacher_features[1]) ** 2).mean()
    assert loss_of("hints", batch).item() == pytest.approx(expected.item(), rel=1e-12)


def test_a_hint_from_maps_to_units_flattens_the_maps(batch):
    flat = [feature.flatten(1)[:, :5] for feature in batch.student_features]
    regressor = make_regressor(flat, batch.teacher_features).double()
    assert (regressor.in_features, regressor.out_features) == (5, 6 * 4 * 4)
    expected = ((regressor(flat[1]) - batch.teacher_features[1].flatten(1)) ** 2).mean()
    assert loss_of("hints", batch, student_features=flat, regressor=regressor).item() == pytest.approx(expected.item(), rel=1e-12)


def test_the_first_stage_of_hints_changes_nothing_after_the_guided_layer_and_the_second_ignores_the_hint(batch):
    student, middle = batch.student_logits.clone().requires_grad_(), batch.student_features[1].requires_grad_()
    for progress, reached in ((0.0, middle), (0.33, middle), (0.34, student), (1.0, student)):
        total = total_of("hints-two-stage", batch, student_logits=student, alpha=0.3, progress=progress)
        of_student, of_middle = torch.autograd.grad(total, (student, middle))
        assert of_middle.any() == (reached is middle) and of_student.any() == (reached is student)


def test_attention_adds_the_losses_of_blocks_at_the_same_depth(batch):
    pairs = zip(batch.student_features, batch.teacher_features, strict=True)
    expected = sum(losses.attention_loss(student, teacher) for student, teacher in pairs)
    assert loss_of("attention", batch).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize(
    ("student", "teacher", "expected"), [(3, 3, [0, 1, 2]), (2, 4, [0, 3]), (4, 2, [0, 0, 1, 1]), (1, 3, [0]), (3, 1, [0] * 3)]
)
def test_blocks_are_compared_first_with_first_and_last_with_last(student, teacher, expected):
    assert match_blocks_by_depth([None] * student, list(range(teacher))) == expected


def test_the_guided_layer_is_in_the_middle():
    assert [middle_block(list(range(blocks))) for blocks in (1, 2, 3, 4, 5)] == [0, 1, 1, 2, 2]


@pytest.mark.parametrize("name", ("similarity", "distances", "angles"))
def test_relations_compare_the_last_features_of_the_batch(batch, name):
    loss = {"similarity": losses.similarity_loss, "distances": losses.distance_relation_loss, "angles": losses.angle_relation_loss}[name]
    expected = loss(batch.student_features[-1].flatten(1), batch.teacher_features[-1].flatten(1))
    assert loss_of(name, batch).item() == pytest.approx(expected.item(), rel=1e-12)


def test_contrastive_embeddings_are_trained_projections_of_both_networks_and_the_teachers_features_stay(batch):
    student, teacher = (features[-1].flatten(1) for features in (batch.student_features, batch.teacher_features))
    teacher.requires_grad_()
    projections = Projections(student.shape[1], teacher.shape[1]).double()
    changed = replace(batch, student_features=[student], teacher_features=[teacher], regressor=projections)
    expected = losses.contrastive_loss(projections.student(student), projections.teacher(teacher), batch.labels)
    found = METHODS["contrastive"].loss(changed)
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    gradients = torch.autograd.grad(found, [teacher, projections.student.weight, projections.teacher.weight], allow_unused=True)
    assert gradients[0] is None and all(gradient.any() for gradient in gradients[1:])


def test_mutual_learning_at_the_defaults_is_the_papers_loss_up_to_a_factor(batch):
    expected = 0.1 * losses.mutual_loss(batch.student_logits, batch.peer_logits, batch.labels)
    assert total_of("mutual-3", batch).item() == pytest.approx(expected.item(), rel=1e-12)


def test_a_student_has_all_peers_and_each_peer_the_student_and_the_other_peers():
    assert peers_of("student", 2) == peers_of("baseline", 2) == ["peer-1", "peer-2"]
    assert peers_of("peer-1", 2) == ["student", "peer-2"] and peers_of("peer-2", 2) == ["student", "peer-1"]
    assert peers_of("student", 0) == []


@pytest.mark.parametrize("method", METHODS)
def test_a_method_uses_labels_of_every_image_exactly_where_it_declares_it(batch, method):
    """Where it does not, images without labels leave its own loss as it is, and count in no hard loss."""
    other = replace(batch, labels=torch.zeros_like(batch.labels))  # one class for all: also which images share a class changes
    assert torch.equal(METHODS[method].loss(other), METHODS[method].loss(batch)) != METHODS[method].uses_labels
    if not METHODS[method].uses_labels:
        some = replace(batch, labels=torch.cat([batch.labels[:4], torch.tensor([-1, -1])]), unlabelled=2)
        terms = objective(METHODS[method], some)[1]
        assert torch.equal(terms["soft_loss"], METHODS[method].loss(batch))
        assert torch.equal(terms["hard_loss"], hard_loss(batch.student_logits[:4], batch.labels[:4]))
