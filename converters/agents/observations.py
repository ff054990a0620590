"""Observations as policies of baselines and stable-baselines take them in: cast, one-hot, scaled, flat."""

from __future__ import annotations

import numpy as np

from converters.agents.network import AgentNetwork, Parameter
from converters.agents.spaces import BOX, DISCRETE, MULTI_DISCRETE, Space
from converters.readers.pickles.holding import array_info

INPUT = "observation"


def add_observation(network: AgentNetwork, space: Space, *, scaled: bool) -> str:
    """Return the observation as float32, the discrete ones one-hot.

    Args:
        network: gets the input and the steps.
        space: of one observation.
        scaled: whether the policy takes images: a bounded box is then brought between 0 and 1.

    Source: stable_baselines 2.10 common/input.py, `observation_input`.
    """
    if space.kind == DISCRETE:
        x = network.input(INPUT, (), "int64")
        return network.call("compat.one_hot", x, size=space.sizes[0], dtype="float32")
    if space.kind == MULTI_DISCRETE:
        x = network.input(INPUT, space.shape, "int64")
        parts = []
        for place, size in enumerate(space.sizes):
            part = network.call("operator.getitem", x, index=(("slice", None, None, None), place))
            parts.append(network.call("compat.one_hot", part, size=size, dtype="float32"))
        return network.call("torch.cat", *parts, dim=-1)
    x = network.input(INPUT, space.shape, "float32")
    if space.kind == BOX and scaled and space.is_bounded:
        return _scaled(network, space, x)
    return x


def _scaled(network: AgentNetwork, space: Space, x: str) -> str:
    low, high = space.low, space.high
    if low is None or high is None or not np.any(high - low != 0):
        return x
    if np.all(low == 0) and np.all(high == high.ravel()[0]):
        return network.call("operator.truediv", x, right=float(high.ravel()[0]))
    for name, values in (("observation_space/low", low), ("observation_space/high", high)):
        info = array_info(name, values.astype(np.float32))
        if info is not None:
            network.arrays = {**network.arrays, name: info}
    axes = " ".join(f"a{number}" for number in range(len(space.shape)))
    parameters = [
        Parameter(f"observation_space/{name}", name, f"{axes} -> {axes}")
        for name in ("low", "high")
    ]
    return network.layer("agent.Bounds", "bounds", (x,), parameters, kwargs={"shape": space.shape})


def flat(network: AgentNetwork, x: str, space: Space) -> str:
    """Return an observation with one axis beside the batch."""
    return (
        x if space.sizes or len(space.shape) == 1 else network.call("torch.flatten", x, start_dim=1)
    )
