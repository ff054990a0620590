"""Functions of TensorFlow among the layers of Keras 2, as the operations of Keras 3 that compute the same.

tf.keras 2.4 and later store `TFOpLambda` with the function's name ("math.reduce_mean") and its arguments in the call;
`SlicingOpLambda` is x[...]. TensorFlow 1.13 to 2.3 stored `TensorFlowOpLayer` with the node of the graph, see
`tensorflow_nodes`. Only names are compared; nothing is looked up in TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from converters.errors import UnsupportedError
from converters.graph import Call, Layer
from converters.registry import Lowered, Shape, TorchStep, find_layer_rule, layer, nearest
from converters.rule_parts.operations import call_of, refused

NAMESPACES = (
    *("", "math", "nn", "linalg", "image", "bitwise", "__operators__", "keras.activations"),
    *("compat.v1", "compat.v1.math", "compat.v1.nn", "compat.v1.linalg"),
)
"""Where the functions lie that are known; the same name in `strings` or `sparse` is something else."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of TensorFlow in words of an operation of Keras 3.

    Attributes:
        operation: "Mean" of "ops.Mean".
        arguments: what TensorFlow calls the arguments, to what the rule calls them; the first is the tensor.
        defaults: of arguments that TensorFlow sets otherwise than Keras.
        listed: the first argument is a list of tensors.
        refused: arguments that must be left out, or have the value that is given.
    """

    operation: str
    arguments: Mapping[str, str]
    defaults: Mapping[str, object] = field(default_factory=dict)
    listed: bool = False
    refused: Mapping[str, object] = field(default_factory=dict)


def _of_one(first: str, *names: tuple[str, str]) -> dict[str, Function]:
    return {name: Function(operation, {first: "x"}) for name, operation in names}


def _of_two(*names: tuple[str, str]) -> dict[str, Function]:
    return {name: Function(operation, {"x": "x1", "y": "x2"}) for name, operation in names}


_REDUCED = {"input_tensor": "x", "axis": "axis", "keepdims": "keepdims", "keep_dims": "keepdims"}
_REDUCED |= {"reduction_indices": "axis"}
_IMAGE = {"images": "x", "size": "size", "method": "interpolation", "antialias": "antialias"}
_POOLED = {"input": "x", "ksize": "pool_size", "strides": "strides", "padding": "padding"}
_CHANNELS_LAST = {"1d": "NWC", "2d": "NHWC", "3d": "NDHWC"}
_UNSTORED = {"einsum": "Keras 2 stores its equation, and not what tensors it takes"}
"""Functions that no file has whole."""
FUNCTIONS: dict[str, Function] = {
    **_of_two(
        *(("add", "Add"), ("subtract", "Subtract"), ("multiply", "Multiply"), ("divide", "Divide")),
        *(("truediv", "Divide"), ("pow", "Power"), ("floordiv", "FloorDivide"), ("mod", "Mod")),
        *(("floormod", "Mod"), ("floor_mod", "Mod"), ("floor_div", "FloorDivide")),
        *(("maximum", "Maximum"), ("minimum", "Minimum"), ("greater", "Greater"), ("less", "Less")),
        *(("greater_equal", "GreaterEqual"), ("less_equal", "LessEqual"), ("equal", "Equal")),
        *(("not_equal", "NotEqual"), ("logical_and", "LogicalAnd"), ("logical_or", "LogicalOr")),
        *(("logical_xor", "LogicalXor"), ("divide_no_nan", "DivideNoNan"), ("sub", "Subtract")),
        *(("squared_difference", "SquaredDifference"), ("div", "Divide"), ("div_no_nan", "DivideNoNan")),
        *(("bitwise_and", "BitwiseAnd"), ("bitwise_or", "BitwiseOr"), ("bitwise_xor", "BitwiseXor")),
    ),
    "atan2": Function("Arctan2", {"y": "x1", "x": "x2"}),
    "eq": Function("Equal", {"self": "x1", "other": "x2"}),
    "ne": Function("NotEqual", {"self": "x1", "other": "x2"}),
    **_of_one(
        "x",
        *(("abs", "Absolute"), ("negative", "Negative"), ("exp", "Exp"), ("log", "Log")),
        *(("sqrt", "Sqrt"), ("square", "Square"), ("tanh", "Tanh"), ("sigmoid", "Sigmoid")),
        *(("sin", "Sin"), ("cos", "Cos"), ("tan", "Tan"), ("asin", "Arcsin"), ("acos", "Arccos")),
        *(("atan", "Arctan"), ("sinh", "Sinh"), ("cosh", "Cosh"), ("asinh", "Arcsinh")),
        *(("acosh", "Arccosh"), ("atanh", "Arctanh"), ("expm1", "Expm1"), ("log1p", "Log1p")),
        *(("rsqrt", "Rsqrt"), ("reciprocal", "Reciprocal"), ("sign", "Sign"), ("floor", "Floor")),
        *(("ceil", "Ceil"), ("round", "Round"), ("rint", "Round"), ("erf", "Erf"), ("erfc", "Erfc"), ("log_sigmoid", "LogSigmoid")),
        *(("is_finite", "Isfinite"), ("is_inf", "Isinf"), ("is_nan", "Isnan"), ("lgamma", "Lgamma")),
        *(("logical_not", "LogicalNot"), ("digamma", "Digamma"), ("erfinv", "Erfinv")),
    ),
    **_of_one("features", *(("relu", "Relu"), ("relu6", "Relu6"), ("softsign", "Softsign")),
              *(("softplus", "Softplus"), ("elu", "Elu"), ("selu", "Selu"), ("silu", "Silu"), ("swish", "Silu"))),
    **_of_one("input", *(("identity", "Identity"), ("stop_gradient", "StopGradient"),
              ("zeros_like", "ZerosLike"), ("ones_like", "OnesLike"), ("zeros_like_v2", "ZerosLike"),
              ("ones_like_v2", "OnesLike"))),
    "gelu": Function("Gelu", {"features": "x", "approximate": "approximate"}, {"approximate": False}),
    "leaky_relu": Function("LeakyRelu", {"features": "x", "alpha": "negative_slope"}, {"negative_slope": 0.2}),
    **{
        name: Function(operation, {"logits": "x", "axis": "axis"}, {"axis": -1})
        for name, operation in (("softmax", "Softmax"), ("log_softmax", "LogSoftmax"))
    },
    **{
        f"reduce_{name}": Function(operation, _REDUCED)
        for name, operation in (
            *(("mean", "Mean"), ("sum", "Sum"), ("max", "Max"), ("min", "Min"), ("prod", "Prod")),
            *(("variance", "Var"), ("std", "Std"), ("any", "Any"), ("all", "All")),
            ("logsumexp", "Logsumexp"),
        )
    },
    "moments": Function("Moments", {"x": "x", "axes": "axes", "keepdims": "keepdims"}),
    **{
        name: Function(operation, {"input": "x", "axis": "axis", "output_type": "_type"}, {"axis": 0})
        for name, operation in (("argmax", "Argmax"), ("argmin", "Argmin"), ("argmax_v2", "Argmax"))
    },
    "cumsum": Function("Cumsum", {"x": "x", "axis": "axis", "exclusive": "exclusive", "reverse": "reverse"}, {"axis": 0}),
    "cumprod": Function("Cumprod", {"x": "x", "axis": "axis", "exclusive": "exclusive", "reverse": "reverse"}, {"axis": 0}),
    "clip_by_value": Function("Clip", {"t": "x", "clip_value_min": "x_min", "clip_value_max": "x_max"}),
    "cast": Function("Cast", {"x": "x", "dtype": "dtype"}),
    "where": Function("Where", {"condition": "condition", "x": "x1", "y": "x2"}),
    "where_v2": Function("Where", {"condition": "condition", "x": "x1", "y": "x2"}),
    "scalar_mul": Function("Multiply", {"scalar": "x1", "x": "x2"}),
    "bias_add": Function("Add", {"value": "x1", "bias": "x2"}, refused={"data_format": None}),
    "ensure_shape": Function("Identity", {"x": "x", "shape": "_shape"}),
    "matrix_transpose": Function(
        "Swapaxes", {"a": "x"}, {"axis1": -2, "axis2": -1}, refused={"conjugate": False}
    ),
    "reduce_euclidean_norm": Function("Norm", _REDUCED),
    "sequence_mask": Function("SequenceMask", {"lengths": "x", "maxlen": "size", "dtype": "dtype"}),
    "add_n": Function("AddN", {"inputs": "inputs"}, listed=True),
    "concat": Function("Concatenate", {"values": "xs", "axis": "axis"}, listed=True),
    "stack": Function("Stack", {"values": "xs", "axis": "axis"}, {"axis": 0}, listed=True),
    "reshape": Function("Reshape", {"tensor": "x", "shape": "newshape"}),
    "expand_dims": Function("ExpandDims", {"input": "x", "axis": "axis", "dim": "axis"}),
    "squeeze": Function("Squeeze", {"input": "x", "axis": "axis", "squeeze_dims": "axis"}),
    "transpose": Function("Transpose", {"a": "x", "perm": "axes"}, refused={"conjugate": False}),
    "matmul": Function(
        "Matmul",
        {"a": "x1", "b": "x2", "transpose_a": "transpose_a", "transpose_b": "transpose_b"},
        refused=dict.fromkeys(("adjoint_a", "adjoint_b", "a_is_sparse", "b_is_sparse"), False),
    ),
    "tensordot": Function("Tensordot", {"a": "x1", "b": "x2", "axes": "axes"}),
    "tile": Function("Tile", {"input": "x", "multiples": "repeats"}),
    "repeat": Function("Repeat", {"input": "x", "repeats": "repeats", "axis": "axis"}),
    "reverse": Function("Flip", {"tensor": "x", "axis": "axis"}),
    "roll": Function("Roll", {"input": "x", "shift": "shift", "axis": "axis"}),
    "broadcast_to": Function("BroadcastTo", {"input": "x", "shape": "shape"}),
    "pad": Function(
        "Pad",
        {"tensor": "x", "paddings": "pad_width", "mode": "mode", "constant_values": "constant_values"},
    ),
    "split": Function("Split", {"value": "x", "num_or_size_splits": "sizes", "axis": "axis"}, {"axis": 0}),
    "unstack": Function("Unstack", {"value": "x", "num": "num", "axis": "axis"}, {"axis": 0}),
    "gather": Function(
        "Take", {"params": "x", "indices": "indices", "axis": "axis", "batch_dims": "batch_dims"},
        refused={"validate_indices": None},
    ),
    "one_hot": Function(
        "OneHot", {"indices": "x", "depth": "num_classes", "axis": "axis", "dtype": "dtype"},
        {"axis": -1}, refused={"on_value": 1, "off_value": 0},
    ),
    "top_k": Function("TopK", {"input": "x", "k": "k", "sorted": "sorted"}, {"k": 1}),
    "sort": Function("Sort", {"values": "x", "axis": "axis", "direction": "direction"}),
    "argsort": Function(
        "Argsort", {"values": "x", "axis": "axis", "direction": "direction"}, refused={"stable": False},
    ),
    "norm": Function("Norm", {"tensor": "x", "ord": "ord", "axis": "axis", "keepdims": "keepdims"}),
    "l2_normalize": Function("Normalize", {"x": "x", "axis": "axis", "dim": "axis", "epsilon": "square_epsilon"}),
    "resize": Function(
        "Resize", _IMAGE, {"interpolation": "bilinear", "data_format": "channels_last"},
        refused={"preserve_aspect_ratio": False},
    ),
    **{
        f"{kind}_pool{rank}": Function(operation, _POOLED, refused={"data_format": _CHANNELS_LAST.get(rank)})
        for kind, operation in (("max", "MaxPool"), ("avg", "AveragePool"))
        for rank in ("1d", "2d", "3d")
    },
    **{
        name: Function(operation, {"input": "x", "block_size": "block_size"}, refused={"data_format": "NHWC"})
        for name, operation in (("depth_to_space", "DepthToSpace"), ("space_to_depth", "SpaceToDepth"))
    },
    **_of_one("input", *(("det", "Det"), ("cholesky", "Cholesky"))),
    "inv": Function("Inv", {"input": "x"}, refused={"adjoint": False}),
    "trace": Function("Trace", {"x": "x"}, {"axis1": -2, "axis2": -1}),
    "diag_part": Function(
        "Diagonal", {"input": "x", "k": "offset"}, {"axis1": -2, "axis2": -1},
        refused={"padding_value": 0, "align": "RIGHT_LEFT"},
    ),
    "band_part": Function("Tril", {"input": "x", "num_lower": "below", "num_upper": "above"}),
    "cross": Function("Cross", {"a": "x1", "b": "x2"}),
    "solve": Function("Solve", {"matrix": "a", "rhs": "b"}, refused={"adjoint": False}),
    **{
        name: Function(operation, {"images": "images"}, {"data_format": "channels_last"})
        for name, operation in (
            *(("rgb_to_grayscale", "RGBToGrayscale"), ("rgb_to_hsv", "RGBToHSV")), ("hsv_to_rgb", "HSVToRGB"),
        )
    },
    "flip_left_right": Function("Flip", {"image": "x"}, {"axis": -2}),
    "flip_up_down": Function("Flip", {"image": "x"}, {"axis": -3}),
    "getitem": Function("GetItem", {"tensor": "x", "slice_spec": "key"}),
    "_slice_helper": Function("GetItem", {"tensor": "x", "slice_spec": "key"}),
    "slice": Function("Slice", {"input_": "inputs", "begin": "start_indices", "size": "shape"}),
}  # fmt: skip
"""Name of the function without its namespace."""


@layer("TFOpLambda", "SlicingOpLambda", takes_call=True)
def tensorflow_function(layer: Layer, *shapes: Shape) -> list[TorchStep] | Lowered:
    """Return what the operation of Keras 3 becomes that computes the same as the stored function."""
    name = str(layer.config.get("function"))
    namespace, _, last = name.rpartition(".")
    if name in _UNSTORED:
        raise refused(layer, f"TensorFlow function '{name}': {_UNSTORED[name]}")
    if namespace not in NAMESPACES or last not in FUNCTIONS:
        msg = (
            f"layer '{layer.name}' ({layer.class_name}): no rule for the TensorFlow function '{name:.80}'"
            f"{nearest(last, FUNCTIONS)}"
        )
        raise UnsupportedError(msg, hint="rebuild the layer from standard layers before saving")
    return lower_as(layer, FUNCTIONS[last], shapes)


def lower_as(
    layer: Layer, function: Function, shapes: tuple[Shape, ...]
) -> list[TorchStep] | Lowered:
    """Return the steps of the operation that a function becomes; its arguments come with the call."""
    call = call_of(layer)
    given = dict(call.kwargs)
    first = next(iter(function.arguments))
    if call.args:
        given[first] = call.args if function.listed else call.args[0]
    arguments: dict[str, object] = dict(function.defaults)
    for key, value in given.items():
        if key in function.arguments:
            arguments[function.arguments[key]] = value
        elif key != "name" and function.refused.get(key, None) != value:
            raise refused(layer, f"argument '{key}' is {value!r:.40}; no rule for that")
    if function.operation == "Tril" and arguments.get("below") == 0:
        function = replace(function, operation="Triu")
    if function.operation == "Take" and arguments.get("batch_dims") == 1:
        function = replace(function, operation="TakeOfSamples")
    settle_arguments(layer, function, arguments, shapes)
    settled = Call(call.layer, call.call, call.inputs, arguments)
    config = {"name": layer.name, "call": settled}
    operation = replace(layer, class_name=f"ops.{function.operation}", config=config)
    return find_layer_rule(operation.class_name).lower(operation, *shapes)


def settle_arguments(
    layer: Layer, function: Function, arguments: dict[str, object], shapes: tuple[Shape, ...]
) -> None:
    """Say in words of Keras 3 what TensorFlow says with other values."""
    for key in ("_type", "_shape"):  # torch counts in int64; a shape is only checked
        arguments.pop(key, None)
    settle = _SETTLED.get(function.operation)
    if settle is not None:
        settle(layer, arguments, shapes)


def _settle_take(layer: Layer, arguments: dict[str, object], _shapes: tuple[Shape, ...]) -> None:
    if arguments.pop("batch_dims", 0) not in (0, False):
        raise refused(layer, "batch_dims, 0 or 1 is needed")
    arguments["axis"] = 0 if arguments.get("axis") is None else arguments["axis"]


def _settle_take_of_samples(
    _layer: Layer, arguments: dict[str, object], _shapes: tuple[Shape, ...]
) -> None:
    del arguments["batch_dims"]


def _settle_split(layer: Layer, arguments: dict[str, object], shapes: tuple[Shape, ...]) -> None:
    sizes = arguments.pop("sizes", None)
    if isinstance(sizes, (tuple, list)):
        whole = [size for size in sizes if type(size) is int and size >= 0]
        if len(whole) != len(sizes):
            raise refused(layer, f"parts of {sizes!r:.40}, whole numbers are needed")
        sizes = tuple(sum(whole[: index + 1]) for index in range(len(whole) - 1))
        axis = arguments["axis"]
        if isinstance(axis, int) and sum(whole) != shapes[0][axis]:
            raise refused(layer, f"parts of {whole} of {shapes[0][axis]} elements")
    arguments["indices_or_sections"] = sizes


def _settle_normalize(
    layer: Layer, arguments: dict[str, object], _shapes: tuple[Shape, ...]
) -> None:
    # TensorFlow bounds the squared length from below, Keras the length itself.
    epsilon = arguments.pop("square_epsilon", 1e-12)
    if not isinstance(epsilon, float) or epsilon < 0:
        raise refused(layer, f"epsilon {epsilon!r:.40}, a number is needed")
    arguments["epsilon"] = epsilon**0.5
    axis = arguments.get("axis")
    if isinstance(axis, (tuple, list)) and len(axis) == 1:
        arguments["axis"] = axis[0]
    elif axis is None:
        raise refused(layer, "no axis; one is needed")


def _settle_band(layer: Layer, arguments: dict[str, object], _shapes: tuple[Shape, ...]) -> None:
    if (arguments.pop("below", None), arguments.pop("above", None)) not in ((-1, 0), (0, -1)):
        raise refused(layer, "a band; all above or all below the diagonal is needed")


def _settle_pool(layer: Layer, arguments: dict[str, object], shapes: tuple[Shape, ...]) -> None:
    rank = len(shapes[0])
    for key in ("pool_size", "strides"):
        sizes = arguments.get(key)
        whole = isinstance(sizes, (tuple, list)) and len(sizes) == rank
        if isinstance(sizes, (tuple, list)) and whole:  # with the axes of samples and channels
            if (sizes[0], sizes[-1]) != (1, 1):
                raise refused(layer, f"{key} {sizes!r:.40}, 1 along samples and channels is needed")
            arguments[key] = tuple(sizes[1:-1])
    padding = arguments.get("padding")
    if padding not in ("SAME", "VALID"):
        raise refused(layer, f"padding {padding!r:.40}, SAME or VALID is needed")
    arguments["padding"] = str(padding).lower()


_SETTLED: dict[str, Callable[[Layer, dict[str, object], tuple[Shape, ...]], None]] = {
    "Take": _settle_take,
    "TakeOfSamples": _settle_take_of_samples,
    "Split": _settle_split,
    "Normalize": _settle_normalize,
    **dict.fromkeys(("Tril", "Triu"), _settle_band),
    **dict.fromkeys(("MaxPool", "AveragePool"), _settle_pool),
}
"""What settles the arguments of an operation."""
