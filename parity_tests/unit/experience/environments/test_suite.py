from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experience.arguments import Arguments, choose_defaults
from experience.environments import MissingExtraError
from experience.environments.suite import (
    SuiteEnvironment,
    describe_spaces,
    make_suite_environment,
)

gymnasium = pytest.importorskip("gymnasium")


class Counting(gymnasium.Env):
    """Shows the step, rewards 1 + step, ends after `length` steps; keeps what it was told to do."""

    def __init__(
        self, length: int, *, image: bool = False, high: float = 2.0, low: float = -2.0
    ) -> None:
        self.length, self.image = length, image
        shape = (3, 2) if image else (2,)
        self.observation_space = gymnasium.spaces.Box(
            0, 255, shape, np.uint8 if image else np.float64
        )
        self.action_space = (
            gymnasium.spaces.Discrete(4)
            if image
            else gymnasium.spaces.Box(low, high, (3,), np.float32)
        )
        self.taken: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.now = 0
        return self._shown(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.taken.append(action)
        self.now += 1
        return self._shown(), float(self.now), self.now == self.length, False, {}

    def _shown(self) -> Any:
        return np.full(*((3, 2), self.now) if self.image else ((2,), float(self.now)))


def arguments(**changes: Any) -> Arguments:
    return choose_defaults(**{"env": "Pendulum-v1", "test_timesteps": 5, **changes})


@pytest.mark.parametrize(
    ("env_type", "rewards"), [("ep_rews", [0, 0, 0, 10]), ("normal", [1, 2, 3, 4])]
)
def test_reward_comes_at_the_end_or_at_every_step(env_type: str, rewards: list[float]) -> None:
    environment = SuiteEnvironment(Counting(4), arguments(env_type=env_type))
    environment.reset()

    outcomes = [environment.step(np.zeros(3)) for _ in range(4)]

    assert [outcome.reward for outcome in outcomes] == rewards
    assert [outcome.info["Rewards"] for outcome in outcomes] == [1, 3, 6, 10]
    assert [outcome.info["Steps"] for outcome in outcomes] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("length", "done"), [(4, True), (9, False), (5, False)], ids=["end", "limit", "both"]
)
def test_time_limit_is_no_end(length: int, done: bool) -> None:
    environment = SuiteEnvironment(Counting(length), arguments())
    environment.reset()

    last = [environment.step(np.zeros(3)) for _ in range(min(length, 5))][-1]

    assert (last.done, last.real_done) == (done, True)
    assert last.reward == sum(range(1, min(length, 5) + 1))


def test_actions_are_scaled_to_the_highest() -> None:
    counting = Counting(4, high=0.4, low=-0.4)
    environment = SuiteEnvironment(counting, arguments())

    environment.step(np.array([1.0, -0.5, 0.0]))

    np.testing.assert_allclose(counting.taken[0], [0.4, -0.2, 0.0], rtol=1e-6)


def test_lopsided_actions_are_refused() -> None:
    with pytest.raises(ValueError, match="symmetric around 0"):
        SuiteEnvironment(Counting(4, low=-1.0), arguments())


def test_images_are_stacked() -> None:
    chosen = arguments(alg="dqn", frames=3)
    environment = SuiteEnvironment(Counting(9, image=True), chosen)

    first = environment.reset()
    second = environment.step(1).observation

    assert first.shape == environment.obs_dims == (3, 2, 3)
    assert first.dtype == np.uint8
    assert (first[0, 0].tolist(), second[0, 0].tolist()) == ([0, 0, 0], [0, 0, 1])


def atari(env_type: str = "ep_rews", length: int = 99) -> tuple[Counting, SuiteEnvironment]:
    chosen = choose_defaults(env="Assault", env_type=env_type, noop=9, test_timesteps=7)
    counting = Counting(length, image=True)
    return counting, SuiteEnvironment(
        counting, chosen, prepare_image=lambda shown: shown.astype(np.uint8)
    )


def test_atari_begins_with_idle_steps_and_stacks_the_last_of_them() -> None:
    counting, environment = atari()

    first = environment.reset()

    assert first[0, 0].tolist() == [6, 7, 8, 9]
    assert counting.taken == [0] * 18


def test_atari_does_not_bootstrap_at_the_limit() -> None:
    _, environment = atari()
    environment.reset()

    last = [environment.step(1) for _ in range(7)][-1]

    assert (last.done, last.real_done) == (True, True)


def test_atari_clips_single_rewards_only() -> None:
    _, single = atari("normal")
    _, episodic = atari("ep_rews")

    rewards = [single.step(1).reward for _ in range(7)]
    total = [episodic.step(1).reward for _ in range(7)][-1]

    assert rewards == [1.0] * 7
    assert total == sum(range(10, 17))


def test_sizes_are_written_into_the_arguments() -> None:
    chosen = arguments()

    describe_spaces(chosen, make_suite_environment(chosen))

    assert (chosen.obs_dims, chosen.acts_dims, chosen.acts_num) == ((3,), (1,), 1)


@pytest.mark.parametrize(("env", "alg"), [("CartPole-v1", "sac"), ("Pendulum-v1", "dqn")])
def test_algorithm_and_environment_must_fit(env: str, alg: str) -> None:
    chosen = arguments(env=env, alg=alg)

    with pytest.raises(ValueError, match="cannot act in it"):
        describe_spaces(chosen, make_suite_environment(chosen))


def test_value_and_advantage_apart_are_refused_on_vectors() -> None:
    chosen = arguments(env="CartPole-v1", alg="dqn", dueling=True)

    with pytest.raises(ValueError, match="dueling: CartPole-v1 shows vectors"):
        describe_spaces(chosen, make_suite_environment(chosen))


def test_time_limit_of_gymnasium_is_taken_off() -> None:
    environment = make_suite_environment(arguments(test_timesteps=300))
    environment.reset(seed=1)

    ends = [environment.step(np.zeros(1)).real_done for _ in range(300)]

    assert ends.index(True) == 299


@pytest.mark.parametrize(
    ("env", "package", "extra"), [("Ant-v2", "imageio", "mujoco"), ("Assault", "ale_py", "atari")]
)
def test_missing_package_is_named_with_its_extra(
    env: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == package else name)

    with pytest.raises(MissingExtraError) as found:
        make_suite_environment(arguments(env=env))

    assert str(found.value) == (
        f"environment {env} needs the package {package}; install with: pip install 'torchward[{extra}]'"
    )


def test_mujoco_environment_runs() -> None:
    pytest.importorskip("mujoco", reason="pip install 'torchward[mujoco]'")
    pytest.importorskip("imageio", reason="pip install 'torchward[mujoco]'")
    environment = make_suite_environment(arguments(env="Hopper-v2"))

    environment.reset(seed=0)

    assert environment.step(np.zeros(3)).observation.shape == environment.obs_dims == (11,)


def test_atari_environment_runs() -> None:
    pytest.importorskip("ale_py", reason="pip install 'torchward[atari]'")
    pytest.importorskip("cv2", reason="pip install 'torchward[atari]'")
    environment = make_suite_environment(arguments(env="Assault"))

    assert environment.obs_dims == (84, 84, 4)
    assert environment.acts_dims == (7,)
