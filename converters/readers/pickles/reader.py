"""Read a pickle: the one function that the rest of the program calls."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from converters.errors import ConversionError, UnreadableFileError
from converters.limits import Limits
from converters.readers.pickles.constructors import CONSTRUCTORS, Constructor
from converters.readers.pickles.machine import Machine, Settings
from converters.readers.pickles.opcodes import OPCODES

_DAMAGE = (ValueError, TypeError, IndexError, KeyError, OverflowError, AttributeError, struct.error)


@dataclass(frozen=True, slots=True)
class Pickle:
    """What a pickle holds.

    Attributes:
        value: plain Python, numpy arrays, and objects that were not made.
        called: names that a loader would have called and that have no meaning here, each once.
        end: how many bytes the pickle took.
    """

    value: object
    called: tuple[str, ...]
    end: int


def read_pickle(
    data: bytes | memoryview,
    *,
    start: int = 0,
    limits: Limits | None = None,
    constructors: Mapping[str, Constructor] | None = None,
    persistent: Callable[[object], object] | None = None,
) -> Pickle:
    """Return what a pickle holds, without running anything of it.

    Args:
        data: the pickle, and perhaps more behind it. Arrays in the result are views of it.
        start: where it begins.
        limits: `max_names` bounds the objects, `max_json_bytes` the text in them.
        constructors: further names with a meaning, beside arrays and plain containers: called with the arguments that
            the file gives, which are plain data; what they return is part of the value. They win over ours.
        persistent: given the persistent id of something outside of the pickle (plain data), returns it; without it, such
            things are `PickledObject` with the path "persistent.id".

    Raises:
        UnreadableFileError: Truncated, damaged, or no pickle.
        UnsafeFileError: More objects, text or array than the limits.
    """
    table = {**CONSTRUCTORS, **(constructors or {})}
    settings = Settings(limits or Limits(), table, persistent, OPCODES)
    machine = Machine(memoryview(data), start, settings)
    try:
        value = machine.run()
    except ConversionError:
        raise
    except _DAMAGE as error:
        msg = f"the pickle is damaged at byte {machine.position:,}: {_inert(error)}"
        raise UnreadableFileError(msg) from error
    return Pickle(value, tuple(machine.called), machine.position)


def _inert(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return repr(text[:200])[1:-1]
