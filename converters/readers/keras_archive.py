"""`.keras` archives: a zip of `metadata.json`, `config.json` and a weight container.

(The `.keras` files of TensorFlow 2.12 are HDF5 and come to `keras_h5`.) Nothing is extracted: the container is
read where it lies in the archive, or from an anonymous copy when it is compressed.
"""

from __future__ import annotations

from converters.checkpoint import Checkpoint, StoredFile
from converters.errors import UnreadableFileError, UnsupportedError, placed
from converters.limits import Limits
from converters.readers.files.archive import Archive, is_archive
from converters.readers.files.keras_settings import (
    Architecture,
    decode_text,
    major_version,
    optimizer_state,
    parse_architecture,
    parse_object,
    provenance,
)
from converters.readers.files.source import Source, quote
from converters.readers.files.vocabularies import COPY, FILE, FOLDER, with_vocabularies
from converters.readers.hdf5 import header
from converters.readers.hdf5.client import read_hdf5_index
from converters.readers.keras_weights_h5 import Container, is_container, read_container

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"


class KerasArchive:
    """Reader of `.keras` zip files."""

    def recognizes(self, source: Source, limits: Limits) -> bool:
        """Tell whether the file is a zip with the members that Keras writes."""
        return is_archive(source) and CONFIG in Archive(source).names

    def read(self, source: Source, architecture: Architecture | None, limits: Limits) -> Checkpoint:
        """Return the content of the archive."""
        archive = Archive(source)
        _check_names(source, archive)
        members = {name: _text(archive, name, limits) for name in (METADATA, CONFIG)}
        metadata = parse_object(members[METADATA], source.name, METADATA, limits)
        version = metadata.get("keras_version")
        version = version if isinstance(version, str) else None
        own = parse_architecture(
            members[CONFIG],
            source.name,
            limits,
            generation=major_version(version) if version else None,
            version=version,
        )
        container = _read_weights(source, archive, limits)
        architecture = architecture or own
        vocabularies = {
            name: _text(archive, name, limits) for name in archive.names if FILE.fullmatch(name)
        }
        graph = architecture.graph(limits)
        if graph is not None:
            with placed(source.name):
                graph = with_vocabularies(graph, vocabularies)
        return Checkpoint(
            layers=container.layers,
            graph=graph,
            optimizer=optimizer_state(
                own.training or architecture.training,
                container.variables,
                generation=own.generation,
                version=version,
            ),
            training=own.training,
            extras=container.extras,
            provenance=provenance(
                source,
                "keras-archive",
                version=version,
                generation=own.generation,
                architecture=architecture,
            ),
            stored=StoredFile(
                "keras-archive",
                container.index.groups,
                container.index.attributes,
                container.index.arrays,
                {**members, **vocabularies},
                architecture.text,
                version,
            ),
        )


READER = KerasArchive()


def _check_names(source: Source, archive: Archive) -> None:
    """Refuse archives that hold more or less than a model's three members and the vocabularies of its layers."""
    vocabularies = [name for name in archive.names if FILE.fullmatch(name) or COPY.fullmatch(name)]
    others = [
        name for name in archive.names if name.startswith(FOLDER) and name not in vocabularies
    ]
    if others:
        message = f"{source.name}: holds the asset {quote(others[0])}, which is no vocabulary of a lookup layer"
        raise UnsupportedError(message)
    if "model.weights.json" in archive.names:
        message = f"{source.name}: holds its weights in several shards; these are not read."
        raise UnsupportedError(message, hint="Save the model again without max_shard_size.")
    archive.require_only((METADATA, CONFIG, WEIGHTS, *vocabularies))


def _text(archive: Archive, name: str, limits: Limits) -> str:
    return decode_text(archive.read(name, limits.max_json_bytes), archive.file_name, name)


def _read_weights(source: Source, archive: Archive, limits: Limits) -> Container:
    where = f"{source.name}: {WEIGHTS}"
    with archive.open_member(WEIGHTS, limits.max_array_bytes) as member:
        if not header.is_hdf5(member.file.read(member.offset, min(member.size, 8))):
            message = f"{where}: is not an HDF5 file."
            raise UnreadableFileError(message)
        index = read_hdf5_index(member.file, where, limits, offset=member.offset, size=member.size)
    if not is_container(index):
        message = f"{where}: has no groups of variables."
        raise UnreadableFileError(message)
    return read_container(index)
