from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pytest

from converters.errors import UnreadableFileError, UnsafeFileError
from converters.readers.files.source import MAP_BYTES, OpenFile, Source, quote


def test_hash_is_that_of_the_whole_file(tmp_path: Path) -> None:
    data = np.random.default_rng(1).bytes(2 * MAP_BYTES + 17)
    (tmp_path / "a").write_bytes(data)

    assert Source(tmp_path / "a").sha256() == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("offset", [0, 8, 3], ids=["start", "aligned", "odd"])
@pytest.mark.parametrize("count", [0, 5, MAP_BYTES], ids=["empty", "copied", "mapped"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<i8"])
def test_array_is_read_from_any_place(tmp_path: Path, offset: int, count: int, dtype: str) -> None:
    values = np.arange(count).astype(dtype)
    (tmp_path / "a").write_bytes(bytes(offset) + values.tobytes() + b"tail")

    array = OpenFile(tmp_path / "a").read_array(offset, (count, 1), np.dtype(dtype))

    assert array.dtype == np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(array[:, 0], values)
    assert not array.flags.writeable


def test_arrays_of_a_deleted_file_stay_readable(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(np.arange(6.0).tobytes())
    file = OpenFile(path)
    path.unlink()

    assert np.array_equal(file.read_array(0, (2, 3), np.dtype("f8")), np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize("count", [10, MAP_BYTES], ids=["copied", "mapped"])
def test_file_that_became_shorter_is_an_error(tmp_path: Path, count: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(8 * count))
    file = OpenFile(path)
    os.truncate(path, 4 * count)

    with pytest.raises(UnreadableFileError, match="a: the file became shorter while it was read"):
        file.read_array(0, (count,), np.dtype("f8"))


def test_window_is_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")

    with OpenFile(tmp_path / "a").view(2, 5) as window:
        assert window.read() == b"23456"
        assert window.seek(-2, io.SEEK_END) == 3
        assert window.read(9) == b"56"
        with pytest.raises(OSError, match="before the start"):
            window.seek(-6, io.SEEK_END)


def test_quoted_text_has_no_control_characters_and_a_bounded_length() -> None:
    assert quote("a\x1b[31m\nb") == r"'a\x1b[31m\nb'"
    assert len(quote("x" * 5000)) == 202


@pytest.mark.parametrize("link", ["part", "folder/part"], ids=["file", "folder"])
def test_links_on_the_way_to_a_companion_are_refused(tmp_path: Path, link: str) -> None:
    (tmp_path / "main").write_bytes(b"main")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "part").write_bytes(b"secret")
    if link == "part":
        (tmp_path / link).symlink_to(tmp_path / "elsewhere" / "part")
    else:
        (tmp_path / "folder").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UnsafeFileError, match="is a link; links are not followed"):
        Source(tmp_path / "main").companion(link)


def test_main_file_that_the_user_did_not_name_is_no_link(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"secret")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").symlink_to(tmp_path / "other")

    with pytest.raises(UnsafeFileError, match=r"'saved_model\.pb' is a link"):
        Source(tmp_path / "saved", tmp_path / "saved" / "saved_model.pb")


def test_file_that_the_user_named_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"content")
    (tmp_path / "named").symlink_to(tmp_path / "other")

    assert Source(tmp_path / "named").prefix == b"content"
