"""Dense layers in a row as numpy matrices, and the rewritings that make a chain of what is not one.

Every rewriting is exact: the new chain computes what the old network computes, up to the rounding of the sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from converters.checkpoint import ArrayInfo
from converters.errors import MismatchError

Matrix = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Dense:
    """One layer: weight (out, in) and bias (out,)."""

    weight: Matrix
    bias: Matrix

    @property
    def units(self) -> int:
        """Number of results."""
        return int(self.weight.shape[0])


Chain = tuple[Dense, ...]


def read_dense(arrays: Mapping[str, ArrayInfo], kernel: str, bias: str) -> Dense:
    """Return a layer of the file. Raises MismatchError where one of its arrays is missing or of another shape."""
    for name in (kernel, bias):
        if name not in arrays:
            msg = f"the agent has no variable '{name}'"
            raise MismatchError(msg)
    weight, offset = arrays[kernel].read(), arrays[bias].read().ravel()
    if weight.ndim != 2 or offset.shape != (weight.shape[1],):
        msg = f"'{kernel}' {weight.shape} and '{bias}' {offset.shape} are no dense layer"
        raise MismatchError(msg)
    return Dense(np.ascontiguousarray(weight.T), offset)


def dueling(advantages: Chain, values: Chain) -> Chain:
    """Return one chain for value + advantage - mean of the advantages.

    The hidden layers of both lie side by side, with zeros between them; the last layer subtracts the mean. Layers are
    shared as far as both networks have them in common, which is nothing here.
    """
    last_a, last_v = advantages[-1], values[-1]
    hidden = dueling_hidden(advantages, values)
    centered = last_a.weight - last_a.weight.mean(axis=0, keepdims=True)
    value = np.repeat(last_v.weight, last_a.units, axis=0)
    bias = last_a.bias - last_a.bias.mean() + last_v.bias
    if not hidden:  # both take the same features
        return (Dense(centered + value, bias),)
    return (*hidden, Dense(np.concatenate([centered, value], axis=1), bias))


def dueling_without_hidden(advantages: Dense, values: Chain) -> Chain:
    """Return one chain for value + advantage - mean of the advantages, whose advantages have no hidden layers.

    The advantages a lie beside the value's hidden layers as relu(a) and relu(-a), whose difference they are; relu is
    behind every layer but the last.
    """
    first, *rest, last = values
    count = advantages.units
    chain = [
        Dense(
            np.concatenate([first.weight, advantages.weight, -advantages.weight]),
            np.concatenate([first.bias, advantages.bias, -advantages.bias]),
        )
    ]
    for layer in rest:
        bias = np.concatenate([layer.bias, np.zeros(2 * count)])
        chain.append(Dense(_diagonal(layer.weight, np.eye(2 * count)), bias))
    centered = np.eye(count) - 1 / count
    value = np.repeat(last.weight, count, axis=0)
    weight = np.concatenate([value, centered, -centered], axis=1)
    return (*chain, Dense(weight, np.repeat(last.bias, count)))


def scaled(chain: Chain, factor: float, offset: float) -> Chain:
    """Return a chain whose results are multiplied, and then moved."""
    *hidden, last = chain
    return (*hidden, Dense(last.weight * factor, last.bias * factor + offset))


def dueling_hidden(advantages: Chain, values: Chain) -> Chain:
    """Return the hidden layers of both networks side by side, with zeros between them."""
    pairs = zip(advantages[:-1], values[:-1], strict=True)
    return tuple(
        _beside(one, other, shared_input=number == 0) for number, (one, other) in enumerate(pairs)
    )


def _beside(one: Dense, other: Dense, *, shared_input: bool) -> Dense:
    bias = np.concatenate([one.bias, other.bias])
    if shared_input:
        return Dense(np.concatenate([one.weight, other.weight]), bias)
    return Dense(_diagonal(one.weight, other.weight), bias)


def _diagonal(one: Matrix, other: Matrix) -> Matrix:
    result = np.zeros((one.shape[0] + other.shape[0], one.shape[1] + other.shape[1]), one.dtype)
    result[: one.shape[0], : one.shape[1]] = one
    result[one.shape[0] :, one.shape[1] :] = other
    return result


@dataclass(frozen=True, slots=True)
class Clip:
    """Observations normalized and clipped: clip((x - mean) / deviation, low, high)."""

    mean: Matrix
    deviation: Matrix
    low: float
    high: float

    def layer(self, actions: int = 0) -> Dense:
        """Return the layer whose relu makes relu(y - low), relu(y - high), and relu(a), relu(-a) of actions."""
        scale = np.diag(1 / self.deviation)
        offset = -self.mean / self.deviation
        observed = Dense(
            np.concatenate([scale, scale]),
            np.concatenate([offset - self.low, offset - self.high]),
        )
        return Dense(
            _diagonal(observed.weight, _both_signs(actions)),
            np.concatenate([observed.bias, np.zeros(2 * actions)]),
        )

    def behind(self, layer: Dense) -> Dense:
        """Return a layer of clipped observations as one of what `layer` makes: clip(y) = low + relu(y - low) - relu(y - high)."""
        bias = layer.bias + self.low * layer.weight.sum(axis=1)
        return Dense(np.concatenate([layer.weight, -layer.weight], axis=1), bias)


def _both_signs(actions: int) -> Matrix:
    identity = np.eye(actions)
    return np.concatenate([identity, -identity])


def late_action(chain: Chain, actions: int, clip: Clip | None) -> Chain:
    """Return a chain of (observation, action) for one whose second layer takes the action beside the first's result.

    The action passes the first relu as relu(a) and relu(-a), whose difference it is.

    Args:
        chain: the first layer takes observations, the second (features, actions); relu behind all but the last.
        actions: how many numbers an action has.
        clip: what happens to observations before the first layer; None: nothing.
    """
    first, second, *rest = chain
    if clip is not None:
        observed = clip.behind(first)
        passed: Matrix = np.eye(2 * actions)
    else:
        observed, passed = first, _both_signs(actions)
    joined = Dense(
        _diagonal(observed.weight, passed),
        np.concatenate([observed.bias, np.zeros(2 * actions)]),
    )
    features = first.units
    by_action = second.weight[:, features:]
    follower = Dense(
        np.concatenate([second.weight[:, :features], by_action, -by_action], axis=1), second.bias
    )
    front = () if clip is None else (clip.layer(actions),)
    return (*front, joined, follower, *rest)


def clipped(chain: Chain, clip: Clip | None) -> Chain:
    """Return a chain whose first layer takes normalized and clipped observations as one of the observations."""
    if clip is None:
        return chain
    first, *rest = chain
    return (clip.layer(), clip.behind(first), *rest)


def hidden_sizes(chain: Sequence[Dense]) -> list[int]:
    """Return the sizes of all layers but the last."""
    return [layer.units for layer in chain[:-1]]


def sequential(prefix: str, chain: Chain, *, first: int = 0) -> dict[str, Matrix]:
    """Return state of an `nn.Sequential` with an activation behind every layer: "prefix.0.weight", "prefix.2.weight", ..."""
    state = {}
    for number, layer in enumerate(chain):
        state[f"{prefix}.{first + 2 * number}.weight"] = layer.weight
        state[f"{prefix}.{first + 2 * number}.bias"] = layer.bias
    return state
