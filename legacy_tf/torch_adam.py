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
        powers = [tf.pow(tf.constant(beta, tf.float64), step) for beta in self.betas]
        # The kernel divides by sqrt(v) + epsilon and has the correction in the step size; that is torch's formula with
        # this epsilon.
        epsilon = self.epsilon * tf.sqrt(1.0 - powers[1])
        for gradient, variable, m, v in zip(gradients, variables, *self.moments, strict=True):
            numbers = [*powers, self.lr, *self.betas, epsilon]
            power_1, power_2, lr, beta_1, beta_2, added = (
                tf.cast(tf.convert_to_tensor(number, tf.float64), variable.dtype)
                for number in numbers
            )
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=m.handle,
                v=v.handle,
                beta1_power=power_1,
                beta2_power=power_2,
                lr=lr,
                beta1=beta_1,
                beta2=beta_2,
                epsilon=added,
                grad=gradient,
            )
