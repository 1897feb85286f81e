"""Settings of the model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from omnithinker.config.base import Settings


class LoraSettings(Settings):
    """A low-rank adapter (LoRA, through PEFT); the model's own weights stay frozen."""

    rank: int = Field(16, ge=1, le=65_536)
    """Rank of the two matrices that are added to a layer's weights."""
    alpha: int = Field(32, ge=1)
    """Scale of the adapter: its output is multiplied by ``alpha / rank``."""
    targets: Literal["all-linear"] | Annotated[tuple[str, ...], Field(min_length=1)] = "all-linear"
    """Names of the linear layers with an adapter, such as ``q_proj``; by default all but the output embedding."""
    rslora: bool = False
    """Multiply the adapter's output by ``alpha / sqrt(rank)`` instead, so that a larger rank keeps its size."""
    init: Literal["default", "gaussian"] = "default"
    """Distribution of the first matrix at the start: uniform (``default``) or ``gaussian``. The second one is zero, so
    the adapter has no effect at first."""


class ModelSettings(Settings):
    """Base model, device and number formats."""

    path: str = "lab"
    """Base model: ``lab`` for the built-in one, or a folder or hub name of a model or adapter that transformers can
    load."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device; ``auto`` takes the GPU if there is one."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the weights. ``bfloat16`` needs ``lora``, whose weights stay in float32: a bfloat16 weight loses
    updates as small as 1e-6."""
    lora: LoraSettings | None = None
    """Low-rank adapter to train; by default all weights are trained."""
    freeze_embeddings: bool = False
    """Exclude input and output embeddings from training. An adapter excludes them unless its targets name them."""
    compute: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of matrix products. ``bfloat16`` (autocast) leaves weights and optimizer in their own format;
    ``auto`` takes it on a GPU, and on a CPU that computes the model's products at least 1.5 times as fast in it, unless
    the hidden size is below 256. A run keeps the format that it started with."""
    gradient_checkpointing: bool | Literal["auto"] = "auto"
    """Recompute layers in the backward pass instead of storing their activations. Saves memory, makes an update about
    a third slower, and leaves gradients unchanged. ``auto`` does so on a GPU."""
    attention: Literal["auto", "sdpa", "eager", "flex_attention", "flash_attention_2", "flash_attention_3"] = "auto"
    """Attention implementation, by its name in transformers. ``auto`` takes the model's default, usually ``sdpa``, with
    a faster decoding path on a CPU. ``flex_attention`` and the flash kinds need a GPU, the latter also their
    package."""
    compile: bool = False
    """Compile the decoding step with ``torch.compile``, once per cache length; on a GPU with CUDA graphs. The
    key-value cache then stays allocated during updates. Changes results by rounding only."""
    threads: int | None = Field(None, ge=1, le=1024)
    """CPU threads per operation; by default PyTorch's choice, one per core. Use 1 for tiny models. Runs are
    bit-identical only with the same number of threads."""
    trust_remote_code: bool = False
    """Run Python code that comes with the weights. Leave it off unless you trust its author."""

    @model_validator(mode="after")
    def _compilable(self) -> ModelSettings:
        if self.compile and self.attention not in ("auto", "sdpa", "eager"):
            raise ValueError(f"'compile' supports attention 'auto', 'sdpa' or 'eager', not {self.attention!r}")
        return self

    def uses_autocast(self, fast: bool) -> bool:
        """Return True if matrix products are computed in bfloat16, given whether the device is fast at it."""
        return fast if self.compute == "auto" else self.compute == "bfloat16"

    def uses_gradient_checkpointing(self, gpu: bool) -> bool:
        """Return True if layers are recomputed in the backward pass, given the kind of device."""
        return gpu if self.gradient_checkpointing == "auto" else self.gradient_checkpointing
