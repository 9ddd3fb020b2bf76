"""The image sets by name: complete or refused with one sentence, whatever the files; downloaded once."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import struct
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data_fixtures import TEST, TRAIN, unused_address
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from distill_core.data import datasets
from distill_core.data.datasets import DATASETS, load

# --- the sets on this machine ---------------------------------------------------------------------------------------


def test_the_digits_are_those_of_scikit_learn_and_every_fifth_is_a_test_image():
    digits, expected = load("digits"), load_digits()
    np.testing.assert_array_equal(digits.test_labels, expected.target[4::5])
    np.testing.assert_allclose(digits.test_images[:, 0] / 255, expected.images[4::5] / 16, atol=0.5 / 255)
    together = torch.cat([digits.train_labels, digits.test_labels])
    np.testing.assert_array_equal(torch.bincount(together), np.bincount(expected.target))


def test_a_set_has_the_size_and_shape_of_its_source(real_set):
    source, found = DATASETS[real_set], load(real_set)
    assert (len(found.train_images), len(found.test_images)) == (source.train, source.test)
    assert (len(found.train_labels), len(found.test_labels)) == (source.train, source.test)
    assert found.image_shape == source.image_shape and found.classes == len(source.class_names)
    assert found.train_images.dtype == torch.uint8 and found.train_labels.dtype == torch.int64
    assert set(found.train_labels.tolist()) == set(found.test_labels.tolist()) == set(range(found.classes))


def test_a_set_has_the_fingerprint_of_the_published_files(real_set):
    """Soft targets and teachers are stored under it."""
    assert load(real_set).fingerprint == {"digits": "db523cbf4c49a82a", "mnist": "35914650c8beaeed"}[real_set]


def test_an_unknown_set_is_refused_by_name(refused):
    with refused("dataset 'imagenet'", "digits", "mnist", ".zip"):
        load("imagenet")
    with refused("nowhere.zip"):
        load("nowhere.zip")


def test_threads_that_import_a_broken_torchvision_at_once_all_get_the_complete_module(tmp_path):
    """A second thread could get the half-imported module that the failed import of the first had left."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(
        "import time, torch\n"
        "time.sleep(0.3)\n"
        "if not hasattr(torch.ops.torchvision, 'nms'):\n"
        "    raise RuntimeError('operator torchvision::nms does not exist')\n"
        "datasets = 'complete'\n"
    )
    script = (
        "import sys, threading, time\n"
        f"sys.path[:0] = [{str(tmp_path)!r}, {str(Path(__file__).parents[1])!r}]\n"
        "from distill_core.data import datasets\n"
        "modules = []\n"
        "load = lambda: modules.append(getattr(datasets.import_torchvision(), 'datasets', 'half'))\n"
        "threads = [threading.Thread(target=load) for _ in range(3)]\n"
        "for thread in threads: thread.start(); time.sleep(0.1)\n"
        "for thread in threads: thread.join()\n"
        "print(*modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["complete"] * 3, done.stderr


# --- files in torchvision's layouts, written here -------------------------------------------------------------------


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


def test_a_label_above_the_classes_is_refused(idx_set, refused):
    name, folder, arrays = idx_set
    arrays[FILES[1]][4] = 200
    (folder / FILES[1]).write_bytes(idx(arrays[FILES[1]]))
    with refused(DATASETS[name].title, "altered"):
        load(name)


@pytest.mark.parametrize("file", ("data_batch_3", "test_batch", "batches.meta"))
@pytest.mark.parametrize("damage", ("cut", "altered", "missing"))
def test_a_damaged_cifar_batch_is_refused(cifar, refused, file, damage):
    path = cifar[0] / file
    blob = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(blob[:-9] if damage == "cut" else blob[:-9] + bytes([blob[-9] ^ 1]) + blob[-8:])
    with refused("CIFAR-10", cifar[0], "cut or altered", "delete"):
        load("cifar10")


def test_a_pickle_with_a_wrong_checksum_is_never_unpickled(cifar, refused, tmp_path):
    """Unpickling runs code: the checksum comes first."""

    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / "malicious"), "w"))

    (cifar[0] / "test_batch").write_bytes(pickle.dumps(Malicious()))
    with refused("cut or altered"):
        load("cifar10")
    assert not (tmp_path / "malicious").exists()


@pytest.mark.parametrize("name", ("mnist", "fashion-mnist", "cifar10"))
def test_a_missing_set_is_refused_with_the_folder_where_it_belongs(data, refused, name):
    assert not DATASETS[name].is_here()
    with refused(DATASETS[name].title, data / DATASETS[name].folder, "DISTILL_DATA"):
        load(name)


# --- fetched from a server on this machine -----------------------------------------------------------------------


@pytest.fixture
def published(idx_set, server, monkeypatch):
    """The small set on the server, gzipped as torchvision expects it, and no file of it in the data folder."""
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


def test_fetch_downloads_a_set_once(published, server):
    name, arrays, _ = published
    progress = list(datasets.fetch(name))
    assert {step for step, _ in progress} == {f"downloading {DATASETS[name].title}", f"unpacking {DATASETS[name].title}"}
    np.testing.assert_array_equal(load(name).train_images[:, 0], arrays[FILES[0]])
    requests = len(server.requests)
    assert list(datasets.fetch(name)) == [] and len(server.requests) == requests == 4


def test_a_fetch_without_internet_is_one_sentence_and_the_next_with_it_succeeds(published, server, monkeypatch, refused):
    name, arrays, kind = published
    with monkeypatch.context() as patch:
        patch.setattr(kind, "mirrors", [unused_address() + "/"])
        with refused("could not be downloaded", "internet"):
            list(datasets.fetch(name))
    assert not DATASETS[name].is_here()
    list(datasets.fetch(name))
    np.testing.assert_array_equal(load(name).test_images[:, 0], arrays[FILES[2]])


def test_a_fetch_that_was_stopped_is_resumed_by_the_next(published, server):
    name, arrays, _ = published
    stopped = datasets.fetch(name)
    next(stopped)
    stopped.close()
    list(datasets.fetch(name))
    np.testing.assert_array_equal(load(name).train_labels, arrays[FILES[1]])


def test_fetch_downloads_and_unpacks_cifar(cifar, server, monkeypatch):
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
