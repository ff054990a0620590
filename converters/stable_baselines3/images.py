"""The network of the Nature paper, which is the one for images that both libraries have."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from converters.agents.spaces import Space
from converters.agents.stable_baselines.settings import Policy
from converters.checkpoint import ArrayInfo
from converters.stable_baselines3.chains import read_dense

_CONVOLUTIONS = (("c1", 8, 4), ("c2", 4, 2), ("c3", 3, 1))
"""Name, size of the kernel, stride."""
_KERNELS = [(8, 8, 32), (4, 4, 64), (3, 3, 64)]
"""Height, width and number of results of each."""


def reason_against(arrays: Mapping[str, ArrayInfo], policy: Policy, family: str) -> str | None:
    """Return why stable_baselines3 has no network for the images of a policy; None: it has."""
    if not _are_bytes(policy.observation):
        return "its images are no uint8 from 0 to 255, and stable_baselines3 turns and scales only those"
    if policy.extractor is not None or not _is_nature(arrays):
        return "its network for images is the user's own; stable_baselines3 needs the class of such a network"
    if family in ("SAC", "TD3", "DDPG"):
        return f"{family} with images shares its networks otherwise than stable_baselines3 does"
    return None


def features_of(arrays: Mapping[str, ArrayInfo]) -> int:
    """Return how many features the network gives."""
    return arrays[f"{_scope(arrays)}/fc1/w"].shape[1]


def image_state(
    arrays: Mapping[str, ArrayInfo], prefix: str, scope: str, observation: Space
) -> dict[str, NDArray[np.floating]]:
    """Return the weights of a scope by their names in a module; torch's flat features have the channels first."""
    state: dict[str, NDArray[np.floating]] = {}
    height, width = observation.shape[0], observation.shape[1]
    for number, (name, size, stride) in enumerate(_CONVOLUTIONS):
        kernel, bias = arrays[f"{scope}/{name}/w"].read(), arrays[f"{scope}/{name}/b"].read()
        state[f"{prefix}.cnn.{2 * number}.weight"] = kernel.transpose(3, 2, 0, 1)
        state[f"{prefix}.cnn.{2 * number}.bias"] = bias.ravel()
        height, width = (height - size) // stride + 1, (width - size) // stride + 1
    dense = read_dense(arrays, f"{scope}/fc1/w", f"{scope}/fc1/b")
    rows = dense.weight.reshape(dense.units, height, width, -1).transpose(0, 3, 1, 2)
    state[f"{prefix}.linear.0.weight"] = rows.reshape(dense.units, -1)
    state[f"{prefix}.linear.0.bias"] = dense.bias
    return state


def _scope(arrays: Mapping[str, ArrayInfo]) -> str:
    name = next(
        name for name, array in arrays.items() if len(array.shape) == 4 and "target" not in name
    )
    return name.rpartition("/")[0].rpartition("/")[0]


def _is_nature(arrays: Mapping[str, ArrayInfo]) -> bool:
    scope = _scope(arrays)
    found = [arrays.get(f"{scope}/{name}/w") for name, _, _ in _CONVOLUTIONS]
    shapes = [None if each is None else (*each.shape[:2], each.shape[-1]) for each in found]
    return shapes == _KERNELS and f"{scope}/fc1/w" in arrays


def _are_bytes(space: Space | None) -> bool:
    """Tell whether images have the numbers that stable_baselines3 knows images by; True where none are stated."""
    if space is None or space.low is None or space.high is None:
        return True
    return space.dtype == "uint8" and bool((space.low == 0).all() and (space.high == 255).all())
