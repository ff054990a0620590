"""Dense layers."""

from __future__ import annotations

from converters.graph import Layer
from converters.layers.activations import activation_steps
from converters.registry import Example, Param, Shape, TorchStep, Weight, layer
from converters.settings import flag, integer


@layer(
    "Dense",
    weights=(Weight("kernel"), Weight("bias", when="use_bias")),
    examples=(
        Example({"units": 3}, ((4,),)),
        Example({"units": 3, "use_bias": False, "activation": "tanh"}, ((4,),)),
        Example({"units": 5, "activation": "relu"}, ((7, 4),)),
    ),
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
