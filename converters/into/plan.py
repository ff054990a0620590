"""The plan for a user's module: every key of its state with the array it gets, and the optimizer's slots beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from converters.architecture import Architecture
from converters.checkpoint import ArrayInfo, Checkpoint, OptimizerState
from converters.errors import ConversionError, placed
from converters.into.match import Filling, LegacyLayer, Matching, match_layers, propose
from converters.into.nameless import are_nameless, group_nameless
from converters.into.names import NameTable, format_names
from converters.into.order import trainable_order
from converters.into.places import find_places
from converters.layouts import Layout
from converters.matching.groups import SEED_STATE, match_arrays
from converters.matching.model_weights import leaves, stored_weights
from converters.moves import Move
from converters.optimizers.plan import OptimizerPlan, plan_optimizer
from converters.planned import Plan

OWN_VALUE = "(the module's own value)"
ZERO = "(zero)"
LEFT_OUT = "the table of names leaves it out"
UNCERTAIN_ORDER = (
    "the optimizer state is not converted: in which order it has the weights is not certain"
)


def plan_into(checkpoint: Checkpoint, module: nn.Module, table: NameTable) -> Plan:
    """Return the plan of a checkpoint for a user's module. Messages of errors start with the file's name.

    Raises:
        AmbiguousTargetError: Which layer belongs to which module is not certain; the candidates are listed.
        MismatchError: Layers or modules are left over, or do not fit.
    """
    with placed(checkpoint.provenance.file):
        layers, ignored = legacy_layers(checkpoint)
        found = match_layers(layers, find_places(module), table)
        moves = _moves(module, found)
        optimizer, slots, notes = _plan_optimizer(checkpoint, layers, module, found)
    kept = [move.target for move in moves if move.source.name == OWN_VALUE]
    if kept:
        notes.append(f"as the module made them: {', '.join(kept)}")
    ignored += [(info.name, LEFT_OUT) for info in found.left_out]
    if optimizer is None and checkpoint.optimizer is not None:
        ignored += [(info.name, UNCERTAIN_ORDER) for info in checkpoint.optimizer.variables]
    dtype = str(next(iter(module.parameters()), torch.empty(0)).dtype).removeprefix("torch.")
    return Plan(
        architecture=Architecture(type(module).__name__, (), (), (), dtype=dtype),
        moves=tuple(moves),
        optimizer=optimizer,
        slots=tuple(slots),
        parameters=tuple(_trainable(module)),
        ignored=tuple(ignored),
        notes=tuple(notes),
        origins=(),
        roles={},
    )


def write_proposal(checkpoint: Checkpoint, module: nn.Module, path: Path) -> None:
    """Write a table of names to edit: every layer with the place it would have by order, and all it fits."""
    layers, _ = legacy_layers(checkpoint)
    places = find_places(module)
    table = format_names(propose(layers, places), [place.path for place in places])
    path.write_text(table, encoding="ascii")


def legacy_layers(checkpoint: Checkpoint) -> tuple[list[LegacyLayer], list[tuple[str, str]]]:
    """Return the layers of a file with their arrays, and the arrays that are left out with the reason."""
    if checkpoint.graph is not None:
        matched = match_arrays(checkpoint.graph, checkpoint.layers)
        layers = [
            LegacyLayer("/".join(path), arrays, frozenset({path[-1]}))
            for path, arrays in matched.arrays.items()
        ]
        return layers, list(matched.ignored)
    if are_nameless(checkpoint.layers):
        listed = [info for entry in checkpoint.layers for info in entry.arrays.values()]
        groups = (
            {str(index): info for index, info in enumerate(g)} for g in group_nameless(listed)
        )
        return [LegacyLayer(group["0"].name, group) for group in groups], []
    layers, ignored = [], []
    for entry in checkpoint.layers:
        parts = [part for part in entry.path.split("/") if part not in ("layers", "cell")]
        if "seed_generator" in parts or set(entry.arrays) == {"seed_generator_state"}:
            ignored += [(info.name, SEED_STATE) for info in entry.arrays.values()]
        elif entry.arrays:
            name = "/".join(parts) or entry.name or entry.path
            others = {name.replace("/", "."), parts[-1] if parts else name, entry.name or name}
            layers.append(LegacyLayer(name, entry.arrays, frozenset(others)))
    return layers, ignored


def _moves(module: nn.Module, found: Matching) -> list[Move]:
    """Return a move for every key of the module's state, in its order."""
    moves = []
    for key, tensor in module.state_dict().items():
        filling = found.fillings.get(key)
        if filling is None:
            array = tensor.detach().cpu().numpy()
            axes = " ".join(f"a{axis}" for axis in range(array.ndim))
            info = ArrayInfo(OWN_VALUE, array.shape, array.dtype, lambda array=array: array)  # type: ignore[misc]
            moves.append(Move(info, key, Layout.parse(f"{axes} -> {axes}")))
        else:
            dtype = tensor.detach().cpu().numpy().dtype
            moves.append(_move(filling, key, filling.array, dtype))
    return moves


def _move(filling: Filling, key: str, array: ArrayInfo | None, dtype: np.dtype) -> Move:
    slot = filling.slot
    if array is None:
        shape = slot.shape
        zeros = ArrayInfo(ZERO, shape, dtype, lambda: np.zeros(shape, dtype))
        axes = " ".join(f"a{axis}" for axis in range(len(shape)))
        return Move(zeros, key, Layout.parse(f"{axes} -> {axes}"))
    return Move(slot.take(array), key, Layout.parse(filling.layout))


def _trainable(module: nn.Module) -> list[str]:
    return [name for name, parameter in module.named_parameters() if parameter.requires_grad]


def _plan_optimizer(
    checkpoint: Checkpoint, layers: Sequence[LegacyLayer], module: nn.Module, found: Matching
) -> tuple[OptimizerPlan | None, list[Mapping[str, Move]], list[str]]:
    """Return what becomes of the optimizer. The weights convert even where it does not."""
    state = checkpoint.optimizer
    if state is None:
        return None, [], []
    order = _trained_arrays(checkpoint, layers, found, state)
    fillings = [found.fillings.get(key) for key in _trainable(module)]
    if order is None or any(filling is None for filling in fillings):
        return None, [], [UNCERTAIN_ORDER]
    try:
        plan = plan_optimizer(state, [(info.name, info.shape) for info in order])
    except ConversionError as error:
        return None, [], [f"the optimizer state is not converted: {error}"]
    if plan.partial or plan.dropped_axes:
        return (
            None,
            [],
            [
                f"the optimizer state is not converted: {state.kind} has other slots for other weights"
            ],
        )
    position = {id(info): index for index, info in enumerate(order)}
    dtype = np.dtype("float32")
    slots: list[Mapping[str, Move]] = []
    for filling in fillings:
        if filling is None:
            continue
        if filling.array is not None and id(filling.array) not in position:
            return None, [], [UNCERTAIN_ORDER]  # frozen in Keras, trained in torch
        slots.append(
            {
                name: _move(
                    filling,
                    f"{filling.slot.key}/{name}",
                    None if filling.array is None else arrays[position[id(filling.array)]],
                    dtype,
                )
                for name, arrays in plan.slots.items()
            }
        )
    return plan, slots, list(plan.notes)


def _trained_arrays(
    checkpoint: Checkpoint,
    layers: Sequence[LegacyLayer],
    found: Matching,
    state: OptimizerState,
) -> list[ArrayInfo] | None:
    """Return the arrays that the optimizer has slots for, in its order; None if that is not certain."""
    if checkpoint.graph is not None:
        by_name = {layer.name: layer.arrays for layer in layers}
        return [
            by_name["/".join(path)][weight.role]
            for path, layer in leaves(match_arrays(checkpoint.graph, checkpoint.layers).graph)
            if layer.trainable
            for weight in stored_weights(layer)
            if weight.trainable
        ]
    trains = {
        id(filling.array): filling.slot.trains
        for filling in found.fillings.values()
        if filling.array is not None
    }
    blocks = [
        [info for info in layer.arrays.values() if trains.get(id(info), True)] for layer in layers
    ]
    return trainable_order([block for block in blocks if block], state.variables)
