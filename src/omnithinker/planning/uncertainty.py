"""How sure a plan is, given finite test sets: probabilities of orders and pairs, intervals, further items needed.

Test-set noise is all that is counted here. That another training seed would have moved the accuracies is not: that
needs single-task runs with several seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from omnithinker.planning.accuracies import Accuracies, FloatArray
from omnithinker.planning.ordering import Order
from omnithinker.planning.ordering_batch import batch_size, best_orders
from omnithinker.planning.resampling import draw_accuracies
from omnithinker.planning.terminal_accuracy import IntArray, is_before
from omnithinker.planning.transfer import accuracy_floor, backward_transfer

LEVEL = 0.9
"""Mass of every interval, between equal tails."""

SETTLED = 0.95
"""A pair whose more probable sequence reaches this is called settled."""

COIN_TOSS = 0.75
"""Below this a pair is called a coin toss; between the two it leans."""

HOPELESS_ITEMS = 1_000_000
"""Needing more further test items than this, a pair is called equal."""

INTERVAL_ORDERS = 100
"""Orders of a ranking that get intervals."""

INTERVAL_VALUES = 1 << 21
"""Predictions drawn per task to read intervals from, over all orders: bounds time and memory."""


@dataclass(frozen=True, slots=True)
class OrderUncertainty:
    """What resampling says of one order."""

    probability: float
    """Share of resamples in which this order is the best."""
    predicted: FloatArray
    """[K, 2] interval of each predicted accuracy."""
    delta_rel: tuple[float, float]
    """Interval of Eq. 14 (nats)."""


@dataclass(frozen=True, slots=True)
class PairUncertainty:
    """What resampling says of two tasks, the more probable one to come first named first."""

    first: str
    second: str
    probability: float
    """Share of resamples whose best order has ``first`` before ``second``; at least 0.5."""
    verdict: Literal["settled", "leans", "coin toss"]
    more_items: int | None
    """Further test items, both tasks together, after which about 95 % would be expected; 0 when settled, None when
    no realistic number would do."""


@dataclass(frozen=True, slots=True)
class Confidence:
    """Resampling's view of a whole plan."""

    resamples: int
    """Draws B."""
    basis: Literal["items", "counts"]
    """Paired outcomes per item, or accuracies with item counts."""
    orders: tuple[tuple[Order, float], ...]
    """Orders that were best in some resample, with their probability, most probable first (at most 100)."""
    pair_before: FloatArray
    """[K, K] probability that task i (row) should precede task j (column); 0 on the diagonal."""
    pairs: tuple[PairUncertainty, ...]
    """All K (K - 1) / 2 pairs, least certain first."""
    best: OrderUncertainty
    """The chosen order."""
    ranking: tuple[OrderUncertainty, ...]
    """The first 100 orders of the plan's ranking."""


def estimate_confidence(
    source: Accuracies,
    weights: FloatArray,
    chosen: Order,
    ranking: Sequence[Order],
    *,
    resamples: int,
    seed: int,
) -> Confidence | None:
    """Resample the accuracies, solve each draw, and count.

    Args:
        source: accuracies with ``items`` or ``n``.
        weights: [K] alpha.
        chosen: the plan's order.
        ranking: orders to give intervals for, best first.
        resamples: draws wanted; fewer are made where one draw is expensive (K above 8).
        seed: of the draws.

    Returns:
        None when the input says nothing about the number of test items.
    """
    rng = np.random.default_rng(seed)
    size = len(source.tasks)
    drawn = draw_accuracies(source, batch_size(size, resamples), rng)
    if drawn is None:
        return None
    floor = accuracy_floor(source.n, size)
    drawn = np.maximum(drawn, floor[:, None])
    bwt = backward_transfer(drawn[:, :, 0], drawn[:, :, 1:], floor)
    matrices = weights[:, None] * bwt
    # Accuracies at the floor tie; a vanishing noise lets either side win as often.
    matrices = matrices + rng.normal(scale=1e-12, size=matrices.shape)
    winners = best_orders(matrices, chosen)
    before = is_before(winners).mean(axis=0)
    probabilities = _shares(winners)
    listed = _uncertainties([chosen, *ranking[:INTERVAL_ORDERS]], drawn, bwt, probabilities)
    return Confidence(
        resamples=len(drawn),
        basis="items" if source.items is not None else "counts",
        orders=tuple(sorted(probabilities.items(), key=lambda entry: (-entry[1], entry[0]))[:INTERVAL_ORDERS]),
        pair_before=before,
        pairs=_pairs(source, before, len(drawn)),
        best=listed[0],
        ranking=tuple(listed[1:]),
    )


def _shares(winners: IntArray) -> dict[Order, float]:
    orders, counts = np.unique(winners, axis=0, return_counts=True)
    return {
        tuple(int(k) for k in order): float(count) / len(winners) for order, count in zip(orders, counts, strict=True)
    }


def _uncertainties(
    orders: Sequence[Order], drawn: FloatArray, bwt: FloatArray, probabilities: dict[Order, float]
) -> list[OrderUncertainty]:
    """Intervals of predictions; with many orders a part of the draws is enough."""
    kept = max(500, INTERVAL_VALUES // (len(orders) * drawn.shape[1]))
    drawn, bwt = drawn[:kept], bwt[:kept]
    log_base = np.log(drawn[:, :, 0])
    log_self = np.log(np.diagonal(drawn[:, :, 1:], axis1=1, axis2=2))
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    found = []
    for order, before in zip(orders, is_before(np.array(orders, dtype=np.int64)), strict=True):
        logs = log_self + np.einsum("bij,ij->bi", bwt, before.astype(np.float64))
        low, high = np.quantile((logs - log_base).mean(axis=1), tails)
        found.append(
            OrderUncertainty(
                probabilities.get(order, 0.0),
                np.exp(np.quantile(logs, tails, axis=0)).T,
                (float(low), float(high)),
            )
        )
    return found


def _pairs(source: Accuracies, before: FloatArray, draws: int) -> tuple[PairUncertainty, ...]:
    counts = source.n if source.n is not None else np.zeros(len(source.tasks), dtype=np.int64)
    found = []
    for i in range(len(source.tasks)):
        for j in range(i + 1, len(source.tasks)):
            first, second = (i, j) if before[i, j] >= 0.5 else (j, i)
            probability = float(before[first, second])
            found.append(
                PairUncertainty(
                    source.tasks[first],
                    source.tasks[second],
                    probability,
                    "settled" if probability >= SETTLED else "leans" if probability >= COIN_TOSS else "coin toss",
                    further_items(probability, int(counts[i] + counts[j]), draws),
                )
            )
    return tuple(sorted(found, key=lambda pair: pair.probability))


def further_items(probability: float, items: int, draws: int) -> int | None:
    """Test items to add so that a pair would be expected to reach 95 %.

    If a difference is z standard errors (probability = Phi(z)), f times as many items make it z sqrt(f): so
    f = (1.645 / z)^2, if the difference now seen is the true one. An order of magnitude, no more.

    Args:
        probability: of the more probable sequence, in [0.5, 1].
        items: test items of the two tasks together.
        draws: resamples behind the probability.

    Returns:
        A number with two significant digits, 0 when settled, or None when even a million would not do or the
        probability cannot be told from one half.
    """
    if probability >= SETTLED:
        return 0
    # Within two standard errors of one half, resampling itself cannot tell the two apart.
    if probability - 0.5 <= 1.0 / draws**0.5:
        return None
    z = NormalDist().inv_cdf(probability)
    more = items * ((NormalDist().inv_cdf(SETTLED) / z) ** 2 - 1.0)
    return None if more > HOPELESS_ITEMS else int(float(f"{more:.1e}")) or 1


def confidence_sentence(confidence: Confidence, tasks: Sequence[str], chosen: Order) -> str:
    """One honest sentence: how often the order leads, what is settled, what is a coin toss, what would settle it."""
    parts = [
        f"{' > '.join(tasks[k] for k in chosen)} leads in {_percent(confidence.best.probability)} of "
        f"{confidence.resamples:,} resamples"
    ]
    top, share = confidence.orders[0]
    if top != chosen and share > confidence.best.probability:
        parts.append(f"{' > '.join(tasks[k] for k in top)} in {_percent(share)}")
    parts += _settled_parts(confidence.pairs)
    open_pairs = [pair for pair in confidence.pairs if pair.verdict != "settled"]
    parts += [_open_part(pair) for pair in open_pairs[:3]]
    if len(open_pairs) > 3:
        parts.append(f"{len(open_pairs) - 3} more pairs are open")
    return "; ".join(parts) + " (test-set noise only: other training seeds are not counted)"


def _settled_parts(pairs: Sequence[PairUncertainty]) -> list[str]:
    settled = [pair for pair in pairs if pair.verdict == "settled"]
    if not settled:
        return ["no pair is settled"]
    if len(settled) == len(pairs):
        return [f"every pair is settled, the least certain ({_name(pairs[0])}) in {_percent(pairs[0].probability)}"]
    if len(settled) <= 2:
        return [f"{_name(pair)} in {_percent(pair.probability)}" for pair in reversed(settled)]
    return [
        f"{len(settled)} of {len(pairs)} pairs are settled, as {_name(settled[-1])} in "
        f"{_percent(settled[-1].probability)}"
    ]


def _name(pair: PairUncertainty) -> str:
    return f"{pair.first} before {pair.second}"


def _open_part(pair: PairUncertainty) -> str:
    if pair.verdict == "leans":
        part = f"{_name(pair)} only leans ({_percent(pair.probability)})"
    else:
        part = f"{pair.first} against {pair.second} is a coin toss ({_percent(pair.probability)})"
    if pair.more_items is None:
        return part + ": treat them as equal"
    return part + f": about {pair.more_items:,} more test items would settle it"


def _percent(share: float) -> str:
    """Never 100 % where a doubt remains, never 0 % where a chance does."""
    if share >= 0.995:
        return "over 99 %"
    if share < 0.005:
        return "under 1 %"
    return f"{share:.0%}".replace("%", " %")
