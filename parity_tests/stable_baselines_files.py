"""Files of stable-baselines 2 written without it: archives with settings, spaces of gym, and variables by name.

For tests of what the recorded files do not have. The form is that of stable_baselines 2.10 `save_util`: JSON, with pickles in
base64 for what is no JSON; classes are pickled by their names, which need not exist here.
"""

from __future__ import annotations

import base64
import io
import json
import pickle  # noqa: TID251  # written, never loaded
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Variables = Mapping[str, NDArray[Any]]
_SPACES = {
    "Box": "gym.spaces.box",
    "Discrete": "gym.spaces.discrete",
    "MultiDiscrete": "gym.spaces.multi_discrete",
    "MultiBinary": "gym.spaces.multi_binary",
}


class Named:
    """A class or function of another program, by its name: only for pickling."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


def box(
    low: float, high: float, shape: tuple[int, ...], dtype: str = "float32"
) -> tuple[str, dict[str, Any]]:
    """Return a box."""
    kind = np.dtype(dtype)
    return "Box", {
        "dtype": kind,
        "shape": shape,
        "low": np.full(shape, low, kind),
        "high": np.full(shape, high, kind),
    }


def discrete(size: int) -> tuple[str, dict[str, Any]]:
    """Return one choice of `size`."""
    return "Discrete", {"n": size, "shape": (), "dtype": np.dtype("int64")}


def multi_discrete(*sizes: int) -> tuple[str, dict[str, Any]]:
    """Return several choices."""
    return "MultiDiscrete", {"nvec": np.array(sizes)}


def multi_binary(size: int) -> tuple[str, dict[str, Any]]:
    """Return several answers of yes or no."""
    return "MultiBinary", {"n": size, "shape": (size,)}


def write_agent(
    path: Path,
    variables: Variables,
    *,
    policy: str,
    observation: tuple[str, dict[str, Any]],
    action: tuple[str, dict[str, Any]],
    settings: Mapping[str, Any] | None = None,
    policy_kwargs: Mapping[str, Any] | None = None,
) -> Path:
    """Write the archive of an agent and return its path.

    Args:
        path: where to.
        variables: by name without ":0", in the order in which the library makes them.
        policy: module and name of its class: "stable_baselines.sac.policies:MlpPolicy".
        observation: space.
        action: space.
        settings: further entries of `data`.
        policy_kwargs: of the policy; activations are given as `Named`.
    """
    module, _, name = policy.partition(":")
    data: dict[str, Any] = dict(settings or {})
    data["policy"] = _packed(Named(module, name))
    data["observation_space"], data["action_space"] = _packed(observation), _packed(action)
    kwargs = dict(policy_kwargs or {})
    plain = all(isinstance(value, (int, str, list, bool)) for value in kwargs.values())
    data["policy_kwargs"] = kwargs if plain else _packed(kwargs)
    arrays = io.BytesIO()
    stored: dict[str, Any] = {f"{key}:0": value for key, value in variables.items()}
    np.savez(arrays, **stored)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", json.dumps(data))
        archive.writestr("parameters", arrays.getvalue())
        archive.writestr("parameter_list", json.dumps([f"{key}:0" for key in variables]))
    return path


def _packed(value: object) -> dict[str, str]:
    with _pretended_modules():
        data = pickle.dumps(_pretended(value), protocol=4)
    return {":type:": str(type(value)), ":serialized:": base64.b64encode(data).decode()}


def _pretended(value: object) -> object:
    """Return what pickles as the other program's value would."""
    if isinstance(value, Named):
        return _pretended_class(value.module, value.name)
    if isinstance(value, tuple) and len(value) == 2 and value[0] in _SPACES:
        kind = _pretended_class(_SPACES[value[0]], value[0])
        space: object = kind()
        space.__dict__.update(value[1])
        return space
    if isinstance(value, dict):
        return {key: _pretended(each) for key, each in value.items()}
    return value


def _pretended_class(module: str, name: str) -> type:
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        package = ".".join(parts[:count])
        if package not in sys.modules:
            sys.modules[package] = ModuleType(package)
    if not hasattr(sys.modules[module], name):
        setattr(sys.modules[module], name, type(name, (), {"__module__": module}))
    found: type = getattr(sys.modules[module], name)
    return found


@contextmanager
def _pretended_modules() -> Iterator[None]:
    before = set(sys.modules)
    try:
        yield
    finally:
        for name in set(sys.modules) - before:
            del sys.modules[name]
