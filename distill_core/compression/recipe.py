"""Compression: what is done to a trained network, as a value with a short text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import nn

from distill_core.compression.low_rank import Decomposed, factorise
from distill_core.compression.pruning import prune_neurons, prune_weights
from distill_core.compression.quantisation import quantise


@dataclass(frozen=True)
class Compression:
    """Percentages of units and of weights that are removed, rank in percent of the full one, bits of a weight.

    They are applied in this order. The text of one that removes half of the units and rounds to 4 bits is `neurons-50+int4`.
    """

    neurons: int = 0
    rank: int = 100
    prune: int = 0
    bits: int = 32

    def __post_init__(self) -> None:
        for name, least, most in (("neurons", 0, 99), ("rank", 1, 100), ("prune", 0, 99), ("bits", 2, 32)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"compression {name} {value!r} cannot be done; give a whole number from {least} to {most}")
        if 8 < self.bits < 32:
            raise ValueError(f"compression bits {self.bits} cannot be done; give 2 to 8, or 32 for no rounding")

    def __str__(self) -> str:
        parts = [f"neurons-{self.neurons}"] if self.neurons else []
        parts += [f"rank-{self.rank}"] if self.rank < 100 else []
        parts += [f"prune-{self.prune}"] if self.prune else []
        parts += [f"int{self.bits}"] if self.bits < 32 else []
        return "+".join(parts)

    @property
    def in_words(self) -> str:
        """For a table or a chart."""
        parts = [f"{self.neurons} % of the units removed"] if self.neurons else []
        parts += [f"rank {self.rank} %"] if self.rank < 100 else []
        parts += [f"{self.prune} % of the weights 0"] if self.prune else []
        parts += [f"{self.bits} bits"] if self.bits < 32 else []
        return ", ".join(parts) or "as trained"


NONE = Compression()
_PARTS = {"neurons": r"neurons-(\d{1,2})", "rank": r"rank-(\d{1,2})", "prune": r"prune-(\d{1,2})", "bits": r"int([2-8])"}


def parse_compression(text: str) -> Compression:
    """The compression of a text such as `neurons-50+prune-80+int4`; of an empty one, none.

    Raises `ValueError` for any other text, and for one that is not in its usual form, so that equal ones have one text.
    """
    found = {}
    for part in text.split("+") if text else ():
        name = next((name for name, pattern in _PARTS.items() if re.fullmatch(pattern, part)), None)
        if name is None or name in found:
            raise ValueError(f"compression '{text}' is not known; give parts joined by +, such as neurons-50+rank-40+prune-80+int4")
        found[name] = int(re.fullmatch(_PARTS[name], part)[1])
    compression = Compression(**found)
    if str(compression) != text:
        raise ValueError(f"compression '{text}' is not in its usual form; write it as '{compression}'")
    return compression


def compress(network: nn.Module, compression: Compression, *, decomposed: Decomposed | None = None) -> nn.Module:
    """A compressed copy; the network itself is not changed. Raises `ValueError` where units cannot be removed.

    `decomposed`: its layers' decompositions, where they are known; they serve as long as no units are removed.
    """
    if compression.neurons:
        network = prune_neurons(network, share=compression.neurons / 100)
    if compression.rank < 100:
        network = factorise(network, rank=compression.rank / 100, decomposed=None if compression.neurons else decomposed)
    if compression.prune:
        network = prune_weights(network, share=compression.prune / 100)
    return quantise(network, bits=compression.bits) if compression.bits < 32 else network
