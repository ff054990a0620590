"""What the random outputs of a signature are drawn from.

A policy that `simple_save` stored (Spinning Up's) names as its output the action that it draws. What a user wants of it is
the distribution: `logits` of a multinomial draw, `mean` and `std` of normal noise that is scaled and added.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from converters.readers.tensorflow.graph_def import GraphFile, Node
from converters.tensorflow_graphs.choose import Choice
from converters.tensorflow_graphs.flatten import parse_ref
from converters.tensorflow_graphs.values import Ref

_CATEGORIES = ("Multinomial", "StatelessMultinomial")
_NOISE = ("RandomStandardNormal", "StatelessRandomNormal", "StatelessRandomNormalV2")
_SUMS = ("Add", "AddV2")
_PASSING = (
    *("Identity", "Squeeze", "ExpandDims", "Reshape", "Cast", "StopGradient"),
    *("Tanh", "Mul", "Minimum", "Maximum"),
)
"""Between a draw and the output: what brings it to its shape and to the range of actions."""
_MAX_STEPS = 20
"""Between a draw and the output; those of real policies have five."""


def with_distributions(graph: GraphFile, choice: Choice) -> tuple[Choice, tuple[str, ...]]:
    """Return the choice with distributions in the place of outputs that draw from them, and a note for each of these."""
    outputs: dict[str, Ref] = {}
    notes = []
    for name, ref in zip(choice.names, choice.outputs, strict=True):
        found = distribution_of(graph, ref)
        given = {key if key not in choice.names else f"{name}_{key}": found[key] for key in found}
        if not given or not outputs.keys().isdisjoint(given):
            outputs[name] = ref
            continue
        outputs.update(given)
        notes.append(f"output '{name}' is drawn at random; it is given as {' and '.join(given)}")
    return replace(choice, outputs=tuple(outputs.values()), names=tuple(outputs)), tuple(notes)


def distribution_of(graph: GraphFile, output: Ref) -> dict[str, Ref]:
    """Return `logits`, or `mean` and `std`, that an output is drawn from; nothing if it is no draw that is known."""
    node = graph.nodes.get(output[0])
    for _ in range(_MAX_STEPS):
        if node is None or not node.inputs:
            return {}
        if node.op in _CATEGORIES:
            return {"logits": parse_ref(node.inputs[0])}
        if node.op in _SUMS:
            return _normal(graph, node)
        if node.op not in _PASSING:
            return {}
        computed = [each for each in _inputs(graph, node) if each.op != "Const"]
        node = computed[0] if len(computed) == 1 else None
    return {}


def _normal(graph: GraphFile, node: Node) -> dict[str, Ref]:
    """Return mean and deviation of `mean + noise * std`, in any order."""
    for mean, scaled in _both_ways(node):
        product = graph.nodes.get(parse_ref(scaled)[0])
        if product is None or product.op != "Mul":
            continue
        for noise, deviation in _both_ways(product):
            if _is_noise(graph, noise):
                return {"mean": parse_ref(mean), "std": parse_ref(deviation)}
    return {}


def _both_ways(node: Node) -> list[tuple[str, str]]:
    texts = [text for text in node.inputs if not text.startswith("^")]
    return [(texts[0], texts[1]), (texts[1], texts[0])] if len(texts) == 2 else []


def _is_noise(graph: GraphFile, text: str) -> bool:
    """Tell whether numbers are drawn with mean 0 and deviation 1: tf.random_normal multiplies by 1 and adds 0."""
    node = graph.nodes.get(parse_ref(text)[0])
    for neutral, operations in ((0.0, _SUMS), (1.0, ("Mul",))):
        if node is not None and node.op in operations:
            node = next(
                (
                    graph.nodes.get(parse_ref(kept)[0])
                    for kept, number in _both_ways(node)
                    if _is_number(graph, number, neutral)
                ),
                None,
            )
    return node is not None and node.op in _NOISE


def _is_number(graph: GraphFile, text: str, value: float) -> bool:
    node = graph.nodes.get(parse_ref(text)[0])
    if node is None or node.op != "Const":
        return False
    found = node.attributes.tensor("value")
    return isinstance(found, np.ndarray) and found.size == 1 and float(found.ravel()[0]) == value


def _inputs(graph: GraphFile, node: Node) -> list[Node]:
    names = [parse_ref(text)[0] for text in node.inputs if not text.startswith("^")]
    return [graph.nodes[name] for name in names if name in graph.nodes]
