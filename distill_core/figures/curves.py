"""The curves of a race: first the numbers (`bands`), then the picture (`race_figure`)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import plotly.graph_objects as go
from scipy import special

from distill_core.figures.palette import OTHERS, ROLES, role

FIELDS = {
    "test_accuracy": "test accuracy (%)",
    "agreement": "agreement with the teacher (%)",
    "hard_loss": "hard loss (nats)",
    "soft_loss": "soft loss (nats)",
}
PERCENT = ("test_accuracy", "agreement")  # fractions in the records, percent on the axis
TEXT = 16  # px, the least that reads across a room
LABEL_GAP = 20  # px from one line's label to the next
TOP, BETWEEN, BOTTOM = 34, 46, 92  # px above the panels (their names), between, and below (ticks, "epoch", legend)

Band = dict  # {"x": [...], "mean": [...], "low": [...], "high": [...], "n": seeds, "band": "interval" | "range" | ""}
Bands = dict[tuple[str, str], Band]


# --- the numbers ----------------------------------------------------------------------------------------------------


def bands(records: Iterable[dict], *, level: float = 0.95) -> Bands:
    """Mean and band over seeds, for each member and each field that was measured.

    A record is a plain dict: `experiment` (the seed's index; 0 if left out), `member`, `epoch`, `step` and the fields,
    None where a field was not measured. A point is drawn only at steps where **all** of the member's seeds were
    measured, so that a curve never moves because a seed is late. A step told twice (a run taken up again) counts once,
    as told last. A value that is not finite is not a point.

    The band is Student's t interval of the mean (`"interval"`) from three seeds on, the lowest and highest seed
    (`"range"`) for two, nothing for one.
    """
    values: dict[tuple[str, str], dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    seeds: dict[str, set[int]] = defaultdict(set)
    epochs: dict[int, float] = {}
    for told in records:
        member, seed, step = told["member"], told.get("experiment", 0), told["step"]
        seeds[member].add(seed)
        epochs[step] = told["epoch"]
        for field in FIELDS:
            value = told.get(field)
            if value is not None and math.isfinite(value):
                values[member, field][step][seed] = value
            else:
                values[member, field][step].pop(seed, None)
    found = {}
    for (member, field), by_step in values.items():
        n = len(seeds[member])
        steps = sorted(step for step, by_seed in by_step.items() if len(by_seed) == n)
        if steps:
            table = np.array([[by_step[step][seed] for seed in sorted(seeds[member])] for step in steps])  # (steps, seeds)
            found[member, field] = {"x": [epochs[step] for step in steps]} | _summary(table, level)
    return found


def _summary(table: np.ndarray, level: float) -> Band:
    """Mean and band of each row of `(steps, seeds)`."""
    n = table.shape[1]
    mean = table.mean(axis=1)
    if n == 1:
        return {"mean": mean.tolist(), "low": [], "high": [], "n": n, "band": ""}
    if n == 2:
        return {"mean": mean.tolist(), "low": table.min(axis=1).tolist(), "high": table.max(axis=1).tolist(), "n": n, "band": "range"}
    half = special.stdtrit(n - 1, (1 + level) / 2) * table.std(axis=1, ddof=1) / math.sqrt(n)
    return {"mean": mean.tolist(), "low": (mean - half).tolist(), "high": (mean + half).tolist(), "n": n, "band": "interval"}


def spread(places: Sequence[float], *, gap: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """Places near these, in the same order, at least `gap` apart and within `low` and `high`: labels that do not touch."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    groups: list[list[float]] = []  # [middle, how many]: labels that touch stand together around their common middle
    for index in order:
        groups.append([places[index], 1])
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < gap * (groups[-1][1] + groups[-2][1]) / 2:
            middle, count = groups.pop()
            below, under = groups.pop()
            groups.append([(middle * count + below * under) / (count + under), count + under])
    stood = [middle + gap * (i - (count - 1) / 2) for middle, count in groups for i in range(int(count))]
    for i in range(len(stood)):
        stood[i] = max(stood[i], low + gap * i)
        stood[-1 - i] = min(stood[-1 - i], high - gap * i)
    return [stood[order.index(i)] for i in range(len(places))]


# --- the picture ----------------------------------------------------------------------------------------------------


def race_figure(curves: Bands, **choices: object) -> go.Figure:
    """`race_drawing` as a figure: Plotly has checked it, which takes longer than to make it."""
    return go.Figure(race_drawing(curves, **choices))


def race_drawing(
    curves: Bands,
    *,
    fields: Sequence[str] = ("test_accuracy",),
    members: Sequence[str] = ("student", "baseline"),
    teacher_accuracy: float | None = None,
    epochs: float | None = None,
    accuracy_from: float = 0.0,
    log: bool = False,
    height: int = 360,
    loss_label: str = "soft loss (nats)",
) -> dict:
    """One panel a field, above each other, with all members in each.

    Axes and the number of traces do not depend on how far the run is, so that a live chart never jumps and keeps a
    learner's zoom: the epochs run from 0 to `epochs`, percents from `accuracy_from` (a fraction) to 100, losses from
    0 to a round number above the highest point, or over whole powers of ten with `log`. `height` is the height in
    pixels it will be drawn at (it places labels).
    """
    last = epochs or max((band["x"][-1] for band in curves.values()), default=1) or 1
    plot = max(60, height - TOP - BOTTOM)  # px of all panels
    panel = (plot - BETWEEN * (len(fields) - 1)) / len(fields)
    traces, axes, names = [], {}, []
    for row, field in enumerate(fields, start=1):
        scale = 100 if field in PERCENT else 1
        shown = {member: _scaled(curves[member, field], scale) if (member, field) in curves else None for member in members}
        spot = _log if log and field not in PERCENT else float  # where a value stands on the axis
        low, high = _range(field, shown.values(), accuracy_from) if spot is float else _decades(shown.values())
        teacher = teacher_accuracy * 100 if teacher_accuracy is not None and field == "test_accuracy" else None
        drawn = []
        for number, (member, band) in enumerate(shown.items()):
            drawn += _member_traces(member, band, field, number, spot, legend=row == 1)
        drawn += [_teacher_line(teacher, last)] if teacher is not None else []
        drawn += _labels(shown, teacher, last, field, spot, gap=LABEL_GAP * (high - low) / panel, bounds=(low, high))
        axis = f"y{row if row > 1 else ''}"
        traces += [{"type": "scatter", "xaxis": "x", "yaxis": axis, **trace} for trace in drawn]
        top = 1 - (row - 1) * (panel + BETWEEN) / plot
        ticks = (
            {"nticks": 6}
            if spot is float
            else {"tickvals": (tens := list(range(low, high + 1))), "ticktext": [f"{10.0**n:g}" for n in tens]}
        )
        axes[axis.replace("y", "yaxis")] = {"range": [low, high], "domain": [max(0, top - panel / plot), top], "anchor": "x", **ticks}
        names.append(_panel_name(loss_label if field == "soft_loss" else FIELDS[field], top))
    layout = {
        "height": height,
        "margin": {"l": 48, "r": 84, "t": TOP, "b": BOTTOM, "autoexpand": False},
        "font": {"size": TEXT},
        "hovermode": "x unified",
        "hoverlabel": {"font": {"size": TEXT}},
        "legend": {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "font": {"size": TEXT}},
        "xaxis": {
            "range": [0, last],
            "nticks": 9,
            "anchor": axis,
            "unifiedhovertitle": {"text": "epoch %{x}"},
            "title": {"text": _epoch_title(curves, members), "standoff": 6, "font": {"size": TEXT}},
        },
        "annotations": names,
        "template": {},
    }
    return {"data": traces, "layout": {**layout, **axes}}


def _panel_name(title: str, top: float) -> dict:
    """What a panel measures, above its upper left corner, where it reads without turning the head."""
    place = {"x": 0, "xref": "paper", "xanchor": "left", "xshift": -44, "y": top, "yref": "paper", "yanchor": "bottom", "yshift": 4}
    return {"text": title, "showarrow": False, "font": {"size": TEXT}, **place}


def _scaled(band: Band, scale: float) -> Band:
    """The band on the axis: in percent, and there never outside 0 to 100; no more digits than an eye can tell apart."""
    most, digits = (100, 2) if scale == 100 else (math.inf, 4)
    lines = {name: [round(min(max(value * scale, 0), most), digits) for value in band[name]] for name in ("low", "mean", "high")}
    return {**band, **lines}


def _range(field: str, shown: Iterable[Band | None], accuracy_from: float) -> tuple[float, float]:
    if field in PERCENT:
        return accuracy_from * 100, 100
    top = max((value for band in shown if band for value in (*band["mean"], *band["high"])), default=1)
    top = top if top > 0 else 1
    unit = 10 ** math.floor(math.log10(top))
    return 0, next(unit * step for step in (1.5, 2, 3, 5, 7.5, 10, 15) if unit * step >= top * 1.02)


def _log(value: float) -> float:
    """The place of a loss on an axis of powers of ten; what is as good as nothing stands at its lower end."""
    return math.log10(max(value, 1e-4))


def _decades(shown: Iterable[Band | None]) -> tuple[int, int]:
    values = [_log(value) for band in shown if band for value in (*band["mean"], *band["low"], *band["high"])]
    low, high = math.floor(min(values, default=-1)), math.ceil(max(values, default=1))
    return low, max(high, low + 1)


def _member_traces(member: str, band: Band | None, field: str, number: int, spot: Callable[[float], float], *, legend: bool) -> list[dict]:
    """The band and the line of one member, also while there is nothing to draw: the number of traces never changes."""
    look = role(member, number)
    band = band or {"x": [], "mean": [], "low": [], "high": [], "n": 0, "band": ""}
    around = band["x"] + band["x"][::-1] if band["band"] else []
    area = {
        "x": around,
        "y": [spot(value) for value in band["high"] + band["low"][::-1]],
        "uid": f"{member} {field} band",
        "mode": "none",
        "fill": "toself",
        "fillcolor": look.light,
        "opacity": 0.25,
        "hoverinfo": "skip",
        "legendgroup": member,
        "showlegend": False,
        "name": member,
    }
    line = {
        "x": band["x"],
        "y": [spot(value) for value in band["mean"]],
        "uid": f"{member} {field}",
        "mode": "lines+markers",
        "name": member,
        "legendgroup": member,
        "showlegend": legend,
        "line": {"color": look.light, "width": 4, "dash": look.dash},
        "marker": {"color": look.light, "size": 10, "symbol": look.symbol, "maxdisplayed": 12},
        "hovertext": _hover(member, band, field),
        "hovertemplate": "%{hovertext}<extra></extra>",
    }
    return [area, line]


def _hover(member: str, band: Band, field: str) -> list[str]:
    unit, digits = (" %", 1) if field in PERCENT else ("", 3)
    if not band["band"]:
        return [f"{member} {mean:.{digits}f}{unit}" for mean in band["mean"]]
    return [
        f"{member} {mean:.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f})"
        for low, mean, high in zip(band["low"], band["mean"], band["high"], strict=True)
    ]


def _teacher_line(accuracy: float, last: float) -> dict:
    look = ROLES["teacher"]
    return {
        "x": [0, last],
        "y": [accuracy, accuracy],
        "uid": "teacher",
        "mode": "lines",
        "name": "teacher",
        "legendgroup": "teacher",
        "showlegend": False,
        "line": {"color": look.light, "width": 3, "dash": look.dash},
        "hovertemplate": f"teacher {accuracy:.1f} %<extra></extra>",
    }


def _labels(
    shown: dict[str, Band | None],
    teacher: float | None,
    last: float,
    field: str,
    spot: Callable[[float], float],
    *,
    gap: float,
    bounds: tuple[float, float],
) -> list[dict]:
    """Each line's name at its end; drawn as traces, so that the legend hides them with their line."""
    ends = {member: (band["x"][-1], spot(band["mean"][-1])) for member, band in shown.items() if band}
    if teacher is not None:
        ends["teacher"] = (last, teacher)
    places = dict(zip(ends, spread([y for _, y in ends.values()], gap=gap, low=bounds[0], high=bounds[1]), strict=True))
    names = [*shown, *(["teacher"] if teacher is not None else [])]
    return [
        {
            "x": [ends[name][0]] if name in ends else [],
            "y": [places[name]] if name in ends else [],
            "text": [f"  {name}"] if name in ends else [],
            "uid": f"{name} {field} label",
            "mode": "text",
            "textposition": "middle right",
            "textfont": {"size": TEXT, "color": role(name, number).light},
            "cliponaxis": False,
            "hoverinfo": "skip",
            "legendgroup": name,
            "showlegend": False,
            "name": name,
        }
        for number, name in enumerate(names)
    ]


def _epoch_title(curves: Bands, members: Sequence[str]) -> str:
    """The horizontal axis names its unit and says what the band is."""
    band = next((band for (member, _), band in curves.items() if member in members), None)
    if band is None:
        return "epoch"
    what = {"interval": f"band: 95 % interval, {band['n']} seeds", "range": "band: lowest and highest of 2 seeds", "": "one seed"}
    return f"epoch · {what[band['band']]}"


def compare_figure(runs: dict[str, Bands], *, field: str = "test_accuracy") -> go.Figure:
    """The students of several runs in one panel, and each one's baseline as a thin line of the same colour."""
    figure = go.Figure()
    scale = 100 if field in PERCENT else 1
    looks = [*ROLES.values(), *OTHERS]
    for number, (name, curves) in enumerate(runs.items()):
        look = looks[number % len(looks)]
        for member, width, dash in (("student", 4, "solid"), ("baseline", 3, "dot")):
            if (member, field) not in curves:
                continue
            band = _scaled(curves[member, field], scale)
            figure.add_trace(
                go.Scatter(
                    x=band["x"], y=band["mean"], mode="lines+markers" if member == "student" else "lines", name=f"{name}, {member}",
                    line={"color": look.light, "width": width, "dash": dash}, marker={"symbol": look.symbol, "size": 10, "maxdisplayed": 8},
                    hovertext=_hover(member, band, field), hovertemplate="%{hovertext}<extra></extra>",
                )
            )  # fmt: skip
    figure.update_layout(
        font={"size": TEXT}, margin={"l": 70, "r": 20, "t": 10, "b": 60}, legend={"orientation": "h", "y": -0.2}, hovermode="closest"
    )
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title=FIELDS[field])
    return figure
