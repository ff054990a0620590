"""Every algorithm of the suite goes on bit by bit after it was stopped, images and several environments included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experience.arguments import choose_defaults
from experience.suite_training import SuiteRun

pytest.importorskip("gymnasium")
pytest.importorskip("torch")

VECTORS = {"env": "Pendulum-v1", "timesteps": 12, "hidden_sizes": (8, 8), "obs_normalization": True,
           "normalizer_identity_start": True}  # fmt: skip
NUMBERED = {"env": "CartPole-v1", "timesteps": 12, "hidden_sizes": (8, 8)}
IMAGES = {"env": "Catch", "timesteps": 12, "frames": 2, "warmup": 20}
COURSES = {
    "ddpg": {**VECTORS, "alg": "ddpg"},
    "td3": {**VECTORS, "alg": "td3"},
    "sac": {**VECTORS, "alg": "sac"},
    "dqn": {**NUMBERED, "alg": "dqn"},
    "rrd-sac": {**VECTORS, "alg": "rrd", "basis_alg": "sac", "rrd_bias_correction": True},
    "ircr-td3": {**VECTORS, "alg": "ircr", "basis_alg": "td3"},
    "dqn-images": {**IMAGES, "alg": "dqn", "dueling": True},
    "rrd-dqn-images": {**IMAGES, "alg": "rrd", "basis_alg": "dqn"},
    "ircr-dqn-images": {**IMAGES, "alg": "ircr", "basis_alg": "dqn"},
}


def train(folder: Path, stop_after: int, **flags: Any) -> tuple[SuiteRun, Any]:
    """Return the run and its result; it stops after some iterations."""
    settings = {
        "epochs": 1, "cycles": 2, "iterations": 3, "warmup": 12, "train_batches": 2, "batch_size": 6, "test_rollouts": 1,
        "test_timesteps": 10, "buffer_size": 60, "rrd_batch_size": 6, "rrd_sample_size": 3, "train_target": 1,
        "log_folder": str(folder / "log"), "run_folder": str(folder / "run"), "cuda": False, "use_pytorch": True,
    }  # fmt: skip
    run = SuiteRun(choose_defaults(**{**settings, **flags}))
    asked = iter([False] * stop_after + [True] * 100)
    try:
        return run, run.train(None, lambda: next(asked))
    finally:
        run.close()


@pytest.mark.slow
@pytest.mark.parametrize("num_envs", [1, 2])
@pytest.mark.parametrize("name", COURSES)
def test_stopped_run_goes_on_bit_by_bit(name: str, num_envs: int, tmp_path: Path) -> None:
    flags: dict[str, Any] = {**COURSES[name], "num_envs": num_envs}
    whole, expected = train(tmp_path / "whole", 100, **flags)

    _, stopped = train(tmp_path / "part", 4, **flags)
    resumed, found = train(tmp_path / "part", 100, **flags, resume=True)

    assert (stopped.complete, found.complete) == (False, True)
    assert found.returns == expected.returns
    assert found.updates == expected.updates > 0
    variables, wanted = resumed.agent.read_variables(), whole.agent.read_variables()
    assert [name for name in wanted if not np.array_equal(variables[name], wanted[name])] == []
    assert resumed.agent.counters == whole.agent.counters
