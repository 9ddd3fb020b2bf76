"""Uploaded zips: read as a set or refused with one sentence, whatever their bytes; kept and cached under their content."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distill_core.data import decoding, uploads
from distill_core.data.datasets import fetch, load
from distill_core.data.uploads import keep_zip, read_zip


@pytest.fixture(scope="module")
def two_classes(picture):
    """Files of a valid zip: two classes of 5 coloured images, 16 x 16."""
    return {f"{label}/{i}.png": picture(seed=10 * i + j) for j, label in enumerate(("cat", "horse")) for i in range(5)}


def test_folders_are_classes_and_every_fifth_image_is_a_test_image(two_classes, zipped):
    found = read_zip(zipped(two_classes), name="animals.zip")
    assert found.class_names == ("cat", "horse") and found.image_shape == (3, 16, 16) and found.title == "animals"
    assert found.train_labels.tolist() == [0] * 4 + [1] * 4 and found.test_labels.tolist() == [0, 1]


def test_images_of_one_small_size_keep_every_pixel(zipped, picture):
    pixels = np.random.default_rng(1).integers(0, 256, (2, 5, 12, 10, 3), dtype=np.uint8)
    files = {f"{'ab'[c]}/{i}.png": picture(pixels=pixels[c, i]) for c in range(2) for i in range(5)}
    found = read_zip(zipped(files))
    np.testing.assert_array_equal(found.train_images.reshape(2, 4, 3, 12, 10), pixels[:, :4].transpose(0, 1, 4, 2, 3))
    np.testing.assert_array_equal(found.test_images, pixels[:, 4].transpose(0, 3, 1, 2))


def test_greyscale_images_have_one_channel_and_one_coloured_image_makes_three(two_classes, zipped, picture):
    grey = {path: picture((16, 16), mode="L", seed=i) for i, path in enumerate(two_classes)}
    assert read_zip(zipped(grey)).image_shape == (1, 16, 16)
    assert read_zip(zipped({**grey, "cat/0.png": picture((16, 16))})).image_shape == (3, 16, 16)


def test_images_of_mixed_sizes_and_formats_become_32_by_32(zipped, picture):
    sizes, formats = [(20, 20), (300, 200), (9, 50), (64, 64), (1, 1)], ["PNG", "JPEG", "GIF", "BMP", "WEBP"]
    endings = {"PNG": "PNG", "JPEG": "jpeg", "GIF": "gif", "BMP": "bmp", "WEBP": "webp"}
    files = {f"{label}/{i}.{endings[formats[i]]}": picture(sizes[i], format=formats[i], seed=i) for label in "ab" for i in range(5)}
    assert read_zip(zipped(files)).image_shape == (3, 32, 32)


@pytest.mark.parametrize(("size", "expected"), [((64, 64), (64, 64)), ((65, 65), (32, 32)), ((8, 8), (8, 8)), ((7, 7), (32, 32))])
def test_a_common_size_is_kept_from_8_to_64_pixels(zipped, picture, size, expected):
    files = {f"{label}/{i}.png": picture(size) for label in "ab" for i in range(5)}
    assert read_zip(zipped(files)).image_shape == (3, *expected)


def test_a_large_image_is_scaled_as_soon_as_it_is_read(zipped, picture):
    """A thousand images of one colour and 4096 x 4096 pixels are a zip of 50 MB and 48 GB of pixels."""
    with zipfile.ZipFile(zipped({"a/0.png": picture((2000, 1000))})) as archive:
        assert max(decoding.open_image(archive, "a/0.png").shape) <= 64


def test_train_and_test_folders_split_the_set(zipped, picture):
    files = {
        f"pictures/{part}/{label}/{i}.png": picture(seed=i) for part, n in (("train", 3), ("test", 2)) for label in "ab" for i in range(n)
    }
    found = read_zip(zipped(files))
    assert found.train_labels.tolist() == [0, 0, 0, 1, 1, 1] and found.test_labels.tolist() == [0, 0, 1, 1]


def test_files_that_operating_systems_add_are_ignored(two_classes, zipped):
    added = {"__MACOSX/cat/._0.png": b"x", "cat/.DS_Store": b"x", "horse/Thumbs.db": b"x", "cat/": b""}
    assert read_zip(zipped({**two_classes, **added})).fingerprint == read_zip(zipped(two_classes)).fingerprint


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"cat/readme.txt": b"hello"}, "cat/readme.txt"),
        ({"cat/x.png": b"hello"}, "cat/x.png"),
        ({"cat/x.png": b""}, "cat/x.png"),
        ({"../cat/x.png": b"x"}, "../cat/x.png"),
        ({"cat/../../x.png": b"x"}, "cat/../../x.png"),
        ({"/etc/x.png": b"x"}, "/etc/x.png"),
        ({"C:/cat/x.png": b"x"}, "C:/cat/x.png"),
        ({"..\\cat\\x.png": b"x"}, "cat"),
        ({"x.png": b"x"}, "x.png"),
        ({f"class{i}/x.png": b"x" for i in range(101)}, "103 classes"),
    ],
)
def test_a_file_that_is_not_an_image_of_a_class_is_refused_by_its_name(two_classes, zipped, refused, extra, named):
    with refused(named):
        read_zip(zipped({**two_classes, **extra}), name="animals.zip")


def test_a_path_outside_the_zip_is_refused_and_not_written(two_classes, zipped, tmp_path, monkeypatch, refused):
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    with refused("outside"):
        read_zip(zipped({**two_classes, "../evil.png": b"x"}))
    assert not list(tmp_path.rglob("evil.png"))


@pytest.mark.parametrize("cut", (10, 40, 200, -100))
def test_a_broken_image_is_refused_by_its_name(two_classes, zipped, refused, cut):
    broken = {**two_classes, "horse/2.png": two_classes["horse/2.png"][:cut]}
    with refused("horse/2.png", "broken"):
        read_zip(zipped(broken))


def test_one_class_is_refused_by_its_name(zipped, refused, picture):
    with refused("animals.zip", "'cat'", "two classes"):
        read_zip(zipped({f"cat/{i}.png": picture() for i in range(5)}), name="animals.zip")


def test_an_empty_zip_is_refused(zipped, refused):
    with refused("no images"):
        read_zip(zipped({}))


def test_a_class_with_too_few_images_is_refused_by_its_name(two_classes, zipped, refused):
    few = {path: blob for path, blob in two_classes.items() if path not in ("horse/3.png", "horse/4.png")}
    with refused("'horse'", "at least 5"):
        read_zip(zipped(few))


@pytest.mark.parametrize("blob", (b"", b"no zip", b"PK\x05\x06 cut", b"PK\x03\x04" + bytes(100)))
def test_a_file_that_is_not_a_zip_is_refused(refused, blob):
    with refused("'animals.zip'", "zip"):
        read_zip(io.BytesIO(blob), name="animals.zip")


def test_a_zip_that_unpacks_to_more_than_the_limit_is_refused_before_an_image_is_opened(two_classes, zipped, refused, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_UNPACKED", 2 * 1024**2)
    monkeypatch.setattr(decoding, "open_image", lambda *_: pytest.fail("an image was opened"))
    bomb = zipped({**two_classes, "cat/bomb.png": bytes(3 * 1024**2)})
    assert len(bomb.getvalue()) < 20_000
    with refused("unpacks to", "GB"):
        read_zip(bomb)


def test_a_zip_that_declares_ten_gigabytes_is_refused(two_classes, zipped, refused):
    blob = bytearray(zipped(two_classes).getvalue())
    entry = blob.index(b"PK\x01\x02")  # the first entry of the directory: its unpacked size is at 24
    struct.pack_into("<I", blob, entry + 24, 0xFFFFFFFE)
    with refused("unpacks to 4.0 GB", "2 GB"):
        read_zip(io.BytesIO(blob))


def test_a_zip_that_states_a_wrong_size_is_refused(two_classes, zipped, refused):
    blob = bytearray(zipped({"cat/0.png": bytes(4 * 1024**2), **two_classes}).getvalue())
    struct.pack_into("<I", blob, blob.index(b"PK\x01\x02") + 24, 100)
    with refused("cat/0.png"):
        read_zip(io.BytesIO(blob))


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(two_classes, zipped, refused, picture, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_PIXELS", 1000)
    with refused("horse/big.png", "40 x 50"):
        read_zip(zipped({**two_classes, "horse/big.png": picture((40, 50))}))


def test_an_encrypted_zip_is_refused(two_classes, zipped, refused):
    blob = bytearray(zipped(two_classes).getvalue())
    struct.pack_into("<H", blob, blob.index(b"PK\x01\x02") + 8, 1)  # the flag of encryption, in the directory ...
    struct.pack_into("<H", blob, 6, 1)  # ... and before the file
    with refused("cat/0.png", "encrypted"):
        read_zip(io.BytesIO(blob))


@given(st.data())
@settings(max_examples=150)
def test_a_zip_with_any_altered_bytes_is_read_or_refused(two_classes, zipped, data):
    compression = data.draw(st.sampled_from([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
    blob = bytearray(zipped(two_classes, compression).getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(blob) - 1) | st.integers(len(blob) - 900, len(blob) - 1))
        blob[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        assert read_zip(io.BytesIO(blob)).classes >= 2


@given(st.data())
@settings(max_examples=150)
def test_images_with_any_altered_bytes_are_read_or_refused(two_classes, zipped, picture, data):
    format = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP"]))
    blob = bytearray(picture((16, 16), format=format))
    for _ in range(data.draw(st.integers(1, 6))):
        blob[data.draw(st.integers(0, min(99, len(blob) - 1)) | st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        read_zip(zipped({**two_classes, "cat/0.png": bytes(blob)}))


def test_a_zip_is_read_once_and_again_when_it_changes(small_zip, home, zipped, picture, monkeypatch):
    first = load(str(small_zip))
    uploads._load.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(uploads, "decode_zip", lambda *_, **__: pytest.fail("read again"))
        again = load(str(small_zip))
    assert again.fingerprint == first.fingerprint and again.class_names == first.class_names and again.name == first.name
    small_zip.write_bytes(zipped({f"{c}/{i}.png": picture((8, 8), seed=i) for c in ("Ärger", "b\nc") for i in range(5)}).getvalue())
    assert load(str(small_zip)).class_names == ("b\nc", "Ärger")


def test_a_fetched_zip_is_decoded_with_progress_once_and_then_only_read(small_zip, home, monkeypatch):
    progress = list(fetch(str(small_zip)))
    assert progress and progress[0][1] == 0 and "small.zip" in progress[0][0]
    monkeypatch.setattr(uploads, "decode_zip", lambda *_, **__: pytest.fail("decoded again"))
    assert list(fetch(str(small_zip))) == [] and load(str(small_zip)).classes == 2


def test_a_cut_cache_of_a_zip_is_written_again(small_zip, home):
    first = load(str(small_zip))
    (cached,) = (home / "cache" / "pictures").glob("*.safetensors")
    cached.write_bytes(cached.read_bytes()[:-40])
    uploads._load.cache_clear()
    assert load(str(small_zip)).fingerprint == first.fingerprint


def test_a_cache_that_cannot_be_written_does_not_stop_a_zip(small_zip, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("where a folder should be")
    monkeypatch.setenv("DISTILL_HOME", str(tmp_path / "file" / "home"))
    uploads._load.cache_clear()
    assert load(str(small_zip)).classes == 2
    assert Path(tmp_path / "file").read_text() == "where a folder should be"


def test_a_long_name_in_a_zip_is_shortened_in_the_message(two_classes, zipped, refused):
    for path in ("x" * 60_000, f"cat/{'x' * 60_000}.png", f"{'x' * 60_000}/0.png"):
        with refused("x" * 30 + "…"):
            read_zip(zipped({**two_classes, path: b"not an image"}), name="y" * 10_000 + ".zip")


def test_a_name_with_a_line_break_keeps_the_message_on_one_line(two_classes, zipped, refused):
    with refused("a\\nb"):
        read_zip(zipped({**two_classes, "a\nb/0.txt": b"x"}), name="y\n.zip")


def test_thirty_uploads_of_one_zip_at_once_keep_it_once(home, two_classes, zipped):
    """Threads of one process: a class that uploads the same file."""
    blob = zipped(two_classes).getvalue()
    names, errors = [], []

    def upload():
        try:
            names.append(keep_zip(blob, name="animals.zip"))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=upload) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and len(names) == 30 and len(set(names)) == 1
    assert [path.name for path in (home / "pictures").iterdir()] == [names[0]]
    assert (home / "pictures" / names[0]).read_bytes() == blob


def test_a_zip_is_one_object_for_all_seeds_of_a_run(small_zip, home):
    """Its fingerprint, its mean and its copies on a device are computed once."""
    name = keep_zip(small_zip.read_bytes(), name="small.zip")
    assert load(name) is load(name) and load(str(small_zip)) is load(str(small_zip))
    assert load(name).name == name


def test_a_file_with_an_empty_name_is_refused(two_classes, zipped, refused):
    blob = zipped({**two_classes, "Q/0.png": b"x"}).getvalue().replace(b"Q/0.png", b"\0/0.png")  # a name ends at the first zero byte
    with refused("holds ''"):
        read_zip(io.BytesIO(blob))


# --- bounds, and whose sets they are --------------------------------------------------------------------------------


def test_more_pixels_than_the_budget_are_refused_while_they_are_decoded(two_classes, zipped, refused):
    opened = []
    budget = decoding.Budget(kept=6 * 16 * 16 * 3)  # of ten images of 16 x 16 in colour
    spend = budget.spend
    budget.spend = lambda **costs: opened.append(costs) or spend(**costs)
    with refused("too many pixels", "leave images out"):
        read_zip(zipped(two_classes), budget=budget)
    assert sum("kept" in costs for costs in opened) == 7


def test_large_images_of_one_colour_are_refused_by_their_sum_before_they_are_decoded(zipped, refused, picture):
    large = picture(pixels=np.zeros((2000, 2000, 3), np.uint8))
    files = {f"{label}/{i}.png": large for label in "ab" for i in range(5)}
    with refused("too many pixels"):
        read_zip(zipped(files), budget=decoding.Budget(pixels=3 * 2000 * 2000))


def test_the_pixels_of_a_set_are_counted_in_further_processes_too(tmp_path, two_classes, zipped, refused, monkeypatch):
    monkeypatch.setattr(decoding, "available_cores", lambda: 2)
    monkeypatch.setattr(decoding, "MIN_SHARE", 4)
    path = tmp_path / "images.zip"
    path.write_bytes(zipped(two_classes).getvalue())
    with refused("too many pixels"):
        read_zip(path, budget=decoding.Budget(kept=7 * 16 * 16 * 3))


@pytest.mark.parametrize("limit", (100, 1000), ids=("in the format for many files", "in the usual format"))
def test_a_long_list_of_files_is_refused_before_it_is_read(two_classes, zipped, refused, monkeypatch, limit):
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", limit)
    blob = zipped({**two_classes, **{f"cat/{n}.png": b"" for n in range(300)}}, zipfile.ZIP_STORED)
    monkeypatch.setattr(uploads, "MAX_DIRECTORY", 10_000)
    monkeypatch.setattr(zipfile, "ZipFile", lambda *_: pytest.fail("the list was read"))
    with refused("lists more files", "100,000"):
        read_zip(blob)


def test_a_file_that_unpacks_to_more_than_an_image_may_have_is_refused_by_its_name(two_classes, zipped, refused):
    with refused("cat/zeros.png", "33 MB"):
        read_zip(zipped({**two_classes, "cat/zeros.png": bytes(33 * 1024**2)}))


def test_the_name_of_a_kept_zip_has_128_bits_of_its_hash_and_its_title_the_first_six_digits(home, two_classes, zipped):
    name = keep_zip(zipped(two_classes).getvalue(), name="my animals.zip")
    stem, _, digest = name.removesuffix(".zip").rpartition("-")
    assert stem == "my-animals" and len(digest) == 32
    assert load(name).title == uploads.title(name) == f"my-animals ({digest[:6]})"


def test_a_set_is_listed_for_the_browser_that_uploaded_it_and_can_be_loaded_by_its_name(home, two_classes, zipped):
    blob = zipped(two_classes).getvalue()
    name = keep_zip(blob, name="animals.zip", owner="a1")
    assert uploads.kept_zips("a1") == [name] and uploads.kept_zips("b2") == uploads.kept_zips("") == []
    assert load(name).classes == 2
    assert keep_zip(blob, name="animals.zip", owner="b2") == name
    assert uploads.kept_zips("b2") == [name]


@pytest.fixture
def three_zips(zipped, picture):
    """Three small zips of different images."""
    names = [f"{label}/{n}.png" for label in "ab" for n in range(5)]
    return [zipped({name: picture((8, 8), mode="L", seed=seed) for name in names}).getvalue() for seed in range(3)]


def keep_at_ages(home, blobs, ages):
    """Keep each zip for a browser of its own, as if it had been uploaded so many seconds ago."""
    names = []
    for age, blob in zip(ages, blobs, strict=True):
        names.append(keep_zip(blob, name="images.zip", owner=f"browser{len(names)}"))
        for path in (home / "pictures" / names[-1], *(home / "pictures" / "owners").glob(f"*/{names[-1]}")):
            os.utime(path, (time.time() - age,) * 2)
    return names


def test_a_browser_keeps_its_newest_sets_only(home, three_zips, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_OWN", 2)
    names = []
    for age, blob in zip((30, 20, 10), three_zips, strict=True):
        names.append(keep_zip(blob, name="images.zip", owner="a1"))
        os.utime(home / "pictures" / "owners" / "a1" / names[-1], (time.time() - age,) * 2)
    assert set(uploads.kept_zips("a1")) == set(names[1:])


def test_a_set_is_deleted_two_weeks_after_its_last_upload(home, three_zips):
    old, _, new = keep_at_ages(home, three_zips, (15 * 86400, 13 * 86400, 0))
    assert old not in uploads.kept_zips() and len(uploads.kept_zips()) == 2
    assert uploads.kept_zips("browser0") == [] and uploads.kept_zips("browser2") == [new]


def test_the_oldest_sets_are_deleted_with_their_tensors_while_all_are_too_large(home, three_zips, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_KEPT", 1)
    names = [keep_zip(blob, name="images.zip") for blob in three_zips]
    assert uploads.kept_zips() == [names[-1]]
    assert len(list((home / "cache" / "pictures").glob("*"))) == 1


def test_a_second_upload_of_one_browser_is_refused_while_the_first_is_read(home, two_classes, zipped, refused, monkeypatch):
    blob, entered, go_on = zipped(two_classes).getvalue(), threading.Event(), threading.Event()
    read = uploads.read_zip

    def slow(*arguments, **more):
        entered.set()
        assert go_on.wait(30)
        return read(*arguments, **more)

    monkeypatch.setattr(uploads, "read_zip", slow)
    first = threading.Thread(target=keep_zip, args=(blob,), kwargs={"name": "animals.zip", "owner": "a1"})
    first.start()
    assert entered.wait(30)
    with refused("another zip of this browser"):
        keep_zip(blob, name="animals.zip", owner="a1")
    monkeypatch.setattr(uploads, "MAX_WAIT", 0.01)
    with refused("zips of others"):
        keep_zip(blob, name="animals.zip", owner="b2")
    go_on.set()
    first.join()
    assert len(uploads.kept_zips("a1")) == 1 and uploads.kept_zips("b2") == []
