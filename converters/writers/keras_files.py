"""Keras's own files, written from a tree of groups, attributes and arrays: .h5, .weights.h5 and .keras.

The same tree gives the same bytes: HDF5 without times, archives with one fixed date. h5py is imported when something is
written, as in the readers' child process; here it sees nothing but our own content.

Source of the formats: keras 3.15.1, legacy/saving/legacy_h5_format.py and saving/saving_lib.py; files of Keras 1 to 3.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import numpy as np

from converters.checkpoint import ArrayInfo
from converters.errors import OutputError, UnsupportedError
from converters.writers.output_file import OutputFile

if TYPE_CHECKING:
    import h5py

MAX_ATTRIBUTE_BYTES = 64512
"""HDF5 keeps attributes in headers of 64 KiB; Keras splits longer lists of names into `name0`, `name1`, ..."""
WEIGHTS_MEMBER = "model.weights.h5"


@dataclass(frozen=True, slots=True)
class KerasTree:
    """What a Keras file holds, by path without a leading slash; the root is "".

    Attributes:
        groups: all group paths but the root; groups above others need not be named.
        attributes: group path to attribute name to text or list of texts.
        arrays: dataset path to array, in the order of writing.
        members: texts beside the arrays: of an archive.
    """

    groups: tuple[str, ...]
    attributes: Mapping[str, Mapping[str, str | list[str]]]
    arrays: Mapping[str, ArrayInfo]
    members: Mapping[str, str]


def write_keras_file(file: OutputFile, tree: KerasTree, *, archive: bool) -> None:
    """Write the tree as one HDF5 file, or as an archive of it and the members.

    Raises:
        OutputError: The disk refused.
        UnsupportedError: A name or text that HDF5 cannot hold.
    """
    with _temporary(file.target.parent) as hdf5:
        _write_hdf5(hdf5, tree, file.target)
        size = hdf5.seek(0, 2)
        hdf5.seek(0)
        if not archive:
            _copy(hdf5, file)
            return
        with zipfile.ZipFile(cast("IO[bytes]", file), "w", zipfile.ZIP_STORED) as target:
            for name, text in tree.members.items():
                target.writestr(zipfile.ZipInfo(name), text.encode())  # its date is 1980-01-01
            info = zipfile.ZipInfo(WEIGHTS_MEMBER)
            info.file_size = size
            with target.open(info, "w") as member:
                _copy(hdf5, member)


def _temporary(folder: Path) -> IO[bytes]:
    """Return a file without a name on the disk of the output: HDF5 is not written front to back."""
    try:
        return cast("IO[bytes]", tempfile.TemporaryFile(dir=folder))
    except OSError as error:
        msg = f"{folder}: cannot be written: {error.strerror or error}"
        raise OutputError(msg) from error


def _copy(source: IO[bytes], target: OutputFile | IO[bytes]) -> None:
    shutil.copyfileobj(source, cast("IO[bytes]", target), 1024**2)


def _write_hdf5(file: IO[bytes], tree: KerasTree, target: Path) -> None:
    import h5py

    try:
        # "earliest" is what every Keras and every HDF5 library reads.
        with h5py.File(file, "w", libver=("earliest", "v110"), track_order=False) as handle:
            for group in tree.groups:
                if group:
                    handle.require_group(group)
            for group, found in tree.attributes.items():
                for name, value in found.items():
                    _write_attribute(handle.require_group(group or "/"), name, value)
            for path, info in tree.arrays.items():
                handle.create_dataset(
                    path, shape=info.shape, dtype=info.dtype, data=info.read(), track_times=False
                )
    except OSError as error:
        msg = f"{target}: cannot be written: {error.strerror or error}"
        raise OutputError(msg) from error
    except (ValueError, TypeError, RuntimeError, KeyError) as error:
        msg = f"{target}: the names do not make an HDF5 file: {error}"
        raise UnsupportedError(msg) from error


def _write_attribute(group: h5py.Group, name: str, value: str | list[str]) -> None:
    if isinstance(value, str):
        # Bytes, not text: Keras below 2.4 decodes what it reads.
        group.attrs[name] = value.encode()
        return
    if not value:
        group.attrs[name] = np.zeros(0)  # as Keras leaves an empty list
        return
    names = np.array([entry.encode() for entry in value])
    parts = 1
    while any(part.nbytes > MAX_ATTRIBUTE_BYTES for part in np.array_split(names, parts)):
        if parts >= len(names):
            msg = f"attribute '{name}' has a text that is longer than {MAX_ATTRIBUTE_BYTES:,} bytes"
            raise ValueError(msg)
        parts += 1
    if parts == 1:
        group.attrs[name] = names
        return
    for index, part in enumerate(np.array_split(names, parts)):
        group.attrs[f"{name}{index}"] = part
