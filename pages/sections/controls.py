"""The choices of an Experiment as widgets, and the link that restores them all."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import asdict, replace

import streamlit as st

from distill_core import models, teachers
from distill_core.compression import parse_compression
from distill_core.data import datasets
from distill_core.data.texts import CHARACTER_WINDOW
from distill_core.data.unlabelled import NOISE, SAME
from distill_core.experiment import (
    AUGMENTATIONS,
    COMBINATIONS,
    MAX,
    ON_IMAGES_ONLY,
    OPTIMIZERS,
    SCHEDULES,
    Experiment,
    methods_for,
    training_after_change,
    usual_of_text,
)
from distill_core.glossary import linked
from distill_core.method_settings import FIXED, in_words
from distill_core.objectives import Method
from distill_core.precision import PRECISIONS
from distill_core.text_objectives import method_of
from pages.sections import method_settings, networks
from pages.sections.help_texts import HELP, RESIDUAL_HELP, SEVERAL_TEACHERS_HELP, VALIDATION_HELP, dataset_help, help_of
from pages.server import incoming, pictures
from pages.server.lab import link, owner
from pages.server.link import opened, to_link
from pages.server.plain_text import show_error

START = Experiment(images=200, epochs=100, batch_size=16)
IMAGES = [100, 200, 300, 500, 1000, 1800, 3000, 5000, 10_000, 20_000, 60_000]
UNLABELLED = [0, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000]
STUDENTS = ["linear", "mlp-10x1", "mlp-30x2", "mlp-128x2", "mlp-300x2", "mlp-800x2", "cnn-4", "cnn-8", "cnn-16", "cnn-32", "resnet-8"]
TEXT_STUDENTS = ["gpt-16x1", "gpt-32x1", "gpt-32x2", "gpt-48x2", "gpt-64x3", "gru-32", "gru-64", "gru-128"]
WINDOWS = [50, 100, 200, 300, 500, 1000, 2000, 5000]
TEMPERATURES = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0]
VALIDATION = [0, 100, 300, 1000, 2000, 5000, 10_000]
RATES = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3]
BATCHES = [8, 16, 32, 64, 128, 256, 512]
AUGMENTATION_TITLES = {
    "none": "none",
    "fixed": "random changes, soft targets of the original image",
    "consistent": "random changes, soft targets of the changed image",
}
PRECISION_TITLES = {"bfloat16-emulated": "bfloat16, emulated (slow)"}
FIELDS = tuple(name for name in asdict(START) if name != "seed")
MAX_SEEDS = 10


# --- experiments to widgets, links to widgets -----------------------------------------------------------------------


def restore(experiments: list[Experiment]) -> None:
    """Set the widgets to the settings of these experiments, before they are drawn."""
    for field, value in asdict(experiments[0]).items():
        st.session_state[field] = list(value) if isinstance(value, tuple) else value
    _split_assistants()
    st.session_state["seeds"] = min(len(experiments), MAX_SEEDS)
    st.session_state["start_of"] = (experiments[0].dataset, experiments[0].student)


def _split_assistants() -> None:
    """Split `assistants` into the two widgets that set it.

    Trailing assistants of the student's own architecture are born-again generations; the rest are teaching assistants.
    """
    state = st.session_state
    state["generations"] = 0
    while state["assistants"] and state["assistants"][-1] == state["student"]:
        state["assistants"] = state["assistants"][:-1]
        state["generations"] += 1


def opened_link() -> dict[str, list[str]]:
    """The values of a link to a race that was just opened; empty where the page wrote the address itself."""
    return opened("race", (*FIELDS, "seeds", "run"))


def restore_link(values: dict[str, list[str]], settings: list[Experiment]) -> None:
    """Set the widgets: to the defaults when a session begins, then to the values of a link that was just opened.

    `settings` are those of the run that the link names; the link may name what was changed beside it. A link with an
    invalid setting is left out, with a message.
    """
    if "seeds" not in st.session_state:
        restore([replace(START, seed=seed) for seed in range(5)])
    if not (values := {name: texts for name, texts in values.items() if name != "run"}):
        return
    base, seeds = (settings[0], min(len(settings), MAX_SEEDS)) if settings else (START, 5)
    try:
        seeds = incoming.read("seeds", values.pop("seeds", [str(seeds)])[-1], int)
        fields = {name: _parse(name, texts) for name, texts in values.items()}
        new_dataset = "dataset" in fields and fields["dataset"] != base.dataset
        fields.setdefault("teacher", "" if new_dataset else base.teacher)  # empty: the default of the data set
        usual = usual_of(fields["dataset"]) if new_dataset and datasets.is_text(fields["dataset"]) else {}
        linked = Experiment.from_fields(asdict(base) | usual | fields)
        if linked.dataset not in (*datasets.SOURCES, *datasets.kept_zips(), *datasets.kept_texts()):
            raise ValueError(f"the data set '{linked.dataset}' is not in this lab; upload the file again, or choose another data set")
        if not 1 <= seeds <= MAX_SEEDS:
            raise ValueError(f"seeds {seeds} cannot be run; give a number from 1 to {MAX_SEEDS}")
    except ValueError as error:
        incoming.report_link(error)
    else:
        restore([replace(linked, seed=seed) for seed in range(seeds)])


def _parse(field: str, texts: list[str]) -> object:
    """A field's value from the link, in its own type."""
    if field in ("hide_classes", "assistants"):
        return incoming.read_all(field, [text for text in texts if text], int if field == "hide_classes" else str)
    return incoming.read(field, texts[-1], type(getattr(START, field)))


def link_to(experiments: list[Experiment], run: tuple[str, list[Experiment]] | None = None) -> dict[str, str | list[str]]:
    """The query of the race page's address: every setting that is not the default, and the run with what was changed beside it."""
    usual_teacher = {"teacher": teachers.default_teacher(experiments[0].dataset)}
    of_text = usual_of(experiments[0].dataset) if datasets.is_text(experiments[0].dataset) else {}
    usual = [asdict(START) | of_text | usual_teacher | {"seeds": 5}]
    link = {}
    if run:
        link["run"], of_run = run
        usual.append(asdict(of_run[0]) | {"seeds": min(len(of_run), MAX_SEEDS)})
    chosen = asdict(experiments[0]) | {"seeds": len(experiments)}
    link |= {name: value for name, value in chosen.items() if name != "seed" and any(value != one[name] for one in usual)}
    # An empty list is one empty text: it may be what was changed.
    return {name: [str(v) for v in value] or [""] if isinstance(value, tuple) else str(value) for name, value in link.items()}


def write_link(experiments: list[Experiment], run: tuple[str, list[Experiment]] | None) -> None:
    """Write that query into the address."""
    to_link("race", link_to(experiments, run))


# --- widgets to experiments -----------------------------------------------------------------------------------------


def lock(values: dict[str, object]) -> None:
    """Give these settings their values, and let nobody change them: called before the widgets, whatever a browser has sent."""
    st.session_state["locked"] = tuple(values)
    for name, value in values.items():
        st.session_state[name] = list(value) if isinstance(value, tuple) else value
    if "assistants" in values:
        _split_assistants()
    if values:
        st.caption(":material/lock: The lecturer has set what is greyed out.")


def is_locked(field: str) -> bool:
    """Whether the lecturer has set this field; `generations` and `assistants` are one setting."""
    return {"generations": "assistants"}.get(field, field) in st.session_state.get("locked", ())


def choose() -> list[Experiment] | None:
    """The experiments that the widgets describe, one for each seed; None, with an error on the page, for invalid settings."""
    fields = _choose_networks()
    fields |= _choose_start(fields["dataset"], fields["student"])
    sizes = st.container()
    fields |= _choose_loss()
    fields |= method_settings.choose([fields["method"]], len(_classes_and_images(fields["dataset"])[0]), is_locked=is_locked)
    seeds = st.slider(
        "Seeds (repetitions)", 1, MAX_SEEDS, key="seeds", persist_state="session", disabled=is_locked("seeds"),
        help="How many pairs of student and baseline are trained. Each seed sets other initial weights, another choice of images "
        "and another order. More seeds give narrower intervals.",
    )  # fmt: skip
    with st.expander("Assistants, generations, ensembles"):
        fields |= _choose_chain(fields["teacher"], fields["student"])
    is_text = datasets.is_text(fields["dataset"])
    with st.expander("Training" if is_text else "Training, augmentation, label noise"):
        fields |= _choose_training(fields["dataset"])
        fields |= {"validation": _choose_validation(fields["dataset"])}
        if not is_text:
            fields |= _choose_examples(fields["dataset"]) | _choose_unlabelled(fields["dataset"])
    try:
        first = Experiment(**fields)
        with sizes:
            show_sizes(first)  # uploaded pictures may have been deleted
    except ValueError as error:
        show_error(error)
        return None
    return [replace(first, seed=seed) for seed in range(seeds)]


def _choose_networks() -> dict:
    """Data set, training images, teacher, method and student."""
    known = _datasets()
    dataset = _selectbox("dataset", "Data set", known, dataset_help(known), format_func=dataset_title, on_change=follow_dataset)
    most, is_text = _classes_and_images(dataset)[1], datasets.is_text(dataset)
    images = _selectbox(
        "images", f"Training windows of {window_in_words(dataset)}" if is_text else "Training images",
        [n for n in (WINDOWS if is_text else IMAGES) if n < most] + [0], format_func=lambda n: f"{n:,}" if n else f"all {most:,}",
        on_change=follow_images,
    )  # fmt: skip
    st.session_state["images_drawn"] = images
    offered = teachers.offered(dataset)
    teacher = _selectbox(
        "teacher", "Teacher", [*offered, "+".join(offered[:2]), teachers.SELF],
        f"{help_of('teacher', dataset)} {SEVERAL_TEACHERS_HELP}",
        format_func=networks.name_with_layers, accept_new_options=True,
    )  # fmt: skip
    networks.show_notes(dataset, teacher)
    method = _selectbox("method", "Method", [name for name in methods_for(dataset) if name not in FIXED], format_func=method_title)
    st.caption(linked(idea(method_of(method))))
    student = _selectbox(
        "student", "Student", TEXT_STUDENTS if is_text else STUDENTS,
        help_of("student", dataset) + ("" if is_text else f" {RESIDUAL_HELP}"), format_func=networks.name_with_layers,
    )  # fmt: skip
    return {"dataset": dataset, "images": images, "teacher": teacher, "method": method, "student": student}


def _choose_start(dataset: str, student: str) -> dict:
    """What the student of the run or link that was opened starts from, where this is not random weights alone; it can be left."""
    state = st.session_state
    start = {name: state.get(name, "") for name in ("start_from", "compression")}
    if not any(start.values()):
        return {}
    if state.get("start_of") != (dataset, student):
        st.caption("The run that was opened starts from a compressed network. With another student or data set, new weights are drawn.")
        return {}
    st.caption("Starts from a compressed network, see below the heading.")
    st.button(
        "Start from new weights", key="new_weights", icon=":material/restart_alt:", disabled=is_locked("student"),
        on_click=lambda: state.update(dict.fromkeys(start, "")),
        help="Draws the initial weights by the seed, without compression, as in other races.",
    )  # fmt: skip
    return start


def _choose_loss() -> dict:
    """Temperature and alpha."""
    temperature = _slider_over("temperature", "Temperature T", TEMPERATURES)
    alpha = st.slider(
        "alpha, the weight of the hard loss", 0.0, 1.0, step=0.05, key="alpha", persist_state="session", help=HELP["alpha"],
        disabled=is_locked("alpha"),
    )  # fmt: skip
    return {"temperature": temperature, "alpha": alpha}


def _choose_chain(teacher: str, student: str) -> dict:
    """What stands between teacher and student, and how several teachers are averaged."""
    networks_here = TEXT_STUDENTS if datasets.is_text(st.session_state["dataset"]) else STUDENTS
    assistants = st.multiselect(
        "Teaching assistants, largest first", _with_all("assistants", networks_here), key="assistants", persist_state="session",
        disabled=is_locked("assistants"),
        format_func=networks.name_with_layers,
        help="Networks between teacher and student: the teacher trains the first, each trains the next, the last trains the student "
        "(Mirzadeh et al. 2020, figure 1).",
    )  # fmt: skip
    generations = st.number_input(
        "Born-again generations", 0, MAX["assistants"], key="generations", persist_state="session", disabled=is_locked("generations"),
        help="Networks of the student's own architecture between the teacher and the student: the teacher teaches the first, each the "
        "next, the last teaches the student. 0: the teacher teaches the student itself (Furlanello et al. 2018, section 3.1).",
    )  # fmt: skip
    st.caption(linked("Generations: networks of the student's own size, one after another, each distilled from the one before it."))
    ensemble = "+" in teacher
    combine = _selectbox(
        "combine", "Ensemble: mean of", list(COMBINATIONS),
        "What is averaged where Teacher names several networks, such as cnn-32+mlp-1200x2.", disabled=not ensemble,
    )  # fmt: skip
    if not ensemble:
        st.caption("For an ensemble, choose or type a teacher of several names joined by +, such as cnn-32+mlp-1200x2.")
    return {"assistants": (*assistants, *[student] * int(generations)), "combine": combine if ensemble else Experiment.combine}


def _choose_training(dataset: str) -> dict:
    """Epochs, batches, learning rate and optimizer."""
    return {
        "epochs": int(
            st.number_input(
                "Epochs",
                1,
                MAX["epochs"],
                key="epochs",
                persist_state="session",
                help=help_of("epochs", dataset),
                disabled=is_locked("epochs"),
            )
        ),
        "batch_size": _slider_over("batch_size", "Batch size", BATCHES),
        "learning_rate": _slider_over("learning_rate", "Learning rate", RATES),
        "optimizer": _selectbox("optimizer", "Optimizer", list(OPTIMIZERS), "adam, or sgd with momentum 0.9."),
        "schedule": _selectbox(
            "schedule",
            "Learning rate schedule",
            list(SCHEDULES),
            "one-cycle: the rate rises over the first 30 % of the steps, then falls to zero.",
        ),
        "precision": _selectbox(
            "precision",
            "Precision of matrix products",
            list(PRECISIONS),
            HELP["precision"],
            precision_title,
        ),
    }


def _choose_validation(dataset: str) -> int:
    """How many training images, or windows of a text, are held out."""
    is_text, most = datasets.is_text(dataset), _classes_and_images(dataset)[1]
    return _selectbox(
        "validation", "Validation windows" if is_text else "Validation images", [n for n in VALIDATION if n < most / 2],
        VALIDATION_HELP[is_text], lambda n: f"{n:,}" if n else "none",
    )  # fmt: skip


def _choose_examples(dataset: str) -> dict:
    """Augmentation, and what is wrong or missing in the training data."""
    classes, _ = _classes_and_images(dataset)
    return {
        "augmentation": _selectbox(
            "augmentation", "Augmentation", list(AUGMENTATIONS),
            "Random changes of the training images: shifts, and of colour images horizontal flips too. The teacher's soft targets are "
            "either those of the original image, computed once, or those of the changed image that the student sees, computed in each "
            "step.",
            AUGMENTATION_TITLES.get,
        ),
        "label_noise": st.slider(
            "Label noise", 0.0, 1.0, step=0.05, key="label_noise", persist_state="session", disabled=is_locked("label_noise"),
            help="The share of training labels that are replaced by a wrong class; those of validation images too. Test labels stay "
            "correct. A teacher that is trained already is not affected; the teacher self, assistants and generations train on the same "
            "labels as the student.",
        ),
        "hide_classes": tuple(
            st.multiselect(
                "Hidden classes", range(len(classes)), format_func=lambda c: classes[c], key="hide_classes", persist_state="session",
                disabled=is_locked("hide_classes"),
                help="Classes without a single training image, for student and baseline. A teacher that is trained already has seen them. "
                "They stay among the test images and the validation images.",
            )
        ),
    }  # fmt: skip


def _choose_unlabelled(dataset: str) -> dict:
    """Images without labels beside the labelled ones."""
    count = _selectbox(
        "unlabelled", "Images without labels", UNLABELLED,
        "Further images that the student is also distilled on: a part of them in each step, beside the labelled images. They have no "
        "hard loss, so the baseline is the same as without them.",
        lambda n: f"{n:,}" if n else "none",
    )  # fmt: skip
    itself = (dataset, datasets.COPIES.get(dataset))
    others = [name for name, source in datasets.DATASETS.items() if name not in itself and source.is_here()]
    titles = {SAME: "the same data set", NOISE: "uniform noise"}
    source = _selectbox(
        "unlabelled_from", "Source of the images without labels", [SAME, NOISE, *others],
        "Further images of the same data set, noise, or another data set, resized and in grey or colour as the labelled images are.",
        lambda name: titles.get(name) or dataset_title(name), disabled=not count,
    )  # fmt: skip
    if not count:
        st.caption("To choose a source, set Images without labels to a number.")
    return {"unlabelled": count, "unlabelled_from": source if count else SAME}


def offer(label: str, choices: dict[str, str], *, take: Callable[[str], None], press: str, help: str) -> None:
    """A list under a button, which closes when one of its entries is chosen: `take(name)` is called with its name.

    `press`: the label of the button that trains.
    """
    key = label.split()[0].lower()

    def choose_and_close(name: str) -> None:
        take(name)
        st.session_state[key] = False

    with st.popover(label, icon=":material/auto_awesome:", width="stretch", key=key, on_change="rerun", help=help):
        for name, text in choices.items():
            st.button(
                text, key=f"{key}_{name}", on_click=choose_and_close, args=(name,), width="stretch",
                help=f"Fills in the settings; nothing is trained until you press {press}.",
            )  # fmt: skip


def upload_images() -> None:
    """A learner's own zip becomes a data set to choose."""
    with st.expander("Use your own images or text"):
        file = st.file_uploader(
            "A zip with one folder of images per class, or a text (.txt)", type=["zip", "txt"], key="zip",
            help="A text is read by characters: UTF-8, from 5,000 characters to 2 MB; its last tenth is the test text. Of a zip each "
            "folder's name is a class. One image in five becomes a test image, unless the zip has folders train and test. The "
            "images then become the chosen data set; a teacher for them is trained when you press Train. Other browsers see them only by "
            "the link of a run. The lab keeps the last 5 sets of a browser, for 14 days.",
        )  # fmt: skip
        if file is not None and owner() and file.file_id != st.session_state.get("zip_read"):
            st.session_state.update({"zip_read": file.file_id, "zip_error": ""})
            try:
                name = pictures.keep(file.getvalue(), name=file.name)
            except (ValueError, OSError) as error:
                st.session_state["zip_error"] = str(error)
            else:
                st.session_state.update({"dataset": name, "images": 0, "hide_classes": []})
                follow_dataset()
        if error := st.session_state.get("zip_error"):
            show_error(error)


def follow_dataset() -> None:
    """Keep the chosen teacher if it is shipped for the new data set; otherwise choose the default of the set.

    Between images and texts nearly all settings change: those of a good run take their place.
    """
    state = st.session_state
    state["teacher"] = teachers.teacher_after_change(state["dataset"], state["teacher"])
    of_text = datasets.is_text(state["dataset"])
    if of_text == state["student"].startswith(models.LANGUAGE):
        return
    state.update({name: getattr(Experiment, name) for name in (*ON_IMAGES_ONLY, "validation")})
    state.update({"hide_classes": [], "assistants": [], "generations": 0})
    fields = ("student", "images", "temperature", "alpha", "epochs", "batch_size", "learning_rate")
    state.update(usual_of(state["dataset"]) if of_text else {name: getattr(START, name) for name in fields})
    if state["method"] not in methods_for(state["dataset"]):
        state["method"] = Experiment.method


def follow_images() -> None:
    """Batch size and learning rate stay the usual ones when the number of images changes; what somebody chose stays as it is."""
    state = st.session_state
    if datasets.is_text(state["dataset"]):
        return
    most, chosen = _classes_and_images(state["dataset"])[1], {name: state[name] for name in ("batch_size", "learning_rate")}
    state.update(training_after_change(chosen, before=state["images_drawn"] or most, after=state["images"] or most))


def usual_of(dataset: str) -> dict:
    """The settings of a good run on a text. Empty where an own text cannot be read: its message is shown where it is used."""
    try:
        return usual_of_text(dataset)
    except ValueError:
        return {}


def _selectbox(field: str, label: str, options: list, help: str = "", format_func: Callable = str, **settings: object) -> object:
    """A select box for one field. A run or a link may have brought a value that is not among the options."""
    disabled = settings.pop("disabled", False) or is_locked(field)
    return st.selectbox(
        label, _with_current(field, options), key=field, persist_state="session", help=help or help_of(field, st.session_state["dataset"]),
        format_func=format_func,
        disabled=disabled, **settings,
    )  # fmt: skip


def _slider_over(field: str, label: str, options: list) -> object:
    """A slider over values that are not evenly spaced."""
    return st.select_slider(
        label, sorted(_with_current(field, options)), key=field, persist_state="session",
        help=help_of(field, st.session_state["dataset"]), disabled=is_locked(field),
    )  # fmt: skip


def _with_current(field: str, options: list) -> list:
    current = st.session_state[field]
    return options if current in options else [*options, current]


def _with_all(field: str, options: list) -> list:
    """The same where several values are chosen."""
    return options + [value for value in st.session_state[field] if value not in options]


def _datasets() -> list[str]:
    here = [name for name, source in datasets.SOURCES.items() if source.kind or source.is_here()]
    return here + pictures.own() + pictures.own_texts()


def precision_title(name: str) -> str:
    """A precision as the list shows it."""
    return PRECISION_TITLES.get(name, name)


def window_in_words(dataset: str) -> str:
    """The length of a window: 32 words, 64 characters."""
    source = datasets.source_of(dataset)
    return f"{source.image_shape[0] if source else CHARACTER_WINDOW} {'words' if source and source.separator else 'characters'}"


def dataset_title(name: str) -> str:
    """A data set as the list shows it: one that is not here yet is marked as such."""
    source = datasets.source_of(name)
    if source is None:
        return datasets.title(name)
    return source.title if source.is_here() else f"{source.title} (not on this machine: the first run downloads it)"


def _classes_and_images(dataset: str) -> tuple[tuple[str, ...], int]:
    """Class names, and the number of training images."""
    if source := datasets.source_of(dataset):
        return source.class_names, source.train
    try:
        uploaded = datasets.load(dataset)
    except ValueError:
        return (), 0
    return uploaded.class_names, len(uploaded.train_labels)


# --- an experiment in words -----------------------------------------------------------------------------------------


def method_title(name: str) -> str:
    """A method as the list shows it: controls and mistakes are marked as such."""
    method = method_of(name)
    return method.title if method.kind not in ("control", "mistake") else f"{method.kind}: {method.title}"


def show_sizes(experiment: Experiment) -> None:
    """Parameters of teacher, assistants and student, and how much smaller than the teacher the student is.

    A teacher `self` has the student's size.
    """
    if source := datasets.source_of(experiment.dataset):
        size = {"image_shape": source.image_shape, "classes": len(source.class_names)}
    else:
        uploaded = datasets.load(experiment.dataset)
        size = {"image_shape": uploaded.image_shape, "classes": uploaded.classes}
    recipes = [teachers.TEACHERS[name] for name in teachers.parse_ensemble(experiment.teacher)]
    *assistants, student = (models.count_parameters(name, **size) for name in (*experiment.assistants, experiment.student))
    teacher = sum(recipe.members * models.count_parameters(recipe.model, **size) for recipe in recipes) or student
    between = "".join(f"assistant **{count:,}**, " for count in assistants)
    st.markdown(
        f"Teacher **{teacher:,}** parameters, {between}student **{student:,}**: **{_ratio(teacher, student)}**",
        help="Parameters are the weights and biases that are trained.",
    )


def _ratio(teacher: int, student: int) -> str:
    """How much smaller, or larger, the student is than its teacher."""
    factor = max(teacher, student) / min(teacher, student)
    shown = f"{factor:,.0f}" if factor >= 100 else f"{factor:.3g}"
    return "the same size" if teacher == student else f"{shown}\u00d7 {'smaller' if student < teacher else 'larger'}"


def show_start(experiment: Experiment) -> None:
    """What student and baseline start from, where this is not random weights alone."""
    if not (experiment.start_from or experiment.compression):
        return
    start = f"the weights of a trained {experiment.student}" if experiment.start_from else "random weights"
    compressed = f", compressed: {parse_compression(experiment.compression).in_words}" if experiment.compression else ""
    st.markdown(
        f"**Student and baseline start from {start}{compressed}.** What was removed stays removed, and bits are kept in every step."
    )
    link("pages/compress.py", "Compress another network on the page Compress", icon="compress")


def show_loss(experiment: Experiment) -> None:
    """The loss that the student minimises, with the current T and alpha; for other methods than soft targets, their idea."""
    t, method = f"{experiment.temperature:g}", method_of(experiment.method)
    if experiment.method == Experiment.method:
        st.latex(
            rf"L = {experiment.alpha:.2f} \, L_\text{{hard}} + {1 - experiment.alpha:.2f} \, L_\text{{soft}}^{{\,T={t}}}",
            help=f"The soft loss is {t}\u00b2 times the Kullback-Leibler divergence from the teacher's soft targets at T = {t}. The "
            "charts show both losses before their weights.",
        )
        st.caption(
            linked(
                "Hard loss: cross-entropy with the labels. Soft loss: divergence from the **soft targets**, the teacher's class "
                "probabilities, softened by the temperature T. The baseline minimises the hard loss only."
            )
        )
    else:
        settings = ", ".join([f"alpha {experiment.alpha:.2f}", f"T {t}", *filter(None, [in_words(experiment.method, vars(experiment))])])
        st.markdown(f"**{method.title}** ({method.kind}, {settings}). {idea(method)}")


def idea(method: Method) -> str:
    """The first paragraph of the docstring of a method's function."""
    return " ".join(inspect.getdoc(method.definition).split("\n\n")[0].split())
