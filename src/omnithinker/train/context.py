"""A recipe with the objects that its runs share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

from omnithinker.config.model import ModelSettings
from omnithinker.config.recipe import Recipe
from omnithinker.evals.completions import EvaluatedCompletions
from omnithinker.evals.evaluate import evaluate, validate
from omnithinker.io.closing import Closing
from omnithinker.io.trackers import require
from omnithinker.policy.base import Policy
from omnithinker.policy.loading import load_policy
from omnithinker.policy.source import loadable, locate_model
from omnithinker.policy.tokenizer import ChatTokenizer, load_tokenizer
from omnithinker.rewards.resources import Resources
from omnithinker.rewards.runner import Scorer
from omnithinker.rollout.base import Generator, make_generator
from omnithinker.tasks.base import Split, encode_prompts, load_tasks
from omnithinker.tasks.messages import Message
from omnithinker.train.setup import needs_reference
from omnithinker.types import EvalResult, Prompt, Validation


class RunContext(Closing):
    """Tasks, prompts, rewards and base policy of a recipe, shared by its runs.

    Prompts and the base policy are loaded on first use; prompts need the tokenizer alone. Use the context in a ``with``
    block, or call ``close``.

    Args:
        recipe: all settings.
        note: receives messages for the user.

    Raises:
        BadInput: if a file, row, package or confinement layer that the recipe needs is missing.
    """

    def __init__(self, recipe: Recipe, note: Callable[[str], None]) -> None:
        require(recipe.trackers)
        self.recipe = recipe
        self.note = note
        self.start: Path | None = None
        """Folder of the model that runs start from; the recipe's base model if it is None."""
        self.resources = Resources(recipe)
        try:
            self.tasks = load_tasks(recipe, self.resources)
            loadable(locate_model(recipe.model.path), note)  # so that the user knows what the first start waits for
        except BaseException:
            self.resources.close()
            raise
        for name, task in self.tasks.items():
            if task.unjudged:
                self.note(
                    f"task {name}: left out {len(task.unjudged)} rows that its rewards cannot judge; first "
                    f"{task.unjudged[0]} ('omnithinker check' lists them)"
                )
        if level := self.resources.sandbox_level():
            note(f"sandbox: {level}")
        self.scorer = Scorer(
            {name: task.components for name, task in self.tasks.items()},
            ledger=self.resources.ledger,
            progress=self.resources.progress,
        )

    def close(self) -> None:
        """Stop verifiers, sandboxes and scoring threads."""
        self.scorer.close()
        self.resources.close()

    @cached_property
    def tokenizer(self) -> ChatTokenizer:
        """Tokenizer of the base model."""
        return load_tokenizer(self.recipe.model)

    @property
    def model(self) -> ModelSettings:
        """Settings of the model that runs start from: the recipe's base model, or the one that it was warmed up to."""
        return self.recipe.model.model_copy(update={"path": str(self.start)}) if self.start else self.recipe.model

    @cached_property
    def base(self) -> Policy:
        """The frozen policy that runs start from: loaded once, for evaluation and as the reference policy."""
        return load_policy(self.model)

    @property
    def reference_base(self) -> Policy | None:
        """The base policy if training needs it for a KL term; None for an adapter, which contains its base."""
        return self.base if needs_reference(self.recipe) and self.recipe.model.lora is None else None

    @cached_property
    def train_prompts(self) -> dict[str, list[Prompt]]:
        """Training prompts per task, overlong ones dropped or truncated."""
        return self._prompts("train")

    @cached_property
    def test_prompts(self) -> dict[str, list[Prompt]]:
        """Held-out prompts per task."""
        return self._prompts("test")

    @cached_property
    def validation_prompts(self) -> dict[str, list[Prompt]]:
        """Validation prompts per task; empty unless the recipe has ``evaluation.validation_items``."""
        return self._prompts("validation")

    @property
    def train_sizes(self) -> dict[str, int]:
        """Number of training prompts per task."""
        return {task: len(prompts) for task, prompts in self.train_prompts.items()}

    def evaluate(
        self,
        policy: Policy,
        seed: int,
        generator: Generator | None = None,
        *,
        completions: EvaluatedCompletions | None = None,
    ) -> dict[str, EvalResult]:
        """Evaluate a policy on the held-out prompts of every task.

        Args:
            policy: the policy.
            seed: fixes the sampled completions.
            generator: generator with the policy's weights; a new one by default.
            completions: receives all completions.
        """
        with self._generator(policy, generator) as ready:
            return evaluate(
                policy, ready, self.test_prompts, self.scorer, self.recipe, seed=seed, completions=completions
            )

    def evaluate_base(self, completions: EvaluatedCompletions | None = None) -> dict[str, EvalResult]:
        """Evaluate the base policy on the held-out prompts of every task; see :meth:`evaluate`."""
        return self.evaluate(self.base, self.recipe.seed, completions=completions)

    def validate(
        self, policy: Policy, tasks: Sequence[str], seed: int, generator: Generator | None = None
    ) -> dict[str, Validation]:
        """Measure the greedy accuracy of a policy on the validation prompts of some tasks; see :meth:`evaluate`."""
        prompts = {task: self.validation_prompts[task] for task in tasks}
        with self._generator(policy, generator) as ready:
            return validate(policy, ready, prompts, self.scorer, self.recipe, seed=seed)

    def _generator(self, policy: Policy, generator: Generator | None) -> AbstractContextManager[Generator]:
        """Return the given generator, or a new one that is closed after use."""
        return nullcontext(generator) if generator else closing(make_generator(policy, self.recipe))

    def _prompts(self, split: Split) -> dict[str, list[Prompt]]:
        sampling = self.recipe.sampling
        limit = sampling.max_prompt_tokens

        def encode(messages: Sequence[Message], template_kwargs: Mapping[str, Any]) -> tuple[int, ...] | None:
            return self.tokenizer.encode_within(messages, template_kwargs, limit, sampling.overlong_prompts)

        prompts = {}
        for name, task in self.tasks.items():
            prompts[name], skipped = encode_prompts(task, getattr(task, split), encode)
            if skipped:
                self.note(
                    f"task {name}: left out {skipped} of {skipped + len(prompts[name])} {split} prompts longer than "
                    f"{limit} tokens (sampling.max_prompt_tokens)"
                )
        return prompts
