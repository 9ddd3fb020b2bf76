"""A trained network as a file: a choice of what it can be, and the button that makes and the one that saves it."""

from __future__ import annotations

import streamlit as st

from distill_core.export import export, file_name, offered
from distill_core.export.trained import Trained
from pages.server.plain_text import plain, show_error

FORMATS = {  # title, and what the file is for
    "html": ("HTML file for a phone", "HTML: draw a digit and have it classified, on a phone and offline."),
    "safetensors": ("safetensors", "safetensors: the weights alone."),
    "onnx": ("ONNX", "ONNX: a network for other runtimes, compared with torch on test examples."),
    "onnx-int8": ("ONNX, 8 bits", "ONNX, 8 bits: the same with weights and activations of 8 bits."),
    "torch": ("torch.export", "torch.export: weights and computation as one program, which PyTorch runs without the code of this lab."),
    "notebook": (
        "Notebook",
        "Notebook: computes the test accuracy, or bits a character, again from the weights, without the app; that of a run can also train "
        "the student again.",
    ),
    "report": ("Report on one page", "The report, HTML that prints to PDF, has the run's settings, conclusion, curves and limits."),
    "csv": ("Records as CSV", "CSV: what was measured while it trained."),
    "card": ("Model card", "The model card states data, recipe, figures and limits."),
}
OF_RUNS = "Report and CSV are there for finished runs, without compression."


def show(trained: Trained, *, key: str) -> None:
    """A button for the chosen format; the file is made when it is pressed."""
    st.subheader("Export")
    forms = [form for form in FORMATS if form in offered(trained)]
    form = st.selectbox(
        "File format", forms, key=f"{key}_format", format_func=lambda form: FORMATS[form][0],
        help=" ".join([*(FORMATS[form][1] for form in forms), *([] if trained.records else [OF_RUNS])]),
    )  # fmt: skip
    if st.button(
        "Make the file", key=f"{key}_make", icon=":material/build:", help="Makes the file of the network above, in this format.",
    ):  # fmt: skip
        try:
            with st.spinner("Making the file"):
                st.session_state[f"{key}_file"] = (trained.title, file_name(trained, form), export(trained, form))
        except ValueError as error:
            st.session_state.pop(f"{key}_file", None)
            show_error(error)
    if made := st.session_state.get(f"{key}_file"):
        title, name, blob = made
        st.download_button(
            f"Download {name}", blob, file_name=name, key=f"{key}_download", icon=":material/download:", help="Saves the file."
        )
        st.caption(f"{plain(title)}: {len(blob):,} bytes")
