"""Arithmetic of shares: the number of prompts per task and step, and the prompts themselves."""

from __future__ import annotations

import random
from collections.abc import Mapping

from omnithinker.schedules.base import Batch, Item, task_order


def step_sizes(sizes: Mapping[str, int], *, prompts_per_step: int, epochs: int) -> list[int]:
    """Return the prompts of each step of a run with epochs x (sum of sizes) prompts; the last step may have fewer."""
    whole, rest = divmod(epochs * sum(sizes.values()), prompts_per_step)
    return [prompts_per_step] * whole + [rest] * (rest > 0)


def apportion(
    prompts: int, shares: Mapping[str, float], credit: Mapping[str, float]
) -> tuple[dict[str, int], dict[str, float]]:
    """Divide the prompts of a step among tasks by their shares, and carry the rounding over to the next step.

    Args:
        prompts: prompts of the step.
        shares: share per task, not negative; only ratios count.
        credit: prompts owed to each task after the previous step; the sum is 0.

    Returns:
        Prompts per task, and the credit for the next step. A task is always less than one prompt ahead of its exact
        share of all steps so far.
    """
    total = sum(shares.values())
    owed = {task: credit[task] + prompts * share / total for task, share in shares.items()}
    counts = dict.fromkeys(shares, 0)
    for _ in range(prompts):
        task = max(owed, key=owed.__getitem__)  # the first of equals
        counts[task] += 1
        owed[task] -= 1
    return counts, owed


def next_prompts(
    counts: Mapping[str, int], consumed: Mapping[str, int], sizes: Mapping[str, int], *, seed: int, step: int
) -> Batch:
    """Select the next prompts of every task and mix them.

    Args:
        counts: prompts to select per task.
        consumed: prompts of earlier steps per task.
        sizes: training prompts per task.
        seed: seed of the order within tasks and batches.
        step: step of the batch; changes how it is mixed.
    """
    items = []
    for task, count in counts.items():
        for position in range(consumed[task], consumed[task] + count):
            epoch, place = divmod(position, sizes[task])
            items.append(Item(task, task_order(task, sizes[task], seed, epoch)[place], epoch))
    random.Random(f"mix {seed} {step}").shuffle(items)
    return tuple(items)
