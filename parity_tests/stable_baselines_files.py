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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
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


def write_list(path: Path, settings: Mapping[str, object], values: Sequence[NDArray[Any]]) -> Path:
    """Write an agent as releases up to 2.5 did: settings, and the variables without names."""
    with _pretended_modules():
        plain = {name: _pretended(value) for name, value in settings.items()}
        path.write_bytes(pickle.dumps((plain, list(values)), protocol=4))
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
        if sys.modules.get(package) is None:  # None: another test keeps it from being imported
            sys.modules[package] = ModuleType(package)
    if not hasattr(sys.modules[module], name):
        setattr(sys.modules[module], name, type(name, (), {"__module__": module}))
    found: type = getattr(sys.modules[module], name)
    return found


@contextmanager
def _pretended_modules() -> Iterator[None]:
    before = dict(sys.modules)
    try:
        yield
    finally:
        for name in set(sys.modules) - set(before):
            del sys.modules[name]
        for name in [name for name, module in before.items() if module is None]:
            sys.modules[name] = before[name]


def draw(shapes: dict[str, tuple[int, ...]], seed: int = 3) -> dict[str, NDArray[Any]]:
    """Return variables of these shapes, the same for every seed."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.standard_normal(shape) * 0.5 + 0.1).astype(np.float32)
        for name, shape in shapes.items()
    }


def dense(scope: str, sizes: tuple[int, int], kind: str = "wb") -> dict[str, tuple[int, ...]]:
    """Return the shapes of one dense layer: "wb", "keras" or "contrib" by the names of its variables."""
    names = {"wb": ("w", "b"), "keras": ("kernel", "bias"), "contrib": ("weights", "biases")}[kind]
    return {f"{scope}/{names[0]}": sizes, f"{scope}/{names[1]}": (sizes[1],)}


def dqn_shapes(scope: str, *, dueling: bool, with_norm: bool) -> dict[str, tuple[int, ...]]:
    """Return the shapes of one Q-network."""
    shapes: dict[str, tuple[int, ...]] = {}
    for stream, results in (("action_value", 3), ("state_value", 1))[: 1 + dueling]:
        shapes |= dense(f"{scope}/{stream}/fully_connected", (4, 6), "contrib")
        if with_norm:
            shapes |= {
                f"{scope}/{stream}/LayerNorm/beta": (6,),
                f"{scope}/{stream}/LayerNorm/gamma": (6,),
            }
        shapes |= dense(f"{scope}/{stream}/fully_connected_1", (6, results), "contrib")
    return shapes


def write_dqn(
    folder: Path, *, dueling: bool, with_norm: bool
) -> tuple[Path, dict[str, NDArray[Any]]]:
    """Write a DQN, and return its path and variables."""
    online, target = "deepq/model", "deepq/target_q_func/model"
    shapes = {
        name: shape
        for scope in (online, target)
        for name, shape in dqn_shapes(scope, dueling=dueling, with_norm=with_norm).items()
    }
    arrays = draw({"deepq/eps": (), **shapes})
    policy = f"stable_baselines.deepq.policies:{'Ln' if with_norm else ''}MlpPolicy"
    settings = {"exploration_fraction": 0.1, "gamma": 0.9, "buffer_size": 500}
    path = write_agent(
        folder / "dqn.zip",
        arrays,
        policy=policy,
        observation=box(-9, 9, (4,)),
        action=discrete(3),
        settings=settings,
        policy_kwargs={"dueling": dueling, "layers": [6]},
    )
    return path, arrays


def write_td3(folder: Path, *, deep: bool = False) -> tuple[Path, dict[str, NDArray[Any]]]:
    """Write a TD3 agent whose actions go from 0 to 4, with two hidden layers if `deep`; return path and variables."""
    shapes: dict[str, tuple[int, ...]] = {}
    further = (6, 5) if deep else (6,)
    for scope in ("model", "target"):
        shapes |= _layers(f"{scope}/pi", (3, *further, 2), "dense")
        for name in ("qf1", "qf2"):
            each = f"{scope}/values_fn/{name}"
            shapes |= _layers(each, (5, *further, 1), name)
    arrays = draw(shapes)
    path = write_agent(
        folder / "td3.zip",
        arrays,
        policy="stable_baselines.td3.policies:MlpPolicy",
        observation=box(-9, 9, (3,)),
        action=box(0, 4, (2,)),
        settings={"policy_delay": 2, "tau": 0.01},
        policy_kwargs={"layers": [6]},
    )
    return path, arrays


def _layers(scope: str, sizes: tuple[int, ...], last: str) -> dict[str, tuple[int, ...]]:
    """Return the variables of dense layers fc0, fc1, ... and a last one."""
    shapes: dict[str, tuple[int, ...]] = {}
    names = [*(f"fc{number}" for number in range(len(sizes) - 2)), last]
    for name, pair in zip(names, pairwise(sizes), strict=True):
        shapes |= dense(f"{scope}/{name}", pair, "keras")
    return shapes


def write_ddpg(
    folder: Path,
    *,
    normalizes: bool,
    with_norm: bool = False,
    clip: float = 2.0,
    deep: bool = False,
    head: str = "qf",
) -> tuple[Path, dict[str, NDArray[Any]]]:
    """Write a DDPG agent and return its path and variables.

    Args:
        folder: where to.
        normalizes: whether it keeps statistics of observations and returns.
        with_norm: whether the policy has layer normalization.
        clip: largest magnitude of observations.
        deep: whether the policy has two hidden layers, as the critic has.
        head: name of the critic's last layer.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for scope in ("model", "target"):
        norm: dict[str, tuple[int, ...]] = {}
        if with_norm:
            norm = {f"{scope}/pi/LayerNorm/beta": (6,), f"{scope}/pi/LayerNorm/gamma": (6,)}
        shapes |= _layers(f"{scope}/pi", (3, 6, 5, 2) if deep else (3, 6, 2), "pi") | norm
        shapes |= dense(f"{scope}/qf/fc0", (3, 6), "keras") | dense(
            f"{scope}/qf/fc1", (8, 5), "keras"
        )
        shapes |= dense(f"{scope}/qf/{head}", (5, 1), "keras")
    arrays: dict[str, NDArray[Any]] = draw(shapes)
    if normalizes:
        arrays |= {
            "input/obs_rms/runningsum": np.array([5.0, -3.0, 0.0]),
            "input/obs_rms/runningsumsq": np.array([90.0, 30.0, 0.001]),
            "input/obs_rms/count": np.array(10.0),
            "input/ret_rms/runningsum": np.array(8.0),
            "input/ret_rms/runningsumsq": np.array(60.0),
            "input/ret_rms/count": np.array(10.0),
        }
    settings = {
        "actor_lr": 1e-4,
        "observation_range": [-clip, clip],
        "return_range": [-np.inf, np.inf],
    }
    path = write_agent(
        folder / "ddpg.zip",
        arrays,
        policy="stable_baselines.ddpg.policies:MlpPolicy",
        observation=box(-np.inf, np.inf, (3,)),
        action=box(-1, 3, (2,)),
        settings=settings,
    )
    return path, arrays


def write_images(
    folder: Path,
    sizes: tuple[int, int, int],
    policy_kwargs: dict[str, Any],
    *,
    observation: tuple[str, dict[str, Any]] | None = None,
) -> tuple[Path, dict[str, NDArray[Any]]]:
    """Write a policy of images with three convolutions of these sizes, and return its path and variables."""
    first, second, third = sizes
    shapes: dict[str, tuple[int, ...]] = {
        "model/c1/w": (first, first, 2, 4),
        "model/c1/b": (1, 4, 1, 1),
        "model/c2/w": (second, second, 4, 5),
        "model/c2/b": (1, 5, 1, 1),
        "model/c3/w": (third, third, 5, 6),
        "model/c3/b": (1, 6, 1, 1),
        **dense("model/fc1", (6, 8)),
        **dense("model/vf", (8, 1)),
        **dense("model/pi", (8, 3)),
    }
    arrays = draw(shapes)
    path = write_agent(
        folder / "cnn.zip",
        arrays,
        policy="stable_baselines.common.policies:CnnPolicy",
        observation=observation or box(0, 255, (36, 36, 2), "uint8"),
        action=discrete(3),
        policy_kwargs=policy_kwargs,
    )
    return path, arrays
