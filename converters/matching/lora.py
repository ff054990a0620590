"""What layers learned beside a frozen kernel: LoRA's two matrices, whose product belongs to the kernel.

`.keras` and `.weights.h5` hold kernels with the product in them; the legacy .h5 holds the kernel and the matrices.
Source: keras 3.15.1, layers/core/dense.py, `kernel`; the same in embedding.py, einsum_dense.py and convolutional/base_conv.py.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from converters.checkpoint import ArrayInfo
from converters.graph import Layer

_MATRICES = {"lora_kernel": "kernel", "lora_embeddings": "embeddings"}
"""How the roles of the matrices begin, and what they belong to."""
_ADAPTED = " with what LoRA learned"


def join_lora(layer: Layer, arrays: Mapping[str, ArrayInfo]) -> Mapping[str, ArrayInfo]:
    """Return the arrays of a layer with `kernel + alpha / rank * a @ b` in place of the three.

    Arrays that are not these, or of shapes that do not fit, are returned as they are: they fit no layer.
    """
    roles = {name.removesuffix(":0").rsplit("/", 1)[-1]: name for name in arrays}
    for start, role in _MATRICES.items():
        names = [roles.get(each) for each in (role, f"{start}_a", f"{start}_b")]
        kernel, first, second = [arrays.get(name or "") for name in names]
        if kernel is None or first is None or second is None:
            continue
        rank = second.shape[0] if len(second.shape) == 2 else 0
        fits = first.shape == (*kernel.shape[:-1], rank) and second.shape[1:] == kernel.shape[-1:]
        alpha = layer.config.get("lora_alpha") or layer.config.get("lora_rank")
        if not rank or not fits or not isinstance(alpha, (int, float)):
            continue
        joined = _joined(kernel, first, second, alpha / rank)
        return {
            name: joined if name == names[0] else info
            for name, info in arrays.items()
            if name not in names[1:]
        }
    return arrays


def has_lora(info: ArrayInfo) -> bool:
    """True for an array that `join_lora` made, which no writer may put back under its name."""
    return info.name.endswith(_ADAPTED)


def _joined(kernel: ArrayInfo, first: ArrayInfo, second: ArrayInfo, scale: float) -> ArrayInfo:
    def read() -> NDArray:  # type: ignore[type-arg]
        learned = np.matmul(first.read(), second.read())
        return np.asarray(kernel.read() + scale * learned, kernel.dtype)

    return ArrayInfo(f"{kernel.name}{_ADAPTED}", kernel.shape, kernel.dtype, read)
