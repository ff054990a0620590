"""Optimizers of a graph: which one trains which variable, with its slots, powers and numbers, from its own operations.

`ApplyAdam` and its siblings take the variable, its slots and the hyper-parameters as inputs, so nothing is guessed from
names. Each becomes the optimizer of Keras with the same formula (`torch_impl.keras_compat`); what TensorFlow 1 writes
otherwise is in the table below. Several optimizers of one kind become parameter groups of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from converters.checkpoint import ArrayInfo, NamedOptimizer
from converters.readers.tensorflow.graph_def import GraphFile, Node
from converters.tensorflow_graphs.builder import plain_number
from converters.tensorflow_graphs.flatten import flatten, parse_ref
from converters.tensorflow_graphs.folding import NotFolded, fold
from converters.tensorflow_graphs.ordering import in_order
from converters.tensorflow_graphs.simplify import without_copies
from converters.tensorflow_graphs.values import AnyArray
from converters.tensorflow_graphs.variables import VARIABLES, Variables

_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)
_MAX_NUMBER_NODES = 2000


@dataclass(frozen=True, slots=True)
class Applying:
    """One operation that updates a variable.

    Attributes:
        kind: class of Keras with the same formula.
        inputs: what its inputs after the variable are: slots by their name in torch, numbers by Keras's; "" is not used.
        settings: what holds for every such optimizer of TensorFlow.
        nesterov: name of the attribute that says whether momentum looks ahead.
    """

    kind: str
    inputs: tuple[str, ...]
    settings: Mapping[str, object] = field(default_factory=dict)
    nesterov: str = ""


_POWERS = ("beta_1_power", "beta_2_power")
APPLYING: Mapping[str, Applying] = {
    "ApplyAdam": Applying("Adam", ("exp_avg", "exp_avg_sq", *_POWERS, "learning_rate", "beta_1", "beta_2", "epsilon")),
    "ApplyAdaMax": Applying("Adamax", ("exp_avg", "exp_inf", "beta_1_power", "learning_rate", "beta_1", "beta_2", "epsilon")),
    # accumulator = momentum * accumulator + gradient; Keras keeps -learning_rate times it.
    "ApplyMomentum": Applying("SGD", ("momentum_buffer", "learning_rate", "", "momentum"), nesterov="use_nesterov"),
    "ApplyKerasMomentum": Applying("SGD", ("momentum_buffer", "learning_rate", "", "momentum"), nesterov="use_nesterov"),
    "ApplyGradientDescent": Applying("SGD", ("learning_rate",)),
    "ApplyRMSProp": Applying("RMSprop", ("square_avg", "momentum_buffer", "learning_rate", "rho", "momentum", "epsilon")),
    "ApplyCenteredRMSProp": Applying(
        "RMSprop",
        ("grad_avg", "square_avg", "momentum_buffer", "learning_rate", "rho", "momentum", "epsilon"),
        {"centered": True},
    ),
    # Without epsilon: the accumulator starts at 0.1.
    "ApplyAdagrad": Applying("Adagrad", ("sum", "learning_rate"), {"epsilon": 0.0}),
    "ApplyAdagradV2": Applying("Adagrad", ("sum", "learning_rate", "epsilon"), {"epsilon_inside_root": False}),
    "ApplyAdadelta": Applying("Adadelta", ("square_avg", "acc_delta", "learning_rate", "rho", "epsilon")),
    "ApplyFtrl": Applying(
        "Ftrl",
        ("accumulator", "linear", "", "learning_rate", "l1_regularization_strength", "l2_regularization_strength",
         "learning_rate_power"),
    ),
    "ApplyFtrlV2": Applying(
        "Ftrl",
        ("accumulator", "linear", "", "learning_rate", "l1_regularization_strength", "l2_regularization_strength",
         "l2_shrinkage_regularization_strength", "learning_rate_power"),
    ),
}  # fmt: skip
"""Operation without "Resource" to what it is."""
SLOTS = (
    *(
        "exp_avg",
        "exp_avg_sq",
        "exp_inf",
        "momentum_buffer",
        "square_avg",
        "grad_avg",
        "sum",
        "acc_delta",
    ),
    *("accumulator", "linear"),
)
_CLIPPING = ("clip_by_norm", "clip_by_global_norm", "clip_by_value")


@dataclass(frozen=True, slots=True)
class Update:
    """How one variable is updated.

    Attributes:
        optimizer: name of the operations of one optimizer: "opt/Adam".
        slots: stored arrays by their name in torch.
        numbers: hyper-parameters as they are at the saved state.
        powers: beta to the number of updates, by name.
        computed: names of numbers that the graph computes from variables (schedules).
    """

    optimizer: str
    op: str
    variable: str
    slots: Mapping[str, ArrayInfo]
    numbers: Mapping[str, float]
    powers: Mapping[str, float]
    computed: tuple[str, ...]
    nesterov: bool
    clipped: bool


def read_updates(graph: GraphFile, variables: Variables) -> dict[str, Update]:
    """Return how the graph updates its variables, by the name of the variable; the first one counts."""
    found: dict[str, Update] = {}
    for node in graph.nodes.values():
        op = node.op.removeprefix("Resource")
        if op in APPLYING and len(node.inputs) > 1:
            update = _update(graph, variables, node, op)
            found.setdefault(update.variable, update)
    return found


def trained_names(graph: GraphFile) -> frozenset[str]:
    """Return the nodes of the variables that an optimizer of the graph trains."""
    names = set()
    for node in graph.nodes.values():
        if node.op.removeprefix("Resource") in APPLYING and node.inputs:
            names.add(_variable(graph, node.inputs[0]))
    return frozenset(names)


def _variable(graph: GraphFile, text: str) -> str:
    name = text.partition(":")[0]
    for _ in range(8):
        node = graph.nodes.get(name)
        if (
            node is None
            or node.op not in ("Identity", "Enter", "Switch", "RefSwitch")
            or not node.inputs
        ):
            break
        name = node.inputs[0].partition(":")[0]
    return name


def _update(graph: GraphFile, variables: Variables, node: Node, op: str) -> Update:
    applying = APPLYING[op]
    slots: dict[str, ArrayInfo] = {}
    numbers: dict[str, float] = {}
    powers: dict[str, float] = {}
    computed = []
    for role, text in zip(applying.inputs, node.inputs[1:], strict=False):
        if role in SLOTS:
            array = variables.array(_variable(graph, text))
            if array is not None:
                slots[role] = array
        elif role:
            value, constant = evaluate(graph, variables, text)
            if value is not None:
                (powers if role in _POWERS else numbers)[role] = value
            if not constant and role not in _POWERS:
                computed.append(role)
    gradient = next(
        (text for text in node.inputs[1:] if any(each in text for each in _CLIPPING)), ""
    )
    return Update(
        node.name.rpartition("/update_")[0] or node.name,
        op,
        _variable(graph, node.inputs[0]),
        slots,
        numbers,
        powers,
        tuple(computed),
        bool(applying.nesterov) and node.attributes.flag(applying.nesterov),
        bool(gradient),
    )


def evaluate(graph: GraphFile, variables: Variables, text: str) -> tuple[float | None, bool]:
    """Return a number of the graph at the saved state, and whether it is constant; None: it is fed, or not known."""
    flat, targets = flatten(graph, [parse_ref(text)])
    if len(flat) > _MAX_NUMBER_NODES:
        return None, False
    flat, targets = without_copies(flat, targets)
    values: dict[str, AnyArray] = {}
    constant = True
    for node in in_order(flat):
        try:
            if node.op == "Const":
                found = node.attributes.tensor("value")
                if not isinstance(found, np.ndarray):
                    return None, False
                values[node.name] = found
            elif node.op in VARIABLES:
                constant = False
                array = variables.array(node.name)
                if array is None or math.prod(array.shape) > 1:
                    return None, False
                values[node.name] = np.asarray(array.read())
            else:
                values[node.name] = fold(
                    node.op, node.attributes, [values[name] for name, _ in node.inputs]
                )
        except NotFolded:
            return None, False
    result = values[targets[0][0]]
    return (float(plain_number(result.reshape(()))) if result.size == 1 else None), constant


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
    for node, stored in weights:
        if node in updates:
            by_optimizer.setdefault(updates[node].optimizer, []).append((stored, updates[node]))
    notes: list[str] = []
    steps = _global_step(variables)
    ranked = sorted(by_optimizer.values(), key=len, reverse=True)
    found = [_named(members, steps, notes) for members in ranked]
    if not found:
        return [], notes
    kind = found[0].kind
    for other in found[1:]:
        if other.kind != kind:
            listed = ", ".join(list(other.slots)[:3])
            notes.append(
                f"{other.name} ({other.kind}) trains {listed}, ...: {found[0].name} ({kind}) is converted, it is not"
            )
    return [each for each in found if each.kind == kind], notes


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
            f"{name}: its learning rate is fed; set it before you train on: param_groups[0]['lr']"
        )
    if first.clipped:
        notes.append(f"{name}: the graph clips its gradients; clip them before optimizer.step()")
    slots: dict[str, Mapping[str, ArrayInfo]] = {}
    for stored, update in members:
        own = dict(update.slots)
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
