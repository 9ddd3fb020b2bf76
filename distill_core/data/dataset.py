"""An image set as tensors, and the operations of a run on them: subsets, label noise, random shifts and flips.

No DataLoader: a batch is an index into tensors in memory. Pixels stay `uint8` and become `float32` per batch, which is
as fast and takes a quarter of the memory.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from dataclasses import dataclass, replace

import torch
from torch import Tensor

NEIGHBOURS = 2  # windows beside the held-out stretch of a text
TENSORS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test images of one set.

    `train_images` and `test_images`: `(N, D, H, W)` uint8; `train_labels` and `test_labels`: `(N,)` int64.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    is_text = False

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(D, H, W)`: channels, height, width; of a text `(L,)`."""
        return tuple(self.train_images.shape[1:])

    @property
    def classes(self) -> int:
        """The number of classes C."""
        return len(self.class_names)

    @functools.cached_property
    def pixel_mean_std(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the training pixels per channel, each `(D, 1, 1)`, on the scale 0 to 255."""
        counts = torch.stack([torch.bincount(c.flatten(), minlength=256) for c in self.train_images.transpose(0, 1)]).double()
        levels = torch.arange(256, dtype=torch.float64, device=counts.device)
        share = counts / counts.sum(dim=1, keepdim=True)  # (D, 256)
        mean = share @ levels  # (D,)
        deviation = (share @ levels**2 - mean**2).clamp(min=1e-6).sqrt()
        return mean.float().view(-1, 1, 1), deviation.float().view(-1, 1, 1)

    def pixels(self, images: Tensor) -> Tensor:
        """The input of a network for uint8 images: float32, standardised to mean 0 and standard deviation 1 per channel."""
        return images.float().sub_(self.pixel_mean_std[0]).mul_(self._inverse_std)

    def whole_pixels(self, images: Tensor) -> Tensor:
        """uint8 images minus their mean, rounded: whole numbers in bfloat16, which are exact, for `precision.FirstLayer`."""
        return images.to(torch.bfloat16).sub_(self.pixel_mean_std[0].round().to(torch.bfloat16))

    def inputs(self, images: Tensor, dtype: torch.dtype) -> Tensor:
        """The input of a network in `dtype`."""
        pixels = self.pixels(images)
        return pixels if pixels.dtype == dtype else pixels.to(dtype)

    @property
    def example_labels(self) -> Tensor:
        """The class of each training example `(N,)`, by which examples are chosen."""
        return self.train_labels

    @functools.cached_property
    def _inverse_std(self) -> Tensor:
        """`(D, 1, 1)`. Multiplication by it is five times as fast as division by the standard deviation."""
        return 1 / self.pixel_mean_std[1]

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of all pixels and labels. Cached results are stored under it, so that they cannot be used for another set."""
        digest = hashlib.sha256()
        for name in TENSORS:
            tensor = getattr(self, name)
            digest.update(str(tuple(tensor.shape)).encode())
            digest.update(tensor.cpu().contiguous().numpy())
        return digest.hexdigest()[:16]

    def to(self, device: torch.device | str) -> Dataset:
        """The same set with its tensors on `device`: copied once per device, the same object at each further call."""
        device = exact_device(device)
        if self.train_images.device == device:
            return self
        with _COPYING:
            if device not in self._copies:
                self._copies[device] = replace(self, **{name: getattr(self, name).to(device) for name in TENSORS})
            return self._copies[device]

    @functools.cached_property
    def _copies(self) -> dict[torch.device, Dataset]:
        return {}


_COPYING = threading.Lock()


def exact_device(device: torch.device | str) -> torch.device:
    """The device of a tensor that is made on `device`: "cuda" becomes "cuda:0", which it does not equal."""
    return torch.empty(0, device=device).device


# --- the training images of a run -----------------------------------------------------------------------------------


def choose_images(
    labels: Tensor, *, images: int, hide_classes: tuple[int, ...], seed: int, validation: int = 0, in_order: bool = False
) -> Tensor:
    """Indices `(n,)` of the transfer set, ascending: `images` examples of the classes that are not hidden, drawn by `seed`.

    None of them is among the `validation` images of `choose_validation_images`. `images = 0` takes all that are left; of A
    images of the classes that are not hidden, that is `A - validation` for every seed. The test set keeps all classes: it
    also measures the student on the hidden ones. Raises `ValueError` if `images` is more than there are.

    `in_order`: the examples are the windows of a text. The last token of a window is followed by the first of the next, which is
    its last label: the two windows beside the held-out stretch are not taken either.
    """
    hidden = torch.tensor(hide_classes, dtype=labels.dtype, device=labels.device)
    eligible = torch.nonzero(~torch.isin(labels, hidden)).flatten()
    if len(eligible) == 0:
        raise ValueError(f"hide_classes {list(hide_classes)} leaves no training image; hide fewer classes")
    most = len(eligible) - validation - (NEIGHBOURS if in_order and validation else 0)
    if most < 1:
        raise ValueError(
            f"validation {validation} leaves none of {len(eligible)} images to train on; give {most + validation - 1} or fewer"
        )
    if images > most:
        besides = f" beside {validation} validation images" if validation else ""
        raise ValueError(f"images {images} is more than the {most} available{besides}; give {most} or fewer, or 0 for all")
    if images == validation == 0:
        return eligible
    shuffled = eligible[torch.randperm(len(eligible), generator=seeded(seed, "images")).to(labels.device)]
    if validation:
        held_out = choose_validation_images(labels, validation=validation, seed=seed, in_order=in_order)
        if in_order:
            held_out = torch.cat([held_out[:1] - 1, held_out, held_out[-1:] + 1])
        shuffled = shuffled[~torch.isin(shuffled, held_out)]
    return shuffled[: images or most].sort().values


def choose_validation_images(labels: Tensor, *, validation: int, seed: int, in_order: bool = False) -> Tensor:
    """Indices `(validation,)` of the training images that are held out, ascending, drawn by `seed` from all N labels `(N,)`.

    All classes are among them, also those that the transfer set hides: whoever chooses a setting wants it to work for
    every class. They are the end of the permutation from whose beginning `choose_images` draws. If no class is hidden,
    a transfer set that ends before them is therefore the same with and without validation images.

    Shipped teachers were trained on all training images, these included, but no student gets a teacher's output for them.

    `in_order`: the examples are the windows of a text, of which one stretch is held out, with a window on each side of it.
    """
    if in_order and validation:
        start = int(torch.randint(1, len(labels) - validation, (), generator=seeded(seed, "validation")))
        return torch.arange(start, start + validation, device=labels.device)
    shuffled = torch.randperm(len(labels), generator=seeded(seed, "images"))
    return shuffled[len(labels) - validation :].sort().values.to(labels.device)


def add_label_noise(labels: Tensor, *, label_noise: float, classes: int, hide_classes: tuple[int, ...] = (), seed: int) -> Tensor:
    """Labels `(N,)`, each replaced with probability `label_noise` by one of the other classes, drawn uniformly by `seed`.

    No label becomes a hidden class, and labels of hidden classes, which no transfer set contains, stay as they are.
    Raises `ValueError` if fewer than two classes are visible: there is no wrong class to draw.
    """
    if label_noise == 0:
        return labels
    visible = torch.tensor([c for c in range(classes) if c not in hide_classes], device=labels.device)  # (V,)
    if len(visible) < 2:
        raise ValueError(f"label_noise {label_noise} needs at least two classes that are not hidden; hide fewer classes, or give 0")
    place = torch.full((classes,), -1, device=labels.device).index_put((visible,), torch.arange(len(visible), device=labels.device))
    own = place[labels]  # (N,), -1 for a hidden class
    generator = seeded(seed, "label noise")
    flipped = (torch.rand(len(labels), generator=generator) < label_noise).to(labels.device)
    step = torch.randint(1, len(visible), (len(labels),), generator=generator).to(labels.device)
    return torch.where(flipped & (own >= 0), visible[(own + step) % len(visible)], labels)


def seeded(seed: int, *purpose: str | int) -> torch.Generator:
    """A separate random generator for each purpose: one more draw for one of them changes no other."""
    digest = hashlib.sha256(repr((seed, purpose)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def to_device(drawn: Tensor, device: torch.device) -> Tensor:
    """Numbers that were drawn on the CPU, on `device`: a GPU goes on with what it computes, and nobody waits for it."""
    return (drawn.pin_memory() if device.type == "cuda" else drawn).to(device, non_blocking=True)


def random_shift(images: Tensor, max_shift: int, generator: torch.Generator) -> Tensor:
    """Each image `(N, D, H, W)` shifted by -`max_shift` to `max_shift` whole pixels in both directions.

    The border is filled with zeros in images of one channel (as around a digit), and by reflection in coloured ones.
    """
    if max_shift == 0:
        return images
    n, channels, height, width = images.shape
    padded = torch.nn.functional.pad(images, (max_shift,) * 4, mode="constant" if channels == 1 else "reflect")
    down, right = to_device(torch.randint(0, 2 * max_shift + 1, (2, n, 1), generator=generator), images.device)
    rows = (down + torch.arange(height, device=images.device)).view(n, height, 1)
    columns = (right + torch.arange(width, device=images.device)).view(n, 1, width)
    example = torch.arange(n, device=images.device).view(n, 1, 1)
    return padded[example, :, rows, columns].permute(0, 3, 1, 2)  # (N, H, W, D) -> (N, D, H, W)


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image `(N, D, H, W)`, flipped left to right with probability 1/2."""
    flipped = to_device(torch.rand(len(images), generator=generator) < 0.5, images.device)
    return torch.where(flipped.view(-1, 1, 1, 1), images.flip(-1), images)
