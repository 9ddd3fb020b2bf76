"""Methods: the total is what the losses say, the terms are raw."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch.func import vmap

from distill_core.losses import hard_loss, soft_loss, total_loss
from distill_core.objectives import METHODS, soft_targets


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 4, dtype=torch.float64), torch.randint(4, (6,))


def test_soft_targets_trains_the_total_loss_of_the_formula(batch):
    total, _ = soft_targets(*batch, alpha=0.1, temperature=4.0)
    assert torch.equal(total, total_loss(*batch, alpha=0.1, temperature=4.0))


@pytest.mark.parametrize("method", METHODS)
def test_terms_are_raw_so_alpha_does_not_change_them(batch, method):
    terms = [METHODS[method](*batch, alpha=alpha, temperature=4.0)[1] for alpha in (0.0, 0.1, 1.0)]
    for other in terms[1:]:
        assert other.keys() == terms[0].keys() and all(torch.equal(other[name], terms[0][name]) for name in other)
    assert torch.equal(terms[0]["hard_loss"], hard_loss(batch[0], batch[2]))
    assert torch.equal(terms[0]["soft_loss"], soft_loss(batch[0], batch[1], temperature=4.0))


@pytest.mark.parametrize("method", METHODS)
def test_a_method_gives_many_members_at_once_what_it_gives_each(batch, method):
    student, teacher, labels = batch
    students = torch.stack([student, -student, 2 * student])
    alpha, temperature = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64), torch.tensor([1.0, 4.0, 20.0], dtype=torch.float64)
    totals, _ = vmap(lambda z, a, t: METHODS[method](z, teacher, labels, alpha=a, temperature=t))(students, alpha, temperature)
    for k in range(3):
        alone, _ = METHODS[method](students[k], teacher, labels, alpha=alpha[k].item(), temperature=temperature[k].item())
        assert totals[k].item() == pytest.approx(alone.item(), rel=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_names_its_source(method):
    assert "Source:" in inspect.getdoc(METHODS[method])
