"""A drawing as the data sets have their digits: a teacher that saw centred digits is lost with one in a corner."""

from __future__ import annotations

import numpy as np
from PIL import Image

FAINT = 24  # of 255: less is no ink
LEANS = 0.15  # columns a row: so far a digit may lean by itself, as a 7 does; what is more is the hand's slant


def centre_digit(pixels: np.ndarray, *, size: int = 28) -> np.ndarray:
    """Ink on a pad `(H, W)`, 0 to 255, as a picture `(size, size)` uint8 like those of the data set with such pictures.

    - 28, MNIST: "size normalized to fit in a 20x20 pixel box while preserving their aspect ratio [...] centered in a 28x28
      image by computing the center of mass".
    - 8, scikit-learn's digits: NIST's programs had made them upright and, wide or narrow, of one size in 32 x 32 pixels, which
      were then counted in blocks of 4 x 4. All of them are as high as the picture; four of five have ink in six columns of eight.

    An empty pad gives an empty picture. Raises `ValueError` for another size.

    Source: LeCun, Cortes and Burges, *The MNIST database of handwritten digits*; Alpaydin and Kaynak 1998, *Optical Recognition
    of Handwritten Digits*.
    """
    if size not in LIKE:
        raise ValueError(f"a drawing cannot be made {size} x {size}; choose one of: {', '.join(map(str, LIKE))}")
    ink = _cut_out(np.asarray(pixels, np.uint8))
    return LIKE[size](ink) if ink.size else np.zeros((size, size), np.uint8)


def like_mnist(ink: np.ndarray) -> np.ndarray:
    """The longest side becomes 20 pixels; the centre of mass comes to the middle of 28 x 28."""
    scale = 20 / max(ink.shape)
    return _placed(_resized(ink, *(side * scale for side in ink.shape)), 28)


def like_scikit_learn(ink: np.ndarray) -> np.ndarray:
    """Upright, stretched towards 32 x 24 by a factor of two at most; then the means of 8 x 8 blocks."""
    ink = _cut_out(_upright(ink))
    height, width = ink.shape
    small = _resized(ink, min(32, 2 * 24 * height / width), min(24, 2 * 32 * width / height))
    if small.shape[1] == 24:  # a box has its own middle; what is narrower stands by its mass
        small = np.pad(small, ((0, 0), (4, 4)))
    large = _placed(small, 32)
    return large.reshape(8, 4, 8, 4).mean(axis=(1, 3)).round().astype(np.uint8)


LIKE = {28: like_mnist, 8: like_scikit_learn}  # by the side of the picture


def _cut_out(ink: np.ndarray) -> np.ndarray:
    """The smallest rectangle that holds all ink; nothing, where there is none."""
    rows, columns = np.flatnonzero((ink > FAINT).any(axis=1)), np.flatnonzero((ink > FAINT).any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else ink[:0, :0]


def _resized(ink: np.ndarray, height: float, width: float) -> np.ndarray:
    """Each new pixel is the mean of what it covers."""
    return np.asarray(Image.fromarray(ink).resize((max(1, round(width)), max(1, round(height))), Image.Resampling.BOX))


def _upright(ink: np.ndarray) -> np.ndarray:
    """The rows moved sideways until the ink leans no more than a digit does by itself: its slant is cov(x, y) / var(y)."""
    height, width = ink.shape
    y, x = np.mgrid[:height, :width] + 0.5
    mass = ink / ink.sum()
    middle = (mass * y).sum()
    slant = (mass * (y - middle) * x).sum() / max((mass * (y - middle) ** 2).sum(), 1e-9)
    shift = np.sign(slant) * np.clip(abs(slant) - LEANS, 0, 0.5)
    if not shift:
        return ink
    room = int(abs(shift) * height) + 2
    wide = Image.fromarray(np.pad(ink, ((0, 0), (room, room))))
    return np.asarray(wide.transform(wide.size, Image.Transform.AFFINE, (1, shift, -shift * middle, 0, 1, 0), Image.Resampling.BILINEAR))


def _placed(small: np.ndarray, size: int) -> np.ndarray:
    """In a square picture, with the centre of mass in the middle as far as nothing falls off."""
    picture = np.zeros((size, size), np.uint8)
    height, width = small.shape
    top, left = (_place(small.sum(axis=axis), size) for axis in (1, 0))
    picture[top : top + height, left : left + width] = small
    return picture


def _place(mass: np.ndarray, size: int) -> int:
    """Where the first row (or column) goes, so that the centre of mass is in the middle and nothing falls off the picture."""
    centre = (mass * (np.arange(len(mass)) + 0.5)).sum() / max(mass.sum(), 1)
    return int(np.clip(round(size / 2 - centre), 0, size - len(mass)))
