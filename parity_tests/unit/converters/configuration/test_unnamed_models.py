"""Models inside a Sequential of Keras 1 and early 2 get the names that the file of weights has for them."""

from __future__ import annotations

import json
from typing import Any

from converters.configuration.models import parse_model_config
from converters.configuration.unnamed_models import name_unnamed
from converters.graph import Graph


def dense(name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": "Dense", "config": {"name": name, "units": 3, **config}}


def nested(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": list(layers)}


def parse_two_unnamed() -> Graph:
    first = nested(dense("dense_1", batch_input_shape=[None, 5]))
    config = nested(first, nested(dense("dense_2")), dense("dense_3"))
    return parse_model_config(json.dumps(config), generation=2, version="2.0.8")


def names_of(graph: Graph) -> list[str]:
    return [layer.name for layer in graph.layers if layer.class_name != "InputLayer"]


def test_two_unnamed_models_get_different_names() -> None:
    graph = parse_two_unnamed()
    assert names_of(graph) == ["sequential", "sequential_1", "dense_3"]


def test_unnamed_models_are_called_as_in_the_file() -> None:
    graph = name_unnamed(parse_two_unnamed(), ["encoder", "head", "dense_3"])
    assert names_of(graph) == ["encoder", "head", "dense_3"]
    assert [call.layer for call in graph.calls] == ["encoder", "head", "dense_3"]
    assert [call.inputs[0].layer for call in graph.calls[1:]] == ["encoder", "head"]
    assert graph.outputs[0].layer == "dense_3"


def test_the_names_of_another_model_are_not_taken() -> None:
    graph = name_unnamed(parse_two_unnamed(), ["encoder", "head", "dense_9"])
    assert names_of(graph) == ["sequential", "sequential_1", "dense_3"]
