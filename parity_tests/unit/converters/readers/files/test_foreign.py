from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from converters.errors import UnreadableFileError
from converters.readers import read_checkpoint


@pytest.mark.parametrize(
    ("name", "content", "what", "hint"),
    [
        (
            "a.safetensors",
            b"\x02" + bytes(7) + b"{}",
            "file of PyTorch already",
            "torchward export",
        ),
        ("a.pt2", b"PK\x05\x06" + bytes(18), "a traced computation", "start from"),
        ("a.onnx", b"\x08\x0a\x12\x07", "a traced computation", "start from"),
        ("a b.gz", b"\x1f\x8b\x08\x00", "compressed with gzip", "gunzip 'a b.gz'"),
    ],
    ids=["safetensors", "pt2", "onnx", "gzip"],
)
def test_file_of_another_kind_is_called_by_its_name(
    tmp_path: Path, name: str, content: bytes, what: str, hint: str
) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(UnreadableFileError, match=what) as caught:
        read_checkpoint(tmp_path / name)

    assert hint in str(caught.value.hint)


def test_tar_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "agent.h5"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("model.h5"), io.BytesIO())

    with pytest.raises(UnreadableFileError, match="is a tar archive") as caught:
        read_checkpoint(path)

    assert caught.value.hint == "tar xf agent.h5"


def test_folder_without_a_model_has_a_name_and_a_way_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(UnreadableFileError, match=r"^\.: is a folder, not a file") as caught:
        read_checkpoint(Path())

    assert "torchward convert . -o OUTPUT_FOLDER" in str(caught.value.hint)
