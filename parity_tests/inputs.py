"""Inputs that both sides of a pair receive: seeded numpy arrays, named recipes, a checksum.

A recipe is a function of an agent's configuration and a generator; it returns one batch of transitions and the noise
(dropout masks) of one update. A pair names its recipe, so that an algorithm with another kind of batch adds a function
here, or brings its own callable, and no probe changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from experience.agent import Batch, Noise

FORWARD_SCALES = (0.0, 1e-6, 1e-3, 1.0, 1e3)
"""Factors on the observations of the forward probe, each compared by itself: within one tensor the large values would
decide the scale and hide errors of the small ones."""


class Draw(NamedTuple):
    """What one update receives."""

    batch: Any  # a NamedTuple with `observation`; its other fields are the algorithm's own
    noise: Noise


Recipe = Callable[[Mapping[str, object], np.random.Generator], Draw]
"""Takes the agent's configuration (its constructor's arguments) and a generator; floating arrays are float64."""


def transitions(configuration: Mapping[str, object], rng: np.random.Generator) -> Draw:
    """Return transitions of a discrete environment and masks of the dropout layers `dropout1`, `dropout2`, ...

    Observations and rewards spread over magnitudes, with zeros and negatives. The scale of the rewards changes from
    draw to draw, so that some gradients are clipped and some are not. One observation equals its next observation.

    Args:
        configuration: state_size, action_size, hidden_sizes, dropout, batch_size; the guide's values if absent.
        rng: every call draws the same number of values from it.

    Returns:
        Batch with (batch, state) observations, (batch,) int64 actions; masks of (batch, units), 0 or 1/(1 - rate).
    """
    state = _integer(configuration, "state_size", 12)
    actions = _integer(configuration, "action_size", 5)
    size = _integer(configuration, "batch_size", 32)
    observation = spread(rng, (size, state))
    next_observation = spread(rng, (size, state))
    next_observation[-1] = observation[-1]
    reward = rng.standard_normal(size) * 10.0 ** rng.uniform(-2.0, 1.0)
    reward[rng.random(size) < 0.2] = 0.0
    batch = Batch(
        observation=observation,
        action=rng.integers(actions, size=size),
        reward=reward,
        next_observation=next_observation,
        terminated=rng.random(size) < 0.25,
    )
    return Draw(batch, dropout_masks(configuration, rng, size))


def dropout_masks(
    configuration: Mapping[str, object], rng: np.random.Generator, size: int
) -> dict[str, NDArray[np.float64]]:
    """Return a mask for every hidden layer but the last: (batch, units), 0 or 1/(1 - rate)."""
    hidden = cast("tuple[int, ...]", configuration.get("hidden_sizes", (128, 64, 32)))
    rate = float(cast("float", configuration.get("dropout", 0.2)))
    return {
        f"dropout{index}": (rng.random((size, units)) >= rate) / (1.0 - rate)
        for index, units in enumerate(hidden[:-1], start=1)
    }


def spread(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return normal values whose magnitudes go from about 1e-3 to 10; every tenth is 0."""
    values = rng.standard_normal(shape) * 10.0 ** rng.uniform(-2.0, 0.5, shape)
    return np.where(rng.random(shape) < 0.1, 0.0, values)


RECIPES: Mapping[str, Recipe] = MappingProxyType({"transitions": transitions})
"""Recipes by the name that a pair gives."""


def find_recipe(recipe: str | Recipe) -> tuple[str, Recipe]:
    """Return the recipe's name and function.

    Raises:
        ValueError: No recipe has this name; the message lists what there is.
    """
    if callable(recipe):
        return getattr(recipe, "__name__", type(recipe).__name__), recipe
    if recipe not in RECIPES:
        message = f"no input recipe {recipe!r}; there are: {', '.join(RECIPES)}"
        raise ValueError(message)
    return recipe, RECIPES[recipe]


class InputLog:
    """Casts what is drawn to the dtype of the run and keeps a checksum of it.

    Args:
        recipe: of the pair.
        configuration: of the agent.
        dtype: "float32" or "float64".
        seed: of the generator.
    """

    def __init__(
        self, recipe: str | Recipe, configuration: Mapping[str, object], *, dtype: str, seed: int
    ) -> None:
        self.name, self._recipe = find_recipe(recipe)
        self._configuration = configuration
        self._dtype = np.dtype(dtype)
        self._digest = hashlib.sha256()
        self.rng = np.random.default_rng(seed)

    @property
    def sha256(self) -> str:
        """Checksum of all arrays drawn so far, in order."""
        return self._digest.hexdigest()

    def draw(self, **changes: object) -> Draw:
        """Return the next batch and noise; `changes` are laid over the configuration ("batch_size")."""
        drawn = self._recipe({**self._configuration, **changes}, self.rng)
        batch = type(drawn.batch)(*(self.keep(array) for array in drawn.batch))
        return Draw(batch, {name: self.keep(mask) for name, mask in drawn.noise.items()})

    def keep(self, array: NDArray[Any]) -> NDArray[Any]:  # Any: integers and booleans as well
        """Return the array in the run's dtype, if it is floating, and add it to the checksum."""
        kept = np.asarray(array)
        if np.issubdtype(kept.dtype, np.floating):
            kept = kept.astype(self._dtype)
        self._digest.update(f"{kept.dtype.str}{kept.shape}".encode())
        self._digest.update(np.ascontiguousarray(kept).tobytes())
        return kept


def _integer(configuration: Mapping[str, object], name: str, default: int) -> int:
    return int(cast("int", configuration.get(name, default)))
