"""Image sets from a zip with one folder per class: checked, read, and kept under the hash of their content.

A zip comes from anybody: every size is limited before memory is used, and no path inside it is ever written. The name of a
kept zip ends in 128 bits of its hash: who knows it (from the link of a run, say) may use the set, and nobody can guess it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import re
import struct
import threading
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save

from distill_core import paths
from distill_core.data.dataset import TENSORS, Dataset
from distill_core.data.decoding import MAX_FILE, MAX_SIDE, Budget, decode, quoted, shorten

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp")
MAX_UNPACKED = 2 * 1024**3  # bytes of all files in a zip
MAX_FILES = 100_000
MAX_DIRECTORY = 20 * 1024**2  # bytes of the list of files in a zip
MAX_CLASSES = 100
MIN_SIDE = 8  # images of one size from this to MAX_SIDE keep it; all others become 32 x 32
MAX_DECODED = 64 * 1024**2  # bytes of the images of an upload: 20,000 colour images of 32 x 32
FOLDER = "pictures"  # of the kept uploads, and of the cache of their tensors
SUFFIXES = (".zip", ".txt")  # of what is kept
OWNERS = "owners"  # in it: a folder for each browser, with an empty file for each of its zips
MAX_OWN = 5  # sets of one browser; the oldest goes first
MAX_KEPT = 2 * 1024**3  # bytes of all kept zips and their tensors; the oldest go first
MAX_AGE = 14 * 86400  # seconds after the last upload until a set is deleted
MAX_WAIT = 60.0  # seconds until another upload must have been read

Reading = Generator[tuple[str, float], None, Dataset]  # yields a description and the fraction done, returns the set


# --- reading --------------------------------------------------------------------------------------------------------


def read_zip(file: Path | io.IOBase, *, name: str = "images.zip", budget: Budget | None = None) -> Dataset:
    """The Dataset in a zip, as `decode_zip` reads it."""
    return _last(decode_zip(file, name=name, budget=budget))


def decode_zip(file: Path | io.IOBase, *, name: str = "images.zip", budget: Budget | None = None) -> Reading:
    """Read a zip with one folder per class as a Dataset; yields the progress. Nothing is unpacked to disk.

    Folders `train` and `test` above the classes split the set; otherwise every fifth image of a class is a test image.
    Images of one common size from 8 to 64 pixels keep it; others are cropped to a square and scaled to 32 x 32. A set
    of greyscale images has one channel. Raises `ValueError` with one sentence if the zip cannot be used.
    """
    _check_directory(file, name)
    try:
        archive = zipfile.ZipFile(file)
    except Exception as error:  # zipfile raises many types for a damaged directory
        raise ValueError(
            f"{quoted(name)} cannot be read as a zip ({shorten(str(error))}); make a zip with one folder of images per class"
        ) from error
    with archive:
        members = _list_images(archive, name)
        arrays = yield from decode(archive, [path for *_, path in members], name=name, budget=budget)
        return _to_dataset([(part, label) for part, label, _ in members], arrays, name)


def _check_directory(file: Path | io.IOBase, name: str) -> None:
    """Raise `ValueError` for a longer list of files than is read: Python's zipfile makes an object for each, before anything is known."""
    try:
        with contextlib.ExitStack() as stack:
            stream = stack.enter_context(file.open("rb")) if isinstance(file, Path) else file
            length = stream.seek(0, io.SEEK_END)
            stream.seek(max(0, length - 66_000))  # the last record, with a comment of up to 65,535 bytes
            tail = stream.read()
    except OSError:  # told by zipfile
        return
    place, place64 = tail.rfind(b"PK\5\6"), tail.rfind(b"PK\6\6")  # the second one of zips with many files
    size = struct.unpack_from("<I", tail, place + 12)[0] if 0 <= place <= len(tail) - 22 else 0
    size64 = struct.unpack_from("<Q", tail, place64 + 40)[0] if 0 <= place64 <= len(tail) - 56 else 0
    if max(size % 0xFFFFFFFF, size64) > MAX_DIRECTORY:  # 0xFFFFFFFF refers to the second one
        raise ValueError(f"{quoted(name)} lists more files than the limit of {MAX_FILES:,}; leave some out")


def _to_dataset(images: list[tuple[str, str]], pixels: list[np.ndarray], name: str) -> Dataset:
    """A Dataset from `(part, class)` and the pixels of every image, `(H, W)` or `(H, W, 3)` uint8. `pixels` is emptied."""
    sizes = {one.shape[:2] for one in pixels}
    height, width = sizes.pop() if len(sizes) == 1 else (32, 32)
    if max(width, height) > MAX_SIDE or min(width, height) < MIN_SIDE:
        width, height = 32, 32
    grey = all(one.ndim == 2 for one in pixels)
    class_names = tuple(sorted({label for _, label in images}))
    parts = _parts(images)
    places = [class_names.index(label) for _, label in images]
    labels = {part: [place for place, p in zip(places, parts, strict=True) if p == part] for part in ("train", "test")}
    for part, present in labels.items():
        if missing := sorted(set(range(len(class_names))) - set(present)):
            raise ValueError(
                f"{quoted(name)} has no {part} image of class {quoted(class_names[missing[0]])}; put at least 5 images into the folder of "
                "each class"
            )
    counts = Counter(parts)
    arrays = {part: np.empty((counts[part], 1 if grey else 3, height, width), np.uint8) for part in labels}
    for part in reversed(parts):  # from the end, so that each image is freed as soon as it is copied
        counts[part] -= 1
        arrays[part][counts[part]] = _resized(pixels.pop(), (width, height))  # a greyscale image into all channels
    tensors = [tensor for part in labels for tensor in (torch.from_numpy(arrays[part]), torch.tensor(labels[part]))]
    return Dataset(name, Path(name).stem, class_names, *tensors)


def _parts(images: list[tuple[str, str]]) -> list[str]:
    """ "train" or "test" for every image: by its folder, or every fifth image of a class is a test image."""
    if {part for part, _ in images} == {"train", "test"}:
        return [part for part, _ in images]
    seen: dict[str, int] = defaultdict(int)
    parts = []
    for _, label in images:
        seen[label] += 1
        parts.append("test" if seen[label] % 5 == 0 else "train")
    return parts


def _list_images(archive: zipfile.ZipFile, name: str) -> list[tuple[str, str, str]]:
    """`(part, class, path)` of every image; all checks that need no image to be opened."""
    # A directory ends in "/"; `ZipInfo.is_dir` raises IndexError for an empty name.
    entries = [e for e in archive.infolist() if not e.filename.endswith("/") and not _is_system_file(e.filename)]
    for entry in entries:
        if MAX_FILE < entry.file_size <= MAX_UNPACKED:
            size = f"{entry.file_size / 1024**2:,.0f} MB"
            raise ValueError(
                f"{quoted(name)} holds {quoted(entry.filename)}, which unpacks to {size}; an image may have {MAX_FILE // 1024**2} MB, so "
                "make it smaller"
            )
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MAX_UNPACKED:
        raise ValueError(
            f"{quoted(name)} unpacks to {unpacked / 1024**3:.1f} GB; the limit is {MAX_UNPACKED // 1024**3} GB, so make the images smaller"
        )
    if len(entries) > MAX_FILES:
        raise ValueError(f"{quoted(name)} holds {len(entries)} files; the limit is {MAX_FILES}, so leave some out")
    members = []
    for entry in sorted(entries, key=lambda e: e.filename):
        *folders, label, _ = _checked_parts(entry.filename, name)
        members.append((next((folder for folder in folders if folder in ("train", "test")), ""), label, entry.filename))
    labels = {label for _, label, _ in members}
    if len(labels) < 2:
        found = f"only the class {quoted(labels.pop())}" if labels else "no images"
        raise ValueError(f"{quoted(name)} holds {found}; make one folder of images for each of at least two classes")
    if len(labels) > MAX_CLASSES:
        raise ValueError(f"{quoted(name)} holds {len(labels)} classes; the limit is {MAX_CLASSES}, so leave some out")
    return members


def _checked_parts(filename: str, name: str) -> list[str]:
    """The folders and the name of a file in a zip; raises `ValueError` if it is not an image in the folder of a class."""
    path, holds = filename.replace("\\", "/"), f"{quoted(name)} holds {quoted(filename)}"
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or path.startswith("/") or ".." in parts or ":" in parts[0]:
        raise ValueError(f"{holds}, which points outside its folder; make the zip again from a plain folder")
    if not parts[-1].lower().endswith(IMAGE_SUFFIXES):
        raise ValueError(f"{holds}, which is not an image ({', '.join(IMAGE_SUFFIXES)}); take it out")
    if len(parts) < 2:
        raise ValueError(f"{holds} outside any folder; put each image into the folder of its class")
    return parts


def _is_system_file(path: str) -> bool:
    """Files that operating systems add to a zip."""
    return path.startswith("__MACOSX/") or path.rpartition("/")[2] in (".DS_Store", "Thumbs.db", "desktop.ini")


def _resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels `(H, W)` or `(H, W, 3)` as `(1 or 3, H, W)`; their central square, scaled, where their size differs from `size`."""
    if pixels.shape[1::-1] != size:
        from PIL import Image, ImageOps

        pixels = np.asarray(ImageOps.fit(Image.fromarray(pixels), size))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


# --- keeping --------------------------------------------------------------------------------------------------------


_reading: set[str] = set()  # browsers whose upload is being read
_turn = threading.Lock()  # uploads are read one after another: together they would take the memory of the server


def keep_zip(blob: bytes, *, name: str, owner: str = "") -> str:
    """Keep an uploaded zip under the hash of its content; returns the data set name for an Experiment.

    `owner` is the mark of the browser that has it among its sets from now on. Raises `ValueError` with one sentence if the zip
    cannot be used; it is then not kept.
    """

    def store(path: Path) -> None:
        dataset = read_zip(io.BytesIO(blob), name=name, budget=Budget(kept=MAX_DECODED))
        paths.write_atomically(path, blob)
        _write_cache(_cache_path(*locate(path.name)), dataset)

    return keep_upload(blob, name=name, suffix=".zip", owner=owner, store=store)


def keep_upload(blob: bytes, *, name: str, suffix: str, owner: str, store: Callable[[Path], None]) -> str:
    """Keep an uploaded file under the hash of its content; returns its name. `store(path)` checks the file and writes it.

    `owner` is the mark of the browser that has it among its sets from now on.
    """
    stem = re.sub(r"[^\w-]+", "-", Path(name).stem).strip("-")[:40] or "images"
    kept = f"{stem}-{hashlib.sha256(blob).hexdigest()[:32]}{suffix}"
    folder = paths.home() / FOLDER
    with _one_at_a_time(owner):
        if not (folder / kept).exists():
            folder.mkdir(parents=True, exist_ok=True)
            store(folder / kept)
        if owner:
            marker = folder / OWNERS / owner / kept
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()
            _forget_the_oldest(marker.parent)
        _tidy(folder, spared=kept)
    return kept


@contextlib.contextmanager
def _one_at_a_time(owner: str) -> Iterator[None]:
    """One upload of a browser, and one in all. Raises `ValueError` for a second one of a browser, and after a long wait."""
    if owner and owner in _reading:
        raise ValueError("another zip of this browser is being read; wait for its end, then choose this one again")
    _reading.add(owner)
    try:
        if not _turn.acquire(timeout=MAX_WAIT):
            raise ValueError("the zips of others are being read; choose this one again in a minute")
        try:
            yield
        finally:
            _turn.release()
    finally:
        _reading.discard(owner)


def _forget_the_oldest(own: Path) -> None:
    """Leave a browser its newest sets."""
    for marker in sorted(own.iterdir(), key=lambda path: path.stat().st_mtime)[:-MAX_OWN]:
        marker.unlink(missing_ok=True)


def _tidy(folder: Path, *, spared: str) -> None:
    """Delete sets that are too old, and the oldest while all together are too large."""
    now, last_upload = time.time(), {}
    for marker in folder.glob(f"{OWNERS}/*/*"):
        if now - marker.stat().st_mtime > MAX_AGE:
            marker.unlink(missing_ok=True)
        else:
            last_upload[marker.name] = max(marker.stat().st_mtime, last_upload.get(marker.name, 0.0))
    files = [path for suffix in SUFFIXES for path in folder.glob(f"*{suffix}")]
    used = {path: last_upload.get(path.name, path.stat().st_mtime) for path in files}
    total = 0
    for path in sorted(used, key=lambda path: (path.name != spared, -used[path])):  # the new one first, then by age
        cached = _cache_path(*locate(path.name))
        total += sum(file.stat().st_size for file in (path, cached) if file.exists())
        if path.name != spared and (now - used[path] > MAX_AGE or total > MAX_KEPT):
            path.unlink(missing_ok=True)
            cached.unlink(missing_ok=True)


def kept_zips(owner: str | None = None) -> list[str]:
    """The names of all uploaded zips, or of those of one browser."""
    return kept(".zip", owner)


def kept(suffix: str, owner: str | None = None) -> list[str]:
    """The names of all uploads of one kind, or of those of one browser."""
    folder = paths.home() / FOLDER
    if owner is None:
        return sorted(path.name for path in folder.glob(f"*{suffix}"))
    return sorted(path.name for path in (folder / OWNERS / owner).glob(f"*{suffix}") if (folder / path.name).exists()) if owner else []


def title(name: str) -> str:
    """A set as pages show it: the name of its zip, and the first digits of its hash, which tell two of one name apart."""
    return re.sub(r"-([0-9a-f]{6})[0-9a-f]{26}$", r" (\1)", Path(name).stem)


def load_zip(name: str) -> Dataset:
    """The set in a zip, given by its path or by the name that `keep_zip` returned: one object as long as the file is unchanged.

    Raises `ValueError` with one sentence if the file is missing or cannot be used.
    """
    return _load(name, *locate(name))


def prepare_zip(name: str) -> Generator[tuple[str, float], None, None]:
    """Decode the set in a zip so that `load_zip` finds its tensors on disk; yields the progress, nothing if they are there.

    Raises `ValueError` as `load_zip` does.
    """
    path, stamp = locate(name)
    if not _cache_path(path, stamp).exists():
        yield from _load_steps(name, path, stamp)


def is_decoded(name: str) -> bool:
    """Whether the tensors of a zip are on disk. Raises `ValueError` for a zip that cannot be opened."""
    return _cache_path(*locate(name)).exists()


def locate(name: str, *, kind: str = "zip") -> tuple[str, tuple[int, int]]:
    """The path of an upload, and its size and time, which change with its content. Raises `ValueError` where it is missing."""
    kept = paths.home() / FOLDER / name
    path = kept if Path(name).name == name and kept.exists() else Path(name)
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        what = "a zip of images" if kind == "zip" else "a .txt"
        raise ValueError(f"the {kind} '{shorten(str(path), 200)}' cannot be opened ({reason}); give the path of {what}") from error
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
            return Dataset(name, title(path), class_names, **tensors)
        except Exception:  # a cut file: written again below
            cached.unlink(missing_ok=True)
    dataset = yield from decode_zip(Path(path), name=Path(path).name)
    _write_cache(cached, dataset)
    return replace(dataset, name=name, title=title(path))


def _write_cache(cached: Path, dataset: Dataset) -> None:
    tensors = {field: getattr(dataset, field) for field in TENSORS}
    tensors["class_names"] = torch.tensor(list("\0".join(dataset.class_names).encode()), dtype=torch.uint8)
    with contextlib.suppress(OSError):  # on a full or read-only disk it is decoded again next time
        paths.write_atomically(cached, save(tensors))


def _last(reading: Reading) -> Dataset:
    """What a generator returns, once all of its progress has been passed over."""
    while True:
        try:
            next(reading)
        except StopIteration as ended:
            return ended.value
