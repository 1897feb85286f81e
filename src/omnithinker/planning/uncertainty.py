"""Confidence of a plan under finite test sets: probabilities of orders and pairs, intervals, further items needed.

Only test-set noise is included. The variation between training seeds is not: estimating it needs single-task runs
with several seeds.
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
from omnithinker.planning.percent import cautious_percent
from omnithinker.planning.resampling import sample_accuracies
from omnithinker.planning.terminal_accuracy import IntArray, is_before
from omnithinker.planning.transfer import accuracy_floor, backward_transfer

LEVEL = 0.9
"""Probability mass of every interval, with equal tails."""

SETTLED = 0.95
"""Probability from which a pair is settled."""

COIN_TOSS = 0.75
"""Probability below which a pair is a coin toss; between the two it leans."""

HOPELESS_ITEMS = 1_000_000
"""Number of further test items above which a pair counts as equal."""

INTERVAL_ORDERS = 100
"""Orders of a ranking that have intervals."""

INTERVAL_VALUES = 1 << 21
"""Predictions per task, over all orders, from which intervals are estimated; limits time and memory."""


@dataclass(frozen=True, slots=True)
class OrderUncertainty:
    """Uncertainty of one order."""

    probability: float
    """Share of resamples in which the order is the best."""
    predicted: FloatArray
    """[K, 2] intervals of the predicted accuracies."""
    delta_rel: tuple[float, float]
    """Interval of Eq. 14 (nats)."""


@dataclass(frozen=True, slots=True)
class PairUncertainty:
    """Uncertainty of the sequence of two tasks."""

    first: str
    """Task that comes first in at least half of the resamples."""
    second: str
    """The other task."""
    probability: float
    """Share of resamples whose best order has ``first`` before ``second``; at least 0.5."""
    verdict: Literal["settled", "leans", "coin toss"]
    """Classification of the probability."""
    more_items: int | None
    """Further test items, both tasks together, for an expected probability of 95%; 0 if settled, None if no realistic
    number suffices."""


@dataclass(frozen=True, slots=True)
class Confidence:
    """Uncertainty of a plan, estimated by resampling."""

    resamples: int
    """Number of resamples B."""
    basis: Literal["items", "counts"]
    """Source of the resamples: paired outcomes per item, or accuracies with item counts."""
    orders: tuple[tuple[Order, float], ...]
    """Orders that are best in some resample, with their probability, most probable first (at most 100)."""
    pair_before: FloatArray
    """[K, K] probability that task i (row) precedes task j (column) in the best order; 0 on the diagonal."""
    pairs: tuple[PairUncertainty, ...]
    """All K (K - 1) / 2 pairs, least certain first."""
    best: OrderUncertainty
    """Uncertainty of the chosen order."""
    ranking: tuple[OrderUncertainty, ...]
    """Uncertainty of the first 100 orders of the plan's ranking."""


def estimate_confidence(
    source: Accuracies,
    weights: FloatArray,
    chosen: Order,
    ranking: Sequence[Order],
    *,
    resamples: int,
    seed: int,
) -> Confidence | None:
    """Resample the accuracies and solve every resample.

    Args:
        source: accuracies with ``items`` or ``n``.
        weights: [K] alpha.
        chosen: the plan's order.
        ranking: orders that get intervals, best first.
        resamples: number of resamples; fewer are made if one is expensive (K above 8).
        seed: seed of the resamples.

    Returns:
        None if the number of test items is unknown.
    """
    rng = np.random.default_rng(seed)
    size = len(source.tasks)
    samples = sample_accuracies(source, batch_size(size, resamples), rng)
    if samples is None:
        return None
    floor = accuracy_floor(source.n, size)
    samples = np.maximum(samples, floor[:, None])
    bwt = backward_transfer(samples[:, :, 0], samples[:, :, 1:], floor)
    matrices = weights[:, None] * bwt
    # Accuracies at the floor tie; negligible noise breaks the ties evenly.
    matrices = matrices + rng.normal(scale=1e-12, size=matrices.shape)
    winners = best_orders(matrices, chosen)
    before = is_before(winners).mean(axis=0)
    probabilities = _shares(winners)
    uncertainties = _uncertainties([chosen, *ranking[:INTERVAL_ORDERS]], samples, bwt, probabilities)
    return Confidence(
        resamples=len(samples),
        basis="items" if source.items is not None else "counts",
        orders=tuple(sorted(probabilities.items(), key=lambda entry: (-entry[1], entry[0]))[:INTERVAL_ORDERS]),
        pair_before=before,
        pairs=_pairs(source, before, len(samples)),
        best=uncertainties[0],
        ranking=tuple(uncertainties[1:]),
    )


def _shares(winners: IntArray) -> dict[Order, float]:
    orders, counts = np.unique(winners, axis=0, return_counts=True)
    return {
        tuple(int(k) for k in order): float(count) / len(winners) for order, count in zip(orders, counts, strict=True)
    }


def _uncertainties(
    orders: Sequence[Order], samples: FloatArray, bwt: FloatArray, probabilities: dict[Order, float]
) -> list[OrderUncertainty]:
    """Estimate intervals of predictions, with many orders from a part of the samples."""
    kept = max(500, INTERVAL_VALUES // (len(orders) * samples.shape[1]))
    samples, bwt = samples[:kept], bwt[:kept]
    log_base = np.log(samples[:, :, 0])
    log_self = np.log(np.diagonal(samples[:, :, 1:], axis1=1, axis2=2))
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    uncertainties = []
    for order, before in zip(orders, is_before(np.array(orders, dtype=np.int64)), strict=True):
        logs = log_self + np.einsum("bij,ij->bi", bwt, before.astype(np.float64))
        low, high = np.quantile((logs - log_base).mean(axis=1), tails)
        uncertainties.append(
            OrderUncertainty(
                probabilities.get(order, 0.0),
                np.exp(np.quantile(logs, tails, axis=0)).T,
                (float(low), float(high)),
            )
        )
    return uncertainties


def _pairs(source: Accuracies, before: FloatArray, resamples: int) -> tuple[PairUncertainty, ...]:
    counts = source.n if source.n is not None else np.zeros(len(source.tasks), dtype=np.int64)
    pairs = []
    for i in range(len(source.tasks)):
        for j in range(i + 1, len(source.tasks)):
            first, second = (i, j) if before[i, j] >= 0.5 else (j, i)
            probability = float(before[first, second])
            pairs.append(
                PairUncertainty(
                    source.tasks[first],
                    source.tasks[second],
                    probability,
                    "settled" if probability >= SETTLED else "leans" if probability >= COIN_TOSS else "coin toss",
                    further_items(probability, int(counts[i] + counts[j]), resamples),
                )
            )
    return tuple(sorted(pairs, key=lambda pair: pair.probability))


def further_items(probability: float, items: int, resamples: int) -> int | None:
    """Estimate the number of further test items for an expected probability of 95%.

    A difference of z standard errors (probability = Phi(z)) becomes z sqrt(f) with f times as many items, so
    f = (1.645 / z)^2 if the observed difference is the true one. The result is an order of magnitude.

    Args:
        probability: probability of the more probable sequence, in [0.5, 1].
        items: test items of the two tasks together.
        resamples: resamples behind the probability.

    Returns:
        A number with two significant digits; 0 if settled; None if a million items do not suffice or the probability
        does not differ significantly from one half.
    """
    if probability >= SETTLED:
        return 0
    # Two standard errors of the resampling itself.
    if probability - 0.5 <= 1.0 / resamples**0.5:
        return None
    z = NormalDist().inv_cdf(probability)
    more = items * ((NormalDist().inv_cdf(SETTLED) / z) ** 2 - 1.0)
    return None if more > HOPELESS_ITEMS else int(float(f"{more:.1e}")) or 1


def confidence_sentence(confidence: Confidence, tasks: Sequence[str], chosen: Order) -> str:
    """Describe how often the order is best, which pairs are settled, and what would settle the others."""
    parts = [
        f"{' > '.join(tasks[k] for k in chosen)} is best in {cautious_percent(confidence.best.probability)} of "
        f"{confidence.resamples:,} resamples"
    ]
    top, share = confidence.orders[0]
    if top != chosen and share > confidence.best.probability:
        parts.append(f"{' > '.join(tasks[k] for k in top)} in {cautious_percent(share)}")
    parts += _settled_parts(confidence.pairs)
    unsettled = [pair for pair in confidence.pairs if pair.verdict != "settled"]
    parts += [_unsettled_part(pair) for pair in unsettled[:3]]
    if len(unsettled) > 3:
        parts.append(f"{len(unsettled) - 3} more pairs are not settled")
    return "; ".join(parts) + " (test-set noise only, without the variation between training seeds)"


def _settled_parts(pairs: Sequence[PairUncertainty]) -> list[str]:
    settled = [pair for pair in pairs if pair.verdict == "settled"]
    if not settled:
        return ["no pair is settled"]
    if len(settled) == len(pairs):
        return [
            f"every pair is settled, the least certain ({_name(pairs[0])}) in {cautious_percent(pairs[0].probability)}"
        ]
    if len(settled) <= 2:
        return [f"{_name(pair)} in {cautious_percent(pair.probability)}" for pair in reversed(settled)]
    return [
        f"{len(settled)} of {len(pairs)} pairs are settled, such as {_name(settled[-1])} in "
        f"{cautious_percent(settled[-1].probability)}"
    ]


def _name(pair: PairUncertainty) -> str:
    return f"{pair.first} before {pair.second}"


def _unsettled_part(pair: PairUncertainty) -> str:
    if pair.verdict == "leans":
        part = f"{_name(pair)} only leans ({cautious_percent(pair.probability)})"
    else:
        part = f"{pair.first} against {pair.second} is a coin toss ({cautious_percent(pair.probability)})"
    if pair.more_items is None:
        return part + ": treat the two as equal"
    return part + f": about {pair.more_items:,} more test items are needed"
