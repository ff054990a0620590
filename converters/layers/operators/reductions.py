"""Operations that reduce axes, and sums along an axis."""

from __future__ import annotations

from collections.abc import Sequence

from converters.graph import Layer
from converters.registry import Lowered, Plain, Shape, TorchStep, layer
from converters.rule_parts.operations import Operation, axes_of, axis_of, dtype_of, refused
from converters.settings import flag, integer, number, text, unsupported

REDUCTIONS: dict[str, tuple[str, dict[str, Plain]]] = {
    "ops.Mean": ("torch.mean", {}),
    "ops.Sum": ("torch.sum", {}),
    "ops.Max": ("torch.amax", {}),
    "ops.Amax": ("torch.amax", {}),
    "ops.Min": ("torch.amin", {}),
    "ops.Amin": ("torch.amin", {}),
    "ops.Prod": ("compat.product_over", {}),
    "ops.Var": ("torch.var", {"correction": 0}),
    "ops.Std": ("torch.std", {"correction": 0}),
    "ops.Any": ("torch.any", {}),
    "ops.All": ("torch.all", {}),
    "ops.Logsumexp": ("torch.logsumexp", {}),
}
"""Equal extremes share the gradient in both frameworks."""


def reduced(shape: Shape, axes: Sequence[int], *, keep: bool) -> Shape:
    """Return the shape without some axes, or with 1 in their places."""
    sizes = [1 if axis in axes else size for axis, size in enumerate(shape)]
    return tuple(size for axis, size in enumerate(sizes) if keep or axis not in axes)


@layer(*REDUCTIONS, takes_call=True)
def reduction(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the mean, sum, extreme and the like over some axes."""
    operation = Operation.of(layer, shapes, "x", "axis", "keepdims")
    operation.only("x")
    operation.tensor("x")
    for key in ("initial", "where"):
        if operation.settings.get(key) is not None:
            raise unsupported(operation.layer, key, needed="null")
    op, settings = REDUCTIONS[layer.class_name]
    axes = axes_of(operation.layer, "axis", len(shapes[0]))
    keep = flag(operation.layer, "keepdims", default=False)
    whole = op == "compat.product_over" or len(axes) != 1
    kwargs: dict[str, Plain] = {"dim": axes if whole else axes[0], **settings}
    if keep:
        kwargs["keepdim"] = True
    steps = [TorchStep(op, kwargs, shape=reduced(shapes[0], axes, keep=keep))] if axes else []
    if operation.settings.get("dtype") is not None:
        steps.append(TorchStep("compat.cast", {"dtype": dtype_of(operation.layer, "dtype")}))
    return steps


@layer("ops.CountNonzero", takes_call=True)
def count_nonzero(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return how many elements over some axes are not 0."""
    operation = Operation.of(layer, shapes, "x", "axis")
    axes = axes_of(operation.layer, "axis", len(shapes[0]))
    shape = reduced(shapes[0], axes, keep=False)
    return [TorchStep("torch.count_nonzero", {"dim": axes}, shape=shape)]


@layer("ops.Average", takes_call=True)
def average(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the mean over an axis, with weights if there are any."""
    operation = Operation.of(layer, shapes, "x", "axis", "weights")
    axes = axes_of(operation.layer, "axis", len(operation.shape("x")))
    shape = reduced(operation.shape("x"), axes, keep=False)
    x = operation.tensor("x")
    if operation.settings.get("weights") is None:
        operation.result("torch.mean", {"dim": axes}, of=[x], shape=shape)
        return operation.steps
    if operation.settings.get("axis") is not None and len(axes) != 1:
        raise unsupported(operation.layer, "axis", needed="one axis or null")
    axis = None if operation.settings.get("axis") is None else axes[0]
    names = [x, operation.value("weights")]
    operation.result("compat.weighted_average", {"dim": axis}, of=names, shape=shape)
    return operation.steps


@layer("ops.Argmax", "ops.Argmin", takes_call=True)
def place_of_extreme(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return where along an axis the extreme is, the first of equal ones; torch counts in int64, Keras in int32."""
    operation = Operation.of(layer, shapes, "x", "axis", "keepdims")
    op = "torch.argmax" if layer.class_name == "ops.Argmax" else "torch.argmin"
    keep = flag(operation.layer, "keepdims", default=False)
    if operation.settings.get("axis") is None:
        shape: Shape = (1,) * len(shapes[0]) if keep else ()
        return [TorchStep(op, {"dim": None, "keepdim": True} if keep else {}, shape=shape)]
    axis = axis_of(operation.layer, "axis", len(shapes[0]))
    kwargs: dict[str, Plain] = {"dim": axis, "keepdim": True} if keep else {"dim": axis}
    return [TorchStep(op, kwargs, shape=reduced(shapes[0], (axis,), keep=keep))]


@layer("ops.Quantile", "ops.Percentile", "ops.Median", takes_call=True)
def quantile(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the value below which a share of the elements lies."""
    names = ("x", "axis") if layer.class_name == "ops.Median" else ("x", "q", "axis")
    operation = Operation.of(layer, shapes, *names)
    operation.only("x")
    share = 0.5
    if layer.class_name != "ops.Median":
        share = number(operation.layer, "q") / (100 if layer.class_name == "ops.Percentile" else 1)
    keep = flag(operation.layer, "keepdims", default=False)
    kwargs: dict[str, Plain] = {"q": share}
    axes = axes_of(operation.layer, "axis", len(shapes[0]))
    if operation.settings.get("axis") is not None:
        if len(axes) != 1:
            raise unsupported(operation.layer, "axis", needed="one axis or null")
        kwargs["dim"] = axes[0]
    elif keep:
        raise unsupported(operation.layer, "keepdims", needed="false without an axis")
    method = text(operation.layer, "method", "linear")
    if method != "linear":
        kwargs["interpolation"] = method
    if keep:
        kwargs["keepdim"] = True
    return [TorchStep("torch.quantile", kwargs, shape=reduced(shapes[0], axes, keep=keep))]


@layer("ops.Moments", takes_call=True)
def moments(layer: Layer, *shapes: Shape) -> Lowered:
    """Return mean and variance over some axes."""
    operation = Operation.of(layer, shapes, "x", "axes", "keepdims")
    operation.only("x")
    axes = axes_of(operation.layer, "axes", len(shapes[0]))
    keep = flag(operation.layer, "keepdims", default=False)
    shape = reduced(shapes[0], axes, keep=keep)
    kwargs: dict[str, Plain] = {"dim": axes, "keepdim": True} if keep else {"dim": axes}
    step = TorchStep(
        "compat.moments", kwargs, shape=shape, results=("mean", "variance"), further_shapes=(shape,)
    )
    return Lowered((step,), ("mean", "variance"))


@layer("ops.Cumsum", "ops.Cumprod", takes_call=True)
def cumulative(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the sum or product of all elements up to each along an axis."""
    operation = Operation.of(layer, shapes, "x", "axis")
    operation.only("x")
    for key in ("exclusive", "reverse"):
        if operation.settings.get(key):
            raise unsupported(operation.layer, key, needed="false")
    op = "torch.cumsum" if layer.class_name == "ops.Cumsum" else "torch.cumprod"
    if operation.settings.get("axis") is None:
        raise unsupported(operation.layer, "axis", needed="a whole number")
    steps = [TorchStep(op, {"dim": axis_of(operation.layer, "axis", len(shapes[0]))})]
    if operation.settings.get("dtype") is not None:
        steps.append(TorchStep("compat.cast", {"dtype": dtype_of(operation.layer, "dtype")}))
    return steps


@layer("ops.Diff", takes_call=True)
def difference(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the differences of neighbours along an axis."""
    operation = Operation.of(layer, shapes, "a", "n", "axis")
    operation.only("a")
    times = integer(operation.layer, "n", 1)
    axis = axis_of(operation.layer, "axis", len(shapes[0]), -1)
    size = shapes[0][axis]
    if times < 0 or (size is not None and size < times):
        raise refused(layer, f"{times} differences of {size} elements")
    shape = (*shapes[0][:axis], None if size is None else size - times, *shapes[0][axis + 1 :])
    return [TorchStep("torch.diff", {"n": times, "dim": axis}, shape=shape)]
