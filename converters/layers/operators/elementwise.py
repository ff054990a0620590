"""Operations on every element: functions of one tensor, operators between two, choices."""

from __future__ import annotations

import math
from typing import cast

from converters.graph import Layer, Operand
from converters.registry import Plain, Shape, TorchStep, layer
from converters.rule_parts.operations import Operation, broadcast, dtype_of, refused
from converters.settings import flag, integer, number, optional_number

INFIX = {
    "ops.Add": "operator.add",
    "ops.Subtract": "operator.sub",
    "ops.Multiply": "operator.mul",
    "ops.Divide": "operator.truediv",
    "ops.TrueDivide": "operator.truediv",
    "ops.Power": "operator.pow",
    "ops.Mod": "operator.mod",
    "ops.Greater": "operator.gt",
    "ops.GreaterEqual": "operator.ge",
    "ops.Less": "operator.lt",
    "ops.LessEqual": "operator.le",
    "ops.Equal": "operator.eq",
    "ops.NotEqual": "operator.ne",
    "ops.BitwiseAnd": "operator.and_",
    "ops.BitwiseOr": "operator.or_",
    "ops.BitwiseXor": "operator.xor",
    "ops.BitwiseLeftShift": "operator.lshift",
    "ops.BitwiseRightShift": "operator.rshift",
    "ops.LeftShift": "operator.lshift",
    "ops.RightShift": "operator.rshift",
}
"""Operators of Python: a number may stand beside the tensor."""
ARITHMETIC = ("ops.Subtract", "ops.Power", "ops.Mod")
"""Operators of numbers that torch does not have for truth values, or has without a gradient beside them."""
EXTREMES = {"ops.Maximum": "compat.maximum", "ops.Minimum": "compat.minimum"}
BETWEEN = {
    "ops.Arctan2": "torch.atan2",
    "ops.Hypot": "torch.hypot",
    "ops.Fmod": "torch.fmod",
    "ops.Fmax": "torch.fmax",
    "ops.Fmin": "torch.fmin",
    "ops.Logaddexp": "torch.logaddexp",
    "ops.Logaddexp2": "torch.logaddexp2",
    "ops.LogicalAnd": "torch.logical_and",
    "ops.LogicalOr": "torch.logical_or",
    "ops.LogicalXor": "torch.logical_xor",
    "ops.DivideNoNan": "compat.divide_no_nan",
    "ops.FloorDivide": "compat.floor_divide",
    "ops.Heaviside": "compat.heaviside",
    "ops.Nextafter": "torch.nextafter",
    "ops.Gcd": "torch.gcd",
    "ops.Lcm": "torch.lcm",
    "ops.Ldexp": "compat.ldexp",
}
"""Functions of two tensors; a constant is made one."""
OF_FLOATS = ("ops.Hypot", "ops.Logaddexp", "ops.Logaddexp2", "ops.Nextafter")
"""Functions of two that torch has for floating numbers only."""
FUNCTIONS: dict[str, tuple[str, dict[str, Plain]]] = {
    **{
        f"ops.{name}": (f"torch.{name.lower()}", {})
        for name in (
            *(
                "Exp",
                "Log",
                "Sqrt",
                "Square",
                "Tanh",
                "Sigmoid",
                "Sin",
                "Cos",
                "Tan",
                "Sinh",
                "Cosh",
            ),
            *("Exp2", "Expm1", "Log1p", "Log2", "Log10", "Rsqrt", "Reciprocal", "Sign", "Signbit"),
            *("Floor", "Ceil", "Trunc", "Isfinite", "Isinf", "Isnan", "Isneginf", "Isposinf"),
            *("Erf", "Erfc", "Erfinv", "Deg2rad", "Rad2deg", "Sinc", "I0", "Digamma", "Lgamma"),
        )
    },
    **{
        f"ops.Arc{name}": (f"torch.a{name}", {})
        for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")
    },
    "ops.Negative": ("torch.neg", {}),
    "ops.Cbrt": ("compat.cube_root", {}),
    "ops.Real": ("torch.real", {}),
    "ops.Imag": ("torch.zeros_like", {}),
    "ops.Conj": ("torch.conj", {}),
    "ops.Conjugate": ("torch.conj", {}),
    "ops.Angle": ("torch.angle", {}),
    "ops.Isreal": ("torch.isreal", {}),
    "ops.Absolute": ("torch.abs", {}),
    "ops.Abs": ("torch.abs", {}),
    "ops.Fabs": ("torch.abs", {}),
    "ops.LogicalNot": ("torch.logical_not", {}),
    "ops.BitwiseInvert": ("torch.bitwise_not", {}),
    "ops.BitwiseNot": ("torch.bitwise_not", {}),
    "ops.StopGradient": ("torch.detach", {}),
    "ops.ZerosLike": ("torch.zeros_like", {}),
    "ops.OnesLike": ("torch.ones_like", {}),
    "ops.EmptyLike": ("torch.zeros_like", {}),
}
"""Functions of one tensor, and their settings."""
FLOATS_OF_WHOLE = ("ops.Floor", "ops.Ceil", "ops.Fabs", "ops.Cbrt")
"""Functions that give floating numbers of whole ones in Keras, and whole ones in torch."""


@layer(*INFIX, *EXTREMES, takes_call=True)
def binary(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return an operator between two tensors, or a tensor and a number or an array."""
    operation = Operation.of(layer, shapes, "x1", "x2")
    first, second = operation.settings.get("x1"), operation.settings.get("x2")
    op = INFIX.get(layer.class_name) or EXTREMES[layer.class_name]
    numbers = [value for value in (first, second) if isinstance(value, (int, float))]
    if len(numbers) == 1 and any(isinstance(value, Operand) for value in (first, second)):
        return _beside_number(operation, op, numbers[0])
    return _between(operation, op)


def _beside_number(operation: Operation, op: str, value: float) -> list[TorchStep]:
    """Return an operator between a tensor and a number."""
    layer, turned = operation.layer, isinstance(operation.settings.get("x2"), Operand)
    if not math.isfinite(value):
        raise refused(layer, f"argument {value}, a finite number is needed")
    if layer.class_name in EXTREMES:
        bound = "min" if layer.class_name == "ops.Maximum" else "max"
        return [TorchStep("torch.clamp", {bound: value})]
    if layer.class_name not in ARITHMETIC:
        return [TorchStep(op, {"left" if turned else "right": value})]
    if turned and layer.class_name == "ops.Mod":  # torch has no gradient of a number's remainder
        return _between(operation, op)
    value = int(value) if isinstance(value, bool) else value
    x = _as_number(operation, "x2" if turned else "x1", "int32")
    operation.result(op, {"left" if turned else "right": value}, of=[x])
    return operation.steps


def _as_number(operation: Operation, name: str, dtype: str) -> str:
    """Return the name of an argument; truth values are made numbers of a type that gives way to the other's."""
    value = operation.settings.get(name)
    if not isinstance(value, Operand) or operation.dtypes[value.index :][:1] != ("bool",):
        return operation.value(name)
    shape = operation.shape(name)
    return operation.result(
        "compat.cast", {"dtype": dtype}, of=[operation.tensor(name)], shape=shape
    )


@layer(*(name for name in BETWEEN if name not in OF_FLOATS), takes_call=True)
@layer(*OF_FLOATS, takes_call=True, numbers="floats")
def function_of_two(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return a function of two tensors."""
    return _between(Operation.of(layer, shapes, "x1", "x2"), BETWEEN[layer.class_name])


def _between(operation: Operation, op: str) -> list[TorchStep]:
    arithmetic = operation.layer.class_name in ARITHMETIC
    names = [
        _as_number(operation, key, "uint8") if arithmetic else operation.value(key)
        for key in ("x1", "x2")
    ]
    shape = broadcast(operation.layer, [operation.shape("x1"), operation.shape("x2")])
    operation.result(op, of=names, shape=shape)
    return operation.steps


@layer(*(name for name in FUNCTIONS if name not in FLOATS_OF_WHOLE), takes_call=True)
@layer(*FLOATS_OF_WHOLE, takes_call=True, numbers="floats")
def unary(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return a function of every element."""
    operation = Operation.of(layer, shapes, "x", "dtype")
    operation.only("x")
    operation.tensor("x")
    if any(dtype.startswith("complex") for dtype in operation.dtypes):
        raise refused(layer, "complex numbers; no rule for them")
    op, kwargs = FUNCTIONS[layer.class_name]
    if operation.dtypes == ("bool",) and op in ("torch.abs", "torch.trunc"):
        return _typed(operation)  # torch has neither of truth values, which stay what they are
    return [TorchStep(op, kwargs), *_typed(operation)]


def _typed(operation: Operation) -> list[TorchStep]:
    """Return the step to the type that was asked for, if one was; Keras 2 gives every layer one, which is not that."""
    if operation.settings.get("dtype") is None:
        return []
    return [TorchStep("compat.cast", {"dtype": dtype_of(operation.layer, "dtype")})]


@layer("ops.FullLike", takes_call=True)
def full_like(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x's shape full of one number."""
    operation = Operation.of(layer, shapes, "x", "fill_value", "dtype")
    operation.only("x", "fill_value")
    value = operation.settings.get("fill_value")
    if isinstance(value, Operand):
        names = (operation.tensor("fill_value"), operation.tensor("x"))
        spread = TorchStep("compat.spread_like", shape=operation.shape("x"), inputs=names)
        return [spread, *_typed(operation)]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise refused(layer, f"fill_value {value!r:.60}, a finite number is needed")
    return [TorchStep("torch.full_like", {"fill_value": value}), *_typed(operation)]


@layer("ops.Round", takes_call=True)
def round_elements(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return whole numbers, or numbers with some decimals; halves go to the even one."""
    operation = Operation.of(layer, shapes, "x", "decimals")
    decimals = integer(operation.layer, "decimals", 0)
    if decimals:
        return [TorchStep("compat.round_decimals", {"decimals": decimals})]
    return [TorchStep("torch.round")]


@layer("ops.Cast", "ops.SaturateCast", takes_call=True)
def cast_elements(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x in another type."""
    operation = Operation.of(layer, shapes, "x", "dtype")
    dtype = dtype_of(operation.layer, "dtype")
    if layer.class_name == "ops.SaturateCast" and dtype.startswith(("int", "uint")):
        return [TorchStep("compat.saturate_cast", {"dtype": dtype})]
    return [TorchStep("compat.cast", {"dtype": dtype})]


@layer("ops.Identity", "ops.Copy", "ops.Array", "ops.ConvertToTensor", takes_call=True)
def identity(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x, in the type that was asked for."""
    operation = Operation.of(layer, shapes, "x", "dtype")
    operation.tensor("x")
    return _typed(operation)


@layer("ops.Clip", takes_call=True)
def clip(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x within [x_min, x_max]; at the bounds the gradient passes on both sides."""
    operation = Operation.of(layer, shapes, "x", "x_min", "x_max")
    operation.only("x")
    bounds = {
        "min": optional_number(operation.layer, "x_min"),
        "max": optional_number(operation.layer, "x_max"),
    }
    return [
        TorchStep("torch.clamp", {key: value for key, value in bounds.items() if value is not None})
    ]


@layer("ops.NanToNum", takes_call=True)
def nan_to_num(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x with finite numbers in place of NaN and infinities."""
    operation = Operation.of(layer, shapes, "x", "nan", "posinf", "neginf")
    bounds = {key: optional_number(operation.layer, key) for key in ("nan", "posinf", "neginf")}
    return [
        TorchStep(
            "torch.nan_to_num", {key: value for key, value in bounds.items() if value is not None}
        )
    ]


@layer("ops.Where", takes_call=True)
def where(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return x1 where the condition holds, x2 elsewhere."""
    operation = Operation.of(layer, shapes, "condition", "x1", "x2")
    keys = ("condition", "x1", "x2")
    if operation.settings.get("x1") is None or operation.settings.get("x2") is None:
        raise refused(layer, "one argument, a condition and two choices are needed")
    names = [operation.value(key) for key in keys]
    if operation.settings.get("condition_dtype") != "bool":
        operation.steps.append(
            TorchStep("compat.cast", {"dtype": "bool"}, inputs=(names[0],), results=("condition",))
        )
        names[0] = "condition"
    shape = broadcast(layer, [operation.shape(key) for key in keys])
    operation.result("torch.where", of=names, shape=shape)
    return operation.steps


@layer("ops.SquaredDifference", takes_call=True)
def squared_difference(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return (x1 - x2) squared; TensorFlow only."""
    operation = Operation.of(layer, shapes, "x1", "x2")
    names = [operation.value("x1"), operation.value("x2")]
    shape = broadcast(layer, [operation.shape("x1"), operation.shape("x2")])
    difference = operation.result("operator.sub", of=names, shape=shape)
    operation.result("torch.square", of=[difference], shape=shape)
    return operation.steps


@layer("ops.AddN", takes_call=True)
def add_n(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return the sum of a list of tensors, left to right."""
    operation = Operation.of(layer, shapes, "inputs")
    given = cast("tuple[object, ...]", operation.settings.get("inputs"))
    if given != tuple(Operand(index) for index in range(len(shapes))):
        raise refused(layer, f"arguments {given!r:.60}, one list of tensors is needed")
    return [TorchStep("operator.add", shape=broadcast(layer, shapes))]


@layer("ops.Isclose", "ops.AllClose", takes_call=True)
def is_close(layer: Layer, *shapes: Shape) -> list[TorchStep]:
    """Return where two tensors, of any types, differ by no more than the tolerances, or whether they do nowhere."""
    operation = Operation.of(layer, shapes, "x1", "x2", "rtol", "atol", "equal_nan")
    kwargs: dict[str, Plain] = {
        "rtol": number(operation.layer, "rtol", 1e-5),
        "atol": number(operation.layer, "atol", 1e-8),
    }
    if flag(operation.layer, "equal_nan", default=False):
        kwargs["equal_nan"] = True
    names = [operation.value("x1"), operation.value("x2")]
    shape = broadcast(layer, [operation.shape("x1"), operation.shape("x2")])
    close = operation.result("compat.is_close", kwargs, of=names, shape=shape)
    if layer.class_name == "ops.AllClose":
        operation.result("torch.all", of=[close], shape=())
    return operation.steps
