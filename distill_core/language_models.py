"""Language models, written to be read aloud: a transformer on one slide, and a recurrent network.

Each outputs logits for the next token at every position of a window: tokens `(N, L)` to logits `(N, L, V)`, for V tokens in the
vocabulary and D units. To *write*, a model reads its own last token again and again; it keeps what it has computed of the tokens
before (the keys and values of a transformer, the state of a recurrent network), so that each further token costs one step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

HEADS = 4  # of the attention, whatever the width


class LanguageModel(nn.Module):
    """Tokens `(N, L)` to logits `(N, L, V)`; with `features=True` also the output of each block, `(N, L, D)` each."""

    stem: nn.Embedding  # the first layer, as in `models.Network`: students that read the same text compute it as one product

    def forward(self, tokens: Tensor, *, features: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        return self.after_stem(self.stem(tokens), features=features)

    def after_stem(self, hidden: Tensor, *, features: bool = False) -> Tensor | tuple[Tensor, list[Tensor]]:
        """The rest of the network, from the embedded tokens `(N, L, D)`."""
        logits, outputs, _ = self.read(hidden)
        return (logits, outputs) if features else logits

    def read(self, hidden: Tensor, past: Any = None) -> tuple[Tensor, list[Tensor], Any]:
        """Logits `(N, L, V)` and block outputs for embedded tokens `(N, L, D)` that follow the `past`; and what is kept of both."""
        raise NotImplementedError


# --- the transformer ------------------------------------------------------------------------------------------------


class GPT(LanguageModel):
    """A transformer that reads from left to right: embedded tokens and positions, `depth` blocks, and a linear head.

    Source: Radford et al. 2018 (GPT), section 3.1; normalisation before each part as in GPT-2.
    """

    def __init__(self, length: int, vocabulary: int, width: int, depth: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.empty(length, width))
        self.blocks = nn.ModuleList([Block(width, depth, dropout) for _ in range(depth)])
        self.head = nn.Linear(width, vocabulary)
        for weight in (self.stem.weight, self.positions):
            nn.init.normal_(weight, std=0.1)

    def read(self, hidden: Tensor, past: list | None = None) -> tuple[Tensor, list[Tensor], list]:
        before = past[0][0].shape[-2] if past else 0  # tokens that were read before
        hidden = hidden + self.positions[before : before + hidden.shape[-2]]  # (N, L, D)
        outputs, kept = [], []
        for number, block in enumerate(self.blocks):
            hidden, keys_and_values = block(hidden, past[number] if past else None)
            outputs.append(hidden)
            kept.append(keys_and_values)
        return self.head(normalise(hidden)), outputs, kept


class Block(nn.Module):
    """Attention, then a small perceptron at each position; each adds to what comes in."""

    def __init__(self, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.mix_heads = nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        for layer in (self.mix_heads, self.narrow):  # the sum over all blocks keeps its size
            nn.init.normal_(layer.weight, std=layer.weight.shape[1] ** -0.5 / math.sqrt(2 * depth))

    def forward(self, hidden: Tensor, past: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        heads = (part.unflatten(-1, (HEADS, -1)) for part in self.queries_keys_values(normalise(hidden)).chunk(3, dim=-1))
        queries, keys, values = (part.transpose(-3, -2) for part in heads)  # (N, heads, L, d) each
        if past:
            keys, values = torch.cat([past[0], keys], dim=-2), torch.cat([past[1], values], dim=-2)
        mixed = attention(queries, keys, values).transpose(-3, -2).flatten(-2)  # (N, L, D)
        hidden = hidden + self.dropout(self.mix_heads(mixed))
        hidden = hidden + self.dropout(self.narrow(F.gelu(self.widen(normalise(hidden)))))
        return hidden, (keys, values)


def attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    r"""Each position averages the values of itself and of the positions before it, weighted by how well query and key match.

    $$\mathrm{softmax}\Big(\frac{Q K^\top}{\sqrt{d}} + M\Big) V, \qquad M_{ij} = -\infty \text{ for positions } j \text{ after } i$$

    - `queries`: `(N, heads, L, d)`, of the last L of P positions; `keys`, `values`: `(N, heads, P, d)`. The D units of a position are
      divided among the heads, d each.

    Source: Vaswani et al. 2017, section 3.2.
    """
    length, positions = queries.shape[-2], keys.shape[-2]
    scaled = queries / math.sqrt(queries.shape[-1])  # a smaller tensor than the product
    matches = scaled @ keys.transpose(-2, -1)  # (N, heads, L, P)
    if length > 1:  # no position is after the last one
        matches = matches + matches.new_full((length, positions), -torch.inf).triu(positions - length + 1)  # M
    return matches.softmax(dim=-1) @ values


def normalise(hidden: Tensor) -> Tensor:
    """Each position with mean 0 and standard deviation 1 over its units."""
    return F.layer_norm(hidden, [int(hidden.shape[-1])])  # a plain number also where the export to ONNX follows the computation


# --- the recurrent network ------------------------------------------------------------------------------------------


class GRU(LanguageModel):
    """A recurrent network: one state of D units, changed by each token through two gates.

    Source: Cho et al. 2014, section 2.3; the form with the reset gate behind the product is PyTorch's.
    """

    def __init__(self, length: int, vocabulary: int, width: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Embedding(vocabulary, width)
        self.from_token, self.from_state = nn.Linear(width, 3 * width), nn.Linear(width, 3 * width)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.head = nn.Linear(width, vocabulary)

    def read(self, hidden: Tensor, past: Tensor | None = None) -> tuple[Tensor, list[Tensor], Tensor]:
        inputs = self.from_token(self.dropout(hidden))  # (N, L, 3 D), of all tokens at once
        state = torch.zeros_like(hidden[..., 0, :]) if past is None else past  # (N, D)
        states = []
        for of_token in inputs.unbind(dim=-2):
            of_state = self.from_state(state)
            reset, keep, _ = torch.sigmoid(of_token + of_state).chunk(3, dim=-1)
            new = torch.tanh(of_token.chunk(3, dim=-1)[2] + reset * of_state.chunk(3, dim=-1)[2])
            state = keep * state + (1 - keep) * new
            states.append(state)
        outputs = torch.stack(states, dim=-2)  # (N, L, D)
        return self.head(self.dropout(outputs)), [outputs], state


# --- writing --------------------------------------------------------------------------------------------------------


@torch.no_grad()
def write(
    model: LanguageModel, prompt: Tensor, tokens: int, *, length: int, temperature: float = 1.0, generator: torch.Generator | None = None
) -> Tensor:
    """Texts `(N, P + tokens)` that continue a prompt `(N, P)`: each token is drawn from the softmax of the model's logits.

    The model reads at most `length` tokens back: when that many are read, it begins again from the last half of them.
    The same generator state gives the same text.
    """
    text, past, unread = prompt[:, -length:], None, prompt[:, -length:]
    start = prompt[:, : -text.shape[1]] if text.shape[1] < prompt.shape[1] else prompt[:, :0]
    read = 0
    for _ in range(tokens):
        if read + unread.shape[1] > length:
            past, read, unread = None, 0, text[:, -max(1, length // 2) :]
        logits, _, past = model.read(model.stem(unread), past)
        read += unread.shape[1]
        unread = draw(logits[:, -1], temperature=temperature, generator=generator)
        text = torch.cat([text, unread], dim=1)
    return torch.cat([start, text], dim=1)


def draw(logits: Tensor, *, temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """One token `(N, 1)` for each row of logits `(N, V)`, drawn at T; the most probable one at T = 0."""
    if temperature == 0:
        return logits.argmax(dim=-1, keepdim=True)
    noise = gumbel_noise(logits.shape, generator).to(logits.device)
    return (logits / temperature + noise).argmax(dim=-1, keepdim=True)


def gumbel_noise(shape: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
    """Noise in float64: the place of the largest of logits plus this noise is a draw from their softmax."""
    return -torch.log(-torch.log(torch.rand(shape, generator=generator, dtype=torch.float64).clamp(min=1e-300)))
