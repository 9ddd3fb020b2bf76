"""The page Glossary in parts: the terms, the history, and a map of what to know before."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from distill_core.glossary import Term
from distill_core.references import citations, reference
from pages.server.lab import link


def show_terms(terms: dict[str, Term], *, first: str = "") -> None:
    """All terms in alphabetical order; the one that a link asks for is shown above the others."""
    if first:
        with st.container(border=True):
            _show(first, terms[first])
    words = st.text_input("Find a term", key="glossary_find", help="Shows the terms whose name or meaning contains this text.").casefold()
    found = {name: term for name, term in terms.items() if words in f"{name} {' '.join(term.also)} {term.meaning}".casefold()}
    for name, term in found.items():
        _show(name, term)
    if not found:
        st.markdown("No term contains this text; try a shorter one.")


def _show(name: str, term: Term) -> None:
    also = f" *(also: {', '.join(term.also)})*" if term.also else ""
    st.markdown(f"**{name}**{also}: {term.meaning}")
    if term.page:
        title = term.page.removeprefix("pages/").removesuffix(".py").replace("_", " ").capitalize()
        link(term.page, f"See it on the page {title}", icon="arrow_outward")


def show_history(timeline: Sequence[tuple[int, str, str]]) -> None:
    """The history as a table, each line with its reference in full."""
    rows = [
        {"year": str(year), "what": what, "reference": str(reference(citations(source)[0])).replace("*", "")}
        for year, what, source in timeline
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, height="content")


def show_before(before: dict[str, tuple[str, ...]]) -> None:
    """What to know before, as a graph from the foundations to distillation, and as a list."""
    edges = "".join(f'"{one}" -> "{name}";' for name, needed in before.items() for one in needed)
    st.graphviz_chart(f'digraph {{ rankdir=LR; node [shape=box, style="rounded", fontsize=16]; {edges} }}')
    for name, needed in before.items():
        st.markdown(f"- **{name}**" + (f", after {', '.join(needed)}" if needed else ""))
