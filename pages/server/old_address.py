"""The page behind an address of an earlier version of the lab: it opens the page that took its place, query string kept.

app.py lists it once for each old address, hidden from the menu.
"""

from urllib.parse import urlsplit

import streamlit as st

from pages.server.lab import set_up

NEW_PAGES = {"map": "pages/sweep.py", "microscope": "pages/soft_targets.py", "trust": "pages/calibration.py"}

set_up("Moved")
old = urlsplit(st.context.url or "").path.rstrip("/").rpartition("/")[2]
st.switch_page(NEW_PAGES.get(old, "pages/start.py"), query_params={name: st.query_params.get_all(name) for name in st.query_params})
