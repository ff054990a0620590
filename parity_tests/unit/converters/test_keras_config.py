"""Configurations of every generation become one graph in the words of Keras 3."""

from __future__ import annotations

import json
from typing import Any

import pytest

from converters.errors import UnreadableFileError, UnsupportedError
from converters.graph import Graph, TensorRef
from converters.keras_config import CODE_CLASSES, parse_model_config


def parse(config: Any, *, generation: int = 3, version: str | None = None) -> Graph:
    return parse_model_config(json.dumps(config), generation=generation, version=version)


def sequential(*layers: Any) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "net", "layers": list(layers)}}


def layer(class_name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": {"name": class_name.lower(), **config}}


def settings(graph: Graph, name: str) -> Any:
    return graph.layer(name).config


@pytest.mark.parametrize("generation", [1, 2])
def test_keras_1_words_become_those_of_keras_3(generation: int) -> None:
    graph = parse(
        sequential(
            layer(
                "Dense", output_dim=3, bias=False, batch_input_shape=[None, 4], W_regularizer=None
            ),
            layer("Dropout", p=0.25),
            layer("LeakyReLU", alpha=0.1),
        ),
        generation=generation,
    )

    assert settings(graph, "dense")["units"] == 3
    assert settings(graph, "dense")["use_bias"] is False
    assert settings(graph, "dropout")["rate"] == 0.25
    assert settings(graph, "leakyrelu")["negative_slope"] == 0.1
    assert graph.inputs[0].shape == (None, 4)


@pytest.mark.parametrize(
    ("generation", "name"),
    [(1, "hard_sigmoid_keras2"), (2, "hard_sigmoid_keras2"), (3, "hard_sigmoid")],
)
def test_hard_sigmoid_means_what_its_generation_meant(generation: int, name: str) -> None:
    graph = parse(
        sequential(layer("Dense", units=3, activation="hard_sigmoid")), generation=generation
    )

    assert settings(graph, "dense")["activation"] == name


def test_bare_list_of_layers_is_a_sequential_model() -> None:
    config = {"class_name": "Sequential", "config": [layer("Dense", output_dim=3, input_dim=6)]}

    graph = parse(config, generation=1)

    assert [entry.class_name for entry in graph.layers] == ["InputLayer", "Dense"]
    assert graph.inputs[0].shape == (None, 6)
    assert [(call.layer, call.inputs) for call in graph.calls] == [("dense", (TensorRef("input"),))]


@pytest.mark.parametrize(
    ("version", "variance", "average"),
    [
        ("2.0.8", None, "debiased"),
        ("2.1.2", None, "debiased"),
        ("2.1.3", "keras2", "debiased"),
        ("2.3.1", "keras2", "debiased"),
        ("2.2.4-tf", None, None),
        ("2.4.0", None, None),
        ("2.15.0", None, None),
        (None, None, None),
    ],
)
def test_standalone_keras_2_moves_its_statistics_in_its_own_way(
    version: str | None, variance: str | None, average: str | None
) -> None:
    graph = parse(sequential(layer("BatchNormalization", axis=[1])), generation=2, version=version)

    config = settings(graph, "batchnormalization")
    assert config["axis"] == 1
    assert config.get("moving_variance") == variance
    assert config.get("moving_average") == average


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


def test_nested_model_whose_first_call_was_not_stored_is_found() -> None:
    inner = functional(KERAS_2, [["x", 0, 0]], [["sum", 0, 0]])
    inner.update(name="inner", inbound_nodes=[[["y", 0, 0, {}]]])
    layers = [entry("InputLayer", "y", []), inner]

    graph = parse(functional(layers, [["y", 0, 0]], [["inner", 1, 0]]), generation=2)

    assert graph.outputs == (TensorRef("inner", 0),)


@pytest.mark.parametrize("class_name", CODE_CLASSES)
def test_layer_that_holds_code_is_refused_wherever_it_is(class_name: str) -> None:
    nested = sequential(sequential(layer(class_name)))
    nested["config"]["layers"][0]["config"]["name"] = "inner"

    with pytest.raises(UnsupportedError, match=f"is a {class_name} and holds code") as caught:
        parse(nested)

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
