"""A compiled decoding step over keys and values in buffers of fixed shape.

Code is compiled once per cache length for any number of rows; on a GPU it is replayed as CUDA graphs, one per length
and number of rows. To keep both few, lengths are rounded up to a fixed series, and buffers keep their addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException
from transformers.cache_utils import Cache, StaticLayer

from omnithinker.errors import BadInput, reason_of

LENGTHS = 64
"""Most cache lengths compiled in one process; PyTorch's default limit is lower."""
TYPICAL_ROWS = 64
"""Number of rows that code is tuned for; constant, so that a resumed run computes with the same code."""


class CompiledStep:
    """Decode one token for B rows."""

    def __init__(self, model: Any) -> None:
        """Prepare; compilation happens at the first step.

        Args:
            model: transformers causal language model whose layers are all attention over keys and values.
        """
        config: Any = torch._dynamo.config
        config.recompile_limit = max(config.recompile_limit, LENGTHS)
        mode = "reduce-overhead" if model.device.type == "cuda" else None
        self._compiled: Callable[..., Tensor] = torch.compile(_logits, fullgraph=True, mode=mode)
        self._model = model
        self._storage: list[Tensor] = []
        self._used: list[Tensor] = []

    def __call__(self, token_B: Tensor, mask_BL: Tensor, position_B: Tensor, cache: Cache) -> Tensor:
        """[B, V] logits after one more token. On a GPU the next step overwrites them.

        Args:
            token_B: [B].
            mask_BL: [B, L] False at padding of prompts, True elsewhere.
            position_B: [B] position of the token in its row.
            cache: from :meth:`hold`; it is one token longer afterwards.

        Raises:
            BadInput: if the model, or any model on this machine, cannot be compiled.
        """
        inputs = token_B[:, None], mask_BL, position_B[:, None]
        for tensor in inputs:
            _mark_rows_dynamic(tensor)
        torch.compiler.cudagraph_mark_step_begin()
        try:
            return self._compiled(self._model, *inputs, cache)
        except TorchDynamoException as error:
            cause = getattr(error, "inner_exception", error)
            reason = reason_of(cause)
            raise BadInput(
                f"model.compile: {type(self._model).__name__} cannot be compiled here: {reason}; set it to false"
            ) from error

    def hold(self, states: Sequence[Tensor], row_B: Tensor, used: int, capacity: int) -> Cache:
        """Copy keys and values of some rows into the buffers.

        Args:
            states: keys and values of each layer in turn, [P, heads, T, size]; they may be views of the buffers.
            row_B: [B] index of each row among the P.
            used: tokens copied per row.
            capacity: tokens to allocate memory for; the returned cache holds at least one more token.
        """
        if not self._storage:
            self._storage = [state.new_empty(0) for state in states]
            self._used = [torch.tensor(0, device=row_B.device) for _ in states[::2]]
        length, longest = fixed_length(used + 1), fixed_length(max(used + 1, capacity))
        buffers = []
        for number, state in enumerate(states):
            kept = state[..., :used, :].index_select(0, row_B)
            rows, heads, _, size = kept.shape
            per_token = rows * heads * size
            if self._storage[number].numel() < longest * per_token:
                self._storage[number] = state.new_empty(longest * per_token)
            buffer = self._storage[number][: length * per_token].view(rows, heads, length, size)
            buffer[..., :used, :] = kept
            buffer[..., used:, :] = 0  # masked entries must be finite
            buffers.append(buffer)
        layers = zip(buffers[::2], buffers[1::2], self._used, strict=True)
        return Cache(layers=[_FixedLayer(keys, values, count.fill_(used)) for keys, values, count in layers])

    def release(self) -> None:
        """Free the buffers. The next use allocates new ones, for which a GPU records new graphs."""
        self._storage, self._used = [], []


def fixed_length(tokens: int) -> int:
    """Round a number of tokens up to a buffer length: 64, 96, 128, 192, 256 and so on."""
    length = 64
    while length < tokens:
        length = length * 3 // 2 if length & (length - 1) == 0 else length * 4 // 3
    return length


def _logits(model: Any, ids_B1: Tensor, mask_BL: Tensor, position_B1: Tensor, cache: Cache) -> Tensor:
    output = model(input_ids=ids_B1, attention_mask=mask_BL, position_ids=position_B1, past_key_values=cache)
    return output.logits[:, -1]  # type: ignore[no-any-return]


def _mark_rows_dynamic(tensor: Tensor) -> None:
    """Mark the number of rows as dynamic; PyTorch specializes a single row anyway."""
    if tensor.shape[0] > 1:
        torch._dynamo.mark_dynamic(tensor, 0, hint_override=TYPICAL_ROWS)


class _FixedLayer(StaticLayer):
    keys: Tensor
    values: Tensor

    def __init__(self, keys: Tensor, values: Tensor, used: Tensor) -> None:
        super().__init__(keys.shape[2])
        self.keys, self.values, self.cumulative_length = keys, values, used
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        for tensor in (keys, values, used):
            torch._dynamo.mark_static_address(tensor)
        _mark_rows_dynamic(keys)
        _mark_rows_dynamic(values)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        # In mixed precision a layer's output may be narrower than its stored first tokens.
        states = key_states.to(self.keys.dtype), value_states.to(self.values.dtype)
        return super().update(*states, *args, **kwargs)
