"""Compressed networks are really smaller, are what the formulas say, and come back from their packed files."""

import copy
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save
from torch import nn
from torch.nn.utils import prune

from distill_core import models, teachers
from distill_core.compression import (
    Compression,
    compress,
    cost_of,
    factorise,
    latency,
    pack,
    parse_compression,
    prune_neurons,
    prune_weights,
    quantise,
    unpack,
)
from distill_core.compression.pruning import weight_layers
from distill_core.compression.quantisation import codes
from distill_core.data import datasets

GREY = {"image_shape": (1, 16, 16), "classes": 10}
NAMES = ("linear", "mlp-30x2", "cnn-8")


def network(name, seed=0):
    return models.build(name, seed=seed, **GREY).eval().requires_grad_(False)


def images(n=8):
    return torch.randn(n, *GREY["image_shape"], generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
def test_pruned_weights_are_those_that_torch_prunes(name):
    ours, theirs = prune_weights(network(name), share=0.6), network(name)
    layers = [(layer, "weight") for _, layer in weight_layers(theirs)]
    prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=0.6)
    for (_, one), (other, _) in zip(weight_layers(ours), layers, strict=True):
        assert torch.equal(one.weight, other.weight)


@pytest.mark.parametrize("name", ["mlp-30x2", "cnn-8"])
def test_a_network_without_half_of_its_units_has_the_shape_of_the_smaller_model_and_its_flops(name):
    small, smaller = prune_neurons(network(name), share=0.5), network({"mlp-30x2": "mlp-15x2", "cnn-8": "cnn-4"}[name])
    assert [value.shape for value in small.state_dict().values()] == [value.shape for value in smaller.state_dict().values()]
    assert cost_of(small, image_shape=GREY["image_shape"]) == cost_of(smaller, image_shape=GREY["image_shape"])
    assert cost_of(small, image_shape=GREY["image_shape"]).flops < 0.55 * cost_of(network(name), image_shape=GREY["image_shape"]).flops


@pytest.mark.parametrize("name", ["mlp-30x2", "cnn-8"])
def test_units_without_an_effect_are_removed_first_and_nothing_changes(name):
    whole = network(name)
    layers = weight_layers(whole)
    for (_, layer), (_, following) in itertools.pairwise(layers):
        width = layer.weight.shape[0]
        following.weight.unflatten(1, (width, -1))[:, ::2] = 0  # every other unit is not read by the next layer
    small = prune_neurons(whole, share=0.5)
    torch.testing.assert_close(small(images()), whole(images()), rtol=1e-4, atol=1e-5)


def test_a_network_with_shortcuts_keeps_its_units(refused):
    with refused("shortcuts", "mlp"):
        prune_neurons(network("resnet-8"), share=0.5)


@pytest.mark.parametrize("name", NAMES)
def test_a_factorised_layer_is_the_nearest_of_its_rank(name):
    whole, small = network(name), factorise(network(name), rank=0.25)
    layers = iter(weight_layers(small))
    for _, layer in weight_layers(whole):
        matrix = layer.weight.flatten(1)
        first = next(layers)[1].weight
        if first.shape == layer.weight.shape:
            continue  # it would not have been smaller
        second = next(layers)[1].weight.flatten(1)
        errors = torch.linalg.svdvals(matrix)[len(first) :]
        assert torch.dist(second @ first.flatten(1), matrix).item() == pytest.approx(errors.norm().item(), rel=1e-4)
    assert models.parameters(small) < models.parameters(whole)


@pytest.mark.parametrize("name", NAMES)
def test_a_layer_of_low_rank_is_factorised_without_a_change_of_the_outputs(name):
    whole = network(name)
    for _, layer in weight_layers(whole):
        flat = layer.weight.flatten(1)
        layer.weight.copy_((flat[:, :1] @ flat[:1]).view_as(layer.weight))  # of rank one
    torch.testing.assert_close(factorise(whole, rank=0.2)(images()), whole(images()), rtol=1e-4, atol=1e-5)


@given(st.integers(2, 8), st.integers(0, 100))
def test_codes_are_whole_numbers_of_so_many_bits_and_the_error_is_at_most_that_of_the_full_range(bits, seed):
    weight = torch.randn(5, 12, generator=torch.Generator().manual_seed(seed))
    found, scale = codes(weight, bits=bits)
    most = 2 ** (bits - 1) - 1
    assert torch.equal(found, found.round()) and found.abs().max() <= most
    full = weight.abs().amax(dim=1, keepdim=True) / most
    plain = (weight / full).round() * full
    assert ((found * scale - weight).square().sum(dim=1) <= (plain - weight).square().sum(dim=1) + 1e-9).all()


@pytest.mark.parametrize("text", ["", "int8", "int4", "int3", "int2", "prune-80", "prune-80+int4", "neurons-50+rank-50+prune-50+int2"])
@pytest.mark.parametrize("name", NAMES)
def test_packed_weights_come_back(name, text):
    chosen = parse_compression(text)
    small = compress(network(name), chosen)
    packed = pack(small, bits=chosen.bits)
    back = unpack(packed, {key: value.shape for key, value in small.state_dict().items()})
    for key, value in small.state_dict().items():
        torch.testing.assert_close(back[key], value, rtol=1e-6, atol=1e-7)


def test_packed_files_are_smaller_by_their_bits_and_their_zeros():
    whole = network("mlp-128x2")
    size = {text: len(save(pack(compress(whole, parse_compression(text)), bits=parse_compression(text).bits))) for text in SIZES}
    for text, most in SIZES.items():
        assert size[text] <= most * size[""], (text, size)


SIZES = {"": 1.0, "int8": 0.28, "int4": 0.15, "int2": 0.09, "prune-90": 0.16, "neurons-50": 0.45, "prune-90+int4": 0.07}


def test_compression_does_not_change_the_network():
    whole = network("cnn-8")
    before = copy.deepcopy(whole.state_dict())
    compress(whole, Compression(neurons=50, rank=50, prune=50, bits=4))
    assert all(torch.equal(value, before[name]) for name, value in whole.state_dict().items())


@given(st.builds(Compression, st.integers(0, 99), st.integers(1, 100), st.integers(0, 99), st.sampled_from([2, 3, 4, 8, 32])))
def test_a_compression_comes_back_from_its_text(compression):
    assert parse_compression(str(compression)) == compression


@pytest.mark.parametrize("text", ["prune-100", "int16", "int4+prune-50", "prune-050", "prune", "rank-0", "int4+int4", "![](x)", "+"])
def test_other_texts_are_refused(text, refused):
    with refused(text.split("-")[0] if text != "+" else "compression"):
        parse_compression(text)


def test_flops_count_products_by_zero_only_where_they_are_computed():
    pruned = prune_weights(network("mlp-30x2"), share=0.5)
    dense, sparse = (cost_of(pruned, image_shape=GREY["image_shape"], sparse=sparse) for sparse in (False, True))
    weights = 256 * 30 + 30 * 30 + 30 * 10
    assert dense.flops == 2 * weights and sparse.flops == weights
    assert dense.parameters - sparse.parameters == weights // 2


def test_a_trained_teacher_of_8_bits_is_as_accurate_and_one_of_2_bits_is_not():
    dataset = datasets.load("digits")
    teacher = teachers.load_teacher(dataset, "cnn-32").network

    def errors(network):
        return int((teachers.logits(network, dataset, dataset.test_images).argmax(dim=1) != dataset.test_labels).sum())

    assert abs(errors(quantise(teacher, bits=8)) - errors(teacher)) <= 1
    assert errors(quantise(teacher, bits=2)) > errors(teacher)


def test_latency_is_that_of_the_calls_after_the_first():
    calls = []
    found = latency(lambda: calls.append(1), times=50, warm_up=5)
    assert len(calls) == 55 and 0 < found["median"] <= found["p99"]


def test_airbench_and_flips_can_be_pruned():
    one = models.FlipAveraged(models.build("airbench-64", image_shape=(3, 32, 32), classes=10, seed=0)).eval().requires_grad_(False)
    small = prune_neurons(one, share=0.5)
    assert small(torch.zeros(2, 3, 32, 32)).shape == (2, 10) and models.parameters(small) < 0.3 * models.parameters(one)
    assert isinstance(small, nn.Module)
