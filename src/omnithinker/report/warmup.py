"""The warm-up of a study: loss curves, and a table of first and last losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from omnithinker.io.sft_metrics import SftMetrics
from omnithinker.report.plots import COLOURS, GREY, Key, svg_plot
from omnithinker.report.records import Study
from omnithinker.report.tables import MISSING, Cell, Table, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def legend(updates: Sequence[SftMetrics]) -> list[Key]:
    """Return the legend of :func:`loss_plot`."""
    keys = [Key("—", COLOURS[0], "training, each batch before its update")]
    if any(each.val_loss is not None for each in updates):
        keys.append(Key("●", COLOURS[1], "validation"))
    return keys


def loss_plot(updates: Sequence[SftMetrics]) -> str:
    """Plot the training and validation loss of a warm-up."""

    def paint(axes: Axes) -> None:
        trained = [(each.step, each.loss) for each in updates if each.loss is not None]
        validated = [(each.step, each.val_loss) for each in updates if each.val_loss is not None]
        if trained:
            axes.plot(*zip(*trained, strict=True), color=COLOURS[0], linewidth=1.2)
        if validated:
            axes.plot(*zip(*validated, strict=True), color=COLOURS[1], linewidth=1.2, marker="o", markersize=4)
        axes.set_xlabel("update")
        axes.set_ylabel("nats per completion token")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", color="#e6ebef", linewidth=0.8)
        axes.tick_params(colors=GREY)

    return svg_plot(paint, (4.2, 2.6), "Loss of the warm-up")


def warmup_table(study: Study) -> Table | None:
    """One row per task with the losses of its first and its last batch, and of its validations."""
    updates = study.warmup
    if not updates:
        return None
    tasks = [task for task in study.tasks if any(task in each.tasks for each in updates)]
    rows = []
    for task in tasks:
        of_task = [each.tasks[task] for each in updates if task in each.tasks]
        losses = [each.loss for each in of_task if each.loss is not None]
        validated = [each.val_loss for each in of_task if each.val_loss is not None]
        rows.append(
            (
                Cell(task),
                Cell(str(sum(each.examples for each in of_task))),
                Cell(f"{sum(each.tokens for each in of_task):,}"),
                *_ends(losses),
                *_ends(validated),
            )
        )
    return Table(
        "Warm-up",
        f"Supervised fine-tuning on demonstrations, {updates[-1].step} updates; all runs start from its result. Loss "
        "in nats per completion token, of the task's first and last batch and validation.",
        ("task", "demonstrations", "tokens", "first loss", "last loss", "first validation", "last validation"),
        tuple(rows),
    )


def _ends(values: Sequence[float]) -> tuple[Cell, Cell]:
    return (Cell(number(values[0])), Cell(number(values[-1]))) if values else (MISSING, MISSING)
