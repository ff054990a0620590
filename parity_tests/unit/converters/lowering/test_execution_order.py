from __future__ import annotations

from dataclasses import replace

import pytest

from converters.graph import Call, Graph, Layer, TensorRef
from converters.lowering.execution_order import depths, execution_order, users_beside


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

    assert order.calls[0].layer == first


def test_order_stays_where_nothing_takes_masks() -> None:
    calls = [(name.lower(), tuple(ref.lower() for ref in refs)) for name, refs in LATE]

    assert [call.layer for call in execution_order(graph(*calls)).calls] == [
        name for name, _ in calls
    ]


def test_calls_at_the_same_depth_run_in_no_fixed_order() -> None:
    several = graph(("MHA", ("x",)), ("other", ("x",)), ("deep", ("y",)), ("more", ("deep",)))
    several = replace(several, outputs=tuple(TensorRef(name) for name in ("MHA", "other", "more")))

    order = execution_order(several)

    assert users_beside(order, several.calls[0], [TensorRef("x")], limit=3) == ["other"]


def test_the_first_of_all_that_use_a_tensor_are_named_in_the_order_of_the_file() -> None:
    several = graph(*((name, ("y", "x")) for name in "ABCDE"))
    several = replace(several, outputs=tuple(TensorRef(name) for name in "ABCDE"))
    order, refs = execution_order(several), [TensorRef("x"), TensorRef("y")]

    assert users_beside(order, several.calls[2], refs, limit=3) == ["A", "B", "D"]
