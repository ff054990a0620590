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
        ({"mode": "cos"}, "Merge", {"mode": "cos", "mode_type": "raw", "output_shape": None}),
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
        ({"mode": "lost"}, "has mode 'lost'"),
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


def branch(name: str, size: int) -> dict[str, Any]:
    dense = {"name": name, "output_dim": 4, "batch_input_shape": [None, size]}
    return {"class_name": "Sequential", "config": [{"class_name": "Dense", "config": dense}]}


def test_merge_at_the_start_of_a_sequential_joins_the_models_inside_it() -> None:
    inner = [layer("Merge", mode="sum", layers=[branch("a", 5), branch("b", 3)])]
    joined = {"class_name": "Sequential", "config": inner}
    outer = {"name": "all", "mode": "concat", "layers": [joined, branch("c", 2)]}
    entries = [{"class_name": "Merge", "config": outer}, layer("Dense", output_dim=1)]

    graph = parse({"class_name": "Sequential", "config": entries}, generation=1)

    assert [entry.shape for entry in graph.inputs] == [(None, 5), (None, 3), (None, 2)]
    assert len({entry.tensor.layer for entry in graph.inputs}) == 3
    calls = {call.layer: [ref.layer for ref in call.inputs] for call in graph.calls}
    assert calls["merge"] == ["a", "b"]
    assert calls["all"] == ["merge", "c"]
    assert calls["dense"] == ["all"]
    assert (graph.layer("merge").class_name, graph.layer("all").class_name) == (
        "Add",
        "Concatenate",
    )
    assert graph.outputs == (TensorRef("dense"),)


def test_merge_of_a_model_with_two_outputs_is_refused() -> None:
    model = {
        "name": "two",
        "layers": [
            {
                "class_name": "InputLayer",
                "name": "x",
                "config": {"name": "x", "batch_input_shape": [None, 2]},
                "inbound_nodes": [],
            }
        ],
        "input_layers": [["x", 0, 0]],
        "output_layers": [["x", 0, 0], ["x", 0, 0]],
    }
    entries = [layer("Merge", mode="sum", layers=[{"class_name": "Model", "config": model}])]

    with pytest.raises(UnsupportedError, match="joins a model with 2 outputs"):
        parse({"class_name": "Sequential", "config": entries}, generation=1)


@pytest.mark.parametrize(
    ("class_name", "stored", "wanted"),
    [
        ("GaussianDropout", {"p": 0.3}, {"rate": 0.3}),
        ("GaussianNoise", {"sigma": 0.3}, {"stddev": 0.3}),
        ("Embedding", {"W_regularizer": "r"}, {"embeddings_regularizer": "r"}),
        ("Dense", {"W_constraint": "c"}, {"kernel_constraint": "c"}),
        ("LSTM", {"U_regularizer": "r"}, {"recurrent_regularizer": "r"}),
    ],
)
def test_settings_have_their_later_names(
    class_name: str, stored: dict[str, Any], wanted: dict[str, Any]
) -> None:
    config = settings(
        parse(sequential(layer(class_name, **stored)), generation=1), class_name.lower()
    )

    assert {key: config.get(key) for key in wanted} == wanted
