"""Numbers of a stored array that a module has more than once are found; parts that do not overlap are not."""

from __future__ import annotations

import numpy as np
import pytest

from converters.checkpoint import ArrayInfo, LayerArrays, Moved
from converters.tensorflow_graphs.repeated_weights import repeated_weights
from converters.tensorflow_graphs.values import AnyArray

KERNEL = np.arange(12.0).reshape(4, 3)


def stored(name: str = "kernel") -> ArrayInfo:
    return ArrayInfo(name, KERNEL.shape, KERNEL.dtype, lambda: KERNEL)


def rows(source: ArrayInfo, first: int, last: int) -> ArrayInfo:
    def cut(arrays: object) -> AnyArray:
        [array] = list(arrays)  # type: ignore[call-overload]
        return np.asarray(array[first:last])

    part = KERNEL[first:last]
    return ArrayInfo(source.name, part.shape, part.dtype, lambda: part, Moved((source,), cut))


def repeated(source: ArrayInfo) -> ArrayInfo:
    tiled = np.tile(KERNEL, 2)
    return ArrayInfo(source.name, tiled.shape, tiled.dtype, lambda: tiled, Moved((source,), None))


@pytest.mark.parametrize(
    ("arrays", "found"),
    [
        ([stored()], []),
        ([stored(), stored("other")], []),
        ([rows(stored(), 0, 2), rows(stored(), 2, 4)], []),
        ([rows(stored(), 0, 2), rows(stored(), 1, 3)], ["kernel"]),
        ([stored(), rows(stored(), 0, 1)], ["kernel"]),
        ([repeated(stored())], ["kernel"]),
    ],
    ids=["once", "two names", "two halves", "overlapping", "whole and a part", "tiled"],
)
def test_numbers_in_several_places_are_found(arrays: list[ArrayInfo], found: list[str]) -> None:
    layers = [
        LayerArrays(f"./{place}", str(place), {"kernel": array})
        for place, array in enumerate(arrays)
    ]

    assert repeated_weights(layers) == found
