"""A graph of Keras layers lowered to the steps of a torch module.

Walks the calls in order, asks the rule of each layer, names attributes and values, and notes where every parameter
comes from. Arrays are not looked at: `converters.plan` brings them in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from converters.architecture import MAX_NESTED_BLOCKS, Architecture, InputValue, Step
from converters.checkpoint import ArrayInfo
from converters.configuration.call_structure import operands_by_key
from converters.errors import (
    ConversionError,
    MismatchError,
    UnreadableFileError,
    UnsupportedError,
)
from converters.execution_order import in_order
from converters.graph import Call, Graph, Layer, TensorRef
from converters.layer_dtypes import PRECISION, policy_name, variable_dtype
from converters.masking import (
    Value,
    check_masks,
    mask_use,
    masked_outputs,
    masks_of,
    named_masks,
    output_masks,
    rivals,
    same_tensors,
    split_masks,
    with_given_masks,
    with_masks,
)
from converters.matching import Path, leaves, stored_weights
from converters.names import class_identifier, identifier, unique
from converters.passes.blocks import depth_first, name_blocks
from converters.passes.channels import settle_channels
from converters.passes.masks import settle_masks
from converters.registry import Lowered, Param, Plain, Shape, TorchStep, find_layer_rule
from converters.targets import TARGETS, piece_names
from converters.training_notes import acts_in_training, fixed_mode, idle_layers, mode_notes

_BLOCK = "."  # in place of a step's suffix: the submodule of a nested model
_NONSENSE = (LookupError, ValueError, TypeError, ArithmeticError)


@dataclass(slots=True)
class Lowering:
    """What collects while a graph is walked.

    Attributes:
        iterations: training steps done, where the file tells; some layers need it to train on.
        steps: torch steps so far, with the layer path of each in `origins`.
        params: state key to the layer and the parameter it comes from, in the module's order.
        trainable: state keys that train, in the module's order.
        shapes: of the first output of every layer that was lowered.
        problems: what cannot be converted, collected to be reported together.
        notes: what a user should know.
        unmasked: values whose mask a layer has taken away.
        unchanged: output of a layer that only acts in training, to its input: in Keras's inference one tensor.
        mode: what the call that is being lowered is fixed to: "train", "eval" or "".
        modes: of the submodules so far, by attribute.
    """

    iterations: int | None = None
    steps: list[Step] = field(default_factory=list)
    origins: list[Path] = field(default_factory=list)
    attributes: dict[tuple[Path, str], str] = field(default_factory=dict)
    values: set[str] = field(default_factory=piece_names)  # no variable may hide a function
    taken: set[str] = field(default_factory=set)
    blocks: tuple[tuple[str, int], ...] = ()  # the nested models that are being walked
    calls: Counter[Path] = field(default_factory=Counter)  # of nested models
    params: dict[str, tuple[Path, Param]] = field(
        default_factory=dict
    )  # state key to where it comes from
    trainable: list[str] = field(default_factory=list)  # state keys, in the module's order
    shapes: dict[Path, Shape] = field(default_factory=dict)
    problems: list[ConversionError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unmasked: set[str] = field(default_factory=set)
    unchanged: dict[str, str] = field(default_factory=dict)
    mode: str = ""
    modes: dict[str, str] = field(default_factory=dict)
    dtypes: dict[str, str] | None = None  # of values, where layers differ in precision


def with_input_shape(graph: Graph, arrays: Mapping[Path, Mapping[str, ArrayInfo]]) -> Graph:
    """Return the graph with its input shape, taken from the first kernel where the configuration states none."""
    if len(graph.inputs) != 1 or graph.inputs[0].shape is not None:
        return graph
    for call in graph.calls:
        layer = graph.layer(call.layer)
        kernel = arrays.get((layer.name,), {}).get("kernel")
        if layer.class_name == "Dense" and kernel is not None and len(kernel.shape) == 2:
            known = replace(graph.inputs[0], shape=(None, kernel.shape[0]))
            return replace(graph, inputs=(known,))
        if layer.class_name not in ("Dropout", "Activation", "ReLU"):
            break
    msg = "the configuration does not state the input's shape"
    raise UnsupportedError(msg, hint="give a configuration that does with --architecture")


def lower_model(graph: Graph, lowering: Lowering) -> Architecture:
    """Return the torch module of a graph; what each parameter comes from is noted in `lowering`."""
    values: dict[TensorRef, Value] = {}
    inputs = []
    dtype = _parameter_dtype(graph, lowering)
    for entry in graph.inputs:
        key = entry.key or entry.tensor.layer
        name = unique(identifier(key, default="x"), lowering.values)
        cast_to = entry.dtype if lowering.dtypes is not None else _input_dtype(entry.dtype, dtype)
        if lowering.dtypes is not None and entry.dtype in PRECISION:
            lowering.dtypes[name] = entry.dtype
        inputs.append(InputValue(name, entry.shape, cast_to, key))
        values[entry.tensor] = Value(name, entry.shape or ())
    _lower_calls(graph, (), values, lowering)
    missing = sorted({ref.layer for ref in graph.outputs if ref not in values})
    if missing and not lowering.problems:
        msg = f"the configuration names outputs that nothing computes: {', '.join(missing)}"
        raise UnreadableFileError(msg)
    outputs = tuple(values[ref].name for ref in graph.outputs if ref in values)
    carried = {ref: _carried(value, lowering) for ref, value in values.items()}
    lowering.notes += masked_outputs(graph, carried)
    lowering.steps, lowering.origins = settle_masks(lowering.steps, lowering.origins, outputs)
    lowering.steps, lowering.origins, outputs = settle_channels(
        lowering.steps,
        lowering.origins,
        outputs,
        fresh=lambda name: unique(name, lowering.values),
    )
    _make_blocks(lowering)
    return Architecture(
        name=unique(class_identifier(graph.name), piece_names()),
        inputs=tuple(inputs),
        outputs=outputs,
        steps=tuple(lowering.steps),
        structure=graph.structure,
        output_names=graph.output_names,
        dtype=dtype,
        nesting=cast("Plain", graph.nesting),
    )


def _make_blocks(lowering: Lowering) -> None:
    """Make submodules of repeated blocks, and bring parameters into the order that the module lists them in."""
    lowering.steps, renamed = name_blocks(lowering.steps, lowering.origins, lowering.taken)

    def new_key(key: str) -> str:
        attribute, _, name = key.rpartition(".")
        owner, inner = attribute, ""
        while owner not in renamed and "." in owner:  # a parameter deeper inside of its module
            owner, _, part = owner.rpartition(".")
            inner = f"{part}.{inner}"
        return f"{renamed[owner]}.{inner}{name}" if owner in renamed else key

    params = {new_key(key): value for key, value in lowering.params.items()}
    trainable = {new_key(key) for key in lowering.trainable}
    order = depth_first(list(params))
    lowering.params = {key: params[key] for key in order}
    lowering.trainable = [key for key in order if key in trainable]


def _input_dtype(stated: str, parameters: str) -> str:
    """Return what an input is cast to: Keras layers cast floating inputs to their own type."""
    return parameters if stated.startswith(("float", "bfloat")) else stated


def _parameter_dtype(graph: Graph, lowering: Lowering) -> str:
    """Return the type of the parameters, the least precise where layers differ; note policies that compute in another."""
    found: dict[str, str] = {}
    for path, layer in leaves(graph):
        policy = policy_name(layer)
        dtype = variable_dtype(layer)
        if dtype is None:
            continue
        found.setdefault(dtype, "/".join(path))
        if policy.startswith("mixed_") and not any(policy in note for note in lowering.notes):
            computed = policy.removeprefix("mixed_")
            lowering.notes.append(
                f"Keras computed in {computed} ({policy}); the module in float32, "
                f"or within torch.autocast(device, torch.{computed}) as Keras did"
            )
    if len(found) > 1:
        lowering.dtypes = {}
        listed = ", ".join(f"{dtype} from '{layer}' on" for dtype, layer in found.items())
        lowering.notes.append(f"layers differ in precision, values are cast between them: {listed}")
    if found:
        return min(found, key=PRECISION.index)
    # Nodes of keras.ops state none: they compute in the type of what comes in.
    floating = [entry.dtype for entry in graph.inputs if entry.dtype.startswith("float")]
    return floating[0] if floating else "float32"


def _cast_arguments(
    layer: Layer, path: Path, arguments: Sequence[Value], lowering: Lowering
) -> list[Value]:
    """Return the arguments in the precision of a layer, where that changes from layer to layer."""
    wanted = variable_dtype(layer)
    if lowering.dtypes is None or wanted is None:
        return list(arguments)
    result = []
    for argument in arguments:
        if lowering.dtypes.get(argument.name, wanted) != wanted:
            step = TorchStep("compat.cast", {"dtype": wanted})
            [(name, shape)] = _add_step(
                step, layer, path, [(argument.name, argument.shape)], lowering
            )
            argument = replace(argument, name=name, shape=shape)
            lowering.dtypes[name] = wanted
        result.append(argument)
    return result


def _module_dtype(layer: Layer, attribute: str | None, lowering: Lowering) -> str:
    """Return what a step says of its module's precision: nothing, unless layers differ."""
    if lowering.dtypes is None or attribute is None:
        return ""
    dtype = variable_dtype(layer) or ""
    return "" if dtype == "float32" else dtype


def _carried(value: Value, lowering: Lowering) -> Value:
    """Return a value without the mask that a layer has taken from it."""
    return replace(value, mask=None) if value.name in lowering.unmasked else value


def _lower_calls(
    graph: Graph, prefix: Path, values: dict[TensorRef, Value], lowering: Lowering
) -> None:
    around = lowering.mode
    for call in in_order(graph):
        layer = graph.layer(call.layer)
        missing = [ref for ref in call.inputs if ref not in values]
        if missing:
            continue  # the step before failed; its problem is listed
        arguments = [_carried(values[ref], lowering) for ref in call.inputs]
        if layer.class_name == "InputLayer":
            values[TensorRef(call.layer, call.call)] = arguments[0]
            continue
        given: dict[str, TensorRef] = {}
        try:
            lowering.notes += idle_layers(layer, call, known=lowering.notes)
            lowering.notes += mode_notes(layer, call, generation=graph.generation)
            lowering.mode = fixed_mode(layer, call, generation=graph.generation, around=around)
            lowering.notes += rivals(graph, call, arguments)
            if not layer.is_operation:
                call, given = split_masks(call)
                arguments = [_carried(values[ref], lowering) for ref in call.inputs]
            masks = named_masks(arguments, {name: values[ref] for name, ref in given.items()})
            layer = with_masks(layer, masks, graph.generation)
            path = (*prefix, layer.name)
            if layer.graph is not None:
                entering = _by_key(layer.graph, call, with_given_masks(arguments, layer, masks))
                results = _lower_nested(layer, layer.graph, path, entering, lowering)
            else:
                if find_layer_rule(layer.class_name).takes_call:
                    layer = replace(layer, config={**layer.config, "call": call})
                arguments = _cast_arguments(layer, path, arguments, lowering)
                results = dict(enumerate(_lower_layer(layer, path, arguments, masks, lowering)))
            for index, result in results.items():
                values[TensorRef(call.layer, call.call, index)] = result
                lowering.shapes.setdefault(path, result.shape)
        except ConversionError as error:
            lowering.problems.append(error)
        except _NONSENSE:
            # Rules trust that a layer's settings fit its inputs, as Keras saw to; an edited file need not.
            name = "/".join((*prefix, layer.name))
            shapes = ", ".join(str(argument.shape) for argument in arguments) or "none"
            msg = f"layer '{name}' ({layer.class_name}): settings and inputs do not fit; inputs: {shapes}"
            lowering.problems.append(MismatchError(msg))


def _by_key(graph: Graph, call: Call, arguments: Sequence[Value]) -> Sequence[Value]:
    """Return the arguments in the order of a nested model's inputs, if it is called with a dictionary of them."""
    places = operands_by_key(call.args[0]) if call.args else None
    keys = [entry.key or entry.tensor.layer for entry in graph.inputs]
    if places is None or not set(keys) <= set(places):
        return arguments
    return [arguments[places[key]] for key in keys]


def _lower_nested(
    layer: Layer,
    graph: Graph,
    path: Path,
    arguments: Sequence[Value],
    lowering: Lowering,
) -> dict[int, Value]:
    """Lower a nested model; returns its outputs that could be computed, by position."""
    if len(graph.inputs) != len(arguments):
        msg = (
            f"nested model '{layer.name}' is called with {len(arguments)} inputs, "
            f"it has {len(graph.inputs)}"
        )
        raise UnreadableFileError(msg)
    inner = {
        entry.tensor: argument for entry, argument in zip(graph.inputs, arguments, strict=True)
    }
    around = lowering.blocks
    if len(around) < MAX_NESTED_BLOCKS:
        name = _block_name(path, lowering).rpartition(".")[2]
        lowering.blocks = (*around, (name, lowering.calls[path]))
    lowering.calls[path] += 1
    _lower_calls(graph, path, inner, lowering)
    lowering.blocks = around
    return {index: inner[ref] for index, ref in enumerate(graph.outputs) if ref in inner}


def _lower_layer(
    layer: Layer,
    path: Path,
    arguments: Sequence[Value],
    masks: Mapping[str, tuple[str, Shape]],
    lowering: Lowering,
) -> list[Value]:
    """Lower a layer; returns its outputs with their masks."""
    if lowering.iterations is not None:
        layer = replace(layer, config={**layer.config, "training_iterations": lowering.iterations})
    rule = find_layer_rule(layer.class_name)
    use = mask_use(rule)
    check_masks(layer, use, masks)
    if masks and use == "drop" and not layer.class_name.startswith("ops."):
        lowering.notes.append(
            f"'{'/'.join(path)}' ({layer.class_name}) loses the mask of its input, as in Keras"
        )
    found = rule.lower(layer, *(argument.shape for argument in arguments))
    previous = [(argument.name, argument.shape) for argument in arguments]
    values = {f"input_{index}": argument for index, argument in enumerate(previous)} | dict(masks)
    named = found if isinstance(found, Lowered) else None
    for step in found.steps if isinstance(found, Lowered) else found:
        taken = [values[name] for name in step.inputs] if step.inputs else previous
        previous = _add_step(step, layer, path, taken, lowering)
        values.update(zip(step.results, previous, strict=False))
    outputs = previous[:1] if named is None else [values[name] for name in named.outputs]
    if lowering.dtypes is not None:
        own = variable_dtype(layer)
        lowering.dtypes |= {name: own for name, _ in outputs if own is not None}
    if named is not None and named.unmasks and masks_of(layer).generation >= 3:
        lowering.unmasked |= same_tensors(arguments, lowering.unchanged)
    if rule.random_in_training and len(arguments) == len(outputs) == 1:
        lowering.unchanged[outputs[0][0]] = arguments[0].name
    behind = output_masks(named, use, masks, values)
    behind += [None] * (len(outputs) - len(behind))
    return [Value(name, shape, mask) for (name, shape), mask in zip(outputs, behind, strict=False)]


def _add_step(
    step: TorchStep,
    layer: Layer,
    path: Path,
    arguments: Sequence[tuple[str, Shape]],
    lowering: Lowering,
) -> list[tuple[str, Shape]]:
    """Note one step; returns the names and shapes of its results."""
    attribute = _attribute(step, layer, path, lowering) if TARGETS[step.op].module else None
    mode = _mode(layer, attribute, lowering)
    first = identifier("_".join(path), default="x")
    if step.results[:1] == ("mask",):
        first = f"{first}_mask"
    names = [unique(first, lowering.values)]
    names += [
        unique(identifier(f"{first}_{name}"), lowering.values)
        for name, _ in zip(step.results[1:], step.further_shapes, strict=True)
    ]
    lowering.steps.append(
        Step(
            step.op,
            tuple(name for name, _ in arguments),
            names[0],
            attribute,
            dict(step.kwargs),
            state=tuple(param.name for param in step.params),
            frozen=any(not _trains(layer, param.source) for param in step.params),
            further_outputs=tuple(names[1:]),
            blocks=lowering.blocks,
            dtype=_module_dtype(layer, attribute, lowering),
            mode=mode,
        )
    )
    lowering.origins.append(path)
    shape = arguments[0][1] if step.shape is None else step.shape
    return list(zip(names, (shape, *step.further_shapes), strict=True))


def _mode(layer: Layer, attribute: str | None, lowering: Lowering) -> str:
    """Return the mode that a step's module is fixed to. Raises UnsupportedError if other calls want another."""
    if attribute is None:
        return ""
    mode = lowering.modes.setdefault(attribute, lowering.mode)
    if mode != lowering.mode and acts_in_training(layer):
        modes = " and ".join(repr(each) if each else "open" for each in (mode, lowering.mode))
        msg = f"layer '{layer.name}' ({layer.class_name}) is called in several modes: {modes}"
        raise UnsupportedError(msg, hint="a layer of its own for each, or one mode for all calls")
    return mode


def _trains(layer: Layer, role: str) -> bool:
    """True if neither the layer nor, for a wrapped one, what wraps it is frozen."""
    return layer.trainable and layer.owner(role)[0].trainable


def _attribute(step: TorchStep, layer: Layer, path: Path, lowering: Lowering) -> str:
    known = lowering.attributes.get((path, step.suffix))
    if known is not None:
        return known  # a shared layer: the same module again
    block = _block_name(path[:-1], lowering)
    name = path[-1] + (f"_{step.suffix}" if step.suffix else "")
    attribute = unique((block and f"{block}.") + identifier(name), lowering.taken)
    lowering.attributes[path, step.suffix] = attribute
    roles = {weight.role: weight.trainable for weight in stored_weights(layer)}
    for param in step.params:
        key = f"{attribute}.{param.name}"
        lowering.params[key] = (path, param)
        if _trains(layer, param.source) and roles[param.source]:
            lowering.trainable.append(key)
    return attribute


def _block_name(path: Path, lowering: Lowering) -> str:
    """Return the dotted name of the submodule for a nested model, "" for the network itself."""
    if not path:
        return ""
    known = lowering.attributes.get((path, _BLOCK))
    if known is None:
        around = _block_name(path[:-1], lowering)
        if len(path) > MAX_NESTED_BLOCKS:
            return around  # deeper ones share a submodule
        known = unique((around and f"{around}.") + identifier(path[-1]), lowering.taken)
        lowering.attributes[path, _BLOCK] = known
    return known
