"""Shares as percentages."""

from __future__ import annotations


def percent(share: float, digits: int = 0) -> str:
    """Format a share: 0.25 becomes ``25%``."""
    return f"{100 * share:.{digits}f}%"


def cautious_percent(probability: float) -> str:
    """Format an estimated probability without rounding to certainty: ``over 99%`` and ``under 1%`` at the ends."""
    if probability >= 0.995:
        return "over 99%"
    return "under 1%" if probability < 0.005 else percent(probability)
