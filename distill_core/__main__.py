"""The command line: what the pages do, scriptable. `python -m distill_core COMMAND --help` tells the flags."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import itertools
import json as json_format
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, get_type_hints

import tyro

from distill_core.runs.process import prepare_process

if __name__ == "__main__":
    prepare_process()  # before torch is imported

from distill_core import analysis, paths, teachers
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.studies import comparison
from distill_core.studies.presets import PRESETS, measure
from distill_core.training.shards import train_sharded
from distill_core.training.trainer import pick_device, prepare
from distill_core.training.trainer import train as train_race

MAX_AT_ONCE = 2000
ROOT = Path(__file__).resolve().parents[1]
TheExperiment = Annotated[Experiment, tyro.conf.arg(name="")]


def train(experiment: TheExperiment, *, device: str = "auto", json: bool = False) -> None:
    """One race: a student with its teacher, and its baseline without.

    Args:
        device: auto, cpu or cuda.
        json: print one JSON object a line instead of a table.
    """
    _tell(prepare(experiment, device=device))
    for told in train_race(experiment, device=device):
        if json:
            _print_json(told)
        elif told["event"] == "result":
            _print_result(told)
        elif told["test_accuracy"] is not None and told["member"] == "student":
            _status(f"epoch {told['epoch']:g} of {experiment.epochs}: student {told['test_accuracy']:.2%}")


def _print_result(result: dict) -> None:
    _status("")
    print(f"{'':10}{'test accuracy':>15}{'95 % interval':>22}{'errors':>9}{'agreement':>11}{'ECE':>9}{'parameters':>12}")
    for role in ("teacher", "baseline", "student"):
        s = result[role]
        between = f"{s['low']:.2%} to {s['high']:.2%}"
        print(
            f"{role:10}{s['test_accuracy']:>15.2%}{between:>22}{s['test_errors']:>9}{s['agreement']:>11.2%}{s['ece']:>9.3f}"
            f"{s['parameters']:>12,}"
        )
    print(f"run {result['key']}, {result['seconds']:.1f} s")


def _several(names: tuple[str, ...]) -> type:
    """The fields of an Experiment, of which `names` take several values."""
    fields, kinds = [], get_type_hints(Experiment)
    for field in dataclasses.fields(Experiment):
        kind, default = kinds[field.name], field.default
        if field.name in names:
            kind, default = tuple[kind, ...], (default,)
        fields.append((field.name, kind, dataclasses.field(default=default)))
    return dataclasses.make_dataclass("Several", fields, frozen=True)


SEVERAL = ("temperature", "alpha", "student", "images", "seed")
Sweep = _several(SEVERAL)


def sweep(choices: Annotated[Sweep, tyro.conf.arg(name="")], *, device: str = "auto", json: bool = False) -> None:
    """Many students at once: --temperature, --alpha, --student, --images and --seed take several values.

    Args:
        device: auto, cpu or cuda.
        json: print one JSON object a line, for each combination of values.
    """
    fixed = {field.name: getattr(choices, field.name) for field in dataclasses.fields(Experiment) if field.name not in SEVERAL}
    values = [dict.fromkeys(getattr(choices, name)) for name in SEVERAL]
    if not all(values):
        raise ValueError(f"{SEVERAL[values.index({})]} has no value; give one or more")
    experiments = [Experiment(**fixed, **dict(zip(SEVERAL, chosen, strict=True))) for chosen in itertools.product(*values)]
    if len(experiments) > MAX_AT_ONCE:
        raise ValueError(f"{len(experiments)} students are more than the {MAX_AT_ONCE} that one sweep takes; give fewer values")
    for one in {(e.dataset, e.teacher): e for e in experiments}.values():
        _tell(prepare(one, device=device))
    started, results = time.perf_counter(), {}
    for told in train_sharded(experiments, device=device):
        if told["event"] == "result":
            results[told["experiment"]] = told
        elif told["test_accuracy"] is not None:
            _status(f"{len(results)} of {len(experiments)} students; epoch {told['epoch']:g} of {choices.epochs}")
    _status("")
    for place, one in enumerate(experiments):
        result = {**results[place], "experiment": asdict(one)}
        cell = {name: getattr(one, name) for name in SEVERAL if name != "student"}
        if json:
            _print_json({**cell, **result})  # the student's name is in its experiment
        else:
            student, baseline = result["student"], result["baseline"]
            print(
                f"T {one.temperature:<6g}alpha {one.alpha:<6g}{one.student:12}{_images(one):>8} images   seed {one.seed:<4}"
                f"student {student['test_accuracy']:.2%}   baseline {baseline['test_accuracy']:.2%}   "
                f"{100 * (student['test_accuracy'] - baseline['test_accuracy']):+.2f} points"
            )
    if not json:
        print(f"{len(experiments)} students beside their baselines in {time.perf_counter() - started:.1f} s")


def _images(experiment: Experiment) -> str:
    return f"{experiment.images:,}" if experiment.images else "all"


def preset(
    name: Annotated[str, tyro.conf.Positional] = "", *, list: bool = False, seeds: int = 10, device: str = "auto", json: bool = False
) -> None:
    """An experiment of the literature: what its source says, what was expected, what came.

    Args:
        name: which one.
        list: name them all.
        seeds: over how many seeds.
        device: auto, cpu or cuda.
        json: print one JSON object a line.
    """
    if list or not name:
        for key, entry in PRESETS.items():
            fields = {"name": key, "title": entry.title, "source": entry.source, "expected": asdict(entry.measured)}
            _print_json(fields) if json else print(f"{key:18}{entry.title}: {entry.measured.difference:+.2f} points ({entry.source})")
        return
    if name not in PRESETS:
        raise ValueError(f"preset '{name}' is not known; choose one of: {', '.join(PRESETS)}")
    if not 1 <= seeds <= 100:
        raise ValueError(f"seeds {seeds} cannot be run; give a number from 1 to 100")
    _tell(prepare(PRESETS[name].experiment, device=device))
    for told in measure(PRESETS[name], seeds=seeds, device=device):
        if told["event"] == "claim" and json:
            _print_json({**told, "preset": name})
        elif told["event"] == "claim":
            _status("")
            expected, came = told["expected"], told["came"]
            print(f"{told['source']}: {told['claim']}")
            print(f"expected: {expected['difference']:+.2f} points ({expected['low']:+.2f} to {expected['high']:+.2f})")
            print(f"came:     {came['difference']:+.2f} points ({came['low']:+.2f} to {came['high']:+.2f}), over {seeds} seeds")
        elif told["test_accuracy"] is not None:
            _status(f"epoch {told['epoch']:g} of {PRESETS[name].experiment.epochs}")


def compare(
    settings: Annotated[tuple[str, ...], tyro.conf.Positional] = (),
    *,
    method: tuple[str, ...] = (),
    seeds: int = 10,
    device: str = "auto",
    keep: bool = False,
    costs: bool = False,
    json: bool = False,
) -> None:
    """All methods side by side, over several seeds: the difference from the baseline with its interval, time and memory of a step.

    Args:
        settings: mnist-1000, mnist-60000 or cifar10-10000; all by default.
        method: only these.
        seeds: over how many seeds, from 2.
        device: auto, cpu or cuda.
        keep: put what was measured in the place of the repository's figures.
        costs: measure only again what a step costs, on a machine at rest, and keep it beside the accuracies.
        json: print one JSON object a line.
    """
    known = {setting: list(comparison.entries(entry.experiment)) for setting, entry in comparison.SETTINGS.items()}
    for name in settings:
        if name not in known:
            raise ValueError(f"setting '{name}' is not known; choose from: {', '.join(known)}")
    for name in method:
        if name not in next(iter(known.values())):
            raise ValueError(f"method '{name}' is not compared; choose from: {', '.join(next(iter(known.values())))}")
    if not 2 <= seeds <= 100:
        raise ValueError(f"seeds {seeds} cannot be compared; give a number from 2 to 100")
    if costs:
        comparison.measure_costs_again(device=device)
    for setting in () if costs else settings or known:
        started, rows = time.perf_counter(), []
        usual = comparison.SETTINGS[setting].experiment
        for _, changes in comparison.entries(usual).values():
            with contextlib.suppress(ValueError):  # said by its row
                _tell(prepare(dataclasses.replace(usual, **changes), device=device))
        for row in comparison.compare(setting, seeds=seeds, only=method, device=device):
            rows.append(row)
            if json:
                _print_json(row)
            elif "refused" in row:
                print(f"{setting:15}{row['title']:42}{row['refused']}", flush=True)
            else:
                between = f"({row['low']:+.2f} to {row['high']:+.2f})"
                print(
                    f"{setting:15}{row['title']:42}{row['difference']:+.2f} {between:20}{row['step_ms']:8.2f} ms{row['step_mb']:8.2f} MB",
                    flush=True,
                )
        if keep:
            command = f"python -m distill_core compare {setting} --seeds {seeds} --keep"
            comparison.keep(setting, rows, command=command, seconds=time.perf_counter() - started, date=time.strftime("%Y-%m-%d"))


def list_teachers(*, make: str = "", json: bool = False) -> None:
    """The shipped teachers: data set, parameters, test accuracy, how made.

    Args:
        make: make one again, as mnist/cnn-32, or all; it replaces the shipped file.
        json: print one JSON object a line.
    """
    if make:
        _make_teachers(make)
    for card in teachers.shipped():
        low, high = analysis.accuracy_interval(card.test_images - card.test_errors, card.test_images)
        if json:
            _print_json({**asdict(card), "test_accuracy": card.test_accuracy, "low": low, "high": high})
        else:
            print(
                f"{card.title:16} {card.name:12} {card.parameters:>10,} parameters   {card.test_accuracy:.2%} "
                f"({low:.2%} to {high:.2%}), {card.test_errors} errors of {card.test_images:,}\n    {teachers.describe(card)}"
            )


def _make_teachers(which: str) -> None:
    shipped = [f"{card.dataset}/{card.name}" for card in teachers.shipped()]
    dataset, _, name = which.partition("/")
    if which != "all" and (dataset not in datasets.DATASETS or name not in teachers.TEACHERS):
        known = f"all, or DATASET/NAME of {', '.join(datasets.DATASETS)} and {', '.join(teachers.TEACHERS)}"
        raise ValueError(f"teacher '{which}' is not one that the lab can make; give {known}")
    for entry in shipped if which == "all" else [which]:
        dataset, name = entry.split("/")
        _tell(datasets.fetch(dataset))
        _tell(teachers.ship_teacher(datasets.load(dataset), name))


def bench(subjects: Annotated[tuple[str, ...], tyro.conf.Positional] = (), *, json: bool = False) -> None:
    """The figures of speed and memory, the usual loop and ours in one run.

    Args:
        subjects: training, map, cifar or page; all by default.
        json: print one JSON object.
    """
    if not (ROOT / "tests" / "bench").is_dir():
        raise ValueError(f"the benchmarks are part of the repository and not in {ROOT}; clone it and run this there")
    command = [sys.executable, "-m", "tests.bench", *subjects, *(["--json"] if json else [])]
    ended = subprocess.run(command, cwd=ROOT, check=False).returncode
    if ended == 2:
        raise ValueError(f"the benchmarks {', '.join(subjects)} could not be run; choose from: training, map, cifar, page")


def doctor(*, port: int = 8501, json: bool = False) -> None:
    """Is this machine ready: data, teachers, device, port, and the seconds that a preset takes here.

    Args:
        port: the port that the lab would use.
        json: print one JSON object.
    """
    found = {
        "python": sys.version.split()[0],
        "device": str(pick_device("auto")),
        "cores": os.cpu_count(),
        "home": str(paths.home()),
        "home_writable": _problem(_try_writing) or True,
        "free_disk_gb": round(shutil.disk_usage(_existing(paths.home())).free / 1e9, 1),
        "datasets": {name: _dataset_state(name) for name in datasets.DATASETS},
        "teachers": {f"{card.dataset}/{card.name}": _problem(_check_teacher, card) or "ready" for card in teachers.shipped()},
        "port": port,
        "port_free": _port_is_free(port),
        "browser": next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None),
        "first_race_seconds": _time_of(lambda: sum(1 for _ in measure(PRESETS["first-race"]))),
    }
    found["ready"] = found["home_writable"] is True and all(state == "ready" for state in found["teachers"].values())
    if json:
        _print_json(found)
        return
    for name, value in found.items():
        if isinstance(value, dict):
            print(f"{name}:")
            for key, state in value.items():
                print(f"    {key:20} {state}")
        else:
            print(f"{name.replace('_', ' '):20} {_words(value)}")


def _words(value: object) -> object:
    return {True: "yes", False: "no", None: "none found"}.get(value, value) if isinstance(value, bool | None) else value


def _dataset_state(name: str) -> str:
    if not datasets.DATASETS[name].is_here():
        return "not on this machine yet; the first run with it downloads it" if datasets.DATASETS[name].kind else "not on this machine"
    return _problem(datasets.load, name) or "ready"


def _problem(check: Callable, *arguments: object) -> str:
    """The sentence with which a check refuses; empty when all is well."""
    try:
        check(*arguments)
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def _check_teacher(card: teachers.Card) -> None:
    if card.dataset == "digits" or datasets.DATASETS[card.dataset].is_here():
        teachers.load_teacher(datasets.load(card.dataset), card.name)


def _try_writing() -> None:
    paths.home().mkdir(parents=True, exist_ok=True)
    probe = paths.home() / ".doctor"
    probe.write_bytes(b"1")
    probe.unlink()


def _existing(folder: os.PathLike) -> os.PathLike:
    return folder if folder.exists() else _existing(folder.parent)


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _time_of(work: Callable) -> float:
    started = time.perf_counter()
    work()
    return round(time.perf_counter() - started, 2)


# --- printing -------------------------------------------------------------------------------------------------------


def _print_json(told: dict) -> None:
    print(json_format.dumps(told), flush=True)


def _status(text: str) -> None:
    """A line that the next one replaces; only where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def _tell(progress: Iterator[tuple[str, float]]) -> None:
    for what, fraction in progress:
        _status(f"{what}: {fraction:.0%}")
    _status("")


COMMANDS = {
    "train": train,
    "sweep": sweep,
    "preset": preset,
    "compare": compare,
    "teachers": list_teachers,
    "bench": bench,
    "doctor": doctor,
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it was done, 2 and one line on standard error when it cannot be done."""
    try:
        _parse(arguments)()
    except (ValueError, OSError) as error:
        print(f"distill_core: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("distill_core: stopped", file=sys.stderr)
        return 130
    return 0


def _parse(arguments: list[str] | None) -> Callable[[], None]:
    """The command with its arguments, not yet run. What cannot be parsed is a `ValueError` of one sentence."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.extras.subcommand_cli_from_dict(
                {name: _later(command) for name, command in COMMANDS.items()},
                prog="python -m distill_core",
                description="Distill Lab: experiments on knowledge distillation.",
                args=arguments,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
            )
    except SystemExit as ended:
        if not ended.code:  # --help was asked for
            raise
        # A title, perhaps a rule, what is wrong, a rule, advice; in a box where the terminal can draw one.
        below = [line.strip("│ ") for line in complaint.getvalue().splitlines()][1:]
        said = itertools.takewhile(lambda line: not _is_rule(line), itertools.dropwhile(_is_rule, below))
        raise ValueError(f"{' '.join(said) or 'the command is not complete'}; see python -m distill_core --help") from ended


def _is_rule(line: str) -> bool:
    return set(line) <= set("─-")


def _later(command: Callable) -> Callable:
    """The command as a function that parses like it, and gives what is left to do."""

    @functools.wraps(command)
    def parsed(*arguments: object, **options: object) -> Callable[[], None]:
        return functools.partial(command, *arguments, **options)

    return parsed


if __name__ == "__main__":
    sys.exit(main())
