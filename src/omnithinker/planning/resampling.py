"""Posterior samples of true accuracies, given finite test sets.

With item counts only, accuracies are independent and binomial, with Jeffreys' prior. With outcomes per item, a
Bayesian bootstrap over items keeps the pairing: an item that is hard for one model is hard for the others, so
differences between models are more certain than the accuracies.
"""

from __future__ import annotations

import numpy as np

from omnithinker.planning.accuracies import Accuracies, FloatArray


def sample_accuracies(source: Accuracies, count: int, rng: np.random.Generator) -> FloatArray | None:
    """Sample the accuracies of all models on all tasks.

    Args:
        source: accuracies with ``items``, which take precedence, or ``n``.
        count: number of samples B.
        rng: random number generator.

    Returns:
        [B, K, K + 1] rows are evaluated tasks; the first column is the base, the others the trained tasks. None if
        neither outcomes nor item counts are known.
    """
    if source.items is not None:
        return np.stack([_from_items(source.items[task], count, rng) for task in source.tasks], axis=1)
    if source.n is None:
        return None
    accuracy = np.column_stack([source.base, source.after])
    correct = accuracy * source.n[:, None]
    wrong = source.n[:, None] - correct
    return rng.beta(correct + 0.5, wrong + 0.5, size=(count, *accuracy.shape))


def _from_items(outcomes: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    """[B, models] samples from [n, models] outcomes; NaN outcomes are ignored.

    Items with the same outcomes for every model share one weight, which is again gamma-distributed, so a few patterns
    stand for thousands of items. One more item of unknown outcome per model, as in Jeffreys' prior, keeps a model
    whose items are all right or all wrong uncertain.
    """
    # NaN is not equal to itself, so it is replaced to find equal rows.
    patterns, counts = np.unique(np.where(np.isnan(outcomes), -1.0, outcomes), axis=0, return_counts=True)
    defined = (patterns >= 0).astype(np.float64)
    weights = rng.standard_gamma(counts.astype(np.float64), size=(count, len(counts)))
    weights *= len(outcomes) / weights.sum(axis=1, keepdims=True)
    right = weights @ (patterns * defined)
    unknown = rng.beta(0.5, 0.5, size=right.shape)
    return np.asarray((right + unknown) / (weights @ defined + 1.0), dtype=np.float64)
