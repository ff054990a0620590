"""What a file is when no reader takes it: one sentence, and what to do about it."""

from __future__ import annotations

from converters.errors import (
    ConversionError,
    UnreadableFileError,
    UnsafeFileError,
)
from converters.readers.files.source import Source

_TABLE_MAGIC = bytes.fromhex("57fb808b247547db")
"""Last eight bytes of a LevelDB table, the form of a TensorFlow checkpoint's .index file."""
_TORCH_SUFFIXES = (".pth", ".pt", ".pt2")
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
    part = _tensorflow_part(source)
    if part is not None:
        return part
    if prefix.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        message = f"{name}: is JSON text without weights."
        return UnreadableFileError(
            message, hint=f"Give it beside the weights: --architecture {name}"
        )
    if prefix.startswith(b"PK") and source.path.suffix.lower() in _TORCH_SUFFIXES:
        return UnreadableFileError(
            f"{name}: is a file of PyTorch already, not a legacy file.",
            hint=f"torchward.load('{name}'), or `torchward export` for the way back to Keras",
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


def _is_pickle(prefix: bytes) -> bool:
    return len(prefix) > 1 and prefix[0] == 0x80 and 2 <= prefix[1] <= 5


def _tensorflow_part(source: Source) -> ConversionError | None:
    """Return the error for a file of a TensorFlow checkpoint that is not the one to name; None for other files."""
    name = source.name
    if source.prefix.startswith(b"model_checkpoint_path:"):
        message = f"{name}: only names a TensorFlow checkpoint."
        return UnreadableFileError(message, hint="Name the folder it lies in.")
    if source.file.read(max(0, source.file.size - 8), 8) == _TABLE_MAGIC:
        message = f"{name}: ends as a checkpoint of TensorFlow's first format does, but describes no tensors."
        return UnreadableFileError(message, hint="the file may be damaged; copy it again")
    if ".data-0" in source.path.name:
        message = f"{name}: holds tensors of a TensorFlow checkpoint; its .index file is missing."
        return UnreadableFileError(message)
    return None
