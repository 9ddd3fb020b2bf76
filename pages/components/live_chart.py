"""A Plotly chart that is mounted once and then updated in place (`st.plotly_chart` makes a new element at each tick)."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import plotly
import plotly.graph_objects as go
import streamlit as st
from plotly.io.json import to_json_plotly

from distill_core.figures.palette import DARK
from pages.server.streamlit_patches import main_script_folder

HERE = Path(__file__).parent
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
PLOTLY_NAME = f"plotly-{plotly.__version__}.min.js"  # a new version has a new name, so that no browser keeps the old
CHART_ERROR = (
    f"The chart cannot be drawn because the browser could not load app/static/{PLOTLY_NAME}; "
    "make the folder 'static' beside app.py writable for the server, and start the server again."
)

_chart = st.components.v2.component(
    "live_chart",
    html="""
    <div class="live-chart">
      <p class="status" hidden><span class="icon" aria-hidden="true"></span> <span class="line"></span></p>
      <p class="error-text" role="status"></p>
      <div class="paper"></div>
      <div class="detail"></div>
      <div class="frame" hidden></div>
      <p class="spoken" aria-live="polite"></p>
      <details class="data-table">
        <summary>Data table</summary>
        <div class="tables" role="region" aria-label="Data table" tabindex="0"></div>
      </details>
    </div>""",
    css=(HERE / "live_chart.css").read_text(),
    js=(HERE / "chart_text.js").read_text() + (HERE / "live_chart.js").read_text(),
    isolate_styles=False,  # Plotly's style sheet is the document's
)

_picture_button = st.components.v2.component(
    "picture_button",
    html='<button type="button" class="picture-button">\n</button>',
    css=(HERE / "picture_button.css").read_text(),
    js=(HERE / "picture_button.js").read_text(),
    isolate_styles=False,
)


def live_chart(
    figure: str | dict | go.Figure,
    *,
    key: str,
    height: int = 360,
    revision: str = "",
    version: int = 0,
    updates: str = "",
    panel: str = "",
    status: tuple[str, str] | None = None,
    patient: bool = False,
    details: dict | None = None,
    picture: dict[str, str] | None = None,
    on_click: Callable[[int], None] | None = None,
) -> None:
    """Show `figure` (as JSON, too); in a later run, replace it in place. Zoom and hidden lines stay until `revision` changes.

    - `height`: in pixels. Draw lines in the light colours of `figures.palette`: on a dark page each is replaced by its
      dark counterpart.
      A screen reader gets the figure in words (`chart_text.js`), and *Data table* below the chart has its numbers.
    - `updates`: an address from `live_updates.address`. All charts with this address ask there together for their next
      figures, each by its `panel`, until the run ends; then the fragment around them runs again. `version` numbers the
      figures: of two, the chart shows the newer.
    - `status`: an icon and a line of text above the chart, which the updates bring up to date.
    - `patient`: the browser draws other charts first.
    - `details`: a second chart beside the first, which shows the lines of the cell under the pointer: `{"frame": figure,
      "cells": [{"title", "lines": {uid: [xs, ys]}}], "first": number}`. A cell's number is the `customdata` of its point.
    - `on_click(number)`: called with a cell's number before the next run of the page.
      The arrow keys go from cell to cell, Enter is a click.
    - `picture`: the text of the PNG that a learner downloads: `{"title", "caption", "name": of the file}`.
    """
    place_plotly(_static_folder())
    if not isinstance(figure, str):
        figure = to_json_plotly(figure.to_dict() if isinstance(figure, go.Figure) else figure)  # NaN becomes null
    data = {
        "key": key,
        "figure": figure,
        "height": height,
        "revision": revision,
        "plotly": PLOTLY_NAME,
        "dark": DARK,
        "error_text": CHART_ERROR,
    }
    data |= {"patient": patient, "picture": picture, "version": version, "updates": updates, "panel": panel, "status": status}
    if details:
        data["details"] = {**details, "frame": to_json_plotly(details["frame"])}

    def report_click() -> None:
        clicked = st.session_state[key].get("clicked")
        if on_click and details and isinstance(clicked, int) and 0 <= clicked < len(details["cells"]):  # a browser may send anything
            on_click(clicked)

    _chart(data=data, key=key, height="content", on_clicked_change=report_click, on_over_change=lambda: None)


def picture_button(label: str, *, chart: str) -> None:
    """A button that downloads the chart with the key `chart` as a PNG."""
    _picture_button(data={"label": label, "chart": chart}, key=f"picture_{chart}", height="content", width="content")


def have_charts_ready() -> None:
    """Let the browser load Plotly and draw an invisible chart now, so that the first curve need not wait for that."""
    place_plotly(_static_folder())
    _chart(data={"plotly": PLOTLY_NAME}, key="charts_ready", height=1)


@functools.cache
def place_plotly(folder: Path) -> None:
    """Copy plotly.min.js to where the server serves it from. Where that fails, the chart shows `CHART_ERROR` in the browser."""
    target = folder / PLOTLY_NAME
    try:
        if target.exists() and target.stat().st_size == PLOTLY.stat().st_size:
            return
        folder.mkdir(exist_ok=True)
        temporary = target.with_suffix(f".{os.getpid()}")
        shutil.copyfile(PLOTLY, temporary)
        temporary.replace(target)  # atomically, so that no browser loads half a file
    except OSError:
        pass


def _static_folder() -> Path:
    """Streamlit serves the folder `static` beside the script that was started."""
    return (main_script_folder() or HERE.parents[1]) / "static"
