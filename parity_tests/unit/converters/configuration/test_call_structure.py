"""Arrangements of inputs and outputs: tensors of a dictionary count in the order of their keys."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from converters.architecture import Architecture, InputValue, Step
from converters.configuration.call_structure import (
    describe_structure,
    operands_by_key,
    parse_structure,
)
from converters.errors import UnreadableFileError
from converters.graph import Operand, TensorRef
from converters.live.build import build_model

A, B, C = ["a", 0, 0], ["b", 0, 0], ["c", 0, 0]


@pytest.mark.parametrize(
    ("value", "layers", "described"),
    [
        (A, "a", ("single", ())),
        ([A], "a", ("single", ())),
        ([A, B], "ab", ("list", ())),
        ({"q": A, "p": B}, "ba", ("dict", ("p", "q"))),
        ([{"q": A, "p": B}, C], "bac", ("nested", ())),
        ({"q": [A], "p": B}, "ba", ("nested", ())),
    ],
)
def test_tensors_are_in_keras_order(value: Any, layers: str, described: Any) -> None:
    refs, nesting = parse_structure(value)

    assert refs == tuple(TensorRef(name) for name in layers)
    assert describe_structure(nesting) == described


def test_dictionary_of_tensors_says_which_is_which() -> None:
    assert operands_by_key({"x": Operand(1), "y": Operand(0)}) == {"x": 1, "y": 0}
    assert operands_by_key({"x": Operand(1), "y": 3}) is None
    assert operands_by_key(Operand(0)) is None


def difference(nesting: Any = ("list", 0, ("dict", ("twice", 1)))) -> Architecture:
    """Return a network of the inputs "left" and "right": left - right, and twice that in a dictionary."""
    inputs = tuple(
        InputValue(name, (None, 2), "float32", name[:-1]) for name in ("left_", "right_")
    )
    steps = (
        Step("operator.sub", ("left_", "right_"), "first"),
        Step("operator.add", ("first", "first"), "second"),
    )
    outputs = ("first", "second")
    return Architecture("Net", inputs, outputs, steps, "nested", nesting=nesting)


def test_network_takes_its_inputs_however_they_come() -> None:
    model = build_model(Architecture.from_data(difference().to_data()), {})
    x, y = torch.tensor([[5.0, 6.0]]), torch.tensor([[1.0, 3.0]])

    given: list[Any] = [
        model(x, y),
        model([x, y]),
        model({"right": y, "left": x}),
        model(right=y, left=x),
        model(x, right_=y),
    ]

    for first, rest in given:
        torch.testing.assert_close(first, x - y)
        torch.testing.assert_close(rest, {"twice": 2 * (x - y)})


@pytest.mark.parametrize(
    ("inputs", "named"),
    [((), {}), ((1,), {}), ((1, 2, 3), {}), ((), {"left": 1, "other": 2}), ((1, 2), {"left": 1})],
    ids=["none", "one", "three", "unknown name", "one twice"],
)
def test_missing_and_unknown_inputs_are_refused(inputs: Any, named: Any) -> None:
    model = build_model(difference(), {})
    x = torch.zeros(1, 2)

    with pytest.raises(TypeError, match=r"takes 2 inputs \(left, right\)"):
        model(*(x for _ in inputs), **dict.fromkeys(named, x))


@pytest.mark.parametrize(
    "nesting", [None, ("list", 0), ("list", 0, 2), ("list", 0, 0), ("set", 0, 1), ("dict", 0, 1)]
)
def test_arrangement_that_is_not_of_all_outputs_is_refused(nesting: Any) -> None:
    with pytest.raises(UnreadableFileError):
        Architecture.from_data(difference(nesting).to_data())
