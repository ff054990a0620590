"""Files of `torch.save`, written without torch: a stored zip of one pickle and one record per tensor.

Only data is pickled: dicts, lists, strings, numbers and `torch._utils._rebuild_tensor_v2`, which is all that
`torch.load(weights_only=True)` accepts. Records start at multiples of 64 bytes, so that `torch.load(mmap=True)` works.
Every byte is final when it is written (sizes and checksums of a record follow it). Dates are fixed and names do not depend on the path: the same content gives the same bytes.

Source of the format: torch 2.13.0, serialization.py (`_save`) and caffe2/serialize/inline_container.cc.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, cast

from converters.errors import UnsupportedError
from converters.writers.content import Content, OutputTensor, contiguous_strides
from converters.writers.output_file import OutputFile
from converters.writers.registry import writer

_STORAGES = {
    "float16": "HalfStorage",
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "int16": "ShortStorage",
    "int32": "IntStorage",
    "int64": "LongStorage",
    "bool": "BoolStorage",
    "bfloat16": "BFloat16Storage",
    "complex64": "ComplexFloatStorage",
    "complex128": "ComplexDoubleStorage",
}
_ALIGNMENT = 64
_ZIP64_FROM = 2**31 - 1
_MAX_INT32 = 2**31
_MAX_LONG_BYTES = 255  # what opcode LONG1 holds; torch.load(weights_only=True) knows no longer one


@writer("pth", suffix=".pth")
def write_pth(file: OutputFile, content: Content) -> None:
    """Write the .pth contract (`torch_impl/checkpoints.py`).

    Raises:
        UnsupportedError: A dtype that torch does not have.
    """
    optimizer = content.optimizer
    optimizer_state = None
    tensors = list(content.tensors)
    if optimizer is not None:
        # Like torch: a parameter without state tensors (plain SGD) has no entry.
        state = {index: slots for index, slots in enumerate(optimizer.state) if slots}
        optimizer_state = {"state": state, "param_groups": optimizer.param_groups}
        tensors += [tensor for slots in optimizer.state for tensor in slots.values()]
    # An agent's networks are there twice, alone and all in one: stored once.
    known = {tensor.name for tensor in tensors}
    tensors += [tensor for tensor in _tensors_in(content.extras) if tensor.name not in known]
    pickle = _Pickle(tensors)
    with zipfile.ZipFile(cast("IO[bytes]", file), "w", zipfile.ZIP_STORED) as archive:
        _add(archive, file, "archive/byteorder", [b"little"], 6)
        for key, tensor in enumerate(tensors):
            pieces = tensor.chunks() if tensor.strides is None else tensor.stored_chunks()
            _add(
                archive,
                file,
                f"archive/data/{key}",
                (piece.data for piece in pieces),
                tensor.nbytes,
            )
        root = {
            "format": "torchward",
            "format_version": 1,
            "model_state_dict": {tensor.name: tensor for tensor in content.tensors},
            "optimizer_state_dict": optimizer_state,
            "architecture": content.architecture,
            "metadata": content.metadata(),
            **content.extras,
        }
        data = pickle.dump(root)
        _add(archive, file, "archive/data.pkl", [data], len(data))
        _add(archive, file, "archive/version", [b"3\n"], 2)


def _tensors_in(value: object) -> list[OutputTensor]:
    """Return the tensors in nested mappings, in their order."""
    if isinstance(value, OutputTensor):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else ()
    return [tensor for each in inner for tensor in _tensors_in(each)]


def _add(
    archive: zipfile.ZipFile,
    file: OutputFile,
    name: str,
    pieces: Iterable[bytes | memoryview],
    size: int,
) -> None:
    info = zipfile.ZipInfo(name)  # its date is 1980-01-01
    info.file_size = size
    large = size > _ZIP64_FROM
    # zipfile puts 20 bytes of zip64 sizes into the header of a large record, before our padding.
    start = file.tell() + 30 + len(name) + 4 + (20 if large else 0)
    padding = -start % _ALIGNMENT
    info.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding  # the field torch pads with
    with archive.open(info, "w", force_zip64=large) as record:
        for piece in pieces:
            record.write(piece)


class _Pickle:
    """Emits the few opcodes (protocol 2) that plain data and tensors need.

    Args:
        tensors: every tensor that may occur, in the order of their records.
    """

    def __init__(self, tensors: Sequence[OutputTensor]) -> None:
        for tensor in tensors:
            if tensor.dtype.name not in _STORAGES:
                name = tensor.move.source.name
                msg = f"array '{name}' is of type {tensor.dtype}, which torch does not have"
                raise UnsupportedError(msg)
        self._records = {tensor.name: str(key) for key, tensor in enumerate(tensors)}
        self._out: list[bytes] = []

    def dump(self, value: object) -> bytes:
        self._out = [b"\x80\x02"]
        self._value(value)
        return b"".join([*self._out, b"."])

    def _value(self, value: object) -> None:  # noqa: C901  # one branch per type, nothing else
        out = self._out
        if value is None:
            out.append(b"N")
        elif value is True or value is False:
            out.append(b"\x88" if value else b"\x89")
        elif isinstance(value, int):
            out.append(self._integer(value))
        elif isinstance(value, float):
            out.append(b"G" + struct.pack(">d", value))
        elif isinstance(value, str):
            encoded = value.encode("utf-8", "surrogatepass")
            out.append(b"X" + struct.pack("<I", len(encoded)) + encoded)
        elif isinstance(value, OutputTensor):
            self._tensor(value)
        elif isinstance(value, tuple):
            out.append(b"(")
            for item in value:
                self._value(item)
            out.append(b"t")
        elif isinstance(value, list):
            out.append(b"](")
            for item in value:
                self._value(item)
            out.append(b"e")
        elif isinstance(value, Mapping):
            out.append(b"}(")
            for key, item in value.items():
                self._value(key)
                self._value(item)
            out.append(b"u")
        else:
            msg = f"{type(value).__name__} is not plain data"
            raise TypeError(msg)

    @staticmethod
    def _integer(value: int) -> bytes:
        if -_MAX_INT32 <= value < _MAX_INT32:
            return b"J" + struct.pack("<i", value)
        size = value.bit_length() // 8 + 1
        if size > _MAX_LONG_BYTES:
            msg = f"the configuration holds an integer of {value.bit_length()} bits, which torch.load does not read"
            raise UnsupportedError(msg)
        return b"\x8a" + struct.pack("<B", size) + value.to_bytes(size, "little", signed=True)

    def _tensor(self, tensor: OutputTensor) -> None:
        storage = _STORAGES[tensor.dtype.name]
        self._out.append(b"ctorch._utils\n_rebuild_tensor_v2\n((")
        self._value("storage")
        self._out.append(b"ctorch\n" + storage.encode() + b"\n")
        self._value(self._records[tensor.name])
        self._value("cpu")
        self._value(tensor.nbytes // tensor.dtype.itemsize)
        self._out.append(b"tQ")  # the persistent id of the storage
        self._value(0)
        self._value(tensor.shape)
        self._value(tensor.strides or contiguous_strides(tensor.shape))
        self._value(False)
        self._out.append(b"ccollections\nOrderedDict\n)RtR")  # no backward hooks
