"""Check of the model on the tasks: a few groups of completions, sampled and scored as in training."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any

from omnithinker.checks.data import PlacedRow, TaskRows
from omnithinker.checks.report import Section
from omnithinker.checks.rewards import ProbeScorer
from omnithinker.checks.signal import Alternative, best_alternative, count_right, findings, other_places, varying
from omnithinker.config.recipe import Recipe
from omnithinker.config.rewards import RewardSettings
from omnithinker.errors import OmniThinkerError
from omnithinker.io.runlog import completion_record
from omnithinker.policy.loading import load_policy
from omnithinker.rewards.answers import AnswerSettings, answer_record, gold_of
from omnithinker.rewards.components import build_component, build_components
from omnithinker.rewards.resources import Resources
from omnithinker.rollout.base import Generator, Sampling, make_generator, sample_seed
from omnithinker.train.sft.run import warmed_up_model
from omnithinker.types import RolloutGroup

GROUP = 8
"""Most completions sampled per prompt."""


def check_samples(
    recipe: Recipe,
    resources: Resources,
    scorer: ProbeScorer,
    tasks: Mapping[str, TaskRows],
    prompts: int,
    note: Callable[[str], None],
) -> Section:
    """Sample completions of the model that runs start from, score them, and warn if nothing can be learnt.

    Args:
        recipe: The recipe.
        resources: Sandbox, judges and other objects that components share.
        scorer: Scores the completions.
        tasks: Rows per task.
        prompts: Training rows per task, chosen by the recipe's seed.
        note: Receives messages about the progress.
    """
    data: dict[str, Any] = {"prompts": prompts, "tasks": {}}
    notes: list[str] = []
    try:
        note("loading the model")
        policy = load_policy(recipe.model, warmed_up_model(recipe, note))
        with closing(make_generator(policy, recipe)) as generator:
            for task, task_rows in tasks.items():
                if not recipe.tasks[task].rewards:
                    continue
                rows = _choose(recipe, task, task_rows, prompts)
                if not rows:
                    notes.append(f"tasks.{task}: not sampled, because no training row can be used")
                    continue
                note(f"task {task}: sampling")
                groups = _sample(generator, recipe, task, rows)
                note(f"task {task}: scoring")
                data["tasks"][task], warnings = _judge(recipe, resources, scorer, task, rows, groups)
                notes += warnings
    except OmniThinkerError as error:
        return Section("samples", data, (str(error),), tuple(notes))
    return Section("samples", data, (), tuple(notes))


def _choose(recipe: Recipe, task: str, rows: TaskRows, count: int) -> list[PlacedRow]:
    limit = recipe.sampling.max_prompt_tokens
    usable = [row for row in rows.rows if row.split == "train" and 0 < len(row.prompt.token_ids) <= limit]
    return random.Random(f"generate {recipe.seed} {task}").sample(usable, min(count, len(usable)))


def _sample(generator: Generator, recipe: Recipe, task: str, rows: Sequence[PlacedRow]) -> list[RolloutGroup]:
    """[P] unscored groups of the task's completions, at most :data:`GROUP` each."""
    settings = recipe.sampling_of(task)
    members = range(min(settings.completions, GROUP))
    prompts = [row.prompt for row in rows]
    seeds_PG = [[sample_seed(recipe.seed, "check", task, prompt.index, g) for g in members] for prompt in prompts]
    found = dict(generator.generate(prompts, seeds_PG, [Sampling.of(settings)] * len(prompts)))
    return [found[p] for p in range(len(prompts))]


def _judge(
    recipe: Recipe,
    resources: Resources,
    scorer: ProbeScorer,
    task: str,
    rows: Sequence[PlacedRow],
    groups: Sequence[RolloutGroup],
) -> tuple[dict[str, Any], list[str]]:
    """Score the samples of a task; return data and warnings."""
    rewards = recipe.tasks[task].rewards
    scorer.use(task, *build_components(task, rewards, resources))
    groups = scorer.score(groups)
    tried = {name: _alternatives(task, name, settings, groups, resources, scorer) for name, settings in rewards.items()}
    best = [one for name, found in tried.items() if (one := best_alternative(found, _values(groups, name))) is not None]
    alternative = max(best, key=lambda one: (one.varying, one.right), default=None)
    completions = [completion for group in groups for completion in group.trajectories]
    scores = [score for group in groups for score in group.scores]
    reward_PG = [[score.reward for score in group.scores] for group in groups]
    data = {
        "samples": len(scores),
        "right": sum(score.correct == 1 for score in scores),
        "rewards": sorted({score.reward for score in scores if score.reward is not None}),
        "undefined": sum(score.reward is None for score in scores),
        "varying_groups": varying(reward_PG),
        "truncated": sum(completion.truncated for completion in completions),
        "mean_length": sum(completion.length for completion in completions) / len(completions),
        "max_new_tokens": recipe.sampling_of(task).max_new_tokens,
        "alternatives": [asdict(one) for found in tried.values() for one in found if one.right],
        "groups": [_group_record(row, group, rewards) for row, group in zip(rows, groups, strict=True)],
    }
    return data, findings(task, rewards, groups, alternative, recipe.sampling_of(task).max_new_tokens)


def _alternatives(
    task: str,
    name: str,
    settings: RewardSettings,
    groups: Sequence[RolloutGroup],
    resources: Resources,
    scorer: ProbeScorer,
) -> list[Alternative]:
    """Score the same samples with the answer at other places; places that find nothing else are left out."""
    found: list[Alternative] = []
    seen = {_answers(settings, groups)} if isinstance(settings, AnswerSettings) else set()
    for places in other_places(settings):
        other = settings.model_copy(update={"answer_from": places})
        answers = _answers(other, groups)
        if answers in seen:
            continue
        seen.add(answers)
        scorer.use(task, build_component(task, name, other, resources))
        values = _values(scorer.score(groups), name)
        found.append(Alternative(name, places, count_right(values), varying(values)))
    return found


def _answers(settings: Any, groups: Sequence[RolloutGroup]) -> tuple[str | None, ...]:
    return tuple(settings.finder.find(completion.text) for group in groups for completion in group.trajectories)


def _values(groups: Sequence[RolloutGroup], component: str) -> list[list[float | None]]:
    return [[score.components[component] for score in group.scores] for group in groups]


def _group_record(row: PlacedRow, group: RolloutGroup, rewards: Mapping[str, RewardSettings]) -> dict[str, Any]:
    pairs = zip(group.trajectories, group.scores, strict=True)
    completions = [completion_record(one, score) | answer_record(rewards, one.text) for one, score in pairs]
    return {"place": row.place, "prompt": row.prompt.text, "gold": gold_of(row.prompt.row), "completions": completions}
