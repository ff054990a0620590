from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experience.arguments import Arguments, choose_defaults
from experience.environments.suite import Outcome
from experience.learner import GreedyTester, Learner, RunningEpisode, show
from experience.suite_logs import Averages


class Walk:
    """An episode of `length` steps: shows (seed, step), rewards the action."""

    acts_dims, obs_dims, discrete = (1,), (2,), False

    def __init__(self, length: int = 3) -> None:
        self.length = length
        self.seeds: list[int] = []

    def reset(self, *, seed: int) -> Any:
        self.seeds.append(seed)
        self.now = 0
        return np.array([seed % 100, 0], np.float32)

    def step(self, action: Any) -> Outcome:
        self.now += 1
        observation = np.array([self.seeds[-1] % 100, self.now], np.float32)
        over = self.now == self.length
        info = {"Steps": float(self.now), "Rewards": 10.0 * self.now}
        return Outcome(observation, float(action[0]), False, over, info)

    def random_action(self, rng: np.random.Generator) -> Any:
        return np.array([rng.uniform()], np.float32)

    def close(self) -> None:
        pass


class Recorder:
    """An agent and a buffer in one that write down what is done to them."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.stored: list[Any] = []
        self.step_counter, self.ready = 0, True
        self.warming_up = True
        self.warm: list[bool] = []

    def step(self, observation: Any, explore: bool = False, test_info: bool = False) -> Any:
        self.warm.append(self.warming_up)
        action = observation[..., -1:] + 1
        return (action, {"Q_average": float(observation[-1])}) if test_info else action

    def store_episode(self, episode: Any) -> None:
        self.stored.append(episode)
        self.step_counter += len(episode)

    def sample_batch(self) -> Any:
        self.calls.append("sample")
        return {}

    def train(self, batch: Any) -> dict[str, float]:
        self.calls.append("train")
        return {"loss": float(len(self.calls))}

    def train_q(self, batch: Any) -> dict[str, float]:
        self.calls.append("q")
        return {}

    def train_pi(self, batch: Any) -> dict[str, float]:
        self.calls.append("pi")
        return {}

    def normalizer_update(self, batch: Any) -> None:
        self.calls.append("normalizer")

    def target_update(self) -> None:
        self.calls.append("target")


def make(
    environments: int = 1, length: int = 3, **changes: Any
) -> tuple[Learner, Recorder, list[Walk]]:
    settings = {"alg": "sac", "env": "Pendulum-v1", "iterations": 1, "timesteps": 6, "warmup": 0}
    arguments = choose_defaults(**{**settings, "train_batches": 2, **changes})
    recorder, walks = Recorder(), [Walk(length) for _ in range(environments)]
    learner = Learner(arguments, walks, recorder, recorder, np.random.default_rng(0))  # type: ignore[arg-type]
    return learner, recorder, walks


@pytest.mark.parametrize(
    ("changes", "calls"),
    [
        ({}, "normalizer train target train target"),
        ({"train_target": 2}, "normalizer train train target"),
        ({"alg": "td3", "train_batches": 3}, "normalizer q q pi target q"),
        ({"alg": "rrd", "basis_alg": "td3"}, "normalizer q q pi target"),
        ({"warmup": 7}, ""),
        ({"warmup": 6, "train_batches": 1}, "normalizer train target"),
    ],
)
def test_updates_follow_the_order_of_the_original(changes: dict[str, Any], calls: str) -> None:
    learner, recorder, _ = make(**changes)

    learner.learn(Averages())

    assert [call for call in recorder.calls if call != "sample"] == calls.split()
    # Every update, that of the statistics as well, has a batch of its own.
    assert recorder.calls.count("sample") == sum(
        recorder.calls.count(name) for name in ("normalizer", "train", "q", "pi")
    )


def test_delayed_policy_counts_over_iterations() -> None:
    learner, recorder, _ = make(alg="td3", train_batches=1, iterations=4)

    learner.learn(Averages())

    assert [c for c in recorder.calls if c in ("q", "pi", "target")] == (
        ["q", "q", "pi", "target", "q", "q", "pi", "target"]
    )


def test_transitions_are_stored_when_their_episode_ends() -> None:
    learner, recorder, _ = make(length=4)

    learner.learn(Averages())

    [episode] = recorder.stored
    assert episode.action[:, 0].tolist() == episode.reward.tolist() == [1, 2, 3, 4]
    assert episode.first[:, 1].tolist() == [0]
    assert episode.following[:, 1].tolist() == [1, 2, 3, 4]
    assert (learner.steps, learner.episodes) == (6, 1)


def test_every_episode_has_a_seed_of_its_own() -> None:
    learner, _, [walk] = make(iterations=3)

    learner.learn(Averages())

    assert len(set(walk.seeds)) == len(walk.seeds) == 7


def test_environments_are_stepped_side_by_side() -> None:
    learner, recorder, walks = make(environments=2, length=3)

    learner.learn(Averages())

    assert learner.steps == 6
    assert [episode.reward.tolist() for episode in recorder.stored] == [[1, 2, 3]] * 2
    assert len(recorder.warm) == 3
    assert walks[0].seeds != walks[1].seeds


def test_timesteps_that_cannot_be_shared_out_are_refused() -> None:
    with pytest.raises(ValueError, match="no multiple of num_envs 4"):
        make(environments=4)


def test_warming_up_ends_when_the_buffer_has_enough() -> None:
    learner, recorder, _ = make(warmup=3)

    learner.learn(Averages())

    assert recorder.warm == [True, True, True, False, False, False]


def test_nothing_is_learnt_from_a_buffer_that_is_not_ready() -> None:
    learner, recorder, _ = make()
    recorder.ready = False

    learner.learn(Averages(), lambda: False)

    assert recorder.calls == []


def test_learning_stops_between_iterations_and_goes_on_there() -> None:
    learner, _, _ = make(iterations=3)

    stopped = learner.learn(Averages(), should_stop=lambda: True)
    iteration = learner.iteration
    complete = learner.learn(Averages())

    assert (stopped, iteration, complete, learner.steps) == (False, 1, True, 18)


def test_restored_learner_repeats_the_running_episode() -> None:
    learner, _, _ = make(length=4)
    learner.learn(Averages())
    other, recorder, _ = make(length=4)

    other.load_state_dict(learner.state_dict())
    other.learn(Averages())

    assert recorder.stored[0].reward.tolist() == [1, 2, 3, 4]
    assert other.steps == 12


def test_environment_that_does_not_repeat_itself_is_refused() -> None:
    learner, _, _ = make(length=4)
    learner.learn(Averages())
    state = learner.state_dict()
    state["running"][0]["last"] = state["running"][0]["last"] + 1

    with pytest.raises(ValueError, match="does not repeat itself"):
        make(length=4)[0].load_state_dict(state)


def test_images_are_taken_apart() -> None:
    stacks = [np.arange(t, t + 3, dtype=np.uint8) * np.ones((5, 4, 1), np.uint8) for t in range(3)]
    running = RunningEpisode(0, stacks, [np.array(1), np.array(2)], [0.0, 1.0], [False, True])

    episode = running.finish()

    assert episode.first[:, 0, 0].tolist() == [0, 1, 2]
    assert episode.following[:, 0, 0].tolist() == [3, 4]
    assert episode.action.tolist() == [1, 2]


def test_tester_returns_the_mean_of_true_returns() -> None:
    arguments = choose_defaults(alg="sac", env="Pendulum-v1", test_rollouts=2)
    averages = Averages()

    mean = GreedyTester(arguments, Walk(), Recorder(), np.random.default_rng(0)).play(averages)  # type: ignore[arg-type]

    assert mean == 30
    assert averages.means() == {"Q_average": 1.0, "Steps": 3.0, "Rewards": 30.0}


def test_tests_take_random_actions_at_their_rate() -> None:
    arguments = choose_defaults(alg="sac", env="Pendulum-v1", test_rollouts=300, test_eps=0.25)
    walk = Walk()
    taken: list[float] = []
    step = walk.step
    walk.step = lambda action: (taken.append(float(action[0])), step(action))[1]  # type: ignore[method-assign]

    GreedyTester(arguments, walk, Recorder(), np.random.default_rng(0)).play(Averages())  # type: ignore[arg-type]

    share = np.mean([action < 1 for action in taken])
    assert abs(share - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 900)


@pytest.mark.parametrize(
    ("alg", "dims", "factor"), [("dqn", (2,), 255), ("dqn", (2, 2, 4), 1), ("sac", (2,), 1)]
)
def test_vectors_are_shown_as_large_as_images(alg: str, dims: tuple[int, ...], factor: int) -> None:
    arguments = Arguments(alg=alg, obs_dims=dims)

    shown = show(np.full(dims, 2.0, np.float32), arguments)

    assert np.all(shown == 2 * factor)
