"""Arithmetic that changes nothing: products with 1, sums with 0. Distributions are full of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.tensorflow_graphs.values import Known, Tensor, Value, Weights

_NEUTRAL = {"Add": 0, "AddV2": 0, "Sub": 0, "Mul": 1, "RealDiv": 1, "Div": 1}
_EITHER_WAY = ("Add", "AddV2", "Mul")


def without_effect(op: str, inputs: Sequence[Value]) -> Value | None:
    """Return the operand that an operation gives back as it is; None if it computes something.

    x + 0 is x but for the sign of a zero.
    """
    if op not in _NEUTRAL or len(inputs) != 2:
        return None
    for x, number in (inputs, inputs[::-1]) if op in _EITHER_WAY else (inputs,):
        if not isinstance(number, Known) or not isinstance(x, (Tensor, Weights)):
            continue
        if number.dtype != x.dtype or np.any(number.array != _NEUTRAL[op]):
            continue
        pairs = zip(reversed(number.shape), reversed(x.shape), strict=False)
        if len(number.shape) <= len(x.shape) and all(size in (1, own) for size, own in pairs):
            return x
    return None
