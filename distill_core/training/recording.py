"""A training step as one CUDA graph: recorded once for each shape of its inputs, then replayed.

A GPU finishes most operations of a step before Python has queued the next. Replayed, a step is queued as a whole. What is
recorded are addresses: a replay reads its inputs where those of the recording were, so each step first copies its own there; and
numbers that differ from step to step must be tensors.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

log = logging.getLogger(__name__)

FIRST_CALLS = 2  # computed as they are: libraries get ready in them, which cannot be recorded


def is_recorded(device: torch.device) -> bool:
    """Whether steps on this device are recorded and replayed: on a GPU."""
    return device.type == "cuda"


class Recording:
    """Training steps on one device, functions that change tensors in place; each is recorded for each shape of its inputs.

    A step that cannot be recorded is computed as it is, and so is every step on a CPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._is_on = is_recorded(device)
        self._numbers = torch.zeros(2, device=device).unbind() if self._is_on else ()
        self._calls: dict[tuple, int] = {}
        self._recorded: dict[tuple, Recorded | None] = {}  # None: it cannot be recorded

    def numbers(self, *values: float) -> tuple[float | Tensor, ...]:
        """Two numbers that differ from step to step, as a step reads them: on a GPU they are put where a replay reads them."""
        for place, value in zip(self._numbers, values, strict=False):
            place.fill_(value)
        return self._numbers or values

    def __call__(self, step: Callable, inputs: object) -> object:
        """`step(inputs)`, or its replay. `inputs`: a tensor, or a tuple of tensors and plain values.

        Returns what the step returned when it was recorded: no tensor, and nothing that differs between inputs of one shape.
        """
        if not self._is_on:
            return step(inputs)
        leaves, structure = tree_flatten(inputs)
        kinds = tuple((tuple(one.shape), one.dtype) if isinstance(one, Tensor) else one for one in leaves)
        key = (step.__name__, structure, kinds)
        calls = self._calls[key] = self._calls.get(key, 0) + 1
        if calls > FIRST_CALLS and key not in self._recorded:
            self._recorded[key] = self._record(step, inputs)
        recorded = self._recorded.get(key)
        return recorded.replay_with(leaves) if recorded else step(inputs)

    def _record(self, step: Callable, inputs: object) -> Recorded | None:
        copies = tree_map(lambda one: one.clone() if isinstance(one, Tensor) else one, inputs)
        try:
            replay, returned = record(lambda: step(copies))
        except RuntimeError as error:  # it would wait for the GPU, or its library allocates on its own
            log.warning("a step of training is not recorded: %s", error)
            return None
        return Recorded(tree_flatten(copies)[0], replay, returned)


@dataclass(frozen=True)
class Recorded:
    """A step as it was recorded: where it reads its inputs, how it is replayed, and what it returned."""

    places: list
    replay: Callable[[], None]
    returned: object

    def replay_with(self, inputs: list) -> object:
        """Replay it on these inputs, the leaves of what the step is called with."""
        for place, one in zip(self.places, inputs, strict=True):
            if isinstance(place, Tensor):
                place.copy_(one)
        self.replay()
        return self.returned


_ONE_AT_A_TIME = threading.Lock()  # in a process


def record(step: Callable[[], object]) -> tuple[Callable[[], None], object]:
    """A function that replays the step, and what the step returned; recording computes nothing."""
    graph = torch.cuda.CUDAGraph()
    with _ONE_AT_A_TIME, torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads go on with what they compute
        returned = step()
    return graph.replay, returned
