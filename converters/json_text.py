"""JSON from files, bounded: size and depth are checked before the parser sees the text."""

from __future__ import annotations

import json
import re

from converters.errors import UnreadableFileError, UnsafeFileError
from converters.limits import Limits

# A string, or a bracket outside of strings. Quantifiers are possessive and a string that is never closed matches
# to the end of the text, so no part is looked at twice: the time is linear for every text.
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(text: str, *, what: str, limits: Limits, constants: bool = False) -> object:
    """Return the value of a JSON text.

    Args:
        text: the whole text.
        what: how messages call it: "model configuration".
        limits: bounds on bytes and depth.
        constants: whether NaN and Infinity may stand for numbers, as Python's own writer puts them.

    Raises:
        UnsafeFileError: Larger or deeper than the limits.
        UnreadableFileError: Not JSON, a key twice in one object, or a number that JSON does not know (NaN).
    """
    if len(text) > limits.max_json_bytes:
        msg = f"the {what} is {len(text):,} characters long; the limit is {limits.max_json_bytes:,}"
        raise UnsafeFileError(msg)
    depth = deepest = 0
    for match in _TOKEN.finditer(text):
        found = match.group()
        if found in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif found in "]}":
            depth -= 1
    if deepest > limits.max_json_depth:
        msg = f"the {what} is nested {deepest:,} deep; the limit is {limits.max_json_depth:,}"
        raise UnsafeFileError(msg)
    try:
        known = float if constants else _refuse_constant
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=known)
        if _SURROGATE.search(text):
            json.dumps(
                value, ensure_ascii=False
            ).encode()  # half a character could be written nowhere
        return value
    except (ValueError, RecursionError) as error:
        msg = f"the {what} is not readable JSON: {error}"
        raise UnreadableFileError(msg) from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        msg = f"key {twice!r} stands twice in one object"
        raise ValueError(msg)
    return result


def _refuse_constant(name: str) -> object:
    msg = f"{name} is not a JSON number"
    raise ValueError(msg)
