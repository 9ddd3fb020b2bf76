"""Normalise a drawn digit like those of the data sets: a network trained on centred digits fails on one in a corner."""

from __future__ import annotations

import numpy as np
from PIL import Image

MIN_INK = 24  # of 255; fainter pixels count as empty
NATURAL_SLANT = 0.15  # columns per row that a digit has by its shape, as a 7 does; only the rest is corrected


def centre_digit(pixels: np.ndarray, *, size: int = 28) -> np.ndarray:
    """A drawing `(H, W)`, ink from 0 to 255, as an image `(size, size)` uint8 like those of the data set of that size.

    - 28, MNIST: "size normalized to fit in a 20x20 pixel box while preserving their aspect ratio [...] centered in a 28x28
      image by computing the center of mass".
    - 8, scikit-learn's digits: NIST's programs normalised the digits to 32 x 32 pixels, which were then counted in blocks of
      4 x 4. All digits are upright and as high as the image; four of five have ink in six columns.

    An empty drawing gives an empty image. Raises `ValueError` for another size.

    Source: LeCun, Cortes and Burges 1998, the page of the data; Alpaydin and Kaynak 1998, the page of the data.
    """
    if size not in NORMALISERS:
        raise ValueError(f"size {size} is not that of a set of digits; choose one of: {', '.join(map(str, NORMALISERS))}")
    ink = _crop(np.asarray(pixels, np.uint8))
    return NORMALISERS[size](ink) if ink.size else np.zeros((size, size), np.uint8)


def like_mnist(ink: np.ndarray) -> np.ndarray:
    """The longest side is scaled to 20 pixels; the centre of mass is in the middle of 28 x 28."""
    scale = 20 / max(ink.shape)
    return _centre(_resize(ink, *(side * scale for side in ink.shape)), 28)


def like_scikit_learn(ink: np.ndarray) -> np.ndarray:
    """Deslanted, scaled to 32 x 24 with a stretch of at most two; then the means of 4 x 4 blocks."""
    ink = _crop(_deslant(ink))
    height, width = ink.shape
    small = _resize(ink, min(32, 2 * 24 * height / width), min(24, 2 * 32 * width / height))
    if small.shape[1] == 24:  # centred by its box; a narrower digit is centred by its mass
        small = np.pad(small, ((0, 0), (4, 4)))
    large = _centre(small, 32)
    return large.reshape(8, 4, 8, 4).mean(axis=(1, 3)).round().astype(np.uint8)


NORMALISERS = {28: like_mnist, 8: like_scikit_learn}  # by the side of the image


def _crop(ink: np.ndarray) -> np.ndarray:
    """The bounding box of the ink; empty if there is none."""
    rows, columns = np.flatnonzero((ink > MIN_INK).any(axis=1)), np.flatnonzero((ink > MIN_INK).any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else ink[:0, :0]


def _resize(ink: np.ndarray, height: float, width: float) -> np.ndarray:
    """Resample; each new pixel is the mean of the area that it covers."""
    return np.asarray(Image.fromarray(ink).resize((max(1, round(width)), max(1, round(height))), Image.Resampling.BOX))


def _deslant(ink: np.ndarray) -> np.ndarray:
    """Shear the rows until the slant, cov(x, y) / var(y), is the natural one at most."""
    height, width = ink.shape
    y, x = np.mgrid[:height, :width] + 0.5
    mass = ink / ink.sum()
    middle = (mass * y).sum()
    slant = (mass * (y - middle) * x).sum() / max((mass * (y - middle) ** 2).sum(), 1e-9)
    shift = np.sign(slant) * np.clip(abs(slant) - NATURAL_SLANT, 0, 0.5)
    if not shift:
        return ink
    room = int(abs(shift) * height) + 2
    wide = Image.fromarray(np.pad(ink, ((0, 0), (room, room))))
    return np.asarray(wide.transform(wide.size, Image.Transform.AFFINE, (1, shift, -shift * middle, 0, 1, 0), Image.Resampling.BILINEAR))


def _centre(small: np.ndarray, size: int) -> np.ndarray:
    """A square image with the centre of mass in the middle, as far as all ink stays inside."""
    image = np.zeros((size, size), np.uint8)
    height, width = small.shape
    top, left = (_offset(small.sum(axis=axis), size) for axis in (1, 0))
    image[top : top + height, left : left + width] = small
    return image


def _offset(mass: np.ndarray, size: int) -> int:
    """The first row (or column), so that the centre of mass is in the middle and all ink stays inside."""
    centre = (mass * (np.arange(len(mass)) + 0.5)).sum() / max(mass.sum(), 1)
    return int(np.clip(round(size / 2 - centre), 0, size - len(mass)))
