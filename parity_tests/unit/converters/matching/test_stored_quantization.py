from __future__ import annotations

import numpy as np
import pytest

from converters.checkpoint import ArrayInfo
from converters.graph import Graph, Layer
from converters.matching.stored_quantization import as_stored, graph_as_stored, notes_on_rounding

ATTENTION = Layer("attention", "MultiHeadAttention", {"name": "attention", "use_bias": True})
QUERY: dict[str, list[tuple[str, tuple[int, ...]]]] = {
    "float32": [("float32", (6, 2, 3)), ("float32", (2, 3))],
    "int8": [("int8", (6, 2, 3)), ("float32", (2, 3)), ("float32", (1, 1, 2, 3))],
    "int4": [("int8", (6, 3)), ("float32", (2, 3)), ("float32", (6,))],
    "int4 in 3 groups": [
        *(("int8", (6, 3)), ("float32", (2, 3)), ("float32", (3, 6))),
        *(("int8", (3, 6)), ("float32", (6,))),
    ],
    "float8": [
        *(("float32", (6, 2, 3)), ("float32", (2, 3))),
        *(("float32", ()), ("float32", (9,))) * 3,
    ],
    "gptq": [
        *(("float32", (2, 3)), ("uint8", (3, 6)), ("float32", (6, 2))),
        *(("uint8", (6, 2)), ("float32", (6,))),
    ],
    "awq": [
        *(("float32", (2, 3)), ("uint8", (3, 6)), ("float32", (6, 1))),
        *(("uint8", (6, 1)), ("float32", (6,)), ("float32", (6,))),
    ],
}
"""Types and shapes of what `.keras` holds of the query's layer: 6 numbers into 2 heads of 3."""


def _unread() -> np.ndarray:
    raise AssertionError  # types and shapes say it all


def infos(kind: str, place: str) -> dict[str, ArrayInfo]:
    return as_infos(QUERY[kind], place)


def as_infos(arrays: list[tuple[str, tuple[int, ...]]], place: str) -> dict[str, ArrayInfo]:
    return {
        f"{place}/{index}": ArrayInfo(place, shape, np.dtype(dtype), _unread)
        for index, (dtype, shape) in enumerate(arrays)
    }


@pytest.mark.parametrize(
    ("kind", "class_name", "settings"),
    [
        ("int8", "QuantizedEinsumDense", {"quantization": "int8", "rounds_input": True}),
        ("int4", "QuantizedEinsumDense", {"quantization": "int4", "block_size": None}),
        ("int4 in 3 groups", "QuantizedEinsumDense", {"quantization": "int4", "block_size": 2}),
        ("float8", "Float8EinsumDense", {"amax_history_length": 9}),
        ("gptq", "CalibratedEinsumDense", {"quantization": "gptq", "bits": 4, "block_size": 3}),
        ("awq", "CalibratedEinsumDense", {"quantization": "awq", "bits": 4, "block_size": None}),
    ],
)
def test_arrays_say_how_a_layer_inside_attention_is_quantized(
    kind: str, class_name: str, settings: dict[str, object]
) -> None:
    stored = infos(kind, "_query_dense") | infos("float32", "_key_dense")

    found = as_stored(ATTENTION, stored)

    assert list(found.inner) == ["query"]
    assert found.inner["query"].class_name == class_name
    assert settings.items() <= found.inner["query"].config.items()


def test_attention_with_whole_kernels_stays_as_configured() -> None:
    assert as_stored(ATTENTION, infos("float32", "query_dense")).inner == {}


@pytest.mark.parametrize(
    "arrays",
    [
        [("int8", (6, 3)), ("int8", ())],
        [("int8", (6, 3)), ("int8", (0, 6))],
        [("int8", ())],
        [("uint8", (3, 6)), ("float32", (6, 0))],
        [("uint8", ()), ("float32", (6, 2))],
        [("uint8", (3, 6))],
        [("float32", ())],
    ],
)
def test_arrays_of_no_sense_are_left_for_their_layer_to_refuse(
    arrays: list[tuple[str, tuple[int, ...]]],
) -> None:
    assert len(as_stored(ATTENTION, as_infos(arrays, "query_dense")).inner) <= 1


def test_adapters_beside_a_quantized_weight_give_their_rank() -> None:
    rows = ArrayInfo("rows", (6, 2), np.dtype("float32"), _unread)
    dense = Layer("dense", "QuantizedDense", {})
    graph = Graph("net", "Functional", 3, (dense,), (), (), ())

    found = graph_as_stored(graph, {("dense",): {"lora_kernel_a": rows}}).layers[0]

    assert found.config == {"adapter_rank": 2}


@pytest.mark.parametrize(("kind", "count"), [("int8", 1), ("int4", 0), ("float32", 0)])
def test_what_no_file_says_is_noted(kind: str, count: int) -> None:
    layer = as_stored(ATTENTION, infos(kind, "query_dense"))

    notes = notes_on_rounding(Graph("net", "Functional", 3, (layer,), (), (), ()))

    assert len(notes) == count
    assert all("'attention'" in note for note in notes)
