"""Downloads of published files: resumed after a cut connection, and accepted by their checksum only."""

from __future__ import annotations

import hashlib
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

Progress = Iterator[tuple[str, float]]  # a description of the current step, and the fraction of it that is done


def download(addresses: list[str], path: Path, *, md5: str = "", sha256: str = "", tries: int = 3) -> Iterator[float]:
    """Download one file from the first address that works; yields the fraction done.

    `md5` or `sha256`: the checksum of the file. A file that has it is not downloaded again. An interrupted download stays as
    `NAME.part` and is resumed.
    Raises `ValueError` with the file and the reason if no address works.
    """
    algorithm, expected = ("sha256", sha256) if sha256 else ("md5", md5)
    if path.exists() and _checksum(path, algorithm) == expected:
        return
    part = path.with_name(path.name + ".part")
    problem = "no address is known"
    for attempt in range(tries):
        for address in addresses:
            try:
                yield from _resume(address, part)
            except (OSError, http.client.HTTPException) as error:  # a URLError is an OSError
                problem = " ".join(str(getattr(error, "reason", error)).split())[:200]  # the text of a server: any length, any lines
                continue
            if _checksum(part, algorithm) == expected:
                part.replace(path)
                return
            problem = "the downloaded file has a wrong checksum"
            part.unlink()  # altered on the way: to resume it cannot help
        if attempt + 1 < tries:
            time.sleep(0.5 * 2**attempt)
    raise ValueError(f"{path.name} could not be downloaded ({problem}); check the internet connection, or put the file into {path.parent}")


def _resume(address: str, part: Path) -> Iterator[float]:
    """Download the bytes that `part` lacks; yields the fraction done."""
    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={start}-", "User-Agent": "distill-lab"})
    try:
        response = urllib.request.urlopen(request, timeout=20)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # range not satisfiable: no byte is missing
            return
        raise
    with response:
        if response.status != 206:
            start = 0  # a server without ranges sends the whole file
        total = start + int(response.headers.get("Content-Length") or 0)
        with open(part, "r+b" if start else "wb") as file:
            file.seek(start)
            while block := response.read(1 << 18):
                file.write(block)
                yield min(1.0, file.tell() / total) if total else 0.0
        if total and part.stat().st_size < total:
            raise OSError("the connection was cut")


def _checksum(path: Path, algorithm: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
