"""Workloads of the training-step benchmarks.

a  equal lengths: prompts of 48 tokens, completions of 64
b  ragged: prompts of 96 tokens, completions of up to 192 with an average fill of about 0.3
c  the lab's tasks and model. The fraction of groups without reward variance is 0 for the base model and grows with
   training; ``--model`` takes a checkpoint of a study
d  as a, with a vocabulary of 32,000

In a, b and d the model is random, and its end tokens determine the lengths: an end token that the model cannot sample
gives equal lengths; several that it can sample end a completion with constant probability per token. Neither trainer
needs a setting or a logits processor for this.
"""

from __future__ import annotations

import random
import string
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from omnithinker.config.file import load_recipe
from omnithinker.config.model import ModelSettings
from omnithinker.config.recipe import Recipe
from omnithinker.lab import MODEL_PATH
from omnithinker.policy.loading import load_policy
from omnithinker.rewards.base import Component
from omnithinker.rewards.runner import Scorer
from omnithinker.schedules.base import Batch, Item
from omnithinker.schedules.joint import joint_batches
from omnithinker.train.context import RunContext
from omnithinker.types import Prompt, RolloutGroup, Trajectory
from omnithinker.ui.view import View

ROOT = Path(__file__).resolve().parent.parent
COMPLETIONS = 8


@dataclass(frozen=True)
class Shape:
    """A workload with a random model."""

    vocabulary: int
    """Vocabulary size."""
    prompt: int
    """Prompt length, tokens."""
    max_new_tokens: int
    """Maximum completion length."""
    end_tokens: int
    """Number of tokens that end a completion."""
    prompts: int = 16
    """Prompts per step."""


SHAPES = {
    "a": Shape(vocabulary=512, prompt=48, max_new_tokens=64, end_tokens=0),
    "b": Shape(vocabulary=512, prompt=96, max_new_tokens=192, end_tokens=12),
    "d": Shape(vocabulary=32000, prompt=48, max_new_tokens=64, end_tokens=0),
}


@dataclass(frozen=True)
class Case:
    """Workload that both trainers run."""

    recipe: Recipe
    """Settings of sampling and training."""
    folder: Path
    """Folder of model and tokenizer."""
    prompts: dict[str, list[Prompt]]
    """Task -> training prompts."""
    schedule: list[Batch]
    """One batch per step."""
    scorer: Scorer
    """Rewards of all tasks."""
    conversational: bool
    """True if prompts are messages rendered by the chat template, False for plain text."""

    def score(self, groups: Sequence[RolloutGroup]) -> list[float | None]:
        """Score groups in parallel and return the rewards of their completions in order."""
        futures = [self.scorer.submit(group) for group in groups]
        return [score.reward for future in futures for score in future.result().scores]


class EvenTokens:
    """Fraction of even token ids in a completion: a cheap reward that varies within every group."""

    def score_group(self, prompt: Prompt, completions: Sequence[Trajectory]) -> list[float]:
        """Return [G] fractions."""
        return [sum(t % 2 == 0 for t in c.token_ids) / len(c.token_ids) for c in completions]


def make_case(name: str, steps: int, threads: int, work: Path, stack: ExitStack, model: str = "lab") -> Case:
    """Create a workload with a schedule of ``steps`` batches; ``model`` applies to case c."""
    if name == "c":
        return lab_case(steps, threads, stack, model)
    return random_case(SHAPES[name], steps, threads, work, stack)


def random_case(shape: Shape, steps: int, threads: int, work: Path, stack: ExitStack) -> Case:
    folder = work / "model"
    save_model(shape, folder)
    policy = load_policy(ModelSettings(path=str(folder), device="cpu"))
    rng = random.Random(0)
    texts = ["".join(rng.choices(string.ascii_lowercase, k=shape.prompt)) for _ in range(shape.prompts * steps)]
    prompts = [
        Prompt(task="x", index=i, text=text, token_ids=tuple(policy.tokenizer.hf(text)["input_ids"]))
        for i, text in enumerate(texts)
    ]
    settings = {
        "model": {"path": str(folder), "device": "cpu", "threads": threads},
        "sampling": {"completions": COMPLETIONS, "max_new_tokens": shape.max_new_tokens},
        "training": {"prompts_per_step": shape.prompts, "checkpoint_every": 10**6},
        "tasks": {"x": {"data": "lab:math", "rewards": {"math_answer": 1.0}}},
    }
    scorer = stack.enter_context(Scorer({"x": [Component("even", EvenTokens(), 1.0, True)]}))
    schedule = [tuple(Item("x", s * shape.prompts + p, 0) for p in range(shape.prompts)) for s in range(steps)]
    return Case(Recipe.model_validate(settings), folder, {"x": prompts}, schedule, scorer, conversational=False)


def lab_case(steps: int, threads: int, stack: ExitStack, model: str) -> Case:
    """Create the workload of the full lab recipe with all tasks mixed and beta 0, as in the paper."""
    changes = [
        "training.learning_rate=1e-6",
        "training.checkpoint_every=1000000",
        f"model.threads={threads}",
        f"model.path={model}",
    ]
    changes += [f"tasks.{task}.beta=0.0" for task in ("math", "code", "qa", "writing")]
    recipe = load_recipe("lab", changes)
    context = stack.enter_context(RunContext(recipe, View(Console(quiet=True)).note))
    training = recipe.training
    schedule = joint_batches(
        context.train_sizes, prompts_per_step=training.prompts_per_step, epochs=training.epochs, seed=0
    )[:steps]
    folder = Path(MODEL_PATH if model == "lab" else model)
    return Case(recipe, folder, context.train_prompts, schedule, context.scorer, conversational=True)


def save_model(shape: Shape, folder: Path) -> None:
    """Save a random Qwen2 with 1.0 million weights besides its embedding, and a byte-level tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    fill = [f"<{i}>" for i in range(len(alphabet), shape.vocabulary)]
    words = {word: i for i, word in enumerate([*alphabet, *fill, "<end>"])}
    tokenizer = Tokenizer(models.BPE(words, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    end, pad = "<end>" if not shape.end_tokens else fill[0], fill[-1]
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end, pad_token=pad)
    fast.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=shape.vocabulary,
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        max_position_embeddings=512,
        bos_token_id=None,
        pad_token_id=fast.pad_token_id,
    )
    model: Any = Qwen2ForCausalLM(config)
    model.generation_config.eos_token_id = [words[word] for word in fill[: shape.end_tokens] or ["<end>"]]
    model.generation_config.pad_token_id = fast.pad_token_id
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
