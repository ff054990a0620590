"""Rules of operations on single elements that the table of nodes does not settle, and of those that draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from converters.tensorflow_graphs.flatten import FlatNode
from converters.tensorflow_graphs.rules import Translation, graph_rule, refused_node
from converters.tensorflow_graphs.values import Filled, Known, Tensor, Value, plain_number


@graph_rule(
    "Softplus",
    "Elu",
    "Selu",
    "Relu",
    "Relu6",
    "Softsign",
    "Sigmoid",
    "Tanh",
    "Softmax",
    "LogSoftmax",
)
def activation(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return an activation."""
    arguments: dict[str, object] = {"x": translation.tensor(node, inputs[0])}
    if "oftmax" in node.op:
        arguments["axis"] = -1
    return translation.operation(node, node.op, arguments)[0]


@graph_rule("Maximum")
def maximum(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return the larger of two; what a smaller bound was taken of before is within both (tf.clip_by_value)."""
    for x, below in ((node.inputs[0], inputs[1]), (node.inputs[1], inputs[0])):
        before = translation.nodes.get(x[0])
        low = _bound(below)
        if low is None or before is None or before.op != "Minimum":
            continue
        given = [translation.values.get(ref) for ref in before.inputs]
        for value, above in (given, given[::-1]):
            high = _bound(above)
            if isinstance(value, Tensor) and high is not None and low <= high:
                bounds: dict[str, object] = {"x": value, "x_min": low, "x_max": high}
                return translation.operation(node, "Clip", bounds)[0]
    return translation.operation(node, "Maximum", {"x1": inputs[0], "x2": inputs[1]})[0]


def _bound(value: Value | None) -> float | None:
    """Return one finite number of a constant."""
    if not isinstance(value, Known) or value.array.ndim or value.array.dtype.kind not in "fiu":
        return None
    return plain_number(value.array) if np.isfinite(value.array) else None


@graph_rule("SquaredDifference")
def squared_difference(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return (x - y) ** 2, the square alone where one of them is 0."""
    for x, other in (inputs, inputs[::-1]):
        if isinstance(x, Tensor) and _bound(other) == 0:
            return translation.operation(node, "Square", {"x": x})[0]
    return translation.operation(node, node.op, {"x1": inputs[0], "x2": inputs[1]})[0]


@graph_rule("Neg")
def negative(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return the negative."""
    value = inputs[0]
    if isinstance(value, Filled):
        return replace(value, value=-value.value)
    return translation.operation(node, "Negative", {"x": translation.tensor(node, value)})[0]


@graph_rule("RandomStandardNormal", "RandomUniform", "Multinomial", "StatelessMultinomial", "RandomUniformInt",
            "TruncatedNormal", "StatelessRandomNormalV2", "StatelessRandomUniformV2", "StatelessRandomNormal",
            "StatelessRandomUniform", "RandomGamma", "StatelessTruncatedNormal")  # fmt: skip
def random_numbers(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Refuse: what is drawn is an input of a function, not a part of it."""
    raise refused_node(
        node,
        f"draws random numbers; name '{node.name[:200]}:0' among the inputs to give them, or choose another output",
    )
