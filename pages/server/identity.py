"""Who may stop a run: a random token that the learner's browser keeps, and that never appears in a link.

The server gives it to a new browser as a cookie with the first page, so that the page knows it in its first run. Where
cookies are blocked, or `server/serve.py` does not run, the browser draws it and sends it, and the page runs once more.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "distill-lab-owner"  # as in identity.js
_FORMAT = re.compile(r"[0-9a-f]{32}")

_identity = st.components.v2.component(
    "identity",
    css=".stElementContainer:has(.identity) {\nposition: absolute; }",  # takes no room on the page
    html='<span class="identity" hidden>\n</span>',
    js=(Path(__file__).parent / "identity.js").read_text(),
    isolate_styles=False,
)


def owner_token(key: str = "identity", *, known: str = "") -> str | None:
    """The browser's own 128-bit token in 32 hexadecimal digits; None until the browser has sent it (in the first run).

    `known` is the token that the browser sent on another page of this session: sending it again would run the page twice.
    """
    state = st.session_state.get(key)
    sent = valid_token(state.get("token")) if isinstance(state, dict) else None
    token = sent or valid_token(known) or valid_token(st.context.cookies.get(COOKIE))
    return valid_token(_identity(data={"known": token}, key=key, on_token_change=_nothing).token) or token


def valid_token(token: object) -> str | None:
    """The token if it is 32 hexadecimal digits; anything else that a browser may send counts as none."""
    return token if isinstance(token, str) and _FORMAT.fullmatch(token) else None


class TokenCookie:
    """Gives a token to each browser that opens a page without one. ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; a page that is sent to a new browser gets the cookie."""
        is_new = scope["type"] == "http" and valid_token(HTTPConnection(scope).cookies.get(COOKIE)) is None

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    headers.append("set-cookie", f"{COOKIE}={secrets.token_hex(16)}; Path=/; Max-Age=31536000; SameSite=Lax")
            await send(message)

        await self.app(scope, receive, send_with_cookie if is_new else send)


def _nothing() -> None:
    """Streamlit gives a component's state an attribute only where it has a callback."""
