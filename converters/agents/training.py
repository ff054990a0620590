"""Optimizers of agents whose files have no graph: which weights train, and the state their training goes on with.

Variables by name say which slot belongs to which weight, and so the optimizer's class; what they leave out is the
library's default, or the user's --set. Where there is a graph, `graph_optimizer` asks it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from converters.agents.network import AgentNetwork, parameter_order
from converters.architecture import Step
from converters.checkpoint import ArrayInfo, NamedOptimizer
from converters.errors import UnsupportedError
from converters.moves import Move
from converters.optimizers.by_name import plan_named
from converters.optimizers.plan import OptimizerPlan
from converters.tensorflow_graphs.optimizers import count_updates

STATED = ("learning_rate", "epsilon")
"""Numbers of an optimizer that --set may give."""
SLOT = re.compile(r"^(?P<weight>.+)/(?P<kind>Adam|RMSProp|Momentum)(?P<number>_\d+)?$")
POWER = re.compile(r"(?:^|/)beta(?P<number>[12])_power$")
"""Of the first optimizer of a graph; a further one has `beta1_power_1`."""


@dataclass(frozen=True, slots=True)
class Slots:
    """What TensorFlow 1 keeps of a weight: the class of Keras with the same formula, slots by their number, betas."""

    kind: str
    names: tuple[str, ...]
    config: Mapping[str, object]


SLOTS: Mapping[str, Slots] = {
    "Adam": Slots("Adam", ("exp_avg", "exp_avg_sq"), {"beta_1": 0.9, "beta_2": 0.999}),
    "RMSProp": Slots("RMSprop", ("square_avg", "momentum_buffer"), {"rho": 0.99}),
}
"""By the name of the optimizer; the decay of RMSProp is that of a2c and acer in baselines."""


@dataclass(frozen=True, slots=True)
class Training:
    """How the training of an agent goes on.

    Attributes:
        optimizer: None: the file has none, or `notes` say why it is left out.
        slots: of every weight that trains, in the order of the module's parameters.
        parameters: their names.
        frozen: attributes of the layers that do not train.
        used: names of the arrays of the optimizer, without the numbers of outputs.
    """

    optimizer: OptimizerPlan | None = None
    slots: tuple[Mapping[str, Move], ...] = ()
    parameters: tuple[str, ...] = ()
    frozen: frozenset[str] = frozenset()
    used: frozenset[str] = frozenset()
    notes: tuple[str, ...] = field(default=())


def plan_training(network: AgentNetwork, optimizers: Sequence[NamedOptimizer]) -> Training:
    """Return how the training of the weights goes on that optimizers have slots for; the others are frozen."""
    known = {name for each in optimizers for name in each.slots}
    moves = {move.target: move for move in network.moves}
    trained = {target for target, move in moves.items() if move.source.name in known}
    if not trained:
        return Training()
    frozen = {step.attribute for step in network.steps if step.attribute and step.state}
    frozen -= {step.attribute for step in network.steps if trained.intersection(_keys(step))}
    keys = [
        key
        for key in parameter_order(network.steps_in_order())
        if key.rpartition(".")[0] not in frozen
    ]
    try:
        plan = plan_named(optimizers, [moves[key].source for key in keys])
    except UnsupportedError as error:
        return Training(notes=(f"the optimizer state is not converted: {error}",))
    slots = tuple(
        {
            slot: Move(info, f"{key}/{slot}", moves[key].layout)
            for slot, info in plan.slots_of(place).items()
        }
        for place, key in enumerate(keys)
    )
    used = frozenset(plain_name(move.source.name) for found in slots for move in found.values())
    attributes = frozenset(name for name in frozen if name)
    return Training(plan, slots, tuple(keys), attributes, used, plan.notes)


def frozen_steps(steps: Sequence[Step], frozen: frozenset[str]) -> list[Step]:
    """Return the steps with those marked whose layers do not train."""
    return [replace(step, frozen=True) if step.attribute in frozen else step for step in steps]


def _keys(step: Step) -> list[str]:
    return [f"{step.attribute}.{name}" for name in step.state]


def optimizers_by_name(
    arrays: Mapping[str, ArrayInfo], weights: Sequence[ArrayInfo], settings: Mapping[str, object]
) -> tuple[list[NamedOptimizer], list[str]]:
    """Return the optimizer of a file of variables, and notes.

    Args:
        arrays: everything in the file, by name; slots repeat the scope of training before the name of their weight.
        weights: of the networks.
        settings: hyper-parameters as far as they are known, by Keras's names.
    """
    slots = _slots(arrays, weights)
    kinds = {kind for kind, _ in slots}
    if len(kinds) != 1 or not kinds <= set(SLOTS):
        return [], []
    (kind,) = kinds
    known = SLOTS[kind]
    by_weight: dict[str, dict[str, ArrayInfo]] = {}
    for (_, weight), found in slots.items():
        pairs = zip(known.names, found, strict=False)
        by_weight[weight] = {name: array for name, array in pairs if name != "momentum_buffer"}
    config = {**known.config, **{k: v for k, v in settings.items() if k != "learning_rate"}}
    rate = settings.get("learning_rate")
    notes = []
    if not isinstance(rate, (int, float)):
        notes.append(
            f"{kind}: the file does not say its learning rate; --set learning_rate=..., or set param_groups[0]['lr']"
        )
    steps = _steps(arrays, config)
    if steps is None:
        notes.append(f"{kind}: the file does not say how many updates were done; 0 is taken")
    optimizer = NamedOptimizer(
        kind,
        known.kind,
        config,
        float(rate) if isinstance(rate, (int, float)) else None,
        steps or 0,
        by_weight,
    )
    return [optimizer], notes


def _slots(
    arrays: Mapping[str, ArrayInfo], weights: Sequence[ArrayInfo]
) -> dict[tuple[str, str], list[ArrayInfo]]:
    """Return the slots of every weight, in the order of their numbers, by kind and weight."""
    found: dict[tuple[str, str], dict[int, ArrayInfo]] = {}
    for name, array in arrays.items():
        match = SLOT.match(plain_name(name))
        if match is None:
            continue
        holders = [
            weight
            for weight in weights
            if f"/{match['weight']}".endswith(f"/{plain_name(weight.name)}")
            and weight.shape == array.shape
        ]
        if holders:
            longest = max(holders, key=lambda weight: len(weight.name))
            place = int((match["number"] or "_0")[1:])
            found.setdefault((match["kind"], longest.name), {})[place] = array
    return {key: [slots[n] for n in sorted(slots)] for key, slots in found.items()}


def _steps(arrays: Mapping[str, ArrayInfo], config: Mapping[str, object]) -> int | None:
    """Return the updates done, from the powers of Adam's betas; None: they do not say."""
    powers = {
        f"beta_{match['number']}_power": float(np.asarray(array.read()))
        for name, array in arrays.items()
        if (match := POWER.search(plain_name(name))) and math.prod(array.shape) == 1
    }
    numbers = {name: float(value) for name, value in config.items() if isinstance(value, float)}
    return count_updates(powers, numbers)


def plain_name(name: str) -> str:
    """Return the name of a variable without the number of its output."""
    return name.removesuffix(":0")
