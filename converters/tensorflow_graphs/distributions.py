"""What the random outputs of a signature are drawn from.

A policy that `simple_save` stored (Spinning Up's) names as its output the action that it draws, and so does one that
TF-Agents' PolicySaver stored without making it greedy. What a user wants of it is the distribution: `logits` of a
multinomial draw, `mean` and `std` of normal noise that is scaled and added; and the action that the mean becomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from converters.readers.tensorflow.graph_def import GraphFile, Node
from converters.tensorflow_graphs.choose import Choice
from converters.tensorflow_graphs.flatten import FlatGraph, FlatNode, parse_ref
from converters.tensorflow_graphs.values import Ref

_CATEGORIES = ("Multinomial", "StatelessMultinomial")
_NOISE = ("RandomStandardNormal", "StatelessRandomNormal", "StatelessRandomNormalV2")
_SUMS = ("Add", "AddV2")
_SHAPES = ("Identity", "Squeeze", "ExpandDims", "Reshape", "Transpose", "StopGradient")
_FUNCTIONS = ("Cast", "Tanh", "Mul", "Minimum", "Maximum", *_SUMS)
"""Between a draw and the output: what brings it to its shape, and to the range of actions."""
_MAX_STEPS = 40
"""Between a draw and the output; TensorFlow Probability's reshapes on the way are a dozen."""
Nodes = Mapping[str, Node] | FlatGraph


@dataclass(frozen=True, slots=True)
class Drawn:
    """A draw that an output is made of.

    Attributes:
        parts: `logits`, or `mean` and `std`.
        path: names of the functions between the draw and the output, from the output on, each with what it takes of it.
    """

    parts: Mapping[str, Ref]
    path: Sequence[tuple[str, Ref]]


def with_distributions(graph: GraphFile, choice: Choice) -> tuple[Choice, tuple[str, ...]]:
    """Return the choice with distributions in the place of outputs that draw from them, and a note for each of these."""
    outputs: dict[str, Ref] = {}
    notes = []
    for name, ref in zip(choice.names, choice.outputs, strict=True):
        given = _named(distribution_of(graph, ref), name, choice.names)
        if not given or not outputs.keys().isdisjoint(given):
            outputs[name] = ref
            continue
        outputs.update(given)
        notes.append(_note(name, given))
    return replace(choice, outputs=tuple(outputs.values()), names=tuple(outputs)), tuple(notes)


def without_draws(
    flat: FlatGraph, targets: Sequence[Ref], choice: Choice
) -> tuple[FlatGraph, list[Ref], Choice, tuple[str, ...]]:
    """Return a flat graph with distributions in the place of outputs that draw from them, and with what the mean becomes.

    The functions between a draw and its output are there again, on the mean: `deterministic_<output>`.

    Args:
        flat: with calls replaced by what they call.
        targets: where the outputs of the choice are in it.
        choice: only outputs that nobody asked for by name are replaced.

    Returns:
        Graph, outputs in it, the choice with their names, and a note for each output that was replaced.
    """
    if not choice.optional or not choice.names:
        return flat, list(targets), choice, ()
    further: FlatGraph = {}
    outputs: dict[str, Ref] = {}
    notes = []
    for name, ref in zip(choice.names, targets, strict=True):
        drawn = _drawn(flat, ref)
        given = {} if drawn is None else _named(drawn.parts, name, choice.names)
        if drawn is None or not outputs.keys().isdisjoint(given):
            outputs[name] = ref
            continue
        if "mean" in drawn.parts:
            given[f"deterministic_{name}"] = _again(flat, further, drawn)
        outputs.update(given)
        notes.append(_note(name, given))
    whole = {**flat, **further}
    return whole, list(outputs.values()), replace(choice, names=tuple(outputs)), tuple(notes)


def distribution_of(graph: GraphFile, output: Ref) -> Mapping[str, Ref]:
    """Return `logits`, or `mean` and `std`, that an output is drawn from; nothing if it is no draw that is known."""
    found = _drawn(graph.nodes, output)
    return {} if found is None else found.parts


def _named(parts: Mapping[str, Ref], name: str, taken: Sequence[str]) -> dict[str, Ref]:
    return {key if key not in taken else f"{name}_{key}": ref for key, ref in parts.items()}


def _note(name: str, given: Mapping[str, Ref]) -> str:
    return f"output '{name}' is drawn at random; it is given as {' and '.join(given)}"


def _again(flat: FlatGraph, further: FlatGraph, drawn: Drawn) -> Ref:
    """Add the functions of a path on the mean; return the last one."""
    value = drawn.parts["mean"]
    for name, taken in reversed(drawn.path):
        node = flat[name]
        inputs = tuple(value if ref == taken else ref for ref in node.inputs)
        again = replace(node, name=f"{name}/of_mean", inputs=inputs)
        further[again.name] = again
        value = again.name, 0
    return value


def _drawn(nodes: Nodes, output: Ref) -> Drawn | None:
    """Return the draw that an output is made of; None if it is none that is known."""
    ref = output
    path: list[tuple[str, Ref]] = []
    for _ in range(_MAX_STEPS):
        node = nodes.get(ref[0])
        refs = _refs(node)
        if node is None or not refs:
            return None
        if node.op in _CATEGORIES:
            return Drawn({"logits": refs[0]}, path)
        parts = _normal(nodes, node) if node.op in _SUMS else {}
        if parts:
            return Drawn(parts, path)
        if node.op in _SHAPES:
            ref = refs[0]
            continue
        computed = [each for each in refs if not _is_constant(nodes, each)]
        if node.op not in _FUNCTIONS or len(computed) != 1:
            return None
        path.append((node.name, computed[0]))
        ref = computed[0]
    return None


def _normal(nodes: Nodes, node: Node | FlatNode) -> dict[str, Ref]:
    """Return mean and deviation of `mean + noise * std`, in any order."""
    for mean, scaled in _both_ways(node):
        product = nodes.get(scaled[0])
        if product is None or product.op != "Mul":
            continue
        for noise, deviation in _both_ways(product):
            if _is_noise(nodes, noise):
                return {"mean": mean, "std": deviation}
    return {}


def _is_noise(nodes: Nodes, ref: Ref) -> bool:
    """Tell whether numbers are drawn with mean 0 and deviation 1: multiplied by 1 and moved by 0 at most, and arranged."""
    for _ in range(_MAX_STEPS):
        node = nodes.get(ref[0])
        if node is None or node.op in _NOISE:
            return node is not None
        if node.op in _SHAPES:
            ref = _refs(node)[0]
            continue
        neutral = {"Mul": 1.0}.get(node.op, 0.0)
        kept = [
            one
            for one, other in (_both_ways(node) if node.op in ("Mul", *_SUMS) else [])
            if _is_filled_with(nodes, other, neutral)
        ]
        if not kept:
            return False
        ref = kept[0]
    return False


def _refs(node: Node | FlatNode | None) -> list[Ref]:
    """Return what a node takes."""
    if node is None or isinstance(node, FlatNode):
        return [] if node is None else list(node.inputs)
    return [parse_ref(text) for text in node.inputs if not text.startswith("^")]


def _both_ways(node: Node | FlatNode) -> list[tuple[Ref, Ref]]:
    refs = _refs(node)
    return [(refs[0], refs[1]), (refs[1], refs[0])] if len(refs) == 2 else []


def _is_constant(nodes: Nodes, ref: Ref) -> bool:
    node = nodes.get(ref[0])
    return node is None or node.op == "Const"


def _is_filled_with(nodes: Nodes, ref: Ref, value: float) -> bool:
    """Tell whether a tensor has one number only: a constant, or a `Fill`."""
    node = nodes.get(ref[0])
    if node is not None and node.op == "Fill":
        node = nodes.get(_refs(node)[1][0])
    if node is None or node.op != "Const":
        return False
    found = node.attributes.tensor("value")
    return isinstance(found, np.ndarray) and found.size > 0 and bool((found == value).all())
