"""Running mean and standard deviation of the observations.

Mirror: legacy_tf/normalizer.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from experience.actor_critics import Settings
from torch_impl.networks import DTYPES

SCOPE = "normalizer/normalizer_variables"


class Normalizer(nn.Module):
    """Normalizes observations with the statistics of everything seen so far; nothing is forgotten.

        mean = sum / count, std = max(0.01, sqrt(sum_sqr / count - mean^2))

    As in the original, mean and std are 0 until the first update: what is not 0 becomes +-5, what is exactly 0 becomes
    nan; and where rounding makes the variance negative, std becomes nan. `identity_start` avoids both; it is not the
    default, because the published results were made without it.

    Args:
        shape: of an observation.
        eps_std: smallest standard deviation.
        norm_clip: largest magnitude of the result.
        identity_start: begin with a standard deviation of 1, and take a negative variance for 0.
        dtype: "float32" or "float64".
    """

    sum: Tensor
    sum_sqr: Tensor
    cnt: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        eps_std: float = 1e-2,
        norm_clip: float = 5.0,
        identity_start: bool = False,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        self.shape, self.eps_std, self.norm_clip = tuple(shape), eps_std, norm_clip
        self.identity_start = identity_start
        for name in ("sum", "sum_sqr", "cnt", "mean", "std"):
            size = (1,) if name == "cnt" else self.shape
            self.register_buffer(name, torch.zeros(size, dtype=DTYPES[dtype]))
        if identity_start:
            self.std.fill_(1.0)

    def normalize(self, inputs: Tensor) -> Tensor:
        """Return clip((inputs - mean) / std, -5, 5) of (..., *shape)."""
        return self._scale(inputs, self.mean, self.std)

    def normalize_prefix(self, inputs: Tensor) -> Tensor:
        """Return the same for inputs that are only the first numbers of an observation."""
        size = inputs.shape[-1]
        return self._scale(inputs, self.mean[:size], self.std[:size])

    def normalize_suffix(self, inputs: Tensor) -> Tensor:
        """Return the same for inputs that are only the last numbers of an observation."""
        size = inputs.shape[-1]
        return self._scale(inputs, self.mean[-size:], self.std[-size:])

    def update(self, inputs: NDArray[np.floating]) -> None:
        """Add observations (batch, *shape) to the statistics."""
        self.sum += self._tensor(np.sum(inputs, axis=0))
        self.sum_sqr += self._tensor(np.sum(np.square(inputs), axis=0))
        self.cnt += len(inputs)
        mean = self.sum / self.cnt
        variance = self.sum_sqr / self.cnt - mean.square()
        root = (variance.clamp(min=0.0) if self.identity_start else variance).sqrt()
        self.mean.copy_(mean)
        self.std.copy_(root.clamp(min=self.eps_std))  # nan stays nan

    def _tensor(self, array: NDArray[np.floating]) -> Tensor:
        return torch.as_tensor(array, dtype=self.mean.dtype, device=self.mean.device)

    def _scale(self, inputs: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        return standardize(inputs, mean, std).clamp(-self.norm_clip, self.norm_clip)


def standardize(inputs: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Return (inputs - mean) / std; means and standard deviations are those of the last axes."""
    return (inputs - mean) / std


def normalize_states(states: Tensor) -> Tensor:
    """Return a batch of states with mean 0 and standard deviation 1 in every feature.

    The deviation is the unbiased one. A feature that is the same in all states, as every feature of a single state is,
    becomes 0 where the formula alone gives nan. `Normalizer` does the same with the statistics of all batches so far.

    Args:
        states: (batch, features).
    """
    constant = (states == states[:1]).all(dim=0)
    mean = states.mean(dim=0)
    squares = (states - mean).square().sum(dim=0)
    # Where a feature is constant its mean may be a rounding away from it: neither 0/0 nor noise over noise is wanted.
    # The root is taken of what is never 0, or its gradient would be infinite.
    variance = torch.where(constant, 1.0, squares / max(len(states) - 1, 1))
    return torch.where(constant, 0.0, standardize(states, mean, variance.sqrt()))


def create_normalizer(args: Settings, dtype: str) -> Normalizer | None:
    """Return the normaliser that the arguments ask for, or None."""
    if not args.obs_normalization:
        return None
    identity_start = bool(getattr(args, "normalizer_identity_start", False))
    return Normalizer(tuple(args.obs_dims), identity_start=identity_start, dtype=dtype)


def normalize_batch(
    normalizer: Normalizer | None, batch: Mapping[str, Tensor], names: Collection[str]
) -> dict[str, Tensor]:
    """Return the batch with the inputs of these names normalised, if there is a normaliser."""
    if normalizer is None:
        return dict(batch)
    return {name: normalizer.normalize(x) if name in names else x for name, x in batch.items()}
