"""A variable on its own: a weight that belongs to no layer, as the logarithm of a policy's standard deviation."""

from __future__ import annotations

from converters.graph import Layer
from converters.registry import Param, Plain, Shape, TorchStep, Weight, layer
from converters.settings import integers


@layer(
    "Variable",
    weights=(
        Weight("value", when=lambda config: not config.get("constant")),
        Weight("constant", when=lambda config: bool(config.get("constant")), trainable=False),
    ),
)
def variable(layer: Layer, *_shapes: Shape) -> list[TorchStep]:
    """Return the weight itself; graphs of TensorFlow have such, configurations of Keras do not."""
    shape = integers(layer, "shape")
    axes = " ".join(f"axis_{index}" for index in range(len(shape)))
    kwargs: dict[str, Plain] = {"shape": shape}
    if layer.config.get("constant"):
        kwargs["constant"] = True
        dtype = str(layer.config.get("dtype", "float32"))
        if "float" not in dtype:
            kwargs["dtype"] = dtype
    role = "constant" if layer.config.get("constant") else "value"
    param = Param("value", role, f"{axes} -> {axes}", shape)
    return [TorchStep("compat.Variable", kwargs, (param,), shape=shape)]
