"""The comparison of all methods on texts: ten seeds of the same student on the same windows, each beside its baseline.

`python -m distill_core compare little-language shakespeare-100k` measures it, one row after another, and goes on where it was stopped;
with `--keep` the rows go to `text_methods.json`. Temperature, alpha and learning rate are the usual ones of the text: nothing is tuned.
In the settings whose names end in `-tuned`, temperature and alpha of each method are chosen on a held-out stretch of the training text,
as those of images are on validation images (`tuning.py`).
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from distill_core import paths, writing
from distill_core.data.datasets import load
from distill_core.experiment import Experiment, usual_of_text
from distill_core.objectives import METHODS
from distill_core.statistics import BITS, format_points, holm, paired_bits, paired_p_value
from distill_core.studies.comparison import machine
from distill_core.studies.tuning import tune
from distill_core.text_objectives import TEXT_METHODS, method_of
from distill_core.training.cohort import Cohort
from distill_core.training.initial import MEMBERS

SHIPPED = Path(__file__).with_name("text_methods.json")
LEVEL = 0.05
COMMON = ("soft-targets", "logits", "reverse-kl", "jensen-shannon", "mutual-2", "label-smoothing", "permuted-classes", "shuffled-targets")
WITHOUT_LABELS = "distilbert-no-labels"  # no method of its own: alpha is 0


def _usual(dataset: str, **choices: object) -> Experiment:
    return Experiment(**{"dataset": dataset, **usual_of_text(dataset), **choices})


SETTINGS = {
    "little-language": ("Little language, 300 windows", _usual("little-language")),
    "shakespeare-100k": ("Shakespeare, 100,000 characters", _usual("shakespeare", images=1563, epochs=10)),
}
HELD_OUT = 300  # windows on which a setting is chosen
SETTINGS |= {f"{name}-tuned": (f"{title}, tuned", replace(usual, validation=HELD_OUT)) for name, (title, usual) in SETTINGS.items()}


def entries(setting: str) -> dict[str, Experiment]:
    """The compared experiments by the names of their methods; DistilBERT and its ablations have every second block of the teacher."""
    usual = SETTINGS[setting][1]
    width, _, depth = usual.teacher.removeprefix("gpt-").partition("x")
    found = {}
    for name in (*(name for name in METHODS if name in COMMON), *(name for name in TEXT_METHODS if name != "top-k")):  # with k 5: top-5
        half = {"student": f"gpt-{width}x{int(depth) // 2}"} if name.startswith("distilbert") else {}
        found[name] = replace(usual, method=name, **half)
    if not usual.validation:  # where alpha is chosen, it could be 0 anyway
        found[WITHOUT_LABELS] = replace(found["distilbert"], alpha=0.0)
    return found


def title_of(name: str) -> str:
    """What a compared experiment is called: by its method."""
    return f"{method_of('distilbert').title}, without the labels" if name == WITHOUT_LABELS else method_of(name).title


def compare(setting: str, *, seeds: int, only: Sequence[str] = (), before: Sequence[dict] = (), device: str = "auto") -> Iterator[dict]:
    """Train each method over the seeds 0, 1, 2 ...; yields its row as soon as it is measured. Rows of `before` are not measured again.

    Baselines depend on no method: those of a student are trained with the first row that has it.
    """
    here = [row for row in before if row["setting"] == setting and len(row["students"]) >= seeds]
    done, baselines = {row["name"] for row in here}, {row["student"]: row["baselines"][:seeds] for row in here}
    for name, experiment in entries(setting).items():
        if name in done or (only and name not in only):
            continue
        started = time.process_time()
        experiment, tried = _tuned(experiment, device=device)
        roles = ("student",) if experiment.student in baselines else MEMBERS
        cohort = Cohort([replace(experiment, seed=seed) for seed in range(seeds)], roles=roles, quiet=True, device=device)
        results = [one for records in cohort.steps() for one in records if one["event"] == "result"]
        bits = {role: [round(one[role][BITS.field], 5) for one in results] for role in roles}
        baselines.setdefault(experiment.student, bits.get("baseline"))
        row = {
            "setting": setting,
            "name": name,
            "title": title_of(name),
            "kind": method_of(experiment.method).kind,
            "student": experiment.student,
            "temperature": experiment.temperature,
            "alpha": experiment.alpha,
            "tried": tried,
            "students": bits["student"],
            "baselines": baselines[experiment.student],
            "teacher": round(results[0]["teacher"][BITS.field], 5),
            "teacher_kl": round(sum(one["student"]["teacher_kl"] for one in results) / seeds, 5),
            "cpu_seconds": round(time.process_time() - started, 1),
        }
        yield row | _judged(cohort, experiment)


def _tuned(experiment: Experiment, *, device: str) -> tuple[Experiment, list[dict]]:
    """The setting that is chosen on the held-out windows, and all that were tried; without such windows the experiment itself."""
    return (tune(experiment, device=device) if experiment.validation else None) or (experiment, [])


def _judged(cohort: Cohort, experiment: Experiment) -> dict:
    """Of the little language: the sentences that the first seed's student writes, judged by the grammar."""
    dataset = load(experiment.dataset)
    if dataset.truth is None:
        return {}
    found = writing.judge(cohort.member(cohort.pair(cohort.first)[0]), dataset)
    return {"grammatical": round(found["grammatical"], 4), "kinds": round(found["kinds"], 4)}


# --- the rows, kept and compared ------------------------------------------------------------------------------------


def unfinished() -> Path:
    """Where rows are kept that do not go into the repository."""
    return paths.cache("comparison") / "text_methods.json"


def kept(file: Path = SHIPPED) -> dict:
    """The rows of a file: `{"rows": [...], "measured": {setting: {...}}}`; empty where there is none."""
    return paths.read_json(file, without={"rows": [], "measured": {}})


def keep(row: dict, *, file: Path, command: str, date: str) -> None:
    """Write one row, at once, in place of an earlier one; note the command, the date, the machine and the processor time of its setting."""
    found, setting = copy.deepcopy(kept(file)), row["setting"]
    found["rows"] = [one for one in found["rows"] if (one["setting"], one["name"]) != (setting, row["name"])] + [row]
    seconds = round(sum(one["cpu_seconds"] for one in found["rows"] if one["setting"] == setting))
    found["measured"][setting] = {"command": command, "cpu_seconds": seconds, "date": date, "machine": machine()}
    paths.write_atomically(file, (json.dumps(found, indent=1) + "\n").encode())


def differences(rows: Sequence[dict], setting: str) -> list[dict]:
    """The rows of a setting, best first, each with its paired difference from its baseline in bits a character.

    `p_value` is that of the paired t test after Holm's correction over all rows; `sign` is 1 for clearly better than the baseline at
    LEVEL, -1 for clearly worse, 0 for not clear.
    """
    found = [row for row in rows if row["setting"] == setting]
    p_values = holm([paired_p_value(row["students"], row["baselines"]) for row in found]) if found else []
    compared = []
    for row, p_value in zip(found, p_values, strict=True):
        difference, low, high = map(float, paired_bits(row["students"], row["baselines"]))
        sign = 0 if p_value >= LEVEL else -1 if difference > 0 else 1
        compared.append({**row, "difference": difference, "low": low, "high": high, "p_value": float(p_value), "sign": sign})
    return sorted(compared, key=lambda row: row["difference"])


# What the paper's student loses without one part, in points of its mean GLUE score: Sanh et al. 2019, section 4.2, table 4. Their
# order was checked in a summary of the paper; the figures themselves are from memory.
ABLATION = {
    "distilbert-random": ("the teacher's weights at the start", -3.69),
    "distilbert-no-soft": ("soft targets", -2.96),
    "distilbert-no-cosine": ("cosine of hidden states", -1.46),
    WITHOUT_LABELS: ("labels", -0.31),
}


def ablation(rows: Sequence[dict], setting: str) -> list[dict]:
    """DistilBERT in miniature without one of its parts at a time, beside the paper: empty where a row of it is not measured.

    `more_bits`, `low`, `high`: how many more bits a character the student needs than with all parts, paired by seed.
    """
    by_name = {row["name"]: row for row in rows if row["setting"] == setting}
    if not {"distilbert", *ABLATION} <= set(by_name):
        return []
    whole, found = by_name["distilbert"]["students"], []
    for name, (removed, paper) in ABLATION.items():
        more, low, high = map(float, paired_bits(by_name[name]["students"], whole))
        found.append({"removed": removed, "paper": paper, "more_bits": more, "low": low, "high": high})
    return found


def in_words(row: dict) -> str:
    """One line on a row of `differences`."""
    digits = {name: format_points(row[name], 4) for name in ("difference", "low", "high")}
    mean = sum(row["students"]) / len(row["students"])
    judged = f"   grammatical {100 * row['grammatical']:.1f} %, kinds {100 * row['kinds']:.0f} %" if "grammatical" in row else ""
    between = f"{digits['difference']} ({digits['low']} to {digits['high']}){'*' if row['sign'] else ' '}"
    chosen = f"T {row['temperature']:g}, alpha {row['alpha']:.3g}   " if row.get("tried") else ""
    return f"{row['title']:52}{row['student']:11}{chosen}{mean:8.4f} bits   {between}   KL to teacher {row['teacher_kl']:.4f}{judged}"
