"""Mistakes that porting makes, planted into the torch side: each must be caught by the probe that is named for it.

A probe that finds nothing here proves nothing elsewhere. Every case also runs without its fault, where the same
probe must be content.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from parity_tests.harness import run_probe
from parity_tests.pairs import PAIRS, Config, find_pair
from parity_tests.report import ProbeResult, format_failure
from torch_impl import dqn, losses, networks
from torch_impl.dropout_masks import DropoutMasks
from torch_impl.keras_compat import keras_optimizer, optimizers, parameter_groups

pytestmark = pytest.mark.tf

SMALL: dict[str, Any] = {
    "state_size": 4,
    "action_size": 3,
    "hidden_sizes": (7, 5, 3),
    "batch_size": 11,
}
CONFIGS = {
    "plain": SMALL,
    "double": {**SMALL, "double": True},
    "dueling": {**SMALL, "dueling": True},
    "huber": {**SMALL, "loss": "huber"},
    "square": {**SMALL, "hidden_sizes": (6, 6)},
}

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Fault:
    """A mistake, the probe that must see it and the configuration in which it does."""

    name: str
    probe: str
    plant: Plant
    config: str = "plain"


FAULTS: list[Fault] = []


def fault(probe: str, config: str = "plain") -> Callable[[Plant], Plant]:
    """Register the decorated function as a fault under its own name."""

    def register(plant: Plant) -> Plant:
        FAULTS.append(Fault(plant.__name__, probe, plant, config))
        return plant

    return register


def replace_loss(
    patch: pytest.MonkeyPatch, change: Callable[..., tuple[Any, dict[str, Any]]]
) -> None:
    """Let the loss see another batch or other options: change(batch, options) -> (batch, options)."""
    right = losses.q_learning_loss

    def wrong(q_network: Any, target: Any, batch: Any, noise: Any, **options: Any) -> Tensor:
        changed, others = change(batch, options)
        return right(q_network, target, changed, noise, **others)

    patch.setattr(dqn, "q_learning_loss", wrong)


def replace_adam(patch: pytest.MonkeyPatch, **changes: float) -> None:
    """Let Adam compute with other constants."""
    right = optimizers.adam_update

    def wrong(*arguments: Any, **options: Any) -> None:
        right(*arguments, **{**options, **changes})

    patch.setattr(optimizers, "adam_update", wrong)


@fault("forward", "square")
def transposition_left_out_on_a_square_layer(patch: pytest.MonkeyPatch) -> None:
    right = networks.write_weights

    def wrong(network: Any, weights: Any) -> None:
        square = {
            k: v.T if v.ndim == 2 and v.shape[0] == v.shape[1] else v for k, v in weights.items()
        }
        right(network, square)

    patch.setattr(dqn, "write_weights", wrong)


@fault("forward", "dueling")
def mean_advantage_not_subtracted(patch: pytest.MonkeyPatch) -> None:
    right = networks.DQNetwork.forward

    def wrong(self: Any, x: Tensor, noise: Any = None) -> Tensor:
        values = right(self, x, noise)
        return values + values.mean(dim=1, keepdim=True)

    patch.setattr(networks.DQNetwork, "forward", wrong)


@fault("forward")
def relu_replaced_by_elu(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(networks.F, "relu", torch.nn.functional.elu)


@fault("loss")
def terminated_ignored(patch: pytest.MonkeyPatch) -> None:
    replace_loss(
        patch,
        lambda batch, options: (
            batch._replace(terminated=torch.zeros_like(batch.terminated)),
            options,
        ),
    )


@fault("loss")
def double_instead_of_plain(patch: pytest.MonkeyPatch) -> None:
    replace_loss(patch, lambda batch, options: (batch, {**options, "double": True}))


@fault("loss", "double")
def argmax_on_the_target_network(patch: pytest.MonkeyPatch) -> None:
    replace_loss(patch, lambda batch, options: (batch, {**options, "double": False}))


@fault("loss")
def discount_of_another_default(patch: pytest.MonkeyPatch) -> None:
    replace_loss(patch, lambda batch, options: (batch, {**options, "gamma": 0.99}))


@fault("loss", "huber")
def squared_error_in_place_of_huber(patch: pytest.MonkeyPatch) -> None:
    replace_loss(patch, lambda batch, options: (batch, {**options, "loss": "mse"}))


@fault("loss")
def dropout_mask_not_scaled(patch: pytest.MonkeyPatch) -> None:
    right = DropoutMasks.take

    def wrong(self: Any, *arguments: Any) -> dict[str, Tensor]:
        return {name: mask.sign() for name, mask in right(self, *arguments).items()}

    patch.setattr(DropoutMasks, "take", wrong)


@fault("loss")
def dropout_left_out(patch: pytest.MonkeyPatch) -> None:
    right = DropoutMasks.take

    def wrong(self: Any, *arguments: Any) -> dict[str, Tensor]:
        return {name: torch.ones_like(mask) for name, mask in right(self, *arguments).items()}

    patch.setattr(DropoutMasks, "take", wrong)


@fault("gradient")
def gradient_flows_through_the_target(patch: pytest.MonkeyPatch) -> None:
    right = losses.q_learning_target

    def wrong(q_network: Any, target_network: Any, batch: Any, **options: Any) -> Tensor:
        target = right(q_network, target_network, batch, **options)
        now = q_network(batch.next_observation).amax(dim=1)
        return target + options["gamma"] * (1 - batch.terminated) * (now - now.detach())

    patch.setattr(losses, "q_learning_target", wrong)


@fault("update")
def epsilon_of_torch(patch: pytest.MonkeyPatch) -> None:
    replace_adam(patch, epsilon=1e-8)


@fault("update")
def beta_2_of_another_optimizer(patch: pytest.MonkeyPatch) -> None:
    replace_adam(patch, beta_2=0.99)


@fault("update")
def betas_not_rounded_to_float32(patch: pytest.MonkeyPatch) -> None:
    def wrong(lr: float, beta_1: float, beta_2: float, iterations: int, dtype: object) -> float:
        del dtype
        step = iterations + 1
        return lr * math.sqrt(1 - beta_2**step) / (1 - beta_1**step)

    patch.setattr(optimizers, "adam_step_size", wrong)


@fault("update")
def learning_rate_not_rounded_to_float32(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(keras_optimizer.KerasOptimizer, "learning_rate", lambda self, group: group["lr"])


@fault("update")
def epsilon_added_after_the_correction(patch: pytest.MonkeyPatch) -> None:
    right = optimizers.Adam.update

    def wrong(self: Any, group: Any, *arguments: Any) -> None:
        step = group["iterations"] + 1
        moved = group["epsilon"] * math.sqrt(1 - group["beta_2"] ** step)
        right(self, {**group, "epsilon": moved}, *arguments)

    patch.setattr(optimizers.Adam, "update", wrong)


@fault("update")
def gradients_clipped_one_by_one(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(parameter_groups, "clip_global_norm", parameter_groups.clip_each_norm)


@fault("update")
def gradients_not_clipped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(parameter_groups, "clip_global_norm", lambda gradients, limit: gradients)


@fault("update")
def clip_with_the_small_number_of_torch(patch: pytest.MonkeyPatch) -> None:
    def wrong(gradients: Sequence[Tensor], limit: float) -> list[Tensor]:
        norm = math.sqrt(sum(float((each**2).sum()) for each in gradients))
        return [each * min(1.0, limit / (norm + 1e-6)) for each in gradients]

    patch.setattr(parameter_groups, "clip_global_norm", wrong)


@fault("trajectory")
def bias_correction_forgets_its_steps(patch: pytest.MonkeyPatch) -> None:
    right = optimizers.adam_step_size

    def wrong(lr: float, beta_1: float, beta_2: float, iterations: int, dtype: Any) -> float:
        return right(lr, beta_1, beta_2, min(iterations, 50), dtype)

    patch.setattr(optimizers, "adam_step_size", wrong)


@fault("action")
def last_of_the_best_actions(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: Any, rows: Any) -> Any:
        values = self.get_q_values(rows)
        return values.shape[1] - 1 - np.argmax(values[:, ::-1], axis=1)

    patch.setattr(dqn.DQNAgent, "_greedy", wrong)


@fault("action")
def more_random_numbers_drawn(patch: pytest.MonkeyPatch) -> None:
    right = dqn.DQNAgent.act

    def wrong(self: Any, observation: Any, rng: Any, *, explore: bool) -> Any:
        rng.random()
        return right(self, observation, rng, explore=explore)

    patch.setattr(dqn.DQNAgent, "act", wrong)


@fault("target_sync")
def target_not_copied(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dqn.DQNAgent, "update_target", lambda self: None)


@fault("target_sync")
def target_is_the_online_network(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: Any) -> None:
        self.target_network = self.q_network

    patch.setattr(dqn.DQNAgent, "update_target", wrong)


@fault("save_load")
def optimizer_state_not_loaded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dqn, "load_optimizer", lambda *arguments, **options: None)


@fault("resume")
def step_counter_lost_in_the_conversion(patch: pytest.MonkeyPatch) -> None:
    right = dqn.load_optimizer

    def wrong(optimizer: Any, *arguments: Any, **options: Any) -> None:
        right(optimizer, *arguments, **options)
        for group in optimizer.param_groups:
            group["iterations"] = 0

    patch.setattr(dqn, "load_optimizer", wrong)


def run(probe: str, config: str) -> ProbeResult:
    """Run the probe on the DQN pair in float64."""
    return run_probe(find_pair("dqn", PAIRS), Config(config, CONFIGS[config]), probe, "float64")


@cache
def run_without_fault(probe: str, config: str) -> ProbeResult:
    return run(probe, config)


@pytest.mark.parametrize("planted", FAULTS, ids=lambda planted: planted.name)
def test_the_fault_is_caught_by_its_probe(planted: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = run_without_fault(planted.probe, planted.config)
    planted.plant(monkeypatch)
    result = run(planted.probe, planted.config)
    assert clean.in_parity, f"\n{format_failure(clean)}\n{clean.details}"
    # An exception would be a fault of the test: the mistakes are wrong numbers, not crashes.
    assert result.error is None, result.details
    assert not result.in_parity


def test_every_probe_has_a_fault_to_catch() -> None:
    from parity_tests.probes import PROBES

    assert {planted.probe for planted in FAULTS} == set(PROBES)
