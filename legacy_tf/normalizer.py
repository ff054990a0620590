"""Running mean and standard deviation of the observations.

Mirror: torch_impl/normalizer.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from experience.actor_critics import Settings

SCOPE = "normalizer/normalizer_variables"


class Normalizer:
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

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        eps_std: float = 1e-2,
        norm_clip: float = 5.0,
        identity_start: bool = False,
        dtype: str = "float32",
    ) -> None:
        self.shape, self.eps_std, self.norm_clip = tuple(shape), eps_std, norm_clip
        self.identity_start, self.dtype = identity_start, dtype
        with tf.compat.v1.variable_scope(SCOPE):
            self.sum, self.sum_sqr = self._variable("sum"), self._variable("sum_sqr")
            self.cnt = self._variable("cnt", (1,))
            self.mean = self._variable("mean")
            self.std = self._variable("std", start=1.0 if identity_start else 0.0)
        self._added = {
            "sum": tf.compat.v1.placeholder(dtype, self.shape),
            "sum_sqr": tf.compat.v1.placeholder(dtype, self.shape),
            "cnt": tf.compat.v1.placeholder(dtype, (1,)),
        }
        self._add = tf.group(
            *(getattr(self, name).assign_add(added) for name, added in self._added.items())
        )
        self._divide = self._statistics()

    def normalize(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return clip((inputs - mean) / std, -5, 5) of (..., *shape)."""
        return self._scale(inputs, self.mean, self.std)

    def normalize_prefix(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the same for inputs that are only the first numbers of an observation."""
        size = int(inputs.shape[-1])
        return self._scale(inputs, self.mean[:size], self.std[:size])

    def normalize_suffix(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the same for inputs that are only the last numbers of an observation."""
        size = int(inputs.shape[-1])
        return self._scale(inputs, self.mean[-size:], self.std[-size:])

    def update(self, inputs: NDArray[np.floating], session: tf.compat.v1.Session) -> None:
        """Add observations (batch, *shape) to the statistics."""
        feed: dict[Any, Any] = {
            self._added["sum"]: np.sum(inputs, axis=0),
            self._added["sum_sqr"]: np.sum(np.square(inputs), axis=0),
            self._added["cnt"]: [len(inputs)],
        }
        session.run(self._add, feed)
        session.run(self._divide)

    def _variable(
        self, name: str, shape: tuple[int, ...] | None = None, start: float = 0.0
    ) -> tf.Variable:
        initializer = tf.compat.v1.constant_initializer(start)
        shape = self.shape if shape is None else shape
        return tf.compat.v1.get_variable(name, shape, self.dtype, initializer, trainable=False)

    def _statistics(self) -> tf.Operation:
        mean = self.sum / self.cnt
        variance = self.sum_sqr / self.cnt - tf.square(mean)
        root = tf.sqrt(tf.maximum(variance, 0.0) if self.identity_start else variance)
        # TensorFlow 1.12 has max(0.01, nan) = nan; newer kernels give either, by the order of the arguments.
        std = tf.where(tf.math.is_nan(root), root, tf.maximum(root, self.eps_std))
        return tf.group(self.mean.assign(mean), self.std.assign(std))

    def _scale(self, inputs: tf.Tensor, mean: tf.Tensor, std: tf.Tensor) -> tf.Tensor:
        scaled = standardize(inputs, mean, std)
        return tf.clip_by_value(scaled, -self.norm_clip, self.norm_clip)


def standardize(inputs: tf.Tensor, mean: tf.Tensor, std: tf.Tensor) -> tf.Tensor:
    """Return (inputs - mean) / std; means and standard deviations are those of the last axes."""
    return (inputs - mean) / std


def normalize_states(states: tf.Tensor) -> tf.Tensor:
    """Return a batch of states with mean 0 and standard deviation 1 in every feature.

    The deviation is the unbiased one. A feature that is the same in all states, as every feature of a single state is,
    becomes 0 where the formula alone gives nan. `Normalizer` does the same with the statistics of all batches so far.

    Args:
        states: (batch, features).
    """
    constant = tf.reduce_all(states == states[:1], axis=0)
    mean = tf.reduce_mean(states, axis=0)
    squares = tf.reduce_sum(tf.square(states - mean), axis=0)
    rows = tf.cast(tf.maximum(tf.shape(states)[0] - 1, 1), states.dtype)
    # Where a feature is constant its mean may be a rounding away from it: neither 0/0 nor noise over noise is wanted.
    # The root is taken of what is never 0, or its gradient would be infinite.
    variance = tf.where(constant, tf.ones_like(mean), squares / rows)
    return tf.where(constant, tf.zeros_like(states), standardize(states, mean, tf.sqrt(variance)))


def create_normalizer(args: Settings, dtype: str) -> Normalizer | None:
    """Return the normaliser that the arguments ask for, or None."""
    if not args.obs_normalization:
        return None
    identity_start = bool(getattr(args, "normalizer_identity_start", False))
    return Normalizer(tuple(args.obs_dims), identity_start=identity_start, dtype=dtype)


def normalize_batch(
    normalizer: Normalizer | None, batch: Mapping[str, tf.Tensor], names: Collection[str]
) -> dict[str, tf.Tensor]:
    """Return the batch with the inputs of these names normalised, if there is a normaliser."""
    if normalizer is None:
        return dict(batch)
    return {name: normalizer.normalize(x) if name in names else x for name, x in batch.items()}
