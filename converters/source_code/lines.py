"""Long lines broken as the usual formatters break them, so that formatting emitted source changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

LINE = 88
"""Columns of a line: what formatters take where nobody says otherwise."""
_OPENING, _CLOSING = "([{", ")]}"


def fitted(text: str, indent: int) -> list[str]:
    """Return a statement as indented lines of at most `LINE` columns, where its brackets allow that."""
    line = " " * indent + text
    if len(line) <= LINE:
        return [line]
    found = _outer_brackets(text)
    if found is None:
        return _in_brackets(text, indent)
    start, close = found
    head, inner, tail = text[: start + 1], text[start + 1 : close], text[close:]
    target, equals, value = text.partition(" = ")
    is_name = target.replace(".", "").isidentifier()
    head_value = len(head) - len(target) - len(equals)
    if equals and is_name and indent + len(head) > LINE >= indent + 4 + head_value:
        space = " " * indent
        return [f"{space}{target} = (", *fitted(value, indent + 4), f"{space})"]
    if not inner:
        return [line]
    one_line = " " * (indent + 4) + inner
    if len(one_line) <= LINE and text[start] == "(" and not inner.endswith(","):
        return [" " * indent + head, one_line, " " * indent + tail]
    return [" " * indent + head, *_one_each(inner, indent + 4), " " * indent + tail]


def split_outside(text: str, separator: str) -> list[str]:
    """Return the parts of an expression between separators that lie in no bracket and no string."""
    parts, depth, start = [], 0, 0
    for place, character in _outside_strings(text):
        if character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth -= 1
        elif depth == 0 and text.startswith(separator, place):
            parts.append(text[start:place])
            start = place + len(separator)
    return [*parts, text[start:]]


def _outside_strings(text: str) -> Iterator[tuple[int, str]]:
    """Yield the place of every character that neither is a quote nor lies in a string, and the character."""
    quote, place = "", 0
    while place < len(text):
        character = text[place]
        if quote:
            place += character == "\\"
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        else:
            yield place, character
        place += 1


def _outer_brackets(text: str) -> tuple[int, int] | None:
    """Return where the brackets open and close that a line may be broken at: a signature's, or those at the end."""
    pairs = _bracket_pairs(text)
    if not pairs:
        return None
    if text.startswith("def "):
        return pairs[0]
    rest = split_outside(text.rstrip(","), " = ")[-1].removeprefix("return ")
    ends = pairs[-1][1] == len(text.rstrip(",")) - 1
    return pairs[-1] if ends and len(split_outside(rest, " ")) == 1 else None


def _bracket_pairs(text: str) -> list[tuple[int, int]]:
    """Return where the outermost brackets open and close, in order."""
    pairs, depth, start = [], 0, 0
    for place, character in _outside_strings(text):
        if character in _OPENING:
            start = place if depth == 0 else start
            depth += 1
        elif character in _CLOSING:
            depth -= 1
            if depth == 0:
                pairs.append((start, place))
    return pairs


def _one_each(inner: str, indent: int) -> list[str]:
    lines = []
    for part in split_outside(inner.rstrip(","), ", "):
        pieces = fitted(f"{part},", indent) if len(part) + indent < LINE else _deeper(part, indent)
        lines += pieces
    return lines


def _deeper(part: str, indent: int) -> list[str]:
    lines = fitted(part, indent)
    return [*lines[:-1], f"{lines[-1]},"]


def _in_brackets(text: str, indent: int) -> list[str]:
    """Return a long sum or a long list of results inside of brackets of its own."""
    space = " " * indent
    for head in ("return ", text.partition(" = ")[0] + " = "):
        if not text.startswith(head):
            continue
        rest = text.removeprefix(head)
        results = split_outside(rest, ", ")
        if len(results) > 1:
            return [f"{space}{head}(", *(f"{space}    {part}," for part in results), f"{space})"]
        for sign in ("+", "-", "*", "/", "**"):
            first, *others = split_outside(rest, f" {sign} ")
            if others:
                operands = [first, *(f"{sign} {part}" for part in others)]
                return [
                    f"{space}{head}(",
                    *(f"{space}    {part}" for part in operands),
                    f"{space})",
                ]
    return [space + text]
