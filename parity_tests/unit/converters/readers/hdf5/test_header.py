from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from converters.errors import UnreadableFileError
from converters.readers.hdf5 import header


@pytest.mark.parametrize("library", ["earliest", "latest"])
def test_whole_file_passes_and_one_byte_less_is_truncated(tmp_path: Path, library: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=library) as file:
        file["a"] = np.arange(100.0)
    data = path.read_bytes()

    header.check_length("a.h5", data[:64], len(data))

    expected = f"a.h5: truncated: superblock says {len(data):,} bytes, file has {len(data) - 1:,}."
    with pytest.raises(UnreadableFileError) as caught:
        header.check_length("a.h5", data[:64], len(data) - 1)
    assert str(caught.value) == expected


@pytest.mark.parametrize("length", [8, 9, 40, 55])
def test_incomplete_header_is_truncated(length: int) -> None:
    with pytest.raises(UnreadableFileError, match="truncated: the HDF5 header is incomplete"):
        header.check_length("a.h5", (header.SIGNATURE + bytes(64))[:length], length)


def test_unknown_superblock_is_named() -> None:
    with pytest.raises(UnreadableFileError, match="superblock version 9"):
        header.check_length("a.h5", header.SIGNATURE + b"\x09" + bytes(64), 73)
