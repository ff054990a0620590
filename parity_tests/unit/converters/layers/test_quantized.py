from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import torchward
from converters.errors import MismatchError, UnsupportedError
from converters.matching.quantization import settle_quantization
from torch_impl.keras_compat.quantized import QuantizedEmbedding

pytestmark = pytest.mark.tf


@pytest.fixture(scope="module")
def keras() -> Any:  # Keras has no types
    return pytest.importorskip("keras")


def reversible(keras: Any, inputs: Any, **settings: object) -> Any:
    layer = keras.layers.ReversibleEmbedding(7, 5, **settings)
    return layer(layer(inputs), reverse=True)


LAYERS: dict[str, tuple[tuple[int, ...], Callable[..., Any]]] = {
    "dense": ((3, 6), lambda keras, x: keras.layers.Dense(5, activation="tanh")(x)),
    "dense-no-bias": ((6,), lambda keras, x: keras.layers.Dense(4, use_bias=False)(x)),
    "einsum": (
        (3, 6),
        lambda keras, x: keras.layers.EinsumDense("abc,cde->abde", (None, 2, 5), bias_axes="de")(x),
    ),
    "einsum-two-sums": (
        (2, 3),
        lambda keras, x: keras.layers.EinsumDense("abc,bcd->ad", 5, bias_axes="d")(x),
    ),
    "embedding": ((4,), lambda keras, x: keras.layers.Embedding(7, 5)(x)),
    "reversible": ((4,), reversible),
    "untied": ((4,), lambda keras, x: reversible(keras, x, tie_weights=False)),
    "masked": ((4,), lambda keras, x: reversible(keras, x, mask_zero=True)),
    "soft-cap": ((4,), lambda keras, x: reversible(keras, x, logit_soft_cap=0.5)),
}
MODES = ("int8", "int4", "int4-columns", "int4-blocks")


def configuration(keras: Any, mode: str) -> Any:
    if mode == "int8":
        return keras.quantizers.Int8QuantizationConfig()
    block = {"int4": 128, "int4-columns": None, "int4-blocks": 2}[mode]
    return keras.quantizers.Int4QuantizationConfig(block_size=block)


def save_model(keras: Any, name: str, mode: str, path: Path) -> tuple[Any, np.ndarray]:
    keras.utils.clear_session(free_memory=False)
    shape, build = LAYERS[name]
    indices = name in ("embedding", "reversible", "untied", "masked", "soft-cap")
    inputs = keras.Input(shape, dtype="int32" if indices else "float32")
    model = keras.Model(inputs, build(keras, inputs))
    draws = np.random.default_rng(5)
    for weight in model.weights:
        weight.assign(draws.normal(size=weight.shape))
    for layer in model.layers[1:]:
        layer.quantize(mode.partition("-")[0], config=configuration(keras, mode))
    model.save(path)
    x = draws.integers(7, size=(6, *shape)) if indices else draws.normal(size=(6, *shape))
    return model, x.astype("int32" if indices else "float32")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.filterwarnings("ignore:Layer InputLayer")
def test_quantized_layer_computes_what_keras_computes(
    name: str, mode: str, keras: Any, tmp_path: Path
) -> None:
    model, x = save_model(keras, name, mode, tmp_path / "model.keras")

    torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
    found = torchward.load(tmp_path / "model.pth")(torch.from_numpy(x))

    legacy = np.asarray(model(x))
    np.testing.assert_allclose(found.detach().numpy(), legacy, rtol=0, atol=3e-6)


def test_weights_stay_as_small_as_in_the_file(keras: Any, tmp_path: Path) -> None:
    save_model(keras, "dense", "int4", tmp_path / "model.keras")

    torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
    weight = torchward.load(tmp_path / "model.pth").state_dict()["dense.weight"]

    assert (weight.dtype, tuple(weight.shape)) == (torch.int8, (6, 3))


def test_gradient_passes_the_rounding_of_the_input(keras: Any, tmp_path: Path) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    model, x = save_model(keras, "dense", "int8", tmp_path / "model.keras")
    watched = tensorflow.constant(x)
    with tensorflow.GradientTape() as tape:
        tape.watch(watched)
        loss = tensorflow.reduce_sum(model(watched) ** 2)
    legacy = tape.gradient(loss, watched).numpy()

    torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
    found = torch.from_numpy(x).requires_grad_()
    (torchward.load(tmp_path / "model.pth")(found) ** 2).sum().backward()

    assert found.grad is not None
    np.testing.assert_allclose(found.grad.numpy(), legacy, rtol=0, atol=1e-5)


def test_adapters_of_low_rank_are_merged_by_keras_when_it_saves(keras: Any, tmp_path: Path) -> None:
    inputs = keras.Input((6,))
    layer = keras.layers.Dense(5)
    model = keras.Model(inputs, layer(inputs))
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.ones((2, 5)))
    x = np.random.default_rng(5).normal(size=(3, 6)).astype("float32")
    model.save(tmp_path / "model.keras")

    torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
    found = torchward.load(tmp_path / "model.pth")(torch.from_numpy(x))

    np.testing.assert_allclose(found.detach().numpy(), np.asarray(model(x)), rtol=0, atol=3e-6)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("Embedding", "gptq/4/128"),
        ("Dense", "gptq/4/0"),
        ("Dense", "gptq/5/8"),
        ("Dense", "int2"),
    ],
)
def test_other_kinds_of_quantization_are_refused(name: str, mode: str) -> None:
    policy = {"class_name": "GPTQDTypePolicy", "config": {"mode": mode}}

    with pytest.raises(UnsupportedError, match=f"quantized to {mode}; int8 and int4 are converted"):
        settle_quantization(name, {"name": "dense", "dtype": policy})


def test_map_of_policies_says_what_it_has_for_the_layer() -> None:
    policies = {
        "net/other": {"class_name": "DTypePolicy", "config": {"name": "float16"}},
        "net/dense": {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}},
    }
    settings = {"default_policy": "float64", "policy_map": policies}
    policy = {"class_name": "DTypePolicyMap", "config": settings}

    found = settle_quantization("Dense", {"name": "dense", "dtype": policy})
    other = settle_quantization("Dense", {"name": "head", "dtype": policy})

    assert (found[0], found[1]["dtype"]) == ("QuantizedDense", "float32")
    assert other == ("Dense", {"name": "head", "dtype": "float64"})


CALIBRATED: dict[str, Callable[..., Any]] = {
    "dense": lambda keras, x: keras.layers.Dense(5, activation="tanh", name="layer")(x),
    "no-bias": lambda keras, x: keras.layers.Dense(4, use_bias=False, name="layer")(x),
    "einsum-rows-first": lambda keras, x: keras.layers.EinsumDense(
        "abc,cde->abde", (None, 2, 5), bias_axes="de", name="layer"
    )(x),
    "einsum-columns-last": lambda keras, x: keras.layers.EinsumDense(
        "abc,bcd->ad", 7, bias_axes="d", name="layer"
    )(x),
    "einsum-matrix": lambda keras, x: keras.layers.EinsumDense(
        "abc,cd->abd", (None, 5), name="layer"
    )(x),
}


def save_calibrated(keras: Any, name: str, mode: str, path: Path) -> tuple[Any, np.ndarray]:
    """Save a layer with weights as a calibration would have left them."""
    keras.utils.clear_session(free_memory=False)
    inputs = keras.Input((3, 6))
    model = keras.Model(inputs, CALIBRATED[name](keras, inputs))
    layer = model.get_layer("layer")
    kind, bits, group = mode.split("/")
    make = {"gptq": keras.quantizers.GPTQConfig, "awq": keras.quantizers.AWQConfig}[kind]
    config = make(None, None, weight_bits=int(bits), group_size=int(group))
    layer.quantize(kind, config=config)
    setattr(layer, f"is_{kind}_calibrated", True)
    del layer._kernel  # as a calibration does
    draws = np.random.default_rng(5)
    for weight in (layer.quantized_kernel, layer.kernel_zero):
        packed = weight is layer.quantized_kernel and bits == "4"
        weight.assign(draws.integers(256 if packed else 2 ** int(bits), size=weight.shape))
    layer.kernel_scale.assign(draws.uniform(0.01, 0.2, size=layer.kernel_scale.shape))
    layer.g_idx.assign(draws.integers(layer.kernel_scale.shape[1], size=layer.g_idx.shape))
    if kind == "awq":
        layer.awq_scales.assign(draws.uniform(0.5, 2, size=layer.awq_scales.shape))
    if layer.bias is not None:
        layer.bias.assign(draws.normal(size=layer.bias.shape))
    # Keras 3.14 and 3.15 leave the zeros out of .keras and cannot load it again; 3.12 and 3.13 stored them.
    layer._get_kernel_with_merged_lora = lambda: (None, None, layer.kernel_zero)
    model.save(path)
    return model, draws.normal(size=(4, 3, 6)).astype("float32")


@pytest.mark.parametrize(
    "mode", ["gptq/4/2", "gptq/4/-1", "gptq/8/4", "gptq/3/4", "awq/4/4", "awq/4/-1"]
)
@pytest.mark.parametrize("name", CALIBRATED)
def test_calibrated_layer_computes_what_keras_computes(
    name: str, mode: str, keras: Any, tmp_path: Path
) -> None:
    model, x = save_calibrated(keras, name, mode, tmp_path / "model.keras")
    legacy = np.asarray(model(x))

    torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
    found = torchward.load(tmp_path / "model.pth")(torch.from_numpy(x))

    assert np.abs(legacy).max() > 0.5
    np.testing.assert_allclose(found.detach().numpy(), legacy, rtol=2e-6, atol=2e-5)


@pytest.mark.parametrize("mode", ["gptq/4/2", "awq/4/4"])
@pytest.mark.parametrize("name", CALIBRATED)
def test_calibrated_layer_of_a_legacy_file_has_all_its_arrays(
    name: str, mode: str, keras: Any, tmp_path: Path
) -> None:
    model, x = save_calibrated(keras, name, mode, tmp_path / "model.h5")

    torchward.convert(tmp_path / "model.h5", tmp_path / "model.pth")
    found = torchward.load(tmp_path / "model.pth")(torch.from_numpy(x))

    np.testing.assert_allclose(found.detach().numpy(), np.asarray(model(x)), rtol=2e-6, atol=2e-5)


def test_calibrated_layer_without_zeros_is_refused(keras: Any, tmp_path: Path) -> None:
    model, _ = save_calibrated(keras, "dense", "gptq/4/2", tmp_path / "model.keras")
    del model.get_layer("layer")._get_kernel_with_merged_lora
    model.save(tmp_path / "model.keras")

    with pytest.raises(MismatchError, match=r"found 4 arrays .* needed 5 .*kernel_zero"):
        torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")


def test_source_of_a_calibrated_layer_computes_the_same(keras: Any, tmp_path: Path) -> None:
    model, x = save_calibrated(keras, "dense", "awq/4/4", tmp_path / "model.keras")
    source = tmp_path / "network.py"

    torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth", source_code=source)
    live = torchward.load(tmp_path / "model.pth")
    emitted = runpy.run_path(str(source))[live.architecture.name]()
    emitted.load_state_dict(live.state_dict())

    y = emitted(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(y, np.asarray(model(x)), rtol=2e-6, atol=2e-5)


FLOAT8: dict[str, Callable[..., Any]] = {
    "dense": lambda keras, x: keras.layers.Dense(5, name="layer")(x),
    "no-bias": lambda keras, x: keras.layers.Dense(5, use_bias=False, name="layer")(x),
    "einsum": lambda keras, x: keras.layers.EinsumDense(
        "abc,cde->abde", (None, 2, 5), bias_axes="de", name="layer"
    )(x),
}


@pytest.mark.parametrize("name", FLOAT8)
@pytest.mark.filterwarnings("ignore:Layer InputLayer")
def test_float8_layer_computes_and_trains_as_in_keras(
    name: str, keras: Any, tmp_path: Path
) -> None:
    keras.utils.clear_session(free_memory=False)
    inputs = keras.Input((3, 6))
    model = keras.Model(inputs, FLOAT8[name](keras, inputs))
    layer = model.get_layer("layer")
    layer.quantize("float8")
    draws = np.random.default_rng(5)
    for weight in model.weights:
        scales = "scale" in weight.name or "history" in weight.name
        value = draws.normal(size=weight.shape)
        weight.assign(np.abs(value) / 50 if scales else value)
    x = draws.normal(size=(6, 3, 6)).astype("float32")
    model.save(tmp_path / "model.keras")
    torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
    found = torchward.load(tmp_path / "model.pth")

    legacy = np.asarray(model(x))
    y = found(torch.from_numpy(x))
    np.testing.assert_allclose(y.detach().numpy(), legacy, rtol=0, atol=2e-5)

    target = draws.normal(size=legacy.shape).astype("float32")
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.train_on_batch(x, target)
    found.train()
    ((found(torch.from_numpy(x)) - torch.from_numpy(target)) ** 2).mean().backward()
    torch.optim.SGD(found.parameters(), 0.1).step()

    state = found.state_dict()
    names = {"kernel": "weight", "inputs": "input", "outputs_grad": "gradient"}
    for weight in model.weights:
        role = weight.name.replace("amax_", "")
        for legacy_name, torch_name in names.items():
            role = role.replace(legacy_name, torch_name)
        np.testing.assert_allclose(
            state[f"layer.{role}"], np.asarray(weight), rtol=1e-5, atol=1e-6, err_msg=role
        )


def test_mask_of_a_quantized_embedding_leaves_steps_out(keras: Any, tmp_path: Path) -> None:
    inputs = keras.Input((4,), dtype="int32")
    layer = keras.layers.Embedding(7, 5, mask_zero=True)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling1D()(layer(inputs)))
    layer.quantize("int8")
    model.save(tmp_path / "model.keras")
    x = np.array([[3, 5, 0, 0], [1, 0, 2, 6]], np.int32)

    torchward.convert(tmp_path / "model.keras", tmp_path / "model.pth")
    found = torchward.load(tmp_path / "model.pth")(torch.from_numpy(x))

    np.testing.assert_allclose(found.detach().numpy(), np.asarray(model(x)), rtol=0, atol=3e-6)


ATTENTION: dict[str, Callable[..., Any]] = {
    "int8": lambda keras, x: keras.layers.MultiHeadAttention(2, 3, name="attention")(x, x),
    "int4-blocks": lambda keras, x: keras.layers.MultiHeadAttention(
        2, 3, value_dim=4, output_shape=(2, 3), use_bias=False, name="attention"
    )(x, x),
    "float8": lambda keras, x: keras.layers.GroupQueryAttention(
        3, 4, 2, use_gate=True, name="attention"
    )(x, x),
}
"""By how the layers inside are quantized."""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ATTENTION)
@pytest.mark.filterwarnings("ignore:Layer \\w+ does not have:UserWarning")
@pytest.mark.filterwarnings("ignore:.* (InputLayer|Dropout|Softmax|Attention):UserWarning")
def test_attention_with_quantized_layers_inside_computes_what_keras_computes(
    mode: str, keras: Any, tmp_path: Path
) -> None:
    keras.utils.clear_session(free_memory=False)
    inputs = keras.Input((4, 6))
    model = keras.Model(inputs, ATTENTION[mode](keras, inputs))
    draws = np.random.default_rng(5)
    for weight in model.weights:
        weight.assign(0.5 * draws.normal(size=weight.shape))
    config = None if mode == "float8" else configuration(keras, mode)
    model.quantize(mode.partition("-")[0], config=config)
    x = draws.normal(size=(3, 4, 6)).astype("float32")
    legacy = np.asarray(model(x))

    for name in ("model.keras", "model.h5"):  # Keras itself cannot load either again
        model.save(tmp_path / name)
        torchward.convert(tmp_path / name, tmp_path / f"{name}.pth")
        found = torchward.load(tmp_path / f"{name}.pth")

        y = found(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(y, legacy, rtol=0, atol=1e-5)
        assert (
            sum(value.dtype == torch.int8 for value in found.state_dict().values())
            == ({"int8": 4, "int4-blocks": 8, "float8": 0}[mode])
        )


def test_places_below_zero_count_from_the_end() -> None:
    table = QuantizedEmbedding(7, 2)
    table.weight.copy_(torch.arange(14, dtype=torch.int8).reshape(7, 2))

    assert torch.equal(table(torch.tensor([-1, 0, -7])), torch.tensor([[12.0, 13], [0, 1], [0, 1]]))
