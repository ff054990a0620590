"""Stored numbers that a module has in more than one place: a kernel that is also used transposed, a bias that is tiled.

What comes out is the same, but torch would train each place by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from converters.checkpoint import ArrayInfo, LayerArrays
from converters.tensorflow_graphs.values import AnyArray

MAX_COMPARED_NUMBERS = 20_000_000
"""Numbers whose places are compared one by one; parts of larger variables are taken for disjoint."""


def repeated_weights(layers: Iterable[LayerArrays]) -> list[str]:
    """Return the names of the stored arrays of which a number is in several places of the layers."""
    places: dict[str, list[ArrayInfo]] = {}
    for entry in layers:
        for array in entry.arrays.values():
            for name in dict.fromkeys(source.name for source in _sources(array)):
                places.setdefault(name, []).append(array)
    return [name for name, found in places.items() if _overlap(name, found)]


def _sources(array: ArrayInfo) -> Iterator[ArrayInfo]:
    if array.moved is None:
        yield array
        return
    for source in array.moved.sources:
        yield from _sources(source)


def _overlap(name: str, arrays: Sequence[ArrayInfo]) -> bool:
    """Tell whether a number of a stored array is taken more than once."""
    if len(arrays) == 1 and _is_moved(arrays[0]):
        return False
    if not all(map(_is_moved, arrays)):
        return True
    stored = next(each for array in arrays for each in _sources(array) if each.name == name)
    alone = all({source.name for source in _sources(array)} == {name} for array in arrays)
    size, total = math.prod(stored.shape), sum(math.prod(array.shape) for array in arrays)
    if alone and total > size:
        return True
    if total > MAX_COMPARED_NUMBERS:
        return False
    taken = [_numbered(array, name) for array in arrays]
    if any(each is None for each in taken):
        return True
    numbers = np.concatenate([np.ravel(each) for each in taken if each is not None])
    numbers = numbers[numbers > 0]
    return np.unique(numbers).size < numbers.size


def _is_moved(array: ArrayInfo) -> bool:
    """Tell whether all numbers of an array are stored ones in other places."""
    moved = array.moved
    return moved is None or (moved.move is not None and all(map(_is_moved, moved.sources)))


def _numbered(array: ArrayInfo, name: str) -> AnyArray | None:
    """Return the place that each number has in a stored array, from 1, and 0 for those of others; None: not known."""
    if array.moved is None:
        if array.name != name:
            return np.zeros(array.shape, np.int64)
        return np.arange(1, 1 + int(np.prod(array.shape, dtype=np.int64))).reshape(array.shape)
    parts = [_numbered(source, name) for source in array.moved.sources]
    if array.moved.move is None or any(part is None for part in parts):
        return None
    return array.moved.move([part for part in parts if part is not None])
