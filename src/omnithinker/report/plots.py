"""Plots as inline SVG with selectable text, in colours that are safe for colour-blind readers (Okabe and Ito)."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from omnithinker.report.measures import Estimate, accuracy, singles
from omnithinker.report.records import Run, RunGroup, Study
from omnithinker.report.series import Band, Curve, curve, phases
from omnithinker.report.tables import prediction_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222")
MARKERS = (("o", "●"), ("s", "■"), ("^", "▲"), ("D", "◆"), ("v", "▼"), ("P", "✚"), ("*", "★"))
"""Marker of matplotlib, and its character in legends."""

GREY = "#5f6b76"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "omnithinker",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": "#1c2733",
    "axes.labelcolor": "#1c2733",
    "axes.edgecolor": "#8a96a3",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "axes.axisbelow": True,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.unicode_minus": True,
}
PANELS = (
    ("accuracy", "Accuracy"),
    ("reward", "Reward"),
    ("entropy", "Entropy (nats per token)"),
)
"""Panels of learning curves: metric and title."""


@dataclass(frozen=True, slots=True)
class Key:
    """One entry of a legend."""

    sign: str
    """Character that looks like the marker."""
    colour: str
    """CSS colour."""
    label: str
    """Meaning."""


def task_keys(tasks: Sequence[str]) -> list[Key]:
    """Return the legend of the tasks."""
    return [Key(MARKERS[k % 7][1], COLOURS[k % 7], task) for k, task in enumerate(tasks)]


def svg_plot(paint: Callable[[Axes], None], size: tuple[float, float], description: str) -> str:
    """Draw on one pair of axes and return the SVG element.

    Args:
        paint: draws on the axes.
        size: width and height, inches.
        description: text for screen readers.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure.add_subplot())
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _embeddable(stream.getvalue(), description)


def _embeddable(document: str, description: str) -> str:
    """Remove the prologue, fixed sizes, and group names, which would not be unique on a page."""
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    head, rest = svg.split(">", 1)
    head = re.sub(r' (?:width|height|version|xmlns:xlink)="[^"]*"', "", head).replace(
        "<svg", f'<svg role="img" aria-label="{escape(description, quote=True)}"'
    )
    if "xlink:" in rest:
        head += ' xmlns:xlink="http://www.w3.org/1999/xlink"'
    return head + ">" + rest.strip()


@dataclass(frozen=True, slots=True)
class Series:
    """Accuracy of one model on every task, with its marker."""

    key: Key
    marker: str
    values: dict[str, Estimate]
    hollow: bool = False


def outcome_series(study: Study) -> list[Series]:
    """Return the base model, the single-task runs, and every run on all tasks."""
    series = []
    if study.base:
        series.append(Series(Key("○", GREY, "base model"), "o", _accuracies(study, [study.base]), hollow=True))
    done = singles(study)
    if done:
        alone = {task: accuracy(group.done, task) for task, group in done.items()}
        series.append(Series(Key("◇", GREY, "trained on this task alone"), "D", alone, hollow=True))
    for k, group in enumerate(study.compared):
        marker, sign = MARKERS[k % 7]
        series.append(Series(Key(sign, COLOURS[k % 7], group.label), marker, _accuracies(study, group.done)))
    return series


def _accuracies(study: Study, runs: Sequence[Run]) -> dict[str, Estimate]:
    return {task: accuracy(runs, task) for task in study.tasks}


def outcome_plot(study: Study, series: Sequence[Series]) -> str:
    """Plot accuracies with standard errors: one row per task, one mark per model."""

    def paint(axes: Axes) -> None:
        step = 0.7 / max(len(series), 1)
        for s, each in enumerate(series):
            for row, task in enumerate(study.tasks):
                if task in each.values:
                    estimate = each.values[task]
                    axes.errorbar(
                        estimate.value,
                        row + (s - (len(series) - 1) / 2) * step,
                        xerr=estimate.error,
                        fmt=each.marker,
                        color=each.key.colour,
                        markerfacecolor="white" if each.hollow else each.key.colour,
                        markersize=5.5,
                        elinewidth=1.2,
                    )
        for row in range(1, len(study.tasks)):
            axes.axhline(row - 0.5, color="#dde3e8", linewidth=0.8)
        axes.set_yticks(range(len(study.tasks)), study.tasks)
        axes.set_ylim(len(study.tasks) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0, labelcolor="#1c2733")
        axes.grid(axis="x", color="#e6ebef", linewidth=0.8)
        axes.set_xlabel("held-out accuracy ± standard error")

    height = 0.9 + len(study.tasks) * max(0.55, 0.145 * len(series))
    return svg_plot(paint, (4.7, height), "Accuracy of every model on every task with standard errors")


def prediction_groups(study: Study) -> list[RunGroup]:
    """Return the finished curricula that the plan has predictions for."""
    return [g for g in study.of("curriculum") if g.done and prediction_for(study, g.order)]


def prediction_plot(study: Study, groups: Sequence[RunGroup]) -> str:
    """Plot predicted against measured accuracy, with the line of equality."""

    def paint(axes: Axes) -> None:
        extent = []
        for k, group in enumerate(groups):
            predicted = prediction_for(study, group.order) or {}
            intervals = predicted.get("predicted_interval") or {}
            for t, task in enumerate(study.tasks):
                measured, x = accuracy(group.done, task), predicted["predicted"][task]
                low, high = intervals.get(task, (x, x))
                # An interval that reaches far above 1 is cut off, so that it does not compress the rest.
                extent += [measured.value - measured.error, measured.value + measured.error, x, low, min(high, 1.0)]
                axes.errorbar(
                    x,
                    measured.value,
                    xerr=[[max(x - low, 0)], [max(high - x, 0)]],
                    yerr=measured.error,
                    fmt=MARKERS[t % 7][0],
                    color=COLOURS[t % 7],
                    markerfacecolor=COLOURS[t % 7] if k == 0 else "white",
                    markersize=6,
                    elinewidth=1,
                )
        low, high = max(min(extent) - 0.03, 0), max(extent) + 0.03
        axes.plot([low, high], [low, high], color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        axes.set_aspect("equal")
        axes.grid(color="#e6ebef", linewidth=0.8)
        axes.set_xlabel("predicted from single-task runs, 90% interval")
        axes.set_ylabel("measured ± standard error")

    return svg_plot(paint, (4.4, 4.0), "Predicted against measured accuracy of every task")


def prediction_keys(study: Study, groups: Sequence[RunGroup]) -> list[Key]:
    """Return the legend of :func:`prediction_plot`."""
    signs = [("●", "filled"), *[("○", "open")] * (len(groups) - 1)]
    fills = [Key(sign, GREY, f"{word}: {group.label}") for (sign, word), group in zip(signs, groups, strict=True)]
    return [*task_keys(study.tasks), *(fills if len(fills) > 1 else [])]


def curve_plots(study: Study, groups: Sequence[RunGroup], title: str) -> list[str]:
    """Plot accuracy, reward and entropy over the steps of a run. A metric that was never defined has no plot.

    Args:
        study: the study.
        groups: one group; or all single-task groups, each of which contributes its task.
        title: name of the run, for screen readers.
    """
    curves = {
        metric: {
            (task, group.label): curve(study, group, task, metric)
            for task in study.tasks
            for group in groups
            if group.kind != "single" or group.subject == task
        }
        for metric, _ in PANELS
    }
    return [
        svg_plot(
            partial(_paint_curves, tasks=study.tasks, groups=groups, curves=curves[metric], metric=metric, name=name),
            (3.6, 2.5),
            f"{name} per step: {title}",
        )
        for metric, name in PANELS
        if not all(each.is_empty for each in curves[metric].values())
    ]


def _paint_curves(
    axes: Axes,
    tasks: Sequence[str],
    groups: Sequence[RunGroup],
    curves: Mapping[tuple[str, str], Curve],
    metric: str,
    name: str,
) -> None:
    by_label = {group.label: group for group in groups}
    for (task, label), each in curves.items():
        k = tasks.index(task)
        colour = COLOURS[k % 7]
        axes.plot(*each.raw, ".", color=colour, markersize=2.5, alpha=0.3)
        axes.plot(*each.smooth, color=colour, linewidth=1.7)
        _paint_validation(axes, each.validation, by_label[label].runs, task, colour)
        axes.plot(*each.held_out, ":", color=colour, linewidth=0.9, alpha=0.7)
        axes.plot(
            *each.held_out,
            MARKERS[k % 7][0],
            color=colour,
            markerfacecolor="white",
            markeredgewidth=1.2,
            markersize=4.8,
            clip_on=False,
        )
    axes.set_title(name)
    axes.set_xlabel("training step")
    axes.set_ylim(0, 1 if metric == "accuracy" else None)
    axes.grid(axis="y", color="#e6ebef", linewidth=0.8)
    if len(groups) == 1 and groups[0].runs:
        _paint_phases(axes, groups[0].runs[0])
        for best in (run.best["best"] for run in groups[0].runs if "best" in run.best):
            axes.axvline(best.step, color=GREY, linewidth=0.9, linestyle="--", zorder=-1)


def _paint_phases(axes: Axes, run: Run) -> None:
    """Shade every other phase of a curriculum."""
    of_run = phases(run)
    for k, (_, first, last) in enumerate(of_run if len(of_run) > 1 else []):
        if k % 2:
            axes.axvspan(first - 0.5, last + 0.5, color="#eef2f5", zorder=-1, linewidth=0)


def _paint_validation(axes: Axes, band: Band, runs: Sequence[Run], task: str, colour: str) -> None:
    """Plot accuracy on validation items with its error, the task's best step, and the end by patience."""
    steps, values, errors = band
    if not steps:
        return
    low, high = ([value + sign * error for value, error in zip(values, errors, strict=True)] for sign in (-1, 1))
    axes.fill_between(steps, low, high, color=colour, alpha=0.13, linewidth=0)
    axes.plot(steps, values, "--", color=colour, linewidth=1.1, marker="x", markersize=4)
    for run in runs:
        if best := run.best.get(f"best-{task}"):
            axes.plot(best.step, best.accuracy, "*", color=colour, markeredgecolor="white", markersize=10, zorder=3)
        if run.stopped_early and run.last_step in steps:
            end = values[steps.index(run.last_step)]
            axes.plot(run.last_step, end, "|", color=colour, markersize=13, markeredgewidth=2.2, clip_on=False)


def curve_keys(study: Study, groups: Sequence[RunGroup]) -> list[Key]:
    """Return the legend of :func:`curve_plots`."""
    runs = [run for group in groups for run in group.runs]
    keys = task_keys(study.tasks)
    if any(run.validations for run in runs):
        keys += [
            Key("✕", GREY, "validation ± standard error"),
            Key("★", GREY, "best weights of the task"),
        ]
        keys += [Key("┆", GREY, "best weights by the mean")] if len(groups) == 1 else []
    return keys + [Key("❙", GREY, "ended by patience")] * any(run.stopped_early for run in runs)
