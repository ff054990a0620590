"""The opcodes of pickle, protocols 0 to 5: what each does to the machine."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping

from converters.readers.pickles.constructors import check_key
from converters.readers.pickles.machine import MARK, MAX_LINE_BYTES, Machine
from converters.readers.pickles.values import PickledObject, Reference

_NEWEST_PROTOCOL = 5


def _proto(m: Machine) -> None:
    version = m.take(1)[0]
    if version > _NEWEST_PROTOCOL:
        msg = f"protocol {version} is newer than {_NEWEST_PROTOCOL}"
        raise ValueError(msg)


def _frame(m: Machine) -> None:
    length = m.number("<Q")
    if length > len(m.data) - m.position:
        msg = f"a frame of {length:,} bytes is announced"
        raise ValueError(msg)


def _reference(m: Machine, module: object, name: object) -> None:
    if not isinstance(module, str) or not isinstance(name, str):
        msg = "a name is no text"
        raise ValueError(msg)
    m.push(Reference(module[:MAX_LINE_BYTES], name[:MAX_LINE_BYTES]), weight=3)


def _stack_global(m: Machine) -> None:
    name, module = m.pop(), m.pop()
    _reference(m, module, name)


def _reduce(m: Machine) -> None:
    arguments, function = m.pop(), m.pop()
    m.call(function, arguments)


def _newobj_ex(m: Machine) -> None:
    keywords, arguments, function = m.pop(), m.pop(), m.pop()
    m.call(function, arguments, keywords=keywords)


def _inst(m: Machine) -> None:
    arguments = tuple(m.pop_to_mark())
    m.call(Reference(m.line(), m.line()), arguments)


def _obj(m: Machine) -> None:
    function, *arguments = m.pop_to_mark()
    m.call(function, tuple(arguments))


def _tuple_of(count: int) -> Callable[[Machine], None]:
    def make(m: Machine) -> None:
        values = [m.pop() for _ in range(count)]
        m.push(tuple(reversed(values)))

    return make


def _dict(m: Machine) -> None:
    values = m.pop_to_mark()
    m.push({})
    m.set_items(values)


def _set_item(m: Machine) -> None:
    value, key = m.pop(), m.pop()
    m.set_items([key, value])


def _text_integer(m: Machine) -> None:
    text = m.line().removesuffix("L")
    m.push(text == "01" if text in ("00", "01") else int(text))


def _text_string(m: Machine) -> None:
    text = m.long_line(len(m.data)).decode("latin-1")
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "\"'":
        msg = "a string has no quotes"
        raise ValueError(msg)
    m.push_text(_ESCAPE.sub(_unescaped, text[1:-1]).encode("latin-1"), "latin-1")


def _unescaped(match: re.Match[str]) -> str:
    letter = match[1]
    return chr(int(letter[1:], 16)) if letter[0] == "x" else _ESCAPED.get(letter, letter)


_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def _refuse_extension(m: Machine) -> None:
    msg = "it uses registered extensions, which only the program that wrote it knows"
    raise ValueError(msg)


def _refuse_buffer(m: Machine) -> None:
    msg = "its arrays lie outside of the file"
    raise ValueError(msg)


def _pop_one(m: Machine) -> None:
    """Take the newest value away. A call whose result nobody wants gives its first argument the second as state."""
    dropped = m.stack.pop()
    if not isinstance(dropped, PickledObject) or len(dropped.arguments) != 2:
        return
    target, state = dropped.arguments
    if isinstance(target, PickledObject) and target.state is None:
        target.state = state


def _pop_mark(m: Machine) -> None:
    m.pop_to_mark()


OPCODES: Mapping[int, Callable[[Machine], None]] = {
    0x80: _proto,
    0x95: _frame,
    ord("("): lambda m: m.stack.append(MARK),
    ord("0"): _pop_one,
    ord("1"): _pop_mark,
    ord("2"): lambda m: m.stack.append(m.stack[-1]),
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("I"): _text_integer,
    ord("L"): _text_integer,
    ord("J"): lambda m: m.push(m.number("<i")),
    ord("K"): lambda m: m.push(m.number("<B")),
    ord("M"): lambda m: m.push(m.number("<H")),
    0x8A: lambda m: m.push_integer(m.number("<B")),
    0x8B: lambda m: m.push_integer(m.number("<i")),
    ord("F"): lambda m: m.push(float(m.line())),
    ord("G"): lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    ord("S"): _text_string,
    ord("T"): lambda m: m.push_text(m.take(m.number("<i")), "latin-1"),
    ord("U"): lambda m: m.push_text(m.take(m.number("<B")), "latin-1"),
    ord("B"): lambda m: m.push_bytes(m.number("<I")),
    ord("C"): lambda m: m.push_bytes(m.number("<B")),
    0x8E: lambda m: m.push_bytes(m.number("<Q")),
    0x96: lambda m: m.push_bytes(m.number("<Q")),
    0x97: _refuse_buffer,
    0x98: lambda m: None,
    ord("V"): lambda m: m.push_text(m.long_line(len(m.data)), "raw-unicode-escape"),
    ord("X"): lambda m: m.push_text(m.take(m.number("<I"))),
    0x8C: lambda m: m.push_text(m.take(m.number("<B"))),
    0x8D: lambda m: m.push_text(m.take(m.number("<Q"))),
    ord("]"): lambda m: m.push([]),
    ord("}"): lambda m: m.push({}),
    0x8F: lambda m: m.push(set(), weight=3),
    ord(")"): lambda m: m.push(()),
    0x85: _tuple_of(1),
    0x86: _tuple_of(2),
    0x87: _tuple_of(3),
    ord("t"): lambda m: m.push(tuple(m.pop_to_mark())),
    ord("l"): lambda m: m.push(m.pop_to_mark()),
    ord("d"): _dict,
    0x91: lambda m: m.push(frozenset(check_key(value) for value in m.pop_to_mark())),
    ord("a"): lambda m: m.append([m.pop()]),
    ord("e"): lambda m: m.append(m.pop_to_mark()),
    ord("s"): _set_item,
    ord("u"): lambda m: m.set_items(m.pop_to_mark()),
    0x90: lambda m: m.add(m.pop_to_mark()),
    ord("p"): lambda m: m.memoize(int(m.line())),
    ord("q"): lambda m: m.memoize(m.number("<B")),
    ord("r"): lambda m: m.memoize(m.number("<I")),
    0x94: lambda m: m.memoize(len(m.memo)),
    ord("g"): lambda m: m.recall(int(m.line())),
    ord("h"): lambda m: m.recall(m.number("<B")),
    ord("j"): lambda m: m.recall(m.number("<I")),
    ord("c"): lambda m: _reference(m, m.line(), m.line()),
    0x93: _stack_global,
    ord("R"): _reduce,
    0x81: _reduce,
    0x92: _newobj_ex,
    ord("i"): _inst,
    ord("o"): _obj,
    ord("b"): lambda m: m.build(),
    ord("P"): lambda m: m.persist(m.line()),
    ord("Q"): lambda m: m.persist(m.pop()),
    0x82: _refuse_extension,
    0x83: _refuse_extension,
    0x84: _refuse_extension,
}
"""Opcode to what it does here, in the order of their kind: stream, stack, numbers, text, containers, memo, objects."""
