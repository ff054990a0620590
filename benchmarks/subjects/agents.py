"""Building the agents of a pair as a variant wants them, as far as their constructors let it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.subjects import NotApplicableError
from benchmarks.subjects.scenarios import Scenario

AgentFactory = Callable[..., Any]
"""Builds an agent from keyword arguments. Any: the class is named by a pair and imported here."""


def find_class(path: str) -> AgentFactory:
    """Return the class named "module:Class"."""
    module, _, name = path.partition(":")
    factory: AgentFactory = getattr(importlib.import_module(module), name)
    return factory


def takes(factory: AgentFactory, argument: str) -> bool:
    """Return whether the constructor takes the keyword argument."""
    # A class may have a __new__ that passes anything on.
    own: AgentFactory = factory.__init__ if isinstance(factory, type) else factory  # type: ignore[misc]
    parameters = inspect.signature(own).parameters
    names: Callable[[], tuple[str, ...]] | None = getattr(factory, "setting_names", None)
    if names is not None:  # what an offline agent takes as **settings
        return argument in parameters or argument in names()
    return argument in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def plan_build(
    factory: AgentFactory, scenario: Scenario, options: Mapping[str, object]
) -> AgentFactory:
    """Return a function that builds the agent from the arguments of a task.

    Arguments of the scenario, the options and the task that the constructor does not take are left out: a batch size
    stands in the batch itself, and an agent without epsilon explores in another way.

    Args:
        factory: the agent's class.
        scenario: whose arguments come first.
        options: of the variant; they win over the scenario's.
    """

    def build(**arguments: object) -> Any:  # noqa: ANN401  see AgentFactory
        wanted = {**scenario.arguments, **options, **arguments}
        return factory(**{name: value for name, value in wanted.items() if takes(factory, name)})

    return build


def name_of(agent: object) -> str:
    """Return the class name of an agent, or of a class itself."""
    return agent.__name__ if isinstance(agent, type) else type(agent).__name__


def find_network(agent: object, scenario: Scenario) -> Any:  # noqa: ANN401  of either framework
    """Return the agent's first network.

    Raises:
        NotApplicableError: It keeps none under the names of its pair.
    """
    for name in scenario.networks:
        if hasattr(agent, name):
            return getattr(agent, name)
    message = f"{name_of(agent)} has no {' or '.join(scenario.networks) or 'network'}"
    raise NotApplicableError(message)
