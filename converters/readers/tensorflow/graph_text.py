"""Graphs as text (`.pbtxt`), read by the few messages that they are made of and turned into the binary form.

Source: protobuf.dev/reference/protobuf/textformat-spec; the numbers of the fields are those of the .proto files that
`graph_def` and `attributes` name.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from converters.errors import UnreadableFileError
from converters.limits import Limits
from converters.readers.tensorflow.graph_def import GraphFile, parse_graph, parse_meta_graph

_MAX_DEPTH = 64
_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"""|(?P<word>[A-Za-z_][\w./]*)|(?P<number>[-+]?(?:\d[\w.+-]*|\.\d[\w+-]*|inf(?:inity)?f?|nan|-inf))|(?P<sign>[{}<>\[\]:,;-])"""
)
_ESCAPES = {
    "n": 10,
    "r": 13,
    "t": 9,
    "a": 7,
    "b": 8,
    "f": 12,
    "v": 11,
    "\\": 92,
    "'": 39,
    '"': 34,
    "?": 63,
}
_TYPES = {
    **{name: number for number, name in enumerate(
        ("DT_INVALID", "DT_FLOAT", "DT_DOUBLE", "DT_INT32", "DT_UINT8", "DT_INT16", "DT_INT8", "DT_STRING",
         "DT_COMPLEX64", "DT_INT64", "DT_BOOL", "DT_QINT8", "DT_QUINT8", "DT_QINT32", "DT_BFLOAT16", "DT_QINT16",
         "DT_QUINT16", "DT_UINT16", "DT_COMPLEX128", "DT_HALF", "DT_RESOURCE", "DT_VARIANT", "DT_UINT32", "DT_UINT64")
    )},
}  # fmt: skip
Schema = Mapping[str, tuple[int, str]]
_SCHEMAS: Mapping[str, Schema] = {
    "GraphDef": {"node": (1, "NodeDef"), "library": (2, "Library"), "versions": (4, "Skipped"), "version": (3, "int")},
    "Library": {"function": (1, "FunctionDef"), "gradient": (2, "Skipped")},
    "FunctionDef": {
        "signature": (1, "OpDef"), "node_def": (3, "NodeDef"), "ret": (4, "RetEntry"), "attr": (5, "AttrEntry"),
        "control_ret": (6, "Skipped"), "arg_attr": (7, "Skipped"), "resource_arg_unique_id": (8, "Skipped"),
    },
    "RetEntry": {"key": (1, "bytes"), "value": (2, "bytes")},
    "OpDef": {
        "name": (1, "bytes"), "input_arg": (2, "ArgDef"), "output_arg": (3, "ArgDef"), "attr": (4, "Skipped"),
        "is_stateful": (17, "int"), "description": (6, "bytes"), "summary": (5, "bytes"), "control_output": (20, "bytes"),
    },
    "ArgDef": {
        "name": (1, "bytes"), "description": (2, "bytes"), "type": (3, "type"), "type_attr": (4, "bytes"),
        "number_attr": (5, "bytes"), "type_list_attr": (6, "bytes"), "handle_data": (7, "Skipped"),
        "is_ref": (16, "int"), "experimental_full_type": (17, "Skipped"),
    },
    "NodeDef": {
        "name": (1, "bytes"), "op": (2, "bytes"), "input": (3, "bytes"), "device": (4, "bytes"),
        "attr": (5, "AttrEntry"), "experimental_debug_info": (6, "Skipped"), "experimental_type": (7, "Skipped"),
    },
    "AttrEntry": {"key": (1, "bytes"), "value": (2, "AttrValue")},
    "AttrValue": {
        "list": (1, "ListValue"), "s": (2, "bytes"), "i": (3, "int"), "f": (4, "float"), "b": (5, "int"),
        "type": (6, "type"), "shape": (7, "Shape"), "tensor": (8, "Tensor"), "placeholder": (9, "bytes"),
        "func": (10, "NameAttrList"),
    },
    "ListValue": {
        "s": (2, "bytes"), "i": (3, "int"), "f": (4, "float"), "b": (5, "int"), "type": (6, "type"),
        "shape": (7, "Shape"), "tensor": (8, "Tensor"), "func": (9, "NameAttrList"),
    },
    "NameAttrList": {"name": (1, "bytes"), "attr": (2, "AttrEntry")},
    "Shape": {"dim": (2, "Dim"), "unknown_rank": (3, "int")},
    "Dim": {"size": (1, "int"), "name": (2, "bytes")},
    "Tensor": {
        "dtype": (1, "type"), "tensor_shape": (2, "Shape"), "version_number": (3, "int"), "tensor_content": (4, "bytes"),
        "float_val": (5, "float"), "double_val": (6, "double"), "int_val": (7, "int"), "string_val": (8, "bytes"),
        "scomplex_val": (9, "float"), "int64_val": (10, "int"), "bool_val": (11, "int"), "dcomplex_val": (12, "double"),
        "half_val": (13, "int"), "resource_handle_val": (14, "Skipped"), "uint32_val": (16, "int"),
        "uint64_val": (17, "int"),
    },
    "MetaGraphDef": {
        "meta_info_def": (1, "MetaInfo"), "graph_def": (2, "GraphDef"), "saver_def": (3, "Skipped"),
        "collection_def": (4, "CollectionEntry"), "signature_def": (5, "SignatureEntry"), "asset_file_def": (6, "Skipped"),
    },
    "MetaInfo": {
        "meta_graph_version": (1, "bytes"), "stripped_op_list": (2, "Skipped"), "any_info": (3, "Skipped"),
        "tags": (4, "bytes"), "tensorflow_version": (5, "bytes"), "tensorflow_git_version": (6, "bytes"),
        "stripped_default_attrs": (7, "int"),
    },
    "CollectionEntry": {"key": (1, "bytes"), "value": (2, "Collection")},
    "Collection": {
        "node_list": (1, "TextList"), "bytes_list": (2, "TextList"), "int64_list": (3, "Skipped"),
        "float_list": (4, "Skipped"), "any_list": (5, "Skipped"),
    },
    "TextList": {"value": (1, "bytes")},
    "SignatureEntry": {"key": (1, "bytes"), "value": (2, "SignatureDef")},
    "SignatureDef": {"inputs": (1, "InfoEntry"), "outputs": (2, "InfoEntry"), "method_name": (3, "bytes")},
    "InfoEntry": {"key": (1, "bytes"), "value": (2, "TensorInfo")},
    "TensorInfo": {"name": (1, "bytes"), "dtype": (2, "type"), "tensor_shape": (3, "Shape")},
}  # fmt: skip
"""Message to its fields: number, and a message or a kind of number. "Skipped": read over, whatever is in it."""


class _Token(NamedTuple):
    kind: str
    value: str
    place: int


def looks_like_graph_text(start: bytes) -> bool:
    """Tell whether a file begins as graphs do in text."""
    return (
        re.match(
            rb"\s*(?:#[^\n]*\n\s*)*(?:node|library|versions|meta_info_def|graph_def)\s*:?\s*\{",
            start,
        )
        is not None
    )


def graph_from_text(data: bytes, limits: Limits) -> GraphFile:
    """Return the graph of a text. Raises UnreadableFileError with the line where it cannot be read."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        message = "the text of the graph is not UTF-8"
        raise UnreadableFileError(message) from error
    is_meta = (
        re.search(r"^[ \t]*(?:meta_info_def|graph_def)\s*:?\s*\{", text, re.MULTILINE) is not None
    )
    parser = _Parser(text)
    encoded = parser.message("MetaGraphDef" if is_meta else "GraphDef", 0)
    if len(encoded) > limits.max_array_bytes:
        message = f"the graph has {len(encoded):,} bytes; the limit is {limits.max_array_bytes:,}"
        raise UnreadableFileError(message, hint="raise the limit with --max-size")
    return parse_meta_graph(encoded) if is_meta else parse_graph(encoded)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._read()
        self._ahead: _Token | None = None

    def _read(self) -> Iterator[_Token]:
        position = 0
        while position < len(self._text):
            match = _TOKEN.match(self._text, position)
            if match is None:
                raise self._error(position, f"{self._text[position]!r} cannot be here")
            if match.lastgroup is not None:
                yield _Token(match.lastgroup, match.group(), position)
            position = match.end()

    def _error(self, place: int, what: str) -> UnreadableFileError:
        line = self._text.count("\n", 0, place) + 1
        return UnreadableFileError(f"line {line:,} of the text: {what}")

    def _next(self) -> _Token:
        if self._ahead is not None:
            token, self._ahead = self._ahead, None
            return token
        return next(self._tokens, _Token("end", "", len(self._text)))

    def _peek(self) -> _Token:
        if self._ahead is None:
            self._ahead = self._next()
        return self._ahead

    def message(self, name: str, depth: int) -> bytes:
        """Return the bytes of a message up to its closing bracket, or to the end of the text."""
        schema = _SCHEMAS.get(name, {})
        result = bytearray()
        if depth > _MAX_DEPTH:
            raise self._error(
                self._peek().place, f"messages are nested more than {_MAX_DEPTH} deep"
            )
        while self._peek().value not in ("}", ">") or self._peek().kind != "sign":
            token = self._next()
            if token.kind == "end" and depth == 0:
                return bytes(result)
            if token.kind == "sign" and token.value in (",", ";"):
                continue
            if token.kind == "sign" and token.value == "[" and name == "Skipped":
                self._skip_extension()
                self._field(result, 0, "Skipped", depth)
                continue
            if token.kind != "word":
                raise self._error(
                    token.place, f"{token.value or 'the end'!r} where the name of a field is needed"
                )
            if name == "Skipped":
                self._field(result, 0, "Skipped", depth)
                continue
            if token.value not in schema:
                raise self._error(token.place, f"a {name} has no field {token.value[:40]!r}")
            number, kind = schema[token.value]
            self._field(result, number, kind, depth)
        if depth == 0:
            raise self._error(self._peek().place, "a bracket is closed that was not opened")
        return bytes(result)

    def _skip_extension(self) -> None:
        while self._next().value not in ("]", ""):
            pass

    def _field(self, result: bytearray, number: int, kind: str, depth: int) -> None:
        if self._peek().value == ":":
            self._next()
        if self._peek().value == "[" and self._peek().kind == "sign":
            self._next()
            while self._peek().value != "]":
                if self._peek().kind == "end":
                    raise self._error(self._peek().place, "a list is not closed")
                if self._peek().value == ",":
                    self._next()
                    continue
                self._value(result, number, kind, depth)
            self._next()
            return
        self._value(result, number, kind, depth)

    def _value(self, result: bytearray, number: int, kind: str, depth: int) -> None:
        token = self._next()
        if token.kind == "sign" and token.value in ("{", "<"):
            inner = self.message(kind if kind in _SCHEMAS else "Skipped", depth + 1)
            self._next()
            if kind in _SCHEMAS:
                result += _varint(number << 3 | 2) + _varint(len(inner)) + inner
            elif kind != "Skipped":
                raise self._error(token.place, "a message where a number or a text is needed")
            return
        if kind == "Skipped":
            while token.kind == "text" and self._peek().kind == "text":
                self._next()
            if token.value == "-":
                self._next()
            return
        result += self._encoded(token, number, kind)

    def _encoded(self, token: _Token, number: int, kind: str) -> bytes:
        if kind == "bytes":
            data = self._string(token)
            while self._peek().kind == "text":
                data += self._string(self._next())
            return _varint(number << 3 | 2) + _varint(len(data)) + data
        value = token.value
        if value == "-":
            value += self._next().value
        try:
            if kind == "type":
                whole = _type_number(value)
            elif kind in ("float", "double"):
                form, wire = ("<f", 5) if kind == "float" else ("<d", 1)
                number_ = float(value.rstrip("fF") if "inf" not in value.lower() else value)
                return _varint(number << 3 | wire) + struct.pack(form, number_)
            else:
                whole = (
                    {"true": 1, "false": 0}.get(value.lower(), 0)
                    if value.isalpha()
                    else int(value, 0)
                )
        except (ValueError, OverflowError, KeyError) as error:
            raise self._error(token.place, f"{value[:40]!r} is no {kind}") from error
        return _varint(number << 3) + _varint(whole & 0xFFFF_FFFF_FFFF_FFFF)

    def _string(self, token: _Token) -> bytes:
        if token.kind != "text":
            raise self._error(token.place, f"{token.value[:40]!r} where a text in quotes is needed")
        return unescape(token.value[1:-1])


def _type_number(value: str) -> int:
    reference = value.endswith("_REF")
    name = value.removesuffix("_REF")
    whole = int(name) if name.isdigit() else _TYPES[name]
    return whole + 100 if reference else whole


_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|(.))", re.DOTALL)


def unescape(text: str) -> bytes:
    """Return the bytes of a text in quotes."""
    result = bytearray()
    position = 0
    for match in _ESCAPE.finditer(text):
        result += text[position : match.start()].encode()
        octal, hexadecimal, letter = match.groups()
        if octal is not None:
            result.append(int(octal, 8) & 0xFF)
        elif hexadecimal is not None:
            result.append(int(hexadecimal, 16))
        else:
            result += bytes([_ESCAPES[letter]]) if letter in _ESCAPES else letter.encode()
        position = match.end()
    return bytes(result + text[position:].encode())


def _varint(value: int) -> bytes:
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)
