"""`.npz` files of weights: of `model.get_weights()`, or of a program's own variables by name.

numpy.savez("w.npz", *model.get_weights())      arr_0, arr_1, ...: in the order of the configuration's layers
numpy.savez("w.npz", w1=..., b1=..., w2=...)    matrices, each with the vector behind it that is added to what it gives
"""

from __future__ import annotations

import math
import re
import struct
from functools import partial

import numpy as np
from numpy.typing import NDArray

from converters.checkpoint import ArrayInfo, Checkpoint, LayerArrays
from converters.errors import UnreadableFileError, UnsafeFileError, UnsupportedError
from converters.limits import Limits
from converters.readers.files.archive import Archive, is_archive
from converters.readers.files.keras_settings import Architecture, provenance
from converters.readers.files.natural_order import natural_key
from converters.readers.files.source import Source, quote

_NUMBERED = re.compile(r"arr_\d+\.npy")
_HEADER_BYTES = 10_000  # of a .npy header, as numpy itself allows
_MAGIC = b"\x93NUMPY"
_HEADER = re.compile(
    rb"\{'descr': '(?P<descr>[<>|=]?[a-zA-Z?]\d{0,6})', 'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>(?:\d{1,15}, ?){0,32}(?:\d{1,15})?)\),? ?\}\s*"
)


class NumpyArchive:
    """Reader of `.npz` files whose arrays are numbered, or those of dense layers."""

    def recognizes(self, source: Source, limits: Limits) -> bool:
        """Tell whether the file is a zip of .npy members only."""
        if not is_archive(source):
            return False
        names = Archive(source).names
        return bool(names) and all(name.endswith(".npy") for name in names)

    def read(self, source: Source, architecture: Architecture | None, limits: Limits) -> Checkpoint:
        """Return the arrays as one list in the order of their numbers, or named ones as dense layers.

        Raises:
            UnsupportedError: Named arrays that are others, or with a configuration, whose order they do not tell.
        """
        archive = Archive(source)
        named = [name for name in archive.names if not _NUMBERED.fullmatch(name)]
        layers = [] if architecture else _dense_layers(archive, limits) if named else []
        if named and not layers:
            message = f"{source.name}: holds named arrays ({quote(named[0])}), not those of get_weights()."
            raise UnsupportedError(message, hint="numpy.savez('weights.npz', *model.get_weights())")
        arrays = {
            str(index): read_member(archive, name, limits)
            for index, name in enumerate([] if named else sorted(archive.names, key=natural_key))
        }
        generation = architecture.generation if architecture else 2
        return Checkpoint(
            layers=layers or [LayerArrays("", None, arrays)],
            graph=architecture.graph(limits) if architecture else None,
            optimizer=None,
            training=None,
            extras=[],
            provenance=provenance(
                source,
                "numpy-archive",
                version=None,
                generation=generation,
                architecture=architecture,
            ),
        )


READER = NumpyArchive()


def _dense_layers(archive: Archive, limits: Limits) -> list[LayerArrays]:
    """Return every matrix with the vector behind it as a layer; empty if there is anything else."""
    layers: list[LayerArrays] = []
    for name in archive.names:
        array = read_member(archive, name, limits)
        kernel = layers[-1].arrays["kernel"] if layers else None
        free = kernel is not None and "bias" not in layers[-1].arrays
        if (
            kernel is not None
            and free
            and array.shape in (kernel.shape[1:], (1, *kernel.shape[1:]))
        ):
            arrays = {"kernel": kernel, "bias": _as_vector(array)}
            layers[-1] = LayerArrays(layers[-1].path, None, arrays)
        elif len(array.shape) == 2:
            layers.append(LayerArrays(_layer_name(array.name), None, {"kernel": array}))
        else:
            return []
    return layers


def _layer_name(name: str) -> str:
    """Return a name without the marks that stand for a slash, which no member of an archive may have."""
    return re.sub(r"[^0-9A-Za-z_/]+", "_", name)


def _as_vector(array: ArrayInfo) -> ArrayInfo:
    """Return a bias of shape (1, n) as (n,)."""
    return ArrayInfo(array.name, array.shape[-1:], array.dtype, partial(_flat, array))


def _flat(array: ArrayInfo) -> NDArray[np.generic]:
    return np.asarray(array.read()).reshape(-1)


def read_member(archive: Archive, name: str, limits: Limits) -> ArrayInfo:
    """Return the array of one .npy member.

    Raises:
        UnreadableFileError: It is none, or damaged.
        UnsafeFileError: It holds objects, or is larger than the limits.
    """
    data = archive.read(name, limits.max_array_bytes)
    where = f"{archive.file_name}: member {quote(name)}"
    try:
        shape, fortran, dtype, start = _header(data)
    except (ValueError, TypeError, struct.error) as error:
        message = f"{where} is no .npy array ({error})."
        raise UnreadableFileError(message) from error
    if dtype.hasobject or dtype.kind not in "biufc":
        message = f"{where} is of type {dtype}; only numbers are read."
        raise UnsafeFileError(message)
    if math.prod(shape) * dtype.itemsize != len(data) - start:
        message = f"{where} has {len(data) - start:,} bytes, which is not shape {shape} of {dtype}."
        raise UnreadableFileError(message)
    return ArrayInfo(
        name.removesuffix(".npy"),
        tuple(shape),
        dtype.newbyteorder("="),
        partial(_values, data, start, tuple(shape), dtype, "F" if fortran else "C"),
    )


def _header(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype[np.generic], int]:
    """Return shape, Fortran order, type, and where the values start; numpy itself would parse the text as Python.

    Raises:
        ValueError: The header is another one than `numpy.save` writes for arrays of numbers.
    """
    major = data[6] if data.startswith(_MAGIC) and len(data) > 8 else 0
    form = {1: "<H", 2: "<I"}.get(major)
    if form is None:
        msg = "no header of version 1 or 2"
        raise ValueError(msg)
    start = 8 + struct.calcsize(form)
    (length,) = struct.unpack(form, data[8:start])
    match = _HEADER.fullmatch(data[start : start + min(length, _HEADER_BYTES)])
    if match is None or length > _HEADER_BYTES:
        msg = "its header is not that of an array of numbers"
        raise ValueError(msg)
    shape = tuple(int(size) for size in match["shape"].split(b",") if size.strip())
    dtype = np.dtype(match["descr"].decode("ascii"))
    return shape, match["fortran"] == b"True", dtype, start + length


def _values(
    data: bytes, start: int, shape: tuple[int, ...], dtype: np.dtype[np.generic], order: str
) -> NDArray[np.generic]:
    values = np.frombuffer(data, dtype, offset=start)
    return values.astype(dtype.newbyteorder("="), copy=False).reshape(
        shape, order="F" if order == "F" else "C"
    )
