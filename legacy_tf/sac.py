"""SAC: a stochastic policy, two critics and a temperature that adjusts itself (Haarnoja et al. 2018).

Mirror: torch_impl/sac.py.
"""

from __future__ import annotations

import math

import tensorflow as tf

from experience.actor_critics import hidden_sizes
from legacy_tf.actor_critic import ActorCritic, Losses, Tensors
from legacy_tf.graph_layers import Network
from legacy_tf.policies import MLPStochasticPolicy, RandomNormal
from legacy_tf.values import MLPQValueSAC

SQUASH_EPSILON = 1e-6


class Temperature(Network):
    """The weight of the entropy, alpha = exp(log_alpha).

    Args:
        alpha_init: first value, positive.
        dtype: "float32" or "float64".
    """

    def __init__(self, alpha_init: float = 1.0, *, dtype: str = "float32") -> None:
        self.start = tf.compat.v1.constant_initializer(math.log(alpha_init))
        self.dtype = dtype

    def forward(self) -> tf.Tensor:
        """Return log_alpha, 0-d."""
        return tf.compat.v1.get_variable("log_alpha", (), self.dtype, self.start)


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
        pi_loss = -tf.reduce_mean(self.soft_value(batch["obs"], action, log_p))
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
        q_loss = tf.reduce_mean(tf.square(q_1 - target)) + tf.reduce_mean(tf.square(q_2 - target))
        return Losses({"value": q_loss}, {"Q_loss": q_loss})

    def value_target(self, batch: Tensors, noise: Tensors) -> tf.Tensor:
        """Return y = r + (1 - d) gamma (min(Q'_1, Q'_2)(s', a') - alpha log pi(a'|s')), (batch, 1).

        No gradient flows through it.
        """
        action, log_p = self.sample_action(batch["obs_next"], noise["next_policy"])
        q = self.soft_value(batch["obs_next"], action, log_p, networks="target_q_value")
        return tf.stop_gradient(batch["rews"] + (1.0 - batch["done"]) * self.args.gamma * q)

    def sample_action(
        self, observation: tf.Tensor, noise: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return a = tanh(mean + noise * std), (batch, action), and its log density, (batch, 1).

        log pi(a|s) = log N(x) - sum(log(1 - a^2 + 1e-6)) with x before tanh.
        """
        distribution: RandomNormal = self.networks["policy"](observation)
        x = distribution.sample(noise)
        action = tf.tanh(x)
        squash = tf.math.log(1.0 - tf.square(action) + SQUASH_EPSILON)
        return action, distribution.log_p(x) - tf.reduce_sum(squash, axis=-1, keepdims=True)

    def soft_value(
        self,
        observation: tf.Tensor,
        action: tf.Tensor,
        log_p: tf.Tensor,
        *,
        networks: str = "q_value",
    ) -> tf.Tensor:
        """Return min(Q_1, Q_2)(s, a) - alpha log_p, (batch, 1), of the critics whose names begin with `networks`."""
        q_1 = self.networks[f"{networks}_1"](observation, action)
        q_2 = self.networks[f"{networks}_2"](observation, action)
        alpha = tf.exp(self.networks["temperature"]())
        return tf.minimum(q_1, q_2) - alpha * log_p

    def temperature_loss(self, log_p: tf.Tensor) -> tf.Tensor:
        """Return -log_alpha * (mean(log_p) - size of an action): alpha falls while the entropy is above -size."""
        [action] = self.args.acts_dims
        log_alpha = self.networks["temperature"]()
        surplus = tf.stop_gradient(tf.reduce_mean(log_p) - action)
        return -log_alpha * surplus

    def greedy_action(self, observation: tf.Tensor) -> tf.Tensor:
        """Return tanh(mean)."""
        distribution: RandomNormal = self.networks["policy"](observation)
        return tf.tanh(distribution.mean)

    def exploring_action(self, observation: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """Return tanh(mean + noise * std)."""
        distribution: RandomNormal = self.networks["policy"](observation)
        return tf.tanh(distribution.sample(noise))

    def step_figures(self, observation: tf.Tensor, noise: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return "Q_average", min(Q_1, Q_2) - alpha log pi of the action taken, and "Pi_step_std"."""
        action, log_p = self.sample_action(observation, noise)
        std = self.networks["policy"](observation).std
        return {"Q_average": self.soft_value(observation, action, log_p), "Pi_step_std": std}
