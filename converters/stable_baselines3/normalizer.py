"""The file of `VecNormalize`, written as stable_baselines3 keeps it beside its agents."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from converters.agents.spaces import Space, read_space
from converters.checkpoint import Checkpoint
from converters.errors import MismatchError, UnsupportedError, VerificationError
from converters.live.build import build_planned
from converters.planned import Plan
from converters.stable_baselines3.write import gymnasium_space, import_library
from converters.verification import relative_difference

LOADER = "stable_baselines3.common.vec_env.VecNormalize"
_STATISTICS = {"obs_rms": "observation", "ret_rms": "return"}
_COMPARED = 256
_TOLERANCE = 1e-6
"""Of normalized observations: both compute in float32 or better."""


def normalizer_bytes(checkpoint: Checkpoint, plan: Plan) -> tuple[bytes, str]:
    """Return the file that `VecNormalize.load` of stable_baselines3 opens, and a sentence on how alike both normalize.

    Args:
        checkpoint: of a `VecNormalize` of stable-baselines 2.
        plan: of the same.

    Raises:
        UnsupportedError: stable_baselines3 is not installed, or the file does not say what observations and actions are.
        MismatchError: The statistics are for other observations.
        VerificationError: The new wrapper normalizes otherwise.
    """
    wrapper = _build(checkpoint)
    compared = _compare(plan, wrapper)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "normalizer"
        wrapper.save(str(path))
        return path.read_bytes(), compared


def _build(checkpoint: Checkpoint) -> Any:  # noqa: ANN401  a wrapper of stable_baselines3
    settings = checkpoint.agent.settings if checkpoint.agent else {}
    import_library()
    vectors = importlib.import_module("stable_baselines3.common.vec_env")
    gymnasium = importlib.import_module("gymnasium")
    environment = gymnasium.Env()
    environment.observation_space = gymnasium_space(_space(settings, "observation_space"))
    environment.action_space = gymnasium_space(_space(settings, "action_space"))
    wrapper = vectors.VecNormalize(vectors.DummyVecEnv([lambda: environment]), **_numbers(settings))
    arrays = {
        f"{layer.path}/{part}": info
        for layer in checkpoint.layers
        for part, info in layer.arrays.items()
    }
    for attribute, name in _STATISTICS.items():
        statistics = getattr(wrapper, attribute)
        for part in ("mean", "var", "count"):
            found, needed = arrays.get(f"{name}/{part}"), np.shape(getattr(statistics, part))
            if found is None:
                continue
            if found.shape != needed:
                msg = f"array '{found.name}' is of shape {found.shape}; needed {needed}, that of its observation_space"
                raise MismatchError(msg)
            value = np.asarray(found.read(), np.float64)
            setattr(statistics, part, float(value) if part == "count" else value.copy())
    return wrapper


def _numbers(settings: Mapping[str, object]) -> dict[str, object]:
    """Return the arguments of the wrapper that the file states. Raises UnsupportedError if one is no number."""
    names = ("norm_obs", "norm_reward", "clip_obs", "clip_reward", "gamma", "epsilon")
    given = {name: settings[name] for name in names if name in settings}
    for name, value in given.items():
        if not isinstance(value, (bool, int, float, np.number)):
            msg = f"its {name} is no number"
            raise UnsupportedError(msg)
    return given


def _space(settings: Mapping[str, object], name: str) -> Space:
    space = read_space(settings.get(name))
    if space is None:
        msg = f"does not say what its {name} is, which stable_baselines3 stores"
        raise UnsupportedError(
            msg, hint="leave --to out: torchward.load makes a module of the statistics"
        )
    return space


def _compare(plan: Plan, wrapper: Any) -> str:  # noqa: ANN401  of stable_baselines3
    """Return a sentence on how alike both normalize. Raises VerificationError."""
    spread = np.sqrt(wrapper.obs_rms.var) + 1.0
    drawn = np.random.default_rng(0).standard_normal((_COMPARED, *spread.shape))
    observations = (wrapper.obs_rms.mean + 4 * spread * drawn).astype(np.float32)
    with torch.no_grad():
        old = build_planned(plan)(torch.from_numpy(observations))["normalized_obs"].numpy()
    new: NDArray[np.floating] = wrapper.normalize_obs(observations)
    worst = relative_difference(new, old)
    if not worst <= _TOLERANCE:  # so that NaN fails
        msg = f"VecNormalize of stable_baselines3 normalizes otherwise: off by {worst:.1e}; nothing was written"
        raise VerificationError(msg)
    return f"both normalize {_COMPARED} observations alike, within {worst:.1e}"
