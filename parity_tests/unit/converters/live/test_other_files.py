from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch

from converters.errors import UnreadableFileError
from converters.live.load import read_converted


def archive(path: Path, *members: str) -> Path:
    with ZipFile(path, "w") as file:
        for member in members:
            file.writestr(member, b"{}")
    return path


@pytest.mark.parametrize(
    ("members", "words"),
    [
        (["config.json", "metadata.json", "model.weights.h5"], "is a legacy file (.keras)"),
        (["data", "policy.pth"], "is an agent of stable_baselines3"),
        (["a/archive_format", "a/models/model.json"], "is a program of torch.export"),
        (["readme.txt"], "is an archive, but no file of torch.save"),
    ],
    ids=["keras", "sb3", "pt2", "other"],
)
def test_another_archive_is_named(tmp_path: Path, members: list[str], words: str) -> None:
    with pytest.raises(UnreadableFileError) as caught:
        read_converted(archive(tmp_path / "a file", *members))

    assert words in str(caught.value)


def test_recorded_arrays_belong_behind_expected(tmp_path: Path) -> None:
    np.savez(tmp_path / "expected.npz", x0=np.zeros(3), y0=np.zeros(2))

    with pytest.raises(UnreadableFileError, match="numpy arrays") as caught:
        read_converted(tmp_path / "expected.npz")

    assert "--expected" in str(caught.value.hint)


def test_text_is_no_file_of_torch(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_text("hello")

    with pytest.raises(UnreadableFileError, match=r"is no file of torch\.save"):
        read_converted(tmp_path / "a.pth")


def test_a_damaged_file_of_torch_is_called_damaged(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(500)}, tmp_path / "a.pth")
    whole = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(UnreadableFileError, match="not readable as tensors and plain data"):
        read_converted(tmp_path / "a.pth")
