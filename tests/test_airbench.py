"""The strong teacher's recipe: what can be checked without training it for ten epochs."""

from dataclasses import replace

import torch
from torch import nn

from distill_core import models, teachers
from distill_core.data.datasets import Dataset
from distill_core.teachers import airbench


def tiny_pictures(n=1100):
    """Pictures of two classes that differ in their colour."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 2
    images = torch.randint(0, 120, (n, 3, 32, 32), generator=generator, dtype=torch.uint8)
    images[labels == 1, 0] += 100
    return Dataset("tiny", "Tiny", ("dark", "red"), images, labels, images[:100], labels[:100])


def with_statistics():
    torch.manual_seed(0)
    network = models.airbench((3, 32, 32), 10, 64, normalised=True)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.2, 3.0)
            layer.bias.data.normal_()
    return network.eval()


def test_folding_the_normalisations_changes_no_answer():
    network = with_statistics()
    plain = airbench.fold(network)
    images = torch.randn(8, 3, 32, 32)
    assert torch.allclose(network(images), plain(images), atol=1e-6)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in plain.modules())


def test_the_first_layer_whitens_patches():
    dataset = tiny_pictures()
    network = models.airbench((3, 32, 32), 2, 64, normalised=True)
    pixels = dataset.pixels(dataset.train_images)
    airbench._begin(network, pixels)
    half = network.stem.out_channels // 2
    responses = network.stem(pixels)[:, :half].transpose(0, 1).flatten(1)  # (components, everything)
    covariance = responses @ responses.T / responses.shape[1]
    assert torch.allclose(covariance, torch.eye(half), atol=0.05)
    assert torch.equal(network.stem.weight[:half], -network.stem.weight[half:])


def test_a_new_block_passes_its_input_through():
    network = models.airbench((3, 32, 32), 2, 64, normalised=True)
    airbench._begin(network, torch.randn(500, 3, 32, 32))
    convolution = next(
        layer for layer in network.blocks.modules() if isinstance(layer, nn.Conv2d) and layer.in_channels == layer.out_channels
    )
    images = torch.randn(2, convolution.in_channels, 9, 9)
    assert torch.allclose(convolution(images), images)


def test_the_learning_rate_is_a_triangle():
    assert airbench._triangle(0.0) == 0.2
    assert airbench._triangle(0.23) == 1.0
    assert abs(airbench._triangle(1.0) - 0.07) < 1e-12


def test_training_repeats_exactly_and_separates_two_colours():
    dataset = tiny_pictures()
    runs = []
    for _ in range(2):
        for done, network in airbench.fit(dataset, width=64, epochs=8, seed=0):  # noqa: B007
            pass
        assert done == 1.0
        with torch.no_grad():
            runs.append(network(dataset.pixels(dataset.test_images)))
    assert torch.equal(runs[0], runs[1])
    assert (runs[0].argmax(dim=1) == dataset.test_labels).double().mean() > 0.9


def test_polishing_goes_on_from_the_folded_network_and_leaves_the_whitening_alone():
    dataset = tiny_pictures()
    *_, (_, begun) = airbench.train(dataset, width=64, epochs=2, finetune_epochs=0, seed=0)
    *_, (done, ended) = airbench.train(dataset, width=64, epochs=2, finetune_epochs=2, seed=0)
    assert done == 1.0 and not ended.training
    assert torch.equal(begun.stem.weight, ended.stem.weight)
    assert not torch.equal(begun.head[1].weight, ended.head[1].weight)
    pixels, labels = dataset.pixels(dataset.test_images), dataset.test_labels
    with torch.no_grad():
        before, after = (nn.functional.cross_entropy(network(pixels), labels, label_smoothing=0.2) for network in (begun, ended))
    assert after < before


def trained(dataset, recipe):
    """A teacher of this recipe, and the fractions that were told meanwhile."""
    weights = {}

    def train():
        weights.update((yield from teachers._train(dataset, recipe, "")))

    told = [done for _, done in train()]
    network = teachers.teacher_network(dataset, recipe).eval()
    network.load_state_dict(weights)
    return network, told


def test_a_pair_is_two_teachers_of_other_seeds_and_answers_by_their_mean_probabilities():
    dataset = tiny_pictures()
    recipe = replace(teachers.TEACHERS["airbench-pair"], model="airbench-64", epochs=1, finetune_epochs=1)
    pair, told = trained(dataset, recipe)
    assert told == [0.25, 0.5, 0.75, 1.0]
    pixels = dataset.pixels(dataset.test_images[:20])
    alone = [trained(dataset, replace(recipe, members=1, seed=seed))[0] for seed in (0, 1)]
    with torch.no_grad():
        said = [network(pixels).softmax(dim=1) for network in alone]
        assert torch.allclose(pair(pixels).softmax(dim=1), (said[0] + said[1]) / 2, atol=1e-6)
    assert (said[0] - said[1]).abs().max() > 1e-3
