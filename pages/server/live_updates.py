"""News of a race without a tick: a chart asks for its next figure, and is answered as soon as there is one.

A tick runs the page's script, and the browser renders the page anew around its charts; here one chart gets one figure.
Only `server/serve.py` opens this way. Where the lab is started as `app.py`, ticks alone bring what is new.
"""

from __future__ import annotations

import asyncio
import time

import streamlit as st
from plotly.io.json import to_json_plotly
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from pages.server import lab

LOOK = 0.02  # seconds from look to look; of a class each takes its turn
LONGEST = 2.0  # seconds until a question is answered even if nothing is new
_open = False


def routes() -> list[BaseRoute]:
    """What the server answers beside Streamlit's own addresses."""
    global _open
    _open = True
    base = st.get_option("server.baseUrlPath").strip("/")
    return [Route(f"{'/' if base else ''}{base}/news/{{run_id}}/{{panel}}", _answer)]


def of(run_id: str, panel: str) -> str:
    """The address of a chart's news, relative to the lab's; empty where nobody would answer."""
    return f"news/{run_id}/{panel}" if _open else ""


async def _answer(request: Request) -> Response:
    """The figure of a panel, as soon as the run is further than version `after`."""
    run_id, panel, after = *request.path_params.values(), request.query_params.get("after")
    until = time.monotonic() + LONGEST
    await asyncio.sleep(max(0, len(lab.WATCHING) - 1) / lab.CLASS)
    while str((await asyncio.to_thread(lab.store().version, run_id))[0]) == after and time.monotonic() < until:
        await asyncio.sleep(LOOK * max(1, len(lab.WATCHING)))
    told = await asyncio.to_thread(_newest, run_id, panel)
    if told is None:
        return Response("there is no such run", status_code=404)
    return Response(to_json_plotly(told), media_type="application/json", headers={"Cache-Control": "no-store"})


def _newest(run_id: str, panel: str) -> dict | None:
    from pages.sections import race  # here: torch comes with it, and the first page need not wait for that

    return race.newest(run_id, panel)
