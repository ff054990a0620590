"""Types of tensors by their numbers in files of TensorFlow, and how many axes one may have."""

from __future__ import annotations

MAX_DIMENSIONS = 32
DTYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 8: "complex64", 9: "int64",
    10: "bool", 14: "bfloat16", 17: "uint16", 18: "complex128", 19: "float16", 22: "uint32", 23: "uint64",
}  # fmt: skip
"""Numbers of tensorflow.DataType that hold plain numbers."""
STRING = 7
