"""Q-learning on images or vectors, the basis algorithm of return decomposition for numbered actions (Mnih et al. 2015).

The agent of the migration guide is another one, in dqn.py. Mirror: torch_impl/value_dqn.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from experience.actor_critics import Settings, hidden_sizes
from experience.agent import Noise
from experience.value_dqn import (
    MAX_INTENSITY,
    choose_actions,
    convolution_sizes,
    encode_actions,
    exploration_rate,
)
from legacy_tf.actor_critic import ActorCritic, Losses, Tensors
from legacy_tf.image_networks import ConvValueDQN
from legacy_tf.values import MLPValueDQN


class ValueDQN(ActorCritic):
    """Plain, double and dueling DQN with the Huber loss; it has no policy, so `train` is `train_q`.

    Observations come to `step` as the environment gives them, up to 255, and in batches divided by 255.

    Reads of the arguments: double, dueling, optimizer, q_lr, Adam_eps, RMSProp_decay, RMSProp_eps, eps_l, eps_r,
    eps_decay, and what `ActorCritic` reads; `conv_filters` and `conv_units`, if there, replace the sizes of the network
    on images. `dueling` matters on images only, as in the original.

    Attributes:
        warming_up: all actions but those of tests are random; whoever fills the replay buffer sets it.

    Args:
        args: see above.
        dtype: "float32" or "float64".
        seed: of first weights and exploration.
    """

    def __init__(self, args: Settings, *, dtype: str = "float32", seed: int = 0) -> None:
        super().__init__(args, dtype=dtype, seed=seed)
        self.counters["environment"] = 0
        self.warming_up = False

    @property
    def action_size(self) -> int:
        """Number of actions."""
        return int(self.args.acts_dims[0])

    @property
    def epsilon(self) -> float:
        """Present exploration rate; it falls with every step that explores."""
        return exploration_rate(self.args, self.counters["environment"])

    def create_networks(self) -> None:
        """Add "value" and its target."""
        for name, side in (("", "main"), ("target_", "target")):
            self.add_network(f"{name}value", self._create_value(), scope=f"{side}/value/net")

    def create_optimizers(self) -> None:
        """Add "value"."""
        adam = self.args.optimizer == "adam"
        self.add_optimizer(
            "value",
            "main/value",
            kind=self.args.optimizer,
            learning_rate=self.args.q_lr,
            epsilon=self.args.Adam_eps if adam else self.args.RMSProp_eps,
            decay=self.args.RMSProp_decay,
        )

    def convert_batch(self, batch: Any) -> dict[str, NDArray[Any]]:  # noqa: ANN401  see `batch_arrays`
        """Return the arrays of `input_shapes` from a batch; actions may be numbers."""
        return encode_actions(super().convert_batch(batch), self.action_size)

    def pi_losses(self, batch: Tensors, noise: Tensors) -> Losses:
        """Return nothing: there is no policy."""
        return Losses({}, {})

    def q_losses(self, batch: Tensors, noise: Tensors) -> Losses:
        """Return the mean Huber loss (delta 1) of Q(s, a) - y."""
        target = self.value_target(batch, noise)
        all_q = self.networks["value"](batch["obs"])
        q = tf.reduce_sum(all_q * batch["acts"], axis=1, keepdims=True)
        # tf.losses.huber_loss casts to float32 (tensorflow 2.21, python/ops/losses/losses_impl.py).
        error = tf.abs(q - target)
        capped = tf.minimum(error, 1.0)
        q_loss = tf.reduce_mean(0.5 * tf.square(capped) + (error - capped))
        return Losses({"value": q_loss}, {"Q_loss": q_loss})

    def value_target(self, batch: Tensors, noise: Tensors) -> tf.Tensor:
        """Return y = r + (1 - d) gamma Q'(s', a), (batch, 1); no gradient flows through it.

        a is the best action by the target network, or by the online one if `double`.
        """
        next_q = self.networks["target_value"](batch["obs_next"])
        if self.args.double:
            best = tf.argmax(self.networks["value"](batch["obs_next"]), axis=1)
            q = tf.gather(next_q, best, batch_dims=1)[:, None]
        else:
            q = tf.reduce_max(next_q, axis=1, keepdims=True)
        return tf.stop_gradient(batch["rews"] + (1.0 - batch["done"]) * self.args.gamma * q)

    def greedy_action(self, observation: tf.Tensor) -> tf.Tensor:
        """Return the numbers (batch,) of the best actions."""
        return tf.argmax(self.networks["value"](observation), axis=1)

    def exploring_action(self, observation: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """Return the best actions: `step` replaces some of them."""
        return self.greedy_action(observation)

    def step_figures(self, observation: tf.Tensor, noise: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return "Q_average", max(Q(s, a))."""
        self._q_values = q = self.networks["value"](observation)
        return {"Q_average": tf.reduce_max(q, axis=1, keepdims=True)}

    def step(
        self,
        observation: NDArray[np.floating],
        explore: bool = False,
        test_info: bool = False,
        noise: NDArray[np.floating] | None = None,
    ) -> Any:  # noqa: ANN401  as in the original: one value or two
        """Return the number of an action, (batch,) for several observations.

        Args:
            observation: (*observation) or (batch, *observation), up to 255.
            explore: take random actions at the rate `epsilon`, and count the steps.
            test_info: also return the figures of the step; never random before the warm-up is over.
            noise: (batch, 2), uniform in [0, 1): whether an action is random, and which; None: drawn here if needed.

        Returns:
            Action; with `test_info` a pair of it and a dictionary of floats.
        """
        single = np.ndim(observation) == len(self.args.obs_dims)
        rows = np.asarray(observation)[None] if single else np.asarray(observation)
        found = super().step(rows, explore=False, test_info=test_info)
        actions, figures = found if test_info else (found, {})
        warming_up = self.warming_up and not test_info
        if explore or warming_up:
            drawn = self.rng.random((len(rows), 2)) if noise is None else np.reshape(noise, (-1, 2))
            rate = 1.0 if warming_up else self.epsilon
            actions = choose_actions(actions, self.action_size, rate, drawn)
        if explore:
            self.counters["environment"] += len(rows)
        chosen = actions[0] if single else actions
        return (chosen, figures) if test_info else chosen

    def train(self, batch: Any, noise: Noise | None = None) -> dict[str, float]:  # noqa: ANN401
        """Do `train_q`."""
        return self.train_q(batch, noise)

    def target_update(self) -> None:
        """Copy the trained network into the target network."""
        self.target_init()
        self.counters["target"] += 1

    def act(
        self, observation: NDArray[np.floating], rng: np.random.Generator, *, explore: bool
    ) -> NDArray[np.floating]:
        """Return `step` with noise from `rng`, which is drawn from only if `explore`."""
        rows, _ = self._rows(observation)
        noise = rng.random((len(rows), 2)) if explore else None
        actions: NDArray[np.floating] = self.step(observation, explore, noise=noise)
        return actions

    def get_q_values(self, observation: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the values of all actions: (actions,) for one observation, (batch, actions) for several."""
        rows, single = self._rows(observation)
        feed = {self._inputs["obs"]: rows}
        values: NDArray[np.floating] = self.session.run(self._q_values, feed)
        return values[0] if single else values

    def _create_value(self) -> MLPValueDQN | ConvValueDQN:
        shape, actions = tuple(self.args.obs_dims), self.action_size
        if len(shape) == 1:
            units = hidden_sizes(self.args, (256, 256))
            return MLPValueDQN(shape[0], actions, hidden_sizes=units, dtype=self.dtype)
        height, width, channels = shape
        return ConvValueDQN(
            (height, width, channels),
            actions,
            dueling=self.args.dueling,
            dtype=self.dtype,
            **convolution_sizes(self.args),
        )

    def _rows(self, observation: NDArray[np.floating]) -> tuple[NDArray[np.floating], bool]:
        rows, single = super()._rows(observation)
        return rows / np.asarray(MAX_INTENSITY, rows.dtype), single
