"""The lab: a tiny base model and four miniature domains, to try everything in minutes. Needs no torch.

Rows are generated, seeded, and split by a hash of the prompt, so that no held-out item occurs in any training
split or in the text that the model was pre-trained on.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from omnithinker.errors import DataError
from omnithinker.lab import arithmetic, functions, questions, stories
from omnithinker.lab.items import Draw, Item, draw_from

DOMAINS = ("math", "code", "qa", "writing")
"""Names of the domains."""
KINDS: dict[str, dict[str, Draw]] = {
    "math": arithmetic.KINDS,
    "code": functions.KINDS,
    "qa": questions.KINDS,
    "writing": stories.KINDS,
}
"""Domain -> kind of item -> how to draw one."""
MODEL_PATH = Path(__file__).parent / "model"
"""Folder of the built-in base model, in the format of transformers."""
MAX_REPEATS = 200
"""Draws in a row that give nothing new before a split counts as exhausted."""


def generate_rows(domain: str, split: str, n: int, seed: int = 0) -> list[dict[str, Any]]:
    """Data rows of a domain; kinds of items take turns, prompts are distinct.

    Fields: ``prompt``, ``kind``, and by domain ``answer`` (math), ``tests`` and ``solution`` (code), ``answer`` and
    ``options`` (qa), ``reference`` and ``rubric`` (writing). A larger ``n`` extends the rows of a smaller one.

    Args:
        domain: one of :data:`DOMAINS`.
        split: ``train`` or ``test``.
        n: number of rows.
        seed: fixes the draw.

    Raises:
        DataError: unknown domain or split, or more rows than there are distinct prompts.
    """
    return [item.row for item in generate_items(domain, split, n, seed)]


def generate_items(domain: str, split: str, n: int, seed: int = 0) -> list[Item]:
    """As :func:`generate_rows`, with both ways of working."""
    if domain not in KINDS:
        raise DataError(f"lab:{domain}: no such domain; choose one of {', '.join(DOMAINS)}")
    if split not in ("train", "test"):
        raise DataError(f"lab:{domain}: no split {split!r}; choose train or test")
    kinds = list(KINDS[domain].values())
    rng = random.Random(f"{domain}/{split}/{seed}")
    items: list[Item] = []
    seen: set[str] = set()
    repeats = 0
    while len(items) < n:
        item = draw_from(kinds[len(items) % len(kinds)], "test" if split == "test" else "train", rng)
        if item.row["prompt"] in seen:
            repeats += 1
            if repeats > MAX_REPEATS:
                raise DataError(f"lab:{domain}: the {split} split has only {len(items)} rows; ask for fewer")
            continue
        repeats = 0
        seen.add(item.row["prompt"])
        items.append(item)
    return items
