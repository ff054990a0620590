"""Agents of the RRD suite: their variables in TensorFlow 1 and their names in `torch_impl`.

The tables below are all there is to know of the names. Which algorithm a checkpoint is of follows from its scopes; IRCR
has no network of its own, so it is taken for its basis algorithm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np

from converters.agents.parts import AgentOptimizer, AgentParts
from converters.agents.rrd_networks import describe_networks
from converters.agents.rrd_settings import infer_arguments
from converters.checkpoint import ArrayInfo, Checkpoint
from converters.errors import MismatchError, UnsupportedError
from converters.layouts import Layout
from converters.moves import Move
from converters.planned import Plan
from converters.readers.tensorflow.meta_graph import GraphFacts, Update
from converters.readers.tensorflow.named_variables import GRAPH


@dataclass(frozen=True, slots=True)
class Trained:
    """One optimizer of an algorithm: its name in the agent, and the scopes whose variables it trains."""

    name: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Names:
    """The variables of one algorithm.

    Attributes:
        networks: scope to network of the agent.
        optimizers: in the order in which the original makes them, which numbers their powers of beta.
    """

    networks: Mapping[str, str]
    optimizers: tuple[Trained, ...]


def _pairs(names: Sequence[str]) -> dict[str, str]:
    """Return the scopes of trained and target networks of these names."""
    trained = {f"main/{name}/net": name for name in names}
    return trained | {f"target/{name}/net": f"target_{name}" for name in names}


_POLICY = Trained("policy", ("main/policy/net",))
ALGORITHMS: Mapping[str, Names] = {
    "sac": Names(
        {
            "main/alpha": "temperature",
            "main/policy/net": "policy",
            **_pairs(("q_value_1", "q_value_2")),
        },
        (
            _POLICY,
            Trained("temperature", ("main/alpha",)),
            Trained("value", ("main/q_value_1/net", "main/q_value_2/net")),
        ),
    ),
    "td3": Names(
        _pairs(("policy", "value_1", "value_2")),
        (_POLICY, Trained("value", ("main/value_1/net", "main/value_2/net"))),
    ),
    "ddpg": Names(_pairs(("policy", "value")), (_POLICY, Trained("value", ("main/value/net",)))),
    "dqn": Names(_pairs(("value",)), (Trained("value", ("main/value/net",)),)),
}
"""Basis algorithms, the ones with more networks first: the first whose networks are all there is meant."""
REWARD = Names({"rrd/net": "reward"}, (Trained("reward", ("rrd/net",)),))
NORMALIZER = {"normalizer/normalizer_variables": "normalizer"}
CLASSES = {"sac": "SAC", "td3": "TD3", "ddpg": "DDPG", "dqn": "ValueDQN"}
MODULES = {"SAC": "sac", "TD3": "td3", "DDPG": "ddpg", "ValueDQN": "value_dqn", "RRD": "rrd"}
"""In `torch_impl`."""
WITHOUT_LAYERS = ("main/alpha", "normalizer/normalizer_variables")
"""Scopes whose variables are in no layer of their own."""
LAYERS = (
    "pi_dense1", "pi_dense2", "pi",
    "q_conv1", "q_conv2", "q_conv3", "q_dense_act", "q_act", "q_dense_base", "q_base", "q_dense1", "q_dense2", "q",
    "r_conv1", "r_conv2", "r_conv3", "r_dense_act", "r_act", "r_dense1", "r_dense2", "r",
)  # fmt: skip
"""In the order of the modules in `torch_impl`, which optimizer state is stored in."""
ROLES = {"kernel": "weight", "bias": "bias"}
SLOTS: Mapping[str, Mapping[str, str]] = {
    "Adam": {"exp_avg": "Adam", "exp_avg_sq": "Adam_1"},
    "RMSProp": {"square_avg": "RMSProp", "momentum_buffer": "RMSProp_1"},
}
"""Name of the slots in TensorFlow by optimizer and by name in torch."""
LAYOUTS = {0: "->", 1: "out -> out", 2: "in out -> out in", 4: "h w in out -> out in h w"}
_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


def plan_agent(checkpoint: Checkpoint) -> Plan:
    """Return the plan of a checkpoint with the names of the RRD suite.

    Raises:
        UnsupportedError: The names are others.
        MismatchError: Variables of the algorithm are missing, or have another number of axes.
    """
    variables = {
        "/".join(part for part in (entry.path, role) if part): array
        for entry in checkpoint.layers
        for role, array in entry.arrays.items()
    }
    algorithm, names = _find_algorithm(variables)
    moves, ignored = _plan_moves(variables, names)
    graph = (checkpoint.training or {}).get(GRAPH)
    facts = graph if isinstance(graph, GraphFacts) else GraphFacts()
    state = {array.name: array for array in checkpoint.extras}
    optimizers, notes = _plan_optimizers(moves, names, state, facts)
    used = {
        array.name
        for optimizer in optimizers.values()
        for array in (
            *(move.source for slots in optimizer.slots for move in slots.values()),
            *(number for number in optimizer.numbers.values() if isinstance(number, ArrayInfo)),
        )
    }
    ignored += [
        (name, "belongs to no optimizer of the agent") for name in state if name not in used
    ]
    is_rrd = "rrd/net" in names.networks
    loading = "RRD" if is_rrd else CLASSES[algorithm]
    arguments, further = infer_arguments(algorithm, moves, facts, optimizers)
    dtype = str(next(iter(moves)).source.dtype)
    settings = {
        "class": f"{'RRD' if is_rrd else ''}{CLASSES[algorithm]}",
        "arguments": {"alg": "rrd" if is_rrd else algorithm, "basis_alg": algorithm, **arguments},
        "dtype": dtype,
        "seed": 0,
        "counters": _counters(optimizers),
    }
    architecture = describe_networks(
        variables,
        names.networks,
        algorithm=algorithm,
        sizes=_sizes(arguments),
        name=str(settings["class"]),
        dtype=dtype,
    )
    return Plan(
        architecture=architecture,
        moves=tuple(moves),
        optimizer=None,
        slots=(),
        parameters=tuple(move.target for move in moves),
        ignored=tuple(ignored),
        notes=(*notes, *further),
        origins=(),
        roles={},
        agent=AgentParts(settings, optimizers, f"torch_impl.{MODULES[loading]}.{loading}"),
    )


def _sizes(arguments: Mapping[str, object]) -> tuple[Sequence[int], int]:
    """Return the shape of an observation, and how many actions there are or numbers in one."""
    shape, [actions] = (cast("list[int]", arguments[name]) for name in ("obs_dims", "acts_dims"))
    return shape, actions


def count_steps(beta1_power: float, beta2_power: float) -> int | None:
    """Return how many steps Adam has taken, from beta^(t + 1) of both betas; None: too many to tell.

    float32 loses the first power after 828 steps and the second after some 87,000; by then the bias correction is 1.
    Rounding at every step makes the count a few off after tens of thousands.
    """
    for power, beta in ((beta1_power, 0.9), (beta2_power, 0.999)):
        if _SMALLEST_NORMAL <= power < 1:
            return round(math.log(power) / math.log(beta)) - 1
    return None


def _find_algorithm(variables: Mapping[str, ArrayInfo]) -> tuple[str, Names]:
    scopes = {name.rpartition("/")[0].rpartition("/")[0] for name in variables}
    scopes |= {name.rpartition("/")[0] for name in variables}
    for algorithm, names in ALGORITHMS.items():
        if {scope for scope in names.networks if scope.startswith("main/")} <= scopes:
            networks = dict(names.networks)
            optimizers = names.optimizers
            if set(NORMALIZER) <= scopes:
                networks |= NORMALIZER
            if set(REWARD.networks) <= scopes:
                networks |= REWARD.networks
                optimizers += REWARD.optimizers
            return algorithm, Names(networks, optimizers)
    found = ", ".join(sorted(variables)[:4])
    msg = (
        f"is a checkpoint of TensorFlow 1 with {len(variables)} named variables ({found}, ...), which are not those of "
        "an agent of the RRD suite (main/policy/net/..., main/value/net/...)"
    )
    raise UnsupportedError(
        msg, hint="--into my_module.py:Net --map names.toml gives every variable its place"
    )


def _plan_moves(
    variables: Mapping[str, ArrayInfo], names: Names
) -> tuple[list[Move], list[tuple[str, str]]]:
    moves: list[Move] = []
    ignored: list[tuple[str, str]] = []
    problems = []
    for name, array in variables.items():
        target = _target(name, names)
        if target is None:
            ignored.append((name, "belongs to no network of the agent"))
        elif len(array.shape) not in LAYOUTS:
            problems.append(f"{name}   found {len(array.shape)} axes   needed 0, 1, 2 or 4")
        else:
            moves.append(Move(array, target, Layout.parse(LAYOUTS[len(array.shape)])))
    moves.sort(key=partial(_place, tuple(names.networks.values())))
    problems += _incomplete(moves)
    filled = {move.target.partition(".")[0] for move in moves}
    missing = [scope for scope, network in names.networks.items() if network not in filled]
    for scope, network in names.networks.items():
        if network.startswith("target_") and network in filled:
            twin = network.removeprefix("target_")
            here, there = (
                {
                    move.target.partition(".")[2]: move.shape
                    for move in moves
                    if move.target.startswith(f"{each}.")
                }
                for each in (network, twin)
            )
            problems += [
                f"{scope}: {key}   found {here.get(key)}   needed {there.get(key)}"
                for key in sorted({*here, *there})
                if here.get(key) != there.get(key)
            ]
    problems += [f"{scope}   is not there" for scope in missing]
    if problems:
        listed = "\n  ".join(problems)
        msg = f"{len(problems)} variables of the agent do not fit:\n  {listed}"
        raise MismatchError(msg)
    return moves, ignored


def _place(networks: Sequence[str], move: Move) -> tuple[int, int, int]:
    """Return where an array is in the agent: bundles are sorted by name."""
    network, *layer, role = move.target.split(".")
    order = list(ROLES.values())
    return (
        networks.index(network),
        LAYERS.index(layer[0]) if layer else 0,
        order.index(role) if role in order else 0,
    )


def _incomplete(moves: Sequence[Move]) -> list[str]:
    """Return a line for every layer without kernel or bias."""
    roles: dict[str, set[str]] = {}
    for move in moves:
        layer, _, role = move.target.rpartition(".")
        if "." in layer:
            roles.setdefault(layer, set()).add(role)
    needed = set(ROLES.values())
    return [
        f"{layer}   found {', '.join(sorted(found))}   needed {', '.join(sorted(needed))}"
        for layer, found in roles.items()
        if found != needed
    ]


def _target(name: str, names: Names) -> str | None:
    """Return "policy.pi.weight" for "main/policy/net/pi/kernel"; None for a variable of no network."""
    for scope, network in names.networks.items():
        if name.startswith(f"{scope}/"):
            *layers, role = name.removeprefix(f"{scope}/").split("/")
            if not layers if scope in WITHOUT_LAYERS else layers in [[layer] for layer in LAYERS]:
                return ".".join((network, *layers, ROLES.get(role, role)))
    return None


def _plan_optimizers(
    moves: Sequence[Move], names: Names, state: Mapping[str, ArrayInfo], facts: GraphFacts
) -> tuple[dict[str, AgentOptimizer], list[str]]:
    """Return the optimizers whose whole state is there, and notes."""
    optimizers: dict[str, AgentOptimizer] = {}
    notes = []
    made = dict.fromkeys(SLOTS, 0)
    for trained in names.optimizers:
        own = [
            move
            for scope in trained.scopes
            for move in moves
            if move.source.name.startswith(f"{scope}/")
        ]
        kind = next((kind for kind in SLOTS if _has_slots(own, kind, state)), None)
        if kind is None:
            notes.append(f"optimizer '{trained.name}' has no state in the file and starts anew")
            continue
        slots = tuple(
            {
                slot: Move(
                    state[f"{move.source.name}/{suffix}"],
                    f"optimizers.{trained.name}.{move.target}.{slot}",
                    move.layout,
                )
                for slot, suffix in SLOTS[kind].items()
            }
            for move in own
        )
        update = facts.updates.get(own[0].source.name)
        numbers, about = _numbers(trained.name, kind, made[kind], update, state)
        made[kind] += 1
        notes.append(about)
        optimizers[trained.name] = AgentOptimizer(kind.lower(), numbers, slots)
    return optimizers, notes


def _has_slots(own: Sequence[Move], kind: str, state: Mapping[str, ArrayInfo]) -> bool:
    needed = [
        (f"{move.source.name}/{suffix}", move.source.shape)
        for move in own
        for suffix in SLOTS[kind].values()
    ]
    return bool(needed) and all(
        name in state and state[name].shape == shape for name, shape in needed
    )


def _numbers(
    name: str, kind: str, made: int, update: Update | None, state: Mapping[str, ArrayInfo]
) -> tuple[dict[str, float | ArrayInfo], str]:
    """Return the numbers of an optimizer and a note.

    Args:
        name: of the optimizer.
        kind: key of `SLOTS`.
        made: optimizers of this kind that were made before it.
        update: what the graph says, if there is one.
        state: all arrays of optimizers.
    """
    known = update is not None and update.kind == f"Apply{kind}"
    numbers: dict[str, float | ArrayInfo] = dict(update.constants) if update and known else {}
    origin = (
        ""
        if numbers
        else "; learning rate and the like are not in the file: those of the agent hold"
    )
    if kind != "Adam":
        return numbers, f"optimizer '{name}' is {kind}{origin}"
    suffix = f"_{made}" if made else ""
    for power in ("beta1_power", "beta2_power"):
        stored = update.variables.get(power) if update and known else None
        array = state.get(stored or f"{power}{suffix}")
        if array is None or array.shape:
            msg = f"optimizer '{name}' has no variable {stored or power + suffix} of one number"
            raise MismatchError(msg)
        numbers[power] = array
    steps = _steps(numbers)
    count = (
        f"after {steps:,} steps" if steps is not None else "after more steps than its powers tell"
    )
    return numbers, f"optimizer '{name}' is Adam {count}{origin}"


def _steps(numbers: Mapping[str, float | ArrayInfo]) -> int | None:
    powers = [
        float(number.read()) if isinstance(number, ArrayInfo) else number
        for number in (numbers["beta1_power"], numbers["beta2_power"])
    ]
    return count_steps(*powers)


def _counters(optimizers: Mapping[str, AgentOptimizer]) -> dict[str, int]:
    """Return the steps of policy and critic as far as their optimizers tell."""
    counters = {}
    for counter, name in (("pi", "policy"), ("q", "value")):
        optimizer = optimizers.get(name)
        steps = _steps(optimizer.numbers) if optimizer and optimizer.kind == "adam" else None
        if steps is not None:
            counters[counter] = steps
    return counters
