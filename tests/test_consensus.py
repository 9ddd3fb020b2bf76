"""Be the teacher: which images are asked about, and what the students of a consensus learn."""

import pytest
import torch

from distill_core import consensus, models
from distill_core.data import datasets


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


def one_hot(dataset, images):
    return torch.nn.functional.one_hot(dataset.test_labels[images], dataset.classes).float()


def test_the_odd_images_are_the_most_uncertain_of_each_class():
    labels = torch.tensor([0, 0, 1, 1, 3])
    logits = torch.tensor([[9.0, 0, 0, 0], [1.0, 0.9, 0, 0], [0.0, 1, 0.5, 0], [0.0, 9, 0, 0], [0.0, 0, 0, 5]])
    assert consensus.odd_images(logits, labels) == [1, 2, 4]


def test_equal_targets_give_equal_students_and_a_difference_of_zero(digits):
    images = [int((digits.test_labels == c).nonzero()[0]) for c in range(10)]
    result = consensus.compare("digits", images, one_hot(digits, torch.tensor(images)).tolist())
    assert result["accuracy"]["class"] == result["accuracy"]["labels"]
    assert (
        result["class_minus"]["labels"]["mean"] == 0
        and result["class_minus"]["labels"]["low"] < 0 < result["class_minus"]["labels"]["high"]
    )
    assert result["images"] == 10 and result["test_images"] == len(digits.test_labels) - 10


def test_a_class_that_confuses_every_digit_teaches_wrong_digits(digits):
    images = torch.tensor([int((digits.test_labels == c).nonzero()[0]) for c in range(10)])
    right = one_hot(digits, images)
    found = consensus.train_on(digits, images, {"right": right, "wrong": right.roll(1, dims=1)})
    assert min(found["right"]) > 20 and max(found["wrong"]) < min(found["right"])


def test_a_stacked_student_is_the_student_trained_alone(digits, monkeypatch):
    monkeypatch.setattr(consensus, "SEEDS", 2)
    images = torch.arange(10)
    target = one_hot(digits, images)
    network = models.build(consensus.STUDENT, image_shape=digits.image_shape, classes=10, seed=1)
    optimizer, pixels = torch.optim.Adam(network.parameters(), lr=consensus.LEARNING_RATE), digits.pixels(digits.test_images)
    for _ in range(consensus.STEPS):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(pixels[:10]), target).backward()
        optimizer.step()
    alone = 100 * float((network(pixels[10:]).argmax(-1) == digits.test_labels[10:]).float().mean())
    assert consensus.train_on(digits, images, {"labels": target})["labels"][1] == pytest.approx(alone, abs=0.6)  # two of 349 images


def test_soft_labels_that_do_not_fit_the_images_are_refused(refused):
    with refused("0 soft labels"):
        consensus.compare("digits", [1, 2], [])
