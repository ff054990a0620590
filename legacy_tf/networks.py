"""The networks of the agents, and their weights by name.

Mirror: torch_impl/networks.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from experience.dqn_rules import dropout_rates
from experience.shapes import check_shapes


def DQNetwork(  # noqa: N802  the rewrite has a class of this name
    state_size: int = 12,
    action_size: int = 5,
    *,
    hidden_sizes: Sequence[int] = (128, 64, 32),
    dropout: float | Sequence[float] = 0.2,
    dueling: bool = False,
    dtype: str = "float32",
    seed: int = 0,
) -> keras.Model:
    """The Q network: hidden layers fc1, fc2, ... with ReLU, then one value per action.

    Dropout follows every hidden layer but the last. The output is the layer after the last hidden one (fc4 with
    the defaults, 12,165 parameters); a dueling network has `advantage` and `value` instead. Kernels are
    He-normal without truncation, biases zero. An ordinary functional model: any Keras reads its file.

    Args:
        state_size: numbers in an observation.
        action_size: number of actions.
        hidden_sizes: units of the hidden layers, at least one.
        dropout: rate, in [0, 1), or one for each dropout layer.
        dueling: Q = value + advantage - mean(advantage).
        dtype: "float32" or "float64"; set on every layer, since `set_floatx` does not reach existing policies.
        seed: of the initial weights and of dropout.
    """

    def dense(name: str, units: int, activation: str | None = None) -> layers.Dense:
        # keras' "he_normal" is truncated at two standard deviations, kaiming_normal_ is not (keras 3.15.1,
        # initializers/random_initializers.py). One seed for all would give layers of one shape equal kernels.
        initializer = keras.initializers.VarianceScaling(
            2.0, "fan_in", "untruncated_normal", seed=seed * 1000 + len(names)
        )
        names.append(name)
        return layers.Dense(
            units, activation, kernel_initializer=initializer, name=name, dtype=dtype
        )

    names: list[str] = []
    rates = dropout_rates(dropout, hidden_sizes)
    observation = keras.Input((state_size,), dtype=dtype, name="observation")
    x = observation
    for index, units in enumerate(hidden_sizes, start=1):
        x = dense(f"fc{index}", units, "relu")(x)
        if index < len(hidden_sizes):
            x = layers.Dropout(
                rates[f"dropout{index}"],
                seed=seed * 1000 + index,
                name=f"dropout{index}",
                dtype=dtype,
            )(x)
    if not dueling:
        q = dense(f"fc{len(hidden_sizes) + 1}", action_size)(x)
        return keras.Model(observation, q, name="dq_network")
    advantage = dense("advantage", action_size)(x)
    # No Lambda: its code would be stored in the file, and no reader may run it.
    column = layers.Reshape((action_size, 1), name="advantage_column", dtype=dtype)(advantage)
    mean = layers.GlobalAveragePooling1D(name="advantage_mean", dtype=dtype)(column)
    centred = layers.Subtract(name="advantage_centred", dtype=dtype)([advantage, mean])
    q = layers.Add(name="q_values", dtype=dtype)([dense("value", 1)(x), centred])
    return keras.Model(observation, q, name="dq_network")


def run_masked(network: keras.Model, x: tf.Tensor, noise: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Return the Q values of (batch, state) with the masks of `noise` in place of the dropout layers.

    A functional model cannot be handed masks, so its layers are called here one by one.
    """
    hidden_count = 1 + sum(isinstance(layer, layers.Dropout) for layer in network.layers)
    layer = network.get_layer
    for index in range(1, hidden_count + 1):
        x = layer(f"fc{index}")(x)
        name = f"dropout{index}"
        if index < hidden_count:
            x = x * noise[name] if name in noise else layer(name)(x, training=False)
    if network.layers[-1].name != "q_values":
        return layer(f"fc{hidden_count + 1}")(x)
    advantage = layer("advantage")(x)
    return layer("value")(x) + (advantage - tf.reduce_mean(advantage, axis=1, keepdims=True))


def build_trainer(
    network: keras.Model, optimizer: keras.optimizers.Optimizer, loss: keras.losses.Loss
) -> keras.Model:
    """Return a model of (observation, one-hot action) whose output is Q(observation, action), ready for `fit`.

    Fitting all values at once, as is often seen, would divide the loss by the number of actions and train the
    other actions towards their values without dropout.
    """
    dtype = network.output.dtype
    chosen = keras.Input(network.output.shape[1:], dtype=dtype, name="chosen")
    q = keras.layers.Dot(1, dtype=dtype, name="q_chosen")([network.output, chosen])
    trainer = keras.Model([network.input, chosen], q, name="dq_trainer")
    trainer.compile(optimizer, loss)
    return trainer


def read_weights(tensors: Mapping[str, Any]) -> dict[str, NDArray[np.floating]]:  # Any: tf's own
    """Return copies of a network's weights (or of their gradients) as arrays: "fc1/kernel" (in, out), "fc1/bias"."""
    return {name: np.array(tensor) for name, tensor in tensors.items()}


def write_weights(network: keras.Model, weights: Mapping[str, NDArray[np.floating]]) -> None:
    """Set the weights of a network from arrays as `read_weights` gives them.

    Raises:
        ValueError: A name is missing or unknown, or a shape differs; nothing is changed then.
    """
    own = {variable.path: variable for variable in network.trainable_variables}
    check_shapes("weights", weights, {name: tuple(v.shape) for name, v in own.items()})
    for name, variable in own.items():
        variable.assign(weights[name])
