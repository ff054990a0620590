"""SAC and DQN of stable-baselines3 under the conditions of the RRD suite's agents, called as users call them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.measure import Operation
from benchmarks.subjects import Prepared
from benchmarks.subjects.suite_conditions import (
    ACTION_SIZE,
    BATCH_SIZE,
    CARTPOLE,
    DQN_EPSILON,
    DQN_LEARNING_RATE,
    DQN_MEMORY,
    DQN_RHYTHMS,
    DQN_TARGET_EVERY,
    DQN_WARMUP,
    HIDDEN_SIZES,
    OBSERVATION_SIZE,
    PENDULUM,
    SAC_WARMUP,
    SEED,
    STORED,
    DqnRhythm,
    make_continuous_transitions,
)


class StableBaselinesSuite:
    """`train`, `learn` and `predict` of stable-baselines3.

    Args:
        threads: of torch within an operation.
    """

    def __init__(self, *, threads: int) -> None:
        torch.set_num_threads(threads)
        # Its logger imports TensorBoard, which imports TensorFlow where that is installed, see `stable_baselines`.
        sys.modules["torch.utils.tensorboard"] = None  # type: ignore[assignment]

    def prepare(self, task: str) -> Prepared:
        """Return one of the tasks of `suite_agent.SuiteAgent`."""
        import stable_baselines3

        tasks: dict[str, Callable[[], tuple[Operation, int]]] = {
            "sac-updates": self._prepare_updates,
            "sac-training": self._prepare_sac_training,
            "sac-act": self._prepare_sac_acting,
            **{
                name: partial(self._prepare_dqn_training, rhythm)
                for name, rhythm in DQN_RHYTHMS.items()
            },
            "dqn-act": self._prepare_dqn_acting,
        }
        if task not in tasks:
            message = f"stable-baselines3 is not measured in {task!r}; in {', '.join(tasks)}"
            raise ValueError(message)
        operation, multiple = tasks[task]()
        return Prepared(operation, multiple, {"version": stable_baselines3.__version__})

    def sizes(self, folder: str) -> Iterable[tuple[str, int]]:
        """Return nothing: its zip is not a format of ours."""
        del folder
        return []

    def _prepare_updates(self) -> tuple[Operation, int]:
        model = _make_sac(_make_spaces())
        stored = make_continuous_transitions()
        end, no_facts = np.zeros(1), [dict[str, object]()]
        for index in range(STORED):
            fields = (stored.observation, stored.next_observation, stored.action)
            rows = (field[index] for field in fields)
            model.replay_buffer.add(*rows, stored.reward[index : index + 1], end, no_facts)

        def update(count: int) -> None:
            model.train(gradient_steps=count, batch_size=BATCH_SIZE)

        return update, 1

    def _prepare_sac_training(self) -> tuple[Operation, int]:
        model = _make_sac(PENDULUM)
        model.learn(2 * SAC_WARMUP)
        return _learn_with(model), 1

    def _prepare_sac_acting(self) -> tuple[Operation, int]:
        observation = make_continuous_transitions().observation[0]
        return _predict_with(_make_sac(_make_spaces()), observation), 1

    def _prepare_dqn_training(self, rhythm: DqnRhythm) -> tuple[Operation, int]:
        model = _make_dqn(rhythm)
        model.learn(DQN_WARMUP)
        return _learn_with(model), rhythm.steps_a_call

    def _prepare_dqn_acting(self) -> tuple[Operation, int]:
        return _predict_with(_make_dqn(DQN_RHYTHMS["dqn-bursts"]), np.zeros(4, np.float32)), 1


def _make_sac(environment: Any) -> Any:  # noqa: ANN401  an optional package
    """Return a SAC; its defaults are batches of 256, one update per step and 2 x 256 units."""
    import stable_baselines3

    model = stable_baselines3.SAC(
        "MlpPolicy",
        environment,
        buffer_size=STORED,
        batch_size=BATCH_SIZE,
        learning_starts=SAC_WARMUP,
        policy_kwargs={"net_arch": list(HIDDEN_SIZES)},
        device="cpu",
        seed=SEED,
    )
    return _without_log(model)


def _make_dqn(rhythm: DqnRhythm) -> Any:  # noqa: ANN401
    """Return a DQN on CartPole at its last exploration rate."""
    import stable_baselines3

    model = stable_baselines3.DQN(
        "MlpPolicy",
        CARTPOLE,
        learning_rate=DQN_LEARNING_RATE,
        batch_size=rhythm.batch_size,
        buffer_size=DQN_MEMORY,
        learning_starts=rhythm.batch_size,
        train_freq=rhythm.train_every,
        gradient_steps=rhythm.updates,
        target_update_interval=DQN_TARGET_EVERY,
        exploration_initial_eps=DQN_EPSILON,
        exploration_final_eps=DQN_EPSILON,
        policy_kwargs={"net_arch": list(rhythm.hidden_sizes)},
        device="cpu",
        seed=SEED,
    )
    return _without_log(model)


def _without_log(model: Any) -> Any:  # noqa: ANN401
    from stable_baselines3.common.logger import Logger

    model.set_logger(Logger(folder=None, output_formats=[]))
    return model


def _learn_with(model: Any) -> Operation:  # noqa: ANN401
    def run(count: int) -> None:
        model.learn(count, reset_num_timesteps=False)

    return run


def _predict_with(model: Any, observation: Any) -> Operation:  # noqa: ANN401
    def act(count: int) -> None:
        for _ in range(count):
            model.predict(observation, deterministic=True)

    return act


def _make_spaces() -> Any:  # noqa: ANN401
    """Return an environment that has the right spaces and is never stepped."""
    import gymnasium

    class Spaces(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-10, 10, (OBSERVATION_SIZE,), np.float32)
        action_space = gymnasium.spaces.Box(-1, 1, (ACTION_SIZE,), np.float32)

    return Spaces()
