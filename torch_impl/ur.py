"""The trainer of the two networks for the Royal Game of Ur: steps, epochs, weights, files.

Mirror: legacy_tf/ur.py has the same names in the same order, and so has ur_networks.py. Samples, epochs and files of the
training run are in `experience`; how a step is made fast is in ur_steps.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

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
    layer_shapes,
    mask_units,
)
from torch_impl.arrays import to_tensor
from torch_impl.checkpoints import (
    CheckpointError,
    checkpoint_path,
    read_checkpoint,
    write_checkpoint,
)
from torch_impl.devices import describe_device, find_device
from torch_impl.dropout_masks import DropoutMasks
from torch_impl.networks import read_weights, write_weights
from torch_impl.ur_networks import UrNetworks
from torch_impl.ur_steps import UrSteps

BATCHES_PER_DRAW = 64
"""Batches of an epoch whose dropout masks are drawn together: one draw of 4 MB instead of 64 small ones."""


class UrTrainer:
    """Trains both networks on positions that an expert has judged.

    Attributes:
        networks: in eval mode; the masks of a training pass are drawn here and handed to them.
        configuration: the arguments as plain data, without those of the machine (device, amp).

    Args:
        hidden_sizes: units of the hidden layers of each network.
        dropout: rate behind every hidden layer, in [0, 1).
        learning_rate: of Adam.
        batch_size: positions per step.
        value_loss: "mse" or "huber" (quadratic up to an error of 1).
        policy_loss: "cross_entropy" of the logits, "double_softmax" as the original computes it, or "kl".
        dtype: "float32" or "float64".
        seed: of initial weights and dropout.
        device: "auto" (CUDA, else MPS, else the CPU) or the name of a device.
        amp: networks in half precision (float16 on CUDA, bfloat16 elsewhere), losses and Adam in float32.

    Raises:
        ValueError: A setting is out of range, or the device is not there.
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
        device: str = "auto",
        amp: bool = False,
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
        self.device = _find_device(device, dtype)
        self.batch_size, self.dtype = batch_size, dtype
        self.networks = UrNetworks(
            hidden_sizes=hidden_sizes, dropout=dropout, dtype=dtype, seed=seed
        )
        self.networks.eval().to(self.device)
        units = mask_units(hidden_sizes)
        rates = dict.fromkeys(units, dropout)
        self._masks = DropoutMasks(units, rates, dtype=dtype, seed=seed, device=self.device)
        self._steps = UrSteps(
            self.networks,
            value_loss=value_loss,
            policy_loss=policy_loss,
            learning_rate=learning_rate,
            amp=amp,
        )

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
            noise: dropout masks by network and layer, (batch, units); None: drawn here. Ones switch dropout off.

        Returns:
            "loss", "value_loss" and "policy_loss", before the step.

        Raises:
            ValueError: Shapes or names of masks do not fit.
        """
        losses = self._steps.take(
            self._tensors(batch), self._masks.take(len(batch.observation), noise)
        )
        return _name_losses(losses.tolist())

    def train_epoch(self, samples: UrBatch, order: NDArray[np.int64]) -> dict[str, float]:
        """Take one step on every batch of the rows in `order`.

        Returns:
            Means of "loss", "value_loss" and "policy_loss" over the positions, each before its step.
        """
        tensors = self._tensors(samples.rows(order))
        total = np.zeros(2)
        starts = range(0, len(order), self.batch_size)
        for first in range(0, len(starts), BATCHES_PER_DRAW):
            drawn = starts[first : first + BATCHES_PER_DRAW]
            masks = self._masks.draw(len(drawn), self.batch_size)
            sums = []
            for number, start in enumerate(drawn):
                rows = slice(start, start + self.batch_size)
                batch = tuple(field[rows] for field in tensors)
                size = len(batch[0])
                own = {name: mask[number, :size] for name, mask in masks.items()}
                sums.append(size * self._steps.take(batch, own))
            # Once for many steps: a GPU would be waited for at each.
            total += torch.stack(sums).cpu().numpy().sum(axis=0, dtype=np.float64)
        return _name_losses((total / len(order)).tolist())

    def measure(self, samples: UrBatch) -> dict[str, float]:
        """Return the mean losses over the positions without dropout; nothing changes."""
        total = np.zeros(2)
        with torch.inference_mode():
            for rows in batch_rows(np.arange(len(samples.observation)), 4_096):
                losses = self._steps.losses(self._tensors(samples.rows(rows)), {})
                total += len(rows) * losses.cpu().numpy().astype(np.float64)
        return _name_losses((total / len(samples.observation)).tolist())

    def loss_and_gradients(
        self, batch: UrBatch, noise: Noise | None = None
    ) -> tuple[float, dict[str, NDArray[np.floating]]]:
        """Return the loss and its gradients, named and laid out as in `get_weights`; nothing changes."""
        loss = self._steps.losses(
            self._tensors(batch), self._masks.take(len(batch.observation), noise)
        ).sum()
        parameters = dict(self.networks.named_parameters())
        gradients = torch.autograd.grad(loss, list(parameters.values()))
        return loss.item(), _by_keras_names(dict(zip(parameters, gradients, strict=True)))

    def set_learning_rate(self, learning_rate: float) -> None:
        """Set the rate of the next steps."""
        self._steps.set_learning_rate(learning_rate)

    def get_weights(self) -> dict[str, NDArray[np.floating]]:
        """Return copies of all weights: "value/fc1/kernel" (in, out), "value/fc1/bias" (out,), ..., "policy/..."."""
        return _by_keras_names(dict(self.networks.named_parameters()))

    def set_weights(self, weights: Mapping[str, NDArray[np.floating]]) -> None:
        """Set all weights.

        Raises:
            ValueError: A name is missing or unknown, or a shape differs; nothing is changed then.
        """
        needed = {name: array.shape for name, array in self.get_weights().items()}
        check_shapes("weights", weights, needed)
        for network in OUTPUTS:
            own = {
                name.removeprefix(f"{network}/"): array
                for name, array in weights.items()
                if name.startswith(f"{network}/")
            }
            write_weights(cast("nn.Module", getattr(self.networks, network)), own)

    def get_values(self, observation: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the value of every position: (batch,), or 0-d for one."""
        rows = check_rows(observation, FEATURES, self.dtype)
        with torch.inference_mode():
            values: NDArray[np.floating] = self.networks.value(self._tensor(rows)).cpu().numpy()
        return values.reshape(np.shape(observation)[:-1])

    def get_policy(self, observation: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the probabilities of the pieces: (batch, 7), or (7,) for one position."""
        rows = check_rows(observation, FEATURES, self.dtype)
        with torch.inference_mode():
            policy: NDArray[np.floating] = self.networks.policy(self._tensor(rows)).cpu().numpy()
        return policy.reshape(*np.shape(observation)[:-1], PIECES)

    def get_device_info(self) -> dict[str, object]:
        """Return where the networks are; keys as `devices.describe_device` says."""
        return describe_device(self.device)

    def save(self, path: str | Path) -> None:
        """Write `<path>.pth`: networks, the states of Adam, dropout and the loss's scale; training goes on from it bit by bit."""
        write_checkpoint(
            checkpoint_path(path),
            self.networks.state_dict(),
            optimizer_state_dict=self._steps.optimizer_state(),
            metadata={"agent": {"class": "UrTrainer", "configuration": self.configuration}},
            extras={
                "generator_state": self._masks.generator.get_state(),
                "loss_scale": self._steps.scaler_state(),
            },
        )

    @classmethod
    def load(cls, path: str | Path, **settings: Any) -> Self:  # noqa: ANN401  of the constructor
        """Return the trainer of a `save`, or one with the networks of a converted file.

        Args:
            path: with or without `.pth`.
            settings: arguments of the constructor that replace what the file says.

        Raises:
            CheckpointError: The file is damaged or not of two networks like these.
        """
        path = checkpoint_path(path)
        checkpoint = read_checkpoint(path)
        saved = checkpoint.agent("UrTrainer")
        try:
            known = (
                saved["configuration"] if saved else _infer_settings(checkpoint.model_state_dict)
            )
            trainer = cls(**{**known, **settings})
            trainer.networks.load_state_dict(checkpoint.model_state_dict)
            if checkpoint.optimizer_state_dict is not None:
                trainer._steps.load_optimizer(checkpoint.optimizer_state_dict)
            loss_scale: Any = checkpoint.extras.get("loss_scale", {})  # Any: from a file
            trainer._steps.load_scaler(loss_scale)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            msg = f"{path}: not a UrTrainer of these settings: {error}"
            raise CheckpointError(msg) from error
        if "learning_rate" in settings:
            trainer.set_learning_rate(settings["learning_rate"])
        trainer._masks.load(checkpoint.extras.get("generator_state"))
        return trainer

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        """Return a tensor of the networks' dtype on their device."""
        return to_tensor(array, self.dtype, self.device)

    def _tensors(self, batch: UrBatch) -> tuple[Tensor, ...]:
        check_rows(batch.observation, FEATURES, self.dtype)
        return tuple(self._tensor(field) for field in batch)


def _find_device(name: str, dtype: str) -> torch.device:
    """Return the device; "auto" also finds Apple's GPU, which has no float64. Raises ValueError if it is not there."""
    wants_mps = name == "auto" and dtype == "float32" and not torch.cuda.is_available()
    return find_device("mps" if wants_mps and torch.backends.mps.is_available() else name)


def _by_keras_names(tensors: Mapping[str, Tensor]) -> dict[str, NDArray[np.floating]]:
    return {name.replace(".", "/"): array for name, array in read_weights(tensors).items()}


def _name_losses(losses: Sequence[float]) -> dict[str, float]:
    value, policy = losses
    return {"loss": value + policy, "value_loss": value, "policy_loss": policy}


def _infer_settings(state: Mapping[str, Tensor]) -> dict[str, object]:
    """Return sizes and dtype as the arrays have them. Raises ValueError for other networks."""
    kernels = [
        tensor.shape
        for name, tensor in state.items()
        if name.startswith("value.") and name.endswith(".weight")
    ]
    hidden_sizes = [rows for rows, _ in kernels[:-1]]
    shapes = {
        f"{network}.{layer}.weight": (columns, rows)
        for network, outputs in OUTPUTS.items()
        for layer, (rows, columns) in layer_shapes(outputs, hidden_sizes).items()
    }
    found = {name: tuple(t.shape) for name, t in state.items() if name.endswith(".weight")}
    check_shapes("weights", {n: np.empty(s) for n, s in found.items()}, shapes)
    dtype = str(next(iter(state.values())).dtype).removeprefix("torch.")
    return {"hidden_sizes": hidden_sizes, "dtype": dtype}
