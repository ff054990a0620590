"""A layer that would use a mask is refused; one that would not converts."""

from __future__ import annotations

import pytest

from converters.errors import UnsupportedError
from converters.graph import Call, Graph, Input, Layer, TensorRef
from converters.plan import _check_rules


def graph(class_name: str, *, mask_zero: bool) -> Graph:
    layers = (
        Layer("x", "InputLayer", {}),
        Layer("words", "Embedding", {"mask_zero": mask_zero}),
        Layer("last", class_name, {}),
    )
    calls = (Call("words", 0, (TensorRef("x"),), {}), Call("last", 0, (TensorRef("words"),), {}))
    inputs = (Input(TensorRef("x"), (None, 3), "int32"),)
    return Graph("g", "Functional", 3, layers, calls, inputs, (TensorRef("last"),))


@pytest.mark.parametrize(
    "class_name", ["LSTM", "GlobalAveragePooling1D", "MultiHeadAttention", "BatchNormalization"]
)
def test_layer_that_skips_masked_steps_is_refused(class_name: str) -> None:
    with pytest.raises(UnsupportedError, match="skips the steps that 'words' masks"):
        _check_rules(graph(class_name, mask_zero=True))

    _check_rules(graph(class_name, mask_zero=False))


def test_layer_that_ignores_masks_converts_behind_one() -> None:
    _check_rules(graph("Flatten", mask_zero=True))
