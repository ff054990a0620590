"""Nodes of TensorFlow's graph in configurations of TensorFlow 1.13 to 2.3, worked out with NumPy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from converters.configuration.models import parse_model_config
from converters.errors import UnsupportedError
from converters.live.build import build_model
from converters.lowering import Lowering, lower_model

X = np.random.default_rng(1).normal(size=(3, 4, 6))
Reference = Callable[[NDArray[Any]], NDArray[Any]]


def run(
    op: str, constants: Mapping[int, Any], attributes: Mapping[str, Any], *, tensors: int = 1
) -> Any:
    node = {"name": "node", "op": op, "input": [], "attr": attributes}
    stored = {str(place): value for place, value in constants.items()}
    config = {"name": "node", "trainable": True, "dtype": "float64"}
    config |= {"node_def": json.dumps(node), "constants": stored}
    layers = [
        {
            "class_name": "InputLayer",
            "name": "x",
            "config": {"name": "x", "batch_input_shape": [None, 4, 6], "dtype": "float64"},
            "inbound_nodes": [],
        },
        {
            "class_name": "TensorFlowOpLayer",
            "name": "tf_op_layer_node",
            "config": config,
            "inbound_nodes": [[["x", 0, 0, {}]] * tensors],
        },
    ]
    model = {
        "name": "network",
        "layers": layers,
        "input_layers": [["x", 0, 0]],
        "output_layers": [["tf_op_layer_node", 0, 0]],
    }
    text = json.dumps({"class_name": "Model", "config": model})
    lowering = Lowering()
    architecture = lower_model(parse_model_config(text, generation=2), lowering)
    if lowering.problems:
        raise lowering.problems[0]
    return build_model(architecture, {})(torch.from_numpy(X)).numpy()


SLICED = {"begin_mask": {"i": "5"}, "end_mask": {"i": "5"}, "shrink_axis_mask": {"i": "2"}}
NODES: dict[str, tuple[str, Mapping[int, Any], Mapping[str, Any], Reference]] = {
    "number behind": ("Sub", {1: 2.0}, {}, lambda x: x - 2),
    "number first": ("Sub", {0: 2.0}, {}, lambda x: 2 - x),
    "mean": ("Mean", {1: [1]}, {"keep_dims": {"b": True}}, lambda x: x.mean(1, keepdims=True)),
    "slice": (
        "StridedSlice", {1: [0, 2, 0], 2: [0, 3, 0], 3: [1, 1, 2]}, SLICED, lambda x: x[:, 2, ::2]
    ),
    "cast": ("Cast", {}, {"DstT": {"type": "DT_INT32"}}, lambda x: x.astype(np.int32)),
    "squeezed nothing": ("Squeeze", {}, {"squeeze_dims": {"list": {}}}, lambda x: x),
    "transpose": ("Transpose", {1: [0, 2, 1]}, {}, lambda x: x.transpose(0, 2, 1)),
    "split": ("Split", {0: 2}, {"num_split": {"i": "2"}}, lambda x: x[:, :, :3]),
}  # fmt: skip


@pytest.mark.parametrize("name", NODES)
def test_node_computes_what_tensorflow_documents(name: str) -> None:
    op, constants, attributes, reference = NODES[name]

    np.testing.assert_allclose(run(op, constants, attributes), reference(X), rtol=1e-12)


def test_list_of_tensors_comes_before_the_axis() -> None:
    found = run("ConcatV2", {2: -1}, {}, tensors=2)

    np.testing.assert_array_equal(found, np.concatenate([X, X], -1))


def test_unknown_node_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedError, match="no rule for the TensorFlow node 'PyFunc'"):
        run("PyFunc", {}, {})


def test_node_that_is_no_text_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="2 inputs, 1 are needed"):
        run("Neg", {1: 3.0}, {})
