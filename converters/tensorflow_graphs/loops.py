"""Loops over time: recognised recurrent cells become a layer, others are written out turn by turn if their number is fixed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from converters.errors import UnsupportedError
from converters.readers.tensorflow.graph_def import MAX_NODES
from converters.tensorflow_graphs.flatten import INPUT, FlatNode, flatten_function
from converters.tensorflow_graphs.frames import LOOP, LoopParts
from converters.tensorflow_graphs.lengths import settle_lengths, without_lengths
from converters.tensorflow_graphs.ordering import consumers, in_order
from converters.tensorflow_graphs.recurrent_layers import recurrent_layers
from converters.tensorflow_graphs.rules import (
    Translation,
    graph_rule,
    refused_node,
    shape_of,
    whole_number,
)
from converters.tensorflow_graphs.simplify import pruned, without_copies
from converters.tensorflow_graphs.single_nodes import translate_node, value_of
from converters.tensorflow_graphs.sizes import sizes_of_value, sizes_value
from converters.tensorflow_graphs.values import Elements, Known, Ref, Sizes, Value

MAX_TURNS = 1024
"""Turns of a loop that are written out; longer ones are refused unless their cell is recognised."""
MAX_WRITTEN_OPERATIONS = 10_000
"""Of all turns of a loop that is written out: as many lines of source, and some ten seconds."""
MAX_COUNTED_TURNS = 10_000
"""Turns that are counted for a message."""
MAX_FOLLOWED_NODES = 200_000
"""Nodes in all turns of all loops: those of loops in loops multiply, and a file may nest them as deep as it likes."""


@graph_rule("While", "StatelessWhile")
def while_loop(
    node: FlatNode, inputs: Sequence[Value], translation: Translation
) -> Sequence[Value]:
    """Return the variables of a loop of TensorFlow 2 after it."""
    names = [node.attributes.function(key) for key in ("cond", "body")]
    condition, arguments, goes_on = flatten_function(translation.graph, names[0] or "")
    body, given, results = flatten_function(translation.graph, names[1] or "")
    condition, goes_on = without_copies(condition, goes_on)
    body, results = without_copies(body, results)
    variables = [f"variable_{place}" for place in range(len(arguments))]
    parts = LoopParts(
        _renamed(condition, arguments, variables),
        _moved(goes_on, arguments, variables)[0],
        _renamed(body, given, variables),
        tuple(_moved(results, given, variables)),
        tuple(variables),
        (),
    )
    return run_loop(node, parts, inputs, translation)


@graph_rule(LOOP)
def loop_of_frames(
    node: FlatNode, inputs: Sequence[Value], translation: Translation
) -> Sequence[Value]:
    """Return the variables of a loop of TensorFlow 1 after it."""
    parts = node.settings.get("parts")
    if not isinstance(parts, LoopParts):
        raise refused_node(node, "no loop")
    return run_loop(node, parts, inputs, translation)


def _renamed(
    flat: dict[str, FlatNode], arguments: Sequence[Ref], names: Sequence[str]
) -> dict[str, FlatNode]:
    table = {ref[0]: name for ref, name in zip(arguments, names, strict=False)}
    result = {}
    for node in flat.values():
        inputs = tuple((table.get(name, name), index) for name, index in node.inputs)
        result[table.get(node.name, node.name)] = replace(
            node, name=table.get(node.name, node.name), inputs=inputs
        )
    return result


def _moved(refs: Sequence[Ref], arguments: Sequence[Ref], names: Sequence[str]) -> list[Ref]:
    table = {ref[0]: name for ref, name in zip(arguments, names, strict=False)}
    return [(table.get(name, name), index) for name, index in refs]


def run_loop(
    node: FlatNode, parts: LoopParts, inputs: Sequence[Value], translation: Translation
) -> Sequence[Value]:
    """Return the variables after a loop.

    Raises:
        UnsupportedError: The cell is not recognised, and the number of turns is not fixed or too large.
    """
    count = len(parts.variables)
    starts = list(inputs[:count])
    outside = dict(zip(parts.outside, inputs[count:], strict=True))
    parts, outside = settle_lengths(node, parts, outside, translation)

    def inside(needed: Sequence[Ref]) -> list[Value]:
        bare = replace(parts, results=())
        return _evaluate(parts.body, needed, starts, bare, outside, translation)

    ending = without_lengths(node, parts, outside, translation)
    found = recurrent_layers(node, parts, starts, outside, translation, inside)
    if found is None and ending is not None:
        whole, lengths = ending
        found = recurrent_layers(node, whole, starts, outside, translation, inside, lengths=lengths)
    return found if found is not None else _written_out(node, parts, starts, outside, translation)


def _written_out(
    node: FlatNode,
    parts: LoopParts,
    values: list[Value],
    outside: dict[Ref, Value],
    translation: Translation,
) -> Sequence[Value]:
    starts = values
    operations = sum(each.op not in ("Const", INPUT) for each in parts.body.values())
    for _ in range(min(MAX_TURNS, MAX_WRITTEN_OPERATIONS // max(1, operations)) + 1):
        [goes_on] = _evaluate(parts.condition, [parts.goes_on], values, parts, outside, translation)
        if not isinstance(goes_on, Known):
            raise refused_node(
                node, "a loop whose number of turns is not fixed, around no cell that is known"
            )
        if not goes_on.array.all():
            return values
        values = _evaluate(parts.body, parts.results, values, parts, outside, translation)
        if len(translation.builder.calls) > MAX_NODES:
            break
    turns = f"more than {MAX_TURNS} turns"
    with suppress(UnsupportedError):
        turns = _turns(parts, starts, outside, translation)
    raise refused_node(
        node,
        f"a loop of {turns}, each of {operations} operations, around no cell that is known; "
        f"at most {MAX_TURNS:,} turns of {MAX_WRITTEN_OPERATIONS:,} operations together are written out",
    )


def _turns(
    parts: LoopParts,
    values: Sequence[Value],
    outside: dict[Ref, Value],
    translation: Translation,
) -> str:
    """Return how many turns a loop has, for messages: what its condition depends on is followed, nothing else."""
    for ref in parts.outside:
        bound = outside[ref]
        if ref[0] in parts.condition and isinstance(bound, Sizes) and None in bound.entries:
            return "as many turns as an input is long"
    places = {name: place for place, name in enumerate(parts.variables)}
    needed: list[int] = []
    waiting = [places[name] for name in pruned(parts.condition, [parts.goes_on]) if name in places]
    while waiting:
        place = waiting.pop()
        if place not in needed:
            needed.append(place)
            before = pruned(parts.body, [parts.results[place]])
            waiting += [places[name] for name in before if name in places]
    condition = pruned(parts.condition, [parts.goes_on])
    targets = [parts.results[place] for place in needed]
    body = pruned(parts.body, targets)
    current = list(values)
    for turn in range(MAX_COUNTED_TURNS):
        [goes_on] = _evaluate(condition, [parts.goes_on], current, parts, outside, translation)
        if not isinstance(goes_on, Known):
            break
        if not goes_on.array.all():
            return f"{turn:,} turns"
        for place, value in zip(
            needed, _evaluate(body, targets, current, parts, outside, translation), strict=True
        ):
            current[place] = value
    return f"more than {MAX_TURNS} turns"


def _evaluate(
    flat: dict[str, FlatNode],
    targets: Sequence[Ref],
    values: Sequence[Value],
    parts: LoopParts,
    outside: dict[Ref, Value],
    translation: Translation,
) -> list[Value]:
    """Return results of one part of a loop."""
    translation.builder.followed += len(flat)
    if translation.builder.followed > MAX_FOLLOWED_NODES:
        msg = f"its loops, and loops in loops, take more than {MAX_FOLLOWED_NODES:,} operations to follow"
        raise UnsupportedError(msg)
    seeds: dict[Ref, Value] = {
        (name, 0): value for name, value in zip(parts.variables, values, strict=True)
    }
    inner = replace(
        translation,
        values={**outside, **seeds},
        consumers=consumers(flat, targets),
        nodes=dict(flat),
        done=set(),
    )
    for each in in_order(flat):
        if (
            each.name not in inner.done
            and (each.name, 0) not in inner.values
            and each.op != "_Input"
        ):
            translate_node(each, inner)
    return [value_of(inner, ref) for ref in targets]


@graph_rule("Transpose")
def transpose(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return a tensor with its axes in another order; the order that it had before is not computed again."""
    x = translation.tensor(node, inputs[0])
    array = inputs[1].array if isinstance(inputs[1], Known) else None
    if array is None:
        raise refused_node(node, "an order of axes that is computed")
    order = tuple(int(axis) for axis in array)
    known = translation.builder.transposed.get(x.ref)
    if known is not None and tuple(known[1][axis] for axis in order) == tuple(range(len(order))):
        return known[0]
    result = translation.operation(node, "Transpose", {"x": x, "axes": order})[0]
    translation.builder.transposed[result.ref] = (x, order)
    return result


@graph_rule("TensorListFromTensor")
def list_from_tensor(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return the rows of a tensor as a list."""
    return Elements((), translation.tensor(node, inputs[0]))


@graph_rule("TensorListReserve", "EmptyTensorList")
def empty_list(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return a list of nothing yet."""
    count = inputs[1] if len(inputs) > 1 else None
    known = isinstance(count, Known) and 0 <= int(count.array) <= MAX_TURNS
    return Elements((None,) * (int(count.array) if known and isinstance(count, Known) else 0))


@graph_rule("TensorListGetItem")
def list_item(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return one entry of a list."""
    return _item(node, inputs[0], inputs[1], translation)


@graph_rule("TensorArrayReadV3")
def array_item(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return one entry of an array of TensorFlow 1."""
    return _item(node, inputs[2], inputs[1], translation)


def _item(node: FlatNode, value: Value, index: Value, translation: Translation) -> Value:
    place = whole_number(node, index, "the place in the list")
    if not isinstance(value, Elements):
        raise refused_node(node, "takes no list")
    if value.whole is not None:
        return translation.operation(node, "GetItem", {"x": value.whole, "key": (place,)})[0]
    found = value.items[place] if 0 <= place < len(value.items) else None
    if found is None:
        raise refused_node(node, f"entry {place} of a list was not written")
    return found


@graph_rule("TensorListSetItem")
def set_item(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return a list with one entry replaced."""
    return _written(node, inputs[0], inputs[1], inputs[2])


@graph_rule("TensorArrayWriteV3")
def write_item(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return an array of TensorFlow 1 with one entry written."""
    return _written(node, inputs[3], inputs[1], inputs[2])


def _written(node: FlatNode, value: Value, index: Value, item: Value) -> Value:
    place = whole_number(node, index, "the place in the list")
    if not isinstance(value, Elements) or value.whole is not None or not 0 <= place < 10_000:
        raise refused_node(node, "writes into no list of its own")
    items = [*value.items, *[None] * (place + 1 - len(value.items))]
    items[place] = item
    return Elements(tuple(items))


@graph_rule("TensorListStack", "TensorArrayGatherV3")
def stacked(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return a list as one tensor, its entries along the first axis."""
    value = inputs[2] if node.op == "TensorArrayGatherV3" else inputs[0]
    if not isinstance(value, Elements):
        raise refused_node(node, "takes no list")
    if value.whole is not None:
        return value.whole
    if not value.items or None in value.items:
        raise refused_node(node, "takes a list with entries that were not written")
    tensors = [translation.tensor(node, item) for item in value.items if item is not None]
    if len(tensors) == 1:
        [result] = translation.operation(node, "ExpandDims", {"x": tensors[0], "axis": 0})
        translation.builder.last_of[result.ref] = tensors[0]
        return result
    return translation.operation(node, "Stack", {"xs": tuple(tensors), "axis": 0})[0]


@graph_rule("TensorListLength", "TensorArraySizeV3")
def length(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return the number of entries of a list."""
    value = inputs[1] if node.op == "TensorArraySizeV3" else inputs[0]
    if not isinstance(value, Elements):
        raise refused_node(node, "takes no list")
    if value.whole is None:
        return Known(np.array(len(value.items), np.int32))
    origins = sizes_of_value(value.whole, translation.builder)
    return sizes_value(shape_of(node, value.whole)[:1], origins[:1], scalar=True)


@graph_rule("TensorArrayV3")
def new_array(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Sequence[Value]:
    """Return an array of TensorFlow 1: a handle that says nothing, and what it holds."""
    return [Known(np.array(0.0, np.float32)), Elements(())]


@graph_rule("TensorArrayScatterV3")
def scatter(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return the rows of a tensor as an array."""
    return Elements((), translation.tensor(node, inputs[2]))


@graph_rule("ReadVariableOp", "Identity", "Enter")
def copy(node: FlatNode, inputs: Sequence[Value], translation: Translation) -> Value:
    """Return what the node takes: in bodies of loops copies are still there."""
    return inputs[0]
