"""Lists of arrays without names: which are one layer's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from converters.checkpoint import ArrayInfo, LayerArrays
from converters.into.nameless import are_nameless, group_nameless


def array(name: str, shape: tuple[int, ...]) -> ArrayInfo:
    return ArrayInfo(name, shape, np.dtype(np.float32), lambda: np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("shapes", "sizes"),
    [
        ([(5, 4), (4,), (4, 3), (3,)], [2, 2]),
        ([(5, 4), (4, 4), (4,)], [1, 2]),
        ([(5, 4), (4,), (4,), (4,), (4,), (4,), (4, 3)], [2, 4, 1]),
        ([(5, 4), (4,), (4,), (4,), (4,), (4, 3)], [1, 4, 1]),
        ([(5, 4), (4,), (4,), (4,), (4, 3), (3,)], [2, 2, 2]),
        ([(5, 24), (6, 24), (24,), (6, 3), (3,)], [3, 2]),
        ([(5, 18), (6, 18), (2, 18), (6, 3)], [3, 1]),
        ([(3, 3, 2, 4), (4,), (9, 3)], [2, 1]),
        ([(7,), (7,), (7, 3), (3,)], [2, 2]),
    ],
    ids=[
        *("dense", "without bias", "bias and batch norm", "batch norm alone"),
        *("layer norm", "lstm", "gru of two biases", "convolution", "norm first"),
    ],
)
def test_arrays_of_a_layer_stay_together(
    shapes: Sequence[tuple[int, ...]], sizes: list[int]
) -> None:
    arrays = [array(str(index), shape) for index, shape in enumerate(shapes)]

    groups = list(group_nameless(arrays))

    assert [len(group) for group in groups] == sizes
    assert [info for group in groups for info in group] == arrays


def test_arrays_of_layers_with_names_are_not_nameless() -> None:
    kernel = array("dense/kernel", (5, 4))

    assert not are_nameless([LayerArrays("dense", None, {"0": kernel})])
    assert not are_nameless([LayerArrays("", None, {"kernel": kernel})])
    assert are_nameless([LayerArrays("", None, {"0": kernel})])
