"""What goes into a call, in the words of each generation."""

from __future__ import annotations

from typing import Any

from converters.configuration.call_nodes import parse_node
from converters.graph import Operand, TensorRef


def keras_tensor(layer: str, call: int = 0, index: int = 0) -> dict[str, Any]:
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None, 3], "keras_history": [layer, call, index]},
    }


def test_tensors_of_keras_3_keep_their_places_among_numbers_lists_and_names() -> None:
    half = {"class_name": "__slice__", "config": {"start": 1, "stop": None, "step": 2}}
    node = {
        "args": [2.0, [keras_tensor("x"), half, None]],
        "kwargs": {"key": keras_tensor("y", 1, 2), "mask": None, "axis": -1},
    }

    parsed = parse_node(node)

    assert parsed.inputs == [TensorRef("x"), TensorRef("y", 1, 2)]
    assert parsed.args == (2.0, (Operand(0), slice(1, None, 2), None))
    assert parsed.kwargs == {"key": Operand(1), "axis": -1}


def test_tensors_of_keras_2_are_named_bare_beside_constants() -> None:
    parsed = parse_node([["x", 0, 0, {"y": ["z", 1, 0], "name": None, "axis": [1, 2]}]])
    constant = parse_node([["_CONSTANT_VALUE", -1, 2.5, {"y": ["x", 0, 0]}]])

    assert parsed.inputs == [TensorRef("x"), TensorRef("z", 1)]
    assert (parsed.args, parsed.kwargs) == ((Operand(0),), {"y": Operand(1), "axis": (1, 2)})
    assert (constant.args, constant.kwargs) == ((2.5,), {"y": Operand(0)})


def test_one_entry_without_the_outer_list_is_one_tensor() -> None:
    parsed = parse_node(["x", 0, 0])

    assert (parsed.inputs, parsed.args) == ([TensorRef("x")], (Operand(0),))
