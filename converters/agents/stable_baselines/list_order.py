"""The names of variables in lists without names, which stable-baselines saved up to 2.5: settings tell the order.

A list has the variables in the order in which the algorithm made them, and the settings beside it state the policy
(`net_arch`, `layers`, `dueling`, `layer_norm`). Only policies of the library, and classes that give it settings, have an
order that is known.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest

from converters.agents.facts import AgentFacts
from converters.agents.spaces import BOX
from converters.agents.stable_baselines.settings import (
    LSTM,
    Policy,
    algorithm_of,
    is_gail,
    read_policy,
)
from converters.agents.stable_baselines.user_functions import read_extractor

_IMAGES = ("c1", "c2", "c3", "fc1")
_DEFAULT_LAYERS = (64, 64)
_OF_LSTM = ("wx", "wh", "b")
_NORM_OF_LSTM = ("gx", "bx", "gh", "bh", "gc", "bc")
_OF_DISCRIMINATOR = 6
"""GAIL's: three dense layers, behind everything else."""
_TWICE = ("DDPG", "PPO1", "TRPO", "GAIL")
"""Lists of these held all networks twice, or the policy before the last update behind that of now."""
_ROLES = {"wb": ("w", "b"), "keras": ("kernel", "bias"), "contrib": ("weights", "biases")}
Shapes = Sequence[tuple[int, ...]]


def names_in_order(facts: AgentFacts, shapes: Shapes) -> list[str]:
    """Return a name for every array that is meant, the first ones of the list; empty: the order is not known.

    Args:
        facts: settings beside the list.
        shapes: of all arrays; what some algorithms stored twice is left out the second time.
    """
    policy = read_policy(facts)
    if not policy.is_stock:
        return []
    algorithm = algorithm_of(facts, ())
    if algorithm == "DQN":
        names = ["deepq/eps", *_dqn(policy)]
    elif algorithm == "SAC":
        names = list(_sac(policy))
    elif algorithm == "DDPG":
        names = list(_ddpg(policy))
    else:
        names = list(_actor_critic(policy))
    count, rest = len(names), list(shapes)
    if is_gail(facts.settings):
        rest = rest[:-_OF_DISCRIMINATOR]
    if algorithm in _TWICE and rest[count:] == rest[:count]:
        rest = rest[:count]
    fits = len(rest) == count
    return names if fits and _agree(dict(zip(names, rest, strict=True))) else []


def _lstm(policy: Policy) -> Iterator[str]:
    for part in (*_OF_LSTM, *(_NORM_OF_LSTM if policy.has_norm else ())):
        yield f"model/lstm1/{part}"


def _dense(scope: str, kind: str) -> Iterator[str]:
    yield from (f"{scope}/{role}" for role in _ROLES[kind])


def _norm(scope: str, number: int) -> Iterator[str]:
    layer = f"{scope}/LayerNorm{_suffix(number)}"
    yield from (f"{layer}/beta", f"{layer}/gamma")


def _suffix(number: int) -> str:
    return f"_{number}" if number else ""


def _images(policy: Policy, scope: str) -> Iterator[str]:
    names: tuple[str, ...] = _IMAGES
    if (
        policy.extractor is not None
    ):  # none of a function that cannot be followed, so that no order fits
        names = tuple(layer.name for layer in read_extractor(policy.extractor) or ())
    for name in names:
        yield from _dense(f"{scope}/{name}", "wb")


def _depth(policy: Policy) -> int:
    """Return the number of hidden layers that `layers` states."""
    stated = policy.kwargs.get("layers")
    return len(stated) if isinstance(stated, (list, tuple)) else len(_DEFAULT_LAYERS)


def _dqn(policy: Policy) -> Iterator[str]:
    # LnMlpPolicy passed dueling=True on whatever it got (2.2 to 2.7, deepq/policies.py).
    dueling = policy.kwargs.get("dueling") is not False or policy.name == "LnMlpPolicy"
    for scope in ("deepq/model", "deepq/target_q_func/model"):
        values = f"{scope}/action_value"
        if policy.takes_images:
            yield from _images(policy, values)
        yield from _stream(policy, values, 0 if policy.takes_images else _depth(policy))
        if dueling:
            yield from _stream(policy, f"{scope}/state_value", _depth(policy))


def _stream(policy: Policy, scope: str, depth: int) -> Iterator[str]:
    for number in range(depth):
        yield from _dense(f"{scope}/fully_connected{_suffix(number)}", "contrib")
        if policy.has_norm:
            yield from _norm(scope, number)
    yield from _dense(f"{scope}/fully_connected{_suffix(depth)}", "contrib")


def _chain(policy: Policy, scope: str, *last: str) -> Iterator[str]:
    """Yield the variables of layers fc0, fc1, ... and of the last ones by their own names."""
    for number in range(_depth(policy)):
        yield from _dense(f"{scope}/fc{number}", "keras")
        if policy.has_norm:
            yield from _norm(scope, number)
    for name in last:
        yield from _dense(f"{scope}/{name}", "keras")


def _ddpg(policy: Policy) -> Iterator[str]:
    for scope in ("model", "target"):
        for part in ("pi", "qf"):
            if policy.takes_images:
                yield from _images(policy, f"{scope}/{part}")
            yield from _chain(policy, f"{scope}/{part}", part)
    for part, setting in (("obs_rms", "normalize_observations"), ("ret_rms", "normalize_returns")):
        if policy.settings.get(setting) is True:
            yield from (f"input/{part}/{name}" for name in ("runningsum", "runningsumsq", "count"))


def _sac(policy: Policy) -> Iterator[str]:
    values = "model/values_fn"
    for scope in ("model/pi", values):
        if policy.takes_images:
            yield from _images(policy, scope)
        if scope == "model/pi":
            yield from _chain(policy, scope, "dense", "dense_1")
    for name in ("vf", "qf1", "qf2"):
        yield from _chain(policy, f"{values}/{name}", name)
    if str(policy.settings.get("ent_coef", "")).startswith("auto"):
        yield "model/log_ent_coef"
    yield from _chain(policy, "target/values_fn/vf", "vf")


def _actor_critic(policy: Policy) -> Iterator[str]:
    if policy.takes_images:
        yield from _images(policy, "model")
    parts: Mapping[object, object] = {}
    for number, layer in enumerate(_arch(policy)):
        if isinstance(layer, Mapping):
            parts = layer
            break
        if layer == LSTM:
            yield from _lstm(policy)
        else:
            yield from _dense(layer if isinstance(layer, str) else f"model/shared_fc{number}", "wb")
    sizes = [parts.get(name) for name in ("pi", "vf")]
    lists = [each if isinstance(each, (list, tuple)) else () for each in sizes]
    for number, pair in enumerate(zip_longest(*lists)):
        for name, size in zip(("pi", "vf"), pair, strict=True):
            if size is not None:
                yield from _dense(f"model/{name}_fc{number}", "wb")
    for head in ("vf", "pi"):
        yield from _dense(f"model/{head}", "wb")
    if policy.action is not None and policy.action.kind == BOX:
        yield "model/pi/logstd"
    yield from _dense("model/q", "wb")


def _arch(policy: Policy) -> list[object]:
    """Return `net_arch` as stated, or what the library takes without it, where layers before an LSTM have own names."""
    stated = policy.kwargs.get("net_arch")
    if isinstance(stated, list):
        return stated
    depth = 0 if policy.takes_images else _depth(policy)
    if policy.is_recurrent:
        return [*(f"model/pi_fc{number}" for number in range(depth)), LSTM]
    return [{"pi": [64] * depth, "vf": [64] * depth}]


def _agree(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Return whether every kernel gives as many numbers as its bias has."""
    for kernel, bias in _ROLES.values():
        for name, shape in shapes.items():
            scope, _, role = name.rpartition("/")
            beside = shapes.get(f"{scope}/{bias}")
            if role == kernel and (beside is None or not shape or shape[-1] != math.prod(beside)):
                return False
    return True
