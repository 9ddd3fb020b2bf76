"""An Experiment is a value: every choice that can change the result of a run, and nothing else."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import re
from dataclasses import dataclass

from distill_core.batch import Method
from distill_core.bounds import check_choice, check_range
from distill_core.compression import parse_compression
from distill_core.data.dataset import NEIGHBOURS
from distill_core.data.datasets import COPIES, DATASETS, SOURCES, is_text, load
from distill_core.data.texts import CHARACTER_WINDOW, LITTLE, MAX_VOCABULARY
from distill_core.data.unlabelled import NOISE, SAME
from distill_core.method_settings import DEFAULTS, SETTINGS, check_settings, configured
from distill_core.models import LANGUAGE, check_image_shape, check_model
from distill_core.objectives import METHODS
from distill_core.precision import PRECISIONS
from distill_core.teachers import SELF, TEACHERS, default_teacher, parse_ensemble, single
from distill_core.text_objectives import TEXT_METHODS, method_of

OPTIMIZERS = ("adam", "sgd")
SCHEDULES = ("one-cycle", "constant")
AUGMENTATIONS = ("none", "fixed", "consistent")
COMBINATIONS = ("probabilities", "logits")
UNLABELLED_FROM = (SAME, NOISE, *DATASETS)
# Raised when the same choices give other numbers than before, so that no old result is returned for them.
RESULT_VERSION, TEXT_RESULT_VERSION = 4, 5  # of images, of texts

# The largest value of each number that the lab accepts, from a page, a link or a hand-made message.
MAX = {
    "images": 1_000_000,
    "unlabelled": 100_000,
    "assistants": 5,
    "epochs": 500,
    "batch_size": 8192,
    "learning_rate": 10.0,
    "temperature": 1000.0,
    "seed": 2**31 - 1,
}

# Not in the key at their defaults, so that earlier results keep theirs.
LATER_FIELDS = ("start_from", "compression", "precision", *SETTINGS)
ON_IMAGES_ONLY = ("hide_classes", "label_noise", "unlabelled", "unlabelled_from", "augmentation", "start_from", "compression")
TEXT_STUDENT = "gpt-48x2"
MIN_TEMPERATURE = 0.001  # below, logits over temperature leave the range of float32


@dataclass(frozen=True)
class Experiment:
    """One race: a student with a teacher, and its baseline without. The defaults are a good run."""

    dataset: str = "digits"
    """The images or the text: a key of SOURCES, the path of a zip with one folder of images for each class, or that of a .txt."""
    images: int = 0
    """The number of training images (the transfer set), drawn by the seed; 0 means all. Of a text it is the number of windows:
    64 characters each, of the little language 32 words."""
    validation: int = 0
    """Training images that are held out, drawn by the seed: whatever is chosen is chosen by the accuracy on them, and the
    test images only report the result. Their labels have the run's label noise, because nobody who trains on noisy labels
    has clean ones to choose by. Of a text it is a stretch of so many windows; the windows on both sides of it are not trained on."""
    hide_classes: tuple[int, ...] = ()
    """Classes without an image in the transfer set."""
    label_noise: float = 0.0
    """The fraction of training labels that are replaced by a wrong one, drawn from the classes that are not hidden."""
    unlabelled: int = 0
    """The number of further images without labels that the student is also distilled on, a part of them in each step. The
    hard loss leaves them out; the baseline, which has no other loss, learns from the labelled images alone."""
    unlabelled_from: str = "same"
    """Where they come from: same (the same set), noise (each pixel drawn uniformly), or another data set, resized."""
    augmentation: str = "none"
    """none; fixed: random shifts and flips for the student, the teacher's outputs stay those of the plain image;
    consistent: the teacher gets the same view as the student (Beyer et al. 2022, figure 2)."""
    teacher: str = ""
    """The trained teacher: a key of TEACHERS, or several joined by +, each with a weight if they differ: 2*cnn-32+mlp-1200x2.
    Empty means the default of the data set, which takes its place: mlp-1200x2 of digits and MNIST, cnn-32 of CIFAR-10.
    self: a network of the student's own size, which the run trains first on the same images with labels only (generation 0
    of Furlanello et al. 2018, section 3.1)."""
    combine: str = "probabilities"
    """What several teachers are averaged by: probabilities or logits."""
    assistants: tuple[str, ...] = ()
    """Teaching assistants, by family and size: each is distilled from the one before it, the student from the last
    (Mirzadeh et al. 2020, figure 1). Assistants of the student's own size are born-again generations (Furlanello et al.
    2018, section 3.1)."""
    student: str = "mlp-30x2"
    """The student's family and size. Of a text, where none is named, it is gpt-48x2."""
    start_from: str = ""
    """The trained network that student and baseline start from, in place of random weights: the name that `starts.keep_start`
    gave it, a hash of its weights. Empty for new weights."""
    compression: str = ""
    """What is done to these weights before the training, such as neurons-50+prune-80. Weights that are pruned stay 0. Bits, as in
    int4, are kept in every step: the loss is that of the rounded weights (quantisation-aware training)."""
    method: str = "soft-targets"
    """The distillation method: a key of METHODS."""
    temperature: float = 4.0
    """T, by which both logits are divided in the soft loss."""
    alpha: float = 0.1
    """The weight of the hard loss; the soft loss has 1 - alpha."""
    on_policy_share: float = 0.5
    """lambda of the methods on-policy: the share of steps on the student's own text, 0 to 1 (Agarwal et al. 2024, section 3)."""
    beta: float = 0.5
    """beta of jensen-shannon, from 0 (the soft loss) to 1 (its reverse) (Agarwal et al. 2024, section 2)."""
    top_k: int = 5
    """k of top-k: how many of the teacher's largest probabilities are learned from, 1 to all (Peng et al. 2024, section 3.2)."""
    rest: str = "one-class"
    """What stands for the other tokens in top-k: one-class (a further class) or left-out (the k are scaled to 1; Peng et al. 2024,
    section 3.2)."""
    epochs: int = 40
    """How many times each image is used."""
    batch_size: int = 32
    """Images in one step. Where neither it nor the learning rate is named, the number of images chooses both (`usual_training`)."""
    learning_rate: float = 0.01
    """The largest value, where the schedule changes it."""
    optimizer: str = "adam"
    """adam, or sgd (with momentum 0.9)."""
    schedule: str = "one-cycle"
    """one-cycle (rises over the first 30 % of the steps, then falls to 0) or constant."""
    precision: str = "float32"
    """The type of the products of matrices in the students' training steps: float32; bfloat16, with sums in float32, where the machine
    has instructions for it; bfloat16-emulated, which rounds in the same places on any machine and is slower than float32. All else is
    float32, tests too."""
    seed: int = 0
    """Sets the initial weights, the choice of images and their order; student and baseline share all three."""

    def __post_init__(self) -> None:
        """Raise `ValueError`, with one sentence, for what cannot be run."""
        self._normalise()
        source = SOURCES.get(self.dataset)
        if source is None and not self.dataset.endswith((".zip", ".txt")):
            raise ValueError(
                f"dataset '{self.dataset}' is not known; choose one of: {', '.join(SOURCES)}, or the path of a .zip of images or of a .txt"
            )
        parse_ensemble(self.teacher)
        check_model(self.student)
        for name in self.assistants:
            check_model(name, role="assistant")
        if len(self.assistants) > MAX["assistants"]:
            raise ValueError(f"{len(self.assistants)} assistants are too many; give {MAX['assistants']} at most")
        shape = source.image_shape if source else (CHARACTER_WINDOW,) if is_text(self.dataset) else None
        for role, name in [("student", self.student), *(("assistant", name) for name in self.assistants)]:
            if shape or name.startswith(LANGUAGE):
                check_image_shape(name, shape or (3, 32, 32), role=role)
        if self.method not in METHODS | TEXT_METHODS:
            check_choice("method", self.method, methods_for(self.dataset))
        for field, choices in CHOICES.items():
            check_choice(field, getattr(self, field), choices)
        check_range("temperature", self.temperature, MIN_TEMPERATURE, MAX["temperature"])
        check_range("alpha", self.alpha, 0, 1)
        check_range("label_noise", self.label_noise, 0, 1)
        check_range("learning_rate", self.learning_rate, 0, MAX["learning_rate"], above=True)
        check_range("epochs", self.epochs, 1, MAX["epochs"])
        check_range("batch_size", self.batch_size, 1, MAX["batch_size"])
        check_range("seed", self.seed, 0, MAX["seed"])
        check_range("images", self.images, 0, source.train if source else MAX["images"])
        check_range("unlabelled", self.unlabelled, 0, MAX["unlabelled"])
        self._check_validation(source.train if source else MAX["images"])
        self._check_unlabelled((source.train if source else MAX["images"]) - self.validation)
        self._check_hidden_classes(len(source.class_names) if source else 100)
        self._check_compression()
        self._check_kind_of_data()
        self._check_method()
        check_settings(self.method, vars(self), classes=len(source.class_names) if source else MAX_VOCABULARY)

    def _check_kind_of_data(self) -> None:
        """Raise `ValueError` for a teacher or a method of the other kind of data, and for what is defined on images only."""
        text = is_text(self.dataset)
        for name in parse_ensemble(self.teacher):
            if TEACHERS[name].model.startswith(LANGUAGE) != text:
                reads = "images" if text else "texts"
                raise ValueError(f"teacher '{name}' reads {reads}, and '{self.dataset}' is none; choose {default_teacher(self.dataset)}")
        if not text:
            if self.method in TEXT_METHODS:
                raise ValueError(f"method '{self.method}' is for texts, and '{self.dataset}' is none; choose soft-targets")
            return
        method = method_of(self.method)
        if self.method in METHODS and (method.compares != "logits" or method.teacher_in_train_mode):
            raise ValueError(f"method '{self.method}' is for images, and '{self.dataset}' is a text; choose soft-targets")
        taught = self.teacher == SELF or self.assistants
        if taught and (method.teacher_writes or method.student_writes or method.compares != "logits"):
            raise ValueError(
                f"method '{self.method}' needs a teacher that is trained; leave assistants out, and choose another than 'self'"
            )
        if method.compares != "logits":
            self._check_half_depth()
        for field in ON_IMAGES_ONLY:
            if getattr(self, field) != type(self).__dataclass_fields__[field].default:
                raise ValueError(
                    f"{field} {getattr(self, field)!r} has a meaning for images only, and '{self.dataset}' is a text; leave it out"
                )

    def _check_half_depth(self) -> None:
        """Raise `ValueError` unless the student has every second block of its teacher."""
        recipe = single(self.teacher)
        width, _, depth = recipe.model.removeprefix("gpt-").partition("x") if recipe else ("", "", "")
        fitting = f"gpt-{width}x{int(depth) // 2}" if depth.isdigit() and int(depth) % 2 == 0 else ""
        if self.student != fitting or not fitting:
            wanted = f"choose {fitting}" if fitting else "choose a teacher with an even number of blocks"
            raise ValueError(f"method '{self.method}' copies every second block of the teacher into the student; {wanted}")

    def _normalise(self) -> None:
        """Bring equal choices to one form, and refuse values of another type."""
        if not isinstance(self.hide_classes, list | tuple | set | frozenset):
            raise ValueError(f"hide_classes {self.hide_classes!r} is not a list; give class numbers, such as [3, 7]")
        for hidden in self.hide_classes:
            if type(hidden) is not int:
                raise ValueError(f"hide_classes {hidden!r} is not a class; give whole numbers from 0, such as [3, 7]")
        object.__setattr__(self, "hide_classes", tuple(sorted(set(self.hide_classes))))
        if not isinstance(self.assistants, list | tuple) or not all(isinstance(name, str) for name in self.assistants):
            raise ValueError(f'assistants {self.assistants!r} is not a list; give names of students, such as ["mlp-300x2"]')
        object.__setattr__(self, "assistants", tuple(self.assistants))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type == "float" and type(value) in (int, float) and not abs(value) > 1e300:
                object.__setattr__(self, field.name, float(value) + 0.0)  # -0.0 becomes 0.0, which has one key
            elif field.type in ("int", "float", "str") and type(value).__name__ != field.type:
                usual = default_teacher("digits") if field.name == "teacher" else field.default
                raise ValueError(f"{field.name} {value!r} is not {_KINDS[field.type]}; give one, such as {usual!r}")
        object.__setattr__(self, "teacher", self.teacher or default_teacher(self.dataset))
        if is_text(self.dataset) and self.student == Experiment.student:  # the default, which no text can have
            object.__setattr__(self, "student", TEXT_STUDENT)

    def _check_validation(self, train: int) -> None:
        """Raise `ValueError` for more validation images than the transfer set leaves of `train` training images."""
        check_range("validation", self.validation, 0, MAX["images"])
        most = train - max(self.images, 1) - (NEIGHBOURS if is_text(self.dataset) else 0)
        examples = "windows" if is_text(self.dataset) else "images"
        if self.validation and self.validation > most:
            raise ValueError(
                f"validation {self.validation} is too many beside {self.images or 'all other'} {examples} to train on, of {train:,} in "
                f"all; give {most} or fewer, or fewer {examples}"
            )

    def _check_hidden_classes(self, classes: int) -> None:
        for hidden in self.hide_classes:
            if not 0 <= hidden < classes:
                raise ValueError(f"hide_classes {hidden!r} is not a class; choose from 0 to {classes - 1}")
        if len(self.hide_classes) >= classes:
            raise ValueError(f"hide_classes hides all {classes} classes; leave at least one")

    def _check_method(self) -> None:
        """Raise `ValueError` for networks that lack what the method compares, and for choices that leave it nothing to learn from."""
        method, teacher = method_of(self.method), single(self.teacher)
        if method.needs_hard_loss and self.alpha == 0:
            raise ValueError(
                f"method '{self.method}' needs the labels: at alpha 0 no output learns which class it stands for; "
                "give alpha above 0, such as 0.1"
            )
        if self.teacher == SELF:
            self._check_own_teacher()
        elif method.compares != "logits" and teacher is None:
            raise ValueError(
                f"method '{self.method}' compares features of one network, and the teacher '{self.teacher}' is several; choose one"
            )
        networks = (*((teacher.model,) if teacher else ()), *self.assistants, self.student)
        for name in networks if method.compares != "logits" else ():
            if name == "linear":
                raise ValueError(f"method '{self.method}' compares hidden layers, and '{name}' has none; choose an mlp or a cnn")
            if method.compares == "maps" and name.startswith("mlp"):
                raise ValueError(f"method '{self.method}' compares feature maps, and '{name}' has none; choose convolutions, such as cnn-8")
        if method.teacher_in_train_mode and (self.assistants or teacher is None or not teacher.dropout):
            raise ValueError(
                f"method '{self.method}' needs one teacher that was trained with dropout; choose mlp-1200x2 or cnn-32, without assistants"
            )
        if method.peers and self.assistants:
            raise ValueError(f"method '{self.method}' has no teacher, so assistants have no effect; leave them out")
        if 0 < method.max_batch < self.batch_size:
            raise ValueError(
                f"method '{self.method}' compares all triples of a batch; batch_size {self.batch_size} needs too much memory for it, "
                f"give {method.max_batch} at most"
            )

    def _check_compression(self) -> None:
        """Raise `ValueError` for a compression that is not known, and for one beside networks that are trained before or next to it."""
        parse_compression(self.compression)
        if self.start_from and not re.fullmatch(r"[0-9a-f]{16}", self.start_from):
            raise ValueError(f"start_from '{self.start_from}' is not the name of a kept network; press Recover on the page Compress")
        if not (self.start_from or self.compression):
            return
        if self.assistants or self.teacher == SELF or method_of(self.method).peers:
            raise ValueError(
                "a student that is compressed, or starts from trained weights, has one trained teacher; leave assistants out, and choose "
                "another teacher than 'self' and another method than mutual learning"
            )

    def _check_unlabelled(self, available: int) -> None:
        """Raise `ValueError` where images without labels cannot be had, or cannot be learned from; `available`: training images."""
        name, method = self.unlabelled_from, method_of(self.method)
        if not self.unlabelled:
            if name != SAME:
                raise ValueError(f"unlabelled_from '{name}' has no effect without such images; give unlabelled, such as 1000")
            return
        if name == self.dataset:
            raise ValueError(f"unlabelled_from '{name}' is the set of the labelled images; write it as {SAME}")
        if name == COPIES.get(self.dataset):
            raise ValueError(
                f"unlabelled_from '{name}' has the pictures of '{self.dataset}' again, labelled and validation images among them; "
                f"write it as {SAME}"
            )
        if name == SAME and not 0 < self.images <= available - self.unlabelled:
            given = f"images {self.images:,} of {available:,}" if self.images else "images 0 takes all of them with their labels, which"
            raise ValueError(f"{given} leaves fewer than {self.unlabelled:,} for unlabelled; give a smaller number of images, such as 200")
        if method.uses_labels:
            raise ValueError(f"method '{self.method}' needs the label of every image; give unlabelled 0, or choose soft-targets")
        if method.max_batch:
            raise ValueError(f"method '{self.method}' compares all triples of a batch, which unlabelled images enlarge; choose distances")

    def _check_own_teacher(self) -> None:
        """Raise `ValueError` where a teacher of the student's own size makes no sense."""
        if method_of(self.method).peers:
            raise ValueError(f"method '{self.method}' has no teacher, so teacher '{SELF}' has no effect; choose soft-targets")
        for name in self.assistants:
            if name != self.student:
                raise ValueError(
                    f"assistant '{name}' would stand between two networks of '{self.student}', as the teacher is '{SELF}'; "
                    "give only assistants of the student's own size, which are further generations, or choose another teacher"
                )

    def to_json(self) -> str:
        """All fields, in their order; `from_json` gives the same Experiment back."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Experiment:
        """The Experiment that `to_json` wrote. Fields that are left out take their defaults; unknown ones are refused."""
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f'this is not an experiment as JSON ({error}); give an object such as {{"temperature": 4}}') from error
        return cls.from_fields(fields)

    @classmethod
    def from_fields(cls, fields: dict) -> Experiment:
        """The same from a dictionary."""
        known = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(fields, dict):
            raise ValueError(f"an experiment is an object of fields, not {type(fields).__name__}; its fields are: {', '.join(known)}")
        for name in fields:
            if name not in known:
                raise ValueError(f"field '{name}' is not known; choose from: {', '.join(known)}")
        hidden = fields.get("hide_classes", ())
        if not isinstance(hidden, list | tuple):
            raise ValueError(f"hide_classes {hidden!r} is not a list; give class numbers, such as [3, 7]")
        return cls(**{**fields, "hide_classes": tuple(hidden)})

    @functools.cached_property
    def key(self) -> str:
        """A hash of the content: the same choices have the same key, on every machine."""
        usual = {name: type(self).__dataclass_fields__[name].default for name in LATER_FIELDS}
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields = {name: value for name, value in own.items() if name not in usual or value != usual[name]}
        version = TEXT_RESULT_VERSION if is_text(self.dataset) else RESULT_VERSION
        content = json.dumps([version, fields], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def baseline(self) -> Experiment:
        """The same student without a teacher: same initial weights, same order of images, labels only."""
        labels_only = {"method": "soft-targets", "alpha": 1.0, "assistants": (), "unlabelled": 0, "unlabelled_from": SAME}
        return dataclasses.replace(self, **labels_only, **DEFAULTS)

    @property
    def configured_method(self) -> Method:
        """Its method, with its own settings such as beta."""
        return configured(self.method, vars(self))

    @property
    def all_epochs(self) -> int:
        """Epochs until the student is trained, those of the networks before it included."""
        return self.epochs * (1 + len(self.earlier))

    @property
    def earlier(self) -> tuple[str, ...]:
        """The networks that the run trains before the student, by family and size: generation 0 of `self`, then the assistants."""
        return (*((self.student,) if self.teacher == SELF else ()), *self.assistants)

    @property
    def before(self) -> Experiment:
        """The experiment of the last of these: an assistant, or generation 0, which is a baseline with other initial weights."""
        if self.assistants:
            return dataclasses.replace(self, student=self.assistants[-1], assistants=self.assistants[:-1])
        return dataclasses.replace(self.baseline, temperature=1.0)


def methods_for(dataset: str) -> list[str]:
    """The names of the methods for a data set: a text has those that compare logits, and its own."""
    if not is_text(dataset):
        return list(METHODS)
    common = [name for name, one in METHODS.items() if one.compares == "logits" and not one.teacher_in_train_mode]
    return [*common, *TEXT_METHODS]


# From so many training images on: the batch size and the learning rate of a run for which neither is named, the fastest of those that
# `tests/bench/batches.py` found to be as accurate as 32 and 0.01. With few images a larger batch costs accuracy: it takes too few steps.
USUAL_TRAINING = ((0, 32, 0.01), (20_000, 64, 0.01))


def usual_training(images: int) -> dict:
    """Batch size and learning rate of a run on so many images, as fields of an Experiment: what pages and command line start from."""
    _, batch_size, learning_rate = max(row for row in USUAL_TRAINING if row[0] <= images)
    return {"batch_size": batch_size, "learning_rate": learning_rate}


def training_after_change(chosen: dict, *, before: int, after: int) -> dict:
    """The usual training of `after` images where the chosen one is that of `before` images; what somebody chose stays."""
    return usual_training(after) if chosen == usual_training(before) else chosen


def usual_of_text(dataset: str) -> dict:
    """A good run on a text, as fields of an Experiment: what pages and command line start from."""
    usual = {"student": TEXT_STUDENT, "temperature": 2.0, "alpha": 0.3, "batch_size": 32, "learning_rate": 0.005}
    if dataset == LITTLE:
        return {**usual, "student": "gpt-32x1", "images": 300, "epochs": 20, "learning_rate": 0.01}
    windows = SOURCES[dataset].train if dataset in SOURCES else len(load(dataset).train_labels)
    return {**usual, "images": 500 if windows > 500 else 0, "epochs": 30}


CHOICES = {
    "combine": COMBINATIONS,
    "augmentation": AUGMENTATIONS,
    "unlabelled_from": UNLABELLED_FROM,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "precision": PRECISIONS,
}
_KINDS = {"int": "a whole number", "float": "a number", "str": "a name"}
