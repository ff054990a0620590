"""Dense layers."""

from __future__ import annotations

from collections.abc import Mapping

from converters.graph import Layer
from converters.layers.activations import activation_steps
from converters.registry import Example, Param, Plain, Shape, TorchStep, Weight, layer
from converters.settings import flag, integer, text, unsupported


@layer(
    "Dense",
    weights=(Weight("kernel"), Weight("bias", when="use_bias")),
    examples=(
        Example({"units": 3}, ((4,),)),
        Example({"units": 3, "use_bias": False, "activation": "tanh"}, ((4,),)),
        Example({"units": 5, "activation": "relu"}, ((7, 4),)),
    ),
    mask="pass",
)
def dense(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `nn.Linear` and the activation. y = activation(x kernel + bias) on the last axis."""
    units = integer(layer, "units")
    bias = flag(layer, "use_bias", default=True)
    kwargs: dict[str, int | bool] = {"in_features": shapes[0][-1] or 0, "out_features": units}
    params = [Param("weight", "kernel", "in out -> out in", (shapes[0][-1], units))]
    if bias:
        params.append(Param("bias", "bias", "out -> out", (units,)))
    else:
        kwargs["bias"] = False
    linear = TorchStep("nn.Linear", kwargs, tuple(params), shape=(*shapes[0][:-1], units))
    return [linear, *activation_steps(layer, layer.config.get("activation"))]


def _has_bias(config: Mapping[str, object]) -> bool:
    return config.get("bias_axes") is not None


@layer(
    "EinsumDense",
    weights=(Weight("kernel"), Weight("bias", when=_has_bias)),
    examples=(
        Example({"equation": "ab,bc->ac", "output_shape": 3, "bias_axes": "c"}, ((4,),)),
        Example({"equation": "abc,cd->abd", "output_shape": (None, 3)}, ((5, 4),)),
        Example(
            {"equation": "abc,cde->abde", "output_shape": (5, 2, 3), "bias_axes": "de"}, ((5, 4),)
        ),
        Example(
            {
                "equation": "abc,bcd->adb",
                "output_shape": (3, 5),
                "bias_axes": "d",
                "activation": "tanh",
            },
            ((5, 4),),
        ),
        Example({"equation": "...x,xy->...y", "output_shape": 3, "bias_axes": "y"}, ((2, 5, 4),)),
        Example({"equation": "ab...,bc->ac...", "output_shape": 3, "bias_axes": "c"}, ((4, 2),)),
    ),
)
def einsum_dense(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return `an einsum with a weight, and the activation."""
    equation = text(layer, "equation", "").replace(" ", "")
    taken, _, given = equation.partition("->")
    left, _, kernel = taken.partition(",")
    sizes, shape = einsum_sizes(layer, left, given, shapes[0])
    kernel_shape = tuple(sizes[name] for name in kernel)
    if None in kernel_shape:
        raise unsupported(layer, "equation", needed="a kernel of fixed size")
    params = [Param("weight", "kernel", _same_layout(kernel), kernel_shape)]
    kwargs: dict[str, Plain] = {"equation": equation, "kernel_shape": kernel_shape}
    if _has_bias(layer.config):
        added = bias_shape(layer, given, sizes, len(shape))
        params.append(Param("bias", "bias", _same_layout("abcdefgh"[: len(added)]), added))
        kwargs["bias_shape"] = added
    step = TorchStep("compat.EinsumDense", kwargs, tuple(params), shape=shape)
    return [step, *activation_steps(layer, layer.config.get("activation"))]


def _same_layout(names: str) -> str:
    return f"{' '.join(names)} -> {' '.join(names)}"


def einsum_sizes(
    layer: Layer, left: str, given: str, shape: Shape
) -> tuple[dict[str, int | None], Shape]:
    """Return the size of every letter, and the output's shape. `...` stands for axes that stay as they are."""
    wanted = layer.config.get("output_shape")
    given_sizes = wanted if isinstance(wanted, (list, tuple)) else [wanted]
    stated: list[int | None] = []
    for size in given_sizes:
        if size is not None and not isinstance(size, int):
            raise unsupported(layer, "output_shape", needed="sizes")
        stated.append(size)
    named, letters = left.replace("...", ""), given.replace("...", "")
    elided = len(shape) - len(named)
    if left.startswith("..."):  # the batch is one of the axes that stay
        first, result = elided, [*shape[:elided], *stated]
        sizes = dict(zip(named, shape[elided:], strict=True))
    else:
        first, result = 0, [shape[0], *stated, *shape[len(named) :]]
        sizes = dict(zip(named, shape[: len(named)], strict=True))
    count = len(result) - elided
    for place, name in zip(range(first, first + count), letters, strict=True):
        # A size that is left open is that of the input's axis with the same letter.
        result[place] = sizes[name] = sizes.get(name) if result[place] is None else result[place]
    return sizes, tuple(result)


def bias_shape(
    layer: Layer, given: str, sizes: Mapping[str, int | None], rank: int
) -> tuple[int, ...]:
    """Return the sizes from the first axis with a bias on, 1 for those without."""
    axes = text(layer, "bias_axes", "")
    letters = given.replace("...", "")
    first = min(letters.index(name) for name in axes)
    shape = [sizes[name] or 0 if name in axes else 1 for name in letters[first:]]
    behind = 0 if given.startswith("...") else rank - len(letters)
    return (*shape, *[1] * behind)
