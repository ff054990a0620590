"""Only arithmetic that gives an operand back, with its type and shape, is left out."""

from __future__ import annotations

import numpy as np
import pytest

from converters.graph import TensorRef
from converters.tensorflow_graphs.neutral import without_effect
from converters.tensorflow_graphs.values import Known, Tensor

X = Tensor(TensorRef("x"), (None, 3), "float32")


def number(value: float, *shape: int, dtype: str = "float32") -> Known:
    return Known(np.full(shape, value, dtype))


@pytest.mark.parametrize("op", ["Add", "AddV2", "Mul"])
def test_neutral_elements_are_found_on_both_sides(op: str) -> None:
    neutral = number(op == "Mul", 3)

    assert without_effect(op, [X, neutral]) == X
    assert without_effect(op, [neutral, X]) == X


def test_order_counts_where_an_operation_has_one() -> None:
    assert without_effect("Sub", [X, number(0)]) == X
    assert without_effect("Sub", [number(0), X]) is None
    assert without_effect("RealDiv", [number(1), X]) is None


@pytest.mark.parametrize(
    "other",
    [number(0), number(1, 2, 3), number(1, 1, 1, 3), number(1, dtype="float64")],
    ids=["another number", "more rows", "more axes", "another type"],
)
def test_what_changes_numbers_shape_or_type_stays(other: Known) -> None:
    assert without_effect("Mul", [X, other]) is None
