"""Which kind of run `torchward train --resume` is about: every kind leaves a file of its own in the run's folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def resumed_folder(argv: Sequence[str], marker: str) -> Path | None:
    """Return the folder behind `--resume` that holds a file named `marker`; None if there is none.

    Looked for before the arguments are parsed: which parser reads them depends on it.

    Args:
        argv: behind `torchward train`.
        marker: what only this kind of run writes.
    """
    for place, part in enumerate(argv):
        flag, _, value = part.partition("=")
        if flag == "--resume":
            folder = Path(value or next(iter(argv[place + 1 : place + 2]), ""))
            if (folder / marker).is_file():
                return folder
    return None
