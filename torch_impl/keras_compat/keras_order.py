"""Parameters with their axes in Keras's order, for whatever looks at rows, columns or a numbered axis of a weight."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

KerasOrder = Sequence[Sequence[Sequence[int]] | None]
"""For each parameter None, or three lists: its axes split into these sizes, moved into this order, merged into this shape."""


def in_keras_order(tensor: Tensor, order: Sequence[Sequence[int]] | None) -> Tensor:
    """Return a parameter with its axes as Keras has them, (in, out) for a `Linear`: a view or a copy."""
    if order is None:
        return tensor
    split, axes, shape = order
    return tensor.reshape(tuple(split)).permute(tuple(axes)).reshape(tuple(shape))


def from_keras_order(
    tensor: Tensor, like: Tensor, order: Sequence[Sequence[int]] | None
) -> Tensor:
    """Return the opposite of `in_keras_order`, in the shape of `like`."""
    if order is None:
        return tensor
    split, axes, _ = order
    moved = tensor.reshape([split[axis] for axis in axes])
    return moved.permute([axes.index(axis) for axis in range(len(axes))]).reshape(
        like.shape
    )
