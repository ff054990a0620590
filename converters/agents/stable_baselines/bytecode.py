"""Instructions of CPython that lie in a file, followed with names in the place of values; nothing is ever run.

cloudpickle stores functions and classes of a user's own script by value. What a simple one states can be read from its
instructions: constants, names, and what is called with them. Branches and loops are not followed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from converters.readers.pickles import PickledObject

MAX_INSTRUCTIONS = 2000
_RETURN, _EXTENDED = 83, 144


@dataclass(frozen=True, slots=True)
class Name:
    """A function or module by its name."""

    path: str


_SKELETON = "_make_skel_func"
"""Of cloudpickle before 1.3: `_fill_function(_make_skel_func(code, ...), state)`."""


class Unknown(Exception):  # noqa: N818  # nobody sees it
    """The function does something that is not followed."""


@dataclass(frozen=True, slots=True)
class Code:
    """The parts of a code object that are needed."""

    instructions: bytes
    constants: tuple[object, ...]
    names: tuple[str, ...]
    locals: tuple[str, ...]
    arguments: int
    free: tuple[str, ...]


def code_of(function: object) -> Code | None:
    """Return the code object among the arguments of the call that makes a function."""
    if not isinstance(function, PickledObject):
        return None
    parts = [part for part in function.arguments if isinstance(part, PickledObject)]
    inner = [each for part in parts if part.path.endswith(_SKELETON) for each in part.arguments]
    for part in (*parts, *inner):
        if isinstance(part, PickledObject) and len(part.arguments) >= 14:
            return _parse_code(part.arguments)
    return None


def _parse_code(parts: Sequence[object]) -> Code | None:
    """Return the parts of `types.CodeType(...)`: Python 3.8 has one number more in front than 3.7."""
    place = next((place for place, part in enumerate(parts) if isinstance(part, bytes)), None)
    if place is None or place not in (5, 6) or not isinstance(parts[0], int):
        return None
    instructions, constants, names, variables = parts[place : place + 4]
    free = next((part for part in parts[place + 8 :] if isinstance(part, tuple)), ())
    texts = (names, variables, free)
    if not isinstance(instructions, bytes) or not isinstance(constants, tuple):
        return None
    if not all(isinstance(each, tuple) and all(isinstance(n, str) for n in each) for each in texts):
        return None
    return Code(instructions, constants, names, variables, parts[0], free)  # type: ignore[arg-type]


class Follower(ABC):
    """A stack of names and constants; a subclass says what becomes of calls.

    Args:
        code: to follow.
        first: stands for its first argument.
    """

    def __init__(self, code: Code, first: object) -> None:
        self.code = code
        self.stack: list[object] = []
        self.locals: dict[int, object] = {0: first}
        self.either: set[int] = set()

    def run(self) -> object:
        """Return what the function returns. Raises Unknown for anything that is not followed."""
        code, extended = self.code, 0
        pairs = list(zip(code.instructions[::2], code.instructions[1::2], strict=False))
        for place, (opcode, low) in enumerate(pairs[:MAX_INSTRUCTIONS]):
            argument, extended = extended << 8 | low, 0
            if place in self.either and self.stack:
                self.stack[-1] = Name("?")
            if opcode == _EXTENDED:
                extended = argument
            elif opcode == _RETURN:
                return self.stack.pop()
            else:
                self._step(opcode, argument)
        raise Unknown

    def _step(self, opcode: int, argument: int) -> None:
        follow = _FOLLOWED.get(opcode)
        if follow is None:
            raise Unknown
        follow(self, argument)

    def _constant(self, argument: int) -> None:
        self.stack.append(self.code.constants[argument])

    def _local(self, argument: int) -> None:
        self.stack.append(self.locals.get(argument, Name("")))

    def _store(self, argument: int) -> None:
        self.locals[argument] = self.stack.pop()

    def _global_name(self, argument: int) -> None:
        self.stack.append(Name(self.code.names[argument]))

    def _closure(self, argument: int) -> None:
        self.stack.append(Name(self.code.free[argument]))

    def _attribute(self, argument: int) -> None:
        self._append_attribute(self.stack.pop(), argument)

    def _imported_name(self, argument: int) -> None:
        self._append_attribute(self.stack[-1], argument)

    def _append_attribute(self, owner: object, argument: int) -> None:
        if not isinstance(owner, Name):
            raise Unknown
        self.stack.append(Name(f"{owner.path}.{self.code.names[argument]}"))

    def _imported(self, argument: int) -> None:
        self._taken(2)  # level and list of names
        self._global_name(argument)

    def _pop(self, _: int) -> None:
        self.stack.pop()

    def _one_or_other(self, argument: int) -> None:
        """Follow `a or b`, `a and b` to their end: either may be the result."""
        self.stack.pop()
        self.either.add(argument // 2)

    def _build_tuple(self, argument: int) -> None:
        self.stack.append(tuple(self._taken(argument)))

    def _build_list(self, argument: int) -> None:
        self.stack.append(self._taken(argument))

    def _build_map(self, argument: int) -> None:
        parts = self._taken(2 * argument)
        self.stack.append(dict(zip(map(str, parts[::2]), parts[1::2], strict=True)))

    def _build_keyed_map(self, argument: int) -> None:
        keys = self._keys()
        self.stack.append(dict(zip(keys, self._taken(argument), strict=True)))

    def _merge_maps(self, argument: int) -> None:
        """Follow {"stride": 4, **kwargs}; the function's own **kwargs are empty."""
        maps = [each for each in self._taken(argument & 0xFF) if each != Name("")]
        self.stack.append({key: value for each in maps for key, value in _items(each)})

    def _call_positional(self, argument: int) -> None:
        arguments = self._taken(argument)
        self.stack.append(self.call(self.stack.pop(), arguments, {}))

    def _call_named(self, argument: int) -> None:
        keys = self._keys()
        arguments = self._taken(argument)
        count = len(arguments) - len(keys)
        named = dict(zip(keys, arguments[count:], strict=True))
        self.stack.append(self.call(self.stack.pop(), arguments[:count], named))

    def _call_unpacked(self, argument: int) -> None:
        named = dict(_items(self.stack.pop())) if argument & 1 else {}
        arguments = self.stack.pop()
        if not isinstance(arguments, tuple):
            arguments = (Name(""),)  # the function's own *args
        self.stack.append(self.call(self.stack.pop(), arguments, named))

    def _keys(self) -> tuple[str, ...]:
        keys = self.stack.pop()
        if not isinstance(keys, tuple):
            raise Unknown
        return tuple(map(str, keys))

    def _taken(self, count: int) -> list[object]:
        if count > len(self.stack):
            raise Unknown
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    @abstractmethod
    def call(
        self, function: object, arguments: Sequence[object], named: Mapping[str, object]
    ) -> object:
        """Return what stands for the result of a call. Raises Unknown where it is not followed."""


def _items(value: object) -> list[tuple[str, object]]:
    if not isinstance(value, dict):
        raise Unknown
    return list(value.items())


_FOLLOWED: Mapping[int, Callable[[Follower, int], None]] = {
    1: Follower._pop,
    100: Follower._constant,
    102: Follower._build_tuple,
    103: Follower._build_list,
    105: Follower._build_map,
    106: Follower._attribute,
    108: Follower._imported,
    109: Follower._imported_name,
    111: Follower._one_or_other,
    112: Follower._one_or_other,
    116: Follower._global_name,
    124: Follower._local,
    125: Follower._store,
    131: Follower._call_positional,
    136: Follower._closure,
    141: Follower._call_named,
    142: Follower._call_unpacked,
    151: Follower._merge_maps,
    156: Follower._build_keyed_map,
    160: Follower._attribute,
    161: Follower._call_positional,
}
"""Opcodes of CPython 3.6 to 3.8, the Pythons of TensorFlow 1."""
