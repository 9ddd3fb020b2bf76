"""A tick that arrives while a run's last messages wait must not cost the page those messages."""

from types import SimpleNamespace

import pytest
from playwright.sync_api import expect
from streamlit.runtime.app_session import AppSession, AppSessionState

from pages.server import streamlit_patches

# A busy server in small: every message waits 40 ms in the event loop, the page takes nearly as long, and ticks come
# faster than that. Each fifth tick runs the whole page; after a hundred nothing ticks any more, as at the end of a race.
BUSY = """
import time
import streamlit as st
from streamlit.runtime.app_session import AppSession
from pages.server import streamlit_patches

def after_a_while(session, callback):
    loop = session._event_loop
    loop.call_soon_threadsafe(lambda: loop.call_later(0.04, callback))

AppSession._call_soon_on_event_loop = after_a_while
if REPAIRED:
    streamlit_patches.repair()

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


def test_a_page_that_ticks_fast_on_a_busy_server_never_stands_still(serve, new_page):
    page = new_page(serve(BUSY.replace("REPAIRED", "True")))
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
    """What the repair needs of a session; `started` collects what was started, `time_passes()` is the event loop."""
    started, later = [], []

    def start(session, request):
        session._scriptrunner = Runner(ended=False)
        started.append(request)

    def time_passes():
        for call, *arguments in [later.pop() for _ in range(len(later))]:
            call(*arguments)

    monkeypatch.setattr(streamlit_patches, "_start_at_once", start)
    loop = SimpleNamespace(call_later=lambda wait, *call: later.append(call))
    running = AppSessionState.APP_IS_RUNNING
    return SimpleNamespace(_event_loop=loop, _scriptrunner=None, _state=running, started=started, time_passes=time_passes)


def test_a_tick_waits_until_the_ended_runner_has_said_all(session):
    session._scriptrunner = Runner(ended=True)
    streamlit_patches._start_after_the_last(session, "tick")
    session.time_passes()
    assert session.started == []
    session._scriptrunner = None  # its last message, "shut down", has been handled
    session.time_passes()
    assert session.started == ["tick"]


def test_a_tick_that_waited_joins_the_runner_that_was_started_meanwhile(session):
    session._scriptrunner = Runner(ended=True)
    streamlit_patches._start_after_the_last(session, "tick")
    session._scriptrunner = Runner(ended=False)
    session.time_passes()
    assert session.started == [] and session._scriptrunner.accepted == ["tick"]


def test_nothing_is_started_in_a_session_that_is_over(session):
    session._scriptrunner = Runner(ended=True)
    streamlit_patches._start_after_the_last(session, "tick")
    session._state = AppSessionState.SHUTDOWN_REQUESTED
    session._scriptrunner = None
    session.time_passes()
    assert session.started == []


def test_streamlit_still_has_what_is_repaired():
    assert callable(streamlit_patches._start_at_once) and streamlit_patches._start_at_once.__name__ == "_create_scriptrunner"
    streamlit_patches.repair()
    assert AppSession._create_scriptrunner is streamlit_patches._start_after_the_last
