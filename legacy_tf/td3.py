"""TD3: DDPG with two critics, smoothed targets and delayed policy steps (Fujimoto et al. 2018).

Mirror: torch_impl/td3.py.
"""

from __future__ import annotations

import tensorflow as tf

from experience.actor_critics import hidden_sizes
from legacy_tf.actor_critic import Losses, Tensors
from legacy_tf.ddpg import DDPG
from legacy_tf.policies import MLPPolicy
from legacy_tf.values import MLPQValueSAC


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
        q_loss = tf.reduce_mean(tf.square(q_1 - target)) + tf.reduce_mean(tf.square(q_2 - target))
        return Losses({"value": q_loss}, {"Q_loss": q_loss})

    def value_target(self, batch: Tensors, noise: Tensors) -> tf.Tensor:
        """Return y = r + (1 - d) gamma min(Q'_1(s', a'), Q'_2(s', a')), (batch, 1); no gradient flows through it.

        a' = clip(pi'(s') + clip(pi_t_std * noise, -pi_t_clip, pi_t_clip), -1, 1), with noise["target"] standard normal.
        """
        clip = self.args.pi_t_clip
        smoothing = tf.clip_by_value(self.args.pi_t_std * noise["target"], -clip, clip)
        action = self.networks["target_policy"](batch["obs_next"]) + smoothing
        action = tf.clip_by_value(action, -1.0, 1.0)
        q = tf.minimum(
            self.networks["target_value_1"](batch["obs_next"], action),
            self.networks["target_value_2"](batch["obs_next"], action),
        )
        return tf.stop_gradient(batch["rews"] + (1.0 - batch["done"]) * self.args.gamma * q)

    def policy_value(self, observation: tf.Tensor) -> tf.Tensor:
        """Return Q_1(s, pi(s)), (batch, 1)."""
        return self.networks["value_1"](observation, self.networks["policy"](observation))
