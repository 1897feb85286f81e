"""Recipes and runs of a tiny policy on rewards that tests know."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from omnithinker.config.recipe import Recipe
from omnithinker.rewards.base import Component
from omnithinker.rewards.runner import Scorer
from omnithinker.schedules.base import FixedSchedule
from omnithinker.schedules.curriculum import curriculum_batches
from omnithinker.train.advantages import group_advantages
from omnithinker.train.batching import group_samples, rewards_tensor
from omnithinker.train.trainer import Trainer
from omnithinker.types import Prompt, Undefined
from tests.builders.policy import make_policy, prompt_of


class Letters:
    """Share of a completion's tokens that are even; every third seed undefined when asked for."""

    def __init__(self, undefined: bool = False) -> None:
        self.undefined = undefined

    def score_group(self, prompt, completions):
        return [
            Undefined("odd_seed")
            if self.undefined and c.seed % 3 == 0
            else sum(t % 2 == 0 for t in c.token_ids) / len(c.token_ids)
            for c in completions
        ]


class Quiet:
    """An observer that can ask to stop, and finds by validation what it is told to."""

    def __init__(self, stop_after: int | None = None, accuracies=None) -> None:
        self.stop_after, self.evaluated, self.notes = stop_after, [], []
        self.accuracies, self.validated = accuracies, []

    def on_step(self, metrics, total):
        if metrics.step == self.stop_after:
            raise KeyboardInterrupt

    def on_evaluate(self, trainer):
        self.evaluated.append(trainer.state.step)

    def on_validate(self, trainer):
        self.validated.append(trainer.state.step)
        return self.accuracies[trainer.state.step]

    def note(self, text):
        self.notes.append(text)


def recipe_of(model: Path, **training) -> Recipe:
    betas = training.pop("betas", {"a": 0.0, "b": 0.0})
    evaluation = training.pop("evaluation", {})
    own = training.pop("own", {})
    held = training.pop("held", {})
    settings = {"learning_rate": 3e-3, "prompts_per_step": 3, "checkpoint_every": 1} | training
    return Recipe.model_validate(
        {
            "model": {"path": str(model), "device": "cpu"} | held,
            "sampling": {"completions": 4, "max_new_tokens": 6, "max_prompt_tokens": 99},
            "training": settings,
            "evaluation": evaluation,
            "tasks": {
                name: {"data": "lab:math", "beta": beta, "rewards": {"math_answer": 1.0}} | own.get(name, {})
                for name, beta in betas.items()
            },
        }
    )


def prompts_of(recipe: Recipe) -> dict[str, list[Prompt]]:
    policy = make_policy()
    return {task: [prompt_of(policy, f"{task} {i}", task, i) for i in range(6)] for task in recipe.tasks}


def run(recipe: Recipe, folder: Path, *, schedule=None, observer=None, reward=None, clock=time.monotonic):
    prompts = prompts_of(recipe)
    sizes = {task: len(items) for task, items in prompts.items()}
    batches = schedule or curriculum_batches(sizes, ["b", "a"], prompts_per_step=3, epochs=1, seed=0)
    components = [Component("letters", reward or Letters(), 1.0, True)]
    folder.mkdir(exist_ok=True)
    batches = FixedSchedule(batches) if isinstance(batches, list) else batches
    with (
        Scorer(dict.fromkeys(recipe.tasks, components)) as scorer,
        Trainer(recipe, prompts, batches, scorer, folder, observer or Quiet(), seed=1, clock=clock) as trainer,
    ):
        trainer.train()
        return trainer.policy


def samples_of(groups, recipe):
    """Samples of scored groups, as the trainer builds them."""
    scale = recipe.training.scale_advantages
    return [group_samples(group, group_advantages(rewards_tensor(group), scale=scale)[0], recipe) for group in groups]


def weights(policy) -> list[torch.Tensor]:
    return [p.detach().clone() for p in policy.model.parameters()]


def same(one, two) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
