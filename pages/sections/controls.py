"""The choices of an Experiment as widgets, and the link that restores them all."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict, replace

import streamlit as st

from distill_core import models, teachers
from distill_core.data import datasets
from distill_core.experiment import AUGMENTATIONS, COMBINATIONS, MAX, OPTIMIZERS, SCHEDULES, Experiment
from distill_core.objectives import METHODS, Method

START = Experiment(images=200, epochs=100, batch_size=16)
IMAGES = [100, 200, 300, 500, 1000, 1800, 3000, 5000, 10_000, 20_000, 60_000]
STUDENTS = ["linear", "mlp-10x1", "mlp-30x2", "mlp-128x2", "mlp-300x2", "mlp-800x2", "cnn-4", "cnn-8", "cnn-16", "cnn-32", "resnet-8"]
TEMPERATURES = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0]
RATES = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3]
BATCHES = [8, 16, 32, 64, 128, 256, 512]
_AUGMENTATION = {"none": "none", "fixed": "moved images, fixed soft targets", "consistent": "moved images, the teacher looks too"}
FIELDS = tuple(name for name in asdict(START) if name != "seed")
MAX_SEEDS = 10


def restore(experiments: list[Experiment]) -> None:
    """Put the widgets to these choices, before they are drawn."""
    for field, value in asdict(experiments[0]).items():
        st.session_state[field] = list(value) if isinstance(value, tuple) else value
    _tell_generations_from_assistants()
    st.session_state["seeds"] = len(experiments)


def _tell_generations_from_assistants() -> None:
    """Two widgets make one field: the last assistants, where they are of the student's own size, are its earlier generations."""
    state = st.session_state
    state["generations"] = 0
    while state["assistants"] and state["assistants"][-1] == state["student"]:
        state["assistants"] = state["assistants"][:-1]
        state["generations"] += 1


def restore_link() -> None:
    """Once a session: put the widgets to what the link says. What cannot be run is left out, and said."""
    if "seeds" in st.session_state:
        return
    restore([replace(START, seed=seed) for seed in range(5)])
    told = {name: st.query_params.get_all(name) for name in st.query_params if name in (*FIELDS, "seeds")}
    try:
        seeds = _number("seeds", told.pop("seeds", ["5"])[-1], int)
        fields = {name: _parse(name, values) for name, values in told.items()}
        dataset = Experiment.from_fields(asdict(START) | fields).dataset
        if dataset not in _datasets():
            raise ValueError(f"the pictures '{dataset}' are not in this lab; bring the zip again, or choose another data set")
        if not 1 <= seeds <= MAX_SEEDS:
            raise ValueError(f"seeds {seeds} cannot be run; give a number from 1 to {MAX_SEEDS}")
    except ValueError as error:
        st.toast(f"The link says what cannot be run: {error}", icon=":material/link_off:")
    else:
        st.session_state.update(fields | {"seeds": seeds})
        _tell_generations_from_assistants()


def _parse(field: str, values: list[str]) -> object:
    """A field's value from the link, in its own type."""
    if field == "hide_classes":
        return [_number(field, value, int) for value in values]
    if field == "assistants":
        return values
    kind = type(getattr(START, field))
    return values[-1] if kind is str else _number(field, values[-1], kind)


def _number(field: str, text: str, kind: type) -> int | float:
    try:
        return kind(text)
    except ValueError as error:
        raise ValueError(f"{field} {text!r} is not a {'whole ' if kind is int else ''}number") from error


def link_to(experiments: list[Experiment], run_id: str | None = None) -> dict[str, str | list[str]]:
    """What the race page's address says: the run, and every choice that is not the usual one."""
    usual, chosen = asdict(START), asdict(experiments[0]) | {"seeds": len(experiments)}
    link = {name: value for name, value in chosen.items() if name != "seed" and value != usual.get(name, 5)}
    if run_id:
        link["run"] = run_id
    return {name: [str(v) for v in value] if isinstance(value, tuple) else str(value) for name, value in link.items()}


def write_link(experiments: list[Experiment], run_id: str | None) -> None:
    """Put it into the address."""
    st.query_params.from_dict(link_to(experiments, run_id))


def choose() -> list[Experiment] | None:
    """The experiments that the widgets describe, one a seed; None, with a sentence, where they describe none."""
    dataset = _choice("dataset", "Images", _datasets(), format_func=_title)
    classes, most = _known(dataset)
    images = _choice("images", "How many the student sees", [n for n in IMAGES if n < most] + [0], format_func=lambda n: _many(n, most))
    offered = teachers.offered(dataset)
    teacher = _choice(
        "teacher", "Teacher", [*offered, "+".join(offered[:2])], accept_new_options=True,
        help="Several answer as one: write them with + in between. In 2*cnn-32+mlp-1200x2 one has a double voice.",
    )  # fmt: skip
    method = _choice("method", "Method", list(METHODS), format_func=method_title)
    student = _choice("student", "Student", STUDENTS)
    sizes = st.container()
    temperature = _along("temperature", "Temperature T", TEMPERATURES, "By how much both softmax functions are softened in the soft loss.")
    alpha = st.slider(
        "alpha, the weight of the hard loss", 0.0, 1.0, step=0.05, key="alpha", persist_state="session",
        help="1 listens to the labels only (the baseline), 0 to the teacher only.",
    )  # fmt: skip
    seeds = st.slider(
        "Seeds, a pair of students each", 1, MAX_SEEDS, key="seeds", persist_state="session", help="More seeds, narrower bands."
    )
    with st.expander("Assistants, generations, several teachers"):
        assistants = st.multiselect(
            "Assistants, from the teacher downwards", _with_all("assistants", STUDENTS), key="assistants", persist_state="session",
            help="Students in between: each is taught by the one before it, the last teaches the student.",
        )  # fmt: skip
        generations = st.number_input(
            "Earlier generations", 0, MAX["assistants"], key="generations", persist_state="session",
            help="Born again: students of the same size, each taught by the one before it.",
        )  # fmt: skip
        combine = _choice("combine", "Several teachers answer by their mean", list(COMBINATIONS), disabled="+" not in teacher)
    with st.expander("Epochs, learning rate, hidden classes, noise"):
        epochs = int(st.number_input("Epochs", 1, MAX["epochs"], key="epochs", persist_state="session"))
        batch_size = _along("batch_size", "Batch size", BATCHES)
        learning_rate = _along("learning_rate", "Learning rate", RATES)
        optimizer = _choice("optimizer", "Optimizer", list(OPTIMIZERS))
        schedule = _choice("schedule", "Learning rate over time", list(SCHEDULES))
        augmentation = _choice("augmentation", "Augmentation", list(AUGMENTATIONS), format_func=_AUGMENTATION.get)
        label_noise = st.slider("Share of wrong labels", 0.0, 1.0, step=0.05, key="label_noise", persist_state="session")
        hidden = st.multiselect(
            "Classes the student never sees",
            range(len(classes)),
            format_func=lambda c: classes[c],
            key="hide_classes",
            persist_state="session",
        )
    try:
        first = Experiment(
            dataset=dataset, images=images, hide_classes=tuple(hidden), label_noise=label_noise, teacher=teacher,
            method=method, student=student, assistants=(*assistants, *[student] * int(generations)),
            combine=combine if "+" in teacher else Experiment.combine,
            temperature=temperature, alpha=alpha, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate,
            augmentation=augmentation,
            optimizer=optimizer, schedule=schedule,
        )  # fmt: skip
        with sizes:
            show_sizes(first)  # a learner's own pictures may be gone
    except ValueError as error:
        st.error(str(error))
        return None
    return [replace(first, seed=seed) for seed in range(seeds)]


def offer(label: str, choices: dict[str, str], *, take: Callable[[str], None]) -> None:
    """A list to choose from, which opens under a button and closes over what was chosen."""
    key = label.split()[0].lower()

    def chosen(name: str) -> None:
        take(name)
        st.session_state[key] = False

    with st.popover(label, icon=":material/auto_awesome:", width="stretch", key=key, on_change="rerun"):
        for name, text in choices.items():
            st.button(text, key=f"{key}_{name}", on_click=chosen, args=(name,), width="stretch")


def bring_pictures() -> None:
    """A learner's own zip becomes a data set to choose."""
    with st.expander("Bring your own pictures"):
        file = st.file_uploader("A zip with one folder of pictures a class", type="zip", key="zip")
        if file is not None and file.file_id != st.session_state.get("zip_read"):
            st.session_state.update({"zip_read": file.file_id, "zip_problem": ""})
            try:
                kept = datasets.keep_zip(file.getvalue(), name=file.name)
            except (ValueError, OSError) as error:
                st.session_state["zip_problem"] = str(error)
            else:
                st.session_state.update({"dataset": kept, "images": 0, "hide_classes": []})
        if problem := st.session_state.get("zip_problem"):
            st.error(problem)


def _choice(field: str, label: str, options: list, **more: object) -> object:
    """A select box; a run may have brought a value that is not among the usual ones."""
    return st.selectbox(label, _with_current(field, options), key=field, persist_state="session", **more)


def _along(field: str, label: str, options: list, explanation: str | None = None) -> object:
    """A slider over values that are not evenly spaced."""
    return st.select_slider(label, sorted(_with_current(field, options)), key=field, persist_state="session", help=explanation)


def method_title(name: str) -> str:
    """A method as the list shows it: controls and mistakes are marked as such."""
    method = METHODS[name]
    return method.title if method.kind not in ("control", "mistake") else f"{method.kind}: {method.title}"


def _with_current(field: str, options: list) -> list:
    current = st.session_state[field]
    return options if current in options else [*options, current]


def _with_all(field: str, options: list) -> list:
    """For a choice of several."""
    return options + [value for value in st.session_state[field] if value not in options]


def _datasets() -> list[str]:
    here = [name for name, source in datasets.DATASETS.items() if source.kind or source.is_here()]
    return here + datasets.kept_zips()


def _title(name: str) -> str:
    source = datasets.DATASETS.get(name)
    if source is None:
        return name.removesuffix(".zip")
    return source.title if source.is_here() else f"{source.title} (is downloaded first)"


def _known(dataset: str) -> tuple[tuple[str, ...], int]:
    """Class names, and the number of training images."""
    if dataset in datasets.DATASETS:
        source = datasets.DATASETS[dataset]
        return source.class_names, source.train
    try:
        own = datasets.load(dataset)
    except ValueError:
        return (), 0
    return own.class_names, len(own.train_labels)


def _many(images: int, most: int) -> str:
    return f"{images:,}" if images else f"all {most:,}"


def show_sizes(experiment: Experiment) -> None:
    """Parameters of teacher and student beside each other, and how much smaller the student is."""
    if experiment.dataset in datasets.DATASETS:
        source = datasets.DATASETS[experiment.dataset]
        size = {"image_shape": source.image_shape, "classes": len(source.class_names)}
    else:
        own = datasets.load(experiment.dataset)
        size = {"image_shape": own.image_shape, "classes": own.classes}
    recipes = [teachers.TEACHERS[name] for name in teachers.parse_ensemble(experiment.teacher)]
    teacher = sum(recipe.members * models.count_parameters(recipe.model, **size) for recipe in recipes)
    *between, student = (models.count_parameters(name, **size) for name in (*experiment.assistants, experiment.student))
    through = "".join(f" {count:,}, these" for count in between)
    st.markdown(f"**{teacher:,}** parameters teach{through} **{student:,}**, compressed **{_ratio(teacher / student)} : 1**")


def show_loss(experiment: Experiment) -> None:
    """What the student minimises, with the numbers that are chosen now; of another method than the classic one, its idea."""
    t, method = f"{experiment.temperature:g}", METHODS[experiment.method]
    if experiment.method == Experiment.method:
        st.latex(
            rf"L = {experiment.alpha:.2f} \, L_\text{{hard}} + {1 - experiment.alpha:.2f} \, L_\text{{soft}}^{{\,T={t}}}",
            help=f"Hard loss: cross-entropy with the labels. Soft loss: {t}\u00b2 times the divergence from the teacher's soft targets "
            f"at T = {t}. The charts show both raw, before their weights.",
        )
    else:
        st.markdown(f"**{method.title}** ({method.kind}, alpha {experiment.alpha:.2f}, T {t}). {idea(method)}")


def idea(method: Method) -> str:
    """The first paragraph of what the method's function says of itself."""
    return " ".join(inspect.getdoc(method.definition).split("\n\n")[0].split())


def _ratio(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
