from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import offline_data
from benchmarks.offline_data import MIXED, make_sets, record, swing_up, write_archive
from parity_tests.offline_run import read_dataset

pytest.importorskip("gymnasium")


def test_the_controller_swings_the_pendulum_up_and_holds_it() -> None:
    episodes = record("Pendulum-v1", swing_up, 600, seed=0)

    # Hanging still costs about 1,900 an episode of 200 steps, chance about 1,200.
    assert np.mean([episode.total_reward for episode in episodes]) > -300
    assert all(np.abs(episode.observations[-1, 0] - 1.0) < 0.05 for episode in episodes)


def test_recording_ends_with_whole_episodes_and_is_repeatable() -> None:
    first, again = (record("Pendulum-v1", swing_up, 250, seed=3) for _ in range(2))

    assert [len(episode) for episode in first] == [200, 200]
    assert first[0].truncations[-1]
    np.testing.assert_array_equal(first[1].observations, again[1].observations)


def test_mixed_set_has_its_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = dict.fromkeys(("expert", "medium", "random"), 400)
    monkeypatch.setattr(offline_data, "SIZES", {"Pendulum-v1": sizes})
    monkeypatch.setattr(offline_data, "MIXED", {"Pendulum-v1": {"random": 300, "expert": 50}})

    files = make_sets("Pendulum-v1", tmp_path)
    episodes = read_dataset(str(files["mixed"]))

    assert [len(episode) for episode in episodes] == [200, 100, 50]
    assert [bool(episode.truncations[-1]) for episode in episodes] == [True] * 3
    assert set(sizes) == set(MIXED["Pendulum-v1"])
    before = files["mixed"].stat().st_mtime_ns
    assert make_sets("Pendulum-v1", tmp_path) == files
    assert files["mixed"].stat().st_mtime_ns == before


def test_archive_is_read_back_as_it_was(tmp_path: Path) -> None:
    episodes = record("Pendulum-v1", swing_up, 250, seed=1)

    write_archive(tmp_path / "data.npz", episodes)

    for kept, found in zip(episodes, read_dataset(str(tmp_path / "data.npz")), strict=True):
        np.testing.assert_array_equal(kept.observations, found.observations)
        np.testing.assert_array_equal(kept.actions, found.actions)
