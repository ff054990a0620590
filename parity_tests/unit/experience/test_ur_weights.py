"""The trainer's JSON: both layouts, the golden outputs, and files that are refused; the NumPy reference."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from experience.ur_inference import UrInference
from experience.ur_networks import HIDDEN_SIZES, OUTPUTS, layer_shapes
from experience.ur_weights import (
    GAME_LAYOUT,
    LAYOUTS,
    TORCH_LAYOUT,
    UrWeightsError,
    parse_ur_weights,
    read_ur_weights,
    split_weights,
    write_ur_weights,
)
from parity_tests import FIXTURES

GOLDEN = json.loads((FIXTURES / "ur_golden.json").read_text(encoding="utf-8"))
NAMES = {GAME_LAYOUT: "rust", TORCH_LAYOUT: "torch"}


def golden_weights(layout: str) -> dict[str, NDArray[np.floating]]:
    """Return the weights of the recording: w[k] = 0.05 sin(0.37 k + s), read in a layout."""
    weights: dict[str, NDArray[np.floating]] = {}
    for shift, (name, count) in enumerate((("value", 81_921), ("policy", 82_119))):
        flat = 0.05 * np.sin(0.37 * np.arange(count) + shift)
        parts = split_weights(flat, name, hidden_sizes=HIDDEN_SIZES, layout=layout)
        weights |= {f"{name}/{part}": array for part, array in parts.items()}
    return weights


def golden_features(position: int) -> NDArray[np.float64]:
    return np.pad(np.array(GOLDEN["positions"][position]["features"]), (0, 72))


def small_weights(dtype: str = "float32", seed: int = 0) -> dict[str, NDArray[np.floating]]:
    rng = np.random.default_rng(seed)
    return {
        f"{name}/{layer}/{part}": rng.normal(size=shape if part == "kernel" else shape[1:]).astype(
            dtype
        )
        for name, outputs in OUTPUTS.items()
        for layer, shape in layer_shapes(outputs, (5, 3)).items()
        for part in ("kernel", "bias")
    }


@pytest.fixture
def content(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "weights.json"
    write_ur_weights(path, small_weights(), metadata={"seed": 7})
    parsed: dict[str, Any] = json.loads(path.read_text())
    return parsed


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("position", [4, 10])
def test_golden_outputs_are_reproduced_in_both_readings(layout: str, position: int) -> None:
    value, policy = UrInference.from_weights(golden_weights(layout))(golden_features(position))

    outputs = GOLDEN["network_forward"]["outputs"]
    # Recorded with 8 digits behind the first.
    np.testing.assert_allclose(
        value, outputs[f"value_pos{position}_{NAMES[layout]}_layout"], atol=1e-8
    )
    expected = outputs[f"policy_pos{position}_{NAMES[layout]}_layout"]
    np.testing.assert_allclose(policy[0], expected, atol=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_file_gives_the_same_bits_back(tmp_path: Path, layout: str, dtype: str) -> None:
    weights = small_weights(dtype)
    write_ur_weights(tmp_path / "w.json", weights, layout=layout, metadata={"epochs": 3})

    found = read_ur_weights(tmp_path / "w.json")

    assert found.layout == layout
    assert found.hidden_sizes == (5, 3)
    assert found.metadata["epochs"] == 3
    for name, array in weights.items():
        assert found.weights[name].dtype == dtype
        np.testing.assert_array_equal(found.weights[name], array)


def test_first_row_of_a_list_is_what_the_layout_says(content: dict[str, Any]) -> None:
    kernel = small_weights()["value/fc1/kernel"]

    assert content["weight_layout"] == TORCH_LAYOUT
    np.testing.assert_array_equal(
        np.array(content["value_weights"][:150], np.float32), kernel[:, 0]
    )


def test_file_says_what_the_originals_says(content: dict[str, Any]) -> None:
    network = {"input_size": 150, "hidden_sizes": [5, 3], "output_size": 7}

    assert content["network_config"]["policy_network"] == network
    assert content["metadata"] == {"seed": 7, "version": "pytorch_v1"}


@pytest.mark.parametrize(
    ("metadata", "layout"),
    [
        ({"version": "pytorch_v1"}, TORCH_LAYOUT),
        ({"version": "rust_v1"}, GAME_LAYOUT),
        # What the original's converter made: lists of torch under another name.
        ({"version": "rust_v1", "best_validation_loss": 1.2}, TORCH_LAYOUT),
    ],
    ids=["torch", "rust", "copied"],
)
def test_layout_of_an_old_file_follows_from_who_wrote_it(
    content: dict[str, Any], metadata: dict[str, Any], layout: str
) -> None:
    del content["weight_layout"]
    content["metadata"] = metadata

    assert parse_ur_weights(json.dumps(content), "old.json").layout == layout


def drop(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda content: content.pop(key)


def put(key: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda content: content.update({key: value})


def set_first(value: object) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["value_weights"].__setitem__(0, value)


def set_sizes(value: object) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["network_config"]["value_network"].update(hidden_sizes=value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["value_weights"].pop(),
            "'value_weights' has 776 numbers, needed 777 for 150-5-3-1",
        ),
        (lambda c: c["policy_weights"].append(0.0), "has 802 numbers, needed 801"),
        (drop("policy_weights"), "'policy_weights' is missing, needed a list"),
        (drop("network_config"), "needed 81,921 for 150-256-128-64-32-1"),
        (set_first("1.0"), 'holds "1.0" among its numbers'),
        (set_first(True), "holds true among its numbers"),
        (set_first(None), "holds null among its numbers"),
        (set_first([1.0]), r"holds \[1.0\] among its numbers"),
        (set_first(10**400), "no float64"),
        (set_first(1e39), "no finite float32"),
        (set_first(float("nan")), "holds NaN"),
        (set_first(float("inf")), "holds Infinity"),
        (set_sizes([5, 0]), "something else than 1 to 65,536 units"),
        (set_sizes([10**9]), "something else than 1 to 65,536 units"),
        (set_sizes([3]), r"hidden sizes are \(3,\) and \(5, 3\)"),
        (set_sizes("5"), "is no list of 1 to 64 sizes"),
        (put("network_config", []), "no object 'value_network'"),
        (put("weight_layout", "column-major"), "no layout 'column-major'"),
        (put("dtype", "int8"), "'dtype' is 'int8'"),
        (put("metadata", [1]), "'metadata' is a list"),
    ],
)
def test_damaged_file_is_refused_in_one_line(
    content: dict[str, Any], change: Callable[[dict[str, Any]], object], message: str
) -> None:
    change(content)

    with pytest.raises(UrWeightsError, match=message) as caught:
        parse_ur_weights(json.dumps(content), "bad.json")

    assert str(caught.value).startswith("bad.json: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply|Expecting"),
        ("[1, 2]", "found a list, needed an object"),
        ('{"value_weights": [1', "Expecting"),
        ('{"value_weights": [], "value_weights": []}', "one key twice"),
    ],
    ids=["deep", "list", "cut", "twice"],
)
def test_text_that_is_no_such_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(UrWeightsError, match=message):
        parse_ur_weights(text, "bad.json")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UrWeightsError, match="cannot be read"):
        read_ur_weights(tmp_path / "none.json")


def test_weights_with_nan_are_not_written_and_the_old_file_stays(tmp_path: Path) -> None:
    weights = small_weights()
    path = tmp_path / "w.json"
    write_ur_weights(path, weights)
    before = path.read_bytes()
    weights["policy/fc1/bias"][0] = np.nan

    with pytest.raises(UrWeightsError, match="policy/fc1/bias"):
        write_ur_weights(path, weights)

    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["w.json"]


def test_arrays_of_another_network_are_not_written(tmp_path: Path) -> None:
    weights = small_weights()
    weights["value/fc3/kernel"] = weights["value/fc3/kernel"][:, [0, 0]]

    with pytest.raises(UrWeightsError, match="value/fc3/kernel"):
        write_ur_weights(tmp_path / "w.json", weights)


def test_one_position_is_judged_as_in_a_batch() -> None:
    inference = UrInference.from_weights(small_weights("float64"))
    rows = np.random.default_rng(1).normal(size=(4, 150))

    values, policies = inference(rows)
    value, policy = inference(rows[2])

    np.testing.assert_allclose(value[0], values[2], rtol=1e-14)
    np.testing.assert_allclose(policy[0], policies[2], rtol=0, atol=1e-14)
    np.testing.assert_allclose(policies.sum(axis=1), 1.0)


def test_large_sums_do_not_overflow_the_policy() -> None:
    inference = UrInference.from_weights(small_weights("float64"))

    _, policy = inference(np.full((1, 150), 1e6))

    assert np.isfinite(policy).all()


def test_positions_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="150"):
        UrInference.from_weights(small_weights())(np.zeros((2, 149)))
