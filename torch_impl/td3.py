"""TD3: DDPG with two critics, smoothed targets and delayed policy steps (Fujimoto et al. 2018).

Mirror: legacy_tf/td3.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

from experience.actor_critics import hidden_sizes
from torch_impl.actor_critic import Losses, Tensors
from torch_impl.ddpg import DDPG
from torch_impl.policies import MLPPolicy
from torch_impl.values import MLPQValueSAC


class TD3(DDPG):
    """TD3.

    Reads of the arguments: pi_lr, q_lr, std_act, pi_t_std, pi_t_clip, and what `ActorCritic` reads. The delays
    (pi_delay_freq, train_target) are the training loop's.
    """

    noise_names = ("target",)

    def create_networks(self) -> None:
        """Add "policy", "value_1", "value_2" and their targets."""
        [size], [action] = self.args.obs_dims, self.args.acts_dims
        units = hidden_sizes(self.args, (256, 256))
        for name, side in (("", "main"), ("target_", "target")):
            policy = MLPPolicy(size, action, hidden_sizes=units, dtype=self.dtype)
            self.add_network(f"{name}policy", policy, scope=f"{side}/policy/net")
            for critic in ("value_1", "value_2"):
                value = MLPQValueSAC(size, action, hidden_sizes=units, dtype=self.dtype)
                self.add_network(f"{name}{critic}", value, scope=f"{side}/{critic}/net")

    def q_losses(self, batch: Tensors, noise: Tensors) -> Losses:
        """Return the sum of mean((Q_i(s, a) - y)^2) over both critics."""
        target = self.value_target(batch, noise)
        q_1, q_2 = (
            self.networks[name](batch["obs"], batch["acts"]) for name in ("value_1", "value_2")
        )
        q_loss = (q_1 - target).square().mean() + (q_2 - target).square().mean()
        return Losses({"value": q_loss}, {"Q_loss": q_loss})

    def value_target(self, batch: Tensors, noise: Tensors) -> Tensor:
        """Return y = r + (1 - d) gamma min(Q'_1(s', a'), Q'_2(s', a')), (batch, 1); no gradient flows through it.

        a' = clip(pi'(s') + clip(pi_t_std * noise, -pi_t_clip, pi_t_clip), -1, 1), with noise["target"] standard normal.
        """
        clip = self.args.pi_t_clip
        with torch.no_grad():
            smoothing = (self.args.pi_t_std * noise["target"]).clamp(-clip, clip)
            action = self.networks["target_policy"](batch["obs_next"]) + smoothing
            action = action.clamp(-1.0, 1.0)
            q = torch.minimum(
                self.networks["target_value_1"](batch["obs_next"], action),
                self.networks["target_value_2"](batch["obs_next"], action),
            )
            target: Tensor = batch["rews"] + (1.0 - batch["done"]) * self.args.gamma * q
            return target

    def policy_value(self, observation: Tensor) -> Tensor:
        """Return Q_1(s, pi(s)), (batch, 1)."""
        value: Tensor = self.networks["value_1"](observation, self.networks["policy"](observation))
        return value
