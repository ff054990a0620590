"""Hashes of input files, begun before the file is asked for."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from converters.readers.files import digest
from converters.readers.files.source import OpenFile, Source

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


@pytest.fixture(autouse=True)
def nothing_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "_ahead", {})


def test_file_of_several_blocks_is_hashed_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = bytes(range(256)) * 300
    (tmp_path / "a").write_bytes(data)
    monkeypatch.setattr(digest, "BLOCK_BYTES", 32768)

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


def test_file_that_becomes_shorter_is_hashed_as_far_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"abcdef")
    file = OpenFile(tmp_path / "a")
    monkeypatch.setattr(digest, "BLOCK_BYTES", 2)

    def read(block: WriteableBuffer, offset: int) -> int:
        os.truncate(tmp_path / "a", 3)
        return file.read_into(block, offset)

    found = digest.digest_of(file.descriptor, read).result()

    assert found == hashlib.sha256(b"abc").hexdigest()
