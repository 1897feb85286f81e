"""Plausible true accuracies given finite test sets: draws from a posterior.

With item counts alone, accuracies are independent and binomial, with Jeffreys' prior. With outcomes per item, a
Bayesian bootstrap over items keeps the pairing: an item that is hard for one model is hard for the others, which
makes differences between models far more certain than the accuracies themselves.
"""

from __future__ import annotations

import numpy as np

from omnithinker.planning.accuracies import Accuracies, FloatArray


def draw_accuracies(source: Accuracies, count: int, rng: np.random.Generator) -> FloatArray | None:
    """Draw accuracies of all models on all tasks.

    Args:
        source: with ``items`` (used when given) or ``n``.
        count: draws B.
        rng: random numbers.

    Returns:
        [B, K, K + 1] row = evaluated task, first column the base, then the trained tasks; None when neither
        outcomes nor item counts are known, since then nothing can be said.
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
    """[B, models] from [n, models]; NaN outcomes take no part.

    Items with the same outcomes for every model share one weight, whose distribution is again a gamma: a handful of
    patterns stands for thousands of items. One further item of unknown outcome per model, as in Jeffreys' prior, so
    that a model with all items right or wrong is not held to be certain.
    """
    # NaN differs from itself, so it is given a value of its own for finding equal rows.
    patterns, counts = np.unique(np.where(np.isnan(outcomes), -1.0, outcomes), axis=0, return_counts=True)
    defined = (patterns >= 0).astype(np.float64)
    weights = rng.standard_gamma(counts.astype(np.float64), size=(count, len(counts)))
    weights *= len(outcomes) / weights.sum(axis=1, keepdims=True)
    right = weights @ (patterns * defined)
    unknown = rng.beta(0.5, 0.5, size=right.shape)
    return np.asarray((right + unknown) / (weights @ defined + 1.0), dtype=np.float64)
