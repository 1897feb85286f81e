"""Writing items: two or three sentences on a topic, judged against a reference by a rubric."""

from __future__ import annotations

import random
from typing import Any

from omnithinker.lab.items import Item, ItemSampler, Solution, article, sample_words
from omnithinker.lab.words import ADJECTIVES, CLOSINGS, OPENINGS, TOPICS, VERBS

FLAWED_FRACTION = 0.8
"""Fraction of references with a small flaw. A good text beats a flawed reference and ties with a good one."""


def sentences(rng: random.Random, topic: str, nouns: list[str], *, varied: bool = True) -> list[str]:
    """Sample a sentence per noun; unless ``varied``, all share the same adjective, verb and place."""
    places = TOPICS[topic][1]
    count = len(nouns)
    adjectives, verbs, where = (
        sample_words(rng, ADJECTIVES, count),
        sample_words(rng, VERBS, count),
        sample_words(rng, places, count),
    )
    if not varied:
        adjectives, verbs, where = adjectives[:1] * count, verbs[:1] * count, where[:1] * count
    return [f"the {a} {n} {v} {p}" for a, n, v, p in zip(adjectives, nouns, verbs, where, strict=True)]


def short_sentences(rng: random.Random, nouns: list[str], *, varied: bool = True) -> list[str]:
    """Sample a three-word sentence per noun; unless ``varied``, all share the same verb."""
    verbs = sample_words(rng, VERBS, len(nouns))
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
    monotonous: list[str],
    **rubric: Any,
) -> Item:
    """Build an item.

    Args:
        rng: decides the quality of the reference.
        kind: kind of item.
        topic: topic whose words the rubric requires in every sentence.
        prompt: writing request.
        right: reasoning and sentences of the good text.
        wrong: reasoning and sentences of the text with the systematic mistake.
        monotonous: sentences that meet the request with repeated words.
        rubric: further criteria; see :mod:`omnithinker.judge.rubric`.
    """
    nouns, places = TOPICS[topic]
    topic_words = [*nouns, *(place.split()[-1] for place in places)]
    rubric = {"topic": topic_words, "sentences": len(right[1]), **rubric}
    reference = monotonous if rng.random() < FLAWED_FRACTION else right[1]
    row = {"prompt": prompt, "reference": _text(reference), "rubric": rubric, "kind": kind}
    return Item(row, Solution(right[0], _text(right[1])), Solution(wrong[0], _text(wrong[1])))


def _scene(rng: random.Random, count: int) -> tuple[str, str, list[str]]:
    """Sample a topic, an adjective and nouns of the topic."""
    topic = rng.choice(list(TOPICS))
    return topic, rng.choice(ADJECTIVES), sample_words(rng, TOPICS[topic][0], count)


def both_words(rng: random.Random) -> Item:
    """Sample a request for two words; the mistake uses only the first."""
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
    """Sample a request for two sentences on a topic; the mistake leaves the topic."""
    topic, adjective, nouns = _scene(rng, 2)
    other_topic = rng.choice([name for name in TOPICS if name != topic])
    other_nouns = sample_words(rng, [n for n in TOPICS[other_topic][0] if n not in TOPICS[topic][0]], 1)
    prompt = f"write two sentences about {article(adjective)} {nouns[0]} and the {topic}."
    return _item(
        rng, "on_topic", topic, prompt,
        (f"{nouns[0]}, more {topic}", sentences(rng, topic, nouns)),
        (f"{nouns[0]}, some {other_topic}",
         sentences(rng, topic, nouns[:1]) + sentences(rng, other_topic, other_nouns)),
        sentences(rng, topic, nouns, varied=False),
        words=nouns[:1], variety=9,
    )  # fmt: skip


def three(rng: random.Random) -> Item:
    """Sample a request for three sentences; the mistake stops after one."""
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
    """Sample a request for two different sentences; the mistake repeats the first."""
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
    """Sample a request with a required last word; the mistake omits it."""
    topic, _, nouns = _scene(rng, 2)
    end = rng.choice(CLOSINGS)
    prompt = rng.choice(
        [
            f"write about {article(nouns[0])} and the {topic}, end with {end}.",
            f"the last word is {end}. write about {article(nouns[0])} and the {topic}.",
        ]
    )
    one, two = sentences(rng, topic, nouns)
    flat_one, flat_two = sentences(rng, topic, nouns, varied=False)
    return _item(
        rng, "last_word", topic, prompt,
        (f"{nouns[0]}, then {end}", [one, f"{two} with {end}"]),
        (nouns[0], [one, two]),
        [flat_one, f"{flat_two} with {end}"],
        words=nouns[:1], end=end, variety=11,
    )  # fmt: skip


def first_word(rng: random.Random) -> Item:
    """Sample a request with a required first word; the mistake omits it."""
    topic, _, nouns = _scene(rng, 2)
    begin = rng.choice(OPENINGS)
    prompt = rng.choice(
        [
            f"write about {article(nouns[0])} and the {topic}, start with {begin}.",
            f"the first word is {begin}. write about {article(nouns[0])} and the {topic}.",
        ]
    )
    one, two = sentences(rng, topic, nouns)
    flat_one, flat_two = sentences(rng, topic, nouns, varied=False)
    return _item(
        rng, "first_word", topic, prompt,
        (f"{begin}, {nouns[0]}", [f"{begin} {one}", two]),
        (nouns[0], [one, two]),
        [f"{begin} {flat_one}", flat_two],
        words=nouns[:1], begin=begin, variety=9,
    )  # fmt: skip


KINDS: dict[str, ItemSampler] = {
    "both_words": both_words,
    "on_topic": on_topic,
    "three": three,
    "different": different,
    "last_word": last_word,
    "first_word": first_word,
}
"""Kinds of writing items."""
