"""The command line: one line for what cannot be, nothing but JSON where JSON was asked for, the same numbers twice."""

import json
import zipfile

import pytest

from distill_core import __main__ as command_line
from distill_core import experiment
from distill_core.__main__ import main
from distill_core.precision import instructions
from distill_core.runs.store import Store
from distill_core.training.run_data import pick_device

SMALL = ["train", "--images", "100", "--epochs", "2", "--student", "mlp-8x1", "--device", "cpu"]
RECORD = {"event", "member", "epoch", "step", "seconds", "hard_loss", "soft_loss", "test_accuracy", "validation_accuracy", "agreement"}
SCORES = {"test_accuracy", "low", "high", "test_errors", "errors_by_class", "agreement", "ece", "parameters"}


def lines(capsys, *arguments):
    assert main([*arguments, "--json"]) == 0
    printed = capsys.readouterr()
    return [json.loads(line) for line in printed.out.splitlines()]


def test_train_tells_records_and_at_last_the_result(capsys):
    *records, result = lines(capsys, *SMALL)
    assert all(set(record) == RECORD and record["event"] == "record" for record in records)
    assert {record["member"] for record in records} == {"student", "baseline"}
    assert records[0]["step"] == 0 and records[0]["hard_loss"] is None
    assert {"event", "key", "experiment", "seconds", "student", "baseline", "teacher"} == set(result)
    assert all(set(result[role]) >= SCORES for role in ("student", "baseline", "teacher"))
    assert result["experiment"]["images"] == 100


def test_train_twice_gives_the_same_to_the_last_digit_but_for_seconds(capsys):
    runs = [[{**printed, "seconds": 0} for printed in lines(capsys, *SMALL)] for _ in range(2)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("arguments", "added"),
    [
        (["train"], ["--batch-size", "128", "--learning-rate", "0.02"]),  # all 1,438 digits
        (["train", "--images", "200"], ["--batch-size", "16", "--learning-rate", "0.01"]),
        (["train", "--images=200", "--seed", "1"], ["--batch-size", "16", "--learning-rate", "0.01"]),
        (["sweep", "--images", "0", "200", "--dataset", "mnist"], ["--batch-size", "16", "--learning-rate", "0.01"]),
        (["train", "--batch-size", "64"], []),
        (["train", "--learning_rate=0.1"], []),
        (["train", "--images", "many"], []),
        (["train", "--dataset", "nowhere.zip"], []),
        (["train", "--dataset", "imagenet"], []),
        (["teachers"], []),
    ],
    ids=str,
)
def test_batch_size_and_learning_rate_are_those_of_the_number_of_images_where_neither_is_named(monkeypatch, arguments, added):
    monkeypatch.setattr(experiment, "USUAL_TRAINING", ((0, 16, 0.01), (1000, 128, 0.02)))
    assert command_line._with_usual(arguments) == [*arguments, *added]


def test_what_somebody_chose_stays_when_the_number_of_images_changes(monkeypatch):
    monkeypatch.setattr(experiment, "USUAL_TRAINING", ((0, 16, 0.01), (1000, 128, 0.02)))
    usual, own = {"batch_size": 16, "learning_rate": 0.01}, {"batch_size": 16, "learning_rate": 0.03}
    assert experiment.training_after_change(usual, before=200, after=5000) == {"batch_size": 128, "learning_rate": 0.02}
    assert experiment.training_after_change(own, before=200, after=5000) == own


def test_train_for_people_says_how_it_trained(capsys):
    assert main([*SMALL, "--precision", "bfloat16-emulated"]) == 0
    assert "2 epochs in batches of 32, learning rate 0.01, products in bfloat16-emulated, " in capsys.readouterr().out


def test_train_for_people_shows_the_three_networks(capsys):
    assert main(SMALL) == 0
    said = capsys.readouterr().out
    assert all(role in said for role in ("teacher", "baseline", "student")) and "95 % interval" in said


def test_a_sweep_tells_a_line_for_each_combination_with_the_numbers_of_train(capsys):
    several = ["--temperature", "1", "4", "--alpha", "0.1", "0.5", "--seed", "0", "1"]
    printed = lines(capsys, "sweep", *SMALL[1:], *several)
    assert [(one["temperature"], one["alpha"], one["seed"]) for one in printed] == [
        (t, a, s) for t in (1.0, 4.0) for a in (0.1, 0.5) for s in (0, 1)
    ]
    one = printed[5]
    alone = lines(capsys, *SMALL, "--temperature", "4", "--alpha", "0.1", "--seed", "1")[-1]
    assert one["key"] == alone["key"] and one["experiment"] == alone["experiment"]
    for role in ("student", "baseline", "teacher"):
        assert one[role]["test_accuracy"] == pytest.approx(alone[role]["test_accuracy"], abs=1 / 359)


def test_a_sweep_over_shapes_and_numbers_of_images_trains_each(capsys):
    printed = lines(capsys, "sweep", "--epochs", "1", "--device", "cpu", "--student", "linear", "mlp-8x1", "--images", "50", "100")
    assert [(one["experiment"]["student"], one["images"]) for one in printed] == [
        ("linear", 50), ("linear", 100), ("mlp-8x1", 50), ("mlp-8x1", 100)
    ]  # fmt: skip


def test_a_sweep_for_people_is_a_table(capsys):
    assert main(["sweep", *SMALL[1:], "--temperature", "1", "4"]) == 0
    said = capsys.readouterr().out
    assert said.count("points") == 2 and "2 students beside their baselines" in said


def test_a_sweep_chooses_its_best_setting_on_the_validation_images_and_says_so(capsys):
    several = ["--temperature", "1", "4", "--alpha", "0.1", "0.9", "--seed", "0", "1"]
    printed = lines(capsys, "sweep", *SMALL[1:], *several, "--validation", "200")
    settings = {}
    for one in printed:
        assert one["student"]["validation_accuracy"] == round(200 * one["student"]["validation_accuracy"]) / 200
        gains = settings.setdefault((one["temperature"], one["alpha"]), [])
        gains.append(one["student"]["validation_accuracy"] - one["baseline"]["validation_accuracy"])
    temperature, alpha = max(settings, key=lambda setting: sum(settings[setting]))
    assert main(["sweep", *SMALL[1:], *several, "--validation", "200"]) == 0
    said = capsys.readouterr().out
    assert f"best: T {temperature:g}, alpha {alpha:g}" in said and "chosen on 200 validation images" in said
    assert said.count("validation ") == 8 + 1
    assert main(["sweep", *SMALL[1:], *several]) == 0
    assert "chosen on the test images, so this gain is too high" in capsys.readouterr().out


@pytest.fixture
def one_class(tmp_path):
    path = tmp_path / "one.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cats/a.png", b"not opened before the classes are counted")
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["sweep", "--temperature", "4", "0"], "temperature 0"),
        (["sweep", "--student", "mlp-8x1", "resnet99"], "student 'resnet99' is not known; choose one of"),
        (["sweep", "--temperature"], "temperature has no value"),
        (["sweep", "--seed", *map(str, range(2001))], "2001 students are more than the 2000"),
        (["train", "--student", "resnet99"], "student 'resnet99' is not known; choose one of"),
        (["train", "--teacher", "resnet99"], "teacher 'resnet99' is not known; choose one of"),
        (["train", "--dataset", "nope"], "dataset 'nope' is not known; choose one of"),
        (["train", "--method", "magic"], "method 'magic' is not known; choose one of"),
        (["train", "--temperature", "0"], "temperature 0"),
        (["train", "--temperature", "nan"], "temperature nan"),
        (["train", "--alpha", "1.5"], "alpha 1.5"),
        (["train", "--alpha", "-0.1"], "alpha -0.1"),
        (["train", "--images", "1439"], "images 1439"),
        (["train", "--epochs", "0"], "epochs 0"),
        (["train", "--images", "1000", "--validation", "500"], "validation 500 is too many"),
        (["train", "--epochs", "many"], "--epochs"),
        (["train", "--hide-classes", "10"], "hide_classes 10"),
        (["train", "--device", "tpu"], "device 'tpu'"),
        (["train", "--dataset", "nowhere.zip"], "nowhere.zip"),
        (["train", "--colour", "red"], "--colour"),
        (["preset", "nope"], "preset 'nope' is not known; choose one of"),
        (["preset", "first-race", "--seeds", "0"], "seeds 0"),
        (["preset", "hinton-mnist", "--seeds", "0"], "seeds 0"),
        (["teachers", "--make", "mnist/nope"], "teacher 'mnist/nope'"),
        (["tarin"], "tarin"),
        ([], "train"),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_line_and_status_2(arguments, named, capsys):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    assert named in line and "Traceback" not in line


def test_a_zip_of_one_class_is_one_line_and_status_2(one_class, capsys):
    assert main(["train", "--dataset", one_class]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "only the class 'cats'" in line


def test_teachers_are_listed_with_their_intervals(capsys):
    cards = lines(capsys, "teachers")
    assert {("digits", "mlp-1200x2"), ("mnist", "cnn-32")} <= {(card["dataset"], card["name"]) for card in cards}
    of_images = [card for card in cards if "test_accuracy" in card]
    assert all(card["low"] < card["test_accuracy"] < card["high"] for card in of_images) and len(of_images) > 5
    assert all(card["recipe"]["epochs"] for card in cards)
    assert all(0 < card["test_bits_per_character"] < 5 for card in cards if card not in of_images)


def test_presets_are_listed(capsys):
    assert {"first-race", "few-images"} <= {entry["name"] for entry in lines(capsys, "preset", "--list")}


def test_a_preset_tells_what_was_claimed_expected_and_came(capsys):
    (claim,) = lines(capsys, "preset", "impatient", "--seeds", "2")
    assert claim["came"]["seeds"] == 2 and claim["expected"]["difference"] < 0 and claim["claim"]


def test_the_doctor_finds_the_digits_and_their_teachers_ready_and_says_what_the_runs_take(capsys, home):
    Store(home / "lab.sqlite").close()
    (found,) = lines(capsys, "doctor", "--port", "1")
    assert "the runs take 0.00 GB of at most 2 GB on the disk; beyond that, the results that nobody has used" in found["runs"]
    assert found["ready"] is True and found["datasets"]["digits"] == "ready"
    assert found["teachers"]["digits/mlp-1200x2"] == "ready" and found["first_race_seconds"] > 0
    here = instructions(pick_device("auto"))
    assert found["bfloat16"] == here if here else found["bfloat16"].startswith("no instructions for it; only emulated")
