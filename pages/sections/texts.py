"""A race on a text: what its networks write while they train; then the scores, what they write from any prompt, and expect next."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st
from torch import nn

from distill_core import statistics, teachers, writing
from distill_core.data import datasets
from distill_core.data.text import Text
from distill_core.data.texts import LITTLE, as_shown
from distill_core.experiment import Experiment
from distill_core.export.trained import Trained
from distill_core.figures.texts import kinds_figure
from distill_core.runs.finished import of_run
from distill_core.runs.store import Run
from distill_core.statistics import BITS, format_bits, format_percent
from distill_core.writing import PROMPTS, SAMPLED_AT
from pages.components.coloured_text import coloured_text
from pages.components.live_chart import live_chart
from pages.components.soft_targets import soft_targets
from pages.sections import downloads, networks
from pages.server.curves import samples
from pages.server.experiments import experiments_of
from pages.server.lab import store
from pages.server.plain_text import plain, show_error

BARS = 12  # tokens with a bar
ROLES = ("teacher", "baseline", "student")
MEANINGS = {
    "bits per character": "What the network needs to encode a character of the test text; lower is better. Of the little language it is "
    "the bits of a word divided by the mean length of a word with its space.",
    "95 % interval": "Of student and baseline: Student's t interval of the mean over the seeds. Of the teacher, and with one seed: the "
    "interval over the test windows.",
    "bits on validation windows": "Bits a character on the stretch of the training text that is held out: settings are chosen by it.",
    "KL to teacher": "Kullback-Leibler divergence from the teacher's probabilities to this network's, in nats a token, on the test text.",
    "KL to truth": "Kullback-Leibler divergence from the true next-word distribution to this network's, in nats a word. 0: the network has "
    "learned the language.",
    "agreement": "The share of positions at which this network and the teacher expect the same next token.",
    "parameters": "Weights and biases that are trained.",
    "grammatical": "The share of whole sentences, of those that the network writes at T = 1, that the grammar can produce.",
    "kinds": "Of all kinds of sentences (number of the subject, relative clause, verb) the share that occurs among them.",
}


def show(run: Run) -> None:
    """All parts, for a run whose networks are kept."""
    experiment = experiments_of(run)[0]
    if results := store().results(run.id):
        _show_scores(results)
    if not store().has_artefact(run.id, networks.WEIGHTS):
        return
    try:
        dataset = datasets.load(experiment.dataset)
        members = _members(run, experiment)
    except ValueError as error:
        st.warning(plain(error))
        return
    _show_writing(run, dataset, members)
    if experiment.dataset == LITTLE:
        _show_grammar(run, dataset, members)
    if run.status == "finished":
        try:
            downloads.show(_trained(run.id, run.resets, _run=run), key=f"file_{run.id}")
        except ValueError as error:
            show_error(error)


@st.cache_resource(max_entries=8, show_spinner=False)
def _trained(run_id: str, resets: int, *, _run: Run) -> Trained:
    """The student of the first seed with its records, keyed by run."""
    return of_run(store(), _run)


def _members(run: Run, experiment: Experiment) -> dict[str, nn.Module]:
    """Teacher, baseline and student of the first seed."""
    own = networks.with_own_teacher(run)
    if experiment.teacher != teachers.SELF:
        own = own | {"teacher": networks.teacher(experiment.dataset, experiment.teacher, experiment.combine)}
    return {role: own[role] for role in ROLES}


def _show_scores(results: list[dict]) -> None:
    rows, is_validated = [], results[0]["student"].get(BITS.validation) is not None
    for role in ROLES:
        scores = [result[role] for result in results]
        bits = [float("nan") if one[BITS.field] is None else one[BITS.field] for one in scores]
        low, high = (scores[0]["low"], scores[0]["high"]) if len(set(bits)) < 2 else statistics.mean_interval(bits)[1:]
        rows.append(
            {
                "network": role,
                "bits per character": format_bits(float(np.mean(bits))),
                "95 % interval": "\u2013" if low is None else f"{format_bits(low)} to {format_bits(high)}",
                **({"bits on validation windows": _validated(scores)} if is_validated else {}),
                "KL to teacher": _mean(scores, "teacher_kl"),
                **({"KL to truth": _mean(scores, "truth_kl")} if "truth_kl" in scores[0] else {}),
                "agreement": format_percent(float(np.mean([one["agreement"] for one in scores]))),
                "parameters": f"{scores[0]['parameters']:,}",
            }
        )
    if (floor := results[0]["student"].get("entropy_rate")) is not None:
        rows.append({"network": "the truth", "bits per character": format_bits(floor), "KL to truth": "0"})
    columns = {name: st.column_config.TextColumn(name, help=text) for name, text in MEANINGS.items()}
    st.dataframe(pd.DataFrame(rows).fillna(""), hide_index=True, column_config=columns)


def _validated(scores: list[dict]) -> str:
    """The mean over the seeds; empty for the teacher, which was trained on these windows."""
    found = [one[BITS.validation] for one in scores if one.get(BITS.validation) is not None]
    return format_bits(float(np.mean(found))) if found else ""


def _mean(scores: list[dict], name: str) -> str:
    found = [one.get(name) for one in scores]
    return "\u2013" if None in found else f"{np.mean(found):.4f} nats"


def show_transfer_set(experiment: Experiment) -> None:
    """Before a race: some of the text that the student trains on, with the teacher's uncertainty, where the teacher is there."""
    dataset = datasets.load(experiment.dataset)
    choice = {"images": experiment.images, "hide_classes": (), "validation": experiment.validation, "in_order": True}
    chosen = datasets.choose_images(dataset.example_labels, **choice, seed=experiment.seed)
    tokens = dataset.train_images[chosen[0]].tolist()
    try:
        network = networks.teacher(experiment.dataset, experiment.teacher, experiment.combine)
    except ValueError:  # not trained yet: the run trains it
        return
    bits = writing.entropies(network, dataset, tokens)
    names = [dataset.class_names[token] for token in tokens]
    st.markdown(
        f"**From the {len(chosen):,} training windows:** the first one. The stronger the colour of a token, the less certain the teacher "
        "was before it."
    )
    coloured = [(dataset.separator + name, value) for name, value in zip(names[1:], bits, strict=True)]
    coloured_text(
        {"teacher": coloured}, most=float(np.log2(dataset.classes)), unit="bits of entropy", prompt=names[0], key="transfer_text"
    )  # fmt: skip


# --- while they train -----------------------------------------------------------------------------------------------


def show_samples(run: Run, *, updates: str = "") -> None:
    """What the networks of the first seed write while they train, always after the same prompt and with the same random numbers.

    While the race runs, the newest texts, which `updates` (see `live_chart`) replaces; then those after any of the epochs.
    """
    written = samples(run.id)
    if not written:
        return
    experiment = experiments_of(run)[0]
    st.markdown(
        f"**What the networks write while they train**, drawn at T = {SAMPLED_AT:g}",
        help=f"Networks of seed {experiment.seed}. The prompt and the random numbers are the same each time, so that only the training "
        "makes a difference.",
    )
    chosen = written[-1]
    if not run.active and len(written) > 1:
        epochs = [one["epoch"] for one in written]
        epoch = st.select_slider("Epoch", epochs, epochs[-1], key=f"text_epoch_{run.id}", help="Texts after this epoch of training.")
        chosen = written[epochs.index(epoch)]
    by_role = {"teacher": _sample_of_teacher(run, experiment), "baseline": chosen["baseline"], "student": chosen["student"]}
    coloured_text(
        {role: [(text, None)] for role, text in by_role.items() if text}, most=1.0, unit="", prompt=chosen["prompt"],
        key=f"samples_{run.id}", epoch=chosen["epoch"], updates=updates,
    )  # fmt: skip


def _sample_of_teacher(run: Run, experiment: Experiment) -> str:
    """What the teacher writes; empty while there is none: the run trains it first."""
    try:
        if experiment.teacher == teachers.SELF:
            network, fingerprint = networks.with_own_teacher(run)["teacher"], run.id
        else:
            network = networks.teacher(experiment.dataset, experiment.teacher, experiment.combine)
            fingerprint = f"{experiment.teacher} {experiment.combine}"
        return _sample(experiment.dataset, fingerprint, experiment.seed, _network=network)
    except ValueError:
        return ""


@st.cache_data(max_entries=64, show_spinner=False)
def _sample(dataset: str, fingerprint: str, seed: int, *, _network: nn.Module) -> str:
    return writing.sample(_network, datasets.load(dataset), seed=seed)


# --- a prompt -------------------------------------------------------------------------------------------------------


def _show_writing(run: Run, dataset: Text, members: dict[str, nn.Module]) -> None:
    """What each network writes after a prompt, and what it expects next."""
    st.subheader("What they write", help="The networks of the first seed continue the same prompt, with the same random numbers.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        prompt = st.text_input(
            "Prompt", PROMPTS.get(experiments_of(run)[0].dataset, ""), key=f"prompt_{run.id}", max_chars=writing.MAX_PROMPT,
            help=f"The beginning of the text, {'in words of the little language' if dataset.separator else 'in characters of the text'}.",
        )  # fmt: skip
        temperature = st.slider(
            "T of the drawing", 0.0, 1.5, 0.8, 0.1, key=f"drawn_at_{run.id}",
            help="Each token is drawn from softmax(z / T): 0 always takes the most probable one, 1 draws as the network predicts.",
        )  # fmt: skip
        again = st.number_input("Draw number", 0, 999, key=f"draw_{run.id}", help="Another number draws another text.")
    try:
        tokens = writing.prompt_tokens(dataset, prompt)
    except ValueError as error:
        show_error(error)
        return
    length = 32 if dataset.separator else 200
    texts = {}
    for role, network in members.items():
        written = writing.continue_prompt(network, dataset, tokens, tokens=length, temperature=temperature, seed=int(again))
        bits = writing.entropies(network, dataset, [*tokens, *written])[len(tokens) - 1 :]
        texts[role] = [(dataset.separator + dataset.class_names[token], value) for token, value in zip(written, bits, strict=True)]
    coloured_text(texts, most=float(np.log2(dataset.classes)), unit="bits of entropy", prompt=prompt, key=f"texts_{run.id}")
    st.caption("The stronger the colour of a token, the less certain the network was before it: the entropy of its prediction at T = 1.")
    st.subheader("The next token", help="The softmax of the logits for the token after the prompt, at any temperature.")
    logits = {role: writing.next_logits(network, dataset, tokens).numpy() for role, network in members.items()}
    most = np.max([np.exp(z - z.max()) / np.exp(z - z.max()).sum() for z in logits.values()], axis=0)
    shown = np.argsort(-most, kind="stable")[:BARS]
    soft_targets(
        logits=logits, class_names=[as_shown(name) for name in dataset.class_names], label=None, temperature=1.0,
        key=f"next_{run.id}", shown=shown.tolist(),
    )  # fmt: skip
    if len(shown) < dataset.classes:
        st.caption(f"The {len(shown)} most probable of {dataset.classes} tokens; the others count in the softmax.")


def _show_grammar(run: Run, dataset: Text, members: dict[str, nn.Module]) -> None:
    """Of the little language: grammatical sentences, and which kinds are written how often."""
    st.subheader("Sentences", help=f"Each network writes {writing.JUDGED} texts at T = 1, which the grammar judges.")
    judged = {role: _judged(run.id, run.resets, role, _dataset=dataset, _network=network) for role, network in members.items()}
    judged["the truth"] = writing.judge_truth(dataset)
    rows = [
        {
            "network": role,
            "grammatical": format_percent(one["grammatical"]),
            "kinds": format_percent(one["kinds"]),
            "sentences": one["sentences"],
        }
        for role, one in judged.items()
    ]
    columns = {name: st.column_config.TextColumn(name, help=text) for name, text in MEANINGS.items() if name in rows[0]}
    st.dataframe(pd.DataFrame(rows), hide_index=True, column_config=columns)
    frequencies = {role: one["frequencies"] for role, one in judged.items() if role != "the truth"}
    live_chart(kinds_figure(writing.kinds_of_truth(), frequencies), key=f"kinds_{run.id}", height=340, revision=run.id)
    st.caption(
        "Each kind of sentence, the most frequent first. Compare a student of soft targets, which minimises the forward divergence, with "
        "one of the reverse divergence: which of them writes the rare kinds too?"
    )


@st.cache_data(max_entries=64, show_spinner="Writing sentences")
def _judged(run_id: str, resets: int, role: str, *, _dataset: Text, _network: nn.Module) -> dict:
    """Keyed by run and role; the network belongs to them."""
    return writing.judge(_network, _dataset)
