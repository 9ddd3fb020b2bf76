"""A report of a finished run on one page: an HTML file that prints to PDF, with its figures inside, readable without a network."""

from __future__ import annotations

import base64
import html
import struct
import time
import zlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from torch import Tensor

from distill_core import analysis, teachers
from distill_core.data.image_order import most_ambiguous
from distill_core.export.card import LIMITS, matters
from distill_core.export.svg import Line, bars, line_chart
from distill_core.export.trained import Trained
from distill_core.losses import soften
from distill_core.objectives import METHODS
from distill_core.statistics import format_percent, mean_interval, paired_difference

TEMPLATE = Path(__file__).with_name("report.html")
IMAGES = 6
MAX_NAMES = 20  # of classes in the settings
SHOWN = 4  # classes of a soft target, the most probable of the first network
COLOURS = {"teacher": "#009E73", "student": "#0072B2", "baseline": "#D55E00"}
DASHES = {"teacher": "2 4", "student": "", "baseline": "8 4"}
COVERS = (
    "The interval covers the variation between seeds (initial weights, choice and order of the training images), with this teacher and "
    "these test images held fixed. Another teacher or another test set is not covered."
)
COVERS_ONE = "One seed: the interval covers the choice of test images and not the variation between seeds. Train more seeds."


def report(trained: Trained) -> str:
    """The file as text. Raises `ValueError` for a network without a run, such as a teacher or a compressed student."""
    if not trained.results or not trained.records or trained.experiment is None:
        raise ValueError(f"{trained.name} has no run of its own to report on; choose a finished run, without compression")
    conclusion = analysis.verdict(trained.results, method=trained.experiment.method)
    several = len(trained.results) > 1
    sign = {1: "above", -1: "below", 0: ""}[conclusion.sign if several else 0]
    soft = _soft_targets(trained)
    parts = {
        "TITLE": _text(f"{trained.name} on {trained.dataset.title}: report of a run"),
        "ABOUT": _text(
            f"{METHODS[trained.experiment.method].title}, {len(trained.results)} seed{'s' * several}, run {trained.experiment.key}; "
            f"written on {time.strftime('%Y-%m-%d')}."
        ),
        "SIGN": sign,
        "VERDICT": _text(conclusion.sentence),
        "CURVES": _curves(trained),
        "SCORES": _scores(trained.results),
        "SETTINGS": _settings(trained),
        "T": f"{trained.experiment.temperature:g}",
        "OF": "the teacher" if "teacher" in soft else "the student",
        "IMAGES": _images(trained, soft),
        "LIMITS": _list((COVERS if several else COVERS_ONE, *LIMITS)),
    }
    text = TEMPLATE.read_text()
    for name, part in parts.items():  # what is put in is HTML already, or escaped
        text = text.replace(f"/*{name}*/", part)
    return text


def _text(value: object) -> str:
    """Text of any origin, such as a class name of an upload, as HTML that shows it and nothing else; no mark of the template is left."""
    return html.escape(str(value)).replace("/*", "/&#42;")


def _list(sentences: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(one)}</li>' for one in sentences)}</ul>"


# --- curves ---------------------------------------------------------------------------------------------------------


def _curves(trained: Trained) -> str:
    """Test accuracy of both networks, and their difference seed by seed, over the epochs."""
    results = trained.results
    by_epoch = _accuracies(trained.records, len(results))
    epochs = sorted(by_epoch)
    lines = []
    for member in ("student", "baseline"):
        points = [_interval(by_epoch[epoch][member]) for epoch in epochs]
        lines.append(Line(member, epochs, points, COLOURS[member], DASHES[member]))
    teacher = [100 * float(np.mean([one["teacher"]["test_accuracy"] for one in results]))] * 3
    lines.append(Line("teacher", [epochs[0], epochs[-1]], [tuple(teacher)] * 2, COLOURS["teacher"], DASHES["teacher"]))
    images = results[0]["student"]["test_images"]
    differences = [
        tuple(map(float, paired_difference(by_epoch[epoch]["student"], by_epoch[epoch]["baseline"], test_images=images)))
        for epoch in epochs
    ]
    gain = Line("difference", epochs, differences, COLOURS["student"], "")
    band = "line and band: mean and 95 % interval over the seeds" if len(results) > 1 else "one seed"
    charts = {
        f"Test accuracy in %; {band}.": line_chart(lines, low=_lowest(lines), high=100.0, title="Test accuracy of student and baseline"),
        "Student minus baseline in points, paired seed by seed, with its 95 % interval.": line_chart(
            [gain], zero=True, title="Student minus baseline", from_x=epochs[-1] / 4
        ),
    }
    return "".join(f"<figure>{chart}<figcaption>{_text(caption)}</figcaption></figure>" for caption, chart in charts.items())


def _accuracies(records: Sequence[dict], seeds: int) -> dict[float, dict[str, list[float]]]:
    """Test accuracies in percent by epoch and member, seed by seed; only epochs at which all of them were tested."""
    found: dict[float, dict[str, dict[int, float]]] = {}
    for one in records:
        if one["test_accuracy"] is not None and one["member"] in ("student", "baseline"):
            members = found.setdefault(one["epoch"], {"student": {}, "baseline": {}})
            members[one["member"]][one.get("experiment", 0)] = 100 * one["test_accuracy"]
    complete = {epoch: members for epoch, members in found.items() if all(len(own) == seeds for own in members.values())}
    return {epoch: {name: [own[seed] for seed in sorted(own)] for name, own in members.items()} for epoch, members in complete.items()}


def _interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and interval in percent; of one seed the value three times."""
    mean, low, high = mean_interval(values, within=(0, 100))
    return (mean, low, high) if len(values) > 1 else (mean, mean, mean)


def _lowest(lines: Sequence[Line]) -> float:
    """Where the axis begins: far enough down for the second half of the training, which the first steps do not hide."""
    settled = [point for line in lines for x, (_, point, _) in zip(line.xs, line.points, strict=True) if x >= line.xs[-1] / 4]
    return max(0.0, 100 - 1.15 * (100 - min(settled)))


# --- numbers and settings -------------------------------------------------------------------------------------------


def _scores(results: Sequence[dict]) -> str:
    head = ("network", "test accuracy", "95 % interval", "errors", "agreement", "ECE", "parameters")
    rows = []
    for role in ("teacher", "baseline", "student"):
        scores = [one[role] for one in results]
        accuracies = [one["test_accuracy"] for one in scores]
        mean, low, high = mean_interval(accuracies, within=(0, 1))
        if len(set(accuracies)) < 2:
            low, high = scores[0]["low"], scores[0]["high"]
        rows.append(
            (
                role,
                format_percent(mean),
                f"{format_percent(low)} to {format_percent(high)}",
                f"{np.mean([one['test_errors'] for one in scores]):,.1f}".removesuffix(".0") + f" of {scores[0]['test_images']:,}",
                format_percent(float(np.mean([one["agreement"] for one in scores]))),
                f"{np.mean([one['ece'] for one in scores]):.3f}",
                f"{scores[0]['parameters']:,}",
            )
        )
    cells = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr>{cells}</table>"


def _settings(trained: Trained) -> str:
    own, usual = trained.experiment, type(trained.experiment)()
    chosen = {name: value for name, value in asdict(own).items() if matters(name, own, usual) and name != "seed"}
    chosen |= {"dataset": trained.dataset.title, "method": METHODS[own.method].title, "temperature": f"{own.temperature:g}"}
    chosen |= {"alpha": f"{own.alpha:g} (weight of the hard loss)", "images": f"{own.images:,}" if own.images else "all"}
    names = trained.dataset.class_names
    chosen["classes"] = ", ".join(names[:MAX_NAMES]) + (f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else "")
    chosen["seeds"] = f"{len(trained.results)}, the first is {own.seed}"
    pairs = [(name.replace("_", " "), ", ".join(map(str, value)) if isinstance(value, tuple) else value) for name, value in chosen.items()]
    return f"<dl>{''.join(f'<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>' for name, value in pairs if value != '')}</dl>"


# --- soft targets ---------------------------------------------------------------------------------------------------


def _soft_targets(trained: Trained) -> dict[str, Tensor]:
    """Soft targets `(N_test, C)` at the run's T of its student, and before it of its teacher if that is on this machine."""
    images, t = trained.dataset.test_images, trained.experiment.temperature
    logits = {"student": trained.logits(images)}
    if trained.experiment.teacher != teachers.SELF:
        try:
            teacher = teachers.load_teacher(trained.dataset, trained.experiment.teacher, combine=trained.experiment.combine)
            logits = {"teacher": teachers.logits(teacher.network, trained.dataset, images), **logits}
        except ValueError:  # it was trained on another machine
            pass
    return {role: soften(own, temperature=t) for role, own in logits.items()}


def _images(trained: Trained, soft: dict[str, Tensor]) -> str:
    first, dataset = next(iter(soft.values())), trained.dataset
    chosen = most_ambiguous(first.log(), dataset.test_labels)[:IMAGES].tolist()
    figures = []
    for index in chosen:
        classes = first[index].argsort(descending=True)[:SHOWN].tolist()
        values = {role: [float(own[index, c]) for c in classes] for role, own in soft.items()}
        chart = bars([dataset.class_names[c] for c in classes], values, COLOURS)
        label = _text(dataset.class_names[int(dataset.test_labels[index])])
        picture = f'<img src="data:image/png;base64,{_png(dataset.test_images[index])}" alt="test image {index}">'
        figures.append(f"<figure>{picture}{chart}<figcaption>label {label}</figcaption></figure>")
    return "".join(figures)


def _png(pixels: Tensor) -> str:
    """An image `(D, H, W)` uint8, grey or colour, as PNG in base64."""
    rows = pixels.permute(1, 2, 0).contiguous().numpy()  # (H, W, D)
    height, width, depth = rows.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if depth == 1 else 2, 0, 0, 0)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)  # each row after the number of its filter, none
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    parts = [struct.pack(">I", len(blob)) + kind + blob + struct.pack(">I", zlib.crc32(kind + blob)) for kind, blob in chunks]
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()
