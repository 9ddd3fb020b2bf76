"""The source code of the functions that a page uses, as it stands in the repository: docstring as text, body as code."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable

import streamlit as st

from distill_core import losses
from distill_core.batch import Method

TITLE = "Source code that this app runs"
FORMULA = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)


@st.fragment
def show_source(*functions: Callable) -> None:
    """Docstring and code of each function, from the file that runs, once the expander is opened.

    Formulas and code cost a browser 0.3 s, so they are drawn only for a learner who opens them.
    """
    expander = st.expander(TITLE, key="source", on_change="rerun")
    with expander:
        if expander.open:
            _show(functions)


def _show(functions: tuple[Callable, ...]) -> None:
    for function in functions:
        module = inspect.getmodule(function).__name__
        st.markdown(f"**`{module}.{function.__name__}`**")
        st.markdown(description_of(function))
        st.code(code_of(function), language="python")


def description_of(function: Callable) -> str:
    """The docstring as Markdown that Streamlit renders: a formula on lines of its own, between lines with only `$$`."""
    return FORMULA.sub(lambda found: f"$$\n{' '.join(found[1].split())}\n$$", inspect.getdoc(function))


def functions_of(method: Method) -> list[Callable]:
    """The losses that a method calls, what it does to the targets, and its own function. For one that a function made, that function."""
    maker = getattr(inspect.getmodule(method.definition), method.definition.__qualname__.split(".")[0])
    return [*losses_in(method.definition), *([method.change_targets] if method.change_targets else []), maker]


def losses_in(function: Callable) -> list[Callable]:
    """The public functions of `losses.py` that a function calls, directly or through others or its closure, first call first."""
    found: dict[Callable, None] = {}
    queue = [function]
    for current in queue:
        if current.__module__ == losses.__name__ and not current.__name__.startswith("_"):
            found[current] = None
            continue
        in_closure = [cell.cell_contents for cell in current.__closure__ or ()]
        by_name = [current.__globals__.get(name) or getattr(losses, name, None) for name in current.__code__.co_names]
        queue += [other for other in (*by_name, *in_closure) if inspect.isfunction(other) and other not in queue]
    return list(found)


def code_of(function: Callable) -> str:
    """The source of a function without its docstring."""
    source = textwrap.dedent(inspect.getsource(function))
    body = ast.parse(source).body[0].body
    lines = source.splitlines()
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
        del lines[body[0].lineno - 1 : body[0].end_lineno]
    return "\n".join(lines)
