"""One use of one layer, operation or model by Keras's own tests, as data."""
# ruff: noqa: ANN401  # TensorFlow and Keras have no types

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

PREPROCESSING = "preprocessing"
LAYER, MODEL, OPERATION = "layer", "model", "operation"
QUANTIZED = ("int8", "int4", "float8")
HALF = "float16"
"""Part of every name of a half precision: float16, bfloat16, mixed_bfloat16."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input of a case: its shape, its type, and its values where the test states them.

    Attributes:
        shape: with the batch axis; None: any size.
        dtype: as Keras names it.
        values: of any type that Keras takes, strings included.
    """

    shape: tuple[int | None, ...]
    dtype: str
    values: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True)
class LayerCase:
    """One use of one layer, operation or model.

    Attributes:
        name: file, test and number: "layers/core/dense_test.py test_basics 1".
        class_name: of the layer.
        layer: the configuration of the layer with its class, as Keras saves it; None: it could not be had.
        arguments: trees of `Tensor` and plain values: what the layer is called with; a model is itself the case,
            and its inputs are in its configuration.
        call: further arguments of the call by name; arrays are `Tensor`.
        excluded: why the case says nothing about conversion, or "".
        kind: "layer", "model" or "operation".
        adapted: the layer itself where it has learned what its configuration does not have.
    """

    name: str
    class_name: str
    layer: Mapping[str, Any] | None
    arguments: tuple[Any, ...]  # trees of Tensor
    call: Mapping[str, Any]
    excluded: str = ""
    kind: str = LAYER
    adapted: Any = None

    @property
    def is_preprocessing(self) -> bool:
        """Return whether the layer is one of Keras's preprocessing."""
        return self.name.startswith(f"layers/{PREPROCESSING}")

    @property
    def policies(self) -> frozenset[str]:
        """Return the dtype policies of the layer and all in it: "float32", "int8_from_mixed_bfloat16"."""
        return frozenset(_policies((self.layer or {}).get("config", {})))

    @property
    def inputs(self) -> list[Tensor]:
        """Return every tensor that the case is called with."""
        return list(tensors_of((self.arguments, dict(self.call))))

    @property
    def is_half(self) -> bool:
        """Return whether anything in the case computes in half precision."""
        return any(HALF in name for name in (*self.policies, *(x.dtype for x in self.inputs)))

    @property
    def group(self) -> str:
        """Return the group the case is counted in."""
        if self.is_preprocessing:
            return PREPROCESSING
        if any(word in policy for policy in self.policies for word in QUANTIZED):
            return "quantized"
        if self.is_half:
            return "half"
        return "float32" if self.kind == LAYER else self.kind

    @property
    def key(self) -> int:
        """Return a number that cases share which differ in numbers given to names only."""
        inputs = [
            (tensor.shape, tensor.dtype, None if tensor.values is None else tensor.values.tobytes())
            for tensor in self.inputs
        ]
        text = json.dumps(
            [self.layer, self.arguments, dict(self.call)], default=_shape_of, sort_keys=True
        )
        return zlib.crc32((re.sub(r"_\d+\"", '"', text) + repr(inputs)).encode())


def tensors_of(tree: Any) -> Iterator[Tensor]:
    """Return every `Tensor` of a tree in its order."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for part in tree.values():
            yield from tensors_of(part)
    elif isinstance(tree, (list, tuple)):
        for part in tree:
            yield from tensors_of(part)


def _policies(config: Any) -> Iterator[str]:
    if isinstance(config, (list, tuple)):
        for part in config:
            yield from _policies(part)
    if not isinstance(config, Mapping):
        return
    inner = config.get("config")
    if "DTypePolicy" in str(config.get("class_name")) and isinstance(inner, Mapping):
        mode, source = inner.get("mode"), inner.get("source_name")
        yield f"{mode}_from_{source}" if mode else str(inner.get("name") or "")
        return
    for key, part in config.items():
        if key == "dtype" and isinstance(part, str):
            yield part
        else:
            yield from _policies(part)


def _shape_of(value: Any) -> str:
    return repr(value.shape) if isinstance(value, Tensor) else repr(type(value))
