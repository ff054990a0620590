"""The table of rules: operation of TensorFlow to what it becomes, and what a rule may use.

A rule takes a node with the values of its inputs, adds layers or operations, and returns the node's results. Most
operations need none: the table of `converters.layers.operators.tensorflow_nodes` says which operation of Keras 3
computes the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from converters.errors import UnsupportedError
from converters.readers.tensorflow.graph_def import GraphFile
from converters.registry import Shape
from converters.tensorflow_graphs.builder import GraphBuilder
from converters.tensorflow_graphs.flatten import FlatNode
from converters.tensorflow_graphs.values import Filled, Known, Ref, Sizes, Tensor, Value, Weights


@dataclass(slots=True)
class Translation:
    """What rules work on.

    Attributes:
        builder: takes layers and operations.
        graph: the file's, for functions.
        values: results of the nodes so far.
        consumers: for every result, the nodes that take it; results of the network have one more, "".
        variables: what a variable's node stands for.
        done: nodes whose result another rule has made already.
        biased: nodes that add a bias which a layer before them has added already, to the node they take.
        names: results of the network, to what they are called.
        notes: what a user should know.
        momenta: what an update keeps of running statistics, by their names in the file.
    """

    builder: GraphBuilder
    graph: GraphFile
    values: dict[Ref, Value]
    consumers: dict[Ref, list[str]]
    variables: Callable[[FlatNode], Weights]
    nodes: dict[str, FlatNode]
    done: set[str] = field(default_factory=set)
    biased: dict[str, str] = field(default_factory=dict)
    names: dict[Ref, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    momenta: Mapping[str, float] = field(default_factory=dict)

    def operation(
        self, node: FlatNode, operation: str, arguments: dict[str, object], *, dtype: str = ""
    ) -> list[Tensor]:
        """Add an operation of Keras 3 that is named after the node."""
        return self.builder.operation(self.name(node), operation, arguments, dtype=dtype)

    def cast(self, node: FlatNode, value: Value, dtype: str) -> Tensor:
        """Return a value in another type; whole numbers are cut towards zero."""
        return self.operation(node, "Cast", {"x": value, "dtype": dtype}, dtype=dtype)[0]

    def tensor(self, node: FlatNode, value: Value) -> Tensor:
        """Return a value as something the network computes."""
        return self.builder.tensor(value, node.name)

    def name(self, node: FlatNode) -> str:
        """Return what the result of a node is called: as the user does, or by the last part of the node's name."""
        return self.names.get((node.name, 0)) or node.name.rpartition("/")[2]

    def only_consumer(self, node: FlatNode) -> FlatNode | None:
        """Return the one node that takes the first result of a node and nothing else does; else None."""
        found = self.consumers.get((node.name, 0), [])
        return self.nodes[found[0]] if len(found) == 1 and found[0] else None


class GraphRule(Protocol):
    """Signature of a rule."""

    def __call__(
        self, node: FlatNode, inputs: Sequence[Value], translation: Translation, /
    ) -> Value | Sequence[Value]:
        """Return the results of the node. Raises UnsupportedError for settings without counterpart."""
        ...


GRAPH_RULES: dict[str, GraphRule] = {}
"""Every rule by operation; filled by importing the modules with rules."""


def graph_rule(*ops: str) -> Callable[[GraphRule], GraphRule]:
    """Register the decorated function for these operations. Raises ValueError if one has a rule already."""

    def register(rule: GraphRule) -> GraphRule:
        for op in ops:
            if op in GRAPH_RULES:
                msg = f"operation '{op}' has a rule already"
                raise ValueError(msg)
            GRAPH_RULES[op] = rule
        return rule

    return register


def refused_node(node: FlatNode, what: str) -> UnsupportedError:
    """Return the error for a node that has no counterpart, and why."""
    msg = f"node {node.name[:200]!r} ({node.op}): {what}"
    return UnsupportedError(msg)


def known(node: FlatNode, value: Value, what: str) -> Known:
    """Return a value that must be a constant. Raises UnsupportedError."""
    if isinstance(value, Known):
        return value
    raise refused_node(node, f"{what} is computed; a constant is needed")


def whole_number(node: FlatNode, value: Value, what: str) -> int:
    """Return one whole number. Raises UnsupportedError for anything else."""
    array = known(node, value, what).array
    if array.size != 1 or array.dtype.kind not in "iu":
        raise refused_node(node, f"{what} is {array.tolist()!r:.40}; one whole number is needed")
    return int(array.item())


def whole_numbers(node: FlatNode, value: Value, what: str) -> tuple[int, ...]:
    """Return a list of whole numbers. Raises UnsupportedError for anything else."""
    array = known(node, value, what).array
    if array.ndim > 1 or array.dtype.kind not in "iu":
        raise refused_node(node, f"{what} is {array.tolist()!r:.40}; whole numbers are needed")
    return tuple(int(each) for each in np.ravel(array))


def sizes_of(node: FlatNode, value: Value, what: str) -> tuple[int | None, ...]:
    """Return sizes, None where they are open. Raises UnsupportedError for anything else."""
    if isinstance(value, Sizes):
        return value.entries
    return whole_numbers(node, value, what)


def rank_of(node: FlatNode, value: Value) -> int:
    """Return the number of axes."""
    return len(shape_of(node, value))


def shape_of(node: FlatNode, value: Value) -> Shape:
    """Return a shape. Raises UnsupportedError where a list stands for a tensor."""
    if isinstance(value, (Tensor, Known, Weights, Sizes)) or (
        isinstance(value, Filled) and value.shape is not None
    ):
        return value.shape
    raise refused_node(node, "takes something that is no tensor of known rank")
