"""A chart that stays: mounted once, then only told of new figures (`st.plotly_chart` draws a new element at each tick)."""

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
from streamlit.runtime.scriptrunner import get_script_run_ctx

from distill_core.figures.palette import DARK

HERE = Path(__file__).parent
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
PLOTLY_NAME = f"plotly-{plotly.__version__}.min.js"  # a new version has a new name, so that no browser keeps the old
CHART_ERROR = (
    f"The chart cannot be drawn: the browser did not get app/static/{PLOTLY_NAME}; "
    "let the app write to the folder 'static' beside app.py, and start it again."
)

_chart = st.components.v2.component(
    "live_chart",
    html='<div class="live-chart">\n<p class="error-text" role="status"></p><div class="paper"></div><div class="detail"></div></div>',
    css=(HERE / "live_chart.css").read_text(),
    js=(HERE / "live_chart.js").read_text(),
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
    figure: dict | go.Figure,
    *,
    key: str,
    height: int = 360,
    revision: str = "",
    version: int = 0,
    news: str = "",
    patient: bool = False,
    details: dict | None = None,
    picture: dict[str, str] | None = None,
    on_click: Callable[[int], None] | None = None,
) -> None:
    """Show `figure`, or the next one in the same place. A learner's zoom and legend choices stay until `revision` changes.

    Draw lines in the light colours of `figures.palette`: on a dark page each is replaced by its dark counterpart.

    With `news`, an address of `news.of`, the chart asks there for its next figures, until the run is over; then the
    fragment around it runs again. `version` says how new `figure` is: of two, the chart shows the newer one.

    A `patient` chart lets others be painted first.

    With `details` a second chart stands beside the first and shows the cell under the pointer: `{"frame": figure,
    "cells": [{"title", "lines": {uid: [xs, ys]}}], "first": number}`; a cell's number is the `customdata` of its point.
    `on_click(number)` is called before the next run of the page.

    Kept as a picture, it says what `picture` holds: `{"title": above it, "caption": below it, "name": of its file}`.
    """
    place_plotly(_static_folder())
    text = to_json_plotly(figure.to_dict() if isinstance(figure, go.Figure) else figure)  # NaN becomes null
    data = {
        "key": key,
        "figure": text,
        "height": height,
        "revision": revision,
        "plotly": PLOTLY_NAME,
        "dark": DARK,
        "error_text": CHART_ERROR,
    }
    data |= {"patient": patient, "picture": picture, "version": version, "news": news}
    if details:
        data["details"] = {**details, "frame": to_json_plotly(details["frame"])}

    def tell() -> None:
        clicked = st.session_state[key].get("clicked")
        if on_click and details and isinstance(clicked, int) and 0 <= clicked < len(details["cells"]):  # a browser may send anything
            on_click(clicked)

    _chart(data=data, key=key, height="content", on_clicked_change=tell, on_over_change=lambda: None)


def picture_button(label: str, *, chart: str) -> None:
    """A button that keeps the chart with the key `chart` as a PNG."""
    _picture_button(data={"label": label, "chart": chart}, key=f"picture_{chart}", height="content", width="content")


def have_charts_ready() -> None:
    """Let the browser load the charts' library now, so that the first curve need not wait for it."""
    place_plotly(_static_folder())
    _chart(data={"plotly": PLOTLY_NAME}, key="charts_ready", height=1)


@functools.cache
def place_plotly(folder: Path) -> None:
    """Copy plotly.min.js to where the server serves it from; where that cannot be, the chart says so in the browser."""
    target = folder / PLOTLY_NAME
    try:
        if target.exists() and target.stat().st_size == PLOTLY.stat().st_size:
            return
        folder.mkdir(exist_ok=True)
        temporary = target.with_suffix(f".{os.getpid()}")
        shutil.copyfile(PLOTLY, temporary)
        temporary.replace(target)  # at once, so that no browser gets half of it
    except OSError:
        pass


def _static_folder() -> Path:
    """Streamlit serves the folder `static` beside the script that was started."""
    context = get_script_run_ctx(suppress_warning=True)
    return (Path(context.main_script_path).parent if context else HERE.parents[1]) / "static"
