from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import torchward

WriteModel = Callable[..., Path]
Array = NDArray[np.float32]
SIZE, UNITS, TIME = 4, 3, 5


def draw(*shape: int, seed: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def stored(matrix: Array) -> Array:
    """Return a matrix [in, out] as cuDNN wants it: rows of outputs one after another, under the old shape."""
    return np.ascontiguousarray(matrix.T).reshape(matrix.shape)


def sigmoid(x: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    return np.asarray(1 / (1 + np.exp(-x)))


def make(gates: str) -> tuple[dict[str, dict[str, Array]], dict[str, Array]]:
    """Return the matrices of each gate, and the arrays of the file."""
    parts = {
        gate: {
            "W": draw(SIZE, UNITS, seed=10 * index),
            "U": draw(UNITS, UNITS, seed=10 * index + 1),
            "b": draw(UNITS, seed=10 * index + 2),
            "c": draw(UNITS, seed=10 * index + 3),
        }
        for index, gate in enumerate(gates)
    }
    biases = [parts[gate][kind] for kind in "bc" for gate in gates]
    arrays = {
        "kernel": np.concatenate([stored(parts[gate]["W"]) for gate in gates], axis=1),
        "recurrent_kernel": np.concatenate([stored(parts[gate]["U"]) for gate in gates], axis=1),
        "bias": np.concatenate(biases),
    }
    return parts, arrays


def lstm(x: Array, parts: dict[str, dict[str, Array]]) -> NDArray[np.floating[Any]]:
    h: NDArray[np.floating[Any]] = np.zeros((len(x), UNITS))
    cell = h
    for time in range(TIME):
        i, f, c, o = (
            x[:, time] @ part["W"] + part["b"] + h @ part["U"] + part["c"]
            for part in (parts[gate] for gate in "ifco")
        )
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(c)
        h = sigmoid(o) * np.tanh(cell)
    return h


def gru(x: Array, parts: dict[str, dict[str, Array]]) -> NDArray[np.floating[Any]]:
    h: NDArray[np.floating[Any]] = np.zeros((len(x), UNITS))
    for time in range(TIME):
        outer = {gate: x[:, time] @ part["W"] + part["b"] for gate, part in parts.items()}
        inner = {gate: h @ part["U"] + part["c"] for gate, part in parts.items()}
        z, r = sigmoid(outer["z"] + inner["z"]), sigmoid(outer["r"] + inner["r"])
        h = z * h + (1 - z) * np.tanh(outer["h"] + r * inner["h"])
    return h


@pytest.mark.parametrize(("name", "gates"), [("CuDNNLSTM", "ifco"), ("CuDNNGRU", "zrh")])
def test_layer_of_cudnn_computes_what_its_formula_says(
    name: str, gates: str, write_model: WriteModel, configs: Any, tmp_path: Path
) -> None:
    parts, arrays = make(gates)
    config = configs.sequential(configs.layer(name, "layer", units=UNITS), shape=(None, TIME, SIZE))
    path = write_model(config, {"layer": arrays}, version="2.2.4")
    torchward.convert(path, tmp_path / "model.pth")
    x = draw(2, TIME, SIZE, seed=99)

    with torch.no_grad():
        y = torchward.load(tmp_path / "model.pth")(torch.from_numpy(x))

    wanted = (lstm if name == "CuDNNLSTM" else gru)(x, parts)
    np.testing.assert_allclose(y.numpy(), wanted, rtol=0, atol=1e-6)


def test_both_directions_of_cudnn_are_read_alike(
    write_model: WriteModel, configs: Any, tmp_path: Path
) -> None:
    parts, arrays = make("ifco")
    inner = {"class_name": "CuDNNLSTM", "config": {"name": "inner", "units": UNITS}}
    entry = configs.layer("Bidirectional", "layer", layer=inner, merge_mode="concat")
    both = {f"{side}/{role}": array for side in ("f", "b") for role, array in arrays.items()}
    config = configs.sequential(entry, shape=(None, TIME, SIZE))
    path = write_model(config, {"layer": both}, version="2.2.4")
    torchward.convert(path, tmp_path / "model.pth")
    x = draw(2, TIME, SIZE, seed=99)

    with torch.no_grad():
        y = torchward.load(tmp_path / "model.pth")(torch.from_numpy(x))

    wanted = np.concatenate([lstm(x, parts), lstm(x[:, ::-1], parts)], axis=1)
    np.testing.assert_allclose(y.numpy(), wanted, rtol=0, atol=1e-6)
