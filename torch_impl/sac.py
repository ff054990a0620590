"""SAC: a stochastic policy, two critics and a temperature that adjusts itself (Haarnoja et al. 2018).

Mirror: legacy_tf/sac.py.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from experience.actor_critics import hidden_sizes
from torch_impl.actor_critic import ActorCritic, Losses, Tensors
from torch_impl.networks import DTYPES
from torch_impl.policies import MLPStochasticPolicy, RandomNormal
from torch_impl.values import MLPQValueSAC

SQUASH_EPSILON = 1e-6


class Temperature(nn.Module):
    """The weight of the entropy, alpha = exp(log_alpha).

    Args:
        alpha_init: first value, positive.
        dtype: "float32" or "float64".
    """

    def __init__(self, alpha_init: float = 1.0, *, dtype: str = "float32") -> None:
        super().__init__()
        start = torch.tensor(math.log(alpha_init), dtype=DTYPES[dtype])
        self.log_alpha = nn.Parameter(start)

    def forward(self) -> Tensor:
        """Return log_alpha, 0-d."""
        return self.log_alpha


class SAC(ActorCritic):
    """SAC. There is no target policy: targets sample from the trained one.

    Reads of the arguments: pi_lr, q_lr, alpha_lr (0: the temperature stays), alpha_init, and what `ActorCritic` reads.
    """

    noise_names = ("policy", "next_policy")

    def create_networks(self) -> None:
        """Add "temperature", "policy", "q_value_1", "q_value_2" and the critics' targets."""
        [size], [action] = self.args.obs_dims, self.args.acts_dims
        units = hidden_sizes(self.args, (256, 256))
        temperature = Temperature(self.args.alpha_init, dtype=self.dtype)
        self.add_network("temperature", temperature, scope="main/alpha")
        policy = MLPStochasticPolicy(size, action, hidden_sizes=units, dtype=self.dtype)
        self.add_network("policy", policy, scope="main/policy/net")
        for name, side in (("", "main"), ("target_", "target")):
            for critic in ("q_value_1", "q_value_2"):
                value = MLPQValueSAC(size, action, hidden_sizes=units, dtype=self.dtype)
                self.add_network(f"{name}{critic}", value, scope=f"{side}/{critic}/net")

    def create_optimizers(self) -> None:
        """Add "policy", "temperature" unless alpha_lr is 0, and "value"."""
        self.add_optimizer("policy", "main/policy", learning_rate=self.args.pi_lr)
        if self.args.alpha_lr > 0:
            self.add_optimizer("temperature", "main/alpha", learning_rate=self.args.alpha_lr)
        self.add_optimizer("value", "main/q_value", learning_rate=self.args.q_lr)

    def pi_losses(self, batch: Tensors, noise: Tensors) -> Losses:
        """Return mean(alpha log pi(a|s) - min(Q_1, Q_2)(s, a)) of new actions, and the loss of the temperature."""
        action, log_p = self.sample_action(batch["obs"], noise["policy"])
        pi_loss = -self.soft_value(batch["obs"], action, log_p).mean()
        objectives = {"policy": pi_loss}
        if self.args.alpha_lr > 0:
            objectives["temperature"] = self.temperature_loss(log_p)
        return Losses(objectives, {"Pi_loss": pi_loss})

    def q_losses(self, batch: Tensors, noise: Tensors) -> Losses:
        """Return the sum of mean((Q_i(s, a) - y)^2) over both critics."""
        target = self.value_target(batch, noise)
        q_1, q_2 = (
            self.networks[name](batch["obs"], batch["acts"]) for name in ("q_value_1", "q_value_2")
        )
        q_loss = (q_1 - target).square().mean() + (q_2 - target).square().mean()
        return Losses({"value": q_loss}, {"Q_loss": q_loss})

    def value_target(self, batch: Tensors, noise: Tensors) -> Tensor:
        """Return y = r + (1 - d) gamma (min(Q'_1, Q'_2)(s', a') - alpha log pi(a'|s')), (batch, 1).

        No gradient flows through it.
        """
        with torch.no_grad():
            action, log_p = self.sample_action(batch["obs_next"], noise["next_policy"])
            q = self.soft_value(batch["obs_next"], action, log_p, networks="target_q_value")
            target: Tensor = batch["rews"] + (1.0 - batch["done"]) * self.args.gamma * q
            return target

    def sample_action(self, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return a = tanh(mean + noise * std), (batch, action), and its log density, (batch, 1).

        log pi(a|s) = log N(x) - sum(log(1 - a^2 + 1e-6)) with x before tanh.
        """
        distribution: RandomNormal = self.networks["policy"](observation)
        x = distribution.sample(noise)
        action = torch.tanh(x)
        squash = torch.log(1.0 - action.square() + SQUASH_EPSILON)
        return action, distribution.log_p(x) - squash.sum(dim=-1, keepdim=True)

    def soft_value(
        self, observation: Tensor, action: Tensor, log_p: Tensor, *, networks: str = "q_value"
    ) -> Tensor:
        """Return min(Q_1, Q_2)(s, a) - alpha log_p, (batch, 1), of the critics whose names begin with `networks`."""
        q_1 = self.networks[f"{networks}_1"](observation, action)
        q_2 = self.networks[f"{networks}_2"](observation, action)
        # torch.minimum gives each side half of the gradient at ties, TensorFlow's minimum gives the first all.
        q = torch.where(q_1 <= q_2, q_1, q_2)
        alpha: Tensor = self.networks["temperature"]().exp()
        return q - alpha * log_p

    def temperature_loss(self, log_p: Tensor) -> Tensor:
        """Return -log_alpha * (mean(log_p) - size of an action): alpha falls while the entropy is above -size."""
        [action] = self.args.acts_dims
        log_alpha: Tensor = self.networks["temperature"]()
        surplus: Tensor = (log_p.mean() - action).detach()
        return -log_alpha * surplus

    def greedy_action(self, observation: Tensor) -> Tensor:
        """Return tanh(mean)."""
        distribution: RandomNormal = self.networks["policy"](observation)
        return torch.tanh(distribution.mean)

    def exploring_action(self, observation: Tensor, noise: Tensor) -> Tensor:
        """Return tanh(mean + noise * std)."""
        distribution: RandomNormal = self.networks["policy"](observation)
        return torch.tanh(distribution.sample(noise))

    def step_figures(self, observation: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Return "Q_average", min(Q_1, Q_2) - alpha log pi of the action taken, and "Pi_step_std"."""
        action, log_p = self.sample_action(observation, noise)
        std = self.networks["policy"](observation).std
        return {"Q_average": self.soft_value(observation, action, log_p), "Pi_step_std": std}
