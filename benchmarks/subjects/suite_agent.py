"""The agents of the RRD suite, and of `train dqn`, beside stable-baselines3 and d3rlpy: updates, training loops, actions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.measure import Operation
from benchmarks.subjects import MissingExtraError, Prepared
from benchmarks.subjects.suite_conditions import (
    ACTION_SIZE,
    BATCH_SIZE,
    CARTPOLE,
    DQN_EPSILON,
    DQN_RHYTHMS,
    DQN_TARGET_EVERY,
    DQN_WARMUP,
    EPISODE_LENGTH,
    HIDDEN_SIZES,
    OBSERVATION_SIZE,
    PENDULUM,
    SAC_WARMUP,
    SEED,
    STORED,
    DqnRhythm,
    make_continuous_transitions,
)
from experience.agents import create_agent
from experience.arguments import Arguments, choose_defaults
from experience.environments import make_environment
from experience.environments.suite import describe_spaces, make_suite_environment
from experience.episode_ring import Episode
from experience.learner import Learner
from experience.presets import find_preset
from experience.schedules import LinearSchedule
from experience.suite_buffers import create_buffer
from experience.suite_logs import Averages
from experience.training import TrainingSettings, train

STEPS_PER_ITERATION = 100
"""Environment steps, then as many updates: the suite's own rhythm."""


class SuiteAgent:
    """SAC of the suite, or DQN as `train dqn` builds it.

    Args:
        side: "legacy" or "torch".
        threads: of torch within an operation; TensorFlow reads them in the environment.
        compiled: let PyTorch compile the updates.
    """

    def __init__(self, *, side: str, threads: int, compiled: bool = False) -> None:
        self._side, self._compiled = side, compiled
        if side == "torch":
            import torch

            torch.set_num_threads(threads)

    def prepare(self, task: str) -> Prepared:
        """Return one of "sac-updates", "sac-training", "sac-act", "dqn-training", "dqn-bursts", "dqn-act".

        Raises:
            MissingExtraError: It would have to compile and cannot.
        """
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
            message = f"the suite's agents are not measured in {task!r}; in {', '.join(tasks)}"
            raise ValueError(message)
        operation, multiple = tasks[task]()
        start = time.perf_counter()
        operation(multiple)
        return Prepared(operation, multiple, {"first call": f"{time.perf_counter() - start:.1f} s"})

    def sizes(self, folder: str) -> Iterable[tuple[str, int]]:
        """Return nothing: files are measured by pair."""
        del folder
        return []

    def _prepare_updates(self) -> tuple[Operation, int]:
        arguments = _sac_arguments(obs_dims=(OBSERVATION_SIZE,), acts_dims=(ACTION_SIZE,))
        agent = self._create(arguments)
        buffer = create_buffer(arguments, np.random.default_rng(SEED))
        stored = make_continuous_transitions()
        for start in range(0, STORED, EPISODE_LENGTH):
            rows = slice(start, start + EPISODE_LENGTH)
            following = stored.next_observation[rows]
            ends = np.zeros(EPISODE_LENGTH, np.float32)
            episode = (stored.observation[rows][:1], following, stored.action[rows])
            buffer.store_episode(Episode(*episode, stored.reward[rows], ends))

        def update(count: int) -> None:
            for _ in range(count):
                agent.train(buffer.sample_batch())
                agent.target_update()

        return update, 1

    def _prepare_sac_training(self) -> tuple[Operation, int]:
        arguments = _sac_arguments(
            env=PENDULUM,
            env_type="normal",
            test_timesteps=200,
            timesteps=STEPS_PER_ITERATION,
            train_batches=STEPS_PER_ITERATION,
            warmup=SAC_WARMUP,
        )
        environment = make_suite_environment(arguments)
        describe_spaces(arguments, environment)
        agent = self._create(arguments)
        generators = (np.random.default_rng(SEED) for _ in range(2))
        buffer = create_buffer(arguments, next(generators))
        learner = Learner(arguments, [environment], agent, buffer, next(generators))

        def run(count: int) -> None:
            arguments.iterations = count // STEPS_PER_ITERATION
            learner.learn(Averages())

        # Whole episodes reach the buffer only when they end.
        run(2 * SAC_WARMUP)
        return run, STEPS_PER_ITERATION

    def _prepare_sac_acting(self) -> tuple[Operation, int]:
        agent = self._create(_sac_arguments(obs_dims=(OBSERVATION_SIZE,), acts_dims=(ACTION_SIZE,)))
        observation = make_continuous_transitions().observation[0]

        def act(count: int) -> None:
            for _ in range(count):
                agent.step(observation)

        return act, 1

    def _prepare_dqn_training(self, rhythm: DqnRhythm) -> tuple[Operation, int]:
        agent, environment = self._create_dqn(rhythm), make_environment(CARTPOLE)
        settings = TrainingSettings(
            learning_starts=rhythm.batch_size,
            train_every=rhythm.train_every,
            updates_per_train=rhythm.updates,
            target_every=DQN_TARGET_EVERY,
            target_unit="steps",
            exploration=LinearSchedule(DQN_EPSILON, DQN_EPSILON, 1),
        )
        rng = np.random.default_rng(SEED)
        ahead = 0

        def run(count: int) -> None:
            # A run ends with an episode; what that is too much is left out of the next call.
            nonlocal ahead
            wanted = count - ahead
            if wanted > 0:
                result = train(agent, environment, rng=rng, steps=wanted, settings=settings)
                ahead = result.steps - wanted
            else:
                ahead -= count

        run(DQN_WARMUP)
        return run, rhythm.steps_a_call

    def _prepare_dqn_acting(self) -> tuple[Operation, int]:
        agent, rng = self._create_dqn(DQN_RHYTHMS["dqn-bursts"]), np.random.default_rng(SEED)
        observation = np.zeros(4, np.float32)

        def act(count: int) -> None:
            for _ in range(count):
                agent.act(observation, rng, explore=False)

        return act, 1

    def _create(self, arguments: Arguments) -> Any:  # noqa: ANN401  of either framework
        agent = create_agent(arguments, side="torch" if self._side == "torch" else "legacy")
        if self._compiled:
            obstacle = agent.compile_steps()
            if obstacle is not None:
                raise MissingExtraError(obstacle)
        return agent

    def _create_dqn(self, rhythm: DqnRhythm) -> Any:  # noqa: ANN401
        settings: dict[str, Any] = {
            **find_preset("dqn", CARTPOLE).agent,
            "hidden_sizes": list(rhythm.hidden_sizes),
            "batch_size": rhythm.batch_size,
        }
        if self._side == "torch":
            from torch_impl import dqn

            return dqn.DQNAgent(4, 2, **settings, device="cpu", compiled=self._compiled)
        from legacy_tf import dqn as legacy_dqn

        return legacy_dqn.DQNAgent(4, 2, **settings, style="function")


def _sac_arguments(**changes: Any) -> Arguments:  # noqa: ANN401  values of several types
    return choose_defaults(
        **{
            "alg": "sac",
            "env": PENDULUM,
            "cuda": False,
            "seed": SEED,
            "batch_size": BATCH_SIZE,
            "hidden_sizes": HIDDEN_SIZES,
            "buffer_size": STORED,
            **changes,
        }
    )
