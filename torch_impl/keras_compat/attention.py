"""Attention as Keras computes it. Each class stands alone: its source is emitted as it is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MultiHeadAttention(nn.Module):
    """softmax(q k^T / sqrt(size)) v for every head, projected back; for grouped queries several heads share a key.

    `nn.MultiheadAttention` ties the heads' size to the input's, has one size for keys and values, and one matrix for
    all projections.

    Args:
        sizes: of the last axes of query, key and value.
        heads: number of heads.
        key_size: size of a head's query and key.
        value_size: size of a head's value.
        output_shape: of the last axes of the result.
        key_heads: number of heads of key and value, a divisor of `heads`.
        bias: whether the projections add one.
        dropout: share of attention weights that are zero in training.
        causal: whether a position sees only those up to its own.
        gated: multiply what the heads found by sigmoid(gate(query)) before it is projected back.
        query, key, value, output, gate: modules in place of the linear layers, such as those of quantized weights.

    Source: keras 3.15.1, layers/attention/multi_head_attention.py and grouped_query_attention.py.
    """

    def __init__(
        self,
        sizes: tuple[int, int, int],
        *,
        heads: int,
        key_size: int,
        value_size: int,
        output_shape: tuple[int, ...],
        key_heads: int,
        bias: bool = True,
        dropout: float = 0.0,
        causal: bool = False,
        gated: bool = False,
        query: nn.Module | None = None,
        key: nn.Module | None = None,
        value: nn.Module | None = None,
        output: nn.Module | None = None,
        gate: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.key_size, self.value_size, self.output_shape = (
            key_size,
            value_size,
            output_shape,
        )
        self.repeats, self.dropout, self.causal = heads // key_heads, dropout, causal
        width = 1
        for size in output_shape:
            width *= size
        inner = heads * value_size
        self.query = query or nn.Linear(sizes[0], heads * key_size, bias=bias)
        self.key = key or nn.Linear(sizes[1], key_heads * key_size, bias=bias)
        self.value = value or nn.Linear(sizes[2], key_heads * value_size, bias=bias)
        self.output = output or nn.Linear(inner, width, bias=bias)
        self.gate = gate or (nn.Linear(sizes[0], inner, bias=bias) if gated else None)

    def forward(
        self, query: Tensor, value: Tensor, key: Tensor | None = None
    ) -> Tensor:
        """Return (batch, positions of the query, *output_shape); axes between batch and last are positions."""
        q, k, v = self.project(query, value, value if key is None else key)
        attended = nn.functional.scaled_dot_product_attention(
            q,
            k,
            v,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=self.causal,
        )
        return self.join(attended, query)

    def project(
        self, query: Tensor, value: Tensor, key: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of every head: (batch, heads, positions, size)."""
        q = (
            self.query(query)
            .flatten(1, -2)
            .unflatten(-1, (-1, self.key_size))
            .transpose(1, 2)
        )
        k = (
            self.key(key)
            .flatten(1, -2)
            .unflatten(-1, (-1, self.key_size))
            .transpose(1, 2)
        )
        v = (
            self.value(value)
            .flatten(1, -2)
            .unflatten(-1, (-1, self.value_size))
            .transpose(1, 2)
        )
        if self.repeats > 1:
            k, v = (
                k.repeat_interleave(self.repeats, 1),
                v.repeat_interleave(self.repeats, 1),
            )
        return q, k, v

    def join(self, attended: Tensor, query: Tensor) -> Tensor:
        """Return what the heads found, joined and projected."""
        positions = tuple(query.shape[1:-1])
        found = attended.transpose(1, 2).flatten(-2)
        if self.gate is not None:
            found = found * torch.sigmoid(self.gate(query).flatten(1, -2))
        y: Tensor = self.output(found)
        if len(positions) > 1:
            y = torch.unflatten(y, 1, positions)
        if len(self.output_shape) > 1:
            y = torch.unflatten(y, -1, self.output_shape)
        return y


class MaskedMultiHeadAttention(MultiHeadAttention):
    """`MultiHeadAttention` in which a query sees only the values that a mask lets it see.

    A query that sees none gets the mean of all values. With dropout, or several axes of positions, Keras computes by
    another path, and such a query gets 0. Source: keras 3.15.1, layers/attention/multi_head_attention.py, and
    `dot_product_attention` in backend/tensorflow/nn.py.
    """

    def forward(  # type: ignore[override]
        self, query: Tensor, value: Tensor, key: Tensor, mask: Tensor
    ) -> Tensor:
        """Return (batch, positions, *output_shape); the mask is ([batch, [heads,]] query positions, value positions)."""
        scores, seen, v = self.score(query, value, key, mask)
        if self.dropout > 0 or query.dim() != 3:
            weights = torch.where(
                seen, torch.where(seen, scores, -1e9).softmax(-1), 0.0
            )
            weights = nn.functional.dropout(weights, self.dropout, self.training)
        else:
            weights = torch.where(
                seen, scores, torch.finfo(scores.dtype).min / 2
            ).softmax(-1)
        return self.join(weights @ v, query)

    def score(
        self, query: Tensor, value: Tensor, key: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the scores of every head, which of them the mask lets see, and the values of every head."""
        q, k, v = self.project(query, value, key)
        scores = q @ k.transpose(-2, -1) * self.key_size**-0.5
        seen = mask.to(torch.bool)
        seen = seen.unsqueeze(-3) if seen.dim() == 3 else seen
        if self.causal:
            seen = seen & torch.ones_like(scores[:1, :1], dtype=torch.bool).tril()
        return scores, seen, v


class ScoredMultiHeadAttention(MultiHeadAttention):
    """`MultiHeadAttention` that gives its weights as well, as Keras with return_attention_scores."""

    def forward(  # type: ignore[override]
        self, query: Tensor, value: Tensor, key: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return (batch, positions of the query, *output_shape) and (batch, heads, *positions of query and value)."""
        q, k, v = self.project(query, value, value if key is None else key)
        scores = q @ k.transpose(-2, -1) * self.key_size**-0.5
        if self.causal:
            seen = torch.ones_like(scores[:1, :1], dtype=torch.bool).tril()
            scores = torch.where(seen, scores, -1e9)
        weights = scores.softmax(-1)
        dropped = nn.functional.dropout(weights, self.dropout, self.training)
        shape = (*weights.shape[:2], *query.shape[1:-1], *value.shape[1:-1])
        return self.join(dropped @ v, query), weights.reshape(shape)


class MaskedScoredMultiHeadAttention(MaskedMultiHeadAttention):
    """`MaskedMultiHeadAttention` that gives its weights as well; where a query sees no value they are 0."""

    def forward(  # type: ignore[override]
        self, query: Tensor, value: Tensor, key: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what `ScoredMultiHeadAttention` does; the mask is as in `MaskedMultiHeadAttention`."""
        scores, seen, v = self.score(query, value, key, mask)
        weights = torch.where(seen, torch.where(seen, scores, -1e9).softmax(-1), 0.0)
        dropped = nn.functional.dropout(weights, self.dropout, self.training)
        return self.join(dropped @ v, query), weights


class LoweredMultiHeadAttention(MaskedMultiHeadAttention):
    """`MaskedMultiHeadAttention` of Keras 2, whose masks lower the scores of values by 1e9: a query that sees none sees all.

    Source: keras 2.15.0, layers/activation/softmax.py, which layers/attention/multi_head_attention.py calls.
    """

    def forward(  # type: ignore[override]
        self, query: Tensor, value: Tensor, key: Tensor, mask: Tensor
    ) -> Tensor:
        """Return what `MaskedMultiHeadAttention` does."""
        return self.attend(query, value, key, mask)[0]

    def attend(
        self, query: Tensor, value: Tensor, key: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the result and the weights, as `MaskedScoredMultiHeadAttention` does."""
        scores, seen, v = self.score(query, value, key, mask)
        lowered = scores - min(1e9, torch.finfo(scores.dtype).max / 2)
        weights = torch.where(seen, scores, lowered).softmax(-1)
        dropped = nn.functional.dropout(weights, self.dropout, self.training)
        return self.join(dropped @ v, query), weights


class LoweredScoredMultiHeadAttention(LoweredMultiHeadAttention):
    """`LoweredMultiHeadAttention` that gives its weights as well."""

    def forward(  # type: ignore[override]
        self, query: Tensor, value: Tensor, key: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what `MaskedScoredMultiHeadAttention` does."""
        return self.attend(query, value, key, mask)


def attention_window(query: Tensor, value: Tensor, *, window: int) -> Tensor:
    """Return (positions of the query, positions of the value): true where they are less than `window` apart."""
    own = torch.arange(query.shape[1], device=query.device).unsqueeze(1)
    return (own - torch.arange(value.shape[1], device=query.device)).abs() < window


class Attention(nn.Module):
    """softmax(scores) v, with scores q k^T ("dot"), sum(tanh(q + k)) ("concat") or sum(scale tanh(q + k)) ("additive").

    Args:
        score: which of the three.
        scale: the weight's shape: () for one number, which multiplies the scores ("dot") or q + k ("concat"); None: none.
        dropout: share of attention weights that are zero in training.
        causal: whether a position sees only those up to its own.

    Source: keras 3.15.1, layers/attention/attention.py and additive_attention.py.
    """

    def __init__(
        self,
        *,
        score: str = "dot",
        scale: tuple[int, ...] | None = None,
        dropout: float = 0.0,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.score, self.dropout, self.causal = score, dropout, causal
        self.scale = None if scale is None else nn.Parameter(torch.ones(scale))
        self.weight = nn.Parameter(torch.ones(())) if score == "concat" else None

    def forward(
        self, query: Tensor, value: Tensor, key: Tensor | None = None
    ) -> Tensor:
        """Return (batch, positions of the query, size of the value)."""
        return self._weights(query, value if key is None else key) @ value

    def _weights(
        self, query: Tensor, key: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Return (batch, positions of the query, positions of the key): the share of each value."""
        scores = self._scores(query, key)
        if self.causal:
            seen = torch.ones(
                scores.shape[-2:], dtype=torch.bool, device=scores.device
            ).tril()
            mask = seen if mask is None else mask & seen
        if mask is not None:
            lowered = scores - min(1e9, torch.finfo(scores.dtype).max)
            scores = torch.where(mask, scores, lowered)
        return nn.functional.dropout(scores.softmax(-1), self.dropout, self.training)

    def _scores(self, query: Tensor, key: Tensor) -> Tensor:
        if self.score == "dot":
            scores = query @ key.transpose(-2, -1)
            return scores if self.scale is None else scores * self.scale
        joined = query.unsqueeze(-2) + key.unsqueeze(-3)
        if self.score == "concat":
            joined = joined if self.scale is None else self.scale * joined
            summed = torch.tanh(joined).sum(-1)
            return summed if self.weight is None else self.weight * summed
        scaled = torch.tanh(joined)
        return (scaled if self.scale is None else self.scale * scaled).sum(-1)


class MaskedAttention(Attention):
    """`Attention` in which a query sees only the values that a mask lets it see; of others 1e9 is taken from the score."""

    def forward(  # type: ignore[override]
        self, query: Tensor, value: Tensor, key: Tensor, mask: Tensor
    ) -> Tensor:
        """Return (batch, positions of the query, size of the value); the mask is (batch, 1, positions of the value)."""
        return self._weights(query, key, mask) @ value


class ScoredAttention(Attention):
    """`Attention` that gives its weights as well, as Keras with return_attention_scores."""

    def forward(  # type: ignore[override]
        self, query: Tensor, value: Tensor, key: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return (batch, positions of the query, size of the value) and (batch, positions of both)."""
        weights = self._weights(query, value if key is None else key)
        return weights @ value, weights


class MaskedScoredAttention(Attention):
    """`MaskedAttention` that gives its weights as well."""

    def forward(  # type: ignore[override]
        self, query: Tensor, value: Tensor, key: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (batch, positions of the query, size of the value) and (batch, positions of both)."""
        weights = self._weights(query, key, mask)
        return weights @ value, weights


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *others: Tensor,
    scale: float,
    biased: bool = False,
    masked: bool = False,
    causal: bool = False,
) -> Tensor:
    """Return for every query the mean of the values, weighted by the softmax of how its key fits.

    Args:
        query: (batch, queries, heads, size).
        key: (batch, keys, heads or fewer, size).
        value: as key.
        others: the bias that is added to the scores and the mask, true where a key counts; both broadcast to
            (batch, heads, queries, keys).
        scale: of the scores.
        biased: the first of `others` is a bias.
        masked: the last of `others` is a mask.
        causal: a query sees no key behind its own place.

    Source: keras 3.15.1, backend/tensorflow/nn.py, `dot_product_attention`. A query without any key gives the mean of
    all values; torch's own function gives NaN.
    """
    groups = query.shape[2] // key.shape[2]
    if groups > 1:
        key = key.repeat_interleave(groups, 2)
        value = value.repeat_interleave(groups, 2)
    scores = torch.einsum("btnh,bsnh->bnts", query, key) * scale
    if biased:
        scores = scores + others[0].to(scores.dtype)
    least = -0.7 * (65500.0 if scores.dtype == torch.float16 else 3.38953e38)
    if masked:
        scores = torch.where(others[-1], scores, least)
    if causal:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=query.device)
        scores = torch.where(seen.tril(), scores, least)
    return torch.einsum("bnts,bsnh->btnh", torch.softmax(scores, -1), value)
