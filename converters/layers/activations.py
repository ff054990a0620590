"""Activations: by name inside other layers, and the layers that are nothing else.

Names are those of Keras 3; `hard_sigmoid_keras2` is what Keras 1 and 2 meant by `hard_sigmoid`
(`converters.configuration.models` settles which).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from converters.configuration.keras2 import ACTIVATION_SETTINGS
from converters.errors import OwnCodeError, UnsupportedError
from converters.graph import Layer
from converters.lowering.masking import masks_of
from converters.names import class_identifier, identifier
from converters.registry import (
    LAYERS,
    Example,
    Lowered,
    Param,
    Plain,
    Shape,
    TorchStep,
    Weight,
    find_layer_rule,
    layer,
    nearest,
)
from converters.settings import integers, number, optional_number, unsupported
from converters.targets import TARGETS

ACTIVATIONS: dict[str, tuple[str, dict[str, Plain]] | None] = {
    "linear": None,
    "relu": ("F.relu", {}),
    "relu6": ("F.relu6", {}),
    "leaky_relu": ("F.leaky_relu", {"negative_slope": 0.2}),
    "elu": ("F.elu", {}),
    "celu": ("F.celu", {}),
    "selu": ("F.selu", {}),
    "gelu": ("F.gelu", {}),
    "silu": ("F.silu", {}),
    "swish": ("F.silu", {}),
    "mish": ("F.mish", {}),
    "glu": ("F.glu", {"dim": -1}),
    "softmax": ("F.softmax", {"dim": -1}),
    "log_softmax": ("F.log_softmax", {"dim": -1}),
    # torch switches to y = x above its threshold of 20, which is off by 2e-9 there; above 50 the two are equal.
    "softplus": ("F.softplus", {"threshold": 50.0}),
    "softsign": ("F.softsign", {}),
    "tanh": ("torch.tanh", {}),
    "sigmoid": ("torch.sigmoid", {}),
    "exponential": ("torch.exp", {}),
    "log_sigmoid": ("F.logsigmoid", {}),
    "hard_sigmoid": ("F.hardsigmoid", {}),
    "hard_sigmoid_keras2": ("compat.hard_sigmoid_keras2", {}),
    "hard_silu": ("F.hardswish", {}),
    "hard_swish": ("F.hardswish", {}),
    "hard_tanh": ("F.hardtanh", {}),
    "hard_shrink": ("F.hardshrink", {}),
    "soft_shrink": ("F.softshrink", {}),
    "tanh_shrink": ("F.tanhshrink", {}),
    "squareplus": ("compat.squareplus", {}),
    "sparse_plus": ("compat.sparse_plus", {}),
    "sparse_sigmoid": ("compat.sparse_sigmoid", {}),
    "sparsemax": ("compat.sparsemax", {}),
}
"""Keras activation name to torch operation; None: identity."""


def activation_steps(layer: Layer, activation: object) -> list[TorchStep]:
    """Return the steps of an `activation` setting: a name, None, or the configuration of an activation layer.

    Raises:
        UnsupportedError: The activation is code, or has no counterpart.
    """
    if activation is None:
        return []
    if isinstance(activation, Mapping):
        return _nested_activation(layer, activation)
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        msg = (
            f"layer '{layer.name}' ({layer.class_name}): no rule for activation {activation!r:.80}"
            f"{nearest(str(activation), ACTIVATIONS)}"
        )
        name = str(activation).rsplit(">", 1)[-1]
        raise OwnCodeError(msg, name=name, example=identifier(name, default="activation"))
    target = ACTIVATIONS[activation]
    return [] if target is None else [TorchStep(target[0], target[1])]


def activation_argument(
    layer: Layer, key: str, default: str, *, last: int = -1
) -> dict[str, Plain]:
    """Return the argument of a module for an activation: nothing for the default, else the name of an operation.

    Args:
        layer: whose configuration has the setting `key`.
        key: of the configuration, and name of the argument.
        default: what the module does anyway.
        last: the axis that the last one of Keras is where the module calls the activation.

    Raises:
        UnsupportedError: The activation has weights, or more than one step.
    """
    setting = layer.config.get(key, default)
    if setting == default:
        return {}
    steps = activation_steps(layer, setting)
    if not steps:
        return {key: "compat.linear_activation"}
    if len(steps) > 1 or steps[0].params:
        raise unsupported(layer, key, needed="an activation of one step")
    (step,) = steps
    if TARGETS[step.op].module:
        raise unsupported(layer, key, needed="a function, no module")
    kwargs = dict(step.kwargs)
    if kwargs.get("dim") == -1:
        kwargs["dim"] = last
    return {key: (step.op, *kwargs.items()) if kwargs else step.op}


def _nested_activation(layer: Layer, activation: Mapping[str, object]) -> list[TorchStep]:
    class_name, config = activation.get("class_name"), activation.get("config")
    if class_name == "function" and isinstance(config, str):
        return activation_steps(layer, config)
    place = f"layer '{layer.name}' ({layer.class_name})"
    if not isinstance(class_name, str) or not isinstance(config, Mapping):
        if "value" not in activation:
            msg = f"{place}: its activation is not readable: {activation!r:.80}"
            raise UnsupportedError(msg)
        key = next((key for key in ACTIVATION_SETTINGS if layer.config.get(key) is activation), "")
        msg = f"{place}: its {key or 'activation'} is a lambda; code from a file is never run"
        name = f"{layer.name}.{key}" if key else layer.name
        raise OwnCodeError(msg, name=name, example=identifier(name, default="activation"))
    try:
        rule = find_layer_rule(class_name)
    except UnsupportedError as error:
        name = class_name.rsplit(">", 1)[-1]
        example = class_identifier(name, default="MyActivation")
        msg = f"{place}: {error}"
        raise OwnCodeError(msg, name=name, example=example) from error
    if not rule.weights:
        lowered = rule.lower(Layer(f"{layer.name}/activation", class_name, config), (None, None))
        steps = list(lowered.steps if isinstance(lowered, Lowered) else lowered)
    if rule.weights or any(step.params for step in steps):
        msg = f"{place}: activation layer '{class_name}' inside it has weights"
        raise UnsupportedError(msg)
    # An activation keeps the shape that it is given, which is not known here.
    return [
        replace(step, shape=None, suffix="activation" if TARGETS[step.op].module else step.suffix)
        for step in steps
    ]


def activation_names(layer: Layer, key: str) -> set[str]:
    """Return what a user may call the activation that a setting of a layer names, if it is none of Keras's.

    Always "layer.setting"; besides that the name of the function or class without its package.
    """
    setting = layer.config.get(key)
    if isinstance(setting, Mapping):
        is_function = setting.get("class_name") == "function"
        setting = setting.get("config" if is_function else "class_name")
    name = setting.rsplit(">", 1)[-1] if isinstance(setting, str) else ""
    known = not name or name in ACTIVATIONS or name in LAYERS
    return {f"{layer.name}.{key}"} if known else {f"{layer.name}.{key}", name}


def unknown_activations(layer: Layer) -> list[UnsupportedError]:
    """Return what is wrong with the activations that a layer names."""
    problems = []
    for key in ACTIVATION_SETTINGS:
        try:
            activation_steps(layer, layer.config.get(key))
        except UnsupportedError as error:
            problems.append(error)
        except (LookupError, ValueError, TypeError, ArithmeticError):
            continue  # an edited file; what is wrong with it is said where the layer is converted
    return problems


@layer(
    "Activation",
    examples=tuple(
        Example({"activation": name}, ((6,),))
        for name in ACTIVATIONS
        if name != "hard_sigmoid_keras2"
    ),
    mask="pass",
)
def activation(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the named activation. `glu` halves the last axis."""
    steps = activation_steps(layer, layer.config.get("activation"))
    if steps and steps[-1].op == "F.glu":
        size = shapes[0][-1]
        halved = (*shapes[0][:-1], None if size is None else size // 2)
        return [TorchStep(steps[0].op, steps[0].kwargs, shape=halved)]
    return steps


@layer(
    "ReLU",
    examples=(
        Example({}, ((6,),)),
        Example({"max_value": 6.0}, ((6,),)),
        Example({"negative_slope": 0.1}, ((6,),)),
        Example({"max_value": 2.0, "negative_slope": 0.1, "threshold": 0.5}, ((6,),)),
    ),
    mask="pass",
)
def relu(layer: Layer, *_shapes: Shape) -> list[TorchStep]:
    """Return max_value above it, x from threshold on, negative_slope * (x - threshold) below."""
    highest = optional_number(layer, "max_value")
    slope = optional_number(layer, "negative_slope") or 0.0
    threshold = optional_number(layer, "threshold") or 0.0
    if threshold == 0.0 and highest is None:
        return [
            TorchStep("F.leaky_relu", {"negative_slope": slope}) if slope else TorchStep("F.relu")
        ]
    if threshold == 0.0 and highest == 6.0 and not slope:  # relu6 by definition
        return [TorchStep("F.relu6")]
    return [
        TorchStep(
            "compat.relu", {"max_value": highest, "negative_slope": slope, "threshold": threshold}
        )
    ]


@layer(
    "LeakyReLU",
    examples=(Example({}, ((6,),)), Example({"negative_slope": 0.05}, ((6,),))),
    mask="pass",
)
def leaky_relu(layer: Layer, *_shapes: Shape) -> list[TorchStep]:
    """Return x for x > 0, negative_slope * x below (Keras's default 0.3, torch's 0.01)."""
    return [TorchStep("F.leaky_relu", {"negative_slope": number(layer, "negative_slope", 0.3)})]


@layer("ELU", examples=(Example({}, ((6,),)), Example({"alpha": 0.7}, ((6,),))), mask="pass")
def elu(layer: Layer, *_shapes: Shape) -> list[TorchStep]:
    """Return x for x > 0, alpha * (exp(x) - 1) below."""
    return [TorchStep("F.elu", {"alpha": number(layer, "alpha", 1.0)})]


@layer("ThresholdedReLU", mask="pass")
def thresholded_relu(layer: Layer, *_shapes: Shape) -> list[TorchStep]:
    """Return x where x > theta, else 0 (Keras 1 and 2)."""
    return [TorchStep("compat.thresholded_relu", {"theta": number(layer, "theta", 1.0)})]


@layer(
    "Softmax",
    examples=(
        Example({}, ((6,),)),
        Example({"axis": 1}, ((5, 4),)),
        Example({"axis": [1, 2]}, ((5, 4),)),
    ),
    mask="use",
)
def softmax(layer: Layer, *shapes: Shape) -> list[TorchStep] | Lowered:
    """Return the softmax over one axis or several, of the elements that a mask keeps; behind it the mask is the same."""
    axes = integers(layer, "axis") if layer.config.get("axis") is not None else (-1,)
    over: dict[str, Plain] = {"dim": axes[0] if len(axes) == 1 else axes}
    masks = masks_of(layer)
    mask = masks.of_input()
    if mask is None:
        return [TorchStep("F.softmax" if len(axes) == 1 else "compat.joint_softmax", over)]
    given = masks.shapes[mask]
    sizes = zip(reversed(given), reversed(shapes[0]), strict=False)
    if len(given) > len(shapes[0]) or not all(m in (1, None, n) or n is None for m, n in sizes):
        msg = f"layer '{layer.name}' (Softmax): its mask {given} does not fit its input {shapes[0]}"
        raise UnsupportedError(msg)
    kind = "lowered" if masks.generation == 2 else "masked"
    step = TorchStep(f"compat.{kind}_softmax", over, inputs=("input_0", mask), results=("y",))
    return Lowered((step,), ("y",), masks=(mask,))


@layer(
    "PReLU",
    weights=(Weight("alpha"),),
    examples=(
        Example({"alpha_initializer": "glorot_uniform"}, ((6,),)),
        Example({"alpha_initializer": "glorot_uniform", "shared_axes": [1]}, ((5, 4),)),
    ),
    mask="pass",
)
def prelu(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x for x > 0, alpha * x below; alpha has the shape of one sample, 1 along shared axes."""
    shared = integers(layer, "shared_axes") if layer.config.get("shared_axes") else ()
    sizes = [1 if axis in shared else size for axis, size in enumerate(shapes[0])][1:]
    if any(size is None for size in sizes):
        raise unsupported(layer, "shared_axes", needed="all axes of free size")
    names = " ".join("abcdef"[: len(sizes)])
    alpha = (Param("weight", "alpha", f"{names} -> {names}", tuple(sizes)),)
    if len(sizes) == 1:
        return [TorchStep("nn.PReLU", {"num_parameters": sizes[0]}, alpha)]
    return [TorchStep("compat.PReLU", {"shape": tuple(sizes)}, alpha)]
