"""What Keras 2 meant, and tf.keras otherwise, is said in the words of Keras 3."""

from __future__ import annotations

import json
from typing import Any

import pytest

from converters.configuration.keras2 import backward_config, find_dialect
from converters.configuration.models import parse_model_config
from converters.graph import Graph


def parse(config: Any, *, generation: int, version: str | None = None) -> Graph:
    return parse_model_config(json.dumps(config), generation=generation, version=version)


def sequential(*layers: Any) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "net", "layers": list(layers)}}


def layer(class_name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": {"name": class_name.lower(), **config}}


def settings(graph: Graph, name: str) -> Any:
    return graph.layer(name).config


@pytest.mark.parametrize(
    ("generation", "name"),
    [(1, "hard_sigmoid_keras2"), (2, "hard_sigmoid_keras2"), (3, "hard_sigmoid")],
)
def test_hard_sigmoid_means_what_its_generation_meant(generation: int, name: str) -> None:
    graph = parse(
        sequential(layer("Dense", units=3, activation="hard_sigmoid")), generation=generation
    )

    assert settings(graph, "dense")["activation"] == name


@pytest.mark.parametrize(("generation", "word"), [(2, "alpha"), (3, "negative_slope")])
def test_layer_as_activation_means_what_its_generation_meant(generation: int, word: str) -> None:
    slope = layer("LeakyReLU", **{word: 0.07})
    graph = parse(sequential(layer("Dense", units=3, activation=slope)), generation=generation)

    assert settings(graph, "dense")["activation"]["config"]["negative_slope"] == 0.07


@pytest.mark.parametrize(
    ("version", "variance", "average"),
    [
        ("2.0.8", None, None),
        ("2.1.2", None, None),
        ("2.1.3", None, "debiased"),
        ("2.1.4", "keras2", "debiased"),
        ("2.2.5", "keras2", "debiased"),
        ("2.3.0", "keras2", None),
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


@pytest.mark.parametrize(
    ("generation", "version", "wanted"),
    [
        (1, "1.2.2", "moved"),
        (2, "2.1.2", "moved"),
        (2, "2.1.3", "kept"),
        (2, "2.15.0", None),
        (3, "3.15.1", None),
    ],
)
def test_only_tf_keras_normalizes_by_the_moving_statistics_when_frozen(
    generation: int, version: str, wanted: str | None
) -> None:
    graph = parse(sequential(layer("BatchNormalization")), generation=generation, version=version)

    assert settings(graph, "batchnormalization").get("statistics_when_frozen") == wanted


@pytest.mark.parametrize(("generation", "stated"), [(2, True), (3, None)])
def test_only_keras_2_stores_the_axes_of_layer_normalization_as_written(
    generation: int, stated: bool | None
) -> None:
    graph = parse(sequential(layer("LayerNormalization", axis=[3, 1])), generation=generation)

    assert settings(graph, "layernormalization").get("axes_as_written") is stated


@pytest.mark.parametrize(
    ("version", "counted"),
    [("2.0.8", False), ("2.1.6", False), ("2.2.0", True), ("2.2.4-tf", True), ("2.15.0", True)],
)
def test_penalty_of_the_backward_direction_counts_from_keras_2_2_on(
    version: str, counted: bool
) -> None:
    forward = {"units": 3, "kernel_regularizer": {"class_name": "L2"}}

    backward = backward_config(forward, find_dialect(2, version))

    assert backward["go_backwards"] is True
    assert (backward["kernel_regularizer"] is not None) is counted
