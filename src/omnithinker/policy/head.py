"""From hidden states to log-probabilities and entropies: the output embedding and the softmax.

N tokens, H hidden size, V vocabulary. The [N, V] logits are larger than everything else in a training step, and never
exist whole: log-probabilities take them in blocks of the vocabulary, other measures in blocks of tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import Linear
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

LOGITS_AT_ONCE = 2**22
"""Most logits in a block (16 MiB in float32)."""


def logits_of(model: Any, hidden: Tensor) -> Tensor:
    """[..., V] logits of hidden states [..., H], as the model's own forward computes them."""
    return _Shape.of(model).apply(model.get_output_embeddings()(hidden))


def score_tokens(hidden_NH: Tensor, token_N: Tensor, model: Any, temperature_N: Tensor) -> Tensor:
    """[N] log-probability of each token, differentiable.

    Args:
        hidden_NH: [N, H] hidden states that predict the tokens.
        token_N: [N] token ids.
        model: the model, for its output embedding.
        temperature_N: [N] divides the logits.
    """
    head = model.get_output_embeddings()
    if type(head) is Linear:
        divisor_N = None if bool((temperature_N == 1).all()) else temperature_N
        return _HeadLogProbs.apply(  # type: ignore[no-any-return, no-untyped-call]
            hidden_NH, head.weight, head.bias, token_N, divisor_N, _Shape.of(model)
        )

    # Such as a head with an adapter.
    def score(logprob_NV: Tensor, token_N: Tensor) -> Tensor:
        return logprob_NV.gather(1, token_N[:, None]).squeeze(1)

    return _by_tokens(score, hidden_NH, token_N, model, temperature_N)


def token_entropies(hidden_NH: Tensor, token_N: Tensor, model: Any, temperature_N: Tensor) -> Tensor:
    """[N] entropy of the distribution that predicts each token (nats); arguments as in :func:`score_tokens`."""

    def entropy(logprob_NV: Tensor, token_N: Tensor) -> Tensor:
        # 0 log 0 = 0: a token whose probability underflows adds nothing.
        finite_NV = logprob_NV.clamp(min=torch.finfo(logprob_NV.dtype).min)
        return -(finite_NV.exp() * finite_NV).sum(dim=1)

    return _by_tokens(entropy, hidden_NH, token_N, model, temperature_N)


def _by_tokens(
    measure: Callable[[Tensor, Tensor], Tensor], hidden_NH: Tensor, token_N: Tensor, model: Any, temperature_N: Tensor
) -> Tensor:
    """[N] a measure of (log-probabilities [N, V], token [N]), computed for some tokens at a time."""

    def measure_some(hidden: Tensor, token: Tensor, temperature: Tensor) -> Tensor:
        logits = _widen(logits_of(model, hidden))
        return measure((logits / temperature.to(logits.dtype)[:, None]).log_softmax(dim=1), token)

    size = max(1, LOGITS_AT_ONCE // model.get_output_embeddings().weight.shape[0])
    if len(token_N) <= size:
        return measure_some(hidden_NH, token_N, temperature_N)
    parts = zip(hidden_NH.split(size), token_N.split(size), temperature_N.split(size), strict=True)
    return torch.cat([checkpoint(measure_some, *part, use_reentrant=False) for part in parts])


def _widen(logits: Tensor) -> Tensor:
    """Half-precision logits in float32; wider ones stay as they are."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


@dataclass(frozen=True, slots=True)
class _Shape:
    """What some families do to the products of hidden states and output embedding.

    Granite divides, Cohere and Falcon-H1 multiply, Gemma caps.
    """

    factor: float
    cap: float | None

    @classmethod
    def of(cls, model: Any) -> _Shape:
        config = model.config.get_text_config()
        factor = 1.0 / (getattr(config, "logits_scaling", None) or 1.0)
        for name in ("logit_scale", "lm_head_multiplier"):
            factor *= getattr(config, name, None) or 1.0
        return cls(factor, getattr(config, "final_logit_softcapping", None))

    def apply(self, products: Tensor) -> Tensor:
        """Return logits."""
        logits = products if self.factor == 1 else products * self.factor
        return logits if self.cap is None else (logits / self.cap).tanh() * self.cap

    def scale_gradient_(self, gradient: Tensor, logits: Tensor) -> Tensor:
        """Turn a gradient of logits into one of the products, in place."""
        if self.cap is not None:
            gradient.mul_(1 - (logits / self.cap).square())
        return gradient if self.factor == 1 else gradient.mul_(self.factor)


class _HeadLogProbs(torch.autograd.Function):
    """Log-probabilities from hidden states; the backward pass computes the logits of each block again.

    Products of matrices are in the number format of autocast, the softmax in float32. ``divisor_N`` is the temperature,
    or None if that is 1 everywhere. No array that a block leaves behind is allocated between those of blocks: it would
    keep the C library from using their memory again.
    """

    @staticmethod
    def forward(
        context: Any,
        hidden_NH: Tensor,
        weight_VH: Tensor,
        bias_V: Tensor | None,
        token_N: Tensor,
        divisor_N: Tensor | None,
        shape: _Shape,
    ) -> Tensor:
        context.shape, context.hidden_dtype = shape, hidden_NH.dtype
        hidden_NH = hidden_NH.to(_product_dtype(weight_VH))
        block_logits = _BlockLogits(hidden_NH, weight_VH, bias_V, divisor_N, shape)
        blocks = _blocks(len(token_N), len(weight_VH))
        wide = torch.promote_types(hidden_NH.dtype, torch.float32)
        normalizer_KN = torch.empty(len(blocks), len(token_N), dtype=wide, device=token_N.device)
        logit_N1 = torch.empty(len(token_N), 1, dtype=wide, device=token_N.device)

        def measure(part: slice, normalizer_N: Tensor) -> None:
            scaled_NB = block_logits(part)
            torch.logsumexp(scaled_NB, dim=1, out=normalizer_N)
            column_N1, inside_N1 = _columns(token_N, part)
            torch.where(inside_N1, scaled_NB.gather(1, column_N1), logit_N1, out=logit_N1)

        for part, normalizer_N in zip(blocks, normalizer_KN, strict=True):
            measure(part, normalizer_N)
        normalizer_N = normalizer_KN.logsumexp(dim=0)
        context.save_for_backward(hidden_NH, weight_VH, bias_V, token_N, divisor_N, normalizer_N)
        return logit_N1.squeeze(1) - normalizer_N

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient_N: Tensor) -> tuple[Tensor | None, ...]:
        hidden_NH, weight_VH, bias_V, token_N, divisor_N, normalizer_N = context.saved_tensors
        shape, (for_hidden, for_weight, for_bias) = context.shape, context.needs_input_grad[:3]
        block_logits = _BlockLogits(hidden_NH, weight_VH, bias_V, None, shape)
        hidden_gradient_NH = torch.zeros_like(hidden_NH, dtype=normalizer_N.dtype) if for_hidden else None
        weight_gradient_VH = torch.empty_like(weight_VH) if for_weight else None
        bias_gradient_V = torch.empty_like(bias_V) if for_bias else None
        # d log p(token) / d logits = (one-hot(token) - p) / temperature
        scale_N1 = (gradient_N if divisor_N is None else gradient_N / divisor_N.to(gradient_N.dtype))[:, None]

        def accumulate(part: slice) -> None:
            logits_NB = block_logits(part)
            capped_NB = logits_NB.clone() if shape.cap is not None else logits_NB
            block_NB = _divide_(logits_NB, divisor_N).sub_(normalizer_N[:, None]).exp_().mul_(-scale_N1)
            column_N1, inside_N1 = _columns(token_N, part)
            block_NB.scatter_add_(1, column_N1, scale_N1 * inside_N1)
            narrow_NB = shape.scale_gradient_(block_NB, capped_NB).to(hidden_NH.dtype)
            if hidden_gradient_NH is not None:
                hidden_gradient_NH.add_(narrow_NB @ weight_VH[part].to(hidden_NH.dtype))
            if weight_gradient_VH is not None:
                weight_gradient_VH[part] = narrow_NB.T @ hidden_NH
            if bias_gradient_V is not None:
                bias_gradient_V[part] = block_NB.sum(dim=0)

        for part in _blocks(len(token_N), len(weight_VH)):
            accumulate(part)
        if hidden_gradient_NH is not None:
            hidden_gradient_NH = hidden_gradient_NH.to(context.hidden_dtype)
        return hidden_gradient_NH, weight_gradient_VH, bias_gradient_V, None, None, None


@dataclass(frozen=True, slots=True)
class _BlockLogits:
    """[N, B] logits of a block of the vocabulary, divided by the temperature; at least float32."""

    hidden_NH: Tensor
    weight_VH: Tensor
    bias_V: Tensor | None
    divisor_N: Tensor | None
    shape: _Shape

    def __call__(self, part: slice) -> Tensor:
        dtype = self.hidden_NH.dtype
        bias = None if self.bias_V is None else self.bias_V[part].to(dtype)
        products_NB = linear(self.hidden_NH, self.weight_VH[part].to(dtype), bias)
        return _divide_(_widen(self.shape.apply(products_NB)), self.divisor_N)


def _product_dtype(weight: Tensor) -> torch.dtype:
    """Number format of a product with a weight: autocast's, or else the weight's."""
    device = weight.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype


def _blocks(tokens: int, vocabulary: int) -> list[slice]:
    size = max(1, LOGITS_AT_ONCE // max(1, tokens))
    return [slice(start, min(start + size, vocabulary)) for start in range(0, vocabulary, size)]


def _divide_(logits_NB: Tensor, divisor_N: Tensor | None) -> Tensor:
    return logits_NB if divisor_N is None else logits_NB.div_(divisor_N.to(logits_NB.dtype)[:, None])


def _columns(token_N: Tensor, part: slice) -> tuple[Tensor, Tensor]:
    """[N, 1] column of each token in a block, and whether it is there; any column for others."""
    inside_N = (token_N >= part.start) & (token_N < part.stop)
    return (token_N - part.start).clamp(0, part.stop - part.start - 1)[:, None], inside_N[:, None]
