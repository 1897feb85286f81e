"""Demonstrations and supervised fine-tuning runs of a tiny policy."""

from __future__ import annotations

from pathlib import Path

from omnithinker.config.recipe import Recipe
from omnithinker.config.warmup import WarmupSettings
from omnithinker.policy.base import Policy
from omnithinker.train.sft.demonstrations import Demonstration, Example, encode, end_token
from omnithinker.train.sft.trainer import SftTrainer
from omnithinker.types import Prompt
from tests.builders.policy import make_policy, prompt_of
from tests.builders.training import Quiet

TEXTS = (
    ("a", "one?", "1"),
    ("a", "a rather long question, longer than the others?", "yes"),
    ("b", "x", "a completion that is much longer than its prompt"),
    ("b", "2+2?", "<think>two and two</think><answer>4</answer>"),
    ("a", "y", "z"),
)
"""Task, prompt and completion of examples of several lengths."""


def examples_of(policy: Policy, texts=TEXTS) -> list[Example]:
    end = end_token(policy.tokenizer)
    return [
        encode(Demonstration(prompt_of(policy, text, task, i), completion), policy.tokenizer, end)
        for i, (task, text, completion) in enumerate(texts)
    ]


def demonstrations_of(count: int = 10) -> list[Demonstration]:
    """Short demonstrations of two tasks."""
    policy = make_policy()

    def prompt(task: str, i: int) -> Prompt:
        return prompt_of(policy, f"{task} {i}", task, i)

    return [Demonstration(prompt(task, i), f"{task}{i}" * (1 + i % 3)) for task in "ab" for i in range(count // 2)]


def sft(recipe: Recipe, folder: Path, *, demonstrations=None, validation=(), observer=None, **settings):
    """Run supervised fine-tuning; return the trained policy."""
    folder.mkdir(exist_ok=True)
    warmup = WarmupSettings.model_validate({"learning_rate": 1e-2, "batch_size": 3} | settings)
    learned = demonstrations or demonstrations_of()
    with SftTrainer(recipe, warmup, learned, validation, folder, observer or Quiet(), seed=1) as trainer:
        trainer.train()
        return trainer.policy
