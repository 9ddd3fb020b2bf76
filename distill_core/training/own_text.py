"""Text that is not of the data set: what the teacher wrote before the training, and what a student writes in a step of its own.

In an on-policy step each student writes its own windows, which begin as those of its batch; the teacher then outputs its logits for
every position of them. Baselines train on the data set in every step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from distill_core.batch import Method
from distill_core.data.datasets import seeded
from distill_core.data.text import Text
from distill_core.language_models import LanguageModel, draw, write

PROMPT = 4  # a quarter of a window is that of the data set


def is_own(method: Method, step: int) -> bool:
    """Whether the students write the text of this step; the same for all seeds."""
    return method.student_writes > 0 and float(torch.rand((), generator=seeded(0, "own text", step))) < method.student_writes


def written_by_teacher(network: LanguageModel, dataset: Text, windows: Tensor, *, seed: int) -> tuple[Tensor, Tensor]:
    """As many windows as `windows` `(n, L)`, each beginning with the same token: tokens `(n, L)` uint8, and the token after each."""
    parts = [
        write(network, part[:, :1].long(), dataset.length, length=dataset.length, generator=seeded(seed, "teacher's text", number))
        for number, part in enumerate(windows.split(250))
    ]
    text = torch.cat(parts)
    return text[:, :-1].to(windows.dtype), text[:, 1:]


def written_by_students(network: LanguageModel, weights: dict[str, Tensor], windows: Tensor, *, seeds: Sequence[int], step: int) -> Tensor:
    """Texts `(K, B, L + 1)` of K students with stacked weights, which begin as the windows `(K, B, L)`.

    Equal seeds draw with the same random numbers, so that a student writes in a cohort what it would write alone.
    """
    length = windows.shape[-1]
    generators = [seeded(seed, "own text", step) for seed in seeds]
    named = {f"network.{name}": value for name, value in weights.items()}
    reader = Reader(network)
    text, past = windows[..., : length // PROMPT].long(), None
    unread = text
    while text.shape[-1] <= length:
        if past is None:
            logits, past = vmap(lambda own, tokens: functional_call(reader, own, (tokens,)))(named, unread)
        else:
            logits, past = vmap(lambda own, tokens, kept: functional_call(reader, own, (tokens, kept)))(named, unread, past)
        unread = torch.stack([draw(of_student, generator=own) for of_student, own in zip(logits, generators, strict=True)])
        text = torch.cat([text, unread], dim=-1)
    return text


class Reader(nn.Module):
    """`LanguageModel.read` from tokens, as a module: the logits of the last position, and what is kept."""

    def __init__(self, network: LanguageModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, past: object = None) -> tuple[Tensor, object]:
        logits, _, past = self.network.read(self.network.stem(tokens), past)
        return logits[..., -1, :], past
