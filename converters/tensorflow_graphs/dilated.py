"""Dilated convolutions that TensorFlow wrote as SpaceToBatchND, convolution, BatchToSpaceND: put back to one convolution.

Blocks of cells are moved into the batch, so that a plain convolution of each is the dilated one of all. What was padded to
make whole blocks is cut off again (tensorflow 1.15, python/ops/nn_ops.py, _with_space_to_batch_base_paddings).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from converters.tensorflow_graphs.flatten import FlatGraph, FlatNode
from converters.tensorflow_graphs.ordering import consumers
from converters.tensorflow_graphs.rules import Translation, graph_rule, refused_node
from converters.tensorflow_graphs.simplify import Formulas
from converters.tensorflow_graphs.values import Ref, Value

PADDED = "_Padded"
"""Operation that only flat graphs have: zeros around the middle axes, as `settings` say."""
_BETWEEN = ("Squeeze", "ExpandDims", "BiasAdd", "Conv2D", "DepthwiseConv2dNative")
_CONVOLUTIONS = _BETWEEN[3:]
_MAX_CHAIN = 6


def dilated_convolutions(flat: FlatGraph, targets: Sequence[Ref]) -> FlatGraph:
    """Return the graph with dilated convolutions as one node each."""
    ends = [node for node in flat.values() if node.op == "BatchToSpaceND"]
    if not ends:
        return flat
    result = dict(flat)
    taken = consumers(flat, targets)
    for end in ends:
        chain = _chain(flat, end, taken)
        if chain:
            _join(result, Formulas(flat), end, chain)
    return result


def _chain(flat: FlatGraph, end: FlatNode, taken: dict[Ref, list[str]]) -> list[FlatNode]:
    """Return the nodes between both moves, and the first move last; nothing if anything else is there."""
    found: list[FlatNode] = []
    node = end
    for _ in range(_MAX_CHAIN):
        source = node.inputs[0] if node.inputs else ("", 0)
        if source[0] not in flat or len(taken.get(source, ())) != 1:
            return []
        node = flat[source[0]]
        found.append(node)
        if node.op == "SpaceToBatchND":
            one = sum(each.op in _CONVOLUTIONS for each in found) == 1
            return found if one else []
        if node.op not in _BETWEEN:
            return []
    return []


def _join(result: FlatGraph, formulas: Formulas, end: FlatNode, chain: Sequence[FlatNode]) -> None:
    begin = chain[-1]
    numbers = [formulas.constant(ref) for ref in (*begin.inputs[1:], *end.inputs[1:])]
    if len(numbers) != 4 or any(each is None for each in numbers):
        return
    block, pads, again, crops = (np.asarray(each) for each in numbers)
    if not np.array_equal(block, again) or crops[:, 0].any():
        return
    rate = tuple(int(each) for each in block)
    around = tuple((int(p[0]), int(p[1] - c[1])) for p, c in zip(pads, crops, strict=True))
    settings: dict[str, object] = {"around": around}
    result[begin.name] = replace(begin, op=PADDED, inputs=begin.inputs[:1], settings=settings)
    for node in chain:
        if node.op in _CONVOLUTIONS:
            wide = (1,) * (2 - len(rate)) + rate
            result[node.name] = replace(node, settings={"dilation_rate": wide})
    result[end.name] = replace(end, op="Identity", inputs=end.inputs[:1])


@graph_rule(PADDED)
def padded(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return a tensor with zeros around its middle axes."""
    around = node.settings.get("around")
    x = translation.tensor(node, inputs[0])
    if not isinstance(around, tuple) or len(around) + 2 != len(x.shape):
        raise refused_node(node, f"blocks of {around} on {x.shape}")
    if not any(any(pair) for pair in around):
        return x
    pairs = ((0, 0), *around, (0, 0))
    return translation.operation(node, "Pad", {"x": x, "pad_width": pairs})[0]
