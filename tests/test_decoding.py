"""The images in a zip: the same arrays from one process and from several, and a broken image named by either."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from distill_core.data import decoding


@pytest.fixture
def archive(tmp_path, zipped, picture):
    """A zip of 12 images of different sizes and modes."""
    path = tmp_path / "images.zip"
    kinds = [{"size": (8, 10)}, {"size": (9, 9), "mode": "L"}, {"size": (70, 40), "format": "JPEG"}]
    path.write_bytes(zipped({f"cat/{i}.png": picture(**kinds[i % 3], seed=i) for i in range(12)}).getvalue())
    with zipfile.ZipFile(path) as opened:
        yield opened


@pytest.fixture
def several(monkeypatch):
    """Three processes for any few images."""
    monkeypatch.setattr(decoding, "available_cores", lambda: 3)
    monkeypatch.setattr(decoding, "MIN_SHARE", 4)


def run(archive):
    """The progress, and the arrays that `decode` returns."""
    steps, progress = decoding.decode(archive, archive.namelist(), name="images.zip"), []
    while True:
        try:
            progress.append(next(steps))
        except StopIteration as ended:
            return progress, ended.value


def test_several_processes_give_the_arrays_of_one(archive, several, monkeypatch):
    started, start = [], decoding._start
    monkeypatch.setattr(decoding, "_start", lambda: started.append(start()) or started[-1])
    _, found = run(archive)
    assert len(started) == 2 and all(process.returncode == 0 for process in started)
    expected = [decoding.open_image(archive, name) for name in archive.namelist()]
    assert [pixels.shape for pixels in found] == [pixels.shape for pixels in expected]
    assert {pixels.shape for pixels in found} == {(10, 8, 3), (9, 9), (32, 32, 3)}
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_progress_begins_before_the_first_image(archive, monkeypatch):
    monkeypatch.setattr(decoding, "open_image", lambda *_: pytest.fail("an image was opened"))
    what, fraction = next(decoding.decode(archive, archive.namelist(), name="images.zip"))
    assert fraction == 0 and "images.zip" in what


@pytest.mark.parametrize("place", (0, 11), ids=("own share", "share of another process"))
def test_a_broken_image_is_named_by_whichever_process_finds_it(tmp_path, zipped, picture, several, refused, place):
    files = {f"cat/{i}.png": picture(seed=i) if i != place else b"not an image" for i in range(12)}
    (tmp_path / "broken.zip").write_bytes(zipped(files).getvalue())
    with zipfile.ZipFile(tmp_path / "broken.zip") as archive, refused(f"cat/{place}.png", "broken", "replace it"):
        run(archive)


def test_the_share_of_a_process_that_died_is_decoded_here(archive, several, monkeypatch):
    start = decoding._start

    def killed():
        process = start()
        process.kill()
        return process

    monkeypatch.setattr(decoding, "_start", killed)
    assert len(run(archive)[1]) == 12


def test_a_run_that_is_stopped_leaves_no_process(archive, several, monkeypatch):
    started, start = [], decoding._start
    monkeypatch.setattr(decoding, "_start", lambda: started.append(start()) or started[-1])
    steps = decoding.decode(archive, archive.namelist(), name="images.zip")
    next(steps)
    steps.close()
    assert len(started) == 2 and all(process.wait() is not None for process in started)
