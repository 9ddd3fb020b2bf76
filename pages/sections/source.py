"""The function at work, shown as it stands in the repository: its idea as text, its code as code."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable

import streamlit as st

from distill_core import losses


@st.fragment
def show_source(*functions: Callable) -> None:
    """Docstring and code of each function, from the file that runs, once somebody opens it.

    Formulas and code cost a browser 0.3 s: a page that nobody asks for them need not wait.
    """
    at_work = st.expander("The function at work" if len(functions) == 1 else "The functions at work", key="source", on_change="rerun")
    with at_work:
        if at_work.open:
            _tell(functions)


def _tell(functions: tuple[Callable, ...]) -> None:
    for function in functions:
        module = inspect.getmodule(function).__name__
        st.markdown(f"**`{module}.{function.__name__}`**")
        st.markdown(inspect.getdoc(function))
        st.code(code_of(function), language="python")


def functions_of(objective: Callable) -> list[Callable]:
    """A method's losses and its objective; one that was made by a function is shown by that."""
    maker = getattr(inspect.getmodule(objective), objective.__qualname__.split(".")[0])
    return [*losses_in(objective), maker]


def losses_in(function: Callable) -> list[Callable]:
    """The functions of `losses.py` that a function calls, also those it calls through others or was made with, first call first."""
    found: dict[Callable, None] = {}
    seen = [function]
    for one in seen:
        if one.__module__ == losses.__name__ and not one.__name__.startswith("_"):
            found[one] = None
            continue
        cells = [cell.cell_contents for cell in one.__closure__ or ()]
        named = [one.__globals__.get(name) or getattr(losses, name, None) for name in one.__code__.co_names]
        seen += [other for other in (*named, *cells) if inspect.isfunction(other) and other not in seen]
    return list(found)


def code_of(function: Callable) -> str:
    """The function without its docstring, which stands above as text."""
    source = textwrap.dedent(inspect.getsource(function))
    body = ast.parse(source).body[0].body
    lines = source.splitlines()
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
        del lines[body[0].lineno - 1 : body[0].end_lineno]
    return "\n".join(lines)
