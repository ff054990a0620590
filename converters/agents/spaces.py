"""Spaces of observations and actions as gym's pickles state them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.readers.pickles import PickledObject

BOX, DISCRETE, MULTI_DISCRETE, MULTI_BINARY = "Box", "Discrete", "MultiDiscrete", "MultiBinary"
TUPLE, DICT = "Tuple", "Dict"
MAX_PARTS = 1000
"""Of a Tuple or Dict, with those that hold others: a pickle may hold one space in another, or in itself, again and again."""
_UNBOUNDED = 1e30
"""Beyond this, bounds stand for "none": gym's CartPole states the largest float32."""


@dataclass(frozen=True, slots=True)
class Space:
    """One space.

    Attributes:
        kind: the class in gym.
        shape: of one observation or action, without the batch.
        sizes: how many values each part of a discrete one has.
        low: smallest values of a box; None where they are not known.
        high: largest values.
        dtype: of the elements.
    """

    kind: str
    shape: tuple[int, ...]
    sizes: tuple[int, ...] = ()
    low: NDArray[np.floating] | None = None
    high: NDArray[np.floating] | None = None
    dtype: str = "float32"

    @property
    def features(self) -> int:
        """Length of an observation as a policy takes it: one-hot and flat."""
        return sum(self.sizes) if self.sizes else math.prod(self.shape)

    @property
    def bounds(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Both bounds of a box as flat numbers; None: not known."""
        if self.low is None or self.high is None:
            return None
        return tuple(self.low.ravel().tolist()), tuple(self.high.ravel().tolist())

    @property
    def is_bounded(self) -> bool:
        """True for a box without infinite bounds."""
        if self.low is None or self.high is None:
            return False
        return bool(np.isfinite(self.low).all() and np.isfinite(self.high).all())

    def describe(self) -> str:
        """Return the space in words: "Box (3,) float32, -2 to 2"."""
        if self.sizes:
            return f"{self.kind} {', '.join(map(str, self.sizes))}"
        limits = ""
        if self.low is not None and self.high is not None and self.low.size:
            low, high = float(self.low.min()), float(self.high.max())
            limits = f", {low:g} to {high:g}" if max(abs(low), abs(high)) < _UNBOUNDED else ""
        return f"{self.kind} {self.shape} {self.dtype}{limits}"


def read_space(value: object) -> Space | None:
    """Return the space that an object of a pickle is; None: it is none of these four kinds."""
    if not isinstance(value, PickledObject):
        return None
    kind = value.path.rpartition(".")[2]
    facts = value.attributes
    if kind == DISCRETE:
        size = _whole(facts.get("n"))
        return None if size is None else Space(kind, (), (size,), dtype="int64")
    if kind == MULTI_DISCRETE:
        sizes = _wholes(facts.get("nvec"))
        return Space(kind, (len(sizes),), sizes, dtype="int64") if sizes else None
    if kind == MULTI_BINARY:
        size = _whole(facts.get("n"))
        return None if size is None else Space(kind, (size,), dtype="int8")
    if kind != BOX:
        return None
    low, high = _numbers(facts.get("low")), _numbers(facts.get("high"))
    stated = facts.get("shape", facts.get("_shape"))
    shape = _wholes(stated) if stated is not None else (low.shape if low is not None else ())
    dtype = facts.get("dtype")
    name = dtype.name if isinstance(dtype, np.dtype) else "float32"
    if low is not None and low.dtype.kind in "ui" and not isinstance(dtype, np.dtype):
        name = low.dtype.name
    return Space(kind, shape, (), _full(low, shape), _full(high, shape), name)


def read_parts(value: object) -> list[Space] | None:
    """Return the spaces in a Tuple or Dict, also nested ones, in the order of `tree.flatten`; None: it is neither, or has others."""
    inner = _inner(value)
    if inner is None:
        return None
    found: list[Space] = []
    waiting = inner[::-1]
    for _ in range(MAX_PARTS):
        if not waiting:
            return found
        each = waiting.pop()
        space, inner = read_space(each), _inner(each)
        if space is not None:
            found.append(space)
        elif inner is not None:
            waiting += inner[::-1]
        else:
            return None
    return None


def _inner(value: object) -> list[object] | None:
    """Return what a Tuple or Dict holds."""
    kind = value.path.rpartition(".")[2] if isinstance(value, PickledObject) else ""
    inner = value.attributes.get("spaces") if isinstance(value, PickledObject) else None
    if kind == DICT and isinstance(inner, Mapping):
        return [inner[key] for key in sorted(inner, key=str)]
    return list(inner) if kind == TUPLE and isinstance(inner, (list, tuple)) else None


def _whole(value: object) -> int | None:
    return int(value) if isinstance(value, (int, np.integer)) and value > 0 else None


def _wholes(value: object) -> tuple[int, ...]:
    items: Sequence[object] = value.ravel().tolist() if isinstance(value, np.ndarray) else ()
    if isinstance(value, (tuple, list)):
        items = value
    numbers = [_whole(item) for item in items]
    return tuple(number for number in numbers if number is not None)


def _numbers(value: object) -> NDArray[np.floating] | None:
    if isinstance(value, (int, float, np.number)):
        value = np.asarray(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        return None
    return value


def _full(
    values: NDArray[np.floating] | None, shape: tuple[int, ...]
) -> NDArray[np.floating] | None:
    if values is None or values.shape == shape:
        return values
    return np.full(shape, values.ravel()[0]) if values.size == 1 else None
