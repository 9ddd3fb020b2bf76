"""What the lab uses of Streamlit's internals: it is as expected, and the patched tick never costs a page its messages."""

import asyncio
import inspect
import socket
from asyncio import base_events
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import streamlit as st
from browser_fixtures import ROOT
from playwright.sync_api import expect
from streamlit import net_util
from streamlit.runtime.app_session import AppSession, AppSessionState
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner import RerunData, ScriptRunner
from streamlit.runtime.state.session_state import WStates
from streamlit.testing.v1 import AppTest
from streamlit.web.server import server_util
from streamlit.web.server.starlette import starlette_server

from pages.server import streamlit_patches

# --- what is relied on ----------------------------------------------------------------------------------------------


def test_the_installed_streamlit_is_the_one_that_the_patches_were_checked_with():
    assert st.__version__.startswith(f"{streamlit_patches.VERSION}.")
    pinned = next(line for line in (ROOT / "requirements.txt").read_text().splitlines() if line.startswith("streamlit"))
    major, minor = streamlit_patches.VERSION.split(".")
    assert pinned == f"streamlit>={major}.{minor},<{major}.{int(minor) + 1}"


def test_the_patched_method_is_streamlits_own_and_takes_a_session_and_a_request():
    original = streamlit_patches._create_scriptrunner
    assert original.__qualname__ == "AppSession._create_scriptrunner"
    assert list(inspect.signature(original).parameters) == ["self", "initial_rerun_data"]
    patched = inspect.signature(streamlit_patches._create_scriptrunner_after_the_last)
    assert len(patched.parameters) == 2


def test_a_session_has_what_the_patch_reads():
    source = inspect.getsource(AppSession)
    for name in ("_scriptrunner", "_state", "_event_loop"):
        assert f"self.{name}" in source
    assert AppSessionState.SHUTDOWN_REQUESTED
    assert list(inspect.signature(ScriptRunner.request_rerun).parameters) == ["self", "rerun_data"]
    assert RerunData().query_string == ""


def test_streamlit_calls_the_patched_method_for_a_request_that_no_runner_accepts():
    assert "self._create_scriptrunner(" in inspect.getsource(AppSession.request_rerun)


def test_apply_replaces_the_method_once():
    streamlit_patches.apply()
    streamlit_patches.apply()
    assert AppSession._create_scriptrunner is streamlit_patches._create_scriptrunner_after_the_last
    assert streamlit_patches._create_scriptrunner is not AppSession._create_scriptrunner


def test_the_second_patch_replaces_the_one_place_where_streamlit_reads_what_a_browser_sent():
    original = streamlit_patches._get_widget_value
    assert original.__qualname__ == "WStates.__getitem__"
    assert "metadata.deserializer(unpack_widget_state_value(wstate.value))" in inspect.getsource(original)
    streamlit_patches.apply()
    assert WStates.__getitem__ is streamlit_patches._get_checked_widget_value


HELPED = """
import inspect
import streamlit as st
from pages.server import streamlit_patches

streamlit_patches.apply()
GIVEN = {"label": "label", "body": "text", "data": "", "options": ["a", "b"], "value": 1, "url": "https://a.b", "page": "https://a.b"}
for name, function in sorted(vars(st).items()):
    if name != "Page" and callable(function) and "help" in (found := inspect.signature(function).parameters):
        given = {field: value for field, value in GIVEN.items() if field in found and (field != "value" or name == "metric")}
        if name == "form_submit_button":
            with st.form("form"):
                st.form_submit_button("label", help=f"The student of {name}.")
        else:
            function(**given, **({"key": name} if "key" in found else {}), help=f"The student of {name}.")
"""


def helps(node):
    """The help texts below a node of AppTest's tree, of elements and of containers."""
    for child in node.children.values():
        proto = child.proto
        if proto is not None and hasattr(proto, "WhichOneof") and proto.DESCRIPTOR.name == "Block":
            proto = getattr(proto, proto.WhichOneof("type") or "vertical", None)
        if text := getattr(proto, "help", ""):
            yield text
        if hasattr(child, "children"):
            yield from helps(child)


def test_the_help_text_of_every_kind_of_element_links_its_terms_to_the_glossary():
    app = AppTest.from_string(HELPED, default_timeout=30).run()
    assert not app.exception
    found = list(helps(app.main))
    names = {text.rpartition(" ")[2].rstrip(".") for text in found}
    assert {"button", "markdown", "slider", "popover", "form_submit_button", "page_link", "metric"} <= names and len(names) == len(found)
    assert all(text.startswith("The [student](glossary?term=Student) of ") for text in found)


def test_a_widget_looks_up_its_value_without_a_copy_of_the_whole_state(monkeypatch):
    copies = []
    copy = streamlit_patches._copy_state
    assert copy.__qualname__ == "SafeSessionState.filtered_state"
    monkeypatch.setattr(streamlit_patches, "_copy_state", lambda state: copies.append(1) or copy(state))
    streamlit_patches.apply()
    app = AppTest.from_string(WIDGETS.partition("st.json")[0])
    app.session_state["box"], app.session_state["number"], app.session_state["other"] = "b", 30, None
    app.run()
    assert not app.exception
    assert (app.selectbox(key="box").value, app.number_input(key="number").value) == ("b", 30)
    assert not copies


def test_the_state_of_a_session_reads_as_before_for_those_who_want_all_of_it():
    streamlit_patches.apply()
    app = AppTest.from_string(
        "import streamlit as st\nst.session_state['a'] = 1\nst.slider('b', 1, 9, 5, key='b')\n"
        "st.slider('no key', 1, 9, 5)\nst.text(sorted(st.session_state.items()))\nst.text(len(st.session_state))"
    ).run()
    assert [text.value for text in app.text] == ["[('a', 1), ('b', 5)]", "2"]


WIDGETS = """
import streamlit as st
from pages.server import streamlit_patches

streamlit_patches.apply()
st.selectbox("box", ["a", "b"], key="box")
st.slider("slider", 1, 10, 5, key="slider")
st.slider("share", 0.0, 1.0, 0.5, key="share")
st.select_slider("steps", [1.0, 2.5, 4.0], 4.0, key="steps")
st.number_input("number", 1, 100, 20, key="number")
st.multiselect("several", ["a", "b"], key="several")
st.pills("pills", ["a", "b"], key="pills", selection_mode="multi")
st.segmented_control("one", ["a", "b"], key="one", default="a")
st.text_input("text", key="text")
st.toggle("toggle", key="toggle")
st.json(dict(st.session_state.items()))
"""
VALID = {
    "box": "b", "slider": 7, "share": 0.25, "steps": 2.5, "number": 30, "several": ["a", "b"], "pills": ["b"],
    "one": "b", "text": "any", "toggle": True,
}  # fmt: skip


def widget(app, key):
    kinds = (app.selectbox, app.slider, app.select_slider, app.number_input, app.multiselect, app.button_group, app.text_input, app.toggle)
    return next(one for kind in kinds for one in kind if one.key == key)


def test_values_that_a_browser_may_send_pass_the_check():
    app = AppTest.from_string(WIDGETS, default_timeout=60).run()
    for key, value in VALID.items():
        widget(app, key).set_value(value).run()
        assert not app.exception and not app.toast, (key, [toast.value for toast in app.toast])
        assert app.session_state[key] == value


def test_streamlit_asks_no_other_machine_for_its_address_once_the_patch_is_applied(monkeypatch):
    def ask(*_, **__):
        raise AssertionError("a connection to another machine")

    for name in ("get_external_ip", "get_internal_ip"):
        assert f"net_util.{name}" in inspect.getsource(server_util.is_url_from_allowed_origins)  # looked up at each call
    streamlit_patches.apply()
    monkeypatch.setattr(net_util, "_make_blocking_http_get", ask)
    monkeypatch.setattr(socket.socket, "connect", ask)
    assert not server_util.is_url_from_allowed_origins("http://elsewhere.example:8501")
    assert server_util.is_url_from_allowed_origins("http://localhost:8501")


@pytest.mark.parametrize(("flag", "skipped"), [(None, False), (False, False), (True, True)])
def test_app_was_skipped_reads_the_flag_of_the_old_page_discovery(monkeypatch, flag, skipped):
    assert "uses_pages_directory" in inspect.getsource(st.navigation)
    monkeypatch.setattr(PagesManager, "uses_pages_directory", flag)
    assert streamlit_patches.app_was_skipped() is skipped


def test_the_main_scripts_folder_is_read_from_the_script_run_context(monkeypatch):
    assert streamlit_patches.main_script_folder() is None
    monkeypatch.setattr(streamlit_patches, "get_script_run_ctx", lambda **_: SimpleNamespace(main_script_path="/lab/app.py"))
    assert streamlit_patches.main_script_folder() == Path("/lab")


UNLISTED = """
import streamlit as st
from pages.server.streamlit_patches import PageNotFound

try:
    st.page_link("pages/not_listed.py", label="nowhere")
except PageNotFound:
    st.write("caught")
"""


def test_a_link_to_a_page_that_is_not_listed_raises_the_error_that_is_caught():
    app = AppTest.from_string(UNLISTED).run()
    assert not app.exception and app.markdown[0].value == "caught"


# --- the patched tick -----------------------------------------------------------------------------------------------

# A busy server in small: every message waits 40 ms in the event loop, the page takes nearly as long, and ticks come
# faster than that. Each fifth tick runs the whole page; after a hundred nothing ticks any more, as at the end of a race.
BUSY = """
import time
import streamlit as st
from streamlit.runtime.app_session import AppSession
from pages.server import streamlit_patches

def call_later(session, callback):
    loop = session._event_loop
    loop.call_soon_threadsafe(lambda: loop.call_later(0.04, callback))

AppSession._call_soon_on_event_loop = call_later
streamlit_patches.apply()

@st.fragment(run_every=0.01)
def live():
    tick = st.session_state.tick = st.session_state.get("tick", 0) + 1
    if tick % 5 == 0:
        st.rerun()
    st.write(f"tick {tick}.")

time.sleep(0.03)
if st.session_state.get("tick", 0) < 100:
    live()
else:
    st.write("the race is over")
"""


def test_a_page_with_fast_ticks_on_a_busy_server_reaches_its_end(serve, new_page):
    page = new_page(serve(BUSY))
    expect(page.get_by_text("the race is over")).to_be_visible(timeout=60_000)


class Runner:
    """A script runner that accepts requests, or has ended."""

    def __init__(self, *, ended):
        self.ended, self.accepted = ended, []

    def request_rerun(self, request):
        if not self.ended:
            self.accepted.append(request)
        return not self.ended


@pytest.fixture
def session(monkeypatch):
    """What the patch needs of a session; `started` collects what was started, `time_passes()` is the event loop."""
    started, later = [], []

    def start(session, request):
        session._scriptrunner = Runner(ended=False)
        started.append(request)

    def time_passes():
        for call, *arguments in [later.pop() for _ in range(len(later))]:
            call(*arguments)

    monkeypatch.setattr(streamlit_patches, "_create_scriptrunner", start)
    loop = SimpleNamespace(call_later=lambda wait, *call: later.append(call))
    running = AppSessionState.APP_IS_RUNNING
    return SimpleNamespace(_event_loop=loop, _scriptrunner=None, _state=running, started=started, time_passes=time_passes)


@pytest.mark.parametrize("is_patched", [True, False])
def test_what_the_server_sends_leaves_at_once(is_patched, monkeypatch):
    """The last part of an answer does not wait until the browser has confirmed the one before it."""
    monkeypatch.setattr(base_events, "_set_nodelay", streamlit_patches._send_at_once if is_patched else streamlit_patches._set_nodelay)

    async def option_of_a_connection():
        with starlette_server._bind_socket("127.0.0.1", 0, 5) as listening:
            accepted = asyncio.get_running_loop().create_future()
            server = await asyncio.start_server(lambda reader, writer: accepted.set_result(writer), sock=listening)
            async with server:
                _, client = await asyncio.open_connection(*listening.getsockname())
                writer = await accepted
                found = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                client.close()
                writer.close()
                return found

    with ThreadPoolExecutor(1) as elsewhere:  # this thread may have the loop of a browser
        assert bool(elsewhere.submit(asyncio.run, option_of_a_connection()).result()) == is_patched


def test_a_tick_waits_until_the_ended_runner_has_delivered_its_messages(session):
    session._scriptrunner = Runner(ended=True)
    streamlit_patches._create_scriptrunner_after_the_last(session, "tick")
    session.time_passes()
    assert session.started == []
    session._scriptrunner = None  # its last message, "shut down", has been handled
    session.time_passes()
    assert session.started == ["tick"]


def test_a_tick_that_waited_is_given_to_the_runner_that_was_started_meanwhile(session):
    session._scriptrunner = Runner(ended=True)
    streamlit_patches._create_scriptrunner_after_the_last(session, "tick")
    session._scriptrunner = Runner(ended=False)
    session.time_passes()
    assert session.started == [] and session._scriptrunner.accepted == ["tick"]


def test_nothing_is_started_in_a_session_that_is_shut_down(session):
    session._scriptrunner = Runner(ended=True)
    streamlit_patches._create_scriptrunner_after_the_last(session, "tick")
    session._state = AppSessionState.SHUTDOWN_REQUESTED
    session._scriptrunner = None
    session.time_passes()
    assert session.started == []
