"""The order an optimizer had the weights in, from shapes."""

from __future__ import annotations

import numpy as np
import pytest

from converters.checkpoint import ArrayInfo
from converters.into.order import trainable_order


def info(name: str, *shape: int) -> ArrayInfo:
    return ArrayInfo(name, shape, np.dtype("float32"), lambda: np.zeros(shape))


LAYERS = [
    [info("out/kernel", 5, 2), info("out/bias", 2)],
    [info("first/kernel", 4, 5), info("first/bias", 5)],
]
IN_ORDER = ((4, 5), (5,), (5, 2), (2,))


@pytest.mark.parametrize(
    "shapes",
    [[s for s in IN_ORDER for _ in range(2)], [*IN_ORDER, *IN_ORDER], list(IN_ORDER)],
    ids=["interleaved", "one kind after the other", "one slot"],
)
def test_layers_are_brought_into_the_order_of_the_slots(shapes: list[tuple[int, ...]]) -> None:
    variables = [info("iteration"), *(info(str(i), *shape) for i, shape in enumerate(shapes))]

    order = trainable_order(LAYERS, variables)

    assert order is not None
    assert [weight.name for weight in order] == [
        "first/kernel",
        "first/bias",
        "out/kernel",
        "out/bias",
    ]


def test_layers_of_the_same_shapes_have_no_certain_order() -> None:
    layers = [[info("a", 3, 3)], [info("b", 3, 3)]]

    assert trainable_order(layers, [info("0", 3, 3), info("1", 3, 3)]) is None


def test_slots_of_other_shapes_have_no_order() -> None:
    assert trainable_order(LAYERS, [info(str(i), 7) for i in range(4)]) is None


def test_many_equal_layers_end_soon() -> None:
    layers = [[info(str(i), 3, 3)] for i in range(60)]

    assert trainable_order(layers, [info(str(i), 3, 3) for i in range(60)]) is None
