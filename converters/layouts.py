"""Array layouts as text: "in out -> out in" says what transpose(1, 0) hides.

A layout names every axis on the left, and on the right gives their new order, with parentheses where axes are
merged into one or split. `.inverse` undoes it, which is how weights travel back to the legacy side. No framework,
no file format: `converters.plan` attaches layouts to moves, writers apply them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Group = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """A parsed layout: each side is a sequence of groups of axis names; a group of one is a plain axis."""

    left: tuple[Group, ...]
    right: tuple[Group, ...]

    @staticmethod
    def parse(text: str) -> Layout:
        """Return the layout that `text` describes, e.g. "(h w c) out -> out (c h w)".

        Raises:
            ValueError: The text has no arrow, an axis is repeated, or the sides name different axes.
        """
        return _parse(text)

    @property
    def inverse(self) -> Layout:
        """The layout that undoes this one."""
        return Layout(self.right, self.left)

    @property
    def is_identity(self) -> bool:
        """True if nothing moves."""
        return self.left == self.right

    def shape(self, shape: Sequence[int], **sizes: int) -> tuple[int, ...]:
        """Return the shape of `apply`'s result for an array of `shape`."""
        sizes = self._sizes(tuple(shape), sizes)
        return tuple(_product(sizes[axis] for axis in group) for group in self.right)

    def apply(self, array: NDArray, **sizes: int) -> NDArray:  # type: ignore[type-arg]
        """Return `array` rearranged; a view where numpy can give one.

        Args:
            array: one axis per group on the left.
            sizes: sizes of axes inside a group, all but one of each group.

        Raises:
            ValueError: Number or sizes of the axes do not fit, or a size is missing.
        """
        sizes = self._sizes(array.shape, sizes)
        left = [axis for group in self.left for axis in group]
        right = [axis for group in self.right for axis in group]
        split = array.reshape([sizes[axis] for axis in left])
        moved = split.transpose([left.index(axis) for axis in right])
        if all(len(group) == 1 for group in self.right):
            return moved
        return moved.reshape([_product(sizes[axis] for axis in group) for group in self.right])

    def _sizes(self, shape: tuple[int, ...], given: dict[str, int]) -> dict[str, int]:
        if len(shape) != len(self.left):
            msg = f"layout '{self}' needs {len(self.left)} axes, the array has shape {shape}"
            raise ValueError(msg)
        sizes = dict(given)
        for group, size in zip(self.left, shape, strict=True):
            unknown = [axis for axis in group if axis not in sizes]
            known = _product(sizes[axis] for axis in group if axis in sizes)
            if len(unknown) > 1:
                msg = f"layout '{self}': give the sizes of all but one of {', '.join(unknown)}"
                raise ValueError(msg)
            if unknown and known and size % known == 0:
                sizes[unknown[0]] = size // known
            elif unknown or known != size:
                msg = f"layout '{self}': axis ({' '.join(group)}) is {size} long, its parts make {known}"
                raise ValueError(msg)
        return sizes

    def __str__(self) -> str:
        return f"{_side(self.left)} -> {_side(self.right)}"


def _side(groups: tuple[Group, ...]) -> str:
    return " ".join(group[0] if len(group) == 1 else f"({' '.join(group)})" for group in groups)


def _product(values: object) -> int:
    return int(np.prod(list(values), dtype=np.int64))  # type: ignore[call-overload]


@lru_cache(maxsize=256)
def _parse(text: str) -> Layout:
    left, arrow, right = text.partition("->")
    if not arrow:
        msg = f"layout '{text}' has no '->'"
        raise ValueError(msg)
    layout = Layout(_parse_side(left, text), _parse_side(right, text))
    names = [
        sorted(axis for group in side for axis in group) for side in (layout.left, layout.right)
    ]
    if names[0] != names[1] or len(set(names[0])) != len(names[0]):
        msg = f"layout '{text}': both sides must name the same axes, each once"
        raise ValueError(msg)
    return layout


def _parse_side(side: str, text: str) -> tuple[Group, ...]:
    groups: list[Group] = []
    inside: list[str] | None = None
    for part in side.replace("(", " ( ").replace(")", " ) ").split():
        if part == "(" and inside is None:
            inside = []
        elif part == ")" and inside:
            groups.append(tuple(inside))
            inside = None
        elif part in "()" or not part.isidentifier():
            msg = f"layout '{text}': unexpected '{part}'"
            raise ValueError(msg)
        elif inside is None:
            groups.append((part,))
        else:
            inside.append(part)
    if inside is not None:
        msg = f"layout '{text}': a parenthesis is not closed"
        raise ValueError(msg)
    return tuple(groups)
