"""What the actor-critics of both frameworks share in numpy terms: batches, first weights, arguments as plain data.

Nothing in here knows a framework. The batches of these agents are dictionaries with the keys of the original
implementation: obs, obs_next, acts, rews, done, and for return decomposition rrd_obs, rrd_obs_next, rrd_acts, rrd_rews,
rrd_var_coef.
"""

from __future__ import annotations

import dataclasses
import json
import math
import zlib
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experience.agent import Batch
from experience.arguments import choose_defaults

Settings = Any
"""Flags of the command line as attributes: `experience.arguments.Arguments`, or any namespace. Any: which flags there
are depends on the algorithm."""

Arrays = Mapping[str, NDArray[Any]]  # Any: integers and booleans as well

_NAMES = {
    "observation": "obs",
    "next_observation": "obs_next",
    "action": "acts",
    "reward": "rews",
    "terminated": "done",
}


def batch_arrays(batch: Batch | Arrays | Any) -> dict[str, NDArray[Any]]:  # noqa: ANN401  a NamedTuple with more fields
    """Return the batch as a dictionary under the original's keys; rewards and ends become columns.

    Args:
        batch: such a dictionary, or a NamedTuple with the fields of `Batch`; its other fields keep their names.

    Returns:
        New dictionary of the same arrays; "rews" and "done" are (batch, 1).
    """
    fields: Mapping[str, NDArray[Any]] = batch if isinstance(batch, Mapping) else batch._asdict()
    arrays = {_NAMES.get(name, name): np.asarray(array) for name, array in fields.items()}
    for name in ("rews", "done"):
        if name in arrays and arrays[name].ndim == 1:
            arrays[name] = arrays[name][:, None]
    return arrays


def initial_array(name: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float64]:
    """Return the first value of a variable: Glorot-uniform for kernels, zero for vectors and scalars.

        uniform(-limit, limit), limit = sqrt(6 / (fan_in + fan_out))

    The fans of a convolution include the size of its window. Every variable has a generator of its own, so that both
    frameworks and both dtypes start from the same numbers in whatever order they are made.

    Args:
        name: of the variable in the original; part of the seed.
        shape: as TensorFlow has it: (in, out), or (height, width, in, out).
        seed: of the agent.
    """
    if len(shape) < 2:
        return np.zeros(shape)
    window = math.prod(shape[:-2])
    limit = math.sqrt(6.0 / (window * (shape[-2] + shape[-1])))
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return rng.uniform(-limit, limit, shape)


def plain_arguments(args: Settings) -> dict[str, object]:
    """Return the flags as plain data, for a file; tuples as lists."""
    names = (
        [field.name for field in dataclasses.fields(args)]
        if dataclasses.is_dataclass(args)
        else list(vars(args))
    )
    fields = {name: getattr(args, name) for name in names}
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()
    }


def describe_agent(agent: Any) -> dict[str, object]:  # noqa: ANN401  of either framework
    """Return what a file keeps of an agent beside its variables, as plain data."""
    return {
        "class": type(agent).__name__,
        "arguments": plain_arguments(agent.args),
        "dtype": agent.dtype,
        "seed": agent.seed,
        "counters": agent.counters,
        "generator": generator_text(agent.rng),
    }


def restore_arguments(stored: Mapping[str, object]) -> SimpleNamespace:
    """Return the flags of a file as attributes.

    A converted file has only those that its variables tell; the others are the defaults of its algorithm.
    """
    named = {name: stored[name] for name in ("alg", "basis_alg", "optimizer") if name in stored}
    defaults = plain_arguments(choose_defaults(**named)) if "alg" in named else {}
    return SimpleNamespace(**{**defaults, **stored})


def transition_shapes(args: Settings) -> dict[str, tuple[int | None, ...]]:
    """Return the arrays of a batch of transitions, None for the batch axis."""
    observation, action = args.obs_dims, args.acts_dims
    return {
        "obs": (None, *observation),
        "obs_next": (None, *observation),
        "acts": (None, *action),
        "rews": (None, 1),
        "done": (None, 1),
    }


def observation_rows(
    args: Settings, observation: NDArray[np.floating], dtype: str
) -> tuple[NDArray[np.floating], bool]:
    """Return one or several observations as (batch, *observation) of the dtype, and whether it was one.

    Raises:
        ValueError: The shape is another one.
    """
    rows: NDArray[np.floating] = np.asarray(observation, dtype=dtype)
    single = rows.ndim == len(args.obs_dims)
    rows = rows[None] if single else rows
    if rows.shape[1:] != tuple(args.obs_dims):
        needed = tuple(args.obs_dims)
        msg = f"an observation of shape {np.shape(observation)}; needed {needed} or (batch, *{needed})"
        raise ValueError(msg)
    return rows, single


def action_noise(
    shape: tuple[int, ...],
    rng: np.random.Generator,
    *,
    explore: bool,
    noise: NDArray[np.floating] | None,
) -> NDArray[np.floating]:
    """Return the noise of actions: zeros unless they explore, else what is given or drawn here."""
    if not explore:
        return np.zeros(shape)
    if noise is None:
        return rng.standard_normal(shape)
    return np.reshape(np.asarray(noise, dtype=np.float64), shape)


def target_pairs(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the names of the target networks' variables, each with that of the trained one."""
    targets = [name for name in names if name.startswith("target/")]
    return [(name, f"main/{name.removeprefix('target/')}") for name in targets]


def trained_names(names: Iterable[str]) -> list[str]:
    """Return the names of the variables that are neither of a target network nor statistics."""
    return [name for name in names if not name.startswith(("target/", "normalizer/"))]


def hidden_sizes(args: Settings, default: tuple[int, int], *, network: str = "") -> tuple[int, int]:
    """Return the units of the two hidden layers: the original's, unless the arguments have `hidden_sizes`.

    Args:
        args: flags.
        default: of the original.
        network: "reward": `reward_hidden_sizes` goes before.
    """
    own = getattr(args, f"{network}_hidden_sizes", None) if network else None
    chosen = own or getattr(args, "hidden_sizes", None)
    return (int(chosen[0]), int(chosen[1])) if chosen else default


def generator_text(rng: np.random.Generator) -> str:
    """Return the state of a generator as text; its numbers are too long for most file formats."""
    return json.dumps(rng.bit_generator.state)


def set_generator(rng: np.random.Generator, text: str) -> None:
    """Set the state of a generator to what `generator_text` gave."""
    rng.bit_generator.state = json.loads(text)
