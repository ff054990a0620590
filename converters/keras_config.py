"""Keras model configurations of every generation to a `Graph` in the words of Keras 3.

Input is the text of `model_config` (.h5), `config.json` (.keras) or `to_json`. It is data: class names are looked up in
the registry later, nothing is imported or called.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from converters.call_nodes import Node, parse_node, parse_ref
from converters.errors import UnreadableFileError, UnsupportedError
from converters.graph import Call, Graph, Input, Layer, Operand, TensorRef
from converters.json_text import parse_json
from converters.limits import Limits
from converters.spatial_words import RENAMED_CLASSES, SPATIAL_SETTINGS, settle_spatial

MODEL_CLASSES = ("Sequential", "Functional", "Model")
CELLS = {"LSTMCell": "LSTM", "GRUCell": "GRU", "SimpleRNNCell": "SimpleRNN"}
"""Cells that RNN repeats over time, and the layer that is the two together."""
CODE_CLASSES = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
"""Layers whose configuration holds or names code; nothing of them is ever run."""

OWN_NAMES = {"GroupedQueryAttention": "GroupQueryAttention"}
"""Classes whose own name, in .h5 files, is not the one that Keras exports."""

_RECURRENT_SETTINGS = {
    "output_dim": "units",
    "inner_activation": "recurrent_activation",
    "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
    "W_regularizer": "kernel_regularizer",
    "U_regularizer": "recurrent_regularizer",
    "b_regularizer": "bias_regularizer",
}
# Keras 1 and 2 words to Keras 3's, by class; "*" holds for every class.
RENAMED_SETTINGS: dict[str, dict[str, str]] = {
    "*": {"batch_input_shape": "batch_shape"},
    "Dense": {
        "output_dim": "units",
        "bias": "use_bias",
        "W_regularizer": "kernel_regularizer",
        "b_regularizer": "bias_regularizer",
    },
    **SPATIAL_SETTINGS,
    "Dropout": {"p": "rate"},
    "SimpleRNN": _RECURRENT_SETTINGS,
    "LSTM": _RECURRENT_SETTINGS,
    "GRU": _RECURRENT_SETTINGS,
    "LeakyReLU": {"alpha": "negative_slope"},
}
# Keras 1 and 2 computed clip(0.2 x + 0.5), Keras 3 computes clip(x / 6 + 0.5).
KERAS2_ACTIVATIONS = {"hard_sigmoid": "hard_sigmoid_keras2"}
ACTIVATION_SETTINGS = ("activation", "recurrent_activation")


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
        UnsupportedError: The model is a class of the user's own, or a layer holds code.
    """
    data = parse_json(text, what="model configuration", limits=limits or Limits())
    if not isinstance(data, Mapping):
        msg = "the model configuration is not an object with class_name and config"
        raise UnreadableFileError(msg)
    try:
        return _parse_model(data, _dialect(generation, version))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        msg = f"the model configuration is not readable: {type(error).__name__}: {error}"
        raise UnreadableFileError(msg) from error


@dataclass(frozen=True, slots=True)
class _Dialect:
    """Whose words a configuration speaks."""

    generation: int
    standalone: (
        tuple[int, int] | None
    )  # (0, 8) for Keras 2.0.8 as a package of its own; None: tf.keras or Keras 3
    fused_ranks: tuple[int, ...]  # of the inputs that TensorFlow's fused kernel normalized


def _dialect(generation: int, version: str | None) -> _Dialect:
    standalone = _standalone(version)
    if generation != 2 or standalone is not None:
        return _Dialect(generation, standalone, ())
    # tf.keras of TensorFlow 1 and of the first 2.x ("2.2.4-tf") fused images only, later ones volumes as well.
    return _Dialect(generation, None, (4,) if (version or "").endswith("-tf") else (4, 5))


def _standalone(version: str | None) -> tuple[int, int] | None:
    """Return minor version and patch of a Keras 2 that was its own package: not "2.2.4-tf", "2.12.0" or "2.4.3"."""
    match = re.fullmatch(r"2\.([0-3])\.(\d+)", version or "")
    return None if match is None else (int(match[1]), int(match[2]))


def _parse_model(data: Mapping[str, object], dialect: _Dialect) -> Graph:
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


def _parse_sequential(config: object, dialect: _Dialect) -> Graph:
    # Keras 1 to 2.0 stored the bare list of layers, later ones {"name": ..., "layers": [...]}.
    whole = config if isinstance(config, Mapping) else {"layers": config}
    entries = cast("Sequence[Mapping[str, object]]", whole["layers"])
    layers = [_parse_layer(entry, dialect) for entry in entries]
    if not layers:
        msg = "the Sequential model has no layers"
        raise UnreadableFileError(msg)
    shape = _sequential_shape(whole, entries, layers)
    if layers[0].class_name != "InputLayer":
        first = layers[0].graph
        dtype = first.inputs[0].dtype if first else _dtype(layers[0].config, "float32")
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
        inputs=(Input(source, shape, _dtype(layers[0].config, "float32")),),
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


def _parse_functional(config: Mapping[str, object], dialect: _Dialect) -> Graph:
    entries = cast("Sequence[Mapping[str, object]]", config["layers"])
    layers = _check_names([_parse_layer(entry, dialect) for entry in entries])
    nodes: list[tuple[str, int, Node]] = []
    for entry, layer in zip(entries, layers, strict=True):
        stored = cast("Sequence[object]", entry.get("inbound_nodes") or [])
        nodes += [(layer.name, index, parse_node(node)) for index, node in enumerate(stored)]
    raw_outputs = config["output_layers"]
    structure, output_names, outputs = _parse_outputs(raw_outputs)
    inputs = _parse_outputs(config["input_layers"])[2]
    offsets = _call_offsets(nodes, outputs)
    calls = [
        Call(
            name, index, tuple(_shift(ref, offsets) for ref in node.inputs), node.kwargs, node.args
        )
        for name, index, node in nodes
    ]
    by_name = {layer.name: layer for layer in layers}
    graph_inputs = []
    for ref in inputs:
        source = by_name[ref.layer].config
        raw_shape = source.get("batch_shape")
        shape = _shape(raw_shape) if isinstance(raw_shape, (list, tuple)) else None
        graph_inputs.append(Input(TensorRef(ref.layer), shape, _dtype(source, "float32")))
    return Graph(
        name=str(config.get("name", "functional")),
        class_name="Functional",
        generation=dialect.generation,
        layers=tuple(layers),
        calls=tuple(_sorted(calls, {ref.layer for ref in inputs})),
        inputs=tuple(graph_inputs),
        outputs=tuple(_shift(ref, offsets) for ref in outputs),
        structure=structure,
        output_names=output_names,
    )


def _parse_layer(entry: Mapping[str, object], dialect: _Dialect) -> Layer:
    class_name = str(entry["class_name"])
    if dialect.generation < 3:
        class_name = RENAMED_CLASSES.get(class_name, class_name)
    raw = entry["config"]
    class_name = OWN_NAMES.get(class_name, class_name)
    if _is_operation(entry, dialect):
        class_name = f"ops.{class_name}"  # keras.ops.add and the layer Add have the same class name
    if class_name in MODEL_CLASSES:
        graph = _parse_model(entry, dialect)
        name = str(
            entry.get("name")
            or (raw.get("name") if isinstance(raw, Mapping) else None)
            or graph.name
        )
        return Layer(name, class_name, {}, graph=graph)
    class_name, config = _unfold_cell(class_name, cast("Mapping[str, object]", raw))
    name = str(entry.get("name") or config["name"])
    if class_name in CODE_CLASSES:
        msg = f"layer '{name}' is a {class_name} and holds code; code from a file is never run"
        raise UnsupportedError(
            msg,
            hint="rebuild the layer from standard layers before saving, or give a rule with --rules MODULE",
        )
    return Layer(
        name,
        class_name,
        _translate(class_name, config, dialect),
        trainable=bool(config.get("trainable", True)),
        inner=_parse_inner(class_name, config, dialect),
    )


def _unfold_cell(class_name: str, config: Mapping[str, object]) -> tuple[str, Mapping[str, object]]:
    """Return RNN(LSTMCell(...)) as the LSTM it is; the other cells likewise."""
    cell = config.get("cell")
    if class_name != "RNN" or not isinstance(cell, Mapping) or cell.get("class_name") not in CELLS:
        return class_name, config
    inner = cast("Mapping[str, object]", cell["config"])
    around = {key: value for key, value in config.items() if key != "cell"}
    trainable = bool(config.get("trainable", True)) and bool(inner.get("trainable", True))
    return CELLS[str(cell["class_name"])], {**inner, **around, "trainable": trainable}


def _is_operation(entry: Mapping[str, object], dialect: _Dialect) -> bool:
    """True for a node of keras.ops; an .h5 does not say its module, but only layers have a dtype or are trainable."""
    if dialect.generation < 3:
        return False
    if entry.get("module") is not None:
        return str(entry["module"]).startswith("keras.src.ops")
    config = entry["config"]
    known = isinstance(config, Mapping) and ("dtype" in config or "trainable" in config)
    return not known and bool(entry.get("inbound_nodes"))


def _parse_inner(
    class_name: str, config: Mapping[str, object], dialect: _Dialect
) -> dict[str, Layer]:
    """Return what a wrapper wraps, by the attribute that holds it in Keras."""
    if class_name not in ("TimeDistributed", "Bidirectional"):
        return {}
    wrapped = cast("Mapping[str, object]", config["layer"])
    if class_name == "TimeDistributed":
        return {"layer": _parse_layer(wrapped, dialect)}
    forward = _parse_layer(wrapped, dialect)
    other = config.get("backward_layer")
    if other is not None:
        backward = _parse_layer(cast("Mapping[str, object]", other), dialect)
    else:
        turned = not forward.config.get("go_backwards", False)
        backward = replace(forward, config={**forward.config, "go_backwards": turned})
    return {"forward_layer": forward, "backward_layer": backward}


def _translate(
    class_name: str, config: Mapping[str, object], dialect: _Dialect
) -> dict[str, object]:
    renamed = (
        {**RENAMED_SETTINGS["*"], **RENAMED_SETTINGS.get(class_name, {})}
        if dialect.generation < 3
        else {}
    )
    result = {renamed.get(key, key): _plain(value) for key, value in config.items()}
    if dialect.generation < 3:
        result = settle_spatial(class_name, result, standalone=dialect.standalone is not None)
        for key in ACTIVATION_SETTINGS:
            value = result.get(key)
            if isinstance(value, str):
                result[key] = KERAS2_ACTIVATIONS.get(value, value)
    if class_name in ("LSTM", "GRU") and dialect.generation < 3:
        # Every file since Keras 2.3 states both; before, the defaults were these.
        result.setdefault("recurrent_activation", "hard_sigmoid_keras2")
    if class_name == "GRU" and dialect.generation < 3:
        result.setdefault("reset_after", False)
    if class_name == "BatchNormalization":
        _settle_normalization(result, dialect)
    return result


def _plain(value: object) -> object:
    """Return the number that TensorFlow 2.12 to 2.15 stored as an array of NumPy, anything else as it is."""
    if isinstance(value, Mapping) and value.get("class_name") == "__numpy__":
        return cast("Mapping[str, object]", value["config"])["value"]
    return value


def _settle_normalization(settings: dict[str, object], dialect: _Dialect) -> None:
    """Say in words of the rule how statistics move; no Keras states it."""
    if dialect.standalone is not None:
        settings["moving_average"] = "debiased"
        # Since 2.1.3 the variance of the batch is scaled by n / (n - 1 - epsilon) before it is averaged.
        if dialect.standalone >= (1, 3):
            settings["moving_variance"] = "keras2"
    if _dtype(settings, "float32") != "float64" and settings.get("virtual_batch_size") is None:
        settings["fused_ranks"] = dialect.fused_ranks  # the kernel has no float64
    axis = settings.get("axis", -1)
    if isinstance(axis, list) and len(axis) == 1:  # Keras 2 stored a list of one
        settings["axis"] = axis[0]


def _parse_outputs(value: object) -> tuple[str, tuple[str, ...], tuple[TensorRef, ...]]:
    if isinstance(value, Mapping):
        keys = tuple(str(key) for key in value)
        return (
            "dict",
            keys,
            tuple(parse_ref(cast("Sequence[object]", entry)) for entry in value.values()),
        )
    entries = cast("Sequence[object]", value)
    if entries and isinstance(entries[0], str):  # Keras 3 stores a single output bare
        return "single", (), (parse_ref(entries),)
    refs = tuple(parse_ref(cast("Sequence[object]", entry)) for entry in entries)
    # Keras 1 and 2 wrote a list in either case; a model with one output returned it bare.
    return ("single" if len(refs) == 1 else "list"), (), refs


def _call_offsets(
    calls: Sequence[tuple[str, int, Node]],
    outputs: Sequence[TensorRef],
) -> dict[str, int]:
    """Return by how much references to a layer's calls are shifted.

    A nested model was called once when it was made; some generations count that call, so references to it start at 1.
    """
    counts: dict[str, int] = {}
    for name, _, _ in calls:
        counts[name] = counts.get(name, 0) + 1
    used: dict[str, set[int]] = {}
    for ref in [*(ref for _, _, node in calls for ref in node.inputs), *outputs]:
        used.setdefault(ref.layer, set()).add(ref.call)
    return {
        name: 1 for name, indexes in used.items() if name in counts and max(indexes) >= counts[name]
    }


def _shift(ref: TensorRef, offsets: Mapping[str, int]) -> TensorRef:
    return TensorRef(ref.layer, ref.call - offsets.get(ref.layer, 0), ref.index)


def _sorted(calls: Sequence[Call], sources: set[str]) -> list[Call]:
    """Return the calls in an order that can be computed, otherwise as stored."""
    ready = {(name, 0) for name in sources}
    waiting, done = list(calls), []
    while waiting:
        rest = []
        for call in waiting:
            if all((ref.layer, ref.call) in ready for ref in call.inputs):
                ready.add((call.layer, call.call))
                done.append(call)
            else:
                rest.append(call)
        if len(rest) == len(waiting):
            stuck = ", ".join(f"'{call.layer}'" for call in rest[:5])
            msg = f"the graph has a cycle or a missing layer; cannot be computed: {stuck}"
            raise UnreadableFileError(msg)
        waiting = rest
    return done


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


def _dtype(config: Mapping[str, object], default: str) -> str:
    """Return the dtype a layer computes in; Keras 3 stores a policy, older ones a name."""
    value = config.get("dtype")
    if isinstance(value, Mapping):
        inner = cast("Mapping[str, object]", value.get("config") or {})
        value = inner.get("name")
    return value if isinstance(value, str) else default
