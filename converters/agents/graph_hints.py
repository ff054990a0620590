"""What the graph beside a checkpoint says of a policy: activations, strides, what it takes and what it chooses.

Only names, operations, attributes and constants of nodes are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from converters.agents.facts import OWN, GraphHints
from converters.readers.tensorflow.graph_def import GraphFile, Node
from converters.tensorflow_graphs.updates import trained_names

ACTIVATIONS: Mapping[str, str] = {
    "Relu": "relu",
    "Tanh": "tanh",
    "Elu": "elu",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "LeakyRelu": "leaky_relu",
    "Relu6": "relu6",
    "Softplus": "softplus",
    "Softsign": "softsign",
}
"""Operation to the function that makes it."""
_ARITHMETIC = ("Mul", "Add", "AddV2", "Sub", "RealDiv", "Maximum", "Minimum", "Pow")
_LEAKY_SLOPE = 0.2
"""Default of tf.nn.leaky_relu, the only slope that its name stands for."""
_NORM = re.compile(r"/batchnorm$")
_GRADIENTS = re.compile(r"(?:^|/)gradients(?:_\d+)?/")
_SUMS, _LAST = ("Add", "AddV2", "BiasAdd"), ("add", "add_1", "BiasAdd")
"""What a layer of weights or normalization ends with: operation, and the last part of its name."""


def read_hints(graph: GraphFile) -> GraphHints:
    """Return what the nodes of a graph say."""
    convolutions: dict[str, tuple[int, str]] = {}
    placeholders: dict[str, tuple[tuple[int | None, ...], str]] = {}
    one_hots: dict[str, list[int]] = {}
    splits: dict[str, tuple[int, ...]] = {}
    choices: dict[str, set[str]] = {}
    for name, node in graph.nodes.items():
        scope = name.rpartition("/")[0]
        if node.op == "Conv2D":
            strides = node.attributes.integers("strides")
            if len(strides) == 4 and strides[1] == strides[2]:
                convolutions[scope] = strides[1], node.attributes.text("padding")
        elif node.op == "Placeholder":
            shape = node.attributes.shape("shape")
            if shape is not None:
                placeholders[name] = shape, node.attributes.dtype("dtype")
        elif node.op == "OneHot":
            depth = _constant(graph, node, 1)
            one_hots.setdefault(scope, []).append(-1 if depth is None else int(depth.flat[0]))
        elif node.op == "SplitV":
            sizes = _constant(graph, node, 1)
            if sizes is not None:
                splits.setdefault(scope, tuple(int(size) for size in sizes.flat))
        elif node.op in ("ArgMax", "Round"):
            choices.setdefault(scope, set()).add(node.op)
    return GraphHints(
        _activations(graph),
        convolutions,
        placeholders,
        {scope: tuple(sizes) for scope, sizes in one_hots.items()},
        _scalings(graph),
        splits,
        {scope: frozenset(found) for scope, found in choices.items()},
        _clips(graph),
        trained_names(graph),
    )


def _activations(graph: GraphFile) -> dict[str, str]:
    """Return the function behind every layer: what is made of the sum that a layer ends with."""
    takers = _takers(graph)
    found: dict[str, str] = {}
    for name, node in graph.nodes.items():
        scope, _, last = name.rpartition("/")
        if node.op in _SUMS and last in _LAST and scope:
            function = _function(takers, name, _NORM.sub("", scope).rpartition("/")[0])
            if function:
                found[_NORM.sub("", scope)] = function
    return found


def _function(takers: Mapping[str, Sequence[Node]], sum_name: str, around: str) -> str:
    """Return the function of a layer's sum; "" where the layer goes on below its own scope, as normalization does."""
    taking = [node for node in takers.get(sum_name, ()) if node.name.rpartition("/")[0] == around]
    for node in taking:
        if node.op in ACTIVATIONS:
            further = [
                each
                for each in takers.get(node.name, ())
                if each.op in _ARITHMETIC and each.name.rpartition("/")[0] == around
            ]
            if node.op == "Sigmoid" and any(
                _multiplies(each, node.name, sum_name) for each in further
            ):
                return "swish"
            if further or (node.op == "LeakyRelu" and not _has_default_slope(node)):
                return OWN
            return ACTIVATIONS[node.op]
    if any(node.op == "MatMul" for node in _behind_copies(takers, sum_name)):
        return "identity"
    return OWN if taking else ""


def _behind_copies(takers: Mapping[str, Sequence[Node]], name: str) -> list[Node]:
    """Return what takes a value, or a copy of it."""
    found: list[Node] = []
    for node in takers.get(name, ()):
        found += takers.get(node.name, ()) if node.op == "Identity" else [node]
    return found


def _takers(graph: GraphFile) -> dict[str, list[Node]]:
    """Return the nodes that take the result of a node, by the node's name; those of gradients are left out."""
    found: dict[str, list[Node]] = {}
    for node in graph.nodes.values():
        if not _GRADIENTS.search(node.name):
            for given in node.inputs:
                found.setdefault(given.partition(":")[0], []).append(node)
    return found


def _multiplies(node: Node, one: str, other: str) -> bool:
    taken = {given.partition(":")[0] for given in node.inputs}
    return node.op == "Mul" and taken == {one, other}


def _has_default_slope(node: Node) -> bool:
    return bool(np.float32(node.attributes.number("alpha")) == np.float32(_LEAKY_SLOPE))


def _scalings(graph: GraphFile) -> dict[str, tuple[NDArray[np.generic], NDArray[np.generic]]]:
    """Return what is subtracted in a scope and what the difference is divided by, where both are constants."""
    found = {}
    for name, node in graph.nodes.items():
        if node.op != "RealDiv" or len(node.inputs) != 2:
            continue
        difference = graph.nodes.get(node.inputs[0].partition(":")[0])
        if difference is None or difference.op != "Sub":
            continue
        low, span = _constant(graph, difference, 1), _constant(graph, node, 1)
        if low is not None and span is not None:
            found[name.rpartition("/")[0]] = low, span
    return found


def _clips(graph: GraphFile) -> dict[str, tuple[float, float]]:
    """Return the bounds of every `tf.clip_by_value`: a Maximum of a Minimum, both with one number."""
    found = {}
    for name, node in graph.nodes.items():
        inner = graph.nodes.get(f"{name}/Minimum") if node.op == "Maximum" else None
        if inner is None or inner.op != "Minimum":
            continue
        low, high = _constant(graph, node, 1), _constant(graph, inner, 1)
        if low is not None and high is not None and low.size == high.size == 1:
            found[name] = float(low.flat[0]), float(high.flat[0])
    return found


def _constant(graph: GraphFile, node: Node, place: int) -> NDArray[np.generic] | None:
    """Return an input of a node if it is a constant of numbers."""
    given: Sequence[str] = node.inputs
    source = graph.nodes.get(given[place].partition(":")[0]) if place < len(given) else None
    if source is None or source.op != "Const":
        return None
    value = source.attributes.tensor("value")
    return value if isinstance(value, np.ndarray) and value.size else None
