"""Recurrent cells that are one operation of TensorFlow (`tf.contrib.rnn.LSTMBlockCell`, `GRUBlockCell`), by their formulas.

Source: tensorflow 1.15, contrib/rnn/python/ops/lstm_ops.py and gru_ops.py; core/kernels/rnn.
"""

from __future__ import annotations

from collections.abc import Sequence

from converters.tensorflow_graphs.flatten import FlatNode
from converters.tensorflow_graphs.layer_rules import as_weights, dense_with_bias
from converters.tensorflow_graphs.rules import Translation, graph_rule, refused_node
from converters.tensorflow_graphs.values import Tensor, Value, Weights


def _call(node: FlatNode, translation: Translation, operation: str, **arguments: object) -> Tensor:
    return translation.operation(node, operation, arguments)[0]


def _weight(node: FlatNode, value: Value) -> Weights:
    found = as_weights(value)
    if found is None:
        raise refused_node(node, "its weights are computed")
    return found


@graph_rule("LSTMBlockCell")
def lstm_block(
    node: FlatNode, inputs: Sequence[Value], translation: Translation
) -> Sequence[Value]:
    """Return gates and states of i, ci, f, o = [x, h] W + b; c = f c + i ci; h = o tanh(c)."""
    x, old, hidden, kernel, *peepholes, bias = inputs
    joined = _call(node, translation, "Concatenate", xs=(x, hidden), axis=-1)
    gates = dense_with_bias(node, joined, _weight(node, kernel), _weight(node, bias), translation)
    parts = translation.operation(node, "Split", {"x": gates, "sizes": 4, "axis": -1})
    enter, candidate, forget, leave = parts
    added = float(node.attributes.number("forget_bias", 1.0))
    forget = _call(node, translation, "Add", x1=forget, x2=added)
    peeps = node.attributes.flag("use_peephole")
    if peeps:
        enter, forget = (
            _call(
                node,
                translation,
                "Add",
                x1=gate,
                x2=_call(node, translation, "Multiply", x1=old, x2=_weight(node, weight)),
            )
            for gate, weight in zip((enter, forget), peepholes, strict=False)
        )
    enter, forget = (_call(node, translation, "Sigmoid", x=gate) for gate in (enter, forget))
    candidate = _call(node, translation, "Tanh", x=candidate)
    kept = _call(node, translation, "Multiply", x1=forget, x2=old)
    new = _call(node, translation, "Multiply", x1=enter, x2=candidate)
    state = _call(node, translation, "Add", x1=kept, x2=new)
    clip = float(node.attributes.number("cell_clip", 3.0))
    if clip > 0:
        state = _call(node, translation, "Clip", x=state, x_min=-clip, x_max=clip)
    if peeps:
        part = _call(node, translation, "Multiply", x1=state, x2=_weight(node, peepholes[2]))
        leave = _call(node, translation, "Add", x1=leave, x2=part)
    leave = _call(node, translation, "Sigmoid", x=leave)
    shown = _call(node, translation, "Tanh", x=state)
    result = _call(node, translation, "Multiply", x1=leave, x2=shown)
    return [enter, state, forget, leave, candidate, shown, result]


@graph_rule("GRUBlockCell")
def gru_block(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Sequence[Value]:
    """Return gates and state of r, u = sigmoid([x, h] W + b); c = tanh([x, r h] V + d); h = u h + (1 - u) c."""
    x, hidden, gate_kernel, kernel, gate_bias, bias = inputs
    weights = [_weight(node, each) for each in (gate_kernel, gate_bias, kernel, bias)]
    joined = _call(node, translation, "Concatenate", xs=(x, hidden), axis=-1)
    gates = dense_with_bias(node, joined, weights[0], weights[1], translation)
    gates = _call(node, translation, "Sigmoid", x=gates)
    reset, update = translation.operation(node, "Split", {"x": gates, "sizes": 2, "axis": -1})
    reset_state = _call(node, translation, "Multiply", x1=reset, x2=hidden)
    joined = _call(node, translation, "Concatenate", xs=(x, reset_state), axis=-1)
    candidate = dense_with_bias(node, joined, weights[2], weights[3], translation)
    candidate = _call(node, translation, "Tanh", x=candidate)
    kept = _call(node, translation, "Multiply", x1=update, x2=hidden)
    rest = _call(node, translation, "Subtract", x1=1, x2=update)
    new = _call(node, translation, "Multiply", x1=rest, x2=candidate)
    return [reset, update, candidate, _call(node, translation, "Add", x1=kept, x2=new)]
