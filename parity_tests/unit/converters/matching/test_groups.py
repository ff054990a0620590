from __future__ import annotations

import numpy as np
import pytest

from converters.checkpoint import ArrayInfo, LayerArrays
from converters.errors import MismatchError
from converters.graph import Graph, Layer
from converters.matching.containers import snake_case
from converters.matching.groups import match_arrays


def arrays(*roles: str, layer: str = "") -> dict[str, ArrayInfo]:
    value = np.zeros(1, np.float32)
    return {role: ArrayInfo(f"{layer}/{role}", (1,), value.dtype, lambda: value) for role in roles}


def entry(path: str, *roles: str, name: str | None = None) -> LayerArrays:
    return LayerArrays(path, name, arrays(*roles, layer=path))


def dense(name: str) -> Layer:
    return Layer(name, "Dense", {"units": 1})


def graph(*layers: Layer, name: str = "net") -> Graph:
    return Graph(name, "Sequential", 3, layers, (), (), ())


def found(model: Graph, *entries: LayerArrays) -> dict[str, str]:
    matched = match_arrays(model, entries)
    return {
        f"{'/'.join(path)}:{role}": info.name
        for path, roles in matched.arrays.items()
        for role, info in roles.items()
    }


def test_layers_are_found_by_name_in_any_order() -> None:
    result = found(
        graph(dense("a"), dense("b")), entry("b", "kernel", "bias"), entry("a", "kernel", "bias")
    )

    assert result == {
        "a:kernel": "a/kernel",
        "a:bias": "a/bias",
        "b:kernel": "b/kernel",
        "b:bias": "b/bias",
    }


def test_roles_decide_where_the_file_states_them() -> None:
    assert found(graph(dense("a")), entry("a", "bias:0", "kernel:0")) == {
        "a:kernel": "a/kernel:0",
        "a:bias": "a/bias:0",
    }


def test_numbers_are_taken_in_order() -> None:
    assert found(graph(dense("a")), entry("layers/dense", "0", "1")) == {
        "a:kernel": "layers/dense/0",
        "a:bias": "layers/dense/1",
    }


def test_containers_are_counted_in_the_order_of_the_configuration() -> None:
    entries = [
        entry(path, "0", "1") for path in ("layers/dense_10", "layers/dense", "layers/dense_2")
    ]

    result = found(graph(dense("x"), dense("y"), dense("z")), *entries)

    kernels = [result[f"{name}:kernel"] for name in "xyz"]
    assert kernels == ["layers/dense/0", "layers/dense_2/0", "layers/dense_10/0"]


def test_a_cell_that_was_unfolded_is_found_under_the_name_of_its_rnn() -> None:
    around_cell = Layer("a", "GRU", {"units": 1, "cell": "GRUCell"})
    entries = [entry(f"layers/{kind}/cell", "0", "1", "2") for kind in ("gru", "rnn")]

    result = found(graph(around_cell, Layer("b", "GRU", {"units": 1})), *entries)

    assert {name[0]: path.split("/")[1] for name, path in result.items()} == {
        "a": "rnn",
        "b": "gru",
    }


def test_stated_names_win_over_counting() -> None:
    result = found(
        graph(dense("x"), dense("y")),
        entry("layers/dense", "0", "1", name="y"),
        entry("layers/dense_1", "0", "1", name="x"),
    )

    assert result["x:kernel"] == "layers/dense_1/0"


def test_state_of_a_seed_generator_is_left_out_with_the_reason() -> None:
    matched = match_arrays(
        graph(dense("a")),
        [entry("layers/dense", "0", "1"), entry("layers/dropout/seed_generator", "0")],
    )

    assert [name for name, _ in matched.ignored] == ["layers/dropout/seed_generator/0"]
    assert "seed generator" in matched.ignored[0][1]


def test_optimizer_of_a_nested_model_is_left_out_with_the_reason() -> None:
    inner = Layer("inner", "Functional", {}, graph=graph(dense("d"), name="inner"))
    stored = [
        entry("layers/functional", name="inner"),
        entry("layers/functional/layers/dense", "0", "1"),
        entry("layers/functional/optimizer", "0", "1", "2"),
    ]

    matched = match_arrays(graph(inner), stored)

    assert list(matched.arrays) == [("inner", "d")]
    assert [name for name, _ in matched.ignored] == [
        f"layers/functional/optimizer/{index}" for index in range(3)
    ]


def test_nested_model_in_one_group_has_trainable_weights_first() -> None:
    normalization = Layer("bn", "BatchNormalization", {"scale": True, "center": True})
    inner = Layer("inner", "Functional", {}, graph=graph(normalization, dense("d"), name="inner"))
    stored = [f"{index}" for index in range(6)]

    result = found(graph(inner), entry("inner", *stored))

    assert [result[f"inner/{key}"] for key in ("bn:gamma", "bn:beta", "d:kernel", "d:bias")] == [
        f"inner/{index}" for index in range(4)
    ]
    assert result["inner/bn:moving_mean"] == "inner/4"
    assert result["inner/bn:moving_variance"] == "inner/5"


def test_frozen_layers_of_a_nested_model_are_stored_behind_the_others() -> None:
    frozen = Layer("a", "Dense", {"units": 1}, trainable=False)
    inner = graph(frozen, dense("b"))
    nested = Layer("inner", "Sequential", {}, graph=inner)

    result = found(graph(nested), entry("inner", "b/kernel", "b/bias", "a/kernel", "a/bias"))

    assert result["inner/b:kernel"] == "inner/b/kernel"
    assert result["inner/a:bias"] == "inner/a/bias"


def test_a_number_behind_a_role_is_not_part_of_it() -> None:
    cells = {name: dense(name) for name in ("cell_0", "cell_1")}
    stack = Layer("rnn", "Bidirectional", {}, inner=cells)
    stored = ("rnn/kernel", "rnn/bias", "rnn/kernel_1", "rnn/bias_1")

    result = found(graph(stack), entry("rnn", *stored))

    assert result["rnn:cell_1/kernel"] == "rnn/rnn/kernel_1"


@pytest.mark.parametrize(
    "numbers", [("", "_1", "_2"), ("", "_2", "_4")], ids=["all", "every other"]
)
def test_layers_of_a_wrapped_model_are_found_whatever_numbers_the_groups_have(
    numbers: tuple[str, ...],
) -> None:
    parts = {name: dense(name) for name in ("a", "b", "c")}
    model = Layer("model", "Functional", {}, graph=graph(*parts.values()), inner=parts)
    wrapper = Layer("td", "TimeDistributed", {}, inner={"layer": model})
    place = "layers/time_distributed/layer/layers/dense"

    result = found(graph(wrapper), *[entry(f"{place}{n}", "0", "1") for n in reversed(numbers)])

    assert [result[f"td:layer/{name}/kernel"] for name in parts] == [
        f"{place}{number}/0" for number in numbers
    ]


def test_layers_of_a_wrapped_model_are_found_by_what_tensorflow_calls_their_weights() -> None:
    inner = graph(dense("z"), dense("a"))
    held = Layer("net", "Functional", {}, graph=inner, inner={x.name: x for x in inner.layers})
    model = graph(Layer("td", "TimeDistributed", {}, inner={"layer": held}))
    stored = arrays("a/kernel", "a/bias", "z/kernel", "z/bias", layer="td")

    matched = match_arrays(model, [LayerArrays("layers/td", "td", stored)]).arrays[("td",)]

    assert {role: info.name for role, info in matched.items()} == {
        "layer/z/kernel": "td/z/kernel",
        "layer/z/bias": "td/z/bias",
        "layer/a/kernel": "td/a/kernel",
        "layer/a/bias": "td/a/bias",
    }


def test_what_a_stateful_layer_remembered_is_left_out_with_the_reason() -> None:
    matched = match_arrays(
        graph(dense("a")), [entry("a", "kernel", "bias"), entry("layers/a/states", "0")]
    )

    assert [name for name, _ in matched.ignored] == ["layers/a/states/0"]


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [entry("a", "kernel")],
        [entry("a", "kernel", "bias", "more")],
        [entry("a", "kernel", "bias"), entry("b", "kernel")],
        [entry("a", "gamma", "beta")],
        [entry("layers/conv2d", "0", "1")],
    ],
)
def test_what_does_not_pair_is_never_matched_by_shape(entries: list[LayerArrays]) -> None:
    with pytest.raises(MismatchError, match="do not belong together"):
        match_arrays(graph(dense("a")), entries)


@pytest.mark.parametrize(
    ("class_name", "name"),
    [
        ("Dense", "dense"),
        ("BatchNormalization", "batch_normalization"),
        ("GlobalAveragePooling1D", "global_average_pooling1d"),
        ("PReLU", "p_re_lu"),
        ("ReLU", "re_lu"),
        ("LSTM", "lstm"),
        ("my_package>NoisyDense", "noisy_dense"),
    ],
)
def test_container_names_are_those_keras_makes(class_name: str, name: str) -> None:
    assert snake_case(class_name) == name


def test_what_keras_stores_twice_is_left_out_inside_of_a_wrapper_too() -> None:
    norm = Layer("norm", "SpectralNormalization", {}, inner={"layer": dense("hidden")})
    wrapper = Layer("frames", "TimeDistributed", {}, inner={"layer": norm})
    entries = [
        entry("layers/time_distributed/layer", "0", "1"),
        entry("layers/time_distributed/layer/layer", "0", "1"),
    ]

    matched = match_arrays(graph(wrapper), entries)

    names = {role: info.name for role, info in matched.arrays["frames",].items()}
    assert names == {
        "layer/vector_u": "layers/time_distributed/layer/1",
        "layer/layer/kernel": "layers/time_distributed/layer/layer/0",
        "layer/layer/bias": "layers/time_distributed/layer/layer/1",
    }
    assert [name for name, _ in matched.ignored] == ["layers/time_distributed/layer/0"]
