"""Layers of TensorFlow 1 graphs, and the base of networks made of them.

The layers of `tf.layers` are gone from TensorFlow with Keras 3; these make variables of the same names. The torch
side needs no such module: a network there has its own parameters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import tensorflow as tf

Activation = Callable[[tf.Tensor], tf.Tensor]


class Network(ABC):
    """A network whose variables are in a scope of the graph, made at the first call and shared by all later ones.

    Attributes:
        scope: beginning of the variables' names, set by `ActorCritic.add_network`.
    """

    scope = ""

    def __call__(self, *inputs: tf.Tensor) -> tf.Tensor:
        """Return the outputs; see `forward` of the network."""
        with tf.compat.v1.variable_scope(self.scope, reuse=tf.compat.v1.AUTO_REUSE):
            return self.forward(*inputs)

    @abstractmethod
    def forward(self, *inputs: tf.Tensor) -> tf.Tensor:
        """Return the outputs of the inputs, inside the variable scope."""


def dense(
    inputs: tf.Tensor, units: int, name: str, activation: Activation | None = None
) -> tf.Tensor:
    """Return activation(inputs @ kernel + bias) with the variables `name/kernel` (in, out) and `name/bias`.

    Args:
        inputs: (..., in).
        units: out.
        name: scope of the variables.
        activation: None: linear.

    Returns:
        (..., out).
    """
    with tf.compat.v1.variable_scope(name):
        kernel = _variable("kernel", (int(inputs.shape[-1]), units), inputs.dtype)
        bias = _variable("bias", (units,), inputs.dtype)
    # tensordot for what is not a matrix, as tf.layers.dense does.
    product = inputs @ kernel if len(inputs.shape) == 2 else tf.tensordot(inputs, kernel, 1)
    return activation(product + bias) if activation else product + bias


def conv2d(
    inputs: tf.Tensor,
    filters: int,
    window: int,
    stride: int,
    name: str,
    activation: Activation | None = None,
) -> tf.Tensor:
    """Return the convolution with SAME padding, with `name/kernel` (h, w, in, out) and `name/bias`.

    Args:
        inputs: (batch, height, width, in).
        filters: out.
        window: height and width of the kernel.
        stride: in both directions.
        name: scope of the variables.
        activation: None: linear.

    Returns:
        (batch, ceil(height / stride), ceil(width / stride), out).
    """
    with tf.compat.v1.variable_scope(name):
        shape = (window, window, int(inputs.shape[-1]), filters)
        kernel = _variable("kernel", shape, inputs.dtype)
        bias = _variable("bias", (filters,), inputs.dtype)
    product = tf.nn.conv2d(inputs, kernel, stride, "SAME") + bias
    return activation(product) if activation else product


def _variable(name: str, shape: tuple[int, ...], dtype: tf.DType) -> tf.Variable:
    # Zero here: `ActorCritic` sets first values that both frameworks and both dtypes share.
    return tf.compat.v1.get_variable(name, shape, dtype, tf.compat.v1.zeros_initializer())
