"""What the agents of a pair are measured on: their arguments, their batches, their environment.

The guide's own pair is measured under the guide's conditions, beside loops that do the same work; every other pair on
its first configuration, batches of its input recipe, and its environment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from benchmarks.subjects import MissingExtraError
from benchmarks.subjects.transitions import MEMORY_SIZE, SEED, make_transitions
from benchmarks.workloads import is_guides
from experience.agent import Batch
from experience.evaluation import Environment
from parity_tests.inputs import InputLog
from parity_tests.pairs import PAIRS, AgentPair, find_pair, load_pairs

DTYPE = "float32"
"""What is trained in; float64 is for the proof of parity."""


class DrawBatch(Protocol):
    """Draws a batch of `count` rows; `changes` are laid over the agent's arguments (sizes of an environment)."""

    def __call__(self, count: int = ..., **changes: object) -> Any:  # noqa: ANN401
        """Return it. Any: a NamedTuple with `observation`; its other fields are the algorithm's own."""
        ...


@dataclass(frozen=True, slots=True)
class Scenario:
    """The conditions under which both agents of a pair are measured.

    Attributes:
        networks: attributes of the agents that hold their networks, the one whose file is measured first.
        arguments: of the agents' constructors; what a constructor does not take is left out.
        draw_batch: gives batches in float32.
        make_environment: gives the environment of the training loop.
        saved: what an agent's own file holds, as it is shown.
    """

    networks: tuple[str, ...]
    arguments: Mapping[str, object]
    draw_batch: DrawBatch
    make_environment: Callable[[], Environment]
    saved: str = "all that the agent saves"

    def sizes_of(self, environment: Environment) -> dict[str, int]:
        """Return the arguments that an agent takes from its environment. Raises ValueError for other spaces."""
        from experience.environments import measure_spaces

        # Any: measure_spaces asks for the spaces of a gymnasium environment, which the loop does not use.
        spaces: Any = environment
        state_size, action_size = measure_spaces(spaces)
        return {"state_size": state_size, "action_size": action_size}


def _draw_guides_transitions(count: int = MEMORY_SIZE, **changes: object) -> Batch:
    """Return the common transitions; their sizes are those of the guide's environment."""
    del changes
    return make_transitions(count)


def _make_guides_environment() -> Environment:
    from experience.environments.language_learning import LanguageLearningEnv

    return LanguageLearningEnv()


GUIDE = Scenario(
    networks=("q_network",),
    arguments=MappingProxyType({}),
    draw_batch=_draw_guides_transitions,
    make_environment=_make_guides_environment,
    saved="weights, target, Adam, settings",
)
"""The guide's network, which is what its agent's defaults give, and its environment."""


def load_pair(pair: str, pairs: str | None) -> AgentPair:
    """Return the pair of this name, from "module:NAME" or from ours. Raises ValueError if there is none."""
    return find_pair(pair, load_pairs(pairs) if pairs else PAIRS)


def find_scenario(pair: str, pairs: str | None) -> Scenario:
    """Return what the pair is measured on. Raises ValueError if there is no such pair."""
    if is_guides(pair, pairs):
        return GUIDE
    found = load_pair(pair, pairs)
    arguments = {**found.find_config(None).arguments, "dtype": DTYPE}
    inputs = InputLog(found.recipe, arguments, dtype=DTYPE, seed=SEED)

    def draw_batch(count: int = MEMORY_SIZE, **changes: object) -> Any:  # noqa: ANN401  see DrawBatch
        return inputs.draw(batch_size=count, **changes).batch

    def make() -> Environment:
        from experience import environments

        try:
            return environments.make_environment(found.env)
        except environments.MissingExtraError as error:
            raise MissingExtraError(str(error)) from error

    return Scenario(tuple(found.networks), MappingProxyType(arguments), draw_batch, make)
