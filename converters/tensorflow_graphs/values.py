"""What a tensor of a graph is known to be while the graph is translated: numbers, sizes, a weight, or computed later."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.checkpoint import ArrayInfo
from converters.graph import TensorRef
from converters.registry import Shape

AnyArray = NDArray[np.generic]
Ref = tuple[str, int]
"""A tensor of a flat graph: name of the node, and which of its results."""


@dataclass(frozen=True, slots=True)
class Known:
    """Numbers that do not depend on inputs or variables; `name` is of the node they are written in."""

    array: AnyArray
    name: str = ""

    @property
    def shape(self) -> Shape:
        """Return the shape."""
        return self.array.shape

    @property
    def dtype(self) -> str:
        """Return the name of the type."""
        return self.array.dtype.name


@dataclass(frozen=True, slots=True)
class Origin:
    """What an open size is the size of: an axis of something that the network computes."""

    tensor: Tensor
    axis: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """Whole numbers worked out from shapes; None: only known when the network runs, as the size of the batch.

    Attributes:
        origins: for every entry what it is the size of, None where it is known or not a size as it stands.
    """

    entries: tuple[int | None, ...]
    scalar: bool = False
    origins: tuple[Origin | None, ...] = ()

    @property
    def shape(self) -> Shape:
        """Return the shape."""
        return () if self.scalar else (len(self.entries),)

    @property
    def dtype(self) -> str:
        """Return the name of the type."""
        return "int32"


@dataclass(frozen=True, slots=True)
class Weights:
    """The value of a variable, or of a large constant of a frozen graph.

    Attributes:
        array: how it is stored.
        variable: name of the variable.
        trainable: whether an optimizer may change it.
    """

    array: ArrayInfo
    variable: str
    trainable: bool

    @property
    def shape(self) -> Shape:
        """Return the shape."""
        return self.array.shape

    @property
    def dtype(self) -> str:
        """Return the name of the type."""
        return self.array.dtype.name


@dataclass(frozen=True, slots=True)
class Tensor:
    """Something that the network computes."""

    ref: TensorRef
    shape: Shape
    dtype: str


@dataclass(frozen=True, slots=True)
class Filled:
    """One number everywhere, in a shape that may only be known when the network runs.

    Attributes:
        like: a tensor of that shape, if there is one.
        origins: what each open axis has its size of, as far as that is known.
    """

    value: float
    shape: Shape
    dtype: str
    like: Tensor | None = None
    origins: tuple[Origin | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Elements:
    """A list of tensors of one shape, as loops carry them."""

    items: tuple[Value | None, ...]
    whole: Tensor | None = None  # the tensor whose first axis was made the list

    @property
    def shape(self) -> Shape:
        """Return the shape: a list has none."""
        return ()

    @property
    def dtype(self) -> str:
        """Return the name of the type: a list has none."""
        return ""


Value = Known | Sizes | Weights | Filled | Tensor | Elements


def plain_number(array: AnyArray) -> int | float | bool:
    """Return one number: of float32 the shortest that is it, 0.1 and not 0.10000000149."""
    number = array.item()
    if array.dtype.kind == "f":
        short = float(str(array[()]))
        # The shortest of the largest number lies beyond it, and torch takes it for too large.
        return (
            number
            if math.isfinite(number) and abs(short) > float(np.finfo(array.dtype.name).max)
            else short
        )
    return bool(number) if array.dtype.kind == "b" else int(number)


def plain_numbers(array: AnyArray) -> object:
    """Return nested tuples of numbers."""
    if array.ndim == 0:
        return plain_number(array)
    return tuple(plain_numbers(part) for part in array)
