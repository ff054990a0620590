"""Arrays of a pickle as a reader of files hands them on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from converters.checkpoint import ArrayInfo, LayerArrays, Provenance
from converters.readers.files.source import Source
from converters.readers.pickles.values import ObjectArray


def array_info(name: str, value: object) -> ArrayInfo | None:
    """Return an array or a number of a pickle; None: it is neither."""
    if isinstance(value, ObjectArray) and value.shape == () and len(value.items) == 1:
        value = value.items[0]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = np.asarray(value)
    if not isinstance(value, (np.ndarray, np.generic)) or value.dtype.kind not in "biufc":
        return None
    array: NDArray[np.generic] = np.asarray(value)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)

    def read() -> NDArray[np.generic]:
        return native

    return ArrayInfo(name, native.shape, native.dtype, read)


def named_layers(arrays: Mapping[str, ArrayInfo]) -> list[LayerArrays]:
    """Return arrays named "scope/role" by their scopes; one entry for each array keeps the order."""

    def entries() -> Iterator[LayerArrays]:
        for name, array in arrays.items():
            scope, _, role = name.removesuffix(":0").rpartition("/")
            yield LayerArrays(scope, None, {role: array})

    return list(entries())


def provenance_of(source: Source, file_format: str, producer: str | None) -> Provenance:
    """Return where a file of an RL library came from."""
    return Provenance(
        file=source.path.name,
        digest=source.sha256,
        size=source.size,
        format=file_format,
        producer=producer,
        generation=1,
    )
