"""Device placement, checked without a GPU: the `meta` device has shapes and no values, and refuses tensors of another device."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from distill_core.experiment import Experiment
from distill_core.teachers import Teacher
from distill_core.training.run_data import load_run_data, order_of_images

MOVED = ("images", "indices", "unlabelled", "labels", "teacher_logits", "teacher_test_logits")
SMALL = {"images": 150, "student": "mlp-12x2", "epochs": 2, "batch_size": 64}


def moved(data, device):
    """The same run data on a device."""
    network = copy.deepcopy(data.teachers[0].network).to(device)
    tensors = {name: getattr(data, name).to(device) for name in MOVED}
    return replace(data, dataset=data.dataset.to(device), teachers=(Teacher(network, 1, ""),), **tensors)


@pytest.mark.parametrize("augmentation", ("none", "fixed", "consistent"))
@pytest.mark.parametrize("method", ("soft-targets", "hints", "distances"))
def test_every_part_of_a_batch_is_on_the_device_of_the_run(method, augmentation, monkeypatch):
    experiments = [Experiment(**SMALL, method=method, augmentation=augmentation, seed=seed) for seed in (0, 1)]
    data = load_run_data(experiments, device="cpu")
    mean_std = tuple(value.to("meta") for value in data.dataset.pixel_mean_std)
    monkeypatch.setattr(type(data.dataset), "pixel_mean_std", mean_std)  # their values decide, and `meta` has none
    elsewhere = moved(data, "meta")
    assert order_of_images(experiments[0], elsewhere.indices[0], 0).device.type == "meta"
    for indices in elsewhere.batches(1):
        images, labels, logits, features, _ = elsewhere.get_batch(indices, 3)
        assert {tensor.device.type for tensor in (indices, images, labels, logits, *features)} == {"meta"}
        assert images.shape[:2] == labels.shape == logits.shape[:2] == indices.shape


def test_a_tensor_left_behind_on_another_device_is_an_error():
    data = load_run_data([Experiment(**SMALL)], device="cpu")
    left_behind = replace(moved(data, "meta"), labels=data.labels)
    with pytest.raises((RuntimeError, NotImplementedError)):
        left_behind.get_batch(next(left_behind.batches(0)), 0)


@pytest.mark.parametrize("seed", (0, 1))
def test_the_noisy_labels_of_a_transfer_set_contain_no_hidden_class(seed):
    data = load_run_data([Experiment(**{**SMALL, "images": 600}, label_noise=0.8, hide_classes=(3, 7), seed=seed)], device="cpu")
    (own,) = data.labels.gather(1, data.indices)
    assert set(own.tolist()) == set(range(10)) - {3, 7}
    assert (own != data.dataset.train_labels[data.indices[0]]).double().mean() > 0.7
