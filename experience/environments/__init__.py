"""Environments by name: every Gymnasium id and our own, made only when asked for.

Gymnasium is an extra (`rl`) and is imported inside the functions, so that importing this costs nothing.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gymnasium import Env

LANGUAGE_LEARNING = "torchward/LanguageLearning-v0"
"""Gymnasium id of the migration guide's environment."""
CATCH = "torchward/Catch-v0"
"""Gymnasium id of the small task on images."""
ROYAL_UR = "torchward/RoyalUr-v0"
"""Gymnasium id of the Royal Game of Ur."""
ALIASES = {
    "LanguageLearning": LANGUAGE_LEARNING,
    "LanguageLearning-v0": LANGUAGE_LEARNING,
    "Catch": CATCH,
    "RoyalUr": ROYAL_UR,
}
REGISTERED = {
    LANGUAGE_LEARNING: "experience.environments.language_learning:LanguageLearningEnv",
    CATCH: "experience.environments.catch:CatchEnv",
    ROYAL_UR: "experience.environments.royal_ur.environment:RoyalUrEnv",
    "torchward/SimglucoseGym-v0": "experience.environments.glucose:SimglucoseGymEnv",
    "torchward/MockT1D-v0": "experience.environments.glucose:MockT1DEnv",
    "torchward/GlucoseMeals-v0": "experience.environments.glucose:GlucoseMealsEnv",
}
"""Gymnasium id to the class of ours."""


class MissingExtraError(ImportError):
    """An optional package is not installed; the message says what to type."""


def register_environments() -> None:
    """Make our environments known to `gymnasium.make`; a second call changes nothing.

    Raises:
        MissingExtraError: Gymnasium is not installed.
    """
    gymnasium = _import_gymnasium()
    for name, place in REGISTERED.items():
        if name not in gymnasium.registry:
            gymnasium.register(name, place)


def make_environment(
    name: str,
    *,
    seed: int | None = None,
    **kwargs: Any,  # noqa: ANN401  arguments of the environment
) -> Env[Any, Any]:
    """Return a new environment.

    Args:
        name: a Gymnasium id, or "LanguageLearning".
        seed: of its first reset and of its action space; None: the caller resets it.
        kwargs: handed to the environment.

    Raises:
        MissingExtraError: Gymnasium, or for an Atari game ale_py, is not installed.
        ValueError: There is no such environment, or a package that it needs is not installed.
    """
    gymnasium = _import_gymnasium()
    register_environments()
    if name.startswith("ALE/"):
        _register_atari(gymnasium, name)
    try:
        # The passive checker repeats for every step what the environments' own tests have shown.
        environment: Env[Any, Any] = gymnasium.make(
            ALIASES.get(name, name), disable_env_checker=True, **kwargs
        )
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        msg = f"environment {name!r}: {error}"
        raise ValueError(msg) from error
    if seed is not None:
        environment.reset(seed=seed)
        environment.action_space.seed(seed)
    return environment


def measure_spaces(environment: Env[Any, Any]) -> tuple[int, int]:
    """Return (numbers in an observation, number of actions) of an environment that a DQN can act in.

    Raises:
        ValueError: The actions are not numbered from 0, or an observation is not a flat row of numbers.
    """
    gymnasium = _import_gymnasium()
    observations, actions = environment.observation_space, environment.action_space
    name = environment.spec.id if environment.spec else type(environment.unwrapped).__name__
    if not isinstance(actions, gymnasium.spaces.Discrete) or actions.start != 0:
        msg = f"{name}: its actions are {actions}; a DQN needs Discrete(n) counted from 0"
        raise ValueError(msg)
    if not isinstance(observations, gymnasium.spaces.Box) or len(observations.shape) != 1:
        msg = (
            f"{name}: its observations are {observations}; a DQN needs a flat Box, (numbers,). "
            "gymnasium.wrappers.FlattenObservation makes one; a network of images is trained by torchward train --alg dqn"
        )
        raise ValueError(msg)
    return int(observations.shape[0]), int(actions.n)


def _register_atari(gymnasium: ModuleType, name: str) -> None:
    """Make Atari's games known to Gymnasium, which does not ask their package by itself."""
    try:
        import ale_py
    except ModuleNotFoundError as error:
        msg = f"environment {name} needs the package ale_py; install with: pip install 'torchward[atari]'"
        raise MissingExtraError(msg) from error
    gymnasium.register_envs(ale_py)


def _import_gymnasium() -> ModuleType:
    try:
        import gymnasium
    except ModuleNotFoundError as error:
        msg = (
            "environments need the package gymnasium; install it with: pip install 'torchward[rl]'"
        )
        raise MissingExtraError(msg) from error
    return gymnasium
