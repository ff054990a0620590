"""Recurrent cells in the body of a loop: LSTM as Keras writes it, and as `tf.nn.rnn_cell` does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from converters.tensorflow_graphs.frames import LoopParts
from converters.tensorflow_graphs.simplify import Formulas
from converters.tensorflow_graphs.values import AnyArray, Ref, Weights
from converters.tensorflow_graphs.weights import derived

ADD = ("Add", "AddV2", "BiasAdd")
_GATES = ("i", "f", "c", "o")
"""Order of the gates in Keras."""


@dataclass(frozen=True, slots=True)
class Cell:
    """An LSTM cell that a loop runs.

    Attributes:
        x: its input in a turn.
        states: the variables of the loop with h and c, before a turn.
        weights: kernel, recurrent kernel and bias; or the kernel of both, and the bias.
        order: place of each of Keras's gates among the parts of the product.
        forget_bias: what is added to the forget gate besides.
        places: of h and c among the results of the loop.
        class_name: the layer of Keras.
        gates: how many units' columns a kernel has.
        config: settings of the layer besides its units.
    """

    x: Ref
    states: tuple[Ref, ...]
    weights: tuple[Ref, ...]
    order: tuple[int, ...]
    forget_bias: float
    places: tuple[int, ...] = ()
    class_name: str = "LSTM"
    gates: int = 4
    config: Mapping[str, object] = field(
        default_factory=lambda: {"activation": "tanh", "recurrent_activation": "sigmoid"}
    )

    def layer_weights(self, found: Sequence[Weights | None]) -> dict[str, Weights] | None:
        """Return the weights as Keras has them: gates i, f, c, o, one kernel for each input."""
        if any(each is None for each in found):
            return None
        *kernels, bias = [each for each in found if each is not None]
        units = (bias.shape[-1] or 0) // 4
        if len(kernels) == 1:
            rows = (kernels[0].shape[0] or 0) - units
            parts = {"kernel": (0, rows), "recurrent_kernel": (rows, rows + units)}
            result = {role: self._gates(kernels[0], units, span) for role, span in parts.items()}
        else:
            result = {
                role: self._gates(kernel, units, None)
                for role, kernel in zip(("kernel", "recurrent_kernel"), kernels, strict=True)
            }
        return {**result, "bias": self._gates(bias, units, None, added=self.forget_bias)}

    def _gates(
        self, weights: Weights, units: int, rows: tuple[int, int] | None, *, added: float = 0.0
    ) -> Weights:
        if self.order == (0, 1, 2, 3) and rows is None and not added:
            return weights
        shape = [size or 0 for size in weights.shape]
        if rows is not None:
            shape[0] = rows[1] - rows[0]
        shadow = np.broadcast_to(np.zeros((), weights.dtype), shape)
        move = partial(_arranged, units, self.order, rows)
        read = partial(_shifted, weights, units, move, added) if added else None
        return derived([weights], shadow, move, read=read)


def _arranged(
    units: int, order: Sequence[int], rows: tuple[int, int] | None, arrays: Sequence[AnyArray]
) -> AnyArray:
    [array] = arrays
    array = array if rows is None else array[rows[0] : rows[1]]
    parts = [array[..., place * units : (place + 1) * units] for place in order]
    return np.concatenate(parts, axis=-1)


def _shifted(
    weights: Weights, units: int, move: Callable[[Sequence[AnyArray]], AnyArray], added: float
) -> AnyArray:
    """Return a bias with a number added to the forget gate, which is Keras's second."""
    array = move([np.asarray(weights.array.read())])
    gate = array[..., units : 2 * units]
    array[..., units : 2 * units] = np.add(gate, added, dtype=array.dtype)
    return array


def find_lstms(formulas: Formulas, parts: LoopParts) -> Iterator[Cell]:
    """Yield the LSTM cells of a loop's body; none where they are written in another way."""
    variables = {(name, 0) for name in parts.variables}
    results = [formulas.behind(ref) for ref in parts.results]
    for place, result in enumerate(results):
        own = (parts.variables[place], 0)
        for state_place, state in enumerate(results):
            old = (parts.variables[state_place], 0)
            if place == state_place:
                continue
            found = _lstm_operation(formulas, result, state, (own, old))
            found = found or _lstm_formula(formulas, result, state, (own, old), variables)
            if found is not None:
                yield replace(found, places=(place, state_place))


def _lstm_formula(
    formulas: Formulas, result: Ref, state: Ref, old: tuple[Ref, Ref], variables: Collection[Ref]
) -> Cell | None:
    """Return the cell that computes h and c from those of the turn before."""
    found = _hidden(formulas, result, state)
    gates = None if found is None else _state(formulas, state, variables)
    if found is None or gates is None or gates[0] != old[1]:
        return None
    inputs = _inputs(formulas, gates[2], old[0])
    order = (gates[1]["i"], gates[1]["f"], gates[1]["c"], found)
    if inputs is None or sorted(order) != [0, 1, 2, 3]:
        return None
    return Cell(inputs[0], old, inputs[1], order, gates[3])


def _lstm_operation(
    formulas: Formulas, result: Ref, state: Ref, old: tuple[Ref, Ref]
) -> Cell | None:
    """Return the cell that is one operation, without peepholes and bounds; its columns are i, c, f, o."""
    node = formulas.flat[result[0]]
    if node.op != "LSTMBlockCell" or (result[1], state) != (6, (node.name, 1)):
        return None
    attributes = node.attributes
    if attributes.flag("use_peephole") or attributes.number("cell_clip", 3.0) > 0:
        return None
    x, cell, hidden, kernel, *_, bias = (formulas.behind(ref) for ref in node.inputs)
    if (hidden, cell) != old:
        return None
    return Cell(x, old, (kernel, bias), (0, 2, 1, 3), float(attributes.number("forget_bias", 1.0)))


def _gate(formulas: Formulas, ref: Ref, op: str) -> tuple[Ref, int, float] | None:
    """Return the split, the part of it and what is added, of op(part + number)."""
    node = formulas.node(ref)
    if node.op != op:
        return None
    source, added = formulas.behind(node.inputs[0]), 0.0
    for part, number in formulas.pairs(source, ADD):
        value = formulas.number(number)
        if value is not None:
            source, added = formulas.behind(part), value
            break
    split = formulas.flat[source[0]]
    if split.op != "Split" or split.attributes.integer("num_split") != 4:
        return None
    return split.inputs[1], source[1], added


def _hidden(formulas: Formulas, ref: Ref, state: Ref) -> int | None:
    """Return the part of the output gate of sigmoid(part) * tanh(state)."""
    for gate, activated in formulas.pairs(ref, ("Mul",)):
        node = formulas.node(activated)
        if node.op == "Tanh" and formulas.same(node.inputs[0], state):
            found = _gate(formulas, gate, "Sigmoid")
            if found is not None and found[2] == 0:
                return found[1]
    return None


def _state(
    formulas: Formulas, ref: Ref, variables: Collection[Ref]
) -> tuple[Ref, dict[str, int], Ref, float] | None:
    """Return the old state, parts of the gates, the product they come from and the forget bias of f * c + i * g."""
    for kept, new in formulas.pairs(ref, ADD):
        for gate, old in formulas.pairs(kept, ("Mul",)):
            forget = _gate(formulas, gate, "Sigmoid")
            if forget is None or formulas.behind(old) not in variables:
                continue
            for first, second in formulas.pairs(new, ("Mul",)):
                enter, candidate = (
                    _gate(formulas, first, "Sigmoid"),
                    _gate(formulas, second, "Tanh"),
                )
                if enter is None or candidate is None or enter[2] or candidate[2]:
                    continue
                if formulas.same(enter[0], forget[0]) and formulas.same(candidate[0], forget[0]):
                    places = {"i": enter[1], "f": forget[1], "c": candidate[1]}
                    return formulas.behind(old), places, forget[0], forget[2]
    return None


def _inputs(formulas: Formulas, product: Ref, hidden: Ref) -> tuple[Ref, tuple[Ref, ...]] | None:
    """Return the input, and the weights, of x K + h R + b or [x, h] K + b."""
    for summed, bias in formulas.pairs(product, ADD):
        node = formulas.node(summed)
        if node.op == "MatMul":
            x = input_beside(formulas, node.inputs[0], hidden)
            if x is not None:
                return x, (formulas.behind(node.inputs[1]), formulas.behind(bias))
        for first, second in formulas.pairs(summed, ADD):
            outer, inner = formulas.node(first), formulas.node(second)
            if outer.op == inner.op == "MatMul" and formulas.same(inner.inputs[0], hidden):
                weights = (outer.inputs[1], inner.inputs[1], bias)
                kernel, recurrent, added = (formulas.behind(ref) for ref in weights)
                return formulas.behind(outer.inputs[0]), (kernel, recurrent, added)
    return None


def input_beside(formulas: Formulas, ref: Ref, hidden: Ref) -> Ref | None:
    """Return x of [x, hidden]."""
    node = formulas.node(ref)
    if node.op != "ConcatV2" or len(node.inputs) != 3:
        return None
    same = formulas.same(node.inputs[1], hidden)
    return formulas.behind(node.inputs[0]) if same else None


def written_items(formulas: Formulas, results: Sequence[Ref]) -> dict[int, tuple[Ref, bool]]:
    """Return what is written to the results that are lists, and whether only the last one is kept."""
    found: dict[int, tuple[Ref, bool]] = {}
    for place, ref in enumerate(results):
        node = formulas.node(ref)
        if node.op in ("TensorListSetItem", "TensorArrayWriteV3"):
            found[place] = node.inputs[2], formulas.constant(node.inputs[1]) is not None
    return found
