from __future__ import annotations

import numpy as np
import pytest

from converters.checkpoint import ArrayInfo
from converters.graph import Graph, Layer
from converters.legacy_files.keras_trees import places


def dense(name: str) -> Layer:
    return Layer(name, "Dense", {"units": 1, "use_bias": False})


def wrapped_model() -> Layer:
    layers = (dense("first"), Layer("op", "ops.Tanh", {}), dense("second"))
    graph = Graph("inner", "Functional", 3, layers, (), (), ())
    inner = Layer(
        "inner", "Functional", {}, graph=graph, inner={each.name: each for each in layers}
    )
    return Layer("frames", "TimeDistributed", {}, inner={"layer": inner})


def cells() -> Layer:
    kinds = ("LSTM", "GRU", "LSTM")
    config = {"units": 1, "use_bias": False}
    inner = {f"cell_{n}": Layer(f"c{n}", kind, config) for n, kind in enumerate(kinds)}
    return Layer("stack", "RNN", {}, inner=inner)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (wrapped_model(), ["layer/layers/dense/vars/0", "layer/layers/dense_1/vars/0"]),
        (
            cells(),
            [
                f"cell/cells/{cell}/vars/{index}"
                for cell in ("lstm_cell", "gru_cell", "lstm_cell_1")
                for index in (0, 1)
            ],
        ),
    ],
    ids=["model in a wrapper", "cells"],
)
def test_parts_of_a_layer_lie_where_keras_3_looks_for_them(
    layer: Layer, expected: list[str]
) -> None:
    value = np.zeros(1, np.float32)
    roles = (
        ["layer/first/kernel", "layer/second/kernel"]
        if "layer" in layer.inner
        else [f"{cell}/{role}" for cell in layer.inner for role in ("kernel", "recurrent_kernel")]
    )
    arrays = {role: ArrayInfo(role, (1,), value.dtype, lambda: value) for role in roles}

    found = places(layer, arrays)

    assert list(found) == expected
    assert [info.name for info in found.values()] == roles
