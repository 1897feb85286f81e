"""Gradient checkpointing: a layer keeps only its input and is recomputed in the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from omnithinker.errors import BadInput


def recompute_layers(model: Any) -> None:
    """Recompute every layer of a model in the backward pass; changes the model in place.

    The switch of transformers drops the keys and values that completions share, and needs training mode (dropout).

    Raises:
        BadInput: if the model has no layer that transformers can checkpoint.
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
    # Layers draw no random numbers, so the generator's state need not be kept.
    return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)
