"""Live updates of a race's chart: the chart asks for its next figure, and the reply waits until there is a new one.

A tick of the page runs its script, and the browser renders everything around the charts anew; here one chart gets one
figure. Only `server/serve.py` opens this route. Where the lab is started as `app.py`, ticks alone bring new points.
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

POLL = 0.02  # seconds between two reads of the store, times the number of sessions that watch a race
MAX_WAIT = 2.0  # seconds until a request is answered even if nothing is new
_is_open = False


def routes() -> list[BaseRoute]:
    """The route that the server adds to Streamlit's own."""
    global _is_open
    _is_open = True
    base = st.get_option("server.baseUrlPath").strip("/")
    return [Route(f"{'/' if base else ''}{base}/live/{{run_id}}/{{panel}}", _reply)]


def address(run_id: str, panel: str) -> str:
    """Where a chart asks for its updates, relative to the lab's address; empty where the route is not open."""
    return f"live/{run_id}/{panel}" if _is_open else ""


async def _reply(request: Request) -> Response:
    """The figure of a panel, as soon as the run is further than version `after`."""
    run_id, panel, after = *request.path_params.values(), request.query_params.get("after")
    until = time.monotonic() + MAX_WAIT
    await asyncio.sleep(max(0, len(lab.WATCHING) - 1) / lab.SESSIONS_PER_SECOND)
    while str((await asyncio.to_thread(lab.store().version, run_id))[0]) == after and time.monotonic() < until:
        await asyncio.sleep(POLL * max(1, len(lab.WATCHING)))
    update = await asyncio.to_thread(_newest_figure, run_id, panel)
    if update is None:
        return Response("there is no such run or panel", status_code=404)
    return Response(to_json_plotly(update), media_type="application/json", headers={"Cache-Control": "no-store"})


def _newest_figure(run_id: str, panel: str) -> dict | None:
    from pages.server import curves  # here, because torch comes with it: the first page need not wait for that

    return curves.newest_figure(run_id, panel)
