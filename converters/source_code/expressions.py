"""Steps as Python expressions. Strings from files get here only as identifiers or through `literal`."""

from __future__ import annotations

import ast
from collections.abc import Mapping

from converters.architecture import Step
from converters.errors import ConversionError
from converters.registry import Plain
from converters.targets import TARGETS, Target

_SIGNS = {"+": 1, "-": 1, "*": 2, "/": 2}
_RANKS: Mapping[type[ast.operator], int] = {ast.Add: 1, ast.Sub: 1, ast.Mult: 2, ast.Div: 2}
"""Operators of which a sequence without brackets is read from the left, and how closely they bind."""
WRITTEN_IN_PLACE = ("compat.cast", "compat.as_indices")
"""Functions of ours that are written as methods of tensors, so that their source is not needed."""
_PREFIXES = {"torch.nn": "nn.", "torch.nn.functional": "F."}


def constructor(step: Step, names: Mapping[str, str]) -> str:
    """Return the source that makes a step's module.

    Args:
        step: a step with an attribute.
        names: arguments that are given by name of a variable instead of their value.
    """
    target = TARGETS[step.op]
    rest: dict[str, Plain] = {
        **step.kwargs,
        **{key: None for key in names if key not in step.kwargs},
    }
    shown = [
        names.get(key) or _argument(key, rest.pop(key), target)
        for key in target.unnamed
        if key in rest
    ]
    for key, value in rest.items():
        if key in target.unnamed:
            continue
        written = _argument(key, value, target)
        shown.append(f"{key}={names.get(key, written)}")
    return f"{written_name(target)}({', '.join(shown)})"


_SIZES = ("kernel_size", "stride", "padding", "dilation", "output_size")


def _argument(key: str, value: Plain, target: Target) -> str:
    """Return the source of an argument of a constructor."""
    if key in target.layers and isinstance(value, tuple):
        name, *pairs = value
        inner = {str(pair[0]): pair[1] for pair in pairs if isinstance(pair, tuple)}
        return constructor(Step(str(name), (), "", kwargs=inner), {})
    if target.path.startswith("torch.nn:") and isinstance(value, tuple) and key in _SIZES:
        value = value[0] if len(set(value)) == 1 else value
    if key == "normalized_shape" and isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    return function_name(value) if key in target.functions else literal(value)


def function_call(step: Step, arguments: list[str]) -> str:
    """Return the source of a step that is a function of these arguments."""
    target = TARGETS[step.op]
    kwargs = dict(step.kwargs)
    if target.infix and arguments:
        return _joined(target.infix, kwargs, arguments)
    if step.op == "compat.cast":
        return f"{_whole(arguments[0])}.to(torch.{_dtype(kwargs['dtype'])})"
    if step.op == "compat.as_indices":
        return f"{_whole(arguments[0])}.long()"
    if step.op == "operator.getitem":
        return f"{_whole(arguments[0])}[{_index(kwargs['index'])}]"
    if step.op == "torch.permute" and isinstance(dims := kwargs["dims"], tuple):
        return f"{_whole(arguments[0])}.permute({', '.join(map(literal, dims))})"
    shown = [f"[{', '.join(arguments)}]"] if target.listed else list(arguments)
    shown = [literal(kwargs.pop(key)) for key in target.unnamed if key in kwargs] + shown
    shown += [
        f"{key}={function_name(value) if key in target.functions else literal(value)}"
        for key, value in kwargs.items()
    ]
    return f"{written_name(target)}({', '.join(shown)})"


def _dtype(name: Plain) -> str:
    """Return the name of a type as it stands behind `torch.`."""
    if not isinstance(name, str) or not (name.isascii() and name.isidentifier()):
        msg = f"the type {name!a} cannot be written as source"
        raise ConversionError(msg)
    return name


def _joined(sign: str, kwargs: Mapping[str, Plain], arguments: list[str]) -> str:
    """Return operands with an operator between them, in brackets where they need some."""
    operands = [_operand(kwargs["left"])] if "left" in kwargs else []
    operands += [
        _beside(sign, argument, is_first=not operands and place == 0)
        for place, argument in enumerate(arguments)
    ]
    right = kwargs.get("right")
    if sign == "+" and isinstance(right, (int, float)) and literal(right).startswith("-"):
        return f"{operands[0]} - {literal(right)[1:]}"
    operands += [_operand(right)] if "right" in kwargs else []
    return f" {sign} ".join(operands)


def _beside(sign: str, argument: str, *, is_first: bool) -> str:
    """Return an operand, in brackets unless it binds as closely as it must without them."""
    if argument.isidentifier():
        return argument
    node = ast.parse(argument, mode="eval").body
    if isinstance(node, ast.BinOp) and type(node.op) in _RANKS and sign in _SIGNS:
        rank, own = _RANKS[type(node.op)], _SIGNS[sign]
        return argument if rank > own or (rank == own and is_first) else f"({argument})"
    return _whole(argument)


def written_name(target: Target) -> str:
    """Return how an operation is called in the source: "nn.Linear", "torch.linalg.norm", "BatchNorm"."""
    module, _, name = target.path.partition(":")
    if module in ("torch", "torch.linalg"):
        return f"{module}.{name}"
    return f"{_PREFIXES.get(module, '')}{name}"


def function_name(value: Plain) -> str:
    """Return the source of a function given as an argument."""
    name, *pairs = value if isinstance(value, tuple) else (value,)
    written = written_name(TARGETS[str(name)])
    settings = [f"{pair[0]}={literal(pair[1])}" for pair in pairs if isinstance(pair, tuple)]
    return f"partial({', '.join([written, *settings])})" if settings else written


def literal(value: Plain) -> str:
    """Return ASCII source of plain data, strings in the quotes a formatter would choose."""
    if isinstance(value, tuple):
        items = ", ".join(literal(item) for item in value)
        return f"({items},)" if len(value) == 1 else f"({items})"
    written = ascii(value)
    if isinstance(value, float) and written in ("inf", "-inf", "nan"):
        return f'float("{written}")'
    if isinstance(value, str) and written[0] == "'" and '"' not in written:
        return f'"{written[1:-1]}"'
    return written


def _whole(argument: str) -> str:
    """Return an expression in brackets if what follows would bind to its last part only."""
    node = ast.parse(argument, mode="eval").body
    bound = isinstance(node, (ast.Name, ast.Call, ast.Attribute, ast.Subscript))
    return argument if bound else f"({argument})"


def _index(value: Plain) -> str:
    """Return the source between the brackets: `:, 1:, None`."""
    items = value if isinstance(value, tuple) else ()
    written = []
    for item in items:
        if isinstance(item, tuple):
            start, stop, step = ("" if bound is None else literal(bound) for bound in item[1:])
            written.append(f"{start}:{stop}" + (f":{step}" if step else ""))
        else:
            written.append(literal(item))
    return ", ".join(written)


def _operand(value: Plain) -> str:
    """Return a number as it may stand beside an operator: `** -2.0` and `-2.0 **` differ from what they look like."""
    written = literal(value)
    return f"({written})" if written.startswith("-") else written
