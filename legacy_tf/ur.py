"""The value and the policy network for the Royal Game of Ur, and the step that trains both.

Mirror: torch_impl/ur.py has the same names in the same order. Samples, epochs and files of the training run are in
`experience`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
from keras import layers
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

__all__ = ["PolicyNetwork", "UrNetworks", "UrTrainer", "ValueNetwork"]


def ValueNetwork(  # noqa: N802  the rewrite has a class of this name
    input_size: int = FEATURES,
    hidden_sizes: Sequence[int] = HIDDEN_SIZES,
    *,
    dropout: float = 0.1,
    dtype: str = "float32",
    seed: int = 0,
) -> keras.Model:
    """How good a position is for player 2, from -1 to 1: 81,921 parameters with the original's sizes.

    Hidden layers fc1, fc2, ... with ReLU, dropout behind each, then one unit with tanh. Kernels and biases are drawn
    as `torch.nn.Linear` draws them, uniformly up to 1/sqrt(in). An ordinary functional model: any Keras reads its file.

    Args:
        input_size: numbers in a position.
        hidden_sizes: units of the hidden layers.
        dropout: rate behind every hidden layer.
        dtype: "float32" or "float64".
        seed: of the initial weights and of dropout.
    """
    own_seed = seed * 1000 + 1
    features = keras.Input((input_size,), dtype=dtype, name="features")
    x = _add_layers(features, hidden_sizes, dropout=dropout, dtype=dtype, seed=own_seed)
    x = _dense(x, f"fc{len(hidden_sizes) + 1}", 1, dtype=dtype, seed=own_seed)
    return keras.Model(
        features, layers.Activation("tanh", name="tanh", dtype=dtype)(x), name="value"
    )


def PolicyNetwork(  # noqa: N802  the rewrite has a class of this name
    input_size: int = FEATURES,
    hidden_sizes: Sequence[int] = HIDDEN_SIZES,
    *,
    dropout: float = 0.1,
    dtype: str = "float32",
    seed: int = 0,
) -> keras.Model:
    """How probable each of the seven pieces is as the expert's move: 82,119 parameters with the original's sizes.

    As `ValueNetwork`, with seven units and softmax at the end.

    Args:
        input_size: numbers in a position.
        hidden_sizes: units of the hidden layers.
        dropout: rate behind every hidden layer.
        dtype: "float32" or "float64".
        seed: of the initial weights and of dropout.
    """
    own_seed = seed * 1000 + 500
    features = keras.Input((input_size,), dtype=dtype, name="features")
    x = _add_layers(features, hidden_sizes, dropout=dropout, dtype=dtype, seed=own_seed)
    x = _dense(x, f"fc{len(hidden_sizes) + 1}", PIECES, dtype=dtype, seed=own_seed)
    return keras.Model(features, layers.Softmax(name="softmax", dtype=dtype)(x), name="policy")


def UrNetworks(  # noqa: N802  the rewrite has a class of this name
    input_size: int = FEATURES,
    hidden_sizes: Sequence[int] = HIDDEN_SIZES,
    *,
    dropout: float = 0.1,
    dtype: str = "float32",
    seed: int = 0,
) -> keras.Model:
    """Both networks as one model of two outputs, with the layers `value` and `policy`.

    Args:
        input_size: numbers in a position.
        hidden_sizes: units of the hidden layers of each network.
        dropout: rate behind every hidden layer.
        dtype: "float32" or "float64".
        seed: of the initial weights and of dropout.
    """
    settings: dict[str, Any] = {"dropout": dropout, "dtype": dtype, "seed": seed}
    features = keras.Input((input_size,), dtype=dtype, name="features")
    outputs = [
        build(input_size, hidden_sizes, **settings)(features)
        for build in (ValueNetwork, PolicyNetwork)
    ]
    return keras.Model(features, outputs, name="ur_networks")


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
        # One optimizer for each network, as the original has it.
        self._optimizers = [_TorchAdam(learning_rate) for _ in OUTPUTS]
        for optimizer, name in zip(self._optimizers, OUTPUTS, strict=True):
            optimizer.build(self._network(name).trainable_variables)
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
        for optimizer in self._optimizers:
            optimizer.exact_rate.assign(learning_rate)

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
            for variable in (*optimizer.variables, optimizer.exact_rate)
        ]
        dropout = (v for v in self.networks.variables if v.path.endswith("generator_state"))
        return [*own, *dropout]

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
        value = _run_layers(self._network("value"), features, noise, training=training)[:, 0]
        logits = _run_layers(self._network("policy"), features, noise, training=training)
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
        variables = [self._network(name).trainable_variables for name in OUTPUTS]
        return losses, tape.gradient(total, variables)

    def _train_step(
        self, batch: Sequence[tf.Tensor], noise: Mapping[str, tf.Tensor] | None
    ) -> tf.Tensor:
        losses, gradients = self._gradients(batch, noise)
        for optimizer, own, name in zip(self._optimizers, gradients, OUTPUTS, strict=True):
            optimizer.apply(own, self._network(name).trainable_variables)
        return losses


class _TorchAdam(keras.optimizers.Adam):
    """Adam as the original trainer has it: epsilon stands beside the bias-corrected root.

        p -= lr / (1 - beta_1**t) * m / (sqrt(v) / sqrt(1 - beta_2**t) + epsilon)

    keras 3.15.1 (optimizers/adam.py, update_step) has it beside sqrt(v), which is another number while beta_2**t is not
    small; and it rounds learning rate and betas to float32, which torch.optim.Adam does not: 5e-8 of every step.

    Attributes:
        exact_rate: the learning rate in float64; Keras' own has the dtype of `keras.config.floatx`.

    Args:
        learning_rate: step size.
    """

    def __init__(self, learning_rate: float = 0.001) -> None:
        super().__init__(learning_rate, epsilon=1e-8, name="adam")
        self.exact_rate = tf.Variable(learning_rate, trainable=False, dtype=tf.float64)

    def update_step(self, gradient: tf.Tensor, variable: Any, learning_rate: Any) -> None:  # noqa: ANN401
        """Do one step on one variable, in place; `exact_rate` takes the place of `learning_rate`."""
        step = tf.cast(self.iterations + 1, tf.float64)
        index = self._get_variable_index(variable)
        m, v = self._momentums[index], self._velocities[index]
        m.assign(m + (gradient - m) * (1 - self.beta_1))
        v.assign(v * self.beta_2 + (1 - self.beta_2) * tf.square(gradient))
        rest_1 = 1 - tf.pow(tf.constant(self.beta_1, tf.float64), step)
        rest_2 = 1 - tf.pow(tf.constant(self.beta_2, tf.float64), step)
        size = tf.cast(self.exact_rate / rest_1, variable.dtype)
        root = tf.sqrt(tf.convert_to_tensor(v)) / tf.cast(tf.sqrt(rest_2), variable.dtype)
        variable.assign(variable - size * (m / (root + self.epsilon)))


def _dense(x: Any, name: str, units: int, *, dtype: str, seed: int) -> Any:  # noqa: ANN401  Keras' own
    """Return the sums of a dense layer whose weights are drawn uniformly up to 1/sqrt(in)."""
    bound = 1 / np.sqrt(x.shape[-1])
    number = int(name.removeprefix("fc"))
    # One seed for all would give layers of one shape equal kernels.
    kernel, bias = (
        keras.initializers.RandomUniform(-bound, bound, seed=seed + 10 * number + offset)
        for offset in range(2)
    )
    return layers.Dense(
        units, kernel_initializer=kernel, bias_initializer=bias, name=name, dtype=dtype
    )(x)


def _add_layers(
    x: Any,  # noqa: ANN401  Keras' own
    hidden_sizes: Sequence[int],
    *,
    dropout: float,
    dtype: str,
    seed: int,
) -> Any:  # noqa: ANN401
    """Return the output of fc1, relu1, dropout1, fc2, ..."""
    for number, units in enumerate(hidden_sizes, start=1):
        x = _dense(x, f"fc{number}", units, dtype=dtype, seed=seed)
        x = layers.ReLU(name=f"relu{number}", dtype=dtype)(x)
        x = layers.Dropout(dropout, seed=seed + number, name=f"dropout{number}", dtype=dtype)(x)
    return x


def _run_layers(
    network: keras.Model,
    x: tf.Tensor,
    noise: Mapping[str, tf.Tensor] | None,
    *,
    training: bool,
) -> tf.Tensor:
    """Return the sums of the last dense layer; masks of `noise` take the dropout layers' places.

    A functional model cannot be handed masks, so its layers are called here one by one.
    """
    for layer in network.layers[1:-1]:
        if isinstance(layer, layers.Dropout):
            name = f"{network.name}/{layer.name}"
            x = layer(x, training=training) if noise is None else x * noise[name]
        else:
            x = layer(x)
    return x


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
