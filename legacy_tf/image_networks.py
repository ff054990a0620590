"""Networks on images: three convolutions with SAME padding, then dense layers.

Images come in as (batch, height, width, channels), as environments give them. Mirror: torch_impl/image_networks.py.
"""

from __future__ import annotations

import math

import tensorflow as tf

from legacy_tf.graph_layers import Network, conv2d, dense

WINDOWS = (8, 4, 3)
STRIDES = (4, 2, 1)


class ConvValueDQN(Network):
    """The values of all actions: `q_conv1` to `q_conv3`, `q_dense_act` with ReLU, then `q_act`.

    Dueling adds `q_dense_base` with ReLU and `q_base`: q = base + act - mean(act).

    Args:
        observation_shape: (height, width, channels).
        action_size: number of actions.
        dueling: see above.
        filters: of the convolutions.
        units: of the dense hidden layers.
        dtype: "float32" or "float64".
    """

    def __init__(
        self,
        observation_shape: tuple[int, int, int],
        action_size: int,
        *,
        dueling: bool = False,
        filters: tuple[int, int, int] = (32, 64, 64),
        units: int = 512,
        dtype: str = "float32",
    ) -> None:
        self.observation_shape, self.action_size = observation_shape, action_size
        self.dueling, self.filters, self.units, self.dtype = dueling, filters, units, dtype

    def forward(self, observation: tf.Tensor) -> tf.Tensor:
        """Return the values (batch, action) of observations (batch, height, width, channels)."""
        x = convolve("q", observation, self.filters)
        act = dense(dense(x, self.units, "q_dense_act", tf.nn.relu), self.action_size, "q_act")
        if not self.dueling:
            return act
        base = dense(dense(x, self.units, "q_dense_base", tf.nn.relu), 1, "q_base")
        return base + act - tf.reduce_mean(act, axis=1, keepdims=True)


def convolve(prefix: str, images: tf.Tensor, filters: tuple[int, int, int]) -> tf.Tensor:
    """Return the flat outputs (batch, features) of the three convolutions, each with ReLU.

    Args:
        prefix: of the names of the layers, `<prefix>_conv1` to `<prefix>_conv3`.
        images: (batch, height, width, channels).
        filters: of each layer.
    """
    x = images
    for index, (window, stride) in enumerate(zip(WINDOWS, STRIDES, strict=True)):
        x = conv2d(x, filters[index], window, stride, f"{prefix}_conv{index + 1}", tf.nn.relu)
    return tf.reshape(x, (-1, math.prod(x.shape[1:])))
