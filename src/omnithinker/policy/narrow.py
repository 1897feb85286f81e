"""Weights in bfloat16 for the forward passes of decoding, so that autocast does not convert them at every token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import Linear, Parameter

from omnithinker.policy.base import Policy


class NarrowWeights:
    """bfloat16 copies of the weights of a policy's linear layers; none for a policy that computes in float32.

    Autocast converts these weights in the same way, so results are the same to the bit.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._copies: list[tuple[Linear, Parameter]] = []
        if policy.bfloat16:
            layers = [module for module in policy.model.modules() if isinstance(module, Linear)]
            self._copies = [(layer, Parameter(_narrow(layer.weight), requires_grad=False)) for layer in layers]

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Compute in the policy's number format, with the copies in place of the weights; without gradients."""
        weights = [layer.weight for layer, _ in self._copies]
        try:
            for layer, copy in self._copies:
                layer.weight = copy
            with self._policy.autocast():
                yield
        finally:
            for (layer, _), weight in zip(self._copies, weights, strict=True):
                layer.weight = weight


def _narrow(weight: Tensor) -> Tensor:
    return weight.detach().to(torch.bfloat16)
