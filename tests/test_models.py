"""Networks by name: their sizes, their weights, their features."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from distill_core import models
from distill_core.models import Ensemble, build, check_model, count_parameters

MNIST = {"image_shape": (1, 28, 28), "classes": 10}
CIFAR = {"image_shape": (3, 32, 32), "classes": 10}


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("linear", MNIST, 784 * 10 + 10),
        ("mlp-30x2", MNIST, 784 * 30 + 30 + 30 * 30 + 30 + 30 * 10 + 10),
        ("mlp-300x1", MNIST, 784 * 300 + 300 + 300 * 10 + 10),
        ("mlp-1200x2", MNIST, 784 * 1200 + 1200 + 1200 * 1200 + 1200 + 1200 * 10 + 10),
        ("cnn-8", MNIST, (9 * 8 + 8) + (72 * 16 + 16) + (144 * 32 + 32) + (32 * 9 * 10 + 10)),
        ("cnn-8", CIFAR, (27 * 8 + 8) + (72 * 16 + 16) + (144 * 32 + 32) + (32 * 16 * 10 + 10)),
        (
            "resnet-8",
            CIFAR,
            27 * 16
            + 16
            + 2 * 16
            + 2 * (9 * 16 * 16 + 2 * 16)
            + (9 * 16 * 32 + 9 * 32 * 32 + 4 * 32 + 16 * 32)
            + (9 * 32 * 64 + 9 * 64 * 64 + 4 * 64 + 32 * 64)
            + 64 * 10
            + 10,
        ),
    ],
)
def test_parameters_are_those_of_the_closed_form(name, shape, expected):
    assert models.parameters(build(name, seed=0, **shape)) == expected
    assert count_parameters(name, **shape) == expected


@pytest.mark.parametrize("shape", ((1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 13, 9)))
@pytest.mark.parametrize("name", ("linear", "mlp-5x1", "mlp-5x3", "cnn-2"))
def test_every_family_accepts_every_image_shape(name, shape):
    network = build(name, image_shape=shape, classes=3, seed=0)
    images = torch.randn(4, *shape)
    logits, features = network(images, features=True)
    assert logits.shape == (4, 3) and torch.equal(logits, network(images))
    assert len(features) == len(network.blocks) and all(len(f) == 4 for f in features)


def test_an_mlp_is_the_formula():
    network = build("mlp-6x2", image_shape=(1, 8, 8), classes=3, seed=1).double()
    x = np.random.default_rng(0).normal(size=(5, 64))
    layers = [p.detach().numpy() for p in network.parameters()]
    one = np.maximum(x @ layers[0].T + layers[1], 0)
    two = np.maximum(one @ layers[2].T + layers[3], 0)
    logits, features = network(torch.from_numpy(x).view(5, 1, 8, 8), features=True)
    np.testing.assert_allclose(logits.detach(), two @ layers[4].T + layers[5], rtol=1e-12)
    np.testing.assert_allclose(features[0].detach(), one, atol=1e-14)
    np.testing.assert_allclose(features[1].detach(), two, atol=1e-14)


def test_features_of_a_cnn_halve_in_height_and_double_in_channels():
    _, features = build("cnn-4", seed=0, **MNIST)(torch.zeros(2, 1, 28, 28), features=True)
    assert [tuple(f.shape) for f in features] == [(2, 4, 14, 14), (2, 8, 7, 7), (2, 16, 3, 3)]


def test_the_seed_alone_sets_the_weights():
    torch.manual_seed(5)
    one = build("mlp-30x2", seed=3, **MNIST).state_dict()
    torch.manual_seed(6)
    same, other = build("mlp-30x2", seed=3, **MNIST).state_dict(), build("mlp-30x2", seed=4, **MNIST).state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_building_a_network_draws_nothing_from_the_global_generator():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    build("cnn-4", seed=9, **MNIST)
    count_parameters("mlp-30x2", **MNIST)
    assert torch.equal(torch.rand(3), expected)


def test_initial_weights_are_those_of_pytorch():
    network = build("mlp-30x1", seed=11, **MNIST)
    torch.manual_seed(11)
    blocks_first = [nn.Linear(30, 10), nn.Linear(784, 30)]  # in either order of drawing
    torch.manual_seed(11)
    stem_first = [nn.Linear(784, 30), nn.Linear(30, 10)]
    assert any(
        torch.equal(network.stem.weight, stem.weight) and torch.equal(network.head.weight, head.weight)
        for stem, head in (stem_first, reversed(blocks_first))
    )


@pytest.mark.parametrize("name", models.MODELS)
def test_every_listed_model_can_be_batched(name):
    """`vmap` cannot batch layers with running statistics or random draws."""
    network = build(check_model(name), seed=0, **MNIST)
    assert not any(isinstance(m, nn.Dropout | nn.modules.batchnorm._NormBase) for m in network.modules())


@pytest.mark.parametrize(
    "name",
    ("resnet99", "mlp", "mlp-30", "mlp-x2", "mlp-0x2", "mlp-30x0", "mlp-30x99", "mlp-999999x2", "cnn-0", "cnn-65", "cnn--1", "", "linear "),
)
def test_an_unknown_or_oversized_model_is_refused_by_name(refused, name):
    with refused(f"student '{name}'", "choose"):
        check_model(name)


@given(st.text(max_size=20))
def test_any_text_is_a_model_or_is_refused_in_one_sentence(name):
    try:
        assert check_model(name) == name
    except ValueError as error:
        assert "choose" in str(error)


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("cnn-8", (1, 7, 9), ("at least 8 x 8", "7 x 9")),
        ("airbench-64", (1, 8, 8), ("25 x 25 to 48 x 48", "8 x 8")),
        ("airbench-256", (3, 64, 64), ("25 x 25 to 48 x 48", "64 x 64")),
    ],
)
def test_a_model_for_images_of_the_wrong_size_is_refused_before_it_is_built(refused, name, shape, words):
    with refused(f"student '{name}'", *words, "mlp"):
        models.check_image_shape(name, shape)
    with refused(f"student '{name}'", *words, "mlp"):
        build(name, image_shape=shape, classes=2, seed=0)


@pytest.mark.parametrize("name", ("linear", "mlp-2x1", "cnn-1", "resnet-8", "resnet-20", "airbench-64"))
def test_the_check_of_image_shapes_accepts_exactly_those_on_which_a_network_runs(name):
    """From 1 x 1 to 65 x 65, on the meta device: shapes without numbers."""
    family = next(build for pattern, build, _ in models.FAMILIES.values() if pattern.fullmatch(name))
    sizes = [int(size) for size in name.replace("x", "-").split("-")[1:]] if name != "linear" else []
    for side in (*range(1, 35), 47, 48, 49, 64, 65):
        shape = (3, side, side)
        try:
            with torch.device("meta"), warnings.catch_warnings(action="ignore"):
                runs = family(shape, 4, *sizes)(torch.empty(2, *shape)).shape == (2, 4)
                runs = runs and (name != "cnn-1" or side >= 8)  # below, its head has no inputs
        except (RuntimeError, ZeroDivisionError):
            runs = False
        try:
            models.check_image_shape(name, shape)
        except ValueError:
            assert not runs, side
        else:
            assert runs, side


def test_an_ensemble_has_the_mean_probabilities_of_its_members():
    members = [build("mlp-8x1", **MNIST, seed=seed) for seed in range(3)]
    images = torch.randn(5, 1, 28, 28)
    mean = torch.stack([torch.softmax(member(images), dim=1) for member in members]).mean(dim=0)
    assert torch.allclose(torch.softmax(models.Ensemble(members)(images), dim=1), mean, atol=1e-6)


def test_a_residual_block_of_zero_weights_is_a_relu():
    block = models.Residual(16, 16)
    for p in block.parameters():
        nn.init.zeros_(p)
    hidden = torch.randn(2, 16, 8, 8)
    assert torch.equal(block(hidden), torch.relu(hidden))


def test_a_flip_averaged_network_has_the_same_logits_for_an_image_and_its_mirror_image():
    network = models.FlipAveraged(models.build("cnn-4", image_shape=(3, 32, 32), classes=10, seed=0))
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(images), network(images.flip(-1)))
    alone = network.network
    torch.testing.assert_close(network(images), (alone(images) + alone(images.flip(-1))) / 2)


@pytest.mark.parametrize("weights", [(), (2.0, 1.0), (1.0, 3.0)])
def test_an_ensemble_is_the_weighted_mean_of_probabilities_or_of_logits(weights):
    torch.manual_seed(0)
    networks = [build("mlp-5x1", image_shape=(1, 8, 8), classes=4, seed=seed).double() for seed in (0, 1)]
    images = torch.rand(7, 1, 8, 8, dtype=torch.float64)
    one, other = (network(images) for network in networks)
    share = weights[0] / sum(weights) if weights else 0.5
    by_probabilities = Ensemble(networks, weights=weights)(images)
    expected = share * torch.softmax(one, dim=1) + (1 - share) * torch.softmax(other, dim=1)
    torch.testing.assert_close(torch.softmax(by_probabilities, dim=1), expected)
    by_logits = Ensemble(networks, weights=weights, combine="logits")(images)
    torch.testing.assert_close(by_logits, share * one + (1 - share) * other)


@pytest.mark.parametrize(
    ("name", "words"), [("linear", "no hidden layer"), ("mlp-30x1", "1 layer of 30"), ("mlp-1200x2", "2 layers of 1,200")]
)
def test_the_layers_of_a_model_in_words(name, words):
    assert models.layers_in_words(name) == words


@pytest.mark.parametrize("name", models.MODELS)
def test_every_model_has_words_for_its_layers(name):
    assert models.layers_in_words(name)
