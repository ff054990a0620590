"""`TensorFlowOpLayer` of TensorFlow 1.13 to 2.3: a node of the graph among the layers, as text of its protocol buffer.

The configuration holds the node as JSON and the inputs that are no tensors of the model by their place. Nodes that are
known become the operation of Keras 3 that computes the same.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from converters.errors import ConversionError, UnsupportedError
from converters.graph import Call, Layer
from converters.json_text import parse_json
from converters.layers.operators.tensorflow_functions import Function, settle_arguments
from converters.limits import Limits
from converters.registry import Lowered, Shape, TorchStep, find_layer_rule, layer, nearest
from converters.rule_parts.operations import call_of, refused
from converters.rule_parts.strided_slices import MASKS, slice_index

TYPES = {
    "DT_FLOAT": "float32",
    "DT_DOUBLE": "float64",
    "DT_HALF": "float16",
    "DT_BFLOAT16": "bfloat16",
    "DT_INT32": "int32",
    "DT_INT64": "int64",
    "DT_UINT8": "uint8",
    "DT_INT8": "int8",
    "DT_INT16": "int16",
    "DT_BOOL": "bool",
}


@dataclass(frozen=True, slots=True)
class Node:
    """A node in words of an operation of Keras 3.

    Attributes:
        operation: "Mean" of "ops.Mean".
        inputs: names of the arguments that come as inputs, in order; "*xs": all up to the others.
        attributes: of the node, to arguments.
    """

    operation: str
    inputs: tuple[str, ...] = ("x",)
    attributes: Mapping[str, str] = field(default_factory=dict)


_TWO = ("x1", "x2")
_REDUCED = ("x", "axis")
_KEEP = {"keep_dims": "keepdims"}
_FIRST_IS_ALL = {
    **{
        name: Node(operation)
        for name, operation in (
            *(("Neg", "Negative"), ("Abs", "Absolute"), ("Asin", "Arcsin"), ("Acos", "Arccos")),
            *(("Atan", "Arctan"), ("Inv", "Reciprocal"), ("Swish", "Silu")),
            *(
                (name, name)
                for name in ("Exp", "Log", "Sqrt", "Square", "Tanh", "Sigmoid", "Sin", "Cos", "Tan")
            ),
            *(
                (name, name)
                for name in (
                    "Sinh",
                    "Cosh",
                    "Expm1",
                    "Log1p",
                    "Rsqrt",
                    "Reciprocal",
                    "Sign",
                    "Floor",
                )
            ),
            *(
                (name, name)
                for name in (
                    "Ceil",
                    "Round",
                    "Erf",
                    "Erfc",
                    "Relu",
                    "Relu6",
                    "Softplus",
                    "Softsign",
                )
            ),
            *(
                (name, name)
                for name in ("Elu", "Selu", "Softmax", "LogSoftmax", "Identity", "StopGradient")
            ),
            *((name, name) for name in ("ZerosLike", "OnesLike", "LogicalNot")),
            *(("Asinh", "Arcsinh"), ("Acosh", "Arccosh"), ("Atanh", "Arctanh"), ("Rint", "Round")),
            *(("IsFinite", "Isfinite"), ("IsInf", "Isinf"), ("IsNan", "Isnan")),
            *((name, name) for name in ("Lgamma", "Digamma", "Erfinv")),
        )
    },
    "LeakyRelu": Node("LeakyRelu", ("x",), {"alpha": "negative_slope"}),
    "Cast": Node("Cast", ("x",), {"DstT": "dtype"}),
    "Squeeze": Node("Squeeze", ("x",), {"squeeze_dims": "axis"}),
}
_PAIRS = (
    *(
        ("Add", "Add"),
        ("AddV2", "Add"),
        ("BiasAdd", "Add"),
        ("Sub", "Subtract"),
        ("Mul", "Multiply"),
    ),
    *(("RealDiv", "Divide"), ("Div", "Divide"), ("DivNoNan", "DivideNoNan"), ("Pow", "Power")),
    *(
        ("FloorDiv", "FloorDivide"),
        ("FloorMod", "Mod"),
        ("Maximum", "Maximum"),
        ("Minimum", "Minimum"),
    ),
    *(
        ("Greater", "Greater"),
        ("GreaterEqual", "GreaterEqual"),
        ("Less", "Less"),
        ("LessEqual", "LessEqual"),
    ),
    *(
        ("Equal", "Equal"),
        ("NotEqual", "NotEqual"),
        ("LogicalAnd", "LogicalAnd"),
        ("LogicalOr", "LogicalOr"),
    ),
    *(("SquaredDifference", "SquaredDifference"), ("Atan2", "Arctan2")),
)
_MATRICES = {"transpose_a": "transpose_a", "transpose_b": "transpose_b"}
_BATCHES = {"adj_x": "transpose_a", "adj_y": "transpose_b"}
NODES: dict[str, Node] = {
    **_FIRST_IS_ALL,
    **{name: Node(operation, _TWO) for name, operation in _PAIRS},
    **{name: Node(name, _REDUCED, _KEEP) for name in ("Mean", "Sum", "Max", "Min", "Prod", "Any", "All")},
    "ArgMax": Node("Argmax", _REDUCED),
    "ArgMin": Node("Argmin", _REDUCED),
    "MatMul": Node("Matmul", _TWO, _MATRICES),
    "BatchMatMul": Node("Matmul", _TWO, _BATCHES),
    "BatchMatMulV2": Node("Matmul", _TWO, _BATCHES),
    "ConcatV2": Node("Concatenate", ("*xs", "axis")),
    "Pack": Node("Stack", ("*xs",), {"axis": "axis"}),
    "AddN": Node("AddN", ("*inputs",)),
    "Reshape": Node("Reshape", ("x", "newshape")),
    "ExpandDims": Node("ExpandDims", ("x", "axis")),
    "Transpose": Node("Transpose", ("x", "axes")),
    "Tile": Node("Tile", ("x", "repeats")),
    "ReverseV2": Node("Flip", ("x", "axis")),
    "Pad": Node("Pad", ("x", "pad_width")),
    "PadV2": Node("Pad", ("x", "pad_width", "constant_values")),
    "ClipByValue": Node("Clip", ("x", "x_min", "x_max")),
    "Select": Node("Where", ("condition", "x1", "x2")),
    "SelectV2": Node("Where", ("condition", "x1", "x2")),
    "GatherV2": Node("Take", ("x", "indices", "axis")),
    "Split": Node("Split", ("axis", "x"), {"num_split": "sizes"}),
    "SplitV": Node("Split", ("x", "sizes", "axis")),
    "Unpack": Node("Unstack", ("x",), {"num": "num", "axis": "axis"}),
    "TopKV2": Node("TopK", ("x", "k"), {"sorted": "sorted"}),
    "Slice": Node("Slice", ("inputs", "start_indices", "shape")),
    "StridedSlice": Node(
        "GetItem",
        ("x", "begin", "end", "strides"),
        {f"{name}_mask": f"{name}_mask" for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")},
    ),
    "Cross": Node("Cross", _TWO),
    "Roll": Node("Roll", ("x", "shift", "axis")),
    "Cumprod": Node("Cumprod", ("x", "axis"), {"exclusive": "exclusive", "reverse": "reverse"}),
    "Cumsum": Node("Cumsum", ("x", "axis"), {"exclusive": "exclusive", "reverse": "reverse"}),
}  # fmt: skip
"""Name of the node's operation in TensorFlow."""


@layer("TensorFlowOpLayer", takes_call=True)
def tensorflow_node(layer: Layer, *shapes: Shape) -> list[TorchStep] | Lowered:
    """Return what the operation of Keras 3 becomes that computes the same as the stored node."""
    definition = _definition(layer)
    name = str(definition.get("op"))
    if name not in NODES:
        msg = (
            f"layer '{layer.name}' (TensorFlowOpLayer): no rule for the TensorFlow node '{name:.80}'"
            f"{nearest(name, NODES)}"
        )
        raise UnsupportedError(msg, hint="rebuild the layer from standard layers before saving")
    node = NODES[name]
    arguments = _named(layer, node, _inputs(layer))
    attributes = cast("Mapping[str, object]", definition.get("attr") or {})
    for key, argument in node.attributes.items():
        if key in attributes:
            arguments[argument] = _attribute(layer, key, attributes[key])
    if name == "StridedSlice":
        arguments = {"x": arguments["x"], "key": _index(layer, arguments)}
    elif name == "Squeeze" and arguments.get("axis") == ():
        del arguments["axis"]
    if attributes.get("data_format") not in (None, {"s": "TkhXQw=="}):  # NHWC
        raise refused(layer, "another data format than NHWC")
    settle_arguments(layer, Function(node.operation, {}), arguments, shapes)
    call = call_of(layer)
    config = {
        "name": layer.name,
        "call": Call(call.layer, call.call, call.inputs, arguments),
    }
    operation = replace(layer, class_name=f"ops.{node.operation}", config=config)
    return find_layer_rule(operation.class_name).lower(operation, *shapes)


def _definition(layer: Layer) -> Mapping[str, object]:
    stored = layer.config.get("node_def")
    if isinstance(stored, Mapping):
        return stored
    try:
        found = parse_json(str(stored), what="node", limits=Limits())
    except ConversionError:
        found = None
    if not isinstance(found, Mapping):
        raise refused(layer, f"its node is not readable: {stored!r:.60}")
    return found


def _inputs(layer: Layer) -> list[object]:
    """Return the node's inputs in order: constants at the places they have, tensors at those that are left."""
    constants = cast("Mapping[object, object]", layer.config.get("constants") or {})
    by_place = {int(str(place)): _frozen(value) for place, value in constants.items()}
    tensors = iter(call_of(layer).args)
    count = len(by_place) + len(call_of(layer).args)
    if any(place not in range(count) for place in by_place):
        raise refused(layer, f"constants at {sorted(by_place)} of {count} inputs")
    return [by_place[place] if place in by_place else next(tensors) for place in range(count)]


def _named(layer: Layer, node: Node, inputs: Sequence[object]) -> dict[str, object]:
    names = node.inputs
    if names[0].startswith("*"):
        behind = len(names) - 1
        rest = inputs[len(inputs) - behind :] if behind else []
        values = {names[0][1:]: tuple(inputs[: len(inputs) - behind])}
        return {**values, **dict(zip(names[1:], rest, strict=True))}
    if len(inputs) != len(names):
        raise refused(layer, f"{len(inputs)} inputs, {len(names)} are needed")
    return dict(zip(names, inputs, strict=True))


def _attribute(layer: Layer, key: str, value: object) -> object:
    """Return an attribute of a node: {"b": true}, {"i": "3"}, {"type": "DT_FLOAT"}, {"list": {"i": ["1"]}}."""
    entry = value if isinstance(value, Mapping) else {}
    if "b" in entry:
        return bool(entry["b"])
    if "i" in entry:
        return int(str(entry["i"]))
    if "f" in entry:
        return float(str(entry["f"]))
    if "type" in entry:
        return TYPES.get(str(entry["type"]), str(entry["type"]))
    if "list" in entry:
        items = cast("Mapping[str, Sequence[object]]", entry["list"] or {})
        return tuple(int(str(item)) for item in items.get("i", ()))
    if "s" in entry:
        try:
            return base64.b64decode(str(entry["s"]), validate=True).decode("ascii")
        except (binascii.Error, UnicodeDecodeError):
            pass
    if not entry:
        return False  # JSON of protocol buffers leaves out what is 0 or false
    raise refused(layer, f"attribute '{key}' is {value!r:.40}")


def _index(layer: Layer, arguments: Mapping[str, object]) -> tuple[object, ...]:
    """Return the index of a strided slice."""
    bounds = [arguments[key] for key in ("begin", "end", "strides")]
    if not all(isinstance(bound, tuple) and all(type(x) is int for x in bound) for bound in bounds):
        raise refused(layer, "slices whose bounds are tensors")
    begins, ends, strides = (cast("tuple[int, ...]", bound) for bound in bounds)
    masks = {key: int(cast("int", arguments.get(f"{key}_mask", 0))) for key in MASKS}
    return slice_index(begins, ends, strides, masks)


def _frozen(value: object) -> object:
    return tuple(_frozen(item) for item in value) if isinstance(value, (list, tuple)) else value
