"""Mixed precision and half precision beside live Keras: no further from exact results than Keras itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import torchward

pytestmark = pytest.mark.tf

POLICIES = [
    ("mixed_float16", "mixed_float16"),
    ("mixed_float16", "float32"),
    ("mixed_bfloat16", "float32"),
    ("float16", "float16"),
    ("float32", "float64"),
]
"""Of all layers, and of the last one."""
HALF = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23}
"""One rounding. A dozen layers, each with sums of rounded products, stay within this many of it:"""
ROUNDINGS = 4


def build(keras: Any, policy: str, last: str) -> Any:  # a Keras model
    keras.utils.set_random_seed(1)
    layers = keras.layers
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, activation="relu", dtype=policy)(x)
    x = layers.BatchNormalization(dtype=policy)(x)
    x = layers.MaxPooling2D(dtype=policy)(x)
    x = layers.Reshape((9, 8), dtype=policy)(x)
    x = layers.LSTM(6, return_sequences=True, dtype=policy)(x)
    x = layers.LayerNormalization(dtype=policy)(x)
    x = layers.GRU(5, dtype=policy)(x)
    x = layers.Dense(7, activation="gelu", dtype=policy)(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", dtype=last)(x))


def distance(found: NDArray[Any], exact: NDArray[Any]) -> float:
    return float(np.abs(found - exact).max() / np.abs(exact).max())


@pytest.mark.parametrize(("policy", "last"), POLICIES)
def test_module_is_as_near_to_exact_results_as_keras(
    policy: str, last: str, tmp_path: Path, record_property: Any
) -> None:
    keras = pytest.importorskip("keras")
    model = build(keras, policy, last)
    reference = build(keras, "float64", "float64")
    reference.set_weights([np.asarray(w, np.float64) for w in model.get_weights()])
    x = np.random.default_rng(0).normal(size=(16, 8, 8, 3)).astype(np.float32)
    exact = np.asarray(reference(x.astype(np.float64)))
    legacy = keras.ops.convert_to_numpy(keras.ops.cast(model(x), "float64"))
    model.save(tmp_path / "m.keras")
    torchward.convert(tmp_path / "m.keras", tmp_path / "m.pth")
    converted = torchward.load(tmp_path / "m.pth")
    computed = policy.removeprefix("mixed_")

    with torch.no_grad():
        plain = converted(torch.from_numpy(x)).double().numpy()
        found = {"torch": distance(plain, exact)}
        if policy.startswith("mixed_"):
            with torch.autocast("cpu", getattr(torch, computed)):
                half = converted(torch.from_numpy(x)).double().numpy()
            found["autocast"] = distance(half, exact)
    for name, value in {**found, "legacy": distance(legacy, exact)}.items():
        record_property(name, f"{value:.1e}")
        assert value < ROUNDINGS * HALF[computed], name
    if policy.startswith("mixed_"):
        assert found["torch"] < HALF["float32"] * ROUNDINGS
        assert found["autocast"] > 100 * found["torch"]  # it did compute in half precision


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_weights_of_bfloat16_become_float32_as_they_are(suffix: str, tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(1)
    layers = [keras.Input((4,)), keras.layers.Dense(3, dtype="bfloat16", name="dense")]
    model = keras.Sequential(layers)
    wanted = keras.ops.convert_to_numpy(keras.ops.cast(model.layers[0].kernel, "float32"))
    model.save(tmp_path / f"m{suffix}")

    report = torchward.convert(tmp_path / f"m{suffix}", tmp_path / "m.pth")
    found = torchward.load(tmp_path / "m.pth")

    np.testing.assert_array_equal(found.dense.weight.detach().numpy(), wanted.T)
    assert found(torch.zeros(2, 4)).dtype == torch.float32
    assert any("Keras computed in bfloat16" in note for note in report.notes)
