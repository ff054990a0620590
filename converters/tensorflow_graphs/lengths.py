"""Loops over sequences of different lengths: `tf.nn.dynamic_rnn(..., sequence_length=n)` of TensorFlow 1.

The loop ends with the longest sequence; in every turn a row that has ended keeps its state and gives zeros. So as many turns
as there is room for give the same (tensorflow 1.15, python/ops/rnn.py, _rnn_step and _dynamic_rnn_loop). Where the lengths
are the size of the time axis itself, no row ends before the others, and the choice goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from converters.tensorflow_graphs.flatten import FlatNode
from converters.tensorflow_graphs.frames import LoopParts
from converters.tensorflow_graphs.rules import Translation
from converters.tensorflow_graphs.simplify import Formulas
from converters.tensorflow_graphs.values import Filled, Known, Ref, Sizes, Value

_SELECTS = ("Select", "SelectV2")
_WRITES = ("TensorArrayWriteV3", "TensorListSetItem")


def settle_lengths(
    node: FlatNode,
    parts: LoopParts,
    outside: Mapping[Ref, Value],
    translation: Translation,
) -> tuple[LoopParts, dict[Ref, Value]]:
    """Return a loop over sequences with as many turns as there is room for; another loop as it is."""
    unchanged = parts, dict(outside)
    formulas = Formulas(parts.body)
    guards = _guards(formulas, parts)
    lengths = {length for _, length in guards.values()}
    if len(lengths) != 1:
        return unchanged
    [length] = lengths
    places = dict(zip(parts.outside, node.inputs[len(parts.variables) :], strict=True))
    bounds = [ref for ref in parts.outside if _is_bound(places, ref, length, translation)]
    if len(bounds) != 1:
        return unchanged
    [bound] = bounds
    if _all_alike(outside[bound], outside[length]):
        body = dict(parts.body)
        for name in guards:
            body[name] = replace(body[name], op="Identity", inputs=body[name].inputs[2:3])
        return replace(parts, body=body), dict(outside)
    room = _room(places[bound], translation)
    if room is None or not _only_guarded(formulas, parts, guards, outside):
        return unchanged
    return parts, {**outside, bound: room}


def without_lengths(
    node: FlatNode,
    parts: LoopParts,
    outside: Mapping[Ref, Value],
    translation: Translation,
) -> tuple[LoopParts, Value] | None:
    """Return the same loop over sequences that all run to the end, and how long each is; None for another loop."""
    formulas = Formulas(parts.body)
    guards = _guards(formulas, parts)
    lengths = {length for _, length in guards.values()}
    if len(lengths) != 1 or not _only_guarded(formulas, parts, guards, outside):
        return None
    [length] = lengths
    places = dict(zip(parts.outside, node.inputs[len(parts.variables) :], strict=True))
    if not any(_is_bound(places, ref, length, translation) for ref in parts.outside):
        return None
    body = dict(parts.body)
    for name in guards:
        body[name] = replace(body[name], op="Identity", inputs=body[name].inputs[2:3])
    return replace(parts, body=body), outside[length]


def _guards(formulas: Formulas, parts: LoopParts) -> dict[str, tuple[Ref, Ref]]:
    """Return the choices between old and new by `time >= length`: counter and lengths by name of the node."""
    found = {}
    for name, node in parts.body.items():
        condition = formulas.node(node.inputs[0]) if node.op in _SELECTS else None
        if condition is None or condition.op != "GreaterEqual":
            continue
        counter, length = (formulas.behind(ref) for ref in condition.inputs)
        if counter[0] in parts.variables and length in parts.outside:
            found[name] = (counter, length)
    return found


def _is_bound(places: Mapping[Ref, Ref], ref: Ref, length: Ref, translation: Translation) -> bool:
    """Tell whether a value from outside is min(room, max(1, longest length))."""
    outer = Formulas(translation.nodes)
    if outer.node(places[ref]).op != "Minimum":
        return False
    for _, longest in outer.pairs(places[ref], ("Minimum",)):
        for least, most in outer.pairs(longest, ("Maximum",)):
            node = outer.node(most)
            one = outer.number(least)
            if node.op == "Max" and one == 1 and outer.same(node.inputs[0], places[length]):
                return True
    return False


def _all_alike(bound: Value, length: Value) -> bool:
    """Tell whether all lengths are one size, and that is the number of turns."""
    if not isinstance(bound, Sizes) or not isinstance(length, Sizes) or not length.origins:
        return False
    return bound.origins[:1] != (None,) and set(length.origins) == set(bound.origins[:1])


def _room(bound: Ref, translation: Translation) -> Known | None:
    """Return the fixed number of turns that there is room for."""
    outer = Formulas(translation.nodes)
    for room, _ in outer.pairs(bound, ("Minimum",)):
        value = translation.values.get(outer.behind(room))
        if isinstance(value, Known) and value.array.size == 1:
            return value
    return None


def _only_guarded(
    formulas: Formulas,
    parts: LoopParts,
    guards: Mapping[str, tuple[Ref, Ref]],
    outside: Mapping[Ref, Value],
) -> bool:
    """Tell whether turns behind the longest sequence change nothing but counters, and write zeros."""
    for place, result in enumerate(parts.results):
        own = (parts.variables[place], 0)
        node = formulas.node(result)
        if formulas.behind(result) == own or _counts(formulas, result, own):
            continue
        if node.op in _WRITES:
            if not _writes_zeros(formulas, node, guards, outside):
                return False
        elif node.name not in guards or not formulas.same(node.inputs[1], own):
            return False
    return True


def _counts(formulas: Formulas, ref: Ref, own: Ref) -> bool:
    pairs = formulas.pairs(ref, ("Add", "AddV2"))
    return any(formulas.same(one, own) and formulas.number(two) == 1 for one, two in pairs)


def _writes_zeros(
    formulas: Formulas,
    node: FlatNode,
    guards: Mapping[str, tuple[Ref, Ref]],
    outside: Mapping[Ref, Value],
) -> bool:
    item: Sequence[Ref] = node.inputs[2:3]
    written = formulas.node(item[0])
    if written.name not in guards:
        return False
    value = outside.get(formulas.behind(written.inputs[1]))
    constant = formulas.constant(written.inputs[1])
    if isinstance(value, Known):
        constant = value.array
    zeros = isinstance(value, Filled) and value.value == 0
    return zeros or (constant is not None and not np.any(constant))
