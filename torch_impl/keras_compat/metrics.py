"""The metrics of Keras that are means over samples, as functions of torch tensors: accuracies and similarities.

Every function takes (output, target) and returns one value a sample, in the output's dtype, an accuracy 1 for a right one
and 0 for a wrong one; what Keras shows is their mean over the epoch. Losses are metrics as well (`losses.py`), and others
need a memory (`running_metrics.py`). Equal largest outputs: the first counts.

Source: keras 3.15.1, metrics/accuracy_metrics.py, correlation_metrics.py and regression_metrics.py.
"""

from __future__ import annotations

from torch import Tensor

from torch_impl.keras_compat import losses
from torch_impl.keras_compat.losses import EPSILON, same_rank


def accuracy(output: Tensor, target: Tensor) -> Tensor:
    """Return where output and target are equal."""
    output, target = same_rank(output, target)
    return (output == target).to(output.dtype)


def binary_accuracy(
    output: Tensor, target: Tensor, *, threshold: float = 0.5
) -> Tensor:
    """Return where output > threshold is what the target says."""
    output, target = same_rank(output, target)
    return ((output > threshold).to(output.dtype) == target).to(output.dtype)


def categorical_accuracy(output: Tensor, target: Tensor) -> Tensor:
    """Return where the largest output is at the largest target."""
    return (output.argmax(-1) == target.argmax(-1)).to(output.dtype)


def sparse_categorical_accuracy(output: Tensor, target: Tensor) -> Tensor:
    """Return where the largest output has the class number of the target, (batch, ...) or (batch, ..., 1)."""
    if target.dim() == output.dim():
        target = target.squeeze(-1)
    return (output.argmax(-1) == target).to(output.dtype)


def top_k_categorical_accuracy(output: Tensor, target: Tensor, *, k: int = 5) -> Tensor:
    """Return where fewer than k outputs are larger than the one of the largest target."""
    return sparse_top_k_categorical_accuracy(output, target.argmax(-1), k=k)


def sparse_top_k_categorical_accuracy(
    output: Tensor, target: Tensor, *, k: int = 5
) -> Tensor:
    """Return where fewer than k outputs are larger than that of the target's class number."""
    target = target.squeeze(-1) if target.dim() == output.dim() else target
    right = output.gather(-1, target.long().unsqueeze(-1))
    return ((output > right).sum(-1) < k).to(output.dtype)


def compiled_accuracy(output: Tensor, target: Tensor) -> Tensor:
    """Return the accuracy that "accuracy" in `compile` means for these shapes: binary, sparse or categorical."""
    if output.shape[-1] == 1:
        return binary_accuracy(output, target)
    if target.dim() < output.dim() or target.shape[-1] == 1:
        return sparse_categorical_accuracy(output, target)
    return categorical_accuracy(output, target)


def pearson_correlation(output: Tensor, target: Tensor, *, axis: int = -1) -> Tensor:
    """Return the mean of the product of both, each less its mean and over its standard deviation."""
    output, target = same_rank(output, target)
    scaled = []
    for values in (output, target):
        centred = values - values.mean(axis, keepdim=True)
        scaled.append(centred / centred.std(axis, correction=0, keepdim=True))
    return (scaled[0] * scaled[1]).mean(axis)


def concordance_correlation(
    output: Tensor, target: Tensor, *, axis: int = -1
) -> Tensor:
    """Return 2 * covariance / (both variances + (difference of the means)**2).

    The covariance is the mean of (target - mean output) * (output - mean output), as in Keras; as the second factor
    has mean 0, the constant in the first makes no difference.
    """
    output, target = same_rank(output, target)
    mean = output.mean(axis, keepdim=True)
    apart = (mean - target.mean(axis, keepdim=True)).square()
    variances = [x.var(axis, correction=0, keepdim=True) for x in (output, target)]
    product = (target - mean) * (output - mean)
    return (2 * product / (variances[0] + variances[1] + apart + EPSILON)).mean(axis)


def cosine_similarity(output: Tensor, target: Tensor, *, axis: int = -1) -> Tensor:
    """Return the cosine of the angle between output and target, of which the loss of this name is the negative."""
    return -losses.cosine_similarity(output, target, axis=axis)
