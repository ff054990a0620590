"""A DQN of stable-baselines 2 as our own `DQNAgent`, which trains on: networks, target and the numbers it shares."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from converters.agents.libraries import named_arrays
from converters.agents.spaces import BOX
from converters.agents.stable_baselines.agent import family_of
from converters.agents.stable_baselines.settings import DEFAULT_ACTIVATION, read_policy
from converters.agents.unnamed import named_agent
from converters.checkpoint import ArrayInfo, Checkpoint
from converters.errors import UnsupportedError
from converters.live.build import build_planned
from converters.planned import Plan
from converters.stable_baselines3.chains import (
    Chain,
    Dense,
    dueling_hidden,
    hidden_sizes,
    read_dense,
)
from converters.verification import relative_difference
from torch_impl.dqn import DQNAgent

COMPARED = 256
_NUMBERS = {
    "learning_rate": "learning_rate",
    "gamma": "gamma",
    "batch_size": "batch_size",
    "buffer_size": "memory_size",
}
_SCOPES = ("deepq/model", "deepq/target_q_func/model")
NOTE = "per-variable gradient clipping at 10 and Huber's loss of stable-baselines: here the norm of all, and huber"
_HINT = "leave --into out: torchward.load makes a module of the file that acts the same"


def build_dqn(checkpoint: Checkpoint) -> DQNAgent:
    """Return the agent of a checkpoint. Raises UnsupportedError for one that `DQNAgent` cannot be."""
    arrays, facts = named_agent(named_arrays(checkpoint), checkpoint.agent)
    if facts is None or family_of(arrays) != "DQN":
        msg = "is no DQN of stable-baselines 2, the only agent of a library that becomes a DQNAgent"
        raise UnsupportedError(msg, hint=_HINT)
    policy = read_policy(facts)
    activation, _ = policy.activation_or(DEFAULT_ACTIVATION["off-policy"])
    space = policy.observation
    flat = space is None or (space.kind == BOX and len(space.shape) == 1)
    if any("LayerNorm" in name for name in arrays) or activation != "relu" or not flat:
        msg = "DQNAgent has dense layers with relu on plain numbers; this one has something else"
        raise UnsupportedError(msg, hint=_HINT)
    if any(len(array.shape) == 4 for array in arrays.values()):
        msg = "DQNAgent takes no images"
        raise UnsupportedError(msg, hint=_HINT)
    weights = [_weights(arrays, scope) for scope in _SCOPES]
    chain = _streams(arrays, _SCOPES[0])
    if len(chain[0]) < 2:
        msg = "DQNAgent has at least one hidden layer, this one none"
        raise UnsupportedError(msg, hint=_HINT)
    hidden = (
        hidden_sizes(chain[0]) if len(chain) == 1 else [2 * size for size in hidden_sizes(chain[0])]
    )
    stated = facts.settings
    numbers = {
        new: stated[old]
        for old, new in _NUMBERS.items()
        if isinstance(stated.get(old), (int, float))
    }
    # Any keyword of the constructor, as `torch_impl.dqn` itself reads them back.
    settings: dict[str, object] = {
        **numbers,
        "double": bool(stated.get("double_q")),
        "dueling": len(chain) == 2,
    }
    agent = DQNAgent(
        chain[0][0].weight.shape[1],
        chain[0][-1].units,
        hidden_sizes=hidden,
        dropout=0.0,
        gradient_clip=10.0,
        loss="huber",
        **settings,  # type: ignore[arg-type]
    )
    agent.set_weights(weights[1])
    agent.update_target()
    agent.set_weights(weights[0])
    return agent


def _streams(arrays: Mapping[str, ArrayInfo], scope: str) -> list[Chain]:
    """Return the advantages, and the values of a dueling network."""
    found = []
    for stream in ("action_value", "state_value"):
        layers: list[Dense] = []
        while f"{scope}/{stream}/fully_connected{_suffix(len(layers))}/weights" in arrays:
            layer = f"{scope}/{stream}/fully_connected{_suffix(len(layers))}"
            layers.append(read_dense(arrays, f"{layer}/weights", f"{layer}/biases"))
        if layers:
            found.append(tuple(layers))
    return found


def _weights(arrays: Mapping[str, ArrayInfo], scope: str) -> dict[str, NDArray[np.floating]]:
    """Return the weights by the names of `DQNetwork`: the streams of a dueling network lie side by side."""
    streams = _streams(arrays, scope)
    chain = streams[0] if len(streams) == 1 else (*dueling_hidden(*streams), *streams[0][-1:])
    result: dict[str, NDArray[np.floating]] = {}
    for number, layer in enumerate(chain, start=1):
        result |= {f"fc{number}/kernel": layer.weight.T, f"fc{number}/bias": layer.bias}
    if len(streams) == 2:
        del result[f"fc{len(chain)}/kernel"], result[f"fc{len(chain)}/bias"]
        advantage, value = streams[0][-1], streams[1][-1]
        empty = np.zeros_like(advantage.weight), np.zeros_like(value.weight)
        result["advantage/kernel"] = np.concatenate([advantage.weight, empty[0]], axis=1).T
        result["value/kernel"] = np.concatenate([empty[1], value.weight], axis=1).T
        result |= {"advantage/bias": advantage.bias, "value/bias": value.bias}
    return result


def _suffix(number: int) -> str:
    return f"_{number}" if number else ""


def compare_values(plan: Plan, agent: DQNAgent) -> float:
    """Return how far the values of both are apart, relative to the largest."""
    rows = np.random.default_rng(0).standard_normal((COMPARED, agent.state_size)).astype(np.float32)
    with torch.no_grad():
        expected = build_planned(plan)(torch.from_numpy(rows))["q_values"].numpy()
    found = agent.get_q_values(rows)
    return relative_difference(found, expected)
