"""Factors of channels."""

from __future__ import annotations

import torch

from torch_impl.keras_compat.scaling import ChannelScale


def test_every_channel_has_a_factor_of_its_own() -> None:
    layer = ChannelScale(3)
    layer.weight.data = torch.tensor([1.0, 0.0, -2.0])

    y = layer(torch.tensor([[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]]))

    assert y.tolist() == [[[1.0, 0.0, -6.0]], [[4.0, 0.0, -12.0]]]
