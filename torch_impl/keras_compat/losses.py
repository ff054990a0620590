"""The losses of Keras as functions of torch tensors: one value a sample, `reduce_loss` makes one number of them.

Every function takes (output, target), as torch does, Keras (y_true, y_pred). Targets are cast to the output's dtype.

Source: keras 3.15.1, losses/losses.py and backend/tensorflow/nn.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-7
"""Keras clips probabilities to [1e-7, 1 - 1e-7] before the logarithm."""


def same_rank(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return both with as many axes: an axis of size 1 at the end is dropped or added, the target cast."""
    target = target.to(output.dtype)
    if output.dim() == target.dim() + 1 and output.shape[-1] == 1:
        return (
            (output, target.unsqueeze(-1))
            if target.dim() == 1
            else (output.squeeze(-1), target)
        )
    if target.dim() == output.dim() + 1 and target.shape[-1] == 1:
        return (
            (output.unsqueeze(-1), target)
            if output.dim() == 1
            else (output, target.squeeze(-1))
        )
    return output, target


def mean_squared_error(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean of (target - output)**2 over the last axis."""
    output, target = same_rank(output, target)
    return (target - output).square().mean(-1)


def mean_absolute_error(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean of |target - output| over the last axis."""
    output, target = same_rank(output, target)
    return (target - output).abs().mean(-1)


def mean_absolute_percentage_error(output: Tensor, target: Tensor) -> Tensor:
    """Return 100 times the mean of |target - output| / max(|target|, 1e-7)."""
    output, target = same_rank(output, target)
    return 100.0 * ((target - output) / target.abs().clamp(min=EPSILON)).abs().mean(-1)


def mean_squared_logarithmic_error(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean of (log(output + 1) - log(target + 1))**2, both at least 1e-7."""
    output, target = same_rank(output, target)
    difference = (output.clamp(min=EPSILON) + 1).log() - (
        target.clamp(min=EPSILON) + 1
    ).log()
    return difference.square().mean(-1)


def cosine_similarity(output: Tensor, target: Tensor, *, axis: int = -1) -> Tensor:
    """Return minus the cosine of the angle between output and target; a zero vector has cosine 0."""
    output, target = same_rank(output, target)
    norms = [
        x.square().sum(axis, keepdim=True).clamp(min=EPSILON**2).sqrt()
        for x in (output, target)
    ]
    return -(output / norms[0] * (target / norms[1])).sum(axis)


def huber(output: Tensor, target: Tensor, *, delta: float = 1.0) -> Tensor:
    """Return the mean of e**2 / 2 where |e| <= delta, and delta * |e| - delta**2 / 2 beyond."""
    output, target = same_rank(output, target)
    return F.huber_loss(output, target, reduction="none", delta=delta).mean(-1)


def log_cosh(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean of log(cosh(output - target)), in the form that does not overflow."""
    output, target = same_rank(output, target)
    error = output - target
    return (error + F.softplus(-2 * error) - math.log(2)).mean(-1)


def signed_labels(target: Tensor) -> Tensor:
    """Return labels 0 and 1 as -1 and 1; labels that are not only 0 and 1 stay."""
    binary = ((target == 0) | (target == 1)).all()
    return torch.where(binary, 2 * target - 1, target)


def hinge(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean of max(1 - target * output, 0)."""
    return (1 - signed_labels(target.to(output.dtype)) * output).clamp(min=0).mean(-1)


def squared_hinge(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean of max(1 - target * output, 0)**2."""
    return (
        (1 - signed_labels(target.to(output.dtype)) * output)
        .clamp(min=0)
        .square()
        .mean(-1)
    )


def categorical_hinge(output: Tensor, target: Tensor) -> Tensor:
    """Return max(1 + largest wrong output - right output, 0)."""
    target = target.to(output.dtype)
    return (((1 - target) * output).amax(-1) - (target * output).sum(-1) + 1).clamp(
        min=0
    )


def kl_divergence(output: Tensor, target: Tensor) -> Tensor:
    """Return the sum of target * log(target / output), both clipped to [1e-7, 1]."""
    target, output = target.to(output.dtype).clamp(EPSILON, 1), output.clamp(EPSILON, 1)
    return (target * (target / output).log()).sum(-1)


def poisson(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean of output - target * log(output + 1e-7)."""
    output, target = same_rank(output, target)
    return (output - target * (output + EPSILON).log()).mean(-1)


def clipped(p: Tensor) -> Tensor:
    """Return probabilities clipped to [1e-7, 1 - 1e-7]."""
    return p.clamp(EPSILON, 1 - EPSILON)


def bounded_log(p: Tensor) -> Tensor:
    """Return log(p), for 0 that of the smallest number instead of -infinity."""
    return p.clamp(min=torch.finfo(p.dtype).tiny).log()


def elementwise_binary_crossentropy(
    output: Tensor, target: Tensor, *, from_logits: bool, clip: bool
) -> Tensor:
    """Return -(t log(p) + (1 - t) log(1 - p)) of every element."""
    if from_logits:
        return F.binary_cross_entropy_with_logits(output, target, reduction="none")
    p = clipped(output) if clip else output
    # Beside 1 there are no numbers nearer than half of eps: a sigmoid that rounds to 1 counts as that one.
    rest = (1 - p).clamp(min=torch.finfo(p.dtype).eps / 2)
    return -(target * bounded_log(p) + (1 - target) * rest.log())


def binary_crossentropy(
    output: Tensor,
    target: Tensor,
    *,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
    clip: bool = True,
) -> Tensor:
    """Return the mean of -(t log(p) + (1 - t) log(1 - p)) over `axis`.

    Args:
        output: probabilities, or with `from_logits` what a sigmoid makes them of.
        target: of the same shape.
        from_logits: see `output`.
        label_smoothing: s, which makes t (1 - s) + s / 2 of t.
        axis: of the mean.
        clip: p to [1e-7, 1 - 1e-7]. Keras does not where p is the result of a sigmoid: it takes what went in.
    """
    target = target.to(output.dtype)
    if label_smoothing:
        target = target * (1 - label_smoothing) + 0.5 * label_smoothing
    found = elementwise_binary_crossentropy(
        output, target, from_logits=from_logits, clip=clip
    )
    return found.mean(axis)


def binary_focal_crossentropy(
    output: Tensor,
    target: Tensor,
    *,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
    clip: bool = True,
) -> Tensor:
    """Return the mean of (1 - p_t)**gamma times the binary cross-entropy; p_t is the probability of the label.

    With `apply_class_balancing` the label 1 counts alpha, 0 counts 1 - alpha. The others: `binary_crossentropy`.
    """
    target = target.to(output.dtype)
    if label_smoothing:
        target = target * (1 - label_smoothing) + 0.5 * label_smoothing
    p = output.sigmoid() if from_logits else output
    entropy = elementwise_binary_crossentropy(p, target, from_logits=False, clip=clip)
    focal = (1 - (target * p + (1 - target) * (1 - p))) ** gamma * entropy
    if apply_class_balancing:
        focal = (target * alpha + (1 - target) * (1 - alpha)) * focal
    return focal.mean(axis)


def categorical_crossentropy(
    output: Tensor,
    target: Tensor,
    *,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
    clip: bool = True,
) -> Tensor:
    """Return -sum(t log(p)) over `axis`, p divided by its sum.

    Args:
        output: probabilities, or with `from_logits` what a softmax makes them of.
        target: of the same shape.
        from_logits: see `output`.
        label_smoothing: s, which makes t (1 - s) + s / classes of t.
        axis: of the classes.
        clip: see `binary_crossentropy`; here it is a softmax.
    """
    target = target.to(output.dtype)
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / target.shape[-1]
    if from_logits:
        return -(target * output.log_softmax(axis)).sum(axis)
    p = clipped(output / output.sum(axis, keepdim=True)) if clip else output
    return -(target * bounded_log(p)).sum(axis)


def categorical_focal_crossentropy(
    output: Tensor,
    target: Tensor,
    *,
    alpha: float | Sequence[float] = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Tensor:
    """Return -sum(alpha * (1 - p)**gamma * t * log(p)); alpha may be one a class, the others: `categorical_crossentropy`."""
    target = target.to(output.dtype)
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / target.shape[-1]
    p = output.softmax(axis) if from_logits else output
    p = clipped(p / p.sum(axis, keepdim=True))
    weight = torch.as_tensor(alpha, dtype=p.dtype, device=p.device)
    return (weight * (1 - p) ** gamma * -target * p.log()).sum(axis)


def sparse_categorical_crossentropy(
    output: Tensor,
    target: Tensor,
    *,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
    clip: bool = True,
) -> Tensor:
    """Return -log(p[target]); `target` has class numbers, for `ignore_class` the loss is 0.

    Args:
        output: (batch, ..., classes).
        target: (batch, ...) or (batch, ..., 1).
        from_logits: see `categorical_crossentropy`.
        ignore_class: a class number, or None.
        axis: of the classes, the last.
        clip: see `categorical_crossentropy`.
    """
    if target.dim() == output.dim() and target.shape[axis] == 1:
        target = target.squeeze(axis)
    target = target.long()
    kept = (
        torch.ones_like(target, dtype=torch.bool)
        if ignore_class is None
        else target != ignore_class
    )
    if from_logits:
        logarithms = output.log_softmax(axis)
    else:
        logarithms = (
            clipped(output).log().log_softmax(axis) if clip else bounded_log(output)
        )
    place = torch.where(kept, target, 0).unsqueeze(axis)
    return torch.where(kept, -logarithms.gather(axis, place).squeeze(axis), 0.0)


def categorical_generalized_cross_entropy(
    output: Tensor, target: Tensor, *, q: float
) -> Tensor:
    """Return (1 - p[target]**q) / q; `target` has class numbers."""
    p = output.gather(-1, target.long().unsqueeze(-1)).squeeze(-1)
    return (1 - p**q) / q


def _sum(x: Tensor, axis: int | tuple[int, ...] | None) -> Tensor:
    return x.sum() if axis is None else x.sum(axis)


def dice(
    output: Tensor, target: Tensor, *, axis: int | tuple[int, ...] | None = None
) -> Tensor:
    """Return 1 - 2 sum(t p) / (sum(t) + sum(p) + 1e-7) over `axis`, None for all."""
    target = target.to(output.dtype)
    total = _sum(target, axis) + _sum(output, axis) + EPSILON
    return 1 - 2 * _sum(target * output, axis) / total


def tversky(
    output: Tensor,
    target: Tensor,
    *,
    alpha: float = 0.5,
    beta: float = 0.5,
    axis: int | tuple[int, ...] | None = None,
) -> Tensor:
    """Return 1 - i / (i + alpha * sum(t (1 - p)) + beta * sum(p (1 - t)) + 1e-7) with i = sum(t p)."""
    target = target.to(output.dtype)
    common = _sum(target * output, axis)
    missed = _sum((1 - output) * target, axis)
    wrong = _sum(output * (1 - target), axis)
    return 1 - common / (common + missed * alpha + wrong * beta + EPSILON)


def circle(
    output: Tensor,
    target: Tensor,
    *,
    gamma: float = 80.0,
    margin: float = 0.4,
    remove_diagonal: bool = True,
) -> Tensor:
    """Return the circle loss of embeddings (batch, size) of length 1 with class numbers (batch,) or (batch, 1).

    Distances d = max(1 - cosine, 0) to all others in the batch; log(1 + sum(exp(gamma (margin + d) (d - margin))) over
    the same class * sum(exp(gamma max(1 + margin - d, 0) (1 - margin - d))) over other classes). Keras takes the mean over
    those above 0 only (`reduce_loss` with `positive_only`).
    """
    labels = target.reshape(-1, 1).int()
    distances = (1 - output @ output.mT).clamp(min=0)
    same = labels == labels.mT
    positive = (
        same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
        if remove_diagonal
        else same
    )
    near = -gamma * (margin + distances) * (margin - distances)
    far = gamma * (1 + margin - distances).clamp(min=0) * (1 - margin - distances)
    minus_infinity = torch.tensor(-math.inf, dtype=output.dtype, device=output.device)
    p = torch.where(positive, near, minus_infinity).logsumexp(1)
    n = torch.where(same, minus_infinity, far).logsumexp(1)
    return F.softplus(p + n)


def ctc(output: Tensor, target: Tensor) -> Tensor:
    """Return the connectionist temporal classification loss of every sample; label 0 fills up, and is the blank.

    Args:
        output: (batch, time, classes), logits.
        target: (batch, length), class numbers.
    """
    batch, time, _ = output.shape
    lengths = (target != 0).sum(-1)
    times = torch.full((batch,), time, dtype=torch.long, device=output.device)
    logarithms = output.log_softmax(-1).transpose(0, 1)
    return F.ctc_loss(
        logarithms, target.long(), times, lengths, blank=0, reduction="none"
    )


def reduce_loss(
    values: Tensor,
    *,
    reduction: str | None = "sum_over_batch_size",
    sample_weight: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Return the losses of the samples as Keras reduces them.

    Args:
        values: of the samples, any shape.
        reduction: "sum_over_batch_size" or "mean": sum / number of values, whatever their weights; "mean_with_sample_weight":
            sum / sum of the weights; "sum"; "none" or None: as they are.
        sample_weight: (batch,) or the shape of `values`.
        mask: values that count, in the shape of `values`; a mean is then over these.

    Raises:
        ValueError: The reduction has another name.
    """
    if mask is not None:
        weight = mask.to(values.dtype)
        if reduction in ("mean", "sum_over_batch_size"):
            weight = weight * (weight.numel() / weight.sum().clamp(min=1))
        sample_weight = weight if sample_weight is None else weight * sample_weight
    if sample_weight is not None:
        values, sample_weight = same_rank(values, sample_weight)
        values = values * sample_weight
    if reduction in (None, "none"):
        return values
    if reduction == "sum":
        return values.sum()
    if reduction in ("mean", "sum_over_batch_size"):
        return values.mean()
    if reduction == "mean_with_sample_weight":
        count = values.numel() if sample_weight is None else sample_weight.sum()
        return values.sum() / count
    message = f"reduction {reduction!r} is none of sum_over_batch_size, mean, mean_with_sample_weight, sum, none"
    raise ValueError(message)
