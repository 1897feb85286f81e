"""The seam for generators: engines that sample trajectories from a policy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from omnithinker.config.recipe import Recipe
from omnithinker.config.registry import GENERATORS
from omnithinker.config.sampling import SamplingSettings
from omnithinker.policy.base import Policy
from omnithinker.policy.logprobs import completion_entropies, token_batch
from omnithinker.types import Prompt, RolloutGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Sampling parameters of a prompt's completions."""

    temperature: float
    """Divides the logits; 0 is greedy, with log-probabilities and entropies at temperature 1."""
    top_p: float = 1.0
    """Nucleus mass, after top-k."""
    top_k: int = 0
    """Number of candidate tokens; 0 for the whole vocabulary."""
    max_new_tokens: int
    """Token limit of a completion."""

    @classmethod
    def of(cls, settings: SamplingSettings, *, greedy: bool = False) -> Sampling:
        """Return the parameters of a recipe's settings, or greedy ones with the same limit."""
        return cls(
            temperature=0.0 if greedy else settings.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            max_new_tokens=settings.max_new_tokens,
        )


class Generator(Protocol):
    """An engine that samples trajectories."""

    def generate(
        self, prompts: Sequence[Prompt], seeds_PG: Sequence[Sequence[int]], sampling_P: Sequence[Sampling]
    ) -> Iterator[tuple[int, RolloutGroup]]:
        """Sample trajectories; yield a group as soon as its last one ends.

        Args:
            prompts: [P] prompts with tokens.
            seeds_PG: [P][G] one seed per trajectory; G may differ between prompts.
            sampling_P: [P] sampling parameters.

        Yields:
            (index of the prompt, its group of G unscored trajectories), in order of completion. The order and the
            trajectories depend on the arguments and the weights only.
        """
        ...

    def sync(self, policy: Policy) -> None:
        """Load the weights of a policy, after an optimizer step."""
        ...

    def close(self) -> None:
        """Free memory and processes."""
        ...


def make_generator(policy: Policy, recipe: Recipe) -> Generator:
    """Create the generator that a recipe names, with the weights of a policy."""
    generator: Generator = GENERATORS.load(recipe.sampling.generator).from_recipe(policy, recipe)
    return generator


def rollout(
    generator: Generator,
    policy: Policy,
    prompts: Sequence[Prompt],
    seeds_PG: Sequence[Sequence[int]],
    sampling_P: Sequence[Sampling],
) -> Iterator[tuple[int, RolloutGroup]]:
    """Generate groups whose trajectories have entropies; see :meth:`Generator.generate`.

    Entropies that the generator does not report are computed by a forward pass of the policy.
    """
    for p, group in generator.generate(prompts, seeds_PG, sampling_P):
        yield p, with_entropies(policy, group, sampling_P[p].temperature)


def with_entropies(policy: Policy, group: RolloutGroup, temperature: float) -> RolloutGroup:
    """Compute the entropies (Eq. 11) of trajectories that lack them.

    Args:
        policy: the policy that the group was sampled from.
        group: P = 1 prompt with its trajectories.
        temperature: sampling temperature; 0 counts as 1.
    """
    missing = [g for g, trajectory in enumerate(group.trajectories) if trajectory.entropies is None]
    if not missing:
        return group
    trajectories = list(group.trajectories)
    batch = token_batch(
        [group.prompt], [(0, trajectories[g]) for g in missing], policy.device, [temperature or 1.0] * len(missing)
    )
    for g, entropy_T in zip(missing, completion_entropies(policy, batch).tolist(), strict=True):
        length = len(trajectories[g].token_ids)
        trajectories[g] = replace(trajectories[g], entropies=tuple(entropy_T[:length]))
    return replace(group, trajectories=tuple(trajectories))


def sample_seed(*parts: object) -> int:
    """Return a 63-bit seed that depends on every part and on nothing else."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
