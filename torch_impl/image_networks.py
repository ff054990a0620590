"""Networks on images: three convolutions with SAME padding, then dense layers.

Images come in as (batch, height, width, channels), as environments give them. Mirror: legacy_tf/image_networks.py.
"""

from __future__ import annotations

import math
from functools import partial
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init

from torch_impl.keras_compat.padding import pad_same
from torch_impl.networks import DTYPES

WINDOWS = (8, 4, 3)
STRIDES = (4, 2, 1)


class ConvValueDQN(nn.Module):
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
        super().__init__()
        self.dueling = dueling
        # `ActorCritic.add_network` sets the first weights.
        linear = partial(skip_init, nn.Linear, dtype=DTYPES[dtype])
        features = add_convolutions(self, "q", observation_shape, filters, dtype)
        self.q_dense_act = linear(features, units)
        self.q_act = linear(units, action_size)
        if dueling:
            self.q_dense_base = linear(features, units)
            self.q_base = linear(units, 1)

    def forward(self, observation: Tensor) -> Tensor:
        """Return the values (batch, action) of observations (batch, height, width, channels)."""
        x = convolve(self, "q", observation)
        act = cast("Tensor", self.q_act(F.relu(self.q_dense_act(x))))
        if not self.dueling:
            return act
        base = self.q_base(F.relu(self.q_dense_base(x)))
        return cast("Tensor", base + act - act.mean(dim=1, keepdim=True))


def add_convolutions(
    network: nn.Module,
    prefix: str,
    image_shape: tuple[int, int, int],
    filters: tuple[int, int, int],
    dtype: str,
) -> int:
    """Add `<prefix>_conv1` to `<prefix>_conv3` and return how many numbers `convolve` gives for an image.

    Args:
        network: gets the layers.
        prefix: of their names.
        image_shape: (height, width, channels).
        filters: of each layer.
        dtype: "float32" or "float64".
    """
    convolution = partial(skip_init, nn.Conv2d, dtype=DTYPES[dtype])
    height, width, channels = image_shape
    for index, (window, stride) in enumerate(zip(WINDOWS, STRIDES, strict=True)):
        layer = convolution(channels, filters[index], window, stride=stride)
        network.add_module(f"{prefix}_conv{index + 1}", layer)
        height, width = math.ceil(height / stride), math.ceil(width / stride)
        channels = filters[index]
    return height * width * channels


def convolve(network: nn.Module, prefix: str, images: Tensor) -> Tensor:
    """Return the flat outputs (batch, features) of the three convolutions, each with ReLU.

    Args:
        network: with the layers of `add_convolutions`.
        prefix: as there.
        images: (batch, height, width, channels).
    """
    # Contiguous NHWC seen as NCHW is torch's channels-last format, which convolutions keep; so neither this nor the
    # way back moves data. Dense layers get the features in the order of TensorFlow: channels last.
    x = images.permute(0, 3, 1, 2)
    for index, (window, stride) in enumerate(zip(WINDOWS, STRIDES, strict=True), start=1):
        # SAME padding is uneven here, more of it behind; torch's own "same" knows no strides.
        x = pad_same(x, window=(window, window), stride=(stride, stride))
        x = F.relu(network.get_submodule(f"{prefix}_conv{index}")(x))
    return x.permute(0, 2, 3, 1).flatten(1)
