"""How a parameter of the module lies in Keras, for optimizers that look at rows and columns."""

from __future__ import annotations

from converters.layouts import Backwards, Layout, Parts


def keras_order(layout: Layout, shape: tuple[int, ...]) -> list[list[int]] | None:
    """Return how to bring a torch parameter into Keras's order of axes: split into sizes, move axes, merge.

    The order along an axis (gates, cells of a kernel) stays that of torch. None: nothing is to be done.

    Args:
        layout: from Keras to torch.
        shape: in Keras.
    """
    sizes: dict[str, int] = {}
    for group, size in zip(layout.left, shape, strict=True):
        if isinstance(group, Parts):
            sizes[group.axis] = size
        elif len(group) == 1:
            sizes[group[0]] = size
    left = [axis for group in layout.left for axis in _axes(group)]
    right = [axis for group in layout.right for axis in _axes(group)]
    if left == right and all(len(_axes(group)) == 1 for group in layout.right):
        return None
    return [[sizes[axis] for axis in right], [right.index(axis) for axis in left], list(shape)]


def order_of_slot(layout: Layout, dropped_axis: int) -> Layout:
    """Return the layout of a slot without one of Keras's axes: they keep their order, parts take that of torch."""
    torch_parts = {group.axis: group for group in layout.right if isinstance(group, Parts)}
    kept = list(layout.left)
    del kept[dropped_axis]
    moved = [torch_parts[g.axis] if isinstance(g, Parts) else g for g in kept]
    return Layout(tuple(kept), tuple(moved))


def _axes(group: tuple[str, ...]) -> tuple[str, ...]:
    return (group.axis,) if isinstance(group, (Parts, Backwards)) else group
