"""SAC, TD3 and DDPG of stable-baselines 2 as the agents of `torch_impl`: networks, targets, temperature, normalizer.

Ours have two hidden layers with relu and actions between -1 and 1, as the policies of stable-baselines have before
`predict` brings them to the space.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace

import numpy as np
import torch
from numpy.typing import NDArray

from converters.agents.facts import AgentFacts
from converters.agents.libraries import named_arrays
from converters.agents.spaces import BOX
from converters.agents.stable_baselines.agent import family_of
from converters.agents.stable_baselines.off_policy import ddpg_value, stated_range
from converters.agents.stable_baselines.settings import DEFAULT_ACTIVATION, Policy, read_policy
from converters.agents.unnamed import named_agent
from converters.checkpoint import ArrayInfo, Checkpoint
from converters.errors import MismatchError, UnsupportedError
from converters.live.build import build_planned
from converters.planned import Plan
from converters.stable_baselines3.chains import Chain, read_dense, scaled
from converters.stable_baselines3.running_statistics import clip_of, returns_of
from converters.verification import largest, relative_difference
from experience.actor_critics import plain_arguments
from experience.arguments import choose_defaults
from torch_impl.actor_critic import ActorCritic
from torch_impl.ddpg import DDPG
from torch_impl.sac import SAC
from torch_impl.td3 import TD3

CLASSES: Mapping[str, type[ActorCritic]] = {"SAC": SAC, "TD3": TD3, "DDPG": DDPG}
COMPARED = 256
_HINT = "leave --into out: torchward.load makes a module of the file that acts the same"
_NUMBERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "SAC": {"learning_rate": ("pi_lr", "q_lr")},
    "TD3": {
        "learning_rate": ("pi_lr", "q_lr"),
        "target_policy_noise": ("pi_t_std",),
        "target_noise_clip": ("pi_t_clip",),
        "policy_delay": ("pi_delay_freq",),
    },
    "DDPG": {"actor_lr": ("pi_lr",), "critic_lr": ("q_lr",)},
}
"""Setting of stable-baselines to our arguments, besides those of all three."""
_SHARED = {"gamma": ("gamma",), "batch_size": ("batch_size",), "buffer_size": ("buffer_size",)}
_NORM_CLIP = 5.0
"""Of `torch_impl.normalizer.Normalizer`."""
_NOTES = {
    "SAC": "the value and its target are left out: targets of the action values begin as copies; log_std has a floor of log(0.01) here",
    "TD3": "gradients are those of the mean, not of half of it",
    "DDPG": "the critic's regularizer is not carried over; a normalizer keeps its deviation above 0.01 as it goes on, not 0.1",
}

Arrays = dict[str, NDArray[np.floating]]


def build_actor_critic(checkpoint: Checkpoint, kind: str) -> tuple[ActorCritic, tuple[str, ...]]:
    """Return our agent with the networks of a checkpoint, and notes.

    Raises:
        UnsupportedError: The checkpoint is no such agent, or one that our class cannot be; the reason is named.
    """
    arrays, facts = named_agent(named_arrays(checkpoint), checkpoint.agent)
    if facts is None or family_of(arrays) != kind:
        msg = f"is no {kind} of stable-baselines 2, which --into torch_impl:{kind} is for"
        raise UnsupportedError(msg, hint=_HINT)
    policy = read_policy(facts)
    _check(arrays, policy, kind)
    variables = _VARIABLES[kind](arrays, facts)
    agent = CLASSES[kind](_arguments(arrays, facts, kind, variables), device="cpu")
    missing = set(agent.read_variables()) ^ set(variables)
    if missing:
        msg = (
            f"the agent and {kind} do not have the same variables: {', '.join(sorted(missing)[:4])}"
        )
        raise MismatchError(msg)
    agent.write_variables(variables)
    notes = [_NOTES[kind], f"{kind} acts between -1 and 1"]
    if policy.action is not None and policy.action.bounds is not None:
        notes[-1] += f"; predict brought that to {policy.action.describe()}"
    return agent, tuple(notes)


def compare_agents(plan: Plan, agent: ActorCritic) -> float:
    """Return how far actions and values of both are apart, relative to the largest."""
    rng = np.random.default_rng(0)
    [size], [count] = agent.args.obs_dims, agent.args.acts_dims
    rows = rng.standard_normal((COMPARED, size)).astype(np.float32)
    actions = torch.from_numpy(rng.uniform(-1, 1, (COMPARED, count)).astype(np.float32))
    with torch.no_grad():
        old = build_planned(plan)(torch.from_numpy(rows), actions)
        seen = torch.from_numpy(rows)
        seen = seen if agent.normalizer is None else agent.normalizer.normalize(seen)
        critics = [
            name
            for name in ("value", "value_1", "value_2", "q_value_1", "q_value_2")
            if name in agent.networks
        ]
        values = [agent.networks[name](seen, actions).numpy() for name in critics]
    found = [agent.get_actions(rows), *values]
    wanted = [old["deterministic_action"], old["q1"], *([old["q2"]] if "q2" in old else [])]
    pairs = zip(found, wanted, strict=True)
    return largest([relative_difference(one, other.numpy()) for one, other in pairs])


def _check(arrays: Mapping[str, ArrayInfo], policy: Policy, kind: str) -> None:
    """Refuse what our class does not have. Raises UnsupportedError."""
    activation, _ = policy.activation_or(DEFAULT_ACTIVATION["off-policy"])
    space = policy.observation
    hidden = sum(name.startswith("model/pi/fc") and name.endswith("/kernel") for name in arrays)
    reason = None
    if any(len(array.shape) == 4 for array in arrays.values()):
        reason = f"{kind} of torch_impl takes no images"
    elif space is not None and (space.kind != BOX or len(space.shape) != 1):
        reason = f"{kind} of torch_impl takes plain numbers, this one {space.describe()}"
    elif any("LayerNorm" in name for name in arrays):
        reason = f"{kind} of torch_impl has no layer normalization"
    elif activation != "relu":
        reason = f"{kind} of torch_impl has relu, this one {activation}"
    elif hidden != 2:
        reason = f"{kind} of torch_impl has two hidden layers, this one {hidden}"
    elif "vecnormalize/mean" in arrays:
        reason = "the statistics of VecNormalize are no part of an agent of torch_impl"
    if reason is not None:
        raise UnsupportedError(reason, hint=_HINT)


def _arguments(
    arrays: Mapping[str, ArrayInfo], facts: AgentFacts, kind: str, variables: Arrays
) -> SimpleNamespace:
    """Return the arguments of our class: its defaults, and what the file states as numbers."""
    name, stated = kind.lower(), facts.settings
    values = plain_arguments(choose_defaults(alg=name, basis_alg=name))
    for old, names in {**_SHARED, **_NUMBERS[kind]}.items():
        value = stated.get(old)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            values |= dict.fromkeys(names, value)
    tau = stated.get("tau")
    if isinstance(tau, float):
        values["polyak"] = 1.0 - tau
    if kind == "SAC":
        learned = "model/log_ent_coef" in arrays
        values["alpha_lr"] = values["pi_lr"] if learned else 0.0
    first = variables["main/policy/net/pi_dense1/kernel"]
    second = variables["main/policy/net/pi_dense2/kernel"]
    actions = arrays["model/pi/pi/kernel" if kind == "DDPG" else "model/pi/dense/kernel"].shape[1]
    values |= {
        "obs_dims": (first.shape[0],),
        "acts_dims": (actions,),
        "hidden_sizes": [first.shape[1], second.shape[1]],
        "obs_normalization": any(each.startswith("normalizer/") for each in variables),
        "q_reg": 0.0,
    }
    return SimpleNamespace(**values)


def _named(scope: str, names: str, chain: Chain) -> Arrays:
    """Return a chain as variables "scope/net/pi_dense1/kernel", ..., "scope/net/pi/bias"."""
    layers = (f"{names}_dense1", f"{names}_dense2", names)
    result: Arrays = {}
    for layer, dense in zip(layers, chain, strict=True):
        result[f"{scope}/net/{layer}/kernel"] = dense.weight.T
        result[f"{scope}/net/{layer}/bias"] = dense.bias
    return result


def _chain(arrays: Mapping[str, ArrayInfo], scope: str, last: str) -> Chain:
    scopes = (f"{scope}/fc0", f"{scope}/fc1", last)
    return tuple(read_dense(arrays, f"{each}/kernel", f"{each}/bias") for each in scopes)


def _sac(arrays: Mapping[str, ArrayInfo], facts: AgentFacts) -> Arrays:
    *hidden, mean = _chain(arrays, "model/pi", "model/pi/dense")
    log_std = read_dense(arrays, "model/pi/dense_1/kernel", "model/pi/dense_1/bias")
    heads = type(mean)(
        np.concatenate([mean.weight, log_std.weight]), np.concatenate([mean.bias, log_std.bias])
    )
    result = _named("main/policy", "pi", (*hidden, heads))
    for number in (1, 2):
        scope = f"model/values_fn/qf{number}"
        chain = _chain(arrays, scope, f"{scope}/qf{number}")
        for side in ("main", "target"):
            result |= _named(f"{side}/q_value_{number}", "q", chain)
    result["main/alpha/log_alpha"] = np.asarray(_log_alpha(arrays, facts), np.float32)
    return result


def _log_alpha(arrays: Mapping[str, ArrayInfo], facts: AgentFacts) -> float:
    """Return the logarithm of the entropy coefficient, learned or stated. Raises UnsupportedError where there is none."""
    if "model/log_ent_coef" in arrays:
        return float(arrays["model/log_ent_coef"].read())
    stated = facts.settings.get("ent_coef")
    if isinstance(stated, (int, float)) and stated > 0:
        return math.log(stated)
    msg = (
        f"its entropy coefficient, {stated!r:.20}, has no logarithm, which SAC of torch_impl keeps"
    )
    raise UnsupportedError(msg, hint=_HINT)


def _td3(arrays: Mapping[str, ArrayInfo], facts: AgentFacts) -> Arrays:
    result: Arrays = {}
    for scope, side in (("model", "main"), ("target", "target")):
        result |= _named(f"{side}/policy", "pi", _chain(arrays, f"{scope}/pi", f"{scope}/pi/dense"))
        for number in (1, 2):
            each = f"{scope}/values_fn/qf{number}"
            chain = _chain(arrays, each, f"{each}/qf{number}")
            result |= _named(f"{side}/value_{number}", "q", chain)
    return result


def _ddpg(arrays: Mapping[str, ArrayInfo], facts: AgentFacts) -> Arrays:
    result: Arrays = {}
    for scope, side in (("model", "main"), ("target", "target")):
        result |= _named(f"{side}/policy", "pi", _chain(arrays, f"{scope}/pi", f"{scope}/pi/pi"))
        values = _chain(arrays, f"{scope}/qf", ddpg_value(arrays, scope))
        result |= _named(f"{side}/value", "q", scaled(values, *returns_of(arrays)))
    return result | _normalizer(arrays, facts)


def _normalizer(arrays: Mapping[str, ArrayInfo], facts: AgentFacts) -> Arrays:
    """Return the statistics of observations as our normalizer keeps them; nothing where none are kept.

    Raises:
        UnsupportedError: Observations or values are clipped otherwise than our class clips them.
    """
    if any(map(math.isfinite, stated_range(facts.settings, "return_range", (-math.inf, math.inf)))):
        msg = "its action values are clipped (return_range), which DDPG of torch_impl does not do"
        raise UnsupportedError(msg, hint=_HINT)
    space = read_policy(facts).observation
    clip = None if space is None else clip_of(arrays, facts.settings, space)
    if clip is None:
        return {}
    scope = next(
        (name.removesuffix("/count") for name in arrays if name.endswith("obs_rms/count")), None
    )
    if scope is None or (clip.low, clip.high) != (-_NORM_CLIP, _NORM_CLIP):
        msg = (
            f"its observations are clipped to {clip.low:g} ... {clip.high:g}; DDPG of torch_impl clips to -5 ... 5, "
            "and only what it normalizes"
        )
        raise UnsupportedError(msg, hint=_HINT)
    sums = {"sum": "runningsum", "sum_sqr": "runningsumsq", "cnt": "count"}
    result = {name: np.atleast_1d(arrays[f"{scope}/{old}"].read()) for name, old in sums.items()}
    result |= {"mean": clip.mean, "std": clip.deviation}
    return {
        f"normalizer/normalizer_variables/{name}": np.asarray(value, np.float32)
        for name, value in result.items()
    }


_VARIABLES: Mapping[str, Callable[[Mapping[str, ArrayInfo], AgentFacts], Arrays]] = {
    "SAC": _sac,
    "TD3": _td3,
    "DDPG": _ddpg,
}
