"""Offline actor-critics for continuous actions: TD3+BC, IQL, AWAC.

All have two critics of (observation, action), targets that follow softly, and a policy that is kept near the data: by a
squared distance (TD3+BC) or by weighting the data's own actions (IQL, AWAC). CQL is offline_cql.py.

Mirror: torch_impl/offline_actor_critics.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from experience.shapes import check_rows
from legacy_tf.losses import TensorBatch
from legacy_tf.offline_agent import OfflineAgent
from legacy_tf.offline_losses import (
    expectile_loss,
    exponential_weight,
    gaussian_log_density,
    smaller,
    softmax_weight,
    squashed_log_density,
    td_loss,
    td_target,
)
from legacy_tf.offline_networks import DenseNetwork, TrainedVector
from legacy_tf.offline_updates import Networks

CRITICS = ("critic_1", "critic_2")
TARGET_CRITICS = ("target_critic_1", "target_critic_2")
IQL_LOG_STD_BOUNDS = (-5.0, 2.0)
AWAC_LOG_STD_BOUNDS = (-6.0, 0.0)


class OfflineActorCritic(OfflineAgent):
    """Base of those with two critics: makes networks, evaluates them, fits the critics."""

    trained: ClassVar[Mapping[str, tuple[str, ...]]] = {"critic": CRITICS, "actor": ("policy",)}
    targets: ClassVar[Mapping[str, str]] = {
        "target_critic_1": "critic_1",
        "target_critic_2": "critic_2",
    }
    discrete = False

    def create_networks(self) -> None:
        """Add "policy", the critics and their targets."""
        self.add_dense("policy", self.obs_dim, {"mean": self.action_dim})
        for name in (*CRITICS, *TARGET_CRITICS):
            self.add_dense(name, self.obs_dim + self.action_dim, {"q": 1})

    def add_dense(self, name: str, inputs: int, outputs: Mapping[str, int]) -> None:
        """Add a network with the hidden layers of the settings."""
        network = DenseNetwork(
            inputs,
            self.settings["hidden_sizes"],
            outputs,
            name=name,
            dtype=self.dtype,
            seed=self.seed,
        )
        self.add_network(name, network)

    def evaluate(
        self, network: str, networks: Networks, row: tf.Tensor, action: tf.Tensor
    ) -> tf.Tensor:
        """Return Q(s, a) of one critic: (..., obs_dim) and (..., action_dim) give (...)."""
        joined = tf.concat([row, action], axis=-1)
        # A Keras model takes two axes; rows of several actions each are laid out one below the other.
        flat = tf.reshape(joined, (-1, joined.shape[-1]))
        return tf.reshape(networks[network](flat)["q"], tf.shape(joined)[:-1])

    def least_value(
        self, pair: tuple[str, str], networks: Networks, row: tf.Tensor, action: tf.Tensor
    ) -> tf.Tensor:
        """Return the smaller value of two critics."""
        first, second = (self.evaluate(name, networks, row, action) for name in pair)
        return smaller(first, second)

    def fit_critics(
        self, networks: Networks, batch: TensorBatch, next_value: tf.Tensor
    ) -> tf.Tensor:
        """Return the sum over both critics of mean((y - Q(s, a))**2)."""
        target = td_target(batch.reward, batch.terminated, next_value, gamma=self.settings["gamma"])
        first, second = (
            td_loss(
                self.evaluate(name, networks, batch.observation, batch.action), target, loss="mse"
            )
            for name in CRITICS
        )
        return first + second

    def best_action(self, networks: Networks, observation: tf.Tensor) -> tf.Tensor:
        """Return tanh(mean)."""
        return tf.tanh(networks["policy"](observation)["mean"])

    def get_actions(self, observation: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return `predict`."""
        actions: NDArray[np.floating] = self.predict(observation)
        return actions

    def get_values(self, observation: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the first critic's value of the greedy action: (batch, 1), or (1,) for one observation."""
        rows = check_rows(observation, self.obs_dim, self.dtype)
        row = self._tensor(rows)
        action = self.best_action(self.networks, row)
        found = self.evaluate("critic_1", self.networks, row, action).numpy()
        values: NDArray[np.floating] = found.reshape(*np.shape(observation)[:-1], 1)
        return values


class TD3PlusBC(OfflineActorCritic):
    """TD3 whose policy is also pulled to the data's actions (Fujimoto and Gu 2021).

    The policy, and all targets, move at every `update_actor_interval`th update, the first one included.

    Settings: alpha, target_smoothing_sigma, target_smoothing_clip, update_actor_interval, tau, actor_lr, critic_lr,
    batch_size, action_low, action_high.
    """

    targets: ClassVar[Mapping[str, str]] = {**OfflineActorCritic.targets, "target_policy": "policy"}

    def create_networks(self) -> None:
        """Add "target_policy" to the others."""
        super().create_networks()
        self.add_dense("target_policy", self.obs_dim, {"mean": self.action_dim})

    def noise_shapes(self, rows: int) -> dict[str, tuple[int, ...]]:
        """Return "target": of the smoothed target action."""
        return {"target": (rows, self.action_dim)}

    def steps_at(self, number: int) -> tuple[str, ...]:
        """Return the critic's step, and the actor's where it is due."""
        due = number % int(self.settings["update_actor_interval"]) == 0
        return ("critic", "actor") if due else ("critic",)

    def step_losses(
        self, step: str, networks: Networks, batch: TensorBatch, noise: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Return "critic_loss"; or "actor_loss" = -alpha / mean|Q| * mean(Q) + bc_loss, and "bc_loss"."""
        if step == "critic":
            sigma, clip = (self.settings[f"target_smoothing_{x}"] for x in ("sigma", "clip"))
            mean: tf.Tensor = networks["target_policy"](batch.next_observation)["mean"]
            action = tf.tanh(mean) + tf.clip_by_value(sigma * noise["target"], -clip, clip)
            next_value = self.least_value(
                TARGET_CRITICS,
                networks,
                batch.next_observation,
                tf.clip_by_value(action, -1.0, 1.0),
            )
            return {"critic_loss": self.fit_critics(networks, batch, next_value)}
        action = self.best_action(networks, batch.observation)
        value = self.evaluate("critic_1", networks, batch.observation, action)
        weight = self.settings["alpha"] / tf.stop_gradient(tf.reduce_mean(tf.abs(value)))
        distance = tf.reduce_mean(tf.square(batch.action - action))
        return {"actor_loss": distance - weight * tf.reduce_mean(value), "bc_loss": distance}


class IQL(OfflineActorCritic):
    """Implicit Q-learning: no action outside of the data is ever evaluated (Kostrikov et al. 2021).

    Settings: expectile, weight_temp, max_weight, tau, actor_lr, critic_lr, batch_size, action_low, action_high.
    """

    trained: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "critic": (*CRITICS, "value"),
        "actor": ("policy", "log_std"),
    }

    def create_networks(self) -> None:
        """Add "value" and "log_std", one number an axis for all observations, to the others."""
        super().create_networks()
        self.add_dense("value", self.obs_dim, {"v": 1})
        self.add_network("log_std", TrainedVector([0.0] * self.action_dim, dtype=self.dtype))

    def step_losses(
        self, step: str, networks: Networks, batch: TensorBatch, noise: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Return "critic_loss" = q_loss + v_loss, and both; or "actor_loss"."""
        state_value: tf.Tensor = networks["value"](batch.observation)["v"][:, 0]
        data_value = self.least_value(TARGET_CRITICS, networks, batch.observation, batch.action)
        if step == "critic":
            next_value: tf.Tensor = networks["value"](batch.next_observation)["v"][:, 0]
            q_loss = self.fit_critics(networks, batch, next_value)
            v_loss = expectile_loss(data_value - state_value, expectile=self.settings["expectile"])
            return {"critic_loss": q_loss + v_loss, "q_loss": q_loss, "v_loss": v_loss}
        weight = exponential_weight(
            data_value - state_value,
            weight_temp=self.settings["weight_temp"],
            max_weight=self.settings["max_weight"],
        )
        log_std = bounded_log_std(networks["log_std"](), *IQL_LOG_STD_BOUNDS)
        mean = self.best_action(networks, batch.observation)
        density = gaussian_log_density(mean, log_std, batch.action)
        return {"actor_loss": -tf.reduce_mean(weight * density)}


class AWAC(OfflineActorCritic):
    """Advantage-weighted actor-critic (Nair et al. 2020), with d3rlpy's soft target.

    Settings: lam, n_action_samples, temperature (of the entropy in the target; 0: the paper's), tau, actor_lr, critic_lr,
    batch_size, action_low, action_high.
    """

    trained: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "critic": CRITICS,
        "actor": ("policy", "log_std"),
    }

    def create_networks(self) -> None:
        """Add "log_std", one number an axis for all observations, to the others."""
        super().create_networks()
        self.add_network("log_std", TrainedVector([0.0] * self.action_dim, dtype=self.dtype))

    def noise_shapes(self, rows: int) -> dict[str, tuple[int, ...]]:
        """Return "next", of the target's action, and "value", of the actions that the state's value averages."""
        samples = int(self.settings["n_action_samples"])
        return {"next": (rows, self.action_dim), "value": (rows, samples, self.action_dim)}

    def step_losses(
        self, step: str, networks: Networks, batch: TensorBatch, noise: Mapping[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """Return "critic_loss"; or "actor_loss", a sum over the batch as in d3rlpy."""
        log_std = bounded_log_std(networks["log_std"](), *AWAC_LOG_STD_BOUNDS)
        if step == "critic":
            mean: tf.Tensor = networks["policy"](batch.next_observation)["mean"]
            raw = mean + tf.exp(log_std) * noise["next"]
            next_value = self.least_value(
                TARGET_CRITICS, networks, batch.next_observation, tf.tanh(raw)
            )
            entropy = self.settings["temperature"] * squashed_log_density(mean, log_std, raw)
            return {"critic_loss": self.fit_critics(networks, batch, next_value - entropy)}
        mean = self.best_action(networks, batch.observation)
        density = gaussian_log_density(mean, log_std, batch.action)
        samples = mean[:, None] + tf.exp(log_std) * noise["value"]
        actions = tf.stop_gradient(tf.clip_by_value(samples, -1.0, 1.0))
        rows = tf.repeat(batch.observation[:, None], actions.shape[1], axis=1)
        state_value = tf.reduce_mean(self.least_value(CRITICS, networks, rows, actions), axis=1)
        data_value = self.least_value(CRITICS, networks, batch.observation, batch.action)
        weight = softmax_weight(data_value - state_value, lam=self.settings["lam"])
        return {"actor_loss": -tf.reduce_sum(weight * density)}


def bounded_log_std(value: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Return low + sigmoid(value) * (high - low)."""
    return low + tf.sigmoid(value) * (high - low)
