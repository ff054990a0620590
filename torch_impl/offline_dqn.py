"""Offline Q-learning with numbered actions: DQN, double DQN, discrete CQL, discrete BCQ.

One update of `OfflineDQN`, as a walk through the code: `update` turns the batch into tensors; `step_losses` asks the
target network for the best next value, makes the target y = r + gamma * max Q' * (1 - terminated) of it and compares it
with Q(s, a); the gradient of that goes to Adam. Nothing else moves: the target network is copied where the training loop
says. Only the actions of the data are ever corrected, so Q of all others is a guess that the maximum picks from; that is
what CQL and BCQ mend, and why plain offline DQN is no substitute for them.

Mirror: legacy_tf/offline_dqn.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experience.shapes import check_rows
from torch_impl.losses import TensorBatch
from torch_impl.offline_agent import OfflineAgent
from torch_impl.offline_losses import (
    allowed_actions,
    chosen_value,
    conservative_loss,
    imitation_loss,
    td_loss,
    td_target,
)
from torch_impl.offline_networks import DenseNetwork
from torch_impl.offline_updates import Networks


class OfflineDQN(OfflineAgent):
    """DQN on recorded transitions with a hard-copied target network, as the migration guide has it.

    Settings: loss ("mse" or "huber"), double, hidden_sizes, batch_size, target_update_freq.
    """

    trained: ClassVar[Mapping[str, tuple[str, ...]]] = {"q": ("q_network",)}
    targets: ClassVar[Mapping[str, str]] = {"target_network": "q_network"}
    outputs: tuple[str, ...] = ("q",)

    def create_networks(self) -> None:
        """Add "q_network" and "target_network", with one layer of action values for each of `outputs`."""
        for name in ("q_network", "target_network"):
            network = DenseNetwork(
                self.obs_dim,
                self.settings["hidden_sizes"],
                dict.fromkeys(self.outputs, self.action_dim),
                name=name,
                dtype=self.dtype,
                seed=self.seed,
            )
            self.add_network(name, network)

    def step_losses(
        self, step: str, networks: Networks, batch: TensorBatch, noise: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return "loss": the mean over the batch of (y - Q(s, a))**2, or Huber's."""
        values: Tensor = networks["q_network"](batch.observation)["q"]
        return {"loss": self.q_loss(networks, values, batch)}

    def q_loss(self, networks: Networks, values: Tensor, batch: TensorBatch) -> Tensor:
        """Return the loss between Q(s, a) and its target.

        The target's action is the best one by the target network, or by the online one if `double`
        (van Hasselt et al. 2016).

        Args:
            networks: by name.
            values: (batch, actions), of the online network in `batch.observation`.
            batch: transitions.
        """
        following: Tensor = networks["target_network"](batch.next_observation)["q"]
        if self.settings["double"]:
            chooser: Tensor = networks["q_network"](batch.next_observation)["q"]
            next_value = chosen_value(following, chooser.argmax(dim=1))
        else:
            next_value = following.amax(dim=1)
        target = td_target(batch.reward, batch.terminated, next_value, gamma=self.settings["gamma"])
        return td_loss(chosen_value(values, batch.action), target, loss=self.settings["loss"])

    def best_action(self, networks: Networks, observation: Tensor) -> Tensor:
        """Return the action of the largest value."""
        values: Tensor = networks["q_network"](observation)["q"]
        return values.argmax(dim=1)

    def get_q_values(self, observation: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the values of all actions: (actions,) for one observation, (batch, actions) for several."""
        rows = check_rows(observation, self.obs_dim, self.dtype)
        with torch.inference_mode():
            found = self.networks["q_network"](self._tensor(rows))["q"].cpu().numpy()
        values: NDArray[np.floating] = found.reshape(*np.shape(observation)[:-1], self.action_dim)
        return values


class OfflineDoubleDQN(OfflineDQN):
    """DQN whose target takes the online network's action."""


class DiscreteCQL(OfflineDQN):
    """Conservative Q-learning: double DQN that also pushes Q of unseen actions below Q of the data's.

    Settings: alpha, the weight of the conservative loss, and those of `OfflineDQN`.
    """

    def step_losses(
        self, step: str, networks: Networks, batch: TensorBatch, noise: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return "loss" = td_loss + alpha * conservative_loss, and both."""
        values: Tensor = networks["q_network"](batch.observation)["q"]
        q_loss = self.q_loss(networks, values, batch)
        conservative = conservative_loss(values, batch.action)
        loss = q_loss + self.settings["alpha"] * conservative
        return {"loss": loss, "td_loss": q_loss, "conservative_loss": conservative}


class DiscreteBCQ(OfflineDQN):
    """Batch-constrained Q-learning: double DQN beside an imitator; only likely actions are taken.

    As in d3rlpy, the target's action is not constrained, and values and imitator share their hidden layers.

    Settings: action_flexibility, beta (of the imitator's penalty), and those of `OfflineDQN`.
    """

    outputs = ("q", "imitator")

    def step_losses(
        self, step: str, networks: Networks, batch: TensorBatch, noise: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return "loss" = td_loss + imitator_loss, and both."""
        found = networks["q_network"](batch.observation)
        q_loss = self.q_loss(networks, found["q"], batch)
        imitation = imitation_loss(found["imitator"], batch.action, beta=self.settings["beta"])
        return {"loss": q_loss + imitation, "td_loss": q_loss, "imitator_loss": imitation}

    def best_action(self, networks: Networks, observation: Tensor) -> Tensor:
        """Return the action of the largest value among those that the imitator allows."""
        found = networks["q_network"](observation)
        values: Tensor = found["q"]
        allowed = allowed_actions(
            found["imitator"], flexibility=self.settings["action_flexibility"]
        )
        return values.masked_fill(~allowed, -torch.inf).argmax(dim=1)
