"""Operations that reduce axes, and sums along an axis."""

from __future__ import annotations

from collections.abc import Sequence

from converters.graph import Layer
from converters.registry import Lowered, Plain, Shape, TorchStep, layer
from converters.rule_parts.operations import (
    Operation,
    axes_of,
    axis_of,
    call_of,
    dtype_of,
    refused,
    row_step,
)
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
    "ops.Nanmean": ("torch.nanmean", {}),
    "ops.Nansum": ("torch.nansum", {}),
    "ops.Nanmax": ("compat.extreme_without_nan", {"largest": True}),
    "ops.Nanmin": ("compat.extreme_without_nan", {"largest": False}),
    "ops.Nanvar": ("compat.variance_without_nan", {}),
    "ops.Nanstd": ("compat.variance_without_nan", {}),
    "ops.Nanprod": ("compat.product_over", {}),
}
"""Equal extremes share the gradient in both frameworks."""
OF_FLOATS = ("Mean", "Var", "Std", "Logsumexp", "Nanmean", "Nanvar", "Nanstd")
"""Whole numbers are made floating ones before these."""


def reduced(shape: Shape, axes: Sequence[int], *, keep: bool) -> Shape:
    """Return the shape without some axes, or with 1 in their places."""
    sizes = [1 if axis in axes else size for axis, size in enumerate(shape)]
    return tuple(size for axis, size in enumerate(sizes) if keep or axis not in axes)


@layer(*(f"ops.{name}" for name in OF_FLOATS), takes_call=True, numbers="floats")
@layer(*(name for name in REDUCTIONS if name[4:] not in OF_FLOATS), takes_call=True)
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
    whole = op.startswith("compat.") or len(axes) != 1
    kwargs: dict[str, Plain] = {"dim": axes if whole else axes[0], **settings}
    if keep:
        kwargs["keepdim"] = True
    steps = [TorchStep(op, kwargs, shape=reduced(shapes[0], axes, keep=keep))] if axes else []
    if layer.class_name == "ops.Nanprod":
        steps.insert(0, TorchStep("compat.replace_nan", {"value": 1}))
    elif layer.class_name == "ops.Nanstd":
        steps.append(TorchStep("torch.sqrt"))
    elif layer.class_name in ("ops.Any", "ops.All") and operation.dtypes == ("uint8",):
        steps.append(TorchStep("compat.cast", {"dtype": "bool"}))  # torch gives uint8 of that
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


@layer("ops.Ptp", takes_call=True)
def spread(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the largest element over some axes less the smallest."""
    operation = Operation.of(layer, shapes, "x", "axis", "keepdims")
    operation.only("x")
    axes = axes_of(operation.layer, "axis", len(shapes[0]))
    keep = flag(operation.layer, "keepdims", default=False)
    shape = reduced(shapes[0], axes, keep=keep)
    kwargs: dict[str, Plain] = {"dim": axes, "keepdim": True} if keep else {"dim": axes}
    x = operation.tensor("x")
    both = [
        operation.result(op, kwargs, of=[x], shape=shape) for op in ("torch.amax", "torch.amin")
    ]
    operation.result("operator.sub", of=both, shape=shape)
    return operation.steps


@layer("ops.Average", takes_call=True, numbers="floats")
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


@layer("ops.Argmax", "ops.Argmin", "ops.Nanargmax", "ops.Nanargmin", takes_call=True)
def place_of_extreme(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return where along an axis the extreme is, the first of equal ones; torch counts in int64, Keras in int32."""
    operation = Operation.of(layer, shapes, "x", "axis", "keepdims")
    op = "torch.argmax" if layer.class_name.endswith("max") else "torch.argmin"
    keep = flag(operation.layer, "keepdims", default=False)
    further: dict[str, Plain] = {"keepdim": True} if keep else {}
    if layer.class_name.startswith("ops.Nan"):
        op, further["largest"] = "compat.place_without_nan", op == "torch.argmax"
    if operation.settings.get("axis") is None:
        shape: Shape = (1,) * len(shapes[0]) if keep else ()
        return [TorchStep(op, {"dim": None, **further} if further else {}, shape=shape)]
    axis = axis_of(operation.layer, "axis", len(shapes[0]))
    kwargs: dict[str, Plain] = {"dim": axis, **further}
    return [TorchStep(op, kwargs, shape=reduced(shapes[0], (axis,), keep=keep))]


@layer("ops.Quantile", "ops.Percentile", "ops.Median", takes_call=True, numbers="floats")
@layer("ops.Nanquantile", "ops.Nanpercentile", "ops.Nanmedian", takes_call=True, numbers="floats")
def quantile(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the value below which a share of the elements lies, of all or of those that are not NaN."""
    kind = layer.class_name.removeprefix("ops.Nan").removeprefix("ops.").lower()
    op = "torch.nanquantile" if layer.class_name.startswith("ops.Nan") else "torch.quantile"
    operation = Operation.of(
        layer, shapes, *(("x", "axis") if kind == "median" else ("x", "q", "axis"))
    )
    operation.only("x")
    share = 0.5
    if kind != "median":
        share = number(operation.layer, "q") / (100 if kind == "percentile" else 1)
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
    return [TorchStep(op, kwargs, shape=reduced(shapes[0], axes, keep=keep))]


@layer("ops.Moments", takes_call=True)
def moments(layer: Layer, *shapes: Shape) -> Lowered:
    """Return mean and variance over some axes."""
    operation = Operation.of(layer, shapes, "x", "axes", "keepdims")
    operation.only("x")
    if any("int" in dtype for dtype in call_of(layer).dtypes):
        raise refused(layer, "moments of whole numbers, which Keras rounds; cast them before")
    axes = axes_of(operation.layer, "axes", len(shapes[0]))
    keep = flag(operation.layer, "keepdims", default=False)
    shape = reduced(shapes[0], axes, keep=keep)
    kwargs: dict[str, Plain] = {"dim": axes, "keepdim": True} if keep else {"dim": axes}
    step = TorchStep(
        "compat.moments", kwargs, shape=shape, results=("mean", "variance"), further_shapes=(shape,)
    )
    return Lowered((step,), ("mean", "variance"))


@layer("ops.Cumsum", "ops.Cumprod", "ops.Nancumsum", "ops.Nancumprod", takes_call=True)
def cumulative(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the sum or product of all elements up to each along an axis, or of all in a row; TensorFlow's may go back."""
    operation = Operation.of(layer, shapes, "x", "axis")
    operation.only("x")
    if operation.settings.get("exclusive"):
        raise unsupported(operation.layer, "exclusive", needed="false")
    op = "torch.cumsum" if layer.class_name.endswith("sum") else "torch.cumprod"
    steps = []
    if layer.class_name.startswith("ops.Nan"):  # infinities become the largest number, too
        steps.append(TorchStep("torch.nan_to_num", {"nan": 0.0 if op == "torch.cumsum" else 1.0}))
    if operation.settings.get("dtype") is not None:  # Keras casts what is summed, not the sums
        steps.append(TorchStep("compat.cast", {"dtype": dtype_of(operation.layer, "dtype")}))
    if operation.settings.get("axis") is None:
        row = row_step(shapes[0])
        return [*steps, row, TorchStep(op, {"dim": 0}, shape=row.shape)]
    axis = axis_of(operation.layer, "axis", len(shapes[0]))
    turns = (
        [TorchStep("torch.flip", {"dims": (axis,)})] if operation.settings.get("reverse") else []
    )
    return [*steps, *turns, TorchStep(op, {"dim": axis}), *turns]


@layer("ops.Diff", takes_call=True)
def difference(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the differences of neighbours along an axis."""
    operation = Operation.of(layer, shapes, "a", "n", "axis")
    operation.only("a")
    times = integer(operation.layer, "n", 1)
    axis = axis_of(operation.layer, "axis", len(shapes[0]), -1)
    size = shapes[0][axis]
    if times < 0:
        raise refused(layer, f"{times} differences, a number from 0 on is needed")
    left = None if size is None else max(size - times, 0)
    shape = (*shapes[0][:axis], left, *shapes[0][axis + 1 :])
    return [TorchStep("torch.diff", {"n": times, "dim": axis}, shape=shape)]
