"""Checkpoints of TensorFlow's first format: one file, with the graph beside it in `<file>.meta`."""

from __future__ import annotations

from converters.checkpoint import Checkpoint
from converters.errors import placed
from converters.limits import Limits
from converters.readers.files.keras_settings import Architecture
from converters.readers.files.source import Source
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
        bundle = read_first_format(source.file, source.name, limits)
        with placed(source.name):
            return named_checkpoint(source, bundle, source.main.name, limits)


READER = FirstCheckpoint()
