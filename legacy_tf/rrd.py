"""Randomized return decomposition: learns the reward of a step from the returns of episodes (Ren et al. 2022).

Mirror: torch_impl/rrd.py.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from experience.actor_critics import Settings, hidden_sizes
from experience.return_decomposition import check_sub_sequences, sub_sequence_shapes
from experience.value_dqn import convolution_sizes
from legacy_tf.actor_critic import ActorCritic, Losses, Shapes, Tensors
from legacy_tf.basis import with_basis
from legacy_tf.rewards import ConvRewardNet, MLPRewardNet


class RRD(ActorCritic):
    """Another algorithm whose rewards are predicted: `RRD(args)` is one over the basis that `args.basis_alg` names.

    The mean prediction over K steps of an episode is regressed on the episode's return over its length; the basis
    sees the prediction wherever it would see the environment's reward, without a gradient.

    Reads of the arguments: basis_alg, r_lr, rrd_sample_size, rrd_bias_correction, and what the basis reads.
    """

    normalized_inputs = (*ActorCritic.normalized_inputs, "rrd_obs", "rrd_obs_next")

    def __new__(cls, args: Settings, **_: Any) -> Self:  # noqa: ANN401  of the constructor
        """Return an agent of this class and of its basis."""
        return super().__new__(with_basis(cls, args.basis_alg))

    def create_networks(self) -> None:
        """Add the networks of the basis and "reward"."""
        super().create_networks()  # type: ignore[safe-super]  # the basis comes next
        self.add_network("reward", self._create_reward(), scope="rrd/net")

    def create_optimizers(self) -> None:
        """Add the optimizers of the basis and "reward"."""
        super().create_optimizers()  # type: ignore[safe-super]  # the basis comes next
        self.add_optimizer("reward", "rrd/", learning_rate=self.args.r_lr)

    def input_shapes(self) -> Shapes:
        """Return the arrays of transitions and of sub-sequences, None for the batch axis."""
        return {**super().input_shapes(), **sub_sequence_shapes(self.args)}

    def convert_batch(self, batch: Any) -> dict[str, NDArray[Any]]:  # noqa: ANN401  see `batch_arrays`
        """Return the arrays of `input_shapes` from a batch.

        Raises:
            ValueError: It has no sub-sequences.
        """
        arrays = super().convert_batch(batch)
        check_sub_sequences(arrays, sub_sequence_shapes(self.args))
        return arrays

    def q_losses(self, batch: Tensors, noise: Tensors) -> Losses:
        """Return the losses of the basis with predicted rewards, and R_loss - R_var of the predictions."""
        basis = super().q_losses({**batch, "rews": self.critic_reward(batch)}, noise)  # type: ignore[safe-super]
        predictions = self.sub_sequence_rewards(batch)
        mean = tf.reduce_mean(predictions, axis=1)
        r_loss = tf.reduce_mean(tf.square(mean - batch["rrd_rews"]))
        figures = {**basis.figures, "R_loss": r_loss}
        objective = r_loss
        if self.args.rrd_bias_correction:
            figures["R_var"] = self.reward_variance(predictions, batch["rrd_var_coef"])
            objective = r_loss - figures["R_var"]
        return Losses({**basis.objectives, "reward": objective}, figures)

    def critic_reward(self, batch: Tensors) -> tf.Tensor:
        """Return the predicted rewards (batch, 1) of the transitions; no gradient flows through them."""
        reward = self.networks["reward"](batch["obs"], batch["acts"], batch["obs_next"])
        return tf.stop_gradient(reward)

    def sub_sequence_rewards(self, batch: Tensors) -> tf.Tensor:
        """Return the predicted rewards (episodes, K, 1) of the sub-sequences."""
        steps = (batch[name] for name in ("rrd_obs", "rrd_acts", "rrd_obs_next"))
        return self.networks["reward"](*steps)

    def reward_variance(self, predictions: tf.Tensor, coefficient: tf.Tensor) -> tf.Tensor:
        """Return what the loss is too large by because of K steps in place of all: mean(s^2 * coefficient / K).

        s^2 is the unbiased variance of the K predictions of an episode.

        Args:
            predictions: (episodes, K, 1).
            coefficient: (episodes, 1), `rrd_var_coef` of the batch.
        """
        count = self.args.rrd_sample_size
        deviations = predictions - tf.reduce_mean(predictions, axis=1, keepdims=True)
        variance = tf.reduce_sum(tf.square(deviations), axis=1) / (count - 1)
        return tf.reduce_mean(variance * coefficient / count)

    def get_rewards(
        self,
        observation: NDArray[np.floating],
        action: NDArray[Any],  # Any: numbers of actions as well
        next_observation: NDArray[np.floating],
    ) -> NDArray[np.floating]:
        """Return the predicted rewards (batch, 1) of transitions as a replay buffer gives them."""
        arrays = {"obs": observation, "acts": action, "obs_next": next_observation}
        converted = super().convert_batch(arrays)
        feed = {self._inputs[name]: converted[name] for name in arrays}
        rewards: NDArray[np.floating] = self.session.run(self._rewards, feed)
        return rewards

    def _create_steps(self) -> None:
        super()._create_steps()
        self._rewards = self.critic_reward(self._normalize(self._inputs))

    def _create_reward(self) -> MLPRewardNet | ConvRewardNet:
        shape, [actions] = tuple(self.args.obs_dims), self.args.acts_dims
        if len(shape) == 1:
            units = hidden_sizes(self.args, (256, 256), network="reward")
            return MLPRewardNet(shape[0], actions, hidden_sizes=units, dtype=self.dtype)
        height, width, channels = shape
        sizes = convolution_sizes(self.args)
        return ConvRewardNet((height, width, channels), actions, dtype=self.dtype, **sizes)
