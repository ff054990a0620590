"""The working folder as a place where modules of the user's own are found, whatever command Python was started with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def searched_last() -> Iterator[None]:
    """Search the working folder, too, behind everything installed: no package of ours is replaced.

    Afterwards `sys.path` is as it was: where the folder is searched already, it keeps its place.
    """
    here = str(Path.cwd())
    if here in sys.path:
        yield
        return
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)
