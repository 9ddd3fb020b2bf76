"""Four sliders that compress a network, each above the curve of its accuracy: drawn in the browser, without the server."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

HERE = Path(__file__).parent

_sliders = st.components.v2.component(
    "compress_sliders",
    html='<div class="compress-sliders">\n</div>',
    css=(HERE / "compress_sliders.css").read_text(),
    js=(HERE / "compress_sliders.js").read_text(),
)


def compress_sliders(curves: dict[str, list[dict]], *, values: dict[str, int], titles: dict[str, str], key: str) -> dict[str, int]:
    """The values where the sliders were last released, by axis.

    `curves`: for each axis its points `{"value", "accuracy", "bytes", "flops"}`, of which those that are not measured yet have the
    value alone; an axis without points has no slider. `values`: those that the page sets; `titles`: of the axes.
    """
    data = {"curves": curves, "values": values, "titles": titles}
    state = _sliders(data=data, key=key, on_chosen_change=lambda: None)
    return read_values(state.chosen, curves=curves, page_values=values)


def read_values(state: object, *, curves: dict[str, list[dict]], page_values: dict[str, int]) -> dict[str, int]:
    """The values of the browser's message; those of the page where it is malformed, older, or names a value that no slider has."""
    if not isinstance(state, dict) or state.get("page_values") != page_values or not isinstance(state.get("values"), dict):
        return page_values
    sent = state["values"]
    found = {}
    for axis, before in page_values.items():
        known = [point["value"] for point in curves.get(axis, ())]
        found[axis] = sent[axis] if type(sent.get(axis)) is int and sent[axis] in known else before
    return found
