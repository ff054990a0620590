from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from experience.buffers import ReplayMemory
from experience.run_checkpoints import (
    RunCheckpointError,
    read_run_checkpoint,
    write_folder,
    write_run_checkpoint,
)


class Savable:
    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails

    def save(self, path: Path) -> None:
        path.with_suffix(".txt").write_text("agent")
        if self.fails:
            raise OSError(28, "No space left on device")


def memory(capacity: int = 5) -> ReplayMemory:
    memory = ReplayMemory(capacity, (2,))
    memory.add(np.ones(2), 1, 0.5, np.zeros(2), True)
    return memory


def write(folder: Path, episode: int, *, fails: bool = False) -> Path:
    rng = np.random.default_rng(episode)
    return write_run_checkpoint(
        folder,
        episode,
        agent=Savable(fails=fails),
        memory=memory(),
        state={"random": rng.bit_generator.state, "episode": episode},
    )


def test_only_the_latest_checkpoint_stays(tmp_path: Path) -> None:
    for episode in (9, 10, 1_000_000):
        write(tmp_path, episode)

    assert read_run_checkpoint(tmp_path).state["episode"] == 1_000_000
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


def test_a_failed_write_leaves_the_older_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, 1)

    with pytest.raises(OSError, match="No space"):
        write(tmp_path, 2, fails=True)

    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["episode-000001"]


def test_a_half_written_folder_is_not_taken_for_a_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, 1)
    (tmp_path / "checkpoints" / ".episode-000002.part").mkdir()

    assert read_run_checkpoint(tmp_path).state["episode"] == 1


def test_generator_and_memory_come_back(tmp_path: Path) -> None:
    write(tmp_path, 3)
    rng, empty = np.random.default_rng(99), ReplayMemory(5, (2,))

    checkpoint = read_run_checkpoint(tmp_path)
    checkpoint.restore_generator(rng)
    checkpoint.restore_memory(empty)

    assert rng.random() == np.random.default_rng(3).random()
    assert empty.gather(np.array([0])).reward.tolist() == [0.5]


def test_a_run_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunCheckpointError, match="no checkpoint"):
        read_run_checkpoint(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}"], ids=["empty", "cut", "list", "no-version"])
def test_a_damaged_state_is_named(tmp_path: Path, text: str) -> None:
    (write(tmp_path, 1) / "state.json").write_text(text)

    with pytest.raises(RunCheckpointError, match=r"state\.json"):
        read_run_checkpoint(tmp_path)


def test_a_state_of_a_later_version_is_refused(tmp_path: Path) -> None:
    (write(tmp_path, 1) / "state.json").write_text(json.dumps({"state_version": 2}))

    with pytest.raises(RunCheckpointError, match="version 2"):
        read_run_checkpoint(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "other-capacity"])
def test_a_memory_that_does_not_fit_is_named(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path, 1) / "memory.npz"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:200])

    with pytest.raises(RunCheckpointError, match=r"memory\.npz"):
        read_run_checkpoint(tmp_path).restore_memory(ReplayMemory(6, (2,)))


def test_a_generator_of_another_kind_is_refused(tmp_path: Path) -> None:
    write(tmp_path, 1)
    other = np.random.Generator(np.random.MT19937(0))

    with pytest.raises(RunCheckpointError, match="MT19937"):
        read_run_checkpoint(tmp_path).restore_generator(other)


def test_a_folder_replaces_one_of_the_same_name(tmp_path: Path) -> None:
    for text in ("old", "new"):
        write_folder(tmp_path / "best", lambda path, text=text: (path / text).touch())

    assert [path.name for path in (tmp_path / "best").iterdir()] == ["new"]
