"""A policy from what a user names: a .pth of our own training, a converted one, or "random"."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.errors import ConversionError, UnsupportedError, UsageError
from experience.recording import Observation, Policy, greedy_policy, random_policy

if TYPE_CHECKING:
    from gymnasium import Env

    from converters.live.acting import ConvertedAgent

RANDOM = "random"


def find_policy(name: str, environment: Env[Any, Any]) -> Policy:
    """Return the policy.

    Args:
        name: path of a .pth file, or "random". A converted network that is no agent of ours plays by its single output:
            the largest of as many numbers as there are actions, or the action itself.
        environment: that it plays in; the first action is asked for, so that a misfit shows now.

    Raises:
        ConversionError: The file cannot be read, or does not fit the environment.
    """
    if name == RANDOM:
        return random_policy(environment)
    path = Path(name)
    if not path.is_file() or path.suffix != ".pth":
        msg = f"--policy {name}: is not a .pth file that is there; needed one, or {RANDOM}"
        raise UsageError(msg)
    policy = _read_policy(path, environment)
    _try(policy, environment, name)
    return policy


def _read_policy(path: Path, environment: Env[Any, Any]) -> Policy:
    from torch_impl.checkpoints import CheckpointError, read_checkpoint
    from torch_impl.stored_agents import load_agent, read_agent_class

    try:
        if read_agent_class(path) is not None:
            return greedy_policy(load_agent(path))
        if read_checkpoint(path).architecture is not None:
            return _network_policy(path, environment)
        from torch_impl.dqn import DQNAgent

        return greedy_policy(DQNAgent.load(path))  # the migration guide's own files
    except (CheckpointError, OSError) as error:
        raise UnsupportedError(str(error)) from error


def _network_policy(path: Path, environment: Env[Any, Any]) -> Policy:
    """Return what a converted network says."""
    import gymnasium
    import torch

    from converters.live.acting import ConvertedAgent
    from converters.live.load import load

    network = load(path)
    if isinstance(network, ConvertedAgent):
        return _agent_policy(network, path)
    dtype = next(network.parameters()).dtype
    stated = network.architecture.inputs[0].shape
    # Agents of keras-rl have an axis for a window of one observation.
    row_shape = (1, *(environment.observation_space.shape or ()))
    if stated is not None and math.prod(size or 0 for size in stated[1:]) == math.prod(row_shape):
        row_shape = (1, *(size or 0 for size in stated[1:]))
    space = environment.action_space
    numbers = (
        (int(space.n), int(space.start)) if isinstance(space, gymnasium.spaces.Discrete) else None
    )

    def act(observation: Observation, _: np.random.Generator) -> Any:  # noqa: ANN401  of the space
        with torch.inference_mode():
            output = network(torch.from_numpy(observation.reshape(row_shape)).to(dtype))
        if not isinstance(output, torch.Tensor):
            msg = (
                f"{path}: a network of {len(output)} outputs; needed one of a policy's or of values"
            )
            raise UnsupportedError(msg)
        row = output[0].numpy()
        if numbers is None:
            return row.astype(space.dtype)
        count, start = numbers
        if row.shape != (count,):
            msg = (
                f"{path}: its output is {row.shape}; needed ({count},), one number for every action"
            )
            raise UnsupportedError(msg)
        return int(row.argmax() + start)

    return act


def _agent_policy(agent: ConvertedAgent, path: Path) -> Policy:
    """Return what a converted agent of an RL library does when it does not explore."""

    def act(observation: Observation, _: np.random.Generator) -> Any:  # noqa: ANN401  of the space
        action = agent.act(observation)
        if isinstance(action, tuple):
            msg = f"{path}: is a recurrent agent; data sets are recorded of agents without memory"
            raise UnsupportedError(msg)
        row = np.asarray(action)
        return int(row) if not row.ndim and row.dtype.kind in "iu" else row

    return act


def _try(policy: Policy, environment: Env[Any, Any], name: str) -> None:
    observation, _ = environment.reset(seed=0)
    try:
        action = policy(np.asarray(observation), np.random.default_rng(0))
    except ConversionError:
        raise
    # Whatever an agent of other sizes ends in: shapes, types, torch's own errors.
    except (ValueError, TypeError, IndexError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        msg = f"--policy {name}: cannot act in {environment}: {reason}"
        raise UnsupportedError(msg) from error
    if not environment.action_space.contains(action):
        msg = f"--policy {name}: acts with {action!r}, which is not in {environment.action_space}"
        raise UnsupportedError(msg)
