"""A model's configuration in the words of Keras 3: written anew from the graph, where an older Keras wrote it in its own.

The graph is in the words of Keras 3 already; what is left is what only older ones say, and where Keras 3 computes
otherwise under the same name: that has no counterpart and is refused. Keras 3 is not needed for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from converters.configuration.keras3 import WITHOUT_TRAINABLE
from converters.errors import UnsupportedError
from converters.graph import CODE_CLASSES, OPERATION_CLASSES, Call, Graph, Layer, Operand, TensorRef
from converters.registry import LAYERS

Json = dict[str, object]
HINT = "export to .h5, the format of older Keras: -o model.h5"
FUNCTIONAL_MODULE = "keras.src.models.functional"
ANY = object()
"""In NEUTRAL: the setting says nothing in Keras 3, whatever its value."""
RECURRENT = (
    *("SimpleRNN", "LSTM", "GRU", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"),
    "Bidirectional",
)
MERGING = (
    *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"),
    *("Concatenate", "Dot"),
)
_WITHOUT_GROUPS = (
    *("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"),
    *("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"),
)
_OTHER_KERNELS = ("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D")
_KERNEL = {f"kernel_{kind}": ANY for kind in ("initializer", "regularizer", "constraint")}
NEUTRAL: Mapping[str, Mapping[str, object]] = {
    "*": {
        "dynamic": False, "batch_shape": ANY, "input_shape": ANY, "input_dtype": ANY,
        # Notes of the reader on how older Keras trains, which no Keras states.
        "fused_ranks": ANY, "statistics": ANY, "statistics_when_frozen": ANY, "moving_variance": ANY,
    },
    "InputLayer": {"ragged": False, "sparse": False, "dynamic": False, "optional": False, "type_spec": None},
    "BatchNormalization": {
        "fused": ANY, "virtual_batch_size": None, "adjustment": None,
    },
    "LayerNormalization": {"axes_as_written": False},
    "Embedding": {"input_length": ANY, "sparse": False},
    "MultiHeadAttention": {"query_shape": ANY, "key_shape": ANY, "value_shape": ANY},
    "Attention": {"causal": False},
    "AdditiveAttention": {"causal": False},
    **{name: {"implementation": ANY, "time_major": False, "cell": ANY} for name in RECURRENT},
    **{name: {"groups": 1} for name in _WITHOUT_GROUPS},
    **{name: {"groups": 1, **_KERNEL} for name in _OTHER_KERNELS},
    **{name: {"groups": 1, "filters": None, **_KERNEL} for name in _OTHER_KERNELS[:2]},
    **{name: {"noise_shape": None} for name in WITHOUT_TRAINABLE},
}  # fmt: skip
"""Settings that Keras 3 does not take, with the value at which nothing is lost without them."""
WITHOUT_COUNTERPART = (
    *("LocallyConnected1D", "LocallyConnected2D", "ThresholdedReLU", "RandomHeight", "RandomWidth"),
    *("DenseFeatures", "RNN", "StackedRNNCells", "MaxoutDense", "Highway", "SReLU"),
    "ParametricSoftplus",
)
"""Layers of older Keras that Keras 3 does not have, or not with what they hold told apart."""
OTHERWISE = {
    "hard_sigmoid_keras2": "hard_sigmoid, which was 0.2 x + 0.5 and is x / 6 + 0.5 in Keras 3",
    "bilinear between corners": "bilinear interpolation between the corners, as TensorFlow 1 had it",
    "debiased": "moving averages without the weight of their start",
}
"""Values of settings that Keras 3 means otherwise."""
_OBJECTS = {
    "_initializer": "keras.initializers",
    "_regularizer": "keras.regularizers",
    "_constraint": "keras.constraints",
}
INITIALIZERS = (
    *("Zeros", "Ones", "Constant", "RandomNormal", "RandomUniform", "TruncatedNormal", "Identity"),
    *("VarianceScaling", "Orthogonal", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform"),
    *("LecunNormal", "LecunUniform"),
)
REGULARIZERS = ("L1", "L2", "L1L2", "OrthogonalRegularizer")
CONSTRAINTS = ("MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm")
_KNOWN = {
    "keras.initializers": INITIALIZERS,
    "keras.regularizers": REGULARIZERS,
    "keras.constraints": CONSTRAINTS,
}


def keras3_model(graph: Graph) -> Json:
    """Return the entry of a model as `config.json` has it.

    Raises:
        UnsupportedError: Something of it means another thing in Keras 3, or nothing; all of it is named.
    """
    problems: list[str] = []
    found = _model(graph, problems)
    if problems:
        listed = "\n  ".join(dict.fromkeys(problems))
        msg = f"the model is of Keras {graph.generation}; what Keras 3 has no counterpart for:\n  {listed}"
        raise UnsupportedError(msg, hint=HINT)
    return found


def _model(graph: Graph, problems: list[str]) -> Json:
    if graph.class_name == "Sequential":
        layers = [_entry(layer, graph, problems) for layer in graph.layers]
        about: Json = {"module": "keras", "class_name": "Sequential", "registered_name": None}
        return {**about, "config": {"name": graph.name, "trainable": True, "layers": layers}}
    layers = []
    for layer in graph.layers:
        calls = sorted((c for c in graph.calls if c.layer == layer.name), key=lambda c: c.call)
        nodes = (
            [] if layer.class_name == "InputLayer" else [_node(c, layer, problems) for c in calls]
        )
        entry = {**_entry(layer, graph, problems), "name": layer.name, "inbound_nodes": nodes}
        layers.append(entry)
    return {
        "module": FUNCTIONAL_MODULE,
        "class_name": "Functional",
        "registered_name": "Functional",
        "config": {
            "name": graph.name,
            "trainable": True,
            "layers": layers,
            "input_layers": _inputs(graph),
            "output_layers": _outputs(graph),
        },
    }


def _entry(layer: Layer, graph: Graph, problems: list[str]) -> Json:
    if layer.graph is not None:
        # Under its own name: what holds it knows it by that.
        return _model(replace(layer.graph, name=layer.name), problems)
    if layer.class_name == "InputLayer":
        config = _input_config(layer, graph)
    else:
        config = _settings(layer, problems)
    return {
        "module": "keras.layers",
        "class_name": layer.class_name,
        "config": config,
        "registered_name": None,
    }


def _input_config(layer: Layer, graph: Graph) -> Json:
    given = {entry.tensor.layer: entry for entry in graph.inputs}
    entry = given.get(layer.name)
    shape = None if entry is None or entry.shape is None else list(entry.shape)
    dtype = "float32" if entry is None else entry.dtype
    return {"batch_shape": shape, "dtype": dtype, "name": layer.name}


def _settings(layer: Layer, problems: list[str]) -> Json:
    """Return a layer's configuration; what has no counterpart is added to `problems`."""
    name = f"'{layer.name}' ({layer.class_name})"
    known = layer.class_name in LAYERS and layer.class_name not in WITHOUT_COUNTERPART
    if not known or layer.class_name in (*CODE_CLASSES, *OPERATION_CLASSES):
        problems.append(f"layer {name}")
        return {}
    neutral = {**NEUTRAL["*"], **NEUTRAL.get(layer.class_name, {})}
    if layer.class_name in WITHOUT_TRAINABLE:
        neutral["trainable"] = ANY
    result: Json = {}
    for key, value in layer.config.items():
        if isinstance(value, str) and value in OTHERWISE:
            problems.append(f"layer {name}, {key}: {OTHERWISE[value]}")
        elif key in neutral:
            if neutral[key] is not ANY and value not in (neutral[key], None):
                problems.append(f"layer {name}, {key}={value!r:.60}")
        elif key not in layer.inner and key not in ("layer", "backward_layer"):
            result[key] = _value(key, value, name, problems)
    for attribute, inner in layer.inner.items():
        stated = {"forward_layer": "layer"}.get(attribute, attribute)
        if attribute == "backward_layer" and layer.config.get("backward_layer") is None:
            continue  # Keras makes it of the other
        result[stated] = _entry(inner, _NOTHING, problems)
    return result


def _value(key: str, value: object, name: str, problems: list[str]) -> object:
    """Return a setting with the module of every object in it."""
    if key == "dtype" and isinstance(value, (str, Mapping)):
        policy = _object(value)
        return _policy(str(policy.get("name") or policy))
    if not isinstance(value, Mapping) or "class_name" not in value:
        return value
    kind, config = str(value["class_name"]), _object(value)
    module = next((m for end, m in _OBJECTS.items() if key.endswith(end)), None)
    if module is None or kind not in _KNOWN[module]:
        problems.append(f"layer {name}, {key}: {kind}")
        return None
    config.pop("dtype", None)  # the first releases of tf.keras stated it
    if config.get("distribution") == "normal":
        config["distribution"] = "truncated_normal"  # what it was called until Keras 2.2
    return {"module": module, "class_name": kind, "config": config, "registered_name": None}


def _object(value: object) -> Json:
    """Return the configuration of a stored object; of a name that alone."""
    if not isinstance(value, Mapping):
        return {"name": value}
    config = value.get("config")
    return dict(config) if isinstance(config, Mapping) else {}


def _policy(name: str) -> Json:
    return {
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": {"name": name},
        "registered_name": None,
    }


def _node(call: Call, layer: Layer, problems: list[str]) -> Json:
    """Return a call as Keras 3 stores it; older ones list the tensors of all arguments without names."""

    def tensor(index: int) -> Json:
        ref = call.inputs[index]
        config = {
            "shape": [],
            "dtype": "float32",
            "keras_history": [ref.layer, ref.call, ref.index],
        }
        return {"class_name": "__keras_tensor__", "config": config}

    def argument(value: object) -> object:
        if isinstance(value, Operand):
            return tensor(value.index)
        if isinstance(value, (list, tuple)):
            return [argument(item) for item in value]
        if isinstance(value, Mapping):
            return {key: argument(item) for key, item in value.items()}
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        problems.append(f"layer '{layer.name}', called with a {type(value).__name__}")
        return None

    args = [argument(value) for value in call.args]
    kwargs = {key: argument(value) for key, value in call.kwargs.items()}
    if len(args) > 1 and layer.class_name in RECURRENT:
        kwargs["initial_state"], args = args[1:], args[:1]
    elif len(args) > 1 or (args and layer.class_name in MERGING and not isinstance(args[0], list)):
        args = [args]
    return {"args": args, "kwargs": kwargs}


def _inputs(graph: Graph) -> object:
    refs = [[entry.tensor.layer, 0, 0] for entry in graph.inputs]
    keys = [entry.key for entry in graph.inputs]
    if keys and None not in keys:
        return dict(zip(cast("list[str]", keys), refs, strict=True))
    return refs[0] if len(refs) == 1 else refs


def _outputs(graph: Graph) -> object:
    refs = [_output(graph, ref) for ref in graph.outputs]
    if graph.structure == "dict":
        return dict(zip(graph.output_names, refs, strict=True))
    if graph.structure == "nested":
        return _arranged(graph.nesting, refs)
    return refs[0] if graph.structure == "single" else refs


def _output(graph: Graph, ref: TensorRef) -> list[object]:
    """Return the place of an output; Keras counts a nested Functional's calls from 1 here, and nowhere else."""
    inner = graph.layer(ref.layer).graph
    calls = sum(call.layer == ref.layer for call in graph.calls)
    shift = int(inner is not None and inner.class_name != "Sequential" and calls > 1)
    return [ref.layer, ref.call + shift, ref.index]


def _arranged(nesting: object, refs: Sequence[object]) -> object:
    if not isinstance(nesting, tuple):
        return refs[int(cast("int", nesting or 0))]
    kind, *entries = nesting
    if kind == "dict":
        return {str(entry[0]): _arranged(entry[1], refs) for entry in entries}
    return [_arranged(entry, refs) for entry in entries]


_NOTHING = Graph("", "Sequential", 3, (), (), (), ())
