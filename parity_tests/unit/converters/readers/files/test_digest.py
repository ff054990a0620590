"""Hashes of input files, begun before the file is asked for."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from converters.errors import UnreadableFileError
from converters.readers.files import digest
from converters.readers.files.source import Source


@pytest.fixture(autouse=True)
def nothing_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "_ahead", {})


def test_file_of_several_windows_is_hashed_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(256)) * 300
    (tmp_path / "a").write_bytes(data)
    monkeypatch.setattr(digest, "WINDOW_BYTES", 32768)

    assert Source(tmp_path / "a").sha256() == hashlib.sha256(data).hexdigest()


def test_hash_that_was_begun_ahead_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    digest.hash_ahead(tmp_path / "a")
    digest.hash_ahead(tmp_path / "a")
    (begun,) = digest._ahead.values()

    source = Source(tmp_path / "a")

    assert source._digests["a"] is begun
    assert source.sha256() == hashlib.sha256(b"abc").hexdigest()
    assert digest._ahead == {}


def test_hash_of_another_content_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    digest.hash_ahead(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"abcd")
    (tmp_path / "b").replace(tmp_path / "a")

    assert Source(tmp_path / "a").sha256() == hashlib.sha256(b"abcd").hexdigest()


def test_file_that_became_shorter_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(bytes(8192))
    whole = (tmp_path / "a").stat()
    os.truncate(tmp_path / "a", 100)
    monkeypatch.setattr(os, "fstat", lambda _: whole)  # looked at before it was cut

    with pytest.raises(
        UnreadableFileError, match="a: cannot be read to its end, or became shorter"
    ):
        digest.digest_of(os.open(tmp_path / "a", os.O_RDONLY), "a").result()
