"""safetensors: model state by name, everything else as JSON in the metadata. Optimizer state goes in as tensors too.

The header is written by us, because the library wants all tensors in memory at once; the library reads it back in the
tests.
"""

from __future__ import annotations

import json
import struct

from converters.errors import UnsupportedError
from converters.writers.content import Content, OutputTensor
from converters.writers.output_file import OutputFile
from converters.writers.registry import writer

_DTYPES = {
    "float16": "F16", "float32": "F32", "float64": "F64", "bfloat16": "BF16", "int8": "I8", "int16": "I16",
    "int32": "I32", "int64": "I64", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
_ALIGNMENT = 8


@writer("safetensors", suffix=".safetensors")
def write_safetensors(file: OutputFile, content: Content) -> None:
    """Write model and optimizer tensors ("optimizer/<parameter>/<state>") with the rest as metadata.

    Raises:
        UnsupportedError: A dtype that safetensors does not have.
    """
    tensors: list[OutputTensor] = list(content.tensors)
    metadata = {
        "format": "pt",
        "torchward_metadata": _json(content.metadata()),
    }
    if content.architecture is not None:
        metadata["torchward_architecture"] = _json(content.architecture)
    names = [tensor.name for tensor in tensors]
    if content.optimizer is not None:
        metadata["torchward_optimizer_group"] = _json(content.optimizer.group)
        if content.optimizer.groups:
            metadata["torchward_optimizer_groups"] = _json({"groups": content.optimizer.groups})
        for index, slots in enumerate(content.optimizer.state):
            for slot, tensor in slots.items():
                tensors.append(tensor)
                names.append(f"optimizer/{index}/{slot}")
    header: dict[str, object] = {"__metadata__": metadata}
    offset = 0
    # Wide types first, so that every tensor starts at a multiple of its element size.
    order = sorted(zip(names, tensors, strict=True), key=lambda item: -item[1].dtype.itemsize)
    for name, tensor in order:
        if tensor.dtype.name not in _DTYPES:
            msg = f"array '{tensor.move.source.name}' is of type {tensor.dtype}, which safetensors does not have"
            raise UnsupportedError(msg)
        header[name] = {
            "dtype": _DTYPES[tensor.dtype.name],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.nbytes],
        }
        offset += tensor.nbytes
    encoded = _json(header).encode()
    encoded += b" " * (-len(encoded) % _ALIGNMENT)
    file.write(struct.pack("<Q", len(encoded)))
    file.write(encoded)
    for _, tensor in order:
        for chunk in tensor.chunks():
            file.write(chunk.data)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
