"""Behavioural cloning: supervised learning of the data's actions, numbered or continuous.

Mirror: legacy_tf/offline_cloning.py.
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
from torch_impl.offline_losses import imitation_loss
from torch_impl.offline_networks import DenseNetwork
from torch_impl.offline_updates import Networks

LOG_STD_BOUNDS = (-4.0, 15.0)
"""Of a stochastic policy that is cloned, as in d3rlpy."""


class BehavioralCloning(OfflineAgent):
    """Cross entropy of the data's actions, as the migration guide has it.

    Settings: beta, the weight of mean((log p)**2) (0 in the guide, 0.5 in d3rlpy's DiscreteBC); hidden_sizes, batch_size.
    """

    trained: ClassVar[Mapping[str, tuple[str, ...]]] = {"policy": ("policy_network",)}

    def create_networks(self) -> None:
        """Add "policy_network", one logit for every action."""
        network = DenseNetwork(
            self.obs_dim,
            self.settings["hidden_sizes"],
            {"logits": self.action_dim},
            name="policy_network",
            dtype=self.dtype,
            seed=self.seed,
        )
        self.add_network("policy_network", network)

    def step_losses(
        self, step: str, networks: Networks, batch: TensorBatch, noise: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return "loss"."""
        logits: Tensor = networks["policy_network"](batch.observation)["logits"]
        return {"loss": imitation_loss(logits, batch.action, beta=self.settings["beta"])}

    def best_action(self, networks: Networks, observation: Tensor) -> Tensor:
        """Return the likeliest action."""
        logits: Tensor = networks["policy_network"](observation)["logits"]
        return logits.argmax(dim=1)

    def get_logits(self, observation: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the logits of all actions: (actions,) for one observation, (batch, actions) for several."""
        rows = check_rows(observation, self.obs_dim, self.dtype)
        with torch.inference_mode():
            found = self.networks["policy_network"](self._tensor(rows))["logits"].cpu().numpy()
        logits: NDArray[np.floating] = found.reshape(*np.shape(observation)[:-1], self.action_dim)
        return logits


class ContinuousBC(OfflineAgent):
    """Mean squared distance to the data's actions, of tanh(mean) or of a sample.

    Settings: policy ("deterministic" or "stochastic"), hidden_sizes, batch_size, action_low, action_high.
    """

    trained: ClassVar[Mapping[str, tuple[str, ...]]] = {"policy": ("policy",)}
    discrete = False

    def create_networks(self) -> None:
        """Add "policy": mean, and log_std if it is stochastic."""
        outputs = ("mean", "log_std") if self.settings["policy"] == "stochastic" else ("mean",)
        network = DenseNetwork(
            self.obs_dim,
            self.settings["hidden_sizes"],
            dict.fromkeys(outputs, self.action_dim),
            name="policy",
            dtype=self.dtype,
            seed=self.seed,
        )
        self.add_network("policy", network)

    def step_losses(
        self, step: str, networks: Networks, batch: TensorBatch, noise: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return "loss"; a sample is clipped to [-1, 1]."""
        found = networks["policy"](batch.observation)
        action: Tensor = torch.tanh(found["mean"])
        if "log_std" in found:
            log_std = found["log_std"].clamp(*LOG_STD_BOUNDS)
            action = (action + log_std.exp() * noise["policy"]).clamp(-1.0, 1.0)
        return {"loss": (action - batch.action).square().mean()}

    def noise_shapes(self, rows: int) -> dict[str, tuple[int, ...]]:
        """Return "policy" for a stochastic policy."""
        stochastic = self.settings["policy"] == "stochastic"
        return {"policy": (rows, self.action_dim)} if stochastic else {}

    def best_action(self, networks: Networks, observation: Tensor) -> Tensor:
        """Return tanh(mean)."""
        return torch.tanh(networks["policy"](observation)["mean"])

    def get_actions(self, observation: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return `predict`."""
        actions: NDArray[np.floating] = self.predict(observation)
        return actions
