"""The page Methods in parts: a method's card, a diagram of its networks, and the comparison of all methods."""

from __future__ import annotations

import inspect
from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st
from plotly.io.json import to_json_plotly

from distill_core import losses, paths, references, teachers
from distill_core.batch import mixed_after_warm_up, mixed_per_class, own_loss_alone
from distill_core.data import datasets
from distill_core.experiment import Experiment
from distill_core.figures import methods as figures
from distill_core.glossary import explained
from distill_core.objectives import METHODS, Method
from distill_core.statistics import format_percent
from distill_core.studies import comparison, text_methods
from distill_core.text_objectives import TEXT_METHODS, method_of
from pages.components.live_chart import live_chart
from pages.sections import controls, text_comparison
from pages.sections.source import losses_in
from pages.server.byte_cache import ByteCache
from pages.server.lab import link
from pages.server.link import settle

CHAINS, TEXTS = "Ensembles and chains", "Texts"
GROUPS = {
    "Logits": "**Response-based, offline.** The teacher is trained first. The student learns from the teacher's logits for each image.",
    "Features": "**Feature-based, offline.** The student learns from the activations of the teacher's hidden layers.",
    "Relations": "**Relation-based, offline.** The student learns how the teacher's features relate the images of a batch.",
    "Online": "**Online.** There is no teacher: several students train at the same time and learn from the labels and from each other.",
    CHAINS: "**Ensembles and chains.** Several teachers, assistants, self-distillation. The loss is that of soft targets; the networks "
    "that teach differ.",
    "Controls": "**Control experiments.** Soft targets without a part of their information. They show where the gain comes from.",
    TEXTS: "**Methods of language models alone.** Every position of a text is an example, and the tokens are its classes: the methods that "
    "compare logits apply to texts too. These are the further ones: what an API allows, what a student writes itself.",
}
GROUPS_HELP = "Methods are grouped by what the student learns from.\n\n" + "\n\n".join(GROUPS.values())
TITLES = {  # of groups whose names in a link differ
    "Logits": "Response-based",
    "Features": "Feature-based",
    "Relations": "Relation-based",
    "Controls": "Control experiments",
    TEXTS: "Language models",
}
OTHERS = {
    "control": "**Control experiments**, tuned in the same way. They show where the gain comes from.",
    "set-up": "**Other teachers and assistants.** The loss is that of soft targets; the networks that teach differ, so these are not "
    "ranked among the methods. Those that train a network between teacher and student have the T and alpha of soft targets.",
}
_FIGURES: ByteCache[tuple[str, int]] = ByteCache(8e6, size=lambda drawn: len(drawn[0]))  # as JSON, with their heights in px
WITH_SEVERAL_NETWORKS = ("Online", CHAINS)  # groups whose methods differ in the networks that teach
KINDS = {"Logits": "response-based", "Features": "feature-based", "Relations": "relation-based", "Controls": "control"}
MIXTURES = {  # how the own loss is mixed with the hard loss, where it is not as WEIGHT_HELP states
    mixed_per_class: ", divided by the number of classes",
    mixed_after_warm_up: ", which rises from 0 over the first twelfth of the training",
    own_loss_alone: "; it is the whole loss, alpha has no effect",
}
WEIGHT_HELP = (
    "The student minimises alpha times the hard loss plus (1 \u2212 alpha) times this weight times the loss of the method. "
    "The weight brings the loss of the method to the scale of the hard loss."
)
DIFFERENCE_HELP = (
    "Test accuracy of the student minus that of its baseline, which learns from the labels only, in percentage points. "
    "Mean over the seeds with a 95 % interval of the paired differences."
)
COMPARISON_HELP = (
    "Temperature and weight of every method are chosen on validation images, with the same number of settings to choose from; the "
    "test images report the result. The intervals are those of single differences; whether a difference is called clear takes into "
    "account how many there are."
)
RESULT_COLUMNS = {
    "accuracy": st.column_config.TextColumn(help="Test accuracy, the mean over the seeds."),
    **{f"minus {title}": st.column_config.TextColumn(help=f"Difference from {title} in percentage points, with its 95 % interval.")
       for title in figures.COMPARED_WITH.values()},
    **{f"p, minus {title}": st.column_config.TextColumn("p", help=f"p-value of the difference from {title}, after Holm's correction.")
       for title in figures.COMPARED_WITH.values()},
}  # fmt: skip


def members(group: str) -> dict[str, str]:
    """Titles of a group's methods, by name."""
    if group == CHAINS:
        return {name: entry.title for name, entry in comparison.SET_UPS.items()}
    if group == TEXTS:
        return {name: method.title for name, method in TEXT_METHODS.items()}
    kind, scheme = ("response-based", "online") if group == "Online" else (KINDS[group], "offline")
    return {name: method.title for name, method in METHODS.items() if (method.kind, method.scheme) == (kind, scheme)}


def show_card(name: str) -> None:
    """A method's idea, formula, source and weight, its measured differences, and a link to a race with it."""
    method = None if name in comparison.SET_UPS else method_of(name)
    with st.container(border=True):
        st.markdown(controls.idea(method) if method else comparison.SET_UPS[name].idea)
        if method and (formula := formula_of(method)):
            st.latex(formula)
            if words := explained(formula):
                st.caption(words)
        facts, results = st.columns([2, 3], gap="large")
        with facts:
            if method:
                loss = f"**{method.loss_name}**{f' ({method.unit})' if method.unit else ''}"
                weight = f"weight **{method.weight:.3g}**{MIXTURES.get(method.mixture, '')}"
                st.markdown(
                    f"*{method.paper}*  \n{method.kind}, {method.scheme}  \nloss of the method: {loss}, {weight}  \n"
                    f"compares {_compares(method)}",
                    help=WEIGHT_HELP,
                )
            link("pages/race.py", "Race this method", icon="sprint", **_race(name))
        with results:
            if name in TEXT_METHODS:
                text_comparison.show_differences(name)
                return
            kept = comparison.kept()["rows"]
            lines = [f"{setting.title}: **{_difference(kept, key, name)}**" for key, setting in comparison.SETTINGS.items()]
            st.markdown(
                "Test accuracy minus that of the baseline, in percentage points (95 % interval)  \n" + "  \n".join(lines),
                help=DIFFERENCE_HELP,
            )


def formula_of(method: Method) -> str:
    """The formula of the method's own loss, from its docstring or that of a loss which it calls; empty if there is none."""
    for loss in (method.definition, *losses_in(method.definition)):
        if loss is not losses.hard_loss and len(parts := inspect.getdoc(loss).split("$$")) > 2:
            return " ".join(parts[1].split())
    return ""


def _compares(method: Method) -> str:
    if method.peers:
        return "the logits of its peers"
    if method.compares == "maps":
        return "feature maps of both networks"
    return "hidden layers of both networks" if method.compares == "features" else "logits"


def _difference(kept: list[dict], setting: str, name: str) -> str:
    """The difference of one entry from the baseline, as text."""
    if refused := next((row["refused"] for row in kept if (row["setting"], row["name"]) == (setting, name) and "refused" in row), ""):
        return "not measured here" if name in comparison.SETTINGS[setting].left_out else f"not applicable: {refused}"
    row = next((row for row in comparison.compared(setting) if row["name"] == name and "baseline" in row["against"]), None)
    return figures.points(row["against"]["baseline"]) if row else "not measured yet"


def _race(name: str) -> dict[str, str]:
    """Query parameters of the race page for a quick race with this method."""
    experiment = _experiment(name)
    return controls.link_to([replace(experiment, seed=seed) for seed in range(5)])


def _experiment(name: str) -> Experiment:
    """A quick experiment with networks and images to which the method applies, or with the little language."""
    if name in TEXT_METHODS:
        return text_methods.entries("little-language")[name]
    base = controls.START
    _, changes = comparison.entries(base)[name]
    if name in METHODS and METHODS[name].compares == "maps":
        base = replace(base, teacher="cnn-32", student="cnn-4", epochs=40)
    dataset = _dataset_with(changes.get("teacher", base.teacher), base.dataset)
    if dataset != base.dataset:
        base = replace(base, dataset=dataset, images=1000, epochs=40)
    return replace(base, **changes)


def _dataset_with(teacher: str, usual: str) -> str:
    """The usual data set if this teacher is shipped for it, or otherwise the first for which it is, those on this machine first."""
    names = set(teachers.parse_ensemble(teacher))
    found = [one for one in (usual, *datasets.DATASETS) if names <= {card.name for card in teachers.shipped_for(one)}]
    return min(found, key=lambda one: not datasets.DATASETS[one].is_here(), default=usual)


def show_networks(name: str) -> None:
    """A diagram of the networks: peers that teach each other, or a chain from the teachers to the student."""
    experiment = _experiment(name)
    if peers := METHODS[experiment.method].peers:
        networks, edges = figures.circle(peers)
    else:
        recipes = [teachers.TEACHERS[one] for one in teachers.parse_ensemble(experiment.teacher)]
        models = [recipe.model for recipe in recipes for _ in range(recipe.members)] or [experiment.student]
        between = [
            f"earlier generation<br>{one}" if one == experiment.student else f"assistant<br>{one}" for one in experiment.assistants
        ]  # fmt: skip
        several = len(models) > 1
        networks, edges = figures.chain(models if several else [f"teacher<br>{models[0]}"], between, mean_of=experiment.combine)
    st.subheader("Which network teaches which")
    figure = figures.who_teaches_whom(networks, edges)
    live_chart(figure, key="methods_networks", height=figure.layout.height)


def show_references(name: str) -> None:
    """The publication of a method in full, and below it all that the lab cites."""
    source = comparison.SET_UPS[name].idea if name in comparison.SET_UPS else method_of(name).paper
    own = [references.reference(citation) for citation in references.citations(source)]
    with st.expander("References"):
        for title, entries in (("This method", own), ("All publications that the lab cites", references.REFERENCES.values())):
            if entries:
                st.caption(f"**{title}**\n\n" + "\n".join(f"- {entry}" for entry in entries))


# --- the comparison -------------------------------------------------------------------------------------------------


def show_comparison(name: str) -> None:
    """All methods on the same images, each tuned, beside the baseline and beside soft targets. Measured earlier, and labelled so."""
    kept = comparison.kept()
    st.subheader("All methods compared", help=COMPARISON_HELP)
    settings = list(comparison.SETTINGS)
    settle("methods_setting", settings)
    setting = st.segmented_control(
        "Measured on", settings, key="methods_setting", required=True, format_func=lambda s: comparison.SETTINGS[s].title,
        persist_state="session", help="Data set and number of training images of the comparison.",
    )  # fmt: skip
    rows = comparison.compared(setting)
    if not figures.ranked(rows, "baseline"):
        st.info(f"Not measured yet. This command measures it: `python -m distill_core compare {setting} --keep`", icon=":material/timer:")
        return
    reference = st.segmented_control(
        "Compare with", list(figures.COMPARED_WITH), key="methods_reference", default="baseline", required=True,
        format_func=figures.COMPARED_WITH.get,
        help="What the test accuracy of each method is compared with: the baseline, which learns from the labels only, or a student of "
        "soft targets, tuned in the same way as each method. The differences are paired seed by seed.",
    )  # fmt: skip
    _show_methods(rows, setting, reference, marked=name)
    _show_others(rows, reference)
    measured, usual = kept["measured"][setting], comparison.SETTINGS[setting].experiment
    here = {row["name"] for row in kept["rows"] if row["setting"] == setting}
    if missing := [title for name, (title, _) in comparison.entries(usual).items() if name not in here]:
        st.info(f"Not measured yet: {', '.join(missing)}.", icon=":material/timer:")
    st.markdown(
        f"*Measured earlier*, on {measured['date']}, by `{measured['command']}` in {measured['seconds'] / 60:.0f} minutes "
        f"on {measured['machine']}."
    )
    with st.expander("Tables: temperature and alpha of each row, p-values, time and memory of a training step"):
        results, costs = _tables(rows, kept["rows"], setting)
        st.dataframe(results, hide_index=True, column_config=RESULT_COLUMNS)
        st.dataframe(costs, hide_index=True)


def _show_methods(rows: list[dict], setting: str, reference: str, *, marked: str) -> None:
    """The methods, ranked, and in words how many are clearly above or below."""
    base, shown = comparison.SETTINGS[setting].experiment, figures.ranked(rows, reference)
    by_name, all_methods = {row["name"]: row for row in rows}, [row for row in rows if row["kind"] == "method"]
    if not shown:
        st.info("Soft targets are not measured yet.", icon=":material/timer:")
        return
    above, below = (sum(row["against"][reference]["sign"] == sign for row in shown) for sign in (1, -1))
    other = by_name[reference]
    seeds = len(shown[0]["students"])
    st.markdown(
        f"Of {len(shown)} methods **{above}** are clearly above {figures.COMPARED_WITH[reference]} and **{below}** clearly below; for the "
        f"others, {seeds} seeds cannot decide. Clear: p < {comparison.LEVEL:g} in the paired t test after Holm's correction for "
        f"{len(shown)} comparisons. Test accuracy of {figures.COMPARED_WITH[reference]}: {np.mean(other['students']):.2f} %."
    )
    st.markdown(
        f"Student `{base.student}`, teacher `{base.teacher}`, {base.epochs} epochs. For every method temperature and weight were chosen "
        f"among {max(len(row['tried']) for row in all_methods)} settings on {base.validation:,} validation images, with seeds "
        f"used nowhere else. {_patience(by_name, base.epochs)}"
    )
    _show_ranked(shown, reference, key="methods_comparison", marked=marked)


def _patience(by_name: dict[str, dict], epochs: int) -> str:
    """What the baseline and soft targets gain by training twice as long; empty where that is not measured."""
    gains = [
        f"{title} {figures.points(difference)}"
        for name, title in (("baseline", "the baseline"), (comparison.REFERENCE, "soft targets"))
        if (difference := by_name.get(f"{name}-longer", {"against": {}})["against"].get(name))
    ]
    return f"With {2 * epochs} epochs in place of {epochs}: {', '.join(gains)}." if gains else ""


def _show_others(rows: list[dict], reference: str) -> None:
    """Controls and set-ups, each by itself: they are not ranked among the methods."""
    for kind, about in OTHERS.items():
        if shown := figures.ranked(rows, reference, kind):
            st.markdown(about)
            _show_ranked(shown, reference, key=f"methods_comparison_{kind}")


def _show_ranked(shown: list[dict], reference: str, *, key: str, marked: str = "") -> None:
    """The chart of these rows, drawn once for all sessions."""

    def draw() -> tuple[str, int]:
        figure = figures.comparison_figure(shown, reference, marked=marked)
        return to_json_plotly(figure), figure.layout.height

    setting = shown[0]["setting"]
    figure, height = _FIGURES.get((paths.version(comparison.SHIPPED), setting, reference, key, marked), draw)
    live_chart(figure, key=key, height=height, revision=f"{setting} {reference}")


def _tables(rows: list[dict], kept: list[dict], setting: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Results, and settings with the costs of a step: one row per entry, kind by kind.

    What does not apply to the networks of the setting comes last among the results, with the reason.
    """
    fastest = next((row for row in rows if row["name"] == comparison.REFERENCE), rows[0])
    order = [row for kind in ("method", "control", "set-up") for row in figures.ranked(rows, "baseline", kind)]
    order += [row for row in rows if row["kind"] == "reference"]
    results = [
        {
            "kind": row["kind"],
            "name": row["title"],
            "accuracy": format_percent(float(np.mean(row["students"])) / 100),
            **{column: text for name, title in figures.COMPARED_WITH.items() for column, text in _columns(row, name, title)},
        }
        for row in order
    ]
    results += [
        {"kind": row["kind"], "name": row["title"], "minus the baseline": row["refused"]}
        for row in kept
        if row["setting"] == setting and "refused" in row
    ]
    costs = [
        {
            "name": row["title"],
            "T": f"{row['experiment']['temperature']:g}",
            "alpha": f"{row['experiment']['alpha']:.4g}",
            "settings tried": len(row["tried"]),
            "time per step (ms)": round(row["step_ms"], 2),
            "relative to soft targets": round(row["step_ms"] / fastest["step_ms"], 2),
            "memory per step (MB)": round(row["step_mb"], 2),
        }
        for row in order
    ]
    return pd.DataFrame(results), pd.DataFrame(costs)


def _columns(row: dict, reference: str, title: str) -> list[tuple[str, str]]:
    """The difference from a reference and its corrected p-value, as columns of the table."""
    found = row["against"].get(reference)
    texts = (figures.points(found).replace(" points", ""), f"{found['p_value']:.2g}") if found else ("", "")
    return list(zip((f"minus {title}", f"p, minus {title}"), texts, strict=True))
