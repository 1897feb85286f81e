"""Writing items: one to three sentences on a topic, judged against a reference by a rubric."""

from __future__ import annotations

import random
from typing import Any

from omnithinker.lab.items import Draw, Item, Work, article, pick
from omnithinker.lab.words import ADJECTIVES, CLOSINGS, OPENINGS, TOPICS, VERBS

FLAWED = 0.8
"""Share of reference texts that have a small flaw, so that a good text beats them; good against good is a tie."""


def sentences(rng: random.Random, topic: str, nouns: list[str], *, varied: bool = True) -> list[str]:
    """One sentence about each noun; without ``varied`` all have the same adjective, verb and place."""
    places = TOPICS[topic][1]
    count = len(nouns)
    adjectives, verbs, where = pick(rng, ADJECTIVES, count), pick(rng, VERBS, count), pick(rng, places, count)
    if not varied:
        adjectives, verbs, where = adjectives[:1] * count, verbs[:1] * count, where[:1] * count
    return [f"the {a} {n} {v} {p}" for a, n, v, p in zip(adjectives, nouns, verbs, where, strict=True)]


def short_sentences(rng: random.Random, nouns: list[str], *, varied: bool = True) -> list[str]:
    """One sentence of three words about each noun; without ``varied`` all have the same verb."""
    verbs = pick(rng, VERBS, len(nouns))
    return [f"the {n} {v}" for n, v in zip(nouns, verbs if varied else verbs[:1] * len(nouns), strict=True)]


def _text(parts: list[str]) -> str:
    return ". ".join(parts) + "."


def _item(
    rng: random.Random,
    kind: str,
    topic: str,
    prompt: str,
    right: tuple[str, list[str]],
    wrong: tuple[str, list[str]],
    dull: list[str],
    **rubric: Any,
) -> Item:
    """Put an item together.

    Args:
        rng: decides the reference's quality.
        kind: of item.
        topic: whose words the rubric asks for in every sentence.
        prompt: the request.
        right: working and sentences of the good text.
        wrong: working and sentences of the text with the systematic mistake.
        dull: sentences of a text that meets the request in monotonous words.
        rubric: further criteria, see :mod:`omnithinker.judge.rubric`.
    """
    nouns, places = TOPICS[topic]
    topic_words = [*nouns, *(place.split()[-1] for place in places)]
    rubric = {"topic": topic_words, "sentences": len(right[1]), **rubric}
    good = dull if rng.random() < FLAWED else right[1]
    row = {"prompt": prompt, "reference": _text(good), "rubric": rubric, "kind": kind}
    return Item(row, Work(right[0], _text(right[1])), Work(wrong[0], _text(wrong[1])))


def _scene(rng: random.Random, count: int) -> tuple[str, str, list[str]]:
    """A topic, an adjective and nouns of the topic."""
    topic = rng.choice(list(TOPICS))
    return topic, rng.choice(ADJECTIVES), pick(rng, TOPICS[topic][0], count)


def both_words(rng: random.Random) -> Item:
    """Two words are asked for; the mistake uses only the first."""
    topic, _, nouns = _scene(rng, 3)
    one, two, other = nouns
    prompt = rng.choice(
        [f"write about the {topic} with {one} and {two}.", f"use {one} and {two} in a text on the {topic}."]
    )
    return _item(
        rng, "both_words", topic, prompt,
        (f"first {one}, then {two}", sentences(rng, topic, [one, two])),
        (f"first {one}", sentences(rng, topic, [one, other])),
        sentences(rng, topic, [one, two], varied=False),
        words=[one, two], variety=9,
    )  # fmt: skip


def on_topic(rng: random.Random) -> Item:
    """Two sentences on a topic; the mistake wanders off."""
    topic, adjective, nouns = _scene(rng, 2)
    away = rng.choice([name for name in TOPICS if name != topic])
    strangers = pick(rng, [n for n in TOPICS[away][0] if n not in TOPICS[topic][0]], 1)
    prompt = f"write two sentences about {article(adjective)} {nouns[0]} and the {topic}."
    return _item(
        rng, "on_topic", topic, prompt,
        (f"{nouns[0]}, more {topic}", sentences(rng, topic, nouns)),
        (f"{nouns[0]}, some {away}", sentences(rng, topic, nouns[:1]) + sentences(rng, away, strangers)),
        sentences(rng, topic, nouns, varied=False),
        words=nouns[:1], variety=9,
    )  # fmt: skip


def three(rng: random.Random) -> Item:
    """Three sentences; the mistake stops after one."""
    topic, adjective, nouns = _scene(rng, 3)
    prompt = f"write three short sentences about {article(adjective)} {nouns[0]} and the {topic}."
    return _item(
        rng, "three", topic, prompt,
        ("one, two, three", short_sentences(rng, nouns)),
        ("one will do", short_sentences(rng, nouns[:1])),
        short_sentences(rng, nouns, varied=False),
        words=nouns[:1], variety=6,
    )  # fmt: skip


def different(rng: random.Random) -> Item:
    """Two different sentences; the mistake says the same again."""
    topic, adjective, nouns = _scene(rng, 2)
    prompt = f"write two different lines about {article(adjective)} {nouns[0]} and the {topic}."
    good = sentences(rng, topic, nouns)
    return _item(
        rng, "different", topic, prompt,
        ("say two things", good),
        ("say it again", [good[0], good[0]]),
        sentences(rng, topic, nouns, varied=False),
        words=nouns[:1], variety=9,
    )  # fmt: skip


def last_word(rng: random.Random) -> Item:
    """A given last word; the mistake forgets it."""
    topic, _, nouns = _scene(rng, 2)
    end = rng.choice(CLOSINGS)
    prompt = rng.choice(
        [
            f"write about {article(nouns[0])} and the {topic}, end with {end}.",
            f"the last word is {end}. write about {article(nouns[0])} and the {topic}.",
        ]
    )
    one, two = sentences(rng, topic, nouns)
    dull_one, dull_two = sentences(rng, topic, nouns, varied=False)
    return _item(
        rng, "last_word", topic, prompt,
        (f"{nouns[0]}, then {end}", [one, f"{two} with {end}"]),
        (nouns[0], [one, two]),
        [dull_one, f"{dull_two} with {end}"],
        words=nouns[:1], end=end, variety=11,
    )  # fmt: skip


def first_word(rng: random.Random) -> Item:
    """A given first word; the mistake begins as usual."""
    topic, _, nouns = _scene(rng, 2)
    begin = rng.choice(OPENINGS)
    prompt = rng.choice(
        [
            f"write about {article(nouns[0])} and the {topic}, start with {begin}.",
            f"the first word is {begin}. write about {article(nouns[0])} and the {topic}.",
        ]
    )
    one, two = sentences(rng, topic, nouns)
    dull_one, dull_two = sentences(rng, topic, nouns, varied=False)
    return _item(
        rng, "first_word", topic, prompt,
        (f"{begin}, {nouns[0]}", [f"{begin} {one}", two]),
        (nouns[0], [one, two]),
        [f"{begin} {dull_one}", dull_two],
        words=nouns[:1], begin=begin, variety=9,
    )  # fmt: skip


KINDS: dict[str, Draw] = {
    "both_words": both_words,
    "on_topic": on_topic,
    "three": three,
    "different": different,
    "last_word": last_word,
    "first_word": first_word,
}
"""Kinds of writing items."""
