"""Question items: five options are listed, the right one is to be said in full."""

from __future__ import annotations

import random

from omnithinker.lab.items import Draw, Item, Work, article, pick
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
"""Options listed in a prompt."""


def _item(
    rng: random.Random,
    kind: str,
    question: str,
    right: tuple[str, str],
    others: list[str],
    wrong: tuple[str, str] | None = None,
) -> Item:
    """Put an item together from (working, option); without ``wrong`` the mistake takes the first option."""
    options = [right[1], *others]
    rng.shuffle(options)
    if wrong is None:
        # The first option is right by luck one time in five, as for anybody who guesses.
        wrong = (f"{options[0]} comes first", options[0])
    row = {
        "prompt": f"{question}: {', '.join(options)}?",
        "answer": right[1],
        "options": options,
        "kind": kind,
    }
    return Item(row, Work(*right), Work(*wrong))


def _outside(rng: random.Random, category: str, count: int) -> list[str]:
    """Words of ``count`` other categories."""
    names = pick(rng, [name for name in CATEGORIES if name != category], count)
    return [rng.choice([w for w in CATEGORIES[name] if w not in CATEGORIES[category]]) for name in names]


def which(rng: random.Random) -> Item:
    """Which belongs to a category; the mistake takes the first option."""
    category = rng.choice(list(CATEGORIES))
    word = rng.choice(CATEGORIES[category])
    right = (f"{word} is {article(category)}", word)
    return _item(rng, "which", f"which is {article(category)}", right, _outside(rng, category, OPTIONS - 1))


def odd(rng: random.Random) -> Item:
    """Which does not belong; the mistake overlooks the word ``not``."""
    category = rng.choice(list(CATEGORIES))
    inside = pick(rng, CATEGORIES[category], OPTIONS - 1)
    word = _outside(rng, category, 1)[0]
    right = (f"{word} is not {article(category)}", word)
    wrong = (f"{inside[0]} is {article(category)}", inside[0])
    return _item(rng, "odd", f"which is not {article(category)}", right, inside, wrong)


def opposite(rng: random.Random) -> Item:
    """The opposite of a word; the mistake takes the word of like meaning."""
    place = rng.randrange(len(OPPOSITES))
    word, against, like = OPPOSITES[place]
    rest = [pair[1] for number, pair in enumerate(OPPOSITES) if number != place]
    right, wrong = (f"{word} against {against}", against), (f"{word} is like {like}", like)
    others = [like, *pick(rng, rest, OPTIONS - 2)]
    return _item(rng, "opposite", f"what is the opposite of {word}", right, others, wrong)


def after(rng: random.Random) -> Item:
    """What comes after; the mistake says what comes before."""
    words = rng.choice(SEQUENCES)
    place = rng.randrange(1, len(words) - 1)
    word, before, behind = words[place], words[place - 1], words[place + 1]
    rest = [w for w in words if w not in (word, before, behind)]
    right, wrong = (f"{word}, then {behind}", behind), (f"{before}, then {word}", before)
    others = [before, *pick(rng, rest, OPTIONS - 2)]
    return _item(rng, "after", f"what comes after {word}", right, others, wrong)


def coloured(rng: random.Random) -> Item:
    """Category and colour; the mistake skips the second condition."""
    category = rng.choice([name for name in COLOURED if name != "thing"])
    word = rng.choice(list(COLOURED[category]))
    colour = COLOURED[category][word]
    same = rng.choice([w for w, c in COLOURED[category].items() if c != colour])
    things = [w for w in COLOURED["thing"] if w != "gold"]
    tint = [w for w in things if COLOURED["thing"][w] == colour] or ["gold"]
    rest = pick(rng, [w for w in things if w not in tint], OPTIONS - 3)
    right = (f"first {category}, then {colour} {word}", word)
    wrong = (f"first {category} {same}", same)
    return _item(rng, "coloured", f"which is a {colour} {category}", right, [same, tint[0], *rest], wrong)


def capital(rng: random.Random) -> Item:
    """The capital of a country; the mistake takes its other well-known city."""
    place = rng.randrange(len(CAPITALS))
    country, city, famous = CAPITALS[place]
    rest = [city for number, entry in enumerate(CAPITALS) if number != place for city in entry[1:2]]
    right, wrong = (f"{city} rules {country}", city), (f"{famous} is famous", famous)
    others = [famous, *pick(rng, rest, OPTIONS - 2)]
    return _item(rng, "capital", f"what is the capital of {country}", right, others, wrong)


def young(rng: random.Random) -> Item:
    """The young of an animal; the mistake takes the first option."""
    animal = rng.choice(list(YOUNG))
    others = pick(rng, [word for word in YOUNG.values() if word != YOUNG[animal]], OPTIONS - 1)
    right = (f"{animal} has {article(YOUNG[animal])}", YOUNG[animal])
    return _item(rng, "young", f"what is a young {animal}", right, others)


def worker(rng: random.Random) -> Item:
    """Who works with something; the mistake takes the first option."""
    thing = rng.choice(list(WORKERS))
    others = pick(rng, [word for word in WORKERS.values() if word != WORKERS[thing]], OPTIONS - 1)
    right = (f"{thing} need {article(WORKERS[thing])}", WORKERS[thing])
    return _item(rng, "worker", f"who works with {thing}", right, others)


KINDS: dict[str, Draw] = {
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
