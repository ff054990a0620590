from __future__ import annotations

import json

import numpy as np

from converters.checkpoint import ArrayInfo
from converters.configuration.models import parse_model_config
from converters.matching.groups import match_arrays
from converters.readers.tensorflow.keras_objects import Objects, keras_layers
from converters.readers.tensorflow.object_graph import Node


def array(name: str, size: int) -> ArrayInfo:
    return ArrayInfo(name, (size, size), np.dtype("f4"), lambda: np.zeros((size, size), np.float32))


def test_layers_with_slashes_in_their_names_keep_their_arrays() -> None:
    names = ["q/dense", "q/dense/2", "50% dense"]
    layers = [
        {
            "class_name": "Dense",
            "config": {"name": n, "units": 3, "use_bias": False, "batch_input_shape": [None, 3]},
        }
        for n in names
    ]
    config = {"class_name": "Sequential", "config": {"name": "net", "layers": layers}}
    graph = parse_model_config(json.dumps(config), generation=2)
    nodes = [Node({"layer-0": 1, "layer-1": 2, "layer-2": 3})]
    nodes += [Node({"kernel": number}) for number in (4, 5, 6)]
    nodes += [Node(key=name, full_name=f"{name}/kernel") for name in names]
    objects = Objects(nodes, {name: array(name, 3) for name in names})

    matched = match_arrays(graph, keras_layers(objects, 0, graph))

    found = {path: arrays["kernel"].name for path, arrays in matched.arrays.items()}
    assert found == {(name,): f"{name}/kernel" for name in names}
