"""The ladder: teacher, student, and the student compressed in several ways, each measured in the same way.

Size, work, latency, accuracy over seeds, agreement with the teacher, calibration, and the accuracy on changed images. A rung
with recovery was trained further for a few epochs, once with the teacher and once with labels only.
"""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from distill_core import analysis, paths, students
from distill_core.compression import NONE, Compression, cost_of, latency, parse_compression
from distill_core.data import datasets
from distill_core.data.dataset import Dataset, seeded
from distill_core.experiment import Experiment
from distill_core.export.files import safetensors
from distill_core.export.onnx_model import OnnxModel, onnx, onnx_int8
from distill_core.export.trained import Trained, of_teacher
from distill_core.starts import keep_start
from distill_core.statistics import accuracy_interval, format_percent, mean_interval, paired_difference
from distill_core.studies.comparison import machine
from distill_core.training.shards import Shards

SHIPPED = Path(__file__).with_name("ladder.json")
RECOVERY_EPOCHS = 3
BATCHES = (1, 64)
BUSY = 1.5  # a load average; measuring alone is 1
LOSSY = ("prune-80", "neurons-50", "rank-30", "int4", "neurons-50+prune-50+int4")  # after which training is worth its time
RUNGS = ("prune-50", "prune-80", "neurons-50", "rank-30", "int8", "int4", "neurons-50+prune-50+int4")


@dataclass(frozen=True)
class Setting:
    """Which student is trained, from which teacher, and which compressions both get.

    `rungs`: of the student; `of_teacher`: of the teacher itself. `recover`: those after which training goes on, for
    `recovery_epochs`, each by its name. `aware`: the bits in which further students are trained from random weights.
    """

    title: str
    experiment: Experiment
    rungs: tuple[str, ...] = RUNGS
    of_teacher: tuple[str, ...] = ("int8", "int4", "prune-80", "prune-90+int4")
    recover: tuple[str, ...] = LOSSY
    aware: tuple[int, ...] = (4, 2)
    recovery_epochs: int = RECOVERY_EPOCHS
    allowed: float = 0.5  # points that a small student may lose against the teacher


_WHOLE = {"epochs": 20, "batch_size": 256}
SETTINGS = {
    "mnist": Setting("MNIST, mlp-30x2", Experiment(dataset="mnist", teacher="mlp-1200x2", student="mlp-30x2", **_WHOLE)),
    "mnist-cnn": Setting(
        "MNIST, cnn-8",
        Experiment(dataset="mnist", teacher="mlp-1200x2", student="cnn-8", epochs=5, batch_size=256),
        rungs=("int8", "int4"), recover=(), aware=(),
    ),
    "mnist-128": Setting("MNIST, mlp-128x2", Experiment(dataset="mnist", teacher="mlp-1200x2", student="mlp-128x2", **_WHOLE)),
    "cifar10-jpeg": Setting(
        "CIFAR-10 (JPEG), cnn-16",
        Experiment(dataset="cifar10-jpeg", teacher="cnn-32", student="cnn-16", epochs=10, batch_size=256),
        of_teacher=("int8", "int4", "prune-50+int4", "prune-70+int4", "rank-50", "neurons-25", "neurons-50", "neurons-50+int4"),
        recover=("teacher, neurons-50", "teacher, neurons-50+int4"), aware=(), recovery_epochs=1, allowed=3.0,
    ),
}  # fmt: skip


def ladder(base: Trained, *, experiment: Experiment | None, seeds: int, device: str = "auto") -> Iterator[dict]:
    """The rungs of one network: itself, and each compression of it; with `experiment` also with recovery, over `seeds` seeds.

    Raises nothing for a compression that the network cannot have: its rung has the reason as `refused`.
    """
    reference = base.logits(base.dataset.test_images)
    yield rung("as trained", [base], reference)
    for text in RUNGS:
        try:
            yield rung(text, [base.compressed(parse_compression(text))], reference)
            if experiment is not None and text in LOSSY:
                again = [replace(recovery(experiment, base, text, epochs=RECOVERY_EPOCHS), seed=seed) for seed in range(seeds)]
                found, _ = train(again, base.dataset, roles=tuple(HOW), device=device)
                yield from recovered(text, found, reference)
        except ValueError as error:
            yield {"rung": text, "refused": str(error)}


def recovery(experiment: Experiment, base: Trained, text: str, *, epochs: int) -> Experiment:
    """A few more epochs of an experiment, from this network after a compression."""
    return replace(experiment, student=base.model, start_from=keep_start(base.network), compression=text, epochs=epochs)


def recovered(text: str, found: dict[str, list[Trained]], reference: Tensor) -> Iterator[dict]:
    """The rungs of a compression after a few epochs with the teacher, and with labels only, and their paired difference."""
    student, baseline = (rung(recovered_name(text, role), found[role], reference) for role in HOW)
    yield {**student, "over_labels_only": over_labels_only(student, baseline)}
    yield baseline


def over_labels_only(student: dict, baseline: dict) -> dict[str, float]:
    """By how many points recovery with the teacher is above that with labels only: the paired difference over the seeds."""
    difference = paired_difference(student["accuracies"], baseline["accuracies"], test_images=student["test_images"])
    return dict(zip(("difference", "low", "high"), map(float, difference), strict=True))


HOW = {"student": "with the teacher", "baseline": "with labels only"}
AWARE = ", quantisation-aware"
OF_TEACHER = "teacher, "
AT_ONCE = 10  # perceptrons that train as one cohort; convolutions of ten networks at once take longer than one after another


def recovered_name(text: str, role: str) -> str:
    """The name of a rung with recovery."""
    return f"{text}, recovered {HOW[role]}"


@torch.no_grad()
def rung(name: str, members: Sequence[Trained], reference: Tensor) -> dict:
    """One rung: what the networks of several seeds have in common, and the means of what differs.

    `reference`: the test logits of the network with which the agreement is measured. Latency is that of the first network.
    """
    first, dataset = members[0], members[0].dataset
    sparse = bool(first.compression.prune)
    work = cost_of(first.network, image_shape=dataset.image_shape, sparse=sparse)
    logits = [one.logits(dataset.test_images) for one in members]
    accuracies = [100 * analysis.accuracy(own, dataset.test_labels) for own in logits]
    interval = _interval(accuracies, len(dataset.test_labels))
    return {
        "rung": name,
        "parameters": work.parameters,
        "bytes": len(safetensors(replace(first, experiment=None))),
        "flops": work.flops,
        "latency_ms": latencies(first),
        "test_accuracy": interval[0],
        "low": interval[1],
        "high": interval[2],
        "accuracies": [round(value, 4) for value in accuracies],
        "test_images": len(dataset.test_labels),
        "agreement": sum(analysis.agreement(own, reference) for own in logits) / len(logits),
        "ece": sum(analysis.expected_calibration_error(own, dataset.test_labels) for own in logits) / len(logits),
        "robustness": {change: sum(values) / len(members) for change, values in robustness(members).items()},
    }


def _interval(accuracies: Sequence[float], images: int) -> tuple[float, float, float]:
    """Mean accuracy as a fraction with its interval: over seeds that differ, else over the test images."""
    if len(set(accuracies)) > 1:
        return tuple(value / 100 for value in mean_interval(accuracies, within=(0, 100)))
    correct = round(accuracies[0] * images / 100)
    return (correct / images, *accuracy_interval(correct, images))


def latencies(trained: Trained) -> dict:
    """Milliseconds of a batch of 1 and of 64 images, by torch and by ONNX Runtime, on one thread each; after a warm-up.

    Of 8 bits ONNX Runtime has kernels; torch has none here, and its time is that of rounded float32.
    """
    network, found = trained.deployable(), {"torch": {}, "onnx": {}}
    model = OnnxModel(onnx_int8(trained) if trained.compression == Compression(bits=8) else onnx(trained))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for batch in BATCHES:
                images = trained.dataset.test_images[:batch].cpu().contiguous()
                pixels = images.numpy()
                found["torch"][str(batch)] = latency(lambda images=images: network(images))
                found["onnx"][str(batch)] = latency(lambda pixels=pixels: model.logits(pixels))
    finally:
        torch.set_num_threads(before)
    return found


# --- changed images -------------------------------------------------------------------------------------------------


CHANGED_IMAGES = 2000


def robustness(members: Sequence[Trained]) -> dict[str, list[float]]:
    """The accuracy of each network on changed test images, the first 2,000 of them."""
    dataset = members[0].dataset
    chosen, labels = dataset.test_images[:CHANGED_IMAGES], dataset.test_labels[:CHANGED_IMAGES]
    changed = {name: change(chosen, dataset) for name, change in CHANGES.items()}
    return {name: [analysis.accuracy(one.logits(images), labels) for one in members] for name, images in changed.items()}


def noise(images: Tensor, _: Dataset) -> Tensor:
    """Normal noise with a standard deviation of 50 of 255."""
    drawn = torch.randn(images.shape, generator=seeded(0, "noise"))
    return (images.float() + 50 * drawn.to(images.device)).clamp(0, 255).round().to(torch.uint8)


def blur(images: Tensor, _: Dataset) -> Tensor:
    """The mean of 3 x 3 pixels."""
    return F.avg_pool2d(images.float(), 3, stride=1, padding=1, count_include_pad=False).round().to(torch.uint8)


def shift(images: Tensor, _: Dataset) -> Tensor:
    """Two pixels to the right and down; the border repeats."""
    return F.pad(images.float(), (2, 0, 2, 0), mode="replicate")[..., : images.shape[-2], : images.shape[-1]].to(torch.uint8)


def contrast(images: Tensor, _: Dataset) -> Tensor:
    """Half the contrast, around the mean of each image."""
    mean = images.float().mean(dim=(1, 2, 3), keepdim=True)
    return (mean + 0.5 * (images.float() - mean)).round().to(torch.uint8)


CHANGES = {"noise": noise, "blur": blur, "shift": shift, "contrast": contrast}


# --- the ladders that are kept --------------------------------------------------------------------------------------


def measure(setting: str, *, seeds: int, before: Sequence[dict] = (), device: str = "auto", latency_only: bool = False) -> Iterator[dict]:
    """The ladder of a setting; rungs that are in `before` with as many seeds are not measured again.

    `latency_only`: of those rungs, and of no other, the latencies are measured again.
    """
    done = {row["rung"]: row for row in before if row["setting"] == setting and row["seeds"] == seeds}
    networks = Networks(SETTINGS[setting], seeds=seeds, device=device)
    reference = networks.teacher.logits(networks.dataset.test_images)
    for name in names_of(networks.entry):
        if latency_only and name in done:
            yield {**done[name], "latency_ms": latencies(networks.of(name)[0][0]), "load": _load()}
        elif not latency_only and name not in done:
            members, trained_for = networks.of(name)
            started = time.process_time()
            found = rung(name, members, reference)
            seconds = round(trained_for + time.process_time() - started, 1)
            yield {"setting": setting, "seeds": seeds, "cpu_seconds": seconds, **found, "load": _load()}


def _load() -> float | None:
    """The load average of the last minute, where the system has one."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def was_busy(rows: Sequence[dict]) -> bool:
    """Whether latencies were measured while the machine did more than this, or it is not known."""
    return any((row.get("load") or BUSY) >= BUSY for row in rows)


class Networks:
    """The networks of a setting's rungs, trained when they are asked for: teacher, the student of each seed, and what is made of it."""

    def __init__(self, entry: Setting, *, seeds: int, device: str = "auto") -> None:
        self.entry, self.device = entry, device
        self.dataset = datasets.load(entry.experiment.dataset)
        self.teacher = of_teacher(self.dataset, entry.experiment.teacher)
        self.experiments = [replace(entry.experiment, seed=seed) for seed in range(seeds)]
        self._students: list[Trained] = []

    def of(self, name: str) -> tuple[list[Trained], float]:
        """The networks of a rung, one for each seed, and the processor seconds of their training, as far as no other rung has them."""
        if name == "teacher":
            return [self.teacher], 0.0
        if name == "student":
            return self._train()
        if name.endswith(AWARE):
            return self._train(name.removesuffix(AWARE))
        bases, text = self._bases(name)
        for role in HOW:
            if text.endswith(recovered_name("", role)):
                return self._recover(bases, text.removesuffix(recovered_name("", role)), role)
        return [one.compressed(parse_compression(text)) for one in dict.fromkeys(bases)], 0.0

    def _bases(self, name: str) -> tuple[list[Trained], str]:
        """What a rung is made of, for each seed, and the rest of its name: the teacher, or the trained students."""
        if name.startswith(OF_TEACHER):
            return [self.teacher] * len(self.experiments), name.removeprefix(OF_TEACHER)
        if not self._students:
            self._students, _ = self._train()
        return self._students, name

    def _train(self, compression: str = "") -> tuple[list[Trained], float]:
        """The students, trained from random weights, those of a compression with its rounding in every step."""
        found, seconds = train([replace(one, compression=compression) for one in self.experiments], self.dataset, device=self.device)
        return found["student"], seconds

    def _recover(self, bases: Sequence[Trained], text: str, role: str) -> tuple[list[Trained], float]:
        """Students and baselines train at once, so that each has half of the seconds."""
        pairs = zip(self.experiments, bases, strict=True)
        again = [replace(recovery(one, trained, text, epochs=self.entry.recovery_epochs), seed=one.seed) for one, trained in pairs]
        found, seconds = train(again, self.dataset, roles=tuple(HOW), device=self.device)
        return found[role], seconds / len(HOW)


def train(
    experiments: Sequence[Experiment], dataset: Dataset, *, roles: Sequence[str] = ("student",), device: str
) -> tuple[dict[str, list[Trained]], float]:
    """The networks of each role, seed by seed, and the processor seconds of their training; from the cache where they are there.

    They are kept a few experiments at a time: an interrupted training loses no more than these.
    """
    found: dict[str, list[Trained]] = {role: [] for role in roles}
    seconds, at_once = 0.0, AT_ONCE if experiments[0].student.startswith("mlp") else 1
    for first in range(0, len(experiments), at_once):
        group = experiments[first : first + at_once]
        files = [paths.cache("ladder") / f"{one.key}-{'-'.join(roles)}.safetensors" for one in group]
        if not all(file.exists() for file in files):
            _train_and_keep(group, files, roles=roles, device=device)
        for one, file in zip(group, files, strict=True):
            with safe_open(file, framework="pt") as kept:
                weights = {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118 (it is no dictionary)
                seconds += float(kept.metadata()["cpu_seconds"])
            for role in roles:
                found[role].append(_network(one, weights, role, dataset))
    return found, seconds


def _train_and_keep(experiments: Sequence[Experiment], files: Sequence[Path], *, roles: Sequence[str], device: str) -> None:
    """Train these experiments at once, and write the weights of each to its file."""
    started = time.process_time()
    shards = Shards(experiments, device=device, roles=tuple(roles), quiet=True)
    for _ in shards.steps():
        pass
    seconds = (time.process_time() - started) / len(experiments)
    for shard, group in zip(shards.shards, shards.groups, strict=True):
        for index in group:
            weights = {}
            for role, place in zip(roles, shard.pair(experiments[index]), strict=True):
                weights |= {f"{role}.{name}": value.clone() for name, value in shard.member(place).state_dict().items()}
            weights = {name: value.cpu().contiguous() for name, value in weights.items()}
            paths.write_atomically(files[index], save(weights, metadata={"cpu_seconds": str(seconds)}))


def _network(experiment: Experiment, weights: dict[str, Tensor], role: str, dataset: Dataset) -> Trained:
    network = students.empty(experiment, dataset)
    network.load_state_dict({name.removeprefix(f"{role}."): value for name, value in weights.items() if name.startswith(f"{role}.")})
    chosen, name = parse_compression(experiment.compression), experiment.student
    return Trained(name, name, "student", network.eval().requires_grad_(False), dataset, chosen, experiment)


def names_of(entry: Setting) -> list[str]:
    """The rungs of a setting, in their order."""
    of_student = dict.fromkeys((*entry.rungs, *(f"int{bits}" for bits in entry.aware)))
    names = []
    for name in ("teacher", *(f"{OF_TEACHER}{text}" for text in entry.of_teacher), "student", *of_student):
        names += [name, *(recovered_name(name, role) for role in HOW if name in entry.recover)]
    return [*names, *(f"int{bits}{AWARE}" for bits in entry.aware)]


def findings(rows: Sequence[dict], *, allowed: float) -> list[str]:
    """What a ladder shows, in sentences: the smallest rung close to the teacher, and the claim "4 to 10 times smaller, under 5 % lost"."""
    teacher, *others = rows

    def times_smaller(row: dict) -> str:
        return f"{row['bytes'] / 1000:,.1f} kB, {teacher['bytes'] / row['bytes']:,.1f} times smaller"

    def lost(row: dict) -> float:
        return round(100 * (teacher["test_accuracy"] - row["test_accuracy"]), 6)

    close = min((row for row in others if lost(row) < allowed), key=lambda row: row["bytes"], default=None)
    best = min(others, key=lost)
    of_teacher = f"of the teacher ({format_percent(teacher['test_accuracy'])}, {teacher['bytes'] / 1000:,.1f} kB)"
    first, of = (
        (f"Within {allowed:g} points", "the smallest rung is") if close else (f"None is within {allowed:g} points", "the closest rung is")
    )
    one = close or best
    found = f"{first} {of_teacher}, {of} {one['rung']}: {times_smaller(one)}, {lost(one):.2f} points lost."
    many = [row for row in others if teacher["bytes"] >= 4 * row["bytes"]]
    few = sum(lost(row) < 5 for row in many)
    return [found, f"Of {len(many)} rungs that are at least 4 times smaller than the teacher, {few} lose less than 5 points."]


def unfinished() -> Path:
    """Where rungs are kept that do not go into the repository: in `DISTILL_HOME`."""
    return paths.cache("ladder") / "ladder.json"


def kept(file: Path | None = None) -> dict:
    """The rungs of a file, the shipped one by default: `{"rows": [...], "measured": {setting: {...}}}`; empty without one."""
    file = file or SHIPPED
    return paths.read_json(file, without={"rows": [], "measured": {}})


def keep(row: dict, *, file: Path, command: str) -> None:
    """Write one rung, at once, in place of an earlier one, with the command, date, machine and processor seconds of its setting."""
    found, setting = copy.deepcopy(kept(file)), row["setting"]
    rows = {(one["setting"], one["rung"]): one for one in (*found["rows"], row)}
    places = {name: place for place, name in enumerate(names_of(SETTINGS[setting]))}
    found["rows"] = sorted(rows.values(), key=lambda one: places.get(one["rung"], -1) if one["setting"] == setting else -1)
    seconds = round(sum(one["cpu_seconds"] for one in found["rows"] if one["setting"] == setting))
    found["measured"][setting] = {"command": command, "cpu_seconds": seconds, "date": time.strftime("%Y-%m-%d"), "machine": machine()}
    paths.write_atomically(file, (json.dumps(found, indent=1) + "\n").encode())


def of_one(trained: Trained, *, seeds: int, device: str = "auto") -> Iterator[dict]:
    """The ladder of any network: recovery is there for the student of a run, which has an experiment to go on with."""
    trained.check_images("compressed")
    experiment = trained.experiment if trained.compression == NONE else None
    yield from ladder(trained, experiment=experiment, seeds=seeds, device=device)
