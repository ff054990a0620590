"""Smaller, faster and stronger forms of trained Ur networks: int8 weights, a student, an ensemble.

All take (rows, 150) features and give values and policies, as `experience.ur_inference.UrInference` does, so that they
play the same matches. It has no legacy mirror.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from experience.ur_inference import UrInference
from experience.ur_networks import UrBatch
from torch_impl.ur import UrTrainer
from torch_impl.ur_networks import UrNetworks

Outputs = tuple[NDArray[np.floating], NDArray[np.floating]]


class TorchScore:
    """Networks of torch as a function of features in NumPy.

    Args:
        networks: gives values (rows, 1) and policies (rows, 7).
    """

    def __init__(self, networks: nn.Module) -> None:
        self.networks = networks.eval()

    def __call__(self, features: NDArray[np.float32]) -> Outputs:
        """Return (rows,) values and (rows, 7) policies."""
        with torch.inference_mode():
            value, policy = self.networks(torch.from_numpy(np.ascontiguousarray(features)))
        return value[:, 0].numpy(), policy.numpy()

    def count_bytes(self) -> int:
        """Return the size of a file with the networks' weights."""
        file = io.BytesIO()
        torch.save(self.networks.state_dict(), file)
        return file.getbuffer().nbytes


class Ensemble:
    """The mean of several networks' values and policies.

    Args:
        members: at least one, with the same meaning of a value.

    Raises:
        ValueError: There is none.
    """

    def __init__(self, members: Sequence[UrInference | TorchScore]) -> None:
        if not members:
            msg = "an ensemble needs at least one member"
            raise ValueError(msg)
        self.members = tuple(members)

    def __call__(self, features: NDArray[np.float32]) -> Outputs:
        """Return (rows,) values and (rows, 7) policies."""
        values, policies = zip(*(member(features) for member in self.members), strict=True)
        return np.mean(values, axis=0), np.mean(policies, axis=0)


def load_networks(inference: UrInference) -> UrNetworks:
    """Return float32 networks of torch with these weights."""
    sizes = [
        inference.weights[f"value/fc{number}/bias"].size for number in range(1, inference.layers)
    ]
    trainer = UrTrainer(hidden_sizes=sizes, device="cpu")
    trainer.set_weights(inference.weights)
    return trainer.networks


def quantize(networks: UrNetworks) -> nn.Module:
    """Return a copy with int8 weights; inputs of a layer are quantized when it computes them (dynamic quantization)."""
    with warnings.catch_warnings():
        # Deprecated for torchao, a package of its own, and still torch's way on a CPU (torch 2.13.0).
        for kind in (DeprecationWarning, UserWarning):
            warnings.simplefilter("ignore", kind)
        quantized: nn.Module = torch.ao.quantization.quantize_dynamic(  # type: ignore[no-untyped-call]
            networks, {nn.Linear}, dtype=torch.qint8
        )
    return quantized


def distill(
    teacher: UrInference | TorchScore | Ensemble,
    features: NDArray[np.float32],
    *,
    hidden_sizes: Sequence[int] = (32, 16),
    epochs: int = 10,
    batch_size: int = 128,
    seed: int = 0,
) -> UrNetworks:
    """Return small networks that learned what the teacher says of positions, not what the expert said.

    Targets are the teacher's values and its whole policies, by mean squared error and Kullback-Leibler divergence;
    the learning rate falls from 0.003 to a tenth of it. Without dropout: a small student does not overfit its teacher.

    Args:
        teacher: any score of features.
        features: (rows, 150), positions as they are played.
        hidden_sizes: of the student.
        epochs: over all positions.
        batch_size: positions per step.
        seed: of weights and order.
    """
    value, policy = teacher(features)
    samples = UrBatch(features, value, policy)
    trainer = UrTrainer(
        hidden_sizes=hidden_sizes,
        dropout=0.0,
        learning_rate=0.003,
        batch_size=batch_size,
        policy_loss="kl",
        seed=seed,
        device="cpu",
    )
    rng = np.random.default_rng(seed)
    for epoch in range(epochs):
        trainer.set_learning_rate(0.003 * 0.1 ** (epoch / max(epochs - 1, 1)))
        trainer.train_epoch(samples, rng.permutation(len(features)))
    return trainer.networks
