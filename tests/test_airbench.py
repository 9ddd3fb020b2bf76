"""Training of the airbench teacher, on a small set of 32 x 32 images.

Without instructions for bfloat16 a processor emulates its convolutions, ten times slower than those in float32: the batches
here are small (the rates of the recipe are per example), and the networks narrow.
"""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from distill_core import models, teachers
from distill_core.data.dataset import Dataset
from distill_core.teachers import airbench, making, recipes

WIDTH = 32


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    """One step of training and two of finetuning in an epoch of 70 images."""
    monkeypatch.setattr(airbench, "BATCH", 64)
    monkeypatch.setattr(airbench, "FINETUNE_BATCH", 32)


def two_colours(n=70, test=100):
    """Images of two classes that differ in their colour."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n + test) % 2
    images = torch.randint(0, 120, (n + test, 3, 32, 32), generator=generator, dtype=torch.uint8)
    images[labels == 1, 0] += 100
    return Dataset("tiny", "Tiny", ("dark", "red"), images[:n], labels[:n], images[n:], labels[n:])


def normalised_network():
    """A network whose batch normalisations have random statistics."""
    torch.manual_seed(0)
    network = models.airbench((3, 32, 32), 10, 64, normalised=True)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.2, 3.0)
            layer.bias.data.normal_()
    return network.eval()


def test_folding_the_normalisations_changes_no_logits():
    network = normalised_network()
    plain = airbench.fold(network)
    images = torch.randn(8, 3, 32, 32)
    assert torch.allclose(network(images), plain(images), atol=1e-6)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in plain.modules())


def test_the_first_layer_whitens_patches():
    dataset = two_colours(1100)
    network = models.airbench((3, 32, 32), 2, WIDTH, normalised=True)
    pixels = dataset.pixels(dataset.train_images)
    airbench.initialise(network, pixels)
    half = network.stem.out_channels // 2
    responses = network.stem(pixels)[:, :half].transpose(0, 1).flatten(1)  # (components, everything)
    covariance = responses @ responses.T / responses.shape[1]
    assert torch.allclose(covariance, torch.eye(half), atol=0.05)
    assert torch.equal(network.stem.weight[:half], -network.stem.weight[half:])


def test_a_new_convolution_is_the_identity():
    network = models.airbench((3, 32, 32), 2, 64, normalised=True)
    airbench.initialise(network, torch.randn(500, 3, 32, 32))
    convolution = next(
        layer for layer in network.blocks.modules() if isinstance(layer, nn.Conv2d) and layer.in_channels == layer.out_channels
    )
    images = torch.randn(2, convolution.in_channels, 9, 9)
    assert torch.allclose(convolution(images), images)


def test_the_learning_rate_is_a_triangle():
    assert airbench.triangular_schedule(0.0) == 0.2
    assert airbench.triangular_schedule(0.23) == 1.0
    assert abs(airbench.triangular_schedule(1.0) - 0.07) < 1e-12


def test_training_repeats_exactly_and_separates_two_colours():
    dataset = two_colours()
    runs = []
    for _ in range(2):
        for done, network in airbench.fit(dataset, width=WIDTH, epochs=8, seed=0):  # noqa: B007
            pass
        assert done == 1.0
        with torch.no_grad():
            runs.append(network(dataset.pixels(dataset.test_images)))
    assert torch.equal(runs[0], runs[1])
    assert (runs[0].argmax(dim=1) == dataset.test_labels).double().mean() > 0.9


def test_finetuning_lowers_the_loss_of_the_folded_network_and_keeps_its_whitening():
    dataset = two_colours()
    for done, finetuned in airbench.train(dataset, width=WIDTH, epochs=2, finetune_epochs=2, seed=0):
        if done == 0.5:
            folded = copy.deepcopy(finetuned)
    assert done == 1.0 and not finetuned.training
    assert torch.equal(folded.stem.weight, finetuned.stem.weight)
    assert not torch.equal(folded.head[1].weight, finetuned.head[1].weight)
    pixels, labels = dataset.pixels(dataset.test_images), dataset.test_labels
    with torch.no_grad():
        before, after = (nn.functional.cross_entropy(network(pixels), labels, label_smoothing=0.2) for network in (folded, finetuned))
    assert after < before


def trained(dataset, recipe):
    """A teacher of this recipe, and the progress of its training."""
    weights = {}

    def train():
        weights.update((yield from making.train_weights(dataset, recipe, "")))

    progress = [done for _, done in train()]
    network = recipes.teacher_network(recipe, image_shape=dataset.image_shape, classes=dataset.classes).eval()
    network.load_state_dict(weights)
    return network, progress


def test_a_pair_is_two_networks_of_different_seeds_with_mean_probabilities():
    dataset = two_colours()
    recipe = replace(teachers.TEACHERS["airbench-pair"], model="airbench-64", epochs=1, finetune_epochs=1)
    pair, progress = trained(dataset, recipe)
    assert progress == [0.0, 0.25, 0.5, 0.75, 1.0]
    pixels = dataset.pixels(dataset.test_images[:20])
    alone = [trained(dataset, replace(recipe, members=1, seed=seed))[0] for seed in (0, 1)]
    with torch.no_grad():
        soft = [network(pixels).softmax(dim=1) for network in alone]
        assert torch.allclose(pair(pixels).softmax(dim=1), (soft[0] + soft[1]) / 2, atol=1e-6)
    assert (soft[0] - soft[1]).abs().max() > 1e-3
