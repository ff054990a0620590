"""The metrics of Keras that count right and wrong decisions over thresholds: AUC, precision, recall and their relatives.

Each function takes the options of the Keras class and returns the two parts of a `KerasMetric`. The sums are the true
positives, false positives, true negatives and false negatives: (thresholds,), with labels of their own (thresholds, labels).

Source: keras 3.15.1, metrics/confusion_metrics.py and metrics/metrics_utils.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from torch_impl.keras_compat.compiled_metric import Count, Sums, Value, ratio
from torch_impl.keras_compat.losses import EPSILON, same_rank

BELOW_ALL = -1e10
"""The threshold where only the place among the largest outputs decides."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """How outputs become decisions, and which of them count.

    Attributes:
        thresholds: an output above it is positive.
        top_k: only the k largest outputs of a sample are positive; None: all may be.
        class_id: only this output counts; None: all do.
        by_label: counts for every label instead of over all.
        label_weights: of every label; only over all.
        from_logits: outputs go through a sigmoid first.
    """

    thresholds: Sequence[float]
    top_k: int | None = None
    class_id: int | None = None
    by_label: bool = False
    label_weights: Sequence[float] | None = None
    from_logits: bool = False

    def __call__(self, output: Tensor, target: Tensor, weight: Tensor | None) -> Sums:
        """Return true and false positives, true and false negatives of the batch."""
        output, target = same_rank(
            output.sigmoid() if self.from_logits else output, target
        )
        weights = self._weights(output, weight)
        if self.top_k is not None:
            # Equal outputs: the first counts, which torch.topk does not promise.
            order = output.argsort(dim=-1, descending=True, stable=True)
            largest = torch.zeros_like(output).scatter(-1, order[..., : self.top_k], 1)
            output = torch.where(largest == 1, output, BELOW_ALL)
        if self.class_id is not None:
            place = slice(self.class_id, self.class_id + 1)
            output, target = output[..., place], target[..., place]
            weights = weights[..., place]
        labels = output.shape[-1] if self.by_label else 1
        positive = (target != 0).to(output.dtype).reshape(-1, labels)
        weights = weights.reshape(-1, labels)
        sides = torch.stack([positive * weights, (1 - positive) * weights])
        above = self._above(output.reshape(-1, labels), sides)
        below = sides.sum(1).unsqueeze(1) - above
        shape = (-1, labels) if self.by_label else (-1,)
        counted = (above[0], above[1], below[1], below[0])
        return tuple(part.reshape(shape) for part in counted)

    def _weights(self, output: Tensor, weight: Tensor | None) -> Tensor:
        """Return the weight of every output, in their shape."""
        weights = torch.ones_like(output)
        if weight is not None:
            weight = weight.to(output.dtype)
            missing = output.dim() - weight.dim()
            weights = weights * weight.reshape(weight.shape + (1,) * missing)
        if self.label_weights is not None and not self.by_label:
            weights = weights * output.new_tensor(self.label_weights)
        return weights

    def _above(self, output: Tensor, sides: Tensor) -> Tensor:
        """Return the weights above every threshold, (2, thresholds, labels).

        Args:
            output: (values, labels).
            sides: (2, values, labels), the weights of the positive and of the negative targets.
        """
        count = len(self.thresholds)
        if not self._even():
            thresholds = output.new_tensor(self.thresholds).reshape(-1, 1, 1)
            decided = (output > thresholds).to(output.dtype)
            return torch.einsum("tvl,svl->stl", decided, sides)
        # Thresholds at equal distances: Keras computes the last one below an output instead of comparing with each.
        # Its rounding decides where an output lies on a threshold, so it is computed the same way here.
        bucket = (output.clamp(0, 1) * (count - 1)).ceil().long() - 1
        if self.thresholds[0] < 0:
            bucket = bucket.clamp(min=0)
        # Without a threshold below 0 an output of 0 is above none: bucket -1, which becomes the one left out.
        buckets = sides.new_zeros(2, count + 1, output.shape[-1])
        buckets.scatter_add_(1, (bucket + 1).expand(2, -1, -1), sides)
        return buckets[:, 1:].flip(1).cumsum(1).flip(1)

    def _even(self) -> bool:
        count = len(self.thresholds)
        return count > 2 and all(
            abs(found - place / (count - 1)) <= EPSILON + 1e-5 * place / (count - 1)
            for place, found in enumerate(self.thresholds)
        )


def _listed(
    thresholds: float | Sequence[float] | None, default: float
) -> Sequence[float]:
    if thresholds is None:
        return (default,)
    return (thresholds,) if isinstance(thresholds, (int, float)) else thresholds


def _one(found: Tensor) -> Tensor:
    """Return the number of the only threshold, or all."""
    return found[0] if len(found) == 1 else found


def _count_of(
    place: int, thresholds: float | Sequence[float] | None
) -> tuple[Count, Value]:
    return Decisions(_listed(thresholds, 0.5)), lambda *sums: _one(sums[place])


def true_positives(
    *, thresholds: float | Sequence[float] | None = None
) -> tuple[Count, Value]:
    """Count positive decisions for positive targets."""
    return _count_of(0, thresholds)


def false_positives(
    *, thresholds: float | Sequence[float] | None = None
) -> tuple[Count, Value]:
    """Count positive decisions for negative targets."""
    return _count_of(1, thresholds)


def true_negatives(
    *, thresholds: float | Sequence[float] | None = None
) -> tuple[Count, Value]:
    """Count negative decisions for negative targets."""
    return _count_of(2, thresholds)


def false_negatives(
    *, thresholds: float | Sequence[float] | None = None
) -> tuple[Count, Value]:
    """Count negative decisions for positive targets."""
    return _count_of(3, thresholds)


def _precisions(tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> Tensor:
    return ratio(tp, tp + fp)


def _sensitivities(tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> Tensor:
    return ratio(tp, tp + fn)


def _specificities(tp: Tensor, fp: Tensor, tn: Tensor, fn: Tensor) -> Tensor:
    return ratio(tn, tn + fp)


def _at(
    share: Value,
    thresholds: float | Sequence[float] | None,
    top_k: int | None,
    class_id: int | None,
) -> tuple[Count, Value]:
    """Give a share of the counts for every threshold; among the k largest outputs there is none to reach."""
    default = 0.5 if top_k is None else BELOW_ALL
    counts = Decisions(_listed(thresholds, default), top_k, class_id)
    return counts, lambda *sums: _one(share(*sums))


def precision(
    *,
    thresholds: float | Sequence[float] | None = None,
    top_k: int | None = None,
    class_id: int | None = None,
) -> tuple[Count, Value]:
    """Give tp / (tp + fp) for every threshold."""
    return _at(_precisions, thresholds, top_k, class_id)


def recall(
    *,
    thresholds: float | Sequence[float] | None = None,
    top_k: int | None = None,
    class_id: int | None = None,
) -> tuple[Count, Value]:
    """Give tp / (tp + fn) for every threshold."""
    return _at(_sensitivities, thresholds, top_k, class_id)


def _best(
    wanted: Value, given: Value, least: float, num_thresholds: int, class_id: int | None
) -> tuple[Count, Value]:
    """Give the largest of `wanted` over the thresholds where `given` is at least `least`, or 0."""

    def value(*sums: Tensor) -> Tensor:
        return torch.where(given(*sums) >= least, wanted(*sums), 0).max()

    last = num_thresholds - 1
    thresholds = [place / last for place in range(num_thresholds)] if last else [0.5]
    return Decisions(thresholds, class_id=class_id), value


def sensitivity_at_specificity(
    *, specificity: float, num_thresholds: int = 200, class_id: int | None = None
) -> tuple[Count, Value]:
    """Give the best sensitivity where the specificity is reached."""
    return _best(_sensitivities, _specificities, specificity, num_thresholds, class_id)


def specificity_at_sensitivity(
    *, sensitivity: float, num_thresholds: int = 200, class_id: int | None = None
) -> tuple[Count, Value]:
    """Give the best specificity where the sensitivity is reached."""
    return _best(_specificities, _sensitivities, sensitivity, num_thresholds, class_id)


def precision_at_recall(
    *, recall: float, num_thresholds: int = 200, class_id: int | None = None
) -> tuple[Count, Value]:
    """Give the best precision where the recall is reached."""
    return _best(_precisions, _sensitivities, recall, num_thresholds, class_id)


def recall_at_precision(
    *, precision: float, num_thresholds: int = 200, class_id: int | None = None
) -> tuple[Count, Value]:
    """Give the best recall where the precision is reached."""
    return _best(_sensitivities, _precisions, precision, num_thresholds, class_id)
