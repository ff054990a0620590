"""Spectral normalization of the kernel of another layer."""

from __future__ import annotations

from dataclasses import replace

from converters.errors import UnsupportedError
from converters.graph import Layer
from converters.layouts import Layout
from converters.registry import (
    Example,
    Lowered,
    Param,
    Plain,
    Shape,
    TorchStep,
    Weight,
    find_layer_rule,
    layer,
)
from converters.rule_parts.nested_steps import place_steps
from converters.settings import integer, unsupported

_KERNELS = ("kernel", "embeddings")


def _wrapped(class_name: str, **config: object) -> dict[str, object]:
    return {"class_name": class_name, "config": config}


@layer(
    "SpectralNormalization",
    weights=(Weight("vector_u", trainable=False),),
    examples=(
        Example({"layer": _wrapped("Dense", units=3, activation="relu")}, ((4,),)),
        Example(
            {
                "layer": _wrapped("Conv2D", filters=3, kernel_size=2, padding="same"),
                "power_iterations": 3,
            },
            ((5, 4, 2),),
        ),
        Example({"layer": _wrapped("Embedding", input_dim=7, output_dim=3)}, ((4,),), below=7),
        Example({"layer": _wrapped("Conv1DTranspose", filters=3, kernel_size=2)}, ((5, 2),)),
        Example(
            {"layer": _wrapped("DepthwiseConv2D", kernel_size=2, depth_multiplier=3)}, ((5, 4, 2),)
        ),
    ),
)
def spectral_normalization(layer: Layer, *shapes: Shape) -> Lowered:
    """Return the steps of the wrapped layer, with `compat.SpectralNorm` around the module that has the kernel."""
    inner = layer.inner["layer"]
    found = find_layer_rule(inner.class_name).lower(inner, *shapes)
    names = [f"input_{index}" for index in range(len(shapes))]
    placed = place_steps(found, names, shapes, name="layer", role="layer")
    holders = [step for step in placed.steps if _kernel_of(step) is not None]
    if len(holders) != 1:
        msg = (
            f"layer '{layer.name}' (SpectralNormalization): needed is a layer with one kernel or embeddings inside it, "
            f"found {inner.class_name}"
        )
        raise UnsupportedError(msg)
    steps = [_normalized(layer, step) if step in holders else step for step in placed.steps]
    steps = [
        replace(step, suffix=step.suffix.removeprefix("layer").removeprefix("_")) for step in steps
    ]
    if inner.class_name != "Embedding":
        return Lowered(tuple(steps), placed.outputs)
    # Keras casts the result to the type of the input, so that indices of whole numbers give whole numbers.
    cast = TorchStep(
        "compat.cast_as", {}, (), placed.shapes[0], "", (*placed.outputs, "input_0"), ("cast",)
    )
    return Lowered((*steps, cast), ("cast",))


def _kernel_of(step: TorchStep) -> Param | None:
    kernels = [param for param in step.params if param.source.rpartition("/")[2] in _KERNELS]
    return kernels[0] if kernels else None


def _normalized(layer: Layer, step: TorchStep) -> TorchStep:
    """Return a step whose module is wrapped; `vector_u` has the size of the last axis of the stored kernel."""
    kernel = _kernel_of(step)
    if kernel is None or kernel.name != "weight" or kernel.shape[-1] is None:
        raise unsupported(
            layer, "layer", needed="a layer whose kernel is one weight of known sizes"
        )
    axis, groups = _last_axis(layer, kernel)
    kwargs: dict[str, Plain] = {"layer": (step.op, *step.kwargs.items())}
    if axis:
        kwargs["axis"] = axis
    if groups > 1:
        kwargs["groups"] = groups
    if (iterations := integer(layer, "power_iterations", 1)) != 1:
        kwargs["power_iterations"] = iterations
    inner = tuple(replace(param, name=f"layer.{param.name}") for param in step.params)
    size = kernel.shape[-1]
    vector = Param("vector_u", "vector_u", "row last -> row last", (1, size))
    return replace(step, op="compat.SpectralNorm", kwargs=kwargs, params=(*inner, vector))


def _last_axis(layer: Layer, kernel: Param) -> tuple[int, int]:
    """Return where torch's weight has the last axis of the stored kernel, and how many groups repeat it there."""
    layout = Layout.parse(kernel.layout)
    (last,) = layout.left[-1] if len(layout.left[-1]) == 1 else ("",)
    for axis, group in enumerate(layout.right):
        if group == (last,):
            return axis, 1
        if len(group) == 2 and group[1] == last:  # (in multiplier): once for every input channel
            sizes = dict(zip((g[0] for g in layout.left), kernel.shape, strict=True))
            return axis, int(sizes[group[0]] or 0)
    raise unsupported(layer, "layer", needed="a layer whose kernel keeps its last axis")
