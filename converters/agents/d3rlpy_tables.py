"""Algorithms of d3rlpy, their modules, and what each of them is here. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

HIDDEN = "_encoder._layers."
"""Start of the name of a hidden layer in d3rlpy; 0, 2, 4, ... follow, with ReLU between them."""


@dataclass(frozen=True, slots=True)
class Network:
    """One network of ours.

    Attributes:
        module: of d3rlpy.
        heads: d3rlpy's last layer to ours; two of d3rlpy may become one, which has both under each other.
        prefix: of d3rlpy's names: "0." for the first critic.
        vectors: bare tensors, d3rlpy's name to ours.
        hidden: our name of a hidden layer by its place from 1.
        also: a last layer of another module: module, its name there, ours.
    """

    module: str
    heads: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    vectors: Mapping[str, str] = field(default_factory=dict)
    hidden: str = "fc{}"
    also: tuple[str, str, str] | None = None


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One algorithm of d3rlpy.

    Attributes:
        target: class that loads the file: "torch_impl.offline_dqn:OfflineDQN".
        networks: ours by name, in the order of the agent's.
        optimizers: ours by name, to d3rlpy's and the networks that it trains, in our order.
        critics: value functions; None: any.
        suite: whether the class is one of the RRD suite, with its flags and its optimizers.
        fixed: settings that no parameter of d3rlpy says.
        note: what a user should know.
    """

    target: str
    networks: Mapping[str, Network]
    optimizers: Mapping[str, tuple[str, tuple[str, ...]]]
    critics: int | None = None
    suite: bool = False
    fixed: Mapping[str, object] = field(default_factory=dict)
    note: str = ""


def _q_networks(**changes: object) -> dict[str, Network]:
    heads = {"_fc": "q"}
    return {
        "q_network": Network("q_funcs", heads, "0.", **changes),  # type: ignore[arg-type]
        "target_network": Network("targ_q_funcs", heads, "0.", **changes),  # type: ignore[arg-type]
    }


def _critics(hidden: str = "fc{}", name: str = "critic") -> dict[str, Network]:
    return {
        f"{side}{name}_{number + 1}": Network(module, {"_fc": "q"}, f"{number}.", hidden=hidden)
        for side, module in (("", "q_funcs"), ("target_", "targ_q_funcs"))
        for number in (0, 1)
    }


_SINGLE = {"optimizer": ("optim", ("q_network",))}
_PAIR = ("critic_1", "critic_2")
_MEAN = {"_fc": "mean"}
_NORMAL = {"_mu": "mean", "_logstd": "log_std"}
_LOG_STD = Network("policy", vectors={"_logstd": "value"})
_SUITE_Q, _SUITE_PI = "q_dense{}", "pi_dense{}"


def _suite_values(copies: tuple[int, int] = (0, 1), name: str = "value") -> dict[str, Network]:
    return {
        f"{side}{name}_{place + 1}": Network(module, {"_fc": "q"}, f"{copy}.", hidden=_SUITE_Q)
        for side, module in (("", "q_funcs"), ("target_", "targ_q_funcs"))
        for place, copy in enumerate(copies)
    }


def _suite_policies() -> dict[str, Network]:
    return {
        name: Network(module, {"_fc": "pi"}, hidden=_SUITE_PI)
        for name, module in (("policy", "policy"), ("target_policy", "targ_policy"))
    }


ALGORITHMS: Mapping[str, Algorithm] = {
    "dqn": Algorithm("torch_impl.offline_dqn:OfflineDQN", _q_networks(), _SINGLE, 1),
    "double_dqn": Algorithm("torch_impl.offline_dqn:OfflineDoubleDQN", _q_networks(), _SINGLE, 1),
    "discrete_cql": Algorithm("torch_impl.offline_dqn:DiscreteCQL", _q_networks(), _SINGLE, 1),
    "discrete_bcq": Algorithm(
        "torch_impl.offline_dqn:DiscreteBCQ",
        _q_networks(also=("imitator", "_fc", "imitator")),
        _SINGLE,
        1,
    ),
    "discrete_bc": Algorithm(
        "torch_impl.offline_cloning:BehavioralCloning",
        {"policy_network": Network("imitator", {"_fc": "logits"})},
        {"optimizer": ("optim", ("policy_network",))},
    ),
    "bc": Algorithm(
        "torch_impl.offline_cloning:ContinuousBC",
        {"policy": Network("imitator", {**_MEAN, **_NORMAL})},
        {"optimizer": ("optim", ("policy",))},
    ),
    "td3_plus_bc": Algorithm(
        "torch_impl.offline_actor_critics:TD3PlusBC",
        {
            "policy": Network("policy", _MEAN),
            **_critics(),
            "target_policy": Network("targ_policy", _MEAN),
        },
        {
            "critic_optimizer": ("critic_optim", _PAIR),
            "actor_optimizer": ("actor_optim", ("policy",)),
        },
        2,
    ),
    "iql": Algorithm(
        "torch_impl.offline_actor_critics:IQL",
        {
            "policy": Network("policy", {"_mu": "mean"}),
            **_critics(),
            "value": Network("value_func", {"_fc": "v"}),
            "log_std": _LOG_STD,
        },
        {
            "critic_optimizer": ("critic_optim", (*_PAIR, "value")),
            "actor_optimizer": ("actor_optim", ("policy", "log_std")),
        },
        2,
    ),
    "awac": Algorithm(
        "torch_impl.offline_actor_critics:AWAC",
        {"policy": Network("policy", {"_mu": "mean"}), **_critics(), "log_std": _LOG_STD},
        {
            "critic_optimizer": ("critic_optim", _PAIR),
            "actor_optimizer": ("actor_optim", ("policy", "log_std")),
        },
        2,
    ),
    "cql": Algorithm(
        "torch_impl.offline_cql:CQL",
        {
            "policy": Network("policy", _NORMAL),
            **_critics(),
            "log_alpha": Network("log_alpha", vectors={"_parameter": "value"}),
            "log_temperature": Network("log_temp", vectors={"_parameter": "value"}),
        },
        {
            "alpha_optimizer": ("alpha_optim", ("log_alpha",)),
            "critic_optimizer": ("critic_optim", _PAIR),
            "temperature_optimizer": ("temp_optim", ("log_temperature",)),
            "actor_optimizer": ("actor_optim", ("policy",)),
        },
        2,
    ),
    "sac": Algorithm(
        "torch_impl.sac:SAC",
        {
            "temperature": Network("log_temp", vectors={"_parameter": "log_alpha"}),
            "policy": Network("policy", {"_mu": "pi", "_logstd": "pi"}, hidden=_SUITE_PI),
            **_suite_values(name="q_value"),
        },
        {
            "policy": ("actor_optim", ("policy",)),
            "temperature": ("temp_optim", ("temperature",)),
            "value": ("critic_optim", ("q_value_1", "q_value_2")),
        },
        2,
        suite=True,
        fixed={"alg": "sac"},
    ),
    "td3": Algorithm(
        "torch_impl.td3:TD3",
        {**_suite_policies(), **_suite_values()},
        {"policy": ("actor_optim", ("policy",)), "value": ("critic_optim", ("value_1", "value_2"))},
        2,
        suite=True,
        fixed={"alg": "td3"},
    ),
    "ddpg": Algorithm(
        "torch_impl.td3:TD3",
        {**_suite_policies(), **_suite_values((0, 0))},
        {"policy": ("actor_optim", ("policy",)), "value": ("critic_optim", ("value_1", "value_2"))},
        1,
        suite=True,
        fixed={"alg": "td3", "pi_t_std": 0.0, "pi_t_clip": 0.0, "pi_delay_freq": 1},
        note="becomes a TD3 with the critic twice and no smoothing, which computes the same: critics of DDPG here see the "
        "action in their second layer",
    ),
}
"""d3rlpy's name of an algorithm (`config.type`)."""
