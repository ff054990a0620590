from __future__ import annotations

import io
import pickle  # noqa: TID251  only written here
import zipfile
from pathlib import Path

import numpy as np
import pytest

from converters.errors import UnreadableFileError, UnsupportedError
from converters.limits import Limits
from converters.readers import read_checkpoint
from converters.readers.files.inner import archive_of
from converters.readers.tensorflow.packed_bundle import read_packed_bundle
from parity_tests import FIXTURES

CHECKPOINT = FIXTURES / "sb_ppo2_pendulum_vecnorm" / "tf1ckpt"
INDEX, DATA = "model-512.index", "model-512.data-00000-of-00001"


def packed(names: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return data.getvalue()


def members() -> dict[str, bytes]:
    return {name: (CHECKPOINT / name).read_bytes() for name in (INDEX, DATA)}


def test_tensors_are_those_of_the_files() -> None:
    files = read_checkpoint(CHECKPOINT / INDEX, limits=Limits())
    known = {array.name: array for entry in files.layers for array in entry.arrays.values()}

    bundle = read_packed_bundle(archive_of(packed(members()), "inside"), Limits())

    assert bundle is not None
    assert known
    for name, array in known.items():
        np.testing.assert_array_equal(bundle.arrays[name].read(), array.read())


def test_a_changed_number_is_noticed() -> None:
    changed = bytearray(members()[DATA])
    changed[5] ^= 1
    archive = archive_of(packed({**members(), DATA: bytes(changed)}), "inside")

    bundle = read_packed_bundle(archive, Limits())

    assert bundle is not None
    with pytest.raises(UnreadableFileError, match="does not have its checksum"):
        [array.read() for array in bundle.arrays.values()]


def test_missing_data_is_named(tmp_path: Path) -> None:
    path = tmp_path / "act.pkl"
    path.write_bytes(pickle.dumps((packed({INDEX: members()[INDEX]}), {"num_actions": 2})))

    with pytest.raises(UnreadableFileError, match=f"lacks '{DATA}'"):
        read_checkpoint(path, limits=Limits())


def test_an_archive_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "act.pkl"
    path.write_bytes(pickle.dumps((packed({"other": b""}), {"num_actions": 2})))

    with pytest.raises(UnsupportedError, match="neither 'model' nor a checkpoint"):
        read_checkpoint(path, limits=Limits())
