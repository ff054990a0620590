"""The two Ur networks in NumPy: what a file of weights means, in thirty lines of arithmetic.

Needs no framework, so that a game server, or a reader who wants to know, runs it as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from experience.shapes import check_rows
from experience.ur_networks import FEATURES
from experience.ur_weights import Weights, find_hidden_sizes, read_ur_weights


@dataclass(frozen=True, slots=True)
class UrInference:
    """Both networks, ready to judge positions; a `ScoreFunction` of `royal_ur.network_players`.

    Attributes:
        weights: by name, kernels (in, out), all of one dtype, which is that of the arithmetic.
        layers: of each network.
    """

    weights: Weights
    layers: int

    @classmethod
    def from_weights(cls, weights: Weights) -> Self:
        """Return the networks with these weights. Raises UrWeightsError where they are not of such networks."""
        return cls(weights, len(find_hidden_sizes(weights)) + 1)

    @classmethod
    def load(cls, path: str | Path, *, layout: str | None = None) -> Self:
        """Return the networks of a JSON file. Raises UrWeightsError, as `ur_weights.read_ur_weights` says."""
        return cls.from_weights(read_ur_weights(path, layout=layout).weights)

    def __call__(self, features: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Return (batch,) values, positive good for player 2, and (batch, 7) probabilities of the pieces.

        Args:
            features: (batch, 150), or (150,) for one.

        Raises:
            ValueError: The features have another length.
        """
        rows = check_rows(features, FEATURES, str(self.weights["value/fc1/bias"].dtype))
        value = np.tanh(self._sums("value", rows))[:, 0]
        logits = self._sums("policy", rows)
        # The largest exponent is 0, so that none overflows.
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return value, shares / shares.sum(axis=1, keepdims=True)

    def _sums(self, network: str, rows: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the last layer's sums, (batch, outputs); dropout does nothing outside of training."""
        x = rows
        for number in range(1, self.layers + 1):
            # BLAS computes in the unused lanes of its registers too; what they hold may raise this flag.
            with np.errstate(invalid="ignore"):
                x = x @ self.weights[f"{network}/fc{number}/kernel"]
            x = x + self.weights[f"{network}/fc{number}/bias"]
            if number < self.layers:
                x = np.maximum(x, 0)
        return x
