"""An Experiment is a value: it comes back from JSON, its key tells it from every other, and it refuses what cannot be run."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from distill_core.data.datasets import DATASETS
from distill_core.experiment import AUGMENTATIONS, COMBINATIONS, MAX, OPTIMIZERS, SCHEDULES, Experiment
from distill_core.method_settings import SETTINGS
from distill_core.objectives import METHODS
from distill_core.precision import PRECISIONS
from distill_core.teachers import TEACHERS

FIELDS = [field.name for field in dataclasses.fields(Experiment)]


def valid(**fields):
    """The experiment; choices that do not go together are drawn again."""
    try:
        return Experiment(**fields)
    except ValueError:
        reject()


experiments = st.builds(
    valid,
    dataset=st.sampled_from([*DATASETS, "my pictures.zip", "/tmp/Bärli\U0001f43b.zip"]),
    images=st.integers(0, 1438),
    validation=st.integers(0, 100),
    hide_classes=st.sets(st.integers(0, 9), max_size=9).map(tuple),
    label_noise=st.floats(0, 1),
    teacher=st.sampled_from([*TEACHERS, "2*cnn-32+mlp-1200x2"]),  # not `self`, which excludes some assistants
    combine=st.sampled_from(COMBINATIONS),
    assistants=st.lists(st.sampled_from(["mlp-30x2", "cnn-8"]), max_size=2).map(tuple),
    student=st.sampled_from(["linear", "mlp-30x2", "mlp-2048x6", "cnn-1", "cnn-64"]),
    method=st.sampled_from(list(METHODS)),
    temperature=st.floats(0.01, MAX["temperature"]),
    alpha=st.floats(0, 1),
    epochs=st.integers(1, MAX["epochs"]),
    batch_size=st.integers(1, MAX["batch_size"]),
    learning_rate=st.floats(1e-9, MAX["learning_rate"]),
    augmentation=st.sampled_from(AUGMENTATIONS),
    optimizer=st.sampled_from(OPTIMIZERS),
    schedule=st.sampled_from(SCHEDULES),
    start_from=st.sampled_from(["", "0123456789abcdef"]),
    compression=st.sampled_from(["", "neurons-50+prune-80", "int4"]),
    precision=st.sampled_from(PRECISIONS),
    seed=st.integers(0, MAX["seed"]),
)


@given(experiments)
def test_an_experiment_comes_back_from_json_the_same(experiment):
    again = Experiment.from_json(experiment.to_json())
    assert again == experiment and again.key == experiment.key and again.to_json() == experiment.to_json()
    json.loads(experiment.to_json(), parse_constant=pytest.fail)  # JSON as others read it: no NaN, no Infinity


@given(experiments, experiments)
def test_keys_are_equal_exactly_when_experiments_are(one, other):
    assert (one.key == other.key) == (one == other)


OTHERS = {
    "dataset": "mnist",
    "images": 100,
    "validation": 50,
    "hide_classes": (3,),
    "label_noise": 0.2,
    "teacher": "cnn-32",
    "combine": "logits",
    "assistants": ("mlp-300x2",),
    "student": "linear",
    "temperature": 4.5,
    "alpha": 0.2,
    "epochs": 21,
    "batch_size": 65,
    "learning_rate": 0.002,
    "unlabelled": 11,
    "unlabelled_from": "noise",
    "augmentation": "fixed",
    "optimizer": "sgd",
    "schedule": "constant",
    "seed": 1,
    "start_from": "0123456789abcdef",
    "compression": "int4",
    "precision": "bfloat16",
}


@pytest.mark.parametrize("field", [field for field in FIELDS if field not in SETTINGS])  # those are of some methods alone
def test_every_field_changes_the_key(field):
    value = OTHERS.get(field) or next(name for name in METHODS if name != Experiment().method)
    usual = Experiment(images=200, unlabelled=10)
    assert dataclasses.replace(usual, **{field: value}).key != usual.key


def test_the_key_is_the_same_in_another_process():
    code = "from distill_core.experiment import Experiment as E; print(E(hide_classes=(7, 3), temperature=2).key)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "123"})
    assert told.stdout.strip() == Experiment(hide_classes=(3, 7), temperature=2.0).key


def test_the_same_choice_written_differently_has_the_same_key():
    assert Experiment(temperature=4).key == Experiment(temperature=4.0).key
    assert Experiment(hide_classes=(7, 3, 3)).key == Experiment(hide_classes=(3, 7)).key
    assert Experiment(alpha=-0.0).key == Experiment(alpha=0.0).key
    assert Experiment.from_json("{}") == Experiment()


def test_an_experiment_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Experiment().alpha = 0.5
    assert {Experiment(): "found"}[Experiment()] == "found"


def test_the_baseline_differs_in_nothing_that_the_student_starts_from():
    experiment = Experiment(alpha=0.3, temperature=8, seed=5, label_noise=0.1, hide_classes=(2,))
    baseline = experiment.baseline
    differing = {name for name in FIELDS if getattr(baseline, name) != getattr(experiment, name)}
    assert differing == {"alpha"} and baseline.alpha == 1
    assert baseline.baseline == baseline


BAD = [
    ("dataset", "imagenet", "'imagenet'"),
    ("dataset", 7, "7"),
    ("images", -1, "-1"),
    ("images", 1439, "1439"),
    ("images", 10**400, "images"),
    ("images", 10.0, "10.0"),
    ("images", True, "True"),
    ("validation", -1, "-1"),
    ("validation", 1438, "1437 or fewer"),
    ("validation", 0.2, "0.2"),
    ("hide_classes", (10,), "10"),
    ("hide_classes", (-1,), "-1"),
    ("hide_classes", (True,), "True"),
    ("hide_classes", ("3",), "'3'"),
    ("hide_classes", (3, "a"), "'a'"),
    ("hide_classes", ([3],), "[3]"),
    ("hide_classes", (math.nan,), "nan"),
    ("hide_classes", 3, "3"),
    ("hide_classes", tuple(range(10)), "all 10"),
    ("label_noise", -0.1, "-0.1"),
    ("label_noise", 1.1, "1.1"),
    ("label_noise", math.nan, "nan"),
    ("teacher", "resnet99", "'resnet99'"),
    ("student", "resnet99", "'resnet99'"),
    ("student", None, "None"),
    ("method", "telepathy", "'telepathy'"),
    ("teacher", "cnn-32+cnn-32", "'cnn-32'"),
    ("teacher", "0*cnn-32+mlp-1200x2", "'0'"),
    ("teacher", "nan*cnn-32+mlp-1200x2", "'nan'"),
    ("teacher", "cnn-32+", "''"),
    ("combine", "votes", "'votes'"),
    ("assistants", "mlp-30x2", "'mlp-30x2'"),
    ("assistants", (7,), "7"),
    ("assistants", ("mlp-30x2",) * 6, "6"),
    ("temperature", 0, "0"),
    ("temperature", -4.0, "-4.0"),
    ("temperature", 1e-300, "1e-300"),
    ("temperature", math.nan, "nan"),
    ("temperature", math.inf, "inf"),
    ("temperature", 10**400, "temperature"),
    ("temperature", "4", "'4'"),
    ("alpha", 1.5, "1.5"),
    ("alpha", -1e-9, "-1e-09"),
    ("alpha", math.nan, "nan"),
    ("epochs", 0, "0"),
    ("epochs", 10**9, "1000000000"),
    ("batch_size", 0, "0"),
    ("batch_size", 10**9, "1000000000"),
    ("learning_rate", 0.0, "0.0"),
    ("learning_rate", math.inf, "inf"),
    ("augmentation", "cutmix", "'cutmix'"),
    ("optimizer", "magic", "'magic'"),
    ("schedule", "sometimes", "'sometimes'"),
    ("seed", -1, "-1"),
    ("seed", 2**63, str(2**63)),
]


@pytest.mark.parametrize(("field", "value", "named"), BAD, ids=[f"{field}={str(value)[:20]}" for field, value, _ in BAD])
def test_a_bad_value_is_refused_in_one_sentence_that_names_it(refused, field, value, named):
    role = "" if field == "hide_classes" and "all" in named else field
    with refused(role, named):
        Experiment(**{field: value})
    with refused(role):  # and the same as it comes from a link
        Experiment.from_fields({field: list(value) if isinstance(value, tuple) else value})


UNTRAINED_AT_ALPHA_ZERO = ("hints", "similarity", "distances", "angles", "contrastive", "mutual-2", "mutual-4")


@pytest.mark.parametrize(
    ("choices", "named"),
    [
        ({"assistants": ("resnet99",)}, "assistant 'resnet99'"),
        ({"images": 1000, "validation": 439}, "give 438 or fewer"),
        ({"dataset": "mnist", "validation": 60_000}, "give 59999 or fewer"),
        ({"method": "hints", "student": "linear"}, "'linear'"),
        ({"method": "attention"}, "'mlp-1200x2'"),
        ({"method": "attention", "teacher": "cnn-32"}, "'mlp-30x2'"),
        ({"method": "attention", "teacher": "cnn-32", "student": "cnn-8", "assistants": ("mlp-30x2",)}, "'mlp-30x2'"),
        ({"method": "hints", "teacher": "ensemble-5"}, "'ensemble-5'"),
        ({"method": "similarity", "teacher": "cnn-32+mlp-1200x2"}, "'cnn-32+mlp-1200x2'"),
        ({"method": "angles", "batch_size": 256}, "256"),
        ({"method": "teacher-in-train-mode", "teacher": "mlp-1200x2-overfit"}, "dropout"),
        ({"method": "mutual-2", "assistants": ("mlp-30x2",)}, "assistants"),
        ({"unlabelled": 100}, "images 0 takes all"),
        ({"unlabelled": 1000, "images": 500}, "images 500 of 1,438"),
        ({"unlabelled_from": "noise"}, "give unlabelled"),
        ({"unlabelled": 10, "unlabelled_from": "digits"}, "write it as same"),
        ({"dataset": "cifar10", "images": 200, "unlabelled": 10, "unlabelled_from": "cifar10-jpeg"}, "pictures of 'cifar10' again"),
        ({"dataset": "cifar10-jpeg", "images": 200, "unlabelled": 10, "unlabelled_from": "cifar10"}, "pictures of 'cifar10-jpeg' again"),
        *(
            ({"unlabelled": 10, "images": 100, "method": name}, "label of every image")
            for name in ("decoupled", "label-smoothing", "contrastive")
        ),
        ({"unlabelled": 10, "images": 100, "method": "angles"}, "enlarge"),
        ({"teacher": "self+cnn-32"}, "give it alone"),
        ({"teacher": "self", "method": "mutual-2"}, "no teacher"),
        ({"teacher": "self", "method": "teacher-in-train-mode"}, "dropout"),
        ({"teacher": "self", "method": "attention"}, "'mlp-30x2'"),
        ({"teacher": "self", "assistants": ("mlp-300x2",)}, "'mlp-300x2'"),
        *(({"method": name, "alpha": 0.0}, "give alpha above 0, such as 0.1") for name in UNTRAINED_AT_ALPHA_ZERO),
        ({"method": "attention", "teacher": "cnn-32", "student": "cnn-4", "alpha": 0.0}, "give alpha above 0, such as 0.1"),
    ],
    ids=str,
)
def test_choices_that_do_not_go_together_are_refused_in_one_sentence(refused, choices, named):
    with refused(named):
        Experiment(**choices)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "JSON"),
        ("{", "JSON"),
        ("[]", "list"),
        ("null", "NoneType"),
        ('{"temprature": 4}', "'temprature'"),
        ('{"hide_classes": 3}', "3"),
        ('{"hide_classes": "37"}', "'37'"),
        ('{"temperature": NaN}', "nan"),
        ('{"epochs": 1e9}', "1000000000.0"),
        ("[" * 100_000, "JSON"),
    ],
)
def test_bad_json_is_refused_in_one_sentence(refused, text, named):
    with refused(named):
        Experiment.from_json(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=3))
def test_any_json_is_an_experiment_or_is_refused(fields):
    try:
        Experiment.from_json(json.dumps(fields))
    except ValueError as error:
        assert str(error)
