"""Numbers and words put into bins by their hash."""

from __future__ import annotations

from converters.graph import Layer
from converters.layers.preprocessing import encoding
from converters.registry import Example, Plain, Shape, TorchStep, layer
from converters.settings import integer, integers, text, unsupported

_MOST_BINS = 2**62
"""Bins beyond this are not counted in int64."""


@layer(
    "Hashing",
    examples=(
        Example({"num_bins": 5, "output_mode": "multi_hot"}, ((4,),), below=900),
        Example({"num_bins": 5, "output_mode": "one_hot", "mask_value": 3}, ((4,),), below=9),
        Example({"num_bins": 5, "output_mode": "count", "salt": [133, 137]}, ((4,),), below=900),
    ),
    takes_text=True,
    numbers="whole",
)
def hashing(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the bin of every word, or of every number by its decimal text."""
    words = layer.config.get("text") == (True,)
    kwargs: dict[str, Plain] = {"bins": _bins(layer)}
    if layer.config.get("mask_value") is not None:
        kwargs["masked"] = text(layer, "mask_value", "") if words else integer(layer, "mask_value")
    steps = [TorchStep("compat.hash_text" if words else "compat.hash_number", kwargs | salt(layer))]
    if text(layer, "output_mode", "int") == "int":
        return steps
    shape = shapes[0]
    if text(layer, "output_mode", "int") == "one_hot" and shape[-1] == 1:
        steps.append(TorchStep("torch.squeeze", {"dim": -1}, shape=shape[:-1]))
        shape = shape[:-1]
    return [*steps, encoding(layer, shape, _bins(layer), dtype=_dtype(layer))]


@layer(
    "HashedCrossing",
    examples=(
        Example({"num_bins": 7}, ((1,), (1,)), below=900),
        Example({"num_bins": 5, "output_mode": "one_hot"}, ((1,), (1,)), below=900),
    ),
    takes_text=True,
    numbers="whole",
)
def hashed_crossing(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the bin of every combination of features."""
    words = layer.config.get("text")
    kwargs: dict[str, Plain] = {
        "bins": _bins(layer),
        "text": words if isinstance(words, tuple) else (),
    }
    steps, dtype = [TorchStep("compat.cross_hashed", kwargs)], _dtype(layer)
    if text(layer, "output_mode", "int") != "int":
        return [*steps, encoding(layer, shapes[0], _bins(layer), dtype=dtype)]
    cast = [TorchStep("compat.cast", {"dtype": dtype})] if dtype.startswith("float") else []
    return [*steps, *cast]


def salt(layer: Layer) -> dict[str, Plain]:
    """Return the argument that makes a hash SipHash, if there is one.

    Raises:
        UnsupportedError: It is not one number or two.
    """
    if layer.config.get("salt") is None:
        return {}
    values = integers(layer, "salt")
    pair = values * 2 if len(values) == 1 else values
    if len(pair) != 2 or not all(-(2**63) <= value < 2**63 for value in pair):
        raise unsupported(layer, "salt", needed="one number or two, of 64 bits")
    return {"salt": pair}


def _bins(layer: Layer) -> int:
    bins = integer(layer, "num_bins")
    if not 1 <= bins <= _MOST_BINS:
        raise unsupported(layer, "num_bins", needed=f"1 to {_MOST_BINS}")
    return bins


def _dtype(layer: Layer) -> str:
    policy = layer.config.get("dtype")
    inner = policy.get("config") if isinstance(policy, dict) else None
    return str(inner.get("name") if isinstance(inner, dict) else policy)
