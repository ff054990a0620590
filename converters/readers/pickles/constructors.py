"""The calls in a pickle that have a meaning here: those that make numbers, arrays and plain containers.

Every one is our own function of plain data. numpy is asked to view bytes as numbers, after types and sizes were checked;
types of objects and structures are refused by it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.readers.pickles.values import ObjectArray, PickledObject, Reference

Constructor = Callable[..., object]
_TYPE = re.compile(r"[<>|=]?[biufcSU?]\d{0,6}")
_BYTE_ORDERS = ("<", ">", "=", "|")
_MAX_AXES = 32  # as numpy itself has
_OBJECTS = "O"


class Unready(PickledObject):
    """Something that is complete only when its state was set: an array without content."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class ObjectType:
    """The type of arrays of objects, which has no bytes."""


def make_dtype(text: object, *_: object) -> object:
    """Return the numpy type of "f4" and the like. Raises ValueError for structures and objects."""
    if isinstance(text, bytes):
        text = text.decode("ascii")
    if isinstance(text, Reference):
        text = text.name
    if isinstance(text, str) and text.startswith(_OBJECTS):
        return ObjectType()
    if not isinstance(text, str) or not (_TYPE.fullmatch(text) or text in _NAMED_TYPES):
        shown = (
            text[:40] if isinstance(text, str) else type(text).__name__
        )  # never repr: it may be deep
        msg = f"'{shown}' is no type of numbers"
        raise ValueError(msg)
    return np.dtype(text)


_NAMED_TYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)


def finish_dtype(dtype: object, state: object) -> object:
    """Return a type with the byte order of its state (version, order, ...). Raises ValueError for structures."""
    if isinstance(dtype, ObjectType):
        return dtype
    if not isinstance(dtype, np.dtype) or not isinstance(state, tuple) or len(state) < 5:
        msg = "the state of a type has another form"
        raise ValueError(msg)
    order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
    if order not in _BYTE_ORDERS or any(part is not None for part in state[2:5]):
        msg = "a type is a structure, not a number"
        raise ValueError(msg)
    return dtype if order == "|" else np.dtype(f"{order}{dtype.str[1:]}")


def make_scalar(dtype: object, data: object = None) -> object:
    """Return a scalar of numpy."""
    if isinstance(dtype, ObjectType):
        return data
    values = _array((), _checked_type(dtype), _bytes_of(data), fortran=False)
    return values[()]


def start_array(*arguments: object) -> Unready:
    """Return an array that waits for its state: shape, type and bytes."""
    return Unready(Reference("numpy", "ndarray"), arguments)


def finish_array(state: object) -> object:
    """Return the array of a state (version, shape, type, Fortran order, bytes)."""
    if not isinstance(state, tuple) or len(state) not in (4, 5):
        msg = "the state of an array has another form"
        raise ValueError(msg)
    shape, dtype, fortran, data = state[-4:]
    if isinstance(dtype, ObjectType):
        items = data if isinstance(data, list) else []
        sizes = _shape(shape)
        if math.prod(sizes) != len(items):
            msg = f"an array of shape {sizes} has {len(items)} objects"
            raise ValueError(msg)
        return ObjectArray(sizes, items)
    return _array(_shape(shape), _checked_type(dtype), _bytes_of(data), fortran=bool(fortran))


def make_array_from_buffer(data: object, dtype: object, shape: object, order: object) -> object:
    """Return an array as protocol 5 stores it."""
    return _array(_shape(shape), _checked_type(dtype), _bytes_of(data), fortran=order == "F")


def _array(
    shape: tuple[int, ...], dtype: np.dtype[np.generic], data: bytes | memoryview, *, fortran: bool
) -> NDArray[np.generic]:
    """Return bytes as an array; a view of them."""
    if dtype.itemsize == 0 or math.prod(shape) * dtype.itemsize != len(data):
        msg = f"an array of shape {shape} and type {dtype} has {len(data):,} bytes"
        raise ValueError(msg)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _shape(value: object) -> tuple[int, ...]:
    sizes = (value,) if isinstance(value, int) else value
    if (
        not isinstance(sizes, (tuple, list))
        or len(sizes) > _MAX_AXES
        or not all(type(size) is int and 0 <= size < 2**48 for size in sizes)
    ):
        msg = "a shape has another form"
        raise ValueError(msg)
    return tuple(sizes)


def _checked_type(value: object) -> np.dtype[np.generic]:
    if not isinstance(value, np.dtype) or value.hasobject:
        msg = "an array has no type of numbers"
        raise ValueError(msg)
    return value


def _bytes_of(value: object) -> bytes | memoryview:
    if isinstance(value, str):  # written by Python 2, where bytes were text
        return value.encode("latin-1")
    if isinstance(value, (bytes, memoryview)):
        return value
    if isinstance(value, bytearray):
        return bytes(value)
    msg = "an array has no bytes"
    raise ValueError(msg)


def _encode(text: object, encoding: object = "latin1") -> object:
    """Return text as bytes: how protocols before 3 store bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        msg = "text is encoded in another way"
        raise ValueError(msg)
    return text.encode(str(encoding))


def _mapping(pairs: object = ()) -> object:
    """Return an OrderedDict's pairs as a dictionary, which keeps their order."""
    if isinstance(pairs, dict):
        return dict(pairs)
    if not isinstance(pairs, (list, tuple)):
        msg = "a dictionary is made of something else than pairs"
        raise ValueError(msg)
    result = {}
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            msg = "a dictionary is made of something else than pairs"
            raise ValueError(msg)
        result[check_key(pair[0])] = pair[1]
    return result


def _listed(items: object = (), *_: object) -> object:
    """Return a list of a list's, tuple's or deque's items."""
    if not isinstance(items, (list, tuple)):
        msg = "a list is made of something else"
        raise ValueError(msg)
    return list(items)


def _default_mapping(*_: object) -> object:
    return {}


MAX_KEY_PARTS = 32


def check_key(key: object) -> object:
    """Return a key of a dictionary if it is plain.

    Deep tuples are hashed by recursion in C, and numbers can be chosen so that they all have one hash; neither is a key.

    Raises:
        ValueError: It is something else than text, bytes, a number or a short tuple of these.
    """
    parts = key if isinstance(key, tuple) and len(key) <= MAX_KEY_PARTS else (key,)
    for part in parts:
        plain = part is None or isinstance(part, (str, bytes, bool, Reference))
        number = isinstance(part, (int, float)) and not isinstance(part, np.generic)
        if not plain and not (number and abs(part) < 2**60):
            msg = f"a key is a {type(part).__name__}, not text or a number"
            raise ValueError(msg)
    return key


def _set(items: object = ()) -> set[object]:
    if not isinstance(items, (list, tuple)):
        msg = "a set is made of something else than a list"
        raise ValueError(msg)
    return {check_key(item) for item in items}


def _frozen_set(items: object = ()) -> object:
    return frozenset(_set(items))


def _empty_bytes() -> object:
    return b""


_BUILTINS = ("builtins", "__builtin__")
_PLAIN: Mapping[str, Constructor] = {
    "list": _listed,
    "dict": _mapping,
    "set": _set,
    "frozenset": _frozen_set,
    "bytes": _empty_bytes,
}
_NUMPY_CORES = ("numpy.core", "numpy._core")
CONSTRUCTORS: Mapping[str, Constructor] = {
    "numpy.dtype": make_dtype,
    **{f"{core}.multiarray._reconstruct": start_array for core in _NUMPY_CORES},
    **{f"{core}.multiarray.scalar": make_scalar for core in _NUMPY_CORES},
    **{f"{core}.numeric._frombuffer": make_array_from_buffer for core in _NUMPY_CORES},
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _default_mapping,
    "collections.deque": _listed,
    "_codecs.encode": _encode,
    **{f"{module}.{name}": make for module in _BUILTINS for name, make in _PLAIN.items()},
}
"""What would be called to what is done instead. Anything else becomes a `PickledObject`."""
