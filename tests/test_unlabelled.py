"""Images without labels: drawn by the seed, never one that has a label, in the shape of the labelled ones."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from distill_core.data.datasets import load
from distill_core.data.unlabelled import NOISE, choose_unlabelled, images_from, to_shape


@given(st.lists(st.integers(0, 4), min_size=10, max_size=60).map(torch.tensor), st.integers(0, 2**31 - 1), st.data())
def test_further_images_are_none_of_those_taken_and_of_no_hidden_class(labels, seed, data):
    taken = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))[:5]
    left = [i for i, label in enumerate(labels.tolist()) if label != 3 and i not in taken.tolist()]
    count = data.draw(st.integers(0, len(left)))
    choice = {"taken": taken, "hide_classes": (3,), "seed": seed}
    found = choose_unlabelled(labels, images=count, **choice).tolist()
    assert len(set(found)) == len(found) == count and set(found) <= set(left)
    with pytest.raises(ValueError, match=f"unlabelled {len(left) + 1} is more than the {len(left)} images"):
        choose_unlabelled(labels, images=len(left) + 1, **choice)


def test_noise_has_every_level_equally_often_and_another_seed_has_other_noise():
    noise = images_from(NOISE, images=500, image_shape=(3, 8, 8), seed=0)
    assert noise.shape == (500, 3, 8, 8) and noise.dtype == torch.uint8
    counts = torch.bincount(noise.flatten().int(), minlength=256)
    assert counts.min() > 0.75 * 375 and counts.max() < 1.25 * 375
    assert not torch.equal(noise, images_from(NOISE, images=500, image_shape=(3, 8, 8), seed=1))


def test_images_of_another_set_have_the_shape_of_the_labelled_ones_and_are_told_apart():
    found = images_from("digits", images=30, image_shape=(3, 28, 28), seed=0)
    assert found.shape == (30, 3, 28, 28) and found.dtype == torch.uint8 and torch.equal(found[:, 0], found[:, 2])
    assert len({tuple(image.flatten().tolist()) for image in found}) == 30
    assert torch.equal(found, images_from("digits", images=30, image_shape=(3, 28, 28), seed=0))


def test_more_images_than_another_set_has_are_refused_with_its_number(refused):
    with refused("unlabelled 2000", "1438", "digits"):
        images_from("digits", images=2000, image_shape=(1, 8, 8), seed=0)


def test_a_colour_becomes_its_luma_and_a_plain_image_keeps_its_level_at_any_size():
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    assert torch.equal(to_shape(red, (1, 28, 28)), torch.full((1, 1, 28, 28), 76, dtype=torch.uint8))
    images = load("digits").train_images[:5]
    assert torch.equal(to_shape(images, (1, 8, 8)), images)
