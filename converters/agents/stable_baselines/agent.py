"""The plan of an agent of stable-baselines: recognised by its variables, put together by its algorithm."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from converters.agents.facts import AgentFacts
from converters.agents.network import AgentNetwork, Parameter
from converters.agents.observations import add_observation
from converters.agents.spaces import BOX, DISCRETE, MULTI_DISCRETE, Space
from converters.agents.stable_baselines.actor_critic import add_actor_critic
from converters.agents.stable_baselines.normalizer import numbers as normalizer_numbers
from converters.agents.stable_baselines.off_policy import OffPolicy
from converters.agents.stable_baselines.settings import (
    DEFAULT_ACTIVATION,
    Policy,
    algorithm_of,
    read_policy,
)
from converters.architecture import ActionRule
from converters.checkpoint import ArrayInfo
from converters.errors import UnsupportedError

LIBRARY = "stable-baselines"
_FAMILIES = {
    "DQN": ("deepq/model/action_value/",),
    "SAC": ("model/values_fn/vf/", "model/values_fn/qf1/", "model/pi/dense_1/"),
    "TD3": ("model/values_fn/qf1/", "model/values_fn/qf2/", "model/pi/dense/"),
    "DDPG": ("model/qf/qf", "model/pi/pi/"),
    "actor-critic": ("model/pi/w", "model/vf/w"),
}
"""Algorithm to the beginnings of variables that it alone has all of; the first that fits is meant."""
_CLASS_NAMES = {
    "actor-critic": "ActorCritic",
    "DQN": "DQN",
    "SAC": "SAC",
    "TD3": "TD3",
    "DDPG": "DDPG",
}
_LEFT_OUT = {
    "oldpi/": "the policy before the last update, which only training compares with",
    "adversary/": "GAIL's discriminator, which only training asks",
    "model/q/": "action values, which only ACER has",
    "noise/": "a copy of the policy with noise, remade while training",
}


def recognizes(names: Collection[str]) -> bool:
    """Tell whether variables have the names of one of the algorithms."""
    return family_of(names) is not None


def plan(
    arrays: Mapping[str, ArrayInfo], facts: AgentFacts
) -> tuple[AgentNetwork, ActionRule, str]:
    """Return the networks of an agent, how it acts, and its class name.

    Args:
        arrays: all variables, by name without ":0".
        facts: what the file states.

    Raises:
        UnsupportedError: A policy whose parts are not known.
    """
    family = family_of(arrays)
    if family is None:
        shown = ", ".join(list(arrays)[:4])
        msg = f"its variables ({shown}, ...) are not those of a policy of stable-baselines; the policy is the user's own class"
        raise UnsupportedError(
            msg, hint="--into my_module.py:Net --map names.toml gives every variable its place"
        )
    policy = read_policy(facts)
    algorithm = algorithm_of(facts, list(arrays)) or family
    network = AgentNetwork(dict(arrays))
    observation = policy.observation or _observation(network, family, policy)
    kind = "actor-critic" if family == "actor-critic" else "off-policy"
    activation, taken = policy.activation_or(DEFAULT_ACTIVATION[kind])
    if taken:
        network.notes.append(
            f"the file does not say which activation the policy has; taken for the library's {activation} "
            "(--set activation=relu changes it)"
        )
    x = add_observation(network, observation, scaled=_takes_images(arrays))
    x = _vec_normalized(network, x, observation, policy)
    if family == "actor-critic":
        if algorithm != "ACER" and not _trains_action_values(policy):
            _leave_out(network, "model/q/")
        rule = add_actor_critic(network, policy, x, observation, activation=activation)
    else:
        agent = OffPolicy(network, policy, observation, activation=activation)
        rule = {
            "DQN": agent.add_dqn,
            "SAC": agent.add_sac,
            "TD3": agent.add_td3,
            "DDPG": agent.add_ddpg,
        }[family](x)
    for prefix in ("oldpi/", "adversary/"):
        _leave_out(network, prefix)
    if policy.action is None and not facts.given.get("actions") and _is_continuous(network):
        left = "between -1 and 1" if family != "actor-critic" else "without clipping"
        network.notes.append(
            f"the file does not state the range of actions: act gives them as the policy does, {left}"
        )
    name = _CLASS_NAMES[family] if algorithm == family else algorithm
    acts = "" if policy.action is None else f", acts in {policy.action.describe()}"
    network.notes.insert(0, f"{name}: takes {observation.describe()}{acts}")
    if facts.settings:
        network.notes.append("files of stable-baselines hold no state of optimizers")
    return network, rule, name


def family_of(names: Collection[str]) -> str | None:
    """Return the algorithm whose variables have such names, "actor-critic" for all that share theirs; None: none."""
    for family, needed in _FAMILIES.items():
        if all(any(name.startswith(start) for name in names) for start in needed):
            return family
    return None


def _trains_action_values(policy: Policy) -> bool:
    """Return whether the graph trains the head of action values, as only ACER does."""
    return policy.graph is not None and "model/q/w" in policy.graph.trained


def _is_continuous(network: AgentNetwork) -> bool:
    """Return whether the policy's actions are numbers of the environment's own range."""
    return any(
        name.startswith(("model/pi/logstd", "model/pi/dense/", "model/pi/pi/"))
        for name in network.arrays
    )


def _takes_images(arrays: Mapping[str, ArrayInfo]) -> bool:
    return any(len(array.shape) == 4 for array in arrays.values())


def _leave_out(network: AgentNetwork, prefix: str) -> None:
    for name in [each for each in network.arrays if each.startswith(prefix)]:
        network.ignore(name, _LEFT_OUT[prefix])
        network.arrays = {key: value for key, value in network.arrays.items() if key != name}


def _observation(network: AgentNetwork, family: str, policy: Policy) -> Space:
    """Return the space of observations as the first layer takes it, where the file does not state it."""
    placed = _placeholder(policy)
    if placed is not None:
        name, shape, dtype = placed
        sizes = _one_hot(policy, name)
        if len(shape) == 1 and len(sizes) == shape[0]:
            return Space(MULTI_DISCRETE, shape, sizes, dtype="int64")
        if shape:
            return Space(BOX, shape, (), *_bounds(policy, name, shape), dtype)
    if _takes_images(network.arrays):
        stated = policy.given.get("observation_shape")
        shape = tuple(stated) if isinstance(stated, list) else ()
        if len(shape) != 3 or not all(isinstance(size, int) for size in shape):
            msg = "the file does not say how large the images are that the policy takes"
            raise UnsupportedError(msg, hint="--set observation_shape=[84,84,4]")
        return Space(BOX, shape, (), np.zeros(shape), np.full(shape, 255.0), "uint8")
    first = {
        "DQN": "deepq/model/action_value/fully_connected/weights",
        "SAC": "model/pi/fc0/kernel",
        "TD3": "model/pi/fc0/kernel",
        "DDPG": "model/pi/fc0/kernel",
    }.get(family)
    candidates: Sequence[str] = (
        [first]
        if first
        else ["model/shared_fc0/w", "model/pi_fc0/w", "model/lstm1/wx", "model/pi/w"]
    )
    name = next((each for each in candidates if each in network.arrays), candidates[-1])
    size = network.array(name).shape[0]
    if placed is not None:  # a number for each observation
        return Space(DISCRETE, (), (size,), dtype="int64")
    network.notes.append(
        f"the file does not state the space of observations: taken for {size} numbers"
    )
    return Space(BOX, (size,))


_OBSERVATIONS = ("input/Ob", "deepq/input/Ob", "input/input/Ob", "train_model/input/Ob")


def _placeholder(policy: Policy) -> tuple[str, tuple[int, ...], str] | None:
    """Return scope, shape and type of an observation as the graph beside the variables states them."""
    known = policy.graph.placeholders if policy.graph is not None else {}
    for name in _OBSERVATIONS:
        if name in known:
            shape, dtype = known[name]
            sizes = tuple(size for size in shape[1:] if size is not None)
            scope = name.rpartition("/")[0]
            return (scope, sizes, dtype) if len(sizes) == len(shape) - 1 else None
    return None


def _one_hot(policy: Policy, scope: str) -> tuple[int, ...]:
    """Return how many values the parts of an observation have that the graph makes one-hot."""
    sizes = policy.graph.one_hots.get(scope, ()) if policy.graph is not None else ()
    return sizes if all(size > 0 for size in sizes) else ()


def _bounds(
    policy: Policy, scope: str, shape: tuple[int, ...]
) -> tuple[NDArray[np.floating] | None, NDArray[np.floating] | None]:
    """Return the bounds that the graph scales observations by; None where it leaves them as they are."""
    found = policy.graph.scalings.get(scope) if policy.graph is not None else None
    if found is None:
        return None, None
    low, span = (np.broadcast_to(each, shape).astype(np.float64) for each in found)
    return low, low + span


def _vec_normalized(network: AgentNetwork, x: str, observation: Space, policy: Policy) -> str:
    """Return the observation normalized by statistics that were given beside the agent."""
    if "vecnormalize/mean" not in network.arrays:
        return x
    axes = " ".join(f"a{number}" for number in range(len(observation.shape)))
    parameters = [
        Parameter(f"vecnormalize/{name}", name, f"{axes} -> {axes}") for name in ("mean", "var")
    ]
    numbers = normalizer_numbers(network, policy.settings)
    return network.layer(
        "agent.VecNormalize",
        "normalizer",
        (x,),
        parameters,
        kwargs={"shape": observation.shape, **numbers},
    )
