"""Multi-task GRPO, prompt to gradient: read this file from top to bottom.

P prompts per step, G completions per prompt, T tokens, B samples of a micro-batch.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from omnithinker.config.recipe import Recipe
from omnithinker.io.step_metrics import Seconds, StepMetrics
from omnithinker.policy.base import Policy
from omnithinker.policy.logprobs import Reference, TokenBatch, completion_logprobs, compute_prefix, pad_right
from omnithinker.rewards.runner import Scorer
from omnithinker.rollout.base import Sampling, make_generator, rollout, sample_seed
from omnithinker.schedules.base import Batch, Schedule
from omnithinker.train import faults
from omnithinker.train.advantages import group_advantages
from omnithinker.train.batching import (
    GroupSamples,
    Sample,
    StepSamples,
    group_samples,
    make_batch,
    microbatches,
    rewards_tensor,
    stack_advantages,
)
from omnithinker.train.callbacks import Observer, default_callbacks
from omnithinker.train.checkpoint import TrainerState
from omnithinker.train.loop import TrainingLoop
from omnithinker.train.losses import LossParts, grpo_loss, importance_weights
from omnithinker.train.metrics import Update, step_metrics
from omnithinker.train.setup import load_or_resume, set_learning_rate
from omnithinker.types import Prompt, RolloutGroup


@dataclass(frozen=True, slots=True)
class StepResult:
    """Outcome of a step, for callbacks."""

    batch: Batch
    """Items of the schedule."""
    groups: Sequence[RolloutGroup]
    """[P] scored groups."""
    metrics: StepMetrics
    """Metrics of the step."""


class Trainer(TrainingLoop):
    """Multi-task GRPO of one policy along one schedule; resumes from the newest checkpoint of its folder.

    Args:
        recipe: all settings.
        prompts: per task, the prompts that schedule items index.
        schedule: prompts of every step.
        scorer: rewards of every task.
        folder: run folder.
        observer: shows progress, evaluates and validates during training.
        seed: fixes the samples.
        base: frozen base policy, used as reference policy if a task has a KL term; loaded if it is None.
        clock: seconds, for checkpoints by time.
    """

    observer: Observer

    def __init__(
        self,
        recipe: Recipe,
        prompts: Mapping[str, Sequence[Prompt]],
        schedule: Schedule,
        scorer: Scorer,
        folder: Path,
        observer: Observer,
        *,
        seed: int,
        base: Policy | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.clock = clock
        self.recipe, self.prompts, self.schedule, self.scorer = recipe, prompts, schedule, scorer
        self.folder, self.observer, self.seed = folder, observer, seed
        self.policy, self.reference, self.optimizer, self.state = load_or_resume(
            recipe, schedule, folder, observer.note, seed=seed, base=base
        )
        self.generator = make_generator(self.policy, recipe)
        self.callbacks = default_callbacks(self)
        scorer.progress.step, scorer.progress.steps = self.state.step, len(schedule)

    def next_step(self) -> StepResult:
        """Train on the next prompts of the schedule."""
        return self.step(self.schedule.batch(self.state.step, self.state.schedule))

    def after(self, result: StepResult) -> TrainerState:
        """Return the state after a step."""
        self.scorer.progress.step = result.metrics.step
        return self.state.after_step(result.batch, self.schedule, result.metrics)

    def close(self) -> None:
        """Wait for a checkpoint being written and close the generator; the policy remains usable."""
        super().close()
        self.generator.close()

    @property
    def finished(self) -> bool:
        """True at the end of the schedule, or once ``evaluation.patience`` is exhausted."""
        patience = self.recipe.evaluation.patience
        return super().finished or 0 < patience <= self.state.selection.waited

    def step(self, batch: Batch) -> StepResult:
        """Train on P prompts: Eq. 2-5.

        Scoring starts while generation still runs, and with one minibatch the update starts while scores are
        outstanding. Several minibatches wait for all scores: an update cannot be undone when a reward fails later.
        """
        started = time.perf_counter()
        with self.scorer.score(self.generate(batch)) as groups:  # P groups of G trajectories
            generated = time.perf_counter()
            samples = StepSamples(groups, self.with_advantages)  # Eq. 2-3
            updates = [self.optimize(minibatch) for minibatch in self.minibatches(samples)]  # Eq. 4-5
        self.generator.sync(self.policy)
        seconds = Seconds(generated - started, groups.waited_s, time.perf_counter() - generated - groups.waited_s)
        return self.result(batch, samples.groups(), updates, seconds)

    def generate(self, batch: Batch) -> Iterator[tuple[int, RolloutGroup]]:
        """Sample G completions for each prompt; yield (position, group) in order of completion."""
        prompts = [self.prompts[item.task][item.index] for item in batch]
        seeds_PG = sample_seeds(batch, self.recipe, self.seed, self.state.step)
        sampling_P = [Sampling.of(self.recipe.sampling_of(prompt.task)) for prompt in prompts]
        return rollout(self.generator, self.policy, prompts, seeds_PG, sampling_P)

    def with_advantages(self, group: RolloutGroup) -> GroupSamples:
        """Build the samples of a scored group with its advantages, Eq. 2-3; update and metrics share them."""
        advantages_1G = group_advantages(rewards_tensor(group), scale=self.recipe.training.scale_advantages)
        return group_samples(group, advantages_1G[0], self.recipe)

    def minibatches(self, samples: StepSamples) -> Sequence[Iterable[GroupSamples]]:
        """Split the step into minibatches; several need the log-probabilities before the first update."""
        minibatches = samples.minibatches(self.recipe.training.minibatches)
        if len(minibatches) == 1:
            return minibatches
        return [with_old_logprobs(self.policy, list(groups), self.recipe) for groups in minibatches]

    def optimize(self, groups: Iterable[GroupSamples]) -> Update | None:
        """Update the policy on one minibatch; None if no completion has an advantage."""
        set_learning_rate(self.optimizer, self.recipe, self.state.updates)
        update = update_policy(
            self.policy, self.reference, self.optimizer, groups, self.recipe, note=self.observer.note
        )
        if update is None:
            return None
        if not update.finite:
            samples = [sample.to_record() for group in groups for sample in group.samples]
            self.report_nonfinite(update.loss, update.grad_norm, samples)
        self.state = self.state.after_update(update.finite)
        return update

    def result(
        self, batch: Batch, groups: Sequence[GroupSamples], updates: Sequence[Update | None], seconds: Seconds
    ) -> StepResult:
        """Measure a step."""
        groups_P = [group.group for group in groups]
        metrics = step_metrics(
            self.state.step + 1,
            groups_P,
            stack_advantages(groups),
            [update for update in updates if update is not None],
            seconds,
            self.scorer.ledger.metrics(),
        )
        return StepResult(batch, groups_P, metrics)


def sample_seeds(batch: Batch, recipe: Recipe, seed: int, step: int) -> list[list[int]]:
    """[P][G] one seed per completion; a prompt that occurs twice in a batch gets new ones the second time."""
    counts: Counter[tuple[str, int]] = Counter()
    seeds_PG = []
    for item in batch:
        first = counts[item.task, item.index]
        numbers = range(first, first + recipe.sampling_of(item.task).completions)
        seeds_PG.append([sample_seed(seed, step, item.task, item.index, g) for g in numbers])
        counts[item.task, item.index] += len(numbers)
    return seeds_PG


def with_old_logprobs(policy: Policy, groups: Sequence[GroupSamples], recipe: Recipe) -> list[GroupSamples]:
    """Add the log-probabilities for Eq. 4's ratio if a rollout batch gives several updates.

    They are those recorded by the generator; the trainer recomputes them for importance sampling correction, and if
    the generator reports none. Call it before the first update.
    """
    recorded = all(sample.trajectory.logprobs for group in groups for sample in group.samples)
    if recorded and recipe.training.importance_sampling_correction == "off":
        return [group.map(lambda sample: replace(sample, old_logprobs=sample.trajectory.logprobs)) for group in groups]
    computed: dict[int, list[float]] = {}
    with torch.no_grad():
        for prompts, batches in microbatches((group.samples for group in groups), recipe.training.microbatch_tokens):
            prefix = compute_prefix(policy, make_batch(batches[0], policy.device, prompts))
            for samples in batches:
                batch = make_batch(samples, policy.device, prompts)
                for sample, logprob_T in zip(samples, completion_logprobs(policy, batch, prefix).tolist(), strict=True):
                    computed[id(sample)] = logprob_T[: len(sample.trajectory.token_ids)]
    return [group.map(lambda sample: replace(sample, old_logprobs=computed[id(sample)])) for group in groups]


def update_policy(
    policy: Policy,
    reference: Reference | None,
    optimizer: torch.optim.Optimizer,
    groups: Iterable[GroupSamples],
    recipe: Recipe,
    *,
    note: Callable[[str], None],
) -> Update | None:
    """Make one optimizer update on one minibatch: Eq. 4-5, accumulated over micro-batches.

    If loss or gradient is not finite, the optimizer step is skipped. If memory runs out, the gradient is recomputed
    once with micro-batches of half the size.

    Returns:
        None if no completion has an advantage; there is no update then.

    Raises:
        TrainingError: if memory runs out again.
    """
    with policy.converts_weights_once():
        gradient = faults.with_less_memory(
            lambda budget: compute_gradient(policy, reference, groups, recipe, budget),
            recipe.training.microbatch_tokens,
            note,
        )
    if gradient is None:
        return None
    norm = torch.nn.utils.clip_grad_norm_(policy.trained, recipe.training.max_grad_norm)
    update = Update(gradient.loss, float(norm), gradient.kl, gradient.clip_frac)
    if update.finite:
        optimizer.step()
    return update


class Gradient(NamedTuple):
    """Loss and metrics of the minibatch whose gradient the weights hold."""

    loss: float
    """Loss of the minibatch."""
    kl: dict[str, list[float]]
    """Per task with a KL term, the KL estimate of each sample (nats)."""
    clip_frac: dict[str, list[float]]
    """Per task, the share of each sample's actions at which the clip is active."""


def compute_gradient(
    policy: Policy, reference: Reference | None, groups: Iterable[GroupSamples], recipe: Recipe, budget: int
) -> Gradient | None:
    """Set the gradient of every trained weight to that of the loss of a minibatch.

    Args:
        policy: the policy.
        reference: reference policy of the KL term, if there is one.
        groups: the minibatch, iterated twice; in the first pass groups may arrive while earlier ones are computed.
        recipe: settings of the loss.
        budget: tokens of a micro-batch.

    Returns:
        None if the minibatch has no samples.
    """
    for parameter in policy.trained:
        # Zero and not None: an update without active samples still lets AdamW's averages decay, as a plain loop would.
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        else:
            parameter.grad.zero_()
    loss, kl, clip_frac = 0.0, dict[str, list[float]](), dict[str, list[float]]()
    for prompts, batches in microbatches((group.active for group in groups), budget):
        ref = reference if any(sample.beta > 0 for samples in batches for sample in samples) else None
        prefix = ref_prefix = None
        if len(batches) > 1:
            block = make_batch(batches[0], policy.device, prompts)
            prefix, ref_prefix = compute_prefix(policy, block), ref.compute_prefix(block) if ref else None
        for samples in batches:
            batch = make_batch(samples, policy.device, prompts)
            logprob_BT = completion_logprobs(policy, batch, prefix)
            with_kl = any(sample.beta > 0 for sample in samples)
            ref_logprob_BT = ref.logprobs(batch, ref_prefix) if ref and with_kl else None
            parts = minibatch_loss(samples, batch, logprob_BT, ref_logprob_BT, recipe)
            parts.loss.backward()
            loss += float(parts.loss.detach())
            for sample, kl_b, clip_frac_b in zip(samples, parts.kl_B.tolist(), parts.clip_frac_B.tolist(), strict=True):
                if sample.beta > 0:
                    kl.setdefault(sample.prompt.task, []).append(kl_b)
                clip_frac.setdefault(sample.prompt.task, []).append(clip_frac_b)
        if prefix is not None:
            prefix.backward()
    total = sum((group.total for group in groups), 0.0)  # known once the last group is scored, hence divided by here
    if not total:
        return None
    torch._foreach_div_([parameter.grad for parameter in policy.trained if parameter.grad is not None], total)
    return Gradient(loss / total, kl, clip_frac)


def minibatch_loss(
    samples: Sequence[Sample], batch: TokenBatch, logprob_BT: Tensor, ref_logprob_BT: Tensor | None, recipe: Recipe
) -> LossParts:
    """A micro-batch's share of the loss of its minibatch, Eq. 4-5, before division by the total."""
    training = recipe.training

    def per_sample(values: Iterable[float]) -> Tensor:
        return logprob_BT.new_tensor(list(values))

    def per_token(values: Sequence[Sequence[float]]) -> Tensor:
        return pad_right(values, logprob_BT.dtype).to(logprob_BT.device)

    # With one update per rollout batch rho = 1 by construction, and no old log-probabilities are needed.
    old_logprobs = [sample.old_logprobs for sample in samples if sample.old_logprobs is not None]
    old_logprob_BT = per_token(old_logprobs) if old_logprobs else None
    importance_BT = None
    if training.importance_sampling_correction != "off":
        importance_BT = importance_weights(
            logprob_BT if old_logprob_BT is None else old_logprob_BT,
            per_token([sample.trajectory.logprobs for sample in samples]),
            batch.action_mask_BT,
            level=training.importance_sampling_correction,
            cap=training.importance_sampling_cap,
            mode=training.importance_sampling_mode,
        )
    return grpo_loss(
        logprob_BT,
        batch.action_mask_BT,
        old_logprob_BT=old_logprob_BT,
        ref_logprob_BT=ref_logprob_BT,
        advantage_B=per_sample(sample.advantage for sample in samples),
        weight_B=per_sample(sample.weight for sample in samples),
        beta_B=per_sample(sample.beta for sample in samples),
        clip_low_B=per_sample(sample.clip[0] for sample in samples),
        clip_high_B=per_sample(sample.clip[1] for sample in samples),
        kl=training.kl,
        importance_BT=importance_BT,
    )
