"""YAML as `to_yaml` of Keras 1 and 2 wrote it, read as plain data and bounded like JSON.

Mappings and lists in both styles, scalars, anchors, and the tags of tuples, texts and NumPy's numbers, which Keras 1
has behind a Flatten. No other tag is known, so nothing is ever made of what one names. What PyYAML does not write by
itself (literal blocks, keys that are no plain scalars, several documents) is refused.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from converters.errors import UnreadableFileError, UnsafeFileError
from converters.limits import Limits

_TEXT_TAGS = frozenset({"!!str", "!!python/unicode", "!!python/str"})
_BINARY_TAG = "!!binary"
_NUMBER_TAGS = frozenset(
    f"!!python/object/apply:numpy.{place}.multiarray.scalar" for place in ("core", "_core")
)
_KNOWN_TAGS = frozenset(
    {"!!seq", "!!map", "!!python/tuple", "!!python/object/apply:numpy.dtype"}
    | {_BINARY_TAG, *_TEXT_TAGS, *_NUMBER_TAGS}
)
_NUMBER_TYPE = re.compile(r"[iuf][1248]")
_PROPERTY = re.compile(r"(?:(![^\s,\[\]{}]*)|&([^\s,\[\]{}]+))(?=\s|\Z)")
_ALIAS = re.compile(r"\*([^\s,\[\]{}]+)")
_BLANK = re.compile(r"(?:[ \r\n]|(?:(?<=\s)|(?<!.))#[^\n]*)*+")
_SINGLE = re.compile(r"'((?:[^']|'')*+)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_KEY_END = re.compile(r" *:(?=\s|\Z)")
_PLAIN_LINE = re.compile(r"(?:[^\s:#]|:(?=\S)|(?<=\S)#| +(?=[^\s#:]|:\S))+")
_PLAIN_FLOW = re.compile(r"(?:[^\s:#,\[\]{}]|:(?=[^\s,\[\]{}])|(?<=\S)#| +(?=[^\s#:,\[\]{}]))+")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]{0,30})")
_FLOAT = re.compile(r"[-+]?(?:[0-9]{1,40}\.[0-9]{0,40}|\.[0-9]{1,40})(?:[eE][-+][0-9]{1,4})?")
_WORDS: dict[str, object] = {"": None, "~": None}
for _value, _names in ((None, "null"), (True, "true yes on"), (False, "false no off")):
    for _name in _names.split():
        _WORDS |= dict.fromkeys((_name, _name.title(), _name.upper()), _value)
_ESCAPES = dict(
    zip('0abtnvfre "\\/N_LP\t', '\0\a\b\t\n\v\f\r\x1b "\\/\x85\xa0\u2028\u2029\t', strict=True)
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|\n *|(.))")


def parse_yaml(text: str, *, what: str, limits: Limits) -> object:
    """Return the value of a YAML text: dictionaries, lists, texts, numbers, bools and None.

    Args:
        text: the whole text.
        what: how messages call it: "model configuration".
        limits: those of JSON, on characters and depth; anchors count as often as they are used.

    Raises:
        UnsafeFileError: Larger or deeper than the limits, or a tag that names something else than plain data.
        UnreadableFileError: Not the YAML that Keras wrote.
    """
    if len(text) > limits.max_json_bytes:
        msg = f"the {what} is {len(text):,} characters long; the limit is {limits.max_json_bytes:,}"
        raise UnsafeFileError(msg)
    reader = _Reader(text.replace("\r\n", "\n"), what, limits)
    return reader.document()


@dataclass(slots=True)
class _Reader:
    text: str
    what: str
    limits: Limits
    at: int = 0
    depth: int = 0
    size: int = 0  # characters read so far, those behind aliases again
    anchors: dict[str, tuple[object, int]] = field(default_factory=dict)

    def document(self) -> object:
        if self.text.startswith("---"):
            self.at = 3
        self._skip_blank()
        value = self._block(-1, self._column())
        self._skip_blank()
        if self.text.startswith("...", self.at):
            self.at += 3
            self._skip_blank()
        if self.at < len(self.text):
            self._refuse("what stands there belongs to nothing before it")
        return value

    def _block(self, indent: int, column: int, *, in_list: bool = False) -> object:
        """Return the value that begins here; what belongs to it is indented by more than `indent`."""
        self.depth += 1
        if self.depth > self.limits.max_json_depth:
            msg = f"the {self.what} is nested deeper than {self.limits.max_json_depth:,}"
            raise UnsafeFileError(msg)
        start, size = self.at, self.size
        tag, anchor = self._properties()
        if self.at != start and self._at_line_end():
            value = self._after_line_end(indent, in_list=in_list)
        elif tag == _BINARY_TAG:
            value = self._bytes(indent)
        elif self._is_item():
            value = self._items(column)
        elif self._key_length() and not tag and not anchor:
            value = self._pairs(column)
        else:
            value = self._inline(indent, is_text=tag in _TEXT_TAGS)
        self.depth -= 1
        if tag in _NUMBER_TAGS:
            value = self._number(value)
        self._count(self.at - start if not isinstance(value, (dict, list)) else 1)
        if anchor:
            self.anchors[anchor] = (value, self.size - size)
        return value

    def _after_line_end(self, indent: int, *, in_list: bool) -> object:
        """Return the value on the lines below, None where they belong to what is around."""
        self._skip_blank()
        column = self._column()
        # A list may stand below its key without being indented.
        below = column > indent or (column == indent and not in_list and self._is_item())
        if self.at == len(self.text) or not below:
            return None
        return self._block(indent, column, in_list=in_list)

    def _bytes(self, indent: int) -> bytes:
        """Return what is written in base64 on the lines below."""
        if not self.text.startswith("|", self.at):
            self._refuse("bytes do not begin with '|'")
        self.at += 1
        lines = []
        self._skip_blank()
        while self.at < len(self.text) and self._column() > indent:
            end = self.text.find("\n", self.at)
            end = len(self.text) if end < 0 else end
            lines.append(self.text[self.at : end])
            self.at = end
            self._skip_blank()
        try:
            return base64.b64decode("".join(lines), validate=True)
        except binascii.Error:
            self._refuse("bytes are not in base64")

    def _number(self, value: object) -> int | float:
        """Return the number that NumPy wrote as its type and its bytes."""
        match value:
            case [{"args": [str(code), *_], "state": [_, str(order), *_]}, bytes(data)] if (
                _NUMBER_TYPE.fullmatch(code)
                and order in ("<", ">", "|")
                and len(data) == int(code[1])
            ):
                number: int | float = np.frombuffer(data, f"{order}{code}")[0].item()
                return number
        return self._refuse("a number of NumPy is none")

    def _items(self, column: int) -> list[object]:
        items: list[object] = []
        while self._is_item() and self._column() == column:
            self.at += 1
            items.append(self._member(column, in_list=True))
        return items

    def _pairs(self, column: int) -> dict[str, object]:
        pairs: dict[str, object] = {}
        while self._column() == column and (length := self._key_length()):
            key = self._key(length)
            if key in pairs:
                self._refuse(f"key {key!r:.60} stands twice in one mapping")
            pairs[key] = self._member(column, in_list=False)
        return pairs

    def _member(self, column: int, *, in_list: bool) -> object:
        """Return the value behind a dash or a key, and go on to what follows it."""
        self._skip_spaces()
        if self._at_line_end():
            value = self._after_line_end(column, in_list=in_list)
        elif in_list:
            value = self._block(column, self._column(), in_list=True)
        else:
            value = self._value_of_key(column)
        self._skip_blank()
        return value

    def _value_of_key(self, column: int) -> object:
        """Return the value on the line of its key, which is no list or mapping of lines."""
        if self._is_item():
            self._refuse("a list begins on the line of its key")
        if self.text[self.at] in "!&":
            return self._block(column, column)
        start = self.at
        value = self._inline(column, is_text=False)
        self._count(self.at - start)
        return value

    def _inline(self, indent: int, *, is_text: bool) -> object:
        """Return a scalar, an alias, or a collection in brackets."""
        first = self.text[self.at : self.at + 1]
        if first in ("[", "{"):
            return self._flow()
        if first == "*":
            return self._alias()
        if first in ("'", '"'):
            return self._quoted()
        if first in ("|", ">", "%", "@", "`", "?"):
            self._refuse(f"{first!r} begins what Keras did not write")
        match = _PLAIN_LINE.match(self.text, self.at)
        if match is None:
            return None
        words = [match.group()]
        self.at = match.end()
        while (next_line := self._continued(indent)) is not None:
            words.append(next_line)
        plain = " ".join(words)
        return plain if is_text else _resolve(plain)

    def _continued(self, indent: int) -> str | None:
        """Return the next line of a scalar that goes on; None where it ends."""
        before = self.at
        self._skip_blank()
        if "\n" in self.text[before : self.at] and self._column() > indent and not self._is_item():
            match = _PLAIN_LINE.match(self.text, self.at)
            if match and not self._key_length():
                self.at = match.end()
                return match.group()
        self.at = before
        return None

    def _flow(self) -> object:
        """Return a list in square brackets, or a mapping in curly ones."""
        self.depth += 1
        if self.depth > self.limits.max_json_depth:
            msg = f"the {self.what} is nested deeper than {self.limits.max_json_depth:,}"
            raise UnsafeFileError(msg)
        is_list = self.text[self.at] == "["
        end = "]" if is_list else "}"
        items: list[object] = []
        pairs: dict[str, object] = {}
        self.at += 1
        self._skip_blank()
        while not self.text.startswith(end, self.at):
            value = self._flow_value()
            self._skip_blank()
            if is_list:
                items.append(value)
            else:
                self._expect(":")
                self._skip_blank()
                key = _as_key(value)
                if key in pairs:
                    self._refuse(f"key {key!r:.60} stands twice in one mapping")
                pairs[key] = self._flow_value()
                self._skip_blank()
            if not self.text.startswith(end, self.at):
                self._expect(",")
                self._skip_blank()
        self.at += 1
        self.depth -= 1
        return items if is_list else pairs

    def _flow_value(self) -> object:
        start, size = self.at, self.size
        tag, anchor = self._properties()
        self._skip_blank()
        first = self.text[self.at : self.at + 1]
        value: object
        if first in ("[", "{"):
            value = self._flow()
        elif first == "*":
            value = self._alias()
        elif first in ("'", '"'):
            value = self._quoted()
        else:
            plain = self._plain_flow()
            value = plain if tag in _TEXT_TAGS else _resolve(plain)
        self._count(self.at - start)
        if anchor:
            self.anchors[anchor] = (value, self.size - size)
        return value

    def _plain_flow(self) -> str:
        """Return a scalar without quotes inside brackets, which may go on on the lines below."""
        words: list[str] = []
        end = self.at
        while match := _PLAIN_FLOW.match(self.text, self.at):
            words.append(match.group())
            end = match.end()
            self.at = end
            self._skip_blank()
        self.at = end
        return " ".join(words)

    def _properties(self) -> tuple[str | None, str | None]:
        """Read the tag and the anchor in front of a value."""
        tag = anchor = None
        while match := _PROPERTY.match(self.text, self.at):
            self.at = match.end()
            tag, anchor = match[1] or tag, match[2] or anchor
            if match[1] and match[1] not in _KNOWN_TAGS:
                msg = f"the {self.what} has the tag {match[1]!r:.80} in line {self._line()}; only plain data is read"
                raise UnsafeFileError(msg)
            self._skip_spaces()
        return tag, anchor

    def _alias(self) -> object:
        match = _ALIAS.match(self.text, self.at)
        if match is None or match[1] not in self.anchors:
            self._refuse("an alias has no anchor before it")
        self.at = match.end()
        value, size = self.anchors[match[1]]
        self._count(size)
        return value

    def _quoted(self) -> str:
        pattern = _SINGLE if self.text[self.at] == "'" else _DOUBLE
        match = pattern.match(self.text, self.at)
        if match is None:
            self._refuse("a quoted text is not closed")
        self.at = match.end()
        # One line end is a blank, each further one stays; a backslash before it joins without one.
        lines = re.sub(r"(?<!\\) *\n *(\n *)*", _folded, match[1])
        if pattern is _SINGLE:
            return lines.replace("''", "'")
        return _ESCAPE.sub(self._unescape, lines)

    def _unescape(self, match: re.Match[str]) -> str:
        code = match[1] or match[2] or match[3]
        if code:
            number = int(code, 16)
            if number > 0x10FFFF or 0xD800 <= number < 0xE000:
                self._refuse("an escape is no character")
            return chr(number)
        if match[4] is None:
            return ""
        if match[4] not in _ESCAPES:
            self._refuse(f"'\\{match[4]}' is no escape")
        return _ESCAPES[match[4]]

    def _key_length(self) -> int:
        """Return how long the key is that begins here, 0 where none does."""
        first = self.text[self.at : self.at + 1]
        if first in ("'", '"'):
            match = (_SINGLE if first == "'" else _DOUBLE).match(self.text, self.at)
        elif first in ("", "[", "{", "*", "&", "!", "|", ">", "%", "@", "`", "?"):
            return 0
        else:
            match = _PLAIN_LINE.match(self.text, self.at)
        if match is None or "\n" in match.group() or not _KEY_END.match(self.text, match.end()):
            return 0
        return len(match.group())

    def _key(self, length: int) -> str:
        if self.text[self.at] in "'\"":
            key = self._quoted()
        else:
            key = self.text[self.at : self.at + length]
            self.at += length
        self._count(length)
        end = _KEY_END.match(self.text, self.at)
        self.at = end.end() if end else self.at
        return key

    def _is_item(self) -> bool:
        return re.compile(r"-(?=\s|\Z)").match(self.text, self.at) is not None

    def _at_line_end(self) -> bool:
        rest = self.text[self.at : self.at + 1]
        return rest in ("", "\n") or (rest == "#" and self.text[self.at - 1 : self.at] in (" ", ""))

    def _skip_spaces(self) -> None:
        while self.text.startswith(" ", self.at):
            self.at += 1

    def _skip_blank(self) -> None:
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def _expect(self, mark: str) -> None:
        if not self.text.startswith(mark, self.at):
            self._refuse(f"{mark!r} is missing")
        self.at += 1

    def _count(self, characters: int) -> None:
        self.size += characters + 1
        if self.size > self.limits.max_json_bytes:
            msg = f"the {self.what} is larger than {self.limits.max_json_bytes:,} with all that its aliases repeat"
            raise UnsafeFileError(msg)

    def _column(self) -> int:
        return self.at - (self.text.rfind("\n", 0, self.at) + 1)

    def _line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def _refuse(self, reason: str) -> NoReturn:
        msg = f"the {self.what} is not readable YAML: line {self._line()}: {reason}"
        raise UnreadableFileError(msg)


def _folded(match: re.Match[str]) -> str:
    ends = match.group().count("\n")
    return "\n" * (ends - 1) or " "


def _as_key(value: object) -> str:
    return value if isinstance(value, str) else str(value)


def _resolve(plain: str) -> object:
    """Return what a scalar without quotes is."""
    if plain in _WORDS:
        return _WORDS[plain]
    if _INTEGER.fullmatch(plain):
        return int(plain.replace("_", ""))
    if _FLOAT.fullmatch(plain):
        return float(plain)
    return plain
