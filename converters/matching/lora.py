"""What layers learned beside a frozen kernel: LoRA's two matrices, whose product belongs to the kernel.

`.keras` and `.weights.h5` hold kernels with the product in them; the legacy .h5 holds the kernel and the matrices.
Source: keras 3.15.1, layers/core/dense.py, `kernel`; the same in embedding.py, einsum_dense.py and convolutional/base_conv.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from converters.checkpoint import ArrayInfo
from converters.graph import Layer

_MATRICES = {"lora_kernel": "kernel", "lora_embeddings": "embeddings"}
"""How the roles of the matrices begin, and what they belong to."""
_ADAPTED = " with what LoRA learned"


def join_lora(layers: Sequence[Layer], arrays: Mapping[str, ArrayInfo]) -> Mapping[str, ArrayInfo]:
    """Return the arrays of layers with `kernel + alpha / rank * a @ b` in place of the three.

    Arrays that are not these, or of shapes that do not fit, are returned as they are: they fit no layer. So are those of
    layers inside attention: their alpha is not in the file.

    Args:
        layers: one layer, or those of a nested model.
        arrays: by name: "kernel", "query/kernel", "encoder/dense/kernel:0".
    """
    result = dict(arrays)
    for name in arrays:
        above, role = _split(name)
        start = next((key for key, value in _MATRICES.items() if value == role), None)
        matrices = {_split(each): each for each in arrays}
        names = [matrices.get((above, f"{start}_{end}")) for end in "ab"]
        first, second = [arrays.get(each or "") for each in names]
        if first is None or second is None:
            continue
        owner = _adapted_layer(layers, above)
        joined = None if owner is None else _joined(arrays[name], first, second, owner)
        if joined is not None:
            result[name] = joined
            for each in names:
                result.pop(each or "")
    return result


def is_adapted(layer: Layer, role: str) -> bool:
    """True for a weight that LoRA keeps as it was."""
    owner, own_role = layer.owner(role)
    return bool(owner.config.get("lora_rank")) and own_role in _MATRICES.values()


def _split(name: str) -> tuple[str, str]:
    above, _, role = name.removesuffix(":0").rpartition("/")
    return above, role


def _adapted_layer(layers: Sequence[Layer], above: str) -> Layer | None:
    """Return the layer with LoRA of one name, or the only layer or what it wraps."""
    named = [layer for layer in layers if layer.name == above.rpartition("/")[2]] or layers
    every = [each for layer in named for each in (layer, *layer.inner.values())]
    adapted = [each for each in every if each.config.get("lora_rank")]
    return adapted[0] if len(adapted) == 1 else None


def has_lora(info: ArrayInfo) -> bool:
    """True for an array that `join_lora` made, which no writer may put back under its name."""
    return info.name.endswith(_ADAPTED)


def _joined(
    kernel: ArrayInfo, first: ArrayInfo, second: ArrayInfo, layer: Layer
) -> ArrayInfo | None:
    """Return a kernel with the product of its matrices, or None where they do not fit it."""
    rank = second.shape[0] if len(second.shape) == 2 else 0
    fits = first.shape == (*kernel.shape[:-1], rank) and second.shape[1:] == kernel.shape[-1:]
    alpha = layer.config.get("lora_alpha") or layer.config.get("lora_rank")
    if not rank or not fits or kernel.dtype.kind != "f" or not isinstance(alpha, (int, float)):
        return None

    def read() -> NDArray:  # type: ignore[type-arg]
        learned = np.matmul(first.read(), second.read())
        return np.asarray(kernel.read() + alpha / rank * learned, kernel.dtype)

    return ArrayInfo(f"{kernel.name}{_ADAPTED}", kernel.shape, kernel.dtype, read)
