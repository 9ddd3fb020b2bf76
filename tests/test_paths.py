"""Files are written completely or not at all, also by many threads at once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from distill_core import paths


def test_thirty_threads_that_write_one_file_leave_one_complete_file(tmp_path):
    blobs = [bytes([number]) * 200_000 for number in range(30)]
    errors, start = [], threading.Barrier(30)

    def write(blob):
        start.wait()
        try:
            for _ in range(5):
                paths.write_atomically(tmp_path / "file", blob)
                assert (tmp_path / "file").read_bytes() in blobs
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(blob,)) for blob in blobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_bytes() in blobs


@pytest.mark.parametrize("step", ("write_bytes", "replace"))
def test_a_write_that_fails_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch, step):
    (tmp_path / "file").write_bytes(b"old")
    write = Path.write_bytes

    def full(path, blob):
        write(path, b"half") if step == "write_bytes" else None
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, step, full)
    with pytest.raises(OSError, match="No space"):
        paths.write_atomically(tmp_path / "file", b"new")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_bytes() == b"old"


def test_a_json_file_is_read_again_once_it_has_changed(tmp_path):
    file = tmp_path / "rows.json"
    assert paths.read_json(file, without=[]) == []
    paths.write_atomically(file, b"[1]")
    first = paths.read_json(file, without=[])
    assert first == [1] and paths.read_json(file, without=[]) is first
    paths.write_atomically(file, b"[2]")
    assert paths.read_json(file, without=[]) == [2]
    file.unlink()
    assert paths.read_json(file, without=[]) == []
