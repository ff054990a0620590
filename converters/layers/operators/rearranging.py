"""Axes named in a pattern: split, put in another order and joined."""

from __future__ import annotations

import math
import re

from converters.graph import Layer
from converters.registry import Shape, TorchStep, layer
from converters.rule_parts.operations import Operation, refused
from converters.settings import integer, text


@layer("ops.Rearrange", takes_call=True)
def rearrange(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return axes split, put in another order and joined, as a pattern says: "b (h p) c -> b h (p c)"."""
    operation = Operation.of(layer, shapes, "tensor", "pattern")
    operation.only("tensor")
    pattern = text(operation.layer, "pattern", "")
    left, arrow, right = pattern.partition("->")
    before, behind = _groups(left), _groups(right)
    names = [name for group in before for name in group]
    order = [name for group in behind for name in group]
    if not arrow or len(before) != len(shapes[0]) or sorted(names) != sorted(order):
        raise refused(layer, f"pattern {pattern!r:.60} of {shapes[0]}")
    sizes = _sizes(operation.layer, before, shapes[0])
    parts = tuple(sizes[name] for name in names)
    turned = tuple(names.index(name) for name in order)
    inner = tuple(sizes[name] for name in order)
    joined = tuple(_product([sizes[name] for name in group]) for group in behind)
    steps = [] if len(names) == len(before) else [_to_shape(layer, parts)]
    if turned != tuple(range(len(turned))):
        steps.append(TorchStep("torch.permute", {"dims": turned}, shape=inner))
    return steps if len(inner) == len(joined) else [*steps, _to_shape(layer, joined)]


def _groups(side: str) -> list[list[str]]:
    """Return the names of every axis, several of one that is made of several."""
    return [group.strip("()").split() for group in re.findall(r"\w+|\([^()]*\)", side)]


def _sizes(layer: Layer, groups: list[list[str]], shape: Shape) -> dict[str, int | None]:
    """Return the size of every name; of those in an axis, one may follow from the others."""
    sizes: dict[str, int | None] = {}
    for group, size in zip(groups, shape, strict=True):
        known = {
            name: integer(layer, name)
            for name in group
            if len(group) > 1 and layer.config.get(name) is not None
        }
        free, split = [name for name in group if name not in known], math.prod(known.values())
        if len(free) > 1 or split < 1 or (size is not None and size % split):
            raise refused(layer, f"axis of {size} as {' '.join(group)}")
        sizes |= {**known, **dict.fromkeys(free, None if size is None else size // split)}
    return sizes


def _product(sizes: list[int | None]) -> int | None:
    return None if None in sizes else math.prod(size or 0 for size in sizes)


def _to_shape(layer: Layer, shape: Shape) -> TorchStep:
    """Return the step to a shape of which torch works out one size."""
    if shape.count(None) > 1:
        raise refused(layer, f"shape {shape}, at most one free size is needed")
    sizes = tuple(-1 if size is None else size for size in shape)
    return TorchStep("torch.reshape", {"shape": sizes}, shape=shape)
