"""Multi-task GRPO, prompt to gradient: read this file from top to bottom.

P prompts per step, G completions per prompt, T tokens, B rows of a micro-batch.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from omnithinker.config.recipe import Recipe
from omnithinker.errors import Interrupted, OmniThinkerError, TrainingError
from omnithinker.io import step_metrics as typed
from omnithinker.io.runlog import RunLog
from omnithinker.judge.base import BudgetSpent
from omnithinker.policy.base import Policy
from omnithinker.policy.logprobs import Reference, TokenBatch, completion_logprobs, compute_prompts
from omnithinker.rewards.runner import Rollout, Scorer
from omnithinker.rollout.native import generate, sample_seed, sampling_of
from omnithinker.schedules.base import Batch, Schedule
from omnithinker.train import checkpoint
from omnithinker.train import faults as mishaps
from omnithinker.train.batching import Part, Parts, Row, advantages, batch_of, microbatches, split
from omnithinker.train.checkpoint import TrainerState
from omnithinker.train.losses import LossParts, grpo_loss, importance_weights
from omnithinker.train.metrics import Seconds, StepMetrics, Update, step_metrics
from omnithinker.train.setup import set_learning_rate, start_training
from omnithinker.train.undefined import UndefinedLimit
from omnithinker.types import Prompt
from omnithinker.ui.interrupt import StopFlag


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

    def on_validate(self, policy: Policy, step: int) -> Mapping[str, float]:
        """It is time for a validation: the accuracy of every task of the run."""
        ...


def train(
    recipe: Recipe,
    prompts: Mapping[str, Sequence[Prompt]],
    schedule: Schedule,
    scorer: Scorer,
    folder: Path,
    observer: Observer,
    *,
    seed: int,
) -> tuple[Policy, TrainerState]:
    """Train a policy along a schedule; goes on from the newest checkpoint in ``folder`` if there is one.

    Args:
        recipe: all settings.
        prompts: per task, the prompts that schedule items index.
        schedule: which prompts form which step.
        scorer: rewards of every task.
        folder: the run folder.
        observer: told of every step.
        seed: fixes the samples.

    Returns:
        The trained policy, and where the run ended.

    Raises:
        Interrupted: the user stopped the run; a checkpoint of the last finished step is on disk.
        BudgetSpent: a judge's money or time is used up; a checkpoint of the last finished step is on disk.
        RewardError: a reward component failed, or was undefined too often.
        TrainingError: loss or gradient stayed non-finite, or memory ran out twice in one update.
    """
    policy, reference, optimizer, state = start_training(recipe, schedule, folder, observer.note, seed=seed)
    log = RunLog(folder, state.step)
    watch = UndefinedLimit(recipe.training.max_undefined)
    for record in log.records:
        watch.add(record)
    scorer.progress.step, scorer.progress.steps = state.step, len(schedule)
    checkpoint.keep_best(folder / "checkpoints", state.selection)  # a kill may have come between the two
    with StopFlag() as stop:
        while not finished(state, schedule, recipe):
            started = time.perf_counter()
            batch = schedule.batch(state.step, state.schedule)
            batch_prompts = [prompts[item.task][item.index] for item in batch]
            drawn = rollout(policy, batch_prompts, sample_seeds(batch, recipe, seed, state.step), recipe, scorer)
            generated = time.perf_counter()
            try:
                updates, state = learn(policy, reference, optimizer, drawn, state, recipe, folder, observer.note)
                groups = drawn.groups()
            except TrainingError:
                raise  # some updates of this step may have been made
            except OmniThinkerError as error:
                drawn.settle()
                _save_unless_saved(folder, state, policy, optimizer, recipe)
                if isinstance(error, BudgetSpent):
                    raise BudgetSpent(f"stopped after step {state.step}: {error}") from error
                raise
            seconds = Seconds(generated - started, drawn.waited_s, time.perf_counter() - generated - drawn.waited_s)
            metrics = step_metrics(
                state.step + 1, groups, advantages(groups, recipe), updates, seconds, scorer.ledger.metrics()
            )
            log.step(metrics.record())
            log.rollouts(metrics.step, groups)
            watch.add(metrics.values)
            state = after_step(state, batch, schedule, metrics)
            scorer.progress.step = state.step
            state = measure(policy, state, recipe, observer, end=state.step == len(schedule))
            last = finished(state, schedule, recipe)
            improved = state.selection.improved_at(state.step)
            if stop.requested or last or improved or state.step % recipe.training.checkpoint_every == 0:
                checkpoint.save_checkpoint(folder / "checkpoints", state, policy, optimizer, keep=recipe.training.keep)
            if improved:
                checkpoint.keep_best(folder / "checkpoints", state.selection)
            observer.on_step(metrics, len(schedule))
            if state.nonfinite >= mishaps.IN_A_ROW:
                _save_unless_saved(folder, state, policy, optimizer, recipe)
                raise mishaps.too_many(folder, state.step)
            if stop.requested and not last:
                raise Interrupted(f"stopped after step {state.step}; the same command goes on from there")
    return policy, state


def learn(
    policy: Policy,
    reference: Reference | None,
    optimizer: torch.optim.Optimizer,
    drawn: Rollout,
    state: TrainerState,
    recipe: Recipe,
    folder: Path,
    note: Callable[[str], None],
) -> tuple[list[Update], TrainerState]:
    """The updates of a step.

    With one minibatch they begin while the last verdicts are still out. Several wait for all: an update cannot be
    taken back when a reward fails after it.

    Returns:
        The updates, and the state that counts them.
    """
    minibatches: list[Iterable[Part]] = [
        Parts(drawn, members, recipe) for members in split(len(drawn), recipe.training.minibatches)
    ]
    if len(minibatches) > 1:
        minibatches = [with_old_logprobs(policy, list(parts), recipe) for parts in minibatches]
    updates = []
    for parts in minibatches:
        set_learning_rate(optimizer, recipe, state.updates)
        made = update(policy, reference, optimizer, parts, recipe, note)
        if made is None:
            continue
        if not made.finite:
            rows = [row for part in parts for row in part.rows]
            note(mishaps.write_aside(folder, state.step + 1, made, rows, policy))
        updates.append(made)
        state = state.after_update(made.finite)
    return updates, state


def after_step(state: TrainerState, batch: Batch, schedule: Schedule, metrics: StepMetrics) -> TrainerState:
    """The state when a step is finished."""
    return replace(
        state,
        step=state.step + 1,
        schedule=schedule.after(state.step, state.schedule, typed.StepMetrics.from_record(metrics.record())),
        selection=state.selection.with_trained(item.task for item in batch),
    )


def finished(state: TrainerState, schedule: Schedule, recipe: Recipe) -> bool:
    """Whether the schedule is at its end, or patience with validations that bring nothing new."""
    patience = recipe.evaluation.patience
    return state.step >= len(schedule) or (patience > 0 and state.selection.waited >= patience)


def measure(policy: Policy, state: TrainerState, recipe: Recipe, observer: Observer, *, end: bool) -> TrainerState:
    """Evaluate or validate if it is time to; the state keeps what a validation found.

    Args:
        policy: as the step has left it.
        state: its step is finished.
        recipe: says when to measure, and on what.
        observer: measures.
        end: whether the schedule ends here; validation takes place then too, evaluation is the caller's.
    """
    settings = recipe.evaluation
    if settings.every == 0 or not (end or state.step % settings.every == 0):
        return state
    if settings.validation_items:
        found = state.selection.after(state.step, observer.on_validate(policy, state.step))
        return replace(state, selection=found)
    if not end:
        observer.on_evaluate(policy, state.step)
    return state


def _save_unless_saved(
    folder: Path, state: TrainerState, policy: Policy, optimizer: torch.optim.Optimizer, recipe: Recipe
) -> None:
    """Checkpoint the last finished step of a run that has to stop."""
    checkpoints = folder / "checkpoints"
    if state.step and not (checkpoints / f"step-{state.step}").exists():
        checkpoint.save_checkpoint(checkpoints, state, policy, optimizer, keep=recipe.training.keep)


def sample_seeds(batch: Batch, recipe: Recipe, seed: int, step: int) -> list[list[int]]:
    """[P][G] one seed per completion; a prompt that comes twice in a batch gets new ones the second time."""
    drawn: Counter[tuple[str, int]] = Counter()
    seeds_PG = []
    for item in batch:
        first = drawn[item.task, item.index]
        numbers = range(first, first + recipe.sampling_of(item.task).completions)
        seeds_PG.append([sample_seed(seed, step, item.task, item.index, g) for g in numbers])
        drawn[item.task, item.index] += len(numbers)
    return seeds_PG


def rollout(
    policy: Policy,
    prompts: Sequence[Prompt],
    seeds_PG: Sequence[Sequence[int]],
    recipe: Recipe,
    scorer: Scorer,
) -> Rollout:
    """Sample G completions for each prompt; a group is scored while others are still being generated."""
    sampling_P = [sampling_of(recipe.sampling_of(prompt.task)) for prompt in prompts]
    drawn = generate(policy, prompts, seeds_PG, sampling_P, batch_size=recipe.sampling.batch_size)
    return Rollout({p: scorer.submit(group) for p, group in drawn})


def with_old_logprobs(policy: Policy, parts: Sequence[Part], recipe: Recipe) -> list[Part]:
    """Parts with the log-probabilities that Eq. 4's ratio needs when a rollout batch gives several updates.

    They are those that the generator recorded. Where these are corrected for, the trainer computes its own; to be
    called before the first update.
    """
    if recipe.training.importance_sampling_correction == "off":
        return [part.map(lambda row: replace(row, old_logprobs=row.completion.logprobs)) for part in parts]
    known: dict[int, list[float]] = {}
    with torch.no_grad():
        for prompts, batches in microbatches((part.rows for part in parts), recipe.training.microbatch_tokens):
            computed = compute_prompts(policy, batch_of(batches[0], policy.device, prompts))
            for rows in batches:
                batch = batch_of(rows, policy.device, prompts)
                for row, logprob_T in zip(rows, completion_logprobs(policy, batch, computed).tolist(), strict=True):
                    known[id(row)] = logprob_T[: len(row.completion.token_ids)]
    return [part.map(lambda row: replace(row, old_logprobs=known[id(row)])) for part in parts]


def update(
    policy: Policy,
    reference: Reference | None,
    optimizer: torch.optim.Optimizer,
    parts: Iterable[Part],
    recipe: Recipe,
    note: Callable[[str], None],
) -> Update | None:
    """One optimizer update on one minibatch: Eq. 4-5, summed over micro-batches.

    Where loss or gradient is not finite, the optimizer makes no step. When memory runs out, the gradient is computed
    once more in micro-batches of half the size.

    Returns:
        None where no completion has an advantage; there is no update then.

    Raises:
        TrainingError: memory ran out again.
    """
    found = mishaps.with_less_memory(
        lambda budget: gradient(policy, reference, parts, recipe, budget), recipe.training.microbatch_tokens, note
    )
    if found is None:
        return None
    norm = torch.nn.utils.clip_grad_norm_(policy.trained, recipe.training.max_grad_norm)
    result = Update(found.loss, float(norm), found.kl, found.clip_frac)
    if result.finite:
        optimizer.step()
    return result


class Gradient(NamedTuple):
    """What the gradient that the weights now hold is of."""

    loss: float
    """Of the minibatch."""
    kl: dict[str, list[float]]
    """Per task with a KL term, the KL estimate of each row (nats)."""
    clip_frac: dict[str, list[float]]
    """Per task, the share of each row's tokens at which the clip was active."""


def gradient(
    policy: Policy, reference: Reference | None, parts: Iterable[Part], recipe: Recipe, budget: int
) -> Gradient | None:
    """Set every trained weight's gradient to that of the loss of a minibatch.

    Args:
        policy: whose gradient.
        reference: the policy of the KL term, if there is one.
        parts: the minibatch; its parts may come in while the first are being worked on.
        recipe: settings of the loss.
        budget: tokens of a micro-batch.

    Returns:
        None where the minibatch has no rows.
    """
    for parameter in policy.trained:
        # Zero and not None: an update without active rows still lets AdamW's averages decay, as a plain loop would.
        parameter.grad = torch.zeros_like(parameter)
    found = Gradient(0.0, {}, {})
    loss = total = 0.0

    def active() -> Iterator[list[Row]]:
        """Rows that add to the gradient; one with advantage 0 and beta 0 counts in the total only."""
        nonlocal total
        for part in parts:
            total += part.total
            yield [row for row in part.rows if row.advantage != 0 or row.beta != 0]

    for prompts, batches in microbatches(active(), budget):
        whole = batch_of(batches[0], policy.device, prompts)
        computed = compute_prompts(policy, whole)
        with_kl = reference if reference is not None and any(row.beta > 0 for rows in batches for row in rows) else None
        their_prompts = with_kl.compute_prompts(whole) if with_kl else None
        for rows in batches:
            batch = batch_of(rows, policy.device, prompts)
            ref_logprob_BT = None
            if with_kl and any(row.beta > 0 for row in rows):
                ref_logprob_BT = with_kl.logprobs(batch, their_prompts)
            piece = _loss(rows, batch, completion_logprobs(policy, batch, computed), ref_logprob_BT, recipe)
            piece.loss.backward()
            loss += float(piece.loss.detach())
            for row, kl, clipped in zip(rows, piece.kl_B.tolist(), piece.clip_frac_B.tolist(), strict=True):
                if row.beta > 0:
                    found.kl.setdefault(row.prompt.task, []).append(kl)
                found.clip_frac.setdefault(row.prompt.task, []).append(clipped)
        if computed is not None:
            computed.backward()
    if not total:
        return None
    # The last verdict decides by how much to divide, so that comes last.
    torch._foreach_div_([parameter.grad for parameter in policy.trained if parameter.grad is not None], total)
    return found._replace(loss=loss / total)


def _loss(
    rows: Sequence[Row], batch: TokenBatch, logprob_BT: Tensor, ref_logprob_BT: Tensor | None, recipe: Recipe
) -> LossParts:
    """A micro-batch's share of the loss (Eq. 4-5)."""
    training = recipe.training

    def per_row(values: Iterable[float]) -> Tensor:
        return logprob_BT.new_tensor(list(values))

    def per_token(values: Iterable[Sequence[float]]) -> Tensor:
        flat = per_row(value for row_values in values for value in row_values)
        return torch.zeros_like(logprob_BT).masked_scatter(batch.mask_BT, flat)

    # With one update per rollout batch rho = 1 by construction, and no old log-probabilities are needed.
    known = [row.old_logprobs for row in rows if row.old_logprobs is not None]
    old_logprob_BT = per_token(known) if known else None
    importance_BT = None
    if training.importance_sampling_correction != "off":
        importance_BT = importance_weights(
            logprob_BT if old_logprob_BT is None else old_logprob_BT,
            per_token(row.completion.logprobs for row in rows),
            batch.mask_BT,
            level=training.importance_sampling_correction,
            cap=training.importance_sampling_cap,
            excess=training.importance_sampling_mode,
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
