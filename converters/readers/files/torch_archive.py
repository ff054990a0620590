"""What `torch.save` wrote, read as numpy arrays and plain data, without torch and without running anything.

The file is a zip of stored members: a pickle of references (`data.pkl`) and one member of bytes for every storage. A tensor
is a window into a storage: offset, shape, strides. All of them are compared with the bytes that are there.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from converters.errors import UnreadableFileError, UnsafeFileError, UnsupportedError
from converters.limits import Limits
from converters.readers.pickles import PickledObject, Reference, read_pickle

_PICKLE = "data.pkl"
_MAX_AXES = 32  # as numpy itself has
_STORAGES: Mapping[str, str] = MappingProxyType(
    {
        "FloatStorage": "<f4",
        "DoubleStorage": "<f8",
        "HalfStorage": "<f2",
        "LongStorage": "<i8",
        "IntStorage": "<i4",
        "ShortStorage": "<i2",
        "CharStorage": "|i1",
        "ByteStorage": "|u1",
        "BoolStorage": "|b1",
    }
)
"""Class of a storage to the numpy type of its numbers."""
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, IndexError,
           OverflowError, NotImplementedError, RuntimeError)  # fmt: skip


def read_torch_archive(data: bytes | memoryview, *, limits: Limits | None = None) -> object:
    """Return what the archive holds: dictionaries, lists and plain values, with an array for every tensor.

    Args:
        data: the whole zip.
        limits: bounds on it.

    Raises:
        UnreadableFileError: Damaged, or no archive of torch.
        UnsafeFileError: Larger than the limits, or made to mislead.
        UnsupportedError: It holds objects, or numbers of a type that numpy does not have.
    """
    limits = limits or Limits()
    members = _Members(bytes(data), limits)
    found = read_pickle(
        members.read(members.pickle),
        limits=limits,
        constructors={
            "torch._utils._rebuild_tensor_v2": members.tensor,
            "torch._utils._rebuild_parameter": _parameter,
            "torch.Size": tuple,
        },
        persistent=members.storage,
    )
    _check_plain(found.value)
    return found.value


class _Members:
    """The zip: its pickle, and its storages by key."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        self._limits = limits
        self._copied = 0
        self._storages: dict[str, NDArray[np.generic]] = {}
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except _DAMAGE as error:
            msg = f"the archive of torch is damaged ({error})"
            raise UnreadableFileError(msg) from error
        infos = self._zip.infolist()
        names = [info.filename for info in infos]
        if len(names) != len(set(names)) or len(names) > limits.max_names:
            msg = f"the archive of torch has {len(names):,} members, some of one name or too many"
            raise UnsafeFileError(msg)
        if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
            msg = "the archive of torch has compressed members, which torch does not write"
            raise UnsafeFileError(msg)
        self._sizes = {info.filename: info.file_size for info in infos}
        pickles = [name for name in names if name.rpartition("/")[2] == _PICKLE]
        if len(pickles) != 1:
            msg = f"the archive has {len(pickles)} members {_PICKLE}; torch writes one"
            raise UnreadableFileError(msg)
        self.pickle = pickles[0]
        self._folder = self.pickle.removesuffix(_PICKLE)
        order = f"{self._folder}byteorder"
        if order in self._sizes and self.read(order) != b"little":
            msg = "the archive of torch was written on a machine of the other byte order"
            raise UnsupportedError(msg)

    def read(self, name: str) -> bytes:
        if self._sizes[name] > self._limits.max_array_bytes:
            msg = f"member '{name}' of the archive has {self._sizes[name]:,} bytes; too many"
            raise UnsafeFileError(msg, hint="raise the limit with --max-size if you trust the file")
        try:
            return self._zip.read(name)
        except _DAMAGE as error:
            msg = f"member '{name}' of the archive is damaged ({error})"
            raise UnreadableFileError(msg) from error

    def storage(self, identity: object) -> object:
        """Return the numbers of ("storage", class, key, device, count)."""
        if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
            msg = "something outside of the pickle is no storage of torch"
            raise ValueError(msg)
        _, kind, key, _, _ = identity
        name = kind.name if isinstance(kind, Reference) else ""
        if name not in _STORAGES:
            msg = f"numbers of '{name}' are not read; there are {', '.join(_STORAGES)}"
            raise UnsupportedError(msg)
        member = f"{self._folder}data/{key}"
        if not isinstance(key, str) or member not in self._sizes:
            msg = f"storage {key!s:.40} is not in the archive"
            raise ValueError(msg)
        if member not in self._storages:
            raw = self.read(member)
            dtype = np.dtype(_STORAGES[name])
            self._storages[member] = np.frombuffer(raw, dtype, len(raw) // dtype.itemsize)
        return self._storages[member]

    def tensor(
        self, storage: object, offset: object, size: object, stride: object, *_: object
    ) -> NDArray[np.generic]:
        """Return a tensor's window of its storage; a copy where its numbers do not lie in a row."""
        if not isinstance(storage, np.ndarray):
            msg = "a tensor has no storage"
            raise TypeError(msg)
        shape, steps = _numbers(size), _numbers(stride)
        first = _numbers((offset,))[0]
        if len(shape) != len(steps) or len(shape) > _MAX_AXES:
            msg = f"a tensor of shape {shape} has strides {steps}"
            raise ValueError(msg)
        count = math.prod(shape)
        last = first + sum((length - 1) * step for length, step in zip(shape, steps, strict=True))
        # Strides of 0 make a large tensor of one number; agents have none.
        if count and (last >= len(storage) or count > len(storage)):
            msg = (
                f"a tensor of shape {shape} at {first} does not lie in its {len(storage):,} numbers"
            )
            raise ValueError(msg)
        window = storage[first:] if count else storage[:0]
        strides = tuple(step * storage.itemsize for step in steps)
        view = np.lib.stride_tricks.as_strided(window, shape, strides, writeable=False)
        if not view.flags.c_contiguous:
            self._copied += view.nbytes
            if self._copied > self._limits.max_array_bytes:
                msg = f"tensors of the archive overlap to more than {self._copied:,} bytes"
                raise UnsafeFileError(msg)
            view = np.array(view, order="C")
        return view


def _parameter(tensor: object, *_: object) -> object:
    return tensor


def _numbers(values: object) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)) or not all(
        type(value) is int and 0 <= value < 2**48 for value in values
    ):
        msg = "shape, strides or offset of a tensor are no sizes"
        raise ValueError(msg)
    return tuple(values)


def _check_plain(value: object) -> None:
    """Raise UnsupportedError if something in there was not made: only tensors and plain data are taken."""
    waiting, seen = [value], set[int]()
    while waiting:
        found = waiting.pop()
        if id(found) in seen:  # a list may hold itself
            continue
        seen.add(id(found))
        if isinstance(found, (PickledObject, Reference)):
            name = found.path if isinstance(found, PickledObject) else found.name
            msg = f"the archive of torch holds an object of '{name!s:.80}', not only tensors and plain data"
            raise UnsupportedError(msg)
        if isinstance(found, Mapping):
            waiting += found.values()
        elif isinstance(found, (list, tuple)):
            waiting += found
