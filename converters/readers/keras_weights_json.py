"""Sharded weights of Keras 3: `net.weights.json` and `net_00000.weights.h5`, `net_00001.weights.h5`, ... beside it.

The JSON says which groups lie in which shard. No name is taken from it: the shards' names follow from the name of the
file, and a map that names others is refused. A group may be spread over several shards.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from converters.checkpoint import ArrayInfo, Checkpoint, StoredFile
from converters.errors import ConversionError, UnreadableFileError, UnsafeFileError
from converters.limits import Limits
from converters.readers.files.keras_settings import (
    Architecture,
    decode_text,
    optimizer_state,
    parse_object,
    provenance,
)
from converters.readers.files.source import Source, quote
from converters.readers.hdf5.client import Hdf5Index, require_index
from converters.readers.keras_weights_h5 import read_container

MAX_SHARDS = 10_000
"""As many as five digits would almost hold; a map of more is no map of weights."""
_WHAT = "map of shards"


class KerasWeightsJson:
    """Reader of `.weights.json` and its shards."""

    def recognizes(self, source: Source, limits: Limits) -> bool:
        """Tell whether the file is JSON with a map of weights."""
        if not source.prefix.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
            return False
        if b'"weight_map"' not in source.file.read(0, limits.max_json_bytes):
            return False
        try:
            return isinstance(_object(source, limits).get("weight_map"), dict)
        except ConversionError:
            return False  # said by whoever describes the file

    def read(self, source: Source, architecture: Architecture | None, limits: Limits) -> Checkpoint:
        """Return the content of all shards."""
        shards = [Source(path) for path in _shard_paths(source, limits)]
        container = read_container(_joined(shards, limits))
        generation = architecture.generation if architecture else 3
        training = architecture.training if architecture else None
        origin = provenance(
            source,
            "keras-weights-json",
            version=None,
            generation=generation,
            architecture=architecture,
        )
        sums = {shard.name: shard.sha256() for shard in shards}
        return Checkpoint(
            layers=container.layers,
            graph=architecture.graph(limits) if architecture else None,
            optimizer=optimizer_state(
                training, container.variables, generation=generation, version=None
            ),
            training=training,
            extras=container.extras,
            provenance=replace(origin, details={**origin.details, **sums}),
            stored=StoredFile(
                "keras-weights-h5",  # written again as one file
                container.index.groups,
                container.index.attributes,
                container.index.arrays,
                {},
                architecture.text if architecture else None,
                architecture.version if architecture else None,
            ),
        )


READER = KerasWeightsJson()


def _object(source: Source, limits: Limits) -> Mapping[str, object]:
    data = source.file.read(0, limits.max_json_bytes + 1)
    return parse_object(decode_text(data, source.name, _WHAT), source.name, _WHAT, limits)


def _shard_paths(source: Source, limits: Limits) -> list[Path]:
    """Return the shards beside the map, in order. Raises UnsafeFileError for a map that names other files."""
    stated = _object(source, limits)["weight_map"]
    entries = list(stated.values()) if isinstance(stated, dict) else []
    listed = [name for entry in entries for name in (entry if isinstance(entry, list) else [entry])]
    names = {name if isinstance(name, str) else repr(name) for name in listed}
    if not names or len(names) > MAX_SHARDS:
        message = f"{source.name}: its map names {len(names)} shards; 1 to {MAX_SHARDS} are read."
        raise UnreadableFileError(message)
    base = source.path.stem.removesuffix(".weights")
    known = [f"{base}_{number:05}.weights.h5" for number in range(len(names))]
    others = sorted(names - set(known))
    if others:
        message = (
            f"{source.name}: its map names {quote(others[0])}; shards of this file are named "
            f"{quote(known[0])} and so on; no other file is opened."
        )
        raise UnsafeFileError(message, hint="give map and shards the names that Keras gave them")
    paths = [source.path.with_name(name) for name in known]
    for path in paths:
        _check_shard(path, source.name)
    return paths


def _check_shard(path: Path, file: str) -> None:
    """Raise ConversionError for a shard that is missing, or a link to somewhere else."""
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        message = f"{file}: its shard {quote(path.name)} is missing ({error.strerror})."
        raise UnreadableFileError(message) from error
    if stat.S_ISLNK(mode):
        message = f"{file}: its shard {quote(path.name)} is a symbolic link; refused."
        raise UnsafeFileError(message)


def _joined(shards: Sequence[Source], limits: Limits) -> Hdf5Index:
    """Return the content of all shards as if they were one file. Raises UnsafeFileError for an array in two."""
    groups: set[str] = set()
    attributes: dict[str, dict[str, str | list[str]]] = {}
    arrays: dict[str, ArrayInfo] = {}
    for shard in shards:
        index = require_index(shard, limits)
        groups |= index.groups
        for group, found in index.attributes.items():
            attributes.setdefault(group, {}).update(found)
        for name, array in index.arrays.items():
            if name in arrays:
                message = f"{shard.name}: holds {quote(name)}, which an earlier shard holds, too."
                raise UnsafeFileError(message)
            arrays[name] = array
        if len(arrays) > limits.max_names:
            message = f"{shard.name}: there are more than {limits.max_names:,} arrays; refused."
            raise UnsafeFileError(message)
    return Hdf5Index(frozenset(groups), attributes, arrays)
