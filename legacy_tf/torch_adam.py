"""Adam as PyTorch computes it, for agents whose definition is a PyTorch program.

Keras adds epsilon to the uncorrected root and keeps its numbers as float32 (keras 3.15.1, optimizers/adam.py);
torch.optim.Adam adds it after the correction and computes its factors in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


class TorchAdam(tf.Module):
    """torch.optim.Adam over a list of variables.

        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        p -= lr / (1 - beta_1**t) * m / (sqrt(v) / sqrt(1 - beta_2**t) + epsilon)

    Attributes:
        iterations: steps done, t before the next one.

    Args:
        variables: p.
        lr: of the formula; a float64 variable where it changes.
        betas: beta_1 and beta_2.
        epsilon: of the formula.
    """

    def __init__(
        self,
        variables: Sequence[tf.Variable],
        lr: float | tf.Variable,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        super().__init__()
        self.iterations = tf.Variable(0, dtype=tf.int64, trainable=False, name="iterations")
        self.lr, self.betas, self.epsilon = lr, betas, epsilon
        self.moments = [
            [tf.Variable(tf.zeros(v.shape, v.dtype), trainable=False) for v in variables]
            for _ in betas
        ]

    def apply(self, gradients: Sequence[tf.Tensor], variables: Sequence[tf.Variable]) -> None:
        """Take one step; the variables are those of the constructor, in their order."""
        step = tf.cast(self.iterations.assign_add(1), tf.float64)
        beta_1, beta_2 = self.betas
        rest_1, rest_2 = (1.0 - tf.pow(tf.constant(beta, tf.float64), step) for beta in self.betas)
        size = tf.convert_to_tensor(self.lr, tf.float64) / rest_1
        # Written out: TensorFlow's kernel takes 1 - beta in the type of the variable, 2e-7 off in float32.
        for gradient, variable, m, v in zip(gradients, variables, *self.moments, strict=True):
            m.assign(m + (gradient - m) * (1 - beta_1))
            v.assign(v * beta_2 + tf.square(gradient) * (1 - beta_2))
            root = tf.sqrt(tf.convert_to_tensor(v)) / tf.cast(tf.sqrt(rest_2), variable.dtype)
            variable.assign_sub(tf.cast(size, variable.dtype) * (m / (root + self.epsilon)))
