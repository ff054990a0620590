"""The plan: which array goes where, by which layout, into which torch module. Data only; nothing is moved here.

A plan is complete or it is not made: every array of the file is moved once or ignored with a reason, every parameter
of the module is filled once, every shape fits. All problems of a file are reported together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from converters.architecture import Architecture, InputValue, Step
from converters.checkpoint import ArrayInfo, Checkpoint
from converters.errors import ConversionError, MismatchError, UnsupportedError
from converters.graph import Graph, Layer, TensorRef
from converters.layouts import Layout
from converters.matching import Path, leaves, match_arrays, stored_weights
from converters.names import class_identifier, identifier, unique
from converters.optimizers.plan import OptimizerPlan, plan_optimizer
from converters.registry import Param, Shape, TorchStep, find_layer_rule
from converters.targets import TARGETS

REGULARIZERS = ("L1L2", "L1", "L2", "WeightRegularizer", "L1L2Regularizer")
"""Class names under which Keras 1 to 3 stored l1 * sum(abs(w)) + l2 * sum(w ** 2)."""


@dataclass(frozen=True, slots=True)
class Move:
    """One array on its way: read `source`, apply `layout`, store as `target`."""

    source: ArrayInfo
    target: str  # key of the state dict: "fc1.weight"
    layout: Layout

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape at the target."""
        return self.layout.shape(self.source.shape)


@dataclass(frozen=True, slots=True)
class Plan:
    """All of a conversion, as data.

    Attributes:
        architecture: the torch module.
        moves: model state, in the order of the module's state dict.
        optimizer: what becomes of the optimizer; None: the file has none, or the reason is in `notes`.
        slots: optimizer state: one mapping of torch state key to move for every trainable parameter, in the order
            of the module's parameters.
        parameters: names of the trainable parameters, in the same order.
        ignored: stored arrays that are not converted, with the reason.
        notes: what a user should know.
        origins: for every step of the architecture, the path of the layer it comes from.
    """

    architecture: Architecture
    moves: tuple[Move, ...]
    optimizer: OptimizerPlan | None
    slots: tuple[Mapping[str, Move], ...]
    parameters: tuple[str, ...]
    ignored: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    origins: tuple[Path, ...]
    roles: Mapping[str, tuple[Path, str]]  # state key to layer path and role of the legacy weight

    def steps_of(self, path: Path) -> list[Step]:
        """Return the steps of one layer."""
        pairs = zip(self.architecture.steps, self.origins, strict=True)
        return [step for step, origin in pairs if origin == path]

    def moves_of(self, path: Path) -> list[tuple[str, Move]]:
        """Return the moves of one layer with the role of each array."""
        found = ((self.roles[move.target], move) for move in self.moves)
        return [(role, move) for (origin, role), move in found if origin == path]


@dataclass(slots=True)
class _Lowering:
    """What collects while a graph is walked."""

    steps: list[Step] = field(default_factory=list)
    origins: list[Path] = field(default_factory=list)
    attributes: dict[tuple[Path, str], str] = field(default_factory=dict)
    values: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)
    params: dict[str, tuple[Path, Param]] = field(
        default_factory=dict
    )  # state key to where it comes from
    trainable: list[str] = field(default_factory=list)  # state keys, in the module's order
    problems: list[ConversionError] = field(default_factory=list)


def plan_conversion(checkpoint: Checkpoint) -> Plan:
    """Return the plan for a checkpoint with a graph.

    Raises:
        UnsupportedError: The file has no architecture, or layers without a rule (all are listed).
        MismatchError: Arrays and architecture do not belong together.
    """
    graph = checkpoint.graph
    if graph is None:
        msg = "the file holds weights only, without the architecture they belong to"
        raise UnsupportedError(
            msg,
            hint="give the model's configuration: --architecture config.json (or another .h5/.keras)",
        )
    _check_rules(graph)
    matched = match_arrays(graph, checkpoint.layers)
    lowering = _Lowering()
    architecture = _lower_model(_with_input_shape(graph, matched.arrays), lowering)
    if lowering.problems:
        raise _joined(lowering.problems)
    moves = _plan_moves(lowering, matched.arrays)
    notes: list[str] = []
    ignored = [
        *matched.ignored,
        *(
            (info.name, "belongs to no layer (metrics or bare variables)")
            for info in checkpoint.extras
        ),
    ]
    optimizer, slots = _plan_slots(checkpoint, graph, lowering, matched.arrays, notes)
    if optimizer is not None:
        ignored += [(info.name, reason) for info, reason in optimizer.ignored]
        factors = _regularization(graph, lowering, notes)
        if factors:
            optimizer = replace(optimizer, options={**optimizer.options, "regularization": factors})
    return Plan(
        architecture=architecture,
        moves=moves,
        optimizer=optimizer,
        slots=slots,
        parameters=tuple(lowering.trainable),
        ignored=tuple(ignored),
        notes=tuple(notes),
        origins=tuple(lowering.origins),
        roles={key: (path, param.source) for key, (path, param) in lowering.params.items()},
    )


def _check_rules(graph: Graph) -> None:
    problems: list[ConversionError] = []
    for path, layer in leaves(graph):
        if layer.class_name == "InputLayer":
            continue
        try:
            find_layer_rule(layer.class_name)
        except UnsupportedError as error:
            problems.append(UnsupportedError(f"layer '{'/'.join(path)}': {error}", hint=error.hint))
    if problems:
        raise _joined(problems)


def _joined(problems: Sequence[ConversionError]) -> ConversionError:
    first = problems[0]
    if len(problems) == 1:
        return first
    lines = "\n  ".join(str(problem) for problem in problems)
    return type(first)(f"{len(problems)} layers cannot be converted:\n  {lines}", hint=first.hint)


def _with_input_shape(graph: Graph, arrays: Mapping[Path, Mapping[str, ArrayInfo]]) -> Graph:
    """Return the graph with its input shape, taken from the first kernel where the configuration states none."""
    if len(graph.inputs) != 1 or graph.inputs[0].shape is not None:
        return graph
    for call in graph.calls:
        layer = graph.layer(call.layer)
        kernel = arrays.get((layer.name,), {}).get("kernel")
        if layer.class_name == "Dense" and kernel is not None and len(kernel.shape) == 2:
            known = type(graph.inputs[0])(
                graph.inputs[0].tensor, (None, kernel.shape[0]), graph.inputs[0].dtype
            )
            return Graph(
                graph.name,
                graph.class_name,
                graph.generation,
                graph.layers,
                graph.calls,
                (known,),
                graph.outputs,
                graph.structure,
                graph.output_names,
            )
        if layer.class_name not in ("Dropout", "Activation", "ReLU"):
            break
    msg = "the configuration does not state the input's shape"
    raise UnsupportedError(msg, hint="give a configuration that does with --architecture")


def _lower_model(graph: Graph, lowering: _Lowering) -> Architecture:
    values: dict[TensorRef, tuple[str, Shape]] = {}
    inputs = []
    dtype = _parameter_dtype(graph)
    for entry in graph.inputs:
        name = unique(identifier(entry.tensor.layer, default="x"), lowering.values)
        inputs.append(InputValue(name, entry.shape, _input_dtype(entry.dtype, dtype)))
        values[entry.tensor] = (name, entry.shape or ())
    _lower_calls(graph, (), values, lowering)
    outputs = tuple(values[ref][0] for ref in graph.outputs if ref in values)
    return Architecture(
        name=class_identifier(graph.name),
        inputs=tuple(inputs),
        outputs=outputs,
        steps=tuple(lowering.steps),
        structure=graph.structure,
        output_names=graph.output_names,
        dtype=dtype,
    )


def _input_dtype(stated: str, parameters: str) -> str:
    """Return what an input is cast to: Keras layers cast floating inputs to their own type."""
    return parameters if stated.startswith(("float", "bfloat")) else stated


def _parameter_dtype(graph: Graph) -> str:
    for _, layer in leaves(graph):
        value = layer.config.get("dtype")
        if layer.class_name != "InputLayer" and value is not None:
            inner = value.get("config") if isinstance(value, Mapping) else None
            name = inner.get("name") if isinstance(inner, Mapping) else value
            return str(name)
    return "float32"


def _lower_calls(
    graph: Graph, prefix: Path, values: dict[TensorRef, tuple[str, Shape]], lowering: _Lowering
) -> None:
    for call in graph.calls:
        layer = graph.layer(call.layer)
        missing = [ref for ref in call.inputs if ref not in values]
        if missing:
            continue  # the step before failed; its problem is listed
        arguments = [values[ref] for ref in call.inputs]
        output = TensorRef(call.layer, call.call)
        if layer.class_name == "InputLayer":
            values[output] = arguments[0]
        elif layer.graph is not None:
            inner = {
                entry.tensor: argument
                for entry, argument in zip(layer.graph.inputs, arguments, strict=True)
            }
            _lower_calls(layer.graph, (*prefix, layer.name), inner, lowering)
            for index, ref in enumerate(layer.graph.outputs):
                if ref in inner:
                    values[TensorRef(call.layer, call.call, index)] = inner[ref]
        else:
            try:
                values[output] = _lower_layer(layer, (*prefix, layer.name), arguments, lowering)
            except ConversionError as error:
                lowering.problems.append(error)


def _lower_layer(
    layer: Layer, path: Path, arguments: Sequence[tuple[str, Shape]], lowering: _Lowering
) -> tuple[str, Shape]:
    steps = find_layer_rule(layer.class_name).lower(layer, *(shape for _, shape in arguments))
    names, shape = tuple(name for name, _ in arguments), arguments[0][1]
    for step in steps:
        attribute = _attribute(step, layer, path, lowering) if TARGETS[step.op].module else None
        output = unique(identifier("_".join(path), default="x"), lowering.values)
        frozen = bool(step.params) and not layer.trainable
        state = tuple(param.name for param in step.params)
        lowering.steps.append(
            Step(step.op, names, output, attribute, dict(step.kwargs), state, frozen)
        )
        lowering.origins.append(path)
        names, shape = (output,), shape if step.shape is None else step.shape
    return names[0], shape


def _attribute(step: TorchStep, layer: Layer, path: Path, lowering: _Lowering) -> str:
    known = lowering.attributes.get((path, step.suffix))
    if known is not None:
        return known  # a shared layer: the same module again
    name = "_".join(path) + (f"_{step.suffix}" if step.suffix else "")
    attribute = unique(identifier(name), lowering.taken)
    lowering.attributes[path, step.suffix] = attribute
    roles = {weight.role: weight.trainable for weight in stored_weights(layer)}
    for param in step.params:
        key = f"{attribute}.{param.name}"
        lowering.params[key] = (path, param)
        if layer.trainable and roles[param.source]:
            lowering.trainable.append(key)
    return attribute


def _plan_moves(
    lowering: _Lowering, arrays: Mapping[Path, Mapping[str, ArrayInfo]]
) -> tuple[Move, ...]:
    moves, problems = [], []
    for key, (path, param) in lowering.params.items():
        info = arrays[path][param.source]
        needed = param.shape
        fits = len(info.shape) == len(needed) and all(
            size in (None, found) for size, found in zip(needed, info.shape, strict=True)
        )
        if fits:
            moves.append(Move(info, key, Layout.parse(param.layout)))
        else:
            problems.append(f"{info.name:40} found {info.shape}   needed {needed}")
    if problems:
        listed = "\n  ".join(problems)
        msg = f"{len(problems)} of {len(lowering.params)} arrays do not fit:\n  {listed}"
        raise MismatchError(msg, hint="is the right --architecture given?")
    return tuple(moves)


def _plan_slots(
    checkpoint: Checkpoint,
    graph: Graph,
    lowering: _Lowering,
    arrays: Mapping[Path, Mapping[str, ArrayInfo]],
    notes: list[str],
) -> tuple[OptimizerPlan | None, tuple[Mapping[str, Move], ...]]:
    """Return the optimizer's plan and its state by parameter, brought from Keras's order to the module's."""
    if checkpoint.optimizer is None:
        return None, ()
    stored = [
        (path, weight.role)
        for path, layer in leaves(graph)
        if layer.trainable
        for weight in stored_weights(layer)
        if weight.trainable
    ]
    weights = [(arrays[path][role].name, arrays[path][role].shape) for path, role in stored]
    plan = plan_optimizer(checkpoint.optimizer, weights)
    notes += plan.notes
    position = {place: index for index, place in enumerate(stored)}
    slots = []
    for key in lowering.trainable:
        path, param = lowering.params[key]
        index = position[path, param.source]
        layout = Layout.parse(param.layout)
        moves = {
            slot: Move(infos[index], f"{key}/{slot}", layout) for slot, infos in plan.slots.items()
        }
        slots.append(moves)
    return plan, tuple(slots)


def _regularization(
    graph: Graph, lowering: _Lowering, notes: list[str]
) -> list[list[float]] | None:
    """Return (l1, l2) of every trainable parameter, or None if no layer has a regularizer."""
    layers = dict(leaves(graph))
    factors = []
    for key in lowering.trainable:
        path, param = lowering.params[key]
        setting = layers[path].config.get(f"{param.source}_regularizer")
        found = _penalty(setting)
        if found is None:
            notes.append(
                f"layer '{'/'.join(path)}': regularizer of '{param.source}' is not converted: {setting!r:.60}"
            )
        elif any(found):
            notes.append(f"{key}: its regularizer acts in the optimizer; do not add it to the loss")
        factors.append(list(found or (0.0, 0.0)))
    return factors if any(any(pair) for pair in factors) else None


def _penalty(setting: object) -> tuple[float, float] | None:
    """Return l1 and l2 of a stored regularizer; (0, 0) for none, None for one of another form."""
    if setting is None:
        return 0.0, 0.0
    if isinstance(setting, Mapping):
        config = setting.get("config", setting)  # Keras 1 stored the numbers beside the name
        name = str(setting.get("class_name") or setting.get("name") or "")
        if isinstance(config, Mapping) and name in REGULARIZERS:
            l1, l2 = config.get("l1", 0.0), config.get("l2", 0.0)
            if isinstance(l1, (int, float)) and isinstance(l2, (int, float)):
                return float(l1), float(l2)
    return None
