"""Cross entropies as operations among layers: of every element or row, without a mean. Each function stands alone.

What Keras calls a softmax or sigmoid before it is not looked for: Keras then computes from its logits, which is the same
where no probability is within 1e-7 of 0 or 1.
"""

from __future__ import annotations

import torch
from torch import Tensor


def binary_crossentropies(
    target: Tensor, output: Tensor, *, from_logits: bool = False
) -> Tensor:
    """Return the cross entropy of every element; probabilities stay 1e-7 off 0 and 1."""
    target = target.to(output.dtype)
    if from_logits:
        return torch.nn.functional.binary_cross_entropy_with_logits(
            output, target, reduction="none"
        )
    p = torch.clamp(output, 1e-7, 1 - 1e-7)
    return -(target * torch.log(p) + (1 - target) * torch.log(1 - p))


def categorical_crossentropies(
    target: Tensor, output: Tensor, *, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """Return the cross entropy over an axis of classes; probabilities are made to sum to 1 and stay 1e-7 off 0 and 1."""
    target = target.to(output.dtype)
    if from_logits:
        return -(target * torch.log_softmax(output, axis)).sum(axis)
    p = torch.clamp(output / output.sum(axis, keepdim=True), 1e-7, 1 - 1e-7)
    return -(target * torch.log(p)).sum(axis)


def sparse_categorical_crossentropies(
    target: Tensor, output: Tensor, *, from_logits: bool = False
) -> Tensor:
    """Return the cross entropy over the last axis, of classes that are given by their number.

    Args:
        target: (...) or (..., 1).
        output: (..., classes); logarithms of probabilities, 1e-7 off 0 and 1, are made logits.
        from_logits: `output` are logits as it is.
    """
    if target.dim() == output.dim():
        target = target.squeeze(-1)
    logits = output if from_logits else torch.log(torch.clamp(output, 1e-7, 1 - 1e-7))
    scores = torch.log_softmax(logits, -1)
    return -scores.gather(-1, target.long().unsqueeze(-1)).squeeze(-1)
