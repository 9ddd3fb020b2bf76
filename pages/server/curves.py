"""The charts of a race: its records so far, averaged into curves and drawn once for all sessions that show them."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from plotly.io.json import to_json_plotly

from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.figures.curves import Bands, bands, race_drawing
from distill_core.figures.difference import difference_band, difference_drawing
from distill_core.runs.store import Run
from distill_core.statistics import ACCURACY, BITS
from distill_core.teachers import SELF
from distill_core.text_objectives import method_of
from distill_core.training.records import TEACHER
from pages.server.byte_cache import ByteCache
from pages.server.experiments import experiments_of
from pages.server.lab import engine, store

BYTES_OF_RECORD = 900  # of a record as a Python dictionary
HEIGHTS = {"test_accuracy": 380, "difference": 280, "agreement": 280, "hard_loss": 280, "soft_loss": 280}  # px of each panel
SAMPLES = "texts.json"  # what student and baseline of the first seed wrote while they trained
ICONS = {
    "queued": "hourglass_top",
    "preparing": "download",
    "running": "sprint",
    "paused": "pause",
    "finished": "flag",
    "stopped": "stop_circle",
    "failed": "error",
}

_DRAWN: dict[str, tuple[tuple[int, int], float]] = {}  # by run: the version that was drawn last, and until when it is good enough
_RECORDS: ByteCache[tuple[list[dict], threading.Lock]] = ByteCache(64e6, size=lambda kept: BYTES_OF_RECORD * len(kept[0]))
_FIGURES: ByteCache[str] = ByteCache(64e6, size=len)
_NUMBERS: ByteCache[Numbers] = ByteCache(32e6, size=lambda numbers: 2 * BYTES_OF_RECORD * (1 + len(numbers.records)))


def curves(run_id: str) -> Bands:
    """Mean curves of a run with their bands, from all records so far."""
    return _numbers(run_id, store().version(run_id)).bands


def newest(run_id: str, panels: tuple[str, ...], *, after: int) -> str | None:
    """Panels of a run as JSON: `{"version", "active", "status": (icon, line), "written", "figures": {panel: figure}}`; None without
    such a run. `written` is the newest of the `samples` of a race on a text.

    A version that was drawn just now serves all who know an older one than it: while a run trains, drawing takes a fifth of the
    time at most.
    """
    began, run, version = time.monotonic(), store().get(run_id), store().version(run_id)
    if run is None:
        return None
    drawn, until = _DRAWN.get(run_id, (version, 0.0))
    if run.active and began < until and drawn[0] > after:
        version = drawn
    figures = ", ".join(f'"{panel}": {figure}' for panel, figure in race_figures(run_id, version, panels).items())
    if version != drawn or began >= until:
        _note_drawn(run_id, version, time.monotonic() + 4 * (time.monotonic() - began))
    newest_text = next(reversed(samples(run_id)), None)
    head = {"version": version[0], "active": run.active, "status": status_line(run), "written": newest_text}
    return f'{json.dumps(head)[:-1]}, "figures": {{{figures}}}}}'


def samples(run_id: str) -> list[dict]:
    """What student and baseline of a race on a text have written so far: `{"epoch", "prompt", "student", "baseline"}`; none of images."""
    if datasets.is_text(_first_experiment(run_id).dataset) and store().has_artefact(run_id, SAMPLES):
        with contextlib.suppress(ValueError):  # deleted or reset meanwhile, or cut
            found = json.loads(store().read_artefact(run_id, SAMPLES))
            return [{"prompt": found["prompt"], **sample} for sample in found["samples"]]
    return []


def _note_drawn(run_id: str, version: tuple[int, int], until: float) -> None:
    if len(_DRAWN) >= 1000:  # of runs that are long over
        _DRAWN.clear()
    _DRAWN[run_id] = version, until


def status_line(run: Run) -> tuple[str, str]:
    """The name of an icon and one line of text: what the run does now."""
    seeds = f"{len(run.experiments)} seeds" if len(run.experiments) > 1 else "one seed"
    done = f"finished: {run.epochs} epochs in {run.seconds:.1f} s"
    return ICONS[run.status], f"{done if run.status == 'finished' else engine().status(run)}, {seeds}"


def race_figures(run_id: str, version: tuple[int, int], panels: tuple[str, ...]) -> dict[str, str]:
    """The figures of a run at `version` as JSON, by panel: each drawn once for all sessions that show it."""
    return {panel: _FIGURES.get((run_id, version, panel), lambda panel=panel: _draw(run_id, version, panel)) for panel in panels}


class Numbers(NamedTuple):
    """What the panels of a run are drawn from."""

    records: list[dict]
    bands: Bands
    results: list[dict]


def _numbers(run_id: str, version: tuple[int, int]) -> Numbers:
    def read() -> Numbers:
        records = _records(run_id, version[1])
        return Numbers(records, bands(records), store().results(run_id))

    return _NUMBERS.get((run_id, version), read)


@functools.lru_cache(maxsize=1024)
def _first_experiment(run_id: str) -> Experiment:
    return experiments_of(store().entry(run_id))[0]  # which never change


def _draw(run_id: str, version: tuple[int, int], panel: str) -> str:
    first, height = _first_experiment(run_id), HEIGHTS[panel]
    records, run_bands, results = _numbers(run_id, version)
    if panel == "difference":
        test_images = _test_images(first, results)
        band = difference_band(records, test_images=test_images) if test_images else None
        score = BITS if datasets.is_text(first.dataset) else ACCURACY
        settled = first.epochs / 2 if results else 0.0  # after the race the axis fits its second half: the first is far from zero
        return to_json_plotly(difference_drawing(band, epochs=first.epochs, from_epoch=settled, height=height, score=score))
    own_teacher = (TEACHER,) if first.teacher == SELF else ()  # has a curve of its own, in place of a line
    is_text = datasets.is_text(first.dataset)
    drawing = race_drawing(
        run_bands,
        fields=(BITS.field if is_text and panel == ACCURACY.field else panel,),
        height=height,
        teacher_accuracy=results[0]["teacher"]["test_accuracy"] if results and not own_teacher and not is_text else None,
        teacher_bits=results[0]["teacher"][BITS.field] if results and not own_teacher and is_text else None,
        entropy_rate=results[0]["student"].get("entropy_rate") if results else None,
        bits_between=_bits_shown(results) if is_text else None,
        epochs=first.epochs,
        accuracy_from=_lowest_accuracy_shown(results) if not is_text else 0.0,
        members=("student", "baseline", *(f"assistant-{number + 1}" for number in range(len(first.assistants))), *own_teacher),
        loss_label=loss_label(first.method),
    )
    return to_json_plotly(drawing)


def _test_images(experiment: Experiment, results: Sequence[dict]) -> int:
    """The number of test images of a race; a zip is opened for it until the race has ended. 0 if that zip is not here any more."""
    if results:
        return results[0]["student"]["test_images"]
    if source := datasets.source_of(experiment.dataset):
        return source.test
    try:
        return len(datasets.load(experiment.dataset).test_labels)
    except ValueError:
        return 0


def loss_label(method: str) -> str:
    """A method's own loss with its unit, as its axis names it: "hint loss (squared activations)"."""
    name, unit = method_of(method).loss_name, method_of(method).unit
    return f"{name} ({unit})" if unit else name


def latest_accuracies(run_id: str, resets: int) -> dict[tuple[int, str], float]:
    """The newest test accuracy, or bits a character, of each network of a run, by the place of its experiment and by its role."""
    scored = ((one, one["test_accuracy"] if one["test_accuracy"] is not None else one.get(BITS.field)) for one in _records(run_id, resets))
    return {(one["experiment"], one["member"]): value for one, value in scored if value is not None}


def _records(run_id: str, resets: int) -> list[dict]:
    """All records of a run since its last reset; only new ones are read from the store."""
    key = run_id, resets
    records, lock = _RECORDS.get(key, lambda: ([], threading.Lock()))
    with lock:
        new = store().records(run_id, after=records[-1]["row"] if records else 0)
        records += new
        found = list(records)
    if new:
        _RECORDS.grown(key)
    return found


def _bits_shown(results: Sequence[dict]) -> tuple[float, float] | None:
    """Where the axis of bits a character begins and ends after a race: just around the ends of the curves and their teacher."""
    ends = [result[role][BITS.field] for result in results for role in ("student", "baseline", "teacher")]
    if not ends or None in ends:
        return None
    low = min([*ends, *(result["student"].get("entropy_rate", ends[0]) for result in results)])
    room = max(ends) - low
    return low - 0.3 * room, max(ends) + 1.5 * room


def _lowest_accuracy_shown(results: Sequence[dict]) -> float:
    """Where the accuracy axis begins: at 0 during the race, so that nothing jumps; after it, just below the curves' ends."""
    if not results:
        return 0.0
    errors = max(1 - result[role]["test_accuracy"] for result in results for role in ("student", "baseline"))
    return max(0.0, math.floor(20 * (1 - 2 * errors)) / 20)
