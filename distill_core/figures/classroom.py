"""The figures of a class: the board of its runs on the map of T and alpha, its guesses, the students of its soft labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from distill_core.figures.palette import GREY, OTHERS, ROLES, TEXT_COLOUR
from distill_core.statistics import format_points

TEXT = 20  # px: it is read from the back row
TEMPERATURES = (0.5, 1, 2, 4, 8, 15, 30)
LIMIT = 5  # points at which the colours of the board end: the same on every board, so that colours can be compared
COLOURS = [[0, ROLES["baseline"].light], [0.5, "#D8D8D8"], [1, ROLES["student"].light]]


class Dot(NamedTuple):
    """A learner's run. `gain`: student minus baseline in points; None while it is trained."""

    seat: int
    temperature: float
    alpha: float
    gain: float | None
    status: str


def board_figure(dots: Sequence[Dot], *, height: int = 520) -> dict:
    """Each run as a dot at its T and alpha, coloured by its gain over the baseline; a run in training is an empty ring.

    Axes are fixed. Dots of one place stand in a ring around it, so that each learner finds their own.
    """
    places = _places(dots)
    done = [number for number, dot in enumerate(dots) if dot.gain is not None]
    waiting = [number for number, dot in enumerate(dots) if dot.gain is None]

    def trace(numbers: list[int], uid: str, marker: dict, text: list[str]) -> dict:
        return {
            "type": "scatter", "uid": uid, "mode": "markers+text", "showlegend": False,
            "x": [places[n][0] for n in numbers], "y": [places[n][1] for n in numbers],
            "text": text, "textposition": "bottom center", "textfont": {"size": TEXT - 2}, "cliponaxis": False,
            "hovertext": [_hover(dots[n]) for n in numbers], "hovertemplate": "%{hovertext}<extra></extra>",
            "marker": {"size": 30, "line": {"color": TEXT_COLOUR, "width": 2}, **marker},
        }  # fmt: skip

    gains = [dots[n].gain for n in done]
    colours = {"color": gains, "colorscale": COLOURS, "cmin": -LIMIT, "cmax": LIMIT, "colorbar": _colour_bar()}
    ring = {"color": "rgba(0,0,0,0)", "symbol": "circle", "line": {"color": GREY, "width": 4}}
    traces = [
        trace(waiting, "training", ring, ["\u2026"] * len(waiting)),
        trace(done, "gains", {**colours, "showscale": True}, [format_points(gain) for gain in gains]),
    ]
    ticks = {"tickvals": [math.log10(t) for t in TEMPERATURES], "ticktext": [f"{t:g}" for t in TEMPERATURES]}
    return {
        "data": traces,
        "layout": _layout(
            height,
            xaxis={"range": [math.log10(0.4), math.log10(38)], **ticks, "title": _title("temperature T"), "zeroline": False},
            yaxis={"range": [-0.12, 1.1], "tickvals": [0, 0.2, 0.4, 0.6, 0.8, 1], "title": _title("alpha, weight of the labels"),
                   "zeroline": False},
        ),
    }  # fmt: skip


def _places(dots: Sequence[Dot]) -> list[tuple[float, float]]:
    """Where each dot stands, in log10 T and alpha."""
    together: dict[tuple, list[int]] = {}
    for number, dot in enumerate(dots):
        together.setdefault((dot.temperature, dot.alpha), []).append(number)
    found = [(0.0, 0.0)] * len(dots)
    for (temperature, alpha), numbers in together.items():
        for place, number in enumerate(numbers):
            radius = 0 if len(numbers) == 1 else 0.045 * math.sqrt(len(numbers))
            angle = 2 * math.pi * place / len(numbers)
            found[number] = (math.log10(temperature) + radius * math.cos(angle), alpha + 1.1 * radius * math.sin(angle))
    return found


def _hover(dot: Dot) -> str:
    result = f"{format_points(dot.gain)} points" if dot.gain is not None else dot.status
    return f"learner {dot.seat}: T = {dot.temperature:g}, alpha = {dot.alpha:g}<br>{result}"


def _colour_bar() -> dict:
    title = {"text": "gain (points)", "font": {"size": TEXT - 2}, "side": "top"}
    ticks = {"tickvals": [-LIMIT, 0, LIMIT], "ticktext": [f"\u2212{LIMIT}", "0", f"+{LIMIT}"], "tickfont": {"size": TEXT - 2}}
    return {"title": title, **ticks, "thickness": 18, "len": 0.9, "outlinewidth": 0}


def guesses_figure(
    guesses: Sequence[float], *, measured: tuple[float, float, float] | None = None, own: float | None = None, height: int = 400
) -> dict:
    """A histogram of guesses in points, with the measured difference and its 95 % interval, and this learner's own guess."""
    marks = [*guesses, *(measured or ()), 0.0]
    low, high = math.floor(min(marks) - 1), math.ceil(max(marks) + 1)
    width = 1 if high - low <= 20 else 2
    bins = [low + width * n for n in range(math.ceil((high - low) / width) + 1)]
    counts = [sum(1 for guess in guesses if abs(guess - middle) < width / 2 or guess == middle - width / 2) for middle in bins]
    top = max([*counts, 1])
    colours = [ROLES["student"].light if own is None or abs(own - middle) >= width / 2 else OTHERS[0].light for middle in bins]
    bars = {
        "type": "bar", "uid": "guesses", "x": bins, "y": counts, "width": 0.9 * width, "marker": {"color": colours}, "showlegend": False,
        "text": [str(count) if count else "" for count in counts], "textposition": "outside", "cliponaxis": False,
        "textfont": {"size": TEXT}, "hovertemplate": "%{y} guessed about %{x} points<extra></extra>",
    }  # fmt: skip
    traces, annotations = [bars], []
    if measured:
        mean, least, most = measured
        line = {"type": "scatter", "mode": "lines", "hoverinfo": "skip", "showlegend": False}
        band = {**line, "uid": "interval", "mode": "none", "fill": "toself", "fillcolor": ROLES["teacher"].light, "opacity": 0.3}
        traces += [
            {**band, "x": [least, least, most, most], "y": [0, 1.25 * top, 1.25 * top, 0]},
            {**line, "uid": "measured", "x": [mean, mean], "y": [0, 1.25 * top], "line": {"color": ROLES["teacher"].light, "width": 5}},
        ]
        text = f"measured: {format_points(mean)}"
        annotations = [{"x": mean, "y": 1.27 * top, "text": text, "showarrow": False, "yanchor": "bottom", "font": {"size": TEXT}}]
    axes = {
        "xaxis": {
            "range": [low - width / 2, high + width / 2],
            "title": _title("percentage points"),
            "dtick": 2 * width,
        },
        "yaxis": {"range": [0, 1.45 * top], "title": _title("learners"), "dtick": _steps(top)},
    }
    return {"data": traces, "layout": {**_layout(height, **axes), "annotations": annotations, "bargap": 0}}


def choices_figure(answers: Sequence[int], choices: Sequence[str], *, own: int | None = None) -> dict:
    """How many chose which answer; this learner's own in another colour."""
    counts = [list(answers).count(number) for number in range(len(choices))]
    colours = [OTHERS[0].light if number == own else ROLES["student"].light for number in range(len(choices))]
    bars = {
        "type": "bar", "uid": "answers", "orientation": "h", "x": counts, "y": [_wrapped(choice) for choice in choices],
        "marker": {"color": colours}, "text": [str(count) for count in counts], "textposition": "outside", "cliponaxis": False,
        "textfont": {"size": TEXT}, "hovertemplate": "%{x}: %{y}<extra></extra>", "showlegend": False,
    }  # fmt: skip
    axes = {
        "xaxis": {"range": [0, 1.15 * max([*counts, 1])], "title": _title("learners"), "dtick": _steps(max(counts))},
        "yaxis": {"autorange": "reversed", "automargin": True, "tickfont": {"size": TEXT}},
    }
    return {"data": [bars], "layout": _layout(110 + 60 * len(choices), **axes)}


def soft_labels_figure(result: dict) -> dict:
    """Test accuracy of the three students of the same images, each with its 95 % interval over the seeds."""
    names = {"labels": "hard labels", "class": "the learners", "network": "the network"}
    colours = {"labels": ROLES["baseline"].light, "class": OTHERS[0].light, "network": ROLES["teacher"].light}
    bars = []
    for name, title in names.items():
        found = result["accuracy"][name]
        error = {"type": "data", "symmetric": False, "thickness": 3, "width": 10, "color": TEXT_COLOUR,
                 "array": [found["high"] - found["mean"]], "arrayminus": [found["mean"] - found["low"]]}  # fmt: skip
        bars.append({
            "type": "bar", "uid": name, "orientation": "h", "y": [title], "x": [found["mean"]], "error_x": error, "showlegend": False,
            "marker": {"color": colours[name]}, "text": [f"  {found['mean']:.1f} %"], "textposition": "inside",
            "insidetextanchor": "start", "textfont": {"size": TEXT, "color": "#FFFFFF"},
            "hovertemplate": f"{title}: {found['mean']:.1f} % ({found['low']:.1f} to {found['high']:.1f})<extra></extra>",
        })  # fmt: skip
    axes = {
        "xaxis": {"range": [0, 100], "title": _title("test accuracy (%) · line: 95 % interval")},
        "yaxis": {"autorange": "reversed", "automargin": True, "tickfont": {"size": TEXT}},
    }
    return {"data": bars, "layout": {**_layout(300, **axes), "bargap": 0.25}}


def _layout(height: int, **axes: dict) -> dict:
    return {
        "height": height, "margin": {"l": 70, "r": 20, "t": 20, "b": 64}, "font": {"size": TEXT}, "hovermode": "closest",
        "hoverlabel": {"font": {"size": TEXT}, "align": "left"}, "template": {}, "annotations": [], **axes,
    }  # fmt: skip


def _steps(most: int) -> int:
    """Learners between two ticks: a whole number."""
    return max(1, math.ceil(most / 5))


def _title(text: str) -> dict:
    return {"text": text, "font": {"size": TEXT}, "standoff": 8}


def _wrapped(text: str, width: int = 26) -> str:
    """An answer on several lines, as plain text: Plotly reads a few HTML tags."""
    lines, line = [], ""
    for word in text.replace("&", "&amp;").replace("<", "&lt;").split():
        if line and len(line) + len(word) >= width:
            lines, line = [*lines, line], ""
        line = f"{line} {word}".strip()
    return "<br>".join([*lines, line])
