"""A text as a data set: windows of L tokens, each with the token that follows every position.

A window is one *example* wherever a run counts or draws examples: the field `images` of an Experiment is its number of
windows. Inside a window every position is classified: logits `(B, L, V)` are B x L examples with V classes.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from distill_core.data.dataset import Dataset


@dataclass(frozen=True, eq=False)
class Text(Dataset):
    """Training and test windows of one text.

    `train_images`, `test_images`: tokens `(N, L)` uint8; `train_labels`, `test_labels`: the next token at each position `(N, L)`
    int64; `class_names`: the vocabulary of V tokens. A token is a character, or a word where `separator` is a space.
    """

    separator: str = ""
    truth: Callable[[Tensor], Tensor] | None = None  # tokens (N, L) to the true log-probabilities (N, L, V), where they are known

    is_text = True

    @property
    def length(self) -> int:
        """L, the tokens of a window."""
        return self.train_images.shape[1]

    def inputs(self, images: Tensor, dtype: torch.dtype) -> Tensor:
        """The input of a language model: token numbers."""
        return images.long()

    def pixels(self, images: Tensor) -> Tensor:
        """The same."""
        return images.long()

    @functools.cached_property
    def example_labels(self) -> Tensor:
        """A window has no class of its own: all are 0."""
        return torch.zeros(len(self.train_labels), dtype=torch.int64, device=self.train_labels.device)

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of all tokens, and of what they stand for."""
        tokens = super().fingerprint
        return hashlib.sha256(repr((tokens, self.class_names, self.separator)).encode()).hexdigest()[:16]

    @functools.cached_property
    def characters_per_token(self) -> float:
        """That of the tokens that are predicted in the test windows."""
        return self.characters_of(self.test_labels)

    def characters_of(self, labels: Tensor) -> float:
        """The mean number of characters of these tokens; a word counts the space before it."""
        lengths = torch.tensor([len(name) + len(self.separator) for name in self.class_names], device=labels.device)
        return lengths[labels].double().mean().item()

    def encode(self, text: str) -> list[int]:
        """The tokens of a text. Raises `ValueError` for one that is not in the vocabulary."""
        numbers = {name: number for number, name in enumerate(self.class_names)}
        pieces = text.split() if self.separator else list(text)
        for piece in pieces:
            if piece not in numbers:
                known = ", ".join(self.class_names) if self.separator else "the characters of the text it learned from"
                raise ValueError(f"{piece[:20]!r} is not in the vocabulary of {self.title}; use {known}")
        return [numbers[piece] for piece in pieces]

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of some tokens."""
        return self.separator.join(self.class_names[token] for token in tokens)


def windows(tokens: np.ndarray, length: int) -> tuple[Tensor, Tensor]:
    """A text `(n,)` cut into windows without overlap: tokens `(N, L)` uint8, and the token after each `(N, L)` int64."""
    count = (len(tokens) - 1) // length
    inputs = torch.from_numpy(tokens[: count * length].astype(np.uint8)).view(count, length)
    targets = torch.from_numpy(tokens[1 : count * length + 1].astype(np.int64)).view(count, length)
    return inputs, targets
