"""How a graph updates its variables: slots, powers and numbers of every update, from the operations that make it.

`ApplyAdam` and its siblings take the variable, its slots and the hyper-parameters as inputs, so nothing is guessed from
names. The table below says which optimizer of Keras has the same formula, and what TensorFlow 1 writes otherwise.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from converters.checkpoint import ArrayInfo
from converters.readers.tensorflow.graph_def import GraphFile, Node
from converters.tensorflow_graphs.flatten import flatten, parse_ref
from converters.tensorflow_graphs.folding import NotFolded, fold
from converters.tensorflow_graphs.ordering import in_order
from converters.tensorflow_graphs.simplify import without_copies
from converters.tensorflow_graphs.values import AnyArray, plain_number
from converters.tensorflow_graphs.variables import VARIABLES, Variables

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
_PROXIMAL = ("l1", "l2")
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
    "ApplyProximalAdagrad": Applying("Adagrad", ("sum", "learning_rate", *_PROXIMAL), {"epsilon": 0.0}),
    "ApplyProximalGradientDescent": Applying("SGD", ("learning_rate", *_PROXIMAL)),
    # Rows without a gradient stay as they are, as with a gradient of zero.
    "SparseApplyAdagrad": Applying("Adagrad", ("sum", "learning_rate"), {"epsilon": 0.0}),
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
APPLIES = re.compile(r"(?:Sparse)?Apply[A-Z]\w*")
"""Operations that update a variable, known or not, without "Resource"."""
_SPARSE = (
    "AssignSub",
    "ScatterSub",
    "AssignSubVariableOp",
    "ResourceScatterSub",
    "ResourceScatterAdd",
)
"""How optimizers update variables of which only some rows have a gradient, without an operation of their own."""
_WHOLE = ("ApplyAdam", "ApplyGradientDescent")
"""Where they do to the rows without a gradient what a gradient of zero would do."""
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
        without: what it does that no optimizer of Keras does; it is not converted then.
    """

    optimizer: str
    op: str
    variable: str
    slots: Mapping[str, ArrayInfo] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    powers: Mapping[str, float] = field(default_factory=dict)
    computed: tuple[str, ...] = ()
    nesterov: bool = False
    clipped: bool = False
    without: str = ""


def read_updates(graph: GraphFile, variables: Variables) -> dict[str, Update]:
    """Return how the graph updates its variables, by the name of the variable; the first one counts."""
    found: dict[str, Update] = {}
    decays = _decays(graph, variables)
    for node in graph.nodes.values():
        op = node.op.removeprefix("Resource")
        if op in APPLYING and len(node.inputs) > 1:
            update = _update(graph, variables, node, op)
            decay = decays.get(update.variable)
            found.setdefault(update.variable, _decayed(update, decay) if decay else update)
        elif APPLIES.fullmatch(op) and node.inputs:
            variable = variable_behind(graph, node.inputs[0])
            name = node.name.rpartition("/update_")[0] or node.name
            found.setdefault(variable, Update(name, op, variable, without=f"operation {op}"))
    for node in graph.nodes.values():
        if node.op in _SPARSE and "/update_" in node.name and node.inputs:
            variable = variable_behind(graph, node.inputs[0])
            sibling = _sibling(found, node.name.rpartition("/update_")[0])
            if sibling is not None and variable not in found and _is_variable(graph, variable):
                found[variable] = _like(sibling, variable, variables)
    return found


def _is_variable(graph: GraphFile, name: str) -> bool:
    node = graph.nodes.get(name)
    return node is not None and node.op in VARIABLES


def _sibling(found: Mapping[str, Update], optimizer: str) -> Update | None:
    """Return how an optimizer updates another variable, if rows without a gradient take part in that."""
    each = (update for update in found.values() if update.optimizer == optimizer)
    return next((update for update in each if update.op in _WHOLE), None)


def _like(sibling: Update, variable: str, variables: Variables) -> Update:
    """Return the update of a variable of which only some rows have a gradient (embeddings): no operation of its own."""
    slots = {}
    for role, array in sibling.slots.items():
        suffix = array.name.removeprefix(sibling.variable)
        own = variables.arrays.get(f"{variable}{suffix}")
        if own is not None:
            slots[role] = own
    return replace(sibling, variable=variable, slots=slots)


def _decays(graph: GraphFile, variables: Variables) -> dict[str, float]:
    """Return what share of itself is taken off a variable at every update, by its name (AdamW of tf.contrib)."""
    found: dict[str, float] = {}
    for node in graph.nodes.values():
        if node.op not in ("AssignSub", "AssignSubVariableOp") or len(node.inputs) < 2:
            continue
        variable = variable_behind(graph, node.inputs[0])
        product = graph.nodes.get(node.inputs[1].partition(":")[0])
        if product is None or product.op != "Mul" or not _is_variable(graph, variable):
            continue
        sides = [text for text in product.inputs if not text.startswith("^")]
        for share, value in (sides[:2], sides[1::-1]) if len(sides) == 2 else ():
            if variable_behind(graph, value) == variable:
                number, constant = evaluate(graph, variables, share)
                if number is not None and constant:
                    found[variable] = number
    return found


def _decayed(update: Update, decay: float) -> Update:
    """Return an update with weight decay; Keras's is a share of the learning rate, TensorFlow's stands alone."""
    rate = update.numbers.get("learning_rate")
    if not rate or "learning_rate" in update.computed:
        return replace(update, without="weight decay beside a learning rate that changes")
    return replace(update, numbers={**update.numbers, "weight_decay": float(f"{decay / rate:.7g}")})


def trained_names(graph: GraphFile) -> frozenset[str]:
    """Return the nodes of the variables that an optimizer of the graph trains."""
    names = set()
    for node in graph.nodes.values():
        applies = APPLIES.fullmatch(node.op.removeprefix("Resource"))
        if node.inputs and (applies or (node.op in _SPARSE and "/update_" in node.name)):
            names.add(variable_behind(graph, node.inputs[0]))
    return frozenset(names)


def variable_behind(graph: GraphFile, text: str) -> str:
    """Return the node of the variable that a name stands for, behind reads and switches."""
    name = text.partition(":")[0]
    for _ in range(8):
        node = graph.nodes.get(name)
        if (
            node is None
            or node.op not in ("Identity", "Enter", "Switch", "RefSwitch", "ReadVariableOp")
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
            array = variables.array(variable_behind(graph, text))
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
    without = ""
    if op == "ApplyAdam" and node.attributes.flag("use_nesterov"):
        without = "Adam that looks ahead"
    if any(numbers.pop(role, 0.0) for role in _PROXIMAL):
        without = "penalties (l1, l2) inside of the update"
    return Update(
        node.name.rpartition("/update_")[0] or node.name,
        op,
        variable_behind(graph, node.inputs[0]),
        slots,
        numbers,
        powers,
        tuple(computed),
        bool(applying.nesterov) and node.attributes.flag(applying.nesterov),
        bool(gradient),
        without,
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
