"""The images in a zip as arrays, decoded on all cores.

Pillow holds Python's lock for most of the time that a small image takes, so that two threads are slower than one. Each
further core therefore gets a process, `python -m distill_core.data.decoding`, which imports no torch.
"""

from __future__ import annotations

import gc
import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distill_core.machine import available_cores

MAX_FILE = 32 * 1024**2  # bytes that are read of one file, whatever size the zip's directory states
MAX_PIXELS = 4096 * 4096  # of one image
JPEG_START = b"\xff\xd8\xff"  # of such a file Pillow need not ask every format whether it is one of its own
MAX_SIDE = 64  # larger images become 32 x 32
MIN_SHARE = 5000  # images for which a further process is worth its start
REPORT_EVERY = 200  # images
MAX_DECODED = 192 * 1024**2  # bytes of all images as they are kept; 60,000 colour images of 32 x 32 are 176 of these
MAX_SOURCE_PIXELS = 2**30  # of all images before they are scaled: some ten seconds of one core
HEADER = struct.Struct("<HHB")  # height, width and channels, before the pixels of an image
REFUSED = 2  # exit status of a process that found a broken image; its standard error is the sentence


@dataclass
class Budget:
    """What may still be decoded: pixels as the files have them, and bytes as they are kept."""

    pixels: float = MAX_SOURCE_PIXELS
    kept: float = MAX_DECODED

    def spend(self, *, pixels: int = 0, kept: int = 0) -> None:
        """Raises `ValueError` with one sentence where that is too much."""
        self.pixels -= pixels
        self.kept -= kept
        if min(self.pixels, self.kept) < 0:
            raise ValueError(
                f"these are too many pixels: the images of a set may have {MAX_SOURCE_PIXELS / 1e6:,.0f} million in all; leave images out, "
                "or make them smaller"
            )


def decode(
    archive: zipfile.ZipFile, members: Sequence[str], *, name: str, budget: Budget | None = None
) -> Generator[tuple[str, float], None, list[np.ndarray]]:
    """Yields what is being done and its fraction; returns the pixels of each member, `(H, W)` or `(H, W, 3)` uint8.

    Raises `ValueError` with one sentence for an image that cannot be read, and for more images than `budget` allows.
    """
    budget = budget or Budget()
    path = archive.filename  # None where the zip is in memory only: then one process decodes all
    count = max(1, min(available_cores(), len(members) // MIN_SHARE)) if path else 1
    share = -(-len(members) // count) if members else 1
    own, *others = [members[start : start + share] for start in range(0, len(members), share)] or [[]]
    processes = [_start() for _ in others]
    gc.freeze()  # the entries of the zip's directory: the garbage collector would traverse all of them every few hundred images
    with ThreadPoolExecutor(max(1, len(others))) as pool:
        try:
            requests = [json.dumps([str(Path(path).resolve()), list(names)]).encode() for names in others]
            outputs = [pool.submit(process.communicate, request) for process, request in zip(processes, requests, strict=True)]
            found = []
            for number, member in enumerate(own):
                if number % REPORT_EVERY == 0:
                    yield f"decoding the images of {quoted(name)}", number / len(own)
                found.append(open_image(archive, member, budget))
            for process, output, names in zip(processes, outputs, others, strict=True):
                blob, error = output.result()
                if process.returncode == REFUSED:
                    raise ValueError(error.decode().strip())
                budget.spend(kept=len(blob))
                found += _unpack(blob) if process.returncode == 0 else [open_image(archive, member, budget) for member in names]
        finally:
            gc.unfreeze()
            for process in processes:  # of a run that was stopped, or that found a broken image; no effect on one that has ended
                process.kill()
    return found


def open_image(archive: zipfile.ZipFile, name: str, budget: Budget | None = None) -> np.ndarray:
    """The pixels of one image: greyscale or RGB, and no larger than needed.

    An array and not a PIL image: many thousands of those would keep Python's garbage collector busy.
    """
    from PIL import Image, ImageOps

    budget = budget or Budget()
    try:
        with archive.open(name) as stream:
            blob = stream.read(MAX_FILE)
        image = Image.open(io.BytesIO(blob), formats=("JPEG",) if blob.startswith(JPEG_START) else None)
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels are too many")
    except Exception as error:  # each format and each compression raises types of its own
        raise _broken(name, error) from error
    budget.spend(pixels=image.width * image.height)
    try:
        image.load()
        mode = "L" if image.mode in ("L", "1", "I;16", "LA") else "RGB"
        image = image if image.mode == mode else image.convert(mode)
        # Scaled at once: a zip of 50 MB can hold a thousand large images, which are 48 GB of pixels.
        if max(image.size) > MAX_SIDE:
            image = ImageOps.fit(image, (32, 32))
        shape = (image.height, image.width, 3) if mode == "RGB" else (image.height, image.width)
        pixels = np.frombuffer(image.tobytes(), np.uint8).reshape(shape)
    except Exception as error:
        raise _broken(name, error) from error
    budget.spend(kept=pixels.size)
    return pixels


def _broken(name: str, error: Exception) -> ValueError:
    return ValueError(f"the image {quoted(name)} is broken ({shorten(str(error))}); replace it or take it out of the zip")


def shorten(text: str, limit: int = 80) -> str:
    """Text from a file, cut in the middle: a name inside a zip can have 65,535 characters, and messages quote it."""
    return text if len(text) <= limit else f"{text[: limit // 2]}…{text[1 - limit // 2 :]}"


def quoted(text: str) -> str:
    """Shortened, in quotes, on one line."""
    return repr(shorten(text))


# --- a further process ----------------------------------------------------------------------------------------------


def _start() -> subprocess.Popen:
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (package, os.environ.get("PYTHONPATH"))))
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-m", __spec__.name], **pipes, env={**os.environ, "PYTHONPATH": path})


def _unpack(blob: bytes) -> Iterator[np.ndarray]:
    """The images that `main` wrote."""
    start = 0
    while start < len(blob):
        height, width, channels = HEADER.unpack_from(blob, start)
        pixels = np.frombuffer(blob, np.uint8, height * width * channels, start + HEADER.size)
        yield pixels.reshape((height, width, channels) if channels > 1 else (height, width))
        start += HEADER.size + pixels.size


def main() -> int:
    """Read the path of a zip and the names of images from standard input, and write the images to standard output."""
    path, names = json.load(sys.stdin)
    budget = Budget()
    with zipfile.ZipFile(path) as archive:
        gc.freeze()  # as in `decode`
        for name in names:
            try:
                pixels = open_image(archive, name, budget)
            except ValueError as error:
                print(error, file=sys.stderr)
                return REFUSED
            height, width, *channels = pixels.shape
            sys.stdout.buffer.write(HEADER.pack(height, width, *channels or [1]) + pixels.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
