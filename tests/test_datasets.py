"""Image sets: read whole or refused, whatever the files; chosen and disturbed by the seed alone."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import io
import pickle
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import load_digits

from distill_core.data import datasets
from distill_core.data.datasets import DATASETS, add_label_noise, choose_images, download, load, read_pictures, seeded

# --- the sets that are here -----------------------------------------------------------------------------------------


def test_the_digits_are_scikit_learns_and_every_fifth_tests():
    digits, theirs = load("digits"), load_digits()
    np.testing.assert_array_equal(digits.test_labels, theirs.target[4::5])
    np.testing.assert_allclose(digits.test_images[:, 0] / 255, theirs.images[4::5] / 16, atol=0.5 / 255)
    together = torch.cat([digits.train_labels, digits.test_labels])
    np.testing.assert_array_equal(torch.bincount(together), np.bincount(theirs.target))


def test_a_set_is_as_large_as_its_source_says_before_it_is_loaded(real_set):
    source, found = DATASETS[real_set], load(real_set)
    assert (len(found.train_images), len(found.test_images)) == (source.train, source.test)
    assert (len(found.train_labels), len(found.test_labels)) == (source.train, source.test)
    assert found.image_shape == source.image_shape and found.classes == len(source.class_names)
    assert found.train_images.dtype == torch.uint8 and found.train_labels.dtype == torch.int64
    assert set(found.train_labels.tolist()) == set(found.test_labels.tolist()) == set(range(found.classes))


def test_a_set_is_the_genuine_one(real_set):
    """Fingerprints of the files as they were published; soft targets and teachers are filed under them."""
    assert load(real_set).fingerprint == {"digits": "db523cbf4c49a82a", "mnist": "35914650c8beaeed"}[real_set]


def test_pixels_have_mean_zero_and_deviation_one_in_each_channel(real_set):
    found = load(real_set)
    sums = [(p.sum().item(), p.square().sum().item(), p.numel()) for p in map(found.pixels, found.train_images.split(5000))]
    total, squares, count = (sum(column) for column in zip(*sums, strict=True))
    assert total / count == pytest.approx(0, abs=1e-4) and squares / count == pytest.approx(1, abs=1e-4)


def test_the_moments_are_those_of_numpy_for_each_channel():
    random = np.random.default_rng(0).integers(0, 256, (20, 3, 9, 8)) // np.array([1, 2, 3]).reshape(3, 1, 1)
    images = torch.from_numpy(random.astype(np.uint8))
    found = datasets.Dataset("x", "X", ("a", "b"), images, torch.zeros(20).long(), images[:2], torch.zeros(2).long())
    np.testing.assert_allclose(found.pixel_mean_std[0].flatten(), images.numpy().mean(axis=(0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(found.pixel_mean_std[1].flatten(), images.numpy().std(axis=(0, 2, 3)), rtol=1e-5)


def test_the_fingerprint_changes_with_one_pixel_and_with_one_label():
    digits = load("digits")
    pixel, label = digits.train_images.clone(), digits.test_labels.clone()
    pixel[700, 0, 3, 3] += 1
    label[5] = (label[5] + 1) % 10
    found = {replace(digits, **change).fingerprint for change in ({}, {"train_images": pixel}, {"test_labels": label})}
    assert len(found) == 3 and digits.to("cpu").fingerprint == digits.fingerprint


def test_an_unknown_set_is_refused_by_name(refused):
    with refused("dataset 'imagenet'", "digits", "mnist", ".zip"):
        load("imagenet")
    with refused("nowhere.zip"):
        load("nowhere.zip")


# --- what a run sees of a set ---------------------------------------------------------------------------------------

some_labels = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(torch.tensor)


@given(some_labels, st.sets(st.integers(0, 4), max_size=4), st.data(), st.integers(0, 2**31 - 1))
def test_the_transfer_set_has_the_number_asked_for_and_no_hidden_class(labels, hidden, data, seed):
    eligible = [i for i, label in enumerate(labels.tolist()) if label not in hidden]
    if not eligible:
        with pytest.raises(ValueError, match="hide_classes"):
            choose_images(labels, images=0, hide_classes=tuple(hidden), seed=seed)
        return
    images = data.draw(st.integers(0, len(eligible)))
    chosen = choose_images(labels, images=images, hide_classes=tuple(hidden), seed=seed).tolist()
    assert len(chosen) == len(set(chosen)) == (images or len(eligible)) and set(chosen) <= set(eligible)
    assert chosen == choose_images(labels, images=images, hide_classes=tuple(hidden), seed=seed).tolist()


def test_more_images_than_there_are_is_refused_with_the_number_there_is(refused):
    labels = torch.tensor([0, 0, 1, 1, 1])
    with refused("images 4", "3"):
        choose_images(labels, images=4, hide_classes=(0,), seed=0)


def test_another_seed_chooses_other_images():
    labels = torch.zeros(1000, dtype=torch.int64)
    one, other = (set(choose_images(labels, images=100, hide_classes=(), seed=seed).tolist()) for seed in (0, 1))
    assert len(one & other) < 30  # by chance about 10


def test_every_image_is_as_likely_to_be_chosen():
    labels = torch.zeros(20, dtype=torch.int64)
    counts = torch.zeros(20)
    for seed in range(400):
        counts[choose_images(labels, images=5, hide_classes=(), seed=seed)] += 1
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4


@given(st.integers(2, 12), st.floats(0, 1), st.integers(0, 2**31 - 1))
def test_label_noise_replaces_its_fraction_by_other_classes(classes, noise, seed):
    labels = torch.arange(4000) % classes
    noisy = add_label_noise(labels, label_noise=noise, classes=classes, seed=seed)
    assert noisy.min() >= 0 and noisy.max() < classes
    share = (noisy != labels).double().mean().item()
    assert abs(share - noise) <= 6 * (noise * (1 - noise) / 4000) ** 0.5 + 5 / 4000
    assert torch.equal(noisy, add_label_noise(labels, label_noise=noise, classes=classes, seed=seed))


def test_label_noise_of_one_leaves_no_label_and_draws_the_others_evenly():
    labels = torch.zeros(9000, dtype=torch.int64)
    noisy = add_label_noise(labels, label_noise=1.0, classes=10, seed=0)
    counts = torch.bincount(noisy, minlength=10).tolist()
    assert counts[0] == 0 and stats.chisquare(counts[1:]).pvalue > 1e-4
    assert not torch.equal(noisy, add_label_noise(labels, label_noise=1.0, classes=10, seed=1))


def test_no_label_noise_leaves_the_labels_alone():
    labels = torch.arange(10)
    assert torch.equal(add_label_noise(labels, label_noise=0.0, classes=10, seed=0), labels)


def test_each_purpose_of_a_seed_has_its_own_numbers():
    draws = [torch.rand(4, generator=seeded(*key)) for key in ((0, "images"), (0, "order", 0), (0, "order", 1), (1, "images"))]
    assert len({tuple(draw.tolist()) for draw in draws}) == 4
    assert torch.equal(torch.rand(4, generator=seeded(0, "images")), draws[0])


def test_two_threads_that_meet_at_a_broken_import_both_get_a_whole_torchvision(tmp_path):
    """A server's first two visitors: the one who came second was given what the first one's failed import had left."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "import time, torch\n"
        "time.sleep(0.3)\n"
        "if not hasattr(torch.ops.torchvision, 'nms'):\n"
        "    raise RuntimeError('operator torchvision::nms does not exist')\n"
        "datasets = 'whole'\n"
    )
    visits = (
        "import sys, threading, time\n"
        f"sys.path[:0] = [{str(tmp_path)!r}, {str(Path(__file__).parents[1])!r}]\n"
        "from distill_core.data import datasets\n"
        "found = []\n"
        "visit = lambda: found.append(getattr(datasets.import_torchvision(), 'datasets', 'half'))\n"
        "visitors = [threading.Thread(target=visit) for _ in range(3)]\n"
        "for visitor in visitors: visitor.start(); time.sleep(0.1)\n"
        "for visitor in visitors: visitor.join()\n"
        "print(*found)\n"
    )
    done = subprocess.run([sys.executable, "-c", visits], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["whole"] * 3, done.stderr


# --- files of torchvision's layouts, written here -------------------------------------------------------------------

TRAIN, TEST = 50, 20


def idx(array):
    """An IDX file as on yann.lecun.com: two zero bytes, type, dimensions, sizes, then the numbers."""
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture(params=["mnist", "fashion-mnist"])
def idx_set(request, data, monkeypatch):
    """A small set in the layout of MNIST or Fashion-MNIST: its name, folder and arrays."""
    rng = np.random.default_rng(3)
    name = request.param
    source = replace(DATASETS[name], train=TRAIN, test=TEST, fingerprint="")
    monkeypatch.setitem(DATASETS, name, source)
    folder = data / source.folder
    folder.mkdir(parents=True)
    arrays = {}
    for prefix, count in (("train", TRAIN), ("t10k", TEST)):
        arrays[f"{prefix}-images-idx3-ubyte"] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{prefix}-labels-idx1-ubyte"] = (np.arange(count) % 10).astype(np.uint8)
    for file, array in arrays.items():
        (folder / file).write_bytes(idx(array))
    return name, folder, arrays


@pytest.fixture
def cifar(data, monkeypatch):
    """A small set in the layout of CIFAR-10's Python batches: its folder and its arrays."""
    rng = np.random.default_rng(4)
    source = replace(DATASETS["cifar10"], train=TRAIN, test=TEST)
    monkeypatch.setitem(DATASETS, "cifar10", source)
    kind = datasets.import_torchvision().datasets.CIFAR10
    folder = data / source.folder
    folder.mkdir(parents=True)
    arrays = []

    def write(file, content):
        blob = pickle.dumps(content)
        (folder / file).write_bytes(blob)
        return [file, hashlib.md5(blob).hexdigest()]

    def batch(file, count):
        arrays.append((rng.integers(0, 256, (count, 3072), dtype=np.uint8), (np.arange(count) % 10).tolist()))
        return write(file, {"data": arrays[-1][0], "labels": arrays[-1][1]})

    monkeypatch.setattr(kind, "train_list", [batch(f"data_batch_{i}", TRAIN // 5) for i in range(1, 6)])
    monkeypatch.setattr(kind, "test_list", [batch("test_batch", TEST)])
    meta = write("batches.meta", {"label_names": list(source.class_names)})
    monkeypatch.setattr(kind, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]})
    return folder, arrays


def test_idx_files_are_read_pixel_by_pixel(idx_set):
    name, _, arrays = idx_set
    found = load(name)
    np.testing.assert_array_equal(found.train_images[:, 0], arrays["train-images-idx3-ubyte"])
    np.testing.assert_array_equal(found.test_images[:, 0], arrays["t10k-images-idx3-ubyte"])
    np.testing.assert_array_equal(found.train_labels, arrays["train-labels-idx1-ubyte"])
    np.testing.assert_array_equal(found.test_labels, arrays["t10k-labels-idx1-ubyte"])


def test_cifar_batches_are_read_pixel_by_pixel(cifar):
    _, arrays = cifar
    found = load("cifar10")
    pixels = np.concatenate([pixels for pixels, _ in arrays[:5]]).reshape(-1, 3, 32, 32)  # red, green, blue planes
    np.testing.assert_array_equal(found.train_images, pixels)
    assert found.train_labels.tolist() == [label for _, labels in arrays[:5] for label in labels]
    np.testing.assert_array_equal(found.test_images, arrays[5][0].reshape(-1, 3, 32, 32))


FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@pytest.mark.parametrize("keep", (0, 3, 6, 200, -1), ids=lambda keep: f"{keep} bytes")
@pytest.mark.parametrize("file", FILES)
def test_a_cut_idx_file_is_refused(idx_set, refused, file, keep):
    name, folder, _ = idx_set
    blob = (folder / file).read_bytes()
    (folder / file).write_bytes(blob[: min(keep, len(blob) - 1)])
    with refused(DATASETS[name].title, folder, "delete"):
        load(name)


@given(st.sampled_from(FILES), st.binary(min_size=1, max_size=16))
@example(FILES[0], b"\0\0\x0a")  # a type that IDX does not have
@example(FILES[0], b"\0\0\x09")  # signed bytes
@settings(max_examples=40)
def test_an_idx_file_with_any_other_header_is_refused(whole_mnist, file, header):
    folder, blobs = whole_mnist
    if blobs[file].startswith(header):
        return
    (folder / file).write_bytes(header + blobs[file][len(header) :])
    datasets._load_named.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"MNIST.*(cut|altered)"):
            load("mnist")
    finally:
        (folder / file).write_bytes(blobs[file])


@pytest.fixture(scope="module")
def whole_mnist(tmp_path_factory):
    """A small set in MNIST's layout that lives as long as this module: its folder and the bytes of its files."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("data")
        patch.setenv("DISTILL_DATA", str(place))
        patch.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], train=TRAIN, test=TEST, fingerprint=""))
        folder = place / "MNIST" / "raw"
        folder.mkdir(parents=True)
        blobs = {}
        for prefix, count in (("train", TRAIN), ("t10k", TEST)):
            blobs[f"{prefix}-images-idx3-ubyte"] = idx(np.zeros((count, 28, 28), np.uint8))
            blobs[f"{prefix}-labels-idx1-ubyte"] = idx((np.arange(count) % 10).astype(np.uint8))
        for file, blob in blobs.items():
            (folder / file).write_bytes(blob)
        yield folder, blobs
        datasets._load_named.cache_clear()


def test_an_altered_set_of_the_right_size_is_refused(idx_set, refused, monkeypatch):
    name, folder, arrays = idx_set
    monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], fingerprint=load(name).fingerprint))
    datasets._load_named.cache_clear()
    load(name)
    arrays[FILES[0]][7, 20, 20] ^= 1
    (folder / FILES[0]).write_bytes(idx(arrays[FILES[0]]))
    datasets._load_named.cache_clear()
    with refused(DATASETS[name].title, folder, "altered"):
        load(name)


def test_a_label_outside_the_classes_is_refused(idx_set, refused):
    name, folder, arrays = idx_set
    arrays[FILES[1]][4] = 200
    (folder / FILES[1]).write_bytes(idx(arrays[FILES[1]]))
    with refused(DATASETS[name].title, "altered"):
        load(name)


@pytest.mark.parametrize("file", ("data_batch_3", "test_batch", "batches.meta"))
@pytest.mark.parametrize("harm", ("cut", "altered", "missing"))
def test_a_harmed_cifar_batch_is_refused(cifar, refused, file, harm):
    path = cifar[0] / file
    blob = path.read_bytes()
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(blob[:-9] if harm == "cut" else blob[:-9] + bytes([blob[-9] ^ 1]) + blob[-8:])
    with refused("CIFAR-10", cifar[0], "cut or altered", "delete"):
        load("cifar10")


def test_a_pickle_that_is_not_cifars_is_never_opened(cifar, refused, tmp_path):
    """Unpickling runs code: the checksum comes first."""

    class Harm:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    (cifar[0] / "test_batch").write_bytes(pickle.dumps(Harm()))
    with refused("cut or altered"):
        load("cifar10")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("name", ("mnist", "fashion-mnist", "cifar10"))
def test_a_set_that_is_not_here_says_where_it_should_be(data, refused, name):
    assert not DATASETS[name].is_here()
    with refused(DATASETS[name].title, data / DATASETS[name].folder, "DISTILL_DATA"):
        load(name)


# --- the learner's own pictures -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_classes(picture):
    """Files of a good zip: two classes of 5 pictures, 16 x 16, in colour."""
    return {f"{label}/{i}.png": picture(seed=10 * i + j) for j, label in enumerate(("cat", "horse")) for i in range(5)}


def test_folders_become_classes_and_every_fifth_picture_tests(two_classes, zipped):
    found = read_pictures(zipped(two_classes), name="animals.zip")
    assert found.class_names == ("cat", "horse") and found.image_shape == (3, 16, 16) and found.title == "animals"
    assert found.train_labels.tolist() == [0] * 4 + [1] * 4 and found.test_labels.tolist() == [0, 1]


def test_pictures_of_one_small_size_stay_pixel_by_pixel(zipped, picture):
    pixels = np.random.default_rng(1).integers(0, 256, (2, 5, 12, 10, 3), dtype=np.uint8)
    files = {f"{'ab'[c]}/{i}.png": picture(pixels=pixels[c, i]) for c in range(2) for i in range(5)}
    found = read_pictures(zipped(files))
    np.testing.assert_array_equal(found.train_images.reshape(2, 4, 3, 12, 10), pixels[:, :4].transpose(0, 1, 4, 2, 3))
    np.testing.assert_array_equal(found.test_images, pixels[:, 4].transpose(0, 3, 1, 2))


def test_grey_pictures_have_one_channel_and_one_coloured_makes_three(two_classes, zipped, picture):
    grey = {path: picture((16, 16), mode="L", seed=i) for i, path in enumerate(two_classes)}
    assert read_pictures(zipped(grey)).image_shape == (1, 16, 16)
    assert read_pictures(zipped({**grey, "cat/0.png": picture((16, 16))})).image_shape == (3, 16, 16)


def test_pictures_of_mixed_sizes_and_formats_become_32_by_32(zipped, picture):
    sizes, formats = [(20, 20), (300, 200), (9, 50), (64, 64), (1, 1)], ["PNG", "JPEG", "GIF", "BMP", "WEBP"]
    endings = {"PNG": "PNG", "JPEG": "jpeg", "GIF": "gif", "BMP": "bmp", "WEBP": "webp"}
    files = {f"{label}/{i}.{endings[formats[i]]}": picture(sizes[i], format=formats[i], seed=i) for label in "ab" for i in range(5)}
    assert read_pictures(zipped(files)).image_shape == (3, 32, 32)


@pytest.mark.parametrize(("size", "expected"), [((64, 64), (64, 64)), ((65, 65), (32, 32)), ((8, 8), (8, 8)), ((7, 7), (32, 32))])
def test_one_size_is_kept_from_8_to_64_pixels(zipped, picture, size, expected):
    files = {f"{label}/{i}.png": picture(size) for label in "ab" for i in range(5)}
    assert read_pictures(zipped(files)).image_shape == (3, *expected)


def test_a_large_picture_does_not_stay_in_memory_at_its_size(zipped, picture):
    """A thousand solid pictures of 4096 x 4096 are a zip of 50 MB and 48 GB of pixels."""
    with zipfile.ZipFile(zipped({"a/0.png": picture((2000, 1000))})) as archive:
        assert max(datasets._open_picture(archive, "a/0.png").size) <= 64


def test_train_and_test_folders_divide_the_set(zipped, picture):
    files = {
        f"pictures/{part}/{label}/{i}.png": picture(seed=i) for part, n in (("train", 3), ("test", 2)) for label in "ab" for i in range(n)
    }
    found = read_pictures(zipped(files))
    assert found.train_labels.tolist() == [0, 0, 0, 1, 1, 1] and found.test_labels.tolist() == [0, 0, 1, 1]


def test_litter_of_operating_systems_is_ignored(two_classes, zipped):
    litter = {"__MACOSX/cat/._0.png": b"x", "cat/.DS_Store": b"x", "horse/Thumbs.db": b"x", "cat/": b""}
    assert read_pictures(zipped({**two_classes, **litter})).fingerprint == read_pictures(zipped(two_classes)).fingerprint


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
def test_a_file_that_is_no_picture_of_a_class_is_refused_by_its_name(two_classes, zipped, refused, extra, named):
    with refused(named):
        read_pictures(zipped({**two_classes, **extra}), name="animals.zip")


def test_a_picture_that_points_outside_leaves_nothing_there(two_classes, zipped, tmp_path, monkeypatch, refused):
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    with refused("outside"):
        read_pictures(zipped({**two_classes, "../evil.png": b"x"}))
    assert not list(tmp_path.rglob("evil.png"))


@pytest.mark.parametrize("cut", (10, 40, 200, -100))
def test_a_broken_picture_is_refused_by_its_name(two_classes, zipped, refused, cut):
    broken = {**two_classes, "horse/2.png": two_classes["horse/2.png"][:cut]}
    with refused("horse/2.png", "broken"):
        read_pictures(zipped(broken))


def test_one_class_is_refused_by_its_name(zipped, refused, picture):
    with refused("animals.zip", "'cat'", "two classes"):
        read_pictures(zipped({f"cat/{i}.png": picture() for i in range(5)}), name="animals.zip")


def test_no_picture_at_all_is_refused(zipped, refused):
    with refused("no pictures"):
        read_pictures(zipped({}))


def test_too_few_pictures_of_a_class_are_refused_by_its_name(two_classes, zipped, refused):
    few = {path: blob for path, blob in two_classes.items() if path not in ("horse/3.png", "horse/4.png")}
    with refused("'horse'", "at least 5"):
        read_pictures(zipped(few))


@pytest.mark.parametrize("blob", (b"", b"no zip", b"PK\x05\x06 cut", b"PK\x03\x04" + bytes(100)))
def test_what_is_not_a_zip_is_refused(refused, blob):
    with refused("'animals.zip'", "zip"):
        read_pictures(io.BytesIO(blob), name="animals.zip")


def test_a_zip_that_unpacks_to_more_than_the_cap_is_refused_before_it_is_opened(two_classes, zipped, refused, monkeypatch):
    monkeypatch.setattr(datasets, "LARGEST_ZIP", 2 * 1024**2)
    monkeypatch.setattr(datasets, "_open_picture", lambda *_: pytest.fail("a picture was opened"))
    bomb = zipped({**two_classes, "cat/bomb.png": bytes(3 * 1024**2)})
    assert len(bomb.getvalue()) < 20_000
    with refused("unpacks to", "GB"):
        read_pictures(bomb)


def test_a_zip_that_declares_ten_gigabytes_is_refused(two_classes, zipped, refused):
    blob = bytearray(zipped(two_classes).getvalue())
    entry = blob.index(b"PK\x01\x02")  # the first entry of the directory: its unpacked size is at 24
    struct.pack_into("<I", blob, entry + 24, 0xFFFFFFFE)
    with refused("unpacks to 4.0 GB", "2 GB"):
        read_pictures(io.BytesIO(blob))


def test_a_zip_that_lies_about_its_size_is_refused(two_classes, zipped, refused):
    blob = bytearray(zipped({"cat/0.png": bytes(4 * 1024**2), **two_classes}).getvalue())
    struct.pack_into("<I", blob, blob.index(b"PK\x01\x02") + 24, 100)
    with refused("cat/0.png"):
        read_pictures(io.BytesIO(blob))


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_unpacked(two_classes, zipped, refused, picture, monkeypatch):
    monkeypatch.setattr(datasets, "LARGEST_PICTURE", 1000)
    with refused("horse/big.png", "40 x 50"):
        read_pictures(zipped({**two_classes, "horse/big.png": picture((40, 50))}))


def test_an_encrypted_zip_is_refused(two_classes, zipped, refused):
    blob = bytearray(zipped(two_classes).getvalue())
    struct.pack_into("<H", blob, blob.index(b"PK\x01\x02") + 8, 1)  # the flag of encryption, in the directory ...
    struct.pack_into("<H", blob, 6, 1)  # ... and before the file
    with refused("cat/0.png", "encrypted"):
        read_pictures(io.BytesIO(blob))


@given(st.data())
@settings(max_examples=150)
def test_a_zip_with_any_altered_bytes_is_read_or_refused(two_classes, zipped, data):
    compression = data.draw(st.sampled_from([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
    blob = bytearray(zipped(two_classes, compression).getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(blob) - 1) | st.integers(len(blob) - 900, len(blob) - 1))
        blob[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        assert read_pictures(io.BytesIO(blob)).classes >= 2


@given(st.data())
@settings(max_examples=150)
def test_pictures_with_any_altered_bytes_are_read_or_refused(two_classes, zipped, picture, data):
    format = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP"]))
    blob = bytearray(picture((16, 16), format=format))
    for _ in range(data.draw(st.integers(1, 6))):
        blob[data.draw(st.integers(0, min(99, len(blob) - 1)) | st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        read_pictures(zipped({**two_classes, "cat/0.png": bytes(blob)}))


def test_a_zip_is_read_once_and_again_when_it_changes(small_zip, home, zipped, picture, monkeypatch):
    first = load(str(small_zip))
    datasets._load_pictures.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(datasets, "read_pictures", lambda *_, **__: pytest.fail("read again"))
        again = load(str(small_zip))
    assert again.fingerprint == first.fingerprint and again.class_names == first.class_names and again.name == first.name
    small_zip.write_bytes(zipped({f"{c}/{i}.png": picture((8, 8), seed=i) for c in ("Ärger", "b\nc") for i in range(5)}).getvalue())
    assert load(str(small_zip)).class_names == ("b\nc", "Ärger")


def test_a_cut_cache_of_a_zip_is_made_again(small_zip, home):
    first = load(str(small_zip))
    (kept,) = (home / "cache" / "pictures").glob("*.safetensors")
    kept.write_bytes(kept.read_bytes()[:-40])
    datasets._load_pictures.cache_clear()
    assert load(str(small_zip)).fingerprint == first.fingerprint


# --- downloading, from a server of our own --------------------------------------------------------------------------

BLOB = np.random.default_rng(9).integers(0, 256, 700_000, dtype=np.uint8).tobytes()
MD5 = hashlib.md5(BLOB).hexdigest()


class Server:
    """Gives `files`; can ignore Range, cut the first `cuts` answers short, and alter the first `alters`."""

    def __init__(self, files):
        self.files, self.ranges, self.cuts, self.alters = files, True, 0, 0
        self.asked = []  # (path, Range)
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked = self.headers.get("Range", "")
                server.asked.append((self.path, asked))
                if self.path not in server.files:
                    return self.send_error(404)
                blob = server.files[self.path]
                start = int(asked[6:-1]) if server.ranges and asked else 0
                if start >= len(blob):
                    return self.send_error(416)
                body = blob[start:]
                self.send_response(206 if server.ranges and asked else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if server.alters:
                    server.alters -= 1
                    body = bytes([body[0] ^ 1]) + body[1:]
                if server.cuts:
                    server.cuts -= 1
                    body = body[: len(body) // 2]
                return self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(datasets.time, "sleep", lambda _: None)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    started = Server({"/blob": BLOB})
    yield started
    started.http.shutdown()
    started.http.server_close()


def test_a_download_arrives_whole_and_tells_how_far_it_is(server, tmp_path):
    told = list(download([server.address + "/blob"], tmp_path / "blob", md5=MD5))
    assert (tmp_path / "blob").read_bytes() == BLOB and [p.name for p in tmp_path.iterdir()] == ["blob"]
    assert told == sorted(told) and len(told) > 1 and told[-1] == 1


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    (tmp_path / "blob").write_bytes(BLOB)
    assert list(download([server.address + "/blob"], tmp_path / "blob", md5=MD5)) == [] and server.asked == []


@pytest.mark.parametrize("ranges", (True, False))
def test_a_download_goes_on_from_what_was_kept(server, tmp_path, ranges):
    server.ranges = ranges
    (tmp_path / "blob.part").write_bytes(BLOB[:300_000])
    list(download([server.address + "/blob"], tmp_path / "blob", md5=MD5, tries=1))
    assert (tmp_path / "blob").read_bytes() == BLOB and server.asked == [("/blob", "bytes=300000-")]


def test_a_part_that_is_already_whole_is_taken(server, tmp_path):
    (tmp_path / "blob.part").write_bytes(BLOB)
    list(download([server.address + "/blob"], tmp_path / "blob", md5=MD5, tries=1))
    assert (tmp_path / "blob").read_bytes() == BLOB


@pytest.mark.parametrize("ranges", (True, False))
def test_a_cut_connection_is_taken_up_again(server, tmp_path, ranges):
    server.ranges, server.cuts = ranges, 2 if ranges else 1
    list(download([server.address + "/blob"], tmp_path / "blob", md5=MD5))
    assert (tmp_path / "blob").read_bytes() == BLOB
    if ranges:
        assert [asked for _, asked in server.asked] == ["bytes=0-", "bytes=350000-", "bytes=525000-"]


def test_after_too_many_cuts_the_part_is_kept_for_the_next_time(server, tmp_path, refused):
    server.cuts = 1
    with refused("blob", "cut"):
        list(download([server.address + "/blob"], tmp_path / "blob", md5=MD5, tries=1))
    assert (tmp_path / "blob.part").stat().st_size == 350_000 and not (tmp_path / "blob").exists()
    list(download([server.address + "/blob"], tmp_path / "blob", md5=MD5, tries=1))
    assert (tmp_path / "blob").read_bytes() == BLOB and server.asked[-1][1] == "bytes=350000-"


def test_a_wrong_checksum_starts_from_nothing(server, tmp_path):
    server.alters = 1
    list(download([server.address + "/blob"], tmp_path / "blob", md5=MD5))
    assert (tmp_path / "blob").read_bytes() == BLOB and [asked for _, asked in server.asked] == ["bytes=0-", "bytes=0-"]


def test_a_download_that_is_never_right_is_refused_and_leaves_nothing(server, tmp_path, refused):
    server.alters = 99
    with refused("blob", "checksum"):
        list(download([server.address + "/blob"], tmp_path / "blob", md5=MD5))
    assert not list(tmp_path.iterdir())


def test_the_second_address_serves_where_the_first_does_not(server, tmp_path):
    list(download([server.address + "/gone", server.address + "/blob"], tmp_path / "blob", md5=MD5, tries=1))
    assert (tmp_path / "blob").read_bytes() == BLOB


def nobody():
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_no_internet_is_one_sentence(server, tmp_path, refused):
    for address in (nobody() + "/blob", "http://no-such-host.invalid/blob", server.address + "/gone"):
        with refused("blob could not be downloaded", "internet", tmp_path):
            list(download([address], tmp_path / "blob", md5=MD5, tries=2))


def test_a_server_that_speaks_no_http_is_one_sentence(tmp_path, refused):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def babble():
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                connection.recv(1000)
                connection.sendall(b"220 this is no HTTP\r\n\r\n")
                connection.close()

        threading.Thread(target=babble, daemon=True).start()
        with refused("blob could not be downloaded"):
            list(download([f"http://127.0.0.1:{listening.getsockname()[1]}/blob"], tmp_path / "blob", md5=MD5, tries=1))


@pytest.fixture
def published(idx_set, server, monkeypatch):
    """The small set at our server, gzipped as torchvision expects it, and nothing of it on this machine."""
    name, folder, arrays = idx_set
    kind = getattr(datasets.import_torchvision().datasets, DATASETS[name].kind)
    resources = []
    for file in arrays:
        blob = gzip.compress((folder / file).read_bytes())
        server.files[f"/{file}.gz"] = blob
        resources.append((f"{file}.gz", hashlib.md5(blob).hexdigest()))
        (folder / file).unlink()
    folder.rmdir()
    monkeypatch.setattr(kind, "resources", resources)
    monkeypatch.setattr(kind, "mirrors", [server.address + "/"])
    return name, arrays, kind


def test_fetch_brings_a_set_and_does_so_once(published, server):
    name, arrays, _ = published
    told = list(datasets.fetch(name))
    assert {what for what, _ in told} == {f"downloading {DATASETS[name].title}", f"unpacking {DATASETS[name].title}"}
    np.testing.assert_array_equal(load(name).train_images[:, 0], arrays[FILES[0]])
    asked = len(server.asked)
    assert list(datasets.fetch(name)) == [] and len(server.asked) == asked == 4


def test_a_fetch_without_internet_is_one_sentence_and_the_next_with_it_succeeds(published, server, monkeypatch, refused):
    name, arrays, kind = published
    with monkeypatch.context() as patch:
        patch.setattr(kind, "mirrors", [nobody() + "/"])
        with refused("could not be downloaded", "internet"):
            list(datasets.fetch(name))
    assert not DATASETS[name].is_here()
    list(datasets.fetch(name))
    np.testing.assert_array_equal(load(name).test_images[:, 0], arrays[FILES[2]])


def test_a_fetch_that_nobody_follows_to_its_end_is_taken_up_by_the_next(published, server):
    name, arrays, _ = published
    stopped = datasets.fetch(name)
    next(stopped)
    stopped.close()
    list(datasets.fetch(name))
    np.testing.assert_array_equal(load(name).train_labels, arrays[FILES[1]])


def test_fetch_brings_cifar(cifar, server, monkeypatch):
    folder, arrays = cifar
    kind = datasets.import_torchvision().datasets.CIFAR10
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(folder, folder.name)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    server.files["/cifar.tar.gz"] = buffer.getvalue()
    for field, value in (("url", server.address + "/cifar.tar.gz"), ("filename", "cifar.tar.gz")):
        monkeypatch.setattr(kind, field, value)
    monkeypatch.setattr(kind, "tgz_md5", hashlib.md5(buffer.getvalue()).hexdigest())
    list(datasets.fetch("cifar10"))
    np.testing.assert_array_equal(load("cifar10").test_images, arrays[5][0].reshape(-1, 3, 32, 32))


def test_a_data_folder_that_cannot_be_written_is_one_sentence(published, tmp_path, monkeypatch, refused):
    (tmp_path / "file").write_text("where a folder should be")
    monkeypatch.setenv("DISTILL_DATA", str(tmp_path / "file" / "data"))
    with refused(DATASETS[published[0]].title, "DISTILL_DATA"):
        list(datasets.fetch(published[0]))


def test_a_cache_that_cannot_be_written_does_not_stop_a_zip(small_zip, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("where a folder should be")
    monkeypatch.setenv("DISTILL_HOME", str(tmp_path / "file" / "home"))
    datasets._load_pictures.cache_clear()
    assert load(str(small_zip)).classes == 2
    assert Path(tmp_path / "file").read_text() == "where a folder should be"
