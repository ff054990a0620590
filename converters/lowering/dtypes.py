"""The precision of a layer: what its weights are stored in, by the dtype or the policy of its configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from converters.checkpoint import ArrayInfo
from converters.errors import UnsupportedError
from converters.graph import Call, Graph, Layer
from converters.lowering.masking import Value
from converters.lowering.state import Lowering
from converters.matching.model_weights import Path, leaves
from converters.registry import LAYERS, LayerRule

Arrays = Mapping[Path, Mapping[str, ArrayInfo]]
FLOATS = ("float16", "bfloat16", "float32", "float64")
"""Types that an operation may cast to; of two the later one counts."""
PRECISION = ("float16", "float32", "float64")
"""Types of weights, from the least precise on; those of bfloat16 are read as float32, which has each of its numbers."""


def policy_name(layer: Layer) -> str:
    """Return "float32", "mixed_float16", ...; "" where the configuration states none."""
    value = layer.config.get("dtype")
    config = value.get("config") if isinstance(value, Mapping) else None
    name = config.get("name") if isinstance(config, Mapping) else value
    # Quantized layers: "int8_from_mixed_bfloat16".
    return name.rpartition("_from_")[2] if isinstance(name, str) else ""


def variable_dtype(layer: Layer) -> str | None:
    """Return the type of a layer's weights, or None where it has none or does not state it.

    A mixed policy keeps them in float32 and computes in half precision; bfloat16 is read as float32.
    """
    if layer.class_name == "InputLayer" or layer.is_operation:
        return None
    name = policy_name(layer)
    if name.startswith("mixed_") or name == "bfloat16":
        return "float32"
    return name if name in PRECISION else None


def as_declared(graph: Graph, arrays: Arrays) -> Arrays:
    """Return the arrays with those of half precision in the type of their layer, as Keras reads them.

    Kernels with LoRA are stored as their layer computes: float16 under mixed_float16, for a weight of float32.
    """
    layers = dict(leaves(graph))
    return {
        path: {role: _widened(layers[path].owner(role)[0], info) for role, info in found.items()}
        for path, found in arrays.items()
    }


def _widened(layer: Layer, info: ArrayInfo) -> ArrayInfo:
    declared = variable_dtype(layer)
    if declared not in ("float32", "float64") or info.dtype != np.float16:
        return info
    return replace(info, dtype=np.dtype(declared), read=lambda: info.read().astype(declared))


def gives_whole_numbers(layer: Layer, arguments: Sequence[str], lowering: Lowering) -> bool:
    """Tell whether a layer's results are whole numbers, by its rule and what goes in."""
    numbers = _numbers(layer)
    kept = numbers == "kept" and lowering.whole.issuperset(arguments)
    return (numbers == "whole" and not gives_words(layer)) or kept


def gives_words(layer: Layer) -> bool:
    """Tell whether a layer's results are words: those of a vocabulary that is looked up the other way round."""
    rule, config = LAYERS.get(layer.class_name), layer.config
    words = config.get("vocabulary_dtype") in (None, "string")
    return rule is not None and rule.takes_text and words and config.get("invert") is True


def needs_floats(layer: Layer, argument: Value, lowering: Lowering) -> bool:
    """Tell whether an argument is of whole numbers with which torch does not compute what Keras does."""
    floats = _multiplies(layer) or (_numbers(layer) == "floats" and not _is_label(layer, argument))
    return argument.name in lowering.whole and floats


def _is_label(layer: Layer, argument: Value) -> bool:
    """Tell whether an augmentation leaves an argument as it is, which no image has so few axes as."""
    rule = LAYERS.get(layer.class_name)
    return rule is not None and rule.idle_in_training and len(argument.shape) < len("hwc")


def note_whole_numbers(call: Call, arguments: Sequence[str], lowering: Lowering) -> None:
    """Note which arguments are whole numbers by the types that Keras 3 stores with the tensors of a call."""
    for dtype, argument in zip(call.dtypes, arguments, strict=False):
        if dtype.startswith(("int", "uint", "bool")):
            lowering.whole.add(argument)
        if dtype == "bool":
            lowering.flags.add(argument)


def note_floats(
    layer: Layer,
    arguments: Sequence[str],
    outputs: Sequence[str],
    cast_to: object,
    lowering: Lowering,
) -> None:
    """Note the floating type of what an operation gives, once one was cast; layers cast what they take to their own.

    Args:
        layer: an operation or a layer, whose results are of its own type.
        arguments: names of what it takes.
        outputs: names of what it gives.
        cast_to: the type that its last step casts to, if it does.
        lowering: where it is noted.
    """
    if not layer.is_operation:
        return
    found = [lowering.floats[name] for name in arguments if name in lowering.floats]
    dtype = cast_to if cast_to in FLOATS else max(found, key=FLOATS.index, default=None)
    if isinstance(dtype, str) and (cast_to is None or cast_to in FLOATS):
        lowering.floats |= dict.fromkeys(outputs, dtype)


def _multiplies(layer: Layer) -> bool:
    if layer.inner:  # a wrapper does what the layer in it does
        return _multiplies(next(iter(layer.inner.values())))
    rule = LAYERS.get(layer.class_name)
    return rule is not None and bool(rule.weights) and rule.numbers is None


def with_whole(layer: Layer, arguments: Sequence[str], lowering: Lowering) -> Layer:
    """Return the layer with whether all it takes are whole numbers, as "whole", if its rule keeps such."""
    if _numbers(layer) != "kept":
        return layer
    whole = bool(arguments) and lowering.whole.issuperset(arguments)
    return replace(layer, config={**layer.config, "whole": whole})


def _numbers(layer: Layer) -> str | None:
    if layer.class_name == "TimeDistributed":
        return _numbers(layer.inner["layer"])
    rule = LAYERS.get(layer.class_name)
    return None if rule is None else rule.numbers


def with_text(layer: Layer, rule: LayerRule, arguments: Sequence[str], lowering: Lowering) -> Layer:
    """Return the layer with which of its arguments are words as "text" in its configuration, if it takes words.

    Raises:
        UnsupportedError: One is, and the layer takes none.
    """
    text = tuple(argument in lowering.text for argument in arguments)
    if rule.takes_text:
        return replace(layer, config={**layer.config, "text": text})
    if any(text):
        taking = ", ".join(name for name, each in LAYERS.items() if each.takes_text)
        msg = f"layer '{layer.name}' ({layer.class_name}) takes words; torch has no tensors of them"
        raise UnsupportedError(msg, hint=f"words go into {taking} without a layer in between")
    return layer


def input_dtype(stated: str, parameters: str) -> str:
    """Return what an input is cast to: Keras layers cast floating inputs to their own type."""
    return parameters if stated.startswith(("float", "bfloat")) else stated


def parameter_dtype(graph: Graph, lowering: Lowering) -> str:
    """Return the type of the parameters, the least precise where layers differ; note policies that compute in another."""
    found: dict[str, str] = {}
    for path, layer in leaves(graph):
        policy = policy_name(layer)
        dtype = variable_dtype(layer)
        if dtype is None:
            continue
        found.setdefault(dtype, "/".join(path))
        half = policy.startswith("mixed_") or policy == "bfloat16"
        if half and not any(f"({policy})" in note for note in lowering.notes):
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


def module_dtype(layer: Layer, attribute: str | None, lowering: Lowering) -> str:
    """Return what a step says of its module's precision: nothing, unless layers differ."""
    if lowering.dtypes is None or attribute is None:
        return ""
    dtype = variable_dtype(layer) or ""
    return "" if dtype == "float32" else dtype
