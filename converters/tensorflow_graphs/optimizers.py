"""Optimizers of a graph: which one trains which variable, with its slots and numbers, as optimizers of Keras.

Each becomes the optimizer of Keras with the same formula (`torch_impl.keras_compat`). Several optimizers become parameter
groups of one, whatever their kinds are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from converters.checkpoint import ArrayInfo, NamedOptimizer
from converters.readers.tensorflow.graph_def import GraphFile
from converters.tensorflow_graphs.updates import APPLYING, Update, read_updates
from converters.tensorflow_graphs.values import AnyArray
from converters.tensorflow_graphs.variables import Variables

_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)


def count_updates(powers: Mapping[str, float], numbers: Mapping[str, float]) -> int | None:
    """Return the updates done, from beta ** (t + 1) of either beta; None if both have become too small to tell."""
    for power, beta in (("beta_1_power", "beta_1"), ("beta_2_power", "beta_2")):
        value, base = powers.get(power), numbers.get(beta)
        if (
            value is not None
            and base is not None
            and 0 < base < 1
            and _SMALLEST_NORMAL <= value < 1
        ):
            return max(0, round(math.log(value) / math.log(base)) - 1)
    return None


def plan_named_optimizers(
    graph: GraphFile, variables: Variables, weights: Sequence[tuple[str, str]]
) -> tuple[list[NamedOptimizer], list[str]]:
    """Return the optimizers that train a network's weights, the one with most of them first, and notes.

    Args:
        graph: the file's.
        variables: of the graph.
        weights: node and stored name of every weight that trains.
    """
    updates = read_updates(graph, variables)
    by_optimizer: dict[str, list[tuple[str, Update]]] = {}
    without: dict[str, str] = {}
    for node, stored in weights:
        if node in updates and updates[node].without:
            without.setdefault(updates[node].optimizer, updates[node].without)
        elif node in updates:
            by_optimizer.setdefault(updates[node].optimizer, []).append((stored, updates[node]))
    notes = [
        f"optimizer {name} is not converted: {what} has no counterpart"
        for name, what in without.items()
    ]
    steps = _global_step(variables)
    ranked = sorted(by_optimizer.values(), key=len, reverse=True)
    found = [_named(members, steps, notes) for members in ranked]
    return found, notes


def _named(
    members: Sequence[tuple[str, Update]], steps: int | None, notes: list[str]
) -> NamedOptimizer:
    first = members[0][1]
    applying = APPLYING[first.op]
    config: dict[str, object] = {**applying.settings, **first.numbers}
    rate = config.pop("learning_rate", None)
    if first.nesterov:
        config["nesterov"] = True
    name = first.optimizer
    counted = count_updates(first.powers, first.numbers)
    iterations = counted if counted is not None else steps or 0
    if first.powers and counted is None:
        notes.append(
            f"{name}: its powers of beta say no longer how many updates were done; {iterations:,} is taken"
        )
    if "learning_rate" in first.computed and rate is not None:
        notes.append(
            f"{name}: the graph computes its learning rate; {rate} is what it is at the saved step"
        )
    if rate is None:
        notes.append(
            f"{name}: its learning rate is fed; set 'lr' of its parameter group before you train on"
        )
    if first.clipped:
        notes.append(f"{name}: the graph clips its gradients; clip them before optimizer.step()")
    slots: dict[str, Mapping[str, ArrayInfo]] = {}
    for stored, update in members:
        # Parts of a partitioned variable are cut from its slots as they are cut from it.
        own = {
            role: array if array.moved is None else array.moved.sources[0]
            for role, array in update.slots.items()
        }
        if first.op == "ApplyMomentum" and "momentum_buffer" in own:
            own["momentum_buffer"] = _scaled(own["momentum_buffer"], -float(str(rate or 0.0)))
        if not config.get("momentum"):
            own.pop("momentum_buffer", None)
        slots[stored] = own
    return NamedOptimizer(
        name=name,
        kind=applying.kind,
        config=config,
        learning_rate=rate if isinstance(rate, float) else None,
        iterations=iterations,
        slots=slots,
    )


def _scaled(array: ArrayInfo, factor: float) -> ArrayInfo:
    read: Callable[[], AnyArray] = partial(_multiplied, array, factor)
    return ArrayInfo(array.name, array.shape, array.dtype, read)


def _multiplied(array: ArrayInfo, factor: float) -> AnyArray:
    values = np.asarray(array.read())
    return np.asarray(values * values.dtype.type(factor))


def _global_step(variables: Variables) -> int | None:
    array = variables.arrays.get("global_step")
    if array is None or array.shape != () or array.dtype.kind not in "iu":
        return None
    return int(array.read())
