"""STUDIES: experiments of the literature that are more than one race, each with its arms, its claims and its figure.

`python -m distill_core preset NAME --seeds N` runs one of them; `--keep` replaces the shipped numbers by those of the run.
Each is smaller than its source's experiment, and `notes` states how.
"""

from __future__ import annotations

from dataclasses import replace

from distill_core.experiment import Experiment
from distill_core.studies.hinton import HINTON
from distill_core.studies.study import ALONE, Claim, Point, Runs, Study, accuracy, difference, points_of, values

# --- fidelity -------------------------------------------------------------------------------------------------------

_FIDELITY = Experiment(student="mlp-1200x2", epochs=30, batch_size=64, learning_rate=0.001)
_FIDELITY_ARMS = {ALONE: {"alpha": 1.0}, "T = 1": {"temperature": 1.0, "alpha": 0.0}, "T = 4": {"temperature": 4.0, "alpha": 0.0}}


def judge_fidelity(runs: Runs) -> list[Claim]:
    """Whether a student of the teacher's own architecture matches it, by top class and by whole distribution."""
    kl, nll = ({arm: values(runs, arm, name) for arm in runs} for name in ("teacher_kl", "nll"))
    agreement = {arm: 100 * values(runs, arm, "agreement") for arm in runs}
    remains, ours, few = "a surprisingly large discrepancy remains", "not in the abstract", "the test set is too small for a difference"
    return [
        Claim("Top classes that differ from the teacher's, T = 4", remains, tuple(100 - agreement["T = 4"]), "% of images", 1, few),
        Claim("KL from teacher to student, T = 4", remains, tuple(kl["T = 4"]), "nats"),
        Claim("KL from teacher to a student of labels only", ours, tuple(kl[ALONE]), "nats"),
        Claim("Soft targets (T = 4) reduce the KL", ours, tuple(kl[ALONE] - kl["T = 4"]), "nats less", 1, few),
        Claim("Soft targets (T = 4) raise the agreement", ours, tuple(agreement["T = 4"] - agreement[ALONE]), "points", 1, few),
        Claim("Soft targets (T = 4) reduce the NLL on test labels", ours, tuple(nll[ALONE] - nll["T = 4"]), "nats less", 1, few),
        Claim("T = 1 against T = 4: KL", ours, tuple(kl["T = 1"] - kl["T = 4"]), "nats"),
    ]


def points_fidelity(runs: Runs) -> list[Point]:
    """Two measures of fidelity and the NLL, in nats: agreement would need an axis of its own."""
    names = {"KL(teacher || student)": "teacher_kl", "NLL": "nll"}
    return [point for series, name in names.items() for point in points_of(series, {arm: values(runs, arm, name) for arm in runs})]


# --- capacity gap ---------------------------------------------------------------------------------------------------

_GAP = Experiment(dataset="mnist", images=10_000, student="mlp-10x2", temperature=4.0, epochs=20, batch_size=64)
TEACHERS_BY_SIZE = ("mlp-30x2", "mlp-100x2", "mlp-300x2", "mlp-1200x2")
EARLY, ASSISTED = "mlp-1200x2, stopped early", "mlp-1200x2, assistant mlp-100x2"


def judge_gap(runs: Runs) -> list[Claim]:
    """Whether the largest teacher is a worse one, and whether an early stop or an assistant repairs it."""
    largest, middle = "mlp-1200x2", "mlp-100x2"
    same = "on MNIST all these teachers are nearly perfect, so their soft targets differ little"
    return [
        difference(runs, largest, ALONE, "The largest teacher helps at all", paper="not in the abstracts"),
        difference(
            runs, largest, middle, "A larger teacher is a worse teacher: 1,200 against 100 units", sign=-1, why_not=same,
            paper="larger models do not often make better teachers (Cho and Hariharan 2019, abstract)",
        ),
        difference(
            runs, EARLY, largest, "A teacher stopped early is a better one", why_not=same,
            paper="the effect can be mitigated by stopping the teacher's training early (Cho and Hariharan 2019, abstract)",
        ),
        difference(
            runs, ASSISTED, largest, "An assistant of middle size helps", why_not=same,
            paper="helps (Mirzadeh et al. 2020, abstract); sequences of distillation are ineffective (Cho and Hariharan 2019, abstract)",
        ),
    ]  # fmt: skip


def points_gap(runs: Runs) -> list[Point]:
    """The student's test accuracy under each teacher."""
    return points_of("student of ten units", {arm: accuracy(runs, arm) for arm in runs})


# --- fixed or consistent teacher ------------------------------------------------------------------------------------

_PATIENCE = Experiment(dataset="mnist", images=500, student="mlp-100x2", temperature=4.0, alpha=0.0, batch_size=50, learning_rate=0.003)
EPOCHS = (10, 40, 160)
TEACHINGS = {"labels only": {"augmentation": "fixed", "alpha": 1.0}, **{name: {"augmentation": name} for name in ("fixed", "consistent")}}


def _for(teaching: str, epochs: int) -> str:
    return f"{teaching}, {epochs} epochs"


def judge_patience(runs: Runs) -> list[Claim]:
    """Whether a consistent teacher is better than a fixed one after long training, and whether patience pays."""
    short, long = EPOCHS[0], EPOCHS[-1]
    lead = {e: accuracy(runs, _for("consistent", e)) - accuracy(runs, _for("fixed", e)) for e in (short, long)}
    return [
        difference(
            runs, _for("consistent", long), _for("fixed", long), f"Consistent against fixed teacher after {long} epochs",
            paper="a fixed teacher is clearly worse (section 3.1.1)",
        ),
        Claim(
            f"This lead grows from {short} to {long} epochs", "a fixed teacher overfits, a consistent one improves (section 3.2)",
            tuple(lead[long] - lead[short]), "points", 1,
            "the lead is there after few epochs already",
        ),
        difference(
            runs, _for("consistent", long), _for("consistent", EPOCHS[1]), f"Consistent teacher: {long} against {EPOCHS[1]} epochs",
            paper="long schedules keep improving (section 3.2)",
        ),
        difference(
            runs, _for("consistent", long), _for("labels only", long), f"Consistent teacher against labels only after {long} epochs",
            paper="better (section 3.1.2)",
        ),
    ]  # fmt: skip


def points_patience(runs: Runs) -> list[Point]:
    """Test accuracy against epochs, a curve a kind of teaching."""
    measured = {teaching: {str(e): accuracy(runs, _for(teaching, e)) for e in EPOCHS} for teaching in TEACHINGS}
    return [point for teaching, by_epochs in measured.items() for point in points_of(teaching, by_epochs)]


# --- generations ----------------------------------------------------------------------------------------------------

_SELF = Experiment(dataset="mnist", images=1000, teacher="self", student="mlp-30x2", temperature=4.0, alpha=0.1, epochs=30)
SETTINGS = {"1,000 images": {}, "5,000 images, 40 % wrong labels": {"images": 5000, "label_noise": 0.4, "epochs": 15, "batch_size": 64}}
GENERATIONS = (0, 1, 2, 3)


def _generation(setting: str, generation: int) -> str:
    return f"{setting}, generation {generation}"


def _born_again(generation: int, changes: dict) -> Experiment:
    """The student of one generation: generation 0 learns from labels alone, each further one also from the one before it."""
    own = {"teacher": "mlp-1200x2", "alpha": 1.0} if generation == 0 else {"assistants": ("mlp-30x2",) * (generation - 1)}
    return replace(_SELF, **changes, **own)


def judge_generations(runs: Runs) -> list[Claim]:
    """Whether students are better than their teachers of the same architecture, generation by generation."""
    outperform, ours = "students outperform their teachers", "not in the abstract"
    little, first = "a network this small has little to gain", "the gain comes with the first generation"
    pairs = ((1, 0, outperform, little), (2, 1, ours, first), (3, 1, ours, first))
    return [
        difference(
            runs, _generation(setting, one), _generation(setting, before), f"{setting}: generation {one} against {before}",
            paper=paper, why_not=why_not,
        )
        for setting in SETTINGS
        for one, before, paper, why_not in pairs
    ]  # fmt: skip


def points_generations(runs: Runs) -> list[Point]:
    """Test accuracy against generation, relative to generation 0 of the same seed, a curve a setting."""
    relative = {
        setting: {str(g): accuracy(runs, _generation(setting, g)) - accuracy(runs, _generation(setting, 0)) for g in GENERATIONS}
        for setting in SETTINGS
    }
    return [point for setting, measured in relative.items() for point in points_of(setting, measured)]


# --- all of them ----------------------------------------------------------------------------------------------------

STUDIES = {
    **HINTON,
    "fidelity": Study(
        title="Does the student match its teacher?",
        question="A student of the teacher's own architecture could copy it exactly. Does it?",
        source="Stanton et al. 2021, *Does Knowledge Distillation Really Work?*, abstract",
        paper="A surprisingly large discrepancy often remains between the predictive distributions of teacher and student, even where the "
        "student has the capacity to match the teacher perfectly.",
        arms={name: replace(_FIDELITY, **changes) for name, changes in _FIDELITY_ARMS.items()},
        judge=judge_fidelity,
        points=points_fidelity,
        axes=("student", "nats"),
        live={"A student of 300 units": replace(_FIDELITY, student="mlp-300x2", alpha=0.0)},
        notes="Digits, all 1,438 images, 30 epochs; teacher and student are both mlp-1200x2. The paper uses larger networks and data sets.",
    ),
    "capacity-gap": Study(
        title="Capacity gap: can a teacher be too large?",
        question="A student with ten units a layer learns from teachers of 30 to 1,200 units, from one that was stopped early, and from an "
        "assistant. Which is the best teacher?",
        source="Cho and Hariharan 2019, *On the Efficacy of Knowledge Distillation*, abstract; Mirzadeh et al. 2020, *Improved Knowledge "
        "Distillation via Teacher Assistant*, abstract",
        paper="Larger models do not often make better teachers; to stop the teacher's training early mitigates this, and sequences of "
        "distillation are ineffective (Cho and Hariharan 2019, abstract). An assistant of middle size bridges the gap (Mirzadeh et al. "
        "2020, abstract).",
        arms={
            ALONE: replace(_GAP, alpha=1.0),
            **{name: replace(_GAP, teacher=name) for name in TEACHERS_BY_SIZE},
            EARLY: replace(_GAP, teacher="mlp-1200x2-early"),
            ASSISTED: replace(_GAP, assistants=("mlp-100x2",)),
        },
        judge=judge_gap,
        points=points_gap,
        axes=("teacher", "test accuracy (%)"),
        live={
            "The largest teacher": replace(_GAP, images=5000),
            "With an assistant": replace(_GAP, images=5000, assistants=("mlp-100x2",)),
        },
        notes="MNIST, 10,000 images, 20 epochs, T = 4, alpha 0.1. The papers use convolutional networks on CIFAR and ImageNet.",
    ),
    "patience": Study(
        title="A good teacher is patient and consistent",
        question="The images are shifted at random. Should the teacher see the same view as the student, and does long training pay?",
        source="Beyer et al. 2022, *Knowledge distillation: A good teacher is patient and consistent*, sections 3.1 and 3.2",
        paper="Teacher and student must see the same view of an image (section 3.1.1), and training must be long (section 3.1.2). A "
        "teacher with fixed outputs is worse, and overfits in long training (section 3.2).",
        arms={
            _for(teaching, epochs): replace(_PATIENCE, epochs=epochs, **changes)
            for teaching, changes in TEACHINGS.items()
            for epochs in EPOCHS
        },
        judge=judge_patience,
        points=points_patience,
        axes=("epochs", "test accuracy (%)"),
        live={f"{name.capitalize()} teacher": replace(_PATIENCE, epochs=40, augmentation=name) for name in ("fixed", "consistent")},
        notes="500 images of MNIST, random shifts of up to two pixels, 10 to 160 epochs. The paper uses larger networks and data sets.",
    ),
    "generations": Study(
        title="Born-again networks: self-distillation over generations",
        question="A network teaches another of its own architecture, which teaches the next. Does each generation gain?",
        source="Furlanello et al. 2018, *Born-Again Neural Networks*, abstract",
        paper="Students that are parameterised identically to their teachers outperform them significantly (DenseNets on CIFAR-10 and "
        "CIFAR-100, and language models).",
        arms={_generation(setting, g): _born_again(g, changes) for setting, changes in SETTINGS.items() for g in GENERATIONS},
        judge=judge_generations,
        points=points_generations,
        axes=("generation", "test accuracy, relative to generation 0 (points)"),
        live={f"Generation {g}": _born_again(g, {}) for g in (1, 3)},
        notes="Two hidden layers of 30 units, T = 4, alpha 0.1. Generation 0 learns from labels alone, on the same images. The paper's "
        "networks are far larger.",
    ),
}
