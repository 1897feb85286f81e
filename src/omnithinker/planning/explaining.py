"""Explanation of an order: the pairs of tasks that decide it, and the pairs it violates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from omnithinker.planning.plan import Plan

SHOWN_PAIRS = 8
"""Number of pairs in an explanation."""


@dataclass(frozen=True, slots=True)
class DecidingPair:
    """Two tasks in the chosen order."""

    first: str
    """Task trained earlier."""
    second: str
    """Task trained later."""
    kept: float
    """alpha_first BWT_first,second, the gain of the earlier task from the later one (nats)."""
    given_up: float
    """alpha_second BWT_second,first, the gain of the later task in the reverse sequence (nats)."""

    @property
    def margin(self) -> float:
        """Advantage of this sequence over its reverse (nats); negative if the order violates the pair."""
        return self.kept - self.given_up


def deciding_pairs(plan: Plan) -> tuple[DecidingPair, ...]:
    """Return all pairs in the chosen order, by falling absolute margin."""
    matrix = plan.weights[:, None] * plan.bwt
    order = [plan.tasks.index(name) for name in plan.order]
    pairs = [
        DecidingPair(plan.tasks[i], plan.tasks[j], float(matrix[i, j]), float(matrix[j, i]))
        for place, i in enumerate(order)
        for j in order[place + 1 :]
    ]
    return tuple(pairs[k] for k in np.argsort([-abs(pair.margin) for pair in pairs], kind="stable"))


def explain(plan: Plan) -> list[str]:
    """Describe the deciding pairs, the violated pairs and the margin to the next order."""
    pairs = deciding_pairs(plan)
    lines = [
        f"objective {plan.best.objective:+.4f} nats: sum over pairs of the gain of the earlier task from the later"
    ]
    lines += [_pair_line(pair) for pair in pairs[:SHOWN_PAIRS]]
    if len(pairs) > SHOWN_PAIRS:
        rest = sum(pair.margin for pair in pairs[SHOWN_PAIRS:])
        lines.append(f"{len(pairs) - SHOWN_PAIRS} other pairs: {rest:+.4f} nats in total")
    lost = [pair for pair in pairs if pair.margin < 0]
    if lost:
        total = -sum(pair.margin for pair in lost)
        lines.append(f"the order violates {len(lost)} of {len(pairs)} pairs ({total:.4f} nats); no order satisfies all")
    else:
        lines.append("every pair is in its better sequence, so no order is better")
    if len(plan.ranking) > 1 and plan.order == plan.ranking[0].order:
        second = plan.ranking[1]
        lines.append(f"next best: {' > '.join(second.order)}, {plan.best.objective - second.objective:.4f} nats worse")
    return lines


def _pair_line(pair: DecidingPair) -> str:
    text = (
        f"{pair.first} before {pair.second} ({pair.margin:+.4f}): {_effect(pair.first, pair.kept, pair.second)}; "
        f"in reverse, {_effect(pair.second, pair.given_up, pair.first)}"
    )
    return text + ("; violated in favour of other pairs" if pair.margin < 0 else "")


def _effect(task: str, nats: float, later: str) -> str:
    if nats == 0:
        return f"{task} is not affected by {later}"
    return f"{task} {'gains' if nats > 0 else 'loses'} {abs(nats):.4f} from {later}"
