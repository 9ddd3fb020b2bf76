"""The lab as a server: the pages of app.py, the route of live updates, and the check of the host name in each request.

`python -m streamlit run pages/server/serve.py`, from the repository; `make run` does it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from distill_core.runs.process import allow_many_files, prepare_process
from pages.server import identity, live_updates, network, room, streamlit_patches

prepare_process()  # before a page imports torch
allow_many_files()  # for a class
streamlit_patches.apply()


@asynccontextmanager
async def _announced(_: object) -> AsyncIterator[None]:
    """Print the addresses once the port is known."""
    network.announce()
    room.announce()
    yield


app = st.App(
    Path(__file__).resolve().parents[2] / "app.py",
    routes=live_updates.routes(),
    middleware=[Middleware(network.AllowedHosts), Middleware(identity.TokenCookie)],
    lifespan=_announced,
)
