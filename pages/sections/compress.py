"""The page Compress in parts: which network, its sliders, its recovery as a race, its files, and the measured ladder."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import streamlit as st

from distill_core import analysis, models
from distill_core.compression import NONE, Compression
from distill_core.compression.curves import AXES, Curves
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.export.trained import Trained, of_teacher
from distill_core.figures.ladder import ladder_figure
from distill_core.runs.finished import of_run
from distill_core.starts import keep_start
from distill_core.statistics import format_interval, format_percent
from distill_core.studies import ladder
from distill_core.teachers import default_teacher
from pages.components.compress_sliders import compress_sliders
from pages.components.live_chart import live_chart
from pages.sections import downloads as files
from pages.sections import networks, race
from pages.server.lab import store
from pages.server.link import settle
from pages.server.plain_text import plain, show_error

TITLES = {
    "prune": "Prune single weights",
    "neurons": "Remove units or channels",
    "rank": "Low rank of each layer",
    "bits": "Quantise the weights",
}
DEFAULTS = {"network": "", "recovery": ""}
FIRST, PART, TICK = 0.4, 0.3, 0.2  # seconds of measuring before the page is drawn, and in each tick; seconds between two ticks
RECOVERY = {"images": 5000, "epochs": 3, "batch_size": 64, "learning_rate": 0.003}


def offered() -> dict[str, str]:
    """The networks to start from, each with its label: finished runs of this lab, newest first, and the shipped teachers.

    Of these the ones for small images come first: their curves are measured in a moment.
    """
    runs = networks.finished_runs(*[name for name, source in datasets.DATASETS.items() if source.is_here()], *datasets.kept_zips())
    found = {run.id: networks.describe(run) for run in runs.values()}
    teachers = networks.teachers_here()
    for dataset in sorted(teachers, key=lambda name: math.prod(datasets.DATASETS[name].image_shape)):
        for name in teachers[dataset]:
            found[f"{dataset}/{name}"] = f"teacher {networks.name_with_layers(name)}, {datasets.DATASETS[dataset].title}"
    return found


@st.cache_resource(max_entries=8, show_spinner="Loading the network")
def load(name: str, resets: int) -> tuple[Trained, Curves]:
    """The network of this name and its curves, which all sessions share. Raises `ValueError` with one sentence where there is none."""
    dataset, _, teacher = name.partition("/")
    if teacher:
        trained = of_teacher(datasets.load(dataset), teacher)
    elif (run := store().get(name)) is None:
        raise ValueError(f"there is no run '{name}'; it may have been deleted, choose another network")
    else:
        trained = of_run(store(), run)
    trained.check_images("compressed")
    return trained, Curves(trained.network, trained.dataset)


def choose() -> tuple[Trained, Curves] | None:
    """The select box of the network, the network, and its curves."""
    labels = offered()
    settle("compress_network", list(labels))
    name = st.selectbox(
        "Network", list(labels), key="compress_network", format_func=labels.get, persist_state="session",
        help="A finished run of the page Race, of which the student of its first seed is taken, or a shipped teacher.",
    )  # fmt: skip
    try:
        run = store().get(name) if "/" not in name else None
        return load(name, run.resets if run else 0)
    except ValueError as error:
        show_error(error)
        return None


def sliders(trained: Trained, curves: Curves, name: str) -> Compression:
    """The four sliders, and what their values give together. Their curves go on growing while the page is used."""
    curves.go_on(seconds=FIRST)
    every, used = None if curves.is_finished else TICK, {}
    st.fragment(_draw_sliders, run_every=every)(curves, name, used)
    return _show_combination(trained, curves, Compression(**used))


def _draw_sliders(curves: Curves, name: str, used: dict[str, int]) -> None:
    """Draw the curves as far as they are measured, and measure more. `used`: the values that the page around shows, empty at first."""
    was_finished = curves.is_finished
    chosen = compress_sliders(
        curves.points, values={axis: values[0] for axis, values in AXES.items()}, titles=TITLES, key=f"sliders_{name}"
    )
    if not used:
        used.update(chosen)
    elif used != chosen or was_finished:  # the page shows another combination, or need not tick any more
        st.rerun()
    else:
        curves.go_on(seconds=PART)


def _show_combination(trained: Trained, curves: Curves, compression: Compression) -> Compression:
    """Accuracy, size and work of the network with all four sliders applied; returns what the rest of the page goes on with."""
    images = curves.images_of_combination
    try:
        before, after = (curves.combination(one) for one in (NONE, compression))
    except ValueError as error:
        show_error(error)
        return NONE
    low, high = analysis.accuracy_interval(round(after["accuracy"] * images), images)
    accuracy, size, work = st.columns(3)
    accuracy.metric(
        "Test accuracy, all four together",
        format_percent(after["accuracy"]),
        f"{100 * (after['accuracy'] - before['accuracy']):+.2f} points",
        help="Measured on the test images now, before any further training. Below it: the change in percentage points.",
    )
    size.metric(
        "Weights", f"{after['bytes'] / 1000:,.1f} kB", f"{before['bytes'] / max(1, after['bytes']):.3g}x smaller", delta_color="off"
    )
    work.metric("MFLOP an image", f"{after['flops'] / 1e6:.3g}", f"{before['flops'] / max(1, after['flops']):.3g}x less", delta_color="off")
    st.caption(
        f"{compression.in_words.capitalize()}; 95 % interval {format_interval(low, high)} on {_of_test_images(trained, images)}. Each "
        f"curve shows one slider alone, on {_of_test_images(trained, curves.images)}. Quantisation is simulated here: weights are rounded, "
        "products stay in float32. The export *ONNX, 8 bits* really computes with weights and activations of 8 bits. Weights that are 0 "
        "save bytes and, in dense kernels, no time."
    )
    return compression


def _of_test_images(trained: Trained, images: int) -> str:
    return f"{'all' if images == len(trained.dataset.test_labels) else 'the first'} {images:,} test images"


def recover(trained: Trained, compression: Compression) -> None:
    """Train the compressed network further, with its teacher and with labels only, as a race over five seeds."""
    st.subheader("Recover with the teacher")
    st.markdown(
        "A few epochs from the compressed weights: once with the teacher's soft targets (student), once with labels only (baseline). "
        "Pruned weights stay 0; bits are kept in every step."
    )
    experiments = _experiments(trained, compression)
    if isinstance(experiments, str):
        st.info(experiments)
        return
    pressed = st.button(
        "Recover", key="recover", type="primary", icon=":material/healing:", disabled=compression == NONE,
        help="Trains the compressed network again: five seeds with the teacher's soft targets, and five with labels only, for three epochs "
        "on 5,000 images, or on all where there are fewer.",
    )  # fmt: skip
    if pressed:
        start = keep_start(trained.network)
        if run_id := race.start([replace(one, start_from=start) for one in experiments], title=f"recover {compression}"):
            st.session_state["compress_recovery"] = run_id
    if compression == NONE:
        st.caption("Move a slider first: there is nothing to recover yet.")
    if (run_id := st.session_state.get("compress_recovery")) and store().get(run_id) is not None:
        race.follow(run_id, key="recovery", panels=("test_accuracy", "difference"))


def _experiments(trained: Trained, compression: Compression) -> list[Experiment] | str:
    """The races of a recovery, before they have a start; or the reason why there is none."""
    dataset, own = trained.dataset, trained.experiment
    try:
        models.check_model(trained.model)
        teacher = own.teacher if own and own.teacher != "self" else default_teacher(dataset.name)
        images = min(RECOVERY["images"], len(dataset.train_labels))
        fields = {**RECOVERY, "images": images, "dataset": dataset.name, "teacher": teacher, "student": trained.model}
        return [Experiment(**fields, compression=str(compression), seed=seed) for seed in range(5)]
    except ValueError as error:
        return f"This network cannot be trained further here: {plain(error)}."


def downloads(trained: Trained, compression: Compression) -> None:
    """The files of the network as the sliders compress it."""
    try:
        files.show(trained.compressed(compression), key="compress")
    except ValueError as error:
        show_error(error)


def show_ladder() -> None:
    """The measured ladders, each as a chart and a table."""
    st.subheader("The ladder: what each compression costs and saves")
    st.markdown(
        "A ladder is a list of networks, its *rungs*: a teacher, a student, and each of them after compression, all measured in the same "
        "way. prune-80: 80 % of the weights are 0; neurons-50: half of the units are removed; rank-30: layers of 30 % of the full rank; "
        "int4: weights of 4 bits; recovered: trained again for a few epochs. Points are percentage points of test accuracy."
    )
    rows = ladder.kept()["rows"]
    if not rows:
        st.markdown("No ladder is measured yet: `python -m distill_core compress mnist --keep` measures that of MNIST.")
        return
    settings = [name for name in ladder.SETTINGS if any(row["setting"] == name for row in rows)]
    setting = st.segmented_control(
        "Data set and student", settings, key="compress_ladder", default=settings[0], required=True,
        format_func=lambda s: ladder.SETTINGS[s].title,
        help="Each ladder has one data set, one teacher and one student.",
    )  # fmt: skip
    own = [row for row in rows if row["setting"] == setting]
    if len(own) < (count := len(ladder.names_of(ladder.SETTINGS[setting]))):
        st.markdown(f"Measured so far: {len(own)} of {count} rungs. `python -m distill_core compress {setting} --keep` measures the rest.")
    else:
        for sentence in ladder.findings(own, allowed=ladder.SETTINGS[setting].allowed):
            st.markdown(f"- {sentence}")
    live_chart(ladder_figure(own), key="ladder", height=460, revision=setting)
    named = {row["rung"]: row for row in own}
    table = [
        {
            "": number,
            "rung": row["rung"],
            "accuracy": f"{format_percent(row['test_accuracy'])} ({format_interval(row['low'], row['high'])})",
            "kB": f"{row['bytes'] / 1000:,.1f}",
            "parameters": f"{row['parameters']:,}",
            "MFLOP": f"{row['flops'] / 1e6:.3g}",
            "ms, torch": _milliseconds(row["latency_ms"]["torch"]),
            "ms, ONNX": _milliseconds(row["latency_ms"]["onnx"]),
            "over labels only": _over_labels_only(row, named),
            "agreement": format_percent(row["agreement"]),
            "ECE": f"{100 * row['ece']:.2f}",
            **{name: format_percent(value) for name, value in row["robustness"].items()},
        }
        for number, row in enumerate(own, start=1)
    ]
    st.dataframe(pd.DataFrame(table), hide_index=True)
    about = ladder.kept()["measured"][setting]
    if ladder.was_busy(own):
        st.caption(
            "The milliseconds were measured while other programs used the machine: compare them with caution, 99th percentiles not at all."
        )
    st.caption(
        f"Means over {own[-1]['seeds']} seeds with 95 % intervals; the teacher's is Wilson's. Milliseconds of one image: median and 99th "
        "percentile, on one thread. Over labels only: the accuracy after recovery with the teacher minus that after recovery with labels "
        "only, in points, paired by seed. The Pareto front (no other rung is at most as large and at least as accurate) and the smallest "
        "rung are found on the test images: no images are held out for that choice, so expect slightly less on others. Agreement with the "
        f"teacher; ECE in points; accuracy on {ladder.CHANGED_IMAGES:,} test images with noise, blur, a shift, half the contrast. Measured "
        f"on {about['date']} in {about['cpu_seconds']:,} s of processor time: {plain(about['machine'])}; `{about['command']}`."
    )


def _over_labels_only(row: dict, named: dict[str, dict]) -> str:
    baseline = named.get(row["rung"].replace(ladder.HOW["student"], ladder.HOW["baseline"]))
    if baseline is None or baseline is row:
        return ""
    found = ladder.over_labels_only(row, baseline)
    return "{difference:+.2f} ({low:+.2f} to {high:+.2f})".format(**found).replace("-", "\u2212")


def _milliseconds(found: dict) -> str:
    return f"{found['1']['median']:.3f}, {found['1']['p99']:.3f}"
