"""A user's own function for images, read from its stored bytecode. It is never made into a function, and never run.

A policy with `cnn_extractor=small_cnn` keeps that function by value. What it does is mostly a chain of `conv`, `conv_to_fc`,
`linear` and an activation with constants as arguments. The instructions of such a chain are followed here with names in the
place of values; anything else (branches, loops, other calls) gives no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from converters.readers.pickles import PickledObject, Reference

MAX_INSTRUCTIONS = 2000


@dataclass(frozen=True, slots=True)
class ImageLayer:
    """One layer of variables.

    Attributes:
        stride: of a convolution; 0: a dense layer.
        padding: "VALID" or "SAME".
        activation: behind it, TensorFlow's name; "identity": none.
    """

    name: str
    stride: int
    padding: str
    activation: str


@dataclass(frozen=True, slots=True)
class _Name:
    """A function or module by its name."""

    path: str


@dataclass(frozen=True, slots=True)
class _Value:
    """The images, or what became of them: the layers so far."""

    layers: tuple[ImageLayer, ...] = ()


class _Unknown(Exception):  # noqa: N818  # nobody sees it
    """The function does something that is not followed."""


# Opcodes of CPython 3.6 to 3.8, the Pythons of TensorFlow 1, by what is done with them here.
_POP, _RETURN, _IMPORT, _IMPORT_FROM = 1, 83, 108, 109
_CONSTANT, _LOCAL, _STORE, _GLOBAL, _CLOSURE, _ATTRIBUTE, _METHOD = (
    100,
    124,
    125,
    116,
    136,
    106,
    160,
)
_CALL, _CALL_NAMED, _CALL_METHOD, _CALL_UNPACKED, _EXTENDED = 131, 141, 161, 142, 144
_BUILD_MAP_KEYS, _BUILD_TUPLE, _MERGE_MAPS = 156, 102, 151
_OWN = ("conv", "linear", "conv_to_fc")
_CONSTANTS_OF_INITIALIZERS = ("sqrt",)


def read_extractor(function: object) -> list[ImageLayer] | None:
    """Return the layers of a stored function; None: it is none, or does more than a chain of layers.

    Args:
        function: as cloudpickle stores it: a call that would make it from a code object.
    """
    if isinstance(function, Reference):
        return None
    code = _code_of(function)
    if code is None:
        return None
    try:
        result = _Follower(code).run()
    except (_Unknown, IndexError, KeyError, TypeError, ValueError):
        return None
    return list(result.layers)


@dataclass(frozen=True, slots=True)
class _Code:
    """The parts of a code object that are needed."""

    instructions: bytes
    constants: tuple[object, ...]
    names: tuple[str, ...]
    locals: tuple[str, ...]
    arguments: int
    free: tuple[str, ...]


def _code_of(function: object) -> _Code | None:
    """Return the code object among the arguments of the call that makes a function."""
    if not isinstance(function, PickledObject):
        return None
    for part in function.arguments:
        if isinstance(part, PickledObject) and len(part.arguments) >= 14:
            return _parse_code(part.arguments)
    return None


def _parse_code(parts: Sequence[object]) -> _Code | None:
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
    return _Code(instructions, constants, names, variables, parts[0], free)  # type: ignore[arg-type]


class _Follower:
    """A stack of names, constants and layers."""

    def __init__(self, code: _Code) -> None:
        self.code = code
        self.stack: list[object] = []
        self.locals: dict[int, object] = {0: _Value()}

    def run(self) -> _Value:
        """Return what the function returns. Raises _Unknown for anything that is not a chain of layers."""
        code, extended = self.code, 0
        pairs = list(zip(code.instructions[::2], code.instructions[1::2], strict=False))
        for opcode, low in pairs[:MAX_INSTRUCTIONS]:
            argument, extended = extended << 8 | low, 0
            if opcode == _EXTENDED:
                extended = argument
            elif opcode == _RETURN:
                result = self.stack.pop()
                if isinstance(result, _Value):
                    return result
                raise _Unknown
            else:
                self._step(opcode, argument)
        raise _Unknown

    def _step(self, opcode: int, argument: int) -> None:
        follow = _FOLLOWED.get(opcode)
        if follow is None:
            raise _Unknown
        follow(self, argument)

    def constant(self, argument: int) -> None:
        self.stack.append(self.code.constants[argument])

    def local(self, argument: int) -> None:
        self.stack.append(self.locals.get(argument, _Name("")))

    def store(self, argument: int) -> None:
        self.locals[argument] = self.stack.pop()

    def global_name(self, argument: int) -> None:
        self.stack.append(_Name(self.code.names[argument]))

    def closure(self, argument: int) -> None:
        self.stack.append(_Name(self.code.free[argument]))

    def attribute(self, argument: int) -> None:
        self._append_attribute(self.stack.pop(), argument)

    def imported_name(self, argument: int) -> None:
        self._append_attribute(self.stack[-1], argument)

    def _append_attribute(self, owner: object, argument: int) -> None:
        if not isinstance(owner, _Name):
            raise _Unknown
        self.stack.append(_Name(f"{owner.path}.{self.code.names[argument]}"))

    def imported(self, argument: int) -> None:
        self._taken(2)  # level and list of names
        self.global_name(argument)

    def pop(self, _: int) -> None:
        self.stack.pop()

    def build_tuple(self, argument: int) -> None:
        self.stack.append(tuple(self._taken(argument)))

    def build_map(self, argument: int) -> None:
        keys = self._keys()
        self.stack.append(dict(zip(keys, self._taken(argument), strict=True)))

    def merge_maps(self, argument: int) -> None:
        """Follow {"stride": 4, **kwargs}; the function's own **kwargs are empty."""
        maps = [each for each in self._taken(argument & 0xFF) if each != _Name("")]
        self.stack.append({key: value for each in maps for key, value in _items(each)})

    def call_positional(self, argument: int) -> None:
        arguments = self._taken(argument)
        self.stack.append(self._call(self.stack.pop(), arguments, {}))

    def call_named(self, argument: int) -> None:
        keys = self._keys()
        arguments = self._taken(argument)
        count = len(arguments) - len(keys)
        named = dict(zip(keys, arguments[count:], strict=True))
        self.stack.append(self._call(self.stack.pop(), arguments[:count], named))

    def call_unpacked(self, argument: int) -> None:
        named = dict(_items(self.stack.pop())) if argument & 1 else {}
        arguments = self.stack.pop()
        if not isinstance(arguments, tuple):
            raise _Unknown
        self.stack.append(self._call(self.stack.pop(), arguments, named))

    def _keys(self) -> tuple[str, ...]:
        keys = self.stack.pop()
        if not isinstance(keys, tuple):
            raise _Unknown
        return tuple(map(str, keys))

    def _taken(self, count: int) -> list[object]:
        if count > len(self.stack):
            raise _Unknown
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def _call(
        self, function: object, arguments: Sequence[object], named: Mapping[str, object]
    ) -> object:
        if not isinstance(function, _Name):
            raise _Unknown
        name = function.path.rpartition(".")[2]
        value = arguments[0] if arguments else named.get("input_tensor")
        if not isinstance(value, _Value):
            if name in _CONSTANTS_OF_INITIALIZERS:
                return 0.0
            raise _Unknown
        if name == "conv":
            return _with_layer(value, _convolution(arguments, named))
        if name == "linear":
            scope = arguments[1] if len(arguments) > 1 else named["scope"]
            return _with_layer(value, ImageLayer(str(scope), 0, "VALID", "identity"))
        if name in ("conv_to_fc", "flatten"):
            return value
        if len(arguments) == 1 and not named and value.layers:  # an activation
            *before, last = value.layers
            if last.activation != "identity":
                raise _Unknown
            return _Value((*before, ImageLayer(last.name, last.stride, last.padding, name)))
        raise _Unknown


def _items(value: object) -> list[tuple[str, object]]:
    if not isinstance(value, dict):
        raise _Unknown
    return list(value.items())


def _with_layer(value: _Value, layer: ImageLayer) -> _Value:
    return _Value((*value.layers, layer))


def _convolution(arguments: Sequence[object], named: Mapping[str, object]) -> ImageLayer:
    """Return the layer of `conv(input_tensor, scope, *, n_filters, filter_size, stride, pad="VALID", ...)`."""
    scope = arguments[1] if len(arguments) > 1 else named["scope"]
    stride, padding = named["stride"], named.get("pad", "VALID")
    layout = named.get("data_format", "NHWC")
    if not isinstance(scope, str) or not isinstance(stride, int) or layout != "NHWC":
        raise _Unknown
    if padding not in ("VALID", "SAME"):
        raise _Unknown
    return ImageLayer(scope, stride, str(padding), "identity")


_FOLLOWED: Mapping[int, Callable[[_Follower, int], None]] = {
    1: _Follower.pop,
    100: _Follower.constant,
    102: _Follower.build_tuple,
    106: _Follower.attribute,
    108: _Follower.imported,
    109: _Follower.imported_name,
    116: _Follower.global_name,
    124: _Follower.local,
    125: _Follower.store,
    131: _Follower.call_positional,
    136: _Follower.closure,
    141: _Follower.call_named,
    142: _Follower.call_unpacked,
    151: _Follower.merge_maps,
    156: _Follower.build_map,
    160: _Follower.attribute,
    161: _Follower.call_positional,
}
"""Opcodes of CPython 3.6 to 3.8, the Pythons of TensorFlow 1."""
