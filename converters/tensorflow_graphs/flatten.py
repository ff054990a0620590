"""One graph without functions, made of a graph that calls them: only what the wanted tensors need, from the inputs on.

Calls are replaced by the nodes of the function, named after the call; branches of `If` become a choice between two
tensors. Bodies of loops stay functions, see `loops`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from converters.errors import UnreadableFileError
from converters.readers.tensorflow.attributes import Attributes
from converters.readers.tensorflow.graph_def import MAX_NODES, Function, GraphFile, Node
from converters.tensorflow_graphs.values import Ref

CALLS = ("PartitionedCall", "StatefulPartitionedCall", "RemoteCall")
IFS = ("If", "StatelessIf")
INPUT, CHOOSE = "_Input", "_Choose"
"""Operations that only flat graphs have: where the network begins; (condition, if true, if false)."""
_MAX_CALL_DEPTH = 64
_RESULTS = {
    **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), ("y", "batch_mean", "batch_variance", "reserve_space_1", "reserve_space_2", "reserve_space_3")),
    "TopKV2": ("values", "indices"),
    "TopK": ("values", "indices"),
    "Switch": ("output_false", "output_true"),
    "RefSwitch": ("output_false", "output_true"),
    "Merge": ("output", "value_index"),
    "TensorListPopBack": ("output_handle", "tensor"),
    "Unique": ("y", "idx"),
    "LSTMBlockCell": ("i", "cs", "f", "o", "ci", "co", "h"),
    "BlockLSTM": ("i", "cs", "f", "o", "ci", "co", "h"),
    "BlockLSTMV2": ("i", "cs", "f", "o", "ci", "co", "h"),
    "GRUBlockCell": ("r", "u", "c", "h"),
    "CudnnRNNV3": ("output", "output_h", "output_c", "reserve_space", "host_reserved"),
    "TensorArrayV3": ("handle", "flow"),
    "SoftmaxCrossEntropyWithLogits": ("loss", "backprop"),
    "SparseSoftmaxCrossEntropyWithLogits": ("loss", "backprop"),
}  # fmt: skip
"""Operations with several results of their own names, which functions refer to by name; in order."""


@dataclass(frozen=True, slots=True)
class FlatNode:
    """A node whose inputs are nodes of the same graph.

    Attributes:
        controls: the `Switch` results it waits for: they tell which branch of a condition it belongs to.
        settings: what a pattern has found out, for operations that only flat graphs have.
    """

    name: str
    op: str
    inputs: tuple[Ref, ...] = ()
    attributes: Attributes = field(default_factory=Attributes)
    controls: tuple[Ref, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)


FlatGraph = dict[str, FlatNode]


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where names are looked up: the graph, or the body of one call."""

    prefix: str
    nodes: Mapping[str, Node]
    function: Function | None
    arguments: Mapping[str, tuple[_Scope, str]]
    place: tuple[int, ...] = ()  # of the call among the nodes around it, from the outermost on


def parse_ref(text: str) -> Ref:
    """Return a tensor of the graph by its name: "dense/BiasAdd" or "dense/BiasAdd:0".

    Raises:
        UnreadableFileError: What follows the colon is no number.
    """
    name, _, index = text.partition(":")
    if index and not (index.isascii() and index.isdigit() and len(index) < 9):
        message = f"{text[:200]!r} is no name of a tensor"
        raise UnreadableFileError(message)
    return name, int(index or 0)


def flatten(
    graph: GraphFile, targets: Sequence[Ref], inputs: Collection[Ref] = ()
) -> tuple[FlatGraph, list[Ref]]:
    """Return all that `targets` need, by name, and where the targets are in it; cycles of loops are kept.

    Args:
        graph: the nodes and functions.
        targets: tensors of the graph.
        inputs: tensors of the graph where it begins, whatever computed them.

    Raises:
        UnreadableFileError: A node or function is missing, or calls are nested without end.
    """
    flattening = _Flattening(graph, frozenset(inputs))
    found = [flattening.resolve(flattening.top, f"{name}:{index}") for name, index in targets]
    return flattening.run(found), found


def flatten_function(graph: GraphFile, name: str) -> tuple[FlatGraph, list[Ref], list[Ref]]:
    """Return the body of a function as a graph of its own, its arguments and its results.

    Raises:
        UnreadableFileError: There is no such function, or its body is damaged.
    """
    function = graph.functions.get(name)
    if function is None:
        message = f"the graph calls the function {name[:200]!r}, which it does not hold"
        raise UnreadableFileError(message)
    flattening = _Flattening(graph, frozenset())
    scope = _Scope("", function.nodes, function, {})
    results = [
        flattening.resolve(scope, function.results.get(output.name, ""))
        for output in function.outputs
    ]
    flat = flattening.run(results)
    return flat, [(argument.name, 0) for argument in function.arguments], results


class _Flattening:
    def __init__(self, graph: GraphFile, inputs: frozenset[Ref]) -> None:
        self._graph, self._inputs = graph, inputs
        self.top = _Scope("", graph.nodes, None, {})
        self._scopes: dict[str, _Scope] = {"": self.top}
        self._origin: dict[str, tuple[_Scope, Node]] = {}
        self._flat: FlatGraph = {}
        self._numbers: dict[str, dict[str, int]] = {}
        self._waiting: list[Ref] = []  # resolved, and perhaps not in the flat graph yet

    def run(self, targets: Sequence[Ref]) -> FlatGraph:
        """Return the graph of resolved tensors."""
        self._waiting += targets
        while self._waiting:
            name, _ = self._waiting.pop()
            if name in self._flat:
                continue
            if len(self._flat) > MAX_NODES:
                message = f"with its functions the graph has more than {MAX_NODES:,} nodes"
                raise UnreadableFileError(message)
            scope, node = self._origin[name]
            inputs = tuple(
                self.resolve(scope, text) for text in node.inputs if not text.startswith("^")
            )
            controls = self._controls(scope, node)
            self._flat[name] = FlatNode(name, node.op, inputs, node.attributes, controls)
            self._waiting += (*inputs, *controls)
        return {name: self._flat[name] for name in sorted(self._flat, key=self._place)}

    def _place(self, name: str) -> tuple[int, ...]:
        """Return where a node stands in the file, from the outermost call on."""
        scope, node = self._origin.get(name, (None, None))
        if scope is None or node is None:
            return ()
        return (*scope.place, self._number(scope, node.name))

    def _number(self, scope: _Scope, name: str) -> int:
        numbers = self._numbers.setdefault(scope.prefix, {})
        if not numbers:
            numbers.update({each: number for number, each in enumerate(scope.nodes)})
        return numbers.get(name, 0)

    def resolve(self, scope: _Scope, text: str) -> Ref:
        """Return the node that a name stands for, through arguments and results of functions."""
        for _ in range(MAX_NODES):
            name, key, index = _parts(text)
            if scope.function is not None and name in scope.arguments:
                scope, text = scope.arguments[name]
                continue
            if scope is self.top and (name, index) in self._inputs:
                return self._begin(name, index)
            node = scope.nodes.get(name)
            if node is None:
                if scope.function is not None and any(
                    a.name == name for a in scope.function.arguments
                ):
                    return self._begin(name, 0)
                message = f"the graph refers to {text[:200]!r}, which it does not hold"
                raise UnreadableFileError(message)
            position = _position(node, key, index)
            called = self._called(node)
            if called is not None:
                scope = self._enter(scope, node, called, node.inputs)
                text = self._result(called, position)
                continue
            if node.op in IFS:
                return self._choice(scope, node, position)
            full = f"{scope.prefix}{name}"
            self._origin.setdefault(full, (scope, node))
            return full, position
        message = "the graph has a circle of functions"
        raise UnreadableFileError(message)

    def _begin(self, name: str, index: int) -> Ref:
        full = f"{name}:{index}" if index else name
        self._flat.setdefault(full, FlatNode(full, INPUT, settings={"tensor": (name, index)}))
        return full, 0

    def _called(self, node: Node) -> Function | None:
        name = node.attributes.function("f") if node.op in CALLS else node.op
        found = self._graph.functions.get(name or "")
        if found is None and node.op in CALLS:
            message = f"node {node.name[:200]!r} calls the function {name!r:.200}, which the file does not hold"
            raise UnreadableFileError(message)
        return found

    def _result(self, function: Function, position: int) -> str:
        if position >= len(function.outputs):
            message = f"function {function.name[:200]!r} has no result {position}"
            raise UnreadableFileError(message)
        return function.results.get(function.outputs[position].name, "")

    def _enter(
        self, scope: _Scope, node: Node, function: Function, given: Sequence[str], branch: str = ""
    ) -> _Scope:
        """Return the scope of one call."""
        prefix = f"{scope.prefix}{node.name}/{branch}"
        if prefix not in self._scopes:
            if len(scope.place) >= _MAX_CALL_DEPTH:
                message = f"functions call each other more than {_MAX_CALL_DEPTH} deep"
                raise UnreadableFileError(message)
            data = [text for text in given if not text.startswith("^")]
            arguments = {
                argument.name: (scope, text)
                for argument, text in zip(function.arguments, data, strict=False)
            }
            place = (*scope.place, self._number(scope, node.name))
            self._scopes[prefix] = _Scope(prefix, function.nodes, function, arguments, place)
        return self._scopes[prefix]

    def _choice(self, scope: _Scope, node: Node, position: int) -> Ref:
        """Return the node that chooses between the results of two branches."""
        name = f"{scope.prefix}{node.name}:{position}"
        if name in self._flat:
            return name, 0
        results = []
        for key in ("then_branch", "else_branch"):
            function = self._graph.functions.get(node.attributes.function(key) or "")
            if function is None:
                message = f"node {node.name[:200]!r} has no {key} in the file"
                raise UnreadableFileError(message)
            inner = self._enter(scope, node, function, node.inputs[1:], f"{key}/")
            results.append((inner, self._result(function, position)))
        # Kept before its inputs are looked up: they may lead here again in a damaged file.
        self._flat[name] = FlatNode(name, CHOOSE)
        self._origin[name] = (scope, node)
        references = (
            self.resolve(scope, node.inputs[0] if node.inputs else ""),
            *(self.resolve(inner, text) for inner, text in results),
        )
        self._flat[name] = FlatNode(name, CHOOSE, references, node.attributes)
        self._waiting += references
        return name, 0

    def _controls(self, scope: _Scope, node: Node) -> tuple[Ref, ...]:
        """Return the results of `Switch` that a node waits for."""
        found = []
        for text in node.inputs:
            if not text.startswith("^"):
                continue
            waited = scope.nodes.get(text[1:])
            if waited is None or waited.op != "Identity" or not waited.inputs:
                continue
            name, key, index = _parts(waited.inputs[0])
            source = scope.nodes.get(name)
            if source is not None and source.op in ("Switch", "RefSwitch"):
                found.append(self.resolve(scope, f"{name}:{_position(source, key, index)}"))
        return tuple(found)


def _parts(text: str) -> tuple[str, str, int]:
    """Return name, name of the result, and number of "name", "name:1" or "name:out:1"."""
    name, *rest = text.split(":")
    key = rest[0] if rest and not rest[0].isdigit() else ""
    number = rest[-1] if rest and rest[-1].isascii() and rest[-1].isdigit() else "0"
    return name, key, int(number[:9])


def _position(node: Node, key: str, index: int) -> int:
    """Return which of a node's results is meant."""
    names = _RESULTS.get(node.op, ())
    return names.index(key) if key in names else index
