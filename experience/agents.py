"""Which agent the arguments ask for, and on which side: PyTorch or TensorFlow.

The only place that knows both by name. Agents are imported when they are made, so neither framework is needed for the
other's.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from experience.actor_critics import Settings

Side = Literal["torch", "legacy"]

VARIABLE = "USE_PYTORCH"
AGENTS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "ddpg": ("ddpg", "DDPG"),
        "td3": ("td3", "TD3"),
        "sac": ("sac", "SAC"),
        "dqn": ("value_dqn", "ValueDQN"),
        "rrd": ("rrd", "RRD"),
        "ircr": ("ircr", "IRCR"),
    }
)
"""Algorithm to module and class, the same on both sides."""
_PACKAGES: Mapping[Side, str] = {"torch": "torch_impl", "legacy": "legacy_tf"}
_FRAMEWORKS: Mapping[Side, tuple[str, str]] = {  # the preferred one first
    "torch": ("torch", "pip install torch"),
    "legacy": ("tensorflow", "pip install 'torchward[legacy]'"),
}


class MissingFrameworkError(ImportError):
    """The framework of the chosen side is not installed; the message says what to type."""


def choose_side(arguments: Settings, environment: Mapping[str, str] | None = None) -> Side:
    """Return the side that the arguments or the environment variable USE_PYTORCH choose.

    `use_pytorch` of the arguments comes first if it is not None. Then USE_PYTORCH: "1" is PyTorch; unset or "auto" is
    PyTorch if it is installed, else TensorFlow; everything else is TensorFlow.

    Args:
        arguments: any object; without `use_pytorch` the variable decides.
        environment: None: of this process.
    """
    asked = getattr(arguments, "use_pytorch", None)
    if asked is not None:
        return "torch" if asked else "legacy"
    value = (os.environ if environment is None else environment).get(VARIABLE, "auto")
    if value == "auto":
        installed = [
            side for side, (name, _) in _FRAMEWORKS.items() if importlib.util.find_spec(name)
        ]
        return installed[0] if installed else "torch"
    return "torch" if value == "1" else "legacy"


def create_agent(arguments: Settings, *, side: Side | None = None) -> Any:  # noqa: ANN401  of either framework
    """Return the agent of `alg` (over `basis_alg` where it is rrd or ircr).

    Sizes that the arguments do not have yet (`obs_dims`, `acts_dims`) are taken from their environment.

    Args:
        arguments: `experience.arguments.Arguments`, or any object with what the algorithm reads; `dtype` and `seed`
            of it, if there, go to the agent.
        side: None: as `choose_side` says.

    Raises:
        MissingFrameworkError: The side's framework is not installed.
        ValueError: There is no such algorithm.
    """
    if arguments.alg not in AGENTS:
        msg = f"no algorithm {arguments.alg!r}; there are {', '.join(AGENTS)}"
        raise ValueError(msg)
    if not getattr(arguments, "obs_dims", ()):
        _measure(arguments)
    chosen = choose_side(arguments) if side is None else side
    framework, command = _FRAMEWORKS[chosen]
    if importlib.util.find_spec(framework) is None:
        msg = f"cannot import {framework}; install it with: {command}"
        raise MissingFrameworkError(msg)
    module, name = AGENTS[arguments.alg]
    agent_class = getattr(importlib.import_module(f"{_PACKAGES[chosen]}.{module}"), name)
    return agent_class(
        arguments,
        dtype=getattr(arguments, "dtype", "float32"),
        seed=getattr(arguments, "seed", 0),
    )


def _measure(arguments: Settings) -> None:
    """Write the sizes of the environment into the arguments."""
    from experience.environments.suite import describe_spaces, make_suite_environment

    environment = make_suite_environment(arguments)
    describe_spaces(arguments, environment)
    environment.close()
