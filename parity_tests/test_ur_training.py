"""Both frameworks train the Ur networks alike: 1,000 steps, every policy loss, a learning rate that drops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experience.ur_networks import POLICY_LOSSES
from parity_tests.harness import run_probe
from parity_tests.inputs import InputLog
from parity_tests.pairs import find_pair
from parity_tests.report import format_failure
from parity_tests.ur_inputs import ur_positions

SMALL = {"hidden_sizes": (7, 5), "batch_size": 11}


def build_both(**settings: Any) -> tuple[Any, Any]:
    from legacy_tf.ur import UrTrainer as LegacyTrainer
    from torch_impl.ur import UrTrainer

    arguments = {**SMALL, "dtype": "float64", **settings}
    legacy, torch = LegacyTrainer(**arguments), UrTrainer(**arguments, device="cpu")
    torch.set_weights(legacy.get_weights())
    return legacy, torch


def draw(seed: int) -> Any:
    return InputLog(ur_positions, SMALL, dtype="float64", seed=seed).draw()


@pytest.mark.tf
@pytest.mark.slow
@pytest.mark.parametrize("config", ["original", "corrected"])
def test_1000_float64_steps_stay_together(config: str) -> None:
    pair = find_pair("ur")

    result = run_probe(pair, pair.find_config(config), "trajectory", "float64", updates=1_000)

    assert result.in_parity, format_failure(result)


@pytest.mark.tf
@pytest.mark.parametrize("policy_loss", POLICY_LOSSES)
def test_every_policy_loss_and_its_gradient_agree(policy_loss: str) -> None:
    legacy, torch = build_both(policy_loss=policy_loss)

    (loss, gradients), (torch_loss, torch_gradients) = (
        trainer.loss_and_gradients(*draw(3)) for trainer in (legacy, torch)
    )

    assert torch_loss == pytest.approx(loss, rel=1e-13)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(torch_gradients[name], gradient, rtol=0, atol=1e-14)


@pytest.mark.tf
def test_a_dropped_learning_rate_reaches_both_optimizers() -> None:
    legacy, torch = build_both()
    before = legacy.get_weights()
    for trainer in (legacy, torch):
        trainer.update(*draw(4))
        trainer.set_learning_rate(1e-4)
        trainer.update(*draw(5))

    weights = torch.get_weights()

    for name, array in legacy.get_weights().items():
        np.testing.assert_allclose(weights[name], array, rtol=0, atol=1e-14)
    # The first step of Adam moves a weight by at most the rate of 1e-3, the second by hardly more than 1e-4.
    moved = max(float(np.abs(weights[name] - before[name]).max()) for name in weights)
    assert 0.9e-3 < moved < 1.3e-3
