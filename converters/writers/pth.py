"""Files of `torch.save`, written without torch: a stored zip of one pickle and one record per tensor.

Only data is pickled: dicts, lists, strings, numbers and `torch._utils._rebuild_tensor_v2`, which is all that
`torch.load(weights_only=True)` accepts. Records start at multiples of 64 bytes, so that `torch.load(mmap=True)` works.
Dates are fixed and names do not depend on the path: the same content gives the same bytes.

Source of the format: torch 2.13.0, serialization.py (`_save`) and caffe2/serialize/inline_container.cc.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable, Mapping
from typing import BinaryIO

from converters.errors import UnsupportedError
from converters.writers.content import Content, OutputTensor
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


@writer("pth", suffix=".pth")
def write_pth(file: BinaryIO, content: Content) -> None:
    """Write the .pth contract (`torch_impl/checkpoints.py`) to a file opened for writing and seeking.

    Raises:
        UnsupportedError: A dtype that torch does not have.
    """
    optimizer = content.optimizer
    optimizer_state = None
    if optimizer is not None:
        group = {**optimizer.group, "params": list(range(len(optimizer.state)))}
        # Like torch: a parameter without state tensors (plain SGD) has no entry.
        state = {index: slots for index, slots in enumerate(optimizer.state) if slots}
        optimizer_state = {"state": state, "param_groups": [group]}
    root = {
        "format": "torchward",
        "format_version": 1,
        "model_state_dict": {tensor.name: tensor for tensor in content.tensors},
        "optimizer_state_dict": optimizer_state,
        "architecture": content.architecture,
        "metadata": content.metadata,
    }
    pickle = _Pickle()
    data = pickle.dump(root)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, file, "archive/data.pkl", [data], len(data))
        _add(archive, file, "archive/byteorder", [b"little"], 6)
        for key, tensor in enumerate(pickle.tensors):
            _add(
                archive,
                file,
                f"archive/data/{key}",
                (c.data for c in tensor.chunks()),
                tensor.nbytes,
            )
        _add(archive, file, "archive/version", [b"3\n"], 2)


def _add(
    archive: zipfile.ZipFile,
    file: BinaryIO,
    name: str,
    pieces: Iterable[bytes | memoryview],
    size: int,
) -> None:
    info = zipfile.ZipInfo(name)  # its date is 1980-01-01
    info.file_size = size
    large = size > _ZIP64_FROM
    # zipfile adds 20 bytes of zip64 sizes to the header of a large record, before our padding.
    start = file.tell() + 30 + len(name) + 4 + (20 if large else 0)
    padding = -start % _ALIGNMENT
    info.extra = struct.pack("<2sH", b"FB", padding) + b"Z" * padding  # the field torch pads with
    with archive.open(info, "w", force_zip64=large) as record:
        for piece in pieces:
            record.write(piece)


class _Pickle:
    """Emits the few opcodes (protocol 2) that plain data and tensors need.

    Attributes:
        tensors: in the order of their records.
    """

    def __init__(self) -> None:
        self.tensors: list[OutputTensor] = []
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
        return b"\x8a" + struct.pack("<B", size) + value.to_bytes(size, "little", signed=True)

    def _tensor(self, tensor: OutputTensor) -> None:
        storage = _STORAGES.get(tensor.dtype.name)
        if storage is None:
            msg = f"array '{tensor.move.source.name}' is of type {tensor.dtype}, which torch does not have"
            raise UnsupportedError(msg)
        key = str(len(self.tensors))
        self.tensors.append(tensor)
        count = tensor.nbytes // tensor.dtype.itemsize
        strides: list[int] = []
        step = 1
        for size in reversed(tensor.shape):
            strides.insert(0, step)
            step *= size
        self._out.append(b"ctorch._utils\n_rebuild_tensor_v2\n((")
        self._value("storage")
        self._out.append(b"ctorch\n" + storage.encode() + b"\n")
        self._value(key)
        self._value("cpu")
        self._value(count)
        self._out.append(b"tQ")  # the persistent id of the storage
        self._value(0)
        self._value(tensor.shape)
        self._value(tuple(strides))
        self._value(False)
        self._out.append(b"ccollections\nOrderedDict\n)RtR")  # no backward hooks
