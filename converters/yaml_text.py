"""YAML as `to_yaml` of Keras 1 and 2 wrote it, read as plain data and bounded like JSON.

PyYAML cuts the text into events; what they mean is said here, so that nothing is ever made of what a tag names. Known are
the tags of plain data, of tuples and texts, and of NumPy's numbers, which Keras 1 has behind a Flatten.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from converters.errors import UnreadableFileError, UnsafeFileError, UnsupportedError
from converters.limits import Limits

_YAML, _PYTHON = "tag:yaml.org,2002:", "tag:yaml.org,2002:python/"
_TEXT_TAGS = frozenset({f"{_YAML}str", f"{_PYTHON}unicode", f"{_PYTHON}str"})
_BINARY_TAG = f"{_YAML}binary"
_NUMBER_TAGS = frozenset(
    f"{_PYTHON}object/apply:numpy.{place}.multiarray.scalar" for place in ("core", "_core")
)
_KNOWN_TAGS = frozenset(
    {f"{_YAML}seq", f"{_YAML}map", f"{_PYTHON}tuple", f"{_PYTHON}object/apply:numpy.dtype"}
    | {_BINARY_TAG, *_TEXT_TAGS, *_NUMBER_TAGS}
)
_NUMBER_TYPE = re.compile(r"[iuf][1248]")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]{0,30})")
_WORDS: dict[str, bool | None] = dict.fromkeys(("", "~", "null"))
_WORDS |= dict.fromkeys(("true", "yes", "on"), True) | dict.fromkeys(("false", "no", "off"), False)


def parse_yaml(text: str, *, what: str, limits: Limits) -> object:
    """Return the value of a YAML text: dictionaries, lists, texts, numbers, bools and None.

    Args:
        text: the whole text.
        what: how messages call it: "model configuration".
        limits: those of JSON, on characters and depth; anchors count as often as they are used.

    Raises:
        UnsupportedError: PyYAML is not installed.
        UnsafeFileError: Larger or deeper than the limits, or a tag that names something else than plain data.
        UnreadableFileError: Not the YAML that Keras wrote.
    """
    if len(text) > limits.max_json_bytes:
        msg = f"the {what} is {len(text):,} characters long; the limit is {limits.max_json_bytes:,}"
        raise UnsafeFileError(msg)
    try:
        yaml = importlib.import_module("yaml")
    except ImportError as error:
        msg = f"the {what} is in YAML, which needs PyYAML"
        raise UnsupportedError(msg, hint="pip install 'torchward[yaml]'") from error
    resolver = yaml.resolver.Resolver()
    events = yaml.parse(text, Loader=yaml.SafeLoader)

    def tag_of(event: Any) -> str:  # noqa: ANN401  an event of PyYAML
        tag: str = event.tag or resolver.resolve(yaml.ScalarNode, event.value, event.implicit)
        return tag

    try:
        return _Reader(events, tag_of, what, limits).document()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        msg = f"the {what} is not readable YAML: {line}{reason}"
        raise UnreadableFileError(msg) from error


@dataclass(slots=True)
class _Reader:
    """Reads one document.

    Attributes:
        events: of PyYAML.
        tag_of: gives the tag of a scalar, the one that is written or the one its form says.
        size: characters read so far, those behind aliases again.
        anchors: values by name, with their size.
    """

    events: Iterator[Any]  # PyYAML has no types
    tag_of: Any
    what: str
    limits: Limits
    size: int = 0
    anchors: dict[str, tuple[object, int]] = field(default_factory=dict)

    def document(self) -> object:
        kind = self._next()[0]
        while kind in ("StreamStart", "DocumentStart"):
            kind, event = self._next()
        value = None if kind == "StreamEnd" else self._value(kind, event, 1)
        self._next()  # the end of the document
        kind, event = ("StreamEnd", None) if kind == "StreamEnd" else self._next()
        if kind != "StreamEnd":
            self._refuse(event, "a second document begins")
        return value

    def _next(self) -> tuple[str, Any]:
        event = next(self.events, None)
        return type(event).__name__.removesuffix("Event"), event

    def _value(self, kind: str, event: Any, depth: int) -> object:  # noqa: ANN401  an event of PyYAML
        if depth > self.limits.max_json_depth:
            msg = f"the {self.what} is nested deeper than {self.limits.max_json_depth:,}"
            raise UnsafeFileError(msg)
        if kind == "Alias":
            if event.anchor not in self.anchors:
                self._refuse(event, "an alias has no anchor before it")
            value, size = self.anchors[event.anchor]
            self._count(size)
            return value
        before = self.size
        if kind == "Scalar":
            value = self._scalar(event)
        else:
            self._check(event, event.tag)
            value = self._items(depth) if kind == "SequenceStart" else self._pairs(depth)
            self._count(1)
        if event.tag in _NUMBER_TAGS:
            value = self._number(event, value)
        if event.anchor:
            self.anchors[event.anchor] = (value, self.size - before)
        return value

    def _items(self, depth: int) -> list[object]:
        items = []
        while (found := self._next())[0] != "SequenceEnd":
            items.append(self._value(*found, depth + 1))
        return items

    def _pairs(self, depth: int) -> dict[str, object]:
        pairs: dict[str, object] = {}
        while (found := self._next())[0] != "MappingEnd":
            if found[0] != "Scalar" or self.tag_of(found[1]) == f"{_YAML}merge":
                self._refuse(found[1], "a key is no plain text")
            # Python's names of settings are texts, also those that YAML takes for a bool.
            key = self._text(found[1])
            if key in pairs:
                self._refuse(found[1], f"key {key!r:.60} stands twice in one mapping")
            pairs[key] = self._value(*self._next(), depth + 1)
        return pairs

    def _scalar(self, event: Any) -> object:  # noqa: ANN401  an event of PyYAML
        self._check(event, event.tag)
        tag, text = self.tag_of(event).removeprefix(_YAML), self._text(event)
        if event.tag == _BINARY_TAG:
            try:
                return base64.b64decode("".join(text.split()), validate=True)
            except binascii.Error:
                self._refuse(event, "bytes are not in base64")
        if tag in ("null", "bool"):
            return _WORDS[text.lower()]
        if tag == "int" and _INTEGER.fullmatch(text):
            return int(text.replace("_", ""))
        if tag == "float" and ":" not in text:  # minutes and seconds
            return float(
                text.lower().replace("_", "").replace(".inf", "inf").replace(".nan", "nan")
            )
        return text

    def _text(self, event: Any) -> str:  # noqa: ANN401  an event of PyYAML
        text: str = event.value
        self._count(len(text))
        if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            self._refuse(event, "half a character could be written nowhere")
        return text

    def _number(self, event: Any, value: object) -> int | float:  # noqa: ANN401  an event of PyYAML
        """Return the number that NumPy wrote as its type and its bytes."""
        match value:
            case [Mapping() as dtype, bytes(data)]:
                match dtype:
                    case {
                        "args": [str(code), *_],
                        "state": [_, ("<" | ">" | "|") as order, *_],
                    } if _NUMBER_TYPE.fullmatch(code) and len(data) == int(code[1]):
                        number: int | float = np.frombuffer(data, f"{order}{code}")[0].item()
                        return number
        return self._refuse(event, "a number of NumPy is none")

    def _check(self, event: Any, tag: str | None) -> None:  # noqa: ANN401  an event of PyYAML
        if tag and tag not in _KNOWN_TAGS:
            shown = tag.replace(_YAML, "!!", 1)
            line = event.start_mark.line + 1
            msg = (
                f"the {self.what} has the tag {shown!r:.80} in line {line}; only plain data is read"
            )
            raise UnsafeFileError(msg)

    def _count(self, characters: int) -> None:
        self.size += characters + 1
        if self.size > self.limits.max_json_bytes:
            msg = f"the {self.what} is larger than {self.limits.max_json_bytes:,} with all that its aliases repeat"
            raise UnsafeFileError(msg)

    def _refuse(self, event: Any, reason: str) -> NoReturn:  # noqa: ANN401  an event of PyYAML
        line = event.start_mark.line + 1
        msg = f"the {self.what} is not readable YAML: line {line}: {reason}"
        raise UnreadableFileError(msg)
