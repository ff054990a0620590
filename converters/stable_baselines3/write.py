"""Writing a file of stable_baselines3 by stable_baselines3: the model is built from plain data, filled, and saved.

Nothing of the old file is executed. The archive that the library makes is packed again without dates and without the
description of this machine, so that the same input gives the same bytes.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray

from converters.agents.spaces import BOX, DISCRETE, MULTI_BINARY, MULTI_DISCRETE, Space
from converters.errors import MismatchError, UnsupportedError
from converters.stable_baselines3.agent import ACTIVATION_ARGUMENTS, Counterpart

_FIXED_DATE = (1980, 1, 1, 0, 0, 0)
_SYSTEM = "system_info.txt"
_HINT = "pip install 'torchward[sb3]'"
NARROW = 16.0
"""Span of a box up to which observations are drawn evenly from it: two deviations of the others to each side."""


class Model(Protocol):
    """What is used of a model of stable_baselines3."""

    policy: torch.nn.Module
    observation_space: object
    action_space: object
    n_envs: int
    env: object
    buffer_size: object

    def save(self, path: io.BytesIO) -> None:
        """Write its file."""

    def predict(
        self, observation: NDArray[np.generic], *, deterministic: bool
    ) -> tuple[NDArray[np.generic], object]:
        """Return actions for a batch of observations, and a state."""

    def _setup_model(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Spaces:
    """In the place of an environment while a model is made, which asks it for one thing."""

    action_space: object


def build_model(agent: Counterpart) -> Model:
    """Return the model of stable_baselines3 with the agent's weights.

    Raises:
        UnsupportedError: stable_baselines3 is not installed.
        MismatchError: Weights and model do not belong together.
    """
    algorithm = getattr(import_library(), agent.algorithm)
    arguments = dict(agent.arguments)
    kept = {"buffer_size": arguments.pop("buffer_size", None)}
    if agent.algorithm in ("DQN", "SAC", "TD3", "DDPG"):
        arguments["buffer_size"] = 1  # allocated when it is made; the real size is set afterwards
    model: Model = algorithm(
        agent.policy,
        None,
        policy_kwargs=_policy_arguments(agent),
        device="cpu",
        _init_setup_model=False,
        **arguments,
    )
    model.observation_space = _observation_space(agent)
    model.action_space = gymnasium_space(agent.action)
    model.n_envs = 1
    model.env = _Spaces(model.action_space)
    model._setup_model()
    model.env = None
    if kept["buffer_size"] is not None:
        model.buffer_size = kept["buffer_size"]
    _fill(model, agent)
    return model


def import_library() -> ModuleType:
    """Return stable_baselines3. Raises UnsupportedError if it is not installed."""
    try:
        with _without_tensorflow():
            return importlib.import_module("stable_baselines3")
    except ImportError as error:
        msg = "stable_baselines3 is not installed, which --to sb3 writes its files with"
        raise UnsupportedError(msg, hint=_HINT) from error


@contextlib.contextmanager
def _without_tensorflow() -> Iterator[None]:
    """Keep TensorBoard, which stable_baselines3 imports, from importing TensorFlow: it has a part of its own for that."""
    hidden = "tensorflow" not in sys.modules
    if hidden:
        sys.modules["tensorflow"] = cast("ModuleType", None)
    try:
        yield
    finally:
        if hidden:
            del sys.modules["tensorflow"]


def model_bytes(model: Model) -> bytes:
    """Return the file that `model.save` writes, without dates and machine."""
    raw, packed = io.BytesIO(), io.BytesIO()
    model.save(raw)
    with zipfile.ZipFile(raw) as source, zipfile.ZipFile(packed, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == _SYSTEM:
                data = b"written by torchward from a file of stable-baselines 2\n"
            target.writestr(zipfile.ZipInfo(name, _FIXED_DATE), data)
    return packed.getvalue()


def sample_observations(agent: Counterpart, count: int) -> NDArray[np.generic]:
    """Return observations (count, ...) of the space, as the old agent takes them, the same ones every time."""
    space, rng = agent.observation, np.random.default_rng(0)
    if space.sizes:
        chosen = np.stack([rng.integers(0, size, count) for size in space.sizes], axis=-1)
        return chosen[:, 0] if space.kind == DISCRETE else chosen
    if space.kind == MULTI_BINARY:
        return rng.integers(0, 2, (count, *space.shape)).astype(np.int8)
    if space.dtype == "uint8":
        return rng.integers(0, 256, (count, *space.shape), dtype=np.uint8)
    drawn = 4 * rng.standard_normal((count, *space.shape))
    if space.low is not None and space.high is not None:
        # What lies outside may be clipped by one agent only: a layer that the space makes needless is left out.
        low, high = (np.asarray(each, np.float64) for each in (space.low, space.high))
        span = high - low
        if (span <= NARROW).all():  # drawn around zero, most would lie on the bounds
            drawn = low + span * rng.random(drawn.shape)
        drawn = np.clip(drawn, low, high)
    return drawn.astype(np.float32)


def _policy_arguments(agent: Counterpart) -> dict[str, object]:
    return {
        "net_arch": agent.net_arch,
        "activation_fn": _activation(agent.activation),
        "normalize_images": agent.normalizes_images,
        **agent.policy_arguments,
        **({"n_critics": 1} if agent.algorithm == "DDPG" else {}),
    }


def _activation(name: str) -> object:
    """Return what makes a layer of an activation, as the library calls it."""
    made: Callable[..., torch.nn.Module] = getattr(torch.nn, name)
    return partial(made, **arguments) if (arguments := ACTIVATION_ARGUMENTS.get(name)) else made


def _observation_space(agent: Counterpart) -> object:
    """Return the space as the library's models have it: images with their channels first."""
    space = gymnasium_space(agent.observation)
    if agent.policy != "CnnPolicy":
        return space
    wrapper = importlib.import_module(
        "stable_baselines3.common.vec_env.vec_transpose"
    ).VecTransposeImage
    return cast("object", wrapper.transpose_space(space))


def gymnasium_space(space: Space) -> object:
    """Return the space as Gymnasium has it. Raises UnsupportedError for a box without bounds."""
    spaces = importlib.import_module("gymnasium.spaces")
    if space.kind == DISCRETE:
        return cast("object", spaces.Discrete(space.sizes[0]))
    if space.kind == MULTI_DISCRETE:
        return cast("object", spaces.MultiDiscrete(list(space.sizes)))
    if space.kind == MULTI_BINARY:
        return cast("object", spaces.MultiBinary(space.shape[0]))
    if space.kind != BOX or space.low is None or space.high is None:
        msg = f"the space {space.describe()} has no bounds, which stable_baselines3 needs"
        raise UnsupportedError(msg)
    dtype = np.dtype(space.dtype)
    low, high = space.low.astype(dtype), space.high.astype(dtype)
    return cast("object", spaces.Box(low, high, space.shape, dtype.type))


def _fill(model: Model, agent: Counterpart) -> None:
    """Copy the weights; every parameter of the policy is filled once. Raises MismatchError."""
    parameters: Mapping[str, torch.Tensor] = dict(model.policy.named_parameters())
    problems = [f"{name}   is not filled" for name in parameters if name not in agent.state]
    problems += [
        f"{name}   is no parameter of the policy" for name in agent.state if name not in parameters
    ]
    for name, value in agent.state.items():
        if name in parameters and tuple(parameters[name].shape) != value.shape:
            problems.append(
                f"{name}   found {value.shape}   needed {tuple(parameters[name].shape)}"
            )
    if problems:
        listed = "\n  ".join(problems)
        msg = f"{len(problems)} weights do not fit {agent.algorithm} of stable_baselines3:\n  {listed}"
        raise MismatchError(msg)
    with torch.no_grad():
        for name, value in agent.state.items():
            parameters[name].copy_(torch.from_numpy(value.copy()))
        for name, value in agent.variables.items():
            if getattr(model, name, None) is not None:
                getattr(model, name).copy_(torch.from_numpy(np.array(value, np.float32)))
