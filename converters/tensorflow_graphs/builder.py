"""Collects the layers and calls that a translated graph consists of, in the words of Keras 3.

The rules of `converters.layers` say what shape comes out of each, and refuse what has no counterpart, at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from converters.checkpoint import LayerArrays
from converters.errors import UnsafeFileError, UnsupportedError
from converters.graph import Call, Constant, Graph, Input, Layer, Operand, TensorRef
from converters.layers.operators.tensorflow_functions import Function, settle_arguments
from converters.layers.recurrent import STATES
from converters.names import Taken, taken_names, unique
from converters.registry import Lowered, Shape, TorchStep, find_layer_rule
from converters.tensorflow_graphs.folding import MAX_FOLDED_NUMBERS
from converters.tensorflow_graphs.sizes import filled_tensor, refused_size, size_tensor
from converters.tensorflow_graphs.values import (
    Filled,
    Known,
    Sizes,
    Tensor,
    Value,
    Weights,
    plain_number,
    plain_numbers,
)
from converters.tensorflow_graphs.weights import constant_weights

MAX_WRITTEN_NUMBERS = 64
"""Numbers of a constant that are written into the network's source; larger ones become a part of its state."""

MAX_MADE_NUMBERS = 1 << 25
"""Of all results that are computed from constants together: the memory that a small file may take."""


@dataclass(slots=True)
class _Layer:
    class_name: str
    config: dict[str, object]
    weights: Mapping[str, Weights]
    trainable: bool
    calls: int = 0


@dataclass(slots=True)
class GraphBuilder:
    """Layers, calls and inputs so far.

    Attributes:
        layers: by name, in the order they were made.
        weights: for every layer, role to weight.
        keys: what a layer was made of, to its name: the same weights used again are the same layer.
        transposed: tensors that are others with their axes in another order.
        last_of: tensors whose last row is another tensor that is there already.
        rows: zeros in the number of an open size, by tensor, axis and type.
        row_of: what the rows of a tensor are: the batch (""), or the tensor that first had them.
        merged: tensors whose rows are the first axes of another tensor, one after the other.
        followed: nodes in the turns of loops so far.
        is_single: whether the graph was made for a batch of one, which is open here.
    """

    layers: dict[str, _Layer] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)
    keys: dict[object, str] = field(default_factory=dict)
    transposed: dict[TensorRef, tuple[Tensor, tuple[int, ...]]] = field(default_factory=dict)
    last_of: dict[TensorRef, Tensor] = field(default_factory=dict)
    rows: dict[tuple[TensorRef, int, str], Tensor] = field(default_factory=dict)
    row_of: dict[TensorRef, str] = field(default_factory=dict)
    merged: dict[TensorRef, Tensor] = field(default_factory=dict)
    followed: int = 0
    is_single: bool = False
    _taken: Taken = field(default_factory=taken_names)
    _made: int = 0

    def input(self, name: str, shape: Shape | None, dtype: str, key: str) -> Tensor:
        """Add an input of the network."""
        name = unique(name, self._taken)
        self.layers[name] = _Layer("InputLayer", {"name": name}, {}, trainable=True)
        self.inputs.append(Input(TensorRef(name), shape, dtype, key))
        return Tensor(TensorRef(name), shape or (), dtype)

    def layer(
        self,
        class_name: str,
        name: str,
        config: Mapping[str, object],
        inputs: Sequence[Tensor],
        *,
        weights: Mapping[str, Weights] | None = None,
        dtype: str = "",
        mask: Tensor | None = None,
    ) -> list[Tensor]:
        """Add a call of a layer, which is made unless one with these weights is there; returns its outputs.

        Args:
            class_name: of Keras.
            name: for the layer; made unique.
            config: its settings.
            inputs: of the call.
            weights: by their roles.
            dtype: of the outputs, that of the first input if it is not given.
            mask: (batch, time) for a recurrent layer: true where it takes a step.

        Raises:
            UnsupportedError: The layer's rule refuses the settings.
        """
        weights = weights or {}
        key = (
            class_name,
            repr(sorted(config.items(), key=str)),
            tuple(
                (role, id(each.array.read), each.array.name, each.shape)
                for role, each in weights.items()
            ),
        )
        known = self.keys.get(key) if weights else None
        if known is None:
            known = unique(name, self._taken)
            trainable = all(
                weight.trainable
                for role, weight in weights.items()
                if not role.startswith("moving_")
            )
            computed = next((x.dtype for x in inputs if x.dtype.startswith("float")), "float32")
            stored = next((each.dtype for each in weights.values()), dtype or computed)
            made = _Layer(
                class_name, {"name": known, **config, "dtype": stored}, weights, trainable
            )
            self._check(known, made, inputs)
            self.layers[known] = made
            self.keys[key] = known
        made = self.layers[known]
        shapes = self._check(known, made, inputs)
        taken = (*inputs, *(() if mask is None else (mask,)))
        call = Call(
            known,
            made.calls,
            tuple(each.ref for each in taken),
            {} if mask is None else {"mask": Operand(len(inputs))},
            _given(made.class_name, len(inputs)),
        )
        made.calls += 1
        self.calls.append(call)
        dtype = dtype or (inputs[0].dtype if inputs else str(made.config["dtype"]))
        for index in range(len(shapes)):
            self._note_rows(TensorRef(known, call.call, index), inputs, kept=True)
        return [
            Tensor(TensorRef(known, call.call, index), shape, dtype)
            for index, shape in enumerate(shapes)
        ]

    def operation(
        self, name: str, operation: str, arguments: Mapping[str, object], *, dtype: str = ""
    ) -> list[Tensor]:
        """Add an operation; returns its outputs.

        Args:
            name: for the layer; made unique.
            operation: "Mean" of "ops.Mean".
            arguments: by the names of Keras 3; values of the graph, numbers, and tuples of both; "*": those without names.
            dtype: of the outputs, that of the first tensor if it is not given.

        Raises:
            UnsupportedError: The operation's rule refuses the arguments.
        """
        inputs: list[Tensor] = []
        plain = {key: self._argument(value, inputs) for key, value in arguments.items()}
        name = unique(name, self._taken)
        layer = Layer(name, f"ops.{operation}", {"name": name})
        shapes = tuple(each.shape or () for each in inputs)
        settle_arguments(layer, Function(operation, {}), plain, shapes)
        unnamed = plain.pop("*", ())
        args = unnamed if isinstance(unnamed, tuple) else ()
        call = Call(name, 0, tuple(each.ref for each in inputs), plain, args)
        config: dict[str, object] = {"name": name}
        made = _Layer(f"ops.{operation}", config, {}, trainable=True, calls=1)
        found = self._lower(name, made, inputs, call)
        self.layers[name] = made
        self.calls.append(call)
        first = next((each.dtype for each in inputs), "float32")
        kept = not inputs or keeps_rows(operation, inputs[0], arguments)
        for index in range(len(found)):
            self._note_rows(TensorRef(name, 0, index), inputs, kept=kept)
        return [
            Tensor(TensorRef(name, 0, index), shape, dtype or first)
            for index, shape in enumerate(found)
        ]

    def _note_rows(self, made: TensorRef, inputs: Sequence[Tensor], *, kept: bool) -> None:
        sources = (each for each in inputs if each.shape and each.shape[0] is None)
        first = next(sources, None)
        source = "" if first is None else self.row_of.get(first.ref, "")
        self.row_of[made] = source if kept else f"{made.layer}:{made.index}"

    def tensor(self, value: Value, like: str = "") -> Tensor:
        """Return a value as something the network computes; weights and constants become parts of its state.

        Args:
            value: of the graph.
            like: for messages.

        Raises:
            UnsupportedError: A size that is only known when the network runs.
        """
        if isinstance(value, Tensor):
            return value
        given = value
        if isinstance(value, Filled) and value.like is not None:
            full = {"x": value.like, "fill_value": value.value, "dtype": value.dtype}
            return self.operation("full", "FullLike", full, dtype=value.dtype)[0]
        if isinstance(value, Filled) and value.shape is not None and None not in value.shape:
            sizes = tuple(size or 0 for size in value.shape)
            self.count_made(math.prod(sizes), like)
            value = Known(np.full(sizes, value.value, value.dtype), like)
        if isinstance(value, Known):
            value = constant_weights(value, like or value.name or "constant")
        if isinstance(value, Weights):
            shape = tuple(size or 0 for size in value.shape)
            constant = isinstance(given, Known) or value.array.dtype.kind != "f"
            config: dict[str, object] = {"shape": shape, **({"constant": True} if constant else {})}
            weights = {"constant" if constant else "value": value}
            [result] = self.layer(
                "Variable", value.variable, config, [], weights=weights, dtype=value.dtype
            )
            return result
        made = filled_tensor(self, value) if isinstance(value, Filled) else None
        if isinstance(value, Sizes):
            made = size_tensor(self, value)
        if made is None:
            raise refused_size(value, f"node {like[:200]!r}: " if like else "")
        return made

    def count_made(self, count: int, name: str) -> None:
        """Count numbers that a node makes of constants: a few bytes of a file can ask for any number of them.

        Raises:
            UnsupportedError: More than one result may have.
            UnsafeFileError: More than all together may have.
        """
        self._made += count
        what = f"node {name[:200]!r}: {{:,}} numbers are made of constants; at most {{:,}} are"
        if count > MAX_FOLDED_NUMBERS:
            raise UnsupportedError(what.format(count, MAX_FOLDED_NUMBERS))
        if self._made > MAX_MADE_NUMBERS:
            raise UnsafeFileError(what.format(self._made, MAX_MADE_NUMBERS))

    def _argument(self, value: object, inputs: list[Tensor]) -> object:
        """Return an argument as calls store it; tensors are added to `inputs`."""
        if isinstance(value, (tuple, list)):
            return tuple(self._argument(each, inputs) for each in value)
        if isinstance(value, Known):
            finite = value.array.dtype.kind != "f" or np.isfinite(value.array).all()
            if value.array.ndim == 0 and finite:
                return plain_number(value.array)
            # A list in the source is float32 beside whole numbers.
            written = value.dtype != "float64" and value.array.size <= MAX_WRITTEN_NUMBERS
            if written and finite:
                return Constant(plain_numbers(value.array), value.dtype)
        if isinstance(value, (Tensor, Weights, Known, Filled, Sizes)):
            tensor = self.tensor(value, value.name if isinstance(value, Known) else "")
            if tensor in inputs:
                return Operand(inputs.index(tensor))
            inputs.append(tensor)
            return Operand(len(inputs) - 1)
        return value

    def _check(self, name: str, made: _Layer, inputs: Sequence[Tensor]) -> list[Shape]:
        call = Call(name, made.calls, (), {}, _given(made.class_name, len(inputs)))
        return self._lower(name, made, inputs, call)

    def _lower(self, name: str, made: _Layer, inputs: Sequence[Tensor], call: Call) -> list[Shape]:
        """Return the shapes of the outputs, by the rule of the layer."""
        rule = find_layer_rule(made.class_name)
        config = {**made.config, "call": call} if rule.takes_call else made.config
        layer = Layer(name, made.class_name, config, made.trainable)
        shapes = [each.shape or () for each in inputs]
        return result_shapes(rule.lower(layer, *shapes), shapes)

    def graph(self, name: str, outputs: Sequence[Tensor], names: Sequence[str]) -> Graph:
        """Return the graph without what no output needs; outputs are a dictionary if they have names, else a list."""
        self._drop_unused(outputs)
        layers = tuple(
            Layer(each, made.class_name, made.config, made.trainable)
            for each, made in self.layers.items()
        )
        return Graph(
            name,
            "Functional",
            3,
            layers,
            tuple(self.calls),
            tuple(self.inputs),
            tuple(output.ref for output in outputs),
            "dict" if names else "list",
            tuple(names),
        )

    def _drop_unused(self, outputs: Sequence[Tensor]) -> None:
        needed = {(output.ref.layer, output.ref.call) for output in outputs}
        kept: list[Call] = []
        for call in reversed(self.calls):
            if (call.layer, call.call) in needed:
                kept.append(call)
                needed |= {(ref.layer, ref.call) for ref in call.inputs}
        self.calls = kept[::-1]
        called = {call.layer for call in self.calls} | {entry.tensor.layer for entry in self.inputs}
        self.layers = {name: made for name, made in self.layers.items() if name in called}

    def arrays(self) -> list[LayerArrays]:
        """Return the weights by layer."""
        return [
            LayerArrays(
                f"./{name}", name, {role: each.array for role, each in made.weights.items()}
            )
            for name, made in self.layers.items()
            if made.weights
        ]


def _given(class_name: str, count: int) -> tuple[object, ...]:
    """Return the arguments of a layer's call: a recurrent layer takes its states as one, behind them a mask."""
    operands = tuple(Operand(place) for place in range(count))
    return (operands[0], operands[1:]) if count > 1 and class_name in STATES else operands


def keeps_rows(operation: str, x: Tensor, arguments: Mapping[str, object]) -> bool:
    """Tell whether the rows of a result are those of x, row by row."""
    if operation == "Reshape":
        wanted = arguments.get("newshape")
        rest = list(wanted[1:]) if isinstance(wanted, tuple) else []
        inner = (x.shape or ())[1:]
        if isinstance(wanted, tuple) and wanted[:1] == (None,):
            return True
        sizes = [size for size in (*inner, *rest) if not isinstance(size, int) or size < 0]
        return not sizes and math.prod(inner) == math.prod(rest)  # type: ignore[arg-type]
    if operation == "Transpose":
        axes = arguments.get("axes")
        return isinstance(axes, tuple) and axes[:1] == (0,)
    if operation == "GetItem":
        key = arguments.get("key")
        return isinstance(key, tuple) and key[:1] == (slice(None),)
    axis = arguments.get("axis")
    moved = (
        "Take",
        "Concatenate",
        "Stack",
        "ExpandDims",
        "Sum",
        "Mean",
        "Max",
        "Min",
        "Prod",
        "Tile",
        "Pad",
        "Flip",
    )
    return operation not in moved or not (
        axis in (0, None) or (isinstance(axis, tuple) and 0 in axis)
    )


def result_shapes(found: list[TorchStep] | Lowered, shapes: Sequence[Shape]) -> list[Shape]:
    """Return the shapes of a layer's outputs from its torch steps, as `converters.lowering` follows them."""
    steps = found.steps if isinstance(found, Lowered) else found
    values = {f"input_{index}": shape for index, shape in enumerate(shapes)}
    previous = list(shapes)
    for step in steps:
        taken = [values[name] for name in step.inputs] if step.inputs else previous
        first = taken[0] if step.shape is None else step.shape
        previous = [first, *step.further_shapes]
        values.update(zip(step.results, previous, strict=False))
    return [values[name] for name in found.outputs] if isinstance(found, Lowered) else previous[:1]
