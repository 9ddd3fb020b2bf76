"""Each order of images agrees with its name."""

import math

import torch

from distill_core.data.image_order import ORDERS, WITHOUT_LOGITS, entropy

LOGITS = torch.tensor([[9.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 4.0, 1.0], [0.0, 0.0, 6.0]])
LABELS = torch.tensor([0, 1, 2, 0])


def test_entropy_is_the_formula_and_its_maximum_is_the_logarithm_of_the_classes():
    found = entropy(LOGITS.double())
    for row, value in zip(torch.softmax(LOGITS.double(), dim=1).tolist(), found.tolist(), strict=True):
        assert abs(value + sum(p * math.log(p) for p in row)) < 1e-12
    assert abs(found[1].item() - math.log(3)) < 1e-12


def test_the_entropy_of_a_certain_prediction_is_zero_and_finite():
    assert entropy(torch.tensor([[1e6, 0.0, -1e6]])).tolist() == [0.0]


def test_the_orders_are_those_of_their_names():
    assert ORDERS["most ambiguous"](LOGITS, LABELS).tolist() == [1, 2, 3, 0]
    assert ORDERS["hardest"](LOGITS, LABELS).tolist() == [3, 2, 1, 0]
    assert ORDERS["teacher wrong"](LOGITS, LABELS)[:2].tolist() == [3, 2]
    assert 0 not in ORDERS["teacher wrong"](LOGITS, LABELS)
    assert ORDERS["in order"](LOGITS, LABELS).tolist() == [0, 1, 2, 3]


def test_a_random_order_has_every_image_once_and_is_the_same_each_time():
    once, again = (ORDERS["random"](LOGITS, LABELS).tolist() for _ in range(2))
    assert once == again
    assert sorted(once) == [0, 1, 2, 3]


def test_orders_without_logits_do_not_depend_on_them():
    for name in WITHOUT_LOGITS:
        assert ORDERS[name](None, LABELS).tolist() == ORDERS[name](LOGITS, LABELS).tolist()
