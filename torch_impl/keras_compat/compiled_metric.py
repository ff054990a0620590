"""A metric of a `compile` call as an object: sums over the batches that were seen, and the number that they mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from torch_impl.keras_compat.losses import same_rank

Sums = tuple[Tensor, ...]
"""What one batch adds: of a mean the total and the number of samples, of a precision the counts for each threshold."""
Count = Callable[[Tensor, Tensor, Tensor | None], Sums]
Value = Callable[..., Tensor]


@dataclass(slots=True)
class KerasMetric:
    """One metric of Keras: `update(output, target)` for every batch, `result()` at the end, `reset()` between epochs.

    It counts in the dtype of the output, float16 and bfloat16 in float32, and keeps no gradient.

    Attributes:
        count: what a batch adds to the sums; arguments (output, target, sample_weight).
        value: the metric from the sums.
        sums: None before the first batch.
    """

    name: str
    count: Count
    value: Value
    sums: Sums | None = field(default=None, repr=False)

    @torch.no_grad()
    def update(
        self, output: Tensor, target: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        """Add a batch. `sample_weight`: (batch,), or as many leading axes as the output has."""
        added = self._counted(output, target, sample_weight)
        self.sums = added if self.sums is None else _added(self.sums, added)

    @torch.no_grad()
    def result(self) -> Tensor:
        """Return the metric over all batches since the last reset.

        Raises:
            ValueError: There was none.
        """
        if self.sums is None:
            message = f"metric {self.name} has seen no batch; call update first"
            raise ValueError(message)
        return self.value(*self.sums)

    def reset(self) -> None:
        """Forget all batches."""
        self.sums = None

    @torch.no_grad()
    def __call__(
        self, output: Tensor, target: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        """Return the metric of this batch alone; what `update` has gathered stays as it is."""
        return self.value(*self._counted(output, target, sample_weight))

    def _counted(
        self, output: Tensor, target: Tensor, sample_weight: Tensor | None
    ) -> Sums:
        half = output.dtype in (torch.float16, torch.bfloat16)
        return self.count(output.float() if half else output, target, sample_weight)


def _added(sums: Sums, added: Sums) -> Sums:
    return tuple(a + b for a, b in zip(sums, added, strict=True))


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Return part / whole, and 0 where whole is 0."""
    return torch.where(whole == 0, 0.0, part / torch.where(whole == 0, 1, whole))


def count_mean(values: Tensor, weight: Tensor | None) -> Sums:
    """Return total and number of the samples, () each, of which `ratio` makes the mean that Keras shows.

    Every sample counts with the mean of its values, and of its weights.

    Args:
        values: (batch, ...) or ().
        weight: (), (batch,) or more of the leading axes of the values.

    Source: keras 3.15.1, metrics/reduction_metrics.py, reduce_to_samplewise_values.
    """
    if weight is None:
        samples = values.flatten(1).mean(1) if values.dim() > 1 else values
        number = values.shape[0] if values.dim() else 1
        return samples.sum(), samples.new_tensor(float(number))
    values, weight = same_rank(values, weight)
    if values.dim() > weight.dim():
        values = values.flatten(weight.dim()).mean(-1)
    weight = weight.expand(values.shape)
    values = values * weight
    if values.dim() > 1:
        values, weight = values.flatten(1).mean(1), weight.flatten(1).mean(1)
    return values.sum(), weight.sum()


def mean_of(
    values: Callable[[Tensor, Tensor], Tensor], *, ignored: int | None = None
) -> tuple[Count, Value]:
    """Return count and value of the mean over all samples of values(output, target).

    Targets that are `ignored` count as values of 0; only where samples have weights they do not count at all. So does
    Keras 3.15.1 (metrics/reduction_metrics.py: the mask of the values enters through the weights).
    """

    def count(output: Tensor, target: Tensor, weight: Tensor | None) -> Sums:
        found = values(output, target)
        if weight is not None and ignored is not None:
            mask = (target.reshape(found.shape) != ignored).to(found.dtype)
            missing = mask.dim() - weight.dim()
            weight = mask * weight.reshape(weight.shape + (1,) * missing)
        return count_mean(found, weight)

    return count, ratio
