"""The rule of `Reshape`: sizes that are open keep what they are the size of, and axes that became one come apart again."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from converters.registry import Shape
from converters.tensorflow_graphs.flatten import FlatNode
from converters.tensorflow_graphs.rules import Translation, graph_rule, refused_node, sizes_of
from converters.tensorflow_graphs.values import Filled, Origin, Sizes, Tensor, Value


@graph_rule("Reshape")
def reshape(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return another shape; a size that is open in it is found by torch."""
    given = sizes_of(node, inputs[1], "shape")
    if isinstance(inputs[0], Filled):
        origins = inputs[1].origins if isinstance(inputs[1], Sizes) else ()
        shape_ = tuple(None if each == -1 else each for each in given)
        return Filled(inputs[0].value, shape_, inputs[0].dtype, origins=origins)
    x = translation.tensor(node, inputs[0])
    given = _batch_freed(x.shape, given, is_single=translation.builder.is_single)
    if given == x.shape and list(given).count(None) <= 1:
        return x
    origins = inputs[1].origins if isinstance(inputs[1], Sizes) else ()
    apart = translation.builder.merged.get(x.ref)
    if apart is not None and _restores(apart, given, origins):
        return apart
    open_ = [each for each in given if each in (None, -1)]
    if len(open_) <= 1:
        wanted: tuple[int | None, ...] = tuple(-1 if each is None else each for each in given)
        if None not in (x.shape or (None,)) and -1 in wanted:
            wanted = _without_gap(x.shape, wanted)
        found = translation.operation(node, "Reshape", {"x": x, "newshape": wanted})[0]
        if len(wanted) == 2 < len(x.shape) and wanted[1] == x.shape[-1]:
            translation.builder.merged[found.ref] = x
        return found
    if not _same_rows(x, origins, translation):
        raise refused_node(
            node, f"shape {given}: its first size is not the number of rows it takes"
        )
    if given[0] is None and list(given).count(None) == 1:
        return translation.operation(node, "Reshape", {"x": x, "newshape": given})[0]
    if given[0] is None and given.count(None) == 2 and -1 not in given and x.shape[0] is None:
        later = (None, *(-1 if each is None else each for each in given[1:]))
        return translation.operation(node, "Reshape", {"x": x, "newshape": later})[0]
    raise refused_node(node, f"shape {given}: at most its first size and one other may be open")


def _restores(apart: Tensor, given: Shape, origins: Sequence[Origin | None]) -> bool:
    """Tell whether a shape is the one that a tensor had before its first axes became one."""
    if len(given) != len(apart.shape):
        return False
    for axis, (wanted, size) in enumerate(zip(given, apart.shape, strict=True)):
        origin = origins[axis] if axis < len(origins) else None
        if wanted != size and wanted != -1:
            return False
        if wanted is None and (origin is None or origin.axis != axis):
            return False
    return True


def _same_rows(x: Tensor, origins: Sequence[Origin | None], translation: Translation) -> bool:
    """Tell whether the first of several open sizes is the number of rows of a tensor."""
    origin = origins[0] if origins else None
    row_of = translation.builder.row_of
    if origin is None:
        return row_of.get(x.ref, "") == ""
    return origin.axis == 0 and row_of.get(origin.tensor.ref, "") == row_of.get(x.ref, "")


def _without_gap(
    shape_: tuple[int | None, ...], wanted: tuple[int | None, ...]
) -> tuple[int | None, ...]:
    total = int(np.prod([each or 0 for each in shape_]))
    rest = int(np.prod([each or 1 for each in wanted if each != -1]))
    return tuple(total // max(rest, 1) if each == -1 else each for each in wanted)


def _batch_freed(
    shape_: Shape, given: tuple[int | None, ...], *, is_single: bool
) -> tuple[int | None, ...]:
    """Return a new shape without the batch of one that a graph was made for, where the input's batch is open.

    Args:
        shape_: of the input.
        given: as the graph has it.
        is_single: whether it is certain that the graph was made for one; else only a shape that holds one row says it.
    """
    inner, wanted = shape_[1:], given[1:]
    if given[:1] != (1,) or shape_[:1] != (None,) or None in (*inner, *wanted):
        return given
    row = math.prod(n or 0 for n in inner)
    size = math.prod(n or 0 for n in wanted if n != -1)
    if -1 not in wanted:
        # Several rows of one may have been made of each: they come together again.
        whole = row == size or (is_single and row and size % row == 0)
        return (None, *wanted) if whole else given
    if not is_single or not size or row % size:
        return given
    return (None, *(row // size if n == -1 else n for n in wanted))
