"""Plans as JSON (``plan_to_json``) and for a rich console (``plan_to_renderable``)."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from omnithinker.planning.cost import cost_sentence
from omnithinker.planning.percent import percent
from omnithinker.planning.plan import Plan, RankedOrder
from omnithinker.planning.probing import ProbeReport, probe_sentence
from omnithinker.planning.uncertainty import LEVEL, Confidence, OrderUncertainty, confidence_sentence

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

SHOWN_ORDERS = 10
"""Orders in the printed table; the JSON has all."""
PREDICTION_WIDTH, OTHER_WIDTH = 13, 33
"""Width of a predicted accuracy in that table, and of rank, objective, probability and borders, characters."""


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """Return the output of ``omnithinker plan --json``: lists, numbers, strings and None."""
    confidence = plan.confidence
    best = _ranked_to_json(plan, plan.best, confidence.best if confidence else None)
    listed: list[OrderUncertainty | None] = list(confidence.ranking) if confidence else []
    listed += [None] * (len(plan.ranking) - len(listed))
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
        "ranking": [_ranked_to_json(plan, *pair) for pair in zip(plan.ranking, listed, strict=True)],
        "worst_ranking": [_ranked_to_json(plan, ranked, None) for ranked in plan.worst_ranking],
        "greedy": list(plan.greedy),
        "forgettability": list(plan.forgettability),
        "worst": list(plan.worst),
        "confidence": None if confidence is None else _confidence_to_json(plan, confidence),
        "probes": None if plan.probes is None else _probes_to_json(plan.probes),
        "cost": asdict(plan.cost),
        "warnings": list(plan.warnings),
    }


def _by_task(plan: Plan, values: list[Any]) -> dict[str, Any]:
    return dict(zip(plan.tasks, values, strict=True))


def _ranked_to_json(plan: Plan, ranked: RankedOrder, uncertainty: OrderUncertainty | None) -> dict[str, Any]:
    record: dict[str, Any] = {
        "order": list(ranked.order),
        "predicted": None if ranked.predicted is None else _by_task(plan, ranked.predicted.tolist()),
        "delta_rel": ranked.delta_rel,
        "objective": ranked.objective,
    }
    if uncertainty is not None:
        record["probability"] = uncertainty.probability
        record["predicted_interval"] = _by_task(plan, uncertainty.predicted.tolist())
        record["delta_rel_interval"] = list(uncertainty.delta_rel)
    return record


def _confidence_to_json(plan: Plan, confidence: Confidence) -> dict[str, Any]:
    return {
        "order": confidence.best.probability,
        "pair_before": confidence.pair_before.tolist(),
        "sentence": _sentence(plan, confidence),
        "resamples": confidence.resamples,
        "basis": confidence.basis,
        "interval": LEVEL,
        "predicted_interval": _by_task(plan, confidence.best.predicted.tolist()),
        "delta_rel_interval": list(confidence.best.delta_rel),
        "orders": [
            {"order": [plan.tasks[k] for k in order], "probability": share} for order, share in confidence.orders
        ],
        "pairs": [asdict(pair) for pair in confidence.pairs],
    }


def _sentence(plan: Plan, confidence: Confidence) -> str:
    return confidence_sentence(confidence, plan.tasks, tuple(plan.tasks.index(name) for name in plan.order))


def _probes_to_json(report: ProbeReport) -> dict[str, Any]:
    return asdict(report) | {"sentence": probe_sentence(report)}


def plan_to_renderable(plan: Plan, *, width: int = 120) -> RenderableType:
    """Return tables and sentences for ``rich.console.Console.print``, in a console of ``width`` characters."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    if len(plan.tasks) <= SHOWN_ORDERS:
        parts.append(_transfer_table(plan))
    parts.append(_ranking_table(plan, width))
    if plan.base is not None:
        parts.append(_prediction_table(plan))
    parts += [Text("order: " + " > ".join(plan.order), style="bold"), Text(_claim(plan))]
    if plan.confidence is not None:
        parts.append(Text("confidence: " + _sentence(plan, plan.confidence)))
    elif plan.base is not None:
        parts.append(Text("confidence: unknown; add the numbers of test items (n) to the input"))
    if plan.probes is not None:
        parts.append(Text("probes: " + probe_sentence(plan.probes)))
    parts.append(Text(cost_sentence(plan.cost)))
    parts += [Text(f"warning: {warning}", style="yellow") for warning in plan.warnings]
    return Group(*parts)


def _claim(plan: Plan) -> str:
    if plan.optimal:
        return f"method: {plan.method}, proven optimal for this matrix"
    gap = f"at most {percent(plan.gap, 2)} below the optimum (bound {plan.bound:.4f})"
    return f"method: {plan.method}, not proven optimal: {gap}"


def _transfer_table(plan: Plan) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="transfer (nats): rows evaluated, columns trained")
    table.add_column("evaluated", style="bold")
    for task in plan.tasks:
        table.add_column(Text(task), justify="right")
    for task, row in zip(plan.tasks, plan.bwt, strict=True):
        table.add_row(Text(task), *(f"{value:+.3f}" for value in row))
    return table


def _ranking_table(plan: Plan, width: int) -> Table:
    """Best orders; without the predicted accuracies if they would not leave room for the orders."""
    from rich.table import Table
    from rich.text import Text

    shown = plan.ranking[:SHOWN_ORDERS]
    uncertainties = plan.confidence.ranking if plan.confidence else ()
    predictions = len(plan.tasks) if plan.base is not None and len(plan.tasks) <= SHOWN_ORDERS else 0
    order_width = max(len(" > ".join(ranked.order)) for ranked in shown)
    if width < order_width + PREDICTION_WIDTH * predictions + OTHER_WIDTH:
        predictions = 0
    table = Table(
        title=f"best {len(shown)} of {len(plan.ranking)} listed orders" + "; predicted accuracies" * bool(predictions)
    )
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("order", style="bold", overflow="fold", min_width=max(map(len, plan.tasks)) + 2)
    headings = [
        *plan.tasks[:predictions],
        "objective" if plan.base is None else "delta_rel",
        *["best in"] * bool(uncertainties),
    ]
    for heading in headings:
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for place, ranked in enumerate(shown):
        cells = [_accuracy(float(value)) for value in (ranked.predicted if ranked.predicted is not None else ())]
        row = [*cells[:predictions], f"{ranked.objective if ranked.delta_rel is None else ranked.delta_rel:+.4f}"]
        if uncertainties:
            row.append(percent(uncertainties[place].probability, 1))
        table.add_row(str(place + 1), Text(" > ".join(ranked.order)), *row)
    return table


def _prediction_table(plan: Plan) -> Table:
    """Accuracies per task of the chosen order: base, after the single-task run, predicted at the end."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="accuracy: base, after single-task training, predicted after the chosen order")
    for heading in ("task", "base", "single-task", "predicted"):
        table.add_column(Text(heading), justify="left" if heading == "task" else "right")
    if plan.confidence is not None:
        table.add_column(f"{percent(LEVEL)} interval", justify="right")
    columns = (plan.base, plan.self_accuracy, plan.best.predicted)
    for name in plan.order:
        k = plan.tasks.index(name)
        cells = [_accuracy(float(values[k])) for values in columns if values is not None]
        if plan.confidence is not None:
            low, high = plan.confidence.best.predicted[k]
            cells.append(f"{low:.3f} to {high:.3f}")
        table.add_row(Text(name), *cells)
    return table


def _accuracy(value: float) -> str:
    return f"{value:.3f}" + (" > 1!" if value > 1 else "")
