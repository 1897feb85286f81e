"""Gradient checkpointing: a layer keeps its input alone, and is computed a second time in the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from omnithinker.errors import BadInput


def recompute_layers(model: Any) -> None:
    """Let every layer of a model be computed again in the backward pass; the model is changed in place.

    transformers' own switch drops the keys and values that completions share, and works in training mode (with
    dropout) alone.

    Raises:
        BadInput: transformers knows no layers of this model that could be.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise BadInput(f"{type(model).__name__} cannot recompute layers; set model.gradient_checkpointing = false")
    for layer in layers:
        layer.forward = partial(_recomputed, layer.forward)


def _recomputed(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    # Nothing in a layer is random, so no generator's state has to be kept.
    return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)
