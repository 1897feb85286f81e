"""Linear layers in bfloat16 for the forward passes of decoding: autocast would convert their weights at every token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import Linear
from torch.nn.functional import linear

from omnithinker.policy.base import Policy

PACKED_FOR = 32
"""Number of rows for which oneDNN lays weights out; others use the same layout."""


class NarrowWeights:
    """bfloat16 copies of the weights of a policy's linear layers; none for a policy that computes in float32.

    Autocast converts these weights in the same way, so results are the same to the bit.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._forwards: list[tuple[Linear, Callable[[Tensor], Tensor]]] = []
        if policy.bfloat16:
            layers = (module for module in policy.model.modules() if type(module).forward is Linear.forward)
            self._forwards = [(layer, _narrow(layer)) for layer in layers]

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Compute in the policy's number format, with the copies in place of the weights; without gradients."""
        try:
            for layer, forward in self._forwards:
                vars(layer)["forward"] = forward  # hides the method
            with self._policy.autocast():
                yield
        finally:
            for layer, _ in self._forwards:
                vars(layer).pop("forward", None)


def _narrow(layer: Linear) -> Callable[[Tensor], Tensor]:
    """Forward pass of a layer with a copy of its weights."""
    weight = layer.weight.detach().bfloat16()
    bias = None if layer.bias is None else layer.bias.detach().bfloat16()
    if weight.is_cpu and torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        # In the layout of oneDNN's kernels, which it would otherwise produce at every call.
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, PACKED_FOR)
        return lambda x: torch.ops.mkldnn._linear_pointwise(x.bfloat16(), packed, bias, "none", [], "")
    return lambda x: linear(x.bfloat16(), weight, bias)
