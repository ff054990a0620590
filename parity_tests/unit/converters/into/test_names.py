"""The table of names: what people write, and what is written for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.errors import UnreadableFileError
from converters.into.names import Entry, format_names, parse_names, read_names


def test_table_is_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "names.toml"
    path.write_text(
        'keep = ["head"]\n"dense/kernel" = { key = "fc.weight", layout = "in out->out in" }\nold = ""\n'
    )

    table = read_names(path)

    assert table.entries == {
        "dense/kernel": Entry("fc.weight", "in out -> out in"),
        "old": Entry(""),
    }
    assert table.keeps("head.0")
    assert not table.keeps("header")


def test_table_of_a_windows_editor_is_read(tmp_path: Path) -> None:
    path = tmp_path / "names.toml"
    path.write_bytes(b'\xef\xbb\xbf"dense" = "fc1"\r\n')

    assert read_names(path).entries == {"dense": Entry("fc1")}


def test_proposal_reads_back_as_a_table(tmp_path: Path) -> None:
    path = tmp_path / "names.toml"
    path.write_text(format_names([('a "quoted" ä/b', "fc1", ["fc1", "fc2"]), ("c", "", [])]))

    table = read_names(path)

    assert table.entries == {'a "quoted" ä/b': Entry("fc1"), "c": Entry("")}
    assert "# fits: fc1, fc2" in path.read_text()


def test_proposal_names_the_modules_that_are_left_without_deciding(tmp_path: Path) -> None:
    path = tmp_path / "names.toml"
    text = format_names([("a", "fc1", ["fc1"])], ["fc1", "fc2", "fc3"])
    path.write_text(text)
    edited = tmp_path / "edited.toml"
    edited.write_text(text.replace("# keep", "keep"))

    assert read_names(path).keep == ()
    assert read_names(edited).keep == ("fc2", "fc3")


@pytest.mark.parametrize(
    "data",
    [{"a": 1}, {"a": {"name": "b"}}, {"a": {"key": "b", "layout": "in"}}, {"keep": "head"}],
    ids=["number", "other words", "layout without an arrow", "keep without a list"],
)
def test_entry_of_another_form_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(UnreadableFileError, match="names"):
        parse_names(data)


def test_file_that_is_not_toml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "names.toml"
    path.write_text("dense -> fc1")

    with pytest.raises(UnreadableFileError, match="not readable as TOML"):
        read_names(path)
