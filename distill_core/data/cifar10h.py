"""What people said of the same pictures: the labels of CIFAR-10H, read where the file is on this machine.

About fifty people named each of CIFAR-10's 10,000 test pictures (Peterson et al. 2019, *Human uncertainty makes
classification more robust*). The file is not shipped: its licence, CC BY-NC-SA 4.0, is its authors' and not ours.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distill_core import paths
from distill_core.data.dataset import Dataset

FILE = "cifar10h-probs.npy"
DATASET = "cifar10"  # the original alone: the file goes by the order of its test pictures
SOURCE = "https://github.com/jcpeterson/cifar-10h"


def human_logits(dataset: Dataset) -> Tensor | None:
    """The logarithms of the shares of people who named each class, `(N, C)`, -inf where nobody did; None without the file.

    Softmax at T = 1 gives the shares back, so people can stand beside networks. Raises `ValueError` with one sentence if
    the file is not what it should be.
    """
    path = paths.data() / FILE
    if dataset.name != DATASET or not path.exists():
        return None
    shares = _read(path)
    expected = (len(dataset.test_labels), dataset.classes)
    if shares.shape != expected:
        raise ValueError(f"{path} holds {shares.shape} numbers instead of {expected}; {_AGAIN}")
    if not np.isfinite(shares).all() or (shares < 0).any() or (np.abs(shares.sum(axis=1) - 1) > 1e-3).any():
        raise ValueError(f"{path} holds rows that are no probabilities: each must sum to 1; {_AGAIN}")
    if (shares.argmax(axis=1) == dataset.test_labels.cpu().numpy()).mean() < 0.9:
        raise ValueError(f"{path} is not in the order of CIFAR-10's test pictures; {_AGAIN}")
    return torch.from_numpy(shares).log()


_AGAIN = f"get data/{FILE} anew from {SOURCE}, or take the file away"


def _read(path: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as an array of numbers; {_AGAIN}") from error
