"""The files of the suite's agents: one `.pth` of tensors and plain data, from which training goes on bit by bit.

Mirror: legacy_tf/agent_files.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from experience.actor_critics import describe_agent, restore_arguments, set_generator
from torch_impl.checkpoints import (
    CheckpointError,
    checkpoint_path,
    read_checkpoint,
    write_checkpoint,
)

if TYPE_CHECKING:
    from torch_impl.actor_critic import ActorCritic


def save_agent(agent: ActorCritic, path: str | Path) -> None:
    """Write all networks, optimizers and the normaliser, counters and the state of the noise, as `<path>.pth`."""
    write_checkpoint(
        checkpoint_path(path),
        agent.network_modules().state_dict(),
        metadata={"agent": describe_agent(agent)},
        extras={"optimizers": {name: o.state_dict() for name, o in agent.optimizers.items()}},
    )


def load_agent(agent: ActorCritic, path: str | Path) -> None:
    """Read what `save_agent` wrote into an agent; optimizers, counters and noise go on if the file has them.

    Raises:
        CheckpointError: The file is damaged or not of an agent like this.
    """
    path = checkpoint_path(path)
    checkpoint = read_checkpoint(path)
    try:
        agent.network_modules().load_state_dict(checkpoint.model_state_dict)
        states = cast("Mapping[str, Any]", checkpoint.extras.get("optimizers", {}))
        for name, state in states.items():
            agent.optimizers[name].load_state_dict(state)
        stored = cast("Mapping[str, Any]", checkpoint.metadata.get("agent", {}))
        agent.counters = {**agent.counters, **stored.get("counters", {})}
        if "generator" in stored:
            set_generator(agent.rng, stored["generator"])
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        msg = f"{path}: not a {type(agent).__name__} of these settings: {error}"
        raise CheckpointError(msg) from error


def read_settings(path: str | Path, given: Mapping[str, object]) -> dict[str, Any]:
    """Return the constructor's arguments of a saved agent; those that are given replace the file's.

    Raises:
        CheckpointError: The file does not say the agent's arguments, and they are not given.
    """
    path = checkpoint_path(path)
    stored = cast("Mapping[str, Any]", read_checkpoint(path).metadata.get("agent", {}))
    if "arguments" not in stored and "args" not in given:
        msg = f"{path}: does not say the agent's arguments; needed args=..."
        raise CheckpointError(msg)
    known = {
        "args": restore_arguments(stored.get("arguments", {})),
        "dtype": stored.get("dtype", "float32"),
        "seed": stored.get("seed", 0),
    }
    return {**known, **given}
