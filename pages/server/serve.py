"""The lab as a server: the pages of app.py, and the route of live updates, which draws a race without running its page.

`python -m streamlit run pages/server/serve.py`, from the repository; `make run` does it.
"""

from pathlib import Path

import streamlit as st

from distill_core.runs.process import prepare_process
from pages.server import live_updates, room

prepare_process()  # before a page imports torch

room.announce()
app = st.App(Path(__file__).resolve().parents[2] / "app.py", routes=live_updates.routes())
