"""A step of decoding as compiled code, over keys and values in buffers of fixed shape.

Code is made once per cache length and serves any number of rows; on a GPU it is replayed as CUDA graphs, one per length
and number of rows. For both to be few, lengths are those of a ladder, and the buffers stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException
from transformers.cache_utils import Cache, StaticLayer

from omnithinker.errors import BadInput

LENGTHS = 64
"""Cache lengths that code may be made for in one process; PyTorch's own limit is lower."""
TYPICAL_ROWS = 64
"""Number of rows that code is tuned for. It never varies, so that a resumed run computes with the same code."""


class CompiledStep:
    """One token more for B rows."""

    def __init__(self, model: Any) -> None:
        """Nothing is compiled before the first step.

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
        """[B, V] logits after one more token. On a GPU the next step writes over them.

        Args:
            token_B: [B].
            mask_BL: [B, L] False at padding of prompts, True elsewhere.
            position_B: [B] of the token in its row.
            cache: from :meth:`hold`; it is one token longer afterwards.

        Raises:
            BadInput: the model, or any at all on this machine, cannot be compiled.
        """
        inputs = token_B[:, None], mask_BL, position_B[:, None]
        for tensor in inputs:
            _for_any_rows(tensor)
        torch.compiler.cudagraph_mark_step_begin()
        try:
            return self._compiled(self._model, *inputs, cache)
        except TorchDynamoException as error:
            cause = getattr(error, "inner_exception", error)
            reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
            raise BadInput(
                f"model.compile: {type(self._model).__name__} cannot be compiled here: {reason}; leave it off"
            ) from error

    def hold(self, states: Sequence[Tensor], row_B: Tensor, used: int, room: int) -> Cache:
        """Put keys and values of some rows into the buffers.

        Args:
            states: keys and values of each layer in turn, [P, heads, T, size]; they may lie in the buffers already.
            row_B: [B] which of the P rows.
            used: tokens of each that are copied.
            room: tokens that memory is taken for. The buffers have room for the next token, and perhaps for more.
        """
        if not self._storage:
            self._storage = [state.new_empty(0) for state in states]
            self._used = [torch.tensor(0, device=row_B.device) for _ in states[::2]]
        length, longest = fixed_length(used + 1), fixed_length(max(used + 1, room))
        buffers = []
        for number, state in enumerate(states):
            kept = state[..., :used, :].index_select(0, row_B)
            rows, heads, _, size = kept.shape
            per_token = rows * heads * size
            if self._storage[number].numel() < longest * per_token:
                self._storage[number] = state.new_empty(longest * per_token)
            buffer = self._storage[number][: length * per_token].view(rows, heads, length, size)
            buffer[..., :used, :] = kept
            buffer[..., used:, :] = 0  # hidden ones too must be numbers
            buffers.append(buffer)
        layers = zip(buffers[::2], buffers[1::2], self._used, strict=True)
        return Cache(layers=[_Fixed(keys, values, count.fill_(used)) for keys, values, count in layers])

    def release(self) -> None:
        """Give the memory of the buffers back. The next use takes new memory, which a GPU's graphs are recorded for."""
        self._storage, self._used = [], []


def fixed_length(tokens: int) -> int:
    """Length of a buffer of fixed shape for some tokens: the next of 64, 96, 128, 192, 256 and so on."""
    length = 64
    while length < tokens:
        length = length * 3 // 2 if length & (length - 1) == 0 else length * 4 // 3
    return length


def _logits(model: Any, ids_B1: Tensor, mask_BL: Tensor, position_B1: Tensor, cache: Cache) -> Tensor:
    output = model(input_ids=ids_B1, attention_mask=mask_BL, position_ids=position_B1, past_key_values=cache)
    return output.logits[:, -1]  # type: ignore[no-any-return]


def _for_any_rows(tensor: Tensor) -> None:
    """Have code made for any number of rows; a single one is always a case of its own."""
    if tensor.shape[0] > 1:
        torch._dynamo.mark_dynamic(tensor, 0, hint_override=TYPICAL_ROWS)


class _Fixed(StaticLayer):
    keys: Tensor
    values: Tensor

    def __init__(self, keys: Tensor, values: Tensor, used: Tensor) -> None:
        super().__init__(keys.shape[2])
        self.keys, self.values, self.cumulative_length = keys, values, used
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        for tensor in (keys, values, used):
            torch._dynamo.mark_static_address(tensor)
        _for_any_rows(keys)
        _for_any_rows(values)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        # In mixed precision a layer's output may be narrower than what its first tokens were stored as.
        states = key_states.to(self.keys.dtype), value_states.to(self.values.dtype)
        return super().update(*states, *args, **kwargs)
