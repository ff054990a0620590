"""Layer normalization that is computed by the operation for batch normalization, as Keras 2 of TensorFlow 2.2 to 2.15 does.

    rows = reshape(x, [1, rows, features, 1])
    y = reshape(FusedBatchNormV3(rows, ones, zeros, is_training=True, "NCHW"), shape(x)) * gamma + beta

Every row is a channel of one image, so that its statistics are its own (keras 2.15, layers/normalization/layer_normalization.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from converters.tensorflow_graphs.flatten import FlatGraph, FlatNode
from converters.tensorflow_graphs.normalization_rules import layer_norm, plain_epsilon
from converters.tensorflow_graphs.rules import Translation, graph_rule, refused_node, shape_of
from converters.tensorflow_graphs.simplify import Formulas
from converters.tensorflow_graphs.values import Ref, Value

_FUSED = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
_ADD, _MUL = ("Add", "AddV2"), ("Mul",)


def join_fused_layer_norms(flat: FlatGraph) -> FlatGraph:
    """Return the graph with every such normalization as one node."""
    formulas = Formulas(flat)
    return {name: fused_layer_norm(formulas, node) or node for name, node in flat.items()}


def fused_layer_norm(formulas: Formulas, node: FlatNode) -> FlatNode | None:
    """Return a node for such a normalization with what of gamma and beta there is; None if the node is not its end."""
    for centered, beta in _weighted(formulas, (node.name, 0), _ADD):
        for scaled, gamma in _weighted(formulas, centered, _MUL):
            found = _normalized(formulas, scaled)
            if found is None:
                continue
            x, rows, epsilon = found
            weights = {"gamma": gamma, "beta": beta}
            given = {role: ref for role, ref in weights.items() if ref is not None}
            settings = {"epsilon": epsilon, "roles": tuple(given)}
            inputs = (x, rows, *given.values())
            return replace(node, op="_FusedLayerNorm", inputs=inputs, settings=settings)
    return None


def _weighted(formulas: Formulas, ref: Ref, ops: Sequence[str]) -> list[tuple[Ref, Ref | None]]:
    """Return a value and no weight, and for an operation of a value and a weight both."""
    pairs = formulas.pairs(ref, ops)
    return [
        *((value, weight) for value, weight in pairs if formulas.is_weight(weight)),
        (ref, None),
    ]


def _normalized(formulas: Formulas, ref: Ref) -> tuple[Ref, Ref, float] | None:
    """Return x, its rows and epsilon."""
    back = formulas.node(ref)
    if back.op != "Reshape":
        return None
    fused, shape = formulas.node(back.inputs[0]), formulas.node(back.inputs[1])
    if fused.op not in _FUSED or formulas.behind(back.inputs[0])[1] != 0 or shape.op != "Shape":
        return None
    attributes = fused.attributes
    if not attributes.flag("is_training", default=True) or attributes.text("data_format") != "NCHW":
        return None
    rows = formulas.node(fused.inputs[0])
    if rows.op != "Reshape" or not formulas.same(rows.inputs[0], shape.inputs[0]):
        return None
    if not (_is_full(formulas, fused.inputs[1], 1) and _is_full(formulas, fused.inputs[2], 0)):
        return None
    epsilon = plain_epsilon(attributes.number("epsilon", 1e-4))
    return rows.inputs[0], fused.inputs[0], epsilon


def _is_full(formulas: Formulas, ref: Ref, number: int) -> bool:
    """Tell whether a value is one number everywhere."""
    node = formulas.node(ref)
    found = formulas.constant(node.inputs[1] if node.op == "Fill" else ref)
    return found is not None and bool(np.all(found == number))


@graph_rule("_FusedLayerNorm")
def rows_normalized(
    node: FlatNode, inputs: Sequence[Value], translation: Translation
) -> Value | Sequence[Value]:
    """Return layer normalization over the last axes that are as many numbers as a row has."""
    shape, rows = shape_of(node, inputs[0]), shape_of(node, inputs[1])
    features = rows[2] if len(rows) == 4 and rows[0] == rows[3] == 1 else None
    for count in range(1, len(shape)):
        sizes = shape[-count:]
        if features is not None and None not in sizes and math.prod(sizes) == features:  # type: ignore[arg-type]
            axes = tuple(range(len(shape) - count, len(shape)))
            settings = {**node.settings, "axes": axes}
            whole = replace(node, settings=settings)
            return layer_norm(whole, [inputs[0], *inputs[2:]], translation)
    raise refused_node(node, f"normalizes rows of {rows} of a tensor of {shape}")
