from __future__ import annotations

from dataclasses import replace

import pytest

from converters.graph import Call, Graph, Layer, TensorRef
from converters.lowering.execution_order import depths, execution_order


def graph(*calls: tuple[str, tuple[str, ...]], generation: int = 3) -> Graph:
    """Return a graph of Dense layers, but for names in capitals, which are MultiHeadAttention."""
    layers = [
        Layer(name, "MultiHeadAttention" if name.isupper() else "Dense", {}) for name, _ in calls
    ]
    made = [Call(name, 0, tuple(TensorRef(ref) for ref in refs), {}) for name, refs in calls]
    outputs = (TensorRef(calls[-1][0]),)
    return Graph("g", "Functional", generation, tuple(layers), tuple(made), (), outputs)


LATE = (
    ("beside", ("x",)),
    ("MHA", ("x",)),
    ("one", ("MHA",)),
    ("two", ("one",)),
    ("sum", ("two", "beside")),
)


def test_depth_is_the_longest_way_to_an_output() -> None:
    assert depths(graph(*LATE)) == {
        ("sum", 0): 0,
        ("beside", 0): 1,
        ("two", 0): 1,
        ("one", 0): 2,
        ("MHA", 0): 3,
        ("x", 0): 4,
    }


@pytest.mark.parametrize(
    ("generation", "first"), [(3, "MHA"), (2, "beside")], ids=["keras3", "keras2"]
)
def test_what_takes_masks_runs_at_its_depth_in_keras_3(generation: int, first: str) -> None:
    order = execution_order(graph(*LATE, generation=generation))

    assert order[0].layer == first


def test_order_stays_where_nothing_takes_masks() -> None:
    calls = [(name.lower(), tuple(ref.lower() for ref in refs)) for name, refs in LATE]

    assert [call.layer for call in execution_order(graph(*calls))] == [name for name, _ in calls]


def shared(class_name: str, generation: int, **config: object) -> Graph:
    """Return a graph in which one layer is called with `x` and with `y`, and the sum takes the second result first."""
    layers = (Layer("shared", class_name, config), Layer("sum", "Add", {}))
    calls = tuple(Call("shared", at, (TensorRef(name),), {}) for at, name in enumerate("xy"))
    total = Call("sum", 0, (TensorRef("shared", 1), TensorRef("shared", 0)), {})
    outputs = (TensorRef("sum"),)
    return Graph("g", "Functional", generation, layers, (*calls, total), (), outputs)


@pytest.mark.parametrize(
    ("class_name", "generation", "config", "first"),
    [
        ("BatchNormalization", 3, {}, 1),
        ("BatchNormalization", 2, {}, 1),
        ("BatchNormalization", 1, {}, 0),
        ("LSTM", 3, {"stateful": True}, 1),
        ("LSTM", 3, {"stateful": False}, 0),
        ("Dense", 3, {}, 0),
    ],
)
def test_calls_of_a_layer_that_moves_run_as_those_use_them_that_follow(
    class_name: str, generation: int, config: dict[str, object], first: int
) -> None:
    order = execution_order(shared(class_name, generation, **config))

    assert [(call.layer, call.call) for call in order] == [
        ("shared", first),
        ("shared", 1 - first),
        ("sum", 0),
    ]


def test_statistics_inside_of_a_model_or_a_wrapper_move_with_it() -> None:
    norm = Layer("norm", "BatchNormalization", {})
    inside = Graph("inside", "Sequential", 3, (norm,), (), (), ())
    for around in (
        Layer("shared", "Sequential", {}, graph=inside),
        Layer("shared", "TimeDistributed", {}, inner={"layer": norm}),
    ):
        outer = replace(shared("Dense", 3), layers=(around, Layer("sum", "Add", {})))

        assert execution_order(outer)[0].call == 1


def test_calls_that_no_output_needs_are_kept() -> None:
    found = graph(("MHA", ("x",)), ("unused", ("MHA",)), ("last", ("MHA",)))

    assert {call.layer for call in execution_order(found)} == {"MHA", "unused", "last"}
