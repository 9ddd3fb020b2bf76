"""The comparison of all methods on texts, for the page Methods: measured earlier, and labelled so."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from distill_core.statistics import format_bits, format_percent, format_points
from distill_core.studies import text_methods
from pages.server.link import settle

DIFFERENCE_HELP = (
    "Bits a character that the student needs on the test text, minus those of its baseline: fewer is better. Mean over the seeds with "
    "a 95 % interval of the paired differences. The baseline learns from the text only."
)
COMPARISON_HELP = (
    "Temperature, alpha and learning rate are those with which a race on this text begins; nothing is tuned. The intervals are those of "
    "single differences; whether a difference is called clear takes into account how many there are."
)
COLUMNS = {
    "bits a character": "On the test text, the mean over the seeds; lower is better.",
    "minus its baseline": "The paired difference from the baseline with its 95 % interval; below 0 is better.",
    "p": "p-value of that difference, after Holm's correction.",
    "KL to teacher": "Kullback-Leibler divergence from the teacher's probabilities to the student's, in nats a token, on the test text.",
    "grammatical": "Of the sentences that the first seed's student writes at T = 1, the share that the grammar can produce.",
    "kinds": "Of all kinds of sentences, the share that occurs among them.",
}


def show_differences(name: str) -> None:
    """The measured differences of one method from its baselines, a line for each text."""
    rows = text_methods.kept(text_methods.SHIPPED)["rows"]
    lines = []
    for setting, (title, _) in text_methods.SETTINGS.items():
        row = next((one for one in text_methods.differences(rows, setting) if one["name"] == name), None)
        lines.append(f"{title}: **{_difference(row) if row else 'not measured yet'}**")
    st.markdown(
        "Bits a character minus those of the baseline (95 % interval); fewer is better  \n" + "  \n".join(lines), help=DIFFERENCE_HELP
    )


def show() -> None:
    """All methods on the same text, each beside its baseline; or the command that measures them."""
    kept = text_methods.kept(text_methods.SHIPPED)
    st.subheader("All methods compared", help=COMPARISON_HELP)
    settings = list(text_methods.SETTINGS)
    settle("methods_text", settings)
    setting = st.segmented_control(
        "Measured on", settings, key="methods_text", required=True, format_func=lambda s: text_methods.SETTINGS[s][0],
        persist_state="session", help="The text of the comparison.",
    )  # fmt: skip
    rows = text_methods.differences(kept["rows"], setting)
    if not rows:
        st.info(f"Not measured yet: `python -m distill_core compare {setting} --keep` measures it.", icon=":material/timer:")
        return
    usual, measured = text_methods.SETTINGS[setting][1], kept["measured"][setting]
    better, worse = (sum(row["sign"] == sign for row in rows) for sign in (1, -1))
    st.markdown(
        f"Of {len(rows)} methods and controls **{better}** need clearly fewer bits a character than their baselines and **{worse}** "
        f"clearly more; for the others, {len(rows[0]['students'])} seeds cannot decide. Clear: p < {text_methods.LEVEL:g} in the paired "
        f"t test after Holm's correction for {len(rows)} comparisons. The teacher, `{usual.teacher}`, needs "
        f"{format_bits(rows[0]['teacher'])} bits."
    )
    columns = {name: st.column_config.TextColumn(help=text) for name, text in COLUMNS.items()}
    st.dataframe(table(rows), hide_index=True, column_config=columns)
    here = {row["name"] for row in rows}
    if missing := [text_methods.title_of(name) for name in text_methods.entries(setting) if name not in here]:
        st.info(f"Not measured yet: {', '.join(missing)}.", icon=":material/timer:")
    if parts := text_methods.ablation(rows, setting):
        _show_ablation(parts)
    st.markdown(
        f"*Measured earlier*, on {measured['date']}, by `{measured['command']}` in {measured['cpu_seconds'] / 60:.0f} minutes of "
        f"processor time on {measured['machine']}."
    )


def _show_ablation(parts: list[dict]) -> None:
    """DistilBERT in miniature without one part at a time, beside the paper's figures."""
    st.markdown(
        "**DistilBERT in miniature, one part removed at a time.** The paper measures a mean score on GLUE, this lab bits a character on "
        "held-out text. (Sanh et al. 2019, section 4.2, table 4; the paper's figures are from memory, their order was checked.)"
    )
    rows = [
        {
            "removed": part["removed"],
            "paper: points of GLUE": format_points(part["paper"], 2),
            "here: bits more": f"{format_points(part['more_bits'], 4)} ({format_points(part['low'], 4)} to "
            f"{format_points(part['high'], 4)})",
        }
        for part in parts
    ]
    st.dataframe(rows, hide_index=True)


def table(rows: list[dict]) -> pd.DataFrame:
    """A line for each row of `text_methods.differences`, the best first."""
    return pd.DataFrame(
        [
            {
                "method": row["title"],
                "student": row["student"],
                "bits a character": format_bits(float(np.mean(row["students"]))),
                "minus its baseline": _difference(row),
                "clear": {1: "better", -1: "worse", 0: ""}[row["sign"]],
                "p": f"{row['p_value']:.2g}",
                "KL to teacher": f"{row['teacher_kl']:.4f}",
                **{name: format_percent(row[name]) for name in ("grammatical", "kinds") if name in row},
            }
            for row in rows
        ]
    )


def _difference(row: dict) -> str:
    return f"{format_points(row['difference'], 4)} ({format_points(row['low'], 4)} to {format_points(row['high'], 4)})"
