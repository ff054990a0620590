"""The DQN agent of the migration guide: plain, double and dueling.

Mirror: torch_impl/dqn.py has the same names in the same order, so the difference of the two files is the migration;
so do networks.py, losses.py and devices.py. Replay memory and training loop are in `experience`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from experience.agent import Batch, Noise
from experience.buffers import ReplayMemory
from experience.dqn_rules import (
    check_settings,
    choose_actions,
    empty_history,
    explain_action,
)
from experience.evaluation import Environment
from experience.guide_training import train_by_guide
from experience.schedules import decay_epsilon
from experience.shapes import check_rows, check_shapes
from experience.training import TrainingResult
from legacy_tf.devices import describe_device, find_device
from legacy_tf.losses import TensorBatch, q_learning_loss
from legacy_tf.networks import DQNetwork, build_trainer, read_weights, write_weights

__all__ = ["DQNAgent", "DQNetwork"]

STYLES = ("function", "train_on_batch", "fit")


class DQNAgent:
    """DQN with epsilon-greedy exploration, a replay memory and a hard-copied target network.

    Attributes:
        q_network: online network, compiled with the agent's optimizer so that its file has both.
        target_network: copy of the online network as of the last `update_target`.
        memory: the last `memory_size` transitions.
        epsilon: present exploration rate.
        history: figures per episode: "rewards", "lengths", "losses", "epsilons".
        configuration: the arguments as plain data, `style` included.

    Args:
        state_size: numbers in an observation.
        action_size: number of actions.
        hidden_sizes: units of the hidden layers.
        dropout: rate, in [0, 1), or one for each dropout layer; active on Q(observation, action) in training, nowhere else.
        dueling: value and advantage heads.
        double: the online network chooses the action of the target (van Hasselt et al. 2016).
        learning_rate: of Adam.
        gamma: discount per step.
        epsilon: first exploration rate.
        epsilon_min: no decay at or below it, so epsilon ends slightly under it.
        epsilon_decay: factor per replay that trains, not per episode.
        batch_size: transitions per update.
        memory_size: transitions kept.
        gradient_clip: limit of the global gradient norm; None: no clipping.
        loss: "mse" or "huber".
        dtype: "float32" or "float64".
        seed: of initial weights and dropout.
        style: how Keras is called. "function": one `tf.function` for the whole update. "train_on_batch": Keras'
            own step on a compiled model. "fit": `fit` and `predict` for every step, as the guide does. All three
            give the same update; they differ in time only.

    Raises:
        ValueError: A setting is out of range, or `fit` is asked for float64, which it would feed as float32.
    """

    def __init__(
        self,
        state_size: int = 12,
        action_size: int = 5,
        *,
        hidden_sizes: Sequence[int] = (128, 64, 32),
        dropout: float | Sequence[float] = 0.2,
        dueling: bool = False,
        double: bool = False,
        learning_rate: float = 0.001,
        gamma: float = 0.95,
        epsilon: float = 1.0,
        epsilon_min: float = 0.01,
        epsilon_decay: float = 0.995,
        batch_size: int = 32,
        memory_size: int = 10_000,
        gradient_clip: float | None = 1.0,
        loss: str = "mse",
        dtype: str = "float32",
        seed: int = 0,
        style: str = "function",
    ) -> None:
        # Any: read back as keyword arguments of several types.
        self.configuration: dict[str, Any] = {
            "state_size": state_size,
            "action_size": action_size,
            "hidden_sizes": list(hidden_sizes),
            "dropout": dropout if isinstance(dropout, (int, float)) else list(dropout),
            "dueling": dueling,
            "double": double,
            "learning_rate": learning_rate,
            "gamma": gamma,
            "epsilon": epsilon,
            "epsilon_min": epsilon_min,
            "epsilon_decay": epsilon_decay,
            "batch_size": batch_size,
            "memory_size": memory_size,
            "gradient_clip": gradient_clip,
            "loss": loss,
            "dtype": dtype,
            "seed": seed,
            "style": style,
        }
        check_settings(self.configuration)
        _check_style(style, dtype)
        self.device = find_device("auto")
        self.state_size, self.action_size = state_size, action_size
        self.gamma, self.double, self.loss = gamma, double, loss
        self.epsilon, self.epsilon_min, self.epsilon_decay = epsilon, epsilon_min, epsilon_decay
        self.batch_size, self.dtype = batch_size, dtype
        # A mask has its dropout layer's input shape: the units of the layer before.
        self._mask_units = {f"dropout{i}": units for i, units in enumerate(hidden_sizes[:-1], 1)}
        self.history = empty_history()
        self.memory = ReplayMemory(memory_size, (state_size,), observation_dtype=dtype)
        networks = [
            DQNetwork(
                state_size,
                action_size,
                hidden_sizes=hidden_sizes,
                dropout=dropout,
                dueling=dueling,
                dtype=dtype,
                seed=seed,
            )
            for _ in range(2)
        ]
        self.q_network, self.target_network = networks
        self.optimizer = keras.optimizers.Adam(learning_rate, global_clipnorm=gradient_clip)
        self.optimizer.build(self.q_network.trainable_variables)
        # The loss classes compute in float32 unless told otherwise (keras 3.15.1, losses/loss.py).
        criteria = {"mse": keras.losses.MeanSquaredError, "huber": keras.losses.Huber}
        self.q_network.compile(self.optimizer, criteria[loss](dtype=dtype))
        self._style = style
        if style == "function":
            self._step = tf.function(self._train_step, reduce_retracing=True)
            self._values = tf.function(self.q_network, reduce_retracing=True)
        else:
            self._trainer = build_trainer(
                self.q_network, self.optimizer, criteria[loss](dtype=dtype)
            )

    def act(
        self, observation: NDArray[np.floating], rng: np.random.Generator, *, explore: bool
    ) -> NDArray[np.int64]:
        """Return the greedy action of every observation, or with probability epsilon a random one.

        A call that explores always draws the same numbers from `rng`, whatever the outcome.

        Args:
            observation: (batch, state), or (state,) for one.
            rng: drawn from only if `explore`.
            explore: False: greedy.

        Returns:
            (batch,), or 0-d for one observation.

        Raises:
            ValueError: The observation has another length.
        """
        rows = check_rows(observation, self.state_size, self.dtype)
        if explore:
            actions = choose_actions(
                lambda: self._greedy(rows), len(rows), self.action_size, self.epsilon, rng
            )
        else:
            actions = self._greedy(rows)
        return actions.reshape(np.shape(observation)[:-1])

    def remember(
        self,
        observation: NDArray[np.floating],
        action: int,
        reward: float,
        next_observation: NDArray[np.floating],
        terminated: bool,
    ) -> None:
        """Store one transition; the oldest one goes when the memory is full."""
        self.memory.add(observation, action, reward, next_observation, terminated)

    def replay(self, rng: np.random.Generator) -> float:
        """Train on a random batch, decay epsilon, and return the loss; 0.0 while there is less than a batch."""
        if len(self.memory) < self.batch_size:
            return 0.0
        loss = self.update(self.memory.sample(self.batch_size, rng))["loss"]
        self.epsilon = decay_epsilon(
            self.epsilon, epsilon_min=self.epsilon_min, epsilon_decay=self.epsilon_decay
        )
        return loss

    def update_many(self, count: int, rng: np.random.Generator) -> float:
        """Do `count` replays and return their mean loss; Keras has nothing faster than one by one."""
        if len(self.memory) < self.batch_size or count < 1:
            return 0.0
        return float(np.mean([self.replay(rng) for _ in range(count)]))

    def update(self, batch: Batch, noise: Noise | None = None) -> dict[str, float]:
        """Take one gradient step.

        Args:
            batch: transitions.
            noise: dropout masks by layer name, (batch, units); None: drawn by the layers. Ones switch dropout off.
                With style "function" only: Keras' own training step takes no masks.

        Returns:
            "loss": before the step; Keras' own training step rounds it to float32.

        Raises:
            ValueError: Shapes or names of masks do not fit, or the style takes none.
        """
        if self._style == "function":
            return {"loss": float(self._step(self._tensors(batch), self._masks(batch, noise)))}
        if noise is not None:
            msg = f"style {self._style!r} draws its own dropout masks; feed noise with style='function'"
            raise ValueError(msg)
        return {"loss": self._keras_step(batch)}

    def loss_and_gradients(
        self, batch: Batch, noise: Noise | None = None
    ) -> tuple[float, dict[str, NDArray[np.floating]]]:
        """Return the loss and its unclipped gradients, named and laid out as in `get_weights`; nothing changes."""
        loss, gradients = self._gradients(self._tensors(batch), self._masks(batch, noise))
        names = (variable.path for variable in self.q_network.trainable_variables)
        return float(loss), read_weights(dict(zip(names, gradients, strict=True)))

    def update_target(self) -> None:
        """Copy the online network into the target network."""
        self.target_network.set_weights(self.q_network.get_weights())

    def train(
        self,
        environment: Environment,
        episodes: int = 1000,
        *,
        rng: np.random.Generator | None = None,
        update_target_freq: int = 10,
        save_path: str | Path | None = None,
        tensorboard_log: str | Path | bool | None = None,
    ) -> TrainingResult:
        """Train as the guide does; `experience.training.train` has all that can be set.

        Args:
            environment: of Gymnasium, or `experience.environments.language_learning`.
            episodes: to play.
            rng: None: from the agent's seed.
            update_target_freq: episodes between two copies of the target network.
            save_path: for `save`, every 100 episodes and at the end.
            tensorboard_log: folder for TensorBoard; True: runs/guide, False: none, as the guide's agent has it.

        Returns:
            The figures of the run; those of every episode are in `history`.
        """
        return train_by_guide(
            self,
            environment,
            episodes,
            rng=rng or np.random.default_rng(self.configuration["seed"]),
            update_target_freq=update_target_freq,
            save_path=save_path,
            tensorboard_log=tensorboard_log,
        )

    def get_weights(self) -> dict[str, NDArray[np.floating]]:
        """Return copies of the online network's weights: "fc1/kernel" (in, out), "fc1/bias" (out,), ..."""
        return read_weights({v.path: v for v in self.q_network.trainable_variables})

    def set_weights(self, weights: Mapping[str, NDArray[np.floating]]) -> None:
        """Set the online network's weights; the target network keeps its own until `update_target`.

        Raises:
            ValueError: A name is missing or unknown, or a shape differs; nothing is changed then.
        """
        write_weights(self.q_network, weights)

    def get_q_values(self, state: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the values of all actions: (actions,) for one state, (batch, actions) for several."""
        rows = check_rows(state, self.state_size, self.dtype)
        values = self._evaluate(self.q_network, rows)
        return values.reshape(*np.shape(state)[:-1], self.action_size)

    def get_action_explanation(self, state: NDArray[np.floating]) -> dict[str, object]:
        """Return the greedy action of one state and why; keys as `experience.dqn_rules.explain_action` says."""
        return explain_action(self.get_q_values(state), self.epsilon)

    def get_device_info(self) -> dict[str, object]:
        """Return where the agent runs; keys as `devices.describe_device` says."""
        return describe_device(self.device)

    def save(self, path: str | Path) -> None:
        """Write everything but the replay memory; training goes on from it bit by bit.

        Three files: `<path>.keras`, the online network with its optimizer; `<path>_target.weights.h5`;
        `<path>_params.json`, which also has the state of dropout, because Keras stores none.
        """
        stem = _stem(path)
        self.q_network.save(f"{stem}.keras")
        self.target_network.save_weights(f"{stem}_target.weights.h5")
        parameters = {
            "class": "DQNAgent",
            "configuration": self.configuration,
            "epsilon": self.epsilon,
            "history": self.history,
            "dropout_seeds": [seed.numpy().tolist() for seed in self._dropout_seeds()],
        }
        Path(f"{stem}_params.json").write_text(json.dumps(parameters, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path, **settings: Any) -> Self:  # noqa: ANN401  of the constructor
        """Return the agent of a `save`.

        Args:
            path: with or without `.keras`.
            settings: arguments of the constructor that replace what the files say.

        Raises:
            ValueError: The files are not of a network of these settings.
        """
        stem = _stem(path)
        stored = json.loads(Path(f"{stem}_params.json").read_text(encoding="utf-8"))
        agent = cls(**{**stored["configuration"], **settings})
        agent.q_network.load_weights(f"{stem}.keras")  # the optimizer's state, too
        agent.target_network.load_weights(f"{stem}_target.weights.h5")
        if "learning_rate" in settings:
            agent.optimizer.learning_rate = settings["learning_rate"]
        agent.epsilon = settings.get("epsilon", stored["epsilon"])
        agent.history = stored["history"]
        for seed, state in zip(agent._dropout_seeds(), stored["dropout_seeds"], strict=True):
            seed.assign(state)
        return agent

    def save_weights(self, path: str | Path) -> None:
        """Write the online network's weights to a name that ends in `.weights.h5`.

        Raises:
            ValueError: It does not; Keras 2, which the guide was written for, took `model.h5`.
        """
        if not str(path).endswith(".weights.h5"):
            name = f"{Path(path).name.split('.')[0]}.weights.h5"
            msg = (
                f"{path}: Keras 3 stores weights only under names ending in .weights.h5; use {name}"
            )
            raise ValueError(msg)
        self.q_network.save_weights(path)

    def load_weights(self, path: str | Path) -> None:
        """Read what `save_weights` wrote into the online network."""
        self.q_network.load_weights(path)

    def _tensor(self, array: NDArray[Any]) -> tf.Tensor:
        return tf.convert_to_tensor(np.asarray(array, dtype=self.dtype))

    def _greedy(self, rows: NDArray[np.floating]) -> NDArray[np.int64]:
        return np.argmax(self._evaluate(self.q_network, rows), axis=1)

    def _evaluate(self, network: keras.Model, rows: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the values of (batch, state) without dropout, by a call in the agent's style."""
        if self._style == "fit":
            values = network.predict(rows, verbose=0)
        elif self._style == "train_on_batch":
            values = network(rows, training=False).numpy()
        else:
            values = self._values(self._tensor(rows), training=False).numpy()
        return values

    def _tensors(self, batch: Batch) -> TensorBatch:
        return TensorBatch(
            self._tensor(check_rows(batch.observation, self.state_size, self.dtype)),
            tf.convert_to_tensor(np.asarray(batch.action, dtype=np.int64)),
            self._tensor(batch.reward),
            self._tensor(check_rows(batch.next_observation, self.state_size, self.dtype)),
            self._tensor(batch.terminated),
        )

    def _masks(self, batch: Batch, noise: Noise | None) -> dict[str, tf.Tensor] | None:
        """Return the masks as tensors. Raises ValueError where names or shapes do not fit."""
        if noise is None:
            return None
        rows = len(batch.observation)
        needed = {name: (rows, units) for name, units in self._mask_units.items()}
        check_shapes("noise arrays", noise, needed)
        return {name: self._tensor(mask) for name, mask in noise.items()}

    def _gradients(
        self, batch: TensorBatch, noise: Mapping[str, tf.Tensor] | None
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            loss = q_learning_loss(
                self.q_network,
                self.target_network,
                batch,
                noise,
                gamma=self.gamma,
                double=self.double,
                loss=self.loss,
            )
        return loss, tape.gradient(loss, self.q_network.trainable_variables)

    def _train_step(self, batch: TensorBatch, noise: Mapping[str, tf.Tensor] | None) -> tf.Tensor:
        loss, gradients = self._gradients(batch, noise)
        self.optimizer.apply(gradients, self.q_network.trainable_variables)
        return loss

    def _keras_step(self, batch: Batch) -> float:
        """Train with Keras' own step: targets in numpy first, then `fit` or `train_on_batch` on them."""
        rows = check_rows(batch.next_observation, self.state_size, self.dtype)
        next_q = self._evaluate(self.target_network, rows)
        best = np.argmax(self._evaluate(self.q_network, rows) if self.double else next_q, axis=1)
        next_value = next_q[np.arange(len(rows)), best]
        going_on = 1 - np.asarray(batch.terminated, dtype=self.dtype)
        target = np.asarray(batch.reward, dtype=self.dtype) + self.gamma * going_on * next_value
        observation = check_rows(batch.observation, self.state_size, self.dtype)
        chosen = np.eye(self.action_size, dtype=self.dtype)[np.asarray(batch.action)]
        if self._style == "train_on_batch":
            return float(self._trainer.train_on_batch([observation, chosen], target[:, None]))
        history = self._trainer.fit(
            [observation, chosen],
            target[:, None],
            batch_size=len(rows),
            epochs=1,
            shuffle=False,
            verbose=0,
        )
        return float(history.history["loss"][0])

    def _dropout_seeds(self) -> list[Any]:
        """Return the variables that dropout draws from; none at rate 0."""
        layers = self.q_network.layers
        return [
            v for layer in layers for v in layer.variables if v.path.endswith("generator_state")
        ]


def _check_style(style: str, dtype: str) -> None:
    if style not in STYLES:
        msg = f"style {style!r}; needed one of {', '.join(STYLES)}"
        raise ValueError(msg)
    if style == "fit" and dtype == "float64":
        # keras 3.15.1, trainers/data_adapters/array_slicing.py casts arrays to floatx.
        msg = "style 'fit' feeds its arrays as float32; use style='function' or 'train_on_batch' for float64"
        raise ValueError(msg)


def _stem(path: str | Path) -> str:
    return str(path).removesuffix(".keras")
