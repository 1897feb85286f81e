"""Multi-task GRPO, prompt to gradient: read this file from top to bottom.

P prompts per step, G completions per prompt, T tokens, B rows of a micro-batch.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from omnithinker import checkpoint
from omnithinker.advantages import group_advantages
from omnithinker.checkpoint import TrainerState
from omnithinker.errors import CheckpointError, DamagedCheckpoint, Interrupted
from omnithinker.generation.native import generate, sample_seed, sampling_of
from omnithinker.interrupt import StopFlag
from omnithinker.losses import LossParts, grpo_loss, importance_weights, row_weights
from omnithinker.metrics import StepMetrics, step_metrics
from omnithinker.policy import Policy, TokenBatch, completion_logprobs, load_policy, token_batch
from omnithinker.recipe import Recipe
from omnithinker.runlog import RunLog
from omnithinker.schedule import Batch
from omnithinker.scoring import Scorer
from omnithinker.types import Completion, Prompt, RolloutGroup
from omnithinker.watch import UndefinedWatch


class Observer(Protocol):
    """Watches a run: the live view and the evaluation during training."""

    def on_step(self, metrics: StepMetrics, total: int) -> None:
        """A step is finished and logged."""
        ...

    def note(self, text: str) -> None:
        """The user should know something."""
        ...

    def on_evaluate(self, policy: Policy, step: int) -> None:
        """It is time for an evaluation during training."""
        ...


@dataclass(frozen=True, slots=True)
class Row:
    """One completion that has an advantage, with what the loss needs to know of it."""

    prompt: Prompt
    completion: Completion
    advantage: float
    """A of Eq. 3."""
    weight: float
    """Of its mean over tokens in the loss of its minibatch, the task's own weight included."""
    beta: float
    """beta_k of its task."""
    clip: tuple[float, float] = (0.2, 0.2)
    """Lower and upper clip of its task."""
    temperature: float = 1.0
    """At which it was drawn and is scored."""
    old_logprobs: Sequence[float] | None = None
    """[T] under the policy at the start of the step; None in its first update, where that is the policy itself."""


def train(
    recipe: Recipe,
    prompts: Mapping[str, Sequence[Prompt]],
    schedule: Sequence[Batch],
    scorer: Scorer,
    folder: Path,
    observer: Observer,
    *,
    seed: int,
) -> Policy:
    """Train a policy along a schedule; goes on from the newest checkpoint in ``folder`` if there is one.

    Args:
        recipe: all settings.
        prompts: per task, the prompts that schedule items index.
        schedule: the batches.
        scorer: rewards of every task.
        folder: the run folder.
        observer: told of every step.
        seed: fixes the samples.

    Returns:
        The trained policy.

    Raises:
        Interrupted: the user stopped the run; a checkpoint of the last finished step is on disk.
        RewardError: a reward component failed, or was undefined too often.
    """
    policy, reference, optimizer, state = _start(recipe, folder, observer)
    log = RunLog(folder, state.step)
    watch = UndefinedWatch(recipe.training.max_undefined)
    for record in log.records:
        watch.add(record)
    with StopFlag() as stop:
        while state.step < len(schedule):
            started = time.perf_counter()
            batch = schedule[state.step]
            batch_prompts = [prompts[item.task][item.index] for item in batch]
            seeds_PG = [
                [
                    sample_seed(seed, state.step, item.task, item.index, g)
                    for g in range(recipe.sampling_of(item.task).completions)
                ]
                for item in batch
            ]
            groups = rollout(policy, batch_prompts, seeds_PG, recipe, scorer)
            generated = time.perf_counter()

            advantages_PG = group_advantages(rewards(groups), scale=recipe.training.scale_advantages)
            minibatches = [
                weighted_rows([groups[p] for p in members], advantages_PG[members], recipe)
                for members in split(len(groups), recipe.training.minibatches)
            ]
            if len(minibatches) > 1:
                minibatches = [with_old_logprobs(policy, rows, recipe) for rows in minibatches]
            parts = []
            for rows in filter(None, minibatches):
                set_learning_rate(optimizer, recipe, state.updates)
                parts.append(update(policy, reference, optimizer, rows, recipe))
                state = replace(state, updates=state.updates + 1)

            state = replace(state, step=state.step + 1)
            seconds = (generated - started, time.perf_counter() - generated)
            metrics = step_metrics(state.step, groups, advantages_PG, parts, seconds)
            log.step(metrics.record())
            watch.add(metrics.values)
            log.rollouts(state.step, groups)
            last = state.step == len(schedule)
            if not last and recipe.evaluation.every and state.step % recipe.evaluation.every == 0:
                observer.on_evaluate(policy, state.step)
            if stop.requested or last or state.step % recipe.training.checkpoint_every == 0:
                checkpoint.save_checkpoint(folder / "checkpoints", state, policy, optimizer, keep=recipe.training.keep)
            observer.on_step(metrics, len(schedule))
            if stop.requested and not last:
                raise Interrupted(f"stopped after step {state.step}; the same command goes on from there")
    return policy


def rollout(
    policy: Policy,
    prompts: Sequence[Prompt],
    seeds_PG: Sequence[Sequence[int]],
    recipe: Recipe,
    scorer: Scorer,
) -> list[RolloutGroup]:
    """Sample G completions for each prompt; a group is scored while others are still being generated.

    Returns:
        [P] scored groups, in the order of the prompts.
    """
    sampling_P = [sampling_of(recipe.sampling_of(prompt.task)) for prompt in prompts]
    futures = {p: scorer.submit(group) for p, group in generate(policy, prompts, seeds_PG, sampling_P)}
    return [futures[p].result() for p in range(len(prompts))]


def rewards(groups: Sequence[RolloutGroup]) -> Tensor:
    """[P, G] total rewards in float64; NaN where a completion is undefined, or where a task draws fewer than G."""
    rewards_PG = torch.full((len(groups), max(len(group.scores) for group in groups)), torch.nan, dtype=torch.float64)
    for p, group in enumerate(groups):
        for g, score in enumerate(group.scores):
            if score.reward is not None:
                rewards_PG[p, g] = score.reward
    return rewards_PG


def split(count: int, minibatches: int) -> list[list[int]]:
    """Indices of P prompts in at most ``minibatches`` consecutive parts of equal size (the last may be smaller)."""
    size = -(-count // minibatches)
    return [list(range(start, min(start + size, count))) for start in range(0, count, size)]


def weighted_rows(groups: Sequence[RolloutGroup], advantages_PG: Tensor, recipe: Recipe) -> list[Row]:
    """The completions of a minibatch that have an advantage, with their weight in the loss.

    Undefined completions, and groups with fewer than two defined ones, are not there at all.
    """
    training = recipe.training
    members = [
        (p, g)
        for p in range(len(groups))
        for g in range(len(groups[p].completions))
        if not torch.isnan(advantages_PG[p, g])
        and (training.truncated == "keep" or not groups[p].completions[g].truncated)
    ]
    if not members:
        return []
    weights = row_weights(
        torch.tensor([p for p, _ in members]),
        torch.tensor([len(groups[p].completions[g].token_ids) for p, g in members]),
        aggregation=training.aggregation,
        max_tokens_B=torch.tensor([recipe.sampling_of(groups[p].prompt.task).max_new_tokens for p, _ in members]),
    ).tolist()
    return [
        Row(
            prompt=groups[p].prompt,
            completion=groups[p].completions[g],
            advantage=float(advantages_PG[p, g]),
            weight=weight * recipe.tasks[groups[p].prompt.task].weight,
            beta=recipe.tasks[groups[p].prompt.task].beta,
            clip=recipe.clip_of(groups[p].prompt.task),
            temperature=recipe.sampling_of(groups[p].prompt.task).temperature,
        )
        for (p, g), weight in zip(members, weights, strict=True)
    ]


def with_old_logprobs(policy: Policy, rows: Sequence[Row], recipe: Recipe) -> list[Row]:
    """Rows with the log-probabilities that Eq. 4's ratio needs when a rollout batch gives several updates.

    They are those that the generator recorded. Where these are corrected for, the trainer computes its own; to be
    called before the first update.
    """
    if recipe.training.importance == "off":
        return [replace(row, old_logprobs=row.completion.logprobs) for row in rows]
    found = []
    with torch.no_grad():
        for microbatch in microbatches(rows, recipe.training.microbatch_tokens):
            batch = batch_of(microbatch, policy.device)
            lengths = batch.mask_BT.sum(dim=1).tolist()
            for row, logprob_T, length in zip(microbatch, completion_logprobs(policy, batch), lengths, strict=True):
                found.append(replace(row, old_logprobs=logprob_T[:length].tolist()))
    return found


def update(
    policy: Policy,
    reference: Policy | None,
    optimizer: torch.optim.Optimizer,
    rows: Sequence[Row],
    recipe: Recipe,
) -> dict[str, Any]:
    """One optimizer update on one minibatch: Eq. 4-5, summed over micro-batches.

    Returns:
        The loss, the gradient norm before clipping, and per task the KL and clipped share of its rows.
    """
    training = recipe.training
    for parameter in policy.model.parameters():
        # Zero and not None: an update without active rows still lets AdamW's averages decay, as a plain loop would.
        parameter.grad = torch.zeros_like(parameter)
    loss = 0.0
    kl: dict[str, list[float]] = {}
    clipped: dict[str, list[float]] = {}
    # A row with advantage 0 and beta 0 adds nothing to the gradient; its weight is already in the denominator.
    active = [row for row in rows if row.advantage != 0 or row.beta != 0]
    for microbatch in microbatches(active, training.microbatch_tokens):
        parts = _loss(policy, reference, microbatch, recipe)
        parts.loss.backward()
        loss += float(parts.loss.detach())
        for row, row_kl, row_clipped in zip(microbatch, parts.kl_B.tolist(), parts.clipped_B.tolist(), strict=True):
            if row.beta > 0:
                kl.setdefault(row.prompt.task, []).append(row_kl)
            clipped.setdefault(row.prompt.task, []).append(row_clipped)
    norm = torch.nn.utils.clip_grad_norm_(policy.model.parameters(), training.max_grad_norm)
    optimizer.step()
    return {"loss": loss, "grad_norm": float(norm), "kl": kl, "clipped": clipped}


def _loss(policy: Policy, reference: Policy | None, rows: Sequence[Row], recipe: Recipe) -> LossParts:
    """A micro-batch's share of the loss (Eq. 4-5)."""
    training = recipe.training
    batch = batch_of(rows, policy.device)
    logprob_BT = completion_logprobs(policy, batch)
    ref_logprob_BT = None
    if reference is not None and any(row.beta > 0 for row in rows):
        with torch.no_grad():
            ref_logprob_BT = completion_logprobs(reference, batch)

    def per_row(values: Iterable[float]) -> Tensor:
        return logprob_BT.new_tensor(list(values))

    def per_token(values: Iterable[Sequence[float]]) -> Tensor:
        flat = per_row(value for row_values in values for value in row_values)
        return torch.zeros_like(logprob_BT).masked_scatter(batch.mask_BT, flat)

    # With one update per rollout batch rho = 1 by construction, and no old log-probabilities are needed.
    known = [row.old_logprobs for row in rows if row.old_logprobs is not None]
    old_logprob_BT = per_token(known) if known else None
    importance_BT = None
    if training.importance != "off":
        importance_BT = importance_weights(
            logprob_BT if old_logprob_BT is None else old_logprob_BT,
            per_token(row.completion.logprobs for row in rows),
            batch.mask_BT,
            level=training.importance,
            cap=training.importance_cap,
            excess=training.importance_excess,
        )
    return grpo_loss(
        logprob_BT,
        batch.mask_BT,
        old_logprob_BT=old_logprob_BT,
        ref_logprob_BT=ref_logprob_BT,
        advantage_B=per_row(row.advantage for row in rows),
        weight_B=per_row(row.weight for row in rows),
        beta_B=per_row(row.beta for row in rows),
        clip_low_B=per_row(row.clip[0] for row in rows),
        clip_high_B=per_row(row.clip[1] for row in rows),
        kl=training.kl,
        importance_BT=importance_BT,
    )


def batch_of(rows: Sequence[Row], device: torch.device) -> TokenBatch:
    """A micro-batch as tensors; each prompt is there once."""
    prompts, index = unique_prompts(rows)
    members = [(index[b], row.completion) for b, row in enumerate(rows)]
    return token_batch(prompts, members, device, [row.temperature for row in rows])


def unique_prompts(rows: Sequence[Row]) -> tuple[list[Prompt], list[int]]:
    """The distinct prompts of some rows, and for each row the index of its prompt."""
    prompts: list[Prompt] = []
    known: dict[int, int] = {}
    index = []
    for row in rows:
        if id(row.prompt) not in known:
            known[id(row.prompt)] = len(prompts)
            prompts.append(row.prompt)
        index.append(known[id(row.prompt)])
    return prompts, index


def microbatches(rows: Sequence[Row], budget: int) -> Iterator[list[Row]]:
    """Cut rows into batches of similar completion length with at most ``budget`` tokens, padding included.

    Changes memory and speed, not the result: the loss is a sum over rows.
    """
    chunk: list[Row] = []
    for row in sorted(rows, key=lambda row: len(row.completion.token_ids)):
        longest = len(row.completion.token_ids)  # rows are sorted, so this one is the longest
        prompts, _ = unique_prompts([*chunk, row])
        cost = (len(chunk) + 1) * longest + len(prompts) * max(len(prompt.token_ids) for prompt in prompts)
        if chunk and cost > budget:
            yield chunk
            chunk = []
        chunk.append(row)
    if chunk:
        yield chunk


def set_learning_rate(optimizer: torch.optim.Optimizer, recipe: Recipe, updates: int) -> None:
    """Constant learning rate after a linear warm-up over the first updates."""
    training = recipe.training
    share = min(1.0, (updates + 1) / training.warmup_steps) if training.warmup_steps else 1.0
    for group in optimizer.param_groups:
        group["lr"] = training.learning_rate * share


def _start(
    recipe: Recipe, folder: Path, observer: Observer
) -> tuple[Policy, Policy | None, torch.optim.Optimizer, TrainerState]:
    """Policy, reference, optimizer and state: from the newest checkpoint that can be read, or from the base model."""
    for found in reversed(checkpoint.list_checkpoints(folder / "checkpoints")):
        try:
            state = checkpoint.read_state(found)
        except DamagedCheckpoint as error:
            observer.note(f"{error}; set aside as {checkpoint.set_aside(found).name}, going back to the one before")
        else:
            return _resume(recipe, folder, found, state)
    policy = load_policy(recipe.model)
    reference = policy.frozen_copy() if needs_reference(recipe) else None
    return policy, reference, make_optimizer(policy, recipe), TrainerState(step=0, updates=0, recipe=recipe.digest())


def _resume(
    recipe: Recipe, folder: Path, found: Path, state: TrainerState
) -> tuple[Policy, Policy | None, torch.optim.Optimizer, TrainerState]:
    if state.recipe != recipe.digest():
        raise CheckpointError(
            f"{folder} was started under other settings (see its recipe.toml); use another output folder, or remove it"
        )
    policy = load_policy(recipe.model, found)
    optimizer = make_optimizer(policy, recipe)
    checkpoint.restore_optimizer(found, policy, optimizer)
    # The reference is the policy that training started from, not the one it has become.
    reference = load_policy(recipe.model).frozen_copy() if needs_reference(recipe) else None
    return policy, reference, optimizer, state


def needs_reference(recipe: Recipe) -> bool:
    """Whether any task has a KL term."""
    return any(task.beta > 0 for task in recipe.tasks.values())


def make_optimizer(policy: Policy, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW over all weights."""
    training = recipe.training
    return torch.optim.AdamW(
        policy.model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
    )
