"""Small image sets as tensors, ready to be indexed: no DataLoader stands between them and the training loop.

A set comes from scikit-learn (digits, always there), from torchvision's own files (MNIST, Fashion-MNIST, CIFAR-10:
downloaded once, with checksums) or from a learner's zip with one folder a class. Pixels stay `uint8`; a batch becomes
`float32` only when it is used, which is as fast and takes a quarter of the memory.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.client
import io
import os
import re
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import filelock
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from distill_core import paths

Progress = Iterator[tuple[str, float]]  # what is being done, and which fraction of it is done


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test images of one set. `train_images`: `(N, D, H, W)` uint8, `train_labels`: `(N,)` int64."""

    name: str
    title: str
    class_names: tuple[str, ...]
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(D, H, W)`: channels, height, width."""
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
        """uint8 images as a network sees them: float32, mean 0 and standard deviation 1 per channel."""
        return images.float().sub_(self.pixel_mean_std[0]).mul_(self._scale)

    @functools.cached_property
    def _scale(self) -> Tensor:
        """What pixels are multiplied by: five times as fast as to divide them."""
        return 1 / self.pixel_mean_std[1]

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of every training and test pixel and label: results computed for one set cannot be used for another."""
        digest = hashlib.sha256()
        for tensor in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(str(tuple(tensor.shape)).encode())
            digest.update(tensor.cpu().contiguous().numpy())
        return digest.hexdigest()[:16]

    def to(self, device: torch.device | str) -> Dataset:
        """The same set with its tensors on `device`; itself where they are there already."""
        if self.train_images.device == torch.device(device):
            return self
        tensors = ("train_images", "train_labels", "test_images", "test_labels")
        return replace(self, **{name: getattr(self, name).to(device) for name in tensors})


# --- what a run sees of a set ---------------------------------------------------------------------------------------


def choose_images(labels: Tensor, *, images: int, hide_classes: tuple[int, ...], seed: int) -> Tensor:
    """Indices `(n,)` of the transfer set: `images` of those whose class is not hidden, drawn by `seed`; 0 takes all.

    The test set is never touched: a student is asked about classes that it never saw.
    """
    hidden = torch.tensor(hide_classes, dtype=labels.dtype, device=labels.device)
    eligible = torch.nonzero(~torch.isin(labels, hidden)).flatten()
    if len(eligible) == 0:
        raise ValueError(f"hide_classes {list(hide_classes)} leaves no image to learn from; hide fewer")
    if images > len(eligible):
        raise ValueError(
            f"images {images} is more than there are: {len(eligible)} remain to choose from; give {len(eligible)} or fewer, or 0 for all"
        )
    if images == 0:
        return eligible
    shuffle = torch.randperm(len(eligible), generator=seeded(seed, "images"))
    return eligible[shuffle[:images].to(labels.device)].sort().values


def add_label_noise(labels: Tensor, *, label_noise: float, classes: int, seed: int) -> Tensor:
    """Labels `(N,)` of which a fraction `label_noise` was replaced by another class, drawn evenly by `seed`."""
    if label_noise == 0:
        return labels
    generator = seeded(seed, "label noise")
    flipped = (torch.rand(len(labels), generator=generator) < label_noise).to(labels.device)
    step = torch.randint(1, classes, (len(labels),), generator=generator).to(labels.device)
    return torch.where(flipped, (labels + step) % classes, labels)


def seeded(seed: int, *purpose: str | int) -> torch.Generator:
    """A generator of its own for each purpose, so that one more draw in one place changes nothing in another."""
    digest = hashlib.sha256(repr((seed, purpose)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def random_shift(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Each image `(N, D, H, W)` moved by up to `most` pixels in both directions.

    What comes in at the edge is black in grey images, as the paper around a digit, and its mirror image in coloured ones.
    """
    if most == 0:
        return images
    n, channels, height, width = images.shape
    padded = torch.nn.functional.pad(images, (most,) * 4, mode="constant" if channels == 1 else "reflect")
    down, right = torch.randint(0, 2 * most + 1, (2, n, 1), generator=generator).to(images.device)
    rows = (down + torch.arange(height, device=images.device)).view(n, height, 1)
    columns = (right + torch.arange(width, device=images.device)).view(n, 1, width)
    example = torch.arange(n, device=images.device).view(n, 1, 1)
    return padded[example, :, rows, columns].permute(0, 3, 1, 2)  # (N, H, W, D) -> (N, D, H, W)


def random_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image `(N, D, H, W)` as it is or mirrored, left for right."""
    turned = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    return torch.where(turned.view(-1, 1, 1, 1), images.flip(-1), images)


# --- loading --------------------------------------------------------------------------------------------------------


def load(name: str) -> Dataset:
    """The set called `name` (a key of DATASETS, or the path of a zip). It must be on this machine: see `fetch`.

    Raises `ValueError` with one sentence where the name is unknown or the files are missing, cut or altered.
    """
    if name.endswith(".zip"):
        path = find_pictures(name)
        return replace(_load_pictures(str(path), _stat(path)), name=name)
    return _load_named(_known(name).name)


def fetch(name: str) -> Progress:
    """Bring the set `name` to this machine if it is not there yet; yields how far the download is."""
    if not name.endswith(".zip"):
        yield from _known(name).fetch()


@dataclass(frozen=True)
class Source:
    """Where a set comes from. `train` and `test` are its numbers of images, known before it is loaded."""

    name: str
    title: str
    train: int
    test: int
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    read: Callable[[], tuple[Tensor, Tensor, Tensor, Tensor]]
    folder: str = ""  # where its files are, inside paths.data()
    kind: str = ""  # torchvision's class for it, where there is one
    fingerprint: str = ""  # of the genuine set, where that is known

    def is_here(self) -> bool:
        """Whether the set is on this machine, so that a run needs no download."""
        folder = paths.data() / self.folder
        if self.folder.endswith("raw"):  # made before the first byte comes: only whole files count
            return all((folder / file).exists() for file in IDX_FILES)
        return not self.folder or folder.exists()

    def fetch(self) -> Progress:
        """Download, check and unpack, unless that was done before."""
        if not self.kind or self.is_here():
            return
        folder = paths.data() / self.folder
        if self.kind == "CIFAR10":  # its archive brings the folder along
            folder = folder.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(folder / ".lock").acquire()
        except OSError as error:
            raise ValueError(
                f"{self.title} cannot be kept in {folder} ({error.strerror}); set DISTILL_DATA to a folder that can be written"
            ) from error
        with lock:
            for mirrors, md5 in _archives(self):
                for fraction in download(mirrors, folder / mirrors[0].rsplit("/", 1)[1], md5=md5):
                    yield f"downloading {self.title}", fraction
            yield f"unpacking {self.title}", 1.0
            _torchvision_set(self, train=True, download=True)


def _known(name: str) -> Source:
    if name not in DATASETS:
        raise ValueError(f"dataset '{name}' is not known; choose one of: {', '.join(DATASETS)}, or the path of a .zip of pictures")
    return DATASETS[name]


@functools.lru_cache(maxsize=4)
def _load_named(name: str) -> Dataset:
    source = DATASETS[name]
    dataset = Dataset(source.name, source.title, source.class_names, *source.read())
    if source.fingerprint and dataset.fingerprint != source.fingerprint:
        raise ValueError(f"the files of {source.title} in {_folder(source)} are altered; {_AGAIN}")
    return dataset


def _read_digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """scikit-learn's 1,797 digits of 8 x 8 pixels; every fifth is a test image."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(np.round(digits.images * (255 / 16)).astype(np.uint8)).unsqueeze(1)  # (N, 1, 8, 8)
    labels = torch.from_numpy(digits.target.astype(np.int64))
    test = torch.arange(len(labels)) % 5 == 4
    return images[~test], labels[~test], images[test], labels[test]


def _read_torchvision(name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The files that torchvision downloads, read by torchvision."""
    tensors = []
    for train in (True, False):
        part = _torchvision_set(DATASETS[name], train=train)
        images = torch.as_tensor(part.data)
        images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)  # (N, D, H, W)
        labels = torch.as_tensor(part.targets, dtype=torch.int64)
        _check_complete(DATASETS[name], images, labels, train=train)
        tensors += [images.contiguous(), labels]
    return tuple(tensors)


def _check_complete(source: Source, images: Tensor, labels: Tensor, *, train: bool) -> None:
    expected = source.train if train else source.test
    if len(images) != expected or len(labels) != expected or tuple(images.shape[1:]) != source.image_shape:
        part = "training" if train else "test"
        raise ValueError(
            f"the {part} files of {source.title} in {_folder(source)} are cut: "
            f"{len(images)} images and {len(labels)} labels instead of {expected}; {_AGAIN}"
        )
    if labels.min() < 0 or labels.max() >= len(source.class_names):
        raise ValueError(f"the files of {source.title} in {_folder(source)} are altered; {_AGAIN}")


_AGAIN = "delete that folder and the next run downloads it anew"


def _folder(source: Source) -> Path:
    return paths.data() / source.folder


def _torchvision_set(source: Source, *, train: bool, download: bool = False):  # noqa: ANN202
    folder = _folder(source)
    root = folder.parent if source.kind == "CIFAR10" else folder.parent.parent
    try:
        return getattr(_torchvision().datasets, source.kind)(root=root, train=train, download=download)
    except RuntimeError as error:  # from torchvision's own check of names and sums
        if folder.exists():
            raise ValueError(f"the files of {source.title} in {folder} are cut or altered; {_AGAIN}") from error
        raise ValueError(f"{source.title} is not in {folder}; a run downloads it, or set DISTILL_DATA to the folder that has it") from error
    except Exception as error:  # whatever torchvision's reader makes of a harmed file
        raise ValueError(f"the files of {source.title} in {folder} are cut or altered ({error}); {_AGAIN}") from error


_IMPORTING = threading.Lock()  # of two threads that import what stops half-way, one is given that half, and would keep it


@functools.cache
def _torchvision():  # noqa: ANN202
    """torchvision, also where its compiled part does not load.

    The wheel for Linux on PyPI is linked to CUDA: beside a CPU-only torch its operators are missing, and the import
    stops at "operator torchvision::nms does not exist". We use none of them; declared, they let the import pass.
    """
    with _IMPORTING:
        try:
            import torchvision
        except RuntimeError:
            library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _torchvision.library = library  # an operator lives as long as its library
            import torchvision
        return torchvision


# --- downloading ----------------------------------------------------------------------------------------------------


def _archives(source: Source) -> list[tuple[list[str], str]]:
    """For each file of a set: the addresses it can be had from, and its MD5 sum, both as torchvision gives them."""
    kind = getattr(_torchvision().datasets, source.kind)
    if source.kind == "CIFAR10":
        return [([kind.url], kind.tgz_md5)]
    return [([mirror.rstrip("/") + "/" + name for mirror in kind.mirrors], md5) for name, md5 in kind.resources]


def download(addresses: list[str], path: Path, *, md5: str, tries: int = 3) -> Iterator[float]:
    """Fetch a file, going on where an earlier try was cut off; yields the fraction done. The checksum decides.

    Raises `ValueError` naming the file and the reason when no address gives it.
    """
    if path.exists() and _md5(path) == md5:
        return
    part = path.with_name(path.name + ".part")
    problem = "no address is known"
    for attempt in range(tries):
        for address in addresses:
            try:
                yield from _append(address, part)
            except (OSError, http.client.HTTPException) as error:  # a URLError is an OSError
                problem = " ".join(str(getattr(error, "reason", error)).split())  # a server can say anything
                continue
            if _md5(part) == md5:
                part.replace(path)
                return
            problem = "what came does not have the right checksum"
            part.unlink()  # altered on the way: only a fresh start can help
        if attempt + 1 < tries:
            time.sleep(0.5 * 2**attempt)
    raise ValueError(f"{path.name} could not be downloaded ({problem}); check the internet connection, or put it into {path.parent}")


def _append(address: str, part: Path) -> Iterator[float]:
    """Fetch what is still missing of `part`."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={start}-", "User-Agent": "distill-lab"})
    try:
        answer = urllib.request.urlopen(request, timeout=20)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is missing
            return
        raise
    with answer:
        if answer.status != 206:
            start = 0  # this server sends all of it again
        total = start + int(answer.headers.get("Content-Length") or 0)
        with open(part, "r+b" if start else "wb") as file:
            file.seek(start)
            while block := answer.read(1 << 18):
                file.write(block)
                yield min(1.0, file.tell() / total) if total else 0.0
        if total and part.stat().st_size < total:
            raise OSError("the connection was cut")


def _md5(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


# --- the learner's own pictures -------------------------------------------------------------------------------------

PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp")
LARGEST_ZIP = 2 * 1024**3  # bytes, unpacked
MAX_PICTURES = 100_000
LARGEST_PICTURE = 4096 * 4096  # pixels


def read_pictures(file: Path | io.IOBase, *, name: str = "pictures.zip") -> Dataset:
    """A zip of one folder a class as a set; `train/` and `test/` above the classes divide it, otherwise every fifth picture tests.

    Nothing is unpacked to disk. Pictures of one small size stay as they are; others are cropped to a square and made
    32 x 32; a set of grey pictures has one channel. Raises `ValueError` with one sentence for a zip that cannot be used.
    """
    try:
        archive = zipfile.ZipFile(file)
    except Exception as error:  # zipfile knows many ways to stumble over a harmed directory
        raise ValueError(f"'{name}' cannot be read as a zip ({error}); make a zip with one folder of pictures a class") from error
    with archive:
        members = _list_pictures(archive, name)
        pictures = [(part, label, path, _open_picture(archive, path)) for part, label, path in members]
    sizes = {picture.size for *_, picture in pictures}
    width, height = sizes.pop() if len(sizes) == 1 else (32, 32)
    if max(width, height) > 64 or min(width, height) < 8:
        width, height = 32, 32
    grey = all(picture.mode == "L" for *_, picture in pictures)
    class_names = tuple(sorted({label for _, label, *_ in pictures}))
    divided = {part for part, *_ in pictures} == {"train", "test"}
    seen: dict[str, int] = defaultdict(int)
    parts: dict[str, tuple[list, list]] = {"train": ([], []), "test": ([], [])}
    for part, label, _, picture in pictures:
        if not divided:
            seen[label] += 1
            part = "test" if seen[label] % 5 == 0 else "train"
        parts[part][0].append(_as_array(picture, (width, height), grey))
        parts[part][1].append(class_names.index(label))
    for part, (_, labels) in parts.items():
        lacking = [class_names[c] for c in range(len(class_names)) if c not in labels]
        if lacking:
            raise ValueError(f"'{name}' has no {part} picture of class '{lacking[0]}'; put at least 5 pictures into each folder")
    tensors = [t for images, labels in parts.values() for t in (torch.from_numpy(np.stack(images)), torch.tensor(labels))]
    return Dataset(name, Path(name).stem, class_names, *tensors)


def keep_pictures(blob: bytes, *, name: str) -> str:
    """Keep a learner's zip under its content's hash; returns the name by which an Experiment finds it again.

    Raises `ValueError` with one sentence for a zip that cannot be used; then nothing is kept.
    """
    read_pictures(io.BytesIO(blob), name=name)
    stem = re.sub(r"[^\w-]+", "-", Path(name).stem).strip("-")[:40] or "pictures"
    kept = f"{stem}-{hashlib.sha256(blob).hexdigest()[:8]}.zip"
    folder = paths.home() / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{kept}.{os.getpid()}"
    temporary.write_bytes(blob)
    temporary.replace(folder / kept)
    return kept


def kept_pictures() -> list[str]:
    """The names of the zips that learners brought."""
    return sorted(path.name for path in (paths.home() / "pictures").glob("*.zip"))


def find_pictures(name: str) -> Path:
    """A zip by its path, or by the name that `keep_pictures` gave it."""
    kept = paths.home() / "pictures" / name
    return kept if Path(name).name == name and kept.exists() else Path(name)


def _list_pictures(archive: zipfile.ZipFile, name: str) -> list[tuple[str, str, str]]:
    """`(part, class, path)` of every picture, after everything that can be said without opening one."""
    entries = [e for e in archive.infolist() if not e.is_dir() and not _is_litter(e.filename)]
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > LARGEST_ZIP:
        raise ValueError(
            f"'{name}' unpacks to {unpacked / 1024**3:.1f} GB; the most is {LARGEST_ZIP // 1024**3} GB, so make the pictures smaller"
        )
    if len(entries) > MAX_PICTURES:
        raise ValueError(f"'{name}' holds {len(entries)} files; the most is {MAX_PICTURES}, so leave some out")
    members = []
    for entry in sorted(entries, key=lambda e: e.filename):
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise ValueError(f"'{name}' holds {entry.filename!r}, which points outside its folder; make the zip again from a plain folder")
        if path.suffix.lower() not in PICTURES:
            raise ValueError(f"'{name}' holds {entry.filename!r}, which is not a picture ({', '.join(PICTURES)}); take it out")
        if len(path.parts) < 2:
            raise ValueError(f"'{name}' holds {entry.filename!r} outside any folder; put each picture into the folder of its class")
        part = next((p for p in path.parts[:-2] if p in ("train", "test")), "")
        members.append((part, path.parts[-2], entry.filename))
    labels = {label for _, label, _ in members}
    if len(labels) < 2:
        found = f"only the class '{labels.pop()}'" if labels else "no pictures"
        raise ValueError(f"'{name}' holds {found}; make one folder of pictures for each of at least two classes")
    if len(labels) > 100:
        raise ValueError(f"'{name}' holds {len(labels)} classes; the most is 100, so leave some out")
    return members


def _is_litter(path: str) -> bool:
    """What operating systems leave in a zip without being asked."""
    return path.startswith("__MACOSX/") or PurePosixPath(path).name in (".DS_Store", "Thumbs.db", "desktop.ini")


def _open_picture(archive: zipfile.ZipFile, path: str):  # noqa: ANN202
    from PIL import Image, ImageOps

    try:
        with archive.open(path) as stream:
            blob = stream.read(64 * 1024**2)  # a header may lie about the size
        picture = Image.open(io.BytesIO(blob))
        if picture.width * picture.height > LARGEST_PICTURE:
            raise ValueError(f"{picture.width} x {picture.height} pixels are too many")
        picture.load()
        picture = picture.convert("L" if picture.mode in ("L", "1", "I;16", "LA") else "RGB")
        # As it will be in the end: a zip of 50 MB can hold a thousand large pictures, which are 48 GB as pixels.
        return ImageOps.fit(picture, (32, 32)) if max(picture.size) > 64 else picture
    except Exception as error:  # each format and each compression stumbles in its own way
        raise ValueError(f"the picture {path!r} is broken ({error}); replace it or take it out of the zip") from error


def _as_array(picture, size: tuple[int, int], grey: bool) -> np.ndarray:  # noqa: ANN001
    """A picture as `(D, H, W)` uint8, its middle square scaled where it does not fit."""
    from PIL import ImageOps

    if picture.size != size:
        picture = ImageOps.fit(picture, size)
    pixels = np.asarray(picture.convert("L" if grey else "RGB"))
    return np.ascontiguousarray(pixels[None] if grey else pixels.transpose(2, 0, 1))


def _stat(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise ValueError(f"the zip '{path}' cannot be opened ({error.strerror}); give the path of a zip of pictures") from error
    return status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=2)
def _load_pictures(path: str, stamp: tuple[int, int]) -> Dataset:
    """A zip's tensors; kept, because 60,000 pictures take seconds to decode."""
    key = hashlib.sha256(repr((str(Path(path).resolve()), stamp)).encode()).hexdigest()[:24]
    kept = paths.cache("pictures") / f"{key}.safetensors"
    if kept.exists():
        try:
            tensors = load_file(kept)
            class_names = tuple(bytes(tensors.pop("class_names").tolist()).decode().split("\0"))
            return Dataset(path, Path(path).stem, class_names, **tensors)
        except Exception:  # a cut cache file: made again below
            kept.unlink(missing_ok=True)
    dataset = read_pictures(Path(path), name=Path(path).name)
    fields = ("train_images", "train_labels", "test_images", "test_labels")
    tensors = {field: getattr(dataset, field) for field in fields}
    tensors["class_names"] = torch.tensor(list("\0".join(dataset.class_names).encode()), dtype=torch.uint8)
    keep(tensors, kept)
    return replace(dataset, name=path)


def keep(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a cache file, all of it or nothing. A full or read-only disk costs the time next time, not the run."""
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        save_file(tensors, temporary)
        temporary.replace(path)
    except (OSError, SafetensorError):
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
DIGIT_NAMES = tuple("0123456789")
FASHION_NAMES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
CIFAR10_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _read_cifar10_jpeg() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """CIFAR-10's pictures, encoded again as JPEG, from the zip `cifar10-jpeg.zip` in the data folder."""
    dataset = load(str(paths.data() / "cifar10-jpeg.zip"))
    return dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels


def _source(name: str, title: str, train: int, test: int, shape: tuple, class_names: tuple, kind: str, folder: str, **more) -> Source:  # noqa: ANN003
    return Source(name, title, train, test, shape, class_names, lambda: _read_torchvision(name), folder, kind, **more)


DATASETS = {
    source.name: source
    for source in (
        Source("digits", "Digits (8 x 8)", 1438, 359, (1, 8, 8), DIGIT_NAMES, _read_digits),
        _source("mnist", "MNIST", 60_000, 10_000, (1, 28, 28), DIGIT_NAMES, "MNIST", "MNIST/raw", fingerprint="35914650c8beaeed"),
        _source("fashion-mnist", "Fashion-MNIST", 60_000, 10_000, (1, 28, 28), FASHION_NAMES, "FashionMNIST", "FashionMNIST/raw"),
        _source("cifar10", "CIFAR-10", 50_000, 10_000, (3, 32, 32), CIFAR10_NAMES, "CIFAR10", "cifar-10-batches-py"),
        Source("cifar10-jpeg", "CIFAR-10 (JPEG)", 50_000, 10_000, (3, 32, 32), CIFAR10_NAMES, _read_cifar10_jpeg, "cifar10-jpeg.zip"),
    )
}
