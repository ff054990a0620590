"""What a writer gets: tensors that are read when they are written, and plain data beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from converters.moves import Move

CHUNK_BYTES = 16 * 1024**2
"""Written at once: large enough for the disk, small beside any memory promise."""
_STORED_BYTES = 1024**2
"""Of bytes that stay as they are: still in the second-level cache when they are written after their checksum was taken."""
_TILE = 256
"""Rows and columns of a transposed tile: 256 KB of float32, which stays in the second-level cache."""


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """A tensor of the result; nothing is read before `chunks` or `read`."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype  # little-endian
    move: Move
    not_finite: dict[str, None] = field(default_factory=dict)
    """Where the array's name goes when NaN or infinity is met in it; one for all tensors of a file, in order."""

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def strides(self) -> tuple[int, ...] | None:
        """Steps in elements between neighbours along each axis, over the stored bytes; None if they must be moved.

        A transposed matrix is the stored bytes with other strides: nothing has to be copied for it.
        """
        layout = self.move.layout
        if not layout.only_permutes:
            return None
        stored = dict(zip(layout.left, contiguous_strides(self.move.source.shape), strict=True))
        return tuple(stored[group] for group in layout.right)

    def stored_chunks(self) -> Iterator[NDArray]:  # type: ignore[type-arg]
        """Yield the bytes as the legacy file holds them, in pieces of `_STORED_BYTES`."""
        flat = np.ascontiguousarray(self.move.source.read(), dtype=self.dtype).reshape(-1)
        count = _STORED_BYTES // self.dtype.itemsize
        for start in range(0, max(1, flat.size), count):
            yield self._noted(flat[start : start + count])

    def chunks(self) -> Iterator[NDArray]:  # type: ignore[type-arg]
        """Yield the data in order of the target, in pieces of about `CHUNK_BYTES`; each is valid until the next."""
        view = self.move.layout.apply(self.move.source.read())
        if view.nbytes <= CHUNK_BYTES:
            yield self._noted(np.ascontiguousarray(view, dtype=self.dtype))
            return
        rows = max(1, CHUNK_BYTES // (view.nbytes // len(view)))
        is_matrix = view.ndim == 2 and not view.flags.c_contiguous
        for start in range(0, len(view), rows):
            piece = view[start : start + rows]
            yield self._noted(
                _copy_tiles(piece, self.dtype)
                if is_matrix
                else np.ascontiguousarray(piece, self.dtype)
            )

    def _noted(self, piece: NDArray) -> NDArray:  # type: ignore[type-arg]
        if not _is_finite(piece):
            self.not_finite[self.move.source.name] = None
        return piece


def _is_finite(piece: NDArray) -> bool:  # type: ignore[type-arg]
    """Return whether no element is NaN or infinite."""
    if not np.issubdtype(piece.dtype, np.inexact) and piece.dtype.name != "bfloat16":
        return True
    # NaN and infinity stay in a sum, which is quicker than a question per element; finite ones may overflow in it.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(piece.sum()) or np.isfinite(piece).all())


def _copy_tiles(view: NDArray, dtype: np.dtype) -> NDArray:  # type: ignore[type-arg]
    """Return a contiguous copy of a transposed matrix, tile by tile: a whole row of it touches a page per element."""
    result = np.empty(view.shape, dtype)
    for row in range(0, view.shape[0], _TILE):
        for column in range(0, view.shape[1], _TILE):
            tile = np.s_[row : row + _TILE, column : column + _TILE]
            result[tile] = view[tile]
    return result


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides, in elements, of an array whose last axis is dense."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


@dataclass(frozen=True, slots=True)
class OptimizerContent:
    """Optimizer state in the form of `torch.optim.Optimizer.state_dict`."""

    group: Mapping[str, object]  # the one parameter group, without "params"
    state: Sequence[Mapping[str, OutputTensor]]  # by parameter
    groups: Sequence[Mapping[str, object]] = ()  # in its place, if there are several; with "params"

    @property
    def param_groups(self) -> list[Mapping[str, object]]:
        """The parameter groups as a `state_dict` has them."""
        whole = {**self.group, "params": list(range(len(self.state)))}
        return list(self.groups) or [whole]


@dataclass(frozen=True, slots=True)
class Content:
    """Everything a converted file holds.

    Attributes:
        architecture: None: the tensors are for a module of the user's own.
        metadata: asked for when the tensors are written: the checksum of a large input takes as long as they do.
        extras: further keys of the file: plain data, with tensors in it.
        not_finite: names of the arrays in which NaN or infinity was met while they were written.
    """

    tensors: Sequence[OutputTensor]
    optimizer: OptimizerContent | None
    architecture: Mapping[str, object] | None
    metadata: Callable[[], Mapping[str, object]]
    extras: Mapping[str, object] = field(default_factory=dict)
    not_finite: Mapping[str, None] = field(default_factory=dict)


def output_tensor(move: Move, not_finite: dict[str, None]) -> OutputTensor:
    """Return the tensor a move makes, in the byte order of the machines torch runs on."""
    dtype = (
        move.source.dtype.newbyteorder("<")
        if move.source.dtype.byteorder == ">"
        else move.source.dtype
    )
    return OutputTensor(move.target, move.shape, dtype, move, not_finite)
