"""Configurations in the words of Keras 1 become those of Keras 3."""

from __future__ import annotations

import json
from typing import Any

import pytest

from converters.configuration.models import parse_model_config
from converters.errors import UnsupportedError
from converters.graph import Graph, TensorRef


def parse(config: Any, *, generation: int, version: str | None = None) -> Graph:
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


def test_bare_list_of_layers_is_a_sequential_model() -> None:
    config = {"class_name": "Sequential", "config": [layer("Dense", output_dim=3, input_dim=6)]}

    graph = parse(config, generation=1)

    assert [entry.class_name for entry in graph.layers] == ["InputLayer", "Dense"]
    assert graph.inputs[0].shape == (None, 6)
    assert [(call.layer, call.inputs) for call in graph.calls] == [("dense", (TensorRef("input"),))]


@pytest.mark.parametrize(
    ("settings", "class_name", "wanted"),
    [
        ({"mode": "sum"}, "Add", {}),
        ({"mode": "mul"}, "Multiply", {}),
        ({"mode": "concat", "concat_axis": 1}, "Concatenate", {"axis": 1}),
        ({"mode": "dot", "dot_axes": [1, 2]}, "Dot", {"axes": [1, 2], "normalize": False}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_merge_becomes_the_layer_of_its_mode(
    settings: dict[str, Any], class_name: str, wanted: dict[str, Any]
) -> None:
    config = {"name": "merged", "mode_type": "raw", "output_shape": None, **settings}
    entries: list[dict[str, Any]] = [
        {
            "class_name": "InputLayer",
            "name": name,
            "config": {"name": name, "batch_input_shape": [None, 4]},
            "inbound_nodes": [],
        }
        for name in ("a", "b")
    ]
    merge = {
        "class_name": "Merge",
        "name": "merged",
        "config": config,
        "inbound_nodes": [[["a", 0, 0], ["b", 0, 0]]],
    }
    model = {
        "name": "model_1",
        "layers": [*entries, merge],
        "input_layers": [["a", 0, 0], ["b", 0, 0]],
        "output_layers": [["merged", 0, 0]],
    }

    graph = parse({"class_name": "Model", "config": model}, generation=1)

    found = graph.layer("merged")
    assert (found.class_name, dict(found.config)) == (class_name, {"name": "merged", **wanted})
    assert graph.calls[0].inputs == (TensorRef("a"), TensorRef("b"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"mode": "4wEAAAA", "mode_type": "lambda"}, "has mode '4wEAAAA'"),
        ({"mode": "join", "mode_type": "function"}, "has mode 'join'"),
        ({"mode": "cos"}, "has mode 'cos'"),
        ({"mode": "sum", "layers": [{}]}, "joins the models inside it"),
    ],
)
def test_merge_by_a_function_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        parse(sequential(layer("Merge", **config)), generation=1)


def test_dense_over_time_and_dilated_convolutions_have_their_later_names() -> None:
    graph = parse(
        sequential(
            layer("AtrousConvolution2D", nb_filter=2, nb_row=3, nb_col=3, atrous_rate=[2, 2]),
            layer("TimeDistributedDense", output_dim=3),
        ),
        generation=1,
    )

    assert graph.layer("atrousconvolution2d").class_name == "Conv2D"
    assert settings(graph, "atrousconvolution2d")["dilation_rate"] == [2, 2]
    assert graph.layer("timedistributeddense").class_name == "Dense"
    assert settings(graph, "timedistributeddense")["units"] == 3
