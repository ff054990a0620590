"""The first bytes of an HDF5 file: is it one, and is it whole."""

from __future__ import annotations

from converters.errors import UnreadableFileError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_END_FIELD = {0: 40, 1: 44, 2: 28, 3: 28}
"""Where the end-of-file address stands for 8-byte addresses, by superblock version (HDF5 format
specification 3.0, section II.A): after base address and free-space or extension address."""
_ADDRESS_SIZE_FIELD = {0: 13, 1: 13, 2: 9, 3: 9}


def is_hdf5(prefix: bytes) -> bool:
    """Tell whether a file that starts with `prefix` is HDF5."""
    return prefix.startswith(SIGNATURE)


def check_length(name: str, prefix: bytes, size: int) -> None:
    """Raise UnreadableFileError when the file is shorter than its superblock says.

    Args:
        name: file name for the message.
        prefix: the first bytes of the file, at least 64 of a whole one.
        size: bytes that are there.
    """
    version = prefix[8] if len(prefix) > 8 else None
    if version is None or len(prefix) < 56:
        message = f"{name}: truncated: the HDF5 header is incomplete, file has {size:,} bytes."
        raise UnreadableFileError(message)
    if version not in _END_FIELD:
        message = f"{name}: HDF5 superblock version {version} is unknown; versions 0 to 3 are read."
        raise UnreadableFileError(message)
    if prefix[_ADDRESS_SIZE_FIELD[version]] != 8:
        message = f"{name}: the HDF5 header is damaged: addresses of {prefix[_ADDRESS_SIZE_FIELD[version]]} bytes."
        raise UnreadableFileError(message)
    start = _END_FIELD[version]
    end = int.from_bytes(prefix[start : start + 8], "little")
    if end > size:
        message = f"{name}: truncated: superblock says {end:,} bytes, file has {size:,}."
        raise UnreadableFileError(message, hint="Copy or download the file again.")
