"""Configurations of every generation become one graph in the words of Keras 3."""

from __future__ import annotations

import json
from typing import Any

import pytest

from converters.configuration.models import parse_model_config
from converters.errors import UnreadableFileError, UnsupportedError
from converters.graph import CODE_CLASSES, Graph, TensorRef
from converters.registry import find_layer_rule


def parse(config: Any, *, generation: int = 3) -> Graph:
    return parse_model_config(json.dumps(config), generation=generation)


def sequential(*layers: Any) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "net", "layers": list(layers)}}


def layer(class_name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": {"name": class_name.lower(), **config}}


def tensor(name: str, call: int = 0) -> dict[str, Any]:
    return {"class_name": "__keras_tensor__", "config": {"keras_history": [name, call, 0]}}


def functional(layers: list[Any], inputs: Any, outputs: Any) -> dict[str, Any]:
    config = {"name": "net", "layers": layers, "input_layers": inputs, "output_layers": outputs}
    return {"class_name": "Functional", "config": config}


def entry(class_name: str, name: str, nodes: list[Any]) -> dict[str, Any]:
    config = {"name": name, "batch_shape": [None, 4]}
    return {"class_name": class_name, "name": name, "config": config, "inbound_nodes": nodes}


KERAS_3 = [
    entry("InputLayer", "x", []),
    entry("Add", "sum", [{"args": [[tensor("x"), tensor("x")]], "kwargs": {}}]),
]
KERAS_2 = [entry("InputLayer", "x", []), entry("Add", "sum", [[["x", 0, 0, {}], ["x", 0, 0, {}]]])]


@pytest.mark.parametrize(
    ("layers", "generation"), [(KERAS_3, 3), (KERAS_2, 2), (KERAS_2, 1)], ids=["3", "2", "1"]
)
def test_calls_of_all_generations_are_the_same(layers: list[Any], generation: int) -> None:
    graph = parse(functional(layers, [["x", 0, 0]], [["sum", 0, 0]]), generation=generation)

    (call,) = graph.calls
    assert call.inputs == (TensorRef("x"), TensorRef("x"))
    assert graph.outputs == (TensorRef("sum"),)
    assert graph.structure == "single"


@pytest.mark.parametrize(
    ("outputs", "structure", "names"),
    [
        (["sum", 0, 0], "single", ()),
        ([["sum", 0, 0]], "single", ()),
        ([["sum", 0, 0], ["x", 0, 0]], "list", ()),
        ({"q": ["sum", 0, 0], "v": ["x", 0, 0]}, "dict", ("q", "v")),
    ],
)
def test_structure_of_outputs_is_kept(outputs: Any, structure: str, names: tuple[str, ...]) -> None:
    graph = parse(functional(KERAS_3, [["x", 0, 0]], outputs))

    assert (graph.structure, graph.output_names) == (structure, names)


def test_calls_are_put_into_an_order_that_can_be_computed() -> None:
    layers = [
        entry("InputLayer", "x", []),
        entry("ReLU", "last", [[["first", 0, 0, {}]]]),
        entry("ReLU", "first", [[["x", 0, 0, {}]]]),
    ]

    graph = parse(functional(layers, [["x", 0, 0]], [["last", 0, 0]]), generation=2)

    assert [call.layer for call in graph.calls] == ["first", "last"]
    assert [each.name for each in graph.layers] == ["x", "last", "first"]


def test_what_has_to_wait_comes_behind_all_that_could_be_computed_before_it() -> None:
    layers = [
        entry("InputLayer", "x", []),
        entry("ReLU", "third", [[["second", 0, 0, {}]]]),
        entry("ReLU", "second", [[["first", 0, 0, {}]]]),
        entry("ReLU", "first", [[["x", 0, 0, {}]]]),
        entry("ReLU", "behind_first", [[["first", 0, 0, {}]]]),
    ]

    graph = parse(functional(layers, [["x", 0, 0]], [["third", 0, 0]]), generation=2)

    assert [call.layer for call in graph.calls] == ["first", "behind_first", "second", "third"]


def test_cycle_is_refused_with_what_waits_in_it() -> None:
    layers = [
        entry("InputLayer", "x", []),
        entry("ReLU", "apart", [[["x", 0, 0, {}]]]),
        entry("Add", "one", [[["x", 0, 0, {}], ["other", 0, 0, {}]]]),
        entry("ReLU", "other", [[["one", 0, 0, {}]]]),
    ]

    with pytest.raises(UnreadableFileError, match=r"cannot be computed: 'one', 'other'$"):
        parse(functional(layers, [["x", 0, 0]], [["other", 0, 0]]), generation=2)


def test_bidirectional_layer_inside_of_another_is_refused() -> None:
    wrapped = layer("LSTM", units=2)
    for depth in range(90):  # each would double the weights
        wrapped = layer("Bidirectional", layer=wrapped)
        wrapped["config"]["name"] = f"level_{depth}"

    with pytest.raises(UnsupportedError, match=r"'level_1' .* wraps what is Bidirectional itself"):
        parse(sequential(wrapped))


def test_number_larger_than_any_is_no_size() -> None:
    text = json.dumps(sequential(layer("InputLayer", batch_shape=[None, 4]))).replace("4", "1e999")

    with pytest.raises(UnreadableFileError, match="not readable"):
        parse_model_config(text, generation=3)


def test_nested_model_whose_first_call_was_not_stored_is_found() -> None:
    inner = functional(KERAS_2, [["x", 0, 0]], [["sum", 0, 0]])
    inner.update(name="inner", inbound_nodes=[[["y", 0, 0, {}]]])
    layers = [entry("InputLayer", "y", []), inner]

    graph = parse(functional(layers, [["y", 0, 0]], [["inner", 1, 0]]), generation=2)

    assert graph.outputs == (TensorRef("inner", 0),)


@pytest.mark.parametrize("class_name", CODE_CLASSES)
def test_layer_that_holds_code_is_kept_without_its_code(class_name: str) -> None:
    nested = sequential(sequential(layer(class_name, function=["4wEA", None, None])))
    nested["config"]["layers"][0]["config"]["name"] = "inner"

    inner = parse(nested).layer("inner").graph

    assert inner is not None
    assert dict(inner.layer(class_name.lower()).config) == {"name": class_name.lower()}
    with pytest.raises(UnsupportedError, match=r"holds or names code|runs a SavedModel") as caught:
        find_layer_rule(class_name)
    assert caught.value.exit_code == 4
    assert caught.value.hint is not None


@pytest.mark.parametrize("class_name", ["DQN", "my_package>Agent", "__class__", ""])
def test_model_class_of_the_users_own_is_refused(class_name: str) -> None:
    with pytest.raises(UnsupportedError, match="not one of Keras's own"):
        parse({"class_name": class_name, "config": {}})


@pytest.mark.parametrize(
    "config",
    [
        [],
        "text",
        {},
        {"class_name": "Sequential"},
        {"class_name": "Sequential", "config": None},
        {"class_name": "Sequential", "config": {"layers": None}},
        {"class_name": "Sequential", "config": {"layers": []}},
        {"class_name": "Sequential", "config": {"layers": [3]}},
        {"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense"}]}},
        {"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": 3}]}},
        functional(KERAS_3, [["x", 0, 0]], None),
        functional(KERAS_3, [["nowhere", 0, 0]], [["sum", 0, 0]]),
        functional(KERAS_3, [["x"]], [["sum", 0, 0]]),
        functional([*KERAS_3, KERAS_3[0]], [["x", 0, 0]], [["sum", 0, 0]]),
        functional([entry("Add", "sum", [[["sum", 0, 0, {}]]])], [], [["sum", 0, 0]]),
    ],
)
def test_text_of_another_form_is_refused(config: Any) -> None:
    with pytest.raises(UnreadableFileError):
        parse(config)


def nested_and_returned(generation: int) -> dict[str, Any]:
    """A model that is called twice, once on what it gave; all that it gives is used or returned."""
    inner = functional([entry("InputLayer", "x", [])], [["x", 0, 0]], [["x", 0, 0]])
    calls: list[Any] = [[tensor("state")], [tensor("inner", 0)]]
    nodes: list[Any] = [{"args": args, "kwargs": {}} for args in calls]
    if generation == 2:
        nodes = [[["state", 0, 0, {}]], [["inner", 1, 0, {}]]]
    inner |= {"name": "inner", "module": "keras", "inbound_nodes": nodes}
    layers = [entry("InputLayer", "state", []), inner]
    return functional(layers, [["state", 0, 0]], [["inner", 1, 0], ["inner", 2, 0]])


@pytest.mark.parametrize("generation", [2, 3])
def test_nested_model_that_is_used_inside_and_returned_keeps_its_calls(generation: int) -> None:
    graph = parse(nested_and_returned(generation), generation=generation)

    inputs = [call.inputs[0] for call in graph.calls if call.layer == "inner"]

    assert inputs == [TensorRef("state"), TensorRef("inner", 0)]
    assert graph.outputs == (TensorRef("inner", 0), TensorRef("inner", 1))


def test_a_single_later_call_that_is_returned_is_not_taken_for_the_first() -> None:
    config = nested_and_returned(3)
    config["config"]["output_layers"] = [["inner", 1, 0]]

    assert parse(config).outputs == (TensorRef("inner", 0),)
