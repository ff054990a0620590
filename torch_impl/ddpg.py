"""DDPG: a deterministic policy and one critic (Lillicrap et al. 2016).

Mirror: legacy_tf/ddpg.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

from experience.actor_critics import hidden_sizes
from torch_impl.actor_critic import ActorCritic, Losses, Tensors
from torch_impl.policies import MLPPolicy
from torch_impl.values import MLPQValue
from torch_impl.variables import get_vars


class DDPG(ActorCritic):
    """DDPG with a regularised critic and Gaussian exploration.

    Reads of the arguments: pi_lr, q_lr, q_reg, std_act, and what `ActorCritic` reads.
    """

    def create_networks(self) -> None:
        """Add "policy", "value" and their targets."""
        [size], [action] = self.args.obs_dims, self.args.acts_dims
        units = hidden_sizes(self.args, (400, 300))
        for name, side in (("", "main"), ("target_", "target")):
            policy = MLPPolicy(size, action, hidden_sizes=units, dtype=self.dtype)
            self.add_network(f"{name}policy", policy, scope=f"{side}/policy/net")
            value = MLPQValue(size, action, hidden_sizes=units, dtype=self.dtype)
            self.add_network(f"{name}value", value, scope=f"{side}/value/net")

    def create_optimizers(self) -> None:
        """Add "policy" and "value"."""
        self.add_optimizer("policy", "main/policy", learning_rate=self.args.pi_lr)
        self.add_optimizer("value", "main/value", learning_rate=self.args.q_lr)

    def pi_losses(self, batch: Tensors, noise: Tensors) -> Losses:
        """Return -mean(Q(s, pi(s)))."""
        pi_loss = -self.policy_value(batch["obs"]).mean()
        return Losses({"policy": pi_loss}, {"Pi_loss": pi_loss})

    def q_losses(self, batch: Tensors, noise: Tensors) -> Losses:
        """Return mean((Q(s, a) - y)^2) + regulariser with y = r + (1 - d) gamma Q'(s', pi'(s'))."""
        target = self.value_target(batch, noise)
        q = self.networks["value"](batch["obs"], batch["acts"])
        q_loss = (q - target).square().mean()
        q_reg_loss = self.regularization()
        return Losses({"value": q_loss + q_reg_loss}, {"Q_loss": q_loss, "Q_reg_loss": q_reg_loss})

    def value_target(self, batch: Tensors, noise: Tensors) -> Tensor:
        """Return y, (batch, 1); no gradient flows through it."""
        with torch.no_grad():
            action = self.networks["target_policy"](batch["obs_next"])
            q = self.networks["target_value"](batch["obs_next"], action)
            target: Tensor = batch["rews"] + (1.0 - batch["done"]) * self.args.gamma * q
            return target

    def regularization(self) -> Tensor:
        """Return the mean over the critic's kernels and biases of q_reg * sum(w^2) / 2."""
        weights = get_vars(self.networks["value"], "")
        return torch.stack([self.args.q_reg * w.square().sum() / 2 for w in weights]).mean()

    def policy_value(self, observation: Tensor) -> Tensor:
        """Return Q(s, pi(s)), (batch, 1)."""
        value: Tensor = self.networks["value"](observation, self.networks["policy"](observation))
        return value

    def greedy_action(self, observation: Tensor) -> Tensor:
        """Return pi(s)."""
        action: Tensor = self.networks["policy"](observation)
        return action.clamp(-1.0, 1.0)

    def exploring_action(self, observation: Tensor, noise: Tensor) -> Tensor:
        """Return clip(pi(s) + std_act * noise, -1, 1)."""
        action: Tensor = self.networks["policy"](observation) + self.args.std_act * noise
        return action.clamp(-1.0, 1.0)

    def step_figures(self, observation: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Return "Q_average", Q(s, pi(s))."""
        return {"Q_average": self.policy_value(observation)}
