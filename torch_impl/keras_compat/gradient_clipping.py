"""The three gradient clippings of Keras, over lists of tensors.

They differ from torch.nn.utils: `clip_grad_norm_` divides by norm + 1e-6, and Keras' `clipnorm` looks at each
variable on its own. Nothing is changed in place.

Source: keras 3.15.1, optimizers/base_optimizer.py, `_clip_gradients`; Keras 2.15 agrees.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def clip_each_norm(gradients: Sequence[Tensor], limit: float) -> list[Tensor]:
    """Return every gradient scaled to a norm of at most `limit`: g * limit / max(|g|, limit)."""
    norms = torch._foreach_norm(list(gradients))
    torch._foreach_clamp_min_(norms, limit)
    scaled = torch._foreach_mul(list(gradients), limit)
    return [gradient.div_(norm) for gradient, norm in zip(scaled, norms, strict=True)]


def clip_global_norm(gradients: Sequence[Tensor], limit: float) -> list[Tensor]:
    """Return the gradients scaled to a common norm of at most `limit`; NaN if any of them is not finite."""
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(gradients))))
    return list(torch._foreach_mul(list(gradients), global_clip_scale(norm, limit)))


def global_clip_scale(norm: Tensor, limit: float) -> Tensor:
    """Return what gradients of a common norm, 0-d, are multiplied with: limit / max(norm, limit)."""
    # norm - norm is 0 for a finite norm and NaN otherwise: an overflow is passed on, not hidden by a scale of 0.
    return limit * torch.clamp_max(1.0 / norm, 1.0 / limit) + (norm - norm)


def clip_each_value(gradients: Sequence[Tensor], limit: float) -> list[Tensor]:
    """Return the gradients with every element in [-limit, limit]."""
    clipped = torch._foreach_clamp_max(list(gradients), limit)
    torch._foreach_clamp_min_(clipped, -limit)
    return list(clipped)
