"""Which parameters an optimizer trains, by the beginning of their names.

Mirror: legacy_tf/variables.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn


def get_vars(source: nn.Module | Mapping[str, Tensor], prefix: str) -> list[Tensor]:
    """Return the trained parameters whose names begin with `prefix`, in the order in which they were made.

    `main/value` also takes `main/value_1` and `main/value_2`.

    Args:
        source: module with its own names, or tensors by name, as `ActorCritic.variables` has them.
        prefix: regular expression for the beginning of the name, as in the original.

    Raises:
        ValueError: No name begins so.
    """
    tensors = dict(source.named_parameters()) if isinstance(source, nn.Module) else dict(source)
    found = [
        tensor
        for name, tensor in tensors.items()
        if tensor.requires_grad and re.match(prefix, name)
    ]
    if not found:
        known = sorted(name for name, tensor in tensors.items() if tensor.requires_grad)
        msg = f"no trained variable begins with {prefix!r}; there are: {', '.join(known) or 'none'}"
        raise ValueError(msg)
    return found
