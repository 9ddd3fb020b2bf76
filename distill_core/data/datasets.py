"""The data sets by name: scikit-learn's digits, torchvision's MNIST, Fashion-MNIST and CIFAR-10, and zips of images.

The digits are always available. torchvision's files are downloaded once, with checksums. A zip has one folder per class.
"""

from __future__ import annotations

import functools
import importlib.util
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np
import torch
from torch import Tensor

from distill_core import paths
from distill_core.data import texts
from distill_core.data.dataset import (
    Dataset,
    add_label_noise,
    choose_images,
    choose_validation_images,
    random_flip,
    random_shift,
    seeded,
)
from distill_core.data.decoding import shorten
from distill_core.data.download import Progress, download
from distill_core.data.texts import TEXTS, is_text, keep_text, kept_texts, load_text
from distill_core.data.uploads import is_decoded, keep_zip, kept_zips, load_zip, prepare_zip, title

# Training and pages find the operations on a set beside the sets: `datasets.choose_images`, `datasets.keep_zip`.
__all__ = [
    "DATASETS", "SOURCES", "TEXTS", "Dataset", "Progress", "Source", "about", "add_label_noise", "choose_images",
    "choose_validation_images", "fetch", "import_torchvision", "is_ready", "is_text", "keep_text", "keep_zip", "kept_texts", "kept_zips",
    "load", "random_flip", "random_shift", "seeded", "source_of", "title",
]  # fmt: skip


def load(name: str) -> Dataset:
    """The set called `name`, a key of SOURCES or the path of a zip or a .txt: the same object at each call. `fetch` brings it here.

    Raises `ValueError` with one sentence if the name is unknown or if the files are missing, cut or altered.
    """
    if name.endswith(".txt"):
        return load_text(name)
    if name in TEXTS:
        return texts.load_named(name)
    return load_zip(name) if name.endswith(".zip") else _load_named(_source(name).name)


def is_ready(name: str) -> bool:
    """Whether `load` reads the set at once: its files are here, and the images of a zip are decoded."""
    try:
        if name == JPEG_COPY:
            name = _jpeg_copy_path()
        if name.endswith(".txt"):
            return load_text(name) is not None
        return is_decoded(name) if name.endswith(".zip") else _source(name).is_here()
    except ValueError:
        return False


def fetch(name: str) -> Progress:
    """Bring the set `name` to this machine in a form that `load` reads at once; yields the step and its fraction done.

    Published sets are downloaded, the images of a zip are decoded, each once.
    """
    if name.endswith(".zip"):
        yield from prepare_zip(name)
        return
    if name.endswith(".txt"):
        load_text(name)
        return
    yield from _source(name).fetch()
    if name == JPEG_COPY and _source(name).is_here():
        yield from prepare_zip(_jpeg_copy_path())


@dataclass(frozen=True)
class Source:
    """Where a set comes from, and what is known of it before it is loaded: `train` and `test` are its numbers of images."""

    name: str
    title: str
    train: int
    test: int
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    read: Callable[[], tuple[Tensor, Tensor, Tensor, Tensor]]
    folder: str = ""  # of its files, inside paths.data()
    kind: str = ""  # the class of torchvision.datasets that downloads it, if there is one
    is_text = False
    fingerprint: str = ""  # of the published set, where it is known

    def is_here(self) -> bool:
        """Whether the set is on this machine, so that a run needs no download."""
        folder = paths.data() / self.folder
        if self.folder.endswith("raw"):  # created before the first byte arrives: only complete files count
            return all((folder / file).exists() for file in IDX_FILES)
        return not self.folder or folder.exists()

    def fetch(self) -> Progress:
        """Download, check and unpack the set, unless it is on this machine."""
        if not self.kind or self.is_here():
            return
        folder = paths.data() / self.folder
        if self.kind == "CIFAR10":  # its archive contains the folder
            folder = folder.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(folder / ".lock").acquire()
        except OSError as error:
            raise ValueError(
                f"{self.title} cannot be stored in {folder} ({error.strerror}); set DISTILL_DATA to a folder that can be written"
            ) from error
        with lock:
            for mirrors, md5 in _archives(self):
                for fraction in download(mirrors, folder / mirrors[0].rsplit("/", 1)[1], md5=md5):
                    yield f"downloading {self.title}", fraction
            yield f"unpacking {self.title}", 1.0
            _torchvision_set(self, train=True, download=True)


def source_of(name: str) -> Source | texts.TextSource | None:
    """What is known of a data set before it is loaded; None of one in a file of its own."""
    return SOURCES.get(name)


def about(name: str) -> Source | texts.TextSource:
    """The same of any set; one in a file of its own is read. Raises `ValueError` with one sentence where it cannot be."""
    if source := source_of(name):
        return source
    found = load(name)
    kind = texts.TextSource if found.is_text else Source
    counts = len(found.train_labels), len(found.test_labels)
    return kind(name, found.title, *counts, found.image_shape, found.class_names, lambda: found)


def _source(name: str) -> Source | texts.TextSource:
    if name not in SOURCES:
        raise ValueError(
            f"dataset {shorten(name)!r} is not known; choose one of: {', '.join(SOURCES)}, or the path of a .zip of images or of a .txt"
        )
    return SOURCES[name]


@functools.lru_cache(maxsize=4)
def _load_named(name: str) -> Dataset:
    source = DATASETS[name]
    dataset = Dataset(source.name, source.title, source.class_names, *source.read())
    if source.fingerprint and dataset.fingerprint != source.fingerprint:
        raise ValueError(f"the files of {source.title} in {_folder(source)} are altered; {_DOWNLOAD_AGAIN}")
    return dataset


# --- readers: training images and labels, test images and labels ----------------------------------------------------


def _read_digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """scikit-learn's 1,797 digits of 8 x 8 pixels; every fifth is a test image.

    Read from the file that its `load_digits` reads, because importing scikit-learn takes every server and worker over a second.
    """
    package = Path(importlib.util.find_spec("sklearn").origin).parent
    rows = np.loadtxt(package / "datasets" / "data" / "digits.csv.gz", delimiter=",", dtype=np.int64)  # 64 pixels from 0 to 16, the class
    images = torch.from_numpy(np.round(rows[:, :-1] * (255 / 16)).astype(np.uint8)).view(-1, 1, 8, 8)
    labels = torch.from_numpy(rows[:, -1].copy())
    test = torch.arange(len(labels)) % 5 == 4
    return images[~test], labels[~test], images[test], labels[test]


def _read_idx(name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The four files of MNIST, or of a set in its format, checked. Importing torchvision, which reads them too, takes seconds."""
    source = DATASETS[name]
    if not source.is_here():
        raise _unusable(source)
    try:
        tensors = [_read_idx_file(_folder(source) / file, dimensions) for file, dimensions in zip(IDX_FILES, (3, 1, 3, 1), strict=True)]
    except (OSError, ValueError, struct.error) as error:
        raise _unusable(source, error) from error
    for part in (0, 2):
        tensors[part : part + 2] = tensors[part].unsqueeze(1), tensors[part + 1].long()  # (N, 1, H, W), (N,)
        _check_complete(source, *tensors[part : part + 2], train=part == 0)
    return tuple(tensors)


def _read_idx_file(path: Path, dimensions: int) -> Tensor:
    """The bytes of an IDX file in its own shape: a header of type, number of dimensions and sizes, then the values.

    Raises `ValueError` or `struct.error` where it is cut. Source: LeCun, Cortes and Burges 1998, the page.
    """
    blob = path.read_bytes()
    if blob[:4] != bytes((0, 0, 8, dimensions)):  # 8: unsigned bytes
        raise ValueError(f"{path.name} begins with another header")
    sizes = struct.unpack_from(f">{dimensions}I", blob, 4)
    return torch.from_numpy(np.frombuffer(blob, np.uint8, offset=4 + 4 * dimensions).reshape(sizes).copy())


def _read_cifar10() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """CIFAR-10's original files, read and checked by torchvision."""
    tensors = []
    for train in (True, False):
        part = _torchvision_set(DATASETS["cifar10"], train=train)
        images = torch.as_tensor(part.data).permute(0, 3, 1, 2).contiguous()  # (N, D, H, W)
        labels = torch.as_tensor(part.targets, dtype=torch.int64)
        _check_complete(DATASETS["cifar10"], images, labels, train=train)
        tensors += [images, labels]
    return tuple(tensors)


def _read_cifar10_jpeg() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """CIFAR-10's images, encoded again as JPEG, from the zip `cifar10-jpeg.zip` in the data folder."""
    dataset = load_zip(_jpeg_copy_path())
    return dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels


def _jpeg_copy_path() -> str:
    return str(_folder(DATASETS[JPEG_COPY]))


def _check_complete(source: Source, images: Tensor, labels: Tensor, *, train: bool) -> None:
    expected = source.train if train else source.test
    if len(images) != expected or len(labels) != expected or tuple(images.shape[1:]) != source.image_shape:
        part = "training" if train else "test"
        raise ValueError(
            f"the {part} files of {source.title} in {_folder(source)} are cut: "
            f"{len(images)} images and {len(labels)} labels instead of {expected}; {_DOWNLOAD_AGAIN}"
        )
    if labels.min() < 0 or labels.max() >= len(source.class_names):
        raise ValueError(f"the files of {source.title} in {_folder(source)} are altered; {_DOWNLOAD_AGAIN}")


def _unusable(source: Source, reason: object = "") -> ValueError:
    folder = _folder(source)
    if not folder.exists():
        return ValueError(f"{source.title} is not in {folder}; a run downloads it, or set DISTILL_DATA to the folder that has it")
    because = f" ({reason})" if str(reason) else ""
    return ValueError(f"the files of {source.title} in {folder} are cut or altered{because}; {_DOWNLOAD_AGAIN}")


_DOWNLOAD_AGAIN = "delete that folder and the next run downloads it again"


# --- torchvision ----------------------------------------------------------------------------------------------------


def _folder(source: Source) -> Path:
    return paths.data() / source.folder


def _torchvision_set(source: Source, *, train: bool, download: bool = False):  # noqa: ANN202
    folder = _folder(source)
    root = folder.parent if source.kind == "CIFAR10" else folder.parent.parent
    try:
        return getattr(import_torchvision().datasets, source.kind)(root=root, train=train, download=download)
    except RuntimeError as error:  # from torchvision's own check of names and checksums
        raise _unusable(source) from error
    except Exception as error:  # torchvision's readers raise many types for a damaged file
        raise _unusable(source, error) from error


def _archives(source: Source) -> list[tuple[list[str], str]]:
    """For each file of a set: its addresses and its MD5 sum, from torchvision."""
    kind = getattr(import_torchvision().datasets, source.kind)
    if source.kind == "CIFAR10":
        return [([kind.url], kind.tgz_md5)]
    return [([mirror.rstrip("/") + "/" + name for mirror in kind.mirrors], md5) for name, md5 in kind.resources]


_IMPORTING = threading.Lock()  # a second thread gets the half-imported module of an import that fails, and would cache it


@functools.cache
def import_torchvision():  # noqa: ANN201
    """torchvision, also where its compiled part does not load.

    The wheel for Linux on PyPI is linked to CUDA. With a CPU-only torch its operators are missing, and the import
    raises "operator torchvision::nms does not exist". None of them is used here; declared, they let the import pass.
    """
    with _IMPORTING:
        try:
            import torchvision
        except RuntimeError:
            library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            import_torchvision.library = library  # an operator exists as long as its library
            import torchvision
        return torchvision


# --- the sets -------------------------------------------------------------------------------------------------------

IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
DIGIT_NAMES = tuple("0123456789")
FASHION_NAMES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
JPEG_COPY = "cifar10-jpeg"
COPIES = {"cifar10": JPEG_COPY, JPEG_COPY: "cifar10"}  # sets of the same pictures: as a transfer set one adds nothing to the other
CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _like_mnist(name: str, title: str, class_names: tuple, kind: str, **more: str) -> Source:
    """A set in MNIST's format, which torchvision downloads by its class `kind`."""
    return Source(name, title, 60_000, 10_000, (1, 28, 28), class_names, lambda: _read_idx(name), f"{kind}/raw", kind, **more)


DATASETS = {
    source.name: source
    for source in (
        Source("digits", "Digits (8 x 8)", 1438, 359, (1, 8, 8), DIGIT_NAMES, _read_digits),
        _like_mnist("mnist", "MNIST", DIGIT_NAMES, "MNIST", fingerprint="35914650c8beaeed"),
        _like_mnist("fashion-mnist", "Fashion-MNIST", FASHION_NAMES, "FashionMNIST"),
        Source("cifar10", "CIFAR-10", 50_000, 10_000, (3, 32, 32), CIFAR10_NAMES, _read_cifar10, "cifar-10-batches-py", "CIFAR10"),
        Source(JPEG_COPY, "CIFAR-10 (JPEG)", 50_000, 10_000, (3, 32, 32), CIFAR10_NAMES, _read_cifar10_jpeg, "cifar10-jpeg.zip"),
    )
}
SOURCES: dict[str, Source | texts.TextSource] = DATASETS | TEXTS  # all data sets; pages that need images list DATASETS
