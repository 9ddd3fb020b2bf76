"""Images without labels, which a student may also be distilled on: further ones of the same set, of another set, or noise.

A teacher needs no labels to output soft targets, so a transfer set can be larger than the labelled images, or of another
kind. Sources: Hinton, Vinyals and Dean 2015, *Distilling the Knowledge in a Neural Network*, section 1 (the transfer set
could be unlabelled); Menghani and Ravi 2019, abstract, on images of another domain.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from distill_core.data.dataset import seeded
from distill_core.data.datasets import load

SAME, NOISE = "same", "noise"  # beside the names of data sets, where images without labels come from
NO_LABEL = -1  # in place of a label
LUMA = (0.299, 0.587, 0.114)  # the weights of red, green and blue in a grey value (ITU-R BT.601)


def choose_unlabelled(labels: Tensor, *, taken: Tensor, images: int, hide_classes: tuple[int, ...], seed: int) -> Tensor:
    """Indices `(U,)` of `images` further examples, drawn by `seed`: none of `taken`, and none of a hidden class.

    Raises `ValueError` if there are not so many.
    """
    hidden = torch.tensor(hide_classes, dtype=labels.dtype, device=labels.device)
    eligible = torch.nonzero((~torch.isin(labels, hidden)).index_fill(0, taken, False)).flatten()
    if images > len(eligible):
        raise ValueError(f"unlabelled {images} is more than the {len(eligible)} images that are left; give {len(eligible)} or fewer")
    shuffle = torch.randperm(len(eligible), generator=seeded(seed, "unlabelled"))
    return eligible[shuffle[:images].to(labels.device)]


def images_from(name: str, *, images: int, image_shape: tuple[int, int, int], seed: int) -> Tensor:
    """Images `(U, D, H, W)` uint8 from elsewhere, drawn by `seed`: uniform noise, or training images of the set `name`.

    Those of another set get the number of channels and the size of `image_shape`. Raises `ValueError` if there are not so many.
    """
    if name == NOISE:
        return torch.randint(0, 256, (images, *image_shape), dtype=torch.uint8, generator=seeded(seed, "noise"))
    others = load(name).train_images
    if images > len(others):
        raise ValueError(f"unlabelled {images} is more than the {len(others)} training images of '{name}'; give {len(others)} or fewer")
    shuffle = torch.randperm(len(others), generator=seeded(seed, "unlabelled"))
    return to_shape(others[shuffle[:images]], image_shape)


def to_shape(images: Tensor, image_shape: tuple[int, int, int]) -> Tensor:
    """Images `(N, D, H, W)` uint8 with the channels and the size of `image_shape`: grey or repeated, resized bilinearly."""
    depth, *size = image_shape
    pixels = images.float()
    if depth < pixels.shape[1]:
        pixels = (pixels * torch.tensor(LUMA).view(1, -1, 1, 1)).sum(dim=1, keepdim=True)
    if tuple(pixels.shape[2:]) != tuple(size):
        pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    return pixels.round().clamp(0, 255).to(torch.uint8).expand(-1, depth, -1, -1).contiguous()
