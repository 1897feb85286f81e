"""A plan for programs (``plan_to_json``) and for people (``plan_to_renderable``, for a rich console)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from omnithinker.planning.plan import Plan, RankedOrder

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

SHOWN_ORDERS = 10
"""Orders in the table for people; all of them are in the JSON."""


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The JSON contract of ``omnithinker plan --json``: plain lists, numbers, strings and None."""
    best = _ranked_to_json(plan, plan.best)
    return {
        "tasks": list(plan.tasks),
        "bwt": plan.bwt.tolist(),
        "self_accuracy": None if plan.self_accuracy is None else _by_task(plan, plan.self_accuracy.tolist()),
        "order": list(plan.order),
        "method": plan.method,
        "optimal": plan.optimal,
        "objective": plan.best.objective,
        "bound": plan.bound,
        "gap": plan.gap,
        "weights": _by_task(plan, plan.weights.tolist()),
        "predicted": best["predicted"],
        "delta_rel": best["delta_rel"],
        "ranking": [_ranked_to_json(plan, ranked) for ranked in plan.ranking],
        "greedy": list(plan.greedy),
        "forgettability": list(plan.forgettability),
        "worst": list(plan.worst),
        "confidence": None,
        "warnings": list(plan.warnings),
    }


def _by_task(plan: Plan, values: list[float]) -> dict[str, float]:
    return dict(zip(plan.tasks, values, strict=True))


def _ranked_to_json(plan: Plan, ranked: RankedOrder) -> dict[str, Any]:
    return {
        "order": list(ranked.order),
        "predicted": None if ranked.predicted is None else _by_task(plan, ranked.predicted.tolist()),
        "delta_rel": ranked.delta_rel,
        "objective": ranked.objective,
    }


def plan_to_renderable(plan: Plan) -> RenderableType:
    """Tables and sentences for ``rich.console.Console.print``."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    if len(plan.tasks) <= SHOWN_ORDERS:
        parts.append(_transfer_table(plan))
    parts.append(_ranking_table(plan))
    parts.append(Text("order: " + " > ".join(plan.order) + f"   ({_claim(plan)})", style="bold"))
    parts += [Text(f"warning: {warning}", style="yellow") for warning in plan.warnings]
    return Group(*parts)


def _claim(plan: Plan) -> str:
    if plan.optimal:
        return f"proven optimal, {plan.method}"
    if plan.gap is not None:
        return f"{plan.method}; at most {plan.gap:.2%} below the best possible"
    return f"{plan.method}; not proven"


def _transfer_table(plan: Plan) -> Table:
    from rich.table import Table

    table = Table(title="transfer (nats): row = evaluated, column = trained")
    table.add_column("evaluated", style="bold")
    for task in plan.tasks:
        table.add_column(task, justify="right")
    for task, row in zip(plan.tasks, plan.bwt, strict=True):
        table.add_row(task, *(f"{value:+.3f}" for value in row))
    return table


def _ranking_table(plan: Plan) -> Table:
    from rich.table import Table

    shown = list(enumerate(plan.ranking, 1))[:SHOWN_ORDERS]
    table = Table(title=f"orders, best {len(shown)} of {len(plan.ranking)} listed; predicted accuracies")
    table.add_column("#", justify="right")
    table.add_column("order", style="bold")
    predicted = plan.best.predicted is not None
    for heading in (*(plan.tasks if predicted else ()), *(("delta_rel",) if predicted else ()), "objective"):
        table.add_column(heading, justify="right")
    for number, ranked in shown:
        cells = [] if ranked.predicted is None else [_accuracy(value) for value in ranked.predicted]
        cells += [] if ranked.delta_rel is None else [f"{ranked.delta_rel:+.4f}"]
        table.add_row(str(number), " > ".join(ranked.order), *cells, f"{ranked.objective:+.4f}")
    return table


def _accuracy(value: float) -> str:
    return f"{value:.3f}" + (" (>1)" if value > 1 else "")
