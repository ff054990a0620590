"""The networks of `keras_networks` as one writes them in PyTorch: what converted modules are measured against.

Stock layers only, parameters in the same order; images come in with channels first.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.subjects.handwritten import make_network
from benchmarks.subjects.keras_networks import (
    CLASSES,
    DEPTH,
    FEATURES,
    HEADS,
    RESNET_STAGES,
    UNITS,
    WIDTH,
)

_EPSILON = 1.001e-5


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPSILON, momentum=0.01)


class Bottleneck(nn.Module):
    """A residual block of ResNet50."""

    def __init__(self, in_channels: int, channels: int, *, stride: int, projected: bool) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(in_channels, channels, 1, stride=stride)
        self.bn_1 = _norm(channels)
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn_2 = _norm(channels)
        if projected:
            self.conv_0 = nn.Conv2d(in_channels, 4 * channels, 1, stride=stride)
            self.bn_0 = _norm(4 * channels)
        self.conv_3 = nn.Conv2d(channels, 4 * channels, 1)
        self.bn_3 = _norm(4 * channels)
        self.projected = projected

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output for (batch, channels, height, width)."""
        y = F.relu(self.bn_1(self.conv_1(x)))
        y = F.relu(self.bn_2(self.conv_2(y)))
        y = self.bn_3(self.conv_3(y))
        shortcut = self.bn_0(self.conv_0(x)) if self.projected else x
        return F.relu(shortcut + y)


class ResNet(nn.Module):
    """ResNet50."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        self.bn = _norm(64)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        blocks, in_channels = [], 64
        for stage, (channels, count) in enumerate(RESNET_STAGES):
            for block in range(count):
                stride = 2 if block == 0 and stage > 0 else 1
                blocks.append(
                    Bottleneck(in_channels, channels, stride=stride, projected=block == 0)
                )
                in_channels = 4 * channels
        self.blocks = nn.Sequential(*blocks)
        self.logits = nn.Linear(in_channels, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits for (batch, 3, height, width)."""
        x = self.blocks(self.pool(F.relu(self.bn(self.conv(x)))))
        logits: Tensor = self.logits(x.mean((2, 3)))
        return logits


class Lstm(nn.Module):
    """Two LSTM layers and a dense one."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm_1 = nn.LSTM(FEATURES, UNITS, batch_first=True)
        self.lstm_2 = nn.LSTM(UNITS, UNITS, batch_first=True)
        self.logits = nn.Linear(UNITS, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits for (batch, time, features)."""
        x, _ = self.lstm_1(x)
        x, _ = self.lstm_2(x)
        logits: Tensor = self.logits(x[:, -1])
        return logits


class TransformerBlock(nn.Module):
    """Attention and a feed-forward part, each added to its input and normalized."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.norm_1 = nn.LayerNorm(WIDTH, eps=1e-6)
        self.up = nn.Linear(WIDTH, 4 * WIDTH)
        self.down = nn.Linear(4 * WIDTH, WIDTH)
        self.norm_2 = nn.LayerNorm(WIDTH, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, tokens, width) for the same."""
        y, _ = self.attention(x, x, x, need_weights=False)
        x = self.norm_1(x + y)
        y = self.down(F.gelu(self.up(x)))
        z: Tensor = self.norm_2(x + y)
        return z


class Transformer(nn.Module):
    """Transformer blocks and a dense layer over the mean of the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(TransformerBlock() for _ in range(DEPTH)))
        self.logits = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits for (batch, tokens, width)."""
        logits: Tensor = self.logits(self.blocks(x).mean(1))
        return logits


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "dqn": make_network,
    "resnet": ResNet,
    "lstm": Lstm,
    "transformer": Transformer,
}


def copy_weights(network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Give a network written by hand the weights of the converted one, which lists them in an order of its own.

    Args:
        network: one of `NETWORKS`.
        weights: state of the converted module.
    """
    own = network.state_dict()
    left = {name: tensor for name, tensor in weights.items() if "debiased" not in name}
    for name, tensor in own.items():
        if name.endswith(("num_batches_tracked", "bias_hh_l0")):
            tensor.zero_()  # the second bias of nn.LSTM is only ever added to the first
        elif ".attention." in name:
            tensor.copy_(_attention_weights(name, left))
        else:
            tensor.copy_(left.pop(_counterpart(name, tensor, left)))


def _attention_weights(name: str, left: dict[str, Tensor]) -> Tensor:
    """Return what `nn.MultiheadAttention` keeps in one matrix for query, key and value."""
    kind = "bias" if name.endswith("bias") else "weight"
    parts = ("query", "key", "value") if "in_proj" in name else ("output",)
    prefix = name.replace("blocks.", "").partition(".")[0]
    found = [f"block_{int(prefix) + 1}.attention.{part}.{kind}" for part in parts]
    return torch.cat([left.pop(key) for key in found])


def _counterpart(name: str, tensor: Tensor, left: dict[str, Tensor]) -> str:
    """Return the first name left that ends alike and has the same shape; the networks are written in that order."""
    ending = name.replace("bias_ih", "bias").removesuffix("_l0").rsplit(".", 1)[-1]
    layer = name.rsplit(".", 2)[-2] if name.count(".") > 1 else ""
    for key, value in left.items():
        if key.endswith(f"{layer}.{ending}" if layer else ending) and value.shape == tensor.shape:
            return key
    raise KeyError(name)
