"""The command line: what the pages do, for scripts. `python -m distill_core COMMAND --help` lists the flags."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import itertools
import json as json_format
import math
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TypeVar, get_type_hints

import tyro

from distill_core.runs.process import prepare_process

if __name__ == "__main__":
    prepare_process()  # before torch is imported

from distill_core import advisor, analysis, paths, serving, teachers
from distill_core import export as exporting
from distill_core.compression import parse_compression
from distill_core.data import datasets
from distill_core.data.jpeg_copy import make_jpeg_copy
from distill_core.doctor import examine
from distill_core.experiment import Experiment, usual_of_text, usual_training
from distill_core.lessons import ALL_LESSONS
from distill_core.lessons import lesson as lessons
from distill_core.lessons.measured import in_words
from distill_core.lessons.measured import keep as keep_finding
from distill_core.lessons.measured import kept as kept_findings
from distill_core.machine import available_cores
from distill_core.method_settings import in_words as settings_in_words
from distill_core.runs.finished import default_store, find, keep_finished
from distill_core.runs.store import StoreError
from distill_core.statistics import BITS, Score, format_bits, format_interval, format_percent, score_of
from distill_core.studies import advice as grid
from distill_core.studies import comparison, ladder, replays, study, text_methods
from distill_core.studies.literature import STUDIES
from distill_core.studies.presets import PRESETS, measure
from distill_core.studies.sweep import best_settings
from distill_core.training.cohort import Cohort
from distill_core.training.run_data import prepare
from distill_core.training.shards import train_sharded

MAX_STUDENTS = 2000
ROOT = Path(__file__).resolve().parents[1]
T = TypeVar("T")
TheExperiment = Annotated[Experiment, tyro.conf.arg(name="")]


def train(experiment: TheExperiment, *, device: str = "auto", json: bool = False) -> None:
    """One race: a student with its teacher, and its baseline without.

    Args:
        device: auto, cpu or cuda.
        json: print one JSON object a line instead of a table.
    """
    _prepare(experiment, device=device)
    for record in _train_and_keep(experiment, device=device):
        if json:
            _print_json(record)
        elif record["event"] == "result":
            _print_result(record)
        elif record[score_of(record).field] is not None and record["member"] == "student":
            _status(f"epoch {record['epoch']:g} of {experiment.epochs}: student {_score(record)}")


def _train_and_keep(experiment: Experiment, *, device: str) -> Iterator[dict]:
    """The records of a race, which is stored at its end as one of the page Race is, so that it can be exported."""
    cohort, stored = Cohort([experiment], device=device), []
    for records in cohort.steps():
        stored += records
        for one in records:
            own = {name: value for name, value in one.items() if name != "experiment"}
            yield {**own, "experiment": asdict(experiment)} if one["event"] == "result" else own
    try:
        with contextlib.closing(default_store()) as store:
            keep_finished(store, [experiment], stored, cohort.artefacts(), seconds=cohort.seconds)
    except StoreError as error:
        print(f"distill_core: the run was not stored: {error}", file=sys.stderr)


def export(
    run: Annotated[str, tyro.conf.Positional],
    *,
    format: str = "safetensors",
    out: Path | None = None,
    compression: str = "",
    json: bool = False,
) -> None:
    """A trained network in a file that other programs read: the student of a finished run, or a shipped teacher.

    Args:
        run: a run's id of the page Runs, the key that `train --json` printed, a teacher such as mnist/cnn-32, or a file that
            `export --format safetensors` wrote.
        format: safetensors, onnx, onnx-int8, torch, html, notebook, report, csv or card; of a language model safetensors, onnx,
            notebook or csv.
        out: the file to write; by default one in this folder, named by the network.
        compression: compress it first, such as neurons-50+int4.
        json: print one JSON object.
    """
    if format not in exporting.FORMATS:
        raise ValueError(f"format '{format}' is not known; choose one of: {', '.join(exporting.FORMATS)}")
    trained = find(run).compressed(parse_compression(compression))
    path, blob = out or Path(exporting.file_name(trained, format)), exporting.export(trained, format)
    if not path.parent.is_dir():
        raise ValueError(f"the folder {path.parent} of {path} does not exist; create it, or give another --out")
    paths.write_atomically(path, blob)
    if json:
        _print_json({"path": str(path), "format": format, "bytes": len(blob), "name": trained.name, "dataset": trained.dataset.name})
    else:
        print(f"{trained.title}: {len(blob):,} bytes in {path}")


def compress(
    run: Annotated[str, tyro.conf.Positional],
    *,
    seeds: int = 0,
    device: str = "auto",
    keep: bool = False,
    latency: bool = False,
    json: bool = False,
) -> None:
    """The ladder: a network as trained, pruned, of low rank and of few bits, with and without recovery by its teacher.

    For mnist, mnist-cnn, mnist-128 and cifar10-jpeg in place of a run: the study of that data set, which trains its students first.
    Each of its rungs is written as soon as it is measured, and the same command goes on where it was stopped; networks that are
    trained stay in DISTILL_HOME.

    Args:
        run: a run's id or key, a teacher such as mnist/cnn-32, an exported .safetensors file; or a study.
        seeds: students of a study (10 by default), or recoveries of one network (3).
        device: auto, cpu or cuda.
        keep: write the rungs of a study into the repository, and not into DISTILL_HOME.
        latency: measure only the latencies of a study's rungs again, on a machine that does nothing else.
        json: print one JSON object a line, for each rung.
    """
    is_study = run in ladder.SETTINGS
    seeds = seeds or (10 if is_study else 3)
    if not 1 <= seeds <= 100:
        raise ValueError(f"seeds {seeds} cannot be run; give a number from 1 to 100")
    if (keep or latency) and not is_study:
        raise ValueError(
            f"'{run}' is no study, whose figures --keep and --latency replace; leave them out, or choose from: {', '.join(ladder.SETTINGS)}"
        )
    file = ladder.SHIPPED if keep else ladder.unfinished()
    if latency and not any((row["setting"], row["seeds"]) == (run, seeds) for row in ladder.kept(file)["rows"]):
        raise ValueError(f"no rung of '{run}' is measured with {seeds} seeds yet in {file.name}; measure them first, without --latency")
    if is_study:
        _prepare(ladder.SETTINGS[run].experiment, device=device)
        rungs = ladder.measure(run, seeds=seeds, before=ladder.kept(file)["rows"], device=device, latency_only=latency)
    else:
        rungs = ladder.of_one(find(run), seeds=seeds, device=device)
    for row in rungs:
        if is_study:
            ladder.keep(row, file=file, command=f"python -m distill_core compress {run} --seeds {seeds}{' --keep' if keep else ''}")
        _print_json(row) if json else _print_rung(row)
    if is_study and not json:
        own = [row for row in ladder.kept(file)["rows"] if row["setting"] == run]
        print("\n".join(ladder.findings(own, allowed=ladder.SETTINGS[run].allowed)))


def _print_rung(row: dict) -> None:
    if "refused" in row:
        print(f"{row['rung']:42}{row['refused']}", flush=True)
        return
    ms = {runtime: found["1"]["median"] for runtime, found in row["latency_ms"].items()}
    print(
        f"{row['rung']:46}{format_percent(row['test_accuracy']):>9} ({format_interval(row['low'], row['high'])})"
        f"{row['parameters']:>11,} parameters{row['bytes']:>11,} bytes{row['flops'] / 1e6:>9.3g} MFLOP"
        f"   torch {ms['torch']:.3g} ms, onnx {ms['onnx']:.3g} ms",
        flush=True,
    )


def serve(run: Annotated[str, tyro.conf.Positional], *, port: int = 8600, address: str = "127.0.0.1") -> None:
    """Answer `POST /predict` with a trained network until Ctrl+C; /docs describes it. Logs go to standard error.

    Args:
        run: a run's id or key, a teacher such as mnist/cnn-32, or an exported .safetensors file.
        port: the port to listen on.
        address: 127.0.0.1 takes requests of this machine only, 0.0.0.0 those of the whole network.
    """
    if not 1 <= port <= 65535:
        raise ValueError(f"port {port} is none; give one from 1 to 65535")
    with contextlib.closing(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)) as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            free.bind((address, port))
        except OSError as error:
            raise ValueError(f"port {port} of {address} cannot be used ({error.strerror or error}); give another --port") from error
    serving.serve(find(run), port=port, address=address)


def _score(scores: dict) -> str:
    """The score of a record, or of one network in a result, as text."""
    score = score_of(scores)
    return _value(scores[score.field], score)


def _value(value: float | None, score: Score) -> str:
    """A value of this score as text."""
    return "diverged" if value is None else f"{format_bits(value)} bits" if score is BITS else format_percent(value)


def _print_result_of_text(result: dict) -> None:
    print(f"{'':10}{'bits/character':>15}{'95 % interval':>20}{'agreement':>11}{'KL to teacher':>15}{'parameters':>12}")
    for role in ("teacher", "baseline", "student"):
        s = result[role]
        between = f"{format_bits(s['low'])} to {format_bits(s['high'])}"
        divergence = f"{s['teacher_kl']:.4f} nats"
        print(f"{role:10}{_score(s):>15}{between:>20}{format_percent(s['agreement']):>11}{divergence:>15}{s['parameters']:>12,}")
    if "entropy_rate" in result["student"]:
        print(f"{'the truth':10}{format_bits(result['student']['entropy_rate']) + ' bits':>15}  which no model can beat")


def _print_result(result: dict) -> None:
    _status("")
    if score_of(result["student"]) is BITS:
        _print_result_of_text(result)
        print(analysis.verdict([result]).sentence)
        if held_out := result["experiment"]["validation"]:
            bits = ", ".join(f"{role} {format_bits(result[role][BITS.validation])}" for role in ("baseline", "student"))
            print(f"bits a character on {held_out:,} validation windows: {bits}")
        print(f"run {result['key']}, {_pace(result['experiment'])}, {result['seconds']:.1f} s")
        return
    print(f"{'':10}{'test accuracy':>15}{'95 % interval':>22}{'errors':>9}{'agreement':>11}{'ECE':>9}{'parameters':>12}")
    for role in ("teacher", "baseline", "student"):
        s = result[role]
        between = format_interval(s["low"], s["high"])
        print(
            f"{role:10}{format_percent(s['test_accuracy']):>15}{between:>22}{s['test_errors']:>9}"
            f"{format_percent(s['agreement']):>11}{s['ece']:>9.3f}{s['parameters']:>12,}"
        )
    print(analysis.verdict([result]).sentence)
    if held_out := result["experiment"]["validation"]:
        accuracies = ", ".join(f"{role} {format_percent(result[role]['validation_accuracy'])}" for role in ("baseline", "student"))
        print(f"accuracy on {held_out:,} validation images: {accuracies}")
    print(f"run {result['key']}, {_pace(result['experiment'])}, {result['seconds']:.1f} s")


def _pace(experiment: dict) -> str:
    """Epochs, batch size and learning rate, which may be those that the number of images chose; and a precision that is not the usual."""
    precision = experiment["precision"]
    more = f", products in {precision}" if precision != Experiment.precision else ""
    batches = f"{experiment['epochs']} epochs in batches of {experiment['batch_size']}"
    return f"{batches}, learning rate {experiment['learning_rate']:g}{more}"


def _several(names: tuple[str, ...]) -> type:
    """The fields of an Experiment, with several values for each of `names`."""
    fields, kinds = [], get_type_hints(Experiment)
    for field in dataclasses.fields(Experiment):
        kind, default = kinds[field.name], field.default
        if field.name in names:
            kind, default = tuple[kind, ...], (default,)
        fields.append((field.name, kind, dataclasses.field(default=default)))
    return dataclasses.make_dataclass("Several", fields, frozen=True)


SEVERAL = ("temperature", "alpha", "student", "images", "seed", "method", "on_policy_share", "beta", "top_k")
Sweep = _several(SEVERAL)


def sweep(choices: Annotated[Sweep, tyro.conf.arg(name="")], *, device: str = "auto", json: bool = False) -> None:
    """Many students at once: --temperature, --alpha, --student, --images, --seed and --method take several values.

    So do --on-policy-share, --beta and --top-k, of the methods that have them (train --help names them).

    With --validation N the best setting is the one with the largest gain on the validation images, and its test accuracy is
    only reported. The gain on a text is the number of bits a character that the student needs less than its baseline.

    Args:
        device: auto, cpu or cuda.
        json: print one JSON object a line, for each combination of values.
    """
    fixed = {field.name: getattr(choices, field.name) for field in dataclasses.fields(Experiment) if field.name not in SEVERAL}
    values = [dict.fromkeys(getattr(choices, name)) for name in SEVERAL]
    if not all(values):
        raise ValueError(f"{SEVERAL[values.index({})]} has no value; give one or more")
    experiments = [Experiment(**fixed, **dict(zip(SEVERAL, chosen, strict=True))) for chosen in itertools.product(*values)]
    if len(experiments) > MAX_STUDENTS:
        raise ValueError(f"{len(experiments)} students are more than the {MAX_STUDENTS} that one sweep takes; give fewer values")
    started = time.perf_counter()
    results = _train_all(experiments, device=device)
    for index, one in enumerate(experiments):
        result = {**results[index], "experiment": asdict(one)}
        cell = {name: getattr(one, name) for name in SEVERAL if name != "student"}
        if json:
            _print_json({**cell, **result})  # the student's name is in its experiment
        else:
            student, baseline = result["student"], result["baseline"]
            score = score_of(student)
            validated = f"validation {_value(student[score.validation], score)}   " if one.validation else ""
            unit, counted = ("bits", "windows") if score is BITS else ("points", "images")
            print(
                f"T {one.temperature:<6g}alpha {one.alpha:<6g}{one.student:12}{_images(one):>8} {counted}   seed {one.seed:<4}"
                f"{_method(one, experiments):{1 + max(len(_method(other, experiments)) for other in experiments)}}"
                f"{validated}student {_score(student)}   baseline {_score(baseline)}   "
                f"{score.scale * (student[score.field] - baseline[score.field]):+.{score.digits}f} {unit}"
            )
    if not json:
        _print_best(experiments, results)
        seconds = time.perf_counter() - started
        print(f"{len(experiments)} students beside their baselines, {_pace(asdict(experiments[0]))}, in {seconds:.1f} s")


def _print_best(experiments: Sequence[Experiment], results: Sequence[dict]) -> None:
    """The best setting of a sweep, and on which images it was chosen; nothing where there is no choice."""
    settings, one = best_settings(experiments, results), experiments[0]
    if len(settings) < 2:
        return
    best, gain = settings[0]
    more = [text for text in [_method(best, experiments)] if text]
    named = ", ".join([*more, f"T {best.temperature:g}", f"alpha {best.alpha:g}", best.student, _images(best)])
    if score_of(results[0]["student"]) is BITS:
        on = f"{one.validation:,} validation windows" if one.validation else "the test text, so this gain is too high; use --validation N"
        print(f"best: {named} windows, {gain:.4f} bits a character fewer than its baseline on the test text; chosen on {on}")
        return
    on = f"{one.validation:,} validation images" if one.validation else "the test images, so this gain is too high; use --validation N"
    print(f"best: {named} images, {gain:+.2f} over its baseline on the test images; chosen on {on}")


def _method(experiment: Experiment, experiments: Sequence[Experiment]) -> str:
    """The method where the experiments have several, and its own settings; empty for soft targets alone."""
    several = len({one.method for one in experiments}) > 1
    return " ".join(filter(None, [experiment.method if several else "", settings_in_words(experiment.method, vars(experiment))]))


def _images(experiment: Experiment) -> str:
    return f"{experiment.images:,}" if experiment.images else "all"


def preset(
    name: Annotated[str, tyro.conf.Positional] = "",
    *,
    list: bool = False,
    seeds: int | None = None,
    device: str = "auto",
    keep: bool = False,
    json: bool = False,
) -> None:
    """An experiment of the literature: what its source states, what was measured before, what this run measures.

    Args:
        name: the preset, or one of the studies, which are more than one race.
        list: list all of them.
        seeds: the number of seeds; mostly 10 by default.
        device: auto, cpu or cuda.
        keep: replace the figures of a study in the repository, or the replay of a preset, by this run.
        json: print one JSON object a line.
    """
    if list or not name:
        for key, entry in PRESETS.items():
            fields = {"name": key, "title": entry.title, "source": entry.source, "expected": asdict(entry.measured)}
            _print_json(fields) if json else print(f"{key:18}{entry.title}: {entry.measured.difference:+.2f} points ({entry.source})")
        for key, entry in STUDIES.items():
            fields = {"name": key, "title": entry.title, "source": entry.source, "question": entry.question}
            _print_json(fields) if json else print(f"{key:18}{entry.title} ({entry.source})")
        return
    if name not in PRESETS and name not in STUDIES:
        raise ValueError(f"preset '{name}' is not known; choose one of: {', '.join([*PRESETS, *STUDIES])}")
    if seeds is None:
        seeds = STUDIES[name].seeds if name in STUDIES else 10
    if not 1 <= seeds <= 100:
        raise ValueError(f"seeds {seeds} cannot be run; give a number from 1 to 100")
    if name in STUDIES:
        _run_study(name, seeds=seeds, device=device, keep=keep, json=json)
        return
    _show_progress(prepare(PRESETS[name].experiment, device=device))
    started, records = time.perf_counter(), []
    for record in measure(PRESETS[name], seeds=seeds, device=device):
        records.append(record)
        if record["event"] == "claim" and json:
            _print_json({**record, "preset": name})
        elif record["event"] == "claim":
            _status("")
            expected, came = record["expected"], record["came"]
            print(f"{record['source']}: {record['claim']}")
            print(f"expected: {expected['difference']:+.2f} points ({expected['low']:+.2f} to {expected['high']:+.2f})")
            print(f"measured: {came['difference']:+.2f} points ({came['low']:+.2f} to {came['high']:+.2f}), over {seeds} seeds")
            print(came["conclusion"])
        elif record["test_accuracy"] is not None:
            _status(f"epoch {record['epoch']:g} of {PRESETS[name].experiment.epochs}")
    if keep:
        seconds, experiment = time.perf_counter() - started, PRESETS[name].experiment
        about = {"method": experiment.method, "test_images": datasets.source_of(experiment.dataset).test}
        replays.keep(name, replays.record_replay(records, seconds=seconds, seeds=seeds, **about))


def _run_study(name: str, *, seeds: int, device: str, keep: bool, json: bool) -> None:
    """One line a claim: what the source states, what was measured before, what came."""
    entry = STUDIES[name]
    for one in {(arm.dataset, arm.teacher): arm for arm in entry.arms.values()}.values():
        _prepare(one, device=device)
    started, started_cpu = time.perf_counter(), time.process_time()
    runs = _show_progress(study.run(entry, seeds=range(seeds), device=device))
    seconds = time.perf_counter() - started
    kept = study.kept().get(name)
    expected = [claim.as_text() for claim in entry.judge(kept["runs"])] if kept else []
    claims = entry.judge(runs)
    if not json:
        print(f"{entry.title}. {entry.source}: {entry.paper}")
    for claim, before in itertools.zip_longest(claims, expected, fillvalue=""):
        mean, low, high = claim.interval
        came = {"mean": mean, "low": _finite(low), "high": _finite(high), "unit": claim.unit, "seeds": len(next(iter(runs.values())))}
        if json:
            fields = {"event": "claim", "preset": name, "source": entry.source, "claim": claim.text, "paper": claim.paper}
            _print_json({**fields, "expected": before, "came": came, "conclusion": claim.conclusion})
        else:
            print(f"{claim.text}: paper {claim.paper}; here {before or 'not measured yet'}; this run {claim.as_text()}: {claim.conclusion}")
    if not json:
        print(f"{len(next(iter(runs.values())))} seeds in {seconds:.0f} s")
    if keep:
        study.keep(name, runs, cpu_seconds=time.process_time() - started_cpu)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def lesson(
    name: Annotated[str, tyro.conf.Positional] = "",
    *,
    list: bool = False,
    seeds: int = 10,
    device: str = "auto",
    keep: bool = False,
    again: bool = False,
    json: bool = False,
) -> None:
    """The experiment of a lesson, run and judged.

    Args:
        name: the lesson; without a name, all lessons that have an experiment, with --keep those that were not measured yet.
        list: list all lessons.
        seeds: the number of seeds.
        device: auto, cpu or cuda.
        keep: replace the findings in the repository by those of this run.
        again: with --keep and without a name, also the lessons that were measured over as many seeds.
        json: print one JSON object a line.
    """
    if list:
        for key, entry in ALL_LESSONS.items():
            fields = {"name": key, "title": entry.title, "group": entry.group, "question": entry.question, "arms": [*entry.arms]}
            _print_json(fields) if json else print(f"{key:28}{entry.group}: {entry.title}")
        return
    if name and name not in ALL_LESSONS:
        raise ValueError(f"lesson '{name}' is not known; choose one of: {', '.join(ALL_LESSONS)}")
    if not 2 <= seeds <= 100:
        raise ValueError(f"seeds {seeds} cannot be run; give a number from 2 to 100")
    measured = {key for key, one in kept_findings().items() if one["seeds"] >= seeds} if keep and not again else set()
    for key in [name] if name else [key for key, entry in ALL_LESSONS.items() if entry.judge and key not in measured]:
        entry, started = ALL_LESSONS[key], time.perf_counter()
        results = entry.trial(seeds) if entry.trial else entry.by_arm(_train_all(entry.experiments(seeds), device=device))
        finding, seconds = entry.find(results), time.perf_counter() - started
        if json:
            gains = [asdict(one) for one in lessons.gains(results)]
            _print_json(
                {
                    "event": "claim",
                    "lesson": key,
                    "sentence": finding.sentence,
                    "answer": finding.answer,
                    "appears": finding.appears,
                    "gains": gains,
                }
            )
        else:
            about = f" ({seeds} seeds, {seconds:.0f} s)" if entry.judge else ""
            print(f"{entry.title}: {in_words(asdict(finding), entry.why_not)}{about}")
        if keep and entry.judge:
            keep_finding(key, finding, seeds=seeds, seconds=seconds)


def _train_all(experiments: Sequence[Experiment], *, device: str) -> list[dict]:
    """The results of all these experiments, in their order."""
    for one in {(e.dataset, e.teacher): e for e in experiments}.values():
        _prepare(one, device=device)
    results = {}
    for record in train_sharded(experiments, device=device):
        if record["event"] == "result":
            results[record["experiment"]] = record
        elif record[score_of(record).field] is not None:
            _status(f"{len(results)} of {len(experiments)} students; epoch {record['epoch']:g}")
    _status("")
    return [results[place] for place in range(len(experiments))]


def compare(
    settings: Annotated[tuple[str, ...], tyro.conf.Positional] = (),
    *,
    method: tuple[str, ...] = (),
    seeds: int = 10,
    device: str = "auto",
    keep: bool = False,
    again: bool = False,
    costs: bool = False,
    json: bool = False,
) -> None:
    """All methods, each tuned on validation images, over several seeds: differences from the baseline and from soft targets.

    On the texts little-language and shakespeare-100k nothing is tuned, and the differences are those from the baseline; with -tuned
    behind their names T and alpha of each method are chosen on a held-out stretch of the training text.
    Each row is written as soon as it is measured; the same command goes on where it was stopped.

    Args:
        settings: mnist-1000, mnist-60000 or cifar10-2000, all by default; little-language, shakespeare-100k, and these with -tuned.
        method: only these, beside the baseline and soft targets.
        seeds: the number of seeds, from 2.
        device: auto, cpu or cuda.
        keep: write the rows into the repository, where the page Methods shows them, and not into DISTILL_HOME.
        again: measure all rows again, also those that are measured already.
        costs: measure only the costs of a step again, on an idle machine, and keep them with the accuracies.
        json: print one JSON object a line, for each row.
    """
    if not 2 <= seeds <= 100:
        raise ValueError(f"seeds {seeds} cannot be compared; give a number from 2 to 100")
    if settings and set(settings) <= set(text_methods.SETTINGS):
        _compare_on_texts(settings, method, seeds=seeds, device=device, keep=keep, again=again, json=json)
        return
    compared = list(comparison.entries(next(iter(comparison.SETTINGS.values())).experiment))
    for kind, names, known in (("setting", settings, list(comparison.SETTINGS)), ("method", method, compared)):
        for name in names:
            if name not in known:
                raise ValueError(f"{kind} '{name}' is not compared; choose from: {', '.join(known)}")
    file = comparison.SHIPPED if keep else comparison.unfinished()
    if costs:
        comparison.measure_costs_again(file, device=device)
    for setting in () if costs else settings or comparison.SETTINGS:
        for name in method or compared:
            with contextlib.suppress(ValueError):  # its row has the reason
                _show_progress(prepare(comparison.experiment_of(setting, name), device=device))
        command = f"python -m distill_core compare {setting} --seeds {seeds}{' --keep' if keep else ''}"
        before = [] if again else comparison.kept(file)["rows"]
        for row in comparison.compare(setting, seeds=seeds, only=method, before=before, device=device):
            comparison.keep(row, file=file, command=command, date=time.strftime("%Y-%m-%d"))
            if not json:
                print(f"{setting:15}{row['title']:42}{row.get('refused') or _measured(row)}", flush=True)
        for row in comparison.differences(comparison.kept(file)["rows"], setting):
            _print_json(row) if json else _print_differences(row)


def _compare_on_texts(
    settings: Sequence[str], only: Sequence[str], *, seeds: int, device: str, keep: bool, again: bool, json: bool
) -> None:
    file = text_methods.SHIPPED if keep else text_methods.unfinished()
    for setting in settings:
        known = text_methods.entries(setting)
        for name in only:
            if name not in known:
                raise ValueError(f"method '{name}' is not compared; choose from: {', '.join(known)}")
        _show_progress(prepare(text_methods.SETTINGS[setting][1], device=device))
        command = f"python -m distill_core compare {setting} --seeds {seeds}{' --keep' if keep else ''}"
        before = [] if again else text_methods.kept(file)["rows"]
        for row in text_methods.compare(setting, seeds=seeds, only=only, before=before, device=device):
            text_methods.keep(row, file=file, command=command, date=time.strftime("%Y-%m-%d"))
            if not json:
                print(f"{setting:18}{row['title']:52}measured in {row['cpu_seconds']:.0f} s of processor time", flush=True)
        for row in text_methods.differences(text_methods.kept(file)["rows"], setting):
            _print_json(row) if json else print(text_methods.in_words(row), flush=True)


def _measured(row: dict) -> str:
    chosen, mean = row["experiment"], sum(row["students"]) / len(row["students"])
    return f"T {chosen['temperature']:<5g}alpha {chosen['alpha']:<8.3g}{mean:6.2f} %   measured in {row['seconds']:.0f} s"


def _print_differences(row: dict) -> None:
    """Differences from the baseline and from soft targets; a star marks those that are clear after Holm's correction."""
    found = [
        f"{name}: {one['difference']:+.2f} ({one['low']:+.2f} to {one['high']:+.2f}){'*' if one['sign'] else ' '} p {one['p_value']:<7.2g}"
        for name, one in row["against"].items()
    ]
    print(f"{row['kind']:10}{row['title']:42}{'   '.join(found)}", flush=True)


def advise(
    *,
    dataset: str = "digits",
    labels: int = 1000,
    bytes: int = 0,
    parameters: int = 0,
    keep: bool = False,
    seeds: int = grid.SEEDS,
    device: str = "auto",
    json: bool = False,
) -> None:
    """Which student, temperature, alpha and method for a number of labels and a budget, and the measurements that this rests on.

    Args:
        dataset: digits or mnist were measured; for others it says that they were not.
        labels: the number of training images with labels.
        bytes: the most that the student may take, in bytes of float32; 0 for no limit.
        parameters: the same as a number of parameters.
        keep: measure instead: the students, temperatures and alphas that are not in the repository yet; goes on where it was stopped.
        seeds: of that measurement.
        device: auto, cpu or cuda.
        json: print one JSON object; with keep, one a line for each student.
    """
    if keep:
        _measure_advice(seeds=seeds, device=device, json=json)
        return
    if bytes and parameters:
        raise ValueError(f"bytes {bytes} and parameters {parameters} are two budgets; give one of them")
    budget = bytes or advisor.BYTES * parameters
    found = advisor.advise(dataset, labels=labels, max_bytes=budget or math.inf)
    if json:
        fields = {"headline": found.headline, "experiment": asdict(found.experiment), "reasons": found.reasons, "gaps": found.gaps}
        _print_json({**fields, "candidates": [asdict(one) for one in found.candidates]})
        return
    print(found.headline)
    for one in found.candidates:
        gain = f"{one.gain[0]:+.1f} points ({one.gain[1]:+.1f} to {one.gain[2]:+.1f})"
        chosen = f"T {one.experiment.temperature:<4g}alpha {one.experiment.alpha:<5g}"
        print(
            f"    {one.experiment.student:12}{advisor.BYTES * one.parameters:>10,} bytes  {chosen}test {one.accuracy[0]:.1f} %  gain {gain}"
        )
    for heading, lines in (("It rests on:", found.reasons), ("Not measured:", found.gaps)):
        print(heading, *(f"    {line}" for line in lines), sep="\n")


def _measure_advice(*, seeds: int, device: str, json: bool) -> None:
    if not 2 <= seeds <= 100:
        raise ValueError(f"seeds {seeds} cannot be measured; give a number from 2 to 100")
    for one in {recipe.dataset: recipe for recipe, _ in grid.CELLS.values()}.values():
        _prepare(one, device=device)
    for row in grid.measure(seeds=seeds, before=grid.kept(), device=device):
        grid.keep(row)
        own = row["experiment"]
        line = f"{own['dataset']:10}{own['images']:>7,} labels  {own['student']:12}{row['cpu_seconds']:6.1f} s of processor time"
        _print_json(row) if json else print(line, flush=True)


def list_teachers(*, make: str = "", score: str = "", json: bool = False) -> None:
    """The shipped teachers: data set, parameters, test accuracy, how made.

    Args:
        make: train one again, such as mnist/cnn-32, or all; it replaces the shipped file.
        score: a data set, whose teachers are measured on its test images here, such as cifar10, whose teachers are those of its JPEG copy.
        json: print one JSON object a line.
    """
    if score:
        _score_teachers(score, json=json)
        return
    if make:
        _make_teachers(make)
    for card in teachers.shipped():
        if card.test_bits_per_character is not None:
            if json:
                _print_json(asdict(card))
            else:
                print(
                    f"{card.title:16} {card.name:12} {card.parameters:>10,} parameters   {format_bits(card.test_bits_per_character)} "
                    f"bits a character on {card.test_images:,} tokens of held-out text\n    {teachers.describe(card)}"
                )
            continue
        low, high = analysis.accuracy_interval(card.test_images - card.test_errors, card.test_images)
        if json:
            _print_json({**asdict(card), "test_accuracy": card.test_accuracy, "low": low, "high": high})
        else:
            print(
                f"{card.title:16} {card.name:12} {card.parameters:>10,} parameters   {format_percent(card.test_accuracy)} "
                f"({format_interval(low, high)}), {card.test_errors} errors of {card.test_images:,}\n    {teachers.describe(card)}"
            )


def _score_teachers(name: str, *, json: bool) -> None:
    """Each shipped teacher of the set, measured on the set's own test images."""
    if not teachers.shipped_for(name):
        known = [one for one in datasets.SOURCES if teachers.shipped_for(one)]
        raise ValueError(f"no teacher is shipped for the data set '{name}'; choose one of: {', '.join(known)}")
    _show_progress(datasets.fetch(name))
    dataset = datasets.load(name)
    for card in teachers.shipped_for(name):
        if dataset.is_text:
            network = teachers.load_teacher(dataset, card.name).network
            scores = analysis.score(teachers.logits(network, dataset, dataset.test_images), dataset)
            _print_json({"name": card.name, "dataset": name, **scores}) if json else print(f"{card.name:20} {_score(scores)} a character")
            continue
        logits = teachers.logits(teachers.load_teacher(dataset, card.name).network, dataset, dataset.test_images)
        errors, n = int((logits.argmax(dim=1) != dataset.test_labels).sum()), len(dataset.test_labels)
        low, high = analysis.accuracy_interval(n - errors, n)
        scores = {"test_errors": errors, "test_images": n, "test_accuracy": 1 - errors / n, "low": low, "high": high}
        if json:
            _print_json({"name": card.name, "dataset": name, **scores, "trained_on": card.dataset, "errors_on_card": card.test_errors})
        else:
            print(
                f"{card.name:20} {format_percent(1 - errors / n)} ({format_interval(low, high)}), {errors} errors of {n:,} "
                f"on {dataset.title}; its card: {card.test_errors} of {card.test_images:,} on {card.title}"
            )


def _make_teachers(which: str) -> None:
    shipped = [f"{card.dataset}/{card.name}" for card in teachers.shipped()]
    dataset, _, name = which.partition("/")
    if which != "all" and (dataset not in datasets.SOURCES or name not in teachers.TEACHERS):
        known = f"all, or DATASET/NAME of {', '.join(datasets.SOURCES)} and {', '.join(teachers.TEACHERS)}"
        raise ValueError(f"teacher '{which}' is not one that the lab can train; give {known}")
    for entry in shipped if which == "all" else [which]:
        dataset, name = entry.split("/")
        _show_progress(datasets.fetch(dataset))
        _show_progress(teachers.ship_teacher(datasets.load(dataset), name))


def list_data(*, make: str = "", json: bool = False) -> None:
    """The data sets, and whether each is on this machine.

    Args:
        make: cifar10-jpeg, the JPEG copy of CIFAR-10, is made from the original, which is downloaded first if it is not here.
        json: print one JSON object a line.
    """
    if make:
        if make != datasets.JPEG_COPY:
            raise ValueError(f"the data set '{make}' cannot be made from another one; only {datasets.JPEG_COPY} can")
        _show_progress(datasets.fetch("cifar10"))
        _show_progress(make_jpeg_copy())
    for name, source in datasets.SOURCES.items():
        fields = {"name": name, "title": source.title, "train": source.train, "test": source.test, "is_here": source.is_here()}
        if json:
            _print_json(fields)
        else:
            print(
                f"{name:15} {source.title:16} {source.train:>7,} + {source.test:,} {'windows' if source.is_text else 'images'}   "
                f"{'on this machine' if source.is_here() else 'not on this machine'}"
            )


def bench(subjects: Annotated[tuple[str, ...], tyro.conf.Positional] = (), *, json: bool = False) -> None:
    """The figures of speed and memory, the usual loop and ours in one run.

    Args:
        subjects: training, sweep, cifar, page, serve, compress, texts, lessons or gpu; all by default.
        json: print one JSON object.
    """
    if not (ROOT / "tests" / "bench").is_dir():
        raise ValueError(f"the benchmarks are part of the repository and not in {ROOT}; clone it and run this there")
    command = [sys.executable, "-m", "tests.bench", *subjects, *(["--json"] if json else [])]
    ended = subprocess.run(command, cwd=ROOT, check=False).returncode
    if ended == 2:
        raise ValueError(f"the benchmarks {', '.join(subjects)} could not be run; choose from those that --help lists")


def doctor(*, port: int = 8501, presets: bool = False, json: bool = False) -> None:
    """Is this machine ready: data, teachers, device, port, memory, and the seconds that each preset takes here.

    Args:
        port: the port that the lab would use.
        presets: measure every preset now, which takes a minute or more; the times are kept for the next call.
        json: print one JSON object.
    """
    from distill_core.runs import store, upkeep  # the database, which no other command needs

    report = examine(port=port, presets=presets)
    database = paths.home() / "lab.sqlite"
    if database.exists():
        try:
            report["runs"] = upkeep.stored_in_words(store.Store(database))
        except ValueError as error:
            report["runs"] = str(error)
    if json:
        _print_json(report)
        return
    for name, value in report.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for key, state in value.items():
                print(f"    {key:20} {state}")
        else:
            print(f"{name.replace('_', ' '):20} {_in_words(value)}")


def _in_words(value: object) -> object:
    return {True: "yes", False: "no", None: "none found"}.get(value, value) if isinstance(value, bool | None) else value


# --- printing -------------------------------------------------------------------------------------------------------


def _print_json(values: dict) -> None:
    print(json_format.dumps(values), flush=True)


def _status(text: str) -> None:
    """A line that the next one replaces; only on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _prepare(experiment: Experiment, *, device: str) -> None:
    """Bring data and teacher to this machine; a teacher that must be trained first is announced, with the time it takes."""
    _show_progress(datasets.fetch(experiment.dataset))
    if note := teachers.untrained_note(experiment.dataset, experiment.teacher, cores=available_cores()):
        print(note, file=sys.stderr)
    _show_progress(prepare(experiment, device=device))


def _show_progress(progress: Generator[tuple[str, float], None, T]) -> T:
    """Follow a task to its end on the status line; returns what it returns."""
    while True:
        try:
            what, fraction = next(progress)
        except StopIteration as ended:
            _status("")
            return ended.value
        _status(f"{what}: {format_percent(fraction, 0)}")


COMMANDS = {
    "train": train,
    "sweep": sweep,
    "export": export,
    "serve": serve,
    "compress": compress,
    "preset": preset,
    "lesson": lesson,
    "compare": compare,
    "advise": advise,
    "teachers": list_teachers,
    "data": list_data,
    "bench": bench,
    "doctor": doctor,
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Returns 0; or 2 after one line on standard error for arguments that cannot be run."""
    try:
        _parse(arguments)()
    except (ValueError, OSError) as error:
        print(f"distill_core: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("distill_core: stopped", file=sys.stderr)
        return 130
    return 0


def _with_usual(arguments: list[str] | None) -> list[str] | None:
    """The arguments of `train` and `sweep` with the usual settings, of a text or of so many images, where they are not named."""
    given = sys.argv[1:] if arguments is None else arguments
    flags = {one.partition("=")[0].replace("_", "-") for one in given}
    named = next(iter(_values_of("--dataset", given)), Experiment.dataset)
    if given[:1] not in (["train"], ["sweep"]):
        return arguments
    if datasets.is_text(named):
        usual = usual_of_text(named)
    elif flags & {"--batch-size", "--learning-rate"}:  # each is usual only beside the other
        return arguments
    else:
        usual = _usual_of_images(named, _values_of("--images", given))
    more = [[f"--{name.replace('_', '-')}", str(value)] for name, value in usual.items() if f"--{name.replace('_', '-')}" not in flags]
    return [*given, *itertools.chain(*more)]


def _usual_of_images(dataset: str, images: Sequence[str]) -> dict:
    """Batch size and learning rate for the smallest of these numbers of images; none for a data set or a number that cannot be read."""
    try:
        source = datasets.source_of(dataset)
        everything = source.train if source else len(datasets.load(dataset).train_labels)
        return usual_training(min((int(count) or everything for count in images), default=everything))
    except (ValueError, OSError):  # its sentence comes from where the value is used
        return {}


def _values_of(flag: str, arguments: Sequence[str]) -> list[str]:
    """What follows a flag, up to the next one."""
    for number, one in enumerate(arguments):
        name, _, value = one.partition("=")
        if name == flag:
            return [value] if value else [*itertools.takewhile(lambda word: not word.startswith("--"), arguments[number + 1 :])]
    return []


def _parse(arguments: list[str] | None) -> Callable[[], None]:
    """The command with its arguments, not yet run. Raises `ValueError` with one sentence for what cannot be parsed."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.extras.subcommand_cli_from_dict(
                {name: _later(command) for name, command in COMMANDS.items()},
                prog="python -m distill_core",
                description="Distill Lab: experiments on knowledge distillation.",
                args=_with_usual(arguments),
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
            )
    except SystemExit as ended:
        if not ended.code:  # --help
            raise
        # A title, perhaps a rule, the error, a rule, advice; in a box where the terminal can draw one.
        below = [line.strip("│ ") for line in errors.getvalue().splitlines()][1:]
        sentence = itertools.takewhile(lambda line: not _is_rule(line), itertools.dropwhile(_is_rule, below))
        raise ValueError(f"{' '.join(sentence) or 'the command is not complete'}; see python -m distill_core --help") from ended


def _is_rule(line: str) -> bool:
    return set(line) <= set("─-")


def _later(command: Callable) -> Callable:
    """The command as a function with the same arguments, which returns the call instead of making it."""

    @functools.wraps(command)
    def parsed(*arguments: object, **options: object) -> Callable[[], None]:
        return functools.partial(command, *arguments, **options)

    return parsed


if __name__ == "__main__":
    sys.exit(main())
