"""A repair of Streamlit 1.67: a tick of a live fragment must not cost the page its last messages.

When a script run has ended, its last messages wait for a moment in the server's event loop. If a tick arrives just then,
`AppSession` starts a new script runner, and from there on ignores whatever the one before still had to say. Lost with it
is, for example, the order to tick: the page stands still at "running, epoch 87 of 100" until somebody touches it. On a
busy two-core machine that moment was met about once in a hundred reruns. Here the tick waits until all has been said.
"""

from __future__ import annotations

from streamlit.runtime.app_session import AppSession, AppSessionState
from streamlit.runtime.scriptrunner import RerunData

WAIT = 0.005  # seconds

_start_at_once = AppSession._create_scriptrunner


def _start_after_the_last(session: AppSession, request: RerunData) -> None:
    """Start a script runner once the one before is through. Called in the session's event loop, as Streamlit does."""
    before = session._scriptrunner
    if session._state == AppSessionState.SHUTDOWN_REQUESTED:
        return
    if before is None:
        _start_at_once(session, request)
    elif not before.request_rerun(request):  # it has ended, and is not through
        session._event_loop.call_later(WAIT, _start_after_the_last, session, request)


def repair() -> None:
    """For the whole server, once; changes nothing where it was done."""
    AppSession._create_scriptrunner = _start_after_the_last
