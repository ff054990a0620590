"""Networks of the offline agents: hidden layers with ReLU and one layer for every output.

Mirror: torch_impl/offline_networks.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import layers as keras_layers

from experience.offline_settings import dense_layers, initial_weights
from legacy_tf.networks import write_weights


def DenseNetwork(  # noqa: N802  the rewrite has a class of this name
    inputs: int,
    hidden_sizes: Sequence[int],
    outputs: Mapping[str, int],
    *,
    name: str,
    dtype: str = "float32",
    seed: int = 0,
) -> keras.Model:
    """fc1, fc2, ... with ReLU, then one layer for every output; first weights as `initial_weights` says.

    An ordinary functional model of (batch, inputs) to {output: (batch, size)}.

    Args:
        inputs: numbers in a row.
        hidden_sizes: units of the hidden layers, at least one.
        outputs: name of an output, and of its layer, to its size.
        name: of the network; part of the seed.
        dtype: "float32" or "float64".
        seed: of the initial weights.
    """
    layers = dense_layers(inputs, hidden_sizes, outputs)
    row = keras.Input((inputs,), dtype=dtype, name="row")
    x, found = row, {}
    for layer, (_, units) in layers.items():
        if layer in outputs:
            found[layer] = keras_layers.Dense(units, name=layer, dtype=dtype)(x)
        else:
            x = keras_layers.Dense(units, "relu", name=layer, dtype=dtype)(x)
    network = keras.Model(row, found, name=name)
    write_weights(network, initial_weights(name, layers, seed))
    return network


class TrainedVector(tf.Module):
    """Numbers that are trained and depend on no input: a temperature, the width of a policy.

    Args:
        start: first values.
        dtype: "float32" or "float64".
    """

    def __init__(self, start: Sequence[float], *, dtype: str = "float32") -> None:
        super().__init__()
        # Float32 numbers in either dtype, as the weights of a network.
        first = np.asarray(start, dtype=np.float32).astype(dtype)
        self.value = tf.Variable(first, name="value")

    def __call__(self) -> tf.Variable:
        """Return the numbers, (size,)."""
        return self.value


def variables_by_path(network: keras.Model | tf.Module) -> dict[str, tf.Variable]:
    """Return the variables of a network by path: "fc1/kernel", ... or "value"."""
    if isinstance(network, keras.Model):
        # Keras' variables hold TensorFlow's, which the optimizer's kernel writes to.
        return {variable.path: variable.value for variable in network.trainable_variables}
    return {"value": network.value}
