"""Rules of operations with weights: what people call layers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from converters.tensorflow_graphs.flatten import FlatNode
from converters.tensorflow_graphs.one_axis import one_axis, without_axis
from converters.tensorflow_graphs.rules import (
    Translation,
    graph_rule,
    known,
    refused_node,
)
from converters.tensorflow_graphs.values import Known, Tensor, Value, Weights
from converters.tensorflow_graphs.weights import constant_weights, derived

_ADDING = ("BiasAdd", "BiasAddV1", "Add", "AddV2")
_KERNEL_NAMES = (
    *(
        "kernel",
        "weights",
        "weight",
        "w",
        "W",
        "bias",
        "biases",
        "b",
        "gamma",
        "embeddings",
        "scale",
    ),
    *(
        "depthwise_kernel",
        "depthwise_weights",
        "pointwise_kernel",
        "pointwise_weights",
        "beta",
        "offset",
    ),
    *("moving_mean", "matrix", "embedding"),
)
"""Last parts of names that only say what a weight is; the layer is named by what stands before."""


def layer_name(weights: Weights) -> str:
    """Return what the layer of a weight is called: "actor/l1" for actor/l1/kernel, all of it for other names."""
    scope, _, last = weights.variable.rpartition("/")
    # TensorFlow 2 numbers handles of one name: kernel, kernel_1.
    role = re.sub(r"_\d+$", "", last)
    return scope if scope and role in _KERNEL_NAMES else weights.variable


def as_weights(value: Value, minimum: int = 1) -> Weights | None:
    """Return a value as a weight: a variable, or a constant of a frozen graph with at least so many axes."""
    if isinstance(value, Weights):
        return value
    if isinstance(value, Known) and value.array.ndim >= minimum and value.array.dtype.kind == "f":
        return constant_weights(value, value.name)
    return None


def vector(weights: Weights, size: int, axis: int = -1) -> Weights | None:
    """Return a weight of one number for each channel without its axes of 1; None if it is something else."""
    shape = weights.shape
    if math.prod(each or 0 for each in shape) != size or (
        shape and size != 1 and shape[axis] != size
    ):
        return None
    if len(shape) == 1:
        return weights
    shadow = np.broadcast_to(np.zeros((), weights.dtype), (size,))
    return derived([weights], shadow, lambda arrays: arrays[0].reshape(-1))


def transposed(weights: Weights, order: Sequence[int]) -> Weights:
    """Return a weight with its axes in another order."""
    shadow = np.transpose(
        np.broadcast_to(np.zeros((), weights.dtype), [s or 0 for s in weights.shape]), order
    )
    return derived([weights], shadow, lambda arrays: np.transpose(arrays[0], order))


def take_bias(
    node: FlatNode, units: int, translation: Translation, *, axis: int = -1
) -> Weights | None:
    """Return the bias that the only consumer of a node adds; the sum is then the layer's own output."""
    source = _of_same_channels(node, units, translation) if axis == -1 else node
    adding = translation.only_consumer(source)
    if adding is None or adding.op not in _ADDING or len(adding.inputs) != 2:
        return None
    if adding.op == "BiasAdd" and (adding.attributes.text("data_format", "NHWC") == "NCHW") != (
        axis == 1
    ):
        return None
    other = [ref for ref in adding.inputs if ref != (source.name, 0)]
    found = (
        as_weights(translation.values[other[0]])
        if len(other) == 1 and other[0] in translation.values
        else None
    )
    bias = (
        None
        if found is None
        else vector(found, units, -1 if found is None or len(found.shape) == 1 else axis)
    )
    if bias is not None and source is not node:
        translation.biased[adding.name] = source.name
    elif bias is not None:
        translation.done.add(adding.name)
    return bias


def _of_same_channels(node: FlatNode, units: int, translation: Translation) -> FlatNode:
    """Return the node itself, or what only takes its rows apart or an axis of 1 out, before a bias is added."""
    behind = translation.only_consumer(node)
    if behind is None:
        return node
    if behind.op == "Squeeze":
        axes = behind.attributes.integers("squeeze_dims")
        return behind if axes and not {-1, 3} & set(axes) and node.op == "Conv2D" else node
    if behind.op != "Reshape" or len(behind.inputs) != 2:
        return node
    sizes = translation.nodes[behind.inputs[1][0]]
    stated = translation.values.get(
        sizes.inputs[-2] if sizes.op == "ConcatV2" else behind.inputs[1]
    )
    if sizes.op == "Pack":
        stated = translation.values.get(sizes.inputs[-1])
    last = np.ravel(stated.array)[-1:] if isinstance(stated, Known) else np.zeros(0)
    return behind if last.tolist() == [units] else node


def finish(
    node: FlatNode, output: Tensor, bias: Weights | None, translation: Translation
) -> Tensor:
    """Return the output, also as that of the node that added the bias."""
    adding = translation.only_consumer(node)
    if bias is not None and adding is not None and adding.name in translation.done:
        translation.values[adding.name, 0] = output
    return output


@graph_rule("MatMul")
def matmul(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return a dense layer for a product with a weight, else the product."""
    kernel = as_weights(inputs[1], 2)
    flags = {key: node.attributes.flag(key) for key in ("transpose_a", "transpose_b")}
    if (
        kernel is None
        or isinstance(inputs[0], (Weights, Known))
        or flags["transpose_a"]
        or len(kernel.shape) != 2
    ):
        arguments: dict[str, object] = {"x1": inputs[0], "x2": inputs[1], **flags}
        return translation.operation(node, "Matmul", arguments)[0]
    if flags["transpose_b"]:
        kernel = transposed(kernel, (1, 0))
    return dense(node, translation.tensor(node, inputs[0]), kernel, translation)


def dense(node: FlatNode, x: Tensor, kernel: Weights, translation: Translation) -> Tensor:
    """Return the output of a dense layer on the last axis, with the bias that is added next."""
    units = kernel.shape[1] or 0
    if x.shape is not None and x.shape and x.shape[-1] not in (None, kernel.shape[0]):
        raise refused_node(node, f"a kernel of {kernel.shape} on {x.shape}")
    bias = take_bias(node, units, translation)
    weights = {"kernel": kernel} | ({} if bias is None else {"bias": bias})
    config: dict[str, object] = {"units": units, "use_bias": bias is not None}
    apart = translation.builder.merged.get(x.ref)
    if apart is not None:
        # The layer takes any number of axes; what follows may want them apart again (tf.tensordot).
        [output] = translation.builder.layer(
            "Dense", layer_name(kernel), config, [apart], weights=weights
        )
        rows: dict[str, object] = {"x": output, "newshape": (-1, units)}
        whole = translation.operation(node, "Reshape", rows)[0]
        translation.builder.merged[whole.ref] = output
        return finish(node, whole, bias, translation)
    if x.shape and x.shape[-1] is None:
        x = Tensor(x.ref, (*x.shape[:-1], kernel.shape[0]), x.dtype)
    [output] = translation.builder.layer("Dense", layer_name(kernel), config, [x], weights=weights)
    return finish(node, output, bias, translation)


def dense_with_bias(
    node: FlatNode, x: Tensor, kernel: Weights, bias: Weights, translation: Translation
) -> Tensor:
    """Return the output of a dense layer whose bias is given."""
    config: dict[str, object] = {"units": kernel.shape[1], "use_bias": True}
    weights = {"kernel": kernel, "bias": bias}
    return translation.builder.layer("Dense", layer_name(kernel), config, [x], weights=weights)[0]


def _window(node: FlatNode, key: str, rank: int, *, first: bool) -> tuple[int, ...]:
    """Return strides or the like for the spatial axes."""
    found = node.attributes.integers(key) or (1,) * (rank + 2)
    if len(found) != rank + 2:
        raise refused_node(node, f"{key} {found} for {rank} axes")
    inside = found[2:] if first else found[1:-1]
    rest = (*found[:2],) if first else (found[0], found[-1])
    if rest != (1, 1) or any(each < 1 for each in inside):
        raise refused_node(node, f"{key} {found}: only those of height and width may differ from 1")
    return inside


def _spatial(node: FlatNode, rank: int) -> tuple[dict[str, object], bool]:
    """Return settings that convolutions and poolings share, and whether channels come first."""
    first = node.attributes.text("data_format", "NHWC").startswith("NC")
    config: dict[str, object] = {
        "strides": _window(node, "strides", rank, first=first),
        "padding": node.attributes.text("padding").lower(),
    }
    if first:
        config["data_format"] = "channels_first"
    return config, first


def _explicit(
    node: FlatNode,
    x: Tensor,
    config: dict[str, object],
    rank: int,
    translation: Translation,
    *,
    first: bool,
) -> Tensor:
    """Return the input, padded as the node says by numbers."""
    if config["padding"] != "explicit":
        return x
    pads = node.attributes.integers("explicit_paddings")
    if len(pads) != 2 * (rank + 2):
        raise refused_node(node, f"paddings {pads}")
    config["padding"] = "valid"
    pairs = tuple(zip(pads[::2], pads[1::2], strict=True))
    return translation.operation(node, "Pad", {"x": x, "pad_width": pairs})[0]


@graph_rule("Conv2D", "Conv3D", "DepthwiseConv2dNative")
def convolution(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return a convolution with the bias that is added next."""
    rank = 3 if node.op == "Conv3D" else 2
    depthwise = node.op == "DepthwiseConv2dNative"
    kernel = as_weights(inputs[1], rank + 2)
    if kernel is None or len(kernel.shape) != rank + 2:
        raise refused_node(node, "its kernel is computed; a weight is needed")
    single = _convolution_of_sequences(node, kernel, translation)
    if single is not None:
        return single
    config, first = _spatial(node, rank)
    x = _explicit(node, translation.tensor(node, inputs[0]), config, rank, translation, first=first)
    config |= {"kernel_size": tuple(size or 0 for size in kernel.shape[:rank])}
    joined = node.settings.get("dilation_rate")  # see `dilated`
    own = _window(node, "dilations", rank, first=first)
    config["dilation_rate"] = joined if isinstance(joined, tuple) else own
    units = (
        (kernel.shape[-2] or 0) * (kernel.shape[-1] or 0) if depthwise else kernel.shape[-1] or 0
    )
    channels = x.shape[1 if first else -1]
    if not depthwise and channels is not None and channels != kernel.shape[-2]:
        config["groups"] = channels // max(1, kernel.shape[-2] or 1)
    config |= {"depth_multiplier": kernel.shape[-1]} if depthwise else {"filters": units}
    bias = take_bias(node, units, translation, axis=1 if first else -1)
    config["use_bias"] = bias is not None
    weights = {"kernel": kernel} | ({} if bias is None else {"bias": bias})
    name = "DepthwiseConv2D" if depthwise else f"Conv{rank}D"
    [output] = translation.builder.layer(name, layer_name(kernel), config, [x], weights=weights)
    return finish(node, output, bias, translation)


def _convolution_of_sequences(
    node: FlatNode, kernel: Weights, translation: Translation
) -> Value | None:
    """Return what a convolution over one axis gives, with the bias that is added next; None if there are two."""
    found = one_axis(node, node.inputs[0], translation) if node.op == "Conv2D" else None
    if found is None or kernel.shape[found.axis - 1] != 1 or "dilation_rate" in node.settings:
        return None
    config, first = _spatial(node, 2)
    if first or config["padding"] == "explicit" or found.x.shape[-1] != kernel.shape[2]:
        return None
    units = kernel.shape[3] or 0
    config = {
        "strides": (_window(node, "strides", 2, first=False)[found.kept],),
        "dilation_rate": (_window(node, "dilations", 2, first=False)[found.kept],),
        "padding": config["padding"],
        "filters": units,
        "kernel_size": (kernel.shape[found.kept],),
    }
    whole = [size or 0 for size in kernel.shape]
    shape = [size for place, size in enumerate(whole) if place != found.axis - 1]
    shadow = np.broadcast_to(np.zeros((), kernel.dtype), shape)
    kernel = derived([kernel], shadow, lambda arrays: arrays[0].reshape(shape))
    bias = take_bias(node, units, translation)
    config["use_bias"] = bias is not None
    weights = {"kernel": kernel} | ({} if bias is None else {"bias": bias})
    name = layer_name(kernel)
    [output] = translation.builder.layer("Conv1D", name, config, [found.x], weights=weights)
    return without_axis(node, output, found, translation)


@graph_rule("Conv2DBackpropInput")
def transposed_convolution(
    node: FlatNode, inputs: Sequence[Value], translation: Translation
) -> Value:
    """Return a transposed convolution; its output has the size that Keras's layer gives."""
    kernel = as_weights(inputs[1], 4)
    if kernel is None:
        raise refused_node(node, "its kernel is computed; a weight is needed")
    config, first = _spatial(node, 2)
    x = translation.tensor(node, inputs[2])
    units = kernel.shape[2] or 0
    bias = take_bias(node, units, translation, axis=1 if first else -1)
    config |= {
        "kernel_size": tuple(size or 0 for size in kernel.shape[:2]),
        "filters": units,
        "use_bias": bias is not None,
    }
    weights = {"kernel": kernel} | ({} if bias is None else {"bias": bias})
    [output] = translation.builder.layer(
        "Conv2DTranspose", layer_name(kernel), config, [x], weights=weights
    )
    wanted = inputs[0]
    stated = (
        wanted.entries
        if hasattr(wanted, "entries")
        else tuple(known(node, wanted, "output size").array.tolist())
    )
    pairs = zip(stated[1:], (output.shape or ())[1:], strict=False)
    if any(None not in pair and pair[0] != pair[1] for pair in pairs):
        raise refused_node(
            node, f"gives {stated}; the layer with these settings gives {output.shape}"
        )
    return finish(node, output, bias, translation)


@graph_rule("MaxPool", "AvgPool", "MaxPool3D", "AvgPool3D")
def pooling(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return a pooling over windows."""
    rank = 3 if node.op.endswith("3D") else 2
    config, first = _spatial(node, rank)
    config["pool_size"] = _window(node, "ksize", rank, first=first)
    kind = "Max" if node.op.startswith("Max") else "Average"
    name = f"{kind}Pooling{rank}D"
    found = one_axis(node, node.inputs[0], translation) if rank == 2 and not first else None
    windows = [config[key] for key in ("pool_size", "strides")]
    if found is not None and all(
        isinstance(each, tuple) and each[found.axis - 1] == 1 for each in windows
    ):
        sizes = (each[found.kept] for each in windows if isinstance(each, tuple))
        config |= dict(zip(("pool_size", "strides"), sizes, strict=True))
        called = translation.name(node)
        [output] = translation.builder.layer(f"{kind}Pooling1D", called, config, [found.x])
        return without_axis(node, output, found, translation)
    x = translation.tensor(node, inputs[0])
    return translation.builder.layer(name, translation.name(node), config, [x])[0]
