"""Plot of a plan: transfer heat map, ranking with intervals, precedence of the tasks. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from omnithinker.errors import PlanError
from omnithinker.planning.percent import cautious_percent, percent
from omnithinker.planning.uncertainty import COIN_TOSS, LEVEL, SETTLED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from omnithinker.planning.plan import Plan

SUFFIXES = (".svg", ".png")
"""Supported file types."""

SHOWN_ORDERS = 12
"""Orders in the ranking."""

NUMBERED_TASKS = 12
"""Largest K for which cells have numbers and the precedence is a graph."""


def check_plot_name(path: Path) -> None:
    """Check the name of a plot file before any work is done.

    Raises:
        PlanError: if the name ends in neither .svg nor .png, or its folder does not exist.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise PlanError(f"--plot {path}: the name must end in .svg or .png")
    if not path.parent.is_dir():
        raise PlanError(f"--plot {path}: folder {path.parent} does not exist; create it first")


def plot_plan(plan: Plan, path: Path | str) -> None:
    """Write the plot.

    Args:
        plan: the plan.
        path: file name ending in ``.svg`` or ``.png``.

    Raises:
        PlanError: if the suffix is another one, or the file cannot be written.
    """
    # Figure instead of pyplot: no window system, no global state.
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = Path(path)
    check_plot_name(path)
    size = len(plan.tasks)
    side = 4.2 if size <= NUMBERED_TASKS else 6.0
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "omnithinker", "font.size": 9}):
        figure = Figure(figsize=(3 * side + 2.5, side + 0.8), layout="constrained")
        FigureCanvasAgg(figure)
        heat, ranking, precedence = figure.subplots(1, 3)
        _draw_transfer(heat, plan)
        _draw_ranking(ranking, plan)
        if size <= NUMBERED_TASKS:
            _draw_precedence_graph(precedence, plan)
        else:
            _draw_precedence_matrix(precedence, plan)
        try:
            figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
        except OSError as error:
            raise PlanError(f"--plot {path}: cannot be written: {error.strerror}") from error


def _draw_transfer(axes: Axes, plan: Plan) -> None:
    """Draw the transfer matrix in colours that are safe for colour-blind readers, with signs and hatching."""
    values = np.array(plan.bwt)
    np.fill_diagonal(values, np.nan)
    limit = float(np.nanmax(np.abs(values))) or 1.0
    image = axes.imshow(values, cmap="PuOr", vmin=-limit, vmax=limit)
    axes.figure.colorbar(image, ax=axes, shrink=0.7, label="nats")
    axes.set_title("transfer: + helps, − hurts (hatched)")
    _label_tasks(axes, plan.tasks)
    axes.set_xlabel("trained task")
    axes.set_ylabel("evaluated task")
    if len(plan.tasks) <= NUMBERED_TASKS:
        for i, j in np.ndindex(values.shape):
            if i != j:
                _draw_cell(axes, i, j, float(values[i, j]), limit)


def _draw_cell(axes: Axes, i: int, j: int, value: float, limit: float) -> None:
    from matplotlib.patches import Rectangle

    if value < 0:
        axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, hatch="///", edgecolor="0.55", linewidth=0))
    # A background keeps the number legible on hatching.
    colour = "white" if abs(value) > 0.6 * limit else "black"
    plate = {"facecolor": axes.images[0].cmap(axes.images[0].norm(np.array(value))), "edgecolor": "none", "pad": 1.5}
    axes.text(j, i, f"{value:+.3f}".replace("-", "−"), ha="center", va="center", color=colour, bbox=plate)


def _label_tasks(axes: Axes, tasks: tuple[str, ...]) -> None:
    small = max(3.0, min(9.0, 300.0 / len(tasks)))
    axes.set_xticks(range(len(tasks)), tasks, rotation=45 if len(tasks) <= NUMBERED_TASKS else 90, fontsize=small)
    axes.set_yticks(range(len(tasks)), tasks, fontsize=small)


def _draw_ranking(axes: Axes, plan: Plan) -> None:
    shown = plan.ranking[:SHOWN_ORDERS]
    places = np.arange(len(shown))
    values = np.array([ranked.objective if ranked.delta_rel is None else ranked.delta_rel for ranked in shown])
    axes.plot(values, places, "o", color="black")
    title = "best orders"
    if plan.confidence is not None:
        intervals = np.array([entry.delta_rel for entry in plan.confidence.ranking[: len(shown)]])
        axes.hlines(places, intervals[:, 0], intervals[:, 1], color="0.45")
        for place, entry in enumerate(plan.confidence.ranking[: len(shown)]):
            label = _short(entry.probability)
            axes.annotate(label, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8)
        title += f" with {percent(LEVEL)} intervals; right: best in % of resamples"
    axes.set_title(title, fontsize=9)
    names = [" > ".join(ranked.order) for ranked in shown]
    if len(plan.tasks) > NUMBERED_TASKS:
        names = [f"order {place + 1}" for place in places]
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("objective (nats)" if plan.base is None else "predicted delta_rel, Eq. 14 (nats)")
    axes.grid(axis="x", color="0.9")


def _probability_before(plan: Plan, first: int, second: int) -> float | None:
    return None if plan.confidence is None else float(plan.confidence.pair_before[first, second])


def _draw_precedence_graph(axes: Axes, plan: Plan) -> None:
    """Draw tasks on a line in the chosen order, with an arc per pair: solid if settled, dotted if a coin toss."""
    from matplotlib.patches import FancyArrowPatch

    order = [plan.tasks.index(name) for name in plan.order]
    for start in range(len(order)):
        for end in range(start + 1, len(order)):
            probability = _probability_before(plan, order[start], order[end])
            bend = _bend(end - start)
            axes.add_patch(
                FancyArrowPatch(
                    (0, -start),
                    (0, -end),
                    connectionstyle=f"arc3,rad={bend}",
                    arrowstyle="-|>",
                    mutation_scale=10,
                    shrinkA=13,
                    shrinkB=13,
                    color="black" if probability is None or probability >= SETTLED else "0.4",
                    linestyle=_line(probability),
                )
            )
            if probability is not None:
                # The middle of an arc is off the straight line by half its bend times its length.
                aside = -bend * (end - start) / 2
                axes.text(
                    aside,
                    -(start + end) / 2,
                    _short(probability),
                    fontsize=7,
                    ha="center",
                    va="center",
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
                )
    for place, task in enumerate(order):
        axes.text(
            0,
            -place,
            plan.tasks[task],
            ha="center",
            va="center",
            weight="bold",
            bbox={"boxstyle": "round", "facecolor": "white", "edgecolor": "black"},
        )
    reach = max((abs(_bend(span)) * span / 2 for span in range(2, len(order))), default=0.0)
    axes.set_xlim(-reach - 0.8, reach + 0.8)
    axes.set_ylim(-len(order) + 0.4, 0.6)
    # Arcs bend in display units, labels are placed in data units; both agree at equal scales.
    axes.set_aspect("equal")
    axes.axis("off")
    title = "chosen order, first at the top"
    if plan.confidence is not None:
        title += "\n% of resamples with this sequence; dotted: coin toss"
    axes.set_title(title, fontsize=9)


def _bend(span: int) -> float:
    """Return the bend of an arc over ``span`` places; sides alternate."""
    if span == 1:
        return 0.0
    return (-1 if span % 2 else 1) * (0.35 + 0.06 * span)


def _line(probability: float | None) -> str:
    if probability is None or probability >= SETTLED:
        return "solid"
    return "dashed" if probability >= COIN_TOSS else "dotted"


def _draw_precedence_matrix(axes: Axes, plan: Plan) -> None:
    """Draw the ordering matrix in the chosen order, for many tasks; gains are above the diagonal."""
    order = [plan.tasks.index(name) for name in plan.order]
    matrix = plan.weights[:, None] * plan.bwt
    skew = (matrix - matrix.T)[np.ix_(order, order)]
    limit = float(np.abs(skew).max()) or 1.0
    image = axes.imshow(skew, cmap="PuOr", vmin=-limit, vmax=limit)
    axes.figure.colorbar(image, ax=axes, shrink=0.7, label="gain of this sequence over its reverse")
    axes.set_title("pairs in the chosen order (upper triangle counts)")
    _label_tasks(axes, plan.order)


def _short(probability: float) -> str:
    """Format a probability for a label, ``>99%`` and ``<1%`` at the ends."""
    return cautious_percent(probability).replace("over ", ">").replace("under ", "<")
