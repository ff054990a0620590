"""What a file is when no reader takes it: one sentence, and what to do about it."""

from __future__ import annotations

import shlex

from converters.errors import (
    ConversionError,
    UnreadableFileError,
    UnsafeFileError,
)
from converters.readers.files.source import Source

_TABLE_MAGIC = bytes.fromhex("57fb808b247547db")
"""Last eight bytes of a LevelDB table, the form of a TensorFlow checkpoint's .index file."""
_TORCH_SUFFIXES = (".pth", ".pt")
_TAR_MARK, _TAR_MARK_AT = b"ustar", 257
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
            message, hint=f"Give it beside the weights: --architecture {shlex.quote(name)}"
        )
    other = _result(source) or _packed(source)
    if other is not None:
        return other
    if prefix.startswith(b"PK"):
        return UnreadableFileError(
            f"{name}: is a zip archive, but not a .keras model: it has no config.json."
        )
    if prefix.startswith(b"\x89HDF\r\n\x1a\n"):
        return UnreadableFileError(
            f"{name}: is an HDF5 file, but has neither layer names nor groups of variables."
        )
    start = prefix[:8].hex(" ")
    return UnreadableFileError(f"{name}: is of no known format (it starts with {start}).")


def _result(source: Source) -> ConversionError | None:
    """Return the error for what a conversion gives; None for other files."""
    name, suffix = source.name, source.path.suffix.lower()
    is_zip = source.prefix.startswith(b"PK")
    if suffix == ".safetensors" or (suffix in _TORCH_SUFFIXES and is_zip):
        message = f"{name}: is a file of PyTorch already, not a legacy file."
        hint = f"torchward.load({name!r}), or `torchward export` for the way back to Keras"
        return UnreadableFileError(message, hint=hint)
    if suffix == ".onnx" or (suffix == ".pt2" and is_zip):
        message = f"{name}: is a traced computation, not a legacy file."
        hint = "start from the Keras or TensorFlow file that it was made from"
        return UnreadableFileError(message, hint=hint)
    return None


def _packed(source: Source) -> ConversionError | None:
    """Return the error for a file that has to be unpacked; None for other files."""
    name = source.name
    if source.prefix.startswith(b"\x1f\x8b"):
        message = f"{name}: is compressed with gzip."
        return UnreadableFileError(message, hint=f"gunzip {shlex.quote(name)}")
    if source.file.read(_TAR_MARK_AT, len(_TAR_MARK)) == _TAR_MARK:
        message = f"{name}: is a tar archive."
        return UnreadableFileError(message, hint=f"tar xf {shlex.quote(name)}")
    return None


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
