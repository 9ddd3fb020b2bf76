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
from distill_core.data.dataset import seeded, to_device
from distill_core.data.text import Text
from distill_core.language_models import LanguageModel, gumbel_noise, write

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
    prompts = windows[..., : length // PROMPT].long()
    drawn = length + 1 - prompts.shape[-1], prompts.shape[1], network.head.out_features
    noise = to_device(torch.stack([gumbel_noise(drawn, seeded(seed, "own text", step)) for seed in seeds]), prompts.device)
    writer, named = Writer(network), {f"network.{name}": value for name, value in weights.items()}
    if len(seeds) == 1:  # as much work as two of many students take
        return functional_call(writer, {name: value[0] for name, value in named.items()}, (prompts[0], noise[0]))[None]
    return vmap(lambda own, *inputs: functional_call(writer, own, inputs))(named, prompts, noise)


class Writer(nn.Module):
    """A language model that continues prompts `(B, P)` with noise `(n, B, V)`, one draw after another: texts `(B, P + n)`."""

    def __init__(self, network: LanguageModel) -> None:
        super().__init__()
        self.network = network

    def forward(self, prompts: Tensor, noise: Tensor) -> Tensor:
        text, unread, past = prompts, prompts, None
        for of_token in noise.unbind():
            logits, _, past = self.network.read(self.network.stem(unread), past)
            unread = (logits[..., -1, :] + of_token).argmax(dim=-1, keepdim=True)
            text = torch.cat([text, unread], dim=-1)
        return text
