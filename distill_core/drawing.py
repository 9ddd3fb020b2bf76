"""A drawing as the data sets have their digits: a teacher that saw centred digits is lost with one in a corner."""

from __future__ import annotations

import numpy as np
from PIL import Image

BOXES = {28: 20, 8: 8}  # longest side of the digit by the side of the picture: MNIST leaves a margin, scikit-learn's digits none
FAINT = 24  # of 255: less is no ink


def centre_digit(pixels: np.ndarray, *, size: int = 28) -> np.ndarray:
    """Ink on a pad `(H, W)`, 0 to 255, as a picture `(size, size)` uint8: scaled to the box, its centre of mass in the middle.

    MNIST: "size normalized to fit in a 20x20 pixel box while preserving their aspect ratio [...] centered in a 28x28
    image by computing the center of mass". Scikit-learn's digits fill their 8 x 8 pixels, each the mean of what it covers.
    An empty pad gives an empty picture.

    Source: LeCun, Cortes and Burges, *The MNIST database of handwritten digits*.
    """
    if size not in BOXES:
        raise ValueError(f"a drawing cannot be made {size} x {size}; choose one of: {', '.join(map(str, BOXES))}")
    picture = np.zeros((size, size), np.uint8)
    ink = np.asarray(pixels, np.uint8)
    rows, columns = np.flatnonzero((ink > FAINT).any(axis=1)), np.flatnonzero((ink > FAINT).any(axis=0))
    if not len(rows):
        return picture
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = BOXES[size] / max(ink.shape)
    height, width = (max(1, round(side * scale)) for side in ink.shape)
    small = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BOX))
    top, left = (_place(small.sum(axis=axis), size) for axis in (1, 0))
    picture[top : top + height, left : left + width] = small
    return picture


def _place(mass: np.ndarray, size: int) -> int:
    """Where the first row (or column) goes, so that the centre of mass is in the middle and nothing falls off the picture."""
    centre = (mass * (np.arange(len(mass)) + 0.5)).sum() / max(mass.sum(), 1)
    return int(np.clip(round(size / 2 - centre), 0, size - len(mass)))
