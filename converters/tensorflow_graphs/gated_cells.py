"""Recurrent cells with one state in the body of a loop: GRU and plain RNN, as `tf.nn.rnn_cell` and as Keras write them.

`GRUCell` of TensorFlow 1 multiplies [x, h] with one kernel for both gates and [x, r h] with another; Keras multiplies x and h
each with a kernel of three parts (tensorflow 1.15, python/ops/rnn_cell_impl.py; keras 3.15.1, layers/rnn/gru.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from converters.tensorflow_graphs.cells import ADD, input_beside
from converters.tensorflow_graphs.flatten import FlatNode
from converters.tensorflow_graphs.folding import strided_index
from converters.tensorflow_graphs.frames import LoopParts
from converters.tensorflow_graphs.simplify import Formulas
from converters.tensorflow_graphs.values import AnyArray, Ref, Weights
from converters.tensorflow_graphs.weights import derived

_Product = tuple[Ref, Ref, Ref]
"""Input, kernel and bias of a product of a matrix."""


@dataclass(frozen=True, slots=True)
class PlainCell:
    """A cell with one state that a loop runs; the fields are those of `cells.Cell`.

    Attributes:
        joined: whether kernels are for [x, h], not one for each.
        order: for GRU the parts of the product that are z, r and the candidate.
    """

    class_name: str
    x: Ref
    states: tuple[Ref, ...]
    weights: tuple[Ref, ...]
    places: tuple[int, ...]
    joined: bool
    order: tuple[int, ...] = (0,)

    @property
    def config(self) -> dict[str, object]:
        """Return the settings of the layer besides its units."""
        if self.class_name == "SimpleRNN":
            return {"activation": "tanh"}
        gates = {"activation": "tanh", "recurrent_activation": "sigmoid"}
        return {**gates, "reset_after": not self.joined}

    @property
    def gates(self) -> int:
        """Return how many units' columns a kernel has."""
        return 3 if self.class_name == "GRU" else 1

    def layer_weights(self, found: Sequence[Weights | None]) -> dict[str, Weights] | None:
        """Return the weights as Keras has them."""
        given = [each for each in found if each is not None]
        if len(given) != len(found):
            return None
        if not self.joined:
            kernel, recurrent, *biases = given
            bias = biases[0] if len(biases) == 1 else _rows(biases)
            return {"kernel": kernel, "recurrent_kernel": recurrent, "bias": bias}
        *kernels, last = given[::2]
        last_bias = given[-1]
        units = last.shape[1] or 0
        rows = (last.shape[0] or 0) - units
        gates = [(kernels[0], given[1])] if kernels else []
        spans = {"kernel": (0, rows), "recurrent_kernel": (rows, rows + units)}
        result = {
            role: _stacked([*(each for each, _ in gates), last], units, self.order, span)
            for role, span in spans.items()
        }
        biases = [*(bias for _, bias in gates), last_bias]
        return {**result, "bias": _stacked(biases, units, self.order, None)}


def _rows(biases: Sequence[Weights]) -> Weights:
    """Return two biases as the rows of one, as Keras has them."""
    shadow = np.broadcast_to(np.zeros((), biases[0].dtype), (2, biases[0].shape[0] or 0))
    return derived(biases, shadow, np.stack)


def _stacked(
    parts: Sequence[Weights], units: int, order: Sequence[int], rows: tuple[int, int] | None
) -> Weights:
    """Return the columns of all parts in the order of Keras's gates."""
    columns = units * len(order)
    shape = (columns,) if rows is None else (rows[1] - rows[0], columns)
    shadow = np.broadcast_to(np.zeros((), parts[0].dtype), shape)
    return derived(parts, shadow, partial(_arranged, units, order, rows))


def _arranged(
    units: int, order: Sequence[int], rows: tuple[int, int] | None, arrays: Sequence[AnyArray]
) -> AnyArray:
    whole = np.concatenate(arrays, axis=-1)
    whole = whole if rows is None else whole[rows[0] : rows[1]]
    return np.concatenate(
        [whole[..., place * units : (place + 1) * units] for place in order], axis=-1
    )


def find_plain(formulas: Formulas, parts: LoopParts) -> Iterator[PlainCell]:
    """Yield the GRU and plain cells of a loop's body; none where they are written in another way."""
    for place, ref in enumerate(parts.results):
        hidden = (parts.variables[place], 0)
        result = formulas.behind(ref)
        found = _gru_operation(formulas, result, hidden)
        found = found or next(_cells(formulas, result, hidden), None)
        if found is not None:
            class_name, x, weights, joined, order = found
            yield PlainCell(class_name, x, (hidden,), weights, (place,), joined, order)


def _gru_operation(
    formulas: Formulas, result: Ref, hidden: Ref
) -> tuple[str, Ref, tuple[Ref, ...], bool, tuple[int, ...]] | None:
    """Return the same of `GRUBlockCell`, whose gates are r, z."""
    node = formulas.flat[result[0]]
    if node.op != "GRUBlockCell" or result[1] != 3:
        return None
    x, before, gates, kernel, gate_bias, bias = (formulas.behind(ref) for ref in node.inputs)
    weights = (gates, gate_bias, kernel, bias)
    return ("GRU", x, weights, True, (1, 0, 2)) if before == hidden else None


def _cells(
    formulas: Formulas, result: Ref, hidden: Ref
) -> Iterator[tuple[str, Ref, tuple[Ref, ...], bool, tuple[int, ...]]]:
    """Yield class, input, weights, whether kernels are joined, and order of the gates."""
    for update, candidate in _mixtures(formulas, result, hidden):
        for read in (_joined_gru, _apart_gru):
            gru = read(formulas, update, candidate, hidden)
            if gru is not None:
                yield ("GRU", *gru)
    node = formulas.node(result)
    if node.op == "Tanh":
        for x, kernel, bias in _products(formulas, node.inputs[0]):
            entered = input_beside(formulas, x, hidden)
            if entered is not None:
                yield "SimpleRNN", entered, (kernel, bias), True, (0,)
        for entering, recurrent in formulas.pairs(node.inputs[0], ADD):
            inner = formulas.node(recurrent)
            for x, kernel, bias in _products(formulas, entering):
                if inner.op == "MatMul" and formulas.same(inner.inputs[0], hidden):
                    weights = (kernel, formulas.behind(inner.inputs[1]), bias)
                    yield "SimpleRNN", formulas.behind(x), weights, False, (0,)


def _mixtures(formulas: Formulas, ref: Ref, hidden: Ref) -> Iterator[tuple[Ref, Ref]]:
    """Yield u and c of u * h + (1 - u) * c."""
    for kept, new in formulas.pairs(ref, ADD):
        for update, old in formulas.pairs(kept, ("Mul",)):
            if not formulas.same(old, hidden):
                continue
            for rest, candidate in formulas.pairs(new, ("Mul",)):
                node = formulas.node(rest)
                if (
                    node.op == "Sub"
                    and formulas.number(node.inputs[0]) == 1
                    and formulas.same(node.inputs[1], update)
                ):
                    yield update, candidate


def _products(formulas: Formulas, ref: Ref) -> Iterator[_Product]:
    """Yield x, kernel and bias of x K + b."""
    for product, bias in formulas.pairs(ref, ADD):
        node = formulas.node(product)
        if node.op == "MatMul":
            yield node.inputs[0], formulas.behind(node.inputs[1]), formulas.behind(bias)


def _part(formulas: Formulas, ref: Ref, count: int) -> tuple[Ref, int] | None:
    """Return what is split in so many parts, and which part it is."""
    source = formulas.behind(ref)
    node = formulas.flat[source[0]]
    if node.op == "StridedSlice":
        return _columns(formulas, node, count)
    if node.op != "Split" or node.attributes.integer("num_split") != count:
        return None
    return formulas.behind(node.inputs[1]), source[1]


def _columns(formulas: Formulas, node: FlatNode, count: int) -> tuple[Ref, int] | None:
    """Return the same of x[:, part * units : (part + 1) * units]."""
    bounds = [formulas.constant(each) for each in node.inputs[1:4]]
    if any(each is None for each in bounds):
        return None
    index = strided_index(node.attributes, *(np.asarray(each) for each in bounds))
    if len(index) != 2 or index[0] != slice(None) or not isinstance(index[1], slice):
        return None
    begin, end = index[1].start or 0, index[1].stop
    if begin and not end:
        return formulas.behind(node.inputs[0]), count - 1
    return formulas.behind(node.inputs[0]), begin // max(1, (end or 0) - begin)


def _joined_gru(
    formulas: Formulas, update: Ref, candidate: Ref, hidden: Ref
) -> tuple[Ref, tuple[Ref, ...], bool, tuple[int, ...]] | None:
    """Return the parts of tf.nn.rnn_cell.GRUCell: gates from [x, h], the candidate from [x, r * h]."""
    gate, last = _part(formulas, update, 2), formulas.node(candidate)
    if gate is None or formulas.node(gate[0]).op != "Sigmoid" or last.op != "Tanh":
        return None
    for x, kernel, bias in _products(formulas, last.inputs[0]):
        joined = formulas.node(x)
        if joined.op != "ConcatV2" or len(joined.inputs) != 3:
            continue
        entered = formulas.behind(joined.inputs[0])
        for reset, old in formulas.pairs(joined.inputs[1], ("Mul",)):
            part = _part(formulas, reset, 2)
            if part is None or not formulas.same(old, hidden):
                continue
            if part[0] != gate[0] or part[1] == gate[1]:
                continue
            inner = formulas.node(gate[0]).inputs[0]
            for gate_input, gate_kernel, gate_bias in _products(formulas, inner):
                if input_beside(formulas, gate_input, hidden) == entered:
                    weights = (gate_kernel, gate_bias, kernel, bias)
                    return entered, weights, True, (gate[1], part[1], 2)
    return None


def _apart_gru(
    formulas: Formulas, update: Ref, candidate: Ref, hidden: Ref
) -> tuple[Ref, tuple[Ref, ...], bool, tuple[int, ...]] | None:
    """Return the parts of Keras's GRU: x K + b and h R + d in three parts each, the reset gate on the last of the second."""
    last = formulas.node(candidate)
    if last.op != "Tanh":
        return None
    gate = _sums(formulas, update)
    for entering, gated in formulas.pairs(last.inputs[0], ADD):
        first = _part(formulas, entering, 3)
        for reset, kept in formulas.pairs(gated, ("Mul",)):
            second, other = _part(formulas, kept, 3), _sums(formulas, reset)
            if first is None or second is None or first[1] != 2 or second[1] != 2:
                continue
            both = {(first[0], 0), (second[0], 0)}
            ones = {(first[0], 1), (second[0], 1)}
            if gate != both or other != ones:
                continue
            found = _two_products(formulas, first[0], second[0], hidden)
            if found is not None:
                return (*found, False, (0, 1, 2))
    return None


def _sums(formulas: Formulas, ref: Ref) -> set[tuple[Ref, int]]:
    """Return the two parts of sigmoid(part + part)."""
    node = formulas.node(ref)
    if node.op != "Sigmoid":
        return set()
    for one, two in formulas.pairs(node.inputs[0], ADD):
        parts = _part(formulas, one, 3), _part(formulas, two, 3)
        return {part for part in parts if part is not None}
    return set()


def _two_products(
    formulas: Formulas, entering: Ref, recurrent: Ref, hidden: Ref
) -> tuple[Ref, tuple[Ref, ...]] | None:
    """Return the input, both kernels and the variable whose rows are both biases."""
    for x, kernel, bias in _products(formulas, entering):
        for old, recurrent_kernel, second in _products(formulas, recurrent):
            if not formulas.same(old, hidden):
                continue
            rows = _row(formulas, bias), _row(formulas, second)
            if rows[0] is not None and rows[1] == (rows[0][0], 1) and rows[0][1] == 0:
                return formulas.behind(x), (kernel, recurrent_kernel, rows[0][0])
            if rows == (None, None):  # the rows were taken apart before the loop
                return formulas.behind(x), (kernel, recurrent_kernel, bias, second)
    return None


def _row(formulas: Formulas, ref: Ref) -> tuple[Ref, int] | None:
    """Return the matrix and the number of the row that a vector is."""
    source = formulas.behind(ref)
    node = formulas.flat[source[0]]
    if node.op == "Squeeze":
        source = formulas.behind(node.inputs[0])
        node = formulas.flat[source[0]]
        return (formulas.behind(node.inputs[1]), source[1]) if node.op == "Split" else None
    return (formulas.behind(node.inputs[0]), source[1]) if node.op == "Unpack" else None
