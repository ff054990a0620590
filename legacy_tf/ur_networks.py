"""The value and the policy network for the Royal Game of Ur.

Mirror: torch_impl/ur_networks.py has the same names in the same order. Sizes and batches are in `experience.ur_networks`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from experience.ur_networks import FEATURES, HIDDEN_SIZES, OUTPUTS


def ValueNetwork(  # noqa: N802  the rewrite has a class of this name
    input_size: int = FEATURES,
    hidden_sizes: Sequence[int] = HIDDEN_SIZES,
    *,
    dropout: float = 0.1,
    dtype: str = "float32",
    seed: int = 0,
) -> keras.Model:
    """How good a position is for player 2, from -1 to 1: 81,921 parameters with the original's sizes.

    Hidden layers fc1, fc2, ... with ReLU, dropout behind each, then one unit with tanh. Kernels and biases are drawn
    as `torch.nn.Linear` draws them, uniformly up to 1/sqrt(in). An ordinary functional model: any Keras reads its file.

    Args:
        input_size: numbers in a position.
        hidden_sizes: units of the hidden layers.
        dropout: rate behind every hidden layer.
        dtype: "float32" or "float64".
        seed: of the initial weights and of dropout.
    """
    features = keras.Input((input_size,), dtype=dtype, name="features")
    sizes = (*hidden_sizes, OUTPUTS["value"])
    x = _add_layers(features, sizes, dropout=dropout, dtype=dtype, seed=seed * 1000 + 1)
    value = layers.Activation("tanh", name="tanh", dtype=dtype)(x)
    return keras.Model(features, value, name="value")


def PolicyNetwork(  # noqa: N802  the rewrite has a class of this name
    input_size: int = FEATURES,
    hidden_sizes: Sequence[int] = HIDDEN_SIZES,
    *,
    dropout: float = 0.1,
    dtype: str = "float32",
    seed: int = 0,
) -> keras.Model:
    """How probable each of the seven pieces is as the expert's move: 82,119 parameters with the original's sizes.

    As `ValueNetwork`, with seven units and softmax at the end; its weights are drawn from another seed.
    """
    features = keras.Input((input_size,), dtype=dtype, name="features")
    sizes = (*hidden_sizes, OUTPUTS["policy"])
    x = _add_layers(features, sizes, dropout=dropout, dtype=dtype, seed=seed * 1000 + 500)
    return keras.Model(features, layers.Softmax(name="softmax", dtype=dtype)(x), name="policy")


def UrNetworks(  # noqa: N802  the rewrite has a class of this name
    input_size: int = FEATURES,
    hidden_sizes: Sequence[int] = HIDDEN_SIZES,
    *,
    dropout: float = 0.1,
    dtype: str = "float32",
    seed: int = 0,
) -> keras.Model:
    """Both networks as one model of two outputs, with the layers `value` and `policy`.

    Args:
        input_size: numbers in a position.
        hidden_sizes: units of the hidden layers of each network.
        dropout: rate behind every hidden layer.
        dtype: "float32" or "float64".
        seed: of the initial weights and of dropout.
    """
    features = keras.Input((input_size,), dtype=dtype, name="features")
    outputs = [
        network(input_size, hidden_sizes, dropout=dropout, dtype=dtype, seed=seed)(features)
        for network in (ValueNetwork, PolicyNetwork)
    ]
    return keras.Model(features, outputs, name="ur_networks")


def run_layers(
    network: keras.Model,
    x: tf.Tensor,
    noise: Mapping[str, tf.Tensor] | None,
    *,
    training: bool,
) -> tf.Tensor:
    """Return the sums of the last dense layer; masks of `noise` take the dropout layers' places.

    A functional model cannot be handed masks, so its layers are called here one by one.
    """
    for layer in network.layers[1:-1]:
        if isinstance(layer, layers.Dropout):
            name = f"{network.name}/{layer.name}"
            x = layer(x, training=training) if noise is None else x * noise[name]
        else:
            x = layer(x)
    return x


def _add_layers(
    x: Any,  # noqa: ANN401  Keras' own
    sizes: Sequence[int],
    *,
    dropout: float,
    dtype: str,
    seed: int,
) -> Any:  # noqa: ANN401
    """Return the last dense layer's sums behind fc1, relu1, dropout1, fc2, ..."""
    for number, units in enumerate(sizes, start=1):
        bound = 1 / np.sqrt(x.shape[-1])
        # One seed for all would give layers of one shape equal kernels.
        kernel, bias = (
            keras.initializers.RandomUniform(-bound, bound, seed=seed + 10 * number + offset)
            for offset in range(2)
        )
        x = layers.Dense(
            units,
            kernel_initializer=kernel,
            bias_initializer=bias,
            name=f"fc{number}",
            dtype=dtype,
        )(x)
        if number < len(sizes):
            x = layers.ReLU(name=f"relu{number}", dtype=dtype)(x)
            x = layers.Dropout(dropout, seed=seed + number, name=f"dropout{number}", dtype=dtype)(x)
    return x
