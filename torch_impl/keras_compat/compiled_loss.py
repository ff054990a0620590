"""The loss of a `compile` call as an object: a function, its options, its reduction, and a sum over the outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from torch_impl.keras_compat.losses import (
    circle,
    reduce_loss,
    sparse_categorical_crossentropy,
)

Values = Tensor | Sequence[Tensor] | Mapping[str, Tensor]
"""Of one output, of several in the module's order, or by name, as the module returns them."""


@dataclass(frozen=True, slots=True)
class KerasLoss:
    """One loss of Keras: `loss(output, target)` is a number, `loss.values(output, target)` one a sample.

    It computes in the dtype of the output, float16 and bfloat16 in float32. (Keras computes in float32 even where the
    output is float64, unless the loss is given a dtype.)
    """

    name: str
    function: Callable[..., Tensor]
    options: Mapping[str, object] = field(default_factory=dict)
    reduction: str | None = "sum_over_batch_size"

    def values(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of every sample."""
        half = output.dtype in (torch.float16, torch.bfloat16)
        return self.function(output.float() if half else output, target, **self.options)

    def __call__(
        self, output: Tensor, target: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        """Return the loss of the batch. `sample_weight`: (batch,), from class weights weight[target]."""
        values = self.values(output, target)
        mask: Tensor | None = None
        if self.function is circle:
            mask = values > 0
        elif self.function is sparse_categorical_crossentropy:
            ignored = self.options.get("ignore_class")
            if isinstance(ignored, int):
                mask = target.reshape(values.shape) != ignored
        return reduce_loss(
            values, reduction=self.reduction, sample_weight=sample_weight, mask=mask
        )


@dataclass(frozen=True, slots=True)
class Term:
    """What one output adds to the loss."""

    output: int  # place among the module's outputs
    name: str  # of the output, or ""
    loss: KerasLoss
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class CompiledLoss:
    """The sum over the outputs of weight * loss, which Keras minimises; penalties on weights are not in it.

    Attributes:
        terms: outputs without loss have none.
    """

    terms: tuple[Term, ...]

    def __call__(
        self, outputs: Values, targets: Values, sample_weight: Tensor | None = None
    ) -> Tensor:
        """Return the loss of the batch.

        Args:
            outputs: as the module returns them.
            targets: in the same arrangement; where some outputs have no loss, one for each that has also does.
            sample_weight: (batch,), for every output.

        Raises:
            ValueError: Numbers of outputs and targets do not fit the losses.
        """
        found, wanted = _listed(outputs), _listed(targets)
        last = max(term.output for term in self.terms)
        if len(found) <= last or len(wanted) not in (len(found), len(self.terms)):
            message = f"{len(found)} outputs and {len(wanted)} targets for {len(self.terms)} losses"
            raise ValueError(message)
        parts = []
        for place, term in enumerate(self.terms):
            target = wanted[term.output if len(wanted) == len(found) else place]
            parts.append(
                term.weight * term.loss(found[term.output], target, sample_weight)
            )
        return torch.stack(parts).sum() if len(parts) > 1 else parts[0]


def _listed(values: Values) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    return list(values.values() if isinstance(values, Mapping) else values)
