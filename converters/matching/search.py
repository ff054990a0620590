"""What is found while the groups of a file are gone through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from converters.checkpoint import ArrayInfo
from converters.matching.model_weights import Path


@dataclass(slots=True)
class Search:
    """Arrays, and what is wrong.

    Attributes:
        missing: layers without arrays by their place in the configuration, and what is wrong with that.
    """

    arrays: dict[Path, dict[str, ArrayInfo]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    ignored: list[tuple[str, str]] = field(default_factory=list)
    missing: dict[Path, str] = field(default_factory=dict)
    twins: dict[str, str] = field(default_factory=dict)

    def add(self, found: Mapping[Path, dict[str, ArrayInfo]], group: str) -> None:
        """Add the arrays of one group; those of a shared layer may be there already, and must be the same."""
        for path, arrays in found.items():
            known = self.arrays.setdefault(path, arrays)
            if known is arrays:
                continue
            for role, info in arrays.items():
                if role not in known or not same_bytes(info, known[role]):
                    name = "/".join(path)
                    self.problems.append(
                        f"layer '{group}': it shares '{name}' with another, where its {role} is not the same"
                    )
                elif info.name != known[role].name:
                    self.twins[info.name] = known[role].name


def same_bytes(info: ArrayInfo, other: ArrayInfo) -> bool:
    """Return whether two arrays have the same bytes: NaN is what it was, and so is minus zero."""
    same_kind = info.shape == other.shape and info.dtype == other.dtype
    return same_kind and info.read().tobytes() == other.read().tobytes()
