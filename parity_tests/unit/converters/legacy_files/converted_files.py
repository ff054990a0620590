"""Converted files to export, and what a legacy file holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from converters.checkpoint import StoredFile
from converters.readers import read_checkpoint


def contents(path: Path) -> tuple[StoredFile, dict[str, NDArray[Any]]]:
    stored = read_checkpoint(path).stored
    assert stored is not None
    return stored, {name: info.read() for name, info in stored.arrays.items()}


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    return path
