"""The JPEG copy of CIFAR-10, made from the original: `cifar10-jpeg.zip`, for a lab without the published copy."""

from __future__ import annotations

import io
import zipfile

from torch import Tensor

from distill_core import paths
from distill_core.data import datasets
from distill_core.data.datasets import DATASETS, JPEG_COPY, Progress

QUALITY = 75
REPORT_EVERY = 500  # images


def make_jpeg_copy() -> Progress:
    """Encode CIFAR-10 as JPEG into the zip that the data set `cifar10-jpeg` is read from; yields the progress.

    `train/CLASS/0001.jpg` and `test/CLASS/0001.jpg`, numbered in the order of the original files. Another encoder, or
    another version of it, writes other bytes and pixels that differ by a few levels, and the published copy has another
    order: this copy has the same images, and not the same fingerprint, as the one that the shipped teachers were trained on.
    Raises `ValueError` if the copy is there already, if the original is not on this machine, or if the disk is full.
    """
    path = paths.data() / DATASETS[JPEG_COPY].folder
    if path.exists():
        raise ValueError(f"{path} exists already; delete it to make it again")
    dataset = datasets.load("cifar10")
    buffer, parts = io.BytesIO(), ("train", "test")
    total, done = sum(len(getattr(dataset, f"{part}_labels")) for part in parts), 0
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for part in parts:
            counts = [0] * dataset.classes
            for image, label in zip(getattr(dataset, f"{part}_images"), getattr(dataset, f"{part}_labels").tolist(), strict=True):
                if done % REPORT_EVERY == 0:
                    yield f"encoding {DATASETS[JPEG_COPY].title}", done / total
                counts[label] += 1
                archive.writestr(f"{part}/{dataset.class_names[label]}/{counts[label]:04}.jpg", _encoded(image))
                done += 1
    try:
        paths.write_atomically(path, buffer.getvalue())
    except OSError as error:
        raise ValueError(f"{path} cannot be written ({error.strerror}); set DISTILL_DATA to a folder that can be written") from error


def _encoded(image: Tensor) -> bytes:
    """One image `(3, H, W)` uint8 as a JPEG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
