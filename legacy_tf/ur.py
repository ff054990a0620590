"""The trainer of the two networks for the Royal Game of Ur: steps, epochs, weights, files.

Mirror: torch_impl/ur.py has the same names in the same order, and so has ur_networks.py. Samples, epochs and files of the
training run are in `experience`.
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

from experience.agent import Noise
from experience.shapes import check_rows, check_shapes
from experience.ur_networks import (
    FEATURES,
    HIDDEN_SIZES,
    OUTPUTS,
    PIECES,
    UrBatch,
    batch_rows,
    check_settings,
    choose_pieces,
    mask_units,
)
from legacy_tf.devices import describe_device, find_device
from legacy_tf.networks import read_weights, write_weights
from legacy_tf.torch_adam import TorchAdam
from legacy_tf.ur_networks import UrNetworks, run_layers


class UrTrainer:
    """Trains both networks on positions that an expert has judged.

    Attributes:
        networks: one model of both; dropout is on in training passes only.
        configuration: the arguments as plain data.

    Args:
        hidden_sizes: units of the hidden layers of each network.
        dropout: rate behind every hidden layer, in [0, 1).
        learning_rate: of Adam.
        batch_size: positions per step.
        value_loss: "mse" or "huber" (quadratic up to an error of 1).
        policy_loss: "cross_entropy" of the logits, "double_softmax" as the original computes it, or "kl".
        dtype: "float32" or "float64".
        seed: of initial weights and dropout.

    Raises:
        ValueError: A setting is out of range.
    """

    def __init__(
        self,
        *,
        hidden_sizes: Sequence[int] = HIDDEN_SIZES,
        dropout: float = 0.1,
        learning_rate: float = 0.001,
        batch_size: int = 32,
        value_loss: str = "mse",
        policy_loss: str = "cross_entropy",
        dtype: str = "float32",
        seed: int = 0,
    ) -> None:
        # Any: read back as keyword arguments of several types.
        self.configuration: dict[str, Any] = {
            "hidden_sizes": list(hidden_sizes),
            "dropout": dropout,
            "learning_rate": learning_rate,
            "batch_size": batch_size,
            "value_loss": value_loss,
            "policy_loss": policy_loss,
            "dtype": dtype,
            "seed": seed,
        }
        check_settings(self.configuration)
        self.device = find_device("auto")
        self.batch_size, self.dtype = batch_size, dtype
        self.networks = UrNetworks(
            hidden_sizes=hidden_sizes, dropout=dropout, dtype=dtype, seed=seed
        )
        self._mask_units = mask_units(hidden_sizes)
        self._rate = tf.Variable(learning_rate, dtype=tf.float64, trainable=False)
        # One optimizer for each network, as the original has it.
        self._optimizers = [TorchAdam(self._trained(name), self._rate) for name in OUTPUTS]
        self._step = tf.function(self._train_step, reduce_retracing=True)
        self._both = tf.function(self.networks, reduce_retracing=True)

    def act(
        self, observation: NDArray[np.floating], rng: np.random.Generator, *, explore: bool
    ) -> NDArray[np.int64]:
        """Return the piece of every position that the policy prefers, or with `explore` one drawn from it.

        Args:
            observation: (batch, 150), or (150,) for one.
            rng: drawn from only if `explore`.
            explore: draw with the policy's probabilities.

        Returns:
            (batch,), or 0-d for one position.

        Raises:
            ValueError: The position has another length.
        """
        rows = check_rows(observation, FEATURES, self.dtype)
        pieces = choose_pieces(self.get_policy, rows, rng, explore=explore)
        return pieces.reshape(np.shape(observation)[:-1])

    def update(self, batch: UrBatch, noise: Noise | None = None) -> dict[str, float]:
        """Take one gradient step.

        Args:
            batch: positions.
            noise: dropout masks by network and layer, (batch, units); None: drawn by the layers. Ones switch dropout off.

        Returns:
            "loss", "value_loss" and "policy_loss", before the step.

        Raises:
            ValueError: Shapes or names of masks do not fit.
        """
        losses = self._step(self._tensors(batch), self._masks(batch, noise))
        return _name_losses(losses.numpy().tolist())

    def train_epoch(self, samples: UrBatch, order: NDArray[np.int64]) -> dict[str, float]:
        """Take one step on every batch of the rows in `order`.

        Returns:
            Means of "loss", "value_loss" and "policy_loss" over the positions, each before its step.
        """
        total = np.zeros(2)
        for rows in batch_rows(order, self.batch_size):
            total += len(rows) * self._step(self._tensors(samples.rows(rows)), None).numpy()
        return _name_losses((total / len(order)).tolist())

    def measure(self, samples: UrBatch) -> dict[str, float]:
        """Return the mean losses over the positions without dropout; nothing changes."""
        total = np.zeros(2)
        for rows in batch_rows(np.arange(len(samples.observation)), 4_096):
            tensors = self._tensors(samples.rows(rows))
            total += len(rows) * self._losses(tensors, None, training=False).numpy()
        return _name_losses((total / len(samples.observation)).tolist())

    def loss_and_gradients(
        self, batch: UrBatch, noise: Noise | None = None
    ) -> tuple[float, dict[str, NDArray[np.floating]]]:
        """Return the loss and its gradients, named and laid out as in `get_weights`; nothing changes."""
        losses, gradients = self._gradients(self._tensors(batch), self._masks(batch, noise))
        names = (name for name, _ in self._named_variables())
        found = dict(zip(names, [*gradients[0], *gradients[1]], strict=True))
        return float(tf.reduce_sum(losses)), read_weights(found)

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the rate of the next steps."""
        self._rate.assign(learning_rate)

    def get_weights(self) -> dict[str, NDArray[np.floating]]:
        """Return copies of all weights: "value/fc1/kernel" (in, out), "value/fc1/bias" (out,), ..., "policy/..."."""
        return read_weights(dict(self._named_variables()))

    def set_weights(self, weights: Mapping[str, NDArray[np.floating]]) -> None:
        """Set all weights.

        Raises:
            ValueError: A name is missing or unknown, or a shape differs; nothing is changed then.
        """
        needed = {name: tuple(variable.shape) for name, variable in self._named_variables()}
        check_shapes("weights", weights, needed)
        for network in OUTPUTS:
            own = {
                name.removeprefix(f"{network}/"): array
                for name, array in weights.items()
                if name.startswith(f"{network}/")
            }
            write_weights(self._network(network), own)

    def get_values(self, observation: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the value of every position: (batch,), or 0-d for one."""
        rows = check_rows(observation, FEATURES, self.dtype)
        values: NDArray[np.floating] = self._both(self._tensor(rows), training=False)[0].numpy()
        return values.reshape(np.shape(observation)[:-1])

    def get_policy(self, observation: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the probabilities of the pieces: (batch, 7), or (7,) for one position."""
        rows = check_rows(observation, FEATURES, self.dtype)
        policy: NDArray[np.floating] = self._both(self._tensor(rows), training=False)[1].numpy()
        return policy.reshape(*np.shape(observation)[:-1], PIECES)

    def get_device_info(self) -> dict[str, object]:
        """Return where the networks are; keys as `devices.describe_device` says."""
        return describe_device(self.device)

    def save(self, path: str | Path) -> None:
        """Write networks, Adam's state and dropout's; training goes on from it bit by bit.

        Three files: `<path>.keras`, the model of both networks; `<path>_training.npz`, the variables of the two
        optimizers and of dropout, which Keras does not store; `<path>_params.json`, the configuration.
        """
        stem = _stem(path)
        self.networks.save(f"{stem}.keras")
        arrays = {str(i): v.numpy() for i, v in enumerate(self._training_variables())}
        with Path(f"{stem}_training.npz").open("wb") as file:
            np.savez(file, **arrays)
        text = json.dumps({"class": "UrTrainer", "configuration": self.configuration}, indent=1)
        Path(f"{stem}_params.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path, **settings: Any) -> Self:  # noqa: ANN401  of the constructor
        """Return the trainer of a `save`.

        Args:
            path: with or without `.keras`.
            settings: arguments of the constructor that replace what the files say.

        Raises:
            ValueError: The files are not of networks of these settings.
        """
        stem = _stem(path)
        stored = json.loads(Path(f"{stem}_params.json").read_text(encoding="utf-8"))
        trainer = cls(**{**stored["configuration"], **settings})
        trainer.networks.load_weights(f"{stem}.keras")
        with np.load(f"{stem}_training.npz") as arrays:
            for index, variable in enumerate(trainer._training_variables()):
                variable.assign(arrays[str(index)])
        if "learning_rate" in settings:
            trainer.set_learning_rate(settings["learning_rate"])
        return trainer

    def _network(self, name: str) -> keras.Model:
        return self.networks.get_layer(name)

    def _trained(self, name: str) -> list[tf.Variable]:
        # Keras' variables hold TensorFlow's, which the optimizer's kernel writes to.
        return [variable.value for variable in self._network(name).trainable_variables]

    def _named_variables(self) -> list[tuple[str, Any]]:  # Any: Keras' own, untyped
        return [
            (f"{name}/{variable.path}", variable)
            for name in OUTPUTS
            for variable in self._network(name).trainable_variables
        ]

    def _training_variables(self) -> list[Any]:  # Any: Keras' own, untyped
        """Return the variables of the optimizers and of dropout, in an order that is always the same."""
        own = [
            variable
            for optimizer in self._optimizers
            for variable in (optimizer.iterations, *optimizer.moments[0], *optimizer.moments[1])
        ]
        dropout = (v for v in self.networks.variables if v.path.endswith("generator_state"))
        return [self._rate, *own, *dropout]

    def _tensor(self, array: NDArray[Any]) -> tf.Tensor:
        return tf.convert_to_tensor(np.asarray(array, dtype=self.dtype))

    def _tensors(self, batch: UrBatch) -> tuple[tf.Tensor, ...]:
        check_rows(batch.observation, FEATURES, self.dtype)
        return tuple(self._tensor(field) for field in batch)

    def _masks(self, batch: UrBatch, noise: Noise | None) -> dict[str, tf.Tensor] | None:
        """Return the masks as tensors. Raises ValueError where names or shapes do not fit."""
        if noise is None:
            return None
        rows = len(batch.observation)
        needed = {name: (rows, units) for name, units in self._mask_units.items()}
        check_shapes("noise arrays", noise, needed)
        return {name: self._tensor(mask) for name, mask in noise.items()}

    def _losses(
        self,
        batch: Sequence[tf.Tensor],
        noise: Mapping[str, tf.Tensor] | None,
        *,
        training: bool = True,
    ) -> tf.Tensor:
        """Return the mean value loss and the mean policy loss over the batch, (2,)."""
        features, value_target, policy_target = batch
        value = run_layers(self._network("value"), features, noise, training=training)[:, 0]
        logits = run_layers(self._network("policy"), features, noise, training=training)
        return tf.stack(
            [
                _value_loss(tf.tanh(value), value_target, kind=self.configuration["value_loss"]),
                _policy_loss(logits, policy_target, kind=self.configuration["policy_loss"]),
            ]
        )

    def _gradients(
        self, batch: Sequence[tf.Tensor], noise: Mapping[str, tf.Tensor] | None
    ) -> tuple[tf.Tensor, list[list[tf.Tensor]]]:
        """Return the losses, and for each network the gradients of their sum."""
        with tf.GradientTape() as tape:
            losses = self._losses(batch, noise)
            total = tf.reduce_sum(losses)
        return losses, tape.gradient(total, [self._trained(name) for name in OUTPUTS])

    def _train_step(
        self, batch: Sequence[tf.Tensor], noise: Mapping[str, tf.Tensor] | None
    ) -> tf.Tensor:
        losses, gradients = self._gradients(batch, noise)
        for optimizer, own, name in zip(self._optimizers, gradients, OUTPUTS, strict=True):
            optimizer.apply(own, self._trained(name))
        return losses


def _value_loss(value: tf.Tensor, target: tf.Tensor, *, kind: str) -> tf.Tensor:
    """Return the mean of error**2 ("mse"), or of 0.5 * error**2 up to an error of 1 and |error| - 0.5 beyond ("huber")."""
    # The functions take one row of outputs for each example; the loss classes would compute in float32.
    function = keras.losses.mean_squared_error if kind == "mse" else keras.losses.huber
    return tf.reduce_mean(function(target[:, None], value[:, None]))


def _policy_loss(logits: tf.Tensor, target: tf.Tensor, *, kind: str) -> tf.Tensor:
    """Return the mean loss of a policy over the batch; the formulas are in torch_impl/ur_steps.py."""
    if kind == "double_softmax":
        logits = tf.nn.softmax(logits)
    cross_entropy = -tf.reduce_sum(target * tf.nn.log_softmax(logits), axis=1)
    if kind == "kl":
        entropy = -tf.reduce_sum(tf.math.xlogy(target, target), axis=1)
        return tf.reduce_mean(cross_entropy - entropy)
    return tf.reduce_mean(cross_entropy)


def _name_losses(losses: Sequence[float]) -> dict[str, float]:
    value, policy = losses
    return {"loss": value + policy, "value_loss": value, "policy_loss": policy}


def _stem(path: str | Path) -> str:
    return str(path).removesuffix(".keras")
