"""Rules of normalization: by stored statistics, over the axes of a value itself, and by formula where no layer does it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.registry import Plain, Shape
from converters.tensorflow_graphs.flatten import FlatNode
from converters.tensorflow_graphs.layer_rules import as_weights, layer_name, vector
from converters.tensorflow_graphs.rules import Translation, graph_rule, rank_of, refused_node
from converters.tensorflow_graphs.values import Known, Tensor, Value, Weights
from converters.tensorflow_graphs.weights import derived


@graph_rule("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
def fused_batch_norm(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return batch normalization at inference; with the statistics of the batch it is refused."""
    if node.attributes.flag("is_training", default=True):
        raise refused_node(
            node,
            "normalizes by the statistics of the batch (is_training=True), which inference does not",
        )
    axis = 1 if node.attributes.text("data_format", "NHWC").startswith("NC") else -1
    epsilon = node.attributes.number("epsilon", 1e-4)
    return batch_norm(node, inputs, translation, epsilon=plain_epsilon(epsilon), axis=axis)


def plain_epsilon(value: float) -> float:
    """Return a float32 number as it was written: 0.001."""
    return float(str(np.float32(value)))


@graph_rule("_BatchNorm")
def plain_batch_norm(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return batch normalization that was written as a formula."""
    epsilon = node.settings.get("epsilon")
    return batch_norm(node, inputs, translation, epsilon=float(str(epsilon)), axis=-1)


def batch_norm(
    node: FlatNode, inputs: Sequence[Value], translation: Translation, *, epsilon: float, axis: int
) -> Tensor:
    """Return the layer for x, gamma, beta, mean, variance."""
    x = translation.tensor(node, inputs[0])
    size = x.shape[axis] if x.shape else None
    roles = ("gamma", "beta", "moving_mean", "moving_variance")
    weights: dict[str, Weights] = {}
    for role, value in zip(roles, inputs[1:], strict=False):
        if (
            isinstance(value, Known)
            and role in ("gamma", "beta")
            and (value.array == (role == "gamma")).all()
        ):
            continue  # ones and zeros stand for what is not there
        found = as_weights(value, 0)
        flat = (
            None
            if found is None
            else vector(found, size or (found.shape[-1] if found.shape else 0) or 0)
        )
        if flat is None:
            raise refused_node(
                node, f"its {role} is computed; a weight with a number for each channel is needed"
            )
        weights[role] = flat
    config: dict[str, Plain] = {
        "axis": axis,
        "epsilon": epsilon,
        "scale": "gamma" in weights,
        "center": "beta" in weights,
        "momentum": translation.momenta.get(weights["moving_mean"].array.name, 0.99),
    }
    named = weights.get("gamma") or weights.get("beta") or weights["moving_mean"]
    [output] = translation.builder.layer(
        "BatchNormalization", layer_name(named), config, [x], weights=weights
    )
    return output


@graph_rule("_LayerNorm")
def layer_norm(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return layer normalization over the last axes."""
    x = translation.tensor(node, inputs[0])
    given = node.settings.get("axes")
    axes = (
        sorted(int(axis) % rank_of(node, x) for axis in given) if isinstance(given, tuple) else []
    )
    if axes != list(range(len(x.shape) - len(axes), len(x.shape))) or 0 in axes:
        return _by_formula(node, x, axes, inputs[1:], translation)
    sizes = tuple(x.shape[axis] for axis in axes)
    roles = node.settings.get("roles")
    weights: dict[str, Weights] = {}
    for role, value in zip(roles if isinstance(roles, tuple) else (), inputs[1:], strict=True):
        found = as_weights(value, 0)
        flat = None if found is None else _of_sizes(found, sizes)
        if flat is None:  # one number for each channel of an image that is normalized as a whole
            return _by_formula(node, x, axes, inputs[1:], translation)
        weights[str(role)] = flat
    config: dict[str, object] = {
        "axis": tuple(axes) if len(axes) > 1 else axes[0],
        "epsilon": float(str(node.settings.get("epsilon"))),
        "scale": "gamma" in weights,
        "center": "beta" in weights,
    }
    named = weights.get("gamma") or weights.get("beta")
    name = layer_name(named) if named is not None else translation.name(node)
    return translation.builder.layer("LayerNormalization", name, config, [x], weights=weights)[0]


def _by_formula(
    node: FlatNode,
    x: Tensor,
    axes: Sequence[int],
    weights: Sequence[Value],
    translation: Translation,
) -> Tensor:
    """Return a normalization over axes that no layer has, as of every image by itself (instance normalization)."""

    def call(operation: str, **arguments: object) -> Tensor:
        return translation.operation(node, operation, arguments)[0]

    mean = call("Mean", x=x, axis=tuple(axes), keepdims=True)
    centered = call("Subtract", x1=x, x2=mean)
    variance = call("Mean", x=call("Square", x=centered), axis=tuple(axes), keepdims=True)
    epsilon = float(str(node.settings.get("epsilon")))
    result = call("Multiply", x1=centered, x2=call("Rsqrt", x=call("Add", x1=variance, x2=epsilon)))
    roles = node.settings.get("roles")
    for role, value in zip(roles if isinstance(roles, tuple) else (), weights, strict=True):
        result = call("Multiply" if role == "gamma" else "Add", x1=result, x2=value)
    return result


def _of_sizes(weights: Weights, sizes: Shape) -> Weights | None:
    if weights.shape == sizes:
        return weights
    if [size for size in weights.shape if size != 1] != [size for size in sizes if size != 1]:
        return None
    shape = [size or 0 for size in sizes]
    shadow = np.broadcast_to(np.zeros((), weights.dtype), shape)
    return derived([weights], shadow, lambda arrays: arrays[0].reshape(shape))
