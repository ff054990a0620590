"""Environments as the RRD suite sees them: scaled actions, episodic rewards, an own time limit, stacks of images.

Gymnasium's own time limits are taken off: `test_timesteps` is the limit of every episode, in training and in tests.
What the original knew goes by its names; any other Gymnasium id works as well. Preprocessing of Atari's screens is in
atari.py.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experience.arguments import Arguments
from experience.environments import MissingExtraError, make_environment
from experience.environments.names import find_gymnasium_id

if TYPE_CHECKING:
    from gymnasium import Env

SYMMETRY = 1e-3
"""Largest difference between the limits of an action, as the original checks it."""
_PACKAGES = {
    "mujoco": ("gymnasium", "mujoco", "imageio"),
    "atari": ("gymnasium", "ale_py", "cv2"),
    "other": (),
}

Array = NDArray[Any]  # Any: observations are floats or 8-bit images
PrepareImage = Callable[[Array], NDArray[np.uint8]]


class Outcome(NamedTuple):
    """What a step did."""

    observation: Array  # the one after it
    reward: float  # for the agent: of the step, or of the whole episode
    done: bool  # a real end; a time limit still bootstraps where the original does
    real_done: bool  # the episode is over
    info: dict[str, float]  # "Rewards": true return so far; "Steps"


class SuiteEnvironment:
    """One environment under the suite's rules.

    Observations are float32 vectors, or stacks of 8-bit images (height, width, frames), newest last.

    Attributes:
        obs_dims: shape of an observation.
        acts_dims: (numbers of an action,), or (number of actions,) where they are numbered.
        steps: of the running episode.

    Args:
        environment: of Gymnasium, without a time limit; closed with this one.
        arguments: env_type, test_timesteps, frames, noop, env_category.
        prepare_image: makes (height, width) in 8 bits of what the environment shows; None: it is that already.

    Raises:
        ValueError: The agents cannot act in it.
    """

    def __init__(
        self,
        environment: Env[Any, Any],
        arguments: Arguments,
        *,
        prepare_image: PrepareImage | None = None,
    ) -> None:
        self._environment, self._prepare = environment, prepare_image
        self._episodic = arguments.env_type == "ep_rews"
        self._limit, self._frames = arguments.test_timesteps, arguments.frames
        atari = arguments.env_category == "atari"
        # The original's Atari environments do not bootstrap at the limit, its MuJoCo ones do.
        self._bootstraps = not atari
        self._idle_steps = max(arguments.noop - arguments.frames, 0) if atari else 0
        self._idle_stack = atari
        self._clip = arguments.rews_scale if atari and not self._episodic else None
        self._scale, self.acts_dims = _measure_actions(environment, arguments.env)
        shape = tuple(environment.observation_space.shape or ())
        image = len(shape) == 2 or prepare_image is not None
        if not image and len(shape) != 1:
            msg = f"{arguments.env}: observations of shape {shape}; needed a vector or images (height, width)"
            raise ValueError(msg)
        self._stack: list[NDArray[np.uint8]] | None = [] if image else None
        self.steps, self._return = 0, 0.0
        self.obs_dims = self.reset(seed=0).shape

    @property
    def discrete(self) -> bool:
        """Whether actions are numbered."""
        return self._scale is None

    def reset(self, *, seed: int | None = None) -> Array:
        """Begin an episode and return its first observation."""
        self.steps, self._return = 0, 0.0
        if self._stack is None:
            observation: Array = self._environment.reset(seed=seed)[0].astype(np.float32)
            return observation
        while True:
            shown, _ = self._environment.reset(seed=seed)
            seed = None  # an episode that ends before it begins is not begun again in the same way
            if self._idle(self._idle_steps, []):
                images: list[Array] = []
                if not self._idle_stack:
                    images = [shown] * self._frames
                elif not self._idle(self._frames, images):
                    continue
                self._stack = [self._image(image) for image in images]
                return np.stack(self._stack, axis=-1)

    def step(self, action: Any) -> Outcome:  # noqa: ANN401  a number or an array
        """Take an action in -1..1 or a numbered one.

        Args:
            action: (action,), multiplied by the highest that the environment takes; or a number.
        """
        taken = int(action) if self._scale is None else np.asarray(action) * self._scale
        shown, reward, terminated, truncated, _ = self._environment.step(taken)
        self.steps += 1
        self._return += float(reward)
        at_limit = self.steps >= self._limit
        over = bool(terminated or truncated or at_limit)
        done = over and not (self._bootstraps and (at_limit or (truncated and not terminated)))
        if self._stack is None:
            observation = shown.astype(np.float32)
        else:
            self._stack = [*self._stack[1:], self._image(shown)]
            observation = np.stack(self._stack, axis=-1)
        info = {"Steps": float(self.steps), "Rewards": self._return}
        return Outcome(observation, self._given(float(reward), over), done, over, info)

    def random_action(self, rng: np.random.Generator) -> Array:
        """Return an action that does not depend on anything seen."""
        if self._scale is None:
            return np.asarray(rng.integers(self.acts_dims[0]))
        return rng.uniform(-1.0, 1.0, self.acts_dims).astype(np.float32)

    def close(self) -> None:
        """Release what it holds."""
        self._environment.close()

    def _given(self, reward: float, over: bool) -> float:
        """Return the reward that the agent sees."""
        if self._episodic:
            return self._return if over else 0.0
        return reward if self._clip is None else float(np.clip(reward, -self._clip, self._clip))

    def _idle(self, steps: int, images: list[Array]) -> bool:
        """Do nothing for some steps, add what is shown to `images`, and return whether the episode goes on."""
        for _ in range(steps):
            shown, _, terminated, truncated, _ = self._environment.step(0)
            images.append(shown)
            if terminated or truncated:
                return False
        return True

    def _image(self, shown: Array) -> NDArray[np.uint8]:
        return self._prepare(shown) if self._prepare is not None else shown.astype(np.uint8)


def make_suite_environment(arguments: Arguments) -> SuiteEnvironment:
    """Return a new environment for `env` and `env_type`.

    Raises:
        MissingExtraError: A package is missing; the message says what to type.
        ValueError: There is no such environment, or the agents cannot act in it.
    """
    category = arguments.env_category
    _check_packages(arguments.env, category, _PACKAGES[category])
    name = find_gymnasium_id(arguments.env)
    if category == "atari":
        from experience.environments.atari import make_atari, prepare_screen

        return SuiteEnvironment(
            make_atari(name, sticky=arguments.sticky), arguments, prepare_image=prepare_screen
        )
    # -1 takes the time limit off.
    environment = make_environment(name, max_episode_steps=-1)
    return SuiteEnvironment(environment, arguments)


def describe_spaces(arguments: Arguments, environment: SuiteEnvironment) -> None:
    """Write the sizes of the environment into the arguments.

    Raises:
        ValueError: The algorithm acts with numbers and the environment does not, or the other way round; or the
            arguments ask for value and advantage apart, which only networks of images have.
    """
    if environment.discrete != arguments.discrete:
        kind = "numbered" if environment.discrete else "continuous"
        fitting = "dqn" if environment.discrete else "ddpg, td3 or sac"
        msg = (
            f"{arguments.env} has {kind} actions; {arguments.basis} cannot act in it, {fitting} can"
        )
        raise ValueError(msg)
    if arguments.dueling and len(environment.obs_dims) == 1:
        msg = (
            f"dueling: {arguments.env} shows vectors; the original's networks have value and advantage apart on images "
            "only. Leave it out, or use torch_impl.dqn.DQNAgent(..., dueling=True)"
        )
        raise ValueError(msg)
    arguments.obs_dims = tuple(environment.obs_dims)
    arguments.acts_dims = environment.acts_dims
    arguments.acts_num = environment.acts_dims[0]


def _measure_actions(
    environment: Env[Any, Any], name: str
) -> tuple[NDArray[np.floating] | None, tuple[int, ...]]:
    """Return the factor of an action, None if actions are numbered, and acts_dims.

    Raises:
        ValueError: Actions are neither numbered from 0 nor in limits that are symmetric around 0.
    """
    space: Any = environment.action_space  # Any: Gymnasium is not imported here
    if hasattr(space, "n") and getattr(space, "start", 0) == 0:
        return None, (int(space.n),)
    high = getattr(space, "high", None)
    if high is None or high.ndim != 1 or not np.all(np.abs(space.low + high) < SYMMETRY):
        msg = f"{name}: its actions are {space}; needed Discrete(n) from 0, or a flat Box symmetric around 0"
        raise ValueError(msg)
    return np.array(high), tuple(high.shape)


def _check_packages(name: str, category: str, packages: Sequence[str]) -> None:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        msg = (
            f"environment {name} needs the package{'s' if missing[1:] else ''} {' and '.join(missing)}; "
            f"install with: pip install 'torchward[{category}]'"
        )
        raise MissingExtraError(msg)
