"""Files made to hurt: each must end in one clear error, or be read as what it is; nothing else may happen.

Everything is made here from the fixtures, the same on every run. `TORCHWARD_FUZZ=5000 pytest -k mutant` runs the
mutations longer, and through the real child process.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from converters.checkpoint import Checkpoint
from converters.errors import (
    ConversionError,
    UnreadableFileError,
    UnsafeFileError,
    UnsupportedError,
)
from converters.limits import Limits
from converters.plan import plan_conversion
from converters.readers import read_checkpoint
from converters.readers.hdf5 import processes, worker

FIXTURES = Path(__file__).parents[2] / "fixtures"
CONTAINER = FIXTURES / "k315_actor_critic" / "model.weights.h5"
WHOLE = FIXTURES / "k231_dqn_cartpole" / "model.h5"
ARCHIVE = FIXTURES / "k315_actor_critic" / "model.keras"
VICTIM = "layers/dense/vars/0"
SEVERAL_FILES = (
    FIXTURES / "tf215_actor_critic" / "ckpt_dir" / "ckpt-4.index",
    FIXTURES / "tf215_actor_critic" / "ckpt_dir" / "ckpt-4.data-00000-of-00001",
    FIXTURES / "tf215_dueling_gap" / "savedmodel" / "keras_metadata.pb",
    FIXTURES / "tf115keras_savedmodels" / "savedmodel" / "saved_model.pb",
)
"""Files of formats of several files; the folder they lie in is read."""
LONG_FUZZ = int(os.environ.get("TORCHWARD_FUZZ", "0"))


class InProcess:
    """The worker's own functions in the place of its process, for many small files."""

    def __init__(self) -> None:
        self.process = self
        self.stdin = self
        self.stdout = io.BytesIO()
        self.returncode = None
        self.owner = os.getpid()

    def write(self, line: bytes) -> None:
        self.line = line

    def flush(self) -> None:
        output = io.BytesIO()
        worker.answer(json.loads(self.line), output)
        self.stdout = io.BytesIO(output.getvalue())

    def poll(self) -> None:
        return None

    def wait(self, timeout: float | None = None) -> None:
        pass

    def close(self) -> None:
        pass

    kill = close


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "take_worker", InProcess)
    monkeypatch.setattr(processes, "_idle", [])


def read_everything(path: Path) -> Checkpoint:
    checkpoint = read_checkpoint(path)
    slots = checkpoint.optimizer.variables if checkpoint.optimizer else ()
    layers = [array for layer in checkpoint.layers for array in layer.arrays.values()]
    for array in [*layers, *slots, *checkpoint.extras]:
        array.read()
    return checkpoint


# --- HDF5 -------------------------------------------------------------------------------------------------------


def external_link(file: h5py.File) -> None:
    del file[VICTIM]
    file[VICTIM] = h5py.ExternalLink("other.h5", "/secret")


def external_link_as_group(file: h5py.File) -> None:
    del file["layers"]
    file["layers"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file: h5py.File) -> None:
    del file[VICTIM]
    file[VICTIM] = h5py.SoftLink("/layers/dense/vars/1")


def hard_link(file: h5py.File) -> None:
    file["layers/dense/vars/2"] = file[VICTIM]


def group_inside_itself(file: h5py.File) -> None:
    file["layers/dense/layers"] = file["layers"]


def external_storage(file: h5py.File) -> None:
    del file[VICTIM]
    file.create_dataset(VICTIM, (4, 3), "f4", external=[("/etc/passwd", 0, 48)])


def virtual_dataset(file: h5py.File) -> None:
    del file[VICTIM]
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "secret", (4, 3))
    file.create_virtual_dataset(VICTIM, layout)


def contiguous_bomb(file: h5py.File) -> None:
    del file[VICTIM]
    file.create_dataset(VICTIM, (1000, 1000, 1000), "f4")  # allocated when first written: never


def chunked_bomb(file: h5py.File) -> None:
    del file[VICTIM]
    file.create_dataset(VICTIM, (1000, 1000, 1000), "f4", chunks=(10, 100, 100), compression="gzip")


def enormous_shape(file: h5py.File) -> None:
    del file[VICTIM]
    file.create_dataset(VICTIM, (2**20, 2**20), "f4", chunks=(64, 64))


def empty_axis_bomb(file: h5py.File) -> None:
    del file[VICTIM]
    file.create_dataset(VICTIM, (0, 2**40, 2**40), "f4", chunks=(1, 64, 64), maxshape=(None,) * 3)


def large_chunk(file: h5py.File) -> None:
    del file[VICTIM]
    file.create_dataset(VICTIM, (1,), "f4", chunks=(2**26,), maxshape=(None,))


def unknown_filter(file: h5py.File) -> None:
    del file[VICTIM]
    file.create_dataset(VICTIM, data=np.zeros((8, 3), "i4"), chunks=(4, 3), scaleoffset=4)


def text_as_weights(file: h5py.File) -> None:
    del file[VICTIM]
    file[VICTIM] = ["a", "b"]


def records_as_weights(file: h5py.File) -> None:
    del file[VICTIM]
    file[VICTIM] = np.zeros(3, [("a", "f4"), ("b", "i4")])


def references_as_weights(file: h5py.File) -> None:
    del file[VICTIM]
    file.create_dataset(VICTIM, data=[file.ref], dtype=h5py.ref_dtype)


def complex_weights(file: h5py.File) -> None:
    del file[VICTIM]
    file[VICTIM] = np.zeros(3, np.complex64)


def named_type(file: h5py.File) -> None:
    file["layers/dense/vars/2"] = np.dtype("f4")


def deep_groups(file: h5py.File) -> None:
    file.create_group("/".join(["a"] * 150))


def long_name(file: h5py.File) -> None:
    file.create_group("a" * 3000)


def name_not_utf8(file: h5py.File) -> None:
    file.create_group(b"\xff\xfe")


def number_as_layer_names(file: h5py.File) -> None:
    file.attrs["layer_names"] = [1.0, 2.0]


HOSTILE_HDF5: list[tuple[Callable[[h5py.File], None], type[ConversionError], str]] = [
    (external_link, UnsafeFileError, f"dataset '{VICTIM}' is an external link (to 'other.h5'); refused."),
    (external_link_as_group, UnsafeFileError, "'layers' is an external link (to '/etc/passwd'); refused."),
    (soft_link, UnsafeFileError, f"dataset '{VICTIM}' is a soft link (to '/layers/dense/vars/1'); refused."),
    (hard_link, UnsafeFileError, "is the same object as"),
    (group_inside_itself, UnsafeFileError, "'layers/dense/layers' is the same object as 'layers'"),
    (external_storage, UnsafeFileError, f"dataset '{VICTIM}' is stored in another file ('/etc/passwd'); refused."),
    (virtual_dataset, UnsafeFileError, f"dataset '{VICTIM}' is a virtual dataset (of 'other.h5'); refused."),
    (contiguous_bomb, UnsafeFileError, "declares 4,000,000,000 bytes, the file stores 0; refused."),
    (chunked_bomb, UnsafeFileError, "declares 10,000 chunks, the file stores fewer; refused."),
    (enormous_shape, UnsafeFileError, "declares 4,398,046,511,104 bytes, at most 8,589,934,592 are read; refused."),
    (empty_axis_bomb, UnsafeFileError, "which no array can have; refused."),
    (large_chunk, UnsafeFileError, "has chunks of 268,435,456 bytes; refused."),
    (unknown_filter, UnsafeFileError, "is packed with filter 6; only deflate, shuffle, fletcher32, lzf are read"),
    (text_as_weights, UnreadableFileError, f"dataset '{VICTIM}' holds "),
    (records_as_weights, UnreadableFileError, f"dataset '{VICTIM}' holds records, not numbers."),
    (references_as_weights, UnreadableFileError, f"dataset '{VICTIM}' holds references, not numbers."),
    (complex_weights, UnreadableFileError, f"dataset '{VICTIM}' "),
    (named_type, UnreadableFileError, "'layers/dense/vars/2' is neither a group nor a dataset."),
    (deep_groups, UnsafeFileError, "nested deeper than 100 levels; refused."),
    (long_name, UnsafeFileError, "names are too long"),
    (name_not_utf8, UnreadableFileError, "a name is not UTF-8 text"),
    (number_as_layer_names, UnreadableFileError, "attribute 'layer_names' of '/' does not hold text."),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "error", "message"),
    HOSTILE_HDF5,
    ids=[change.__name__ for change, _, _ in HOSTILE_HDF5],
)
@pytest.mark.usefixtures("in_process")
def test_hostile_hdf5_is_refused(
    tmp_path: Path, change: Callable[[h5py.File], None], error: type[ConversionError], message: str
) -> None:
    path = tmp_path / "unsafe.h5"
    path.write_bytes(CONTAINER.read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)

    with pytest.raises(error) as caught:
        read_checkpoint(path)

    assert str(caught.value).startswith("unsafe.h5: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_link_is_refused_by_the_real_worker_and_its_target_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "unsafe.h5"
    path.write_bytes(CONTAINER.read_bytes())
    target = tmp_path / "other.h5"
    os.mkfifo(target)  # whoever opens it, hangs
    with h5py.File(path, "r+") as file:
        external_link(file)

    with pytest.raises(UnsafeFileError) as caught:
        read_checkpoint(path)

    expected = (
        "unsafe.h5: dataset 'layers/dense/vars/0' is an external link (to 'other.h5'); refused."
    )
    assert str(caught.value) == expected


@pytest.mark.usefixtures("in_process")
def test_compressed_zeros_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.h5"
    path.write_bytes(CONTAINER.read_bytes())
    with h5py.File(path, "r+") as file:
        for number in range(10, 14):
            zeros = np.zeros((512, 512), np.float32)
            file.create_dataset(f"layers/dense/vars/{number}", data=zeros, compression="gzip")

    with pytest.raises(UnsafeFileError, match=r"decode to over 3,000,000 bytes"):
        read_checkpoint(path, limits=Limits(max_array_bytes=3_000_000))


@pytest.mark.usefixtures("in_process")
def test_too_many_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFileError, match="over 20 names"):
        read_checkpoint(CONTAINER, limits=Limits(max_names=20))


# --- Archives ---------------------------------------------------------------------------------------------------


def members() -> dict[str, bytes]:
    with zipfile.ZipFile(ARCHIVE) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_zip(path: Path, content: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def patch_directory(path: Path, name: str, position: int, form: str, value: int) -> None:
    """Overwrite a field of a member's entry in the central directory."""
    data = bytearray(path.read_bytes())
    entry = data.rindex(name.encode()) - 46
    assert data[entry : entry + 4] == b"PK\x01\x02"
    struct.pack_into(form, data, entry + position, value)
    path.write_bytes(data)


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"]
)
def test_rewritten_archive_reads_the_same(tmp_path: Path, method: int) -> None:
    path = tmp_path / "m.keras"
    write_zip(path, members(), method)

    read, original = read_everything(path), read_everything(ARCHIVE)

    assert [layer.path for layer in read.layers] == [layer.path for layer in original.layers]
    for layer, other in zip(read.layers, original.layers, strict=True):
        for role, array in layer.arrays.items():
            assert np.array_equal(array.read(), other.arrays[role].read())


@pytest.mark.parametrize(
    ("extra", "error", "message"),
    [
        (
            "../../evil.py",
            UnsafeFileError,
            "member '../../evil.py' does not belong into a model archive",
        ),
        ("/etc/cron.d/x", UnsafeFileError, "member '/etc/cron.d/x' does not belong"),
        ("evil\x1b[2Jname", UnsafeFileError, r"member 'evil\x1b[2Jname' does not belong"),
        ("assets/vocabulary.txt", UnsupportedError, "no vocabulary of a lookup layer"),
        ("assets/layers/../../x/vocabulary.txt", UnsupportedError, "no vocabulary of a lookup"),
        ("assets/layers/integer_lookup/vocabulary.txt", UnreadableFileError, "belongs to no layer"),
        ("model.weights.json", UnsupportedError, "several shards"),
    ],
)
def test_unexpected_member_is_refused(
    tmp_path: Path, extra: str, error: type[ConversionError], message: str
) -> None:
    path = tmp_path / "m.keras"
    write_zip(path, {**members(), extra: b"x"})

    with pytest.raises(error) as caught:
        read_checkpoint(path)

    assert message in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.keras"]


@pytest.mark.parametrize("name", ["metadata.json", "model.weights.h5"])
def test_missing_member_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / "m.keras"
    write_zip(path, {key: data for key, data in members().items() if key != name})

    with pytest.raises(UnreadableFileError, match=f"has no member '{name}'"):
        read_checkpoint(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicate_member_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in [*members().items(), ("config.json", b"{}")]:
            archive.writestr(name, data)

    with pytest.raises(UnsafeFileError, match=r"member 'config.json' is there twice"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("position", "form", "value", "error", "message"),
    [
        (8, "<H", 1, UnsafeFileError, "is encrypted"),
        (10, "<H", 14, UnsafeFileError, "is packed with method 14"),
        (38, "<I", 0o120777 << 16, UnsafeFileError, "is a symbolic link"),
        (24, "<I", 2**31, UnsafeFileError, "declares 2,147,483,648 bytes"),
        (16, "<I", 12345, UnreadableFileError, r"is damaged \(Bad CRC-32"),
        # From Python 3.12.2 on, zipfile sees at once that the member would lie inside another.
        (42, "<I", 7, UnreadableFileError, "(has no header where the directory says|Overlapped)"),
    ],
    ids=["encrypted", "method", "symbolic link", "size", "checksum", "offset"],
)
def test_tampered_directory_is_refused(  # one field of model.weights.h5, as listed in APPNOTE 4.3.12
    tmp_path: Path, position: int, form: str, value: int, error: type[ConversionError], message: str
) -> None:
    path = tmp_path / "m.keras"
    write_zip(path, members())
    patch_directory(path, "model.weights.h5", position, form, value)

    with pytest.raises(error, match=message):
        read_checkpoint(path)


def test_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    write_zip(path, {**members(), "model.weights.h5": bytes(50_000_000)}, zipfile.ZIP_DEFLATED)

    with pytest.raises(UnsafeFileError, match="has 50,000,000 bytes, at most 1,000,000 are read"):
        read_checkpoint(path, limits=Limits(max_array_bytes=1_000_000))


def test_link_inside_an_archive_is_refused(tmp_path: Path) -> None:
    content = members()
    weights = io.BytesIO(content["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        external_link(file)
    path = tmp_path / "m.keras"
    write_zip(path, {**content, "model.weights.h5": weights.getvalue()})

    with pytest.raises(
        UnsafeFileError, match=r"m.keras: model.weights.h5: dataset .* external link"
    ):
        read_checkpoint(path)


# --- Configuration text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ('{"class_name": ' + "[" * 300 + "]" * 300 + "}", UnsafeFileError, "nested 301 deep"),
        (
            '{"class_name": "Sequential", "config": NaN}',
            UnreadableFileError,
            "NaN is not a JSON number",
        ),
        ('{"class_name": 1, "class_name": 2}', UnreadableFileError, "'class_name' stands twice"),
        ('{"class_name": "\\ud800", "config": {}}', UnreadableFileError, "not readable JSON"),
        ('{"class_name": "Sequential", "config": ', UnreadableFileError, "not readable JSON"),
        ('"' + '\\"' * 200_000, UnreadableFileError, "not readable JSON"),
        ("[]", UnreadableFileError, "is a JSON list"),
        ("{}", UnreadableFileError, "has no 'class_name' and 'config'"),
        ('{"class_name": 7, "config": 8}', UnreadableFileError, "'class_name' is a JSON int"),
    ],
    ids=[
        "deep",
        "nan",
        "equal keys",
        "half character",
        "cut",
        "quotes",
        "list",
        "empty",
        "numbers",
    ],
)
def test_hostile_configuration_is_refused(
    tmp_path: Path, text: str, error: type[ConversionError], message: str
) -> None:
    path = tmp_path / "m.keras"
    write_zip(path, {**members(), "config.json": text.encode()})

    with pytest.raises(error) as caught:
        read_checkpoint(path)

    assert str(caught.value).startswith("m.keras: ")
    assert message in str(caught.value)


def test_lambda_that_is_never_called_is_named_and_its_code_is_not_kept(tmp_path: Path) -> None:
    config = json.loads(members()["config.json"])
    code = {
        "class_name": "__lambda__",
        "config": {"code": "4wEAAAAAAAAA", "defaults": None, "closure": None},
    }
    lambda_layer = {"module": "keras.layers", "class_name": "Lambda",
                    "config": {"name": "trap", "function": code}, "name": "trap", "inbound_nodes": []}  # fmt: skip
    config["config"]["layers"].append(lambda_layer)
    path = tmp_path / "m.keras"
    write_zip(path, {**members(), "config.json": json.dumps(config).encode()})

    checkpoint = read_checkpoint(path)

    assert checkpoint.graph is not None
    assert checkpoint.graph.layer("trap").config == {"name": "trap"}
    with pytest.raises(UnsupportedError, match=r"'trap'.*Lambda"):
        plan_conversion(checkpoint)


# --- Not a model file at all ------------------------------------------------------------------------------------

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


def test_architecture_that_is_no_json_is_refused() -> None:
    with pytest.raises(UnreadableFileError, match=r"model.h5: is not a model configuration"):
        read_checkpoint(CONTAINER, architecture=WHOLE)


# --- Damage -----------------------------------------------------------------------------------------------------


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


@pytest.mark.slow
@pytest.mark.skipif(not LONG_FUZZ, reason="set TORCHWARD_FUZZ to the number of mutants")
@pytest.mark.parametrize(
    "original", [WHOLE, CONTAINER, ARCHIVE, *SEVERAL_FILES], ids=lambda path: path.name
)
def test_many_mutants_are_read_or_refused_by_the_real_worker(
    tmp_path: Path, original: Path
) -> None:
    if original in SEVERAL_FILES:
        shutil.copytree(original.parent, tmp_path, dirs_exist_ok=True)
    for seed in range(1000, 1000 + LONG_FUZZ):
        read_mutant(original, seed, tmp_path)


# --- What reading does not do -----------------------------------------------------------------------------------

AUDIT = """
import os
import sys
from pathlib import Path
from converters.configuration import models
from converters.readers import read_checkpoint, readers
from converters.readers.files import foreign, places  # which read_checkpoint imports when it is called first
readers()
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
