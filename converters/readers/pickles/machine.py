"""What the opcodes of a pickle work on: a stack, a memo, the place in the file.

Where a loader would import a name, a `Reference` is pushed; where it would call something, one of our constructors is
asked, or a `PickledObject` notes the call. Time and memory are linear in the bytes: every opcode and object is counted,
every length is compared with what is left of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from converters.errors import UnsafeFileError
from converters.limits import Limits
from converters.readers.pickles.constructors import (
    Constructor,
    ObjectType,
    Unready,
    check_key,
    finish_array,
    finish_dtype,
)
from converters.readers.pickles.joblib_arrays import WRAPPER, read_wrapped
from converters.readers.pickles.values import PickledObject, Reference

OPCODES_PER_NAME = 5
"""Opcodes that may be followed for each object that may be made; real pickles have two or three."""
MAX_LINE_BYTES = 4096
"""Names and numbers in text form; longer integers take quadratic time."""
VIEWED_BYTES = 64 * 1024
"""Bytes from this size on are views of the file, smaller ones copies."""
MAX_NOTED_CALLS = 1000
MAX_PICKLES_INSIDE = 10
"""joblib stores arrays of objects as pickles of their own."""
_RECONSTRUCTORS = ("copyreg._reconstructor", "copy_reg._reconstructor")
"""What makes an object in protocols before 2; its first argument is the class."""
_COPIED = (str, bytearray, list, tuple, dict)
"""What constructors copy; bytes are viewed."""
STOP = ord(".")
MARK = object()
"""Stands on the stack where the items of a container begin."""


class Settings(NamedTuple):
    """What a pickle is read with.

    Attributes:
        limits: bounds.
        constructors: names with a meaning.
        persistent: what persistent ids stand for.
        opcodes: opcode to what it does.
    """

    limits: Limits
    constructors: Mapping[str, Constructor]
    persistent: Callable[[object], object] | None
    opcodes: Mapping[int, Callable[[Machine], None]]


class Machine:
    """The stack, the memo and the place in the file."""

    def __init__(
        self,
        data: memoryview,
        start: int,
        settings: Settings,
        *,
        depth: int = 0,
    ) -> None:
        self.data = data
        self.position = start
        self.stack: list[object] = []
        self.called: dict[str, None] = {}
        self._settings = settings
        self._limits = settings.limits
        self._depth = depth
        self.memo: dict[int, object] = {}
        self._memo_keys: dict[int, list[int]] = {}
        self._objects = 0
        self._text = 0
        self._copied = 0

    def run(self) -> object:
        """Return the value at STOP."""
        budget = OPCODES_PER_NAME * self._limits.max_names
        for _ in range(budget):
            opcode = self.take(1)[0]
            if opcode == STOP:
                return self.pop()
            step = self._settings.opcodes.get(opcode)
            if step is None:
                msg = f"0x{opcode:02x} is no opcode"
                raise ValueError(msg)
            step(self)
        msg = f"the pickle has more than {budget:,} opcodes; refused"
        raise UnsafeFileError(msg)

    def take(self, count: int) -> memoryview:
        """Return the next bytes."""
        start, end = self.position, self.position + count
        if count < 0 or end > len(self.data):
            msg = f"{count:,} bytes are announced, {len(self.data) - start:,} are left"
            raise ValueError(msg)
        self.position = end
        return self.data[start:end]

    def number(self, form: str) -> int:
        """Return a number of a fixed form."""
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def line(self) -> str:
        """Return a name or a number: text up to the end of a line."""
        return self.long_line(MAX_LINE_BYTES).decode("utf-8")

    def long_line(self, limit: int) -> bytes:
        """Return the bytes up to the end of a line."""
        size = min(limit, MAX_LINE_BYTES)
        while True:
            piece = bytes(self.data[self.position : self.position + size])
            end = piece.find(b"\n")
            if end >= 0:
                self.position += end + 1
                return piece[:end]
            if size >= limit or len(piece) < size:
                msg = "a line does not end"
                raise ValueError(msg)
            size = min(limit, 4 * size)

    def push(self, value: object, *, weight: int = 1) -> None:
        """Put a new value on the stack, which counts as so many small ones."""
        self._objects += weight
        if self._objects > self._limits.max_names:
            msg = f"the pickle makes more than {self._limits.max_names:,} objects; refused"
            raise UnsafeFileError(msg)
        self.stack.append(value)

    def pop(self) -> object:
        """Return the newest value."""
        value = self.stack.pop()
        if value is MARK:
            msg = "a mark stands where a value is needed"
            raise ValueError(msg)
        return value

    def pop_to_mark(self) -> list[object]:
        """Return all values since the newest mark."""
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is MARK:
                values = self.stack[place + 1 :]
                del self.stack[place:]
                return values
        msg = "there is no mark"
        raise ValueError(msg)

    def push_text(self, data: memoryview | bytes, encoding: str = "utf-8") -> None:
        """Put text on the stack."""
        self._text += len(data)
        if self._text > self._limits.max_json_bytes:
            msg = f"the pickle has more than {self._limits.max_json_bytes:,} bytes of text; refused"
            raise UnsafeFileError(msg)
        errors = "surrogatepass" if encoding == "utf-8" else "strict"
        self.push(str(data, encoding, errors))

    def push_bytes(self, count: int) -> None:
        """Put the next bytes on the stack."""
        data = self.take(count)
        self.push(data if count >= VIEWED_BYTES else bytes(data))

    def push_integer(self, count: int) -> None:
        """Put an integer of so many bytes on the stack."""
        self.push(int.from_bytes(self.take(count), "little", signed=True))

    def memoize(self, key: int) -> None:
        """Remember the newest value."""
        value = self.stack[-1]
        self.memo[key] = value
        if isinstance(value, (PickledObject, np.dtype)):
            self._memo_keys.setdefault(id(value), []).append(key)

    def recall(self, key: int) -> None:
        """Put a remembered value on the stack."""
        self.stack.append(self.memo[key])

    def persist(self, identity: object) -> None:
        """Put what a persistent id stands for on the stack."""
        find = self._settings.persistent
        if find is None:
            self.push(PickledObject(Reference("persistent", "id"), (identity,)), weight=4)
        else:
            self.push(find(identity))

    def call(self, function: object, arguments: object, *, keywords: object = None) -> None:
        """Put the result of a call on the stack: of a constructor of ours, or a note of the call."""
        if not isinstance(arguments, tuple):
            msg = "arguments of a call are no tuple"
            raise ValueError(msg)
        path = function.path if isinstance(function, Reference) else ""
        constructor = self._settings.constructors.get(path)
        if constructor is not None and not keywords:
            self._count_copied(arguments)
            self.push(constructor(*arguments))
            return
        if path in _RECONSTRUCTORS and arguments:
            function, arguments = arguments[0], ()
            path = function.path if isinstance(function, Reference) else path
        self._note(path)
        self.push(PickledObject(function, arguments, state=keywords or None), weight=4)

    def _count_copied(self, values: object) -> None:
        """Refuse to copy more than the file holds: what the memo gives again and again is small in the file."""
        parts = values if isinstance(values, tuple) else ()
        self._copied += sum(len(part) for part in parts if isinstance(part, _COPIED))
        if self._copied > len(self.data):
            msg = f"the pickle copies more than the {len(self.data):,} bytes it has; refused"
            raise UnsafeFileError(msg)

    def _note(self, path: str) -> None:
        if path and path != WRAPPER and len(self.called) < MAX_NOTED_CALLS:
            self.called[path] = None

    def build(self) -> None:
        """Give the newest object its state; what only then is complete takes its place."""
        state = self.pop()
        target = self.pop()
        done: object = target
        if isinstance(target, Unready):
            self._count_copied(state)
            done = finish_array(state)
        elif isinstance(target, (np.dtype, ObjectType)):
            done = finish_dtype(target, state)
        elif isinstance(target, PickledObject) and target.path == WRAPPER:
            done = self._wrapped(state)
        elif isinstance(target, PickledObject):
            target.state = state
        elif not isinstance(
            target, (dict, list)
        ):  # those of a subclass: their attributes mean nothing here
            msg = f"a {type(target).__name__} has no state"
            raise ValueError(msg)
        for key in self._memo_keys.pop(id(target), ()) if done is not target else ():
            if self.memo.get(key) is target:
                self.memo[key] = done
        self.stack.append(done)

    def _wrapped(self, state: object) -> object:
        array, end = read_wrapped(self.data, self.position, state, self._limits)
        if array is not None:
            self.position = end
            return array
        if self._depth == MAX_PICKLES_INSIDE:
            msg = f"pickles lie inside of each other more than {MAX_PICKLES_INSIDE} deep"
            raise ValueError(msg)
        inner = Machine(self.data, end, self._settings, depth=self._depth + 1)
        inner._objects, inner._copied = self._objects, self._copied  # one bound for both
        value = inner.run()
        self.called.update(inner.called)
        self.position = inner.position
        self._objects, self._copied = inner._objects, inner._copied
        return value

    def append(self, values: list[object]) -> None:
        """Add values to the list below them."""
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif isinstance(target, PickledObject):
            target.items.extend(values)
        else:
            msg = f"a {type(target).__name__} is no list"
            raise ValueError(msg)

    def set_items(self, values: list[object]) -> None:
        """Set keys and values in the dictionary below them."""
        target = self.stack[-1]
        if len(values) % 2:
            msg = "a key has no value"
            raise ValueError(msg)
        pairs = list(zip(values[::2], values[1::2], strict=True))
        if isinstance(target, dict):
            for key, value in pairs:
                target[check_key(key)] = value
        elif isinstance(target, PickledObject):
            target.entries.extend(pairs)
        else:
            msg = f"a {type(target).__name__} is no dictionary"
            raise ValueError(msg)

    def add(self, values: list[object]) -> None:
        """Add values to the set below them."""
        target = self.stack[-1]
        if not isinstance(target, set):
            msg = f"a {type(target).__name__} is no set"
            raise ValueError(msg)
        target.update(check_key(value) for value in values)
