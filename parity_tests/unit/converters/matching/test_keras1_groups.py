"""Groups of Keras 1 that hold several layers are dealt out by the names of their arrays."""

from __future__ import annotations

import numpy as np
import pytest

from converters.checkpoint import ArrayInfo
from converters.graph import Layer
from converters.matching.keras1_groups import deal_out, role_of, split_name


def stored(*names: str) -> dict[str, ArrayInfo]:
    return {
        name: ArrayInfo(
            f"group/{name}:0", (1,), np.dtype("f4"), lambda: np.zeros(1, dtype=np.float32)
        )
        for name in names
    }


def dense(name: str) -> Layer:
    return Layer(name, "Dense", {"units": 1})


def test_layers_of_a_nested_model_are_found_by_their_names_in_any_order() -> None:
    arrays = stored("dense_10_W", "dense_10_b", "dense_2_W", "dense_2_b")
    parts = [(("net", name), dense(name)) for name in ("dense_2", "dense_10")]

    found = deal_out(parts, arrays)

    assert found is not None
    assert found["net", "dense_2"]["kernel"].name == "group/dense_2_W:0"
    assert found["net", "dense_10"]["bias"].name == "group/dense_10_b:0"


def test_gates_of_a_bidirectional_layer_are_joined_for_each_direction() -> None:
    roles = [f"{kind}_{gate}" for gate in "ifco" for kind in "WUb"]
    arrays = stored(*(f"{way}_lstm_1_{role}" for way in ("forward", "backward") for role in roles))
    inner = {name: Layer("lstm_1", "LSTM", {}) for name in ("forward_layer", "backward_layer")}

    found = deal_out([(("both",), Layer("both", "Bidirectional", {}, inner=inner))], arrays)

    assert found is not None
    kernel = found["both",]["backward_layer/kernel"]
    assert kernel.shape == (4,)
    assert kernel.name.split(" + ")[0] == "group/backward_lstm_1_W_i:0"


def test_names_that_tensorflow_numbered_go_to_layers_of_one_name_in_their_order() -> None:
    arrays = stored("a_W", "b_W", "a_W_1", "a_b")
    plain = Layer("a", "Dense", {"units": 1, "use_bias": False})
    nameless = Layer("b", "Dense", {"units": 1, "use_bias": False})
    parts = [(("first", "a"), plain), (("b",), nameless), (("second", "a"), dense("a"))]

    found = deal_out(parts, arrays)

    assert found is not None
    assert {
        path: {role: info.name for role, info in each.items()} for path, each in found.items()
    } == {
        ("first", "a"): {"kernel": "group/a_W:0"},
        ("b",): {"kernel": "group/b_W:0"},
        ("second", "a"): {"kernel": "group/a_W_1:0", "bias": "group/a_b:0"},
    }


def test_layers_that_are_called_as_roles_keep_their_arrays() -> None:
    arrays = stored("c_W_W", "c_W_b", "c_W_1_W", "c_W_1_b")

    found = deal_out([((name,), dense(name)) for name in ("c_W", "c_W_1")], arrays)

    assert found is not None
    assert found["c_W",]["bias"].name == "group/c_W_b:0"
    assert found["c_W_1",]["kernel"].name == "group/c_W_1_W:0"


@pytest.mark.parametrize(
    ("stored_name", "known", "expected"),
    [
        ("lstm_1_W_i", [], ("lstm_1", "W_i", "")),
        ("q_running_mean_2", [], ("q", "running_mean", "_2")),
        ("c_W_b", [], ("c", "W_b", "")),
        ("c_W_b", ["c_W"], ("c_W", "b", "")),
        ("kernel", [], None),
    ],
)
def test_name_of_a_layer_ends_where_a_role_begins(
    stored_name: str, known: list[str], expected: tuple[str, str, str] | None
) -> None:
    assert split_name(stored_name, known) == expected


def test_names_that_do_not_tell_deal_nothing_out() -> None:
    assert deal_out([(("net", "a"), dense("a"))], stored("kernel", "bias")) is None
    assert deal_out([(("net", "a"), dense("a"))], stored("a_W", "a_b", "b_W")) is None
    assert deal_out([(("net", "a"), dense("a"))], stored("a_W", "a_gamma")) is None


def test_a_role_is_the_one_that_the_layer_has() -> None:
    assert role_of("W", ["embeddings"]) == "embeddings"
    assert role_of("W", ["kernel", "bias"]) == "kernel"
    assert role_of("alphas", ["alphas", "betas"]) == "alphas"
    assert role_of("alphas", ["alpha"]) == "alpha"
