"""Typed look-ups in a layer's configuration; whatever is not of the needed type is refused with its name.

Configurations come from files, so nothing about them is taken on trust.
"""

from __future__ import annotations

import sys

from converters.errors import UnsupportedError
from converters.graph import Layer

_LARGEST = sys.float_info.max


def integer(layer: Layer, key: str, default: int | None = None) -> int:
    """Return an integer setting. Raises UnsupportedError if it is missing or something else."""
    value = layer.config.get(key, default)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(layer, key, value, "an integer")
    return value


def number(layer: Layer, key: str, default: float | None = None) -> float:
    """Return a finite number. Raises UnsupportedError if it is missing or something else."""
    value = layer.config.get(key, default)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(layer, key, value, "a number")
    if (
        not -_LARGEST <= value <= _LARGEST
    ):  # also false for NaN; integers may be larger than any float
        raise _wrong(layer, key, value, "a finite number")
    return float(value)


def optional_number(layer: Layer, key: str) -> float | None:
    """Return a finite number, or None where the configuration has none."""
    return None if layer.config.get(key) is None else number(layer, key)


def flag(layer: Layer, key: str, *, default: bool) -> bool:
    """Return a boolean setting. Raises UnsupportedError for anything else."""
    value = layer.config.get(key, default)
    if not isinstance(value, bool):
        raise _wrong(layer, key, value, "true or false")
    return value


def text(layer: Layer, key: str, default: str) -> str:
    """Return a string setting. Raises UnsupportedError for anything else."""
    value = layer.config.get(key, default)
    if not isinstance(value, str):
        raise _wrong(layer, key, value, "a string")
    return value


def integers(layer: Layer, key: str) -> tuple[int, ...]:
    """Return a list of integers; a single integer counts as a list of one. Raises UnsupportedError."""
    value = layer.config.get(key)
    values = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(item, int) and not isinstance(item, bool) for item in values):
        raise _wrong(layer, key, value, "a list of integers")
    return tuple(values)


def unsupported(layer: Layer, key: str, *, needed: str) -> UnsupportedError:
    """Return the error for a setting that has no counterpart."""
    return _wrong(layer, key, layer.config.get(key), needed)


def _wrong(layer: Layer, key: str, value: object, needed: str) -> UnsupportedError:
    shown = repr(value)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    msg = (
        f"layer '{layer.name}' ({layer.class_name}): setting '{key}' is {shown}, needed is {needed}"
    )
    return UnsupportedError(msg)
