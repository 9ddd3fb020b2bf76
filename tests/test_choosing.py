"""Which teachers a data set has: a default that is shipped or quick, and what is said of one before it is chosen."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from distill_core import teachers
from distill_core.__main__ import main
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.studies.comparison import SETTINGS
from distill_core.teachers import choosing, default_teacher, notes, offered, shipped, shipped_for, teacher_after_change, untrained_note
from distill_core.teachers.choosing import training_seconds


@pytest.mark.parametrize("dataset", ("digits", "mnist", "cifar10", "cifar10-jpeg", "little-language"))
def test_the_default_teacher_is_shipped_and_offered_first(dataset, home):
    default = default_teacher(dataset)
    assert default in {card.name for card in shipped_for(dataset)} and offered(dataset)[0] == default
    assert untrained_note(dataset, default, cores=2) == ""
    assert Experiment(dataset=dataset).teacher == default


@pytest.mark.parametrize("dataset", [name for name in datasets.DATASETS if not shipped_for(name)])
def test_where_none_is_shipped_the_default_is_the_quickest_to_train(dataset):
    source = datasets.DATASETS[dataset]
    size = {"images": source.train, "image_shape": source.image_shape, "classes": len(source.class_names)}
    assert default_teacher(dataset) == min(offered(dataset), key=lambda name: training_seconds(name, **size, cores=2))


def test_of_uploaded_colour_images_the_default_is_the_quickest_to_train():
    for images in (200, 2000, 9000, 50_000):
        size = {"images": images, "image_shape": (3, 32, 32), "classes": 10}
        assert default_teacher("cats.zip") == min(offered("cats.zip"), key=lambda name: training_seconds(name, **size, cores=2))


def test_an_experiment_without_a_teacher_is_the_one_with_the_default_and_has_its_key():
    named = Experiment(dataset="cifar10-jpeg", teacher="cnn-32")
    assert Experiment(dataset="cifar10-jpeg") == named and Experiment(dataset="cifar10-jpeg", teacher="").key == named.key
    assert json.loads(Experiment(dataset="cifar10-jpeg").to_json())["teacher"] == "cnn-32"
    assert Experiment.from_fields({"dataset": "cifar10"}).teacher == "cnn-32"


def test_another_data_set_keeps_a_teacher_that_is_shipped_for_it_and_replaces_any_other():
    assert teacher_after_change("cifar10", "mlp-1200x2") == "cnn-32"
    assert teacher_after_change("mnist", "cnn-32") == "cnn-32"
    assert teacher_after_change("digits", "2*cnn-32+mlp-1200x2") == "2*cnn-32+mlp-1200x2"
    assert teacher_after_change("digits", "cnn-32+ensemble-5") == "mlp-1200x2"
    assert teacher_after_change("digits", "no teacher") == "mlp-1200x2"


def test_the_estimate_for_a_shipped_teacher_is_the_time_on_its_card():
    for card in shipped():
        source = datasets.SOURCES[card.dataset]
        size = {"images": source.train, "image_shape": source.image_shape, "classes": len(source.class_names)}
        assert training_seconds(card.name, **size, cores=2) == pytest.approx(card.seconds)
        assert training_seconds(card.name, **size, cores=1) == pytest.approx(2 * card.seconds)


def test_a_teacher_that_is_shipped_for_no_data_set_has_a_time_too():
    size = {"images": 60_000, "image_shape": (1, 28, 28), "classes": 10}
    small, middle, large = (training_seconds(name, **size, cores=2) for name in ("mlp-30x2", "mlp-100x2", "mlp-300x2"))
    assert 0 < small < middle < large


def test_a_teacher_that_must_be_trained_is_announced_with_its_time_and_with_those_that_are_ready(home):
    note = untrained_note("cifar10-jpeg", "cnn-32+mlp-1200x2", cores=2)
    assert "mlp-1200x2" in note and "2 minutes on 2 cores" in note and "cnn-32" in note.split("Ready at once")[1]
    assert "cnn-32" not in note.split("Ready at once")[0]


def test_an_uploaded_set_is_announced_by_its_own_number_of_images(small_zip, home):
    assert "10 s" in untrained_note(str(small_zip), "mlp-1200x2", cores=2)


def test_a_teacher_that_was_trained_here_is_announced_no_more(home):
    folder = home / "teachers"
    folder.mkdir(parents=True)
    (folder / "0-mlp-1200x2.json").write_text(json.dumps({"name": "mlp-1200x2", "dataset": "cifar10", "sha256": "0"}))
    assert untrained_note("cifar10", "mlp-1200x2", cores=2) == ""


def test_of_original_cifar10_each_teacher_is_said_to_be_of_the_jpeg_copy():
    assert shipped_for("cifar10") == shipped_for("cifar10-jpeg") != []
    for card in shipped_for("cifar10"):
        said = " ".join(notes("cifar10", card.name))
        assert "JPEG" in said and f"{100 * card.test_accuracy:.2f} %" in said and "--score cifar10" in said
        assert "--score" not in " ".join(notes("cifar10-jpeg", card.name))
        assert "CIFAR-10 too" in teachers.describe(card)


def test_label_smoothing_is_said_of_every_teacher_that_was_trained_with_it_and_of_no_other():
    for card in shipped():
        said = " ".join(notes(card.dataset, card.name)), teachers.describe(card)
        assert all(("less effective" in text) == bool(card.recipe["smoothing"]) for text in said)
    assert {card.name for card in shipped() if card.recipe["smoothing"]} == {"airbench-256", "airbench-pair", "mlp-1200x2-smoothed"}


def test_the_command_line_announces_the_training_of_a_teacher_before_it_begins(small_zip, home, monkeypatch, capsys):
    def none_yet(*_, **__):
        raise ValueError("training begins")
        yield

    monkeypatch.setattr("distill_core.__main__.prepare", none_yet)
    assert main(["train", "--dataset", str(small_zip), "--json"]) == 2
    printed = capsys.readouterr()
    announced, ended = printed.err.splitlines()
    assert "first trains it" in announced and "training begins" in ended and printed.out == ""


def test_a_setting_of_the_comparison_names_the_jpeg_copy_where_it_was_used():
    for setting in SETTINGS.values():
        assert setting.title.startswith(datasets.DATASETS[setting.experiment.dataset].title + ",")


def test_a_duration_is_rounded_to_minutes():
    assert [choosing.in_words(seconds) for seconds in (2, 41, 89, 115, 563)] == ["10 s", "50 s", "90 s", "2 minutes", "9 minutes"]


def test_a_recipe_is_announced_before_its_first_step(small_zip, home, monkeypatch):
    recipe = replace(teachers.TEACHERS["mlp-1200x2"], model="mlp-20x2", epochs=1, batch_size=8)
    monkeypatch.setattr(teachers.making, "recipe_for", lambda *_: recipe)
    monkeypatch.setattr(teachers.making, "_train_member", lambda *_: pytest.fail("training began"))
    what, fraction = next(teachers.prepare_teacher(datasets.load(str(small_zip)), "mlp-1200x2"))
    assert "mlp-1200x2" in what and fraction == 0


def test_the_progress_of_a_long_epoch_is_reported_within_it(small_zip, home, monkeypatch):
    recipe = replace(teachers.TEACHERS["mlp-1200x2"], model="mlp-20x2", epochs=1, batch_size=1, random_shift=0)
    monkeypatch.setattr(teachers.making, "recipe_for", lambda *_: recipe)
    fractions = [fraction for _, fraction in teachers.prepare_teacher(datasets.load(str(small_zip)), "mlp-1200x2")]
    assert fractions == pytest.approx([0, 10 / 16, 1])
