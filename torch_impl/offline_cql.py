"""Conservative Q-learning for continuous actions (Kumar et al. 2020): SAC whose critics are low where there is no data.

Mirror: legacy_tf/offline_cql.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from torch_impl.losses import TensorBatch
from torch_impl.offline_actor_critics import CRITICS, TARGET_CRITICS, OfflineActorCritic
from torch_impl.offline_losses import squashed_log_density
from torch_impl.offline_networks import TrainedVector
from torch_impl.offline_updates import Networks

LOG_STD_BOUNDS = (-20.0, 2.0)
LARGEST_ALPHA = 1e6


class CQL(OfflineActorCritic):
    """CQL(H) with its Lagrangian weight alpha.

    The steps of an update: alpha by the conservative loss, the critics with the new alpha, the temperature by the
    policy's entropy, the policy with the new temperature. A learning rate of 0 leaves its step out.

    Settings: conservative_weight, alpha_threshold, n_action_samples, soft_q_backup, initial_temperature, initial_alpha,
    tau, actor_lr, critic_lr, temperature_lr, alpha_lr, batch_size, action_low, action_high.
    """

    trained: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "alpha": ("log_alpha",),
        "critic": CRITICS,
        "temperature": ("log_temperature",),
        "actor": ("policy",),
    }

    def create_networks(self) -> None:
        """Add "policy" with mean and log_std, the critics, their targets, "log_alpha" and "log_temperature"."""
        outputs = {"mean": self.action_dim, "log_std": self.action_dim}
        self.add_dense("policy", self.obs_dim, outputs)
        for name in (*CRITICS, *TARGET_CRITICS):
            self.add_dense(name, self.obs_dim + self.action_dim, {"q": 1})
        for name in ("alpha", "temperature"):
            start = [math.log(self.settings[f"initial_{name}"])]
            self.add_network(f"log_{name}", TrainedVector(start, dtype=self.dtype))

    def noise_shapes(self, rows: int) -> dict[str, tuple[int, ...]]:
        """Return the noise of the policy's samples, and "uniform", actions in [-1, 1)."""
        single = (rows, self.action_dim)
        several = (rows, int(self.settings["n_action_samples"]), self.action_dim)
        shapes = {"policy": single, "here": several, "there": several, "uniform": several}
        return {**shapes, "next": single} if self.settings["soft_q_backup"] else shapes

    def steps_at(self, number: int) -> tuple[str, ...]:
        """Return the steps whose learning rate is above 0."""
        return tuple(step for step in self.trained if self.learning_rate(step) > 0)

    def step_losses(
        self, step: str, networks: Networks, batch: TensorBatch, noise: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return "alpha_loss" and "alpha"; "critic_loss" and "conservative_loss"; "temperature_loss"; or "actor_loss"."""
        if step in ("alpha", "critic"):
            distance = self.conservative_distance(networks, batch, noise)
            alpha: Tensor = networks["log_alpha"]().exp().clamp(0.0, LARGEST_ALPHA)
            if step == "alpha":
                return {"alpha_loss": -(alpha * distance.detach()).mean(), "alpha": alpha.sum()}
            conservative = (alpha.detach() * distance).sum()
            loss = self.fit_critics(networks, batch, self.next_value(networks, batch, noise))
            return {"critic_loss": loss + conservative, "conservative_loss": conservative}
        action, log_density = self.sample(networks, batch.observation, noise["policy"])
        temperature: Tensor = networks["log_temperature"]().exp()
        if step == "temperature":
            surplus = (log_density - self.action_dim).detach()
            return {"temperature_loss": -(temperature * surplus).mean()}
        value = self.least_value(CRITICS, networks, batch.observation, action)
        return {"actor_loss": (temperature.detach() * log_density - value).mean()}

    def conservative_distance(
        self, networks: Networks, batch: TensorBatch, noise: Mapping[str, Tensor]
    ) -> Tensor:
        """Return how far each critic's values of sampled actions are above those of the data, (2,).

            conservative_weight * (mean(logsumexp_j(Q(s, a_j) - log p(a_j)) - Q(s, a_data)) - alpha_threshold)

        The a_j are samples of the policy in s and in s', and uniform ones; all are evaluated in s.
        """
        with torch.no_grad():
            here = self.sample(networks, batch.observation, noise["here"])
            there = self.sample(networks, batch.next_observation, noise["there"])
            uniform = torch.full_like(here[1], -self.action_dim * math.log(2.0))
            actions = torch.cat([here[0], there[0], noise["uniform"]], dim=1)
            densities = torch.cat([here[1], there[1], uniform], dim=1)
        rows = batch.observation.unsqueeze(1).expand(-1, actions.shape[1], -1)
        distances = []
        for name in CRITICS:
            sampled = self.evaluate(name, networks, rows, actions) - densities
            data = self.evaluate(name, networks, batch.observation, batch.action)
            distances.append((torch.logsumexp(sampled, dim=1) - data).mean())
        distance: Tensor = torch.stack(distances) - self.settings["alpha_threshold"]
        return distance * float(self.settings["conservative_weight"])

    def next_value(
        self, networks: Networks, batch: TensorBatch, noise: Mapping[str, Tensor]
    ) -> Tensor:
        """Return the target critics' smaller value of the policy's mean action in s', or SAC's of a sample, (batch,)."""
        row = batch.next_observation
        if not self.settings["soft_q_backup"]:
            action = self.best_action(networks, row)
            return self.least_value(TARGET_CRITICS, networks, row, action)
        action, log_density = self.sample(networks, row, noise["next"])
        value = self.least_value(TARGET_CRITICS, networks, row, action)
        temperature: Tensor = networks["log_temperature"]().exp()
        return value - temperature * log_density

    def sample(self, networks: Networks, row: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return tanh(mean + std * noise) and its log density.

        Args:
            networks: by name.
            row: (batch, obs_dim).
            noise: (batch, action_dim), or (batch, samples, action_dim).
        """
        found = networks["policy"](row)
        mean, log_std = found["mean"], found["log_std"].clamp(*LOG_STD_BOUNDS)
        if noise.ndim > mean.ndim:
            mean, log_std = mean.unsqueeze(1), log_std.unsqueeze(1)
        raw = mean + log_std.exp() * noise
        return torch.tanh(raw), squashed_log_density(mean, log_std, raw)
