"""Question items: five options in the prompt, answered with the full text of one."""

from __future__ import annotations

import random

from omnithinker.lab.items import Item, ItemSampler, Solution, article, sample_words
from omnithinker.lab.words import (
    CAPITALS,
    CATEGORIES,
    COLOURED,
    OPPOSITES,
    SEQUENCES,
    WORKERS,
    YOUNG,
)

OPTIONS = 5
"""Number of options in a prompt."""


def _item(
    rng: random.Random,
    kind: str,
    question: str,
    right: tuple[str, str],
    others: list[str],
    wrong: tuple[str, str] | None = None,
) -> Item:
    """Build an item from (reasoning, option) pairs; by default the mistake takes the first option."""
    options = [right[1], *others]
    rng.shuffle(options)
    if wrong is None:
        # The first option is correct by chance one time in five.
        wrong = (f"{options[0]} comes first", options[0])
    row = {
        "prompt": f"{question}: {', '.join(options)}?",
        "answer": right[1],
        "options": options,
        "kind": kind,
    }
    return Item(row, Solution(*right), Solution(*wrong))


def _outside(rng: random.Random, category: str, count: int) -> list[str]:
    """Sample one word from each of ``count`` other categories."""
    names = sample_words(rng, [name for name in CATEGORIES if name != category], count)
    return [rng.choice([w for w in CATEGORIES[name] if w not in CATEGORIES[category]]) for name in names]


def which(rng: random.Random) -> Item:
    """Sample a question for the member of a category; the mistake takes the first option."""
    category = rng.choice(list(CATEGORIES))
    word = rng.choice(CATEGORIES[category])
    right = (f"{word} is {article(category)}", word)
    return _item(rng, "which", f"which is {article(category)}", right, _outside(rng, category, OPTIONS - 1))


def odd(rng: random.Random) -> Item:
    """Sample a question for the non-member of a category; the mistake ignores the word ``not``."""
    category = rng.choice(list(CATEGORIES))
    inside = sample_words(rng, CATEGORIES[category], OPTIONS - 1)
    word = _outside(rng, category, 1)[0]
    right = (f"{word} is not {article(category)}", word)
    wrong = (f"{inside[0]} is {article(category)}", inside[0])
    return _item(rng, "odd", f"which is not {article(category)}", right, inside, wrong)


def opposite(rng: random.Random) -> Item:
    """Sample a question for the opposite of a word; the mistake takes the synonym."""
    index = rng.randrange(len(OPPOSITES))
    word, antonym, synonym = OPPOSITES[index]
    rest = [entry[1] for i, entry in enumerate(OPPOSITES) if i != index]
    right, wrong = (f"{word} against {antonym}", antonym), (f"{word} is like {synonym}", synonym)
    others = [synonym, *sample_words(rng, rest, OPTIONS - 2)]
    return _item(rng, "opposite", f"what is the opposite of {word}", right, others, wrong)


def after(rng: random.Random) -> Item:
    """Sample a question for the successor in a sequence; the mistake takes the predecessor."""
    words = rng.choice(SEQUENCES)
    index = rng.randrange(1, len(words) - 1)
    previous, word, following = words[index - 1 : index + 2]
    rest = [w for w in words if w not in (word, previous, following)]
    right, wrong = (f"{word}, then {following}", following), (f"{previous}, then {word}", previous)
    others = [previous, *sample_words(rng, rest, OPTIONS - 2)]
    return _item(rng, "after", f"what comes after {word}", right, others, wrong)


def coloured(rng: random.Random) -> Item:
    """Sample a question with a category and a colour; the mistake ignores the colour."""
    category = rng.choice([name for name in COLOURED if name != "thing"])
    word = rng.choice(list(COLOURED[category]))
    colour = COLOURED[category][word]
    same_category = rng.choice([w for w, c in COLOURED[category].items() if c != colour])
    things = [w for w in COLOURED["thing"] if w != "gold"]
    same_colour = [w for w in things if COLOURED["thing"][w] == colour] or ["gold"]
    rest = sample_words(rng, [w for w in things if w not in same_colour], OPTIONS - 3)
    right = (f"first {category}, then {colour} {word}", word)
    wrong = (f"first {category} {same_category}", same_category)
    others = [same_category, same_colour[0], *rest]
    return _item(rng, "coloured", f"which is a {colour} {category}", right, others, wrong)


def capital(rng: random.Random) -> Item:
    """Sample a question for a capital; the mistake takes the country's other well-known city."""
    index = rng.randrange(len(CAPITALS))
    country, city, famous = CAPITALS[index]
    rest = [entry[1] for i, entry in enumerate(CAPITALS) if i != index]
    right, wrong = (f"{city} rules {country}", city), (f"{famous} is famous", famous)
    others = [famous, *sample_words(rng, rest, OPTIONS - 2)]
    return _item(rng, "capital", f"what is the capital of {country}", right, others, wrong)


def young(rng: random.Random) -> Item:
    """Sample a question for the young of an animal; the mistake takes the first option."""
    animal = rng.choice(list(YOUNG))
    others = sample_words(rng, [word for word in YOUNG.values() if word != YOUNG[animal]], OPTIONS - 1)
    right = (f"{animal} has {article(YOUNG[animal])}", YOUNG[animal])
    return _item(rng, "young", f"what is a young {animal}", right, others)


def worker(rng: random.Random) -> Item:
    """Sample a question for an occupation; the mistake takes the first option."""
    thing = rng.choice(list(WORKERS))
    others = sample_words(rng, [word for word in WORKERS.values() if word != WORKERS[thing]], OPTIONS - 1)
    right = (f"{thing} need {article(WORKERS[thing])}", WORKERS[thing])
    return _item(rng, "worker", f"who works with {thing}", right, others)


KINDS: dict[str, ItemSampler] = {
    "which": which,
    "odd": odd,
    "opposite": opposite,
    "after": after,
    "coloured": coloured,
    "capital": capital,
    "young": young,
    "worker": worker,
}
"""Kinds of question items."""
