"""Live updates of a race: its charts ask together for their next figures, and the reply waits until there are new ones.

A tick of the page runs its script, and the browser renders everything around the charts anew; here the charts get their
figures and the race its status line, which were made once for all who watch it. Only `server/serve.py` opens this route.
Where the lab is started as `app.py`, ticks alone bring new points.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import time

import streamlit as st
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from pages.server import lab

POLL = 0.02  # seconds between two reads of the store, one for all runs that anybody waits for
MAX_WAIT = 2.0  # seconds until a request is answered even if nothing is new
MAX_WAITING = 400  # requests at once; a page that is refused asks again later
MAX_WAITING_OF_CLIENT = 100  # of one address, which a class may share
UPDATES_PER_SECOND = 30  # of all pages together: with more of them, each gets its updates less often
_is_open = False


def routes() -> list[BaseRoute]:
    """The route that the server adds to Streamlit's own."""
    global _is_open
    _is_open = True
    base = st.get_option("server.baseUrlPath").strip("/")
    return [Route(f"{'/' if base else ''}{base}/live/{{run_id}}", _reply)]


def address(run_id: str) -> str:
    """Where the charts of a run ask for their updates, relative to the lab's address; empty where the route is not open."""
    return f"live/{run_id}" if _is_open else ""


class Watcher:
    """Who waits for a new version of which run, and the one task that reads the versions for all of them."""

    def __init__(self) -> None:
        self.waiting: dict[str, dict[asyncio.Future, str]] = {}  # by run: who waits, and the version that each knows
        self.clients: collections.Counter[str] = collections.Counter()
        self.reads = 0
        self._task: asyncio.Task | None = None

    def has_room(self, client: str) -> bool:
        """Whether one more request of this client may wait."""
        return self.clients[client] < MAX_WAITING_OF_CLIENT and self.clients.total() < MAX_WAITING

    async def wait(self, run_id: str, after: str | None, *, client: str) -> None:
        """The turn of this page, then until the run's version is another than `after`, at most `MAX_WAIT` seconds.

        Raises what reading the store raises.
        """
        pause = self.clients.total() / UPDATES_PER_SECOND
        self.clients[client] += 1
        try:
            await asyncio.sleep(pause)
            await self._change(run_id, after)
        finally:
            self.clients -= collections.Counter([client])  # drops the name with its last request

    async def _change(self, run_id: str, after: str | None) -> None:
        future = asyncio.get_running_loop().create_future()
        self.waiting.setdefault(run_id, {})[future] = str(after)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(future, MAX_WAIT)
        finally:
            waiting = self.waiting.get(run_id, {})
            waiting.pop(future, None)
            if not waiting:
                self.waiting.pop(run_id, None)

    async def _watch(self) -> None:
        """While anybody waits."""
        while self.waiting:
            try:
                versions, error = await asyncio.to_thread(lab.store().versions, list(self.waiting)), None
            except ValueError as problem:
                versions, error = {}, problem
            self.reads += 1
            for run_id, waiting in self.waiting.items():
                for future, known in waiting.items():
                    if not future.done() and error is not None:
                        future.set_exception(error)
                    elif not future.done() and str(versions.get(run_id)) != known:
                        future.set_result(None)
            await asyncio.sleep(POLL)


WATCHER = Watcher()


async def _reply(request: Request) -> Response:
    """The figures of `panels` (names with commas between them), as soon as the run is further than version `after`."""
    run_id, after = request.path_params["run_id"], request.query_params.get("after")
    panels = tuple(sorted(set(request.query_params.get("panels", "").split(","))))
    client = request.client.host if request.client else ""
    try:
        if not await asyncio.to_thread(_exist, run_id, panels):
            return Response("there is no such run or panel", status_code=404)
        if not WATCHER.has_room(client):
            return Response("too many pages of this address wait; ask again in some seconds", status_code=429)
        began = time.perf_counter()
        await WATCHER.wait(run_id, after, client=client)
        waited = time.perf_counter() - began
        update = await asyncio.to_thread(_newest, run_id, panels, after)
    except ValueError as error:  # the database cannot be read now
        return Response(str(error), status_code=503)
    if update is None:  # deleted meanwhile
        return Response("there is no such run or panel", status_code=404)
    return Response(
        update, media_type="application/json", headers={"Cache-Control": "no-store", "Server-Timing": f"wait;dur={1000 * waited:.1f}"}
    )


def _exist(run_id: str, panels: tuple[str, ...]) -> bool:
    from pages.server import curves  # here, because torch comes with it: the first page need not wait for that

    return curves.HEIGHTS.keys() >= set(panels) and lab.store().version(run_id) != (-1, -1)


def _newest(run_id: str, panels: tuple[str, ...], after: str | None) -> str | None:
    from pages.server import curves

    return curves.newest(run_id, panels, after=int(after) if after and after.isdecimal() else -1)
