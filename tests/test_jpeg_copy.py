"""The JPEG copy of CIFAR-10, made from a small original: layout, pixels, and teachers that are those of the published copy."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from distill_core import teachers
from distill_core.__main__ import main
from distill_core.data import datasets
from distill_core.data.jpeg_copy import make_jpeg_copy


@pytest.fixture
def copied(cifar, data, home, monkeypatch):
    """The zip that was made of the small original."""
    source = datasets.DATASETS["cifar10"]
    published = replace(datasets.DATASETS["cifar10-jpeg"], train=source.train, test=source.test)
    monkeypatch.setitem(datasets.DATASETS, "cifar10-jpeg", published)
    list(make_jpeg_copy())
    return data / "cifar10-jpeg.zip"


def test_the_copy_has_each_image_in_the_folder_of_its_class_in_the_order_of_the_original(copied):
    original = datasets.load("cifar10")
    with zipfile.ZipFile(copied) as archive:
        names = archive.namelist()
        assert len(names) == len(original.train_labels) + len(original.test_labels)
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        for label, name in enumerate(original.class_names):
            (second,) = np.flatnonzero(original.train_labels == label)[1:2]
            found = Image.open(io.BytesIO(archive.read(f"train/{name}/0002.jpg")))
            assert found.format == "JPEG"
            file = io.BytesIO()
            Image.fromarray(original.train_images[second].permute(1, 2, 0).numpy()).save(file, "JPEG", quality=75)
            np.testing.assert_array_equal(np.asarray(found), np.asarray(Image.open(file)))


def test_the_copy_is_a_data_set_with_the_classes_of_the_original_and_the_shipped_teachers(copied):
    dataset, original = datasets.load("cifar10-jpeg"), datasets.load("cifar10")
    assert dataset.class_names == original.class_names and dataset.image_shape == original.image_shape
    assert dataset.train_labels.bincount().tolist() == original.train_labels.bincount().tolist()
    assert list(teachers.prepare_teacher(dataset, "cnn-32")) == []  # nothing to train, although the pixels are not the published ones


def test_a_copy_that_exists_is_not_written_again(copied, refused):
    with refused("cifar10-jpeg.zip", "exists", "delete"):
        list(make_jpeg_copy())


def test_the_command_makes_the_copy_and_lists_the_data_sets(cifar, home, data, capsys):
    assert main(["data", "--make", "cifar10-jpeg", "--json"]) == 0
    found = {one["name"]: one["is_here"] for one in map(json.loads, capsys.readouterr().out.splitlines())}
    assert found["cifar10"] and found["cifar10-jpeg"] and not found["mnist"] and (data / "cifar10-jpeg.zip").exists()
    assert main(["data", "--make", "mnist"]) == 2


def test_the_teachers_of_the_jpeg_copy_are_measured_on_the_original_by_a_command(cifar, home, capsys, monkeypatch):
    (cheap,) = [card for card in teachers.shipped_for("cifar10") if card.name == "cnn-32"]
    monkeypatch.setattr(teachers, "shipped_for", lambda _: [cheap])
    assert main(["teachers", "--score", "cifar10", "--json"]) == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    dataset = datasets.load("cifar10")
    found = teachers.logits(teachers.load_teacher(dataset, "cnn-32").network, dataset, dataset.test_images)
    assert row["test_errors"] == int((found.argmax(dim=1) != dataset.test_labels).sum()) and row["test_images"] == len(dataset.test_labels)
    assert row["trained_on"] == "cifar10-jpeg" and row["low"] <= row["test_accuracy"] <= row["high"]


def test_a_data_set_without_shipped_teachers_cannot_be_scored(capsys):
    assert main(["teachers", "--score", "fashion-mnist"]) == 2
    assert "no teacher is shipped for the data set 'fashion-mnist'" in capsys.readouterr().err
