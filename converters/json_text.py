"""JSON from files, bounded: size and depth are checked before the parser sees the text."""

from __future__ import annotations

import json
import re

from converters.errors import UnreadableFileError, UnsafeFileError
from converters.limits import Limits

# A string, or a bracket outside of strings. The alternatives cannot match the same text, so it runs in linear time.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{]|[\]}]', re.DOTALL)


def parse_json(text: str, *, what: str, limits: Limits) -> object:
    """Return the value of a JSON text.

    Args:
        text: the whole text.
        what: how messages call it: "model configuration".
        limits: bounds on bytes and depth.

    Raises:
        UnsafeFileError: Larger or deeper than the limits.
        UnreadableFileError: Not JSON, a key twice in one object, or a number that JSON does not know (NaN).
    """
    if len(text) > limits.max_json_bytes:
        msg = f"the {what} is {len(text):,} characters long; the limit is {limits.max_json_bytes:,}"
        raise UnsafeFileError(msg)
    depth = deepest = 0
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in "]}":
            depth -= 1
    if deepest > limits.max_json_depth:
        msg = f"the {what} is nested {deepest:,} deep; the limit is {limits.max_json_depth:,}"
        raise UnsafeFileError(msg)
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        msg = f"the {what} is not readable JSON: {error}"
        raise UnreadableFileError(msg) from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        msg = f"key {twice!r} stands twice in one object"
        raise ValueError(msg)
    return result


def _refuse_constant(name: str) -> object:
    msg = f"{name} is not a JSON number"
    raise ValueError(msg)
