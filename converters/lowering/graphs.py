"""A graph of Keras layers lowered to the steps of a torch module.

Walks the calls in order and asks the rule of each layer; `converters.lowering.steps` notes what comes back. Arrays are
not looked at: `converters.plan` brings them in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from converters.architecture import MAX_NESTED_BLOCKS, Architecture, InputValue, Step
from converters.checkpoint import ArrayInfo
from converters.configuration.call_structure import operands_by_key
from converters.errors import (
    ConversionError,
    MismatchError,
    UnreadableFileError,
    UnsafeFileError,
    UnsupportedError,
)
from converters.graph import Call, Graph, Layer, TensorRef
from converters.lowering.dtypes import (
    PRECISION,
    gives_whole_numbers,
    gives_words,
    input_dtype,
    note_floats,
    note_whole_numbers,
    parameter_dtype,
    variable_dtype,
    with_text,
    with_whole,
)
from converters.lowering.execution_order import execution_order
from converters.lowering.masking import (
    Value,
    check_masks,
    mask_use,
    masked_outputs,
    masks_of,
    named_masks,
    output_masks,
    split_masks,
    with_given_masks,
    with_masks,
)
from converters.lowering.state import Lowering
from converters.lowering.steps import add_step, block_name, cast_arguments
from converters.lowering.training_notes import fixed_mode, layer_notes, mode_notes
from converters.matching.model_weights import Path
from converters.names import class_identifier, identifier, taken_names, unique
from converters.passes.blocks import depth_first, name_blocks
from converters.passes.channels import settle_channels
from converters.passes.frames import keep_frames_joined
from converters.passes.masks import settle_masks
from converters.registry import Lowered, Plain, Shape, TorchStep, find_layer_rule
from converters.targets import piece_names

MAX_CALLS = 200_000
"""Calls of layers, those inside of a model as often as it is called; a file of 20 kB can nest 2**40. The largest networks
have some thousands."""
_NONSENSE = (LookupError, ValueError, TypeError, ArithmeticError)


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
    """Return the torch module of a graph; what each parameter comes from is noted in `lowering`.

    Raises:
        UnsafeFileError: Its models call each other too often.
        ConversionError: As a whole it cannot be computed; problems of single layers are among those of `lowering`.
    """
    if (count := _count_calls(graph)) > MAX_CALLS:
        msg = f"the architecture calls {count:,} layers, models inside of it included; the limit is {MAX_CALLS:,}"
        raise UnsafeFileError(msg)
    values: dict[TensorRef, Value] = {}
    inputs = []
    dtype = parameter_dtype(graph, lowering)
    for entry in graph.inputs:
        key = entry.key or entry.tensor.layer
        name = unique(identifier(key, default="x"), lowering.values)
        cast_to = entry.dtype if lowering.dtypes is not None else input_dtype(entry.dtype, dtype)
        if lowering.dtypes is not None and entry.dtype in PRECISION:
            lowering.dtypes[name] = entry.dtype
        if entry.dtype.startswith(("int", "uint", "bool")):
            lowering.whole.add(name)
        if entry.dtype == "bool":
            lowering.flags.add(name)
        if entry.dtype == "string":
            lowering.text.add(name)
        inputs.append(InputValue(name, entry.shape, cast_to, key))
        values[entry.tensor] = Value(name, entry.shape or ())
    _lower_calls(graph, (), values, lowering)
    missing = sorted({ref.layer for ref in graph.outputs if ref not in values})
    if missing and not lowering.problems:
        msg = f"the configuration names outputs that nothing computes: {', '.join(missing)}"
        raise UnreadableFileError(msg)
    outputs = tuple(
        _read_text(values[ref], ref, lowering) for ref in graph.outputs if ref in values
    )
    carried = {ref: _carried(value, lowering) for ref, value in values.items()}
    lowering.notes += masked_outputs(graph, carried)
    lowering.steps, lowering.origins = keep_frames_joined(lowering.steps, lowering.origins, outputs)
    lowering.steps, lowering.origins = settle_masks(lowering.steps, lowering.origins, outputs)
    lowering.steps, lowering.origins, outputs = settle_channels(
        lowering.steps,
        lowering.origins,
        outputs,
        fresh=lambda name: unique(name, lowering.values),
    )
    _make_blocks(lowering)
    return Architecture(
        name=unique(class_identifier(graph.name), taken_names(piece_names())),
        inputs=tuple(inputs),
        outputs=outputs,
        steps=tuple(lowering.steps),
        structure=graph.structure,
        output_names=graph.output_names,
        dtype=dtype,
        nesting=cast("Plain", graph.nesting),
    )


def _count_calls(graph: Graph) -> int:
    inside = {layer.name: _count_calls(layer.graph) for layer in graph.layers if layer.graph}
    return sum(1 + inside.get(call.layer, 0) for call in graph.calls)


def _read_text(value: Value, ref: TensorRef, lowering: Lowering) -> str:
    """Return the name of an output; words leave the module as lists of `str`, made of their bytes."""
    if value.name not in lowering.text:
        return value.name
    name = unique(f"{value.name}_words", lowering.values)
    lowering.steps.append(Step("compat.read_words", (value.name,), name))
    lowering.origins.append((ref.layer,))
    return name


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


def _carried(value: Value, lowering: Lowering) -> Value:
    """Return a value without the mask that a layer has taken from it."""
    tensor = lowering.same.get(value.name, value.name)
    return replace(value, mask=None) if tensor in lowering.unmasked else value


def _lower_calls(
    graph: Graph, prefix: Path, values: dict[TensorRef, Value], lowering: Lowering
) -> None:
    around = lowering.mode
    for call in execution_order(graph):
        layer = graph.layer(call.layer)
        missing = [ref for ref in call.inputs if ref not in values]
        if missing:
            continue  # the step before failed; its problem is listed
        arguments = [_carried(values[ref], lowering) for ref in call.inputs]
        note_whole_numbers(call, [argument.name for argument in arguments], lowering)
        if layer.class_name == "InputLayer":
            values[TensorRef(call.layer, call.call)] = arguments[0]
            continue
        given: dict[str, TensorRef] = {}
        try:
            lowering.notes += layer_notes(layer, call, known=lowering.notes)
            lowering.notes += mode_notes(layer, call, generation=graph.generation)
            lowering.mode = fixed_mode(layer, call, generation=graph.generation, around=around)
            if not layer.is_operation:
                by_place = graph.generation == 3
                call, given = split_masks(call, layer.class_name, by_place=by_place)
                arguments = [_carried(values[ref], lowering) for ref in call.inputs]
            path = layer.path_in(prefix)
            said = {
                name: _as_mask(values[ref], layer, path, lowering) for name, ref in given.items()
            }
            masks = named_masks(arguments, said)
            layer = with_masks(layer, masks, graph.generation)
            if layer.graph is not None:
                entering = _by_key(layer.graph, call, with_given_masks(arguments, layer, masks))
                results = _lower_nested(layer, layer.graph, path, entering, lowering)
            else:
                if find_layer_rule(layer.class_name).takes_call:
                    layer = replace(layer, config={**layer.config, "call": call})
                arguments = cast_arguments(layer, path, arguments, lowering)
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


def _as_mask(value: Value, layer: Layer, path: Path, lowering: Lowering) -> Value:
    """Return a mask that a call states; Keras takes whole numbers for true and false."""
    if value.name not in lowering.whole - lowering.flags:
        return value
    cast_to = TorchStep("compat.cast", {"dtype": "bool"}, shape=value.shape)
    [(name, _)] = add_step(cast_to, layer, path, [(value.name, value.shape)], lowering)
    return replace(value, name=name)


def _with_rank_of(
    shape: Shape | None, argument: Value, layer: Layer, path: Path, lowering: Lowering
) -> Value:
    """Return what a nested model is called with; a last axis of 1 that its input has or lacks comes or goes.

    Source: keras 3.15.1, models/functional.py, `_adjust_input_rank`.
    """
    given = argument.shape
    if shape is None or abs(len(shape) - len(given)) != 1 or max(shape, given, key=len)[-1] != 1:
        return argument
    step = TorchStep("torch.unsqueeze" if len(shape) > len(given) else "torch.squeeze", {"dim": -1})
    wanted = (*given, 1) if len(shape) > len(given) else given[:-1]
    [(name, _)] = add_step(
        replace(step, shape=wanted), layer, path, [(argument.name, given)], lowering
    )
    return replace(argument, name=name, shape=wanted)


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
        entry.tensor: _with_rank_of(entry.shape, argument, layer, path, lowering)
        for entry, argument in zip(graph.inputs, arguments, strict=True)
    }
    around = lowering.blocks
    if len(path) <= MAX_NESTED_BLOCKS:
        name = block_name(path, lowering).rpartition(".")[2]
        lowering.blocks = (*around[: len(path) - 1], (name, lowering.calls[path]))
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
    names = [argument.name for argument in arguments]
    layer = with_whole(with_text(layer, rule, names, lowering), names, lowering)
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
    steps = found.steps if isinstance(found, Lowered) else found
    for step in steps:
        taken = [values[name] for name in step.inputs] if step.inputs else previous
        previous = add_step(step, layer, path, taken, lowering)
        values.update(zip(step.results, previous, strict=False))
    outputs = previous[:1] if named is None else [values[name] for name in named.outputs]
    if gives_whole_numbers(layer, names, lowering):
        lowering.whole |= {name for name, _ in outputs}
    last = steps[-1] if steps else None
    cast_to = last.kwargs["dtype"] if last is not None and last.op == "compat.cast" else None
    note_floats(layer, names, [name for name, _ in outputs], cast_to, lowering)
    if gives_words(layer):
        lowering.text |= {name for name, _ in outputs}
    if lowering.dtypes is not None:
        own = variable_dtype(layer)
        lowering.dtypes |= {name: own for name, _ in outputs if own is not None}
    if named is not None and named.unmasks and masks_of(layer).generation >= 3:
        lowering.unmasked |= {lowering.same.get(name, name) for name in names}
    if rule.random_in_training and len(arguments) == len(outputs) == 1:
        lowering.same[outputs[0][0]] = lowering.same.get(names[0], names[0])
    behind = output_masks(named, use, masks, values)
    behind += [None] * (len(outputs) - len(behind))
    return [Value(name, shape, mask) for (name, shape), mask in zip(outputs, behind, strict=False)]
