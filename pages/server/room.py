"""The room of a class on the server: who is the lecturer, which browser has a seat, and how pages follow the room.

The lecturer's link holds a random token, which the server prints at its start, to its terminal and nowhere else. The page
takes the token out of the address at once: the address is on the wall. From then on the browser's own token counts.
"""

from __future__ import annotations

import functools
import hmac
import secrets
from dataclasses import asdict
from urllib.parse import urlsplit

import streamlit as st

from distill_core import paths
from distill_core.runs.keys import owner_mark
from distill_core.runs.rooms import Room, Rooms, spread
from pages.server import network
from pages.server.plain_text import plain, show_error

POLL = 2.0  # seconds between two looks of a learner's page at the room: one row of a small file
ALWAYS_SHOWN = ("Start", "Classroom", "Lecturer")
_TOKEN = secrets.token_urlsafe(24)
_lecturers: set[str] = set()  # marks of browsers that opened the link since the server was started


@st.cache_resource(show_spinner=False)
def rooms() -> Rooms:
    """The one room of this server."""
    return Rooms(paths.home() / "rooms.sqlite")


# --- the lecturer ---------------------------------------------------------------------------------------------------


@functools.cache
def announce() -> None:
    """Print the lecturer's link to the terminal of the server, once."""
    print(f"  Lecturer's page: {network.local_address()}/lecturer?token={_TOKEN}\n", flush=True)


def is_lecturer(token: str) -> bool:
    """Whether this browser has opened the lecturer's link. `token` is the browser's own."""
    given = st.query_params.get("token", "")
    if given and hmac.compare_digest(given.encode(), _TOKEN.encode()):
        st.session_state["lecturer"] = True
    if "token" in st.query_params:
        del st.query_params["token"]
    if st.session_state.get("lecturer") and token:
        _lecturers.add(owner_mark(token))
    return bool(st.session_state.get("lecturer")) or owner_mark(token) in _lecturers


# --- learners -------------------------------------------------------------------------------------------------------


def current() -> Room | None:
    """The open room; None where there is none, or its file cannot be read now."""
    try:
        return rooms().current()
    except ValueError as error:
        show_error(error)
        return None


def join(code: str, token: str) -> bool:
    """Join the room; a refusal gives one sentence on the page."""
    try:
        seat = rooms().join(code, token)
    except ValueError as error:
        show_error(error)
        return False
    call = rooms().current().call
    st.session_state.update({"room_call": call.number if call else 0, "seat": seat})  # a latecomer is not moved by earlier calls
    return True


def follow(title: str, token: str) -> str:
    """Called by the set-up of every page: join by the link, hide what the lecturer hides, look for changes.

    Returns the page that the lecturer has called this learner to, or "".
    """
    if (code := st.query_params.get("room")) and token:
        del st.query_params["room"]
        join(code, token)
    room = current()
    st.session_state["seat"] = seat = rooms().seat(token) if room is not None else 0
    if room is None or not seat:
        return ""
    call = room.call
    known = st.session_state.setdefault("room_call", call.number if call else 0)
    if call is not None and call.number > known:
        st.session_state["room_call"] = call.number
        if call.page == "race":
            st.session_state["room_start"] = call.number
        return f"pages/{call.page}.py"
    _watch(room.version, token)
    st.html(_without_links(room.hidden))
    if title in room.hidden and title not in ALWAYS_SHOWN:
        st.info(f"The lecturer has hidden the page {title} for now.", icon=":material/visibility_off:")
        st.page_link("pages/classroom.py", label="Back to the page Classroom", icon=":material/groups:")
        st.stop()
    return ""


@st.fragment(run_every=POLL)
def _watch(version: int, token: str) -> None:
    """Run the page again when the lecturer has changed what this learner sees."""
    try:
        room = rooms().current()
    except ValueError:
        return  # locked for a moment: the next look will do
    if (room.version if room else 0) != version:
        st.rerun()


def _without_links(titles: tuple[str, ...]) -> str:
    """The style that takes hidden pages from the menu."""
    names = [title.lower().replace(" ", "_") for title in titles if title not in ALWAYS_SHOWN]
    return "<style>" + "".join(f'a[href$="/{name}"] {{display: none !important}}' for name in names) + "</style>"


def note_run(run_id: str, token: str, *, is_new: bool) -> None:
    """A learner's run becomes a dot on the board."""
    if st.session_state.get("seat"):
        try:
            rooms().note_run(token, run_id, is_new=is_new)
        except ValueError as error:
            st.toast(plain(error))


def start_of_call(token: str) -> tuple[str, dict[str, float], bool] | None:
    """Once after the lecturer's start: the preset, the T and alpha of this seat where each has its own, whether to train now."""
    number, room = st.session_state.pop("room_start", 0), current()
    if not number:
        return None
    from distill_core.studies.presets import PRESETS  # here: torch comes with it, and the first page need not wait for that

    if room is None or room.call is None or room.call.number != number or room.call.preset not in PRESETS:
        return None
    call = room.call
    own = dict(zip(("temperature", "alpha"), spread(rooms().seat(token)), strict=True)) if call.spread else {}
    return call.preset, own, call.train


def locked() -> dict[str, object]:
    """The settings that this learner cannot change, with their values."""
    if not st.session_state.get("seat") or (room := current()) is None or not room.locked:
        return {}
    from distill_core.studies.presets import PRESETS

    preset = PRESETS[room.preset]
    values = {**asdict(preset.experiment), "seeds": preset.seeds}
    if room.call is not None and room.call.spread:
        values |= dict(zip(("temperature", "alpha"), spread(st.session_state["seat"]), strict=True))
    return {name: values[name] for name in room.locked if name in values}


# --- the link for learners ------------------------------------------------------------------------------------------


def learners_link(code: str) -> str:
    """The address that joins the room: by the host that the lecturer's browser used, or this machine's in the network."""
    return f"{network.address_to_share(st.context.url) or network.local_address()}/classroom?room={code}"


def only_here(link: str) -> bool:
    """Whether the link works on this machine only."""
    return urlsplit(link).hostname in network.LOOPBACK


def qr_code(text: str) -> str:
    """A QR code as the address of an image, made here; dark on white also on a dark page."""
    return network.qr_code(text).svg_data_uri(border=3, scale=8, dark="#000", light="#fff")
