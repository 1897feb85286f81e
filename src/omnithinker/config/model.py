"""Settings of the model that is trained."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from omnithinker.config.base import Settings


class LoraSettings(Settings):
    """Train a low-rank adapter (LoRA, through PEFT) and leave the model's own weights as they are."""

    rank: int = Field(16, ge=1)
    """Rank of the two factors that are added to a layer's weights."""
    alpha: int = Field(32, ge=1)
    """The adapter's output is multiplied by ``alpha / rank``."""
    targets: tuple[str, ...] = ()
    """Names of the linear layers that get an adapter, such as ``q_proj``; by default all but the output embedding."""


class ModelSettings(Settings):
    """Which base model to train and how to hold it."""

    path: str = "lab"
    """``lab`` for the built-in model, or a folder or hub name that transformers can load, also that of an adapter."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """``auto`` takes the GPU when there is one."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of the weights. Training in ``bfloat16`` needs ``lora``, whose own weights stay in float32: an
    update of 1e-6 is lost in a bfloat16 weight."""
    lora: LoraSettings | None = None
    """Train an adapter instead of all weights."""
    freeze_embeddings: bool = False
    """Leave input and output embeddings as they are. An adapter never touches them unless its targets name them."""
    compute: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of matrix products. ``bfloat16`` keeps the weights and the optimizer as they are (autocast);
    ``auto`` takes it on a GPU, and float32 on a CPU."""
    gradient_checkpointing: bool | Literal["auto"] = "auto"
    """Compute layers again in the backward pass instead of keeping their activations: less memory, about a third more
    work in an update, the same gradients. ``auto`` does so on a GPU."""
    attention: Literal["auto", "sdpa", "eager", "flex_attention", "flash_attention_2", "flash_attention_3"] = "auto"
    """How attention is computed, by the names of transformers; ``auto`` is its own choice, ``sdpa`` where a model has
    it, with a faster way to decode on a CPU. The flex and flash kinds need a GPU, the latter a package too."""
    compile: bool = False
    """Compile the step that decodes a token (``torch.compile``; on a GPU CUDA graphs), once per cache length. Keys and
    values then keep their memory while training goes on. Changes the result only by rounding."""
    threads: int | None = Field(None, ge=1)
    """CPU threads of an operation; by default PyTorch's choice, one per core. Tiny models want 1: more gain little and
    lose much on a busy machine. Runs are bit-identical only with the same number."""
    trust_remote_code: bool = False
    """Run model code that comes with the weights. Leave off unless you wrote it."""

    @model_validator(mode="after")
    def _compilable(self) -> ModelSettings:
        if self.compile and self.attention not in ("auto", "sdpa", "eager"):
            raise ValueError(f"'compile' goes with attention 'auto', 'sdpa' or 'eager', not with {self.attention!r}")
        return self

    def halves(self, gpu: bool) -> bool:
        """Whether matrix products are made in bfloat16, on a GPU or a CPU."""
        return gpu if self.compute == "auto" else self.compute == "bfloat16"

    def recomputes(self, gpu: bool) -> bool:
        """Whether layers are computed again in the backward pass, on a GPU or a CPU."""
        return gpu if self.gradient_checkpointing == "auto" else self.gradient_checkpointing
