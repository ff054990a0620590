"""Operations of neural networks: activations, poolings and resizing by the rules of their layers, and normalizing."""

from __future__ import annotations

from dataclasses import replace

from converters.graph import Layer
from converters.layers.activations import ACTIVATIONS
from converters.registry import Lowered, Plain, Shape, TorchStep, find_layer_rule, layer
from converters.rule_parts.operations import Operation, axes_of, axis_of, refused
from converters.rule_parts.windows import pad_argument
from converters.settings import flag, integers, number, unsupported

PLAIN_ACTIVATIONS = {
    "ops.Relu": "relu",
    "ops.Relu6": "relu6",
    "ops.Selu": "selu",
    "ops.Silu": "silu",
    "ops.Swish": "silu",
    "ops.Mish": "mish",
    "ops.Softplus": "softplus",
    "ops.Softsign": "softsign",
    "ops.LogSigmoid": "log_sigmoid",
    "ops.HardSigmoid": "hard_sigmoid",
    "ops.HardSilu": "hard_silu",
    "ops.HardSwish": "hard_silu",
    "ops.HardTanh": "hard_tanh",
    "ops.TanhShrink": "tanh_shrink",
    "ops.SparsePlus": "sparse_plus",
    "ops.SparseSigmoid": "sparse_sigmoid",
}
"""Activations without settings; torch's function for each is in `converters.layers.activations`."""
DEFAULT_SETTINGS: dict[str, tuple[str, dict[str, Plain]]] = {
    "ops.Celu": ("celu", {"alpha": 1.0}),
    "ops.HardShrink": ("hard_shrink", {"threshold": 0.5}),
    "ops.SoftShrink": ("soft_shrink", {"threshold": 0.5}),
    "ops.Squareplus": ("squareplus", {"b": 4}),
    "ops.Sparsemax": ("sparsemax", {"axis": -1}),
}
"""Activations whose settings have one value that converts, the default."""
EPSILON = 1e-7
"""keras.backend.epsilon(): the least length that `normalize` divides by."""


def _activation(name: str) -> list[TorchStep]:
    known = ACTIVATIONS[name]
    return [] if known is None else [TorchStep(known[0], dict(known[1]))]


@layer(*PLAIN_ACTIVATIONS, takes_call=True)
def activation(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return an activation without settings."""
    operation = Operation.of(layer, shapes, "x")
    operation.only("x")
    operation.tensor("x")
    return _activation(PLAIN_ACTIVATIONS[layer.class_name])


@layer(*DEFAULT_SETTINGS, takes_call=True)
def default_activation(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return an activation with the settings that it has by default."""
    operation = Operation.of(layer, shapes, "x")
    operation.only("x")
    name, settings = DEFAULT_SETTINGS[layer.class_name]
    for key, value in settings.items():
        if operation.settings.get(key, value) != value:
            raise unsupported(operation.layer, key, needed=str(value))
    return _activation(name)


@layer("ops.LeakyRelu", "ops.Elu", takes_call=True, numbers="floats")
def sloped_activation(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return an activation that leaks below 0."""
    leaky = layer.class_name == "ops.LeakyRelu"
    key, default = ("negative_slope", 0.2) if leaky else ("alpha", 1.0)
    operation = Operation.of(layer, shapes, "x", key)
    operation.only("x")
    value = number(operation.layer, key, default)
    if leaky:
        return [TorchStep("F.leaky_relu", {key: value})]
    return [TorchStep("F.elu", {} if value == default else {key: value})]


@layer("ops.ReLU", takes_call=True)
def relu_of_activations(layer: Layer, *shapes: Shape) -> list[TorchStep] | Lowered:
    """Return what `keras.activations.relu` becomes, which .h5 files do not tell from an operation."""
    return _as_layer(layer, shapes, "ReLU")


@layer("ops.Gelu", takes_call=True)
def gelu(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the Gaussian error unit, or its approximation by tanh."""
    operation = Operation.of(layer, shapes, "x", "approximate")
    operation.only("x")
    approximate = flag(operation.layer, "approximate", default=True)
    return [TorchStep("F.gelu", {"approximate": "tanh"} if approximate else {})]


@layer("ops.Threshold", takes_call=True)
def threshold(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x where it is above a threshold, a number elsewhere."""
    operation = Operation.of(layer, shapes, "x", "threshold", "default_value")
    operation.only("x")
    bound = number(operation.layer, "threshold")
    value = number(operation.layer, "default_value")
    above = operation.result("operator.gt", {"right": bound}, of=["input_0"], shape=shapes[0])
    other = operation.constant(value)
    operation.result("torch.where", of=[above, "input_0", other], shape=shapes[0])
    return operation.steps


@layer("ops.Softmax", "ops.LogSoftmax", takes_call=True)
def softmax(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the softmax, or its logarithm, along one axis."""
    operation = Operation.of(layer, shapes, "x", "axis")
    operation.only("x")
    if operation.settings.get("axis", -1) is None:
        raise unsupported(operation.layer, "axis", needed="a whole number")
    op = "F.softmax" if layer.class_name == "ops.Softmax" else "F.log_softmax"
    given = operation.settings.get("axis", -1)
    axis_of(operation.layer, "axis", len(shapes[0]), -1)
    return [TorchStep(op, {"dim": given if isinstance(given, int) else -1})]


@layer("ops.Glu", takes_call=True)
def gated(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the first half of an axis times the sigmoid of the second."""
    operation = Operation.of(layer, shapes, "x", "axis")
    operation.only("x")
    axis = axis_of(operation.layer, "axis", len(shapes[0]), -1)
    size = shapes[0][axis]
    shape = (*shapes[0][:axis], None if size is None else size // 2, *shapes[0][axis + 1 :])
    return [TorchStep("F.glu", {"dim": axis}, shape=shape)]


@layer("ops.Normalize", takes_call=True)
def normalize(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x divided by its length along one axis."""
    operation = Operation.of(layer, shapes, "x", "axis", "order", "epsilon")
    operation.only("x")
    axis = axis_of(operation.layer, "axis", len(shapes[0]), -1)
    kwargs: dict[str, Plain] = {"dim": axis}
    order = number(operation.layer, "order", 2)
    if order < 1:
        raise unsupported(operation.layer, "order", needed="a number from 1 on")
    if order != 2:
        kwargs["p"] = order
    epsilon = operation.settings.get("epsilon")
    kwargs["eps"] = EPSILON if epsilon is None else number(operation.layer, "epsilon")
    return [TorchStep("F.normalize", kwargs)]


@layer("ops.RMSNorm", "ops.LayerNorm", takes_call=True)
def normalization(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x divided by its root mean square or its deviation over some axes, then scaled and moved.

    Source: keras 3.15.1, ops/nn.py, `_rms_normalization`, `_layer_normalization`.
    """
    centered = layer.class_name == "ops.LayerNorm"
    names = ("x", "gamma", "beta") if centered else ("x", "scale")
    operation = Operation.of(layer, shapes, *names)
    operation.only(*names)
    shape = operation.shape("x")
    given = {"axis": -1, **operation.settings}
    axes = axes_of(replace(operation.layer, config=given), "axis", len(shape))
    over: dict[str, Plain] = {"dim": axes, "keepdim": True}
    small = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    x = operation.tensor("x")
    if centered and flag(operation.layer, "rms_scaling", default=False):
        names = names[:2]  # nothing is added then
        spread = operation.result("torch.var", {**over, "correction": 0}, of=[x], shape=small)
    else:
        if centered:
            mean = operation.result("torch.mean", over, of=[x], shape=small)
            x = operation.result("operator.sub", of=[x, mean], shape=shape)
        square = operation.result("torch.square", of=[x], shape=shape)
        spread = operation.result("torch.mean", over, of=[square], shape=small)
    epsilon = operation.settings.get("epsilon")
    least = EPSILON if epsilon is None else number(operation.layer, "epsilon")
    spread = operation.result("operator.add", {"right": least}, of=[spread], shape=small)
    scale = operation.result("torch.rsqrt", of=[spread], shape=small)
    operation.result("operator.mul", of=[x, scale], shape=shape)
    for name, op in zip(names[1:], ("operator.mul", "operator.add"), strict=False):
        if operation.settings.get(name) is not None:
            before = str(operation.steps[-1].results[0])
            factor = _beside(operation, name, axes, shape)
            operation.result(op, of=[before, factor], shape=shape)
    return operation.steps


def _beside(operation: Operation, name: str, axes: tuple[int, ...], shape: Shape) -> str:
    """Return the name of a factor that broadcasts: of normalized axes other than the last, brought to their places."""
    value = operation.value(name)
    rank = len(operation.shape(name))
    if (
        operation.layer.class_name == "ops.RMSNorm"
        or axes == (len(shape) - 1,)
        or rank == len(shape)
    ):
        return value
    sizes = tuple(size if axis in axes else 1 for axis, size in enumerate(shape))
    if None in sizes:
        raise refused(operation.layer, f"axes {axes} of {shape}, known sizes are needed")
    plain = tuple(size or 0 for size in sizes)
    return operation.result("torch.reshape", {"shape": plain}, of=[value], shape=sizes)


@layer("ops.BatchNorm", takes_call=True)
def batch_normalization(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return (x - mean) / sqrt(variance + epsilon), scaled and moved; each has one number for every place of an axis."""
    names = ("x", "mean", "variance", "offset", "scale")
    operation = Operation.of(layer, shapes, *names)
    operation.only(*names)
    shape = operation.shape("x")
    axis = axis_of(operation.layer, "axis", len(shape), -1)
    parts = {}
    for name in names[1:]:
        if operation.settings.get(name) is not None:
            parts[name] = operation.value(name)
            if axis != len(shape) - 1:
                row = (-1, *(1,) * (len(shape) - 1 - axis))
                known = (shape[axis], *row[1:])
                of = [parts[name]]
                parts[name] = operation.result("torch.reshape", {"shape": row}, of=of, shape=known)
    small = (shape[axis], *(1,) * (len(shape) - 1 - axis))
    epsilon = number(operation.layer, "epsilon", 1e-3)
    of = [parts["variance"]]
    spread = operation.result("operator.add", {"right": epsilon}, of=of, shape=small)
    factor = operation.result("torch.rsqrt", of=[spread], shape=small)
    if "scale" in parts:
        factor = operation.result("operator.mul", of=[factor, parts["scale"]], shape=small)
    found = operation.result("operator.sub", of=[operation.tensor("x"), parts["mean"]], shape=shape)
    found = operation.result("operator.mul", of=[found, factor], shape=shape)
    if "offset" in parts:
        operation.result("operator.add", of=[found, parts["offset"]], shape=shape)
    return operation.steps


@layer("ops.DotProductAttention", takes_call=True)
def attention(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return means of the values, weighted by how queries and keys fit."""
    names = ("query", "key", "value", "bias", "mask")
    operation = Operation.of(layer, shapes, *names, "scale")
    operation.only(*names)
    bound, shape = operation.layer, operation.shape("query")
    key, size = operation.shape("key"), shape[-1]
    if len(shape) != 4 or shape[2] is None or not key[2] or shape[2] % key[2] or size is None:
        raise refused(layer, f"query {shape} and key {key}, known heads and sizes are needed")
    scale = size**-0.5 if bound.config.get("scale") is None else number(bound, "scale")
    kwargs: dict[str, Plain] = {"scale": scale}
    of = [operation.value(name) for name in names[:3]]
    for name, word in (("bias", "biased"), ("mask", "masked")):
        if operation.settings.get(name) is not None:
            of.append(operation.value(name))
            kwargs[word] = True
    if flag(bound, "is_causal", default=False):
        kwargs["causal"] = True
    # TensorFlow's attention leaves `attn_logits_soft_cap` out (keras 3.15.1).
    operation.result(
        "compat.attend", kwargs, of=of, shape=(*shape[:-1], operation.shape("value")[-1])
    )
    return operation.steps


@layer("ops.MaxPool", "ops.AveragePool", takes_call=True)
def pool(layer: Layer, *shapes: Shape) -> list[TorchStep] | Lowered:
    """Return what the pooling layer with these settings becomes."""
    kind = "MaxPooling" if layer.class_name == "ops.MaxPool" else "AveragePooling"
    return _as_layer(layer, shapes, f"{kind}{len(shapes[0]) - 2}D")


@layer("ops.AdaptiveMaxPool", "ops.AdaptiveAveragePool", takes_call=True)
def adaptive_pool(layer: Layer, *shapes: Shape) -> list[TorchStep] | Lowered:
    """Return what the adaptive pooling layer with these settings becomes."""
    kind = layer.class_name.removeprefix("ops.").removesuffix("Pool")
    return _as_layer(layer, shapes, f"{kind}Pooling{len(shapes[0]) - 2}D")


@layer("ops.Resize", takes_call=True, numbers="kept")
def resize(layer: Layer, *shapes: Shape) -> list[TorchStep] | Lowered:
    """Return what the layer Resizing with this size becomes."""
    bound = Operation.of(layer, shapes, "x").layer
    height, width = integers(bound, "size")
    config = {**layer.config, "height": height, "width": width}
    return _as_layer(replace(layer, config=config), shapes, "Resizing")


@layer("ops.PadImages", "ops.CropImages", takes_call=True)
def border(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return images with zeros around them, or without their border; one side may follow from the wanted size."""
    operation = Operation.of(layer, shapes, "images")
    operation.only("images")
    rank = len(shapes[0])
    sign, kind = (1, "padding") if layer.class_name == "ops.PadImages" else (-1, "cropping")
    channels_first = operation.settings.get("data_format") == "channels_first"
    if rank not in (3, 4):
        raise refused(layer, f"images {shapes[0]}, three or four axes are needed")
    first = rank - (2 if channels_first else 3)
    pairs, shape = [(0, 0)] * rank, list(shapes[0])
    sides = (("top", "bottom", "target_height"), ("left", "right", "target_width"))
    for axis, (before, after, target) in enumerate(sides, start=first):
        found, wanted = shape[axis], operation.settings.get(target)
        cells = [operation.settings.get(f"{side}_{kind}") for side in (before, after)]
        known = [cell for cell in cells if isinstance(cell, int)]
        if len(known) == 1 and isinstance(wanted, int) and found is not None:
            cells = [sign * (wanted - found) - known[0] if c is None else c for c in cells]
        start, end = (cell if isinstance(cell, int) else -1 for cell in cells)
        if min(start, end) < 0:
            raise refused(
                layer, f"{before} and {after} {cells}, {target} {wanted} of {found} cells"
            )
        pairs[axis] = (sign * start, sign * end)
        shape[axis] = None if found is None else found + sign * (start + end)
    return [TorchStep("F.pad", {"pad": pad_argument(pairs[first:])}, shape=tuple(shape))]


def _as_layer(
    layer: Layer, shapes: tuple[Shape, ...], class_name: str
) -> list[TorchStep] | Lowered:
    operation = Operation.of(layer, shapes, "x")
    operation.only("x")
    config = dict(operation.settings)
    if config.get("data_format") is None:
        config["data_format"] = "channels_last"
    return find_layer_rule(class_name).lower(
        replace(layer, class_name=class_name, config=config), *shapes
    )
