"""Keras model configurations of every generation to a `Graph` in the words of Keras 3.

Input is the text of `model_config` (.h5), `config.json` (.keras) or `to_json`. It is data: class names are looked up in
the registry later, nothing is imported or called. Here is the structure; what each generation meant by its words is in
`keras1`, `keras2` and `keras3`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from converters.configuration.call_nodes import Node, parse_node
from converters.configuration.call_order import call_offsets, output_offsets, shift_ref, sort_calls
from converters.configuration.call_structure import describe_structure, parse_structure
from converters.configuration.counted_penalties import settle_penalties
from converters.configuration.keras1 import rename_class
from converters.configuration.keras1_merge import join_models, joined_models, settle_merge
from converters.configuration.keras2 import (
    Dialect,
    backward_config,
    dtype_of,
    find_dialect,
    settle_settings,
)
from converters.configuration.keras3 import OWN_NAMES, is_operation
from converters.configuration.keras_rl import dueling_graph, dueling_kind
from converters.configuration.spatial_words import is_channels_first
from converters.configuration.unnamed_models import number_unnamed
from converters.errors import UnreadableFileError, UnsupportedError
from converters.graph import (
    CODE_CLASSES,
    MODEL_CLASSES,
    Call,
    Graph,
    Input,
    Layer,
    Operand,
    TensorRef,
)
from converters.json_text import parse_json
from converters.limits import Limits
from converters.matching.cudnn import as_plain_layer
from converters.matching.quantization import settle_quantization

CELLS = {"LSTMCell": "LSTM", "GRUCell": "GRU", "SimpleRNNCell": "SimpleRNN"}
"""Cells that RNN repeats over time, and the layer that is the two together."""
WRAPPERS = ("TimeDistributed", "Bidirectional", "SpectralNormalization")
"""Layers that hold another as "layer"."""


def parse_model_config(
    text: str, *, generation: int, version: str | None = None, limits: Limits | None = None
) -> Graph:
    """Return the graph that a model configuration describes.

    Args:
        text: JSON of one model, with `class_name` and `config`.
        generation: the Keras generation that wrote it (1, 2, 3); older words and defaults depend on it.
        version: the same in full ("2.2.4", "2.2.4-tf"), if known: standalone Keras differs from tf.keras.
        limits: bounds on size and depth.

    Raises:
        UnreadableFileError: The text is not such a configuration.
        UnsupportedError: The model is a class of the user's own.
    """
    data = parse_json(text, what="model configuration", limits=limits or Limits())
    if not isinstance(data, Mapping):
        msg = "the model configuration is not an object with class_name and config"
        raise UnreadableFileError(msg)
    try:
        dialect = find_dialect(generation, version)
        if generation == 1:
            dialect = replace(dialect, channels_first=is_channels_first(data))
        return settle_penalties(_parse_model(data, dialect), version)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        msg = f"the model configuration is not readable: {type(error).__name__}: {error}"
        raise UnreadableFileError(msg) from error


def _parse_model(data: Mapping[str, object], dialect: Dialect) -> Graph:
    class_name = str(data["class_name"])
    config = data["config"]
    if class_name not in MODEL_CLASSES:
        msg = f"model class '{class_name}' is not one of Keras's own; its structure is code, which is not in the file"
        raise UnsupportedError(
            msg, hint="give an equivalent Functional configuration with --architecture"
        )
    if class_name == "Sequential":
        return _parse_sequential(config, dialect)
    return _parse_functional(cast("Mapping[str, object]", config), dialect)


def _parse_sequential(config: object, dialect: Dialect) -> Graph:
    # Keras 1 to 2.0 stored the bare list of layers, later ones {"name": ..., "layers": [...]}.
    whole = config if isinstance(config, Mapping) else {"layers": config}
    entries = cast("Sequence[Mapping[str, object]]", whole["layers"])
    layers = number_unnamed([_parse_layer(entry, dialect) for entry in entries])
    if branches := [_parse_model(entry, dialect) for entry in joined_models(entries)]:
        joined = join_models(str(whole.get("name", "sequential")), branches, layers)
        _check_names(list(joined.layers))
        return joined
    if not layers:
        msg = "the Sequential model has no layers"
        raise UnreadableFileError(msg)
    shape = _sequential_shape(whole, entries, layers)
    if layers[0].class_name != "InputLayer":
        first = layers[0].graph
        dtype = first.inputs[0].dtype if first else dtype_of(layers[0].config, "float32")
        layers.insert(0, Layer(_free_name(layers, "input"), "InputLayer", {"dtype": dtype}))
    names = [layer.name for layer in layers]
    calls = [
        Call(name, 0, (TensorRef(before),), {}, (Operand(0),))
        for before, name in itertools.pairwise(names)
    ]
    source = TensorRef(names[0])
    return Graph(
        name=str(whole.get("name", "sequential")),
        class_name="Sequential",
        generation=dialect.generation,
        layers=tuple(_check_names(layers)),
        calls=tuple(calls),
        inputs=(Input(source, shape, dtype_of(layers[0].config, "float32")),),
        outputs=(TensorRef(names[-1]),),
    )


def _sequential_shape(
    whole: Mapping[str, object], entries: Sequence[Mapping[str, object]], layers: Sequence[Layer]
) -> tuple[int | None, ...] | None:
    first = layers[0]
    if first.graph is not None:
        return first.graph.inputs[0].shape
    build = cast("Mapping[str, object]", entries[0].get("build_config") or {})
    candidates = (
        first.config.get("batch_shape"),
        whole.get("build_input_shape"),
        build.get("input_shape"),
    )
    for candidate in candidates:
        if isinstance(candidate, (list, tuple)):
            return _shape(candidate)
    size = first.config.get("input_dim")  # Keras 1: Dense(20, input_dim=6)
    return (None, size) if isinstance(size, int) else None


def _parse_functional(config: Mapping[str, object], dialect: Dialect) -> Graph:
    entries = cast("Sequence[Mapping[str, object]]", config["layers"])
    layers = _check_names([_parse_layer(entry, dialect) for entry in entries])
    nodes: list[tuple[str, int, Node]] = []
    for entry, layer in zip(entries, layers, strict=True):
        stored = cast("Sequence[object]", entry.get("inbound_nodes") or [])
        nodes += [(layer.name, index, parse_node(node)) for index, node in enumerate(stored)]
    outputs, nesting = parse_structure(config["output_layers"])
    inputs, taken = parse_structure(config["input_layers"])
    structure, output_names = describe_structure(nesting)
    keys = describe_structure(taken)[1]
    used = [ref for _, _, node in nodes for ref in node.inputs]
    if dialect.generation == 3:
        functional = {
            layer.name for layer in layers if layer.graph and layer.class_name != "Sequential"
        }
        offsets, shifts = call_offsets(nodes, used), output_offsets(nodes, outputs, functional)
    else:
        offsets = shifts = call_offsets(nodes, [*used, *outputs])
    calls = [
        Call(
            name,
            index,
            tuple(shift_ref(ref, offsets) for ref in node.inputs),
            node.kwargs,
            node.args,
            tuple(node.dtypes),
        )
        for name, index, node in nodes
    ]
    by_name = {layer.name: layer for layer in layers}
    graph_inputs = []
    for place, ref in enumerate(inputs):
        source = by_name[ref.layer].config
        raw_shape = source.get("batch_shape")
        shape = _shape(raw_shape) if isinstance(raw_shape, (list, tuple)) else None
        key = keys[place] if keys else None
        graph_inputs.append(Input(TensorRef(ref.layer), shape, dtype_of(source, "float32"), key))
    return Graph(
        name=str(config.get("name", "functional")),
        class_name="Functional",
        generation=dialect.generation,
        layers=tuple(layers),
        calls=tuple(sort_calls(calls, {ref.layer for ref in inputs})),
        inputs=tuple(graph_inputs),
        outputs=tuple(shift_ref(ref, shifts) for ref in outputs),
        structure=structure,
        output_names=output_names,
        nesting=nesting if structure == "nested" else None,
    )


def _parse_layer(entry: Mapping[str, object], dialect: Dialect) -> Layer:
    class_name = str(entry["class_name"])
    if dialect.generation < 3:
        class_name = rename_class(class_name)
    raw = entry["config"]
    class_name = OWN_NAMES.get(class_name, class_name)
    if dialect.generation == 3 and is_operation(entry):
        class_name = f"ops.{class_name}"  # keras.ops.add and the layer Add have the same class name
    if class_name == "Pipeline":  # layers one after the other
        entry = {"name": entry.get("name"), "class_name": "Sequential", "config": raw}
        class_name = "Sequential"
    if class_name in MODEL_CLASSES:
        graph = _parse_model(entry, dialect)
        name = entry.get("name") or (raw.get("name") if isinstance(raw, Mapping) else None)
        named = name is not None
        return Layer(
            str(name or graph.name),
            class_name,
            {},
            graph=graph,
            is_named=named,
            object_id=_object_id(entry),
        )
    class_name, config = settle_merge(class_name, cast("Mapping[str, object]", raw))
    class_name, config = _unfold_cell(class_name, config, dialect)
    class_name, config = as_plain_layer(class_name, config)
    class_name, config = settle_quantization(class_name, config)
    name = str(entry.get("name") or config["name"])
    dueling = dueling_kind(config) if class_name == "Lambda" else None
    if dueling is not None:
        kind, columns = dueling
        return Layer(name, "Functional", {}, graph=dueling_graph(name, columns, kind))
    if class_name in CODE_CLASSES:
        # What it is called and its plain arguments are kept: code of the user's own may know what the layer computes.
        given = config.get("arguments")
        config = {**(given if isinstance(given, Mapping) else {}), "name": name}
    inner = _parse_inner(class_name, config, dialect)
    # Keras 3 asks each variable whether it trains, and a wrapper made with trainable=False does not tell the layers inside.
    asked_inside = dialect.generation == 3 and bool(inner)
    return Layer(
        name,
        class_name,
        settle_settings(CELLS.get(class_name, class_name), config, dialect),
        trainable=asked_inside or bool(config.get("trainable", True)),
        inner=inner,
        object_id=_object_id(entry),
    )


def _object_id(entry: Mapping[str, object]) -> int | None:
    number = entry.get("shared_object_id")
    return number if isinstance(number, int) else None


def _unfold_cell(
    class_name: str, config: Mapping[str, object], dialect: Dialect
) -> tuple[str, Mapping[str, object]]:
    """Return RNN(LSTMCell(...)) as the LSTM it is, with the cell's class: files name its arrays after the RNN."""
    cell = config.get("cell")
    if class_name != "RNN" or not isinstance(cell, Mapping) or cell.get("class_name") not in CELLS:
        return class_name, config
    inner = cast("Mapping[str, object]", cell["config"])
    around = {key: value for key, value in config.items() if key != "cell"}
    trainable = bool(inner.get("trainable", True))
    if dialect.generation < 3:  # as with other wrappers
        trainable = trainable and bool(config.get("trainable", True))
    kind = str(cell["class_name"])
    return CELLS[kind], {**inner, **around, "trainable": trainable, "cell": kind}


def _parse_inner(
    class_name: str, config: Mapping[str, object], dialect: Dialect
) -> dict[str, Layer]:
    """Return what a wrapper wraps, by the attribute that holds it in Keras."""
    if class_name in ("RNN", "StackedRNNCells"):
        return _parse_cells(config, dialect)
    if class_name not in WRAPPERS:
        return {}
    wrapped = cast("Mapping[str, object]", config["layer"])
    if class_name != "Bidirectional":
        return {"layer": _with_parts(_parse_layer(wrapped, dialect))}
    forward = _parse_layer(wrapped, dialect)
    if _holds(
        forward, class_name
    ):  # the weights of each would be four of the inner one's, and so on inside
        msg = f"layer '{config.get('name')}' (Bidirectional) wraps what is Bidirectional itself"
        raise UnsupportedError(msg)
    other = config.get("backward_layer")
    if other is not None:
        backward = _parse_layer(cast("Mapping[str, object]", other), dialect)
    else:
        backward = replace(forward, config=backward_config(forward.config, dialect))
    return {"forward_layer": forward, "backward_layer": backward}


def _holds(layer: Layer, class_name: str) -> bool:
    """Return whether a layer is of a class, or wraps one that is."""
    return layer.class_name == class_name or any(
        _holds(part, class_name) for part in layer.inner.values()
    )


def _with_parts(layer: Layer) -> Layer:
    """Return a model inside a wrapper with its layers as what it holds; other layers as they are."""
    if layer.graph is None:
        return layer
    return replace(layer, inner={part.name: _with_parts(part) for part in layer.graph.layers})


def _parse_cells(config: Mapping[str, object], dialect: Dialect) -> dict[str, Layer]:
    """Return the cells of a stack, or of an RNN, as the layers that repeat them over time."""
    stack = config.get("cell", {"class_name": "StackedRNNCells", "config": config})
    cells: object = [stack]
    if isinstance(stack, Mapping) and stack.get("class_name") == "StackedRNNCells":
        cells = cast("Mapping[str, object]", stack["config"])["cells"]
    found = {}
    for index, cell in enumerate(cast("Sequence[Mapping[str, object]]", cells)):
        class_name = str(cell["class_name"])
        whole = {**cell, "class_name": CELLS.get(class_name, class_name)}
        found[f"cell_{index}"] = _parse_layer(whole, dialect)
    return found


def _check_names(layers: list[Layer]) -> list[Layer]:
    seen: set[str] = set()
    for layer in layers:
        if layer.name in seen:
            msg = f"two layers are named '{layer.name}'"
            raise UnreadableFileError(msg)
        seen.add(layer.name)
    return layers


def _free_name(layers: Sequence[Layer], name: str) -> str:
    names = {layer.name for layer in layers}
    while name in names:
        name += "_"
    return name


def _shape(value: Sequence[object]) -> tuple[int | None, ...]:
    return tuple(None if size is None else int(cast("int", size)) for size in value)
