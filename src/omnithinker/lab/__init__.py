"""The lab: a tiny base model and four miniature domains for experiments that take minutes. Needs no torch.

Rows are generated from a seed and split by a hash of the prompt, so no held-out item occurs in a training split or in
the pre-training text.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from omnithinker.errors import DataError
from omnithinker.lab import arithmetic, functions, questions, stories
from omnithinker.lab.items import Item, ItemSampler, sample_item

DOMAINS = ("math", "code", "qa", "writing")
"""Names of the domains."""
KINDS: dict[str, dict[str, ItemSampler]] = {
    "math": arithmetic.KINDS,
    "code": functions.KINDS,
    "qa": questions.KINDS,
    "writing": stories.KINDS,
}
"""Domain -> kind of item -> its sampler."""
MODEL_PATH = Path(__file__).parent / "model"
"""Folder of the built-in base model, in Hugging Face format."""
MAX_REPEATS = 200
"""Number of duplicate prompts in a row after which a split counts as exhausted."""


def generate_rows(domain: str, split: str, n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Generate data rows of a domain, with kinds of items in rotation and distinct prompts.

    Fields: ``prompt``, ``kind``, and by domain ``answer`` (math), ``tests`` and ``solution`` (code), ``answer`` and
    ``options`` (qa), ``reference`` and ``rubric`` (writing). A larger ``n`` extends the rows of a smaller one.

    Args:
        domain: one of :data:`DOMAINS`.
        split: ``train`` or ``test``.
        n: number of rows.
        seed: random seed.

    Raises:
        DataError: if the domain or split is unknown, or ``n`` exceeds the number of distinct prompts.
    """
    return [item.row for item in generate_items(domain, split, n, seed)]


def generate_items(domain: str, split: str, n: int, seed: int = 0) -> list[Item]:
    """Generate items: the rows of :func:`generate_rows` with their correct and incorrect solutions."""
    if domain not in KINDS:
        raise DataError(f"lab:{domain}: unknown domain; choose one of {', '.join(DOMAINS)}")
    if split not in ("train", "test"):
        raise DataError(f"lab:{domain}: unknown split {split!r}; choose train or test")
    kinds = list(KINDS[domain].values())
    rng = random.Random(f"{domain}/{split}/{seed}")
    items: list[Item] = []
    seen: set[str] = set()
    repeats = 0
    while len(items) < n:
        item = sample_item(kinds[len(items) % len(kinds)], "test" if split == "test" else "train", rng)
        if item.row["prompt"] in seen:
            repeats += 1
            if repeats > MAX_REPEATS:
                raise DataError(
                    f"lab:{domain}: the {split} split has only {len(items)} rows, {n} requested; request fewer"
                )
            continue
        repeats = 0
        seen.add(item.row["prompt"])
        items.append(item)
    return items
