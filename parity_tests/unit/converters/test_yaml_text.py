"""YAML of old Keras files is plain data, read within the limits of JSON.

Expected values are those of PyYAML 6, or what the YAML 1.1 specification says of the text.
"""

from __future__ import annotations

import sys

import numpy as np
import pytest

from converters.errors import (
    ConversionError,
    UnreadableFileError,
    UnsafeFileError,
    UnsupportedError,
)
from converters.limits import Limits
from converters.yaml_text import parse_yaml

KERAS = """\
backend: tensorflow
class_name: Sequential
config:
- class_name: Dense
  config: {activation: relu, batch_input_shape: !!python/tuple [null, 4], name: dense_1,
    W_constraint: null, 'on': &id001 [1, -2], rate: 1.0e-07, split: a
    b}
- class_name: Reshape
  config:
    target_shape: !!python/tuple
    - -1
    - 4
    shared: *id001
    name: "\\u03c0 is \\
      long"
    lines: 'one

      two'
    wrapped: a b
      c
    empty:
    nested:
    - - 1
      - 2.5
    -
      - .5
keras_version: 2.3.1
"""


def parse(text: str, **limits: int) -> object:
    return parse_yaml(text, what="model configuration", limits=Limits(**limits))


def test_both_styles_are_read_as_plain_data() -> None:
    first = {"activation": "relu", "batch_input_shape": [None, 4], "name": "dense_1"}
    first |= {"W_constraint": None, "on": [1, -2], "rate": 1e-7, "split": "a b"}
    second = {"target_shape": [-1, 4], "shared": [1, -2], "name": "\u03c0 is long"}
    second |= {"lines": "one\ntwo", "wrapped": "a b c", "empty": None, "nested": [[1, 2.5], [0.5]]}
    layers = [
        {"class_name": "Dense", "config": first},
        {"class_name": "Reshape", "config": second},
    ]

    read = parse(KERAS)

    assert isinstance(read, dict)
    assert list(read) == ["backend", "class_name", "config", "keras_version"]
    assert (read["config"], read["keras_version"]) == (layers, "2.3.1")


def test_number_that_numpy_wrote_is_a_number() -> None:
    text = (
        "size: !!python/object/apply:numpy.core.multiarray.scalar\n"
        "- !!python/object/apply:numpy.dtype\n  args: [i8, 0, 1]\n"
        "  state: !!python/tuple [3, <, null, null, null, -1, -1, 0]\n"
        "- !!binary |\n  gAAAAAAAAAA=\nname: x\n"
    )

    assert parse(text) == {"size": 128, "name": "x"}


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("yes", True),
        ("Off", False),
        ("~", None),
        ("+12", 12),
        ("1e5", "1e5"),
        ("-.inf", -np.inf),
        ("1_000", 1000),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("1.5e+3", 1500.0),
        ("2.3.1", "2.3.1"),
        ("0x1f", "0x1f"),
        ("!!str 12", "12"),
        ("!!python/unicode 'it''s'", "it's"),
        ("http://a/b#c # comment", "http://a/b#c"),
    ],
)
def test_scalars_are_what_their_form_says(scalar: str, value: object) -> None:
    assert parse(f"key: {scalar}\n") == {"key": value}


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object/apply:os.system ['true']\n",
        "a: !!python/name:os.system\n",
        "a: !custom 1\n",
    ],
)
def test_tags_that_name_anything_else_are_refused(text: str) -> None:
    with pytest.raises(UnsafeFileError, match="only plain data is read"):
        parse(text)


def test_aliases_count_as_often_as_they_repeat() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"a{depth}: &a{depth} [{', '.join([f'*a{depth - 1}'] * 9)}]" for depth in range(1, 30)
    ]

    with pytest.raises(UnsafeFileError, match="its aliases repeat"):
        parse("\n".join(lines))


@pytest.mark.parametrize(
    "text", ["[" * 99, "- " * 99, "a:\n" + "".join(" " * n + "b:\n" for n in range(1, 99))]
)
def test_depth_is_limited(text: str) -> None:
    with pytest.raises(UnsafeFileError, match="nested deeper than 50"):
        parse(text, max_json_depth=50)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "line 2: key 'a' stands twice"),
        ("a: *b\n", "an alias has no anchor"),
        ("a: &x [*x]\n", "an alias has no anchor"),
        ("a: 'b\n", "line 2: found unexpected end of stream"),
        ("a: [1, 2\n", "line 2: expected ',' or ']'"),
        ("a: 1\n---\nb: 2\n", "line 2: a second document begins"),
        ("? [a]\n: b\n", "a key is no plain text"),
        ("<<: {a: 1}\n", "a key is no plain text"),
        ('a: "\\ud800"\n', "half a character"),
        ("a: !!binary |\n  ?\n", "bytes are not in base64"),
        ("a: - 1\n", "sequence entries are not allowed here"),
        ("a: \x01\n", "unacceptable character"),
    ],
)
def test_what_keras_did_not_write_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(UnreadableFileError, match=message):
        parse(text)


@pytest.mark.parametrize("place", range(0, len(KERAS), 7))
def test_damaged_text_ends_in_one_error_or_in_data(place: int) -> None:
    for damaged in (KERAS[:place], KERAS[place:], KERAS[:place] + "[" + KERAS[place + 1 :]):
        try:
            parse(damaged)
        except ConversionError:
            continue


def test_missing_package_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)

    with pytest.raises(UnsupportedError, match="is in YAML, which needs PyYAML") as caught:
        parse("a: 1\n")

    assert caught.value.hint == "pip install 'torchward[yaml]'"
