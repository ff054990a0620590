"""The wire format by hand, after the examples of its specification."""

from __future__ import annotations

import pytest

from converters.errors import UnreadableFileError
from converters.readers.tensorflow.protobuf import content, fields, integer, signed, text


def test_fields_of_every_type_are_read() -> None:
    message = b"\x08\x96\x01\x12\x07testing\x1d\x01\x00\x00\x00\x21\x02" + bytes(7)

    found = list(fields(message))

    assert [field.number for field in found] == [1, 2, 3, 4]
    assert integer(found[0]) == 150
    assert text(found[1]) == "testing"
    assert [integer(field) for field in found[2:]] == [1, 2]


def test_negative_number_is_two_s_complement() -> None:
    (field,) = fields(b"\x08" + b"\xff" * 9 + b"\x01")

    assert signed(field) == -1


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (b"\x0a\x05abc", "claims 5 bytes, 3 are left"),
        (b"\x08", "runs past the end"),
        (b"\x08" + b"\xff" * 11, "runs past the end"),
        (b"\x0b", "no field"),
        (b"\x00", "no field"),
        (b"\x0d\x01\x00", "claims 4 bytes, 2 are left"),
    ],
)
def test_what_is_no_message_is_refused(message: bytes, problem: str) -> None:
    with pytest.raises(UnreadableFileError, match=problem):
        list(fields(message))


def test_wrong_kinds_and_bad_text_are_refused() -> None:
    number, letters = fields(b"\x08\x01\x12\x01\xff")

    with pytest.raises(UnreadableFileError, match="message is needed"):
        content(number)
    with pytest.raises(UnreadableFileError, match="number is needed"):
        integer(letters)
    with pytest.raises(UnreadableFileError, match="not UTF-8"):
        text(letters)
