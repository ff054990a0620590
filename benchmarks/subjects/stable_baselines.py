"""stable-baselines3's DQN on the same network, batch and memory size, called as its own training loop calls it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from benchmarks.subjects import Prepared
from benchmarks.subjects.transitions import (
    ACTIONS,
    BATCH_SIZE,
    MEMORY_SIZE,
    OBSERVATION_SIZE,
    SEED,
    make_transitions,
)


class StableBaselinesDQN:
    """`stable_baselines3.DQN.train`, many gradient steps in one call.

    Args:
        threads: of torch within an operation.
    """

    def __init__(self, *, threads: int) -> None:
        torch.set_num_threads(threads)
        # Its logger imports TensorBoard, which imports TensorFlow where that is installed: seconds and hundreds of
        # megabytes that have nothing to do with an update. It copes with the module missing.
        sys.modules["torch.utils.tensorboard"] = None  # type: ignore[assignment]

    def prepare(self, task: str) -> Prepared:
        """Return the "updates" task; there is no other."""
        if task != "updates":
            message = f"stable-baselines3 is only measured in updates, found {task!r}"
            raise ValueError(message)
        import stable_baselines3
        from stable_baselines3.common.logger import Logger

        model = stable_baselines3.DQN(
            "MlpPolicy",
            make_environment(),
            policy_kwargs={"net_arch": [128, 64, 32]},
            buffer_size=MEMORY_SIZE,
            batch_size=BATCH_SIZE,
            gamma=0.95,
            learning_rate=1e-3,
            device="cpu",
            seed=SEED,
        )
        model.set_logger(Logger(folder=None, output_formats=[]))
        fill(model.replay_buffer)

        def update(count: int) -> None:
            model.train(gradient_steps=count, batch_size=BATCH_SIZE)

        return Prepared(update, details={"version": stable_baselines3.__version__})

    def sizes(self, folder: str) -> Iterable[tuple[str, int]]:
        """Return nothing: its zip is not a format of ours."""
        del folder
        return []


def make_environment() -> Any:  # noqa: ANN401
    """Return an environment that has the right spaces and is never stepped. Any: gymnasium is optional."""
    import gymnasium

    class Spaces(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-10, 10, (OBSERVATION_SIZE,), np.float32)
        action_space = gymnasium.spaces.Discrete(ACTIONS)

    return Spaces()


def fill(memory: Any) -> None:  # noqa: ANN401
    """Put the common transitions into its replay buffer. Any: a class of an optional package."""
    stored = make_transitions()
    for index in range(MEMORY_SIZE):
        memory.add(
            stored.observation[index],
            stored.next_observation[index],
            np.asarray([stored.action[index]]),
            np.asarray([stored.reward[index]]),
            np.asarray([stored.terminated[index]]),
            [{}],
        )
