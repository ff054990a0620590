"""Collecting steps and learning from them, as the RRD suite does it: in iterations of a cycle.

Actions of the agent go into the environments, whole episodes into the buffer, batches of the buffer into the agent.
Where everything random comes from, and what has to be stored for a run to go on bit by bit, is here as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from experience.arguments import Arguments
from experience.environments.suite import SuiteEnvironment
from experience.episode_ring import Array, Episode
from experience.suite_batches import BatchArrays
from experience.suite_buffers import Buffer
from experience.suite_logs import Averages
from experience.value_dqn import MAX_INTENSITY

HIGHEST_SEED = 2**31


class SuiteAgent(Protocol):
    """What the loop asks of an agent of either framework.

    It may also have `train_q` and `train_pi` (td3), `warming_up` (dqn: the loop sets it while the buffer has too few
    transitions) and `epsilon` (shown).
    """

    def step(self, observation: Array, explore: bool = False, test_info: bool = False) -> Any:  # noqa: ANN401
        """Return an action, or with `test_info` a pair of it and figures."""
        ...

    def train(self, batch: BatchArrays) -> dict[str, float]:
        """Learn from a batch and return figures."""
        ...

    def normalizer_update(self, batch: BatchArrays) -> None:
        """Take the batch's observations into the statistics, if there are any."""
        ...

    def target_update(self) -> None:
        """Move the target networks."""
        ...

    def save_model(self, path: Any) -> None:  # noqa: ANN401  text or Path
        """Write everything but the buffer."""
        ...

    def load_model(self, path: Any) -> None:  # noqa: ANN401
        """Read what `save_model` wrote."""
        ...


@dataclass(slots=True)
class RunningEpisode:
    """An episode that has not ended.

    Attributes:
        seed: it was reset with.
        observations: one more than actions.
    """

    seed: int
    observations: list[Array]
    actions: list[Array] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    done: list[bool] = field(default_factory=list)

    def finish(self) -> Episode:
        """Return it as the buffers store it."""
        observations = self.observations
        if observations[0].ndim == 3:
            first = np.moveaxis(observations[0], -1, 0)
            following = np.stack([observation[..., -1] for observation in observations[1:]])
        else:
            first, following = observations[0][None], np.stack(observations[1:])
        rewards = np.array(self.rewards, np.float32)
        return Episode(
            first, following, np.stack(self.actions), rewards, np.array(self.done, np.float32)
        )


class Learner:
    """Trains an agent.

    Attributes:
        episodes: finished ones.
        steps: environment steps, of all environments together.
        updates: `train` calls.
        iteration: of the running cycle.

    Args:
        arguments: sizes and rates.
        environments: stepped side by side, at least one.
        agent: learns.
        buffer: keeps episodes.
        rng: draws the seed of every episode.

    Raises:
        ValueError: `timesteps` cannot be shared out among the environments.
    """

    def __init__(
        self,
        arguments: Arguments,
        environments: Sequence[SuiteEnvironment],
        agent: SuiteAgent,
        buffer: Buffer,
        rng: np.random.Generator,
    ) -> None:
        if arguments.timesteps % len(environments):
            msg = f"timesteps {arguments.timesteps} are no multiple of num_envs {len(environments)}"
            raise ValueError(msg)
        self._arguments, self._environments, self._agent = arguments, environments, agent
        self._buffer, self._rng = buffer, rng
        self.episodes = self.steps = self.updates = self.iteration = 0
        self._running: list[RunningEpisode] = []

    def learn(self, averages: Averages, should_stop: Callable[[], bool] = lambda: False) -> bool:
        """Do the iterations that are left of this cycle.

        Args:
            averages: gets the figures of every update.
            should_stop: asked after every iteration.

        Returns:
            Whether the cycle is complete.
        """
        if not self._running:
            self._running = [self._begin(environment) for environment in self._environments]
        while self.iteration < self._arguments.iterations:
            self._collect()
            if hasattr(self._agent, "epsilon"):
                averages.add({"Epsilon": self._agent.epsilon})
            if self._buffer.step_counter >= self._arguments.warmup and self._buffer.ready:
                self._learn_from_buffer(averages)
            self.iteration += 1
            if should_stop():
                return False
        self.iteration = 0
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return counters and running episodes; the latter as seeds and actions, from which they can be repeated."""
        counters = {name: getattr(self, name) for name in _COUNTERS}
        running = [
            {"seed": each.seed, "actions": each.actions, "last": each.observations[-1]}
            for each in self._running
        ]
        return {**counters, "running": running}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, repeating the running episodes in the environments.

        Raises:
            ValueError: An environment does not repeat itself, or there is another number of them.
        """
        for name in _COUNTERS:
            setattr(self, name, int(state[name]))
        stored = state["running"]
        if stored and len(stored) != len(self._environments):
            msg = f"stored with {len(stored)} environments; there are {len(self._environments)}"
            raise ValueError(msg)
        self._running = []
        for environment, each in zip(self._environments, stored, strict=False):
            running = RunningEpisode(each["seed"], [environment.reset(seed=each["seed"])])
            for action in each["actions"]:
                self._advance(environment, running, action)
            if not np.array_equal(running.observations[-1], each["last"]):
                msg = f"{self._arguments.env} does not repeat itself from its seed; the run cannot go on exactly"
                raise ValueError(msg)
            self._running.append(running)

    def _collect(self) -> None:
        for _ in range(self._arguments.timesteps // len(self._environments)):
            self._tell_warmup()
            actions = self._choose_actions()
            for place, environment in enumerate(self._environments):
                running = self._running[place]
                over = self._advance(environment, running, actions[place])
                self.steps += 1
                if over:
                    self._buffer.store_episode(running.finish())
                    self.episodes += 1
                    self._running[place] = self._begin(environment)

    def _choose_actions(self) -> Sequence[Array]:
        shown = [show(running.observations[-1], self._arguments) for running in self._running]
        if len(shown) == 1:
            return [np.asarray(self._agent.step(shown[0], explore=True))]
        actions: NDArray[Any] = np.asarray(self._agent.step(np.stack(shown), explore=True))
        return list(actions)

    def _learn_from_buffer(self, averages: Averages) -> None:
        arguments, agent, sample = self._arguments, self._agent, self._buffer.sample_batch
        agent.normalizer_update(sample())
        for _ in range(arguments.train_batches):
            self.updates += 1
            if arguments.basis == "td3":
                delayed: Any = agent  # Any: `train_q` and `train_pi` are not of every agent
                averages.add(delayed.train_q(sample()))
                if self.updates % arguments.pi_delay_freq == 0:
                    averages.add(delayed.train_pi(sample()))
            else:
                averages.add(agent.train(sample()))
            if self.updates % arguments.train_target == 0:
                agent.target_update()

    def _begin(self, environment: SuiteEnvironment) -> RunningEpisode:
        seed = int(self._rng.integers(HIGHEST_SEED))
        return RunningEpisode(seed, [environment.reset(seed=seed)])

    @staticmethod
    def _advance(environment: SuiteEnvironment, running: RunningEpisode, action: Array) -> bool:
        """Take an action, write it down, and return whether the episode is over."""
        outcome = environment.step(action)
        running.actions.append(action)
        running.observations.append(outcome.observation)
        running.rewards.append(outcome.reward)
        running.done.append(outcome.done)
        return outcome.real_done

    def _tell_warmup(self) -> None:
        if hasattr(self._agent, "warming_up"):
            self._agent.warming_up = self._buffer.step_counter < self._arguments.warmup


_COUNTERS = ("episodes", "steps", "updates", "iteration")


class GreedyTester:
    """Plays greedy episodes in an environment of its own.

    Args:
        arguments: test_rollouts, test_eps.
        environment: not the learner's.
        agent: acts.
        rng: draws the seed of every episode and the few random actions.
    """

    def __init__(
        self,
        arguments: Arguments,
        environment: SuiteEnvironment,
        agent: SuiteAgent,
        rng: np.random.Generator,
    ) -> None:
        self._arguments, self._environment = arguments, environment
        self._agent, self._rng = agent, rng

    def play(self, averages: Averages) -> float | None:
        """Return the mean return of `test_rollouts` episodes, None if that is no episode.

        Args:
            averages: gets the figures of every step, and Steps and Rewards of every episode.
        """
        returns = [self._play_episode(averages) for _ in range(self._arguments.test_rollouts)]
        return float(np.mean(returns)) if returns else None

    def _play_episode(self, averages: Averages) -> float:
        observation = self._environment.reset(seed=int(self._rng.integers(HIGHEST_SEED)))
        while True:
            shown = show(observation, self._arguments)
            action, figures = self._agent.step(shown, explore=False, test_info=True)
            averages.add(figures)
            if self._arguments.test_eps > 0 and self._rng.random() <= self._arguments.test_eps:
                action = self._environment.random_action(self._rng)
            outcome = self._environment.step(action)
            observation = outcome.observation
            if outcome.real_done:
                averages.add(outcome.info)
                return outcome.info["Rewards"]


def show(observation: Array, arguments: Arguments) -> Array:
    """Return the observation as the agent's `step` takes it.

    The Q-learning agents divide what they are shown by 255, as the original does for its images, but not what comes
    from the buffer; a vector is therefore shown 255 times as large.
    """
    return observation * np.float32(MAX_INTENSITY) if _is_scaled(arguments) else observation


def _is_scaled(arguments: Arguments) -> bool:
    return arguments.discrete and len(arguments.obs_dims) == 1
