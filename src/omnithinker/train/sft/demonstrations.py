"""Demonstrations: completions to learn by heart, and their tokens."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from omnithinker.config.recipe import Recipe
from omnithinker.policy.tokenizer import ChatTokenizer
from omnithinker.tasks.messages import DEMONSTRATION, fill
from omnithinker.types import Prompt


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A prompt with a completion to learn."""

    prompt: Prompt
    """Prompt with its tokens, as in reinforcement learning."""
    completion: str
    """Text of the completion, without the end token."""


@dataclass(frozen=True, slots=True)
class Example:
    """A demonstration as tokens."""

    demonstration: Demonstration
    """The demonstration."""
    completion_ids: tuple[int, ...]
    """Tokens of the completion, end token included: those that are learned."""

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """Tokens of the prompt, which are not learned."""
        return self.demonstration.prompt.token_ids

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.demonstration.prompt.task

    @property
    def size(self) -> int:
        """Number of all tokens."""
        return len(self.prompt_ids) + len(self.completion_ids)


def from_rows(recipe: Recipe, prompts: Mapping[str, Sequence[Prompt]]) -> list[Demonstration]:
    """Fill the templates of the tasks' demonstrations with their training rows.

    Args:
        recipe: the tasks with their templates; those without one are left out.
        prompts: training prompts per task.

    Raises:
        DataError: if a row lacks a field that a template names.
    """
    demonstrations = []
    for task, settings in recipe.tasks.items():
        if settings.demonstration is None:
            continue
        for prompt in prompts[task]:
            place = f"task {task}, row {prompt.index + 1}"
            completion = fill(settings.demonstration, prompt.row, place, DEMONSTRATION)
            demonstrations.append(Demonstration(prompt, completion))
    return demonstrations


def split(
    demonstrations: Iterable[Demonstration], *, items: int | None, validation_items: int, seed: int
) -> tuple[list[Demonstration], list[Demonstration]]:
    """Split demonstrations into those to learn and those that are held out, task by task.

    Args:
        demonstrations: all of them.
        items: largest number to learn per task, the first ones; None for no limit.
        validation_items: number to hold out per task, sampled; at least one is left to learn. Equal ones are not
            learned either.
        seed: seed of the sample.

    Returns:
        Demonstrations to learn, and held-out ones.
    """
    by_task: dict[str, list[Demonstration]] = {}
    for demonstration in demonstrations:
        by_task.setdefault(demonstration.prompt.task, []).append(demonstration)
    learned, held_out = [], []
    for task, members in by_task.items():
        count = min(validation_items, len(members) - 1)
        chosen = set(random.Random(f"demonstrations {task} {seed}").sample(range(len(members)), count))
        held = [members[i] for i in sorted(chosen)]
        contents = {(one.prompt.token_ids, one.completion) for one in held}
        rest = [one for one in members if (one.prompt.token_ids, one.completion) not in contents]
        learned += rest[:items]
        held_out += held
    return learned, held_out


def encode(demonstration: Demonstration, tokenizer: ChatTokenizer, end: int) -> Example:
    """Tokenize a completion as what follows its prompt.

    Args:
        demonstration: the demonstration.
        tokenizer: tokenizer of the policy.
        end: token that ends it, from :func:`end_token`.
    """
    ids = tokenizer.hf(demonstration.completion, add_special_tokens=False)["input_ids"]
    return Example(demonstration, (*ids, end))


def end_token(tokenizer: ChatTokenizer) -> int:
    """Return the token that ends a completion: the one that the chat template writes after an assistant's message.

    Of several end tokens a template uses one, which the model has seen there. Where the template writes none, it is
    the tokenizer's own.
    """
    content = "x"
    asked = [{"role": "user", "content": content}]
    rendered = tokenizer.hf.apply_chat_template([*asked, {"role": "assistant", "content": content}], return_dict=True)
    prompt = tokenizer.encode(content)
    ids: list[int] = list(rendered["input_ids"])
    after = ids[len(prompt) :] if tuple(ids[: len(prompt)]) == prompt else ids[::-1]
    found = next((token for token in after if token in tokenizer.end_ids), None)
    if found is not None:
        return found
    own = tokenizer.hf.eos_token_id
    return own if own in tokenizer.end_ids else tokenizer.end_ids[0]
