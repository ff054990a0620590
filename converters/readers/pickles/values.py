"""What comes out of a pickle besides plain Python and numpy: names, and objects that were never made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reference:
    """A name in a module, as the file states it; it was not looked up."""

    module: str
    name: str

    @property
    def path(self) -> str:
        """Both with a dot between: "gym.spaces.box.Box"."""
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False, repr=False)
class PickledObject:
    """An object that a loader would have made by calling something from the file.

    Attributes:
        function: what would be called: a `Reference`, or an object of the file.
        arguments: of the call, as data.
        state: what the object would get afterwards, as data: mostly a dictionary of its attributes; None: nothing.
        items: what would be appended to it.
        entries: keys and values that would be set in it.
    """

    function: object
    arguments: tuple[object, ...] = ()
    state: object = None
    items: list[object] = field(default_factory=list)
    entries: list[tuple[object, object]] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Name of what would be called; "" for a function that is itself made by the file."""
        return self.function.path if isinstance(self.function, Reference) else ""

    @property
    def attributes(self) -> dict[str, object]:
        """The attributes it would have: its state as far as that is a dictionary with names for keys."""
        parts = self.state if isinstance(self.state, tuple) else (self.state,)
        return {
            key: value
            for part in parts
            if isinstance(part, dict)
            for key, value in part.items()
            if isinstance(key, str)
        }

    def __repr__(self) -> str:  # not of the contents, which may hold themselves
        return f"PickledObject({self.path or 'of a function in the file'})"


@dataclass(frozen=True, slots=True)
class ObjectArray:
    """An array of numpy whose elements are objects."""

    shape: tuple[int, ...]
    items: Sequence[object]
