"""Files that appear whole or not at all, with the checksum of what is on the disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from converters.errors import OutputError
from converters.writers import output_file
from converters.writers.output_file import OutputFile


def test_unfinished_output_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(b"old")

    with OutputFile(tmp_path / "m") as file:
        file.write(b"half")

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("m", b"old")]


def test_checksum_is_of_the_bytes_on_disk(tmp_path: Path) -> None:
    with OutputFile(tmp_path / "m") as file:
        for _ in range(300):
            file.write(b"abc")
        file.finish()
        file.commit()

    assert (tmp_path / "m").read_bytes() == b"abc" * 300
    assert (file.sha256, file.size) == (hashlib.sha256(b"abc" * 300).hexdigest(), 900)


def test_bytes_that_do_not_come_back_are_an_error(tmp_path: Path) -> None:
    with OutputFile(tmp_path / "m") as file:
        file.write(b"abc")
        file._written += 1  # as if the disk had lost one

        with pytest.raises(OutputError, match="wrote 4 bytes, 3 came back"):
            file.finish()


def test_folder_that_vanished_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written: No such file"):
        OutputFile(tmp_path / "gone" / "m")


@pytest.fixture
def flushes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of files at the moments they are brought to the disk; 1,000 bytes are worth it."""
    sizes = []
    monkeypatch.setattr(output_file, "_FLUSH_BYTES", 1000)
    monkeypatch.setattr(os, "fsync", lambda handle: sizes.append(os.fstat(handle).st_size))
    return sizes


def test_large_file_goes_to_the_disk_while_it_grows(tmp_path: Path, flushes: list[int]) -> None:
    with OutputFile(tmp_path / "m") as file:
        file.write(b"a" * 1200)
        file._wait_for_flush()
        file.write(b"b" * 400)
        file.finish()

    assert flushes == [1200, 1600]


def test_small_file_goes_to_the_disk_once(tmp_path: Path, flushes: list[int]) -> None:
    with OutputFile(tmp_path / "m") as file:
        file.write(b"a" * 999)
        file.finish()

    assert flushes == [999]


def test_failure_on_the_way_to_the_disk_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [OSError(5, "Input/output error")]  # reported once, as systems do
    monkeypatch.setattr(output_file, "_FLUSH_BYTES", 1000)

    def fsync(_handle: int) -> None:
        if failures:
            raise failures.pop()

    monkeypatch.setattr(os, "fsync", fsync)

    with OutputFile(tmp_path / "m") as file:
        file.write(b"a" * 1000)
        with pytest.raises(OutputError, match="cannot be written: Input/output error"):
            file.finish()

    assert list(tmp_path.iterdir()) == []
