"""What every page needs: the server's one store and engine, the page set-up, the browser's owner token, the pace of ticks."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from typing import NoReturn

import streamlit as st

from distill_core import paths
from distill_core.runs.engine import Engine
from distill_core.runs.store import Store
from pages.server import room, streamlit_patches
from pages.server.identity import owner_token
from pages.server.plain_text import show_error

SESSIONS_PER_SECOND = 15  # how many sessions may redraw within one second before each ticks more slowly
WATCHING: dict[str, float] = {}  # by session: when it last drew a race that was running


@st.cache_resource(show_spinner=False)
def store() -> Store:
    """Where runs are kept. Raises `ValueError` with one sentence where the database cannot be used."""
    return Store(paths.home() / "lab.sqlite")


@st.cache_resource(show_spinner=False)
def engine() -> Engine:
    """The queue of runs; its workers start in the background and are warm before the first click."""
    threading.Thread(target=_load_torch, daemon=True, name="load torch").start()
    room.announce()
    return Engine(store()).start()


def _load_torch() -> None:
    """Load torch in the background: the second page that a learner opens needs it."""
    import distill_core.studies.presets  # noqa: F401


def set_up(title: str) -> None:
    """The first call of every page: each can be opened alone, by its own address."""
    streamlit_patches.apply()
    if streamlit_patches.app_was_skipped():
        here = f"pages/{title.lower().replace(' ', '_')}.py"
        go_to(here, here=here)
    st.set_page_config(page_title=f"{title} · Distill Lab", page_icon="🎓", layout="wide")
    st.html(streamlit_patches.STYLE)
    if menu := st.session_state.get("menu"):  # set by app.py
        st.html(streamlit_patches.mark_menu(menu, title))
    st.session_state["owner"] = owner_token(known=st.session_state.get("owner", "")) or ""
    try:
        store().version("")  # a database that cannot be read now gives its sentence here, once for the whole page
        _hand_over()
    except ValueError as error:
        show_error(error)
        st.stop()
    here = f"pages/{title.lower().replace(' ', '_')}.py"
    if (page := room.follow(title, st.session_state["owner"])) and page != here:
        go_to(page, here=here)


def go_to(page: str, *, here: str) -> NoReturn:
    """Open a page through app.py, with the query string of this address; `here` is the page that is open now.

    Where the first visit to a fresh server is a deep link, Streamlit has found the folder `pages/` by itself, shows its
    own menu and leaves app.py out. A call of `st.navigation` turns that off, from the next run on. It must list both
    pages: Streamlit reports an open page that is missing as "page not found".
    """
    if streamlit_patches.app_was_skipped():
        names = dict.fromkeys(("pages/start.py", here, page))
        st.navigation([st.Page(name, default=name == "pages/start.py") for name in names], position="hidden")
    st.switch_page(page, query_params={name: st.query_params.get_all(name) for name in st.query_params})


def link(page: str, label: str, *, icon: str, **query: str) -> None:
    """A link to another page; none where this page was opened by itself, without app.py."""
    with contextlib.suppress(streamlit_patches.PageNotFound):
        st.page_link(page, label=label, icon=f":material/{icon}:", query_params=query)


def owner() -> str:
    """The token of this browser, which gives the right to stop its runs; empty until the browser has sent it."""
    return st.session_state.get("owner", "")


def run_owner() -> str:
    """Who starts and controls runs here: this browser, or this session until the browser has sent its token."""
    return st.session_state.get("owner") or st.session_state.setdefault("provisional_owner", secrets.token_hex(16))


def _hand_over() -> None:
    """What was started before the browser's token had arrived belongs to the browser from now on."""
    state, lab_engine = st.session_state, engine()
    if state["owner"] and "provisional_owner" in state:
        lab_engine.hand_over(state["provisional_owner"], state["owner"])
        del state["provisional_owner"]


def address() -> str:
    """The address of the learner's computer, or of the router that a class shares; Streamlit gives none for this machine."""
    found = st.context.ip_address
    return found if isinstance(found, str) else "this machine"  # without a client, as in Streamlit's AppTest, it is no text


def pace(spent: float = 0.0) -> float:
    """Seconds between two ticks of a race: 0.1 for a single learner, up to 8 with many learners or on a busy machine.

    `spent` is what the last tick took, in seconds; drawing may take a quarter of the time. Of the last two ticks the
    quicker counts, because the first one of a page is always slow.
    """
    session = st.session_state.setdefault("session", secrets.token_hex(8))
    if spent:
        st.session_state["tick_seconds"] = (*st.session_state.get("tick_seconds", (0.0,)), spent)[-2:]
    slow = min(st.session_state.get("tick_seconds", (0.0,)))
    now = time.monotonic()
    WATCHING[session] = now
    for gone in [key for key, seen in list(WATCHING.items()) if now - seen > 12]:
        WATCHING.pop(gone, None)
    return min(8.0, max(0.1, 4 * slow, len(WATCHING) / SESSIONS_PER_SECOND))
