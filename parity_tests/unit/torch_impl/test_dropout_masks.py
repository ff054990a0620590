from __future__ import annotations

import pytest

from parity_tests.unit.torch_impl.small_dqn import make_agent


def test_drawn_masks_hold_zero_or_the_inverse_of_the_kept_share() -> None:
    masks = make_agent(dropout=0.2)._masks.draw(1000)

    assert {name: mask.shape for name, mask in masks.items()} == {
        "dropout1": (1000, 7),
        "dropout2": (1000, 5),
    }
    assert masks["dropout1"].unique().tolist() == [0.0, 1.25]
    assert (masks["dropout1"] == 0).float().mean().item() == pytest.approx(0.2, abs=0.02)


def test_every_dropout_layer_may_have_its_own_rate() -> None:
    agent = make_agent(dropout=(0.5, 0.0))

    masks = agent._masks.draw(100)

    assert masks["dropout1"].unique().tolist() == [0.0, 2.0]
    assert masks["dropout2"].unique().tolist() == [1.0]
    with pytest.raises(ValueError, match="1 rates of dropout for 2 layers"):
        make_agent(dropout=(0.5,))
