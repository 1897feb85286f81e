"""Choice of the number format of matrix products: ``model.compute = "auto"``."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from omnithinker.config.model import ModelSettings
from omnithinker.policy import adapter
from omnithinker.policy.source import loadable, locate_model

SMALLEST_HIDDEN = 256
"""Smallest hidden size for which a CPU computes in bfloat16: in smaller models conversions cost what products save."""
WORTHWHILE_GAIN = 1.5
"""Least gain for which a CPU computes in bfloat16. CPUs without such instructions stay below 1; AMX exceeds 4."""
ROWS, LARGEST_HIDDEN, LARGEST_INTERMEDIATE = 128, 1024, 2048
"""Size of the product that is measured: a few milliseconds in float32."""
REPEATS = 5


def fast_in_bfloat16(config: Any, *, gpu: bool) -> bool:
    """Return True if bfloat16 makes a model's matrix products clearly faster: on a GPU, and where a CPU shows it.

    Args:
        config: transformers configuration of the model.
        gpu: True if the model runs on a GPU.
    """
    text = config.get_text_config()
    hidden = int(getattr(text, "hidden_size", 0))
    if gpu or hidden < SMALLEST_HIDDEN:
        return gpu
    return bfloat16_gain(hidden, int(getattr(text, "intermediate_size", None) or 4 * hidden)) >= WORTHWHILE_GAIN


def computes_in_bfloat16(settings: ModelSettings, config: Any, *, gpu: bool) -> bool:
    """Return True if a model's matrix products are computed in bfloat16; arguments as :func:`fast_in_bfloat16`."""
    return settings.uses_autocast(settings.compute == "auto" and fast_in_bfloat16(config, gpu=gpu))


@cache
def bfloat16_gain(hidden: int, intermediate: int) -> float:
    """Measure how many times as fast as in float32 this CPU computes a model's matrix product in bfloat16.

    Compares CPU time on one thread, so that other load on the machine does not matter. Measured once per process.

    Args:
        hidden: hidden size of the model.
        intermediate: size of the inner layer of its feed-forward network.
    """
    rows, weight = (
        torch.ones(size, min(hidden, LARGEST_HIDDEN)) for size in (ROWS, min(intermediate, LARGEST_INTERMEDIATE))
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        single, half = (_seconds(linear, rows.to(dtype), weight.to(dtype)) for dtype in (torch.float32, torch.bfloat16))
    finally:
        torch.set_num_threads(threads)
    return single / half


@torch.inference_mode()
def _seconds(function: Callable[[Tensor, Tensor], Tensor], rows: Tensor, weight: Tensor) -> float:
    """Shortest CPU time of a call, after a first one that is not counted."""
    function(rows, weight)
    times = []
    for _ in range(REPEATS):
        started = time.thread_time()
        function(rows, weight)
        times.append(time.thread_time() - started)
    return max(min(times), 1e-9)


def load_config(settings: ModelSettings, source: str) -> Any:
    """Load the transformers configuration of a model, or of an adapter's base.

    Raises:
        BadInput: if there is no such base.
    """
    import transformers

    base = adapter.base_of(source)
    if base is not None:
        return load_config(settings, locate_model(base))
    return transformers.AutoConfig.from_pretrained(loadable(source), trust_remote_code=settings.trust_remote_code)
