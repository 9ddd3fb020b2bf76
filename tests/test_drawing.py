"""A drawing is normalised like the digits of the data sets, and the teachers classify it."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from distill_core import teachers
from distill_core.data import datasets
from distill_core.data.drawing import centre_digit

GRID = 112


def on_pad(digit, generator, *, smallest=0.35):
    """A digit of the data set on a pad: of any size from `smallest`, at any place, with a stroke of any thickness."""
    rows, columns = np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))
    ink = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = generator.uniform(smallest, 0.93) * GRID / max(ink.shape)
    height, width = (max(2, round(side * scale)) for side in ink.shape)
    large = Image.fromarray(ink).resize((width, height), Image.Resampling.BICUBIC)
    thick = Image.fromarray(np.pad(np.asarray(large), 3)).filter(ImageFilter.MaxFilter(int(generator.choice([1, 3, 5]))))
    ink = np.clip((np.asarray(thick)[1:-1, 1:-1].astype(float) - 64) * 2, 0, 255).astype(np.uint8)  # a drawn stroke has sharper edges
    pad = np.zeros((GRID, GRID), np.uint8)
    top, left = (generator.integers(0, GRID - side + 1) for side in ink.shape)
    pad[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return pad


def drawn_accuracy(dataset, name, *, count, source=None, times=1, smallest=0.35):
    """A teacher's accuracy on drawings of `count` digits of `source` (by default its test images), and on its test images."""
    generator = np.random.default_rng(0)
    source = source or dataset
    chosen = torch.from_numpy(generator.permutation(len(source.test_labels))[:count]).repeat(times)
    pads = [on_pad(image, generator, smallest=smallest) for image in source.test_images[chosen, 0].numpy()]
    images = torch.from_numpy(np.stack([centre_digit(pad, size=dataset.image_shape[1]) for pad in pads])).unsqueeze(1)
    teacher = teachers.load_teacher(dataset, name)
    predictions = teachers.logits(teacher.network, dataset, images).argmax(dim=1)
    accuracy = (predictions == source.test_labels[chosen]).double().mean().item()
    tested = teacher.card.test_accuracy
    print(f"{name} of {dataset.name} on {len(chosen)} drawn digits of {source.name}: {accuracy:.2%}, on its test images {tested:.2%}")
    return accuracy, tested


needs_mnist = pytest.mark.skipif(not datasets.DATASETS["mnist"].is_here(), reason="MNIST is not on this machine")


@needs_mnist
@pytest.mark.parametrize("name", ["cnn-32", "mlp-1200x2"])
def test_the_accuracy_on_drawn_digits_is_within_two_points_of_the_test_accuracy(name):
    drawn, tested = drawn_accuracy(datasets.load("mnist"), name, count=500)
    assert drawn > tested - 0.02


@pytest.mark.parametrize("name", ["cnn-32", "mlp-1200x2"])
def test_the_accuracy_on_large_drawings_in_8_by_8_pixels_is_within_two_and_a_half_points(name):
    drawn, tested = drawn_accuracy(datasets.load("digits"), name, count=359, times=5, smallest=0.6)
    assert drawn > tested - 0.025


@pytest.mark.parametrize("name", ["cnn-32", "mlp-1200x2"])
def test_the_accuracy_on_drawings_of_all_sizes_in_8_by_8_pixels_is_within_three_and_a_half_points(name):
    """Drawn a third as large, a stroke is three times as thick in 8 x 8 pixels."""
    drawn, tested = drawn_accuracy(datasets.load("digits"), name, count=359, times=5)
    assert drawn > tested - 0.035


@needs_mnist
@pytest.mark.parametrize("name", ["cnn-32", "mlp-1200x2"])
def test_digits_of_mnist_drawn_for_the_8_by_8_teacher_are_deslanted_and_widened(name):
    """MNIST's digits are slanted and narrow: with their shape kept, the accuracies were 69 % and 62 %."""
    drawn, _ = drawn_accuracy(datasets.load("digits"), name, count=1000, source=datasets.load("mnist"))
    assert drawn > {"cnn-32": 0.72, "mlp-1200x2": 0.66}[name]


def test_a_slanted_stroke_is_deslanted():
    pad = np.zeros((GRID, GRID), np.uint8)
    for row in range(10, 100):
        pad[row, 80 - row // 2 : 90 - row // 2] = 255  # a slant of half a column per row
    ink = centre_digit(pad, size=8).astype(float)
    middles = (ink * (np.arange(8) + 0.5)).sum(axis=1) / ink.sum(axis=1)
    assert ink.any(axis=1).all()
    assert abs(middles[0] - middles[-1]) < 2.5  # above 4 without the correction


def test_place_and_size_of_a_drawing_do_not_change_the_image():
    pad = np.zeros((GRID, GRID), np.uint8)
    pad[10:50, 20:28] = pad[10:18, 20:40] = 255
    shifted, larger = np.roll(pad, (40, 60), (0, 1)), np.kron(pad, np.ones((2, 2), np.uint8))
    np.testing.assert_array_equal(centre_digit(shifted), centre_digit(pad))
    np.testing.assert_array_equal(centre_digit(larger), centre_digit(pad))


@pytest.mark.parametrize(("size", "box"), [(28, (20, 10)), (8, (8, 6))])
def test_a_stroke_fills_its_box_and_its_mass_is_centred(size, box):
    pad = np.zeros((GRID, GRID), np.uint8)
    pad[30:70, 60:80] = 255
    image = centre_digit(pad, size=size).astype(float)
    assert image.shape == (size, size)
    assert ((image > 0).any(axis=1).sum(), (image > 0).any(axis=0).sum()) == box
    for axis in (0, 1):
        positions = np.arange(size) + 0.5
        assert abs((image.sum(axis=axis) * positions).sum() / image.sum() - size / 2) <= 0.5


def test_a_drawing_with_its_mass_on_one_side_is_not_cut():
    pad = np.zeros((GRID, GRID), np.uint8)
    pad[20:100, 10:22] = 255
    pad[58:60, 10:110] = 60  # a long faint tail, far from the centre of mass
    image = centre_digit(pad)
    assert (image > 0).any(axis=0).sum() == 20


def test_an_empty_pad_gives_an_empty_image():
    for pad in (np.zeros((GRID, GRID), np.uint8), np.full((GRID, GRID), 3, np.uint8)):
        for size in (28, 8):
            assert not centre_digit(pad, size=size).any()


def test_a_single_dot_fills_the_box():
    pad = np.zeros((GRID, GRID), np.uint8)
    pad[0, 0] = 255
    assert centre_digit(pad)[4:24, 4:24].all()


def test_a_size_without_a_set_of_digits_is_refused(refused):
    with refused(32, 28, 8):
        centre_digit(np.zeros((GRID, GRID), np.uint8), size=32)
