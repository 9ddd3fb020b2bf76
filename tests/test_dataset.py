"""Image sets as tensors: standardised pixels, fingerprints, devices; subsets, label noise, shifts and flips set by the seed alone."""

from __future__ import annotations

import math
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch._subclasses.fake_tensor import FakeTensorMode

from distill_core.data.dataset import (
    Dataset,
    add_label_noise,
    choose_images,
    choose_validation_images,
    random_flip,
    random_shift,
    seeded,
)
from distill_core.data.datasets import load


def test_pixels_have_mean_zero_and_deviation_one_in_each_channel(real_set):
    found = load(real_set)
    sums = [(p.sum().item(), p.square().sum().item(), p.numel()) for p in map(found.pixels, found.train_images.split(5000))]
    total, squares, count = (sum(column) for column in zip(*sums, strict=True))
    assert total / count == pytest.approx(0, abs=1e-4) and squares / count == pytest.approx(1, abs=1e-4)


def test_pixel_mean_and_deviation_are_those_of_numpy_for_each_channel():
    random = np.random.default_rng(0).integers(0, 256, (20, 3, 9, 8)) // np.array([1, 2, 3]).reshape(3, 1, 1)
    images = torch.from_numpy(random.astype(np.uint8))
    found = Dataset("x", "X", ("a", "b"), images, torch.zeros(20).long(), images[:2], torch.zeros(2).long())
    np.testing.assert_allclose(found.pixel_mean_std[0].flatten(), images.numpy().mean(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(found.pixel_mean_std[1].flatten(), images.numpy().std(axis=(0, 2, 3)), rtol=1e-5)


def test_the_fingerprint_changes_with_one_pixel_and_with_one_label():
    digits = load("digits")
    pixel, label = digits.train_images.clone(), digits.test_labels.clone()
    pixel[700, 0, 3, 3] += 1
    label[5] = (label[5] + 1) % 10
    found = {replace(digits, **change).fingerprint for change in ({}, {"train_images": pixel}, {"test_labels": label})}
    assert len(found) == 3 and digits.to("cpu").fingerprint == digits.fingerprint


# --- the training images of a run -----------------------------------------------------------------------------------

some_labels = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(torch.tensor)


@given(some_labels, st.sets(st.integers(0, 4), max_size=4), st.data(), st.integers(0, 2**31 - 1))
def test_the_transfer_set_has_the_requested_size_and_no_hidden_class(labels, hidden, data, seed):
    eligible = [i for i, label in enumerate(labels.tolist()) if label not in hidden]
    if not eligible:
        with pytest.raises(ValueError, match="hide_classes"):
            choose_images(labels, images=0, hide_classes=tuple(hidden), seed=seed)
        return
    images = data.draw(st.integers(0, len(eligible)))
    chosen = choose_images(labels, images=images, hide_classes=tuple(hidden), seed=seed).tolist()
    assert len(chosen) == len(set(chosen)) == (images or len(eligible)) and set(chosen) <= set(eligible)
    assert chosen == choose_images(labels, images=images, hide_classes=tuple(hidden), seed=seed).tolist()


def test_more_images_than_available_are_refused_with_the_available_number(refused):
    labels = torch.tensor([0, 0, 1, 1, 1])
    with refused("images 4", "3"):
        choose_images(labels, images=4, hide_classes=(0,), seed=0)


@given(some_labels, st.sets(st.integers(0, 4), max_size=4), st.data(), st.integers(0, 2**31 - 1))
def test_validation_images_are_of_any_class_and_never_in_the_transfer_set(labels, hidden, data, seed):
    eligible = [i for i, label in enumerate(labels.tolist()) if label not in hidden]
    validation = data.draw(st.integers(0, len(labels) - 1))
    held_out = choose_validation_images(labels, validation=validation, seed=seed).tolist()
    assert len(set(held_out)) == validation and held_out == sorted(held_out) and set(held_out) <= set(range(len(labels)))
    choice = {"hide_classes": tuple(hidden), "seed": seed, "validation": validation}
    if validation >= len(eligible):
        with pytest.raises(ValueError, match=r"hide_classes|validation"):
            choose_images(labels, images=0, **choice)
        return
    images = data.draw(st.integers(0, len(eligible) - validation))
    chosen = choose_images(labels, images=images, **choice).tolist()
    assert len(set(chosen)) == (images or len(eligible) - validation)  # whatever the seed, so that several fit into one tensor
    assert set(chosen) <= set(eligible) - set(held_out)


def test_validation_images_do_not_change_the_transfer_set():
    labels = torch.randint(0, 10, (1000,))
    plain = choose_images(labels, images=600, hide_classes=(), seed=5)
    assert torch.equal(choose_images(labels, images=600, hide_classes=(), seed=5, validation=400), plain)
    rest = choose_images(labels, images=0, hide_classes=(), seed=5, validation=400)
    assert torch.equal(rest, plain)  # and all that are left are the same 600


def test_a_hidden_class_is_among_the_validation_images():
    labels = torch.arange(1000) % 10
    held_out = labels[choose_validation_images(labels, validation=300, seed=0)]
    assert held_out.bincount(minlength=10).min() > 15
    assert not (labels[choose_images(labels, images=0, hide_classes=(3,), seed=0, validation=300)] == 3).any()


def test_more_validation_images_than_the_shown_classes_leave_are_refused(refused):
    labels = torch.tensor([0, 0, 1, 1, 1])
    with refused("validation 3", "2 or fewer"):
        choose_images(labels, images=0, hide_classes=(0,), seed=0, validation=3)
    with refused("images 2", "1 available beside 2 validation images"):
        choose_images(labels, images=2, hide_classes=(0,), seed=0, validation=2)


def test_another_seed_chooses_other_images():
    labels = torch.zeros(1000, dtype=torch.int64)
    one, other = (set(choose_images(labels, images=100, hide_classes=(), seed=seed).tolist()) for seed in (0, 1))
    assert len(one & other) < 30  # by chance about 10


def test_every_image_is_equally_likely_to_be_chosen():
    labels = torch.zeros(20, dtype=torch.int64)
    counts = torch.zeros(20)
    for seed in range(400):
        counts[choose_images(labels, images=5, hide_classes=(), seed=seed)] += 1
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4


@given(st.integers(2, 12), st.floats(0, 1), st.integers(0, 2**31 - 1))
def test_label_noise_replaces_its_fraction_by_other_classes(classes, noise, seed):
    labels = torch.arange(4000) % classes
    noisy = add_label_noise(labels, label_noise=noise, classes=classes, seed=seed)
    assert noisy.min() >= 0 and noisy.max() < classes
    share = (noisy != labels).double().mean().item()
    assert abs(share - noise) <= 6 * (noise * (1 - noise) / 4000) ** 0.5 + 5 / 4000
    assert torch.equal(noisy, add_label_noise(labels, label_noise=noise, classes=classes, seed=seed))


def test_label_noise_of_one_changes_every_label_and_draws_the_others_uniformly():
    labels = torch.zeros(9000, dtype=torch.int64)
    noisy = add_label_noise(labels, label_noise=1.0, classes=10, seed=0)
    counts = torch.bincount(noisy, minlength=10).tolist()
    assert counts[0] == 0 and stats.chisquare(counts[1:]).pvalue > 1e-4
    assert not torch.equal(noisy, add_label_noise(labels, label_noise=1.0, classes=10, seed=1))


@given(st.sets(st.integers(0, 5), max_size=4), st.integers(0, 2**31 - 1))
def test_label_noise_draws_every_visible_class_and_never_a_hidden_one(hidden, seed):
    labels = torch.arange(6000) % 6
    noisy = add_label_noise(labels, label_noise=1.0, classes=6, hide_classes=tuple(hidden), seed=seed)
    in_use = ~torch.isin(labels, torch.tensor(sorted(hidden), dtype=torch.int64))
    assert set(noisy[in_use].tolist()) == set(range(6)) - hidden and (noisy[in_use] != labels[in_use]).all()
    assert torch.equal(noisy[~in_use], labels[~in_use])


def test_label_noise_with_one_visible_class_is_refused(refused):
    with refused("label_noise 0.5", "two classes", "hide fewer"):
        add_label_noise(torch.tensor([0, 1]), label_noise=0.5, classes=2, hide_classes=(1,), seed=0)


def test_no_label_noise_leaves_the_labels_alone():
    labels = torch.arange(10)
    assert torch.equal(add_label_noise(labels, label_noise=0.0, classes=10, seed=0), labels)


def test_each_purpose_of_a_seed_has_different_random_numbers():
    draws = [torch.rand(4, generator=seeded(*key)) for key in ((0, "images"), (0, "order", 0), (0, "order", 1), (1, "images"))]
    assert len({tuple(draw.tolist()) for draw in draws}) == 4
    assert torch.equal(torch.rand(4, generator=seeded(0, "images")), draws[0])


# --- random shifts and flips --------------------------------------------------------------------------------------


def test_a_random_shift_is_by_whole_pixels_and_fills_greyscale_images_with_zeros():
    images = load("digits").train_images[:200]
    shifted = random_shift(images, 2, torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    shifts = set()
    for before, after in zip(padded, shifted, strict=True):
        found = [
            (down, right)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if torch.equal(torch.roll(before, (down, right), (1, 2))[:, 2:-2, 2:-2], after)
        ]
        assert found
        shifts.update(found)
    assert len(shifts) == 25  # from -2 to 2 in both directions, in every combination
    assert shifted.shape == images.shape and shifted.dtype == torch.uint8


def test_a_shifted_coloured_image_is_filled_by_reflection():
    images = torch.randint(1, 256, (50, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    shifted = random_shift(images, 2, torch.Generator().manual_seed(0)).numpy()
    for before, after in zip(images.numpy(), shifted, strict=True):
        padded = np.pad(before, ((0, 0), (2, 2), (2, 2)), mode="reflect")
        assert any(np.array_equal(padded[:, down : down + 8, right : right + 8], after) for down in range(5) for right in range(5))


def test_a_shift_of_zero_pixels_draws_no_random_number():
    images, generator = load("digits").train_images[:3], torch.Generator().manual_seed(0)
    assert random_shift(images, 0, generator) is images
    assert torch.equal(torch.rand(2, generator=generator), torch.rand(2, generator=torch.Generator().manual_seed(0)))


def test_all_channels_of_an_image_have_the_same_shift():
    images = torch.arange(3 * 64, dtype=torch.uint8).view(1, 1, 3, 8, 8).expand(5, 1, 3, 8, 8).reshape(5, 3, 8, 8)
    shifted = random_shift(images, 2, torch.Generator().manual_seed(1)).int()
    inside = shifted[:, :, 2:-2, 2:-2]
    assert ((inside[:, 1] - inside[:, 0]) == 64).all() and math.prod(inside.shape) > 0


def test_a_random_flip_mirrors_about_half_of_the_images_left_to_right():
    images = load("digits").train_images[:200]
    flipped = random_flip(images, torch.Generator().manual_seed(0))
    mirrored = [torch.equal(after, before.flip(-1)) for before, after in zip(images, flipped, strict=True)]
    assert all(m or torch.equal(before, after) for m, before, after in zip(mirrored, images, flipped, strict=True))
    assert 70 < sum(mirrored) < 130


# --- devices --------------------------------------------------------------------------------------------------------


def small_set():
    images, labels = torch.zeros(6, 1, 8, 8, dtype=torch.uint8), torch.arange(6) % 2
    return Dataset("small", "Small", ("a", "b"), images, labels, images[:2], labels[:2])


def test_a_set_on_its_own_device_is_itself():
    assert (found := small_set()).to("cpu") is found and found.to(torch.device("cpu")) is found


def test_a_set_is_copied_to_another_device_once():
    found = small_set()
    copy = found.to("meta")
    assert copy is not found and copy.train_images.device.type == copy.test_labels.device.type == "meta"
    assert found.to("meta") is copy and copy.to("meta") is copy and found.train_images.device.type == "cpu"


def test_cuda_without_a_number_is_the_same_device_as_cuda_0():
    """Each seed of a run copied the set again. `FakeTensorMode` holds CUDA tensors on a machine without a GPU."""
    with FakeTensorMode(), torch.no_grad():
        found = small_set()
        copy = found.to("cuda")
        assert copy.train_images.device == torch.device("cuda:0")
        assert copy.to(torch.device("cuda")) is copy and copy.to("cuda:0") is copy
        assert found.to("cuda:0") is copy and found.to(torch.device("cuda")) is copy


def test_threads_that_need_a_set_on_one_device_share_one_copy():
    found, copies, start = small_set(), [], threading.Barrier(10)

    def copy():
        start.wait()
        copies.append(found.to("meta"))

    threads = [threading.Thread(target=copy) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(copies) == 10 and len({id(one) for one in copies}) == 1
