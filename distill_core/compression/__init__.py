"""Making a trained network smaller: pruning, low rank, quantisation; its size, its work and its latency.

A `Compression` is a value, such as `neurons-50+int4`. `compress` applies it to a trained network; a run that starts from the
compressed network trains it further, with its zeros kept and its weights rounded in every step.
"""

from distill_core.compression.low_rank import factorise
from distill_core.compression.measures import cost_of, latency, nonzero
from distill_core.compression.packing import pack, unpack
from distill_core.compression.pruning import prune_neurons, prune_weights
from distill_core.compression.quantisation import fake_quantise, quantise
from distill_core.compression.recipe import NONE, Compression, compress, parse_compression

__all__ = [
    "NONE", "Compression", "compress", "cost_of", "factorise", "fake_quantise", "latency", "nonzero", "pack", "parse_compression",
    "prune_neurons", "prune_weights", "quantise", "unpack",
]  # fmt: skip
