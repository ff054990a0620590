"""Regularizers of nested models count as often as Keras counted them.

The expected numbers are those that the releases themselves gave: the loss of the same models with a weight, and with that
weight at 0.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from converters.configuration.models import parse_model_config
from converters.matching.model_weights import leaves

L2 = {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.5}}
SHAPE = [None, 4]


def dense(name: str, **config: Any) -> dict[str, Any]:
    settings = {"name": name, "units": 4, "kernel_regularizer": L2, **config}
    return {"class_name": "Dense", "name": name, "config": settings}


def inputs(name: str) -> dict[str, Any]:
    config = {"name": name, "batch_input_shape": SHAPE, "dtype": "float32"}
    return {"class_name": "InputLayer", "name": name, "config": config, "inbound_nodes": []}


def sequential(name: str, *layers: Any) -> dict[str, Any]:
    return {"class_name": "Sequential", "name": name, "config": {"name": name, "layers": layers}}


def around(layer: dict[str, Any]) -> dict[str, Any]:
    return {
        "class_name": "TimeDistributed",
        "name": "td",
        "config": {"name": "td", "layer": layer},
    }


def functional(name: str, starts: int, *nodes: tuple[dict[str, Any], list[tuple[str, int]]]) -> Any:
    """Return a model of `starts` inputs "x0", "x1", ..., and layers with the tensor each of their calls takes."""
    names = [f"x{place}" for place in range(starts)]
    layers = [inputs(each) for each in names]
    for layer, sources in nodes:
        calls = [[[source, call, 0, {}]] for source, call in sources]
        layers.append({**layer, "inbound_nodes": calls})
    last, sources = nodes[-1]
    outputs = [[last["name"], call, 0] for call in range(len(sources))]
    config = {
        "name": name,
        "layers": layers,
        "input_layers": [[each, 0, 0] for each in names],
        "output_layers": outputs,
    }
    return {"class_name": "Model", "name": name, "config": config}


def counts(model: Any, version: str) -> list[float]:
    """Return how often each layer's penalty counts, in the order of the layers."""
    generation = int(version[0])
    graph = parse_model_config(json.dumps(model), generation=generation, version=version)
    found = []
    for _, layer in leaves(graph):
        while "layer" in layer.inner:
            layer = layer.inner["layer"]
        parts = leaves(layer.graph) if layer.graph else [((), layer)]
        for _, part in parts:
            if part.class_name == "Dense":
                setting: Any = part.config["kernel_regularizer"]
                found.append(0.0 if setting is None else setting["config"]["l2"] / 0.5)
    return found


def one() -> dict[str, Any]:
    return sequential("inner", dense("a", batch_input_shape=SHAPE))


def twice_within() -> Any:
    inner = functional("inner", 1, (dense("a"), [("x0", 0)]))
    middle = {
        **functional("middle", 1, (dense("b"), [("inner", 0)]), (inner, [("x0", 0), ("b", 0)])),
        "name": "middle",
    }
    middle["config"]["output_layers"] = [["inner", 1, 0]]
    return functional("outer", 2, (middle, [("x0", 0), ("x1", 0)]))


@pytest.mark.parametrize(
    ("version", "count"),
    [("1.1.2", 1), ("1.2.2", 2), ("2.0.8", 2), ("2.1.3", 2), ("2.1.4", 1), ("2.2.4", 1)],
)
def test_a_model_that_is_called_twice_counts_its_penalties_twice_until_keras_2_1_4(
    version: str, count: int
) -> None:
    model = functional("outer", 2, (one(), [("x0", 0), ("x1", 0)]))

    assert counts(model, version) == [count]


def test_a_model_that_gets_the_same_input_twice_answers_from_its_cache() -> None:
    model = functional("outer", 1, (one(), [("x0", 0), ("x0", 0)]))

    assert counts(model, "2.0.8") == [1]


@pytest.mark.parametrize(("version", "expected"), [("2.0.8", [2, 18]), ("2.1.6", [1, 1])])
def test_models_around_collect_what_a_model_has_collected_by_then(
    version: str, expected: list[int]
) -> None:
    assert counts(twice_within(), version) == expected


@pytest.mark.parametrize(
    ("version", "expected"),
    [("1.2.2", [2, 5, 2]), ("2.0.8", [2, 5, 2]), ("2.1.3", [5, 5, 2]), ("2.1.6", [1, 1, 1])],
)
def test_a_model_that_comes_first_in_a_sequential_was_not_called_before_keras_2_1(
    version: str, expected: list[int]
) -> None:
    first = sequential("first", dense("a", batch_input_shape=SHAPE))
    second = sequential("second", dense("b", batch_input_shape=SHAPE))
    whole = sequential("whole", first, second, dense("c"))
    model = functional("outer", 2, (whole, [("x0", 0), ("x1", 0)]))

    assert counts(model, version) == expected


@pytest.mark.parametrize(
    ("version", "calls", "count"),
    [("1.2.2", 1, 1), ("1.2.2", 2, 0), ("2.0.2", 2, 0), ("2.0.8", 1, 1), ("2.0.8", 2, 2)],
)
def test_a_wrapped_model_counts_with_each_call_and_before_2_0_3_only_where_it_is_called_once(
    version: str, calls: int, count: int
) -> None:
    sources = [("x0", 0), ("td", 0)][:calls]
    model = functional("outer", 1, (around(one()), sources))

    assert counts(model, version) == [count]


def test_a_wrapped_layer_inside_a_called_model_counts_since_2_0_3() -> None:
    inner = functional("inner", 1, (around(dense("a")), [("x0", 0)]))
    model = functional("outer", 1, (inner, [("x0", 0)]))

    assert [counts(model, version) for version in ("2.0.2", "2.0.3")] == [[0], [1]]


def test_models_nested_beyond_reason_are_read_and_count_once() -> None:
    model = functional("m0", 1, (dense("a"), [("x0", 0)]))
    for depth in range(1, 15):
        inner = {**model, "name": f"m{depth - 1}"}
        model = functional(f"m{depth}", 1, (inner, [("x0", 0), (inner["name"], 0)]))
        model["config"]["output_layers"] = [[inner["name"], 1, 0]]

    assert counts(model, "2.0.8") == [1]


@pytest.mark.parametrize(
    ("version", "settings", "expected"),
    [
        ("1.2.2", {"consume_less": "cpu"}, 0.5),
        ("1.2.2", {"consume_less": "gpu"}, 0.25),
        ("1.1.2", {"consume_less": "cpu"}, 0.25),
    ],
)
def test_recurrent_matrices_of_single_gates_had_the_regularizer_of_the_others(
    version: str, settings: dict[str, str], expected: float
) -> None:
    penalties = {"W_regularizer": {"l1": 0.0, "l2": 0.5}, "U_regularizer": {"l1": 0.0, "l2": 0.25}}
    config = {"name": "memory", "output_dim": 2, **penalties, **settings}
    model = {"class_name": "Sequential", "config": [{"class_name": "GRU", "config": config}]}

    graph = parse_model_config(json.dumps(model), generation=1, version=version)

    assert graph.layer("memory").config["recurrent_regularizer"] == {"l1": 0.0, "l2": expected}
