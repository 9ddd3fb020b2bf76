"""A training step never waits for a GPU: nothing is read back from it, and nothing is copied to it that it has to wait for.

The tensors are on PyTorch's device "meta", which has shapes without data. To read a value from it is an error there; on a GPU it
would wait for all the work that is queued. Unlike fake tensors of a GPU, they have a backward pass on every build of PyTorch.
"""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from distill_core.data.dataset import to_device
from distill_core.experiment import Experiment
from distill_core.training.cohort import Cohort

COPIES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}


class Copies(TorchDispatchMode):
    """Fails for a copy between devices that waits, and for an operation on tensors of two devices, which makes one."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        devices = {value.device.type for value in tree_leaves((args, kwargs, found)) if isinstance(value, Tensor) and value.dim()}
        is_free = function in COPIES and (kwargs or {}).get("non_blocking")
        assert len(devices) < 2 or is_free, f"{function} copies between {devices}"
        return found


class Literals(TorchFunctionMode):
    """Fails where a tensor of Python's numbers is made on the device, or they choose from one: they are copied to it."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        device = torch.device((kwargs or {}).get("device") or "cpu")
        assert function not in (torch.tensor, torch.as_tensor) or device.type == "cpu", f"{function.__name__} copies {args} to the device"
        if function in (Tensor.__getitem__, Tensor.__setitem__) and args[0].device.type != "cpu":
            chosen = args[1] if isinstance(args[1], tuple) else (args[1],)
            assert not any(isinstance(part, list) for part in chosen), f"the list {chosen} is copied to the device"
        return function(*args, **(kwargs or {}))


def moved(value):
    """A copy of a cohort, or of a part of it, with all its tensors on "meta"."""
    if isinstance(value, Tensor):
        return value.to("meta")
    if isinstance(value, nn.Module):
        return copy.deepcopy(value).to("meta")
    if isinstance(value, dict):
        return {name: moved(one) for name, one in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(moved(one) for one in value)
    if type(value).__module__.startswith("distill_core.") and hasattr(value, "__dict__"):
        one = copy.copy(value)
        vars(one).update({name: moved(own) for name, own in vars(value).items()})
        return one
    return value


def train_epoch(cohort):
    """The steps of one epoch, in which nothing waits."""
    for indices in cohort.data.batches(0):
        cohort.train_step(indices, learning_rate=0.01)
        cohort.step += 1


LITTLE = {"dataset": "little-language", "teacher": "gpt-64x2", "student": "gpt-16x1", "images": 20, "batch_size": 10}


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"method": "decoupled"},
        {"method": "permuted-classes", "unlabelled": 30, "augmentation": "fixed"},
        {"method": "hints", "unlabelled": 30},
        {"method": "mutual-3"},
        {"student": "cnn-2", "augmentation": "consistent", "teacher": "cnn-32", "method": "attention"},
        {"compression": "prune-50+int4", "method": "jensen-shannon"},
        {"precision": "bfloat16-emulated"},
        {**LITTLE, "method": "on-policy"},
        {**LITTLE, "method": "sequence-level", "precision": "bfloat16-emulated"},
    ],
    ids=str,
)
def test_an_epoch_of_steps_never_waits_for_the_device(choices):
    fields = {"images": 50, "batch_size": 20, "student": "mlp-12x2", "epochs": 1, **choices}
    cohort = Cohort([Experiment(**fields, seed=seed) for seed in (0, 1)], device="cpu")
    _ = cohort.data.dataset.is_text or (cohort.data.dataset.pixel_mean_std, cohort.data.dataset._inverse_std)  # computed once for a set
    elsewhere = moved(cohort)
    assert elsewhere.optimizer.weights.device.type == elsewhere.data.images.device.type == "meta"
    elsewhere.train_step(next(elsewhere.data.batches(0)), learning_rate=0.01)  # what is computed once is computed
    with Literals(), Copies():
        train_epoch(elsewhere)
    assert elsewhere.step == cohort.schedule.steps_per_epoch == len(list(cohort.data.batches(0)))


@pytest.mark.parametrize(
    "wait",
    [
        lambda values: values.sum().item(),
        lambda values: bool((values > 0).any()),
        lambda values: values.cpu(),
        lambda values: values[values > 0],
        lambda values: values[[0, 2]],
        lambda values: values[torch.tensor([0, 2])],
        lambda values: values + torch.ones(3).to(values.device),
        lambda values: torch.tensor([1.0, 2.0], device=values.device),
    ],
    ids=("item", "bool", "cpu", "mask", "list", "indices", "copy", "tensor"),
)
def test_a_step_that_waits_is_found(wait):
    with pytest.raises((AssertionError, RuntimeError)), Literals(), Copies():
        wait(torch.zeros(3, device="meta"))


def test_numbers_drawn_on_the_cpu_are_copied_without_waiting():
    with Literals(), Copies():
        assert to_device(torch.rand(3), torch.device("meta")).device.type == "meta"
    drawn = torch.rand(3)
    assert to_device(drawn, torch.device("cpu")) is drawn


def test_the_unlabelled_images_of_a_batch_are_known_by_its_size():
    for images, unlabelled, batch_size in ((50, 30, 20), (40, 7, 20), (50, 2, 20), (10, 30, 64), (41, 3, 20)):
        (data,) = [Cohort([Experiment(images=images, unlabelled=unlabelled, batch_size=batch_size)], device="cpu").data]
        counted = [int((data.labels[0, indices[0]] == -1).sum()) for indices in data.batches(0)]
        assert [data.get_batch(indices, 0).unlabelled for indices in data.batches(0)] == counted and sum(counted) == unlabelled
