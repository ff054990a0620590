"""Rules of operations on images that are no layers: resizing, cells moved between axes, padding with what is inside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from converters.tensorflow_graphs.flatten import FlatNode
from converters.tensorflow_graphs.rules import (
    Translation,
    graph_rule,
    known,
    refused_node,
    whole_numbers,
)
from converters.tensorflow_graphs.values import Known, Tensor, Value, plain_numbers

Floats = NDArray[np.float64]


@graph_rule("MirrorPad")
def mirror_pad(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return a tensor with its own borders turned outwards: SYMMETRIC with the outermost cells, REFLECT without them."""
    skipped = int(node.attributes.text("mode") == "REFLECT")
    pairs = known(node, inputs[1], "paddings").array.tolist()
    x = translation.tensor(node, inputs[0])
    for axis, (before, after) in enumerate(pairs):
        size = x.shape[axis]
        if size is not None and max(before, after) > size - skipped:
            raise refused_node(node, f"pads axis {axis} of {size} by {(before, after)}")
        parts: list[Tensor] = [x]
        if before:
            inside = slice(skipped or None, before + skipped, None)
            parts.insert(0, _turned(node, x, axis, inside, translation))
        if after:
            inside = slice(-after - skipped, -skipped or None, None)
            parts.append(_turned(node, x, axis, inside, translation))
        if len(parts) > 1:
            x = translation.operation(node, "Concatenate", {"xs": tuple(parts), "axis": axis})[0]
    return x


def _turned(node: FlatNode, x: Tensor, axis: int, part: slice, translation: Translation) -> Tensor:
    key = tuple(part if place == axis else slice(None) for place in range(axis + 1))
    taken = translation.operation(node, "GetItem", {"x": x, "key": key})[0]
    return translation.operation(node, "Flip", {"x": taken, "axis": axis})[0]


@graph_rule("DepthToSpace", "SpaceToDepth")
def cells_moved(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return channels as blocks of cells, or blocks of cells as channels."""
    block = node.attributes.integer("block_size")
    x = translation.tensor(node, inputs[0])
    if node.attributes.text("data_format", "NHWC") != "NHWC" or None in x.shape[1:]:
        raise refused_node(node, f"data format {node.attributes.text('data_format')} of {x.shape}")
    height, width, channels = (size or 0 for size in x.shape[1:])
    if node.op == "DepthToSpace":
        parts = (-1, height, width, block, block, channels // block**2)
        whole = (-1, height * block, width * block, channels // block**2)
    else:
        parts = (-1, height // block, block, width // block, block, channels)
        whole = (-1, height // block, width // block, channels * block**2)
    order = (0, 1, 3, 2, 4, 5)  # its own inverse: one exchange of the same two axes serves both
    cells = translation.operation(node, "Reshape", {"x": x, "newshape": parts})[0]
    moved = translation.operation(node, "Transpose", {"x": cells, "axes": order})[0]
    return translation.operation(node, "Reshape", {"x": moved, "newshape": whole})[0]


@graph_rule("LRN")
def local_response(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return every channel divided by (bias + alpha * sum of the squares of its neighbours) ** beta."""
    x = translation.tensor(node, inputs[0])
    channels = x.shape[-1]
    if channels is None:
        raise refused_node(node, "normalizes over an open number of channels")
    radius = node.attributes.integer("depth_radius", 5)
    alpha, beta, bias = (
        float(str(np.float32(node.attributes.number(key, default))))
        for key, default in (("alpha", 1.0), ("beta", 0.5), ("bias", 1.0))
    )
    translation.builder.count_made(channels**2, node.name)
    places = np.arange(channels)
    near = abs(places[:, None] - places) <= radius
    band = Known((near * alpha).astype(x.dtype), "neighbours")
    squares = translation.operation(node, "Square", {"x": x})[0]
    sums = translation.operation(node, "Matmul", {"x1": squares, "x2": band})[0]
    added = translation.operation(node, "Add", {"x1": sums, "x2": bias})[0]
    scale = translation.operation(node, "Power", {"x1": added, "x2": beta})[0]
    return translation.operation(node, "Divide", {"x1": x, "x2": scale})[0]


@graph_rule("ResizeNearestNeighbor", "ResizeBilinear")
def resize(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return images of another size, by the cells that TensorFlow takes in each of its three conventions."""
    x = translation.tensor(node, inputs[0])
    wanted = whole_numbers(node, inputs[1], "size")
    if len(x.shape) != 4 or None in x.shape[1:3] or len(wanted) != 2:
        raise refused_node(
            node, f"resizes {x.shape} to {wanted}; fixed heights and widths are needed"
        )
    if node.op == "ResizeBilinear" and x.dtype != "float32":
        x = translation.cast(node, x, "float32")
    translation.builder.count_made(sum(wanted), node.name)
    for axis in (2, 1):  # columns first, then rows
        size = x.shape[axis] or 0
        if size != wanted[axis - 1]:
            places = _places(node, size, wanted[axis - 1])
            x = _resized(node, x, axis, places, translation)
    return x


def _places(node: FlatNode, size: int, wanted: int) -> Floats:
    """Return where in the old axis the middle of every new cell lies."""
    cells = np.arange(wanted, dtype=np.float64)
    if node.attributes.flag("align_corners") and wanted > 1:
        places = cells * np.float32((size - 1) / (wanted - 1))
        # Nearest is the one below, except where corners are aligned.
        return np.floor(places + 0.5) if node.op == "ResizeNearestNeighbor" else places
    scale = np.float32(size / wanted)
    if node.attributes.flag("half_pixel_centers"):
        offset = 0.0 if node.op == "ResizeNearestNeighbor" else 0.5
        return np.asarray((cells + 0.5) * scale - offset)
    return np.asarray(cells * scale)


def _resized(
    node: FlatNode, x: Tensor, axis: int, places: Floats, translation: Translation
) -> Tensor:
    last = (x.shape[axis] or 1) - 1
    below = np.clip(np.floor(places), 0, last).astype(np.int64)
    low = _taken(node, x, axis, below, translation)
    if node.op == "ResizeNearestNeighbor":
        return low
    above = np.clip(np.floor(places) + 1, 0, last).astype(np.int64)
    shares = (places - np.floor(places)).astype(np.float32)
    if not (shares * (above != below)).any():
        return low
    high = _taken(node, x, axis, above, translation)
    gap = translation.operation(node, "Subtract", {"x1": high, "x2": low})[0]
    weight = Known(shares.reshape(-1, *[1] * (3 - axis)), "shares")
    part = translation.operation(node, "Multiply", {"x1": gap, "x2": weight})[0]
    return translation.operation(node, "Add", {"x1": low, "x2": part})[0]


def _taken(
    node: FlatNode, x: Tensor, axis: int, places: NDArray[np.int64], translation: Translation
) -> Tensor:
    arguments: dict[str, object] = {"x": x, "indices": plain_numbers(places), "axis": axis}
    return translation.operation(node, "Take", arguments)[0]
