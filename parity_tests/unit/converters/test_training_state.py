"""Penalties on weights are found under the names that Keras gives their settings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from converters.configuration.models import parse_model_config
from converters.lowering import Lowering, lower_model
from converters.training_state import regularization

PENALTY = {"class_name": "L2", "config": {"l2": 0.5}}


@pytest.mark.parametrize(
    ("class_name", "setting", "place"),
    [
        ("Conv2D", "kernel_regularizer", 0),
        ("DepthwiseConv2D", "depthwise_regularizer", 0),
        ("SeparableConv2D", "depthwise_regularizer", 0),
        ("SeparableConv2D", "pointwise_regularizer", 1),
        ("SeparableConv2D", "bias_regularizer", 2),
    ],
)
def test_penalty_belongs_to_the_weight_its_setting_names(
    class_name: str, setting: str, place: int
) -> None:
    config: dict[str, Any] = {"name": "layer", "batch_input_shape": [None, 5, 5, 2], "filters": 3}
    config |= {"kernel_size": [3, 3], setting: PENALTY}
    entries = [{"class_name": class_name, "config": config}]
    text = json.dumps({"class_name": "Sequential", "config": {"name": "net", "layers": entries}})
    graph, lowering = parse_model_config(text, generation=2), Lowering(None)
    lower_model(graph, lowering)

    factors = regularization(graph, lowering, [])

    assert factors is not None
    assert [index for index, pair in enumerate(factors) if pair == [0.0, 0.5]] == [place]
