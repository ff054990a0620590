"""Checkpoints of a run of the RRD suite, from which it goes on bit by bit after it was stopped or killed.

A checkpoint is a folder that gets its name only when it is whole: the agent's own files, buffer and running episodes
as arrays, and state.json with counters, generators, averages and the returns so far.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experience.learner import Learner, SuiteAgent
from experience.run_checkpoints import CHECKPOINT_FOLDER, RunCheckpointError, write_folder
from experience.suite_buffers import Buffer

STATE_VERSION = 1
_FOLDER_NAME = re.compile(r"steps-(\d{9,})")


def write_suite_checkpoint(
    run_folder: Path,
    *,
    agent: SuiteAgent,
    learner: Learner,
    buffer: Buffer,
    generators: Mapping[str, np.random.Generator],
    progress: Mapping[str, object],
) -> Path:
    """Write a checkpoint, then remove the older ones, and return its folder.

    Args:
        run_folder: of the run.
        agent: saves itself, noise generator and all.
        learner: counters and running episodes.
        buffer: its arrays.
        generators: everything else that draws.
        progress: plain data of the loop.

    Raises:
        OSError: It cannot be written; older checkpoints are untouched then.
    """
    state = learner.state_dict()
    running = state.pop("running")
    seeds = [each["seed"] for each in running]

    def write(folder: Path) -> None:
        agent.save_model(folder / "agent")
        _write_arrays(folder / "buffer.npz", buffer.state_dict())
        _write_arrays(folder / "running.npz", _running_arrays(running))
        content = {
            "state_version": STATE_VERSION,
            "learner": {**state, "seeds": seeds},
            "generators": {name: rng.bit_generator.state for name, rng in generators.items()},
            "progress": dict(progress),
        }
        (folder / "state.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    folder = write_folder(run_folder / CHECKPOINT_FOLDER / f"steps-{learner.steps:09d}", write)
    for other in _list_checkpoints(run_folder):
        if other != folder:
            shutil.rmtree(other)
    return folder


def read_suite_checkpoint(
    run_folder: Path,
    *,
    agent: SuiteAgent,
    learner: Learner,
    buffer: Buffer,
    generators: Mapping[str, np.random.Generator],
) -> dict[str, Any]:
    """Put everything where it was at the latest checkpoint, and return the loop's own data.

    Raises:
        RunCheckpointError: There is none, it is damaged, or it is of another run.
    """
    folders = _list_checkpoints(run_folder)
    if not folders:
        msg = f"{run_folder}: no checkpoint in it; the run ended before the first one was written"
        raise RunCheckpointError(msg)
    folder = folders[-1]
    try:
        content = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if content["state_version"] != STATE_VERSION:
            msg = f"of version {content['state_version']}; this torchward reads {STATE_VERSION}"
            raise ValueError(msg)
        buffer.load_state_dict(_read_arrays(folder / "buffer.npz"))
        arrays = _read_arrays(folder / "running.npz")
        counters = content["learner"]
        running = [
            {"seed": seed, "actions": arrays[f"actions_{place}"], "last": arrays[f"last_{place}"]}
            for place, seed in enumerate(counters["seeds"])
        ]
        agent.load_model(folder / "agent")
        learner.load_state_dict({**counters, "running": running})
        for name, rng in generators.items():
            rng.bit_generator.state = content["generators"][name]
        progress: dict[str, Any] = content["progress"]
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        msg = f"{folder}: cannot go on from it: {error}"
        raise RunCheckpointError(msg) from error
    return progress


def _running_arrays(running: list[dict[str, Any]]) -> dict[str, Any]:
    arrays: dict[str, Any] = {}  # Any: numpy.savez types its keywords so
    for place, each in enumerate(running):
        # The place of an episode that has just begun still has to be there.
        arrays[f"actions_{place}"] = np.stack(each["actions"]) if each["actions"] else np.zeros(0)
        arrays[f"last_{place}"] = each["last"]
    return arrays


def _write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _read_arrays(path: Path) -> dict[str, Any]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return dict(stored)


def _list_checkpoints(run_folder: Path) -> list[Path]:
    """Return the whole checkpoints, oldest first."""
    found = (run_folder / CHECKPOINT_FOLDER).glob("steps-*")
    named = [
        (int(match[1]), path) for path in found if (match := _FOLDER_NAME.fullmatch(path.name))
    ]
    return [path for _, path in sorted(named)]
