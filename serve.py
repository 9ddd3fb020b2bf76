"""The lab as a server: the pages of app.py, and beside them the news of races, which need no page to run again."""

import streamlit as st

from pages.parts import news

app = st.App("app.py", routes=news.routes())
