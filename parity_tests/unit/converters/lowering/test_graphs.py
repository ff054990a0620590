from __future__ import annotations

import pytest

from converters.errors import UnsafeFileError
from converters.graph import Call, Graph, Input, Layer, Operand, TensorRef
from converters.lowering import Lowering, lower_model


def model(name: str, layer: Layer, *, calls: int) -> Graph:
    """Return a model of one layer that is called so often, each time on what came out of it."""
    x = TensorRef("x")
    sources = [x, *(TensorRef(layer.name, index) for index in range(calls))]
    return Graph(
        name,
        "Functional",
        3,
        (Layer("x", "InputLayer", {}), layer),
        tuple(Call(layer.name, n, (sources[n],), {}, (Operand(0),)) for n in range(calls)),
        (Input(x, (None, 4), "float32"),),
        (sources[-1],),
    )


def nested(depth: int) -> Graph:
    """Return models in models, each of which calls the next one twice."""
    graph = model("innermost", Layer("relu", "ReLU", {}), calls=2)
    for level in range(depth):
        graph = model(f"around_{level}", Layer(graph.name, "Functional", {}, graph=graph), calls=2)
    return graph


def test_model_that_is_called_twice_computes_twice() -> None:
    lowering = Lowering()

    architecture = lower_model(nested(2), lowering)

    assert [step.op for step in architecture.steps] == ["F.relu"] * 8
    assert not lowering.problems


def test_models_that_call_each_other_without_end_are_refused_before_they_are_walked() -> None:
    with pytest.raises(UnsafeFileError, match=r"calls 4,398,046,511,102 layers"):
        lower_model(nested(40), Lowering())
