"""Numbers put into bins by their hash."""

from __future__ import annotations

from converters.graph import Layer
from converters.layers.preprocessing import encoding
from converters.registry import Example, Plain, Shape, TorchStep, layer
from converters.settings import integer, text, unsupported


@layer(
    "Hashing",
    examples=(
        Example({"num_bins": 5, "output_mode": "multi_hot"}, ((4,),), below=900),
        Example({"num_bins": 5, "output_mode": "one_hot", "mask_value": 3}, ((4,),), below=9),
    ),
)
def hashing(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the bin of every number by TensorFlow's hash of its decimal text."""
    bins = integer(layer, "num_bins")
    if layer.config.get("salt") is not None:
        raise unsupported(layer, "salt", needed="null: FarmHash, not SipHash")
    if bins < 1:
        raise unsupported(layer, "num_bins", needed="1 or more")
    kwargs: dict[str, Plain] = {"bins": bins}
    if layer.config.get("mask_value") is not None:
        kwargs["masked"] = integer(layer, "mask_value")
    steps = [TorchStep("compat.hash_number", kwargs)]
    if text(layer, "output_mode", "int") == "int":
        return steps
    shape = shapes[0]
    if text(layer, "output_mode", "int") == "one_hot" and shape[-1] == 1:
        steps.append(TorchStep("torch.squeeze", {"dim": -1}, shape=shape[:-1]))
        shape = shape[:-1]
    policy = layer.config.get("dtype")
    name = policy.get("config", {}).get("name") if isinstance(policy, dict) else policy
    return [*steps, encoding(layer, shape, bins, dtype=str(name))]
