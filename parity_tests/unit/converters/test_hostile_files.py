"""Files made to hurt: each must end in one clear error, or be read as what it is; nothing else may happen.

Everything is made here from the fixtures, the same on every run. `python -m parity_tests.mutants` reads many more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from converters.errors import (
    ConversionError,
    UnreadableFileError,
    UnsafeFileError,
)
from converters.readers import read_checkpoint
from parity_tests import FIXTURES
from parity_tests.unit.converters.hostile_files import (
    ARCHIVE,
    CONTAINER,
    WHOLE,
    read_everything,
)

SEVERAL_FILES = (
    FIXTURES / "tf215_actor_critic" / "ckpt_dir" / "ckpt-4.index",
    FIXTURES / "tf215_actor_critic" / "ckpt_dir" / "ckpt-4.data-00000-of-00001",
    FIXTURES / "tf215_dueling_gap" / "savedmodel" / "keras_metadata.pb",
    FIXTURES / "tf115keras_savedmodels" / "savedmodel" / "saved_model.pb",
)
"""Files of formats of several files; the folder they lie in is read."""


LEVELDB = bytes(40) + bytes.fromhex("57fb808b247547db")


@pytest.mark.parametrize(
    ("name", "data", "error", "message"),
    [
        ("m.h5", b"", UnreadableFileError, "m.h5: the file is empty."),
        ("m.h5", b"version https://git-lfs.github.com/spec/v1\noid", UnreadableFileError, "Git LFS pointer"),
        ("m.h5", b"<!DOCTYPE html><html>", UnreadableFileError, "is a web page"),
        ("m.pkl", b"\x80\x04\x95cposix\nsystem\n", UnreadableFileError, "the pickle is damaged"),
        ("m.ckpt", LEVELDB, UnreadableFileError, "TensorFlow's first format"),
        ("m.data-00000-of-00001", b"abcd", UnreadableFileError, "its .index file is missing"),
        ("checkpoint", b'model_checkpoint_path: "m"', UnreadableFileError, "only names a TensorFlow checkpoint"),
        ("m.json", b'{"class_name": "Sequential"}', UnreadableFileError, "JSON text without weights"),
        ("m.h5", b"\x1f\x8b\x08abc", UnreadableFileError, "compressed with gzip"),
        ("m.h5", b"hello world", UnreadableFileError, "no known format (it starts with 68 65 6c 6c"),
        ("m.h5", b"\x89HDF\r\n\x1a\n", UnreadableFileError, "truncated"),
        ("m.zip", b"PK\x05\x06" + bytes(18), UnreadableFileError, "not a .keras model"),
        ("m.keras", b"PK\x03\x04" + bytes(40), UnreadableFileError, "truncated or damaged"),
    ],
)  # fmt: skip
def test_foreign_file_is_recognized(
    tmp_path: Path, name: str, data: bytes, error: type[ConversionError], message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)

    with pytest.raises(error) as caught:
        read_checkpoint(path)

    assert str(caught.value).startswith(f"{name}: ")
    assert message in str(caught.value)


def test_hdf5_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        file["observations"] = np.zeros(3)

    with pytest.raises(UnreadableFileError, match="neither layer names nor groups of variables"):
        read_checkpoint(path)


def test_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="is a folder, not a file"):
        read_checkpoint(tmp_path)


def test_empty_saved_model_and_cut_index_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "ckpt-1.index").write_bytes(bytes(100) + LEVELDB[-8:])
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"")

    for path in (folder, tmp_path / "ckpt-1"):
        with pytest.raises(UnreadableFileError) as caught:
            read_checkpoint(path)
        assert str(caught.value).startswith(f"{path.name}: ")


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"]
)
def test_special_file_is_refused_without_being_opened(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "m.h5"
    make(path)

    with pytest.raises(UnsafeFileError, match="not a regular file; refused"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "path",
    ["missing.h5", "a" * 5000, "nul\0.h5", "missing/m.h5"],
    ids=["missing", "long", "nul", "folder"],
)
def test_path_that_cannot_be_opened_is_one_line(tmp_path: Path, path: str) -> None:
    with pytest.raises(UnreadableFileError):
        read_checkpoint(tmp_path / path)


def test_architecture_without_a_configuration_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "model.py"
    text.write_text("model = keras.Sequential()\n")

    for given in (CONTAINER, text):
        with pytest.raises(UnreadableFileError, match=f"{given.name}: is not a model configurat"):
            read_checkpoint(CONTAINER, architecture=given)


@pytest.mark.parametrize("original", [WHOLE, CONTAINER, ARCHIVE], ids=lambda path: path.name)
@pytest.mark.usefixtures("in_process")
def test_truncated_file_is_refused_wherever_it_ends(tmp_path: Path, original: Path) -> None:
    data = original.read_bytes()
    path = tmp_path / original.name
    for length in [1, 7, 8, 9, 57, 100, *range(200, len(data), 1499), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(UnreadableFileError):
            read_checkpoint(path)


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Return `data` with a few bits flipped, a block doubled, swapped or blanked, or the end cut off."""
    changed = bytearray(data)
    # Structure is at the front and between the arrays; half of all changes go to the first 4 KiB.
    end = min(4096, len(data)) if rng.random() < 0.5 else len(data)
    start, other = (int(n) for n in rng.integers(0, end - 64, 2))
    size = int(rng.integers(1, 64))
    kind = rng.integers(0, 6)
    if kind <= 2:
        for _ in range(int(rng.integers(1, 6))):
            changed[int(rng.integers(0, end))] ^= 1 << int(rng.integers(0, 8))
    elif kind == 3:
        changed[start : start + size], changed[other : other + size] = (
            data[other : other + size],
            data[start : start + size],
        )
    elif kind == 4:
        changed[start : start + size] = bytes(size) if rng.random() < 0.5 else b"\xff" * size
    else:
        changed[start:start] = data[other : other + size]
    return bytes(changed)


def read_mutant(original: Path, seed: int, folder: Path) -> None:
    data = mutate(original.read_bytes(), np.random.default_rng(seed))
    path = folder / original.name
    path.write_bytes(data)
    try:
        read_everything(folder if original in SEVERAL_FILES else path)
    except ConversionError as error:
        assert "\n" not in str(error)  # noqa: PT017  the promise is about what is raised


@pytest.mark.parametrize("original", [WHOLE, CONTAINER, ARCHIVE], ids=lambda path: path.name)
@pytest.mark.usefixtures("in_process")
def test_mutant_is_read_or_refused(tmp_path: Path, original: Path) -> None:
    for seed in range(14):
        read_mutant(original, seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("original", SEVERAL_FILES, ids=lambda path: path.name)
def test_mutant_of_several_files_is_read_or_refused(tmp_path: Path, original: Path) -> None:
    shutil.copytree(original.parent, tmp_path, dirs_exist_ok=True)
    for seed in range(40):
        read_mutant(original, seed, tmp_path)


AUDIT = """
import os
import sys
from pathlib import Path
from converters.configuration import models
from converters.readers import read_checkpoint, readers
from converters.readers.files import foreign, places  # which read_checkpoint imports when it is called first
list(readers())
"".encode("cp437")  # zipfile's text encoding, which Python loads on first use
path = Path(sys.argv[1])
seen = []
sys.addaudithook(lambda event, arguments: seen.append((event, str(arguments[0]) if arguments else "")))
checkpoint = read_checkpoint(path)
for layer in checkpoint.layers:
    for array in layer.arrays.values():
        array.read()
opened = {name for event, name in seen if event == "open"}
# Pipes of the child are opened by number; Python's own library may load a text encoding.
library = str(Path(os.__file__).parent)
others = {name for name in opened if not name.isdecimal() and not name.startswith(library)}
assert others == {str(path), os.devnull}, others
started = [name for event, name in seen if event == "subprocess.Popen"]
assert started == [sys.executable], started
bad = {"exec", "compile", "import", "marshal.loads", "pickle.find_class", "os.system", "socket.connect"}
found = [(event, name[:80]) for event, name in seen if event in bad]
assert not found, found
assert not {"h5py", "torch", "tensorflow", "keras"} & set(sys.modules)
"""


@pytest.mark.slow
@pytest.mark.parametrize("path", [WHOLE, ARCHIVE], ids=lambda path: path.name)
def test_reading_runs_nothing_opens_nothing_else_and_loads_no_parser_into_this_process(
    path: Path,
) -> None:
    root = Path(__file__).parents[3]

    done = subprocess.run(
        [sys.executable, "-c", AUDIT, str(path)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
