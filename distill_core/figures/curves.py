"""The learning curves of a race: first the numbers (`bands`), then the figure (`race_figure`)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import plotly.graph_objects as go

from distill_core.figures.palette import GREY, OTHERS, ROLES, plain_labels, style_of
from distill_core.statistics import BITS, t_margin

FIELDS = {
    "test_accuracy": "test accuracy (%)",
    "test_bits_per_character": "bits per character, lower is better",
    "agreement": "agreement with the teacher (%)",
    "hard_loss": "hard loss (nats)",
    "soft_loss": "soft loss (nats)",  # of another method its own loss: see `loss_label`
}
PERCENT = ("test_accuracy", "agreement")  # fractions in the records, percent on the axis
TEXT = 16  # px, the smallest size that can be read across a room
LABEL_GAP = 20  # px from one line's label to the next
TOP, BETWEEN, BOTTOM = 34, 46, 92  # px above the panels (their titles), between, and below (ticks, "epoch", legend)
MIN_LOSS = 1e-4  # the lowest loss on a logarithmic axis

Band = dict  # {"x": [...], "mean": [...], "low": [...], "high": [...], "n": seeds, "band": "interval" | "range" | ""}
Bands = dict[tuple[str, str], Band]


# --- the numbers ----------------------------------------------------------------------------------------------------


def bands(records: Iterable[dict], *, level: float = 0.95) -> Bands:
    """Mean and band over seeds, for each member and each field that was measured.

    A record is a plain dict: `experiment` (the seed's index; 0 if left out), `member`, `epoch`, `step` and the fields,
    None where a field was not measured. A curve has a point only at steps where **all** of the member's seeds were
    measured, so that it does not move when a slower seed arrives. Of two records of the same step (a run was resumed) the
    later one counts. Values that are not finite are left out.

    The band is Student's t interval of the mean (`"interval"`) for three or more seeds, the lowest and highest seed
    (`"range"`) for two, and absent for one.
    """
    values, epochs = values_by_step(records)
    curves = {}
    for key, by_step in values.items():
        if by_step:
            table = np.array([by_step[step] for step in sorted(by_step)])  # (steps, seeds)
            most = 1.0 if key[1] in PERCENT else math.inf
            curves[key] = {"x": [epochs[step] for step in sorted(by_step)]} | _mean_and_band(table, level, most)
    return curves


def values_by_step(records: Iterable[dict]) -> tuple[dict[tuple[str, str], dict[int, list[float]]], dict[int, float]]:
    """For each member and field its values by step, in the order of the seeds, where all of them were measured; the steps' epochs."""
    values: dict[tuple[str, str], dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    seeds: dict[str, set[int]] = defaultdict(set)
    epochs: dict[int, float] = {}
    for record in records:
        member, seed, step = record["member"], record.get("experiment", 0), record["step"]
        seeds[member].add(seed)
        epochs[step] = record["epoch"]
        for field in FIELDS:
            value = record.get(field)
            if value is not None and math.isfinite(value):
                values[member, field][step][seed] = value
            else:
                values[member, field][step].pop(seed, None)
    complete = {
        (member, field): {
            step: [by_seed[seed] for seed in sorted(by_seed)] for step, by_seed in by_step.items() if len(by_seed) == len(seeds[member])
        }
        for (member, field), by_step in values.items()
    }
    return complete, epochs


def _mean_and_band(table: np.ndarray, level: float, most: float) -> Band:
    """Mean and band of each row of `(steps, seeds)`; no limit of a band is below 0 or above `most`."""
    n = table.shape[1]
    mean = table.mean(axis=1)
    if n == 1:
        return {"mean": mean.tolist(), "low": [], "high": [], "n": n, "band": ""}
    if n == 2:
        return {"mean": mean.tolist(), "low": table.min(axis=1).tolist(), "high": table.max(axis=1).tolist(), "n": n, "band": "range"}
    margin = t_margin(table, level=level)
    low, high = np.maximum(mean - margin, np.minimum(mean, 0)), np.minimum(mean + margin, most)
    return {"mean": mean.tolist(), "low": low.tolist(), "high": high.tolist(), "n": n, "band": "interval"}


def declutter_labels(positions: Sequence[float], *, gap: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """Positions near the given ones, in the same order, at least `gap` apart and within `low` and `high`.

    Labels that would overlap form a group, which is centred on the mean of their positions.
    """
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    groups: list[list[float]] = []  # [centre, number of labels]
    for index in order:
        groups.append([positions[index], 1])
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < gap * (groups[-1][1] + groups[-2][1]) / 2:
            centre, count = groups.pop()
            lower_centre, lower_count = groups.pop()
            total = count + lower_count
            groups.append([(centre * count + lower_centre * lower_count) / total, total])
    placed = [centre + gap * (i - (count - 1) / 2) for centre, count in groups for i in range(int(count))]
    for i in range(len(placed)):
        placed[i] = max(placed[i], low + gap * i)
        placed[-1 - i] = min(placed[-1 - i], high - gap * i)
    return [placed[order.index(i)] for i in range(len(positions))]


# --- the figure -----------------------------------------------------------------------------------------------------


def race_figure(curves: Bands, **choices: object) -> go.Figure:
    """`race_drawing` as a `Figure`. Plotly validates it, which takes longer than the drawing itself."""
    return go.Figure(race_drawing(curves, **choices))


def race_drawing(
    curves: Bands,
    *,
    fields: Sequence[str] = ("test_accuracy",),
    members: Sequence[str] = ("student", "baseline"),
    teacher_accuracy: float | None = None,
    teacher_bits: float | None = None,
    entropy_rate: float | None = None,
    epochs: float | None = None,
    accuracy_from: float = 0.0,
    bits_between: tuple[float, float] | None = None,
    log: bool = False,
    height: int = 360,
    loss_label: str = FIELDS["soft_loss"],
) -> dict:
    """The curves of all members, one panel per field, as plotly's plain dicts.

    Axes and the number of traces do not depend on the progress of the run, so that a live chart never jumps and keeps its
    zoom: the epochs run from 0 to `epochs`, percentages from `accuracy_from` (a fraction) to 100, losses from 0 to a round
    number above the highest point, or over whole powers of ten with `log`. `height` is the height of the chart in pixels
    (label positions depend on it). Bits a character run from 0 to a round number, or over `bits_between`; `entropy_rate` is a line
    that no model crosses. `loss_label` names the field `soft_loss`, the method's own loss, with its unit.
    """
    last = epochs or max((band["x"][-1] for band in curves.values()), default=1) or 1
    plot = max(60, height - TOP - BOTTOM)  # px of all panels
    panel = (plot - BETWEEN * (len(fields) - 1)) / len(fields)
    traces, axes, titles = [], {}, []
    for row, field in enumerate(fields, start=1):
        scale, label = 100 if field in PERCENT else 1, loss_label if field == "soft_loss" else FIELDS[field]
        shown = {member: _scaled(curves[member, field], scale) if (member, field) in curves else None for member in members}
        to_axis = _log10 if log and field not in PERCENT else float
        low, high = _range(field, shown.values(), accuracy_from) if to_axis is float else _decades(shown.values())
        teacher = teacher_accuracy * 100 if teacher_accuracy is not None and field == "test_accuracy" else None
        if field == BITS.field:
            (low, high), teacher = bits_between or (low, high), teacher_bits
        drawn = []
        for number, (member, band) in enumerate(shown.items()):
            hover = _hover(member, band, field, label if len(fields) > 1 else "") if band else []
            drawn += band_traces(member, band, field, hover, number, to_axis, legend=row == 1)
        unit = "bits" if field == BITS.field else "%"
        drawn += [_teacher_line(teacher, last, unit)] if teacher is not None else []
        drawn += [_floor(entropy_rate, last)] if entropy_rate is not None and field == BITS.field else []
        drawn += _line_labels(shown, teacher, last, field, to_axis, gap=LABEL_GAP * (high - low) / panel, bounds=(low, high))
        axis = f"y{row if row > 1 else ''}"
        traces += [{"type": "scatter", "xaxis": "x", "yaxis": axis, **trace} for trace in drawn]
        top = 1 - (row - 1) * (panel + BETWEEN) / plot
        axes[axis.replace("y", "yaxis")] = {
            "range": [low, high], "domain": [max(0, top - panel / plot), top], "anchor": "x",
            **({"nticks": 6} if to_axis is float else _power_ticks(low, high)),
        }  # fmt: skip
        titles.append(panel_title(label, top))
    hover_title = f"epoch %{{x}}<br>{label}" if len(fields) == 1 else "epoch %{x}"
    common = layout(height, last, bottom_axis=axis, x_title=_epoch_title(curves, members), hover_title=hover_title)
    return {"data": traces, "layout": {**common, "annotations": titles, "template": {}, **axes}}


def layout(height: int, last: float, *, bottom_axis: str, x_title: str, hover_title: str) -> dict:
    """What all panels share."""
    return {
        "height": height,
        "margin": {"l": 48, "r": 84, "t": TOP, "b": BOTTOM, "autoexpand": False},
        "font": {"size": TEXT},
        "hovermode": "x unified",
        "hoverlabel": {"font": {"size": TEXT}},
        "legend": {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "font": {"size": TEXT}},
        "xaxis": {
            "range": [0, last],
            "nticks": 9,
            "anchor": bottom_axis,
            "unifiedhovertitle": {"text": hover_title},
            "title": {"text": x_title, "standoff": 6, "font": {"size": TEXT}},
        },
    }


def panel_title(label: str, top: float) -> dict:
    """The title of a panel, horizontal, above its upper left corner."""
    position = {"x": 0, "xref": "paper", "xanchor": "left", "xshift": -44, "y": top, "yref": "paper", "yanchor": "bottom", "yshift": 4}
    return {"text": label, "showarrow": False, "font": {"size": TEXT}, **position}


def _scaled(band: Band, scale: float) -> Band:
    """The band in the axis's unit: percentages within 0 to 100; rounded to what the chart can resolve."""
    most, digits = (100, 2) if scale == 100 else (math.inf, 4)
    lines = {name: [round(min(max(value * scale, 0), most), digits) for value in band[name]] for name in ("low", "mean", "high")}
    return {**band, **lines}


def _range(field: str, shown: Iterable[Band | None], accuracy_from: float) -> tuple[float, float]:
    if field in PERCENT:
        return accuracy_from * 100, 100
    return 0, round_up(max((value for band in shown if band for value in (*band["mean"], *band["high"])), default=1))


def round_up(value: float) -> float:
    """A round number above `value`, for the end of an axis; 1.5 for values of zero and below."""
    value = value if value > 0 else 1
    unit = 10 ** math.floor(math.log10(value))
    return next(unit * step for step in (1.5, 2, 3, 5, 7.5, 10, 15) if unit * step >= value * 1.02)


def _log10(value: float) -> float:
    """A loss on a logarithmic axis; values below `MIN_LOSS` are drawn there."""
    return math.log10(max(value, MIN_LOSS))


def _decades(shown: Iterable[Band | None]) -> tuple[int, int]:
    values = [_log10(value) for band in shown if band for value in (*band["mean"], *band["low"], *band["high"])]
    low, high = math.floor(min(values, default=-1)), math.ceil(max(values, default=1))
    return low, max(high, low + 1)


def _power_ticks(low: int, high: int) -> dict:
    """A tick at every power of ten."""
    powers = list(range(low, high + 1))
    return {"tickvals": powers, "ticktext": [f"{10.0**n:g}" for n in powers]}


def band_traces(
    member: str, band: Band | None, field: str, hover: list[str], number: int, to_axis: Callable[[float], float], *, legend: bool
) -> list[dict]:
    """The band and the line of one member; empty traces where it has no points, because the number of traces never changes."""
    style = style_of(member, number)
    band = band or {"x": [], "mean": [], "low": [], "high": [], "n": 0, "band": ""}
    area = {
        "x": band["x"] + band["x"][::-1] if band["band"] else [],
        "y": [to_axis(value) for value in band["high"] + band["low"][::-1]],
        "uid": f"{member} {field} band",
        "mode": "none",
        "fill": "toself",
        "fillcolor": style.light,
        "opacity": 0.25,
        "hoverinfo": "skip",
        "legendgroup": member,
        "showlegend": False,
        "name": member,
    }
    line = {
        "x": band["x"],
        "y": [to_axis(value) for value in band["mean"]],
        "uid": f"{member} {field}",
        "mode": "lines+markers",
        "name": member,
        "legendgroup": member,
        "showlegend": legend,
        "line": {"color": style.light, "width": 4, "dash": style.dash},
        "marker": {"color": style.light, "size": 10, "symbol": style.symbol, "maxdisplayed": 12},
        "hovertext": hover,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }
    return [area, line]


def _hover(member: str, band: Band, field: str, label: str) -> list[str]:
    """One text per point. The text of a loss starts with its `label`, if there is one."""
    unit, digits = (" %", 2) if field in PERCENT else (" bits", 4) if field == BITS.field else ("", 3)
    name = f"{member}, {label}:" if label and field not in PERCENT else member
    if not band["band"]:
        return [f"{name} {mean:.{digits}f}{unit}" for mean in band["mean"]]
    return [
        f"{name} {mean:.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f})"
        for low, mean, high in zip(band["low"], band["mean"], band["high"], strict=True)
    ]


def _floor(bits: float, last: float) -> dict:
    """The entropy rate of a text whose truth is known, with its name above its end."""
    return {
        "x": [0, last], "y": [bits, bits], "uid": "entropy rate", "mode": "lines+text", "name": "entropy rate", "showlegend": False,
        "line": {"color": GREY, "width": 2, "dash": "solid"}, "text": ["entropy rate of the text", ""], "textposition": "bottom right",
        "textfont": {"size": TEXT, "color": GREY}, "hovertemplate": f"entropy rate {bits:.4f} bits<extra></extra>",
    }  # fmt: skip


def _teacher_line(accuracy: float, last: float, unit: str = "%") -> dict:
    style = ROLES["teacher"]
    return {
        "x": [0, last],
        "y": [accuracy, accuracy],
        "uid": "teacher",
        "mode": "lines",
        "name": "teacher",
        "legendgroup": "teacher",
        "showlegend": False,
        "line": {"color": style.light, "width": 3, "dash": style.dash},
        "hovertemplate": f"teacher {accuracy:.2f} %<extra></extra>" if unit == "%" else f"teacher {accuracy:.4f} {unit}<extra></extra>",
    }


def _line_labels(
    shown: dict[str, Band | None],
    teacher: float | None,
    last: float,
    field: str,
    to_axis: Callable[[float], float],
    *,
    gap: float,
    bounds: tuple[float, float],
) -> list[dict]:
    """The name of each line at its end. They are traces, so that the legend hides a label together with its line."""
    ends = {member: (band["x"][-1], to_axis(band["mean"][-1])) for member, band in shown.items() if band}
    if teacher is not None:
        ends["teacher"] = (last, teacher)
    heights = dict(zip(ends, declutter_labels([y for _, y in ends.values()], gap=gap, low=bounds[0], high=bounds[1]), strict=True))
    names = [*shown, *(["teacher"] if teacher is not None else [])]
    return [
        {
            "x": [ends[name][0]] if name in ends else [],
            "y": [heights[name]] if name in ends else [],
            "text": [f"  {name}"] if name in ends else [],
            "uid": f"{name} {field} label",
            "mode": "text",
            "textposition": "middle right",
            "textfont": {"size": TEXT, "color": style_of(name, number).light},
            "cliponaxis": False,
            "hoverinfo": "skip",
            "legendgroup": name,
            "showlegend": False,
            "name": name,
        }
        for number, name in enumerate(names)
    ]


def _epoch_title(curves: Bands, members: Sequence[str]) -> str:
    """The title of the horizontal axis: its unit, and what the band is."""
    band = next((band for (member, _), band in curves.items() if member in members), None)
    if band is None:
        return "epoch"
    meaning = {"interval": f"band: 95 % interval, {band['n']} seeds", "range": "band: lowest and highest of 2 seeds", "": "one seed"}
    return f"epoch · {meaning[band['band']]}"


def compare_figure(runs: dict[str, Bands], *, field: str = "test_accuracy", loss_label: str = FIELDS["soft_loss"]) -> go.Figure:
    """The students of several runs in one panel, each with its baseline as a thin dotted line.

    A run has one colour and one marker, filled for the student and open for the baseline.
    `loss_label` names the field `soft_loss`, as in `race_drawing`.
    """
    figure = go.Figure()
    scale, label = 100 if field in PERCENT else 1, loss_label if field == "soft_loss" else FIELDS[field]
    styles = [*ROLES.values(), *OTHERS]
    for number, (name, curves) in enumerate(zip(plain_labels(runs), runs.values(), strict=True)):
        style = styles[number % len(styles)]
        for member, width, dash, symbol in (("student", 4, "solid", style.symbol), ("baseline", 3, "dot", f"{style.symbol}-open")):
            if (member, field) not in curves:
                continue
            band = _scaled(curves[member, field], scale)
            figure.add_trace(
                go.Scatter(
                    x=band["x"], y=band["mean"], mode="lines+markers", name=f"{name}, {member}",
                    line={"color": style.light, "width": width, "dash": dash},
                    marker={"symbol": symbol, "size": 12, "maxdisplayed": 8},
                    hovertext=_hover(member, band, field, label), hovertemplate="%{hovertext}<extra></extra>",
                )
            )  # fmt: skip
    figure.update_layout(
        font={"size": TEXT}, margin={"l": 70, "r": 20, "t": 10, "b": 60}, legend={"orientation": "h", "y": -0.3}, hovermode="closest"
    )
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(title=label)
    return figure
