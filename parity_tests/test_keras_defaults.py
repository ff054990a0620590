"""First values and defaults against the installed Keras: its own draws, and the signatures of both libraries."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from torch_impl.changed_defaults import LAYER_ROWS, OPTIMIZER_ROWS, DefaultRow, Value
from torch_impl.keras_defaults import init_like_keras

if TYPE_CHECKING:
    import keras

pytestmark = pytest.mark.tf

Array = NDArray[np.floating]
Build = Callable[[Any], "keras.layers.Layer"]
KERNELS: dict[str, tuple[Build, tuple[int | None, ...], Callable[[], nn.Module]]] = {
    "dense": (lambda k: k.Dense(60), (None, 40), lambda: nn.Linear(40, 60)),
    "conv1d": (lambda k: k.Conv1D(24, 7), (None, 9, 8), lambda: nn.Conv1d(8, 24, 7)),
    "conv2d": (lambda k: k.Conv2D(24, (3, 5)), (None, 9, 9, 8), lambda: nn.Conv2d(8, 24, (3, 5))),
    "conv2d groups": (
        lambda k: k.Conv2D(24, (5, 7), groups=4),
        (None, 9, 9, 8),
        lambda: nn.Conv2d(8, 24, (5, 7), groups=4),
    ),
    "conv3d groups of one": (
        lambda k: k.Conv3D(24, (3, 5, 4), groups=8),
        (None, 9, 9, 9, 8),
        lambda: nn.Conv3d(8, 24, (3, 5, 4), groups=8),
    ),
    "depthwise1d": (
        lambda k: k.DepthwiseConv1D(35, depth_multiplier=3),
        (None, 40, 8),
        lambda: nn.Conv1d(8, 24, 35, groups=8),
    ),
    "depthwise2d": (
        lambda k: k.DepthwiseConv2D((5, 7), depth_multiplier=3),
        (None, 9, 9, 8),
        lambda: nn.Conv2d(8, 24, (5, 7), groups=8),
    ),
    "transposed1d": (
        lambda k: k.Conv1DTranspose(24, 7),
        (None, 9, 8),
        lambda: nn.ConvTranspose1d(8, 24, 7),
    ),
    "transposed2d": (
        lambda k: k.Conv2DTranspose(24, (3, 5)),
        (None, 9, 9, 8),
        lambda: nn.ConvTranspose2d(8, 24, (3, 5)),
    ),
    "transposed3d": (
        lambda k: k.Conv3DTranspose(24, (2, 3, 5)),
        (None, 9, 9, 9, 8),
        lambda: nn.ConvTranspose3d(8, 24, (2, 3, 5)),
    ),
    "embedding": (lambda k: k.Embedding(90, 20), (None, 5), lambda: nn.Embedding(90, 20)),
}
RECURRENT: dict[str, tuple[Build, Callable[[], nn.RNNBase]]] = {
    "simple": (lambda k: k.SimpleRNN(35), lambda: nn.RNN(30, 35)),
    "lstm": (lambda k: k.LSTM(20), lambda: nn.LSTM(30, 20)),
    "gru": (lambda k: k.GRU(20), lambda: nn.GRU(30, 20)),
}


def built(make: Build, *shapes: tuple[int | None, ...]) -> keras.layers.Layer:
    """Return Keras's layer with its own first values, the same each time."""
    import keras

    keras.utils.set_random_seed(0)
    layer = make(keras.layers)
    layer.build(*shapes)
    return layer


def drawn(module: nn.Module) -> dict[str, Array]:
    """Return the arrays of a module after `init_like_keras`."""
    init_like_keras(module, torch.Generator().manual_seed(0))
    return arrays_of(module)


def arrays_of(module: nn.Module) -> dict[str, Array]:
    return {name: value.detach().numpy() for name, value in module.named_parameters()}


def has_same_law(legacy: Array, torch_values: Array) -> bool:
    """Return whether as many values were drawn from one distribution (Kolmogorov and Smirnov, one error in 1,000)."""
    first, second = np.sort(legacy, axis=None), np.sort(torch_values, axis=None)
    if first.size != second.size:
        return False
    every = np.concatenate([first, second])
    shares = [np.searchsorted(each, every, side="right") / each.size for each in (first, second)]
    return bool(np.abs(shares[0] - shares[1]).max() < 1.95 * np.sqrt(2 / first.size))


@pytest.mark.parametrize("case", KERNELS)
def test_kernels_have_keras_law_bound_and_biases(case: str) -> None:
    make, shape, module = KERNELS[case]
    legacy = [np.asarray(weight) for weight in built(make, shape).weights]

    arrays = drawn(module())

    assert has_same_law(legacy[0], arrays["weight"])
    assert np.abs(arrays["weight"]).max() == pytest.approx(np.abs(legacy[0]).max(), rel=0.02)
    assert [each.tolist() for each in legacy[1:]] == [
        value.tolist() for name, value in arrays.items() if name == "bias"
    ]


@pytest.mark.parametrize("case", KERNELS)
def test_the_draws_of_pytorch_are_told_apart(case: str) -> None:
    make, shape, module = KERNELS[case]
    torch.manual_seed(0)

    arrays = arrays_of(module())

    assert not has_same_law(np.asarray(built(make, shape).weights[0]), arrays["weight"])


@pytest.mark.parametrize("case", RECURRENT)
def test_recurrent_layers_have_keras_laws_and_biases(case: str) -> None:
    make, module = RECURRENT[case]
    kernel, recurrent, bias = map(np.asarray, built(make, (None, 5, 30)).weights)

    arrays = drawn(module())

    weight, units = arrays["weight_hh_l0"], recurrent.shape[0]
    assert has_same_law(kernel, arrays["weight_ih_l0"])
    assert has_same_law(recurrent, weight)
    for gram in (recurrent @ recurrent.T, weight.T @ weight):
        np.testing.assert_allclose(gram, np.eye(units), atol=1e-5)
    of_torch = np.stack([arrays["bias_ih_l0"], arrays["bias_hh_l0"]])
    # A GRU has two biases in Keras, too; the others have one, which is the sum of PyTorch's.
    np.testing.assert_array_equal(bias, of_torch if bias.ndim > 1 else of_torch.sum(0))


@pytest.mark.parametrize("size", [40, 24], ids=["one size", "other keys"])
def test_attention_has_keras_laws(size: int) -> None:
    shapes = (None, 5, 40), (None, 6, size), (None, 6, size)
    layer = built(lambda k: k.MultiHeadAttention(4, 10), *shapes)
    legacy = {weight.path.split("/", 1)[-1]: np.asarray(weight) for weight in layer.weights}
    sizes = {} if size == 40 else {"kdim": size, "vdim": size}

    arrays = drawn(nn.MultiheadAttention(40, 4, **sizes))

    kernels = [value for name, value in legacy.items() if name.endswith("kernel")]
    if size == 40:
        query, key, value = np.split(arrays["in_proj_weight"], 3)
    else:
        query, key, value = (arrays[f"{name}_proj_weight"] for name in "qkv")
    assert len(kernels) == 4
    for own, weight in zip(kernels, (query, key, value, arrays["out_proj.weight"]), strict=True):
        assert has_same_law(own, weight)
    assert not any(v.any() for n, v in (legacy | arrays).items() if n.endswith("bias"))


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("BatchNormalization", nn.BatchNorm1d(3)),
        ("LayerNormalization", nn.LayerNorm(3)),
        ("PReLU", nn.PReLU(3)),
    ],
)
def test_normalizations_and_slopes_begin_as_in_keras(name: str, module: nn.Module) -> None:
    legacy = built(lambda k: getattr(k, name)(), (None, 3)).weights

    init_like_keras(module)

    state = [value.tolist() for value in module.state_dict().values() if value.ndim]
    assert state == [np.asarray(weight).tolist() for weight in legacy]


def default_of(kind: type, setting: str) -> Value:
    """Return the default of a constructor's argument; of the nearest class that names it."""
    for each in kind.__mro__:
        found = inspect.signature(each).parameters.get(setting)
        if found is not None:
            return found.default
    message = f"{kind.__name__} has no argument '{setting}'"
    raise AssertionError(message)


@pytest.mark.parametrize(
    "row", [*LAYER_ROWS, *OPTIMIZER_ROWS], ids=lambda row: f"{row.types[0].__name__} {row.setting}"
)
def test_the_table_has_the_defaults_of_both_libraries(row: DefaultRow) -> None:
    import keras

    group = keras.layers if row in LAYER_ROWS else keras.optimizers
    kind = getattr(group, row.keras_class)
    assert [default_of(each, row.setting) for each in row.types] == [row.torch] * len(row.types)
    if row.keras_setting is not None:
        found = [default_of(kind, name) for name in row.keras_setting.split(", ")]
        assert (tuple(found) if len(found) > 1 else found[0]) == row.keras
    assert row.wanted != row.torch


SAME_NAME = {"learning_rate": "lr", "epsilon": "eps"}


@pytest.mark.parametrize(
    "name", ["Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "SGD", "Muon"]
)
def test_no_optimizer_has_a_changed_default_without_a_row(name: str) -> None:
    import keras

    kind, legacy = getattr(torch.optim, name), getattr(keras.optimizers, name)
    listed = {row.setting for row in OPTIMIZER_ROWS if row.types == (kind,)}
    for keras_name, parameter in inspect.signature(legacy).parameters.items():
        setting = SAME_NAME.get(keras_name, keras_name)
        own = inspect.signature(kind).parameters.get(setting)
        if own is not None and (parameter.default or 0) != own.default:
            assert setting in listed
