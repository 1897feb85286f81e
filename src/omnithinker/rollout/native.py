"""The native generator: samples completions with the policy itself, on any device.

Each prompt is computed once for its G completions, and finished rows leave the batch. Each row has its own stream of
random numbers (one uniform number per token, from its seed), so a sample does not depend on the rest of the batch, and
no random state needs saving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor

from omnithinker.config.recipe import Recipe
from omnithinker.policy.base import Policy
from omnithinker.policy.narrow import NarrowWeights
from omnithinker.rollout.base import Sampling
from omnithinker.rollout.compiled import CompiledStep
from omnithinker.rollout.decoding import prefill
from omnithinker.rollout.sampling import SamplingTensors, sample_tokens
from omnithinker.types import Prompt, RolloutGroup, Trajectory


class NativeGenerator:
    """Generator that decodes with the weights of the policy in training: nothing to synchronize.

    Args:
        policy: the policy.
        batch_size: most completions decoded at once, all by default; those of a prompt stay together.
        compile: compile the decoding step.
    """

    def __init__(self, policy: Policy, *, batch_size: int | None = None, compile: bool = False) -> None:
        self.policy = policy
        self.batch_size = batch_size
        self.compiled = CompiledStep(policy.model) if compile else None

    @classmethod
    def from_recipe(cls, policy: Policy, recipe: Recipe) -> NativeGenerator:
        """Create the generator with a recipe's settings."""
        return cls(policy, batch_size=recipe.sampling.batch_size, compile=recipe.model.compile)

    def generate(
        self, prompts: Sequence[Prompt], seeds_PG: Sequence[Sequence[int]], sampling_P: Sequence[Sampling]
    ) -> Iterator[tuple[int, RolloutGroup]]:
        """Sample completions; see :meth:`omnithinker.rollout.base.Generator.generate`."""
        sizes = [len(seeds) for seeds in seeds_PG]
        # Compiled code converts weights itself. Copies last as long as this call: no update can make them stale.
        narrow = None if self.compiled else NarrowWeights(self.policy)
        for members in split_batches(sizes, self.batch_size or sum(sizes)):
            part = slice(members.start, members.stop)
            rows = _Rows(self.policy, self.compiled, prompts[part], seeds_PG[part], sampling_P[part])
            unfinished = sizes[part]
            for finished in _steps(self.policy.autocast if narrow is None else narrow.in_use, rows.decode()):
                for b in finished:
                    unfinished[rows.prompt_B[b]] -= 1
                for p in sorted({rows.prompt_B[b] for b in finished}):
                    if unfinished[p] == 0:
                        yield members[p], rows.group(p)

    def sync(self, policy: Policy) -> None:
        """Do nothing but check the policy: its weights are shared.

        Raises:
            ValueError: if the policy is another one.
        """
        if policy.model is not self.policy.model:
            raise ValueError("the native generator samples from the policy that it was created with")

    def close(self) -> None:
        """Release the buffers of compiled decoding."""
        if self.compiled:
            self.compiled.release()


def split_batches(sizes: Sequence[int], limit: int) -> list[range]:
    """Split indices into consecutive batches whose sizes sum to at most ``limit``, or that have a single member."""
    batches, start, total = [], 0, 0
    for p, size in enumerate(sizes):
        if p > start and total + size > limit:
            batches.append(range(start, p))
            start, total = p, 0
        total += size
    return [*batches, range(start, len(sizes))] if sizes else []


def _steps(
    number_format: Callable[[], AbstractContextManager[object]], steps: Iterator[list[int]]
) -> Iterator[list[int]]:
    """Run decoding steps in a number format, and leave it while the caller has control."""
    while True:
        with number_format():
            finished = next(steps, None)
        if finished is None:
            return
        yield finished


class _Rows:
    """B = P x G rows that are decoded together."""

    def __init__(
        self,
        policy: Policy,
        compiled: CompiledStep | None,
        prompts: Sequence[Prompt],
        seeds_PG: Sequence[Sequence[int]],
        sampling_P: Sequence[Sampling],
    ) -> None:
        self.policy, self.compiled, self.prompts = policy, compiled, prompts
        self.prompt_B = [p for p, seeds in enumerate(seeds_PG) for _ in seeds]
        self.seed_B = [seed for seeds in seeds_PG for seed in seeds]
        self.sampling_B = [sampling_P[p] for p in self.prompt_B]
        self.limit_B = [sampling.max_new_tokens for sampling in self.sampling_B]
        self.shape = len(self.seed_B), max(self.limit_B)
        self.ids_BT = torch.zeros(self.shape, dtype=torch.long, device=policy.device)
        self.logprob_BT = torch.zeros(self.shape, device=policy.device)
        self.entropy_BT = torch.zeros(self.shape, device=policy.device)
        self.length_B = list(self.limit_B)
        self.ended_B = [False] * len(self.seed_B)

    def group(self, p: int) -> RolloutGroup:
        """Return the completions of prompt ``p``; all have ended."""
        rows = (b for b, owner in enumerate(self.prompt_B) if owner == p)
        return RolloutGroup(prompt=self.prompts[p], trajectories=tuple(map(self._trajectory, rows)))

    def _trajectory(self, b: int) -> Trajectory:
        length = self.length_B[b]
        ids = tuple(self.ids_BT[b, :length].tolist())
        return Trajectory(
            text=self.policy.tokenizer.decode(ids),
            token_ids=ids,
            logprobs=tuple(self.logprob_BT[b, :length].tolist()),
            entropies=tuple(self.entropy_BT[b, :length].tolist()),
            truncated=not self.ended_B[b],
            seed=self.seed_B[b],
        )

    @torch.inference_mode()
    def decode(self) -> Iterator[list[int]]:
        """Sample token after token; yield the rows that end at each token."""
        device = self.policy.device
        uniform_BT = self._uniforms().to(device)
        sampling = SamplingTensors.of(self.sampling_B, device)
        limit_B = torch.tensor(self.limit_B, device=device)
        prompt_B = torch.tensor(self.prompt_B, device=device)
        decoder = prefill(self.policy, self.compiled, self.prompts, prompt_B, self.shape[1])
        rows = torch.arange(len(self.seed_B), device=device)
        alive = torch.ones(len(rows), dtype=torch.bool, device=device)
        remaining = len(rows)
        ends = torch.tensor(self.policy.tokenizer.end_ids, device=device)
        for t in range(self.shape[1]):
            token_B, logprob_B, entropy_B = sample_tokens(decoder.logits_BV, uniform_BT[rows, t], sampling)
            # Finished rows that are still in the batch write beyond their ends, which nothing reads.
            self.ids_BT[rows, t], self.logprob_BT[rows, t], self.entropy_BT[rows, t] = token_B, logprob_B, entropy_B
            ended = torch.isin(token_B, ends)
            leaving = (ended | (limit_B == t + 1)) & alive
            finished: list[int] = []
            for b, end in torch.stack([rows, ended])[:, leaving].T.tolist():
                self.length_B[b], self.ended_B[b] = t + 1, bool(end)
                finished.append(b)
            if finished:
                yield finished
                remaining -= len(finished)
                alive = alive & ~leaving
            if remaining == 0:
                return
            count = decoder.rows_for(remaining)
            if count < len(rows):
                keep = alive.argsort(descending=True, stable=True)[:count]
                decoder.keep(keep)
                rows, token_B, alive, limit_B = rows[keep], token_B[keep], alive[keep], limit_B[keep]
                sampling = sampling.select(keep)
            decoder.step(token_B)

    def _uniforms(self) -> Tensor:
        """[B, T] uniform numbers in [0, 1), one stream per seed."""
        limit = max(self.limit_B)
        if all(sampling.temperature == 0 for sampling in self.sampling_B):
            return torch.zeros(len(self.seed_B), limit, dtype=torch.float64)
        numbers = [np.random.Generator(np.random.Philox(key=seed)).random(limit) for seed in self.seed_B]
        return torch.from_numpy(np.stack(numbers))
