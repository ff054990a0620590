"""Checkpoints of a training run, written between two episodes, from which it goes on bit by bit.

A checkpoint is a folder that gets its final name only when it is whole: the agent's own files, its replay memory
(if it has one) as arrays, and state.json with counters, generator, environment and the lengths of the log files.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from experience.buffers import ReplayMemory

CHECKPOINT_FOLDER = "checkpoints"
AGENT_NAME = "agent"
"""Stem of an agent's files; what follows it is the agent's business."""
MEMORY_NAME = "memory.npz"
STATE_NAME = "state.json"
STATE_VERSION = 1
_FOLDER_NAME = re.compile(r"episode-(\d{6,})")


class RunCheckpointError(ValueError):
    """A checkpoint that is missing, damaged or of another kind of run."""


class Savable(Protocol):
    """An agent, as far as a checkpoint is concerned."""

    def save(self, path: Path) -> None:
        """Write everything but the replay memory."""
        ...


@dataclass(frozen=True, slots=True)
class RunCheckpoint:
    """A whole checkpoint on disk.

    Attributes:
        folder: where it is.
        state: what state.json holds: plain data.
    """

    folder: Path
    state: Mapping[str, Any]

    @property
    def agent_path(self) -> Path:
        """What the agent's `load` takes."""
        return self.folder / AGENT_NAME

    def restore_memory(self, memory: ReplayMemory) -> None:
        """Fill the memory.

        Raises:
            RunCheckpointError: The file is damaged or does not fit.
        """
        path = self.folder / MEMORY_NAME
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                memory.load_state_dict(dict(stored))
        except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            msg = f"{path}: {error}"
            raise RunCheckpointError(msg) from error

    def restore_generator(self, rng: np.random.Generator) -> None:
        """Put the generator where it was.

        Raises:
            RunCheckpointError: It is of another kind.
        """
        try:
            rng.bit_generator.state = self.state["random"]
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{self.folder / STATE_NAME}: not a state of {type(rng.bit_generator).__name__}: {error}"
            raise RunCheckpointError(msg) from error


def write_run_checkpoint(
    run_folder: Path,
    episode: int,
    *,
    agent: Savable,
    memory: ReplayMemory | None,
    state: Mapping[str, object],
) -> Path:
    """Write a checkpoint, then remove the older ones, and return its folder.

    Args:
        run_folder: of the run.
        episode: finished episodes; the name.
        agent: saves itself.
        memory: its replay memory, None if it has none.
        state: plain data.

    Raises:
        OSError: It cannot be written; older checkpoints are untouched then.
    """

    def write(folder: Path) -> None:
        agent.save(folder / AGENT_NAME)
        if memory is not None:
            with (folder / MEMORY_NAME).open("wb") as file:
                arrays: dict[str, Any] = (
                    memory.state_dict()
                )  # Any: numpy types the first keyword as a flag
                np.savez(file, **arrays)
        text = json.dumps({"state_version": STATE_VERSION, **state}, indent=1, sort_keys=True)
        (folder / STATE_NAME).write_text(text + "\n", encoding="utf-8")

    checkpoints = run_folder / CHECKPOINT_FOLDER
    folder = write_folder(checkpoints / f"episode-{episode:06d}", write)
    for other in _list_checkpoints(run_folder):
        if other != folder:
            shutil.rmtree(other)
    return folder


def read_run_checkpoint(run_folder: Path) -> RunCheckpoint:
    """Return the latest checkpoint of a run.

    Raises:
        RunCheckpointError: There is none, or it cannot be read.
    """
    folders = _list_checkpoints(run_folder)
    if not folders:
        msg = f"{run_folder}: no checkpoint in it; the run ended before the first one was written"
        raise RunCheckpointError(msg)
    path = folders[-1] / STATE_NAME
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        version = state["state_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{path}: cannot be read: {error}"
        raise RunCheckpointError(msg) from error
    if version != STATE_VERSION:
        msg = f"{path}: of version {version}; this torchward reads {STATE_VERSION}"
        raise RunCheckpointError(msg)
    return RunCheckpoint(folders[-1], state)


def write_folder(final: Path, write: Callable[[Path], None]) -> Path:
    """Make a folder that exists either whole or not at all, and return its path.

    Args:
        final: replaced if it exists.
        write: fills the folder that it is given.

    Raises:
        OSError: It cannot be written.
    """
    temporary = final.with_name(f".{final.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        write(temporary)
        for path in temporary.iterdir():
            _sync(path)
        if final.exists():
            shutil.rmtree(final)
        temporary.rename(final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync(final.parent)
    return final


def _list_checkpoints(run_folder: Path) -> list[Path]:
    """Return the whole checkpoints, oldest first."""
    found = (run_folder / CHECKPOINT_FOLDER).glob("episode-*")
    named = [
        (int(match[1]), path) for path in found if (match := _FOLDER_NAME.fullmatch(path.name))
    ]
    return [path for _, path in sorted(named)]


def _sync(path: Path) -> None:
    """Ask the system to put a file or folder on the disk now, before anything relies on it."""
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a folder
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
