"""The files of a Minari data set, read with h5py alone and believed nothing.

A data set is a folder with `data/main_data.hdf5`, one group an episode, and `data/metadata.json`. Both come from other
people: links are not followed, no other file is opened because of them, and what an array claims to hold is compared with the
size of the file before anything is allocated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import h5py

MAIN_FILE = "data/main_data.hdf5"
METADATA_FILE = "data/metadata.json"
MAX_METADATA_BYTES = 16 * 1024**2
"""A description of spaces and an environment has a few KB; bounds of huge boxes are listed number by number."""
MAX_DATASET_BYTES = 16 * 1024**3
"""Of all arrays together, once decompressed: more than this does not fit into the memory it is meant for."""
_LARGEST_COMPRESSION = 1_100
"""gzip cannot make more than 1,032 bytes of one."""
_SMALL_ARRAY_BYTES = 1024**2
"""Below this, an array may claim anything: empty chunks are legal and cost nothing."""
_ROWS = ("rewards", "terminations", "truncations")


class DatasetError(ValueError):
    """A data set that is missing, damaged, of another form, or that cannot be written."""


class MissingDatasetError(DatasetError):
    """There is no such data set, or its file is none that can be read."""


class DatasetExistsError(DatasetError):
    """A data set of that id is there already."""


class MissingPackageError(ImportError):
    """A package that only data sets need is not installed; the message says what to type."""


def read_metadata(folder: Path) -> dict[str, Any]:  # Any: what the file holds
    """Return what metadata.json says.

    Raises:
        DatasetError: It is missing, too large or not a JSON object.
    """
    path = folder / METADATA_FILE
    try:
        if path.stat().st_size > MAX_METADATA_BYTES:
            msg = (
                f"{path}: {path.stat().st_size:,} bytes, more than {MAX_METADATA_BYTES:,}; not read"
            )
            raise DatasetError(msg)
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, DatasetError):
            raise
        msg = f"{path}: cannot be read as JSON: {error}"
        raise DatasetError(msg) from error
    if not isinstance(content, dict):
        msg = f"{path}: holds a {type(content).__name__}; needed an object with the keys of Minari"
        raise DatasetError(msg)
    return content


def read_arrays(
    folder: Path, *, first: int = 0, limit: int | None = None
) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Yield the arrays of one episode after another: observations, actions, rewards, terminations, truncations.

    Args:
        folder: of the data set.
        first: episodes to skip.
        limit: episodes to read; None: all.

    Raises:
        DatasetError: The file is damaged or unsafe, or an episode lacks something.
        MissingPackageError: h5py is not installed.
    """
    path = folder / MAIN_FILE
    with open_hdf5(path) as (file, check):
        names = sorted(
            (name for name in file if name.removeprefix("episode_").isdecimal()),
            key=lambda name: int(name.removeprefix("episode_")),
        )
        last = None if limit is None else first + limit
        for name in names[first:last]:
            try:
                yield _read_episode(file, name, check)
            except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
                msg = f"{path}: '{name}': {error}"
                raise DatasetError(msg) from error


@contextmanager
def open_hdf5(path: Path) -> Iterator[tuple[h5py.File, Sizes]]:
    """Open an HDF5 file for reading, with what counts the bytes read from it. Raises DatasetError."""
    h5py = _import_h5py()
    try:
        size = path.stat().st_size
        file = h5py.File(path, "r", locking=False)
    except (OSError, RuntimeError) as error:
        msg = f"{path}: cannot be opened as HDF5: {error}"
        raise DatasetError(msg) from error
    with file:
        yield file, Sizes(size)


class Sizes:
    """Counts what is read and refuses what a file of this size cannot hold.

    Args:
        file_bytes: size of the file.
    """

    def __init__(self, file_bytes: int) -> None:
        self._possible = _SMALL_ARRAY_BYTES + file_bytes * _LARGEST_COMPRESSION
        self._read = 0

    def admit(self, dataset: h5py.Dataset) -> None:
        """Raise ValueError if the array is too large to be true or to be read."""
        size = int(np.prod(dataset.shape, dtype=object)) * dataset.dtype.itemsize
        self._read += size
        if size > self._possible or self._read > MAX_DATASET_BYTES:
            msg = f"'{dataset.name}' claims {dataset.shape} of {dataset.dtype}, {size:,} bytes; not read"
            raise ValueError(msg)


def _read_episode(file: h5py.File, name: str, sizes: Sizes) -> dict[str, NDArray[Any]]:
    group = follow(file, name)
    arrays = {key: read_numbers(group, key, sizes) for key in ("observations", "actions", *_ROWS)}
    steps = len(arrays["rewards"])
    lengths = {key: array.shape[:1] for key, array in arrays.items()}
    needed = {key: (steps + (key == "observations"),) for key in arrays}
    if lengths != needed or any(arrays[key].ndim != 1 for key in _ROWS):
        found = ", ".join(f"{key} {array.shape}" for key, array in arrays.items())
        msg = f"found {found}; needed as many rows as rewards everywhere, one more of observations"
        raise ValueError(msg)
    return arrays


def follow(group: h5py.Group, name: str) -> Any:  # noqa: ANN401  what stands there
    """Return what a name stands for; links to other places and files are refused."""
    h5py = _import_h5py()
    link = group.get(name, getlink=True)
    if link is None:
        msg = f"has no '{name}'"
        raise ValueError(msg)
    if not isinstance(link, h5py.HardLink):
        msg = f"'{name}' is a link to somewhere else, which is not followed"
        raise TypeError(msg)
    return group[name]


def read_numbers(group: h5py.Group, name: str, sizes: Sizes) -> NDArray[Any]:
    """Return an array of numbers.

    Raises:
        ValueError, TypeError: It is not there, is something else, or lies in another file.
    """
    h5py = _import_h5py()
    found = follow(group, name)
    if isinstance(found, h5py.Group):
        msg = (
            f"'{name}' is a group: a Dict or Tuple space. Record through "
            "gymnasium.wrappers.FlattenObservation, which makes one array of it"
        )
        raise TypeError(msg)
    if found.external or found.is_virtual:
        msg = f"'{name}' lies in another file, which is not opened"
        raise ValueError(msg)
    if found.dtype.kind not in "biuf":
        msg = (
            f"'{name}' holds {found.dtype}, not numbers (JPEG images are stored so); "
            "minari.load_dataset decodes it, and write_dataset stores its episodes as they are"
        )
        raise TypeError(msg)
    sizes.admit(found)
    array: NDArray[Any] = found[()]
    return array


def _import_h5py() -> Any:  # noqa: ANN401  the module
    try:
        import h5py
    except ModuleNotFoundError as error:
        msg = "data sets need the package h5py; install it with: pip install 'torchward[offline]'"
        raise MissingPackageError(msg) from error
    return h5py
