"""Configurations in the words of Keras 1 become those of Keras 3."""

from __future__ import annotations

import json
from typing import Any

import pytest

from converters.graph import Graph, TensorRef
from converters.keras_config import parse_model_config


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
