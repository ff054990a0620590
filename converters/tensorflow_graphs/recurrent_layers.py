"""Loops around recurrent cells as layers over all of the sequence: one cell, or several on top of each other.

What a turn computes without a state (a residual, a projection, a concatenation) is computed for all turns at once. A loop
that does more than that is left to be written out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from converters.layers.operators.tensorflow_nodes import NODES
from converters.tensorflow_graphs.cells import Cell, find_lstms, written_items
from converters.tensorflow_graphs.flatten import FlatNode
from converters.tensorflow_graphs.frames import LoopParts
from converters.tensorflow_graphs.gated_cells import PlainCell, find_plain
from converters.tensorflow_graphs.layer_rules import as_weights, layer_name
from converters.tensorflow_graphs.rules import Translation
from converters.tensorflow_graphs.simplify import Formulas
from converters.tensorflow_graphs.sizes import counted
from converters.tensorflow_graphs.values import (
    Elements,
    Filled,
    Known,
    Origin,
    Ref,
    Sizes,
    Tensor,
    Value,
    Weights,
)

Inside = Callable[[Sequence[Ref]], Sequence[Value]]
"""Gives values of the first turn's body."""
_SWAPPED = (1, 0, 2)
_BY_ELEMENT = ("Add", "AddV2", "Sub", "Mul", "BiasAdd")
_ACTIVATIONS = ("Tanh", "Sigmoid", "Relu", "Elu")
_READS = {"TensorListGetItem": (0, 1), "TensorArrayReadV3": (2, 1)}
"""Operations that read an entry of a list: places of the list and of the index among their inputs."""


@dataclass(slots=True)
class _Turns:
    """Values of a turn for all turns at once.

    Attributes:
        node: the loop.
        formulas: of its body.
        variables: of the loop.
        outside: values that do not change from turn to turn, and the variables at the start.
        lengths: see `recurrent_layers`.
        whole: values of a turn, to (batch, time, features) of all.
    """

    node: FlatNode
    formulas: Formulas
    variables: frozenset[Ref]
    outside: dict[Ref, Value]
    translation: Translation
    lengths: Value | None = None
    whole: dict[Ref, Tensor] = field(default_factory=dict)

    def of(self, ref: Ref) -> Tensor | None:
        """Return (batch, time, features) of a value (batch, features) of every turn; None if it needs the turn before."""
        ref = self.formulas.behind(ref)
        if ref not in self.whole:
            found = self._computed(self.formulas.flat[ref[0]]) if ref[1] == 0 else None
            if found is None or len(found.shape) != 3:
                return None
            self.whole[ref] = found
        return self.whole[ref]

    def _computed(self, turn: FlatNode) -> Tensor | None:
        if turn.op in _READS:
            entries, index = (self.formulas.behind(turn.inputs[each]) for each in _READS[turn.op])
            given = self.outside.get(entries)
            if (
                index not in self.variables
                or not isinstance(given, Elements)
                or given.whole is None
            ):
                return None
            return swapped(given.whole, self.node, self.translation)
        operation = NODES[turn.op].operation if turn.op in NODES else ""
        if turn.op in _ACTIVATIONS:
            x = self.of(turn.inputs[0])
            return None if x is None else self._call(turn, operation, {"x": x})
        if turn.op in _BY_ELEMENT:
            operands = [self._operand(ref) for ref in turn.inputs]
            if None in operands:
                return None
            return self._call(turn, operation, dict(zip(("x1", "x2"), operands, strict=True)))
        if turn.op == "ConcatV2":
            *parts, axis = turn.inputs
            wholes = [self.of(ref) for ref in parts]
            if None in wholes or self.formulas.number(axis) not in (1.0, -1.0):
                return None
            return self._call(turn, operation, {"xs": tuple(wholes), "axis": -1})
        return self._projected(turn) if turn.op == "MatMul" else None

    def _operand(self, ref: Ref) -> Value | None:
        """Return an operand of every turn, or one that is the same for all turns and rows."""
        found = self.outside.get(self.formulas.behind(ref))
        constant = self.formulas.constant(ref)
        value: Value | None = found if constant is None else Known(constant)
        if isinstance(value, (Known, Weights)):
            return value if len(value.shape) <= 1 else None
        return self.of(ref)

    def _projected(self, turn: FlatNode) -> Tensor | None:
        x = self.of(turn.inputs[0])
        value = self.outside.get(self.formulas.behind(turn.inputs[1]))
        kernel = None if value is None else as_weights(value, 2)
        turned = any(turn.attributes.flag(key) for key in ("transpose_a", "transpose_b"))
        if x is None or kernel is None or turned or len(kernel.shape) != 2:
            return None
        config: dict[str, object] = {"units": kernel.shape[1], "use_bias": False}
        builder = self.translation.builder
        return builder.layer("Dense", layer_name(kernel), config, [x], weights={"kernel": kernel})[
            0
        ]

    def _call(self, turn: FlatNode, operation: str, arguments: dict[str, object]) -> Tensor:
        return self.translation.operation(turn, operation, arguments)[0]


def recurrent_layers(
    node: FlatNode,
    parts: LoopParts,
    starts: Sequence[Value],
    outside: dict[Ref, Value],
    translation: Translation,
    inside: Inside,
    *,
    lengths: Value | None = None,
) -> Sequence[Value] | None:
    """Return a loop's variables from recurrent layers; None if the loop does more than run cells over a sequence.

    Args:
        node: the loop.
        parts: its condition and body.
        starts: its variables before it.
        outside: what the body takes from outside.
        translation: takes the layers.
        inside: gives values of the first turn.
        lengths: how many turns each row takes; behind them its states stay, and its outputs are 0. None: all.
    """
    formulas = Formulas(parts.body)
    waiting: list[Cell | PlainCell] = [*find_lstms(formulas, parts), *find_plain(formulas, parts)]
    before: dict[Ref, Value] = {
        (name, 0): value for name, value in zip(parts.variables, starts, strict=True)
    } | outside
    turns = _Turns(
        node,
        formulas,
        frozenset((name, 0) for name in parts.variables),
        before,
        translation,
        lengths,
    )
    after: dict[int, Value] = {}
    last: dict[Ref, Tensor] = {}
    while waiting:
        ready = next((each for each in waiting if turns.of(each.x) is not None), None)
        if ready is None:
            return None
        made = _layer(ready, turns, inside)
        if made is None:
            return None
        outputs, *states = made
        hidden = formulas.behind(parts.results[ready.places[0]])
        turns.whole[hidden], last[hidden] = outputs, states[0]
        after |= dict(zip(ready.places, states, strict=True))
        waiting = [each for each in waiting if not set(each.places) & set(ready.places)]
    written = _written(parts, turns, last) if after else None
    if written is None:
        return None
    return [
        after.get(place)
        or written.get(place)
        or (starts[place] if ref == (parts.variables[place], 0) else None)
        or Sizes((None,), scalar=True)  # counters; whoever takes one is refused
        for place, ref in enumerate(parts.results)
    ]


def _written(
    parts: LoopParts, turns: _Turns, last: dict[Ref, Tensor]
) -> dict[int, Elements] | None:
    """Return the lists that the loop writes, by their place; None if what is written is not known."""
    found: dict[int, Elements] = {}
    for place, (item, single) in written_items(turns.formulas, parts.results).items():
        whole = turns.of(item)
        if whole is None:
            return None
        timed = swapped(whole, turns.node, turns.translation)
        hidden = last.get(turns.formulas.behind(item))
        if single and (hidden is None or turns.lengths is not None):
            return None
        if hidden is None and turns.lengths is not None:
            return None  # what is made of outputs is 0 behind the end as well
        if hidden is not None and turns.lengths is None:
            turns.translation.builder.last_of[timed.ref] = hidden
        found[place] = Elements((hidden,)) if single else Elements((), timed)
    return found


def _layer(cell: Cell | PlainCell, turns: _Turns, inside: Inside) -> list[Tensor] | None:
    """Return the outputs (batch, time, units) of one cell, and its states after the last turn."""
    x = turns.of(cell.x)
    known = turns.outside
    needed = [ref for ref in cell.weights if ref not in known]
    known |= dict(zip(needed, inside(needed) if needed else (), strict=True))
    weights = cell.layer_weights([as_weights(known[ref]) for ref in cell.weights])
    if weights is None or x is None:
        return None
    units = (weights["kernel"].shape[1] or 0) // cell.gates
    states = _first_states([known.get(ref) for ref in cell.states], units, turns)
    if states is None:
        return None
    config: dict[str, object] = {
        "units": units, **cell.config, "use_bias": True, "return_sequences": True, "return_state": True,
    }  # fmt: skip
    name = layer_name(weights["kernel"]).removesuffix("/gates")  # GRUCell has its gates in a scope
    mask = None
    if turns.lengths is not None:
        config["zero_output_for_mask"] = True
        mask = _until(x, turns.lengths, turns)
    return turns.translation.builder.layer(
        cell.class_name, name, config, [x, *states], weights=weights, mask=mask
    )


def _until(x: Tensor, lengths: Value, turns: _Turns) -> Tensor:
    """Return (batch, time): true in as many turns as each row takes."""
    call = turns.translation.operation
    time = x.shape[1]
    places: Value = (
        counted(turns.translation.builder, Origin(x, 1), "int32")
        if time is None
        else Known(np.arange(time, dtype=np.int32), "places")
    )
    ends = turns.translation.tensor(turns.node, lengths)
    column = call(turns.node, "ExpandDims", {"x": ends, "axis": -1})[0]
    return call(turns.node, "Less", {"x1": places, "x2": column}, dtype="bool")[0]


def _first_states(starts: Sequence[Value | None], units: int, turns: _Turns) -> list[Tensor] | None:
    """Return the states that a layer begins with, none where all are zeros; None if they are no rows of units."""
    if all(isinstance(each, Filled) and each.value == 0 for each in starts):
        return []
    if any(each is None or isinstance(each, (Elements, Sizes)) for each in starts):
        return None
    tensors = [turns.translation.tensor(turns.node, each) for each in starts if each is not None]
    if any(len(each.shape) != 2 or each.shape[1] != units for each in tensors):
        return None
    return tensors


def swapped(x: Tensor, node: FlatNode, translation: Translation) -> Tensor:
    """Return a tensor with its first two axes exchanged; a second exchange undoes the first."""
    known = translation.builder.transposed.get(x.ref)
    order = (*_SWAPPED, *range(3, len(x.shape)))
    if known is not None and known[1] == order:
        return known[0]
    [result] = translation.builder.operation(
        f"{translation.name(node)}_swapped", "Transpose", {"x": x, "axes": order}
    )
    translation.builder.transposed[result.ref] = (x, order)
    return result
