"""The metrics of Keras with a memory over batches that are no counts over thresholds, and the table of all with a memory.

Each function takes the options of the Keras class and returns the two parts of a `KerasMetric`.

Source: keras 3.15.1, metrics/f_score_metrics.py, metrics/iou_metrics.py and metrics/regression_metrics.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from torch_impl.keras_compat import area_metrics, confusion_metrics
from torch_impl.keras_compat.compiled_metric import (
    Count,
    Sums,
    Value,
    count_mean,
    ratio,
)
from torch_impl.keras_compat.losses import EPSILON, same_rank


def root_mean_squared_error() -> tuple[Count, Value]:
    """Give the root of the mean of (target - output)**2 over all samples."""

    def count(output: Tensor, target: Tensor, weight: Tensor | None) -> Sums:
        output, target = same_rank(output, target)
        return count_mean((target - output).square(), weight)

    return count, lambda total, number: ratio(total, number).sqrt()


def f_beta_score(
    *, average: str | None = None, beta: float = 1.0, threshold: float | None = None
) -> tuple[Count, Value]:
    """Give (1 + beta**2) * precision * recall / (beta**2 * precision + recall).

    Args:
        average: None: of every class; "micro": over all decisions; "macro" or "weighted": the mean of the classes, plain
            or by how often each is in the targets.
        beta: weight of the recall.
        threshold: outputs above it are positive; None: the largest is, unless it is 0.
    """

    def count(output: Tensor, target: Tensor, weight: Tensor | None) -> Sums:
        target = target.to(output.dtype)
        if threshold is None:
            largest = output == output.amax(-1, keepdim=True)
            positive = (largest & (output.abs() > 1e-9)).to(output.dtype)
        else:
            positive = (output > threshold).to(output.dtype)
        parts = (positive * target, positive * (1 - target), (1 - positive) * target)
        weights = output.new_ones(()) if weight is None else weight.unsqueeze(1)
        weighted = [part * weights for part in (*parts, target)]
        return tuple(p.sum() if average == "micro" else p.sum(0) for p in weighted)

    def value(tp: Tensor, fp: Tensor, fn: Tensor, support: Tensor) -> Tensor:
        precision, recall = tp / (tp + fp + EPSILON), tp / (tp + fn + EPSILON)
        below = beta**2 * precision + recall + EPSILON
        score = precision * recall / below * (1 + beta**2)
        if average == "weighted":
            return (score * (support / (support.sum() + EPSILON))).sum()
        return score if average is None else score.mean()

    return count, value


def f1_score(
    *, average: str | None = None, threshold: float | None = None
) -> tuple[Count, Value]:
    """Give `f_beta_score` with beta 1."""
    return f_beta_score(average=average, threshold=threshold)


def r2_score(
    *, class_aggregation: str | None = "uniform_average", num_regressors: int = 0
) -> tuple[Count, Value]:
    """Give 1 - sum((target - output)**2) / sum((target - mean target)**2) of every output or their mean.

    Args:
        class_aggregation: None: of every output; "uniform_average", or "variance_weighted_average" by the second sum.
        num_regressors: more than 0 adjusts by it and by the number of target values, as long as there are enough.
    """

    def count(output: Tensor, target: Tensor, weight: Tensor | None) -> Sums:
        output, target = same_rank(output, target)
        weights = torch.ones_like(target)
        if weight is not None:
            weights = weights * (weight.unsqueeze(1) if weight.dim() == 1 else weight)
        errors = (target - output).square() * weights
        parts = (target * weights, target.square() * weights, errors, weights)
        number = output.new_tensor(float(target.numel()))
        return (*(part.sum(0) for part in parts), number)

    def value(
        total: Tensor, squares: Tensor, errors: Tensor, weights: Tensor, number: Tensor
    ) -> Tensor:
        variation = squares - total * (total / weights)
        scores = 1 - errors / variation
        score = torch.where(scores.isinf(), 0, scores)
        if class_aggregation == "uniform_average":
            score = score.mean()
        elif class_aggregation == "variance_weighted_average":
            score = (variation * score).sum() / variation.sum()
        free = number - num_regressors - 1
        adjusts = num_regressors != 0 and bool(free > 0)
        return 1 - (1 - score) * (number - 1) / free if adjusts else score

    return count, value


def io_u(
    *,
    num_classes: int,
    target_class_ids: Sequence[int],
    ignore_class: int | None = None,
    sparse_y_true: bool = True,
    sparse_y_pred: bool = True,
    axis: int = -1,
    whole_numbers: bool = True,
) -> tuple[Count, Value]:
    """Give the mean over classes of intersection / union, of those that appear.

    Args:
        num_classes: class numbers outside of [0, num_classes) do not count.
        target_class_ids: the classes of the mean.
        ignore_class: targets of this class do not count.
        sparse_y_true: targets are class numbers; false: the largest along the axis is.
        sparse_y_pred: the same of the outputs.
        axis: of the classes.
        whole_numbers: counts are integers as in Keras without a dtype, and weights lose their fractions.
    """

    def count(output: Tensor, target: Tensor, weight: Tensor | None) -> Sums:
        kind = torch.int64 if whole_numbers else torch.float32
        right = (target if sparse_y_true else target.argmax(axis)).to(kind).flatten()
        found = (output if sparse_y_pred else output.argmax(axis)).to(kind).flatten()
        if weight is None:
            weights = torch.ones_like(right)
        else:
            weights = weight.to(kind).flatten().expand(right.shape)
        counts = (right >= 0) & (right < num_classes) & (found >= 0)
        counts = counts & (found < num_classes)
        if ignore_class is not None:
            counts = counts & (right != ignore_class)
        place = (right.long() * num_classes + found.long())[counts]
        crossed = weights.new_zeros(num_classes * num_classes)
        crossed.index_add_(0, place, weights[counts])
        return (crossed.reshape(num_classes, num_classes),)

    def value(crossed: Tensor) -> Tensor:
        classes = torch.tensor(list(target_class_ids), device=crossed.device)
        both = crossed.diagonal()
        union = (crossed.sum(0) + crossed.sum(1) - both)[classes].float()
        appears = union > 1e-9
        shares = torch.where(appears, both[classes].float() / (union + EPSILON), 0)
        return shares.sum() / (appears.sum() + EPSILON)

    return count, value


def binary_io_u(
    *,
    target_class_ids: Sequence[int] = (0, 1),
    threshold: float = 0.5,
    whole_numbers: bool = True,
) -> tuple[Count, Value]:
    """Give `io_u` of two classes, outputs of at least the threshold being class 1."""
    inner, value = io_u(
        num_classes=2, target_class_ids=target_class_ids, whole_numbers=whole_numbers
    )

    def count(output: Tensor, target: Tensor, weight: Tensor | None) -> Sums:
        return inner((output >= threshold).long(), target, weight)

    return count, value


def mean_io_u(
    *,
    num_classes: int,
    ignore_class: int | None = None,
    sparse_y_true: bool = True,
    sparse_y_pred: bool = True,
    axis: int = -1,
    whole_numbers: bool = True,
) -> tuple[Count, Value]:
    """Give `io_u` over all classes."""
    return io_u(
        num_classes=num_classes,
        target_class_ids=range(num_classes),
        ignore_class=ignore_class,
        sparse_y_true=sparse_y_true,
        sparse_y_pred=sparse_y_pred,
        axis=axis,
        whole_numbers=whole_numbers,
    )


def one_hot_io_u(
    *,
    num_classes: int,
    target_class_ids: Sequence[int],
    ignore_class: int | None = None,
    sparse_y_pred: bool = False,
    axis: int = -1,
    whole_numbers: bool = True,
) -> tuple[Count, Value]:
    """Give `io_u` with a target for every class."""
    return io_u(
        num_classes=num_classes,
        target_class_ids=target_class_ids,
        ignore_class=ignore_class,
        sparse_y_true=False,
        sparse_y_pred=sparse_y_pred,
        axis=axis,
        whole_numbers=whole_numbers,
    )


def one_hot_mean_io_u(
    *,
    num_classes: int,
    ignore_class: int | None = None,
    sparse_y_pred: bool = False,
    axis: int = -1,
    whole_numbers: bool = True,
) -> tuple[Count, Value]:
    """Give `mean_io_u` with a target for every class."""
    return mean_io_u(
        num_classes=num_classes,
        ignore_class=ignore_class,
        sparse_y_true=False,
        sparse_y_pred=sparse_y_pred,
        axis=axis,
        whole_numbers=whole_numbers,
    )


WITH_MEMORY: Mapping[str, Callable[..., tuple[Count, Value]]] = {
    function.__name__: function
    for function in (
        area_metrics.auc,
        confusion_metrics.precision,
        confusion_metrics.recall,
        confusion_metrics.true_positives,
        confusion_metrics.false_positives,
        confusion_metrics.true_negatives,
        confusion_metrics.false_negatives,
        confusion_metrics.sensitivity_at_specificity,
        confusion_metrics.specificity_at_sensitivity,
        confusion_metrics.precision_at_recall,
        confusion_metrics.recall_at_precision,
        root_mean_squared_error,
        f1_score,
        f_beta_score,
        r2_score,
        io_u,
        binary_io_u,
        mean_io_u,
        one_hot_io_u,
        one_hot_mean_io_u,
    )
}
