"""Checkpoints of TensorFlow's first format: one file or its shards, with the graph beside it in `<file>.meta`."""

from __future__ import annotations

from converters.checkpoint import Checkpoint
from converters.errors import UnreadableFileError, placed
from converters.limits import Limits
from converters.readers.files.keras_settings import Architecture
from converters.readers.files.places import FIRST_SHARD
from converters.readers.files.source import Source
from converters.readers.tensorflow.bundle import MAX_SHARDS
from converters.readers.tensorflow.checkpoint_v1 import is_first_format, read_first_format
from converters.readers.tensorflow.named_variables import named_checkpoint
from converters.readers.tensorflow.table import is_table
from converters.readers.tf_checkpoint import INDEX


class FirstCheckpoint:
    """Reader of checkpoints that are one table."""

    def recognizes(self, source: Source, limits: Limits) -> bool:
        """Tell whether the file is a table that describes tensors."""
        return (
            not source.main.name.endswith(INDEX)
            and is_table(source.file)
            and is_first_format(source.file, limits)
        )

    def read(self, source: Source, architecture: Architecture | None, limits: Limits) -> Checkpoint:
        """Return the variables by name."""
        prefix, files = source.main.name, [source.file]
        with placed(source.name):
            sharded = FIRST_SHARD.fullmatch(prefix)
            if sharded is not None:
                prefix, count = sharded["prefix"], int(sharded["count"])
                if count > MAX_SHARDS:
                    msg = f"has {count:,} shards, at most {MAX_SHARDS:,} are read"
                    raise UnreadableFileError(msg)
                names = (f"{prefix}-{number:05d}-of-{count:05d}" for number in range(1, count))
                files += [source.companion(name) for name in names]
            bundle = read_first_format(files, source.name, limits)
            return named_checkpoint(source, bundle, prefix, limits)


READER = FirstCheckpoint()
