"""Any agent of this package from its file: the class is the one that the file names.

    agent = load_agent("agent.pth")
    action = agent.act(observation, rng, explore=False)

It has no legacy mirror: an agent of TensorFlow is loaded by the class that saved it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from experience.agent import Agent
from torch_impl.checkpoints import CheckpointError, checkpoint_path, read_checkpoint

CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "DQNAgent": "torch_impl.dqn",
        "DDPG": "torch_impl.ddpg",
        "TD3": "torch_impl.td3",
        "SAC": "torch_impl.sac",
        "ValueDQN": "torch_impl.value_dqn",
        **{f"{around}{basis}": f"torch_impl.{around.lower()}" for around in ("RRD", "IRCR")
           for basis in ("DDPG", "TD3", "SAC", "ValueDQN")},
        "OfflineDQN": "torch_impl.offline_dqn",
        "OfflineDoubleDQN": "torch_impl.offline_dqn",
        "DiscreteCQL": "torch_impl.offline_dqn",
        "DiscreteBCQ": "torch_impl.offline_dqn",
        "BehavioralCloning": "torch_impl.offline_cloning",
        "ContinuousBC": "torch_impl.offline_cloning",
        "TD3PlusBC": "torch_impl.offline_actor_critics",
        "IQL": "torch_impl.offline_actor_critics",
        "AWAC": "torch_impl.offline_actor_critics",
        "CQL": "torch_impl.offline_cql",
    }
)  # fmt: skip
"""Class as a file names it, to its module."""
_AROUND = ("RRD", "IRCR")
"""Classes that are made with their basis: a file names both, RRDSAC."""


def read_agent_class(path: str | os.PathLike[str]) -> str | None:
    """Return the class that an agent's file names; None for a file of something else.

    Raises:
        CheckpointError: The file is damaged.
        OSError: It cannot be read.
    """
    stored = read_checkpoint(checkpoint_path(Path(path))).metadata.get("agent")
    name = stored.get("class") if isinstance(stored, Mapping) else None
    return name if isinstance(name, str) else None


def load_agent(path: str | os.PathLike[str], **settings: Any) -> Agent:  # noqa: ANN401  of the class
    """Return the agent of a file: of our own training, or converted.

    Args:
        path: .pth.
        settings: arguments of its class that replace what the file says.

    Raises:
        CheckpointError: The file is damaged, or not of an agent of this package.
        OSError: It cannot be read.
    """
    path = checkpoint_path(Path(path))
    name = read_agent_class(path)
    if name is None or name not in CLASSES:
        found = "no agent" if name is None else f"an agent of class {name!r}"
        msg = f"{path}: holds {found}; needed one of {', '.join(CLASSES)}"
        raise CheckpointError(msg)
    around = next((each for each in _AROUND if name.startswith(each)), name)
    agent_class = getattr(importlib.import_module(CLASSES[name]), around)
    return cast("Agent", agent_class.load(path, **settings))
