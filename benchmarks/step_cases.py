"""Workloads of the training-step benchmarks.

a  equal lengths: prompts of 48 tokens, completions of 64
b  ragged: prompts of 96 tokens, completions of up to 192 with an average fill of about 0.3
c  the lab's tasks and model. The fraction of groups without reward variance is 0 for the base model and grows with
   training; ``--model`` takes a checkpoint of a study
d  as a, with a vocabulary of 32,000
m  a model of the user's (--model), short word problems; end tokens of the model
r  tasks, rewards and model of a recipe (--recipe)

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
from omnithinker.policy.tokenizer import load_tokenizer
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

    def score(self, groups: Sequence[RolloutGroup]) -> list[float | None]:
        """Score groups in parallel and return the rewards of their completions in order."""
        futures = [self.scorer.submit(group) for group in groups]
        return [score.reward for future in futures for score in future.result().scores]


class EvenTokens:
    """Fraction of even token ids in a completion: a cheap reward that varies within every group."""

    def score_group(self, prompt: Prompt, completions: Sequence[Trajectory]) -> list[float]:
        """Return [G] fractions."""
        return [sum(t % 2 == 0 for t in c.token_ids) / len(c.token_ids) for c in completions]


@dataclass(frozen=True)
class Options:
    """What the command line chooses."""

    case: str
    """Letter of the workload."""
    steps: int
    """Batches of the schedule."""
    threads: int
    """CPU threads."""
    compute: str
    """Number format of omnithinker's matrix products."""
    model: str | None = None
    """Model folder of cases c, m and r."""
    recipe: str | None = None
    """Recipe of case r."""
    new_tokens: int | None = None
    """Token limit of a completion; by default the workload's."""
    prompts: int = 4
    """Prompts per step of cases m and r."""
    compile: bool = False
    """Compile omnithinker's decoding."""
    microbatch_tokens: int | None = None
    """Tokens of omnithinker's micro-batch; by default the recipe's."""


def make_case(options: Options, work: Path, stack: ExitStack) -> Case:
    """Create a workload."""
    if options.case in "cr":
        return recipe_case(options, stack)
    if options.case == "m":
        return model_case(options, stack)
    shape = SHAPES[options.case]
    folder = work / "model"
    save_model(shape, folder)
    tokenizer = load_tokenizer(ModelSettings(path=str(folder)))
    rng = random.Random(0)
    texts = ["".join(rng.choices(string.ascii_lowercase, k=shape.prompt)) for _ in range(shape.prompts * options.steps)]
    tokens = [tuple(tokenizer.hf(text)["input_ids"]) for text in texts]
    limit = options.new_tokens or shape.max_new_tokens
    return texts_case(options, folder, texts, tokens, shape.prompts, limit, stack)


def model_case(options: Options, stack: ExitStack) -> Case:
    """Create word problems for a model of the user's."""
    if options.model is None:
        raise SystemExit("case m needs --model FOLDER")
    tokenizer = load_tokenizer(ModelSettings(path=options.model))
    texts = [
        f"A farm has {7 + k} cows and {3 * k + 2} sheep. It sells {k % 5 + 1} cows and buys {2 * k + 1} sheep. "
        "How many animals does the farm have now? Explain your reasoning."
        for k in range(options.prompts * options.steps)
    ]
    tokens = [tokenizer.encode(text) for text in texts]
    limit = options.new_tokens or 32
    return texts_case(options, Path(options.model), texts, tokens, options.prompts, limit, stack)


def texts_case(
    options: Options,
    folder: Path,
    texts: Sequence[str],
    tokens: Sequence[tuple[int, ...]],
    per_step: int,
    limit: int,
    stack: ExitStack,
) -> Case:
    """Create a workload of given prompts, with a cheap reward that varies within every group."""
    prompts = [
        Prompt(task="x", index=i, text=text, token_ids=ids)
        for i, (text, ids) in enumerate(zip(texts, tokens, strict=True))
    ]
    microbatch = {"microbatch_tokens": options.microbatch_tokens} if options.microbatch_tokens else {}
    settings = {
        "model": {
            "path": str(folder),
            "device": "cpu",
            "threads": options.threads,
            "compute": options.compute,
            "compile": options.compile,
        },
        "sampling": {"completions": COMPLETIONS, "max_new_tokens": limit},
        "training": {"prompts_per_step": per_step, "checkpoint_every": 10**6, **microbatch},
        "tasks": {"x": {"data": "lab:math", "rewards": {"math_answer": 1.0}}},
    }
    scorer = stack.enter_context(Scorer({"x": [Component("even", EvenTokens(), 1.0, True)]}))
    schedule = [tuple(Item("x", s * per_step + p, 0) for p in range(per_step)) for s in range(options.steps)]
    return Case(Recipe.model_validate(settings), folder, {"x": prompts}, schedule, scorer)


def recipe_case(options: Options, stack: ExitStack) -> Case:
    """Create the workload of a recipe with all tasks mixed and beta 0, as in the paper; by default the full lab."""
    name = options.recipe or "lab"
    changes = [
        "training.learning_rate=1e-6",
        "training.checkpoint_every=1000000",
        f"sampling.completions={COMPLETIONS}",
        f"model.threads={options.threads}",
        f"model.compute={options.compute}",
        f"model.compile={str(options.compile).lower()}",
    ]
    if options.model:
        changes.append(f"model.path={options.model}")
    if options.microbatch_tokens:
        changes.append(f"training.microbatch_tokens={options.microbatch_tokens}")
    if options.new_tokens:
        changes.append(f"sampling.max_new_tokens={options.new_tokens}")
    if options.case == "r":
        changes.append(f"training.prompts_per_step={options.prompts}")
    changes += [f"tasks.{task}.beta=0.0" for task in load_recipe(name).tasks]
    recipe = load_recipe(name, changes)
    context = stack.enter_context(RunContext(recipe, View(Console(quiet=True)).note))
    training = recipe.training
    schedule = joint_batches(
        context.train_sizes, prompts_per_step=training.prompts_per_step, epochs=training.epochs, seed=0
    )[: options.steps]
    folder = Path(MODEL_PATH if recipe.model.path == "lab" else recipe.model.path)
    return Case(recipe, folder, context.train_prompts, schedule, context.scorer)


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
