"""Finished runs by a name: what the command line and the page Compress export, compress and serve."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from distill_core import paths
from distill_core.runs.keys import run_key
from distill_core.runs.schema import Run
from distill_core.runs.store import Store, StoreError

WEIGHTS = "weights.safetensors"  # the artefact with the weights of a run's first seed


def default_store() -> Store:
    """The store of the lab on this machine."""
    return Store(paths.home() / "lab.sqlite")


def keep_finished(store: Store, experiments: Sequence, records: Sequence[dict], artefacts: dict[str, bytes], *, seconds: float) -> str:
    """Store a run that was trained outside the engine as the engine would; returns its id, that of an earlier equal run if there is one."""
    key = run_key(experiments)
    if earlier := store.finished_with_key(key):
        return earlier.id
    texts = [one.to_json() for one in experiments]
    run_id = store.create(texts, key=key, epochs=max(one.all_epochs for one in experiments), status="stopped")
    store.write(run_id, records=records, files=artefacts, epoch=float(experiments[0].all_epochs), seconds=seconds, status="finished")
    return run_id


def find(name: str, *, store: Store | None = None):  # noqa: ANN201 (a Trained: torch is imported only here)
    """The network called `name`: a run's id, the key of its first experiment, `dataset/teacher`, or an exported .safetensors file.

    Raises `ValueError` with one sentence if there is none, or its weights cannot be read.
    """
    from distill_core.data import datasets
    from distill_core.export import files, trained

    if name.endswith(".safetensors"):
        return files.read_safetensors(Path(name))
    dataset, _, teacher = name.partition("/")
    if teacher:
        if dataset not in datasets.SOURCES:
            raise ValueError(f"'{name}' names no teacher: dataset '{dataset}' is not known; choose one of: {', '.join(datasets.DATASETS)}")
        for _ in datasets.fetch(dataset):
            pass
        return trained.of_teacher(datasets.load(dataset), teacher)
    if not re.fullmatch(r"[0-9a-f]{12}|[0-9a-f]{16}", name):
        raise ValueError(
            f"run '{name[:80]}' is not known; give a run's id of the page Runs, the key that `train --json` printed, a teacher "
            "such as mnist/cnn-32, or a .safetensors file that `export` wrote"
        )
    store = store or default_store()
    run = _run(store, name)
    if run is None:
        raise ValueError(f"there is no finished run '{name}' in {store.path}; train it first, or give another id or key")
    return of_run(store, run)


def of_run(store: Store, run: Run):  # noqa: ANN201
    """The student of a finished run's first seed, as `export.trained.Trained`. Raises `ValueError` where it cannot be read."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    from distill_core.experiment import Experiment
    from distill_core.export import trained

    if run.status != "finished":
        raise ValueError(f"the run {run.id} is {run.status}; only a finished one can be exported, train it to its end")
    try:
        weights = load(store.read_artefact(run.id, WEIGHTS))
    except (SafetensorError, StoreError) as error:
        raise ValueError(f"the weights of run {run.id} are cut or missing; train it again") from error
    experiment = Experiment.from_json(run.experiments[0])
    return trained.of_run(experiment, weights, results=store.results(run.id), records=store.records(run.id))


def _run(store: Store, name: str) -> Run | None:
    """The run with this id, or the newest finished one whose first experiment has this key. Other versions' runs are passed over."""
    from distill_core.experiment import Experiment

    if run := store.get(name):
        return run
    for run in store.list(status="finished", limit=100_000):
        try:
            if Experiment.from_json(run.experiments[0]).key == name:
                return run
        except (ValueError, IndexError):
            continue
    return None
