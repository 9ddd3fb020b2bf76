"""Everything that depends on parts of Streamlit that are not documented: six patches, and what else reads its internals.

A new version may change these parts without notice. `VERSION` names the one they were checked with, and
`tests/test_streamlit_patches.py` fails where another is installed or one of the parts has changed.

The first patch: a tick of a live fragment must not cost the page its last messages. When a script run has ended, its last
messages wait for a moment in the server's event loop. If a tick arrives just then, `AppSession` starts a new script
runner and drops whatever is still queued from the one before. The instruction to tick may be among it: the page then
stays at "running, epoch 87 of 100" until somebody clicks. On a busy two-core machine this happened about once in a
hundred reruns. With the patch, the tick waits until the earlier runner has delivered everything.

The second patch: every value that a browser sends for a widget is checked (`incoming.py`) before a callback or a page can
read it. Streamlit checks some of them; a value of another type, a number that is none or a choice that was never offered
ends in an error box, or reaches the page.

The third: before it draws a select box, a slider or a number input, Streamlit copies the whole state of the session, to look
up one value of it: a seventh of the time that a page with forty widgets takes. With the patch it looks the value up.

The fourth: Streamlit asks another server for this machine's address when a websocket comes from a page of another origin,
and when a server without a browser starts. The lab connects to no other machine, and such a websocket is refused anyway.

The fifth: every help text, of whatever element, is sent with its terms as links to the glossary. No page can forget it.

The sixth: what the server sends leaves at once. asyncio asks for that (TCP_NODELAY) on sockets that name TCP as their protocol, and the
one that Streamlit listens on names none. The last part of an answer then waits until the browser has confirmed the one before, which
it does after 40 ms: half of the time of a rerun, and twice that for a page with a large chart.
"""

from __future__ import annotations

import socket
from asyncio import base_events
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from streamlit import net_util
from streamlit.delta_generator import DeltaGenerator
from streamlit.errors import StreamlitPageNotFoundError
from streamlit.runtime.app_session import AppSession, AppSessionState
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner import RerunData, get_script_run_ctx
from streamlit.runtime.state.common import WidgetMetadata, unpack_widget_state_value, user_key_from_element_id
from streamlit.runtime.state.safe_session_state import SafeSessionState
from streamlit.runtime.state.session_state import Serialized, Value, WStates

from distill_core.glossary import linked
from pages.server import incoming

VERSION = "1.67"
WAIT = 0.005  # seconds

PageNotFound = StreamlitPageNotFoundError  # raised by st.page_link for a page that app.py did not list

# Streamlit's own defaults that cannot be read across a room: names in the text are 14 px high, captions have too little
# contrast, a long formula runs off the edge of a phone, and the selected button of a group and the value at a slider are
# written in the primary colour, too dark for a dark page. Its animations do not stop where a browser asks for reduced motion.
STYLE = """<style>
[data-testid=stMarkdownContainer] :not(pre) > code, [data-testid=stCaptionContainer] code {font-size: 0.875rem}
[data-testid=stCaptionContainer] {opacity: 0.8 !important}
.katex-display {overflow-x: auto; overflow-y: hidden}
.katex-display > .katex {white-space: normal}
button[data-variant][data-selected=true] {color: inherit !important; background-color: #1F82C066 !important}
[data-testid=stSliderThumbValue] {color: inherit !important}
button kbd {color: inherit !important; opacity: 1 !important}
@media (prefers-reduced-motion: reduce) {
  *, ::before, ::after {
    animation-duration: 0.01ms !important; animation-iteration-count: 1 !important; transition-duration: 0.01ms !important;
  }
}
</style>"""

# Streamlit marks the open page inside the menu of its group only. This marks the closed menu too, and adds the page's name.
MARK = """<style>
[data-testid=stTopNav] .rc-overflow-item:nth-child(%d) [data-testid=stTopNavSection] {background-color: #1F82C033}
[data-testid=stTopNav] .rc-overflow-item:nth-child(%d) p::after {content: ": %s"; font-weight: 700}
</style>"""

_create_scriptrunner = AppSession._create_scriptrunner
_get_widget_value = WStates.__getitem__
_enqueue, _block = DeltaGenerator._enqueue, DeltaGenerator._block
_copy_state = SafeSessionState.filtered_state.fget
_set_nodelay = base_events._set_nodelay


def apply() -> None:
    """Patch the whole server. Applying it again changes nothing."""
    AppSession._create_scriptrunner = _create_scriptrunner_after_the_last
    WStates.__getitem__ = _get_checked_widget_value
    SafeSessionState.filtered_state = property(_State)
    net_util.get_external_ip = net_util.get_internal_ip = _no_address
    DeltaGenerator._enqueue, DeltaGenerator._block = _enqueue_with_links, _block_with_links
    base_events._set_nodelay = _send_at_once


def _no_address() -> None:
    """In place of a question to another machine."""


def _send_at_once(connection: socket.socket) -> None:
    """Also where the socket does not say that its protocol is TCP, the only one that the lab has."""
    if connection.family in (socket.AF_INET, socket.AF_INET6) and connection.type == socket.SOCK_STREAM:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _enqueue_with_links(place: DeltaGenerator, delta_type: str, element_proto: Message, *more: Any, **settings: Any) -> DeltaGenerator:
    """Send an element, the terms of its help text as links. Its identity was computed before, from the text without them."""
    _link_help(element_proto)
    return _enqueue(place, delta_type, element_proto, *more, **settings)


def _block_with_links(place: DeltaGenerator, block_proto: Message | None = None, *more: Any, **settings: Any) -> DeltaGenerator:
    """The same of a container: a popover has a help text."""
    if block_proto is not None and (kind := block_proto.WhichOneof("type")):
        _link_help(getattr(block_proto, kind))
    return _block(place, block_proto, *more, **settings)


def _link_help(message: Message) -> None:
    if text := getattr(message, "help", ""):
        message.help = linked(text)


class _State(Mapping):
    """The state of a session by key; only what is looked up is read."""

    def __init__(self, state: SafeSessionState) -> None:
        self._state = state

    def __getitem__(self, key: str) -> object:
        return self._state[key]

    def __iter__(self) -> Iterator[str]:
        return iter(_copy_state(self._state))

    def __len__(self) -> int:
        return len(_copy_state(self._state))


def _create_scriptrunner_after_the_last(session: AppSession, request: RerunData) -> None:
    """Start a script runner once the one before has delivered everything. Called in the session's event loop."""
    before = session._scriptrunner
    if session._state == AppSessionState.SHUTDOWN_REQUESTED:
        return
    if before is None:
        _create_scriptrunner(session, request)
    elif not before.request_rerun(request):  # it has ended, and its last messages are still queued
        session._event_loop.call_later(WAIT, _create_scriptrunner_after_the_last, session, request)


def _get_checked_widget_value(states: WStates, widget_id: str) -> object:
    """The value of a widget. One that a browser sent and that this widget cannot have is replaced by the default, with a sentence."""
    state, metadata = states.states.get(widget_id), states.widget_metadata.get(widget_id)
    if isinstance(state, Serialized) and metadata is not None:
        value, reason = _read(state, metadata)
        states.states[widget_id] = Value(value)
        if reason:
            incoming.report_message(user_key_from_element_id(widget_id) or "this widget", reason)
    return _get_widget_value(states, widget_id)


def _read(state: Serialized, metadata: WidgetMetadata) -> tuple[object, str]:
    """The value that a browser sent and an empty string, or the widget's default and what is wrong with the value."""
    default, kind = metadata.deserializer(None), state.value.WhichOneof("value")
    if kind is None:  # an empty input
        return default, ""
    # A number input of whole numbers is registered as a double, and browsers send it as an integer.
    if kind != metadata.value_type and (kind, metadata.value_type) != ("int_value", "double_value"):
        return default, "has the wrong type"
    # A select slider does not pass its options on; they are those that it can look up.
    offered = metadata.formatted_options or getattr(getattr(metadata.deserializer, "__self__", None), "formatted_option_to_index", None)
    raw = getattr(state.value, kind)
    plain_value = list(raw.data) if kind.endswith("_array_value") else raw
    if reason := incoming.problem(plain_value, kind=kind, options=None if offered is None else list(offered)):
        return default, reason
    try:
        value = metadata.deserializer(unpack_widget_state_value(state.value))
        kept = metadata.serializer(value) if metadata.value_type in ("double_value", "double_array_value") else plain_value
    except Exception:  # each kind of widget raises types of its own
        return default, "cannot be read"
    return (value, "") if kept == plain_value else (default, f"'{incoming.shorten(plain_value)}' is out of range")


def mark_menu(number: int, title: str) -> str:
    """The style that marks the closed menu of a group, the first being number 1, with the title of the page that is open."""
    return MARK % (number, number, title)


def app_was_skipped() -> bool:
    """Whether Streamlit found the folder `pages/` by itself and runs this page without app.py.

    It does so on a fresh server whose first visit is a deep link, until some session calls `st.navigation`.
    """
    return bool(PagesManager.uses_pages_directory)


def main_script_folder() -> Path | None:
    """The folder of the script that the server was started with; None outside a script run."""
    context = get_script_run_ctx(suppress_warning=True)
    return Path(context.main_script_path).parent if context else None
