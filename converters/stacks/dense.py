"""Dense layers among the entries of a file, and the one order in which each feeds the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converters.checkpoint import ArrayInfo, LayerArrays

MAX_LAYERS = 64
"""Longer chains of dense layers are no network that anyone trained."""
_ROLES = (("kernel", "bias"), ("0", "1"), ("w", "b"))


@dataclass(frozen=True, slots=True)
class Dense:
    """One matrix of a chain, with what adds to it."""

    path: str
    kernel: ArrayInfo
    bias: ArrayInfo | None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers that come in and that go out."""
        return self.kernel.shape


def is_counter(entry: LayerArrays) -> bool:
    """Tell whether an entry holds single numbers only: steps, rates, metrics."""
    return bool(entry.arrays) and all(not array.shape for array in entry.arrays.values())


def as_dense(entry: LayerArrays) -> Dense | None:
    """Return the entry as a dense layer; None if it holds anything else."""
    for kernel, bias in _ROLES:
        matrix, added = entry.arrays.get(kernel), entry.arrays.get(bias)
        if matrix is None or len(matrix.shape) != 2 or set(entry.arrays) - {kernel, bias}:
            continue
        if added is None or added.shape == matrix.shape[1:]:
            return Dense(entry.path, matrix, added)
    return None


def chain_of(layers: Sequence[Dense]) -> list[Dense] | None:
    """Return the layers in the one order in which each feeds the next; None if there is none, or another one.

    Layers of one shape are no two orders: they keep the order of the file.
    """
    orders: list[list[Dense]] = []
    if len(layers) <= MAX_LAYERS:
        _extend([], list(layers), orders)
    return orders[0] if len(orders) == 1 else None


def _extend(begun: list[Dense], rest: list[Dense], orders: list[list[Dense]]) -> None:
    if not rest:
        orders.append(begun)
        return
    tried: set[tuple[int, ...]] = set()
    for place, layer in enumerate(rest):
        fits = not begun or begun[-1].sizes[1] == layer.sizes[0]
        if not fits or layer.sizes in tried or len(orders) > 1:
            continue
        tried.add(layer.sizes)
        _extend([*begun, layer], rest[:place] + rest[place + 1 :], orders)
