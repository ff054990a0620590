"""Glucose of a person with type 1 diabetes: the guide's environment as it is, its predecessor, and one with meals.

None of them is a model for treatment. The first two are those of the offline notebook, kept as they were so that its numbers
can be repeated: nothing in `SimglucoseGymEnv` raises glucose, so every policy ends at its floor and all differ by 2 %.
`GlucoseMealsEnv` is a task in which policies differ by more than twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from experience.offline_data import Episode
from experience.recording import Policy, random_policy, record_episodes

Observation = NDArray[np.float32]
StepResult = tuple[Observation, SupportsFloat, bool, bool, dict[str, Any]]
Behaviour = Literal["random", "moderate", "always 0", "always 1", "always 2"]

STEPS = 480
"""Of an episode: a day in steps of three minutes."""
DOSES = (0.5, 1.0, 2.0)
"""Insulin by action."""
TARGET = 120.0
"""mg/dL; the reward is -|glucose - target| / 100."""
BEHAVIOURS: tuple[Behaviour, ...] = ("random", "moderate", "always 0", "always 1", "always 2")
EPISODES = 20
"""As the notebook collects; 20 of 480 steps are 9,600 transitions."""


class SimglucoseGymEnv(gymnasium.Env[Observation, np.int64]):
    """The environment of the offline guide, faithful and degenerate.

    Observation, (1,), float32: glucose in mg/dL, not scaled. Action: 0, 1, 2 for 0.5, 1 and 2 units of insulin.
    Glucose starts in [80, 180) and changes by -10 * dose + N(0, 5) a step, clipped to [40, 400]. The reward is
    -|glucose - 120| / 100. After 480 steps the episode is `terminated`, although it is a time limit: the guide's own flag.

    Args:
        seed: of its generator, until a reset brings another.

    Source: the guide's class of this name, with its own RandomState.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  Gymnasium declares it as an instance variable

    def __init__(self, seed: int | None = None) -> None:
        self.observation_space = spaces.Box(0.0, 500.0, (1,), np.float32)
        self.action_space = spaces.Discrete(len(DOSES))
        # The original's generator, so that its episodes come out number by number.
        self._random = np.random.RandomState(seed)
        self._glucose, self._step = TARGET, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed, options=options)
        if seed is not None:
            self._random = np.random.RandomState(seed)
        self._glucose, self._step = float(self._random.uniform(80, 180)), 0
        return self._observe(), {}

    def step(self, action: np.int64) -> StepResult:
        """Give the dose; the last step of an episode is `terminated`."""
        change = -10.0 * DOSES[int(action)] + self._random.normal(0, 5)
        self._glucose = float(np.clip(self._glucose + change, 40, 400))
        self._step += 1
        return self._observe(), _reward(self._glucose), self._step >= STEPS, False, {}

    def _observe(self) -> Observation:
        return np.array([self._glucose], np.float32)


class MockT1DEnv(gymnasium.Env[Observation, Observation]):
    """The environment of the notebook as it was with d3rlpy: continuous doses, with a balance at 15.

    Observation, (1,), float32: glucose in mg/dL. Action, (1,): insulin in [0, 30]. Glucose starts in [100, 150) and
    changes by 0.5 * (action - 15) + N(0, 5) a step, clipped to [40, 300]: more insulin *raises* it, the original's sign.
    The reward is -1 below 70, -0.5 above 180, else 1. After 480 steps the episode is `truncated`.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  Gymnasium declares it as an instance variable

    def __init__(self) -> None:
        self.observation_space = spaces.Box(40.0, 300.0, (1,), np.float32)
        self.action_space = spaces.Box(0.0, 30.0, (1,), np.float32)
        self._glucose, self._step = TARGET, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed, options=options)
        self._glucose, self._step = float(self.np_random.uniform(100, 150)), 0
        return np.array([self._glucose], np.float32), {}

    def step(self, action: Observation) -> StepResult:
        """Give the dose."""
        dose = float(np.clip(np.asarray(action).reshape(-1)[0], 0, 30))
        change = 0.5 * (dose - 15) + self.np_random.normal(0, 5)
        self._glucose = float(np.clip(self._glucose + change, 40, 300))
        self._step += 1
        reward = -1.0 if self._glucose < 70 else -0.5 if self._glucose > 180 else 1.0
        return (
            np.array([self._glucose], np.float32),
            reward,
            False,
            self._step >= STEPS,
            {},
        )


class GlucoseMealsEnv(gymnasium.Env[Observation, np.int64]):
    """A day with three meals, in which the right dose depends on what was eaten and what still works.

    In steps of three minutes, with glucose G in mg/dL, insulin in effect I in units an hour, carbohydrates C in grams:

        C' = C + meal - 3/40 * C
        I' = I + 3/45 * (dose - I)
        G' = clip(G - 3 * (0.01 * (G - 140) + 1.6 * (I - 0.75)) + 3.2 * 3/40 * C + N(0, 2), 40, 400)

    The drift towards 140 is what the body does by itself; half a unit lets glucose rise and two are needed around meals only.
    Meals of 40 to 80 g come within half an hour of 7, 12 and 18 o'clock. The reward is the guide's, -|G - 120| / 100.

    Observation, (4,), float32: glucose / 100, change of glucose in the last step / 10, insulin in effect, carbohydrates
    not yet absorbed / 50. Action: 0, 1, 2 for 0.5, 1 and 2 units an hour. After 480 steps, a day, the episode is `truncated`.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  Gymnasium declares it as an instance variable

    def __init__(self) -> None:
        high = np.array([5, 50, 5, 10], np.float32)
        self.observation_space = spaces.Box(np.array([0, -50, 0, 0], np.float32), high)
        self.action_space = spaces.Discrete(len(DOSES))
        self._meals: dict[int, float] = {}
        self._glucose = self._previous = TARGET
        self._insulin, self._carbohydrates, self._step = 0.75, 0.0, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin a day at midnight."""
        super().reset(seed=seed, options=options)
        self._glucose = self._previous = float(self.np_random.uniform(90, 160))
        self._insulin, self._carbohydrates, self._step = 0.75, 0.0, 0
        self._meals = {
            int(hour * 20 + self.np_random.integers(-10, 11)): float(self.np_random.uniform(40, 80))
            for hour in (7, 12, 18)
        }
        return self._observe(), {}

    def step(self, action: np.int64) -> StepResult:
        """Set the rate of insulin for three minutes."""
        minutes = 3.0
        absorbed = self._carbohydrates * minutes / 40
        self._carbohydrates += self._meals.get(self._step, 0.0) - absorbed
        self._insulin += (DOSES[int(action)] - self._insulin) * minutes / 45
        drift = -0.01 * (self._glucose - 140) - 1.6 * (self._insulin - 0.75)
        change = minutes * drift + 3.2 * absorbed + self.np_random.normal(0, 2)
        self._previous = self._glucose
        self._glucose = float(np.clip(self._glucose + change, 40, 400))
        self._step += 1
        return self._observe(), _reward(self._glucose), False, self._step >= STEPS, {}

    def _observe(self) -> Observation:
        change = self._glucose - self._previous
        return np.array(
            [
                self._glucose / 100,
                np.clip(change / 10, -50, 50),
                self._insulin,
                self._carbohydrates / 50,
            ],
            np.float32,
        )


def _reward(glucose: float) -> float:
    return -abs(glucose - TARGET) / 100


def behaviour_policy(behaviour: Behaviour, environment: gymnasium.Env[Any, Any]) -> Policy:
    """Return the policy that collects the notebook's data.

    Args:
        behaviour: "random"; "moderate": action 1 with probability 0.6, else 0 or 2 alike; "always 1".
        environment: whose actions they are: three doses, except for "random".

    Raises:
        ValueError: There is no such behaviour.
    """
    if behaviour == "random":
        return random_policy(environment)
    if behaviour == "moderate":
        return lambda _, rng: int(rng.choice(3, p=(0.2, 0.6, 0.2)))
    if behaviour in BEHAVIOURS:
        action = int(behaviour.rpartition(" ")[2])
        return lambda _, __: action
    msg = f"behaviour {behaviour!r}; there are {', '.join(BEHAVIOURS)}"
    raise ValueError(msg)


def collect_episodes(
    policy: Behaviour = "moderate",
    n: int = EPISODES,
    *,
    seed: int = 0,
    make_environment: Callable[[], gymnasium.Env[Any, Any]] = SimglucoseGymEnv,
) -> list[Episode]:
    """Return `n` episodes of a behaviour; 20 of them are 9,600 transitions.

    Args:
        policy: as for `behaviour_policy`.
        n: episodes.
        seed: of the environment's first reset and of the behaviour.
        make_environment: gives the environment.
    """
    environment = make_environment()
    try:
        chosen = behaviour_policy(policy, environment)
        return record_episodes(chosen, environment, episodes=n, seed=seed).episodes
    finally:
        environment.close()
