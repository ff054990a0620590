"""Records that somebody changed: each is one clear error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import torchward
from converters.errors import (
    ConversionError,
    UnreadableFileError,
)
from parity_tests.unit.converters.legacy_files.converted_files import (
    rewrite,
)


def no_record(record: dict[str, Any]) -> None:
    record.clear()


def wrong_format(record: dict[str, Any]) -> None:
    record["format"] = "onnx"


def negative_size(record: dict[str, Any]) -> None:
    record["arrays"][0][2] = [-1]


def huge_size(record: dict[str, Any]) -> None:
    record["arrays"][0][2] = [2**40]


def object_dtype(record: dict[str, Any]) -> None:
    record["arrays"][0][1] = "|O8"


def kept_of_another_size(record: dict[str, Any]) -> None:
    record["kept"][record["arrays"][0][0]] = "AAA="


def slot_of_no_array(record: dict[str, Any]) -> None:
    record["optimizer"]["slots"]["exp_avg"][0] = "nowhere"


def number_as_text(record: dict[str, Any]) -> None:
    record["groups"] = [1]


def text_as_attributes(record: dict[str, Any]) -> None:
    record["attributes"] = {"": "model_config"}


@pytest.mark.parametrize(
    "change",
    [
        no_record,
        wrong_format,
        negative_size,
        huge_size,
        object_dtype,
        kept_of_another_size,
        slot_of_no_array,
        number_as_text,
        text_as_attributes,
    ],
)
def test_a_damaged_record_is_one_clear_error(
    change: Callable[[dict[str, Any]], None], converted: Path, tmp_path: Path
) -> None:
    rewrite(converted, lambda content: change(content["metadata"]["legacy"]))

    with pytest.raises(UnreadableFileError, match="legacy file"):
        torchward.export(converted, tmp_path / "back.h5")


@pytest.mark.parametrize("path", ["../outside", "/absolute", "a\0b", "model_weights"])
def test_names_that_make_no_file_are_refused(path: str, converted: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        record = content["metadata"]["legacy"]
        record["arrays"].append([path, "<f4", []])
        record["kept"][path] = "AAAAAA=="

    rewrite(converted, change)

    with pytest.raises(ConversionError):
        torchward.export(converted, tmp_path / "back.h5")

    assert sorted(file.name for file in tmp_path.iterdir()) == ["agent.pth", "agent.pth.json"]
