"""Preprocessing layers that compute on tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from converters.graph import Layer
from converters.registry import Example, Param, Plain, Shape, TorchStep, Weight, layer
from converters.rule_parts.operations import broadcast, frozen, plain_numbers, shape_of
from converters.settings import flag, integer, integers, number, text, unsupported

NORMALIZATION_EPSILON = 1e-7
"""keras.backend.epsilon(): the least standard deviation Normalization divides by."""


@layer(
    "Rescaling",
    examples=(
        Example({"scale": 1 / 255}, ((6,),)),
        Example({"scale": 2.0, "offset": -1.0}, ((3, 4),)),
        Example({"scale": [0.5, 2.0, 4.0], "offset": [1.0, -1.0, 0.0]}, ((2, 3),)),
    ),
    mask="pass",
    numbers="floats",
)
def rescaling(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x * scale + offset; each of them is one number, or several along the last axes."""
    steps: list[TorchStep] = []
    shape = shapes[0]
    for op, key, idle in (("operator.mul", "scale", None), ("operator.add", "offset", 0.0)):
        before = steps[-1].results if steps else ("input_0",)
        value = layer.config.get(key)
        if not isinstance(value, (list, tuple)):
            right = number(layer, key, idle)
            if right != idle:
                steps.append(TorchStep(op, {"right": right}, (), shape, "", before, (f"{key}d",)))
            continue
        kwargs: dict[str, Plain] = {"values": plain_numbers(layer, value), "dtype": "like"}
        sizes = shape_of(value)
        shape = broadcast(layer, [shape, sizes])
        steps += [
            TorchStep("compat.constant", kwargs, (), sizes, "", ("input_0",), (key,)),
            TorchStep(op, {}, (), shape, "", (*before, key), (f"{key}d",)),
        ]
    return steps


def _adapted(config: Mapping[str, object]) -> bool:
    return config.get("mean") is None


@layer(
    "Normalization",
    weights=tuple(
        Weight(role, when=_adapted, trainable=False) for role in ("mean", "variance", "count")
    ),
    examples=(
        Example({}, ((6,),)),
        Example({"axis": 1, "invert": True}, ((5, 4),)),
        Example({"mean": 1.5, "variance": 0.25}, ((6,),)),
        Example({"mean": [0.5, 1.0, -1.0], "variance": [0.25, 4.0, 1.0]}, ((2, 3),)),
        Example({"axis": 1, "mean": [0.5, -1.0], "variance": [0.25, 4.0]}, ((2, 3),)),
    ),
    mask="pass",
)
def normalization(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return (x - mean) / standard deviation; the statistics come from the file or the configuration."""
    shape, invert = shapes[0], flag(layer, "invert", default=False)
    kwargs: dict[str, Plain] = {"invert": True} if invert else {}
    axes = tuple(sorted(axis % len(shape) for axis in _axes(layer)))
    if not _adapted(layer.config):
        means = _statistics(layer, "mean", axes, len(shape))
        variances = _statistics(layer, "variance", axes, len(shape))
        deviations = np.maximum(np.sqrt(variances), NORMALIZATION_EPSILON)
        kwargs["mean"] = frozen(means.tolist())
        kwargs["deviation"] = frozen(deviations.tolist())
        return [TorchStep("compat.normalize", kwargs)]
    sizes = tuple(shape[axis] for axis in axes)
    names = " ".join("abcdef"[: len(sizes)])
    params = [Param(role, role, f"{names} -> {names}", sizes) for role in ("mean", "variance")]
    params.append(Param("count", "count", " -> ", ()))
    kwargs |= {"shape": sizes, "axes": axes}
    return [TorchStep("compat.Normalization", kwargs, tuple(params))]


def _axes(layer: Layer) -> tuple[int, ...]:
    if "axis" not in layer.config:
        return (-1,)
    return () if layer.config["axis"] is None else integers(layer, "axis")


def _statistics(layer: Layer, key: str, axes: tuple[int, ...], rank: int) -> NDArray[np.float64]:
    """Return a setting with the axes that it needs to lie along `axes` of an input, no more of 1 in front.

    Its axes are the last of those. Source: keras 3.15.1, layers/preprocessing/normalization.py, `build`.
    """
    value = layer.config.get(key)
    numbers = np.asarray(plain_numbers(layer, value), np.float64)
    while numbers.ndim > max(len(axes), 1) and len(numbers) == 1:
        numbers = numbers[0]  # Keras stores numpy arrays with their axes of 1
    if not numbers.size or numbers.ndim > len(axes):
        if numbers.size != 1:
            raise unsupported(layer, key, needed=f"numbers along {len(axes)} axes")
        return numbers.reshape(1)
    sizes = [1] * rank
    for axis, size in zip(reversed(axes), reversed(numbers.shape), strict=False):
        sizes[axis] = size
    while len(sizes) > 1 and sizes[0] == 1:
        sizes.pop(0)
    return numbers.reshape(sizes)


@layer(
    "Discretization",
    examples=(
        Example({"bin_boundaries": [-1.0, 0.0, 0.5, 2.0]}, ((6,),)),
        Example({"bin_boundaries": [0.0, 1.0], "output_mode": "one_hot"}, ((6,),)),
        Example({"bin_boundaries": [0.0, 1.0], "output_mode": "multi_hot"}, ((6,),)),
        Example({"bin_boundaries": [0.0, 1.0], "output_mode": "count"}, ((6,),)),
        Example({"bin_boundaries": [0.5, 2.5]}, ((6,),), below=5),
    ),
    numbers="whole",
)
def discretization(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the index of each element's bin, or its encoding."""
    boundaries = layer.config.get("bin_boundaries")
    if not isinstance(boundaries, (list, tuple)) or not all(
        isinstance(value, (int, float)) and math.isfinite(value) for value in boundaries
    ):
        raise unsupported(layer, "bin_boundaries", needed="a list of finite numbers")
    values = tuple(float(value) for value in boundaries)
    steps = [TorchStep("compat.bucketize", {"boundaries": values})]
    if text(layer, "output_mode", "int") == "int":
        return steps
    return [*steps, encoding(layer, shapes[0], len(values) + 1, dtype=_dtype(layer))]


@layer(
    "CategoryEncoding",
    examples=(
        Example({"num_tokens": 5}, ((3,),), below=5),
        Example({"num_tokens": 5, "output_mode": "one_hot"}, ((1,),), below=5),
        Example({"num_tokens": 5, "output_mode": "one_hot"}, ((3,),), below=5),
        Example({"num_tokens": 5, "output_mode": "count"}, ((4,),), below=5),
        Example({"num_tokens": 5, "output_mode": "count"}, ((4, 3),), below=5),
    ),
)
def category_encoding(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return indices as vectors."""
    return [encoding(layer, shapes[0], integer(layer, "num_tokens"), dtype=_dtype(layer))]


def encoding(layer: Layer, shape: Shape, size: int, *, dtype: str) -> TorchStep:
    """Return the step that makes vectors of indices, by the layer's `output_mode`.

    Raises:
        UnsupportedError: The mode is unknown, or the vectors are sparse.
    """
    mode = text(layer, "output_mode", "multi_hot")
    if layer.config.get("sparse"):
        raise unsupported(layer, "sparse", needed="false")
    kwargs: dict[str, Plain] = {"size": size, "dtype": dtype}
    if mode == "one_hot":
        kept = shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape
        return TorchStep("compat.one_hot", kwargs, shape=(*kept, size))
    if mode not in ("multi_hot", "count"):
        raise unsupported(layer, "output_mode", needed="one_hot, multi_hot or count")
    if mode == "multi_hot":
        kwargs["once"] = True
    kept = (shape[0], *shape[2:]) if len(shape) > 1 else ()
    return TorchStep("compat.count_indices", kwargs, shape=(*kept, size))


def _dtype(layer: Layer) -> str:
    value = layer.config.get("dtype")
    inner = value.get("config") if isinstance(value, Mapping) else None
    name = inner.get("name") if isinstance(inner, Mapping) else value
    return name if isinstance(name, str) else "float32"
