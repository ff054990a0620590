"""What a file is when no reader takes it: one sentence, and what to do about it."""

from __future__ import annotations

from pathlib import Path

from converters.errors import (
    ConversionError,
    UnreadableFileError,
    UnsafeFileError,
    UnsupportedError,
)
from converters.readers.files.source import Source

_TABLE_MAGIC = bytes.fromhex("57fb808b247547db")
"""Last eight bytes of a LevelDB table, the form of a TensorFlow checkpoint's .index file."""
_RESAVE = "Load it where it was made and save it with model.save('model.h5') or model.save('model.keras')."


def describe_foreign(source: Source) -> ConversionError:
    """Return the error for a file that no reader recognized."""
    name, prefix = source.name, source.prefix
    if prefix.startswith(b"version https://git-lfs.github.com/spec/"):
        message = f"{name}: is a Git LFS pointer, not the file itself."
        return UnreadableFileError(message, hint="git lfs pull")
    if prefix.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        return UnreadableFileError(
            f"{name}: is a web page, not a model file; the download went wrong."
        )
    if _is_pickle(prefix):
        message = f"{name}: is a Python pickle; reading it would run code from the file; refused."
        return UnsafeFileError(message, hint=_RESAVE)
    if _is_tensorflow_checkpoint(source):
        return UnsupportedError(
            f"{name}: is part of a TensorFlow checkpoint, which is not read yet.", hint=_RESAVE
        )
    if prefix.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        message = f"{name}: is JSON text without weights."
        return UnreadableFileError(
            message, hint=f"Give it beside the weights: --architecture {name}"
        )
    if prefix.startswith(b"PK"):
        return UnreadableFileError(
            f"{name}: is a zip archive, but not a .keras model: it has no config.json."
        )
    if prefix.startswith(b"\x89HDF\r\n\x1a\n"):
        return UnreadableFileError(
            f"{name}: is an HDF5 file, but has neither layer names nor groups of variables."
        )
    if prefix.startswith(b"\x1f\x8b"):
        return UnreadableFileError(f"{name}: is compressed with gzip.", hint=f"gunzip {name}")
    start = prefix[:8].hex(" ")
    return UnreadableFileError(f"{name}: is of no known format (it starts with {start}).")


def describe_path(path: Path, name: str) -> ConversionError | None:
    """Return the error for a path that is no file but is known: a SavedModel, a checkpoint prefix; else None."""
    if path.is_dir():
        if (path / "saved_model.pb").is_file() or (path / "saved_model.pbtxt").is_file():
            return UnsupportedError(
                f"{name}: is a SavedModel folder, which is not read yet.", hint=_RESAVE
            )
        if (path / "checkpoint").is_file():
            return UnsupportedError(
                f"{name}: is a folder of TensorFlow checkpoints, which are not read yet.",
                hint=_RESAVE,
            )
        return UnreadableFileError(f"{name}: is a folder, not a file.")
    if not path.exists() and path.with_name(path.name + ".index").is_file():
        return UnsupportedError(
            f"{name}: is a TensorFlow checkpoint, which is not read yet.", hint=_RESAVE
        )
    return None


def _is_pickle(prefix: bytes) -> bool:
    return len(prefix) > 1 and prefix[0] == 0x80 and 2 <= prefix[1] <= 5


def _is_tensorflow_checkpoint(source: Source) -> bool:
    if source.prefix.startswith(b"model_checkpoint_path:"):
        return True
    if source.file.read(max(0, source.size - 8), 8) == _TABLE_MAGIC:
        return True
    return ".data-0" in source.path.name and source.path.name.rsplit("-", 1)[-1].isdecimal()
