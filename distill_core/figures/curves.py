"""The curves of a race: first the numbers (`bands`), then the picture (`race_figure`)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from scipy import special

from distill_core.figures.palette import ROLES, role

FIELDS = {
    "test_accuracy": "test accuracy (%)",
    "agreement": "agreement with the teacher (%)",
    "hard_loss": "hard loss (nats)",
    "soft_loss": "soft loss (nats)",
}
PERCENT = ("test_accuracy", "agreement")  # fractions in the records, percent on the axis
TEXT = 16  # px, the least that reads across a room
LABEL_GAP = 20  # px from one line's label to the next
TOP, BOTTOM = 34, 92  # px above the panels (their name) and below (ticks, "epoch", legend)

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


def race_figure(
    curves: Bands,
    *,
    fields: Sequence[str] = ("test_accuracy",),
    members: Sequence[str] = ("student", "baseline"),
    teacher_accuracy: float | None = None,
    epochs: float | None = None,
    accuracy_from: float = 0.0,
    height: int = 360,
) -> go.Figure:
    """One panel a field, above each other, with all members in each.

    Axes and the number of traces do not depend on how far the run is, so that a live chart never jumps and keeps a
    learner's zoom: the epochs run from 0 to `epochs`, percents from `accuracy_from` (a fraction) to 100, losses from
    0 to a round number above the highest point. `height` is the height in pixels it will be drawn at (it places labels).
    """
    figure = make_subplots(rows=len(fields), cols=1, shared_xaxes=True, vertical_spacing=0.34 / max(2, len(fields)))
    last = epochs or max((band["x"][-1] for band in curves.values()), default=1) or 1
    pixels = max(60, (height - TOP - BOTTOM) / len(fields) - (40 if len(fields) > 1 else 0))  # of one panel
    for row, field in enumerate(fields, start=1):
        scale = 100 if field in PERCENT else 1
        shown = {member: _scaled(curves[member, field], scale) if (member, field) in curves else None for member in members}
        low, high = _range(field, shown.values(), accuracy_from)
        teacher = teacher_accuracy * 100 if teacher_accuracy is not None and field == "test_accuracy" else None
        for number, (member, band) in enumerate(shown.items()):
            for trace in _member_traces(member, band, field, number, legend=row == 1):
                figure.add_trace(trace, row=row, col=1)
        if teacher is not None:
            figure.add_trace(_teacher_line(teacher, last), row=row, col=1)
        for trace in _labels(shown, teacher, last, field, gap=LABEL_GAP * (high - low) / pixels, bounds=(low, high)):
            figure.add_trace(trace, row=row, col=1)
        figure.update_yaxes(range=[low, high], nticks=6, row=row, col=1)
        figure.add_annotation(
            text=FIELDS[field], x=0, xref="x domain", y=1, yref=f"y{row if row > 1 else ''} domain", showarrow=False,
            xanchor="left", yanchor="bottom", xshift=-44, yshift=4, font={"size": TEXT},
        )  # fmt: skip
    figure.update_xaxes(range=[0, last], fixedrange=False, nticks=9)
    figure.update_xaxes(title={"text": _epoch_title(curves, members), "standoff": 6, "font": {"size": TEXT}}, row=len(fields), col=1)
    figure.update_layout(
        height=height,
        margin={"l": 48, "r": 84, "t": TOP, "b": BOTTOM, "autoexpand": False},
        font={"size": TEXT},
        hovermode="x unified",
        hoverlabel={"font": {"size": TEXT}},
        legend={"orientation": "h", "x": 0, "xref": "paper", "y": 0, "yref": "container", "yanchor": "bottom", "font": {"size": TEXT}},
        template=None,
    )
    return figure


def _scaled(band: Band, scale: float) -> Band:
    """The band on the axis: in percent, and there never outside 0 to 100."""
    most = 100 if scale == 100 else math.inf
    lines = {name: [min(max(value * scale, 0), most) for value in band[name]] for name in ("low", "mean", "high")}
    return {**band, **lines}


def _range(field: str, shown: Iterable[Band | None], accuracy_from: float) -> tuple[float, float]:
    if field in PERCENT:
        return accuracy_from * 100, 100
    top = max((value for band in shown if band for value in (*band["mean"], *band["high"])), default=1) or 1
    unit = 10 ** math.floor(math.log10(top))
    return 0, next(unit * step for step in (1.5, 2, 3, 5, 7.5, 10, 15) if unit * step >= top * 1.02)


def _member_traces(member: str, band: Band | None, field: str, number: int, *, legend: bool) -> list[go.Scatter]:
    """The band and the line of one member, also while there is nothing to draw: the number of traces never changes."""
    look = role(member, number)
    band = band or {"x": [], "mean": [], "low": [], "high": [], "n": 0, "band": ""}
    around = band["x"] + band["x"][::-1] if band["band"] else []
    area = go.Scatter(
        x=around, y=band["high"] + band["low"][::-1], uid=f"{member} {field} band", mode="none", fill="toself", fillcolor=look.light,
        opacity=0.25, hoverinfo="skip", legendgroup=member, showlegend=False, name=member,
    )  # fmt: skip
    line = go.Scatter(
        x=band["x"], y=band["mean"], uid=f"{member} {field}", mode="lines+markers", name=member, legendgroup=member, showlegend=legend,
        line={"color": look.light, "width": 4, "dash": look.dash}, marker={"color": look.light, "size": 10, "symbol": look.symbol, "maxdisplayed": 12},
        hovertext=_hover(member, band, field), hovertemplate="%{hovertext}<extra></extra>",
    )  # fmt: skip
    return [area, line]


def _hover(member: str, band: Band, field: str) -> list[str]:
    unit, digits = (" %", 1) if field in PERCENT else ("", 3)
    if not band["band"]:
        return [f"{member} {mean:.{digits}f}{unit}" for mean in band["mean"]]
    return [
        f"{member} {mean:.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f})"
        for low, mean, high in zip(band["low"], band["mean"], band["high"], strict=True)
    ]


def _teacher_line(accuracy: float, last: float) -> go.Scatter:
    look = ROLES["teacher"]
    return go.Scatter(
        x=[0, last], y=[accuracy, accuracy], uid="teacher", mode="lines", name="teacher", legendgroup="teacher", showlegend=False,
        line={"color": look.light, "width": 3, "dash": look.dash}, hovertemplate=f"teacher {accuracy:.1f} %<extra></extra>",
    )  # fmt: skip


def _labels(
    shown: dict[str, Band | None], teacher: float | None, last: float, field: str, *, gap: float, bounds: tuple[float, float]
) -> list[go.Scatter]:
    """Each line's name at its end; drawn as traces, so that the legend hides them with their line."""
    ends = {member: (band["x"][-1], band["mean"][-1]) for member, band in shown.items() if band}
    if teacher is not None:
        ends["teacher"] = (last, teacher)
    places = dict(zip(ends, spread([y for _, y in ends.values()], gap=gap, low=bounds[0], high=bounds[1]), strict=True))
    names = [*shown, *(["teacher"] if teacher is not None else [])]
    return [
        go.Scatter(
            x=[ends[name][0]] if name in ends else [], y=[places[name]] if name in ends else [], text=[f"  {name}"] if name in ends else [],
            uid=f"{name} {field} label", mode="text", textposition="middle right", textfont={"size": TEXT, "color": role(name, number).light},
            cliponaxis=False, hoverinfo="skip", legendgroup=name, showlegend=False, name=name,
        )
        for number, name in enumerate(names)
    ]  # fmt: skip


def _epoch_title(curves: Bands, members: Sequence[str]) -> str:
    """The horizontal axis names its unit and says what the band is."""
    band = next((band for (member, _), band in curves.items() if member in members), None)
    if band is None:
        return "epoch"
    what = {"interval": f"band: 95 % interval, {band['n']} seeds", "range": "band: lowest and highest of 2 seeds", "": "one seed"}
    return f"epoch · {what[band['band']]}"
