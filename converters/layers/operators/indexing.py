"""Operations that pick, split, sort and encode."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from converters.graph import Constant, Layer, Operand
from converters.registry import Lowered, Plain, Shape, TorchStep, layer
from converters.rule_parts.operations import (
    Operation,
    axis_of,
    dtype_of,
    flat,
    plain_numbers,
    refused,
    row_step,
)
from converters.settings import flag, integer, integers, unsupported


@layer("ops.GetItem", takes_call=True)
def get_item(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x[index] for whole numbers, slices, new axes and an ellipsis."""
    operation = Operation.of(layer, shapes, "x", "key")
    operation.tensor("x")
    operation.only("x")
    given = operation.settings.get("key")
    return _item(layer, shapes[0], list(given) if isinstance(given, (list, tuple)) else [given])


def _item(layer: Layer, whole: Shape, index: list[object]) -> list[TorchStep]:
    plain: list[Plain] = []
    shape: list[int | None] = []
    before: list[Plain] = []  # axes to turn around before the index is taken
    behind: list[Plain] = []
    sizes = iter(whole)
    for item in _spread(layer, whole, index):
        if item is None:
            plain.append(None)
            shape.append(1)
        elif isinstance(item, slice):
            size = next(sizes)
            bounds = _bounds(layer, item)
            if (item.step or 1) < 0:
                bounds = _upwards(layer, item, size)
                if size is None:
                    before.append(sum(each is not None for each in plain))
                else:
                    behind.append(len(shape))
            plain.append(("slice", *bounds))
            shape.append(_sliced(item, size))
        elif isinstance(item, int) and not isinstance(item, bool):
            plain.append(item)
            next(sizes)
        else:
            raise refused(layer, f"index {item!r:.60}, a whole number or a slice is needed")
    if not plain:
        return []
    shape += sizes
    steps = [TorchStep("operator.getitem", {"index": tuple(plain)}, shape=tuple(shape))]
    if before:
        steps.insert(0, TorchStep("torch.flip", {"dims": tuple(before)}))
    return [*steps, *([TorchStep("torch.flip", {"dims": tuple(behind)})] if behind else [])]


def _spread(layer: Layer, whole: Shape, index: list[object]) -> list[object]:
    """Return the index with whole axes for its ellipsis, and without those at its end."""
    used = sum(item is not None and item is not ... for item in index)
    if ... in index:
        place = index.index(...)
        rest = [slice(None)] * (len(whole) - used)
        index = [*index[:place], *rest, *index[place + 1 :]]
    elif used > len(whole):
        raise refused(layer, f"{used} indices of {len(whole)} axes")
    while index and index[-1] == slice(None):
        index.pop()
    return index


def _bounds(layer: Layer, item: slice) -> Sequence[int | None]:
    bounds = (item.start, item.stop, item.step)
    whole = all(value is None or isinstance(value, int) for value in bounds)
    if not whole or item.step == 0:
        raise refused(layer, f"slice {bounds}, whole numbers and a step that is not 0 are needed")
    return bounds


def _upwards(layer: Layer, item: slice, size: int | None) -> Sequence[int | None]:
    """Return a slice with a negative step as one with a positive step: of the axis turned around, if its size is free."""
    if size is not None:
        found = range(*item.indices(size))
        return (found[-1], found[0] + 1, -found.step) if found else (0, 0, None)
    if item.start is not None or item.stop is not None:
        raise refused(layer, f"slice {item} of an axis of free size")
    return (None, None, -item.step)


def _sliced(item: slice, size: int | None) -> int | None:
    return None if size is None else len(range(*item.indices(size)))


@layer("ops.Slice", takes_call=True)
def slice_from(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return some elements of every axis from a start on; -1 are all that follow, from a fixed start."""
    operation = Operation.of(layer, shapes, "inputs", "start_indices", "shape")
    if isinstance(operation.settings.get("start_indices"), Operand):
        sizes = integers(operation.layer, "shape")
        if len(sizes) != len(operation.shape("inputs")) or min(sizes, default=0) < 0:
            raise refused(
                layer, f"shape {sizes} from starts that are a tensor, fixed sizes are needed"
            )
        names = [operation.tensor("inputs"), operation.tensor("start_indices")]
        operation.result("compat.slice_at", {"shape": sizes}, of=names, shape=sizes)
        return operation.steps
    operation.only("inputs")
    starts, sizes = (integers(operation.layer, key) for key in ("start_indices", "shape"))
    if len(starts) != len(shapes[0]) or len(sizes) != len(starts):
        raise refused(layer, f"{len(starts)} starts of {len(shapes[0])} axes")
    index = [
        slice(start or None, None if size == -1 else start + size)
        for start, size in zip(starts, sizes, strict=True)
    ]
    return _item(layer, shapes[0], list(index))


@layer("ops.SliceUpdate", takes_call=True)
def slice_update(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x with a block of other elements from a start on."""
    operation = Operation.of(layer, shapes, "inputs", "start_indices", "updates")
    names = [operation.value(key) for key in ("inputs", "start_indices", "updates")]
    operation.result("compat.update_at", of=names, shape=operation.shape("inputs"))
    return operation.steps


@layer("ops.Scatter", takes_call=True)
def scatter(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return zeros of a fixed shape with values added at some places."""
    operation = Operation.of(layer, shapes, "indices", "values", "shape")
    operation.only("indices", "values")
    sizes = integers(operation.layer, "shape")
    names = [operation.value("indices"), operation.value("values")]
    operation.result("compat.scatter_values", {"shape": sizes}, of=names, shape=sizes)
    return operation.steps


@layer("ops.ScatterUpdate", takes_call=True)
def scatter_update(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x with other elements at some places, or joined with those that are there."""
    operation = Operation.of(layer, shapes, "inputs", "indices", "updates")
    given = operation.settings.get("reduction")
    known = {"add": "sum", "max": "amax", "min": "amin", "mul": "prod"}
    if given is not None and given not in known:
        raise unsupported(operation.layer, "reduction", needed=f"null, {', '.join(known)}")
    kwargs: dict[str, Plain] = {} if given is None else {"reduce": known[str(given)]}
    names = [operation.value(key) for key in ("inputs", "indices", "updates")]
    operation.result("compat.scatter_onto", kwargs, of=names, shape=operation.shape("inputs"))
    return operation.steps


@layer("ops.IsIn", takes_call=True)
def is_in(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return which elements are among those of another tensor."""
    operation = Operation.of(layer, shapes, "x1", "x2", "assume_unique", "invert")
    names = [operation.value("x1"), operation.value("x2")]
    inverted = flag(operation.layer, "invert", default=False)
    kwargs: dict[str, Plain] = {"invert": True} if inverted else {}
    operation.result("torch.isin", kwargs, of=names, shape=operation.shape("x1"))
    return operation.steps


@layer("ops.Take", takes_call=True)
def take(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the elements at some places of an axis; the places are fixed or a tensor."""
    operation = Operation.of(layer, shapes, "x", "indices", "axis")
    x, shape = (
        operation.in_a_row("x")
        if operation.settings.get("axis") is None
        else (operation.value("x"), operation.shape("x"))
    )
    axis = axis_of(operation.layer, "axis", len(shape), 0)
    picked = (*shape[:axis], *operation.shape("indices"), *shape[axis + 1 :])
    given = operation.settings.get("indices")
    if isinstance(given, Operand):
        names = [x, operation.tensor("indices")]
        operation.result("compat.gather_places", {"dim": axis}, of=names, shape=picked)
        return operation.steps
    values = plain_numbers(layer, given.values if isinstance(given, Constant) else given)
    size = shape[axis]
    places = [item if isinstance(item, int) else -1 for item in flat(values)]
    if min(places, default=0) < 0:
        if size is None or min(places) < -size:
            raise refused(layer, f"places {values!r:.60} of {size} elements")
        values = _from_zero(values, size)
    kwargs: dict[str, Plain] = {"indices": values, "dim": axis}
    operation.result("compat.take_places", kwargs, of=[x], shape=picked)
    return operation.steps


def _from_zero(values: Plain, size: int) -> Plain:
    if isinstance(values, tuple):
        return tuple(_from_zero(item, size) for item in values)
    return int(values or 0) % size


@layer("ops.TakeAlongAxis", takes_call=True)
def take_along_axis(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return for every place of an index tensor the element that it names on one axis."""
    operation = Operation.of(layer, shapes, "x", "indices", "axis")
    x, shape = (
        operation.in_a_row("x")
        if operation.settings.get("axis") is None
        else (operation.value("x"), operation.shape("x"))
    )
    axis = axis_of(operation.layer, "axis", len(shape), 0)
    names = [x, operation.value("indices")]
    places = operation.shape("indices")
    whole = operation.result("compat.cast", {"dtype": "int64"}, of=[names[1]], shape=places)
    picked = tuple(
        places[axis] if place == axis else (size if each in (1, None) else each)
        for place, (size, each) in enumerate(zip(shape, places, strict=True))
    )
    operation.result("torch.take_along_dim", {"dim": axis}, of=[names[0], whole], shape=picked)
    return operation.steps


@layer("ops.Split", "ops.ArraySplit", "ops.Hsplit", "ops.Vsplit", "ops.Dsplit", takes_call=True)
def split(layer: Layer, *shapes: Shape) -> Lowered:
    """Return equal parts of an axis, or the parts between some places."""
    operation = Operation.of(layer, shapes, "x", "indices_or_sections", "axis")
    operation.only("x")
    shape = shapes[0]
    fixed = {"ops.Vsplit": 0, "ops.Hsplit": min(1, len(shape) - 1), "ops.Dsplit": 2}
    axis = fixed.get(layer.class_name)
    axis = axis_of(operation.layer, "axis", len(shape), 0) if axis is None else axis
    size = shape[axis]
    given = operation.settings.get("indices_or_sections")
    if size is None:
        raise refused(layer, "an axis of a known size is needed")
    if isinstance(given, int) and not isinstance(given, bool):
        uneven = layer.class_name != "ops.ArraySplit" and size % max(given, 1)
        if given < 1 or uneven:
            raise refused(layer, f"{given} parts of {size} elements")
        small, more = divmod(size, given)
        parts = [small + 1] * more + [small] * (given - more)
    else:
        places = [0, *integers(operation.layer, "indices_or_sections"), size]
        parts = [after - before for before, after in itertools.pairwise(places)]
    return parts_of(layer, shape, axis, parts)


def parts_of(layer: Layer, shape: Shape, axis: int, parts: Sequence[int]) -> Lowered:
    """Return the parts of an axis, of the sizes that are given; their sum must be its size."""
    if min(parts) < 0 or (shape[axis] is not None and sum(parts) != shape[axis]):
        raise refused(layer, f"parts of {list(parts)} of {shape[axis]} elements")
    names = tuple(f"part_{index}" for index in range(len(parts)))
    found = [(*shape[:axis], part, *shape[axis + 1 :]) for part in parts]
    if len(parts) == 1:
        return Lowered((), ("input_0",))
    kwargs: dict[str, Plain] = {"split_size_or_sections": tuple(parts), "dim": axis}
    step = TorchStep(
        "torch.split", kwargs, shape=found[0], results=names, further_shapes=tuple(found[1:])
    )
    return Lowered((step,), names)


@layer("ops.Unstack", takes_call=True)
def unstack(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the elements of one axis, each without it."""
    operation = Operation.of(layer, shapes, "x", "num", "axis")
    operation.only("x")
    shape = shapes[0]
    axis = axis_of(operation.layer, "axis", len(shape), 0)
    count = (
        shape[axis] if operation.settings.get("num") is None else integer(operation.layer, "num")
    )
    if count is None or count < 1 or shape[axis] not in (None, count):
        raise refused(layer, f"{count} parts of {shape[axis]} elements")
    rest = (*shape[:axis], *shape[axis + 1 :])
    names = tuple(f"part_{index}" for index in range(count))
    if count == 1:
        step = TorchStep("torch.squeeze", {"dim": axis}, shape=rest, results=names)
    else:
        step = TorchStep(
            "torch.unbind",
            {"dim": axis},
            shape=rest,
            results=names,
            further_shapes=(rest,) * (count - 1),
        )
    return Lowered((step,), names)


@layer("ops.TopK", takes_call=True)
def top_k(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the largest elements of the last axis and where they are; of equal ones the first."""
    operation = Operation.of(layer, shapes, "x", "k", "sorted")
    operation.only("x")
    count = integer(operation.layer, "k")
    shape = (*shapes[0][:-1], count)
    results = ("values", "places")
    step = TorchStep(
        "compat.top_k", {"k": count}, shape=shape, results=results, further_shapes=(shape,)
    )
    return Lowered((step,), ("values", "places"))


@layer("ops.Sort", "ops.Argsort", takes_call=True)
def sort(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the elements of an axis by size, or their places; equal ones keep their order. TensorFlow states a direction."""
    operation = Operation.of(layer, shapes, "x", "axis")
    operation.only("x")
    falling = operation.settings.get("direction", "ASCENDING") == "DESCENDING"
    flattened = operation.settings.get("axis", -1) is None
    before = [row_step(shapes[0])] if flattened else []
    shape = before[0].shape if flattened else shapes[0]
    axis = 0 if flattened else axis_of(operation.layer, "axis", len(shapes[0]), -1)
    if layer.class_name == "ops.Sort":
        turned = [TorchStep("torch.flip", {"dims": (axis,)})] if falling else []
        return [*before, TorchStep("compat.sort_along", {"dim": axis}, shape=shape), *turned]
    kwargs: dict[str, Plain] = {"dim": axis, "stable": True}
    kwargs |= {"descending": True} if falling else {}
    return [*before, TorchStep("torch.argsort", kwargs, shape=shape)]


@layer("ops.OneHot", "ops.MultiHot", takes_call=True)
def encode(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return 1 where an index is, 0 elsewhere."""
    operation = Operation.of(layer, shapes, "x", "num_classes", "axis", "dtype")
    operation.only("x")
    if operation.settings.get("sparse"):
        raise unsupported(operation.layer, "sparse", needed="false")
    several = layer.class_name == "ops.MultiHot"
    before = shapes[0][:1] + shapes[0][2:] if several and len(shapes[0]) > 1 else shapes[0]
    before = () if several and len(shapes[0]) == 1 else before
    if several and len(shapes[0]) > 2:
        raise refused(layer, f"input {shapes[0]}, one or two axes are needed")
    classes = integer(operation.layer, "num_classes")
    axis = axis_of(operation.layer, "axis", len(before) + 1, -1)
    kwargs: dict[str, Plain] = {
        "classes": classes,
        "axis": axis,
        "dtype": dtype_of(operation.layer, "dtype", "float32"),
    }
    op = "compat.multi_hot_along" if several else "compat.one_hot_along"
    return [TorchStep(op, kwargs, shape=(*before[:axis], classes, *before[axis:]))]


@layer("ops.Digitize", "ops.SearchSorted", takes_call=True)
def bins(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return in which bin every element lies."""
    digitize = layer.class_name == "ops.Digitize"
    names = ("x", "bins") if digitize else ("sorted_sequence", "values", "side")
    operation = Operation.of(layer, shapes, *names)
    key, values = ("bins", "x") if digitize else ("sorted_sequence", "values")
    if len(operation.shape(key)) != 1:
        raise refused(layer, f"bins {operation.settings.get(key)!r:.60}, one list is needed")
    right = digitize or operation.settings.get("side") == "right"
    given = [operation.value(key), operation.tensor(values)]
    kwargs: dict[str, Plain] = {"right": True} if right else {}
    operation.result("torch.searchsorted", kwargs, of=given, shape=operation.shape(values))
    return operation.steps


@layer("ops.TakeOfSamples", takes_call=True)
def take_of_samples(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the elements at places of the axis behind the batch, each sample's at its own: `tf.gather(batch_dims=1)`."""
    operation = Operation.of(layer, shapes, "x", "indices")
    operation.only("x", "indices")
    x, places = operation.shape("x"), operation.shape("indices")
    if axis_of(operation.layer, "axis", len(x), 1) != 1 or not places:
        raise unsupported(operation.layer, "axis", needed="1, beside batch_dims of 1")
    shape = (x[0], *places[1:], *x[2:])
    names = [operation.tensor("x"), operation.tensor("indices")]
    operation.result("compat.take_of_samples", of=names, shape=shape)
    return operation.steps


@layer("ops.SequenceMask", takes_call=True)
def sequence_mask(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return which of so many places lie before the length that a tensor gives: `tf.sequence_mask`."""
    operation = Operation.of(layer, shapes, "x", "size")
    operation.only("x")
    count = integer(operation.layer, "size")
    dtype = dtype_of(operation.layer, "dtype", "bool")
    kwargs: dict[str, Plain] = {"size": count, "dtype": dtype}
    return [TorchStep("compat.sequence_mask", kwargs, shape=(*shapes[0], count))]
