"""Submodules whose mode does not follow the network's, because the legacy model calls them with a fixed `training`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from converters.architecture import Architecture

Tree: TypeAlias = "dict[str, str | Tree]"


def fixed_modes(architecture: Architecture) -> tuple[tuple[str, str], ...]:
    """Return the attributes to switch after the network was, each with "train" or "eval".

    A block whose layers all have a mode is switched as a whole, then those inside that differ from it.
    """
    root: Tree = {}
    for step in architecture.steps:
        if step.attribute is not None:
            *blocks, name = step.attribute.split(".")
            place = root
            for block in blocks:
                inner = place.setdefault(block, {})
                place = inner if isinstance(inner, dict) else {}
            place.setdefault(name, step.mode)
    return tuple(_switches(root, (), ""))


def _switches(
    tree: Mapping[str, str | Tree], around: Sequence[str], given: str
) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, below in tree.items():
        path = (*around, name)
        modes = Counter(_modes(below))
        mode = "" if "" in modes else modes.most_common(1)[0][0]
        if mode and mode != given:
            found.append((".".join(path), mode))
        if isinstance(below, dict):
            found += _switches(below, path, mode or given)
    return found


def _modes(tree: str | Tree) -> list[str]:
    if isinstance(tree, str):
        return [tree]
    return [mode for below in tree.values() for mode in _modes(below)]
