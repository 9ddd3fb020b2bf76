"""What leaves the lab: a trained network in files that other programs read, and its records.

`FORMATS` has them by name; each function takes a `Trained` and returns the file's content.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

from distill_core.export.card import model_card
from distill_core.export.files import safetensors, torch_program
from distill_core.export.notebook import notebook
from distill_core.export.onnx_model import onnx, onnx_int8
from distill_core.export.page import page
from distill_core.export.report import report
from distill_core.export.trained import Trained


def records_as_csv(trained: Trained) -> bytes:
    """The records of a run, one line for each measurement. Raises `ValueError` for a network that has none."""
    if not trained.records:
        raise ValueError(f"{trained.name} has no records of its training here; csv is there for finished runs")
    columns = [name for name in trained.records[0] if name != "row"]
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(trained.records)
    return file.getvalue().encode()


FORMATS: dict[str, tuple[str, Callable[[Trained], bytes]]] = {
    "safetensors": (".safetensors", safetensors),
    "onnx": (".onnx", onnx),
    "onnx-int8": (".int8.onnx", onnx_int8),
    "torch": (".pt2", torch_program),
    "html": (".html", lambda trained: page(trained).encode()),
    "notebook": (".ipynb", lambda trained: notebook(trained).encode()),
    "report": (".report.html", lambda trained: report(trained).encode()),
    "csv": (".csv", records_as_csv),
    "card": (".md", lambda trained: model_card(trained).encode()),
}


OF_RUNS = ("csv", "report")  # which need the records of a training
OF_TEXTS = ("safetensors", "onnx", "notebook", "csv")  # which language models can have


def offered(trained: Trained) -> list[str]:
    """The forms that this network can have, as far as its kind and its run decide; its layers or its size may still forbid one."""
    forms = OF_TEXTS if trained.dataset.is_text else FORMATS
    return [form for form in forms if form not in OF_RUNS or trained.records]


def export(trained: Trained, form: str) -> bytes:
    """The file of this form. Raises `ValueError` with one sentence for an unknown form, or one that this network cannot have."""
    if form not in FORMATS:
        raise ValueError(f"format '{form}' is not known; choose one of: {', '.join(FORMATS)}")
    if trained.dataset.is_text and form not in OF_TEXTS:
        raise ValueError(f"{trained.name} is a language model, for which there is no {form}; choose one of: {', '.join(OF_TEXTS)}")
    return FORMATS[form][1](trained)


def file_name(trained: Trained, form: str) -> str:
    """A name for the file of a download, of letters, digits, dots and dashes."""
    text = "-".join(filter(None, (trained.dataset.name.removesuffix(".zip").removesuffix(".txt"), trained.name, str(trained.compression))))
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-.") else "-" for letter in text) + FORMATS[form][0]
