"""The trained teachers: as good as their cards say, whole or refused, and their logits belong to the right images."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from distill_core import models, teachers
from distill_core.data import datasets
from distill_core.teachers import EVERYWHERE, TEACHERS, load_teacher, offered, prepare_teacher, shipped, teacher_logits

# --- shipped --------------------------------------------------------------------------------------------------------


def test_the_lab_ships_the_usual_teachers_of_digits_and_of_mnist_and_offers_what_it_ships():
    assert {(card.dataset, card.name) for card in shipped()} >= {(dataset, name) for dataset in ("digits", "mnist") for name in EVERYWHERE}
    for card in shipped():
        assert card.name in offered(card.dataset)
    assert set(offered("cats.zip")) == set(EVERYWHERE)


def test_a_shipped_teacher_is_as_good_as_its_card_says(card, home):
    dataset = datasets.load(card.dataset)
    teacher = load_teacher(dataset, card.name)
    found = teacher_logits(teacher, dataset, part="test", indices=torch.arange(len(dataset.test_labels)))
    errors = int((found.argmax(dim=1) != dataset.test_labels).sum())
    assert abs(errors - card.test_errors) <= card.test_images / 10_000  # another machine's rounding may turn one image in 10,000
    assert card.test_images == len(dataset.test_labels) and card.data_fingerprint == dataset.fingerprint
    assert card.test_accuracy == pytest.approx(1 - card.test_errors / card.test_images)


@pytest.mark.parametrize(
    ("dataset", "name", "most"),
    [
        ("mnist", "mlp-1200x2", 100),
        ("mnist", "mlp-1200x2-smoothed", 100),
        ("mnist", "cnn-32", 60),
        ("mnist", "ensemble-5", 60),
        ("digits", "mlp-1200x2", 7),
        ("digits", "cnn-32", 7),
        ("cifar10-jpeg", "cnn-32", 2500),
        ("cifar10-jpeg", "airbench-256", 880),
        ("cifar10-jpeg", "airbench-pair", 820),
    ],
)
def test_a_shipped_teacher_makes_no_more_errors_than_it_should(dataset, name, most):
    (card,) = [card for card in shipped() if (card.dataset, card.name) == (dataset, name)]
    assert card.test_errors <= most


def test_the_overfit_teacher_has_learnt_its_thousand_images_and_little_else():
    (card,) = [card for card in shipped() if card.name == "mlp-1200x2-overfit"]
    assert card.recipe["images"] == 1000 and 0.85 < card.test_accuracy < 0.93


def test_a_card_tells_how_its_teacher_was_made():
    for card in shipped():
        recipe = teachers.Recipe(**card.recipe)
        shape = datasets.DATASETS[card.dataset].image_shape
        assert recipe.model == TEACHERS[card.name].model and recipe.about and card.made_with and card.seconds > 0
        assert card.parameters == recipe.members * models.count_parameters(recipe.model, image_shape=shape, classes=10)


def test_shipped_weights_stay_small():
    sizes = [path.stat().st_size for path in teachers.WEIGHTS.iterdir()]
    assert max(sizes) < 5e6 and sum(sizes) < 40e6


def test_shipped_files_are_those_of_the_cards():
    stems = {path.name.removesuffix(".safetensors").split(".part")[0] for path in teachers.WEIGHTS.glob("*.safetensors")}
    assert stems == {f"{card.dataset}-{card.name}" for card in shipped()}


def test_a_teacher_is_not_trained_further(card):
    network = load_teacher(datasets.load(card.dataset), card.name).network
    assert not network.training and not any(p.requires_grad for p in network.parameters())


@pytest.fixture
def own_weights(tmp_path, monkeypatch):
    """A copy of the shipped weights, to harm."""
    folder = tmp_path / "weights"
    shutil.copytree(teachers.WEIGHTS, folder)
    monkeypatch.setattr(teachers, "WEIGHTS", folder)
    return folder


def test_a_cut_an_altered_and_a_missing_teacher_are_refused(own_weights, refused):
    path = own_weights / "digits-cnn-32.safetensors"
    blob = path.read_bytes()
    for harmed in (blob[:-100], blob[:5000] + bytes([blob[5000] ^ 1]) + blob[5001:], b""):
        path.write_bytes(harmed)
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
    """A list that receives how many images each call of the network is given."""
    calls, plain = [], teachers.logits
    monkeypatch.setattr(
        teachers, "logits", lambda network, dataset, images, **more: (calls.append(len(images)), plain(network, dataset, images, **more))[1]
    )
    return calls


def test_logits_belong_to_the_images_of_their_indices(real_set, home):
    dataset = datasets.load(real_set)
    teacher = load_teacher(dataset, "cnn-32")
    indices = torch.randperm(len(dataset.train_labels), generator=torch.Generator().manual_seed(0))[:200]
    first = teacher_logits(teacher, dataset, part="train", indices=indices[:80])
    found = teacher_logits(teacher, dataset, part="train", indices=indices.flip(0))  # other order, partly from the cache
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
    assert counted == [1]  # test images have a file of their own


def test_logits_of_another_teacher_or_other_data_are_not_taken(home, counted):
    dataset, indices = datasets.load("digits"), torch.arange(10)
    pixel = dataset.train_images.clone()
    pixel[1000, 0, 0, 0] += 1
    altered = replace(dataset, train_images=pixel)
    teacher = load_teacher(dataset, "cnn-32")
    retrained = replace(teacher, fingerprint="0" * 64)  # the same name, other weights
    for other, of in ((teacher, dataset), (load_teacher(dataset, "mlp-1200x2"), dataset), (teacher, altered), (retrained, dataset)):
        teacher_logits(other, of, part="train", indices=indices)
    assert counted == [10] * 4


def test_a_cut_cache_is_computed_again(home, counted):
    dataset, indices = datasets.load("digits"), torch.arange(10)
    teacher = load_teacher(dataset, "cnn-32")
    first = teacher_logits(teacher, dataset, part="train", indices=indices)
    (path,) = (home / "cache" / "logits").iterdir()  # and no other file was left there
    blob = path.read_bytes()
    for harmed in (blob[:-30], b"", blob[:4], b"x" * 1000):
        path.write_bytes(harmed)
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
    def full(_, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(datasets, "save_file", full)
    dataset = datasets.load("digits")
    found = teacher_logits(load_teacher(dataset, "cnn-32"), dataset, part="train", indices=torch.arange(10))
    assert found[:10].isfinite().all() and not list((home / "cache" / "logits").iterdir())


# --- made on this machine -------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """A teacher that is made in a moment."""
    monkeypatch.setitem(TEACHERS, "mlp-1200x2", replace(TEACHERS["mlp-1200x2"], model="mlp-20x2"))
    monkeypatch.setattr(teachers, "recipe_for", lambda dataset, name: replace(TEACHERS[name], epochs=3, batch_size=8, random_shift=1))


def make(dataset):
    return list(prepare_teacher(dataset, "mlp-1200x2"))


def test_a_teacher_for_the_learners_pictures_is_made_once(small_zip, home, quick, refused):
    dataset = datasets.load(str(small_zip))
    with refused("mlp-1200x2", dataset.title):
        load_teacher(dataset, "mlp-1200x2")
    told = make(dataset)
    assert [fraction for _, fraction in told] == pytest.approx([1 / 3, 2 / 3, 1])
    assert make(dataset) == []
    teacher = load_teacher(dataset, "mlp-1200x2")
    found = teachers.logits(teacher.network, dataset, dataset.test_images)
    assert int((found.argmax(dim=1) != dataset.test_labels).sum()) == teacher.card.test_errors


def test_the_same_recipe_makes_the_same_teacher(small_zip, tmp_path, monkeypatch, quick):
    dataset = datasets.load(str(small_zip))
    made = []
    for folder in ("one", "two"):
        monkeypatch.setenv("DISTILL_HOME", str(tmp_path / folder))
        torch.rand(3)  # what was drawn before does not matter
        make(dataset)
        made.append(load_teacher(dataset, "mlp-1200x2").card.sha256)
    assert made[0] == made[1]


def test_making_a_teacher_draws_nothing_from_the_global_generator(small_zip, home, quick):
    dataset = datasets.load(str(small_zip))
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    make(dataset)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("harm", ("cut card", "other card", "no weights", "altered weights"))
def test_a_harmed_home_made_teacher_is_made_again_as_its_sentence_says(small_zip, home, quick, harm, refused):
    dataset = datasets.load(str(small_zip))
    make(dataset)
    (weights,) = (home / "teachers").glob("*.safetensors")
    card = weights.with_suffix(".json")
    if harm == "cut card":
        card.write_text(card.read_text()[:50])
    elif harm == "other card":
        card.write_text(json.dumps({"name": "mlp-1200x2"}))
    elif harm == "no weights":
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:-1] + b"\1")
        with refused(weights, "cut or altered", "delete it and it is made again"):
            load_teacher(dataset, "mlp-1200x2")
        weights.unlink()
    assert make(dataset)
    assert load_teacher(dataset, "mlp-1200x2").card.test_images == len(dataset.test_labels)


def test_a_teacher_that_was_stopped_half_way_is_not_taken_for_a_whole_one(small_zip, home, quick):
    dataset = datasets.load(str(small_zip))
    making = prepare_teacher(dataset, "mlp-1200x2")
    next(making)
    making.close()
    assert not list((home / "teachers").glob("*.safetensors"))
    assert make(dataset)


def test_weights_too_large_for_one_file_go_on_in_the_next_and_are_whole_or_refused(small_zip, home, quick, monkeypatch, refused):
    dataset = datasets.load(str(small_zip))
    make(dataset)
    whole = load_teacher(dataset, "mlp-1200x2")
    (weights,) = (home / "teachers").glob("*.safetensors")
    weights.unlink()
    monkeypatch.setattr(teachers, "LARGEST_FILE", 100)
    make(dataset)
    files = sorted((home / "teachers").glob("*.safetensors"))
    assert len(files) > 2 and weights in files
    cut = load_teacher(dataset, "mlp-1200x2")
    for name, value in whole.network.state_dict().items():
        assert torch.equal(cut.network.state_dict()[name], value)
    (home / "teachers" / f"{weights.stem}.part{len(files)}.safetensors").unlink()
    with refused(weights, "cut or altered", "delete it and it is made again"):
        load_teacher(dataset, "mlp-1200x2")
    weights.unlink()
    monkeypatch.setattr(teachers, "LARGEST_FILE", 10**9)
    make(dataset)
    assert load_teacher(dataset, "mlp-1200x2").card.sha256 == whole.card.sha256
    assert list((home / "teachers").glob("*.safetensors")) == [weights]  # no part of the teacher before is left


def test_a_home_that_cannot_be_written_is_one_sentence(small_zip, tmp_path, monkeypatch, quick, refused):
    (tmp_path / "file").write_text("where a folder should be")
    monkeypatch.setenv("DISTILL_HOME", str(tmp_path / "file" / "home"))
    with refused("mlp-1200x2", "DISTILL_HOME"):
        make(datasets.load(str(small_zip)))


def test_weights_are_written_in_half_precision_without_dropout_layers():
    names = set(models.build("mlp-1200x2", image_shape=(1, 8, 8), classes=10, seed=0).state_dict())
    found = load_file(teachers.WEIGHTS / "digits-mlp-1200x2.safetensors")
    assert set(found) == names and all(value.dtype == torch.float16 for value in found.values())


def test_few_images_are_seen_more_often_and_moved_less(small_zip, home):
    few = teachers.recipe_for(datasets.load(str(small_zip)), "cnn-32")
    assert (few.epochs, few.random_shift) == (120, 1) and few.model == "cnn-32"
    digits = datasets.load("digits")
    large = replace(digits, train_images=torch.zeros(10_000, 1, 28, 28, dtype=torch.uint8), train_labels=torch.zeros(10_000).long())
    assert teachers.recipe_for(large, "cnn-32") == TEACHERS["cnn-32"]


# --- several teachers -----------------------------------------------------------------------------------------------


def test_several_teachers_answer_by_the_weights_in_their_name():
    assert teachers.parse_ensemble("cnn-32") == {"cnn-32": 1.0}
    assert teachers.parse_ensemble("2*cnn-32+0.5*mlp-1200x2") == {"cnn-32": 2.0, "mlp-1200x2": 0.5}
    dataset, indices = datasets.load("digits"), torch.arange(5)
    said = {
        name: torch.softmax(teacher_logits(load_teacher(dataset, name), dataset, part="test", indices=indices)[:5], dim=1)
        for name in ("cnn-32", "mlp-1200x2", "3*cnn-32+mlp-1200x2")
    }
    torch.testing.assert_close(said["3*cnn-32+mlp-1200x2"], 0.75 * said["cnn-32"] + 0.25 * said["mlp-1200x2"])


def test_several_teachers_are_kept_apart_by_weight_and_by_how_they_are_combined(home):
    dataset = datasets.load("digits")
    names = ("cnn-32+mlp-1200x2", "2*cnn-32+mlp-1200x2", "mlp-1200x2+cnn-32")
    found = [load_teacher(dataset, name, combine=combine) for name in names for combine in ("probabilities", "logits")]
    assert len({teacher.fingerprint for teacher in found}) == 6
    assert {teacher.parameters for teacher in found} == {sum(load_teacher(dataset, one).parameters for one in ("cnn-32", "mlp-1200x2"))}
