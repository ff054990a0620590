"""HDF5 files made to hurt: links out of the file, sizes that are not there, names and types that nothing has."""

from __future__ import annotations

import os
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
from converters.limits import Limits
from converters.readers import read_checkpoint
from parity_tests.unit.converters.hostile_files import (
    CONTAINER,
    VICTIM,
    external_link,
)


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
