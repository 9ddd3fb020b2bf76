"""The laboratory behind the pages: one store and one engine for the whole server, and whose browser this is."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time

import streamlit as st
from streamlit.errors import StreamlitPageNotFoundError
from streamlit.runtime.pages_manager import PagesManager

from distill_core import paths
from distill_core.runs.engine import Engine
from distill_core.runs.store import Store
from pages.server import streamlit_patches
from pages.server.identity import owner_token

# Streamlit writes a name in the text 14 px high, lets a long formula hang over the edge of a phone, and writes what is chosen
# in the primary colour, which on a dark page cannot be read from the back row.
LEGIBLE = """<style>
[data-testid=stMarkdownContainer] :not(pre) > code {font-size: 0.875rem}
.katex-display {overflow-x: auto; overflow-y: hidden}
button[data-variant][data-selected=true] {color: inherit !important; background-color: #1F82C066 !important}
</style>"""
CLASS = 30  # sessions of which each looks once a second
WATCHING: dict[str, float] = {}  # when each session last looked at a race that was going on


@st.cache_resource(show_spinner=False)
def store() -> Store:
    """Where runs are kept. A database that cannot be used is a `ValueError` with one sentence."""
    return Store(paths.home() / "lab.sqlite")


@st.cache_resource(show_spinner=False)
def engine() -> Engine:
    """What runs them; its workers start in the background and are warm before the first click."""
    threading.Thread(target=_load_torch, daemon=True, name="load torch").start()
    return Engine(store()).start()


def _load_torch() -> None:
    """Whoever opens the second page should not wait for it."""
    import distill_core.studies.presets  # noqa: F401


def set_up(title: str) -> None:
    """What every page begins with: each can be opened alone, by its own address."""
    streamlit_patches.repair()
    if PagesManager.uses_pages_directory:
        _go_through_app(f"pages/{title.lower().replace(' ', '_')}.py")
    st.set_page_config(page_title=f"{title} · Distill Lab", page_icon="🎓", layout="wide")
    st.html(LEGIBLE)
    st.session_state["owner"] = owner_token(told=st.session_state.get("owner", "")) or ""
    try:
        engine()
    except ValueError as error:
        st.error(str(error))
        st.stop()


def _go_through_app(page: str) -> None:
    """Begin this visit again, through app.py.

    Where the first visit to a fresh server is a deep link, Streamlit has found the folder `pages/` by itself, shows its
    own menu and leaves app.py out. Naming pages tells it better, from the next run on.
    """
    start = st.Page("pages/start.py", default=True)
    here = start if page == "pages/start.py" else st.Page(page)
    st.navigation([start] if here is start else [start, here], position="hidden")
    st.switch_page(here, query_params={name: st.query_params.get_all(name) for name in st.query_params})


def link(page: str, label: str, *, icon: str, **query: str) -> None:
    """A link to another page; none where this page was opened by itself, without app.py."""
    with contextlib.suppress(StreamlitPageNotFoundError):
        st.page_link(page, label=label, icon=f":material/{icon}:", query_params=query)


def owner() -> str:
    """The token of this browser, with which its runs can be stopped; empty until the browser has told it."""
    return st.session_state.get("owner", "")


def pace(spent: float = 0.0) -> float:
    """Seconds between two looks at a race: at once for one who learns alone, gentler with a whole class or a busy machine.

    `spent` is what the last look took; looking may take a quarter of the time. A single slow one, as the first of a page
    is, says nothing: of the last two the quicker counts.
    """
    session = st.session_state.setdefault("session", secrets.token_hex(8))
    if spent:
        st.session_state["looks"] = (*st.session_state.get("looks", (0.0,)), spent)[-2:]
    slow = min(st.session_state.get("looks", (0.0,)))
    now = time.monotonic()
    WATCHING[session] = now
    for gone in [key for key, seen in list(WATCHING.items()) if now - seen > 5]:
        WATCHING.pop(gone, None)
    return min(2.0, max(0.1, 4 * slow, len(WATCHING) / CLASS))
