"""Recurrent cells in the body of a loop: LSTM as Keras writes it, and as `tf.nn.rnn_cell` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from converters.tensorflow_graphs.builder import derived
from converters.tensorflow_graphs.frames import LoopParts
from converters.tensorflow_graphs.simplify import Formulas
from converters.tensorflow_graphs.values import AnyArray, Ref, Weights

ADD = ("Add", "AddV2", "BiasAdd")
_GATES = ("i", "f", "c", "o")
"""Order of the gates in Keras."""


@dataclass(frozen=True, slots=True)
class Cell:
    """An LSTM cell that a loop runs.

    Attributes:
        sequence: the list its input is taken from.
        states: the variables of the loop with h and c, before a turn.
        weights: kernel, recurrent kernel and bias; or the kernel of both, and the bias.
        order: place of each of Keras's gates among the parts of the product.
        forget_bias: what is added to the forget gate besides.
        places: of h and c among the results of the loop.
        written: results that are lists to which h is written: whether only the last one is kept.
        class_name: the layer of Keras.
        gates: how many units' columns a kernel has.
        config: settings of the layer besides its units.
    """

    sequence: Ref
    states: tuple[Ref, ...]
    weights: tuple[Ref, ...]
    order: tuple[int, ...]
    forget_bias: float
    places: tuple[int, ...]
    written: Mapping[int, bool]
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


def find_lstm(formulas: Formulas, parts: LoopParts) -> Cell | None:
    """Return the LSTM cell of a loop's body, None if there is none or it is written in another way."""
    variables = {(name, 0): place for place, name in enumerate(parts.variables)}
    results = [formulas.behind(ref) for ref in parts.results]
    for place, result in enumerate(results):
        for state_place, state in enumerate(results):
            if place == state_place:
                continue
            found = _hidden(formulas, result, state)
            gates = None if found is None else _state(formulas, state, variables)
            if found is None or gates is None or gates[0] != (parts.variables[state_place], 0):
                continue
            own = (parts.variables[place], 0)
            inputs = _inputs(formulas, gates[2], own, parts)
            if inputs is None:
                continue
            order = (gates[1]["i"], gates[1]["f"], gates[1]["c"], found)
            if sorted(order) != [0, 1, 2, 3]:
                continue
            written = written_lists(formulas, results, result)
            if written is None:
                continue
            return Cell(
                inputs[0],
                (own, (parts.variables[state_place], 0)),
                inputs[1],
                order,
                gates[3],
                (place, state_place),
                written,
            )
    return None


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
    formulas: Formulas, ref: Ref, variables: dict[Ref, int]
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


def _inputs(
    formulas: Formulas, product: Ref, hidden: Ref, parts: LoopParts
) -> tuple[Ref, tuple[Ref, ...]] | None:
    """Return the list with the inputs, and the weights, of x K + h R + b or [x, h] K + b."""
    for summed, bias in formulas.pairs(product, ADD):
        node = formulas.node(summed)
        if node.op == "MatMul":
            joined = formulas.node(node.inputs[0])
            if (
                joined.op == "ConcatV2"
                and len(joined.inputs) == 3
                and formulas.same(joined.inputs[1], hidden)
            ):
                sequence = input_sequence(formulas, joined.inputs[0])
                if sequence is not None:
                    return sequence, (formulas.behind(node.inputs[1]), formulas.behind(bias))
        for first, second in formulas.pairs(summed, ADD):
            outer, inner = formulas.node(first), formulas.node(second)
            if outer.op == inner.op == "MatMul" and formulas.same(inner.inputs[0], hidden):
                sequence = input_sequence(formulas, outer.inputs[0])
                if sequence is not None:
                    weights = (outer.inputs[1], inner.inputs[1], bias)
                    kernel, recurrent, added = (formulas.behind(ref) for ref in weights)
                    return sequence, (kernel, recurrent, added)
    return None


def input_sequence(formulas: Formulas, ref: Ref) -> Ref | None:
    """Return the list that an input is an entry of."""
    node = formulas.node(ref)
    if node.op == "TensorListGetItem":
        return formulas.behind(node.inputs[0])
    return formulas.behind(node.inputs[2]) if node.op == "TensorArrayReadV3" else None


def written_lists(
    formulas: Formulas, results: Sequence[Ref], hidden: Ref
) -> dict[int, bool] | None:
    """Return the lists that the output is written to; None if anything else is written."""
    found: dict[int, bool] = {}
    for place, ref in enumerate(results):
        node = formulas.node(ref)
        if node.op in ("TensorListSetItem", "TensorArrayWriteV3"):
            if not formulas.same(node.inputs[2], hidden):
                return None
            found[place] = formulas.constant(node.inputs[1]) is not None
    return found
