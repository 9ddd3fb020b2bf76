"""The trained teachers: the accuracy of their cards, complete or refused, and logits that belong to the right images."""

from __future__ import annotations

import copy
import json
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import hypergeom

from distill_core import models, paths, teachers
from distill_core.analysis import score
from distill_core.data import datasets
from distill_core.data.dataset import seeded
from distill_core.teachers import (
    ON_ANY_DATASET,
    TEACHERS,
    load_teacher,
    logit_cache,
    making,
    offered,
    prepare_teacher,
    shipped,
    teacher_logits,
    weights,
)
from distill_core.teachers.cards import recipe_of

# --- shipped --------------------------------------------------------------------------------------------------------


def test_the_lab_ships_teachers_of_digits_and_of_mnist_and_offers_every_shipped_one():
    assert {(card.dataset, card.name) for card in shipped()} >= {
        (dataset, name) for dataset in ("digits", "mnist") for name in ON_ANY_DATASET
    }
    for card in shipped():
        assert card.name in offered(card.dataset)
    assert set(offered("cats.zip")) == set(ON_ANY_DATASET)


def test_a_shipped_teacher_has_the_test_errors_of_its_card(card, home):
    dataset = datasets.load(card.dataset)
    teacher = load_teacher(dataset, card.name)
    strong = "airbench" in card.name  # a minute for all images: of some drawn ones, the errors that such a draw may have
    examples = len(dataset.test_labels)
    asked = torch.randperm(examples, generator=seeded(0, "asked"))[:1500] if strong else torch.arange(examples)
    found = teacher_logits(teacher, dataset, part="test", indices=asked)
    errors = int((found[asked].argmax(dim=-1) != dataset.test_labels[asked]).sum())
    if dataset.is_text:  # its logits are kept in half precision
        bits = score(found, dataset)["test_bits_per_character"]
        assert bits == pytest.approx(card.test_bits_per_character, abs=0.002)
    if strong:
        low, high = hypergeom(card.test_images, card.test_errors, len(asked)).interval(0.9999)
        assert low <= errors <= high
    else:  # rounding on another machine may change one prediction in 10,000, in half precision some more
        assert abs(errors - card.test_errors) <= card.test_images / (1000 if dataset.is_text else 10_000)
    assert card.test_images == dataset.test_labels.numel() and card.data_fingerprint == dataset.fingerprint
    assert card.test_accuracy == pytest.approx(1 - card.test_errors / card.test_images)


@pytest.mark.parametrize(
    ("dataset", "name", "max_errors"),
    [
        ("mnist", "mlp-1200x2", 100),
        ("mnist", "mlp-1200x2-smoothed", 100),
        ("mnist", "cnn-32", 60),
        ("mnist", "ensemble-5", 60),
        ("digits", "mlp-1200x2", 7),
        ("digits", "cnn-32", 7),
        ("digits", "mlp-1200x2-noisy", 20),
        ("cifar10-jpeg", "cnn-32", 2500),
        ("cifar10-jpeg", "airbench-256", 880),
        ("cifar10-jpeg", "airbench-pair", 820),
    ],
)
def test_a_shipped_teacher_makes_no_more_errors_than_expected(dataset, name, max_errors):
    (card,) = [card for card in shipped() if (card.dataset, card.name) == (dataset, name)]
    assert card.test_errors <= max_errors


def test_the_overfitted_teacher_was_trained_on_1000_images_and_generalises_badly():
    (card,) = [card for card in shipped() if card.name == "mlp-1200x2-overfit"]
    assert card.recipe["images"] == 1000 and 0.85 < card.test_accuracy < 0.93


def test_a_card_has_the_recipe_of_its_teacher():
    for card in shipped():
        recipe = recipe_of(card)
        source = datasets.SOURCES[card.dataset]
        size = {"image_shape": source.image_shape, "classes": len(source.class_names)}
        assert recipe.model == TEACHERS[card.name].model and recipe.about and card.made_with and card.seconds > 0
        assert card.parameters == recipe.members * models.count_parameters(recipe.model, **size)


def test_the_noisy_teacher_learned_from_wrong_labels_that_no_student_has():
    (card,) = [card for card in shipped() if card.name == "mlp-1200x2-noisy"]
    assert (card.dataset, card.recipe["label_noise"]) == ("digits", 0.4) and "label noise 0.4" in teachers.describe(card)


def test_a_teacher_is_trained_on_the_noise_of_its_recipe_drawn_by_a_seed_of_no_student(small_zip, home, quick, monkeypatch):
    drawn = []

    def add_label_noise(labels, **choice):
        drawn.append(choice)
        return labels

    monkeypatch.setattr(making, "add_label_noise", add_label_noise)
    monkeypatch.setitem(TEACHERS, "mlp-1200x2", replace(TEACHERS["mlp-1200x2"], label_noise=0.4))
    make(datasets.load(str(small_zip)))
    assert [(one["label_noise"], one["seed"] < 0) for one in drawn] == [(0.4, True)]


def test_a_card_without_a_field_that_came_later_is_valid_with_its_default(small_zip, home, quick):
    dataset = datasets.load(str(small_zip))
    make(dataset)
    (path,) = (home / "teachers").glob("*.json")
    card = json.loads(path.read_text())
    del card["recipe"]["label_noise"]
    path.write_text(json.dumps(card))
    assert make(dataset) == [] and recipe_of(load_teacher(dataset, "mlp-1200x2").card).label_noise == 0


def test_shipped_weights_are_below_the_size_limits():
    sizes = [path.stat().st_size for path in paths.WEIGHTS.iterdir()]
    assert max(sizes) < 5e6 and sum(sizes) < 40e6


def test_shipped_files_are_those_of_the_cards():
    stems = {path.name.removesuffix(".safetensors").split(".part")[0] for path in paths.WEIGHTS.glob("*.safetensors")}
    assert stems == {f"{card.dataset}-{card.name}" for card in shipped()}


def test_a_teacher_is_in_evaluation_mode_without_gradients(card):
    network = load_teacher(datasets.load(card.dataset), card.name).network
    assert not network.training and not any(p.requires_grad for p in network.parameters())


@pytest.fixture
def copied_weights(tmp_path, monkeypatch):
    """A copy of the shipped weights, to damage."""
    folder = tmp_path / "weights"
    shutil.copytree(paths.WEIGHTS, folder)
    monkeypatch.setattr(paths, "WEIGHTS", folder)
    return folder


def test_a_cut_an_altered_and_a_missing_teacher_are_refused(copied_weights, refused):
    path = copied_weights / "digits-cnn-32.safetensors"
    blob = path.read_bytes()
    for damaged in (blob[:-100], blob[:5000] + bytes([blob[5000] ^ 1]) + blob[5001:], b""):
        path.write_bytes(damaged)
        with refused("cnn-32", path, "cut or altered", "restore"):
            load_teacher(datasets.load("digits"), "cnn-32")
    path.unlink()
    with refused("cnn-32", path, "missing", "restore"):
        load_teacher(datasets.load("digits"), "cnn-32")


def test_an_unknown_teacher_is_refused_by_name(refused):
    with refused("teacher 'resnet99'", *TEACHERS):
        load_teacher(datasets.load("digits"), "resnet99")


# --- logits by example index ----------------------------------------------------------------------------------------


@pytest.fixture
def counted(monkeypatch):
    """A list of the number of images of each call that computes logits."""
    calls, compute = [], logit_cache._compute

    def counting(network, dataset, images, indices):
        calls.append(len(indices))
        return compute(network, dataset, images, indices)

    monkeypatch.setattr(logit_cache, "_compute", counting)
    return calls


def test_logits_belong_to_the_images_of_their_indices(real_set, home):
    dataset = datasets.load(real_set)
    teacher = load_teacher(dataset, "cnn-32")
    indices = torch.randperm(len(dataset.train_labels), generator=torch.Generator().manual_seed(0))[:200]
    first = teacher_logits(teacher, dataset, part="train", indices=indices[:80])
    found = teacher_logits(teacher, dataset, part="train", indices=indices.flip(0))  # in another order, partly from the cache
    torch.testing.assert_close(found[indices[:80]], first[indices[:80]], rtol=0, atol=0)
    for i in indices.tolist()[::20]:  # one by one, straight from the image
        alone = teacher.network(dataset.pixels(dataset.train_images[i : i + 1]))[0]
        torch.testing.assert_close(found[i], alone, rtol=1e-4, atol=1e-4)
    assert found.shape == (len(dataset.train_labels), dataset.classes)
    others = torch.ones(len(found), dtype=torch.bool).index_fill(0, indices, False)
    assert found[indices].isfinite().all() and found[others].isnan().all()


def test_only_missing_logits_are_computed(home, counted):
    dataset = datasets.load("digits")
    teacher = load_teacher(dataset, "cnn-32")
    for indices, expected in (([5, 3, 9], [3]), ([3, 5], []), ([3, 700, 700, 9], [1]), ([], [])):
        counted.clear()
        teacher_logits(teacher, dataset, part="train", indices=torch.tensor(indices, dtype=torch.int64))
        assert counted == expected
    teacher_logits(teacher, dataset, part="test", indices=torch.tensor([3]))
    teacher_logits(teacher, dataset, part="train", indices=torch.tensor([3, 5, 9, 700]))
    assert counted == [1]  # test images are in another file


def test_test_logits_are_computed_with_progress_and_once(home, counted, monkeypatch):
    dataset = datasets.load("digits")
    teacher = load_teacher(dataset, "cnn-32")
    monkeypatch.setattr(logit_cache, "CHUNK", 128)
    progress = list(logit_cache.prepare_test_logits(teacher, dataset, "cnn-32"))
    assert [fraction for _, fraction in progress] == pytest.approx([0, 128 / 359, 256 / 359]) and counted == [128, 128, 103]
    assert list(logit_cache.prepare_test_logits(teacher, dataset, "cnn-32")) == [] and len(counted) == 3


def test_test_logits_that_cannot_be_kept_are_left_to_the_run(tmp_path, monkeypatch, counted):
    (tmp_path / "file").write_text("where a folder should be")
    monkeypatch.setenv("DISTILL_HOME", str(tmp_path / "file" / "home"))
    monkeypatch.setattr(logit_cache, "CHUNK", 128)
    dataset = datasets.load("digits")
    assert len(list(logit_cache.prepare_test_logits(load_teacher(dataset, "cnn-32"), dataset, "cnn-32"))) == 1 and counted == [128]


def test_logits_of_another_teacher_or_other_data_are_never_used(home, counted):
    dataset, indices = datasets.load("digits"), torch.arange(10)
    pixel = dataset.train_images.clone()
    pixel[1000, 0, 0, 0] += 1
    altered = replace(dataset, train_images=pixel)
    teacher = load_teacher(dataset, "cnn-32")
    retrained = replace(teacher, fingerprint="0" * 64)  # the same name with other weights
    for one, images in ((teacher, dataset), (load_teacher(dataset, "mlp-1200x2"), dataset), (teacher, altered), (retrained, dataset)):
        teacher_logits(one, images, part="train", indices=indices)
    assert counted == [10] * 4


def test_a_cut_cache_is_computed_again(home, counted):
    dataset, indices = datasets.load("digits"), torch.arange(10)
    teacher = load_teacher(dataset, "cnn-32")
    first = teacher_logits(teacher, dataset, part="train", indices=indices)
    (path,) = (home / "cache" / "logits").glob("*.safetensors*")  # and no temporary file
    blob = path.read_bytes()
    for damaged in (blob[:-30], b"", blob[:4], b"x" * 1000):
        path.write_bytes(damaged)
        again = teacher_logits(teacher, dataset, part="train", indices=indices)
        assert torch.equal(again[indices], first[indices])
    assert counted == [10] * 5


def test_a_cache_that_cannot_be_written_does_not_stop_a_run(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("where a folder should be")
    monkeypatch.setenv("DISTILL_HOME", str(tmp_path / "file" / "home"))
    dataset = datasets.load("digits")
    assert list(prepare_teacher(dataset, "cnn-32")) == []
    found = teacher_logits(load_teacher(dataset, "cnn-32"), dataset, part="train", indices=torch.arange(10))
    assert found[:10].isfinite().all()


def test_a_full_disk_leaves_no_half_written_cache(home, monkeypatch):
    dataset, write = datasets.load("digits"), Path.write_bytes

    def full(path, _):
        write(path, b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    found = teacher_logits(load_teacher(dataset, "cnn-32"), dataset, part="train", indices=torch.arange(10))
    assert found[:10].isfinite().all() and not list((home / "cache" / "logits").glob("*.safetensors*"))


@pytest.mark.parametrize("order", ("one first", "shuffled in halves", "backwards"))
@pytest.mark.parametrize("name", ("mlp-1200x2", "cnn-32", "cnn-32+mlp-1200x2"))
def test_logits_do_not_depend_on_what_was_computed_before(tmp_path, monkeypatch, name, order):
    dataset = datasets.load("digits")
    teacher, n = load_teacher(dataset, name), len(dataset.train_labels)
    shuffled = torch.randperm(n, generator=torch.Generator().manual_seed(1))
    requests = {
        "one first": [torch.tensor([5]), torch.arange(3, 40)],
        "shuffled in halves": [shuffled[: n // 2], shuffled[n // 2 :]],
        "backwards": [torch.arange(n - 1, n // 3, -1)],
    }[order]
    found = []
    for home, before in (("fresh", []), ("used", requests)):
        monkeypatch.setenv("DISTILL_HOME", str(tmp_path / home))
        for indices in before:
            teacher_logits(teacher, dataset, part="train", indices=indices)
        found.append(teacher_logits(teacher, dataset, part="train", indices=torch.arange(n)))
    assert torch.equal(*found)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_number_of_channels_are_in_the_order_in_which_pooling_is_fast(channels):
    images = torch.rand(2, channels, 8, 8)
    convolution = torch.nn.Conv2d(channels, 4, 3).to(memory_format=torch.channels_last)
    ordered = images.to(memory_format=teachers.memory_format(convolution))
    assert torch.equal(ordered, images) and ordered.stride() == (64 * channels, 1, 8 * channels, channels)
    assert convolution(ordered).stride(1) == 1  # and all that follows keeps it
    assert images.to(memory_format=teachers.memory_format(torch.nn.Linear(64, 10))) is images  # not copied for nothing


def test_logits_of_an_ensemble_of_convolutions_do_not_depend_on_their_place_in_a_batch(tmp_path, monkeypatch, mnist):
    """Its last rows leave the vectorised loop of the logarithm: in batches of 250 they differ in the last digit."""
    dataset = datasets.load(mnist)
    teacher = load_teacher(dataset, "ensemble-5" if mnist == "mnist" else "cnn-32")
    indices = torch.arange(1000)
    found = []
    for home, before in (("fresh", indices), ("used", indices[37:713])):
        monkeypatch.setenv("DISTILL_HOME", str(tmp_path / home))
        teacher_logits(teacher, dataset, part="train", indices=before)
        found.append(teacher_logits(teacher, dataset, part="train", indices=indices)[indices])
    assert torch.equal(*found)


def test_logits_of_another_device_or_dtype_are_in_another_file(home):
    dataset = datasets.load("digits")
    teacher = load_teacher(dataset, "cnn-32")
    double = replace(teacher, network=copy.deepcopy(teacher.network).double())
    found = [teacher_logits(one, dataset, part="train", indices=torch.arange(3)) for one in (teacher, double, teacher)]
    assert torch.equal(found[0][:3], found[2][:3]) and not torch.equal(found[0][:3], found[1][:3])
    names = sorted(path.name for path in (home / "cache" / "logits").glob("*.safetensors"))
    assert [name.split("-")[2:5] for name in names] == [["cpu", dtype, "train"] for dtype in ("float32", "float64")]


def test_threads_that_compute_different_logits_at_once_lose_none(home):
    dataset = datasets.load("digits")
    teacher, n = load_teacher(dataset, "mlp-1200x2"), len(dataset.train_labels)
    start = threading.Barrier(8)

    def compute(number):
        start.wait()
        teacher_logits(teacher, dataset, part="train", indices=torch.arange(number, n, 8))

    threads = [threading.Thread(target=compute, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (path,) = (home / "cache" / "logits").glob("*.safetensors*")
    kept = load_file(path)["logits"]
    assert kept.isfinite().all()
    path.unlink()
    assert torch.equal(kept, teacher_logits(teacher, dataset, part="train", indices=torch.arange(n)))


def test_a_teacher_is_read_once_per_device_and_again_when_its_file_changes(copied_weights, refused):
    dataset = datasets.load("digits")
    network = load_teacher(dataset, "cnn-32").network
    assert load_teacher(dataset, "cnn-32", device=torch.device("cpu")).network is network
    both = load_teacher(dataset, "cnn-32+mlp-1200x2").network
    assert both.networks[0] is network
    path = copied_weights / "digits-cnn-32.safetensors"
    blob = path.read_bytes()
    path.write_bytes(blob[:-1] + b"\1")
    with refused("cut or altered"):
        load_teacher(dataset, "cnn-32")


# --- trained on this machine ----------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """A teacher that is trained in a moment."""
    monkeypatch.setitem(TEACHERS, "mlp-1200x2", replace(TEACHERS["mlp-1200x2"], model="mlp-20x2"))
    monkeypatch.setattr(making, "recipe_for", lambda dataset, name: replace(TEACHERS[name], epochs=3, batch_size=8, random_shift=1))


def make(dataset):
    return list(prepare_teacher(dataset, "mlp-1200x2"))


def test_a_teacher_for_an_uploaded_zip_is_trained_once(small_zip, home, quick, refused):
    dataset = datasets.load(str(small_zip))
    with refused("mlp-1200x2", dataset.title):
        load_teacher(dataset, "mlp-1200x2")
    progress = make(dataset)
    assert [fraction for _, fraction in progress] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert make(dataset) == []
    teacher = load_teacher(dataset, "mlp-1200x2")
    found = teachers.logits(teacher.network, dataset, dataset.test_images)
    assert int((found.argmax(dim=1) != dataset.test_labels).sum()) == teacher.card.test_errors


def test_the_same_recipe_makes_the_same_teacher(small_zip, tmp_path, monkeypatch, quick):
    dataset = datasets.load(str(small_zip))
    made = []
    for folder in ("one", "two"):
        monkeypatch.setenv("DISTILL_HOME", str(tmp_path / folder))
        torch.rand(3)  # draws before it do not matter
        make(dataset)
        made.append(load_teacher(dataset, "mlp-1200x2").card.sha256)
    assert made[0] == made[1]


def test_training_a_teacher_draws_nothing_from_the_global_generator(small_zip, home, quick):
    dataset = datasets.load(str(small_zip))
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    make(dataset)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("damage", ("cut card", "other card", "older recipe", "no weights", "altered weights"))
def test_a_damaged_teacher_on_this_machine_is_trained_again(small_zip, home, quick, damage, refused):
    dataset = datasets.load(str(small_zip))
    make(dataset)
    (first,) = (home / "teachers").glob("*.safetensors")
    card = first.with_suffix(".json")
    if damage == "cut card":
        card.write_text(card.read_text()[:50])
    elif damage == "other card":
        card.write_text(json.dumps({"name": "mlp-1200x2"}))
    elif damage == "older recipe":  # the fields of an earlier version, whose names no longer exist
        fields = json.loads(card.read_text())
        older = fields["recipe"] | {"jitter": 1, "mirror": False, "polish_epochs": 0}
        for name in ("random_shift", "random_flip", "finetune_epochs"):
            del older[name]
        card.write_text(json.dumps(fields | {"recipe": older}))
    elif damage == "no weights":
        first.unlink()
    else:
        first.write_bytes(first.read_bytes()[:-1] + b"\1")
        with refused(first, "cut or altered", "delete it and the next run trains it again"):
            load_teacher(dataset, "mlp-1200x2")
        first.unlink()
    assert make(dataset)
    found = load_teacher(dataset, "mlp-1200x2").card
    assert found.test_images == len(dataset.test_labels) and "random shifts to 1 px" in teachers.describe(found)


def test_a_teacher_whose_training_was_stopped_is_trained_again(small_zip, home, quick):
    dataset = datasets.load(str(small_zip))
    making = prepare_teacher(dataset, "mlp-1200x2")
    next(making)
    making.close()
    assert not list((home / "teachers").glob("*.safetensors"))
    assert make(dataset)


def test_weights_too_large_for_one_file_are_split_and_are_complete_or_refused(small_zip, home, quick, monkeypatch, refused):
    dataset = datasets.load(str(small_zip))
    make(dataset)
    complete = load_teacher(dataset, "mlp-1200x2")
    (first,) = (home / "teachers").glob("*.safetensors")
    first.unlink()
    monkeypatch.setattr(weights, "MAX_FILE", 100)
    make(dataset)
    files = sorted((home / "teachers").glob("*.safetensors"))
    assert len(files) > 2 and first in files
    cut = load_teacher(dataset, "mlp-1200x2")
    for name, value in complete.network.state_dict().items():
        assert torch.equal(cut.network.state_dict()[name], value)
    (home / "teachers" / f"{first.stem}.part{len(files)}.safetensors").unlink()
    with refused(first, "cut or altered", "delete it and the next run trains it again"):
        load_teacher(dataset, "mlp-1200x2")
    first.unlink()
    monkeypatch.setattr(weights, "MAX_FILE", 10**9)
    make(dataset)
    assert load_teacher(dataset, "mlp-1200x2").card.sha256 == complete.card.sha256
    assert list((home / "teachers").glob("*.safetensors")) == [first]  # no part of the earlier teacher is left


def test_a_home_that_cannot_be_written_is_one_sentence(small_zip, tmp_path, monkeypatch, quick, refused):
    (tmp_path / "file").write_text("where a folder should be")
    monkeypatch.setenv("DISTILL_HOME", str(tmp_path / "file" / "home"))
    with refused("mlp-1200x2", "DISTILL_HOME"):
        make(datasets.load(str(small_zip)))


def test_weights_are_written_in_half_precision_without_dropout_layers():
    names = set(models.build("mlp-1200x2", image_shape=(1, 8, 8), classes=10, seed=0).state_dict())
    found = load_file(paths.WEIGHTS / "digits-mlp-1200x2.safetensors")
    assert set(found) == names and all(value.dtype == torch.float16 for value in found.values())


def test_few_images_get_more_epochs_and_smaller_shifts(small_zip, home):
    few = teachers.recipe_for(datasets.load(str(small_zip)), "cnn-32")
    assert (few.epochs, few.random_shift) == (120, 1) and few.model == "cnn-32"
    digits = datasets.load("digits")
    large = replace(digits, train_images=torch.zeros(10_000, 1, 28, 28, dtype=torch.uint8), train_labels=torch.zeros(10_000).long())
    assert teachers.recipe_for(large, "cnn-32") == TEACHERS["cnn-32"]


# --- several teachers -----------------------------------------------------------------------------------------------


def test_an_ensemble_weights_its_members_as_in_its_name():
    assert teachers.parse_ensemble("cnn-32") == {"cnn-32": 1.0}
    assert teachers.parse_ensemble("2*cnn-32+0.5*mlp-1200x2") == {"cnn-32": 2.0, "mlp-1200x2": 0.5}
    dataset, indices = datasets.load("digits"), torch.arange(5)
    soft = {
        name: torch.softmax(teacher_logits(load_teacher(dataset, name), dataset, part="test", indices=indices)[:5], dim=1)
        for name in ("cnn-32", "mlp-1200x2", "3*cnn-32+mlp-1200x2")
    }
    torch.testing.assert_close(soft["3*cnn-32+mlp-1200x2"], 0.75 * soft["cnn-32"] + 0.25 * soft["mlp-1200x2"])


def test_ensembles_of_other_weights_or_combinations_have_other_fingerprints(home):
    dataset = datasets.load("digits")
    names = ("cnn-32+mlp-1200x2", "2*cnn-32+mlp-1200x2", "mlp-1200x2+cnn-32")
    found = [load_teacher(dataset, name, combine=combine) for name in names for combine in ("probabilities", "logits")]
    assert len({teacher.fingerprint for teacher in found}) == 6
    assert {teacher.parameters for teacher in found} == {sum(load_teacher(dataset, one).parameters for one in ("cnn-32", "mlp-1200x2"))}
