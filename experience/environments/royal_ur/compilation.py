"""Compiles the functions of this package with Numba, or leaves them as they are where Numba is not installed.

What was compiled is kept in the user's cache folder and not beside the sources, so that installations that nobody may
write to work; if that cannot be written either, Numba looks on, and in the end every process compiles for itself. Numba
notices a changed function but
not a changed callee in another file, so the folder's name has a checksum of all sources of this package.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])  # Any: of every signature


def compiled(function: Function) -> Function:
    """Return the function, compiled for the types of its first call, or itself without Numba.

    With the environment variable NUMBA_DISABLE_JIT=1 it stays Python as well.
    """
    numba = _find_numba()
    if numba is None:
        return function
    with _cache_folder(numba):
        try:
            made: Function = numba.njit(cache=True)(function)
        except RuntimeError:  # Numba found no folder that it may write to
            made = numba.njit(function)
    return made


def is_compiled() -> bool:
    """Return whether the functions of this package run compiled."""
    numba = _find_numba()
    return numba is not None and not numba.config.DISABLE_JIT


@cache
def _find_numba() -> ModuleType | None:
    try:
        import numba
    except ImportError:
        return None
    module: ModuleType = numba
    return module


@contextmanager
def _cache_folder(numba: ModuleType) -> Iterator[None]:
    """Point Numba to our folder; it looks for one when a function is decorated."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(Path(before or _user_folder()) / f"ur-{_checksum()}")
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


def _user_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return Path(base or Path.home() / ".cache") / "torchward"


@cache
def _checksum() -> str:
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
