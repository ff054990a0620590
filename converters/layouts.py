"""Array layouts as text: "in out -> out in" says what transpose(1, 0) hides.

A layout names every axis on the left, and on the right gives their new order, with parentheses where axes are
merged into one or split (empty ones are an axis of size 1), and brackets where an axis is made of equal parts that lie
one after another: "in [z r h] -> [r z h] in" transposes and puts the gates into another order. "h w -> ~h ~w" turns the
order along both axes round. `.inverse` undoes it, which is how weights travel back to the legacy side. No framework, no file format: `converters.plan` attaches layouts to
moves, writers apply them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Group = tuple[str, ...]


class Parts(Group):
    """Names of equal parts that lie one after another along one axis: "[z r h]"."""

    __slots__ = ()

    @property
    def axis(self) -> str:
        """One name for the whole axis, whatever the order of its parts."""
        return "+".join(sorted(self))


class Backwards(Group):
    """One axis from its end to its start: "~h"."""

    __slots__ = ()

    @property
    def axis(self) -> str:
        """The name of the axis."""
        return self[0].removeprefix("~")


@dataclass(frozen=True, slots=True)
class Layout:
    """A parsed layout: each side is a sequence of groups of axis names; a group of one is a plain axis.

    A group may also be `Parts` of one axis, or one axis `Backwards`.
    """

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
    def only_permutes(self) -> bool:
        """True if the axes are at most put into another order: the result is the stored data with other strides."""
        groups = self.left + self.right
        return all(len(group) <= 1 and not isinstance(group, Backwards) for group in groups)

    def shape(self, shape: Sequence[int], **sizes: int) -> tuple[int, ...]:
        """Return the shape of `apply`'s result for an array of `shape`."""
        sizes = self._sizes(tuple(shape), sizes)
        return tuple(_product(sizes[axis] for axis in _axes(group)) for group in self.right)

    def apply(self, array: NDArray, **sizes: int) -> NDArray:  # type: ignore[type-arg]
        """Return `array` rearranged; a view where numpy can give one.

        Args:
            array: one axis per group on the left.
            sizes: sizes of axes inside a group, all but one of each group.

        Raises:
            ValueError: Number or sizes of the axes do not fit, or a size is missing.
        """
        sizes = self._sizes(array.shape, sizes)
        left = [axis for group in self.left for axis in _axes(group)]
        right = [axis for group in self.right for axis in _axes(group)]
        split = array.reshape([sizes[axis] for axis in left])
        moved = split.transpose([left.index(axis) for axis in right])
        if any(len(_axes(group)) != 1 for group in self.right):
            shape = [_product(sizes[axis] for axis in _axes(group)) for group in self.right]
            moved = moved.reshape(shape)
        stored = {group.axis: group for group in self.left if isinstance(group, Parts)}
        for index, group in enumerate(self.right):
            if isinstance(group, Parts) and group != stored[group.axis]:
                pieces = np.split(moved, len(group), axis=index)
                order = [stored[group.axis].index(part) for part in group]
                moved = np.concatenate([pieces[part] for part in order], axis=index)
        turned = {group.axis for group in self.left if isinstance(group, Backwards)}
        turned ^= {group.axis for group in self.right if isinstance(group, Backwards)}
        axes = tuple(i for i, group in enumerate(self.right) if turned & set(_axes(group)))
        flipped: NDArray = np.flip(moved, axes)  # type: ignore[type-arg]
        return flipped

    def undo(self, array: NDArray, shape: Sequence[int], **sizes: int) -> NDArray:  # type: ignore[type-arg]
        """Return the array of `shape` that `apply` made `array` from.

        Args:
            array: one axis per group on the right.
            shape: on the left.
            sizes: as for `apply`.

        Raises:
            ValueError: The array does not have the shape that `apply` gives for `shape`.
        """
        needed = self.shape(shape, **sizes)
        if array.shape != needed:
            msg = f"layout '{self}' gives {needed} for {tuple(shape)}, the array has {array.shape}"
            raise ValueError(msg)
        return self.inverse.apply(array, **self._sizes(tuple(shape), sizes))

    def _sizes(self, shape: tuple[int, ...], given: dict[str, int]) -> dict[str, int]:
        if len(shape) != len(self.left):
            msg = f"layout '{self}' needs {len(self.left)} axes, the array has shape {shape}"
            raise ValueError(msg)
        sizes = dict(given)
        for group, size in zip(self.left, shape, strict=True):
            axes = _axes(group)
            unknown = [axis for axis in axes if axis not in sizes]
            known = _product(sizes[axis] for axis in axes if axis in sizes)
            if isinstance(group, Parts) and size % len(group):
                msg = f"layout '{self}': {size} is not divisible into [{' '.join(group)}]"
                raise ValueError(msg)
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


def _axes(group: Group) -> Group:
    return (group.axis,) if isinstance(group, (Parts, Backwards)) else group


def _side(groups: tuple[Group, ...]) -> str:
    return " ".join(_text(group) for group in groups)


def _text(group: Group) -> str:
    if isinstance(group, Parts):
        return f"[{' '.join(group)}]"
    return group[0] if len(group) == 1 else f"({' '.join(group)})"


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
        sorted(axis for group in side for axis in _axes(group))
        for side in (layout.left, layout.right)
    ]
    if any(len(set(group)) != len(group) for group in (*layout.left, *layout.right)):
        msg = f"layout '{text}': a group names something twice"
        raise ValueError(msg)
    if names[0] != names[1] or len(set(names[0])) != len(names[0]):
        msg = f"layout '{text}': both sides must name the same axes, each once"
        raise ValueError(msg)
    return layout


def _parse_side(side: str, text: str) -> tuple[Group, ...]:
    groups: list[Group] = []
    inside: list[str] | None = None
    opened = ""
    for part in re.findall(r"[()\[\]]|[^\s()\[\]]+", side):
        if part in "([" and inside is None:
            inside, opened = [], part
        elif inside is not None and (opened + part == "()" or (inside and opened + part == "[]")):
            groups.append(tuple(inside) if opened == "(" else Parts(inside))
            inside = None
        elif inside is None and part.startswith("~") and part[1:].isidentifier():
            groups.append(Backwards((part,)))
        elif part in "()[]" or not part.isidentifier():
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
