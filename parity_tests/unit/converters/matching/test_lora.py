from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
from converters.checkpoint import ArrayInfo
from converters.graph import Layer
from converters.matching.lora import join_lora

DRAWS = np.random.default_rng(8)
LORA = Layer("dense", "Dense", {"lora_rank": 2, "lora_alpha": 3})


def arrays(**shapes: tuple[int, ...]) -> dict[str, ArrayInfo]:
    values = {name: DRAWS.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return {
        name: ArrayInfo(name, value.shape, value.dtype, lambda value=value: value)  # type: ignore[misc]
        for name, value in values.items()
    }


def test_the_product_of_the_matrices_is_added_to_the_kernel() -> None:
    stored = arrays(
        bias=(5,), lora_kernel_a=(3, 3, 4, 2), lora_kernel_b=(2, 5), kernel=(3, 3, 4, 5)
    )
    kernel, first, second = [
        stored[role].read() for role in ("kernel", "lora_kernel_a", "lora_kernel_b")
    ]

    joined = join_lora([LORA], stored)

    assert list(joined) == ["bias", "kernel"]
    np.testing.assert_allclose(
        joined["kernel"].read(),
        kernel + 1.5 * np.einsum("hwir,ro->hwio", first, second),
        rtol=0,
        atol=1e-6,
    )


def test_matrices_that_do_not_fit_the_kernel_are_left_as_they_are() -> None:
    stored = arrays(lora_kernel_a=(3, 2), lora_kernel_b=(2, 5), kernel=(4, 5))

    assert join_lora([LORA], stored) == stored


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_lora_converts_from_both_files_of_keras(tmp_path: Path, dtype: str) -> None:
    keras: Any = pytest.importorskip("keras")
    inputs = keras.Input((4,), dtype="int32")
    embedding = keras.layers.Embedding(6, 3, lora_rank=1, dtype=dtype)
    dense = keras.layers.Dense(5, lora_rank=2, lora_alpha=3, dtype=dtype)
    model = keras.Model(inputs, dense(embedding(inputs)))
    for seed, weight in enumerate(model.weights):
        weight.assign(np.random.default_rng(seed).normal(size=weight.shape))
    x = np.random.default_rng(9).integers(0, 6, (3, 4)).astype(np.int32)
    legacy = np.asarray(model(x), np.float32)

    for name in ("model.keras", "model.h5"):
        model.save(tmp_path / name)
        torchward.convert(tmp_path / name, tmp_path / f"{name}.pth")
        found = torchward.load(tmp_path / f"{name}.pth")(torch.from_numpy(x)).detach()

        assert found.dtype == torch.float32
        # Keras rounds to the 11 bits of float16 at each of a few steps, the module nowhere.
        limit = 1e-6 if dtype == "float32" else 8 * 2.0**-11
        np.testing.assert_allclose(found.numpy(), legacy, rtol=0, atol=limit * np.abs(legacy).max())


def nested(keras: Any) -> Any:
    """Return a nested model in which a kernel that LoRA froze lies behind those of other layers."""
    inputs = keras.Input((4,))
    first = keras.layers.Dense(4, use_bias=False, name="first")
    inner = keras.Sequential([first, keras.layers.Dense(4, use_bias=False, name="second")])
    model = keras.Model(inputs, keras.layers.Dense(3, name="last")(inner(inputs)))
    first.enable_lora(2, lora_alpha=3)
    return model


def quantized(keras: Any) -> Any:
    """Return quantized layers with LoRA beside them, as `.h5` has it."""
    inputs = keras.Input((3,), dtype="int32")
    layers = [
        keras.layers.Embedding(6, 4),
        keras.layers.Dense(5, activation="tanh"),
        keras.layers.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de"),
    ]
    model = keras.Model(inputs, keras.Sequential(layers)(inputs))
    for layer in layers:
        layer.enable_lora(2, lora_alpha=3)
    model.quantize("int8")
    return model


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.parametrize("build", [nested, quantized])
@pytest.mark.filterwarnings("ignore:.* (InputLayer|Sequential|Functional):UserWarning")
def test_lora_of_nested_models_converts_from_h5(
    tmp_path: Path, build: Callable[[Any], Any]
) -> None:
    keras: Any = pytest.importorskip("keras")
    model = build(keras)
    draws = np.random.default_rng(3)
    for weight in model.weights:
        if weight.dtype == "float32" and "scale" not in weight.path:
            weight.assign(draws.normal(size=weight.shape))
    shape = (5, *model.input_shape[1:])
    x = draws.integers(0, 6, shape) if build is quantized else draws.normal(size=shape)
    x = x.astype("int32" if build is quantized else "float32")
    legacy = np.asarray(model(x))
    model.save(tmp_path / "model.h5")

    torchward.convert(tmp_path / "model.h5", tmp_path / "model.pth")
    found = torchward.load(tmp_path / "model.pth")(torch.from_numpy(x)).detach().numpy()

    np.testing.assert_allclose(found, legacy, rtol=0, atol=3e-6 * max(1, np.abs(legacy).max()))


def test_matrices_inside_attention_are_left_as_they_are() -> None:
    stored = {
        f"query/{name}": info
        for name, info in arrays(
            lora_kernel_a=(4, 2, 2), lora_kernel_b=(2, 3), kernel=(4, 2, 3)
        ).items()
    }
    attention = Layer("attention", "MultiHeadAttention", {"num_heads": 2})

    assert join_lora([attention], stored) == stored
