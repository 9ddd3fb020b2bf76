"""Image sets from a zip with one folder per class: checked, read, and kept under the hash of their content.

A zip comes from anybody: every size is limited before memory is used, and no path inside it is ever written.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from safetensors.torch import load_file, save

from distill_core import paths
from distill_core.data.dataset import TENSORS, Dataset
from distill_core.data.decoding import MAX_SIDE, decode, quoted, shorten

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp")
MAX_UNPACKED = 2 * 1024**3  # bytes of all files in a zip
MAX_FILES = 100_000
MAX_CLASSES = 100
MIN_SIDE = 8  # images of one size from this to MAX_SIDE keep it; all others become 32 x 32
FOLDER = "pictures"  # of the kept zips, and of the cache of their tensors

Reading = Generator[tuple[str, float], None, Dataset]  # yields a description and the fraction done, returns the set


# --- reading --------------------------------------------------------------------------------------------------------


def read_zip(file: Path | io.IOBase, *, name: str = "images.zip") -> Dataset:
    """The Dataset in a zip, as `decode_zip` reads it."""
    return _last(decode_zip(file, name=name))


def decode_zip(file: Path | io.IOBase, *, name: str = "images.zip") -> Reading:
    """Read a zip with one folder per class as a Dataset; yields the progress. Nothing is unpacked to disk.

    Folders `train` and `test` above the classes split the set; otherwise every fifth image of a class is a test image.
    Images of one common size from 8 to 64 pixels keep it; others are cropped to a square and scaled to 32 x 32. A set
    of greyscale images has one channel. Raises `ValueError` with one sentence if the zip cannot be used.
    """
    try:
        archive = zipfile.ZipFile(file)
    except Exception as error:  # zipfile raises many types for a damaged directory
        raise ValueError(
            f"{quoted(name)} cannot be read as a zip ({shorten(str(error))}); make a zip with one folder of images per class"
        ) from error
    with archive:
        members = _list_images(archive, name)
        arrays = yield from decode(archive, [path for *_, path in members], name=name)
        return _to_dataset([(part, label, pixels) for (part, label, _), pixels in zip(members, arrays, strict=True)], name)


def _to_dataset(images: list[tuple[str, str, np.ndarray]], name: str) -> Dataset:
    """A Dataset from `(part, class, pixels)` of every image, the pixels `(H, W)` or `(H, W, 3)` uint8."""
    sizes = {pixels.shape[:2] for *_, pixels in images}
    height, width = sizes.pop() if len(sizes) == 1 else (32, 32)
    if max(width, height) > MAX_SIDE or min(width, height) < MIN_SIDE:
        width, height = 32, 32
    grey = all(pixels.ndim == 2 for *_, pixels in images)
    class_names = tuple(sorted({label for _, label, _ in images}))
    divided = {part for part, *_ in images} == {"train", "test"}
    seen: dict[str, int] = defaultdict(int)
    parts: dict[str, tuple[list, list]] = {"train": ([], []), "test": ([], [])}
    for part, label, pixels in images:
        if not divided:
            seen[label] += 1
            part = "test" if seen[label] % 5 == 0 else "train"
        parts[part][0].append(_resized(pixels, (width, height), grey))
        parts[part][1].append(class_names.index(label))
    for part, (_, labels) in parts.items():
        missing = [class_names[c] for c in range(len(class_names)) if c not in labels]
        if missing:
            raise ValueError(
                f"{quoted(name)} has no {part} image of class {quoted(missing[0])}; put at least 5 images into the folder of each class"
            )
    tensors = [t for arrays, labels in parts.values() for t in (torch.from_numpy(np.stack(arrays)), torch.tensor(labels))]
    return Dataset(name, Path(name).stem, class_names, *tensors)


def _list_images(archive: zipfile.ZipFile, name: str) -> list[tuple[str, str, str]]:
    """`(part, class, path)` of every image; all checks that need no image to be opened."""
    # A directory ends in "/"; `ZipInfo.is_dir` raises IndexError for an empty name.
    entries = [e for e in archive.infolist() if not e.filename.endswith("/") and not _is_system_file(e.filename)]
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MAX_UNPACKED:
        raise ValueError(
            f"{quoted(name)} unpacks to {unpacked / 1024**3:.1f} GB; the limit is {MAX_UNPACKED // 1024**3} GB, so make the images smaller"
        )
    if len(entries) > MAX_FILES:
        raise ValueError(f"{quoted(name)} holds {len(entries)} files; the limit is {MAX_FILES}, so leave some out")
    members = []
    for entry in sorted(entries, key=lambda e: e.filename):
        path = _checked_path(entry.filename, name)
        part = next((p for p in path.parts[:-2] if p in ("train", "test")), "")
        members.append((part, path.parts[-2], entry.filename))
    labels = {label for _, label, _ in members}
    if len(labels) < 2:
        found = f"only the class {quoted(labels.pop())}" if labels else "no images"
        raise ValueError(f"{quoted(name)} holds {found}; make one folder of images for each of at least two classes")
    if len(labels) > MAX_CLASSES:
        raise ValueError(f"{quoted(name)} holds {len(labels)} classes; the limit is {MAX_CLASSES}, so leave some out")
    return members


def _checked_path(filename: str, name: str) -> PurePosixPath:
    """The path of a file in a zip; raises `ValueError` if it is not an image in the folder of a class."""
    path, holds = PurePosixPath(filename.replace("\\", "/")), f"{quoted(name)} holds {quoted(filename)}"
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise ValueError(f"{holds}, which points outside its folder; make the zip again from a plain folder")
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise ValueError(f"{holds}, which is not an image ({', '.join(IMAGE_SUFFIXES)}); take it out")
    if len(path.parts) < 2:
        raise ValueError(f"{holds} outside any folder; put each image into the folder of its class")
    return path


def _is_system_file(path: str) -> bool:
    """Files that operating systems add to a zip."""
    return path.startswith("__MACOSX/") or path.rpartition("/")[2] in (".DS_Store", "Thumbs.db", "desktop.ini")


def _resized(pixels: np.ndarray, size: tuple[int, int], grey: bool) -> np.ndarray:
    """Pixels `(H, W)` or `(H, W, 3)` as `(D, H, W)`; their central square, scaled, where their size differs from `size`."""
    from PIL import Image, ImageOps

    if pixels.shape[1::-1] != size:
        pixels = np.asarray(ImageOps.fit(Image.fromarray(pixels), size))
    channels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(channels if grey else np.broadcast_to(channels, (3, *channels.shape[1:])))


# --- keeping --------------------------------------------------------------------------------------------------------


def keep_zip(blob: bytes, *, name: str) -> str:
    """Keep an uploaded zip under the hash of its content; returns the data set name for an Experiment.

    Raises `ValueError` with one sentence if the zip cannot be used; it is then not kept.
    """
    read_zip(io.BytesIO(blob), name=name)
    stem = re.sub(r"[^\w-]+", "-", Path(name).stem).strip("-")[:40] or "images"
    kept = f"{stem}-{hashlib.sha256(blob).hexdigest()[:8]}.zip"
    folder = paths.home() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    paths.write_atomically(folder / kept, blob)
    return kept


def kept_zips() -> list[str]:
    """The names of all uploaded zips."""
    return sorted(path.name for path in (paths.home() / FOLDER).glob("*.zip"))


def load_zip(name: str) -> Dataset:
    """The set in a zip, given by its path or by the name that `keep_zip` returned: one object as long as the file is unchanged.

    Raises `ValueError` with one sentence if the file is missing or cannot be used.
    """
    return _load(name, *_locate(name))


def prepare_zip(name: str) -> Generator[tuple[str, float], None, None]:
    """Decode the set in a zip so that `load_zip` finds its tensors on disk; yields the progress, nothing if they are there.

    Raises `ValueError` as `load_zip` does.
    """
    path, stamp = _locate(name)
    if not _cache_path(path, stamp).exists():
        yield from _load_steps(name, path, stamp)


def _locate(name: str) -> tuple[str, tuple[int, int]]:
    """The path of a zip, and its size and time, which change with its content."""
    kept = paths.home() / FOLDER / name
    path = kept if Path(name).name == name and kept.exists() else Path(name)
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"the zip '{shorten(str(path), 200)}' cannot be opened ({reason}); give the path of a zip of images") from error
    return str(path), (status.st_size, status.st_mtime_ns)


def _cache_path(path: str, stamp: tuple[int, int]) -> Path:
    key = hashlib.sha256(repr((str(Path(path).resolve()), stamp)).encode()).hexdigest()[:24]
    return paths.cache(FOLDER) / f"{key}.safetensors"


@functools.lru_cache(maxsize=2)
def _load(name: str, path: str, stamp: tuple[int, int]) -> Dataset:
    return _last(_load_steps(name, path, stamp))


def _load_steps(name: str, path: str, stamp: tuple[int, int]) -> Reading:
    """A zip's tensors, from the cache on disk if they are there; else decoded, which takes seconds for 60,000 images."""
    cached = _cache_path(path, stamp)
    if cached.exists():
        try:
            tensors = load_file(cached)
            class_names = tuple(bytes(tensors.pop("class_names").tolist()).decode().split("\0"))
            return Dataset(name, Path(path).stem, class_names, **tensors)
        except Exception:  # a cut file: written again below
            cached.unlink(missing_ok=True)
    dataset = yield from decode_zip(Path(path), name=Path(path).name)
    tensors = {field: getattr(dataset, field) for field in TENSORS}
    tensors["class_names"] = torch.tensor(list("\0".join(dataset.class_names).encode()), dtype=torch.uint8)
    with contextlib.suppress(OSError):  # on a full or read-only disk it is decoded again next time
        paths.write_atomically(cached, save(tensors))
    return replace(dataset, name=name)


def _last(reading: Reading) -> Dataset:
    """What a generator returns, once all of its progress has been passed over."""
    while True:
        try:
            next(reading)
        except StopIteration as ended:
            return ended.value
