"""Why this order: the pairs that decide it, and those it had to give up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from omnithinker.planning.plan import Plan

SHOWN_PAIRS = 8
"""Pairs in an explanation, most decisive first."""


@dataclass(frozen=True, slots=True)
class DecidingPair:
    """Two tasks in the sequence of the chosen order."""

    first: str
    """Trained earlier."""
    second: str
    """Trained later."""
    kept: float
    """alpha_first BWT_first,second: what the earlier task gains from the later one (nats)."""
    given_up: float
    """alpha_second BWT_second,first: what the later task would have gained the other way round (nats)."""

    @property
    def margin(self) -> float:
        """What this sequence is worth against its reverse; negative where the order gave this pair up for others."""
        return self.kept - self.given_up


def deciding_pairs(plan: Plan) -> tuple[DecidingPair, ...]:
    """All pairs in the sequence of the chosen order, by falling size of their margin."""
    matrix = plan.weights[:, None] * plan.bwt
    order = [plan.tasks.index(name) for name in plan.order]
    pairs = [
        DecidingPair(plan.tasks[i], plan.tasks[j], float(matrix[i, j]), float(matrix[j, i]))
        for place, i in enumerate(order)
        for j in order[place + 1 :]
    ]
    return tuple(pairs[k] for k in np.argsort([-abs(pair.margin) for pair in pairs], kind="stable"))


def explain(plan: Plan) -> list[str]:
    """Sentences for people: decisive pairs, pairs given up, and the margin to the next order."""
    pairs = deciding_pairs(plan)
    lines = [
        f"objective {plan.best.objective:+.4f} nats = sum over pairs of what the earlier task gains from the later"
    ]
    lines += [_pair_line(pair) for pair in pairs[:SHOWN_PAIRS]]
    if len(pairs) > SHOWN_PAIRS:
        rest = sum(pair.margin for pair in pairs[SHOWN_PAIRS:])
        lines.append(f"{len(pairs) - SHOWN_PAIRS} smaller pairs: {rest:+.4f} nats together")
    lost = [pair for pair in pairs if pair.margin < 0]
    if lost:
        total = -sum(pair.margin for pair in lost)
        lines.append(f"no order can satisfy every pair: {len(lost)} of {len(pairs)} given up, {total:.4f} nats")
    else:
        lines.append("every pair stands in its better sequence, so no order can do better")
    if len(plan.ranking) > 1 and plan.order == plan.ranking[0].order:
        second = plan.ranking[1]
        lines.append(f"next: {' > '.join(second.order)}, {plan.best.objective - second.objective:.4f} nats behind")
    return lines


def _pair_line(pair: DecidingPair) -> str:
    text = (
        f"{pair.first} before {pair.second} ({pair.margin:+.4f}): {_effect(pair.first, pair.kept, pair.second)}; "
        f"the other way round {_effect(pair.second, pair.given_up, pair.first)}"
    )
    return text + ("; given up for the other pairs" if pair.margin < 0 else "")


def _effect(task: str, nats: float, later: str) -> str:
    if nats == 0:
        return f"{task} is not moved by {later}"
    return f"{task} {'gains' if nats > 0 else 'loses'} {abs(nats):.4f} from {later}"
