"""The ladder: teacher, student, and the student compressed in several ways, each measured in the same way.

Size, work, latency, accuracy over seeds, agreement with the teacher, calibration, and the accuracy on changed images. A rung
with recovery was trained further for a few epochs, once with the teacher and once with labels only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
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
from distill_core.statistics import accuracy_interval, mean_interval, paired_difference
from distill_core.studies.comparison import machine
from distill_core.training.shards import Shards

SHIPPED = Path(__file__).with_name("ladder.json")
RECOVERY_EPOCHS = 3
BATCHES = (1, 64)
LOSSY = ("prune-80", "neurons-50", "rank-30", "int4", "neurons-50+prune-50+int4")  # after which training is worth its time
RUNGS = ("prune-50", "prune-80", "neurons-50", "rank-30", "int8", "int4", "neurons-50+prune-50+int4")


@dataclass(frozen=True)
class Setting:
    """Which student is trained, from which teacher, and which compressions it gets."""

    title: str
    experiment: Experiment
    rungs: tuple[str, ...] = RUNGS


_WHOLE = {"epochs": 20, "batch_size": 256}
SETTINGS = {
    "mnist": Setting("MNIST", Experiment(dataset="mnist", teacher="mlp-1200x2", student="mlp-30x2", **_WHOLE)),
    "mnist-128": Setting("MNIST, mlp-128x2", Experiment(dataset="mnist", teacher="mlp-1200x2", student="mlp-128x2", **_WHOLE)),
    "cifar10-jpeg": Setting(
        "CIFAR-10 (JPEG)",
        Experiment(dataset="cifar10-jpeg", teacher="cnn-32", student="cnn-16", epochs=10, batch_size=256, augmentation="consistent"),
    ),
}


def ladder(base: Trained, *, experiment: Experiment | None, seeds: int, device: str = "auto") -> Iterator[dict]:
    """The rungs of one network: itself, and each compression of it; with `experiment` also with recovery, over `seeds` seeds.

    Raises nothing for a compression that the network cannot have: its rung has the reason as `refused`.
    """
    yield rung("as trained", [base], base)
    for text in RUNGS:
        chosen = parse_compression(text)
        try:
            yield rung(text, [base.compressed(chosen)], base)
            if experiment is not None and text in LOSSY:
                start = recovery(experiment, base, text)
                yield from recovered(start, base, seeds=seeds, device=device)
        except ValueError as error:
            yield {"rung": text, "refused": str(error)}


def recovery(experiment: Experiment, base: Trained, text: str) -> Experiment:
    """A few more epochs of an experiment, from this network after a compression."""
    return replace(experiment, student=base.model, start_from=keep_start(base.network), compression=text, epochs=RECOVERY_EPOCHS)


def recovered(experiment: Experiment, base: Trained, *, seeds: int, device: str = "auto") -> Iterator[dict]:
    """The rungs of a compression after a few epochs with the teacher, and with labels only, and their paired difference."""
    found: dict[str, list[Trained]] = {role: [] for role in HOW}
    for seed in range(seeds):
        for role, network in zip(HOW, _train_both(replace(experiment, seed=seed), base, device=device), strict=True):
            found[role].append(network)
    student, baseline = (rung(f"{experiment.compression}, recovered {how}", found[role], base) for role, how in HOW.items())
    difference = paired_difference(student["accuracies"], baseline["accuracies"], test_images=len(base.dataset.test_labels))
    student["over_labels_only"] = dict(zip(("difference", "low", "high"), map(float, difference), strict=True))
    yield student
    yield baseline


HOW = {"student": "with the teacher", "baseline": "with labels only"}


@torch.no_grad()
def rung(name: str, members: Sequence[Trained], base: Trained) -> dict:
    """One rung: what the networks of several seeds have in common, and the means of what differs. `base`: agreement is with it."""
    first, dataset = members[0], members[0].dataset
    sparse = bool(first.compression.prune)
    work = cost_of(first.network, image_shape=dataset.image_shape, sparse=sparse)
    logits = [one.logits(dataset.test_images) for one in members]
    accuracies = [100 * analysis.accuracy(own, dataset.test_labels) for own in logits]
    interval = _interval(accuracies, len(dataset.test_labels))
    reference = base.logits(dataset.test_images)
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
        "agreement": sum(analysis.agreement(own, reference) for own in logits) / len(logits),
        "ece": sum(analysis.expected_calibration_error(own, dataset.test_labels) for own in logits) / len(logits),
        "robustness": robustness(first),
    }


def _interval(accuracies: Sequence[float], images: int) -> tuple[float, float, float]:
    """Mean accuracy as a fraction with its interval: over seeds, or for one network over the test images."""
    if len(accuracies) > 1:
        return tuple(value / 100 for value in mean_interval(accuracies))
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


def robustness(trained: Trained, *, images: int = 2000) -> dict[str, float]:
    """The accuracy on changed test images, the first `images` of them."""
    dataset = trained.dataset
    chosen, labels = dataset.test_images[:images], dataset.test_labels[:images]
    return {name: analysis.accuracy(trained.logits(change(chosen, dataset)), labels) for name, change in CHANGES.items()}


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


def measure(setting: str, *, seeds: int, before: Sequence[dict] = (), device: str = "auto") -> Iterator[dict]:
    """The ladder of a setting, seed by seed of the student; rungs that are in `before` with as many seeds are not measured again.

    Teacher; then for the student, trained with `seeds` seeds with its teacher: itself, each compression, each after recovery, and
    quantisation-aware distillation from random weights in 4 and 2 bits.
    """
    entry = SETTINGS[setting]
    done = {row["rung"] for row in before if row["setting"] == setting and row["seeds"] == seeds}
    dataset = datasets.load(entry.experiment.dataset)
    teacher = of_teacher(dataset, entry.experiment.teacher)
    students_of_seeds: list[Trained] = []

    def trained() -> list[Trained]:
        if not students_of_seeds:
            students_of_seeds.extend(_train(entry.experiment, teacher, seeds=seeds, device=device))
        return students_of_seeds

    def row(name: str, members: Sequence[Trained], started: float, **more: object) -> dict:
        found = {**rung(name, members, teacher), **more}
        return {"setting": setting, "seeds": seeds, "seconds": round(time.perf_counter() - started, 1), **found}

    if "teacher" not in done:
        yield row("teacher", [teacher], time.perf_counter())
    for text in ("", *entry.rungs):
        chosen, name = parse_compression(text), text or "student"
        if name not in done:
            started = time.perf_counter()
            yield row(name, [one.compressed(chosen) for one in trained()], started)
        if text in LOSSY and not {f"{text}, recovered {how}" for how in HOW.values()} <= done:
            started = time.perf_counter()
            after = {role: [] for role in HOW}
            for seed, one in enumerate(trained()):
                experiment = replace(recovery(entry.experiment, one, text), seed=seed)
                for role, network in zip(HOW, _train_both(experiment, teacher, device=device), strict=True):
                    after[role].append(network)
            for role, how in HOW.items():
                yield row(f"{text}, recovered {how}", after[role], started)
    for bits in (4, 2):
        name = f"int{bits}, quantisation-aware"
        if name not in done:
            started = time.perf_counter()
            yield row(name, _train(replace(entry.experiment, compression=f"int{bits}"), teacher, seeds=seeds, device=device), started)
        if f"int{bits}" not in entry.rungs and f"int{bits}" not in done:
            yield row(f"int{bits}", [one.compressed(Compression(bits=bits)) for one in trained()], time.perf_counter())


def _train(experiment: Experiment, teacher: Trained, *, seeds: int, device: str) -> list[Trained]:
    """The student of each seed."""
    shards = Shards([replace(experiment, seed=seed) for seed in range(seeds)], device=device, roles=("student",), quiet=True)
    for _ in shards.steps():
        pass
    found = {}
    for shard in shards.shards:
        for one in shard.experiments:
            found[one.seed] = _network(one, shard.member(*shard.pair(one)).state_dict(), teacher)
    return [found[seed] for seed in range(seeds)]


def _train_both(experiment: Experiment, teacher: Trained, *, device: str) -> list[Trained]:
    """Student and baseline of one seed."""
    (cohort,) = (shards := Shards([experiment], device=device, quiet=True)).shards
    for _ in shards.steps():
        pass
    return [_network(experiment, cohort.member(place).state_dict(), teacher) for place in cohort.pair(experiment)]


def _network(experiment: Experiment, weights: dict[str, Tensor], teacher: Trained) -> Trained:
    network = students.empty(experiment, teacher.dataset)
    network.load_state_dict({name: value.clone() for name, value in weights.items()})
    chosen = parse_compression(experiment.compression)
    name = experiment.student
    return Trained(name, name, "student", network.eval().requires_grad_(False), teacher.dataset, chosen, experiment)


def unfinished() -> Path:
    """Where rungs are kept that do not go into the repository: in `DISTILL_HOME`."""
    return paths.cache("ladder") / "ladder.json"


def kept(file: Path | None = None) -> dict:
    """The rungs of a file, the shipped one by default: `{"rows": [...], "measured": {setting: {...}}}`; empty without one."""
    file = file or SHIPPED
    return json.loads(file.read_text()) if file.exists() else {"rows": [], "measured": {}}


def keep(row: dict, *, file: Path, command: str) -> None:
    """Write one rung, at once, in place of an earlier one, with the command, the date, the machine and the seconds of its setting."""
    found, setting = kept(file), row["setting"]
    found["rows"] = [one for one in found["rows"] if (one["setting"], one["rung"]) != (setting, row["rung"])] + [row]
    seconds = round(sum(one["seconds"] for one in found["rows"] if one["setting"] == setting))
    found["measured"][setting] = {"command": command, "seconds": seconds, "date": time.strftime("%Y-%m-%d"), "machine": machine()}
    paths.write_atomically(file, (json.dumps(found, indent=1) + "\n").encode())


def of_one(trained: Trained, *, seeds: int, device: str = "auto") -> Iterator[dict]:
    """The ladder of any network: recovery is there for the student of a run, which has an experiment to go on with."""
    experiment = trained.experiment if trained.compression == NONE else None
    yield from ladder(trained, experiment=experiment, seeds=seeds, device=device)
