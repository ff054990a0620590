"""What a writer gets: tensors that are read when they are written, and plain data beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.moves import Move

CHUNK_BYTES = 16 * 1024**2
"""Written at once: large enough for the disk, small beside any memory promise."""
_TILE = 256
"""Rows and columns of a transposed tile: 256 KB of float32, which stays in the second-level cache."""


@dataclass(frozen=True, slots=True)
class OutputTensor:
    """A tensor of the result; nothing is read before `chunks` or `read`."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype  # little-endian
    move: Move

    @property
    def nbytes(self) -> int:
        """Size of the data in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def read(self) -> NDArray:  # type: ignore[type-arg]
        """Return the whole tensor, contiguous and little-endian."""
        return np.ascontiguousarray(self._view(), dtype=self.dtype)

    def chunks(self) -> Iterator[NDArray]:  # type: ignore[type-arg]
        """Yield the data in order, contiguous, in pieces of about `CHUNK_BYTES`; a piece is valid until the next."""
        view = self._view()
        if view.ndim == 0 or view.nbytes <= CHUNK_BYTES:
            yield np.ascontiguousarray(view, dtype=self.dtype)
            return
        rows = max(1, CHUNK_BYTES // max(1, view.nbytes // len(view)))
        if view.ndim != 2 or view.flags.c_contiguous:
            for start in range(0, len(view), rows):
                yield np.ascontiguousarray(view[start : start + rows], dtype=self.dtype)
            return
        # A transposed matrix: copied tile by tile, because a whole row of it touches a page per element.
        buffer = np.empty((min(rows, len(view)), view.shape[1]), self.dtype)
        for start in range(0, len(view), rows):
            piece = view[start : start + rows]
            for row in range(0, len(piece), _TILE):
                for column in range(0, piece.shape[1], _TILE):
                    tile = np.s_[row : row + _TILE, column : column + _TILE]
                    buffer[tile] = piece[tile]
            yield buffer[: len(piece)]

    def _view(self) -> NDArray:  # type: ignore[type-arg]
        return self.move.layout.apply(self.move.source.read())


@dataclass(frozen=True, slots=True)
class OptimizerContent:
    """Optimizer state in the form of `torch.optim.Optimizer.state_dict`."""

    group: Mapping[str, object]  # the one parameter group, without "params"
    state: Sequence[Mapping[str, OutputTensor]]  # by parameter


@dataclass(frozen=True, slots=True)
class Content:
    """Everything a converted file holds."""

    tensors: Sequence[OutputTensor]
    optimizer: OptimizerContent | None
    architecture: Mapping[str, object]
    metadata: Mapping[str, object]


def output_tensor(move: Move) -> OutputTensor:
    """Return the tensor a move makes, in the byte order of the machines torch runs on."""
    dtype = (
        move.source.dtype.newbyteorder("<")
        if move.source.dtype.byteorder == ">"
        else move.source.dtype
    )
    return OutputTensor(move.target, move.shape, dtype, move)
