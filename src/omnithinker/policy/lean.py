"""Layers that keep less for their backward pass, on a CPU: RMSNorm and gated SiLU.

Autograd keeps the result of every elementary operation that a later one multiplies. These keep inputs, and compute the
rest again: one array instead of two per norm, two instead of three per gate. Results are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Linear
from torch.nn.functional import silu

Forward = Callable[[Any, Tensor], Tensor]
"""Forward pass of a module."""


def keep_less(model: Any) -> None:
    """Replace the forward passes, with gradients, of a model's norms and gates on a CPU.

    Each is compared with its own on a random input, and stays as it is where it computes anything else.
    """
    if model.device.type != "cpu":
        return
    for module in model.modules():
        if "forward" in vars(module):
            continue
        if type(module).__name__.endswith("RMSNorm") and _is_norm(module):
            _replace(module, _norm, width=len(module.weight))
        elif type(module).__name__.endswith("MLP") and _is_gated(module):
            _replace(module, _gated, width=module.gate_proj.weight.shape[1])


def _replace(module: Any, lean: Forward, width: int) -> None:
    own: Forward = type(module).forward
    # Small, so that the norm's epsilon matters.
    probe = 0.01 * torch.randn(2, width, generator=torch.Generator().manual_seed(0), dtype=torch.float32)

    def forward(self: Any, x: Tensor) -> Tensor:
        return lean(self, x) if torch.is_grad_enabled() and x.dtype == torch.float32 else own(self, x)

    if torch.equal(own(module, probe), lean(module, probe)):
        module.forward = MethodType(forward, module)


def _is_norm(module: Any) -> bool:
    return getattr(module, "weight", None) is not None and module.weight.dtype == torch.float32


def _norm(module: Any, x: Tensor) -> Tensor:
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", 0.0))
    return _Norm.apply(x, module.weight, epsilon)  # type: ignore[no-any-return, no-untyped-call]


def _is_gated(module: Any) -> bool:
    projections = (getattr(module, f"{name}_proj", None) for name in ("gate", "up", "down"))
    return all(isinstance(p, Linear) and p.weight.dtype == torch.float32 for p in projections)


def _gated(module: Any, x: Tensor) -> Tensor:
    product = _GatedSiLU.apply(module.gate_proj(x), module.up_proj(x))  # type: ignore[no-untyped-call]
    return module.down_proj(product)  # type: ignore[no-any-return]


class _Norm(torch.autograd.Function):
    """x / sqrt(mean(x^2) + epsilon) * weight."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon)
        context.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight, scale = context.saved_tensors
        normal = x * scale
        for_weight = (gradient * normal).flatten(0, -2).sum(0) if context.needs_input_grad[1] else None
        for_normal = gradient * weight
        mean = (for_normal * normal).mean(-1, keepdim=True)
        return for_normal.addcmul_(normal, mean, value=-1).mul_(scale), for_weight, None


class _GatedSiLU(torch.autograd.Function):
    """silu(gate) * up."""

    @staticmethod
    def forward(context: Any, gate: Tensor, up: Tensor) -> Tensor:
        context.save_for_backward(gate, up)
        return silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = context.saved_tensors
        return torch.ops.aten.silu_backward(gradient * up, gate), gradient * silu(gate)
