"""How the inputs and outputs of a model are arranged: one tensor, lists, dictionaries, or these inside each other.

Keras numbers the tensors of a dictionary in the order of its keys, whatever order they were given in. An arrangement is
plain data: a number is a tensor's place, ("list", ...) and ("dict", (key, ...), ...) hold others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from converters.configuration.call_nodes import parse_ref
from converters.graph import Operand, TensorRef


def parse_structure(value: object) -> tuple[tuple[TensorRef, ...], object]:
    """Return the tensors of `input_layers` or `output_layers` in order, and how they are arranged."""
    refs: list[TensorRef] = []
    nesting = _parse(value, refs)
    # Keras 1 and 2 wrote a list in either case; a model with one output returned it bare.
    return tuple(refs), 0 if nesting == ("list", 0) else nesting


def _parse(value: object, refs: list[TensorRef]) -> object:
    if isinstance(value, Mapping):
        return ("dict", *((str(key), _parse(value[key], refs)) for key in sorted(value)))
    entries = cast("Sequence[object]", value)
    if entries and isinstance(entries[0], str):  # Keras 3 stores a single tensor bare
        refs.append(parse_ref(entries))
        return len(refs) - 1
    return ("list", *(_parse(entry, refs) for entry in entries))


def describe_structure(nesting: object) -> tuple[str, tuple[str, ...]]:
    """Return "single", "list", "dict" with its keys, or "nested"."""
    if not isinstance(nesting, tuple):
        return "single", ()
    kind, *entries = nesting
    if kind == "list":
        return ("nested" if any(isinstance(entry, tuple) for entry in entries) else "list"), ()
    if any(isinstance(entry, tuple) for _, entry in entries):
        return "nested", ()
    return "dict", tuple(key for key, _ in entries)


def operands_by_key(value: object) -> dict[str, int] | None:
    """Return which of a call's tensors each key has, if the argument is a dictionary of tensors."""
    if not isinstance(value, Mapping):
        return None
    found = {key: item.index for key, item in value.items() if isinstance(item, Operand)}
    return found if len(found) == len(value) else None
