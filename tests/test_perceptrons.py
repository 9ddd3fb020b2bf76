"""What is written out by hand is what autograd finds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from distill_core import models
from distill_core.batch import Batch
from distill_core.objectives import METHODS, objective
from distill_core.training import perceptrons

SHAPE = {"image_shape": (1, 4, 4), "classes": 5}


def networks(name, count):
    return [models.build(name, **SHAPE, seed=seed).double() for seed in range(count)]


def layers_of(nets):
    """Stacked weights and biases, layer by layer."""
    parts = [dict(net.named_parameters()) for net in nets]
    names = perceptrons.linear_layers(nets[0])
    stacked = [[torch.stack([own[f"{name}.{kind}"].detach() for own in parts]) for kind in ("weight", "bias")] for name in names]
    return [(weight, bias.unsqueeze(2)) for weight, bias in stacked]


@pytest.mark.parametrize(("name", "layers"), [("linear", 1), ("mlp-6x1", 2), ("mlp-6x3", 4)])
def test_a_perceptron_is_recognised_by_its_layers(name, layers):
    assert len(perceptrons.linear_layers(models.build(name, **SHAPE, seed=0))) == layers


def test_a_network_with_another_kind_of_layer_is_no_perceptron():
    assert perceptrons.linear_layers(models.build("cnn-4", image_shape=(1, 8, 8), classes=5, seed=0)) is None
    assert perceptrons.linear_layers(models.build("mlp-6x2", **SHAPE, seed=0, dropout=0.5)) is None
    assert perceptrons.linear_layers(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))) is None
    assert perceptrons.linear_layers(nn.Sequential(nn.ReLU(), nn.Linear(3, 3))) is None


@pytest.mark.parametrize("name", ["linear", "mlp-6x1", "mlp-6x3"])
@pytest.mark.parametrize(("seeds", "images_of"), [(1, 1), (2, 2), (2, 1)], ids=["one seed", "two seeds", "shared images"])
def test_forward_and_backward_are_those_of_each_network_alone(name, seeds, images_of):
    torch.manual_seed(0)
    nets = networks(name, 2 * seeds)
    layers = layers_of(nets)
    images = torch.randn(images_of, 7, 16, dtype=torch.float64)
    outputs = perceptrons.forward(layers, images)
    gradient = torch.randn(2 * seeds, 5, 7, dtype=torch.float64)
    into = [tuple(torch.full_like(value, torch.nan) for value in layer) for layer in layers]
    perceptrons.backward(layers, images, outputs, gradient, into=into)
    for k, net in enumerate(nets):
        logits = net(images[k * images_of // len(nets)])
        torch.testing.assert_close(outputs[-1][k].T, logits, rtol=1e-12, atol=1e-12)
        logits.backward(gradient[k].T)
        found = [value[k].view(-1) for layer in into for value in layer]
        for ours, parameter in zip(found, [p for layer in (net.stem, *net.blocks, net.head) for p in layer.parameters()], strict=True):
            torch.testing.assert_close(ours, parameter.grad.view(-1), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("unlabelled", [0, 3])
def test_the_gradient_by_hand_and_by_autograd_is_that_of_each_member_alone(unlabelled):
    torch.manual_seed(0)
    seeds, members, classes, examples = 2, 3, 5, 7
    student = torch.randn(seeds, members, classes, examples, dtype=torch.float64) * 4
    teacher = torch.randn(seeds, 1, classes, examples, dtype=torch.float64) * 4
    labels = torch.randint(0, classes, (seeds, examples))
    labels[:, examples - unlabelled :] = -1
    alpha, temperature = torch.rand(2, seeds, members, 1, 1, dtype=torch.float64)
    alpha[0, 0], alpha[1, 1], temperature = 0.0, 1.0, 0.5 + 9 * temperature
    more = {"labels_only": torch.zeros_like(alpha, dtype=torch.bool), "unlabelled": unlabelled}
    batch = Batch(student, teacher, labels[:, None, None], alpha, temperature, **more)
    for gradient_of in (perceptrons.soft_targets_gradient, perceptrons.gradient_by_autograd(METHODS["soft-targets"])):
        gradient, terms = gradient_of(batch)
        for s in range(seeds):
            for m in range(members):
                logits = student[s, m].T.clone().requires_grad_()
                choices = {"alpha": alpha[s, m].item(), "temperature": temperature[s, m].item(), "unlabelled": unlabelled}
                total, expected = objective(METHODS["soft-targets"], Batch(logits, teacher[s, 0].T, labels[s], **choices))
                total.backward()
                torch.testing.assert_close(gradient[s, m].T, logits.grad, rtol=1e-12, atol=1e-14)
                for name, value in expected.items():
                    torch.testing.assert_close(terms[name][s * members + m], value.detach(), rtol=1e-12, atol=1e-14)
