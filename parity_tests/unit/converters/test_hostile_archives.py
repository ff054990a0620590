"""Archives made to hurt: foreign members, tampered directories, and configurations that no parser should swallow."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from converters.errors import (
    ConversionError,
    UnreadableFileError,
    UnsafeFileError,
    UnsupportedError,
)
from converters.limits import Limits
from converters.plan import plan_conversion
from converters.readers import read_checkpoint
from parity_tests.unit.converters.hostile_files import (
    ARCHIVE,
    external_link,
    members,
    read_everything,
    write_zip,
)


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


def test_members_that_lie_over_each_other_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    write_zip(path, members(), zipfile.ZIP_STORED)
    size = path.stat().st_size
    for name in ("metadata.json", "config.json"):
        patch_directory(path, name, 20, "<I", size)
        patch_directory(path, name, 24, "<I", size)

    with pytest.raises(UnsafeFileError, match="its members lie over each other"):
        read_checkpoint(path)
