"""Tables that are looked up."""

from __future__ import annotations

from converters.graph import Layer
from converters.registry import Example, Lowered, Param, Shape, TorchStep, Weight, layer
from converters.settings import flag, integer


@layer(
    "Embedding",
    weights=(Weight("embeddings", formerly="W"),),
    examples=(
        Example({"input_dim": 5, "output_dim": 3}, ((4,),), below=5),
        Example({"input_dim": 7, "output_dim": 2}, ((3, 2),), below=7),
        Example(
            {"input_dim": 3, "output_dim": 2, "mask_zero": True}, ((6,),), below=3, pooled=True
        ),
    ),
    mask="use",
    numbers="places",
)
def embedding(layer: Layer, *shapes: Shape) -> Lowered:
    """Return `nn.Embedding`. Keras takes indices of any type and cuts off their fraction; a mask is made before that."""
    size, width = integer(layer, "input_dim"), integer(layer, "output_dim")
    table = Param("weight", "embeddings", "row out -> row out", (size, width))
    steps = (
        TorchStep("compat.as_indices", inputs=("input_0",), results=("indices",)),
        TorchStep(
            "nn.Embedding",
            {"num_embeddings": size, "embedding_dim": width},
            (table,),
            shape=(*shapes[0], width),
            inputs=("indices",),
            results=("vectors",),
        ),
    )
    if not flag(layer, "mask_zero", default=False):
        return Lowered(steps, ("vectors",), masks=(None,))
    mask = TorchStep("operator.ne", {"right": 0}, inputs=("input_0",), results=("mask",))
    return Lowered((mask, *steps), ("vectors",), masks=("mask",))
