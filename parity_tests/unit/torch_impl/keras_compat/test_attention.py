"""Attention where Keras's layer tests do not reach: causal, with dropout."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from torch_impl.keras_compat.attention import Attention, MultiHeadAttention


@pytest.mark.parametrize(
    "layer",
    [
        MultiHeadAttention(
            (4, 4, 4),
            heads=2,
            key_size=3,
            value_size=3,
            output_shape=(4,),
            key_heads=1,
            causal=True,
        ),
        Attention(causal=True),
    ],
    ids=["heads", "single"],
)
def test_causal_attention_does_not_see_later_positions(layer: nn.Module) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 4)
    changed = x.clone()
    changed[:, 3:] += 1.0

    before, after = layer(x, x), layer(changed, changed)

    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.equal(before[:, 3:], after[:, 3:])


def test_dropout_acts_on_the_weights_in_training_only() -> None:
    torch.manual_seed(0)
    layer = Attention(dropout=0.5)
    x = torch.randn(2, 5, 4)

    assert torch.equal(layer.eval()(x, x), layer(x, x))
    assert not torch.equal(layer.train()(x, x), layer(x, x))
