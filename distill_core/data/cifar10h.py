"""CIFAR-10H: human labels of CIFAR-10's test images, read where its file is on this machine.

About fifty people labelled each of the 10,000 test images (Peterson et al. 2019, the README of the data). The file is
not shipped: its licence is CC BY-NC-SA 4.0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distill_core import paths
from distill_core.data.dataset import Dataset

FILE = "cifar10h-probs.npy"
DATASET = "cifar10"  # only the original: the file follows the order of its test images
SOURCE = "https://github.com/jcpeterson/cifar-10h"


def human_logits(dataset: Dataset) -> Tensor | None:
    """The logarithm of the share of people who chose each class, `(N, C)`, -inf for a share of 0; None without the file.

    Softmax at T = 1 returns the shares, so that people can be compared with networks. Raises `ValueError` with one
    sentence if the file does not hold such shares for this set.
    """
    path = paths.data() / FILE
    if dataset.name != DATASET or not path.exists():
        return None
    shares = _read(path)
    expected = (len(dataset.test_labels), dataset.classes)
    if shares.shape != expected:
        raise ValueError(f"{path} has the shape {shares.shape} instead of {expected}; {_AGAIN}")
    if not np.isfinite(shares).all() or (shares < 0).any() or (np.abs(shares.sum(axis=1) - 1) > 1e-3).any():
        raise ValueError(f"{path} has rows that are not probabilities, which sum to 1; {_AGAIN}")
    if (shares.argmax(axis=1) == dataset.test_labels.cpu().numpy()).mean() < 0.9:
        raise ValueError(f"{path} is not in the order of CIFAR-10's test images; {_AGAIN}")
    return torch.from_numpy(shares).log()


_AGAIN = f"download data/{FILE} again from {SOURCE}, or delete the file"


def _read(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as an array of numbers; {_AGAIN}") from error
